//! Answers to our own requests, chosen by the first byte: refused, or read as something that is written as it was read.

use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use bytes::BytesMut;
use gregor::protocol::ApiKey;
use gregor::protocol::Chunk;
use gregor::protocol::DecodeResponse;
use gregor::protocol::Response;
use gregor::protocol::ResponseFrame;
use gregor::protocol::consumer_metadata::ConsumerMetadataResponse;
use gregor::protocol::controlled_shutdown::ControlledShutdownResponse;
use gregor::protocol::decode_response;
use gregor::protocol::fetch::FetchResponse;
use gregor::protocol::heartbeat::HeartbeatResponse;
use gregor::protocol::join_group::JoinGroupResponse;
use gregor::protocol::leader_and_isr::LeaderAndIsrResponse;
use gregor::protocol::list_offsets::ListOffsetsResponse;
use gregor::protocol::metadata::MetadataResponse;
use gregor::protocol::offset_commit::OffsetCommitResponse;
use gregor::protocol::offset_fetch::OffsetFetchResponse;
use gregor::protocol::produce::ProduceResponse;
use gregor::protocol::stop_replica::StopReplicaResponse;
use gregor::protocol::update_metadata::UpdateMetadataResponse;

use super::fixtures;
use super::input::Input;
use super::requests::memory;
use super::within;

/// Calls a function for the type of an API's responses; another one for those of fetches, which may come from files.
macro_rules! for_api {
    ($api:expr, $function:ident, $fetch:expr) => {
        match $api {
            ApiKey::Produce => $function::<ProduceResponse>,
            ApiKey::Fetch => $fetch,
            ApiKey::ListOffsets => $function::<ListOffsetsResponse>,
            ApiKey::Metadata => $function::<MetadataResponse>,
            ApiKey::LeaderAndIsr => $function::<LeaderAndIsrResponse>,
            ApiKey::StopReplica => $function::<StopReplicaResponse>,
            ApiKey::UpdateMetadata => $function::<UpdateMetadataResponse>,
            ApiKey::ControlledShutdown => $function::<ControlledShutdownResponse>,
            ApiKey::OffsetCommit => $function::<OffsetCommitResponse>,
            ApiKey::OffsetFetch => $function::<OffsetFetchResponse>,
            ApiKey::ConsumerMetadata => $function::<ConsumerMetadataResponse>,
            ApiKey::JoinGroup => $function::<JoinGroupResponse>,
            ApiKey::Heartbeat => $function::<HeartbeatResponse>,
        }
    };
}

fn api(number: u8) -> ApiKey {
    ApiKey::ALL[usize::from(number) % ApiKey::ALL.len()]
}

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let holds = for_api!(api(input.byte()), holds_for, holds_for_fetch);
    holds(input.0);
}

fn holds_for_fetch(frame: &[u8]) {
    holds_as(frame, |response: FetchResponse<Bytes>, id| response.encode(id));
}

/// Whether a seed is read.
pub(super) fn is_read(seed: &[u8]) -> bool {
    let mut seed = Input(seed);
    let is_read = for_api!(api(seed.byte()), is_read_as, is_read_as::<FetchResponse<Bytes>>);
    is_read(seed.0)
}

fn is_read_as<R: DecodeResponse>(frame: &[u8]) -> bool {
    let frame = Bytes::copy_from_slice(frame);
    within(memory(frame.len()), || decode_response::<R>(frame)).is_ok()
}

fn holds_for<R: DecodeResponse + Into<Response> + Clone + PartialEq + Debug>(frame: &[u8]) {
    holds_as(frame, |response: R, id| response.into().encode(id));
}

fn holds_as<R: DecodeResponse + Clone + PartialEq + Debug>(
    frame: &[u8],
    encode: fn(R, i32) -> ResponseFrame,
) {
    let bytes = Bytes::copy_from_slice(frame);
    let Ok((id, response)) = within(memory(frame.len()), || decode_response::<R>(bytes)) else {
        return;
    };
    let encoded = in_memory(encode(response.clone(), id));
    let (size, rest) = encoded.split_first_chunk().unwrap();
    assert_eq!(i32::from_be_bytes(*size) as usize, rest.len());
    let rest = Bytes::copy_from_slice(rest);
    assert_eq!(decode_response::<R>(rest.clone()), Ok((id, response)));

    let cut = rest.slice(..crc32fast::hash(frame) as usize % rest.len());
    assert!(decode_response::<R>(cut).is_err(), "every byte is needed");
    let longer = Bytes::from([&rest[..], &[0]].concat());
    assert!(decode_response::<R>(longer).is_err(), "and no more are");
}

fn in_memory(frame: ResponseFrame) -> Bytes {
    let mut bytes = BytesMut::new();
    for chunk in frame.chunks {
        match chunk {
            Chunk::Bytes(chunk) => bytes.extend_from_slice(&chunk),
            Chunk::File(_) => panic!("nothing here is in files"),
        }
    }
    bytes.freeze()
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let mut seeds = all(folder);
    seeds.retain(|seed| seed.len() < 10_000);
    seeds
}

/// Every answer.
pub(super) fn all(folder: &Path) -> Vec<Vec<u8>> {
    let seed = |exchange: fixtures::Exchange| {
        let api = exchange.request.get(1)?;
        (!exchange.response.is_empty()).then(|| [vec![*api], exchange.response].concat())
    };
    let exchanges = fixtures::exchanges(folder).into_iter();
    exchanges.filter_map(seed).collect()
}
