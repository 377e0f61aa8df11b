"""Damage on the disk: it costs the partition that it lies in, it is named, and everything else is served."""

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from harness.broker import Broker
from harness.members import create_topic, eventually
from harness.transactions import QUIET, read


def write(bootstrap: str, topic: str, partition: int, count: int) -> list:
    """What became of the records: an error or None for each."""
    outcomes = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 4000, "batch.num.messages": 20, **QUIET})
    for i in range(count):
        producer.produce(topic, b"%d " % i + b"x" * 900, partition=partition, on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(30)
    return outcomes


def test_a_damaged_partition_is_offline_and_the_others_serve(tmp_path, topic):
    broker = Broker(tmp_path / "data")
    with broker.start():
        create_topic(broker.bootstrap, topic, 2, **{"segment.bytes": str(1 << 20)})
        for partition in range(2):
            assert write(broker.bootstrap, topic, partition, 3_000) == [None] * 3_000
        before = read(broker.bootstrap, topic, 1)
        damaged = broker.data_dir / f"{topic}-0"
        broker.stop()
        # Its first segment is known to be on the disk, and looked at since an index is gone.
        (broker.data_dir / ".kafka_cleanshutdown").unlink()
        (damaged / f"{0:020}.index").unlink()
        log = damaged / f"{0:020}.log"
        content = bytearray(log.read_bytes())
        content[5000] ^= 1
        log.write_bytes(content)

        broker.start()
        assert f"{topic}-0" in broker.tail() and "CrcMismatch" in broker.tail()
        assert broker.metrics()["fluxmq_offline_partitions"] == 1
        assert read(broker.bootstrap, topic, 1) == before
        assert write(broker.bootstrap, topic, 1, 10) == [None] * 10
        refused = write(broker.bootstrap, topic, 0, 1)
        assert [error.code() for error in refused] == [KafkaError._MSG_TIMED_OUT], "there is no leader to send it to"
        assert log.read_bytes() == content, "nothing of it is touched"

        # It is no different after another start, a stop between them or not; and can be deleted.
        broker.stop()
        broker.start()
        assert broker.metrics()["fluxmq_offline_partitions"] == 1
        broker.kill()
        broker.start()
        assert broker.metrics()["fluxmq_offline_partitions"] == 1
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, **QUIET})
        admin.delete_topics([topic])[topic].result(20)
        eventually("deletion", lambda: topic not in admin.list_topics(timeout=5).topics)
        create_topic(broker.bootstrap, topic, 2)
        assert write(broker.bootstrap, topic, 0, 10) == [None] * 10
        assert broker.metrics()["fluxmq_offline_partitions"] == 0
        broker.stop()
