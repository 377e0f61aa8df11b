"""Load by librdkafka on command: as com.fluxmq.tests.LoadDriver, for the settings that librdkafka has.

Records are counted, not looked into: Python would be what is measured. The Java client reads every byte of them.
"""

import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# The Java client's names for what librdkafka calls otherwise, and its settings that librdkafka has no need for.
NAMES = {"compression.type": "compression.codec", "send.buffer.bytes": "socket.send.buffer.bytes",
         "receive.buffer.bytes": "socket.receive.buffer.bytes", "max.request.size": "message.max.bytes"}
WITHOUT = {"buffer.memory"}
# What a queue may hold: the Java client's buffer.memory, and librdkafka's most messages beside it.
QUEUE = {"queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 131_072}


def settings(words: dict[str, str]) -> dict[str, object]:
    """librdkafka's settings for what the Java client would be given."""
    defaults = {"acks": "all", "enable.idempotence": "true", "batch.size": "16384", "linger.ms": "5"}
    given = defaults | {key.removeprefix("producer."): value for key, value in words.items() if key.startswith("producer.")}
    return {NAMES.get(key, key): value for key, value in given.items() if key not in WITHOUT}


def values(size_bytes: int) -> list[bytes]:
    """Values whose half repeats."""
    chance = random.Random(1)
    return [(chance.randbytes(size_bytes // 2) + b"status=paid region=Lima " * size_bytes)[:size_bytes] for _ in range(64)]


class Driver:
    """What was produced, by topic: its bootstrap address and how many records."""

    def __init__(self) -> None:
        self._produced: dict[str, tuple[str, int]] = {}

    def create(self, words: dict[str, str]) -> dict[str, float]:
        config = {key.removeprefix("topic."): value for key, value in words.items() if key.startswith("topic.")}
        admin = AdminClient({"bootstrap.servers": words["bootstrap"]})
        admin.create_topics([NewTopic(words["topic"], int(words["partitions"]), 1, config=config)])[words["topic"]].result(120)
        return {}

    def produce(self, words: dict[str, str]) -> dict[str, float]:
        connections, records = int(words["threads"]), int(words["messages"])
        config = settings(words) | {"bootstrap.servers": words["bootstrap"]} | QUEUE
        choices, topic, failures = values(int(words["message.size"])), words["topic"], []
        failed = lambda error, _message: failures.append(error) if error else None
        producers = [Producer(config | {"client.id": f"load-{number}", "delivery.report.only.error": True,
                                        "error_cb": failures.append}) for number in range(connections)]
        for producer in producers:
            producer.list_topics(topic, timeout=60)
        cpu, started = time.process_time(), time.monotonic()
        for number in range(records):
            producer = producers[number % connections]
            while True:
                try:
                    producer.produce(topic, choices[number & 63], on_delivery=failed)
                    break
                except BufferError:
                    producer.poll(0.001)
        for producer in producers:
            if producer.flush(120) != 0:
                raise RuntimeError("not all was acknowledged in two minutes")
        seconds, client_cpu_s = time.monotonic() - started, time.process_time() - cpu
        if failures:
            raise RuntimeError(f"{len(failures)} sends failed, the first: {failures[0]}")
        figures = {"records": records, "seconds": seconds, "client_cpu_s": client_cpu_s}
        if words.get("discarded") != "true":
            self._produced[topic] = (words["bootstrap"], records)
            figures["arrived"] = self._arrived(topic, int(words["partitions"]), records)
        return figures

    def _arrived(self, topic: str, partitions: int, records: int) -> int:
        """How many came in; with acks=0 nobody says so, and the end is when nothing more comes."""
        consumer = self._consumer(topic)
        last, grew_at = -1, time.monotonic()
        try:
            while True:
                ends = (consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=60) for p in range(partitions))
                total = sum(high - low for low, high in ends)
                if total != last:
                    last, grew_at = total, time.monotonic()
                if total >= records or time.monotonic() - grew_at > 3:
                    return total
        finally:
            consumer.close()

    def _consumer(self, topic: str) -> Consumer:
        return Consumer({"bootstrap.servers": self._produced[topic][0], "group.id": "load", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 20})

    def read(self, words: dict[str, str]) -> dict[str, float]:
        topic, partitions, readers = words["topic"], int(words["partitions"]), int(words.get("readers", "2"))
        cpu, started, counts = time.process_time(), time.monotonic(), []

        def read(mine: list[int]) -> None:
            consumer, ended, count = self._consumer(topic), set(), 0
            consumer.assign([TopicPartition(topic, partition, 0) for partition in mine])
            deadline = time.monotonic() + 120
            while len(ended) < len(mine) and time.monotonic() < deadline:
                for message in consumer.consume(10_000, 1):
                    if not message.error():
                        count += 1
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
            consumer.close()
            counts.append(count)

        threads = [threading.Thread(target=read, args=(list(range(r, partitions, readers)),)) for r in range(min(readers, partitions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        read_records, sent = sum(counts), self._produced[topic][1]
        return {"records": read_records, "seconds": time.monotonic() - started, "client_cpu_s": time.process_time() - cpu,
                "missing": max(0, sent - read_records), "duplicated": max(0, read_records - sent)}

    def delete(self, words: dict[str, str]) -> dict[str, float]:
        self._produced.pop(words["topic"], None)
        admin = AdminClient({"bootstrap.servers": words["bootstrap"]})
        admin.delete_topics([words["topic"]])[words["topic"]].result(120)
        return {}


def main() -> None:
    driver = Driver()
    commands = {"create": driver.create, "produce": driver.produce, "read": driver.read, "delete": driver.delete}
    for line in sys.stdin:
        command, *pairs = line.split()
        try:
            figures = commands[command](dict(pair.split("=", 1) for pair in pairs))
            print("ok", *(f"{key}={value}" for key, value in figures.items()), flush=True)
        except Exception as error:  # the answer to the command, whatever it is
            print("failed", type(error).__name__, str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
