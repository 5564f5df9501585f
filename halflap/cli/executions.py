"""`halflap executions` and `halflap events`: what happened, why, and again."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, BinaryIO, get_args

import click

from halflap.api.execution_view import (
    CauseView,
    ChangeView,
    ExecutionOutline,
    ExecutionPage,
    ExecutionSummary,
    ExecutionView,
    LastEvent,
    LogView,
    Replayed,
    SearchEnd,
    SearchHit,
    StepView,
)
from halflap.api.view import InstanceSummary
from halflap.cli.bulk import Many, bulk_options, changed_line, do_many, overwriting_line, time_of
from halflap.cli.client import Client, path, read
from halflap.cli.event_types import publish_event, send_event
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago, full_name, in_own_words, state, took
from halflap.cli.pauses import whoever
from halflap.cli.reach import customer_option, patience_option, speaks
from halflap.cli.record import (
    DoubtsBelow,
    clock,
    event_lines,
    execution_lines,
    in_doubt,
    log_line,
    name_of,
    waits,
)
from halflap.errors import ConfigError, HalflapError
from halflap.lowcode.outline import flow_lines
from halflap.lowcode.outline.nodes import Path
from halflap.model import ENDED, ExecutionState
from halflap.sdk import codec

LOOKS_EVERY = 0.3
STATES = get_args(ExecutionState)
NO_EXECUTIONS = "no executions; an event that arrives starts one"

executions_argument = click.argument("executions", metavar="EXECUTION…", nargs=-1)
execution_argument = click.argument("execution", metavar="EXECUTION")
instance_option = click.option("--instance", metavar="NAME", help="The instance, by name or id.")
NARROWING = (
    customer_option,
    instance_option,
    click.option("--flow", metavar="NAME", help="Only those of a flow."),
    click.option("--integration", metavar="NAME", help="Only those of an integration."),
    click.option("--trigger", metavar="NAME", help="Only those of flows with this trigger."),
    click.option("--component", metavar="NAME", help="Only what failed of its actions."),
    click.option(
        "--failure-kind", metavar="CLASS", help="Only what failed of this class of error."
    ),
    click.option(
        "--status", type=click.IntRange(100, 599), help="Only what failed of this HTTP status."
    ),
    click.option(
        "--since",
        metavar="TIME",
        help="Accepted since then, as 2h, 3d, or a time; of those that have ended (--failed, --cause, "
        "--status, --component, --failure-kind, --reason, a --state of the end) and of failures: ended "
        "since then.",
    ),
    click.option("--until", metavar="TIME", help="Accepted before then, or ended, as for --since."),
)


def narrowing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which executions and their causes are narrowed, in their order."""
    return reduce(lambda made, option: option(made), reversed(NARROWING), command)


def narrowing_query(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of these options as the API's query takes them."""
    customer, instance = apart(given["customer"], given["instance"])
    since, until = (None if at is None else time_of(at) for at in (given["since"], given["until"]))
    return {**given, "customer": customer, "instance": instance, "since": since, "until": until}


async def whole(api: Client, execution: str) -> ExecutionView:
    """An execution in full, by its id; `last` is the newest."""
    return await api.get(ExecutionView, "executions", execution)


@click.group("executions", cls=CommandGroup)
def executions() -> None:
    """Executions of flows: what happened, why, and again.

    EXECUTION is an id, or last.

    Example: halflap executions show last
    """


@executions.command("list")
@narrowing_options
@click.option("--version", metavar="N|TARGET|HASH", help="Only those of its version, or of a hash.")
@click.option("--state", metavar="STATE,…", help=f"Only these: {', '.join(STATES)}.")
@click.option("--key", metavar="ID", help="Only those of a record.")
@click.option("--reason", metavar="TEXT", help="Only those whose reason contains it, as: 401.")
@click.option(
    "--cause", metavar="MARK", help="Only what failed of it: halflap executions failures."
)
@click.option("--parent", metavar="EXECUTION", help="Only those that it started.")
@click.option("--bulk", metavar="BULK", help="Only the replays of a bulk.")
@click.option("--failed", is_flag=True, help="The dead letters: failed, and not dismissed.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@speaks()
async def list_executions(
    api: Client, output: Output, failed: bool, limit: int, **given: Any
) -> None:
    """List executions, newest first.

    Example: halflap executions list --customer Initech --failed
    """
    query = {**narrowing_query(given), "dead_letters": failed or None}
    found: list[ExecutionSummary] = []
    more: str | None = None
    pages = api.pages(ExecutionPage, "executions", limit=limit, most=200, place="before", **query)
    async for page in pages:
        found += page.items
        more = page.next
    if output.json:
        output.emit_all(found)
        return
    execution_table(output, found, "no dead letters" if failed else NO_EXECUTIONS)
    if more is not None:
        output.note((f"these are the newest {len(found)}; more with --limit", "dim"))


@executions.command("failures")
@narrowing_options
@click.option("--dismissed", is_flag=True, help="Those, too, that were dismissed or replayed.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 200), help="How many causes."
)
@speaks()
async def list_failures(
    api: Client, output: Output, dismissed: bool, limit: int, **given: Any
) -> None:
    """List dead letters by what they failed of, the most first.

    Example: halflap executions failures --since 2h
    """
    query = {**narrowing_query(given), "dismissed": dismissed or None, "limit": limit}
    found = await api.get(list[CauseView], "executions", "causes", **query)
    if output.json:
        output.emit_all(found)
        return
    failure_table(output, found, "no failures" if dismissed else "no dead letters")
    if found and found[0].cause:
        mark = found[0].cause
        output.line()
        output.next(
            f"halflap executions show {found[0].example}  # the newest of the first cause",
            f"halflap executions list --cause {mark}",
            f"halflap executions replay --where cause={mark} --dry-run",
        )


@executions.command("search")
@click.argument("text", metavar="TEXT")
@narrowing_options
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@speaks()
async def search_executions(
    api: Client, output: Output, text: str, limit: int, **given: Any
) -> None:
    """Search events, inputs, results and log lines for TEXT, newest first.

    Example: halflap executions search 4711 --since 2d
    """
    query = {**narrowing_query(given), "q": text}
    found: list[SearchHit] = []
    before: str | None = None
    while len(found) < limit:
        most = min(limit - len(found), 200)
        answer = await api.bytes("search", **query, limit=most, before=before)
        *lines, end = [codec.decode(each) for each in answer.splitlines()]
        found += read(list[SearchHit], [each for each in lines if "execution" in each])
        before = read(SearchEnd, end).next
        if before is None:
            break
    if output.json:
        output.emit_all(found)
        return
    output.table(
        ("id", "flow", "instance", "state!", "accepted!", "in!", "text?"),
        [
            (
                each.execution.id,
                each.execution.flow,
                name_of(each.execution),
                state(each.execution.state),
                (ago(each.execution.accepted_at), "dim"),
                each.part if each.step is None else f"{each.part} of {each.step}",
                (" ".join(each.excerpt.split()), "dim"),
            )
            for each in found
        ],
        "no event, value of a step or log line has this text; what is stored apart is not searched",
    )


def execution_table(output: Output, found: Sequence[ExecutionSummary], empty: str) -> None:
    """Print executions, one a line; of those that are no dead letters any more, how that came."""
    replays = {e.replay_of: f"replayed: {e.state}" for e in reversed(found) if e.replay_of}
    left_off = {each.id: replays.get(each.id, "dismissed or replayed") for each in found}
    output.table(
        ("id", "flow", "instance", "state!", "accepted!", "took!", "waited!", "why?"),
        [
            (
                each.id,
                each.flow,
                name_of(each),
                (f"{each.state}, {left_off[each.id]}", "dim")
                if each.dismissed
                else state(each.state),
                (ago(each.accepted_at), "dim"),
                took(each.took_ms),
                (took(each.waited_ms), "dim"),
                (" ".join((in_own_words(each.reason) or waits(each)).split()), "dim"),
            )
            for each in found
        ],
        empty,
    )


def failure_table(output: Output, found: Sequence[CauseView], empty: str) -> None:
    """Print causes, one a line."""
    output.table(
        ("count!", "cause!", "flows", "where", "first!", "last!", "why?"),
        [
            (
                f"{each.count:,}",
                each.cause,
                ", ".join(each.flows),
                where_failed(each),
                (ago(each.first_at), "dim"),
                (ago(each.last_at), "dim"),
                (in_own_words(each.text), "dim"),
            )
            for each in found
        ],
        empty,
    )


def where_failed(group: CauseView) -> str:
    """Return the instance in which executions failed of a cause, or how many of how many customers."""
    [instance, *others] = group.instances
    if others:
        several = group.customer_count > 1
        whose = f"{group.customer_count:,} customers" if several else instance.customer_name
        return f"{group.instance_count:,} instances of {whose or 'one customer'}"
    if instance.name is None:
        return str(instance.id)
    return f"{instance.customer_name}/{instance.name}"


@executions.command("show")
@execution_argument
@click.option("--full", is_flag=True, help="All of each step's inputs and result.")
@click.option("--outline", is_flag=True, help="The flow's outline, and what ran of it.")
@speaks()
async def show_execution(
    api: Client, output: Output, execution: str, full: bool, outline: bool
) -> None:
    """Show an execution: its event, its steps, why it failed, what to do next.

    Example: halflap executions show last
    """
    if outline:
        laid = await api.get(ExecutionOutline, "executions", execution, "outline")
        output.emit(laid) if output.json else outline_lines(output, laid)
        return
    found = await whole(api, execution)
    if output.emitted(found):
        return
    logs = await api.list(LogView, "executions", found.id, "logs")
    execution_lines(output, found, logs, await doubts_below(api, found), full=full)


def outline_lines(output: Output, laid: ExecutionOutline) -> None:
    """Show the outline of an execution's flow: before each line, how often it ran, and how it ended."""
    notes: dict[Path, str] = {}
    for each in laid.nodes:
        times = f"{each.times or len(each.steps)}×"
        notes[tuple(each.path)] = " ".join(filter(None, (each.state, times)))
    if laid.at is not None:
        notes[tuple(laid.at)] = f"{laid.state} here"
    for line in flow_lines(laid.flow, notes):
        output.line(line)
    if laid.unplaced:
        several = ", ".join(laid.unplaced)
        output.note((f"several steps of the text may have made these: {several}", "dim"))
    if laid.stopped and laid.at is None:
        output.note((f"it could not be followed further: {laid.stopped}", "dim"))


@executions.command("logs")
@execution_argument
@click.option("--follow", is_flag=True, help="Go on until it has ended.")
@speaks(find=whole)
async def show_logs(api: Client, output: Output, found: ExecutionView, follow: bool) -> None:
    """Show what the author's code logged.

    Example: halflap executions logs last --follow
    """
    after = 0
    while True:
        for each in await api.list(LogView, "executions", found.id, "logs", after=after):
            after = each.id
            if not output.emitted(each):
                log_line(output, each)
        if not follow or found.state in ENDED:
            break
        await asyncio.sleep(LOOKS_EVERY)
        found = await whole(api, found.id)
    if after == 0:
        output.progress(("nothing was logged", "dim"))


@executions.command("tail")
@customer_option
@instance_option
@speaks()
async def tail_executions(
    api: Client, output: Output, customer: str | None, instance: str | None
) -> None:
    """Follow executions as they happen, until Ctrl-C.

    Example: halflap executions tail --instance Initech/warehouse
    """
    customer, instance = apart(customer, instance)
    changes = api.stream("stream", topics="executions", customer=customer, instance=instance)
    listed = await api.list(InstanceSummary, "instances")
    names = {each.id: full_name(each) for each in listed}
    async for heard in changes:
        change = None if heard is None else read(ChangeView, heard)
        if change is None:
            output.progress((f"following {api.where}; Ctrl-C ends it", "dim"))
        elif not output.emitted(change) and not change.dismissed:
            await tell(api, output, change, names)
    raise HalflapError(f"the server at {api.where} stopped")


@executions.command("signal")
@execution_argument
@click.argument("name", metavar="NAME")
@click.option("--data", metavar="JSON", default="null", help="What the flow gets; null otherwise.")
@speaks(find=whole)
async def signal_execution(
    api: Client, output: Output, found: ExecutionView, name: str, data: str
) -> None:
    """Send the signal NAME to an execution whose flow waits for it.

    Example: halflap executions signal last approved --data '{"by": "Ada"}'
    """
    payload = json_of("--data", data)
    sent = await api.post(ExecutionSummary, "executions", found.id, "signals", name, json=payload)
    if output.emitted(sent):
        return
    output.line(f"{sent.id} was sent ", (name, "bold"))
    if not api.runs:
        output.note(("It goes on once a server runs: halflap serve", "yellow"))


@executions.command("cancel")
@executions_argument
@click.option("--reason", default="cancelled by hand", show_default=True, help="Why.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 86_400),
    metavar="SECONDS",
    help="How long it may go on running before it is cut; as the server is set otherwise.",
)
@bulk_options
@speaks()
async def cancel_execution(
    api: Client,
    output: Output,
    executions: tuple[str, ...],
    many: Many | None,
    **how: Any,
) -> None:
    """Cancel executions: at once where they wait, at their next step where they run.

    One that comes to no step within its grace is cut. No other outcome stands any more.

    Example: halflap executions cancel last --reason "a test" --grace 5
    """
    if many is not None:
        await do_many(api, output, "cancel", many, **how)
        return
    for execution in executions:
        found = await api.post(ExecutionSummary, "executions", execution, "cancel", json=how)
        ended = found.state in ENDED
        said = state(found.state) if ended else "ends at its next step, or is cut"
        output.answer(found, f"{found.id}  ", said)


@executions.command("replay")
@executions_argument
@click.option(
    "--from",
    "start",
    type=click.Choice(["start", "failed"]),
    help="The whole of it, or from the step that failed; asked of what failed: failed.",
)
@click.option(
    "--version",
    help="On this version: same (its own, with its config), current, a number, a hash, a target; "
    "its instance's otherwise.",
)
@click.option(
    "--event",
    "body",
    type=click.File("rb"),
    metavar="FILE",
    help="With this body in place of the event's; - is stdin.",
)
@click.option(
    "--header",
    "headers",
    metavar="NAME:VALUE",
    multiple=True,
    help="With this header in the event; without a VALUE, without it.",
)
@click.option(
    "--repeat",
    is_flag=True,
    help="Do again what may have been done, also where this version does it elsewhere in its flow, "
    "and what was done with other inputs.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Also what was replayed since, or where newer events of its order have run.",
)
@click.option(
    "--done",
    metavar="JSON",
    help="The step in doubt was done, with this result: send nothing, and go on behind it.",
)
@click.option("--step", metavar="PATH", help="With --done: which step, where several are in doubt.")
@click.option("--wait", is_flag=True, help="Wait for it to end, and show it.")
@patience_option
@bulk_options
@speaks()
async def replay_execution(
    api: Client,
    output: Output,
    executions: tuple[str, ...],
    many: Many | None,
    start: str | None,
    body: BinaryIO | None,
    headers: tuple[str, ...],
    done: str | None,
    step: str | None,
    wait: bool,
    timeout: float,
    **how: Any,
) -> None:
    """Run executions again: those that failed from the failed step, others from the start.

    From the failed step, what succeeded is not done again, and idempotency keys stay the same.
    Many are run again by the server, each once, also after a crash of it: --where.

    Example: halflap executions replay --where state=failed --where since=2h --dry-run
    """
    edit = edited_event(body, headers)
    how |= {"from": start}
    if step is not None and done is None:
        raise click.UsageError("--step goes with --done")
    if done is not None and (edit or how["repeat"] or start == "start"):
        raise click.UsageError("--done goes without --event, --header, --repeat and --from start")
    if (edit or done is not None) and len(executions) != 1:
        raise click.UsageError("--event, --header and --done go with one execution")
    if many is not None:
        if wait:
            raise click.UsageError("--wait goes with executions that are named")
        await do_many(api, output, "replay", many, **how)
        return
    if wait and not api.runs:
        raise ConfigError(
            "no server runs, so there is nothing to wait for; start one with halflap serve, or leave "
            "out --wait: it runs once a server does"
        )
    if edit:
        how["event"] = edit
    if done is not None:
        how["done"] = {"result": json_of("--done", done), "by": whoever(), "step": step}
    for execution in executions:
        found = await whole(api, execution)
        made = await api.post(Replayed, "executions", found.id, "replay", json=how)
        if wait:
            await ended(api, output, made.execution, timeout)
        elif not output.emitted(made):
            replayed_lines(api, output, found, made)


def replayed_lines(api: Client, output: Output, found: ExecutionView, made: Replayed) -> None:
    """Say how an execution is run again."""
    how = "from the failed step" if made.from_ == "failed" else "from the start"
    keys = "new" if made.root == made.execution else "the same"
    output.line(f"{found.id} is run again {how}: ", (made.execution, "bold"))
    output.line((f"with {keys} idempotency keys", "dim"))
    if made.changed:
        changed_line(output)
    if made.overwrites is not None:
        overwriting_line(output, found.flow, ago(made.overwrites))
    if not api.runs:
        output.note(("It runs once a server does: halflap serve", "yellow"))


@executions.command("dismiss")
@executions_argument
@bulk_options
@speaks()
async def dismiss_execution(
    api: Client, output: Output, executions: tuple[str, ...], many: Many | None
) -> None:
    """Take failed executions off the dead letters.

    Example: halflap executions dismiss last
    """
    if many is not None:
        await do_many(api, output, "dismiss", many)
        return
    for execution in executions:
        found = await whole(api, execution)
        await api.request("POST", path("executions", found.id, "dismiss"))
        output.answer({"dismissed": found.id}, f"dismissed {found.id}")


@click.group("events", cls=CommandGroup)
def events() -> None:
    """Print an event: its request and its body; or send or publish one.

    Example: halflap events last
    """


events.add_command(send_event)
events.add_command(publish_event)


@events.command("last")
@customer_option
@instance_option
@click.option("--flow", metavar="NAME", help="Of a flow.")
@click.option("--body", is_flag=True, help="Only its body, byte for byte.")
@speaks()
async def last_event(
    api: Client, output: Output, body: bool, flow: str | None, **whose: str | None
) -> None:
    """Show the newest event: its request, its headers, its body.

    Example: halflap events last --flow stock --body > sample.json
    """
    customer, instance = apart(**whose)
    query = {"customer": customer, "instance": instance, "flow": flow}
    found = await api.get(LastEvent, "events", "last", **query)
    if body:
        raw = await api.bytes("executions", found.execution, "body")
        if sys.stdout.isatty():
            output.line(raw.decode(errors="replace"))
        else:
            sys.stdout.buffer.write(raw)
    elif not output.emitted(found):
        event_lines(output, found, whole=True)
        output.next(f"halflap executions show {found.execution}")


def json_of(option: str, text: str) -> Any:
    """Return the value of an option that is JSON."""
    try:
        return codec.decode(text)
    except codec.NotJson as error:
        raise ConfigError(
            f"{option} is not JSON: {error}; write text in quotes: '\"yes\"'"
        ) from error


def edited_event(body: BinaryIO | None, headers: Sequence[str]) -> dict[str, Any]:
    """Return the changed parts of the event; empty where there are none."""
    edit: dict[str, Any] = {}
    if body is not None:
        edit = {"body": base64.b64encode(body.read()).decode(), "encoding": "base64"}
    for each in headers:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise ConfigError(f"--header {each}: it is NAME:VALUE")
        edit.setdefault("headers", {})[name.strip()] = value.strip() or None
    return edit


def apart(customer: str | None, instance: str | None) -> tuple[str | None, str | None]:
    """A customer and an instance; an instance may be named CUSTOMER/NAME."""
    owner, slash, name = (instance or "").rpartition("/")
    return (owner, name) if slash else (customer, instance)


async def doubts_below(api: Client, found: ExecutionView) -> DoubtsBelow:
    """Return the steps in doubt of what the calls in doubt called, each with its execution's id."""
    below: dict[str, tuple[str, StepView] | None] = {}
    for each in in_doubt(found):
        step = each
        while step.kind == "call" and step.failure is not None and step.failure.where:
            child = await whole(api, step.failure.where)
            if any(one.state == "succeeded" and one.id > child.id for one in child.lineage):
                below[each.path] = None
                break
            if not (deeper := in_doubt(child)):
                break
            step = deeper[0]
            below[each.path] = child.id, step
    return below


async def tell(api: Client, output: Output, change: ChangeView, names: Mapping[str, str]) -> None:
    """A change in one line; of what failed, why."""
    where = names.get(change.instance, change.instance)
    why = f"  {in_own_words(change.reason)}" if change.reason else ""
    tries = f"  attempt {change.attempt}" if change.attempt > 1 else ""
    length = ""
    if change.state in ENDED:
        found = await whole(api, change.execution)
        length = f"  {took(found.took_ms)}"
    output.line(
        (f"{clock(change.at)}  ", "dim"),
        f"{where} {change.flow}  ",
        state(change.state),
        (f"{length}{tries}", "dim"),
        (" ".join(why.split(" ")), "yellow"),
        (f"  {change.execution}", "dim"),
    )


async def ended(api: Client, output: Output, execution: str, within: float) -> None:
    """Wait until an execution has ended, and show it; one that failed is an error."""
    found = await whole(api, execution)
    output.progress((f"running {execution} …", "dim"))
    end = asyncio.get_running_loop().time() + within
    while found.state not in ENDED:
        if asyncio.get_running_loop().time() > end:
            see = output.command(f"halflap executions show {execution}")
            raise HalflapError(
                f"{execution} is still {found.state} after {within:g} s; it goes on at the server. "
                f"See: {see}"
            )
        await asyncio.sleep(LOOKS_EVERY)
        found = await whole(api, execution)
    if not output.emitted(found):
        execution_lines(output, found, [], await doubts_below(api, found))
    if found.state == "failed":
        raise click.exceptions.Exit(1)
