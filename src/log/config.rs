//! The settings of one log: the server's defaults, with what a topic overrides.
//!
//! Only here are the names of the topic overrides known.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::message::set::Limits;

/// No time limit: what 0.8.2.2 means by the largest number of milliseconds.
const FOREVER: Duration = Duration::from_millis(i64::MAX.unsigned_abs());
/// Bytes of an index entry: an index must have room for one.
const INDEX_ENTRY_LEN: u64 = 8;

/// What becomes of old messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Segments that are too old or too many go.
    Delete,
    /// The last message of each key stays.
    Compact,
}

/// The settings of one log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// A segment never grows beyond this.
    pub segment_bytes: u64,
    /// A segment that is older is not appended to any more.
    pub segment_ms: Duration,
    /// Up to so much earlier than `segment_ms`, so that logs don't all roll at once.
    pub segment_jitter: Duration,
    /// Bytes reserved for the index of the segment that is appended to.
    pub index_bytes: u64,
    /// So many messages after the last flush the next one is due.
    pub flush_messages: u64,
    /// So long after the last flush the next one is due.
    pub flush_ms: Duration,
    /// The oldest segments beyond this size go.
    pub retention_bytes: Option<u64>,
    /// Segments last written to longer ago go. A negative override means no limit: 0.8.2.2 takes it
    /// literally, every segment is older than that, and deletes everything
    /// (LogManager.cleanupExpiredSegments).
    pub retention_ms: Option<Duration>,
    /// The largest entry that producers may append, its header included.
    pub max_message_bytes: usize,
    /// Bytes appended between two index entries.
    pub index_interval_bytes: u64,
    /// How long compaction keeps a message without value.
    pub delete_retention: Duration,
    /// How long the files of a deleted segment stay for those who still read them.
    pub file_delete_delay: Duration,
    /// Compaction begins when a larger part of the log than this is not compacted.
    pub min_cleanable_ratio: f64,
    /// What becomes of old messages.
    pub cleanup_policy: CleanupPolicy,
    /// Whether a replica that is not in sync may lead when no other is left. Nothing in the log depends on
    /// it.
    pub unclean_leader_election: bool,
    /// Replicas that must be in sync for a produce request that waits for all of them. Nothing in the log
    /// depends on it.
    pub min_in_sync_replicas: u32,
    /// What the compressed messages of one produced set may decompress to. No topic overrides it.
    pub max_decompressed_bytes: usize,
    /// How hard gzip tries when a set is compressed anew. No topic overrides it.
    pub gzip_level: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * DAY,
            segment_jitter: Duration::ZERO,
            index_bytes: 10 * 1024 * 1024,
            flush_messages: i64::MAX.unsigned_abs(),
            flush_ms: FOREVER,
            retention_bytes: None,
            retention_ms: Some(7 * DAY),
            max_message_bytes: 1_000_012,
            index_interval_bytes: 4096,
            delete_retention: DAY,
            file_delete_delay: Duration::from_secs(60),
            min_cleanable_ratio: 0.5,
            cleanup_policy: CleanupPolicy::Delete,
            unclean_leader_election: true,
            min_in_sync_replicas: 1,
            max_decompressed_bytes: Limits::default().max_decompressed_bytes,
            gzip_level: Limits::default().gzip_level,
        }
    }
}

impl LogConfig {
    /// Stands for the overrides of a topic that can't be read: nothing is deleted that was perhaps to be kept.
    pub fn overrides_keeping_everything() -> BTreeMap<String, String> {
        let without_limit = [
            ("cleanup.policy", "delete"),
            ("retention.bytes", "-1"),
            ("retention.ms", "-1"),
        ];
        without_limit
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// These settings with a topic's overrides. An override that is wrong is reported and leaves the default; but where
    /// it says what is to be deleted, nothing is.
    pub fn with_overrides(&self, overrides: &BTreeMap<String, String>) -> (Self, Vec<BadOverride>) {
        let mut config = self.clone();
        let bad = overrides
            .iter()
            .filter_map(|(name, value)| {
                let reason = config.set(name, value.trim()).err()?;
                match name.as_str() {
                    "retention.ms" => config.retention_ms = None,
                    "retention.bytes" => config.retention_bytes = None,
                    _ => {}
                }
                Some(BadOverride {
                    name: name.clone(),
                    value: value.clone(),
                    reason,
                })
            })
            .collect();
        (config, bad)
    }

    /// What a produced set must keep to.
    pub fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: self.max_message_bytes,
            // Who allows large messages has memory for them.
            max_decompressed_bytes: self
                .max_decompressed_bytes
                .max(self.max_message_bytes.saturating_mul(2)),
            gzip_level: self.gzip_level,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "segment.bytes" => self.segment_bytes = int(value, 0)?,
            "segment.ms" => self.segment_ms = millis(value)?,
            "segment.jitter.ms" => self.segment_jitter = millis(value)?,
            "segment.index.bytes" => self.index_bytes = int(value, INDEX_ENTRY_LEN)?,
            "flush.messages" => self.flush_messages = long(value)?,
            "flush.ms" => self.flush_ms = millis(value)?,
            "retention.bytes" => self.retention_bytes = u64::try_from(number::<i64>(value)?).ok(),
            "retention.ms" => {
                self.retention_ms = u64::try_from(number::<i64>(value)?)
                    .ok()
                    .map(Duration::from_millis);
            }
            "max.message.bytes" => {
                self.max_message_bytes = usize::try_from(int(value, 0)?).map_err(|_| "is too large")?;
            }
            "index.interval.bytes" => self.index_interval_bytes = int(value, 0)?,
            "delete.retention.ms" => self.delete_retention = millis(value)?,
            "file.delete.delay.ms" => self.file_delete_delay = Duration::from_millis(int(value, 0)?),
            "min.cleanable.dirty.ratio" => self.min_cleanable_ratio = ratio(value)?,
            "cleanup.policy" => self.cleanup_policy = policy(value),
            "unclean.leader.election.enable" => self.unclean_leader_election = boolean(value)?,
            "min.insync.replicas" => {
                self.min_in_sync_replicas = u32::try_from(int(value, 1)?).map_err(|_| "is too large")?;
            }
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }
}

/// A topic override that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value} {reason}")]
pub struct BadOverride {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

const UNKNOWN: &str = "is no setting of a topic";
const NO_NUMBER: &str = "is no number in range";

impl BadOverride {
    /// Whether no topic has a setting of that name.
    pub fn is_unknown(&self) -> bool {
        self.reason == UNKNOWN
    }

    /// Whether the value is no number where one is needed.
    pub fn is_no_number(&self) -> bool {
        self.reason == NO_NUMBER
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, &'static str> {
    value.parse().map_err(|_| NO_NUMBER)
}

/// A Java int that is at least `least`.
fn int(value: &str, least: u64) -> Result<u64, &'static str> {
    let number = u64::try_from(number::<i32>(value)?).map_err(|_| "must not be negative")?;
    if number < least {
        Err("is too small")
    } else {
        Ok(number)
    }
}

/// A Java long that is not negative.
fn long(value: &str) -> Result<u64, &'static str> {
    u64::try_from(number::<i64>(value)?).map_err(|_| "must not be negative")
}

fn millis(value: &str) -> Result<Duration, &'static str> {
    long(value).map(Duration::from_millis)
}

fn ratio(value: &str) -> Result<f64, &'static str> {
    let ratio = number(value)?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err("must be between 0 and 1")
    }
}

fn boolean(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// As 0.8.2.2 does (LogConfig.fromProps): whatever isn't "delete" compacts.
fn policy(value: &str) -> CleanupPolicy {
    if value.eq_ignore_ascii_case("delete") {
        CleanupPolicy::Delete
    } else {
        CleanupPolicy::Compact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(pairs: &[(&str, &str)]) -> (LogConfig, Vec<BadOverride>) {
        let overrides = pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        LogConfig::default().with_overrides(&overrides)
    }

    #[test]
    fn every_override_reaches_its_field() {
        let (config, bad) = overridden(&[
            ("segment.bytes", "1"),
            ("segment.ms", "2"),
            ("segment.jitter.ms", "3"),
            ("segment.index.bytes", "44"),
            ("flush.messages", "5"),
            ("flush.ms", "6"),
            ("retention.bytes", "7"),
            ("retention.ms", "8"),
            ("max.message.bytes", "9"),
            ("index.interval.bytes", "10"),
            ("delete.retention.ms", "11"),
            ("file.delete.delay.ms", " 12 "),
            ("min.cleanable.dirty.ratio", "0.25"),
            ("cleanup.policy", "compact"),
            ("unclean.leader.election.enable", "False"),
            ("min.insync.replicas", "2"),
        ]);
        assert_eq!(bad, []);
        let ms = Duration::from_millis;
        let expected = LogConfig {
            segment_bytes: 1,
            segment_ms: ms(2),
            segment_jitter: ms(3),
            index_bytes: 44,
            flush_messages: 5,
            flush_ms: ms(6),
            retention_bytes: Some(7),
            retention_ms: Some(ms(8)),
            max_message_bytes: 9,
            index_interval_bytes: 10,
            delete_retention: ms(11),
            file_delete_delay: ms(12),
            min_cleanable_ratio: 0.25,
            cleanup_policy: CleanupPolicy::Compact,
            unclean_leader_election: false,
            min_in_sync_replicas: 2,
            ..LogConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn negative_retention_is_no_limit() {
        let (config, bad) = overridden(&[("retention.ms", "-1"), ("retention.bytes", "-1")]);
        assert_eq!((config.retention_ms, config.retention_bytes), (None, None));
        assert_eq!(bad, []);
    }

    #[test]
    fn wrong_overrides_are_reported_and_leave_the_default() {
        for (name, value) in [
            ("segment.bytes", "2147483648"),
            ("segment.bytes", "-1"),
            ("segment.ms", "soon"),
            ("segment.index.bytes", "7"),
            ("file.delete.delay.ms", "2147483648"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("min.cleanable.dirty.ratio", "NaN"),
            ("unclean.leader.election.enable", "yes"),
            ("min.insync.replicas", "0"),
            ("compression.type", "gzip"),
        ] {
            let (config, bad) = overridden(&[(name, value), ("flush.messages", "3")]);
            assert_eq!(bad.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(), [name]);
            let expected = LogConfig {
                flush_messages: 3,
                ..LogConfig::default()
            };
            assert_eq!(config, expected, "{name}={value}");
        }
    }

    #[test]
    fn what_is_to_be_deleted_must_be_understood() {
        let (config, bad) = overridden(&[("retention.ms", "soon"), ("retention.bytes", "1 GB")]);
        assert_eq!((config.retention_ms, config.retention_bytes), (None, None));
        assert_eq!(bad.len(), 2);
        let compacted = overridden(&[("cleanup.policy", "compact"), ("segment.bytes", "7")]).0;
        let kept = compacted
            .with_overrides(&LogConfig::overrides_keeping_everything())
            .0;
        assert_eq!(
            (kept.retention_ms, kept.cleanup_policy),
            (None, CleanupPolicy::Delete)
        );
        assert_eq!(kept.segment_bytes, 7);
    }

    #[test]
    fn every_policy_but_delete_compacts() {
        for (value, policy) in [
            ("delete", CleanupPolicy::Delete),
            (" Delete ", CleanupPolicy::Delete),
            ("compact", CleanupPolicy::Compact),
            ("whatever", CleanupPolicy::Compact),
        ] {
            assert_eq!(overridden(&[("cleanup.policy", value)]).0.cleanup_policy, policy);
        }
    }
}
