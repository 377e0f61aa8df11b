"""Transactions on a disk that is full: what doesn't fit is refused, nothing is torn, and it goes on when there is room."""

import time

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.members import create_topic
from harness.process import cpu_seconds
from harness.transactions import Reader, Worker, account
from test_full_disk import fill, pytestmark, small_disk, wait_until  # noqa: F401

PARTITIONS, WORKERS = 3, 3
FULL_FOR_S = 12


def stand_still(workers: list[Worker], for_s: float = 2) -> list[int]:
    """Waits until no transaction has ended for a while; gives how many had."""
    deadline, counts, since = time.monotonic() + 60, None, 0.0
    while counts is None or time.monotonic() - since < for_s:
        assert time.monotonic() < deadline, "transactions still end"
        now = [worker.outcomes.count for worker in workers]
        if now != counts:
            counts, since = now, time.monotonic()
        time.sleep(0.1)
    return counts


@pytest.mark.timeout(240)
def test_transactions_wait_and_go_on(tmp_path, small_disk, topic):  # noqa: F811
    with Broker(tmp_path / "disk" / "data", overrides=TRANSACTION_SETTINGS | {"log.dir.reserve.bytes": "0"}, log=tmp_path / "broker.log").start() as broker:
        create_topic(broker.bootstrap, topic, PARTITIONS)
        # Transactions are open for longer than the timeout while the disk is full, so the coordinator's aborts are refused too.
        workers = [Worker(broker.bootstrap, topic, n, PARTITIONS, size_bytes=20_000, config={"transaction.timeout.ms": 5_000}) for n in range(WORKERS)]
        for worker in workers:
            worker.start()
        reader = Reader(broker.bootstrap, topic, PARTITIONS).start()
        wait_until(lambda: all(worker.outcomes.count >= 5 for worker in workers))
        filler = fill(small_disk, leave_kib=0)

        full_at = stand_still(workers)
        cpu_s = cpu_seconds(broker.pid)
        time.sleep(FULL_FOR_S)
        cpu_s = cpu_seconds(broker.pid) - cpu_s
        assert broker.process.poll() is None, f"ended with {broker.process.returncode}\n{broker.tail()}"
        filler.unlink()
        wait_until(lambda: all(worker.failed or worker.outcomes.count >= at + 5 for worker, at in zip(workers, full_at, strict=True)))
        for worker in workers:
            worker.stop()
        result = account(workers)
        print(f"{result}; {FULL_FOR_S} s on a full disk took {cpu_s:.2f} s of CPU; fatal {[w.outcomes.fatal for w in workers]}")
        result.assert_kept()
        reader.finish()
        # Refused turns cost what a turn costs: nothing is read again for them.
        assert cpu_s < FULL_FOR_S * 0.2
        broker.stop()
