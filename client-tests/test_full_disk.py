"""A disk that is full: writes are refused with an error that clients try again, reads go on, and it heals."""

import os
import time
from contextlib import suppress

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from harness.broker import Broker
from harness.ledger import LedgerProducer, account, all_paused, read_partition
from harness.members import alter_topic, create_topic
from harness.power import Disk, needs_root

pytestmark = needs_root


@pytest.fixture
def small_disk(tmp_path):
    disk = Disk.create(tmp_path / "disk.img", tmp_path / "disk", size_mib=1024)
    yield disk
    disk.discard()


def fill(disk: Disk, leave_kib: int):
    """Takes what is free but a little; gives the file to remove."""
    filler = disk.mount_point / "filler"
    os.sync()
    size = 0
    with open(filler, "wb") as f:
        for step in (64 << 20, 1 << 20, 4096):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(f.fileno(), size, step)
                    size += step
        f.truncate(max(0, size - leave_kib * 1024))
    return filler


@pytest.mark.parametrize("acks", ["all", "1"])
def test_appends_are_refused_and_come_back(tmp_path, small_disk, topic, acks):
    """acks=all is written with pwrite, acks=1 through the map: neither may end in a signal."""
    # Without idempotence a batch that is sent again comes after those that were under way with it.
    in_order = acks == "all"
    # Without a reserve, so that it is really full.
    settings = {"num.partitions": "3", "log.segment.bytes": str(4 << 20), "log.dir.reserve.bytes": "0"}
    config = {"acks": acks, "enable.idempotence": acks == "all", "message.timeout.ms": 60_000, "batch.num.messages": 500,
              "retry.backoff.ms": 50, "retry.backoff.max.ms": 200}
    with Broker(tmp_path / "disk" / "data", overrides=settings, log=tmp_path / "broker.log").start() as broker:
        producers = [LedgerProducer(broker.bootstrap, topic, p, size_bytes=1000, config=config).start() for p in range(3)]
        wait_until(lambda: all(len(p.acknowledged) > 3000 for p in producers))
        # A fast machine would fill the rest by itself while the file grows.
        with all_paused(producers):
            filler = fill(small_disk, leave_kib=9_000)
        # Full once nothing was acknowledged for a while; what is on disk is still served.
        wait_until(lambda: stands_still(producers))
        assert broker.process.poll() is None, f"ended with {broker.process.returncode}\n{broker.tail()}"
        for p, producer in enumerate(producers):
            promised = list(producer.acknowledged)
            assert_kept(promised, read_partition(broker.bootstrap, topic, p), in_order)
        full_at = [len(p.acknowledged) for p in producers]
        filler.unlink()
        wait_until(lambda: all(len(p.acknowledged) > n + 3000 for p, n in zip(producers, full_at, strict=True)))
        for p, producer in enumerate(producers):
            producer.stop()
            assert not producer.refused, producer.refused[:3]
            assert_kept(producer.acknowledged, read_partition(broker.bootstrap, topic, p), in_order)
        broker.stop()
        broker.start()
        for p, producer in enumerate(producers):
            assert_kept(producer.acknowledged, read_partition(broker.bootstrap, topic, p), in_order)


def assert_kept(acknowledged, records, in_order: bool) -> None:
    result = account(acknowledged, records)
    assert not result.lost and not result.repeated and not result.moved, str(result)
    assert not in_order or not result.out_of_order, str(result)


def stands_still(producers, for_s: float = 1.5) -> bool:
    before = [len(p.acknowledged) for p in producers]
    time.sleep(for_s)
    return before == [len(p.acknowledged) for p in producers]


def wait_until(condition, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_new_topics_and_producers_are_refused_and_come_back(tmp_path, small_disk, topic):
    with Broker(tmp_path / "disk" / "data", log=tmp_path / "broker.log").start() as broker:
        filler = fill(small_disk, leave_kib=0)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "log_level": 2,
                             "message.timeout.ms": 60_000, "topic.metadata.propagation.max.ms": 60_000})
        for i in range(50):
            producer.produce(topic, b"x" * 10_000, partition=0)
        producer.flush(5)
        assert broker.process.poll() is None, broker.tail()
        filler.unlink()
        assert producer.flush(30) == 0, broker.tail()
        assert len(read_partition(broker.bootstrap, topic, 0)) == 50
        broker.stop()


def free_bytes(disk: Disk) -> int:
    volume = os.statvfs(disk.mount_point)
    return volume.f_bavail * volume.f_frsize


def test_a_reserve_is_kept_for_what_has_to_go_on(tmp_path, small_disk, topic):
    reserve = 40 << 20
    settings = {"log.dir.reserve.bytes": str(reserve), "log.segment.bytes": str(4 << 20), "log.retention.check.interval.ms": "500"}
    with Broker(tmp_path / "disk" / "data", overrides=settings, log=tmp_path / "broker.log").start() as broker:
        create_topic(broker.bootstrap, topic, 1)
        producer = LedgerProducer(broker.bootstrap, topic, 0, size_bytes=1000, config={"acks": "all", "enable.idempotence": True,
                                  "message.timeout.ms": 120_000, "retry.backoff.ms": 50, "retry.backoff.max.ms": 200}).start()
        wait_until(lambda: len(producer.acknowledged) > 20_000)
        volume = os.statvfs(small_disk.mount_point)
        of_root = (volume.f_bfree - volume.f_bavail) * volume.f_frsize
        with all_paused([producer]):
            filler = fill(small_disk, leave_kib=(reserve + of_root >> 10) + 20_000)
        wait_until(lambda: stands_still([producer]))
        assert reserve // 2 < free_bytes(small_disk) < reserve
        assert broker.metrics()["fluxmq_log_dir_nearly_full"] == 1
        assert broker.tail(1000).count("the volume is nearly full") == 1, "said once, and again after a minute"

        # What others wait for goes on: reading, commits of offsets, new topics, deleting records.
        promised = list(producer.acknowledged)
        assert_kept(promised, read_partition(broker.bootstrap, topic, 0), True)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
        assert consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset == 5
        consumer.close()
        create_topic(broker.bootstrap, topic + "-another", 3)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_records([TopicPartition(topic, 0, len(promised) // 2)])[TopicPartition(topic, 0)].result(20)

        # It heals by itself when retention makes room.
        alter_topic(broker.bootstrap, topic, **{"retention.bytes": str(8 << 20)})
        wait_until(lambda: len(producer.acknowledged) > len(promised) + 3000)
        assert broker.tail(1000).count("there is room again") >= 1
        filler.unlink()
        producer.stop()
        assert not producer.refused, producer.refused[:3]
        broker.stop()
