"""Times: now, and to and from milliseconds since 1970."""

from __future__ import annotations

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import Frame
from halflap.lowcode.expressions.library.declared import function


@function("millis", "<:n>")
def millis(frame: Frame) -> int:
    """The time of the execution, in milliseconds since 1970."""
    if frame.evaluation.now is None:
        fail("H0002")
    return round(frame.evaluation.now.timestamp() * 1000)
