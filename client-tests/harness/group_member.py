"""A member of a group on librdkafka that says what happens to it, in the lines of the Java tests' GroupMember.

python -m harness.group_member BOOTSTRAP GROUP TOPIC MS_BETWEEN_COMMITS [key=value ...]
"""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition


class Member:
    def __init__(self, bootstrap: str, group: str, topic: str, commit_ms: str, *settings: str):
        self.commit_s = int(commit_ms) / 1000
        self.uncommitted: dict[int, int] = {}
        self.topic = topic
        self.stopping = threading.Event()
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False, "fetch.min.bytes": 20_000, "fetch.wait.max.ms": 200, "log_level": 0,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "socket.timeout.ms": 10_000,
            **dict(setting.split("=", 1) for setting in settings),
        })

    def run(self) -> None:
        threading.Thread(target=self._await_end_of_input, daemon=True).start()
        self.consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        last_commit = time.monotonic()
        while not self.stopping.is_set():
            self._deliver(self.consumer.consume(1000, timeout=0.2))
            if time.monotonic() - last_commit >= self.commit_s:
                self._commit()
                last_commit = time.monotonic()
        self._commit()
        self.consumer.close()

    def _deliver(self, messages) -> None:
        ranges: dict[int, list[int]] = {}
        for message in messages:
            if message.error():
                say(f"e consume: {message.error()}")
                continue
            partition, offset = message.partition(), message.offset()
            known = ranges.setdefault(partition, [offset, offset])
            if offset > known[1] + 1 or offset < known[0]:
                say(f"d {partition} {known[0]} {known[1]}")
                known[:] = [offset, offset]
            known[1] = offset
        for partition, (first, last) in ranges.items():
            say(f"d {partition} {first} {last}")
            self.uncommitted[partition] = last + 1
        sys.stdout.flush()

    def _commit(self) -> None:
        if not self.uncommitted:
            return
        try:
            answers = self.consumer.commit(asynchronous=False,
                                           offsets=[TopicPartition(self.topic, p, offset) for p, offset in self.uncommitted.items()])
            for answer in answers:
                if answer.error is None:
                    say(f"c {answer.partition} {answer.offset}")
                    self.uncommitted.pop(answer.partition, None)
                else:
                    say(f"e commit: {answer.error}")
        except KafkaException as error:
            say(f"e commit: {error}")
        sys.stdout.flush()

    def _assigned(self, _consumer, partitions) -> None:
        say("a", partitions)

    def _revoked(self, _consumer, partitions) -> None:
        self._commit()
        self._forget(partitions)
        say("r", partitions)

    def _lost(self, _consumer, partitions) -> None:
        self._forget(partitions)
        say("l", partitions)

    def _forget(self, partitions) -> None:
        for gone in partitions:
            self.uncommitted.pop(gone.partition, None)

    def _await_end_of_input(self) -> None:
        sys.stdin.read()
        self.stopping.set()


def say(what: str, partitions=()) -> None:
    print(time.time_ns() // 1000, what, *(partition.partition for partition in partitions), flush=bool(partitions))


if __name__ == "__main__":
    Member(*sys.argv[1:]).run()
