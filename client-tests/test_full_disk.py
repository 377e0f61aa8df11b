"""A disk that is full: writes are refused with an error that clients try again, reads go on, and it heals."""

import os
import time
from contextlib import suppress

import pytest
from confluent_kafka import Producer

from harness.broker import Broker
from harness.ledger import LedgerProducer, account, all_paused, read_partition
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
    settings = {"num.partitions": "3", "log.segment.bytes": str(4 << 20)}
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
