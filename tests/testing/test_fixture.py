"""Recorded fixtures: an execution of the API becomes a test, without its secrets."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import (
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    Integration,
    Model,
    StepFailed,
    TimedOut,
    UpstreamError,
    webhook,
)
from halflap.api.recorded import event_view, step_view
from halflap.engine.clock import ManualClock
from halflap.sdk import codec
from halflap.testing import Fixture, Run, load_fixture, make_fixture, make_request
from halflap.testing.instance import TestInstance
from halflap.testing.runner import execute, start_of
from halflap.testing.stub import Stubs


class Bank(Connection):
    key: SecretStr


class Settings(Config):
    bank: Bank
    currency: str = "EUR"


bank = Component("bank", connection=Bank)
integration = Integration("recorded-payments", config=Settings)
TOKEN = "tok_4111111111"


@bank.action
async def pay(bank: Bank, to: str, currency: str, note: str = "") -> dict[str, Any]:
    """Pay somebody."""
    return await bank.post("/payments", json={"to": to})


@bank.action
async def notify(bank: Bank, email: str, at: str) -> None:
    """Tell somebody."""


@integration.flow(trigger=webhook.request())
async def paid(ctx: Context[Settings], event: dict[str, Any]) -> str:
    """Pay, tell, count."""
    count: int = await ctx.state.get("count", 0)
    try:
        made = await pay(ctx.config.bank, event["to"], ctx.config.currency, note=event["token"])
    except Exception as error:
        return f"failed: {type(error).__name__}"
    await notify(ctx.config.bank, event["email"], at=ctx.now().isoformat())
    await ctx.state.put("count", count + 1)
    return f"{made['id']} is number {count + 1}"


def step(name: str, inputs: Any, result: Any, **more: Any) -> dict[str, Any]:
    return {
        "path": name,
        "kind": "action",
        "name": name,
        "title": name,
        "status": "succeeded",
        "inputs": inputs,
        "result": result,
        "failure": None,
        "ended_at": "2026-03-01T12:00:05.000000Z",
        **more,
    }


def detail(**changes: Any) -> dict[str, Any]:
    """An execution as the API shows it."""
    body = {"to": "Ada", "token": TOKEN, "email": "ada@ada.example", "amount": 1}
    payment = {"to": "Ada", "currency": "USD", "note": TOKEN, "$connection": "bank"}
    told = {"email": "ada@ada.example", "at": "2026-03-01T12:00:05+00:00", "$connection": "bank"}
    return {
        "id": "exe_1",
        "root": "exe_1",
        "integration": "recorded-payments",
        "flow": "paid",
        "state": "succeeded",
        "reason": "",
        "result": "p1 is number 8",
        "accepted_at": "2026-03-01T12:00:00.000000Z",
        "event": {
            "method": "POST",
            "path": "",
            "query": "api_key=abc12345&page=1",
            "url": "https://us.example/hooks/hk_0123456789",
            "headers": [
                ["Content-Type", "application/json"],
                ["Authorization", "•••"],
                ["X-Api-Key", "key-123456"],
            ],
            "body": codec.encode(body).decode(),
            "encoding": "utf-8",
            "note": None,
        },
        "steps": [
            step("trigger", None, None, kind="trigger"),
            step("state.get(count)", None, 7, kind="state", title="Read count"),
            step("bank.pay", payment, {"id": "p1", "access_token": "at-998877"}),
            step("bank.notify", told, None),
            step("state.put(count)", 8, True, kind="state", title="Write count"),
        ],
        **changes,
    }


def written(tmp_path: Path, fixture: dict[str, Any]) -> Path:
    path = tmp_path / "paid.json"
    path.write_bytes(codec.encode(fixture))
    return path


@pytest.fixture
def recorded() -> dict[str, Any]:
    return make_fixture(detail(), config={"currency": "USD"})


async def test_a_recorded_execution_runs_again_the_same_way(
    run: Run, tmp_path: Path, recorded: dict[str, Any]
) -> None:
    result = await run.fixture(written(tmp_path, recorded))
    assert result.result == "p1 is number 8"
    assert [each.action for each in result.steps] == ["bank.pay", "bank.notify"]
    assert result.stored == {"count": 8}


def test_no_secret_is_left_in_a_fixture(recorded: dict[str, Any]) -> None:
    text = codec.encode(recorded).decode()
    for secret in (TOKEN, "key-123456", "abc12345", "at-998877", "hk_0123456789", "$connection"):
        assert secret not in text
    assert recorded["event"]["query"].endswith("page=1")
    assert recorded["config"] == {"currency": "USD"}
    assert "ada@ada.example" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"currency": "CHF"}}, r"step 1 was bank\.pay\(.*USD.* and is bank\.pay\(.*CHF"),
        ({"outcome": {"state": "failed"}}, "it was failed and is succeeded"),
        ({"outcome": {"state": "succeeded", "result": "other"}}, "it returned 'other', now 'p1"),
        ({"state": {}}, "it returned 'p1 is number 8', now 'p1 is number 1'"),
    ],
)
async def test_what_goes_another_way_is_an_assertion_that_shows_it(
    run: Run, tmp_path: Path, recorded: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        await run.fixture(written(tmp_path, {**recorded, **change}))


async def test_a_step_too_many_or_too_few_is_shown(
    run: Run, tmp_path: Path, recorded: dict[str, Any]
) -> None:
    steps = recorded["steps"]
    with pytest.raises(DefinitionError, match=r"bank\.notify more often than when it was recorded"):
        await run.fixture(written(tmp_path, {**recorded, "steps": steps[:1]}))
    with pytest.raises(AssertionError, match=r"no longer calls bank\.notify"):
        await run.fixture(written(tmp_path, {**recorded, "steps": [*steps, steps[1]]}))


async def test_a_recorded_failure_fails_again(run: Run, tmp_path: Path) -> None:
    failure = {"kind": "UpstreamError", "message": "no", "status": 422, "where": "", "trace": ""}
    payment = {"to": "Ada", "currency": "EUR", "note": TOKEN}
    failed = step("bank.pay", payment, None, status="failed", failure=failure)
    fixture = make_fixture(detail(steps=[failed], result="failed: StepFailed"))
    result = await run.fixture(written(tmp_path, fixture))
    assert result.steps[0].failure is not None
    assert (result.steps[0].failure.kind, result.steps[0].failure.status) == ("UpstreamError", 422)


def test_what_is_cut_or_gone_is_not_made_a_fixture() -> None:
    with pytest.raises(DefinitionError, match="gone or was cut"):
        make_fixture(detail(event=None))
    cut = step("bank.pay", {"$cut": {"size": 1}}, None)
    with pytest.raises(DefinitionError, match=r"inputs of bank\.pay are too large"):
        make_fixture(detail(steps=[cut]))


def test_binary_bodies_and_forms_come_back_as_they_were(tmp_path: Path) -> None:
    event = {**detail()["event"], "body": "/w==", "encoding": "base64"}
    fixture = load_fixture(written(tmp_path, make_fixture(detail(event=event))))
    assert isinstance(fixture, Fixture)
    assert fixture.request().body == b"\xff"
    form = {**event, "body": "a=1&password=hunter22", "encoding": "utf-8"}
    form["headers"] = [["content-type", "application/x-www-form-urlencoded"]]
    read = load_fixture(written(tmp_path, make_fixture(detail(event=form)))).request()
    assert read.form() == {"a": ["1"], "password": ["•••"]}


async def test_a_file_that_is_no_fixture_says_what_to_do(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="halflap test record last"):
        load_fixture(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(DefinitionError, match="this is no fixture"):
        load_fixture(tmp_path / "other.json")
    stranger: dict[str, Any] = {"integration": "nowhere", "flow": "a", "event": {}}
    with pytest.raises(DefinitionError, match="import its module in the test, or give the flow"):
        await run.fixture(written(tmp_path, stranger))


async def test_what_the_api_shows_of_a_run_is_a_fixture_that_passes(
    run: Run, tmp_path: Path
) -> None:
    event = {"to": "Ada", "token": TOKEN, "email": "a@b.example"}
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ran = await run(
        paid, event, stubs={pay: {"id": "p1"}, notify: None}, now=now, config={"currency": "CHF"}
    )
    start = start_of(paid, integration, make_request(event, received_at=now), root=None)
    shown = detail(
        root=ran.execution,
        result=ran.result,
        accepted_at=now.isoformat(),
        steps=[step_view(each).model_dump() for each in ran.records],
        event=event_view(start.event).model_dump(),
    )
    fixture = written(tmp_path, make_fixture(shown, config={"currency": "CHF"}))
    again = await run.fixture(fixture)
    assert again.result == ran.result == "p1 is number 1"
    with pytest.raises(AssertionError, match="CHF"):
        await run.fixture(fixture, config={"currency": "EUR"})


class Parcel(Model):
    number: int


@integration.flow(trigger=webhook.request())
async def ship(ctx: Context[Settings], parcel: Parcel) -> str:
    """Ship a parcel."""
    raise AssertionError("a fixture answers for the flows that are called")


@integration.flow(trigger=webhook.request())
async def approve(ctx: Context[Settings], event: dict[str, Any]) -> Any:
    """Ask somebody, who may take too long; then call another flow twice, and start it once."""
    with contextlib.suppress(TimedOut):
        await ctx.wait_for("approved", timeout=timedelta(minutes=1))
    by = await ctx.wait_for("approved", timeout=timedelta(hours=1))
    first = await ctx.call(ship, Parcel(number=event["n"]))
    try:
        await ctx.call(ship, Parcel(number=event["n"] + 1))
    except StepFailed as error:
        failed = f"{error.error}: {error.status}"
    later = await ctx.start(ship, Parcel(number=event["n"] + 2))
    return [by, ctx.now().isoformat(), first, failed, await later.result()]


def shipping(parcel: Parcel) -> str:
    if parcel.number == 2:
        raise UpstreamError("no room", status=422)
    return f"shipped {parcel.number}"


@pytest.fixture
async def approved(run: Run, tmp_path: Path) -> tuple[Any, dict[str, Any]]:
    """An execution that waited and called others; its result, and its fixture."""
    clock = ManualClock()
    now = datetime.fromtimestamp(clock() / 1e6, UTC)
    start = start_of(approve, integration, make_request({"n": 1}, received_at=now), root=None)
    work = Stubs({ship: shipping}, {}, networked=False)
    instance = TestInstance(integration, {}, None, {}, None)
    sent = ("approved", b'{"by":"Ada"}', clock() + 90_000_000)
    ran = await execute(approve, start, instance, work, {}, clock, [sent])
    assert ran.state == "succeeded", ran.reason
    shown = detail(
        flow="approve",
        root=ran.execution,
        result=ran.result,
        accepted_at=now.isoformat(),
        steps=[step_view(each).model_dump() for each in ran.records],
        event=event_view(start.event).model_dump(),
    )
    return ran.result, make_fixture(shown)


async def test_signals_and_flows_that_were_called_happen_again(
    run: Run, tmp_path: Path, approved: tuple[Any, dict[str, Any]]
) -> None:
    result, fixture = approved
    assert result[0] == {"by": "Ada"}
    assert result[2:] == ["shipped 1", "UpstreamError: 422", "shipped 3"]
    again = await run.fixture(written(tmp_path, fixture))
    assert again.result == result
    assert [each["name"] for each in fixture["signals"]] == ["approved"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": []}, r"it no longer calls the flow ship with \{'number': 1\}"),
        ({"signals": [{"name": "paid", "payload": 1}]}, "it no longer waits for the signal paid"),
        ({"children": [-1]}, r"it now calls the flow ship with \{'number': 3\}"),
        ({"children": [0, 1, 2, 0]}, r"it no longer calls the flow ship with \{'number': 1\}"),
    ],
)
async def test_a_signal_or_a_call_that_is_not_there_is_shown(
    run: Run,
    tmp_path: Path,
    approved: tuple[Any, dict[str, Any]],
    change: dict[str, Any],
    message: str,
) -> None:
    _, fixture = approved
    match change:
        case {"children": [-1]}:
            change = {"children": fixture["children"][:-1]}
        case {"children": numbers}:
            change = {"children": [fixture["children"][each] for each in numbers]}
    with pytest.raises(AssertionError, match=message):
        await run.fixture(written(tmp_path, {**fixture, **change}))


@integration.flow(trigger=webhook.request())
async def pages(ctx: Context[Settings], parcel: Parcel) -> str:
    """Tell of a page, then continue with the next."""
    await notify(ctx.config.bank, "ada@example.com", str(parcel.number))
    if parcel.number < 3:
        await ctx.continue_with(Parcel(number=parcel.number + 1))
    return "done"


async def test_of_a_chain_a_fixture_is_of_one_and_has_the_event_that_it_continued_with(
    run: Run, tmp_path: Path
) -> None:
    work = Stubs({notify: None}, {}, networked=False)
    start = start_of(pages, integration, make_request({"number": 1}), root=None)
    instance = TestInstance(integration, {}, None, {}, None)
    ran = await execute(pages, start, instance, work, {}, ManualClock(), alone=True)
    assert (ran.reason, ran.result, len(ran.steps)) == ("continued", {"number": 2}, 1)
    fixture = make_fixture(
        detail(
            flow="pages",
            root=ran.execution,
            result=ran.result,
            steps=[step_view(each).model_dump() for each in ran.records],
            event=event_view(start.event).model_dump(),
        )
    )
    await run.fixture(written(tmp_path, fixture))
    fixture["outcome"]["result"] = {"number": 3}
    with pytest.raises(AssertionError, match="it returned"):
        await run.fixture(written(tmp_path, fixture))
