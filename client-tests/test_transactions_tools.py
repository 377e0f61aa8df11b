"""Kafka's own tools for transactions: what they list, find and abort, and what they read from the logs."""

import json
import re

import pytest

from conftest import TRANSACTION_SETTINGS
from differential.records import batch
from differential.schema import Schemas
from differential.session import Session
from differential.transactions import THEN, TRANSACTIONAL
from harness.kafka import ToolShell, jar
from harness.members import create_topic, eventually
from harness.transactions import Worker, account, end, read, ready, settled, transaction, values, UNCOMMITTED

pytestmark = pytest.mark.timeout(240)
SETTINGS = TRANSACTION_SETTINGS | {
    "transaction.state.log.num.partitions": "1",
    # A broker that verifies lets no transaction hang that its coordinator doesn't know of.
    "transaction.partition.verification.enable": "false",
}


@pytest.fixture(scope="module")
def server(server_in, tmp_path_factory):
    with server_in(tmp_path_factory.mktemp("server"), **SETTINGS).start() as running:
        yield running


@pytest.fixture(scope="module")
def shell():
    shell = ToolShell()
    yield shell
    shell.close()


@pytest.fixture
def run(server, shell):
    """Runs a tool against the server; gives what it printed."""
    def run(tool: str, *words: object, check: bool = True) -> str:
        done = shell.run(tool, "--bootstrap-server", server.bootstrap, *words)
        assert not check or done.status == 0, f"{tool} {words}: {done}"
        return done.out if done.status == 0 else done.out + done.err
    return run


def row(printed: str, **wanted: str) -> dict[str, str]:
    """The row of a tool's table in which these columns have these values."""
    header, *lines = [line.split() for line in printed.splitlines() if line.strip()]
    rows = [dict(zip(header, line, strict=False)) for line in lines]
    (found,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return found


def test_what_is_open_is_listed_and_described(server, run, topic):
    create_topic(server.bootstrap, topic, 2)
    made = ready(server.bootstrap, topic, **{"transaction.timeout.ms": 45_000})
    made.begin_transaction()
    for partition in range(2):
        made.produce(topic, b"x", partition=partition)
    assert made.flush(20) == 0
    listed = row(run("kafka-transactions", "list"), TransactionalId=topic)
    assert listed["TransactionState"] == "Ongoing" and listed["Coordinator"] == "1"
    described = row(run("kafka-transactions", "describe", "--transactional-id", topic), TransactionalId=topic)
    assert described["TransactionState"] == "Ongoing" and described["TransactionTimeoutMs"] == "45000"
    assert described["ProducerId"] == listed["ProducerId"] and set(described["TopicPartitions"].split(",")) == {f"{topic}-0", f"{topic}-1"}
    producers = row(run("kafka-transactions", "describe-producers", "--topic", topic, "--partition", 1), ProducerId=listed["ProducerId"])
    assert producers["CurrentTransactionStartOffset"] == "0" and producers["LastSequence"] == "0"
    made.commit_transaction(20)
    eventually("the commit", lambda: row(run("kafka-transactions", "list"), TransactionalId=topic)["TransactionState"] == "CompleteCommit")
    producers = row(run("kafka-transactions", "describe-producers", "--topic", topic, "--partition", 1), ProducerId=listed["ProducerId"])
    assert producers["CurrentTransactionStartOffset"] == "None"
    assert row(run("kafka-transactions", "list", "--duration-filter", 0), TransactionalId=topic)
    unknown = run("kafka-transactions", "describe", "--transactional-id", topic + "-nobody", check=False)
    assert "TransactionalIdNotFoundException" in unknown or "transactionalId" in unknown, unknown


def test_a_hanging_transaction_is_found_and_aborted(server, run, topic):
    create_topic(server.bootstrap, topic, 1, **{"retention.ms": "-1"})
    made = ready(server.bootstrap, topic + "-good")
    transaction(made, True, topic, [b"before"])
    settled(server.bootstrap, topic)
    session = Session(Schemas(jar("kafka-clients")), server.bootstrap.split(":")[0], server.port, prefix=topic)
    session.topic = lambda name="topic": topic
    given = session.send("InitProducerId", 4, {"TransactionalId": topic, "TransactionTimeoutMs": 60_000})
    # Never added to the transaction: its coordinator will not end it.
    written = session.produce(batch([b"hanging"], timestamp=THEN, producer_id=given["ProducerId"], producer_epoch=given["ProducerEpoch"],
                                    base_sequence=0, attributes=TRANSACTIONAL), transactional_id=topic, version=9)
    assert written["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0, written
    session.close_all()
    transaction(made, True, topic, [b"after"])
    assert end(server.bootstrap, topic) == 2
    for words in (["--broker-id", 1], ["--topic", topic], ["--topic", topic, "--partition", 0]):
        found = row(run("kafka-transactions", "find-hanging", *words), Topic=topic)
        assert (found["Partition"], found["ProducerId"], found["StartOffset"]) == ("0", str(given["ProducerId"]), "2"), found
    run("kafka-transactions", "abort", "--topic", topic, "--partition", 0, "--start-offset", 2)
    settled(server.bootstrap, topic)
    assert values(server.bootstrap, topic) == [b"before", b"after"]
    assert values(server.bootstrap, topic, isolation=UNCOMMITTED) == [b"before", b"hanging", b"after"]
    assert topic not in run("kafka-transactions", "find-hanging", "--broker-id", 1)
    nothing = run("kafka-transactions", "abort", "--topic", topic, "--partition", 0, "--start-offset", 2, check=False)
    assert "Could not find any open transactions starting at offset 2" in nothing, nothing


def test_a_transaction_is_ended_by_force(server, run, topic):
    create_topic(server.bootstrap, topic)
    made = ready(server.bootstrap, topic)
    made.begin_transaction()
    made.produce(topic, b"x", partition=0)
    assert made.flush(20) == 0
    run("kafka-transactions", "forceTerminateTransaction", "--transactionalId", topic)
    settled(server.bootstrap, topic)
    assert values(server.bootstrap, topic) == []


def test_consoles_and_the_perf_test(server, run, topic):
    create_topic(server.bootstrap, topic)
    made = ready(server.bootstrap, topic)
    transaction(made, False, topic, [b"aborted"])
    transaction(made, True, topic, [b"committed"])
    settled(server.bootstrap, topic)
    at = ("--topic", topic, "--partition", 0, "--offset", "earliest", "--timeout-ms", 3000, "--isolation-level")
    assert run("kafka-console-consumer", *at, "read_committed").split() == ["committed"]
    assert run("kafka-console-consumer", *at, "read_uncommitted").split() == ["aborted", "committed"]
    out = run("kafka-producer-perf-test", "--topic", topic, "--num-records", 2000, "--record-size", 100, "--throughput", -1,
              "--transactional-id", topic + "-perf", "--transaction-duration-ms", 50)
    assert "2000 records sent" in out
    settled(server.bootstrap, topic)
    assert len(read(server.bootstrap, topic)) == 2001


def test_the_log_of_the_coordinator_is_read(server, run, shell, topic):
    create_topic(server.bootstrap, topic)
    made = ready(server.bootstrap, topic)
    transaction(made, True, topic, [b"x"])
    transaction(made, False, topic, [b"y"])
    settled(server.bootstrap, topic)
    states = ["Empty", "Ongoing", "PrepareCommit", "CompleteCommit", "Ongoing", "PrepareAbort", "CompleteAbort"]
    printed = run("kafka-console-consumer", "--topic", "__transaction_state", "--from-beginning", "--timeout-ms", 3000,
                  "--formatter", "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter")
    records = [json.loads(line) for line in printed.replace('}{"key"', '}\n{"key"').splitlines() if f'"{topic}"' in line]
    numbers = {0: "Empty", 1: "Ongoing", 2: "PrepareCommit", 3: "PrepareAbort", 4: "CompleteCommit", 5: "CompleteAbort"}
    assert [numbers[r["value"]["data"]["transactionStatus"]] for r in records] == states, records
    assert {r["value"]["version"] for r in records} == {1}
    # librdkafka speaks no version of EndTxn that bumps the epoch; partitions are there from the first record to the marker.
    assert [len(r["value"]["data"]["transactionPartitions"] or []) for r in records] == [0, 1, 1, 0, 1, 1, 0], records
    log = max((server.data_dir / "__transaction_state-0").glob("*.log"))
    dumped = shell.run("kafka-dump-log", "--transaction-log-decoder", "--print-data-log", "--files", log).out
    decoded = re.findall(rf'{re.escape(topic)}\b.*?state[":= ]+(\w+)|"{re.escape(topic)}".*?"transactionStatus":(\d)', dumped)
    assert [named or numbers[int(number)] for named, number in decoded] == states, dumped[-3000:]


def test_the_logs_and_the_index_of_aborted_transactions_are_read(server_in, tmp_path, shell, topic):
    with server_in(tmp_path, **SETTINGS).start() as server:
        create_topic(server.bootstrap, topic, 1, **{"segment.bytes": str(1 << 20)})
        made = ready(server.bootstrap, topic)
        for round_ in range(40):
            transaction(made, round_ % 4 == 0, topic, [b"%d " % round_ + b"x" * 1000] * 60)
        settled(server.bootstrap, topic)
        # FluxMQ writes the indexes of an active segment when it is closed.
        server.stop()
    partition = server.data_dir / f"{topic}-0"
    commits = aborts = 0
    for log in sorted(partition.glob("*.log")):
        dumped = shell.run("kafka-dump-log", "--deep-iteration", "--files", log).out
        assert not re.search(r"(?i)mismatch|corrupt|non-consecutive|exception|isvalid: false", dumped), dumped[-3000:]
        commits += dumped.count("endTxnMarker: COMMIT")
        aborts += dumped.count("endTxnMarker: ABORT")
    assert (commits, aborts) == (10, 30)
    indices = sorted(partition.glob("*.txnindex"))
    assert len(indices) > 1
    found = []
    for index in indices:
        dumped = shell.run("kafka-dump-log", "--files", index)
        assert dumped.status == 0, dumped
        found += [tuple(map(int, m)) for m in re.findall(r"firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", dumped.out)]
    expected = [(r * 61, r * 61 + 60) for r in range(40) if r % 4]
    assert [f[:2] for f in found] == expected, found
    assert all(first <= stable for first, _, stable in found)
    for snapshot in partition.glob("*.snapshot"):
        assert "producerId:" in shell.run("kafka-dump-log", "--files", snapshot).out


@pytest.mark.parametrize("version", [1, 0])
def test_older_versions_of_transactions(server_in, tmp_path, shell, topic, version):
    with server_in(tmp_path, **SETTINGS).start() as server:
        at = ("--bootstrap-server", server.bootstrap)
        def features(*words) -> str:
            done = shell.run("kafka-features", *at, *words)
            assert done.status == 0, done
            return done.out
        create_topic(server.bootstrap, topic, 2)
        def some() -> None:
            """Transactions under the version that is."""
            workers = [Worker(server.bootstrap, topic + f"-{len(taken)}", number, 2).start() for number in range(2)]
            taken.append(workers)
            eventually("transactions", lambda: all(worker.outcomes.count >= 10 or worker.failed for worker in workers), 60)
            for worker in workers:
                worker.stop()
            result = account(workers)
            result.assert_kept()
            assert result.visible == result.committed
        taken: list = []
        for round_ in range(3):
            create_topic(server.bootstrap, topic + f"-{round_}", 2)
        assert re.search(r"transaction\.version\s.*FinalizedVersionLevel: 2\b", features("describe"))
        some()
        features("downgrade", "--feature", f"transaction.version={version}")
        eventually("the version", lambda: re.search(rf"transaction\.version\s.*FinalizedVersionLevel: {version}\b", features("describe")))
        some()
        features("upgrade", "--feature", "transaction.version=2")
        some()
