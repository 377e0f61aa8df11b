"""What is said to both servers about classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup and what describes them."""

import struct
import time

from .groups import UNKNOWN_MEMBER, Classic, assignment, describe, list_groups, settle, stable, subscription
from .session import Session

SEQUENCES = []


def sequence(function):
    SEQUENCES.append(function)
    return function


# Finding the coordinator.

@sequence
def find_coordinator_each_version(s: Session):
    for version in range(7):
        body = {"Key": s.topic("group"), "CoordinatorKeys": [s.topic("group"), s.topic("other")]}
        s.send("FindCoordinator", version, {**body, "KeyType": 0})


@sequence
def find_coordinator_oddly(s: Session):
    for version in (3, 4, 6):
        for key in ("", "x" * 300):
            s.send("FindCoordinator", version, {"Key": key, "CoordinatorKeys": [key]}, label=f"key of {len(key)} v{version}")
        for kind in (-1, 3, 9):
            s.send("FindCoordinator", version, {"Key": "a", "KeyType": kind, "CoordinatorKeys": ["a", "b"]}, label=f"kind {kind} v{version}")
    s.send("FindCoordinator", 4, {"CoordinatorKeys": []}, label="no keys")
    s.send("FindCoordinator", 4, {"CoordinatorKeys": [s.topic("a"), s.topic("a")]}, label="a key twice")


@sequence
def the_coordinator_of_other_things(s: Session):
    s.send("FindCoordinator", 5, {"KeyType": 2, "CoordinatorKeys": ["a"]}, label="a share partition, v5")
    s.send("FindCoordinator", 6, {"KeyType": 2, "CoordinatorKeys": ["a"]}, label="a share partition that is none")


# A group of one.

@sequence
def join_each_version(s: Session):
    s.create_group_topic()
    for version in range(10):
        member = Classic(s, "one", group=f"group-{version}", version=version)
        member.join()
        member.sync({member: assignment({s.topic(): [0]})})
        member.heartbeat(version=min(version, 4))
        member.commit(5, version=max(2, min(version, 9)))
        member.leave(version=min(version, 5))


@sequence
def describe_each_version(s: Session):
    s.create_group_topic()
    member = Classic(s, "one", instance="static")
    stable(s, member)
    for version in range(7):
        describe(s, "group", "nowhere", version=version, label=f"v{version}")
    for version in (3, 6):
        s.send("DescribeGroups", version, {"Groups": [s.topic("nowhere")], "IncludeAuthorizedOperations": True}, label=f"operations v{version}")
    s.send("DescribeGroups", 6, {"Groups": []}, label="no groups")
    s.send("DescribeGroups", 6, {"Groups": [""]}, label="empty id")
    describe(s, "group", "group", label="a group twice")
    s.send("ConsumerGroupDescribe", 1, {"GroupIds": [s.topic("group"), s.topic("nowhere"), ""]}, label="as consumer groups")


@sequence
def list_each_version(s: Session):
    s.create_group_topic()
    one, two = Classic(s, "one", group="stable"), Classic(s, "two", group="syncing")
    stable(s, one)
    two.join()
    empty = Classic(s, "three", group="empty")
    stable(s, empty)
    empty.leave()
    other = Classic(s, "four", group="other", protocol_type="connect", protocols=[("default", b"xyz")])
    stable(s, other, give={other: b"given"})
    s.send("OffsetCommit", 9, {"GroupId": s.topic("simple"), "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
        {"Name": s.topic(), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": ""}]}]})
    for version in range(6):
        list_groups(s, version=version)
    for states in (["Stable"], ["stable"], ["STABLE", "Empty"], ["CompletingRebalance"], ["PreparingRebalance"], ["Dead"],
                   ["Assigning"], ["nonsense"], [""], ["Stable", "nonsense"]):
        for version in (4, 5):
            list_groups(s, version=version, states=states, label=f"states {states} v{version}")
    for types in (["classic"], ["Classic"], ["consumer"], ["share"], ["streams"], ["nonsense"], [""], ["classic", "nonsense"]):
        list_groups(s, types=types, label=f"types {types}")
    list_groups(s, states=["Empty"], types=["classic"], label="both filters")
    describe(s, "stable", "syncing", "empty", "other", "simple")


@sequence
def join_wrongly(s: Session):
    def join(label, version=9, **more):
        body = {"GroupId": s.topic("group"), "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 10_000, "MemberId": "",
                "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": subscription(["t"])}], **more}
        s.send("JoinGroup", version, body, label=f"{label} v{version}")
    for version in (0, 5, 9):
        join("empty group id", version, GroupId="")
        join("session of 499 ms", version, SessionTimeoutMs=499)
        join("session of half an hour and a bit", version, SessionTimeoutMs=1_800_001)
        join("session of -1", version, SessionTimeoutMs=-1)
        join("no protocol type", version, ProtocolType="")
        join("no protocols", version, Protocols=[])
        join("unknown member", version, MemberId=UNKNOWN_MEMBER)
        join("unknown member of a static id", version, MemberId=UNKNOWN_MEMBER, GroupInstanceId="static")
    join("empty instance id", GroupId=s.topic("i0"), GroupInstanceId="")
    join("instance id of 249", GroupId=s.topic("i1"), GroupInstanceId="x" * 249)
    join("instance id of 250", GroupId=s.topic("i2"), GroupInstanceId="x" * 250)
    join("instance id ..", GroupId=s.topic("i3"), GroupInstanceId="..")
    join("instance id a b", GroupId=s.topic("i4"), GroupInstanceId="a b", version=5)
    join("rebalance timeout -1", RebalanceTimeoutMs=-1, GroupId=s.topic("other"))
    describe(s, "group", "other", "i0", "i1", "i2", "i3", "i4")


@sequence
def sync_beat_and_leave_where_nobody_is(s: Session):
    for version in range(6):
        s.send("SyncGroup", version, {"GroupId": s.topic("nowhere"), "GenerationId": 1, "MemberId": UNKNOWN_MEMBER, "ProtocolType": "consumer",
                                      "ProtocolName": "range"}, label=f"sync v{version}")
    for version in range(5):
        s.send("Heartbeat", version, {"GroupId": s.topic("nowhere"), "GenerationId": 1, "MemberId": UNKNOWN_MEMBER}, label=f"beat v{version}")
    for version in range(6):
        s.send("LeaveGroup", version, {"GroupId": s.topic("nowhere"), "MemberId": UNKNOWN_MEMBER, "Members": [
            {"MemberId": UNKNOWN_MEMBER}, {"MemberId": "", "GroupInstanceId": "static"}]}, label=f"leave v{version}")
    for group, label in (("", "empty id"),):
        s.send("SyncGroup", 5, {"GroupId": group, "GenerationId": 1, "MemberId": "m", "ProtocolType": "consumer", "ProtocolName": "range"}, label=f"sync {label}")
        s.send("Heartbeat", 4, {"GroupId": group, "GenerationId": 1, "MemberId": "m"}, label=f"beat {label}")
        s.send("LeaveGroup", 5, {"GroupId": group, "Members": [{"MemberId": "m"}]}, label=f"leave {label}")
        s.send("LeaveGroup", 2, {"GroupId": group, "MemberId": "m"}, label=f"leave {label} v2")
        s.send("DeleteGroups", 2, {"GroupsNames": [group]}, label=f"delete {label}")


@sequence
def stale_generations_and_unknown_members(s: Session):
    s.create_group_topic()
    one = Classic(s, "one")
    stable(s, one)
    for version in range(5):
        one.heartbeat(f"generation ahead v{version}", version, GenerationId=7)
    one.heartbeat("generation -1", GenerationId=-1)
    one.heartbeat("unknown member", MemberId=UNKNOWN_MEMBER)
    one.heartbeat("empty member id", MemberId="")
    one.heartbeat("unknown instance", GroupInstanceId="static")
    def sync(label, **more):
        one.synced(one.begin_sync(**more))
        s.transcript[-1] = (*s.transcript[-1][:2], label, s.transcript[-1][3])
    sync("sync of generation 9", GenerationId=9)
    sync("sync of an unknown member", MemberId=UNKNOWN_MEMBER)
    sync("sync of another type", ProtocolType="connect")
    sync("sync of another protocol", ProtocolName="roundrobin")
    sync("sync without type and protocol", ProtocolType=None, ProtocolName=None)
    sync("sync again")
    for offset, (label, more) in enumerate((("of generation 9", {"GenerationIdOrMemberEpoch": 9}), ("of generation -1", {"GenerationIdOrMemberEpoch": -1}),
                        ("of an unknown member", {"MemberId": UNKNOWN_MEMBER}), ("of nobody", {"MemberId": "", "GenerationIdOrMemberEpoch": -1}),
                        ("of no member in this generation", {"MemberId": ""}), ("of an unknown instance", {"GroupInstanceId": "static"}))):
        for version in (2, 6, 7, 9):
            one.commit(offset, label=f"commit {label} v{version}", version=version, **more)
    describe(s, "group")


# Rebalances.

@sequence
def a_second_member(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one"), Classic(s, "two")
    stable(s, one)
    joining = two.begin_join()
    s.waits(joining)
    describe(s, "group", label="while one is awaited")
    list_groups(s)
    one.heartbeat("one hears of it")
    one.commit(3, label="one commits in the meantime")
    again = one.begin_join()
    one.joined(again)
    two.joined(joining)
    describe(s, "group", label="before the sync")
    following = two.begin_sync()
    s.waits(following)
    one.heartbeat("one before its sync")
    one.commit(4, label="one commits before its sync")
    one.sync({one: assignment({s.topic(): [0]}), two: assignment({s.topic(): [1]})})
    two.synced(following)
    for member in (one, two):
        member.heartbeat()
    describe(s, "group", label="stable")
    two.commit(9, partition=1)
    one.leave()
    two.heartbeat("two hears of it")
    two.join()
    two.sync({two: assignment({s.topic(): [0, 1]})})
    describe(s, "group", label="alone")
    two.leave()
    describe(s, "group", label="empty")
    two.heartbeat("after leaving")


@sequence
def the_same_again_and_a_new_subscription(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one"), Classic(s, "two")
    stable(s, one, two)
    two.join()  # a follower that says nothing new: no rebalance
    describe(s, "group", label="after the follower's join")
    two.sync()
    two.protocols = [("range", subscription([s.topic(), s.topic("other")]))]
    joining = two.begin_join(Reason="a topic more")
    s.waits(joining)
    one.heartbeat()
    one.join()
    two.joined(joining)
    one.sync({one: assignment({s.topic(): [0]}), two: assignment({s.topic(): [1]})})
    two.sync()
    joining = one.begin_join()  # the leader's join starts one
    s.waits(joining)
    two.heartbeat()
    two.join()
    one.joined(joining)
    one.sync({one: b"", two: b""})
    two.sync()
    describe(s, "group")


@sequence
def protocols_that_do_not_match(s: Session):
    s.create_group_topic()
    both = [("range", subscription([s.topic()])), ("roundrobin", subscription([s.topic()]))]
    one = Classic(s, "one", protocols=both)
    stable(s, one)
    for label, kind, protocols in (("another type", "connect", both), ("another protocol", "consumer", [("sticky", b"")]),
                                   ("no bytes", "consumer", [("range", b"")])):
        for version in (0, 9) if protocols[0][1] or label == "another protocol" else (9,):
            pending = s.begin("JoinGroup", version, {"GroupId": one.group, "SessionTimeoutMs": 10_000, "RebalanceTimeoutMs": 10_000, "MemberId": "",
                   "ProtocolType": kind, "Protocols": [{"Name": n, "Metadata": m} for n, m in protocols]}, on=f"{label} {version}", label=f"{label} v{version}")
            if not s.waits(pending):
                s.answer(pending)
    two = Classic(s, "two", protocols=both[::-1])
    joining = two.begin_join()
    s.waits(joining)
    one.join()
    two.joined(joining)


@sequence
def votes_for_a_protocol(s: Session):
    s.create_group_topic()
    def with_protocols(name, *names):
        return Classic(s, name, protocols=[(n, subscription([s.topic()])) for n in names])
    one, two, three = with_protocols("one", "a", "b", "c"), with_protocols("two", "c", "b"), with_protocols("three", "b", "c", "a")
    stable(s, one)
    settle(s, one, two)
    settle(s, one, two, three)
    describe(s, "group")
    for version in (0, 4, 9):
        four = with_protocols(f"four {version}", "a")
        four.version = version
        pending = s.begin("JoinGroup", version, four.join_body(), on=four.name, label=f"without a common one v{version}")
        if not s.waits(pending):
            s.answer(pending)


@sequence
def a_member_that_never_comes_back(s: Session):
    s.create_group_topic()
    one = Classic(s, "one", rebalance_ms=800)
    stable(s, one)
    two = Classic(s, "two", rebalance_ms=800)
    joining = two.begin_join()
    s.waits(joining, 0.3)
    two.joined(joining)  # once the rebalance timeout has passed
    two.sync({two: assignment({s.topic(): [0]})})
    one.heartbeat("the one left behind")
    one.commit(1, label="its commit")
    describe(s, "group")


@sequence
def a_member_that_never_syncs(s: Session):
    s.create_group_topic()
    one, two = Classic(s, "one", rebalance_ms=1000), Classic(s, "two", rebalance_ms=1000)
    stable(s, one)
    joining = two.begin_join()
    s.waits(joining, 0.15)
    one.join()
    two.joined(joining)
    # The leader never syncs: after the rebalance timeout it is out.
    following = two.begin_sync()
    s.waits(following)
    two.synced(following)
    describe(s, "group", label="after the timeout")
    one.heartbeat("the leader that never synced")
    two.join()
    two.sync({two: assignment({s.topic(): [0]})})
    describe(s, "group", label="in the end")


@sequence
def a_session_that_ends(s: Session):
    s.create_group_topic()
    one = Classic(s, "one", session_ms=700)
    stable(s, one)
    for _ in range(3):
        time.sleep(0.4)
        one.heartbeat("kept alive")
    time.sleep(1.2)
    describe(s, "group", label="after its session")
    one.heartbeat("too late")
    one.commit(1, label="too late to commit")
    one.sync()
    one.join()
    list_groups(s)


@sequence
def a_follower_whose_session_ends(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one"), Classic(s, "two", session_ms=900)
    stable(s, one, two)
    time.sleep(1.4)
    one.heartbeat("the one that is left")
    describe(s, "group")
    one.join()
    one.sync({one: assignment({s.topic(): [0, 1]})})
    describe(s, "group", label="in the end")


@sequence
def a_pending_member_that_never_joins(s: Session):
    s.create_group_topic()
    one = Classic(s, "one")
    stable(s, one)
    pending = s.begin("JoinGroup", 9, {**one.join_body(), "MemberId": "", "SessionTimeoutMs": 600}, on="two", label="two asks for an id")
    answer = s.answer(pending)
    s.learn("two's id", answer.get("MemberId"))
    describe(s, "group", label="with a pending member")
    s.send("Heartbeat", 4, {"GroupId": one.group, "GenerationId": 1, "MemberId": answer.get("MemberId")}, label="a pending member beats")
    s.send("SyncGroup", 5, {"GroupId": one.group, "GenerationId": 1, "MemberId": answer.get("MemberId"), "ProtocolType": "consumer",
                            "ProtocolName": "range"}, label="a pending member syncs")
    time.sleep(1.0)
    body = {**one.join_body(), "MemberId": answer.get("MemberId")}
    pending = s.begin("JoinGroup", 9, body, on="two", label="two joins too late")
    if not s.waits(pending):
        s.answer(pending)
    pending = s.begin("JoinGroup", 9, {**one.join_body(), "MemberId": ""}, on="three", label="three asks for an id")
    three = s.learn("three's id", s.answer(pending).get("MemberId"))
    s.send("LeaveGroup", 5, {"GroupId": one.group, "Members": [{"MemberId": three}]}, label="a pending member leaves")
    one.heartbeat()


@sequence
def a_group_that_is_full(s: Session):
    s.create_group_topic(partitions=4)
    members = [Classic(s, f"member {i}") for i in range(4)]
    stable(s, members[0])
    settle(s, *members)
    for version in (0, 3, 4, 9):
        more = Classic(s, f"one too many v{version}", version=version)
        pending = s.begin("JoinGroup", version, more.join_body(), on=more.name, label=more.name)
        if not s.waits(pending):
            answer = s.answer(pending)
            if answer.get("ErrorCode") == 79:
                s.learn(f"{more.name}'s id", answer["MemberId"])
                pending = s.begin("JoinGroup", version, {**more.join_body(), "MemberId": answer["MemberId"]}, on=more.name, label=f"{more.name} again")
                if not s.waits(pending):
                    s.answer(pending)
    members[0].heartbeat()


@sequence
def leaving_in_every_way(s: Session):
    s.create_group_topic(partitions=4)
    one, two = Classic(s, "one"), Classic(s, "two", instance="b")
    three = Classic(s, "three", instance="c")
    stable(s, one)
    settle(s, one, two, three)
    def leave(label, *members, version=5):
        s.send("LeaveGroup", version, {"GroupId": one.group, "MemberId": members[0][0] if members else "", "Members": [
            {"MemberId": m, "GroupInstanceId": i} for m, i in members]}, label=label)
    leave("nobody")
    leave("unknown", (UNKNOWN_MEMBER, None))
    leave("unknown instance", ("", "z"))
    leave("wrong instance", (one.member_id, "b"))
    leave("another's instance", (two.member_id, "c"))
    leave("unknown member of a known instance", (UNKNOWN_MEMBER, "b"))
    leave("two by its instance, and an unknown", ("", "b"), (UNKNOWN_MEMBER, None))
    leave("two again", ("", "b"))
    leave("three by its member id alone", (three.member_id, None))
    leave("one v2", (one.member_id, None), version=2)
    leave("one again v2", (one.member_id, None), version=2)
    describe(s, "group")


@sequence
def every_member_of_a_batch_leaves(s: Session):
    s.create_group_topic(partitions=4)
    members = [Classic(s, f"member {i}", instance=f"i{i}") for i in range(3)]
    stable(s, members[0])
    settle(s, *members)
    s.send("LeaveGroup", 5, {"GroupId": members[0].group, "Members": [{"MemberId": "", "GroupInstanceId": m.instance, "Reason": "r" * 300}
                                                                      for m in members]}, label="all at once")
    describe(s, "group")


# Static members (KIP-345).

@sequence
def a_static_member_bounces(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one", instance="a"), Classic(s, "two", instance="b")
    stable(s, one)
    settle(s, one, two)
    again = Classic(s, "two again", instance="b")
    again.join()
    again.sync()
    describe(s, "group", label="after the follower's bounce")
    one.heartbeat("one hears nothing")
    two.heartbeat("the old member")
    two.sync()
    two.commit(3, label="the old member's commit")
    two.join()
    leader = Classic(s, "one again", instance="a")
    leader.join()
    leader.sync()
    describe(s, "group", label="after the leader's bounce")
    again.heartbeat("the follower")
    one.heartbeat("the old leader")
    one.leave(label="the old leader leaves")


@sequence
def a_static_member_bounces_in_each_version(s: Session):
    s.create_group_topic()
    for version in range(5, 10):
        one = Classic(s, f"one v{version}", group=f"group-{version}", instance="a", version=version)
        stable(s, one)
        again = Classic(s, f"again v{version}", group=f"group-{version}", instance="a", version=version)
        again.join()
        again.sync({again: assignment({s.topic(): [0]})})
        again.heartbeat()


@sequence
def a_static_member_comes_back_with_another_subscription(s: Session):
    s.create_group_topic(partitions=2)
    protocols = [(name, subscription([s.topic()])) for name in ("range", "roundrobin")]
    one, two = Classic(s, "one", instance="a", protocols=protocols), Classic(s, "two", instance="b", protocols=protocols)
    stable(s, one)
    settle(s, one, two)
    again = Classic(s, "another topic", instance="b", protocols=[("range", subscription([s.topic(), s.topic("more")])), protocols[1]])
    again.join()  # the protocol stays: no rebalance
    again.sync()
    one.heartbeat("one hears nothing")
    describe(s, "group", label="another topic")
    again = Classic(s, "another protocol", instance="b", protocols=protocols[1:])
    joining = again.begin_join()
    s.waits(joining)
    one.heartbeat("one hears of it")
    one.join()
    again.joined(joining)
    one.sync({one: assignment({s.topic(): [0]}), again: assignment({s.topic(): [1]})})
    again.sync()
    describe(s, "group", label="another protocol")


@sequence
def a_static_member_bounces_during_a_rebalance(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Classic(s, "one", instance="a"), Classic(s, "two", instance="b")
    stable(s, one)
    settle(s, one, two)
    three = Classic(s, "three")
    joining = three.begin_join()
    s.waits(joining)
    pending = two.begin_join()
    s.waits(pending)
    again = Classic(s, "two again", instance="b")
    newer = again.begin_join()
    s.waits(newer)
    two.joined(pending)  # fenced
    one.join()
    again.joined(newer)
    three.joined(joining)
    one.sync({one: assignment({s.topic(): [0]}), again: assignment({s.topic(): [1]}), three: b""})
    again.sync()
    three.sync()
    describe(s, "group")


@sequence
def instances_and_wrong_ids(s: Session):
    s.create_group_topic()
    one = Classic(s, "one", instance="a")
    stable(s, one)
    one.heartbeat("a member that never was", MemberId=UNKNOWN_MEMBER)
    one.heartbeat("without its instance", GroupInstanceId=None)
    one.heartbeat("with another instance", GroupInstanceId="z")
    for version in (7, 9):
        one.commit(1, version=version, label=f"a member that never was commits v{version}", MemberId=UNKNOWN_MEMBER)
        one.commit(2, version=version, label=f"without its instance v{version}", GroupInstanceId=None)
        one.commit(3, version=version, label=f"with another instance v{version}", GroupInstanceId="z")
    one.synced(one.begin_sync(MemberId=UNKNOWN_MEMBER))
    one.synced(one.begin_sync(GroupInstanceId="z"))
    s.send("JoinGroup", 9, {**one.join_body(), "MemberId": UNKNOWN_MEMBER}, label="a member that never was joins")
    one.heartbeat()
    s.send("JoinGroup", 9, {**one.join_body(), "GroupInstanceId": "other", "MemberId": one.member_id}, label="its id with another instance")


@sequence
def a_static_members_session_ends(s: Session):
    s.create_group_topic()
    one = Classic(s, "one", instance="a", session_ms=700)
    stable(s, one)
    time.sleep(1.3)
    one.heartbeat("too late")
    describe(s, "group")
    again = Classic(s, "one again", instance="a", session_ms=20_000)
    again.join()
    again.sync({again: assignment({s.topic(): [0]})})
    describe(s, "group", label="back")


# What the bytes hold.

@sequence
def subscriptions_that_are_not(s: Session):
    s.create_group_topic()
    rubbish = {"empty": b"", "one byte": b"\0", "version -1": struct.pack(">h", -1) + subscription(["t"])[2:], "cut": subscription(["t"])[:-3],
               "version 99": struct.pack(">h", 99) + subscription(["t"])[2:],
               "bytes after": subscription(["t"]) + b"more"}
    for label, data in rubbish.items():
        one = Classic(s, label, group=label.replace(" ", "-"), protocols=[("range", data)])
        one.join()
        one.sync({one: data})
        describe(s, one.group.removeprefix(s.topic("")), label=f"described: {label}")
        one.commit(7, label=f"commit: {label}")
        s.send("OffsetDelete", 0, {"GroupId": one.group, "Topics": [{"Name": s.topic(), "Partitions": [{"PartitionIndex": 0}]}]}, label=f"offset delete: {label}")
        one.leave()


@sequence
def subscriptions_of_too_many_topics(s: Session):
    s.timeout_s = 1.5
    for label, count in (("2e9 topics", 2_000_000_000), ("negative topics", -1)):
        Classic(s, label, group=label.replace(" ", "-"), protocols=[("range", struct.pack(">hi", 0, count))]).join()


@sequence
def large_subscriptions_and_assignments(s: Session):
    for size in (100_000, 1_100_000):
        one = Classic(s, f"subscription of {size}", group=f"s{size}", protocols=[("range", subscription([s.topic()], user_data=b"u" * size))])
        answer = one.join()
        for m in answer.get("Members", []):
            m["Metadata"] = len(m["Metadata"])
        one.sync({one: assignment({s.topic(): [0]})})
        answer = s.send("DescribeGroups", 6, {"Groups": [one.group]}, label=f"described, subscription of {size}")
        for group in answer.get("Groups", []):
            for m in group["Members"]:
                m["MemberMetadata"] = len(m["MemberMetadata"])
        one.heartbeat()
        two = Classic(s, f"assignment of {size}", group=f"a{size}")
        two.join()
        answer = two.sync({two: b"\0\1" + b"x" * size})
        if "Assignment" in answer:
            answer["Assignment"] = len(answer["Assignment"])
        two.heartbeat()
        two.join()


@sequence
def assignments_for_strangers(s: Session):
    s.create_group_topic()
    one = Classic(s, "one")
    one.join()
    pending = s.begin("SyncGroup", 5, {"GroupId": one.group, "GenerationId": one.generation, "MemberId": one.member_id, "ProtocolType": "consumer",
                      "ProtocolName": "range", "Assignments": [{"MemberId": UNKNOWN_MEMBER, "Assignment": b"theirs"}]}, on=one.name, label="only a stranger's")
    s.answer(pending)
    describe(s, "group")


@sequence
def client_ids_and_prefixes(s: Session):
    s.create_group_topic()
    for client_id in ("", "a b", "ü", "x" * 300):
        one = Classic(s, f"client {client_id[:5]!r} of {len(client_id)}", group=f"g{len(client_id)}{len(client_id.encode())}", client_id=client_id)
        one.join()
        s.transcript.append(("JoinGroup", 9, f"{one.name}: the id begins", {"Prefix": one.member_id[:-36]}))
        describe(s, one.group.removeprefix(s.topic("")))
    # A null client id.
    s.send("JoinGroup", 0, Classic(s, "none", group="null", version=0).join_body(), client_id=None, label="null client id")


# Ending groups.

@sequence
def delete_groups_each_version(s: Session):
    s.create_group_topic()
    live = Classic(s, "live", group="live")
    stable(s, live)
    for version in range(3):
        empty = Classic(s, f"empty {version}", group=f"empty-{version}")
        stable(s, empty)
        empty.commit(3)
        empty.leave()
        s.send("DeleteGroups", version, {"GroupsNames": [live.group, empty.group, s.topic("nowhere")]})
        s.send("DeleteGroups", version, {"GroupsNames": [empty.group]}, label=f"again v{version}")
        describe(s, f"empty-{version}", label=f"is gone v{version}")
        s.send("OffsetFetch", 7, {"GroupId": empty.group, "Topics": None}, label=f"its offsets v{version}")
        empty.heartbeat("after the end")
    s.send("DeleteGroups", 2, {"GroupsNames": []}, label="none")
    s.send("DeleteGroups", 2, {"GroupsNames": [s.topic("nowhere")] * 2}, label="twice")
    live.heartbeat()


@sequence
def a_group_after_its_end(s: Session):
    s.create_group_topic()
    one = Classic(s, "one")
    stable(s, one)
    one.leave()
    again = Classic(s, "again")
    again.join()
    again.sync({again: assignment({s.topic(): [0]})})
    describe(s, "group", label="the generation goes on")
    again.leave()
    s.send("DeleteGroups", 2, {"GroupsNames": [one.group]}, label="deleted")
    third = Classic(s, "third")
    third.join()
    describe(s, "group", label="a new group, a new generation")


@sequence
def protocol_types_of_others(s: Session):
    s.create_group_topic()
    one = Classic(s, "one", protocol_type="connect", protocols=[("default", b"cfg"), ("sessioned", b"cfg2")])
    stable(s, one, give={one: b"tasks"})
    describe(s, "group")
    one.commit(1)
    for kind in ("consumer", ""):
        s.send("JoinGroup", 9, {**Classic(s, "two", protocol_type=kind).join_body(), "MemberId": ""}, label=f"as {kind!r}")
    one.leave()
    two = Classic(s, "two")
    two.join()
    describe(s, "group", label="another type, once it was empty")
