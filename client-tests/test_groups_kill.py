"""kill -9, and a clean restart, while the members of a group consume and commit."""

import random
import threading
import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient

from harness.members import PROTOCOLS, Member, create_topic, eventually

PARTITIONS = 6
pytestmark = pytest.mark.timeout(240)


class Stream:
    """Writes 0, 1, 2, ... to all partitions until it is stopped, through restarts of the server."""

    def __init__(self, bootstrap: str, topic: str):
        self._topic, self._stopping, self.sent = topic, threading.Event(), 0
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2, "message.timeout.ms": 120_000,
                                   "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "log_level": 2})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._producer.produce(self._topic, b"%d" % self.sent, partition=self.sent % PARTITIONS)
            self.sent += 1
            self._producer.poll(0.001)

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def __exit__(self, *_exc) -> None:
        self._stopping.set()


def committed(bootstrap: str, group: str) -> dict[tuple[str, int], int]:
    """What the group has committed, once its coordinator is there."""
    admin, found = AdminClient({"bootstrap.servers": bootstrap}), {}
    def ask() -> bool:
        try:
            answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=5)[group].result(6)
        except Exception:  # on its way back
            return False
        found.update({(p.topic, p.partition): p.offset for p in answer.topic_partitions})
        return True
    eventually("the coordinator", ask)
    return found


def bounce(server, topic: str, protocol: str, rounds: int, stop) -> None:
    """Bounces the server under three members; after each, and in the end, holds the offsets against what was acknowledged."""
    with server.start():
        create_topic(server.bootstrap, topic, PARTITIONS)
        config = PROTOCOLS[protocol] | ({"session.timeout.ms": 10_000} if protocol != "consumer" else {})
        members = [Member(server.bootstrap, topic, [topic], **{"group.instance.id": f"i{i}"} if i == 0 else {}, **config).start() for i in range(3)]
        try:
            with Stream(server.bootstrap, topic) as stream:
                for round_ in range(rounds):
                    before = [len(m.records) for m in members]
                    eventually("progress of every member", lambda: all(len(m.records) >= n + 100 and m.assignment() for m, n in zip(members, before, strict=True)), 60)
                    time.sleep(random.uniform(0.1, 1.0))
                    stop(server)
                    promised: dict[tuple[str, int], int] = {}
                    for member in members:
                        for at, offset in dict(member.committed).items():
                            promised[at] = max(promised.get(at, 0), offset)
                    server.start()
                    found = committed(server.bootstrap, topic)
                    lost = {at: (offset, found.get(at)) for at, offset in promised.items() if found.get(at, -1) < offset}
                    print(f"{protocol}, round {round_ + 1}: {sum(promised.values())} acknowledged in {len(promised)} partitions, lost {lost}")
                    assert not lost, f"acknowledged commits were lost: {lost}"
                    assert len(promised) == PARTITIONS
                stream.stop()
                def read() -> set[int]:
                    return {int(v) for m in members for v in m.values()}
                eventually("every record", lambda: len(read()) == stream.sent, 60)
                again = sum(len(m.records) for m in members) - stream.sent
                print(f"{protocol}: {stream.sent} records, {again} read again")
                eventually("the last commits", lambda: sum(committed(server.bootstrap, topic).values()) == stream.sent)
        finally:
            for member in members:
                member.close()


@pytest.mark.parametrize("protocol", ["range", "cooperative-sticky", "consumer"])
def test_no_acknowledged_commit_is_lost(server_in, tmp_path, topic, protocol, full):
    bounce(server_in(tmp_path), topic, protocol, 10 if full else 2, lambda server: server.kill())


@pytest.mark.parametrize("protocol", ["range", "consumer"])
def test_members_go_on_after_a_restart(server_in, tmp_path, topic, protocol):
    bounce(server_in(tmp_path), topic, protocol, 1, lambda server: server.stop())
