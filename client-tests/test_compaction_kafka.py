"""Compaction beside Apache Kafka's: both compact the same log, and leave the same; each goes on in what the other has left."""

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.kafka import Kafka
from harness.members import create_topic, eventually
from harness.on_disk import dump_all, replace
from harness.transactions import COMMITTED, QUIET, UNCOMMITTED, messages, ready, settled

# Compared with its clean part the part that no round has seen is always large enough.
TOPIC = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "min.cleanable.dirty.ratio": "0.0001", "delete.retention.ms": "100000000"}
OFF = TRANSACTION_SETTINGS | {"log.cleaner.backoff.ms": "3600000"}
ON = TRANSACTION_SETTINGS | {"log.cleaner.backoff.ms": "200"}
pytestmark = pytest.mark.timeout(300)


def write(bootstrap: str, topic: str, seed: int) -> None:
    """Records of 200 keys by plain, idempotent and transactional producers of all codecs: batches and transactions of all sizes, which
    overlap, with tombstones and headers."""
    chance = random.Random(seed)
    plain = [Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": codec != "gzip", **QUIET})
             for codec in ("none", "gzip", "lz4")]
    transactional = [ready(bootstrap, f"{topic}-{seed}-{codec}", **{"compression.type": codec, "transaction.timeout.ms": 300_000})
                     for codec in ("none", "snappy", "zstd")]
    open_: set[Producer] = set()
    for number in range(400):
        producer = chance.choice(plain + transactional)
        if producer in open_ and chance.random() < 0.3:
            open_.remove(producer)
            producer.commit_transaction(30) if chance.random() < 0.6 else producer.abort_transaction(30)
            continue
        if producer in transactional and producer not in open_:
            producer.begin_transaction()
            open_.add(producer)
        for _ in range(chance.randrange(1, 40)):
            key = b"%d" % chance.randrange(200)
            value = None if chance.random() < 0.1 else b"%d " % number + chance.randbytes(300) + b"x" * 300
            producer.produce(topic, value, key=key, partition=0, headers=[("n", b"%d" % number)] if chance.random() < 0.3 else None)
        assert producer.flush(30) == 0
    for producer in open_:
        producer.commit_transaction(30)
    settled(bootstrap, topic)
    # What comes last is in a segment that no round takes, and large enough to be in one of its own.
    for i in range(2):
        plain[0].produce(topic, b"x" * 900_000, key=b"last", partition=0)
        assert plain[0].flush(30) == 0


def records(bootstrap: str, topic: str, isolation: str) -> list:
    found = messages(bootstrap, topic, isolation=isolation)
    return [(m.offset(), m.key(), m.value(), m.timestamp(), m.headers()) for m in found]


def batches(partition: Path) -> Counter:
    """Every batch that has records, as the dump tool tells it, but for when it can be deleted and where it stands."""
    seen = Counter()
    for line in "".join(dump_all(sorted(partition.glob("*.log")), "--deep-iteration")).splitlines():
        if re.match(r"baseOffset: ", line) and " count: 0 " not in line:
            line = re.sub(r" (position|size|crc): \S+", "", line)
            seen[re.sub(r"deleteHorizonMs: OptionalLong\[\d+\]", "deleteHorizonMs: some", line)] += 1
    return seen


def let_compact(server: Broker | Kafka, topic: str) -> None:
    """Runs the server until a round has come to the end of what it may take."""
    server.overrides = ON
    server.start()
    partition = server.data_dir / f"{topic}-0"
    bases = lambda: sorted(int(log.stem) for log in partition.glob("*.log"))
    checkpoint = server.data_dir / "cleaner-offset-checkpoint"
    cleaned = lambda: re.search(rf"{topic} 0 (\d+)", checkpoint.read_text() if checkpoint.exists() else "")
    eventually("compaction", lambda: (found := cleaned()) and int(found[1]) == bases()[-1], 60)
    time.sleep(0.5)
    server.stop()
    server.overrides = OFF


def test_both_leave_the_same(tmp_path, topic):
    broker, kafka = Broker(tmp_path / "data", overrides=OFF), Kafka(tmp_path / "kafka", OFF)
    ours, kafkas = (server.data_dir / f"{topic}-0" for server in (broker, kafka))
    with broker.start(), kafka.start():
        for server in (broker, kafka):
            create_topic(server.bootstrap, topic, 1, **TOPIC)
        write(broker.bootstrap, topic, 1)
        before = {isolation: records(broker.bootstrap, topic, isolation) for isolation in (COMMITTED, UNCOMMITTED)}
        broker.stop()
        kafka.stop()
        assert len(list(ours.glob("*.log"))) > 3
        replace(kafkas, ours)

        def compact_and_compare() -> dict:
            for server in (broker, kafka):
                let_compact(server, topic)
            assert batches(ours) == batches(kafkas)
            broker.start()
            kafka.start()
            eventually("Kafka's end", lambda: records(kafka.bootstrap, topic, UNCOMMITTED)[-1:] == records(broker.bootstrap, topic, UNCOMMITTED)[-1:])
            found = {}
            for isolation in (COMMITTED, UNCOMMITTED):
                found[isolation], theirs = (records(server.bootstrap, topic, isolation) for server in (broker, kafka))
                assert found[isolation] == theirs, isolation
            return found
        after = compact_and_compare()
        assert len(after[COMMITTED]) < 220 < len(before[COMMITTED]) / 5
        fold = lambda found: {key: value for _, key, value, *_ in found}
        assert fold(after[COMMITTED]) == fold(before[COMMITTED])

        # Each goes on in what the other has left; more is written to one, and what it then has to both.
        broker.stop()
        kafka.stop()
        swapped = tmp_path / "swapped"
        swapped.mkdir()
        replace(swapped, ours, ".deleted")
        replace(ours, kafkas, ".deleted")
        replace(kafkas, swapped)
        broker.start()
        write(broker.bootstrap, topic, 2)
        broker.stop()
        replace(kafkas, ours, ".deleted")
        compact_and_compare()
        broker.stop()
        kafka.stop()
