# Sourced by the profiles: a load of their own, in a network of its own where that is permitted, and its end.

# own_network ARGUMENT...: the script again with its arguments, on a loopback as the benchmark wants it: the congestion control
# of the machine may distort it. Comes back where it can't be, and says so.
own_network() {
    if unshare -n true 2>/dev/null; then
        OWN_NETWORK=1 BROKER_BENCH=$BROKER_BENCH exec unshare -n "$0" "$@"
    fi
    echo "note: no network namespace (root may make one): the congestion control is $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
}

# In that network.
bring_up_network() {
    ip link set lo up
    echo cubic >/proc/sys/net/ipv4/tcp_congestion_control
}

# The processes that the load consists of.
started=()
stop_load() {
    local one
    for one in "${started[@]}"; do
        kill -9 "$one" 2>/dev/null || true
        tail --pid="$one" -f /dev/null >/dev/null
    done
    started=()
}
