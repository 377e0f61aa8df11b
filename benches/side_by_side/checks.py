"""What makes a run no fair figure. It is refused then, not printed."""

from pathlib import Path

from .brokers import Peer
from .process import Sample

# Of a core, used by others than the brokers and the client: more than that while a run goes on, and it doesn't count. Threads of
# the kernel that write out what the broker wrote are among them.
OTHERS_WHILE_RUNNING = 0.35
WRONG = ("missing", "duplicated", "changed", "out_of_order")


class Refused(RuntimeError):
    """Why a figure is not given."""


def congestion_control() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def sample(peer: Peer) -> Sample:
    try:
        return Sample.of(peer.pid)
    except OSError as error:
        raise Refused(f"{peer.name} died") from error


def check_sent(peer: Peer, records: int, sent: dict[str, float], with_markers: bool = False) -> None:
    """`with_markers`: offsets count what ends transactions, too."""
    if sent["records"] != records:
        raise Refused(f"{peer.name}: {sent['records']:.0f} records were sent instead of {records}")
    if peer.keeps and (sent["arrived"] < records or sent["arrived"] > records and not with_markers):
        raise Refused(f"{peer.name}: {sent['arrived']:.0f} of {records} records arrived")


def check_read(peer: Peer, records: int, read: dict[str, float], groups: int = 1) -> None:
    """Each of so many groups has to have read each record once, as it was sent."""
    wrong = {key: read[key] for key in WRONG if read.get(key)}
    if read.get("groups", groups) != groups:
        raise Refused(f"{peer.name}: {read['groups']:.0f} of {groups} groups read")
    if wrong or read["records"] != records * groups:
        raise Refused(f"{peer.name}: {read['records']:.0f} of {records * groups} records read back: {wrong}")


def check(peer: Peer, records: int, sent: dict[str, float], read: dict[str, float], others_cores: float, control: str,
          with_markers: bool = False, groups: int = 1) -> None:
    """Raises `Refused` for a run that can't be compared with another."""
    check_sent(peer, records, sent, with_markers)
    if read:
        check_read(peer, records, read, groups)
    if congestion_control() != control:
        raise Refused(f"the congestion control was {control} and is {congestion_control()}")
    if others_cores > OTHERS_WHILE_RUNNING:
        raise Refused(f"the machine was too busy: others used {others_cores:.2f} of a core (at most {OTHERS_WHILE_RUNNING})")
