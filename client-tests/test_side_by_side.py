"""The comparison with other brokers: its clients send and read what they say, and what is no fair figure is refused."""

import dataclasses

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from harness.broker import Broker
from harness.paths import TARGET
from side_by_side import bare, calls, checks, drivers, growth, idle, plan, report, runs, targets
from side_by_side.brokers import FLUXMQ, KAFKA, NULL, Brokers, Peer, parse_peer
from side_by_side.checks import Refused
from side_by_side.kinds import catch_up
from side_by_side.results import Results, compare
from side_by_side.runs import Run
from side_by_side.scenarios import BASE, every

FACTS = {"cores": "2 × something", "memory": "24 GiB", "congestion control": "cubic"}
KAFKA_PEER = Peer(KAFKA, "localhost:1", 1)
SENT = {"records": 100.0, "arrived": 100.0}
READ = {"records": 100.0, "missing": 0.0, "duplicated": 0.0}


def run(peer: str = FLUXMQ, scenario: str = "base", **changes) -> Run:
    return dataclasses.replace(Run(scenario, "java", peer, 1000, 1_000_000, 2.0, 0.5, 1.0, 20_000, 100, 0.0), **changes)


def results(*some: Run, **facts: str) -> Results:
    found = Results(FACTS | facts)
    for one in some:
        found.add(dataclasses.replace(BASE, name=one.scenario), one)
    return found


@pytest.fixture(params=drivers.ALL)
def driver(request, tmp_path):
    driver = drivers.ALL[request.param](tmp_path)
    yield driver
    driver.close()


def test_what_a_client_sends_is_counted_and_read_back(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(Brokers, "_start_kafka", lambda self, topic: KAFKA_PEER)
    with Brokers(tmp_path, TARGET / "release" / "null_broker", []) as brokers:
        for scenario in (BASE, *(s for s in every() if s.name in ("megabatch", "latency-1k"))):
            scenario = dataclasses.replace(scenario, rate=min(scenario.rate, 1) * 4000)
            for peer in (peer for peer in brokers.rivals(scenario) if peer.name in (FLUXMQ, NULL)):
                words = {"bootstrap": peer.bootstrap, "topic": f"sent-{scenario.name}", "partitions": 8}
                if peer.keeps:
                    driver.do("create", words)
                sent = driver.do("produce", words | {"threads": 3, "messages": 4001, "message.size": 200, "rate": scenario.rate,
                                                     "discarded": str(not peer.keeps).lower()}
                                 | {f"producer.{key}": value for key, value in scenario.producer.items()})
                assert sent["records"] == 4001 and sent["seconds"] > 0
                if scenario.rate and driver.name == "java":
                    assert sent["seconds"] > 0.9 and 0 < sent["p50_ms"] <= sent["p9999_ms"] <= sent["max_ms"]
                if peer.keeps:
                    assert sent["arrived"] == 4001
                    read = driver.do("read", words)
                    assert read["records"] == 4001 and read["missing"] == read["duplicated"] == 0
                    driver.do("delete", words)


def test_a_client_says_what_went_wrong_and_goes_on(driver, data_dir):
    with Broker(data_dir) as broker:
        words = {"bootstrap": broker.bootstrap, "topic": "twice", "partitions": 1}
        driver.do("create", words)
        with pytest.raises(drivers.DriverFailed, match="already exists"):
            driver.do("create", words)
        driver.do("produce", words | {"threads": 1, "messages": 1, "message.size": 100})


@pytest.mark.parametrize("sent, read, others, message", [
    (SENT | {"records": 99.0}, READ, 0, "99 records were sent instead of 100"),
    (SENT | {"arrived": 99.0}, READ, 0, "99 of 100 records arrived"),
    (SENT, READ | {"records": 99.0, "missing": 1.0}, 0, "'missing': 1.0"),
    (SENT, READ | {"records": 101.0, "duplicated": 1.0}, 0, "'duplicated': 1.0"),
    (SENT, READ | {"changed": 1.0}, 0, "'changed': 1.0"),
    (SENT, READ, 0.5, "too busy: others used 0.50 of a core"),
])
def test_an_unfair_run_is_refused(sent, read, others, message):
    with pytest.raises(Refused, match=message):
        runs.check(KAFKA_PEER, 100, sent, read, others, runs.congestion_control())


def test_a_fair_run_is_not_and_another_congestion_control_is():
    runs.check(KAFKA_PEER, 100, SENT, READ, 0.1, runs.congestion_control())
    with pytest.raises(Refused, match="the congestion control was other"):
        runs.check(KAFKA_PEER, 100, SENT, READ, 0.1, "other")


def test_a_broker_that_died_is_named():
    with pytest.raises(Refused, match="Kafka died"):
        checks.sample(Peer(KAFKA, "localhost:1", 2**22 + 1))


def test_a_run_whose_client_fails_is_tried_again_and_left_out(monkeypatch):
    def fails(*_words):
        raise drivers.DriverFailed("java: produce: failed")
    monkeypatch.setattr(runs, "one", fails)
    assert runs.attempt(BASE, None, KAFKA_PEER, None) == (None, ["java: produce: failed"] * runs.ATTEMPTS)


def test_rivals_promise_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(Brokers, "_start_kafka", lambda self, topic: Peer(KAFKA, "localhost:1", 1, topic))
    monkeypatch.setattr(Brokers, "_start_null", lambda self, partitions: Peer(NULL, "localhost:2", 2, keeps=False))
    with Brokers(tmp_path, tmp_path, [parse_peer("other=localhost:3,3")]) as brokers:
        found = {scenario.name: {peer.name: peer for peer in brokers.rivals(scenario)} for scenario in every()}
    assert found["base"][FLUXMQ].as_it_is == "log.flush.policy=never" and found["base"][KAFKA].topic == {}
    assert found["base-synced"][FLUXMQ].as_it_is == "log.flush.policy=acks"
    assert found["base-synced"][KAFKA].topic == {"flush.messages": "1"}
    assert set(found["base-synced"]) == {FLUXMQ, KAFKA}, "of others nobody knows what an acknowledgement means"
    assert found["acks-1"][FLUXMQ].as_it_is == "log.flush.policy=acks", "as it comes"


def test_measurements_of_another_load_or_machine_are_not_compared():
    before = results(run(cpu_s=1.0))
    assert compare(results(run(cpu_s=1.5, seconds=1.0)), before) == [("base", "java", FLUXMQ, 1.5, 2.0)]
    with pytest.raises(Refused, match="cores: 4 × something now, 2 × something before"):
        compare(results(run(), cores="4 × something"), before)
    other = results(run())
    other.scenarios["base"]["records"] = 7
    with pytest.raises(Refused, match="base was another load: records"):
        compare(other, before)


def test_a_measurement_of_before_a_scenario_could_say_more_is_compared():
    before = results(run(cpu_s=1.0))
    for key in ("kind", "held_bytes", "groups", "most_rounds"):
        del before.scenarios["base"][key]
    assert compare(results(run(cpu_s=1.5)), before) == [("base", "java", FLUXMQ, 1.5, 1.0)]


def test_figures_are_kept(tmp_path):
    kept = results(run(latency_ms={"p99": 1.5}), run(KAFKA, cpu_s=4.0))
    kept.ratios["fetch"] = (1.2, 1.1)
    kept.calls = [calls.Calls("base", FLUXMQ, 98.0)]
    kept.save(tmp_path / "kept.json")
    found = Results.load(tmp_path / "kept.json")
    assert (found.runs, found.ratios, found.facts, found.scenarios, found.calls) == (
        kept.runs, kept.ratios, kept.facts, kept.scenarios, kept.calls)


def test_the_report_says_what_is_reached_missed_and_not_measured():
    found = results(run(cpu_s=0.5), run(KAFKA, cpu_s=4.0), run(scenario="base-synced", cpu_s=3.0), run(KAFKA, "base-synced", cpu_s=4.0))
    found.refusals.append("base, java: the machine was too busy")
    text = report.text(found, "scripts/bench.sh base", {"cpu.svg": "CPU"})
    assert "| 16 KB batches: CPU of the broker | ≤ 0.25 × Kafka | 0.12 | reached |" in text
    assert "| 16 KB batches, synced: CPU of the broker | ≤ 0.25 × Kafka | 0.75 | MISSED |" in text
    assert "| 1 MB batches: CPU of the broker | ≤ 0.33 × Kafka | not measured | - |" in text
    assert "- base, java: the machine was too busy" in text and "![CPU](cpu.svg)" in text


def test_a_producer_of_transactions_is_read_back_without_their_markers(tmp_path, monkeypatch):
    monkeypatch.setattr(Brokers, "_start_kafka", lambda self, topic: KAFKA_PEER)
    driver = drivers.java(tmp_path)
    scenario = next(scenario for scenario in every() if scenario.transaction)
    with Brokers(tmp_path, TARGET / "release" / "null_broker", []) as brokers:
        peers = brokers.rivals(scenario)
        assert [peer.name for peer in peers] == [FLUXMQ, KAFKA], "what keeps nothing ends no transaction"
        words = {"bootstrap": peers[0].bootstrap, "topic": "in-transactions", "partitions": 8}
        driver.do("create", words)
        sent = driver.do("produce", words | {"threads": 3, "messages": 1000, "message.size": 200, "transaction.records": 100})
        assert sent["arrived"] > 1000
        runs.check(peers[0], 1000, sent, driver.do("read", words), 0.0, runs.congestion_control(), with_markers=True)
        with pytest.raises(Refused, match="records arrived"):
            runs.check(peers[0], 1000, sent, {}, 0.0, runs.congestion_control())
    driver.close()


def test_idle_connections_are_counted_by_what_the_broker_grew(tmp_path):
    with Broker(tmp_path / "broker").start() as broker:
        few, found = idle.one(Peer(FLUXMQ, broker.bootstrap, broker.pid), (100, 300))
    assert few.connections == 100 and found.connections == 300 and 0 < found.kib_each < 30 and found.rss_anon_kib > 300 * found.kib_each
    rows = {row.path: row for row in targets.rows(results(run()))}
    assert rows["idle connections"].good is None
    measured = results(run())
    measured.idle = [dataclasses.replace(found, connections=10_000, kib_each=4.1, rss_anon_kib=50 * 1024)]
    rows = {row.path: row for row in targets.rows(measured)}
    assert not rows["idle connection"].good and rows["10,000 idle connections, RssAnon in all"].good


def test_idle_connections_are_named_by_their_count():
    assert idle.counts([]) == idle.counts(["base", "idle"]) == (1_000, 10_000)
    assert idle.counts(["idle-10000"]) == (10_000,) and idle.counts(["base"]) == ()


@pytest.fixture
def java(tmp_path):
    driver = drivers.java(tmp_path)
    yield driver
    driver.close()


def scenario(name: str, **changes):
    return dataclasses.replace(next(scenario for scenario in every() if scenario.name == name), **changes)


def words(broker: Broker, topic: str, **more: object) -> dict[str, object]:
    return {"bootstrap": broker.bootstrap, "topic": topic, "partitions": 3, "threads": 2, "messages": 2001, "message.size": 200, "rate": 4000,
            "groups": 2} | more


def again(broker: Broker, topic: str) -> None:
    """Has some record of the topic twice."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "once", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    message = consumer.poll(20)
    consumer.close()
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, message.value(), partition=message.partition())
    assert producer.flush(20) == 0


def test_groups_read_along_and_what_one_misses_or_has_twice_is_refused(java, data_dir):
    with Broker(data_dir) as broker:
        peer = Peer(FLUXMQ, broker.bootstrap, broker.pid)

        def follow(topic: str, more: int = 0, then=lambda *_: None) -> tuple[dict[str, float], dict[str, float]]:
            java.do("create", words(broker, topic))
            java.do("follow", words(broker, topic, messages=2001 + more))
            sent = java.do("produce", words(broker, topic))
            then(broker, topic)
            return sent, java.do("followed", {"topic": topic})

        sent, read = follow("along")
        assert read["records"] == 2 * 2001 and 0 < read["p50_ms"] <= read["p99_ms"] <= read["max_ms"] < 60_000
        runs.check(peer, 2001, sent, read, 0.0, runs.congestion_control(), groups=2)
        with pytest.raises(Refused, match="2 of 3 groups read"):
            runs.check(peer, 2001, sent, read, 0.0, runs.congestion_control(), groups=3)
        _, short = follow("short", more=1)
        with pytest.raises(Refused, match="4002 of 4004 records read back: {'missing': 2.0}"):
            checks.check_read(peer, 2002, short, 2)
        sent, twice = follow("twice", then=again)
        with pytest.raises(Refused, match="4004 of 4002 records read back: {'duplicated': 2.0"):
            runs.check(peer, 2001, sent, twice, 0.0, runs.congestion_control(), groups=2)


@pytest.mark.parametrize("name", ["tail-10", "log-size-2gb", "catch-up"])
def test_a_run_of_each_kind_has_its_figures(java, tmp_path, monkeypatch, name):
    monkeypatch.setattr(Brokers, "_start_kafka", lambda self, topic: KAFKA_PEER)
    monkeypatch.setattr(runs, "await_quiet", lambda *_: None)
    monkeypatch.setattr(checks, "OTHERS_WHILE_RUNNING", 9)
    monkeypatch.setattr(catch_up, "LEAST_FROM_DISK", 0.01)  # a page that somebody looks at stays, of a log that is so short
    small = scenario(name, records=20_000, connections=2, value_bytes=500, groups=min(2, scenario(name).groups),
                     held_bytes=scenario(name).held_bytes // 100)
    with Brokers(tmp_path, TARGET / "release" / "null_broker", []) as brokers:
        peers = brokers.rivals(small)
        assert [peer.name for peer in peers] == [FLUXMQ, KAFKA]
        found = runs.one(small, java, peers[0], brokers)
        assert found.cpu_s > 0 and (found.records == 20_000 or small.from_disk)
        assert bool(found.delivered_ms) == (small.groups > 0) and bool(found.read_bytes) == small.from_disk
        if small.from_disk:
            assert found.read_mb_per_s > 1 and found.latency_ms["p99"] > 0
            monkeypatch.setattr(catch_up, "forget", lambda _: None)
            with pytest.raises(Refused, match="MB came from the disk, of 20"):
                runs.one(small, java, peers[0], brokers)
        sections = report.text(results_of(small, found), "bench.sh", {})
        assert {"tail-10": "## Tail", "log-size-2gb": "page cache GB/GB", "catch-up": "## Catching up"}[name] in sections


def results_of(scenario, one: Run) -> Results:
    found = Results(FACTS)
    found.add(scenario, one)
    return found


def test_all_of_it_ends_within_the_hour():
    steps = plan.steps(list(drivers.ALL), every(), 3, asked=False)
    assert plan.minutes(steps, len(idle.COUNTS), bare=True) <= 55
    rounds = {(step.client, step.scenario.name): step.rounds for step in steps}
    assert rounds["java", "base"] == rounds["java", "megabatch"] == rounds["java", "latency-1k-synced"] == 3
    assert rounds["java", "lz4"] == 2 and rounds["java", "lz4-synced"] == rounds["java", "partitions-10000"] == 1
    assert {scenario.kind for client, scenario in ((step.client, step.scenario) for step in steps) if client != "java"} == {"load"}
    assert plan.takes_part(scenario("lz4"), NULL, 0) and not plan.takes_part(scenario("lz4"), NULL, 1) and plan.takes_part(BASE, NULL, 1)


def test_system_calls_are_counted_where_that_is_allowed(java, data_dir):
    assert calls.parse("4711,,raw_syscalls:sys_enter,2000,100.00,,\n") == 4711
    assert calls.parse("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n") is calls.parse("Access to performance monitoring") is None
    with Broker(data_dir) as broker:
        found = calls.one(dataclasses.replace(BASE, records=10_000, connections=2), java, Peer(FLUXMQ, broker.bootstrap, broker.pid))
    assert found.per_1000_records is None or 1 < found.per_1000_records < 100_000
    kept = results(run())
    kept.calls = [found, calls.Calls("base", KAFKA, None)]
    assert "| base | Kafka | - |" in report.text(kept, "bench.sh", {})


def test_growth_is_the_last_of_a_line_by_its_first():
    found = results(run(scenario="partitions-1"), run(scenario="partitions-1000", cpu_s=1.0), run(KAFKA, "partitions-1"))
    assert "| partitions | FluxMQ | partitions-1 500.00, partitions-1000 1000.00 | 2.00 |" in report.text(found, "bench.sh", {})
    assert [(line.factor, line.peer) for line in growth.lines(found)] == [("partitions", FLUXMQ)], "a point alone is no line"
    of_logs = Results(FACTS)
    for name, cpu_s in (("log-size-0gb", 1.0), ("log-size-2gb", 1.5), ("log-size-4gb", 3.0)):
        of_logs.add(scenario(name), run(scenario=name, cpu_s=cpu_s))
    line, = growth.lines(of_logs)
    assert (line.points, line.last_by_first) == ([(0, 1000.0), (2, 1500.0), (4, 3000.0)], 3.0)


def test_what_the_bare_loops_print_is_read():
    ratios = bare.broker_ratios([
        "produce1  broker / bare loop: median 1.40, least 1.30", "produce1  broker / bare map: median 1.02, least 1.01",
        "roundtrip broker    us/request 9.00 (least 8.00)  p50 41.0 (least 40.0) us  p99 90.5 (least 80.0) us",
        "roundtrip bare loop us/request 4.00 (least 3.00)  p50 31.0 (least 30.0) us  p99 60.0 (least 50.0) us",
        "roundtrip broker / bare loop: median 1.32, least 1.33", "small     broker    us/request 16.40 (least 15.86)"])
    assert ratios == {"produce1": (1.4, 1.3), "produce1, bare map": (1.02, 1.01), "roundtrip": (1.32, 1.33),
                      "roundtrip p99 of broker": (90.5, 80.0), "roundtrip p99 of bare loop": (60.0, 50.0)}
    assert bare.append_tail_ratios(["   15196 log / best bare writer, p99.9: median 8.72, least 8.67"]) == {
        "append tail, 15196, best bare writer": (8.72, 8.67)}
    assert bare.group_commit_ratios(["bare loop   commits/s 1.39  cpu 0.52", "overwriting commits/s 1.07  cpu 0.62"]) == {
        "group commit": (1.39, 1.39), "group commit, overwriting": (1.07, 1.07)}
