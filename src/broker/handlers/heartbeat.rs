//! Heartbeat — key 12, version 0.
//!
//! - Parsed, then refused: in 0.8 groups coordinate through ZooKeeper among themselves.

use crate::net::Reply;
use crate::protocol::heartbeat::HeartbeatResponse;

/// Refuses.
pub(crate) fn handle() -> Reply {
    Reply::Send(HeartbeatResponse::refused().into())
}
