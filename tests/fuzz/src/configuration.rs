//! Whole configurations: a list of mistakes, each with its place, or values without any; the same each time.

use std::fs;
use std::path::Path;

use gregor::broker::config::BrokerConfig;
use gregor::broker::config::Sources;
use gregor::broker::config::parse_override;
use tempfile::TempDir;

use super::properties;

thread_local! {
    static DIRECTORY: TempDir = super::scratch();
}

/// The file; after a zero the variables, after another the overrides, as lines.
pub fn holds(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (file, variables, overrides) = (part(), part(), part());
    let lines = |part: &[u8]| {
        let text = String::from_utf8_lossy(part).into_owned();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let overrides = lines(overrides);
    let sources = || Sources {
        file: DIRECTORY.with(|directory| {
            let path = directory.path().join("server.properties");
            (!file.is_empty()).then(|| {
                fs::write(&path, file).unwrap();
                path
            })
        }),
        environment: lines(variables)
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        overrides: overrides
            .iter()
            .filter_map(|text| parse_override(text).ok())
            .collect(),
    };
    let loaded = BrokerConfig::load(sources());
    match &loaded {
        Ok(loaded) => {
            let config = &loaded.config;
            assert!(config.id.0 >= 0);
            assert!(!config.logs.directories.is_empty());
            assert!(!config.zookeeper.connect.is_empty());
            assert!(
                loaded
                    .warnings
                    .iter()
                    .chain(&loaded.notes)
                    .all(|line| !line.is_empty())
            );
        }
        Err(problems) => {
            assert!(!problems.all.is_empty());
            assert!(
                problems
                    .all
                    .iter()
                    .all(|problem| !problem.what.is_empty() && !problem.hint.is_empty())
            );
        }
    }
    // Reading takes long enough without doing it twice each time.
    if crc32fast::hash(input).is_multiple_of(8) {
        let again = format!("{:?}", BrokerConfig::load(sources()));
        assert_eq!(format!("{loaded:?}"), again, "nothing depends on anything else");
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let mut seeds = properties::seeds(folder);
    let name = |key: &str| key.to_uppercase().replace('.', "_");
    // Every key with values that are right and wrong, from the file, a variable and an override.
    for (key, default) in KEYS {
        for value in [
            *default,
            "-1",
            "0",
            "1",
            "9223372036854775807",
            "true",
            "none",
            "",
        ] {
            seeds.push(format!("broker.id=1\n{key}={value}\n").into_bytes());
        }
        seeds.push(format!("broker.id=1\n\0KAFKA_{}={default}\n\0{key}={default}", name(key)).into_bytes());
    }
    seeds
}

const KEYS: &[(&str, &str)] = &[
    ("broker.id", "7"),
    ("port", "9092"),
    ("host.name", "localhost"),
    ("advertised.host.name", "example.org"),
    ("advertised.port", "9093"),
    ("log.dirs", "/a, /b"),
    ("log.dir", "/a"),
    ("num.partitions", "3"),
    ("message.max.bytes", "1000012"),
    ("replica.fetch.max.bytes", "1048576"),
    ("socket.request.max.bytes", "104857600"),
    ("queued.max.bytes", "1000"),
    ("log.segment.bytes", "1073741824"),
    ("log.roll.hours", "168"),
    ("log.roll.ms", "1"),
    ("log.roll.jitter.hours", "2"),
    ("log.retention.hours", "168"),
    ("log.retention.minutes", "5"),
    ("log.retention.ms", "1"),
    ("log.retention.bytes", "-1"),
    ("log.cleanup.policy", "compact"),
    ("log.cleaner.enable", "true"),
    ("log.cleaner.threads", "2"),
    ("log.cleaner.dedupe.buffer.size", "524288000"),
    ("log.cleaner.io.max.bytes.per.second", "1.5e3"),
    ("log.flush.interval.ms", "3000"),
    ("log.index.size.max.bytes", "10485760"),
    ("zookeeper.connect", "a:1,b:2/c"),
    ("zookeeper.session.timeout.ms", "6000"),
    ("zookeeper.auth", "digest:user:password"),
    ("metrics.listen", "127.0.0.1:9308"),
    ("offsets.topic.compression.codec", "gzip"),
    ("offsets.commit.required.acks", "-1"),
    ("max.connections.per.ip.overrides", "127.0.0.1:5,10.0.0.1:7"),
    ("min.insync.replicas", "2"),
    ("log.dirz", "/a"),
    ("ssl.keystore.location", "x"),
];
