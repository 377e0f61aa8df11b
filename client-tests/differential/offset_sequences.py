"""What is said to both servers about committed offsets: OffsetCommit, OffsetFetch, OffsetDelete."""

import struct
import time

from .groups import UNKNOWN_MEMBER, Classic, Consumer, assignment, describe, list_groups, stable, subscription
from .session import Session

SEQUENCES = []


def sequence(function):
    SEQUENCES.append(function)
    return function


def commit(s: Session, label: str, topics: dict[str, list], *, version: int = 9, group: str = "simple", generation: int = -1,
           member: str = "", **more) -> dict:
    """`topics`: name -> [(partition, offset, metadata, leader epoch)], shorter tuples where the rest does not matter."""
    def partition(index, offset, metadata="", epoch=-1):
        return {"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": metadata, "CommittedLeaderEpoch": epoch}
    return s.send("OffsetCommit", version, {"GroupId": s.topic(group), "GenerationIdOrMemberEpoch": generation, "MemberId": member, "Topics": [
        {"Name": name, "Partitions": [partition(*p) for p in partitions]} for name, partitions in topics.items()], **more}, label=label)


def fetch(s: Session, label: str, topics: dict[str, list[int]] | None, *, version: int = 9, group: str = "simple", stable: bool = False,
          member: str | None = None, epoch: int = -1) -> dict:
    asked = None if topics is None else [{"Name": n, "PartitionIndexes": p} for n, p in topics.items()]
    if version < 8:
        return s.send("OffsetFetch", version, {"GroupId": s.topic(group), "Topics": asked, "RequireStable": stable}, label=label)
    return s.send("OffsetFetch", version, {"RequireStable": stable, "Groups": [
        {"GroupId": s.topic(group), "Topics": asked, "MemberId": member, "MemberEpoch": epoch}]}, label=label)


def delete(s: Session, label: str, topics: dict[str, list[int]], group: str = "simple") -> dict:
    return s.send("OffsetDelete", 0, {"GroupId": s.topic(group), "Topics": [
        {"Name": n, "Partitions": [{"PartitionIndex": p} for p in ps]} for n, ps in topics.items()]}, label=label)


@sequence
def commits_and_fetches_each_version(s: Session):
    s.create_group_topic(partitions=4)
    t = s.topic()
    fetch(s, "before the first", {t: [0]}, version=5)
    for version in range(2, 10):
        commit(s, f"v{version}", {t: [(0, version * 10, f"by v{version}", version), (1, version)]}, version=version)
        for other in range(1, 10):
            fetch(s, f"v{other} after v{version}", {t: [0, 1, 2]}, version=other)
            if other >= 2:
                fetch(s, f"all v{other} after v{version}", None, version=other)
    list_groups(s)
    describe(s, "simple")


@sequence
def commits_that_retain(s: Session):
    s.create_group_topic()
    for version, retention in ((2, -1), (3, 0), (4, 1000), (4, -5), (2, 1 << 50)):
        commit(s, f"retention {retention} v{version}", {s.topic(): [(0, 7)]}, version=version, RetentionTimeMs=retention)
        fetch(s, f"after retention {retention}", {s.topic(): [0]})


@sequence
def commits_to_the_wrong_place(s: Session):
    s.create_group_topic(partitions=2)
    t = s.topic()
    for version in (2, 6, 8, 9):
        commit(s, f"unknown topic v{version}", {s.topic("nowhere"): [(0, 1)]}, version=version)
        commit(s, f"unknown partitions v{version}", {t: [(2, 1), (-1, 1), (0, 5)]}, version=version)
        commit(s, f"some of both v{version}", {s.topic("nowhere"): [(0, 1)], t: [(1, 2)]}, version=version)
        commit(s, f"bad name v{version}", {"a b": [(0, 1)], "": [(0, 1)]}, version=version)
        commit(s, f"no topics v{version}", {}, version=version)
        commit(s, f"no partitions v{version}", {t: []}, version=version)
    for offset in (-1, -2, 1 << 62):
        commit(s, f"offset {offset}", {t: [(0, offset)]})
        fetch(s, f"after offset {offset}", {t: [0]})
    commit(s, "a partition twice", {t: [(0, 11), (0, 12)]})
    fetch(s, "which of the two", {t: [0]})
    s.send("OffsetCommit", 9, {"GroupId": s.topic("twice"), "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
        {"Name": t, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": o, "CommittedMetadata": ""}]} for o in (1, 2)]}, label="a topic twice")
    fetch(s, "which of the topics", {t: [0]}, group="twice")
    for version in (2, 8, 9):
        s.send("OffsetCommit", version, {"GroupId": "", "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
            {"Name": t, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": ""}]}]}, label=f"empty group id v{version}")
        if version > 2:
            s.send("OffsetFetch", version, {"GroupId": "", "Topics": None, "Groups": [{"GroupId": "", "Topics": None}]}, label=f"fetch of the empty group id v{version}")


@sequence
def metadata_of_a_commit(s: Session):
    s.create_group_topic(partitions=4)
    t = s.topic()
    for version in (2, 8, 9):
        commit(s, f"4096 and 4097 bytes v{version}", {t: [(0, 1, "x" * 4096), (1, 2, "x" * 4097), (2, 3, None), (3, 4, "ü" * 2049)]}, version=version)
    for p in range(4):
        fetch(s, f"partition {p}", {t: [p]})
    commit(s, "too large alone", {t: [(0, 99, "x" * 5000)]})
    fetch(s, "unchanged", {t: [0]})


@sequence
def a_commit_too_large_for_the_log(s: Session):
    s.create_group_topic()
    answer = commit(s, "4096 bytes, 300 times", {s.topic(): [(0, p, "x" * 4096) for p in range(300)]})
    for topic in answer.get("Topics", []):
        topic["Partitions"] = sorted({p["ErrorCode"] for p in topic["Partitions"]})
    fetch(s, "what was kept", None)


@sequence
def commits_as_a_member_and_as_nobody(s: Session):
    s.create_group_topic(partitions=2)
    t = s.topic()
    for version in (2, 6, 8, 9):
        commit(s, f"as a member of no group v{version}", {t: [(0, 1)]}, version=version, generation=1, member=UNKNOWN_MEMBER, group=f"none-{version}")
        commit(s, f"generation 0, no member v{version}", {t: [(0, 1)]}, version=version, generation=0, member="", group=f"none-{version}")
        commit(s, f"member without a generation v{version}", {t: [(0, 1)]}, version=version, generation=-1, member=UNKNOWN_MEMBER, group=f"none-{version}")
        describe(s, f"none-{version}")
    live = Classic(s, "live", group="live")
    stable(s, live)
    for version in (2, 6, 8, 9):
        commit(s, f"a tool, while members are there v{version}", {t: [(1, 5)]}, version=version, group="live")
    live.leave()
    for version in (2, 6, 8, 9):
        commit(s, f"a tool, once they left v{version}", {t: [(1, 6)]}, version=version, group="live")
        live.commit(7, version=version, label=f"a member that left v{version}")
    fetch(s, "in the end", None, group="live")


@sequence
def fetches_of_what_is_not(s: Session):
    s.create_group_topic(partitions=2)
    t = s.topic()
    commit(s, "one", {t: [(0, 1, "m", 3)]})
    for version in range(1, 10):
        fetch(s, f"unknown group v{version}", {t: [0]}, version=version, group="nowhere")
        fetch(s, f"unknown topic v{version}", {s.topic("nowhere"): [0]}, version=version)
        fetch(s, f"unknown partition v{version}", {t: [7, -1]}, version=version)
        fetch(s, f"no topics v{version}", {}, version=version)
        fetch(s, f"no partitions v{version}", {t: []}, version=version)
        fetch(s, f"a partition twice v{version}", {t: [0, 0]}, version=version)
    for version in range(2, 10):
        fetch(s, f"all of an unknown group v{version}", None, version=version, group="nowhere")


@sequence
def fetches_of_several_groups(s: Session):
    s.create_group_topic(partitions=3)
    t = s.topic()
    for i in range(3):
        commit(s, f"group {i}", {t: [(p, 10 * i + p) for p in range(i + 1)]}, group=f"g{i}")
    for version in (8, 9):
        for stable_only in (False, True):
            s.send("OffsetFetch", version, {"RequireStable": stable_only, "Groups": [
                {"GroupId": s.topic("g0"), "Topics": None}, {"GroupId": s.topic("g1"), "Topics": [{"Name": t, "PartitionIndexes": [0, 2]}]},
                {"GroupId": s.topic("nowhere"), "Topics": None}, {"GroupId": s.topic("nowhere"), "Topics": [{"Name": t, "PartitionIndexes": [0]}]},
                {"GroupId": s.topic("g2"), "Topics": []}]}, label=f"many v{version}, stable {stable_only}")
        s.send("OffsetFetch", version, {"Groups": []}, label=f"none v{version}")
        s.send("OffsetFetch", version, {"Groups": [{"GroupId": s.topic("g0"), "Topics": None}] * 2}, label=f"twice v{version}")
    s.send("OffsetFetch", 7, {"GroupId": s.topic("g1"), "Topics": None, "RequireStable": True}, label="stable v7")


@sequence
def fetches_as_a_member(s: Session):
    s.create_group_topic()
    t = s.topic()
    classic = Classic(s, "classic", group="classic")
    stable(s, classic)
    classic.commit(3)
    for member, epoch in ((None, -1), ("", -1), (classic.member_id, 1), (classic.member_id, 9), (UNKNOWN_MEMBER, 1), (None, 5)):
        fetch(s, f"classic, as {s.names.get(member, member)} in {epoch}", {t: [0]}, group="classic", member=member, epoch=epoch)
    consumer = Consumer(s, "modern", group="modern")
    consumer.join()
    consumer.commit(4)
    for member, epoch in ((None, -1), ("", -1), ("modern", consumer.epoch), ("modern", consumer.epoch + 5), ("modern", consumer.epoch - 1), ("modern", -1), ("modern", 0),
                          (UNKNOWN_MEMBER, 1), (None, 5)):
        for topics in ({t: [0]}, None):
            fetch(s, f"modern, as {member} in {epoch}, {'all' if topics is None else 'one'}", topics, group="modern", member=member, epoch=epoch)
    for version in (7, 8):
        fetch(s, f"modern, v{version}", {t: [0]}, group="modern", version=version)


@sequence
def commits_as_a_member_of_a_consumer_group(s: Session):
    s.create_group_topic(partitions=2)
    one = Consumer(s, "one")
    one.join()
    for version in range(2, 10):
        one.commit(version, version=version, label=f"right v{version}")
        one.commit(50, version=version, label=f"epoch ahead v{version}", GenerationIdOrMemberEpoch=one.epoch + 1)
        one.commit(51, version=version, label=f"epoch behind v{version}", GenerationIdOrMemberEpoch=one.epoch - 1)
        one.commit(52, version=version, label=f"epoch -1 v{version}", GenerationIdOrMemberEpoch=-1)
        one.commit(53, version=version, label=f"unknown member v{version}", MemberId=UNKNOWN_MEMBER)
        one.commit(54, version=version, label=f"nobody v{version}", MemberId="", GenerationIdOrMemberEpoch=-1)
        one.commit(55, version=version, label=f"with an instance v{version}", GroupInstanceId="a")
    one.leave()
    commit(s, "a tool, once it is empty", {s.topic(): [(0, 99)]}, group="group")
    one.commit(56, label="the member that left", GenerationIdOrMemberEpoch=1)
    fetch(s, "in the end", None, group="group")


@sequence
def an_old_epoch_commits(s: Session):
    s.create_group_topic(partitions=4)
    one, two = Consumer(s, "one"), Consumer(s, "two")
    one.join()
    one.own()
    first = one.epoch
    one.commit(1, partition=3)
    two.join()
    one.say()  # asked to give up
    one.commit(2, partition=0, label="with partitions to give up")
    one.own()
    two.say()
    two.own()
    one.commit(3, label="in the old epoch", GenerationIdOrMemberEpoch=first)
    one.commit(4, partition=3, label="in the old epoch, given up", GenerationIdOrMemberEpoch=first)
    two.commit(5, partition=3, label="two in its first epoch")
    two.commit(6, partition=3, label="two in an epoch before it joined", GenerationIdOrMemberEpoch=first)
    fetch(s, "in the end", {s.topic(): [0, 1, 2, 3]}, group="group")
    fetch(s, "in the old epoch", {s.topic(): [0]}, group="group", member="one", epoch=first)


@sequence
def offsets_deleted(s: Session):
    s.create_group_topic(partitions=3)
    s.create_group_topic("other")
    t, other = s.topic(), s.topic("other")
    commit(s, "three", {t: [(0, 1), (1, 2), (2, 3)], other: [(0, 4)]})
    delete(s, "one and one that is none", {t: [0, 7]})
    delete(s, "one again", {t: [0]})
    delete(s, "unknown topic", {s.topic("nowhere"): [0]})
    delete(s, "bad name", {"a b": [0]})
    delete(s, "no topics", {})
    delete(s, "no partitions", {t: []})
    delete(s, "of no group", {t: [0]}, group="nowhere")
    s.send("OffsetDelete", 0, {"GroupId": "", "Topics": [{"Name": t, "Partitions": [{"PartitionIndex": 0}]}]}, label="of the empty group id")
    fetch(s, "what is left", None)
    delete(s, "the rest", {t: [1, 2], other: [0]})
    fetch(s, "nothing is left", None)
    list_groups(s, label="is the group still there")
    describe(s, "simple")


@sequence
def offsets_deleted_under_members(s: Session):
    s.create_group_topic()
    s.create_group_topic("other")
    t, other = s.topic(), s.topic("other")
    one = Classic(s, "classic", group="classic")
    stable(s, one)
    s.send("OffsetCommit", 9, {"GroupId": one.group, "GenerationIdOrMemberEpoch": one.generation, "MemberId": one.member_id, "Topics": [
        {"Name": name, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 5, "CommittedMetadata": ""}]} for name in (t, other)]}, label="both")
    delete(s, "the subscribed one and another", {t: [0], other: [0]}, group="classic")
    one.leave()
    delete(s, "the one that was subscribed", {t: [0]}, group="classic")
    list_groups(s)
    odd = Classic(s, "not a consumer", group="odd", protocol_type="mine", protocols=[("x", b"y")])
    stable(s, odd, give={odd: b"z"})
    odd.commit(3)
    delete(s, "of members that are no consumers", {t: [0]}, group="odd")
    two = Consumer(s, "modern", group="modern")
    two.join()
    two.commit(5)
    s.send("OffsetCommit", 9, {"GroupId": two.group, "GenerationIdOrMemberEpoch": two.epoch, "MemberId": two.member_id, "Topics": [
        {"Name": other, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 5, "CommittedMetadata": ""}]}]}, label="another topic")
    delete(s, "of a consumer group", {t: [0], other: [0]}, group="modern")
    two.leave()
    delete(s, "of an empty consumer group", {t: [0]}, group="modern")


@sequence
def offsets_of_a_deleted_topic(s: Session):
    s.create_group_topic()
    s.create_group_topic("kept")
    commit(s, "to both", {s.topic(): [(0, 5)], s.topic("kept"): [(0, 6)]})
    commit(s, "only to the one", {s.topic(): [(0, 5)]}, group="only")
    s.quiet("DeleteTopics", 5, {"TopicNames": [s.topic()], "TimeoutMs": 5000})
    for _ in range(100):
        answer = s.quiet("OffsetFetch", 7, {"GroupId": s.topic("simple"), "Topics": None})
        if len(answer["Topics"]) == 1:
            break
        time.sleep(0.05)
    time.sleep(0.2)
    fetch(s, "what is left", None)
    fetch(s, "of the group that had nothing else", None, group="only")
    s.create_group_topic()
    fetch(s, "of the new topic", {s.topic(): [0]})
    list_groups(s)


@sequence
def commits_in_a_transaction_are_no_part_of_this(s: Session):
    s.create_group_topic()
    commit(s, "plain", {s.topic(): [(0, 5)]})
    for version in (7, 8, 9):
        fetch(s, f"stable only v{version}", {s.topic(): [0]}, version=version, stable=True)


@sequence
def commits_while_nobody_leads(s: Session):
    s.create_group_topic()
    one = Classic(s, "one")
    one.join()
    one.commit(1, label="before the sync")
    for version in (2, 6, 9):
        one.commit(2, version=version, label=f"before the sync, as nobody v{version}", MemberId="", GenerationIdOrMemberEpoch=-1)
    one.sync({one: assignment({s.topic(): [0]})})
    one.commit(3)
    fetch(s, "in the end", None, group="group")


@sequence
def group_ids_of_every_kind(s: Session):
    s.create_group_topic()
    for label, name in (("dots", "a.b"), ("spaces", "a b"), ("ü", "ü"), ("long", "x" * 500), ("colon", "a:b"), ("newline", "a\nb")):
        commit(s, label, {s.topic(): [(0, 1)]}, group=name)
        fetch(s, label, {s.topic(): [0]}, group=name)
    list_groups(s)


@sequence
def a_subscription_holds_its_offsets(s: Session):
    """A topic is subscribed as long as a member of the group says so, also in a rebalance."""
    s.create_group_topic()
    s.create_group_topic("other")
    one = Classic(s, "one", protocols=[("range", subscription([s.topic()])), ("x", struct.pack(">h", 0))])
    one.join()
    one.sync({one: assignment({s.topic(): [0]})})
    one.commit(1)
    delete(s, "subscribed", {s.topic(): [0]}, group="group")
    two = Classic(s, "two", protocols=[("range", subscription([s.topic("other")]))])
    joining = two.begin_join()
    s.waits(joining)
    delete(s, "in the rebalance", {s.topic(): [0]}, group="group")
    one.join()
    two.joined(joining)
    delete(s, "before the sync", {s.topic(): [0], s.topic("other"): [0]}, group="group")
