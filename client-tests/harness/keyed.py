"""Writers of a compacted topic: the last acknowledged value of each key is there, or a later one that was sent."""

import re
import threading
import time

from confluent_kafka import Producer

from .broker import Broker
from .ledger import Pausable
from .transactions import QUIET, UNCOMMITTED, messages

KEYS = 40
# Logs that are rolled and compacted all the time, those of the coordinators too.
COMPACTING = {
    "log.cleaner.backoff.ms": "50", "log.cleaner.min.cleanable.ratio": "0.01", "log.cleaner.delete.retention.ms": "300",
    "log.retention.check.interval.ms": "200", "offsets.topic.segment.bytes": str(1 << 20), "transaction.state.log.segment.bytes": str(1 << 20),
    "log.segment.delete.delay.ms": "0",
}
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "segment.ms": "1000"}


class KeyedWriter(Pausable):
    """Writes 1, 2, 3, ... under each of some keys to its own partition, as fast as it can; each key knows what was acknowledged last."""

    def __init__(self, bootstrap: str, topic: str, partition: int):
        super().__init__()
        self.topic, self.partition = topic, partition
        self.acknowledged = [0] * KEYS
        self.sent = [0] * KEYS
        self.failed: list[str] = []
        self.read_anew()
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2, "batch.num.messages": 200,
                                   "message.timeout.ms": 120_000, "retry.backoff.ms": 20, "retry.backoff.max.ms": 200, **QUIET})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        return sum(self.acknowledged)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._going_on.is_set():
                self._producer.poll(0.01)
                continue
            for key in range(KEYS):
                self.sent[key] += 1
                self._produce(key, self.sent[key])
            self._producer.poll(0)
            time.sleep(0.001)

    def _produce(self, key: int, number: int) -> None:
        def delivered(error, _message) -> None:
            if error:
                self.failed.append(str(error))
            else:
                self.acknowledged[key] = number
        value = b"=%d=" % number + b"v" * 200
        while True:
            try:
                self._producer.produce(self.topic, value, key=b"hot-%d" % key, partition=self.partition, on_delivery=delivered)
                return
            except BufferError:
                self._producer.poll(0.05)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        self._producer.flush(60)

    def abandon(self) -> list[int]:
        """What was acknowledged; nothing of what is under way is waited for."""
        promised = list(self.acknowledged)
        self._stopping.set()
        self._thread.join(30)
        self._producer.purge()
        return promised

    def read_anew(self) -> None:
        """The next reading is of everything."""
        self.found = [0] * KEYS  # the last value of each key
        self.read_until = 0

    def read_on(self, bootstrap: str) -> int:
        """Reads from where the last reading ended; fails where a key's values don't rise. Gives the number of records."""
        # Open transactions are in the way of others.
        everything = messages(bootstrap, self.topic, self.partition, isolation=UNCOMMITTED, start=self.read_until)
        for message in everything:
            assert message.offset() >= self.read_until
            self.read_until = message.offset() + 1
            if message.key() and (key := re.fullmatch(rb"hot-(\d+)", message.key())):
                key, number = int(key[1]), int(re.match(rb"=(\d+)=", message.value())[1])
                assert number > self.found[key], f"key {key}: {number} after {self.found[key]}"
                self.found[key] = number
        assert all(found <= sent for found, sent in zip(self.found, self.sent, strict=True)), "a value that was never sent"
        return len(everything)

    def lost(self, promised: list[int]) -> list[tuple[int, int, int]]:
        """Keys whose value is older than the one promised: (key, acknowledged, found)."""
        return [(key, number, found) for key, (number, found) in enumerate(zip(promised, self.found, strict=True)) if found < number]

    def check(self, bootstrap: str, promised: list[int]) -> int:
        """Fails unless each key has a value that is not older than the one promised, and was sent. Gives the number of records."""
        self.read_anew()
        records = self.read_on(bootstrap)
        lost = self.lost(promised)
        assert not lost, f"key, acknowledged, found: {lost[:5]}"
        return records


def rounds_said(broker: Broker, topic: str) -> int:
    """Rounds of compaction that have come to their end in the topic."""
    return len(re.findall(rf"compacted a log.*{re.escape(topic)}", broker.log.read_text(errors="replace")))
