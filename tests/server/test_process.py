"""A server's process: what it logs of its executions."""

import pytest
import structlog.testing

from halflap.model import Event, Failure, FlowKey, Outcome, Start
from halflap.server.process import log_failure

pytestmark = pytest.mark.usefixtures("unfiltered_logs")
FLOW = FlowKey("cus_1", "ins_1", "orders", "incoming", "v1", 1)
START = Start("exe_1", FLOW, Event("POST", "", "", (), b"", 0), "exe_1")


def test_a_failed_execution_is_logged_once_with_what_replays_it() -> None:
    with structlog.testing.capture_logs() as logged:
        log_failure("exe_1", Outcome("failed", "the app said no"), START)
        log_failure("exe_2", Outcome("failed", "it was set aside"), None)
        for state in ("succeeded", "cancelled", "ignored"):
            log_failure("exe_3", Outcome(state, ""), START)
    assert [each["execution"] for each in logged] == ["exe_1", "exe_2"]
    assert logged[0] == {
        "log_level": "error",
        "event": "execution failed",
        "execution": "exe_1",
        "flow": "orders.incoming",
        "reason": "the app said no",
        "replay": "halflap executions replay exe_1",
    }


def test_one_that_failed_in_doubt_is_to_be_looked_at_first() -> None:
    doubt = Failure("UpstreamError", "no answer", in_doubt=True)
    with structlog.testing.capture_logs() as logged:
        log_failure("exe_1", Outcome("failed", "no answer", failure=doubt), START)
    assert logged[0]["show"] == "halflap executions show exe_1"
    assert "replay" not in logged[0]
