"""The broker beside bare loops that do the same unavoidable work: the benchmarks of the crate `fluxmq-benches`, and their ratios."""

import re
import subprocess

from harness.paths import ROOT, fluxmq_binary

LOADS = "produce1,small,fetch,fetch16,roundtrip"
BROKER = re.compile(r"^(\S+)\s+broker / (bare \w+): median ([\d.]+), least ([\d.]+)")
ROUND_TRIP = re.compile(r"^roundtrip\s+(broker|bare loop)\s.*p99 ([\d.]+) \(least ([\d.]+)\)")
APPEND_TAIL = re.compile(r"^\s*(\d+) log / (best bare writer|bare write), p99\.9: median ([\d.]+), least ([\d.]+)")
GROUP_COMMIT = re.compile(r"^(bare loop|overwriting)\s+commits/s ([\d.]+)  cpu [\d.]+$")

# Median and least, or what else there is of two.
Ratios = dict[str, tuple[float, float]]


def bench(name: str, *words: str) -> list[str]:
    """The lines that a benchmark prints."""
    command = ["cargo", "bench", "--quiet", "-p", "fluxmq-benches", "--bench", name, "--", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def broker_ratios(lines: list[str]) -> Ratios:
    """CPU by that of the bare loops, or the time of a round trip by it; and the p99 of round trips, in microseconds."""
    ratios = {}
    for line in lines:
        if found := BROKER.match(line):
            ratios[found[1] if found[2] == "bare loop" else f"{found[1]}, {found[2]}"] = (float(found[3]), float(found[4]))
        elif found := ROUND_TRIP.match(line):
            ratios[f"roundtrip p99 of {found[1]}"] = (float(found[2]), float(found[3]))
    return ratios


def append_tail_ratios(lines: list[str]) -> Ratios:
    """The slowest appends by those of bare writers, by the bytes of a batch."""
    found = filter(None, map(APPEND_TAIL.match, lines))
    return {f"append tail, {match[1]}, {match[2]}": (float(match[3]), float(match[4])) for match in found}


def group_commit_ratios(lines: list[str]) -> Ratios:
    """Commits per second by those of the bare loops."""
    found = filter(None, map(GROUP_COMMIT.match, lines))
    return {"group commit" + (", overwriting" if match[1] == "overwriting" else ""): (float(match[2]), float(match[2])) for match in found}


def measure(rounds: int) -> Ratios:
    """All of it. Takes about eight minutes."""
    ratios = broker_ratios(bench("broker", f"rounds={rounds}", f"what={LOADS}", f"broker={fluxmq_binary()}"))
    ratios |= append_tail_ratios(bench("append_tail", f"rounds={rounds}"))
    return ratios | group_commit_ratios(bench("group_commit", f"rounds={rounds}", "producers=8"))
