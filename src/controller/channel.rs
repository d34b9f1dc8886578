//! The way to one broker: a queue, a connection, and as many tries as it takes.
//!
//! Requests leave in order, one at a time. One that fails is sent again after a pause until the broker is dropped, so a
//! broker may get the same order twice; orders are idempotent.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::controller::event::Event;
use crate::net::CallError;
use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::leader_and_isr::LeaderAndIsrResponse;
use crate::protocol::stop_replica::StopReplicaRequest;
use crate::protocol::stop_replica::StopReplicaResponse;
use crate::protocol::update_metadata::UpdateMetadataRequest;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;

/// Pause before a failed request is sent again, as in 0.8.2.2 (RequestSendThread).
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// How brokers are called.
#[derive(Debug, Clone)]
pub struct Calls {
    /// How long an answer may take.
    pub within: Duration,
    /// What the controller calls itself.
    pub client_id: String,
}

/// One order for a broker.
#[derive(Debug)]
pub(crate) enum Order {
    /// Lead this, follow that.
    LeaderAndIsr(LeaderAndIsrRequest),
    /// What to tell clients.
    UpdateMetadata(UpdateMetadataRequest),
    /// Stop this, and perhaps delete it.
    StopReplica(StopReplicaRequest),
}

/// A queue of orders to one broker; dropping it drops what has not been sent.
#[derive(Debug)]
pub(crate) struct Channel {
    // Unbounded, as in the reference: its sender must never wait for one broker while others need their orders, and
    // the queue goes with the broker's registration.
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Channel {
    /// Starts the task that delivers to `endpoint`; what became of deletions goes to `events`.
    pub(crate) fn start(endpoint: Endpoint, config: Calls, events: mpsc::Sender<Event>) -> Self {
        let (orders, queue) = mpsc::unbounded_channel();
        let delivery = Delivery {
            endpoint,
            config,
            events,
            caller: None,
        };
        Self {
            orders,
            task: tokio::spawn(delivery.run(queue)),
        }
    }

    /// Queues an order.
    pub(crate) fn send(&self, order: Order) {
        // The task ends only when this channel is dropped.
        let _ = self.orders.send(order);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind a channel.
struct Delivery {
    endpoint: Endpoint,
    config: Calls,
    events: mpsc::Sender<Event>,
    caller: Option<Caller>,
}

impl Delivery {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Order>) {
        while let Some(order) = queue.recv().await {
            let mut failed_before = false;
            while let Err(error) = self.deliver(&order).await {
                self.caller = None;
                let endpoint = &self.endpoint;
                if failed_before {
                    tracing::debug!("order for broker {} at {endpoint}: {error}", endpoint.id);
                } else {
                    tracing::warn!(
                        "order for broker {} at {endpoint}: {error}; trying again",
                        endpoint.id
                    );
                    failed_before = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn deliver(&mut self, order: &Order) -> Result<(), CallError> {
        let broker = self.endpoint.id;
        let connected = match &self.caller {
            Some(connected) => connected,
            None => {
                let client_id = Some(self.config.client_id.as_str());
                let connecting = Caller::connect(&self.endpoint, self.config.within, client_id);
                self.caller.insert(connecting.await?)
            }
        };
        match order {
            Order::LeaderAndIsr(request) => roles_taken(broker, &connected.call(request).await?),
            Order::UpdateMetadata(request) => {
                let response = connected.call(request).await?;
                if response.error != ErrorCode::None {
                    tracing::warn!("broker {broker} refused new metadata: {:?}", response.error);
                }
            }
            Order::StopReplica(request) => {
                let response = connected.call(request).await?;
                let stopped = stopped(broker, request, &response);
                if request.delete {
                    // Nobody listens any more when the controller resigns.
                    let _ = self.events.send(Event::ReplicasDeleted(broker, stopped)).await;
                }
            }
        }
        Ok(())
    }
}

/// A stale leader epoch is no failure: orders are repeated at every failover.
fn roles_taken(broker: BrokerId, response: &LeaderAndIsrResponse) {
    if response.error != ErrorCode::None {
        tracing::warn!("broker {broker} refused its roles: {:?}", response.error);
    }
    for (topic, partition, code) in &response.partitions {
        if !matches!(code, ErrorCode::None | ErrorCode::StaleLeaderEpoch) {
            tracing::warn!("{topic}-{partition}: broker {broker} answered {code:?}");
        }
    }
}

/// Which of the replicas were stopped. What is not mentioned in an answer without an error was.
fn stopped(
    broker: BrokerId,
    request: &StopReplicaRequest,
    response: &StopReplicaResponse,
) -> Vec<(TopicPartition, bool)> {
    if response.error != ErrorCode::None {
        tracing::warn!("broker {broker} refused to stop replicas: {:?}", response.error);
    }
    let became = |(topic, partition): &(String, i32)| {
        let answered = response
            .partitions
            .iter()
            .find(|(name, number, _)| name == topic && number == partition);
        let code = answered.map_or(ErrorCode::None, |(_, _, code)| *code);
        if code != ErrorCode::None {
            tracing::warn!("{topic}-{partition}: stop on broker {broker}: {code:?}");
        }
        let stopped = response.error == ErrorCode::None && code == ErrorCode::None;
        (TopicPartition::new(topic.as_str(), *partition), stopped)
    };
    request.partitions.iter().map(became).collect()
}
