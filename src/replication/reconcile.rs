//! What a follower makes of the difference between its log and its leader's (pure).
//!
//! 0.8.2.2 cuts a follower's log to its high watermark first and copies afterwards. The high watermark lags by a fetch,
//! so that committed messages are cut, and are lost if the follower is elected before it has them again (KAFKA-1211,
//! KIP-101). Here nothing is cut before the leader has shown something else: the follower fetches from just below its
//! high watermark, compares what it gets with what it has, keeps what is equal, and cuts at the first difference.

use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;

/// How far a follower knows its log to be the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next offset to fetch. Below it the log is the leader's; beyond, what there is has still to be compared.
    pub(crate) next: i64,
    /// Whether something before `next` was compared, or there is nothing before it.
    pub(crate) anchored: bool,
    /// How far to go back when the first comparison fails.
    step: i64,
}

impl Position {
    /// Where nothing is left to be compared.
    pub(crate) fn at(next: i64) -> Self {
        Self {
            next,
            anchored: true,
            step: 1,
        }
    }

    /// One message before this offset, unless the log starts there. Whether that one is the leader's shows whether all
    /// before it are.
    pub(crate) fn before(start: i64, offset: i64) -> Self {
        let next = offset.saturating_sub(1).max(start.min(offset));
        Self {
            next,
            anchored: next == offset || next <= start,
            step: 1,
        }
    }

    /// Further back, each time twice as far: what was compared is not the leader's, and nothing before it was compared
    /// yet.
    pub(crate) fn back(self, start: i64) -> Self {
        let next = self.next.saturating_sub(self.step).max(start);
        Self {
            next,
            anchored: next <= start,
            step: self.step.saturating_mul(2),
        }
    }

    /// Everything before this offset was compared or copied.
    pub(crate) fn advanced(self, next: i64) -> Self {
        Self {
            next,
            anchored: true,
            ..self
        }
    }
}

/// How two stretches of messages that begin at the same offset compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Bytes at the front that are the same whole entries.
    pub(crate) bytes: usize,
    /// One past the last offset in them; none if there is no such entry.
    pub(crate) end: Option<i64>,
    /// What follows.
    pub(crate) then: Then,
}

/// What follows after the entries that are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// An entry that is not the same.
    Differ,
    /// No whole entry of the leader.
    TheirsEnd,
    /// No whole entry of the follower.
    OursEnd,
}

/// Compares entry by entry. Either may end within one.
pub(crate) fn compare(theirs: &[u8], ours: &[u8]) -> Compared {
    let mut compared = Compared {
        bytes: 0,
        end: None,
        then: Then::TheirsEnd,
    };
    loop {
        let rest = |all: &[u8]| all.get(compared.bytes..).and_then(first_entry);
        let Some((their_len, last_offset)) = rest(theirs) else {
            return compared;
        };
        let Some((our_len, _)) = rest(ours) else {
            compared.then = Then::OursEnd;
            return compared;
        };
        let entry = compared.bytes..compared.bytes + their_len;
        if our_len != their_len || theirs.get(entry.clone()) != ours.get(entry) {
            compared.then = Then::Differ;
            return compared;
        }
        compared.bytes += their_len;
        compared.end = Some(last_offset.saturating_add(1));
    }
}

/// Bytes and last offset of the entry at the front, if it is whole. What is no entry at all counts as the rest: it
/// compares as different, or is refused when it is appended.
fn first_entry(bytes: &[u8]) -> Option<(usize, i64)> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    match EntryHeader::parse(header) {
        Ok(header) => (header.len <= bytes.len()).then_some((header.len, header.last_offset)),
        Err(_) => Some((bytes.len(), i64::MAX - 1)),
    }
}

/// What to do when the leader says that it has nothing at the asked offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// Go on there: the leader ends or begins there.
    Continue(Position),
    /// The leader ends there, before everything that is here.
    Cut(i64),
    /// The leader begins there, beyond everything that is here.
    Restart(i64),
    /// It has it by now.
    AskAgain,
}

/// Decides by what the leader says about its log after the fact. 0.8.2.2 deletes the whole log when the leader has got
/// as far as the follower meanwhile (KAFKA-2143).
pub(crate) fn out_of_range(asked: i64, (start, end): (i64, i64), leader: (i64, i64)) -> OutOfRange {
    let (leader_start, leader_end) = leader;
    if leader_end < asked.min(start) {
        OutOfRange::Cut(leader_end)
    } else if leader_end < asked {
        OutOfRange::Continue(Position::before(leader_start.max(start), leader_end))
    } else if leader_start <= asked {
        OutOfRange::AskAgain
    } else if leader_start <= end {
        // What the leader has no more can't be compared with anything.
        OutOfRange::Continue(Position::at(leader_start))
    } else {
        OutOfRange::Restart(leader_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Codec;
    use crate::message::set::ProducedSet;
    use crate::message::set::SetBuilder;

    fn log(base_offset: i64, values: &[&str]) -> Vec<u8> {
        let mut set = SetBuilder::new(Codec::None);
        for value in values {
            set.push(None, Some(value.as_bytes()));
        }
        let limits = crate::message::set::Limits::default();
        let checked = ProducedSet::new(set.build().unwrap()).check(&limits).unwrap();
        checked.assign(base_offset, &limits).unwrap().bytes().to_vec()
    }

    #[test]
    fn logs_are_equal_up_to_the_first_difference() {
        let theirs = log(10, &["a", "b", "c"]);
        let entry = theirs.len() / 3;
        for (ours, equal, then) in [
            (log(10, &["a", "b", "c"]), 3, Then::TheirsEnd),
            (log(10, &["a", "b", "c", "d"]), 3, Then::TheirsEnd),
            (log(10, &["a", "b"]), 2, Then::OursEnd),
            (log(10, &["a", "x", "c"]), 1, Then::Differ),
            (log(10, &["a", "longer", "c"]), 1, Then::Differ),
            (log(11, &["a", "b", "c"]), 0, Then::Differ),
            (log(10, &[]), 0, Then::OursEnd),
        ] {
            let compared = compare(&theirs, &ours);
            assert_eq!((compared.bytes, compared.then), (equal * entry, then), "{ours:?}");
            let end = i64::try_from(equal).unwrap() + 10;
            assert_eq!(compared.end, (equal > 0).then_some(end));
        }
    }

    #[test]
    fn what_is_cut_short_ends_a_comparison() {
        let (theirs, ours) = (log(0, &["a", "b"]), log(0, &["a", "b"]));
        for cut in 0..theirs.len() {
            let whole = if cut >= theirs.len() / 2 {
                theirs.len() / 2
            } else {
                0
            };
            let compared = compare(&theirs[..cut], &ours);
            assert_eq!((compared.bytes, compared.then), (whole, Then::TheirsEnd));
            let compared = compare(&theirs, &ours[..cut]);
            assert_eq!((compared.bytes, compared.then), (whole, Then::OursEnd));
        }
    }

    #[test]
    fn what_is_no_message_is_not_equal_to_anything() {
        let compared = compare(&[0; 40], &log(0, &["a"]));
        assert_eq!((compared.bytes, compared.then), (0, Then::Differ));
    }

    #[test]
    fn comparing_begins_at_the_last_committed_message() {
        for (start, high_watermark, next, anchored) in [
            (0, 10, 9, false),
            (0, 0, 0, true),
            (5, 5, 5, true),
            (5, 6, 5, true),
        ] {
            let position = Position::before(start, high_watermark);
            assert_eq!(
                (position.next, position.anchored),
                (next, anchored),
                "{start} {high_watermark}"
            );
        }
    }

    #[test]
    fn going_back_doubles_its_steps_and_ends_at_the_start() {
        let mut position = Position::before(3, 100);
        let mut asked = vec![position.next];
        while !position.anchored {
            position = position.back(3);
            asked.push(position.next);
        }
        assert_eq!(asked, [99, 98, 96, 92, 84, 68, 36, 3]);
    }

    #[test]
    fn out_of_range_is_judged_by_what_the_leader_has_now() {
        use OutOfRange::AskAgain;
        use OutOfRange::Continue;
        use OutOfRange::Cut;
        use OutOfRange::Restart;
        for (asked, ours, leader, expected) in [
            // The leader ends before: its last message is compared, nothing is cut yet.
            (50, (0, 50), (0, 40), Continue(Position::before(0, 40))),
            (50, (20, 50), (0, 20), Continue(Position::at(20))),
            (50, (20, 50), (0, 19), Cut(19)),
            // Its disk is empty.
            (50, (0, 50), (0, 0), Continue(Position::at(0))),
            // It has caught up meanwhile: the answer was true, and is no more.
            (50, (0, 50), (0, 50), AskAgain),
            (50, (0, 50), (0, 70), AskAgain),
            // It has deleted what was asked for.
            (50, (0, 80), (60, 90), Continue(Position::at(60))),
            (50, (0, 50), (60, 90), Restart(60)),
        ] {
            assert_eq!(
                out_of_range(asked, ours, leader),
                expected,
                "{asked} {ours:?} {leader:?}"
            );
        }
    }
}
