"""Two transcripts of one sequence, field by field, and the differences that are allowed, each with its reason."""

import fnmatch
import re
import time
import tomllib
import uuid
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Difference:
    sequence: str
    label: str
    api: str
    path: str
    kafka: object
    fluxmq: object

    def __str__(self) -> str:
        return f"{self.sequence}: {self.label}: {self.path}: Kafka {self.kafka!r}, FluxMQ {self.fluxmq!r}"


@dataclass
class Rule:
    """One allowed difference. `sequence`, `label` and `path` are patterns of fnmatch; a value that is given has to be the answer's."""

    api: str
    path: str
    reason: str
    sequence: str = "*"
    label: str = "*"
    kafka: object = None
    fluxmq: object = None
    used: int = 0

    def covers(self, d: Difference) -> bool:
        return (fnmatch.fnmatchcase(d.api, self.api) and fnmatch.fnmatchcase(d.path, self.path)
                and fnmatch.fnmatchcase(d.sequence, self.sequence) and fnmatch.fnmatchcase(d.label, self.label)
                and self.kafka in (None, d.kafka) and self.fluxmq in (None, d.fluxmq))


class Allowed:
    def __init__(self, file: Path):
        self.rules = [Rule(**rule) for rule in tomllib.loads(file.read_text()).get("difference", [])]

    def covers(self, difference: Difference) -> bool:
        matching = [rule for rule in self.rules if rule.covers(difference)]
        for rule in matching:
            rule.used += 1
        return bool(matching)

    def unused(self) -> list[Rule]:
        return [rule for rule in self.rules if not rule.used]


_STARTED_MS = int(time.time() * 1000)
# Milliseconds since 1970 in a text, and the distance of such a moment from the smallest 64-bit number.
_MOMENT = re.compile(r"\b1[789]\d{11}\b|-92233702\d{11}\b")


@dataclass
class Comparison:
    fields: int = 0
    differences: list[Difference] = field(default_factory=list)


class Normaliser:
    """Replaces what differs between any two servers: addresses and directories by their role, ids by the order in which
    they were first seen, moments of the run by `now`."""

    def __init__(self, names: dict[object, str], learnt: dict[object, str] | None = None):
        """`names`: the server's own address parts; `learnt`: ids that a sequence has given names to."""
        self.learnt = learnt or {}
        self._words_learnt = [(k, v) for k, v in self.learnt.items() if isinstance(k, str)]
        self._names = {k: v for k, v in names.items() if not isinstance(k, str)}
        self._words = {k: v for k, v in names.items() if isinstance(k, str)}
        self._ids: dict[object, str] = {}

    def __call__(self, path: str, value):
        leaf = path.rpartition(".")[2]
        if isinstance(value, (str, uuid.UUID)) and value in self.learnt:
            return self.learnt[value]
        if isinstance(value, uuid.UUID) and value.int != 0:
            return self._ids.setdefault(value, f"uuid {len(self._ids) + 1}")
        if leaf in ("ProducerId", "SessionId") and isinstance(value, int) and value > 0:
            return self._ids.setdefault((leaf, value), f"{leaf} {len(self._ids) + 1}")
        if leaf == "ClusterId" and value is not None:
            return "cluster id"
        if isinstance(value, str):
            for word, role in self._words.items():
                value = value.replace(word, role)
            for word, role in self._words_learnt:
                value = value.replace(word, role)
            return _MOMENT.sub("(now)", value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value - _STARTED_MS) < 6 * 3_600_000:
            return "now"
        return self._names.get(value, value) if not isinstance(value, bytes) else value


def flatten(value, path: str, normalise: Normaliser, out: dict[str, object]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            flatten(inner, f"{path}.{key}" if path else key, normalise, out)
    elif isinstance(value, list):
        out[f"{path}#"] = len(value)
        seen: dict[str, int] = {}
        nameless = 0
        if path.endswith(("Partitions", "SubscribedTopicNames")) and all(isinstance(v, (int, str)) for v in value):
            value = sorted(value)  # sets, for Kafka
        if path.endswith("ActiveProducers"):
            value = sorted(value, key=lambda producer: producer["ProducerId"])  # a hash map, for Kafka
        for i, inner in enumerate(value):
            key = _key(inner, normalise)
            if key is None:
                key, nameless = str(nameless), nameless + 1
            elif seen.setdefault(key, i) != i:
                key = f"{key} at {i}"
            flatten(inner, f"{path}[{key}]", normalise, out)
    else:
        out[path] = normalise(path, value)


# Kafka answers lists in the order of its hash maps; an element is known by what names it.
_KEYS = ("MemberId", "GroupId", "Name", "TopicName", "Topic", "ResourceName", "PartitionIndex", "Partition", "Index", "ApiKey",
         "BrokerId", "NodeId", "TopicId", "TransactionalId")


def _key(element, normalise: Normaliser) -> str | None:
    if isinstance(element, dict):
        for key in _KEYS:
            value = element.get(key)
            if isinstance(value, uuid.UUID) and value not in normalise.learnt:
                continue  # an id without a name is numbered by its place
            if value not in (None, ""):
                return str(normalise(key, value))
    return None


@dataclass
class Transcript:
    """What one server answered in one sequence: (api, version, label, answer) in order, and the names of its ids."""

    steps: list[tuple[str, int | None, str, dict]]
    learnt: dict[object, str]


def compare(sequence: str, kafka: Transcript, fluxmq: Transcript, kafka_names: dict, fluxmq_names: dict) -> Comparison:
    """The names: each server's own address parts."""
    result = Comparison()
    ours, theirs = Normaliser(fluxmq_names, fluxmq.learnt), Normaliser(kafka_names, kafka.learnt)
    for (api, _version, label, right), (_, _, _, answer) in zip(kafka.steps, fluxmq.steps, strict=False):
        expected: dict[str, object] = {}
        found: dict[str, object] = {}
        if ("connection" in right) == ("connection" in answer):
            flatten(right, "", theirs, expected)
            flatten(answer, "", ours, found)
        else:  # one answered, the other did not: that is one difference
            expected["connection"], found["connection"] = right.get("connection", "answered"), answer.get("connection", "answered")
        for path in {**expected, **found}:
            result.fields += 1
            a, b = expected.get(path, "(absent)"), found.get(path, "(absent)")
            if a != b:
                result.differences.append(Difference(sequence, label, api, path, a, b))
    if len(kafka.steps) != len(fluxmq.steps):
        result.differences.append(Difference(sequence, "whole", "*", "steps", len(kafka.steps), len(fluxmq.steps)))
    return result
