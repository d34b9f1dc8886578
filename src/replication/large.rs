//! Sets that hold so much that to open, number and close them takes long: a thread that may be blocked does it, so that
//! nobody else is kept waiting. Those that hold far more than was sent have their turns one at a time, so that many of
//! them don't take the memory of many.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::blocking;
use crate::message::set::CheckedSet;
use crate::message::set::Limits;
use crate::message::set::ProducedSet;
use crate::replication::Error;

/// What a set may decompress to without being long: a millisecond of work.
const LONG: usize = 128 << 10;

/// What a set may decompress to without being large. Few producers send more.
const LARGE: usize = 1 << 20;

/// Held while a large set is handled. Of the process, as its memory is.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Checks a set and hands it on.
pub(super) fn check_then<T>(
    set: ProducedSet,
    limits: &Limits,
    then: impl FnOnce(CheckedSet) -> Result<T, Error>,
) -> Result<T, Error> {
    let long = match set.check_outside(limits)?.open_small(limits, LONG)? {
        Ok(checked) => return then(checked),
        Err(long) => long,
    };
    blocking::in_place(|| match long.open_small(limits, LARGE)? {
        Ok(checked) => then(checked),
        Err(large) => {
            let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            then(large.open(limits)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Codec;
    use crate::message::set::SetBuilder;

    fn set(bytes: usize) -> ProducedSet {
        let mut set = SetBuilder::new(Codec::Gzip);
        set.push(None, Some(&vec![0; bytes]));
        ProducedSet::new(set.build().unwrap())
    }

    #[test]
    fn only_large_sets_wait_for_each_other() {
        let alone = |bytes: usize| {
            check_then(set(bytes), &Limits::default(), |checked| {
                assert_eq!(checked.message_count(), 1);
                Ok(ONE_AT_A_TIME.try_lock().is_err())
            })
            .unwrap()
        };
        assert!(alone(LARGE));
        assert!(!alone(LARGE - 100));
        let too_large = Limits::default().max_decompressed_bytes;
        let refused = check_then(set(too_large), &Limits::default(), |_| Ok(()));
        assert!(matches!(
            refused,
            Err(Error::Message(crate::message::Error::SetTooLarge { limit })) if limit == too_large
        ));
    }
}
