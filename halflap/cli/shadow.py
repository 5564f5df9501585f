"""`halflap shadow`: a new version against the last real events; nothing is called, nothing written."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import click
import msgspec
from pydantic import SecretStr

from halflap.api import payload
from halflap.api.recordings import RecordingPage, RecordingView
from halflap.cli.ask import pairs
from halflap.cli.client import Client
from halflap.cli.executions import apart, instance_option
from halflap.cli.output import Output, inline
from halflap.cli.project import Project, ProjectEntry
from halflap.cli.reach import customer_option, speaks
from halflap.engine.builder import partner_of, validated
from halflap.engine.bundle import Bundle, pack
from halflap.engine.executor import Work
from halflap.engine.integration import load_integration
from halflap.engine.lock import unsatisfied
from halflap.engine.shadow import Difference, NoEgress, Original, Shadowed, hold_back, shadow
from halflap.errors import HalflapError
from halflap.model import Event, Failure, FlowKey, Outcome, Record, Start
from halflap.sdk import codec
from halflap.sdk.connection import Link
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.integration import Integration
from halflap.sdk.link import PREFIX as SIGNALS
from halflap.testing.sample import sample_connection

PAGE = 50
SAID = {
    "inputs": "other inputs",
    "new": "a new effect",
    "missing": "left out",
    "result": "another result",
    "outcome": "another outcome",
    "error": "an error",
}
FAILS_ON = {
    "nothing": frozenset[str](),
    "errors": frozenset({"error"}),
    "differences": frozenset(SAID),
}

Row = Mapping[str, Any]


@click.command("shadow")
@click.argument("project", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--integration", "name", metavar="NAME", help="Where the project has several.")
@click.option(
    "--version",
    "number",
    metavar="N",
    help="A published version in the project's place: a number, a hash, a target. Needs --integration.",
)
@click.option("--last", default=200, show_default=True, type=click.IntRange(1), help="How many.")
@customer_option
@instance_option
@click.option("--flow", metavar="NAME", help="Only those of a flow.")
@click.option(
    "--config",
    "answers",
    metavar="NAME=VALUE",
    multiple=True,
    help="What the new version asks for and no instance has answered yet.",
)
@click.option(
    "--fail-on",
    type=click.Choice(list(FAILS_ON)),
    default="nothing",
    show_default=True,
    help="End with exit code 1 where there are any of these.",
)
@speaks()
async def shadow_command(
    api: Client,
    output: Output,
    project: Path | None,
    name: str | None,
    number: str | None,
    last: int,
    customer: str | None,
    instance: str | None,
    flow: str | None,
    answers: tuple[str, ...],
    fail_on: str,
) -> None:
    """Run a project's integration against the last real events, and say what would differ.

    Nothing is called: effects, reads of the state, times and ids are answered from what was
    recorded. Nothing is written.

    Example: halflap shadow --last 200 --fail-on differences
    """
    found = await integration_of(api, project, name, number)
    customer, instance = apart(customer, instance)
    which = {"customer": customer, "instance": instance, "flow": flow}
    given = pairs(answers, "--config")
    sys.addaudithook(hold_back)
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    async for was in recordings(api, found.name, last, which, counts):
        done = await run(found, was, given)
        counts["differs" if not done.is_same else "same"] += 1
        counts["stopped"] += bool(done.stopped)
        kinds.update({each.kind for each in done.differences})
        if output.json:
            output.emit(told(done, was))
        elif not done.is_same:
            lines(output, done, was)
    summarize(output, found.name, counts, kinds)
    if FAILS_ON[fail_on] & kinds.keys():
        raise click.exceptions.Exit(1)


async def integration_of(
    api: Client, project: Path | None, name: str | None, number: str | None
) -> Integration[Any]:
    """The version that is to be tried: the project's, or a published one."""
    if number is not None:
        if project is not None or name is None:
            raise click.UsageError("--version needs --integration NAME, and no project")
        where = ("integrations", name, "versions", number, "bundle")
        return await loaded(Bundle.from_bytes(await api.bytes(*where)))
    here = Project.read(project)
    entry: ProjectEntry = here.integration(name)
    return await loaded(pack(here.root, entry.entry))


async def loaded(bundle: Bundle) -> Integration[Any]:
    """A bundle's integration, loaded in this process."""
    if lacking := unsatisfied(bundle.lock):
        raise HalflapError(f"this version does not run here: {'; '.join(lacking)}")
    cache = Path(tempfile.mkdtemp(prefix="halflap-shadow-"))
    return await anyio.to_thread.run_sync(load_integration, bundle, cache)


async def recordings(
    api: Client,
    integration: str,
    last: int,
    which: Mapping[str, str | None],
    counts: Counter[str],
) -> AsyncIterator[RecordingView]:
    """The last executions that ended by themselves, newest first, page by page.

    Counts as `removed` those that are passed over because their payload is not stored any more.
    """
    query = {**which, "integration": integration}
    pages = api.pages(RecordingPage, "recordings", limit=last, most=PAGE, place="before", **query)
    async for page in pages:
        counts["removed"] += page.removed
        for each in page.items:
            yield each


async def run(
    integration: Integration[Any], was: RecordingView, answers: Mapping[str, str]
) -> Shadowed:
    """Run one; what cannot be run at all differs, and says why."""
    try:
        return await shadow(original(was), work_of(integration, was, answers))
    except HalflapError as error:
        now = codec.encode({"state": "not run", "reason": error.message})
        gone = Difference("error", "", codec.encode({"state": was.state}), now)
        return Shadowed(was.execution, (gone,), error.message)


def work_of(integration: Integration[Any], was: RecordingView, answers: Mapping[str, str]) -> Work:
    """All that running a flow needs: the config of then as far as it fits, and accounts of nobody."""
    flow = integration.flows.get(was.flow)
    if flow is None:
        raise HalflapError(f"this version has no flow {was.flow!r}")
    known = integration.config.model_fields
    values: dict[str, Any] = {k: v for k, v in was.config.items() if k in known}
    values |= answers
    egress = NoEgress()
    for name, kind in integration.connections().items():
        made = sample_connection(kind, {})
        made._link = Link(name, None, egress, None)
        values[name] = made
    config = validated(integration, values)
    return Work(
        flow=flow,
        config=config,
        customer=CustomerInfo(**was.customer),
        instance=InstanceInfo(**was.instance),
        urls=was.urls,
        secret=lambda _: SecretStr(payload.HIDDEN),
        seal=lambda text: text,
        unseal=lambda text: text,
        egress=egress,
        partner=partner_of(flow, config),
        siblings=integration.flows,
        link=lambda link: f"{SIGNALS}{link.name}/{link.choice}",  # nobody is sent one
    )


def original(was: RecordingView) -> Original:
    """A recording as the execution that it was."""
    customer, instance = was.customer["id"], was.instance["id"]
    key = FlowKey(customer, instance, was.integration, was.flow, was.version, 0)
    event = msgspec.convert(was.event, Event)
    failure = msgspec.convert(was.failure, Failure | None)
    state, result = cast(Any, was.state), msgspec.convert(was.result, bytes | None)
    return Original(
        Start(was.execution, key, event, was.root, key=was.key),
        was.accepted_at,
        msgspec.convert(was.steps, list[Record]),
        Outcome(state, was.reason, result, failure),
    )


def told(done: Shadowed, was: RecordingView) -> Row:
    """Return the differences of an execution, for machines."""
    return {
        "execution": done.execution,
        "flow": was.flow,
        "customer": was.customer["name"],
        "instance": was.instance["name"],
        "same": done.is_same,
        "stopped": done.stopped or None,
        "differences": [
            {
                "kind": each.kind,
                "step": each.step or None,
                "then": payload.shown(each.then),
                "now": payload.shown(each.now),
            }
            for each in done.differences
        ],
    }


def lines(output: Output, done: Shadowed, was: RecordingView) -> None:
    """Print the differences of an execution, for people."""
    where = f"{was.customer['name']}/{was.instance['name']} {was.flow}"
    output.line((done.execution, "bold"), f"  {where}")
    for each in done.differences:
        step = f"{each.step}: " if each.step else ""
        output.line("  ", (SAID[each.kind], "yellow"), f"  {step}", (changed(each), "dim"))
    if done.stopped:
        output.line("  ", (f"it stops there: {done.stopped}", "dim"))


def changed(difference: Difference) -> str:
    """Return the difference of two values: of objects, only their members that differ."""
    then, now = payload.shown(difference.then), payload.shown(difference.now)
    if isinstance(then, dict) and isinstance(now, dict):
        then, now = cast(dict[str, Any], then), cast(dict[str, Any], now)
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        parts = [f"{n}: {inline(then.get(n))} -> {inline(now.get(n))}" for n in names]
        return ", ".join(parts)
    if difference.now is None:
        return inline(then)
    return inline(now) if difference.then is None else f"{inline(then)} -> {inline(now)}"


def summarize(
    output: Output, name: str, counts: Mapping[str, int], kinds: Mapping[str, int]
) -> None:
    """Print the number of equal outcomes, of differing ones by difference, and of failed trials."""
    total = counts["same"] + counts["differs"]
    if output.emitted({"summary": {"executions": total, **counts, "by_kind": dict(kinds)}}):
        return
    if not total and not counts["removed"]:
        output.note((f"no execution of {name} has ended yet", "dim"))
        return
    output.line(
        f"{total:,} executions: ", (f"{counts['same']:,} the same", "green"),
        ", ", (f"{counts['differs']:,} differ", "yellow" if counts["differs"] else "dim"),
    )  # fmt: skip
    for kind, count in sorted(kinds.items()):
        output.line(f"  {count:,} with {SAID[kind]}")
    if counts["stopped"]:
        output.line(f"  {counts['stopped']:,} could not be run to their end")
    if counts["removed"]:
        output.line(f"  {counts['removed']:,} left out, whose payload is not stored any more")
