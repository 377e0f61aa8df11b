#!/usr/bin/env bash
# Heap allocations of the broker per request in steady state, counted twice, and its anonymous memory meanwhile.
#
#   profile-memory.sh [--load produce16k|produce1mb|fetch16k|fetch1mb|all] [--seconds N]
#
# Starts target/release/fluxmq, or BROKER_BINARY, as it was built last, under loads of benches/benches/broker/loads.rs (all), in
# a network namespace where that is permitted. Two windows of N seconds (5) each. The memory goes to target/profile-memory.svg.
# What is counted are the calls of the C library's malloc, calloc and realloc, by uprobes.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
. "$ROOT/scripts/tools.sh"
. "$ROOT/scripts/own_load.sh"

usage() {
    [[ $# -eq 0 ]] || echo "profile-memory.sh: $*" >&2
    sed -n '4,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
given=("$@")
loads=(produce16k produce1mb fetch16k fetch1mb) seconds=5
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || usage "$1 needs a value"
    case $1 in
    --load) [[ $2 == all ]] || loads=("$2") ;;
    --seconds) seconds=$2 ;;
    *) usage "no option $1" ;;
    esac
    shift 2
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage "--seconds $seconds is not a number of seconds"
declare -A benchmark=([produce16k]=small [produce1mb]=produce1 [fetch16k]=fetch16 [fetch1mb]=fetch)
[[ -n ${benchmark[${loads[0]}]:-} ]] || usage "no load ${loads[0]}"

if [[ -z ${OWN_NETWORK:-} ]]; then
    need_perf
    need_broker_bench
    need ip iproute2
    need_venv "$ROOT/target/bench-venv" "$ROOT/benches/side_by_side/requirements.txt"
    own_network "${given[@]}"
else
    bring_up_network
fi

work=$(mktemp -d)
probes=fluxmq_heap_$$
finish() {
    trap '' PIPE # whoever read the output may be gone
    stop_load
    perf probe -q -d "$probes:*" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM PIPE

broker=${BROKER_BINARY:-$ROOT/target/release/fluxmq}
libc=$(ldd "$broker" | awk '/libc\.so/ { print $3 }')
[[ -n $libc ]] || { echo "profile-memory.sh: $broker has no dynamic C library whose calls could be counted" >&2; exit 1; }
for call in malloc calloc realloc; do
    perf probe -q -f -x "$libc" "$probes:$call=$call" 2>"$work/refused" && continue
    cat "$work/refused" >&2
    echo "profile-memory.sh: uprobes are not permitted. They take root and a writable tracefs (mount -t tracefs tracefs" >&2
    echo "/sys/kernel/tracing); in a container --privileged, and a kernel with CONFIG_UPROBE_EVENTS" >&2
    exit 1
done

# A page of metrics is served by the thread control: what that allocates is left out.
cat >"$work/measure.py" <<'PYTHON'
"""Counts allocations and requests over two windows: LOAD PID HTTP_PORT SECONDS PROBES OUT."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

load, pid, port, seconds, probes, out = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6]
API = "Produce" if load.startswith("produce") else "Fetch"
CALLS = ("malloc", "calloc", "realloc")


def requests() -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        found = re.search(rf'^fluxmq_request_duration_microseconds_count\{{api="{API}"\}} (\d+)', page.read().decode(), re.M)
    return int(found[1]) if found else 0


def anonymous_kib() -> int:
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


events = ",".join(f"{probes}:{call}" for call in CALLS)
perf = subprocess.Popen(["perf", "stat", "-I", "1000", "-x", ",", "--per-thread", "-e", events, "-p", pid, "--", "sleep",
                         str(2 * seconds + 2)], stderr=subprocess.PIPE, text=True)
started = time.monotonic()
counts = dict.fromkeys(CALLS, 0)  # so far
seconds_seen, memory = [], []
at = None
for line in perf.stderr:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) < 5 or fields[4].partition(":")[0] != probes:
        print(line, end="", file=sys.stderr)
        continue
    if fields[0] != at:
        # The first line of another second. The requests are read at once: as late as in every other second.
        at, counts = fields[0], dict(counts)
        seconds_seen.append((requests(), counts))
        memory.append((time.monotonic() - started, anonymous_kib() / 1024))
        print(f"{load:10} {memory[-1][0]:4.0f} s  RssAnon {memory[-1][1]:7.1f} MiB  {seconds_seen[-1][0]:>12,} requests", flush=True)
    if fields[2].isdigit() and not fields[1].startswith("control"):
        counts[fields[4].partition(":")[2]] += int(fields[2])
if perf.wait() != 0 or len(seconds_seen) < 2 * seconds + 1:
    sys.exit("perf could not count")
windows = []
for first in (0, seconds):
    (requests_before, before), (requests_after, after) = seconds_seen[first], seconds_seen[first + seconds]
    windows.append({"requests": requests_after - requests_before, **{call: after[call] - before[call] for call in CALLS}})
with open(out, "a") as file:
    file.write(json.dumps({"load": load, "windows": windows, "memory": memory}) + "\n")
PYTHON

for load in "${loads[@]}"; do
    http=$(free_port)
    # What is appended is deleted again, so that a load can go on for as long as it has to. By size alone: its records are dated
    # long ago.
    limits=""
    [[ $load == fetch* ]] || limits="--override log.retention.bytes=1000000000 --override log.retention.ms=-1
        --override log.segment.bytes=268435456 --override log.retention.check.interval.ms=1000"
    printf '#!/bin/sh\nexec "%s" "$@" --override http.listener=127.0.0.1:%s %s\n' "$broker" "$http" "${limits//$'\n'/ }" >"$work/broker"
    chmod +x "$work/broker"
    port=$(free_port)
    "$BROKER_BENCH" what="${benchmark[$load]}" rounds=1 gb=10000 port="$port" dir="$work/data" broker="$work/broker" \
        >"$work/bench.log" 2>&1 &
    started=($!)
    disown # or the shell tells of its end
    pid=""
    for _ in $(seq 100); do
        pid=$(pgrep -P "${started[0]}") && break
        sleep 0.1
    done
    [[ -n $pid ]] || { cat "$work/bench.log" >&2; echo "profile-memory.sh: the broker did not start" >&2; exit 1; }
    started+=("$pid")
    sleep 3 # buffers, the topic's first segments
    python3 "$work/measure.py" "$load" "$pid" "$http" "$seconds" "$probes" "$work/figures" || {
        cat "$work/bench.log" >&2
        exit 1
    }
    stop_load
    rm -rf "$work/data"
done

"$ROOT/target/bench-venv/bin/python" - "$work/figures" "$ROOT/target/profile-memory.svg" <<'PYTHON'
import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "fluxmq"  # the same figures make the same file
import matplotlib.pyplot as plt  # noqa: E402

figures = [json.loads(line) for line in open(sys.argv[1])]
print("\nallocations per request\n")
print("| load | window | requests | malloc | calloc | realloc | per request | RssAnon at most |")
print("|---|---:|---:|---:|---:|---:|---:|---:|")
for one in figures:
    most = max(mib for _, mib in one["memory"])
    for number, window in enumerate(one["windows"], 1):
        count = window["requests"]
        calls = [window[call] for call in ("malloc", "calloc", "realloc")]
        print(f"| {one['load']} | {number} | {count:,} | " + " | ".join(f"{call / count:.2f}" for call in calls)
              + f" | {sum(calls) / count:.2f} | {most:.1f} MiB |" if count else f"| {one['load']} | {number} | 0 | | | | | |")
figure, axes = plt.subplots(figsize=(8, 4))
for one in figures:
    axes.plot(*zip(*one["memory"]), marker=".", label=one["load"])
axes.set_ylim(bottom=0)
axes.set_xlabel("seconds")
axes.set_ylabel("RssAnon, MiB")
axes.legend()
figure.tight_layout()
figure.savefig(sys.argv[2], metadata={"Date": None})
print(f"\n{sys.argv[2]}")
PYTHON
