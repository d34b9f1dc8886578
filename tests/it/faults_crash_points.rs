//! Killed at every system call that changes a file: the log must open, and hold what was acknowledged.
//!
//! This binary runs itself as the process that dies, one scene at a time, below strace, which kills it on entering the
//! n-th call of a kind; n grows until the scene comes to its end. Then the directory is opened here, checked, closed and
//! given to the reference's tool. Calls are counted per thread, so that the thread that flushes has its own points.
//!
//! Bounded by default; `GREGOR_CRASH_POINTS=all` visits every point, and `GREGOR_CRASH_SEED` chooses others.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

use gregor::log::Log;
use gregor::log::LogConfig;
use gregor::log::Logs;
use gregor::log::LogsConfig;
use gregor::log::OffsetCheckpoint;
use gregor::log::WallClock;
use gregor::message::Codec;
use gregor::message::entry::entries;
use gregor::message::set::ProducedSet;
use gregor::message::set::SetBuilder;
use gregor::message::wrapper::deep_entries;
use gregor::metrics::Timer;
use gregor::types::TopicPartition;

use crate::support::Need;
use crate::support::have;
use crate::support::process::run;
use crate::support::report;
use crate::support::scratch;
use crate::support::segments::log_bytes;
use crate::support::segments::read_by_reference;
use crate::support::segments::read_by_reference_unrecovered;
use crate::support::segments::segments;

/// The variables that turn a run of this binary into the process that dies.
const SCENE: &str = "GREGOR_CRASH_SCENE";
const DIRECTORY: &str = "GREGOR_CRASH_DIRECTORY";

/// The calls at which it dies: all that the scenes change files with, and printing what is acknowledged.
const CALLS: [&str; 11] = [
    "openat",
    "pwrite64",
    "write",
    "ftruncate",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
];

/// Points of a scene that are visited if not all are.
const SAMPLE: usize = 9;

/// Something that a log does, from a given state on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A new partition; appends of all codecs that roll three times.
    Append,
    /// Appends to a log that was stopped cleanly.
    AppendAfterCleanStop,
    /// Appends to one segment, each with an index entry: some are written before the segment is closed.
    AppendManyEntries,
    /// Flushes and both checkpoints, with appends in between.
    Checkpoint,
    /// As a follower does that has what its leader has not; then it gets something else.
    Truncate,
    /// Everything goes, and another offset is the first.
    StartElsewhere,
    /// The oldest segments are too old.
    Retain,
    /// All of them are.
    Empty,
    /// A clean stop.
    Close,
    /// Recovery of a torn end, a missing index, leftovers of deletions and swaps.
    Recover,
    /// A partition goes.
    Delete,
}

const SCENES: [Scene; 11] = [
    Scene::Append,
    Scene::AppendAfterCleanStop,
    Scene::AppendManyEntries,
    Scene::Checkpoint,
    Scene::Truncate,
    Scene::StartElsewhere,
    Scene::Retain,
    Scene::Empty,
    Scene::Close,
    Scene::Recover,
    Scene::Delete,
];

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

/// Messages that a scene finds.
const BEFORE: i64 = 58;
/// Where a scene truncates to: between two plain messages. In the middle of a wrapper it would leave a gap, which only its
/// leader fills.
const CUT: i64 = 31;
/// Where a log starts that starts elsewhere.
const ELSEWHERE: i64 = 1000;

/// When so much was acknowledged by [`Scene::AppendManyEntries`], entries of the index are in its file: 64 are written
/// together.
const MANY_ENTRIES: i64 = 2 * 66;

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn open(directory: &Path, defaults: LogConfig) -> Logs {
    let config = LogsConfig {
        directories: vec![directory.to_owned()],
        defaults,
        overrides: HashMap::new(),
        recovery_threads: 1,
        flushes: Timer::new(),
    };
    Logs::open(&config).unwrap()
}

/// What the message at an offset says, in the first and in the second life of that offset.
fn text(life: u8, offset: i64) -> String {
    format!("life {life} offset {offset:06}")
}

/// Appends a set of two, of each codec in turn.
fn append(log: &Log, life: u8) {
    let base_offset = log.log_end_offset();
    let codec = match base_offset / 2 % 5 {
        0 | 1 => Codec::None,
        2 => Codec::Gzip,
        3 => Codec::Snappy,
        _ => Codec::Lz4,
    };
    let mut set = SetBuilder::new(codec);
    for offset in base_offset..base_offset + 2 {
        set.push(Some(b"key"), Some(text(life, offset).as_bytes()));
    }
    let set = ProducedSet::new(set.build().unwrap());
    let set = set.check(&log.config().limits()).unwrap();
    assert_eq!(log.append(set).unwrap().base_offset, base_offset);
}

fn append_up_to(log: &Log, end: i64) {
    while log.log_end_offset() < end {
        append(log, 1);
    }
}

impl Scene {
    /// The settings of all logs; most are small enough that a handful of messages make a segment.
    fn config(self) -> LogConfig {
        let (segment_bytes, index_interval_bytes) = match self {
            Self::AppendManyEntries => (1 << 20, 1),
            _ => (1000, 100),
        };
        LogConfig {
            segment_bytes,
            index_bytes: 1024,
            index_interval_bytes,
            file_delete_delay: Duration::ZERO,
            retention_ms: Some(Duration::from_secs(3600)),
            ..LogConfig::default()
        }
    }

    fn log(self, logs: &Logs) -> std::sync::Arc<Log> {
        logs.create(&partition(), self.config()).unwrap()
    }

    /// Whether it begins with nothing.
    fn is_new(self) -> bool {
        matches!(self, Self::Append | Self::AppendManyEntries)
    }

    /// The state that it begins with.
    fn prepare(self, directory: &Path) {
        if self.is_new() {
            return;
        }
        let logs = open(directory, self.config());
        let log = self.log(&logs);
        append_up_to(&log, BEFORE);
        if self == Self::AppendAfterCleanStop {
            logs.close().unwrap();
            return;
        }
        // The process is here still, and what it had open: a crash without one.
        let crashed = scratch("crashed");
        copy(directory, crashed.path());
        drop((log, logs));
        fs::remove_dir_all(directory).unwrap();
        copy(crashed.path(), directory);
        if matches!(self, Self::Retain | Self::Empty) {
            age(directory, self == Self::Empty);
        }
        if self == Self::Recover {
            damage(&directory.join("t-0"));
        }
    }

    /// What the process does that dies. Says what is acknowledged.
    fn play(self, directory: &Path) {
        let logs = open(directory, self.config());
        let log = self.log(&logs);
        match self {
            Self::Append | Self::AppendAfterCleanStop | Self::AppendManyEntries => {
                let sets = if self == Self::AppendManyEntries { 80 } else { 30 };
                for _ in 0..sets {
                    append(&log, 1);
                    say("acknowledged", log.log_end_offset());
                }
            }
            Self::Checkpoint => {
                let high_watermarks = OffsetCheckpoint::new(directory.join(HIGH_WATERMARKS));
                for _ in 0..6 {
                    append(&log, 1);
                    say("acknowledged", log.log_end_offset());
                    log.flush().unwrap();
                    logs.checkpoint_recovery_points().unwrap();
                    say("flushed", log.log_end_offset());
                    let known = [(partition(), log.log_end_offset())].into();
                    high_watermarks.write(&known).unwrap();
                    say("committed", log.log_end_offset());
                }
            }
            Self::Truncate => {
                log.flush().unwrap();
                logs.checkpoint_recovery_points().unwrap();
                logs.truncate_to(&[(partition(), CUT)].into()).unwrap();
                say("truncated", log.log_end_offset());
                for _ in 0..10 {
                    append(&log, 2);
                    say("acknowledged", log.log_end_offset());
                }
            }
            Self::StartElsewhere => {
                logs.truncate_fully_and_start_at(&partition(), ELSEWHERE).unwrap();
                say("truncated", log.log_end_offset());
                for _ in 0..10 {
                    append(&log, 2);
                    say("acknowledged", log.log_end_offset());
                }
            }
            Self::Retain | Self::Empty => {
                logs.apply_retention(&WallClock::new().read()).unwrap();
                logs.delete_due_files(std::time::Instant::now()).unwrap();
                append(&log, 1);
                say("acknowledged", log.log_end_offset());
            }
            Self::Close => logs.close().unwrap(),
            Self::Recover => {
                append(&log, 1);
                say("acknowledged", log.log_end_offset());
            }
            Self::Delete => logs.delete(&partition()).unwrap(),
        }
        say("finished", 0);
    }

    /// What a directory must hold after the process said this and died.
    fn check(self, directory: &Path, said: &[(String, i64)]) -> Result<(), String> {
        is_clean_if_marked(directory)?;
        let checkpoints = [RECOVERY_POINTS, HIGH_WATERMARKS].map(|name| checkpoint(&directory.join(name)));
        let logs = open(directory, self.config());
        let Some(log) = logs.get(&partition()) else {
            // Before anything was acknowledged, or after the deletion began.
            let may = self.is_new() || self == Self::Delete;
            return if may && !said.iter().any(|(what, _)| what == "acknowledged") {
                Ok(())
            } else {
                Err("the partition is gone".to_owned())
            };
        };
        let [recovery_point, high_watermark] = checkpoints;
        self.check_checkpoints(recovery_point?, high_watermark?, said, log.log_end_offset())?;
        let held = contents(&log)?;
        if self != Self::Delete {
            self.check_contents(&log, &held, said)?;
        }
        append(&log, 3);
        let end = log.log_end_offset();
        logs.close().map_err(|error| format!("close: {error}"))?;
        drop((log, logs));
        let logs = open(directory, self.config());
        let log = logs.get(&partition()).ok_or("gone after a clean stop")?;
        if log.log_end_offset() != end || contents(&log)?.len() != held.len() + 2 {
            return Err(format!(
                "{} instead of {end} after a clean stop",
                log.log_end_offset()
            ));
        }
        logs.close().map_err(|error| format!("close again: {error}"))
    }

    /// What the process left in the checkpoints: nothing less than it had said, nothing beyond what is there.
    fn check_checkpoints(
        self,
        recovery_point: Option<i64>,
        high_watermark: Option<i64>,
        said: &[(String, i64)],
        end: i64,
    ) -> Result<(), String> {
        for (what, file) in [("flushed", recovery_point), ("committed", high_watermark)] {
            let least = last_said(said, what);
            // The files of what was taken away are not the first to know.
            let taken_away = matches!(self, Self::Truncate | Self::StartElsewhere | Self::Delete)
                && last_said(said, "truncated").is_none();
            let most = if taken_away { i64::MAX } else { end };
            if file < least || file.is_some_and(|file| file > most) {
                return Err(format!(
                    "{what} up to {least:?} as was said, {file:?} in the file, the log ends at {end}"
                ));
            }
        }
        Ok(())
    }

    fn check_contents(self, log: &Log, held: &[(i64, String)], said: &[(String, i64)]) -> Result<(), String> {
        let truncated = last_said(said, "truncated").is_some();
        let acknowledged = last_said(said, "acknowledged").unwrap_or(match self {
            Self::Append | Self::AppendManyEntries | Self::StartElsewhere => 0,
            Self::Truncate => CUT,
            // The torn end was never acknowledged.
            Self::Recover => BEFORE - 2,
            _ => BEFORE,
        });
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let first = held.first().map_or(end, |(offset, _)| *offset);
        let dense = held
            .iter()
            .zip(first..)
            .all(|((offset, _), expected)| *offset == expected);
        let holds_all = first + i64::try_from(held.len()).unwrap() == end;
        if !dense || !holds_all || end < acknowledged {
            return Err(format!(
                "acknowledged up to {acknowledged}, {start}..{end} holds {held:?}"
            ));
        }
        let may_start = match self {
            Self::Retain | Self::Empty => first >= start,
            Self::StartElsewhere => true,
            _ => first == 0,
        };
        let second_from = held
            .iter()
            .find(|(_, text)| text.starts_with("life 2"))
            .map(|(offset, _)| *offset);
        let lives = held.iter().all(|(offset, held)| {
            let life = if second_from.is_some_and(|from| *offset >= from) {
                2
            } else {
                1
            };
            *held == text(life, *offset)
        });
        let second_life_in_time = second_from.is_none() || truncated || said.is_empty();
        if !may_start || !lives || !second_life_in_time {
            return Err(format!("after {said:?} {start}..{end} holds {held:?}"));
        }
        Ok(())
    }
}

fn last_said(said: &[(String, i64)], what: &str) -> Option<i64> {
    let mut said = said.iter().rev();
    said.find(|(said, _)| said == what).map(|(_, offset)| *offset)
}

/// What a checkpoint says of the partition, none if it was never written. Anything but a whole file is an error, as for
/// the reference, which does not start on it; Gregor does, and so would hide that it was torn.
fn checkpoint(file: &Path) -> Result<Option<i64>, String> {
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let torn = || format!("{} holds {text:?}", file.display());
    let lines = text.strip_suffix('\n').ok_or_else(torn)?.split('\n');
    let lines: Vec<_> = lines.collect();
    let ["0", count, entries @ ..] = &lines[..] else {
        return Err(torn());
    };
    let offsets = entries.iter().map(|line| line.strip_prefix("t 0 ")?.parse().ok());
    let offsets: Vec<i64> = offsets.collect::<Option<_>>().ok_or_else(torn)?;
    if count.parse() != Ok(offsets.len()) || offsets.len() > 1 {
        return Err(torn());
    }
    Ok(offsets.first().copied())
}

/// Where the marker of a clean stop lies, the reference looks at nothing: every log must end with a whole entry, and every
/// index with one that is used.
fn is_clean_if_marked(directory: &Path) -> Result<(), String> {
    if !directory.join(".kafka_cleanshutdown").exists() || !directory.join("t-0").exists() {
        return Ok(());
    }
    for file in segments(&directory.join("t-0")) {
        let bytes = fs::read(&file).unwrap();
        let mut walk = entries(&bytes);
        let whole = walk.by_ref().all(|entry| entry.is_ok()) && walk.rest().is_empty();
        let index = fs::read(file.with_extension("index")).unwrap_or_default();
        let used = index.last_chunk::<8>().is_none_or(|last| last[..4] != [0; 4]);
        if !whole || !used || index.len() % 8 != 0 {
            return Err(format!("{} is not what the marker says", file.display()));
        }
    }
    Ok(())
}

/// Everything in a log by its offset, read as consumers do.
fn contents(log: &Log) -> Result<Vec<(i64, String)>, String> {
    let mut held = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let read = log.read(offset, 1 << 20, None);
        let read = read.map_err(|error| format!("read at {offset}: {error}"))?;
        let Some(slice) = read.messages else { break };
        let mut bytes = vec![0; usize::try_from(slice.len).unwrap()];
        slice
            .file
            .read_exact_at(&mut bytes, slice.position)
            .map_err(|error| error.to_string())?;
        let deep =
            deep_entries(&bytes, 1 << 24).map_err(|error| format!("unreadable at {offset}: {error}"))?;
        held.extend(deep.into_iter().map(|(offset, message)| {
            (
                offset,
                String::from_utf8(message.value.unwrap().to_vec()).unwrap(),
            )
        }));
        let (last, _) = entries(&bytes)
            .last()
            .ok_or("an empty read")?
            .map_err(|error| error.to_string())?;
        offset = last + 1;
    }
    if offset == log.log_end_offset() {
        Ok(held)
    } else {
        Err(format!(
            "nothing at {offset}, the end is {}",
            log.log_end_offset()
        ))
    }
}

fn say(what: &str, offset: i64) {
    // One call: a line is there or not.
    std::io::stdout()
        .write_all(format!("{what} {offset}\n").as_bytes())
        .unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the times of files")]
fn age(directory: &Path, all: bool) {
    let files = segments(&directory.join("t-0"));
    let old = if all { files.len() } else { files.len() / 2 };
    for file in files.iter().take(old) {
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200))
            .unwrap();
    }
}

/// What crashes and interrupted deletions and compactions leave, all at once.
fn damage(partition: &Path) {
    let files = segments(partition);
    let last = File::options().write(true).open(files.last().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 7).unwrap();
    fs::remove_file(files[0].with_extension("index")).unwrap();
    fs::copy(&files[1], partition.join("00000000000000000999.log.deleted")).unwrap();
    fs::copy(&files[1], partition.join("00000000000000000998.log.cleaned")).unwrap();
    fs::rename(&files[1], files[1].with_extension("log.swap")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The process that dies.
#[test]
fn the_process_that_dies() {
    let (Ok(scene), Ok(directory)) = (std::env::var(SCENE), std::env::var(DIRECTORY)) else {
        return;
    };
    let scene = SCENES
        .into_iter()
        .find(|known| format!("{known:?}") == scene)
        .unwrap();
    scene.play(Path::new(&directory));
}

/// How a visit to a point ended, and what the process had said.
struct Visit {
    /// Whether the scene came to its end.
    finished: bool,
    said: Vec<(String, i64)>,
}

/// Plays a scene until the n-th call of a kind.
fn visit(scene: Scene, directory: &Path, call: &str, n: usize) -> Visit {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    command.arg(std::env::current_exe().unwrap());
    command.args([
        "faults_crash_points::the_process_that_dies",
        "--exact",
        "--nocapture",
    ]);
    command.env(SCENE, format!("{scene:?}")).env(DIRECTORY, directory);
    command.env("RUST_TEST_THREADS", "1");
    let ended = run(command, b"", Duration::from_secs(60));
    let said: Vec<_> = ended
        .text()
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.rsplit_once(' '))
        .filter_map(|(what, offset)| {
            // The test runner says where it is on the same line.
            let what = what.rsplit_once(' ').map_or(what, |(_, what)| what);
            let known = ["acknowledged", "truncated", "flushed", "committed", "finished"].contains(&what);
            known.then(|| Some((what.to_owned(), offset.parse().ok()?)))?
        })
        .collect();
    let finished = said.iter().any(|(what, _)| what == "finished");
    let killed = ended.status.signal() == Some(9) || ended.status.code() == Some(137);
    assert!(
        killed || ended.status.success() && finished,
        "{}",
        ended.account()
    );
    Visit {
        finished: !killed,
        said,
    }
}

/// Visits points of a scene; the directories that were checked, for the reference's tool.
fn visit_points(scene: Scene, points: &[(&str, usize)], kept: &Path) -> Vec<PathBuf> {
    let before = scratch("before");
    scene.prepare(before.path());
    let as_killed = kept.join(format!("{scene:?}-as-killed"));
    fs::create_dir(&as_killed).unwrap();
    let mut checked = Vec::new();
    let (mut died, mut indexed) = (0, 0);
    for (call, n) in points {
        let directory = kept.join(format!("{scene:?}-{call}-{n}"));
        copy(before.path(), &directory);
        if scene == Scene::Retain || scene == Scene::Empty {
            age(&directory, scene == Scene::Empty);
        }
        let Visit { finished, said } = visit(scene, &directory, call, *n);
        if scene == Scene::AppendManyEntries && last_said(&said, "acknowledged") >= Some(MANY_ENTRIES) {
            indexed += 1;
            assert!(index_entries(&directory) >= 64, "{}", listing(&directory));
        }
        if directory.join("t-0").exists() {
            copy(&directory.join("t-0"), &as_killed.join(format!("{call}-{n}")));
        }
        if let Err(wrong) = scene.check(&directory, &said) {
            panic!(
                "{scene:?} killed at {call} number {n}: {wrong}\n{}",
                listing(&directory)
            );
        }
        checked.push(directory);
        // Which thread flushes how often is not the same each time.
        died += usize::from(!finished);
    }
    report(&format!("{scene:?}: died at {died} of {} points", points.len()));
    assert!(
        died * 10 >= points.len() * 9,
        "{scene:?} was killed at {died} points only"
    );
    assert!(scene != Scene::AppendManyEntries || indexed > 0);
    read_as_killed(scene, &as_killed);
    checked
}

/// How many entries the index of the first segment has in its file.
fn index_entries(directory: &Path) -> usize {
    let index = fs::read(directory.join("t-0/00000000000000000000.index")).unwrap();
    index
        .chunks_exact(8)
        .take_while(|entry| entry[..4] != [0; 4])
        .count()
}

/// The reference's tool reads what was left, before anybody recovers it.
fn read_as_killed(scene: Scene, folder: &Path) {
    let partitions = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let partitions: Vec<_> = partitions
        .filter(|partition| !log_bytes(partition).is_empty())
        .collect();
    // The end is torn that recovery begins with.
    let torn = scene == Scene::Recover;
    // There an index is missing; as it may be beside a log when they are deleted one by one. And between the truncations of
    // a log and of its index the latter has entries for messages that are gone.
    let indexes = !matches!(scene, Scene::Recover | Scene::Delete | Scene::Truncate);
    read_by_reference_unrecovered(&partitions, torn, indexes);
}

/// How often a scene calls each kind, by its busiest thread.
fn count(scene: Scene) -> Vec<(&'static str, usize)> {
    let directory = scratch("count");
    scene.prepare(directory.path());
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o"])
        .arg(&trace)
        .args(["-e", &format!("trace={}", CALLS.join(","))]);
    command.arg(std::env::current_exe().unwrap());
    command.args([
        "faults_crash_points::the_process_that_dies",
        "--exact",
        "--nocapture",
    ]);
    command
        .env(SCENE, format!("{scene:?}"))
        .env(DIRECTORY, directory.path());
    command.env("RUST_TEST_THREADS", "1");
    run(command, b"", Duration::from_secs(60)).succeeded();
    let trace = fs::read_to_string(trace).unwrap();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        *counts.entry((thread, name)).or_default() += 1;
    }
    let most = |call: &&str| {
        counts
            .iter()
            .filter(|((_, name), _)| name == call)
            .map(|(_, count)| *count)
            .max()
    };
    CALLS
        .iter()
        .map(|call| (*call, most(call).unwrap_or(0)))
        .collect()
}

fn listing(directory: &Path) -> String {
    let mut command = Command::new("find");
    command.arg(directory).args(["-type", "f", "-printf", "%P %s\n"]);
    run(command, b"", Duration::from_secs(10)).text()
}

/// Some of the points, or all.
fn chosen(points: Vec<(&'static str, usize)>) -> Vec<(&'static str, usize)> {
    if std::env::var("GREGOR_CRASH_POINTS").is_ok_and(|points| points == "all") {
        return points;
    }
    let seed = std::env::var("GREGOR_CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut points = points;
    fastrand::Rng::with_seed(seed.unwrap_or(822)).shuffle(&mut points);
    points.truncate(SAMPLE);
    points
}

fn killed_everywhere(scenes: &[Scene]) {
    if !have(&[Need::Strace, Need::Reference, Need::Gregor]) {
        return;
    }
    let kept = scratch("crash-points");
    let mut checked = Vec::new();
    for scene in scenes {
        let counts = count(*scene);
        let points: Vec<_> = counts
            .iter()
            .flat_map(|(call, most)| (1..=*most).map(|n| (*call, n)))
            .collect();
        let total = points.len();
        let points = chosen(points);
        report(&format!("{scene:?}: {} of {total} points", points.len()));
        checked.extend(visit_points(*scene, &points, kept.path()));
    }
    let partitions: Vec<_> = checked
        .iter()
        .map(|directory| directory.join("t-0"))
        .filter(|partition| partition.exists())
        .collect();
    read_by_reference(&partitions);
    report(&format!("{} directories read by the reference", partitions.len()));
}

#[test]
fn killed_at_any_call_of_append_and_roll() {
    killed_everywhere(&[
        Scene::Append,
        Scene::AppendAfterCleanStop,
        Scene::AppendManyEntries,
    ]);
}

#[test]
fn killed_at_any_call_of_flush_and_checkpoint() {
    killed_everywhere(&[Scene::Checkpoint]);
}

#[test]
fn killed_at_any_call_of_truncation() {
    killed_everywhere(&[Scene::Truncate, Scene::StartElsewhere]);
}

#[test]
fn killed_at_any_call_of_retention_and_deletion() {
    killed_everywhere(&[Scene::Retain, Scene::Empty, Scene::Delete]);
}

#[test]
fn killed_at_any_call_of_a_clean_stop() {
    killed_everywhere(&[Scene::Close]);
}

#[test]
fn killed_at_any_call_of_recovery() {
    killed_everywhere(&[Scene::Recover]);
}
