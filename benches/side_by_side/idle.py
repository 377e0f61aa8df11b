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


def one(peer: Peer, count: int) -> Idle:
    """Opens them, looks, closes them."""
    host, _, port = peer.bootstrap.rpartition(":")
    before = Sample.of(peer.pid)
    connections = []
    try:
        for _ in range(count):
            connection = socket.create_connection((host, int(port)), timeout=30)
            connection.sendall(API_VERSIONS)
            _answered(connection)
            connections.append(connection)
        began = Sample.of(peer.pid)
        time.sleep(WATCHED_S)
        after = Sample.of(peer.pid)
    finally:
        for connection in connections:
            connection.close()
    return Idle(peer.name, count, (after.rss_anon_kib - before.rss_anon_kib) / count, after.rss_anon_kib,
                (after.cpu_s - began.cpu_s) / (after.at_s - began.at_s) * 100)


def measure(brokers: Brokers) -> list[Idle]:
    """Each of the counts, against FluxMQ and Kafka as they are started for the base point, in new processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(COUNTS) + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(f"{needed} open files are needed, {hard} may be open: raise the limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if soft != resource.RLIM_INFINITY and soft < needed else soft, hard))
    peers = [peer for peer in brokers.rivals(BASE) if peer.name in (FLUXMQ, KAFKA)]
    return [one(peer, count) for peer in peers for count in COUNTS]
