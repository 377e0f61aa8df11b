"""System calls of a broker, counted in runs of their own: the counting slows what it counts."""

import signal
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass

from .brokers import Peer
from .checks import Refused, check_sent
from .drivers import Driver
from .scenarios import Scenario

SCENARIOS = ("base", "megabatch")
# Of a scenario's records; counts need no long runs.
SHARE = 5
ATTACHED_AFTER_S = 0.5


@dataclass(frozen=True)
class Calls:
    """While a broker took records; None where nobody may count."""

    scenario: str
    peer: str
    per_1000_records: float | None

    def to_json(self) -> dict:
        return asdict(self)


def parse(text: str) -> int | None:
    """What `perf stat -x,` says of one event; None where it could not count."""
    for line in text.splitlines():
        count, *rest = line.split(",")
        if any("sys_enter" in word for word in rest) and count.isdigit():
            return int(count)
    return None


class Counter:
    """Counts the calls of a process from its making to `stop`."""

    def __init__(self, pid: int):
        command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(pid)]
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            self._process = None
            return
        time.sleep(ATTACHED_AFTER_S)

    def stop(self) -> int | None:
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGINT)
        return parse(self._process.communicate(timeout=30)[1])


def one(scenario: Scenario, driver: Driver, peer: Peer) -> Calls:
    """Of a short run. Nobody's CPU is measured, so that the machine may do other things."""
    records = max(scenario.connections, scenario.records // SHARE)
    topic = f"calls-{scenario.name}-{uuid.uuid4().hex[:8]}"
    words = {"bootstrap": peer.bootstrap, "topic": topic, "partitions": scenario.partitions}
    if peer.keeps:
        driver.do("create", words | {f"topic.{key}": value for key, value in (scenario.topic | peer.topic).items()})
    counter = Counter(peer.pid)
    try:
        sent = driver.do("produce", words | scenario.words() | {"messages": records, "discarded": str(not peer.keeps).lower()})
    finally:
        count = counter.stop()
    if peer.keeps:
        driver.do("delete", words)
    try:
        check_sent(peer, records, sent)
    except Refused:
        count = None
    return Calls(scenario.name, peer.name, None if count is None else count / records * 1000)
