"""Many partitions on one node: FluxMQ and Apache Kafka 4.3 in turns, a start after a clean stop, a start after a kill with records that were
not synced, memory, open files, and CPU while nothing happens.

  compare_partitions.py [--partitions 10000] [--megabytes 1000] [--idle-s 20]

Every partition has records. Exits 1 when FluxMQ's clean start takes 2 s or more, or its idle CPU is 1 % of a core or more.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from harness.broker import Broker
from harness.kafka import Kafka
from harness.process import cpu_seconds, status_kib
from harness.transactions import QUIET

TOPIC = "many"


def write(bootstrap: str, partitions: int, records: int, size_bytes: int) -> None:
    """So many records in each partition."""
    value = random.randbytes(size_bytes)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": 1, "linger.ms": 100, "queue.buffering.max.messages": 1_000_000, **QUIET})
    failed = []
    for partition in range(partitions):
        for _ in range(records):
            while True:
                try:
                    producer.produce(TOPIC, value, partition=partition, on_delivery=lambda error, _: failed.append(error) if error else None)
                    break
                except BufferError:
                    producer.poll(0.1)
        if partition % 500 == 0:
            producer.flush(120)
    assert producer.flush(300) == 0 and not failed, failed[:3]


def ready(bootstrap: str, partitions: int) -> None:
    """Waits until every partition has a leader."""
    admin, deadline = AdminClient({"bootstrap.servers": bootstrap, **QUIET}), time.monotonic() + 600
    while True:
        try:
            topic = admin.list_topics(topic=TOPIC, timeout=30).topics[TOPIC]
            if len(topic.partitions) == partitions and all(p.leader >= 0 and not p.error for p in topic.partitions.values()):
                return
        except Exception:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)


def measure(name: str, server: Broker | Kafka, options) -> dict[str, float]:
    figures: dict[str, float] = {}
    server.start()
    admin = AdminClient({"bootstrap.servers": server.bootstrap, **QUIET})
    started = time.monotonic()
    # One request may ask for less than 10,000.
    admin.create_topics([NewTopic(TOPIC, options.partitions // 2, 1)], request_timeout=300)[TOPIC].result(300)
    admin.create_partitions([NewPartitions(TOPIC, options.partitions)], request_timeout=300)[TOPIC].result(300)
    ready(server.bootstrap, options.partitions)
    figures["create_s"] = time.monotonic() - started
    write(server.bootstrap, options.partitions, 1, 1000)
    started = time.monotonic()
    server.stop()
    figures["stop_s"] = time.monotonic() - started

    started = time.monotonic()
    server.start()
    figures["clean_start_s"] = time.monotonic() - started
    ready(server.bootstrap, options.partitions)
    figures["until_all_are_led_s"] = time.monotonic() - started
    figures["start_cpu_s"] = cpu_seconds(server.pid)
    figures["rss_anon_mb"] = status_kib(server.pid, "RssAnon") / 1024
    figures["open_files"] = len(os.listdir(f"/proc/{server.pid}/fd"))
    time.sleep(10)
    before = cpu_seconds(server.pid)
    time.sleep(options.idle_s)
    figures["idle_cpu_percent"] = (cpu_seconds(server.pid) - before) / options.idle_s * 100

    write(server.bootstrap, options.partitions, max(1, options.megabytes * 1000 // options.partitions), 1000)
    figures["rss_anon_written_mb"] = status_kib(server.pid, "RssAnon") / 1024
    figures["open_files_written"] = len(os.listdir(f"/proc/{server.pid}/fd"))
    server.kill()
    started = time.monotonic()
    server.start()
    ready(server.bootstrap, options.partitions)
    figures["crash_start_s"] = time.monotonic() - started
    server.stop()
    for key, value in figures.items():
        print(f"{name} {key}={value:.2f}", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--idle-s", type=int, default=20)
    parser.add_argument("--only", choices=("fluxmq", "kafka"))
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="compare-partitions-", dir=os.environ.get("OUT")))
    try:
        # Recovery on as many threads as there are cores, for both.
        settings = {"num.recovery.threads.per.data.dir": str(os.cpu_count())}
        found = {}
        for name, made in (("fluxmq", lambda: Broker(directory / "data", overrides=settings)), ("kafka", lambda: Kafka(directory / "kafka", settings))):
            if options.only in (None, name):
                found[name] = measure(name, made(), options)
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
        if len(found) == 2:
            print(f"\n{'':25} {'FluxMQ':>10} {'Kafka':>10}")
            for key, ours in found["fluxmq"].items():
                print(f"{key:25} {ours:10.2f} {found['kafka'][key]:10.2f}")
        good = "fluxmq" not in found or (found["fluxmq"]["clean_start_s"] < 2 and found["fluxmq"]["idle_cpu_percent"] < 1)
        print("clean start below 2 s, and idle CPU below 1 % of a core:", "ok" if good else "MISSED")
        return 0 if good else 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
