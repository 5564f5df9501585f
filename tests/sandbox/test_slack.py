"""The Slack of the sandbox, as Slack's own library finds it."""

from __future__ import annotations

import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from halflap_sandbox.slack.model import APP_TOKEN, SIGNING_SECRET
from tests.loopback import on_loopback
from tests.polling import until
from tests.slack_app import slack_app

VIEW = {"type": "modal", "callback_id": "deal", "title": {"type": "plain_text", "text": "x"}}


# Of slack_sdk, which sends the client so.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_slacks_own_client_installs_writes_and_looks_up() -> None:
    async with slack_app() as app:
        team = await app.team("initech")
        asked = "client_id=1000.2000&state=s&redirect_uri=https://x.example/back"
        _, code = await app.installed(f"{app.url}/oauth/v2/authorize?{asked}", team)
        client = AsyncWebClient(base_url=f"{app.api}/")
        granted = await client.oauth_v2_access(
            client_id="1000.2000",
            client_secret="slack-client-secret",
            code=code,
            redirect_uri="https://x.example/back",
        )
        assert granted["team"] == {"id": team["id"], "name": "initech"}
        client = AsyncWebClient(base_url=f"{app.api}/", token=granted["access_token"])
        assert (await client.auth_test())["team_id"] == team["id"]
        [channel] = (await client.conversations_list())["channels"]
        posted = await client.chat_postMessage(channel="#general", text="hi", blocks=[])
        await client.chat_update(channel=channel["id"], ts=posted["ts"], text="hello")
        assert [each["text"] for each in (await app.seen(team))["messages"]] == ["hello"]
        await client.chat_delete(channel=channel["id"], ts=posted["ts"])
        assert (await app.seen(team))["messages"] == []
        found = await client.users_lookupByEmail(email="ada@initech.example")
        user = found["user"]["id"]
        assert (await client.users_info(user=user))["user"]["name"] == "ada"
        home = await client.views_publish(user_id=user, view={**VIEW, "type": "home"})
        assert home["view"]["type"] == "home"
        with pytest.raises(SlackApiError, match="channel_not_found"):
            await client.chat_postMessage(channel="C0", text="hi")
        with pytest.raises(SlackApiError, match="invalid_auth"):
            await AsyncWebClient(base_url=f"{app.api}/", token="xoxb-no").auth_test()


async def test_slacks_own_verifier_takes_what_is_sent_and_each_of_four_tries() -> None:
    verifier, verified, tries = SignatureVerifier(SIGNING_SECRET), [], []

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        verified.append(verifier.is_valid_request(body, dict(request.headers)))
        if b"url_verification" in body:
            return web.Response(text=(await request.json())["challenge"])
        if b"payload" in body:
            return web.Response()
        tries.append(request.headers.get("x-slack-retry-num") or "")
        return web.Response(status=200 if len(tries) == 4 else 500)

    web_app = web.Application()
    web_app.router.add_post("/events", receive)
    async with on_loopback(web_app) as here, slack_app(waits=(0.0, 0.05, 0.05)) as app:
        team = await app.team("initech")
        assert (await app.post("/urls", {"events": f"{here}/events"}))["verified"]
        await app.post(f"/teams/{team['id']}/messages", {"text": "hi"})
        await app.post(f"/teams/{team['id']}/interactions", {"payload": {"type": "block_actions"}})

        async def all_tried() -> bool:
            return len(tries) == 4

        await until(all_tried)
    assert tries == ["", "1", "2", "3"]
    assert len(verified) == 6
    assert all(verified)


# Of slack_sdk, whose client asks for loops and timeouts in an old way.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_slacks_own_socket_mode_client_hears_acknowledges_and_reconnects() -> None:
    heard: list[tuple[str, int]] = []

    async def take(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        heard.append((request.type, request.retry_attempt or 0))
        if len(heard) != 2:  # the second is not acknowledged, and comes again
            payload = {"text": "done"} if request.type == "slash_commands" else None
            answer = SocketModeResponse(envelope_id=request.envelope_id, payload=payload)
            await client.send_socket_mode_response(answer)

    async with slack_app(waits=(0.0,), delivery_timeout=3.0) as app:
        team = await app.team("initech")
        client = SocketModeClient(
            app_token=APP_TOKEN, web_client=AsyncWebClient(base_url=f"{app.api}/")
        )
        client.socket_mode_request_listeners.append(take)
        await client.connect()
        sent = await app.post(f"/teams/{team['id']}/commands", {"command": "/deal"})
        assert (sent["status"], sent["body"]) == (200, '{"text":"done"}')
        await app.post(f"/teams/{team['id']}/messages", {"text": "hi"})

        async def heard_again() -> bool:
            return len(heard) == 3

        await until(heard_again)
        assert heard == [("slash_commands", 0), ("events_api", 0), ("events_api", 1)]
        assert await app.post("/sockets", {}) == {"refreshed": 1}

        async def reconnected() -> bool:
            clicked = {"payload": {"type": "block_actions"}}
            sent = await app.post(f"/teams/{team['id']}/interactions", clicked)
            return sent["status"] == 200

        await until(reconnected)
        await client.close()
        with pytest.raises(SlackApiError, match="not_allowed_token_type"):
            await AsyncWebClient(base_url=f"{app.api}/").apps_connections_open(app_token="xoxb-1")
