"""Kafka's message definitions, read from the kafka-clients jar, and a codec that any version of any message goes through.

Only for the differential test: it has to say things that no client says any more, and to see every field of the answer.
"""

import json
import re
import struct
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

_FIXED = {"bool": "?", "int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "float64": "d"}


@dataclass(frozen=True)
class Versions:
    """A range as the definitions write it: `3-7`, `2+`, `4`, `none`."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str | None) -> "Versions":
        if not text or text == "none":
            return cls(1, 0)
        low, _, high = text.partition("-")
        if low.endswith("+"):
            return cls(int(low[:-1]), 32767)
        return cls(int(low), int(high or low))

    def __contains__(self, version: int) -> bool:
        return self.low <= version <= self.high


@dataclass
class Field:
    name: str
    type: str
    versions: Versions
    nullable: Versions
    tagged: Versions
    tag: int | None
    flexible: Versions | None
    default: object
    fields: list["Field"] = field(default_factory=list)

    def default_value(self):
        if self.type.startswith("[]"):
            return None if self.default == "null" else []
        if self.default == "null":
            return None
        if self.type in ("string",):
            return self.default or ""
        if self.type in ("bytes", "records"):
            return b""
        if self.type == "uuid":
            return uuid.UUID(int=0)
        if self.type == "bool":
            return str(self.default).lower() == "true"
        if self.type == "float64":
            return float(self.default or 0)
        if self.type in _FIXED:
            return int(str(self.default or 0).strip(), 0)
        return {}


class Message:
    """One request or response with all its versions."""

    def __init__(self, definition: dict):
        self.name = definition["name"]
        self.api_key = definition.get("apiKey")
        self.versions = Versions.parse(definition["validVersions"])
        self.flexible = Versions.parse(definition.get("flexibleVersions", "none"))
        common = {s["name"]: s for s in definition.get("commonStructs", [])}
        self.fields = [_field(f, common) for f in definition.get("fields", [])]

    def encode(self, version: int, body: dict) -> bytes:
        out = bytearray()
        _write_struct(out, self.fields, version, version in self.flexible, body, self.name)
        return bytes(out)

    def decode(self, version: int, data: bytes) -> dict:
        reader = _Reader(data)
        body = _read_struct(reader, self.fields, version, version in self.flexible)
        if reader.left():
            raise ValueError(f"{self.name} v{version}: {reader.left()} bytes after the end")
        return body


def _field(definition: dict, common: dict) -> Field:
    kind = definition["type"].strip()
    element = kind.removeprefix("[]")
    inner = definition.get("fields") or (common[element]["fields"] if element in common else [])
    flexible = definition.get("flexibleVersions")
    return Field(definition["name"], kind, Versions.parse(definition.get("versions")),
                 Versions.parse(definition.get("nullableVersions")), Versions.parse(definition.get("taggedVersions")),
                 definition.get("tag"), Versions.parse(flexible) if flexible else None, definition.get("default"),
                 [_field(f, common) for f in inner])


class Schemas:
    """All requests and responses of a kafka-clients jar, by name without the suffix: `Fetch`, `ListOffsets`."""

    def __init__(self, jar: Path):
        self.requests: dict[str, Message] = {}
        self.responses: dict[str, Message] = {}
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.namelist():
                match = re.fullmatch(r"common/message/(\w+?)(Request|Response)\.json", entry)
                if not match:
                    continue
                text = re.sub(r"(?m)^\s*//.*$", "", archive.read(entry).decode())
                message = Message(json.loads(text))
                (self.requests if match[2] == "Request" else self.responses)[match[1]] = message


def uvarint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _write_struct(out: bytearray, fields: list[Field], version: int, flexible: bool, body: dict, where: str) -> None:
    unknown = set(body) - {f.name for f in fields}
    if unknown:
        raise KeyError(f"{where} has no field {sorted(unknown)}")
    tagged: list[tuple[int, bytes]] = []
    for f in fields:
        value = body.get(f.name, f.default_value())
        if version not in f.versions:
            continue  # a sequence says what it means once, for all versions of an API
        if version in f.tagged:
            if f.name in body:
                piece = bytearray()
                _write(piece, f, f.type, version, flexible, value, where)
                tagged.append((f.tag, bytes(piece)))
        else:
            _write(out, f, f.type, version, flexible, value, where)
    if flexible:
        out += uvarint(len(tagged))
        for tag, piece in sorted(tagged):
            out += uvarint(tag) + uvarint(len(piece)) + piece


def _write(out: bytearray, f: Field, kind: str, version: int, flexible: bool, value, where: str) -> None:
    where = f"{where}.{f.name}"
    if f.flexible is not None:
        flexible = flexible and version in f.flexible
    if value is None and kind not in ("string", "bytes", "records") and not kind.startswith("[]"):
        out.append(0xFF)  # a null struct
    elif kind in _FIXED:
        out += struct.pack(">" + _FIXED[kind], value)
    elif kind == "uuid":
        out += value.bytes
    elif kind in ("string", "bytes", "records") or kind.startswith("[]"):
        count = -1 if value is None else len(value.encode() if kind == "string" else value)
        if flexible:
            out += uvarint(count + 1)
        else:
            out += struct.pack(">h" if kind == "string" else ">i", count)
        if value is None:
            return
        if kind == "string":
            out += value.encode()
        elif kind in ("bytes", "records"):
            out += value
        else:
            for element in value:
                _write_element(out, f, kind[2:], version, flexible, element, where)
    else:
        if version in f.nullable:
            out.append(1)
        _write_struct(out, f.fields, version, flexible, value, where)


def _write_element(out: bytearray, f: Field, kind: str, version: int, flexible: bool, value, where: str) -> None:
    if kind in _FIXED or kind in ("string", "uuid", "bytes"):
        _write(out, f, kind, version, flexible, value, where)
    else:
        _write_struct(out, f.fields, version, flexible, value, where)


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise ValueError(f"{count} bytes wanted at {self.at}, {self.left()} left")
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, code: str):
        return struct.unpack(">" + code, self.take(struct.calcsize(">" + code)))[0]

    def uvarint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def _read_struct(reader: _Reader, fields: list[Field], version: int, flexible: bool) -> dict:
    body = {}
    for f in fields:
        if version in f.versions and version not in f.tagged:
            body[f.name] = _read(reader, f, f.type, version, flexible)
    if flexible:
        by_tag = {f.tag: f for f in fields if version in f.tagged}
        for _ in range(reader.uvarint()):
            tag, size = reader.uvarint(), reader.uvarint()
            piece = _Reader(reader.take(size))
            if tag in by_tag:
                body[by_tag[tag].name] = _read(piece, by_tag[tag], by_tag[tag].type, version, flexible)
            else:
                body[f"tag {tag}"] = piece.data
    return body


def _read(reader: _Reader, f: Field, kind: str, version: int, flexible: bool):
    if f.flexible is not None:
        flexible = flexible and version in f.flexible
    if kind in _FIXED:
        return reader.fixed(_FIXED[kind])
    if kind == "uuid":
        return uuid.UUID(bytes=reader.take(16))
    if kind in ("string", "bytes", "records") or kind.startswith("[]"):
        count = reader.uvarint() - 1 if flexible else reader.fixed("h" if kind == "string" else "i")
        if count < 0:
            return None
        if kind == "string":
            return reader.take(count).decode()
        if kind in ("bytes", "records"):
            return reader.take(count)
        element = kind[2:]
        if element in _FIXED or element in ("string", "uuid", "bytes"):
            return [_read(reader, f, element, version, flexible) for _ in range(count)]
        return [_read_struct(reader, f.fields, version, flexible) for _ in range(count)]
    if version in f.nullable and reader.fixed("b") < 0:
        return None
    return _read_struct(reader, f.fields, version, flexible)
