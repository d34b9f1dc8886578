//! The way to one broker: a queue, a connection, and as many tries as it takes.
//!
//! Requests leave in order, one at a time. One that fails is sent again after a pause until the broker is dropped, so a
//! broker may get the same order twice; orders are idempotent.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::update_metadata::UpdateMetadataRequest;
use crate::types::Endpoint;

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
    /// Starts the task that delivers to `endpoint`.
    pub(crate) fn start(endpoint: Endpoint, config: Calls) -> Self {
        let (orders, queue) = mpsc::unbounded_channel();
        Self {
            orders,
            task: tokio::spawn(deliver(endpoint, config, queue)),
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

async fn deliver(endpoint: Endpoint, config: Calls, mut queue: mpsc::UnboundedReceiver<Order>) {
    let mut caller = None;
    while let Some(order) = queue.recv().await {
        let mut failed_before = false;
        while let Err(error) = send(&mut caller, &endpoint, &config, &order).await {
            caller = None;
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

async fn send(
    caller: &mut Option<Caller>,
    endpoint: &Endpoint,
    config: &Calls,
    order: &Order,
) -> Result<(), crate::net::CallError> {
    let connected = match caller {
        Some(connected) => connected,
        None => caller.insert(Caller::connect(endpoint, config.within, Some(&config.client_id)).await?),
    };
    match order {
        Order::LeaderAndIsr(request) => {
            let response = connected.call(request).await?;
            let stale = |code: &ErrorCode| *code == ErrorCode::StaleLeaderEpoch;
            if response.error != ErrorCode::None {
                tracing::warn!("broker {} refused its roles: {:?}", endpoint.id, response.error);
            }
            for (topic, partition, code) in &response.partitions {
                if *code != ErrorCode::None && !stale(code) {
                    tracing::warn!("{topic}-{partition}: broker {} answered {code:?}", endpoint.id);
                }
            }
        }
        Order::UpdateMetadata(request) => {
            let response = connected.call(request).await?;
            if response.error != ErrorCode::None {
                tracing::warn!(
                    "broker {} refused new metadata: {:?}",
                    endpoint.id,
                    response.error
                );
            }
        }
    }
    Ok(())
}
