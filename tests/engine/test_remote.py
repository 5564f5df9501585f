"""A child reads and writes over the line what its parent's store has."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from halflap.engine.child import RemoteTurn
from halflap.engine.facts import FlowFacts, Learnt, holding
from halflap.engine.library import Library
from halflap.engine.line import (
    Ask,
    Bundled,
    GivenFacts,
    Line,
    LineAnswer,
    LineDone,
    Take,
    encode,
    error_of,
    trouble_of,
)
from halflap.engine.lineage import continuation, follows
from halflap.engine.protocol import Ended, Turn
from halflap.engine.remote import Clerk, Desk
from halflap.engine.resolver import Resolver
from halflap.engine.throttle import LocalKeeper, Throttles
from halflap.engine.turn import LEASE, JournalTurn
from halflap.errors import Cancel, Fenced, NotFound, Unrouted
from halflap.model import (
    Continuation,
    Event,
    FlowKey,
    Instance,
    LogLine,
    Order,
    Outcome,
    Start,
    StateWrite,
    new_id,
    owner_of,
    wall_clock,
)
from halflap.sdk.egress import Egress, Policy
from halflap.store.store import Store
from tests.polling import DEADLINE

FLOW = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
EVENT = Event("POST", "", "", (), b"", 1)


def resolver_of(store: Store) -> Resolver:
    catalogue = store.catalogue
    library = Library(catalogue.versions.bundle, Path("bundles"))
    egress, throttles = Egress(Policy()), Throttles(LocalKeeper(wall_clock), wall_clock)
    return Resolver(
        catalogue,
        store.vault,
        library,
        base_url=lambda: "",
        egress=egress,
        throttles=throttles,
        journal=store.journal,
    )


@asynccontextmanager
async def both_ends(
    store: Store, turns: Mapping[str, Turn] = {}
) -> AsyncGenerator[tuple[Desk, Clerk]]:
    """A clerk over a store, and a desk that asks it through a socket."""
    mine, its = socket.socketpair()
    parent = Line(*await asyncio.open_unix_connection(sock=mine), Ask)
    child = Line(*await asyncio.open_unix_connection(sock=its), LineAnswer | Bundled | GivenFacts)
    clerk, desk = Clerk(resolver_of(store), turns, parent), Desk(child)

    async def serve() -> None:
        while (ask := await parent.receive()) is not None:
            clerk.hear(ask)

    async def listen() -> None:
        while (found := await child.receive()) is not None:
            desk.take(found)

    tasks = [asyncio.create_task(serve()), asyncio.create_task(listen())]
    yield desk, clerk
    child.close()
    await clerk.close()
    parent.close()
    await asyncio.gather(*tasks)


async def given(desk: Desk, clerk: Clerk, key: FlowKey) -> FlowFacts:
    """The facts of a flow, once they have crossed the line."""
    await clerk.give(key)
    while key not in desk._facts:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return desk.facts(key)


async def turn_of(store: Store, start: Start, begin: Any = None) -> JournalTurn:
    (accepted,) = await store.journal.accept([start], claim=1, lease=60_000_000)
    assert accepted.claim is not None
    given = (store.journal, wall_clock, time.monotonic, LEASE, begin, lambda *_: None)
    return JournalTurn(*given, accepted.claim, time.monotonic())


async def instance_of(store: Store, connections: Mapping[str, str] = {}) -> FlowKey:
    """The flow `orders` of an instance with a config."""
    catalogue = store.catalogue
    customer = await catalogue.customers.add("Initech")
    await catalogue.versions.publish("shop", "hash of shop", b"bundle")
    made = await catalogue.instances.add(customer.id, "shop", "shop", "hash of shop")
    values = {"exact": Decimal("1.10"), "large": 2**70, "list": [1, None]}
    number = await catalogue.instances.set_revision(made.id, values, connections)
    return FlowKey(customer.id, made.id, "shop", "orders", "hash of shop", number)


async def test_a_child_has_what_its_flow_needs_and_a_number_keeps_its_digits() -> None:
    store = await Store.memory()
    kept = await store.catalogue.connections.save(None, "acme", "acme", {"at": 1}, {"key": "k"})
    key = await instance_of(store, {"acme": kept.id})
    await store.catalogue.endpoints.ensure(key.instance, ["orders"])
    read = resolver_of(store)
    async with both_ends(store) as (desk, clerk):
        assert await given(desk, clerk, key) == await read.read(key)
        revision = await desk.revision(key.instance, key.revision)
        assert revision == await read.revision(key.instance, key.revision)
        assert revision.accounts["acme"].secrets == {"key": "k"}
        assert str(revision.values["exact"]) == "1.10"
        assert await desk.bundle(key.version) == b"bundle"
        with pytest.raises(NotFound):
            await desk.revision(key.instance, 7)
        with pytest.raises(Cancel, match="the instance was removed"):
            await given(desk, clerk, replace(key, instance="ins_none"))
    await store.close()


async def test_a_connection_is_refreshed_once_by_whoever_holds_its_lock() -> None:
    store = await Store.memory()
    connections = store.catalogue.connections
    kept = await connections.save(None, "acme", "acme", {"at": Decimal("1.10")}, {"key": "k"})
    other = await connections.save(None, "acme", "other", {}, {"key": "o"})
    key = await instance_of(store, {"acme": kept.id})
    async with both_ends(store) as (desk, clerk):
        await given(desk, clerk, key)
        async with holding(desk, kept.id) as held:
            assert held.account == await resolver_of(store).account(kept.id)
            fields = held.account.stored.fields
            held.learnt = Learnt(held.account.stored.generation, {"key": "new"}, fields)
        assert held.account.secrets == {"key": "new"}
        async with holding(desk, kept.id) as held:
            held.learnt = Learnt(1, {"key": "late"}, {})  # of a generation that is gone
        assert held.account.secrets == {"key": "new"}
        async with holding(desk, kept.id, f"test:{kept.id}") as held:
            held.learnt = Learnt(held.account.stored.generation)
        assert held.account.stored.status == "unauthorized"
        for lock, connection in ((other.id, other.id), ("any", kept.id)):
            with pytest.raises(Fenced):  # none of what it was given
                await desk.hold(lock, connection)
    await store.close()


async def test_a_child_that_ends_holds_nothing_and_waits_for_nothing() -> None:
    store = await Store.memory()
    kept = await store.catalogue.connections.save(None, "acme", "acme", {}, {"key": "k"})
    key = await instance_of(store, {"acme": kept.id})
    async with both_ends(store) as (desk, clerk):
        await given(desk, clerk, key)
        await desk.hold(kept.id, kept.id)
        second = asyncio.create_task(desk.hold(kept.id, kept.id))
        while not clerk._answering:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        async with asyncio.timeout(DEADLINE):
            await clerk.close()
            async with store.catalogue.connections.refreshing(kept.id):
                pass
        second.cancel()
    await store.close()


async def test_a_deployment_keeps_subscriptions_of_its_own_instance() -> None:
    store = await Store.memory()
    key = await instance_of(store)
    subscriptions = store.catalogue.subscriptions
    data = {"exact": Decimal("1.10")}
    await subscriptions.put(key.instance, "orders", "r1", "s", data, "v0@3")
    async with both_ends(store) as (desk, clerk):
        with pytest.raises(Fenced):
            await desk.keep(key.instance, "orders", None)
        await given(desk, clerk, replace(key, flow="$deploy"))
        (made,) = await desk.subscriptions(key.instance)
        assert made == await subscriptions.get(key.instance, "orders")
        await desk.keep(key.instance, "orders", replace(made, remote_id="r2"))
        await desk.keep(key.instance, "news", replace(made, flow="news"))
        assert [each.remote_id for each in await subscriptions.list(key.instance)] == ["r1", "r2"]
        await desk.keep(key.instance, "news", replace(made, flow="news", left_because="it is away"))
        await desk.keep(key.instance, "orders", None)
        (left,) = await subscriptions.list(key.instance)
        assert (left.flow, left.left_because, left.data) == ("news", "it is away", data)
        assert [each.flow for each in await desk.subscriptions(key.instance)] == ["news"]
    await store.close()


async def test_a_shared_flow_is_told_where_its_events_go_and_may_start_nothing_else() -> None:
    store = await Store.memory()
    catalogue = store.catalogue
    customer = await catalogue.customers.add("Initech", "4711")
    instances: dict[str, Instance] = {}
    for name in ("shop", "other"):
        await catalogue.versions.publish(name, f"hash of {name}", b"bundle")
        made = await catalogue.instances.add(customer.id, name, name, f"hash of {name}")
        await catalogue.instances.set_revision(made.id, {"team": "T1"}, {})
        await catalogue.instances.move(made.id, ["configured"], "active")
        instances[name] = await catalogue.instances.get(made.id)
    owner = owner_of("shop")
    key = FlowKey(owner, owner, "shop", "receive", "hash of shop", 0)
    begun: list[Start] = []

    async def begin(start: Start, by: Start) -> str:
        begun.append(start)
        return start.execution

    start = Start("exe_1", key, EVENT, "exe_1")
    turn = await turn_of(store, start, begin)
    async with both_ends(store, {"exe_1": turn}) as (desk, clerk):
        with pytest.raises(Fenced):
            await desk.routed(key, "orders", {"customer": "4711"})
        assert (await given(desk, clerk, key)).instance is None
        there = RemoteTurn(Take(start, 1, 1, [], None, 1.0), desk)
        shop = instances["shop"]
        target = FlowKey(customer.id, shop.id, "shop", "orders", shop.version, 1)
        child = Start("exe_shop", target, EVENT, "exe_1", parent="exe_1")
        with pytest.raises(Fenced):  # before it was routed
            await there.begin(child)
        for whose in ({"customer": "4711"}, {"config.team": "T1"}, {"instance": shop.id}):
            assert await desk.routed(key, "orders", whose) == target
        assert (await desk.revision(shop.id, 1)).values == {"team": "T1"}
        with pytest.raises(Unrouted, match="no instance of shop has customer = '1'"):
            await desk.routed(key, "orders", {"customer": "1"})
        await there.begin(child)
        other = instances["other"]
        for wrong in (
            {"flow": replace(target, instance=other.id, integration="other")},
            {"flow": replace(target, customer="cus_other")},
            {"parent": None},
            {"parent": "exe_2"},
        ):
            with pytest.raises(Fenced):
                await there.begin(replace(child, execution="exe_x", **wrong))
    assert [each.execution for each in begun] == ["exe_shop"]
    await store.close()


async def test_what_was_missed_is_accepted_by_a_deployment_as_no_child_of_it() -> None:
    store = await Store.memory()
    begun: list[Start] = []

    async def begin(start: Start, by: Start) -> str:
        begun.append(start)
        return start.execution

    missed = Start("exe_missed", FLOW, EVENT, "exe_missed")
    for id, flow, fits in (
        ("exe_1", FLOW, False),
        ("exe_2", replace(FLOW, flow="$catch_up"), True),
    ):
        turn = await turn_of(store, Start(id, flow, EVENT, id), begin)
        async with both_ends(store, {id: turn}) as (desk, _):
            there = RemoteTurn(Take(turn.start, 1, 1, [], None, 1.0), desk)
            with nullcontext() if fits else pytest.raises(Fenced):
                await there.begin(missed)
    assert begun == [missed]
    await store.close()


async def test_errors_cross_the_line_as_what_they_are() -> None:
    store = await Store.memory()
    async with both_ends(store) as (desk, _):
        with pytest.raises(Fenced):
            await desk.ask("commit", [], [], [], execution="exe_of_somebody_else")
        with pytest.raises(RuntimeError, match="KeyError"):
            raise error_of(trouble_of(KeyError("x")))
    await store.close()


async def test_writes_to_state_cross_the_line() -> None:
    store = await Store.memory()
    start = Start("exe_1", FLOW, EVENT, "exe_1", order=Order("pairs", "1"))
    turn = await turn_of(store, start)
    async with both_ends(store, {"exe_1": turn}) as (desk, _):
        take = Take(start, 1, 1, [], None, 1.0)
        assert msgspec.msgpack.decode(encode(take), type=Take) == take
        remote = RemoteTurn(take, desk)
        a, b = StateWrite("s", "a", b"1"), StateWrite("s", "b", b'{"x":1.10}', merge=True)
        assert await remote.commit([], [], [a, b])
        assert not await remote.commit([], [], [StateWrite("s", "a", b"2", b"0")])
        assert await remote.list_state("s") == {"a": b"1", "b": b'{"x":1.10}'}
    done = LineDone("exe_1", ended=Ended(Outcome("succeeded"), writes=[a, b]))
    told = msgspec.msgpack.decode(encode(done), type=LineDone).ended
    assert told is not None
    assert told.writes == [a, b]
    await store.close()


def test_text_that_utf_8_cannot_hold_is_escaped_and_bytes_stay() -> None:
    line = LogLine(1, "info", "lone \ud800", b"\xff\x00")
    assert encode(line) == encode(LogLine(1, "info", "lone \\ud800", b"\xff\x00"))


async def test_a_line_that_breaks_off_ends() -> None:
    mine, its = socket.socketpair()
    line = Line(*await asyncio.open_unix_connection(sock=mine), Ask)
    its.sendall(b"\x00\x00\x00\x05\x01")
    its.close()
    assert await line.receive() is None
    line.close()


def test_what_a_child_says_that_follows_its_execution_may_be_nothing_else() -> None:
    id = new_id("exe")
    flow = FlowKey("cus_1", "ins_1", "shop", "pages", "v1", 1)
    event = Event("POST", "", "", (), b"{}", 1)
    former = Start(id, flow, event, id, order=Order("s", "k"), parent="exe_p", bound=False)
    current = replace(flow, version="v2", revision=2)
    right = continuation(former, current, b"{}", 7, 4_000_000_000_000_000, 5)
    done = LineDone(id, ended=Ended(Outcome("succeeded"), next=Continuation(right, {"go": 1})))
    crossed = msgspec.msgpack.Decoder(LineDone).decode(encode(done)).ended.next
    assert crossed.taken == {"go": 1}
    assert follows(crossed.start, former)
    for wrong in (
        {"flow": replace(flow, instance="ins_2")},
        {"flow": replace(flow, customer="cus_2")},
        {"flow": replace(flow, flow="other")},
        {"parent": None},
        {"bound": True},
        {"order": None},
        {"chain": new_id("exe")},
        {"link": 7},
        {"root": id},
        {"continues": new_id("exe")},
        {"replay_of": id},
        {"replay": None},
    ):
        assert not follows(replace(right, **wrong), former), wrong
