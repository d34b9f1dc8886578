//! Logs: to standard error, as much as `RUST_LOG` says.

use std::io::IsTerminal;

use tracing::Level;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// What the ZooKeeper client has to say below errors; the broker says itself which hosts do not answer.
const QUIET: &str = "zookeeper_client=error";

/// Starts logging, at `level` unless `RUST_LOG` says otherwise.
pub(super) fn start(level: Level) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = |text: &str| {
        EnvFilter::builder()
            .with_default_directive(level.into())
            .parse(text)
    };
    let (filter, mistake) = match filter(&quieted(&wanted, level)) {
        Ok(filter) => (filter, None),
        Err(error) => (filter(&quieted("", level)).unwrap_or_default(), Some(error)),
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

/// What was wanted, `level` if nothing was, without the ZooKeeper client's chatter unless that is named.
fn quieted(wanted: &str, level: Level) -> String {
    match wanted.trim() {
        "" => format!("{level},{QUIET}"),
        "off" => "off".to_owned(),
        named if named.contains("zookeeper_client") => named.to_owned(),
        others => format!("{others},{QUIET}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zookeeper_client_is_quiet_unless_it_is_named() {
        for (wanted, filter) in [
            ("", "INFO,zookeeper_client=error"),
            ("debug", "debug,zookeeper_client=error"),
            (
                "gregor::net=trace,info",
                "gregor::net=trace,info,zookeeper_client=error",
            ),
            ("info,zookeeper_client=debug", "info,zookeeper_client=debug"),
            ("off", "off"),
        ] {
            assert_eq!(quieted(wanted, Level::INFO), filter);
        }
    }
}
