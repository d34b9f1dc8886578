//! What a request is counted as.

use crate::metrics::RequestKind;
use crate::protocol::Request;
use crate::protocol::fetch::Reader;

/// A fetch is counted by who fetches, every other request by its API.
pub(super) fn request_kind(request: &Request) -> RequestKind {
    match request {
        Request::Produce(_) => RequestKind::Produce,
        Request::Fetch(fetch) => match fetch.reader {
            Reader::Follower(_) => RequestKind::FetchFollower,
            Reader::Consumer | Reader::DebuggingConsumer => RequestKind::FetchConsumer,
        },
        Request::ListOffsets(_) => RequestKind::Offsets,
        Request::Metadata(_) => RequestKind::Metadata,
        Request::LeaderAndIsr(_) => RequestKind::LeaderAndIsr,
        Request::StopReplica(_) => RequestKind::StopReplica,
        Request::UpdateMetadata(_) => RequestKind::UpdateMetadata,
        Request::ControlledShutdown(_) => RequestKind::ControlledShutdown,
        Request::OffsetCommit(_) => RequestKind::OffsetCommit,
        Request::OffsetFetch(_) => RequestKind::OffsetFetch,
        Request::ConsumerMetadata(_) => RequestKind::ConsumerMetadata,
        Request::JoinGroup(_) => RequestKind::JoinGroup,
        Request::Heartbeat(_) => RequestKind::Heartbeat,
    }
}
