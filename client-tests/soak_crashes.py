"""kill -9 and power cuts, many of each, under all kinds of load at once: writers of a compacted topic, transactions, idempotent producers on
librdkafka and Java whose log is shortened all the time, and groups that commit. `scripts/soak.sh crashes` runs it.

What was acknowledged is there after each restart, once and at its offset, but for what retention has deleted; no transaction is lost, torn or
comes back. In the end a few cuts with log.flush.policy=never, which lose records: the check can fail.
"""

import argparse
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from conftest import TRANSACTION_SETTINGS
from harness.broker import Broker
from harness.committers import Committer, Committers, MemberCommitter, committed
from harness.keyed import COMPACTED, COMPACTING, KEYS, KeyedWriter, rounds_said
from harness.ledger import JavaLedgerProducer, LedgerProducer, account, all_paused, decode, read_partition
from harness.members import create_topic, eventually
from harness.paths import ROOT
from harness.power import Disk, no_background_writeback
from harness.transactions import QUIET, Outcomes, Worker, messages
from harness.transactions import account as transactions_account

PARTITIONS, WORKERS, PLAIN_GROUPS = 2, 2, 4
CUTS_OF_NEVER = 3
EVERYTHING_EVERY = 25  # rounds: compacted logs are read from their start again, not from where the last reading ended
SETTINGS = TRANSACTION_SETTINGS | COMPACTING | {"auto.create.topics.enable": "false"}
RETAINED = 16 << 20
SHORTENED = {"segment.bytes": str(1 << 20), "retention.bytes": str(RETAINED)}
# Of what retention has to leave; the rest of it is headers of records, and what a cut took that was not acknowledged yet.
AT_LEAST_LEFT = RETAINED * 6 // 10


class Fault(Exception):
    """What must not be."""


@dataclass
class Totals:
    """What was acknowledged, and what became of it."""

    rounds: int = 0
    acknowledged: int = 0
    found: int = 0
    retention: int = 0  # acknowledged, and below the log start
    lost: int = 0
    duplicated: int = 0
    moved: int = 0  # at another offset than was said, or out of order
    keys: int = 0
    keys_lost: int = 0
    committed: int = 0
    aborted: int = 0
    unknown: int = 0
    transactions_lost: int = 0
    torn: int = 0
    back: int = 0
    repeated: int = 0
    group_offsets: int = 0  # groups whose offset is not that of the last transaction
    commits: int = 0
    commits_lost: int = 0
    compactions: int = 0
    segments: int = 0  # deleted by retention
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def wrong(self) -> int:
        return (self.lost + self.duplicated + self.moved + self.keys_lost + self.transactions_lost + self.torn + self.back + self.repeated
                + self.group_offsets + self.commits_lost + len(self.faults))

    def line(self) -> str:
        return (f"records {self.acknowledged}, by retention {self.retention}, keys {self.keys}, transactions {self.committed}, "
                f"commits {self.commits}, compactions {self.compactions}, segments deleted {self.segments}, wrong {self.wrong}")

    def summary(self, name: str) -> str:
        return "\n".join([
            f"{name}: {self.rounds} rounds",
            f"    records acknowledged {self.acknowledged}, found {self.found}, deleted by retention {self.retention}, lost {self.lost}, "
            f"duplicated {self.duplicated}, moved {self.moved}",
            f"    keys checked {self.keys}, lost {self.keys_lost}",
            f"    transactions committed {self.committed}, aborted {self.aborted}, unknown {self.unknown}, lost {self.transactions_lost}, "
            f"torn {self.torn}, back {self.back}, repeated {self.repeated}, groups at a wrong offset {self.group_offsets}",
            f"    commits acknowledged {self.commits}, lost {self.commits_lost} (of groups and partitions)",
            f"    rounds of compaction {self.compactions}, segments deleted by retention {self.segments}",
            *(f"    FAULT: {fault}" for fault in self.faults[:10]),
            *([f"    and {len(self.faults) - 10} more"] if len(self.faults) > 10 else [])])


class PatientCommitter(Committer):
    """Goes on with the next commit where one fails: the broker is down, or on its way back."""

    def _commit(self, offset: int) -> None:
        try:
            super()._commit(offset)
        except KafkaException:
            time.sleep(0.02)


class PatientMember(PatientCommitter, MemberCommitter):
    """The same, as a member, which has to join again then."""


def commit_without_end(bootstrap: str, topic: str) -> None:
    """The process of the groups."""
    groups = [PatientCommitter(bootstrap, f"{topic}-plain-{i}", topic, list(range(1 + i % PARTITIONS))) for i in range(PLAIN_GROUPS)]
    groups += [PatientMember(bootstrap, f"{topic}-{protocol}", topic, protocol) for protocol in ("classic", "consumer")]
    for group in groups:
        threading.Thread(target=group.run).start()


class Groups(Committers):
    """Some groups that outlive a kill."""

    def __init__(self, bootstrap: str, topic: str):
        self.sent, self.acknowledged = {}, {}
        self._process = subprocess.Popen([sys.executable, __file__, "--commit", bootstrap, topic], stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def counts(self) -> list[int]:
        """The last commit of each group that was acknowledged."""
        assert self._process.poll() is None, "the groups have ended, see above"
        last: dict[str, int] = {}
        for (group, _), offset in dict(self.acknowledged).items():
            last[group] = max(last.get(group, 0), offset)
        return [last[group] for group in sorted(last)] if len(last) == PLAIN_GROUPS + 2 else [0] * (PLAIN_GROUPS + 2)


class JavaProducer(JavaLedgerProducer):
    """One that can be left alone."""

    def abandon(self) -> list[tuple[int, int]]:
        """What was acknowledged; nothing of what is under way is waited for."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        return list(self.acknowledged)


class Transactions(Worker):
    """A worker that can be left alone."""

    def as_told(self) -> Worker:
        """A copy with what it was told up to now."""
        said = copy.copy(self)
        now = self.outcomes
        said.outcomes = Outcomes(list(now.committed), list(now.aborted), list(now.unknown), list(now.fatal))
        return said

    def abandon(self) -> Worker:
        told = self.as_told()
        self._stopping.set()
        return told


@dataclass
class Promised:
    """What was acknowledged when the broker ended."""

    records: list[list[tuple[int, int]]]
    keys: list[list[int]]
    workers: list[Worker]
    commits: dict[tuple[str, int], int]


class Load:
    """Everything that writes to one broker."""

    def __init__(self, broker: Broker, topic: str, classpath: str, transaction_timeout_ms: int):
        self.broker, self.compacted, self.shortened = broker, f"{topic}-compacted", f"{topic}-shortened"
        at = broker.bootstrap
        # The slowest of them to start, and it waits for its topic.
        java = JavaProducer(at, self.shortened, 1, classpath).start()
        create_topic(at, self.compacted, PARTITIONS, **COMPACTED)
        create_topic(at, self.shortened, PARTITIONS, **SHORTENED)
        self.groups = Groups(at, self.shortened)
        self.writers = [KeyedWriter(at, self.compacted, partition) for partition in range(PARTITIONS)]
        self.workers = [Transactions(at, self.compacted, number, PARTITIONS, keyed=True, config={
            "transaction.timeout.ms": transaction_timeout_ms}).start() for number in range(WORKERS)]
        self.producers = [LedgerProducer(at, self.shortened, 0).start(), java]
        self._segments: set[tuple[int, int]] = set()

    def counts(self) -> list[int]:
        """How far each of them is, in what is enough of it to say that it goes on."""
        self.look_at_segments()
        self.assert_sound()
        return [*(writer.count // 10 for writer in self.writers), *(worker.outcomes.count // 2 for worker in self.workers),
                *(p.acknowledged[-1][0] // 500 if p.acknowledged else 0 for p in self.producers), *self.groups.counts()]

    def assert_sound(self) -> None:
        for worker in self.workers:
            if worker.failed:
                raise Fault(f"worker {worker.number} ended: {worker.failed}")
        if refused := [said for one in self.writers for said in one.failed] + [said for one in self.producers for said in one.refused]:
            raise Fault(f"{len(refused)} records were refused: {refused[:3]}")

    def await_progress(self, timeout_s: float = 120) -> None:
        """Returns when all of it has gone on."""
        before, deadline = self.counts(), time.monotonic() + timeout_s
        while True:
            now_at = self.counts()
            if all(now > then for now, then in zip(now_at, before, strict=True)):
                return
            if time.monotonic() > deadline:
                raise Fault(f"no progress after {timeout_s} s: {before}, then {now_at}; workers {[worker.told for worker in self.workers]}")
            time.sleep(0.03)

    def look_at_segments(self) -> set[tuple[int, int]]:
        """The segments that are there; those seen are kept."""
        there = {(p, int(file.stem)) for p in range(PARTITIONS) for file in (self.broker.data_dir / f"{self.shortened}-{p}").glob("*.log")}
        self._segments |= there
        return there

    def segments_deleted(self) -> int:
        """How many segments were there once, and are no more."""
        there = self.look_at_segments()
        first = [min((base for at, base in there if at == p), default=0) for p in range(PARTITIONS)]
        return sum(base < first[p] for p, base in self._segments)

    def promised(self) -> Promised:
        return Promised([list(p.acknowledged) for p in self.producers], [list(writer.acknowledged) for writer in self.writers],
                        [worker.as_told() for worker in self.workers], dict(self.groups.acknowledged))

    def abandon(self) -> Promised:
        """No more of it, and no waiting for the broker."""
        self.groups.end()
        return Promised([self.producers[0].abandon(0.1), self.producers[1].abandon()], [writer.abandon() for writer in self.writers],
                        [worker.abandon() for worker in self.workers], dict(self.groups.acknowledged))

    def end(self) -> None:
        """Whatever is left of it, without a word."""
        self.abandon()


def log_start(bootstrap: str, topic: str, partition: int) -> int:
    at, admin = TopicPartition(topic, partition), AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    return admin.list_offsets({at: OffsetSpec.earliest()})[at].result(20).offset


def kept_records(bootstrap: str, topic: str, partition: int, start: int) -> tuple[int, list[tuple[int, bytes]]]:
    """The log start, and every record from `start` or it on, read while it stayed where it was."""
    for _ in range(50):
        low = log_start(bootstrap, topic, partition)
        try:
            records = read_partition(bootstrap, topic, partition, start=start)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise
            continue
        if log_start(bootstrap, topic, partition) == low:
            return low, records
    raise Fault(f"partition {partition}: the log start moves on while nothing is written")


class Records:
    """The partitions of the producers, held against them from where the last look ended."""

    def __init__(self, topic: str):
        self.topic = topic
        self.checked, self.last = [0] * PARTITIONS, [-1] * PARTITIONS  # offsets, and the last sequence below

    def check(self, bootstrap: str, promised: list[list[tuple[int, int]]], totals: Totals) -> None:
        for p, acknowledged in enumerate(promised):
            low, records = kept_records(bootstrap, self.topic, p, self.checked[p])
            since = [(sequence, offset) for sequence, offset in acknowledged if offset >= self.checked[p]]
            kept = [(sequence, offset) for sequence, offset in since if offset >= low]
            result = account(kept, records)
            totals.acknowledged += len(since)
            totals.retention += len(since) - len(kept)
            totals.lost += len(result.lost)
            totals.found += len(kept) - len(result.lost)
            totals.duplicated += result.repeated + sum(decode(value) <= self.last[p] for _, value in records)
            # Alone in its partition, and refused nothing: a sequence is the offset.
            totals.moved += result.moved + result.out_of_order + sum(decode(value) != offset for offset, value in records)
            left = sum(len(value) for _, value in records)
            if low > self.checked[p] and left < AT_LEAST_LEFT:
                totals.faults.append(f"partition {p}: retention left {left} bytes of {RETAINED}, from offset {low} on")
            if result.lost:
                totals.faults.append(f"partition {p}, records from {max(low, self.checked[p])} on: {result}, the first lost {result.lost[:5]}")
            if records:
                self.checked[p], self.last[p] = records[-1][0] + 1, decode(records[-1][1])


def check_keys(bootstrap: str, writers: list[KeyedWriter], promised: list[list[int]], totals: Totals) -> None:
    for writer, numbers in zip(writers, promised, strict=True):
        writer.read_on(bootstrap)
        lost = writer.lost(numbers)
        totals.keys += KEYS
        totals.keys_lost += len(lost)
        if lost:
            totals.faults.append(f"partition {writer.partition}, key, acknowledged, found: {lost[:5]}")


def check_commits(bootstrap: str, topic: str, groups: Groups, promised: dict[tuple[str, int], int], before: dict, totals: Totals) -> None:
    for group in sorted({group for group, _ in promised}):
        partitions = [partition for name, partition in promised if name == group]
        for partition, found in committed(bootstrap, group, topic, partitions).items():
            wanted = promised[group, partition]
            totals.commits += wanted - before.get((group, partition), 0)
            if found < wanted:
                totals.commits_lost += 1
                totals.faults.append(f"{group}, partition {partition}: {wanted} was acknowledged, {found} is there")
            eventually(f"{group} to have sent {found}", lambda at=(group, partition), found=found: groups.sent[at] >= found, 5)


def take_transactions(workers: list[Worker], totals: Totals) -> None:
    """Everything, when nothing of it is under way any more."""
    result = transactions_account(workers)
    totals.committed, totals.aborted, totals.unknown = result.committed, result.aborted, result.unknown
    totals.transactions_lost, totals.torn, totals.back = len(result.lost), len(result.torn), len(result.back)
    totals.repeated, totals.group_offsets = result.repeated, len(result.offsets)
    if result.lost or result.torn or result.back or result.repeated or result.offsets:
        totals.faults.append(str(result))


class Seen:
    """The transactions that readers have seen, from where the last look ended."""

    def __init__(self, topic: str):
        self.topic, self.until = topic, [0] * PARTITIONS
        self.records: dict[tuple[int, int], set[int]] = {}
        self.sizes: dict[tuple[int, int], int] = {}

    def read_on(self, bootstrap: str) -> None:
        for p in range(PARTITIONS):
            for message in messages(bootstrap, self.topic, p, start=self.until[p]):
                self.until[p] = message.offset() + 1
                if message.value() and re.match(rb"\d+:\d+:\d+:\d+ *$", message.value()):
                    worker, number, record, records = map(int, message.value().split(b":"))
                    found = self.records.setdefault((worker, number), set())
                    if record in found:
                        raise Fault(f"record {record} of transaction {worker}:{number} is there twice")
                    found.add(record)
                    self.sizes[worker, number] = records

    def check(self, bootstrap: str, workers: list[Worker]) -> None:
        """Fails unless all that was committed comes, wholly, and nothing of what was aborted. Others may be on their way."""
        deadline = time.monotonic() + 60
        wanted = {(worker.number, number) for worker in workers for number in worker.outcomes.committed}
        while True:
            self.read_on(bootstrap)
            missing = [at for at in wanted if at not in self.records or len(self.records[at]) != self.sizes[at]]
            if not missing:
                break
            if time.monotonic() > deadline:
                raise Fault(f"{len(missing)} committed transactions are not there, or not wholly, as {sorted(missing)[:5]}")
            time.sleep(0.05)
        back = [(worker.number, number) for worker in workers for number in worker.outcomes.aborted if (worker.number, number) in self.records]
        if back:
            raise Fault(f"{len(back)} aborted transactions are there, as {back[:5]}")


def check_log(broker: Broker, totals: Totals) -> None:
    said = [line for line in broker.log.read_text(errors="replace").splitlines() if " ERROR " in line or "panicked" in line]
    if said:
        totals.faults.append(f"{broker.log}: {said[0]}")


class Progress:
    def __init__(self, name: str, rounds: int):
        self.name, self.rounds, self.started = name, rounds, time.monotonic()

    def say(self, done: int, totals: Totals) -> None:
        print(f"{self.name} {done} of {self.rounds}, {time.monotonic() - self.started:.0f} s: {totals.line()}", flush=True)


def kills(rounds: int, out: Path, classpath: str) -> Totals:
    """One broker on one directory, killed again and again."""
    totals, progress = Totals(), Progress("kill", rounds)
    out.mkdir(parents=True)
    broker = Broker(out / "data", overrides=SETTINGS, log=out / "broker-0.log").start()
    load = None
    try:
        load = Load(broker, "kills", classpath, 10_000)
        records, seen, commits = Records(load.shortened), Seen(load.compacted), {}
        for kill in range(1, rounds + 1):
            load.await_progress()
            end = time.monotonic() + random.uniform(0.1, 1.0)
            while (left := end - time.monotonic()) > 0:
                load.look_at_segments()
                time.sleep(min(left, 0.03))
            broker.kill()
            promised = load.promised()
            round_ = Totals(rounds=1, compactions=rounds_said(broker, load.compacted), segments=load.segments_deleted() - totals.segments)
            check_log(broker, round_)
            broker.log = out / f"broker-{kill}.log"  # each with its own, or looking for a line in it takes longer and longer
            broker.start()
            try:
                # They had the start against them; the reading, slower than they write, goes better without.
                with all_paused([*load.producers, *load.writers]):
                    if kill % EVERYTHING_EVERY == 0:
                        for writer in load.writers:
                            writer.read_anew()
                    records.check(broker.bootstrap, promised.records, round_)
                    for producer, acknowledged in zip(load.producers, promised.records, strict=True):
                        # What was held against the log needn't be kept.
                        del producer.acknowledged[:len(acknowledged) - 1]
                    check_keys(broker.bootstrap, load.writers, promised.keys, round_)
                    seen.check(broker.bootstrap, promised.workers)
                    check_commits(broker.bootstrap, load.shortened, load.groups, promised.commits, commits, round_)
            finally:
                round_.committed = sum(len(worker.outcomes.committed) for worker in promised.workers) - totals.committed
                round_.aborted = sum(len(worker.outcomes.aborted) for worker in promised.workers) - totals.aborted
                totals.add(round_)
                progress.say(kill, totals)
            commits = promised.commits
            if totals.wrong:
                return totals
        finish_kills(broker, load, records, commits, totals)
    except (Fault, AssertionError, KafkaException, RuntimeError, TimeoutError) as fault:
        totals.faults.append(f"{type(fault).__name__}: {fault}")
    finally:
        broker.kill()
        if load:
            load.end()
    return totals


def finish_kills(broker: Broker, load: Load, records: Records, commits: dict, totals: Totals) -> None:
    """Nothing happens any more: everything sent was acknowledged, and is there."""
    load.await_progress()
    load.groups.end()
    for one in [*load.producers, *load.writers, *load.workers]:
        one.stop()
    load.assert_sound()
    end = Totals(segments=load.segments_deleted() - totals.segments, compactions=rounds_said(broker, load.compacted))
    records.check(broker.bootstrap, [p.acknowledged for p in load.producers], end)
    for p, producer in enumerate(load.producers):
        if records.checked[p] != producer.sent:
            end.faults.append(f"partition {p}: {producer.sent} records were sent, and it ends at {records.checked[p]}")
    for writer in load.writers:
        if writer.acknowledged != writer.sent:
            end.faults.append(f"partition {writer.partition}: values without an answer")
        writer.read_anew()
    check_keys(broker.bootstrap, load.writers, [writer.acknowledged for writer in load.writers], end)
    check_commits(broker.bootstrap, load.shortened, load.groups, load.groups.acknowledged, commits, end)
    totals.committed = totals.aborted = 0
    take_transactions(load.workers, end)
    broker.stop()
    check_log(broker, end)
    totals.add(end)


def cut(name: str, policy: str, out: Path, classpath: str) -> Totals:
    """A disk, a broker under load, the power goes, the copy is recovered and held against what was acknowledged."""
    out.mkdir(parents=True)
    totals, settings = Totals(rounds=1), SETTINGS | {"log.flush.policy": policy}
    disk, after = Disk.create(out / "disk.img", out / "disk", 1024), None
    try:
        with ExitStack() as ending:
            ending.enter_context(no_background_writeback())
            broker = ending.enter_context(Broker(out / "disk" / "data", overrides=settings, log=out / "before.log").start())
            load = Load(broker, name, classpath, 2000)
            ending.callback(load.end)
            load.await_progress()
            eventually("compaction and retention", lambda: rounds_said(broker, load.compacted) and load.segments_deleted(), 60)
            end = time.monotonic() + random.uniform(0.0, 1.0)
            while (left := end - time.monotonic()) > 0:
                load.look_at_segments()
                time.sleep(min(left, 0.03))
            load.assert_sound()
            broker.freeze()
            # What was answered before may be on its way still.
            time.sleep(0.3)
            promised = load.abandon()
            totals.compactions, totals.segments = rounds_said(broker, load.compacted), load.segments_deleted()
            check_log(broker, totals)
            after = disk.cut(out / "after.img", out / "after")
            # As it was found, if it is to be looked at.
            subprocess.run(["cp", "--sparse=always", disk.image, out / "cut.img"], check=True)
        with Broker(out / "after" / "data", overrides=settings, log=out / "after.log").start() as recovered:
            at = recovered.bootstrap
            Records(load.shortened).check(at, promised.records, totals)
            check_commits(at, load.shortened, load.groups, promised.commits, {}, totals)
            check_keys(at, load.writers, promised.keys, totals)
            # What the cut left open is in the way of readers until it has timed out. Without syncs it may be so for good: a log has the
            # records of a transaction, and the coordinator has lost that there is one.
            if policy != "never":
                for worker in promised.workers:
                    worker.bootstrap = at
                take_transactions(promised.workers, totals)
            check_log(recovered, totals)
    except (Fault, AssertionError, KafkaException, RuntimeError, TimeoutError) as fault:
        totals.faults.append(f"{type(fault).__name__}: {fault}")
    finally:
        for each in (disk, after):
            if each is not None:
                each.unmount()
    if not totals.wrong or policy == "never":
        shutil.rmtree(out)
    else:
        totals.faults.append(f"cut.img in {out} is the disk as it was found")
    return totals


def cuts(rounds: int, policy: str, out: Path, classpath: str) -> Totals:
    totals, progress = Totals(), Progress("cut" if policy == "acks" else f"cut with log.flush.policy={policy}", rounds)
    for number in range(1, rounds + 1):
        # Clients of earlier rounds may be about still, for a while: no topic is another's.
        name = f"{policy}-{number}"
        totals.add(cut(name, policy, out / f"cut-{name}", classpath))
        progress.say(number, totals)
        if totals.wrong and policy != "never":
            break
    return totals


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--classpath", help="of the Java programs")
    parser.add_argument("--commit", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.commit:
        commit_without_end(*options.commit)
        return 0
    if options.classpath is None:
        parser.error("--classpath is missing")
    if options.cuts and os.geteuid() != 0:
        parser.error("power cuts need root; --cuts 0 leaves them out")
    out = ROOT / "target" / "soak"
    shutil.rmtree(out, ignore_errors=True)
    failed = False
    if options.kills:
        killed = kills(options.kills, out / "kills", options.classpath)
        print(killed.summary("kills"), flush=True)
        failed |= killed.wrong > 0
    if options.cuts:
        without = cuts(options.cuts, "acks", out, options.classpath)
        print(without.summary("power cuts"), flush=True)
        failed |= without.wrong > 0
        never = cuts(CUTS_OF_NEVER, "never", out, options.classpath)
        print(never.summary("power cuts with log.flush.policy=never, which lose what is not synced"), flush=True)
        if never.lost == 0:
            print("FAILED: nothing was lost with log.flush.policy=never, so that the cuts above say nothing", flush=True)
            failed = True
    if failed:
        print(f"FAILED: see {out}", flush=True)
        return 1
    shutil.rmtree(out, ignore_errors=True)
    print("nothing was lost that was promised")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Not to be kept by a client of a broker that is gone; the process of the groups goes on until it is killed.
    if "--commit" not in sys.argv:
        os._exit(status)
