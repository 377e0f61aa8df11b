"""Figures of a running process, as Linux tells them."""

import os
import random
import socket
from pathlib import Path


def free_port() -> int:
    """A TCP port that nobody listens on at the moment of asking, and neither on the next one.

    From below Linux's range for outgoing connections, or one of those may take it before the server does.
    """
    while True:
        port = random.randrange(16_000, 32_000)
        with socket.socket() as one, socket.socket() as next_one:
            try:
                one.bind(("127.0.0.1", port))
                next_one.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


def cpu_seconds(pid: int) -> float:
    """User plus system time of all threads of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_kib(pid: int, key: str) -> int:
    """A size line of /proc/PID/status (RssAnon, VmRSS, ...), in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise KeyError(key)


def open_files(pid: int) -> list[str]:
    """Paths of the files that the process has open."""
    paths = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            paths.append(os.readlink(descriptor))
        except FileNotFoundError:
            pass  # closed meanwhile
    return paths
