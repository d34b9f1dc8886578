//! A cluster in this process, for the tests of the clients: real sockets, logs in memory, failures on demand.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use crate::client::Cluster;
use crate::client::ClusterConfig;
use crate::message::entry::entries;
use crate::message::set::Limits;
use crate::message::set::SetBuilder;
use crate::message::slice::FileSlice;
use crate::metrics::Metrics;
use crate::net::Handler;
use crate::net::Listener;
use crate::net::ListenerConfig;
use crate::net::Peer;
use crate::net::Reply;
use crate::protocol::DecodeError;
use crate::protocol::ErrorCode;
use crate::protocol::Request;
use crate::protocol::RequestHeader;
use crate::protocol::fetch;
use crate::protocol::list_offsets;
use crate::protocol::metadata;
use crate::protocol::produce;
use crate::shutdown::Trigger;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// The one topic there is.
pub(super) const TOPIC: &str = "t";

/// Two brokers that share their state. They stop when it is dropped.
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    trigger: Trigger,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) brokers: Vec<Endpoint>,
    pub(super) leaders: BTreeMap<i32, Option<BrokerId>>,
    pub(super) logs: HashMap<i32, Log>,
    /// What the next answers about the topic, and about a partition, say instead.
    pub(super) topic_errors: VecDeque<ErrorCode>,
    pub(super) errors: HashMap<i32, VecDeque<ErrorCode>>,
    /// Produce requests that arrived, by broker.
    pub(super) produced: Vec<BrokerId>,
    /// Sizes that fetches asked for.
    pub(super) fetch_sizes: Vec<i32>,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) start: i64,
    pub(super) end: i64,
    bytes: Vec<u8>,
}

impl Fake {
    /// Brokers 0 and 1, each leading every other partition.
    pub(super) async fn start(partitions: i32) -> Self {
        let fake = Self {
            state: Arc::default(),
            trigger: Trigger::new(),
        };
        for id in [BrokerId(0), BrokerId(1)] {
            let config = ListenerConfig {
                host: Some("127.0.0.1".to_owned()),
                port: 0,
                drain: Duration::ZERO,
                ..ListenerConfig::default()
            };
            let listener = Listener::bind(config, &Metrics::new()).await.unwrap();
            let port = listener.local_addr().unwrap().port().into();
            fake.state().brokers.push(Endpoint {
                id,
                host: "127.0.0.1".to_owned(),
                port,
            });
            let broker = Broker {
                id,
                state: Arc::clone(&fake.state),
            };
            tokio::spawn(listener.run(broker, fake.trigger.signal()));
        }
        for partition in 0..partitions {
            fake.state()
                .leaders
                .insert(partition, Some(BrokerId(partition % 2)));
        }
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) async fn cluster(&self) -> Arc<Cluster> {
        let brokers = self.state().brokers.iter().map(address).collect();
        Arc::new(Cluster::connect(config(brokers)).await.unwrap())
    }

    /// The last broker's address alone.
    pub(super) fn last_broker(&self) -> (String, u16) {
        address(self.state().brokers.last().unwrap())
    }

    /// Puts a message into a partition.
    pub(super) fn append(&self, partition: i32, value: &[u8]) {
        let mut set = SetBuilder::new(crate::message::Codec::None);
        set.push(None, Some(value));
        let set = produce::PartitionProduce {
            partition,
            set: crate::message::set::ProducedSet::new(set.build().unwrap()),
        };
        self.state().append(set);
    }

    /// Values of a partition, in order.
    pub(super) fn values(&self, partition: i32) -> Vec<String> {
        let state = self.state();
        let Some(log) = state.logs.get(&partition) else {
            return Vec::new();
        };
        let messages = crate::message::wrapper::deep_entries(&log.bytes, 1 << 30).unwrap();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        messages
            .iter()
            .map(|(_, message)| text(message.value.as_ref().unwrap()))
            .collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.trigger.stop();
    }
}

pub(super) fn config(brokers: Vec<(String, u16)>) -> ClusterConfig {
    let (client_id, request_timeout) = ("test".to_owned(), Duration::from_secs(10));
    ClusterConfig {
        brokers,
        client_id,
        request_timeout,
    }
}

fn address(endpoint: &Endpoint) -> (String, u16) {
    (endpoint.host.clone(), endpoint.port.try_into().unwrap())
}

impl State {
    fn metadata(&mut self) -> metadata::MetadataResponse {
        let error = self.topic_errors.pop_front().unwrap_or(ErrorCode::None);
        let partition = |(partition, leader): (&i32, &Option<BrokerId>)| metadata::PartitionMetadata {
            error: ErrorCode::None,
            partition: *partition,
            leader: *leader,
            replicas: Vec::new(),
            isr: Vec::new(),
        };
        let described = metadata::TopicMetadata {
            error,
            topic: Some(TOPIC.to_owned()),
            partitions: self
                .leaders
                .iter()
                .filter(|_| error.is_none())
                .map(partition)
                .collect(),
        };
        metadata::MetadataResponse {
            brokers: self.brokers.clone(),
            topics: vec![described],
        }
    }

    /// What a broker says about a partition before it looks any further.
    fn code(&mut self, id: BrokerId, partition: i32) -> ErrorCode {
        match self.errors.get_mut(&partition).and_then(VecDeque::pop_front) {
            Some(code) => code,
            None if self.leaders.get(&partition) == Some(&Some(id)) => ErrorCode::None,
            None => ErrorCode::NotLeaderForPartition,
        }
    }

    fn append(&mut self, part: produce::PartitionProduce) -> i64 {
        let log = self.logs.entry(part.partition).or_default();
        let limits = Limits::default();
        let set = part.set.check(&limits).unwrap().assign(log.end, &limits).unwrap();
        log.bytes.extend_from_slice(set.bytes());
        std::mem::replace(&mut log.end, set.end_offset())
    }

    fn produce(&mut self, id: BrokerId, request: produce::ProduceRequest) -> produce::ProduceResponse {
        self.produced.push(id);
        let mut answers = Vec::new();
        for part in request.topics.into_iter().flat_map(|topic| topic.partitions) {
            let (partition, error) = (part.partition, self.code(id, part.partition));
            let base_offset = if error.is_none() { self.append(part) } else { -1 };
            answers.push(produce::PartitionProduced {
                partition,
                error,
                base_offset,
            });
        }
        produce::ProduceResponse {
            topics: vec![(Some(TOPIC.to_owned()), answers)],
        }
    }

    fn fetch(&mut self, id: BrokerId, asked: &fetch::PartitionFetch) -> fetch::PartitionFetched {
        self.fetch_sizes.push(asked.max_bytes);
        let mut error = self.code(id, asked.partition);
        let log = self.logs.entry(asked.partition).or_default();
        if error.is_none() && !(log.start..=log.end).contains(&asked.offset) {
            error = ErrorCode::OffsetOutOfRange;
        }
        let mut found: &[u8] = &[];
        if error.is_none() {
            found = &log.bytes;
            let mut rest = entries(&log.bytes);
            while let Some(Ok((offset, _))) = rest.next() {
                if offset >= asked.offset {
                    break;
                }
                found = rest.rest();
            }
        }
        let found = &found[..found.len().min(asked.max_bytes.try_into().unwrap())];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(found).unwrap();
        let len = found.len().try_into().unwrap();
        let slice = FileSlice {
            file: Arc::new(file),
            position: 0,
            len,
            cold: false,
        };
        fetch::PartitionFetched {
            partition: asked.partition,
            error,
            high_watermark: log.end,
            messages: (len > 0).then_some(slice),
        }
    }

    fn offsets(
        &mut self,
        id: BrokerId,
        asked: &list_offsets::PartitionOffsets,
    ) -> list_offsets::PartitionOffsetsFound {
        let error = self.code(id, asked.partition);
        let log = self.logs.entry(asked.partition).or_default();
        let offset = match asked.at {
            list_offsets::OffsetSpec::Earliest => log.start,
            _ => log.end,
        };
        let offsets = if error.is_none() { vec![offset] } else { Vec::new() };
        list_offsets::PartitionOffsetsFound {
            partition: asked.partition,
            error,
            offsets,
        }
    }
}

#[derive(Clone)]
struct Broker {
    id: BrokerId,
    state: Arc<Mutex<State>>,
}

impl Handler for Broker {
    fn handle(&self, _: &Peer, _: RequestHeader, request: Request) -> Reply {
        let mut state = self.state.lock().unwrap();
        let topic = || Some(TOPIC.to_owned());
        match request {
            Request::Metadata(_) => Reply::Send(state.metadata().into()),
            Request::Produce(request) => {
                let acks = request.acks;
                let response = state.produce(self.id, request);
                if acks == produce::Acks::None {
                    Reply::Nothing
                } else {
                    Reply::Send(response.into())
                }
            }
            Request::ListOffsets(request) => {
                let found = request.topics.iter().flat_map(|(_, partitions)| partitions);
                let found = found.map(|asked| state.offsets(self.id, asked)).collect();
                Reply::Send(
                    list_offsets::ListOffsetsResponse {
                        topics: vec![(topic(), found)],
                    }
                    .into(),
                )
            }
            Request::Fetch(request) => {
                let found = request.topics.iter().flat_map(|(_, partitions)| partitions);
                let found = found.map(|asked| state.fetch(self.id, asked)).collect();
                let response = fetch::FetchResponse {
                    topics: vec![(topic(), found)],
                };
                // Long polls of a moment each, so that a reader that waits does not spin.
                Reply::Later(Box::pin(async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Reply::Send(response.into())
                }))
            }
            other => panic!("no client sends {other:?}"),
        }
    }

    fn refused(&self, _: &Peer, error: DecodeError) {
        panic!("{error}");
    }
}
