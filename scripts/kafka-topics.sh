#!/usr/bin/env bash
# Creates, lists, describes, changes and deletes topics: `gregor topics` under the name that operators of 0.8 know.
# Environment: GREGOR_BINARY is a gregor that is built already; GREGOR_EXIT_LIKE_KAFKA=1 ends with 0 also after a failure.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for gregor in "${GREGOR_BINARY:-}" "$root/target/release/gregor" "$root/gregor" "$(command -v gregor || true)"; do
  if [[ -n $gregor && -x $gregor ]]; then
    exec "$gregor" topics "$@"
  fi
done
printf 'error: gregor is not built\nhint: cargo build --release, or set GREGOR_BINARY\n' >&2
exit 1
