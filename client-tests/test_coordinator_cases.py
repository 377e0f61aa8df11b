"""The cases that the coordinator's Rust tests compare with are still what Kafka's own classes print."""

import pytest

from harness.kafka import program
from harness.paths import ROOT


@pytest.mark.parametrize(("source", "cases"), [
    ("AssignorCases.java", "assignors.txt"),
    ("TopicPatternCases.java", "topic_patterns.txt"),
])
def test_cases_are_those_of_kafka(source, cases):
    committed = (ROOT / "core/coordinator/tests/data" / cases).read_text(encoding="utf-8")
    assert program(ROOT / "java-tests/kafka" / source) == committed
