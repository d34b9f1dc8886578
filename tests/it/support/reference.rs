//! The reference's programs: Apache Kafka 0.8.2.2 in Java, through the launcher in `tests/reference`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::process::Finished;
use super::process::run;
use super::project;

/// Enough for a program that starts in a third of a second, on a machine that builds something else meanwhile.
const DEADLINE: Duration = Duration::from_secs(60);

/// The launcher with its command.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(project().join("tests/reference/kafka"));
    command.args(arguments).env("REFERENCE_HEAP", "256m");
    command
}

/// Whether the jars are there and Java runs.
pub(crate) fn installed() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let cache = std::env::var_os("REFERENCE_CACHE").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/kafka-0.8.2.2"),
            PathBuf::from,
        );
        let java = Command::new("java").arg("-version").output();
        cache.join(".complete").exists() && java.is_ok_and(|output| output.status.success())
    })
}

/// Runs one of its tools to the end, which must be a success.
#[track_caller]
pub(crate) fn tool(arguments: &[&str], stdin: &[u8]) -> Finished {
    run(command(arguments), stdin, DEADLINE).succeeded()
}
