"""scripts/run-load-test.sh: it says what was reached and what arrived, and fails where something didn't."""

import re
import subprocess

import pytest
from confluent_kafka import Consumer, Producer

from harness.broker import Broker
from harness.java import classpath
from harness.members import create_topic
from harness.paths import ROOT, SCRIPTS
from harness.transactions import QUIET

SMALL = {"producers": 2, "consumers": 3, "message-size": 200, "target-rate": 2000, "duration": 3}


def load_test(*more: str, **changed) -> subprocess.CompletedProcess:
    settings = SMALL | {name.replace("_", "-"): value for name, value in changed.items()}
    words = [word for name, value in settings.items() if value is not None for word in (f"--{name}", str(value))]
    return subprocess.run([SCRIPTS / "run-load-test.sh", *words, *more], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL)


def rows(output: str) -> dict[str, list[float]]:
    """The tables: name -> figures."""
    found = re.findall(r"^(\S[^\d\n]*?(?: \(.*?\))?) {2,}([\d.,]+(?: +[\d.,]+)*)$", output, re.M)
    return {name: [float(figure.replace(",", "")) for figure in figures.split()] for name, figures in found}


def test_a_load_is_sent_read_and_accounted_for(data_dir):
    with Broker(data_dir) as broker:
        run = load_test(bootstrap=broker.bootstrap)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "every acknowledged record arrived once, unchanged and in order" in run.stdout
        assert len(re.findall(r"^ +\d+ s  sent .*read .*p99", run.stdout, re.M)) >= 4
        rate = re.search(r"^acknowledged +2,000 +([\d,]+) ", run.stdout, re.M)
        assert 1900 < int(rate[1].replace(",", "")) <= 2000
        table = rows(run.stdout)
        assert table["due"] == table["read"] == [8000]
        for nothing in ("not sent in time", "refused", "missing", "duplicated", "changed", "out of order"):
            assert table[nothing] == [0], nothing
        p50, p99, p999, p9999, most = table["read (end to end)"]
        assert 0 < p50 <= p99 <= p999 <= p9999 <= most
        broker.stop()


def test_a_topic_that_is_there_keeps_what_it_has(broker, topic):
    create_topic(broker.bootstrap, topic, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap, **QUIET})
    producer.produce(topic, b"from before")
    assert producer.flush(10) == 0
    run = load_test(bootstrap=broker.bootstrap, topic=topic, consumers=1, acks=1, duration=1, target_rate=500)
    assert run.returncode == 0, run.stdout + run.stderr
    assert rows(run.stdout)["read"] == [1000]
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "auto.offset.reset": "earliest", **QUIET})
    consumer.subscribe([topic])
    values = [message.value() for message in consumer.consume(1001, timeout=15)]
    consumer.close()
    assert len(values) == 1001 and b"from before" in values


def test_a_load_fails_where_the_topic_holds_something_else(broker, topic):
    """Another producer writes into it meanwhile: what arrives is not what was sent."""
    create_topic(broker.bootstrap, topic, 2)
    words = {"bootstrap": broker.bootstrap, "topic": topic, "partitions": 2, "acks": "all", **SMALL}
    program = subprocess.Popen(["java", "-cp", classpath(), "com.fluxmq.tests.LoadTest", *(f"{k}={v}" for k, v in words.items())],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in program.stdout:
        if re.match(r" +2 s ", line):
            break
    producer = Producer({"bootstrap.servers": broker.bootstrap, **QUIET})
    producer.produce(topic, b"a foreign record")
    assert producer.flush(10) == 0
    rest = program.stdout.read()
    assert program.wait(30) == 1, rest
    assert rows(rest)["changed"] == [1]
    assert re.search(r"FAILED: .*partition \d offset \d+ is damaged", rest)


def test_it_starts_a_broker_of_its_own(tmp_path):
    run = load_test(duration=1)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every acknowledged record arrived once" in run.stdout


def test_clients_without_memory_are_no_verdict_on_the_broker(broker, monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx48m")
    run = load_test(bootstrap=broker.bootstrap, message_size=10_000_000, target_rate=20, duration=1)
    assert run.returncode == 2, run.stdout + run.stderr
    assert "the clients had too little memory" in run.stderr
    assert "arrived" not in run.stdout


@pytest.mark.parametrize("changed, more, says", [
    ({"producers": None}, [], "--producers is missing: say how many"),
    ({"message_size": 23}, [], "--message-size 23: a number from 24"),
    ({"target_rate": "fast"}, [], "--target-rate fast: a number"),
    ({"acks": 2}, [], "--acks 2: all, 1 or 0"),
    ({"bootstrap": "localhost"}, [], "--bootstrap localhost: HOST:PORT"),
    ({}, ["--duration"], "--duration needs a value"),
    ({}, ["--fast", "1"], "no option --fast"),
])
def test_wrong_arguments_are_explained(changed, more, says):
    run = load_test(*more, **changed)
    assert run.returncode == 2
    assert says in run.stderr and "--target-rate RECORDS_PER_S" in run.stderr


@pytest.mark.parametrize("script", ["run-load-test.sh", "profile-cpu.sh", "profile-memory.sh"])
def test_scripts_are_scripts(script):
    subprocess.run(["bash", "-n", SCRIPTS / script], check=True, cwd=ROOT)
