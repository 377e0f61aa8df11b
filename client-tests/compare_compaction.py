"""Compaction by FluxMQ and Apache Kafka 4.3 of the same log, in turns: CPU of the process, and how long it took.

The log has records of 1 KB under many keys, each written some ten times, with tombstones, in batches as a producer makes them. Each run
starts a server over a copy of it, with the cleaner waiting for nothing, and ends when the cleaner's checkpoint has come to the active
segment. The CPU is that of the whole process from its start; that of a start over an empty log, which is measured too, is taken off.

  compare_compaction.py [--rounds 3] [--megabytes 1000] [--codec none] [--keys 100000]

Exits 1 when FluxMQ takes more than half of Kafka's CPU, or leaves other records.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.kafka import Kafka
from harness.members import create_topic
from harness.on_disk import replace
from harness.process import cpu_seconds
from harness.transactions import QUIET, UNCOMMITTED, messages

TOPIC = "compacted"
OFF = TRANSACTION_SETTINGS | {"log.cleaner.backoff.ms": "3600000", "log.segment.bytes": str(128 << 20)}
ON = OFF | {"log.cleaner.backoff.ms": "100"}
CONFIG = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": str(128 << 20)}


def write(bootstrap: str, megabytes: int, keys: int, codec: str) -> int:
    chance = random.Random(1)
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20, "batch.size": 100_000,
                         "queue.buffering.max.messages": 200_000, **QUIET})
    fillers = [chance.randbytes(500) + b"x" * 500 for _ in range(100)]
    count = megabytes * 1000
    for number in range(count):
        value = None if number % 100 == 7 else b"%d " % number + fillers[number % 100]
        while True:
            try:
                producer.produce(TOPIC, value, key=b"key-%d" % chance.randrange(keys), partition=0)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
            if sys.stderr.isatty():
                print(f"\r{number * 100 // count} % written", end="", file=sys.stderr)
    assert producer.flush(120) == 0
    return count


def bases(server: Broker | Kafka) -> list[int]:
    return sorted(int(log.stem) for log in (server.data_dir / f"{TOPIC}-0").glob("*.log"))


def run(server: Broker | Kafka, source: Path | None) -> tuple[float, float, int]:
    """One start: CPU seconds, wall seconds until the log was compacted, and the bytes that are left. Without a source the log is empty."""
    partition = server.data_dir / f"{TOPIC}-0"
    for file in partition.iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    if source:
        replace(partition, source)
    checkpoint = server.data_dir / "cleaner-offset-checkpoint"
    checkpoint.unlink(missing_ok=True)
    os.sync()
    server.overrides = ON
    started = time.monotonic()
    server.start()
    try:
        deadline = started + 600
        while source:
            found = re.search(rf"{TOPIC} 0 (\d+)", checkpoint.read_text() if checkpoint.exists() else "")
            if found and int(found[1]) == bases(server)[-1]:
                break
            assert time.monotonic() < deadline, "it is not compacted"
            time.sleep(0.02)
        wall_s = time.monotonic() - started
        cpu_s = cpu_seconds(server.pid)
        left = sum(log.stat().st_size for log in partition.glob("*.log"))
        return cpu_s, wall_s, left
    finally:
        server.stop()


def survivors(server: Broker | Kafka) -> list:
    server.overrides = OFF
    server.start()
    try:
        time.sleep(1)
        return [(m.offset(), m.key(), m.value()) for m in messages(server.bootstrap, TOPIC, isolation=UNCOMMITTED, timeout_s=300)]
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--codec", default="none")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="compare-compaction-", dir=os.environ.get("OUT")))
    try:
        broker, kafka = Broker(directory / "data", overrides=OFF), Kafka(directory / "kafka", OFF)
        for server in (broker, kafka):
            server.start()
            create_topic(server.bootstrap, TOPIC, 1, **CONFIG)
            if server is broker:
                count = write(server.bootstrap, options.megabytes, options.keys, options.codec)
            server.stop()
        source = directory / "source"
        shutil.copytree(broker.data_dir / f"{TOPIC}-0", source)
        read = sum(log.stat().st_size for log in sorted(source.glob("*.log"))[:-1])
        print(f"{count} records of {options.keys} keys, codec {options.codec}, {read / 1e6:.0f} MB to compact in {len(bases(broker)) - 1} segments")
        results: dict[str, list[tuple[float, float]]] = {"fluxmq": [], "kafka": []}
        left = {}
        for number in range(options.rounds):
            order = [("fluxmq", broker), ("kafka", kafka)]
            for name, server in order if number % 2 == 0 else reversed(order):
                idle_s, *_ = run(server, None)
                cpu_s, wall_s, left[name] = run(server, source)
                results[name].append((cpu_s - idle_s, wall_s))
                print(f"round {number + 1} {name:7} cpu_s={cpu_s - idle_s:.2f} (start alone {idle_s:.2f}) wall_s={wall_s:.2f} "
                      f"MB_per_s={read / 1e6 / wall_s:.0f} left_MB={left[name] / 1e6:.1f}")
        same = survivors(broker) == survivors(kafka)
        ours, theirs = (statistics.median(cpu for cpu, _ in results[name]) for name in ("fluxmq", "kafka"))
        walls = [statistics.median(wall for _, wall in results[name]) for name in ("fluxmq", "kafka")]
        least = [min(cpu for cpu, _ in results[name]) for name in ("fluxmq", "kafka")]
        print(f"CPU s, median (least): FluxMQ {ours:.2f} ({least[0]:.2f}), Kafka {theirs:.2f} ({least[1]:.2f}), ratio {ours / theirs:.2f}, at most 0.5: "
              f"{'ok' if ours <= theirs / 2 else 'MISSED'}")
        print(f"from the start, s: FluxMQ {walls[0]:.2f}, Kafka {walls[1]:.2f}; the same records are left: {'ok' if same else 'NO'}")
        return 0 if same and ours <= theirs / 2 else 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
