"""Kafka Connect, standalone and distributed: a file goes through a topic into another file, with a restart in between."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from harness.kafka import SCRIPT
from harness.members import eventually
from harness.process import free_port

pytestmark = pytest.mark.timeout(150)
COMMON = {"key.converter": "org.apache.kafka.connect.storage.StringConverter",
          "value.converter": "org.apache.kafka.connect.storage.StringConverter", "offset.flush.interval.ms": "1000",
          "plugin.discovery": "service_load", "scheduled.rebalance.max.delay.ms": "500"}


class Worker:
    """One Connect worker as a child process."""

    def __init__(self, kind: str, directory: Path, settings: dict[str, str], connectors: dict[str, dict[str, str]] | None = None):
        self.rest = free_port()
        self.log = directory / "connect.log"
        properties = directory / "worker.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in {**COMMON, **settings, "listeners": f"http://127.0.0.1:{self.rest}"}.items()))
        files = []
        for name, config in (connectors or {}).items():
            files.append(directory / f"{name}.properties")
            files[-1].write_text("".join(f"{k}={v}\n" for k, v in {"name": name, **config}.items()))
        self.command = [SCRIPT, "tool", f"connect-{kind}", properties, *files]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Worker":
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return self

    def __exit__(self, *_exc) -> None:
        self.process.terminate()
        try:
            self.process.wait(40)
        finally:
            self.process.kill()

    def ask(self, method: str, path: str, body: dict | None = None):
        """The answer of the REST interface; None while there is no useful one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


def source(topic: str, file: Path) -> dict[str, str]:
    return {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1", "file": str(file), "topic": topic}


def sink(topic: str, file: Path) -> dict[str, str]:
    return {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1", "file": str(file), "topics": topic}


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
