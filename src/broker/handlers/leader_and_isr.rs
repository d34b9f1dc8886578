//! LeaderAndIsr — key 4, version 0.
//!
//! - From a controller that has been replaced, or on a connection that it has given up: error 11, no partitions.
//! - A leader epoch that is not higher than the known one: error 13 for that partition. That is routine: orders are
//!   repeated.
//! - A partition that this broker is no replica of is left out of the answer.

use std::sync::Arc;

use crate::broker::handlers::admit;
use crate::broker::handlers::controller_answers;
use crate::broker::offsets::Offsets;
use crate::broker::topic_configs::TopicConfigs;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::leader_and_isr::LeaderAndIsrResponse;
use crate::replication::ControllerEpoch;
use crate::replication::Outcome;
use crate::replication::Partitions;
use crate::replication::Transition;
use crate::shutdown::Shutdown;
use crate::types::OFFSETS_TOPIC;

/// Takes the roles that the controller gives.
pub(crate) fn handle(
    (epoch, connection): (&Arc<ControllerEpoch>, u64),
    partitions: &Arc<Partitions>,
    (offsets, configs): (&Arc<Offsets>, &TopicConfigs),
    shutdown: &Shutdown,
    request: LeaderAndIsrRequest,
) -> Reply {
    let (epoch, partitions, configs) = (Arc::clone(epoch), Arc::clone(partitions), configs.clone());
    let (offsets, shutdown) = (Arc::clone(offsets), shutdown.clone());
    Reply::Later(Box::pin(async move {
        let answer = |error, partitions| Reply::Send(LeaderAndIsrResponse { error, partitions }.into());
        let from = (request.controller_id, request.controller_epoch);
        let Some(_admitted) = admit(&epoch, from, connection, "roles").await else {
            return answer(ErrorCode::StaleControllerEpoch, Vec::new());
        };
        // Nobody waits for ZooKeeper where a log has its settings.
        let configs = configs.of(partitions.topics_of_new_logs(&request)).await;
        let apply = move || partitions.apply_roles(&request, |topic| configs.of(topic));
        let Ok(outcomes) = tokio::task::spawn_blocking(apply).await else {
            return Reply::Close; // The process is going down.
        };
        for outcome in &outcomes {
            follow_leadership(&offsets, outcome);
        }
        answer(ErrorCode::None, controller_answers(outcomes, &shutdown))
    }))
}

/// Whoever leads a partition of the offsets topic coordinates its groups.
fn follow_leadership(offsets: &Arc<Offsets>, outcome: &Outcome) {
    let name = &outcome.topic_partition;
    if &*name.topic != OFFSETS_TOPIC {
        return;
    }
    match outcome.result {
        Ok(Transition::Leads { since }) => offsets.lead(name.partition, since),
        Ok(Transition::Follows | Transition::NoLeader) => offsets.resign(name.partition),
        _ => {}
    }
}
