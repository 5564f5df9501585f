"""The development instance: made and updated by a draft, and runs of drafts with real effects."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from starlette.requests import ClientDisconnect

from halflap.engine.bundle import pack_components
from halflap.errors import StoreError
from halflap.model import DEVELOPMENT
from halflap.sdk import codec
from halflap.store import erasing
from tests.api.conftest import signed_in
from tests.api.test_api_draft_runs import run
from tests.api.test_api_drafts import begun, edit
from tests.polling import DEADLINE, LoopTime

pytestmark = pytest.mark.usefixtures("runs")

TEXT = """\
name: tried
config:
  Connect:
    api: {connection: http}
  Options:
    limit: {type: integer, default: 3}
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - id: sent
        action: http.request
        with: {method: POST, path: /orders, json: {id: =event.id, limit: =config.limit}}
        answers: {sample: {status: 200, headers: {}, body: {id: sample}}}
      - {id: letters, code: "return [each for each in sent['body']['key']]", with: {sent: =sent}}
      - log: ="it said " & sent.body.key
      - stop: {answer: =sent.body}
"""
PLAIN = """\
name: tried
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - stop: {answer: =event.id}
"""
SECRET = "a-secret-of-the-app-1234567890"


async def update(who: Any, draft: Any, revision: int = 1, **wanted: Any) -> Any:
    path, tag = f"/api/drafts/{draft['id']}/development", {"if-match": f'"{revision}"'}
    return await who("POST", path, wanted, headers=tag)


async def active(world: Any, instance: str) -> Any:
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await world.api.get(f"/api/instances/{instance}")
            if found["state"] == "active":
                return found
            assert found["state"] in ("configured", "activating", "upgrading"), found
            await asyncio.sleep(0.02)


async def connected(world: Any, **values: Any) -> str:
    """A connection of the development customer to the shop, which has a secret."""
    draft = {"customer": DEVELOPMENT, "component": "http", "name": "shop"}
    values = {"base_url": world.shop.url, "token": SECRET, **values}
    made = await world.api("POST", "/api/connections", {**draft, "values": values})
    assert made.status == 201, made.body
    return made.json["id"]


async def instance_of(world: Any, **connections: str) -> Any:
    """The development instance, with these connections."""
    draft = {"target": "development", "connections": connections}
    return await world.add(DEVELOPMENT, "tried", **draft)


async def set_up(world: Any, text: str = TEXT, **values: Any) -> tuple[Any, Any]:
    """A draft, with a development instance that runs it and has a connection."""
    draft = await begun(world, text)
    lacks = await update(world.api, draft)
    assert (lacks.status, list(lacks.json["lacks"])) == (200, ["api"]), lacks.body
    assert lacks.json["instance"] is None
    made = await instance_of(world, api=await connected(world, **values))
    assert made["development"], made
    return draft, made


async def real(world: Any, who: Any, draft: Any, **wanted: Any) -> tuple[list[Any], Any]:
    """Run a flow of a draft with real effects; its rows, and its end."""
    return await run(who, draft, flow="one", effects="real", **wanted)


async def echo(request: web.Request) -> web.Response:
    """Answer with what came, and with the secret that was sent."""
    body: Any = await request.json()
    key = request.headers["authorization"].removeprefix("Bearer ")
    echo.calls.append((body, request.headers.get("idempotency-key")))
    return web.json_response({**body, "key": key, "said": f"hello {key}!"})


@pytest.fixture(autouse=True)
def calls(shop: Any) -> list[Any]:
    shop.order_answer, echo.calls = echo, []
    return echo.calls


async def test_a_draft_gets_its_development_instance_and_updates_it(either: Any) -> None:
    draft = await begun(either, PLAIN)
    path = f"/api/drafts/{draft['id']}/development"
    before = await either.api.get(path)
    assert (before["customer"], before["instance"]) == (DEVELOPMENT, None)
    assert (await either.api("GET", f"/api/customers/{DEVELOPMENT}")).status == 404
    made = (await update(either.api, draft)).json
    assert (made["is_current"], made["lacks"]) == (True, {})
    instance = await active(either, made["instance"]["id"])
    assert instance["development"]
    customer = await either.api.get(f"/api/customers/{DEVELOPMENT}")
    assert (customer["name"], customer["development"], customer["external_id"]) == (
        "Development",
        True,
        None,
    )
    # It runs real events, and its drafts hear of them.
    execution = await either.send(instance, {"id": "o1"}, flow="one")
    assert (await either.ended(execution))["result"] == "o1"
    samples = await either.api.get(f"/api/drafts/{draft['id']}/samples", flow="one")
    [found] = [each for each in samples["items"] if each["source"] == "execution"]
    assert (found["execution"], found["development"]) == (execution, True)
    # Each update is a version, and upgrades it.
    same = (await update(either.api, draft)).json
    assert same["instance"]["version"] == made["instance"]["version"]
    op = {"op": "set", "path": ["flows", "one", "steps", 0, "stop", "answer"], "value": "=1 + 1"}
    assert (await edit(either, draft, 1, op)).status == 200
    assert not (await either.api.get(path))["is_current"]
    newer = await update(either.api, draft, 2)
    assert newer.json["is_current"], newer.body
    instance = await active(either, instance["id"])
    assert instance["version"]["number"] == 2
    execution = await either.send(instance, {"id": "o1"}, flow="one")
    assert (await either.ended(execution))["result"] == 2
    stale = await update(either.api, draft, 1)
    assert (stale.status, stale.json["kind"]) == (409, "StaleEdit")


async def test_it_is_one_and_neither_erased_nor_made_private_by_accident(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.customer("Development")  # of the team's own: the name is taken
    draft = await begun(world, PLAIN)
    made = (await update(world.api, draft)).json
    at = f"/api/customers/{DEVELOPMENT}"
    assert (await world.api.get(at))["name"] == "Development 2"
    second = {"customer": DEVELOPMENT, "integration": "tried", "name": "second"}
    refused = await world.api("POST", "/api/instances", second)
    assert (refused.status, refused.json["kind"]) == (409, "Conflict")
    refused = await world.api("PATCH", at, {"private": True})
    assert (refused.status, list(refused.json["fields"])) == (422, ["private"])
    instance = (await active(world, made["instance"]["id"]))["id"]
    await world.api("POST", f"/api/instances/{instance}/disable", wait=30)
    refused = await world.api("POST", f"{at}/erasure", {})
    assert (refused.status, refused.json["kind"]) == (409, "Conflict")
    assert f"halflap instances remove {instance}" in refused.json["detail"]
    assert (await world.api("DELETE", f"/api/instances/{instance}")).status == 204

    async def ended(_: Any) -> None:
        raise StoreError("the process ended here")

    monkeypatch.setattr(erasing, "compact", ended)
    assert (await world.api("POST", f"{at}/erasure", {})).status == 503  # at its very end
    # It is made again on its next use, and what it is sent is taken.
    again = (await update(world.api, draft)).json["instance"]
    assert await world.send(await active(world, again["id"]), {"id": "o1"}, "one")


async def test_an_upgrade_of_all_leaves_it_to_its_draft(world: Any) -> None:
    draft = await begun(world, PLAIN)
    made = (await update(world.api, draft)).json["instance"]
    await active(world, made["id"])
    await world.customer()
    customers = {"customer": "Initech", "integration": "tried"}
    other = (await world.api("POST", "/api/instances", customers)).json["id"]
    await world.publish(world.packed("tried.yaml", {"tried.yaml": PLAIN.replace("id", "it")}))
    path = "/api/integrations/tried/upgrade"
    for some, total in (({}, 1), ({"leave_out": [other]}, 0), ({"instances": [made["id"]]}, 1)):
        plan = await world.api("POST", path, {"version": "2", "dry_run": True, **some})
        assert (plan.status, plan.json["total"]) == (200, total), plan.body
    upgrade = await world.api("POST", path, {"version": "2"})
    shown = await world.api.get(f"/api/instances/{made['id']}")
    await world.ended(await world.send(shown, {"id": "o1"}, "one"))
    figures = (await world.api.get(f"/api/bulks/{upgrade.json['id']}/rollout"))["versions"]
    assert [sum(each[name] for each in figures) for name in ("instances", "ended")] == [1, 0]


async def test_a_real_call_is_made_once_and_its_secret_stays_hidden(world: Any, calls: Any) -> None:
    draft, instance = await set_up(world)
    event = {"id": "o1"}
    rows, _ = await run(world.api, draft, flow="one", event=event)
    assert (rows[0]["source"], calls) == ("sample", [])  # the control: stubbed is what runs are
    rows, end = await real(world, world.api, draft, event=event)
    assert end["state"] == "succeeded", end
    assert [body for body, _ in calls] == [{"id": "o1", "limit": 3}]
    assert (rows[0]["source"], rows[0]["state"]) == ("real", "succeeded")
    told = codec.encode([rows, end]).decode()
    assert SECRET not in told
    assert '"said":"hello •••!"' in codec.decode(codec.encode(rows[0]["gave"]["text"]))
    assert end["logs"][0]["message"] == "it said •••"
    # What a code step makes of it is none of the spellings that are known: docs/drafts.md says so.
    assert "".join(codec.decode(rows[1]["gave"]["text"].encode())) == SECRET
    # A pin wins, and an own value of the config is taken.
    steps = draft["flows"][0]["steps"]
    pin = {"status": 200, "headers": {}, "body": {"key": "k", "id": "pinned"}}
    rows, _ = await real(world, world.api, draft, event=event, pins={steps[0]["key"]: pin})
    assert (rows[0]["source"], len(calls)) == ("pin", 1)
    wanted = {"node": steps[0]["key"], "event": event, "effects": "real", "config": {"limit": 9}}
    path = f"/api/drafts/{draft['id']}/steps/run"
    alone = await world.api("POST", path, wanted)
    [row] = alone.json["rows"]
    assert (row["source"], calls[-1][0]["limit"], len(calls)) == ("real", 9, 2)
    assert calls[0][1] != calls[1][1]  # another key: the app takes it for another request
    assert SECRET not in alone.body.decode()
    # No connection is in what expressions see.
    seen = {"set": {"all": "=config", "own": "=$string(config.api)"}}
    op = {"op": "insert", "path": ["flows", "one", "steps"], "at": 0, "value": seen}
    assert (await edit(world, draft, 1, op)).status == 200
    first = (await world.api.get(f"/api/drafts/{draft['id']}"))["flows"][0]["steps"][0]
    wanted = {"node": first["key"], "event": {}, "effects": "real"}
    [row] = (await world.api("POST", path, wanted)).json["rows"]
    assert row["gave"]["text"] == '{"all":{"limit":3},"own":null}', row
    # It is an act, with who did it where; nothing was kept of the runs.
    acts = await world.api.items("/api/audit", operation="draft.run_real")
    assert len(acts) == 4
    acts = acts[1:]
    assert acts[0]["customer"] == DEVELOPMENT
    assert acts[0]["objects"]["draft"] == draft["id"]
    assert acts[0]["objects"]["instance"] == instance["id"]
    assert acts[0]["changes"]["node"] == steps[0]["key"]
    assert acts[1]["objects"]["flow"] == "one"
    listed = await world.api.items("/api/executions")
    assert listed == []


async def test_a_run_is_audited_before_its_calls_without_payloads_also_if_its_client_leaves(
    world: Any,
) -> None:
    draft, _ = await set_up(world)
    node = draft["flows"][0]["steps"][0]["key"]
    payloads: Any = {
        "event": "a-payload",
        "request": {"path": "/a-payload", "query": "a=a-payload"},
        "pins": {node: ["a-payload"]},
        "unpinned": [],
        "effects": "real",
    }
    for what, wanted in (("test", {"flow": "one"}), ("steps/run", {"node": node})):
        called = asyncio.Event()

        async def holds(_: web.Request, called: asyncio.Event = called) -> web.Response:
            called.set()
            await asyncio.sleep(30)
            return web.Response()

        world.shop.order_answer = holds
        body = codec.encode({**payloads, "event": {"id": "a-payload"}, "pins": {}, **wanted})
        requests: Any = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive(
            called: asyncio.Event = called, requests: Any = requests
        ) -> dict[str, Any]:
            if not requests:
                await called.wait()
                return {"type": "http.disconnect"}
            return requests.pop()

        async def send(_: Any) -> None: ...

        path = f"/api/drafts/{draft['id']}/{what}"
        headers = {"content-type": "application/json"}
        scope = world.api.scope("POST", path, {}, headers, world.api.token)
        async with asyncio.timeout(DEADLINE):
            with suppress(ClientDisconnect):
                await world.api.app(scope, receive, send)
    pin = {"value": ["a-payload"]}
    assert (await world.api("PUT", f"/api/drafts/{draft['id']}/pins/{node}", pin)).status == 200
    developer = await signed_in(world, "developer")
    await run(developer, draft, flow="one", **{**payloads, "effects": "stubbed"})
    acts = await world.api.items("/api/audit", operation="draft.run_real")
    assert [each["changes"].get("flow") for each in acts] == [None, "one"]
    entries = await world.api.items("/api/audit", limit=500)
    assert {"pin_step", "run_draft"} <= {each["operation"] for each in entries}
    assert "a-payload" not in str(entries)


@pytest.mark.parametrize("size", [100_000, 5_000_000])
async def test_a_large_answer_of_an_app_is_as_a_small_one(world: Any, size: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"key": "x" * size})

    begin, _, stop = TEXT.partition("      - {id: letters")
    draft, _ = await set_up(world, begin + stop[stop.index("      - stop") :])
    world.shop.order_answer = answer
    _, end = await real(world, world.api, draft, event={"id": "1"})
    assert end["state"] == "succeeded", end["reason"]
    assert codec.decode(end["result"].encode()) == {"key": "x" * size}


async def test_what_an_app_refuses_is_in_the_row_after_one_call(world: Any, calls: Any) -> None:
    draft, _ = await set_up(world)
    for status, kind in ((401, "Unauthorized"), (503, "UpstreamError"), (429, "RateLimited")):

        async def refuses(request: web.Request, status: int = status) -> web.Response:
            calls.append(status)
            return web.Response(status=status, text=f"not with {SECRET}")

        calls.clear()
        world.shop.order_answer = refuses
        rows, end = await real(world, world.api, draft, event={"id": "a"})
        assert (rows[0]["state"], rows[0]["error"]["kind"]) == ("failed", kind)
        assert (end["state"], calls) == ("failed", [status])
        assert SECRET not in codec.encode([rows, end]).decode()


async def test_an_execution_runs_again_for_real_with_keys_of_its_own(
    world: Any, calls: Any, leaping: LoopTime
) -> None:
    draft, made = await set_up(world)
    await world.api("POST", f"/api/instances/{made['id']}/activate")
    instance = await active(world, made["id"])
    execution = await world.send(instance, {"id": "first"}, flow="one")
    await world.ended(execution)
    assert [body["id"] for body, _ in calls] == ["first"]
    rows, _ = await run(world.api, draft, flow="one", execution=execution)
    assert (rows[0]["source"], len(calls)) == ("recorded", 1)  # the control
    rows, end = await real(world, world.api, draft, execution=execution)
    assert (rows[0]["source"], end["state"]) == ("real", "succeeded")
    assert [body["id"] for body, _ in calls] == ["first", "first"]
    assert calls[0][1] != calls[1][1]
    [act] = await world.api.items("/api/audit", operation="draft.run_real")
    assert act["objects"]["execution"] == execution
    # One that takes too long is ended in the middle of a request, and says what that means.
    runs = world.host.operations.draft_runs

    async def holds(_: web.Request) -> web.Response:
        await leaping.move(runs.seconds)
        await asyncio.sleep(30)
        return web.Response()

    world.shop.order_answer = holds
    rows, end = await run(world.api, draft, flow="one", event={"id": "x"}, effects="real")
    assert (rows, end["state"]) == ([], "refused")
    assert "may have been done" in end["reason"]
    assert runs.real == 0


async def test_what_may_not_or_cannot_run_for_real_says_what_to_do(world: Any, calls: Any) -> None:
    draft = await begun(world, TEXT)
    path = f"/api/drafts/{draft['id']}"
    wanted = {"flow": "one", "event": {"id": "a"}, "effects": "real"}

    async def refused(says: str) -> Any:
        node = {"node": "n1", "event": {}, "effects": "real"}
        for what, body in (("test", wanted), ("steps/run", node)):
            answer = await world.api("POST", f"{path}/{what}", body)
            assert (answer.status, answer.json["kind"]) == (422, "ConfigError"), answer.body
            assert says in answer.json["detail"]
        return answer.json["fields"]

    assert list(await refused("has no development instance yet")) == ["effects"]
    lacks = await update(world.api, draft)
    assert list(lacks.json["lacks"]) == ["api"]
    connection = await connected(world)
    instance = (await instance_of(world, api=connection))["id"]
    # A connection that the draft has since then.
    op = {"op": "set", "path": ["config", "Connect", "other"], "value": {"connection": "http"}}
    assert (await edit(world, draft, 1, op)).status == 200
    assert list(await refused("has no such connection yet")) == ["other"]
    view = await world.api.get(f"{path}/development")
    assert (list(view["lacks"]), view["is_current"]) == (["other"], False)
    assert (await edit(world, draft, 2, {"op": "delete", "path": op["path"]})).status == 200
    # One that the app does not let in any more.
    connections = world.host.store.catalogue.connections
    await connections.set_status(connection, "unauthorized")
    assert list(await refused("refused the credentials")) == ["api"]
    await connections.set_status(connection, "working")
    # A pause, and the customer's limits.
    for what in (DEVELOPMENT, instance, f"{instance}/one"):
        body = {"reason": "quiet"}
        await world.host.engine.pause(what, **body)
        await refused("is paused")
        await world.host.engine.resume(what)
    limits = {"concurrency": 1}
    assert (await world.api("PUT", f"/api/customers/{DEVELOPMENT}/limits", limits)).status == 200
    world.host.operations.draft_runs.real = 1
    await refused("executions running as it may; wait until one has ended")
    world.host.operations.draft_runs.real = 0
    limits = {"concurrency": 0, "rate": 0.001, "backlog": 1}
    assert (await world.api("PUT", f"/api/customers/{DEVELOPMENT}/limits", limits)).status == 200
    active = await world.api("POST", f"/api/instances/{instance}/activate", wait=30)
    urls = active.json["urls"]
    await world.host.engine.pause(instance, reason="quiet")
    queued = await world.send({"id": instance, "urls": urls}, {"id": "a"}, flow="one")
    await world.host.store.journal.take_beginning(DEVELOPMENT)
    await world.host.engine.resume(instance)
    world.host.engine.backlog.forget(DEVELOPMENT)
    await refused("executions queued as it may")
    limits["backlog"] = 2
    assert (await world.api("PUT", f"/api/customers/{DEVELOPMENT}/limits", limits)).status == 200
    await refused("begins 0.001 in a second")
    assert (await world.api("POST", f"/api/executions/{queued}/cancel")).status < 300
    limits["rate"] = 0
    assert (await world.api("PUT", f"/api/customers/{DEVELOPMENT}/limits", limits)).status == 200
    assert calls == []
    # Rights: it shows what apps answer, and runs what is not published with secrets.
    for rights in (["read", "publish"], ["read", "publish", "configure"]):
        key = await world.key(*rights)
        answer = await world.api("POST", f"{path}/test", wanted, token=key)
        assert answer.status == 403
        stubbed = await world.api("POST", f"{path}/test", {"flow": "one"}, token=key)
        assert stubbed.status == 200
        denied = await update(lambda *a, key=key, **q: world.api(*a, token=key, **q), draft, 3)
        assert denied.status == (403 if "configure" not in rights else 200)
    developer = await signed_in(world, "developer")
    rows, _ = await real(world, developer, draft, event={"id": "a"})
    assert (rows[0]["source"], len(calls)) == ("real", 1)


async def test_runs_that_begin_together_keep_the_limit_and_wait_for_no_stubbed_ones(
    world: Any, calls: Any
) -> None:
    draft, _ = await set_up(world)
    runs, answers = world.host.operations.draft_runs, asyncio.Event()

    async def holds(_: web.Request) -> web.Response:
        calls.append("called")
        await answers.wait()
        return web.json_response({"key": "k"})

    world.shop.order_answer = holds
    limits = {"concurrency": 1}
    assert (await world.api("PUT", f"/api/customers/{DEVELOPMENT}/limits", limits)).status == 200
    wanted = {"flow": "one", "event": {"id": "a"}, "effects": "real"}
    path, states = f"/api/drafts/{draft['id']}/test", list[str]()
    async with runs.turns.of("x"), runs.turns.of("y"):
        running = [asyncio.create_task(world.api("POST", path, wanted)) for _ in range(4)]
        for each in asyncio.as_completed(running):
            answer = await each
            is_refused = answer.status == 422 or b'"state":"refused"' in answer.body
            assert (b"executions running as it may" in answer.body) is is_refused, answer.body
            states.append("refused" if is_refused else "ran")
            if len(states) == 3:
                answers.set()
    assert (states, calls, runs.real) == (["refused"] * 3 + ["ran"], ["called"], 0)


CLOUDS = """
from typing import Annotated, Any

from halflap import Component, Connection, Source
from halflap.sdk.oauth import ClientCredentials


class Clouds(Connection):
    base_url: str
    auth: ClientCredentials


component = Component("clouds", connection=Clouds)


@component.action
async def look(clouds: Clouds) -> Any:
    \"\"\"Look.\"\"\"
    return await clouds.get("/me")


@component.action
async def list_sizes(clouds: Clouds, of: str) -> list[str]:
    \"\"\"List sizes.\"\"\"
    name = (await clouds.request("GET", "/me")).json()["name"]
    return [f"{name} {of} {size}" for size in ("small", "large")]


@component.action
async def rain(clouds: Clouds, of: str, size: Annotated[str, Source(list_sizes, ("of",))]) -> None:
    \"\"\"Rain.\"\"\"
"""
CLOUDY = """\
name: tried
config:
  Connect:
    sky: {connection: clouds}
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: seen, action: clouds.look}
      - {id: rained, action: clouds.rain, with: {of: cats, size: big}}
      - stop: {answer: =seen}
"""


async def test_tokens_are_refreshed_before_and_a_component_of_its_own_is_called(world: Any) -> None:
    files = {"tried.yaml": CLOUDY, "clouds.py": CLOUDS}
    await world.publish(world.packed("tried.yaml", files))
    draft = await world.draft("tried")
    assert (await update(world.api, draft)).json["lacks"]
    auth = {
        "token_url": f"{world.shop.url}/token",
        "client_id": "c",
        "client_secret": "s-e-c-r-e-t",
    }
    values = {"base_url": world.shop.url, "auth": auth}
    sky = await world.connection(DEVELOPMENT, "sky", values, integration="tried", field="sky")
    await instance_of(world, sky=sky)
    catalogue = world.host.store.catalogue

    async def forgotten(token_url: str) -> None:
        """Forget the token that it has, and say where the next one comes from."""
        stored = await catalogue.connections.get(sky)
        fields = {**stored.fields, "auth": {**stored.fields["auth"], "token_url": token_url}}
        secrets = await catalogue.connections.open_secrets(stored.id)
        kept = {name: each for name, each in secrets.items() if "access" not in name}
        who = (stored.customer, stored.component, stored.name)
        await catalogue.connections.save(*who, fields, kept, id=stored.id)

    await forgotten(auth["token_url"])
    world.shop.codes.clear()
    for _ in range(2):  # the second finds the token that the first got
        rows, end = await real(world, world.api, draft, event={})
        assert (rows[0]["source"], end["state"]) == ("real", "succeeded"), end
        assert world.shop.seen[-1]["Authorization"] == "Bearer fresh-token"
    assert [each["grant_type"] for each in world.shop.codes] == ["client_credentials"]
    # Its app lists the choices of inputs, by what the step has already.
    choices = f"/api/drafts/{draft['id']}/choices"
    size = codec.encode(["flows", "one", "steps", 1, "with", "size"]).decode()
    listed = await world.api.get(choices, path_=size)
    assert [each["value"] for each in listed["choices"]] == ["me cats small", "me cats large"]
    found = (await world.api.get(choices, path_=size, search="LAR"))["choices"]
    assert [each["value"] for each in found] == ["me cats large"]
    for where, says in (
        ("of", "no app lists"),
        ("none", "has no input"),
        (0, "no input of a step"),
    ):
        other = codec.encode(["flows", "one", "steps", 1, *([] if where == 0 else ["with", where])])
        refused = await world.api("GET", choices, path_=other.decode())
        assert refused.status in (404, 422)
        assert says in refused.json["detail"]
    await forgotten(f"{world.shop.url}/gone")
    path = f"/api/drafts/{draft['id']}/test"
    refused = await world.api("POST", path, {"flow": "one", "effects": "real"})
    assert (refused.status, list(refused.json["fields"])) == (422, ["sky"]), refused.body
    assert "could not be refreshed" in refused.json["detail"]
    assert "s-e-c-r-e-t" not in refused.body.decode()


STORES = """
from typing import Any

from pydantic import SecretStr

from halflap import Component, Connection


class Stores(Connection):
    base_url: str
    token: SecretStr


component = Component("stores", connection=Stores)


@component.action
async def look(stores: Stores) -> Any:
    \"\"\"Look.\"\"\"
    return {"token": str(stores.token)}
"""
STORED = """\
name: tried
config:
  Connect:
    store: {connection: stores}
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: seen, action: stores.look}
      - stop: {answer: =seen}
"""
OPEN = STORES.replace("token: SecretStr", "token: str")


async def stored(world: Any, component: str = STORES) -> Any:
    """A draft of an integration with a component of its own, to whose app the instance connects."""
    files = {"tried.yaml": STORED, "stores.py": component}
    await world.publish(world.packed("tried.yaml", files))
    draft = await world.draft("tried")
    await update(world.api, draft)
    values, of = {"base_url": world.shop.url, "token": SECRET}, {"integration": "tried"}
    made = await world.connection(DEVELOPMENT, "store", values, field="store", **of)
    await instance_of(world, store=made)
    return draft


async def pinned(world: Any, draft: Any, component: str, name: str) -> None:
    """Have a draft use other components, of a set."""
    root = world.folder / name
    root.mkdir()
    (root / f"{name}.py").write_text(component)
    body = pack_components(root).to_bytes()
    made = await world.api("POST", "/api/component-sets", body=body, name=name)
    assert made.status == 201, made.body
    pin = {"components": name}
    answer = await world.api("PUT", f"/api/drafts/{draft['id']}/components", pin)
    assert answer.status == 200, answer.body


async def test_a_stored_secret_is_masked_whatever_the_draft_s_component_calls_it(
    world: Any,
) -> None:
    draft = await stored(world)
    await pinned(world, draft, OPEN, "stores")
    rows, end = await real(world, world.api, draft, event={})
    assert (rows[0]["source"], end["state"]) == ("real", "succeeded"), end
    assert rows[0]["gave"]["text"] == '{"token":"•••"}'
    assert SECRET not in codec.encode([rows, end]).decode()


async def test_only_the_type_that_a_connection_was_made_for_gets_it(world: Any) -> None:
    draft = await stored(world)
    other = OPEN.replace('"stores"', '"others"').replace("class Stores", "class Others")
    other = other.replace(": Stores", ": Others").replace("=Stores", "=Others")
    await pinned(world, draft, other, "others")
    tag, path = {"if-match": '"1"'}, f"/api/drafts/{draft['id']}"
    ops = [
        {"op": "set", "path": ["config", "Connect", "store", "connection"], "value": "others"},
        {"op": "set", "path": ["flows", "one", "steps", 0, "action"], "value": "others.look"},
    ]
    answer = await world.api("POST", f"{path}/edits", {"ops": ops}, headers=tag)
    assert answer.status == 200, answer.body
    wanted = {"flow": "one", "event": {}, "effects": "real"}
    refused = await world.api("POST", f"{path}/test", wanted)
    assert (refused.status, list(refused.json["fields"])) == (422, ["store"]), refused.body
    assert "is a connection to stores:Stores, not to others" in refused.json["detail"]


async def test_an_own_component_of_an_installed_one_s_name_gets_none_of_its_connections(
    world: Any,
) -> None:
    draft, _ = await set_up(world)
    own = STORES.replace('"stores"', '"http"')
    takes = "request(stores: Stores, method: str, path: str, json: Any)"
    own = own.replace("look(stores: Stores)", takes)
    await world.publish(world.packed("tried.yaml", {"tried.yaml": TEXT, "http.py": own}))
    shadowed = await world.draft("tried")
    path, wanted = f"/api/drafts/{shadowed['id']}", {"flow": "one", "event": {}, "effects": "real"}
    refused = await world.api("POST", f"{path}/test", wanted)
    assert (refused.status, list(refused.json["fields"])) == (422, ["api"]), refused.body
    assert "not to the draft's own http" in refused.json["detail"]
    rows, _ = await real(world, world.api, draft, event={"id": "a"})  # the control
    assert rows[0]["source"] == "real"
