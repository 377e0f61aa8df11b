#!/usr/bin/env bash
# Hunts for as long as it is told; what fails keeps its directories and logs below target/.
#
#   scripts/soak.sh [minutes]      kills and power cuts under load, one set of rounds after the other, until the time is up:
#                                  60 unless told otherwise; needs root, for the power cuts
#   scripts/soak.sh groups [minutes] [--protocol consumer] [--bootstrap HOST:PORT] [--rate RECORDS_A_SECOND]
#                                  two groups of ten whose members leave, are killed and join, while the broker is killed and
#                                  started again: 30 minutes. With --bootstrap the broker is one that is there, and stays.
#   scripts/soak.sh crashes [--kills N] [--cuts N]
#                                  kill -9 and power cuts under all kinds of load at once, 200 of each, with totals in the end; needs
#                                  root, for the power cuts
#   scripts/soak.sh model [minutes]   the log against its models, through crashes and compactions, with other operations all the
#                                  time: 30 minutes. A run that fails is kept in storage/proptest-regressions, and is the first
#                                  that `cargo test -p fluxmq-storage` does again
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh

usage() {
    sed -n '4,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
mode=sets
if [[ ${1:-} == groups || ${1:-} == crashes || ${1:-} == model ]]; then
    mode=$1
    shift
fi
minutes=$([[ $mode == sets ]] && echo 60 || echo 30)
if [[ $mode != crashes && ${1:-} =~ ^[0-9]+$ ]]; then
    minutes=$1
    shift
fi
[[ $mode == groups || $mode == crashes || $# -eq 0 ]] || usage
if [[ $mode == model ]]; then
    cargo test --release -p fluxmq-storage --lib --no-run
    end=$((SECONDS + minutes * 60))
    while ((SECONDS < end)); do
        PROPTEST_CASES=20000 cargo test --quiet --release -p fluxmq-storage --lib -- --nocapture \
            log::tests::model log::tests::compacting::readers_of_a_compacted_log | grep -E '^(model|compaction):|test result'
    done
    echo "$minutes minutes, no violation"
    exit
fi
need_java
need_python

if [[ $mode == groups || $mode == crashes ]]; then
    [[ " $* " == *" --bootstrap"* || -n ${BROKER_BINARY:-} || -x target/release/fluxmq ]] || cargo build --release
    mvn -q -B -f java-tests/pom.xml compile dependency:build-classpath -Dmdep.outputFile="$ROOT/target/java-classpath.txt"
    libraries=$(cat target/java-classpath.txt)
    version=$(grep -oE '/kafka-clients-[0-9.]+\.jar' <<<"$libraries" | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')
    classpath=$ROOT/java-tests/target/$version/classes:$libraries
    [[ $mode == groups ]] || exec target/venv/bin/python client-tests/soak_crashes.py --classpath "$classpath" "$@"
    exec target/venv/bin/python client-tests/soak_groups.py --minutes "$minutes" --classpath "$classpath" "$@"
fi

[[ -x target/release/fluxmq ]] || cargo build --release
end=$((SECONDS + minutes * 60))
set_number=0
while ((SECONDS < end)); do
    set_number=$((set_number + 1))
    echo "== set $set_number, $(((end - SECONDS + 59) / 60)) minutes left"
    rm -rf target/soak
    target/venv/bin/python -m pytest client-tests/test_kill.py client-tests/test_power_cut.py client-tests/test_compaction_kill.py --all -q -s -x \
        -p no:cacheprovider --basetemp=target/soak --timeout 1800
done
rm -rf target/soak
echo "$set_number sets of rounds, nothing lost"
