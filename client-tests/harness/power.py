"""Power cuts: a log on ext4 inside a file, and a copy of that file taken while the broker stands still.

The file holds what the kernel has really written out. What was only in the page cache of the mounted
file system is not in the copy, just as it would not be on a disk after the power went.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

# A skip is counted, and printed at the end of scripts/test.sh.
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a loop device needs root")
_WRITEBACK = Path("/proc/sys/vm/dirty_writeback_centisecs")


def _run(*words: object) -> None:
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


class Disk:
    """An ext4 file system in a file, mounted through a loop device. Needs root."""

    def __init__(self, image: Path, mount_point: Path):
        self.image, self.mount_point = image, mount_point
        self._mounted = False

    @classmethod
    def create(cls, image: Path, mount_point: Path, size_mib: int = 1536) -> "Disk":
        image.unlink(missing_ok=True)
        with open(image, "wb") as f:
            f.truncate(size_mib << 20)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        return cls(image, mount_point).mount()

    def mount(self) -> "Disk":
        self.mount_point.mkdir(parents=True, exist_ok=True)
        # A long commit interval: nothing but the broker's own syncs commits the journal during a round.
        _run("mount", "-o", "loop,commit=300", self.image, self.mount_point)
        self._mounted = True
        return self

    def unmount(self) -> None:
        if self._mounted:
            _run("umount", self.mount_point)
            self._mounted = False

    def fail(self) -> None:
        """Nothing can be read or written any more until it is mounted anew, but for what is in memory."""
        directory = os.open(self.mount_point, os.O_RDONLY)
        try:
            # EXT4_IOC_SHUTDOWN, without writing the journal.
            fcntl.ioctl(directory, 0x8004587D, struct.pack("I", 2))
        finally:
            os.close(directory)

    def cut(self, image: Path, mount_point: Path) -> "Disk":
        """The disk as it would be found after a power cut now, mounted beside this one."""
        _run("cp", "--sparse=always", self.image, image)
        return Disk(image, mount_point).mount()

    def discard(self) -> None:
        self.unmount()
        self.image.unlink(missing_ok=True)
        shutil.rmtree(self.mount_point, ignore_errors=True)


@contextmanager
def no_background_writeback():
    """The kernel's periodic write-out pauses, so that only what somebody synced is on the disk."""
    before = _WRITEBACK.read_text()
    if int(before) == 0:
        before = "500"  # the kernel's default: 0 is what a run has left that was killed
    _WRITEBACK.write_text("0")
    try:
        yield
    finally:
        _WRITEBACK.write_text(before)
