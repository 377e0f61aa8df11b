"""How the CPU of a record grows along one factor, the rest being as it is at the base point."""

from dataclasses import dataclass

from .brokers import FLUXMQ, KAFKA
from .results import Results

# How much of it a scenario has, and the scenarios that differ in it, in its order.
FACTORS = {
    "partitions": (lambda scenario: scenario["partitions"], ("partitions-1", "base", "partitions-100", "partitions-1000", "partitions-10000")),
    "connections": (lambda scenario: scenario["connections"], ("connections-1", "base", "connections-64", "connections-512")),
    "groups": (lambda scenario: scenario["groups"], ("tail-1", "tail-10")),
    "GB that the topic holds": (lambda scenario: scenario["held_bytes"] / 1e9, ("log-size-0gb", "log-size-2gb", "log-size-4gb")),
    "bytes of a value": (lambda scenario: scenario["value_bytes"], ("values-100b", "base", "values-10kb", "values-100kb", "values-1mb")),
}


@dataclass(frozen=True)
class Line:
    """What one broker needs: (how much of the factor, CPU µs per record), and the scenarios of these points."""

    factor: str
    peer: str
    scenarios: list[str]
    points: list[tuple[float, float]]

    @property
    def last_by_first(self) -> float:
        return self.points[-1][1] / self.points[0][1]


def lines(results: Results) -> list[Line]:
    """Those that have two points or more among the scenarios that were measured."""
    found = []
    for factor, (amount, names) in FACTORS.items():
        for peer in (FLUXMQ, KAFKA):
            measured = [name for name in names if results.of(name, "java", peer)]
            if len(measured) > 1:
                points = [(amount(results.scenarios[name]), results.median(name, "java", peer, lambda run: run.cpu_us_per_record))
                          for name in measured]
                found.append(Line(factor, peer, measured, points))
    return found
