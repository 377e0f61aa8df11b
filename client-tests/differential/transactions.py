"""What sequences about transactions have in common: a producer with a transactional id that goes through its steps one by one."""

import time

from .records import batch
from .session import Session

CONCURRENT_TRANSACTIONS = 51
TRANSACTIONAL = 0x10
THEN = 1_700_000_000_000


class Transactional:
    """A producer with a transactional id. It speaks as clients of transaction version 2 (KIP-890), or as those before."""

    def __init__(self, s: Session, name: str = "producer", *, old: bool = False, timeout_ms: int = 60_000, transactional_id: str | None = None):
        self.s, self.name, self.old, self.timeout_ms = s, name, old, timeout_ms
        self.id = s.topic(name) if transactional_id is None else transactional_id
        self.producer, self.epoch = -1, -1
        self.sequences: dict[tuple[str, int], int] = {}

    def init(self, *, version: int = 5, label: str = "", keep: bool = False, **more) -> dict:
        """InitProducerId; takes over the id and epoch of the answer unless `keep`."""
        body = {"TransactionalId": self.id, "TransactionTimeoutMs": self.timeout_ms, **more}
        answer = self.again("InitProducerId", version, body, label or f"{self.name} begins")
        if answer.get("ErrorCode") == 0 and not keep:
            self._take(answer)
        return answer

    def again(self, api: str, version: int, body: dict, label: str) -> dict:
        """A request that is sent again while markers of the transaction before are on their way: how often is the server's affair."""
        for _ in range(500):
            answer = self.s.send(api, version, body, label=label)
            if answer.get("ErrorCode") != CONCURRENT_TRANSACTIONS:
                break
            self.s.transcript.pop()
            time.sleep(0.01)
        return answer

    def _take(self, answer: dict) -> None:
        if (answer["ProducerId"], answer["ProducerEpoch"]) != (self.producer, self.epoch):
            self.sequences.clear()
        self.producer, self.epoch = answer["ProducerId"], answer["ProducerEpoch"]

    def body(self, **more) -> dict:
        """What every request of a transaction says about its producer."""
        return {"TransactionalId": self.id, "ProducerId": self.producer, "ProducerEpoch": self.epoch, **more}

    def add(self, topics: dict[str, list[int]], *, version: int = 3, label: str = "", **more) -> dict:
        """AddPartitionsToTxn, for one transaction."""
        listed = [{"Name": name, "Partitions": partitions} for name, partitions in topics.items()]
        if version >= 4:
            body = {"Transactions": [self.body(Topics=listed, **more)]}
        else:
            body = {"V3AndBelow" + key: value for key, value in self.body(Topics=listed, **more).items()}
        return self.s.send("AddPartitionsToTxn", version, body, label=label or f"{self.name} adds, v{version}")

    def batch(self, values: list[bytes], partition: int = 0, topic: str = "topic", **more) -> bytes:
        """The next batch of the producer for a partition."""
        at = (topic, partition)
        sequence = self.sequences.get(at, 0)
        self.sequences[at] = sequence + len(values)
        return batch(values, **{"timestamp": THEN, "producer_id": self.producer, "producer_epoch": self.epoch, "base_sequence": sequence,
                                "attributes": TRANSACTIONAL, **more})

    def write(self, values: list[bytes], partition: int = 0, *, version: int | None = None, topic: str = "topic", label: str = "", **more) -> dict:
        """A batch; before it the partition is added, where the version does not do that by itself."""
        version = (11 if self.old else 12) if version is None else version
        if version < 12:
            self.add({self.s.topic(topic): [partition]})
        return self.s.produce(self.batch(values, partition, topic, **more), version=version, partition=partition, name=topic,
                              transactional_id=self.id, label=label or f"{self.name} writes to {partition}, v{version}")

    def end(self, commit: bool, *, version: int | None = None, label: str = "", settle: bool = True, **more) -> dict:
        """EndTxn, and waits for the markers."""
        version = (4 if self.old else 5) if version is None else version
        answer = self.again("EndTxn", version, self.body(Committed=commit, **more),
                            label or f"{self.name} {'commits' if commit else 'aborts'}, v{version}")
        if answer.get("ErrorCode") == 0:
            if version >= 5:
                self._take(answer)
            if settle:
                self.settle()
        return answer

    def state(self) -> dict:
        return self.s.quiet("DescribeTransactions", 0, {"TransactionalIds": [self.id]})["TransactionStates"][0]

    def settle(self, wanted: tuple[str, ...] = ("CompleteCommit", "CompleteAbort", "Empty")) -> None:
        """Waits until the transaction has ended everywhere."""
        for _ in range(1000):
            if self.state()["TransactionState"] in wanted:
                return
            time.sleep(0.01)

    def describe(self, label: str = "") -> dict:
        return describe(self.s, self.id, label=label or f"{self.name} described")

    def add_offsets(self, group: str = "group", *, version: int = 3, label: str = "", **more) -> dict:
        """AddOffsetsToTxn."""
        return self.again("AddOffsetsToTxn", version, self.body(**{"GroupId": self.s.topic(group), **more}), label or f"{self.name} adds offsets, v{version}")

    def commit_offsets(self, topics: dict[str, list], group: str = "group", *, version: int | None = None, label: str = "", **more) -> dict:
        """TxnOffsetCommit. `topics`: name -> [(partition, offset, metadata)]; metadata may be left out."""
        version = (4 if self.old else 5) if version is None else version
        def partition(index, offset, metadata=""):
            return {"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": metadata}
        return self.s.send("TxnOffsetCommit", version, self.body(**{"GroupInstanceId": None, "GroupId": self.s.topic(group), "Topics": [
            {"Name": name, "Partitions": [partition(*p) for p in partitions]} for name, partitions in topics.items()], **more}),
            label=label or f"{self.name} commits offsets, v{version}")


def describe(s: Session, *ids: str, label: str = "") -> dict:
    """DescribeTransactions, the moment at which one began left to the comparison."""
    return s.send("DescribeTransactions", 0, {"TransactionalIds": list(ids)}, label=label or "transactions described")


def list_transactions(s: Session, *, version: int = 2, label: str = "", **more) -> dict:
    """ListTransactions; only those of this sequence go into the transcript."""
    answer = s.send("ListTransactions", version, more, label=label or f"transactions listed, v{version}")
    if "TransactionStates" in answer:
        mine = [t for t in answer["TransactionStates"] if t["TransactionalId"].startswith(s.topic(""))]
        answer["TransactionStates"] = sorted(mine, key=lambda t: t["TransactionalId"])
    return answer


def ends(s: Session, label: str = "", partitions: int = 1, topic: str = "topic", timestamp: int = -1) -> None:
    """Where the partitions end for both levels of isolation."""
    for level in (0, 1):
        s.send("ListOffsets", 7, {"ReplicaId": -1, "IsolationLevel": level, "Topics": [{"Name": s.topic(topic), "Partitions": [
            {"PartitionIndex": p, "Timestamp": timestamp} for p in range(partitions)]}]}, label=f"{label or 'the end'}, isolation level {level}")


def both(s: Session, label: str, offset: int = 0, *, partition: int = 0, version: int = 11, topic: str = "topic", **more) -> None:
    """A fetch with each level of isolation."""
    for level in (0, 1):
        s.fetch(offset, partition=partition, version=version, name=topic, body={"IsolationLevel": level}, label=f"{label}, isolation level {level}", **more)


def producers(s: Session, label: str, topics: dict[str, list[int]]) -> dict:
    """DescribeProducers."""
    return s.send("DescribeProducers", 0, {"Topics": [{"Name": name, "PartitionIndexes": partitions} for name, partitions in topics.items()]}, label=label)


def marker(s: Session, label: str, producer: int, epoch: int, commit: bool, topics: dict[str, list[int]], *, coordinator_epoch: int = 0,
           version: int = 1, **more) -> dict:
    """WriteTxnMarkers with one marker."""
    return s.send("WriteTxnMarkers", version, {"Markers": [{"ProducerId": producer, "ProducerEpoch": epoch, "TransactionResult": commit,
        "CoordinatorEpoch": coordinator_epoch, "Topics": [{"Name": n, "PartitionIndexes": p} for n, p in topics.items()], **more}]}, label=label)
