"""A request that may have been carried out is sent again only where that does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import Connection, DefinitionError, Limits, UpstreamError
from halflap.engine.doing import surely_undone
from halflap.errors import InputsRefused
from halflap.sdk import running
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.running import RunningStep
from tests.cases import for_each
from tests.polling import DEADLINE
from tests.sdk.test_egress import Destination, Seen, answer, hang_up, listening, silence


class Plain(Connection):
    """An app that does not know a repeated request."""

    base_url: str
    limits = Limits(total=DEADLINE)


class Impatient(Plain):
    """One that is not waited for."""

    limits = Limits(total=0.5)


class Careful(Plain):
    """An app that does, by a header."""

    idempotency_header = "X-Request-Key"


@pytest.fixture
async def server() -> AsyncIterator[Destination]:
    async with listening() as found:
        yield found


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    made = Egress(Policy(allow=("127.0.0.0/8",)))
    yield made
    await made.close()


async def sent(
    kind: type[Plain], server: Destination, egress: Egress, method: str, answers: Any
) -> RunningStep:
    """Send a request as a step's; returns the step."""
    server.answer = answers
    connection = kind(base_url=server.url)
    connection._link = Link("app", egress=egress)
    step = RunningStep("app.do", "root")
    token = running.step.set(step)
    try:
        await connection.request(method, "/x")
    except (UpstreamError, TimeoutError):
        pass
    finally:
        running.step.reset(token)
    return step


@for_each(
    ("answers", "in_doubt"),
    [
        (answer(200), False),
        (answer(404), False),
        (answer(429), False),
        (answer(503), False),
        (answer(408), True),
        (answer(500), True),
        (answer(502), True),
        (answer(504), True),
        (hang_up, True),
        (silence, True),
    ],
)
async def test_a_post_is_in_doubt_where_it_may_have_been_carried_out(
    server: Destination, egress: Egress, answers: Any, in_doubt: bool
) -> None:
    kind = Impatient if answers is silence else Plain
    step = await sent(kind, server, egress, "POST", answers)
    assert step.in_doubt is in_doubt


@for_each(
    ("kind", "method", "in_doubt"),
    [
        (Plain, "PATCH", True),
        (Plain, "PUT", False),
        (Plain, "DELETE", False),
        (Plain, "GET", False),
        (Careful, "POST", False),
    ],
)
async def test_what_may_be_repeated_is_never_in_doubt(
    server: Destination, egress: Egress, kind: type[Plain], method: str, in_doubt: bool
) -> None:
    step = await sent(kind, server, egress, method, hang_up)
    assert step.in_doubt is in_doubt


async def test_what_did_not_reach_the_app_is_not_in_doubt(egress: Egress) -> None:
    async with listening() as gone:
        pass
    step = await sent(Plain, gone, egress, "POST", answer(200))
    assert step.in_doubt is False


@for_each(
    ("path", "more"),
    [
        ("/x", {"headers": {"Host": "x"}}),
        ("/x", {"headers": {"Content-Length": "7"}}),
        ("/x", {"headers": {"a b": "x"}}),
        ("/x", {"headers": {"X-Key": "x\r\nY: z"}}),
        ("/x", {"params": {"key": SecretStr("x")}}),
        ("/x", {"json": {}, "form": {}}),
        ("/x", {"json": object()}),
        ("https://elsewhere.example/x", {}),
        ("/../x", {}),
    ],
)
async def test_what_was_never_sent_is_not_in_doubt(
    server: Destination, egress: Egress, path: str, more: dict[str, Any]
) -> None:
    connection = Plain(base_url=f"{server.url}/v1")
    connection._link = Link("app", egress=egress)
    step = RunningStep("app.do", "root")
    token = running.step.set(step)
    try:
        with pytest.raises((DefinitionError, InputsRefused, UpstreamError)) as caught:
            await connection.request("POST", path, **more)
    finally:
        running.step.reset(token)
    assert not server.seen
    assert (step.in_doubt, step.effects) == (False, 0)
    assert surely_undone(caught.value, step)


async def test_what_a_connections_own_code_raises_is_not_in_doubt(egress: Egress) -> None:
    class Broken(Plain):
        def headers(self) -> dict[str, str]:
            raise KeyError("signing")

    async with listening() as server:
        step = RunningStep("app.do", "root")
        token = running.step.set(step)
        try:
            with pytest.raises(KeyError):
                await Broken(base_url=server.url).post("/x")
        finally:
            running.step.reset(token)
    assert (step.in_doubt, step.effects) == (False, 0)


async def test_a_request_that_is_cut_off_by_the_steps_own_time_is_in_doubt(
    server: Destination, egress: Egress
) -> None:
    connection = Plain(base_url=server.url)
    connection._link = Link("app", egress=egress)

    async def late() -> None:
        async with asyncio.timeout(DEADLINE) as time:

            async def over(seen: Seen, writer: asyncio.StreamWriter) -> None:
                time.reschedule(0.0)  # as soon as the app has the request
                await silence(seen, writer)

            server.answer = over
            await connection.post("/x")

    step = RunningStep("app.do", "root")
    token = running.step.set(step)
    try:
        with pytest.raises(TimeoutError):
            await late()
    finally:
        running.step.reset(token)
    assert step.in_doubt


async def test_the_key_goes_by_the_header_that_the_app_knows(
    server: Destination, egress: Egress
) -> None:
    await sent(Careful, server, egress, "POST", answer(200))
    assert server.seen[-1].headers["x-request-key"].startswith("root-")


async def test_an_answer_that_cannot_be_read_fails_no_step_whose_effect_is_done(
    server: Destination, egress: Egress
) -> None:
    server.answer = answer(200, "Content-Type: application/json", body=b'{"id": ')
    connection = Plain(base_url=server.url)
    connection._link = Link("app", egress=egress)
    lines: list[str] = []
    step = RunningStep("app.do", "root", log=lambda level, message, fields: lines.append(message))
    token = running.step.set(step)
    try:
        assert await connection.post("/x", json={}) is None
        with pytest.raises(UpstreamError, match="not JSON"):
            await connection.get("/x")
    finally:
        running.step.reset(token)
    assert len(lines) == 1
    assert "did what it was asked" in lines[0]
