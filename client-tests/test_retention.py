"""Retention: what is too old or too much goes, readers go on at what is left, and nothing else is lost."""

import time

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from harness.members import alter_topic, create_topic, eventually
from harness.transactions import QUIET, read

SETTINGS = {"log.retention.check.interval.ms": "300"}
HOUR_MS = 3_600_000
VALUE = b"x" * 1000


@pytest.fixture(scope="module")
def server(server_in, tmp_path_factory):
    with server_in(tmp_path_factory.mktemp("server"), **SETTINGS).start() as running:
        yield running


def write(server, topic: str, count: int, age_ms: int = 0) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all", "batch.num.messages": 100, **QUIET})
    for _ in range(count):
        producer.produce(topic, VALUE, partition=0, timestamp=time.time_ns() // 1_000_000 - age_ms)
    assert producer.flush(30) == 0


def bounds(server, topic: str) -> tuple[int, int]:
    """The first offset that can be read, and the end."""
    admin, at = AdminClient({"bootstrap.servers": server.bootstrap, **QUIET}), TopicPartition(topic, 0)

    def ask(spec) -> int:
        return admin.list_offsets({at: spec})[at].result(20).offset
    return ask(OffsetSpec.earliest()), ask(OffsetSpec.latest())


def test_by_size(server, topic):
    # 1 MB is the least that a segment of Kafka may have.
    create_topic(server.bootstrap, topic, 1, **{"segment.bytes": str(1 << 20), "retention.bytes": str(3 << 20)})
    write(server, topic, 10_000)
    eventually("what is too much to go", lambda: bounds(server, topic)[0] > 5_000)
    time.sleep(1)
    start, end = bounds(server, topic)
    assert end == 10_000
    # As much as is kept, and no more than a segment beside it.
    assert 3 << 20 <= (end - start) * len(VALUE) + 200_000 <= 5 << 20, (start, end)
    assert [offset for offset, _ in read(server.bootstrap, topic, start=start)] == list(range(start, end))


def test_by_age_with_the_active_segment(server, topic):
    create_topic(server.bootstrap, topic, 1, **{"segment.bytes": str(1 << 20), "retention.ms": str(HOUR_MS)})
    write(server, topic, 3_000, age_ms=2 * HOUR_MS)
    eventually("all of it to go", lambda: bounds(server, topic) == (3_000, 3_000))
    write(server, topic, 10)
    time.sleep(1)
    assert bounds(server, topic) == (3_000, 3_010)
    assert len(read(server.bootstrap, topic, start=3_000)) == 10


def test_a_change_of_the_topic_counts_at_the_next_look(server, topic):
    create_topic(server.bootstrap, topic, 1, **{"retention.ms": "-1"})
    write(server, topic, 100, age_ms=2 * HOUR_MS)
    time.sleep(1)
    assert bounds(server, topic) == (0, 100)
    alter_topic(server.bootstrap, topic, **{"retention.ms": str(HOUR_MS)})
    eventually("it to go", lambda: bounds(server, topic) == (100, 100))


def test_a_compacted_topic_is_left_alone(server, topic):
    create_topic(server.bootstrap, topic, 1, **{"cleanup.policy": "compact", "retention.ms": "1", "retention.bytes": "1"})
    producer = Producer({"bootstrap.servers": server.bootstrap, **QUIET})
    producer.produce(topic, VALUE, key=b"key", partition=0)
    assert producer.flush(30) == 0
    time.sleep(1.5)
    assert bounds(server, topic) == (0, 1)


def test_a_reader_of_what_has_gone_is_told(server, topic):
    create_topic(server.bootstrap, topic, 1, **{"retention.ms": str(HOUR_MS)})
    write(server, topic, 50, age_ms=2 * HOUR_MS)
    eventually("all of it to go", lambda: bounds(server, topic) == (50, 50))
    write(server, topic, 5)
    for reset, wanted in (("error", KafkaError._AUTO_OFFSET_RESET), ("earliest", 50)):
        consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused", "auto.offset.reset": reset, **QUIET})
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        found = message.error().code() if message.error() else message.offset()
        consumer.close()
        assert found == wanted


def test_what_has_gone_stays_gone(server_in, tmp_path, topic):
    with server_in(tmp_path, **SETTINGS).start() as server:
        create_topic(server.bootstrap, topic, 1, **{"segment.bytes": str(1 << 20), "retention.ms": str(HOUR_MS)})
        write(server, topic, 2_000, age_ms=2 * HOUR_MS)
        write(server, topic, 10)
        eventually("the sealed segments to go", lambda: bounds(server, topic)[0] > 0)
        before = bounds(server, topic)
        server.kill()
        server.start()
        eventually("the topic", lambda: bounds(server, topic) == before)
        server.stop()
        server.start()
        eventually("the topic", lambda: bounds(server, topic) == before)
