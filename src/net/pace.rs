//! How fast a client is with what it makes others wait for.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a second below which a client is slow.
const SLOW: u64 = 16 << 10;

/// How long a client may be slow while others wait for the memory that it holds.
const SLOW_MAX: Duration = Duration::from_secs(3);

/// How fast a client is with what it makes others wait for.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes that came from it since it was last looked at.
    read: u64,
    /// Bytes that it had not read then.
    unread: u64,
    looked_at: Instant,
    slow_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            read: 0,
            unread: 0,
            looked_at: Instant::now(),
            slow_since: None,
        }
    }

    /// Bytes came from it.
    pub(super) fn note_read(&mut self, bytes: usize) {
        self.read += u64::try_from(bytes).unwrap_or(0);
    }

    /// Whether it has held others up for too long.
    pub(super) fn is_too_slow(&mut self, holds_up: bool, unread: u64, now: Instant) -> bool {
        let sends = self.read >= SLOW * (now - self.looked_at).as_secs();
        let reads = unread < self.unread;
        (self.read, self.unread, self.looked_at) = (0, unread, now);
        if !holds_up || sends || reads {
            self.slow_since = None;
            return false;
        }
        let since = *self.slow_since.get_or_insert(now);
        now - since >= SLOW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_others_up_for_a_while_is_too_slow() {
        let mut pace = Pace::new();
        let mut now = Instant::now();
        let mut look = |read: usize, holds_up: bool, unread: u64| {
            now += Duration::from_secs(1);
            pace.note_read(read);
            pace.is_too_slow(holds_up, unread, now)
        };
        for unread in (0..10).rev() {
            assert!(!look(0, false, 0), "nobody waits");
            assert!(!look(20 << 10, true, 0), "it sends enough");
            assert!(!look(0, true, 10), "it wrote nothing yet");
            assert!(!look(0, true, unread), "it reads");
        }
        for _ in 0..3 {
            assert!(!look(1, true, 0), "for a while");
        }
        assert!(look(1, true, 0));
    }
}
