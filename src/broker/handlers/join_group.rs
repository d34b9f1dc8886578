//! JoinGroup — key 11, version 0.
//!
//! - Parsed, then refused: in 0.8 groups coordinate through ZooKeeper among themselves.

use crate::net::Reply;
use crate::protocol::join_group::JoinGroupResponse;

/// Refuses.
pub(crate) fn handle() -> Reply {
    Reply::Send(JoinGroupResponse::refused().into())
}
