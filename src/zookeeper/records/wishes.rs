//! What operators ask the controller for: other replicas, preferred leaders.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use super::Record;
use super::as_i32;
use super::commas;
use super::list;
use super::quoted;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper::Error;

/// The replicas that partitions shall have. Of entries for the same partition the last one counts.
pub(in crate::zookeeper) fn parse_reassignments(
    path: &str,
    data: &[u8],
) -> Result<BTreeMap<TopicPartition, Vec<BrokerId>>, Error> {
    let Some(record) = Record::parse(path, data)? else {
        return Ok(BTreeMap::new());
    };
    let mut wanted = BTreeMap::new();
    for (entry, partition) in record.partitions()? {
        let replicas = entry
            .get("replicas")
            .ok_or_else(|| record.corrupt(format!("{partition} has no replicas")))?;
        wanted.insert(partition, record.brokers(replicas, "replicas")?);
    }
    Ok(wanted)
}

pub(in crate::zookeeper) fn encode_reassignments(wanted: &BTreeMap<TopicPartition, Vec<BrokerId>>) -> String {
    let entries = wanted.iter().map(|(partition, replicas)| {
        format!(
            r#"{{"topic":{},"partition":{},"replicas":{}}}"#,
            quoted(&partition.topic),
            partition.partition,
            list(replicas)
        )
    });
    format!(r#"{{"version":1,"partitions":[{}]}}"#, commas(entries))
}

/// The partitions for which an election of the preferred leader is asked for.
pub(in crate::zookeeper) fn parse_preferred_elections(
    path: &str,
    data: &[u8],
) -> Result<BTreeSet<TopicPartition>, Error> {
    let Some(record) = Record::parse(path, data)? else {
        return Ok(BTreeSet::new());
    };
    let partitions = record.partitions()?;
    Ok(partitions.into_iter().map(|(_, partition)| partition).collect())
}

pub(in crate::zookeeper) fn encode_preferred_elections(partitions: &BTreeSet<TopicPartition>) -> String {
    let entries = partitions.iter().map(|partition| {
        format!(
            r#"{{"topic":{},"partition":{}}}"#,
            quoted(&partition.topic),
            partition.partition
        )
    });
    format!(r#"{{"version":1,"partitions":[{}]}}"#, commas(entries))
}

impl Record<'_> {
    /// The entries of "partitions" and the partition that each names.
    fn partitions(&self) -> Result<Vec<(&Value, TopicPartition)>, Error> {
        let Value::Array(entries) = self.field("partitions")? else {
            return Err(self.corrupt("\"partitions\" is no list"));
        };
        let named = |entry: &Value| {
            let topic = entry.get("topic")?.as_str()?;
            let partition = as_i32(entry.get("partition")?)?;
            Some(TopicPartition::new(topic, partition))
        };
        entries
            .iter()
            .map(|entry| Some((entry, named(entry)?)))
            .collect::<Option<_>>()
            .ok_or_else(|| self.corrupt("an entry names no topic and partition"))
    }
}
