"""One consumer reads an old log from the disk as fast as it goes, while producers go on at their rate.

The log is written and synced before, and the kernel told to forget the pages of the broker's log files (POSIX_FADV_DONTNEED). Whether
it did shows in what the broker then had read from the disk: less than `LEAST_FROM_DISK` of the log, and the run is refused. CPU is
the broker's for both, reading and taking.
"""

import os
from pathlib import Path

from ..brokers import Peer
from ..checks import Refused, check_read, sample
from ..drivers import Driver
from ..process import read_from_disk_bytes
from ..scenarios import Scenario
from .driven import Driven

LEAST_FROM_DISK = 0.8
OF_THE_READER = "read_"


def forget(directory: Path) -> None:
    """Drops the page cache of all logs below `directory`."""
    os.sync()  # pages that are not written yet can't be dropped
    for path in directory.rglob("*.log"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def drive(scenario: Scenario, driver: Driver, peer: Peer, words: dict[str, object], records: int) -> Driven:
    """`records` are sent at most: the producers stop when the reader has all that was there before."""
    forget(peer.log_dir)
    on_disk = read_from_disk_bytes(peer.pid)
    began = sample(peer)
    sent = driver.do("catch-up", words | {"messages": records})
    ended = sample(peer)
    on_disk = read_from_disk_bytes(peer.pid) - on_disk
    caught = {key.removeprefix(OF_THE_READER): value for key, value in sent.items() if key.startswith(OF_THE_READER)}
    check_read(peer, scenario.held_records, caught)
    if on_disk < LEAST_FROM_DISK * scenario.held_bytes:
        raise Refused(f"{peer.name}: {on_disk / 1e6:.0f} MB came from the disk, of {scenario.held_bytes / 1e6:.0f}")
    if sent["records"] == records:
        raise Refused(f"{peer.name}: the producers ended before the reader")
    read = driver.do("read", {key: words[key] for key in ("topic", "partitions")})
    return Driven(int(sent["records"]), sent, read, began, ended, ended, caught["seconds"], ended.cpu_s - began.cpu_s, scenario.held_bytes)
