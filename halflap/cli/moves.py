"""Waiting for an instance that moves from one state to another, and showing what it does meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from halflap.api.execution_view import ExecutionView, StepView
from halflap.api.view import CatchUpView, InstanceView
from halflap.cli.client import Client, ServerAway
from halflap.cli.output import Output, Part, full_name, quoted, state, took, version
from halflap.cli.record import text_of
from halflap.errors import HalflapError, NotFound
from halflap.model import BETWEEN

LOOKS_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Move:
    """A move of an instance: the verb of the API, the state on its way, the state it should reach."""

    verb: str
    way: str
    reaches: str
    draft: Mapping[str, Any] = field(default_factory=dict[str, Any])
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def settle(
    api: Client,
    output: Output,
    instance: InstanceView,
    move: Move,
    within: float,
    *,
    begun: bool = False,
) -> None:
    """Begin a move and wait for its end; one that fails raises what was wrong and what to do.

    `begun`: the instance is being moved already, as it is given.
    """
    named = full_name(instance)
    where = ("instances", instance.id)
    draft = dict(move.draft) if move.draft else ...
    found = instance
    if not begun:
        found = await api.post(InstanceView, *where, move.verb, json=draft, **move.query)
    output.progress((f"{found.state} {named} …", "dim"))
    if not api.runs:
        output.progress(("no server runs: this command does it, and runs nothing else", "dim"))
    before, catch_up = None if begun else instance.deployment, found.catch_up
    steps = DeploymentSteps(api, output)
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while found.state in BETWEEN:
        await steps.show(found.deployment, before)
        see = f"See: {output.command(f'halflap instances show {quoted(named)}')}"
        if loop.time() > end:
            goes_on = "at the server" if api.runs else "once a server runs"
            raise HalflapError(
                f"{named} is still {found.state} after {within:.0f} s; it goes on {goes_on}. {see}"
            )
        await asyncio.sleep(LOOKS_EVERY)
        try:
            found = await api.get(InstanceView, *where)
        except ServerAway as error:
            raise ServerAway(
                f"{error.message} {named} was {found.state}: that goes on once the server is back. {see}"
            ) from error
    await steps.show(found.deployment, before)
    if found.state == "failed" or (found.error and move.reaches == "active"):
        raise HalflapError(failed(output, named, move, found))
    if output.emitted(found.model_copy(update={"catch_up": catch_up})):
        return
    shown(api, output, named, found)
    if catch_up is not None:
        caught_up(output, named, catch_up)


class DeploymentSteps:
    """The steps of a deployment, each shown once."""

    def __init__(self, api: Client, output: Output) -> None:
        self._api = api
        self._output = output
        self._seen: set[tuple[str, str, int]] = set()

    async def show(self, deployment: str | None, before: str | None) -> None:
        """Show what is new; `before` is the deployment of the move before this one."""
        if deployment is None or deployment == before or self._output.json:
            return
        try:
            found = await self._api.get(ExecutionView, "executions", deployment)
        except NotFound:
            return  # it has its id, and is started in a moment
        for each in found.steps:
            seen = (each.path, each.status, each.tries)
            if seen in self._seen or each.kind == "trigger" or each.name == "subscriptions":
                continue
            self._seen.add(seen)
            self._output.note(*step_parts(self._output, each))


def step_parts(output: Output, step: StepView) -> list[Part]:
    """Return a step of a deployment in one line; what was left behind at the app is not done."""
    left = left_behind(step)
    good = step.status == "succeeded" and not left
    mark = output.mark("✓", "+") if good else "!" if left else output.mark("✗", "x")
    why = f"left behind: {left}" if left else text_of(step.failure) if step.failure else ""
    colour = "yellow" if left or step.status == "retrying" else "red"
    return [
        "  ",
        (mark, "green" if good else colour),
        f" {step.title or step.name}",
        (f"  {took(step.duration_ms)}", "dim"),
        (f"  {why}" if why else "", colour),
    ]


def left_behind(step: StepView) -> str:
    """Return why a step that takes down a subscription left it behind; empty where it did not."""
    is_left = step.name.startswith("unsubscribe(") and isinstance(step.result, str)
    return step.result if is_left else ""


def shown(api: Client, output: Output, named: str, found: InstanceView) -> None:
    """Say how an instance is now, and where it is reached."""
    about = f"version {version(found.version)}"
    output.line((named, "bold"), "  ", state(found.state), (f"  {about}", "dim"))
    if found.state != "active":
        if found.error:
            output.note((found.error, "yellow"))
        left = [each for each in found.subscriptions if each.left_because]
        for each in left:
            told = f"left behind: the webhook {each.remote_id or 'of an unknown id'} of {each.flow}"
            output.note((f"  {told}: {each.left_because}", "yellow"))
        if left:
            output.note("It is tried again every hour, and as soon as the connection works.")
            output.next(f"halflap instances show {quoted(named)}")
        return
    output.pairs(found.urls, indent=4)
    if not api.runs:
        output.note(
            ("No server runs, so nothing arrives there yet: start one with halflap serve", "yellow")
        )


def failed(output: Output, named: str, move: Move, found: InstanceView) -> str:
    """Why a move failed, and what to do."""
    lines = [f"{named} could not be {past(move.verb)}: {found.error}"]
    if said := repeated(found):
        lines.append(said)
    # An upgrade that went back names the deployment that failed; the instance's own undoes it.
    named_in_error = re.search(r"\bexe_\w+", found.error or "")
    if execution := named_in_error[0] if named_in_error else found.deployment:
        lines.append(f"  what happened:  {output.command(f'halflap executions show {execution}')}")
    verb = "activate" if move.verb == "upgrade" and found.state == "failed" else move.verb
    again = f"halflap instances {verb} {quoted(named)}"
    once = "   (what was done is not done twice)" if found.state == "failed" else ""
    lines.append(f"  mend it, then:  {output.command(again)}{once}")
    return "\n".join(lines)


def caught_up(output: Output, named: str, catch_up: CatchUpView) -> None:
    """Say which flows are asked what they missed, and which cannot be."""
    if catch_up.flows:
        output.note(f"Asked what they missed since {catch_up.since}: {', '.join(catch_up.flows)}")
        listed = f"halflap executions list --instance {quoted(named)} --flow '$catch_up'"
        output.note(("  ", "dim"), output.command(listed))
    if catch_up.cannot:
        flows = ", ".join(catch_up.cannot)
        output.note((f"Cannot be asked, so what they missed is lost: {flows}", "yellow"))


def repeated(found: InstanceView) -> str:
    """Return that a deployment that failed is repeated, and what events do meanwhile; else nothing."""
    again = found.repetition
    if again is None or again.next_at is None:
        return ""
    if not again.tries:
        return "  being put back: what it had at its apps; its events run meanwhile"
    next = f"  tried again:    at {again.next_at}, for 24 hours since {again.since}"
    if found.state == "active":
        return f"{next}; its events run meanwhile"
    return f"{next}; its events wait meanwhile. Then it is taken down"


def past(verb: str) -> str:
    """A verb's participle."""
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"
