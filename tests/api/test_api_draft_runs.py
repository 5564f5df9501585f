"""Runs of drafts: what each step gave, as it happens, with nothing called or kept."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from halflap.api import stream
from halflap.api.operations.draft_runs import FORKS, WORKER, DraftRuns
from halflap.api.operations.linting import command
from halflap.api.operations.turns import TurnQueue
from halflap.api.stream import EventStream
from halflap.lowcode.code import pool as pools
from halflap.lowcode.code.forking import MARK, NO_MARK, ForkServer, can_fork
from halflap.lowcode.code.pool import Lost, Pool
from halflap.lowcode.code.worker.wire import pack, unpack
from halflap.sdk import codec
from tests.api.conftest import signed_in
from tests.api.test_api_drafts import begun, edit
from tests.polling import DEADLINE, LoopTime, stays, until

pytestmark = pytest.mark.usefixtures("runs")

TEXT = """\
name: tried
config:
  Connect:
    api: {connection: http}
  Options:
    limit: {type: integer}
flows:
  one:
    trigger: webhook.request
    steps:
      - id: got
        action: http.get
        with: {path: ="/" & event.id}
        answers: {sample: {n: 1.50}}
      - id: doubled
        code: return got["n"] * 2
        with: {got: =got}
      - sleep: 1h
      - for: each
        in: =event.items
        do:
          - set: {last: =each}
      - if: =doubled > 5
        then:
          - throw: ="too many for " & event.id
      - stop: {answer: =doubled}
"""
ONE = ["flows", "one", "steps"]


@pytest.fixture(autouse=True, scope="module")
def forks() -> None:
    """Have real processes, as what they are made of is looked at: not those of a test before."""
    FORKS.close()


async def run(who: Any, draft: Any, what: str = "test", **wanted: Any) -> tuple[list[Any], Any]:
    """Run a draft; its rows, and its end."""
    answer = await who("POST", f"/api/drafts/{draft['id']}/{what}", wanted)
    assert answer.status == 200, answer.body
    rows: list[Any] = []
    for part in answer.body.decode().split("\n\n"):
        if not part:
            continue
        kind, data = part.split("\n")
        found = codec.decode(data.removeprefix("data: ").encode())
        if kind == "event: end":
            return rows, found
        rows.append(found)
    raise AssertionError("it has no end")


async def test_a_flow_runs_with_its_effects_made_up(world: Any) -> None:
    draft = await begun(world, TEXT)
    rows, end = await run(world.api, draft, flow="one", event={"id": "a", "items": [7, 8]})
    assert [(each["path"][2:], each["item"], each["state"], each["source"]) for each in rows] == [
        (["steps", 0], [], "succeeded", "sample"),
        (["steps", 1], [], "succeeded", "real"),
        (["steps", 2], [], "waiting", None),
        (["steps", 2], [], "succeeded", None),
        (["steps", 3, "do", 0], [0], "succeeded", None),
        (["steps", 3, "do", 0], [1], "succeeded", None),
        (["steps", 3], [], "succeeded", None),
        (["steps", 4], [], "succeeded", None),
        (["steps", 5], [], "succeeded", None),
    ]
    assert rows[0]["inputs"]["text"] == '{"$connection":"api","path":"/a"}'
    assert rows[0]["gave"]["text"] == '{"n":1.50}'
    assert rows[5]["gave"]["text"] == '{"last":8}'
    assert (end["state"], end["result"]) == ("succeeded", "3.00")
    assert end["config"] == '{"limit":1}'
    text = '{"id":"a","items":[7,8]}'
    began = {"text": text, "size": len(text), "cut": False}
    assert end["events"] == [{"flow": "one", "execution": 0, "event": began}]
    listed = await world.api.items("/api/executions")
    assert listed == []


async def test_a_run_tells_the_config_that_it_had_but_for_defaults(world: Any) -> None:
    more = "    rate: {type: decimal, default: 2}\n    note: {required: false}\nflows:"
    draft = await begun(world, TEXT.replace("flows:", more, 1))
    _, end = await run(world.api, draft, flow="one", event={}, config={"rate": 1.50, "note": "x"})
    assert codec.decode(end["config"].encode()) == {"limit": 1, "rate": Decimal("1.5"), "note": "x"}
    _, end = await run(world.api, draft, flow="one", event={}, config={"rate": 2, "limit": 7})
    assert end["config"] == '{"limit":7}'


async def test_a_pin_answers_and_a_failure_has_its_place(world: Any) -> None:
    draft = await begun(world, TEXT)
    steps = draft["flows"][0]["steps"]
    rows, end = await run(
        world.api, draft, flow="one", event={"id": "b"}, pins={steps[0]["key"]: {"n": 4}}
    )
    assert (rows[0]["source"], rows[0]["gave"]["text"]) == ("pin", '{"n":4}')
    assert (end["state"], end["reason"], end["path"]) == (
        "failed",
        "too many for b",
        [*ONE, 4, "then", 0],
    )
    assert end["where"].startswith("tried.yaml:")
    refused = {"$error": "not there", "status": 404}
    rows, end = await run(world.api, draft, flow="one", event={}, pins={steps[0]["key"]: refused})
    assert (rows[-1]["state"], rows[-1]["error"]["message"]) == ("failed", "not there")
    assert (end["state"], end["path"]) == ("failed", [*ONE, 0])
    none = await world.api(
        "POST", f"/api/drafts/{draft['id']}/test", {"flow": "one", "pins": {"n99": 1}}
    )
    assert (none.status, none.json["kind"]) == (422, "ConfigError")
    stale = await world.api(
        "POST", f"/api/drafts/{draft['id']}/test", {"flow": "one", "revision": 7}
    )
    assert (stale.status, stale.json["kind"]) == (409, "StaleEdit")


async def test_what_cannot_run_says_so(world: Any) -> None:
    draft = await begun(world, TEXT.replace("http.get", "http.gte"))
    rows, end = await run(world.api, draft, flow="one", event={})
    assert (rows, end["state"]) == ([], "refused")
    assert "did you mean http.get" in end["reason"]
    draft = await begun(world, TEXT)
    _, end = await run(world.api, draft, flow="nine")
    assert "there is no flow 'nine'" in end["reason"]
    draft = await begun(world, "name: tried\nflows: [")
    refused = await world.api("POST", f"/api/drafts/{draft['id']}/test", {"flow": "one"})
    assert refused.status == 422


ORDERS = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request
    steps:
      - id: found
        action: shop.find_order
        with: {id: =event.id}
      - id: made
        action: shop.create_order
        with: {id: =event.id, amount: =event.amount, secret: =event.token}
      - {id: seen, state: get, key: seen, default: 0}
      - {state: put, key: seen, value: =seen + 1}
      - id: sent
        call: ship
        event: {id: =made.id}
      - stop: {answer: =sent}
  ship:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - stop: {answer: ="shipped " & event.id}
"""


async def test_an_execution_comes_again_and_its_steps_answer_as_they_did(
    world: Any,
) -> None:
    files = {"orders.yaml": ORDERS}
    await world.publish(world.packed("orders.yaml", files))
    instance = await world.instance()
    sent = {"id": "o1", "amount": 1.50, "token": "a-secret-token"}
    execution = await world.send(instance, sent)
    await world.ended(execution)
    draft = await world.draft()
    made = len(world.shop.orders)
    rows, end = await run(world.api, draft, flow="incoming", execution=execution)
    assert len(world.shop.orders) == made
    by_step = {each["path"][-1]: each for each in rows if not each["execution"]}
    assert by_step[1]["gave"]["text"] == '{"id":"o1","amount":1.5}'
    assert [by_step[at]["source"] for at in (0, 1)] == ["recorded", "recorded"]
    assert not by_step[1]["stale"]
    assert (end["state"], end["result"]) == ("succeeded", '"shipped o1"')
    assert "a-secret-token" not in codec.encode(rows).decode()

    # Another text: what was recorded answers still, and says that it was for other inputs.
    ops = [{"op": "set", "path": ["flows", "incoming", "steps", 1, "with", "amount"], "value": 3}]
    path = f"/api/drafts/{draft['id']}/edits"
    assert (await world.api("POST", path, {"ops": ops}, headers={"if-match": '"1"'})).status == 200
    rows, _ = await run(world.api, draft, flow="incoming", execution=execution)
    again = next(each for each in rows if each["path"][-1] == 1)
    assert (again["source"], again["stale"]) == ("recorded", True)
    # Without one, all is made up, and nobody is called either.
    rows, end = await run(world.api, draft, flow="incoming", event={"id": "o2", "token": "t"})
    assert {each["source"] for each in rows if each["inputs"]} == {"sample"}
    assert [(each["flow"], each["execution"]) for each in end["events"]] == [
        ("incoming", 0),
        ("ship", 1),
    ]
    assert len(world.shop.orders) == made
    # Whoever may not see payloads may not have them run, either.
    wanted = {"flow": "incoming", "execution": execution}
    path, token = f"/api/drafts/{draft['id']}/test", await world.key("read", "publish")
    assert (await world.api("POST", path, wanted, token=token)).status == 403
    viewer = await signed_in(world, "viewer")
    assert (await viewer("POST", path, {"flow": "incoming"})).status == 403
    looks = await world.api.get("/api/audit", on=execution)
    assert "run_draft" in str(looks) or "/test" in str(looks)


async def test_pins_are_shared_sealed_and_said_to_be_stale(either: Any) -> None:
    draft = await begun(either, TEXT)
    node = draft["flows"][0]["steps"][0]["key"]
    pins = f"/api/drafts/{draft['id']}/pins"
    put = await either.api("PUT", f"{pins}/{node}", {"value": {"n": 123456789012345678901.5}})
    assert (put.status, put.json["path"], put.json["stale"]) == (200, [*ONE, 0], False)
    value = b'{"value":{"n":12345678901234567890.10,"who":"a-customers-value"}}'
    headers = {"content-type": "application/json"}
    put = await either.api("PUT", f"{pins}/{node}", body=value, headers=headers)
    ada = await signed_in(either, "developer")
    rows, _ = await run(ada, draft, flow="one", event={"id": "a"})
    assert rows[0]["source"] == "pin"
    assert '"n":12345678901234567890.10' in rows[0]["gave"]["text"]
    rows, _ = await run(ada, draft, flow="one", event={"id": "a"}, unpinned=[node])
    assert rows[0]["source"] == "sample"
    for about, is_stale in (("title", False), ("with", True)):
        step = [*ONE, 0, about]
        value = "Get it" if about == "title" else {"path": "/other"}
        edited = await edit(ada, draft, 1 + is_stale, {"op": "set", "path": step, "value": value})
        assert edited.status == 200, edited.json
        rows, _ = await run(ada, draft, flow="one", event={"id": "a"})
        assert (rows[0]["source"], rows[0]["stale"]) == ("pin", is_stale)
        assert (await ada("GET", pins)).json[0]["stale"] is is_stale
    # Only for who may see payloads, and not in clear in the store.
    key = await either.key("read", "publish")
    assert (await either.api("GET", pins, token=key)).status == 403
    found = await either.host.store.catalogue.pins._writer.rows("SELECT content FROM draft_pins")
    assert b"a-customers-value" not in bytes(found[0][0])
    for wrong, value in (("n99", 1), (node, "x" * 300_000)):
        refused = await ada("PUT", f"{pins}/{wrong}", {"value": value})
        assert (refused.status, refused.json["kind"]) == (422, "ConfigError")
    assert (await ada("DELETE", f"{pins}/{node}")).status == 204
    assert (await ada("DELETE", f"{pins}/{node}")).status == 404
    assert (await ada("GET", pins)).json == []
    await ada("PUT", f"{pins}/{node}", {"value": 1})
    await ada("DELETE", f"/api/drafts/{draft['id']}")
    assert await either.host.store.catalogue.pins.list(draft["id"]) == []


async def test_one_step_runs_with_what_it_sees(world: Any) -> None:
    draft = await begun(world, TEXT)
    steps = draft["flows"][0]["steps"]

    async def one(step: Any, **more: Any) -> tuple[Any, Any]:
        path = f"/api/drafts/{draft['id']}/steps/run"
        found = await world.api("POST", path, {"node": step["key"], **more})
        assert found.status == 200, found.body
        return found.json["rows"], found.json["end"]

    rows, end = await one(steps[1], scope={"got": {"n": 21}})
    assert [(each["path"], each["gave"]["text"], each["source"]) for each in rows] == [
        ([*ONE, 1], "42", "real")
    ]
    assert end["state"] == "succeeded"
    rows, _ = await one(steps[0], event={"id": "z"}, pins={steps[0]["key"]: {"n": 1}})
    assert (rows[0]["inputs"]["text"], rows[0]["source"]) == (
        '{"$connection":"api","path":"/z"}',
        "pin",
    )
    within = steps[3]["blocks"][0]["nodes"][0]
    rows, _ = await one(within, scope={"each": "x"}, item=[4])
    assert (rows[0]["item"], rows[0]["gave"]["text"]) == ([4], '{"last":"x"}')
    rows, end = await one(steps[4], scope={"doubled": 6}, event={"id": "q"})
    assert (end["reason"], end["path"]) == ("too many for q", [*ONE, 4, "then", 0])
    assert [each["state"] for each in rows] == ["failed", "failed"]
    rows, end = await one(steps[5], scope={"doubled": 6})
    assert end["result"] == "6"


async def test_a_run_is_ended_with_its_process(
    runs: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "=($f := function($n) { $n < 2 ? $n : $f($n - 1) + $f($n - 2) }; $f(60))"
    text = TEXT.replace("={last: =each}", "x").replace("last: =each", f'last: "{endless}"')
    draft = await begun(world, text)
    left: list[int] = []

    class Folder(TemporaryDirectory[str]):
        def cleanup(self) -> None:
            left.append(len(os.listdir(self.name)))
            super().cleanup()
            assert not os.path.exists(self.name)

    monkeypatch.setattr("halflap.api.operations.draft_runs.TemporaryDirectory", Folder)
    monkeypatch.setattr(runs, "seconds", 3.0)
    event = {"id": "a", "items": [1]}
    rows, end = await run(world.api, draft, flow="one", event=event)
    assert rows  # what it came to is told
    assert end["state"] in ("refused", "failed")
    assert end["failure"]["kind"] in ("Timeout", "ExpressionError")
    assert left == [int(end["failure"]["kind"] == "Timeout")]


async def test_a_client_that_leaves_ends_the_run() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def runs(_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def receive() -> Any:
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None: ...

    async with asyncio.timeout(DEADLINE):
        await EventStream(runs, None)({}, receive, send)
    assert ended.is_set()


async def told_of_run(
    world: Any,
    path: str,
    wanted: dict[str, Any],
    token: str,
    *,
    at_first_row: Callable[[], Awaitable[None]],
) -> list[bytes]:
    """Run a draft, and return the parts of the answer; the client takes the first row when it likes."""
    requests = [{"type": "http.request", "body": codec.encode(wanted), "more_body": False}]
    told: list[bytes] = []

    async def receive() -> Any:
        return requests.pop() if requests else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message.get("body", b""))
        if len(told) == 2:  # the first is the head
            await at_first_row()

    scope = world.api.scope("POST", path, {}, {"content-type": "application/json"}, token)
    async with asyncio.timeout(DEADLINE):
        await world.api.app(scope, receive, send)
    return told


async def test_a_run_goes_on_whose_key_is_revoked(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.001)
    draft = await begun(world, TEXT)
    key = (await world.api("POST", "/api/keys", {"name": "k", "rights": ["read", "publish"]})).json
    path, wanted = f"/api/drafts/{draft['id']}/test", {"flow": "one", "event": {"id": "a"}}

    async def revoke() -> None:
        assert (await world.api("DELETE", f"/api/keys/{key['id']}")).status == 204
        for _ in range(20):
            refused = await world.api("POST", path, wanted, token=key["key"])
            assert refused.status == 401

    told = await told_of_run(world, path, wanted, key["key"], at_first_row=revoke)
    assert b"event: end" in told[-2], told
    assert told[-1] == b""


async def test_a_run_ends_without_its_last_byte_where_nobody_reads(
    runs: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await begun(world, TEXT)
    path, wanted = f"/api/drafts/{draft['id']}/test", {"flow": "one", "event": {"id": "a"}}
    await run(world.api, draft, **wanted)
    monkeypatch.setattr(runs, "seconds", 2.0)

    async def stall() -> None:
        await asyncio.Event().wait()

    told = await told_of_run(world, path, wanted, world.api.token, at_first_row=stall)
    assert len(told) == 2
    assert told[1].startswith(b"event: row")


OWN = """\
import os, socket, subprocess
from concurrent.futures import ThreadPoolExecutor
from halflap import Component
component = Component("pricing")

def connect():
    socket.create_connection(("127.0.0.1", 9)).close()

def spawn():
    os.posix_spawn("/bin/true", ["true"], {})

def fork():
    if os.fork() == 0:
        os._exit(0)

def other():
    subprocess.Popen(["/bin/true"])

def switch():
    from halflap.lowcode.code import pool
    from halflap.testing import worker
    worker.WAYS_OUT, worker.guard = frozenset(), None
    for switch in (getattr(pool, "starting", None), getattr(worker, "starting", None)):
        if switch is not None:
            switch.set(True)
    connect()

@component.action(pure=True)
async def tried(what: str, pooled: bool) -> str:
    \"\"\"Try to get out.\"\"\"
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(globals()[what]).result() if pooled else globals()[what]()
        except BaseException as error:
            return type(error).__name__
    return "it did"
"""
GOING_OUT = """\
name: orders
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - for: what
        in: ["connect", "spawn", "fork", "other", "switch"]
        collect: =[direct, pooled]
        do:
          - {id: direct, action: pricing.tried, with: {what: =what, pooled: false}}
          - {id: pooled, action: pricing.tried, with: {what: =what, pooled: true}}
        id: all
      - {id: more, code: return 1}
      - stop: {answer: =all}
"""


async def test_an_own_components_pure_action_gets_out_by_no_thread(world: Any) -> None:
    files = {"orders.yaml": GOING_OUT, "pricing.py": OWN}
    await world.publish(world.packed("orders.yaml", files))
    draft = await world.draft()
    _, end = await run(world.api, draft, flow="incoming", event={})
    assert end["state"] == "succeeded", end
    assert codec.decode(end["result"].encode()) == [["EgressRefused"] * 2] * 5


LARGE = """\
name: tried
config:
  Connect:
    api: {connection: http}
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: got, action: http.get, with: {path: =event.path}}
      - stop: {answer: =got}
"""


@pytest.mark.parametrize("text", ["x" * 100_000, "x" * 5_000_000, "ü" * 1_000_000])
async def test_large_events_pins_and_results_are_as_small_ones(runs: DraftRuns, text: str) -> None:
    found = dict[str, str]()
    pins = [{"path": [*ONE, 0], "value": text, "stale": False}]
    given = {"file": "tried.yaml", "text": LARGE, "files": {}, "flow": "one", "pins": pins}

    async def tell(kind: str, text: str) -> None:
        found[kind] = text

    event = {"path": "/", "id": text}
    await runs.run("run", {**given, "config": {}, "signals": {}, "event": event}, "me", tell)
    end = codec.decode(found["end"].encode())
    assert end["state"] == "succeeded", end["reason"]
    assert codec.decode(end["result"].encode()) == text


def pricing(does: str, needs: str = "", gives: str = "None") -> str:
    """A component of a project's own, whose pure action does this."""
    body = does.strip("\n").replace("\n", "\n    ")
    return f'''\
{needs}
from halflap import Component

component = Component("pricing")


@component.action(pure=True)
def tried(what: str, pooled: bool) -> {gives}:
    """Try."""
    {body}
'''


# Leaves what it gets to whoever comes later, and returns what is there.
STAYING = pricing(
    'builtins.left = [*getattr(builtins, "left", []), what]\nreturn builtins.left',
    "import builtins",
    "list[str]",
)
STAYED = """\
name: orders
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: found, action: pricing.tried, with: {what: =event.id, pooled: false}}
      - stop: {answer: =found}
"""


async def test_code_that_was_sent_has_a_process_of_its_own_for_each_run(
    runs: DraftRuns, world: Any
) -> None:
    files = {"orders.yaml": STAYED, "pricing.py": STAYING}
    await world.publish(world.packed("orders.yaml", files))
    draft = await world.draft()
    shared = runs.workers.pids
    for id in ("a", "b"):
        _, end = await run(world.api, draft, flow="incoming", event={"id": id})
        assert codec.decode(end["result"].encode()) == [id], end
    assert runs.workers.pids == shared


# Tells without an end.
FLOODING = pricing(
    """
[ours] = [e for e in gc.get_objects() if isinstance(e, socket.socket) and e.fileno() == 0]
for number in range(1, 30):
    Path(what).write_text(str(number))
    ours.sendall(pack("row", '"' + "x" * 4_000_000 + '"'))
""",
    "import gc, socket\nfrom pathlib import Path\nfrom halflap.lowcode.code.worker.wire import pack",
)


async def test_a_run_that_tells_too_much_waits_for_its_reader(
    tmp_path: Path, leaping: LoopTime
) -> None:
    mine, counted = DraftRuns(TurnQueue(1), seconds=DEADLINE), tmp_path / "counted"
    files = {"pricing.py": FLOODING}
    parts = {"file": "orders.yaml", "text": STAYED, "files": files, "flow": "incoming"}
    given = {**parts, "config": {}, "signals": {}, "pins": [], "event": {"id": str(counted)}}

    async def never(*_: str) -> None:
        await asyncio.Event().wait()

    def told() -> int:
        return int(counted.read_text() or 0) if counted.exists() else 0

    running = asyncio.create_task(mine.run("run", given, "me", never))
    await until(lambda: told() >= 4)
    await stays(lambda: told() < 10, 1.0)
    while not running.done():  # first the run's time is over, then that of its reader
        await leaping.move(DEADLINE)
        await asyncio.wait([running], timeout=0.1)
    for pool in (mine.workers, mine.fresh):
        pool.close()
    with pytest.raises(TimeoutError):
        await running
    assert told() < 10


FORKING = """\
import os, sys, time
sys.path[:] = {path!r}
from halflap.lowcode.code.worker.wire import pack
{begin}
parent = os.getpid()
os.write(0, pack("ready", str(parent)))
{before}
if os.fork() == 0:
    {child}
    os.write(0, pack("child", str(os.getpid())))
{then}
time.sleep(600)
"""
LEAVE = "os.setpgid(0, os.getpgid(os.getppid()))"
ORPHAN = "while os.getppid() == parent: time.sleep(0.01)"
GOING = {
    "leaves its group, and its child too": (LEAVE, "os.setpgid(0, 0)", ""),
    "has a child with a session": ("", "os.setsid()", ""),
    "ends before its child": ("", ORPHAN, "if os.getpid() == parent: os.read(0, 1); os._exit(0)"),
}


@pytest.mark.parametrize("forked", [False, True], ids=["executed", "forked"])
@pytest.mark.parametrize(("before", "child", "then"), GOING.values(), ids=GOING)
async def test_no_process_of_a_run_outlives_it(
    before: str, child: str, then: str, forked: bool
) -> None:
    begin = "from halflap.lowcode.code.forking import serve_forks\nserve_forks()" if forked else ""
    source = FORKING.format(path=sys.path, begin=begin, before=before, child=child, then=then)
    command = [sys.executable, "-c", source]
    forks = ForkServer(lambda: command)
    pool = Pool(1, command, partial(forks.fork, "") if forked else None)
    worker = pool.take()
    try:
        async with asyncio.timeout(DEADLINE):
            await worker.ready()
            await worker.send(b".")  # by now it is held, and may end
            number = int(unpack(await worker.receive(1 << 10))[1])
            assert is_running(number)
            worker.kill()
            while True:
                if not is_running(number) and not is_running(worker.pid):
                    break
                await asyncio.sleep(0.02)
    finally:
        worker.close()
        pool.close()
        forks.close()


async def test_the_processes_of_a_run_are_looked_for_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the system may list thousands, which would hold up the event loop."""
    threads, before = list[int](), pools.marked

    def noted(mark: bytes) -> list[int]:
        threads.append(threading.get_ident())
        return before(mark)

    monkeypatch.setattr(pools, "marked", noted)
    source = FORKING.format(path=sys.path, begin="", before="", child="pass", then="")
    pool = Pool(1, [sys.executable, "-c", source])
    worker = pool.take()
    await worker.ready()
    pool.end(worker)
    pool.close()  # waits for them, too
    assert threads
    assert threading.get_ident() not in threads


# Leaves a temporary file, and never ends.
STUCK = pricing(
    'Path(tempfile.gettempdir(), "left").write_text(what)\nwhile True:\n    time.sleep(1)',
    "import tempfile, time\nfrom pathlib import Path",
)


async def test_a_run_s_process_ends_itself_and_has_temporary_files_in_its_folder(
    tmp_path: Path,
) -> None:
    parts = {"file": "orders.yaml", "text": STAYED, "files": {"pricing.py": STUCK}}
    given = {**parts, "flow": "incoming", "event": {"id": "a"}, "config": {}, "signals": {}}
    given |= {"pins": [], "folder": str(tmp_path), "seconds": 0}
    pool = Pool(1, command(WORKER))
    worker = pool.take()
    try:
        async with asyncio.timeout(DEADLINE):
            await worker.ready()
            await worker.send(pack("run", codec.encode(given).decode()))
            with pytest.raises(Lost):
                await worker.receive(1 << 20)
        assert (tmp_path / "left").read_text() == "a"
        assert worker.wait() == -signal.SIGALRM
    finally:
        worker.close()
        pool.close()


def is_running(pid: int) -> bool:
    """Return whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parts_of(source: str, event: Any) -> dict[str, Any]:
    """Return a run of a draft whose own component has this source."""
    parts = {"file": "orders.yaml", "text": STAYED, "files": {"pricing.py": source}, "pins": []}
    return {**parts, "flow": "incoming", "event": event, "config": {}, "signals": {}}


async def ran(runs: DraftRuns, given: dict[str, Any]) -> Any:
    """Run it, and return its end."""
    found = dict[str, str]()

    async def tell(kind: str, text: str) -> None:
        found[kind] = text

    await runs.run("run", given, "me", tell)
    return codec.decode(found["end"].encode())


# Returns this process, its parent, the mark of each, and whether it leads a group.
LOOKING = pricing(
    """
marks = [Path(f"/proc/{each}/environ").read_text() for each in ("self", os.getppid())]
return [str(os.getpid()), str(os.getppid()), *marks, str(os.getpgid(0) == os.getpid())]
""",
    "import os\nfrom pathlib import Path",
    "list[str]",
)


@pytest.mark.skipif(not can_fork(), reason="needs a fork server")
async def test_a_fork_server_is_one_thread_and_has_nothing_of_what_its_children_run() -> None:
    runs, secret = DraftRuns(), secrets.token_hex()
    first, second = [
        codec.decode((await ran(runs, parts_of(LOOKING, {"id": secret})))["result"].encode())
        for _ in "ab"
    ]
    assert first[1] == second[1]
    assert first[4] == second[4] == "True"
    marks = {each.rstrip("\0").partition("=")[2] for each in (first[2], second[2])}
    assert len(marks) == 2
    assert all(len(each) == len(NO_MARK) for each in marks)
    server = first[1]
    assert first[3] == second[3] == f"{MARK}={NO_MARK}\0"
    assert os.listdir(f"/proc/{server}/task") == [server]
    assert not has_in_memory(server, secret)
    assert has_in_memory(str(os.getpid()), secret)  # the control


def has_in_memory(pid: str, text: str) -> bool:
    """Return whether a text is anywhere in the memory that a process may write to."""
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, end = (int(each, 16) for each in place.split("-"))
                with suppress(OSError):
                    memory.seek(start)
                    if text.encode() in memory.read(end - start):
                        return True
    return False


@pytest.mark.skipif(not can_fork(), reason="needs a fork server")
async def test_a_fork_server_that_ended_is_replaced_and_takes_its_children_along() -> None:
    runs = DraftRuns()
    server = int(
        codec.decode((await ran(runs, parts_of(LOOKING, {"id": "a"})))["result"].encode())[1]
    )
    stuck = asyncio.create_task(ran(runs, parts_of(STUCK, {"id": "a"})))
    async with asyncio.timeout(DEADLINE):
        while not (pids := runs.fresh.pids):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        os.kill(server, signal.SIGKILL)
        assert "its process ended" in (await stuck)["reason"]
        while any(map(is_running, pids)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        end = await ran(runs, parts_of(LOOKING, {"id": "a"}))
    assert codec.decode(end["result"].encode())[1] != str(server)


async def test_where_no_process_can_be_forked_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("halflap.lowcode.code.pool.can_fork", lambda: False)
    runs = DraftRuns()
    end = await ran(runs, parts_of(LOOKING, {"id": "a"}))
    assert codec.decode(end["result"].encode())[1] == str(os.getpid())
    runs.fresh.close()


async def test_who_has_a_turn_gets_no_second_one_while_others_wait() -> None:
    queue, began, ends = TurnQueue(2), list[str](), dict[str, asyncio.Event]()

    async def turn(name: str) -> None:
        ends[name] = asyncio.Event()
        async with queue.of(name[0]):
            began.append(name)
            await ends[name].wait()

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        for name in ("a1", "a2", "a3", "b1", "a4"):
            tasks.create_task(turn(name))
        await asyncio.sleep(0)
        assert (began, queue.waiting) == (["a1", "a2"], 3)
        for name in ("a1", "a2", "a3", "b1", "a4"):
            ends[name].set()
            await asyncio.sleep(0)
    assert began == ["a1", "a2", "b1", "a3", "a4"]


async def test_a_slow_reader_keeps_no_turn(runs: DraftRuns) -> None:
    mine = DraftRuns(TurnQueue(1), runs.workers, seconds=DEADLINE)
    parts = {"file": "tried.yaml", "text": TEXT, "files": {}, "flow": "one"}
    given = {**parts, "config": {}, "signals": {}, "pins": []}
    told: list[str] = []

    async def never(*_: str) -> None:
        await asyncio.Event().wait()

    async def tell(kind: str, _: str) -> None:
        told.append(kind)

    slow = asyncio.create_task(mine.run("run", given, "slow", never))
    await asyncio.sleep(0)  # it has the only turn
    async with asyncio.timeout(DEADLINE):
        await mine.run("run", given, "other", tell)
        assert told[-1] == "end"
        assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


TESTED = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - id: made
        action: shop.create_order
        with: {id: =event.id, amount: =event.amount, secret: =event.token}
      - if: =made.amount > 100
        then:
          - log: much
      - stop: {answer: =made.id}
tests: # ours
  - name: an order is made
    flow: incoming
    event: {id: o1, amount: 3, token: t}
    stubs: {shop.create_order: {id: o1, amount: 3}}
    answer: o1
  - name: it is wrong
    flow: incoming
    event: {id: o1, amount: 3, token: t}
    stubs: {shop.create_order: {id: o1, amount: 3}}
    expect:
      - shop.create_order: {amount: 4}
  - name: it reads a file
    flow: incoming
    body: {file: ../../../etc/hostname}
"""


async def test_the_tests_of_a_draft_run_and_say_what_differs_where(world: Any) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": TESTED}))
    draft = await world.draft()
    path = f"/api/drafts/{draft['id']}/tests"
    found = await world.api("POST", path, {})
    assert found.status == 200, found.body
    first, second, third = found.json["items"]
    assert (first["passed"], first["message"]) == (True, "")
    assert (second["passed"], second["line"]) == (False, 28)
    assert "amount has to be 4, and is 3" in second["message"]
    assert "is not in the document's folder" in third["message"]
    assert 0 < found.json["coverage"] < 100
    assert any("then" in each["path"] for each in found.json["missed"])
    one = (await world.api("POST", path, {"names": ["an order is made"]})).json
    assert [each["at"] for each in one["items"]] == [0]
    stale = await world.api("POST", path, {"revision": 9})
    assert stale.json["kind"] == "StaleEdit"
    broken = await begun(world, "name: tried\nflows: {one: {trigger: webhook.none, steps: []}}\n")
    refused = await world.api("POST", f"/api/drafts/{broken['id']}/tests", {})
    assert (refused.status, refused.json["kind"]) == (422, "DefinitionError")


async def test_a_test_of_a_run_fails_where_a_call_is_made_no_more(world: Any) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": TESTED}))
    draft = await world.draft()
    path = f"/api/drafts/{draft['id']}/tests"
    test: dict[str, Any] = {
        "name": "of a run",
        "flow": "incoming",
        "event": {"id": "o1", "amount": 3, "token": "t"},
        "stubs": {"shop.create_order": {"id": "o1", "amount": 3}},
        "answer": "o1",
    }
    made = await world.api("POST", f"{path}/expect", {"test": test})
    assert made.status == 200, made.body
    expected = made.json["test"]
    assert expected["expect"] == [{"shop.create_order": {"id": "o1", "amount": 3}}]
    assert (expected["answer"], made.json["left_out"]) == ("o1", [])

    # The call stands under a condition that is false now: the plain test passes, this one does not.
    call = {
        "id": "made",
        "action": "shop.create_order",
        "with": {"id": "o1", "amount": 3, "secret": "t"},
    }
    under = [{"if": "=event.amount > 9", "then": [call]}, {"stop": {"answer": "=event.id"}}]
    await edit(
        world,
        draft,
        1,
        {"op": "set", "path": ["flows", "incoming", "steps"], "value": under},
        {"op": "set", "path": ["tests"], "value": [test, {**expected, "name": "expects"}]},
    )
    plain, whole = (await world.api("POST", path, {})).json["items"]
    assert (plain["passed"], plain["warnings"]) == (
        True,
        ["the stub of shop.create_order was never called"],
    )
    assert (whole["passed"], whole["warnings"]) == (False, [])
    assert "shop.create_order has to be called, and was not" in whole["message"]
    refused = await world.api("POST", f"{path}/expect", {"test": test})
    assert (refused.status, refused.json["kind"]) == (422, "DefinitionError")
    assert "shop.create_order is no longer called" in refused.json["detail"]


async def test_an_execution_becomes_a_test_that_passes_and_can_be_undone(world: Any) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": TESTED}))
    instance = await world.instance()
    sent = {"id": "o7", "amount": 7.5, "token": "a-secret-token"}
    execution = await world.send(instance, sent)
    await world.ended(execution)
    draft = await world.draft()
    path = f"/api/drafts/{draft['id']}/tests"
    wanted = {"execution": execution, "name": "as it was"}
    made = await world.api("POST", f"{path}/from", wanted, headers={"if-match": '"1"'})
    assert made.status == 200, made.body
    assert (made.json["name"], made.json["changes"]["revision"]) == ("as it was", 2)
    text = (await world.api.get(f"/api/drafts/{draft['id']}"))["text"]
    assert "tests: # ours" in text
    assert "as it was" in text
    assert "a-secret-token" not in text
    again = (await world.api("POST", path, {"names": ["as it was"]})).json
    assert [each["passed"] for each in again["items"]] == [True]
    undone = await world.api("POST", f"/api/drafts/{draft['id']}/undo", headers={"if-match": '"2"'})
    assert undone.status == 200
    assert (await world.api.get(f"/api/drafts/{draft['id']}"))["text"] == TESTED
    # A draft that goes another way says so, and stays as it was.
    op = {"op": "delete", "path": ["flows", "incoming", "steps", 0]}
    await world.api(
        "POST", f"/api/drafts/{draft['id']}/edits", {"ops": [op]}, headers={"if-match": '"3"'}
    )
    refused = await world.api("POST", f"{path}/from", wanted, headers={"if-match": '"4"'})
    assert (refused.status, refused.json["kind"]) == (422, "DefinitionError")
    assert "another" in refused.json["detail"] or "no longer" in refused.json["detail"]
    # A private customer's execution becomes no test.
    assert (await world.api("PATCH", "/api/customers/Initech", {"private": True})).status == 200
    tag = {"if-match": '"4"'}
    refused = await world.api("POST", f"{path}/from", wanted, headers=tag)
    assert (refused.status, refused.json["kind"]) == (422, "ConfigError")
    assert "private" in refused.json["detail"]
    key = await world.key("read", "publish", "payloads")
    refused = await world.api("POST", f"{path}/from", wanted, headers=tag, token=key)
    assert refused.status == 403


async def test_a_flow_has_samples_made_up_of_tests_and_of_executions(either: Any) -> None:
    await either.publish(either.packed("orders.yaml", {"orders.yaml": TESTED}))
    instance = await either.instance()
    execution = await either.send(instance, {"id": "o9", "amount": 1, "token": "t"})
    await either.ended(execution)
    draft = await either.draft()
    path = f"/api/drafts/{draft['id']}/samples"
    found = await either.api.get(path, flow="incoming")
    sources = [(each["source"], each["title"]) for each in found["items"]]
    assert sources[:3] == [
        ("made_up", "Made up"),
        ("test", "an order is made"),
        ("test", "it is wrong"),
    ]
    last = found["items"][-1]
    assert (last["source"], last["execution"]) == ("execution", execution)
    assert codec.decode(last["body"].encode())["id"] == "o9"
    key = await either.key("read", "publish")
    seen = await either.api.get(path, flow="incoming", token=key)
    assert [each["source"] for each in seen["items"]] == ["made_up", "test", "test"]
    assert seen["payload_hidden"]
    developer = await signed_in(either, "developer")
    assert (await developer("GET", path, flow="incoming")).json["items"][-1]["execution"]
    [look] = await either.api.items("/api/audit", on=execution)
    assert look["operation"] == "list_samples"


async def test_the_next_event_of_a_customer_is_copied_until_it_becomes_private(
    world: Any,
) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": TESTED}))
    instance = await world.instance()
    before = await world.send(instance, {"id": "before", "amount": 1, "token": "t"})
    draft = await world.draft()
    path = f"/api/drafts/{draft['id']}/listen"
    wanted = {"flow": "incoming", "customer": "Initech"}
    key = await world.key("read", "publish", "payloads")
    hears = asyncio.create_task(world.api("GET", path, token=key, **wanted))
    while not hears.done():
        await world.send(instance, {"id": "next", "amount": 1, "token": "t"})
        await asyncio.wait([hears], timeout=0.2)
    parts = (await hears).body.decode().strip().split("\n\n")
    assert [each.split("\n")[0] for each in parts] == ["event: waiting", "event: event"]
    found = codec.decode(parts[-1].split("\n")[1].removeprefix("data: ").encode())
    assert codec.decode(found["body"].encode())["id"] == "next"
    assert found["execution"] != before
    [look] = await world.api.items("/api/audit", on=found["execution"])
    assert (look["operation"], look["customer"]) == ("listen", instance["customer"])
    for flow, customer in (("incoming", "Nobody"), ("incoming", "cus_none"), ("none", "Initech")):
        assert (await world.api("GET", path, flow=flow, customer=customer)).status == 404
    support = await signed_in(world, "support")
    assert (await support("GET", path, **wanted)).status == 403
    # Who listens hears nothing of who becomes private.
    heard = await world.api.items("/api/audit", operation="listen")
    hears = asyncio.create_task(world.api("GET", path, token=key, **wanted))

    async def is_heard() -> bool:
        return len(await world.api.items("/api/audit", operation="listen")) > len(heard)

    await until(is_heard)
    assert (await world.api("PATCH", "/api/customers/Initech", {"private": True})).status == 200
    while not hears.done():
        await world.send(instance, {"id": "next", "amount": 1, "token": "t"})
        await asyncio.wait([hears], timeout=0.2)
    [look, *_] = await world.api.items("/api/audit", operation="listen")
    assert look["customer"] == instance["customer"]
    told = (await hears).body.decode()
    assert "event: end" in told
    assert "event: event" not in told


LINKED = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
    label: {default: x}
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: links, links: decision, choices: [approve, reject], text: ="Refund " & event.amount}
      - id: told
        call: tell
        event: {url: =links.approve}
      - {id: decision, wait: decision, timeout: 3 days, on_timeout: continue}
  tell:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - stop: {answer: =event.url}
"""
SPELT = '=$join($split(event.url, ""), "~")'


async def test_a_run_gives_no_live_link_to_who_lacks_secrets(world: Any) -> None:
    await world.publish(world.packed("orders.yaml", {"orders.yaml": LINKED}))
    instance = await world.instance()
    await world.state(await world.send(instance, {"amount": 12}), "waiting")
    [told] = await world.api.items("/api/executions", flow="tell")
    await world.ended(told["id"])
    draft = await world.draft()
    path = f"/api/drafts/{draft['id']}"
    key = await world.key("read", "publish", "payloads")
    for at, token in ((1, ...), (2, key)):  # what a test has is for all who read the draft
        made = {"execution": told["id"], "name": f"test {at}"}
        tag = {"if-match": f'"{at}"'}
        answer = await world.api("POST", f"{path}/tests/from", made, headers=tag, token=token)
        assert answer.status == 200, answer.body
        await world.api("DELETE", f"{path}/writers", flow="", token=token)
    text = (await world.api.get(path))["text"]
    assert text.count("/signals/***") == text.count("/signals/") > 1
    op = {"op": "set", "path": ["flows", "tell", "steps", 0, "stop", "answer"], "value": SPELT}
    edited = await world.api("POST", f"{path}/edits", {"ops": [op]}, headers={"if-match": '"3"'})
    assert edited.status == 200, edited.body
    wanted = {"flow": "tell", "execution": told["id"]}
    for token, hidden in ((key, True), (..., False)):
        ran = await world.api("POST", f"{path}/test", wanted, token=token)
        end = codec.decode(ran.body.decode().strip().rpartition("data: ")[2].encode())
        link = codec.decode(end["result"].encode()).replace("~", "")
        assert "/signals/" in link
        assert link.endswith("****") == hidden
