"""Several log directories: new partitions go to the one with the fewest, one that fails leaves the others serving, and what lies in one
that isn't there is not made anew."""

import urllib.request

from confluent_kafka import KafkaError, Producer

from harness.broker import Broker
from harness.kafka import tool
from harness.members import create_topic, eventually
from harness.power import Disk, needs_root
from harness.transactions import QUIET, read

PARTITIONS = 6
pytestmark = needs_root


def write(bootstrap: str, topic: str, partition: int, count: int = 20) -> set:
    """What became of some records: the codes of errors, or None."""
    outcomes = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 3000, **QUIET})
    for i in range(count):
        producer.produce(topic, b"%d" % i, partition=partition, on_delivery=lambda error, _: outcomes.append(error and error.code()))
    producer.flush(20)
    return set(outcomes)


def test_a_directory_that_fails_costs_what_lies_in_it(tmp_path, topic):
    disk = Disk.create(tmp_path / "disk.img", tmp_path / "disk", size_mib=512)
    first, second = tmp_path / "first", tmp_path / "disk" / "second"
    broker = Broker(first, overrides={"log.dirs": f"{first},{second}"}, log=tmp_path / "broker.log")
    try:
        with broker.start():
            create_topic(broker.bootstrap, topic, PARTITIONS)
            lies = {p: first if (first / f"{topic}-{p}").is_dir() else second for p in range(PARTITIONS)}
            here, there = ([p for p in lies if lies[p] == directory] for directory in (first, second))
            assert len(here) == len(there) == PARTITIONS // 2 and all((second / f"{topic}-{p}").is_dir() for p in there)
            for partition in lies:
                assert write(broker.bootstrap, topic, partition) == {None}
            before = {p: read(broker.bootstrap, topic, p) for p in lies}
            out = tool("kafka-log-dirs", "--bootstrap-server", broker.bootstrap, "--describe", "--topic-list", topic)
            assert str(first) in out and str(second) in out

            # Those of committed offsets too.
            all_there = len(list(second.glob("*-*[0-9]")))
            disk.fail()
            write(broker.bootstrap, topic, there[0])
            eventually("the failure", lambda: broker.metrics()["fluxmq_log_dir_offline"] == 1)
            assert broker.metrics()["fluxmq_offline_partitions"] == all_there
            for partition in here:
                assert write(broker.bootstrap, topic, partition) == {None}
            assert write(broker.bootstrap, topic, there[1]) == {KafkaError._MSG_TIMED_OUT}
            with urllib.request.urlopen(f"http://127.0.0.1:{broker.http_port}/healthz", timeout=5) as answer:
                assert answer.status == 200
            create_topic(broker.bootstrap, topic + "-more", 2)
            assert all((first / f"{topic}-more-{p}").is_dir() for p in range(2))
            broker.stop()

            # The disk is not mounted: there is an empty directory in its place.
            disk.unmount()
            broker.start()
            assert broker.metrics()["fluxmq_offline_partitions"] == all_there
            assert not list(second.glob("*-*[0-9]")), "nothing is made in the place of what is elsewhere"
            assert write(broker.bootstrap, topic, here[0]) == {None}
            broker.stop()

            disk.mount()
            broker.start()
            assert broker.metrics()["fluxmq_offline_partitions"] == 0
            for partition in there:
                assert read(broker.bootstrap, topic, partition)[:20] == before[partition]
                assert write(broker.bootstrap, topic, partition) == {None}
            broker.stop()
    finally:
        broker.kill()
        disk.discard()
