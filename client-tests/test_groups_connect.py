"""Kafka Connect, standalone and distributed: a file goes through a topic into another file, with a restart in between."""

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from harness.connect import Worker, sink, source
from harness.members import eventually

pytestmark = pytest.mark.timeout(150)


def holds(file: Path, lines: list[str]):
    return lambda: file.exists() and file.read_text().splitlines() == lines


def written(file: Path, lines: list[str], worker: Worker) -> None:
    try:
        eventually(f"{len(lines)} lines in {file.name}", holds(file, lines), 60)
    except AssertionError as late:
        found = file.read_text().splitlines() if file.exists() else []
        raise AssertionError(f"{late}; there are {len(found)}, the last {found[-1:]}\n{worker.tail()}") from None


def test_standalone(groups, tmp_path, topic):
    into, out = tmp_path / "in.txt", tmp_path / "out.txt"
    lines = [f"line {i}" for i in range(1000)]
    into.write_text("".join(f"{line}\n" for line in lines[:600]))
    settings = {"bootstrap.servers": groups.bootstrap, "offset.storage.file.filename": str(tmp_path / "offsets")}
    connectors = {"source": source(topic, into), "sink": sink(topic, out)}
    with Worker("standalone", tmp_path, settings, connectors) as worker:
        written(out, lines[:600], worker)
    with open(into, "a") as more:
        more.write("".join(f"{line}\n" for line in lines[600:]))
    with Worker("standalone", tmp_path, settings, connectors) as worker:
        written(out, lines, worker)
    assert out.read_text() == into.read_text()


def test_distributed(groups, tmp_path, topic):
    into, out = tmp_path / "in.txt", tmp_path / "out.txt"
    lines = [f"line {i}" for i in range(1000)]
    into.write_text("".join(f"{line}\n" for line in lines[:600]))
    internal = {kind: f"{topic}-{kind}" for kind in ("config", "offset", "status")}
    settings = {"bootstrap.servers": groups.bootstrap, "group.id": f"{topic}-workers",
                **{f"{kind}.storage.topic": name for kind, name in internal.items()},
                **{f"{kind}.storage.replication.factor": "1" for kind in internal}}
    with Worker("distributed", tmp_path, settings) as worker:
        eventually("the REST interface", lambda: worker.ask("GET", "/connectors") == [], 60)
        for name, config in (("source", source(topic, into)), ("sink", sink(topic, out))):
            eventually(f"connector {name}", lambda: worker.ask("PUT", f"/connectors/{topic}-{name}/config", config), 30)
        written(out, lines[:600], worker)
    admin = AdminClient({"bootstrap.servers": groups.bootstrap})
    described = admin.list_topics(timeout=10).topics
    for kind, partitions in (("config", 1), ("offset", 25), ("status", 5)):
        resource = ConfigResource(ConfigResource.Type.TOPIC, internal[kind])
        assert admin.describe_configs([resource])[resource].result(10)["cleanup.policy"].value == "compact"
        assert len(described[internal[kind]].partitions) == partitions
    with open(into, "a") as more:
        more.write("".join(f"{line}\n" for line in lines[600:]))
    with Worker("distributed", tmp_path, settings) as worker:
        written(out, lines, worker)
        eventually("running tasks", lambda: all((worker.ask("GET", f"/connectors/{topic}-{name}/status") or {}).get("tasks", [{}])[0].get("state") == "RUNNING"
                                                for name in ("source", "sink")))
    assert out.read_text() == into.read_text()
