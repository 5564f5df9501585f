"""The room of what authors test with: flows on the real engine, faked apps, hooks that are sent.

The pytest plugin (`halflap.testing.plugin`) has three fixtures: `run` runs a flow, `fake` stands for the
apps that its actions call, `receive` sends a trigger what an app would. None of them opens a socket, and
none waits. Commands, and the process in which a server runs drafts
(`worker`), use the rest of the room where pytest is not installed, so only the plugin and
`report` import it.
"""

from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.testing.fake import Fake, FakeEgress, Sent
from halflap.testing.fixture import Fixture, load_fixture, make_fixture
from halflap.testing.large import make_large_request
from halflap.testing.receiver import Receive, Received
from halflap.testing.result import Called, Result, Step, called
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
]

pytest_plugins = ["halflap.testing.plugin"]
"""Read by pytest, to which this room is the plugin `halflap`."""
