"""Fixtures: a shared broker for tests that only need one, directories for those that break theirs."""

import uuid
from pathlib import Path

import pytest

from harness.broker import Broker


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="full rounds, for what is too long for every run")


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


@pytest.fixture
def topic() -> str:
    """A topic name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
