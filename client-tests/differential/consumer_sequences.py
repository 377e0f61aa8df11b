"""What is said to both servers about groups of the consumer protocol (KIP-848)."""

import time

from .groups import Consumer, describe, describe_consumer, list_groups
from .session import Session

SEQUENCES = []


def sequence(function):
    SEQUENCES.append(function)
    return function


# A group of one.

@sequence
def a_member_joins_and_leaves(s: Session):
    s.create_group_topic(partitions=3)
    for version in (0, 1):
        one = Consumer(s, "one", group=f"group-{version}", version=version)
        one.join()
        one.say("nothing new")
        one.own()
        one.full("everything again")
        describe_consumer(s, f"group-{version}")
        one.leave()
        describe_consumer(s, f"group-{version}", label="empty")
        one.say("after leaving")
        one.join("joins again")
        one.leave()


@sequence
def heartbeats_that_are_wrong(s: Session):
    s.create_group_topic()
    right = {"GroupId": s.topic("group"), "MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": 10_000,
             "SubscribedTopicNames": [s.topic()], "TopicPartitions": []}
    def beat(label, version=1, **more):
        s.send("ConsumerGroupHeartbeat", version, {**right, **more}, label=f"{label} v{version}")
    for version in (0, 1):
        beat("empty group id", version, GroupId="")
        beat("empty member id", version, MemberId="", GroupId=s.topic(f"other-{version}"), MemberEpoch=1)
        beat("no rebalance timeout", version, RebalanceTimeoutMs=-1)
        beat("rebalance timeout 0", version, RebalanceTimeoutMs=0)
        beat("no partitions", version, TopicPartitions=None)
        beat("partitions in the first", version, TopicPartitions=[{"TopicId": s.create_group_topic(f"t{version}"), "Partitions": [0]}])
        beat("no subscription", version, SubscribedTopicNames=None)
        beat("unknown assignor", version, ServerAssignor="nosuch")
        beat("empty assignor", version, ServerAssignor="")
        beat("empty rack", version, RackId="")
        beat("empty instance", version, InstanceId="")
        beat("epoch -3", version, MemberEpoch=-3)
        beat("epoch -2 without an instance", version, MemberEpoch=-2)
        beat("leaves where nobody is", version, MemberEpoch=-1)
        beat("epoch 5 where nobody is", version, MemberEpoch=5)
    beat("empty member id joins", MemberId="", GroupId=s.topic("nameless"))
    beat("blank member id", MemberId=" ", GroupId=s.topic("blank"))
    beat("long member id", MemberId="x" * 37, GroupId=s.topic("long"))
    beat("blank group id", GroupId=" ")
    beat("blank instance", InstanceId=" ")
    beat("blank assignor", ServerAssignor=" ")
    beat("names and a regex", SubscribedTopicRegex="a.*", GroupId=s.topic("both"))
    beat("names and an empty regex", SubscribedTopicRegex="", GroupId=s.topic("both-2"))
    beat("neither names nor a regex", SubscribedTopicNames=None, SubscribedTopicRegex=None)
    beat("an empty regex alone", SubscribedTopicNames=None, SubscribedTopicRegex="", GroupId=s.topic("empty-regex"))
    beat("an invalid regex", SubscribedTopicNames=[], SubscribedTopicRegex="[", GroupId=s.topic("bad-regex"))
    beat("another invalid regex", SubscribedTopicNames=None, SubscribedTopicRegex="a{2,1}", GroupId=s.topic("bad-regex"))
    beat("no names at all", SubscribedTopicNames=[], GroupId=s.topic("no-names"))
    beat("an unknown topic", SubscribedTopicNames=[s.topic("nowhere")], GroupId=s.topic("nowhere"))
    beat("a name that can't be", SubscribedTopicNames=["a b", ""], GroupId=s.topic("bad-name"))
    beat("a topic twice", SubscribedTopicNames=[s.topic(), s.topic()], GroupId=s.topic("twice"))
    describe_consumer(s, "group", "other-0", "other-1", "both", "no-names", "nowhere", "bad-name", "twice", "empty-regex", "bad-regex")


@sequence
def epochs_that_are_wrong(s: Session):
    s.create_group_topic(partitions=2)
    one = Consumer(s, "one")
    one.join()
    one.own()
    def beat(label, **more):
        s.send("ConsumerGroupHeartbeat", 1, {"GroupId": one.group, "MemberId": "one", "MemberEpoch": one.epoch, **more}, label=label)
    beat("ahead", MemberEpoch=one.epoch + 1)
    beat("far ahead", MemberEpoch=1000)
    beat("unknown member", MemberId="nobody")
    beat("unknown member leaves", MemberId="nobody", MemberEpoch=-1)
    beat("unknown member -2", MemberId="nobody", MemberEpoch=-2, InstanceId="a")
    beat("an instance it hasn't", InstanceId="a")
    beat("partitions it hasn't", TopicPartitions=[{"TopicId": next(k for k in s.names if not isinstance(k, str)), "Partitions": [0, 1, 2, 3]}])
    beat("as it is")
    one.join("joins again with epoch 0")
    two = Consumer(s, "two")
    two.join()
    one.say()
    beat("one epoch behind", MemberEpoch=one.epoch - 1)
    beat("one epoch behind, with its partitions", MemberEpoch=one.epoch - 1, TopicPartitions=one.owned)
    beat("two epochs behind", MemberEpoch=max(1, one.epoch - 2))
    describe_consumer(s, "group")


@sequence
def describe_each_version(s: Session):
    s.create_group_topic(partitions=2)
    one = Consumer(s, "one", instance="a", rack="r1", assignor="range")
    one.join()
    for version in (0, 1):
        describe_consumer(s, "group", "nowhere", version=version, label=f"v{version}")
        describe_consumer(s, "group", version=version, label=f"operations v{version}", IncludeAuthorizedOperations=True)
    s.send("ConsumerGroupDescribe", 1, {"GroupIds": []}, label="none")
    s.send("ConsumerGroupDescribe", 1, {"GroupIds": [""]}, label="empty id")
    describe_consumer(s, "group", "group", label="twice")
    describe(s, "group", label="as a classic group")
    describe(s, "group", version=5, label="as a classic group v5")
    list_groups(s)
    for version in (0, 4):
        list_groups(s, version=version)
    for states in (["Stable"], ["Assigning", "Reconciling"], ["Empty"], ["stable"]):
        list_groups(s, states=states, label=f"states {states}")
    for types in (["consumer"], ["Consumer"], ["classic"]):
        list_groups(s, types=types, label=f"types {types}")
    one.leave()
    list_groups(s, label="left for a while")
    one.leave(epoch=-1)
    list_groups(s, label="left for good")


@sequence
def two_share(s: Session):
    for assignor in (None, "uniform", "range"):
        group = f"group-{assignor}"
        s.create_group_topic(assignor or "default", partitions=6)
        one = Consumer(s, f"one {assignor}", group=group, topics=[s.topic(assignor or "default")], assignor=assignor)
        two = Consumer(s, f"two {assignor}", group=group, topics=[s.topic(assignor or "default")], assignor=assignor)
        one.join()
        one.own()
        two.join()
        two.say("two waits for partitions")
        describe_consumer(s, group, label=f"{assignor}: while one gives up")
        one.say("one is told")
        describe_consumer(s, group, label=f"{assignor}: one was told")
        list_groups(s)
        one.say("one has not given up yet")
        two.say("two still waits")
        one.own()
        two.say("two gets its part")
        two.own()
        one.say()
        describe_consumer(s, group, label=f"{assignor}: stable")
        one.leave()
        two.say("two takes over")
        two.own()
        describe_consumer(s, group, label=f"{assignor}: alone")


@sequence
def three_members_and_several_topics(s: Session):
    for name, count in (("a", 4), ("b", 3), ("c", 1), ("d", 6)):
        s.create_group_topic(name, partitions=count)
    # One topic only for the uniform assignor: which of several Kafka's begins with depends on their ids.
    for assignor, topics in (("uniform", [s.topic("d")]), ("range", [s.topic(n) for n in "abc"])):
        group = f"group-{assignor}"
        members = [Consumer(s, f"m{i} {assignor}", group=group, topics=topics, assignor=assignor) for i in range(3)]
        for member in members:
            member.join()
            for _ in range(3):
                for other in members[:members.index(member) + 1]:
                    other.say()
                    other.own()
        describe_consumer(s, group, label=f"{assignor}: all three")
        members[0].full("one topic less, or another", SubscribedTopicNames=topics[1:] or [s.topic("c")])
        for _ in range(3):
            for member in members:
                member.say()
                member.own()
        describe_consumer(s, group, label=f"{assignor}: with different subscriptions")
        members[1].leave()
        for _ in range(3):
            for member in (members[0], members[2]):
                member.say()
                member.own()
        describe_consumer(s, group, label=f"{assignor}: two are left")


@sequence
def topics_that_come_grow_and_go(s: Session):
    one = Consumer(s, "one", topics=[s.topic("a"), s.topic("b")])
    one.join("to topics that are not there")
    describe_consumer(s, "group", label="nothing to assign")
    def until(condition):
        for _ in range(100):
            answer = s.quiet("ConsumerGroupHeartbeat", 1, {"GroupId": one.group, "MemberId": "one", "MemberEpoch": one.epoch})
            one.epoch = answer.get("MemberEpoch", one.epoch) if answer.get("ErrorCode") == 0 else one.epoch
            if answer.get("Assignment") is not None:
                one.owned = answer["Assignment"]["TopicPartitions"]
            if condition():
                break
            time.sleep(0.05)
    count = lambda: sum(len(t["Partitions"]) for t in one.owned)
    s.create_group_topic("a", partitions=2)
    until(lambda: count() == 2)
    one.own()
    describe_consumer(s, "group", label="one came")
    s.create_group_topic("b", partitions=1)
    until(lambda: count() == 3)
    one.own()
    describe_consumer(s, "group", label="another came")
    s.quiet("CreatePartitions", 3, {"Topics": [{"Name": s.topic("b"), "Count": 3, "Assignments": None}], "TimeoutMs": 5000})
    until(lambda: count() == 5)
    one.own()
    describe_consumer(s, "group", label="one grew")
    s.quiet("DeleteTopics", 5, {"TopicNames": [s.topic("a")], "TimeoutMs": 5000})
    until(lambda: count() == 3)
    one.own()
    describe_consumer(s, "group", label="one went")


@sequence
def subscriptions_change(s: Session):
    for name in "abc":
        s.create_group_topic(name, partitions=2)
    one = Consumer(s, "one", topics=[s.topic("a")])
    one.join()
    one.own()
    def change(label, **more):
        one.say(label, **more)
        one.say(f"{label}, after")
        one.own()
        describe_consumer(s, "group", label=label)
    change("two topics", SubscribedTopicNames=[s.topic("a"), s.topic("b")])
    change("the same in another order", SubscribedTopicNames=[s.topic("b"), s.topic("a")])
    change("another", SubscribedTopicNames=[s.topic("c")])
    change("none", SubscribedTopicNames=[])
    change("an unknown", SubscribedTopicNames=[s.topic("nowhere")])
    change("another assignor", ServerAssignor="range", SubscribedTopicNames=[s.topic("a")])
    change("a rack", RackId="r2")
    change("another timeout", RebalanceTimeoutMs=12_345)
    one.say("an unknown assignor", ServerAssignor="nosuch")
    one.say("an invalid regex", SubscribedTopicRegex="(", SubscribedTopicNames=[])
    one.say("in the end")


@sequence
def assignors_are_voted_for(s: Session):
    s.create_group_topic(partitions=4)
    members = [Consumer(s, f"m{i}", assignor=a) for i, a in enumerate((None, "range", "range"))]
    for member in members:
        member.join()
        for other in members:
            if other.epoch:
                other.say()
                other.own()
        describe_consumer(s, "group", label=f"{member.name} with {member.assignor}")


# Regular expressions (KIP-848's SubscribedTopicRegex, RE2/J).

@sequence
def a_regex_takes_the_topics_it_matches(s: Session):
    for name in ("re-a1", "re-a2", "re-b1", "re"):
        s.create_group_topic(name)
    def settle_regex(one: Consumer, partitions: int):
        for _ in range(100):
            answer = s.quiet("ConsumerGroupHeartbeat", 1, {"GroupId": one.group, "MemberId": one.member_id, "MemberEpoch": one.epoch})
            if answer.get("ErrorCode") == 0:
                one.epoch = answer["MemberEpoch"]
                if answer["Assignment"] is not None:
                    one.owned = answer["Assignment"]["TopicPartitions"]
            if sum(len(t["Partitions"]) for t in one.owned) >= partitions:
                break
            time.sleep(0.05)
        one.own()
    dot = s.topic("").replace(".", r"\.")
    for label, regex, count in (("prefix", dot + "re-a.*", 2), ("class", dot + r"re-[ab]\d", 3), ("whole names only", dot + "re", 1),
                                ("anchors", "^" + dot + "re-b1$", 1), ("alternatives", dot + "(re|re-a1)", 2), ("unicode", r"\p{L}\d+" + dot[2:] + "re-a1", 1)):
        one = Consumer(s, label, group=f"g {label}", topics=[], regex=regex)
        one.join()
        settle_regex(one, count)
        describe_consumer(s, f"g {label}", label=label)
    one = Consumer(s, "many", group="many", topics=None, regex=dot + "re-a.*")
    one.join()
    settle_regex(one, 2)
    one.say("a name beside it", SubscribedTopicNames=[s.topic("re-b1")])
    settle_regex(one, 3)
    describe_consumer(s, "many", label="a regex and a name")
    one.say("no regex any more", SubscribedTopicRegex="")
    for _ in range(2):
        one.say()
        one.own()
    describe_consumer(s, "many", label="a name alone")


@sequence
def regexes_that_are_not(s: Session):
    s.create_group_topic()
    for regex in ("[", "(", "a{2,1}", "*", "a**", "(?<name>a)", "(?P<name>a)", r"\1", "(?=a)", "(?!a)", "a++", r"\Qa.b\E", "x" * 2000, r"\C", "(?i)A", "a{1001}", "[[:alpha:]]+",
                  r"\pN", r"\p{Greek}", r"\p{nonsense}", r"[a-\d]", "(?s).", "(?z)", "a|*", r"\z", r"\Z", ")", "a)", "]", "{", "a{,2}", "\\", r"\x{41}", r"\u0041"):
        s.send("ConsumerGroupHeartbeat", 1, {"GroupId": s.topic(f"g{regex}")[:200], "MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": 10_000,
               "SubscribedTopicNames": [], "SubscribedTopicRegex": regex, "TopicPartitions": []}, label=f"regex {regex[:20]!r}")


# Static members.

@sequence
def a_static_member_bounces(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Consumer(s, "one", instance="a"), Consumer(s, "two", instance="b")
    one.join()
    one.own()
    two.join()
    one.say()
    one.own()
    two.say()
    two.own()
    one.say()
    describe_consumer(s, "group", label="before")
    two.leave("two leaves for a while", epoch=-2)
    describe_consumer(s, "group", label="in between")
    one.say("one hears nothing")
    two.say("the old member", MemberEpoch=2)
    again = Consumer(s, "two again", instance="b")
    again.join()
    again.own()
    one.say("one hears nothing of it")
    describe_consumer(s, "group", label="after")
    two.say("the replaced member", MemberEpoch=2)
    two.commit(1, label="the replaced member's commit", GenerationIdOrMemberEpoch=2)
    again.leave("leaves for good")
    one.say()
    describe_consumer(s, "group", label="in the end")


@sequence
def an_instance_that_is_taken(s: Session):
    s.create_group_topic(partitions=2)
    one = Consumer(s, "one", instance="a")
    one.join()
    one.own()
    two = Consumer(s, "two", instance="a")
    two.join("another with its instance")
    one.say("the first goes on")
    one.leave("for a while", epoch=-2)
    one.leave("for a while, again", epoch=-2)
    two.join("another with its instance, now")
    one.join("the first comes back")
    one.leave("the first leaves", epoch=-1)
    two.say()
    s.send("ConsumerGroupHeartbeat", 1, {"GroupId": one.group, "MemberId": "two", "MemberEpoch": -2, "InstanceId": "z"}, label="leaves with another instance")
    s.send("ConsumerGroupHeartbeat", 1, {"GroupId": one.group, "MemberId": "two", "MemberEpoch": -1}, label="leaves without its instance")
    describe_consumer(s, "group")


@sequence
def a_static_member_comes_back_as_another(s: Session):
    s.create_group_topic(partitions=2)
    s.create_group_topic("other")
    one = Consumer(s, "one", instance="a")
    one.join()
    one.own()
    one.leave(epoch=-2)
    again = Consumer(s, "one again", instance="a", topics=[s.topic("other")])
    again.join("with another topic")
    again.say()
    again.own()
    describe_consumer(s, "group")
    again.leave(epoch=-2)
    same = Consumer(s, "one again", instance="a", topics=[s.topic("other")])
    same.join("with the same member id")
    describe_consumer(s, "group", label="in the end")


# Time.

@sequence
def a_session_that_ends(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Consumer(s, "one"), Consumer(s, "two")
    one.join()
    one.own()
    two.join()
    for _ in range(5):
        time.sleep(1.5)
        one.say("one goes on")
        one.own()
    describe_consumer(s, "group", label="two is out")
    two.say("two, too late")
    two.commit(1, label="two commits too late")
    two.join("two comes back")
    describe_consumer(s, "group", label="two is back")


@sequence
def a_member_that_does_not_give_up(s: Session):
    s.create_group_topic(partitions=2)
    one, two = Consumer(s, "one", rebalance_ms=1000), Consumer(s, "two")
    one.join()
    one.own()
    two.join()
    one.say("one is told")
    # Well before the second is over, and well after.
    for pause_s in (0.3, 0.3, 1.1, 0.3):
        time.sleep(pause_s)
        two.say("two waits")
    one.say("one is out")
    one.commit(1, label="one commits")
    two.say("two has all")
    two.own()
    describe_consumer(s, "group")


# Bounds.

@sequence
def a_group_that_is_full(s: Session):
    s.create_group_topic(partitions=4)
    members = [Consumer(s, f"m{i}") for i in range(5)]
    for member in members:
        member.join()
    members[0].leave()
    members[4].join("the fifth, again")
    describe_consumer(s, "group")


@sequence
def large_subscriptions(s: Session):
    names = [f"{s.topic()}-{'x' * 200}-{i}" for i in range(6000)]
    one = Consumer(s, "one", topics=names)
    one.join("1.2 MB of names")
    answer = describe_consumer(s, "group")
    for group in answer.get("Groups", []):
        for member in group["Members"]:
            member["SubscribedTopicNames"] = len(member["SubscribedTopicNames"])
    s.send("ConsumerGroupHeartbeat", 1, {"GroupId": s.topic("ids"), "MemberId": "x" * 30_000, "MemberEpoch": 0, "RebalanceTimeoutMs": 10_000,
           "SubscribedTopicNames": [s.topic()], "TopicPartitions": []}, label="a member id of 30,000")
    s.send("ConsumerGroupHeartbeat", 1, {"GroupId": s.topic("racks"), "MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": 10_000,
           "RackId": "r" * 30_000, "SubscribedTopicNames": [s.topic()], "TopicPartitions": []}, label="a rack of 30,000")


# Ending groups.

@sequence
def consumer_groups_deleted(s: Session):
    s.create_group_topic()
    one = Consumer(s, "one")
    one.join()
    one.own()
    one.commit(4)
    for version in range(3):
        s.send("DeleteGroups", version, {"GroupsNames": [one.group]}, label=f"with a member v{version}")
    one.leave()
    list_groups(s, label="empty")
    s.send("DeleteGroups", 2, {"GroupsNames": [one.group]}, label="empty")
    describe_consumer(s, "group", label="gone")
    s.send("OffsetFetch", 7, {"GroupId": one.group, "Topics": None}, label="its offsets")
    one.join("joins anew")
    describe_consumer(s, "group", label="new")
