"""The files on disk are Kafka's: its dump tool reads them, and Kafka itself serves them, both ways round."""

import random
import re
import time

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import Broker
from harness.kafka import Kafka
from harness.ledger import read_partition
from harness.on_disk import dump, replace

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def fill(bootstrap: str, topic: str, rounds: int = 80) -> None:
    """Every codec, with and without an idempotent producer, over several segments."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config={"segment.bytes": str(1 << 20), "index.interval.bytes": "1000"})])[topic].result(20)
    for idempotent in (True, False):
        for codec in CODECS:
            producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": idempotent,
                                 "acks": "all", "batch.num.messages": 100, "linger.ms": 5})
            for i in range(rounds * 100):
                producer.produce(topic, b"%s %d " % (codec.encode(), i) + random.randbytes(30) + b"y" * 50, key=b"%d" % (i % 7), partition=0)
                if i % 1000 == 0:
                    producer.poll(0)
            assert producer.flush(30) == 0


def read_when_led(bootstrap: str, topic: str):
    """As read_partition, of a log that is not empty. A Kafka that has just started leads its partitions a little later than
    it answers, and starts from the high watermark of its checkpoint: 0 where the partition was empty when it stopped."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if records := read_partition(bootstrap, topic, 0):
                return records
        except KafkaException as error:
            if error.args[0].name() != "NOT_LEADER_FOR_PARTITION":
                raise
        assert time.monotonic() < deadline, "not led, or nothing to read, after 30 s"
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_the_dump_tool_finds_nothing_wrong(data_dir, topic):
    with Broker(data_dir).start() as broker:
        fill(broker.bootstrap, topic)
        expected = len(read_partition(broker.bootstrap, topic, 0))
        broker.stop()
    partition = data_dir / f"{topic}-0"
    logs = sorted(partition.glob("*.log"))
    assert len(logs) > 2
    records = 0
    for log in logs:
        out = dump(log, "--deep-iteration")
        records += len(re.findall(r"(?m)^\| offset: ", out))
    assert records == expected
    for index in sorted(partition.glob("*.index")) + sorted(partition.glob("*.timeindex")):
        dump(index)
    for index in sorted(partition.glob("*.index")):
        assert "passed sanity check" in dump(index, "--index-sanity-check")
    snapshots = sorted(partition.glob("*.snapshot"))
    assert snapshots
    for snapshot in snapshots:
        assert "producerId:" in dump(snapshot)


@pytest.mark.timeout(600)
def test_kafka_serves_our_files_and_we_serve_kafkas(tmp_path, data_dir, topic):
    ours, theirs = topic + "-ours", topic + "-theirs"
    with Broker(data_dir).start() as broker, Kafka(tmp_path / "kafka") as kafka:
        fill(broker.bootstrap, ours)
        fill(kafka.bootstrap, theirs)
        written_by_us = read_partition(broker.bootstrap, ours, 0)
        written_by_kafka = read_partition(kafka.bootstrap, theirs, 0)
        for bootstrap, name in ((kafka.bootstrap, ours), (broker.bootstrap, theirs)):
            admin = AdminClient({"bootstrap.servers": bootstrap})
            admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
        broker.stop()
        kafka.stop()
        replace(kafka.data_dir / f"{ours}-0", data_dir / f"{ours}-0")
        replace(data_dir / f"{theirs}-0", kafka.data_dir / f"{theirs}-0")
        # A clean mark would say that the checkpoints speak of these files; they speak of those that lay here before.
        (kafka.data_dir / ".kafka_cleanshutdown").unlink(missing_ok=True)
        (data_dir / ".kafka_cleanshutdown").unlink(missing_ok=True)
        broker.start()
        kafka.start()
        assert read_when_led(kafka.bootstrap, ours) == written_by_us
        assert read_partition(broker.bootstrap, theirs, 0) == written_by_kafka
        broker.stop()


@pytest.mark.timeout(300)
def test_kafka_serves_our_partitions_without_a_record_and_we_serve_kafkas(tmp_path, data_dir, topic):
    """Ours are directories without a segment; Kafka's have an empty one."""
    with Broker(data_dir).start() as broker, Kafka(tmp_path / "kafka") as kafka:
        for server in (broker, kafka):
            admin = AdminClient({"bootstrap.servers": server.bootstrap})
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
            server.stop()
        directories = [server / f"{topic}-0" for server in (data_dir, kafka.data_dir)]
        assert [file.name for file in directories[0].iterdir()] == ["partition.metadata"]
        ours, theirs = ({file.name: file.read_bytes() for file in directory.iterdir()} for directory in directories)
        for directory, files in zip(directories, (theirs, ours), strict=True):
            for file in directory.iterdir():
                if file.name != "partition.metadata":
                    file.unlink()
            for name, contents in files.items():
                if name != "partition.metadata":
                    (directory / name).write_bytes(contents)
        for server in (broker, kafka):
            server.start()
            producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all"})
            producer.produce(topic, b"first", partition=0)
            assert producer.flush(30) == 0
            assert [value for _, value in read_when_led(server.bootstrap, topic)] == [b"first"]
        broker.stop()
