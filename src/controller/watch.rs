//! ZooKeeper changes -> events.
//!
//! All tasks end with the set they live in, which is dropped when the controller resigns.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::controller::event::Event;
use crate::controller::state::Broker;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;
use crate::zookeeper;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::Store;

/// Starts watching everything that a controller acts on; wishes to delete topics only where they are fulfilled.
pub(crate) fn start(
    store: &Store,
    me: BrokerId,
    delete_topics: bool,
    events: &mpsc::Sender<Event>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let of = || (store.clone(), events.clone());
    let (watched, told) = of();
    tasks.spawn(until_lost(brokers(watched, told), events.clone()));
    let (watched, told) = of();
    tasks.spawn(until_lost(topics(watched, told), events.clone()));
    let (watched, told) = of();
    tasks.spawn(until_lost(controller(watched, me, told), events.clone()));
    let (watched, told) = of();
    tasks.spawn(until_lost(reassignments(watched, told), events.clone()));
    let (watched, told) = of();
    tasks.spawn(until_lost(preferred_elections(watched, told), events.clone()));
    if delete_topics {
        let (watched, told) = of();
        tasks.spawn(until_lost(deletions(watched, told), events.clone()));
    }
    let (ended, resigned) = of();
    tasks.spawn(async move {
        ended.ended().await;
        let _ = resigned.send(Event::Resigned).await;
    });
    tasks
}

/// A watch that fails leaves the controller blind: it resigns, and whoever is elected next starts afresh.
pub(crate) async fn until_lost(
    watching: impl Future<Output = Result<(), zookeeper::Error>> + Send,
    events: mpsc::Sender<Event>,
) {
    if let Err(error) = watching.await {
        tracing::warn!("controller lost a watch: {error}");
        let _ = events.send(Event::Resigned).await;
    }
}

async fn reassignments(store: Store, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut wanted = store.watch_reassignments();
    loop {
        match wanted.next().await {
            Ok(wanted) if wanted.is_empty() => {}
            Ok(wanted) => {
                if events.send(Event::ReassignmentsWanted(wanted)).await.is_err() {
                    return Ok(());
                }
            }
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                tracing::error!("{error}; no partition is reassigned until it is mended");
            }
            Err(error) => return Err(error),
        }
    }
}

async fn preferred_elections(store: Store, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut wanted = store.watch_preferred_elections();
    loop {
        let partitions = match wanted.next().await {
            Ok(None) => continue,
            Ok(Some(partitions)) => partitions,
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                // An election of nobody, after which the node is gone: it would keep others from asking.
                tracing::error!("{error}; nobody is elected for it");
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        if events
            .send(Event::PreferredElectionsWanted(partitions))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

async fn deletions(store: Store, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut wanted = store.watch_topic_deletions();
    loop {
        let topics = wanted.next().await?;
        if !topics.is_empty() && events.send(Event::DeletionsWanted(topics)).await.is_err() {
            return Ok(());
        }
    }
}

/// Follows the ISR of one partition.
pub(crate) async fn leadership(
    store: Store,
    partition: TopicPartition,
    events: mpsc::Sender<Event>,
) -> Result<(), zookeeper::Error> {
    let mut state = store.watch_partition_state(&partition);
    loop {
        let node = match state.next().await {
            Ok(Some(node)) => node,
            Ok(None) => continue,
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                tracing::error!("{partition}: {error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        let event = Event::LeadershipChanged(partition.clone(), node);
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

async fn brokers(store: Store, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut ids = store.watch_broker_ids();
    loop {
        ids.next().await?;
        let (registered, unreadable) = store.registrations().await?;
        let event = Event::BrokersChanged(broker_map(registered), unreadable);
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

async fn topics(store: Store, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut names = store.watch_topics();
    let mut watched: BTreeMap<Arc<str>, tokio::task::AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let topics: BTreeSet<Arc<str>> = names.next().await?.into_iter().map(Arc::from).collect();
        watched.retain(|topic, task| {
            let stays = topics.contains(topic) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        if events.send(Event::TopicsChanged(topics.clone())).await.is_err() {
            return Ok(());
        }
        for topic in topics {
            watched.entry(Arc::clone(&topic)).or_insert_with(|| {
                let (store, events) = (store.clone(), events.clone());
                tasks.spawn(until_lost(assignment(store, topic, events.clone()), events))
            });
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Follows one topic; a node without content is as good as none, and may get some.
async fn assignment(
    store: Store,
    topic: Arc<str>,
    events: mpsc::Sender<Event>,
) -> Result<(), zookeeper::Error> {
    let mut assignment = store.watch_assignment(&topic);
    loop {
        let change = match assignment.next().await {
            Ok(change) => change,
            Err(zookeeper::Error::Corrupt { path, problem }) => {
                tracing::error!(
                    "{topic}: {path} is not readable ({problem}); left as it was until it is mended"
                );
                continue;
            }
            Err(error) => return Err(error),
        };
        let event = Event::AssignmentChanged(Arc::clone(&topic), change);
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

async fn controller(store: Store, me: BrokerId, events: mpsc::Sender<Event>) -> Result<(), zookeeper::Error> {
    let mut elected = store.watch_controller();
    loop {
        let ours = elected
            .next()
            .await?
            .is_some_and(|node| node.id == me && node.session == store.session_id());
        if !ours {
            let _ = events.send(Event::Resigned).await;
            return Ok(());
        }
    }
}

/// Registrations by id.
pub(crate) fn broker_map(registrations: Vec<BrokerRegistration>) -> BTreeMap<BrokerId, Broker> {
    let broker = |registration: BrokerRegistration| {
        let id = registration.id;
        let endpoint = Endpoint {
            id,
            host: registration.host,
            port: registration.port,
        };
        (
            id,
            Broker {
                endpoint,
                incarnation: registration.timestamp,
            },
        )
    };
    registrations.into_iter().map(broker).collect()
}
