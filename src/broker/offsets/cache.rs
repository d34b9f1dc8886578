//! Committed positions in memory, one group of them for each partition of the offsets topic that this broker leads.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;

use crate::broker::offsets::records::Key;
use crate::log::Times;

/// A position as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Next offset to consume.
    pub(crate) offset: i64,
    /// What the consumer wanted to be kept with it. Null until it is read back from the log, as in 0.8.2.2.
    pub(crate) metadata: Option<String>,
    /// When, in ms since 1970.
    pub(crate) timestamp: i64,
    /// Where in the log the record stands: what stands later wins, whoever puts it here first.
    pub(crate) log_offset: i64,
}

/// The positions of the groups that hash to one partition.
#[derive(Debug)]
pub(crate) struct Slot {
    /// In which leadership it is filled.
    pub(crate) leader_epoch: i32,
    /// Whether the log is still being read.
    pub(crate) loading: bool,
    positions: HashMap<Key, Committed>,
}

impl Slot {
    /// Empty, about to be loaded.
    pub(crate) fn new(leader_epoch: i32) -> Self {
        Self {
            leader_epoch,
            loading: true,
            positions: HashMap::new(),
        }
    }

    /// Takes over a record, unless a later one is known.
    pub(crate) fn put(&mut self, key: Key, committed: Committed) {
        match self.positions.get(&key) {
            Some(known) if known.log_offset > committed.log_offset => {}
            _ => {
                self.positions.insert(key, committed);
            }
        }
    }

    /// Takes over a tombstone, unless a later record is known.
    pub(crate) fn remove(&mut self, key: &Key, log_offset: i64) {
        if self
            .positions
            .get(key)
            .is_some_and(|known| known.log_offset <= log_offset)
        {
            self.positions.remove(key);
        }
    }

    /// A position.
    pub(crate) fn get(&self, key: &Key) -> Option<&Committed> {
        self.positions.get(key)
    }

    /// Positions that were committed longer ago than `retention`.
    pub(crate) fn expired(&self, times: &Times, retention: Duration) -> Vec<(Key, i64)> {
        self.positions
            .iter()
            .filter(|(_, committed)| times.age_of_millis(committed.timestamp) > retention)
            .map(|(key, committed)| (key.clone(), committed.log_offset))
            .collect()
    }

    /// Every position.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&Key, &Committed)> {
        self.positions.iter()
    }

    /// Positions kept.
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Groups that have any.
    pub(crate) fn groups(&self) -> usize {
        self.positions
            .keys()
            .map(|key| key.group.as_str())
            .collect::<BTreeSet<_>>()
            .len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn key(group: &str) -> Key {
        Key {
            group: group.into(),
            topic: "t".into(),
            partition: 0,
        }
    }

    fn committed(offset: i64, timestamp: i64, log_offset: i64) -> Committed {
        Committed {
            offset,
            metadata: None,
            timestamp,
            log_offset,
        }
    }

    #[test]
    fn what_stands_later_in_the_log_wins() {
        let mut slot = Slot::new(0);
        slot.put(key("g"), committed(7, 0, 5));
        slot.put(key("g"), committed(6, 0, 4));
        assert_eq!(slot.get(&key("g")).unwrap().offset, 7);
        slot.remove(&key("g"), 3);
        assert!(slot.get(&key("g")).is_some());
        slot.remove(&key("g"), 6);
        assert!(slot.get(&key("g")).is_none());
    }

    #[test]
    fn positions_expire_by_the_time_of_their_commit() {
        let mut slot = Slot::new(0);
        slot.put(key("old"), committed(1, 1_000, 1));
        slot.put(key("new"), committed(1, 5_000, 2));
        slot.put(key("future"), committed(1, i64::MAX, 3));
        let times = (UNIX_EPOCH + Duration::from_secs(7)).into();
        assert_eq!(slot.expired(&times, Duration::from_secs(3)), [(key("old"), 1)]);
        assert_eq!((slot.len(), slot.groups()), (3, 3));
    }
}
