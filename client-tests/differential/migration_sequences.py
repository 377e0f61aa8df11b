"""What is said to both servers about groups that change protocols, and in the words of the one to groups of the other."""

import struct
import time

from .groups import (UNKNOWN_MEMBER, Classic, Consumer, assignment, describe, describe_consumer, list_groups, settle, stable,
                     subscription)
from .session import Session

SEQUENCES = []


def sequence(function):
    SEQUENCES.append(function)
    return function


@sequence
def classic_words_to_a_consumer_group(s: Session):
    s.create_group_topic()
    one = Consumer(s, "one")
    one.join()
    one.own()
    body = {"GroupId": one.group, "MemberId": "one"}
    for version in (0, 4):
        s.send("Heartbeat", version, {**body, "GenerationId": one.epoch}, label=f"beat v{version}")
    for version in (0, 5):
        s.send("SyncGroup", version, {**body, "GenerationId": one.epoch, "ProtocolType": "consumer", "ProtocolName": "range"}, label=f"sync v{version}")
    s.send("Heartbeat", 4, {**body, "GenerationId": one.epoch, "MemberId": UNKNOWN_MEMBER}, label="an unknown member beats")
    s.send("SyncGroup", 5, {**body, "GenerationId": one.epoch, "MemberId": UNKNOWN_MEMBER, "ProtocolType": "consumer", "ProtocolName": "range"}, label="an unknown member syncs")
    for label, kind, protocols in (("another type", "connect", [("x", b"y")]), ("no protocols", "consumer", []), ("no type", "", [("range", subscription([s.topic()]))]),
                                   ("rubbish", "consumer", [("range", b"\xff\xff")]), ("cut", "consumer", [("range", subscription([s.topic()])[:-2])]),
                                   ("version 0 of a subscription", "consumer", [("range", subscription([s.topic()], version=0))]),
                                   ("only some readable", "consumer", [("a", b""), ("range", subscription([s.topic()]))])):
        answer = s.send("JoinGroup", 9, {"GroupId": one.group, "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 10_000, "MemberId": "", "ProtocolType": kind,
                        "Protocols": [{"Name": n, "Metadata": m} for n, m in protocols]}, label=f"join: {label}")
        if answer.get("ErrorCode") == 79:
            s.send("JoinGroup", 9, {"GroupId": one.group, "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 10_000, "MemberId": answer["MemberId"],
                   "ProtocolType": kind, "Protocols": [{"Name": n, "Metadata": m} for n, m in protocols]}, label=f"join with the id: {label}", on=label)
    s.send("JoinGroup", 9, {"GroupId": one.group, "SessionTimeoutMs": 400, "RebalanceTimeoutMs": 10_000, "MemberId": "", "ProtocolType": "consumer",
                            "Protocols": [{"Name": "range", "Metadata": subscription([s.topic()])}]}, label="join: a session too short")
    s.send("LeaveGroup", 5, {"GroupId": one.group, "Members": [{"MemberId": UNKNOWN_MEMBER}, {"MemberId": "one"}, {"MemberId": "", "GroupInstanceId": "z"}]}, label="the consumer leaves by LeaveGroup")
    describe_consumer(s, "group")


@sequence
def consumer_words_to_a_classic_group(s: Session):
    s.create_group_topic()
    odd = Classic(s, "connect", group="odd", protocol_type="connect", protocols=[("x", b"y")])
    stable(s, odd, give={odd: b"z"})
    Consumer(s, "one", group="odd").join("to a group of another type")
    rubbish = Classic(s, "rubbish", group="rubbish", protocols=[("range", b"\xff")])
    rubbish.join()
    rubbish.sync({rubbish: b""})
    Consumer(s, "two", group="rubbish").join("to a group that can't be read")
    data = Classic(s, "user data", group="data", protocols=[("range", subscription([s.topic()], user_data=b"mine"))])
    stable(s, data)
    Consumer(s, "three", group="data").join("to a group with user data")
    unassigned = Classic(s, "assigned rubbish", group="assigned")
    stable(s, unassigned, give={unassigned: b"\0"})
    Consumer(s, "four", group="assigned").join("to a group with assignments that can't be read")
    given = Classic(s, "given data", group="given")
    stable(s, given, give={given: assignment({s.topic(): [0]})[:-4] + struct.pack(">i", 4) + b"data"})
    Consumer(s, "six", group="given").join("to a group with user data in its assignments")
    live = Classic(s, "live", group="live")
    stable(s, live)
    for epoch in (1, -1, -2):
        s.send("ConsumerGroupHeartbeat", 1, {"GroupId": live.group, "MemberId": "five", "MemberEpoch": epoch, "InstanceId": "i" if epoch == -2 else None}, label=f"epoch {epoch}")
    for group in ("odd", "rubbish", "data", "assigned", "live"):
        describe(s, group)


@sequence
def an_empty_group_changes_sides(s: Session):
    s.create_group_topic()
    classic = Classic(s, "classic")
    stable(s, classic)
    classic.commit(7)
    classic.leave()
    modern = Consumer(s, "modern")
    modern.join()
    describe_consumer(s, "group")
    list_groups(s)
    s.send("OffsetFetch", 9, {"Groups": [{"GroupId": modern.group, "MemberId": "modern", "MemberEpoch": modern.epoch, "Topics": None}]}, label="the offsets came along")
    modern.commit(8)
    modern.leave()
    back = Classic(s, "back")
    back.join()
    back.sync({back: assignment({s.topic(): [0]})})
    describe(s, "group", label="back")
    list_groups(s)
    s.send("OffsetFetch", 7, {"GroupId": modern.group, "Topics": None}, label="and went back")


@sequence
def a_simple_group_becomes_a_consumer_group(s: Session):
    s.create_group_topic()
    s.send("OffsetCommit", 9, {"GroupId": s.topic("group"), "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
        {"Name": s.topic(), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 3, "CommittedMetadata": "m"}]}]})
    one = Consumer(s, "one")
    one.join()
    describe_consumer(s, "group")
    s.send("OffsetFetch", 7, {"GroupId": one.group, "Topics": None}, label="its offsets")
    one.leave()
    list_groups(s)


@sequence
def members_change_sides_one_by_one(s: Session):
    s.create_group_topic(partitions=4)
    # The ids of classic members begin with those of their clients, and the range assignor goes by the order of ids.
    one, two = Classic(s, "one", client_id="a"), Classic(s, "two", client_id="b")
    stable(s, one)
    settle(s, one, two, give={one: assignment({s.topic(): [0, 1]}), two: assignment({s.topic(): [2, 3]})})
    one.commit(5)
    modern = Consumer(s, "modern", assignor="range")
    modern.join("the first modern member")
    describe_consumer(s, "group", label="mixed")
    describe(s, "group", label="mixed, asked as classic")
    list_groups(s)
    for member in (one, two):
        member.heartbeat(f"{member.name} hears of it")
    one.commit(6, label="a classic member commits in the rebalance")
    one.join()
    two.join()
    one.sync()
    two.sync()
    modern.say()
    modern.own()
    for member in (one, two):
        if member.heartbeat():
            member.join()
            member.sync()
    for _ in range(2):
        modern.say()
        modern.own()
        for member in (one, two):
            if member.heartbeat():
                member.join()
                member.sync()
    describe_consumer(s, "group", label="mixed and settled")
    one.commit(7, partition=0)
    modern.commit(9, partition=3)
    two.leave()
    modern.say()
    modern.own()
    describe_consumer(s, "group", label="one classic member is left")
    # The last modern member leaves: the group goes back.
    modern.leave()
    describe(s, "group", label="classic again")
    list_groups(s)
    one.heartbeat("the classic member hears of it")
    one.join()
    one.sync({one: assignment({s.topic(): [0, 1, 2, 3]})})
    one.heartbeat()
    describe(s, "group", label="in the end")


@sequence
def classic_members_of_a_consumer_group_err(s: Session):
    s.create_group_topic(partitions=2)
    one = Classic(s, "one", session_ms=4000)
    stable(s, one)
    modern = Consumer(s, "modern")
    modern.join()
    one.heartbeat("the rebalance")
    one.sync()
    one.synced(one.begin_sync(ProtocolType="connect"))
    one.synced(one.begin_sync(ProtocolName="roundrobin"))
    one.synced(one.begin_sync(GenerationId=99))
    one.synced(one.begin_sync(MemberId=UNKNOWN_MEMBER))
    one.heartbeat("generation ahead", GenerationId=99)
    one.heartbeat("unknown", MemberId=UNKNOWN_MEMBER)
    one.heartbeat("an instance it hasn't", GroupInstanceId="z")
    for version in (2, 7, 9):
        one.commit(3, version=version, label=f"commit v{version}")
        one.commit(3, version=version, label=f"commit, generation ahead v{version}", GenerationIdOrMemberEpoch=99)
    s.send("JoinGroup", 9, one.join_body(ProtocolType="connect"), on="one", label="as another type")
    s.send("JoinGroup", 9, one.join_body(Protocols=[{"Name": "x", "Metadata": b"\0"}]), on="one", label="with rubbish")
    s.send("JoinGroup", 9, one.join_body(MemberId=UNKNOWN_MEMBER), on="one", label="as somebody unknown")
    one.join()
    one.sync()
    s.send("LeaveGroup", 5, {"GroupId": one.group, "Members": [{"MemberId": UNKNOWN_MEMBER}, {"MemberId": "modern"}]}, label="strangers leave")
    one.leave()
    one.leave(label="one leaves again")
    describe_consumer(s, "group")


@sequence
def a_classic_member_of_a_consumer_group_falls_silent(s: Session):
    s.create_group_topic(partitions=2)
    one = Classic(s, "one", session_ms=1000)
    stable(s, one)
    modern = Consumer(s, "modern")
    modern.join()
    time.sleep(1.6)
    modern.say("once its session has ended")
    modern.own()
    describe_consumer(s, "group")
    one.heartbeat("too late")


@sequence
def a_classic_member_of_a_consumer_group_never_joins(s: Session):
    s.create_group_topic(partitions=2)
    one = Classic(s, "one", rebalance_ms=1250)
    stable(s, one, give=None)
    modern = Consumer(s, "modern")
    modern.join()
    for _ in range(4):
        time.sleep(0.5)
        one.heartbeat("one only beats")
    modern.say()
    describe_consumer(s, "group")


@sequence
def a_static_classic_member_is_replaced_by_a_modern_one(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one", instance="a"), Classic(s, "two", instance="b")
    stable(s, one)
    settle(s, one, two)
    modern = Consumer(s, "modern", instance="a")
    modern.join()
    one.heartbeat("the replaced one")
    two.heartbeat("the other")
    describe_consumer(s, "group")
    two.join()
    two.sync()
    modern.say()
    modern.own()
    describe_consumer(s, "group", label="settled")
    other = Consumer(s, "modern two", instance="b")
    other.join("the other is replaced too")
    modern.say()
    other.own()
    describe_consumer(s, "group", label="all modern")
    back = Classic(s, "back", instance="a")
    back.join()
    describe(s, "group")
    describe_consumer(s, "group", label="one went back")


@sequence
def a_classic_member_joins_a_consumer_group(s: Session):
    s.create_group_topic(partitions=2)
    modern = Consumer(s, "modern")
    modern.join()
    modern.own()
    for version in (0, 3, 4, 9):
        classic = Classic(s, f"classic v{version}", version=version)
        classic.join()
        classic.sync()
        modern.say()
        modern.own()
        if classic.heartbeat(version=min(4, version)):
            classic.join()
            classic.sync()
        describe_consumer(s, "group", label=f"with a classic member v{version}")
        classic.leave(version=min(5, version))
        modern.say()
        modern.own()


@sequence
def topics_of_classic_members_are_described(s: Session):
    s.create_group_topic("a", partitions=2)
    s.create_group_topic("b", partitions=2)
    one = Classic(s, "one", protocols=[("range", subscription([s.topic("a"), s.topic("b")], version=3, rack="r", owned={s.topic("a"): [0]}, generation=1)),
                                       ("cooperative-sticky", subscription([s.topic("a")]))])
    stable(s, one, give={one: assignment({s.topic("a"): [0, 1], s.topic("b"): [0, 1]})})
    modern = Consumer(s, "modern", topics=[s.topic("a")])
    modern.join()
    describe_consumer(s, "group")
    list_groups(s)
