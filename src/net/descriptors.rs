//! What connections leave of the process's descriptors.
//!
//! A log that can't begin a new segment because a thousand clients took the last descriptor would stop the broker.

use std::os::fd::AsRawFd;

use rustix::process::Resource;
use rustix::process::getrlimit;

/// Descriptors that connections leave, at most; with a low limit, a quarter of all.
const RESERVED: u64 = 512;

/// How many of the process's descriptors connections may use.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// None is given away from this one on; `u64::MAX` if there is no limit.
    end: u64,
}

impl Descriptors {
    /// By the limit of this process, which must not be lowered afterwards.
    pub(super) fn of_this_process() -> Self {
        Self::within(getrlimit(Resource::Nofile).current)
    }

    fn within(limit: Option<u64>) -> Self {
        Self {
            end: limit.map_or(u64::MAX, |limit| limit - RESERVED.min(limit / 4)),
        }
    }

    /// Whether a new connection leaves enough: the system always gives away the lowest free number.
    pub(super) fn suffice(&self, connection: &impl AsRawFd) -> bool {
        u64::try_from(connection.as_raw_fd()).is_ok_and(|number| number < self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::RawFd;

    use super::*;

    struct Numbered(RawFd);

    impl AsRawFd for Numbered {
        fn as_raw_fd(&self) -> RawFd {
            self.0
        }
    }

    #[test]
    fn a_part_of_the_limit_is_left() {
        for (limit, last) in [(100, 74), (1024, 767), (20_000, 19_487)] {
            let descriptors = Descriptors::within(Some(limit));
            assert!(descriptors.suffice(&Numbered(last)), "{limit}");
            assert!(!descriptors.suffice(&Numbered(last + 1)), "{limit}");
        }
        assert!(Descriptors::within(None).suffice(&Numbered(RawFd::MAX)));
    }
}
