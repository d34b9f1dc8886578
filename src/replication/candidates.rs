//! Who may come into the ISR: followers tell, one task decides.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::types::TopicPartition;

/// Partitions with a follower that may come into the ISR.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    names: Mutex<BTreeSet<TopicPartition>>,
    added: Notify,
}

impl Candidates {
    /// One more. Cheap when it is there already.
    pub(crate) fn add(&self, name: &TopicPartition) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.insert(name.clone()) {
            self.added.notify_one();
        }
    }

    /// Returns when there is one that was not there before.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// All of them; none is left.
    pub(crate) fn take(&self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_candidate_wakes_once() {
        let candidates = Candidates::default();
        let name = TopicPartition::new("t", 0);
        candidates.add(&name);
        candidates.add(&name);
        candidates.added().await;
        assert_eq!(candidates.take().len(), 1);
        assert!(candidates.take().is_empty());
        candidates.add(&name);
        candidates.added().await;
    }
}
