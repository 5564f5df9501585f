"""Runs an author's flow for a turn, and decides from what it raises what happens next."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from halflap.engine.doing import Cancelled, Pause
from halflap.engine.failure import failure_of, reason_of, redacted_verdict
from halflap.engine.lineage import Siblings, continuation
from halflap.engine.protocol import LONGEST_REASON, Again, Ended, Turn, Verdict
from halflap.engine.recorder import StepRecorder
from halflap.engine.retry import micros
from halflap.engine.routing import Aim, Routes, no_target, opened_headers
from halflap.engine.scope import StepScope
from halflap.engine.step import Perform
from halflap.engine.twoway import Current, Partner, ask
from halflap.errors import (
    Cancel,
    DefinitionError,
    Fenced,
    HalflapError,
    InvalidEvent,
    NotFound,
    Overruled,
    RateLimited,
    RetryLater,
    StoreError,
    TooManyHops,
)
from halflap.model import (
    CALL,
    CONTINUED,
    Continuation,
    Failure,
    FlowKey,
    Micros,
    Outcome,
    StateWrite,
    event_time,
)
from halflap.sdk import connection, payload, redact, running
from halflap.sdk.action import Action, Retry
from halflap.sdk.compatibility import published
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context, CustomerInfo, InstanceInfo
from halflap.sdk.deadline import Deadline
from halflap.sdk.declared import FILTER_FAILED, FILTERED, apply_filter_again, mark_of
from halflap.sdk.decoding import predecode
from halflap.sdk.egress import Egress
from halflap.sdk.integration import Flow
from halflap.sdk.link import SignalLink
from halflap.sdk.pairs import read_of, with_current
from halflap.sdk.payload import PayloadReader
from halflap.sdk.record import Seal, Sealing, Unsealing, adapter_of, recall_value, record_value
from halflap.sdk.redact import Redactor
from halflap.sdk.request import Headers, Request, as_request
from halflap.sdk.running import Suspended
from halflap.sdk.schema import Config
from halflap.sdk.trigger import BoundTrigger, Ignore, Reply, fit_event
from halflap.store.rules.cause import describe_cause
from halflap.store.rules.continuing import begins_at

UNSATISFIED = timedelta(seconds=30)
MOST_BRANCHES = 100
"""The number of branches that a failure names."""
MOST_TOLD = 3


def no_links(link: SignalLink) -> str:
    """Where nobody serves links."""
    raise DefinitionError("nobody serves links here; send the signal by hand")


async def as_it_is(key: FlowKey) -> FlowKey:
    """Return a flow as it is pinned."""
    return key


@dataclass(frozen=True, slots=True)
class Work:
    """All that running a flow of an instance needs, read once per execution."""

    flow: Flow[Any, Any, Any]
    config: Config | None
    customer: CustomerInfo
    instance: InstanceInfo
    urls: Mapping[str, str]
    secret: Callable[[str], SecretStr]
    seal: Seal
    unseal: Seal
    egress: Egress | None = None
    partner: Partner | None = None
    doorkeeper: Connection | None = None
    """The connection by which the trigger admits what arrived; None where nothing is to be asked."""
    ask: Current = ask
    siblings: Siblings = field(default_factory=dict[str, Any])
    link: Callable[[SignalLink], str] = no_links
    aim: Aim = no_target
    shared_urls: Mapping[str, str] = field(default_factory=dict[str, str])
    current: Callable[[FlowKey], Awaitable[FlowKey]] = as_it_is
    """The flow on the version and the config that its instance has now."""
    redactor: Redactor = field(default_factory=Redactor)
    """The secrets of the instance: of its connections, endpoints and subscriptions."""
    is_published: bool = False
    """True of a version that runs as it did, with what is refused of a new one (see `compatibility`)."""


Resolve = Callable[[FlowKey], Awaitable[Work]]
"""Finds the work of a flow; `NotFound` where this worker lacks what its version needs, `Cancel` where
its instance was removed.
"""


@dataclass(slots=True)
class Executor:
    """The handler of turns: resolve → record the event → run the flow → verdict."""

    resolve: Resolve
    chance: random.Random = field(default_factory=random.Random)
    perform: Perform | None = None
    reader: PayloadReader | None = None
    """Where payloads are that are too large for memory."""
    recorder: Callable[..., StepRecorder] = StepRecorder

    async def __call__(self, turn: Turn) -> Verdict:
        if turn.cancelling is not None:
            return Ended(Outcome("cancelled", turn.cancelling))
        try:
            work = await self.resolve(turn.start.flow)
        except Cancel as error:
            return Ended(Outcome("cancelled", error.reason))
        except (NotFound, DefinitionError) as error:
            at = turn.now() + micros(UNSATISFIED)
            return Again("later", at, failure=failure_of(error), waiting_for=str(error))
        redactor = work.redactor.fork()
        redact.current.set(redactor)
        if work.is_published:
            published.set([])
        recorder = self.recorder(
            turn,
            seal=Sealing(work.seal, redactor),
            unseal=Unsealing(work.unseal, redactor),
            chance=self.chance,
            siblings=work.siblings,
            perform=self.perform,
        )
        if work.flow.pairs is not None:
            recorder.two_way.echo.pairs = work.flow.pairs.name
        verdict = await self._run(turn, work, recorder)
        if isinstance(verdict, Again):
            verdict = aged(turn, work.flow, verdict, recorder.waits.woken_at)
            if isinstance(verdict, Ended):
                verdict = replace(verdict, writes=await recorder.two_way.failed())
        return bounded(await redacted_verdict(verdict, redactor))

    async def _run(self, turn: Turn, work: Work, recorder: StepRecorder) -> Verdict:
        if work.egress is not None:
            connection.egress.set(work.egress)
        if self.reader is not None:
            payload.reading.set(payload.Reading(self.reader, turn.start.flow.customer))
        scope = recorder.steps.open()
        running.recorder.set(None)
        running.step.set(None)
        deadline = Deadline(work.flow.timeout.total_seconds())
        news: Sequence[StateWrite] = ()
        try:
            with deadline:
                outcome = await self._attempt(turn, work, recorder, scope)
                news = recorder.two_way.ended() if recorder.has_compared else ()
        except asyncio.CancelledError:
            outcome = None
        except (Fenced, StoreError):
            if not deadline.is_cut:
                raise
            outcome = None
        except (Suspended, Cancelled):
            outcome = None
        except Overruled as error:
            outcome = Outcome("ignored", error.message)
        except Cancel as error:
            outcome = Outcome("cancelled", error.reason)
        except (RetryLater, RateLimited) as error:
            wait = error.after if isinstance(error, RetryLater) else error.retry_after
            at = turn.now() + micros(wait or Retry().first)
            waits_for: str = getattr(error, "waiting_for", "")
            recorder.steps.pauses.append(Pause("later", at, failure_of(error), waits_for))
            outcome = None
        except Exception as error:
            branches = sorted(recorder.steps.failed_branches)[:MOST_BRANCHES]
            failure = failure_of(error, turn.start.flow.flow)
            failure = replace(failure, branches=() if failure.step else tuple(branches))
            outcome = Outcome("failed", reason_of(error, failure), failure=failure)
            news = await recorder.two_way.failed()
        finally:
            running.recorder.set(None)
        # An author's code may have swallowed what unwound it, so that is not what is asked here.
        if deadline.is_cut:
            with contextlib.suppress(HalflapError):  # what was done is kept, not done again
                await turn.commit(*await recorder.steps.left())
            raise asyncio.CancelledError
        if recorder.steps.cancelled:
            outcome, news = Outcome("cancelled", turn.cancelling or "cancelled"), ()
        elif deadline.expired:
            message = f"the attempt took longer than the flow's time-out, {work.flow.timeout}"
            failure = Failure("Timeout", message, where=work.flow.where)
            failure = replace(failure, cause=describe_cause(failure, work.flow.name))
            outcome = Outcome("failed", message, failure=failure)
            news = await recorder.two_way.failed()
        elif recorder.steps.pauses:
            return await paused(turn, recorder)
        assert outcome is not None
        next = None
        if recorder.steps.next_event is not None and outcome.state == "succeeded":
            flow = await work.current(turn.start.flow)
            start = continuation(
                turn.start,
                flow,
                recorder.steps.next_event,
                scope.now,
                turn.now(),
                event_time(turn.start.replay, turn.accepted_at),
            )
            at = begins_at(start.link, turn.now(), has_worked=recorder.steps.has_worked)
            next = Continuation(start, recorder.waits.taken, at)
        records, logs, writes = await recorder.steps.left(scope)
        return Ended(outcome, records, logs, [*writes, *news], next)

    async def _attempt(
        self, turn: Turn, work: Work, recorder: StepRecorder, scope: StepScope
    ) -> Outcome:
        flow, start = work.flow, turn.start
        mark = mark_of(start.event)
        request = request_of(turn, work.unseal, mark)
        if request.method != CALL:
            await predecode(request)
        if mark is not None and not apply_filter_again(flow, request, mark):
            return Outcome("ignored", FILTERED)
        trigger = flow.trigger
        if (
            work.doorkeeper is not None
            and request.method != CALL
            # Of an event that was edited, its sender signed another one.
            and not (start.replay and start.replay.has_edited_event)
        ):
            running.recorder.set(recorder)
            refused = await admission(trigger, request)(work.doorkeeper)
            running.recorder.set(None)
            if refused is not None:
                recorder.steps.close(scope)
                return Outcome("ignored", refused)
        found = await recorder.parse(scope, trigger.spec, read(flow, request))
        if isinstance(found, Ignore):
            return Outcome("ignored", found.reason)
        told, event = found
        reads = trigger.declaration.reads
        if request.method == CALL and (flow.pairs is None or not recorder.compares_calls):
            reads = None
        record = None if reads is None else read_of(reads, trigger.trigger.component, told)
        if reads is not None and record is not None:
            recorder.two_way.partner, recorder.two_way.ask = work.partner, work.ask
            news = await recorder.check(record)
            if news.how == "loop":
                raise TooManyHops(news.reason)
            if news.how != "run":
                return Outcome("ignored", f"{news.how}: {news.reason}")
            if news.current is not None:
                event = fitted(flow, with_current(reads, told, news.current))
        running.recorder.set(recorder)
        ctx: Context[Any] = Context(
            config=work.config,
            customer=work.customer,
            instance=work.instance,
            execution=start.execution,
            attempt=turn.attempt,
            flow=flow.name,
            urls=work.urls,
            secrets=work.secret,
            key=start.flow,
            recorder=recorder,
            siblings=work.siblings,
            link=work.link,
            shared_urls=work.shared_urls,
        )
        try:
            value = await flow.function(ctx, event)
        except Suspended:
            if recorder.steps.next_event is None:
                raise
            value = None
        recorder.calls.check()
        if recorder.steps.next_event is not None:
            recorder.steps.close(scope)
            return Outcome("succeeded", CONTINUED, recorder.steps.next_event)
        if flow.preprocess is not None and not isinstance(value, Ignore):
            routes = Routes(recorder.steps, recorder.waits, work.aim)
            value = await routes.route(flow, value)
        recorder.steps.close(scope)
        if isinstance(value, Ignore):
            return Outcome("ignored", value.reason)
        return Outcome("succeeded", result=None if value is None else await encoded(flow, value))


def bounded(verdict: Verdict) -> Verdict:
    """Return a verdict whose reason is no longer than what a list can show.

    It is cut in the middle: of failures that called each other, the last one is the cause.
    """
    if not isinstance(verdict, Ended) or len(verdict.outcome.reason) <= LONGEST_REASON:
        return verdict
    half = LONGEST_REASON // 2 - 1
    reason = f"{verdict.outcome.reason[:half]}…{verdict.outcome.reason[-half:]}"
    return replace(verdict, outcome=replace(verdict.outcome, reason=reason))


def admission(trigger: BoundTrigger[Any], request: Request) -> Action[..., str | None]:
    """Make the step that judges a request by what its app can tell: why it is ignored, or None."""

    async def admit(connection: Connection) -> str | None:
        found = await trigger.admit(connection, request)
        return None if found is None else found.reason

    return Action(
        admit,
        component="",
        connection_type=Connection,
        name="admit",
        title=f"Admit what {trigger.trigger.component} sent",
        repeatable=True,
    )


async def read(flow: Flow[Any, Any, Any], request: Request) -> Ignore | tuple[Any, Any]:
    """Return the trigger's reading of the request, and that as the flow's event; or raise
    `InvalidEvent`.

    Of what another flow made, no trigger reads anything: it is the flow's event.
    """
    if request.method == CALL:
        event = await recall_value(request.body, None, refuse_secret)
        return event, fitted(flow, event)
    try:
        event = await flow.trigger.parse(request)
    except InvalidEvent:
        raise
    except Exception as error:
        reason = failure_of(error)
        raise InvalidEvent(
            f"{flow.trigger.name} could not read the request: {reason.message}"
        ) from error
    return event if isinstance(event, Ignore) else (event, fitted(flow, event))


def fitted(flow: Flow[Any, Any, Any], event: Any) -> Any:
    """An event as the flow's second parameter says."""
    return fit_event(event, flow.event_type, flow.function)


async def encoded(flow: Flow[Any, Any, Any], value: Any) -> bytes:
    """A flow's result as bytes, for whoever called it: a `Reply` keeps its parts, a secret is refused."""
    if isinstance(value, Reply):
        body = value.body.decode("latin-1") if isinstance(value.body, bytes) else value.body
        kind = "bytes" if isinstance(value.body, bytes) else "value"
        shown = {"status": value.status, "headers": dict(value.headers), "body": body, "kind": kind}
        return await record_value({"$reply": shown}, None, refuse_secret)
    untyped = flow.result_type is Any or flow.preprocess is not None  # of another flow
    adapter = None if untyped else adapter_of(flow.result_type)
    return await record_value(value, adapter, refuse_secret)


def refuse_secret(_: str) -> str:
    """A flow's result leaves this place, so that no secret may be in it."""
    raise TypeError("the flow's result holds a secret; return what the caller may see")


def request_of(turn: Turn, unseal: Seal, mark: str | None = None) -> Request:
    """The kept event, without its mark, as the request that it was."""
    event = turn.start.event
    sent = event.headers
    if mark is not None:
        sent = [each for each in sent if each[0] != FILTER_FAILED]
    return as_request(event, Headers(opened_headers(sent, unseal)))


async def paused(turn: Turn, recorder: StepRecorder) -> Again:
    """The earliest of what the flow waits for in all its branches, and any signal where one waits."""
    first = min(
        recorder.steps.pauses, key=lambda each: (each.at is None, each.at, each.how != "park")
    )
    heard = recorder.waits.heard if any(each.hears for each in recorder.steps.pauses) else None
    records, logs, writes = await recorder.steps.left()
    if writes:
        await turn.commit(records, logs, writes)
        records, logs = (), ()
    said = told_together([each.waiting_for for each in recorder.steps.pauses if each.waiting_for])
    if first.how == "park":
        said = first.waiting_for  # by which it is found once the connection is mended
    return Again(first.how, first.at, records, logs, first.failure, said, heard)


def told_together(waits: Sequence[str]) -> str:
    """Return the reasons for which an execution waits, in one line: the first few, and how many
    more.
    """
    shown, more = waits[:MOST_TOLD], len(waits) - MOST_TOLD
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def aged(turn: Turn, flow: Flow[Any, Any, Any], verdict: Again, woken_at: Micros) -> Verdict:
    """An execution that would go on after its maximum age fails now instead.

    The age counts from its first attempt, or from the end of its last sleep or wait: the time that
    it was held, or had no turn, is none of its own.
    """
    if verdict.how not in ("retry", "later", "park"):
        return verdict
    woken = [int(each.result or 0) for each in turn.history if each.kind == "sleep"]
    woken += [
        each.ended_at
        for each in turn.history
        if each.kind in ("signal", "call") and each.status != "retrying"
    ]
    own = [each.started_at for each in turn.history if each.seq >= 0]
    begun_at = max(turn.accepted_at, min(own, default=turn.now()))
    oldest = max([begun_at, woken_at, *woken]) + micros(flow.max_age)
    if verdict.how == "park" and turn.now() < oldest:
        # So that it fails then, if nobody mends the connection.
        return replace(verdict, at=min(verdict.at or oldest, oldest))
    if verdict.at is not None and verdict.at <= oldest:
        return verdict
    why = f": {verdict.failure.text}" if verdict.failure else ""
    reason = f"not done within the flow's maximum age, {flow.max_age}{why}"
    outcome = Outcome("failed", reason, failure=verdict.failure)
    return Ended(outcome, verdict.records, verdict.logs)
