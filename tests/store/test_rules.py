"""The journal's rules, told without a store: what both kinds of store read is given to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halflap.model import ENDED, LIVE, Event, FlowKey, Order, Start, StateWrite
from halflap.store.protocol import Written
from halflap.store.rules.admission import Member, OrderLine, admit
from halflap.store.rules.beginning import LIMITED, begin, gates_of
from halflap.store.rules.duplicate import duplicate_of
from halflap.store.rules.ending import consequences, decide_cancel, frees_key
from halflap.store.rules.order import OrderPlace, free_turns, settle
from halflap.store.rules.state import change, changes
from halflap.store.rules.turn import HeldTurn, refusal

FLOW = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
EVENT = Event("POST", "/", "", (), b"{}", 1)


def start(execution: str, order: Order, replay_of: str | None = None) -> Start:
    return Start(execution, FLOW, EVENT, execution, order=order, replay_of=replay_of)


places = st.lists(
    st.builds(
        OrderPlace,
        st.uuids().map(str),
        st.integers(0, 50),
        st.integers(1, 4),
        st.booleans(),
        st.booleans(),
        st.sampled_from((0, 0, 5, 500)),
    ).filter(lambda each: each.has_turn or not each.fixed),
    max_size=12,
)


@given(places)
def test_settling_twice_changes_nothing_more(found: list[OrderPlace]) -> None:
    settled = settle(found, 100)
    after = [
        OrderPlace(
            each.execution,
            each.number,
            each.width,
            (each.has_turn or each.execution in settled.given)
            and each.execution not in settled.taken,
            each.fixed,
            each.back_at,
        )
        for each in found
    ]
    assert settle(after, 100) == type(settled)([], [])
    assert not {e.execution for e in found if e.fixed} & set(settled.taken)
    turns = [each for each in after if each.has_turn and not each.fixed]
    least = min((each.width for each in after if each.has_turn), default=1)
    assert len(turns) <= max(free_turns([e for e in after if e.has_turn], least), 0)


@given(st.lists(st.sampled_from(("wait", "end", "replace")), max_size=10), st.integers(1, 3))
def test_as_many_have_a_turn_as_may_and_in_the_order_of_accepting(
    rules: list[str], width: int
) -> None:
    line, lives = OrderLine(), list[str]()
    for number, rule in enumerate(rules):
        order = Order("flow", "k", width, rule)  # type: ignore[arg-type]
        standing = admit(line, start(f"exe_{number}", order), order, is_there=False)
        line = line.after(f"exe_{number}", standing)
        lives = [each for each in lives if each not in standing.replaced]
        if standing.outcome is None:
            lives.append(f"exe_{number}")
        assert [each.execution for each in line.members] == lives
        turns = [each.has_turn for each in line.members]
        assert turns == sorted(turns, reverse=True)
        assert sum(turns) == line.turns == min(len(lives), width)
        assert line.some_wait == (len(lives) > width)


def test_what_has_begun_is_not_replaced() -> None:
    order = Order("flow", "k", when_busy="replace")
    line = OrderLine(2, 1, 0, False, (Member("exe_1", True, True), Member("exe_2", False, True)))
    standing = admit(line, start("exe_3", order), order, is_there=False)
    assert standing.replaced == ("exe_2",)
    line = line.after("exe_3", standing)
    again = admit(line.begun("exe_3"), start("exe_4", order), order, is_there=False)
    assert again.replaced == ()


def test_a_replay_takes_over_the_turn_that_its_failed_one_kept() -> None:
    order = Order("flow", "k", after_failure="block")
    line = OrderLine(1, 1, 0, False, kept=frozenset({"exe_1"}))
    standing = admit(line, start("exe_2", order, "exe_1"), order, is_there=False)
    assert (standing.has_turn, standing.inherits_from) == (True, "exe_1")
    line = line.after("exe_2", standing)
    later = admit(line, start("exe_3", order), order, is_there=False)
    assert not later.has_turn


def test_what_is_held_limited_suspect_behind_or_an_orphan_is_not_claimed_at_once() -> None:
    nothing = {"limited": False, "suspect": False, "behind": False, "orphan": False}
    assert begin(1, 0, **nothing).runs
    assert not begin(0, 0, **nothing).runs
    assert not begin(1, 4, **nothing).runs
    for each in nothing:
        assert not begin(1, 0, **{**nothing, each: True}).runs
    assert begin(1, 1, **{**nothing, "behind": True}).held == 3


def test_gates_hold_their_own_and_nothing_of_ours() -> None:
    closed = {("ins_1", 1), ("cus_1", 4), ("ins_2", 1), ("cus_1", LIMITED)}
    assert gates_of(FLOW, closed, all_limited=False) == (5, True)
    ours = FlowKey("cus_1", "ins_1", "shop", "$deploy", "v1", 1)
    assert gates_of(ours, closed, all_limited=True) == (0, False)
    assert gates_of(FLOW, set(), all_limited=True) == (0, True)


def test_a_turn_writes_only_what_it_still_holds() -> None:
    assert refusal(HeldTurn(3, False), 3, "failed") is None
    assert refusal(HeldTurn(3, False), 2, None) is Written.FENCED
    assert refusal(None, 3, None) is Written.FENCED
    assert refusal(HeldTurn(3, True), 3, "succeeded") is Written.CANCELLED
    assert refusal(HeldTurn(3, True), 3, "cancelled") is None
    assert refusal(HeldTurn(3, True), 3, None) is None


def test_a_cancellation_ends_what_waits_and_asks_what_runs() -> None:
    asked = {each: decide_cancel(each) for each in (*LIVE, *ENDED)}
    ended = dict.fromkeys(ENDED, "over")
    assert asked == {"queued": "ended", "waiting": "ended", "running": "asked", **ended}
    assert [frees_key(attempt) for attempt in (0, 1)] == [True, False]


def test_an_end_passes_its_turn_on_and_only_a_cancelled_one_takes_its_children_along() -> None:
    for state in ENDED:
        after = consequences(state, ordered=True, parent="exe_p", child="exe_c")
        assert (after.leaves_order, after.parent, after.child) == (True, "exe_p", "exe_c")
        assert (after.failed, after.cancels_children) == (state == "failed", state == "cancelled")


def test_the_first_that_has_what_a_start_wants_answers_and_no_further_one_is_looked_for() -> None:
    looked = iter([None, "exe_1", "exe_2", "exe_3"])
    assert duplicate_of("exe_1", looked) == "exe_2"
    assert list(looked) == ["exe_3"]
    assert duplicate_of("exe_1", [None, "exe_1"]) is None


def test_writes_to_the_state_are_made_all_or_none_and_one_after_another() -> None:
    stored = {("s", "a"): b'{"x":1}', ("s", "b"): b"1"}
    writes = [
        StateWrite("s", "a", b'{"y":2}', merge=True),
        StateWrite("s", "a", b'{"x":null}', merge=True),
        StateWrite("s", "b", None, expect=b"1"),
        StateWrite("s", "c", b'"k"', orders=True),
    ]
    after = change(stored, changes(writes))
    assert after is not None
    assert after.values == {("s", "a"): b'{"y":2}', ("s", "b"): None, ("s", "c"): b'"k"'}
    assert after.moves == [(("s", "c"), b'"k"')]
    assert change(stored, changes([*writes, StateWrite("s", "b", b"3", expect=b"2")])) is None
