# Sourced by compare-groups.sh and compare-transactions.sh: FluxMQ and Apache Kafka 4.3 under the same load generator, in
# turns, one of them running at a time, and the table of what came out.
#
# The script that sources it has set root, out, binary, generator_name, rounds, brokers, syncs and port, and gives
# fluxmq_settings and kafka_settings what it sets in each.

generator=$root/target/release/$generator_name
[[ $brokers == kafka || -x $binary ]] || { echo "no binary at $binary: cargo build --release" >&2; exit 2; }
(cd "$root" && cargo build --quiet --target-dir target --profile bench -p fluxmq-benches --bin "$generator_name")
ulimit -n 8192

rm -rf "$out"
mkdir -p "$out"
pid=
# shellcheck source=scripts/congestion.sh
source "$root/scripts/congestion.sh"
clean() {
    stop || true
    restore_congestion
}
trap clean EXIT
trap 'exit 130' INT TERM
set_congestion

# start NAME SYNC: the broker's process id is in $pid then.
start() {
    running=$1
    if [[ $1 == fluxmq ]]; then
        local policy=acks settings=() pair
        [[ $2 == synced ]] || policy=never
        for pair in "log.flush.policy=$policy" http.listener= "${fluxmq_settings[@]}"; do settings+=(--override "$pair"); done
        "$binary" --port "$port" --data-dir "$out/fluxmq" "${settings[@]}" >>"$out/fluxmq.log" 2>&1 &
        pid=$!
    else
        local settings=("${kafka_settings[@]}")
        [[ $2 != synced ]] || settings+=(log.flush.interval.messages=1)
        "$root/scripts/kafka.sh" start "$out/kafka" "$port" "${settings[@]}" >/dev/null
        pid=$("$root/scripts/kafka.sh" pid "$out/kafka")
    fi
}
stop() {
    [[ -n $pid ]] || return 0
    if [[ $running == fluxmq ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    else
        "$root/scripts/kafka.sh" stop "$out/kafka"
    fi
    pid=
}
fresh() { # NAME SYNC
    rm -rf "$out/fluxmq" "$out/kafka"
    start "$1" "$2"
}
generate() { timeout 600 "$generator" "bootstrap=127.0.0.1:$port" "pid=${pid:-0}" "$@"; }
record() { # SYNC NAME MODE[-SIZE] argument...: runs and notes its figures
    local sync=$1 name=$2 mode=$3 line
    shift 3
    line=$(generate "mode=${mode%%-*}" "$@")
    echo "$sync $name mode=$mode ${line#* }" | tee -a "$out/figures.txt"
}
cpu_s() { sed 's/.*) //' "/proc/$pid/stat" | awk '{printf "%.2f", ($12 + $13) / 100}'; }

# measure_start NAME TOPIC argument...: stops the broker, starts it again on its data, and notes how long it takes until the
# coordinator whose records are in TOPIC answers for all of them.
measure_start() {
    local name=$1 topic=$2 bytes line since answer
    shift 2
    stop
    bytes=$(find "$out/$name" -path "*/$topic-*" -name '*.log' -printf '%s\n' | awk '{n += $1} END {print n + 0}')
    since=$(date +%s%3N)
    pid= generate mode=answer since="$since" "$@" >"$out/answer.txt" &
    answer=$!
    start "$name" unsynced
    wait $answer
    line=$(cat "$out/answer.txt")
    line+=" broker_cpu_s=$(cpu_s) broker_rss_kb=$(awk '/RssAnon/ {print $2}' "/proc/$pid/status")"
    line+=" log_mb=$(awk "BEGIN {printf \"%.1f\", $bytes / 1e6}")"
    echo "once $name $line" | tee -a "$out/figures.txt"
}

# measure_rounds: each round takes the brokers in the other order. measure_sync NAME SYNC finds a fresh broker;
# measure_once NAME has one to make, for what isn't measured in both modes.
measure_rounds() {
    local round order sync name
    for round in $(seq "$rounds"); do
        order=$brokers
        ((round % 2)) || order=$(tr ' ' '\n' <<<"$brokers" | tac | tr '\n' ' ')
        for sync in $syncs; do
            for name in $order; do
                measure_sync "$name" "$sync"
            done
        done
        for name in $order; do measure_once "$name"; done
    done
}

# table RULES: medians and least values of all figures, FluxMQ's by Kafka's, and the verdicts. RULES is the body of an awk
# function that is called with key ("mode figure"), sync, f and a (the medians of FluxMQ and Kafka, neither empty), and
# calls check(what, whether it is good). Figures of what isn't measured in both modes stand with the unsynced ones.
# Exits 1 when one is missed.
table() {
    echo
    awk '
    function median(text,   values, n, i, j, t) {
        n = split(text, values, " ")
        for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { t = values[i]; values[i] = values[j]; values[j] = t }
        least = values[1]
        return n ? (n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2) : ""
    }
    function ratio(a, b) { return a == "" || b == "" || b + 0 == 0 ? "-" : sprintf("%.2f", a / b) }
    function check(what, good) { if (!good) bad = 1; verdicts = verdicts sprintf("%-75s %s\n", what, good ? "ok" : "MISSED") }
    function rules(key, sync, f, a) {'"$1"'}
    {
        for (i = 4; i <= NF; i++) {
            split($i, pair, "="); split($3, mode, "=")
            key = mode[2] " " pair[1]
            if (!(key in seen)) { seen[key] = 1; keys[++count] = key; if (length(key) > width) width = length(key) }
            values[key, $1 == "once" ? "unsynced" : $1, $2] = values[key, $1 == "once" ? "unsynced" : $1, $2] " " pair[2]
        }
    }
    END {
        printf "%-*s %21s %21s %7s %21s %21s %7s %7s\n", width, "medians, and the least", "FluxMQ synced", "Kafka synced", "ratio", "FluxMQ unsynced", "Kafka unsynced", "ratio", "crossed"
        for (k = 1; k <= count; k++) {
            key = keys[k]
            printf "%-*s", width, key
            for (s = 1; s <= 2; s++) {
                sync = s == 1 ? "synced" : "unsynced"
                for (b = 1; b <= 2; b++) {
                    name = b == 1 ? "fluxmq" : "kafka"
                    text = values[key, sync, name]
                    m[sync, name] = median(text)
                    printf " %21s", text == "" ? "-" : sprintf("%.6g (%.6g)", m[sync, name], least)
                }
                printf " %7s", ratio(m[sync, "fluxmq"], m[sync, "kafka"])
            }
            # What FluxMQ does with everything on the disk, to what Kafka does without.
            printf " %7s\n", ratio(m["synced", "fluxmq"], m["unsynced", "kafka"])
            for (s = 1; s <= 2; s++) {
                sync = s == 1 ? "synced" : "unsynced"
                f = m[sync, "fluxmq"]; a = m[sync, "kafka"]
                if (f != "" && a != "") rules(key, sync, f, a)
            }
        }
        printf "\n%s", verdicts
        exit bad
    }' "$out/figures.txt"
}
