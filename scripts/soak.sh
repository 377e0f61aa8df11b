#!/usr/bin/env bash
# Hunts for as long as it is told: kills and power cuts under load, one set of rounds after the other, until the time is up
# or something fails. What failed keeps its directories and logs below target/soak.
#
#   scripts/soak.sh [minutes]      60 unless told otherwise; needs root, for the power cuts
set -euo pipefail
ROOT="$(cd "$(dirname "$0")/.." && pwd)"
cd "$ROOT"
. scripts/tools.sh

minutes=${1:-60}
[[ $minutes =~ ^[0-9]+$ ]] || { echo "usage: scripts/soak.sh [minutes]" >&2; exit 2; }
need_java
need_python
[[ -x target/release/fluxmq ]] || cargo build --release

end=$((SECONDS + minutes * 60))
set_number=0
while ((SECONDS < end)); do
    set_number=$((set_number + 1))
    echo "== set $set_number, $(((end - SECONDS + 59) / 60)) minutes left"
    rm -rf target/soak
    target/venv/bin/python -m pytest client-tests/test_kill.py client-tests/test_power_cut.py --all -q -s -x \
        -p no:cacheprovider --basetemp=target/soak --timeout 1800
done
rm -rf target/soak
echo "$set_number sets of rounds, nothing lost"
