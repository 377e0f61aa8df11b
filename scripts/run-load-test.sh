#!/usr/bin/env bash
# A load at a rate from stock clients, read meanwhile by a group: latencies, and whether every acknowledged record arrived.
#
#   run-load-test.sh --producers N --consumers N --message-size BYTES --target-rate RECORDS_PER_S --duration SECONDS
#                    [--bootstrap HOST:PORT] [--topic T] [--partitions N] [--acks all|1|0]
#
# Without --bootstrap it starts target/release/fluxmq, or BROKER_BINARY, in a temporary directory, and stops it. A topic that
# is there stays, and takes the records; nobody else may write to it meanwhile. One that isn't is made with --partitions (8), and
# deleted. A record is due when it is due, and its latencies count from then. Exit status 1 when something was lost, duplicated,
# changed, out of order or refused; 2 when it could not run.
#
#   run-load-test.sh --producers 4 --consumers 4 --message-size 1000 --target-rate 20000 --duration 30
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
. "$ROOT/scripts/tools.sh"

usage() {
    echo "run-load-test.sh: $*" >&2
    sed -n '4,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
producers="" consumers="" message_size="" target_rate="" duration="" bootstrap="" topic="" partitions=8 acks=all
while [[ $# -gt 0 ]]; do
    case $1 in
    --producers | --consumers | --message-size | --target-rate | --duration | --bootstrap | --topic | --partitions | --acks)
        [[ $# -ge 2 ]] || usage "$1 needs a value"
        name=${1#--}
        printf -v "${name//-/_}" %s "$2"
        shift 2
        ;;
    *) usage "no option $1" ;;
    esac
done

# number OPTION LEAST MOST
number() {
    local name=${1#--} value
    name=${name//-/_}
    value=${!name}
    [[ -n $value ]] || usage "$1 is missing: say how many, from $2 to $3"
    [[ $value =~ ^[0-9]{1,9}$ ]] || usage "$1 $value: a number from $2 to $3"
    ((10#$value >= $2 && 10#$value <= $3)) || usage "$1 $value: a number from $2 to $3"
}
number --producers 1 1000
number --consumers 1 1000
# 24 bytes say which record it is. A request is refused from 100 MB on.
number --message-size 24 50000000
number --target-rate 1 10000000
number --duration 1 86400
number --partitions 1 10000
[[ $acks == all || $acks == 1 || $acks == 0 ]] || usage "--acks $acks: all, 1 or 0"
[[ -z $bootstrap || $bootstrap =~ ^.+:[0-9]+$ ]] || usage "--bootstrap $bootstrap: HOST:PORT"

need_java
java_version=$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$ROOT/java-tests/pom.xml" | head -1)
listed=$ROOT/target/java-classpath-$java_version.txt
mkdir -p "$ROOT/target"
mvn -q -B -f "$ROOT/java-tests/pom.xml" compile dependency:build-classpath -Dmdep.outputFile="$listed" </dev/null >&2 || exit 2
classpath=$ROOT/java-tests/target/$java_version/classes:$(<"$listed")

if [[ -z $bootstrap ]]; then
    broker=${BROKER_BINARY:-$ROOT/target/release/fluxmq}
    [[ -x $broker ]] || (cd "$ROOT" && cargo build --release)
    work=$(mktemp -d)
    pid=""
    finish() {
        trap '' PIPE # whoever read the output may be gone
        [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
        [[ -z $pid ]] || wait "$pid" || true
        rm -rf "$work"
    }
    trap finish EXIT
    trap 'exit 130' INT TERM PIPE
    port=$(free_port)
    "$broker" --port "$port" --data-dir "$work/data" --override http.listener= --override group.initial.rebalance.delay.ms=0 \
        >"$work/log" 2>&1 &
    pid=$!
    for _ in $(seq 200); do
        ! grep -q '^ready in ' "$work/log" || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    grep -q '^ready in ' "$work/log" || { cat "$work/log" >&2; echo "run-load-test.sh: the broker did not start" >&2; exit 2; }
    bootstrap=127.0.0.1:$port
fi

# A JVM that has lost threads for want of memory would find fault with the broker: it ends instead, with status 3.
java -XX:+UseParallelGC -XX:+ExitOnOutOfMemoryError -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$classpath" \
    com.fluxmq.tests.LoadTest "bootstrap=$bootstrap" ${topic:+"topic=$topic"} "partitions=$partitions" "producers=$producers" \
    "consumers=$consumers" "message-size=$message_size" "target-rate=$target_rate" "duration=$duration" "acks=$acks" || {
    status=$?
    ((status == 3)) || exit "$status"
    echo "run-load-test.sh: the clients had too little memory, which says nothing of the broker: fewer or smaller records, fewer" >&2
    echo "producers, or more of it: JAVA_TOOL_OPTIONS=-Xmx8g" >&2
    exit 2
}
