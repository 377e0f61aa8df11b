"""A kill -9 and a power cut at each step of a transaction's end. The producers live on, and so does one who reads what is
committed: each transaction is there wholly or not at all, as its producer was told, and nothing was seen too early.

The broker that stops is one built for it (core/src/fail_point.rs). Only the thread that comes by stands still: the rest
goes on for a moment, so that there are answers which rest on what is just under way."""

import random
import time

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.members import create_topic, eventually
from harness.power import Disk, needs_root, no_background_writeback
from harness.transactions import JavaWorker, Reader, Worker, account

ANYWHERE = "anywhere"
POINTS = ("before-prepare", "after-prepare", "between-markers", "before-complete")
PARTITIONS = 3
pytestmark = pytest.mark.timeout(600)


class Load:
    """Producers and a reader, which live through everything that is done to the broker."""

    def __init__(self, broker: Broker, topic: str):
        create_topic(broker.bootstrap, topic, PARTITIONS, **{"segment.bytes": str(1 << 20)})
        # librdkafka speaks version 1 of transactions, the Java client version 2 (KIP-890).
        workers = [Worker(broker.bootstrap, topic, 0, PARTITIONS), JavaWorker(broker.bootstrap, topic, 1, PARTITIONS, "4.4.0"),
                   Worker(broker.bootstrap, topic, 2, PARTITIONS)]
        self.workers = [worker.start() for worker in workers]
        self.reader = Reader(broker.bootstrap, topic, PARTITIONS).start()

    def progress(self, transactions: int) -> None:
        """Waits until every producer has ended so many more."""
        before = [worker.outcomes.count for worker in self.workers]
        eventually("progress of every producer", lambda: all(
            worker.failed or worker.outcomes.count >= n + transactions for worker, n in zip(self.workers, before, strict=True)), 90)

    def finish(self, what: str) -> None:
        for worker in self.workers:
            worker.stop()
        result = account(self.workers)
        print(f"{what}: {result}, fatal {sum(len(w.outcomes.fatal) for w in self.workers)}")
        result.assert_kept()
        print(f"{what}: {self.reader.finish()} records were read all along, and nothing else")
        assert result.committed > 0 and result.aborted > 0


def bring_to(point: str, broker: Broker, load: Load) -> None:
    """Has the broker, which runs and has clients, come to the point."""
    load.progress(5)
    if point == ANYWHERE:
        return time.sleep(random.uniform(0.0, 0.5))
    broker.stop()
    broker.stop_at = f"transaction-{point}={random.randrange(20, 100)}*off->return"
    broker.start()
    broker.wait_until_it_says(f"stopped at transaction-{point}", 90)
    time.sleep(random.uniform(0.0, 0.3))
    broker.stop_at = None


@pytest.mark.parametrize("point", POINTS)
def test_killed_there(data_dir, topic, full, point):
    rounds = 5 if full else 1
    with Broker(data_dir, overrides=TRANSACTION_SETTINGS).start() as broker:
        load = Load(broker, topic)
        for _ in range(rounds):
            bring_to(point, broker, load)
            broker.kill()
            broker.start()
        load.progress(10)
        load.finish(f"kill -9 {point}, {rounds} rounds")


def cut_there(tmp_path, topic: str, point: str, rounds: int, policy: str) -> None:
    """Each round ends on another disk: what was on the one before when the power went."""
    settings = TRANSACTION_SETTINGS | {"log.flush.policy": policy}
    disks = [Disk.create(tmp_path / "0.img", tmp_path / "0", size_mib=512)]
    broker = Broker(disks[0].mount_point / "data", overrides=settings, log=tmp_path / "broker.log")
    try:
        with no_background_writeback(), broker.start():
            load = Load(broker, topic)
            for cut in range(1, rounds + 1):
                bring_to(point, broker, load)
                broker.freeze()
                disks.append(disks[-1].cut(tmp_path / f"{cut}.img", tmp_path / str(cut)))
                broker.kill()
                disks[-2].discard()
                broker.data_dir = disks[-1].mount_point / "data"
                broker.start()
            load.progress(10)
            load.finish(f"power cut {point}, {rounds} rounds, policy {policy}")
            broker.stop()
    finally:
        for disk in disks:
            disk.discard()


@needs_root
@pytest.mark.parametrize("point", (*POINTS, ANYWHERE))
def test_power_cut_there(tmp_path, topic, full, point):
    cut_there(tmp_path, topic, point, 5 if full else 1, "acks")


@needs_root
def test_never_policy_loses_transactions(tmp_path, topic):
    """Shows that the test above can fail."""
    with pytest.raises(AssertionError, match=r"lost \[\("):
        cut_there(tmp_path, topic, ANYWHERE, 1, "never")
