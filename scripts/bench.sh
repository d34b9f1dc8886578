#!/usr/bin/env bash
# Measures Gregor beside the reference (Apache Kafka 0.8.2.2) and beside a null broker that does as little as can be done,
# in turn on the same disk, with the same settings and the same real client (librdkafka); then three brokers of each that
# replicate, and lose one. Prints markdown tables: medians, spread, ratios, and which goals are met. Takes most of an
# hour, or half an hour with SCALE=0.3; the machine should do nothing else meanwhile.
#   scripts/bench.sh [ROW ...]     of produce consume codecs latency connections flush partitions start replicated failover
#                                  size; and, only when asked for, partitions10000, unclean (10 GiB of logs that nobody
#                                  closed) and failover10000 (a leader, then the controller, of 10,000 partitions killed;
#                                  with failover2000, the same of 2,000, which the reference can hold)
#   scripts/bench.sh all           every row, also those: about an hour and a half
# Environment: ROUNDS (5); SCALE multiplies all counts of messages (1); PARTITIONS is the most that a topic of one broker
# gets (10000: every row as it is called); BROKERS (reference,Gregor,null); BENCH_FOLDER is where data and results go
# (target/bench): up to 15 GiB; GREGOR_BINARY is a gregor that is built already. result.md, result.json and result.svg
# there are those of the last run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

target=${CARGO_TARGET_DIR:-$PWD/target}
folder=${BENCH_FOLDER:-$target/bench}
tools=$target/bench-tools
sources=tests/bench

command -v cargo > /dev/null || die "Rust is missing" "see https://rustup.rs"
scripts/test.sh --only-install
bench=(python3 -B "$sources/bench.py" --gregor "${GREGOR_BINARY:-$target/release/gregor}" --tools "$tools"
  --folder "$folder" --rounds "${ROUNDS:-5}" --scale "${SCALE:-1}" --partitions "${PARTITIONS:-10000}"
  --brokers "${BROKERS:-reference,Gregor,null}" "$@")
# A wrong word is refused before anything is built.
"${bench[@]}" --only-check
[[ -n ${GREGOR_BINARY:-} ]] || cargo build --release --locked
mkdir -p "$tools"
cargo build --release --locked --quiet --manifest-path $sources/null_broker/Cargo.toml --target-dir "$tools/target"
# Moved into their places whole: another run may be using what is there.
new=$(mktemp -d -p "$tools")
cp "$tools/target/release/null_broker" "$new"
gcc -O2 -Wall -Wextra -o "$new/rdk" $sources/rdk.c -lrdkafka -lpthread
gcc -O2 -Wall -Wextra -o "$new/connections" $sources/connections.c
gcc -O2 -Wall -Wextra -o "$new/pauses" $sources/pauses.c -lpthread
mv "$new"/* "$tools"
rmdir "$new"

# Every one of a thousand connections takes a descriptor, in the client as in the broker.
ulimit -n "$(ulimit -Hn)"
mkdir -p "$folder"
exec "${bench[@]}"
