//! Many operations at the same time over one session, so that they share the round trips.

use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;

use tokio::task::JoinSet;

use crate::zookeeper::Error;

/// Operations under way at the same time: enough to hide the round trip, far below the number at which ZooKeeper
/// starts to throttle.
const WIDTH: usize = 256;

/// Runs one operation per item and returns the results in the order of the items.
///
/// Each has a time limit of its own, so a slow ensemble gets through any number of them. But as soon as one finds that
/// ZooKeeper does not answer, those that have not begun fail with it: all together never wait much longer than one.
pub(super) async fn pipelined<T, F>(operations: impl Iterator<Item = F>) -> Vec<Result<T, Error>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let silent = Arc::new(OnceLock::<String>::new());
    let mut running = JoinSet::new();
    let mut results = Vec::new();
    for (position, operation) in operations.enumerate() {
        if running.len() >= WIDTH {
            results.extend(joined(&mut running).await);
        }
        let silent = Arc::clone(&silent);
        running.spawn(async move {
            if let Some(path) = silent.get().cloned() {
                return (position, Err(Error::Unavailable { path }));
            }
            let result = operation.await;
            if let Err(Error::Unavailable { path }) = &result {
                silent.get_or_init(|| path.clone());
            }
            (position, result)
        });
    }
    while let Some(result) = joined(&mut running).await {
        results.push(result);
    }
    results.sort_unstable_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

async fn joined<T: 'static>(running: &mut JoinSet<T>) -> Option<T> {
    match running.join_next().await? {
        Ok(result) => Some(result),
        // Nothing aborts these tasks but dropping the set, so this is a panic that must not be swallowed.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
