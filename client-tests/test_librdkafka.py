"""librdkafka through confluent-kafka: producing, consuming assigned partitions, and the admin client."""

import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

from harness.ledger import read_partition


def produce(broker, topic, values, partition=0, **config):
    """Produces the values and gives the offsets they were acknowledged at."""
    offsets = []
    def delivered(error, message):
        assert error is None, error
        offsets.append(message.offset())
    producer = Producer({"bootstrap.servers": broker.bootstrap, **config})
    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(30) == 0
    return offsets


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap})


def create(admin, topic, partitions=1, **config):
    admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(20)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_produced_records_come_back_in_order(broker, topic, acks):
    values = [b"%d" % i for i in range(5000)]
    produce(broker, topic, values, acks=acks)
    deadline = time.monotonic() + 20
    while len(read_partition(broker.bootstrap, topic, 0)) < len(values) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [v for _, v in read_partition(broker.bootstrap, topic, 0)] == values


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_codecs(broker, topic, codec):
    values = [b"the same words again and again %d" % i for i in range(2000)]
    offsets = produce(broker, topic, values, **{"compression.type": codec, "linger.ms": 20})
    assert offsets == list(range(2000))
    assert [v for _, v in read_partition(broker.bootstrap, topic, 0)] == values


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "uncompressed"])
def test_the_topic_decides_the_codec(broker, topic, admin, codec):
    create(admin, topic, **{"compression.type": codec})
    values = [b"the same words again and again %d" % i for i in range(500)]
    assert produce(broker, topic, values, **{"compression.type": "lz4", "linger.ms": 20}) == list(range(500))
    assert [v for _, v in read_partition(broker.bootstrap, topic, 0)] == values


def test_idempotent_producer(broker, topic):
    values = [b"%d" % i for i in range(20_000)]
    assert produce(broker, topic, values, **{"enable.idempotence": True}) == list(range(20_000))


def test_empty_values_nulls_keys_and_headers(broker, topic):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"", key=b"k", partition=0)
    producer.produce(topic, None, key=b"k", partition=0)
    producer.produce(topic, b"v", partition=0, headers=[("h", b"1"), ("h", None), ("", b"")])
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = [consumer.poll(10) for _ in range(3)]
    consumer.close()
    assert [(m.key(), m.value(), m.headers()) for m in got] == [
        (b"k", b"", None), (b"k", None, None), (None, b"v", [("h", b"1"), ("h", None), ("", b"")])]


def test_a_record_too_large_is_refused_and_the_next_one_goes_in(broker, topic, admin):
    create(admin, topic, **{"max.message.bytes": "10000"})
    errors = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 1_000_000, "linger.ms": 0})
    for size in (20_000, 100):
        producer.produce(topic, b"x" * size, partition=0, on_delivery=lambda e, m: errors.append(e and e.code()))
        assert producer.flush(20) == 0
    assert errors == [KafkaError.MSG_SIZE_TOO_LARGE, None]


def test_a_waiting_consumer_gets_the_record_at_once(broker, topic):
    produce(broker, topic, [b"first"])
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused", "fetch.wait.max.ms": 5000})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(10).value() == b"first"
    time.sleep(0.3)  # the next fetch is waiting at the broker now
    started = time.monotonic()
    produce(broker, topic, [b"second"], **{"linger.ms": 0})
    assert consumer.poll(10).value() == b"second"
    assert time.monotonic() - started < 1.5
    consumer.close()


def test_topics_partitions_and_configs(broker, topic, admin):
    create(admin, topic, 3, **{"retention.ms": "1234567"})
    with pytest.raises(KafkaException) as again:
        create(admin, topic)
    assert again.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 5
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    configs = admin.describe_configs([resource])[resource].result(20)
    assert configs["retention.ms"].value == "1234567" and not configs["retention.ms"].is_default
    assert configs["cleanup.policy"].value == "delete" and configs["cleanup.policy"].is_default
    admin.delete_topics([topic])[topic].result(20)
    assert topic not in admin.list_topics(timeout=10).topics


def test_more_replicas_than_brokers_are_refused(admin, topic):
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([NewTopic(topic, 1, 3)])[topic].result(20)
    assert refused.value.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR


def test_offsets_by_time_and_deleted_records(broker, topic, admin):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    base = int(time.time() * 1000) - 60_000
    for i in range(10):
        producer.produce(topic, b"%d" % i, partition=0, timestamp=base + i * 1000)
        assert producer.flush(20) == 0
    at = TopicPartition(topic, 0)
    def offset(spec):
        return admin.list_offsets({at: spec})[at].result(20).offset
    assert offset(OffsetSpec.for_timestamp(base + 4500)) == 5
    assert (offset(OffsetSpec.earliest()), offset(OffsetSpec.latest()), offset(OffsetSpec.max_timestamp())) == (0, 10, 9)
    done = admin.delete_records([TopicPartition(topic, 0, 4)])
    assert next(iter(done.values())).result(20).low_watermark == 4
    assert offset(OffsetSpec.earliest()) == 4
    assert [v for _, v in read_partition(broker.bootstrap, topic, 0)] == [b"%d" % i for i in range(4, 10)]


def test_ten_partitions_at_once(broker, topic, admin):
    create(admin, topic, 10)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    for i in range(20_000):
        producer.produce(topic, b"%d" % i, partition=i % 10)
        producer.poll(0)
    assert producer.flush(30) == 0
    for p in range(10):
        assert [int(v) for _, v in read_partition(broker.bootstrap, topic, p)] == list(range(p, 20_000, 10))
