//! The cluster as its clients see it: who leads what, and one connection to each broker that is talked to.
//!
//! Always holds: what is known is what the latest answer said. Nothing here waits for a leader; callers do, with
//! their own patience.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::client::Error;
use crate::net::CallError;
use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::metadata::MetadataRequest;
use crate::protocol::metadata::MetadataResponse;
use crate::protocol::metadata::TopicMetadata;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;

/// Where a cluster is and how to talk to it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Brokers to ask first, by host and port. One that is alive is enough.
    pub brokers: Vec<(String, u16)>,
    /// Who the brokers are told is asking.
    pub client_id: String,
    /// How long connecting, and an answer, may take.
    pub request_timeout: Duration,
}

/// The leaders of a topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Every partition, with its leader while it has one.
    pub leaders: BTreeMap<i32, Option<BrokerId>>,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    known: Mutex<Known>,
    callers: Mutex<HashMap<(String, i32), Arc<Caller>>>,
}

#[derive(Debug, Default)]
struct Known {
    brokers: BTreeMap<BrokerId, Endpoint>,
    topics: HashMap<String, Arc<Topic>>,
}

impl Cluster {
    /// Connects to the first of the configured brokers that answers.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let cluster = Self {
            config,
            known: Mutex::default(),
            callers: Mutex::default(),
        };
        let mut failures = Vec::new();
        for endpoint in cluster.candidates() {
            match cluster.caller(&endpoint).await {
                Ok(_) => return Ok(cluster),
                Err(failure) => failures.push(failure),
            }
        }
        Err(Error::NoBroker { failures })
    }

    /// What is known of a topic, without asking anybody.
    pub fn known(&self, topic: &str) -> Option<Arc<Topic>> {
        lock(&self.known).topics.get(topic).cloned()
    }

    /// Asks any broker about a topic. Where brokers create topics by themselves, this does it; the leaders come later.
    pub async fn refresh(&self, topic: &str) -> Result<Arc<Topic>, Error> {
        let request = MetadataRequest {
            topics: vec![Some(topic.to_owned())],
        };
        let mut failures = Vec::new();
        for endpoint in self.candidates() {
            match self.ask(&endpoint, &request).await {
                Ok(response) => return self.learn(topic, response),
                Err(failure) => failures.push(failure),
            }
        }
        Err(Error::NoBroker { failures })
    }

    /// The connection to a partition's leader, as far as known.
    pub async fn leader(&self, partition: &TopicPartition) -> Result<Arc<Caller>, Error> {
        let leader = self
            .known(&partition.topic)
            .and_then(|topic| topic.leaders.get(&partition.partition).copied().flatten());
        match leader {
            Some(leader) => self.broker(leader).await,
            None => Err(Error::NoLeader {
                partition: partition.clone(),
            }),
        }
    }

    /// The connection to a broker.
    pub async fn broker(&self, id: BrokerId) -> Result<Arc<Caller>, Error> {
        let endpoint = lock(&self.known).brokers.get(&id).cloned();
        // Brokers name only leaders that they also list; one that doesn't has just lost it.
        let endpoint = endpoint.ok_or(Error::NoBroker { failures: Vec::new() })?;
        Ok(self.caller(&endpoint).await?)
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        request: &MetadataRequest,
    ) -> Result<MetadataResponse, CallError> {
        self.caller(endpoint).await?.call(request).await
    }

    async fn caller(&self, endpoint: &Endpoint) -> Result<Arc<Caller>, CallError> {
        let address = (endpoint.host.clone(), endpoint.port);
        let open = lock(&self.callers).get(&address).cloned();
        if let Some(open) = open.filter(|caller| !caller.is_closed()) {
            return Ok(open);
        }
        let client_id = Some(self.config.client_id.as_str());
        let caller = Caller::connect(endpoint, self.config.request_timeout, client_id).await?;
        let caller = Arc::new(caller);
        lock(&self.callers).insert(address, Arc::clone(&caller));
        Ok(caller)
    }

    /// Brokers that the cluster told about, then the configured ones, each address once.
    fn candidates(&self) -> Vec<Endpoint> {
        let mut candidates: Vec<Endpoint> = lock(&self.known).brokers.values().cloned().collect();
        for (host, port) in &self.config.brokers {
            let port = i32::from(*port);
            if !candidates
                .iter()
                .any(|known| known.host == *host && known.port == port)
            {
                // Its number is not known before it is asked; nobody looks brokers up by this one.
                let (id, host) = (BrokerId(-1), host.clone());
                candidates.push(Endpoint { id, host, port });
            }
        }
        candidates
    }

    fn learn(&self, topic: &str, response: MetadataResponse) -> Result<Arc<Topic>, Error> {
        let mut known = lock(&self.known);
        if !response.brokers.is_empty() {
            known.brokers = response
                .brokers
                .into_iter()
                .map(|broker| (broker.id, broker))
                .collect();
        }
        let described = response
            .topics
            .into_iter()
            .find(|described| described.topic.as_deref() == Some(topic));
        let described = Topic::read(topic, described).inspect_err(|_| {
            known.topics.remove(topic);
        })?;
        let described = Arc::new(described);
        known.topics.insert(topic.to_owned(), Arc::clone(&described));
        Ok(described)
    }
}

impl Topic {
    fn read(topic: &str, described: Option<TopicMetadata>) -> Result<Self, Error> {
        let failed = |code| {
            Err(Error::Topic {
                topic: topic.to_owned(),
                code,
            })
        };
        let Some(described) = described else {
            return failed(ErrorCode::Unknown);
        };
        if described.partitions.is_empty() {
            // An answer without an error and without partitions is one that comes too early.
            let code = match described.error {
                ErrorCode::None => ErrorCode::LeaderNotAvailable,
                code => code,
            };
            return failed(code);
        }
        let leaders = described
            .partitions
            .iter()
            .map(|partition| (partition.partition, partition.leader))
            .collect();
        Ok(Self { leaders })
    }

    /// Partitions that have a leader.
    pub(super) fn led(&self) -> impl Iterator<Item = i32> {
        self.leaders
            .iter()
            .filter(|(_, leader)| leader.is_some())
            .map(|(partition, _)| *partition)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
