#!/usr/bin/env bash
# Fuzzes what reads bytes from the network, the disk or ZooKeeper, and prints what came of it.
#   scripts/fuzz.sh [TARGET|all] [EXECUTIONS]
#   scripts/fuzz.sh --every-cut
# Each target (tests/fuzz/fuzz_targets) runs for so many executions, 10,000,000 if not said otherwise, from inputs made of
# tests/fixtures and whatever earlier runs have found (target/fuzz/corpus). An input that breaks a property ends its target,
# stays in target/fuzz/artifacts and makes the exit status 1.
# --every-cut cuts every fixture, whatever its size, and every input made of them at each of their bytes instead
# (tests/fuzz_properties.rs, which the test suite runs with a sample of the cuts), and prints how many cuts that were.
# Only indexes of 10 MiB, which are zeros, are cut every 256 KiB behind the bytes where their first entries would be.
# GREGOR_FUZZ_SANITIZER: address finds misuse of memory in the crates we use, at a third of the speed; none by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --every-cut ]]; then
  GREGOR_FUZZ_CUTS=every exec cargo test --locked --release --test fuzz_properties -- --nocapture
fi

folder=tests/fuzz
build=${CARGO_TARGET_DIR:-target}/fuzz
sanitizer=${GREGOR_FUZZ_SANITIZER:-none}
triple=$(rustc -vV | sed -n 's/^host: //p')
# libFuzzer needs options of the compiler that are not stable; the code does not.
export RUSTC_BOOTSTRAP=1

die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

# What is worth more than a few hundred bytes takes a larger input to show.
longest_input() {
  case $1 in
    message_sets | recovery) echo 768 ;;
    configuration | properties | checkpoints) echo 128 ;;
    *) echo 512 ;;
  esac
}

# Runs one target; prints a line of the table.
fuzz() {
  local target=$1 executions=$2 corpus=$build/corpus/$1 seeds=$build/seeds/$1 log=$build/$1.log outcome=0
  mkdir -p "$corpus" "$build/artifacts/$target"
  "$build/debug/examples/seeds" "$target" tests/fixtures "$seeds"
  "$build/$triple/release/$target" -runs="$executions" -max_len="$(longest_input "$target")" -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$build/artifacts/$target/" \
    "$corpus" "$seeds" > "$log" 2>&1 || outcome=$?
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  printf '%-16s %12s %14s %8s %8s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
    "$(find "$corpus" -type f | wc -l)" "$((outcome != 0))"
  if ((outcome)); then
    echo "  see $log" >&2
    failed=1
  fi
}

targets() { sed -n 's/^name = "\(.*\)"$/\1/p' "$folder/Cargo.toml" | grep -v '^gregor-fuzz$'; }

wanted=${1:-all}
executions=${2:-10000000}
[[ $executions =~ ^[0-9]+$ ]] || die "$executions is no number of executions" "scripts/fuzz.sh $wanted 1000000"
if [[ $wanted == all ]]; then
  wanted=$(targets)
elif ! targets | grep -qx -- "$wanted"; then
  die "there is no target $wanted" "take one of: all $(targets | xargs)"
fi
command -v cargo-fuzz > /dev/null || cargo install --locked --quiet cargo-fuzz
cargo fuzz build --fuzz-dir "$folder" --target-dir "$build" --sanitizer "$sanitizer" >&2
cargo build --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$build" --example seeds >&2

failed=0
printf '%-16s %12s %14s %8s %8s\n' target executions executions/s corpus crashes
for target in $wanted; do
  fuzz "$target" "$executions"
done
exit "$failed"
