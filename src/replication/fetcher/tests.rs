use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::*;
use crate::log::LogConfig;
use crate::log::LogsConfig;
use crate::message::Codec;
use crate::message::entry::entries;
use crate::message::set::Limits;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::message::slice::FileSlice;
use crate::metrics::Metrics;
use crate::metrics::Timer;
use crate::net::Handler;
use crate::net::Listener;
use crate::net::ListenerConfig;
use crate::net::Peer;
use crate::net::Reply;
use crate::protocol::DecodeError;
use crate::protocol::Request;
use crate::protocol::RequestHeader;
use crate::protocol::leader_and_isr::Leader;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::leader_and_isr::PartitionState;
use crate::protocol::list_offsets::ListOffsetsResponse;
use crate::protocol::list_offsets::OffsetSpec;
use crate::protocol::list_offsets::PartitionOffsetsFound;
use crate::protocol::stop_replica::StopReplicaRequest;
use crate::replication::HighWatermarks;
use crate::replication::Partitions;
use crate::shutdown::Trigger;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);
/// What is usually asked for: little, so that little does not fit.
const FETCH_BYTES: i32 = 64 << 10;
const SOON: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(20);

/// A leader that does as it is told: answers at once what there is, and else sits on the request.
#[derive(Debug, Clone, Default)]
struct FakeLeader(Arc<Mutex<FakeState>>);

#[derive(Debug, Default)]
struct FakeState {
    logs: BTreeMap<i32, Vec<u8>>,
    /// What these partitions answer instead.
    errors: BTreeMap<i32, ErrorCode>,
    /// What one partition answers once.
    error_once: Option<(i32, ErrorCode)>,
    /// Partition and offset of every fetch.
    asked: Vec<(i32, i64)>,
    /// Partition and bytes of every fetch of more than the usual.
    asked_more: Vec<(i32, i32)>,
    client_ids: Vec<Option<String>>,
    /// How long it sits on a request at most, unless for ever.
    patience: Option<Duration>,
    /// Its high watermarks, unless everything is committed.
    committed: Option<i64>,
    /// Requests that it sits on for ever, or sat on until they were given up.
    held: usize,
    /// Requests that it sat on and that were given up.
    given_up: usize,
}

struct GivenUp(FakeLeader);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.state().given_up += 1;
    }
}

impl FakeLeader {
    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.0.lock().unwrap()
    }

    fn asked(&self, partition: i32) -> Vec<i64> {
        let state = self.state();
        let asked = state.asked.iter().filter(|(asked, _)| *asked == partition);
        asked.map(|(_, offset)| *offset).collect()
    }

    fn fetched(&self, fetch: &PartitionFetch) -> PartitionFetched<FileSlice> {
        let mut state = self.state();
        state.asked.push((fetch.partition, fetch.offset));
        if fetch.max_bytes > FETCH_BYTES {
            state.asked_more.push((fetch.partition, fetch.max_bytes));
        }
        let once = state
            .error_once
            .filter(|(partition, _)| *partition == fetch.partition);
        if once.is_some() {
            state.error_once = None;
        }
        let error = once
            .map(|(_, error)| error)
            .or(state.errors.get(&fetch.partition).copied())
            .unwrap_or(ErrorCode::None);
        let log = state.logs.get(&fetch.partition).cloned().unwrap_or_default();
        let end = end_of(&log);
        let mut walk = entries(&log);
        let mut rest = walk.rest();
        while walk.next().is_some_and(|entry| entry.unwrap().0 < fetch.offset) {
            rest = walk.rest();
        }
        let rest = rest
            .split_at(rest.len().min(fetch.max_bytes.try_into().unwrap()))
            .0;
        let messages = (error == ErrorCode::None && !rest.is_empty()).then(|| slice(rest));
        PartitionFetched {
            partition: fetch.partition,
            error,
            high_watermark: if error == ErrorCode::None {
                state.committed.unwrap_or(end)
            } else {
                -1
            },
            messages,
        }
    }
}

impl Handler for FakeLeader {
    fn handle(&self, _: &Peer, header: RequestHeader, request: Request) -> Reply {
        self.state().client_ids.push(header.client_id);
        match request {
            Request::Fetch(request) => {
                assert_eq!(request.reader, Reader::Follower(ME));
                let answer = |(topic, fetches): &(_, Vec<PartitionFetch>)| {
                    let fetched: Vec<_> = fetches.iter().map(|fetch| self.fetched(fetch)).collect();
                    (Clone::clone(topic), fetched)
                };
                let topics: Vec<_> = request.topics.iter().map(answer).collect();
                let settled = topics
                    .iter()
                    .flat_map(|(_, fetched)| fetched)
                    .any(|fetched| fetched.messages.is_some() || fetched.error != ErrorCode::None);
                if settled {
                    return Reply::Send(FetchResponse { topics }.into());
                }
                if let Some(patience) = self.state().patience {
                    return Reply::Later(Box::pin(async move {
                        sleep(request.max_wait.min(patience)).await;
                        Reply::Send(FetchResponse { topics }.into())
                    }));
                }
                self.state().held += 1;
                let given_up = GivenUp(self.clone());
                Reply::Later(Box::pin(async move {
                    let _given_up = given_up;
                    pending().await
                }))
            }
            Request::ListOffsets(request) => {
                let state = self.state();
                let topics = request.topics.into_iter().map(|(topic, asked)| {
                    let found = asked.iter().map(|asked| PartitionOffsetsFound {
                        partition: asked.partition,
                        error: ErrorCode::None,
                        offsets: match asked.at {
                            OffsetSpec::Latest => vec![end_of(&state.logs[&asked.partition])],
                            _ => vec![0],
                        },
                    });
                    (topic, found.collect())
                });
                let topics = topics.collect();
                Reply::Send(ListOffsetsResponse { topics }.into())
            }
            _ => Reply::Close,
        }
    }

    fn refused(&self, _: &Peer, error: DecodeError) {
        panic!("{error}");
    }
}

fn slice(bytes: &[u8]) -> FileSlice {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    FileSlice {
        file: Arc::new(file),
        position: 0,
        len: bytes.len().try_into().unwrap(),
        cold: false,
    }
}

fn end_of(log: &[u8]) -> i64 {
    entries(log).last().map_or(0, |entry| entry.unwrap().0 + 1)
}

fn messages(base_offset: i64, values: &[&str]) -> Vec<u8> {
    let mut set = SetBuilder::new(Codec::None);
    for value in values {
        set.push(None, Some(value.as_bytes()));
    }
    let limits = Limits::default();
    let checked = ProducedSet::new(set.build().unwrap()).check(&limits).unwrap();
    checked.assign(base_offset, &limits).unwrap().bytes().to_vec()
}

/// A broker that follows a fake leader.
struct Fixture {
    leader: FakeLeader,
    endpoint: Endpoint,
    partitions: Partitions,
    logs: Arc<Logs>,
    trigger: Trigger,
    /// Stops the leader.
    leader_trigger: Trigger,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let directories = vec![directory.path().to_owned()];
        let high_watermarks = HighWatermarks::open(&directories).unwrap();
        let logs = Arc::new(
            Logs::open(&LogsConfig {
                directories,
                defaults: LogConfig::default(),
                overrides: HashMap::new(),
                recovery_threads: 1,
                flushes: Timer::new(),
            })
            .unwrap(),
        );
        let trigger = Trigger::new();
        let partitions = Partitions::new(
            ME,
            (Arc::clone(&logs), high_watermarks),
            Metrics::new(),
            Config {
                fetch_max_bytes: FETCH_BYTES,
                ..Config::default()
            },
            trigger.signal(),
        );
        let leader = FakeLeader::default();
        let (endpoint, leader_trigger) = serve(&leader, 0).await;
        Self {
            leader,
            endpoint,
            partitions,
            logs,
            trigger,
            leader_trigger,
            _directory: directory,
        }
    }

    fn roles(&self, leader: BrokerId, leader_epoch: i32, numbers: &[i32]) -> LeaderAndIsrRequest {
        let state = |number: &i32| {
            let state = PartitionState {
                controller_epoch: 1,
                leader: Leader::Broker(leader),
                leader_epoch,
                isr: vec![leader],
                zk_version: 0,
                replicas: vec![ME, OTHER],
            };
            ("t".to_owned(), *number, state)
        };
        LeaderAndIsrRequest {
            controller_id: BrokerId(0),
            controller_epoch: 1,
            partitions: numbers.iter().map(state).collect(),
            live_leaders: vec![self.endpoint.clone()],
        }
    }

    fn order(&self, leader: BrokerId, leader_epoch: i32, numbers: &[i32]) {
        let order = self.roles(leader, leader_epoch, numbers);
        for outcome in self.partitions.apply_roles(&order, |_| LogConfig::default()) {
            outcome.result.unwrap();
        }
    }

    fn end(&self, partition: i32) -> i64 {
        let log = self.logs.get(&TopicPartition::new("t", partition));
        log.map_or(-1, |log| log.log_end_offset())
    }

    fn holds(&self, partition: i32, values: &[&str]) -> bool {
        let log = self.logs.get(&TopicPartition::new("t", partition)).unwrap();
        let expected = messages(0, values);
        let found = log.read(0, 1 << 20, None).unwrap();
        let Some(slice) = found.messages else { return false };
        let mut bytes = vec![0; usize::try_from(slice.len).unwrap()];
        // It may be cut off meanwhile.
        slice.file.read_exact_at(&mut bytes, slice.position).is_ok() && bytes == expected
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let done = timeout(SOON, waiting).await;
        assert!(done.is_ok(), "{what}: {:?}", self.leader.state());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.trigger.stop();
        self.leader_trigger.stop();
    }
}

async fn serve(leader: &FakeLeader, port: u16) -> (Endpoint, Trigger) {
    let config = ListenerConfig {
        host: Some("127.0.0.1".to_owned()),
        port,
        drain: Duration::ZERO,
        ..ListenerConfig::default()
    };
    let listener = Listener::bind(config, &Metrics::new()).await.unwrap();
    let endpoint = Endpoint {
        id: OTHER,
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port().into(),
    };
    let trigger = Trigger::new();
    tokio::spawn(listener.run(leader.clone(), trigger.signal()));
    (endpoint, trigger)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_copied_under_the_name_of_the_reference() {
    let fixture = Fixture::start().await;
    fixture.leader.state().logs.insert(0, messages(0, &["a", "b"]));
    fixture.order(OTHER, 0, &[0]);
    fixture.until("both messages are here", |on| on.end(0) == 2).await;
    fixture
        .until("it waits for more", |on| on.leader.asked(0) == [0, 2])
        .await;
    let name = Some("ReplicaFetcherThread-0-2".to_owned());
    assert!(fixture.leader.state().client_ids.iter().all(|id| *id == name));
    let partition = fixture.partitions.get("t", 0).unwrap();
    assert_eq!((partition.high_watermark(), partition.lag()), (2, Some(0)));
}

/// An order must not wait for ZooKeeper where nothing is to be known.
#[tokio::test(flavor = "multi_thread")]
async fn settings_are_needed_for_new_logs_only() {
    let fixture = Fixture::start().await;
    let order = fixture.roles(OTHER, 0, &[0, 1]);
    assert_eq!(fixture.partitions.topics_of_new_logs(&order), ["t"].into());
    fixture.order(OTHER, 0, &[0, 1]);
    assert_eq!(fixture.partitions.topics_of_new_logs(&order), [].into());
    let mut elsewhere = fixture.roles(OTHER, 0, &[2]);
    elsewhere.partitions[0].2.replicas = vec![OTHER];
    assert_eq!(fixture.partitions.topics_of_new_logs(&elsewhere), [].into());
}

/// KAFKA-1461: 0.8.2.2 asks again at once, for ever, or gives up all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_fails_rests_and_holds_up_no_other() {
    let fixture = Fixture::start().await;
    {
        let mut state = fixture.leader.state();
        state.patience = Some(PATIENCE);
        state.errors.insert(0, ErrorCode::NotLeaderForPartition);
        let mut damaged = messages(0, &["damaged"]);
        *damaged.last_mut().unwrap() ^= 1;
        state.logs.insert(1, damaged);
        state.logs.insert(2, messages(0, &["a"]));
    }
    fixture.order(OTHER, 0, &[0, 1, 2]);
    for more in 2..=20 {
        fixture
            .until("the sound one is here", |on| on.end(2) == more - 1)
            .await;
        let more = messages(0, &vec!["a"; usize::try_from(more).unwrap()]);
        fixture.leader.state().logs.insert(2, more);
    }
    fixture.until("the last is here", |on| on.end(2) == 20).await;
    assert_eq!((fixture.end(0), fixture.end(1)), (0, 0));
    fixture
        .until("the others are asked for again", |on| {
            on.leader.asked(0).len() > 2 && on.leader.asked(1).len() > 2
        })
        .await;
    // Each rests for 20 ms, then 40, then 80: they can't have been in every request.
    assert!(fixture.leader.asked(0).len() < fixture.leader.asked(2).len());

    fixture.leader.state().errors.clear();
    fixture.leader.state().logs.insert(0, messages(0, &["late"]));
    fixture.until("what was wrong is over", |on| on.end(0) == 1).await;
}

/// What stands in the log behind it, and the other partitions, must not pay for one damaged byte (KAFKA-1461).
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_size_has_nothing_sent_again_and_again() {
    const CLAIMED: i32 = 200_000;
    let fixture = Fixture::start().await;
    let (b, c) = ("b".repeat(60_000), "c".repeat(60_000));
    let whole = messages(0, &["a", &b, &c]);
    let mut damaged = whole.clone();
    let second = messages(0, &["a"]).len();
    damaged[second + 8..second + 12].copy_from_slice(&(CLAIMED - 12).to_be_bytes());
    {
        let mut state = fixture.leader.state();
        state.patience = Some(PATIENCE);
        state.logs.insert(0, damaged);
        state.logs.insert(1, messages(0, &["a"]));
    }
    fixture.order(OTHER, 0, &[0, 1]);
    for more in 2..=20 {
        fixture
            .until("the sound one is here", |on| on.end(1) == more - 1)
            .await;
        let more = messages(0, &vec!["a"; usize::try_from(more).unwrap()]);
        fixture.leader.state().logs.insert(1, more);
    }
    let asked_again = |on: &Fixture, times: usize| {
        let asked = on.leader.asked(0);
        asked.into_iter().filter(|offset| *offset == 1).count() >= times
    };
    fixture.until("it has failed", |on| asked_again(on, 6)).await;
    let more = std::mem::take(&mut fixture.leader.state().asked_more);
    assert!(more.contains(&(0, CLAIMED)), "{more:?}");
    fixture
        .until("it is asked for again", |on| asked_again(on, 8))
        .await;
    assert_eq!(fixture.end(0), 1);
    assert_eq!(fixture.leader.state().asked_more, []);
    assert!(fixture.leader.asked(0).len() < fixture.leader.asked(1).len());

    fixture.leader.state().logs.insert(0, whole);
    fixture.until("what was wrong is over", |on| on.end(0) == 3).await;
}

/// However many partitions have messages that don't fit: they come one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn large_messages_take_turns() {
    let fixture = Fixture::start().await;
    fixture.order(OTHER, 0, &[0, 1, 2]);
    let fetcher = Fetcher {
        me: ME,
        leader: fixture.endpoint.clone(),
        number: 0,
        config: Arc::new(Config::default()),
        logs: Arc::clone(&fixture.logs),
        followed: Arc::new(Followed::new()),
        metrics: Metrics::new().replication().clone(),
        shutdown: fixture.trigger.signal(),
    };
    for number in 0..3 {
        let partition = fixture.partitions.get("t", number).unwrap();
        fetcher.followed.add(Order { partition, since: 0 });
    }
    let mut copies = Copies::new();
    fetcher.take_orders(&mut copies);
    let asked = |copies: &mut Copies| {
        let request = fetcher.request(copies, Instant::now()).unwrap();
        let fetches = request.topics.into_iter().flat_map(|(_, fetches)| fetches);
        fetches
            .map(|fetch| (fetch.partition, fetch.max_bytes >> 20))
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut copies), [(0, 1), (1, 1), (2, 1)]);
    let needs = |copies: &mut Copies, number: i32, bytes: usize| {
        let copied = copies.get_mut("t").and_then(|copies| copies.get_mut(&number));
        copied.unwrap().bytes_needed = bytes;
    };
    needs(&mut copies, 0, 100 << 20);
    needs(&mut copies, 1, 100 << 20);
    assert_eq!(asked(&mut copies), [(0, 100), (2, 1)]);
    needs(&mut copies, 0, 0);
    assert_eq!(asked(&mut copies), [(0, 1), (1, 100), (2, 1)]);
}

/// 0.8.2.2 answers a controller only when the fetch under way is answered.
#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_for_no_fetch() {
    let fixture = Fixture::start().await;
    fixture.order(OTHER, 0, &[0]);
    fixture
        .until("it waits at the leader", |on| on.leader.asked(0) == [0])
        .await;
    fixture.leader.state().logs.insert(1, messages(0, &["a"]));
    fixture.order(OTHER, 0, &[1]);
    // The leader would sit on the first request for ever.
    fixture.until("the new one is copied", |on| on.end(1) == 1).await;
    fixture
        .until("the old fetch is given up", |on| on.leader.state().given_up > 0)
        .await;

    fixture.order(ME, 1, &[0]);
    assert!(fixture.partitions.get("t", 0).unwrap().leads());
    let stop = StopReplicaRequest {
        controller_id: BrokerId(0),
        controller_epoch: 1,
        delete: false,
        partitions: vec![("t".to_owned(), 1)],
    };
    for _ in 0..2 {
        for outcome in fixture.partitions.stop(&stop) {
            outcome.result.unwrap();
        }
    }
    fixture
        .until("nothing is fetched any more", |on| {
            on.partitions.min_fetch_rate() == 0.0
        })
        .await;
    // It comes back with the next order, also for the same leader: 0.8.2.2 waits for another one.
    fixture.leader.state().logs.insert(1, messages(0, &["a", "b"]));
    fixture.order(OTHER, 1, &[1]);
    fixture.until("it is copied again", |on| on.end(1) == 2).await;
}

/// A leader that has followed somebody else in between may have something else where this broker goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_is_compared_again_after_an_error_and_on_a_new_connection() {
    let fixture = Fixture::start().await;
    fixture.leader.state().patience = Some(PATIENCE);
    fixture.leader.state().committed = Some(1);
    fixture
        .leader
        .state()
        .logs
        .insert(0, messages(0, &["a", "b", "c"]));
    fixture.order(OTHER, 0, &[0]);
    fixture
        .until("three messages are here", |on| on.end(0) == 3)
        .await;

    fixture
        .leader
        .state()
        .errors
        .insert(0, ErrorCode::NotLeaderForPartition);
    let before = fixture.leader.state().asked.len();
    fixture
        .until("the error has come", |on| {
            on.leader.state().asked.len() > before + 1
        })
        .await;
    {
        let mut state = fixture.leader.state();
        state.logs.insert(0, messages(0, &["a", "x", "y", "z"]));
        state.errors.clear();
    }
    fixture
        .until("the leader's messages are here", |on| {
            on.holds(0, &["a", "x", "y", "z"])
        })
        .await;

    // An order ends the fetch that waits, and with it the connection.
    fixture.leader.state().patience = None;
    fixture
        .until("the next fetch waits", |on| {
            let state = on.leader.state();
            state.asked.last() == Some(&(0, 4)) && state.held > 0
        })
        .await;
    {
        let mut state = fixture.leader.state();
        state.logs.insert(0, messages(0, &["a", "x", "v", "w"]));
        state.logs.insert(1, messages(0, &["other"]));
    }
    fixture.order(OTHER, 0, &[1]);
    fixture
        .until("the leader's messages are here", |on| {
            on.holds(0, &["a", "x", "v", "w"])
        })
        .await;
}

/// The way to a leader over a network that carries so many bytes in so long.
async fn over_slow_network(leader: &Endpoint, bytes: usize, pause: Duration) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().into();
    let address = format!("{}:{}", leader.host, leader.port);
    tokio::spawn(async move {
        while let Ok((follower, _)) = listener.accept().await {
            let leader = TcpStream::connect(&address).await.unwrap();
            let (mut asking, mut answered) = follower.into_split();
            let (mut answering, mut asked) = leader.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asking, &mut asked).await });
            tokio::spawn(async move {
                let mut piece = BytesMut::with_capacity(bytes);
                while matches!(answering.read_buf(&mut piece).await, Ok(1..)) {
                    sleep(pause).await;
                    if answered.write_all_buf(&mut piece).await.is_err() {
                        break;
                    }
                    piece = BytesMut::with_capacity(bytes);
                }
            });
        }
    });
    Endpoint {
        port,
        ..leader.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_never_end_do_not_keep_a_large_answer_from_arriving() {
    let mut fixture = Fixture::start().await;
    let pause = Duration::from_millis(10);
    fixture.endpoint = over_slow_network(&fixture.endpoint, 4 << 10, pause).await;
    let value = "x".repeat(60 << 10); // takes fifteen pauses
    fixture.leader.state().logs.insert(0, messages(0, &[&value]));
    fixture.order(OTHER, 0, &[0]);
    let mut number = 0;
    let ordering = async {
        loop {
            number += 1;
            fixture.leader.state().logs.insert(number, messages(0, &["a"]));
            fixture.order(OTHER, 0, &[number]);
            sleep(5 * pause).await;
        }
    };
    tokio::select! {
        () = fixture.until("it is copied", |on| on.end(0) == 1) => {}
        () = ordering => {}
    }
}

/// The answer may come just after an order.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_lost_over_an_answer() {
    let fixture = Fixture::start().await;
    // While orders are collected that may follow.
    fixture.leader.state().patience = Some(SETTLE / 2);
    for number in 0..40 {
        fixture.leader.state().logs.insert(number, messages(0, &["a"]));
        fixture.order(OTHER, 0, &[number]);
        fixture.until("it is copied", |on| on.end(number) == 1).await;
    }
}

/// KAFKA-2143: the leader has got as far as the follower when it is asked for its range.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_over_an_outdated_answer() {
    let fixture = Fixture::start().await;
    fixture.leader.state().patience = Some(PATIENCE);
    fixture.leader.state().logs.insert(0, messages(0, &["a", "b"]));
    fixture.order(OTHER, 0, &[0]);
    fixture.until("both messages are here", |on| on.end(0) == 2).await;
    let before = {
        let mut state = fixture.leader.state();
        state.error_once = Some((0, ErrorCode::OffsetOutOfRange));
        state.logs.insert(0, messages(0, &["a", "b", "c"]));
        state.asked.len()
    };
    fixture.until("it has gone on", |on| on.end(0) == 3).await;
    let mut state = fixture.leader.state();
    assert!(state.error_once.is_none(), "it was answered so");
    // Who deletes everything begins anew where the leader does, and comes to the same end.
    let asked = state.asked.split_off(before);
    assert!(!asked.contains(&(0, 0)), "copied anew: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_away_is_found_again() {
    let mut fixture = Fixture::start().await;
    fixture.order(OTHER, 0, &[0]);
    fixture
        .until("it waits at the leader", |on| on.leader.asked(0) == [0])
        .await;
    fixture.leader_trigger.stop();
    fixture
        .until("the leader is gone", |on| on.leader.state().given_up == 1)
        .await;
    fixture.leader.state().logs.insert(0, messages(0, &["a"]));
    let port = u16::try_from(fixture.endpoint.port).unwrap();
    (_, fixture.leader_trigger) = serve(&fixture.leader, port).await;
    fixture.until("it goes on", |on| on.end(0) == 1).await;
}
