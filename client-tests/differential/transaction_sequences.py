"""What is said to both servers about transactions."""

import time
import uuid

from .groups import UNKNOWN_MEMBER, Classic, Consumer, stable
from .offset_sequences import commit, delete, fetch
from .records import batch
from .session import Session
from .transactions import THEN, TRANSACTIONAL, Transactional, both, describe, ends, list_transactions, marker, producers

SEQUENCES = []
NOBODY = 987_654_321


def sequence(function):
    SEQUENCES.append(function)
    return function


def kept_topic(s: Session, partitions: int = 1) -> uuid.UUID:
    """A topic whose records of long ago no retention takes."""
    return s.create_topic(partitions=partitions, configs={"retention.ms": "-1"})


# Coordinators and ids.

@sequence
def transaction_coordinators_are_found(s: Session):
    for version in range(1, 7):
        if version < 4:
            s.send("FindCoordinator", version, {"Key": s.topic("producer"), "KeyType": 1})
            s.send("FindCoordinator", version, {"Key": "", "KeyType": 1}, label=f"empty id v{version}")
        else:
            s.send("FindCoordinator", version, {"CoordinatorKeys": [s.topic("a"), s.topic("b"), ""], "KeyType": 1})
            s.send("FindCoordinator", version, {"CoordinatorKeys": [], "KeyType": 1}, label=f"of nothing v{version}")


@sequence
def ids_each_version(s: Session):
    for version in range(6):
        one = Transactional(s, f"v{version}")
        one.init(version=version, label=f"first v{version}")
        one.init(version=version, label=f"again v{version}")
        one.describe()


@sequence
def ids_and_timeouts(s: Session):
    one = Transactional(s)
    for timeout in (0, -1, 900_001, 2_147_483_647):
        one.init(TransactionTimeoutMs=timeout, label=f"timeout {timeout}")
    one.describe("never begun")
    for timeout in (1, 900_000):
        one.init(TransactionTimeoutMs=timeout, label=f"timeout {timeout}")
        one.describe(f"with a timeout of {timeout}")
    one.init(TransactionTimeoutMs=900_001, label="a longer timeout for one that is there")
    one.describe("after the longer timeout")
    for version in (0, 2, 5):
        Transactional(s, transactional_id="").init(version=version, label=f"empty id v{version}")


@sequence
def ids_with_an_epoch_of_their_own(s: Session):
    new = Transactional(s, "new")
    for version in (3, 4, 5):
        new.init(version=version, ProducerId=4711, ProducerEpoch=3, keep=True, label=f"an id nobody knows, v{version}")
    new.describe("nobody's")
    one = Transactional(s)
    one.init()
    own = lambda **more: {"ProducerId": one.producer, "ProducerEpoch": one.epoch, **more}
    first = own()
    one.init(**first, label="its own")
    for version in (3, 4, 5):
        one.init(**first, version=version, keep=True, label=f"the epoch before, v{version}")
        one.init(**own(ProducerEpoch=one.epoch + 5), version=version, keep=True, label=f"an epoch to come, v{version}")
        one.init(**own(ProducerId=NOBODY), version=version, keep=True, label=f"another's id, v{version}")
        one.init(ProducerId=one.producer, version=version, keep=True, label=f"id without epoch, v{version}")
        one.init(ProducerEpoch=0, version=version, keep=True, label=f"epoch without id, v{version}")
    one.describe("in the end")


@sequence
def ids_that_recover(s: Session):
    """KIP-360: a producer that goes on with the next epoch ends what it had open."""
    kept_topic(s)
    for old in (True, False):
        one = Transactional(s, f"old {old}", old=old)
        one.init()
        one.write([b"a", b"b"])
        before = {"ProducerId": one.producer, "ProducerEpoch": one.epoch}
        one.init(**before, label="in the middle of a transaction")
        one.settle()
        one.init(**before, keep=True, label="the same once more")
        one.describe()
        one.write([b"c"])
        one.end(True)
        both(s, f"old {old}")


@sequence
def ids_of_a_zombie(s: Session):
    kept_topic(s, partitions=2)
    for old in (True, False):
        zombie = Transactional(s, f"zombie {old}", old=old)
        zombie.init()
        zombie.write([b"zombie's"])
        taken = Transactional(s, "taken over", old=old, transactional_id=zombie.id)
        taken.init()
        taken.settle()
        for version in (0, 1, 2, 3, 4, 5):
            zombie.add({s.topic(): [1]}, version=version, label=f"the zombie adds, v{version}")
        for version in (0, 1, 2, 3, 4):
            zombie.add_offsets(version=version, label=f"the zombie adds offsets, v{version}")
        for version in (3, 7, 11, 12):
            s.produce(zombie.batch([b"late"]), version=version, transactional_id=zombie.id, label=f"the zombie writes, v{version}")
            s.produce(zombie.batch([b"late"], 1), version=version, partition=1, transactional_id=zombie.id, label=f"the zombie writes to another, v{version}")
        for version in range(6):
            zombie.commit_offsets({s.topic(): [(0, 1)]}, version=version, label=f"the zombie commits offsets, v{version}")
        for version in range(6):
            zombie.end(True, version=version, label=f"the zombie commits, v{version}")
            zombie.end(False, version=version, label=f"the zombie aborts, v{version}")
        zombie.init(ProducerId=zombie.producer, ProducerEpoch=zombie.epoch, keep=True, label="the zombie recovers")
        taken.write([b"kept"])
        zombie.end(True, label="the zombie commits what is another's")
        taken.end(True)
        both(s, f"in the end, old {old}")


# Adding partitions, and records.

@sequence
def partitions_are_added_each_version(s: Session):
    kept_topic(s, partitions=3)
    t, nowhere = s.topic(), s.topic("nowhere")
    for version in range(6):
        one = Transactional(s, f"v{version}")
        one.add({t: [0]}, version=version, label=f"before it has begun, v{version}")
        one.init()
        one.add({t: [0]}, version=version, label=f"one, v{version}")
        one.add({t: [0, 1]}, version=version, label=f"the same and another, v{version}")
        one.describe()
        one.add({nowhere: [0]}, version=version, label=f"unknown topic, v{version}")
        one.add({t: [2, 3]}, version=version, label=f"unknown partition, v{version}")
        one.add({t: [2], nowhere: [0]}, version=version, label=f"some of both, v{version}")
        one.add({t: [-1]}, version=version, label=f"negative partition, v{version}")
        one.add({}, version=version, label=f"nothing, v{version}")
        one.add({t: []}, version=version, label=f"no partitions, v{version}")
        one.add({t: [2, 2]}, version=version, label=f"twice, v{version}")
        for key, value in (("ProducerId", NOBODY), ("ProducerId", -1), ("ProducerEpoch", 5), ("ProducerEpoch", -1), ("TransactionalId", "")):
            one.add({t: [0]}, version=version, label=f"{key} {value}, v{version}", **{key: value})
        one.add({"": [0]}, version=version, label=f"empty topic, v{version}")
        one.add({"__transaction_state": [0]}, version=version, label=f"an internal topic, v{version}")
        one.describe("in the end")
        one.end(False, version=3)


@sequence
def partitions_are_added_for_many(s: Session):
    kept_topic(s, partitions=2)
    t = [{"Name": s.topic(), "Partitions": [0, 1]}]
    one, two, three = Transactional(s, "one"), Transactional(s, "two"), Transactional(s, "three")
    for each in (one, two):
        each.init()
    for version in (4, 5):
        for label, transactions in {
            "verified before": [one.body(Topics=t, VerifyOnly=True)],
            "two, one of them unknown": [one.body(Topics=t), three.body(Topics=t)],
            "verified": [one.body(Topics=t, VerifyOnly=True), two.body(Topics=t, VerifyOnly=True)],
            "verified in part": [two.body(Topics=[{"Name": s.topic("nowhere"), "Partitions": [0]}, *t], VerifyOnly=True)],
            "one verified and one added": [one.body(Topics=t, VerifyOnly=True), two.body(Topics=t)],
            "a wrong epoch": [one.body(Topics=t, VerifyOnly=True) | {"ProducerEpoch": 9}, two.body(Topics=t)],
            "a wrong id": [one.body(Topics=t, VerifyOnly=True) | {"ProducerId": NOBODY}],
        }.items():
            s.send("AddPartitionsToTxn", version, {"Transactions": transactions}, label=f"{label}, v{version}")
        for each in (one, two):
            each.end(True, version=4)
    s.send("AddPartitionsToTxn", 4, {"Transactions": [one.body(Topics=t, VerifyOnly=True)]}, label="verified after the end")
    s.send("AddPartitionsToTxn", 5, {"Transactions": []}, label="none")


@sequence
def records_each_version(s: Session):
    topic_id = kept_topic(s)
    for old in (True, False):
        one = Transactional(s, f"old {old}", old=old)
        one.init()
        for version in range(3, 14):
            label = f"v{version}, old {old}"
            if version < 12:
                one.add({s.topic(): [0]}, label=f"adds for {label}")
            s.produce(one.batch([b"x", b"y"]), version=version, transactional_id=one.id, topic_id=topic_id, label=label)
            ends(s, f"open {label}")
            one.end(version % 2 == 0, label=f"ends {label}")
            ends(s, f"after {label}")
        one.describe()
    for version in range(4, 19):
        both(s, f"fetched v{version}", version=version, topic_id=topic_id)


@sequence
def records_that_are_refused(s: Session):
    kept_topic(s, partitions=8)
    for version in (3, 11, 12):
        one = Transactional(s, f"v{version}")
        put = lambda label, records, partition, **more: s.produce(records, version=version, partition=partition, label=f"{label}, v{version}", **{
            "transactional_id": one.id, **more})
        put("no id yet", batch([b"x"], timestamp=THEN, producer_id=4711, producer_epoch=0, base_sequence=0, attributes=TRANSACTIONAL), 7)
        one.init()
        fresh = lambda **more: batch([b"x"], **{"timestamp": THEN, "producer_id": one.producer, "producer_epoch": one.epoch, "base_sequence": 0,
                                                "attributes": TRANSACTIONAL, **more})
        put("not added", fresh(), 1)
        one.describe("after a partition that wasn't added")
        put("without the transactional id", fresh(), 2, transactional_id=None)
        put("another's transactional id", fresh(), 2, transactional_id=s.topic("another"))
        put("an empty transactional id", fresh(), 2, transactional_id="")
        put("an epoch to come", fresh(producer_epoch=one.epoch + 3), 3)
        put("another's producer id", fresh(producer_id=NOBODY), 3)
        put("acks 1", fresh(), 4, acks=1)
        one.add({s.topic(): [5, 6]}, label=f"adds two, v{version}")
        put("sequence 7", fresh(base_sequence=7), 5)
        put("sequence 0", fresh(), 5)
        put("sequence 0 again", fresh(), 5)
        put("a gap", fresh(base_sequence=9), 5)
        put("not transactional, in its transaction", fresh(attributes=0, base_sequence=1), 5)
        put("not transactional, without the id", fresh(attributes=0, base_sequence=1), 5, transactional_id=None)
        put("a control batch", fresh(attributes=0x30, base_sequence=1), 5)
        put("an epoch to come, in its transaction", fresh(producer_epoch=one.epoch + 1), 5)
        put("plain records with the id", batch([b"plain"], timestamp=THEN), 6)
        put("plain records", batch([b"plain"], timestamp=THEN), 6, transactional_id=None)
        put("no such partition", fresh(), 99)
        put("two batches", fresh(base_sequence=1) + fresh(base_sequence=2), 5)
        one.describe()
        one.end(True, version=4)
        put("after the end", fresh(base_sequence=2), 5)
        ends(s, f"v{version}", partitions=8)


@sequence
def several_partitions_in_one_produce(s: Session):
    kept_topic(s, partitions=4)
    one = Transactional(s)
    one.init()
    for version in (11, 12):
        if version == 11:
            one.add({s.topic(): [0, 1]})
        s.send("Produce", version, {"TransactionalId": one.id, "Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": s.topic(), "PartitionData": [
            *({"Index": p, "Records": one.batch([b"v%d" % version], p)} for p in range(3)), {"Index": 9, "Records": one.batch([b"x"], 9)}]}]})
        one.describe()
        one.end(True)
        ends(s, f"v{version}", partitions=4)


# The end.

@sequence
def ends_each_version(s: Session):
    kept_topic(s)
    for version in range(6):
        for wanted in (True, False):
            one = Transactional(s, f"v{version} {wanted}", old=version < 5)
            label = lambda text: f"{text}, {wanted}, v{version}"
            one.end(wanted, version=version, label=label("before it has an id"))
            one.init()
            one.end(wanted, version=version, label=label("of nothing"))
            one.end(not wanted, version=version, label=label("of nothing, the other way"))
            one.write([b"x"])
            before = {"ProducerId": one.producer, "ProducerEpoch": one.epoch}
            for key, value in (("ProducerId", NOBODY), ("ProducerEpoch", one.epoch + 5), ("ProducerEpoch", -1), ("TransactionalId", ""),
                               ("TransactionalId", s.topic("nobody"))):
                one.end(wanted, version=version, label=label(f"{key} {value}"), **{key: value})
            one.end(wanted, version=version, label=label("it"))
            one.describe(label("described"))
            ends(s, label("ends"))
            one.end(wanted, version=version, label=label("again"), **before)
            one.end(not wanted, version=version, label=label("the other way, with the epoch before"), **before)
            one.end(not wanted, version=version, label=label("the other way"))
            one.end(wanted, version=version, label=label("once more"))
            one.describe(label("described in the end"))
            one.write([b"y"], label=label("goes on"))
            one.end(True, label=label("the next"))
    both(s, "in the end")


@sequence
def clients_of_both_kinds_take_turns(s: Session):
    kept_topic(s)
    one = Transactional(s)
    one.init(version=4)
    for old in (True, False, True, True, False, False, True):
        one.old = old
        one.write([b"old" if old else b"new"])
        one.describe(f"open, old {old}")
        one.end(True)
        one.describe(f"ended, old {old}")
    both(s, "in the end")


@sequence
def transactions_that_time_out(s: Session):
    kept_topic(s, partitions=2)
    for old in (True, False):
        one = Transactional(s, f"old {old}", old=old, timeout_ms=300)
        one.init()
        one.write([b"slow"])
        one.settle(("CompleteAbort",))
        one.describe("timed out")
        ends(s, "timed out", partitions=2)
        for version in (1, 2, 4, 5):
            one.end(True, version=version, label=f"commits too late, old {old}, v{version}")
            one.end(False, version=version, label=f"aborts too late, old {old}, v{version}")
        for version in (1, 3, 4):
            one.add({s.topic(): [1]}, version=version, label=f"adds too late, old {old}, v{version}")
        s.produce(one.batch([b"late"], 0), version=11, transactional_id=one.id, label=f"writes too late, old {old}, v11")
        s.produce(one.batch([b"late"], 1), version=12, partition=1, transactional_id=one.id, label=f"writes too late, old {old}, v12")
        one.init(ProducerId=one.producer, ProducerEpoch=one.epoch, label="recovers")
        one.describe("recovered")
        one.init(label="begins anew")
        one.write([b"next"])
        one.end(True)
        both(s, f"in the end, old {old}")


# What readers see.

@sequence
def readers_of_what_is_committed(s: Session):
    kept_topic(s)
    one, two = Transactional(s, "one"), Transactional(s, "two", old=True)
    one.init()
    two.init()
    plain = lambda text: s.produce(batch([text], timestamp=THEN), label=text.decode())
    plain(b"plain 0")
    one.write([b"one 1", b"one 2"])
    both(s, "one open")
    plain(b"plain 3")
    two.write([b"two 4"])
    both(s, "both open")
    one.end(False)
    both(s, "one aborted")
    both(s, "from the other's offset", 4)
    one.write([b"one again"])
    two.write([b"two again"])
    two.end(True)
    both(s, "two committed")
    one.end(False)
    plain(b"plain")
    for offset in range(0, 12):
        both(s, f"from {offset}", offset)
    both(s, "a few bytes", 0, PartitionMaxBytes=1)
    both(s, "a few bytes from 4", 4, PartitionMaxBytes=1)
    for version in (4, 5, 10, 12):
        both(s, f"version {version}", version=version)
    ends(s, "in the end")
    for level in (-1, 2):
        s.fetch(0, body={"IsolationLevel": level}, label=f"isolation level {level}")
        s.send("ListOffsets", 7, {"ReplicaId": -1, "IsolationLevel": level, "Topics": [{"Name": s.topic(), "Partitions": [
            {"PartitionIndex": 0, "Timestamp": -1}]}]}, label=f"the end at isolation level {level}")


@sequence
def offsets_below_an_open_transaction(s: Session):
    kept_topic(s)
    for i in range(3):
        s.produce(batch([b"x"], timestamp=THEN + i * 1000), label=f"plain {i}")
    one = Transactional(s)
    one.init()
    one.write([b"y"], timestamp=THEN + 3000)
    s.produce(batch([b"x"], timestamp=THEN + 4000), label="plain after")
    for timestamp in (-1, -2, -3, THEN, THEN + 2000, THEN + 2500, THEN + 3500, THEN + 9000):
        ends(s, f"timestamp {timestamp - THEN if timestamp > 0 else timestamp}", timestamp=timestamp)
    one.end(True)
    for timestamp in (-1, -3, THEN + 2500, THEN + 3500, THEN + 9000):
        ends(s, f"committed, timestamp {timestamp - THEN if timestamp > 0 else timestamp}", timestamp=timestamp)


@sequence
def readers_wait_for_a_marker(s: Session):
    kept_topic(s)
    one = Transactional(s)
    one.init()
    one.write([b"x"])
    body = lambda level, bytes_: {"MaxWaitMs": 5000, "MinBytes": bytes_, "MaxBytes": 1 << 20, "IsolationLevel": level, "Topics": [
        {"Topic": s.topic(), "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}]}]}
    waiting = s.begin("Fetch", 11, body(1, 1), on="reader")
    s.waits(waiting)
    one.end(True)
    answer = s.answer(waiting)
    for responses in answer.get("Responses", []):
        for fetched in responses["Partitions"]:
            fetched["Records"] = len(fetched["Records"] or b"") > 0


@sequence
def records_are_deleted_under_transactions(s: Session):
    kept_topic(s)
    one, two = Transactional(s, "one"), Transactional(s, "two")
    one.init()
    two.init()
    one.write([b"a", b"b", b"c"])
    one.end(False)
    two.write([b"d", b"e", b"f"])
    def delete_before(offset: int) -> None:
        s.send("DeleteRecords", 2, {"TimeoutMs": 5000, "Topics": [{"Name": s.topic(), "Partitions": [
            {"PartitionIndex": 0, "Offset": offset}]}]}, label=f"delete before {offset}")
    delete_before(1)
    both(s, "into the aborted one", 1)
    delete_before(5)
    both(s, "into the open one", 5)
    ends(s, "into the open one")
    producers(s, "producers", {s.topic(): [0]})
    delete_before(-1)
    ends(s, "to the high watermark")
    two.write([b"g"])
    two.end(True)
    both(s, "in the end", 7)
    ends(s, "in the end")


# Offsets.

@sequence
def offsets_each_version(s: Session):
    s.create_group_topic(partitions=3)
    t = s.topic()
    for version in range(6):
        one = Transactional(s, f"v{version}", old=version < 5)
        one.init()
        group = f"group {version}"
        if version < 5:
            one.add_offsets(group, version=min(version, 4))
        one.commit_offsets({t: [(0, 10 + version, "meta"), (1, 7)]}, group, version=version)
        one.describe()
        for stable_only in (False, True):
            fetch(s, f"pending v{version}, stable {stable_only}", {t: [0, 1, 2]}, group=group, stable=stable_only)
            fetch(s, f"all pending v{version}, stable {stable_only}", None, group=group, stable=stable_only)
        fetch(s, f"pending, asked with v7, v{version}", {t: [0, 2]}, group=group, stable=True, version=7)
        one.end(True)
        fetched_when_there(s, f"committed v{version}", {t: [0, 1, 2]}, group)
        if version < 5:
            one.add_offsets(group, version=min(version, 4))
        one.commit_offsets({t: [(0, 99), (2, 99)]}, group, version=version)
        one.end(False)
        fetched_when_there(s, f"aborted v{version}", {t: [0, 1, 2]}, group)


def fetched_when_there(s: Session, label: str, topics: dict[str, list[int]], group: str) -> None:
    """OffsetFetch once the group's partition has its marker, which may come a moment after the coordinator's word that it has."""
    for _ in range(200):
        answer = s.quiet("OffsetFetch", 9, {"RequireStable": True, "Groups": [{"GroupId": s.topic(group), "Topics": [
            {"Name": n, "PartitionIndexes": p} for n, p in topics.items()], "MemberId": None, "MemberEpoch": -1}]})
        if all(p["ErrorCode"] == 0 for g in answer["Groups"] for t in g["Topics"] for p in t["Partitions"]):
            break
        time.sleep(0.01)
    fetch(s, label, topics, group=group, stable=True)


@sequence
def offsets_that_are_refused(s: Session):
    s.create_group_topic(partitions=2)
    t = s.topic()
    for version in (0, 2, 3, 4, 5):
        one = Transactional(s, f"v{version}", old=version < 5)
        put = lambda label, topics=None, **more: one.commit_offsets({t: [(0, 5)]} if topics is None else topics, version=version,
                                                                    label=f"{label}, v{version}", **more)
        put("before it has an id")
        one.init()
        put("nothing added")
        one.describe(f"nothing added, v{version}")
        one.add_offsets(version=min(version, 4), label=f"added v{version}")
        put("another group than the added one", group="elsewhere")
        put("empty group", GroupId="")
        put("unknown topic", {s.topic("nowhere"): [(0, 1)]})
        put("unknown partition", {t: [(0, 1), (2, 1), (-1, 1)]})
        put("no topics", {})
        put("no partitions", {t: []})
        put("long metadata", {t: [(0, 1, "x" * 5000), (1, 2)]})
        put("null metadata", {t: [(0, 1, None)]})
        put("negative offset", {t: [(0, -1)]})
        put("an epoch to come", ProducerEpoch=one.epoch + 3)
        put("a negative epoch", ProducerEpoch=-1)
        put("another's producer id", ProducerId=NOBODY)
        put("another's transactional id", TransactionalId=s.topic("another"))
        put("an empty transactional id", TransactionalId="")
        if version >= 3:
            put("a member of no group", MemberId=UNKNOWN_MEMBER, GenerationId=3)
            put("a generation without a member", GenerationId=3)
            put("an instance of no group", MemberId=UNKNOWN_MEMBER, GenerationId=3, GroupInstanceId="instance")
        one.end(True)
        fetched_when_there(s, f"in the end, v{version}", {t: [0, 1]}, "group")
    for version in range(5):
        one = Transactional(s, f"adds v{version}", old=True)
        one.add_offsets(version=version, label=f"adds before it has an id, v{version}")
        one.init()
        for key, value in (("ProducerId", NOBODY), ("ProducerId", -1), ("ProducerEpoch", 5), ("ProducerEpoch", -1), ("TransactionalId", ""),
                           ("TransactionalId", s.topic("nobody")), ("GroupId", "")):
            one.add_offsets(version=version, label=f"adds with {key} {value}, v{version}", **{key: value})
        one.add_offsets(version=version, label=f"adds, v{version}")
        one.add_offsets(version=version, label=f"adds again, v{version}")
        one.describe(f"what was added, v{version}")
        one.end(False)


@sequence
def offsets_of_members(s: Session):
    s.create_group_topic(partitions=2)
    t = s.topic()
    one = Transactional(s)
    one.init()
    member = Classic(s, "member", group="classic", instance="static")
    stable(s, member)
    said = {"MemberId": member.member_id, "GenerationId": member.generation, "GroupInstanceId": "static"}
    modern = Consumer(s, "modern", group="consumer")
    modern.join()
    modern.own()
    says = {"MemberId": modern.member_id, "GenerationId": modern.epoch}
    for version in (3, 4, 5):
        for group, right in (("classic", said), ("consumer", says)):
            put = lambda label, **more: one.commit_offsets({t: [(0, version)]}, group, version=version, label=f"{label}, {group} v{version}", **more)
            if version < 5:
                one.old = True
                one.add_offsets(group)
            put("a member", **right)
            put("without a member")
            put("an older generation", **right | {"GenerationId": right["GenerationId"] - 1})
            put("a generation to come", **right | {"GenerationId": right["GenerationId"] + 1})
            put("another member", **right | {"MemberId": UNKNOWN_MEMBER})
            put("another instance", **right | {"GroupInstanceId": "another"})
            put("without its instance", **right | {"GroupInstanceId": None})
            one.old = version < 5
            one.end(True)
            fetched_when_there(s, f"{group} v{version}", {t: [0]}, group)


@sequence
def offsets_that_are_pending(s: Session):
    s.create_group_topic(partitions=3)
    t = s.topic()
    one, two = Transactional(s, "one"), Transactional(s, "two")
    one.init()
    two.init()
    one.commit_offsets({t: [(0, 1), (1, 1)]})
    commit(s, "a plain one after it", {t: [(0, 5)]}, group="group")
    two.commit_offsets({t: [(0, 8)]})
    fetch(s, "both pending", {t: [0, 1, 2]}, group="group", stable=True)
    fetch(s, "both pending, unstable too", {t: [0, 1, 2]}, group="group")
    s.send("DeleteGroups", 2, {"GroupsNames": [s.topic("group")]}, label="delete the group")
    delete(s, "delete an offset", {t: [0, 1, 2]}, group="group")
    fetch(s, "after the deletions", {t: [0, 1, 2]}, group="group")
    two.end(False)
    one.end(True)
    fetched_when_there(s, "both ended", {t: [0, 1, 2]}, "group")
    one.commit_offsets({t: [(0, 21)]}, "other")
    fetch(s, "a group of pending offsets alone", {t: [0]}, group="other")
    s.send("DeleteGroups", 2, {"GroupsNames": [s.topic("other")]}, label="delete the group of pending offsets")
    one.end(True)
    fetched_when_there(s, "what became of it", {t: [0]}, "other")
    one.commit_offsets({t: [(2, 3)]})
    commit(s, "the plain one comes later", {t: [(2, 9)]}, group="group")
    one.end(True)
    fetched_when_there(s, "which of the two", {t: [2]}, "group")


# What administrators ask.

@sequence
def descriptions_and_lists(s: Session):
    kept_topic(s, partitions=2)
    describe(s, s.topic("nowhere"), "", label="those that nobody knows")
    describe(s, label="none")
    empty, open_, done, gone = (Transactional(s, name) for name in ("empty", "open", "done", "gone"))
    for each in (empty, open_, done, gone):
        each.init()
        if each is not empty:
            each.write([b"x"])
            each.write([b"x"], 1)
    done.end(True)
    gone.end(False)
    describe(s, empty.id, open_.id, done.id, gone.id, s.topic("nowhere"), label="one of each")
    describe(s, open_.id, open_.id, label="twice")
    for version in range(3):
        list_transactions(s, version=version)
        for states in (["Ongoing"], ["Empty", "CompleteCommit"], ["CompleteAbort", "nonsense"], ["ongoing"], ["Dead"], ["PrepareEpochFence", "PrepareCommit"]):
            list_transactions(s, version=version, StateFilters=states, label=f"states {states}, v{version}")
        list_transactions(s, version=version, ProducerIdFilters=[open_.producer, NOBODY], label=f"by producer, v{version}")
        list_transactions(s, version=version, ProducerIdFilters=[open_.producer, done.producer], StateFilters=["Ongoing"], label=f"by both, v{version}")
    for duration in (-5, -1, 0, 3_600_000):
        list_transactions(s, DurationFilter=duration, label=f"duration {duration}")
    for pattern in (None, "", s.topic("o.*"), s.topic("open"), "open", "(", "[[:alpha:]]+", r"\Q" + s.topic("done") + r"\E", ".*(?i)DONE"):
        list_transactions(s, TransactionalIdPattern=pattern, label=f"pattern {pattern}")
    producers(s, "producers", {s.topic(): [0, 1]})
    producers(s, "producers of nowhere", {s.topic(): [2, -1], s.topic("nowhere"): [0], "": [0]})
    producers(s, "producers of nothing", {})
    open_.end(True)
    producers(s, "producers at the end", {s.topic(): [0, 1]})


@sequence
def markers_by_hand(s: Session):
    """Of version 1 alone: version 2 (KIP-1228) is newer than FluxMQ's message model, which ApiVersions' rule says."""
    kept_topic(s, partitions=4)
    t = s.topic()
    for version in (1,):
        one = Transactional(s, f"v{version}", old=True)
        one.init()
        say = lambda label, commit=False, topics=None, producer=None, epoch=None, **more: marker(
            s, f"{label}, v{version}", one.producer if producer is None else producer, one.epoch if epoch is None else epoch, commit,
            {t: [0]} if topics is None else topics, version=version, **more)
        say("for one that never wrote")
        one.write([b"hanging"])
        say("for nobody knows where", topics={s.topic("nowhere"): [0], t: [9, -1]})
        say("for nothing", topics={})
        say("an epoch to come", epoch=one.epoch + 1, topics={t: [3]})
        say("a negative epoch", epoch=-1)
        say("abort")
        ends(s, f"aborted by hand, v{version}")
        producers(s, f"aborted by hand, v{version}", {t: [0]})
        say("abort again")
        say("a negative coordinator epoch", coordinator_epoch=-1)
        one.describe()
        one.end(True, label=f"the coordinator's own, v{version}")
        one.describe()
        own = {"producer": NOBODY + 10 * version, "topics": {t: [1]}}
        say("an id that nobody was given", epoch=2, coordinator_epoch=3, **own)
        say("a coordinator of old", epoch=2, coordinator_epoch=2, **own)
        say("a newer one", commit=True, epoch=2, coordinator_epoch=4, **own)
        say("an older epoch", epoch=1, coordinator_epoch=4, **own)
        say("a newer epoch", epoch=3, coordinator_epoch=4, **own)
        producers(s, f"in the end, v{version}", {t: [1]})
        say("a negative id", producer=-1, topics={t: [1]})
    modern = Transactional(s, "modern")
    modern.init()
    modern.write([b"x"], 2)
    say = lambda label, epoch: marker(s, label, modern.producer, epoch, False, {t: [2]}, version=1)
    say("a modern one, its own epoch", modern.epoch)
    say("a modern one, the next epoch", modern.epoch + 1)
    say("a modern one, the same once more", modern.epoch + 1)
    say("a modern one, the one after", modern.epoch + 2)
    ends(s, "a modern one", partitions=4)
    producers(s, "a modern one", {t: [2]})
    both(s, "in the end")
    s.send("WriteTxnMarkers", 1, {"Markers": []}, label="no markers")
    s.send("WriteTxnMarkers", 1, {"Markers": [{"ProducerId": NOBODY + i, "ProducerEpoch": 0, "TransactionResult": i == 1, "CoordinatorEpoch": 0,
           "Topics": [{"Name": t, "PartitionIndexes": [1, 2]}]} for i in range(2)]}, label="two markers")


@sequence
def features_of_transactions(s: Session):
    for version in (0, 1, 2):
        for level, kind in ((2, 1), (1, 1), (1, 2), (1, 3), (0, 2), (3, 1), (-1, 1)):
            if version == 0:
                continue  # it can't be asked for validation alone
            s.send("UpdateFeatures", version, {"timeoutMs": 5000, "ValidateOnly": True, "FeatureUpdates": [
                {"Feature": "transaction.version", "MaxVersionLevel": level, "UpgradeType": kind}]}, label=f"level {level}, kind {kind}, v{version}")
        s.send("UpdateFeatures", version, {"timeoutMs": 5000, "ValidateOnly": True, "FeatureUpdates": [
            {"Feature": "no.such.version", "MaxVersionLevel": 1}]}, label=f"an unknown feature, v{version}")
        s.send("UpdateFeatures", version, {"timeoutMs": 5000, "ValidateOnly": True, "FeatureUpdates": []}, label=f"nothing, v{version}")
        s.send("UpdateFeatures", version, {"timeoutMs": 5000, "FeatureUpdates": [
            {"Feature": "transaction.version", "MaxVersionLevel": 2}]}, label=f"the level that is, v{version}")


@sequence
def transactional_ids_and_internal_topics(s: Session):
    s.send("Metadata", 12, {"Topics": [{"Name": "__transaction_state"}]}, label="the topic of transactions")
    s.produce(batch([b"x"]), name="topic", label="a topic that is not there")
    s.send("Produce", 9, {"TransactionalId": None, "Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": "__transaction_state", "PartitionData": [{"Index": 0, "Records": batch([b"x"])}]}]}, label="a client's records")
    s.send("DeleteRecords", 2, {"TimeoutMs": 5000, "Topics": [{"Name": "__transaction_state", "Partitions": [
        {"PartitionIndex": 0, "Offset": -1}]}]}, label="its records deleted")
    s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": 2, "ResourceName": "__transaction_state", "ConfigurationKeys": [
        "cleanup.policy", "segment.bytes", "compression.type", "min.insync.replicas", "unclean.leader.election.enable"]}]}, label="its settings")
