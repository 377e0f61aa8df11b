"""Transactions on librdkafka: producers, readers of what is committed, and a record of what became of each transaction."""

import random
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel
from confluent_kafka.admin import AdminClient, OffsetSpec

from .java import classpath
from .members import eventually

QUIET = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
COMMITTED, UNCOMMITTED = "read_committed", "read_uncommitted"


def producer(bootstrap: str, transactional_id: str, **config) -> Producer:
    """A producer that hasn't asked for its epoch yet."""
    # When its last connection breaks, librdkafka otherwise forgets its brokers and keeps one of them as a group's coordinator, which it
    # then waits for without an end before it sends offsets.
    settings = {"metadata.recovery.strategy": "none", **QUIET, **config}
    return Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "linger.ms": 2, **settings})


def ready(bootstrap: str, transactional_id: str, **config) -> Producer:
    """A producer that may begin its first transaction."""
    made = producer(bootstrap, transactional_id, **config)
    made.init_transactions(30)
    return made


def transaction(of: Producer, commit: bool, topic: str, values, partitions: int = 1) -> None:
    """One transaction with these values, dealt to the partitions in turns."""
    of.begin_transaction()
    for i, value in enumerate(values):
        of.produce(topic, value, partition=i % partitions)
    assert of.flush(30) == 0
    if commit:
        of.commit_transaction(30)
    else:
        of.abort_transaction(30)


def end(bootstrap: str, topic: str, partition: int = 0, isolation: str = COMMITTED) -> int:
    """Where a partition ends for readers of one kind or the other."""
    level = IsolationLevel.READ_COMMITTED if isolation == COMMITTED else IsolationLevel.READ_UNCOMMITTED
    at = TopicPartition(topic, partition)
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})  # the answer comes only while it is there
    deadline = time.monotonic() + 30
    while True:
        try:
            return admin.list_offsets({at: OffsetSpec.latest()}, isolation_level=level)[at].result(20).offset
        except KafkaException as error:
            # A Kafka that has just started leads its partitions a little later than it answers.
            if error.args[0].name() not in ("NOT_LEADER_FOR_PARTITION", "UNKNOWN_LEADER_EPOCH") or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def settled(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """Waits until no transaction is open in the topic: a commit is answered before its markers are written."""
    for partition in range(partitions):
        eventually("the markers", lambda p=partition: end(bootstrap, topic, p) == end(bootstrap, topic, p, UNCOMMITTED))


def messages(bootstrap: str, topic: str, partition: int = 0, *, isolation: str = COMMITTED, start: int = 0, timeout_s: float = 60) -> list[Message]:
    """Every record from `start` up to where the partition ends for readers of this kind."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "error",
                         "isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 50, **QUIET})
    try:
        consumer.assign([TopicPartition(topic, partition, start)])
        found, deadline = [], time.monotonic() + timeout_s
        while True:
            for message in consumer.consume(10_000, timeout=0.2):
                if message.error() is None:
                    found.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return found
                elif not message.error().retriable():
                    raise KafkaException(message.error())
            assert time.monotonic() < deadline, f"no end after {timeout_s} s and {len(found)} records"
    finally:
        consumer.close()


def read(bootstrap: str, topic: str, partition: int = 0, *, isolation: str = COMMITTED, start: int = 0) -> list[tuple[int, bytes]]:
    """The same, each as its offset and value."""
    return [(message.offset(), message.value()) for message in messages(bootstrap, topic, partition, isolation=isolation, start=start)]


def values(bootstrap: str, topic: str, partition: int = 0, isolation: str = COMMITTED) -> list[bytes]:
    return [value for _, value in read(bootstrap, topic, partition, isolation=isolation)]


def committed(bootstrap: str, group: str) -> dict[tuple[str, int], int]:
    """What a group has committed; asked again while that is not stable or the coordinator not there."""
    admin, found = AdminClient({"bootstrap.servers": bootstrap, **QUIET}), {}

    def ask() -> bool:
        try:
            answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], require_stable=True, request_timeout=5)[group].result(6)
        except KafkaException:
            return False
        if any(p.error for p in answer.topic_partitions):
            return False
        found.update({(p.topic, p.partition): p.offset for p in answer.topic_partitions})
        return True
    eventually("the coordinator", ask)
    return found


@dataclass
class Outcomes:
    """What a worker was told of its transactions, by number."""

    committed: list[int] = field(default_factory=list)
    aborted: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)  # asked to commit, and the answer never came
    fatal: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.committed) + len(self.aborted) + len(self.unknown)


class Worker:
    """Does one transaction after the other over all partitions of a topic, some of which it aborts, each with an offset for its own
    group: the number of the transaction plus one. Values are `worker:transaction:record:records`."""

    def __init__(self, bootstrap: str, topic: str, number: int, partitions: int, *, abort_every: int = 3, pause_s: float = 0.0,
                 size_bytes: int = 0, keyed: bool = False, config: dict | None = None):
        self.bootstrap, self.topic, self.number, self.partitions = bootstrap, topic, number, partitions
        self.abort_every, self.pause_s = abort_every, pause_s
        self.size_bytes, self.keyed, self.config = size_bytes, keyed, config or {}
        self.outcomes = Outcomes()
        self.failed: BaseException | None = None
        self.told: str = ""  # the last error that was not the end of anything
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_or_say_why_not, daemon=True)

    @property
    def group(self) -> str:
        return f"{self.topic}-group-{self.number}"

    def start(self) -> "Worker":
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 90) -> None:
        self._stopping.set()
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the worker did not end"
        if self.failed:
            raise self.failed

    def _run_or_say_why_not(self) -> None:
        try:
            self._run()
        except BaseException as failed:
            self.failed = failed

    def _run(self) -> None:
        made, number = None, 0
        group = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, **QUIET}).consumer_group_metadata()
        while not self._stopping.is_set():
            if made is None:
                made = producer(self.bootstrap, f"{self.topic}-{self.number}", **self.config)
                self._again(lambda p=made: p.init_transactions(10))
            try:
                self._one(made, number, group)
            except KafkaException as error:
                # Fatal for this producer; the next one ends what it has left open.
                self.outcomes.fatal.append(str(error))
                made = None
            number += 1
            time.sleep(self.pause_s)

    def _one(self, made: Producer, number: int, group) -> None:
        """One transaction; what became of it is in the outcomes, also if this raises."""
        records = random.randrange(1, 12)
        verdict = self.outcomes.aborted
        try:
            made.begin_transaction()
            for i in range(records):
                value = b"%d:%d:%d:%d" % (self.number, number, i, records)
                # Where logs are compacted each record has a key of its own, and stays.
                key = value if self.keyed else None
                made.produce(self.topic, value.ljust(self.size_bytes), key=key, partition=(number + i) % self.partitions)
            # Not called again when the connection breaks under it: librdkafka then waits without an end.
            made.send_offsets_to_transaction([TopicPartition(self.topic, 0, number + 1)], group, 10)
            if number % self.abort_every == 1:
                self._again(lambda: made.abort_transaction(10))
            else:
                verdict = self.outcomes.unknown
                self._again(lambda: made.commit_transaction(10))
                verdict = self.outcomes.committed
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                # Told that it can't be committed; librdkafka says so only when it has not been.
                verdict = self.outcomes.aborted
            elif verdict is not self.outcomes.aborted or not error.args[0].retriable():
                raise
            self._again(lambda: made.abort_transaction(10))
        finally:
            verdict.append(number)

    def _again(self, what: Callable[[], object]) -> None:
        """Calls again what may be called again, for a minute."""
        deadline = time.monotonic() + 60
        while True:
            try:
                what()
                return
            except KafkaException as error:
                self.told = str(error)
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Reader:
    """Reads what is committed from the first record on, all the time, and keeps it: {offset: value} of each partition."""

    def __init__(self, bootstrap: str, topic: str, partitions: int):
        self.bootstrap, self.topic = bootstrap, topic
        self.seen: list[dict[int, bytes]] = [{} for _ in range(partitions)]
        self.errors: list[str] = []
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                                   "auto.offset.reset": "error", "isolation.level": COMMITTED, "fetch.wait.max.ms": 20, **QUIET})
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Reader":
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1000, timeout=0.1):
                if message.error() is None:
                    before = self.seen[message.partition()].setdefault(message.offset(), message.value())
                    if before != message.value():
                        self.errors.append(f"partition {message.partition()}, offset {message.offset()}: {before}, then {message.value()}")
                elif not message.error().retriable():
                    self.errors.append(str(message.error()))
        self._consumer.close()

    def finish(self) -> int:
        """When nothing is written any more: fails unless it has seen just what one finds who reads now. Gives the number of records."""
        now = [dict(read(self.bootstrap, self.topic, partition)) for partition in range(len(self.seen))]
        try:
            eventually("all records", lambda: self.errors or sum(map(len, self.seen)) >= sum(map(len, now)), 60)
        finally:
            self._stopping.set()
            self._thread.join(30)
        assert not self.errors, self.errors[:5]
        for partition, (seen, there) in enumerate(zip(self.seen, now, strict=True)):
            assert seen == there, f"partition {partition}: seen, then not there {sorted(seen.items() - there.items())[:5]}; not seen {sorted(there.items() - seen.items())[:5]}"
        return sum(map(len, now))


class JavaWorker:
    """The same with the stock Java client of one version: a child process that prints what became of each transaction."""

    def __init__(self, bootstrap: str, topic: str, number: int, partitions: int, version: str):
        self.bootstrap, self.topic, self.number, self.partitions = bootstrap, topic, number, partitions
        self.outcomes = Outcomes()
        self.failed: BaseException | None = None
        self._command = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classpath(version),
                         "com.fluxmq.tests.TransactionWorker", bootstrap, topic, str(number), str(partitions)]

    @property
    def group(self) -> str:
        return f"{self.topic}-group-{self.number}"

    def start(self) -> "JavaWorker":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        ended = False
        for line in self._process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind == "fatal":
                self.outcomes.fatal.append(rest)
            elif kind == "end":
                ended = True
            else:
                getattr(self.outcomes, kind).append(int(rest))
        if not ended:
            self.failed = RuntimeError("the Java worker ended, see above")

    def stop(self, timeout_s: float = 90) -> None:
        self._process.stdin.close()
        assert self._process.wait(timeout_s) == 0
        self._thread.join()
        if self.failed:
            raise self.failed


@dataclass
class Account:
    """What readers of committed records find, against what the workers were told."""

    committed: int
    aborted: int
    unknown: int
    visible: int
    lost: list = field(default_factory=list)  # told committed, not or not wholly there
    back: list = field(default_factory=list)  # told aborted, and there
    torn: list = field(default_factory=list)  # there in part
    repeated: int = 0
    offsets: list = field(default_factory=list)  # groups whose offset is not the last visible transaction's

    def assert_kept(self) -> None:
        assert not (self.lost or self.back or self.torn or self.repeated or self.offsets), str(self)

    def __str__(self) -> str:
        return (f"transactions committed {self.committed}, aborted {self.aborted}, unknown {self.unknown}, visible {self.visible}; "
                f"lost {self.lost[:5]}, back {self.back[:5]}, torn {self.torn[:5]}, repeated {self.repeated}, offsets {self.offsets[:5]}")


def account(workers: list[Worker] | list[JavaWorker]) -> Account:
    """Holds the log against the workers, which have stopped."""
    first = workers[0]
    settled(first.bootstrap, first.topic, first.partitions)
    seen: dict[tuple[int, int], set[int]] = {}
    sizes: dict[tuple[int, int], int] = {}
    repeated = 0
    for partition in range(first.partitions):
        for value in values(first.bootstrap, first.topic, partition):
            if not re.match(rb"\d+:\d+:\d+:\d+ *$", value):
                continue  # somebody else's
            worker, number, record, records = map(int, value.split(b":"))
            found = seen.setdefault((worker, number), set())
            repeated += record in found
            found.add(record)
            sizes[worker, number] = records
    result = Account(sum(len(w.outcomes.committed) for w in workers), sum(len(w.outcomes.aborted) for w in workers),
                     sum(len(w.outcomes.unknown) for w in workers), len(seen), repeated=repeated)
    result.torn = [at for at, found in seen.items() if len(found) != sizes[at]]
    for worker in workers:
        visible = {number for at, number in seen if at == worker.number}
        result.lost += [(worker.number, n) for n in worker.outcomes.committed if n not in visible]
        result.back += [(worker.number, n) for n in worker.outcomes.aborted if n in visible]
        offset = committed(worker.bootstrap, worker.group).get((worker.topic, 0), 0)
        if offset != max(visible, default=-1) + 1:
            result.offsets.append((worker.group, offset, max(visible, default=-1) + 1))
    return result
