"""What authors test with: flows run on the real executor, apps that are faked, hooks that are sent.

The pytest plugin has three fixtures: `run` runs a flow, `fake` stands for the apps that its actions
call, `receive` sends a trigger what an app would. None of them opens a socket, and none waits.
"""

from __future__ import annotations

import pytest

from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.testing.calls import Called, called
from halflap.testing.collect import pytest_collect_file
from halflap.testing.fake import Fake, FakeEgress, Sent
from halflap.testing.fixture import Fixture, load_fixture, make_fixture
from halflap.testing.large import make_large_request
from halflap.testing.receiver import Receive, Received
from halflap.testing.result import Result, Step
from halflap.testing.runner import Run, make_request
from halflap.testing.stub import in_turn

__all__ = [
    "Called",
    "CustomerInfo",
    "Fake",
    "FakeEgress",
    "Fixture",
    "InstanceInfo",
    "Receive",
    "Received",
    "Result",
    "Run",
    "Sent",
    "Step",
    "called",
    "in_turn",
    "load_fixture",
    "make_fixture",
    "make_large_request",
    "make_request",
    "pytest_collect_file",
]

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
