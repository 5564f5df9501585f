"""Servers that read a Salesforce org and are killed: by change events, platform events, and stamps.

The control moves the cursor before it accepts what was read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.components.test_salesforce_pubsub import select
from tests.faults.process import ServerProcess
from tests.listeners.reader import accepted, reader
from tests.polling import DEADLINE, until
from tests.salesforce_app import SalesforceApp, salesforce_app

FLOWS = ("contact", "shipped")
TOPIC = "/event/Order_Shipped__e"


@dataclass
class Org:
    """An org whose people and processes tell numbers."""

    app: SalesforceApp
    org: dict[str, Any]
    told: int = 0

    @property
    def source(self) -> str:
        known = {name: self.org[name] for name in ("client_id", "client_secret")}
        return json.dumps({"login_url": self.app.url, **self.app.more, **known})

    async def tell(self, count: int = 10) -> None:
        """Tell so many numbers more, each by a record and by an event."""
        for number in range(self.told, self.told + count):
            values = {"LastName": "Bob", "Description": str(number)}
            await self.app.edit(self.org, "create", "Contact", values=values)
            await self.app.publish(self.org, TOPIC, Number__c=str(number))
        self.told += count


@pytest.fixture
async def org() -> AsyncIterator[Org]:
    async with salesforce_app(pubsub_port=0, pubsub_keepalive=0.3) as app:
        made = await app.org("initech")
        await select(await app.client(made), "Contact")
        found = Org(app, made)
        await found.tell()
        yield found


def reading(folder: Path, org: Org, *flags: str) -> AbstractAsyncContextManager[ServerProcess]:
    return reader(folder, org.source, "--org", *flags)


async def complete(folder: Path, org: Org, seconds: float = DEADLINE) -> None:
    for flow in FLOWS:
        await until(lambda f=flow: len(accepted(folder, f)) == org.told, seconds)


@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param([("opened", 1), ("read", 3), ("accepted", 1)], id="sampled"),
        *(
            pytest.param([(point, 1), (point, 3)], id=point, marks=pytest.mark.soak)
            for point in ("opened", "read", "accepted")
        ),
    ],
)
async def test_killed_readers_of_an_org_lose_and_double_nothing(
    tmp_path: Path, org: Org, deaths: list[tuple[str, int]]
) -> None:
    folder = tmp_path / "data"
    for point, time in deaths:
        async with reading(folder, org, "--die", f"{point}:{time}") as dying:
            await org.tell()
            assert await dying.ended() == -9
    async with reading(folder, org):
        await org.tell()
        await complete(folder, org)
    for flow in FLOWS:
        assert accepted(folder, flow) == Counter(range(org.told)), flow


async def test_a_reader_whose_places_are_no_longer_kept_fills_the_gap_once(
    tmp_path: Path, org: Org
) -> None:
    folder = tmp_path / "data"
    async with reading(folder, org):
        await complete(folder, org)
    await org.tell()
    lost = {*range(org.told - 10, org.told)}
    await org.app.bus(org.org, "expire")
    async with reading(folder, org, "--die", "accepted:1") as dying:
        assert await dying.ended() == -9
    async with reading(folder, org):
        await org.tell()
        await until(lambda: len(accepted(folder, "contact")) == org.told)
        await until(lambda: len(accepted(folder, "shipped")) == org.told - 10)
    assert accepted(folder, "contact") == Counter(range(org.told))
    # What Salesforce keeps no longer, no stamp tells: such events are a recorded gap, and nothing else.
    assert accepted(folder, "shipped") == Counter({*range(org.told)} - lost)


async def test_control_a_reader_that_moves_the_cursor_first_loses_events(
    tmp_path: Path, org: Org
) -> None:
    folder = tmp_path / "data"
    async with reading(
        folder, org, "--cursor-first", "--die", "between:1", "--of", "shipped"
    ) as dying:
        await org.tell()
        assert await dying.ended() == -9
    async with reading(folder, org):
        await org.tell(1)  # the last of them comes; those that were lost do not
        await until(lambda: org.told - 1 in accepted(folder, "shipped"))
    assert len(accepted(folder, "shipped")) < org.told
