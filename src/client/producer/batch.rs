//! Messages that wait to be sent, collected per partition.
//!
//! Always holds: the messages of one partition keep the order in which they were added.

use std::collections::BTreeMap;

use crate::message;
use crate::message::Codec;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;

/// The messages of one request, per partition.
#[derive(Debug)]
pub(super) struct Batches {
    codec: Codec,
    by_partition: BTreeMap<i32, SetBuilder>,
    messages: usize,
    bytes: usize,
}

impl Batches {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            by_partition: BTreeMap::new(),
            messages: 0,
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        let set = self
            .by_partition
            .entry(partition)
            .or_insert_with(|| SetBuilder::new(self.codec));
        let before = set.len();
        set.push(key, value);
        self.bytes += set.len() - before;
        self.messages += 1;
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Before compression.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Empties it: every partition with its set, or with what is wrong with its messages.
    pub(super) fn take(
        &mut self,
    ) -> impl Iterator<Item = (i32, Result<ProducedSet, message::Error>)> + use<> {
        let taken = std::mem::replace(self, Self::new(self.codec));
        taken
            .by_partition
            .into_iter()
            .map(|(partition, set)| (partition, set.build().map(ProducedSet::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::wrapper::deep_entries;

    #[test]
    fn messages_are_kept_per_partition_in_their_order() {
        let mut batches = Batches::new(Codec::Gzip);
        for number in 0..10_u8 {
            batches.add(i32::from(number % 2), None, Some(&[number]));
        }
        assert_eq!(batches.messages(), 10);
        assert_eq!(batches.bytes(), 10 * 27);
        let sets: Vec<_> = batches.take().collect();
        assert_eq!(sets.len(), 2);
        for (partition, set) in sets {
            let messages = deep_entries(set.unwrap().as_bytes(), 1 << 20).unwrap();
            let values: Vec<i32> = messages
                .iter()
                .map(|(_, m)| m.value.as_ref().unwrap()[0].into())
                .collect();
            assert_eq!(values, (0..5).map(|n| 2 * n + partition).collect::<Vec<_>>());
        }
        assert_eq!((batches.messages(), batches.bytes()), (0, 0));
    }
}
