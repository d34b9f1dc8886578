//! Nodes in ZooKeeper, the record chosen by the first byte: corrupt, or read as something that is read again when it is
//! written.

use std::fmt::Debug;
use std::path::Path;

use gregor::log::LogConfig;
use gregor::types::BrokerId;
use gregor::zookeeper::BrokerRegistration;
use gregor::zookeeper::Error;
use gregor::zookeeper::PartitionState;
use gregor::zookeeper::records;
use gregor::zookeeper::records::wishes;

use super::fixtures;
use super::input::Input;
use super::within;

const PATH: &str = "/node";
const ID: BrokerId = BrokerId(3);

pub fn holds(input: &[u8]) {
    is_read(input);
}

/// Whether there is a record; checks what it says.
pub(super) fn is_read(input: &[u8]) -> bool {
    let mut input = Input(input);
    let record = input.byte() % 10;
    let data = input.0;
    match record {
        0 => again(
            data,
            |data| BrokerRegistration::parse(PATH, ID, data),
            BrokerRegistration::encode,
        ),
        1 => again(
            data,
            |data| PartitionState::parse(PATH, data),
            PartitionState::encode,
        ),
        2 => again(
            data,
            |data| records::parse_assignment(PATH, data),
            records::encode_assignment,
        ),
        3 => again(
            data,
            |data| records::parse_topic_config(PATH, data).map(Some),
            |overrides| {
                let (config, bad) = LogConfig::default().with_overrides(overrides);
                assert!(bad.len() <= overrides.len());
                assert!(config.index_bytes >= 8 && (0.0..=1.0).contains(&config.min_cleanable_ratio));
                records::encode_topic_config(overrides)
            },
        ),
        4 => again(
            data,
            |data| records::parse_config_change(PATH, data),
            |topic| records::encode_config_change(topic),
        ),
        5 => again(
            data,
            |data| records::parse_controller(PATH, data),
            |id| records::encode_controller(*id, "0"),
        ),
        6 => again(data, |data| records::parse_live(PATH, data), records::encode_live),
        7 => again(
            data,
            |data| wishes::parse_reassignments(PATH, data).map(Some),
            wishes::encode_reassignments,
        ),
        8 => again(
            data,
            |data| wishes::parse_preferred_elections(PATH, data).map(Some),
            wishes::encode_preferred_elections,
        ),
        _ => again(
            data,
            |data| records::parse_number::<i64>(PATH, data),
            ToString::to_string,
        ),
    }
}

fn again<T: PartialEq + Debug>(
    data: &[u8],
    parse: impl Fn(&[u8]) -> Result<Option<T>, Error>,
    encode: impl Fn(&T) -> String,
) -> bool {
    // A value of JSON takes many times the bytes of its text.
    match within(128 * data.len() + 8192, || parse(data)) {
        Ok(Some(record)) => {
            let text = encode(&record);
            assert_eq!(parse(text.as_bytes()).unwrap(), Some(record), "{text}");
            true
        }
        Ok(None) => false,
        Err(error) => {
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            false
        }
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let record = |path: &str| match path.trim_start_matches("/kafka/east") {
        path if path.starts_with("/brokers/ids/") => Some(0),
        path if path.ends_with("/state") => Some(1),
        path if path.starts_with("/brokers/topics/") => Some(2),
        path if path.starts_with("/config/topics/") => Some(3),
        path if path.starts_with("/config/changes/") => Some(4),
        "/controller" => Some(5),
        "/controller_epoch" => Some(9),
        "/admin/reassign_partitions" => Some(7),
        "/admin/preferred_replica_election" => Some(8),
        path if path.contains("/offsets/") => Some(9),
        _ => None,
    };
    let nodes = fixtures::znodes(folder).into_iter();
    let mut seeds: Vec<_> = nodes
        .filter_map(|(path, data)| Some([vec![record(&path)?], data].concat()))
        .chain([[
            &[6][..],
            br#"{"version":1,"partitions":{"0":{"role":"leader","leader_epoch":4},"1":{"role":"follower","leader_epoch":0}}}"#,
        ]
        .concat()])
        .collect();
    seeds.sort();
    seeds.dedup();
    seeds
}
