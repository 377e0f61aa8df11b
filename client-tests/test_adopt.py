"""`fluxmq adopt`: a node of Apache Kafka is stopped, and FluxMQ goes on in its directory where Kafka left it."""

import re
import struct
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions, NewTopic, ResourceType

from harness.broker import Broker
from harness.kafka import Kafka, tool
from harness.members import create_topic, eventually
from harness.paths import fluxmq_binary
from harness.transactions import COMMITTED, QUIET, UNCOMMITTED, committed, ready, settled, transaction

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NODE = "7"
pytestmark = pytest.mark.timeout(300)


def adopt(directory: Path) -> subprocess.CompletedProcess:
    return subprocess.run([fluxmq_binary(), "adopt", directory], capture_output=True, text=True, timeout=60)


def topics_of(admin: AdminClient) -> dict[str, tuple[str, int, dict[str, str]]]:
    """Id, number of partitions and own settings of every topic."""
    names = list(admin.list_topics(timeout=20).topics)
    described = {name: future.result(20) for name, future in admin.describe_topics(TopicCollection(names)).items()}
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    own = {resource.name: {entry.name: entry.value for entry in future.result(20).values()
                           if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value} for resource, future in asked.items()}
    return {name: (str(topic.topic_id), len(topic.partitions), own[name]) for name, topic in described.items()}


def records_of(bootstrap: str, topics: dict, isolation: str, timeout_s: float = 90) -> dict[tuple[str, int], list[tuple]]:
    """Every record of every partition of clients' topics: offset, timestamp, key, value, headers."""
    found = {(name, partition): [] for name, (_, count, _) in topics.items() if not name.startswith("__") for partition in range(count)}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "error",
                         "isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 20, **QUIET})
    consumer.assign([TopicPartition(*at, OFFSET_BEGINNING) for at in found])
    ended, deadline = set(), time.monotonic() + timeout_s
    while len(ended) < len(found):
        assert time.monotonic() < deadline, f"no end of {found.keys() - ended}"
        for message in consumer.consume(10_000, timeout=0.2):
            at = message.topic(), message.partition()
            if message.error() is None:
                found[at].append((message.offset(), message.timestamp(), message.key(), message.value(), message.headers()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(at)
            else:
                raise KafkaException(message.error())
    consumer.close()
    return found


def everything(bootstrap: str) -> tuple:
    """What clients see of the topics and their records."""
    topics = topics_of(AdminClient({"bootstrap.servers": bootstrap, **QUIET}))
    return topics, records_of(bootstrap, topics, COMMITTED), records_of(bootstrap, topics, UNCOMMITTED)


def batches(partition: Path) -> list[tuple[int, int, int, int]]:
    """Base offset, leader epoch, producer id and producer epoch of every batch on disk."""
    found = []
    for log in sorted(partition.glob("*.log")):
        data, at = log.read_bytes(), 0
        while at + 61 <= len(data) and (length := struct.unpack_from(">i", data, at + 8)[0]) > 0:
            base, _, epoch = struct.unpack_from(">qii", data, at)
            found.append((base, epoch, *struct.unpack_from(">qh", data, at + 43)))
            at += 12 + length
    return found


def consume(bootstrap: str, group: str, topic: str, count: int, protocol: str) -> list[bytes]:
    """The next records of a group, which are committed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "fetch.wait.max.ms": 50, "group.protocol": protocol, **QUIET})
    consumer.subscribe([topic])
    got, upto, deadline = [], {}, time.monotonic() + 40
    while len(got) < count:
        assert time.monotonic() < deadline, f"{len(got)} of {count} records"
        for message in consumer.consume(count - len(got), timeout=0.5):
            assert message.error() is None, message.error()
            got.append(message.value())
            upto[message.partition()] = message.offset() + 1
    consumer.commit(offsets=[TopicPartition(topic, partition, offset) for partition, offset in upto.items()], asynchronous=False)
    consumer.close()
    return got


def alter(admin: AdminClient, name: str, entries: list[tuple[str, str | None]]) -> None:
    """Sets settings of a topic; those without a value are deleted."""
    changes = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET)
               for key, value in entries]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
    admin.incremental_alter_configs([resource])[resource].result(20)


SETTINGS = (
    {}, {"cleanup.policy": "compact"}, {"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.9"}, {"retention.ms": "86400000"},
    {"message.timestamp.type": "LogAppendTime"}, {"compression.type": "gzip", "max.message.bytes": "2000000"}, {"segment.ms": "3600000"},
)


class Filled:
    """What was done at a Kafka node, as far as it is looked for later."""

    def __init__(self, bootstrap: str):
        self.bootstrap, self.admin = bootstrap, AdminClient({"bootstrap.servers": bootstrap, **QUIET})
        self.make_topics()
        self.write()
        self.write_transactions()
        self.commit_offsets()
        tool("kafka-configs", "--bootstrap-server", bootstrap, "--alter", "--entity-type", "groups", "--entity-name", "consumer-group",
             "--add-config", "consumer.session.timeout.ms=50000")

    def make_topics(self) -> None:
        create = lambda topics: [future.result(30) for future in self.admin.create_topics(topics).values()]
        create([NewTopic(f"t{i:02}", 1 + i % 3, 1, config=SETTINGS[i % len(SETTINGS)]) for i in range(100)])
        create([NewTopic("codecs", 1, 1, config={"segment.bytes": str(1 << 20)}), NewTopic("orders", 2, 1), NewTopic("cut", 1, 1)])
        for future in self.admin.delete_topics(["t10", "t11", "t12", "t13"]).values():
            future.result(30)
        eventually("the deletion", lambda: "t11" not in self.admin.list_topics(timeout=10).topics)
        create([NewTopic("t11", 4, 1, config={"retention.bytes": "1000000000"}), NewTopic("t12", 1, 1)])
        for future in self.admin.create_partitions([NewPartitions("t20", 5), NewPartitions("t21", 6)]).values():
            future.result(30)
        alter(self.admin, "t30", [("retention.ms", "1234567890")])
        alter(self.admin, "t24", [("retention.ms", None), ("segment.bytes", "2000000")])
        names = lambda: topics_of(self.admin)
        eventually("the topics", lambda: len(names()) == 101 and names()["t21"][1] == 6)

    def write(self) -> None:
        """Every codec with several segments, and some records in each of the other topics."""
        for idempotent in (True, False):
            for codec in CODECS:
                producer = Producer({"bootstrap.servers": self.bootstrap, "compression.type": codec, "enable.idempotence": idempotent,
                                     "acks": "all", "batch.num.messages": 100, "linger.ms": 5, **QUIET})
                for i in range(600):
                    producer.produce("codecs", b"%s %d " % (codec.encode(), i) + b"y" * 600, key=b"%d" % (i % 7), timestamp=int(time.time() * 1000) - i,
                                     headers=[("codec", codec.encode()), ("none", None)] if i % 3 == 0 else None)
                assert producer.flush(30) == 0
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, **QUIET})
        for name, (_, count, _) in topics_of(self.admin).items():
            for i in range(0 if name in ("codecs", "orders") or name.startswith("__") else 3 * count):
                producer.produce(name, b"%d" % i, key=b"k%d" % (i % 2), partition=i % count)
        assert producer.flush(30) == 0
        self.admin.delete_records([TopicPartition("cut", 0, 2)])[TopicPartition("cut", 0)].result(20)

    def write_transactions(self) -> None:
        producer = ready(self.bootstrap, "tx")
        for i in range(6):
            transaction(producer, i % 3 != 2, "orders", [b"tx %d %d" % (i, j) for j in range(20)], partitions=2)
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition("codecs", 0, 77)], Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tx-group", **QUIET})
                                             .consumer_group_metadata(), 30)
        producer.commit_transaction(30)
        settled(self.bootstrap, "orders", 2)
        open_one = ready(self.bootstrap, "open", **{"transaction.timeout.ms": 800_000})
        open_one.begin_transaction()
        open_one.produce("orders", b"undecided", partition=0)
        assert open_one.flush(30) == 0

    def commit_offsets(self) -> None:
        self.consumed = {protocol: consume(self.bootstrap, f"{protocol}-group", "orders", 50, protocol) for protocol in ("classic", "consumer")}
        self.offsets = {group: committed(self.bootstrap, group) for group in ("classic-group", "consumer-group", "tx-group")}
        assert sum(self.offsets["classic-group"].values()) >= 50 and self.offsets["tx-group"] == {("codecs", 0): 77}


def test_fluxmq_goes_on_where_kafka_stopped(tmp_path):
    kafka = Kafka(tmp_path / "kafka")
    # Small, so that there is a snapshot, and records behind it.
    kafka.overrides |= {"node.id": NODE, "controller.quorum.voters": f"{NODE}@localhost:{kafka.port + 1}",
                        "metadata.log.max.record.bytes.between.snapshots": "8000"}
    data = kafka.data_dir
    with kafka:
        filled = Filled(kafka.bootstrap)
        before = everything(kafka.bootstrap)
        kafka.stop()
    assert list((data / "__cluster_metadata-0").glob("*.checkpoint"))
    of_kafka = {folder.name: batches(folder) for folder in data.iterdir() if folder.is_dir() and not folder.name.startswith("__cluster")}
    properties = (data / "meta.properties").read_bytes()

    done = adopt(data)
    assert done.returncode == 0, done.stderr
    assert "topics: 103, with " in done.stdout and "groups with settings of their own: 1\n" in done.stdout, done.stdout
    assert "features: group.version=1, transaction.version=2\n" in done.stdout
    assert f"start it with: fluxmq --data-dir {data} --override node.id={NODE}\n" in done.stdout
    assert (data / "meta.properties").read_bytes() == properties
    next_producer_id = int(re.search(r"next producer id: (\d+)", done.stdout)[1])
    assert next_producer_id > max(producer_id for found in of_kafka.values() for _, _, producer_id, _ in found)

    # The internal topics keep the number of partitions that Kafka gave them.
    broker = Broker(data, overrides={"node.id": NODE, "offsets.topic.num.partitions": "8", "transaction.state.log.num.partitions": "4"},
                    log=tmp_path / "fluxmq.log")
    with broker:
        assert everything(broker.bootstrap) == before
        assert before[0]["__consumer_offsets"][1] == before[0]["__transaction_state"][1] == 50
        assert "-stray" not in broker.tail(10_000)
        goes_on(broker, filled, before, of_kafka, next_producer_id)
        changed = everything(broker.bootstrap)
        broker.stop()
        broker.start()
        assert everything(broker.bootstrap) == changed
        broker.kill()
        broker.start()
        assert everything(broker.bootstrap) == changed
        broker.stop()
    assert (data / "__cluster_metadata-0").is_dir()
    again = adopt(data)
    assert (again.returncode, again.stderr) == (2, f"fluxmq: {data} is FluxMQ's already\n")


def goes_on(broker: Broker, filled: Filled, before: tuple, of_kafka: dict, next_producer_id: int) -> None:
    """Groups, transactions and producers find what they left, and topics can be made, changed and deleted."""
    bootstrap, data = broker.bootstrap, broker.data_dir
    for group, offsets in filled.offsets.items():
        assert committed(bootstrap, group) == offsets
    own = tool("kafka-configs", "--bootstrap-server", bootstrap, "--describe", "--entity-type", "groups", "--entity-name", "consumer-group")
    assert "consumer.session.timeout.ms=50000" in own

    # The same transactional ids: the one with an open transaction has it aborted.
    for transactional_id in ("tx", "open"):
        transaction(ready(bootstrap, transactional_id), True, "orders", [f"{transactional_id} again".encode()], partitions=1)
    settled(bootstrap, "orders", 2)
    used = {}
    for _, _, producer_id, epoch in of_kafka["orders-0"] + of_kafka["orders-1"]:
        used[producer_id] = max(used.get(producer_id, -1), epoch)
    end = max(base for base, *_ in of_kafka["orders-0"])
    added = [batch for batch in batches(data / "orders-0") if batch[0] > end]
    assert len(added) == 5, added  # the marker of the open transaction, and two transactions with theirs
    for _, leader_epoch, producer_id, epoch in added:
        assert leader_epoch >= max(found for _, found, *_ in of_kafka["orders-0"])
        assert producer_id >= next_producer_id or epoch > used[producer_id], added

    # A group gets what it hasn't had: what was committed since, too, and nothing that was aborted.
    expected = sorted(value for partition in (0, 1) for *_, value, _ in before[1]["orders", partition])
    for protocol, had in filled.consumed.items():
        left = len(expected) - len(had) + 2
        assert sorted(had + consume(bootstrap, f"{protocol}-group", "orders", left, protocol)) == sorted(expected + [b"tx again", b"open again"])

    create_topic(bootstrap, "new", 2)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **QUIET})
    for name in ("new", "codecs"):
        producer.produce(name, b"by FluxMQ", partition=0, key=b"k")
    assert producer.flush(30) == 0
    assert batches(data / "new-0")[0][2] >= next_producer_id
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    alter(admin, "t30", [("retention.ms", None)])
    for name, future in admin.delete_topics(["t40", "t41"]).items():
        future.result(20)
    create_topic(bootstrap, "t40")
    topics = topics_of(admin)
    assert "t41" not in topics and topics["t40"][0] != before[0]["t40"][0] and "retention.ms" not in topics["t30"][2]


def test_kafka_is_refused_until_it_has_stopped_and_can_come_back(tmp_path):
    with Kafka(tmp_path / "kafka") as kafka:
        create_topic(kafka.bootstrap, "t", 1)
        producer = Producer({"bootstrap.servers": kafka.bootstrap, **QUIET})
        producer.produce("t", b"by Kafka", partition=0)
        assert producer.flush(30) == 0
        data = kafka.data_dir
        refused = adopt(data)
        assert (refused.returncode, refused.stderr) == (2, f"fluxmq: {data} is in use by another process\n")
        kafka.stop()
        mark = (data / ".kafka_cleanshutdown").rename(tmp_path / "mark")
        refused = adopt(data)
        assert refused.returncode == 2 and "was not stopped cleanly" in refused.stderr, refused.stderr
        mark.rename(data / ".kafka_cleanshutdown")
        assert adopt(data).returncode == 0
        # FluxMQ serves, and writes nothing.
        with Broker(data, log=tmp_path / "fluxmq.log") as broker:
            before = everything(broker.bootstrap)
            assert [value for *_, value, _ in before[1]["t", 0]] == [b"by Kafka"]
            broker.stop()
        kafka.start()
        eventually("Kafka to lead", lambda: led(kafka.bootstrap))
        assert everything(kafka.bootstrap) == before
        kafka.stop()


def led(bootstrap: str) -> bool:
    """Whether the partition has a leader: Kafka names one a little later than it answers."""
    return AdminClient({"bootstrap.servers": bootstrap, **QUIET}).list_topics(timeout=10).topics["t"].partitions[0].leader != -1
