//! Sends recorded requests, in the recorded order, and compares what comes back with what the reference answered.

use std::fs::read_to_string;
use std::time::Duration;
use std::time::Instant;

use gregor::protocol::ApiKey;
use gregor::protocol::consumer_metadata::ConsumerMetadataRequest;
use gregor::protocol::encode_request;
use gregor::protocol::metadata::MetadataRequest;
use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;

use super::better;
use crate::support::answer::canonical;
use crate::support::answer::decode;
use crate::support::answer::from_hex;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::broker::kind;
use crate::support::connection::ANSWER;
use crate::support::connection::Connection;
use crate::support::connection::Received;
use crate::support::eventually::eventually;
use crate::support::project;
use crate::support::requests::ask;
use crate::support::requests::ask_one;
use crate::support::requests::committed;
use crate::support::wire;

/// How long is waited to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(700);

const SOON: Duration = Duration::from_secs(20);

/// From this long on a recorded time was a time that the broker meant to wait, not what Java took.
const MEANT: Duration = Duration::from_millis(300);

/// The port of the broker that was recorded.
const RECORDED_PORT: i32 = 41092;

/// The recorded cases of one file, and what to do before them.
pub(crate) struct Recording {
    pub(crate) name: &'static str,
    setup: Value,
    pub(crate) cases: Vec<Case>,
}

/// One recorded exchange.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    recorded: Value,
}

impl Recording {
    pub(crate) fn open(name: &'static str) -> Self {
        let folder = project().join("tests/fixtures/wire");
        let setup = read_to_string(folder.join("setup.json")).unwrap();
        let setup: Value = serde_json::from_str(&setup).unwrap();
        let cases = read_to_string(folder.join(name).with_extension("jsonl")).unwrap();
        let cases = cases.lines().map(|line| {
            let recorded: Value = serde_json::from_str(line).unwrap();
            let name = recorded["name"].as_str().unwrap().to_owned();
            Case { name, recorded }
        });
        let cases: Vec<_> = cases.collect();
        assert!(!cases.is_empty(), "{name} has cases");
        Self {
            name,
            setup: setup[name].clone(),
            cases,
        }
    }

    /// A broker with the settings of the recorded one.
    pub(crate) fn broker(&self, connect: &str) -> Broker {
        let settings = self.setup["brokers"][0]["config"].as_object().unwrap();
        settings
            .iter()
            // How patient it is with ZooKeeper changes no answer.
            .filter(|(key, _)| !key.starts_with("zookeeper."))
            .fold(Setup::new(connect), |setup, (key, value)| {
                setup.set(key, value.as_str().unwrap())
            })
            // The test plays the controller: there is no state node in which the ISR could shrink.
            .set("replica.lag.time.max.ms", "60000")
            .start()
    }

    /// Brings the broker into the state in which the recording began.
    pub(crate) fn prepare(&self, broker: &Broker) {
        for topic in self.setup["topics"].as_array().unwrap() {
            let settings: Vec<_> = topic["config"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
                .collect();
            let partitions = usize::try_from(topic["partitions"].as_u64().unwrap()).unwrap();
            broker.create_topic(topic["topic"].as_str().unwrap(), partitions, &settings);
        }
        eventually("group g1 has a coordinator", SOON, || {
            let group = Some("g1".to_owned());
            let code = ask(broker, &ConsumerMetadataRequest { group })["error_code"].clone();
            if code == 0 { Ok(()) } else { Err(code) }
        });
        // Of each partition of the offsets topic one group.
        for group in ["a", "b", "c", "d"] {
            eventually("the positions of groups are loaded", SOON, || {
                let code = position(broker, group)["error_code"].clone();
                if code == 0 { Ok(()) } else { Err(code) }
            });
        }
        self.preload(broker);
    }

    /// Sends the messages that were there when the recording began.
    pub(crate) fn preload(&self, broker: &Broker) {
        for set in self.setup["preload"].as_array().unwrap() {
            if set["broker"].as_i64().unwrap_or(0) != 0 {
                continue;
            }
            let mut connection = Connection::open(broker.address());
            connection.send(&from_hex(set["request"].as_str().unwrap()));
            let answer = decode(ApiKey::Produce, &connection.frame());
            let produced = &answer["topics"][0]["partitions"][0];
            assert_eq!(
                (&produced["error_code"], &produced["base_offset"]),
                (&Value::from(0), &set["base_offset"]),
                "{set}"
            );
        }
    }

    /// Whether there is a case of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.cases.iter().any(|case| case.name == name)
    }

    /// Each case was compared, or left out for a reason.
    #[track_caller]
    pub(crate) fn has_no_more_than(&self, compared: &[&str], left_out: &[(&str, &str)]) {
        let recorded: Vec<_> = self.cases.iter().map(|case| case.name.as_str()).collect();
        let mut accounted: Vec<_> = left_out
            .iter()
            .map(|(name, _)| *name)
            .chain(compared.iter().copied())
            .collect();
        accounted.sort_by_key(|name| recorded.iter().position(|recorded| recorded == name));
        assert_eq!(
            accounted, recorded,
            "{}: compared or left out, and recorded",
            self.name
        );
    }

    /// The case of this name.
    pub(crate) fn case(&self, name: &str) -> &Case {
        let case = self.cases.iter().find(|case| case.name == name);
        case.unwrap_or_else(|| panic!("{} has no case {name}", self.name))
    }
}

impl Case {
    fn word(&self, name: &str) -> Option<&str> {
        self.recorded[name].as_str()
    }

    /// The bytes to send: where a controller's order names the recorded broker's port it is that of ours.
    pub(crate) fn request(&self, broker: &Broker) -> Vec<u8> {
        let mut bytes = from_hex(self.word("request").unwrap());
        let (recorded, ours) = (
            RECORDED_PORT.to_be_bytes(),
            i32::from(broker.address().port()).to_be_bytes(),
        );
        let mut at = 0;
        while at + recorded.len() <= bytes.len() {
            if bytes[at..].starts_with(&recorded) {
                bytes[at..at + recorded.len()].copy_from_slice(&ours);
            }
            at += 1;
        }
        bytes
    }

    /// The answers that were recorded, in words, in the order in which they came.
    pub(crate) fn answers(&self) -> Vec<Value> {
        match &self.recorded["decoded"] {
            Value::Array(answers) => answers.clone(),
            Value::Null if ["closed", "none"].contains(&self.word("response").unwrap()) => Vec::new(),
            Value::Null => {
                let frame = from_hex(self.word("response").unwrap());
                vec![decode(self.asked()[0].0, &frame[4..])]
            }
            answer => vec![answer.clone()],
        }
    }

    /// Sends the request on a connection of its own and compares all that is recorded; what differs, in words.
    pub(crate) fn replay(&self, broker: &Broker) -> Result<(), String> {
        let mut connection = Connection::open(broker.address());
        let request = self.request(broker);
        let started = Instant::now();
        match self.name.as_str() {
            "byte-by-byte" => request.iter().for_each(|byte| connection.send(&[*byte])),
            _ => connection.send(&request),
        }
        if self.name == "half-closed" {
            connection.finish_sending();
        }
        self.compare(broker, &mut connection)?;
        let meant = self.recorded["elapsed_ms"].as_u64().map(Duration::from_millis);
        if let Some(meant) = meant.filter(|meant| *meant >= MEANT && !self.answers().is_empty()) {
            // The recorded time is the configured one, which is in hundreds, and what it took to answer.
            let configured = Duration::from_millis(u64::try_from(meant.as_millis()).unwrap() / 100 * 100);
            if started.elapsed() < configured {
                return Err(format!(
                    "answered after {:?}, recorded {meant:?}",
                    started.elapsed()
                ));
            }
        }
        if self.word("after_response") == Some("closed") {
            expect(&connection.receive(ANSWER), &Received::Closed)?;
        }
        self.check_usable(&mut connection)?;
        drop(connection);
        if self.recorded["broker_serves_on"].as_bool() == Some(true) {
            wire::metadata(broker.address())
                .map_err(|error| format!("nobody is served any more: {error}"))?;
        }
        Ok(())
    }

    /// Receives as many answers as were recorded, and compares each.
    pub(crate) fn compare(&self, broker: &Broker, connection: &mut Connection) -> Result<(), String> {
        match self.word("response").unwrap() {
            "closed" => return expect(&connection.receive(ANSWER), &Received::Closed),
            "none" => return expect(&connection.receive(SILENCE), &Received::Nothing),
            _ => {}
        }
        let asked = self.asked();
        for mut recorded in self.answers() {
            let Received::Frame(frame) = connection.receive(ANSWER) else {
                return Err(format!("not answered; recorded {recorded}"));
            };
            let id = i32::from_be_bytes(frame[..4].try_into().unwrap());
            let api = asked.iter().find(|(_, correlation_id)| *correlation_id == id);
            let (api, _) = api.or(asked.first()).expect("something was asked");
            with_port_of(broker, &mut recorded);
            if kind() == Kind::Gregor {
                better::apply(&self.name, &mut recorded);
            }
            let (recorded, answered) = (canonical(&recorded), canonical(&decode(*api, &frame)));
            if recorded != answered {
                return Err(format!("\n  recorded {recorded}\n  answered {answered}"));
            }
        }
        Ok(())
    }

    /// API and correlation id of each frame of the request.
    fn asked(&self) -> Vec<(ApiKey, i32)> {
        let mut rest = from_hex(self.word("request").unwrap());
        let mut asked = Vec::new();
        while rest.len() >= 12 {
            let number = |at: usize| i32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            let size = usize::try_from(number(0)).unwrap_or(usize::MAX - 4);
            let key = i16::from_be_bytes(rest[4..6].try_into().unwrap());
            asked.extend(ApiKey::from_code(key).map(|key| (key, number(8))));
            rest.drain(..rest.len().min(4 + size));
        }
        asked
    }

    /// Whether the connection serves on, if that was recorded.
    fn check_usable(&self, connection: &mut Connection) -> Result<(), String> {
        let Some(usable) = self.recorded["connection_usable"].as_bool() else {
            return Ok(());
        };
        if self.word("response") == Some("closed") || self.name == "half-closed" {
            return Ok(()); // It is known to be closed.
        }
        let topics = vec![Some("events".to_owned())];
        connection.send(&encode_request(99, None, &MetadataRequest { topics }));
        let limit = if usable { ANSWER } else { SILENCE };
        match (connection.receive(limit), usable) {
            (Received::Frame(_), true) | (Received::Nothing | Received::Closed, false) => Ok(()),
            (received, _) => Err(format!("usable afterwards: {usable}, but {received:?}")),
        }
    }
}

fn expect(received: &Received, recorded: &Received) -> Result<(), String> {
    if received == recorded {
        Ok(())
    } else {
        Err(format!("recorded {recorded:?}, but {received:?}"))
    }
}

/// A group's position in `events` 0, as it is kept in Kafka.
pub(crate) fn position(broker: &Broker, group: &str) -> Value {
    ask_one(broker, &committed(OffsetStorage::Kafka, group, "events", 0))
}

/// Puts the broker's port where an answer names the recorded one.
fn with_port_of(broker: &Broker, answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "port" && *value == RECORDED_PORT {
                    *value = broker.address().port().into();
                } else {
                    with_port_of(broker, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| with_port_of(broker, item)),
        _ => {}
    }
}
