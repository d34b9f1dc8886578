//! Why a partition could not do what was asked.

use crate::log;
use crate::message;
use crate::types::BrokerId;

/// Why a partition could not do what was asked. Callers answer each with a code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This broker has heard of the partition, but another one leads it.
    #[error("this broker is not the leader")]
    NotLeader,
    /// This broker keeps no replica of it.
    #[error("this broker keeps no replica")]
    NoReplica,
    /// Fewer replicas are in sync than the topic demands; nothing was written.
    #[error("{in_sync} replicas in sync, {required} required")]
    NotEnoughReplicas {
        /// Members of the ISR.
        in_sync: usize,
        /// The topic's `min.insync.replicas`.
        required: usize,
    },
    /// Written and replicated to the ISR, which meanwhile has fewer members than the topic demands.
    #[error("{in_sync} replicas in sync after the append, {required} required")]
    NotEnoughReplicasAfterAppend {
        /// Members of the ISR.
        in_sync: usize,
        /// The topic's `min.insync.replicas`.
        required: usize,
    },
    /// The sender asks as a follower but is not one of this partition.
    #[error("broker {0} is not a follower")]
    NotAFollower(BrokerId),
    /// The follower asks on a connection from before this leadership: what it has may not be the leader's.
    #[error("the follower's connection is older than the leadership")]
    OldConnection,
    /// A consumer asks between the high watermark and the log end offset.
    #[error("offset {asked} is not committed, the high watermark is {high_watermark}")]
    NotCommitted {
        /// The offset asked for.
        asked: i64,
        /// First offset that is not committed.
        high_watermark: i64,
    },
    /// A fetch with a negative size.
    #[error("negative fetch size {0}")]
    NegativeFetchSize(i32),
    /// A leader's log ends within a message, or the message is larger than any.
    #[error("{bytes} bytes of a message that takes {needed}")]
    Incomplete {
        /// What its size says.
        needed: usize,
        /// What came.
        bytes: usize,
    },
    /// What was produced is not sound.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// The log refused, or its disk failed.
    #[error(transparent)]
    Log(#[from] log::Error),
}
