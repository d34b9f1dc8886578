//! Carrying out a plan: ZooKeeper first, then the state, then the orders.
//!
//! A leadership that could not be written is not told to anybody. What the node says then is taken over into the
//! state, and the next event plans again.

use crate::controller::notify::Channels;
use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::TopicPartition;
use crate::types::listed;
use crate::zookeeper;
use crate::zookeeper::Store;
use crate::zookeeper::Versioned;

/// Writes and tells what was planned. Answers whether a write lost a race, so that it has to be planned anew.
pub(crate) async fn carry_out(
    plan: Plan,
    state: &mut ClusterState,
    store: &Store,
    channels: &mut Channels,
) -> Result<bool, zookeeper::Error> {
    let (create, update): (Vec<_>, Vec<_>) = plan.decisions.into_iter().partition(|decision| decision.create);
    let mut written = Vec::new();
    let mut lost_race = create_all(create, state, store, &mut written).await?;
    lost_race |= update_all(update, state, store, &mut written).await?;

    channels.follow(state);
    let everybody: Vec<_> = state.brokers.keys().copied().collect();
    let changed: Vec<_> = written.iter().collect();
    if !changed.is_empty() {
        tracing::info!("new leadership for {}", listed(&changed));
    }
    if !plan.newcomers.is_empty() {
        channels.send_all_metadata(state, &plan.newcomers);
        let all: Vec<_> = state.leaderships.keys().collect();
        channels.send_roles(state, &all, &plan.newcomers);
    }
    let others: Vec<_> = everybody
        .iter()
        .filter(|id| !plan.newcomers.contains(id))
        .copied()
        .collect();
    channels.send_roles(state, &changed, &others);
    if !changed.is_empty() || plan.brokers_changed {
        channels.send_metadata(state, &changed, &others);
    }
    Ok(lost_race)
}

async fn create_all(
    decisions: Vec<Decision>,
    state: &mut ClusterState,
    store: &Store,
    written: &mut Vec<TopicPartition>,
) -> Result<bool, zookeeper::Error> {
    let nodes: Vec<_> = decisions
        .iter()
        .map(|decision| (decision.partition.clone(), record(&decision.leadership)))
        .collect();
    let mut lost_race = false;
    for (decision, result) in decisions
        .into_iter()
        .zip(store.create_partition_states(&nodes).await)
    {
        let Decision {
            partition,
            leadership,
            ..
        } = decision;
        match result {
            Ok(()) => {
                tracing::debug!(
                    "{partition}: new, leader {}, ISR {}",
                    leader(&leadership),
                    isr(&leadership)
                );
                state.leaderships.insert(partition.clone(), leadership);
                written.push(partition);
            }
            Err(zookeeper::Error::Exists { .. }) => {
                // A controller before us created it without telling anybody; it counts, and is planned with.
                adopt(&partition, state, store).await?;
                written.push(partition);
                lost_race = true;
            }
            Err(error @ zookeeper::Error::Corrupt { .. }) => leave_out(&partition, state, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(lost_race)
}

async fn update_all(
    decisions: Vec<Decision>,
    state: &mut ClusterState,
    store: &Store,
    written: &mut Vec<TopicPartition>,
) -> Result<bool, zookeeper::Error> {
    let nodes: Vec<_> = decisions
        .iter()
        .map(|decision| {
            let leadership = &decision.leadership;
            let node = Versioned {
                value: record(leadership),
                version: leadership.zk_version,
            };
            (decision.partition.clone(), node)
        })
        .collect();
    let mut lost_race = false;
    for (decision, result) in decisions
        .into_iter()
        .zip(store.set_partition_states(&nodes).await)
    {
        let Decision {
            partition,
            mut leadership,
            ..
        } = decision;
        match result {
            Ok(version) => {
                leadership.zk_version = version;
                tracing::debug!(
                    "{partition}: leader {} at epoch {}, ISR {}",
                    leader(&leadership),
                    leadership.leader_epoch,
                    isr(&leadership)
                );
                state.leaderships.insert(partition.clone(), leadership);
                written.push(partition);
            }
            Err(zookeeper::Error::Conflict { .. } | zookeeper::Error::NotFound { .. }) => {
                adopt(&partition, state, store).await?;
                lost_race = true;
            }
            Err(error @ zookeeper::Error::Corrupt { .. }) => leave_out(&partition, state, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(lost_race)
}

/// Takes over what the node says.
async fn adopt(
    partition: &TopicPartition,
    state: &mut ClusterState,
    store: &Store,
) -> Result<(), zookeeper::Error> {
    match store.partition_state(partition).await {
        Ok(Some(node)) => {
            state.leaderships.insert(partition.clone(), leadership(node));
        }
        Ok(None) => {
            state.leaderships.remove(partition);
        }
        Err(error @ zookeeper::Error::Corrupt { .. }) => leave_out(partition, state, &error),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A partition whose state can't be read: who leads it is not known, and must not be decided anew. Its leader, if it has
/// one, leads on.
pub(crate) fn leave_out(partition: &TopicPartition, state: &mut ClusterState, error: &zookeeper::Error) {
    tracing::error!("{partition}: {error}; left out until it is mended");
    state.assignments.remove(partition);
    state.leaderships.remove(partition);
}

/// What a state node says.
pub(crate) fn leadership(node: Versioned<zookeeper::PartitionState>) -> Leadership {
    let Versioned { value, version } = node;
    Leadership {
        leader: value.leader,
        leader_epoch: value.leader_epoch,
        isr: value.isr,
        controller_epoch: value.controller_epoch,
        zk_version: version,
    }
}

fn record(leadership: &Leadership) -> zookeeper::PartitionState {
    zookeeper::PartitionState {
        leader: leadership.leader,
        leader_epoch: leadership.leader_epoch,
        isr: leadership.isr.clone(),
        controller_epoch: leadership.controller_epoch,
    }
}

fn leader(leadership: &Leadership) -> String {
    leadership
        .leader
        .map_or_else(|| "none".into(), |leader| leader.to_string())
}

fn isr(leadership: &Leadership) -> String {
    format!("{:?}", leadership.isr.iter().map(|id| id.0).collect::<Vec<_>>())
}
