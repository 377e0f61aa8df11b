"""The same frames to Apache Kafka 4.3 and to FluxMQ: every field of every answer the same, or an allowed difference."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from differential import classic_sequences, consumer_sequences, migration_sequences, offset_sequences
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
    """Returns once every partition of __consumer_offsets is served."""
    session = Session(schemas, host, port, prefix="warm")
    waiting = {f"warm-{i}" for i in range(32)}
    deadline = time.monotonic() + 60
    while waiting:
        assert time.monotonic() < deadline, "the group coordinator did not come up"
        session.quiet("FindCoordinator", 4, {"CoordinatorKeys": sorted(waiting)})
        answer = session.quiet("OffsetFetch", 8, {"Groups": [{"GroupId": g, "Topics": None} for g in sorted(waiting)]})
        waiting -= {g["GroupId"] for g in answer["Groups"] if g["ErrorCode"] == 0}
        time.sleep(0.1)
    session.close_all()


@pytest.mark.timeout(600)
def test_answers_are_kafkas(tmp_path):
    assert_same(tmp_path, SEQUENCES, RULES / "allowed.toml")


@pytest.mark.timeout(600)
def test_answers_about_groups_are_kafkas(tmp_path):
    assert_same(tmp_path, GROUP_SEQUENCES, RULES / "allowed_groups.toml", GROUP_SETTINGS)


def assert_same(tmp_path: Path, sequences: list, rules: Path, settings: dict[str, str] | None = None) -> None:
    """Runs the sequences against both. With settings of groups they run beside each other: they mostly wait."""
    chosen = [s for s in sequences if re.search(os.environ.get("SEQUENCE", ""), s.__name__)]
    schemas = Schemas(jar("kafka-clients"))
    def transcripts(host: str, port: int) -> dict[str, Transcript]:
        if settings:
            await_coordinator(schemas, host, port)
        return run(schemas, host, port, chosen, at_once=8 if settings else 1)
    with Kafka(tmp_path / "kafka", settings) as kafka:
        expected = transcripts("localhost", kafka.port)
    kafka_names = {kafka.port: "the port", str(kafka.port): "the port", str(kafka.port + 1): "the next port",
                   str(kafka.data_dir): "the data directory"}
    # FluxMQ gets Kafka's own settings; only its place differs.
    broker = Broker(tmp_path / "data")
    properties = tmp_path / "server.properties"
    properties.write_text((tmp_path / "kafka" / "server.properties").read_text()
                        .replace(str(kafka.port + 1), str(broker.port + 1)).replace(str(kafka.port), str(broker.port))
                        .replace(str(kafka.data_dir), str(broker.data_dir)))
    broker.args = ["--config", str(properties)]
    with broker.start():
        found = transcripts("127.0.0.1", broker.port)
        fluxmq_names = {broker.port: "the port", str(broker.port): "the port", str(broker.port + 1): "the next port",
                        str(broker.data_dir): "the data directory"}

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
    if len(chosen) == len(sequences):
        unused = [f"{r.api} {r.path} {r.sequence} ({r.reason})" for r in allowed.unused()]
        assert not unused, "rules that nothing needs: " + "; ".join(unused)
