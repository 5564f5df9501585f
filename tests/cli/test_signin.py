import asyncio
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from halflap.api.view import ConnectionView
from halflap.cli.output import Output
from halflap.cli.signin import sign_in
from halflap.errors import HalflapError, UpstreamError

CONNECTION = ConnectionView(
    id="con_1",
    customer=None,
    customer_name=None,
    used_by=[],
    uses=0,
    component="cloud",
    name="cloud",
    fields={},
    secrets=[],
    generation=1,
    status="untested",
    needs_sign_in=True,
    away=False,
    away_since=None,
    rests_until=None,
    rests_because="",
    created_at="2026-03-01T10:00:00.000000Z",
)


class App:
    """The server's side of a sign-in, and the browser that it sends to the app and back."""

    def __init__(self) -> None:
        self.begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.codes: list[str] = []
        self.refuses = False

    async def post(self, kind: Any, *parts: str, json: Any) -> Any:
        if parts == ("connections", "con_1", "authorize"):
            self.begun.set_result(json["redirect_uri"])
            url = "https://app.example/authorize?state=the-state"
            return kind(url=url, state="the-state")
        assert parts == ("connections", "authorized")
        if self.refuses:
            raise UpstreamError("the code <b>is</b> no code")
        self.codes.append(json["code"])
        return CONNECTION.model_copy(update={"status": "working"})

    async def browse(self, **query: str) -> tuple[int, str]:
        redirect = await self.begun
        async with (
            aiohttp.ClientSession() as browser,
            browser.get(redirect, params=query) as answer,
        ):
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            return answer.status, await answer.text()


def signing_in(app: App) -> asyncio.Task[Any]:
    api: Any = app
    return asyncio.create_task(sign_in(api, Output(), CONNECTION, 0, browser=False))


async def test_a_code_that_the_browser_brings_back_is_exchanged(capsys):
    app = App()
    waiting = signing_in(app)
    status, shown = await app.browse(state="the-state", code="the-code")
    assert (status, app.codes) == (200, ["the-code"])
    assert "You can close this window." in shown
    assert (await waiting).status == "working"
    parts = urlsplit(await app.begun)
    assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/callback")
    said = capsys.readouterr()
    assert "https://app.example/authorize?state=the-state" in said.err
    assert said.out == ""


async def test_a_code_with_another_state_is_not_taken():
    app = App()
    waiting = signing_in(app)
    for wrong in ({"state": "another", "code": "evil"}, {"code": "evil"}):
        status, shown = await app.browse(**wrong)
        assert status == 400
        assert "Not this sign-in" in shown
    assert not waiting.done()
    await app.browse(state="the-state", code="good")
    await waiting
    assert app.codes == ["good"]


async def test_a_no_of_the_app_is_told_in_both_places():
    app = App()
    waiting = signing_in(app)
    _, shown = await app.browse(
        state="the-state", error="access_denied", error_description="<script>no</script>"
    )
    assert "&lt;script&gt;" in shown
    with pytest.raises(UpstreamError, match="<script>no"):
        await waiting


async def test_a_code_that_is_refused_is_told_in_both_places():
    app = App()
    app.refuses = True
    waiting = signing_in(app)
    _, shown = await app.browse(state="the-state", code="old")
    assert "&lt;b&gt;is&lt;/b&gt; no code" in shown
    with pytest.raises(UpstreamError, match="no code"):
        await waiting


async def test_a_sign_in_that_nobody_ends_names_the_redirect_address(monkeypatch):
    monkeypatch.setattr("halflap.cli.signin.WITHIN", 0.0)
    with pytest.raises(HalflapError, match=r"http://127\.0\.0\.1:"):
        await signing_in(App())


async def test_a_port_that_is_taken_is_told():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    api: Any = App()
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(HalflapError, match="--port"):
            await sign_in(api, Output(), CONNECTION, port, browser=False)
    finally:
        server.close()
