"""Exceptions as they are recorded, and what becomes of a handler that raises one."""

from __future__ import annotations

import re
import traceback
from dataclasses import replace

from halflap.engine.protocol import Again, Ended, Verdict
from halflap.errors import CodeFailed, DefinitionError, StepFailed, Thrown, document_place
from halflap.model import Failure, Micros, Outcome
from halflap.sdk.link import mask_links
from halflap.sdk.record import redact_data
from halflap.sdk.redact import LEAST_IN_DATA, Redactor, clean
from halflap.sdk.trigger import first_line
from halflap.store.rules.cause import describe_cause

MOST_ERRORS = 3
"""The number of times that a handler may fail by itself before its execution is set aside as
failed.
"""

_KEY = re.compile(r"\[[^\]]*\]")
_UNPACKED = re.compile(r"^.*[/\\]bundles[/\\][0-9a-f]{64}[/\\]")
_TRACED = re.compile(r'(?<=  File ")[^"\n]*[/\\]bundles[/\\][0-9a-f]{64}[/\\]')
"""Where a version's files lie on this machine: the author knows them by their place in the project."""

OURS = ("/halflap/engine/", "/halflap/sdk/", "/halflap/components/")
"""Where a frame is of no use to an author, who can mend nothing there."""


def failure_of(error: BaseException, place: str = "") -> Failure:
    """An exception as it is recorded: with its place in the author's code, without our frames.

    A step that failed for good has two: that of the step is in its record, and the exception that
    leaves the flow has the line of the flow which called it. `place` is the action, step or flow that
    raised it: a part of its cause, where the error does not bring one from a step.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(room in frame.filename for room in OURS)
    ]
    where = _UNPACKED.sub("", f"{frames[-1].filename}:{frames[-1].lineno}") if frames else ""
    trace = clean(_TRACED.sub("", "".join(traceback.format_list(frames))))[-4_000:]
    if isinstance(error, CodeFailed):  # its lines are those of the low-code file
        where, trace = error.where, clean(error.trace)
    elif (placed := document_place(error)) is not None:  # else it is the interpreter's line
        where, trace = placed, ""
    status = getattr(error, "status", None)
    message = clean(first_line(error) if isinstance(error, Exception) else str(error))
    # Reasons are searched in by who may not see a link that approves.
    data = message.encode("utf-8", "surrogatepass")
    message = mask_links(data).decode("utf-8", "surrogatepass")
    if isinstance(error, DefinitionError) and error.where:
        message, where = _UNPACKED.sub("", message), where or _UNPACKED.sub("", error.where)
    failure = Failure(
        kind=getattr(error, "error", "") or type(error).__name__,
        message=(message or type(error).__name__)[:2_000],
        where=where,
        status=status if isinstance(status, int) else None,
        trace=trace,
        in_doubt=isinstance(error, StepFailed) and error.in_doubt,
        step=failed_step(error),
    )
    brought: str = getattr(error, "cause", "")
    return replace(failure, cause=brought or describe_cause(failure, place))


def failed_step(error: BaseException) -> str:
    """Return the path of the step of whose failure an exception speaks; empty where it is none's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, StepFailed) and not isinstance(found, Thrown):
            return found.step
        found = found.__cause__ or found.__context__
    return ""


def reason_of(error: Exception, failure: Failure) -> str:
    """Return the reason of an execution that fails of an error: without the keys of branches.

    The path of a failed step has the key of its item in it; the failure keeps it.
    """
    if isinstance(error, StepFailed) and error.step:
        return failure.text.replace(f"({error.step})", f"({_KEY.sub('', error.step)})")
    return failure.text


async def redacted_verdict(verdict: Verdict, redactor: Redactor) -> Verdict:
    """Return a verdict whose reason and result hold none of the secrets; its failure has none."""
    if not redactor:
        return verdict
    if isinstance(verdict, Again):
        return replace(verdict, waiting_for=redactor.text(verdict.waiting_for))
    outcome = verdict.outcome
    result = (
        None
        if outcome.result is None
        else await redact_data(outcome.result, redactor, LEAST_IN_DATA)
    )
    reason = redactor.text(outcome.reason)
    if reason is outcome.reason and result is outcome.result:
        return verdict
    return replace(verdict, outcome=replace(outcome, reason=reason, result=result))


def after_error(error: Exception, errors: int, now: Micros) -> Verdict:
    """Return the verdict on an execution whose handler failed by itself, for the `errors`th time.

    It is handed out again, a little later each time; in the end it fails, where everybody sees it.
    """
    failure = failure_of(error)
    if errors < MOST_ERRORS:
        return Again("retry", now + 1_000_000 * 2 ** (errors - 1), failure=failure)
    reason = f"the executor failed {errors} times: {failure.text}"
    return Ended(Outcome("failed", reason, failure=failure))


def without(lost: str) -> Verdict:
    """Return the verdict on an execution that lost a payload: it fails, visibly."""
    return Ended(Outcome("failed", lost, failure=Failure("BlobLost", lost)))
