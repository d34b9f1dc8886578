//! What the broker answers: one file per API, named like its protocol file. The dispatch shows what each may touch.

mod consumer_metadata;
mod controlled_shutdown;
mod fetch;
mod heartbeat;
mod join_group;
mod leader_and_isr;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod stop_replica;
mod update_metadata;

use std::sync::Arc;

use crate::broker::auto_create::AutoCreate;
use crate::broker::error_mapping;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Offsets;
use crate::broker::refusals::Refusals;
use crate::broker::topic_configs::TopicConfigs;
use crate::controller::ControllerHandle;
use crate::metrics::ReplicationMetrics;
use crate::net::Handler;
use crate::net::Peer;
use crate::net::Reply;
use crate::protocol::DecodeError;
use crate::protocol::ErrorCode;
use crate::protocol::Request;
use crate::protocol::RequestHeader;
use crate::replication::Admitted;
use crate::replication::ControllerEpoch;
use crate::replication::Outcome;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::zookeeper::Sessions;

/// Everything that requests may touch. Each connection has a clone; each API is handed only its part.
#[derive(Debug, Clone)]
pub(crate) struct Handlers(Arc<Parts>);

/// The parts that [`Handlers`] hands out.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) metadata: Arc<MetadataCache>,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) auto_create: Arc<AutoCreate>,
    pub(crate) topic_configs: TopicConfigs,
    pub(crate) controller_epoch: Arc<ControllerEpoch>,
    pub(crate) controller: ControllerHandle,
    pub(crate) sessions: Sessions,
    pub(crate) metrics: ReplicationMetrics,
    pub(crate) refusals: Refusals,
    pub(crate) shutdown: Shutdown,
}

impl Handlers {
    /// Hands out these parts.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Handler for Handlers {
    fn handle(&self, peer: &Peer, _header: RequestHeader, request: Request) -> Reply {
        let Parts {
            partitions,
            metadata,
            offsets,
            auto_create,
            topic_configs,
            controller_epoch,
            controller,
            sessions,
            metrics,
            shutdown,
            refusals: _,
        } = &*self.0;
        let by_controller = (controller_epoch, peer.number);
        match request {
            Request::Produce(request) => produce::handle(partitions, metrics, shutdown, request),
            Request::Fetch(request) => fetch::handle(partitions, metrics, (peer.number, request)),
            Request::ListOffsets(request) => list_offsets::handle(partitions, &request),
            Request::Metadata(request) => metadata::handle(metadata, auto_create, request),
            Request::LeaderAndIsr(request) => {
                let offsets_and_configs = (offsets, topic_configs);
                leader_and_isr::handle(by_controller, partitions, offsets_and_configs, shutdown, request)
            }
            Request::StopReplica(request) => {
                stop_replica::handle(by_controller, partitions, offsets, shutdown, request)
            }
            Request::UpdateMetadata(request) => update_metadata::handle(by_controller, metadata, request),
            Request::ControlledShutdown(request) => controlled_shutdown::handle(controller, &request),
            Request::OffsetCommit(request) => {
                offset_commit::handle(offsets, metadata, sessions, shutdown, request)
            }
            Request::OffsetFetch(request) => offset_fetch::handle(offsets, metadata, sessions, request),
            Request::ConsumerMetadata(request) => {
                consumer_metadata::handle(offsets, metadata, auto_create, &request)
            }
            Request::JoinGroup(_) => join_group::handle(),
            Request::Heartbeat(_) => heartbeat::handle(),
        }
    }

    fn refused(&self, peer: &Peer, error: DecodeError) {
        self.0.refusals.report(peer, &error);
    }
}

/// Waits for the turn of an order that came on this connection. `None` if the order is not to be carried out.
async fn admit<'a>(
    epoch: &'a ControllerEpoch,
    (controller, controller_epoch): (BrokerId, i32),
    connection: u64,
    order: &str,
) -> Option<Admitted<'a>> {
    let admitted = epoch.admit(controller_epoch, connection).await;
    admitted
        .inspect_err(|stale| tracing::warn!("{order} from broker {controller}: {stale}"))
        .ok()
}

/// What a controller is answered for each partition. A failed disk also stops the broker.
fn controller_answers(outcomes: Vec<Outcome>, shutdown: &Shutdown) -> Vec<(String, i32, ErrorCode)> {
    let answer = |outcome: Outcome| {
        let name = outcome.topic_partition;
        let code = match outcome.result {
            Ok(transition) => transition.error_code()?,
            Err(error) => {
                tracing::error!("{name}: {error}");
                let code = error_mapping::code_of(&error);
                if error_mapping::is_fatal(&error) {
                    shutdown.fail(error);
                }
                code
            }
        };
        Some((name.topic.to_string(), name.partition, code))
    };
    outcomes.into_iter().filter_map(answer).collect()
}
