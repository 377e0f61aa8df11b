"""One sequence of frames against one server, and the transcript of what it answered."""

import select
import socket
import struct
import time
import uuid
from dataclasses import dataclass

from .records import headers_of
from .schema import Schemas, uvarint

CLOSED = {"connection": "closed"}
NO_ANSWER = {"connection": "open, no answer"}


@dataclass
class Pending:
    """A request that was sent, its answer not yet read."""

    api: str
    version: int
    label: str
    on: str
    correlation: int


class Session:
    """Sends requests, keeps (label, answer) in order. Connections are named; each is opened at its first use."""

    def __init__(self, schemas: Schemas, host: str, port: int, prefix: str, timeout_s: float = 10.0):
        self.schemas, self.address, self.prefix, self.timeout_s = schemas, (host, port), prefix, timeout_s
        self.transcript: list[tuple[str, int | None, str, dict]] = []
        self._connections: dict[str, socket.socket] = {}
        self._correlation = 0
        self.names: dict[object, str] = {}  # what the server made up -> what it is called in the comparison

    def learn(self, name: str, value):
        """Calls an id that this server made up by a name, in all answers of the sequence, also those before."""
        if value:
            self.names[value] = name
        return value

    def topic(self, name: str = "topic") -> str:
        """A topic name of this sequence's own."""
        return f"{self.prefix}.{name}"

    def send(self, api: str, version: int, body: dict | None = None, *, on: str = "main", label: str = "",
             client_id: str | None = "differential", answered: bool = True) -> dict:
        """One request and its decoded answer, or CLOSED or NO_ANSWER. `answered=False`: none is waited for (acks=0)."""
        request = self.schemas.requests[api]
        frame = self.header(api, version, client_id) + request.encode(version, body or {})
        return self.raw(frame, api=api, version=version, on=on, label=label, answered=answered)

    def header(self, api: str, version: int, client_id: str | None = "differential", key: int | None = None) -> bytes:
        request = self.schemas.requests[api]
        self._correlation += 1
        name = None if client_id is None else client_id.encode()
        head = struct.pack(">hhi", request.api_key if key is None else key, version, self._correlation)
        head += struct.pack(">h", -1 if name is None else len(name)) + (name or b"")
        return head + (uvarint(0) if version in request.flexible else b"")

    def raw(self, frame: bytes, *, api: str, version: int, on: str = "main", label: str = "", length: int | None = None,
            answered: bool = True, answer_version: int | None = None) -> dict:
        """A frame as it stands, with `length` in front of it in place of its true one."""
        label = label or f"{api} v{version}"
        connection = self._connect(on)
        try:
            connection.sendall(struct.pack(">i", len(frame) if length is None else length) + frame)
            if not answered:
                return {}
            answer = self._receive(connection, api, version if answer_version is None else answer_version)
        except (ConnectionError, BrokenPipeError, EOFError):
            answer = CLOSED
        except TimeoutError:
            answer = NO_ANSWER
        if answer in (CLOSED, NO_ANSWER):
            self.close(on)
        self.transcript.append((api, version, label, answer))
        return answer

    def begin(self, api: str, version: int, body: dict, *, on: str, label: str = "", client_id: str | None = "differential") -> Pending:
        """Sends a request whose answer may take its time."""
        frame = self.header(api, version, client_id) + self.schemas.requests[api].encode(version, body)
        self._connect(on).sendall(struct.pack(">i", len(frame)) + frame)
        return Pending(api, version, label or f"{api} v{version}", on, self._correlation)

    def answer(self, pending: Pending) -> dict:
        """Waits for the answer to a request that was begun."""
        try:
            answer = self._receive(self._connections[pending.on], pending.api, pending.version, pending.correlation)
        except (ConnectionError, EOFError):
            answer = CLOSED
        except TimeoutError:
            answer = NO_ANSWER
        self.transcript.append((pending.api, pending.version, pending.label, answer))
        return answer

    def waits(self, pending: Pending, for_s: float = 0.3) -> bool:
        """Whether a request stays without an answer for so long; that goes into the transcript too."""
        ready, _, _ = select.select([self._connections[pending.on]], [], [], for_s)
        self.transcript.append((pending.api, pending.version, f"{pending.label}, waiting", {"Waits": not ready}))
        return not ready

    def close(self, on: str = "main") -> None:
        connection = self._connections.pop(on, None)
        if connection is not None:
            connection.close()

    def close_all(self) -> None:
        for name in list(self._connections):
            self.close(name)

    def _connect(self, name: str) -> socket.socket:
        if name not in self._connections:
            connection = socket.create_connection(self.address, timeout=self.timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[name] = connection
        return self._connections[name]

    def _receive(self, connection: socket.socket, api: str, version: int, correlation: int | None = None) -> dict:
        size = struct.unpack(">i", _exactly(connection, 4))[0]
        data = _exactly(connection, size)
        response = self.schemas.responses[api]
        at = 4
        if version in response.flexible and api != "ApiVersions":
            assert data[4] == 0, "a tagged field in the response header"
            at = 5
        body = response.decode(version, data[at:])
        if api == "JoinGroup" and body["MemberId"] not in self.names:
            self.learn(f"joiner {len(self.names) + 1}", body["MemberId"])
        return {"CorrelationMatches": struct.unpack(">i", data[:4])[0] == (correlation or self._correlation), **body}

    def pipeline(self, frames: list[tuple[str, int, bytes]], on: str = "main") -> None:
        """Several frames in one write; their answers have to come in the same order."""
        connection = self._connect(on)
        first = self._correlation - len(frames)
        connection.sendall(b"".join(struct.pack(">i", len(frame)) + frame for _, _, frame in frames))
        for i, (api, version, _) in enumerate(frames):
            answer = self._receive(connection, api, version, first + i + 1)
            self.transcript.append((api, version, f"{i + 1} of {len(frames)}", answer))

    # What several sequences need.

    def create_topic(self, name: str = "topic", partitions: int = 1, configs: dict[str, str] | None = None) -> uuid.UUID:
        """Creates a topic, waits until it can be written to, and gives its id."""
        full = self.topic(name)
        answer = self.send("CreateTopics", 7, {"Topics": [{
            "Name": full, "NumPartitions": partitions, "ReplicationFactor": 1,
            "Configs": [{"Name": k, "Value": v} for k, v in (configs or {}).items()]}], "timeoutMs": 10_000})
        for _ in range(500):
            listed = self.quiet("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": full, "Partitions": [
                {"PartitionIndex": p, "Timestamp": -1} for p in range(partitions)]}]})
            if all(p["ErrorCode"] == 0 for t in listed.get("Topics", []) for p in t["Partitions"]):
                break
            time.sleep(0.02)
        return self.learn(f"id of {full}", answer["Topics"][0]["TopicId"])

    def create_group_topic(self, name: str = "topic", partitions: int = 1) -> uuid.UUID:
        """Creates a topic and waits until the group coordinator knows of it, which in Kafka comes a moment later."""
        kept = len(self.transcript)
        topic_id = self.create_topic(name, partitions)
        del self.transcript[kept:]
        probe = {"GroupId": f"probe of {self.topic(name)}", "MemberId": str(uuid.uuid4()), "RebalanceTimeoutMs": 10_000,
                 "SubscribedTopicNames": [self.topic(name)], "TopicPartitions": []}
        for _ in range(500):
            answer = self.quiet("ConsumerGroupHeartbeat", 1, {**probe, "MemberEpoch": 0})
            if answer.get("ErrorCode") != 0 or answer["Assignment"] and answer["Assignment"]["TopicPartitions"]:
                break
            time.sleep(0.02)
            self.quiet("ConsumerGroupHeartbeat", 1, {**probe, "MemberEpoch": -1})
        self.quiet("ConsumerGroupHeartbeat", 1, {**probe, "MemberEpoch": -1})
        return topic_id

    def quiet(self, api: str, version: int, body: dict) -> dict:
        """A request that is means, not matter: it leaves no trace in the transcript."""
        kept = len(self.transcript)
        answer = self.send(api, version, body, on="quiet")
        del self.transcript[kept:]
        return answer

    def produce(self, records: bytes | None, *, version: int = 9, acks: int = -1, partition: int = 0, name: str = "topic",
                topic_id: uuid.UUID | None = None, label: str = "", transactional_id: str | None = None,
                on: str = "main") -> dict:
        topic = {"PartitionData": [{"Index": partition, "Records": records}]}
        if version >= 13:
            topic["TopicId"] = topic_id
        else:
            topic["Name"] = self.topic(name)
        return self.send("Produce", version, {"TransactionalId": transactional_id, "Acks": acks, "TimeoutMs": 5_000,
                                              "TopicData": [topic]}, label=label, answered=acks != 0, on=on)

    def fetch(self, offset: int = 0, *, version: int = 11, partition: int = 0, name: str = "topic",
              topic_id: uuid.UUID | None = None, label: str = "", body: dict | None = None, **of_partition) -> dict:
        topic = {"Partitions": [{"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20,
                                 **of_partition}]}
        if version >= 13:
            topic["TopicId"] = topic_id
        else:
            topic["Topic"] = self.topic(name)
        answer = self.send("Fetch", version, {"MaxWaitMs": 100, "MinBytes": 1, "MaxBytes": 1 << 24, "Topics": [topic],
                                              **(body or {})}, label=label)
        for responses in answer.get("Responses", []):
            for fetched in responses["Partitions"]:
                fetched["Records"] = headers_of(fetched["Records"] or b"")
        return answer


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
