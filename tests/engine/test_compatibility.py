"""A published version runs as it ran, where the same definition is refused of a new one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from halflap.engine.bundle import seal
from halflap.engine.integration import load_integration
from halflap.engine.library import Library
from halflap.engine.loader import unload
from halflap.errors import DefinitionError
from halflap.sdk import compatibility
from tests.cases import for_each

HEAD = '''
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field

from halflap import (
    Component, Config, Connection, Context, Integration, Limits, Reads, Request, Retry, Writes, webhook
)
from halflap.sdk.request import header
from halflap.sdk.trigger import Declaration


class Order(BaseModel):
    """An order."""

    id: str = Field(alias="Id")


class Shop(Connection):
    """A shop."""

    base_url: str


integration: Integration[Config] = Integration("orders")
shop = Component("own_shop", connection=Shop)
'''
TRIGGER = '''
@shop.trigger({})
async def told(request: Request) -> Order:
    """An order was told of."""
    return Order.model_validate(request.json())
'''
FLOW = """
@integration.flow(trigger=webhook.request{})
async def orders(ctx: Context[Config], event: Any) -> None: ...
"""
ACTION = '''
@shop.action({})
async def make(shop: Shop, name: str) -> Order:
    """Make an order."""
    return Order(Id="1")
'''

ONCE_TAKEN = [
    ("Retry(jitter=30)", "jitter is a share of the wait"),
    ("Retry(attempts=0)", "a Retry has one try at least"),
    ("Limits(rate=-1)", "is less than nothing"),
    ('header("X Id")', "is not the name of a header"),
    (TRIGGER.format('reads=Reads("order", "id")'), "its reads= names 'id'"),
    (ACTION.format('writes=Writes("order", "Id", fields=("nmae",))'), "which is no input"),
    (ACTION.format('writes=Writes("order")'), "its writes= has record='id'"),
    (TRIGGER.format('dedupe="/id"'), "dedupe= is a pure function"),
    (TRIGGER.format('methods="POST"'), "methods= are several"),
    (FLOW.format(', keep=["id"]'), "keep=: 'id' is not a JSON pointer"),
    (FLOW.format(", timeout=30"), "timeout=30; give a timedelta"),
    (FLOW.format(", max_age=timedelta(0)"), "longer than nothing"),
    (FLOW.format(", filter=lambda: True"), "filter=, which takes no request"),
]


@pytest.fixture(autouse=True)
def untold(unfiltered_logs: None) -> None:
    """Forget what other tests have warned of."""
    compatibility._warn.cache_clear()


@for_each("source,said", ONCE_TAKEN)
async def test_what_is_refused_of_a_new_version_is_warned_of_in_a_published_one(
    tmp_path: Path, source: str, said: str
) -> None:
    bundle = seal("main:integration", {"main.py": (HEAD + source).encode()})
    with pytest.raises(DefinitionError) as refused:
        load_integration(bundle, tmp_path)
    assert said in str(refused.value)

    async def stored(_: str) -> bytes:
        return bundle.to_bytes()

    with capture_logs() as lines:
        loaded = [await Library(stored, tmp_path).integration("v") for _ in range(2)]
    unload(bundle.hash)

    assert [each.name for each in loaded] == ["orders", "orders"]
    [line] = lines
    assert (line["log_level"], said in line["why"]) == ("warning", True)
    assert f"{bundle.hash}/main.py:" in line["why"]


DECLARED = """
class Settings(Config):
    name: str


@shop.trigger()
async def told(request: Request, name: str) -> Any:
    'An order was told of.'
    return request.json()


@told.declare
def _(name: str) -> Declaration:
    return Declaration(dedupe=header(name))


integration: Integration[Settings] = Integration("orders", config=Settings)


@integration.flow(trigger=told(name=Settings.name))
async def orders(ctx: Context[Settings], event: Any) -> None: ...
"""


def test_a_trigger_that_reads_the_config_is_declared_as_its_version_is(tmp_path: Path) -> None:
    bundle = seal("main:integration", {"main.py": (HEAD + DECLARED).encode()})
    given = SimpleNamespace(name="X Id")
    with pytest.raises(DefinitionError, match="is not the name of a header"):
        load_integration(bundle, tmp_path).flows["orders"].resolved(given)
    unload(bundle.hash)
    with compatibility.as_published():
        flow = load_integration(bundle, tmp_path).flows["orders"]
    with capture_logs() as lines:
        assert flow.resolved(given).trigger.declaration.dedupe is not None
    unload(bundle.hash)
    assert ["is not the name of a header" in each["why"] for each in lines] == [True]
