//! The words everybody uses: brokers, partitions, addresses.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// The number of a broker, unique in its cluster; also the name of its registration in ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Number of the partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Partitions for one line of the log: by name while they are few.
pub fn listed(partitions: &[&TopicPartition]) -> String {
    const FEW: usize = 8;
    if partitions.len() > FEW {
        return format!("{} partitions", partitions.len());
    }
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Where a broker is reached, as clients and other brokers are told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The broker.
    pub id: BrokerId,
    /// Host name or address.
    pub host: String,
    /// TCP port. Wider than a port, because nothing in 0.8 keeps other numbers out.
    pub port: i32,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The topic in which groups keep their offsets; clients may read it but not write it.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Longest name of a topic, in characters.
const TOPIC_NAME_MAX: usize = 255;

/// Whether a topic may have this name: 1 to 255 of `[a-zA-Z0-9._-]`, but not `.` or `..`.
pub fn is_legal_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_MAX).contains(&name.len()) && name != "." && name != ".." && name.chars().all(legal)
}

/// Java's `String.hashCode`: over UTF-16 code units, wrapping at 32 bits.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// The absolute value as Kafka takes it: that of the smallest integer is 0.
pub fn java_abs(number: i32) -> i32 {
    number.checked_abs().unwrap_or(0)
}

/// A moment as Kafka writes it: milliseconds since 1970, 0 for what was before.
pub fn millis_since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of day as Kafka writes it down, for records and people. Nothing is timed with it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks for the time of day to write it down"
)]
pub fn now_millis() -> i64 {
    millis_since_1970(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hash_as_in_java() {
        assert_eq!(java_hash("g1"), 3242);
        assert_eq!(java_hash("my-group"), -1_906_497_762);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_abs(java_hash("polygenelubricants")), 0);
        assert_eq!(java_abs(java_hash("my-group")) % 50, 12);
    }

    /// The rows of a table that the reference computed.
    fn table(name: &str) -> Vec<serde_json::Value> {
        let path = format!("{}/tests/fixtures/tables/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let mut table: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        table["rows"].take().as_array().unwrap().clone()
    }

    #[test]
    fn groups_fall_on_the_partitions_that_the_reference_says() {
        for row in table("offsets-partition") {
            let hash = java_hash(row["group"].as_str().unwrap());
            assert_eq!(i64::from(hash), row["hash"], "{row}");
            assert_eq!(i64::from(java_abs(hash)), row["abs"], "{row}");
            for (count, partition) in [1, 4, 7, 50, 100]
                .iter()
                .zip(row["partitions"].as_array().unwrap())
            {
                assert_eq!(i64::from(java_abs(hash) % count), *partition, "{row}");
            }
        }
    }

    /// Where a hash falls among each of the tables' counts of partitions.
    fn falls(hash: i32) -> serde_json::Value {
        [1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 50, 100, 1000]
            .map(|count| java_abs(hash) % count)
            .to_vec()
            .into()
    }

    /// `DefaultPartitioner` of the Scala producer, for keys that are strings.
    #[test]
    fn strings_hash_and_fall_as_in_the_scala_producer() {
        let rows = table("partitions-strings");
        assert_eq!(rows.len(), 213);
        for row in rows {
            let hash = java_hash(row["key"].as_str().unwrap());
            assert_eq!(i64::from(hash), row["string_hash"], "{row}");
            assert_eq!(falls(hash), row["old_default"], "{row}");
        }
    }

    /// `ByteArrayPartitioner` of the Scala producer, but for the hash of an array, which nothing here takes.
    #[test]
    fn hashes_of_arrays_fall_as_in_the_scala_producer() {
        let rows = table("partitions-bytes");
        assert_eq!(rows.len(), 228);
        for row in rows {
            let hash = i32::try_from(row["array_hash"].as_i64().unwrap()).unwrap();
            assert_eq!(falls(hash), row["old_byte_array"], "{row}");
        }
    }

    #[test]
    fn the_reference_allows_the_same_names() {
        let mut names = 0;
        for row in table("names") {
            // It throws where there is no name, which can't come up here.
            let Some(name) = row["name"].as_str() else {
                continue;
            };
            assert_eq!(is_legal_topic_name(name), row["topic_error"].is_null(), "{row}");
            names += 1;
        }
        assert_eq!(names, 60);
    }

    #[test]
    fn topic_names_are_checked_as_in_0_8() {
        for good in ["a", "A.b_c-9", &"x".repeat(255)] {
            assert!(is_legal_topic_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(256)] {
            assert!(!is_legal_topic_name(bad), "{bad}");
        }
    }
}
