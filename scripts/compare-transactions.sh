#!/usr/bin/env bash
# Transactions of FluxMQ and Apache Kafka 4.3 under the same load, in turns, one of them running at a time.
#
#   compare-transactions.sh [path to the fluxmq release binary]        default target/release/fluxmq
#
#   PARTS="closed idle consume"    what is measured            ROUNDS=3         brokers of each kind, taken alternately
#   SYNCS="synced unsynced"        see below                   PORT=9392        and PORT+1 for Kafka's controller
#   BROKERS="fluxmq kafka"         or one of them             CONGESTION=cubic  set while it runs, where it may be set
#   RECORDS="1 100 10000" PRODUCERS="1 64" SECONDS_EACH=8 IDS=100000 BYTES=1000000000 PASSES=7  the sizes
#
# closed:  each of PRODUCERS begins a transaction of RECORDS once its last is committed.
# idle:    IDS transactional ids without a transaction; then a start with them in __transaction_state, until the coordinator
#          answers for every one.
# consume: BYTES in transactions, one in ten of them aborted, read from the page cache under read_committed and
#          read_uncommitted in turn.
#
# synced: what a transaction rests on is on the disk before it is answered: FluxMQ's log.flush.policy=acks, its default, and
# Kafka's log.flush.interval.messages=1. unsynced: never, and Kafka's default. The load generator is benches/transactions;
# each broker starts on an empty directory and is warmed up. Figures of every run: target/compare-transactions/figures.txt.
#
# Exits 1 when a figure misses: transactions/s at least Kafka's and CPU per transaction at most half of it, for each size in
# each mode; bytes per idle id at most Kafka's, and the start with them no slower; CPU of read_committed within 5 % of
# read_uncommitted's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=${1:-$root/target/release/fluxmq}
parts=${PARTS:-closed idle consume}
syncs=${SYNCS:-synced unsynced}
rounds=${ROUNDS:-3}
brokers=${BROKERS:-fluxmq kafka}
port=${PORT:-9392}
records=${RECORDS:-1 100 10000}
producers=${PRODUCERS:-1 64}
seconds=${SECONDS_EACH:-8}
ids=${IDS:-100000}
bytes=${BYTES:-1000000000}
passes=${PASSES:-7}
out=$root/target/compare-transactions
generator_name=transactions
fluxmq_settings=()
kafka_settings=()
# shellcheck source=scripts/compare-coordinators.sh
source "$root/scripts/compare-coordinators.sh"

measure_sync() { # NAME SYNC
    [[ $parts == *closed* ]] || return 0
    local size count
    fresh "$1" "$2"
    generate mode=closed records=100 producers=64 warmup=0 seconds=10 >/dev/null
    for size in $records; do
        for count in $producers; do
            # What the runs before have left to write isn't this one's.
            sync
            record "$2" "$1" "closed-$size-$count" records="$size" producers="$count" seconds="$seconds"
        done
    done
    stop
}
measure_once() { # NAME
    if [[ $parts == *idle* ]]; then
        fresh "$1" unsynced
        record once "$1" idle ids="$ids"
        measure_start "$1" __transaction_state ids="$ids"
        stop
    fi
    if [[ $parts == *consume* ]]; then
        fresh "$1" unsynced
        generate mode=fill bytes="$bytes" >/dev/null
        record once "$1" consume passes="$passes"
        stop
    fi
}

measure_rounds
table '
    if (key ~ /^closed.* transactions_per_s$/) check(key " " sync ", at least Kafka\x27s", f >= a)
    if (key ~ /^closed.* cpu_us_per_transaction$/) check(key " " sync ", at most half of Kafka\x27s", f <= a / 2)
    if (key == "idle bytes_per_id") check("bytes per idle id, at most Kafka\x27s", f <= a)
    if (key == "answer since_start_s") check("start with the idle ids, no slower than Kafka", f <= a)
    if (key == "consume committed_to_uncommitted_cpu") check("CPU of read_committed, within 5 % of read_uncommitted", f <= 1.05 && f >= 0.95)
'
