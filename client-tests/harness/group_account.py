"""What a group was delivered, held against what was produced and what it has committed."""

import heapq
import threading
from dataclasses import dataclass, field

# Lines of several processes arrive in any order; they are looked at in that of their own clock, so much later.
SETTLE_US = 5_000_000
# Members of a group that are told of their partitions within this time are told of one rebalance.
REBALANCE_GAP_US = 500_000


@dataclass
class GroupAccount:
    """Takes the lines of a group's members."""

    name: str
    partitions: int
    delivered: int = 0
    reread: int = 0
    commits: int = 0
    rebalances: int = 0
    longest_stall_s: float = 0.0
    longest_rebalance_s: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.counts = [bytearray() for _ in range(self.partitions)]
        self.committed = [0] * self.partitions
        self._last_delivery = [0] * self.partitions
        self._last_assigned = 0
        self._lines: list[tuple[int, int, str]] = []
        self._number = 0
        self._lock = threading.Lock()
        # Times in which nothing can be delivered: (from, to) in microseconds.
        self.pauses: list[tuple[int, int]] = []

    def line(self, text: str) -> None:
        """A line of a member, from any thread."""
        at, _, rest = text.strip().partition(" ")
        with self._lock:
            self._number += 1
            heapq.heappush(self._lines, (int(at), self._number, rest))

    def settle(self, until_us: int) -> None:
        """Looks at every line from before that time."""
        while True:
            with self._lock:
                if not self._lines or self._lines[0][0] > until_us:
                    return
                at, _, rest = heapq.heappop(self._lines)
            kind, *words = rest.split(" ")
            if kind == "d":
                self._delivered(at, *(int(word) for word in words))
            elif kind == "c":
                partition, offset = (int(word) for word in words)
                self.committed[partition] = max(self.committed[partition], offset)
                self.commits += 1
            elif kind == "a":
                if at - self._last_assigned > REBALANCE_GAP_US:
                    self.rebalances += 1
                self._last_assigned = at
            elif kind == "e":
                text = " ".join(words)[:160]
                self.errors[text] = self.errors.get(text, 0) + 1

    def _delivered(self, at: int, partition: int, first: int, last: int) -> None:
        if first < self.committed[partition]:
            self.violations.append(f"{self.name}, partition {partition}: delivered from {first} on after a commit of "
                                   f"{self.committed[partition]} was acknowledged, at {at}")
        counts = self.counts[partition]
        if len(counts) <= last:
            counts.extend(bytes(last + 1 - len(counts)))
        for offset in range(first, last + 1):
            if counts[offset]:
                self.reread += 1
            else:
                self.delivered += 1
                counts[offset] = 1
        if self._last_delivery[partition]:
            self.longest_stall_s = max(self.longest_stall_s, self._gap_s(self._last_delivery[partition], at))
        self._last_delivery[partition] = at

    def _gap_s(self, since: int, at: int) -> float:
        paused = sum(max(0, min(end, at) - max(start, since)) for start, end in self.pauses)
        return (at - since - paused) / 1e6

    def missing(self, acknowledged: list[list[int]]) -> list[tuple[int, int]]:
        """Offsets that were acknowledged to the producer, by partition, and never delivered."""
        return [(partition, offset) for partition, offsets in enumerate(acknowledged) for offset in offsets
                if offset >= len(self.counts[partition]) or not self.counts[partition][offset]]
