"""Transactions that one process prepares and another one commits, on the Java client and by reflection, as Flink's sink does it."""

import subprocess

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.java import classpath
from harness.members import create_topic
from harness.transactions import UNCOMMITTED, end, settled, values

pytestmark = pytest.mark.timeout(180)


def pytest_generate_tests(metafunc):
    if "version" in metafunc.fixturenames:
        metafunc.parametrize("version", ["4.4.0", *(["4.3.0", "3.6.0"] if metafunc.config.getoption("--all") else [])])


class Process:
    """One that prepares transactions and resumes those of others."""

    def __init__(self, server, version: str):
        self._process = subprocess.Popen(
            ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", classpath(version),
             "com.fluxmq.tests.PreparedTransactions", server.bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words: object) -> list[str]:
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().split()

    def prepare(self, id_: str, topic: str, first: int, last: int) -> tuple[int, int]:
        answer = self.ask("prepare", id_, topic, first, last)
        assert answer[0] == "prepared", answer
        return int(answer[1]), int(answer[2])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_exc) -> None:
        self.kill()


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % i for i in range(first, last)]


FENCED = ["refused", "ProducerFencedException"]


def ways(version: str) -> list[str]:
    """How a client may end a transaction that it has not begun; see PreparedTransactions."""
    return ["old", "new", "learns"] if version >= "4" else ["old"]


def test_resumed_after_the_process_died(transactions, topic, version):
    """Several at once, each prepared under an id of its own."""
    create_topic(transactions.bootstrap, topic)
    cases = [(way, verdict) for verdict in ("commit", "abort") for way in ways(version)]
    with Process(transactions, version) as died:
        given = [died.prepare(f"{topic}-{i}", topic, i * 10, i * 10 + 10) for i in range(len(cases))]
    assert end(transactions.bootstrap, topic) == 0, "open"
    with Process(transactions, version) as next_:
        for i, (way, verdict) in reversed(list(enumerate(cases))):
            assert next_.ask("resume", f"{topic}-{i}", *given[i], verdict, way) == ["done"]
            # Again and again, as whoever restores the same checkpoint several times. Who has a higher epoch by now fences itself.
            for _ in range(2):
                assert next_.ask("resume", f"{topic}-{i}", *given[i], verdict, way) == (["done"] if way != "learns" else FENCED)
            other = "abort" if verdict == "commit" else "commit"
            refused = next_.ask("resume", f"{topic}-{i}", *given[i], other, way)
            assert refused == (["refused", "InvalidTxnStateException"] if way != "learns" else FENCED)
        settled(transactions.bootstrap, topic)
        expected = numbers(0, len(cases) // 2 * 10)
        assert values(transactions.bootstrap, topic) == expected
        assert len(values(transactions.bootstrap, topic, isolation=UNCOMMITTED)) == len(cases) * 10
        for i, (way, _) in enumerate(cases):
            # The end in the new way raises the epoch, and so does who asks for the id (KIP-890).
            again = next_.prepare(f"{topic}-{i}", topic, 100 + i, 101 + i)
            assert again == (given[i][0], given[i][1] + (1 if way == "old" else 2))
            assert next_.ask("commit", f"{topic}-{i}") == ["done"]
            expected += numbers(100 + i, 101 + i)
        settled(transactions.bootstrap, topic)
        assert values(transactions.bootstrap, topic) == expected


def test_committed_by_the_one_and_again_by_the_other(transactions, topic, version):
    create_topic(transactions.bootstrap, topic)
    with Process(transactions, version) as first, Process(transactions, version) as second:
        for round_, way in enumerate(ways(version)):
            given = first.prepare(topic, topic, round_ * 10, round_ * 10 + 10)
            assert first.ask("commit", topic) == ["done"]
            # What was ended in the new way has a higher epoch. Who asks again in the old way is fenced, and knows by it that nothing is
            # left to commit.
            answer = second.ask("resume", topic, *given, "commit", way)
            assert answer == (["done"] if version < "4" or way == "new" else FENCED)
            settled(transactions.bootstrap, topic)
            assert values(transactions.bootstrap, topic) == numbers(0, round_ * 10 + 10)


def test_what_lingers_is_aborted_by_asking_for_the_id(transactions, topic, version):
    create_topic(transactions.bootstrap, topic)
    with Process(transactions, version) as first, Process(transactions, version) as second:
        for way in ways(version):
            given = first.prepare(topic, topic, 0, 10)
            assert second.ask("init", topic) == ["done"]
            settled(transactions.bootstrap, topic)
            for verdict in ("commit", "abort"):
                assert second.ask("resume", topic, *given, verdict, way) == FENCED
            assert values(transactions.bootstrap, topic) == []
        assert second.prepare(topic, topic, 10, 20) and second.ask("commit", topic) == ["done"]
        settled(transactions.bootstrap, topic)
        assert values(transactions.bootstrap, topic) == numbers(10, 20)


def test_resumed_after_the_server_died(server_in, tmp_path, topic, version):
    with server_in(tmp_path, **TRANSACTION_SETTINGS).start() as server:
        create_topic(server.bootstrap, topic)
        with Process(server, version) as died:
            given = {way: died.prepare(f"{topic}-{way}", topic, i * 10, i * 10 + 10) for i, way in enumerate(ways(version))}
        with Process(server, version) as next_:
            # Told, so it is kept; and asked again after that, it is told again.
            for asked in range(2):
                server.kill()
                server.start()
                for way, at in given.items():
                    answer = next_.ask("resume", f"{topic}-{way}", *at, "commit", way)
                    assert answer == (["done"] if asked == 0 or way != "learns" else FENCED)
        settled(server.bootstrap, topic)
        assert values(server.bootstrap, topic) == numbers(0, len(given) * 10)
