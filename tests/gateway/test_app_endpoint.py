"""App endpoints: one URL for all teams that signed in through the team's OAuth app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from halflap import AppEndpoint, Component, DefinitionError, FlowResult, Request, Unsigned, pointer
from halflap.errors import StoreError
from halflap.model import CustomerLimits
from halflap.store.catalogue import unrouted
from tests.api.test_api_shared import teams_on
from tests.gateway.chats import SECRET, Chats, fields_of
from tests.polling import DEADLINE


@pytest.fixture
async def chats(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chats]:
    async with teams_on(getattr(request, "param", "file"), tmp_path) as found:
        made = Chats(found.host, found.folder)
        await made.publish()
        yield made


ON_BOTH_STORES = pytest.mark.parametrize("chats", ["file", "postgresql"], indirect=True)


@ON_BOTH_STORES
async def test_an_event_starts_the_flows_of_everybody_who_holds_the_account_once(
    chats: Chats,
) -> None:
    mine = [
        await chats.instance("ada", "T1"),
        await chats.instance("ada", "T1", "right"),
        await chats.instance("bob", "T1"),  # a second customer with the same account
    ]
    other = await chats.instance("eve", "T2")
    answer = await chats.post(chats.message("T1"))
    assert (answer.status, answer.body) == (200, b"")
    assert await chats.started([*mine, other]) == [1, 1, 1, 0]
    assert await chats.unrouted() == []
    [one] = await chats.executions(instance=mine[2].id)
    await chats.host.engine.outcome(one["id"], within=DEADLINE)
    found = await chats.api.get(f"/api/executions/{one['id']}")
    assert (found["state"], found["result"]) == ("succeeded", ["bob", "hi"]), found
    # A repeated event is one for each flow, whose filter is its own.
    event = chats.message("T1", **{"not": "right"})
    for _ in range(3):
        assert (await chats.post(event)).status == 200
    assert await chats.started([*mine, other]) == [2, 1, 2, 0]
    # One request with events of several accounts is cut.
    batch = [chats.message(team) for team in ("T1", "T2", "T1", "T3")]
    assert (await chats.post({"batch": batch})).status == 200
    assert await chats.started([*mine, other]) == [4, 3, 4, 1]
    assert [each["account"] for each in await chats.unrouted()] == ["T3"]


async def test_what_is_not_signed_now_by_the_app_leaves_nothing(chats: Chats) -> None:
    mine = await chats.instance("ada", "T1")
    for secret, at, status in (("another", 0, 401), (SECRET, -400, 401), (SECRET, 0, 200)):
        for team in ("T1", "T9"):
            answer = await chats.post(chats.message(team), secret=secret, at=at)
            assert answer.status == status
        taken = int(status == 200)
        assert await chats.started([mine]) == [taken]
        assert len(await chats.unrouted()) == taken
    assert await chats.api.items("/api/executions", instance=mine.id, flow="aside") == []
    answer = await chats.post({"challenge": "c3"})
    assert (answer.status, answer.json) == (200, {"challenge": "c3"})
    assert (await chats.post({"challenge": "c3"}, secret="wrong")).status == 401


async def test_another_signing_secret_is_taken_beside_the_former_for_a_day(chats: Chats) -> None:
    await chats.instance("ada", "T1")
    assert await chats.sign("the-new-one") == chats.url
    assert await chats.sign("the-new-one") == chats.url  # said again, it does not end the former
    assert await chats.sign(None) == chats.url
    for secret in (SECRET, "the-new-one"):
        assert (await chats.post(chats.message("T1"), secret=secret)).status == 200
    clock = chats.host.store.catalogue.oauth_apps
    clock._clock = lambda: chats.host.clock() + 25 * 3600 * 1_000_000
    for secret, status in ((SECRET, 401), ("the-new-one", 200)):
        assert (await chats.post(chats.message("T1"), secret=secret)).status == status
    shown = await chats.api("GET", "/api/oauth-apps")
    assert b"the-new-one" not in shown.body
    assert [each["signs"] for each in shown.json] == [True]


# Whose account --------------------------------------------------------------------------------


@ON_BOTH_STORES
async def test_an_account_is_held_by_who_signed_in_to_it_and_by_nobody_who_names_it(
    chats: Chats,
) -> None:
    catalogue = chats.host.store.catalogue
    mine = await chats.instance("ada", "T1")
    eve = await chats.instance("eve", "T2")
    typed = await catalogue.connections.by_name(eve.customer, "T2-left")
    assert typed is not None

    async def retype(fields: dict[str, Any]) -> None:
        owner = (eve.customer, "chat:Chat", typed.name, fields, {})
        await catalogue.connections.save(*owner, id=typed.id)

    await retype(fields_of("T1"))  # a foreign team, written into one's own connection
    await chats.post(chats.message("T1"))
    await chats.post(chats.message("T2"))
    assert await chats.started([mine, eve]) == [1, 0]
    own = fields_of("T2")
    own["auth"]["client_id"] = "an app of her own"
    await retype(own)
    await chats.post(chats.message("T2"))
    assert await chats.started([eve]) == [0]
    await retype(fields_of("T2"))
    await chats.post(chats.message("T2"))
    assert await chats.started([eve]) == [1]


# Dead letters ---------------------------------------------------------------------------------


@ON_BOTH_STORES
async def test_what_nobody_holds_is_kept_and_replayed_once_somebody_does(chats: Chats) -> None:
    event = chats.message("T1")
    for _ in range(2):  # sent again, it is one
        assert (await chats.post(event)).status == 200
    [letter] = await chats.unrouted()
    assert letter["account"] == "T1"
    assert letter["reason"].startswith("nobody has connected T1")
    at = f"/api/oauth-apps/chat:Chat/unrouted/{letter['id']}"
    refused = await chats.api("POST", f"{at}/replay")
    assert (refused.status, refused.json["detail"]) == (409, letter["reason"])
    mine = await chats.instance("ada", "T1")
    assert await chats.started([mine]) == [0]  # who is activated later gets later events
    replayed = await chats.api("POST", f"{at}/replay")
    assert replayed.json == {"started": 1}
    assert await chats.started([mine]) == [1]
    assert await chats.unrouted() == []
    assert (await chats.api("POST", f"{at}/replay")).status == 404


async def test_the_events_of_a_disabled_instance_are_kept_and_no_other_waits_for_it(
    chats: Chats,
) -> None:
    mine = await chats.instance("ada", "T1", state="new")
    await chats.post(chats.message("T1"))
    [letter] = await chats.unrouted()
    assert letter["reason"].startswith("no instance that uses a connection to T1 is active")
    other = await chats.instance("bob", "T1")
    await chats.post(chats.message("T1"))
    assert await chats.started([mine, other]) == [0, 1]
    assert len(await chats.unrouted()) == 1
    gone = await chats.api("DELETE", f"/api/oauth-apps/chat:Chat/unrouted/{letter['id']}")
    assert (gone.status, await chats.unrouted()) == (204, [])


@ON_BOTH_STORES
async def test_what_is_kept_is_bounded_and_pruned(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unrouted, "MOST_OF_ACCOUNT", 3)
    monkeypatch.setattr(unrouted, "MOST_OF_APP", 5)
    for team in ("T1", "T1", "T1", "T1", "T2", "T3", "T4"):
        await chats.post(chats.message(team))
    kept = sorted(each["account"] for each in await chats.unrouted())
    assert kept == ["T1", "T1", "T2", "T3", "T4"]
    catalogue = chats.host.store.catalogue
    assert not await catalogue.unrouted.prune(10)
    assert len(await chats.unrouted()) == 5
    catalogue.unrouted._clock = lambda: chats.host.clock() + 8 * 86_400 * 1_000_000
    assert not await catalogue.unrouted.prune(10)
    assert await chats.unrouted() == []


# Too much -------------------------------------------------------------------------------------


async def test_one_full_customer_holds_up_no_other_and_loses_nothing(chats: Chats) -> None:
    both = [await chats.instance("ada", "T1"), await chats.instance("bob", "T1")]
    for each in both:
        paused = await chats.api("POST", f"/api/instances/{each.id}/pause", {})
        assert paused.status == 200, paused.body
    full = CustomerLimits(backlog=1)
    await chats.host.operations.limit(both[0].customer, full)
    for _ in range(3):
        assert (await chats.post(chats.message("T1"))).status == 200
    assert await chats.started(both) == [3, 3]
    await chats.host.operations.limit(both[1].customer, full)
    for _ in range(2):  # all are full: the app is not refused, as it would stop sending to others
        assert (await chats.post(chats.message("T1"))).status == 200
    assert await chats.started(both) == [5, 5]


async def test_a_store_that_fails_acknowledges_nothing(chats: Chats) -> None:
    both = [await chats.instance("ada", "T1"), await chats.instance("bob", "T1")]
    real = chats.host.engine.journal.accept

    async def failing(*_: Any, **__: Any) -> Any:
        raise StoreError("the disk is full")

    chats.host.engine.journal.accept = failing  # type: ignore[method-assign]
    event = chats.message("T1")
    assert (await chats.post(event)).status == 503
    chats.host.engine.journal.accept = real  # type: ignore[method-assign]
    assert await chats.started(both) == [0, 0]
    assert (await chats.post(event)).status == 200
    assert await chats.started(both) == [1, 1]


async def test_hundreds_of_receivers_get_an_event_in_one_transaction(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats.host.gateway, "_store_seconds", DEADLINE)
    first = await chats.instance("ada", "T1")
    store, catalogue = chats.host.store, chats.host.store.catalogue
    saved = await catalogue.connections.by_name(first.customer, "T1-left")
    assert saved is not None
    connection = saved.id

    async def one_more(number: int) -> None:
        name = f"more {number}"
        made = await catalogue.instances.add(first.customer, "left", name, chats.hashes["left"])
        await catalogue.instances.set_revision(made.id, {}, {"chat": connection})
        await catalogue.endpoints.ensure(made.id, ["told", "aside"])
        await catalogue.endpoints.open_all(made.id)

    await asyncio.gather(*map(one_more, range(299)))
    event = chats.message("T1")
    for _ in range(2):  # the second time, each of them has it already
        assert (await chats.post(event)).status == 200
    rows = await store.database.read(
        lambda c: c.execute("SELECT count(*) FROM executions WHERE flow = 'told'").fetchone()
    )
    assert rows[0] == 300


# Declared -------------------------------------------------------------------------------------


def test_a_trigger_takes_app_events_where_its_connection_says_how() -> None:
    plain = Component("plain")
    with pytest.raises(DefinitionError, match="has no `app_endpoint`"):

        @plain.trigger(app_endpoint=True)
        async def message(request: Request) -> None:
            """A message."""

    from tests.gateway import chats as module

    scope: dict[str, Any] = {}
    exec(compile(module.CHAT, "chat.py", "exec", dont_inherit=True), scope)
    with pytest.raises(DefinitionError, match="give a Reply"):

        @scope["component"].trigger(app_endpoint=True, answer=FlowResult())
        async def asked(request: Request) -> None:
            """A question."""

    with pytest.raises(DefinitionError, match=r"auth\.<name>"):
        AppEndpoint(verify=Unsigned("a test"), account=pointer("/team"), field="team")


@ON_BOTH_STORES
async def test_what_nobody_took_of_an_erased_customers_account_goes_with_it(chats: Chats) -> None:
    mine = await chats.instance("ada", "T1")
    both = [await chats.instance("ada", "T2", "right"), await chats.instance("bob", "T2")]
    for each in (mine, *both):
        await chats.api("POST", f"/api/instances/{each.id}/disable", wait=30)
    for team in ("T1", "T2"):
        assert (await chats.post(chats.message(team))).status == 200
    assert {each["account"] for each in await chats.unrouted()} == {"T1", "T2"}

    done = await chats.api("POST", f"/api/customers/{mine.customer}/erasure", {})

    assert done.status == 200, done.body
    assert [each["account"] for each in await chats.unrouted()] == ["T2"]  # bob's, too
