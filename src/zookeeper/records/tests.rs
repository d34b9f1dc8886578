//! The records against what the reference has written, and against what nobody should write.

use std::fs;
use std::path::Path;

use super::*;

/// Every node of every dump that holds something: path and content.
fn fixtures() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/znodes");
    let mut nodes = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in fs::read_to_string(path).unwrap().lines() {
                let node: Value = serde_json::from_str(line).unwrap();
                let path = node["path"].as_str().unwrap();
                let path = path.strip_prefix("/kafka/east").unwrap_or(path);
                if let Some(data) = node["data"].as_str() {
                    nodes.push((path.to_owned(), data.to_owned()));
                }
            }
        }
    }
    nodes
}

/// The nodes below `prefix` whose rest of the path satisfies `wanted`; there must be some.
fn nodes(prefix: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = fixtures();
    found.retain(|(path, _)| path.strip_prefix(prefix).is_some_and(&wanted));
    assert!(found.len() > 10, "only {} nodes below {prefix}", found.len());
    found
}

#[test]
fn broker_registrations_are_written_as_they_were_read() {
    for (path, data) in nodes("/brokers/ids/", |_| true) {
        let id = BrokerId(path.rsplit('/').next().unwrap().parse().unwrap());
        let broker = BrokerRegistration::parse(&path, id, data.as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(broker.encode(), data);
        assert_eq!((broker.jmx_port, broker.timestamp.len()), (-1, 13));
        assert_eq!(broker.endpoint().host, broker.host);
    }
}

#[test]
fn partition_states_are_written_as_they_were_read() {
    let mut leaderless = 0;
    for (path, data) in nodes("/brokers/topics/", |rest| rest.ends_with("/state")) {
        let state = PartitionState::parse(&path, data.as_bytes()).unwrap().unwrap();
        assert_eq!(state.encode(), data);
        leaderless += usize::from(state.leader.is_none());
    }
    assert!(leaderless > 0);
}

#[test]
fn assignments_are_written_as_they_were_read_but_for_the_order() {
    for (path, data) in nodes("/brokers/topics/", |rest| !rest.contains('/')) {
        let assignment = parse_assignment(&path, data.as_bytes()).unwrap().unwrap();
        assert!(!assignment.is_empty());
        let written = encode_assignment(&assignment);
        assert_eq!(
            parse_assignment(&path, written.as_bytes()).unwrap().unwrap(),
            assignment
        );
        let parts = |text: &str| {
            let (head, partitions) = text.split_once("\"partitions\":{").unwrap();
            let mut partitions: Vec<String> = partitions
                .trim_end_matches('}')
                .split("],")
                .map(|p| p.trim_end_matches(']').to_owned())
                .collect();
            partitions.sort();
            (head.to_owned(), partitions)
        };
        assert_eq!(parts(&written), parts(&data));
        assert_eq!(written.len(), data.len());
    }
}

#[test]
fn controllers_are_written_as_they_were_read() {
    for (path, data) in nodes("/controller", str::is_empty) {
        let id = parse_controller(&path, data.as_bytes()).unwrap().unwrap();
        let (_, rest) = data.split_once("\"timestamp\":\"").unwrap();
        assert_eq!(encode_controller(id, rest.trim_end_matches("\"}")), data);
    }
    for (path, data) in nodes("/controller_epoch", str::is_empty) {
        let epoch: i32 = parse_number(&path, data.as_bytes()).unwrap().unwrap();
        assert_eq!(epoch.to_string(), data);
    }
}

#[test]
fn topic_configs_and_their_changes_are_written_as_they_were_read() {
    for (path, data) in nodes("/config/topics/", |_| true) {
        let config = parse_topic_config(&path, data.as_bytes()).unwrap();
        let written = encode_topic_config(&config);
        // Several settings come in no order.
        let sorted = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(&written), sorted(&data));
        if config.len() < 2 {
            assert_eq!(written, data);
        }
    }
    for (path, data) in nodes("/config/changes/", |_| true) {
        let topic = parse_config_change(&path, data.as_bytes()).unwrap().unwrap();
        assert_eq!(encode_config_change(&topic), data);
    }
}

#[test]
fn offsets_are_written_as_they_were_read() {
    for (path, data) in nodes("/consumers/", |rest| rest.contains("/offsets/")) {
        let offset: i64 = parse_number(&path, data.as_bytes()).unwrap().unwrap();
        assert_eq!(offset.to_string(), data);
    }
}

#[test]
fn nodes_without_content_hold_no_record() {
    assert_eq!(BrokerRegistration::parse("/", BrokerId(1), b"").unwrap(), None);
    assert_eq!(PartitionState::parse("/", b"").unwrap(), None);
    assert_eq!(parse_assignment("/", b"").unwrap(), None);
    assert_eq!(parse_controller("/", b"").unwrap(), None);
    assert_eq!(parse_live("/", b"").unwrap(), None);
    assert_eq!(parse_number::<i64>("/", b"").unwrap(), None);
    assert_eq!(parse_config_change("/", b"").unwrap(), None);
    assert!(parse_topic_config("/", b"").unwrap().is_empty());
}

#[test]
fn more_fields_other_orders_and_other_versions_are_understood() {
    let broker = BrokerRegistration::parse(
        "/brokers/ids/3",
        BrokerId(3),
        br#" {"port":1,"rack":null,"host":"h","version":4,"endpoints":["PLAINTEXT://h:1"],"timestamp":17.5e300} "#,
    );
    assert_eq!(broker.unwrap().unwrap().endpoint().to_string(), "h:1");
    let state = PartitionState::parse(
        "/",
        br#"{"isr":[2],"leader":2,"leader":1,"leader_epoch":0,"controller_epoch":9,"more":{}}"#,
    );
    assert_eq!(
        state.unwrap().unwrap().leader,
        Some(BrokerId(1)),
        "the last one counts"
    );
    assert_eq!(parse_assignment("/", b"{}").unwrap().unwrap(), Assignment::new());
    assert_eq!(parse_controller("/", b"12").unwrap(), Some(BrokerId(12)));
}

#[test]
fn what_0_8_could_not_read_is_corrupt() {
    let state = |text: &str| PartitionState::parse("/p", text.as_bytes());
    let good = r#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}"#;
    state(good).unwrap().unwrap();
    for (from, to) in [
        ("\"leader\":1", "\"leader\":2147483648"),
        ("\"leader\":1", "\"leader\":1.0"),
        ("\"leader\":1", "\"leader\":1e0"),
        ("\"leader\":1", "\"leader\":\"1\""),
        ("\"leader\":1", "\"chief\":1"),
        ("[1]", "[1.5]"),
        ("[1]", "{}"),
        ("[1]", "[1"),
        ("{", "[{"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(
            matches!(state(&bad), Err(Error::Corrupt { path, .. }) if path == "/p"),
            "{bad}"
        );
    }
    assert!(state("7").is_err() && state("null").is_err() && state("\u{feff}{}").is_err());
    assert!(state(&"[".repeat(100_000)).is_err(), "deep nesting ends early");
    let broker = |text: &str| BrokerRegistration::parse("/", BrokerId(1), text.as_bytes());
    assert!(broker(r#"{"host":"h","port":4294967296}"#).is_err());
    assert!(broker(r#"{"host":7,"port":1}"#).is_err());
    for bad in [
        r#"{"partitions":{"x":[1]}}"#,
        r#"{"partitions":{"0":[1,null]}}"#,
        r#"{"partitions":[]}"#,
    ] {
        assert!(parse_assignment("/", bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in [
        r#"{"config":{}}"#,
        r#"{"version":1}"#,
        r#"{"version":2,"config":{}}"#,
        r#"{"version":1,"config":{"a":1}}"#,
    ] {
        assert!(parse_topic_config("/", bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(parse_number::<i32>("/", b"2147483648").is_err());
    assert!(parse_controller("/", &[0xff]).is_err());
}

#[test]
fn what_would_break_the_json_is_escaped_and_nothing_else_is() {
    let config = BTreeMap::from([("a/b".to_owned(), "ä\"\\\n\u{7f}".to_owned())]);
    let written = encode_topic_config(&config);
    assert_eq!(
        written,
        "{\"version\":1,\"config\":{\"a/b\":\"ä\\\"\\\\\\u000a\u{7f}\"}}"
    );
    assert_eq!(parse_topic_config("/", written.as_bytes()).unwrap(), config);
}
