"""Two groups of ten, one on the Java client and one on librdkafka, read what is produced at a steady rate, while members
leave, are killed and join, and the broker is killed and started again. In the end every acknowledged record was delivered
to each group at least once, and nothing again that was committed before. `scripts/soak.sh groups` runs it.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import ConsumerGroupState, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import Broker
from harness.group_account import SETTLE_US, GroupAccount
from harness.paths import ROOT

MEMBERS = 10
PARTITIONS = 24
COMMIT_MS = 500
CATCH_UP_S = 120
BROKER_SETTINGS = {"group.min.session.timeout.ms": "3000", "group.initial.rebalance.delay.ms": "500",
                   "group.consumer.min.session.timeout.ms": "3000", "group.consumer.session.timeout.ms": "10000",
                   "group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "2000"}


def now_us() -> int:
    return time.time_ns() // 1000


class SteadyProducer:
    """Writes so many records a second, to the partitions in turn, and keeps what was acknowledged by partition."""

    def __init__(self, bootstrap: str, topic: str, per_second: int):
        self.topic, self.per_second = topic, per_second
        self.acknowledged: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.refused: list[str] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
                                   "message.timeout.ms": 180_000, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
                                   "log_level": 0, "queue.buffering.max.messages": 1_000_000})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        started, sent = time.monotonic(), 0
        while not self._stopping.is_set():
            while sent < (time.monotonic() - started) * self.per_second:
                self._producer.produce(self.topic, b"record %d" % sent, partition=sent % PARTITIONS, on_delivery=self._delivered)
                sent += 1
            self._producer.poll(0.01)

    def _delivered(self, error, message) -> None:
        if error is None:
            self.acknowledged[message.partition()].append(message.offset())
        else:
            self.refused.append(str(error))

    def count(self) -> int:
        return sum(len(offsets) for offsets in self.acknowledged)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        left = self._producer.flush(120)
        assert left == 0 and not self.refused, f"{left} records without an answer, refused: {self.refused[:3]}"


class Group:
    """The processes of a group's members."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.account = GroupAccount(name, PARTITIONS)
        self.command, self.log = command, log
        self.members: list[subprocess.Popen] = []
        self.left = self.killed = 0
        self._readers: list[threading.Thread] = []

    def join(self) -> None:
        with open(self.log, "ab") as log:
            member = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT / "client-tests")
        self.members.append(member)
        reader = threading.Thread(target=self._read, args=(member,), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, member: subprocess.Popen) -> None:
        for line in member.stdout:
            # What a killed member was in the middle of saying was not said.
            if line.endswith("\n"):
                self.account.line(line)

    def leave(self) -> None:
        member = self.members.pop(random.randrange(len(self.members)))
        member.stdin.close()
        self.left += 1
        threading.Thread(target=self._reap, args=(member,), daemon=True).start()

    def _reap(self, member: subprocess.Popen) -> None:
        try:
            if member.wait(60) != 0:
                self.account.violations.append(f"a member that left ended with {member.returncode}, see {self.log}")
        except subprocess.TimeoutExpired:
            self.account.violations.append("a member did not leave within 60 s")
            member.kill()

    def kill(self) -> None:
        member = self.members.pop(random.randrange(len(self.members)))
        member.send_signal(signal.SIGKILL)
        member.wait()
        self.killed += 1

    def check_alive(self) -> None:
        for member in self.members:
            assert member.poll() is None, f"a member of {self.account.name} ended by itself with {member.returncode}, see {self.log}"

    def stop(self) -> None:
        for member in self.members:
            member.stdin.close()
        for member in self.members:
            member.wait(60)
        for reader in self._readers:
            reader.join(10)


def members_command(words: list[str], protocol: str, session: dict[str, str]) -> list[str]:
    settings = {"group.protocol": protocol} if protocol == "consumer" else {"partition.assignment.strategy": "cooperative-sticky", **session}
    return [*words, str(COMMIT_MS), *(f"{key}={value}" for key, value in settings.items())]


def groups(bootstrap: str, topic: str, classpath: str, protocol: str, out: Path) -> list[Group]:
    session = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}
    java = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath, "com.fluxmq.tests.GroupMember", bootstrap,
            f"java-{topic}", topic]
    java_session = dict(session)
    command = members_command(java, protocol, java_session)
    command = [word.replace("=cooperative-sticky", "=org.apache.kafka.clients.consumer.CooperativeStickyAssignor") for word in command]
    python = [sys.executable, "-m", "harness.group_member", bootstrap, f"librdkafka-{topic}", topic]
    return [Group("java", command, out / "java.log"), Group("librdkafka", members_command(python, protocol, session), out / "librdkafka.log")]


def churn(group: Group) -> None:
    """One thing that happens to a group: it keeps between six and ten members."""
    if len(group.members) < MEMBERS and (len(group.members) <= 6 or random.random() < 0.5):
        group.join()
    elif random.random() < 0.5:
        group.leave()
    else:
        group.kill()


class Soak:
    def __init__(self, options, out: Path):
        self.options, self.out = options, out
        self.broker = None if options.bootstrap else Broker(out / "data", overrides=BROKER_SETTINGS, log=out / "broker.log").start()
        self.bootstrap = options.bootstrap or self.broker.bootstrap
        self.topic = f"soak-{int(time.time())}"
        self.broker_kills = 0
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(30)
        self.groups = groups(self.bootstrap, self.topic, options.classpath, options.protocol, out)

    def run(self) -> None:
        for group in self.groups:
            for _ in range(MEMBERS):
                group.join()
        self.producer = SteadyProducer(self.bootstrap, self.topic, self.options.rate)
        started = time.monotonic()
        end = started + self.options.minutes * 60
        next_churn = {group.account.name: started + 20 for group in self.groups}
        next_kill, next_line = started + random.uniform(90, 180), started + 30
        while (now := time.monotonic()) < end:
            for group in self.groups:
                group.check_alive()
                if now >= next_churn[group.account.name]:
                    churn(group)
                    next_churn[group.account.name] = now + random.uniform(3, 12)
                group.account.settle(now_us() - SETTLE_US)
            if self.broker and now >= next_kill:
                self.kill_broker()
                next_kill = time.monotonic() + random.uniform(90, 180)
            if now >= next_line:
                self.progress(now - started)
                next_line += 30
            time.sleep(0.1)

    def kill_broker(self) -> None:
        killed = now_us()
        self.broker.kill()
        self.broker.start()
        self.broker_kills += 1
        for group in self.groups:
            group.account.pauses.append((killed, now_us()))

    def progress(self, seconds: float) -> None:
        print(f"{seconds / 60:5.1f} min, {self.producer.count()} acknowledged, broker killed {self.broker_kills} times", flush=True)
        for group in self.groups:
            account = group.account
            print(f"    {account.name:10} {len(group.members)} members, {group.left} left, {group.killed} killed; delivered {account.delivered}, "
                  f"again {account.reread}; {account.commits} commits, {account.rebalances} rebalances, longest stall {account.longest_stall_s:.1f} s",
                  flush=True)

    def finish(self) -> None:
        """Nothing happens any more: each group gets what is left, and is stable."""
        self.producer.stop()
        deadline = time.monotonic() + CATCH_UP_S
        for group in self.groups:
            while group.account.settle(now_us() - SETTLE_US) or group.account.missing(self.producer.acknowledged):
                group.check_alive()
                missing = group.account.missing(self.producer.acknowledged)
                assert time.monotonic() < deadline, f"{group.account.name}: {len(missing)} records were never delivered, as {missing[:5]}"
                time.sleep(0.5)
        for group, state in zip(self.groups, self.states(), strict=True):
            assert state == (ConsumerGroupState.STABLE, len(group.members)), f"{group.account.name} is {state}, with {len(group.members)} processes"
            group.stop()
            group.account.settle(now_us())
        self.progress(self.options.minutes * 60)
        for group in self.groups:
            for text, count in sorted(group.account.errors.items(), key=lambda entry: -entry[1])[:5]:
                print(f"    {group.account.name}: {count} times {text}")
        violations = [violation for group in self.groups for violation in group.account.violations]
        assert not violations, f"{len(violations)} violations, the first: {violations[:5]}"
        print("every acknowledged record was delivered to each group, and nothing again that was committed")

    def states(self):
        """State and number of members of each group, once their dead members are noticed."""
        ids = [f"{group.account.name}-{self.topic}" for group in self.groups]
        deadline = time.monotonic() + 60
        while True:
            described = [future.result(20) for future in self.admin.describe_consumer_groups(ids).values()]
            found = [(group.state, len(group.members)) for group in described]
            wanted = [(ConsumerGroupState.STABLE, len(group.members)) for group in self.groups]
            if found == wanted or time.monotonic() > deadline:
                return found
            time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=1000, help="records a second")
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument("--bootstrap", help="a broker that is there and is not killed")
    parser.add_argument("--classpath", required=True)
    options = parser.parse_args()
    out = ROOT / "target" / "soak-groups"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    soak = Soak(options, out)
    try:
        soak.run()
        soak.finish()
    except (AssertionError, KafkaException) as failure:
        print(f"FAILED: {failure}\nlogs in {out}", flush=True)
        sys.exit(1)
    finally:
        for group in soak.groups:
            for member in group.members:
                if member.poll() is None:
                    member.kill()
        if soak.broker:
            soak.broker.kill()


if __name__ == "__main__":
    main()
