"""What is measured in which order, how often, and about how long that takes."""

from dataclasses import dataclass

from .brokers import FLUXMQ, KAFKA, NULL
from .scenarios import Scenario

# librdkafka's rate is Python's in most of them; it is asked for what shows how it and the broker go together.
LIBRDKAFKA = ("base", "base-synced", "batches-1mb", "megabatch", "lz4", "values-10kb")
MOST_ROUNDS = {"librdkafka": 2}
# Scenarios that are made no more often than this have no target by the broker that keeps nothing.
MOST_TIMES_AROUND = 3

# What a run costs beside its load: quiet, memory, the topic, end offsets, reading back.
BESIDE_S = 3.0
CONNECTION_S = 0.005


@dataclass(frozen=True)
class Speed:
    """About what a broker does on two cores that it shares with Java's producers. Topics are made and deleted a partition at a time."""

    records_per_s: int
    mb_per_s: int
    synced_mb_per_s: int
    partitions_per_s: int


SPEEDS = {KAFKA: Speed(400_000, 200, 50, 120)}
OTHERS_SPEED = Speed(600_000, 350, 180, 5_000)
FROM_DISK_MB_PER_S = 500
BARE_MINUTES = 8
WARM_UP_S = 10
IDLE_S = 30


@dataclass(frozen=True)
class Step:
    """So many rounds of a scenario under one client."""

    client: str
    scenario: Scenario
    rounds: int


def takes(client: str, scenario: Scenario, asked: bool) -> bool:
    """Whether a client is used for a scenario; `asked`: it was named. Only the Java client's driver does all kinds."""
    if client == "java":
        return True
    return not (scenario.rate or scenario.needs_a_log) and (asked or scenario.name in LIBRDKAFKA)


def steps(clients: list[str], scenarios: list[Scenario], rounds: int, asked: bool) -> list[Step]:
    return [Step(client, scenario, min(rounds, scenario.most_rounds, MOST_ROUNDS.get(client, rounds))) for client in clients for scenario in scenarios
            if takes(client, scenario, asked)]


def run_s(scenario: Scenario, peer: str) -> float:
    """About how long one run takes."""
    speed = SPEEDS.get(peer, OTHERS_SPEED)
    mb_per_s = speed.synced_mb_per_s if scenario.kept_for == "disk" else speed.mb_per_s
    load_s = max(scenario.records / speed.records_per_s, scenario.bytes / mb_per_s / 1e6)
    held_s = scenario.held_bytes / mb_per_s / 1e6
    if scenario.from_disk:
        load_s = scenario.held_bytes / FROM_DISK_MB_PER_S / 1e6
    elif scenario.rate:
        load_s = scenario.records / scenario.rate
    return BESIDE_S + scenario.partitions / speed.partitions_per_s + scenario.connections * CONNECTION_S + held_s + load_s


def peers(scenario: Scenario) -> list[str]:
    """Of those that are started here."""
    return [FLUXMQ, KAFKA] + ([NULL] if scenario.kept_for != "disk" and not scenario.needs_a_log else [])


def takes_part(scenario: Scenario, peer: str, number: int) -> bool:
    """Whether a broker is in the round of this number, from 0: once is enough to see what the client can do, but for the targets."""
    return peer != NULL or number == 0 or scenario.most_rounds > MOST_TIMES_AROUND


def minutes(plan: list[Step], idles: int = 0, bare: bool = False) -> float:
    """About how long all of it takes on two cores, with so many counts of idle connections; what is refused and made again comes on
    top."""
    runs = sum(run_s(step.scenario, peer) for step in plan for number in range(step.rounds) for peer in peers(step.scenario)
               if takes_part(step.scenario, peer, number))
    clients = len({step.client for step in plan})
    return (runs + clients * WARM_UP_S + idles * IDLE_S) / 60 + bare * BARE_MINUTES
