//! An honest client keeps its rate, and the broker its size, whatever other connections do.

use std::time::Duration;

use bytes::BufMut;
use bytes::BytesMut;
use gregor::protocol::ErrorCode;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::fetch::Reader;

use super::crowd::Crowd;
use super::crowd::Does;
use super::crowd::loopback;
use super::honest::Honest;
use super::target::Client;
use super::target::PATIENCE;
use super::target::Target;
use super::target::connections_max;
use super::target::let_pass;
use super::target::mib;
use super::target::produce;
use super::target::report;
use super::target::scaled;
use super::target::set;
use crate::support::eventually::eventually;
use crate::support::segments::segments;

/// What the honest client must keep of its rate.
const SHARE: f64 = 0.8;

/// Other processes disturb a measurement: only one that fails every time is believed.
const ATTEMPTS: usize = 4;

/// Where the address is that may have but a few connections, and how many.
const LIMITED: (&str, usize) = ("127.9.0.1", 5);

const OPEN: &str = "kafka_network_connections ";
const WITHOUT_DESCRIPTOR: &str = "kafka_network_connections_closed_total{reason=\"open_files\"}";
const REFUSED: &str = "kafka_network_connections_closed_total{reason=\"per_ip_limit\"}";

/// The beginning of a produce request that announces `announced` bytes: `len` bytes of it.
fn beginning(announced: i32, len: usize) -> bytes::Bytes {
    let mut request = encode_request(1, Some("boaster"), &produce("bulk", set(1, len)));
    request.truncate(len.max(4));
    (&mut request[..4]).put_i32(announced);
    request.freeze()
}

/// A fetch of the megabyte at the start of a topic.
fn fetch(topic: &str) -> BytesMut {
    let request = FetchRequest {
        reader: Reader::Consumer,
        max_wait: Duration::ZERO,
        min_bytes: 1,
        topics: vec![(
            Some(topic.to_owned()),
            vec![PartitionFetch {
                partition: 0,
                offset: 0,
                max_bytes: 1 << 20,
            }],
        )],
    };
    encode_request(1, Some("deaf"), &request)
}

fn target(test: &str) -> Option<Target> {
    let overrides = format!("{}:{}", LIMITED.0, LIMITED.1);
    let settings = [
        ("max.connections.per.ip", "1000"),
        ("max.connections.per.ip.overrides", &overrides),
    ];
    let target = Target::start(test, &settings)?;
    target.topic("honest");
    target.topic("bulk");
    let mut client = Client::connect(target.address());
    for _ in 0..4 {
        client.ask(&produce("bulk", set(500, 1000)));
    }
    Some(target)
}

/// Measures the honest client alone, beside what `gather` brings, and alone again.
fn beside(target: &mut Target, what: &str, gather: impl Fn(&mut Crowd)) {
    let (windows, window) = (
        scaled(3, 7),
        Duration::from_millis(if super::target::long() { 1000 } else { 400 }),
    );
    let honest = Honest::start(target.address(), "honest");
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let_pass(window / 2);
        let before = honest.rate(windows, window);
        target.forget_peak();
        let mut crowd = Crowd::new(target.address());
        gather(&mut crowd);
        let_pass(window);
        let during = honest.rate(windows, window);
        let (open, hung_up) = (target.metric(OPEN), crowd.closed());
        let (staying, lost) = crowd.staying();
        assert_eq!(lost, 0, "{what}: of {staying} that had done nothing wrong");
        let staying = f64::from(u32::try_from(staying).unwrap());
        assert!(
            open >= staying,
            "{what}: {open} connections, {staying} are to be there"
        );
        drop(crowd);
        target.wait_for(OPEN, |open| open <= 3.0);
        let after = honest.rate(windows, window);
        target.holds(what);
        // Among other tests the rate alone doubles when one of them ends meanwhile.
        let alone = if super::target::long() {
            f64::midpoint(before, after)
        } else {
            before.min(after)
        };
        last = format!(
            "{what}: {during:.0} rounds/s beside {open} connections, {alone:.0} alone ({before:.0}, {after:.0}): \
             {:.0} %; at most {:.1} MiB resident; {hung_up} hung up on; attempt {attempt} of {ATTEMPTS}",
            100.0 * during / alone,
            mib(target.peak())
        );
        report(&last);
        if during >= SHARE * alone {
            return;
        }
    }
    panic!("{last}");
}

#[test]
fn an_honest_client_keeps_its_rate_beside_all_others() {
    let Some(mut target) = target("overload-connections") else {
        return;
    };
    let (wanted, possible) = (scaled(1_000, 10_000), connections_max() - 2_000);
    assert!(
        possible >= wanted || !super::target::long(),
        "{wanted} connections want more open files: ulimit -Hn"
    );
    let idle = wanted.min(possible);
    let (dripping, deaf, boasting) = (scaled(200, 1_000), scaled(20, 100), scaled(20, 100));
    let idles = |crowd: &mut Crowd| crowd.add_to_stay(idle, &Does::Idles);
    // What is received of these takes memory: who is so slow with it is hung up on once others wait for that.
    let large = [(60_000, 50_000), (1 << 20, 100_000)];
    let drips_little = |crowd: &mut Crowd| {
        for (announced, sent) in [(1_000, 20), (100 << 20, 4)] {
            crowd.add_to_stay(dripping / 4, &Does::Drips(beginning(announced, sent)));
        }
    };
    let drips = |crowd: &mut Crowd| {
        drips_little(crowd);
        for (announced, sent) in large {
            crowd.add(dripping / 4, &Does::Drips(beginning(announced, sent)));
        }
    };
    let drips_what_fits = |crowd: &mut Crowd| {
        drips_little(crowd);
        let (announced, sent) = large[0];
        crowd.add_to_stay(dripping / 4, &Does::Drips(beginning(announced, sent)));
    };
    let reads_nothing =
        |crowd: &mut Crowd| crowd.add(deaf, &Does::Repeats(fetch("bulk").repeat(1_000).into()));
    let boasts = |crowd: &mut Crowd| {
        crowd.add(boasting / 2, &Does::Drips(beginning(100 << 20, 4)));
        crowd.add(boasting / 2, &Does::Drips(beginning(100 << 20, 200_000)));
    };
    let storms = |crowd: &mut Crowd| {
        crowd.storm(loopback(2, 1), 250);
        crowd.storm(LIMITED.0.parse().unwrap(), 250);
    };
    if super::target::long() {
        beside(&mut target, &format!("{idle} idle"), idles);
        for (count, gather) in [
            (dripping / 4 * 3, &drips_what_fits as &dyn Fn(&mut Crowd)),
            (dripping, &drips),
        ] {
            beside(&mut target, &format!("{count} that send a byte a second"), gather);
        }
        beside(
            &mut target,
            &format!("{deaf} consumers that read nothing"),
            reads_nothing,
        );
        beside(&mut target, &format!("{boasting} that announce 100 MiB"), boasts);
        beside(&mut target, "500 new connections a second", storms);
    }
    beside(&mut target, "all of them", |crowd| {
        idles(crowd);
        drips(crowd);
        reads_nothing(crowd);
        boasts(crowd);
        storms(crowd);
    });
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let Some(mut target) = target("overload-per-ip") else {
        return;
    };
    let before = target.metric(OPEN);
    let crowd = Crowd::new(target.address());
    crowd.storm(LIMITED.0.parse().unwrap(), 1_000);
    target.wait_for(REFUSED, |refused| refused > 500.0);
    for _ in 0..20 {
        let open = target.metric(OPEN);
        assert!(
            open <= before + f64::from(u32::try_from(LIMITED.1).unwrap()),
            "{open} are open"
        );
    }
    drop(crowd);
    eventually("they are all gone", PATIENCE, || {
        let open = target.metric(OPEN);
        if open <= before { Ok(()) } else { Err(open) }
    });
    target.holds("a storm from an address with a limit");
}

/// Connections beyond the limit are refused, and what the broker has accepted it can still store in new files.
#[test]
fn connections_leave_open_files_for_the_logs() {
    let settings = [("log.segment.bytes", "100000")];
    let Some(mut target) = Target::start("overload-open-files", &settings) else {
        return;
    };
    assert!(target.broker.stop().success());
    target.broker.run_under(&["prlimit", "--nofile=300:300"]);
    target.broker.start_again();
    target.topic("honest");
    let mut honest = Client::connect(target.address());
    honest.ask(&produce("honest", set(1, 100)));
    let mut crowd = Crowd::new(target.address());
    crowd.add(400, &Does::Idles);
    target.wait_for(WITHOUT_DESCRIPTOR, |refused| refused > 100.0);
    for _ in 0..100 {
        let answer = honest.ask(&produce("honest", set(10, 1000)));
        assert_eq!(answer.topics[0].1[0].error, ErrorCode::None);
    }
    let partition = target.broker.data().join("honest-0");
    assert!(segments(&partition).len() > 8, "each takes new files");
    drop(crowd);
    eventually("others may connect again", PATIENCE, || {
        Client::connect(target.address()).try_ask(&produce("honest", set(1, 100)))
    });
    target.holds("more connections than open files");
    assert!(target.broker.output().contains("refusing connections"));
}
