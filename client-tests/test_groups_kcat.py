"""kcat -G: a member of a group at the shell."""

import subprocess
import time

import pytest

from harness.members import create_topic, eventually, produce

pytestmark = pytest.mark.timeout(60)


class Kcat:
    """`kcat -G` in the background; what it prints is read line by line."""

    def __init__(self, bootstrap: str, group: str, topic: str, *words: str):
        self.process = subprocess.Popen(["kcat", "-b", bootstrap, "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=2000",
                                         "-X", "heartbeat.interval.ms=200", "-u", *words, "-f", "%p %o %s\\n", "-G", group, topic],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def read(self, count: int) -> list[str]:
        return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.errors = self.process.stderr.read()


def test_two_kcats_share_a_topic(groups, topic):
    create_topic(groups.bootstrap, topic, 2)
    produce(groups.bootstrap, topic, [b"%d" % i for i in range(10)], 2)
    one = Kcat(groups.bootstrap, topic, topic)
    assert sorted(one.read(10)) == sorted(f"{i % 2} {i // 2} {i}" for i in range(10))
    two = Kcat(groups.bootstrap, topic, topic)
    line = ""
    while "assigned" not in line:
        line = two.process.stderr.readline()
    time.sleep(0.5)
    produce(groups.bootstrap, topic, [b"%d" % i for i in range(10, 20)], 2)
    shared = one.read(5) + two.read(5)
    assert sorted(shared) == sorted(f"{i % 2} {i // 2} {i}" for i in range(10, 20))
    two.stop()
    one.stop()
    assert "rebalanced" in one.errors


def test_kcat_goes_on_where_it_stopped(groups, topic):
    create_topic(groups.bootstrap, topic)
    produce(groups.bootstrap, topic, [b"%d" % i for i in range(10)])
    one = Kcat(groups.bootstrap, topic, topic)
    assert one.read(10) == [f"0 {i} {i}" for i in range(10)]
    one.stop()  # commits what it printed
    produce(groups.bootstrap, topic, [b"%d" % i for i in range(10, 15)])
    two = Kcat(groups.bootstrap, topic, topic)
    assert two.read(5) == [f"0 {i} {i}" for i in range(10, 15)]
    two.stop()
    eventually("its end", lambda: two.process.poll() == 0)
