"""Measures FluxMQ beside Apache Kafka under the same stock clients, and writes a report.

Scenarios are named by their names or by how they begin: `bench.sh base latency`. Without one all are measured; the first
line says about how long that takes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness.kafka import SCRIPT
from harness.paths import ROOT, TARGET, fluxmq_binary

from . import bare, calls, drivers, idle, plan, plots, process, report
from .brokers import Brokers, parse_peer
from .results import Results
from .checks import Refused
from .runs import attempt
from .scenarios import BASE, Scenario, every

WARM_UP_RECORDS = 500_000


class Progress:
    """A line on the terminal, or a line for each step."""

    def __init__(self, steps: int):
        self._steps, self._done, self._started = steps, 0, time.monotonic()

    def step(self, what: str) -> None:
        self._done += 1
        spent = time.monotonic() - self._started
        left = spent / self._done * (self._steps - self._done)
        text = f"{self._done * 100 // self._steps:3} % {what}, {left / 60:.0f} min left"
        print(f"\r{text:100}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def chosen(names: list[str]) -> list[Scenario]:
    """Those that are meant; a `ValueError` for a name that means none."""
    found = []
    for name in names:
        if idle.counts([name]):
            continue
        meant = [scenario for scenario in every() if scenario.name == name] or [s for s in every() if s.name.startswith(name)]
        if not meant:
            raise ValueError(f"no scenario {name}; there are {', '.join(scenario.name for scenario in every())}")
        found += [scenario for scenario in meant if scenario not in found]
    return found if names else every()


def facts() -> dict[str, str]:
    version = subprocess.run([fluxmq_binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    libs = subprocess.run([SCRIPT, "libs"], capture_output=True, text=True, check=True).stdout.strip()
    kafka = next(Path(libs).glob("kafka-clients-*.jar")).stem.removeprefix("kafka-clients-")
    return process.facts() | {"FluxMQ": f"{version}, {commit}", "Kafka": f"{kafka}, heap of 1 GB, its own flags"}


def warm_up(driver: drivers.Driver, brokers: Brokers, is_first: bool) -> None:
    """Has the client compiled. Raises `Refused` where nothing comes of it at the very beginning; later there is a report to lose."""
    short = replace(BASE, records=WARM_UP_RECORDS)
    tried = [attempt(short, driver, peer, brokers) for peer in brokers.rivals(short)]
    if is_first and not any(run for run, _ in tried):
        raise Refused(tried[0][1][-1])


def measure(options: argparse.Namespace, scenarios: list[Scenario], directory: Path) -> Results:
    results = Results(facts())
    clients = [client for client in drivers.ALL if options.client in (None, client)]
    steps = plan.steps(clients, scenarios, options.rounds, asked=options.client is not None)
    idles = idle.counts(options.scenarios)
    print(f"about {plan.minutes(steps, len(idles), not options.no_bare):.0f} minutes", file=sys.stderr, flush=True)
    progress = Progress(sum(step.rounds for step in steps))
    extra = [parse_peer(text) for text in options.peer]
    if idles:
        # Brokers that have done nothing yet: what they grew to under load would hide what a connection takes.
        (directory / idle.NAME).mkdir()
        with Brokers(directory / idle.NAME, TARGET / "release" / "null_broker", []) as brokers:
            results.idle = idle.measure(brokers, idles)
        results.save(options.out / "results.json")
    with Brokers(directory, TARGET / "release" / "null_broker", extra) as brokers:
        for client in dict.fromkeys(step.client for step in steps):
            driver = drivers.ALL[client](directory)
            try:
                warm_up(driver, brokers, is_first=not results.runs)
                for scenario, rounds in ((step.scenario, step.rounds) for step in steps if step.client == client):
                    peers = brokers.rivals(scenario)
                    if client == "java" and scenario.name in calls.SCENARIOS:
                        results.calls += [calls.one(scenario, driver, peer) for peer in peers]
                    for number in range(rounds):
                        turn = number % len(peers)
                        for peer in (peer for peer in peers[turn:] + peers[:turn] if plan.takes_part(scenario, peer.name, number)):
                            run, refusals = attempt(scenario, driver, peer, brokers)
                            results.refusals += [f"{scenario.name}, {client}: {refusal}" for refusal in refusals]
                            if run:
                                results.add(scenario, run)
                        progress.step(f"{scenario.name} ({client}), round {number + 1}")
                    results.save(options.out / "results.json")
            finally:
                driver.close()
    if not options.no_bare:
        print("the bare loops, a few minutes", file=sys.stderr, flush=True)
        results.ratios |= bare.measure(options.rounds)
    results.save(options.out / "results.json")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario")
    parser.add_argument("--list", action="store_true", help="print the scenarios")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each scenario against each broker (default 3), fewer of some")
    parser.add_argument("--client", choices=drivers.ALL, help="only this client")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=HOST:PORT,PID", help="another Kafka-compatible broker of this machine")
    parser.add_argument("--no-bare", action="store_true", help="without the bare loops")
    parser.add_argument("--out", type=Path, default=TARGET / "bench", help="where the report goes (default target/bench)")
    parser.add_argument("--save-baseline", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say what has changed since then")
    options = parser.parse_args()
    if options.list:
        for scenario in every():
            print(f"{scenario.name:24} {scenario.what}")
        print(f"{idle.NAME:24} connections that do nothing, {' and '.join(f'{count:,}' for count in idle.COUNTS)}")
        return 0
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=TARGET))
    try:
        before = Results.load(options.compare) if options.compare else None
        scenarios = chosen(options.scenarios)
        results = measure(options, scenarios, directory)
        if options.save_baseline:
            results.save(options.save_baseline)
        path = options.out / "report.md"
        path.write_text(report.text(results, " ".join(["scripts/bench.sh", *sys.argv[1:]]), plots.draw(results, options.out), before))
        print(f"\n{path}")
        return 0
    except (Refused, drivers.DriverFailed, ValueError) as error:
        print(f"bench.sh: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
