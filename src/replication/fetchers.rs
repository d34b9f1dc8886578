//! The tasks that copy from leaders: which partition is copied by which.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use tokio::task::JoinHandle;

use crate::log::Logs;
use crate::metrics::ReplicationMetrics;
use crate::replication::config::Config;
use crate::replication::fetcher::Fetcher;
use crate::replication::fetcher::Followed;
use crate::replication::fetcher::Order;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;
use crate::types::java_abs;
use crate::types::java_hash;

/// All fetchers of this broker.
#[derive(Debug)]
pub(crate) struct Fetchers {
    me: BrokerId,
    config: Arc<Config>,
    logs: Arc<Logs>,
    metrics: ReplicationMetrics,
    shutdown: Shutdown,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    tasks: HashMap<Key, Task>,
    /// Where each partition is copied.
    copied_by: HashMap<TopicPartition, Key>,
    /// Whether no partition is to be copied that isn't already.
    stopping: bool,
}

/// The leader, where it is reached, and a number.
type Key = (Endpoint, usize);

#[derive(Debug)]
struct Task {
    followed: Arc<Followed>,
    task: JoinHandle<()>,
}

impl Fetchers {
    /// No task yet.
    pub(crate) fn new(
        me: BrokerId,
        config: Config,
        logs: Arc<Logs>,
        metrics: ReplicationMetrics,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            me,
            config: Arc::new(config),
            logs,
            metrics,
            shutdown,
            running: Mutex::default(),
        }
    }

    /// Has a partition copied from its leader, and no longer from another one.
    pub(crate) fn follow(&self, leader: &Endpoint, order: Order) {
        let name = order.partition.topic_partition().clone();
        let number = number_of(&name, self.config.fetchers);
        let key = (leader.clone(), number);
        let mut running = self.running();
        if running.copied_by.get(&name).is_some_and(|other| *other != key) {
            running.leave(&name);
        }
        if running.stopping {
            return;
        }
        running
            .tasks
            .entry(key.clone())
            .or_insert_with(|| self.start(leader, number))
            .followed
            .add(order);
        running.copied_by.insert(name, key);
    }

    /// Has a partition copied no more. A fetch that is under way will come to nothing.
    pub(crate) fn leave(&self, name: &TopicPartition) {
        self.running().leave(name);
    }

    /// From now on only what is copied already goes on being copied: a broker that gives up its partitions must not get
    /// in sync again.
    pub(crate) fn take_no_more(&self) {
        self.running().stopping = true;
    }

    /// Ends all tasks.
    pub(crate) async fn stop(&self) {
        let tasks = {
            let mut running = self.running();
            running.stopping = true;
            running.copied_by.clear();
            std::mem::take(&mut running.tasks)
        };
        for (_, Task { task, .. }) in tasks {
            task.abort();
            // It has ended, by itself or by this.
            let _ = task.await;
        }
    }

    /// Fetches per second of the slowest task; 0 without any.
    pub(crate) fn min_rate(&self) -> f64 {
        let now = Instant::now();
        let running = self.running();
        let rates = running
            .tasks
            .values()
            .map(|task| task.followed.rate.per_second(now));
        rates.reduce(f64::min).unwrap_or(0.0)
    }

    fn start(&self, leader: &Endpoint, number: usize) -> Task {
        let followed = Arc::new(Followed::new());
        let fetcher = Fetcher {
            me: self.me,
            leader: leader.clone(),
            number,
            config: Arc::clone(&self.config),
            logs: Arc::clone(&self.logs),
            followed: Arc::clone(&followed),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
        };
        let task = tokio::spawn(fetcher.run());
        Task { followed, task }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn leave(&mut self, name: &TopicPartition) {
        let Some(key) = self.copied_by.remove(name) else {
            return;
        };
        let is_idle = self
            .tasks
            .get(&key)
            .is_some_and(|task| task.followed.remove(name));
        if is_idle && let Some(Task { task, .. }) = self.tasks.remove(&key) {
            task.abort();
        }
    }
}

/// The number of the fetcher that copies a partition, as in 0.8.2.2 (AbstractFetcherManager.getFetcherId).
fn number_of(name: &TopicPartition, fetchers: usize) -> usize {
    let hash = java_hash(&name.topic)
        .wrapping_mul(31)
        .wrapping_add(name.partition);
    usize::try_from(java_abs(hash)).unwrap_or(0) % fetchers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_as_in_0_8() {
        let number =
            |topic: &str, partition, fetchers| number_of(&TopicPartition::new(topic, partition), fetchers);
        assert_eq!(number("t", 0, 1), 0);
        // "t" hashes to 116; 31 * 116 is 3596.
        assert_eq!(
            [0, 1, 2, 3].map(|partition| number("t", partition, 4)),
            [0, 1, 2, 3]
        );
        assert_eq!(number("t", 3, 7), 3599 % 7);
        // 31 * the smallest integer is the smallest integer again, whose absolute value counts as 0.
        assert_eq!(number("polygenelubricants", 0, 5), 0);
    }
}
