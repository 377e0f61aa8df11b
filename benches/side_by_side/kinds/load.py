"""Records are sent, then read back."""

from ..brokers import Peer
from ..checks import sample
from ..drivers import Driver
from ..process import page_cache_bytes
from ..scenarios import Scenario
from .driven import Driven


def drive(scenario: Scenario, driver: Driver, peer: Peer, words: dict[str, object], records: int) -> Driven:
    cached = page_cache_bytes()
    began = sample(peer)
    sent = driver.do("produce", words | {"messages": records})
    produced = sample(peer)
    cached = page_cache_bytes() - cached
    if not (peer.keeps and scenario.read):
        return Driven(records, sent, {}, began, produced, produced, page_cache_bytes=cached)
    read = driver.do("read", {key: words[key] for key in ("topic", "partitions")})
    ended = sample(peer)
    return Driven(records, sent, read, began, produced, ended, read["seconds"], ended.cpu_s - produced.cpu_s, page_cache_bytes=cached)
