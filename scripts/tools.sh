# Sourced by the other scripts: installs what a stage lacks, through the ordinary clients.
# Everything that is ours to keep goes below target/, so removing target/ removes it.

TOOLS_DIR="$ROOT/target/tools"
export PATH="$TOOLS_DIR/bin:$PATH"
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2
INFERNO_VERSION=0.12.8
# As the crate gungraun in Cargo.lock.
GUNGRAUN_VERSION=0.20.0

# need COMMAND PACKAGE...: installs the Debian packages if the command is missing.
need() {
    local command=$1
    shift
    command -v "$command" >/dev/null && return
    echo "installing $* (for $command)"
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    if [ -z "${APT_UPDATED:-}" ]; then
        $sudo apt-get update -qq
        APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@" >/dev/null
}

need_java() {
    need javac openjdk-17-jdk-headless
    need mvn maven
}

# need_cargo COMMAND VERSION: installs a cargo subcommand below target/ if the machine has none.
need_cargo() {
    command -v "$1" >/dev/null && return
    echo "installing $1 $2"
    cargo install --quiet --locked --root "$TOOLS_DIR" "$1@$2"
}

need_cargo_deny() { need_cargo cargo-deny "$CARGO_DENY_VERSION"; }
need_cargo_fuzz() { need_cargo cargo-fuzz "$CARGO_FUZZ_VERSION"; }
need_gungraun() {
    need valgrind valgrind
    need_cargo gungraun-runner "$GUNGRAUN_VERSION"
}
need_perf() { need perf linux-perf; }
# Flame graphs. Its default features are of no use to its two programs here.
need_inferno() {
    command -v inferno-collapse-perf >/dev/null && command -v inferno-flamegraph >/dev/null && return
    echo "installing inferno $INFERNO_VERSION"
    cargo install --quiet --locked --no-default-features --features cli --root "$TOOLS_DIR" "inferno@$INFERNO_VERSION"
}

# The benchmark whose loads are profiled, with the broker it starts: BROKER_BENCH, built where nobody has built it yet.
need_broker_bench() {
    [ -x "${BROKER_BINARY:-$ROOT/target/release/fluxmq}" ] || cargo build --release
    BROKER_BENCH=$(newest_broker_bench)
    [ -n "$BROKER_BENCH" ] && return
    cargo bench -p fluxmq-benches --bench broker --no-run
    BROKER_BENCH=$(newest_broker_bench)
}
newest_broker_bench() {
    find "$ROOT/target/release/deps" -maxdepth 1 -name 'broker-*' -type f -executable -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p'
}

# The Python of the client tests, with what client-tests/requirements.txt names.
need_python() {
    need kcat kcat
    need mkfs.ext4 e2fsprogs
    need mount mount
    need strace strace
    need faketime faketime
    python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv python3-venv
    need_venv "$ROOT/target/venv" "$ROOT/client-tests/requirements.txt"
}

# need_venv DIR REQUIREMENTS: a virtual environment with what the file names.
need_venv() {
    cmp -s "$2" "$1/requirements.txt" && return
    python3 -m venv --clear "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
    cp "$2" "$1/requirements.txt"
}

# A port nobody listens on now, below the range of outgoing connections: one of those could take it first.
free_port() {
    PYTHONPATH="$ROOT/client-tests" python3 -c 'from harness.process import free_port; print(free_port())'
}
