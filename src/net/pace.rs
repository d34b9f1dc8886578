//! How fast a client is with what it makes others wait for.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a second below which a client is slow.
const SLOW: u64 = 16 << 10;

/// How long a client may have been slow when others wait for the memory that it holds.
const SLOW_MAX: Duration = Duration::from_secs(3);

/// The same for one that goes on although nothing is left, which only one may.
const SLOW_EXCEPTION_MAX: Duration = Duration::from_secs(1);

/// How a client holds up others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldsUp {
    /// Not at all.
    Nobody,
    /// With memory that it holds.
    Others,
    /// By being the exception.
    Exceptionally,
}

/// See the module.
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
    /// Of one that begins to send and to read now.
    pub(super) fn from(now: Instant) -> Self {
        Self {
            read: 0,
            unread: 0,
            looked_at: now,
            slow_since: None,
        }
    }

    /// Bytes came from it.
    pub(super) fn note_read(&mut self, bytes: usize) {
        self.read += u64::try_from(bytes).unwrap_or(0);
    }

    /// Nothing was expected of it until now.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self::from(now);
    }

    /// Whether it has been too slow for too long. To be asked about every second.
    pub(super) fn is_too_slow(&mut self, holds_up: HoldsUp, unread: u64, now: Instant) -> bool {
        let sends = self.read >= SLOW * (now - self.looked_at).as_secs();
        let reads = unread < self.unread;
        let slow_since = if sends || reads {
            None
        } else {
            Some(self.slow_since.unwrap_or(self.looked_at))
        };
        (self.read, self.unread, self.looked_at, self.slow_since) = (0, unread, now, slow_since);
        let slow_for = slow_since.map_or(Duration::ZERO, |since| now - since);
        match holds_up {
            HoldsUp::Nobody => false,
            HoldsUp::Others => slow_for >= SLOW_MAX,
            HoldsUp::Exceptionally => slow_for >= SLOW_EXCEPTION_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_others_up_for_a_while_is_too_slow() {
        let mut now = Instant::now();
        let mut pace = Pace::from(now);
        let mut look = |read: usize, holds_up: HoldsUp, unread: u64| {
            now += Duration::from_secs(1);
            pace.note_read(read);
            pace.is_too_slow(holds_up, unread, now)
        };
        assert!(!look(20 << 10, HoldsUp::Exceptionally, 10), "it sends enough");
        for unread in (0..10).rev() {
            assert!(!look(0, HoldsUp::Exceptionally, unread), "it reads");
        }
        for _ in 0..10 {
            assert!(!look(0, HoldsUp::Nobody, 0), "nobody waits");
        }
        assert!(look(1, HoldsUp::Others, 0), "for too long already");
        assert!(!look(20 << 10, HoldsUp::Others, 0));
        assert!(!look(1, HoldsUp::Others, 0), "not yet");
        assert!(look(1, HoldsUp::Exceptionally, 0));
        assert!(look(1, HoldsUp::Others, 0));
    }
    #[test]
    fn what_was_before_it_began_counts_for_nothing() {
        let mut now = Instant::now();
        let mut pace = Pace::from(now);
        now += Duration::from_secs(60);
        pace.begin(now);
        pace.note_read(20 << 10);
        now += Duration::from_secs(1);
        assert!(
            !pace.is_too_slow(HoldsUp::Exceptionally, 0, now),
            "as much as a second asks for"
        );
        now += SLOW_MAX;
        assert!(pace.is_too_slow(HoldsUp::Others, 0, now));
    }
}
