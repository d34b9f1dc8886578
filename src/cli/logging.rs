//! Logs: to standard error, as much as `RUST_LOG` says.

use std::io::IsTerminal;

use tracing::Level;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// What the ZooKeeper client has to say below errors; the broker says itself which hosts do not answer.
const QUIET: &str = "zookeeper_client=error";

/// Starts logging, at `level` unless `RUST_LOG` says otherwise.
pub(super) fn start(level: Level) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| format!("{level},{QUIET}"));
    let filter = |text: &str| {
        EnvFilter::builder()
            .with_default_directive(level.into())
            .parse(text)
    };
    let (filter, mistake) = match filter(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::default().add_directive(level.into()), Some(error)),
    };
    let started = tracing_subscriber::fmt()
        .compact()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .try_init();
    // Logs may have been started before, by a test.
    if let (Ok(()), Some(error)) = (started, mistake) {
        warn!("RUST_LOG is ignored: {wanted}: {error}");
    }
}
