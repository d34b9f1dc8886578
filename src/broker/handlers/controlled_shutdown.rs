//! ControlledShutdown — key 7, version 0.
//!
//! - Answers the replicated partitions that the broker still leads; none means that it may go.
//! - Not the controller, or a broker that is not known: error -1.

use crate::controller::ControllerHandle;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::controlled_shutdown::ControlledShutdownRequest;
use crate::protocol::controlled_shutdown::ControlledShutdownResponse;

/// Asks this process's controller.
pub(crate) fn handle(controller: &ControllerHandle, request: &ControlledShutdownRequest) -> Reply {
    let (controller, broker) = (controller.clone(), request.broker);
    Reply::Later(Box::pin(async move {
        let remaining = controller.controlled_shutdown(broker).await;
        let error = if remaining.is_some() {
            ErrorCode::None
        } else {
            ErrorCode::Unknown
        };
        let partitions_remaining = remaining
            .unwrap_or_default()
            .into_iter()
            .map(|partition| (partition.topic.to_string(), partition.partition))
            .collect();
        Reply::Send(
            ControlledShutdownResponse {
                error,
                partitions_remaining,
            }
            .into(),
        )
    }))
}
