"""The same frames to Apache Kafka 4.3 and to FluxMQ: every field of every answer the same, or an allowed difference."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from differential import classic_sequences, consumer_sequences, migration_sequences, offset_sequences, transaction_sequences
from differential.compare import Allowed, Transcript, compare
from differential.schema import Schemas
from differential.sequences import SEQUENCES
from differential.session import Session
from harness.broker import Broker
from harness.kafka import Kafka, jar

RULES = Path(__file__).parent / "differential"
GROUP_SEQUENCES = [*classic_sequences.SEQUENCES, *offset_sequences.SEQUENCES, *consumer_sequences.SEQUENCES,
                   *migration_sequences.SEQUENCES]

# Short bounds, so that sessions and rebalances that end do so soon. Targets are computed within the heartbeat that asks for
# them: left to Kafka's background threads, they would come with one heartbeat or the next.
GROUP_SETTINGS = {
    "group.min.session.timeout.ms": "500", "group.max.size": "4", "offsets.topic.num.partitions": "1",
    "group.consumer.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "2000",
    "group.consumer.max.size": "4", "group.consumer.assignment.interval.ms": "0", "group.consumer.assignor.offload.enable": "false",
}

# Transactions that end soon when nobody ends them.
TRANSACTION_SETTINGS = {
    "transaction.state.log.num.partitions": "1", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
    "group.min.session.timeout.ms": "500", "offsets.topic.num.partitions": "1",
    "group.consumer.assignment.interval.ms": "0", "group.consumer.assignor.offload.enable": "false",
}


def run_one(schemas: Schemas, host: str, port: int, number: int, sequence) -> Transcript:
    session = Session(schemas, host, port, prefix=f"d{number}")
    try:
        sequence(session)
    except Exception as error:  # a sequence that breaks is a difference too
        session.transcript.append(("*", None, "broke", {"error": f"{type(error).__name__}: {error}"}))
    finally:
        session.close_all()
    return Transcript(session.transcript, session.names)


def run(schemas: Schemas, host: str, port: int, chosen, at_once: int = 1) -> dict[str, Transcript]:
    with ThreadPoolExecutor(at_once) as pool:
        done = [pool.submit(run_one, schemas, host, port, number, sequence) for number, sequence in enumerate(chosen)]
        return {sequence.__name__: future.result() for sequence, future in zip(chosen, done, strict=True)}


def await_coordinator(schemas: Schemas, host: str, port: int) -> None:
    """Returns once every partition of __consumer_offsets is served, and one of __transaction_state."""
    session = Session(schemas, host, port, prefix="warm")
    waiting = {f"warm-{i}" for i in range(32)}
    deadline = time.monotonic() + 60
    while waiting:
        assert time.monotonic() < deadline, "the group coordinator did not come up"
        session.quiet("FindCoordinator", 4, {"CoordinatorKeys": sorted(waiting)})
        answer = session.quiet("OffsetFetch", 8, {"Groups": [{"GroupId": g, "Topics": None} for g in sorted(waiting)]})
        waiting -= {g["GroupId"] for g in answer["Groups"] if g["ErrorCode"] == 0}
        time.sleep(0.1)
    # The coordinator of transactions too, and producer ids, of which a controller that has just started has none.
    while True:
        session.quiet("FindCoordinator", 4, {"CoordinatorKeys": ["warm"], "KeyType": 1})
        if session.quiet("InitProducerId", 4, {"TransactionalId": "warm", "TransactionTimeoutMs": 60_000})["ErrorCode"] == 0:
            break
        assert time.monotonic() < deadline, "the coordinator of transactions did not come up"
        time.sleep(0.1)
    session.close_all()


@pytest.mark.timeout(600)
def test_answers_are_kafkas(tmp_path):
    assert_same(tmp_path, SEQUENCES, RULES / "allowed.toml")


@pytest.mark.timeout(600)
def test_answers_about_groups_are_kafkas(tmp_path):
    assert_same(tmp_path, GROUP_SEQUENCES, RULES / "allowed_groups.toml", GROUP_SETTINGS)


@pytest.mark.timeout(600)
def test_answers_about_transactions_are_kafkas(tmp_path, request):
    assert_same(tmp_path, transaction_sequences.SEQUENCES, RULES / "allowed_transactions.toml", TRANSACTION_SETTINGS,
                at_once=1, with_itself=request.config.getoption("--server") == "kafka")


def names_of(server: Kafka | Broker) -> dict:
    return {server.port: "the port", str(server.port): "the port", str(server.port + 1): "the next port",
            str(server.data_dir): "the data directory"}


def again(tmp_path: Path, settings: dict[str, str] | None, transcripts) -> tuple[dict[str, Transcript], dict]:
    """The transcripts of a second Kafka."""
    with Kafka(tmp_path / "again", settings) as kafka:
        return transcripts("localhost", kafka.port), names_of(kafka)


def fluxmqs(tmp_path: Path, kafka: Kafka, transcripts) -> tuple[dict[str, Transcript], dict]:
    """The transcripts of FluxMQ. It gets Kafka's own settings; only its place differs."""
    broker = Broker(tmp_path / "data")
    properties = tmp_path / "server.properties"
    properties.write_text((tmp_path / "kafka" / "server.properties").read_text()
                        .replace(str(kafka.port + 1), str(broker.port + 1)).replace(str(kafka.port), str(broker.port))
                        .replace(str(kafka.data_dir), str(broker.data_dir)))
    broker.args = ["--config", str(properties)]
    with broker.start():
        return transcripts("127.0.0.1", broker.port), names_of(broker)


def assert_same(tmp_path: Path, sequences: list, rules: Path, settings: dict[str, str] | None = None, *,
                at_once: int = 8, with_itself: bool = False) -> None:
    """Runs the sequences against both. With settings of groups they run beside each other, `at_once` of them: they mostly wait.
    Those about transactions don't: Kafka verifies several transactions in one go, and then answers all as it would answer one of them.

    `with_itself`: against Kafka twice, which shows what of its answers is up to chance.
    """
    chosen = [s for s in sequences if re.search(os.environ.get("SEQUENCE", ""), s.__name__)]
    schemas = Schemas(jar("kafka-clients"))
    def transcripts(host: str, port: int) -> dict[str, Transcript]:
        if settings:
            await_coordinator(schemas, host, port)
        return run(schemas, host, port, chosen, at_once=at_once if settings else 1)
    with Kafka(tmp_path / "kafka", settings) as kafka:
        expected = transcripts("localhost", kafka.port)
    kafka_names = names_of(kafka)
    if with_itself:
        found, fluxmq_names = again(tmp_path, settings, transcripts)
    else:
        found, fluxmq_names = fluxmqs(tmp_path, kafka, transcripts)

    broken = [f"{name}: {answer['error']}" for name, t in expected.items() for _, _, what, answer in t.steps if what == "broke"]
    assert not broken, "sequences that Kafka broke: " + "; ".join(broken)
    allowed = Allowed(rules)
    fields, permitted, differences = 0, 0, []
    for name, transcript in expected.items():
        result = compare(name, transcript, found[name], kafka_names, fluxmq_names)
        fields += result.fields
        for difference in result.differences:
            if allowed.covers(difference):
                permitted += 1
            else:
                differences.append(difference)
    print(f"sequences {len(chosen)}, requests {sum(len(t.steps) for t in expected.values())}, fields compared {fields}, "
          f"rules for allowed differences {len(allowed.rules)}, fields under them {permitted}, other differences {len(differences)}")
    report = Path(os.environ.get("DIFFERENCES", tmp_path / "differences.txt"))
    report.write_text("\n".join(map(str, differences)) + "\n")
    assert not differences, f"{len(differences)} differences, all in {report}; the first:\n" + "\n".join(map(str, differences[:40]))
    if len(chosen) == len(sequences) and not with_itself:
        unused = [f"{r.api} {r.path} {r.sequence} ({r.reason})" for r in allowed.unused()]
        assert not unused, "rules that nothing needs: " + "; ".join(unused)
