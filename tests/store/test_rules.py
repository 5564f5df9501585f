"""The journal's rules, told without a store: what both kinds of store read is given to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halflap.model import Event, FlowKey, Order, Start
from halflap.store.rules.admission import OrderLine, admit
from halflap.store.rules.duplicate import duplicate_of
from halflap.store.rules.order import OrderPlace, free_turns, settle

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
