"""Transactions with librdkafka."""

import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from harness.members import PROTOCOLS, Member, create_topic, eventually, produce
from harness.transactions import COMMITTED, UNCOMMITTED, Worker, account, committed, end, producer, read, ready, settled, transaction, values

pytestmark = pytest.mark.timeout(120)


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % i for i in range(first, last)]


def test_commits_show_all_and_aborts_nothing(transactions, topic):
    create_topic(transactions.bootstrap, topic, 2)
    made = ready(transactions.bootstrap, topic)
    transaction(made, True, topic, numbers(0, 10), 2)
    transaction(made, False, topic, numbers(10, 20), 2)
    transaction(made, True, topic, numbers(20, 30), 2)
    settled(transactions.bootstrap, topic, 2)
    for partition in range(2):
        assert values(transactions.bootstrap, topic, partition) == numbers(0, 10)[partition::2] + numbers(20, 30)[partition::2]
        assert values(transactions.bootstrap, topic, partition, UNCOMMITTED) == numbers(0, 30)[partition::2]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(transactions, topic, codec):
    create_topic(transactions.bootstrap, topic)
    made = ready(transactions.bootstrap, topic, **{"compression.type": codec})
    for round_ in range(6):
        transaction(made, round_ % 2 == 0, topic, numbers(round_ * 100, round_ * 100 + 100))
    settled(transactions.bootstrap, topic)
    assert values(transactions.bootstrap, topic) == [n for r in (0, 2, 4) for n in numbers(r * 100, r * 100 + 100)]


def test_an_open_transaction_holds_back_what_comes_after_it(transactions, topic):
    create_topic(transactions.bootstrap, topic)
    produce(transactions.bootstrap, topic, [b"before"])
    made = ready(transactions.bootstrap, topic)
    made.begin_transaction()
    made.produce(topic, b"open", partition=0)
    assert made.flush(20) == 0
    produce(transactions.bootstrap, topic, [b"after"])
    assert end(transactions.bootstrap, topic) == 1 and end(transactions.bootstrap, topic, isolation=UNCOMMITTED) == 3
    assert values(transactions.bootstrap, topic) == [b"before"]
    assert values(transactions.bootstrap, topic, isolation=UNCOMMITTED) == [b"before", b"open", b"after"]
    with Member(transactions.bootstrap, topic, [topic], **{"isolation.level": COMMITTED}, **PROTOCOLS["range"]) as member:
        eventually("the first", lambda: member.values() == [b"before"])
        time.sleep(0.5)
        assert member.values() == [b"before"]
        made.abort_transaction(20)
        eventually("the rest", lambda: member.values() == [b"before", b"after"])


def test_transactions_of_nothing(transactions, topic):
    create_topic(transactions.bootstrap, topic)
    made = ready(transactions.bootstrap, topic)
    for commit in (True, False, True):
        transaction(made, commit, topic, [])
    assert end(transactions.bootstrap, topic, isolation=UNCOMMITTED) == 0
    transaction(made, True, topic, [b"x"])
    settled(transactions.bootstrap, topic)
    assert values(transactions.bootstrap, topic) == [b"x"]


def test_a_zombie_is_fenced(transactions, topic):
    create_topic(transactions.bootstrap, topic)
    old = ready(transactions.bootstrap, topic)
    transaction(old, True, topic, [b"first"])
    old.begin_transaction()
    old.produce(topic, b"lost", partition=0)
    assert old.flush(20) == 0
    next_ = ready(transactions.bootstrap, topic)
    transaction(next_, True, topic, [b"second"])
    with pytest.raises(KafkaException) as refused:
        old.commit_transaction(20)
    assert refused.value.args[0].fatal(), refused.value
    assert refused.value.args[0].code() == KafkaError._FENCED, refused.value
    transaction(next_, True, topic, [b"third"])
    settled(transactions.bootstrap, topic)
    assert values(transactions.bootstrap, topic) == [b"first", b"second", b"third"]


def test_a_transaction_times_out(transactions, topic):
    create_topic(transactions.bootstrap, topic)
    slow = ready(transactions.bootstrap, topic, **{"transaction.timeout.ms": 1000})
    slow.begin_transaction()
    slow.produce(topic, b"late", partition=0)
    assert slow.flush(20) == 0
    eventually("the abort", lambda: end(transactions.bootstrap, topic) == 2)
    with pytest.raises(KafkaException):
        slow.commit_transaction(20)
    assert values(transactions.bootstrap, topic) == []
    transaction(ready(transactions.bootstrap, topic), True, topic, [b"next"])
    settled(transactions.bootstrap, topic)
    assert values(transactions.bootstrap, topic) == [b"next"]


def test_a_timeout_that_is_too_long(transactions, topic):
    with pytest.raises(KafkaException) as refused:
        producer(transactions.bootstrap, topic, **{"transaction.timeout.ms": 900_001}).init_transactions(20)
    assert refused.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


@pytest.mark.parametrize("protocol", ["range", "consumer"])
def test_read_transform_write(transactions, topic, protocol):
    """Two members that move records in transactions, with their offsets; one of three is aborted, and read again."""
    into = topic + "-out"
    create_topic(transactions.bootstrap, topic, 2)
    create_topic(transactions.bootstrap, into, 2)
    produce(transactions.bootstrap, topic, numbers(0, 400), 2)
    made, round_ = ready(transactions.bootstrap, topic), 0
    consumer = Consumer({"bootstrap.servers": transactions.bootstrap, "group.id": topic, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "isolation.level": COMMITTED, "log_level": 2, **PROTOCOLS[protocol]})
    consumer.subscribe([topic])
    moved, deadline = 0, time.monotonic() + 60
    while moved < 400:
        assert time.monotonic() < deadline, f"{moved} of 400 moved"
        messages = [m for m in consumer.consume(30, timeout=0.5) if m.error() is None]
        if not messages:
            continue
        made.begin_transaction()
        upto = {}
        for message in messages:
            made.produce(into, b"moved " + message.value(), partition=message.partition())
            upto[message.partition()] = message.offset() + 1
        made.send_offsets_to_transaction([TopicPartition(topic, p, offset) for p, offset in upto.items()], consumer.consumer_group_metadata(), 20)
        if round_ % 3 == 1:
            made.abort_transaction(20)
            for partition in upto:
                first = min(m.offset() for m in messages if m.partition() == partition)
                consumer.seek(TopicPartition(topic, partition, first))
        else:
            made.commit_transaction(20)
            moved += len(messages)
        round_ += 1
    consumer.close()
    settled(transactions.bootstrap, into, 2)
    assert committed(transactions.bootstrap, topic) == {(topic, 0): 200, (topic, 1): 200}
    for partition in range(2):
        assert values(transactions.bootstrap, into, partition) == [b"moved " + n for n in numbers(0, 400)[partition::2]]


def test_offsets_of_an_aborted_transaction(transactions, topic):
    create_topic(transactions.bootstrap, topic)
    group = Consumer({"bootstrap.servers": transactions.bootstrap, "group.id": topic}).consumer_group_metadata()
    made = ready(transactions.bootstrap, topic)
    for offset, commit in ((3, True), (9, False), (5, True), (8, False)):
        made.begin_transaction()
        made.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], group, 20)
        if commit:
            made.commit_transaction(20)
        else:
            made.abort_transaction(20)
        assert committed(transactions.bootstrap, topic) == {(topic, 0): offset if commit else {9: 3, 8: 5}[offset]}


def test_many_at_once(transactions, topic):
    create_topic(transactions.bootstrap, topic, 3)
    workers = [Worker(transactions.bootstrap, topic, number, 3).start() for number in range(6)]
    eventually("transactions", lambda: all(worker.outcomes.count >= 30 or worker.failed for worker in workers), 60)
    for worker in workers:
        worker.stop()
    result = account(workers)
    print(result)
    result.assert_kept()
    assert result.unknown == 0 and result.visible == result.committed
    offsets = [offset for offset, _ in read(transactions.bootstrap, topic, 0, isolation=UNCOMMITTED)]
    assert offsets == sorted(set(offsets))
