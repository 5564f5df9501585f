"""What a child reads and writes over the line is what its parent's store has."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from halflap.engine.child import RemoteTurn
from halflap.engine.line import Answer, Ask, Done, Line, Take, encode, error_of, trouble_of
from halflap.engine.lineage import continuation, follows
from halflap.engine.protocol import Ended, Turn
from halflap.engine.remote import Clerk, Desk, RemoteCatalogue
from halflap.engine.turn import JournalTurn
from halflap.errors import Fenced, NotFound
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
from halflap.store.store import Store


@asynccontextmanager
async def both_ends(
    store: Store, turns: Mapping[str, Turn] = {}
) -> AsyncGenerator[tuple[RemoteCatalogue, Desk, Clerk]]:
    """A clerk over a store, and a desk that asks it through a socket."""
    mine, its = socket.socketpair()
    parent = Line(*await asyncio.open_unix_connection(sock=mine), Ask)
    child = Line(*await asyncio.open_unix_connection(sock=its), Answer)
    clerk, desk = Clerk(store.catalogue, turns), Desk(child)
    answering: set[asyncio.Task[None]] = set()

    async def answer(ask: Ask) -> None:
        parent.send(await clerk.answer(ask))

    async def serve() -> None:
        while (ask := await parent.receive()) is not None:
            answering.add(asyncio.create_task(answer(ask)))

    async def listen() -> None:
        while (found := await child.receive()) is not None:
            desk.answered(found)

    tasks = [asyncio.create_task(serve()), asyncio.create_task(listen())]
    yield RemoteCatalogue(desk), desk, clerk
    child.close()
    parent.close()
    await clerk.close()
    await asyncio.gather(*tasks, *answering)


async def test_a_connection_is_refreshed_once_by_whoever_holds_its_lock() -> None:
    store = await Store.memory()
    customer = await store.catalogue.customers.add("Initech")
    fields = {"exact": Decimal("1.10"), "large": 2**70, "list": [1, None]}
    kept = await store.catalogue.connections.save(customer.id, "acme", "acme", fields, {"key": "k"})
    async with both_ends(store) as (remote, _, clerk):
        found = await remote.connections.get(kept.id)
        assert found == await store.catalogue.connections.get(kept.id)
        assert await remote.connections.open_secrets(kept.id) == {"key": "k"}
        async with remote.connections.refreshing(kept.id):
            fresh = await remote.connections.refresh(
                kept.id, found.generation, {"key": "new"}, found.fields
            )
            assert fresh is not None
            late = await remote.connections.refresh(kept.id, found.generation, {"key": "x"}, {})
            assert late is None
        assert await store.catalogue.connections.open_secrets(kept.id) == {"key": "new"}

        await remote.connections.refreshing(kept.id).__aenter__()
        await clerk.close()  # a child that dies holds nothing
        async with asyncio.timeout(5), store.catalogue.connections.refreshing(kept.id):
            pass
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
        instances[name] = await catalogue.instances.get(made.id)
    endpoints = await catalogue.shared.ensure("shop", ["receive"])
    owner = owner_of("shop")
    key = FlowKey(owner, owner, "shop", "receive", "hash of shop", 0)
    event = Event("POST", "", "", (), b"", 1)
    begun: list[Start] = []

    async def begin(start: Start, by: Start) -> bool:
        begun.append(start)
        return True

    start = Start("exe_1", key, event, "exe_1")
    (accepted,) = await store.journal.accept([start], claim=1, lease=60_000_000)
    assert accepted.claim is not None
    turn = JournalTurn(store.journal, accepted.claim, wall_clock, time.monotonic(), begin=begin)
    async with both_ends(store, {"exe_1": turn}) as (remote, desk, _):
        for field, value in ((None, "4711"), ("team", "T1")):
            found = await remote.instances.addressed("shop", field, value)
            assert list(found) == [instances["shop"]]
        assert await remote.shared.of_integration("shop") == endpoints
        there = RemoteTurn(Take(start, 1, 1, [], None, 1.0), desk)
        for name, instance in instances.items():
            target = FlowKey(customer.id, instance.id, name, "orders", instance.version, 1)
            child = Start(f"exe_{name}", target, event, "exe_1", parent="exe_1")
            if name == "shop":
                await there.begin(child)
                continue
            with pytest.raises(Fenced):
                await there.begin(child)
        stolen = replace(begun[0].flow, customer="cus_other")
        with pytest.raises(Fenced):
            await there.begin(replace(begun[0], execution="exe_x", flow=stolen))
    assert [each.execution for each in begun] == ["exe_shop"]
    await store.close()


async def test_errors_cross_the_line_as_what_they_are() -> None:
    store = await Store.memory()
    async with both_ends(store) as (remote, desk, _):
        with pytest.raises(NotFound, match="ins_none"):
            await remote.instances.get("ins_none")
        with pytest.raises(Fenced):
            await desk.ask("commit", [], [], [], execution="exe_of_somebody_else")
        with pytest.raises(RuntimeError, match="KeyError"):
            raise error_of(trouble_of(KeyError("x")))
    await store.close()


async def test_writes_to_state_cross_the_line() -> None:
    store = await Store.memory()
    flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
    event = Event("POST", "", "", (), b"", 1)
    start = Start("exe_1", flow, event, "exe_1", order=Order("pairs", "1"))
    (accepted,) = await store.journal.accept([start], claim=1, lease=60_000_000)
    assert accepted.claim is not None
    turn = JournalTurn(store.journal, accepted.claim, wall_clock, time.monotonic())
    async with both_ends(store, {"exe_1": turn}) as (_, desk, _):
        take = Take(start, 1, 1, [], None, 1.0)
        assert msgspec.msgpack.decode(encode(take), type=Take) == take
        remote = RemoteTurn(take, desk)
        a, b = StateWrite("s", "a", b"1"), StateWrite("s", "b", b'{"x":1.10}', merge=True)
        assert await remote.commit([], [], [a, b])
        assert not await remote.commit([], [], [StateWrite("s", "a", b"2", b"0")])
        assert await remote.list_state("s") == {"a": b"1", "b": b'{"x":1.10}'}
    done = Done("exe_1", ended=Ended(Outcome("succeeded"), writes=[a, b]))
    told = msgspec.msgpack.decode(encode(done), type=Done).ended
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
    right = continuation(former, current, b"{}", 7, 4_000_000_000_000_000)
    done = Done(id, ended=Ended(Outcome("succeeded"), next=Continuation(right, {"go": 1})))
    crossed = msgspec.msgpack.Decoder(Done).decode(encode(done)).ended.next
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
    ):
        assert not follows(replace(right, **wrong), former), wrong
