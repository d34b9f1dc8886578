//! The benchmark runs: one tiny round of every row, whose figures mean nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::Need;
use crate::support::have;
use crate::support::process::Finished;
use crate::support::process::run;
use crate::support::project;
use crate::support::scratch;

/// Two programs are compiled for it, and the reference is started up to eight times.
const DEADLINE: Duration = Duration::from_secs(300);

/// The columns of the brokers in a table; the first cell is what precedes the first bar.
const REFERENCE: usize = 3;
const GREGOR: usize = 4;
const NULL: usize = 5;

/// Checks that these rows are in a table, each with figures of these brokers and of no other.
#[track_caller]
fn has_rows(table: &str, rows: &[&str], brokers: &[usize]) {
    for row in rows {
        let line = table.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("no row {row} in {table}"));
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        // Row, metric, three brokers, two ratios, between the bars at both ends.
        assert_eq!(cells.len(), 9, "{line}");
        for broker in [REFERENCE, GREGOR, NULL] {
            let figure = cells[broker].starts_with(|first: char| first.is_ascii_digit());
            assert_eq!(figure, brokers.contains(&broker), "{line}");
        }
        for (other, ratio) in [(REFERENCE, 6), (NULL, 7)] {
            // Nothing is a multiple of no CPU at all, which a tiny round may take.
            let comparable = brokers.contains(&other) && cells[other] != "0";
            assert_eq!(!cells[ratio].is_empty(), comparable, "{line}");
        }
    }
}

/// Runs the benchmark on few messages and partitions.
fn bench(folder: &Path, brokers: &str, rows: &[&str]) -> Finished {
    let mut command = Command::new(project().join("scripts/bench.sh"));
    command
        .args(rows)
        .env("GREGOR_BINARY", env!("CARGO_BIN_EXE_gregor"))
        .env("BENCH_FOLDER", folder)
        .env("ROUNDS", "1")
        .env("SCALE", "0.001")
        .env("PARTITIONS", "30")
        .env("BROKERS", brokers);
    run(command, b"", DEADLINE)
}

#[test]
fn a_tiny_round_of_the_benchmark_compares_all_brokers() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let rows = ["produce", "consume", "codecs", "latency", "connections", "size"];
    let printed = bench(folder.path(), "reference,Gregor,null", &rows)
        .succeeded()
        .text();
    let compared = [
        "produce 100 B, 8 partitions",
        "consume 1024 B, 8 partitions",
        "produce 100 B, gzip, equal values",
        "produce 100 B, gzip, log lines",
        "produce 100 B, snappy, equal values",
        "produce 100 B, snappy, log lines",
        "produce 100 B, lz4, equal values",
        "produce 100 B, lz4, log lines",
        "acknowledged, 1,000 requests/s",
        "acknowledged, 1,000 requests/s, on 1 processor",
        "acknowledged, 10,000 requests/s, on 1 processor",
        "64 connections, 1 request in flight each",
    ];
    has_rows(&printed, &compared, &[REFERENCE, GREGOR, NULL]);
    has_rows(&printed, &["program"], &[GREGOR]);
    assert!(
        printed.contains("| P1 | produce 100 B, 8 partitions | messages/s | ≥ 1,400,000 |"),
        "{printed}"
    );
    assert!(printed.contains("While nothing ran, processor "), "{printed}");
    for result in ["result.md", "result.json", "result.svg"] {
        assert!(folder.path().join(result).exists(), "{result}");
    }
}

#[test]
fn a_tiny_round_of_the_benchmark_compares_starts() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let printed = bench(folder.path(), "reference,Gregor", &["start"])
        .succeeded()
        .text();
    let compared = [
        "start, 1 empty partition",
        "start, 30 clean partitions",
        "30 consumers waiting at 30 partitions",
    ];
    has_rows(&printed, &compared, &[REFERENCE, GREGOR]);
    assert!(
        printed.contains("| P14 | start, 1 empty partition | serving ms | ≤ 50 |"),
        "{printed}"
    );
}

/// Without the reference, which would take its time over them.
#[test]
fn a_tiny_round_of_the_benchmark_has_many_partitions_flushes_and_unclean_logs() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let rows = ["flush", "partitions", "unclean"];
    let printed = bench(folder.path(), "Gregor,null", &rows).succeeded().text();
    let compared = [
        "produce 100 B, 30 partitions",
        "produce 100 B, 8 partitions beside 30",
        "produce 1024 B, 30 partitions",
        "produce 1024 B, 8 partitions beside 30",
    ];
    has_rows(&printed, &compared, &[GREGOR, NULL]);
    let of_real_brokers = [
        "flushed, 1 connection, 1 message a request",
        "flushed, 64 connections to 1 partition",
        "flushed, librdkafka's batches",
        "start, 10 GiB unclean",
    ];
    has_rows(&printed, &of_real_brokers, &[GREGOR]);
    assert!(
        printed.contains("| P14 | start, 10 GiB unclean | GiB/s | ≥ 2 |"),
        "{printed}"
    );
}

#[test]
fn a_tiny_round_of_the_benchmark_compares_clusters() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    // The null broker replicates nothing.
    let printed = bench(
        folder.path(),
        "reference,Gregor,null",
        &["replicated", "failover"],
    )
    .succeeded()
    .text();
    let compared = [
        "3 replicas, 100 B, acks=-1",
        "3 replicas, 1024 B, acks=1",
        "3 replicas, end to end, 100 requests/s",
        "3 replicas, end to end, 1,000 requests/s",
        "killed: leader of 30 partitions",
        "killed: controller of 30 partitions",
    ];
    has_rows(&printed, &compared, &[REFERENCE, GREGOR]);
    assert!(
        printed.contains("| P15 | 3 replicas, 100 B, acks=-1 | messages/s | ≥ 2 × reference |"),
        "{printed}"
    );
}

#[test]
fn a_row_that_the_benchmark_does_not_have_is_refused() {
    if !have(&[Need::Gregor, Need::Reference, Need::Librdkafka]) {
        return;
    }
    let folder = scratch("bench");
    let refused = bench(folder.path(), "Gregor", &["produce", "prodcue"]);
    assert!(
        !refused.status.success()
            && refused
                .stderr
                .contains("no such row: prodcue; there are produce,"),
        "{}",
        refused.account()
    );
    assert!(!folder.path().join("data").exists(), "nothing was started");
}
