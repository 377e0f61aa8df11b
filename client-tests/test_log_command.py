"""`fluxmq log`: what it prints of a partition is what Kafka's dump tool does, it finds nothing wrong with the files of either server, also
while they are written to, and it finds a flipped bit."""

import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.kafka import Kafka
from harness.members import create_topic, eventually
from harness.on_disk import dump_all
from harness.paths import fluxmq_binary
from test_on_disk_transactions import Written

pytestmark = pytest.mark.timeout(300)
SETTINGS = {"segment.bytes": str(1 << 20), "index.interval.bytes": "1000"}
BATCH = re.compile(
    r"(?m)^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: (-?\d+) lastSequence: -?\d+ producerId: (-?\d+) producerEpoch: (-?\d+) "
    r"partitionLeaderEpoch: (\d+) isTransactional: (true|false) isControl: (true|false) deleteHorizonMs: \S+ position: (\d+) "
    r"(CreateTime|LogAppendTime): (\d+) size: (\d+) magic: 2 compresscodec: (\S+) crc: \d+ isvalid: true")


def log_command(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([fluxmq_binary(), "log", *map(str, words)], capture_output=True, text=True, timeout=120)


def dump(*words: object) -> list[list[str]]:
    """The words of each line."""
    done = log_command("dump", *words)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def assert_nothing_wrong(path: Path) -> dict[str, float]:
    """Gives the figures of the summary."""
    done = log_command("verify", path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    return {name: float(value) for name, value in re.findall(r"([a-z]+) ([0-9.]+)", done.stdout.splitlines()[-1])}


def assert_dumped_the_same(partition: Path) -> tuple[int, int]:
    """Every batch, record and entry. Gives how many batches and records there are."""
    files = {kind: sorted(partition.glob(f"*.{kind}")) for kind in ("log", "index", "timeindex", "txnindex")}
    batches = records = 0
    for log, theirs in zip(files["log"], dump_all(files["log"], "--deep-iteration"), strict=True):
        lines = dump(log, "--records")[2:]
        ours = []
        for first, last, count, position, size, codec, kind, _, ms, leader, producer, epoch, sequence, crc, *remarks in (
                line for line in lines if line[0] != "|"):
            assert crc == "ok"
            producers = (sequence, producer, epoch) if producer != "-" else ("-1", "-1", "-1")
            transactional, control = ("true" if word in remarks else "false" for word in ("transactional", "control"))
            ours.append((first, last, count, *producers, leader, transactional, control, position, kind, ms, size, codec))
        assert ours == BATCH.findall(theirs), log
        dumped = [(line[1], line[3]) for line in lines if line[0] == "|"]
        assert dumped == re.findall(r"(?m)^\| offset: (\d+) \w+: (\d+)", theirs), log
        markers = [word for line in lines for word in line if line[0] != "|" and word in ("COMMIT", "ABORT")]
        assert markers == re.findall(r"endTxnMarker: (COMMIT|ABORT)", theirs), log
        batches, records = batches + len(ours), records + len(dumped)
    for kind, pattern, columns in (
            ("index", r"offset: (\d+) position: (\d+)", (0, 1)),
            ("timeindex", r"timestamp: (\d+) offset: (\d+)", (2, 0)),
            ("txnindex", r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", (0, 1, 2, 3))):
        for file, theirs in zip(files[kind], dump_all(files[kind]), strict=True):
            ours = [tuple(line[column] for column in columns) for line in dump(file)[2:]]
            assert ours == re.findall(pattern, theirs), file
    return batches, records


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "kafkas"])
def test_it_says_what_kafkas_tool_does(tmp_path, topic, ours):
    server = Broker(tmp_path / "data", overrides=TRANSACTION_SETTINGS) if ours else Kafka(tmp_path / "kafka", TRANSACTION_SETTINGS)
    with server.start():
        create_topic(server.bootstrap, topic, 1, **SETTINGS)
        written = Written(server.bootstrap, topic)
        assert_nothing_wrong(server.data_dir)
        server.stop()
    partition = server.data_dir / f"{topic}-0"
    batches, records = assert_dumped_the_same(partition)
    assert records == written.end
    found = assert_nothing_wrong(partition)
    assert (found["batches"], found["records"], found["segments"]) == (batches, records, len(list(partition.glob("*.log"))))
    assert_nothing_wrong(server.data_dir)
    first, *_ = sorted(partition.glob("*.log"))
    contents = bytearray(first.read_bytes())
    contents[100] ^= 1
    first.write_bytes(contents)
    done = log_command("verify", server.data_dir)
    assert done.returncode == 1 and "findings 1" in done.stdout, done.stdout
    assert f"{first}: position 0: batch has CRC" in done.stdout
    assert " BAD transactional" in log_command("dump", first).stdout


def test_beside_a_running_broker_and_after_a_kill(data_dir, topic):
    with Broker(data_dir).start() as broker:
        create_topic(broker.bootstrap, topic, 1, **SETTINGS)
        done = threading.Event()

        def write() -> None:
            producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "1", "linger.ms": 1, "batch.num.messages": 20})
            while not done.wait(0.005):
                for _ in range(20):
                    producer.produce(topic, b"x" * 400, partition=0)
                producer.poll(0)
            producer.flush(30)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            eventually("records", lambda: assert_nothing_wrong(data_dir)["records"] > 0)
            seen, deadline = [], time.monotonic() + 5
            while time.monotonic() < deadline:
                seen.append(assert_nothing_wrong(data_dir)["records"])
        finally:
            done.set()
            writer.join()
        assert seen == sorted(seen) and seen[-1] > seen[0], seen
        broker.kill()
    found = assert_nothing_wrong(data_dir)
    assert found["notes"] > 0, "reserved space"
    first = log_command("dump", data_dir / f"{topic}-0", "--offsets", "..1", "--records")
    assert first.returncode == 0 and '| ' in first.stdout
