#!/usr/bin/env python3
"""Writes protocol/src/shapes.rs: what request bodies and the messages in them look like on the wire, for the bounds
guard.

    scripts/gen-shapes.py PATH/TO/kafka-clients-4.3.0.jar            write the file
    scripts/gen-shapes.py --check PATH/TO/kafka-clients-4.3.0.jar    exit 1 if the file would change

The jar holds Kafka's message definitions as JSON (common/message/*.json). Needs Python 3 and rustfmt, nothing else.
To have one more API guarded, add its name to REQUESTS and run this again.
EMBEDDED are the messages that requests carry as bytes.
"""
import json
import os
import re
import subprocess
import sys
import zipfile

REQUESTS = [
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetFetch",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "DescribeGroups",
    "ListGroups",
    "ApiVersions",
    "CreateTopics",
    "DeleteTopics",
    "DeleteRecords",
    "InitProducerId",
    "OffsetForLeaderEpoch",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "EndTxn",
    "WriteTxnMarkers",
    "TxnOffsetCommit",
    "DescribeConfigs",
    "AlterConfigs",
    "DescribeLogDirs",
    "CreatePartitions",
    "DeleteGroups",
    "IncrementalAlterConfigs",
    "OffsetDelete",
    "UpdateFeatures",
    "DescribeCluster",
    "DescribeProducers",
    "DescribeTransactions",
    "ListTransactions",
    "ConsumerGroupHeartbeat",
    "ConsumerGroupDescribe",
    "DescribeTopicPartitions",
]

EMBEDDED = [
    "ConsumerProtocolSubscription",
    "ConsumerProtocolAssignment",
]

TARGET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "protocol", "src", "shapes.rs")

# Bytes on the wire. In memory they take the same, each aligned to its size.
FIXED = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}
# Bytes in memory, in the decoded structs, of what has no fixed size on the wire.
MEMORY = {"string": 32, "bytes": 32, "records": 32, "array": 24, "tagged fields": 24}


def versions(text):
    """"3+", "0-12", "4" or "none" as a Rust constant expression."""
    if text in (None, "none"):
        return "NEVER"
    if text.endswith("+"):
        return f"from({text[:-1]})"
    first, _, last = text.partition("-")
    return f"span({first}, {last or first})"


def memory(fields, structs):
    """The size of a decoded struct: its fields, plus the map of unknown tagged fields."""
    total = MEMORY["tagged fields"]
    for field in fields:
        kind = field["type"]
        if kind.startswith("[]"):
            total += MEMORY["array"]
        elif kind in FIXED:
            total += FIXED[kind]
        elif kind in MEMORY:
            total += MEMORY[kind]
        else:
            total += memory(members(field, kind, structs), structs)
    return (total + 7) // 8 * 8


def members(field, name, structs):
    return field["fields"] if "fields" in field else structs[name]


class Message:
    def __init__(self, spec):
        self.spec = spec
        self.structs = {s["name"]: s["fields"] for s in spec.get("commonStructs", [])}
        self.prefix = snake(spec["name"])
        self.tables = []

    def kind(self, field, kind):
        if kind.startswith("[]"):
            element = kind[2:]
            if element in FIXED:
                size = FIXED[element]
            elif element in MEMORY:
                size = MEMORY[element]
            else:
                size = memory(members(field, element, self.structs), self.structs)
            return f"Array {{ element: &{self.kind(field, element)}, element_memory_bytes: {size} }}"
        if kind in FIXED:
            return f"Fixed({FIXED[kind]})"
        if kind == "string":
            return "String"
        if kind in ("bytes", "records"):
            return "Bytes"
        return f"Struct({self.table(kind, members(field, kind, self.structs))})"

    def table(self, name, fields):
        constant = self.prefix if name == self.spec["name"] else f"{self.prefix}_{snake(name)}"
        rows = []
        for field in fields:
            if "flexibleVersions" in field:
                raise SystemExit(f"{name}.{field['name']}: flexible versions of a single field are not handled")
            expression = f"field({self.kind(field, field['type'])}, {versions(field['versions'])})"
            if field.get("nullableVersions"):
                expression += f".nullable({versions(field['nullableVersions'])})"
            if "tag" in field:
                expression += f".tagged({field['tag']}, {versions(field['taggedVersions'])})"
            rows.append(f"    {expression},\n")
        table = f"static {constant}: &[Field] = &[\n{''.join(rows)}];\n"
        if table not in self.tables:
            self.tables.append(table)
        return constant

    def shape(self):
        first, _, last = self.spec["validVersions"].partition("-")
        last = int(last or first) - (1 if self.spec.get("latestVersionUnstable") else 0)
        fields = self.table(self.spec["name"], self.spec["fields"])
        flexible = versions(self.spec["flexibleVersions"])
        return f"Shape {{ versions: span({first}, {last}), flexible: {flexible}, fields: {fields} }}"

    def arm(self):
        name = self.spec["name"].removesuffix("Request")
        return f"ApiKey::{name} => Some({self.shape()}),\n"

    def constant(self):
        return f"pub(crate) static {self.prefix}_SHAPE: Shape = {self.shape()};\n"


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def load(jar, name):
    text = jar.read(f"common/message/{name}.json").decode()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


def generate(path):
    with zipfile.ZipFile(path) as jar:
        requests = [Message(load(jar, f"{request}Request")) for request in REQUESTS]
        embedded = [Message(load(jar, name)) for name in EMBEDDED]
    arms = "".join(message.arm() for message in requests)
    constants = "\n".join(message.constant() for message in embedded)
    tables = "\n".join(table for message in requests + embedded for table in message.tables)
    version = re.search(r"kafka-clients-([\w.-]+)\.jar$", path)
    names = [n for n in ("Field", "NEVER", "Shape", "field", "from", "span") if re.search(rf"\b{n}\b", arms + constants + tables)]
    source = f"kafka-clients {version.group(1)}" if version else "kafka-clients"
    return (
        f"//! The layout of request bodies. Written by scripts/gen-shapes.py from {source}: not to be edited.\n\n"
        "use kafka_protocol::messages::ApiKey;\n\n"
        "use crate::guard::Kind::{Array, Bytes, Fixed, String, Struct};\n"
        f"use crate::guard::{{{', '.join(names)}}};\n\n"
        "/// The shape of an API's request; none for the APIs that this broker doesn't decode.\n"
        "pub(crate) fn shape(api_key: ApiKey) -> Option<Shape> {\n    match api_key {\n"
        f"{arms}_ => None,\n}}\n}}\n\n{constants}\n{tables}"
    )


def main():
    arguments = sys.argv[1:]
    check = "--check" in arguments
    paths = [argument for argument in arguments if argument != "--check"]
    if len(paths) != 1:
        raise SystemExit(__doc__)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    formatted = subprocess.run(
        ["rustfmt", "--edition", "2024", "--config-path", root],
        input=generate(paths[0]), capture_output=True, text=True, check=True,
    ).stdout
    if check:
        with open(TARGET) as file:
            if file.read() != formatted:
                raise SystemExit("protocol/src/shapes.rs differs from what this script writes")
        return
    with open(TARGET, "w") as file:
        file.write(formatted)


if __name__ == "__main__":
    main()
