"""What the broker asks of the kernel, as strace sees it: sendfile for large fetches, fdatasync before an acks=all answer."""

import re
import signal
import subprocess
import time

import pytest
from confluent_kafka import Producer

from harness import transactions
from harness.broker import Broker
from harness.ledger import read_partition


@pytest.fixture
def traced(tmp_path, data_dir):
    """A broker and a function that traces it while a body runs, and gives the lines."""
    with Broker(data_dir).start() as broker:
        def trace(calls: str, body) -> list[str]:
            out = tmp_path / "trace.txt"
            tracer = subprocess.Popen(["strace", "-f", "-y", "-tt", "-T", "-e", f"trace={calls}", "-p", str(broker.pid), "-o", out],
                                      stderr=subprocess.PIPE, text=True)
            assert "attached" in tracer.stderr.readline()
            time.sleep(0.3)
            body()
            time.sleep(0.3)
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
            return out.read_text().splitlines()
        yield broker, trace


FETCH_CALLS = "sendfile,read,pread64,preadv,preadv2,splice,mmap"
LARGE = {"linger.ms": 50, "batch.size": 1_000_000, "message.max.bytes": 1_100_000}


def fetched(lines: list[str]) -> tuple[int, int]:
    """Bytes that went by sendfile, and bytes that were read from segments."""
    sent = sum(int(m[1]) for line in lines if "sendfile" in line and (m := re.search(r"\) += (\d+)", line)))
    read = sum(int(m[1]) for line in lines if re.search(r"p?read\w*\(\d+<[^>]*\.log>", line) and (m := re.search(r"\) += (\d+)", line)))
    print(f"sendfile {sent} bytes, read from segments {read} bytes")
    return sent, read


def test_large_fetches_go_by_sendfile(traced, topic):
    broker, trace = traced
    producer = Producer({"bootstrap.servers": broker.bootstrap, **LARGE})
    for _ in range(40):
        producer.produce(topic, b"x" * 100_000, partition=0)
    assert producer.flush(30) == 0
    sent, read = fetched(trace(FETCH_CALLS, lambda: read_partition(broker.bootstrap, topic, 0)))
    assert sent >= 4_000_000
    assert read < 100_000


def test_committed_reads_of_transactions_go_by_sendfile_as_others_do(traced, topic):
    broker, trace = traced
    producer = transactions.ready(broker.bootstrap, topic, **LARGE)
    for number in range(8):
        transactions.transaction(producer, number % 4 != 3, topic, [b"x" * 100_000] * 10)
    transactions.settled(broker.bootstrap, topic)
    for isolation, records in [(transactions.UNCOMMITTED, 80), (transactions.COMMITTED, 60)]:
        found = []
        lines = trace(FETCH_CALLS, lambda: found.extend(transactions.read(broker.bootstrap, topic, isolation=isolation)))
        assert len(found) == records
        sent, read = fetched(lines)
        # Aborted records are sent too: the consumer leaves them out.
        assert sent >= 7_900_000, isolation
        assert read < 100_000, isolation


def test_the_segment_is_synced_before_the_answer(traced, topic):
    broker, trace = traced
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "linger.ms": 0})
    producer.produce(topic, b"warm", partition=0)
    assert producer.flush(20) == 0
    def one():
        producer.produce(topic, b"x" * 5000, partition=0)
        assert producer.flush(20) == 0
    lines = trace("fdatasync,fsync,sendto,write,writev,sendmsg", one)
    synced = [i for i, line in enumerate(lines) if re.search(rf"fdatasync\(\d+<[^>]*/{topic}-0/\d+\.log>", line) or
              ("fdatasync resumed" in line)]
    complete = [i for i in synced if re.search(r"= 0 <", lines[i])]
    answered = [i for i, line in enumerate(lines) if re.search(r"(sendto|write|writev|sendmsg)\(\d+<(TCP|socket)", line)]
    assert complete and answered, lines
    assert complete[0] < answered[0], lines
