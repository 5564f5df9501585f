"""The promises about shards of listeners, on every store: who owns one, and up to where it is read."""

from __future__ import annotations

import asyncio

import pytest

from halflap.model import Dedupe, new_id
from halflap.store.journal import SqliteJournal
from halflap.store.protocol import Filter, Journal
from halflap.store.shards import ListenerKey, OwnedShard, ShardCursor, ShardKey, ShardShare
from tests.conformance.test_journal import LEASE, SECOND, start
from tests.journals import ON_EVERY_STORE, StandingClock


def listener(number: int = 1, source: str = "s1") -> ListenerKey:
    return ListenerKey(f"ins_{number}", "cus_a", "orders", source)


def held(*shares: ShardShare) -> set[ShardKey]:
    return {each.key for share in shares for each in share.taken}


async def one_of(journal: Journal, owner: str = "w1") -> OwnedShard:
    (taken,) = (await journal.shards.share(owner, [listener()], (), LEASE)).taken
    return taken


async def accept(
    journal: Journal, shard: OwnedShard, cursor: str, *, id: str | None = None
) -> bool:
    """Accept one event with a cursor; False where the fence is lost."""
    begun = start(dedupe=None if id is None else Dedupe(id))
    cursors = [ShardCursor(shard.key, shard.fence, cursor, 7)]
    (answer,) = await journal.accept([begun], claim=0, lease=LEASE, cursors=cursors)
    return not answer.fenced


async def cursor_of(journal: Journal) -> str | None:
    return (await journal.shards.list("ins_1"))[0].cursor


async def count(journal: Journal) -> int:
    return len(await journal.executions(Filter()))


@ON_EVERY_STORE
async def test_events_and_their_cursor_are_accepted_together(journal: Journal):
    shard = await one_of(journal)
    assert (shard.cursor, shard.start) == (None, None)
    assert await accept(journal, shard, "5")
    (stored,) = await journal.shards.list("ins_1")
    assert (stored.cursor, stored.owner, stored.message_at) == ("5", "w1", 7)
    assert await count(journal) == 1


@ON_EVERY_STORE
async def test_a_lost_fence_accepts_none_of_its_batch(journal: Journal, clock: StandingClock):
    shard = await one_of(journal)
    clock.move(LEASE + 1)
    other = await one_of(journal, "w2")
    assert other.fence == shard.fence + 1
    cursors = [ShardCursor(shard.key, shard.fence, "9")]
    two = [start(dedupe=Dedupe("a")), start(dedupe=Dedupe("b"))]
    answers = await journal.accept(two, claim=2, lease=LEASE, cursors=cursors)
    assert [each.fenced for each in answers] == [True, True]
    assert (await count(journal), await cursor_of(journal)) == (0, None)
    assert not await journal.shards.move(cursors)
    # It took no dedupe key either: the new owner's batch is accepted.
    assert await accept(journal, other, "9", id="a")
    assert (await count(journal), await cursor_of(journal)) == (1, "9")


async def test_one_lost_fence_of_two_moves_neither_cursor(journal: Journal, clock: StandingClock):
    owned = await journal.shards.assign("w1", listener(), ["0", "1"])
    other = await journal.shards.assign("w2", listener(), ["1"])
    cursors = [ShardCursor(each.key, each.fence, "9") for each in owned.values()]
    (answer,) = await journal.accept([start()], claim=0, lease=LEASE, cursors=cursors)
    assert answer.fenced
    assert not await journal.shards.move(cursors)
    assert [each.cursor for each in await journal.shards.list("ins_1")] == [None, None]
    assert other["1"].cursor is None


async def test_batches_of_others_are_accepted_beside_a_fenced_one(journal: Journal):
    shard = await one_of(journal)
    await journal.shards.revoke("ins_1")
    lost = ShardCursor(shard.key, shard.fence, "1")
    fenced, plain = await asyncio.gather(
        journal.accept([start()], claim=0, lease=LEASE, cursors=[lost]),
        journal.accept([start()], claim=0, lease=LEASE),
    )
    assert (fenced[0].fenced, plain[0].fenced) == (True, False)
    assert await count(journal) == 1


async def test_shards_are_free_once_their_owners_lease_has_run_out(
    journal: Journal, clock: StandingClock
):
    shard = await one_of(journal)
    assert not (await journal.shards.share("w2", [listener()], (), LEASE)).taken
    clock.move(LEASE // 2)
    assert await journal.shards.renew("w1", LEASE) == {"w1", "w2"}
    clock.move(LEASE // 2 + 1)
    assert not (await journal.shards.share("w2", [listener()], (), LEASE)).taken
    clock.move(LEASE)
    assert await journal.shards.renew("w2", LEASE) == {"w2"}
    taken = await one_of(journal, "w2")
    assert taken.fence == shard.fence + 1
    share = await journal.shards.share("w1", [listener()], [shard.key], LEASE)
    assert (share.lost, share.taken) == ([shard.key], [])


async def test_what_a_process_of_the_same_name_left_is_taken_at_once(journal: Journal):
    first = await one_of(journal)
    again = await one_of(journal)
    assert again.fence == first.fence + 1
    assert not await accept(journal, first, "1")
    assert await accept(journal, again, "1")


async def test_a_start_takes_at_once_what_the_process_before_read_in_a_file(journal: Journal):
    shard = await one_of(journal)
    await journal.void()
    taken = (await journal.shards.share("w2", [listener()], (), LEASE)).taken
    if isinstance(journal, SqliteJournal):  # it is open to one process at a time
        assert [each.fence for each in taken] == [shard.fence + 1]
    else:
        assert taken == []


async def test_a_cursor_outlives_its_owner(journal: Journal):
    shard = await one_of(journal)
    assert await accept(journal, shard, "41")
    await journal.shards.release({shard.key: shard.fence})
    assert (await one_of(journal, "w2")).cursor == "41"


async def test_processes_share_evenly_and_let_surplus_go(journal: Journal):
    wanted = [listener(number) for number in range(7)]
    first = await journal.shards.share("w1", wanted, (), LEASE)
    assert (len(first.taken), first.settled) == (7, True)
    second = await journal.shards.share("w2", wanted, (), LEASE)
    assert (len(second.taken), second.settled) == (0, False)  # all have an owner, it has no share
    more = await journal.shards.share("w1", wanted, held(first), LEASE)
    assert (len(more.surplus), more.settled) == (3, False)
    fences = {each.key: each.fence for each in first.taken}
    await journal.shards.release({key: fences[key] for key in more.surplus})
    second = await journal.shards.share("w2", wanted, (), LEASE)
    assert (held(second), second.settled) == (set(more.surplus), True)
    await journal.shards.leave("w2")
    last = await journal.shards.share("w1", wanted, held(first) - held(second), LEASE)
    assert held(last) == held(second)


async def test_two_processes_at_once_take_a_shard_once(journal: Journal):
    wanted = [listener(number) for number in range(20)]
    await asyncio.gather(*(journal.shards.renew(each, LEASE) for each in ("w1", "w2")))
    shares = await asyncio.gather(
        *(journal.shards.share(each, wanted, (), LEASE) for each in ("w1", "w2"))
    )
    first, second = (held(each) for each in shares)
    assert not first & second
    assert len(first | second) >= 10


async def test_another_source_begins_anew_and_the_former_goes_on(journal: Journal):
    assert await accept(journal, await one_of(journal), "5")
    (other,) = (await journal.shards.share("w1", [listener(source="s2")], (), LEASE)).taken
    assert other.cursor is None
    assert (await one_of(journal)).cursor == "5"


async def test_a_source_is_divided_and_ended_shards_keep_their_cursor(journal: Journal):
    root = await one_of(journal)
    await journal.shards.divide(listener(), ["a", "b"])
    share = await journal.shards.share("w1", [listener()], [root.key], LEASE)
    assert [each.key.shard for each in share.taken] == ["a", "b"]
    assert await journal.shards.move([ShardCursor(share.taken[0].key, 1, "9")])
    await journal.shards.divide(listener(), ["b"])
    states = {each.key.shard: each.state for each in await journal.shards.list("ins_1")}
    assert states == {"": "starting", "a": "ended", "b": "starting"}
    a, b = (each.key for each in share.taken)
    keys = [root.key, a, b]
    assert (await journal.shards.share("w1", [listener()], keys, LEASE)).lost == [a]
    await journal.shards.divide(listener(), ["a", "b"])
    (again,) = (await journal.shards.share("w1", [listener()], [root.key, b], LEASE)).taken
    assert again.cursor == "9"


async def test_an_expired_cursor_leaves_a_gap_that_is_shown(journal: Journal, clock: StandingClock):
    shard = await one_of(journal)
    await accept(journal, shard, "5")
    assert await journal.shards.skip(shard.key, shard.fence, "earliest", "kept for 3 days")
    (stored,) = await journal.shards.list("ins_1")
    assert (stored.cursor, stored.start) == (None, "earliest")
    (gap,) = stored.gaps
    assert (gap.cursor, gap.start, gap.reason, gap.at) == (
        "5",
        "earliest",
        "kept for 3 days",
        clock.now,
    )
    await journal.shards.revoke("ins_1")
    assert not await journal.shards.skip(shard.key, shard.fence, "latest", "again")
    taken = await one_of(journal)
    assert (taken.cursor, taken.start) == (None, "earliest")


async def test_a_gap_that_is_filled_otherwise_leaves_the_cursor(journal: Journal):
    shard = await one_of(journal)
    await accept(journal, shard, "5")
    assert await journal.shards.skip(shard.key, shard.fence, "cursor", "too old", stays=True)
    (stored,) = await journal.shards.list("ins_1")
    assert (stored.cursor, stored.start) == ("5", None)
    assert [(each.cursor, each.start, each.reason) for each in stored.gaps] == [
        ("5", "cursor", "too old")
    ]
    await journal.shards.revoke("ins_1")
    assert not await journal.shards.skip(shard.key, shard.fence, "cursor", "again", stays=True)


async def test_a_gap_that_is_found_again_before_anything_is_read_is_one(journal: Journal):
    shard = await one_of(journal)
    await accept(journal, shard, "5")
    assert await journal.shards.skip(shard.key, shard.fence, "cursor", "too old", stays=True)
    await journal.shards.revoke("ins_1")
    again = await one_of(journal)
    assert await journal.shards.skip(again.key, again.fence, "cursor", "too old", stays=True)
    await accept(journal, again, "6")
    assert await journal.shards.skip(again.key, again.fence, "cursor", "too old", stays=True)
    (stored,) = await journal.shards.list("ins_1")
    assert [each.cursor for each in stored.gaps] == ["5", "6"]


async def test_the_state_of_a_shard_is_noted_by_its_owner_alone(
    journal: Journal, clock: StandingClock
):
    shard = await one_of(journal)
    await journal.shards.note(shard.key, shard.fence, "parked", "401\0", "connection:con_1")
    (stored,) = await journal.shards.list("ins_1")
    assert (stored.state, stored.error, stored.waits_for) == (
        "parked",
        "401\ufffd",
        "connection:con_1",
    )
    clock.move(SECOND)
    await journal.shards.note(shard.key, shard.fence, "parked", "401\0", "connection:con_1")
    assert (await journal.shards.list("ins_1"))[0].changed_at == stored.changed_at
    await journal.shards.revoke("ins_1")
    await journal.shards.note(shard.key, shard.fence, "listening")
    assert (await journal.shards.list("ins_1"))[0].state == "parked"


async def test_shards_go_with_their_instance(journal: Journal):
    shard = await one_of(journal)
    await journal.shards.forget("ins_1")
    assert await journal.shards.list("ins_1") == []
    assert not await accept(journal, shard, "1")


async def test_a_shard_that_is_not_there_accepts_nothing(journal: Journal):
    nowhere = OwnedShard(ShardKey("ins_9", "orders", new_id("exe")), 1, None)
    assert not await accept(journal, nowhere, "1")
    assert await count(journal) == 0


@pytest.mark.parametrize("cursor", ["", "é漢", "x" * 5_000])
async def test_a_cursor_comes_back_as_it_was(journal: Journal, cursor: str):
    shard = await one_of(journal)
    assert await accept(journal, shard, cursor)
    assert await cursor_of(journal) == cursor
