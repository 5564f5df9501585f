"""Act on many executions or instances at once: show which ones, a plan, and the progress."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from halflap.api.execution_view import BulkView, PlanView
from halflap.api.view import RolloutView
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, Part, ago, full_name, in_own_words, state, version
from halflap.cli.reach import speaks, sure, yes_option
from halflap.cli.record import name_of
from halflap.errors import ConfigError
from halflap.sdk.duration import duration

LOOKS_EVERY = 0.3
DONE = {
    "replay": "replayed",
    "cancel": "cancelled",
    "dismiss": "dismissed",
    "upgrade": "upgraded",
}
NAMES = (
    "state", "flow", "integration", "instance", "customer", "reason", "cause", "status", "component",
    "failure_kind", "key", "since", "until",
)  # fmt: skip
PER = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}

Command = Callable[..., Any]


bulk_argument = click.argument("bulk", metavar="BULK")


@dataclass(frozen=True, slots=True)
class Many:
    """The executions that are meant by what holds for them, and how it is done with them."""

    where: Mapping[str, str]
    dry_run: bool
    rate: float | None
    yes: bool


def bulk_options(command: Command) -> Command:
    """Add the options of a command that may be done with many executions at once.

    It gets the ids that were named as `executions`, else as `many` which ones are meant.
    """

    @functools.wraps(command)
    def with_many(
        executions: tuple[str, ...],
        where: tuple[str, ...],
        dry_run: bool,
        rate: str | None,
        yes: bool,
        **given: Any,
    ) -> None:
        many = None
        if where and executions:
            raise click.UsageError("name executions, or say --where; not both")
        if where:
            many = Many(filter_of(where), dry_run, rate_of(rate), yes)
        elif not executions:
            raise click.UsageError(
                "name an execution, or say which ones are meant: --where state=failed"
            )
        elif dry_run or rate:
            raise click.UsageError("--dry-run and --rate go with --where")
        command(executions=executions, many=many, **given)

    for option in (
        click.option("--yes", is_flag=True, help="Do not ask, where many are meant."),
        click.option(
            "--rate",
            metavar="N/s",
            help="With --where: so many a second at most, as 50/s or 600/min.",
        ),
        click.option("--dry-run", is_flag=True, help="With --where: only say what it would be."),
        click.option(
            "--where",
            "where",
            metavar="NAME=VALUE",
            multiple=True,
            help=f"All executions for which this holds: {', '.join(NAMES)}. A time is "
            "RFC 3339, or as long ago as 2h or 7d; of replays and dismissals it is that of the end.",
        ),
    ):
        with_many = option(with_many)
    return with_many


def filter_of(where: Sequence[str]) -> dict[str, str]:
    """`state=failed` and the like, as the API's filter."""
    found: dict[str, str] = {}
    for each in where:
        name, equals, value = each.partition("=")
        if not equals or name not in NAMES or not value:
            raise ConfigError(f"--where {each}: it is NAME=VALUE, with one of: {', '.join(NAMES)}")
        if name in found:
            raise ConfigError(f"--where {name} is there twice")
        found[name] = time_of(value) if name in ("since", "until") else value
    if (instance := found.get("instance")) and "/" in instance:
        customer, _, found["instance"] = instance.rpartition("/")
        found.setdefault("customer", customer)
    return found


def time_of(text: str) -> str:
    """A time of the API from one, or from how long ago it is; one without a zone is this machine's."""
    with suppress(ValueError):
        return (datetime.now(UTC) - duration(text)).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no time: say 2026-01-31T14:00, or how long ago, as 2h, 2m30s or 7d"
        ) from error


def rate_of(text: str | None) -> float | None:
    """`50/s`, `600/min` or `50`: how many a second."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|min|m|h))?", text.strip())
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"--rate {text}: it is a number a second, as 50/s or 600/min")
    return float(found[1]) / PER[found[2] or "s"]


async def do_many(api: Client, output: Output, do: str, many: Many, **options: Any) -> None:
    """Show the plan; unless that is all, do it on the server, and show how far it has come."""
    draft = {"do": do, "where": many.where, "rate": many.rate, **options}
    plan = await api.post(PlanView, "bulks", json={**draft, "dry_run": True})
    if many.dry_run and output.json:
        output.emit(plan)
        return
    if not output.json:
        plan_lines(output, plan)
        if many.dry_run or not plan.total:
            return
        sure(many.yes, f"{do.capitalize()} {counted(plan.total)}?")
    await follow(api, output, await api.post(BulkView, "bulks", json=draft))


async def follow(api: Client, output: Output, bulk: BulkView) -> None:
    """Show how far a bulk has come that the API began, until it has ended."""
    if not api.runs and bulk.do != "upgrade":
        if not output.emitted(bulk):
            output.line((bulk.id, "bold"), f": {counted(bulk.total)}")
            output.note(("It is done once a server runs: halflap serve", "yellow"))
        return
    where = "at the server, also after Ctrl-C" if api.runs else "once a server runs, after Ctrl-C"
    is_running, shown = bulk.state == "running", -1
    if is_running:
        output.progress((f"{bulk.id}: goes on {where}", "dim"))
    while is_running:
        come, is_running = bulk.done + bulk.refused, bulk.state == "running"
        if come != shown:
            shown = come
            output.progress((f"{come:,} of {bulk.total:,}{stage(bulk, come)}", "dim"))
        if is_running:
            await asyncio.sleep(LOOKS_EVERY)
            bulk = await api.get(BulkView, "bulks", bulk.id)
    if not output.emitted(bulk):
        bulk_lines(output, bulk)
        if bulk.do == "upgrade" and bulk.state == "paused":
            figures(output, await api.get(RolloutView, "bulks", bulk.id, "rollout"))
            output.note(("  to go on: ", "dim"), output.command(f"halflap bulks resume {bulk.id}"))
            output.note(("  to go back: ", "dim"), output.command(f"halflap bulks back {bulk.id}"))
    if bulk.state == "failed" or (bulk.do == "upgrade" and bulk.refused):
        raise click.exceptions.Exit(1)


def figures(output: Output, rollout: RolloutView) -> None:
    """Print what ended on each version since an upgrade began, and what became of its canary."""
    for each in rollout.canary:
        became = ("moved", "green") if each.moved else (each.why or "not moved", "yellow")
        output.line(f"  {full_name(each)}: ", became)
    rows: list[Sequence[Part]] = [
        (
            f"{version(each.version)}{' (new)' if each.is_new else ''}",
            f"{each.instances:,}",
            f"{each.succeeded:,}",
            (f"{each.failed:,}", "red" if each.failed else ""),
            "" if each.p95_ms is None else f"{each.p95_ms:,.0f} ms",
        )
        for each in rollout.versions
    ]
    columns = ("version!", "instances", "succeeded!", "failed!", "95% took at most")
    output.table(columns, rows, "no instance has a version")


def stage(bulk: BulkView, come: int) -> str:
    """Say which stage a bulk is in, where it has several."""
    ends = bulk.stages
    if len(ends) < 2:
        return ""
    number = min(sum(each <= come for each in ends) + 1, len(ends))
    return f", stage {number} of {len(ends)}"


@click.group("bulks", cls=CommandGroup)
def bulks() -> None:
    """Actions on many executions or instances at once: list them, follow one, end it, undo it.

    Example: halflap bulks list
    """


@bulks.command("list")
@speaks()
async def list_bulks(api: Client, output: Output) -> None:
    """List what was done with many at once, the newest first.

    Example: halflap bulks list
    """
    output.listing(
        await api.list(BulkView, "bulks"),
        ("id", "what", "state!", "done!", "refused!", "begun!"),
        lambda each: (
            each.id,
            each.do,
            state(each.state),
            f"{each.done:,} of {each.total:,}",
            f"{each.refused:,}",
            (ago(each.made_at), "dim"),
        ),
        "nothing was done with many at once yet; see: halflap executions replay --help",
    )


@bulks.command("show")
@bulk_argument
@speaks()
async def show_bulk(api: Client, output: Output, bulk: str) -> None:
    """Follow a bulk to its end, and show what became of it.

    Example: halflap bulks show blk_01m8878zf8ej8rwgbd9q0d5h66
    """
    await follow(api, output, await api.get(BulkView, "bulks", bulk))


@bulks.command("pause")
@bulk_argument
@speaks()
async def pause_bulk(api: Client, output: Output, bulk: str) -> None:
    """Let a bulk stand still, behind what it is doing now, until it is resumed.

    Example: halflap bulks pause blk_01m8878zf8ej8rwgbd9q0d5h66
    """
    found = await api.post(BulkView, "bulks", bulk, "pause")
    output.emit(found) if output.json else bulk_lines(output, found)


@bulks.command("resume")
@bulk_argument
@speaks()
async def resume_bulk(api: Client, output: Output, bulk: str) -> None:
    """Let a bulk go on that is paused, as an upgrade is behind its canary, and follow it.

    Example: halflap bulks resume blk_01m8878zf8ej8rwgbd9q0d5h66
    """
    await follow(api, output, await api.post(BulkView, "bulks", bulk, "resume"))


@bulks.command("cancel")
@bulk_argument
@speaks()
async def cancel_bulk(api: Client, output: Output, bulk: str) -> None:
    """End a bulk early; what is done stays done.

    Example: halflap bulks cancel blk_01m8878zf8ej8rwgbd9q0d5h66
    """
    found = await api.post(BulkView, "bulks", bulk, "cancel")
    output.emit(found) if output.json else bulk_lines(output, found)


@bulks.command("back")
@bulk_argument
@yes_option
@speaks()
async def undo_bulk(api: Client, output: Output, bulk: str, yes: bool) -> None:
    """Give each instance that an upgrade moved the version and the config that it had before.

    The upgrade has ended, is paused, or was cancelled; one that is paused ends.

    Example: halflap bulks back blk_01m8878zf8ej8rwgbd9q0d5h66 --yes
    """
    if not yes and not output.json:
        moved = (await api.get(BulkView, "bulks", bulk)).done
        many = f"{moved:,} instance{'' if moved == 1 else 's'}"
        sure(yes, f"Move {many} back to the version and the config of before?")
    await follow(api, output, await api.post(BulkView, "bulks", bulk, "back"))


def plan_lines(output: Output, plan: PlanView) -> None:
    """Print the number of selected executions, by what they have in common, and a few of them."""
    if not plan.total:
        output.note(("no execution matches", "dim"))
        return
    left = sum(each.count for each in plan.left_out)
    some = f"{plan.total - left:,} of " if left and plan.examined >= plan.total else ""
    output.line((f"{some}{counted(plan.total)}", "bold"), f" would be {DONE[plan.do]}")
    rows: list[Sequence[Part]] = [
        (
            f"{each.count:,}",
            each.flow,
            name_of(each),
            each.version[:12],
            state(each.state),
            each.cause,
            (in_own_words(" ".join(each.reason.split())), "dim"),
        )
        for each in plan.groups
    ]
    output.table(("count!", "flow", "instance", "version!", "state!", "cause!", "why?"), rows, "")
    left = plan.total - sum(each.count for each in plan.groups)
    if left:
        output.line((f"and {left:,} more, of other causes", "dim"))
    left_out(output, plan)
    if plan.changed:
        output.line()
        changed_line(output, f"{plan.changed:,} of them: ")
    for each in plan.overwrites:
        since = ago(each.first_at)
        until = "" if ago(each.last_at) == since else f" to {ago(each.last_at)}"
        output.line()
        overwriting_line(output, each.flow, f"{since}{until}")
    output.line(("\nthe newest of them", "dim"))
    for each in plan.samples:
        output.line(f"  {each.id}  {name_of(each)} {each.flow}  ", (ago(each.accepted_at), "dim"))


def changed_line(output: Output, which: str = "") -> None:
    """Print that the version or the config is another one since the finished steps ran."""
    output.line(
        f"{which}the version or the config is another one since: ",
        ("a finished step that would have other inputs is refused (--version same)", "yellow"),
    )


def overwriting_line(output: Output, flow: str, age: str) -> None:
    """Print that replays of a flow write values of that age over newer ones."""
    output.line(
        f"the flow {flow} does not compare what it writes: ",
        (f"values of {age} may overwrite newer ones at the app", "yellow"),
    )


def left_out(output: Output, plan: PlanView) -> None:
    """Show how many are left out, and why."""
    if not plan.left_out:
        return
    of = f" of the {plan.examined:,} oldest" if plan.examined < plan.total else ""
    count = sum(each.count for each in plan.left_out)
    output.line(f"\n{count:,}{of} would be left out:")
    for each in plan.left_out:
        output.line(f"  {each.count:,}  {each.execution}  ", (in_own_words(each.why), "yellow"))


def bulk_lines(output: Output, bulk: BulkView) -> None:
    """Print the progress or the result of a bulk."""
    more = f" of {bulk.total:,}" if bulk.done != bulk.total else ""
    why = f": {bulk.reason}" if bulk.reason else ""
    output.line(
        (bulk.id, "bold"),
        "  ",
        state(bulk.state),
        f"{why}  {DONE[bulk.do]} {bulk.done:,}{more}",
    )
    if bulk.refused:
        output.line(f"  {bulk.refused:,} could not be:")
        for each in bulk.refusals[:10]:
            output.line(f"    {each.id}  ", (in_own_words(each.why), "yellow"))
        if bulk.do == "upgrade" and bulk.done:
            output.note(("  to go back: ", "dim"), output.command(f"halflap bulks back {bulk.id}"))
    if bulk.state == "succeeded" and (rest := bulk.total - bulk.done - bulk.refused) > 0:
        since = "replayed or dismissed since, or run again by the replay of what started them"
        why = f": {since}" if bulk.do == "replay" else ""
        output.line(f"  {rest:,} no longer needed it{why}")
    started_lines(output, bulk)


def started_lines(output: Output, bulk: BulkView) -> None:
    """Print what became of the replays that a bulk started, and how to list them."""
    if not bulk.started:
        return
    told = ", ".join(f"{count:,} {name}" for name, count in bulk.started.items())
    output.line("  its replays: ", told)
    listing = f"halflap executions list --bulk {bulk.id}"
    output.next(f"{listing} --failed" if "failed" in bulk.started else listing)


def counted(total: int) -> str:
    """`1 execution`, `1,200 executions`."""
    return f"{total:,} execution{'' if total == 1 else 's'}"
