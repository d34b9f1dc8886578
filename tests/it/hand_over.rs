//! One data directory, handed to and fro between Gregor and the reference, after clean stops and after crashes: the same
//! offsets, the same bytes, files that the reference's own tool finds nothing wrong with.

use std::path::Path;
use std::time::Duration;

use gregor::message::entry::entries;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;

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
use crate::support::requests::ask_one;
use crate::support::requests::offsets;
use crate::support::scratch;
use crate::support::segments::log_bytes;
use crate::support::segments::read_by_reference;
use crate::support::segments::read_by_reference_unrecovered;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// What kcat compresses with, each at the place that is its number in a message's attributes.
const CODECS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];

/// Messages of each codec in each round: several index entries, several segments after some rounds.
const MESSAGES: usize = 400;

/// A virtual machine that starts on a busy machine stands still for seconds.
const START: Duration = Duration::from_secs(90);

/// How often it is handed over, half of it each way; `GREGOR_LONG_TESTS` asks for ten times to and ten times fro.
fn hand_overs() -> usize {
    if std::env::var_os("GREGOR_LONG_TESTS").is_some() {
        20
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

/// What lies on the disk for each topic.
fn stored(data: &Path) -> [Vec<u8>; CODECS.len()] {
    CODECS.map(|topic| log_bytes(&data.join(format!("{topic}-0"))))
}

/// Entries in wrappers of the topic's own codec, as kcat made them, which leaves a set as it is where compressing makes it
/// no smaller: short ones, of which there are more the slower the machine is.
fn check_codec(topic: &str, stored: &[u8]) {
    let own = CODECS.iter().position(|codec| *codec == topic).unwrap();
    let mut counts = [0; CODECS.len()];
    for entry in entries(stored) {
        let (_, message) = entry.unwrap();
        counts[usize::from(message.attributes() & 7)] += 1;
    }
    assert!(counts[own] > 0, "{topic}: {counts:?}");
    for (codec, count) in counts.iter().enumerate() {
        assert!(codec == own || codec == 0 || *count == 0, "{topic}: {counts:?}");
    }
}

/// The tool reads everything; each topic begins with what lay there before, and goes on with its codec.
fn check_stored(data: &Path, left: Leaves, before: &[Vec<u8>; CODECS.len()], now: &[Vec<u8>; CODECS.len()]) {
    let partitions = CODECS.map(|topic| data.join(format!("{topic}-0")));
    match left {
        Leaves::Cleanly => read_by_reference(&partitions),
        Leaves::ByCrash => read_by_reference_unrecovered(&partitions, false, true),
    }
    for ((topic, before), now) in CODECS.iter().zip(before).zip(now) {
        assert!(now.len() > before.len(), "{topic} has not grown");
        assert!(now.starts_with(before), "other bytes in {topic}");
        check_codec(topic, &now[before.len()..]);
    }
}

/// Consumers get all that was sent, in its order, at offsets without gaps.
fn check_read(bootstrap: &str, codec: &str, sent: &[Record], who: &str) {
    let read = kcat_consume(bootstrap, codec);
    let offsets = read.iter().map(|(offset, _)| *offset);
    assert!(
        offsets.eq(0..i64::try_from(sent.len()).unwrap()),
        "{who}, {codec}: offsets"
    );
    assert!(
        read.iter().map(|(_, record)| record).eq(sent),
        "{who}, {codec}: other messages"
    );
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
    let mut before: [Vec<u8>; CODECS.len()] = Default::default();
    for round in 0..hand_overs() {
        wait_for_old_sessions(&connect);
        let mut broker = start(kind, &connect, &data, port);
        for (codec, sent) in CODECS.iter().zip(&mut sent) {
            eventually("the topic has a leader", START, || {
                let records = numbered(&format!("{codec} {round} first"), 1);
                // A topic comes into being with its first use; until then sending fails.
                std::panic::catch_unwind(|| kcat_produce(&bootstrap, codec, codec, &records, false))
                    .map(|()| sent.extend(records.clone()))
                    .map_err(|_| broker.output())
            });
            let records = numbered(&format!("{codec} {round}"), MESSAGES);
            kcat_produce(&bootstrap, codec, codec, &records, false);
            sent.extend(records);
            check_read(&bootstrap, codec, sent, &format!("{kind:?}, round {round}"));
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
        let now = stored(&data);
        check_stored(&data, left, &before, &now);
        before = now;
        kind = other(kind);
    }
    // What the last one left is taken over, too.
    wait_for_old_sessions(&connect);
    let mut broker = start(kind, &connect, &data, port);
    broker.wait_until_ready();
    for (codec, sent) in CODECS.iter().zip(&sent) {
        // Metadata tell of a leader before it has heard of it.
        let end = offsets(Reader::Consumer, codec, 0, OffsetSpec::Latest);
        eventually("the topic is led", START, || {
            let answer = ask_one(&broker, &end);
            if answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
        check_read(&bootstrap, codec, sent, &format!("{kind:?} at last"));
    }
    broker.stop();
    assert!(
        stored(&data) == before,
        "other bytes after a run without producers"
    );
}

#[test]
fn a_directory_goes_to_and_fro_beginning_with_the_reference() {
    to_and_fro("hand-over-java-first", Kind::Reference);
}

#[test]
fn a_directory_goes_to_and_fro_beginning_with_gregor() {
    to_and_fro("hand-over-gregor-first", Kind::Gregor);
}
