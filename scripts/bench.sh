#!/usr/bin/env bash
# FluxMQ beside Apache Kafka and a broker that keeps nothing, under the same stock clients in turns: rates, CPU, memory, latencies.
#
#   bench.sh [scenario ...] [--list] [--rounds N] [--client java|librdkafka] [--peer NAME=HOST:PORT,PID] [--no-bare]
#            [--out DIR] [--save-baseline FILE] [--compare FILE]
#
# Writes target/bench/report.md. All of it takes less than an hour on two cores, `bench.sh base` a few minutes; the first line says
# how many. Some scenarios are run fewer than N times. System calls are counted where perf is there and allowed. The machine has to be
# at rest: a run that it isn't for is refused. CONGESTION=cubic is set while it runs, where it may be set; KEEP_MEMORY=1 as
# scripts/memory.sh says.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh
need_java
need_python
need_venv "$ROOT/target/bench-venv" benches/side_by_side/requirements.txt
cargo build --release
cargo build --release -p fluxmq-benches --bin null_broker
binary=${BROKER_BINARY:-target/release/fluxmq}
. scripts/congestion.sh
. scripts/memory.sh
trap 'restore_congestion; restore_memory' EXIT
trap 'exit 130' INT TERM
set_congestion
keep_memory
PYTHONPATH="$ROOT/client-tests:$ROOT/benches" target/bench-venv/bin/python -m side_by_side "$@"
