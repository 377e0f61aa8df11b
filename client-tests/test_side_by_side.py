"""The comparison with other brokers: its clients send and read what they say, and what is no fair figure is refused."""

import dataclasses

import pytest

from harness.broker import Broker
from harness.paths import TARGET
from side_by_side import bare, drivers, idle, report, runs, targets
from side_by_side.brokers import FLUXMQ, KAFKA, NULL, Brokers, Peer, parse_peer
from side_by_side.results import Results, compare
from side_by_side.runs import Refused, Run
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
        runs._sample(Peer(KAFKA, "localhost:1", 2**22 + 1))


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


def test_figures_are_kept(tmp_path):
    kept = results(run(latency_ms={"p99": 1.5}), run(KAFKA, cpu_s=4.0))
    kept.ratios["fetch"] = (1.2, 1.1)
    kept.save(tmp_path / "kept.json")
    found = Results.load(tmp_path / "kept.json")
    assert (found.runs, found.ratios, found.facts, found.scenarios) == (kept.runs, kept.ratios, kept.facts, kept.scenarios)


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
        found = idle.one(Peer(FLUXMQ, broker.bootstrap, broker.pid), 300)
    assert found.connections == 300 and 0 < found.kib_each < 30 and found.rss_anon_kib > 300 * found.kib_each
    rows = {row.path: row for row in targets.rows(results(run()))}
    assert rows["idle connections"].good is None
    measured = results(run())
    measured.idle = [dataclasses.replace(found, connections=10_000, kib_each=4.1, rss_anon_kib=50 * 1024)]
    rows = {row.path: row for row in targets.rows(measured)}
    assert not rows["idle connection"].good and rows["10,000 idle connections, RssAnon in all"].good


def test_growth_is_the_last_of_a_line_by_its_first():
    text = report.text(results(run(scenario="partitions-1"), run(scenario="partitions-1000", cpu_s=1.0)), "bench.sh", {})
    assert "| partitions | FluxMQ | partitions-1 500.00, partitions-1000 1000.00 | 2.00 |" in text


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
