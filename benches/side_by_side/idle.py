"""What connections cost that do nothing: memory of the broker for each, and CPU while they are there."""

import resource
import socket
import struct
import time
from dataclasses import asdict, dataclass

from .brokers import FLUXMQ, KAFKA, Brokers, Peer
from .process import Sample
from .scenarios import BASE

COUNTS = (1_000, 10_000)
NAME = "idle"
WATCHED_S = 5.0
# ApiVersions v0 without a client id: what each client sends first.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


@dataclass(frozen=True)
class Idle:
    """So many connections to a broker, each of which has had one answer."""

    peer: str
    connections: int
    kib_each: float
    rss_anon_kib: int
    cpu_percent: float

    def to_json(self) -> dict:
        return asdict(self)


def _answered(connection: socket.socket) -> None:
    length = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
    assert len(connection.recv(length, socket.MSG_WAITALL)) == length, "the broker closed a connection"


def counts(names: list[str]) -> tuple[int, ...]:
    """Those that are meant by scenarios' names: all where there are none, `idle` or `idle-1000`."""
    return tuple(count for count in COUNTS if not names or NAME in names or f"{NAME}-{count}" in names)


def one(peer: Peer, counts: tuple[int, ...]) -> list[Idle]:
    """Opens them, looks at each count on the way, closes them. Memory is what came since the first."""
    host, _, port = peer.bootstrap.rpartition(":")
    before = Sample.of(peer.pid)
    connections, found = [], []
    try:
        for count in counts:
            while len(connections) < count:
                connections.append(socket.create_connection((host, int(port)), timeout=30))
                connections[-1].sendall(API_VERSIONS)
                _answered(connections[-1])
            began = Sample.of(peer.pid)
            time.sleep(WATCHED_S)
            after = Sample.of(peer.pid)
            found.append(Idle(peer.name, count, (after.rss_anon_kib - before.rss_anon_kib) / count, after.rss_anon_kib,
                              (after.cpu_s - began.cpu_s) / (after.at_s - began.at_s) * 100))
    finally:
        for connection in connections:
            connection.close()
    return found


def measure(brokers: Brokers, counts: tuple[int, ...]) -> list[Idle]:
    """Against FluxMQ and Kafka as they are started for the base point, in new processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(counts) + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(f"{needed} open files are needed, {hard} may be open: raise the limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if soft != resource.RLIM_INFINITY and soft < needed else soft, hard))
    peers = [peer for peer in brokers.rivals(BASE) if peer.name in (FLUXMQ, KAFKA)]
    return [idle for peer in peers for idle in one(peer, counts)]
