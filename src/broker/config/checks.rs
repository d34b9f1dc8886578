//! Checks of keys against each other, and of keys against what there is to know about them.

use std::collections::BTreeMap;

use super::build::RETENTION;
use super::build::ROLL;
use super::build::ROLL_JITTER;
use super::build::Units;
use super::foreign;
use super::keys;
use super::keys::Number;
use super::origin::Origin;
use super::problems::Problem;
use super::sections::BrokerConfig;
use super::sections::ControlledShutdownConfig;
use super::sections::LogsConfig;
use super::sources::Settings;
use super::values::Reader;

/// Rules between keys whose values are right by themselves.
pub(crate) fn across(reader: &mut Reader<'_>, config: &BrokerConfig) {
    required(reader);
    let max_bytes = reader.number(&keys::MESSAGE_MAX_BYTES);
    let fetch_bytes = reader.number(&keys::REPLICA_FETCH_MAX_BYTES);
    if max_bytes > fetch_bytes {
        let what = format!("is above replica.fetch.max.bytes, which is {fetch_bytes}");
        let hint = format!(
            "set replica.fetch.max.bytes={max_bytes} or more, or followers could not copy such messages"
        );
        reader.problem(keys::MESSAGE_MAX_BYTES.name, &what, max_bytes, hint);
    }
    let wait = reader.number(&keys::REPLICA_FETCH_WAIT_MAX_MS);
    let lag = reader.number(&keys::REPLICA_LAG_TIME_MAX_MS);
    if wait > lag {
        let what = format!("is above replica.lag.time.max.ms, which is {lag}");
        let hint = format!(
            "set replica.lag.time.max.ms={wait} or more, or idle followers would count as out of sync"
        );
        reader.problem(keys::REPLICA_FETCH_WAIT_MAX_MS.name, &what, wait, hint);
    }
    cleaner(reader);
    if config.zookeeper.set_acl && config.zookeeper.auth.is_none() {
        reader.problem(
            keys::ZOOKEEPER_SET_ACL.name,
            "needs zookeeper.auth, which is not set",
            config.zookeeper.set_acl,
            "set zookeeper.auth=digest:user:password, whom the nodes will belong to",
        );
    }
    let acks = reader.number(&keys::OFFSETS_COMMIT_REQUIRED_ACKS);
    let replicas = i64::from(config.offsets.replication_factor);
    if acks > replicas {
        let what = format!("is above offsets.topic.replication.factor, which is {replicas}");
        reader.problem(
            keys::OFFSETS_COMMIT_REQUIRED_ACKS.name,
            &what,
            acks,
            "take -1: all replicas in sync",
        );
    }
    let queued = reader.number(&keys::QUEUED_MAX_BYTES);
    let request = reader.number(&keys::SOCKET_REQUEST_MAX_BYTES);
    if reader.is_set(keys::QUEUED_MAX_BYTES.name) && queued < request {
        let what = format!("is below socket.request.max.bytes, which is {request}");
        let hint = format!(
            "set socket.request.max.bytes={queued} or less, or the largest request would never be read"
        );
        reader.problem(keys::QUEUED_MAX_BYTES.name, &what, queued, hint);
    }
}

/// A file must say which broker it is for. Without a file a broker is there to try things out, and is number 0.
fn required(reader: &mut Reader<'_>) {
    let name = keys::BROKER_ID.name;
    if let Some(file) = reader.file()
        && !reader.is_set(name)
    {
        reader.add(Problem {
            what: format!("{name} is required"),
            value: "not set".to_owned(),
            origin: Origin::File(file),
            hint: format!("add a line like {name}=0, with a number that no other broker of the cluster has"),
        });
    }
}

/// 0.8.2.2 checks this even when the cleaner is off. Nothing compacts here, but a file that it refuses is refused.
fn cleaner(reader: &mut Reader<'_>) {
    reader.flag(&keys::LOG_CLEANER_ENABLE);
    reader.real(&keys::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND);
    reader.number(&keys::LOG_CLEANER_BACKOFF_MS);
    let buffer: u64 = reader.clamped(&keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE);
    let threads: u64 = reader.clamped(&keys::LOG_CLEANER_THREADS);
    let needed = keys::MIN_DEDUPE_BYTES_PER_THREAD
        .saturating_add(1)
        .saturating_mul(threads);
    if buffer < needed {
        let what = format!("is too small for log.cleaner.threads={threads}");
        let hint = format!("set it to {needed} or more: above 1 MiB per thread");
        reader.problem(keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE.name, &what, buffer, hint);
    }
}

/// One line for everything that does not do what it seems to.
pub(crate) fn warnings(settings: &Settings, config: &BrokerConfig) -> Vec<String> {
    let mut warnings = about_keys(settings);
    warnings.extend(doubts(settings, config));
    warnings
}

/// One line for every key that is not read, in alphabetical order.
pub(crate) fn about_keys(settings: &Settings) -> Vec<String> {
    let mut warnings = BTreeMap::new();
    for (key, setting) in &settings.by_key {
        if let Some(reason) = without_effect(key) {
            warnings.insert(
                key.as_str(),
                format!("{key} has no effect ({}): {reason}", setting.origin),
            );
        } else if let Some(winner) = winner_over(settings, key) {
            let text = format!(
                "Property {key} is not valid ({}): {winner} is set and takes precedence",
                setting.origin
            );
            warnings.insert(key, text);
        } else if !keys::ACCEPTED.contains(&key.as_str()) && !key.starts_with("external") {
            let remark = foreign::remark(key, &known()).map(|remark| format!(": {remark}"));
            let text = format!(
                "Property {key} is not valid ({}){}",
                setting.origin,
                remark.unwrap_or_default()
            );
            warnings.insert(key, text);
        }
    }
    warnings.into_values().collect()
}

fn without_effect(key: &str) -> Option<&'static str> {
    let (_, reason) = keys::WITHOUT_EFFECT.iter().find(|(name, _)| *name == key)?;
    Some(reason)
}

/// Every key that may be meant by a mistyped one.
fn known() -> Vec<&'static str> {
    let without_effect = keys::WITHOUT_EFFECT.iter().map(|(name, _)| *name);
    keys::ACCEPTED.iter().copied().chain(without_effect).collect()
}

/// The key that is read instead of this one.
fn winner_over(settings: &Settings, key: &str) -> Option<&'static str> {
    let is_set = |name: &&'static str| settings.by_key.contains_key(*name);
    let names = |units: &Units| units.iter().map(|(key, _)| key.name).collect::<Vec<_>>();
    let directories = vec![keys::LOG_DIRS.name, keys::LOG_DIR.name];
    let group = [names(RETENTION), names(ROLL), names(ROLL_JITTER), directories]
        .into_iter()
        .find(|group| group.contains(&key))?;
    group.into_iter().find(is_set).filter(|winner| *winner != key)
}

/// What is allowed, but hardly meant.
fn doubts(settings: &Settings, config: &BrokerConfig) -> Vec<String> {
    let mut doubts = about_compaction(settings, config);
    doubts.extend(about_controlled_shutdown(settings, &config.controlled_shutdown));
    let replication = &config.replication;
    if replication.socket_timeout < replication.fetch_wait_max {
        doubts.push(format!(
            "replica.socket.timeout.ms ({}) is below replica.fetch.wait.max.ms ({}): idle followers will reconnect again and again",
            replication.socket_timeout.as_millis(),
            replication.fetch_wait_max.as_millis()
        ));
    }
    if let Some((_, chroot)) = config.zookeeper.connect.split_once('/')
        && chroot.contains(',')
    {
        doubts.push(format!(
            "zookeeper.connect has the chroot \"/{chroot}\": write it once, after the last host"
        ));
    }
    doubts
}

/// Nothing compacts yet, whatever the keys of the cleaner say.
fn about_compaction(settings: &Settings, config: &BrokerConfig) -> Vec<String> {
    let mut doubts = Vec::new();
    let wants = |key: &str, value: &str| {
        let off = key == keys::LOG_CLEANER_ENABLE.name && value.eq_ignore_ascii_case("false");
        key.starts_with("log.cleaner.") && keys::ACCEPTED.contains(&key) && !off
    };
    let wanting: Vec<&str> = settings
        .by_key
        .iter()
        .filter(|(key, setting)| wants(key, &setting.value))
        .map(|(key, _)| key.as_str())
        .collect();
    if !wanting.is_empty() {
        doubts.push(format!(
            "{}: nothing is compacted yet, compacted topics keep every message",
            wanting.join(", ")
        ));
    }
    if config.log.compact {
        doubts.push(format!(
            "{}=compact: nothing is compacted yet, and nothing deleted: topics without a policy of their own only grow",
            keys::LOG_CLEANUP_POLICY.name
        ));
    }
    doubts
}

/// A stop does not take as long as the keys allow.
fn about_controlled_shutdown(settings: &Settings, config: &ControlledShutdownConfig) -> Option<String> {
    let is_set = |key: &Number| settings.by_key.contains_key(key.name);
    let (retries, backoff) = (
        &keys::CONTROLLED_SHUTDOWN_MAX_RETRIES,
        &keys::CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS,
    );
    let pause = config.pause();
    let (set, configured) = if is_set(backoff) && config.retry_backoff > pause {
        (backoff, config.retry_backoff.as_millis())
    } else if is_set(retries)
        && pause.saturating_mul(config.max_retries.saturating_sub(1)) > ControlledShutdownConfig::LIMIT
    {
        (retries, config.max_retries.into())
    } else {
        return None;
    };
    config.enabled.then(|| {
        format!(
            "{}={configured} is more than a stop takes: it tries for {} s at most, with pauses of {} ms at most",
            set.name,
            ControlledShutdownConfig::LIMIT.as_secs(),
            ControlledShutdownConfig::LONGEST_PAUSE.as_millis()
        )
    })
}

/// What is in force and worth a line in the log.
pub(crate) fn notes(settings: &Settings, config: &BrokerConfig) -> Vec<String> {
    let mut notes = settings.notes.clone();
    for (key, setting) in &settings.by_key {
        let external = key.starts_with("external");
        let read = keys::ACCEPTED.contains(&key.as_str()) && winner_over(settings, key).is_none();
        if external || read {
            let secret = key == keys::ZOOKEEPER_AUTH.name;
            let value = if secret { "(hidden)" } else { &setting.value };
            notes.push(format!(
                "Property {key} is overridden to {value} ({})",
                setting.origin
            ));
        }
    }
    let is_set = |name: &str| settings.by_key.contains_key(name);
    if is_set(keys::MIN_INSYNC_REPLICAS.name) {
        notes.push(format!(
            "min.insync.replicas={} is in force for every topic that does not set its own, other than in 0.8.2.2",
            config.log.min_insync_replicas
        ));
    }
    for key in [
        keys::OFFSETS_TOPIC_SEGMENT_BYTES.name,
        keys::OFFSETS_RETENTION_CHECK_INTERVAL_MS.name,
    ] {
        if is_set(key) {
            notes.push(format!("{key} is in force, other than in 0.8.2.2"));
        }
    }
    notes.extend(flush_note(settings, &config.logs));
    if settings.file.is_some() && !is_set(keys::ZOOKEEPER_CONNECT.name) {
        notes.push(format!(
            "zookeeper.connect is not set: taking {}",
            config.zookeeper.connect
        ));
    }
    notes
}

fn flush_note(settings: &Settings, logs: &LogsConfig) -> Option<String> {
    let interval = logs.flush_check_interval?;
    let is_set = |name: &str| settings.by_key.contains_key(name);
    let alone =
        is_set(keys::LOG_FLUSH_INTERVAL_MS.name) && !is_set(keys::LOG_FLUSH_SCHEDULER_INTERVAL_MS.name);
    alone.then(|| {
        format!(
            "log.flush.interval.ms is in force, other than in 0.8.2.2 without log.flush.scheduler.interval.ms: logs are looked at every {} ms",
            interval.as_millis()
        )
    })
}
