#!/usr/bin/env bash
# Counts the instructions of the paths that every record takes, and fails where there are more than benches/benches/instructions.rs
# allows. The counts are the same whatever else the machine does, for the same compiler and C library.
#
#   instructions.sh [pattern]     only the paths whose names it matches: instructions.sh '*append*'
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh
need_gungraun
exec cargo bench --quiet -p fluxmq-benches --bench instructions -- ${1:+"$1"}
