"""The same frames to Apache Kafka 4.3 and to FluxMQ: every field of every answer the same, or an allowed difference."""

import os
import re
from pathlib import Path

import pytest

from differential.compare import Allowed, compare
from differential.schema import Schemas
from differential.sequences import SEQUENCES
from differential.session import Session
from harness.broker import Broker
from harness.kafka import Kafka, jar

ALLOWED = Path(__file__).parent / "differential" / "allowed.toml"


def run(schemas: Schemas, host: str, port: int, chosen) -> dict[str, list]:
    transcripts = {}
    for number, sequence in enumerate(chosen):
        session = Session(schemas, host, port, prefix=f"d{number}")
        try:
            sequence(session)
        except Exception as error:  # a sequence that breaks is a difference too
            session.transcript.append(("*", None, "broke", {"error": f"{type(error).__name__}: {error}"}))
        finally:
            session.close_all()
        transcripts[sequence.__name__] = session.transcript
    return transcripts


@pytest.mark.timeout(600)
def test_answers_are_kafkas(tmp_path):
    chosen = [s for s in SEQUENCES if re.search(os.environ.get("SEQUENCE", ""), s.__name__)]
    schemas = Schemas(jar("kafka-clients"))
    with Kafka(tmp_path / "kafka") as kafka:
        expected = run(schemas, "localhost", kafka.port, chosen)
    kafka_names = {kafka.port: "the port", str(kafka.port): "the port", str(kafka.port + 1): "the next port",
                   str(kafka.data_dir): "the data directory"}
    # FluxMQ gets Kafka's own settings; only its place differs.
    broker = Broker(tmp_path / "data")
    settings = tmp_path / "server.properties"
    settings.write_text((tmp_path / "kafka" / "server.properties").read_text()
                        .replace(str(kafka.port + 1), str(broker.port + 1)).replace(str(kafka.port), str(broker.port))
                        .replace(str(kafka.data_dir), str(broker.data_dir)))
    broker.args = ["--config", str(settings)]
    with broker.start():
        found = run(schemas, "127.0.0.1", broker.port, chosen)
        fluxmq_names = {broker.port: "the port", str(broker.port): "the port", str(broker.port + 1): "the next port",
                        str(broker.data_dir): "the data directory"}

    allowed = Allowed(ALLOWED)
    fields, permitted, differences = 0, 0, []
    for name, transcript in expected.items():
        result = compare(name, transcript, found[name], kafka_names, fluxmq_names)
        fields += result.fields
        for difference in result.differences:
            if allowed.covers(difference):
                permitted += 1
            else:
                differences.append(difference)
    print(f"sequences {len(chosen)}, requests {sum(map(len, expected.values()))}, fields compared {fields}, "
          f"rules for allowed differences {len(allowed.rules)}, fields under them {permitted}, other differences {len(differences)}")
    report = Path(os.environ.get("DIFFERENCES", tmp_path / "differences.txt"))
    report.write_text("\n".join(map(str, differences)) + "\n")
    assert not differences, f"{len(differences)} differences, all in {report}; the first:\n" + "\n".join(map(str, differences[:40]))
    if len(chosen) == len(SEQUENCES):
        unused = [f"{r.api} {r.path} {r.sequence} ({r.reason})" for r in allowed.unused()]
        assert not unused, "rules that nothing needs: " + "; ".join(unused)
