"""Shadow runs of flows that call others, wait for signals, and keep two apps the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halflap import Config, Context, Integration, Model, webhook
from halflap.engine.clock import ManualClock
from halflap.engine.executor import Work
from halflap.engine.shadow import Original, Shadowed, shadow
from halflap.sdk.integration import Flow
from halflap.testing.instance import TestInstance, held, integration_of, scopes_of
from halflap.testing.runner import execute, judged, request_with, start_of
from halflap.testing.stub import Stubs

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import acme
import salesforce_acme_contacts as contacts

from halflap import salesforce


class Parcel(Model):
    number: int


FIRST = 0
"""The number of the parcel that is shipped besides."""
shop = Integration("shadowed-shop", config=Config)


@shop.flow(trigger=webhook.request())
async def ship(ctx: Context[Config], parcel: Parcel) -> str:
    """Ship a parcel."""
    raise AssertionError("nothing is called in a shadow run")


@shop.flow(trigger=webhook.request())
async def order(ctx: Context[Config], event: Any) -> list[Any]:
    """Ask, then ship what was ordered, and one more besides."""
    by = await ctx.wait_for("approved", timeout=timedelta(hours=1))
    later = await ctx.start(ship, Parcel(number=FIRST))
    parcels = [Parcel(number=each) for each in sorted(event["parcels"])]
    shipped = await ctx.gather(parcels, lambda parcel: ctx.call(ship, parcel))
    return [by, list(shipped), await later.result()]


async def happened(
    flow: Flow[Any, Any, Any],
    event: Any,
    stubs: Mapping[Any, Any],
    paired: Mapping[Any, Any],
    signals: list[tuple[str, bytes, int]],
) -> tuple[Original, Work]:
    """Run a flow once; what it was, and what runs it again."""
    clock, integration = ManualClock(), integration_of(flow)
    request = request_with(flow, event, {}, clock)
    start = start_of(flow, integration, request, root=None)
    instance = TestInstance(integration, {}, None, {}, None)
    kept = held(scopes_of(flow, integration), {}, {}, paired, instance.seal)
    flow, start = judged(flow, event, request, start)
    work = Stubs(stubs, {}, networked=False)
    accepted_at = clock()
    ran = await execute(flow, start, instance, work, kept, clock, signals)
    assert ran.state == "succeeded", ran.reason
    was = Original(start, accepted_at, ran.records, ran.outcome)
    return was, await instance.resolve(flow, lambda called: called)(start.flow)


async def shadowed(was: Original, work: Work, changed: Mapping[str, Any] | None = None) -> Shadowed:
    """Run the flow again in its shadow; with other global names, as if its version had changed."""
    function = work.flow.function
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (changed or {}).items():
            patch.setitem(function.__globals__, name, value)
        return await shadow(was, work)


async def ordered() -> tuple[Original, Work]:
    """An order of two parcels, as it was."""
    stubs = {ship: lambda parcel: f"shipped {parcel.number}"}
    return await happened(order, {"parcels": [1, 2]}, stubs, {}, [("approved", b'"Ada"', 0)])


async def test_children_and_signals_are_answered_from_the_records() -> None:
    was, work = await ordered()
    found = await shadowed(was, work)
    assert found.is_same, found.differences
    assert not found.stopped


async def test_another_event_for_a_child_is_shown_and_one_that_is_left_out_is_told() -> None:
    was, work = await ordered()
    found = await shadowed(was, work, {"FIRST": 7})
    shown = [(each.kind, each.step, each.then, each.now) for each in found.differences]
    assert shown == [("inputs", "start(ship)", b'{"number":0}', b'{"number":7}')]

    def fewer(parcels: list[int]) -> list[int]:
        return parcels[:1]

    found = await shadowed(was, work, {"sorted": fewer})
    assert "missing" in {each.kind for each in found.differences}


async def test_one_child_more_has_no_answer_and_the_run_stops_there() -> None:
    was, work = await ordered()

    def more(parcels: list[int]) -> list[int]:
        return [*parcels, 3]

    found = await shadowed(was, work, {"sorted": more})
    assert found.stopped == "gather[2]/call(ship) is new: there is no answer to it"


NEW = salesforce.Contact(Id="003A", LastName="King", Email="ada@initech.example")
ADA = acme.Contact(id="4", external_id="003A", name="King", email="ada@initech.example")
PAIRS = {contacts.contacts: [{"salesforce": "003A", "acme": "4"}]}


@pytest.mark.parametrize(
    ("paired", "stubs"),
    [({}, {acme.create_contact: ADA}), (PAIRS, {acme.update_contact: ADA})],
    ids=["made", "known"],
)
async def test_a_two_way_flow_finds_its_pairs_and_writes_in_the_records(
    paired: Mapping[Any, Any], stubs: Mapping[Any, Any]
) -> None:
    was, work = await happened(contacts.contact, NEW, stubs, paired, [])
    found = await shadowed(was, work)
    assert found.is_same, found.differences
    assert not found.stopped
