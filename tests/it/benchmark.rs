//! The benchmark runs: one tiny round of it, whose figures mean nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::Need;
use crate::support::have;
use crate::support::process::run;
use crate::support::project;
use crate::support::scratch;

/// Two programs are compiled for it, and the reference is started up to eight times.
const DEADLINE: Duration = Duration::from_secs(300);

/// The cells of the line of a table for a row and its first metric.
fn cells<'a>(table: &'a str, row: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(&format!("| {row} |")));
    let line = line.unwrap_or_else(|| panic!("no row {row} in {table}"));
    line.split('|').map(str::trim).collect()
}

/// What a tiny round prints.
fn tiny_round(folder: &Path, rows: &[&str]) -> String {
    let mut command = Command::new(project().join("scripts/bench.sh"));
    command
        .args(rows)
        .env("GREGOR_BINARY", env!("CARGO_BIN_EXE_gregor"))
        .env("BENCH_FOLDER", folder)
        .env("ROUNDS", "1")
        .env("SCALE", "0.001");
    run(command, b"", DEADLINE).succeeded().text()
}

#[test]
fn a_tiny_round_of_the_benchmark_compares_all_brokers() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let rows = ["produce", "consume", "latency", "connections", "size"];
    let printed = tiny_round(folder.path(), &rows);
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

#[test]
fn a_tiny_round_of_the_benchmark_compares_clusters() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let printed = tiny_round(folder.path(), &["replicated", "failover"]);
    for row in [
        "3 replicas, 100 B, acks=-1",
        "3 replicas, 1024 B, acks=1",
        "3 replicas, end to end, 100 requests/s",
        "3 replicas, end to end, 1,000 requests/s",
        "killed: leader of 30 partitions",
        "killed: controller of 30 partitions",
    ] {
        let cells = cells(&printed, row);
        // The null broker replicates nothing.
        let filled = [3, 4, 6].iter().all(|cell| !cells[*cell].is_empty());
        assert!(filled && cells[5].is_empty(), "{cells:?}");
    }
    assert!(
        printed.contains("| P15 | 3 replicas, 100 B, acks=-1 | messages/s | ≥ 2 × reference |"),
        "{printed}"
    );
}
