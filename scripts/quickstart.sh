#!/usr/bin/env bash
# From a fresh clone to the first messages: builds Gregor, starts ZooKeeper and a broker in the background, sends a real
# file through them with kcat and shows what came out. A second run goes on where the first one left off.
#   scripts/quickstart.sh          start, send, show
#   scripts/quickstart.sh stop     stop the broker and ZooKeeper; their data stay
# Environment: ZOOKEEPER=host:port[/chroot] uses that ensemble instead of starting one; GREGOR_HOME is the folder for data,
# logs and settings (./gregor-data); GREGOR_BINARY is a gregor that is built already; PORT (9092), ZOOKEEPER_PORT (2181)
# and METRICS_PORT (9308) are where to listen.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${GREGOR_HOME:-$root/gregor-data}
port=${PORT:-9092}
zookeeper_port=${ZOOKEEPER_PORT:-2181}
metrics_port=${METRICS_PORT:-9308}
topic=quickstart
file=$root/LICENSE

die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

install_packages() {
  local missing=()
  command -v kcat > /dev/null || missing+=(kcat)
  [[ -n ${ZOOKEEPER:-} || -e /usr/share/java/zookeeper.jar ]] || missing+=(zookeeper)
  ((${#missing[@]})) || return 0
  command -v apt-get > /dev/null || die "${missing[*]} missing" "install by hand; this is no Debian"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo > /dev/null || die "${missing[*]} missing" "run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]} ..."
  if ! {
    "${as_root[@]}" apt-get update -q < /dev/null &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" < /dev/null
  } > "$home/install.log" 2>&1; then
    die "cannot install ${missing[*]}" "see $home/install.log"
  fi
}

# Whether the process that a file names still is the one that wrote it.
runs() {
  local pid
  pid=$(cat "$home/$1.pid" 2> /dev/null) && [[ -n $pid ]] && grep -qaF "$home/" "/proc/$pid/cmdline" 2> /dev/null
}

open() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# await SECONDS NAME COMMAND ...: until the command succeeds; gives up when the process NAME has ended.
await() {
  local deadline=$((SECONDS + $1)) name=$2
  shift 2
  until "$@"; do
    # Not "runs": a process that was only just forked does not bear its name yet.
    if ! kill -0 "$(cat "$home/$name.pid")" 2> /dev/null || ((SECONDS > deadline)); then
      tail -n 20 "$home/$name.log" >&2
      die "$name does not start" "its last words are above, all of them in $home/$name.log"
    fi
    sleep 0.1
  done
}

background() {
  local name=$1
  shift
  setsid nohup "$@" >> "$home/$name.log" 2>&1 < /dev/null &
  echo $! > "$home/$name.pid"
}

start_zookeeper() {
  if runs zookeeper; then
    echo "ZooKeeper runs already."
    return
  fi
  ! open "$zookeeper_port" ||
    die "port $zookeeper_port is taken" "ZOOKEEPER=localhost:$zookeeper_port uses the ZooKeeper there, ZOOKEEPER_PORT another port"
  echo "Starting ZooKeeper on port $zookeeper_port ..."
  mkdir -p "$home/zookeeper"
  cat > "$home/zookeeper/zoo.cfg" << EOF
dataDir=$home/zookeeper/data
clientPort=$zookeeper_port
clientPortAddress=127.0.0.1
admin.enableServer=false
EOF
  background zookeeper java -Xmx256m -cp /etc/zookeeper/conf:/usr/share/java/zookeeper.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$home/zookeeper/zoo.cfg"
  await 30 zookeeper open "$zookeeper_port"
}

ready() {
  local answer
  answer=$( (exec 3<> "/dev/tcp/127.0.0.1/$metrics_port" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3) 2> /dev/null) &&
    [[ $answer == *" 200"* ]]
}

start_broker() {
  if runs broker; then
    echo "The broker runs already."
    return
  fi
  echo "Starting the broker on port $port ..."
  # Written once: it is yours to change.
  [[ -e $home/server.properties ]] || cat > "$home/server.properties" << EOF
broker.id=0
host.name=127.0.0.1
advertised.host.name=localhost
log.dirs=$home/data
EOF
  background broker "$gregor" server "$home/server.properties" --override "port=$port" \
    --override "zookeeper.connect=$zookeeper" --override "metrics.listen=127.0.0.1:$metrics_port"
  await 60 broker ready
}

client() { kcat -b "localhost:$port" -X broker.version.fallback=0.8.2.2 -X api.version.request=false "$@"; }

# The offset at which the next message will be.
end_offset() { client -Q -t "$topic:0:-1" | sed -n 's/.* offset //p'; }

# A topic comes into being when a client first asks for it; it is there once it has a leader, and that knows that it is.
topic_is_led() {
  client -L -t "$topic" 2> /dev/null | grep -q 'partition 0, leader [0-9]' && [[ -n $(end_offset 2> /dev/null) ]]
}
create_topic() { await 30 broker topic_is_led; }

send_and_show() {
  local from to count
  from=$(end_offset)
  # Lines without text are no messages to kcat.
  grep -v '^$' "$file" > "$home/sent"
  client -P -t "$topic" -p 0 -l "$home/sent"
  to=$(end_offset)
  count=$((to - from))
  client -C -t "$topic" -p 0 -o "$from" -c "$count" -q > "$home/received"
  cmp -s "$home/sent" "$home/received" || die "what came out differs from what went in" "compare $home/sent and $home/received"
  echo
  echo "Sent the $count lines of ${file#"$root/"} to topic $topic and read them back (offsets $from to $((to - 1))):"
  sed -n '1,3s/^/  | /p' "$home/received"
  echo "  | ... $((count - 4)) more, and the last one:"
  sed -n '$s/^/  | /p' "$home/received"
}

how_to_go_on() {
  cat << EOF

The broker runs in the background at localhost:$port, ZooKeeper is $zookeeper. Go on:
  echo hello | $gregor console-producer --broker-list localhost:$port --topic $topic
  kcat -C -b localhost:$port -X broker.version.fallback=0.8.2.2 -X api.version.request=false -t $topic
  http://localhost:$metrics_port/metrics
Settings, data and logs: $home
Stop: scripts/quickstart.sh stop
EOF
}

# stop NAME: asks the process to end, and waits for it.
stop() {
  local deadline=$((SECONDS + 20)) pid
  runs "$1" || return 0
  pid=$(cat "$home/$1.pid")
  echo "Stopping the $1 ..."
  kill "$pid"
  while runs "$1"; do
    ((SECONDS < deadline)) || die "the $1 (process $pid) does not stop" "see $home/$1.log"
    sleep 0.1
  done
  rm -f "$home/$1.pid"
}

# Processes are known by their absolute paths.
[[ ! -d $home ]] || home=$(cd "$home" && pwd)

case ${1:-} in
  stop)
    # The broker first, so that it can sign off in ZooKeeper.
    stop broker
    stop zookeeper
    exit 0
    ;;
  "") ;;
  *) die "unknown argument: $1" "scripts/quickstart.sh [stop]" ;;
esac

mkdir -p "$home"
home=$(cd "$home" && pwd)
install_packages
if [[ -n ${GREGOR_BINARY:-} ]]; then
  gregor=$GREGOR_BINARY
else
  command -v cargo > /dev/null || die "Rust is missing" "see https://rustup.rs"
  echo "Building ..."
  (cd "$root" && cargo build --release --locked)
  gregor=${CARGO_TARGET_DIR:-$root/target}/release/gregor
fi
zookeeper=${ZOOKEEPER:-localhost:$zookeeper_port}
[[ -n ${ZOOKEEPER:-} ]] || start_zookeeper
start_broker
create_topic
send_and_show
how_to_go_on
