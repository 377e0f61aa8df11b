"""What the operating system refuses: files that may not be read, a directory that is read-only, no more open files, and a partition's
directory that somebody removes. Each costs as little as it can."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import Broker
from harness.ledger import LedgerProducer, account, read_partition
from harness.members import create_topic, eventually
from harness.transactions import QUIET, read

# Root may do everything, unless it gives these up.
PREFIX = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
SEGMENT_BYTES = str(1 << 20)
UNHURRIED = {"queue.buffering.max.messages": 500, "linger.ms": 20}


@pytest.fixture
def refusing(tmp_path):
    """The file system asks for permissions."""
    probe = tmp_path / "probe"
    probe.touch(0)
    ended = subprocess.run([*PREFIX, "cat", str(probe)], capture_output=True)
    if b"Permission denied" not in ended.stderr:
        pytest.skip(f"permissions can't be tried here: {ended.stderr.decode()}")


@pytest.fixture
def as_before():
    """Gives files their permissions back in the end, so that they can be removed."""
    changed: list[tuple[Path, int]] = []

    def change(path: Path, mode: int) -> None:
        changed.append((path, path.stat().st_mode))
        path.chmod(mode)
    yield change
    for path, mode in changed:
        if path.exists():
            path.chmod(mode)


def write(bootstrap: str, topic: str, partition: int, count: int, timeout_ms: int = 4000) -> list[int | None]:
    """What became of the records: the code of an error or None for each."""
    outcomes = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": timeout_ms, "batch.num.messages": 20, **QUIET})
    for i in range(count):
        producer.produce(topic, b"%d " % i + b"x" * 900, partition=partition,
                         on_delivery=lambda error, _: outcomes.append(error and error.code()))
    producer.flush(30)
    return outcomes


def first_answer(bootstrap: str, topic: str, offset: int) -> int | None:
    """The code of the error that a reader of partition 0 is given at this offset, or None if it is given a record; that its time is
    up, where librdkafka goes on trying."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "auto.offset.reset": "error", "fetch.wait.max.ms": 50,
                         **QUIET})
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        message = consumer.poll(3)
        return KafkaError._TIMED_OUT if message is None else message.error() and message.error().code()
    finally:
        consumer.close()


def assert_serves(broker: Broker, topic: str, partition: int, before: list) -> list:
    """The partition has what it had, and takes more. Gives what it has now."""
    assert read(broker.bootstrap, topic, partition)[:len(before)] == before
    assert write(broker.bootstrap, topic, partition, 10) == [None] * 10
    return read(broker.bootstrap, topic, partition)


@pytest.mark.parametrize("ends", [Broker.stop, Broker.kill], ids=["stopped", "killed"])
def test_a_log_that_may_not_be_read_costs_its_partition(tmp_path, topic, refusing, as_before, ends):
    broker = Broker(tmp_path / "data", prefix=PREFIX)
    with broker.start():
        create_topic(broker.bootstrap, topic, 2)
        for partition in range(2):
            assert write(broker.bootstrap, topic, partition, 500) == [None] * 500
        closed, other = (read(broker.bootstrap, topic, partition) for partition in range(2))
        ends(broker)
        log = broker.data_dir / f"{topic}-0" / f"{0:020}.log"
        as_before(log, 0)
        broker.start()
        assert broker.metrics()["fluxmq_offline_partitions"] == 1
        assert broker.metrics()["fluxmq_log_dir_offline"] == 0
        said = [line for line in broker.tail().splitlines() if "ERROR" in line]
        assert len(said) == 1 and f"{topic}-0" in said[0] and "Permission denied" in said[0], said
        other = assert_serves(broker, topic, 1, other)
        assert write(broker.bootstrap, topic, 0, 1) == [KafkaError._MSG_TIMED_OUT], "there is no leader to send it to"
        broker.stop()
        log.chmod(0o644)
        broker.start()
        assert broker.metrics()["fluxmq_offline_partitions"] == 0
        assert_serves(broker, topic, 0, closed)
        assert_serves(broker, topic, 1, other)
        broker.stop()


@pytest.mark.parametrize("before", ["new", "stopped", "killed"])
def test_a_directory_that_is_read_only_is_not_served(tmp_path, topic, refusing, as_before, before):
    broker = Broker(tmp_path / "data", prefix=PREFIX)
    if before == "new":
        broker.data_dir.mkdir()
    else:
        with broker.start():
            create_topic(broker.bootstrap, topic, 1)
            assert write(broker.bootstrap, topic, 0, 100) == [None] * 100
            (broker.stop if before == "stopped" else broker.kill)()
    had = sorted(path.relative_to(broker.data_dir) for path in broker.data_dir.rglob("*"))
    as_before(broker.data_dir, 0o555)
    broker.log.unlink(missing_ok=True)
    broker.launch()
    try:
        code = broker.process.wait(10)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it started:\n{broker.tail()}")
    finally:
        broker.kill()
    said = broker.tail().splitlines()
    assert code == 2, said
    last = said[-1]
    assert last.startswith("fluxmq: ") and str(broker.data_dir) in last and "Permission denied" in last, said
    assert "writ" in last, f"what to do about it: {last}"
    assert not any("panic" in line or "RUST_BACKTRACE" in line for line in said), said
    assert sum("Permission denied" in line for line in said) == 1, said
    assert had == sorted(path.relative_to(broker.data_dir) for path in broker.data_dir.rglob("*")), "nothing is changed"
    broker.data_dir.chmod(0o755)
    with broker.start():
        if before != "new":
            assert len(read(broker.bootstrap, topic)) == 100
        broker.stop()


def answered(port: int, timeout_s: float = 0.5) -> socket.socket | None:
    """A connection on which ApiVersions was answered."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    try:
        connection.sendall(bytes.fromhex("0000000a" "0012" "0000" "00000001" "ffff"))
        if connection.recv(4096):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def use_up_open_files(broker: Broker) -> list[socket.socket]:
    """Connections until one more isn't answered."""
    idle = []
    while connection := answered(broker.port):
        idle.append(connection)
        assert len(idle) < 80
    assert len(idle) > 10
    eventually("the line that says so", lambda: "Too many open files" in broker.log.read_text())
    return idle


def assert_kept_after_a_kill(broker: Broker, topic: str, producer: LedgerProducer) -> None:
    assert not producer.refused, producer.refused[:3]
    assert broker.metrics()["fluxmq_log_dir_offline"] == 0 and broker.metrics()["fluxmq_offline_partitions"] == 0
    for _ in range(2):
        result = account(producer.acknowledged, read_partition(broker.bootstrap, topic, 0))
        result.assert_kept()
        assert result.found == result.acknowledged == producer.sent
        broker.kill()
        broker.start()


def test_connections_that_use_up_the_open_files_cost_new_ones_only(tmp_path, topic):
    broker = Broker(tmp_path / "data", prefix=["prlimit", "--nofile=80:80"])
    with broker.start():
        create_topic(broker.bootstrap, topic, 1)
        producer = LedgerProducer(broker.bootstrap, topic, 0, size_bytes=500, config=UNHURRIED).start()
        eventually("acknowledgements", lambda: len(producer.acknowledged) > 1000)
        idle = use_up_open_files(broker)
        before = len(producer.acknowledged)
        eventually("acknowledgements", lambda: len(producer.acknowledged) > before + 10_000)
        assert answered(broker.port) is None, "there is still no room"
        for connection in idle:
            connection.close()
        eventually("a new client", lambda: answered(broker.port))
        producer.stop()
        assert_kept_after_a_kill(broker, topic, producer)


def stands_still(producer: LedgerProducer, for_s: float = 1) -> bool:
    before = len(producer.acknowledged)
    time.sleep(for_s)
    return len(producer.acknowledged) == before


def test_a_roll_without_open_files_waits_for_some(tmp_path, topic):
    broker = Broker(tmp_path / "data", prefix=["prlimit", "--nofile=80:80"], overrides={"log.segment.bytes": SEGMENT_BYTES})
    with broker.start():
        create_topic(broker.bootstrap, topic, 1)
        producer = LedgerProducer(broker.bootstrap, topic, 0, size_bytes=500, config=UNHURRIED | {"retry.backoff.max.ms": 200}).start()
        eventually("acknowledgements", lambda: len(producer.acknowledged) > 1000)
        idle = use_up_open_files(broker)
        # A segment can't be made, or the name of one that was made ahead can't be synced.
        eventually("a standstill", lambda: stands_still(producer))
        before = len(producer.acknowledged)
        for connection in idle:
            connection.close()
        # Not only once the producer's requests have timed out, after 30 s.
        eventually("acknowledgements", lambda: len(producer.acknowledged) > before + 10_000, timeout_s=10)
        producer.stop()
        assert_kept_after_a_kill(broker, topic, producer)


def read_all(bootstrap: str, topic: str, partitions: int) -> dict[int, list[bytes]]:
    """The values in each partition that has some."""
    found, ends = {}, set()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": True, "fetch.wait.max.ms": 50,
                         **QUIET})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    deadline = time.monotonic() + 30
    while len(ends) < partitions:
        for message in consumer.consume(1000, timeout=0.5):
            if message.error() is None:
                found.setdefault(message.partition(), []).append(message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends.add(message.partition())
        assert time.monotonic() < deadline, f"the ends of {len(ends)} partitions found"
    consumer.close()
    return found


@pytest.mark.parametrize("ends", [Broker.stop, Broker.kill], ids=["stopped", "killed"])
def test_partitions_beyond_the_open_files_are_refused_and_the_others_go_on(tmp_path, topic, ends):
    broker = Broker(tmp_path / "data", prefix=["prlimit", "--nofile=80:80"])
    partitions = 100
    with broker.start():
        create_topic(broker.bootstrap, topic + "-first", 1)
        steady = LedgerProducer(broker.bootstrap, topic + "-first", 0, config=UNHURRIED).start()
        eventually("acknowledgements", lambda: len(steady.acknowledged) > 100)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, **QUIET})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
        outcomes = {}

        def delivered(error, message) -> None:
            outcomes[message.partition()] = error.code() if error else message.offset()
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "message.timeout.ms": 3000, **QUIET})
        for partition in range(partitions):
            producer.produce(topic, b"%d" % partition, partition=partition, on_delivery=delivered)
            producer.poll(0.005)
        assert producer.flush(20) == 0
        kept = [p for p, outcome in outcomes.items() if outcome == 0]
        refused = {outcome for outcome in outcomes.values() if outcome != 0}
        # Tried again until there is no time left.
        assert len(outcomes) == partitions and len(kept) > 10 and refused == {KafkaError._MSG_TIMED_OUT}, outcomes
        before = len(steady.acknowledged)
        eventually("the others", lambda: len(steady.acknowledged) > before + 1000)
        assert "Too many open files" in broker.log.read_text(), broker.tail()
        steady.stop()
        assert not steady.refused
        ends(broker)
        # Nothing is wrong with the disk, and a log can be closed once others are.
        assert "offline" not in broker.log.read_text(), broker.tail()
        broker.prefix = []
        broker.start()
        found = read_all(broker.bootstrap, topic, partitions)
        assert all(values == [b"%d" % p] for p, values in found.items()), "what wasn't acknowledged was written nowhere, or in its place"
        assert set(found) >= set(kept), set(kept) - set(found)
        account(steady.acknowledged, read_partition(broker.bootstrap, topic + "-first", 0)).assert_kept()
        assert write(broker.bootstrap, topic, partitions - 1, 10) == [None] * 10
        broker.stop()


@pytest.mark.parametrize("open_segments", [1000, 1])
def test_a_directory_that_is_removed_under_a_broker_costs_its_partition(tmp_path, topic, open_segments):
    broker = Broker(tmp_path / "data", overrides={"log.segment.bytes": SEGMENT_BYTES, "log.open.segments.max": str(open_segments)})
    with broker.start():
        other = removed_under(broker, topic)
        if open_segments == 1:
            # It has to be opened, and is named once: whoever asks again is told the same.
            for _ in range(2):
                assert first_answer(broker.bootstrap, topic, 0) == KafkaError._TIMED_OUT, "KAFKA_STORAGE_ERROR is tried again"
            assert len(re.findall(rf"ERROR.*can't be read.*{topic}-0", broker.log.read_text())) == 1, broker.tail()
        else:
            assert first_answer(broker.bootstrap, topic, 0) is None, "it is open"
        assert broker.metrics()["fluxmq_log_dir_offline"] == 0
        assert_serves_after_a_kill(broker, topic, other)


def test_a_roll_in_a_directory_that_is_removed_takes_the_log_directory_offline(tmp_path, topic):
    """As in Kafka: a file that can't be made may be the first sign that the disk is gone."""
    broker = Broker(tmp_path / "data", overrides={"log.segment.bytes": SEGMENT_BYTES})
    with broker.start():
        other = removed_under(broker, topic)
        assert KafkaError._MSG_TIMED_OUT in write(broker.bootstrap, topic, 0, 3_000, timeout_ms=3000)
        assert f"{topic}-0" in "".join(re.findall("ERROR.*", broker.log.read_text())), broker.tail()
        assert broker.metrics()["fluxmq_log_dir_offline"] == 1, broker.tail(5)
        assert broker.process.poll() is None, "it lives"
        broker.kill()
        broker.start()
        assert_serves_after_a_kill(broker, topic, other)


def removed_under(broker: Broker, topic: str) -> list:
    """Writes a few segments to two partitions and removes the first one's directory. Gives what is in the other."""
    create_topic(broker.bootstrap, topic, 2)
    for partition in range(2):
        assert write(broker.bootstrap, topic, partition, 4_000) == [None] * 4_000
    other = read(broker.bootstrap, topic, 1)
    removed = broker.data_dir / f"{topic}-0"
    eventually("rolled segments on the disk", lambda: len(list(removed.glob("*.snapshot"))) >= 3)
    shutil.rmtree(removed)
    return other


def assert_serves_after_a_kill(broker: Broker, topic: str, other: list) -> None:
    """The other partition serves; after a start it does too, and the one whose directory was removed begins anew."""
    assert broker.process.poll() is None, "it lives"
    other = assert_serves(broker, topic, 1, other)
    broker.kill()
    broker.start()
    assert broker.metrics()["fluxmq_offline_partitions"] == 0
    assert_serves(broker, topic, 1, other)
    assert read(broker.bootstrap, topic, 0) == []
    assert write(broker.bootstrap, topic, 0, 10) == [None] * 10
    broker.stop()
