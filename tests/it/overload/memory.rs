//! What a request costs is bounded by what was received, and all of them together by what was configured.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use bytes::BufMut;
use bytes::BytesMut;
use gregor::protocol::ApiKey;
use gregor::protocol::ErrorCode;
use gregor::protocol::decode_response;
use gregor::protocol::metadata::MetadataResponse;

use super::crowd::Crowd;
use super::crowd::Does;
use super::honest::Honest;
use super::target::Client;
use super::target::Target;
use super::target::let_pass;
use super::target::mib;
use super::target::report;
use super::target::scaled;
use crate::support::wire;

/// Entries of a list that every request may have, and of one that none may.
const MANY: usize = 100_000;
const TOO_MANY: usize = 200_000;

/// Connections that ask the same at the same time.
const AT_ONCE: usize = 8;

/// What a byte that was received may cost at most, and what anything may cost.
const RATIO: u64 = 8;
const ALLOWANCE: u64 = 12 << 20;

/// A frame with this body.
fn frame(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 14);
    frame.put_i32(i32::try_from(body.len() + 10).unwrap());
    frame.put_i16(key.code());
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame
}

fn put_text(body: &mut BytesMut, text: &str) {
    body.put_i16(i16::try_from(text.len()).unwrap());
    body.put_slice(text.as_bytes());
}

/// What is asked for, with each version that is read in a way of its own.
const LISTS: [(ApiKey, i16); 12] = [
    (ApiKey::Produce, 0),
    (ApiKey::Fetch, 0),
    (ApiKey::ListOffsets, 0),
    (ApiKey::Metadata, 0),
    (ApiKey::LeaderAndIsr, 0),
    (ApiKey::StopReplica, 0),
    (ApiKey::UpdateMetadata, 0),
    (ApiKey::OffsetCommit, 0),
    (ApiKey::OffsetCommit, 1),
    (ApiKey::OffsetFetch, 0),
    (ApiKey::OffsetFetch, 1),
    (ApiKey::JoinGroup, 0),
];

/// A request that names `count` partitions of a topic, or `count` topics.
fn list((key, version): (ApiKey, i16), count: usize) -> Vec<u8> {
    let mut body = BytesMut::new();
    let count = i32::try_from(count).unwrap();
    match key {
        ApiKey::Metadata => put_topics(&mut body, count),
        ApiKey::JoinGroup => {
            put_text(&mut body, "group");
            body.put_i32(1000);
            put_topics(&mut body, count);
            put_text(&mut body, "consumer");
            put_text(&mut body, "range");
        }
        ApiKey::LeaderAndIsr | ApiKey::StopReplica | ApiKey::UpdateMetadata => {
            put_orders(&mut body, key, count);
        }
        _ => put_partitions(&mut body, (key, version), count),
    }
    frame(key, version, &body)
}

fn put_topics(body: &mut BytesMut, count: i32) {
    body.put_i32(count);
    (0..count).for_each(|number| put_text(body, &format!("{number:x}")));
}

/// What a controller says, of an epoch that is over: what is measured is not what becomes of the partitions.
fn put_orders(body: &mut BytesMut, key: ApiKey, count: i32) {
    let (controller, epoch) = (0, -1);
    body.put_i32(controller);
    body.put_i32(epoch);
    if key == ApiKey::StopReplica {
        body.put_u8(0);
    }
    body.put_i32(count);
    for number in 0..count {
        put_text(body, "lists");
        body.put_i32(number);
        if key != ApiKey::StopReplica {
            // Epoch, leader, its epoch; in sync is one, and so many replicas there are.
            body.put_slice(&[0; 12]);
            body.put_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
            body.put_i32(0);
            body.put_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        }
    }
    if key != ApiKey::StopReplica {
        // Brokers that are alive.
        body.put_i32(0);
    }
}

/// Partitions of one topic.
fn put_partitions(body: &mut BytesMut, (key, version): (ApiKey, i16), count: i32) {
    match key {
        ApiKey::Produce => {
            body.put_i16(1);
            body.put_i32(1000);
        }
        ApiKey::Fetch => body.put_slice(&[255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]),
        ApiKey::ListOffsets => body.put_i32(-1),
        ApiKey::OffsetFetch => put_text(body, "group"),
        ApiKey::OffsetCommit => {
            put_text(body, "group");
            if version == 1 {
                body.put_i32(0);
                put_text(body, "consumer");
            }
        }
        other => panic!("no list of partitions: {other:?}"),
    }
    body.put_i32(1);
    put_text(body, "lists");
    body.put_i32(count);
    for number in 0..count {
        body.put_i32(number);
        match key {
            ApiKey::Produce => body.put_i32(0),
            ApiKey::Fetch => body.put_slice(&[0; 12]),
            ApiKey::ListOffsets => body.put_slice(&[255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1]),
            ApiKey::OffsetCommit => {
                // The offset, the time in version 1 only, no metadata.
                body.put_slice(if version == 1 { &[0; 16] } else { &[0; 8] });
                body.put_i16(0);
            }
            _ => {}
        }
    }
}

#[test]
fn long_lists_cost_a_multiple_of_what_was_received() {
    let settings = [("auto.create.topics.enable", "false")];
    let Some(mut target) = Target::start("overload-lists", &settings) else {
        return;
    };
    for api in LISTS {
        let what = format!("{:?} {}", api.0, api.1);
        for (count, answered) in [(MANY, true), (TOO_MANY, false)] {
            let request = list(api, count);
            target.forget_peak();
            let before = target.resident();
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    let (request, address, what) = (&request, target.address(), &what);
                    scope.spawn(move || {
                        let mut client = Client::connect(address);
                        // Refusing may be quicker than sending.
                        let _ = client.socket.write_all(request);
                        if answered {
                            client.frame().unwrap_or_else(|error| panic!("{what}: {error}"));
                        } else {
                            assert!(client.is_closed(), "{what} of {count}");
                        }
                    });
                }
            });
            let received = u64::try_from(AT_ONCE * request.len()).unwrap();
            let (peak, allowed) = (target.peak(), before + ALLOWANCE + RATIO * received);
            report(&format!(
                "{AT_ONCE} x {what} of {count}: {:.1} MiB received, {:.1} MiB resident before, at most {:.1} meanwhile",
                mib(received),
                mib(before),
                mib(peak)
            ));
            assert!(peak < allowed, "{what} of {count}: {peak}, not below {allowed}");
            target.holds("long lists");
        }
    }
}

#[test]
fn counts_and_lengths_that_lie_cost_nothing() {
    let Some(mut target) = Target::start("overload-lies", &[]) else {
        return;
    };
    target.forget_peak();
    let before = target.resident();
    let without_lists = [
        ApiKey::ControlledShutdown,
        ApiKey::ConsumerMetadata,
        ApiKey::Heartbeat,
    ];
    for (key, version) in LISTS.into_iter().chain(without_lists.map(|key| (key, 0))) {
        // Wherever a count or a length stands, it is a large one.
        for fill in [0x7f_u8, 0x01, 0x00] {
            let mut body = vec![fill; 64];
            body[56..60].copy_from_slice(&i32::MAX.to_be_bytes());
            let mut client = Client::connect(target.address());
            client.socket.write_all(&frame(key, version, &body)).unwrap();
            client.socket.shutdown(std::net::Shutdown::Write).unwrap();
            while client.frame().is_ok() {}
        }
    }
    let grown = target.peak().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes for lies");
    target.holds("lies");
}

#[test]
fn sockets_are_not_read_beyond_the_budget_and_honest_clients_get_through() {
    let (request, queued) = (8 << 20, 16 << 20);
    let settings = [
        ("socket.request.max.bytes", "8388608"),
        ("queued.max.bytes", "16777216"),
    ];
    let Some(mut target) = Target::start("overload-budget", &settings) else {
        return;
    };
    target.topic("honest");
    let honest = Honest::start(target.address(), "honest");
    let alone = honest.rate(3, Duration::from_millis(300));
    target.forget_peak();
    let before = target.resident();
    let sent = 7 << 20;
    let mut begun = vec![0; sent];
    (&mut begun[..]).put_i32(request);
    let senders = scaled(30, 200);
    // Of the budget's rest, of the one that goes on although there is none, and of what the kernel holds.
    let fit = usize::try_from(queued).unwrap() / sent + 2;
    for round in 0..scaled(1, 3) {
        let mut crowd = Crowd::new(target.address());
        let began = Instant::now();
        crowd.add(senders, &Does::Drips(begun.clone().into()));
        let_pass(Duration::from_secs(6));
        let during = honest.rate(3, Duration::from_millis(300));
        let (taken, hung_up) = (crowd.taken(), crowd.closed());
        report(&format!(
            "{senders} that stop after 7 of 8 MiB, round {round}: {:.1} MiB resident before, at most {:.1}; honest rate \
             {during:.0}/s, alone {alone:.0}; {taken} were read, {hung_up} hung up on",
            mib(before),
            mib(target.peak()),
        ));
        assert!(during > 0.0, "an honest client gets through");
        // Besides them those that were hung up on, for being slow with what others waited for.
        assert!(
            taken <= hung_up + fit,
            "{taken} were read; {fit} fit, {hung_up} were hung up on"
        );
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
        let slow = (fit + 1) * (seconds / 3 + 1);
        assert!(hung_up <= slow, "{hung_up} were hung up on within {seconds} s");
    }
    let allowed = before + queued + u64::try_from(request).unwrap() + (16 << 20);
    assert!(target.peak() < allowed, "{} above {allowed}", target.peak());
    drop(honest);
    target.holds("requests beyond the budget");
}

#[test]
fn waiting_fetches_cost_little() {
    let Some(mut target) = Target::start("overload-waiting", &[]) else {
        return;
    };
    target.topic("quiet");
    let mut body = BytesMut::new();
    body.put_slice(&[255, 255, 255, 255, 127, 0, 0, 0, 0, 0, 0, 1]);
    // One partition to wait for, and names of topics without any.
    let names = 1_500;
    body.put_i32(names + 1);
    put_text(&mut body, "quiet");
    body.put_i32(1);
    body.put_slice(&[0; 15]);
    body.put_u8(100);
    for name in 0..names {
        put_text(&mut body, &format!("{name:x}"));
        body.put_i32(0);
    }
    let fetch = frame(ApiKey::Fetch, 0, &body);
    let len = fetch.len();
    target.forget_peak();
    let before = target.resident();
    let waiting = scaled(1_000, 5_000);
    let mut crowd = Crowd::new(target.address());
    crowd.add(waiting, &Does::Repeats(fetch.into()));
    let_pass(Duration::from_secs(6));
    let received = u64::try_from(waiting * len).unwrap();
    let (peak, allowed) = (target.peak(), before + ALLOWANCE + RATIO * received);
    report(&format!(
        "{waiting} fetches of {names} topics that wait: {:.1} MiB resident before, at most {:.1}; {} hung up on",
        mib(before),
        mib(peak),
        crowd.closed()
    ));
    assert!(peak < allowed, "{peak}, not below {allowed}");
    target.holds("waiting fetches");
}

#[test]
fn asking_for_many_topics_creates_few_at_a_time() {
    let Some(mut target) = Target::start("overload-create", &[]) else {
        return;
    };
    let mut client = Client::connect(target.address());
    client
        .socket
        .write_all(&list((ApiKey::Metadata, 0), MANY))
        .unwrap();
    let (_, answer) = decode_response::<MetadataResponse>(client.frame().unwrap()).unwrap();
    assert_eq!(answer.topics.len(), MANY);
    assert!(
        answer
            .topics
            .iter()
            .all(|topic| matches!(topic.error, ErrorCode::None | ErrorCode::LeaderNotAvailable))
    );
    let there = wire::metadata(target.address()).unwrap().topics.len();
    report(&format!(
        "metadata of {MANY} topics created {there}; at most {:.1} MiB resident",
        mib(target.peak())
    ));
    assert!(there <= 100, "{there} topics were created");
    target.holds("the creation of many topics");
}

#[test]
fn refusals_do_not_fill_the_log() {
    let Some(mut target) = Target::start("overload-refusals", &[]) else {
        return;
    };
    for number in 0..1_000 {
        let mut client = Client::connect(target.address());
        let mut request = BytesMut::new();
        request.put_i32(0);
        request.put_slice(b"\0\x12\0\0\0\0\0\x01");
        put_text(&mut request, &format!("{number}{}", "x".repeat(5_000)));
        let len = request.len() - 4;
        (&mut request[..]).put_i32(i32::try_from(len).unwrap());
        client.socket.write_all(&request).unwrap();
        assert!(client.is_closed());
    }
    let output = target.broker.output();
    let lines = output
        .lines()
        .filter(|line| line.contains("refused") || line.contains("connection closed"));
    let (count, bytes) = lines.fold((0, 0), |(count, bytes), line| (count + 1, bytes + line.len()));
    assert!(count <= 101 && bytes < 100_000, "{count} lines, {bytes} bytes");
    target.holds("refusals");
}
