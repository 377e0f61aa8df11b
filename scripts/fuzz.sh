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

fuzz_one() { # target
    local target=$1 limit=("-max_total_time=$seconds") log=fuzz/target/$1.log
    mkdir -p "fuzz/corpus/$target" "fuzz/target/corpus/$target"
    [ "$seconds" -ne 0 ] || limit=(-runs=0)
    echo "== $target: $(ls "fuzz/corpus/$target" | wc -l) kept inputs, $seconds s"
    if ! cargo fuzz run "${options[@]}" "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        "${limit[@]}" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 >"$log" 2>&1; then
        echo "FAILED $target"
        grep -v '^#' "$log" | tail -60
        return 1
    fi
    echo "$target: $(grep -E '^stat::(number_of_executed|peak_rss)' "$log" | tr -s ' ' | paste -sd ' ' || tail -1 "$log")"
}

# One on each core.
failed=0
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n || failed=1
    done
    fuzz_one "$target" &
done
for job in $(jobs -p); do
    wait "$job" || failed=1
done
exit $failed
