"""kill -9, and a clean restart, under transactional producers: what was committed is there wholly, what was aborted is not."""

import random
import time

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.members import create_topic, eventually
from harness.transactions import JavaWorker, Worker, account

PARTITIONS = 3
WORKERS = 3
pytestmark = pytest.mark.timeout(300)
# Small segments, so that kills also fall right after a roll, where the state of transactions comes from a snapshot.
SMALL = {"segment.bytes": str(1 << 20)}


def librdkafka(bootstrap: str, topic: str) -> list[Worker]:
    return [Worker(bootstrap, topic, number, PARTITIONS) for number in range(WORKERS)]


def java(*versions: str):
    """Workers with the Java client, each of one version."""
    return lambda bootstrap, topic: [JavaWorker(bootstrap, topic, number, PARTITIONS, version) for number, version in enumerate(versions)]


def bounce(server, topic: str, made, rounds: int, stop) -> None:
    """Bounces the server under the workers, and holds the log against them in the end."""
    with server.start():
        create_topic(server.bootstrap, topic, PARTITIONS, **SMALL)
        workers = [worker.start() for worker in made(server.bootstrap, topic)]
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
    bounce(server_in(tmp_path, **TRANSACTION_SETTINGS), topic, librdkafka, 10 if full else 3, lambda server: server.kill())


@pytest.mark.timeout(900)
def test_no_transaction_of_the_java_client_is_lost_or_torn(server_in, tmp_path, topic, full):
    """The client of 4.4 changes its epoch with every transaction (KIP-890), that of 3.6 doesn't."""
    made = java("4.4.0", "4.4.0", "3.6.0", "3.6.0") if full else java("4.4.0", "4.4.0")
    bounce(server_in(tmp_path, **TRANSACTION_SETTINGS), topic, made, 10 if full else 2, lambda server: server.kill())


def test_transactions_go_on_after_a_restart(server_in, tmp_path, topic):
    bounce(server_in(tmp_path, **TRANSACTION_SETTINGS), topic, librdkafka, 1, lambda server: server.stop())
