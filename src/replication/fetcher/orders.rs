//! Which partitions a fetcher is to copy: told by whoever takes the controller's orders, read by the fetcher's task.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::watch;

use crate::replication::fetch_rate::FetchRate;
use crate::replication::partition::Partition;
use crate::types::TopicPartition;

/// The partitions that a fetcher is to copy, shared with who gives the orders.
#[derive(Debug)]
pub(crate) struct Followed {
    partitions: Mutex<HashMap<TopicPartition, Order>>,
    pub(super) changes: watch::Sender<u64>,
    /// How often it fetches.
    pub(crate) rate: FetchRate,
}

/// A partition to copy, since it follows with this leader epoch.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) partition: Arc<Partition>,
    pub(crate) since: i32,
}

impl Followed {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            partitions: Mutex::default(),
            changes: watch::Sender::new(0),
            rate: FetchRate::new(std::time::Instant::now()),
        }
    }

    /// Takes an order.
    pub(crate) fn add(&self, order: Order) {
        let name = order.partition.topic_partition().clone();
        let since = order.since;
        let before = self.orders().insert(name, order);
        if before.is_none_or(|before| before.since != since) {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Takes an order back. Answers whether none is left.
    pub(crate) fn remove(&self, name: &TopicPartition) -> bool {
        let mut orders = self.orders();
        if orders.remove(name).is_some() {
            self.changes.send_modify(|changes| *changes += 1);
        }
        orders.is_empty()
    }

    /// All of them.
    pub(super) fn orders(&self) -> MutexGuard<'_, HashMap<TopicPartition, Order>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
