//! Where some entries of the active segment begin, kept in memory while it is written to.
//!
//! 0.8's index gets at most one entry per append, and a produced set may be a megabyte long. Looking for a message inside
//! one by reading header after header costs a system call each, more than sending it. What is appended passes through
//! memory anyway, so a few of its positions are noted. They are hints: losing them costs time.

use std::sync::Mutex;

use crate::log::lock;
use crate::message::entry::entries;

/// Bytes between two landmarks at first; twice as many each time there is no room for more.
const SPACING: u64 = 16 * 1024;

/// Landmarks kept: with eight bytes each, 64 KiB for a segment.
const MOST: usize = 8192;

/// Positions of entries, in their order.
#[derive(Debug)]
pub(crate) struct Landmarks(Mutex<Noted>);

#[derive(Debug)]
struct Noted {
    spacing: u64,
    /// Last offset of an entry, counted from the segment's base, and where the entry *after* it begins.
    points: Vec<(u32, u32)>,
}

impl Landmarks {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Noted {
            spacing: SPACING,
            points: Vec::new(),
        }))
    }

    /// Notes positions inside a set that is appended at `position`, if it is long enough for that.
    pub(crate) fn note(&self, bytes: &[u8], position: u64, base_offset: i64) {
        let mut noted = lock(&self.0);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if len <= noted.spacing {
            return;
        }
        let mut last = 0;
        let mut walk = entries(bytes);
        while let Some(Ok((offset, _))) = walk.next() {
            let rest = u64::try_from(walk.rest().len()).unwrap_or(u64::MAX);
            let passed = len.saturating_sub(rest);
            if passed - last < noted.spacing {
                continue;
            }
            last = passed;
            let (Ok(offset), Ok(next)) = (
                u32::try_from(offset - base_offset),
                u32::try_from(position + passed),
            ) else {
                return;
            };
            noted.add(offset, next);
        }
    }

    /// A position from which the first entry whose offset is not below `target` can be found by walking.
    pub(crate) fn before(&self, target: i64, base_offset: i64) -> Option<u64> {
        let target = u32::try_from(target.checked_sub(base_offset)?).unwrap_or(u32::MAX);
        let noted = lock(&self.0);
        let passed = noted.points.partition_point(|(offset, _)| *offset < target);
        let (_, position) = noted.points.get(passed.checked_sub(1)?)?;
        Some(u64::from(*position))
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        let mut noted = lock(&self.0);
        *noted = Noted {
            spacing: SPACING,
            points: Vec::new(),
        };
    }
}

impl Noted {
    fn add(&mut self, offset: u32, next: u32) {
        if self.points.len() >= MOST {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.spacing *= 2;
        }
        self.points.push((offset, next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::set;
    use crate::message::Codec;
    use crate::message::set::Limits;

    /// A set of entries with 100 bytes each or so, from `base_offset` on.
    fn long_set(base_offset: i64, count: usize) -> Vec<u8> {
        let values: Vec<_> = (0..count).map(|n| format!("{n:0>74}")).collect();
        let set = set(Codec::None, values.iter().map(String::as_str));
        set.assign(base_offset, &Limits::default())
            .unwrap()
            .bytes()
            .to_vec()
    }

    #[test]
    fn a_landmark_is_never_behind_what_is_looked_for() {
        let landmarks = Landmarks::new();
        let bytes = long_set(1000, 10_000);
        let (base, position) = (900, 5_000_u64);
        landmarks.note(&bytes, position, base);
        let entry = bytes.len() as u64 / 10_000;
        assert_eq!(landmarks.before(1000, base), None);
        for (nth, target) in (0..).zip(1000..11_000) {
            let exact = position + nth * entry;
            let Some(found) = landmarks.before(target, base) else {
                assert!(exact - position <= SPACING + entry, "{target}");
                continue;
            };
            assert!(
                found <= exact && exact - found <= SPACING + entry,
                "{target}: {found}, {exact}"
            );
            assert_eq!((found - position) % entry, 0, "an entry begins there");
        }
        landmarks.clear();
        assert_eq!(landmarks.before(10_000, base), None);
    }

    #[test]
    fn there_are_never_more_than_fit() {
        let landmarks = Landmarks::new();
        let bytes = long_set(0, 10_000);
        let mut position = 0;
        for n in 0..300 {
            landmarks.note(&bytes, position, -n * 10_000);
            position += bytes.len() as u64;
        }
        let noted = lock(&landmarks.0);
        assert!(
            noted.points.len() <= MOST && noted.points.len() > MOST / 3,
            "{}",
            noted.points.len()
        );
        assert!(noted.spacing > SPACING);
        assert!(noted.points.is_sorted());
    }
}
