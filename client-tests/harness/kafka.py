"""Apache Kafka from Maven, through scripts/kafka.sh: the server to compare with and its command-line tools."""

import base64
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .paths import SCRIPTS
from .process import free_port

SCRIPT = SCRIPTS / "kafka.sh"


def jar(name: str) -> Path:
    """A jar of the Kafka distribution, by the start of its file name."""
    libs = subprocess.run([SCRIPT, "libs"], check=True, capture_output=True, text=True).stdout.strip()
    found = sorted(Path(libs).glob(f"{name}-[0-9]*.jar"))
    assert len(found) == 1, f"{name} in {libs}: {found}"
    return found[0]


def program(source: Path, *words: object, timeout_s: float = 120) -> str:
    """Runs a Java program of one file with Kafka's classes; gives its standard output."""
    libs = subprocess.run([SCRIPT, "libs"], check=True, capture_output=True, text=True).stdout.strip()
    done = subprocess.run(["java", "-cp", f"{libs}/*", source, *(str(w) for w in words)], capture_output=True, text=True,
                          timeout=timeout_s, encoding="utf-8")
    assert done.returncode == 0, f"{source}: exit {done.returncode}\n{done.stderr}"
    return done.stdout


def tool(name: str, *words: object, stdin: str | None = None, check: bool = True, timeout_s: float = 120) -> str:
    """Runs one of Kafka's tools; gives its standard output."""
    done = subprocess.run([SCRIPT, "tool", name, *(str(w) for w in words)], input=stdin, capture_output=True, text=True,
                          timeout=timeout_s)
    if check:
        assert done.returncode == 0, f"{name} {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Printed:
    """What a tool left behind."""

    status: int
    out: str
    err: str


class ToolShell:
    """Kafka's tools in one JVM, one after the other: a tenth of the time that a JVM each takes."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256M", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp",
             f"{jar('kafka-clients').parent}/*", Path(__file__).with_name("ToolShell.java")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name: str, *words: object) -> Printed:
        main = subprocess.run([SCRIPT, "class", name], check=True, capture_output=True, text=True).stdout.strip()
        encode = lambda word: "=" + base64.b64encode(str(word).encode()).decode()
        self._process.stdin.write(" ".join(map(encode, [main, *words])) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the JVM of the tools ended in {name} {words}"
        status, out, err = line.split(" ")
        return Printed(int(status), *(base64.b64decode(text.strip()[1:]).decode() for text in (out, err)))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)


class Kafka:
    """One Kafka node over one directory."""

    def __init__(self, directory: Path, overrides: dict[str, str] | None = None):
        self.directory, self.overrides, self.port = Path(directory), dict(overrides or {}), free_port()

    @property
    def bootstrap(self) -> str:
        return f"localhost:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        return int((self.directory / "kafka.pid").read_text())

    def start(self) -> "Kafka":
        settings = [f"{k}={v}" for k, v in self.overrides.items()]
        subprocess.run([SCRIPT, "start", self.directory, str(self.port), *settings], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=120)
        return self

    def stop(self) -> None:
        subprocess.run([SCRIPT, "stop", self.directory], check=True, timeout=60)

    def kill(self) -> None:
        """SIGKILL, nothing flushed."""
        file = self.directory / "kafka.pid"
        if not file.exists():
            return
        pid = self.pid
        file.unlink()
        try:
            os.kill(pid, signal.SIGKILL)
            while True:  # no child of ours: it is gone when the signal finds nobody
                os.kill(pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:
            pass

    def tail(self, lines: int = 40) -> str:
        return "\n".join((self.directory / "server.log").read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> "Kafka":
        return self if (self.directory / "kafka.pid").exists() else self.start()

    def __exit__(self, *_exc) -> None:
        self.stop()
