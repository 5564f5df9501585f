"""The journal against a model of it that fits a screen: whatever is done, both agree."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from halflap.model import (
    Dedupe,
    Event,
    FlowKey,
    Micros,
    Order,
    Outcome,
    Paused,
    Record,
    Start,
    StateWrite,
    new_id,
)
from halflap.store.protocol import Filter, Lease, Release, Written
from tests.journals import cancel_one, opened

LEASE: Micros = 100
LIVE = ("queued", "running", "waiting")
CUSTOMERS = st.sampled_from(["cus_a", "cus_b", "cus_c"])
INSTANCES = st.sampled_from(["1", "2"])
ORDERS = st.sampled_from(["o1", "o2", "o3"])


@dataclass
class Modelled:
    customer: str
    instance: str
    state: str = "queued"
    fence: int = 0
    attempt: int = 0
    due: Micros | None = None
    until: Micros = 0
    probation: bool = False
    crashes: int = 0
    cancelling: str | None = None
    duplicates: int = 0
    crashed: int = 0
    order: str | None = None
    steps: dict[str, Record] = field(default_factory=dict[str, Record])


class JournalMachine(RuleBasedStateMachine):
    kind = "memory"
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now: Micros = 1_000_000
        self.count = 0
        self.known: dict[str, Modelled] = {}
        self.keys: dict[tuple[str, str], tuple[str, Micros]] = {}
        self.held: set[str] = set()
        self.paused: set[str] = set()
        self.names: dict[str, bytes] = {}
        self.opened = opened(self.kind, Path(), lambda: self.now)
        self.journal = self.runner.run(self.opened.__aenter__())

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    # -- the model's own words -----------------------------------------------------------------

    def holds(self, lease: Lease) -> bool:
        each = self.known[lease.execution]
        return each.state == "running" and each.fence == lease.fence

    def claimable(self, probation: bool) -> dict[str, Modelled]:
        return {
            id: each
            for id, each in self.known.items()
            if each.state in ("queued", "waiting")
            and each.due is not None
            and not self.stands_still(each.customer, each.instance)
            and each.probation is probation
            and self.is_its_turn(each)
        }

    def stands_still(self, customer: str, instance: str) -> bool:
        names = {customer, instance, f"{instance}/orders"}
        return instance in self.held or bool(names & self.paused)

    def is_its_turn(self, each: Modelled) -> bool:
        """It is the first of its order, and none of that runs."""
        order = self.living_in(each.order)
        return not order or (order[0] is each and all(e.state != "running" for e in order))

    def living_in(self, order: str | None) -> list[Modelled]:
        """Return the executions that live in an order, as they were accepted."""
        if order is None:
            return []
        return [each for each in self.known.values() if each.order == order and each.state in LIVE]

    def unclean(self, each: Modelled, crashes: int = 0) -> None:
        each.state, each.due, each.probation = "queued", self.now, True
        each.fence += 1
        each.crashes += crashes
        each.crashed += 1

    def add(self, each: Modelled, record: Record) -> None:
        old = each.steps.get(record.path)
        if old is None or old.status == "retrying":
            each.steps[record.path] = record

    def record(self, path: str, status: Any) -> Record:
        self.count += 1
        return Record(
            0, path, "action", "a.b", "B", status, 1, 2, tries=self.count, result=b"%d" % self.count
        )

    # -- what may be done ----------------------------------------------------------------------

    @rule(by=st.integers(1, 60))
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(
        target=leases,
        customer=CUSTOMERS,
        instance=INSTANCES,
        keys=st.lists(st.sampled_from([None, None, "k1", "k2"]), min_size=1, max_size=3),
        room=st.integers(0, 2),
        ttl=st.integers(1, 100),
        order=st.none() | ORDERS,
    )
    def accept(
        self,
        customer: str,
        instance: str,
        keys: list[str | None],
        room: int,
        ttl: int,
        order: str | None,
    ) -> Any:
        name = None if order is None else self.names.get(order, order.encode()).decode()
        places = 0 if self.living_in(name) else 1
        where = f"ins_{customer}_{instance}"
        starts: list[Start] = []
        expected: list[str | None] = []
        for key in keys:
            id = new_id("exe")
            flow = FlowKey(customer, where, "shop", "orders", "v", 1)
            event = Event("POST", "", "", (), b"%d" % self.count, self.now)
            dedupe = None if key is None else Dedupe(key, ttl)
            within = None if order is None else Order("pairs", order)
            starts.append(Start(id, flow, event, id, dedupe, order=within))
            first, expires = self.keys.get((where, key or ""), (id, 0))
            if key is not None and expires > self.now:
                self.known[first].duplicates += 1
                expected.append(first)
                continue
            if key is not None:
                self.keys[where, key] = (id, self.now + ttl)
            self.known[id] = Modelled(customer, where, due=self.now, order=name)
            expected.append(None)
        answers = self.run(self.journal.accept(starts, claim=room, lease=LEASE))
        assert [each.duplicate_of for each in answers] == expected
        claims = [each.claim for each in answers if each.claim is not None]
        fresh = expected.count(None)
        if order is not None:
            fresh = min(fresh, places)
        assert len(claims) == (0 if self.stands_still(customer, where) else min(room, fresh))
        return self.took(claims)

    @rule(target=leases, room=st.integers(1, 4), probation=st.booleans())
    def claim(self, room: int, probation: bool) -> Any:
        due = {
            id: each
            for id, each in self.claimable(probation).items()
            if each.due is not None and each.due <= self.now
        }
        claims = self.run(self.journal.claim(room, LEASE, probation=probation))
        got = [each.start.execution for each in claims]
        assert len(set(got)) == len(got) == min(room, len(due))
        assert set(got) <= set(due)
        shares = [
            (
                sum(due[id].customer == name for id in got),
                sum(e.customer == name for e in due.values()),
            )
            for name in ("cus_a", "cus_b", "cus_c")
        ]
        # Nobody gets two more than another who has some left.
        for mine, _ in shares:
            for other, had in shares:
                assert mine <= other + 1 or other == had
        return self.took(claims)

    def took(self, claims: list[Any]) -> Any:
        for claim in claims:
            each = self.known[claim.start.execution]
            assert self.is_its_turn(each)
            each.state, each.due, each.until = "running", None, self.now + LEASE
            each.fence += 1
            each.attempt += 1
            ordered = each.order is not None
            assert claim.lease == Lease(claim.start.execution, each.fence, each.until, ordered)
            assert (claim.attempt, claim.probation) == (each.attempt, each.probation)
            assert (claim.crashes, claim.cancelling) == (each.crashes, each.cancelling)
            assert {step.path: step for step in claim.history} == each.steps
        return multiple(*(claim.lease for claim in claims))

    @rule(
        lease=leases,
        path=st.sampled_from(["a#1", "b#1"]),
        status=st.sampled_from(["retrying", "retrying", "succeeded", "failed"]),
    )
    def commit(self, lease: Lease, path: str, status: str) -> None:
        record = self.record(path, status)
        written = self.run(self.journal.commit(lease, [record], [], []))
        assert written is (Written.DONE if self.holds(lease) else Written.FENCED)
        if written is Written.DONE:
            self.add(self.known[lease.execution], record)

    @rule(lease=leases, order=ORDERS, name=ORDERS)
    def put_together(self, lease: Lease, order: str, name: str) -> None:
        write = StateWrite("pairs", order, name.encode(), orders=True)
        written = self.run(self.journal.commit(lease, [], [], [write]))
        assert written is (Written.DONE if self.holds(lease) else Written.FENCED)
        if written is Written.DONE:
            for each in self.living_in(order):
                each.order = name
            self.names[order] = name.encode()

    @rule(lease=leases, outcome=st.sampled_from(["succeeded", "failed", "cancelled", "ignored"]))
    def end(self, lease: Lease, outcome: Any) -> None:
        record = self.record("end#1", "succeeded")
        written = self.run(self.journal.end(lease, [record], [], Outcome(outcome)))
        each = self.known[lease.execution]
        if not self.holds(lease):
            assert written is Written.FENCED
        elif each.cancelling is not None and outcome != "cancelled":
            assert written is Written.CANCELLED
        else:
            assert written is Written.DONE
            self.add(each, record)
            each.state, each.due, each.probation = outcome, None, False

    @rule(
        lease=leases,
        how=st.sampled_from(["retry", "later", "drained", "sleep"]),
        wait=st.sampled_from([None, 0, 1, 50]),
    )
    def release(self, lease: Lease, how: Any, wait: int | None) -> None:
        due = None if wait is None else self.now + wait
        written = self.run(self.journal.release(lease, [], [], Release(how, due)))
        assert written is (Written.DONE if self.holds(lease) else Written.FENCED)
        if written is Written.DONE:
            each = self.known[lease.execution]
            each.state = "waiting" if how == "sleep" else "queued"
            each.due = due if each.cancelling is None else self.now
            each.probation = False
            each.crashed += 1

    @rule(some=st.lists(leases, max_size=3))
    def renew(self, some: list[Lease]) -> None:
        kept = self.run(self.journal.renew(some, LEASE))
        until = self.now + LEASE
        assert {(k.execution, k.fence, k.until) for k in kept} == {
            (each.execution, each.fence, until) for each in some if self.holds(each)
        }
        for each in kept:
            self.known[each.execution].until = until

    @rule()
    def void(self) -> None:
        lost = [each for each in self.known.values() if each.state == "running"]
        assert self.run(self.journal.void()) == len(lost)
        for each in lost:
            self.unclean(each)

    @rule()
    def lapse(self) -> None:
        lost = [e for e in self.known.values() if e.state == "running" and e.until < self.now]
        assert self.run(self.journal.lapse()) == len(lost)
        for each in lost:
            self.unclean(each)

    @rule(lease=leases, alone=st.booleans())
    def blame(self, lease: Lease, alone: bool) -> None:
        self.run(self.journal.blame([lease.execution], alone=alone))
        each = self.known[lease.execution]
        if each.state == "running":
            self.unclean(each, int(alone))

    @rule(lease=leases)
    def cancel(self, lease: Lease) -> None:
        each = self.known[lease.execution]
        done = self.run(cancel_one(self.journal, lease.execution, "stop"))
        if each.state == "running":
            assert done == "asked"
            each.cancelling = "stop"
        elif each.state in LIVE:
            assert done == "ended"
            each.state, each.due, each.probation = "cancelled", None, False
        else:
            assert done == "over"

    @rule(customer=CUSTOMERS, instance=INSTANCES, hold=st.booleans())
    def hold_or_let_go(self, customer: str, instance: str, hold: bool) -> None:
        where = f"ins_{customer}_{instance}"
        if hold:
            self.run(self.journal.hold(where))
            self.held.add(where)
        else:
            self.run(self.journal.release_instance(where))
            self.held.discard(where)

    @rule(
        customer=CUSTOMERS,
        instance=INSTANCES,
        what=st.sampled_from(["customer", "instance", "flow"]),
        pause=st.booleans(),
    )
    def pause_or_resume(self, customer: str, instance: str, what: str, pause: bool) -> None:
        where = f"ins_{customer}_{instance}"
        name = {"customer": customer, "instance": where, "flow": f"{where}/orders"}[what]
        if pause:
            done = self.run(self.journal.pause(Paused(name, self.now)))
            assert done is (name not in self.paused)
            self.paused.add(name)
        else:
            assert self.run(self.journal.resume(name)) is (name in self.paused)
            self.paused.discard(name)

    @rule()
    def all_come_to_an_end(self) -> None:
        """Nothing is stuck: whatever is due is claimed and ended, until nothing lives."""
        for where in sorted(self.held):
            self.run(self.journal.release_instance(where))
        self.held.clear()
        for name in sorted(self.paused):
            assert self.run(self.journal.resume(name))
        self.paused.clear()
        self.void()
        self.now += 100
        while living := {id: each for id, each in self.known.items() if each.state in LIVE}:
            for id, each in living.items():
                if each.due is None:
                    assert self.run(cancel_one(self.journal, id, "stop")) == "ended"
                    each.state, each.probation = "cancelled", False
            ended = [id for id, each in living.items() if each.state not in LIVE]
            for probation in (False, True):
                claims = self.run(self.journal.claim(10, LEASE, probation=probation))
                self.took(claims)
                for each in claims:
                    state = "succeeded" if each.cancelling is None else "cancelled"
                    done = self.run(self.journal.end(each.lease, [], [], Outcome(state)))
                    assert done is Written.DONE
                    ended.append(each.start.execution)
                    self.known[ended[-1]].state = state
                    self.known[ended[-1]].probation = False
            assert ended

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        found = self.run(self.journal.executions(Filter(limit=1_000)))
        assert {e.id: (e.state, e.attempt, e.due_at, e.duplicates) for e in found} == {
            id: (each.state, each.attempt, each.due, each.duplicates)
            for id, each in self.known.items()
        }

    @invariant()
    def the_next_due_is_the_soonest_that_may_be_claimed(self) -> None:
        for probation in (False, True):
            due = [each.due for each in self.claimable(probation).values() if each.due is not None]
            found = self.run(self.journal.next_due(probation=probation))
            assert found == min(due, default=None)

    @invariant()
    def steps_and_attempts_agree(self) -> None:
        for id, each in self.known.items():
            steps = self.run(self.journal.steps(id))
            assert {step.path: step for step in steps} == each.steps
            assert len(self.run(self.journal.attempts(id))) == each.crashed

    @invariant()
    def the_living_are_counted(self) -> None:
        for where in {each.instance for each in self.known.values()}:
            living = [e for e in self.known.values() if e.instance == where and e.state in LIVE]
            assert self.run(self.journal.live(where)) == len(living)


class PostgresJournalMachine(JournalMachine):
    kind = "postgresql"


class SimulatedJournalMachine(JournalMachine):
    kind = "simulated"


FEW = settings().max_examples // 4
"""Examples where each costs much; as many more in the soak."""
TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(stateful_step_count=30)
TestPostgresJournalMachine = PostgresJournalMachine.TestCase
TestPostgresJournalMachine.settings = settings(max_examples=FEW, stateful_step_count=25)
TestSimulatedJournalMachine = SimulatedJournalMachine.TestCase
TestSimulatedJournalMachine.settings = settings(max_examples=FEW, stateful_step_count=30)
