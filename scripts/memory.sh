# Sourced by the benchmarks: a guest that gives free memory back to its host pays for each first touch anew, up to seven times what
# it costs once it is there, and differently each time. KEEP_MEMORY=1 detaches the balloon device, which does that, for as long as the
# script runs; it takes root, and the host is lent nothing meanwhile.

balloon_driver=/sys/bus/virtio/drivers/virtio_balloon
balloons_kept=()

# The balloon devices that report free pages: the sixth of the features.
reporting_balloons() {
    local device features
    for device in "$balloon_driver"/virtio*; do
        [[ -r $device/features ]] || continue
        features=$(<"$device/features")
        [[ ${features:5:1} != 1 ]] || basename "$device"
    done
}

restore_memory() {
    local device
    for device in "${balloons_kept[@]}"; do echo "$device" >"$balloon_driver/bind"; done
    balloons_kept=()
}

keep_memory() {
    local device
    for device in $(reporting_balloons); do
        if [[ -z ${KEEP_MEMORY:-} ]]; then
            echo "note: free memory goes back to the host here, and comes back slowly: figures vary; KEEP_MEMORY=1 prevents that (root)"
            return
        fi
        echo "$device" >"$balloon_driver/unbind"
        balloons_kept+=("$device")
    done
}
