"""The cases that Rust tests of groups and transactions compare with are still what Kafka's own classes print."""

import pytest

from harness.kafka import program
from harness.paths import ROOT


@pytest.mark.parametrize(("source", "cases"), [
    ("AssignorCases.java", "core/coordinator/tests/data/assignors.txt"),
    ("TopicPatternCases.java", "core/coordinator/tests/data/topic_patterns.txt"),
    ("GroupRecordCases.java", "protocol/tests/fixtures/group_records.txt"),
    ("TransactionRecordCases.java", "protocol/tests/fixtures/transaction_records.txt"),
    ("ClassicGroupCases.java", "core/coordinator/tests/data/classic_groups.txt"),
    ("ConsumerGroupCases.java", "core/coordinator/tests/data/consumer_groups.txt"),
])
def test_cases_are_those_of_kafka(source, cases):
    committed = (ROOT / cases).read_text(encoding="utf-8")
    assert program(ROOT / "java-tests/kafka" / source) == committed
