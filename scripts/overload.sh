#!/usr/bin/env bash
# Puts a release build under load and under attack, in full: 10,000 idle connections, frames that are never finished,
# answers that nobody reads, bombs, long lists. Prints a line per attack; fails if the broker gives way.
# It takes some minutes, and wants 12,000 open files (ulimit -Hn) and two processors that nobody else uses.
#   scripts/overload.sh [PART OF A TEST'S NAME]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/test.sh --only-install
cargo build --locked --release
GREGOR_BINARY=$PWD/${CARGO_TARGET_DIR:-target}/release/gregor
[[ -x $GREGOR_BINARY ]] || GREGOR_BINARY=$CARGO_TARGET_DIR/release/gregor
export GREGOR_BINARY GREGOR_LONG_TESTS=1
# A test that can't do its work fails instead of being skipped.
export CI=true
grep -q ': test$' <<< "$(cargo test --locked --test it "overload::${1:-}" -- --list)" || {
  printf 'error: no attack is called so: %s\nhint: without an argument, all are run\n' "$1" >&2
  exit 2
}
# One at a time: they measure.
exec cargo test --locked --test it "overload::${1:-}" -- --test-threads=1
