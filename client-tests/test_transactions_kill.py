"""kill -9, and a clean restart, under transactional producers: what was committed is there wholly, what was aborted is not."""

import random
import time

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.members import create_topic, eventually
from harness.transactions import Worker, account

PARTITIONS = 3
WORKERS = 3
pytestmark = pytest.mark.timeout(300)
# Small segments, so that kills also fall right after a roll, where the state of transactions comes from a snapshot.
SMALL = {"segment.bytes": str(1 << 20)}


def bounce(server, topic: str, rounds: int, stop) -> None:
    """Bounces the server under the workers, and holds the log against them in the end."""
    with server.start():
        create_topic(server.bootstrap, topic, PARTITIONS, **SMALL)
        workers = [Worker(server.bootstrap, topic, number, PARTITIONS).start() for number in range(WORKERS)]
        for _ in range(rounds):
            before = [worker.outcomes.count for worker in workers]
            eventually("progress of every worker",
                       lambda: all(worker.outcomes.count >= n + 20 or worker.failed for worker, n in zip(workers, before, strict=True)), 90)
            time.sleep(random.uniform(0.1, 1.0))
            stop(server)
            server.start()
        before = [worker.outcomes.count for worker in workers]
        eventually("progress after the last one",
                   lambda: all(worker.outcomes.count >= n + 5 or worker.failed for worker, n in zip(workers, before, strict=True)), 90)
        for worker in workers:
            worker.stop()
        result = account(workers)
        print(f"{rounds} rounds: {result}; fatal {[worker.outcomes.fatal for worker in workers]}")
        result.assert_kept()
        assert result.committed > 0 and result.aborted > 0


@pytest.mark.timeout(900)
def test_no_transaction_is_lost_or_torn(server_in, tmp_path, topic, full):
    bounce(server_in(tmp_path, **TRANSACTION_SETTINGS), topic, 10 if full else 3, lambda server: server.kill())


def test_transactions_go_on_after_a_restart(server_in, tmp_path, topic):
    bounce(server_in(tmp_path, **TRANSACTION_SETTINGS), topic, 1, lambda server: server.stop())
