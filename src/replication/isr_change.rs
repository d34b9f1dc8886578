//! Changing the ISR in ZooKeeper.
//!
//! While the write is under way the high watermark counts the union of the old and the new set: the controller may
//! already see the new one. An answer that is lost changes nothing about that: the write is tried again, at the same
//! version, until it is known what the node says.
//!
//! Writes are conditional. Where the version has moved the node is read again: if it still says that this broker leads
//! at this epoch its content is adopted (0.8.2.2 is stuck there until another leader epoch: KAFKA-2729); otherwise this
//! broker stops leading, since whoever has been elected instead may have moved on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;

use crate::metrics::ReplicationMetrics;
use crate::replication::partition::IsrChange;
use crate::replication::partition::Partition;
use crate::replication::partitions::Partitions;
use crate::shutdown::Shutdown;
use crate::zookeeper;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;
use crate::zookeeper::Versioned;

/// Pause before what ZooKeeper did not answer is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// The least time between two looks at who lags.
const LOOK_MIN: Duration = Duration::from_millis(10);

/// A change and the partition whose it is.
type Change = (Arc<Partition>, IsrChange);

/// Keeps the ISRs true of all partitions that this broker leads, until shutdown: members that have not caught up for
/// longer than `lag` go, those that have everything come.
pub async fn keep_isrs(
    partitions: Arc<Partitions>,
    sessions: Sessions,
    metrics: ReplicationMetrics,
    lag: Duration,
    mut shutdown: Shutdown,
) {
    let keeper = Keeper {
        partitions,
        sessions,
        metrics,
        lag,
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = keeper.run() => {}
    }
}

struct Keeper {
    partitions: Arc<Partitions>,
    sessions: Sessions,
    metrics: ReplicationMetrics,
    lag: Duration,
}

impl Keeper {
    async fn run(&self) {
        // 0.8.2.2 looks every `lag`, and so finds a laggard after up to twice that.
        let mut looks = interval((self.lag / 4).max(LOOK_MIN));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let retry = if changes.is_empty() { Duration::MAX } else { RETRY };
            let candidates = self.partitions.candidates();
            tokio::select! {
                _ = looks.tick() => changes.extend(self.proposals(&self.partitions.all())),
                () = candidates.added() => {
                    let named = candidates.take();
                    let named: Vec<_> = named
                        .iter()
                        .filter_map(|name| self.partitions.get(&name.topic, name.partition))
                        .collect();
                    changes.extend(self.proposals(&named));
                }
                () = sleep(retry) => {}
            }
            changes = self.write(changes).await;
        }
    }

    fn proposals(&self, partitions: &[Arc<Partition>]) -> Vec<Change> {
        partitions
            .iter()
            .filter_map(|partition| Some((Arc::clone(partition), partition.propose_isr(self.lag)?)))
            .collect()
    }

    /// Writes changes, all at once. Those of which it is not known what became of them are returned.
    async fn write(&self, mut changes: Vec<Change>) -> Vec<Change> {
        changes.retain(|(partition, change)| partition.awaits(change));
        if changes.is_empty() {
            return changes;
        }
        let store = match self.sessions.current() {
            Ok(store) => store,
            Err(error) => {
                tracing::debug!("in-sync replicas of {} partitions: {error}", changes.len());
                return changes;
            }
        };
        let states: Vec<_> = changes
            .iter()
            .map(|(partition, change)| (partition.topic_partition().clone(), change.state.clone()))
            .collect();
        let results = store.set_partition_states(&states).await;
        let (mut unknown, mut conflicts) = (Vec::new(), Vec::new());
        for ((partition, change), result) in changes.into_iter().zip(results) {
            match result {
                Ok(version) => self.settle(&partition, &change, version),
                Err(zookeeper::Error::Conflict { .. } | zookeeper::Error::NotFound { .. }) => {
                    conflicts.push((partition, change));
                }
                Err(error) => {
                    tracing::warn!("{}: in-sync replicas: {error}", partition.topic_partition());
                    unknown.push((partition, change));
                }
            }
        }
        unknown.extend(self.look_again(&store, conflicts).await);
        unknown
    }

    fn settle(&self, partition: &Partition, change: &IsrChange, version: i32) {
        let isr = change.state.value.isr.clone();
        let members = isr.len();
        let name = partition.topic_partition();
        tracing::info!("{name}: in-sync replicas are now {:?}", listed(&isr));
        if partition.settle_isr(change, Versioned { value: isr, version }) {
            if members < change.members_before {
                self.metrics.isr_shrinks.increment(1);
            } else {
                self.metrics.isr_expands.increment(1);
            }
        }
    }

    /// Somebody else wrote in between.
    async fn look_again(&self, store: &Store, conflicts: Vec<Change>) -> Vec<Change> {
        let names: Vec<_> = conflicts
            .iter()
            .map(|(partition, _)| partition.topic_partition().clone())
            .collect();
        let found = store.partition_states(&names).await;
        let mut unknown = Vec::new();
        for ((partition, change), found) in conflicts.into_iter().zip(found) {
            let name = partition.topic_partition();
            match found {
                Ok(Some(found)) if same_leadership(&found.value, &change.state.value) => {
                    tracing::info!(
                        "{name}: in-sync replicas are {:?}, written by somebody else",
                        listed(&found.value.isr)
                    );
                    let found = Versioned {
                        value: found.value.isr,
                        version: found.version,
                    };
                    partition.settle_isr(&change, found);
                }
                Ok(found) => {
                    if partition.depose(&change) {
                        let state = found.map(|found| found.value);
                        tracing::warn!("{name}: not leading any more, the partition's state is {state:?}");
                        self.partitions.changed();
                    }
                }
                Err(error) => {
                    tracing::warn!("{name}: in-sync replicas: {error}");
                    unknown.push((Arc::clone(&partition), change));
                }
            }
        }
        unknown
    }
}

/// Whether a node still tells of the leadership that a change belongs to.
fn same_leadership(found: &zookeeper::PartitionState, ours: &zookeeper::PartitionState) -> bool {
    found.leader == ours.leader
        && found.leader_epoch == ours.leader_epoch
        && found.controller_epoch == ours.controller_epoch
}

fn listed(brokers: &[crate::types::BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BrokerId;

    #[test]
    fn only_the_isr_may_differ_in_the_same_leadership() {
        let ours = zookeeper::PartitionState {
            leader: Some(BrokerId(1)),
            leader_epoch: 3,
            isr: vec![BrokerId(1)],
            controller_epoch: 2,
        };
        let other = |change: fn(&mut zookeeper::PartitionState)| {
            let mut other = ours.clone();
            change(&mut other);
            same_leadership(&other, &ours)
        };
        assert!(other(|state| state.isr.push(BrokerId(2))));
        assert!(!other(|state| state.leader = None));
        assert!(!other(|state| state.leader = Some(BrokerId(2))));
        assert!(!other(|state| state.leader_epoch = 4));
        assert!(!other(|state| state.controller_epoch = 3));
    }
}
