"""Records what a flow does, step by step, and answers from the journal what was done before."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid5

from pydantic import SecretStr

from halflap.engine.doing import Doing
from halflap.engine.echo import CHECK
from halflap.engine.past import GUARD
from halflap.engine.routing import Routes
from halflap.engine.scope import Scope, current_scope, escaped
from halflap.engine.step import as_step, looking_up, run_action
from halflap.engine.twoway import News, inputs_of, told_of
from halflap.errors import DefinitionError, Nondeterminism, Overruled, UpstreamError
from halflap.model import MISSING, Record, StateWrite, is_earlier, to_datetime
from halflap.sdk import codec
from halflap.sdk.action import Action, Retry
from halflap.sdk.connection import Connection
from halflap.sdk.context import ANY, MAX_STATE_BYTES
from halflap.sdk.pairs import Pairs, RecordState, Writes, without, written_by
from halflap.sdk.record import decode_value, encode_inputs, encode_value
from halflap.sdk.redact import HIDDEN
from halflap.sdk.running import RunningStep
from halflap.sdk.schema import File

NAMESPACE = UUID("6f1c7a30-7d0e-4d5b-9a53-6b1f2c0b9d11")
UNPROTECTED = (
    "an earlier try may have been carried out, and the app could not tell a second one from it: look "
    "at the app; then replay with --repeat, or dismiss this. Where the app honours idempotency keys, "
    "declare `idempotency_header`; where it can be asked for what was made, a `lookup` of the action"
)
COMPARE = Doing("check", CHECK, "Compare with what is known", Retry())


class StepRecorder(Routes):
    """The `Recorder` of one attempt of one execution: its verbs, each of them a step."""

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
        writes = action.writes
        asked = None if writes is None else written_by(writes, action.component, arguments)
        doing = Doing(
            "action" if action.component else "step",
            action.name,
            action.title,
            action.retry,
            action.pure,
            None if action.shape.output is Any else action.shape.output_adapter,
            writes,
            asked,
            action.as_json,
            action.repeatable
            or action.lookup is not None
            or (asked is not None and bool(asked.id)),
        )

        inputs, variant, unless_same = encode_inputs(action, arguments), "", ""
        in_doubt = unprotected = False
        if not action.pure and (earlier := self._past.earlier(path)) is not None:
            was, now = self._without_secrets(earlier.inputs or b"{}"), self._without_secrets(inputs)
            differs, in_doubt = was != now, earlier.status == "retrying"
            unprotected = earlier.failure is not None and earlier.failure.in_doubt
            # An app that did it once, and has another value since, answers an old key and does nothing.
            unless_same = f"\0by {self._turn.start.execution}"
            if differs and asked is not None and asked.id:
                # An app that knows the key refuses it with another body.
                variant = f"\0with {hashlib.blake2b(now, digest_size=8).hexdigest()}"
            elif differs and writes is not None and in_doubt and HIDDEN.encode() not in was:
                arguments = as_recorded(action, arguments, was)
                asked = written_by(writes, action.component, arguments)
                doing = replace(doing, asked=asked)
                self.two_way.is_behind = True
            elif differs and in_doubt:
                self._refuse_moved(path, path)
        elif not action.pure:
            self._refuse_moved(path, self._past.moved(path, action.name))

        async def run() -> Any:
            given, step = arguments, self._step(path)
            step.variant = variant
            if unprotected and not doing.repeatable:
                step.in_doubt = True
                raise UpstreamError(UNPROTECTED, retryable=False)
            if writes is not None and asked is not None and self.two_way.is_others(asked):
                given = await self._allowed(action, arguments, writes, asked, step, unless_same)
            unsure = in_doubt or self._turn.attempt > 1
            perform = looking_up(self._perform) if action.lookup and unsure else self._perform
            return await run_action(action, given, step, perform)

        return await self._do(scope, path, doing, inputs, run)

    def _refuse_moved(self, path: str, moved: str | None) -> None:
        """Refuse to do what may have been done on another version, in another place or otherwise."""
        start = self._turn.start
        if moved is None or start.replay is None or not start.replay.strict:
            return
        how = "with other inputs" if moved == path else f"as {path!r}"
        raise Nondeterminism(
            f"the step {moved!r} may have been carried out, and this version does it again {how}: "
            "look at the app; then replay on the version that it ran on (--version same), or repeat "
            "it all the same (--repeat)"
        )

    @property
    def compares_calls(self) -> bool:
        """Return whether an event that another flow made is compared; version 0.1.0 never did."""
        done = [e for e in self._turn.history if e.kind != "trigger" and not is_earlier(e)]
        return not done or any(each.kind == "check" for each in done)

    async def check(self, record: RecordState) -> News:
        """Compare what an event tells of a record with what is known: a step like any other.

        Where a replay has copied that, it is compared again: a newer event may have been dealt with.
        """
        scope = current_scope()
        path = scope.next_path(CHECK)
        self.two_way.told = record
        answer = await self._compare(scope, path, record)
        news = self.two_way.found(record, answer)
        if not (self.two_way.goes_on and self._past.is_copied(path) and news.how == "run"):
            return news
        answer = await self._compare(self._past.aside(scope), GUARD, record)
        again = self.two_way.found(record, answer)
        if again.how == "superseded":  # but something was done already, so the rest is done too
            again = self.two_way.found(record, {**answer, "how": "run"})
        self._past.keeps_copies |= again.current != news.current
        return again

    async def _compare(self, scope: Scope, path: str, record: RecordState) -> Mapping[str, Any]:
        return await self._do(
            scope,
            path,
            COMPARE,
            inputs_of(record),
            lambda: as_step(self._step(path), lambda: self.two_way.check(record)),
        )

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
        found = await as_step(step, lambda: self.two_way.meanwhile(asked, step.path, connection))
        step.variant += unless_same if found.changes else ""
        said = f"{asked} was edited meanwhile: "
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
        here = current_scope()
        verb, owner = shared_by(scope)
        path = here.next_path(f"{verb}.get({escaped(key)})")
        known = self._past.recall(here, path)
        if known is None:
            await self._ledger.settle()
            self._check(here)
            started = self._turn.now()
            found = await self._turn.read_state(scope, key)
            title = f"Read {owner}{key}"
            known = self._record(path, "state", title, started, result=found or MISSING)
            self._keep(here, known)
        else:
            self._past.pass_by(here, known)
        if known.result is None or known.result == MISSING:
            return ANY
        self._read[scope, key] = known.result
        return decode_value(known.result, None, self._unseal)

    async def write_state(self, scope: str, key: str, value: Any, expect: Any) -> bool:
        """See `State.put`; `ANY` as the value deletes."""
        here = current_scope()
        verb, owner = shared_by(scope)
        path = here.next_path(f"{verb}.put({escaped(key)})")
        encoded = None if value is ANY else encode_value(value, None, self._seal)
        if encoded is not None and len(encoded) > MAX_STATE_BYTES:
            raise DefinitionError(
                f"the state {key!r} would have {len(encoded):,} bytes as JSON, and MAX_STATE_BYTES "
                f"allows {MAX_STATE_BYTES:,}; keep it under several keys, or at an app"
            )
        sealed = encoded is not None and b'"$secret"' in encoded  # never twice the same bytes
        known = self._past.recall(here, path, None if sealed else encoded)
        if known is not None:
            self._past.pass_by(here, known)
            return known.result == b"true"
        self._check(here)
        started = self._turn.now()
        title = f"Write {owner}{key}"
        record = self._record(path, "state", title, started, inputs=encoded, result=b"true")
        change = StateWrite(scope, key, encoded, self._expected(scope, key, expect))
        return await self._write(here, record, [change])

    async def read_pair(self, pairs: Pairs, side: str, id: str) -> str | None:
        """See `Context.paired`."""
        here = current_scope()
        path = here.next_path(f"paired({escaped(f'{pairs.name} {side} {id}')})")
        asked = {each: id if each == side else None for each in pairs.sides}
        inputs = encode_value({"pairs": pairs.name, **asked}, None, self._seal)
        known = self._past.recall(here, path)
        if known is None or known.status == "retrying":  # a replay looks again
            await self._ledger.settle()
            self._check(here)
            started = self._turn.now()
            found = await self.two_way.echo.pair(pairs, pairs.record(side, id))
            other = found.get(pairs.other(side))
            result = MISSING if other is None else encode_value(other, None, self._seal)
            if known is not None and self._past.made_in_copies(result):
                result = MISSING  # as it was before a copied step made it
            title = f"Look up {pairs.name}: {side} {id}"
            seq = None if known is None else known.seq  # it stays in its place
            known = self._record(path, "pair", title, started, inputs=inputs, result=result)
            known = known if seq is None else replace(known, seq=seq)
            self._keep(here, known)
        else:
            self._past.pass_by(here, known)
        if known.result is None or known.result == MISSING:
            return None
        return str(decode_value(known.result, None, self._unseal))

    async def write_pair(self, pairs: Pairs, ids: Mapping[str, str], *, remove: bool) -> bool:
        """See `Context.pair` and `Context.unpair`."""
        here = current_scope()
        shown = " and ".join(f"{side} {id}" for side, id in ids.items())
        path = here.next_path(f"{'unpair' if remove else 'pair'}({escaped(shown)})")
        known = self._past.recall(here, path)
        if known is not None:
            self._past.pass_by(here, known)
            return known.result == b"true"
        self._check(here)
        started = self._turn.now()
        echo = self.two_way.echo
        found = [await echo.pair(pairs, pairs.record(side, id)) for side, id in ids.items()]
        title = f"{'Unpair' if remove else 'Pair'} {pairs.name}: {shown}"
        inputs = encode_value({"pairs": pairs.name, **ids}, None, self._seal)
        record = self._record(path, "pair", title, started, inputs=inputs, result=b"true")
        if remove:
            return await self._write(here, record, echo.parting(pairs, found[0] or ids))
        done = all(each == ids for each in found)
        return await self._write(here, record, [] if done else echo.pairing(pairs, ids))

    async def parse(self, name: str, title: str, read: Awaitable[Any]) -> Any:
        """Run the trigger's body as the first record; the event itself is what is kept of it."""
        scope = current_scope()
        path = scope.next_path("trigger")
        known = self._past.recall(scope, path)
        started = self._turn.now()
        value = await read
        if known is None:
            record = Record(
                self._past.next_seq(),
                path,
                "trigger",
                name,
                title,
                "succeeded",
                started,
                self._turn.now(),
                pure=True,
            )
            self._keep(scope, record)
        else:
            self._past.pass_by(scope, known)
        return value

    def _expected(self, scope: str, key: str, expect: Any) -> bytes | None:
        if expect is ANY:
            return None
        if expect is None:
            return MISSING
        # What was read may be written in other bytes: a secret always, `1e-7` as `1E-7`.
        read = self._read.get((scope, key))
        if read is not None and decode_value(read, None, self._unseal) == expect:
            return read
        return encode_value(expect, None, self._seal)

    async def _write(self, here: Scope, record: Record, writes: list[StateWrite]) -> bool:
        self._ledger.keep_lines(here.lines)
        here.lines = []
        done = await self._ledger.write(record, writes)
        self._past.pass_by(here, record)
        return done


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
