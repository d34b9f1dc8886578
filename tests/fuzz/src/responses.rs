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

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let api = ApiKey::ALL[usize::from(input.byte()) % ApiKey::ALL.len()];
    let frame = input.0;
    let holds = match api {
        ApiKey::Produce => holds_for::<ProduceResponse>,
        ApiKey::Fetch => {
            return holds_as(frame, |response: FetchResponse<Bytes>, id| response.encode(id));
        }
        ApiKey::ListOffsets => holds_for::<ListOffsetsResponse>,
        ApiKey::Metadata => holds_for::<MetadataResponse>,
        ApiKey::LeaderAndIsr => holds_for::<LeaderAndIsrResponse>,
        ApiKey::StopReplica => holds_for::<StopReplicaResponse>,
        ApiKey::UpdateMetadata => holds_for::<UpdateMetadataResponse>,
        ApiKey::ControlledShutdown => holds_for::<ControlledShutdownResponse>,
        ApiKey::OffsetCommit => holds_for::<OffsetCommitResponse>,
        ApiKey::OffsetFetch => holds_for::<OffsetFetchResponse>,
        ApiKey::ConsumerMetadata => holds_for::<ConsumerMetadataResponse>,
        ApiKey::JoinGroup => holds_for::<JoinGroupResponse>,
        ApiKey::Heartbeat => holds_for::<HeartbeatResponse>,
    };
    holds(frame);
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
    let seed = |exchange: fixtures::Exchange| {
        let api = exchange.request.get(1)?;
        (!exchange.response.is_empty()).then(|| [vec![*api], exchange.response].concat())
    };
    let exchanges = fixtures::exchanges(folder).into_iter();
    let mut seeds: Vec<_> = exchanges.filter_map(seed).collect();
    seeds.retain(|seed| seed.len() < 10_000);
    seeds
}
