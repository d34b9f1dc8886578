//! What went wrong, as 0.8 numbers it.

use std::fmt;

/// An error code of the wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ErrorCode {
    /// A failure without a code of its own.
    Unknown = -1,
    /// Success.
    None = 0,
    /// The offset is not within the log.
    OffsetOutOfRange = 1,
    /// A checksum or a size is wrong.
    InvalidMessage = 2,
    /// The partition isn't here, or the topic isn't anywhere.
    UnknownTopicOrPartition = 3,
    /// Exists; never sent.
    InvalidFetchSize = 4,
    /// There is no leader at the moment, or not yet.
    LeaderNotAvailable = 5,
    /// The partition is here, its leader elsewhere.
    NotLeaderForPartition = 6,
    /// Not enough replicas had it in time.
    RequestTimedOut = 7,
    /// Exists; never sent.
    BrokerNotAvailable = 8,
    /// There is no replica here, or some replica is not alive.
    ReplicaNotAvailable = 9,
    /// A message is over the limit.
    MessageSizeTooLarge = 10,
    /// A newer controller has spoken before.
    StaleControllerEpoch = 11,
    /// The metadata of a committed offset is too long.
    OffsetMetadataTooLarge = 12,
    /// A newer leader was known before.
    StaleLeaderEpoch = 13,
    /// The coordinator still reads its offsets.
    OffsetsLoadInProgress = 14,
    /// There is no coordinator at the moment.
    ConsumerCoordinatorNotAvailable = 15,
    /// The coordinator is elsewhere.
    NotCoordinatorForConsumer = 16,
    /// The topic's name is not legal, or it is internal.
    InvalidTopic = 17,
    /// The set doesn't fit into a segment.
    MessageSetSizeTooLarge = 18,
    /// Too few replicas are in sync; nothing was appended.
    NotEnoughReplicas = 19,
    /// Too few replicas were in sync after the append.
    NotEnoughReplicasAfterAppend = 20,
}

impl ErrorCode {
    /// Every code, in order.
    pub const ALL: [Self; 22] = [
        Self::Unknown,
        Self::None,
        Self::OffsetOutOfRange,
        Self::InvalidMessage,
        Self::UnknownTopicOrPartition,
        Self::InvalidFetchSize,
        Self::LeaderNotAvailable,
        Self::NotLeaderForPartition,
        Self::RequestTimedOut,
        Self::BrokerNotAvailable,
        Self::ReplicaNotAvailable,
        Self::MessageSizeTooLarge,
        Self::StaleControllerEpoch,
        Self::OffsetMetadataTooLarge,
        Self::StaleLeaderEpoch,
        Self::OffsetsLoadInProgress,
        Self::ConsumerCoordinatorNotAvailable,
        Self::NotCoordinatorForConsumer,
        Self::InvalidTopic,
        Self::MessageSetSizeTooLarge,
        Self::NotEnoughReplicas,
        Self::NotEnoughReplicasAfterAppend,
    ];

    /// Its number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The error with this number; those of later releases are unknown.
    pub fn from_code(code: i16) -> Self {
        Self::ALL
            .into_iter()
            .find(|error| error.code() == code)
            .unwrap_or(Self::Unknown)
    }

    /// Whether it is none.
    pub fn is_none(self) -> bool {
        self == Self::None
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_run_from_minus_1_to_20() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|error| error.code()).collect();
        assert_eq!(codes, (-1..=20).collect::<Vec<_>>());
        for error in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(error.code()), error);
        }
        assert_eq!(ErrorCode::from_code(21), ErrorCode::Unknown);
    }
}
