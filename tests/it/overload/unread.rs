//! Answers that nobody reads stay few, and in the sockets.

use std::time::Duration;

use bytes::Bytes;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::ListOffsetsRequest;
use gregor::protocol::list_offsets::OffsetSpec;
use gregor::protocol::list_offsets::PartitionOffsets;
use gregor::protocol::metadata::MetadataRequest;

use super::crowd::Crowd;
use super::crowd::Does;
use super::honest::Honest;
use super::target::PATIENCE;
use super::target::Target;
use super::target::mib;
use super::target::produce;
use super::target::report;
use super::target::scaled;
use super::target::set;
use crate::support::eventually::eventually;

/// Partitions of each topic, so that to tell about one takes a while.
const PARTITIONS: usize = 500;

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let settings = [("num.partitions", "500")];
    let Some(mut target) = Target::start("overload-unread", &settings) else {
        return;
    };
    target.topic_of("honest", PARTITIONS);
    let honest = Honest::start(target.address(), "honest");
    let alone = honest.rate(3, Duration::from_millis(300));
    let produces = encode_request(1, None, &produce("honest", set(1, 10)));
    let metadata = encode_request(1, None, &MetadataRequest { topics: vec![] });
    let offsets = ListOffsetsRequest {
        reader: Reader::Consumer,
        topics: vec![(
            Some("honest".to_owned()),
            (0..500)
                .map(|partition| PartitionOffsets {
                    partition,
                    at: OffsetSpec::Latest,
                    max_offsets: 1,
                })
                .collect(),
        )],
    };
    let offsets = encode_request(1, None, &offsets);
    let (few, many) = (scaled(20, 100), scaled(300, 3_000));
    for (what, clients, request, times) in [
        ("produce requests", few, produces, 10_000),
        ("metadata requests", many, metadata, 1_000),
        ("offset requests", few, offsets, 10),
    ] {
        target.forget_peak();
        let before = target.resident();
        let mut crowd = Crowd::new(target.address());
        let pipelined: Bytes = request.repeat(times).into();
        crowd.add(clients, &Does::Repeats(pipelined));
        // What fits into the sockets is handled, like any load; then nothing more.
        let rate = eventually("it is quiet again", PATIENCE, || {
            let rate = honest.rate(3, Duration::from_millis(300));
            if rate > alone / 2.0 { Ok(rate) } else { Err(rate) }
        });
        report(&format!(
            "{clients} that send {what} and read nothing: {:.1} MiB resident before, at most {:.1}; honest rate {rate:.0}/s, \
             alone {alone:.0}; {} hung up on",
            mib(before),
            mib(target.peak()),
            crowd.closed()
        ));
        drop(crowd);
        target.holds(what);
    }
}
