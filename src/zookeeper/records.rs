//! Every record that a node holds, as a type.
//!
//! What is written is byte for byte what 0.8.2.2 writes: no blanks, its order of fields, times as strings of digits.
//! What is read may have more fields, another order, another version. A number outside 32 bits, a fraction or a
//! missing field makes that one node corrupt and no other. A node without content holds no record.

pub mod wishes;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str;

use serde_json::Map;
use serde_json::Value;

use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::now_millis;
use crate::zookeeper::Error;

/// The replicas of every partition of a topic; the first of each is its preferred leader.
pub type Assignment = BTreeMap<i32, Vec<BrokerId>>;

/// What a broker says about itself in `/brokers/ids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub id: BrokerId,
    /// Where clients and other brokers reach it.
    pub host: String,
    /// Where clients and other brokers reach it.
    pub port: i32,
    /// Port of the Java management interface; -1 if there is none.
    pub jmx_port: i32,
    /// When it first tried to register, in milliseconds since 1970; empty if the node doesn't say.
    pub timestamp: String,
}

/// Leader and in-sync replicas of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// Raised by the controller with every decision about the leader.
    pub leader_epoch: i32,
    /// Replicas that have everything up to the high watermark.
    pub isr: Vec<BrokerId>,
    /// Epoch of the controller that decided on this leader.
    pub controller_epoch: i32,
}

/// What a broker does for a partition at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivePartition {
    /// Leader or follower.
    pub role: Role,
    /// Under which leader epoch.
    pub leader_epoch: i32,
}

/// The two things a replica can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes writes.
    Leader,
    /// Fetches from the leader.
    Follower,
}

/// How "no leader" is written.
const NO_LEADER: i32 = -1;

impl BrokerRegistration {
    /// Where clients and other brokers reach it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            id: self.id,
            host: self.host.clone(),
            port: self.port,
        }
    }

    /// Reads a node; `None` if it is empty.
    pub fn parse(path: &str, id: BrokerId, data: &[u8]) -> Result<Option<Self>, Error> {
        let Some(record) = Record::parse(path, data)? else {
            return Ok(None);
        };
        let jmx_port = record.fields.get("jmx_port").and_then(as_i32);
        let timestamp = record.fields.get("timestamp").and_then(Value::as_str);
        Ok(Some(Self {
            id,
            host: record.string("host")?.to_owned(),
            port: record.number("port")?,
            jmx_port: jmx_port.unwrap_or(-1),
            timestamp: timestamp.unwrap_or_default().to_owned(),
        }))
    }

    /// As 0.8.2.2 writes it.
    pub fn encode(&self) -> String {
        format!(
            r#"{{"jmx_port":{},"timestamp":{},"host":{},"version":1,"port":{}}}"#,
            self.jmx_port,
            quoted(&self.timestamp),
            quoted(&self.host),
            self.port
        )
    }
}

impl PartitionState {
    /// Reads a node; `None` if it is empty.
    pub fn parse(path: &str, data: &[u8]) -> Result<Option<Self>, Error> {
        let Some(record) = Record::parse(path, data)? else {
            return Ok(None);
        };
        let leader = record.number("leader")?;
        Ok(Some(Self {
            leader: (leader != NO_LEADER).then_some(BrokerId(leader)),
            leader_epoch: record.number("leader_epoch")?,
            isr: record.brokers(record.field("isr")?, "isr")?,
            controller_epoch: record.number("controller_epoch")?,
        }))
    }

    /// As 0.8.2.2 writes it.
    pub fn encode(&self) -> String {
        format!(
            r#"{{"controller_epoch":{},"leader":{},"version":1,"leader_epoch":{},"isr":{}}}"#,
            self.controller_epoch,
            self.leader.map_or(NO_LEADER, |leader| leader.0),
            self.leader_epoch,
            list(&self.isr)
        )
    }
}

/// The replicas of a topic's partitions; `None` if the node is empty.
pub fn parse_assignment(path: &str, data: &[u8]) -> Result<Option<Assignment>, Error> {
    let Some(record) = Record::parse(path, data)? else {
        return Ok(None);
    };
    let Some(partitions) = record.fields.get("partitions") else {
        return Ok(Some(Assignment::new()));
    };
    let Value::Object(partitions) = partitions else {
        return Err(record.corrupt("\"partitions\" is no object"));
    };
    let mut assignment = Assignment::new();
    for (name, replicas) in partitions {
        let Ok(partition) = name.parse() else {
            return Err(record.corrupt(format!("{name:?} is no number of a partition")));
        };
        assignment.insert(partition, record.brokers(replicas, name)?);
    }
    Ok(Some(assignment))
}

/// As 0.8.2.2 writes it.
pub fn encode_assignment(assignment: &Assignment) -> String {
    let partitions = assignment
        .iter()
        .map(|(partition, replicas)| format!("\"{partition}\":{}", list(replicas)));
    format!(r#"{{"version":1,"partitions":{{{}}}}}"#, commas(partitions))
}

/// The overrides of a topic. Unlike everywhere else the version counts here, as it does for 0.8.2.2
/// (AdminUtils.fetchTopicConfig).
pub fn parse_topic_config(path: &str, data: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let Some(record) = Record::parse(path, data)? else {
        return Ok(BTreeMap::new());
    };
    if record.number("version")? != 1 {
        return Err(record.corrupt("its version is not 1"));
    }
    let Value::Object(config) = record.field("config")? else {
        return Err(record.corrupt("\"config\" is no object"));
    };
    let mut overrides = BTreeMap::new();
    for (key, value) in config {
        let Value::String(value) = value else {
            return Err(record.corrupt(format!("the value of {key:?} is no string")));
        };
        overrides.insert(key.clone(), value.clone());
    }
    Ok(overrides)
}

/// As 0.8.2.2 writes it.
pub fn encode_topic_config(config: &BTreeMap<String, String>) -> String {
    let entries = config
        .iter()
        .map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)));
    format!(r#"{{"version":1,"config":{{{}}}}}"#, commas(entries))
}

/// The topic between the quotes; `None` if there is nothing to be read.
pub fn parse_config_change(path: &str, data: &[u8]) -> Result<Option<String>, Error> {
    let text = text(path, data)?;
    // 0.8.2.2 drops the first and the last character, whatever they are (TopicConfigManager.processConfigChanges).
    let mut topic = text.chars();
    Ok(topic
        .next()
        .and(topic.next_back())
        .map(|_| topic.as_str().to_owned()))
}

/// The name of the topic, between quotes.
pub fn encode_config_change(topic: &str) -> String {
    format!("\"{topic}\"")
}

/// The broker that holds `/controller`.
pub fn parse_controller(path: &str, data: &[u8]) -> Result<Option<BrokerId>, Error> {
    // Before 0.8 was released the node held the bare number.
    if let Ok(id) = text(path, data)?.parse() {
        return Ok(Some(BrokerId(id)));
    }
    let Some(record) = Record::parse(path, data)? else {
        return Ok(None);
    };
    record.number("brokerid").map(|id| Some(BrokerId(id)))
}

/// As 0.8.2.2 writes it.
pub fn encode_controller(id: BrokerId, timestamp: &str) -> String {
    format!(
        r#"{{"version":1,"brokerid":{id},"timestamp":{}}}"#,
        quoted(timestamp)
    )
}

/// What one broker does for the partitions of a topic.
pub fn encode_live(partitions: &BTreeMap<i32, LivePartition>) -> String {
    let partitions = partitions.iter().map(|(partition, live)| {
        let role = match live.role {
            Role::Leader => "leader",
            Role::Follower => "follower",
        };
        format!(
            r#""{partition}":{{"role":"{role}","leader_epoch":{}}}"#,
            live.leader_epoch
        )
    });
    format!(r#"{{"version":1,"partitions":{{{}}}}}"#, commas(partitions))
}

/// What one broker does for the partitions of a topic; `None` if the node is empty.
pub fn parse_live(path: &str, data: &[u8]) -> Result<Option<BTreeMap<i32, LivePartition>>, Error> {
    let Some(record) = Record::parse(path, data)? else {
        return Ok(None);
    };
    let Value::Object(partitions) = record.field("partitions")? else {
        return Err(record.corrupt("\"partitions\" is no object"));
    };
    let mut live = BTreeMap::new();
    for (name, partition) in partitions {
        let role = match partition.get("role").and_then(Value::as_str) {
            Some("leader") => Role::Leader,
            Some("follower") => Role::Follower,
            _ => return Err(record.corrupt(format!("the role of partition {name:?} is unknown"))),
        };
        let (Ok(number), Some(leader_epoch)) = (name.parse(), partition.get("leader_epoch").and_then(as_i32))
        else {
            return Err(record.corrupt(format!("partition {name:?} lacks a number or a leader epoch")));
        };
        live.insert(number, LivePartition { role, leader_epoch });
    }
    Ok(Some(live))
}

/// A node that holds nothing but a number; `None` if it holds nothing.
pub fn parse_number<T: str::FromStr>(path: &str, data: &[u8]) -> Result<Option<T>, Error> {
    let text = text(path, data)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| Error::corrupt(path, format!("{text:?} is no number, or too large a one")))
}

/// The time as the records have it: milliseconds since 1970, as text.
pub(super) fn timestamp() -> String {
    now_millis().to_string()
}

/// A JSON object and where it was read.
struct Record<'a> {
    path: &'a str,
    fields: Map<String, Value>,
}

impl<'a> Record<'a> {
    fn parse(path: &'a str, data: &[u8]) -> Result<Option<Self>, Error> {
        if data.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(data) {
            Ok(Value::Object(fields)) => Ok(Some(Self { path, fields })),
            Ok(_) => Err(Error::corrupt(path, "no JSON object")),
            Err(error) => Err(Error::corrupt(path, error.to_string())),
        }
    }

    fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::corrupt(self.path, problem)
    }

    fn field(&self, name: &str) -> Result<&Value, Error> {
        self.fields
            .get(name)
            .ok_or_else(|| self.corrupt(format!("{name:?} is missing")))
    }

    fn number(&self, name: &str) -> Result<i32, Error> {
        as_i32(self.field(name)?).ok_or_else(|| self.corrupt(format!("{name:?} is no 32-bit number")))
    }

    fn string(&self, name: &str) -> Result<&str, Error> {
        let value = self.field(name)?.as_str();
        value.ok_or_else(|| self.corrupt(format!("{name:?} is no string")))
    }

    fn brokers(&self, value: &Value, name: &str) -> Result<Vec<BrokerId>, Error> {
        let ids = value
            .as_array()
            .map(|ids| ids.iter().map(|id| as_i32(id).map(BrokerId)).collect());
        ids.flatten()
            .ok_or_else(|| self.corrupt(format!("{name:?} is no list of broker ids")))
    }
}

fn as_i32(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok())
}

fn text<'a>(path: &str, data: &'a [u8]) -> Result<&'a str, Error> {
    str::from_utf8(data).map_err(|_| Error::corrupt(path, "no UTF-8 text"))
}

fn list(ids: &[BrokerId]) -> String {
    format!("[{}]", commas(ids.iter().map(ToString::to_string)))
}

fn commas(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// A string as 0.8.2.2 writes it: verbatim between quotes. It writes quotes, backslashes and control characters
/// verbatim too, and then nobody can read the node; those are escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\0'..='\x1f' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
