"""The runs of a whole measurement: medians and least values, kept as JSON, compared with those of another day."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .calls import Calls
from .checks import Refused
from .idle import Idle
from .runs import Run
from .scenarios import Scenario

# What two measurements must have in common to be compared. The kernel may be another: that is said.
SAME_MACHINE = ("cores", "memory", "congestion control")
# What a scenario says that changes no run.
NO_LOAD = ("what", "most_rounds")


class Results:
    """By scenario, client and broker."""

    def __init__(self, facts: dict[str, str]):
        self.facts = facts
        self.scenarios: dict[str, dict] = {}
        self.runs: list[Run] = []
        self.refusals: list[str] = []
        self.idle: list[Idle] = []
        self.calls: list[Calls] = []
        self.ratios: dict[str, tuple[float, float]] = {}

    def add(self, scenario: Scenario, run: Run) -> None:
        self.scenarios[scenario.name] = asdict(scenario)
        self.runs.append(run)

    def of(self, scenario: str, client: str, peer: str) -> list[Run]:
        return [run for run in self.runs if (run.scenario, run.client, run.peer) == (scenario, client, peer)]

    def clients(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(run.client for run in self.runs if run.scenario == scenario))

    def peers(self, scenario: str, client: str) -> list[str]:
        return list(dict.fromkeys(run.peer for run in self.runs if (run.scenario, run.client) == (scenario, client)))

    def median(self, scenario: str, client: str, peer: str, figure: Callable[[Run], float]) -> float | None:
        values = [figure(run) for run in self.of(scenario, client, peer)]
        return statistics.median(values) if values else None

    def ratio(self, scenario: str, client: str, peer: str, by: str, figure: Callable[[Run], float]) -> float | None:
        """The median of one broker by that of another."""
        ours, theirs = (self.median(scenario, client, name, figure) for name in (peer, by))
        return ours / theirs if ours is not None and theirs else None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"facts": self.facts, "scenarios": self.scenarios, "ratios": self.ratios,
                                    "idle": [idle.to_json() for idle in self.idle], "calls": [calls.to_json() for calls in self.calls],
                                    "refusals": self.refusals, "runs": [run.to_json() for run in self.runs]}, indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "Results":
        found = json.loads(path.read_text())
        results = Results(found["facts"])
        results.scenarios, results.refusals = found["scenarios"], found["refusals"]
        results.ratios = {key: tuple(value) for key, value in found["ratios"].items()}
        results.idle = [Idle(**idle) for idle in found.get("idle", [])]
        results.calls = [Calls(**calls) for calls in found.get("calls", [])]
        results.runs = [Run(**run) for run in found["runs"]]
        return results


def _differences(now: dict, before: dict) -> list[str]:
    """What makes a scenario another load. What it had no word for then was as it is by default."""
    now, before = (asdict(Scenario(**scenario)) for scenario in (now, before))
    return [key for key in now if now[key] != before[key] and key not in NO_LOAD]


def compare(now: Results, before: Results) -> list[tuple[str, str, str, float, float]]:
    """Scenario, client, broker, and by how much its CPU and its rate are what they were: 1.1 is a tenth more.

    Raises `Refused` when the machine is another, or a scenario is.
    """
    for fact in SAME_MACHINE:
        if now.facts.get(fact) != before.facts.get(fact):
            raise Refused(f"{fact}: {now.facts.get(fact)} now, {before.facts.get(fact)} before")
    rows = []
    for name, scenario in now.scenarios.items():
        if name not in before.scenarios:
            continue
        if different := _differences(scenario, before.scenarios[name]):
            raise Refused(f"{name} was another load: {', '.join(different)}")
        for client in now.clients(name):
            for peer in now.peers(name, client):
                for_both = [results.median(name, client, peer, figure) for figure in (lambda run: run.cpu_s, lambda run: run.records_per_s)
                            for results in (now, before)]
                if None not in for_both:
                    rows.append((name, client, peer, for_both[0] / for_both[1], for_both[2] / for_both[3]))
    return rows
