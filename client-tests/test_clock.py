"""The wall clock jumps: timestamps follow it, and nothing else does. Nothing is refused, lost, written twice, deleted or timed out."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from harness.broker import Broker
from harness.ledger import LedgerProducer, account, all_paused, read_partition
from harness.members import Member, create_topic, eventually, produce
from harness.transactions import QUIET, UNCOMMITTED, messages, ready, settled, values

# All else is as it is by default: a retention of 7 days, a session timeout of 45 s, timestamps up to an hour ahead of the broker's clock.
SETTINGS = {"log.segment.bytes": str(1 << 20), "log.retention.check.interval.ms": "300", "group.initial.rebalance.delay.ms": "0",
            "producer.id.expiration.check.interval.ms": "300", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "300"}
DAY_MS = 86_400_000
HALF_HOUR_MS = DAY_MS // 48
UNHURRIED = {"queue.buffering.max.messages": 500, "linger.ms": 20}
# Forward, back again, and back to where it hasn't been before.
JUMPS = {"+1d": DAY_MS, "+0": 0, "-30m": -HALF_HOUR_MS}


class Clock:
    """The wall clock that a broker sees; the monotonic one stays the system's."""

    def __init__(self, directory: Path):
        self._file = directory / "clock"
        self.set("+0")

    def set(self, ahead: str) -> None:
        """So far ahead of the system's, as libfaketime writes it."""
        written = self._file.with_name("clock.tmp")
        written.write_text(ahead + "\n")
        written.replace(self._file)

    def prefix(self) -> list[str]:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        return ["env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={self._file}", "FAKETIME_NO_CACHE=1",
                "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def broker(tmp_path, clock):
    with Broker(tmp_path / "data", overrides=SETTINGS, prefix=clock.prefix()).start() as running:
        yield running


def ahead_ms(bootstrap: str, topic: str) -> int:
    """How far the broker's clock is ahead: what it gives to a record of a topic with LogAppendTime, which is its last."""
    produce(bootstrap, topic, [b"what time is it"])
    offset = offset_of(bootstrap, topic, OffsetSpec.latest()) - 1
    return messages(bootstrap, topic, start=offset)[-1].timestamp()[1] - time.time_ns() // 1_000_000


def offset_of(bootstrap: str, topic: str, spec: OffsetSpec, partition: int = 0) -> int:
    admin, at = AdminClient({"bootstrap.servers": bootstrap, **QUIET}), TopicPartition(topic, partition)
    return admin.list_offsets({at: spec})[at].result(20).offset


def assert_jumped(bootstrap: str, topic: str, wanted_ms: int) -> None:
    assert abs(ahead_ms(bootstrap, topic) - wanted_ms) < 20_000


def more(producers: list[LedgerProducer], count: int = 3_000) -> None:
    """Waits until each has written so many more: a segment or so."""
    before = [len(p.acknowledged) for p in producers]
    eventually("acknowledgements", lambda: all(len(p.acknowledged) >= n + count for p, n in zip(producers, before, strict=True)))


def create_clock_topic(bootstrap: str, topic: str) -> str:
    create_topic(bootstrap, topic + "-clock", 1, **{"message.timestamp.type": "LogAppendTime"})
    return topic + "-clock"


def test_producers_go_on_and_nothing_is_deleted(broker, clock, topic):
    create_topic(broker.bootstrap, topic, 2)
    times = create_clock_topic(broker.bootstrap, topic)
    producers = [LedgerProducer(broker.bootstrap, topic, p, size_bytes=400, config=UNHURRIED).start() for p in range(2)]
    more(producers)
    for jump, wanted_ms in JUMPS.items():
        clock.set(jump)
        assert_jumped(broker.bootstrap, times, wanted_ms)
        more(producers)
        time.sleep(0.7)  # two looks at what is too old
    for partition, producer in enumerate(producers):
        producer.stop()
        assert not producer.refused, producer.refused[:3]
        assert offset_of(broker.bootstrap, topic, OffsetSpec.earliest(), partition) == 0
        result = account(producer.acknowledged, read_partition(broker.bootstrap, topic, partition))
        result.assert_kept()
        assert result.found == result.acknowledged == producer.sent
    broker.stop()


@pytest.mark.parametrize("ends", [Broker.stop, Broker.kill], ids=["stopped", "killed"])
def test_a_start_at_another_time_finds_everything(broker, clock, topic, ends):
    """But for producers, which a start forgets after producer.id.expiration.ms, a day by default, as Kafka does: it can't know that it
    wasn't away for so long."""
    broker.overrides["producer.id.expiration.ms"] = str(2 * DAY_MS)
    broker.stop()
    broker.start()
    create_topic(broker.bootstrap, topic, 2)
    times = create_clock_topic(broker.bootstrap, topic)
    producers = [LedgerProducer(broker.bootstrap, topic, p, size_bytes=400, config=UNHURRIED).start() for p in range(2)]
    asked = 0
    for jump, wanted_ms in JUMPS.items():
        more(producers)
        # It ends at one time and starts at another.
        ends(broker)
        promised = [list(p.acknowledged) for p in producers]
        clock.set(jump)
        broker.start()
        assert_jumped(broker.bootstrap, times, wanted_ms)
        asked += 1
        more(producers, 500)
        with all_paused(producers):
            for partition, acknowledged in enumerate(promised):
                account(acknowledged, read_partition(broker.bootstrap, topic, partition)).assert_kept()
            assert len(values(broker.bootstrap, times)) == asked
    for partition, producer in enumerate(producers):
        producer.stop()
        assert not producer.refused, producer.refused[:3]
        result = account(producer.acknowledged, read_partition(broker.bootstrap, topic, partition))
        result.assert_kept()
        assert result.found == result.acknowledged == producer.sent


def test_a_group_is_not_rebalanced(broker, clock, topic):
    create_topic(broker.bootstrap, topic, 2)
    times = create_clock_topic(broker.bootstrap, topic)
    with Member(broker.bootstrap, topic, [topic], **{"partition.assignment.strategy": "range", "heartbeat.interval.ms": 1000}) as member:
        eventually("an assignment", lambda: len(member.assignment()) == 2)
        for round_, (jump, wanted_ms) in enumerate(JUMPS.items()):
            clock.set(jump)
            assert_jumped(broker.bootstrap, times, wanted_ms)
            produce(broker.bootstrap, topic, [b"%d" % i for i in range(10)], partitions=2)
            eventually("what was written", lambda n=round_: len(member.records) == 10 * (n + 1))
            # A heartbeat comes every second, and would say that the group is rebalanced.
            time.sleep(1.5)
        assert len(member.given) == 1 and not member.taken
        eventually("commits", lambda: member.committed == {(topic, 0): 15, (topic, 1): 15})
        assert not member.errors, member.errors
    broker.stop()


def test_an_offset_committed_in_the_future_is_kept(broker, clock, topic):
    """Offsets of a group without members go when they are old enough, here after 12 hours, and not sooner for a clock that goes back."""
    broker.overrides |= {"offsets.retention.minutes": "720", "offsets.retention.check.interval.ms": "200"}
    broker.stop()
    broker.start()
    create_topic(broker.bootstrap, topic, 1)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "enable.auto.commit": False, **QUIET})

    def known() -> int:
        return consumer.committed([TopicPartition(topic, 0)], timeout=20)[0].offset

    def commit(ahead: str, offset: int) -> None:
        clock.set(ahead)
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    commit("+1d", 7)
    for ahead in ("+0", "-30m"):
        clock.set(ahead)
        time.sleep(0.7)  # three looks at what is too old
        assert known() == 7
        broker.kill()
        broker.start()
        assert known() == 7
    # It can go.
    commit("+0", 8)
    clock.set("+1d")
    eventually("the offset to go", lambda: known() < 0)
    consumer.close()


def test_an_open_transaction_is_not_timed_out(broker, clock, topic):
    create_topic(broker.bootstrap, topic, 1)
    times = create_clock_topic(broker.bootstrap, topic)
    writer = ready(broker.bootstrap, topic, **{"transaction.timeout.ms": 60_000})
    for number, (jump, wanted_ms) in enumerate(JUMPS.items()):
        writer.begin_transaction()
        writer.produce(topic, b"%d before" % number, partition=0)
        assert writer.flush(20) == 0
        clock.set(jump)
        assert_jumped(broker.bootstrap, times, wanted_ms)
        time.sleep(1)  # three looks at what is timed out
        assert len(values(broker.bootstrap, topic)) == 2 * number, "it is open"
        writer.produce(topic, b"%d after" % number, partition=0)
        writer.commit_transaction(20)
        settled(broker.bootstrap, topic)
    expected = [b"%d %s" % (number, when) for number in range(len(JUMPS)) for when in (b"before", b"after")]
    assert values(broker.bootstrap, topic) == values(broker.bootstrap, topic, isolation=UNCOMMITTED) == expected
    broker.stop()


def test_a_transaction_is_timed_out_in_its_time_when_the_clock_goes_back(broker, clock, topic):
    create_topic(broker.bootstrap, topic, 1)
    clock.set("+1d")
    writer = ready(broker.bootstrap, topic, **{"transaction.timeout.ms": 3000})
    writer.begin_transaction()
    writer.produce(topic, b"left alone", partition=0)
    assert writer.flush(20) == 0
    clock.set("-30m")
    eventually("the abort", lambda: offset_of(broker.bootstrap, topic, OffsetSpec.latest()) == 2, timeout_s=10)
    settled(broker.bootstrap, topic)
    assert values(broker.bootstrap, topic) == []


def test_records_are_found_by_a_timestamp_after_the_clock_went_back(broker, clock, topic):
    """ListOffsets gives the first record that isn't older, also where their timestamps don't grow."""
    times = create_clock_topic(broker.bootstrap, topic)
    found = []
    for jump in ("+0", "+1d", "+0", "-30m"):
        clock.set(jump)
        produce(broker.bootstrap, times, [b"x" * 1000] * 2_000)
    for ends in (None, Broker.stop, Broker.kill):
        if ends:
            ends(broker)
            broker.start()
        all_ms = [message.timestamp()[1] for message in messages(broker.bootstrap, times)]
        assert len(all_ms) == 8_000 and all_ms[0] + DAY_MS - 1 <= all_ms[2_000] and all_ms[6_000] < all_ms[0]
        for asked_ms in (all_ms[6_000], all_ms[0], all_ms[1_999] + 1, all_ms[0] + DAY_MS // 2, all_ms[3_999], all_ms[3_999] + 1):
            wanted = next((offset for offset, ms in enumerate(all_ms) if ms >= asked_ms), -1)
            found.append((asked_ms, offset_of(broker.bootstrap, times, OffsetSpec.for_timestamp(asked_ms)), wanted))
    assert all(got == wanted for _, got, wanted in found), found
