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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tokio::time::Instant;
    use tokio::time::sleep;

    use super::*;

    const DELAY: Duration = Duration::from_millis(100);

    /// What the pauses may be longer than asked for: the clock of the runtime knows milliseconds.
    const ROUNDING: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn as_many_as_go_together_take_little_longer_than_one_and_keep_their_order() {
        let began = Instant::now();
        let count = u32::try_from(WIDTH).unwrap();
        // The first takes longest: they end in the reverse order.
        let operations = (0..count).map(|number| async move {
            sleep(DELAY * (2 * count - number) / (2 * count)).await;
            Ok(number)
        });
        let results: Vec<_> = pipelined(operations).await.into_iter().flatten().collect();
        assert!(results.into_iter().eq(0..count));
        let took = began.elapsed();
        assert!(took >= DELAY && took < DELAY + ROUNDING, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_width_are_under_way() {
        let under_way = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let operations = (0..4 * WIDTH).map(|number| {
            let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
            async move {
                let now = under_way.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                sleep(DELAY).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                Ok(number)
            }
        });
        let results: Vec<_> = pipelined(operations).await.into_iter().flatten().collect();
        assert!(results.into_iter().eq(0..4 * WIDTH));
        assert_eq!(most.load(Ordering::Relaxed), WIDTH);
        let took = began.elapsed();
        assert!(took >= 4 * DELAY && took < 4 * (DELAY + ROUNDING), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_begun_fails_with_those_that_get_no_answer() {
        let path = || "/silent".to_owned();
        let silent: fn(String) -> Error = |path| Error::Unavailable { path };
        // Another failure is the business of the operation that meets it.
        let absent: fn(String) -> Error = |path| Error::NotFound { path };
        for (failure, begin) in [(silent, WIDTH), (absent, 3 * WIDTH)] {
            let begun = Arc::new(AtomicUsize::new(0));
            let operations = (0..3 * WIDTH).map(|_| {
                let begun = Arc::clone(&begun);
                async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    sleep(DELAY).await;
                    Err::<(), _>(failure(path()))
                }
            });
            let results = pipelined(operations).await;
            assert_eq!(results.len(), 3 * WIDTH);
            let expected = failure(path()).to_string();
            for result in results {
                assert_eq!(result.unwrap_err().to_string(), expected);
            }
            assert_eq!(begun.load(Ordering::Relaxed), begin, "{expected}");
        }
    }
}
