"""What is to be reached, and whether it is."""

from dataclasses import dataclass

from .brokers import FLUXMQ, KAFKA, NULL
from .results import Results
from .runs import Run


@dataclass(frozen=True)
class Row:
    """A target, the figure, and whether it is reached; None where nothing was measured."""

    path: str
    target: str
    figure: str
    good: bool | None


def _rate(run: Run) -> float:
    return run.records_per_s


def _cpu(run: Run) -> float:
    return run.cpu_s


def _read_cpu(run: Run) -> float:
    return run.read_cpu_s


def _memory(run: Run) -> float:
    return run.rss_anon_kib


def _bare(results: Results, path: str, key: str, target: float, at_least: bool = False) -> Row:
    text = f"{'≥' if at_least else '≤'} {target:g} × bare"
    if key not in results.ratios:
        return Row(path, text, "not measured", None)
    median, least = results.ratios[key]
    return Row(path, text, f"{median:.2f} (least {least:.2f})", median >= target if at_least else median <= target)


def _round_trip_p99(results: Results) -> Row:
    path, target = "small produce round trip: p99", "≤ 150 µs where ping-pong's is ≤ 75 µs, else ≤ 2 × its"
    ours, bare = (results.ratios.get(f"roundtrip p99 of {who}") for who in ("broker", "bare loop"))
    if not (ours and bare):
        return Row(path, target, "not measured", None)
    return Row(path, target, f"{ours[0]:.0f} µs, ping-pong {bare[0]:.0f} µs", ours[0] <= 2 * max(75.0, bare[0]))


def _append_tail(results: Results) -> list[Row]:
    keys = [key for key in results.ratios if key.startswith("append tail")] or ["append tail"]
    return [_bare(results, f"{key.replace('append tail', 'append at 400 MB/s, p99.9, batches of')}", key, 2.0) for key in keys]


def _idle(results: Results) -> list[Row]:
    most = max((idle for idle in results.idle if idle.peer == FLUXMQ), key=lambda idle: idle.connections, default=None)
    if most is None:
        return [Row("idle connections", "≤ 4 KB each; 10,000 ≤ 60 MB in all", "not measured", None)]
    mb = most.rss_anon_kib / 1024
    return [Row("idle connection", "≤ 4 KB", f"{most.kib_each:.1f} KB", most.kib_each <= 4),
            Row(f"{most.connections:,} idle connections, RssAnon in all", "≤ 60 MB", f"{mb:.0f} MB", mb <= 60)]


def _by(results: Results, path: str, scenario: str, by: str, figure, target: float, at_least: bool = False) -> Row:
    text = f"{'≥' if at_least else '≤'} {target:.2f} × {by}"
    ratio = results.ratio(scenario, "java", FLUXMQ, by, figure)
    if ratio is None:
        return Row(path, text, "not measured", None)
    return Row(path, text, f"{ratio:.2f}", ratio >= target if at_least else ratio <= target)


def _worst(results: Results, path: str, figure, target: float, at_least: bool = False, only=lambda scenario: True) -> Row:
    """Of FluxMQ's by Kafka's in every scenario, the one furthest from the target."""
    text = f"{'≥' if at_least else '≤'} {target:.2f} × {KAFKA}, everywhere"
    found = [(ratio, f"{name} ({client})") for name in results.scenarios if only(results.scenarios[name]) for client in results.clients(name)
             if (ratio := results.ratio(name, client, FLUXMQ, KAFKA, figure)) is not None]
    if not found:
        return Row(path, text, "not measured", None)
    worst, where = min(found) if at_least else max(found)
    misses = [place for ratio, place in found if (ratio < target if at_least else ratio > target)]
    return Row(path, text, f"{worst:.2f} in {where}; {len(found) - len(misses)} of {len(found)} reach it", not misses)


def rows(results: Results) -> list[Row]:
    """All targets."""
    table = [
        _bare(results, "produce 1 MB batches, acks=1: CPU, by a copy to a prepared map", "produce1, bare map", 1.25),
        _bare(results, "the same, by a write", "produce1", 1.25),
        _bare(results, "produce 16 KB, 64 connections: CPU", "small", 1.5),
        _bare(results, "fetch 1 MB from the page cache: CPU", "fetch", 1.5),
        _bare(results, "fetch 16 KB: CPU", "fetch16", 1.6),
        _bare(results, "small produce round trip: p50, by ping-pong", "roundtrip", 1.5),
        _round_trip_p99(results),
        *_append_tail(results),
        _bare(results, "acks=all to the disk, 8 producers of 16 KB: commits/s", "group commit", 0.8, at_least=True),
        _bare(results, "the same, by a loop that overwrites", "group commit, overwriting", 0.8, at_least=True),
        *_idle(results),
        _by(results, "MegaBatch: msg/s", "megabatch", NULL, _rate, 0.85, at_least=True),
        _by(results, "MegaBatch: msg/s", "megabatch", KAFKA, _rate, 0.95, at_least=True),
    ]
    mega = results.of("megabatch", "java", FLUXMQ)
    best = max(map(_rate, mega), default=0)
    table.append(Row("MegaBatch: best msg/s", "≥ 1,000,000", f"{best:,.0f}" if mega else "not measured", best >= 1e6 if mega else None))
    for scenario, what, target in (("megabatch", "MegaBatch", 0.25), ("base", "16 KB batches", 0.25), ("base-synced", "16 KB batches, synced", 0.25),
                                   ("batches-1mb", "1 MB batches", 0.33)):
        table.append(_by(results, f"{what}: CPU of the broker", scenario, KAFKA, _cpu, target))
    table.append(_by(results, "consume: CPU of the broker", "base", KAFKA, _read_cpu, 0.6))
    is_timed = lambda scenario: scenario["rate"] > 0
    # What follows a tail waits for the linger in any case.
    is_due = lambda scenario: is_timed(scenario) and not scenario.get("groups")
    table += [
        _worst(results, "rate", _rate, 0.95, at_least=True, only=lambda scenario: not is_timed(scenario)),
        _worst(results, "p99 of an acknowledgement", lambda run: run.latency_ms.get("p99", 0), 0.5, only=is_due),
        _worst(results, "p99.9 of an acknowledgement", lambda run: run.latency_ms.get("p999", 0), 0.5, only=is_due),
        _worst(results, "RssAnon", _memory, 0.1),
    ]
    return table
