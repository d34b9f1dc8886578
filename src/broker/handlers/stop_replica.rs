//! StopReplica — key 5, version 0.
//!
//! - From a controller that has been replaced, or on a connection that it has given up: error 11, no partitions.
//! - Otherwise every partition is answered, also those never heard of. With `delete` the directory goes at once.

use std::sync::Arc;

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
        let _admitted = match epoch.admit(request.controller_epoch, connection).await {
            Ok(admitted) => admitted,
            Err(stale) => {
                tracing::warn!("stop from broker {}: {stale}", request.controller_id);
                let error = ErrorCode::StaleControllerEpoch;
                return Reply::Send(
                    StopReplicaResponse {
                        error,
                        partitions: Vec::new(),
                    }
                    .into(),
                );
            }
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
        let partitions = controller_answers(outcomes, &shutdown);
        Reply::Send(
            StopReplicaResponse {
                error: ErrorCode::None,
                partitions,
            }
            .into(),
        )
    }))
}
