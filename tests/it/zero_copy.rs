//! Messages go from the page cache to the socket: no message byte is read into the broker's memory on fetch.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Record;
use crate::support::clients::Release;
use crate::support::clients::kcat_consume;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::process::Running;
use crate::support::scratch;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// Repeated all through every message, so that any piece that is read shows it.
const MARKER: &str = "never-in-user-space ";

/// Offset and size in front of each message: all of the log that a fetch may read.
const HEADER: u64 = 12;

/// Every system call that could bring a file's bytes into memory or to a socket.
const TRACED: &str = "trace=read,pread64,readv,preadv,preadv2,mmap,sendfile,splice,copy_file_range";

/// One traced system call: its name, the line, and what it returned if that is a count.
struct Call {
    name: String,
    line: String,
    returned: u64,
}

/// What strace wrote, one file per thread.
fn calls(folder: &Path) -> Vec<Call> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let texts: Vec<String> = files
        .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned())
        .collect();
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let (name, _) = line.split_once('(')?;
            let (_, returned) = line.rsplit_once(" = ")?;
            let returned = returned.split(' ').next()?.parse().unwrap_or(0);
            Some(Call {
                name: name.to_owned(),
                line: line.to_owned(),
                returned,
            })
        })
        .collect()
}

#[test]
fn a_fetch_reads_no_message_into_user_space() {
    if !have(&[Need::Reference, Need::Python, Need::Kcat, Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, "zero-copy"));
    broker.create_topic("orders", 1, &[("segment.bytes", "400000")]);
    let record = Record::new(None, Some(&MARKER.repeat(250)));
    let records = vec![record; 200];
    let mut python = Python::start(Release::Kafka20, &broker.bootstrap());
    for part in records.chunks(20) {
        python.produce("orders", "none", "1", part);
    }
    let stored = std::fs::read_dir(broker.data().join("orders-0")).unwrap();
    let stored: u64 = stored
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
        })
        .map(|entry| entry.metadata().unwrap().len())
        .sum();

    let traces = scratch("strace");
    let mut strace = Command::new("strace");
    strace
        .args(["-ff", "-y", "-s", "4096", "-e", TRACED, "-o"])
        .arg(traces.path().join("thread"));
    strace.args(["-p", &broker.pid().as_raw_nonzero().to_string()]);
    let strace = Running::start(strace, None);
    eventually("strace is attached", Duration::from_secs(10), || {
        let said = strace.stderr();
        if said.contains("attached") {
            Ok(())
        } else {
            Err(said)
        }
    });
    let read = kcat_consume(&broker.bootstrap(), "orders");
    strace.signal(Signal::INT);
    strace.wait(Duration::from_secs(10));

    assert_eq!(read.len(), records.len());
    let calls = calls(traces.path());
    let of_logs = || calls.iter().filter(|call| call.line.contains(".log>"));
    let sent: u64 = of_logs()
        .filter(|call| call.name == "sendfile")
        .map(|call| call.returned)
        .sum();
    assert!(sent >= stored, "{sent} of {stored} bytes went by sendfile");
    for call in &calls {
        assert!(
            !call.line.contains(MARKER),
            "message bytes in user space: {}",
            call.line
        );
    }
    for call in of_logs().filter(|call| call.name != "sendfile") {
        assert!(
            call.returned <= HEADER && call.name != "mmap",
            "more than a header: {}",
            call.line
        );
    }
}
