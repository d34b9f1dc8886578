//! Requests as they come out of frames: refused, or read as something that says the same when it is written again.

use std::path::Path;

use bytes::BytesMut;
use gregor::protocol::Request;
use gregor::protocol::RequestHeader;
use gregor::protocol::decode_request;
use gregor::protocol::encode_request;

use super::fixtures;
use super::within;

pub fn holds(input: &[u8]) {
    let frame = BytesMut::from(input);
    let decoded = within(memory(input.len()), || decode_request(frame));
    if let Ok((header, request)) = decoded {
        says_the_same_again(&header, &request, input);
    }
}

/// A name of one letter takes three bytes of a frame, and a string and a list in memory.
pub(super) fn memory(len: usize) -> usize {
    48 * len + 8192
}

macro_rules! with_every_api {
    ($macro:ident) => {
        $macro!(Produce Fetch ListOffsets Metadata LeaderAndIsr StopReplica UpdateMetadata ControlledShutdown
            OffsetCommit OffsetFetch ConsumerMetadata JoinGroup Heartbeat)
    };
}

pub(super) fn says_the_same_again(header: &RequestHeader, request: &Request, input: &[u8]) {
    let frame = encoded(header, request);
    let (known, again) = decode_request(frame[..].into()).unwrap();
    assert_eq!(known.correlation_id, header.correlation_id);
    assert_eq!(known.client_id, header.client_id);
    macro_rules! same {
        ($($api:ident)*) => {
            match (request, again) {
                $((Request::$api(request), Request::$api(again)) => assert_eq!(&again, request),)*
                (_, again) => panic!("{again:?} is of another API"),
            }
        };
    }
    with_every_api!(same);
    is_refused_when_cut(&frame, input);
}

/// A request as a frame without its size.
pub(super) fn encoded(header: &RequestHeader, request: &Request) -> Vec<u8> {
    macro_rules! encode {
        ($($api:ident)*) => {
            match request {
                $(Request::$api(request) => {
                    encode_request(header.correlation_id, header.client_id.as_deref(), request)
                })*
            }
        };
    }
    let encoded = with_every_api!(encode);
    encoded.get(4..).unwrap().to_vec()
}

/// Every byte that is written is needed. The input decides where to cut.
fn is_refused_when_cut(frame: &[u8], input: &[u8]) {
    let somewhere = crc32fast::hash(input) as usize % frame.len();
    for len in [somewhere, frame.len() - 1] {
        assert!(decode_request(frame[..len].into()).is_err(), "cut to {len} bytes");
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let exchanges = fixtures::exchanges(folder).into_iter();
    let mut seeds: Vec<_> = exchanges.map(|exchange| exchange.request).collect();
    seeds.retain(|seed| !seed.is_empty() && seed.len() < 10_000);
    // Topics without a name, which take two bytes each.
    let nameless = [
        &[0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7, 0][..],
        &[0xff; 2 * 7 * 256],
    ]
    .concat();
    seeds.push(nameless);
    seeds
}
