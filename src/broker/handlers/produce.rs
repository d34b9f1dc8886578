//! Produce — key 0, version 0.
//!
//! - Appends to every partition first, then waits for all of them together.
//! - `acks = 0`: no response. If any append failed the connection is closed, which is the only way to tell.
//! - A timeout does not undo the append: error 7 comes with the real base offset.
//! - Never creates topics. Duplicates in one request: the last one wins.

use std::sync::Arc;

use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::broker::error_mapping;
use crate::metrics::ReplicationMetrics;
use crate::metrics::TopicMetrics;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::produce::Acks;
use crate::protocol::produce::PartitionProduce;
use crate::protocol::produce::PartitionProduced;
use crate::protocol::produce::ProduceRequest;
use crate::protocol::produce::ProduceResponse;
use crate::replication::Appended;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::types::OFFSETS_TOPIC;

/// Answer of an append that failed, or that had nothing to append.
const NO_OFFSET: i64 = -1;

/// One partition's append, and what it still waits for.
struct Append {
    answer: PartitionProduced,
    waits: Option<(Arc<Partition>, Appended)>,
}

/// The appends of one topic.
type TopicAppends = (Option<String>, Vec<Append>);

/// Appends every message set, then waits for all of them together, then answers.
pub(crate) fn handle(
    partitions: &Partitions,
    metrics: &ReplicationMetrics,
    shutdown: &Shutdown,
    request: ProduceRequest,
) -> Reply {
    let deadline = Instant::now() + request.timeout;
    let acks = request.acks;
    let mut any_waits = false;
    let mut any_failed = false;
    let mut appends = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut in_topic = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let append = append(partitions, topic.topic.as_deref(), partition, acks, shutdown);
            any_waits |= append.waits.is_some();
            any_failed |= append.answer.error != ErrorCode::None;
            in_topic.push(append);
        }
        appends.push((topic.topic, in_topic));
    }
    match acks {
        Acks::None if any_failed => Reply::Close,
        Acks::None => Reply::Nothing,
        _ if any_waits => {
            Reply::Acknowledging(Box::pin(wait_for_all(appends, acks, deadline, metrics.clone())))
        }
        _ => answer(appends),
    }
}

fn append(
    partitions: &Partitions,
    topic: Option<&str>,
    request: PartitionProduce,
    acks: Acks,
    shutdown: &Shutdown,
) -> Append {
    let number = request.partition;
    let failed = |error| Append {
        answer: PartitionProduced {
            partition: number,
            error,
            base_offset: NO_OFFSET,
        },
        waits: None,
    };
    let Some(topic) = topic else {
        return failed(ErrorCode::UnknownTopicOrPartition);
    };
    if topic == OFFSETS_TOPIC {
        return failed(ErrorCode::InvalidTopic);
    }
    let Some(partition) = partitions.get(topic, number) else {
        return failed(ErrorCode::UnknownTopicOrPartition);
    };
    let metrics = partition.metrics();
    metrics.produce_requested();
    let bytes = u64::try_from(request.set.len()).unwrap_or(u64::MAX);
    match partition.append(request.set, acks) {
        Ok(appended) => {
            metrics.appended(appended.messages, bytes);
            let settled = if acks == Acks::None {
                Some(Ok(()))
            } else {
                partition.is_acknowledged(&appended, acks)
            };
            let error = match &settled {
                Some(Ok(())) => ErrorCode::None,
                Some(Err(error)) => error_mapping::code_of(error),
                None => ErrorCode::RequestTimedOut,
            };
            let base_offset = appended.base_offset.unwrap_or(NO_OFFSET);
            Append {
                answer: PartitionProduced {
                    partition: number,
                    error,
                    base_offset,
                },
                waits: settled.is_none().then_some((partition, appended)),
            }
        }
        Err(error) => {
            let code = error_mapping::code_of(&error);
            count_failure(metrics, code, bytes);
            if error_mapping::is_fatal(&error) {
                tracing::error!("{}: append: {error}", partition.topic_partition());
                shutdown.fail(error);
            } else {
                tracing::debug!("{}: append: {error}", partition.topic_partition());
            }
            failed(code)
        }
    }
}

/// Counts what 0.8.2.2 counts: not the failures that only say that the client asked the wrong broker.
fn count_failure(metrics: &TopicMetrics, code: ErrorCode, bytes: u64) {
    if code == ErrorCode::MessageSizeTooLarge {
        metrics.rejected(bytes);
    }
    if !matches!(
        code,
        ErrorCode::NotLeaderForPartition | ErrorCode::NotEnoughReplicas
    ) {
        metrics.produce_failed();
    }
}

async fn wait_for_all(
    mut appends: Vec<TopicAppends>,
    acks: Acks,
    deadline: Instant,
    metrics: ReplicationMetrics,
) -> Reply {
    let _waiting = metrics.waiting_produces.enter();
    for append in appends.iter_mut().flat_map(|(_, appends)| appends) {
        if let Some((partition, appended)) = append.waits.take() {
            append.answer.error = match timeout_at(deadline, partition.acknowledged(&appended, acks)).await {
                Ok(Ok(())) => ErrorCode::None,
                Ok(Err(error)) => error_mapping::code_of(&error),
                Err(_elapsed) => {
                    metrics.produce_expires.increment(1);
                    ErrorCode::RequestTimedOut
                }
            };
        }
    }
    answer(appends)
}

fn answer(appends: Vec<TopicAppends>) -> Reply {
    let topics = appends
        .into_iter()
        .map(|(topic, appends)| (topic, appends.into_iter().map(|append| append.answer).collect()))
        .collect();
    Reply::Send(ProduceResponse { topics }.into())
}
