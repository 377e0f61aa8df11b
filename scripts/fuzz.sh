#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for the given seconds each (60), from its kept corpus.
#
#   scripts/fuzz.sh [seconds] [target ...]
#
# With 0 seconds the kept corpus is run once and nothing is searched. New inputs go to fuzz/target/corpus and are
# kept between runs; an input that fails is left in fuzz/artifacts. The pinned stable toolchain is used: coverage
# instrumentation alone needs no nightly (RUSTC_BOOTSTRAP covers the flags that ask for one), and without unsafe
# code in the parsers the address sanitizer would find nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT="$PWD"
. scripts/tools.sh

seconds=${1:-60}
shift || true
need_cargo_fuzz
export RUSTC_BOOTSTRAP=1
options=(--fuzz-dir fuzz --sanitizer none)

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir fuzz)
fi
for target in "${targets[@]}"; do
    cargo fuzz build "${options[@]}" "$target"
done
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/target/corpus/$target"
    echo "== $target: $(ls "fuzz/corpus/$target" | wc -l) kept inputs, $seconds s"
    if [ "$seconds" -eq 0 ]; then
        limit=(-runs=0)
    else
        limit=("-max_total_time=$seconds")
    fi
    log=fuzz/target/$target.log
    if ! cargo fuzz run "${options[@]}" "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        "${limit[@]}" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 >"$log" 2>&1; then
        grep -v '^#' "$log" | tail -60
        exit 1
    fi
    grep -E '^stat::(number_of_executed|peak_rss)' "$log" || tail -1 "$log"
done
