#!/usr/bin/env bash
# 10,000 partitions on FluxMQ and on Apache Kafka 4.3: starts, memory, open files, idle CPU.
#
#   compare-partitions.sh [--partitions 10000] [--megabytes 1000] [--idle-s 20] [--only fluxmq|kafka]
#
# Exits 1 when FluxMQ's clean start takes 2 s or more, or its idle CPU is 1 % of a core or more. OUT=DIR is where the logs lie.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh
need_java
need_python
[[ -n ${BROKER_BINARY:-} || -x target/release/fluxmq ]] || cargo build --release
cd client-tests
exec ../target/venv/bin/python compare_partitions.py "$@"
