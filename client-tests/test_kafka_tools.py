"""Kafka's own command-line tools against FluxMQ."""

import json
import re

from harness.kafka import tool


def test_topics(broker, topic):
    at = ("--bootstrap-server", broker.bootstrap)
    assert f"Created topic {topic}." in tool("kafka-topics", *at, "--create", "--topic", topic, "--partitions", 3,
                                            "--replication-factor", 1, "--config", "retention.ms=98765")
    assert topic in tool("kafka-topics", *at, "--list").split()
    described = tool("kafka-topics", *at, "--describe", "--topic", topic)
    assert re.search(r"PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=98765", described), described
    assert described.count("Leader: 1") == 3
    tool("kafka-topics", *at, "--alter", "--topic", topic, "--partitions", 5)
    assert "PartitionCount: 5" in tool("kafka-topics", *at, "--describe", "--topic", topic)
    tool("kafka-topics", *at, "--delete", "--topic", topic)
    assert topic not in tool("kafka-topics", *at, "--list").split()


def test_console_producer_and_consumer(broker, topic):
    lines = [f"line {i}" for i in range(100)]
    tool("kafka-topics", "--bootstrap-server", broker.bootstrap, "--create", "--topic", topic)
    tool("kafka-console-producer", "--bootstrap-server", broker.bootstrap, "--topic", topic, stdin="\n".join(lines) + "\n")
    got = tool("kafka-console-consumer", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--partition", 0,
               "--offset", "earliest", "--max-messages", 100, "--timeout-ms", 20_000)
    assert got.splitlines() == lines


def test_producer_perf_test(broker, topic):
    out = tool("kafka-producer-perf-test", "--bootstrap-server", broker.bootstrap, "--topic", topic, "--num-records", 50_000,
               "--record-size", 100, "--throughput", -1)
    assert "50000 records sent" in out


def test_get_offsets_and_delete_records(broker, topic, tmp_path):
    at = ("--bootstrap-server", broker.bootstrap)
    tool("kafka-console-producer", *at, "--topic", topic, stdin="".join(f"{i}\n" for i in range(10)))
    assert tool("kafka-get-offsets", *at, "--topic", topic).strip() == f"{topic}:0:10"
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 4}]}))
    assert "low_watermark: 4" in tool("kafka-delete-records", *at, "--offset-json-file", plan)
    assert tool("kafka-get-offsets", *at, "--topic", topic, "--time", "earliest").strip() == f"{topic}:0:4"


def test_configs_describe(broker, topic):
    at = ("--bootstrap-server", broker.bootstrap)
    tool("kafka-topics", *at, "--create", "--topic", topic, "--config", "max.message.bytes=5000")
    dynamic = tool("kafka-configs", *at, "--describe", "--entity-type", "topics", "--entity-name", topic)
    assert "max.message.bytes=5000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:max.message.bytes=5000" in dynamic
    everything = tool("kafka-configs", *at, "--describe", "--all", "--entity-type", "topics", "--entity-name", topic)
    assert "cleanup.policy=delete" in everything and "segment.bytes=268435456" in everything
    brokers = tool("kafka-configs", *at, "--describe", "--all", "--entity-type", "brokers", "--entity-name", "1")
    assert "auto.create.topics.enable=true" in brokers


def test_configs_alter(broker, topic):
    at = ("--bootstrap-server", broker.bootstrap)
    group = ("--entity-type", "groups", "--entity-name", f"{topic}-group")
    assert "Completed updating config" in tool("kafka-configs", *at, "--alter", *group, "--add-config",
                                               "consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000")
    described = tool("kafka-configs", *at, "--describe", *group)
    assert "consumer.session.timeout.ms=50000 sensitive=false synonyms={DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms=50000" \
        in described, described
    tool("kafka-configs", *at, "--alter", *group, "--delete-config", "consumer.session.timeout.ms")
    described = tool("kafka-configs", *at, "--describe", *group)
    assert "consumer.session.timeout.ms" not in described and "consumer.heartbeat.interval.ms=6000" in described
    refused = tool("kafka-configs", *at, "--alter", *group, "--add-config", "consumer.session.timeout.ms=1", check=False)
    assert "Completed" not in refused

    tool("kafka-topics", *at, "--create", "--topic", topic)
    tool("kafka-configs", *at, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config",
         "cleanup.policy=[compact,delete],retention.ms=5000")
    described = tool("kafka-topics", *at, "--describe", "--topic", topic)
    assert "retention.ms=5000" in described and "cleanup.policy=compact,delete" in described


def test_log_dirs(broker, topic):
    at = ("--bootstrap-server", broker.bootstrap)
    tool("kafka-console-producer", *at, "--topic", topic, stdin="x\n" * 50)
    out = tool("kafka-log-dirs", *at, "--describe", "--topic-list", topic)
    described = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    partitions = described["brokers"][0]["logDirs"][0]["partitions"]
    assert [p["partition"] for p in partitions] == [f"{topic}-0"] and partitions[0]["size"] > 50


def test_broker_api_versions(broker):
    out = tool("kafka-broker-api-versions", "--bootstrap-server", broker.bootstrap)
    assert "Produce(0): 0 to 13 [usable: 13]" in out and "Fetch(1): 4 to 18 [usable: 18]" in out
    assert "JoinGroup(11): 0 to 9 [usable: 9]" in out and "ConsumerGroupHeartbeat(68): 0 to 1 [usable: 1]" in out
    assert "TxnOffsetCommit(28): 0 to 5 [usable: 5]" in out and "WriteTxnMarkers(27): 1 [usable: 1]" in out
    assert "DescribeAcls(29): UNSUPPORTED" in out


def test_cluster_id(broker):
    assert re.search(r"Cluster ID: \S{22}", tool("kafka-cluster", "cluster-id", "--bootstrap-server", broker.bootstrap))
