"""Print an execution, its event and its steps in a terminal."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from rich.text import Text

from halflap.api.execution_view import (
    AttemptView,
    EventView,
    ExecutionSummary,
    ExecutionView,
    FailureView,
    GroupView,
    LogView,
    RelatedView,
    StepView,
)
from halflap.api.view import PauseView
from halflap.cli import twoway
from halflap.cli.control import clean
from halflap.cli.output import (
    Output,
    Part,
    ago,
    in_own_words,
    inline,
    quoted,
    size,
    state,
    took,
    version,
    when,
)
from halflap.cli.pauses import told
from halflap.cli.screen import own_place
from halflap.model import ENDED, failure_text

DoubtsBelow = Mapping[str, tuple[str, StepView] | None]
"""By the path of a call in doubt, the step that is in doubt, and the execution that has it; None where
a replay has mended what was called, so that its result is taken.
"""
OWN = ("same", "current")

MOST_BODY = 2_000
"""So many characters of a body are shown, unless all of it is asked for."""
DULL = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
)
"""Headers that seldom matter."""
MOST_INPUTS = 2_000
"""So many characters of a step's inputs are shown where no terminal sets a limit."""
ASLEEP = frozenset({"sleep", "signal", "call"})
"""Ends of an attempt that are no try: the flow itself waits."""


def execution_lines(
    output: Output,
    found: ExecutionView,
    logs: Sequence[LogView],
    below: DoubtsBelow | None = None,
    *,
    full: bool = False,
) -> None:
    """An execution, and what to do next; `full` cuts no inputs and no results."""
    output.line(
        (f"{found.flow}", "bold"),
        f" of {name_of(found)}  ",
        state(found.state),
        (lengths(found), "dim"),
    )
    slept = sum(each.how in ASLEEP for each in found.attempts)
    tries = found.attempt - slept
    output.pairs(
        {
            "id": found.id,
            "integration": f"{found.integration}, version {version(found.version)}",
            "accepted": f"{ago(found.accepted_at)}  ({found.accepted_at})",
            "why": in_own_words(found.reason) if found.failure is None else "",
            "cause": found.cause,
            "order": order_of(found),
            "waits for": waits(found),
            "tries": f"{tries} attempts" if tries > 1 else "",
            "record": found.key,
            "started by": found.parent,
            "children": children(found),
            "continues": found.continues,
            "continued by": found.continued_by,
            "replay of": found.replay_of,
            "event": f"edited by {found.edited_by}" if found.edited_by else "",
            "replayed as": ", ".join(found.replays),
            "dismissed": "it is no dead letter" if found.dismissed and not found.replays else "",
            "duplicates": f"{found.duplicates} came and were not run" if found.duplicates else "",
        }
    )
    if found.event is not None:
        output.line(("\nEvent", "bold"))
        event_lines(output, found.event)
    steps = [each for each in found.steps if each.kind != "trigger" or each.failure]
    if steps:
        output.line(("\nSteps", "bold"))
        step_lines(output, steps, full=full)
    if found.payload_removed:
        output.line(("\nPayload", "bold"), ("  was removed, as its retention says", "dim"))
    attempt_lines(output, found.attempts)
    lineage_lines(output, found)
    if logs:
        output.line(("\nLog", "bold"))
        for each in logs:
            log_line(output, each)
    if found.result is not None:
        output.line(("\nResult", "bold"))
        output.line("  ", uncut(found.result) if full else inline(found.result, MOST_BODY))
    if found.failure is not None or found.state not in ENDED:
        failure_part(output, found)
    next_steps(output, found, below or {})


def lengths(found: ExecutionView) -> str:
    """Return for how long an execution ran, and waited; nothing where neither is known yet."""
    ran, waited = took(found.took_ms), took(found.waited_ms)
    return f"  took {ran}{', waited ' if waited else ''}{waited}" if ran else ""


def failure_part(output: Output, found: ExecutionView) -> None:
    """Why it failed; of what is tried again, why the last attempt did."""
    failure, title = found.failure, ("\nFailed", "bold red")
    if found.state not in ENDED:
        title = ("\nThe last attempt failed", "bold yellow")
        attempts = found.attempts
        failure = failure or (attempts[-1].failure if attempts else None)
    if failure is not None:
        output.line(title)
        failure_lines(output, failure, cause(found, failure))


def event_lines(output: Output, event: EventView, *, whole: bool = False) -> None:
    """Print the event: its request, the headers that matter, its body."""
    query = f"?{event.query}" if event.query else ""
    if event.url:
        request = f"{event.method} {event.url}{event.path}{query}"
        output.line("  ", request, (f"  {size(event.size)}, {ago(event.received_at)}", "dim"))
    else:
        output.line("  by itself", (f"  {ago(event.received_at)}", "dim"))
    for name, value in event.headers:
        if whole or name.lower() not in DULL:
            output.line((f"  {name}: ", "dim"), value)
    body = event.body
    if event.encoding == "base64" and body:
        output.line((f"  {size(event.size)} of binary data", "dim"))
        return
    most = len(body) if whole else MOST_BODY
    if body:
        output.line()
        for line in body[:most].splitlines():
            output.line("  ", line)
    if len(body) > most or event.note:
        more = "halflap events last --body" if whole else "halflap executions show … --json"
        output.line((f"  … cut; all of it: {more}", "dim"))


def step_lines(output: Output, steps: Sequence[StepView], *, full: bool = False) -> None:
    """Steps as a tree: what ran side by side lies under its branch."""
    open_: list[str] = []
    titles = [str(each.title or each.name) for each in steps]
    width = max(min(len(clean(each)), 40) for each in titles)
    for each, title in zip(steps, titles, strict=True):
        *scopes, _ = each.path.split("/")
        for depth, scope in enumerate(scopes):
            if open_[: depth + 1] != scopes[: depth + 1]:
                output.line("  " * (depth + 1), (scope, "dim"))
        open_ = scopes
        indent = "  " * (len(scopes) + 1)
        output.line(indent, *step_parts(output, each, f"{title:<{width}}", full=full))
        input_lines(output, each, f"{indent}    ", full=full)


def step_parts(output: Output, step: StepView, title: str, *, full: bool) -> list[Part]:
    """A step in one line: how it ended, how long it took, what came out or why it failed."""
    good = step.status == "succeeded"
    if step.kind == "sleep" or (step.kind in ASLEEP and step.status == "retrying"):
        kept: Mapping[str, Any] = step.result or {}
        until = f" until {clock(kept['until'])}" if "until" in kept else ""
        mark = (output.mark("✓", "+"), "green") if good else (output.mark("‖", "="), "yellow")
        return [mark, f" {step.title or 'Sleep'}{until}", origin(step)]
    again = step.status == "retrying"
    mark = (
        output.mark("✓", "+") if good else output.mark("↻", "~") if again else output.mark("✗", "x")
    )
    colour = "green" if good else "yellow" if again else "red"
    tries = f"  {step.tries} tries" if step.tries > 1 else ""
    failure = step.failure
    said = f"  {' '.join(text_of(failure).split())}" if failure else ""
    if again and step.due_at:
        said += f"; next try {clock(step.due_at)}"
    arrow = output.mark("→", "->")
    told = twoway.found(step.kind, step.inputs, step.result, arrow) if good else None
    result = f"  {told}" if told else ""
    if good and told is None and worth(step.result):
        result = f"  {uncut(step.result) if full else inline(step.result)}"
    length = (f"  {took(step.duration_ms):>8}{tries}", "dim")
    cut = (
        f"  may have been done twice: attempt {step.cut_attempt} was cut"
        if step.cut_attempt
        else ""
    )
    parts = [(mark, colour), f" {title}", length, origin(step), (cut, "yellow"), (result, "dim")]
    return [*parts, (said, colour)]


def origin(step: StepView) -> Part:
    """Where a step was copied from by a replay, or who said that it was done: it did not run again."""
    said = "" if step.said_by is None else f"  done, as {step.said_by or 'a person'} said"
    copied = f"  from {step.copied_from}" if step.copied_from else ""
    return (f"{copied}{said}", "cyan")


def input_lines(output: Output, step: StepView, indent: str, *, full: bool) -> None:
    """Print a step's inputs: one line as wide as the terminal; all of it, one a line, with `full`."""
    inputs: Any = step.inputs
    given = twoway.told(step.kind, inputs)
    if given is None and isinstance(inputs, Mapping):
        given = list(cast(Mapping[str, Any], inputs).items())
    if given is not None:
        named = [f"{name.removeprefix('$')}={uncut(value)}" for name, value in given]
    else:
        named = [] if inputs is None else [uncut(inputs)]
    if full:
        for each in named:
            output.line(indent, (each, "dim"))
    elif named:
        line = Text(clean("  ".join(named)))
        most = max(min(output.console.width - len(indent), MOST_INPUTS), 1)
        line.truncate(most, overflow="ellipsis")
        output.line(indent, (line.plain, "dim"))


def attempt_lines(output: Output, attempts: Sequence[AttemptView]) -> None:
    """The attempts that did not end it, with their reasons; not those that only went to sleep."""
    tried = [each for each in attempts if each.how not in ASLEEP]
    if tried:
        output.line(("\nAttempts", "bold"))
    for each in tried:
        failure = each.failure
        why = f"{failure.kind}: {in_own_words(failure.message)}" if failure else each.how
        output.line((f"  {each.number:>2}  {clock(each.ended_at)}  ", "dim"), " ".join(why.split()))


def worth(result: Any) -> bool:
    """Return whether a step's result is shown."""
    return result not in (None, True)


def uncut(value: Any) -> str:
    """A value as JSON in one line, however long."""
    return inline(value, sys.maxsize)


def lineage_lines(output: Output, found: ExecutionView) -> None:
    """Print the replays of an execution and their originals, each under what it came from."""
    lineage = found.lineage
    if len(lineage) < 2:
        return
    output.line(("\nLineage", "bold"))
    depths: dict[str, int] = {}
    for each in lineage:
        depth = depths[each.id] = depths.get(each.replay_of or "", -1) + 1
        own = ("  this one", "cyan") if each.id == found.id else ""
        output.line("  " * (depth + 1), each.id, "  ", state(each.state), own, (again(each), "dim"))


def again(each: RelatedView) -> str:
    """Return the way in which an execution replays another one."""
    if each.from_ is None:
        return ""
    how = "  from the failed step" if each.from_ == "failed" else "  from the start"
    event = f", with an event that {each.edited_by} edited" if each.edited else ""
    event += "".join(f", {step} done as {by or 'a person'} said" for step, by in each.done.items())
    bulk = f", by {each.bulk}" if each.bulk else ""
    return (
        f"{how}{event}, on its {each.on} version{bulk}"
        if each.on in OWN
        else (f"{how}{event}, on version {each.on}{bulk}")
    )


def text_of(failure: FailureView) -> str:
    """Return why something failed, where its error's class is not shown beside it."""
    return in_own_words(failure_text(failure.kind, failure.message))


def failure_lines(output: Output, failure: FailureView, step: FailureView | None = None) -> None:
    """An error with its places in the author's code: that of the step, and the flow's that called it."""
    message = in_own_words((step or failure).message)
    output.line("  ", (f"{failure.kind}: ", "red"), message)
    inner = step is not None and place_lines(output, step)
    place_lines(output, failure, "called at " if inner else "")


def place_lines(output: Output, failure: FailureView, said: str = "") -> bool:
    """The author's line in which something failed; whether there is one."""
    if place := own_place(failure.trace):
        output.line(f"  {said}", (place.where, "bold"), f" in {place.function}")
        output.line("    ", (place.source, "dim"))
        return True
    if failure.where:
        output.line(f"  {said}", (in_own_words(failure.where), "bold"))
    return bool(failure.where)


def cause(found: ExecutionView, failure: FailureView) -> FailureView | None:
    """The failure of the step for which the flow failed; None where the flow failed by itself."""
    for each in reversed(found.steps):
        if each.failure and f" ({each.path}) failed: " in failure.message:
            return each.failure
    return None


def next_steps(output: Output, found: ExecutionView, below: DoubtsBelow) -> None:
    """Print the possible next steps for an execution."""
    id = found.id
    match found.state:
        case "failed" if found.moot_by:
            output.line()
            output.line("What called it was told that it is done (--done).")
            output.next(f"halflap executions show {found.moot_by}  # it went on")
        case "failed" if found.flow.startswith("$"):
            output.line()
            output.next(f"halflap instances activate {found.instance}")
        case "failed" if found.replays:
            output.line()
            output.next(f"halflap executions show {found.replays[0]}  # the newest replay")
        case "failed":
            output.line()
            again = (
                ("  # from the failed step", " --from start  # all of it")
                if has_steps(found)
                else ("  # run it again",)
            )
            if (
                found.failure is not None
                and found.failure.kind == "Thrown"
                and not found.failure.step
            ):
                again = (
                    " --from start  # reads anew what it judged",
                    "  # by what was read then: fails again, unless the flow is mended",
                )
                if effects := effects_of(found):
                    again = (again[1], f"{again[0]}; does again: {', '.join(effects)}")
            if found.replay_of and found.failure and found.failure.kind == "Nondeterminism":
                again = (
                    " --version same  # with the version and the config of then",
                    " --repeat  # do it all the same",
                )
            leave = () if found.dismissed else (f"halflap executions dismiss {id}  # leave it",)
            replay = f"halflap executions replay {id}"
            doubts = in_doubt(found)
            if doubts := [each for each in doubts if below.get(each.path, ()) is not None]:
                again = *doubt_lines(output, doubts, below), " --repeat  # it was not done: do it"
            output.next(*(f"{replay}{each}" for each in again), *leave)
        case "waiting" | "queued" | "running":
            output.line()
            output.next(
                *wait_steps(found),
                f"halflap executions logs {id} --follow",
                f"halflap executions cancel {id}",
            )
        case "ignored" if writer := writer_of(found):
            output.line()
            output.next(f"halflap executions show {writer}  # it wrote what came back")
        case _:
            pass


def wait_steps(found: ExecutionView) -> list[str]:
    """Return the commands that end what an execution waits for."""
    wait = found.waiting
    if found.paused:
        return [resumption(each, found) for each in found.paused]
    if wait is not None and wait.connection is not None:
        id, refused = wait.connection, wait.until is None
        return [
            f"halflap connections show {id}  # how it is, and how many wait for it",
            f"halflap connections test {id}  # it goes on as soon as that passes",
            *([f"halflap connections change {id} --secret NAME=-  # other credentials"] * refused),
        ]
    ahead = found.waits_for or (wait and wait.execution)
    return [f"halflap executions show {ahead}  # it waits for this one"] if ahead else []


def resumption(paused: PauseView, found: ExecutionView) -> str:
    """Return the command that ends a pause of an execution."""
    if paused.what == "customer":
        return f"halflap customers resume {quoted(found.customer_name or paused.id)}"
    flow = f" --flow {quoted(paused.flow)}" if paused.flow else ""
    return f"halflap instances resume {quoted(name_of(found))}{flow}"


def writer_of(found: ExecutionView) -> str:
    """The execution whose write came back as this one's event; empty where none did."""
    for each in reversed(found.steps):
        result: Any = each.result
        if each.kind == "check" and isinstance(result, Mapping):
            return str(cast(Mapping[str, Any], result).get("writer", ""))
    return ""


def in_doubt(found: ExecutionView) -> list[StepView]:
    """Return the steps that may have been carried out, which a replay repeats only where that is said."""
    failed = [each for each in found.steps if each.failure and not each.caught]
    return [each for each in failed if each.failure and each.failure.in_doubt]


def doubt_lines(output: Output, doubts: Sequence[StepView], below: DoubtsBelow) -> list[str]:
    """Print what to look for at the app; return the options that say of each step that it was done."""
    output.line(
        "It may have been carried out. First look at the app for what this would have made:"
    )
    for each in doubts:
        owner, step = below.get(each.path) or ("", each)
        called = f" of {owner}, by {each.title} ({each.path})" if owner else ""
        output.line(f"  {step.title} ({step.path}){called}")
        input_lines(output, step, "    ", full=True)
    output.line()
    several = len(doubts) > 1
    return [
        f" --done 'RESULT'{f' --step {quoted(each.path)}' if several else ''}  # it was done: RESULT is "
        "what the step would have returned, as JSON"
        for each in doubts
    ]


def has_steps(found: ExecutionView) -> bool:
    """Return whether any step of the author's was recorded."""
    return any(each.kind != "trigger" for each in found.steps)


def effects_of(found: ExecutionView) -> list[str]:
    """Return the titles of the steps that may have changed something, as far as their names say."""
    return [
        each.title
        for each in found.steps
        if not (each.pure or each.kind in ("trigger", "check") or _READ.search(each.name))
    ]


_READS = "get|list|find|search|fetch|read|query|lookup|pages|count|describe"
_READ = re.compile(rf"(?:^|\.)(?:{_READS})(?:_|\(|$)|^paired\(")


def children(found: ExecutionView) -> str:
    """The executions that it started: one by its id, more by how many there are in each state."""
    started = found.children
    if len(started) < 2:
        return "".join(f"{each.id}  {each.flow}, {each.state}" for each in started)
    counts = Counter(each.state for each in started)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{told}: halflap executions list --parent {found.id}"


UNTIL = {"connection": "tried again", "back-off": "due", "signal": "at the latest"}
"""By what an execution waits for: how the time is called at which that ends, where it is not `until`."""


def waits(found: ExecutionSummary) -> str:
    """Return what an execution waits for, since when, and until when."""
    wait = found.waiting
    if wait is None:
        return ""
    paused = found.paused if isinstance(found, ExecutionView) else []
    if paused:
        return f"it is paused: {'; '.join(map(told, paused))}"
    if wait.execution and wait.reason == "order":
        return f"{wait.execution} ({wait.message})"
    since = f", since {clock(wait.since)}" if wait.since else ""
    number = f"try {wait.number}: " if wait.number else ""
    until = ""
    if wait.until:
        label = UNTIL.get(wait.reason, "until")
        until = f", {label} {clock(wait.until)} ({ago(wait.until)})"
    return f"{number}{in_own_words(wait.message)}{since}{until}"


def order_of(found: ExecutionView) -> str:
    """The order that a flow declares for its executions; pairs are said by their record."""
    order = found.order
    if order is None or order.rule == "pairs":
        return ""
    return f"{order.rule}{', key ' if order.key else ''}{order.key}"


def clock(at: str | None) -> str:
    """A time of the API as the time of day, here; with its date where that is not today."""
    moment = when(at)
    if moment is None:
        return ""
    here = moment.astimezone()
    today = here.date() == datetime.now().date()
    return f"{here:%H:%M:%S}" if today else f"{here:%-d %b %H:%M:%S}"


def log_line(output: Output, line: LogView) -> None:
    """A line that the author's code logged."""
    moment = when(line.at)
    fields = "".join(f"  {name}={inline(value)}" for name, value in line.fields.items())
    styles = {"warning": "yellow", "error": "red", "debug": "dim"}
    output.line(
        (f"  {moment.astimezone():%H:%M:%S}  " if moment else "  ", "dim"),
        (f"{line.level:<8}", styles.get(line.level, "dim")),
        line.message,
        (fields, "dim"),
    )


def name_of(found: ExecutionSummary | GroupView) -> str:
    """An execution's instance, as CUSTOMER/NAME; the id of one that was removed."""
    if found.instance_name is None:
        return found.instance
    return f"{found.customer_name or found.customer}/{found.instance_name}"
