"""What is measured: the base point, one thing changed around it at a time, the four benchmarks of java-tests, and readers beside
the producers."""

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
    # A module of `kinds`.
    kind: str = "load"
    # What the topic already holds, as the base point's producers wrote it.
    held_bytes: int = 0
    # Groups that read along; 0 where records are read back when all are sent.
    groups: int = 0

    @property
    def acks(self) -> str:
        return self.producer.get("acks", "all")

    @property
    def bytes(self) -> int:
        return self.records * self.value_bytes

    @property
    def held_records(self) -> int:
        return self.held_bytes // self.value_bytes

    @property
    def from_disk(self) -> bool:
        """Whether the broker's log files have to be known, so that the page cache can be told to forget them."""
        return self.kind == "catch-up"

    @property
    def needs_a_log(self) -> bool:
        """Whether a broker that keeps nothing can't take this load."""
        return self.transaction > 0 or self.held_bytes > 0 or self.kind != "load"

    def words(self) -> dict[str, object]:
        """What a driver is told of the load."""
        return {"threads": self.connections, "message.size": self.value_bytes, "rate": self.rate, "transaction.records": self.transaction,
                **{f"producer.{key}": value for key, value in self.producer.items()}}


# The Java client's own settings: acks=all with idempotence, batches of 16 KB, linger of 5 ms.
BASE = Scenario("base", "1 KB values, acks=all, batches of 16 KB, 8 connections, 8 partitions", records=1_000_000, most_rounds=9)


# Half of its records do for what is measured around it, and twice: all of it is to end within an hour.
AROUND_RECORDS = 500_000
AROUND_ROUNDS = 2


def around(name: str, what: str, records: int = AROUND_RECORDS, **changes: object) -> Scenario:
    """The base point but for `changes`; of `producer`, what differs."""
    changes["producer"] = BASE.producer | changes.get("producer", {})
    return replace(BASE, **({"name": name, "what": what, "records": records, "most_rounds": AROUND_ROUNDS} | changes))


def _large_values(name: str, what: str, records: int, value_bytes: int) -> Scenario:
    limits = {"max.request.size": "2097152"} if value_bytes >= 1_000_000 else {}
    topic = {"max.message.bytes": "2097152"} if limits else {}
    return around(name, what, records, value_bytes=value_bytes, producer=limits, topic=topic)


CLASSES = (
    Scenario("megabatch", "MegaBatchBenchmark: 100 B, acks=0, batches of 1 MB, lz4, 8 producers", 5_000_000, 100, producer=MEGA_BATCH,
             most_rounds=9),
    Scenario("ultra", "UltraPerformanceBenchmark: 100 B, acks=0, batches of 512 KB, lz4, 4 producers", 4_000_000, 100, 4, producer=ULTRA),
    Scenario("standard", "FluxMQBenchmark: 100 B, acks=1, batches of 16 KB, 4 producers", 2_000_000, 100, 4, producer=STANDARD,
             most_rounds=9),
    Scenario("single", "MinimalProducerTest: 100 B, acks=all, batches of 1 KB, one producer", 300_000, 100, 1, producer=SINGLE),
)

FACTORS = (
    around("values-100b", "100 B values", 2_000_000, value_bytes=100),
    _large_values("values-10kb", "10 KB values", 50_000, 10_000),
    _large_values("values-100kb", "100 KB values", 5_000, 100_000),
    _large_values("values-1mb", "1 MB values", 500, 1_000_000),
    around("acks-0", "acks=0", producer={"acks": "0", "enable.idempotence": "false"}),
    around("acks-1", "acks=1", producer={"acks": "1", "enable.idempotence": "false"}),
    around("batches-1mb", "batches of 1 MB, acks=1", BASE.records, most_rounds=9,
           producer={"acks": "1", "enable.idempotence": "false", "batch.size": "1000000", "linger.ms": "50", "max.request.size": "2097152"}),
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
    around("transactions-100", "transactions of 100 records", 200_000, transaction=100),
)

LATENCIES = tuple(around(f"latency-{rate // 1000}k", f"{rate:,} records per second, when each is due", records=rate * 8, rate=rate, most_rounds=3,
                         producer={"linger.ms": "0"}, read=False) for rate in (1_000, 10_000, 50_000, 100_000))

# How costs grow, and how an old log is read: with acknowledgements by the page cache only, or the disk would be what shows.
OLD_LOG_BYTES = 2_000_000_000
CACHE_ONLY = (
    around("partitions-10000", "10,000 partitions", 300_000, partitions=10_000, most_rounds=1),
    # With the base point's linger of 5 ms: without one the clients of ten groups would need more than the machine has.
    *(around(f"tail-{groups}", f"{groups} group{'s' * (groups > 1)} reading along, 20,000 records per second, linger of 5 ms", 160_000,
             rate=20_000, connections=4, kind="tail", groups=groups) for groups in (1, 10)),
    *(around(f"log-size-{held // 10**9}gb", f"a topic that holds {held // 10**9} GB", held_bytes=held)
      for held in (0, OLD_LOG_BYTES, 2 * OLD_LOG_BYTES)),
    around("catch-up", "2 GB read from the disk by one consumer, meanwhile 5,000 records per second sent", 600_000, rate=5_000,
           producer={"linger.ms": "0"}, kind="catch-up", held_bytes=OLD_LOG_BYTES),
)


def synced(scenario: Scenario) -> Scenario:
    """The same to the disk. What is around the base point is so once, with half of the records: the disk takes its time."""
    less = {"most_rounds": 1, "records": scenario.records // 2} if scenario.most_rounds == AROUND_ROUNDS else {}
    return replace(scenario, **({"name": f"{scenario.name}-synced", "what": f"{scenario.what}, synced", "kept_for": "disk"} | less))


def every() -> list[Scenario]:
    """All scenarios. What is acknowledged by all is measured twice: held in the page cache, and synced to the disk; `CACHE_ONLY` once."""
    scenarios = []
    for scenario in (BASE, *CLASSES, *FACTORS, *LATENCIES):
        if scenario.acks == "all":
            scenarios += [scenario, synced(scenario)]
        else:
            scenarios.append(replace(scenario, kept_for="cache" if scenario.acks == "1" else "nothing"))
    return scenarios + list(CACHE_ONLY)
