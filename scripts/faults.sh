#!/usr/bin/env bash
# Kills, breaks and misleads the broker at length, and prints what was done: 50 kills under load, every call of the log
# that changes a file, every fault of a disk, the clock set to and fro, ZooKeeper away for a minute. About 10 minutes.
#   scripts/faults.sh [KILLS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/test.sh --only-install
export GREGOR_KILLS=${1:-50} GREGOR_CRASH_POINTS=all GREGOR_DISK_FAULTS=all GREGOR_ZOOKEEPER_AWAY=60
# A test that can't do its work fails instead of being skipped.
export CI=true
cargo test --locked --test it faults_ -- --test-threads=2
