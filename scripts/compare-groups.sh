#!/usr/bin/env bash
# The group coordinators of FluxMQ and Apache Kafka 4.3 under the same load, in turns, one of them running at a time.
#
#   compare-groups.sh [path to the fluxmq release binary]        default target/release/fluxmq
#
#   PARTS="members commits load"   what is measured            ROUNDS=3         brokers of each kind, taken alternately
#   SYNCS="synced unsynced"        see below                   PORT=9392        and PORT+1 for Kafka's controller
#   BROKERS="fluxmq kafka"         or one of them             CONGESTION=cubic  set while it runs, where it may be set
#   MEMBERS=1000 GROUPS_COUNT=10000 RATE=10000 SECONDS_EACH=15 COMMITS=1000000  the sizes
#
# members: a classic and a KIP-848 group of MEMBERS over as many partitions; from the last join to stable.
# commits: GROUPS_COUNT groups commit in turn, RATE times a second, then as fast as 64 connections are answered.
# load:    a start with COMMITS of them in __consumer_offsets, until the coordinator answers for every group.
#
# synced: a commit is answered when it is on the disk: FluxMQ's log.flush.policy=acks, its default, and Kafka's
# log.flush.interval.messages=1. unsynced: never, and Kafka's default. The load generator is benches/groups; each broker
# starts on an empty directory and is warmed up. Figures of every run: target/compare-groups/figures.txt.
#
# Exits 1 when a figure misses: commits/s at least Kafka's and CPU per commit at most half of it, in each mode; less than
# 4 KB a group; less than 2 s to load.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=${1:-$root/target/release/fluxmq}
parts=${PARTS:-members commits load}
syncs=${SYNCS:-synced unsynced}
rounds=${ROUNDS:-3}
brokers=${BROKERS:-fluxmq kafka}
port=${PORT:-9392}
members=${MEMBERS:-1000}
groups=${GROUPS_COUNT:-10000}
rate=${RATE:-10000}
seconds=${SECONDS_EACH:-15}
commits=${COMMITS:-1000000}
out=$root/target/compare-groups
[[ $brokers == kafka || -x $binary ]] || { echo "no binary at $binary: cargo build --release" >&2; exit 2; }
(cd "$root" && cargo build --quiet --profile bench -p fluxmq-benches --bin groups)
generator=$root/target/release/groups
ulimit -n 8192

rm -rf "$out"
mkdir -p "$out"
pid=
setting=/proc/sys/net/ipv4/tcp_congestion_control
before=$(cat $setting)
clean() {
    stop || true
    [[ $(cat $setting) == "$before" ]] || echo "$before" >$setting
}
trap clean EXIT
trap 'exit 130' INT TERM
if [[ $before != "${CONGESTION:-cubic}" ]] && ! echo "${CONGESTION:-cubic}" 2>/dev/null >$setting; then
    echo "note: the congestion control stays $before (not allowed to change it)"
fi
echo "congestion control $(cat $setting), $(nproc) cores, $(uname -r), $("$binary" --version 2>/dev/null || echo "$binary")"

# start NAME SYNC: the broker's process id is in $pid then.
start() {
    running=$1
    if [[ $1 == fluxmq ]]; then
        local policy=acks
        [[ $2 == synced ]] || policy=never
        "$binary" --port "$port" --data-dir "$out/fluxmq" --override http.listener= \
            --override "log.flush.policy=$policy" --override group.initial.rebalance.delay.ms=0 >>"$out/fluxmq.log" 2>&1 &
        pid=$!
    else
        local settings=()
        [[ $2 != synced ]] || settings+=(log.flush.interval.messages=1)
        "$root/scripts/kafka.sh" start "$out/kafka" "$port" "${settings[@]}" >/dev/null
        pid=$("$root/scripts/kafka.sh" pid "$out/kafka")
    fi
}
stop() {
    [[ -n $pid ]] || return 0
    if [[ $running == fluxmq ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    else
        "$root/scripts/kafka.sh" stop "$out/kafka"
    fi
    pid=
}
fresh() { # NAME SYNC
    rm -rf "$out/fluxmq" "$out/kafka"
    start "$1" "$2"
}
generate() { timeout 600 "$generator" "bootstrap=127.0.0.1:$port" "pid=${pid:-0}" "$@"; }
record() { # SYNC NAME MODE argument...: runs and notes its figures
    local sync=$1 name=$2 mode=$3 line
    shift 3
    line=$(generate "mode=$mode" "$@")
    echo "$sync $name $line" | tee -a "$out/figures.txt"
}
cpu_s() { sed 's/.*) //' "/proc/$pid/stat" | awk '{printf "%.2f", ($12 + $13) / 100}'; }

warm_up() {
    generate mode=classic members=100 partitions=100 heartbeat_ms=200 >/dev/null
    generate mode=consumer members=100 partitions=100 heartbeat_ms=200 >/dev/null
    generate mode=closed prefix=warm groups=100 warmup=0 seconds=5 >/dev/null
}
measure_members() { # NAME SYNC
    record "$2" "$1" classic members="$members" partitions="$members"
    record "$2" "$1" consumer members="$members" partitions="$members"
}
measure_commits() { # NAME SYNC
    record "$2" "$1" commits groups="$groups" rate="$rate" seconds="$seconds"
    record "$2" "$1" closed groups="$groups" seconds="$seconds"
}
measure_load() { # NAME
    local bytes line since
    fresh "$1" unsynced
    generate mode=fill groups="$groups" commits="$commits" >/dev/null
    stop
    bytes=$(find "$out/$1" -path '*/__consumer_offsets-*' -name '*.log' -printf '%s\n' | awk '{n += $1} END {print n + 0}')
    since=$(date +%s%3N)
    pid= generate mode=answer groups="$groups" commits="$commits" since="$since" >"$out/answer.txt" &
    local answer=$!
    start "$1" unsynced
    wait $answer
    line=$(cat "$out/answer.txt")
    line+=" broker_cpu_s=$(cpu_s) broker_rss_kb=$(awk '/RssAnon/ {print $2}' "/proc/$pid/status")"
    line+=" log_mb=$(awk "BEGIN {printf \"%.1f\", $bytes / 1e6}")"
    echo "load $1 $line" | tee -a "$out/figures.txt"
    stop
}

for round in $(seq "$rounds"); do
    order=$brokers
    ((round % 2)) || order=$(tr ' ' '\n' <<<"$brokers" | tac | tr '\n' ' ')
    for sync in $syncs; do
        [[ $parts == *members* || $parts == *commits* ]] || break
        for name in $order; do
            fresh "$name" "$sync"
            warm_up
            [[ $parts != *members* ]] || measure_members "$name" "$sync"
            [[ $parts != *commits* ]] || measure_commits "$name" "$sync"
            stop
        done
    done
    [[ $parts != *load* ]] || for name in $order; do measure_load "$name"; done
done

echo
awk '
    function median(text,   values, n, i, j, t) {
        n = split(text, values, " ")
        for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { t = values[i]; values[i] = values[j]; values[j] = t }
        least = values[1]
        return n ? (n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2) : ""
    }
    function ratio(a, b) { return a == "" || b == "" || b + 0 == 0 ? "-" : sprintf("%.2f", a / b) }
    function check(what, good) { if (!good) bad = 1; verdicts = verdicts sprintf("%-60s %s\n", what, good ? "ok" : "MISSED") }
    {
        for (i = 4; i <= NF; i++) {
            split($i, pair, "="); split($3, mode, "=")
            key = mode[2] " " pair[1]
            if (!(key in seen)) { seen[key] = 1; keys[++count] = key }
            values[key, $1, $2] = values[key, $1, $2] " " pair[2]
        }
    }
    END {
        printf "medians, and the least        %21s %21s %7s %21s %21s %7s %7s\n", "FluxMQ synced", "Kafka synced", "ratio", "FluxMQ unsynced", "Kafka unsynced", "ratio", "crossed"
        for (k = 1; k <= count; k++) {
            key = keys[k]
            printf "%-29s", key
            for (s = 1; s <= 2; s++) {
                sync = s == 1 ? "synced" : "unsynced"
                for (b = 1; b <= 2; b++) {
                    name = b == 1 ? "fluxmq" : "kafka"
                    text = values[key, sync, name]
                    if (s == 2 && values[key, "load", name] != "") text = values[key, "load", name]
                    m[sync, name] = median(text)
                    printf " %21s", text == "" ? "-" : sprintf("%.6g (%.6g)", m[sync, name], least)
                }
                printf " %7s", ratio(m[sync, "fluxmq"], m[sync, "kafka"])
            }
            # What FluxMQ does with every commit on the disk, to what Kafka does without.
            printf " %7s\n", ratio(m["synced", "fluxmq"], m["unsynced", "kafka"])
            for (s = 1; s <= 2; s++) {
                sync = s == 1 ? "synced" : "unsynced"
                f = m[sync, "fluxmq"]; a = m[sync, "kafka"]
                if (f == "" || a == "") continue
                if (key == "closed commits_per_s") check("commits/s " sync ", at least Kafka'"'"'s", f >= a)
                if (key == "closed cpu_us_per_commit") check("CPU per commit " sync ", at most half of Kafka'"'"'s", f <= a / 2)
                if (key == "commits cpu_s") check("CPU at the steady rate " sync ", at most half of Kafka'"'"'s", f <= a / 2)
                if (key ~ /^(classic|consumer) form_cpu_s$/) check("CPU of " key " " sync ", at most half of Kafka'"'"'s", f <= a / 2)
                if (key == "commits bytes_per_group" && sync == "synced") check("less than 4096 bytes a group", f < 4096)
                if (key == "answer since_start_s") check("less than 2 s until the coordinator has loaded", f < 2)
            }
        }
        printf "\n%s", verdicts
        exit bad
    }' "$out/figures.txt"
