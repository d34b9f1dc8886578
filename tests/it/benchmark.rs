//! The benchmark runs: one tiny round of it, whose figures mean nothing.

use std::process::Command;
use std::time::Duration;

use crate::support::Need;
use crate::support::have;
use crate::support::process::run;
use crate::support::project;
use crate::support::scratch;

/// Two programs are compiled for it, and the reference is started.
const DEADLINE: Duration = Duration::from_secs(180);

/// The cells of the line of a table for a row and its first metric.
fn cells<'a>(table: &'a str, row: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(&format!("| {row} |")));
    let line = line.unwrap_or_else(|| panic!("no row {row} in {table}"));
    line.split('|').map(str::trim).collect()
}

#[test]
fn a_tiny_round_of_the_benchmark_compares_all_brokers() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let mut command = Command::new(project().join("scripts/bench.sh"));
    command
        .args(["produce", "consume", "latency", "connections", "size"])
        .env("GREGOR_BINARY", env!("CARGO_BIN_EXE_gregor"))
        .env("BENCH_FOLDER", folder.path())
        .env("ROUNDS", "1")
        .env("SCALE", "0.001");
    let printed = run(command, b"", DEADLINE).succeeded().text();
    for row in [
        "produce 100 B, 8 partitions",
        "consume 1024 B, 8 partitions",
        "acknowledged, 1,000 requests/s",
        "64 connections, 1 request in flight each",
    ] {
        let cells = cells(&printed, row);
        // Row, metric, three brokers, two ratios, between the bars at both ends.
        assert_eq!(cells.len(), 9, "{cells:?}");
        assert!(cells[3..8].iter().all(|cell| !cell.is_empty()), "{cells:?}");
    }
    assert!(
        printed.contains("| P1 | produce 100 B, 8 partitions | messages/s | ≥ 1,400,000 |"),
        "{printed}"
    );
    for result in ["result.md", "result.json", "result.svg"] {
        assert!(folder.path().join(result).exists(), "{result}");
    }
}
