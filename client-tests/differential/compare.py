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

    def __init__(self, names: dict[object, str]):
        self._names = {k: v for k, v in names.items() if not isinstance(k, str)}
        self._words = {k: v for k, v in names.items() if isinstance(k, str)}
        self._ids: dict[object, str] = {}

    def __call__(self, path: str, value):
        leaf = path.rpartition(".")[2]
        if isinstance(value, uuid.UUID) and value.int != 0:
            return self._ids.setdefault(value, f"uuid {len(self._ids) + 1}")
        if leaf in ("ProducerId", "SessionId") and isinstance(value, int) and value > 0:
            return self._ids.setdefault((leaf, value), f"{leaf} {len(self._ids) + 1}")
        if leaf == "ClusterId" and value is not None:
            return "cluster id"
        if isinstance(value, str):
            for word, role in self._words.items():
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
        for i, inner in enumerate(value):
            key = _key(inner)
            if key is None:
                key, nameless = str(nameless), nameless + 1
            elif seen.setdefault(key, i) != i:
                key = f"{key} at {i}"
            flatten(inner, f"{path}[{key}]", normalise, out)
    else:
        out[path] = normalise(path, value)


# Kafka answers lists in the order of its hash maps; an element is known by what names it.
_KEYS = ("Name", "TopicName", "Topic", "ResourceName", "PartitionIndex", "Partition", "Index", "ApiKey", "BrokerId", "NodeId")


def _key(element) -> str | None:
    if isinstance(element, dict):
        for key in _KEYS:
            if element.get(key) not in (None, ""):
                return str(element[key])
    return None


def compare(sequence: str, kafka: list, fluxmq: list, kafka_names: dict, fluxmq_names: dict) -> Comparison:
    """`kafka` and `fluxmq`: the transcripts; the names: each server's own address parts."""
    result = Comparison()
    ours, theirs = Normaliser(fluxmq_names), Normaliser(kafka_names)
    for (api, _version, label, right), (_, _, _, answer) in zip(kafka, fluxmq, strict=False):
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
    if len(kafka) != len(fluxmq):
        result.differences.append(Difference(sequence, "whole", "*", "steps", len(kafka), len(fluxmq)))
    return result
