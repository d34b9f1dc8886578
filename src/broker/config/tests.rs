//! The configuration as a whole: the table of keys against that of 0.8.2.2, sources, rules, messages.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::ACCEPTED;
use super::keys::Declared;
use super::keys::Number;
use super::keys::TABLE;
use super::keys::WITHOUT_EFFECT;
use super::*;
use crate::types::BrokerId;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn load(overrides: Pairs<'_>) -> Result<Loaded, Problems> {
    BrokerConfig::load(Sources {
        overrides: owned(overrides),
        ..Sources::default()
    })
}

/// Loads a file of this text; messages call it `server.properties`.
fn load_all(file: &str, environment: Pairs<'_>, overrides: Pairs<'_>) -> Result<Loaded, Problems> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("server.properties");
    fs::write(&path, file).unwrap();
    let rename = |text: String| text.replace(path.to_str().unwrap(), "server.properties");
    let loaded = BrokerConfig::load(Sources {
        file: Some(path.clone()),
        environment: owned(environment),
        overrides: owned(overrides),
    });
    let loaded = loaded.map(|loaded| Loaded {
        warnings: loaded.warnings.into_iter().map(rename).collect(),
        notes: loaded.notes.into_iter().map(rename).collect(),
        ..loaded
    });
    let short = |origin| match origin {
        Origin::Line(_, line) => Origin::Line(PathBuf::from("server.properties").into(), line),
        Origin::File(_) => Origin::File(PathBuf::from("server.properties").into()),
        other => other,
    };
    loaded.map_err(|problems| {
        let all = problems.all.into_iter().map(|p| Problem {
            origin: short(p.origin),
            ..p
        });
        Problems {
            all: all.collect(),
            warnings: problems.warnings.into_iter().map(rename).collect(),
        }
    })
}

fn config(overrides: Pairs<'_>) -> BrokerConfig {
    load(overrides).unwrap().config
}

fn warnings(overrides: Pairs<'_>) -> Vec<String> {
    load(overrides).unwrap().warnings
}

fn problems(overrides: Pairs<'_>) -> Vec<String> {
    match load(overrides) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.all.into_iter().map(|problem| problem.what).collect(),
    }
}

const INT: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);
const LONG: (i64, i64) = (i64::MIN, i64::MAX);
const SHORT: (i64, i64) = (i16::MIN as i64, i16::MAX as i64);

/// A whole number: name, default if it has one of its own, range or the width of its type.
type NumberRow = (&'static str, Option<i64>, (i64, i64));

const fn from(min: i64, (_, max): (i64, i64)) -> (i64, i64) {
    (min, max)
}

/// Every key of 0.8.2.2 that takes a whole number.
const NUMBERS: &[NumberRow] = &[
    ("broker.id", None, from(0, INT)),
    ("port", Some(9092), INT),
    ("advertised.port", None, INT),
    ("num.network.threads", Some(3), from(1, INT)),
    ("num.io.threads", Some(8), from(1, INT)),
    ("background.threads", Some(10), from(1, INT)),
    ("queued.max.requests", Some(500), from(1, INT)),
    ("socket.send.buffer.bytes", Some(102_400), INT),
    ("socket.receive.buffer.bytes", Some(102_400), INT),
    ("socket.request.max.bytes", Some(104_857_600), from(1, INT)),
    ("max.connections.per.ip", Some(2_147_483_647), from(1, INT)),
    ("connections.max.idle.ms", Some(600_000), LONG),
    ("message.max.bytes", Some(1_000_012), from(0, INT)),
    ("num.partitions", Some(1), from(1, INT)),
    ("log.segment.bytes", Some(1_073_741_824), from(14, INT)),
    ("log.roll.ms", None, from(1, INT)),
    ("log.roll.hours", Some(168), from(1, INT)),
    ("log.roll.jitter.ms", None, from(0, INT)),
    ("log.roll.jitter.hours", Some(0), from(0, INT)),
    ("log.retention.ms", None, from(1, INT)),
    ("log.retention.minutes", None, from(1, INT)),
    ("log.retention.hours", Some(168), from(1, INT)),
    ("log.retention.bytes", Some(-1), LONG),
    ("log.retention.check.interval.ms", Some(300_000), from(1, LONG)),
    ("log.cleaner.threads", Some(1), from(0, INT)),
    ("log.cleaner.dedupe.buffer.size", Some(524_288_000), from(0, LONG)),
    ("log.cleaner.io.buffer.size", Some(524_288), from(0, INT)),
    ("log.cleaner.backoff.ms", Some(15_000), from(0, LONG)),
    ("log.cleaner.delete.retention.ms", Some(86_400_000), LONG),
    ("log.index.size.max.bytes", Some(10_485_760), from(4, INT)),
    ("log.index.interval.bytes", Some(4096), from(0, INT)),
    (
        "log.flush.interval.messages",
        Some(9_223_372_036_854_775_807),
        from(1, LONG),
    ),
    ("log.flush.interval.ms", None, LONG),
    (
        "log.flush.scheduler.interval.ms",
        Some(9_223_372_036_854_775_807),
        LONG,
    ),
    (
        "log.flush.offset.checkpoint.interval.ms",
        Some(60_000),
        from(0, INT),
    ),
    ("log.segment.delete.delay.ms", Some(60_000), from(0, LONG)),
    ("num.recovery.threads.per.data.dir", Some(1), from(1, INT)),
    ("default.replication.factor", Some(1), INT),
    ("min.insync.replicas", Some(1), from(1, INT)),
    ("replica.lag.time.max.ms", Some(10_000), LONG),
    ("replica.lag.max.messages", Some(4000), LONG),
    ("replica.socket.timeout.ms", Some(30_000), from(0, INT)),
    ("replica.socket.receive.buffer.bytes", Some(65_536), INT),
    // From `message.max.bytes` on, which a rule between the two keys sees to.
    ("replica.fetch.max.bytes", Some(1_048_576), from(0, INT)),
    ("replica.fetch.wait.max.ms", Some(500), INT),
    ("replica.fetch.min.bytes", Some(1), INT),
    ("num.replica.fetchers", Some(1), INT),
    ("replica.high.watermark.checkpoint.interval.ms", Some(5000), LONG),
    ("fetch.purgatory.purge.interval.requests", Some(1000), INT),
    ("producer.purgatory.purge.interval.requests", Some(1000), INT),
    ("controller.socket.timeout.ms", Some(30_000), INT),
    ("controller.message.queue.size", Some(2_147_483_647), INT),
    ("leader.imbalance.per.broker.percentage", Some(10), INT),
    ("leader.imbalance.check.interval.seconds", Some(300), INT),
    ("controlled.shutdown.max.retries", Some(3), INT),
    ("controlled.shutdown.retry.backoff.ms", Some(5000), INT),
    ("offset.metadata.max.bytes", Some(4096), INT),
    ("offsets.load.buffer.size", Some(5_242_880), from(1, INT)),
    ("offsets.topic.replication.factor", Some(3), from(1, SHORT)),
    ("offsets.topic.num.partitions", Some(50), from(1, INT)),
    ("offsets.topic.segment.bytes", Some(104_857_600), from(1, INT)),
    ("offsets.retention.minutes", Some(1440), from(1, INT)),
    (
        "offsets.retention.check.interval.ms",
        Some(600_000),
        from(1, LONG),
    ),
    ("offsets.commit.timeout.ms", Some(5000), from(1, INT)),
    // Up to `offsets.topic.replication.factor`, which a rule between the two keys sees to.
    ("offsets.commit.required.acks", Some(-1), from(-1, SHORT)),
    ("zookeeper.session.timeout.ms", Some(6000), INT),
    ("zookeeper.connection.timeout.ms", None, INT),
    ("zookeeper.sync.time.ms", Some(2000), INT),
];

/// Where our range is another one than that of 0.8.2.2, and why.
const OTHER_RANGES: &[(&str, (i64, i64), &str)] = &[
    ("port", (0, 65535), "no socket has another one"),
    (
        "advertised.port",
        (1, 65535),
        "no client can connect to another one",
    ),
    (
        "socket.send.buffer.bytes",
        from(1, INT),
        "no client gets an answer there; -1 is the system's choice",
    ),
    (
        "socket.receive.buffer.bytes",
        from(1, INT),
        "0.8.2.2 does not start; -1 is the system's choice",
    ),
    ("log.roll.ms", from(1, LONG), "wider: 32 bits are 24 days"),
    ("log.roll.jitter.ms", from(0, LONG), "wider: 32 bits are 24 days"),
    ("log.retention.ms", from(1, LONG), "wider: 32 bits are 24 days"),
    (
        "log.cleaner.threads",
        from(1, INT),
        "0.8.2.2 does not start with 0",
    ),
    (
        "log.flush.scheduler.interval.ms",
        from(1, LONG),
        "0.8.2.2 does not start with 0",
    ),
    (
        "default.replication.factor",
        from(1, INT),
        "no topic could be created",
    ),
    (
        "replica.lag.time.max.ms",
        from(1, LONG),
        "0.8.2.2 does not start with 0",
    ),
    ("num.replica.fetchers", from(1, INT), "nothing would be fetched"),
    (
        "replica.high.watermark.checkpoint.interval.ms",
        from(1, LONG),
        "0.8.2.2 does not start with 0",
    ),
    (
        "controller.socket.timeout.ms",
        from(0, INT),
        "sockets have no negative timeout",
    ),
    (
        "leader.imbalance.check.interval.seconds",
        from(1, INT),
        "0.8.2.2 does not start with 0",
    ),
    ("zookeeper.session.timeout.ms", from(1, INT), "no session lasts"),
    (
        "zookeeper.connection.timeout.ms",
        from(1, INT),
        "no connection is that fast",
    ),
];

/// Numbers that have another default than in 0.8.2.2, and why.
const OTHER_DEFAULTS: &[(&str, i64, &str)] = &[(
    "socket.receive.buffer.bytes",
    -1,
    "in a buffer that the system sizes, more of a large request arrives at a time",
)];

/// Keys that also take -1, for: without a limit, or as the system likes.
const OR_UNLIMITED: &[&str] = &[
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
];

/// Every other key of 0.8.2.2: name, type, default.
const OTHERS: &[(&str, &str, &str)] = &[
    ("host.name", "string", ""),
    ("advertised.host.name", "string", ""),
    ("max.connections.per.ip.overrides", "map", ""),
    ("log.dirs", "list", ""),
    ("log.dir", "string", "/tmp/kafka-logs"),
    ("log.cleanup.policy", "string", "delete"),
    ("log.cleaner.enable", "bool", "false"),
    (
        "log.cleaner.io.max.bytes.per.second",
        "double",
        "1.7976931348623157E308",
    ),
    ("log.cleaner.io.buffer.load.factor", "double", "0.9"),
    ("log.cleaner.min.cleanable.ratio", "double", "0.5"),
    ("auto.create.topics.enable", "bool", "true"),
    ("delete.topic.enable", "bool", "false"),
    ("unclean.leader.election.enable", "bool", "true"),
    ("auto.leader.rebalance.enable", "bool", "true"),
    ("controlled.shutdown.enable", "bool", "true"),
    ("offsets.topic.compression.codec", "codec", "none"),
    ("zookeeper.connect", "string", "localhost:2181"),
    ("kafka.metrics.reporters", "list", ""),
    ("kafka.metrics.polling.interval.secs", "int", "10"),
    ("kafka.csv.metrics.reporter.enabled", "bool", "false"),
    ("kafka.csv.metrics.dir", "string", "kafka_metrics"),
];

/// Keys that 0.8.2.2 does not have.
const OURS: &[&str] = &[
    "leader.election.policy",
    "reassignment.max.partitions",
    "metrics.listen",
    "zookeeper.auth",
    "zookeeper.set.acl",
    "queued.max.bytes",
    "worker.threads",
    "compression.gzip.level",
];

fn declared(name: &str) -> Option<&'static Declared> {
    TABLE.iter().find(|key| name_of(key) == name)
}

fn name_of(key: &Declared) -> &'static str {
    match key {
        Declared::Number(key) => key.name,
        Declared::Real(key) => key.name,
        Declared::Flag(key) => key.name,
        Declared::Text(key) => key.name,
    }
}

fn is_without_effect(name: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|(key, _)| *key == name)
}

/// Numbers of 0.8.2.2 that are read here, with the range that applies here.
fn numbers() -> impl Iterator<Item = (&'static Number, Option<i64>, (i64, i64))> {
    NUMBERS
        .iter()
        .filter(|(name, ..)| !is_without_effect(name))
        .map(|(name, default, range)| {
            let Some(Declared::Number(key)) = declared(name) else {
                panic!("{name} is not in the table of numbers");
            };
            let other = OTHER_RANGES.iter().find(|(other, ..)| other == name);
            (key, *default, other.map_or(*range, |(_, range, _)| *range))
        })
}

#[test]
fn the_table_has_the_keys_of_0_8_2_2_and_ours_and_no_other() {
    let numbers = NUMBERS.iter().map(|(name, ..)| *name);
    let mut expected: Vec<_> = numbers.chain(OTHERS.iter().map(|(name, ..)| *name)).collect();
    // 85 of the broker itself, and 4 that are read beside them.
    assert_eq!(expected.len(), 89);
    expected.extend(OURS);
    expected.sort_unstable();
    let without_effect = WITHOUT_EFFECT.iter().map(|(name, _)| *name);
    let mut known: Vec<_> = ACCEPTED.iter().copied().chain(without_effect).collect();
    known.sort_unstable();
    assert_eq!(known, expected);
}

#[test]
fn numbers_have_the_defaults_of_0_8_2_2_but_for_those_that_are_named() {
    for (key, default, _) in numbers() {
        let other = OTHER_DEFAULTS.iter().find(|(other, ..)| *other == key.name);
        if let Some(default) = other.map(|(_, default, _)| *default).or(default) {
            assert_eq!(key.default, default, "{}", key.name);
        }
    }
}

#[test]
fn numbers_are_refused_outside_their_range_only() {
    for (key, _, (min, max)) in numbers() {
        let name = key.name;
        let out_of_range = format!("{name} is out of range");
        let refused = |number: i128| problems(&[(name, &number.to_string())]).contains(&out_of_range);
        for number in [min, max] {
            assert!(!refused(number.into()), "{name}={number}");
        }
        if let Some(below) = min.checked_sub(1) {
            let below = if OR_UNLIMITED.contains(&name) {
                below.min(-2)
            } else {
                below
            };
            assert!(refused(below.into()), "{name}={below}");
        }
        if let Some(above) = max.checked_add(1) {
            assert!(refused(above.into()), "{name}={above}");
        }
        if OR_UNLIMITED.contains(&name) {
            assert!(!refused(-1), "{name}=-1");
        }
    }
}

#[test]
fn what_is_not_a_whole_number_is_refused() {
    for (key, ..) in numbers() {
        let name = key.name;
        for wrong in [
            "",
            "x",
            "1.5",
            "10k",
            "0x10",
            "1 0",
            "9223372036854775808",
            "1_000",
            "+",
        ] {
            assert_eq!(
                problems(&[(name, wrong)]),
                [format!("{name} is not a whole number")],
                "{name}={wrong}"
            );
        }
    }
    assert_eq!(config(&[("port", " +9093 ")]).network.port, 9093);
}

#[test]
fn other_keys_have_the_defaults_of_0_8_2_2_and_refuse_what_is_not_of_their_type() {
    for (name, kind, default) in OTHERS.iter().filter(|(name, ..)| !is_without_effect(name)) {
        let what = |wrong: &str| problems(&[(name, wrong)]).first().cloned();
        match (declared(name).unwrap(), *kind) {
            (Declared::Flag(key), "bool") => {
                assert_eq!(key.default.to_string(), *default, "{name}");
                for good in ["true", "TRUE", "False", " true "] {
                    assert_eq!(what(good), None, "{name}={good}");
                }
                for wrong in ["", "yes", "1", "t"] {
                    assert_eq!(what(wrong), Some(format!("{name} is neither true nor false")));
                }
            }
            (Declared::Real(key), "double") => {
                assert_eq!(key.default, default.parse::<f64>().unwrap(), "{name}");
                for good in ["0.9", "1", "-1e3", "1E9", ".5", "1.5f", "2d", " 0.1 ", "Infinity"] {
                    assert_eq!(what(good), None, "{name}={good}");
                }
                for wrong in ["", "x", "NaN", "nan", "inf", "1,5", "d", "infinity"] {
                    assert_eq!(what(wrong), Some(format!("{name} is not a number")), "{wrong}");
                }
            }
            (Declared::Text(key), "string" | "list" | "map" | "codec") => {
                assert_eq!(key.default.unwrap_or_default(), *default, "{name}");
            }
            (declared, kind) => panic!("{name} is {declared:?}, not {kind}"),
        }
    }
}

#[test]
fn keys_without_effect_give_one_warning_with_the_reason_and_are_not_parsed() {
    for (name, reason) in WITHOUT_EFFECT {
        let expected = format!("{name} has no effect (--override): {reason}");
        assert_eq!(warnings(&[(name, "anything")]), [expected]);
    }
}

#[test]
fn without_any_source_the_broker_is_number_0_on_this_machine() {
    let machine = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let loaded = load(&[]).unwrap();
    assert_eq!((loaded.warnings, loaded.notes), (vec![], vec![]));
    assert_eq!(loaded.config, defaults(&machine));
}

/// The defaults of 0.8.2.2 and ours, field by field.
#[expect(clippy::too_many_lines, reason = "one line per field")]
fn defaults(machine: &str) -> BrokerConfig {
    BrokerConfig {
        id: BrokerId(0),
        worker_threads: None,
        network: NetworkConfig {
            host: None,
            port: 9092,
            send_buffer_bytes: Some(102_400),
            receive_buffer_bytes: None,
            max_request_bytes: 104_857_600,
            max_connections_per_ip: 2_147_483_647,
            max_connections_per_ip_overrides: BTreeMap::new(),
            max_idle: Some(Duration::from_secs(600)),
            queued_max_bytes: 134_217_728,
        },
        advertised: AdvertisedConfig {
            host: machine.to_owned(),
            port: None,
            named_by: NamedBy::Machine,
        },
        compression: CompressionConfig { gzip_level: 1 },
        log: LogDefaults {
            segment_bytes: 1_073_741_824,
            segment_age: Duration::from_secs(168 * 3600),
            segment_jitter: Duration::ZERO,
            index_bytes: 10_485_760,
            index_interval_bytes: 4096,
            flush_messages: None,
            flush_age: None,
            retention_bytes: None,
            retention_age: Some(Duration::from_secs(168 * 3600)),
            max_message_bytes: 1_000_012,
            delete_retention: Duration::from_secs(86_400),
            file_delete_delay: Duration::from_secs(60),
            min_cleanable_ratio: 0.5,
            compact: false,
            min_insync_replicas: 1,
        },
        logs: LogsConfig {
            directories: vec![PathBuf::from("./gregor-data")],
            recovery_threads: 1,
            retention_check_interval: Duration::from_secs(300),
            flush_check_interval: None,
            checkpoint_interval: Duration::from_secs(60),
        },
        topics: TopicsConfig {
            auto_create: true,
            partitions: 1,
            replication_factor: 1,
            delete: false,
        },
        replication: ReplicationConfig {
            lag_time_max: Duration::from_secs(10),
            socket_timeout: Duration::from_secs(30),
            fetch_max_bytes: 1_048_576,
            fetch_wait_max: Duration::from_millis(500),
            fetch_min_bytes: 1,
            fetchers: 1,
            checkpoint_interval: Duration::from_secs(5),
        },
        controller: ControllerConfig {
            socket_timeout: Duration::from_secs(30),
            unclean_leader_election: true,
            election_policy: ElectionPolicy::Assignment,
            reassignment_max_partitions: Some(50),
            auto_rebalance: true,
            imbalance_percentage: 10,
            imbalance_check_interval: Duration::from_secs(300),
        },
        controlled_shutdown: ControlledShutdownConfig {
            enabled: true,
            max_retries: 3,
            retry_backoff: Duration::from_secs(5),
        },
        offsets: OffsetsConfig {
            metadata_max_chars: 4096,
            replication_factor: 3,
            partitions: 50,
            segment_bytes: 104_857_600,
            codec: OffsetsCodec::None,
            retention: Duration::from_secs(86_400),
            retention_check_interval: Duration::from_secs(600),
            commit_timeout: Duration::from_secs(5),
            commit_required_acks: -1,
        },
        zookeeper: ZooKeeperConfig {
            connect: "localhost:2181".to_owned(),
            session_timeout: Duration::from_secs(6),
            connection_timeout: Duration::from_secs(6),
            auth: None,
            set_acl: false,
        },
        metrics: MetricsConfig {
            listen: Some("0.0.0.0:9308".to_owned()),
        },
        places: Places::default(),
    }
}

/// Every key with another value than its default, but for those that lose against another one.
const EVERYTHING: &str = "broker.id=11\nport=12\nhost.name=h13\nadvertised.host.name=a14\nadvertised.port=15\n\
    socket.send.buffer.bytes=16\nsocket.receive.buffer.bytes=17\nsocket.request.max.bytes=18\n\
    max.connections.per.ip=19\nmax.connections.per.ip.overrides=10.0.0.1:5, b : 6 ,\nconnections.max.idle.ms=20\n\
    message.max.bytes=21\nnum.partitions=22\nlog.dirs= /d/a , /d/b,,\nlog.segment.bytes=23\nlog.roll.ms=24\n\
    log.roll.jitter.ms=25\nlog.retention.ms=26\nlog.retention.bytes=27\nlog.retention.check.interval.ms=28\n\
    log.cleanup.policy= Compact \nlog.cleaner.enable=true\nlog.cleaner.threads=2\n\
    log.cleaner.io.max.bytes.per.second=29.5\nlog.cleaner.dedupe.buffer.size=3000000\nlog.cleaner.backoff.ms=31\n\
    log.cleaner.min.cleanable.ratio=0.32\nlog.cleaner.delete.retention.ms=33\nlog.index.size.max.bytes=34\n\
    log.index.interval.bytes=35\nlog.flush.interval.messages=36\nlog.flush.interval.ms=37\n\
    log.flush.scheduler.interval.ms=38\nlog.flush.offset.checkpoint.interval.ms=39\nlog.segment.delete.delay.ms=40\n\
    num.recovery.threads.per.data.dir=41\nauto.create.topics.enable=false\ndelete.topic.enable=true\n\
    default.replication.factor=42\nmin.insync.replicas=43\nunclean.leader.election.enable=false\n\
    replica.lag.time.max.ms=44\nreplica.socket.timeout.ms=46\n\
    replica.fetch.max.bytes=48\nreplica.fetch.wait.max.ms=44\n\
    replica.fetch.min.bytes=49\nnum.replica.fetchers=50\nreplica.high.watermark.checkpoint.interval.ms=51\n\
    controller.socket.timeout.ms=52\nauto.leader.rebalance.enable=false\nleader.imbalance.per.broker.percentage=53\n\
    leader.imbalance.check.interval.seconds=54\ncontrolled.shutdown.enable=false\ncontrolled.shutdown.max.retries=55\n\
    controlled.shutdown.retry.backoff.ms=56\noffset.metadata.max.bytes=57\noffsets.topic.replication.factor=58\n\
    offsets.topic.num.partitions=59\noffsets.topic.segment.bytes=60\noffsets.topic.compression.codec=Snappy\n\
    offsets.retention.minutes=61\noffsets.retention.check.interval.ms=62\noffsets.commit.timeout.ms=63\n\
    offsets.commit.required.acks=58\nzookeeper.connect=z1:1,z2:2/c\nzookeeper.session.timeout.ms=64\n\
    zookeeper.connection.timeout.ms=65\nmetrics.listen=localhost:66\nzookeeper.auth=digest:user:pass:word\n\
    zookeeper.set.acl=true\nqueued.max.bytes=67\nworker.threads=68\ncompression.gzip.level=9\n\
    leader.election.policy=balanced\nreassignment.max.partitions=69\n";

#[expect(clippy::too_many_lines, reason = "one line per field")]
fn everything() -> BrokerConfig {
    let ms = Duration::from_millis;
    let line = |number| Origin::Line(PathBuf::from("x").into(), number);
    BrokerConfig {
        id: BrokerId(11),
        worker_threads: Some(68),
        network: NetworkConfig {
            host: Some("h13".to_owned()),
            port: 12,
            send_buffer_bytes: Some(16),
            receive_buffer_bytes: Some(17),
            max_request_bytes: 18,
            max_connections_per_ip: 19,
            max_connections_per_ip_overrides: BTreeMap::from([
                ("10.0.0.1".to_owned(), 5),
                ("b".to_owned(), 6),
            ]),
            max_idle: Some(ms(20)),
            queued_max_bytes: 67,
        },
        advertised: AdvertisedConfig {
            host: "a14".to_owned(),
            port: Some(15),
            named_by: NamedBy::Advertised(line(4)),
        },
        compression: CompressionConfig { gzip_level: 9 },
        log: LogDefaults {
            segment_bytes: 23,
            segment_age: ms(24),
            segment_jitter: ms(25),
            index_bytes: 34,
            index_interval_bytes: 35,
            flush_messages: Some(36),
            flush_age: Some(ms(37)),
            retention_bytes: Some(27),
            retention_age: Some(ms(26)),
            max_message_bytes: 21,
            delete_retention: ms(33),
            file_delete_delay: ms(40),
            min_cleanable_ratio: 0.32,
            compact: true,
            min_insync_replicas: 43,
        },
        logs: LogsConfig {
            directories: vec![PathBuf::from("/d/a"), PathBuf::from("/d/b")],
            recovery_threads: 41,
            retention_check_interval: ms(28),
            flush_check_interval: Some(ms(37)),
            checkpoint_interval: ms(39),
        },
        topics: TopicsConfig {
            auto_create: false,
            partitions: 22,
            replication_factor: 42,
            delete: true,
        },
        replication: ReplicationConfig {
            lag_time_max: ms(44),
            socket_timeout: ms(46),
            fetch_max_bytes: 48,
            fetch_wait_max: ms(44),
            fetch_min_bytes: 49,
            fetchers: 50,
            checkpoint_interval: ms(51),
        },
        controller: ControllerConfig {
            socket_timeout: ms(52),
            unclean_leader_election: false,
            election_policy: ElectionPolicy::Balanced,
            reassignment_max_partitions: Some(69),
            auto_rebalance: false,
            imbalance_percentage: 53,
            imbalance_check_interval: Duration::from_secs(54),
        },
        controlled_shutdown: ControlledShutdownConfig {
            enabled: false,
            max_retries: 55,
            retry_backoff: ms(56),
        },
        offsets: OffsetsConfig {
            metadata_max_chars: 57,
            replication_factor: 58,
            partitions: 59,
            segment_bytes: 60,
            codec: OffsetsCodec::Snappy,
            retention: Duration::from_secs(61 * 60),
            retention_check_interval: ms(62),
            commit_timeout: ms(63),
            commit_required_acks: 58,
        },
        zookeeper: ZooKeeperConfig {
            connect: "z1:1,z2:2/c".to_owned(),
            session_timeout: ms(64),
            connection_timeout: ms(65),
            auth: Some(ZooKeeperAuth {
                scheme: "digest".to_owned(),
                credentials: "user:pass:word".to_owned(),
            }),
            set_acl: true,
        },
        metrics: MetricsConfig {
            listen: Some("localhost:66".to_owned()),
        },
        places: Places::default(),
    }
}

#[test]
fn every_key_reaches_its_field() {
    let mut loaded = load_all(EVERYTHING, &[], &[]).unwrap();
    if let NamedBy::Advertised(Origin::Line(path, 4)) = &mut loaded.config.advertised.named_by {
        *path = PathBuf::from("x").into();
    }
    loaded.config.places = Places::default();
    assert_eq!(loaded.config, everything());
    let set = EVERYTHING.lines().filter_map(|line| line.split('=').next());
    let losing = [
        "log.dir",
        "log.roll.hours",
        "log.roll.jitter.hours",
        "log.retention.minutes",
        "log.retention.hours",
    ];
    let mut all: Vec<_> = set.chain(losing).collect();
    all.sort_unstable();
    let mut accepted = ACCEPTED.to_vec();
    accepted.sort_unstable();
    assert_eq!(all, accepted);
}

#[test]
fn credentials_are_in_no_message() {
    let loaded = load(&[("zookeeper.auth", "digest:user:secret")]).unwrap();
    assert!(
        loaded
            .notes
            .iter()
            .any(|note| note.contains("zookeeper.auth is overridden to (hidden)"))
    );
    assert!(!format!("{loaded:?}").contains("secret"), "{loaded:?}");
    let problems = load(&[("zookeeper.auth", "secret")]).unwrap_err();
    assert!(!problems.to_string().contains("secret"), "{problems}");
}

/// The lines of the `server.properties` that 0.8.2.2 comes with, comments shortened.
const SHIPPED: &str = "\
# see kafka.server.KafkaConfig for additional details and defaults

broker.id=0
port=9092
#host.name=localhost
#advertised.host.name=<hostname routable by clients>
#advertised.port=<port accessible by clients>
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kafka-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
#log.flush.interval.messages=10000
#log.flush.interval.ms=1000
log.retention.hours=168
#log.retention.bytes=1073741824
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
log.cleaner.enable=false
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=6000
";

#[test]
fn the_shipped_file_works_unchanged() {
    let mut loaded = load_all(SHIPPED, &[], &[]).unwrap();
    loaded.config.places = Places::default();
    let mut expected = config(&[]);
    expected.logs.directories = vec![PathBuf::from("/tmp/kafka-logs")];
    expected.network.receive_buffer_bytes = Some(102_400);
    assert_eq!(loaded.config, expected);
    let warned: Vec<_> = loaded
        .warnings
        .iter()
        .map(|w| w.split(':').next().unwrap())
        .collect();
    assert_eq!(
        warned,
        [
            "num.io.threads has no effect (server.properties",
            "num.network.threads has no effect (server.properties"
        ]
    );
    assert!(
        loaded
            .notes
            .contains(&"Property port is overridden to 9092 (server.properties:4)".to_owned())
    );
}

#[test]
fn later_sources_win_and_are_named() {
    let file = "broker.id=1\nport=1001\nhost.name=file\nnum.partitions=7\nnum.partitions=8\n";
    let environment = [("KAFKA_PORT", "1002"), ("KAFKA_HOST_NAME", "variable")];
    let loaded = load_all(file, &environment, &[("port", "1003"), ("port", "1004")]).unwrap();
    assert_eq!(loaded.config.network.port, 1004);
    assert_eq!(loaded.config.network.host.as_deref(), Some("variable"));
    assert_eq!(
        loaded.config.advertised.named_by,
        NamedBy::Bound(Origin::Variable("KAFKA_HOST_NAME".to_owned()))
    );
    assert_eq!(loaded.config.topics.partitions, 8);
    let from_file = "Property num.partitions is overridden to 8 (server.properties:5)";
    for note in [from_file, "Property port is overridden to 1004 (--override)"] {
        assert!(loaded.notes.contains(&note.to_owned()), "{:?}", loaded.notes);
    }
    assert!(
        load_all("port=1\n", &[("KAFKA_BROKER_ID", "3")], &[])
            .unwrap()
            .config
            .id
            == BrokerId(3)
    );
}

#[test]
fn variables_of_a_jvm_are_noted_and_unknown_ones_warned_about() {
    let environment = [
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
        ("KAFKA_LOG_DIRZ", "/x"),
        ("KAFKA_CREATE_TOPICS", "a:1:1"),
    ];
    let loaded = load_all("broker.id=1", &environment, &[]).unwrap();
    assert_eq!(
        loaded.warnings,
        ["Property log.dirz is not valid (KAFKA_LOG_DIRZ): did you mean log.dirs?"]
    );
    let note = "KAFKA_HEAP_OPTS is ignored: it tunes a JVM, and there is none".to_owned();
    assert!(loaded.notes.contains(&note), "{:?}", loaded.notes);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let file = "broker.id=-1\nport=9092 # x\n\nlog.cleaner.enable=yes\nlog.segment.bytes=\n\
        offsets.topic.compression.codec=zstd\nmax.connections.per.ip.overrides=a:1,b\nmetrics.listen=9308\n";
    let problems = load_all(
        file,
        &[("KAFKA_NUM_PARTITIONS", "0")],
        &[("num.replica.fetchers", "x")],
    )
    .unwrap_err();
    let text = problems.to_string();
    let lines: Vec<_> = text.lines().collect();
    let mut errors: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    errors.sort_unstable();
    assert_eq!(
        errors,
        [
            "broker.id is out of range: -1 (server.properties:1)",
            "log.cleaner.enable is neither true nor false: yes (server.properties:4)",
            "log.segment.bytes is not a whole number: \"\" (server.properties:5)",
            "max.connections.per.ip.overrides has an item that is not host:number: b (server.properties:7)",
            "metrics.listen is not host:port: 9308 (server.properties:8)",
            "num.partitions is out of range: 0 (KAFKA_NUM_PARTITIONS)",
            "num.replica.fetchers is not a whole number: x (--override)",
            "offsets.topic.compression.codec is an unknown compression codec: zstd (server.properties:6)",
            "port is not a whole number: 9092 # x (server.properties:2)",
        ]
    );
    assert_eq!(lines.len(), 2 * errors.len());
    for pair in lines.chunks(2) {
        assert!(
            pair[0].starts_with("error: ") && pair[1].starts_with("hint: "),
            "{pair:?}"
        );
    }
    let hint = "hint: take a whole number from 1 to 2147483647; the default is 1";
    assert!(lines.contains(&hint), "{text}");
}

#[test]
fn rules_between_keys_are_checked() {
    let cases: &[(Pairs<'_>, &str)] = &[
        (
            &[("message.max.bytes", "2000000")],
            "message.max.bytes is above replica.fetch.max.bytes, which is 1048576: 2000000 (--override)",
        ),
        (
            &[("replica.fetch.wait.max.ms", "10001")],
            "replica.fetch.wait.max.ms is above replica.lag.time.max.ms, which is 10000: 10001 (--override)",
        ),
        (
            &[("log.cleaner.threads", "500")],
            "log.cleaner.dedupe.buffer.size is too small for log.cleaner.threads=500: 524288000 (default)",
        ),
        (
            &[("offsets.commit.required.acks", "4")],
            "offsets.commit.required.acks is above offsets.topic.replication.factor, which is 3: 4 (--override)",
        ),
        (
            &[("queued.max.bytes", "1000")],
            "queued.max.bytes is below socket.request.max.bytes, which is 104857600: 1000 (--override)",
        ),
        (
            &[("log.dirs", " , ")],
            "log.dirs names no directory: , (--override)",
        ),
        (
            &[("zookeeper.connect", "")],
            "zookeeper.connect names no host: \"\" (--override)",
        ),
        (
            &[("zookeeper.connect", "/kafka")],
            "zookeeper.connect names no host: /kafka (--override)",
        ),
        (
            &[("zookeeper.connect", "a:1,b:port/kafka")],
            "zookeeper.connect is malformed, \"port\" is no port: a:1,b:port/kafka (--override)",
        ),
        (
            &[("zookeeper.set.acl", "true")],
            "zookeeper.set.acl needs zookeeper.auth, which is not set: true (--override)",
        ),
        (
            &[("zookeeper.auth", "digest")],
            "zookeeper.auth is not scheme:credentials: (hidden) (--override)",
        ),
    ];
    for (overrides, expected) in cases {
        let statements: Vec<_> = load(overrides)
            .unwrap_err()
            .all
            .iter()
            .map(Problem::statement)
            .collect();
        assert_eq!(statements, [*expected]);
    }
}

#[test]
fn rules_between_keys_are_kept_at_their_limits() {
    for good in [
        &[
            ("message.max.bytes", "2000000"),
            ("replica.fetch.max.bytes", "2000000"),
        ],
        &[
            ("replica.fetch.wait.max.ms", "10001"),
            ("replica.lag.time.max.ms", "10001"),
        ],
        &[
            ("log.cleaner.threads", "2"),
            ("log.cleaner.dedupe.buffer.size", "2097154"),
        ],
        &[
            ("offsets.commit.required.acks", "1"),
            ("offsets.topic.replication.factor", "1"),
        ],
        &[("queued.max.bytes", "1000"), ("socket.request.max.bytes", "1000")],
    ] {
        assert_eq!(problems(good), Vec::<String>::new());
    }
    let larger = config(&[("socket.request.max.bytes", "2000000000")]);
    assert_eq!(larger.network.queued_max_bytes, 2_000_000_000);
}

#[test]
fn a_file_must_say_which_broker_it_is_for() {
    let problems = load_all("port=9092\n", &[], &[]).unwrap_err();
    let text = problems.to_string();
    assert!(
        text.starts_with("error: broker.id is required: not set (server.properties)\nhint: "),
        "{text}"
    );
}

#[test]
fn what_is_wrong_comes_in_the_order_of_the_file_after_what_is_misspelt() {
    let file = "broker.id=1\nport=x\nlog.segmnet.bytes=5\nlog.dirs=,\nnum.partitions=0\n";
    let text = load_all(file, &[("KAFKA_HOST_NAMES", "y")], &[])
        .unwrap_err()
        .to_string();
    let told: Vec<_> = text.lines().filter(|line| !line.starts_with("hint: ")).collect();
    assert_eq!(
        told,
        [
            "warning: Property host.names is not valid (KAFKA_HOST_NAMES): did you mean host.name?",
            "warning: Property log.segmnet.bytes is not valid (server.properties:3): did you mean log.segment.bytes?",
            "error: port is not a whole number: x (server.properties:2)",
            "error: log.dirs names no directory: , (server.properties:4)",
            "error: num.partitions is out of range: 0 (server.properties:5)",
        ]
    );
}

#[test]
fn a_file_that_is_missing_or_malformed_is_one_problem() {
    let missing = Sources {
        file: Some(PathBuf::from("/no/such/server.properties")),
        ..Sources::default()
    };
    let text = BrokerConfig::load(missing).unwrap_err().to_string();
    assert!(text.contains("cannot be read: No such file"), "{text}");
    assert!(text.contains("(/no/such/server.properties)"), "{text}");
    let text = load_all("broker.id=1\nlog.dirs=\\u00\n", &[], &[])
        .unwrap_err()
        .to_string();
    assert!(text.contains("(server.properties:2)"), "{text}");
}

#[test]
fn the_first_key_of_a_group_wins_and_the_others_are_warned_about() {
    let hours = |count: u64| Some(Duration::from_secs(count * 3600));
    let retention = |overrides: Pairs<'_>| config(overrides).log.retention_age;
    let (ms, minutes) = (("log.retention.ms", "1"), ("log.retention.minutes", "120"));
    let losing = ("log.retention.hours", "nonsense");
    assert_eq!(retention(&[losing, minutes, ms]), Some(Duration::from_millis(1)));
    assert_eq!(retention(&[losing, minutes]), hours(2));
    assert_eq!(retention(&[("log.retention.hours", "3")]), hours(3));
    assert_eq!(
        retention(&[("log.retention.ms", "31536000000000")]),
        hours(8_760_000)
    );
    for unlimited in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        assert_eq!(retention(&[(unlimited, "-1")]), None);
    }
    let warned = |winner: &str, loser: &str| {
        format!("Property {loser} is not valid (--override): {winner} is set and takes precedence")
    };
    assert_eq!(
        warnings(&[losing, minutes, ms]),
        [
            warned("log.retention.ms", "log.retention.hours"),
            warned("log.retention.ms", "log.retention.minutes")
        ]
    );
    for (winner, loser) in [
        ("log.roll.ms", "log.roll.hours"),
        ("log.roll.jitter.ms", "log.roll.jitter.hours"),
        ("log.dirs", "log.dir"),
    ] {
        assert_eq!(
            warnings(&[(winner, "5"), (loser, "x y")]),
            [warned(winner, loser)]
        );
        assert_eq!(warnings(&[(loser, "5")]), Vec::<String>::new());
    }
    assert_eq!(
        config(&[("log.roll.hours", "2")]).log.segment_age,
        Duration::from_secs(7200)
    );
    assert_eq!(
        config(&[("log.roll.jitter.hours", "2")]).log.segment_jitter,
        Duration::from_secs(7200)
    );
    // Present, though empty: the losing key does not step in.
    assert_eq!(
        problems(&[("log.retention.ms", "")]),
        ["log.retention.ms is not a whole number"]
    );
}

#[test]
fn data_directories_depend_on_whether_there_is_a_file() {
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(config(&[]).logs.directories, paths(&["./gregor-data"]));
    assert_eq!(
        config(&[("log.dir", "/a, /b")]).logs.directories,
        paths(&["/a", "/b"])
    );
    assert_eq!(
        config(&[("log.dir", "/a"), ("log.dirs", "/c")]).logs.directories,
        paths(&["/c"])
    );
    let loaded = load_all("broker.id=1\n", &[], &[]).unwrap();
    assert_eq!(loaded.config.logs.directories, paths(&["/tmp/kafka-logs"]));
}

#[test]
fn the_advertised_host_falls_back_to_the_bound_one_and_then_to_the_machine() {
    let advertised = |overrides: Pairs<'_>| config(overrides).advertised;
    let machine = config(&[]).advertised.host;
    assert!(!machine.is_empty());
    let both = advertised(&[("host.name", "h"), ("advertised.host.name", "a")]);
    assert_eq!(
        (both.host.as_str(), both.named_by),
        ("a", NamedBy::Advertised(Origin::Override))
    );
    let bound = advertised(&[("host.name", "h")]);
    assert_eq!(
        (bound.host.as_str(), bound.named_by),
        ("h", NamedBy::Bound(Origin::Override))
    );
    for blank in [
        &[("host.name", " "), ("x", "")],
        &[("host.name", "h"), ("advertised.host.name", "")],
    ] {
        let blank = advertised(blank);
        assert_eq!((blank.host, blank.named_by), (machine.clone(), NamedBy::Machine));
    }
    assert_eq!(config(&[("host.name", "")]).network.host, None);
}

#[test]
fn flushing_by_age_works_without_the_scheduler_key() {
    let intervals = |overrides: Pairs<'_>| {
        let config = config(overrides);
        (config.log.flush_age, config.logs.flush_check_interval)
    };
    let ms = |count| Some(Duration::from_millis(count));
    assert_eq!(intervals(&[]), (None, None));
    assert_eq!(
        intervals(&[("log.flush.interval.ms", "1000")]),
        (ms(1000), ms(1000))
    );
    assert_eq!(
        intervals(&[("log.flush.scheduler.interval.ms", "3000")]),
        (ms(3000), ms(3000))
    );
    let both = [
        ("log.flush.interval.ms", "1000"),
        ("log.flush.scheduler.interval.ms", "300"),
    ];
    assert_eq!(intervals(&both), (ms(1000), ms(300)));
    assert_eq!(intervals(&[("log.flush.interval.ms", "0")]), (ms(0), ms(1)));
    let notes = load(&[("log.flush.interval.ms", "1000")]).unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("looked at every 1000 ms")),
        "{notes:?}"
    );
}

#[test]
fn values_without_a_limit_are_none() {
    assert_eq!(
        config(&[("socket.send.buffer.bytes", "-1")])
            .network
            .send_buffer_bytes,
        None
    );
    assert_eq!(
        config(&[("connections.max.idle.ms", "-1")]).network.max_idle,
        None
    );
    assert_eq!(config(&[("log.retention.bytes", "-5")]).log.retention_bytes, None);
    assert_eq!(config(&[("metrics.listen", " ")]).metrics.listen, None);
    assert_eq!(config(&[("worker.threads", "0")]).worker_threads, None);
    assert_eq!(
        config(&[("replica.socket.timeout.ms", "0")])
            .replication
            .socket_timeout,
        Duration::MAX
    );
    assert_eq!(
        config(&[("controlled.shutdown.retry.backoff.ms", "-9")])
            .controlled_shutdown
            .retry_backoff,
        Duration::ZERO
    );
    let session = config(&[("zookeeper.session.timeout.ms", "9")]).zookeeper;
    assert_eq!(session.connection_timeout, Duration::from_millis(9));
    for (text, codec) in [
        ("0", OffsetsCodec::None),
        ("1", OffsetsCodec::Gzip),
        ("LZ4", OffsetsCodec::Lz4),
    ] {
        assert_eq!(
            config(&[("offsets.topic.compression.codec", text)]).offsets.codec,
            codec
        );
    }
    for (text, compact) in [("COMPACT", true), ("delete", false), ("compacted", false)] {
        assert_eq!(config(&[("log.cleanup.policy", text)]).log.compact, compact);
    }
}

#[test]
fn unknown_keys_are_warned_about_with_what_may_have_been_meant() {
    let warned = |key: &str| warnings(&[(key, "x")]).into_iter().next();
    let expected =
        |key: &str, remark: &str| Some(format!("Property {key} is not valid (--override){remark}"));
    assert_eq!(
        warned("log.retention.hour"),
        expected("log.retention.hour", ": did you mean log.retention.hours?")
    );
    assert_eq!(
        warned("LOG_DIRS"),
        expected("LOG_DIRS", ": did you mean log.dirs?")
    );
    assert_eq!(
        warned("num.io.thread"),
        expected("num.io.thread", ": did you mean num.io.threads?")
    );
    assert_eq!(warned("create.topics"), expected("create.topics", ""));
    assert_eq!(
        warned("listeners"),
        expected(
            "listeners",
            ": it belongs to 0.9 and later; set host.name and port"
        )
    );
    assert_eq!(warned("external.tool.setting"), None);
    let sorted = warnings(&[("zz", ""), ("aa", ""), ("mm", "")]);
    assert!(sorted.is_sorted() && sorted.len() == 3, "{sorted:?}");
}

#[test]
fn what_is_in_force_other_than_in_0_8_2_2_is_noted() {
    let noted =
        |overrides: Pairs<'_>, text: &str| load(overrides).unwrap().notes.iter().any(|n| n.contains(text));
    assert!(noted(
        &[("min.insync.replicas", "2")],
        "min.insync.replicas=2 is in force"
    ));
    assert!(!noted(&[], "min.insync.replicas"));
    let check = "offsets.retention.check.interval.ms";
    assert!(noted(&[(check, "5")], &format!("{check} is in force")));
    assert!(noted(
        &[("offsets.topic.segment.bytes", "5")],
        "offsets.topic.segment.bytes is in force"
    ));
    let loaded = load_all("broker.id=1", &[], &[]).unwrap();
    assert!(
        loaded
            .notes
            .contains(&"zookeeper.connect is not set: taking localhost:2181".to_owned())
    );
}

#[test]
fn settings_that_are_hardly_meant_are_doubted() {
    let chroots = warnings(&[("zookeeper.connect", "a:1/c,b:2/c")]);
    assert_eq!(
        chroots,
        ["zookeeper.connect has the chroot \"/c,b:2/c\": write it once, after the last host"]
    );
    let timeouts = warnings(&[("replica.socket.timeout.ms", "100")]);
    assert!(
        timeouts
            .iter()
            .any(|doubt| doubt.contains("(100) is below replica.fetch.wait.max.ms (500)")),
        "{timeouts:?}"
    );
}

#[test]
fn who_expects_compaction_is_told_that_there_is_none() {
    assert_eq!(warnings(&[("log.cleaner.enable", "false")]), [] as [String; 0]);
    assert_eq!(warnings(&[("log.cleanup.policy", "delete")]), [] as [String; 0]);
    let cleaner = warnings(&[("log.cleaner.enable", "true"), ("log.cleaner.threads", "2")]);
    assert_eq!(
        cleaner,
        [
            "log.cleaner.enable, log.cleaner.threads: nothing is compacted yet, compacted topics keep every message"
        ]
    );
    assert_eq!(
        warnings(&[("log.cleanup.policy", "compact")]),
        [
            "log.cleanup.policy=compact: nothing is compacted yet, and nothing deleted: topics without a policy of \
             their own only grow"
        ]
    );
}

#[test]
fn who_grants_controlled_shutdown_much_time_is_told_how_much_it_takes() {
    let backoff = "controlled.shutdown.retry.backoff.ms";
    let retries = "controlled.shutdown.max.retries";
    for few in [
        (backoff, "700"),
        (retries, "5"),
        ("controlled.shutdown.enable", "true"),
    ] {
        assert_eq!(warnings(&[few]), [] as [String; 0]);
    }
    let [pause] = &warnings(&[(backoff, "701")])[..] else {
        panic!("one key, one doubt")
    };
    assert!(pause.contains("701") && pause.contains("700 ms"), "{pause}");
    let [attempts] = &warnings(&[(retries, "6")])[..] else {
        panic!("one key, one doubt")
    };
    assert!(attempts.contains("=6") && attempts.contains("3 s"), "{attempts}");
    assert_eq!(warnings(&[(retries, "6"), (backoff, "10")]), [] as [String; 0]);
    let off = ("controlled.shutdown.enable", "false");
    assert_eq!(warnings(&[off, (retries, "60")]), [] as [String; 0]);
}
