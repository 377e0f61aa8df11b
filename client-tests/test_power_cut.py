"""Power cuts: what was acknowledged is on the disk, under the default policy; and the test can fail."""

import os
import random
import time

import pytest

from harness.broker import Broker
from harness.ledger import Account, LedgerProducer, account, read_partition
from harness.power import Disk, no_background_writeback

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a loop device needs root")


def wait_until(condition, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def cut_rounds(tmp_path, topic, policy: str, rounds: int) -> list[Account]:
    """Each round: a disk, a broker, two producers, the power goes, the copy is recovered and read."""
    results = []
    for round_ in range(rounds):
        disk = Disk.create(tmp_path / "disk.img", tmp_path / "disk")
        after = None
        # Every other round with small segments, so that cuts also fall around rolls.
        settings = {"log.flush.policy": policy, "num.partitions": "2", "log.segment.bytes": str((2 if round_ % 2 else 256) << 20)}
        try:
            with no_background_writeback(), \
                    Broker(tmp_path / "disk" / "data", overrides=settings, log=tmp_path / "before.log").start() as broker:
                producers = [LedgerProducer(broker.bootstrap, topic, p).start() for p in range(2)]
                wait_until(lambda: all(p.acknowledged for p in producers))
                time.sleep(random.uniform(0.5, 1.5))
                broker.freeze()
                promised = [p.abandon() for p in producers]
                after = disk.cut(tmp_path / "after.img", tmp_path / "after")
            disk.discard()
            with Broker(tmp_path / "after" / "data", log=tmp_path / "after.log").start() as recovered:
                for p, acknowledged in enumerate(promised):
                    result = account(acknowledged, read_partition(recovered.bootstrap, topic, p))
                    print(f"policy {policy}, cut {round_ + 1}, partition {p}: {result}")
                    results.append(result)
        finally:
            disk.discard()
            if after is not None:
                after.discard()
    return results


@pytest.mark.timeout(900)
def test_acks_policy_loses_nothing(tmp_path, topic, full):
    results = cut_rounds(tmp_path, topic, "acks", 20 if full else 3)
    for result in results:
        result.assert_kept()


def test_never_policy_loses_records(tmp_path, topic):
    """Shows that a cut is a cut: without syncs, acknowledged records are gone."""
    results = cut_rounds(tmp_path, topic, "never", 1)
    assert sum(len(r.lost) for r in results) > 0
