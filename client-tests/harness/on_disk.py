"""The files of a partition: Kafka's dump tool over them, and the move from one server's directory into another's."""

import re
import shutil
from pathlib import Path

from .kafka import tool

COMPLAINT = r"(?i)mismatch|corrupt|non-consecutive|exception|out of order|isvalid: false"


def dump(file: Path, *words: str) -> str:
    """What the dump tool prints of a file; fails if it complains."""
    return dump_all([file], *words)[0]


def dump_all(files: list[Path], *words: str) -> list[str]:
    """The same of several, by one process."""
    out = tool("kafka-dump-log", "--files", ",".join(map(str, files)), *words)
    assert not re.search(COMPLAINT, out), out[-3000:]
    dumped = re.split(r"(?m)^Dumping .*\n", out)[1:]
    assert len(dumped) == len(files), out[-3000:]
    return dumped


def replace(target: Path, source: Path, *without: str) -> None:
    """The files of one partition, but for those with these suffixes, into the folder of another; partition.metadata stays, it holds the
    topic's id."""
    for file in target.iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    for file in source.iterdir():
        if file.name != "partition.metadata" and file.suffix not in without:
            shutil.copy(file, target / file.name)
