#!/usr/bin/env bash
# Compaction of the same log by FluxMQ and Apache Kafka 4.3, in turns.
#
#   compare-compaction.sh [--rounds 3] [--megabytes 1000] [--codec none] [--keys 100000]
#
# Exits 1 when FluxMQ takes more than half of Kafka's CPU, or leaves other records. OUT=DIR is where the logs lie meanwhile.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh
need_java
need_python
[[ -n ${BROKER_BINARY:-} || -x target/release/fluxmq ]] || cargo build --release
cd client-tests
exec ../target/venv/bin/python compare_compaction.py "$@"
