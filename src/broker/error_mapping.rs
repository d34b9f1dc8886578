//! Failures of the modules below -> the codes clients know.

use crate::broker::offsets;
use crate::log;
use crate::message;
use crate::protocol::ErrorCode;
use crate::replication;

/// The code that stands for a failed append, fetch or look-up.
pub(crate) fn code_of(error: &replication::Error) -> ErrorCode {
    match error {
        replication::Error::NotLeader | replication::Error::OldConnection => ErrorCode::NotLeaderForPartition,
        replication::Error::NoReplica => ErrorCode::ReplicaNotAvailable,
        replication::Error::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        replication::Error::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
        // 0.8.2.2 has no code for these.
        replication::Error::NotAFollower(_)
        | replication::Error::NotCommitted { .. }
        | replication::Error::Incomplete { .. }
        | replication::Error::NegativeFetchSize(_) => ErrorCode::Unknown,
        replication::Error::Message(error) => code_of_message(error),
        replication::Error::Log(error) => code_of_log(error),
    }
}

/// Whether the disk failed, so that the broker must stop.
pub(crate) fn is_fatal(error: &replication::Error) -> bool {
    matches!(error, replication::Error::Log(log::Error::Io { .. }))
}

/// As [`is_fatal`], for a commit.
pub(crate) fn is_fatal_to_offsets(error: &offsets::Error) -> bool {
    matches!(error, offsets::Error::Append(error) if is_fatal(error))
}

fn code_of_log(error: &log::Error) -> ErrorCode {
    match error {
        log::Error::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        log::Error::SetTooLarge { .. } => ErrorCode::MessageSetSizeTooLarge,
        log::Error::Message(error) => code_of_message(error),
        _ => ErrorCode::Unknown,
    }
}

fn code_of_message(error: &message::Error) -> ErrorCode {
    match error {
        message::Error::TooSmall { .. } | message::Error::Crc { .. } => ErrorCode::InvalidMessage,
        message::Error::TooLarge { .. } | message::Error::SetTooLarge { .. } => {
            ErrorCode::MessageSizeTooLarge
        }
        message::Error::UnknownCodec(_)
        | message::Error::Decompress(..)
        | message::Error::TooDeep { .. }
        | message::Error::OffsetsExhausted { .. }
        | message::Error::Compress(_) => ErrorCode::Unknown,
    }
}

/// The code that stands for a failed commit or fetch of a group's positions.
pub(crate) fn code_of_offsets(error: &offsets::Error) -> ErrorCode {
    match error {
        offsets::Error::CoordinatorNotAvailable => ErrorCode::ConsumerCoordinatorNotAvailable,
        offsets::Error::NotCoordinator => ErrorCode::NotCoordinatorForConsumer,
        offsets::Error::Loading => ErrorCode::OffsetsLoadInProgress,
        offsets::Error::TimedOut => ErrorCode::RequestTimedOut,
        offsets::Error::MetadataTooLong(_) => ErrorCode::OffsetMetadataTooLarge,
        offsets::Error::NameTooLong => ErrorCode::Unknown,
        offsets::Error::Append(error) => code_of(error),
    }
}
