#!/usr/bin/env bash
# Installs what is missing, runs every test, and prints the minutes of each stage and how many tests ran.
#
#   scripts/test.sh              what every change has to pass, under 45 minutes on 2 cores
#   scripts/test.sh --all        the same with the long forms: all kill and power-cut rounds, every client version
#   scripts/test.sh rust java    only these stages (rust build instructions java clients fuzz)
set -uo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT" || exit 1
. scripts/tools.sh

ALL=""
STAGES=()
for word in "$@"; do
    case "$word" in
        --all) ALL=1 ;;
        rust | build | instructions | java | clients | fuzz) STAGES+=("$word") ;;
        *)
            echo "usage: scripts/test.sh [--all] [rust|build|instructions|java|clients|fuzz]..." >&2
            exit 2
            ;;
    esac
done
[ ${#STAGES[@]} -gt 0 ] || STAGES=(rust build instructions java clients fuzz)

OUT="$ROOT/target/test-output"
mkdir -p "$OUT"
SUMMARY=()
FAILED=()
PASSED_COUNT=0
FAILED_COUNT=0
SKIPPED_COUNT=0

# Adds a stage's counts, each the sum of a pattern's numbers in its output.
count() { # kind passed failed skipped
    PASSED_COUNT=$((PASSED_COUNT + $2))
    FAILED_COUNT=$((FAILED_COUNT + $3))
    SKIPPED_COUNT=$((SKIPPED_COUNT + $4))
    SUMMARY+=("  $1 tests: $2 passed, $3 failed, $4 skipped")
}
sum() { grep -oE "$1" "$2" | grep -oE '[0-9]+' | awk '{n += $1} END {print n + 0}'; }

rust() {
    SCHEDULE_SEEDS=${ALL:+3000} cargo test --workspace --quiet 2>&1 | tee "$OUT/rust.txt"
    local status=${PIPESTATUS[0]}
    count Rust "$(sum '[0-9]+ passed' "$OUT/rust.txt")" "$(sum '[0-9]+ failed' "$OUT/rust.txt")" \
        "$(sum '[0-9]+ ignored' "$OUT/rust.txt")"
    return "$status"
}

build() {
    cargo build --release || return 1
    # What the comparisons measure the client against.
    cargo build --release -p fluxmq-benches --bin null_broker || return 1
    # The broker that stops where it is told to, for crashes at each step of what it does.
    cargo build --features fail-points && mkdir -p target/fail-points && cp target/debug/fluxmq target/fail-points/
}

instructions() {
    scripts/instructions.sh 2>&1 | tee "$OUT/instructions.txt"
    local status=${PIPESTATUS[0]} counted regressed
    counted=$(sum '[0-9]+ benchmarks finished' "$OUT/instructions.txt")
    regressed=$(sum '[0-9]+ regressed;' "$OUT/instructions.txt")
    count Instruction $((counted - regressed)) "$regressed" 0
    return "$status"
}

# Runs the Java tests with one version of kafka-clients against a broker of their own.
java_with() { # kafka-clients version
    local port log="$OUT/java-broker-$1.txt" broker status
    port=$(free_port)
    # Groups and transactions that notice within a second what takes them many by default.
    local settings=("http.listener=127.0.0.1:$(free_port)" group.initial.rebalance.delay.ms=0 group.min.session.timeout.ms=500
        group.consumer.min.session.timeout.ms=1000 group.consumer.min.heartbeat.interval.ms=100
        group.consumer.heartbeat.interval.ms=300 group.consumer.assignment.interval.ms=0
        transaction.abort.timed.out.transaction.cleanup.interval.ms=500)
    target/release/fluxmq --ephemeral --port "$port" "${settings[@]/#/--override=}" \
        >"$log" 2>&1 &
    broker=$!
    mvn -B -ntp -f java-tests/pom.xml test -Dkafka.version="$1" -Dbootstrap="localhost:$port" 2>&1 |
        tee "$OUT/java-$1.txt" | grep -E '^\[(INFO|ERROR)\] (Tests run|BUILD|.*FAIL)|^\[ERROR\]'
    status=${PIPESTATUS[0]}
    kill -TERM "$broker" && wait "$broker" || status=1
    local line
    line=$(grep -E 'Tests run:.*Failures:.*Skipped: [0-9]+$' "$OUT/java-$1.txt" | tail -1)
    local run failures errors skipped
    read -r run failures errors skipped <<<"$(grep -oE '[0-9]+' <<<"${line#*]}" | tr '\n' ' ')"
    count "Java ($1)" $((${run:-0} - ${failures:-0} - ${errors:-0} - ${skipped:-0})) \
        $((${failures:-0} + ${errors:-0})) "${skipped:-0}"
    [ "${run:-0}" -gt 0 ] || { echo "no Java test ran with $1"; return 1; }
    return "$status"
}

java() {
    need_java
    local status=0 version
    for version in 4.4.0 2.1.0 ${ALL:+4.3.0 3.6.0}; do
        java_with "$version" || status=1
    done
    return $status
}

clients() {
    need_java
    need_python
    local libs
    libs=$(scripts/kafka.sh libs) || return 1
    scripts/gen-shapes.py --check "$libs"/kafka-clients-*.jar || return 1
    target/venv/bin/python -m pytest client-tests -p no:cacheprovider ${ALL:+--all -rP} 2>&1 | tee "$OUT/clients.txt"
    local status=${PIPESTATUS[0]}
    tail -1 "$OUT/clients.txt" >"$OUT/clients-last.txt"
    count Python "$(sum '[0-9]+ passed' "$OUT/clients-last.txt")" \
        "$(sum '[0-9]+ (failed|error)' "$OUT/clients-last.txt")" "$(sum '[0-9]+ skipped' "$OUT/clients-last.txt")"
    return "$status"
}

fuzz() {
    scripts/fuzz.sh 60 2>&1 | tee "$OUT/fuzz.txt"
    local status=${PIPESTATUS[0]}
    # A target is a test.
    local begun failed
    begun=$(grep -c '^== ' "$OUT/fuzz.txt")
    failed=$(grep -c '^FAILED ' "$OUT/fuzz.txt")
    count Fuzz $((begun - failed)) "$failed" 0
    return "$status"
}

for stage in "${STAGES[@]}"; do
    echo "== $stage"
    started=$SECONDS
    "$stage" || FAILED+=("$stage")
    SUMMARY+=("$(printf '%-8s %5.1f min%s' "$stage" "$(awk "BEGIN {print ($SECONDS - $started) / 60}")" \
        "$([[ " ${FAILED[*]-} " == *" $stage "* ]] && echo '   FAILED')")")
done

echo
echo "== stages"
printf '%s\n' "${SUMMARY[@]}"
printf '%-8s %5.1f min\n' total "$(awk "BEGIN {print $SECONDS / 60}")"
[ ${#FAILED[@]} -eq 0 ] || echo "failed: ${FAILED[*]} (output in target/test-output/)"
echo "$PASSED_COUNT passed, $FAILED_COUNT failed, $SKIPPED_COUNT skipped"
[ ${#FAILED[@]} -eq 0 ]
