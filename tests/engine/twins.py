"""Two small apps with the same records, an integration that keeps them equal, and bad days for both."""

import asyncio
import random
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from halflap import (
    UNSET,
    Component,
    Config,
    Connection,
    Context,
    Flow,
    Integration,
    Reads,
    Request,
    Retry,
    Unset,
    UpstreamError,
    Writes,
    pointer,
)
from halflap.engine.builder import partner_of
from halflap.engine.executor import Executor, Work
from halflap.model import Event, Execution, FlowKey, Record, Start, new_id
from halflap.sdk import codec, running
from halflap.sdk.connection import Link
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.pairs import order_of
from tests.engine.flows import Runner, runner_on

QUICK = Retry(attempts=8, first=timedelta(milliseconds=10), jitter=0)
FIELDS = ("name", "amount")
OTHERS = ("title", "worth")
"""The names of the same fields in an app that has other ones."""


def tidy(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as an app keeps them: trimmed text, two digits behind the point."""
    made = dict(fields)
    if isinstance(made.get("name"), str):
        made["name"] = made["name"].strip()
    if made.get("amount") is not None:
        cents = Decimal(str(made["amount"])).quantize(Decimal("0.01"), ROUND_HALF_UP)
        made["amount"] = cents
    return made


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are given."""
    return {name: value for name, value in fields.items() if value is not UNSET}


@dataclass
class Place:
    """An app: its records, what it tells of them, and what goes wrong there.

    lose, refuse: how many answers get lost after the work, how many calls fail before it. mute: it
    says nothing of what it saved. forgetful: it knows no idempotency keys. nested: its events and
    answers have a record's fields within a field of their own. names: those of its fields.
    """

    name: str
    nested: bool = False
    names: tuple[str, ...] = FIELDS
    mute: bool = False
    forgetful: bool = False
    lose: int = 0
    refuse: int = 0
    records: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    told: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    writes: int = 0
    keys: dict[str, str] = field(default_factory=dict[str, str])
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    busy: Callable[[], Any] | None = None

    def edit(self, id: str | None = None, **fields: Any) -> str:
        """Somebody makes or edits a record."""
        id = id or f"{self.name}_{len(self.records) + 1}"
        self.save(id, fields)
        return id

    def save(self, id: str, fields: Mapping[str, Any]) -> None:
        """Save a record, and tell."""
        blank = dict.fromkeys(FIELDS)
        self.records[id] = {**self.records.get(id, blank), **tidy(fields)}
        self.told.append({"id": id, **self.records[id]})

    async def change(self, id: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The API: make or change a record."""
        current = running.step.get()
        key = current.next_key() if current else ""
        if self.refuse > 0:
            self.refuse -= 1
            if self.busy is not None:
                await self.busy()
            raise UpstreamError("503", status=503)
        asked = (id, dict(fields))
        if key in self.keys:
            if self.asked[key] != asked:
                raise UpstreamError("this key was used for another request", status=422)
            id = self.keys[key]
        else:
            self.writes += 1
            id = self.edit(id, **fields)
            if not self.forgetful:
                self.keys[key], self.asked[key] = id, asked
        if self.busy is not None:
            await self.busy()
        if self.lose > 0:
            self.lose -= 1
            raise UpstreamError("the answer got lost")
        return self.shown({"id": id} if self.mute else {"id": id, **self.records[id]})

    def shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record as the app's events and answers show it."""
        fields = {
            name: record[n] for n, name in zip(FIELDS, self.names, strict=True) if n in record
        }
        return {"id": record["id"], **({"own": fields} if self.nested else fields)}


def own(thing: Any) -> Any:
    """Return the fields of an event's record."""
    return thing.get("own", thing)


def component_of(place: Place) -> tuple[Component, type[Connection]]:
    """The component of an app."""

    class Account(Connection):
        async def current(
            self, kind: str, id: str, fields: Sequence[str]
        ) -> Mapping[str, Any] | None:
            found = place.records.get(id)
            return found and dict(zip(place.names, map(found.get, FIELDS), strict=True))

    component = Component(place.name, connection=Account)
    within = "own" if place.nested else ""
    declared = Writes("thing", fields=place.names, within=within)

    async def create(
        account: Account, name: str | None, amount: Decimal | Unset | None = UNSET
    ) -> Any:
        """Make a thing."""
        return await place.change(None, given(name=name, amount=amount))

    async def update(
        account: Account,
        id: str,
        name: str | Unset | None = UNSET,
        amount: Decimal | Unset | None = UNSET,
    ) -> Any:
        """Change a thing."""
        return await place.change(id, given(name=name, amount=amount))

    async def create_other(
        account: Account, title: str | None, worth: Decimal | Unset | None = UNSET
    ) -> Any:
        """Make a thing, of an app whose fields have other names."""
        return await create(account, title, worth)

    async def update_other(
        account: Account,
        id: str,
        title: str | Unset | None = UNSET,
        worth: Decimal | Unset | None = UNSET,
    ) -> Any:
        """Change a thing, of an app whose fields have other names."""
        return await update(account, id, title, worth)

    made = {"create": create, "update": update}
    if place.names != FIELDS:
        made = {"create": create_other, "update": update_other}
    for name, each in made.items():
        each.__name__ = name
        component.action(writes=declared, retry=QUICK)(each)

    @component.trigger(key=pointer("/id"), reads=Reads("thing", fields=place.names, within=within))
    async def changed(request: Request) -> Any:
        """A thing was made or changed."""
        return place.shown(request.json())

    return component, Account


class Twins(Runner):
    """Two apps, `left` and `right`, an integration between them, and an engine that runs it.

    apart: each field is written by a step of its own. renamed: the right one's fields have other names.
    """

    left: Place
    right: Place
    integration: Integration[Any]
    nested = apart = renamed = False

    @property
    def live(self) -> bool:
        """Return whether an execution that was sent has not ended."""
        self.ended_ids |= {each.execution for each in self.changes[self.looked :] if each.outcome}
        self.looked = len(self.changes)
        return bool(self.sent - self.ended_ids)

    def build(self, master: str | None = "left", **options: Any) -> None:
        """Make the apps, and the integration that keeps them equal."""
        self.sent, self.ended_ids, self.looked = set[str](), set[str](), 0
        options = {"nested": self.nested, **options}
        names = OTHERS if self.renamed else FIELDS
        self.left, self.right = Place("left", **options), Place("right", names=names, **options)
        left, left_account = component_of(self.left)
        right, right_account = component_of(self.right)
        self.components = {"left": left, "right": right}

        class Settings(Config):
            left: left_account  # pyright: ignore[reportInvalidTypeForm]
            right: right_account  # pyright: ignore[reportInvalidTypeForm]

        self.config = Settings(left=left_account(), right=right_account())
        for name in ("left", "right"):
            getattr(self.config, name)._link = Link(name)
        self.integration = Integration("twins", config=Settings)
        self.pairs = self.integration.pairs("things", master=master, left="thing", right="thing")
        self.syncs("left", "right")
        self.syncs("right", "left")

    def syncs(self, here: str, there: str) -> None:
        """The flow from one app to the other."""
        actions = self.components[there].actions

        async def flow(ctx: Context[Any], thing: Any) -> None:
            other = await ctx.paired(self.pairs, **{here: thing["id"]})
            account, fields = getattr(ctx.config, there), self.fields(here, there, thing)
            if other is None:
                await actions["create"](account, **fields)
            else:
                for each in [{n: fields[n]} for n in fields] if self.apart else [fields]:
                    await actions["update"](account, other, **each)

        flow.__name__ = f"{here}_to_{there}"
        trigger: Any = self.components[here].triggers["changed"]
        self.integration.flow(trigger=trigger, pairs=self.pairs)(flow)

    def fields(self, here: str, there: str, thing: Any) -> dict[str, Any]:
        """Return the fields of an event's record, by the names that the other app has for them."""
        names = zip(getattr(self, here).names, getattr(self, there).names, strict=True)
        return {theirs: own(thing)[ours] for ours, theirs in names}

    async def work(self, key: FlowKey) -> Work:
        flow = self.integration.flows[key.flow]
        return Work(
            flow=flow,
            config=self.config,
            customer=CustomerInfo(key.customer, "Ada"),
            instance=InstanceInfo(key.instance, "Ada's"),
            urls={},
            secret=lambda flow: SecretStr(flow),
            seal=lambda text: b64encode(text[::-1].encode()).decode(),
            unseal=lambda text: b64decode(text).decode()[::-1],
            partner=partner_of(flow, self.config),
        )

    # What the apps tell ---------------------------------------------------------------------

    async def send(
        self,
        event: Mapping[str, Any],
        *,
        flow: Flow[Any, Any, Any] | None = None,
        instance: str = "ins_1",
        replay_of: str | None = None,
        copied: Sequence[Record] = (),
    ) -> str:
        """Have an event accepted, as the gateway would."""
        here = str(event["id"]).partition("_")[0]
        there = "right" if here == "left" else "left"
        flow = flow or self.integration.flows[f"{here}_to_{there}"]
        execution = new_id("exe")
        order = None
        if flow.pairs is not None and flow.side is not None:
            order = order_of("ins_1", flow.pairs, flow.side, event["id"])
        start = Start(
            execution,
            FlowKey("cus_1", instance, "twins", flow.name, "v1", 1),
            Event("POST", "", "", (), codec.encode(dict(event)), self.clock()),
            root=execution,
            key=event["id"],
            order=order,
            replay_of=replay_of,
            copied=tuple(copied),
        )
        self.sent.add(execution)
        await self.engine.start([start])
        return execution

    async def settle(self, most: int = 100) -> list[Execution]:
        """Deliver what the apps tell, until they tell nothing more; all executions, in order."""
        done: list[Execution] = []
        while self.left.told or self.right.told:
            place = self.left if self.left.told else self.right
            done.append(await self.ended(await self.send(place.told.pop(0))))
            assert len(done) <= most, "this does not end"
        return done

    async def ended(self, execution: str) -> Execution:
        """An execution once it has ended."""
        await self.finish(execution)
        return await self.execution(execution)

    async def paired(self) -> set[bytes]:
        """The pairs there are, as the state has them."""
        scope = f"pairs:ins_1:{self.pairs.name}"
        return set((await self.engine.journal.list_state(scope)).values())

    @property
    def equal(self) -> bool:
        """Return whether both apps have the same things."""
        return sorted(map(repr, self.left.records.values())) == sorted(
            map(repr, self.right.records.values())
        )

    @property
    def writes(self) -> int:
        """Return the number of the integration's writes, at both apps together."""
        return self.left.writes + self.right.writes


@asynccontextmanager
async def twins_on(kind: str, path: Path, *, nested: bool = False) -> AsyncGenerator[Twins]:
    """Twins over a store of that kind."""
    async with runner_on(kind, path) as runner:
        runner.__class__ = Twins
        assert isinstance(runner, Twins)
        runner.nested = nested
        runner.executor = Executor(runner.work, random.Random(1))
        runner.build()
        yield runner


async def drained(twins: Twins) -> None:
    """Return once nothing is live, letting time pass where nothing else happens."""
    while twins.live:
        before = len(twins.changes)
        await asyncio.sleep(0.001)
        if len(twins.changes) == before:
            twins.clock.advance(0.05)


def outcomes(executions: Sequence[Execution]) -> dict[str, int]:
    """Count the executions by how they ended: `succeeded`, `ignored: echo` …"""
    counted: dict[str, int] = defaultdict(int)
    for each in executions:
        how = each.reason.partition(":")[0]
        counted[f"{each.state}: {how}" if how else each.state] += 1
    return dict(counted)
