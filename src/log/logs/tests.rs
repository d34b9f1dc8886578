use std::time::Duration;
use std::time::SystemTime;

use super::*;
use crate::log::CleanupPolicy;
use crate::log::OffsetCheckpoint;
use crate::log::WallClock;
use crate::log::testing::append_numbered;
use crate::log::testing::eventually;
use crate::log::testing::files;
use crate::log::testing::numbers;
use crate::log::testing::one;
use crate::log::testing::small;
use crate::log::testing::t0;
use crate::log::testing::values;

fn config(directories: &[&Path]) -> LogsConfig {
    LogsConfig {
        directories: directories.iter().map(|&path| path.to_owned()).collect(),
        defaults: small(),
        overrides: HashMap::new(),
        recovery_threads: 2,
        flushes: Timer::new(),
    }
}

fn open(directories: &[&Path]) -> Logs {
    Logs::open(&config(directories)).unwrap()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("many", number)
}

#[test]
fn logs_are_there_again_after_a_clean_stop_and_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for round in 0..4 {
        let logs = open(&[path]);
        assert!(!path.join(".kafka_cleanshutdown").exists(), "in use");
        assert_eq!(logs.all().len(), if round == 0 { 0 } else { 5 });
        for number in 0..5 {
            let log = logs.create(&partition(number), small()).unwrap();
            assert_eq!(values(&log), numbers(0..round * 25));
            append_numbered(&log, 25);
        }
        if round % 2 == 0 {
            logs.close().unwrap();
            assert!(path.join(".kafka_cleanshutdown").exists());
        }
    }
}

#[test]
fn a_clean_stop_leaves_what_0_8_opens_without_recovery() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs.create(&t0(), small()).unwrap();
    append_numbered(&log, 25);
    logs.close().unwrap();
    let expected = [
        (".kafka_cleanshutdown", 0),
        (".lock", 0),
        ("recovery-point-offset-checkpoint", 11),
        ("t-0/00000000000000000000.index", 48),
        ("t-0/00000000000000000000.log", 1000),
        ("t-0/00000000000000000020.index", 8),
        ("t-0/00000000000000000020.log", 250),
    ];
    assert_eq!(
        files(directory.path()),
        expected.map(|(path, len)| (path.to_owned(), len))
    );
    let checkpoint = fs::read_to_string(directory.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nt 0 25\n");
    assert!(
        matches!(log.append(one("x")), Err(Error::Closed(_))),
        "who still has it can't write"
    );
    logs.close().unwrap();
}

#[test]
fn a_log_that_can_not_be_closed_makes_the_next_start_recover() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs.create(&t0(), small()).unwrap();
    append_numbered(&log, 3);
    let (pipe, _writer) = std::io::pipe().unwrap();
    let segment = Arc::clone(log.segment_list().last().unwrap());
    segment
        .log()
        .hold(fs::File::from(std::os::fd::OwnedFd::from(pipe)));
    assert!(matches!(logs.close(), Err(Error::Io { .. })));
    assert!(!directory.path().join(".kafka_cleanshutdown").exists());
    assert_eq!(
        values(&open(&[directory.path()]).get(&t0()).unwrap()),
        numbers(0..3)
    );
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let second = Logs::open(&config(&[directory.path()]));
    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
    logs.close().unwrap();
    open(&[directory.path()]);
}

#[test]
fn a_directory_given_twice_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    for second in [new.clone(), directory.path().join("./new"), new.join("../new")] {
        let error = Logs::open(&config(&[&new, &second])).unwrap_err();
        assert!(
            matches!(&error, Error::DuplicateDirectory(path) if *path == second),
            "{error}"
        );
    }
    assert!(matches!(Logs::open(&config(&[])), Err(Error::NoDirectory)));
}

#[test]
fn a_partition_in_two_directories_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&one, &two] {
        fs::create_dir(directory.path().join("t-0")).unwrap();
    }
    let error = Logs::open(&config(&[one.path(), two.path()])).unwrap_err();
    assert!(
        matches!(&error, Error::DuplicatePartition { partition, .. } if *partition == t0()),
        "{error}"
    );
    open(&[one.path()]);
}

#[test]
fn new_partitions_go_where_the_fewest_are() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let logs = open(&[one.path()]);
    (0..3).for_each(|number| drop(logs.create(&partition(number), small()).unwrap()));
    logs.close().unwrap();
    let logs = open(&[one.path(), two.path()]);
    assert_eq!(logs.directories(), [one.path(), two.path()]);
    for number in 3..7 {
        logs.create(&partition(number), small()).unwrap();
    }
    let in_one = logs
        .all()
        .iter()
        .filter(|log| log.directory() == one.path())
        .count();
    assert_eq!((in_one, logs.all().len()), (4, 7));
    logs.checkpoint_recovery_points().unwrap();
    let checkpoint = |path: &Path| {
        OffsetCheckpoint::new(path.join("recovery-point-offset-checkpoint"))
            .read()
            .unwrap()
    };
    assert_eq!(
        (checkpoint(one.path()).len(), checkpoint(two.path()).len()),
        (4, 3),
        "each its own"
    );
}

#[test]
fn creating_a_partition_twice_gives_the_same_log() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let first = logs.create(&t0(), small()).unwrap();
    append_numbered(&first, 1);
    let again = logs.create(&t0(), LogConfig::default()).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(
        *again.config(),
        small(),
        "the settings are changed by nobody but set_config"
    );
}

#[test]
fn a_partition_without_a_possible_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    for (topic, number) in [("a/b", 0), ("..", 0), ("", 0), ("t", -1), (&"x".repeat(254), 0)] {
        let error = logs
            .create(&TopicPartition::new(topic, number), small())
            .unwrap_err();
        assert!(matches!(error, Error::IllegalName(_)), "{error}");
    }
    logs.create(&TopicPartition::new("x".repeat(253), 0), small())
        .unwrap();
}

#[test]
fn a_deleted_partition_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs.create(&t0(), small()).unwrap();
    append_numbered(&log, 25);
    log.flush().unwrap();
    logs.checkpoint_recovery_points().unwrap();
    logs.delete(&t0()).unwrap();
    logs.delete(&t0()).unwrap();
    assert!(logs.get(&t0()).is_none());
    assert!(!directory.path().join("t-0").exists());
    let checkpoint = fs::read_to_string(directory.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n0\n");
    assert!(matches!(log.append(one("x")), Err(Error::Closed(_))));
    log.flush().unwrap();
    log.delete_due_files(Instant::now() + Duration::from_secs(3600))
        .unwrap();
    assert_eq!(logs.create(&t0(), small()).unwrap().log_end_offset(), 0);
}

#[test]
fn topics_are_opened_with_their_settings() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    logs.create(&t0(), small()).unwrap();
    logs.create(&partition(0), small()).unwrap();
    logs.close().unwrap();
    let overrides = [("segment.bytes", "77"), ("nonsense", "1"), ("flush.ms", "x")];
    let overrides = overrides
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut config = config(&[directory.path()]);
    config.overrides = [("t".to_owned(), overrides)].into();
    let logs = Logs::open(&config).unwrap();
    assert_eq!(logs.get(&t0()).unwrap().config().segment_bytes, 77);
    assert_eq!(logs.get(&t0()).unwrap().config().flush_ms, small().flush_ms);
    assert_eq!(*logs.get(&partition(0)).unwrap().config(), small());
}

#[test]
fn a_closed_segment_is_flushed_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs.create(&t0(), small()).unwrap();
    append_numbered(&log, 45);
    eventually("segments are flushed below the active one", || {
        log.recovery_point() == 40
    });
}

#[test]
fn logs_are_flushed_when_it_is_time() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs
        .create(
            &t0(),
            LogConfig {
                flush_ms: Duration::from_secs(10),
                ..small()
            },
        )
        .unwrap();
    let never = logs.create(&partition(0), small()).unwrap();
    append_numbered(&log, 3);
    append_numbered(&never, 3);
    logs.flush_due(Instant::now()).unwrap();
    assert_eq!(log.recovery_point(), 0);
    logs.flush_due(Instant::now() + Duration::from_secs(10)).unwrap();
    assert_eq!((log.recovery_point(), never.recovery_point()), (3, 0));
}

#[test]
fn truncating_takes_the_recovery_points_back() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    for number in 0..2 {
        append_numbered(&logs.create(&partition(number), small()).unwrap(), 30);
    }
    logs.all().iter().for_each(|log| log.flush().unwrap());
    let missing = partition(9);
    logs.truncate_to(&[(partition(0), 12), (partition(1), 99), (missing.clone(), 1)].into())
        .unwrap();
    let checkpoint = OffsetCheckpoint::new(directory.path().join("recovery-point-offset-checkpoint"));
    assert_eq!(
        checkpoint.read().unwrap(),
        [(partition(0), 12), (partition(1), 30)].into()
    );
    logs.truncate_fully_and_start_at(&partition(1), 7).unwrap();
    logs.truncate_fully_and_start_at(&missing, 7).unwrap();
    assert_eq!(
        checkpoint.read().unwrap(),
        [(partition(0), 12), (partition(1), 7)].into()
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the times of files")]
fn old_segments_go_and_their_files_later() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let hour = Duration::from_secs(3600);
    let settings = LogConfig {
        retention_ms: Some(hour),
        ..small()
    };
    let log = logs.create(&t0(), settings.clone()).unwrap();
    let compacted = LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        ..settings
    };
    let compacted = logs.create(&partition(0), compacted).unwrap();
    append_numbered(&log, 45);
    append_numbered(&compacted, 45);
    let now = SystemTime::now();
    logs.apply_retention(&now.into()).unwrap();
    assert_eq!(log.log_start_offset(), 0);

    let first = fs::File::open(directory.path().join("t-0/00000000000000000000.log")).unwrap();
    first.set_modified(now - 2 * hour).unwrap();
    logs.apply_retention(&now.into()).unwrap();
    assert_eq!((log.log_start_offset(), log.segments().unwrap().len()), (20, 2));
    assert_eq!(values(&log), numbers(20..45));
    assert!(
        directory
            .path()
            .join("t-0/00000000000000000000.log.deleted")
            .exists()
    );

    // All of it: the end stays.
    logs.apply_retention(&(now + 2 * hour).into()).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.size_bytes()),
        (45, 45, 0)
    );
    logs.apply_retention(&(now + 2 * hour).into()).unwrap();
    assert_eq!(log.segments().unwrap().len(), 1);
    append_numbered(&log, 1);
    assert_eq!(values(&log), numbers(45..46));
    assert_eq!(compacted.log_start_offset(), 0, "has no such limit");

    let deleted = || {
        files(directory.path())
            .iter()
            .filter(|file| file.0.ends_with(".deleted"))
            .count()
    };
    logs.delete_due_files(Instant::now()).unwrap();
    assert_eq!(deleted(), 6);
    logs.delete_due_files(Instant::now() + Duration::from_secs(61))
        .unwrap();
    assert_eq!(deleted(), 0);
    logs.close().unwrap();
    assert_eq!(
        values(&open(&[directory.path()]).get(&t0()).unwrap()),
        numbers(45..46)
    );
}

#[test]
fn segments_beyond_the_size_go() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&[directory.path()]);
    let log = logs
        .create(
            &t0(),
            LogConfig {
                retention_bytes: Some(1300),
                ..small()
            },
        )
        .unwrap();
    append_numbered(&log, 45);
    logs.apply_retention(&WallClock::new().read()).unwrap();
    assert_eq!(
        log.log_start_offset(),
        0,
        "950 bytes too many are less than a segment"
    );
    append_numbered(&log, 1);
    logs.apply_retention(&WallClock::new().read()).unwrap();
    assert_eq!(log.log_start_offset(), 20);
    log.set_config(LogConfig {
        retention_bytes: Some(0),
        ..small()
    });
    logs.apply_retention(&WallClock::new().read()).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (46, 46));
}

#[test]
fn files_of_other_programs_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for foreign in ["lost+found", "t-1.0123-delete", "t-00"] {
        fs::create_dir(path.join(foreign)).unwrap();
    }
    fs::write(path.join("meta.properties"), "x").unwrap();
    fs::write(path.join("recovery-point-offset-checkpoint.tmp"), "x").unwrap();
    let logs = open(&[path]);
    assert_eq!(logs.all().len(), 0);
    logs.close().unwrap();
    let names: Vec<_> = files(path).into_iter().map(|file| file.0).collect();
    assert_eq!(
        names,
        [
            ".kafka_cleanshutdown",
            ".lock",
            "meta.properties",
            "recovery-point-offset-checkpoint"
        ]
    );
    assert!(path.join("lost+found").exists() && path.join("t-00").exists());
}
