//! OffsetCommit — key 8, versions 0 and 1.
//!
//! - Version 0 writes to ZooKeeper, on whichever broker; the topic must be known, the partition need not be, and the
//!   metadata is thrown away.
//! - Version 1 appends to the group's partition of `__consumer_offsets`; neither topic nor partition need exist. Without
//!   the name of the group, or of a topic, all of it fails: there is no record for that.
//! - Offsets are not checked in any way.

use std::sync::Arc;

use crate::broker::error_mapping;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Commit;
use crate::broker::offsets::Offsets;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::offset_commit::OffsetCommitRequest;
use crate::protocol::offset_commit::OffsetCommitResponse;
use crate::protocol::offset_commit::OffsetStorage;
use crate::protocol::offset_commit::PartitionCommit;
use crate::shutdown::Shutdown;
use crate::types::TopicPartition;
use crate::zookeeper::Sessions;

/// The name that the reference ends up with for a group that is null.
const NULL: &str = "null";

/// Commits where the version says.
pub(crate) fn handle(
    offsets: &Arc<Offsets>,
    cache: &Arc<MetadataCache>,
    sessions: &Sessions,
    shutdown: &Shutdown,
    request: OffsetCommitRequest,
) -> Reply {
    let (offsets, cache) = (Arc::clone(offsets), Arc::clone(cache));
    let (sessions, shutdown) = (sessions.clone(), shutdown.clone());
    Reply::Later(Box::pin(async move {
        let codes = match request.storage {
            OffsetStorage::ZooKeeper => to_zookeeper(&offsets, &cache, &sessions, &request).await,
            OffsetStorage::Kafka => to_log(&offsets, &shutdown, &request).await,
        };
        Reply::Send(answer(request, codes).into())
    }))
}

/// The codes of all partitions, in the order of the request.
async fn to_log(offsets: &Offsets, shutdown: &Shutdown, request: &OffsetCommitRequest) -> Vec<ErrorCode> {
    let nameless = |(topic, commit): (Option<&str>, &PartitionCommit)| {
        topic.is_none() && offsets.accepts_metadata(commit.metadata.as_deref())
    };
    let group = request.group.as_deref().filter(|_| !each(request).any(nameless));
    let Some(group) = group else {
        return vec![ErrorCode::Unknown; each(request).count()];
    };
    let commits = each(request)
        .map(|(topic, commit)| Commit {
            topic: topic.unwrap_or_default().to_owned(),
            partition: commit.partition,
            offset: commit.offset,
            metadata: commit.metadata.clone(),
            timestamp: commit.timestamp,
        })
        .collect();
    offsets
        .commit(group, commits)
        .await
        .into_iter()
        .map(|result| {
            let Err(error) = result else {
                return ErrorCode::None;
            };
            let code = error_mapping::code_of_offsets(&error);
            if error_mapping::is_fatal_to_offsets(&error) {
                tracing::error!("group {group}: commit: {error}");
                shutdown.fail(error);
            }
            code
        })
        .collect()
}

async fn to_zookeeper(
    offsets: &Offsets,
    cache: &MetadataCache,
    sessions: &Sessions,
    request: &OffsetCommitRequest,
) -> Vec<ErrorCode> {
    let refused = |(topic, commit): (Option<&str>, &PartitionCommit)| match topic {
        Some(topic) if cache.has_topic(topic) => {
            let short = offsets.accepts_metadata(commit.metadata.as_deref());
            if short {
                ErrorCode::None
            } else {
                ErrorCode::OffsetMetadataTooLarge
            }
        }
        _ => ErrorCode::UnknownTopicOrPartition,
    };
    let mut codes: Vec<_> = each(request).map(refused).collect();
    let accepted: Vec<_> = each(request)
        .zip(&codes)
        .filter(|(_, code)| **code == ErrorCode::None)
        .map(|((topic, commit), _)| {
            (
                TopicPartition::new(topic.unwrap_or(NULL), commit.partition),
                commit.offset,
            )
        })
        .collect();
    let group = request.group.as_deref().unwrap_or(NULL);
    let mut written = match sessions.current() {
        Ok(store) => store.commit_offsets(group, &accepted).await,
        Err(error) => {
            tracing::debug!("group {group}: commit to ZooKeeper: {error}");
            Vec::new()
        }
    }
    .into_iter();
    for code in codes.iter_mut().filter(|code| **code == ErrorCode::None) {
        if !matches!(written.next(), Some(Ok(()))) {
            *code = ErrorCode::Unknown;
        }
    }
    codes
}

fn each(request: &OffsetCommitRequest) -> impl Iterator<Item = (Option<&str>, &PartitionCommit)> {
    request
        .topics
        .iter()
        .flat_map(|(topic, commits)| commits.iter().map(move |commit| (topic.as_deref(), commit)))
}

fn answer(request: OffsetCommitRequest, codes: Vec<ErrorCode>) -> OffsetCommitResponse {
    let mut codes = codes.into_iter();
    let topics = request
        .topics
        .into_iter()
        .map(|(topic, commits)| {
            let code =
                |commit: PartitionCommit| (commit.partition, codes.next().unwrap_or(ErrorCode::Unknown));
            (topic, commits.into_iter().map(code).collect())
        })
        .collect();
    OffsetCommitResponse { topics }
}
