//! Metadata — key 3, version 0.
//!
//! - Answers from the cache. No topics asked for: all of them, and none is created.
//! - A topic that is not known is created if that is allowed, and answered with error 5; clients ask again.
//! - One illegal or null name, or a creation that fails, fails the whole request: every topic gets the code, and the
//!   list of brokers is empty.

use std::sync::Arc;

use crate::broker::auto_create::AutoCreate;
use crate::broker::auto_create::Refused;
use crate::broker::metadata_cache::MetadataCache;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::metadata::MetadataRequest;
use crate::protocol::metadata::MetadataResponse;
use crate::protocol::metadata::TopicMetadata;
use crate::types::is_legal_topic_name;

/// Topics that one request may have created. For the others, too, clients are told to ask again.
const CREATIONS_MAX: usize = 100;

/// Answers from the cache, and creates what is missing.
pub(crate) fn handle(
    cache: &Arc<MetadataCache>,
    auto_create: &Arc<AutoCreate>,
    request: MetadataRequest,
) -> Reply {
    if request.topics.is_empty() {
        return answer(cache, cache.topics());
    }
    let known: Option<Vec<_>> = request
        .topics
        .iter()
        .map(|topic| topic.as_deref().and_then(|topic| cache.topic(topic)))
        .collect();
    if let Some(topics) = known {
        return answer(cache, topics);
    }
    let (cache, auto_create) = (Arc::clone(cache), Arc::clone(auto_create));
    Reply::Later(Box::pin(async move {
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut creations = CREATIONS_MAX;
        for topic in &request.topics {
            match look_up(&cache, &auto_create, topic.as_deref(), &mut creations).await {
                Ok(found) => topics.push(found),
                Err(refused) => return refuse(request, refused),
            }
        }
        answer(&cache, topics)
    }))
}

async fn look_up(
    cache: &MetadataCache,
    auto_create: &AutoCreate,
    topic: Option<&str>,
    creations: &mut usize,
) -> Result<TopicMetadata, ErrorCode> {
    let name = topic.ok_or(ErrorCode::Unknown)?;
    if let Some(known) = cache.topic(name) {
        return Ok(known);
    }
    let created = if *creations > 0 || !auto_create.is_enabled() {
        *creations = creations.saturating_sub(1);
        auto_create.create(name, cache).await
    } else if is_legal_topic_name(name) {
        Ok(())
    } else {
        Err(Refused::IllegalName)
    };
    let error = match created {
        Ok(()) => ErrorCode::LeaderNotAvailable,
        Err(Refused::SwitchedOff) => ErrorCode::UnknownTopicOrPartition,
        Err(Refused::IllegalName) => return Err(ErrorCode::InvalidTopic),
        Err(Refused::Failed) => return Err(ErrorCode::Unknown),
    };
    Ok(TopicMetadata {
        error,
        topic: topic.map(str::to_owned),
        partitions: Vec::new(),
    })
}

fn answer(cache: &MetadataCache, topics: Vec<TopicMetadata>) -> Reply {
    Reply::Send(
        MetadataResponse {
            brokers: cache.brokers(),
            topics,
        }
        .into(),
    )
}

fn refuse(request: MetadataRequest, error: ErrorCode) -> Reply {
    let refused = |topic| TopicMetadata {
        error,
        topic,
        partitions: Vec::new(),
    };
    let topics = request.topics.into_iter().map(refused).collect();
    Reply::Send(
        MetadataResponse {
            brokers: Vec::new(),
            topics,
        }
        .into(),
    )
}
