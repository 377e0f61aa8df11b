"""Groups that commit offsets as fast as they are answered, with every answer written down."""

import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

QUIET = {"enable.auto.commit": False, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
         "socket.timeout.ms": 10_000}
# A coordinator that is not there yet; and, under KIP-848, an epoch that has just risen.
TRIED_AGAIN = (KafkaError._WAIT_COORD, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
               KafkaError.NOT_COORDINATOR, KafkaError.STALE_MEMBER_EPOCH)


class Committer:
    """One consumer that commits 1, 2, 3, ... for some partitions of a group, until it is told to stop or refused.

    Keeps by partition what it sent and what was acknowledged last; each group and partition has one committer at a time.
    """

    def __init__(self, bootstrap: str, group: str, topic: str, partitions: list[int]):
        self.group, self.topic, self.partitions = group, topic, partitions
        self.sent: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}
        self.failure: KafkaException | None = None
        self._stopping = threading.Event()
        self._consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "group.id": group})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Committer":
        self._thread.start()
        return self

    def ready(self) -> bool:
        """Whether it may commit."""
        return True

    def _run(self) -> None:
        offset = 0
        try:
            while not self._stopping.is_set():
                if not self.ready():
                    continue
                offset += 1
                self._commit(offset)
        except KafkaException as error:
            self.failure = error
        finally:
            self._consumer.close()

    def _commit(self, offset: int) -> None:
        partitions = [TopicPartition(self.topic, partition, offset) for partition in self.partitions]
        self.sent |= dict.fromkeys(self.partitions, offset)
        try:
            answers = self._consumer.commit(offsets=partitions, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() in TRIED_AGAIN:
                time.sleep(0.05)
                return
            raise
        for answer in answers:
            if answer.error is None:
                self.acknowledged[answer.partition] = offset

    def stop(self) -> None:
        """No commit after the one under way."""
        self._stopping.set()


class MemberCommitter(Committer):
    """The same as the only member of its group: it commits under its generation or epoch, for what it is assigned."""

    def __init__(self, bootstrap: str, group: str, topic: str, protocol: str = "classic"):
        super().__init__(bootstrap, group, topic, [])
        self._consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol})
        self._consumer.subscribe([topic])

    def ready(self) -> bool:
        self._consumer.poll(0 if self.partitions else 0.1)
        self.partitions = [assigned.partition for assigned in self._consumer.assignment()]
        return bool(self.partitions)


def committed(bootstrap: str, group: str, topic: str, partitions: list[int], timeout_s: float = 30) -> dict[int, int]:
    """What the coordinator knows, by partition; negative where it knows nothing."""
    consumer = Consumer({**QUIET, "bootstrap.servers": bootstrap, "group.id": group})
    try:
        answer = consumer.committed([TopicPartition(topic, partition) for partition in partitions], timeout=timeout_s)
        return {known.partition: known.offset for known in answer}
    finally:
        consumer.close()
