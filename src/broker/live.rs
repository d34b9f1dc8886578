//! What this broker serves, as ephemeral znodes: `/brokers/live/<topic>/<broker id>`, one per topic.
//!
//! Written off the request path by one task that compares what ZooKeeper was last told with what is. Java processes
//! never look there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::replication::Partitions;
use crate::replication::RoleName;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::zookeeper;
use crate::zookeeper::LivePartition;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// Changes that follow each other within this time are written together.
const SETTLE: Duration = Duration::from_millis(50);

/// Pause after ZooKeeper refused, or was not there.
const RETRY: Duration = Duration::from_secs(1);

/// What one topic's node says.
type Topic = BTreeMap<i32, LivePartition>;

/// Keeps the nodes true until shutdown; they go with the session.
pub(crate) async fn keep_live(
    sessions: Sessions,
    me: BrokerId,
    partitions: Arc<Partitions>,
    mut shutdown: Shutdown,
) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = in_every_session(&sessions, me, &partitions) => {}
    }
}

async fn in_every_session(sessions: &Sessions, me: BrokerId, partitions: &Partitions) {
    let mut previous = None;
    // The error means that the sessions are closed for good.
    while let Ok(store) = sessions.next_after(previous).await {
        previous = Some(store.session_id());
        tokio::select! {
            () = store.ended() => {}
            () = in_session(&store, me, partitions) => {}
        }
    }
}

async fn in_session(store: &Store, me: BrokerId, partitions: &Partitions) {
    let mut changes = partitions.changes();
    let mut told = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        if let Err(error) = tell(store, me, &roles(partitions), &mut told).await {
            tracing::debug!("live partitions: {error}; trying again");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(SETTLE).await;
    }
}

/// Writes what differs, and remembers what was written.
async fn tell(
    store: &Store,
    me: BrokerId,
    serves: &BTreeMap<Arc<str>, Topic>,
    told: &mut BTreeMap<Arc<str>, Topic>,
) -> Result<(), zookeeper::Error> {
    let gone: Vec<_> = told
        .keys()
        .filter(|topic| !serves.contains_key(*topic))
        .cloned()
        .collect();
    for topic in gone {
        store.remove_live(&topic, me).await?;
        told.remove(&topic);
    }
    for (topic, partitions) in serves {
        if told.get(topic) != Some(partitions) {
            store.set_live(topic, me, partitions).await?;
            told.insert(Arc::clone(topic), partitions.clone());
        }
    }
    Ok(())
}

fn roles(partitions: &Partitions) -> BTreeMap<Arc<str>, Topic> {
    let mut topics: BTreeMap<Arc<str>, Topic> = BTreeMap::new();
    for (partition, role, leader_epoch) in partitions.roles() {
        let role = match role {
            RoleName::Leader => zookeeper::Role::Leader,
            RoleName::Follower => zookeeper::Role::Follower,
        };
        topics
            .entry(partition.topic)
            .or_default()
            .insert(partition.partition, LivePartition { role, leader_epoch });
    }
    topics
}
