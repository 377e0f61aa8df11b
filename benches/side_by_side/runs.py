"""One run: a scenario, a client, a broker. What is no fair figure is refused, not printed."""

import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .brokers import Brokers, Peer, settle
from .drivers import Driver, DriverFailed
from .process import Others, Sample
from .scenarios import Scenario

# Of a core, used by others than the brokers and the client: more than that while a run goes on, and it doesn't count. Threads of
# the kernel that write out what the broker wrote are among them.
OTHERS_WHILE_RUNNING = 0.35
# And before it begins.
OTHERS_BEFORE = 0.1
QUIET_WITHIN_S = 60
ATTEMPTS = 3


class Refused(RuntimeError):
    """Why a figure is not given."""


@dataclass(frozen=True)
class Run:
    """What a broker did with a load. CPU is its process's; latencies are until the acknowledgement, in milliseconds."""

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
        return self.read_cpu_s / self.bytes * 1e9

    def to_json(self) -> dict:
        return asdict(self)


def congestion_control() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


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


def _sample(peer: Peer) -> Sample:
    try:
        return Sample.of(peer.pid)
    except OSError as error:
        raise Refused(f"{peer.name} died") from error


def one(scenario: Scenario, driver: Driver, peer: Peer, brokers: Brokers, records: int | None = None) -> Run:
    """A run that counts, unless it is refused; `records` for another number than the scenario's."""
    records = records or scenario.records
    topic = f"bench-{scenario.name}-{uuid.uuid4().hex[:8]}"
    address = {"bootstrap": peer.bootstrap, "topic": topic, "partitions": scenario.partitions}
    await_quiet(brokers, driver)
    # Also room for the records on their way through sockets and clients.
    settle(records * scenario.value_bytes + (512 << 20))
    before_control = congestion_control()
    if peer.keeps:
        driver.do("create", address | {f"topic.{key}": value for key, value in (scenario.topic | peer.topic).items()})
    others = Others([*brokers.pids(), driver.pid])
    before = _sample(peer)
    sent = driver.do("produce", address | {
        "threads": scenario.connections, "messages": records, "message.size": scenario.value_bytes, "rate": scenario.rate,
        "transaction.records": scenario.transaction,
        "discarded": str(not peer.keeps).lower(), **{f"producer.{key}": value for key, value in scenario.producer.items()}})
    produced = _sample(peer)
    read: dict[str, float] = {}
    after = produced
    if peer.keeps:
        if scenario.read:
            read = driver.do("read", {"topic": topic, "partitions": scenario.partitions})
            after = _sample(peer)
        others_cores = others.cores()
        driver.do("delete", {"topic": topic})
    else:
        others_cores = others.cores()
    check(peer, records, sent, read, others_cores, before_control, scenario.transaction > 0)
    return Run(
        scenario.name, driver.name, peer.name, records, records * scenario.value_bytes, sent["seconds"], produced.cpu_s - before.cpu_s,
        sent["client_cpu_s"], after.rss_anon_kib, produced.switches - before.switches, others_cores,
        {key.removesuffix("_ms"): value for key, value in sent.items() if key.endswith("_ms")},
        read.get("seconds", 0.0), after.cpu_s - produced.cpu_s if read else 0.0)


def check(peer: Peer, records: int, sent: dict[str, float], read: dict[str, float], others_cores: float, control: str,
          with_markers: bool = False) -> None:
    """Raises `Refused` for a run that can't be compared with another. `with_markers`: offsets count what ends transactions, too."""
    if sent["records"] != records:
        raise Refused(f"{peer.name}: {sent['records']:.0f} records were sent instead of {records}")
    if peer.keeps and (sent["arrived"] < records or sent["arrived"] > records and not with_markers):
        raise Refused(f"{peer.name}: {sent['arrived']:.0f} of {records} records arrived")
    wrong = {key: read[key] for key in ("missing", "duplicated", "changed", "out_of_order") if read.get(key)}
    if wrong or (read and read["records"] != records):
        raise Refused(f"{peer.name}: {read['records']:.0f} of {records} records read back: {wrong}")
    if congestion_control() != control:
        raise Refused(f"the congestion control was {control} and is {congestion_control()}")
    if others_cores > OTHERS_WHILE_RUNNING:
        raise Refused(f"the machine was too busy: others used {others_cores:.2f} of a core (at most {OTHERS_WHILE_RUNNING})")


def attempt(scenario: Scenario, driver: Driver, peer: Peer, brokers: Brokers) -> tuple[Run | None, list[str]]:
    """A run, or none after some attempts; and why the others were refused."""
    refusals = []
    for _ in range(ATTEMPTS):
        try:
            return one(scenario, driver, peer, brokers), refusals
        except (Refused, DriverFailed) as refused:
            refusals.append(str(refused))
    return None, refusals
