# Sourced by the comparisons, which have set binary: one congestion control for both brokers, for as long as the script runs,
# and the line that says what it is measured on.

congestion=/proc/sys/net/ipv4/tcp_congestion_control
congestion_before=$(cat $congestion)
restore_congestion() { [[ $(cat $congestion) == "$congestion_before" ]] || echo "$congestion_before" >$congestion; }
set_congestion() {
    local wanted=${CONGESTION:-cubic}
    if [[ $congestion_before != "$wanted" ]] && ! echo "$wanted" 2>/dev/null >$congestion; then
        echo "note: the congestion control stays $congestion_before (not allowed to change it)"
    fi
    echo "congestion control $(cat $congestion), $(nproc) cores, $(uname -r), $("$binary" --version 2>/dev/null || echo "$binary")"
}
