//! How this broker follows and is followed.

use std::time::Duration;

/// How this broker follows and is followed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Tasks that fetch from one leader.
    pub fetchers: usize,
    /// Bytes of one partition in a fetch.
    pub fetch_max_bytes: i32,
    /// How long a leader may hold back an answer.
    pub fetch_wait_max: Duration,
    /// Bytes that make a leader answer at once.
    pub fetch_min_bytes: i32,
    /// How long to wait for a connection, and for an answer.
    pub socket_timeout: Duration,
}

impl Default for Config {
    /// As 0.8.2.2.
    fn default() -> Self {
        Self {
            fetchers: 1,
            fetch_max_bytes: 1 << 20,
            fetch_wait_max: Duration::from_millis(500),
            fetch_min_bytes: 1,
            socket_timeout: Duration::from_secs(30),
        }
    }
}
