use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;

use super::*;
use crate::log::CleanupPolicy;
use crate::log::Logs;
use crate::log::LogsConfig;
use crate::message::Codec;
use crate::message::set::Limits;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::metrics::Metrics;
use crate::metrics::Timer;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::leader_and_isr::Leader;
use crate::protocol::produce::Acks;
use crate::zookeeper::Versioned;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);
const THIRD: BrokerId = BrokerId(3);

/// A partition and what it stands on.
struct Fixture {
    partition: Arc<Partition>,
    connections: Arc<FollowerConnections>,
    logs: Logs,
    log: Arc<Log>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new(config: LogConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::open(&LogsConfig {
            directories: vec![directory.path().to_owned()],
            defaults: LogConfig::default(),
            overrides: HashMap::<String, BTreeMap<String, String>>::new(),
            recovery_threads: 1,
            flushes: Timer::new(),
        })
        .unwrap();
        let name = TopicPartition::new("t", 0);
        let log = logs.create(&name, config).unwrap();
        let metrics = Metrics::new().topics().topic("t");
        let connections = Arc::new(FollowerConnections::default());
        let shared = (Arc::default(), Arc::clone(&connections));
        Self {
            partition: Arc::new(Partition::new(name, ME, metrics, shared)),
            connections,
            logs,
            log,
            _directory: directory,
        }
    }

    /// A partition that this broker leads, with one follower in the ISR.
    fn led() -> Self {
        let fixture = Self::new(LogConfig::default());
        fixture.lead(0, &[ME, OTHER]);
        fixture
    }

    /// A partition that follows, with this log and high watermark.
    fn following(messages: &[u8], high_watermark: i64) -> Self {
        Self::following_with(LogConfig::default(), messages, high_watermark)
    }

    fn following_with(config: LogConfig, messages: &[u8], high_watermark: i64) -> Self {
        let fixture = Self::new(config);
        if !messages.is_empty() {
            fixture.log.append_replicated(messages).unwrap();
        }
        let log = Arc::clone(&fixture.log);
        let since =
            fixture
                .partition
                .become_follower(log, OTHER, &order(OTHER, 4, &[ME, OTHER]), high_watermark);
        assert_eq!(since, 4);
        fixture
    }

    fn lead(&self, leader_epoch: i32, isr: &[BrokerId]) -> i32 {
        let order = order(ME, leader_epoch, isr);
        self.partition.become_leader(Arc::clone(&self.log), &order, 0)
    }

    fn follow(&self, leader: BrokerId, leader_epoch: i32) -> i32 {
        let order = order(leader, leader_epoch, &[ME, OTHER]);
        self.partition
            .become_follower(Arc::clone(&self.log), leader, &order, 0)
    }

    /// Fetches until nothing new comes from a leader with this log, whose high watermark is its end. Returns the offsets
    /// that were asked for.
    fn copy(&self, leader: &Leading) -> Vec<i64> {
        let mut asked = Vec::new();
        for _ in 0..100 {
            let Some(next) = self.partition.next_fetch(4) else {
                return asked;
            };
            if asked.last() == Some(&next) && self.log.log_end_offset() == leader.end {
                return asked;
            }
            asked.push(next);
            if next < leader.start || next > leader.end {
                let range = (leader.start, leader.end);
                let taken = self.partition.take_out_of_range(4, next, range, &self.logs);
                assert_eq!(taken.unwrap(), Taken::All);
                continue;
            }
            let fetched = fetched(leader.from(next), leader.end);
            let taken = self.partition.take_fetched(4, next, &fetched, &self.logs);
            assert_eq!(taken.unwrap(), Taken::All);
        }
        panic!("never at rest: {asked:?}");
    }

    fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut at = self.log.log_start_offset();
        while at < self.log.log_end_offset() {
            let slice = self.log.read(at, u64::MAX, None).unwrap().messages.unwrap();
            let mut bytes = vec![0; usize::try_from(slice.len).unwrap()];
            std::os::unix::fs::FileExt::read_exact_at(&*slice.file, &mut bytes, slice.position).unwrap();
            at = crate::message::entry::entries(&bytes).last().unwrap().unwrap().0 + 1;
            all.extend(bytes);
        }
        all
    }
}

/// The log of a leader.
struct Leading {
    start: i64,
    end: i64,
    bytes: Vec<u8>,
}

impl Leading {
    fn new(start: i64, bytes: Vec<u8>) -> Self {
        let last = crate::message::entry::entries(&bytes).last();
        let end = last.map_or(start, |entry| entry.unwrap().0 + 1);
        Self { start, end, bytes }
    }

    fn from(&self, offset: i64) -> Vec<u8> {
        let mut walk = crate::message::entry::entries(&self.bytes);
        loop {
            let rest = walk.rest().to_vec();
            match walk.next() {
                Some(entry) if entry.as_ref().unwrap().0 < offset => {}
                _ => return rest,
            }
        }
    }
}

fn order(leader: BrokerId, leader_epoch: i32, isr: &[BrokerId]) -> PartitionState {
    PartitionState {
        controller_epoch: 1,
        leader: Leader::Broker(leader),
        leader_epoch,
        isr: isr.to_vec(),
        zk_version: 7,
        replicas: vec![ME, OTHER, THIRD],
    }
}

fn fetched(messages: Vec<u8>, high_watermark: i64) -> PartitionFetched<Bytes> {
    PartitionFetched {
        partition: 0,
        error: ErrorCode::None,
        high_watermark,
        messages: (!messages.is_empty()).then(|| messages.into()),
    }
}

fn set() -> BytesMut {
    let mut set = SetBuilder::new(Codec::None);
    set.push(None, Some(b"message"));
    set.build().unwrap()
}

/// Messages with offsets.
fn log(codec: Codec, base_offset: i64, values: &[&str]) -> Vec<u8> {
    let mut set = SetBuilder::new(codec);
    for value in values {
        set.push(None, Some(value.as_bytes()));
    }
    let limits = Limits::default();
    let checked = ProducedSet::new(set.build().unwrap()).check(&limits).unwrap();
    checked.assign(base_offset, &limits).unwrap().bytes().to_vec()
}

fn plain(base_offset: i64, values: &[&str]) -> Vec<u8> {
    log(Codec::None, base_offset, values)
}

#[tokio::test]
async fn a_follower_moves_the_high_watermark_and_ends_the_waiting() {
    let Fixture { partition, .. } = &Fixture::led();
    let appended = partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    partition.record_fetch((OTHER, 1), Some(0)).unwrap();
    assert_eq!(partition.high_watermark(), 0);
    assert!(partition.is_acknowledged(&appended, Acks::AllInSync).is_none());

    partition.record_fetch((OTHER, 1), Some(1)).unwrap();
    assert_eq!(partition.high_watermark(), 1);
    partition.acknowledged(&appended, Acks::AllInSync).await.unwrap();
    partition.acknowledged(&appended, Acks::Count(2)).await.unwrap();
}

/// A fetch waits for progress and is itself noted as some: it must not wake itself, or it would never rest.
#[test]
fn a_fetch_from_where_the_follower_was_wakes_nobody() {
    let Fixture { partition, .. } = &Fixture::led();
    partition.record_fetch((OTHER, 1), Some(0)).unwrap();
    let mut progress = partition.subscribe();
    partition.record_fetch((OTHER, 1), Some(0)).unwrap();
    assert!(!progress.has_changed().unwrap());
    partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
    assert!(progress.has_changed().unwrap());
    progress.mark_unchanged();
    partition.record_fetch((OTHER, 1), Some(1)).unwrap();
    assert!(progress.has_changed().unwrap());
}

/// It may have been truncated in between, so that other messages stand at its offsets (0.8.2.2 answers 0).
#[tokio::test]
async fn an_append_of_an_earlier_leadership_is_never_acknowledged() {
    let fixture = Fixture::led();
    let partition = &fixture.partition;
    let appended = partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    fixture.follow(OTHER, 1);
    fixture.lead(2, &[ME, OTHER]);
    partition.record_fetch((OTHER, 1), Some(9)).unwrap();
    assert_eq!(partition.high_watermark(), 1);
    let acknowledged = partition.acknowledged(&appended, Acks::AllInSync).await;
    assert!(matches!(acknowledged, Err(Error::NotLeader)), "{acknowledged:?}");
}

/// Also when the orders in between never came: the epoch shows that there were some.
#[tokio::test]
async fn a_gap_in_the_leader_epochs_ends_a_leadership() {
    let fixture = Fixture::led();
    let appended = fixture
        .partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    assert_eq!(fixture.lead(2, &[ME]), 2);
    let settled = fixture.partition.is_acknowledged(&appended, Acks::AllInSync);
    assert!(matches!(settled, Some(Err(Error::NotLeader))), "{settled:?}");
}

/// A follower that did not notice that its leader followed somebody else meanwhile may have what the leader has not.
#[test]
fn a_leadership_hears_only_what_comes_on_connections_opened_since() {
    let fixture = Fixture::led();
    let (partition, heard) = (&fixture.partition, &fixture.connections);
    heard.note(4);
    partition.record_fetch((OTHER, 4), Some(0)).unwrap();
    fixture.lead(1, &[ME, OTHER]);
    partition.record_fetch((OTHER, 4), Some(0)).unwrap();
    fixture.follow(OTHER, 2);
    fixture.lead(3, &[ME, OTHER]);
    for connection in [1, 4] {
        let refused = partition.record_fetch((OTHER, connection), Some(0));
        assert!(matches!(refused, Err(Error::OldConnection)), "{refused:?}");
        assert!(matches!(partition.hears(connection), Err(Error::OldConnection)));
    }
    heard.note(5);
    partition.record_fetch((OTHER, 5), Some(0)).unwrap();
    partition.hears(5).unwrap();
}

/// A controller counts the epoch up when a replica goes: that is nothing to bother producers with.
#[tokio::test]
async fn a_leadership_goes_on_under_the_next_epoch() {
    let fixture = Fixture::led();
    let partition = &fixture.partition;
    let appended = partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    partition.record_fetch((OTHER, 1), Some(0)).unwrap();
    assert_eq!(fixture.lead(1, &[ME]), 0, "since the same epoch as before");
    partition.acknowledged(&appended, Acks::AllInSync).await.unwrap();
}

#[test]
fn a_follower_needs_all_that_its_leader_had_at_the_start() {
    let fixture = Fixture::new(LogConfig::default());
    // The high watermark comes from before a change of leader: 1 of 3.
    fixture
        .log
        .append_replicated(&plain(0, &["a", "b", "c"]))
        .unwrap();
    let isr = [ME, THIRD];
    fixture
        .partition
        .become_leader(Arc::clone(&fixture.log), &order(ME, 3, &isr), 1);
    let lag = Duration::from_secs(10);
    fixture.partition.record_fetch((OTHER, 1), Some(2)).unwrap();
    assert_eq!(fixture.partition.propose_isr(lag), None);
    fixture.partition.record_fetch((OTHER, 1), Some(3)).unwrap();
    let change = fixture.partition.propose_isr(lag).unwrap();
    assert_eq!(change.state.value.isr, [ME, THIRD, OTHER]);
    assert_eq!((change.state.version, change.members_before), (7, 2));
}

#[test]
fn a_change_of_another_leadership_is_not_adopted() {
    let fixture = Fixture::led();
    fixture.lead(1, &[ME, OTHER]);
    fixture.partition.record_fetch((THIRD, 1), Some(0)).unwrap();
    let change = fixture.partition.propose_isr(Duration::from_secs(10)).unwrap();
    let found = || Versioned {
        value: vec![ME, OTHER, THIRD],
        version: 8,
    };
    fixture.lead(2, &[ME]);
    assert!(!fixture.partition.awaits(&change));
    assert!(!fixture.partition.settle_isr(&change, found()));
    assert!(!fixture.partition.depose(&change), "that was somebody else");
    assert_eq!(fixture.partition.isr(), Some((vec![ME], 7)));

    fixture.partition.record_fetch((THIRD, 1), Some(0)).unwrap();
    let change = fixture.partition.propose_isr(Duration::from_secs(10)).unwrap();
    assert!(fixture.partition.settle_isr(&change, found()));
    assert_eq!(fixture.partition.isr(), Some((vec![ME, OTHER, THIRD], 8)));
}

#[tokio::test]
async fn a_deposed_leader_serves_nobody_and_obeys_the_next_order() {
    let fixture = Fixture::led();
    let partition = &fixture.partition;
    let appended = partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    partition.record_fetch((THIRD, 1), Some(0)).unwrap();
    let change = partition.propose_isr(Duration::from_secs(10)).unwrap();
    assert!(partition.depose(&change));
    let again = partition.append(ProducedSet::new(set()), Acks::Leader);
    assert!(matches!(again, Err(Error::NotLeader)), "{again:?}");
    let waiting = partition.acknowledged(&appended, Acks::AllInSync).await;
    assert!(matches!(waiting, Err(Error::NotLeader)), "{waiting:?}");
    assert_eq!(partition.leader_epoch(), 0, "the next order is newer");
    assert_eq!(fixture.lead(1, &[ME]), 1);
}

#[test]
fn a_leader_that_is_said_to_be_none_stops_and_keeps_its_log() {
    let fixture = Fixture::led();
    fixture
        .partition
        .append(ProducedSet::new(set()), Acks::Leader)
        .unwrap();
    fixture.partition.lose_leader(Arc::clone(&fixture.log), 0);
    assert!(!fixture.partition.leads());
    assert_eq!(fixture.partition.leader_epoch(), 0, "not recorded");
    assert_eq!(fixture.log.log_end_offset(), 1);
}

/// KAFKA-1211, KIP-101: 0.8.2.2 cuts to the high watermark first, and loses "c" if it is elected now.
#[test]
fn nothing_is_cut_before_the_leader_has_shown_something_else() {
    let ours = plain(0, &["a", "b", "c"]);
    let fixture = Fixture::following(&ours, 1);
    assert_eq!(fixture.bytes(), ours);
    assert_eq!(fixture.lead(5, &[ME, OTHER]), 5);
    assert_eq!(fixture.bytes(), ours);
}

#[test]
fn what_is_equal_stays_and_the_rest_is_copied() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy] {
        let values = ["a", "b", "c", "d"];
        let ours = [log(codec, 0, &values), log(codec, 4, &["e"])].concat();
        let fixture = Fixture::following(&ours, 2);
        let theirs = [ours.clone(), log(codec, 5, &values)].concat();
        let leader = Leading::new(0, theirs.clone());
        assert_eq!(fixture.copy(&leader), [1, 9]);
        assert_eq!(fixture.bytes(), theirs);
        assert_eq!(fixture.partition.high_watermark(), 9);
    }
}

#[test]
fn a_log_is_cut_at_the_first_difference() {
    let ours = plain(0, &["a", "b", "zombie", "zombie"]);
    let fixture = Fixture::following(&ours, 2);
    let leader = Leading::new(0, plain(0, &["a", "b", "c", "d", "e"]));
    assert_eq!(fixture.copy(&leader), [1, 5]);
    assert_eq!(fixture.bytes(), leader.bytes);
}

#[test]
fn a_wrapper_that_differs_goes_as_a_whole() {
    let ours = [
        plain(0, &["a"]),
        log(Codec::Gzip, 1, &["b", "zombie", "zombie", "zombie"]),
    ]
    .concat();
    let fixture = Fixture::following(&ours, 1);
    let leader = Leading::new(0, [plain(0, &["a"]), log(Codec::Gzip, 1, &["b", "c"])].concat());
    fixture.copy(&leader);
    assert_eq!(fixture.bytes(), leader.bytes);
}

#[test]
fn what_is_beyond_the_leaders_end_is_cut() {
    let fixture = Fixture::following(&plain(0, &["a", "b", "zombie"]), 2);
    let leader = Leading::new(0, plain(0, &["a", "b"]));
    assert_eq!(fixture.copy(&leader), [1, 2]);
    assert_eq!(fixture.bytes(), leader.bytes);
    assert_eq!(fixture.partition.high_watermark(), 2);
}

/// Both were cut off from power, and the one that lost more was elected: the logs differ where both call it committed.
#[test]
fn a_difference_below_the_high_watermark_is_found() {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let fixture = Fixture::following(&plain(0, &letters), 10);
    let lost = ["a", "b", "c", "4", "5", "6", "7", "8", "9", "0", "1"];
    let leader = Leading::new(0, plain(0, &lost));
    assert_eq!(fixture.copy(&leader), [9, 8, 6, 2, 11]);
    assert_eq!(fixture.bytes(), leader.bytes);
}

#[test]
fn committed_messages_are_not_given_up_where_the_topic_forbids_it() {
    let config = LogConfig {
        unclean_leader_election: false,
        ..LogConfig::default()
    };
    let ours = plain(0, &["a", "b", "c"]);
    for theirs in [plain(0, &["a", "x", "y", "z"]), plain(0, &["a"]), Vec::new()] {
        let fixture = Fixture::following_with(config.clone(), &ours, 3);
        let leader = Leading::new(0, theirs);
        fixture.copy(&leader);
        assert!(fixture.partition.is_halted());
        assert_eq!(fixture.bytes(), ours);
        assert_eq!(
            fixture.follow(OTHER, 5),
            5,
            "it tries again under the next leader epoch"
        );
        assert!(!fixture.partition.is_halted());
        assert_eq!(fixture.partition.next_fetch(5), Some(2));
    }
}

/// KAFKA-3410: 0.8.2.2 stops the broker, or here, where it may, deletes everything at once.
#[test]
fn a_leader_with_an_empty_disk_is_followed_where_that_is_allowed() {
    let fixture = Fixture::following(&plain(0, &["a", "b", "c"]), 3);
    fixture.copy(&Leading::new(0, Vec::new()));
    assert_eq!(
        (fixture.log.log_start_offset(), fixture.log.log_end_offset()),
        (0, 0)
    );
    assert_eq!(fixture.partition.high_watermark(), 0);
}

/// KAFKA-2143: the leader has got there between the two answers.
#[test]
fn an_outdated_answer_deletes_nothing() {
    let ours = plain(0, &["a", "b", "c"]);
    let fixture = Fixture::following(&ours, 3);
    let taken = fixture.partition.take_out_of_range(4, 2, (0, 9), &fixture.logs);
    assert_eq!(taken.unwrap(), Taken::All);
    assert_eq!(fixture.partition.next_fetch(4), Some(2));
    assert_eq!(fixture.bytes(), ours);
}

#[test]
fn a_leader_that_ends_before_everything_here_is_followed_from_there() {
    let fixture = Fixture::following(&[], 0);
    let offset = 20;
    fixture.log.truncate_fully_and_start_at(offset).unwrap();
    fixture
        .log
        .append_replicated(&plain(offset, &["a", "b"]))
        .unwrap();
    fixture.follow(OTHER, 5);
    fixture.follow(THIRD, 6);
    fixture.lead(7, &[ME]);
    assert_eq!(fixture.partition.high_watermark(), 22);
    fixture.follow(OTHER, 4);
    let leader = Leading::new(0, plain(0, &["x", "y"]));
    assert_eq!(fixture.copy(&leader), [21, 2]);
    assert_eq!(
        (fixture.log.log_start_offset(), fixture.log.log_end_offset()),
        (2, 2)
    );
}

#[test]
fn a_follower_begins_where_its_leader_does() {
    let fixture = Fixture::following(&plain(0, &["a", "b", "c"]), 3);
    let leader = Leading::new(50, plain(50, &["x"]));
    assert_eq!(fixture.copy(&leader), [2, 50, 51]);
    assert_eq!(
        (fixture.log.log_start_offset(), fixture.log.log_end_offset()),
        (50, 51)
    );
}

#[test]
fn a_follower_without_a_checkpoint_keeps_what_its_leader_still_has() {
    let ours = plain(0, &["a", "b", "c", "d"]);
    let fixture = Fixture::following(&ours, 0);
    let leader = Leading::new(2, plain(2, &["c", "d", "e"]));
    assert_eq!(fixture.copy(&leader), [0, 2, 5]);
    assert_eq!(fixture.bytes(), plain(0, &["a", "b", "c", "d", "e"]));
}

/// Compaction makes logs differ that are the same to every consumer.
#[test]
fn compacted_logs_are_only_compared_above_the_high_watermark() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        ..LogConfig::default()
    };
    let fixture = Fixture::following_with(config, &plain(0, &["a", "b", "c", "d"]), 3);
    let leader = Leading::new(0, [plain(1, &["other"]), plain(3, &["d", "e"])].concat());
    assert_eq!(fixture.copy(&leader), [3, 5]);
    assert_eq!(fixture.log.log_start_offset(), 0);
}

#[test]
fn answers_of_before_a_change_are_not_taken() {
    let fixture = Fixture::following(&plain(0, &["a"]), 1);
    let leader = Leading::new(0, plain(0, &["a", "b"]));
    let take = |since, asked| {
        let fetched = fetched(leader.from(asked), 2);
        fixture
            .partition
            .take_fetched(since, asked, &fetched, &fixture.logs)
            .unwrap()
    };
    assert_eq!(take(4, 1), Taken::Outdated, "not what is asked for now");
    assert_eq!(
        fixture.follow(OTHER, 5),
        4,
        "the next epoch of the same leader changes nothing"
    );
    assert_eq!(take(4, 0), Taken::All);
    assert_eq!(fixture.follow(THIRD, 6), 6);
    assert_eq!(take(4, 1), Taken::Outdated);
    assert_eq!(fixture.lead(7, &[ME]), 7);
    assert_eq!(take(6, 1), Taken::Outdated);
    let out_of_range = fixture.partition.take_out_of_range(6, 1, (0, 0), &fixture.logs);
    assert_eq!(out_of_range.unwrap(), Taken::Outdated);
}

#[test]
fn the_high_watermark_follows_the_leaders_and_never_goes_back() {
    let fixture = Fixture::following(&[], 0);
    let take = |asked, messages, high_watermark| {
        let fetched = fetched(messages, high_watermark);
        fixture
            .partition
            .take_fetched(4, asked, &fetched, &fixture.logs)
            .unwrap();
        fixture.partition.high_watermark()
    };
    assert_eq!(take(0, plain(0, &["a", "b"]), 1), 1);
    assert_eq!(fixture.partition.lag(), Some(0));
    assert_eq!(take(2, Vec::new(), 7), 2, "not beyond what is here");
    assert_eq!(fixture.partition.lag(), Some(5));
    assert_eq!(take(2, plain(2, &["c"]), 1), 2);
}

#[test]
fn a_message_that_does_not_fit_says_what_it_takes() {
    let fixture = Fixture::following(&[], 0);
    let message = plain(0, &["a message that takes some room"]);
    for (cut, expected) in [(5, 12), (11, 22), (12, message.len()), (30, message.len())] {
        let fetched = fetched(message[..cut].to_vec(), 1);
        let taken = fixture.partition.take_fetched(4, 0, &fetched, &fixture.logs);
        assert_eq!(taken.unwrap(), Taken::TooLarge(expected), "{cut}");
    }
    assert_eq!(fixture.log.log_end_offset(), 0);
}

#[test]
fn what_is_damaged_is_refused_and_changes_nothing() {
    let fixture = Fixture::following(&plain(0, &["a"]), 1);
    let mut theirs = plain(0, &["a", "b"]);
    *theirs.last_mut().unwrap() ^= 1;
    let taken = fixture
        .partition
        .take_fetched(4, 0, &fetched(theirs, 2), &fixture.logs);
    assert!(matches!(taken, Err(Error::Log(_))), "{taken:?}");
    assert_eq!(fixture.bytes(), plain(0, &["a"]));
    assert_eq!(fixture.partition.high_watermark(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_flushed_is_acknowledged_and_seen_when_it_is() {
    const PRODUCERS: i64 = 40;
    let config = LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    };
    let fixture = Fixture::new(config);
    fixture.lead(0, &[ME]);
    let (partition, log) = (Arc::clone(&fixture.partition), Arc::clone(&fixture.log));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let (partition, log) = (Arc::clone(&partition), Arc::clone(&log));
            tokio::spawn(async move {
                let appended = partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
                partition.acknowledged(&appended, Acks::Leader).await.unwrap();
                assert!(log.recovery_point() >= appended.end_offset);
                assert!(partition.high_watermark() >= appended.end_offset);
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(log.log_end_offset(), PRODUCERS);
}

/// The flush of one is under way while another appends.
#[tokio::test]
async fn who_is_not_flushed_yet_waits() {
    let config = LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    };
    let fixture = Fixture::new(config);
    fixture.lead(0, &[ME]);
    let (partition, log) = (Arc::clone(&fixture.partition), Arc::clone(&fixture.log));
    assert!(partition.turn.take());
    let appended = partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
    assert!(partition.is_acknowledged(&appended, Acks::Leader).is_none());
    assert_eq!(partition.high_watermark(), 0, "nobody reads it");
    partition.flush_for_others(&log);
    assert!(matches!(
        partition.is_acknowledged(&appended, Acks::Leader),
        Some(Ok(()))
    ));
    assert_eq!(partition.high_watermark(), 1);
}
