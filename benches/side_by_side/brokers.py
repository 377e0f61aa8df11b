"""The brokers that are compared, each started when it is first needed and up until the end."""

import mmap
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.broker import Broker
from harness.kafka import Kafka
from harness.process import free_port

from .scenarios import Scenario

FLUXMQ, KAFKA, NULL = "FluxMQ", "Kafka", "null broker"


@dataclass(frozen=True)
class Peer:
    """A broker as one scenario meets it.

    `topic` are the topic settings that it needs so that an acknowledgement means what the scenario says. One that keeps
    nothing shows what the client can do; it is no rival.
    """

    name: str
    bootstrap: str
    pid: int
    topic: dict[str, str] = field(default_factory=dict)
    keeps: bool = True
    as_it_is: str = ""
    # Where its logs are, if that is known.
    log_dir: Path | None = None


def parse_peer(text: str) -> Peer:
    """NAME=HOST:PORT,PID."""
    name, _, rest = text.partition("=")
    bootstrap, _, pid = rest.rpartition(",")
    if not (name and ":" in bootstrap and pid.isdigit()):
        raise ValueError(f"{text}: a peer is NAME=HOST:PORT,PID")
    return Peer(name, bootstrap, int(pid), as_it_is="as it was started")


class Brokers:
    """Starts what is asked for, below one directory, and ends it all."""

    def __init__(self, directory: Path, null_broker: Path, extra: list[Peer]):
        self._directory, self._null_broker, self._extra = directory, null_broker, extra
        self._fluxmq: dict[str, Broker] = {}
        self._kafka: Kafka | None = None
        self._null: dict[int, tuple[subprocess.Popen, int]] = {}

    def rivals(self, scenario: Scenario) -> list[Peer]:
        """Who takes the load of a scenario: like promises only."""
        synced = scenario.kept_for == "disk"
        # Whoever wants all to acknowledge without a sync has to say so; the default syncs.
        policy = "never" if scenario.acks == "all" and not synced else "acks"
        fluxmq = self._start_fluxmq(policy)
        peers = [
            Peer(FLUXMQ, fluxmq.bootstrap, fluxmq.pid, as_it_is=f"log.flush.policy={policy}", log_dir=fluxmq.data_dir),
            self._start_kafka({"flush.messages": "1"} if synced else {}),
        ]
        if not synced:
            peers += [peer for peer in self._extra if peer.log_dir or not scenario.from_disk]
        if not synced and not scenario.needs_a_log:
            peers.append(self._start_null(scenario.partitions))
        return peers

    def _start_fluxmq(self, policy: str) -> Broker:
        if policy not in self._fluxmq:
            broker = Broker(self._directory / f"fluxmq-{policy}", overrides={"log.flush.policy": policy})
            self._fluxmq[policy] = broker.start()
        return self._fluxmq[policy]

    def _start_kafka(self, topic: dict[str, str]) -> Peer:
        if self._kafka is None:
            self._kafka = Kafka(self._directory / "kafka").start()
        return Peer(KAFKA, self._kafka.bootstrap, self._kafka.pid, topic, as_it_is="flush.messages=1" if topic else "as it comes",
                    log_dir=self._kafka.data_dir)

    def _start_null(self, partitions: int) -> Peer:
        if partitions not in self._null:
            port = free_port()
            process = subprocess.Popen([self._null_broker, f"port={port}", f"partitions={partitions}"], stdout=subprocess.PIPE)
            assert process.stdout.readline().startswith(b"ready"), "the null broker did not start"
            self._null[partitions] = (process, port)
        process, port = self._null[partitions]
        return Peer(NULL, f"127.0.0.1:{port}", process.pid, keeps=False, as_it_is="keeps nothing")

    def pids(self) -> list[int]:
        """Of all that run."""
        pids = [broker.pid for broker in self._fluxmq.values()] + [process.pid for process, _ in self._null.values()]
        return pids + ([self._kafka.pid] if self._kafka else []) + [peer.pid for peer in self._extra]

    def __enter__(self) -> "Brokers":
        return self

    def __exit__(self, *_exc) -> None:
        for broker in self._fluxmq.values():
            broker.kill()
        if self._kafka:
            self._kafka.kill()
        for process, _ in self._null.values():
            process.kill()
            process.wait()


def settle(size_bytes: int) -> None:
    """Writes out what the last run has left, so that the next one doesn't pay for it, and touches as much memory as the page cache will
    need: the first touch of a page costs a virtual machine far more than what is measured."""
    os.sync()
    mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
