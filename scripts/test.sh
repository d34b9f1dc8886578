#!/usr/bin/env bash
# Runs all tests, after installing what they need on a bare Debian with Rust: ZooKeeper, the clients that the tests let
# loose on the broker, and the reference (Apache Kafka 0.8.2.2) to compare with.
#   scripts/test.sh [ARGUMENTS OF cargo test ...]
#   scripts/test.sh --only-install
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

install_packages() {
  local missing=() pair
  for pair in kcat:kcat curl:curl java:default-jdk-headless mvn:maven strace:strace faketime:faketime ip:iproute2 \
    script:bsdutils unshare:util-linux flock:util-linux python3:python3 gcc:gcc; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
  [[ -e /usr/include/librdkafka/rdkafka.h ]] || missing+=(librdkafka-dev libc6-dev)
  python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
  [[ -n ${ZOOKEEPER_HOME:-} || -e /usr/share/java/zookeeper.jar ]] || missing+=(zookeeper)
  ((${#missing[@]})) || return 0
  command -v apt-get > /dev/null || die "these packages are missing: ${missing[*]}" "install them by hand; this is no Debian"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo > /dev/null || die "these packages are missing: ${missing[*]}" "apt-get install ${missing[*]}, as root"
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -q < /dev/null >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" < /dev/null >&2
}

# kafka-python leaves the codecs to these; kazoo shows the tests what is in ZooKeeper.
libraries=(python-snappy==0.7.3 lz4==4.4.5 xxhash==3.6.0 six==1.17.0 kazoo==2.11.0)

# Two releases exclude each other: each has a virtual environment of its own.
install_python() {
  local version folder wanted
  for version in 1.4.7 2.0.6; do
    folder=${CARGO_TARGET_DIR:-target}/clients/kafka-python-$version
    wanted="kafka-python==$version ${libraries[*]}"
    [[ $(cat "$folder/.installed" 2> /dev/null) != "$wanted" ]] || continue
    echo "Installing kafka-python $version" >&2
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install -q --disable-pip-version-check "kafka-python==$version" "${libraries[@]}" < /dev/null >&2
    echo "$wanted" > "$folder/.installed"
  done
}

install_packages
install_python
tests/reference/kafka jars > /dev/null
[[ ${1:-} != --only-install ]] || exit 0

# Tests that could not do their work end well as far as cargo knows: the list tells them apart.
folder=$(mktemp -d)
export GREGOR_SKIPPED=$folder/skipped
trap 'rm -rf "$folder"' EXIT
outcome=0
cargo test --locked "$@" 2>&1 | tee "$folder/output" || outcome=$?
if [[ -s $GREGOR_SKIPPED ]]; then
  echo "$(wc -l < "$GREGOR_SKIPPED") tests were skipped:"
  sort "$GREGOR_SKIPPED"
fi
# Once more without what the brokers said, which is long.
if ((outcome)); then
  echo "What failed:"
  grep -A 3 "panicked at" "$folder/output" | cut -c 1-600 || true
fi
exit "$outcome"
