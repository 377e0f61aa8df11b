"""What came of a load, whatever its kind."""

from dataclasses import dataclass, field

from ..process import Sample


def latencies(figures: dict[str, float]) -> dict[str, float]:
    """The quantiles among a driver's figures, in milliseconds."""
    return {key.removesuffix("_ms"): value for key, value in figures.items() if key.endswith("_ms")}


@dataclass(frozen=True)
class Driven:
    """`records` are to have been sent. `sent` and `read` are the driver's figures, `read` is empty where nothing was read. The samples
    are the broker's before the load, when it was all sent, and when it was all read. `read_bytes` are those of `read_seconds`, 0 for
    as many as were sent."""

    records: int
    sent: dict[str, float]
    read: dict[str, float]
    began: Sample
    produced: Sample
    ended: Sample
    read_seconds: float = 0.0
    read_cpu_s: float = 0.0
    read_bytes: int = 0
    delivered_ms: dict[str, float] = field(default_factory=dict)
    page_cache_bytes: int = 0
