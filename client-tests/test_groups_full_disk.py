"""Groups on a disk that is full: commits are refused with errors that clients try again, and it heals."""

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import Broker
from test_full_disk import fill, pytestmark, small_disk, wait_until  # noqa: F401

GROUPS = 24
# A note as long as a broker takes makes every commit 4 KB, so that what is reserved for the logs is soon used up.
NOTE = "x" * 4000


class Committer(threading.Thread):
    """Commits 0, 1, 2, ... for a group of its own, each until it is acknowledged."""

    def __init__(self, bootstrap: str, topic: str, number: int):
        super().__init__(daemon=True)
        self.group = f"group-{number}"
        self.topic = topic
        self.bootstrap = bootstrap
        self.acknowledged = -1
        self.refusals = 0
        self.unexpected = []
        self.ending = False

    def run(self):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, "log_level": 2,
                             "enable.auto.commit": False, "socket.timeout.ms": 5000, "retry.backoff.ms": 50})
        while not self.ending:
            offset = TopicPartition(self.topic, 0, self.acknowledged + 1, NOTE)
            try:
                consumer.commit(offsets=[offset], asynchronous=False)
                self.acknowledged += 1
            except KafkaException as error:
                self.refusals += 1
                if not error.args[0].retriable() and "COORDINATOR" not in error.args[0].name():
                    self.unexpected.append(error)
            time.sleep(0.01)
        consumer.close()


def committed(bootstrap: str, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        return consumer.committed([TopicPartition(topic, 0)], timeout=30)[0].offset
    finally:
        consumer.close()


def test_commits_are_refused_and_come_back(tmp_path, small_disk, topic):  # noqa: F811
    with Broker(tmp_path / "disk" / "data", log=tmp_path / "broker.log").start() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic(topic, 1)])[topic].result()
        committers = [Committer(broker.bootstrap, topic, number) for number in range(GROUPS)]
        for committer in committers:
            committer.start()
        wait_until(lambda: all(committer.acknowledged >= 3 for committer in committers))
        filler = fill(small_disk, leave_kib=0)
        wait_until(lambda: all(committer.refusals > 0 for committer in committers))
        assert broker.process.poll() is None, f"ended with {broker.process.returncode}\n{broker.tail()}"
        # What was acknowledged is still told, by shards that were read again meanwhile.
        for committer in committers[:5]:
            found = committed(broker.bootstrap, committer.group, topic)
            assert found in (committer.acknowledged, committer.acknowledged + 1), (committer.group, found)
        filler.unlink()
        full_at = [committer.acknowledged for committer in committers]
        wait_until(lambda: all(c.acknowledged > at + 3 for c, at in zip(committers, full_at, strict=True)))
        for committer in committers:
            committer.ending = True
        for committer in committers:
            committer.join()
            assert not committer.unexpected, committer.unexpected[:3]
        broker.stop()
        broker.start()
        for committer in committers:
            assert committed(broker.bootstrap, committer.group, topic) == committer.acknowledged
