//! Logs: to standard error, as much as `RUST_LOG` says.

use std::io::IsTerminal;

use tracing::Level;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// Starts logging, at `level` unless `RUST_LOG` says otherwise.
pub(super) fn start(level: Level) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    // The client library tells each step of a connection, which our own lines sum up.
    let quiet = if wanted.is_empty() {
        "zookeeper_client=warn"
    } else {
        wanted.as_str()
    };
    let filter = |text: &str| {
        EnvFilter::builder()
            .with_default_directive(level.into())
            .parse(text)
    };
    let (filter, mistake) = match filter(quiet) {
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
