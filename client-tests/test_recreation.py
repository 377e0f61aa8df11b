"""A topic is deleted and created again under its name, over and over, under load: nothing of the old one is found in the new one."""

import random
import threading
import time
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from differential.records import batch
from differential.schema import Schemas
from differential.session import Session
from harness.broker import Broker
from harness.kafka import jar
from harness.ledger import decode, encode, read_partition
from harness.members import eventually
from harness.transactions import QUIET

PARTITIONS = 2
UNKNOWN_TOPIC_ID = 100
SETTINGS = {"auto.create.topics.enable": "false", "log.segment.delete.delay.ms": "200", "log.segment.bytes": str(1 << 20)}
# What a client is told while the topic is not there, or another one.
NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_ID,
             KafkaError.INCONSISTENT_TOPIC_ID)


@dataclass
class Sent:
    """A record: when it was sent and acknowledged, and the offset that was said."""

    sent: float
    acknowledged: float | None = None
    offset: int = -1


class Writer:
    """Writes 0, 1, 2, ... to its own partition all the time, whatever becomes of the topic."""

    def __init__(self, bootstrap: str, topic: str, partition: int, idempotent: bool):
        self.topic, self.partition = topic, partition
        self.records: list[Sent] = []
        self.started_anew = 0
        self._config = {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": idempotent, "linger.ms": 2,
                        "topic.metadata.refresh.fast.interval.ms": 20, "retry.backoff.ms": 20, "retry.backoff.max.ms": 100, **QUIET}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        producer = Producer(self._config)
        while not self._stopping.is_set():
            try:
                for _ in range(20):
                    record = Sent(time.monotonic())
                    producer.produce(self.topic, encode(len(self.records), 200), partition=self.partition, on_delivery=self._delivered_for(record))
                    self.records.append(record)
                producer.poll(0)
                time.sleep(0.01)
            except BufferError:
                producer.poll(0.02)
            except KafkaException as error:
                if error.args[0].code() in NOT_THERE:
                    producer.poll(0.02)
                    continue
                if not error.args[0].fatal():
                    raise
                # An idempotent one whose batches before and after a deletion went to different topics: there is a gap between them.
                producer, self.started_anew = Producer(self._config), self.started_anew + 1
        producer.purge()

    def _delivered_for(self, record: Sent):
        def delivered(error, message) -> None:
            if error is None:
                record.offset, record.acknowledged = message.offset(), time.monotonic()
        return delivered

    def acknowledged_until(self, when: float) -> set[int]:
        return {number for number, record in enumerate(list(self.records)) if record.acknowledged is not None and record.acknowledged < when}

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)


class Reader:
    """Reads the topic of this name all the time, from its start when there is none of its position; keeps what it was given."""

    def __init__(self, bootstrap: str, topic: str):
        self.given: list[tuple[int, int, int]] = []  # partition, offset, number
        self.errors: list[str] = []
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                   "topic.metadata.refresh.interval.ms": 100, "fetch.wait.max.ms": 20, **QUIET})
        self._consumer.subscribe([topic])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1000, timeout=0.05):
                if message.error() is None:
                    self.given.append((message.partition(), message.offset(), decode(message.value())))
                elif message.error().code() not in NOT_THERE and not message.error().retriable():
                    self.errors.append(str(message.error()))
        self._consumer.close()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)


class Recreated:
    """The topic: when it was deleted and created, and which ids it has had."""

    def __init__(self, bootstrap: str, topic: str):
        self.topic, self.ids = topic, []
        self.deletion_asked = self.deletion_answered = 0.0
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})

    def create(self) -> None:
        self._admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(20)
        described = self._admin.describe_topics(TopicCollection([self.topic]))[self.topic].result(20)
        self.ids.append(str(described.topic_id))

    def delete(self) -> None:
        self.deletion_asked = time.monotonic()
        self._admin.delete_topics([self.topic])[self.topic].result(20)
        self.deletion_answered = time.monotonic()


def hold(bootstrap: str, recreated: Recreated, writer: Writer, old: set[int]) -> int:
    """Fails unless the new topic has what was acknowledged since it is there, and nothing of `old`. Gives how many records it held on to."""
    now = time.monotonic()
    # What was sent after the old topic had gone can only have been taken by the new one; of what was sent before, the answer may have come late.
    promised = {number: writer.records[number].offset for number in writer.acknowledged_until(now)
                if writer.records[number].sent > recreated.deletion_answered}
    there = {decode(value): offset for offset, value in read_partition(bootstrap, recreated.topic, writer.partition)}
    from_before = sorted(there.keys() & old)
    assert not from_before, f"{len(from_before)} records of the old topic are in the new one, as {[(n, writer.records[n]) for n in from_before[:3]]}"
    lost = sorted(number for number, offset in promised.items() if there.get(number) != offset)
    assert not lost, f"{len(lost)} acknowledged records are not there, as {[(n, writer.records[n], there.get(n)) for n in lost[:3]]}"
    return len(promised)


@pytest.mark.timeout(300)
def test_the_new_topic_has_nothing_of_the_old_one(data_dir, topic, full):
    with Broker(data_dir, overrides=SETTINGS).start() as broker:
        recreated = Recreated(broker.bootstrap, topic)
        recreated.create()
        writers = [Writer(broker.bootstrap, topic, partition, idempotent=partition == 0) for partition in range(PARTITIONS)]
        reader, held, read_in = Reader(broker.bootstrap, topic), [0] * PARTITIONS, 0
        old: list[set[int]] = [set() for _ in writers]

        def gone_but_for(there: list[str]) -> None:
            # The broker looks for what it may remove every 15 s, from its start on.
            eventually("the folders of old ones to go", lambda: sorted(path.name for path in data_dir.glob(f"{topic}-*")) == there, 40)
        for round_ in range(60 if full else 8):
            begun, given = time.monotonic(), len(reader.given)
            eventually("records of the new topic", lambda: all(
                any(record.acknowledged and record.sent > recreated.deletion_answered for record in writer.records[-2000:]) for writer in writers))
            time.sleep(random.uniform(0.0, 0.4))
            for writer in writers:
                held[writer.partition] += hold(broker.bootstrap, recreated, writer, old[writer.partition])
            read_in += len(reader.given) > given
            recreated.delete()
            old = [writer.acknowledged_until(recreated.deletion_asked) for writer in writers]
            # At once, or when clients have noticed that it is gone.
            time.sleep(random.choice([0.0, random.uniform(0.0, 0.2)]))
            recreated.create()
            print(f"round {round_ + 1}: {time.monotonic() - begun:.2f} s, held {held}, given {len(reader.given)}")
        for writer in writers:
            hold(broker.bootstrap, recreated, writer, old[writer.partition])
        assert len(set(recreated.ids)) == len(recreated.ids), recreated.ids
        before = len(reader.given)
        eventually("the reader to go on", lambda: len(reader.given) > before)
        for one in [*writers, reader]:
            one.stop()
        if full:
            gone_but_for([f"{topic}-{p}" for p in range(PARTITIONS)])
        recreated.delete()
        gone_but_for([])
        broker.stop()
    print(f"{len(recreated.ids)} topics, {held} records held, read in {read_in} of them, producers started anew {[w.started_anew for w in writers]}")
    assert not reader.errors, reader.errors[:3]
    misplaced = [(p, offset, n, writers[p].records[n]) for p, offset, n in reader.given if writers[p].records[n].offset not in (-1, offset)]
    assert not misplaced, f"{len(misplaced)} records were given at offsets that are not theirs, as {misplaced[:3]}"
    said = [line for line in broker.log.read_text(errors="replace").splitlines() if " ERROR " in line or "panicked" in line]
    assert not said, said[:3]


def test_the_old_id_reads_nothing_of_the_new_topic(broker, topic):
    session = Session(Schemas(jar("kafka-clients")), "127.0.0.1", broker.port, prefix=topic)

    def fetched(of, offset: int, **body) -> tuple[int, list[bytes]]:
        answer = session.fetch(offset, version=13, topic_id=of, body=body)
        assert answer["ErrorCode"] == 0, answer
        part = answer["Responses"][0]["Partitions"][0]
        return part["ErrorCode"], [one["Payload"] for one in part["Records"]]

    def fetch_later(of, offset: int):
        topics = [{"TopicId": of, "Partitions": [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}]}]
        return session.begin("Fetch", 13, {"MaxWaitMs": 3000, "MinBytes": 1, "MaxBytes": 1 << 24, "Topics": topics}, on=f"waits at {offset}")

    def delete(of) -> None:
        answer = session.send("DeleteTopics", 6, {"Topics": [{"TopicId": of}], "TimeoutMs": 5000})
        assert answer["Responses"][0]["ErrorCode"] == 0

    def produced(of, value: bytes) -> int:
        return session.produce(batch([value]), version=13, topic_id=of)["Responses"][0]["PartitionResponses"][0]["ErrorCode"]
    try:
        ids = [session.create_topic()]
        assert produced(ids[0], b"of the first") == 0
        assert fetched(ids[0], 0)[0] == 0 and b"of the first" in fetched(ids[0], 0)[1][0]
        for round_ in range(5):
            old = ids[-1]
            waiting = fetch_later(old, 1)
            assert session.waits(waiting, 0.1)
            delete(old)
            assert fetched(old, 0) == (UNKNOWN_TOPIC_ID, [])
            ids.append(session.create_topic())
            for n in range(3):
                assert produced(ids[-1], b"%d of the next" % n) == 0
            # One that waited at the old one's end, where the new one has a record now.
            part = session.answer(waiting)["Responses"][0]["Partitions"][0]
            assert part["ErrorCode"] != 0 and not part["Records"], part
            for gone in ids[:-1]:
                for offset in range(4):
                    assert fetched(gone, offset) == (UNKNOWN_TOPIC_ID, [])
                assert produced(gone, b"to nowhere") == UNKNOWN_TOPIC_ID
            assert [b"%d of the next" % n in payload for n, payload in enumerate(fetched(ids[-1], 0)[1])] == [True] * 3
            delete(ids[-1])
            ids.append(session.create_topic())
            assert produced(ids[-1], b"of the one after") == 0
        assert len(set(ids)) == len(ids)
    finally:
        session.close_all()
