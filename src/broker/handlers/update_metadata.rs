//! UpdateMetadata — key 6, version 0.
//!
//! - The list of brokers replaces the known one, the partitions are merged in.
//! - From a controller that has been replaced, or on a connection that it has given up: error -1, where the other orders say 11.

use std::sync::Arc;

use crate::broker::handlers::admit;
use crate::broker::metadata_cache::MetadataCache;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::update_metadata::UpdateMetadataRequest;
use crate::protocol::update_metadata::UpdateMetadataResponse;
use crate::replication::ControllerEpoch;

/// Takes over what clients are to be told.
pub(crate) fn handle(
    (epoch, connection): (&Arc<ControllerEpoch>, u64),
    cache: &Arc<MetadataCache>,
    request: UpdateMetadataRequest,
) -> Reply {
    let (epoch, cache) = (Arc::clone(epoch), Arc::clone(cache));
    Reply::Later(Box::pin(async move {
        let from = (request.controller_id, request.controller_epoch);
        let error = match admit(&epoch, from, connection, "metadata").await {
            Some(_admitted) => {
                cache.update(request);
                ErrorCode::None
            }
            None => ErrorCode::Unknown,
        };
        Reply::Send(UpdateMetadataResponse { error }.into())
    }))
}
