"""Producing with every acknowledgement written down, and holding the log against it afterwards."""

import signal
import struct
import subprocess
import threading
import time
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

FILLER = bytes(range(256)) * 4


def encode(sequence: int, size_bytes: int) -> bytes:
    """A value that names its sequence (8 bytes) and carries a checksum (4) of that and the filler behind it."""
    name, filler = struct.pack(">Q", sequence), FILLER[: max(0, size_bytes - 12)]
    return name + struct.pack(">I", zlib.crc32(name + filler)) + filler


def decode(value: bytes) -> int:
    """The sequence of a value; an assertion if a byte of it was changed."""
    sequence, checksum = struct.unpack_from(">QI", value)
    assert zlib.crc32(value[:8] + value[12:]) == checksum, f"record {sequence} was changed"
    return sequence


class Pausable:
    """A writer that sends nothing while `_going_on` isn't set."""

    def __init__(self):
        self._stopping, self._going_on = threading.Event(), threading.Event()
        self._going_on.set()

    @contextmanager
    def paused(self):
        """No new records within; answers still come in."""
        self._going_on.clear()
        try:
            yield
        finally:
            self._going_on.set()


class LedgerProducer(Pausable):
    """Writes sequences 0, 1, 2, ... into one partition as fast as it can, and keeps what was acknowledged, in order."""

    def __init__(self, bootstrap: str, topic: str, partition: int, *, size_bytes: int = 300, config: dict | None = None):
        super().__init__()
        self.topic, self.partition, self.size_bytes = topic, partition, size_bytes
        self.acknowledged: list[tuple[int, int]] = []  # (sequence, offset)
        self.refused: list[tuple[int, str]] = []
        self._producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 2,
            "message.timeout.ms": 120_000, "queue.buffering.max.messages": 20_000, "log_level": 2,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, **(config or {}),
        })
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "LedgerProducer":
        self._thread.start()
        return self

    def _run(self) -> None:
        sequence = 0
        while not self._stopping.is_set():
            if not self._going_on.is_set():
                self._producer.poll(0.01)
                continue
            try:
                self._producer.produce(self.topic, encode(sequence, self.size_bytes), partition=self.partition,
                                       on_delivery=self._delivered_for(sequence))
                sequence += 1
                if sequence % 64 == 0:
                    self._producer.poll(0)
            except BufferError:
                self._producer.poll(0.01)
        self.sent = sequence

    def _delivered_for(self, sequence: int):
        def delivered(error, message):
            if error is None:
                self.acknowledged.append((sequence, message.offset()))
            else:
                self.refused.append((sequence, str(error)))
        return delivered

    def stop(self, flush_s: float = 60) -> None:
        """No new records; waits for the answers to those under way."""
        self._stopping.set()
        self._thread.join()
        left = self._producer.flush(flush_s)
        assert left == 0, f"{left} records without an answer after {flush_s} s"

    def abandon(self, settle_s: float = 0.5) -> list[tuple[int, int]]:
        """No new records and no waiting for the broker: what was acknowledged up to now, answers already received included."""
        self._stopping.set()
        self._thread.join()
        end = time.monotonic() + settle_s
        while time.monotonic() < end:
            self._producer.poll(0.05)
        acknowledged = list(self.acknowledged)
        self._producer.purge()
        self._producer.poll(0)
        return acknowledged


class JavaLedgerProducer:
    """The same with the stock Java client: a child process that prints each acknowledgement."""

    def __init__(self, bootstrap: str, topic: str, partition: int, classpath: str):
        self.acknowledged: list[tuple[int, int]] = []
        self.refused: list[tuple[int, str]] = []
        self.sent = 0
        self._command = ["java", "-Xmx256m", "-cp", classpath, "com.fluxmq.tests.LedgerProducer", bootstrap, topic, str(partition)]

    def start(self) -> "JavaLedgerProducer":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        for line in self._process.stdout:
            words = line.split(maxsplit=2)
            if words[0] == "sent":
                self.sent = int(words[1])
            elif words[0] == "refused":
                self.refused.append((int(words[1]), words[2]))
            else:
                self.acknowledged.append((int(words[0]), int(words[1])))

    @contextmanager
    def paused(self):
        """The whole process stands still within, requests under way included."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self, flush_s: float = 120) -> None:
        self._process.stdin.close()
        assert self._process.wait(flush_s) == 0
        self._thread.join()


@contextmanager
def all_paused(producers: list):
    """Every producer stands still within."""
    with ExitStack() as pauses:
        for producer in producers:
            pauses.enter_context(producer.paused())
        yield


def read_partition(bootstrap: str, topic: str, partition: int, *, start: int = 0, timeout_s: float = 120, config: dict | None = None):
    """Every record of a partition from `start` or its own start on to its high watermark: [(offset, value)]."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "fetch.wait.max.ms": 50, "log_level": 2, **(config or {})})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        low = max(low, start)
        records: list[tuple[int, bytes]] = []
        if high <= low:
            return records
        consumer.assign([TopicPartition(topic, partition, low)])
        deadline = time.monotonic() + timeout_s
        while not records or records[-1][0] < high - 1:
            for message in consumer.consume(10_000, timeout=0.5):
                if message.error():
                    raise KafkaException(message.error())
                records.append((message.offset(), message.value()))
            assert time.monotonic() < deadline, f"{len(records)} of {high - low} records after {timeout_s} s"
        return records
    finally:
        consumer.close()


@dataclass
class Account:
    """What a partition holds against what was promised."""

    acknowledged: int
    found: int
    lost: list[int] = field(default_factory=list)
    repeated: int = 0
    out_of_order: int = 0
    moved: int = 0  # acknowledged at one offset, found at another

    def assert_kept(self) -> None:
        assert not self.lost, f"{len(self.lost)} acknowledged records lost, the first: {self.lost[:5]} ({self})"
        assert self.repeated == 0 and self.out_of_order == 0 and self.moved == 0, str(self)

    def __str__(self) -> str:
        return (f"acknowledged {self.acknowledged}, found {self.found}, lost {len(self.lost)}, "
                f"repeated {self.repeated}, out of order {self.out_of_order}, moved {self.moved}")


def account(acknowledged: list[tuple[int, int]], records: list[tuple[int, bytes]]) -> Account:
    """Compares one idempotent producer's acknowledgements with one partition that it alone wrote to."""
    at: dict[int, int] = {}
    result = Account(len(acknowledged), len(records))
    last = -1
    for offset, value in records:
        sequence = decode(value)
        if sequence in at:
            result.repeated += 1
        elif sequence < last:
            result.out_of_order += 1
        last = max(last, sequence)
        at[sequence] = offset
    for sequence, offset in acknowledged:
        if sequence not in at:
            result.lost.append(sequence)
        elif at[sequence] != offset:
            result.moved += 1
    return result
