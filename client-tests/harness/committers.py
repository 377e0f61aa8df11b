"""Groups that commit offsets as fast as they are answered, with every commit and every answer written down.

They run in a process of its own, `python -m harness.committers BOOTSTRAP TOPIC PARTITIONS`, which is killed in the end: a commit
that a broker never answers can't be called off.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

QUIET = {"enable.auto.commit": False, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}
# A coordinator that is not there yet; and, under KIP-848, an epoch that has just risen.
TRIED_AGAIN = (KafkaError._WAIT_COORD, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
               KafkaError.NOT_COORDINATOR, KafkaError.STALE_MEMBER_EPOCH)
PLAIN_GROUPS = 12
MEMBERS_OF_EACH_PROTOCOL = 2


class Committer:
    """A consumer that commits 1, 2, 3, ... for some partitions of a group of its own; it is no member."""

    def __init__(self, bootstrap: str, group: str, topic: str, partitions: list[int], settings: dict | None = None):
        self.group, self.topic, self.partitions = group, topic, partitions
        self._consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "group.id": group, **(settings or {})})

    def ready(self) -> bool:
        """Whether it may commit."""
        return True

    def run(self) -> None:
        offset = 0
        while True:
            if self.ready():
                offset += 1
                self._commit(offset)

    def _commit(self, offset: int) -> None:
        say("s", self.group, self.partitions, offset)
        try:
            partitions = [TopicPartition(self.topic, partition, offset) for partition in self.partitions]
            answers = self._consumer.commit(offsets=partitions, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in TRIED_AGAIN:
                raise
            time.sleep(0.05)
            return
        say("a", self.group, [answer.partition for answer in answers if answer.error is None], offset)


class MemberCommitter(Committer):
    """The same as the only member of its group: it commits under its generation or epoch, for what it is assigned."""

    def __init__(self, bootstrap: str, group: str, topic: str, protocol: str):
        super().__init__(bootstrap, group, topic, [], {"group.protocol": protocol})
        self._consumer.subscribe([topic])

    def ready(self) -> bool:
        self._consumer.poll(0 if self.partitions else 0.1)
        self.partitions = [assigned.partition for assigned in self._consumer.assignment()]
        return bool(self.partitions)


class Committers:
    """The process, and what its groups have sent and were answered, by group and partition."""

    def __init__(self, bootstrap: str, topic: str, partitions: int):
        self.sent: dict[tuple[str, int], int] = {}
        self.acknowledged: dict[tuple[str, int], int] = {}
        self._process = subprocess.Popen([sys.executable, "-m", "harness.committers", bootstrap, topic, str(partitions)],
                                         stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            kind, group, offset, *partitions = line.split()
            for partition in partitions:
                (self.sent if kind == "s" else self.acknowledged)[group, int(partition)] = int(offset)

    def all_commit(self) -> bool:
        """Whether every group was answered a few times."""
        assert self._process.poll() is None, "the committers have ended, see above"
        groups = {group for group, _ in self.acknowledged}
        return len(groups) == PLAIN_GROUPS + 2 * MEMBERS_OF_EACH_PROTOCOL and min(self.acknowledged.values()) > 5

    def end(self) -> None:
        """Kills the process; what it has said before counts."""
        self._process.kill()
        self._process.wait()
        self._reader.join()


def committed(bootstrap: str, group: str, topic: str, partitions: list[int], timeout_s: float = 30) -> dict[int, int]:
    """What the coordinator knows, by partition; negative where it knows nothing. Asked again while it says that it doesn't know: it
    answers when its log is durable, and says so after offsets.commit.timeout.ms."""
    consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "group.id": group})
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            try:
                answer = consumer.committed([TopicPartition(topic, partition) for partition in partitions], timeout=timeout_s)
                return {known.partition: known.offset for known in answer}
            except KafkaException as refused:
                if refused.args[0].code() != KafkaError.NOT_COORDINATOR or time.monotonic() > deadline:
                    raise
    finally:
        consumer.close()


def say(kind: str, group: str, partitions: list[int], offset: int) -> None:
    """One write, so that lines of several threads don't mix."""
    sys.stdout.write(f"{kind} {group} {offset} {' '.join(map(str, partitions))}\n")
    sys.stdout.flush()


def main() -> None:
    bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    committers = [Committer(bootstrap, f"plain-{i}", topic, list(range(1 + i % partitions))) for i in range(PLAIN_GROUPS)]
    committers += [MemberCommitter(bootstrap, f"member-{protocol}-{i}", topic, protocol)
                   for protocol in ("classic", "consumer") for i in range(MEMBERS_OF_EACH_PROTOCOL)]
    threads = [threading.Thread(target=committer.run) for committer in committers]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
