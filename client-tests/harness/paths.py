"""Where things are in the checkout."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def stopping_binary() -> Path:
    """The broker that stops at named points (core/src/fail_point.rs), as scripts/test.sh builds it."""
    binary = TARGET / "fail-points" / "fluxmq"
    if not binary.exists():
        raise FileNotFoundError(f"{binary}: build it first with `scripts/test.sh build`")
    return binary


def fluxmq_binary() -> Path:
    """The broker under test: BROKER_BINARY, or the release build."""
    binary = Path(os.environ.get("BROKER_BINARY", TARGET / "release" / "fluxmq"))
    if not binary.exists():
        raise FileNotFoundError(f"{binary}: build it first with `cargo build --release`")
    return binary
