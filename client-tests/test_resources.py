"""What an idle broker costs: time to start, memory, processor, connections."""

import re
import socket
import time

from confluent_kafka import Consumer, Producer, TopicPartition

from harness.broker import Broker
from harness.ledger import read_partition
from harness.members import create_topic
from harness.process import cpu_seconds, open_files, status_kib
from harness.transactions import QUIET


def test_ready_in_a_blink_and_small(data_dir):
    with Broker(data_dir).start() as broker:
        ready_ms = int(re.search(r"ready in (\d+) ms", broker.log.read_text())[1])
        anonymous_mib = status_kib(broker.pid, "RssAnon") / 1024
        before = cpu_seconds(broker.pid)
        time.sleep(5)
        idle = (cpu_seconds(broker.pid) - before) / 5
        print(f"ready in {ready_ms} ms, RssAnon {anonymous_mib:.1f} MiB, idle {100 * idle:.2f} % of a core")
        assert ready_ms < 300
        assert anonymous_mib < 30
        assert idle < 0.01


def test_a_thousand_idle_connections(data_dir):
    with Broker(data_dir).start() as broker:
        before = status_kib(broker.pid, "VmRSS")
        # ApiVersions v0, so that each connection has been used once.
        ask = bytes.fromhex("0000000a" "0012" "0000" "00000001" "ffff")
        connections = []
        for _ in range(1000):
            connection = socket.create_connection(("127.0.0.1", broker.port))
            connection.sendall(ask)
            assert connection.recv(4096)
            connections.append(connection)
        time.sleep(1)
        grown_kib = status_kib(broker.pid, "VmRSS") - before
        print(f"1,000 idle connections: {grown_kib} KiB")
        assert grown_kib < 10 * 1024
        for connection in connections:
            connection.close()



def test_rolled_segments_are_open_only_while_there_is_room_for_them(data_dir, topic):
    """`log.open.segments.max` bounds the files, however many segments are read, from wherever."""
    at_once, partitions, count = 5, 2, 20_000
    with Broker(data_dir, overrides={"log.open.segments.max": str(at_once)}).start() as broker:
        create_topic(broker.bootstrap, topic, partitions, **{"segment.bytes": str(1 << 20)})
        producer = Producer({"bootstrap.servers": broker.bootstrap, "batch.num.messages": 50, **QUIET})
        for number in range(count):
            for partition in range(partitions):
                producer.produce(topic, b"%d" % number + b"x" * 1000, partition=partition, timestamp=1_000 + number)
            producer.poll(0)
        assert producer.flush(60) == 0
        segments = len(list(data_dir.glob(f"{topic}-*/*.log")))
        assert segments > 6 * at_once

        # All of it, then back in steps, then by time: each a look-up in another segment.
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused", "enable.auto.commit": False, **QUIET})
        for partition in range(partitions):
            assert [offset for offset, _ in read_partition(broker.bootstrap, topic, partition)] == list(range(count))
            for offset in range(count - 1, 0, -count // 30):
                consumer.assign([TopicPartition(topic, partition, offset)])
                assert consumer.poll(10).offset() == offset
                found = consumer.offsets_for_times([TopicPartition(topic, partition, 1_000 + offset)], timeout=10)
                assert found[0].offset == offset
        consumer.close()
        files = [path for path in open_files(broker.pid) if re.search(r"/\d{20}\.(log|index|timeindex|txnindex)$", path)]
        print(f"{segments} segments, {len(files)} files open")
        assert len(files) <= 4 * (at_once + partitions)
        broker.stop()
