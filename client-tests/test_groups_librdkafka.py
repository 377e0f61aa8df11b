"""Consumer groups through librdkafka: every assignor of the classic protocol, and the protocol of KIP-848."""

import time

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from harness.members import PROTOCOLS, DoomedMember, Member, create_topic, eventually, produce

pytestmark = pytest.mark.timeout(60)
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
old_and_new = pytest.mark.parametrize("protocol", ["range", "consumer"])


def shares(*members: Member) -> list[int]:
    return sorted(len(m.assignment()) for m in members)


def whole(members: list[Member], topic: str, partitions: int) -> bool:
    """Every partition belongs to exactly one of the members."""
    owned = [p for m in members for p in m.assignment()]
    return len(owned) == len(set(owned)) == partitions


@each_protocol
def test_a_member_reads_everything_and_the_next_goes_on(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 3)
    first, second = [b"a%d" % i for i in range(300)], [b"b%d" % i for i in range(300)]
    produce(groups.bootstrap, topic, first, 3)
    with Member(groups.bootstrap, topic, [topic], **PROTOCOLS[protocol]) as member:
        eventually("the first records", lambda: len(member.records) >= 300)
    assert sorted(member.values()) == sorted(first)
    assert member.committed == {(topic, p): 100 for p in range(3)}
    produce(groups.bootstrap, topic, second, 3)
    with Member(groups.bootstrap, topic, [topic], **PROTOCOLS[protocol]) as member:
        eventually("the rest", lambda: len(member.records) >= 300)
        time.sleep(0.3)
    assert sorted(member.values()) == sorted(second), "what was committed came again"


@each_protocol
def test_members_come_and_go(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 6)
    config = PROTOCOLS[protocol]
    with Member(groups.bootstrap, topic, [topic], **config) as one:
        eventually("all for the first", lambda: shares(one) == [6])
        with Member(groups.bootstrap, topic, [topic], **config) as two:
            eventually("half each", lambda: shares(one, two) == [3, 3] and whole([one, two], topic, 6))
            with Member(groups.bootstrap, topic, [topic], **config) as three:
                eventually("a third each", lambda: shares(one, two, three) == [2, 2, 2] and whole([one, two, three], topic, 6))
                produce(groups.bootstrap, topic, [b"%d" % i for i in range(600)], 6)
                eventually("every record", lambda: sum(len(m.records) for m in (one, two, three)) >= 600)
                values = [v for m in (one, two, three) for v in m.values()]
                assert len(values) == len(set(values)) == 600
            eventually("half each again", lambda: shares(one, two) == [3, 3] and whole([one, two], topic, 6))
        eventually("all again", lambda: shares(one) == [6])
        assert not one.lost


@each_protocol
def test_the_partitions_of_a_member_that_crashed(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 4)
    doomed = DoomedMember(groups.bootstrap, topic, [topic], **PROTOCOLS[protocol])
    try:
        doomed.await_partitions(4)
        with Member(groups.bootstrap, topic, [topic], **PROTOCOLS[protocol]) as other:
            eventually("half", lambda: shares(other) == [2])
            doomed.kill()
            killed = time.monotonic()
            eventually("all", lambda: shares(other) == [4])
            assert time.monotonic() - killed > 0.5, "long before the session's end"
    finally:
        doomed.kill()


@old_and_new
def test_commits_and_their_metadata(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 2)
    answers = []
    consumer = Consumer({"bootstrap.servers": groups.bootstrap, "group.id": topic, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "on_commit": lambda error, partitions: answers.append((error, [(p.partition, p.offset) for p in partitions])),
                         **PROTOCOLS[protocol]})
    consumer.subscribe([topic])
    eventually("partitions", lambda: (consumer.poll(0.05), len(consumer.assignment()) == 2)[1])
    def committed():
        return [(p.offset, p.metadata) for p in consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)]
    assert [offset for offset, _ in committed()] == [-1001, -1001]
    done = consumer.commit(offsets=[TopicPartition(topic, 0, 7, metadata="seven")], asynchronous=False)
    assert [(p.offset, p.error) for p in done] == [(7, None)]
    assert committed()[0] == (7, "seven") and committed()[1][0] == -1001
    consumer.commit(offsets=[TopicPartition(topic, 1, 9)], asynchronous=True)
    eventually("the answer", lambda: (consumer.poll(0.05), answers and answers[-1] == (None, [(1, 9)]))[1])
    assert [offset for offset, _ in committed()] == [7, 9]
    with pytest.raises(KafkaException) as refused:
        consumer.commit(offsets=[TopicPartition(topic, 0, 8, metadata="x" * 5000), TopicPartition(topic, 1, 10)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.OFFSET_METADATA_TOO_LARGE
    assert [offset for offset, _ in committed()] == [7, 10]
    consumer.close()


@old_and_new
def test_automatic_commits_and_close(groups, topic, protocol):
    create_topic(groups.bootstrap, topic)
    produce(groups.bootstrap, topic, [b"%d" % i for i in range(100)])
    with Member(groups.bootstrap, topic, [topic], commit="auto", **{"auto.commit.interval.ms": 300}, **PROTOCOLS[protocol]) as member:
        eventually("the records", lambda: len(member.records) == 100)
        admin = AdminClient({"bootstrap.servers": groups.bootstrap})
        def committed() -> int:
            found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topic)])[topic].result(10)
            return found.topic_partitions[0].offset if found.topic_partitions else -1
        eventually("an automatic commit", lambda: committed() == 100)
        produce(groups.bootstrap, topic, [b"more"] * 10)
        eventually("more records", lambda: len(member.records) == 110)
    assert committed() == 110, "closing commits"


@old_and_new
def test_a_static_member_bounces_without_a_rebalance(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 4)
    config = PROTOCOLS[protocol] | ({"session.timeout.ms": 10_000} if protocol != "consumer" else {})
    with Member(groups.bootstrap, topic, [topic], **{"group.instance.id": "one"}, **config) as one:
        eventually("all", lambda: shares(one) == [4])
        with Member(groups.bootstrap, topic, [topic], **{"group.instance.id": "two"}, **config) as two:
            eventually("half each", lambda: shares(one, two) == [2, 2] and whole([one, two], topic, 4))
            had, before = two.assignment(), (len(one.given), len(one.taken))
        with Member(groups.bootstrap, topic, [topic], **{"group.instance.id": "two"}, **config) as again:
            eventually("the same half", lambda: again.assignment() == had)
            time.sleep(0.7)
            assert (len(one.given), len(one.taken)) == before, "the other member saw a rebalance"
            produce(groups.bootstrap, topic, [b"%d" % i for i in range(40)], 4)
            eventually("half of the records", lambda: len(again.records) == 20)


def test_an_instance_id_that_is_taken_over(groups, topic):
    create_topic(groups.bootstrap, topic, 2)
    config = {"group.instance.id": "one", **PROTOCOLS["range"]}
    with Member(groups.bootstrap, topic, [topic], **config) as old:
        eventually("all", lambda: shares(old) == [2])
        with Member(groups.bootstrap, topic, [topic], **config) as new:
            eventually("all for the newer", lambda: shares(new) == [2])
            eventually("the older one to be told", lambda: any(e.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL) for e in old.errors))


def test_an_instance_id_that_is_still_in_use(groups, topic):
    create_topic(groups.bootstrap, topic, 2)
    config = {"group.instance.id": "one", **PROTOCOLS["consumer"]}
    with Member(groups.bootstrap, topic, [topic], **config) as old:
        eventually("all", lambda: shares(old) == [2])
        with Member(groups.bootstrap, topic, [topic], **config) as new:
            eventually("the newer one to be told", lambda: any(e.code() in (KafkaError.UNRELEASED_INSTANCE_ID, KafkaError._FATAL) for e in new.errors))
            assert shares(old, new) == [0, 2]


@old_and_new
def test_a_member_that_does_not_poll(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 2)
    config = {**PROTOCOLS[protocol], "max.poll.interval.ms": 3000}
    if protocol != "consumer":
        config["session.timeout.ms"] = 1000
    with Member(groups.bootstrap, topic, [topic], **config) as slow:
        eventually("all", lambda: shares(slow) == [2])
        slow.stop_polling()
        time.sleep(0.2)
        with Member(groups.bootstrap, topic, [topic], **config) as other:
            eventually("all for the other", lambda: shares(other) == [2])
            slow.go_on_polling()
            eventually("losing them", lambda: slow.taken)
            eventually("one each", lambda: shares(slow, other) == [1, 1])


@each_protocol
def test_topics_by_pattern(groups, topic, protocol):
    create_topic(groups.bootstrap, f"{topic}-a", 2)
    create_topic(groups.bootstrap, f"other-{topic}", 2)
    with Member(groups.bootstrap, topic, [f"^{topic}-.*"], **{"topic.metadata.refresh.interval.ms": 500}, **PROTOCOLS[protocol]) as member:
        eventually("the topic that matches", lambda: member.assignment() == {(f"{topic}-a", p) for p in range(2)})
        if protocol == "consumer":
            return  # the server looks for new topics every ten minutes, or when a heartbeat brings another pattern
        create_topic(groups.bootstrap, f"{topic}-b", 1)
        eventually("the new one too", lambda: (f"{topic}-b", 0) in member.assignment())


@old_and_new
def test_what_administrators_see_and_do(groups, topic, protocol):
    create_topic(groups.bootstrap, topic, 2)
    produce(groups.bootstrap, topic, [b"x"] * 20, 2)
    admin = AdminClient({"bootstrap.servers": groups.bootstrap})
    def state():
        return admin.describe_consumer_groups([topic])[topic].result(10).state
    with Member(groups.bootstrap, topic, [topic], **{"client.id": "seen"}, **PROTOCOLS[protocol]) as member:
        eventually("records", lambda: len(member.records) == 20)
        eventually("a stable group", lambda: state() == ConsumerGroupState.STABLE)
        described = admin.describe_consumer_groups([topic])[topic].result(10)
        assert described.type == (ConsumerGroupType.CONSUMER if protocol == "consumer" else ConsumerGroupType.CLASSIC)
        assert [(m.client_id, m.host) for m in described.members] == [("seen", "/127.0.0.1")]
        assert {(p.topic, p.partition) for p in described.members[0].assignment.topic_partitions} == {(topic, 0), (topic, 1)}
        listed = {g.group_id: g for g in admin.list_consumer_groups(types={described.type}).result(10).valid}
        assert listed[topic].state == ConsumerGroupState.STABLE and not listed[topic].is_simple_consumer_group
        assert topic not in {g.group_id for g in admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(10).valid}
        with pytest.raises(KafkaException) as refused:
            admin.delete_consumer_groups([topic])[topic].result(10)
        assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
        altered = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, 3)])])[topic].result(10)
        assert [p.error.code() for p in altered.topic_partitions] == [KafkaError.UNKNOWN_MEMBER_ID]
    eventually("an empty group", lambda: state() == ConsumerGroupState.EMPTY)
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0, 3)])])[topic].result(10)
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topic)])[topic].result(10)
    assert {(p.partition, p.offset) for p in found.topic_partitions} == {(0, 3), (1, 10)}
    admin.delete_consumer_groups([topic])[topic].result(10)
    assert topic not in {g.group_id for g in admin.list_consumer_groups().result(10).valid}
    with pytest.raises(KafkaException) as refused:
        admin.delete_consumer_groups([topic])[topic].result(10)
    assert refused.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
