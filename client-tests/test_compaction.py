"""Compaction: of each key the last committed record stays, where it was; readers, producers and groups notice nothing else."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from harness.members import alter_topic, create_topic, eventually
from harness.transactions import QUIET, committed, messages, ready, settled

SETTINGS = {"log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "300"}
# 1 MB is the least that a segment of Kafka may have.
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(1 << 20), "min.cleanable.dirty.ratio": "0.01"}
KEYS = 100


@pytest.fixture(scope="module")
def server(server_in, tmp_path_factory):
    with server_in(tmp_path_factory.mktemp("server"), **SETTINGS).start() as running:
        yield running


def write(server, topic: str, rounds: int, *, value_bytes: int = 500, codec: str = "none") -> dict[bytes, bytes]:
    """Each key in each round, and what they are in the end."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True, "compression.type": codec,
                         "batch.num.messages": 30, **QUIET})
    values = {}
    for number in range(rounds):
        for key in range(KEYS):
            name = b"key-%d" % key
            values[name] = b"%d:%d:" % (key, number) + b"x" * value_bytes
            producer.produce(topic, values[name], key=name, partition=0)
            producer.poll(0)
    assert producer.flush(60) == 0
    return values


def roll(server, topic: str) -> None:
    """Ends the active segment, which no compaction takes, by the time that it may take appends."""
    alter_topic(server.bootstrap, topic, **{"segment.ms": "1"})
    # A second record makes that time pass.
    producer = Producer({"bootstrap.servers": server.bootstrap, **QUIET})
    for value in (b"1", b"2"):
        producer.produce(topic, value, key=b"roll", partition=0)
        assert producer.flush(30) == 0
        time.sleep(0.05)


def records(server, topic: str):
    return messages(server.bootstrap, topic)


def folded(found) -> dict[bytes, bytes]:
    """What one knows who has read it all."""
    values = {}
    for message in found:
        values[message.key()] = message.value()
    return {key: value for key, value in values.items() if value is not None and key != b"roll"}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_last_value_of_each_key_stays(server, topic, codec):
    create_topic(server.bootstrap, topic, 1, **COMPACTED)
    values = write(server, topic, 60 if codec == "none" else 20, codec=codec)
    before = {message.offset(): (message.key(), message.value(), message.timestamp()) for message in records(server, topic)}
    roll(server, topic)
    eventually("compaction", lambda: len(records(server, topic)) <= KEYS + 10)
    found = records(server, topic)
    assert folded(found) == values
    for message in found:
        if message.key() != b"roll":
            assert before[message.offset()] == (message.key(), message.value(), message.timestamp())
    offsets = [message.offset() for message in found]
    assert offsets == sorted(set(offsets))


def test_segments_of_which_nothing_is_left_stop_no_reader(server, topic):
    """librdkafka doubles what it asks for with each answer that has no record, and gives up at a gigabyte."""
    create_topic(server.bootstrap, topic, **COMPACTED | {"cleanup.policy": "delete"})
    values = write(server, topic, 500, value_bytes=800)  # 40 segments
    roll(server, topic)
    alter_topic(server.bootstrap, topic, **{"cleanup.policy": "compact"})
    eventually("a compacted log", lambda: len(records(server, topic)) <= KEYS + 2)
    assert folded(records(server, topic)) == values


def test_tombstones_go_after_their_time(server, topic):
    create_topic(server.bootstrap, topic, 1, **COMPACTED, **{"delete.retention.ms": "1500"})
    values = write(server, topic, 5)
    producer = Producer({"bootstrap.servers": server.bootstrap, **QUIET})
    gone = [b"key-%d" % key for key in range(0, KEYS, 2)]
    for key in gone:
        producer.produce(topic, None, key=key, partition=0)
    assert producer.flush(30) == 0
    roll(server, topic)
    eventually("compaction", lambda: len(records(server, topic)) <= KEYS + 10)
    assert {m.key() for m in records(server, topic) if m.value() is None} == set(gone), "each is seen for a while"
    expected = {key: value for key, value in values.items() if key not in gone}

    def all_gone() -> bool:
        # Only a log that has something new is gone through.
        roll(server, topic)
        time.sleep(0.3)
        return not any(message.value() is None for message in records(server, topic))
    eventually("the tombstones to go", all_gone)
    assert folded(records(server, topic)) == expected


def test_of_transactions_what_was_committed(server, topic):
    create_topic(server.bootstrap, topic, 1, **COMPACTED)
    producer = ready(server.bootstrap, topic)
    values = {}
    for number in range(60):
        producer.begin_transaction()
        written = {b"key-%d" % key: b"%d" % number + b"x" * 200 for key in range(number % 3, KEYS, 3)}
        for key, value in written.items():
            producer.produce(topic, value, key=key, partition=0)
        if number % 4 == 3:
            assert producer.flush(30) == 0
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            values.update(written)
    settled(server.bootstrap, topic)
    assert folded(records(server, topic)) == values
    roll(server, topic)
    eventually("compaction", lambda: len(messages(server.bootstrap, topic, isolation="read_uncommitted")) <= KEYS + 10)
    assert folded(records(server, topic)) == values
    # The producer goes on where it was.
    producer.begin_transaction()
    producer.produce(topic, b"last", key=b"key-1", partition=0)
    producer.commit_transaction(30)
    settled(server.bootstrap, topic)
    assert folded(records(server, topic)) == values | {b"key-1": b"last"}


def test_a_reader_in_the_middle_goes_on(server, topic):
    create_topic(server.bootstrap, topic, 1, **COMPACTED)
    values = write(server, topic, 60)
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused", "auto.offset.reset": "error",
                         "enable.auto.commit": False, "queued.max.messages.kbytes": 64, "fetch.message.max.bytes": 20000, **QUIET})
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen = {}
    for _ in range(50):
        message = consumer.poll(10)
        seen[message.key()] = message.value()
    roll(server, topic)
    eventually("compaction", lambda: len(records(server, topic)) <= KEYS + 10)
    last = records(server, topic)[-1].offset()
    while (message := consumer.poll(10)).offset() < last:
        assert message.error() is None
        seen[message.key()] = message.value()
    consumer.close()
    assert {key: value for key, value in seen.items() if key != b"roll"} == values


def test_compacted_and_deleted(server, topic):
    create_topic(server.bootstrap, topic, 1, **COMPACTED | {"cleanup.policy": "compact,delete", "retention.ms": "3000"})
    write(server, topic, 20)
    roll(server, topic)
    eventually("compaction", lambda: len(records(server, topic)) <= KEYS + 10)
    eventually("retention", lambda: not folded(messages(server.bootstrap, topic, start=-2)))


def size_bytes(directory: Path) -> int:
    """Of the committed offsets, written as far as they are."""
    return sum(path.stat().st_blocks * 512 for path in directory.glob("__consumer_offsets-*/*.log"))


def test_committed_offsets_are_compacted_and_survive_it(server_in, tmp_path, topic):
    settings = SETTINGS | {"offsets.topic.segment.bytes": str(1 << 20), "offsets.topic.num.partitions": "2",
                           "log.cleaner.min.cleanable.ratio": "0.01"}
    with server_in(tmp_path, **settings).start() as server:
        create_topic(server.bootstrap, topic, 50)
        group = topic + "-group"
        consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": group, "enable.auto.commit": False, **QUIET})
        for number in range(1, 1001):
            offsets = [TopicPartition(topic, partition, number) for partition in range(50)]
            consumer.commit(offsets=offsets, asynchronous=False)
        expected = {(topic, partition): 1000 for partition in range(50)}
        # 50,000 records of more than 100 bytes each.
        eventually("compaction", lambda: 0 < size_bytes(server.data_dir) < 3 << 20)
        assert committed(server.bootstrap, group) == expected
        server.kill()
        server.start()
        assert committed(server.bootstrap, group) == expected
        consumer.close()
        server.stop()
        server.start()
        assert committed(server.bootstrap, group) == expected
