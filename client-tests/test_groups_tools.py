"""Kafka's own tools for groups against Kafka and against FluxMQ: what they print is the same, apart from ids and times.

Each scenario runs against both servers; what it asserts has to hold on both, too.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from confluent_kafka import Producer

from conftest import GROUP_SETTINGS
from differential.classic_sequences import Classic, assignment, settle, stable
from differential.groups import Consumer
from differential.offset_sequences import commit
from differential.schema import Schemas
from differential.session import Session
from harness.broker import Broker
from harness.kafka import Kafka, ToolShell, jar
from harness.members import create_topic
from test_differential import await_coordinator

pytestmark = pytest.mark.timeout(240)
SCENARIOS = []
BASE_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
LONG = {"group.min.session.timeout.ms": "500", "group.consumer.session.timeout.ms": "60000", "group.consumer.max.session.timeout.ms": "60000",
        "offsets.topic.num.partitions": "1"}


def scenario(function):
    SCENARIOS.append(function)
    return function


class Stage:
    """One server, the tools, and a transcript of what they printed."""

    def __init__(self, server, schemas: Schemas, number: int, tmp_path):
        self.server, self.tmp_path, self.shell = server, tmp_path, None
        self.session = Session(schemas, server.bootstrap.split(":")[0], server.port, prefix=f"s{number}")
        self.printed: list[tuple[str, str]] = []

    def name(self, text: str) -> str:
        return self.session.topic(text)

    def topic(self, name: str = "topic", partitions: int = 3, records: int = 30) -> str:
        """A topic with one record a second from the beginning of 2024 on, dealt to its partitions in turns."""
        full = self.name(name)
        create_topic(self.server.bootstrap, full, partitions, **{"retention.ms": "-1"})
        producer = Producer({"bootstrap.servers": self.server.bootstrap})
        for i in range(records):
            producer.produce(full, b"value %d" % i, partition=i % partitions, timestamp=BASE_MS + i * 1000)
        assert producer.flush(20) == 0
        return full

    def run(self, tool: str, *words: object, keep: str | None = None, sort: bool = False) -> str:
        """Runs a tool. `keep`: only the lines that match, without those of stack traces; `sort`: they come in any order."""
        done = self.shell.run(tool, "--bootstrap-server", self.server.bootstrap, *words)
        self.note(f"{tool} {' '.join(map(str, words))}", f"{done.out}\n{done.err}", keep, sort, done.status)
        return done.out

    def note(self, command: str, text: str, keep: str | None = None, sort: bool = False, status: int = 0) -> None:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\tat ") and (keep is None or re.search(keep, line))]
        lines = [self.masked(line) for line in lines]
        self.printed.append((command, "\n".join([f"exit {status}", *(sorted(lines) if sort else lines)])))

    def groups(self, *words: object, **how) -> str:
        return self.run("kafka-consumer-groups", *words, **how)

    def masked(self, text: str) -> str:
        """Without ids, ports and the padding that goes by their length."""
        for word, name in self.session.names.items():
            text = text.replace(str(word), name)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", text)
        text = re.sub(r"\b1[789]\d{11}\b", "<now>", text)
        text = re.sub(r'(topicId"?:")[A-Za-z0-9_-]{22}"', r'\1<id>"', text)
        text = re.sub(r'("metadataHash":)-?[1-9]\d*', r"\1<hash>", text)  # of topic ids, among others
        text = re.sub(r'(\],"version":)\d+(,"timestamp")', r"\1<metadata version>\2", text)
        text = text.replace(str(self.server.port), "<port>").replace(str(self.tmp_path), "<tmp>").replace(str(self.server.data_dir), "<data>")
        return re.sub(r"-{5,}", "-----", re.sub(r"[ \t]+", " ", text)).replace("127.0.0.1:<port>", "localhost:<port>")


# Listing and describing.

def one_of_each(stage: Stage, alone: bool = False) -> None:
    """Groups of every kind; the classic one has two members unless its member is `alone`."""
    s = stage.session
    topic = stage.topic()
    # They never beat: their sessions have to outlast the scenario on a busy machine, too.
    one = Classic(s, "one", group="live", client_id="alpha", session_ms=180_000)
    two = Classic(s, "two", group="live", client_id="beta", instance="static", session_ms=180_000)
    stable(s, one)
    if not alone:
        settle(s, one, two, give={one: assignment({topic: [0, 1]}), two: assignment({topic: [2]})})
        two.commit(10, partition=2)
    one.commit(4, partition=0)
    modern = Consumer(s, "modern-1", group="modern", client_id="gamma", topics=[topic])
    modern.join()
    modern.own()
    modern.commit(7, partition=1)
    commit(s, "simple", {topic: [(0, 3), (1, 10)]}, group="simple")
    empty = Classic(s, "three", group="empty")
    stable(s, empty)
    empty.commit(1)
    empty.leave()


@scenario
def groups_are_listed(stage: Stage) -> None:
    one_of_each(stage)
    mine = rf"^{re.escape(stage.name(''))}|GROUP|Error"
    for words in ([], ["--state"], ["--state", "Stable"], ["--state", "stable,EMPTY"], ["--state", "nonsense"], ["--type"], ["--type", "classic"],
                  ["--type", "Consumer"], ["--type", "share"], ["--type", "nonsense"], ["--type", "classic", "--state", "Empty"]):
        stage.groups("--list", *words, keep=mine, sort=True)
    for words in ([], ["--consumer"], ["--group-type", "classic"], ["--group-type", "consumer"], ["--protocol", "consumer"], ["--protocol", "connect"],
                  ["--share"], ["--group-type", "consumer", "--protocol", "consumer"]):
        stage.run("kafka-groups", "--list", *words, keep=mine, sort=True)


@scenario
def groups_are_described(stage: Stage) -> None:
    one_of_each(stage)
    for group in ("live", "modern", "simple", "empty", "nowhere"):
        at = ("--describe", "--group", stage.name(group))
        for words in ([], ["--offsets"], ["--offsets", "--verbose"], ["--members"], ["--members", "--verbose"], ["--state"], ["--state", "--verbose"]):
            stage.groups(*at, *words, sort=True)
    out = stage.groups("--describe", "--group", stage.name("live"))
    assert re.search(rf"{stage.name('live')}\s+{stage.name('topic')}\s+0\s+4\s+10\s+6\s+alpha-", out), out
    stage.groups("--describe", "--group", stage.name("live"), "--group", stage.name("simple"), "--state")


# Resetting offsets.

@scenario
def offsets_are_reset(stage: Stage) -> None:
    topic = stage.topic()
    group = stage.name("group")
    commit(stage.session, "some", {topic: [(0, 3), (1, 5)]}, group="group")
    plan = stage.tmp_path / "offsets.csv"
    plan.write_text(f"{topic},0,2\n{topic},2,6\n")
    several = stage.tmp_path / "several.csv"
    several.write_text(f'"{group}","{topic}",1,1\n"{stage.name("second")}","{topic}",0,4\n')
    at = ("--reset-offsets", "--group", group)
    for where in (["--to-earliest"], ["--to-latest"], ["--to-offset", 4], ["--to-offset", 99], ["--shift-by", 2], ["--shift-by", -100],
                  ["--to-datetime", "2024-01-01T00:00:10.500"], ["--to-datetime", "2030-01-01T00:00:00.000"], ["--by-duration", "P1D"],
                  ["--by-duration", "P2000D"], ["--from-file", plan], ["--to-current"]):
        topics = ["--topic", topic]
        stage.groups(*at, *topics, *where, "--dry-run", sort=True)
        stage.groups(*at, *topics, *where, "--dry-run", "--export", sort=True)
        stage.groups(*at, *topics, *where, "--execute", sort=True)
        stage.groups("--describe", "--group", group, sort=True)
    stage.groups(*at, "--topic", f"{topic}:0,2", "--to-earliest", "--execute", sort=True)
    stage.groups(*at, "--all-topics", "--to-latest", "--execute", sort=True)
    stage.groups(*at, "--topic", topic, "--to-earliest", sort=True)  # neither dry nor not
    stage.groups(*at, "--topic", stage.name("nowhere"), "--to-earliest", "--execute", sort=True)
    stage.groups("--reset-offsets", "--group", group, "--group", stage.name("second"), "--from-file", several, "--execute", sort=True)
    stage.groups("--reset-offsets", "--group", stage.name("new"), "--topic", topic, "--to-offset", 1, "--execute", sort=True)
    out = stage.groups("--describe", "--group", stage.name("new"), sort=True)
    assert len(re.findall(rf"{topic}\s+\d\s+1\s+10\s+9", out)) == 3, out


@scenario
def offsets_under_members_are_not_reset(stage: Stage) -> None:
    one_of_each(stage)
    for group in ("live", "modern"):
        stage.groups("--reset-offsets", "--group", stage.name(group), "--topic", stage.name("topic"), "--to-earliest", "--execute", sort=True)


# Deleting.

@scenario
def groups_and_offsets_are_deleted(stage: Stage) -> None:
    one_of_each(stage)
    topic, other = stage.name("topic"), stage.topic("other", 1)
    commit(stage.session, "more", {other: [(0, 2)]}, group="simple")
    for group in ("simple", "live", "modern", "nowhere"):
        stage.groups("--delete-offsets", "--group", stage.name(group), "--topic", topic, sort=True)
        stage.groups("--delete-offsets", "--group", stage.name(group), "--topic", f"{topic}:0", sort=True)
    stage.groups("--delete-offsets", "--group", stage.name("simple"), "--topic", stage.name("nowhere"), sort=True)
    stage.groups("--describe", "--group", stage.name("simple"), sort=True)
    for group in ("live", "modern", "nowhere", "simple", "simple"):
        stage.groups("--delete", "--group", stage.name(group), sort=True)
    stage.groups("--delete", "--group", stage.name("empty"), "--group", stage.name("live"), sort=True)
    stage.groups("--list", "--state", keep=rf"^{re.escape(stage.name(''))}", sort=True)


# Consuming.

@scenario
def consoles_consume(stage: Stage) -> None:
    for protocol in ("classic", "consumer"):
        topic = stage.topic(f"to-{protocol}")
        at = ("--topic", topic, "--consumer-property", f"group.protocol={protocol}", "--timeout-ms", 20_000, "--group", stage.name(protocol))
        out = stage.run("kafka-console-consumer", *at, "--from-beginning", "--max-messages", 30, sort=True, keep="^value|Processed|rror")
        assert [line for line in sorted(out.splitlines()) if line.startswith("value")] == sorted(f"value {i}" for i in range(30)), out
        stage.groups("--describe", "--group", stage.name(protocol), sort=True)
        producer = Producer({"bootstrap.servers": stage.server.bootstrap})
        producer.produce(topic, f"one more for {protocol}", partition=0)
        assert producer.flush(10) == 0
        if protocol == "classic":
            assert "one more for classic\n" in stage.run("kafka-console-consumer", *at, "--max-messages", 1)
        stage.groups("--describe", "--group", stage.name(protocol), "--state")


@scenario
def consumers_are_measured(stage: Stage) -> None:
    topic = stage.topic(records=3000)
    done = stage.shell.run("kafka-consumer-perf-test", "--bootstrap-server", stage.server.bootstrap, "--topic", topic, "--num-records", 3000, "--group", stage.name("perf"),
                           "--timeout", 20_000)
    header, figures = [line.split(", ") for line in done.out.strip().splitlines()[-2:]]
    stage.printed.append(("kafka-consumer-perf-test", f"exit {done.status} {header} {[figures[2], figures[4]]}"))
    assert figures[4] == "3000", done
    stage.groups("--describe", "--group", stage.name("perf"), sort=True)


# Kafka's coordinator learns of a new topic a moment later: a first member may be told of nothing before.
VERIFIED = r'"name":"(startup_complete|record_data)"|"partitions_assigned","partitions":\[\{|rror'


@scenario
def consumers_verify(stage: Stage) -> None:
    for protocol in ("classic", "consumer"):
        topic = stage.topic(protocol)
        stage.run("kafka-verifiable-consumer", "--topic", topic, "--group-id", stage.name(protocol), "--group-protocol", protocol,
                  "--max-messages", 30, "--verbose", "--reset-policy", "earliest", "--enable-autocommit",
                  *(["--session-timeout", 10_000] if protocol == "classic" else []), keep=VERIFIED, sort=True)


@scenario
def features_are_described(stage: Stage) -> None:
    done = stage.shell.run("kafka-features", "--bootstrap-server", stage.server.bootstrap, "describe")
    (line,) = [line for line in done.out.splitlines() if "group.version" in line]
    stage.printed.append(("kafka-features describe", re.sub(r"Epoch: \d+", "Epoch: <n>", line)))


# Reading the log of the coordinator.

@scenario
def the_coordinators_records_are_read(stage: Stage) -> None:
    one_of_each(stage, alone=True)  # Kafka writes the members of a group in the order of its hash map
    s = stage.session
    s.send("DeleteGroups", 2, {"GroupsNames": [stage.name("empty")]})
    s.send("OffsetDelete", 0, {"GroupId": stage.name("simple"), "Topics": [{"Name": stage.name("topic"), "Partitions": [{"PartitionIndex": 0}]}]})
    static = Consumer(s, "modern-2", group="pattern", client_id="delta", regex=stage.name("t.*"), topics=None, instance="static", rack="r")
    static.join()
    stable(s, Classic(s, "six", group="mixed", client_id="a"))
    Consumer(s, "modern-3", group="mixed", assignor="range", topics=[stage.name("topic")]).join()
    time.sleep(0.5)  # Kafka resolves the regular expression beside the heartbeats, and bumps the epochs of its group later
    mine = rf'"{re.escape(stage.name(""))}(?!pattern)|"type":"(5|16)".*"{re.escape(stage.name("pattern"))}'
    for formatter in ("OffsetsMessageFormatter", "GroupMetadataMessageFormatter"):
        done = stage.shell.run("kafka-console-consumer", "--bootstrap-server", stage.server.bootstrap, "--topic", "__consumer_offsets", "--from-beginning",
                               "--timeout-ms", 3000, "--formatter", f"org.apache.kafka.tools.consumer.{formatter}")
        stage.note(formatter, done.out.replace('}{"key"', '}\n{"key"'), mine, sort=True)
        assert stage.name("live") in done.out
    (log,) = (stage.server.data_dir / "__consumer_offsets-0").glob("*.log")
    done = stage.shell.run("kafka-dump-log", "--offsets-decoder", "--print-data-log", "--files", log)
    records = [line[line.index("key:"):] for line in done.out.splitlines() if "key:" in line and re.search(mine, line)]
    stage.note("kafka-dump-log", "\n".join(records), sort=True)
    assert len(records) > 20, done


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory):
    """What every scenario printed, on Kafka and on FluxMQ: {scenario: (Kafka's, FluxMQ's, error or none)}."""
    schemas = Schemas(jar("kafka-clients"))
    settings = GROUP_SETTINGS | LONG
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), settings)
    fluxmq = Broker(tmp_path_factory.mktemp("fluxmq") / "data", overrides=settings)

    def play(server, tmp_path):
        shell, results = ToolShell(), {}
        try:
            with server.start():
                await_coordinator(schemas, server.bootstrap.split(":")[0], server.port)
                for number, act in zip(count(), SCENARIOS):
                    stage = Stage(server, schemas, number, tmp_path)
                    stage.shell = shell
                    try:
                        act(stage)
                        error = None
                    except Exception as broke:
                        error = broke
                    finally:
                        stage.session.close_all()
                    results[act.__name__] = (stage.printed, error)
        finally:
            shell.close()
        return results

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(play, server, tmp_path_factory.mktemp("files")) for server in (kafka, fluxmq)]
        expected, found = (future.result() for future in both)
    return {name: (expected[name], found[name]) for name in expected}


@pytest.mark.parametrize("name", [s.__name__ for s in SCENARIOS])
def test_the_tools_print_the_same(transcripts, name):
    (kafka, kafka_error), (fluxmq, error) = transcripts[name]
    assert kafka_error is None, f"on Kafka: {kafka_error!r}\n" + "\n".join(f"$ {c}\n{t}" for c, t in kafka[-2:])
    for (command, expected), (_, printed) in zip(kafka, fluxmq, strict=False):
        assert printed == expected, command
    assert error is None, f"{error!r}\n" + "\n".join(f"$ {c}\n{t}" for c, t in fluxmq[-2:])
    assert len(kafka) == len(fluxmq)
