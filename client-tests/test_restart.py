"""A clean stop and a start again: everything is where it was."""

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import Broker
from harness.ledger import LedgerProducer, account, read_partition


def test_records_offsets_topics_and_configs_survive(data_dir, topic):
    with Broker(data_dir).start() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic(topic, 3, 1, config={"retention.ms": "77777"})])[topic].result(20)
        before_id = admin.describe_cluster().result(20).cluster_id
        producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
        for i in range(9000):
            producer.produce(topic, b"%d" % i, partition=i % 3)
            producer.poll(0)
        assert producer.flush(30) == 0
        before = [read_partition(broker.bootstrap, topic, p) for p in range(3)]
        broker.stop()
        assert (data_dir / ".kafka_cleanshutdown").exists()
        broker.start()
        assert not (data_dir / ".kafka_cleanshutdown").exists()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        assert admin.describe_cluster().result(20).cluster_id == before_id
        assert [read_partition(broker.bootstrap, topic, p) for p in range(3)] == before
        broker.stop()


def test_an_idempotent_producer_works_through_restarts(data_dir, topic):
    with Broker(data_dir).start() as broker:
        producer = LedgerProducer(broker.bootstrap, topic, 0).start()
        for _ in range(3):
            seen = len(producer.acknowledged)
            while len(producer.acknowledged) < seen + 2000:
                assert not producer.refused, producer.refused[:3]
            broker.stop()
            broker.start()
        producer.stop()
        result = account(producer.acknowledged, read_partition(broker.bootstrap, topic, 0))
        result.assert_kept()
        assert result.found == producer.sent


def test_a_deleted_topic_stays_deleted(data_dir, topic):
    with Broker(data_dir).start() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce(topic, b"x")
        assert producer.flush(20) == 0
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics([topic])[topic].result(20)
        broker.kill()
        broker.start()
        assert topic not in AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
        assert not [p.name for p in data_dir.iterdir() if p.name.startswith(f"{topic}-") and not p.name.endswith("-delete")]
