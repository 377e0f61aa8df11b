"""Kafka Connect's workers as child processes, and the connectors for files."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from .kafka import SCRIPT
from .process import free_port

COMMON = {"key.converter": "org.apache.kafka.connect.storage.StringConverter",
          "value.converter": "org.apache.kafka.connect.storage.StringConverter", "offset.flush.interval.ms": "1000",
          "plugin.discovery": "service_load", "scheduled.rebalance.max.delay.ms": "500"}


class Worker:
    """One Connect worker. The address of its REST interface stays the same when it is started again."""

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

    def start(self) -> "Worker":
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Worker":
        return self.start()

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
