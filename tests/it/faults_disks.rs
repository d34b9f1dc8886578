//! Disks that are full, read-only or broken, and directories with things in them that don't belong there.
//!
//! The broker says what is wrong, stops or goes on, and starts again when the disk is well: with everything that was
//! acknowledged. `GREGOR_DISK_FAULTS=all` tries every broken call instead of a few.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gregor::message::Codec;
use gregor::protocol::ApiKey;
use gregor::protocol::encode_request;
use gregor::protocol::metadata::MetadataRequest;

use crate::support::Need;
use crate::support::answer::decode;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::kcat_consume;
use crate::support::clients::kcat_produce;
use crate::support::connection::ANSWER;
use crate::support::connection::Connection;
use crate::support::connection::Received;
use crate::support::eventually::eventually;
use crate::support::eventually::within;
use crate::support::have;
use crate::support::load::Book;
use crate::support::load::Load;
use crate::support::load::topics;
use crate::support::namespace::Disk;
use crate::support::numbered::numbered;
use crate::support::report;
use crate::support::requests::log_end;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::segments::segments;
use crate::support::wire;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 4] = [Need::Gregor, Need::Reference, Need::Python, Need::Kcat];

/// How long a broker may take to notice that its disk is no good, and to stop.
const SOON: Duration = Duration::from_secs(30);

fn create_topics(broker: &Broker) {
    for topic in topics() {
        broker.create_topic(topic, 1, &[("segment.bytes", "30000"), ("flush.messages", "200")]);
    }
}

/// Waits until it has stopped by itself, as a failure, with one error that has these pieces and one hint.
#[track_caller]
fn stopped_because(broker: &mut Broker, said_before: usize, pieces: &[&str]) {
    let status = within(SOON, || broker.exited()).expect("it stops by itself");
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    broker.forget();
    let output = broker.output();
    let said = &output[said_before..];
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let hints = said.lines().filter(|line| line.starts_with("hint: ")).count();
    assert_eq!((errors.len(), hints), (1, 1), "one error, one hint: {said}");
    for piece in pieces {
        assert!(errors[0].contains(piece), "{piece} is missing: {}", errors[0]);
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_disk_that_fills_up_under_load_stops_the_broker_until_there_is_room() {
    if !have(&NEEDS) || !have(&[Need::Namespaces]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let setup = Setup::new(&chroot(&zookeeper, "disk-fills"));
    fs::create_dir_all(setup.data()).unwrap();
    let disk = Disk::mount(&setup.data(), "size=64m");
    let data = setup.data().display().to_string();
    let mut broker = setup.stopped();
    broker.run_under(&disk.under());
    broker.start_again();
    create_topics(&broker);
    let mut book = Book::default();
    for round in 1..=2 {
        let load = Load::start(&broker, round);
        load.get_more(500, "acknowledgements before the disk is full");
        let said = broker.output().len();
        disk.fill();
        stopped_because(&mut broker, said, &["No space left on device", &data]);
        book.close(load);
        let said = broker.output().len();
        let refused = broker.try_start_again().unwrap_err();
        assert!(!refused.success());
        broker.forget();
        let output = broker.output();
        assert!(output[said..].contains("bytes free"), "{}", &output[said..]);
        disk.make_room();
        broker.start_again();
        book.check(&broker);
    }
    book.check_all(&broker);
    assert!(broker.stop().success());
    assert!(disk.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn a_disk_that_has_become_read_only_is_refused_until_it_is_not() {
    if !have(&NEEDS) || !have(&[Need::Namespaces]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let setup = Setup::new(&chroot(&zookeeper, "disk-read-only"));
    fs::create_dir_all(setup.data()).unwrap();
    let disk = Disk::mount(&setup.data(), "size=64m");
    let mut broker = setup.stopped();
    broker.run_under(&disk.under());
    broker.start_again();
    create_topics(&broker);
    let mut book = Book::default();
    let load = Load::start(&broker, 1);
    load.get_more(500, "acknowledgements");
    broker.kill();
    book.close(load);
    disk.remount("ro");
    let before = snapshot(&disk.path());
    let said = broker.output().len();
    broker.try_start_again().unwrap_err();
    stopped_because(&mut broker, said, &["read-only"]);
    assert_eq!(snapshot(&disk.path()), before);
    disk.remount("rw");
    broker.start_again();
    book.check_all(&broker);
}

/// Every file with its length and what it holds, as far as it matters.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files.extend(snapshot(&entry.path()));
        } else {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// A call that fails from the n-th on, in each thread that makes it, and what the broker then says.
type Fault = (&'static str, &'static str, usize, &'static str);

const FAULTS: &[Fault] = &[
    ("pwrite64", "EIO", 3, "Input/output error"),
    ("pwrite64", "EIO", 200, "Input/output error"),
    ("pwrite64", "ENOSPC", 100, "No space left on device"),
    ("pwrite64", "EROFS", 50, "Read-only file system"),
    ("pwrite64", "EDQUOT", 70, "Disk quota exceeded"),
    ("ftruncate", "EIO", 9, "Input/output error"),
    ("ftruncate", "ENOSPC", 20, "No space left on device"),
    ("fsync", "EIO", 9, "Input/output error"),
    ("fsync", "EIO", 30, "Input/output error"),
    ("fsync", "ENOSPC", 20, "No space left on device"),
    ("rename", "EIO", 4, "Input/output error"),
    ("rename", "EROFS", 9, "Read-only file system"),
];

fn fault(call: &str, error: &str, when: &str) -> [String; 5] {
    let trace = format!("-etrace={call}");
    let inject = format!("-einject={call}:error={error}:when={when}");
    [
        "strace".to_owned(),
        "-Df".to_owned(),
        "-o/dev/null".to_owned(),
        trace,
        inject,
    ]
}

fn run_with_fault(broker: &mut Broker, fault: &[String]) {
    let fault: Vec<_> = fault.iter().map(String::as_str).collect();
    broker.run_under(&fault);
}

/// Fails for good, or a single time: the disk has lied, and what it says afterwards is worth nothing.
#[test]
fn a_disk_that_fails_under_load_stops_the_broker_and_nothing_acknowledged_is_lost() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "disk-fails");
    let mut broker = Setup::new(&connect)
        .set("zookeeper.session.timeout.ms", "2500")
        .set("replica.high.watermark.checkpoint.interval.ms", "200")
        .start();
    create_topics(&broker);
    let mut faults: Vec<(Fault, &str)> = FAULTS
        .iter()
        .flat_map(|fault| [(*fault, "+"), (*fault, "")])
        .collect();
    if std::env::var_os("GREGOR_DISK_FAULTS").is_none() {
        let wanted = [("pwrite64", 200, "+"), ("fsync", 30, ""), ("rename", 4, "")];
        faults.retain(|((call, _, n, _), how)| wanted.contains(&(call, *n, how)));
    }
    let mut book = Book::default();
    for (round, ((call, error, n, message), how)) in faults.iter().enumerate() {
        broker.stop();
        let said = broker.output().len();
        run_with_fault(&mut broker, &fault(call, error, &format!("{n}{how}")));
        let load = broker
            .try_start_again()
            .is_ok()
            .then(|| Load::start(&broker, round));
        stopped_because(&mut broker, said, &[message]);
        if let Some(load) = load {
            book.close(load);
        }
        // Whatever else failed was undone. After a failed sync nobody knows what is on the disk; only that the marker of a
        // clean stop is not about high watermarks.
        let output = broker.output();
        let last_error = output.lines().rfind(|line| line.starts_with("error: ")).unwrap();
        if *call == "fsync" && !last_error.contains("replication-offset-checkpoint") {
            let marker = broker.data().join(".kafka_cleanshutdown");
            assert!(
                !marker.exists(),
                "fsync {n}{how} failed, and it stopped as if nothing had happened"
            );
        }
        broker.run_under(&[]);
        broker.start_again();
        book.check(&broker);
    }
    book.check_all(&broker);
    report(&format!(
        "{} faults, {} acknowledged messages are there",
        faults.len(),
        book.len()
    ));
}

/// How old a segment is made to look, and how old it may get.
const OLD: Duration = Duration::from_secs(3 * 3600);
const RETENTION_MS: &str = "3600000";

/// Retention starts to look half a minute after the broker.
const RETENTION: Duration = Duration::from_secs(60);

/// What a broker answers about a partition that nobody has told it to lead.
const UNKNOWN_PARTITION: i64 = 3;

/// A segment of these holds one set of [`SET`] messages.
const SMALL: (&str, &str) = ("segment.bytes", "1000");
const SET: i64 = 6;

/// Appends a set that takes more than half a segment, as soon as the broker knows that it leads; whether that was
/// acknowledged.
fn append(broker: &Broker, topic: &str) -> bool {
    let value = "x".repeat(80);
    let values: Vec<_> = (0..SET).map(|_| value.as_str()).collect();
    let request = produce(1, SOON, topic, [(0, set(Codec::None, &values))]);
    let request = encode_request(1, None, &request);
    let mut acknowledged = false;
    eventually("the broker leads", SOON, || {
        let mut connection = Connection::open(broker.address());
        connection.send(&request);
        let Received::Frame(frame) = connection.receive(ANSWER) else {
            return Ok(());
        };
        let error = &decode(ApiKey::Produce, &frame)["topics"][0]["partitions"][0]["error_code"];
        acknowledged = *error == 0;
        // Others are told who leads before the leader itself.
        if *error == UNKNOWN_PARTITION {
            Err(format!("{topic}: error {error}"))
        } else {
            Ok(())
        }
    });
    acknowledged
}

/// Does what the broker needs this file for.
fn needs(broker: &Broker, file: &str) {
    match file.split('-').next() {
        Some("rolls") => {
            broker.wait_for_topic("rolls", 1);
            assert!(!append(broker, "rolls"), "there is no segment for it");
        }
        Some("new") => {
            broker.wait_for_topic("rolls", 1);
            let topics = vec![Some("new".to_owned())];
            let mut connection = Connection::open(broker.address());
            connection.send(&encode_request(1, None, &MetadataRequest { topics }));
            // Whatever the answer is, it has been asked for.
            connection.receive(ANSWER);
        }
        Some("old") => {
            let old = segment(&broker.data(), "old", 0);
            let segment = File::options().write(true).open(&old).unwrap();
            let written = segment.metadata().unwrap().modified().unwrap();
            segment.set_modified(written - OLD).unwrap();
            eventually("an old segment is to go", RETENTION, || {
                if old.exists() { Err("it is there") } else { Ok(()) }
            });
        }
        _ => {}
    }
}

/// Files that can't be written, made or removed: each call fails for one file only, in the middle of a load.
#[test]
fn a_file_that_cannot_be_written_made_or_removed_stops_the_broker_and_nothing_acknowledged_is_lost() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "file-fails"))
        .set("replica.high.watermark.checkpoint.interval.ms", "200")
        .set("log.retention.check.interval.ms", "200")
        .start();
    create_topics(&broker);
    broker.create_topic("rolls", 1, &[SMALL]);
    let kept = [
        SMALL,
        ("retention.ms", RETENTION_MS),
        ("file.delete.delay.ms", "0"),
    ];
    broker.create_topic("old", 1, &kept);
    assert!(append(&broker, "rolls"));
    assert!(append(&broker, "old") && append(&broker, "old"));
    let data = broker.data();
    let old_file = segment(&data, "old", 0).with_extension("log.deleted");
    let rolled = format!("rolls-0/{SET:020}.log");
    let mut book = Book::default();
    for (round, (call, file)) in [
        ("write", "replication-offset-checkpoint.tmp"),
        ("openat", &rolled),
        ("openat", "new-0/00000000000000000000.log"),
        ("?unlink,unlinkat", "old-0/00000000000000000000.log.deleted"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(broker.stop().success());
        let said = broker.output().len();
        let mut fault = fault(call, "EIO", "1+").to_vec();
        fault.push(format!("-P{}", data.join(file).display()));
        run_with_fault(&mut broker, &fault);
        let load = broker
            .try_start_again()
            .is_ok()
            .then(|| Load::start(&broker, round));
        needs(&broker, file);
        let name = file.trim_end_matches(".tmp").trim_end_matches(".deleted");
        stopped_because(&mut broker, said, &["Input/output error", name]);
        if let Some(load) = load {
            book.close(load);
        }
        broker.run_under(&[]);
        broker.start_again();
        book.check(&broker);
    }
    book.check_all(&broker);
    assert_eq!(log_end(&broker, "rolls", 0), SET);
    assert!(append(&broker, "rolls"), "it rolls now");
    broker.wait_for_topic("new", 1);
    eventually("the old segment's file goes", RETENTION, || {
        if old_file.exists() {
            Err("it is there")
        } else {
            Ok(())
        }
    });
}

/// What can't be read stops the start, and is left as it is.
#[test]
fn a_disk_that_cannot_be_read_stops_the_start_and_changes_nothing() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "unreadable-start")).start();
    create_topics(&broker);
    let load = Load::start(&broker, 1);
    load.get_more(2000, "acknowledgements");
    broker.kill();
    let mut book = Book::default();
    book.close(load);
    let partition = broker.data().join("acks-1-0");
    let logs = || -> Vec<_> {
        let files = segments(&partition);
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    };
    let before = logs();
    for file in segments(&partition).iter().rev().take(2) {
        let said = broker.output().len();
        let mut fault = fault("pread64", "EIO", "1+").to_vec();
        fault.push(format!("-P{}", file.display()));
        run_with_fault(&mut broker, &fault);
        broker.try_start_again().unwrap_err();
        let name = file.display().to_string();
        stopped_because(&mut broker, said, &["Input/output error", &name]);
        assert!(logs() == before, "{name}: messages have changed");
    }
    broker.run_under(&[]);
    broker.start_again();
    book.check_all(&broker);
}

/// Checkpoints and lists of files tell what there is: none of them may be taken for empty because it can't be read.
#[test]
fn a_start_that_cannot_learn_what_is_there_stops_and_deletes_nothing() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "unknown-start")).start();
    create_topics(&broker);
    let mut book = Book::default();
    // A clean stop leaves every checkpoint, the crash something to recover.
    for round in 0..2 {
        let load = Load::start(&broker, round);
        load.get_more(1000, "acknowledgements");
        book.close(load);
        if round == 0 {
            assert!(broker.stop().success());
            broker.start_again();
        }
    }
    broker.kill();
    let data = broker.data();
    let last = segments(&data.join("acks-1-0")).pop().unwrap();
    let before = snapshot(&data);
    for (call, path) in [
        ("read", data.join("recovery-point-offset-checkpoint")),
        ("read", data.join("replication-offset-checkpoint")),
        ("getdents64", data.clone()),
        ("getdents64", data.join("acks-1-0")),
        ("statx", data.join("acks-1-0")),
        ("statx", last),
    ] {
        let said = broker.output().len();
        let mut fault = fault(call, "EIO", "1+").to_vec();
        fault.push(format!("-P{}", path.display()));
        run_with_fault(&mut broker, &fault);
        broker.try_start_again().unwrap_err();
        let name = path.display().to_string();
        stopped_because(&mut broker, said, &["Input/output error", &name]);
        let after = snapshot(&data);
        for (file, content) in &before {
            let left = after.get(file);
            // Those of other partitions may have been made anew.
            let index = file.extension().is_some_and(|extension| extension == "index");
            assert!(
                left.is_some_and(|left| index || left == content),
                "{call} {name}: {} has changed",
                file.display()
            );
        }
    }
    broker.run_under(&[]);
    broker.start_again();
    book.check_all(&broker);
}

/// Consumers get what can be read, and an error for the rest; producers notice nothing.
#[test]
fn a_segment_that_cannot_be_read_costs_its_readers_only() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "unreadable-fetch")).start();
    create_topics(&broker);
    let mut book = Book::default();
    let load = Load::start(&broker, 1);
    load.get_more(2000, "acknowledgements");
    book.close(load);
    broker.stop();
    let partition = broker.data().join("acks-1-0");
    let broken = segments(&partition)[1].clone();
    for (call, message) in [
        ("sendfile", "send messages from the disk"),
        ("pread64", "read at offset"),
    ] {
        let mut fault = fault(call, "EIO", "1+").to_vec();
        fault.push(format!("-P{}", broken.display()));
        run_with_fault(&mut broker, &fault);
        broker.start_again();
        let load = Load::start(&broker, if call == "pread64" { 2 } else { 3 });
        load.get_more(500, "acknowledgements while a segment is broken");
        let base_offset: i64 = broken.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let ask = || wire::fetch(broker.address(), "acks-1", base_offset + 1);
        match call {
            "sendfile" => assert!(ask().is_err(), "the answer can't be completed"),
            _ => assert_eq!(ask().unwrap(), -1, "error code of what can't be read"),
        }
        assert_eq!(wire::fetch(broker.address(), "acks-1", 0).unwrap(), 0);
        load.get_more(500, "acknowledgements afterwards");
        eventually("it says so", SOON, || {
            let output = broker.output();
            if output.contains(message) && output.contains("Input/output error") {
                Ok(())
            } else {
                Err(output)
            }
        });
        book.close(load);
        assert!(broker.stop().success());
    }
    broker.run_under(&[]);
    broker.start_again();
    book.check_all(&broker);
}

/// Nothing depends on an index but the time that it takes to find a message.
#[test]
fn an_index_that_cannot_be_read_or_written_costs_nobody_a_message_or_a_clean_stop() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "index-fails")).start();
    // In one segment each, so that it is known whose index it is.
    for topic in topics() {
        broker.create_topic(topic, 1, &[]);
    }
    let mut book = Book::default();
    for (round, (call, error, message)) in [
        ("pwrite64", "ENOSPC", "No space left on device"),
        ("pwrite64", "EROFS", "Read-only file system"),
        ("pread64", "EIO", "making the index anew, it can't be read"),
    ]
    .into_iter()
    .enumerate()
    {
        let load = Load::start(&broker, 2 * round);
        load.get_more(500, "acknowledgements before");
        book.close(load);
        assert!(broker.stop().success());
        let said = broker.output().len();
        let partition = broker.data().join("acks-1-0");
        let index = partition.join(format!("{:020}.index", 0));
        let mut fault = fault(call, error, "1+").to_vec();
        fault.push(format!("-P{}", index.display()));
        run_with_fault(&mut broker, &fault);
        broker.start_again();
        let load = Load::start(&broker, 2 * round + 1);
        load.get_more(500, "acknowledgements without an index");
        book.close(load);
        for offset in [0, 100] {
            assert_eq!(wire::fetch(broker.address(), "acks-1", offset).unwrap(), 0);
        }
        assert!(broker.stop().success());
        let output = broker.output().split_off(said);
        assert!(output.contains(message), "{call} {error}: {output}");
        assert!(
            broker.data().join(".kafka_cleanshutdown").exists(),
            "{call} {error}"
        );
        broker.run_under(&[]);
        broker.start_again();
        book.check(&broker);
    }
    book.check_all(&broker);
}

/// Topics whose files are damaged, each in the way that its name says.
const STRANGE: [&str; 6] = [
    "long-index",
    "short-index",
    "no-index",
    "overlap",
    "gap",
    "foreign",
];

/// Files that nobody understands.
const FOREIGN: [(&str, &str); 9] = [
    ("lost+found/inode", "x"),
    ("not-a-partition/file", "x"),
    ("topic-1.delete/00000000000000000000.log", "x"),
    ("note.txt", "x"),
    ("foreign-0/note.txt", "x"),
    ("foreign-0/abc.log", "not a message"),
    ("foreign-0/00000000000000000001.log.bak", "x"),
    ("foreign-0/7.log", "x"),
    ("foreign-0/folder/file", "x"),
];

fn segment(data: &Path, topic: &str, at: usize) -> PathBuf {
    segments(&data.join(format!("{topic}-0")))[at].clone()
}

fn damage_indexes(data: &Path) {
    let set_len = |topic: &str, at: usize, change: fn(u64) -> u64| {
        let index = segment(data, topic, at).with_extension("index");
        let file = File::options().write(true).open(index).unwrap();
        file.set_len(change(file.metadata().unwrap().len())).unwrap();
    };
    set_len("long-index", 0, |len| len + 800);
    set_len("long-index", 1, |len| len + 3);
    set_len("short-index", 0, |len| len / 16 * 8);
    set_len("short-index", 1, |_| 0);
    fs::remove_file(segment(data, "no-index", 0).with_extension("index")).unwrap();
}

/// Segments that overlap, as a compaction leaves them that was killed: the end of the first one once more, under a name of
/// its own. And a gap.
fn damage_segments(data: &Path) {
    let first = segment(data, "overlap", 0);
    let entries = fs::read(&first).unwrap();
    let tenth = (0..10).fold(0, |at, _| at + entry_len(&entries[at..]));
    fs::write(first.with_file_name(format!("{:020}.log", 10)), &entries[tenth..]).unwrap();
    let gone = segment(data, "gap", 1);
    fs::remove_file(gone.with_extension("index")).unwrap();
    fs::remove_file(gone).unwrap();
}

/// Everything that can lie about in a data directory, after a clean stop and after a crash.
#[test]
fn what_does_not_belong_there_is_left_alone_and_what_is_broken_is_mended() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "strange-things")).start();
    let records = numbered("before", 600);
    for topic in STRANGE {
        let settings = [("segment.bytes", "10000"), ("index.interval.bytes", "500")];
        broker.create_topic(topic, 1, &settings);
        for some in records.chunks(100) {
            kcat_produce(&broker.bootstrap(), topic, "none", some, false);
        }
    }
    let data = broker.data();
    let held = |broker: &Broker, topic: &str| kcat_consume(&broker.bootstrap(), topic);
    let before = held(&broker, "foreign");
    assert_eq!(before.len(), records.len());
    for clean in [true, false] {
        if clean {
            assert!(broker.stop().success());
            damage_segments(&data);
        } else {
            broker.kill();
        }
        damage_indexes(&data);
        for (path, text) in FOREIGN {
            fs::create_dir_all(data.join(path).parent().unwrap()).unwrap();
            fs::write(data.join(path), text).unwrap();
        }
        let checkpoints = [
            "recovery-point-offset-checkpoint",
            "replication-offset-checkpoint",
        ];
        for checkpoint in checkpoints {
            fs::write(data.join(checkpoint), "").unwrap();
        }
        let said_before = broker.output().len();
        broker.start_again();
        for topic in STRANGE {
            let now = held(&broker, topic);
            if topic == "gap" {
                assert!(now.len() > records.len() / 2 && now.len() < records.len());
                assert!(now.iter().all(|one| before.contains(one)), "{topic}");
            } else {
                assert!(now == before, "{topic} holds {} messages", now.len());
            }
        }
        for (path, text) in FOREIGN {
            assert_eq!(fs::read_to_string(data.join(path)).unwrap(), text, "{path}");
        }
        let output = &broker.output()[said_before..];
        let mut wanted = vec!["lost+found", "not-a-partition", "abc.log"];
        let checkpoints = checkpoints.map(|checkpoint| format!("{checkpoint}: it is empty; taken as empty"));
        wanted.extend(checkpoints.iter().map(String::as_str));
        if clean {
            wanted.push("making the index anew");
        } else {
            // Every index is made anew without a word; but every segment is read.
            wanted.extend([
                "overlap-0: 1 segments overlap the next one; the first ends at offset",
                "gap-0: offsets are missing between segments, in 1 places",
            ]);
        }
        for said in wanted {
            assert!(output.contains(said), "{said}: {output}");
        }
    }
    kcat_produce(&broker.bootstrap(), "gap", "none", &numbered("after", 1), false);
    let last = held(&broker, "gap").pop().unwrap();
    assert_eq!(last.0, i64::try_from(records.len()).unwrap());
}

/// Length of the entry at the front: offset i64, size i32, message.
fn entry_len(bytes: &[u8]) -> usize {
    12 + usize::try_from(u32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap()
}
