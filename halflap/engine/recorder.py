"""Records what a flow does, step by step, and answers from the journal what was done before."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid5

from pydantic import SecretStr

from halflap.engine.branches import gather
from halflap.engine.doing import Run, StepResult, Steps
from halflap.engine.echo import CHECK
from halflap.engine.lineage import Siblings
from halflap.engine.past import variant_of
from halflap.engine.protocol import Turn
from halflap.engine.scope import StepScope, current_scope, escaped
from halflap.engine.step import Perform, looking_up, run_action
from halflap.engine.twoway import EDITED, CheckResult, TwoWay, inputs_of, told_of
from halflap.engine.waiting import Waits
from halflap.errors import DefinitionError, Nondeterminism, Overruled, UpstreamError
from halflap.model import MISSING, Record, StateWrite, frozen, is_earlier, to_datetime
from halflap.sdk import codec
from halflap.sdk.action import Action, StepSpec
from halflap.sdk.connection import Connection
from halflap.sdk.context import ANY, MAX_STATE_BYTES
from halflap.sdk.pairs import Pairs, RecordState, Writes, without, written_by
from halflap.sdk.record import (
    Sealing,
    Unsealing,
    decode_value,
    encode_inputs,
    encode_value,
    recall_value,
    record_inputs,
    record_value,
)
from halflap.sdk.redact import HIDDEN
from halflap.sdk.running import CallLog, RunningStep
from halflap.sdk.schema import File
from halflap.store.rules.replaying import GUARD

NAMESPACE = UUID("6f1c7a30-7d0e-4d5b-9a53-6b1f2c0b9d11")
UNPROTECTED = (
    "an earlier try may have been carried out, and the app could not tell a second one from it.\n"
    "Look at the app; then replay with `done: RESULT` where it was done, with `repeat: true` where it "
    "was not, or dismiss this. Where the app honours idempotency keys, declare "
    "`idempotency_header`; where it can be asked for what was made, a `lookup` of the action"
)
COMPARE = StepSpec("check", "Compare with what is known", CHECK)


@frozen
class EarlierTry:
    """An earlier try of a step, of which a replay copied something.

    variant: the part of its key that tells it from a step of other inputs in its place. unless_same:
    a part for where the app has other values than what is written. in_doubt: the try may have been
    carried out; is_unprotected: and the app could not tell a second one from it. said: the record of
    one that a person said is done.
    """

    variant: str = ""
    unless_same: str = ""
    in_doubt: bool = False
    is_unprotected: bool = False
    said: Record | None = None


NEVER_TRIED = EarlierTry()


class StepRecorder:
    """The `Recorder` of one attempt of one execution: its verbs, each of them a step."""

    def __init__(
        self,
        turn: Turn,
        *,
        seal: Sealing,
        unseal: Unsealing,
        chance: random.Random,
        siblings: Siblings,
        perform: Perform | None = None,
        steps: Callable[..., Steps] = Steps,
    ) -> None:
        self.steps = steps(turn, seal=seal, unseal=unseal, chance=chance)
        self.has_compared = False
        """True once the event was compared with what is known."""
        self.calls = CallLog()
        self.log, self.found_by = self.steps.log, self.steps.found_by
        self.gather = partial(gather, self.steps)
        self._siblings = siblings
        self._waits: Waits | None = None
        self._turn = turn
        self._perform = perform
        self._read: dict[tuple[str, str], bytes] = {}

    @property
    def waits(self) -> Waits:
        """The verbs that start other flows, and that wait: few flows call one."""
        if self._waits is None:
            self._waits = Waits(self.steps, self._siblings)
        return self._waits

    @property
    def two_way(self) -> TwoWay:
        """The two-way side of the execution."""
        return self.steps.two_way

    def now(self) -> datetime:
        """See `Context.now`."""
        return to_datetime(current_scope().now)

    def uuid(self) -> UUID:
        """See `Context.uuid`."""
        scope = current_scope()
        scope.uuids += 1
        place = f"{scope.path}{scope.position}/{scope.uuids}"
        return uuid5(NAMESPACE, f"{self._turn.start.root}/{place}")

    async def call(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Run an action as a step, or answer from the journal."""
        scope = current_scope()
        path = scope.next_path(action.name)
        spec = action.spec
        if action.writes is not None:
            asked = written_by(action.writes, action.component, arguments)
            spec = replace(spec, asked=asked, repeatable=spec.repeatable or bool(asked.id))
        inputs, tried = await record_inputs(action, arguments), NEVER_TRIED
        run: Run = partial(run_action, action, arguments, self._perform)
        if self.steps.past.has_copies and not action.pure:
            arguments, spec, tried = await self._tried(scope, path, action, arguments, spec, inputs)
        if tried is not NEVER_TRIED or spec.asked is not None or action.lookup is not None:
            run = partial(self._run, action, arguments, spec, tried)
        return await self.steps.do(scope, path, spec, inputs, run)

    def known(
        self, action: Action[..., Any], arguments: Mapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """See `Recorder.known`."""
        inputs = encode_inputs(action, arguments)
        form = b"json" if action.as_json else b""
        return current_scope().known(b"\0".join((action.name.encode(), form, inputs)))

    async def _tried(
        self,
        scope: StepScope,
        path: str,
        action: Action[..., Any],
        arguments: Mapping[str, Any],
        spec: StepSpec,
        inputs: bytes,
    ) -> tuple[Mapping[str, Any], StepSpec, EarlierTry]:
        """Return how a replay does a step, by what it copied of an earlier try."""
        past, writes, asked = self.steps.past, spec.writes, spec.asked
        now = await self.steps.without_secrets(inputs)
        variant = past.variant(path, now)
        earlier = past.earlier(path)
        if earlier is None:
            if not past.is_next(scope, path, now):
                self._refuse_moved(path, past.moved(path, action.name))
            return arguments, spec, EarlierTry(variant)
        was = await self.steps.without_secrets(earlier.inputs or b"{}")
        differs, in_doubt = was != now, earlier.status == "retrying"
        said = earlier if earlier.status == "succeeded" else None
        if said is not None:
            if differs:
                self.steps.refuse_otherwise(path, "was said to be done", was, now)
        elif differs and asked is not None and asked.id:
            # An app that knows the key refuses it with another body.
            variant = variant_of(now)
        elif differs and writes is not None and in_doubt and HIDDEN.encode() not in was:
            arguments = as_recorded(action, arguments, was)
            variant = past.variant(path, was)
            spec = replace(spec, asked=written_by(writes, action.component, arguments))
            self.two_way.is_behind = True
        elif differs and in_doubt:
            how = self._turn.start.replay
            if how is None or not how.repeat:
                self.steps.refuse_otherwise(path, "may have been carried out", was, now)
            variant = variant_of(now)
        tried = EarlierTry(
            variant,
            # An app that did it once, and has another value since, answers an old key and does nothing.
            f"\0by {self._turn.start.execution}",
            in_doubt=in_doubt,
            is_unprotected=earlier.failure is not None and earlier.failure.in_doubt,
            said=said,
        )
        return arguments, spec, tried

    async def _run(
        self,
        action: Action[..., Any],
        arguments: Mapping[str, Any],
        spec: StepSpec,
        tried: EarlierTry,
        step: RunningStep,
    ) -> Any:
        """Carry out a step that calls an action; `tried` is what a replay copied of an earlier try."""
        asked = spec.asked
        step.variant = tried.variant
        if tried.said is not None:
            self._log_said(step)
            step.in_doubt = True  # as before, where the result is none of the action's
            connection = arguments.get(action.shape.connection or "")
            if asked is not None and isinstance(connection, Connection):
                with step:
                    await self.two_way.look_back(asked, step.path, connection)
            return decode_value(tried.said.result or b"null", spec.adapter, self.steps.unseal)
        if tried.is_unprotected and not spec.settles_doubts:
            step.in_doubt = True
            raise UpstreamError(UNPROTECTED, retryable=False)
        if spec.writes is not None and asked is not None and self.two_way.is_others(asked):
            arguments = await self._allowed(
                action, arguments, spec.writes, asked, step, tried.unless_same
            )
        perform = self._perform
        if action.lookup is not None and (tried.in_doubt or self._turn.attempt > 1):
            perform = looking_up(perform)
        return await run_action(action, arguments, perform, step)

    def _log_said(self, step: RunningStep) -> None:
        replay = self._turn.start.replay
        by = replay.done.get(step.path) if replay else None
        assert step.log is not None
        step.log("info", f"taken as done, as {by or 'a person'} said: nothing was sent", {})

    def _refuse_moved(self, path: str, moved: str | None) -> None:
        """Refuse to do what may have been done on another version, in another place."""
        start = self._turn.start
        if moved is None or start.replay is None or not start.replay.strict:
            return
        raise Nondeterminism(
            f"the step {moved!r} may have been carried out, and this version does it again as {path!r}: "
            "look at the app; then replay on the version that it ran on (`version: same`), or do it "
            "all the same (`repeat: true`)"
        )

    @property
    def compares_calls(self) -> bool:
        """Return whether an event that another flow made is compared; version 0.1.0 never did."""
        done = [e for e in self._turn.history if e.kind != "trigger" and not is_earlier(e)]
        return not done or any(each.kind == "check" for each in done)

    async def check(self, record: RecordState) -> CheckResult:
        """Compare what an event tells of a record with what is known: a step like any other.

        Where a replay has copied that, it is compared again: a newer event may have been dealt with.
        """
        scope = current_scope()
        path = scope.next_path(CHECK)
        self.two_way.told, self.has_compared = record, True
        answer = await self._compare(scope, path, record)
        news = self.two_way.found(record, answer)
        if not (self.two_way.goes_on and self.steps.past.is_copied(path) and news.how == "run"):
            return news
        answer = await self._compare(self.steps.past.aside(scope), GUARD, record)
        again = self.two_way.found(record, answer)
        if again.how == "superseded":  # but something was done already, so the rest is done too
            again = self.two_way.found(record, {**answer, "how": "run"})
        self.steps.past.keeps_copies |= again.current != news.current
        return again

    async def _compare(self, scope: StepScope, path: str, record: RecordState) -> Mapping[str, Any]:
        async def compare(step: RunningStep) -> Mapping[str, Any]:
            with step:
                return await self.two_way.check(record)

        return await self.steps.do(scope, path, COMPARE, inputs_of(record), compare)

    async def _allowed(
        self,
        action: Action[..., Any],
        arguments: Mapping[str, Any],
        writes: Writes,
        asked: RecordState,
        step: RunningStep,
        unless_same: str,
    ) -> Mapping[str, Any]:
        """An action's arguments without what was edited at the other app, and is to stay.

        Looked for at each try: the one before may be minutes ago. `unless_same` is a part of the
        idempotency key where the app has other values than these.
        """
        connection = arguments.get(action.shape.connection or "")
        if not isinstance(connection, Connection):
            return arguments
        with step:
            found = await self.two_way.meanwhile(asked, step.path, connection)
        step.variant += unless_same if found.changes else ""
        said = f"{asked} {EDITED}: "
        if found.idle:
            raise Overruled(f"conflict: {said}{told_of(found.stands)} stands")
        if step.log is not None and found.stands:
            step.log("warning", f"{said}{told_of(found.stands)} stands", {})
        if step.log is not None and found.overruled:
            step.log("warning", f"{said}{told_of(found.overruled)} is overruled", {})
        if not found.stands:
            return arguments
        # An app that knows the key of an earlier try refuses it with another body.
        step.variant += f"\0without {told_of(found.stands)}"
        return without(writes, arguments, found.stands)

    async def read_state(self, scope: str, key: str) -> Any:
        """See `State.get`; `ANY` where there is no value."""
        verb, owner = shared_by(scope)

        async def read(here: StepScope, begun: Record) -> StepResult:
            await self.steps.settled(here)
            found = await self._turn.read_state(scope, key)
            return StepResult(self.steps.ended(begun, found or MISSING))

        spec = StepSpec("state", f"Read {owner}{key}")
        known = await self.steps.take(f"{verb}.get({escaped(key)})", spec, read)
        if known.result is None or known.result == MISSING:
            return ANY
        self._read[scope, key] = known.result
        return await recall_value(known.result, None, self.steps.unseal)

    async def write_state(self, scope: str, key: str, value: Any, expect: Any) -> bool:
        """See `State.put`; `ANY` as the value deletes."""
        verb, owner = shared_by(scope)
        encoded = None if value is ANY else await record_value(value, None, self.steps.seal)
        if encoded is not None and len(encoded) > MAX_STATE_BYTES:
            raise DefinitionError(
                f"the state {key!r} would have {len(encoded):,} bytes as JSON, and MAX_STATE_BYTES "
                f"allows {MAX_STATE_BYTES:,}; keep it under several keys, or at an app"
            )

        async def write(_: StepScope, begun: Record) -> StepResult:
            change = StateWrite(scope, key, encoded, self._expected(scope, key, expect))
            return StepResult(self.steps.ended(begun, b"true"), [change], conditional=True)

        sealed = encoded is not None and b'"$secret"' in encoded  # never twice the same bytes
        name, spec = f"{verb}.put({escaped(key)})", StepSpec("state", f"Write {owner}{key}")
        known = await self.steps.take(name, spec, write, inputs=encoded, compares=not sealed)
        return known.result == b"true"

    async def read_pair(self, pairs: Pairs, side: str, id: str) -> str | None:
        """See `Context.paired`."""

        async def read(here: StepScope, begun: Record) -> StepResult:
            await self.steps.settled(here)
            found = await self.two_way.echo.pair(pairs, pairs.record(side, id))
            other = found.get(pairs.other(side))
            result = MISSING if other is None else encode_value(other, None, self.steps.seal)
            if begun.status == "retrying" and self.steps.past.made_in_copies(result):
                result = MISSING  # as it was before a copied step made it
            return StepResult(self.steps.ended(begun, result))

        asked = {each: id if each == side else None for each in pairs.sides}
        inputs = encode_value({"pairs": pairs.name, **asked}, None, self.steps.seal)
        name = f"paired({escaped(f'{pairs.name} {side} {id}')})"
        spec = StepSpec("pair", f"Look up {pairs.name}: {side} {id}")
        known = await self.steps.take(  # a replay looks again
            name, spec, read, inputs=inputs, compares=False, again="afresh"
        )
        if known.result is None or known.result == MISSING:
            return None
        return str(decode_value(known.result, None, self.steps.unseal))

    async def write_pair(self, pairs: Pairs, ids: Mapping[str, str], *, remove: bool) -> bool:
        """See `Context.pair` and `Context.unpair`."""
        echo = self.two_way.echo

        async def write(_: StepScope, begun: Record) -> StepResult:
            found = [await echo.pair(pairs, pairs.record(side, id)) for side, id in ids.items()]
            if remove:
                writes = echo.parting(pairs, found[0] or ids)
            else:
                writes = [] if all(each == ids for each in found) else echo.pairing(pairs, ids)
            return StepResult(self.steps.ended(begun, b"true"), writes, conditional=True)

        shown = " and ".join(f"{side} {id}" for side, id in ids.items())
        inputs = encode_value({"pairs": pairs.name, **ids}, None, self.steps.seal)
        spec = StepSpec("pair", f"{'Unpair' if remove else 'Pair'} {pairs.name}: {shown}")
        name = f"{'unpair' if remove else 'pair'}({escaped(shown)})"
        known = await self.steps.take(name, spec, write, inputs=inputs, compares=False)
        if remove:
            self.two_way.part(pairs)
        return known.result == b"true"

    async def parse(self, scope: StepScope, spec: StepSpec, read: Awaitable[Any]) -> Any:
        """Run the trigger's body as the first record; the event itself is what is kept of it."""
        started, value = self._turn.now(), await read
        self.steps.note(scope, "trigger", spec, started)
        return value

    def _expected(self, scope: str, key: str, expect: Any) -> bytes | None:
        if expect is ANY:
            return None
        if expect is None:
            return MISSING
        # What was read may be written in other bytes: a secret always, `1e-7` as `1E-7`.
        read = self._read.get((scope, key))
        if read is not None and decode_value(read, None, self.steps.unseal) == expect:
            return read
        return encode_value(expect, None, self.steps.seal)


def as_recorded(
    action: Action[..., Any], arguments: Mapping[str, Any], inputs: bytes
) -> dict[str, Any]:
    """Return an action's arguments with the inputs that were recorded; secrets are those of now."""
    recorded = cast("dict[str, Any]", codec.decode(inputs))
    given = dict(arguments)
    for each in action.shape.inputs:
        if isinstance(given.get(each.name), SecretStr | File):
            continue
        given.pop(each.name, None)
        if each.name in recorded:
            given[each.name] = recorded[each.name]
    return given


def shared_by(scope: str) -> tuple[str, str]:
    """Return the name of a scope of state in a step's path, and in its title."""
    name = scope.partition(":")[0]
    if name in ("instance", "integration"):
        return f"state.{name}", f"the {name}'s "
    return "state", ""
