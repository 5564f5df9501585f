"""A step being run: an action called with validated inputs, its log lines, its final failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from inspect import signature
from typing import Any

from pydantic import ValidationError

from halflap.errors import InputsRefused, ResultRefused, StepFailed
from halflap.model import Failure, LogLine, Micros, Record
from halflap.sdk import running
from halflap.sdk.action import Action
from halflap.sdk.deadline import Deadline
from halflap.sdk.record import Seal, encode_value
from halflap.sdk.running import RunningStep
from halflap.sdk.trigger import first_line
from halflap.store.rules.cause import describe_cause

LONGEST_LINE = 10_000

UNLIMITED = nullcontext()

Perform = Callable[[Action[..., Any], Mapping[str, Any]], Awaitable[Any]]
"""A performer that runs an action instead of the action itself: a test's fake."""


async def run_action(
    action: Action[..., Any],
    arguments: Mapping[str, Any],
    perform: Perform | None,
    step: RunningStep,
) -> Any:
    """Call an action as a step: inputs and result are what its annotations say, or it fails."""
    given, name = dict(arguments), ""
    try:
        for name, validate in action.validators:
            if name in given:
                given[name] = validate(given[name])
    except ValidationError as error:
        message = f"the input {name} does not fit: {first_line(error)}"
        raise InputsRefused(message) from error
    limit = None
    if action.timeout is not None:
        seconds = action.timeout.total_seconds()
        step.limit = limit = Deadline(seconds)
        step.patience = seconds if action.is_patient else 0.0
    try:
        with step, limit or UNLIMITED:
            called = action.invoke(**given) if perform is None else perform(action, given)
            value = await called
    except asyncio.CancelledError as error:
        if limit is None or not limit.is_over:
            raise
        raise TimeoutError(f"no result within the time-out of {action.timeout}") from error
    if action.shape.output is Any:
        return value
    try:
        return action.shape.output_adapter.validator.validate_python(value)
    except ValueError as error:
        raise ResultRefused(
            f"{action.name} returned what its annotation does not say: {first_line(error)}",
            where=action.where,
        ) from error


def looking_up(perform: Perform | None) -> Perform:
    """Return what asks an action's `lookup` first, and runs the action where that finds nothing.

    For a step of which an earlier try may have been carried out.
    """

    async def look_up(action: Action[..., Any], given: Mapping[str, Any]) -> Any:
        assert action.lookup is not None
        wanted = {n: v for n, v in given.items() if n in signature(action.lookup).parameters}
        found = await action.lookup(**wanted)
        if found is not None:
            return found
        if (step := running.step.get()) is not None:
            step.requests = 0  # so that the action's requests have the keys that they had
        return await (action.invoke(**given) if perform is None else perform(action, given))

    return look_up


def step_failed(record: Record) -> StepFailed:
    """A step's final failure: the same on the first run and on every replay."""
    failure = record.failure or Failure("StepFailed", "the step failed")
    return StepFailed(
        f"{record.title} ({record.path}) failed: {failure.text}",
        step=record.path,
        error=failure.kind,
        status=failure.status,
        cause=failure.cause or describe_cause(failure, record.name),
        in_doubt=failure.in_doubt,
    )


def line_of(
    at: Micros, level: str, message: str, fields: Mapping[str, Any], step: str, seal: Seal
) -> LogLine:
    """A log line; a field that has no JSON is shown by its `repr`."""
    try:
        encoded = encode_value(dict(fields), None, seal) if fields else b""
    except TypeError:
        shown = {name: repr(value) for name, value in fields.items()}
        encoded = encode_value(shown, None, seal)
    return LogLine(at, level, str(message)[:LONGEST_LINE], encoded, step)  # pyright: ignore[reportArgumentType]
