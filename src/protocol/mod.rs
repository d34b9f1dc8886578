//! What processes say to each other: bytes to values and back, without sockets and clocks.
//!
//! No wire constant leaves this module. Requests are read as 0.8.2.2 reads them: versions are mostly ignored, surplus
//! bytes always, and what can't be read costs the sender its connection. Responses are read strictly.

mod codec;
pub mod consumer_metadata;
pub mod controlled_shutdown;
pub mod error;
pub mod error_code;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod heartbeat;
pub mod join_group;
pub mod leader_and_isr;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_fetch;
pub mod produce;
pub mod stop_replica;
#[cfg(test)]
mod tests;
pub mod update_metadata;

use bytes::Buf;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

use crate::protocol::codec::Parsed;
pub use crate::protocol::error::DecodeError;
pub use crate::protocol::error::DecodeFailure;
use crate::protocol::error::malformed;
use crate::protocol::error::whole_body;
pub use crate::protocol::error_code::ErrorCode;
pub use crate::protocol::frame::Chunk;
pub use crate::protocol::frame::ResponseFrame;
use crate::protocol::frame::SIZE_LEN;
use crate::protocol::frame::put_size;
pub use crate::protocol::header::RequestHeader;
use crate::protocol::offset_commit::OffsetStorage;

/// Something about partitions, grouped by topic. Clients may name a null topic, which is echoed.
pub type ByTopic<P> = Vec<(Option<String>, Vec<P>)>;

/// Room that is made for a frame; most need less.
const FRAME_LEN: usize = 256;

/// The APIs of 0.8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ApiKey {
    /// Appending messages.
    Produce = 0,
    /// Reading messages.
    Fetch = 1,
    /// Finding offsets by time.
    ListOffsets = 2,
    /// Who leads what.
    Metadata = 3,
    /// Controller to broker: lead, follow.
    LeaderAndIsr = 4,
    /// Controller to broker: stop, delete.
    StopReplica = 5,
    /// Controller to broker: what to tell clients.
    UpdateMetadata = 6,
    /// Broker to controller: about to stop.
    ControlledShutdown = 7,
    /// Storing a group's offsets.
    OffsetCommit = 8,
    /// Reading a group's offsets.
    OffsetFetch = 9,
    /// Who keeps a group's offsets.
    ConsumerMetadata = 10,
    /// Refused.
    JoinGroup = 11,
    /// Refused.
    Heartbeat = 12,
}

impl ApiKey {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::LeaderAndIsr,
        Self::StopReplica,
        Self::UpdateMetadata,
        Self::ControlledShutdown,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::ConsumerMetadata,
        Self::JoinGroup,
        Self::Heartbeat,
    ];

    /// Its number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The API with this number, if 0.8.2.2 has it.
    pub fn from_code(code: i16) -> Option<Self> {
        usize::try_from(code)
            .ok()
            .and_then(|code| Self::ALL.get(code))
            .copied()
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ListOffsets => "Offsets",
            Self::Metadata => "Metadata",
            Self::LeaderAndIsr => "LeaderAndIsr",
            Self::StopReplica => "StopReplica",
            Self::UpdateMetadata => "UpdateMetadata",
            Self::ControlledShutdown => "ControlledShutdown",
            Self::OffsetCommit => "OffsetCommit",
            Self::OffsetFetch => "OffsetFetch",
            Self::ConsumerMetadata => "ConsumerMetadata",
            Self::JoinGroup => "JoinGroup",
            Self::Heartbeat => "Heartbeat",
        }
    }
}

/// What every request type states about itself.
pub trait Api: Sized {
    /// Its number.
    const KEY: ApiKey;
    /// The version that our client speaks.
    const VERSION: i16 = 0;
    /// The answer it gets.
    type Response: DecodeResponse;

    /// The version of this very request.
    fn version(&self) -> i16 {
        Self::VERSION
    }

    /// Writes what comes after the header.
    fn encode_body(&self, buf: &mut BytesMut);
}

/// An answer that can be read. Surplus bytes are an error: that is how mistakes in a layout show.
pub trait DecodeResponse: Sized {
    /// Reads what comes after the correlation id.
    fn decode(body: &Bytes) -> Result<Self, DecodeError>;
}

/// An answer that needs nothing but its bytes to be read.
trait ParseResponse: Sized {
    fn parse(input: &[u8]) -> Parsed<'_, Self>;
}

impl<R: ParseResponse> DecodeResponse for R {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole_body(body, Self::parse)
    }
}

/// Declares the enum of all requests or responses, and the way into it from each.
macro_rules! by_api {
    ($(#[$doc:meta])* $name:ident { $($api:ident($module:ident :: $type:ident),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "each is documented as an `ApiKey`")]
        pub enum $name {
            $($api($module::$type),)*
        }

        impl $name {
            /// The API it belongs to.
            pub fn key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)*
                }
            }
        }

        $(impl From<$module::$type> for $name {
            fn from(value: $module::$type) -> Self {
                Self::$api(value)
            }
        })*
    };
}

by_api! {
    /// A request, whichever it is.
    Request {
        Produce(produce::ProduceRequest),
        Fetch(fetch::FetchRequest),
        ListOffsets(list_offsets::ListOffsetsRequest),
        Metadata(metadata::MetadataRequest),
        LeaderAndIsr(leader_and_isr::LeaderAndIsrRequest),
        StopReplica(stop_replica::StopReplicaRequest),
        UpdateMetadata(update_metadata::UpdateMetadataRequest),
        ControlledShutdown(controlled_shutdown::ControlledShutdownRequest),
        OffsetCommit(offset_commit::OffsetCommitRequest),
        OffsetFetch(offset_fetch::OffsetFetchRequest),
        ConsumerMetadata(consumer_metadata::ConsumerMetadataRequest),
        JoinGroup(join_group::JoinGroupRequest),
        Heartbeat(heartbeat::HeartbeatRequest),
    }
}

by_api! {
    /// A response, whichever it is.
    Response {
        Produce(produce::ProduceResponse),
        Fetch(fetch::FetchResponse),
        ListOffsets(list_offsets::ListOffsetsResponse),
        Metadata(metadata::MetadataResponse),
        LeaderAndIsr(leader_and_isr::LeaderAndIsrResponse),
        StopReplica(stop_replica::StopReplicaResponse),
        UpdateMetadata(update_metadata::UpdateMetadataResponse),
        ControlledShutdown(controlled_shutdown::ControlledShutdownResponse),
        OffsetCommit(offset_commit::OffsetCommitResponse),
        OffsetFetch(offset_fetch::OffsetFetchResponse),
        ConsumerMetadata(consumer_metadata::ConsumerMetadataResponse),
        JoinGroup(join_group::JoinGroupResponse),
        Heartbeat(heartbeat::HeartbeatResponse),
    }
}

/// What a frame, without its size, asks for: as much as can be told before it is decoded.
pub fn api_key(frame: &[u8]) -> Option<ApiKey> {
    let code = frame.first_chunk()?;
    ApiKey::from_code(i16::from_be_bytes(*code))
}

/// Reads a request out of a frame, without the frame's size. Message sets are split off the frame, not copied.
pub fn decode_request(frame: BytesMut) -> Result<(RequestHeader, Request), DecodeError> {
    let (body, header) = RequestHeader::parse(&frame).map_err(|error| malformed(&frame, error))?;
    let failed = |failure| DecodeError {
        header: Some(header.clone()),
        failure,
    };
    let key =
        ApiKey::from_code(header.api_key).ok_or_else(|| failed(DecodeFailure::UnknownApi(header.api_key)))?;
    let decoded = decode_body(key, header.api_version, body).map_err(|error| match error {
        BodyError::Version => failed(DecodeFailure::UnknownVersion(header.api_version)),
        BodyError::Malformed(error) => failed(malformed(&frame, error)),
    })?;
    let request = match decoded {
        Decoded::Whole(request) => request,
        Decoded::InFrame(located) => located.split(frame).into(),
    };
    Ok((header, request))
}

/// A body that was read.
enum Decoded {
    /// It is a request now.
    Whole(Request),
    /// Its message sets are still in the frame.
    InFrame(produce::Located),
}

/// Why a body could not be read.
enum BodyError<'a> {
    Version,
    Malformed(nom::Err<nom::error::Error<&'a [u8]>>),
}

impl<'a> From<nom::Err<nom::error::Error<&'a [u8]>>> for BodyError<'a> {
    fn from(error: nom::Err<nom::error::Error<&'a [u8]>>) -> Self {
        Self::Malformed(error)
    }
}

/// The table of what is read how. Only commits refuse versions that they don't know; to 0.8.2.2 everything else is
/// version 0, and a version of OffsetFetch says where to look.
fn decode_body(key: ApiKey, version: i16, body: &[u8]) -> Result<Decoded, BodyError<'_>> {
    Ok(Decoded::Whole(match key {
        ApiKey::Produce => return Ok(Decoded::InFrame(produce::Located::parse(body)?.1)),
        ApiKey::Fetch => fetch::FetchRequest::parse(body)?.1.into(),
        ApiKey::ListOffsets => list_offsets::ListOffsetsRequest::parse(body)?.1.into(),
        ApiKey::Metadata => metadata::MetadataRequest::parse(body)?.1.into(),
        ApiKey::LeaderAndIsr => leader_and_isr::LeaderAndIsrRequest::parse(body)?.1.into(),
        ApiKey::StopReplica => stop_replica::StopReplicaRequest::parse(body)?.1.into(),
        ApiKey::UpdateMetadata => update_metadata::UpdateMetadataRequest::parse(body)?.1.into(),
        ApiKey::ControlledShutdown => controlled_shutdown::ControlledShutdownRequest::parse(body)?
            .1
            .into(),
        ApiKey::OffsetCommit => {
            let storage = match version {
                0 => OffsetStorage::ZooKeeper,
                1 => OffsetStorage::Kafka,
                _ => return Err(BodyError::Version),
            };
            offset_commit::OffsetCommitRequest::parse(storage, body)?.1.into()
        }
        ApiKey::OffsetFetch => {
            let storage = match version {
                0 => OffsetStorage::ZooKeeper,
                _ => OffsetStorage::Kafka,
            };
            offset_fetch::OffsetFetchRequest::parse(storage, body)?.1.into()
        }
        ApiKey::ConsumerMetadata => consumer_metadata::ConsumerMetadataRequest::parse(body)?.1.into(),
        ApiKey::JoinGroup => join_group::JoinGroupRequest::parse(body)?.1.into(),
        ApiKey::Heartbeat => heartbeat::HeartbeatRequest::parse(body)?.1.into(),
    }))
}

/// Writes a request as a whole frame, its size included.
pub fn encode_request<A: Api>(correlation_id: i32, client_id: Option<&str>, request: &A) -> BytesMut {
    let mut buf = BytesMut::with_capacity(FRAME_LEN);
    buf.put_i32(0);
    RequestHeader::put(&mut buf, A::KEY, request.version(), (correlation_id, client_id));
    request.encode_body(&mut buf);
    let len = buf.len() - SIZE_LEN;
    put_size(&mut buf, len);
    buf
}

/// Reads a response out of a frame, without the frame's size; gives its correlation id, too.
pub fn decode_response<R: DecodeResponse>(mut frame: Bytes) -> Result<(i32, R), DecodeError> {
    let correlation_id = frame
        .try_get_i32()
        .map_err(|_| DecodeFailure::Malformed { at: 0 })?;
    Ok((correlation_id, R::decode(&frame)?))
}

impl Response {
    /// Writes the response as a whole frame, its size included.
    pub fn encode(self, correlation_id: i32) -> ResponseFrame {
        let mut buf = BytesMut::with_capacity(FRAME_LEN);
        buf.put_i32(0);
        buf.put_i32(correlation_id);
        match self {
            Self::Produce(response) => response.put(&mut buf),
            Self::Fetch(response) => return response.encode(correlation_id),
            Self::ListOffsets(response) => response.put(&mut buf),
            Self::Metadata(response) => response.put(&mut buf),
            Self::LeaderAndIsr(response) => response.put(&mut buf),
            Self::StopReplica(response) => response.put(&mut buf),
            Self::UpdateMetadata(response) => response.put(&mut buf),
            Self::ControlledShutdown(response) => response.put(&mut buf),
            Self::OffsetCommit(response) => response.put(&mut buf),
            Self::OffsetFetch(response) => response.put(&mut buf),
            Self::ConsumerMetadata(response) => response.put(&mut buf),
            Self::JoinGroup(response) => response.put(&mut buf),
            Self::Heartbeat(response) => response.put(&mut buf),
        }
        let len = buf.len() - SIZE_LEN;
        put_size(&mut buf, len);
        ResponseFrame {
            chunks: vec![Chunk::Bytes(buf.freeze())],
        }
    }
}
