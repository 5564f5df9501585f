"""The rules of orders against a model of them: whatever is done, the right ones may run."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from halflap.model import Event, FlowKey, Micros, Order, Outcome, Start, new_id
from halflap.store.protocol import Claim, Lease, Release, Written
from tests.journals import cancel_one, opened

LEASE: Micros = 100
FLOW = FlowKey("cus_a", "ins_a", "shop", "orders", "v", 1)
LIVE = ("queued", "running", "waiting")
ORDERS = {
    each.key: each
    for each in (
        Order("order:ins_a:orders", "fifo"),
        Order("order:ins_a:orders", "parallel", 2, while_waiting="go_on"),
        Order("order:ins_a:orders", "blocking", after_failure="block"),
        Order("order:ins_a:orders", "passable", while_waiting="go_on"),
        Order("order:ins_a:orders", "both", 1, "wait", "block", "go_on"),
        Order("order:ins_a:orders", "singleton", when_busy="end"),
        Order("order:ins_a:orders", "latest", when_busy="replace"),
    )
}
KEYS = st.sampled_from(sorted(ORDERS))


@dataclass(eq=False)
class Modelled:
    """An execution, as far as its order is concerned."""

    id: str
    order: Order
    place: int
    state: str = "queued"
    due: Micros | None = 0
    begun: bool = False
    aside: bool = False
    until: Micros = 0
    fence: int = 0
    waits_for_signal: bool = False
    blocks: bool = False
    cancelling: bool = False

    replay_of: str | None = None

    @property
    def lives(self) -> bool:
        return self.state in LIVE


class OrderMachine(RuleBasedStateMachine):
    kind = "memory"
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now: Micros = 1_000_000
        self.places = 0
        self.count = 0
        self.known: dict[str, Modelled] = {}
        self.held = False
        self.keys: list[str] = []
        self.opened = opened(self.kind, Path(), lambda: self.now)
        self.journal = self.runner.run(self.opened.__aenter__())

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    # -- the model's own words -----------------------------------------------------------------

    def line(self, key: str) -> list[Modelled]:
        """Return the executions that have a place in an order, as they were accepted."""
        found = [e for e in self.known.values() if e.order.key == key and (e.lives or e.blocks)]
        return sorted(found, key=lambda each: each.place)

    def may_run(self, key: str) -> tuple[list[Modelled], int]:
        """Return the executions that may run next in an order, first ones first, and how many of them."""
        line = self.line(key)
        order = ORDERS[key]
        free = order.width - sum(e.state == "running" or e.blocks for e in line)
        others = [e for e in line if e.lives and e.state != "running"]
        if order.while_waiting == "block":
            return others[:1], free  # the first one, due or not
        back = [e for e in others if e.aside and self.is_due(e)]
        back.sort(key=lambda each: (each.due or 0, each.place))
        return [*back, *(e for e in others if not e.aside)], free

    def is_due(self, each: Modelled) -> bool:
        return each.due is not None and each.due <= self.now

    def holds(self, lease: Lease) -> bool:
        each = self.known[lease.execution]
        return each.state == "running" and each.fence == lease.fence

    def took(self, claims: list[Claim]) -> Any:
        for claim in claims:
            each = self.known[claim.start.execution]
            assert self.is_due(each)
            assert not self.held
            assert claim.start.order == each.order
            next, free = self.may_run(each.order.key)
            assert free > 0
            if not each.aside:  # those that have not begun do so in their order
                fresh = [e for e in next if not e.begun and not e.aside]
                assert each.begun or each.order.width > 1 or fresh[0] is each
            if each.order.while_waiting == "block":
                assert next == [each]
            each.state, each.begun, each.due, each.until = "running", True, None, self.now + LEASE
            each.fence = claim.lease.fence
        return multiple(*(claim.lease for claim in claims))

    def leave(self, each: Modelled, state: str) -> None:
        each.state, each.due = state, None
        each.blocks = state == "failed" and each.order.after_failure == "block"

    def pause(self, each: Modelled, state: str, due: Micros | None) -> None:
        each.state, each.due = state, due
        each.aside = each.order.while_waiting == "go_on"

    # -- what may be done ----------------------------------------------------------------------

    @initialize(keys=st.lists(KEYS, min_size=1, max_size=2, unique=True))
    def choose(self, keys: list[str]) -> None:
        self.keys = keys

    @rule(by=st.integers(1, 60))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(
        target=leases,
        which=st.lists(st.integers(0, 1), min_size=1, max_size=4),
        room=st.integers(0, 3),
    )
    def accept(self, which: list[int], room: int) -> Any:
        return self.begin([self.start(self.keys[each % len(self.keys)]) for each in which], room)

    @rule(target=leases, lease=leases, room=st.integers(0, 1))
    def replay(self, lease: Lease, room: int) -> Any:
        of = self.known[lease.execution]
        if of.lives:
            return multiple()
        return self.begin([replace(self.start(of.order.key), replay_of=of.id)], room)

    def start(self, key: str) -> Start:
        self.count += 1  # the same run has the same ids, so the same ones are claimed first
        id = new_id("exe", now=self.now, chance=self.count)
        return Start(id, FLOW, Event("POST", "", "", (), b"", self.now), id, order=ORDERS[key])

    def begin(self, starts: list[Start], room: int) -> Any:
        answers = self.run(self.journal.accept(starts, claim=room, lease=LEASE))
        claims: list[Claim] = []
        for start, answer in zip(starts, answers, strict=True):
            assert start.order is not None
            live = [e for e in self.known.values() if e.replay_of and e.lives]
            first = next((e.id for e in live if e.replay_of == start.replay_of), None)
            assert answer.duplicate_of == first  # one live replay of each
            if first is not None:
                continue
            self.places += 1
            each = Modelled(start.execution, start.order, self.places, due=self.now)
            each.replay_of = start.replay_of
            line = self.line(start.order.key)
            waiting = [e for e in line if e.lives and not e.begun]
            replayed = self.known.get(start.replay_of or "")
            if start.order.when_busy == "end" and line:
                each.state = "ignored"
            elif start.order.when_busy == "replace" and waiting and replayed is not None:
                each.state = "cancelled"
            elif start.order.when_busy == "replace":
                for other in waiting:
                    self.leave(other, "cancelled")
            if replayed is not None and each.lives:
                if replayed.blocks:
                    each.place = replayed.place
                replayed.blocks = False
            self.known[each.id] = each
            if answer.claim is not None:
                claims.append(answer.claim)
                self.took([answer.claim])
        return multiple(*(each.lease for each in claims))

    @rule(target=leases, room=st.integers(1, 4), probation=st.booleans())
    def claim(self, room: int, probation: bool) -> Any:
        return self.took(self.run(self.journal.claim(room, LEASE, probation=probation)))

    @rule(lease=leases, outcome=st.sampled_from(["succeeded", "failed", "failed", "ignored"]))
    def end(self, lease: Lease, outcome: Any) -> None:
        if self.holds(lease) and self.known[lease.execution].cancelling:
            outcome = "cancelled"  # no other end is taken from it
        written = self.run(self.journal.end(lease, [], [], Outcome(outcome)))
        assert written is (Written.DONE if self.holds(lease) else Written.FENCED)
        if written is Written.DONE:
            self.leave(self.known[lease.execution], outcome)

    @rule(outcome=st.sampled_from(["succeeded", "failed"]))
    def work_off(self, outcome: Any) -> None:
        """All that may run do, and end: more often than rules by chance would come to it."""
        claims = self.run(self.journal.claim(50, LEASE))
        claims += self.run(self.journal.claim(50, LEASE, probation=True))
        self.took(claims)
        for each in claims:
            self.end(each.lease, outcome)

    @rule(
        lease=leases,
        how=st.sampled_from(["retry", "sleep", "signal"]),
        wait=st.sampled_from([None, 0, 1, 50]),
    )
    def release(self, lease: Lease, how: Any, wait: int | None) -> None:
        due = None if wait is None else self.now + wait
        heard = None
        if how == "signal":
            heard = len(self.run(self.journal.signals(lease.execution)))
        written = self.run(self.journal.release(lease, [], [], Release(how, due, heard=heard)))
        assert written is (Written.DONE if self.holds(lease) else Written.FENCED)
        if written is Written.DONE:
            each = self.known[lease.execution]
            each.waits_for_signal = how == "signal"
            state = "queued" if how == "retry" else "waiting"
            self.pause(each, state, self.now if each.cancelling else due)

    @rule(lease=leases)
    def signal(self, lease: Lease) -> None:
        each = self.known[lease.execution]
        self.run(self.journal.signal(lease.execution, "go", b""))
        if each.state == "waiting" and each.waits_for_signal and not self.is_due(each):
            each.due = self.now

    @rule()
    def lapse(self) -> None:
        lost = [e for e in self.known.values() if e.state == "running" and e.until < self.now]
        assert self.run(self.journal.lapse()) == len(lost)
        for each in lost:
            self.pause(each, "queued", self.now)

    @rule(lease=leases)
    def crash(self, lease: Lease) -> None:
        self.run(self.journal.blame([lease.execution], alone=False))
        each = self.known[lease.execution]
        if each.state == "running":
            self.pause(each, "queued", self.now)

    @rule(which=st.integers(0, 50))
    def cancel(self, which: int) -> None:
        living = [each for each in self.known.values() if each.lives]
        if not living:
            return
        each = living[which % len(living)]
        if self.run(cancel_one(self.journal, each.id, "stop")) == "asked":
            assert each.state == "running"
            each.cancelling = True
        else:
            self.leave(each, "cancelled")

    @rule(lease=leases)
    def dismiss(self, lease: Lease) -> None:
        self.run(self.journal.dismiss(lease.execution))
        self.known[lease.execution].blocks = False

    @rule(hold=st.booleans())
    def hold_or_let_go(self, hold: bool) -> None:
        verb = self.journal.hold if hold else self.journal.release_instance
        self.run(verb("ins_a"))
        self.held = hold

    @rule(target=leases)
    def all_that_may_run_are_claimed(self) -> Any:
        """Nobody who may run is left, and nobody who may not is taken."""
        claims = self.run(self.journal.claim(50, LEASE))
        claims += self.run(self.journal.claim(50, LEASE, probation=True))
        taken = self.took(claims)
        for key in ORDERS:
            next, free = self.may_run(key)
            assert self.held or free <= 0 or not any(self.is_due(each) for each in next)
        return taken

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def no_more_run_than_may(self) -> None:
        for key, order in ORDERS.items():
            line = self.line(key)
            assert sum(each.state == "running" for each in line) <= order.width
            if order.when_busy != "wait":
                assert len([each for each in line if not each.begun]) <= 1

    @invariant()
    def both_agree(self) -> None:
        for id, each in self.known.items():
            found = self.run(self.journal.execution(id))
            assert (found.state, found.due_at) == (each.state, each.due if each.lives else None)

    @invariant()
    def who_waits_names_one_that_has_its_turn(self) -> None:
        for key in ORDERS:
            line = self.line(key)
            for each in line:
                ahead = self.run(self.journal.waits_for(each.id))
                assert ahead is None or ahead in {e.id for e in line if e is not each}
                assert ahead is None or each.state != "running"


class PostgresOrderMachine(OrderMachine):
    kind = "postgresql"


class LongOrderMachine(OrderMachine):
    """The same for long, in the soak."""


class SimulatedOrderMachine(OrderMachine):
    kind = "simulated"


FEW = settings().max_examples // 4
"""Examples where each costs much; as many more in the soak."""
TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = settings(stateful_step_count=40)
TestPostgresOrderMachine = PostgresOrderMachine.TestCase
TestPostgresOrderMachine.settings = settings(max_examples=FEW, stateful_step_count=30)
TestSimulatedOrderMachine = SimulatedOrderMachine.TestCase
TestSimulatedOrderMachine.settings = settings(max_examples=FEW, stateful_step_count=30)
TestLongOrderMachine = pytest.mark.soak(LongOrderMachine.TestCase)
TestLongOrderMachine.settings = settings(max_examples=1_000, stateful_step_count=40)
