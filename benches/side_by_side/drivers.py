"""The stock clients that load the brokers: programs that take a command on a line and answer it on a line."""

import subprocess
import sys
from pathlib import Path

from harness.java import classpath


class DriverFailed(RuntimeError):
    """The client could not do what it was told to."""


class Driver:
    """A running load generator."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.name = name
        with open(log, "ab") as errors:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def do(self, command: str, words: dict[str, object]) -> dict[str, float]:
        """Has a command done; gives the figures of the answer."""
        line = " ".join([command, *(f"{key}={value}" for key, value in words.items())])
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise DriverFailed(f"{self.name}: {line}: {answer or 'it ended'}")
        return {key: float(value) for key, _, value in (word.partition("=") for word in answer.split()[1:])}

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


def java(out: Path) -> Driver:
    """kafka-clients, as java-tests/pom.xml names it."""
    return Driver("java", ["java", "-Xmx3g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath(),
                           "com.fluxmq.tests.LoadDriver"], out / "java.log")


def librdkafka(out: Path) -> Driver:
    """librdkafka, through confluent-kafka."""
    return Driver("librdkafka", [sys.executable, str(Path(__file__).with_name("librdkafka_driver.py"))], out / "librdkafka.log")


ALL = {"java": java, "librdkafka": librdkafka}
