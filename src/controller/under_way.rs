//! What takes more than one event: reassignments that wait for replicas, deletions that wait for brokers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::plan;
use crate::controller::plan::Plan;
use crate::controller::plan::Step;
use crate::controller::run::Term;
use crate::controller::state::ClusterState;
use crate::controller::state::Deletion;
use crate::controller::state::Reassignment;
use crate::controller::watch;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper;
use crate::zookeeper::Reassignments;

/// Steps that reassignments take without waiting before other events have their turn: all that one takes, and some to spare
/// for those that lose a race.
const STEPS: usize = 6;

impl Term {
    /// Somebody wants partitions to have other replicas.
    pub(super) async fn reassignments_wanted(
        &mut self,
        wanted: Reassignments,
    ) -> Result<(), zookeeper::Error> {
        let mut new = Vec::new();
        for (partition, target) in wanted {
            if self.state.reassignments.contains_key(&partition) {
                continue;
            }
            self.look_up(&partition.topic).await?;
            let ids: Vec<_> = target.iter().map(|id| id.0).collect();
            tracing::info!("{partition}: to be reassigned to {ids:?}");
            let reassignment = Reassignment {
                possible: target.iter().all(|id| self.state.is_live(*id)),
                target,
                begun: false,
                switched: false,
            };
            new.push(partition.clone());
            self.state.reassignments.insert(partition, reassignment);
        }
        if !new.is_empty() {
            self.tell_progress();
        }
        new.retain(|partition| self.state.assignments.contains_key(partition));
        self.refresh(&new).await
    }

    /// Takes the steps of reassignments that are possible now.
    pub(super) async fn reassign(&mut self) -> Result<(), zookeeper::Error> {
        let before = self.state.reassignments.len();
        let goes_on = |state: &ClusterState| plan::reassignments(state) != Plan::default();
        for _ in 0..STEPS {
            if !goes_on(&self.state) {
                break;
            }
            self.carry_out(plan::reassignments).await?;
        }
        let left = self.state.reassignments.len();
        self.reassigns_on = left < before && goes_on(&self.state);
        if left < before {
            self.tell_progress();
        }
        self.follow_reassigned();
        Ok(())
    }

    fn tell_progress(&self) {
        let left = self.state.reassignments.len();
        match self.state.reassignments_max {
            _ if left == 0 => tracing::info!("no partition is left to be reassigned"),
            Some(max) => tracing::info!("{left} partitions are left to be reassigned, {max} at a time"),
            None => tracing::info!("{left} partitions are left to be reassigned"),
        }
    }

    /// Follows the ISR of exactly the partitions that are on the way to other replicas.
    fn follow_reassigned(&mut self) {
        let reassigned: BTreeSet<_> = plan::under_way(&self.state)
            .map(|(partition, _)| partition)
            .collect();
        self.followed.retain(|partition, task| {
            let stays = reassigned.contains(partition);
            if !stays {
                task.abort();
            }
            stays
        });
        for partition in reassigned {
            self.followed.entry(partition.clone()).or_insert_with(|| {
                let (store, events) = (self.store.clone(), self.events.clone());
                let following = watch::leadership(store, partition.clone(), events.clone());
                tokio::spawn(watch::until_lost(following, events)).abort_handle()
            });
        }
    }

    /// Somebody wants topics to go. Which is asked anew: what a watch has seen may be fulfilled by now, and a topic of that
    /// name be there again. Wishes for topics that don't exist are dropped.
    pub(super) async fn deletions_wanted(&mut self) -> Result<(), zookeeper::Error> {
        for topic in self.store.topic_deletions().await? {
            let topic: Arc<str> = topic.into();
            if self.state.deletions.contains_key(&topic) {
                continue;
            }
            if self.look_up(&topic).await? {
                tracing::info!("{topic}: to be deleted");
                self.state.deletions.insert(topic, Deletion::default());
            } else {
                tracing::warn!("{topic}: there is no such topic to be deleted");
                self.store.remove_topic_deletion(&topic).await?;
            }
        }
        Ok(())
    }

    /// What a broker answered about replicas that it was to delete. Those of partitions that were reassigned need no
    /// more attention.
    pub(super) fn replicas_deleted(&mut self, broker: BrokerId, replicas: Vec<(TopicPartition, bool)>) {
        for (partition, gone) in replicas {
            let Some(deletion) = self.state.deletions.get_mut(&partition.topic) else {
                continue;
            };
            let replica = (broker, partition.partition);
            if deletion.asked.remove(&replica) {
                let became = if gone {
                    &mut deletion.gone
                } else {
                    &mut deletion.failed
                };
                became.insert(replica);
            }
        }
    }

    /// Lets what failed at a broker be tried again.
    pub(super) fn forget_failures(&mut self) {
        for deletion in self.state.deletions.values_mut() {
            deletion.failed.clear();
        }
    }

    /// Takes every deletion as far as it gets without waiting.
    pub(super) async fn continue_deletions(&mut self) -> Result<(), zookeeper::Error> {
        let topics: Vec<_> = self.state.deletions.keys().cloned().collect();
        let mut done = Vec::new();
        for topic in topics {
            self.announce(&topic);
            match plan::topic_deletion(&self.state, &topic) {
                Step::Wait => {}
                Step::Stop(stops) => {
                    let epoch = self.state.controller_epoch;
                    self.channels.send_stops(epoch, stops.iter());
                    if let Some(deletion) = self.state.deletions.get_mut(&topic) {
                        let asked = stops.iter().map(|stop| (stop.broker, stop.partition.partition));
                        deletion.asked.extend(asked);
                    }
                }
                Step::Remove => done.push(topic),
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = done.iter().map(|topic| &**topic).collect();
        self.store.delete_topics(&names).await?;
        for topic in &done {
            self.state.forget_topic(topic);
            tracing::info!("{topic}: deleted");
        }
        Ok(())
    }

    /// Tells all brokers, once, to forget a topic.
    fn announce(&mut self, topic: &Arc<str>) {
        let Some(deletion) = self.state.deletions.get_mut(topic) else {
            return;
        };
        if std::mem::replace(&mut deletion.announced, true) {
            return;
        }
        let partitions: Vec<_> = self.state.assigned(topic).map(|(name, _)| name).collect();
        let everybody: Vec<_> = self.state.brokers.keys().copied().collect();
        self.channels.send_metadata(&self.state, &partitions, &everybody);
    }
}
