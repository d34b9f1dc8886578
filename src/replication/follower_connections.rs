//! On which connections followers ask.
//!
//! A follower that goes on asking where it was, while its leader lost the lead and got it back, has messages that may not
//! be the leader's any more, and nothing in a fetch tells them apart. So a leadership only hears what comes on connections
//! opened since it began: the others are closed, and a follower that connects anew compares anew. 0.8.2.2 takes such a
//! follower back into the ISR, with another log than its leader's.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The newest of the connections on which a follower has asked; later ones have greater numbers.
#[derive(Debug, Default)]
pub struct FollowerConnections(AtomicU64);

impl FollowerConnections {
    /// A follower asks on this connection.
    pub fn note(&self, connection: u64) {
        self.0.fetch_max(connection, Ordering::SeqCst);
    }

    pub(super) fn newest(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
