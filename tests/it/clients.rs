//! Unmodified clients, each producing what the others consume, with every codec.

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::CODECS;
use crate::support::clients::Python;
use crate::support::clients::Record;
use crate::support::clients::Release;
use crate::support::clients::kcat_consume;
use crate::support::clients::kcat_produce;
use crate::support::have;
use crate::support::java::JavaProducer;
use crate::support::java::as_java_prints;
use crate::support::java::java_consume;
use crate::support::java::java_offsets;
use crate::support::java::java_perf;
use crate::support::java::java_produce;
use crate::support::java::java_simple_consume;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 3] = [Need::Reference, Need::Kcat, Need::Python];

const MAX_BYTES: usize = 200_000;

/// Text that hardly compresses, longer than a block of any codec's framing (32 KiB in snappy's, 64 KiB in lz4's).
fn long_text() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(822);
    (0..150_000)
        .map(|_| u8::try_from(random.alphanumeric()).unwrap())
        .collect()
}

/// What every client can send: a key, no key, an empty value, something long.
fn text(sender: &str) -> Vec<Record> {
    vec![
        Record::new(Some(sender), Some("with a key")),
        Record::new(None, Some("without a key")),
        Record::new(Some(sender), Some("")),
        Record::new(Some("ключ"), Some("größer als ASCII")),
        Record {
            key: Some(b"long".to_vec()),
            value: Some(long_text()),
        },
    ]
}

/// What only some can send: bytes that are no text, an empty key.
fn binary(sender: &str) -> Vec<Record> {
    vec![
        Record::new(Some(&b"\x00\xff\n"[..]), Some(&b"\x00\x80\xff\r\n\x00"[..])),
        Record::new(Some(""), Some(sender)),
    ]
}

fn null_value(sender: &str) -> Vec<Record> {
    vec![Record::new(Some(sender), None)]
}

/// Produces to partition 0 of a topic with each client and codec; returns what must be there, in order.
fn produce_with_all(broker: &Broker, topic: &str) -> Vec<Record> {
    let bootstrap = broker.bootstrap();
    let mut sent = Vec::new();
    for codec in CODECS {
        let sender = format!("kcat {codec}");
        let records = [text(&sender), binary(&sender)].concat();
        kcat_produce(&bootstrap, topic, codec, &records, false);
        kcat_produce(&bootstrap, topic, codec, &null_value(&sender), true);
        sent.extend(records.into_iter().chain(null_value(&sender)));
    }
    for release in Release::ALL {
        let mut python = Python::start(release, &bootstrap);
        for codec in CODECS {
            let sender = format!("{release:?} {codec}");
            let records = [text(&sender), binary(&sender), null_value(&sender)].concat();
            let base = i64::try_from(sent.len()).unwrap();
            let offsets: Vec<_> = (base..).take(records.len()).map(Ok).collect();
            assert_eq!(python.produce(topic, codec, "-1", &records), offsets, "{sender}");
            sent.extend(records);
        }
    }
    for producer in [JavaProducer::Old, JavaProducer::New] {
        for codec in CODECS {
            let records = text(&format!("{producer:?} {codec}"));
            java_produce(producer, &bootstrap, topic, codec, &records);
            sent.extend(records);
        }
    }
    for codec in CODECS {
        let said = java_perf(&bootstrap, topic, codec, 30, 50);
        assert!(said.contains("30 records sent"), "{said}");
        sent.extend(std::iter::repeat_n(
            Record {
                key: None,
                value: Some(vec![1; 50]),
            },
            30,
        ));
    }
    sent
}

/// With offsets: the first one is 0, and none is left out.
fn numbered_from_0(records: &[Record]) -> Vec<(i64, Record)> {
    (0..).zip(records.iter().cloned()).collect()
}

/// Points at the first difference instead of printing hundreds of messages.
#[track_caller]
fn assert_same<T: PartialEq + std::fmt::Debug>(reader: &str, read: &[T], expected: &[T]) {
    if let Some(at) = (0..expected.len().max(read.len())).find(|at| read.get(*at) != expected.get(*at)) {
        panic!(
            "{reader}, message {at}: read {:?}, expected {:?}",
            read.get(at),
            expected.get(at)
        );
    }
}

#[test]
fn every_client_consumes_what_every_client_produced() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "matrix");
    let broker = Setup::new(&connect)
        .set("message.max.bytes", MAX_BYTES.to_string())
        .start();
    let bootstrap = broker.bootstrap();
    broker.create_topic("matrix", 1, &[]);

    let sent = produce_with_all(&broker, "matrix");
    let printed: Vec<Record> = sent.iter().map(as_java_prints).collect();

    assert_same(
        "kcat",
        &kcat_consume(&bootstrap, "matrix"),
        &numbered_from_0(&sent),
    );
    for release in Release::ALL {
        let mut python = Python::start(release, &bootstrap);
        let reader = format!("{release:?}");
        assert_same(&reader, &python.consume("matrix", 0, 0), &numbered_from_0(&sent));
        // From the middle of compressed sets, too.
        for from in (1..sent.len()).step_by(7) {
            let read = python.consume("matrix", 0, i64::try_from(from).unwrap());
            assert_same(
                &format!("{reader} from {from}"),
                &read,
                &numbered_from_0(&sent)[from..],
            );
        }
    }
    assert_same(
        "console-consumer",
        &java_consume(&connect, "matrix", sent.len(), ""),
        &printed,
    );
    assert_same(
        "simple-consumer-shell",
        &java_simple_consume(&bootstrap, "matrix"),
        &printed,
    );
    assert_eq!(
        java_offsets(&bootstrap, "matrix", "-1"),
        format!("matrix:0:{}", sent.len())
    );
    assert_eq!(java_offsets(&bootstrap, "matrix", "-2"), "matrix:0:0");
}

/// `message.max.bytes` counts a message with its offset and size: 26 bytes around a value without key.
#[test]
fn a_message_of_message_max_bytes_is_taken_and_a_larger_one_refused() {
    if !have(&NEEDS) {
        return;
    }
    const OVERHEAD: usize = 26;
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "sizes");
    let broker = Setup::new(&connect).set("message.max.bytes", "100000").start();
    let bootstrap = broker.bootstrap();
    broker.create_topic("sizes", 1, &[]);
    let sized = |len| Record {
        key: None,
        value: Some(vec![b'x'; len]),
    };
    let (fits, too_large) = (sized(100_000 - OVERHEAD), sized(100_001 - OVERHEAD));

    let mut expected = Vec::new();
    for release in Release::ALL {
        let mut python = Python::start(release, &bootstrap);
        let base = i64::try_from(expected.len()).unwrap();
        assert_eq!(
            python.produce("sizes", "none", "1", std::slice::from_ref(&fits)),
            [Ok(base)]
        );
        let refused = python.produce("sizes", "none", "1", std::slice::from_ref(&too_large));
        assert_eq!(refused, [Err("MessageSizeTooLargeError".to_owned())]);
        // What counts is the size of the wrapper.
        let squeezed = python.produce("sizes", "gzip", "1", std::slice::from_ref(&too_large));
        assert_eq!(squeezed, [Ok(base + 1)]);
        expected.extend([fits.clone(), too_large.clone()]);
    }
    let said = java_perf(&bootstrap, "sizes", "none", 1, 100_001 - OVERHEAD);
    assert!(said.contains("RecordTooLargeException"), "{said}");
    java_perf(&bootstrap, "sizes", "none", 1, 100_000 - OVERHEAD);
    expected.push(Record {
        key: None,
        value: Some(vec![1; 100_000 - OVERHEAD]),
    });
    kcat_produce(&bootstrap, "sizes", "none", std::slice::from_ref(&fits), false);
    expected.push(fits);

    assert_same(
        "kcat",
        &kcat_consume(&bootstrap, "sizes"),
        &numbered_from_0(&expected),
    );
}

/// Topics come into being by being used: the first metadata request says "no leader yet", and clients try again.
#[test]
fn a_topic_is_created_by_its_first_use() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, "first-use"));
    let bootstrap = broker.bootstrap();
    let one = |sender: &str| vec![Record::new(None, Some(sender))];

    kcat_produce(&bootstrap, "by-kcat", "none", &one("kcat"), false);
    assert_same(
        "kcat",
        &kcat_consume(&bootstrap, "by-kcat"),
        &numbered_from_0(&one("kcat")),
    );
    for release in Release::ALL {
        let topic = format!("by-{release:?}");
        assert_eq!(
            Python::start(release, &bootstrap).produce(&topic, "none", "1", &one("python")),
            [Ok(0)]
        );
    }
    for producer in [JavaProducer::Old, JavaProducer::New] {
        let topic = format!("by-{producer:?}");
        java_produce(producer, &bootstrap, &topic, "none", &one("java"));
        assert_same(
            "simple-consumer-shell",
            &java_simple_consume(&bootstrap, &topic),
            &[as_java_prints(&one("java")[0])],
        );
    }
}
