"""What is measured: the base point, one thing changed around it at a time, and the four benchmarks of java-tests."""

from dataclasses import dataclass, field, replace

# As the classes of the same name in java-tests send.
MEGA_BATCH = {"acks": "0", "batch.size": "1048576", "linger.ms": "15", "compression.type": "lz4", "buffer.memory": "268435456",
              "enable.idempotence": "false", "max.in.flight.requests.per.connection": "100", "send.buffer.bytes": "2097152",
              "receive.buffer.bytes": "2097152", "max.request.size": "2097152"}
ULTRA = {"acks": "0", "batch.size": "524288", "linger.ms": "10", "compression.type": "lz4", "buffer.memory": "134217728",
         "enable.idempotence": "false", "max.in.flight.requests.per.connection": "50", "send.buffer.bytes": "1048576",
         "receive.buffer.bytes": "1048576", "max.request.size": "1048576"}
STANDARD = {"acks": "1", "batch.size": "16384", "linger.ms": "5", "enable.idempotence": "false"}
SINGLE = {"batch.size": "1024"}


@dataclass(frozen=True)
class Scenario:
    """One load. The same records are sent to each broker.

    `rate` is in records per second over all connections, 0 for as fast as it goes; `kept_for` says what an acknowledgement
    promises: "cache" (the records are in the page cache), "disk" (they are synced), or "nothing" (there is none).
    """

    name: str
    what: str
    records: int
    value_bytes: int = 1000
    connections: int = 8
    partitions: int = 8
    rate: int = 0
    producer: dict[str, str] = field(default_factory=dict)
    topic: dict[str, str] = field(default_factory=dict)
    read: bool = True
    kept_for: str = "cache"
    # Not more than so many runs against each broker; of what is no target by itself fewer are enough.
    most_rounds: int = 2
    # Records of a transaction; 0 for none.
    transaction: int = 0

    @property
    def acks(self) -> str:
        return self.producer.get("acks", "all")

    @property
    def bytes(self) -> int:
        return self.records * self.value_bytes


# The Java client's own settings: acks=all with idempotence, batches of 16 KB, linger of 5 ms.
BASE = Scenario("base", "1 KB values, acks=all, batches of 16 KB, 8 connections, 8 partitions", records=1_000_000, most_rounds=9)


def around(name: str, what: str, records: int = BASE.records, **changes: object) -> Scenario:
    """The base point but for `changes`; of `producer`, what differs."""
    changes["producer"] = BASE.producer | changes.get("producer", {})
    return replace(BASE, **({"name": name, "what": what, "records": records, "most_rounds": 2} | changes))


def _large_values(name: str, what: str, records: int, value_bytes: int) -> Scenario:
    limits = {"max.request.size": "2097152"} if value_bytes >= 1_000_000 else {}
    topic = {"max.message.bytes": "2097152"} if limits else {}
    return around(name, what, records, value_bytes=value_bytes, producer=limits, topic=topic)


CLASSES = (
    Scenario("megabatch", "MegaBatchBenchmark: 100 B, acks=0, batches of 1 MB, lz4, 8 producers", 5_000_000, 100, producer=MEGA_BATCH,
             most_rounds=9),
    Scenario("ultra", "UltraPerformanceBenchmark: 100 B, acks=0, batches of 512 KB, lz4, 4 producers", 4_000_000, 100, 4, producer=ULTRA),
    Scenario("standard", "FluxMQBenchmark: 100 B, acks=1, batches of 16 KB, 4 producers", 3_000_000, 100, 4, producer=STANDARD),
    Scenario("single", "MinimalProducerTest: 100 B, acks=all, batches of 1 KB, one producer", 300_000, 100, 1, producer=SINGLE),
)

FACTORS = (
    around("values-100b", "100 B values", 3_000_000, value_bytes=100),
    _large_values("values-10kb", "10 KB values", 100_000, 10_000),
    _large_values("values-100kb", "100 KB values", 10_000, 100_000),
    _large_values("values-1mb", "1 MB values", 1_000, 1_000_000),
    around("acks-0", "acks=0", producer={"acks": "0", "enable.idempotence": "false"}),
    around("acks-1", "acks=1", producer={"acks": "1", "enable.idempotence": "false"}),
    around("batches-1mb", "batches of 1 MB, acks=1", most_rounds=9, producer={"acks": "1", "enable.idempotence": "false", "batch.size": "1000000",
                                                             "linger.ms": "50", "max.request.size": "2097152"}),
    around("linger-0", "linger of 0 ms", producer={"linger.ms": "0"}),
    around("linger-15", "linger of 15 ms", producer={"linger.ms": "15"}),
    around("gzip", "gzip", 300_000, producer={"compression.type": "gzip"}),
    around("snappy", "snappy", producer={"compression.type": "snappy"}),
    around("lz4", "lz4", producer={"compression.type": "lz4"}),
    around("zstd", "zstd", producer={"compression.type": "zstd"}),
    around("connections-1", "1 connection", connections=1),
    around("connections-64", "64 connections", connections=64),
    around("connections-512", "512 connections", connections=512, producer={"buffer.memory": "4194304"}),
    around("partitions-1", "1 partition", partitions=1),
    around("partitions-100", "100 partitions", partitions=100),
    around("partitions-1000", "1,000 partitions", partitions=1000),
    around("partitions-10000", "10,000 partitions", 300_000, partitions=10_000, most_rounds=1),
    around("transactions-100", "transactions of 100 records", 400_000, transaction=100),
)

LATENCIES = tuple(around(f"latency-{rate // 1000}k", f"{rate:,} records per second, when each is due", records=rate * 8, rate=rate, most_rounds=3,
                         producer={"linger.ms": "0"}, read=False) for rate in (1_000, 10_000, 50_000, 100_000))


def every() -> list[Scenario]:
    """All scenarios. What is acknowledged by all is measured twice: held in the page cache, and synced to the disk."""
    scenarios = []
    for scenario in (BASE, *CLASSES, *FACTORS, *LATENCIES):
        if scenario.acks == "all":
            scenarios += [scenario, replace(scenario, name=f"{scenario.name}-synced", what=f"{scenario.what}, synced", kept_for="disk")]
        else:
            scenarios.append(replace(scenario, kept_for="cache" if scenario.acks == "1" else "nothing"))
    return scenarios
