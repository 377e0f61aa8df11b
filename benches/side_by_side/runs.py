"""One run: a scenario, a client, a broker. What is no fair figure is refused, not printed."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from . import kinds
from .brokers import Brokers, Peer, settle
from .checks import Refused, check, check_sent, congestion_control
from .drivers import Driver, DriverFailed
from .kinds.driven import latencies
from .process import Others
from .scenarios import BASE, Scenario

# Of a core, used by others before a run begins.
OTHERS_BEFORE = 0.1
QUIET_WITHIN_S = 60
ATTEMPTS = 3


@dataclass(frozen=True)
class Run:
    """What a broker did with a load. CPU is its process's; latencies are until the acknowledgement, in milliseconds, and `delivered_ms`
    until a consumer that reads along had the record. `read_bytes` is 0 where as much was read as was sent."""

    scenario: str
    client: str
    peer: str
    records: int
    bytes: int
    seconds: float
    cpu_s: float
    client_cpu_s: float
    rss_anon_kib: int
    switches: int
    others_cores: float
    latency_ms: dict[str, float] = field(default_factory=dict)
    read_seconds: float = 0.0
    read_cpu_s: float = 0.0
    read_bytes: int = 0
    delivered_ms: dict[str, float] = field(default_factory=dict)
    page_cache_bytes: int = 0

    @property
    def records_per_s(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_s_per_gb(self) -> float:
        return self.cpu_s / self.bytes * 1e9

    @property
    def cpu_us_per_record(self) -> float:
        return self.cpu_s / self.records * 1e6

    @property
    def read_cpu_s_per_gb(self) -> float:
        return self.read_cpu_s / (self.read_bytes or self.bytes) * 1e9

    @property
    def read_mb_per_s(self) -> float:
        return (self.read_bytes or self.bytes) / self.read_seconds / 1e6

    @property
    def page_cache_share(self) -> float:
        return self.page_cache_bytes / self.bytes

    def to_json(self) -> dict:
        return asdict(self)


def await_quiet(brokers: Brokers, driver: Driver) -> None:
    """Until the rest of the machine does next to nothing."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    while True:
        others = Others([*brokers.pids(), driver.pid])
        time.sleep(0.5)
        if others.cores() <= OTHERS_BEFORE:
            return
        if time.monotonic() > deadline:
            raise Refused(f"the machine is too busy to measure: others use {others.cores():.2f} of a core (at most {OTHERS_BEFORE})")


@contextlib.contextmanager
def _topic(scenario: Scenario, driver: Driver, peer: Peer, address: dict[str, object]) -> Iterator[None]:
    """Is there meanwhile, where the broker keeps anything."""
    if not peer.keeps:
        yield
        return
    driver.do("create", address | {f"topic.{key}": value for key, value in (scenario.topic | peer.topic).items()})
    try:
        yield
    except BaseException:
        with contextlib.suppress(DriverFailed):  # what went wrong before says more
            driver.do("delete", address)
        raise
    driver.do("delete", address)


def _hold(scenario: Scenario, driver: Driver, peer: Peer, address: dict[str, object]) -> None:
    """Has the topic hold what it is to hold before the load."""
    as_base = {"threads": BASE.connections, "message.size": scenario.value_bytes, "messages": scenario.held_records}
    check_sent(peer, scenario.held_records, driver.do("produce", address | as_base))
    settle(scenario.bytes + (512 << 20))


def one(scenario: Scenario, driver: Driver, peer: Peer, brokers: Brokers, records: int | None = None) -> Run:
    """A run that counts, unless it is refused; `records` for another number than the scenario's."""
    records = records or scenario.records
    topic = f"bench-{scenario.name}-{uuid.uuid4().hex[:8]}"
    address = {"bootstrap": peer.bootstrap, "topic": topic, "partitions": scenario.partitions}
    await_quiet(brokers, driver)
    # Also room for the records on their way through sockets and clients.
    settle(scenario.held_bytes + records * scenario.value_bytes + (512 << 20))
    before_control = congestion_control()
    with _topic(scenario, driver, peer, address):
        if scenario.held_bytes:
            _hold(scenario, driver, peer, address)
        others = Others([*brokers.pids(), driver.pid])
        words = address | scenario.words() | {"discarded": str(not peer.keeps).lower()}
        driven = kinds.ALL[scenario.kind].drive(scenario, driver, peer, words, records)
        others_cores = others.cores()
    records, sent = driven.records, driven.sent
    check(peer, records, sent, driven.read, others_cores, before_control, scenario.transaction > 0, max(1, scenario.groups))
    return Run(
        scenario.name, driver.name, peer.name, records, records * scenario.value_bytes, sent["seconds"],
        driven.produced.cpu_s - driven.began.cpu_s, sent["client_cpu_s"], driven.ended.rss_anon_kib,
        driven.produced.switches - driven.began.switches, others_cores, latencies(sent), driven.read_seconds, driven.read_cpu_s,
        driven.read_bytes, driven.delivered_ms, driven.page_cache_bytes)


def attempt(scenario: Scenario, driver: Driver, peer: Peer, brokers: Brokers) -> tuple[Run | None, list[str]]:
    """A run, or none after some attempts; and why the others were refused."""
    refusals = []
    for _ in range(ATTEMPTS):
        try:
            return one(scenario, driver, peer, brokers), refusals
        except (Refused, DriverFailed) as refused:
            refusals.append(str(refused))
    return None, refusals
