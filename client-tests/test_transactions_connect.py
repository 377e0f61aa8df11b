"""Kafka Connect with an exactly-once source (KIP-618): every line of a file is in the topic once and in order, whatever is killed."""

import random
import time

import pytest

from conftest import TRANSACTION_SETTINGS
from harness.connect import Worker, source
from harness.members import create_topic, eventually
from harness.transactions import UNCOMMITTED, end, settled, values

LINES = 2000  # of one round
LINES_OF_A_TRANSACTION = 10
# The connector's buffer holds 1,024 characters. What a full batch leaves there it takes up when there is more to read, so with lines that
# fit twice it would not come to the end.
FILLER = " " + "x" * 600
pytestmark = pytest.mark.timeout(900)


class Copy:
    """A file that grows, the connector that copies it into a topic, and the worker that runs it."""

    def __init__(self, server, directory, topic: str):
        self.server, self.topic, self.file = server, topic, directory / "in.txt"
        self.file.touch()
        self.lines = self.copied_before = 0
        self.worker = Worker("distributed", directory, {
            "bootstrap.servers": server.bootstrap, "group.id": f"{topic}-workers", "exactly.once.source.support": "enabled",
            "session.timeout.ms": "3000", "heartbeat.interval.ms": "500",
            **{f"{kind}.storage.topic": f"{topic}-{kind}" for kind in ("config", "offset", "status")},
            **{f"{kind}.storage.replication.factor": "1" for kind in ("config", "offset", "status")}})
        self.config = source(topic, self.file) | {
            "exactly.once.support": "required", "transaction.boundary": "poll", "batch.size": str(LINES_OF_A_TRANSACTION)}

    def grow(self) -> None:
        self.copied_before = self.copied()
        with open(self.file, "a") as file:
            file.write("".join(f"line {i}{FILLER}\n" for i in range(self.lines, self.lines + LINES)))
        self.lines += LINES

    def copied(self) -> int:
        """Lines that readers of what is committed have, and perhaps some markers."""
        return end(self.server.bootstrap, self.topic)

    def await_part(self) -> None:
        """Until some of the lines of this round have been copied, and not all of them."""
        enough = self.copied_before + random.uniform(0.1, 0.4) * LINES
        self.await_copied("part of the lines", lambda: self.copied() > enough)

    def await_copied(self, what: str, condition) -> None:
        restarted = 0.0
        def look() -> bool:
            nonlocal restarted
            status = self.worker.ask("GET", f"/connectors/{self.topic}/status")
            failed = [t["trace"].splitlines()[0] for t in (status or {}).get("tasks", []) if t["state"] == "FAILED"]
            if failed and time.monotonic() > restarted + 2:
                print(f"restarted after {failed}")
                self.worker.ask("POST", f"/connectors/{self.topic}/restart?includeTasks=true&onlyFailed=true")
                restarted = time.monotonic()
            return condition()
        try:
            eventually(what, look, 120)
        except AssertionError as late:
            raise AssertionError(f"{late}; {self.copied()} of {self.lines} lines, {self.offsets()}\n{self.worker.tail()}") from None

    def offsets(self) -> list[dict]:
        return (self.worker.ask("GET", f"/connectors/{self.topic}/offsets") or {}).get("offsets", [])

    def complete(self) -> bool:
        return [at["offset"]["position"] for at in self.offsets()] == [self.file.stat().st_size]


def test_every_line_once_and_in_order(server_in, tmp_path, topic, full):
    rounds = ["worker", "broker", "worker"] if not full else [random.choice(["worker", "worker", "broker", "both"]) for _ in range(12)]
    with server_in(tmp_path, **TRANSACTION_SETTINGS).start() as server:
        create_topic(server.bootstrap, topic)
        copy = Copy(server, tmp_path, topic)
        with copy.worker as worker:
            eventually("the REST interface", lambda: worker.ask("GET", "/connectors") == [], 60)
            eventually("the connector", lambda: worker.ask("PUT", f"/connectors/{topic}/config", copy.config), 30)
            for killed in rounds:
                copy.grow()
                copy.await_part()
                if killed != "broker":
                    worker.kill()
                if killed != "worker":
                    server.kill()
                    server.start()
                if killed != "broker":
                    print(f"{killed} killed after {len(values(server.bootstrap, topic))} of {copy.lines} lines")
                    worker.start()
            copy.await_copied("all lines", copy.complete)
        settled(server.bootstrap, topic)
        found = values(server.bootstrap, topic)
        print(f"{len(rounds)} kills: {copy.lines} lines, {len(set(found))} found, {len(found) - len(set(found))} repeated, "
              f"{len(values(server.bootstrap, topic, isolation=UNCOMMITTED)) - len(found)} in transactions that were aborted")
        assert found == [f"line {i}{FILLER}".encode() for i in range(copy.lines)]
