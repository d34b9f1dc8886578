//! Doing the same to many logs, several at a time.

use std::sync::Mutex;
use std::thread;

use crate::log::Error;
use crate::log::lock;

/// Does something to every item, several at a time.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    act: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = Mutex::new(items.iter());
    let work = || {
        let mut results = Vec::new();
        loop {
            let item = lock(&next).next();
            match item {
                Some(item) => results.push(act(item)),
                None => return results,
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(join).collect()
    })
}

/// The result of a thread. Its panic is ours.
pub(crate) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn first_error(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
}
