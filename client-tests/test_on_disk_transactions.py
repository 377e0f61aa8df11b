"""Segments with transactions are Kafka's: its dump tool finds nothing wrong with them, and who reads them from the other server finds the
same, whether that server trusts what lies beside the records or makes it anew."""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Producer

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.kafka import Kafka, tool
from harness.members import create_topic, eventually
from harness.on_disk import dump_all, replace
from harness.transactions import COMMITTED, UNCOMMITTED, end, read, ready

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
RECORDS_OF_A_BATCH = 60
pytestmark = pytest.mark.timeout(300)


@dataclass
class Transaction:
    """Its records as (offset, value), and how it ended; it is open before."""

    records: list[tuple[int, bytes]] = field(default_factory=list)
    committed: bool | None = None

    @property
    def first(self) -> int:
        return self.records[0][0]


class Writer:
    """A producer, and the transactions that it has written to one partition."""

    def __init__(self, bootstrap: str, topic: str, name: str, codec: str):
        self.topic, self.name, self.transactions = topic, name, []
        # Nobody ends what is left open as long as the test looks at it.
        self.producer: Producer = ready(bootstrap, f"{topic}-{name}", **{"compression.type": codec, "transaction.timeout.ms": 900_000})

    @property
    def open(self) -> Transaction | None:
        return self.transactions[-1] if self.transactions and self.transactions[-1].committed is None else None

    def write(self) -> None:
        """A batch, in the open transaction or a new one."""
        if self.open is None:
            self.producer.begin_transaction()
            self.transactions.append(Transaction())
        into = self.open.records
        for i in range(RECORDS_OF_A_BATCH):
            value = b"%s %d %d " % (self.name.encode(), len(self.transactions), i) + random.randbytes(400) + b"y" * 400
            self.producer.produce(self.topic, value, partition=0, on_delivery=lambda _, m, v=value: into.append((m.offset(), v)))
        assert self.producer.flush(30) == 0

    def end(self, commit: bool) -> None:
        if commit:
            self.producer.commit_transaction(30)
        else:
            self.producer.abort_transaction(30)
        self.open.committed = commit


class Written:
    """Transactions of six producers, all codecs among them, that overlap in one partition; they end in any order, some batches and
    segments after they began. The last one stays open, and others end behind it."""

    def __init__(self, bootstrap: str, topic: str):
        writers = [Writer(bootstrap, topic, codec, codec) for codec in CODECS]
        for _ in range(220):
            writer = random.choice(writers)
            if writer.open and random.random() < 0.3:
                writer.end(random.random() < 0.6)
            else:
                writer.write()
        left = Writer(bootstrap, topic, "left", "none")
        left.write()
        for writer in writers:
            writer.write()
            writer.end(writer is not writers[2])
        self._writers = [*writers, left]  # kept, so that none ends
        self.left = left.open
        self.transactions = sorted((t for w in self._writers for t in w.transactions), key=lambda t: t.first)
        eventually("the markers", lambda: end(bootstrap, topic, isolation=UNCOMMITTED) == self.end)

    @property
    def end(self) -> int:
        return sum(len(t.records) + (t.committed is not None) for t in self.transactions)

    def records(self, isolation: str) -> list[tuple[int, bytes]]:
        """What readers find, in order: of what is committed, all before the first transaction that is open."""
        if isolation == UNCOMMITTED:
            return sorted(r for t in self.transactions for r in t.records)
        stable = min((t.first for t in self.transactions if t.committed is None), default=self.end)
        return sorted(r for t in self.transactions if t.committed for r in t.records if r[0] < stable)

    def assert_found(self, bootstrap: str, topic: str) -> None:
        # A Kafka that has just started has the high watermark of its checkpoint for a moment.
        eventually("all records", lambda: end(bootstrap, topic, isolation=UNCOMMITTED) == self.end)
        for isolation in (UNCOMMITTED, COMMITTED):
            found, expected = read(bootstrap, topic, isolation=isolation), self.records(isolation)
            assert [offset for offset, _ in found] == [offset for offset, _ in expected], isolation
            assert found == expected, isolation


@dataclass
class Logged:
    """A transaction as the log has it."""

    producer_id: int
    first: int
    committed: bool | None = None
    marker: int | None = None
    stable: int | None = None  # where readers of what is committed have got to with the marker


def logged(logs: list[Path]) -> list[Logged]:
    """The transactions of a log, in the order of their markers; those without one are the last."""
    open_: dict[int, Logged] = {}
    ended = []
    for line in "".join(dump_all(logs, "--deep-iteration")).splitlines():
        if batch := re.match(r"baseOffset: (\d+) .*producerId: (\d+) .*isTransactional: true isControl: (true|false)", line):
            producer_id = int(batch[2])
            if batch[3] == "false":
                open_.setdefault(producer_id, Logged(producer_id, int(batch[1])))
        elif marker := re.match(r"\| offset: (\d+) .*endTxnMarker: (COMMIT|ABORT)", line):
            transaction = open_.pop(producer_id)
            transaction.committed, transaction.marker = marker[2] == "COMMIT", int(marker[1])
            transaction.stable = min((t.first for t in open_.values()), default=transaction.marker + 1)
            ended.append(transaction)
    return ended + list(open_.values())


def assert_dumped(partition: Path, written: Written) -> None:
    """Every file passes the dump tool and says of the transactions what the others say."""
    logs, indexes, snapshots = (sorted(partition.glob(f"*.{kind}")) for kind in ("log", "txnindex", "snapshot"))
    found = logged(logs)
    assert sorted((t.first, t.committed) for t in found) == [(t.first, t.committed) for t in written.transactions]
    bases = [int(log.stem) for log in logs]

    def segment(offset: int) -> int:
        return max(base for base in bases if base <= offset)
    aborted = [t for t in found if t.committed is False]
    assert len(logs) > 4 and any(segment(t.first) != segment(t.marker) for t in aborted), "transactions cross segments"
    entries = [(int(index.stem), *map(int, entry)) for index, dumped in zip(indexes, dump_all(indexes), strict=True) for entry in re.findall(
        r"version: 0 producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", dumped)]
    assert entries == [(segment(t.marker), t.producer_id, t.first, t.marker, t.stable) for t in aborted]
    assert int(snapshots[-1].stem) == written.end
    for snapshot, dumped in zip(snapshots, dump_all(snapshots), strict=True):
        at = int(snapshot.stem)
        states = re.findall(r"producerId: (\d+) .* currentTxnFirstOffset: OptionalLong\[(\d+)\]", dumped)
        open_then = [(t.producer_id, t.first) for t in found if t.first < at and (t.marker is None or t.marker >= at)]
        assert sorted((int(producer), int(first)) for producer, first in states) == sorted(open_then), snapshot.name


def txn_indexes(partition: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(partition.glob("*.txnindex")) if file.stat().st_size}


@pytest.mark.parametrize("ours", [True, False], ids=["ours-served-by-kafka", "kafkas-served-by-us"])
def test_transactions_are_read_the_same(tmp_path, topic, ours):
    broker, kafka = Broker(tmp_path / "data", overrides=TRANSACTION_SETTINGS), Kafka(tmp_path / "kafka", TRANSACTION_SETTINGS)
    writes, serves = (broker, kafka) if ours else (kafka, broker)
    with broker.start(), kafka.start():
        for server in (writes, serves):
            create_topic(server.bootstrap, topic, 1, **{"segment.bytes": str(1 << 20), "index.interval.bytes": "1000"})
        written = Written(writes.bootstrap, topic)
        written.assert_found(writes.bootstrap, topic)
        writes.stop()
        serves.stop()
        source, target = (server.data_dir / f"{topic}-0" for server in (writes, serves))
        assert_dumped(source, written)
        # Without its mark of a clean stop the server goes through the records; its checkpoints speak of a partition that was empty.
        replace(target, source, ".txnindex", ".snapshot", ".index", ".timeindex")
        (serves.data_dir / ".kafka_cleanshutdown").unlink()
        serves.start()
        written.assert_found(serves.bootstrap, topic)
        serves.stop()
        assert txn_indexes(target) == txn_indexes(source)
        # With the mark it takes the files as they are.
        replace(target, source)
        serves.start()
        written.assert_found(serves.bootstrap, topic)
        # There the open transaction hangs: nobody coordinates it.
        tool("kafka-transactions", "--bootstrap-server", serves.bootstrap, "abort", "--topic", topic, "--partition", 0,
             "--start-offset", written.left.first)
        written.left.committed = False
        written.assert_found(serves.bootstrap, topic)
        serves.stop()
        assert [(t.first, t.committed) for t in logged(sorted(target.glob("*.log")))][-1] == (written.left.first, False)
