"""What is said to both servers. Each function is one sequence; its name is its place in the report."""

import struct
import time
import uuid

from .records import batch, record
from .session import Session

SEQUENCES = []
UNKNOWN_ID = uuid.UUID("11111111-2222-3333-4444-555555555555")


def sequence(function):
    SEQUENCES.append(function)
    return function


# The handshake.

@sequence
def api_versions_each_version(s: Session):
    for version in range(5):
        s.send("ApiVersions", version, {"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1.0"})


@sequence
def api_versions_of_tomorrow(s: Session):
    body = s.schemas.requests["ApiVersions"].encode(4, {"ClientSoftwareName": "x", "ClientSoftwareVersion": "1"})
    for version in (5, 9, 32767):
        s.raw(s.header("ApiVersions", version) + b"\0" + body, api="ApiVersions", version=version, answer_version=0)
        s.send("ApiVersions", 3, {"ClientSoftwareName": "x", "ClientSoftwareVersion": "1"}, label=f"after v{version}")


@sequence
def api_versions_with_odd_names(s: Session):
    for name, version in (("", "1"), ("a b", "1"), ("ok", ""), ("-x", "1"), ("x-", "1"), ("a.b-c", "1.0-rc.1"), ("ü", "1")):
        s.send("ApiVersions", 3, {"ClientSoftwareName": name, "ClientSoftwareVersion": version}, label=f"{name!r} {version!r}")


@sequence
def header_oddities(s: Session):
    s.send("Metadata", 9, {"Topics": []}, client_id=None, label="null client id")
    s.send("Metadata", 9, {"Topics": []}, client_id="", label="empty client id")
    s.send("Metadata", 9, {"Topics": []}, client_id="x" * 5000, label="long client id")


# Frames that are wrong.

@sequence
def unknown_api_key(s: Session):
    for key in (-1, 999, 32767):
        s.raw(s.header("Metadata", 0, key=key) + b"\0\0\0\0", api="Metadata", version=0, label=f"key {key}")


@sequence
def unknown_versions(s: Session):
    for api, version in (("Metadata", 99), ("Metadata", -1), ("Fetch", 3), ("Fetch", 99), ("ListOffsets", 0), ("ListOffsets", 99),
                         ("CreateTopics", 1), ("CreateTopics", 99), ("DescribeConfigs", 0), ("DeleteTopics", 0),
                         ("OffsetForLeaderEpoch", 1), ("Produce", 99), ("InitProducerId", 99)):
        s.raw(s.header(api, version) + b"\0" * 16, api=api, version=version, label=f"{api} v{version}")


@sequence
def produce_versions_only_advertised(s: Session):
    s.create_topic()
    for version in (0, 1, 2):
        frame = s.header("Produce", version) + struct.pack(">hii", 1, 1000, 0)
        s.raw(frame, api="Produce", version=version, answer_version=3)


@sequence
def frame_lengths(s: Session):
    for length in (-1, -2147483648, 0, 1, 7, 2147483647, 104857601):
        s.raw(b"\0" * 16, api="Metadata", version=0, length=length, label=f"length {length}")


@sequence
def truncated_bodies(s: Session):
    for api, version in (("Metadata", 1), ("Metadata", 12), ("Produce", 9), ("Fetch", 12), ("ListOffsets", 5), ("CreateTopics", 7)):
        s.raw(s.header(api, version) + b"\1", api=api, version=version, label=f"{api} v{version} cut short")


@sequence
def huge_counts(s: Session):
    s.raw(s.header("Metadata", 1) + struct.pack(">i", 2_000_000_000), api="Metadata", version=1, label="2e9 topics")
    s.raw(s.header("Metadata", 1) + struct.pack(">i", -2), api="Metadata", version=1, label="-2 topics")
    s.raw(s.header("Metadata", 12) + b"\xff\xff\xff\xff\x0f", api="Metadata", version=12, label="compact 2^32-2 topics")
    s.raw(s.header("Fetch", 4) + struct.pack(">iiiibi", -1, 100, 1, 100, 0, 1 << 30), api="Fetch", version=4, label="2^30 topics")


@sequence
def bytes_after_the_body(s: Session):
    body = s.schemas.requests["Metadata"].encode(9, {"Topics": []})
    s.raw(s.header("Metadata", 9) + body + b"extra", api="Metadata", version=9)


# Metadata.

@sequence
def metadata_each_version(s: Session):
    topic_id = s.create_topic(partitions=3)
    for version in range(14):
        s.send("Metadata", version, {"Topics": [{"Name": s.topic()}], "AllowAutoTopicCreation": False})
    for version in (10, 11, 12, 13):
        s.send("Metadata", version, {"Topics": [{"Name": None, "TopicId": topic_id}]}, label=f"by id v{version}")
        s.send("Metadata", version, {"Topics": [{"Name": None, "TopicId": UNKNOWN_ID}]}, label=f"by unknown id v{version}")
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic(), "TopicId": topic_id}]}, label="name and id")
    s.send("Metadata", 12, {"Topics": [{"Name": None}]}, label="neither name nor id")


@sequence
def metadata_of_nothing(s: Session):
    for version in (1, 4, 9, 12):
        s.send("Metadata", version, {"Topics": []}, label=f"no topics v{version}")


@sequence
def metadata_of_unknown_topics(s: Session):
    for version in range(4, 14):
        s.send("Metadata", version, {"Topics": [{"Name": s.topic("nowhere")}], "AllowAutoTopicCreation": False})


@sequence
def metadata_of_bad_names(s: Session):
    for name in ("", ".", "..", "a b", "a/b", "x" * 249, "x" * 250, "ü", "a\0b"):
        for auto in (False, True):
            if auto and name == "x" * 249:
                continue
            s.send("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": auto},
                   label=f"{name[:12]!r} of {len(name)}, auto creation {auto}")


@sequence
def metadata_auto_creates(s: Session):
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic("auto")}], "AllowAutoTopicCreation": True}, label="first")
    for _ in range(50):
        if s.quiet("Metadata", 12, {"Topics": [{"Name": s.topic("auto")}]})["Topics"][0]["ErrorCode"] == 0:
            break
        time.sleep(0.05)
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic("auto")}], "AllowAutoTopicCreation": True}, label="later")


@sequence
def metadata_authorized_operations(s: Session):
    s.create_topic()
    for version in (8, 9, 10, 11, 12, 13):
        s.send("Metadata", version, {"Topics": [{"Name": s.topic()}], "IncludeClusterAuthorizedOperations": True,
                                     "IncludeTopicAuthorizedOperations": True})


@sequence
def metadata_of_one_topic_twice(s: Session):
    s.create_topic()
    s.send("Metadata", 9, {"Topics": [{"Name": s.topic()}, {"Name": s.topic()}]})


@sequence
def describe_cluster(s: Session):
    for version in range(3):
        for operations in (False, True):
            s.send("DescribeCluster", version, {"IncludeClusterAuthorizedOperations": operations},
                   label=f"v{version} operations {operations}")
    for endpoint in (0, 2, 3):
        s.send("DescribeCluster", 1, {"EndpointType": endpoint}, label=f"endpoint type {endpoint}")
    s.send("DescribeCluster", 2, {"IncludeFencedBrokers": True}, label="fenced too")


@sequence
def describe_topic_partitions(s: Session):
    s.create_topic("a", partitions=3)
    s.create_topic("b", partitions=2)
    a, b = s.topic("a"), s.topic("b")
    ask = lambda label, **body: s.send("DescribeTopicPartitions", 0, body, label=label)
    ask("both", Topics=[{"Name": b}, {"Name": a}])
    ask("limit 1", Topics=[{"Name": a}], ResponsePartitionLimit=1)
    ask("limit 4 of 5", Topics=[{"Name": a}, {"Name": b}], ResponsePartitionLimit=4)
    ask("limit 0", Topics=[{"Name": a}], ResponsePartitionLimit=0)
    ask("from a cursor", Topics=[{"Name": a}, {"Name": b}], Cursor={"TopicName": a, "PartitionIndex": 2})
    ask("cursor past a topic", Topics=[{"Name": a}, {"Name": b}], Cursor={"TopicName": b, "PartitionIndex": 0})
    ask("negative cursor", Topics=[{"Name": a}], Cursor={"TopicName": a, "PartitionIndex": -1})
    ask("unknown", Topics=[{"Name": s.topic("nowhere")}])
    ask("bad name", Topics=[{"Name": "a b"}])


# Topics.

@sequence
def create_topics_each_version(s: Session):
    for version in range(2, 8):
        s.send("CreateTopics", version, {"Topics": [{"Name": s.topic(f"v{version}"), "NumPartitions": 2, "ReplicationFactor": 1,
                                                     "Configs": [{"Name": "max.message.bytes", "Value": "2000"}]}]})


@sequence
def create_topics_defaults(s: Session):
    for version in (4, 5, 7):
        s.send("CreateTopics", version, {"Topics": [{"Name": s.topic(f"v{version}"), "NumPartitions": -1, "ReplicationFactor": -1}]})


@sequence
def create_topics_errors(s: Session):
    def create(label, name=None, partitions=1, replicas=1, **more):
        s.send("CreateTopics", 7, {"Topics": [{"Name": s.topic("x") if name is None else name, "NumPartitions": partitions,
                                               "ReplicationFactor": replicas, **more}]}, label=label)
    create("first")
    create("again")
    create("no partitions", s.topic("p0"), partitions=0)
    create("-2 partitions", s.topic("p2"), partitions=-2)
    create("no replicas", s.topic("r0"), replicas=0)
    create("-2 replicas", s.topic("r2"), replicas=-2)
    create("3 replicas", s.topic("r3"), replicas=3)
    for name in ("", ".", "..", "a b", "a/b", "x" * 250):
        create(f"name {name[:10]!r} of {len(name)}", name)
    create("dots", s.topic("c.d"))
    create("collides", s.topic("c_d"))
    create("unknown config", s.topic("k1"), Configs=[{"Name": "no.such.key", "Value": "1"}])
    create("bad config value", s.topic("k2"), Configs=[{"Name": "retention.ms", "Value": "soon"}])
    create("config out of range", s.topic("k3"), Configs=[{"Name": "max.message.bytes", "Value": "-1"}])
    create("null config value", s.topic("k4"), Configs=[{"Name": "retention.ms", "Value": None}])
    create("bad policy", s.topic("k5"), Configs=[{"Name": "cleanup.policy", "Value": "shrink"}])
    create("bad compression", s.topic("k6"), Configs=[{"Name": "compression.type", "Value": "brotli"}])
    create("config twice", s.topic("k7"), Configs=[{"Name": "retention.ms", "Value": "1"}, {"Name": "retention.ms", "Value": "2"}])


@sequence
def create_topics_assignments(s: Session):
    def create(label, assignments, partitions=-1, replicas=-1):
        s.send("CreateTopics", 7, {"Topics": [{"Name": s.topic(label.replace(" ", "-")), "NumPartitions": partitions,
                                               "ReplicationFactor": replicas, "Assignments": [
            {"PartitionIndex": i, "BrokerIds": ids} for i, ids in assignments]}]}, label=label)
    create("two", [(0, [1]), (1, [1])])
    create("gap", [(0, [1]), (2, [1])])
    create("not from zero", [(1, [1])])
    create("unknown broker", [(0, [7])])
    create("no broker", [(0, [])])
    create("same broker twice", [(0, [1, 1])])
    create("with a count", [(0, [1])], partitions=1)
    create("with a factor", [(0, [1])], replicas=1)
    create("index twice", [(0, [1]), (0, [1])])


@sequence
def create_topics_twice_in_one_request(s: Session):
    topic = {"Name": s.topic("twin"), "NumPartitions": 1, "ReplicationFactor": 1}
    s.send("CreateTopics", 7, {"Topics": [topic, topic, {**topic, "Name": s.topic("other")}]})


@sequence
def create_topics_validate_only(s: Session):
    for version in (2, 5, 7):
        s.send("CreateTopics", version, {"validateOnly": True, "Topics": [
            {"Name": s.topic("v"), "NumPartitions": 2, "ReplicationFactor": 1, "Configs": [{"Name": "retention.ms", "Value": "99"}]}]})
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic("v")}], "AllowAutoTopicCreation": False}, label="is not there")


@sequence
def create_no_topics(s: Session):
    s.send("CreateTopics", 7, {"Topics": []})


@sequence
def delete_topics_each_version(s: Session):
    for version in range(1, 6):
        s.create_topic(f"v{version}")
        s.send("DeleteTopics", version, {"TopicNames": [s.topic(f"v{version}"), s.topic("nowhere")], "TimeoutMs": 5000})
    topic_id = s.create_topic("v6")
    s.create_topic("v6b")
    s.send("DeleteTopics", 6, {"Topics": [{"TopicId": topic_id}, {"Name": s.topic("v6b")}, {"Name": s.topic("nowhere")},
                                          {"TopicId": UNKNOWN_ID}], "TimeoutMs": 5000})
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic("v6")}], "AllowAutoTopicCreation": False}, label="is gone")


@sequence
def delete_topics_errors(s: Session):
    topic_id = s.create_topic()
    s.send("DeleteTopics", 6, {"Topics": [{"Name": s.topic(), "TopicId": topic_id}], "TimeoutMs": 5000}, label="name and id")
    s.send("DeleteTopics", 6, {"Topics": [{"Name": None}], "TimeoutMs": 5000}, label="neither")
    s.send("DeleteTopics", 6, {"Topics": [{"Name": s.topic()}, {"Name": s.topic()}], "TimeoutMs": 5000}, label="name twice")
    s.send("DeleteTopics", 6, {"Topics": [{"Name": s.topic()}, {"TopicId": topic_id}], "TimeoutMs": 5000}, label="by both")
    s.send("DeleteTopics", 4, {"TopicNames": [], "TimeoutMs": 5000}, label="none")


@sequence
def create_partitions(s: Session):
    s.create_topic(partitions=2)
    def grow(label, count, version=3, name=None, assignments=None, validate=False):
        s.send("CreatePartitions", version, {"Topics": [{"Name": name or s.topic(), "Count": count, "Assignments":
            None if assignments is None else [{"BrokerIds": ids} for ids in assignments]}], "TimeoutMs": 5000,
            "ValidateOnly": validate}, label=label)
    grow("fewer", 1)
    grow("as many", 2)
    grow("zero", 0)
    grow("negative", -1)
    grow("validate", 5, validate=True)
    for version in range(4):
        grow(f"v{version}", 3 + version, version)
    grow("unknown topic", 3, name=s.topic("nowhere"))
    grow("bad name", 3, name="a b")
    grow("assigned", 8, assignments=[[1], [1]])
    grow("too few assignments", 10, assignments=[[1]])
    grow("unknown broker", 9, assignments=[[9]])
    grow("empty assignment", 9, assignments=[[]])
    topic = {"Name": s.topic(), "Count": 12, "Assignments": None}
    s.send("CreatePartitions", 3, {"Topics": [topic, topic], "TimeoutMs": 5000}, label="topic twice")
    s.send("Metadata", 12, {"Topics": [{"Name": s.topic()}]}, label="in the end")


# Records in.

@sequence
def produce_each_version(s: Session):
    topic_id = s.create_topic()
    for version in range(3, 14):
        s.produce(batch([b"a", b"b"], timestamp=1_700_000_000_000 + version), version=version, topic_id=topic_id, acks=1)
    for version in (3, 9, 13):
        s.produce(batch(), version=version, topic_id=topic_id, label=f"all v{version}")
    s.fetch(0, version=11)


@sequence
def produce_to_the_wrong_place(s: Session):
    topic_id = s.create_topic()
    s.produce(batch(), name="nowhere", label="unknown topic")
    s.produce(batch(), partition=1, label="unknown partition")
    s.produce(batch(), partition=-1, label="partition -1")
    s.produce(batch(), version=13, topic_id=UNKNOWN_ID, label="unknown id")
    s.produce(batch(), version=13, topic_id=uuid.UUID(int=0), label="zero id")
    s.produce(batch(), version=13, topic_id=topic_id, partition=5, label="known id, unknown partition")


@sequence
def produce_acks(s: Session):
    s.create_topic()
    for acks in (-2, 2, 32767):
        s.produce(batch(), acks=acks, label=f"acks {acks}")
    s.produce(batch([b"zero"]), acks=0)
    s.produce(batch([b"one"]), acks=1, label="after acks 0")
    s.fetch(0)


@sequence
def produce_acks_0_wrongly(s: Session):
    s.create_topic()
    s.produce(batch(), acks=0, name="nowhere")
    s.send("Metadata", 9, {"Topics": []}, label="after acks 0 to an unknown topic")
    s.produce(batch(crc=1), acks=0, on="second")
    s.send("Metadata", 9, {"Topics": []}, on="second", label="after acks 0 with a wrong CRC")


@sequence
def produce_wrong_batches(s: Session):
    s.create_topic()
    ok = batch([b"x", b"y"], timestamp=1_700_000_000_000)
    wrong = {
        "wrong crc": batch(crc=12345), "count too high": batch(count=2), "count too low": batch([b"a", b"b"], count=1),
        "count zero": batch(count=0), "count negative": batch(count=-1),
        "delta negative": batch(last_offset_delta=-1), "delta too high": batch(last_offset_delta=5),
        "length too long": batch(length=5000), "length too short": batch(length=20), "length negative": batch(length=-1),
        "magic 0": batch(magic=0), "magic 1": batch(magic=1), "magic 3": batch(magic=3), "magic -1": batch(magic=-1),
        "two batches": ok + ok, "no bytes": b"", "null": None, "cut short": ok[:-1], "a header only": ok[:61], "ten bytes": ok[:10],
        "bytes after": ok + b"\0\0\0", "base offset 7": batch(base_offset=7), "leader epoch 9": batch(leader_epoch=9),
        "control": batch(attributes=0x20), "transactional without a producer": batch(attributes=0x10),
        "codec 5": batch(attributes=5), "codec 7": batch(attributes=7),
        "payload of rubbish": batch(payload=b"\xff" * 40), "payload too short": batch(payload=record(0, b"v")[:-2]),
        "wrong offset delta inside": batch(payload=record(3, b"v")),
        "log append time from a client": batch(attributes=8, timestamp=1_700_000_000_000),
        "unused attribute bits": batch(attributes=0x80), "no records": batch([], last_offset_delta=0),
    }
    for label, records in wrong.items():
        s.produce(records, label=label)
    s.send("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [
        {"PartitionIndex": 0, "Timestamp": -1}]}]}, label="log end offset after all of them")


@sequence
def produce_rubbish_that_claims_a_codec(s: Session):
    s.create_topic()
    for name, codec in (("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)):
        s.produce(batch(attributes=codec, payload=b"\xff" * 40), label=name)


@sequence
def produce_wrong_batch_old_versions(s: Session):
    s.create_topic()
    for version in (3, 7, 8):
        s.produce(batch(crc=1), version=version, label=f"wrong crc v{version}")
        s.produce(batch(count=5), version=version, label=f"wrong count v{version}")
        s.produce(batch(magic=1), version=version, label=f"magic 1 v{version}")


@sequence
def produce_too_large(s: Session):
    s.create_topic(configs={"max.message.bytes": "1000"})
    s.produce(batch([b"x" * 850]), label="under")
    s.produce(batch([b"x" * 2000]), label="over")
    full = batch([b"x" * 900])
    for size in range(900, 960, 1):
        full = batch([b"x" * size])
        if len(full) in (1000, 1001):
            s.produce(full, label=f"exactly {len(full)} bytes")


@sequence
def produce_timestamps(s: Session):
    now = int(time.time() * 1000)
    s.create_topic()
    hour = 3_600_000
    for label, at in (("now", now), ("two hours ahead", now + 2 * hour), ("long ago", 0), ("-1", -1), ("-2", -2), ("half an hour ahead", now + hour // 2)):
        s.produce(batch(timestamp=at), label=label)
    s.create_topic("tight", configs={"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "1000"})
    for label, at in (("now in tight", now), ("an hour old in tight", now - hour), ("an hour ahead in tight", now + hour)):
        s.produce(batch([b"a", b"b"], timestamp=at), name="tight", label=label)
    s.produce(batch(timestamp=now, max_timestamp=now + 10), label="max above the records'")
    s.produce(batch(timestamp=now, max_timestamp=-1), label="max -1")


@sequence
def produce_log_append_time(s: Session):
    s.create_topic(configs={"message.timestamp.type": "LogAppendTime"})
    for version in (3, 8, 9):
        s.produce(batch([b"a", b"b"], timestamp=5), version=version, label=f"log append time v{version}")
    s.fetch(0, label="fetched")


@sequence
def produce_codec_versions(s: Session):
    s.create_topic()
    s.produce(batch(codec="gzip"), version=3, label="gzip v3")
    for version in (3, 6):
        s.produce(batch(codec="zstd", payload=b"(\xb5/\xfd rubbish"), version=version, label=f"zstd v{version}")
    s.create_topic("z", configs={"compression.type": "zstd"})
    for version in (4, 9, 10, 11):
        s.fetch(0, version=version, name="z", label=f"fetch from a zstd topic v{version}")


@sequence
def produce_to_a_compacted_topic(s: Session):
    s.create_topic(configs={"cleanup.policy": "compact"})
    s.produce(batch([b"v"]), label="without a key")
    s.produce(batch([b"v"], key=b"k"), label="with a key")
    s.produce(batch([None], key=b"k"), label="a tombstone")
    s.produce(batch([b"v", b"w"], payload=record(0, b"v", key=b"k") + record(1, b"w")), label="one of two without a key")


@sequence
def produce_to_two_partitions_one_wrong(s: Session):
    s.create_topic(partitions=2)
    s.send("Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": s.topic(), "PartitionData": [{"Index": 0, "Records": batch()}, {"Index": 1, "Records": batch(crc=0)},
                                              {"Index": 2, "Records": batch()}]},
        {"Name": s.topic("nowhere"), "PartitionData": [{"Index": 0, "Records": batch()}]}]})
    s.send("Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": []}, label="nothing at all")
    s.send("Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [{"Name": s.topic(), "PartitionData": []}]}, label="no partitions")
    partition = {"Index": 0, "Records": batch()}
    s.send("Produce", 9, {"Acks": 1, "TimeoutMs": 5000, "TopicData": [
        {"Name": s.topic(), "PartitionData": [partition, partition]}]}, label="a partition twice")


@sequence
def produce_needing_more_replicas(s: Session):
    s.create_topic(configs={"min.insync.replicas": "2"})
    s.produce(batch(), acks=-1, label="all")
    s.produce(batch(), acks=1, label="one")


# Idempotence.

@sequence
def init_producer_id(s: Session):
    _new_producer(s)
    for version in range(6):
        s.send("InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60_000})
    got = s.quiet("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60_000})
    s.send("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 1, "ProducerId": got["ProducerId"],
                                 "ProducerEpoch": 0}, label="with an id of its own")
    s.send("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 1, "ProducerId": 5}, label="id without epoch")
    s.send("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 1, "ProducerEpoch": 5}, label="epoch without id")
    s.send("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": -1}, label="negative timeout")
    s.send("InitProducerId", 4, {"TransactionalId": "", "TransactionTimeoutMs": 1000}, label="empty transactional id")


def _new_producer(s: Session) -> int:
    """A producer id; Kafka's broker has none to give until its controller has given it some."""
    for _ in range(100):
        answer = s.quiet("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60_000})
        if answer["ErrorCode"] == 0:
            break
        time.sleep(0.05)
    return answer["ProducerId"]


@sequence
def idempotent_sequences(s: Session):
    s.create_topic()
    pid = _new_producer(s)
    def put(label, seq, count=2, epoch=0, producer=None):
        s.produce(batch([b"x"] * count, producer_id=pid if producer is None else producer, producer_epoch=epoch, base_sequence=seq,
                        timestamp=1_700_000_000_000), label=label)
    put("0-1", 0)
    put("0-1 again", 0)
    put("2-3", 2)
    put("gap to 9", 9)
    put("4-5", 4)
    put("6-7", 6)
    put("8-9", 8)
    put("10-11", 10)
    put("2-3 again, the oldest of five", 2)
    put("0-1 again, out of the window", 0)
    put("12, one record", 12, count=1)
    put("12-13, overlapping", 12)
    put("epoch 1 from 5", 5, epoch=1)
    put("epoch 1 from 0", 0, epoch=1)
    put("epoch 0 again", 13, epoch=0)
    put("epoch 1 goes on", 2, epoch=1)
    put("epoch 3 from 0", 0, epoch=3)
    s.send("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [
        {"PartitionIndex": 0, "Timestamp": -1}]}]}, label="log end offset")


@sequence
def idempotent_oddities(s: Session):
    s.create_topic(partitions=6)
    pid = _new_producer(s)
    def put(label, partition, **fields):
        s.produce(batch([b"x"], timestamp=1_700_000_000_000, **{"producer_id": pid, "producer_epoch": 0, "base_sequence": 0, **fields}),
                  label=label, partition=partition)
    put("first sequence 7", 0, base_sequence=7)
    put("then 8", 0, base_sequence=8)
    put("then 0", 0, base_sequence=0)
    put("negative sequence", 1, base_sequence=-1)
    put("negative epoch", 1, producer_epoch=-1)
    put("an id nobody was given", 2, producer_id=987_654_321)
    put("negative id", 2, producer_id=-5)
    put("at the end of the sequences", 3, base_sequence=2_147_483_647)
    put("wrapped to 0", 3, base_sequence=0)
    put("wrapped to 1", 3, base_sequence=1)
    put("transactional without a transaction", 4, attributes=0x10)
    s.produce(batch([b"x"], producer_id=pid, producer_epoch=0, base_sequence=0, attributes=0x10), transactional_id="t",
              partition=5, label="with a transactional id")


@sequence
def idempotent_batches_across_the_wrap(s: Session):
    s.create_topic()
    pid = _new_producer(s)
    for label, seq, count in (("up to the last but one", 2_147_483_640, 7), ("across", 2_147_483_647, 3), ("goes on", 2, 1), ("across again", 2_147_483_647, 3)):
        s.produce(batch([b"x"] * count, producer_id=pid, producer_epoch=0, base_sequence=seq), label=label)


# Records out.

@sequence
def fetch_each_version(s: Session):
    topic_id = s.create_topic()
    s.produce(batch([b"a", b"b", b"c"], timestamp=1_700_000_000_000), acks=1)
    for version in range(4, 19):
        s.fetch(0, version=version, topic_id=topic_id)
        s.fetch(3, version=version, topic_id=topic_id, label=f"at the end v{version}")


@sequence
def fetch_offsets(s: Session):
    topic_id = s.create_topic()
    for i in range(5):
        s.produce(batch([b"v" * 100] * 3, timestamp=1_700_000_000_000 + i), acks=1, label=f"batch {i}")
    for offset in (1, 2, 3, 14, 15, 16, 1 << 40, -1, -2):
        s.fetch(offset, label=f"offset {offset}")
        s.fetch(offset, version=13, topic_id=topic_id, label=f"offset {offset} v13")


@sequence
def fetch_from_the_wrong_place(s: Session):
    topic_id = s.create_topic()
    s.fetch(0, name="nowhere", label="unknown topic")
    s.fetch(0, partition=3, label="unknown partition")
    s.fetch(0, partition=-1, label="partition -1")
    for version in (13, 16):
        s.fetch(0, version=version, topic_id=UNKNOWN_ID, label=f"unknown id v{version}")
        s.fetch(0, version=version, topic_id=uuid.UUID(int=0), label=f"zero id v{version}")
        s.fetch(0, version=version, topic_id=topic_id, partition=3, label=f"unknown partition v{version}")


@sequence
def fetch_limits(s: Session):
    s.create_topic(partitions=2)
    for partition in (0, 1):
        for _ in range(4):
            s.produce(batch([b"v" * 500]), acks=1, partition=partition, label="filling")
    s.fetch(0, PartitionMaxBytes=1, label="partition limit of a byte")
    s.fetch(0, PartitionMaxBytes=700, label="partition limit of a batch and a bit")
    s.fetch(0, PartitionMaxBytes=0, label="partition limit 0")
    s.fetch(0, PartitionMaxBytes=-1, label="partition limit -1")
    for limit in (0, 1, 700, 1500):
        s.fetch(0, body={"MaxBytes": limit}, label=f"limit {limit}")
        answer = s.send("Fetch", 11, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": limit, "Topics": [{"Topic": s.topic(), "Partitions": [
            {"Partition": p, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20} for p in (0, 1)]}]}, label=f"two partitions, limit {limit}")
        for t in answer["Responses"]:
            for p in t["Partitions"]:
                p["Records"] = len(p["Records"])
    s.fetch(0, body={"MinBytes": 0, "MaxWaitMs": 0}, label="no waiting")
    s.fetch(0, body={"MinBytes": 1 << 20, "MaxWaitMs": 50}, label="more than there is")
    s.fetch(0, body={"MaxWaitMs": -1}, label="negative wait")
    s.fetch(0, body={"MinBytes": -1}, label="negative minimum")


@sequence
def fetch_isolation(s: Session):
    s.create_topic()
    s.produce(batch(timestamp=1_700_000_000_000), acks=1)
    for level in (0, 1, 2, -1):
        s.fetch(0, body={"IsolationLevel": level}, label=f"isolation {level}")


@sequence
def fetch_epochs(s: Session):
    s.create_topic()
    s.produce(batch(timestamp=1_700_000_000_000), acks=1)
    for epoch in (-1, 0, 1, 50, -2):
        s.fetch(0, CurrentLeaderEpoch=epoch, label=f"current leader epoch {epoch}")
        s.fetch(0, version=12, LastFetchedEpoch=epoch, label=f"last fetched epoch {epoch}")


@sequence
def fetch_as_a_replica(s: Session):
    topic_id = s.create_topic()
    s.produce(batch(timestamp=1_700_000_000_000), acks=1)
    for replica in (-2, 1, 5):
        s.fetch(0, body={"ReplicaId": replica}, label=f"replica {replica}")
        s.fetch(0, version=15, topic_id=topic_id, body={"ReplicaState": {"ReplicaId": replica, "ReplicaEpoch": 1}},
                label=f"replica {replica} v15")


@sequence
def fetch_sessions(s: Session):
    s.create_topic(partitions=3)
    for p in (0, 1):
        s.produce(batch(timestamp=1_700_000_000_000), acks=1, partition=p, label=f"to {p}")
    def ask(label, session, epoch, partitions, forgotten=(), version=11):
        answer = s.send("Fetch", version, {"MaxWaitMs": 50, "MinBytes": 1, "MaxBytes": 1 << 20, "SessionId": session,
            "SessionEpoch": epoch, "Topics": [{"Topic": s.topic(), "Partitions": [
                {"Partition": p, "FetchOffset": o, "PartitionMaxBytes": 1 << 20} for p, o in partitions]}] if partitions else [],
            "ForgottenTopicsData": [{"Topic": s.topic(), "Partitions": list(forgotten)}] if forgotten else []}, label=label)
        for t in answer.get("Responses", []):
            for p in t["Partitions"]:
                p["Records"] = len(p["Records"])
        return answer.get("SessionId", 0)
    ask("no session", 0, -1, [(0, 0), (1, 0), (2, 0)])
    session = ask("new session", 0, 0, [(0, 0), (1, 0), (2, 0)])
    ask("incremental, all moved", session, 1, [(0, 1), (1, 1)])
    ask("incremental, nothing new", session, 2, [])
    s.produce(batch(timestamp=1_700_000_000_000), acks=1, partition=2, label="to 2")
    ask("incremental, one has records", session, 3, [])
    ask("forget two", session, 4, [], forgotten=[1, 2])
    ask("what is left", session, 5, [])
    ask("out of range in a session", session, 6, [(0, 99)])
    ask("again, still wrong", session, 7, [])
    ask("an unknown partition", session, 8, [(9, 0)])
    ask("wrong epoch", session, 3, [])
    ask("unknown session", 123_456_789, 1, [])
    ask("closing it", session, -1, [(0, 0)])
    ask("after the close", session, 9, [])
    ask("epoch 5 without a session", 0, 5, [(0, 0)])


@sequence
def fetch_sessions_with_ids(s: Session):
    topic_id = s.create_topic(partitions=2)
    other = s.create_topic("other")
    s.produce(batch(timestamp=1_700_000_000_000), acks=1)
    def ask(label, session, epoch, topics, forgotten=()):
        answer = s.send("Fetch", 13, {"MaxWaitMs": 50, "MinBytes": 1, "MaxBytes": 1 << 20, "SessionId": session, "SessionEpoch": epoch,
            "Topics": [{"TopicId": t, "Partitions": [{"Partition": p, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20} for p in ps]}
                       for t, ps in topics],
            "ForgottenTopicsData": [{"TopicId": t, "Partitions": list(ps)} for t, ps in forgotten]}, label=label)
        for t in answer.get("Responses", []):
            for p in t["Partitions"]:
                p["Records"] = len(p["Records"] or b"")
        return answer.get("SessionId", 0)
    session = ask("new", 0, 0, [(topic_id, [0, 1]), (other, [0])])
    ask("again", session, 1, [])
    ask("with an unknown id", session, 2, [(UNKNOWN_ID, [0])])
    ask("forget the unknown", session, 3, [], [(UNKNOWN_ID, [0])])
    s.quiet("DeleteTopics", 6, {"Topics": [{"TopicId": other}], "TimeoutMs": 5000})
    for _ in range(100):
        if s.quiet("Metadata", 12, {"Topics": [{"Name": None, "TopicId": other}]})["Topics"][0]["ErrorCode"]:
            break
        time.sleep(0.05)
    ask("one was deleted", session, 4, [])
    s.fetch(0, version=11, body={"SessionId": session, "SessionEpoch": 5}, label="a name in a session of ids")


# Offsets.

@sequence
def list_offsets_each_version(s: Session):
    s.create_topic()
    for i in range(3):
        s.produce(batch([b"v", b"w"], timestamp=1_700_000_000_000 + 10 * i), acks=1, label=f"batch {i}")
    for version in range(1, 11):
        for at in (-1, -2, 0, 1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_020, 1_700_000_000_021):
            s.send("ListOffsets", version, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [
                {"PartitionIndex": 0, "Timestamp": at}]}], "TimeoutMs": 1000}, label=f"at {at} v{version}")


@sequence
def list_offsets_special(s: Session):
    s.create_topic()
    def ask(label, at, version, name=None, partition=0, **more):
        s.send("ListOffsets", version, {"ReplicaId": -1, "Topics": [{"Name": s.topic() if name is None else name, "Partitions": [
            {"PartitionIndex": partition, "Timestamp": at, **more}]}], "TimeoutMs": 1000}, label=label)
    for version in (6, 7, 8, 9, 10):
        for at in (-3, -4, -5, -6, -7, -100):
            ask(f"empty log, at {at} v{version}", at, version)
    ask("empty log, latest", -1, 7)
    ask("empty log, by time", 5, 7)
    for stamp in (300, 100, 200):
        s.produce(batch([b"v"], timestamp=stamp), acks=1, label=f"at {stamp}")
    for version in (1, 6, 7, 8, 9, 10):
        for at in (-3, -4, -5, -6, -7):
            ask(f"at {at} v{version}", at, version)
    for at in (50, 100, 150, 201, 301):
        ask(f"out of order, at {at}", at, 7)
    ask("unknown topic", -1, 7, name=s.topic("nowhere"))
    ask("bad name", -1, 7, name="a b")
    ask("unknown partition", -1, 7, partition=4)
    ask("fenced epoch", -1, 7, CurrentLeaderEpoch=0)
    ask("epoch ahead", -1, 7, CurrentLeaderEpoch=70)
    partition = {"PartitionIndex": 0, "Timestamp": -1}
    s.send("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [partition, partition]}]}, label="twice")
    for replica in (-2, 1, 7):
        s.send("ListOffsets", 7, {"ReplicaId": replica, "Topics": [{"Name": s.topic(), "Partitions": [partition]}]}, label=f"replica {replica}")
    for level in (0, 1, 5):
        s.send("ListOffsets", 7, {"ReplicaId": -1, "IsolationLevel": level, "Topics": [
            {"Name": s.topic(), "Partitions": [partition]}]}, label=f"isolation {level}")


@sequence
def offset_for_leader_epoch_of_an_empty_log(s: Session):
    s.create_topic()
    for epoch in (0, 1):
        s.send("OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [{"Topic": s.topic(), "Partitions": [
            {"Partition": 0, "CurrentLeaderEpoch": -1, "LeaderEpoch": epoch}]}]}, label=f"epoch {epoch}")


@sequence
def offset_for_leader_epoch(s: Session):
    s.create_topic()
    s.produce(batch([b"a", b"b"]), acks=1)
    for version in (2, 3, 4):
        for epoch in (-1, 0, 1, 9):
            s.send("OffsetForLeaderEpoch", version, {"ReplicaId": -1, "Topics": [{"Topic": s.topic(), "Partitions": [
                {"Partition": 0, "CurrentLeaderEpoch": -1, "LeaderEpoch": epoch}]}]}, label=f"epoch {epoch} v{version}")
    for current in (0, 5, -2):
        s.send("OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [{"Topic": s.topic(), "Partitions": [
            {"Partition": 0, "CurrentLeaderEpoch": current, "LeaderEpoch": 0}]}]}, label=f"current {current}")
    s.send("OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [{"Topic": s.topic("nowhere"), "Partitions": [
        {"Partition": 0, "LeaderEpoch": 0}]}]}, label="unknown topic")
    s.send("OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [{"Topic": s.topic(), "Partitions": [
        {"Partition": 8, "LeaderEpoch": 0}]}]}, label="unknown partition")


@sequence
def delete_records(s: Session):
    s.create_topic(partitions=2)
    for _ in range(3):
        s.produce(batch([b"a", b"b"]), acks=1)
    def cut(label, offset, version=2, partition=0, name=None):
        s.send("DeleteRecords", version, {"Topics": [{"Name": name or s.topic(), "Partitions": [
            {"PartitionIndex": partition, "Offset": offset}]}], "TimeoutMs": 5000}, label=label)
    for version in range(3):
        cut(f"to {version + 1} v{version}", version + 1, version)
    cut("backwards", 1)
    cut("past the end", 7)
    cut("-2", -2)
    s.fetch(0, label="below the start")
    s.fetch(3, label="at the start")
    s.send("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [
        {"PartitionIndex": 0, "Timestamp": -2}]}]}, label="earliest")
    cut("to the high watermark", -1)
    cut("an empty partition", -1, partition=1)
    cut("unknown partition", 0, partition=9)
    cut("unknown topic", 0, name=s.topic("nowhere"))
    s.create_topic("compacted", configs={"cleanup.policy": "compact"})
    cut("a compacted topic", 0, name=s.topic("compacted"))
    s.create_topic("both", configs={"cleanup.policy": "compact,delete"})
    cut("compact and delete", 0, name=s.topic("both"))
    s.send("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": s.topic(), "Partitions": [
        {"PartitionIndex": 0, "Timestamp": -1}]}]}, label="latest")


# Descriptions.

@sequence
def describe_topic_configs(s: Session):
    s.create_topic(configs={"retention.ms": "12345", "cleanup.policy": "compact,delete", "segment.bytes": "1048576"})
    for version in range(1, 5):
        for synonyms in (False, True):
            s.send("DescribeConfigs", version, {"Resources": [{"ResourceType": 2, "ResourceName": s.topic(), "ConfigurationKeys": None}],
                                                "IncludeSynonyms": synonyms}, label=f"topic v{version} synonyms {synonyms}")
    s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": 2, "ResourceName": s.topic(), "ConfigurationKeys": [
        "retention.ms", "no.such.key"]}]}, label="two keys")
    s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": 2, "ResourceName": s.topic(), "ConfigurationKeys": []}]}, label="no keys")


@sequence
def describe_broker_configs(s: Session):
    for version in (1, 4):
        s.send("DescribeConfigs", version, {"Resources": [{"ResourceType": 4, "ResourceName": "1", "ConfigurationKeys": None}],
                                            "IncludeSynonyms": True}, label=f"broker v{version}")
    s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": 4, "ResourceName": "", "ConfigurationKeys": None}]}, label="cluster default")


@sequence
def describe_configs_errors(s: Session):
    def ask(label, kind, name):
        s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": None}]}, label=label)
    ask("unknown topic", 2, s.topic("nowhere"))
    ask("bad topic name", 2, "a b")
    ask("another broker", 4, "7")
    ask("a broker that is no number", 4, "one")
    ask("unknown kind", 77, "x")
    ask("kind 0", 0, "x")
    resource = {"ResourceType": 2, "ResourceName": s.topic("nowhere"), "ConfigurationKeys": None}
    s.send("DescribeConfigs", 4, {"Resources": [resource, resource]}, label="twice")
    s.send("DescribeConfigs", 4, {"Resources": []}, label="nothing")


# Settings changed while running.

TOPIC, BROKER, GROUP = 2, 4, 32
SET, DELETE, APPEND, SUBTRACT = range(4)


def alter_configs(s: Session, label: str, *resources, version: int = 1, validate_only: bool = False):
    """Each resource is (kind, name, key, operation, value, key, operation, value ...)."""
    asked = [{"ResourceType": kind, "ResourceName": name, "Configs": [
        {"Name": changes[i], "ConfigOperation": changes[i + 1], "Value": changes[i + 2]} for i in range(0, len(changes), 3)]}
        for kind, name, *changes in resources]
    s.send("IncrementalAlterConfigs", version, {"Resources": asked, "ValidateOnly": validate_only}, label=label)


def describe_config(s: Session, label: str, kind: int, name: str, keys: list[str] | None):
    time.sleep(0.5)  # Kafka's brokers learn of a change after its controller has answered
    s.send("DescribeConfigs", 4, {"Resources": [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}],
                                  "IncludeSynonyms": True}, label=label)


@sequence
def alter_group_configs(s: Session):
    group, session, heartbeat = s.topic("group"), "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
    describe_config(s, "of a group that nobody heard of", GROUP, group, None)
    alter_configs(s, "session", (GROUP, group, session, SET, "50000"), version=0)
    alter_configs(s, "with spaces", (GROUP, group, "consumer.assignment.interval.ms", SET, " 2000 "))
    alter_configs(s, "of share groups", (GROUP, group, "share.auto.offset.reset", SET, "by_duration:PT1H",
                                         "share.renew.acknowledge.enable", SET, "FALSE"))
    describe_config(s, "set", GROUP, group, None)
    alter_configs(s, "validate only", (GROUP, group, heartbeat, SET, "6000"), validate_only=True)
    alter_configs(s, "the same again", (GROUP, group, session, SET, "50000"))
    alter_configs(s, "two at once", (GROUP, group, heartbeat, SET, "15000", session, DELETE, "7"))
    describe_config(s, "deleted", GROUP, group, [session, heartbeat, "no.such.key"])
    describe_config(s, "without a name", GROUP, "", None)


@sequence
def alter_group_configs_refused(s: Session):
    group, session, heartbeat = s.topic("group"), "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
    for key, value in ((session, "1000"), (session, "61000"), (session, "0"), (session, "abc"), (session, ""), (session, None),
                       (heartbeat, "1"), (heartbeat, "15001"), ("consumer.assignment.interval.ms", "15001"), ("no.such.key", "1"),
                       ("share.session.timeout.ms", "1"), ("share.isolation.level", "x"), ("share.auto.offset.reset", "never"),
                       ("share.record.lock.duration.ms", "70000"), ("streams.num.standby.replicas", "5")):
        alter_configs(s, f"{key} = {value!r}", (GROUP, group, key, SET, value))
    alter_configs(s, "append", (GROUP, group, session, APPEND, "1"))
    alter_configs(s, "subtract from an unknown key", (GROUP, group, "no.such.key", SUBTRACT, "1"))
    alter_configs(s, "delete an unknown key", (GROUP, group, "no.such.key", DELETE, None))
    alter_configs(s, "no name", (GROUP, "", session, SET, "50000"))
    alter_configs(s, "a key twice", (GROUP, group, session, SET, "50000", session, SET, "51000"))
    alter_configs(s, "a resource twice", (GROUP, group, session, SET, "50000"), (GROUP, group, session, SET, "51000"))
    alter_configs(s, "one good, one bad", (GROUP, group, session, SET, "50000"), (GROUP, group + "2", session, SET, "1"))
    alter_configs(s, "no resources")
    alter_configs(s, "no keys", (GROUP, group))
    alter_configs(s, "unknown kinds", (0, "x"), (77, "x"), (1, "x", "a", SET, "b"))
    alter_configs(s, "another broker", (BROKER, "7", "log.retention.ms", SET, "1"))
    alter_configs(s, "a broker that is no number", (BROKER, "one", "log.retention.ms", SET, "1"))
    alter_configs(s, "a key of the broker that is read at start", (BROKER, "1", "broker.rack", SET, "r"))
    describe_config(s, "in the end", GROUP, group, [session, heartbeat])


@sequence
def alter_topic_configs(s: Session):
    s.create_topic(configs={"retention.ms": "12345"})
    topic = s.topic()
    alter_configs(s, "set and append", (TOPIC, topic, "retention.ms", SET, "1000", "cleanup.policy", APPEND, "compact"), version=0)
    describe_config(s, "appended", TOPIC, topic, ["retention.ms", "cleanup.policy"])
    alter_configs(s, "append what is there", (TOPIC, topic, "cleanup.policy", APPEND, "compact,delete"))
    alter_configs(s, "subtract", (TOPIC, topic, "cleanup.policy", SUBTRACT, "delete"))
    describe_config(s, "subtracted", TOPIC, topic, ["cleanup.policy"])
    alter_configs(s, "validate only", (TOPIC, topic, "retention.ms", SET, "7"), validate_only=True)
    alter_configs(s, "delete", (TOPIC, topic, "retention.ms", DELETE, None, "cleanup.policy", DELETE, None, "flush.ms", DELETE, None))
    describe_config(s, "deleted", TOPIC, topic, ["retention.ms", "cleanup.policy"])
    for label, name, key, operation, value in (
            ("append to no list", topic, "retention.ms", APPEND, "1"), ("unknown key", topic, "no.such.key", SET, "1"),
            ("append to an unknown key", topic, "no.such.key", APPEND, "1"), ("bad value", topic, "retention.ms", SET, "abc"),
            ("bad policy", topic, "cleanup.policy", APPEND, "x"), ("null", topic, "retention.ms", SET, None),
            ("unknown topic", s.topic("nowhere"), "retention.ms", SET, "1"), ("no name", "", "retention.ms", SET, "1"),
            ("unknown topic, bad value", s.topic("nowhere"), "retention.ms", SET, "abc"), ("bad name", "a b", "retention.ms", SET, "1")):
        alter_configs(s, label, (TOPIC, name, key, operation, value))
    s.produce(batch([b"x" * 3000]), label="before the limit")
    alter_configs(s, "a limit", (TOPIC, topic, "max.message.bytes", SET, "1000"))
    time.sleep(0.5)
    s.produce(batch([b"x" * 3000]), label="behind the limit")


@sequence
def replace_configs(s: Session):
    s.create_topic()
    topic = s.topic()

    def replace(label: str, kind: int, name: str, configs: list[tuple[str, str | None]], version: int = 2, validate_only: bool = False):
        s.send("AlterConfigs", version, {"ValidateOnly": validate_only, "Resources": [{
            "ResourceType": kind, "ResourceName": name, "Configs": [{"Name": k, "Value": v} for k, v in configs]}]}, label=label)

    replace("two", TOPIC, topic, [("retention.ms", "1000"), ("segment.ms", "5000")], version=0)
    describe_config(s, "two", TOPIC, topic, ["retention.ms", "segment.ms"])
    replace("one", TOPIC, topic, [("retention.ms", "2000")], version=1)
    replace("validate only", TOPIC, topic, [("retention.ms", "3000")], validate_only=True)
    describe_config(s, "one", TOPIC, topic, ["retention.ms", "segment.ms"])
    replace("none", TOPIC, topic, [])
    describe_config(s, "none", TOPIC, topic, ["retention.ms", "segment.ms"])
    replace("null", TOPIC, topic, [("retention.ms", None)])
    replace("a key twice", TOPIC, topic, [("retention.ms", "1"), ("retention.ms", "2")])
    replace("unknown topic", TOPIC, s.topic("nowhere"), [("retention.ms", "1")])
    replace("a group", GROUP, s.topic("group"), [("consumer.session.timeout.ms", "50000")])
    replace("a group without a name", GROUP, "", [("no.such.key", "1")])
    replace("a logger", 8, "1", [("root", "INFO")])
    replace("an unknown kind", 77, "x", [])
    replace("a key of the broker that is read at start", BROKER, "1", [("broker.rack", "r")])
    replace("nothing of the broker", BROKER, "1", [])
    replace("another broker", BROKER, "7", [])


@sequence
def describe_log_dirs(s: Session):
    s.create_topic(partitions=2)
    s.produce(batch([b"a"]), acks=1)
    for version in range(1, 5):
        s.send("DescribeLogDirs", version, {"Topics": [{"Topic": s.topic(), "Partitions": [0, 1]}]})
    s.send("DescribeLogDirs", 4, {"Topics": [{"Topic": s.topic("nowhere"), "Partitions": [0]}]}, label="unknown topic")
    s.send("DescribeLogDirs", 4, {"Topics": [{"Topic": s.topic(), "Partitions": [7]}]}, label="unknown partition")
    s.send("DescribeLogDirs", 4, {"Topics": []}, label="no topics")


# Order.

@sequence
def pipelined_requests_are_answered_in_order(s: Session):
    s.create_topic()
    s.produce(batch(timestamp=1_700_000_000_000), acks=1, label="first")
    wait = s.schemas.requests["Fetch"].encode(11, {"ReplicaId": -1, "MaxWaitMs": 300, "MinBytes": 1, "MaxBytes": 1 << 20, "Topics": [
        {"Topic": s.topic(), "Partitions": [{"Partition": 0, "FetchOffset": 1, "PartitionMaxBytes": 1 << 20}]}]})
    ask = s.schemas.requests["Metadata"].encode(9, {"Topics": []})
    frames = [("Fetch", 11, s.header("Fetch", 11) + wait), ("Metadata", 9, s.header("Metadata", 9) + ask),
              ("Metadata", 9, s.header("Metadata", 9) + ask)]
    s.pipeline(frames)
