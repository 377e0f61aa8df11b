"""Members of consumer groups on librdkafka, each polling in a thread of its own, or in a process that can be killed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from .paths import ROOT

CLASSIC = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 200}
PROTOCOLS = {
    "range": {"partition.assignment.strategy": "range", **CLASSIC},
    "roundrobin": {"partition.assignment.strategy": "roundrobin", **CLASSIC},
    "cooperative-sticky": {"partition.assignment.strategy": "cooperative-sticky", **CLASSIC},
    "consumer": {"group.protocol": "consumer"},
}


def eventually(what: str, condition: Callable[[], object], timeout_s: float = 30) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what} after {timeout_s} s"
        time.sleep(0.02)


def create_topic(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(20)
    eventually(f"topic {topic}", lambda: len(getattr(admin.list_topics(timeout=5).topics.get(topic), "partitions", ())) == partitions)


def alter_topic(bootstrap: str, topic: str, **config: str) -> None:
    """Sets these of the topic's settings."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": bootstrap})  # the answer comes only while it is there
    admin.incremental_alter_configs([resource])[resource].result(20)


def produce(bootstrap: str, topic: str, values, partitions: int = 1) -> None:
    """Writes the values, the i-th to partition i modulo their number."""
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2})
    for i, value in enumerate(values):
        producer.produce(topic, value, partition=i % partitions, on_delivery=lambda e, _: failed.append(e) if e else None)
        producer.poll(0)
    assert producer.flush(30) == 0 and not failed, failed[:3]


class Member:
    """A consumer that subscribes and polls until it is closed. What it sees is kept in lists."""

    def __init__(self, bootstrap: str, group: str, topics: list[str], *, commit: str | None = "sync", **config):
        self.records: list[tuple[str, int, int, bytes]] = []  # topic, partition, offset, value
        self.given: list[list[tuple[str, int]]] = []  # one entry for every assignment
        self.taken: list[list[tuple[str, int]]] = []  # ... and for every revocation or loss
        self.lost = 0
        self.committed: dict[tuple[str, int], int] = {}  # the last acknowledged commit of each partition
        self.errors: list[KafkaError] = []
        self._assignment: set[tuple[str, int]] = set()
        self._commit, self._topics = commit, topics
        self._closing, self._pausing = threading.Event(), threading.Event()
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                                  "enable.auto.commit": commit == "auto", "log_level": 2, "reconnect.backoff.ms": 20,
                                  "reconnect.backoff.max.ms": 200, "fetch.wait.max.ms": 100, **config})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Member":
        self.consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        self._thread.start()
        return self

    def _on_assign(self, _consumer, partitions):
        self.given.append([(p.topic, p.partition) for p in partitions])

    def _on_revoke(self, _consumer, partitions):
        self.taken.append([(p.topic, p.partition) for p in partitions])

    def _on_lost(self, consumer, partitions):
        self.lost += 1
        self._on_revoke(consumer, partitions)

    def assignment(self) -> set[tuple[str, int]]:
        """What the member had when it polled last; nothing once it is closed."""
        return self._assignment

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._pausing.is_set():
                time.sleep(0.01)
                continue
            messages = self.consumer.consume(500, timeout=0.05)
            # Asked by the thread that polls: librdkafka may want to call back into Python meanwhile.
            self._assignment = {(p.topic, p.partition) for p in self.consumer.assignment()}
            upto: dict[tuple[str, int], int] = {}
            for message in messages:
                if message.error():
                    self.errors.append(message.error())
                    continue
                self.records.append((message.topic(), message.partition(), message.offset(), message.value()))
                upto[message.topic(), message.partition()] = message.offset() + 1
            if upto and self._commit == "sync":
                try:
                    for done in self.consumer.commit(offsets=[TopicPartition(*at, offset) for at, offset in upto.items()], asynchronous=False):
                        if done.error is None:
                            self.committed[done.topic, done.partition] = done.offset
                except KafkaException as refused:  # a rebalance, or a broker on its way back
                    self.errors.append(refused.args[0])
        self.consumer.close()
        self._assignment = set()

    def stop_polling(self) -> None:
        self._pausing.set()

    def go_on_polling(self) -> None:
        self._pausing.clear()

    def close(self, timeout_s: float = 30) -> None:
        """Leaves the group, unless the member is static."""
        self._closing.set()
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the consumer did not close"

    def values(self) -> list[bytes]:
        return [value for _, _, _, value in self.records]

    def __enter__(self) -> "Member":
        return self.start()

    def __exit__(self, *_exc) -> None:
        self.close()


class DoomedMember:
    """A member in a process of its own, to be killed."""

    def __init__(self, bootstrap: str, group: str, topics: list[str], **config):
        words = [sys.executable, "-m", "harness.members", json.dumps([bootstrap, group, topics, config])]
        self._process = subprocess.Popen(words, cwd=ROOT / "client-tests", stdout=subprocess.PIPE, text=True)

    def await_partitions(self, count: int) -> None:
        for line in self._process.stdout:
            if int(line) >= count:
                return
        raise AssertionError("the member ended")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _main() -> None:
    bootstrap, group, topics, config = json.loads(sys.argv[1])
    member, before = Member(bootstrap, group, topics, **config).start(), -1
    while True:
        if (now := len(member.assignment())) != before:
            print(now, flush=True)
            before = now
        time.sleep(0.05)


if __name__ == "__main__":
    _main()
