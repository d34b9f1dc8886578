//! The runtime under every command.

use std::future::Future;

use tokio::runtime::Builder;

use super::Failure;

/// Runs a future to its end, with so many threads or one per core.
pub(super) fn block_on<T>(
    threads: Option<usize>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().map_err(|error| {
        Failure::new(
            format!("start threads: {error}"),
            "raise the limit of threads: ulimit -u",
        )
    })?;
    let result = runtime.block_on(future);
    // What is done is done by now; a thread that still waits for a terminal or a hung disk must not hold up the end.
    runtime.shutdown_background();
    result
}
