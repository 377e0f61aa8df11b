"""A FluxMQ broker as a child process: started, stopped, killed, started again on the same directory."""

import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from .paths import fluxmq_binary, stopping_binary
from .process import free_port


class Broker:
    """One broker over one data directory. The port stays the same across restarts, so clients reconnect."""

    def __init__(self, data_dir: Path, *, overrides: dict[str, str] | None = None, args: list[str] | None = None,
                 log: Path | None = None, prefix: list[str] | None = None):
        self.data_dir = Path(data_dir)
        self.port = free_port()
        self.http_port = free_port()
        self.overrides = dict(overrides or {})
        self.args = list(args or [])
        self.prefix = list(prefix or [])
        self.stop_at: str | None = None  # a point, and what fail-rs makes of it there: "name=20*off->return"
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self.process: subprocess.Popen | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None, "the broker is not running"
        return self.process.pid

    def command(self) -> list[str]:
        settings = {"http.listener": f"127.0.0.1:{self.http_port}", **self.overrides}
        binary = stopping_binary() if self.stop_at else fluxmq_binary()
        return [*self.prefix, str(binary), "--port", str(self.port), "--data-dir", str(self.data_dir),
                *(word for k, v in settings.items() for word in ("--override", f"{k}={v}")), *self.args]

    def start(self, timeout_s: float = 60) -> "Broker":
        """Starts the process and returns once it says that it is ready."""
        self.launch()
        self.wait_ready(timeout_s)
        return self

    def launch(self) -> None:
        """Starts the process."""
        assert self.process is None, "already running"
        with open(self.log, "ab") as out:
            self._log_start = out.tell()
            environment = {**os.environ, "FAILPOINTS": self.stop_at} if self.stop_at else None
            self.process = subprocess.Popen(self.command(), env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait_ready(self, timeout_s: float) -> None:
        self.wait_until_it_says("\nready in ", timeout_s)

    def wait_until_it_says(self, text: str, timeout_s: float) -> None:
        """Returns once the process has written `text`; an error if it ends before."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}:\n{self.tail()}")
            if text.encode() in self.log.read_bytes()[self._log_start:]:
                return
            time.sleep(0.02)
        raise TimeoutError(f"no {text.strip()!r} after {timeout_s} s:\n{self.tail()}")

    def stop(self, timeout_s: float = 40) -> None:
        """SIGTERM; the exit status has to be 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout_s)
        self.process = None
        assert code == 0, f"exit status {code}:\n{self.tail()}"

    def kill(self) -> None:
        """SIGKILL, nothing flushed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP, and waits until every thread stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def tail(self, lines: int = 40) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def metrics(self) -> dict[str, float]:
        """The /metrics page: name with labels -> value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        rows = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def __enter__(self) -> "Broker":
        return self if self.process else self.start()

    def __exit__(self, *_exc) -> None:
        self.kill()
