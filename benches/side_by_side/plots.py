"""The plots of a report, as SVG."""

from pathlib import Path

import matplotlib

from . import growth
from .brokers import FLUXMQ, KAFKA
from .results import Results

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "fluxmq"  # the same figures make the same file
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {FLUXMQ: "#c2410c", KAFKA: "#374151"}


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _cpu(results: Results, path: Path) -> bool:
    names = [name for name, scenario in results.scenarios.items() if scenario.get("kind") != "catch-up"
             and results.ratio(name, "java", FLUXMQ, KAFKA, lambda run: run.cpu_s) is not None]
    if not names:
        return False
    figure, axes = plt.subplots(figsize=(8, 0.7 + 0.32 * len(names)))
    for offset, peer in ((-0.2, KAFKA), (0.2, FLUXMQ)):
        values = [results.median(name, "java", peer, lambda run: run.cpu_us_per_record) for name in names]
        axes.barh([index - offset for index in range(len(names))], values, 0.38, label=peer, color=COLOURS[peer])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("CPU of the broker, µs per record (logarithmic)")
    axes.legend()
    _save(figure, path)
    return True


def _latency(results: Results, path: Path) -> bool:
    timed = [name for name, scenario in results.scenarios.items()
             if scenario["rate"] and scenario.get("kind", "load") == "load" and results.peers(name, "java")]
    if not timed:
        return False
    figure, axes = plt.subplots(figsize=(8, 4))
    for peer, colour in COLOURS.items():
        for key, style in (("p50", ":"), ("p99", "-"), ("p999", "--")):
            points = [(results.scenarios[name]["rate"], results.median(name, "java", peer, lambda run: run.latency_ms[key])) for name in timed
                      if results.scenarios[name]["kept_for"] == "cache" and results.of(name, "java", peer)]
            axes.plot(*zip(*points), style, marker="o", color=colour, label=f"{peer} {key.replace('p999', 'p99.9')}") if points else None
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("records per second")
    axes.set_ylabel("ms until acknowledged")
    axes.legend()
    _save(figure, path)
    return True


def _growth(results: Results, path: Path) -> bool:
    lines = growth.lines(results)
    factors = list(dict.fromkeys(line.factor for line in lines))
    if not factors:
        return False
    figure, all_axes = plt.subplots(1, len(factors), figsize=(1 + 3 * len(factors), 3.2), sharey=True, squeeze=False)
    for axes, factor in zip(all_axes[0], factors):
        of_it = [line for line in lines if line.factor == factor]
        for line in of_it:
            axes.plot(*zip(*line.points), marker="o", color=COLOURS[line.peer], label=f"{line.peer}, last {line.last_by_first:.2f} × first")
        # An empty log has no logarithm.
        if all(amount > 0 for line in of_it for amount, _ in line.points):
            axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(factor)
        axes.legend(fontsize="x-small")
    all_axes[0][0].set_ylabel("CPU of the broker, µs per record")
    _save(figure, path)
    return True


def draw(results: Results, directory: Path) -> dict[str, str]:
    """Writes those for which there are figures; their titles by file."""
    all_of_them = (("cpu.svg", _cpu, "CPU of the broker"), ("latency.svg", _latency, "Latency by rate"),
                   ("growth.svg", _growth, "Growth of a record's CPU"))
    return {name: title for name, plot, title in all_of_them if plot(results, directory / name)}
