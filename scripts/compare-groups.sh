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
generator_name=groups
fluxmq_settings=(group.initial.rebalance.delay.ms=0)
kafka_settings=()
# shellcheck source=scripts/compare-coordinators.sh
source "$root/scripts/compare-coordinators.sh"

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
measure_sync() { # NAME SYNC
    [[ $parts == *members* || $parts == *commits* ]] || return 0
    fresh "$1" "$2"
    warm_up
    [[ $parts != *members* ]] || measure_members "$1" "$2"
    [[ $parts != *commits* ]] || measure_commits "$1" "$2"
    stop
}
measure_once() { # NAME
    [[ $parts == *load* ]] || return 0
    fresh "$1" unsynced
    generate mode=fill groups="$groups" commits="$commits" >/dev/null
    measure_start "$1" __consumer_offsets groups="$groups" commits="$commits"
    stop
}

measure_rounds
table '
    if (key == "closed commits_per_s") check("commits/s " sync ", at least Kafka\x27s", f >= a)
    if (key == "closed cpu_us_per_commit") check("CPU per commit " sync ", at most half of Kafka\x27s", f <= a / 2)
    if (key == "commits cpu_s") check("CPU at the steady rate " sync ", at most half of Kafka\x27s", f <= a / 2)
    if (key ~ /^(classic|consumer) form_cpu_s$/) check("CPU of " key " " sync ", at most half of Kafka\x27s", f <= a / 2)
    if (key == "commits bytes_per_group" && sync == "synced") check("less than 4096 bytes a group", f < 4096)
    if (key == "answer since_start_s") check("less than 2 s until the coordinator has loaded", f < 2)
'
