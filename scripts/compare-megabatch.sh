#!/usr/bin/env bash
# MegaBatchBenchmark against FluxMQ and Apache Kafka 4.3 in turns, under the same client and congestion control.
#
#   compare-megabatch.sh [path to the fluxmq release binary]        default target/release/fluxmq
#
#   MESSAGES=5000000  records per run          ROUNDS=5            runs per broker, taken alternately
#   WARMUP=1000000    records before each run  CONGESTION=cubic    set while it runs, where it may be set
#   PORT=9392         FluxMQ; Kafka takes PORT+10 and PORT+11
#   BENCHMARK=MegaBatchBenchmark, OPTIONS="-Dmessage.size=1000 ...": another class, more settings
#
# Both brokers start on empty directories under target/compare and stay up; the one not measured is idle, and what it
# used meanwhile is printed. Each run is a new client JVM with a warm-up run before the counted one; every record of
# both is read back. Kafka is seen to drop the end of an acks=0 stream when the client closes: that is printed, and
# fails the comparison for FluxMQ only.
#
# Exits 1 when a figure misses: best >= 601,379 msg/s, median >= 0.95 of Kafka's, broker CPU <= half of Kafka's,
# RssAnon <= 100 MB, every record back. Figures: target/compare/{fluxmq,kafka}.csv.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=${1:-$root/target/release/fluxmq}
messages=${MESSAGES:-5000000}
rounds=${ROUNDS:-5}
warmup=${WARMUP:-1000000}
port=${PORT:-9392}
kafka_port=$((port + 10))
benchmark=${BENCHMARK:-MegaBatchBenchmark}
out=$root/target/compare
[[ -x $binary ]] || { echo "no binary at $binary: cargo build --release" >&2; exit 2; }

rm -rf "$out"
mkdir -p "$out"
fluxmq_pid=
# shellcheck source=scripts/congestion.sh
source "$root/scripts/congestion.sh"
clean() {
    [[ -z $fluxmq_pid ]] || kill "$fluxmq_pid" 2>/dev/null || true
    "$root/scripts/kafka.sh" stop "$out/kafka" || true
    restore_congestion
}
trap clean EXIT
trap 'exit 130' INT TERM
set_congestion

"$binary" --port "$port" --data-dir "$out/fluxmq" >"$out/fluxmq.log" 2>&1 &
fluxmq_pid=$!
for _ in $(seq 100); do
    grep -q 'ready in' "$out/fluxmq.log" && break
    kill -0 $fluxmq_pid 2>/dev/null || { cat "$out/fluxmq.log" >&2; exit 1; }
    sleep 0.1
done
"$root/scripts/kafka.sh" start "$out/kafka" "$kafka_port"
kafka_pid=$("$root/scripts/kafka.sh" pid "$out/kafka")
(cd "$root/java-tests" && mvn -q -B compile)

cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }
anonymous_mb() { awk '/RssAnon/ {printf "%.1f", $2 / 1024}' "/proc/$1/status"; }

failed=0
measure() { # name address pid idle-pid extra
    local idle status=0
    idle=$(cpu_ticks "$4")
    # shellcheck disable=SC2086
    (cd "$root/java-tests" && mvn -q -B exec:java -Dexec.mainClass="com.fluxmq.tests.$benchmark" -Dbootstrap="$2" \
        -Dbroker.pid="$3" -Dmessages="$messages" -Dwarmup.messages="$warmup" -Druns=1 -Dcsv="$out/$1.csv" $5 \
        ${OPTIONS:-}) >"$out/last.log" 2>&1 || status=$?
    cat "$out/last.log" >>"$out/$1.log.txt"
    if [[ $status -ne 0 ]]; then
        echo "$1 FAILED:"
        cat "$out/last.log"
        failed=1
    fi
    sed -n "s/^run 1/$(printf '%-7s' "$1")/p" "$out/last.log"
    echo "        (the idle broker used $(awk "BEGIN {print ($(cpu_ticks "$4") - $idle) / 100}") s meanwhile)"
}

for round in $(seq "$rounds"); do
    if ((round % 2)); then order="fluxmq kafka"; else order="kafka fluxmq"; fi
    for name in $order; do
        if [[ $name == fluxmq ]]; then
            measure fluxmq "localhost:$port" $fluxmq_pid "$kafka_pid" ""
        else
            measure kafka "localhost:$kafka_port" "$kafka_pid" $fluxmq_pid -Dlost.allowed=true
        fi
    done
done

echo
rss=$(anonymous_mb $fluxmq_pid)
echo "RssAnon after the runs: FluxMQ $rss MB, Kafka $(anonymous_mb "$kafka_pid") MB"
awk -F, -v rss="$rss" -v flux="$out/fluxmq.csv" '
    function median(values, n,   i, j, t) {
        for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] < values[i]) { t = values[i]; values[i] = values[j]; values[j] = t }
        return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
    }
    function verdict(good) { if (!good) bad = 1; return good ? "ok" : "MISSED" }
    $1 == "run 1" && FILENAME == flux { f++; frate[f] = $3; fclient[f] = $4; fcpu[f] = $5; fread[f] = $6; fsent += $2; fback += $7 }
    $1 == "run 1" && FILENAME != flux { k++; krate[k] = $3; kclient[k] = $4; kcpu[k] = $5; kread[k] = $6; ksent += $2; kback += $7 }
    END {
        if (!f || !k) { print "no runs to compare"; exit 1 }
        fm = median(frate, f); km = median(krate, k); fc = median(fcpu, f); kc = median(kcpu, k)
        fr = median(fread, f); kr = median(kread, k); fcl = median(fclient, f); kcl = median(kclient, k)
        printf "                              FluxMQ        Kafka   ratio\n"
        printf "median msg/s            %12d %12d   %.3f   at least 0.95: %s\n", fm, km, fm / km, verdict(fm / km >= 0.95)
        printf "best msg/s              %12d %12d   %.3f   at least 601379: %s\n", frate[f], krate[k], frate[f] / krate[k], verdict(frate[f] >= 601379)
        printf "broker CPU s, produce   %12.2f %12.2f   %.3f   at most 0.5: %s\n", fc, kc, fc / kc, verdict(fc / kc <= 0.5)
        printf "broker CPU s, read back %12.2f %12.2f   %.3f\n", fr, kr, kr ? fr / kr : 0
        printf "client CPU s, produce   %12.2f %12.2f   %.3f\n", fcl, kcl, fcl / kcl
        printf "records sent            %12d %12d\n", fsent, ksent
        printf "records read back       %12d %12d   all of FluxMQ: %s\n", fback, kback, verdict(fback == fsent)
        printf "RssAnon MB              %12.1f                at most 100: %s\n", rss, verdict(rss <= 100)
        exit bad
    }' "$out/fluxmq.csv" "$out/kafka.csv" || failed=1
exit $failed
