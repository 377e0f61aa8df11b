"""The report, as Markdown."""

import statistics
from collections.abc import Callable

from . import growth, targets
from .brokers import FLUXMQ, KAFKA
from .results import Results, compare
from .runs import Run

VERDICTS = {True: "reached", False: "MISSED", None: "-"}


def _both(runs: list[Run], figure: Callable[[Run], float], form: str, least: bool = True) -> str:
    """The median, and the best of the runs."""
    values = [figure(run) for run in runs]
    return f"{statistics.median(values):{form}} ({(min(values) if least else max(values)):{form}})"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def _figures(results: Results) -> list[str]:
    rows = []
    for name, scenario in results.scenarios.items():
        # Its CPU is of reading, and has a table of its own.
        for client in results.clients(name) if scenario.get("kind") != "catch-up" else ():
            for peer in results.peers(name, client):
                runs = results.of(name, client, peer)
                read = any(run.read_seconds for run in runs)
                # It is the machine's: where somebody else freed more, it says nothing.
                cached = [run for run in runs if run.page_cache_bytes > 0]
                rows.append([
                    name, client, peer, _both(runs, lambda run: run.records_per_s, ",.0f", least=False),
                    _both(runs, lambda run: run.cpu_s_per_gb, ".3f"), _both(runs, lambda run: run.cpu_us_per_record, ".2f"),
                    _both(runs, lambda run: run.read_cpu_s_per_gb, ".3f") if read else "-",
                    f"{max(run.rss_anon_kib for run in runs) / 1024:.0f}",
                    _both(cached, lambda run: run.page_cache_share, ".2f") if cached else "-",
                    _both(runs, lambda run: run.switches / run.records * 1000, ".0f"),
                    _both(runs, lambda run: run.client_cpu_s / run.records * 1e6, ".2f")])
    return _table(["scenario", "client", "broker", "records/s", "CPU s/GB", "CPU µs/record", "CPU s/GB read", "RssAnon MB, most",
                   "page cache GB/GB", "switches/1000 records", "client µs/record"], rows)


def _latencies(results: Results) -> list[str]:
    rows = []
    for name, scenario in results.scenarios.items():
        if not scenario["rate"]:
            continue
        for client in results.clients(name):
            for peer in results.peers(name, client):
                runs = results.of(name, client, peer)
                rows.append([name, client, peer, *(_both(runs, lambda run, key=key: run.latency_ms[key], ".2f")
                                                   for key in ("p50", "p99", "p999", "p9999", "max")),
                             _both(runs, lambda run: run.cpu_us_per_record, ".1f")])
    return _table(["scenario", "client", "broker", "p50 ms", "p99", "p99.9", "p99.99", "most", "CPU µs/record"], rows) if rows else []


def _tail(results: Results) -> list[str]:
    rows = []
    for name, scenario in results.scenarios.items():
        for peer in results.peers(name, "java") if scenario.get("groups") else ():
            runs = results.of(name, "java", peer)
            rows.append([name, peer, *(_both(runs, lambda run, key=key: run.delivered_ms[key], ".2f") for key in ("p50", "p99", "p999", "max")),
                         _both(runs, lambda run: run.cpu_us_per_record, ".1f"),
                         _both(runs, lambda run, groups=scenario["groups"]: run.cpu_us_per_record / (1 + groups), ".1f")])
    return _table(["scenario", "broker", "p50 ms", "p99", "p99.9", "most", "CPU µs/record", "CPU µs/transfer"], rows) if rows else []


def _catch_up(results: Results) -> list[str]:
    rows = []
    for name, scenario in results.scenarios.items():
        for peer in results.peers(name, "java") if scenario.get("kind") == "catch-up" else ():
            runs = results.of(name, "java", peer)
            rows.append([name, peer, _both(runs, lambda run: run.read_mb_per_s, ",.0f", least=False),
                         _both(runs, lambda run: run.read_cpu_s_per_gb, ".3f"),
                         *(_both(runs, lambda run, key=key: run.latency_ms[key], ".2f") for key in ("p50", "p99"))])
    return _table(["scenario", "broker", "MB/s read", "CPU s/GB read", "p50 ms of acknowledgements", "p99"], rows) if rows else []


def _calls(results: Results) -> list[str]:
    return _table(["scenario", "broker", "system calls/1,000 records"], [
        [calls.scenario, calls.peer, "-" if calls.per_1000_records is None else f"{calls.per_1000_records:,.0f}"] for calls in results.calls])


def _idle(results: Results) -> list[str]:
    return _table(["broker", "idle connections", "KB each", "RssAnon MB in all", "CPU, % of a core"],
                  [[idle.peer, f"{idle.connections:,}", f"{idle.kib_each:.1f}", f"{idle.rss_anon_kib / 1024:.0f}", f"{idle.cpu_percent:.2f}"]
                   for idle in results.idle])


def _growth(results: Results) -> list[str]:
    """CPU of a record along one factor; what the last is of the first."""
    rows = [[line.factor, line.peer, ", ".join(f"{name} {cpu_us:.2f}" for name, (_, cpu_us) in zip(line.scenarios, line.points)),
             f"{line.last_by_first:.2f}"] for line in growth.lines(results)]
    return _table(["growth of", "broker", "CPU µs/record", "last by first"], rows) if rows else []


def _ratios(results: Results) -> list[str]:
    rows = []
    for name in results.scenarios:
        for client in results.clients(name):
            figures = [lambda run: run.records_per_s, lambda run: run.cpu_s, lambda run: run.read_cpu_s, lambda run: run.rss_anon_kib,
                       lambda run: run.latency_ms.get("p99", 0), lambda run: run.latency_ms.get("p999", 0)]
            ratios = [results.ratio(name, client, FLUXMQ, KAFKA, figure) for figure in figures]
            if ratios[0] is not None:
                rows.append([name, client, *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return _table(["FluxMQ by Kafka", "client", "rate", "CPU", "CPU read", "RssAnon", "p99", "p99.9"], rows)


def comparison(now: Results, before: Results) -> list[str]:
    """What changed since another measurement."""
    rows = [[name, client, peer, f"{cpu:.2f}", f"{rate:.2f}"] for name, client, peer, cpu, rate in compare(now, before)]
    return ["## Against the measurement before", "", *_table(["scenario", "client", "broker", "CPU by before", "rate by before"], rows)]


def text(results: Results, command: str, plots: dict[str, str], before: Results | None = None) -> str:
    """The report of what `command` has measured, with `plots` (their titles by file)."""
    lines = ["# FluxMQ beside Apache Kafka", "", f"Written by `{command}`.", "",
             "Each cell is the median of the runs, and the best of them in brackets. The brokers took turns, each under the same process of a "
             "stock client. CPU is that of the broker's process. *null broker* keeps nothing: what it takes is what the client can send.", "",
             *_table(["of the machine", ""], [[key, value] for key, value in results.facts.items()]),
             "## Targets", "",
             *_table(["path", "target", "figure", ""], [[row.path, row.target, row.figure, VERDICTS[row.good]] for row in targets.rows(results)]),
             "## FluxMQ by Kafka", "", *_ratios(results)]
    for name, title in plots.items():
        lines += [f"![{title}]({name})", ""]
    lines += ["## Figures", "", *_figures(results)]
    if latencies := _latencies(results):
        lines += ["## Latencies", "", "Of each record, from when it was due: a stall counts for all that it held up.", "", *latencies]
    if tail := _tail(results):
        lines += ["## Tail", "", "From when a record was due to be sent until a consumer of a group had it, over all groups, each of which "
                  "reads every record. CPU of a record is with all its deliveries; a transfer is a record taken from its producer, or given to "
                  "a group.", "", *tail]
    if catch_up := _catch_up(results):
        lines += ["## Catching up", "", "An old log, read from the disk by one consumer while producers go on: the page cache was told to "
                  "forget the broker's logs (POSIX_FADV_DONTNEED). CPU is of reading and taking.", "", *catch_up]
    if lines_of_growth := _growth(results):
        lines += ["## Growth", "", "Where groups grow, a record's CPU is with all its deliveries.", "", *lines_of_growth]
    if results.calls:
        lines += ["## System calls", "", "Of the broker while it takes records, in runs that count for nothing else.", "", *_calls(results)]
    if results.idle:
        lines += ["## Idle connections", "", *_idle(results)]
    lines += ["## Scenarios", "", *_table(["scenario", "records", "load", "an acknowledgement means"], [
        [name, f"{scenario['records']:,}", scenario["what"],
         {"cache": "in the page cache", "disk": "on the disk", "nothing": "none"}[scenario["kept_for"]]]
        for name, scenario in results.scenarios.items()])]
    if results.refusals:
        lines += ["## Refused", "", "Runs that were no fair figure, and were made again where that helped:", "",
                  *(f"- {refusal}" for refusal in results.refusals), ""]
    if before:
        lines += comparison(results, before)
    return "\n".join(lines).rstrip() + "\n"
