#!/usr/bin/env bash
# Runs four brokers and three ZooKeeper servers, each on a host of its own, under load, and lets everything happen to them
# that can: prints a line for every round, and at the end what was done and found. About 10 seconds a round.
#   scripts/chaos.sh [ROUNDS] [SEED]
# The seed decides what happens in which round; without one, another is taken every time, and printed. Stops at the first
# loss and leaves logs and data of all brokers in target/chaos-SEED. Environment: CHAOS_JAVA=1 makes one of the brokers a
# Java one, which may lose by itself; GREGOR_BINARY another build of the broker.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/test.sh --only-install
export GREGOR_CHAOS_ROUNDS=${1:-200} GREGOR_CHAOS_SEED=${2:-$((RANDOM << 15 | RANDOM))}
export GREGOR_CHAOS_JAVA=${CHAOS_JAVA:-0} GREGOR_CHAOS_LEAVE=${CARGO_TARGET_DIR:-target}/chaos-$GREGOR_CHAOS_SEED
# A test that can't do its work fails instead of being skipped.
export CI=true
# Cargo is content with running none.
chaos=(cargo test --locked --test it chaos::nothing_acknowledged_is_lost_in_chaos -- --exact)
[[ $("${chaos[@]}" --list) == *': test'* ]] || { echo 'error: there is no such test' >&2; exit 1; }
"${chaos[@]}"
