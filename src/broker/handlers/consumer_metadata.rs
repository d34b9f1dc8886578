//! ConsumerMetadata — key 10, version 0.
//!
//! - The coordinator of a group is the leader of the group's partition of `__consumer_offsets`, which is created when
//!   it is missing, even if clients may not create topics.
//! - No live leader, or anything else that goes wrong: error 15. 0.8.2.2 forgets the correlation id in some of these
//!   cases; here it is always the one that was asked with.

use std::sync::Arc;

use crate::broker::auto_create::AutoCreate;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Offsets;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::consumer_metadata::ConsumerMetadataRequest;
use crate::protocol::consumer_metadata::ConsumerMetadataResponse;
use crate::types::OFFSETS_TOPIC;

/// Looks the coordinator up, and creates the offsets topic if there is none.
pub(crate) fn handle(
    offsets: &Offsets,
    cache: &Arc<MetadataCache>,
    auto_create: &Arc<AutoCreate>,
    request: &ConsumerMetadataRequest,
) -> Reply {
    let unavailable = || ConsumerMetadataResponse {
        error: ErrorCode::ConsumerCoordinatorNotAvailable,
        coordinator: None,
    };
    let Some(group) = request.group.as_deref() else {
        return Reply::Send(unavailable().into());
    };
    if cache.has_topic(OFFSETS_TOPIC) {
        let coordinator = cache.leader(OFFSETS_TOPIC, offsets.partition_of(group));
        let answer = coordinator.map_or_else(unavailable, |coordinator| ConsumerMetadataResponse {
            error: ErrorCode::None,
            coordinator: Some(coordinator),
        });
        return Reply::Send(answer.into());
    }
    let (cache, auto_create) = (Arc::clone(cache), Arc::clone(auto_create));
    Reply::Later(Box::pin(async move {
        if let Err(refused) = auto_create.create(OFFSETS_TOPIC, &cache).await {
            tracing::debug!("{OFFSETS_TOPIC}: not created: {refused:?}");
        }
        Reply::Send(unavailable().into())
    }))
}
