//! Heartbeat — key 12, version 0.
//!
//! - Parsed, then refused: in 0.8 groups coordinate through ZooKeeper among themselves.

use crate::net::Reply;
use crate::protocol::HeartbeatResponse;

/// Refuses.
pub(crate) fn handle() -> Reply {
    Reply::Send(HeartbeatResponse::refusal().into())
}
