"""Fixtures: a shared broker for tests that only need one, directories for those that break theirs."""

import uuid
from pathlib import Path

import pytest

from harness.broker import Broker
from harness.kafka import Kafka

# Groups that notice within a second what takes them many by default. Kafka's targets are computed within the heartbeat that asks
# for them: left to its background threads, a member may be told of nothing first, or not.
GROUP_SETTINGS = {
    "group.consumer.assignor.offload.enable": "false",
    "group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000", "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.assignment.interval.ms": "0", "offsets.topic.num.partitions": "8", "offsets.topic.replication.factor": "1",
}

# Transactions whose timeouts are looked for twice a second, not every ten.
TRANSACTION_SETTINGS = GROUP_SETTINGS | {
    "transaction.state.log.num.partitions": "4", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="full rounds, for what is too long for every run")
    parser.addoption("--server", choices=("fluxmq", "kafka"), default="fluxmq",
                     help="what the tests about groups and transactions run against: Apache Kafka shows that they ask for what it does")


@pytest.fixture(scope="session")
def full(request) -> bool:
    """True when the long forms were asked for."""
    return request.config.getoption("--all")


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One broker for all tests that do not restart it."""
    with Broker(tmp_path_factory.mktemp("shared") / "data").start() as running:
        yield running
        running.stop()


@pytest.fixture(scope="session")
def server_in(request):
    """Makes a server with the settings of groups over a directory, not started; FluxMQ unless --server says otherwise."""
    def server(directory: Path, **overrides: str):
        settings = GROUP_SETTINGS | overrides
        if request.config.getoption("--server") == "kafka":
            return Kafka(directory, settings)
        return Broker(directory / "data", overrides=settings)
    return server


@pytest.fixture(scope="session")
def groups(server_in, tmp_path_factory):
    """One server for all tests about groups that do not restart it."""
    directory = tmp_path_factory.mktemp("groups")
    with server_in(directory).start() as running:
        yield running


@pytest.fixture(scope="session")
def transactions(server_in, tmp_path_factory):
    """One server for all tests about transactions that do not restart it."""
    with server_in(tmp_path_factory.mktemp("transactions"), **TRANSACTION_SETTINGS).start() as running:
        yield running


@pytest.fixture
def topic() -> str:
    """A topic name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
