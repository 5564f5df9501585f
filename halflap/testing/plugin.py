"""The pytest plugin: the fixtures `run`, `fake` and `receive`, and tests in YAML documents."""

from __future__ import annotations

import pytest

from halflap.testing.fake import Fake
from halflap.testing.receiver import Receive
from halflap.testing.runner import Run

__all__ = ["fake", "receive", "run"]

pytest_plugins = ["halflap.testing.report"]


@pytest.fixture
def fake() -> Fake:
    """The apps that the test's actions call; it answers what the test registers."""
    return Fake()


@pytest.fixture
def run() -> Run:
    """Runs a flow: `result = await run(flow, event, stubs={…})`."""
    return Run()


@pytest.fixture
def receive(run: Run) -> Receive:
    """Sends a request to a flow or a trigger, through the gateway's own code."""
    return Receive(run)
