"""The broker beside bare loops that do the same unavoidable work: the benchmarks of the crate `fluxmq-benches`, and their ratios."""

import re
import subprocess

from harness.paths import ROOT, fluxmq_binary

BROKER = re.compile(r"^(\S+)\s+broker / bare loop: median ([\d.]+), least ([\d.]+)")
GROUP_COMMIT = re.compile(r"^bare loop\s+commits/s ([\d.]+)  cpu [\d.]+$")


def bench(name: str, *words: str) -> list[str]:
    """The lines that a benchmark prints."""
    command = ["cargo", "bench", "--quiet", "-p", "fluxmq-benches", "--bench", name, "--", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def broker(rounds: int) -> dict[str, tuple[float, float]]:
    """CPU by that of the bare loop, median and least."""
    lines = bench("broker", f"rounds={rounds}", "what=produce1,small,fetch,fetch16", f"broker={fluxmq_binary()}")
    return {m[1]: (float(m[2]), float(m[3])) for line in lines if (m := BROKER.match(line))}


def group_commit(rounds: int) -> dict[str, tuple[float, float]]:
    """Commits per second by those of the bare loop."""
    lines = bench("group_commit", f"rounds={rounds}", "producers=8")
    ratio = next(float(m[1]) for line in lines if (m := GROUP_COMMIT.match(line)))
    return {"group commit": (ratio, ratio)}
