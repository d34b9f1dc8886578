//! StopReplica — key 5, version 0.
//!
//! - From a controller that has been replaced, or on a connection that it has given up: error 11, no partitions.
//! - Otherwise every partition is answered, also those never heard of. With `delete` the directory goes at once.

use std::sync::Arc;

use crate::broker::handlers::admit;
use crate::broker::handlers::controller_answers;
use crate::broker::offsets::Offsets;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::stop_replica::StopReplicaRequest;
use crate::protocol::stop_replica::StopReplicaResponse;
use crate::replication::ControllerEpoch;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::types::OFFSETS_TOPIC;

/// Stops, and perhaps deletes, replicas.
pub(crate) fn handle(
    (epoch, connection): (&Arc<ControllerEpoch>, u64),
    partitions: &Arc<Partitions>,
    offsets: &Arc<Offsets>,
    shutdown: &Shutdown,
    request: StopReplicaRequest,
) -> Reply {
    let (epoch, partitions) = (Arc::clone(epoch), Arc::clone(partitions));
    let (offsets, shutdown) = (Arc::clone(offsets), shutdown.clone());
    Reply::Later(Box::pin(async move {
        let answer = |error, partitions| Reply::Send(StopReplicaResponse { error, partitions }.into());
        let from = (request.controller_id, request.controller_epoch);
        let Some(_admitted) = admit(&epoch, from, connection, "stop").await else {
            return answer(ErrorCode::StaleControllerEpoch, Vec::new());
        };
        if request.delete {
            for (_, number) in request
                .partitions
                .iter()
                .filter(|(topic, _)| topic == OFFSETS_TOPIC)
            {
                offsets.resign(*number);
            }
        }
        let Ok(outcomes) = tokio::task::spawn_blocking(move || partitions.stop(&request)).await else {
            return Reply::Close; // The process is going down.
        };
        answer(ErrorCode::None, controller_answers(outcomes, &shutdown))
    }))
}
