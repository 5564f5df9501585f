"""The journal's rules, told without a store: what both kinds of store read is given to them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halflap.model import Event, FlowKey, Order, Record, Start
from halflap.store.rules.admission import OrderLine, admit
from halflap.store.rules.duplicate import duplicate_of
from halflap.store.rules.order import OrderPlace, free_turns, settle
from halflap.store.rules.replaying import resumed_steps

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


def test_the_first_that_has_what_a_start_wants_answers_and_no_further_one_is_looked_for() -> None:
    looked = iter([None, "exe_1", "exe_2", "exe_3"])
    assert duplicate_of("exe_1", looked) == "exe_2"
    assert list(looked) == ["exe_3"]
    assert duplicate_of("exe_1", [None, "exe_1"]) is None


def step(seq: int, path: str, begun: int, ended: int, **more: Any) -> Record:
    return Record(
        seq, path, more.pop("kind", "action"), path, path, "succeeded", begun, ended, **more
    )


def test_the_first_step_that_ended_behind_a_cut_may_have_been_under_way() -> None:
    steps = [step(0, "a", 1, 2), step(1, "b", 8, 9), step(2, "c", 9, 10)]
    assert resumed_steps(steps, []) == {}
    assert resumed_steps(steps, [(1, 5)]) == {"b": 1}
    assert resumed_steps(steps, [(1, 5), (3, 9)]) == {"b": 1, "c": 3}
    assert resumed_steps(steps, [(1, 10)]) == {}
    # A try before the cut has a record: it was tried again as the process ended.
    assert resumed_steps([step(0, "a", 1, 9, tries=2), steps[2]], [(2, 5)]) == {"a": 2}
    # Nothing waits for what is pure; what is no effect was on disk before the effect behind it began.
    assert resumed_steps([step(0, "pure", 6, 6, pure=True), *steps], [(1, 5)]) == {"b": 1}
    read = step(0, "state.get(x)", 6, 6, kind="state")
    assert resumed_steps([read, *steps[1:]], [(1, 5)]) == {}
    assert resumed_steps([step(-3, "copy", 6, 6), *steps], [(1, 5)]) == {"b": 1}


def test_each_branch_may_have_had_a_step_under_way_and_what_follows_them_had_not() -> None:
    branches = [step(n, f"gather[{each}]/a", 6, 7 + n) for n, each in enumerate("xy")]
    behind = [
        step(2, "gather[x]/b", 8, 9),
        step(3, "gather[x]/gather[z]/c", 9, 9),
        step(4, "d", 9, 9),
    ]
    found = resumed_steps([*branches, *behind], [(1, 5)])
    assert found == {"gather[x]/a": 1, "gather[y]/a": 1}
    assert resumed_steps(behind[1:], [(1, 5)]) == {"gather[x]/gather[z]/c": 1}
