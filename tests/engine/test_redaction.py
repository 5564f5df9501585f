"""Values that were recorded before a secret was known are still what was recorded."""

from __future__ import annotations

from halflap.engine.past import Past
from halflap.model import Record
from halflap.sdk.record import redacted_data
from halflap.sdk.redact import Redactor

SECRET = "a-secret-of-an-older-store"
RAW = f'{{"key":"{SECRET}","n":1}}'.encode()
REDACTED = '{"key":"•••","n":1}'.encode()


async def test_inputs_that_hold_a_secret_are_those_that_were_recorded_with_it() -> None:
    """Stores of 0.1.0 have inputs as they were; their executions go on with equal steps."""
    redactor = Redactor([SECRET])
    assert redacted_data(RAW, redactor) == REDACTED
    for recorded in (RAW, REDACTED):
        record = Record(0, "shop.find#1", "action", "find", "Find", "succeeded", 1, 2, recorded)
        past = Past([record], redactor)
        scope = past.whole(0)
        assert past.recall(scope, "shop.find#1", REDACTED) is record
