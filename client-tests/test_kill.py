"""kill -9 while idempotent producers write with acks=all at full speed."""

import random
import time

import pytest

from harness.broker import Broker
from harness.java import classpath
from harness.ledger import JavaLedgerProducer, LedgerProducer, account, all_paused, read_partition


# Small segments, so that kills also fall right after a roll, where the producers' state comes from a snapshot.
SETTINGS = {"num.partitions": "2", "log.segment.bytes": str(2 << 20)}


def kill_under(broker: Broker, topic: str, producers: list, rounds: int) -> None:
    """Kills and restarts the broker under the producers; after each restart, and in the end, holds the log against them.

    After a restart that is what was acknowledged since the one before, and in the end everything.
    """
    checked = [0] * len(producers)
    for round_ in range(rounds):
        seen = [len(p.acknowledged) for p in producers]
        deadline = time.monotonic() + 60
        while any(len(p.acknowledged) < n + 500 for p, n in zip(producers, seen, strict=True)):
            assert time.monotonic() < deadline, f"no progress in round {round_ + 1}: {seen}\n{broker.tail()}"
            time.sleep(0.02)
        time.sleep(random.uniform(0.2, 2.0))
        broker.kill()
        promised = [list(p.acknowledged) for p in producers]
        broker.start()
        # They had the start against them; the reading, slower than they write, goes better without.
        with all_paused(producers):
            for p, acknowledged in enumerate(promised):
                records = read_partition(broker.bootstrap, topic, p, start=checked[p])
                since = [(sequence, offset) for sequence, offset in acknowledged if offset >= checked[p]]
                result = account(since, records)
                print(f"kill {round_ + 1}, partition {p}, from offset {checked[p]}: {result}")
                result.assert_kept()
                checked[p] = records[-1][0] + 1 if records else checked[p]
    for p, producer in enumerate(producers):
        producer.stop()
        assert not producer.refused, producer.refused[:3]
        result = account(producer.acknowledged, read_partition(broker.bootstrap, topic, p))
        print(f"end, partition {p}: sent {producer.sent}, {result}")
        result.assert_kept()
        assert result.found == result.acknowledged == producer.sent, "every record sent was acknowledged in the end"


def test_a_first_start_that_is_killed_does_not_keep_the_next_from_starting(tmp_path, full):
    for round_ in range(100 if full else 20):
        broker = Broker(tmp_path / f"data-{round_}")
        broker.launch()
        time.sleep(random.uniform(0.005, 0.06))
        broker.kill()
        with broker.start():
            pass


@pytest.mark.timeout(900)
def test_librdkafka_loses_nothing(data_dir, topic, full):
    with Broker(data_dir, overrides=SETTINGS).start() as broker:
        kill_under(broker, topic, [LedgerProducer(broker.bootstrap, topic, p).start() for p in range(2)], 10 if full else 3)


@pytest.mark.timeout(900)
def test_the_java_client_loses_nothing(data_dir, topic, full):
    with Broker(data_dir, overrides=SETTINGS).start() as broker:
        producers = [JavaLedgerProducer(broker.bootstrap, topic, p, classpath()).start() for p in range(2)]
        kill_under(broker, topic, producers, 10 if full else 3)
