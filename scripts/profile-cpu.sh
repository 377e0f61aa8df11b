#!/usr/bin/env bash
# Where the broker's CPU goes: a flame graph of its threads, and the ten functions with the most samples of their own.
#
#   profile-cpu.sh [--seconds N] [--out FILE.svg] [--load produce16k|produce1mb|fetch1mb]
#   profile-cpu.sh [--seconds N] [--out FILE.svg] --pid PID
#
# Without --pid it starts target/release/fluxmq, or BROKER_BINARY, as it was built last, under a load of
# benches/benches/broker/loads.rs (produce16k), and in a network namespace where that is permitted. 10 seconds unless told
# otherwise; the graph goes to target/profile-LOAD.svg. Of a process that isn't FluxMQ all threads are shown.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
. "$ROOT/scripts/tools.sh"
. "$ROOT/scripts/own_load.sh"

usage() {
    [[ $# -eq 0 ]] || echo "profile-cpu.sh: $*" >&2
    sed -n '4,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
given=("$@")
seconds=10 pid="" load="" out=""
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || usage "$1 needs a value"
    case $1 in
    --seconds) seconds=$2 ;;
    --pid) pid=$2 ;;
    --load) load=$2 ;;
    --out) out=$2 ;;
    *) usage "no option $1" ;;
    esac
    shift 2
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage "--seconds $seconds is not a number of seconds"
[[ -z $pid || -z $load ]] || usage "either --pid or --load"
[[ -z $pid || ($pid =~ ^[0-9]+$ && -d /proc/$pid) ]] || usage "no process $pid"
case ${load:-produce16k} in
produce16k) what=small ;;
produce1mb) what=produce1 ;;
fetch1mb) what=fetch ;;
*) usage "no load $load" ;;
esac
name=${pid:-${load:-produce16k}}
out=${out:-$ROOT/target/profile-$name.svg}

if [[ -z ${OWN_NETWORK:-} ]]; then
    need_perf
    need_inferno
    if [[ -z $pid ]]; then
        need_broker_bench
        need ip iproute2
        own_network "${given[@]}"
    fi
else
    bring_up_network
fi

work=$(mktemp -d)
finish() {
    trap '' PIPE # whoever read the output may be gone
    stop_load
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM PIPE

# By the debug information: frame pointers are not kept in a release build.
how=(-e cpu-clock -F 999 --call-graph "dwarf,8192" -m 16M)
if ! perf record "${how[@]}" -o "$work/permitted.data" ${pid:+-p "$pid"} -- sleep 0.1 >"$work/refused" 2>&1; then
    cat "$work/refused" >&2
    echo "profile-cpu.sh: perf is not permitted (kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid)): run it as" >&2
    echo "root, or sysctl kernel.perf_event_paranoid=-1; in a container also --cap-add PERFMON" >&2
    exit 1
fi

if [[ -z $pid ]]; then
    # What is appended is deleted again, so that a load can go on for as long as it has to. By size alone: its records are dated
    # long ago.
    limits=""
    [[ $what == fetch ]] || limits="--override log.retention.bytes=1000000000 --override log.retention.ms=-1
        --override log.segment.bytes=268435456 --override log.retention.check.interval.ms=1000"
    printf '#!/bin/sh\nexec "%s" "$@" %s\n' "${BROKER_BINARY:-$ROOT/target/release/fluxmq}" "${limits//$'\n'/ }" >"$work/broker"
    chmod +x "$work/broker"
    port=$(free_port)
    "$BROKER_BENCH" what=$what rounds=1 gb=10000 port="$port" dir="$work/data" broker="$work/broker" >"$work/bench.log" 2>&1 &
    started=($!)
    disown # or the shell tells of its end
    for _ in $(seq 100); do
        pid=$(pgrep -P "${started[0]}") && break
        sleep 0.1
    done
    [[ -n $pid ]] || { cat "$work/bench.log" >&2; echo "profile-cpu.sh: the broker did not start" >&2; exit 1; }
    started+=("$pid")
    sleep 3 # buffers, the topic's first segments
fi

perf record "${how[@]}" -o "$work/perf.data" -p "$pid" -- sleep "$seconds" >"$work/refused" 2>&1 || {
    cat "$work/refused" >&2
    [[ ! -f $work/bench.log ]] || cat "$work/bench.log" >&2
    echo "profile-cpu.sh: process $pid could not be followed" >&2
    exit 1
}
perf script --no-inline -i "$work/perf.data" 2>/dev/null | inferno-collapse-perf >"$work/folded" 2>/dev/null
[[ -s $work/folded ]] || { echo "profile-cpu.sh: process $pid used no CPU in $seconds s" >&2; exit 1; }

# Net threads and the like by their kind, not by their number.
sed -E 's/^(net|flusher|log-cleaner)(-[0-9]+)+;/\1-*;/' "$work/folded" >"$work/kinds"
grep -E '^(net-\*|maintenance|preparer|flusher-\*|blocking);' "$work/kinds" >"$work/shown" || cp "$work/kinds" "$work/shown"
inferno-flamegraph --minwidth 0.15 --countname ns --title "$name: CPU of $(cat "/proc/$pid/comm") for $seconds s" \
    <"$work/shown" >"$out"
echo "$out: $(stat -c %s "$out") bytes"

# stack count -> its last function and the count
awk '{ count = $NF; sub(/ [0-9]+$/, ""); total += count; n = split($0, frames, ";"); own[frames[n]] += count; thread[frames[1]] += count }
    END {
        for (name in thread) printf "1 %.1f %s\n", 100 * thread[name] / total, name
        for (name in own) printf "2 %.1f %s\n", 100 * own[name] / total, name
    }' "$work/shown" | sort -k1,1n -k2,2nr | awk '
    $1 == 1 && !head1++ { print "\n  % of the samples, by thread" }
    $1 == 2 && !head2++ { print "\n  % of the samples, by function (its own)" }
    $1 == 1 || functions++ < 10 { share = $2; sub(/^[^ ]+ [^ ]+ /, ""); printf "%6.1f  %s\n", share, $0 }'
