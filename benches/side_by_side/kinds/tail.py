"""Groups read what is sent while it is sent.

The broker's CPU is that of both: each record once taken and once given to every group.
"""

from ..brokers import Peer
from ..checks import sample
from ..drivers import Driver
from ..scenarios import Scenario
from .driven import Driven, latencies


def drive(scenario: Scenario, driver: Driver, peer: Peer, words: dict[str, object], records: int) -> Driven:
    words = words | {"messages": records, "groups": scenario.groups}
    driver.do("follow", words)
    began = sample(peer)
    sent = driver.do("produce", words)
    read = driver.do("followed", {"topic": words["topic"]})
    ended = sample(peer)
    return Driven(records, sent, read, began, ended, ended, delivered_ms=latencies(read))
