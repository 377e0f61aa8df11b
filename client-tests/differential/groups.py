"""What sequences about groups have in common: the bytes that classic members carry, and members that join step by step."""

import struct

from .session import Pending, Session

UNKNOWN_MEMBER = "nobody-11111111-2222-3333-4444-555555555555"
MEMBER_ID_REQUIRED = 79


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _topics(topics: dict[str, list[int]]) -> bytes:
    out = struct.pack(">i", len(topics))
    for name, partitions in topics.items():
        out += _text(name) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return out


def subscription(topics: list[str], *, version: int = 1, user_data: bytes | None = None, owned: dict[str, list[int]] | None = None,
                 generation: int = -1, rack: str | None = None) -> bytes:
    """ConsumerProtocolSubscription: what a classic consumer says in JoinGroup."""
    out = struct.pack(">hi", version, len(topics)) + b"".join(map(_text, topics))
    out += struct.pack(">i", -1) if user_data is None else struct.pack(">i", len(user_data)) + user_data
    if version >= 1:
        out += _topics(owned or {})
    if version >= 2:
        out += struct.pack(">i", generation)
    if version >= 3:
        out += struct.pack(">h", -1) if rack is None else _text(rack)
    return out


def assignment(topics: dict[str, list[int]], *, version: int = 1) -> bytes:
    """ConsumerProtocolAssignment: what the leader of a classic group sends and its members get."""
    return struct.pack(">h", version) + _topics(topics) + struct.pack(">i", -1)


def assigned(data: bytes) -> dict:
    """The topics and partitions in an assignment, for the comparison: a server may write them in any order."""
    if not data:
        return {"Bytes": 0}
    version, count = struct.unpack_from(">hi", data)
    at, topics = 6, {}
    for _ in range(count):
        (size,) = struct.unpack_from(">h", data, at)
        name, at = data[at + 2:at + 2 + size].decode(), at + 2 + size
        (partitions,) = struct.unpack_from(">i", data, at)
        topics[name] = sorted(struct.unpack_from(f">{partitions}i", data, at + 4))
        at += 4 + 4 * partitions
    return {"Version": version, "Topics": dict(sorted(topics.items())), "Rest": data[at:]}


class Classic:
    """A member of a classic group. Its id is the server's to make up, and called `name` in the comparison."""

    def __init__(self, s: Session, name: str, *, group: str = "group", instance: str | None = None, session_ms: int = 20_000,
                 rebalance_ms: int = 20_000, protocols: list[tuple[str, bytes]] | None = None, protocol_type: str = "consumer",
                 version: int = 9, client_id: str = "differential"):
        self.s, self.name, self.group, self.instance, self.version = s, name, s.topic(group), instance, version
        self.session_ms, self.rebalance_ms, self.protocol_type, self.client_id = session_ms, rebalance_ms, protocol_type, client_id
        self.protocols = protocols or [("range", subscription([s.topic()]))]
        self.member_id, self.generation, self.protocol = "", -1, None

    def join_body(self, **more) -> dict:
        return {"GroupId": self.group, "SessionTimeoutMs": self.session_ms, "RebalanceTimeoutMs": self.rebalance_ms,
                "MemberId": self.member_id, "GroupInstanceId": self.instance, "ProtocolType": self.protocol_type,
                "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in self.protocols], **more}

    def begin_join(self, **more) -> Pending:
        """Sends JoinGroup. A new member is told its id first, where the version says so."""
        ask = lambda: self.s.begin("JoinGroup", self.version, self.join_body(**more), on=self.name, label=f"{self.name} joins",
                                   client_id=self.client_id)
        pending = ask()
        if not self.member_id and self.instance is None and self.version >= 4:
            answer = self.s.answer(pending)
            if answer.get("ErrorCode") == MEMBER_ID_REQUIRED:
                self.member_id = self.s.learn(f"{self.name}'s id", answer["MemberId"])
                pending = ask()
        return pending

    def joined(self, pending: Pending) -> dict:
        """The answer to JoinGroup."""
        answer = self.s.answer(pending)
        if answer.get("ErrorCode") == 0:
            self.member_id = answer["MemberId"]
            self.s.learn(f"{self.name}'s id", self.member_id)
            self.generation, self.protocol = answer["GenerationId"], answer["ProtocolName"]
        return answer

    def join(self, **more) -> dict:
        return self.joined(self.begin_join(**more))

    def begin_sync(self, given: dict["Classic", bytes] | None = None, **more) -> Pending:
        """Sends SyncGroup; a leader hands out `given`."""
        body = {"GroupId": self.group, "GenerationId": self.generation, "MemberId": self.member_id, "GroupInstanceId": self.instance,
                "ProtocolType": self.protocol_type, "ProtocolName": self.protocol,
                "Assignments": [{"MemberId": m.member_id, "Assignment": b} for m, b in (given or {}).items()], **more}
        return self.s.begin("SyncGroup", min(5, max(0, self.version - 3)), body, on=self.name, label=f"{self.name} syncs")

    def synced(self, pending: Pending) -> dict:
        answer = self.s.answer(pending)
        if "Assignment" in answer and self.protocol_type == "consumer":
            try:
                answer["Assignment"] = assigned(answer["Assignment"])
            except (struct.error, UnicodeDecodeError):
                pass
        return answer

    def sync(self, given: dict["Classic", bytes] | None = None, **more) -> dict:
        return self.synced(self.begin_sync(given, **more))

    def heartbeat(self, label: str = "", version: int = 4, **more) -> int:
        answer = self.s.send("Heartbeat", version, {"GroupId": self.group, "GenerationId": self.generation, "MemberId": self.member_id,
                             "GroupInstanceId": self.instance, **more}, on=self.name, label=label or f"{self.name} beats")
        return answer.get("ErrorCode", -1)

    def commit(self, offset: int, *, version: int = 9, partition: int = 0, label: str = "", metadata: str = "", **more) -> dict:
        body = {"GroupId": self.group, "GenerationIdOrMemberEpoch": self.generation, "MemberId": self.member_id,
                "GroupInstanceId": self.instance, "Topics": [{"Name": self.s.topic(), "Partitions": [
                    {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": metadata}]}], **more}
        return self.s.send("OffsetCommit", version, body, on=self.name, label=label or f"{self.name} commits {offset}")

    def leave(self, version: int = 5, label: str = "") -> dict:
        return self.s.send("LeaveGroup", version, {"GroupId": self.group, "MemberId": self.member_id, "Members": [
            {"MemberId": self.member_id, "GroupInstanceId": self.instance, "Reason": "the end"}]}, on=self.name,
            label=label or f"{self.name} leaves")


def stable(s: Session, *members: Classic, give: dict | None = None) -> None:
    """All join, the first leads, and each gets partition i of the topic, or what `give` says."""
    for member in members[:1]:
        member.join()
        member.sync({member: assignment({s.topic(): [0]})} if give is None else give)
    if len(members) > 1:
        settle(s, *members, give=give)


def settle(s: Session, *members: Classic, give: dict | None = None) -> None:
    """One rebalance: everybody joins, those who are new first; whom the group names its leader shares out."""
    pending = {}
    for member in sorted(members, key=lambda m: m.generation >= 0):
        pending[member] = member.begin_join()
        if member.generation < 0:
            s.waits(pending[member], 0.15)
    answers = {m: m.joined(p) for m, p in pending.items()}
    leader = next((m for m in members if answers[m].get("Leader") == m.member_id), members[0])
    if give is None:
        give = {m: assignment({s.topic(): [i]}) for i, m in enumerate(members)}
    leader.sync(give)
    for member in members:
        if member is not leader:
            member.sync()


def describe(s: Session, *groups: str, label: str = "", version: int = 6) -> dict:
    """DescribeGroups, with the members' bytes opened."""
    answer = s.send("DescribeGroups", version, {"Groups": [s.topic(g) for g in groups]}, label=label or f"describe {' '.join(groups)}")
    for group in answer.get("Groups", []):
        if group["ProtocolType"] == "consumer":
            for member in group["Members"]:
                try:
                    member["MemberAssignment"] = assigned(member["MemberAssignment"])
                except (struct.error, UnicodeDecodeError):
                    pass
        group["Members"].sort(key=lambda m: s.names.get(m["MemberId"], m["MemberId"]))
    return answer


def describe_consumer(s: Session, *groups: str, label: str = "", version: int = 1, **more) -> dict:
    """ConsumerGroupDescribe."""
    return s.send("ConsumerGroupDescribe", version, {"GroupIds": [s.topic(g) for g in groups], **more},
                  label=label or f"describe {' '.join(groups)}")


def list_groups(s: Session, *, version: int = 5, label: str = "", states=(), types=()) -> dict:
    """ListGroups; only those of this sequence go into the transcript."""
    answer = s.send("ListGroups", version, {"StatesFilter": list(states), "TypesFilter": list(types)}, label=label or f"list v{version}")
    if "Groups" in answer:
        answer["Groups"] = sorted((g for g in answer["Groups"] if g["GroupId"].startswith(s.topic(""))), key=lambda g: g["GroupId"])
    return answer


class Consumer:
    """A member of a KIP-848 group. Its id is its own to choose from version 1 on."""

    def __init__(self, s: Session, name: str, *, group: str = "group", instance: str | None = None, topics: list[str] | None = None,
                 regex: str | None = None, version: int = 1, rebalance_ms: int = 20_000, assignor: str | None = None,
                 rack: str | None = None, client_id: str = "differential"):
        self.s, self.name, self.group, self.instance, self.version = s, name, s.topic(group), instance, version
        self.topics, self.regex, self.rebalance_ms, self.assignor, self.rack = topics, regex, rebalance_ms, assignor, rack
        if topics is None and regex is None:
            self.topics = [s.topic()]
        self.client_id = client_id
        self.member_id, self.epoch, self.owned = (name if version >= 1 else ""), 0, []

    def say(self, label: str = "", **body) -> dict:
        """One heartbeat that says exactly this; takes over what the answer brings."""
        answer = self.s.send("ConsumerGroupHeartbeat", self.version, {"GroupId": self.group, "MemberId": self.member_id,
                             "MemberEpoch": self.epoch, "InstanceId": self.instance, **body}, on=self.name,
                             label=label or f"{self.name} beats", client_id=self.client_id)
        if answer.get("ErrorCode") == 0:
            if not self.member_id:
                self.member_id = self.s.learn(f"{self.name}'s id", answer["MemberId"])
            self.epoch = answer["MemberEpoch"]
            if answer.get("Assignment") is not None:
                self.owned = answer["Assignment"]["TopicPartitions"]
        return answer

    def full(self, label: str = "", **more) -> dict:
        """A heartbeat with everything in it."""
        return self.say(label, **{"RackId": self.rack, "RebalanceTimeoutMs": self.rebalance_ms, "SubscribedTopicNames": self.topics,
                                  "SubscribedTopicRegex": self.regex, "ServerAssignor": self.assignor,
                                  "TopicPartitions": self.owned, **more})

    def join(self, label: str = "", **more) -> dict:
        self.epoch, self.owned = 0, []
        return self.full(label or f"{self.name} joins", **more)

    def own(self, label: str = "") -> dict:
        """Tells the coordinator that what was assigned is owned, and no more."""
        return self.say(label or f"{self.name} owns what it was given", TopicPartitions=self.owned)

    def leave(self, label: str = "", epoch: int = -1) -> dict:
        answer = self.s.send("ConsumerGroupHeartbeat", self.version, {"GroupId": self.group, "MemberId": self.member_id,
                             "MemberEpoch": epoch, "InstanceId": self.instance}, on=self.name, label=label or f"{self.name} leaves")
        self.epoch, self.owned = 0, []
        return answer

    def commit(self, offset: int, *, version: int = 9, partition: int = 0, label: str = "", **more) -> dict:
        body = {"GroupId": self.group, "GenerationIdOrMemberEpoch": self.epoch, "MemberId": self.member_id,
                "GroupInstanceId": self.instance, "Topics": [{"Name": self.s.topic(), "Partitions": [
                    {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": ""}]}], **more}
        return self.s.send("OffsetCommit", version, body, on=self.name, label=label or f"{self.name} commits {offset}")
