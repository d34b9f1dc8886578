//! One data directory, handed to and fro between Gregor and the reference, after clean stops and after crashes: the same
//! offsets, the same messages, files that the reference's own tool finds nothing wrong with.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Record;
use crate::support::clients::kcat_consume;
use crate::support::clients::kcat_produce;
use crate::support::eventually::eventually;
use crate::support::free_port;
use crate::support::have;
use crate::support::numbered::numbered;
use crate::support::reference;
use crate::support::scratch;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// What kcat compresses with.
const CODECS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];

/// Messages of each codec in each round: several index entries, several segments after some rounds.
const MESSAGES: usize = 400;

/// Rounds of an ordinary run; `GREGOR_LONG_TESTS` asks for ten.
fn rounds() -> usize {
    if std::env::var_os("GREGOR_LONG_TESTS").is_some() {
        10
    } else {
        4
    }
}

/// How one broker leaves the directory to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Cleanly,
    ByCrash,
}

fn start(kind: Kind, connect: &str, data: &Path, port: u16) -> Broker {
    Setup::of_kind(kind, connect)
        .set("log.dirs", data.to_string_lossy())
        .set("port", port.to_string())
        .set("log.segment.bytes", "100000")
        .set("log.index.size.max.bytes", "10240")
        .launch()
}

/// Waits until nobody of an earlier run is registered: both kinds of broker refuse or wait otherwise.
fn wait_for_old_sessions(connect: &str) {
    eventually(
        "the last broker's session is over",
        Duration::from_secs(30),
        || {
            let left = ["/brokers/ids/0", "/controller"].map(|path| znodes::node(connect, path).is_some());
            if left == [false, false] {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        },
    );
}

/// Files of a topic's only partition that end so.
fn files(data: &Path, topic: &str, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(data.join(format!("{topic}-0")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == suffix))
        .collect();
    files.sort();
    files
}

/// The reference's tool finds every message sound; and, after a clean stop, every index in agreement with its log.
fn check_with_the_reference(data: &Path, left: Leaves) {
    for topic in CODECS {
        let list = |suffix| {
            let files = files(data, topic, suffix);
            files
                .iter()
                .map(|file| file.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(",")
        };
        let dumped = reference::tool(
            &["dump-log-segments", "--deep-iteration", "--files", &list("log")],
            b"",
        );
        let text = dumped.text();
        assert!(text.contains("isvalid: true"), "{topic}: {text}");
        assert!(!text.contains("isvalid: false"), "{topic}: {text}");
        if left == Leaves::Cleanly {
            let verified = reference::tool(
                &[
                    "dump-log-segments",
                    "--verify-index-only",
                    "--files",
                    &list("index"),
                ],
                b"",
            );
            let said = format!("{}{}", verified.text(), verified.stderr);
            assert!(!said.contains("ismatch"), "{topic}: {said}");
        }
    }
}

fn to_and_fro(test: &str, first: Kind) {
    if !have(&[Need::Reference, Need::ZooKeeper, Need::Kcat]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, test);
    let folder = scratch("handed-over");
    let data = folder.path().join("data");
    let port = free_port();
    let bootstrap = format!("127.0.0.1:{port}");
    let mut sent: Vec<Vec<Record>> = vec![Vec::new(); CODECS.len()];
    let other = |kind| {
        if kind == Kind::Gregor {
            Kind::Reference
        } else {
            Kind::Gregor
        }
    };
    let mut kind = first;
    for round in 0..rounds() {
        wait_for_old_sessions(&connect);
        let mut broker = start(kind, &connect, &data, port);
        for (codec, sent) in CODECS.iter().zip(&mut sent) {
            eventually("the topic has a leader", Duration::from_secs(30), || {
                let records = numbered(&format!("{codec} {round} first"), 1);
                // A topic comes into being with its first use; until then sending fails.
                std::panic::catch_unwind(|| kcat_produce(&bootstrap, codec, codec, &records, false))
                    .map(|()| sent.extend(records.clone()))
                    .map_err(|_| broker.output())
            });
            let records = numbered(&format!("{codec} {round}"), MESSAGES);
            kcat_produce(&bootstrap, codec, codec, &records, false);
            sent.extend(records);
            let read = kcat_consume(&bootstrap, codec);
            let offsets = read.iter().map(|(offset, _)| *offset);
            assert!(
                offsets.eq(0..i64::try_from(sent.len()).unwrap()),
                "{kind:?}, round {round}: offsets"
            );
            assert!(
                read.iter().map(|(_, record)| record).eq(sent.iter()),
                "{kind:?}, round {round}, {codec}: other messages"
            );
        }
        // Each kind leaves in both ways.
        let left = if round / 2 % 2 == 0 {
            Leaves::Cleanly
        } else {
            Leaves::ByCrash
        };
        match left {
            Leaves::Cleanly => {
                broker.stop();
            }
            Leaves::ByCrash => broker.kill(),
        }
        check_with_the_reference(&data, left);
        kind = other(kind);
    }
}

#[test]
fn a_directory_goes_to_and_fro_beginning_with_the_reference() {
    to_and_fro("hand-over-java-first", Kind::Reference);
}

#[test]
fn a_directory_goes_to_and_fro_beginning_with_gregor() {
    to_and_fro("hand-over-gregor-first", Kind::Gregor);
}
