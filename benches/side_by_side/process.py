"""Figures of processes and of the machine, as Linux tells them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of all threads so far, in nanoseconds' precision."""
    # The id of another process's CPU clock: clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True)
class Sample:
    """A process at a moment."""

    at_s: float
    cpu_s: float
    rss_anon_kib: int
    switches: int

    @staticmethod
    def of(pid: int) -> "Sample":
        switches = 0
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                lines = (thread / "status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
            switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        rss_anon = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
        return Sample(time.monotonic(), cpu_s(pid), rss_anon, switches)


def read_from_disk_bytes(pid: int) -> int:
    """What the process had read from disks so far; what was in the page cache is not among it."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def page_cache_bytes() -> int:
    """Of the whole machine."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Cached:", "Buffers:"))) * 1024


def machine_busy_s() -> float:
    """CPU seconds of all cores so far that weren't idle, without what a host took away and what waited for a disk."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


class Others:
    """CPU that is used by nobody of `pids` from now on, nor by this process."""

    def __init__(self, pids: list[int]):
        self._pids = [*pids, os.getpid()]
        self._started = time.monotonic()
        self._before = self._reading()

    def _reading(self) -> float:
        return machine_busy_s() - sum(map(cpu_s, self._pids))

    def cores(self) -> float:
        """On average so far."""
        return max(0.0, self._reading() - self._before) / max(1e-9, time.monotonic() - self._started)


def memory_is_lent() -> bool:
    """Whether a guest gives free memory back to its host, which makes the next touch of it dear: scripts/memory.sh."""
    balloons = Path("/sys/bus/virtio/drivers/virtio_balloon").glob("virtio*/features")
    return any(features.read_text()[5:6] == "1" for features in balloons)


def facts() -> dict[str, str]:
    """What a reader needs to know of the machine."""
    cpus = Path("/proc/cpuinfo").read_text().split("model name\t: ")
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cores": f"{os.cpu_count()} × {cpus[1].splitlines()[0] if len(cpus) > 1 else os.uname().machine}",
        "memory": f"{memory_kib / 1048576:.0f} GiB",
        "free memory": "goes back to the host" if memory_is_lent() else "is kept",
        "kernel": os.uname().release,
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "writeback": f"dirty_background_ratio {Path('/proc/sys/vm/dirty_background_ratio').read_text().strip()}",
    }
