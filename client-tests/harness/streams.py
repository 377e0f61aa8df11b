"""The word counts of java-tests/streams: the processes of the application, its input, and its output held against that."""

import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from .paths import ROOT
from .transactions import COMMITTED, QUIET, messages

PARTITIONS = 4
WORDS = {f"word-{i}": f"kind-{i % 7}" for i in range(1000)}
OUTPUTS = ("counts", "totals")
# So many lines a second when none are held back for kills that are still to come.
TRICKLE = 50


def classpath() -> str:
    """Compiles the application; its classes and those that it uses."""
    pom, out = ROOT / "java-tests" / "streams" / "pom.xml", ROOT / "target" / "streams-classpath.txt"
    out.parent.mkdir(exist_ok=True)
    subprocess.run(["mvn", "-q", "-B", "-f", pom, "compile", "dependency:build-classpath", f"-Dmdep.outputFile={out}"],
                   check=True, stdin=subprocess.DEVNULL, timeout=280)
    return f"{pom.parent}/target/classes:{out.read_text().strip()}"


class Application:
    """One instance of the application as a child process; its state directory stays across restarts."""

    def __init__(self, classes: str, bootstrap: str, name: str, directory: Path, **settings: str):
        self._states, self._log = directory / f"{name}.states", directory / f"{name}.log"
        # A dead instance is missed after 3 s, and one that is back gets its tasks at once, not when it has caught up. What it writes is
        # sent as it is written, so that a kill finds a transaction begun.
        settings = {"num.stream.threads": "1", "session.timeout.ms": "3000", "heartbeat.interval.ms": "500",
                    "acceptable.recovery.lag": str(2**63 - 1), "producer.linger.ms": "5"} | settings
        self._command = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
                         "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                         "-cp", classes, "com.fluxmq.tests.WordCounts", bootstrap, "word-counts", str(directory / name),
                         *(f"{key}={value}" for key, value in settings.items())]
        self.process: subprocess.Popen | None = None

    def start(self) -> "Application":
        with open(self._states, "wb") as states, open(self._log, "ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=states, stderr=log)
        return self

    def works(self) -> bool:
        """Whether it has tasks and is running them; it never ends by itself."""
        assert self.process.poll() is None, f"the application ended with {self.process.returncode}:\n{self.tail()}"
        said = self._states.read_text().splitlines()
        assert not any(line.startswith("failed") for line in said), f"a thread of the application failed:\n{self.tail()}"
        return bool(said) and said[-1].startswith("state RUNNING ") and said[-1] != "state RUNNING "

    def stop(self) -> None:
        """SIGTERM: it ends what it has begun, and commits."""
        self.process.terminate()
        self.process.wait(60)
        assert "\nclosed\n" in self._states.read_text(), f"the application did not close:\n{self.tail()}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def tail(self) -> str:
        return self._states.read_text() + "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])


class Lines:
    """Writes lines of one word or two, of which the last ones only when they are released, and knows what has to come out."""

    def __init__(self, bootstrap: str, count: int, per_second: int):
        self.count, self.released, self.sent = count, 0, 0
        self.refused: list[str] = []
        self.words: Counter[str] = Counter()
        self._per_second, self._stopping = per_second, threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
                                   "message.timeout.ms": 180_000, "queue.buffering.max.messages": 2_000_000, **QUIET})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Lines":
        self._thread.start()
        return self

    def _run(self) -> None:
        names, due, before = list(WORDS), 0.0, time.monotonic()
        while self.sent < self.count and not self._stopping.is_set():
            now = time.monotonic()
            due += (now - before) * (self._per_second if self.sent < self.released else TRICKLE)
            before = now
            for _ in range(min(int(due), self.count - self.sent)):
                words = [names[(self.sent * 7 + i * 131) % len(names)] for i in range(2 if self.sent % 4 == 0 else 1)]
                self._producer.produce("lines", " ".join(words), partition=self.sent % PARTITIONS, on_delivery=self._delivered)
                self.words.update(words)
                self.sent += 1
            due -= int(due)
            self._producer.poll(0.01)

    def _delivered(self, error, _message) -> None:
        if error is not None:
            self.refused.append(str(error))

    def finish(self) -> None:
        """The rest is released, and sent; waits for every answer."""
        self.released = self.count
        self._thread.join(180)
        left = self.count - self.sent or self._producer.flush(120)
        assert left == 0 and not self.refused, f"{left} lines without an answer, refused: {self.refused[:3]}"

    def stop(self) -> None:
        """No new lines."""
        self._stopping.set()

    def expected(self) -> dict[str, Counter]:
        """How often each key has to be there in each output."""
        totals: Counter[str] = Counter()
        for word, count in self.words.items():
            totals[WORDS[word]] += count
        return {"counts": self.words, "totals": totals}


class Sequences:
    """The records of an output: under each key 1, 2, 3, ... in this order."""

    def __init__(self):
        self.last: Counter[str] = Counter()
        self.records = self.repeated = self.skipped = 0
        self.wrong: list[tuple[str, str]] = []

    def add(self, key: str, value: str) -> None:
        count, _, kind = value.partition(" ")
        if kind != (WORDS[key] if key in WORDS else ""):
            self.wrong.append((key, value))
        step = int(count) - self.last[key]
        self.records += 1
        if step < 1:
            self.repeated += 1
        else:
            self.skipped += step - 1
            self.last[key] += step

    def against(self, expected: Counter) -> tuple[int, int]:
        """Words that were counted again, and words that are missing."""
        again = sum((self.last - expected).values()) + self.repeated
        return again, sum((expected - self.last).values()) + self.skipped


class Reader:
    """Reads the outputs as they are committed, through restarts of the server, and keeps how far and how steadily they go on."""

    def __init__(self, bootstrap: str):
        self.outputs = {topic: Sequences() for topic in OUTPUTS}
        self.written_at_ms = [0] * PARTITIONS  # by partition of `counts`: when the last line behind its records was written
        self.stall_s = 0.0  # the longest that a partition of it said nothing
        self.failed: BaseException | None = None
        self._moved = [float("inf")] * PARTITIONS
        self._stopping = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                                   "auto.offset.reset": "error", "isolation.level": COMMITTED, "fetch.wait.max.ms": 50, **QUIET})
        self._thread = threading.Thread(target=self._run_or_say_why_not, daemon=True)

    def start(self) -> "Reader":
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic in OUTPUTS for partition in range(PARTITIONS)])
        self._thread.start()
        return self

    def _run_or_say_why_not(self) -> None:
        try:
            while not self._stopping.is_set():
                for message in self._consumer.consume(1000, timeout=0.1):
                    self._take(message)
        except BaseException as failed:
            self.failed = failed
        finally:
            self._consumer.close()

    def _take(self, message) -> None:
        if message.error() is not None:
            if not message.error().retriable() and message.error().code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                raise KafkaException(message.error())
            return
        self.outputs[message.topic()].add(message.key().decode(), message.value().decode())
        if message.topic() == "counts":
            partition, now = message.partition(), time.monotonic()
            self.written_at_ms[partition] = max(self.written_at_ms[partition], message.timestamp()[1])
            self.stall_s = max(self.stall_s, now - self._moved[partition])
            self._moved[partition] = now

    def records(self) -> int:
        if self.failed:
            raise self.failed
        return sum(sequences.records for sequences in self.outputs.values())

    def beyond(self, at_ms: int) -> bool:
        """Whether every partition has what came of lines written after that moment."""
        if self.failed:
            raise self.failed
        return min(self.written_at_ms) > at_ms

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        if self.failed:
            raise self.failed


def read_again(bootstrap: str) -> dict[str, Sequences]:
    """The outputs from their starts on, by a reader who has seen nothing of what happened."""
    outputs = {topic: Sequences() for topic in OUTPUTS}
    for topic, sequences in outputs.items():
        for partition in range(PARTITIONS):
            for message in messages(bootstrap, topic, partition, timeout_s=300):
                sequences.add(message.key().decode(), message.value().decode())
    return outputs
