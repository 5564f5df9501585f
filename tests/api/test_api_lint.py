"""Lint through the API: a text in, findings out, whatever the text; nothing is kept, run or fetched."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from halflap.api.lint import lint_document as lint_document_of
from halflap.api.operations.linting import Linting
from halflap.api.operations.turns import TurnQueue
from halflap.api.principal import ROOT
from halflap.lowcode.code.pool import Pool
from halflap.lowcode.lint import read_shapes
from halflap.lowcode.lint.worker import lint_document
from tests.api.conftest import ORDERS, Answer
from tests.polling import DEADLINE

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = """\
name: tried
flows:
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
"""
SHOP = """\
name: tried
config:
  Connect:
    shop: {connection: shop}
flows:
  main:
    trigger: shop.order_changed
    steps:
      - action: shop.find_order
        with: {id: =event.id}
      - action: shop.find_ordr
        with: {id: =event.id}
"""
HOSTILE = {
    "nothing": b"",
    "not UTF-8": "name: é".encode("latin-1"),
    "UTF-16": "name: tried".encode("utf-16"),
    "zero bytes": b"\x00" * 1_000,
    "half a pair": (HEAD + '      - log: "\\ud800"\n').encode(),
    "deep": (HEAD + "      - log: " + "[" * 5_000).encode(),
    "deep brackets": (HEAD + "      - log: =" + "(" * 5_000).encode(),
    "too large a document": b"a" * (1024 * 1024 + 1),
    "a circle": b"a: &a [*a]\n",
    "aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghij"))
    ).encode(),
    "JSON": b'{"name": 7}',
}  # fmt: skip
REACHING = """\
name: reaching
config:
  Options:
    file: {source: os.listdir}
flows:
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
      - action: subprocess.run
        with: {args: touch /tmp/x}
      - action: antigravity.fly
      - action: http.request
        with: {method: GET, url: "http://127.0.0.1:9/"}
      - code: |
          import socket
          return open("/etc/passwd").read()
      - log: =$eval("1") & $http("http://127.0.0.1:9/")
"""
"""It names modules, files and addresses in every place that has names."""


async def lint(world: Any, text: str | bytes, **query: Any) -> Answer:
    body = text.encode() if isinstance(text, str) else text
    return await world.api("POST", "/api/lint", body=body, **query)


async def test_what_is_wrong_is_told_with_its_place_and_what_to_write_instead(world: Any) -> None:
    answer = await lint(world, HEAD + "      - log: =evnt.x\n")

    assert answer.status == 200
    [told] = answer.json
    assert told.keys() == {"code", "severity", "line", "column", "message", "instead"}
    assert (told["code"], told["severity"], told["line"], told["column"]) == (
        "HF105",
        "error",
        7,
        15,
    )
    assert "did you mean event?" in told["message"]
    assert told["instead"].startswith("a name in scope")


async def test_a_version_lends_its_own_components(world: Any) -> None:
    await world.publish()

    alone = await lint(world, SHOP)
    beside = await lint(world, SHOP, integration="orders", version="1")

    assert {each["code"] for each in alone.json} == {"HF102"}
    assert [each["line"] for each in alone.json] == [4, 7, 9, 11]
    assert [each["line"] for each in beside.json] == [11]
    assert "did you mean find_order?" in beside.json[0]["message"]


async def test_what_a_versions_components_declare_is_stored_as_it_is_published(world: Any) -> None:
    hash = await world.publish()
    versions = world.host.store.catalogue.versions
    stored = await versions.components(hash)
    shop = read_shapes(stored)["shop"]
    assert [each.name for each in shop.actions["find_order"].inputs or ()] == ["id"]

    other = world.packed("orders:integration", {"orders.py": ORDERS + "\n#"})
    await versions.publish(
        "orders", other.hash, other.to_bytes()
    )  # as 0.1.0 did: nothing is stored
    assert await versions.components(other.hash) is None
    beside = await lint(world, SHOP, integration="orders", version="2")
    assert [each["line"] for each in beside.json] == [11]


async def test_a_sound_document_has_no_findings_and_is_not_kept(world: Any) -> None:
    sound = HEAD + "      - log: =event.x\n"
    answer = await lint(world, sound)
    assert (answer.status, answer.json) == (200, [])
    assert await world.api.items("/api/integrations") == []
    # A version that lends its components has to be there, and a document has a size.
    missing = await lint(world, SHOP, integration="orders")
    assert (missing.status, missing.kind) == (404, "NotFound")
    large = await lint(world, b"a" * (2 * 1024 * 1024 + 1))
    assert (large.status, large.kind) == (413, "TooLarge")
    customers = await world.token(await world.customer())
    refused = await world.api("POST", "/api/lint", body=b"", token=customers)
    assert (refused.status, refused.kind) == (403, "Forbidden")


async def test_a_hostile_document_has_findings_in_time(world: Any) -> None:
    for name, text in HOSTILE.items():
        before = time.process_time()

        answer = await lint(world, text)

        assert time.process_time() - before < 2, name
        assert answer.status == 200, name
        assert answer.json, name
        assert all(each["line"] >= 1 and each["column"] >= 1 for each in answer.json), name


DEEDS = ("import", "open", "exec", "os.", "socket.", "subprocess.", "shutil.", "ctypes.")
OUR_ANNOTATIONS = {"Any", "Context"}
"""Of the functions that documents become: Python reads annotations by evaluating them."""
_watching: list[list[str]] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if not _watching or not event.startswith(DEEDS):
        return
    names = getattr(args[0], "co_names", None)  # of code that is run
    if event != "exec" or names is None or not {*names} <= OUR_ANNOTATIONS:
        _watching[0].append(f"{event} {args[:1]}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Everything that this process imports, opens, runs or connects to, meanwhile."""
    if not hasattr(sys, "_halflap_tests_hear"):
        sys.addaudithook(_hear)  # for good: Python takes none away
        sys._halflap_tests_hear = True  # type: ignore[attr-defined]
    heard: list[str] = []
    _watching.append(heard)
    try:
        yield heard
    finally:
        _watching.remove(heard)


def test_whatever_a_document_names_nothing_is_imported_run_or_fetched() -> None:
    """In the process that lints: what its worker does with a document."""
    texts = [REACHING, (EXAMPLES / "warehouse.yaml").read_text(), HEAD + "      - log: =event.x\n"]
    for text in texts:
        lint_document(text, "")  # what is loaded once, for all documents, is loaded now

    with watched() as heard:
        found = [lint_document(text, "") for text in texts]

    told = " ".join(each.message for each in found[0])
    for name in ("os", "subprocess", "antigravity", "socket"):
        assert name in told
        assert name in sys.modules or name == "antigravity"
    assert "antigravity" not in sys.modules
    assert heard == []


async def test_the_server_itself_imports_runs_and_fetches_nothing(world: Any) -> None:
    await lint(world, REACHING)  # its worker is started

    with watched() as heard:
        answer = await lint(world, REACHING)

    assert "antigravity" in " ".join(each["message"] for each in answer.json)
    assert heard == []


async def at_work(linting: Linting, count: int = 1) -> None:
    """Wait until so many documents are being linted."""
    async with asyncio.timeout(DEADLINE):
        while len(linting.workers._busy) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def slow() -> Linting:
    """A lint whose worker answers nothing to a document that says `slow`, and one finding to others."""
    command = (sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{WORKER}")
    return Linting(TurnQueue(2), Pool(command=command), seconds=1_000)


WORKER = """
import socket, time
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack
with socket.socket(fileno=0) as connection:
    connection.sendall(pack("ready"))
    while head := connection.recv(4, socket.MSG_WAITALL):
        message = unpack(connection.recv(HEADER.unpack(head)[0], socket.MSG_WAITALL))
        if message[0] == "lint" and message[1] == "lost":
            break
        if message[0] == "lint" and message[1] != "slow":
            row = ["", 1, 1, "HF100", message[1], "error"]
            connection.sendall(pack("found", [row]))
"""


async def test_who_leaves_ends_the_work_and_frees_its_place() -> None:
    linting = slow()
    tasks = [asyncio.create_task(linting.lint(b"slow", "", caller=at)) for at in range(2)]
    await at_work(linting, 2)
    pids = linting.workers.pids
    waiting = asyncio.create_task(linting.lint(b"quick", "", caller="other"))
    tasks[0].cancel()
    assert [each.message for each in await waiting] == ["quick"]
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not pids & linting.workers.pids
    linting.workers.close()


async def test_a_client_that_disconnects_ends_the_work() -> None:
    linting = slow()
    parts = [{"type": "http.request", "body": b"slow", "more_body": False}]
    left = asyncio.Event()

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "headers": [], "client": None, "path": "/api/lint"}
    request = Request(scope, receive)
    operations = SimpleNamespace(linting=linting, principal=ROOT, catalogue=None)
    work = asyncio.create_task(lint_document_of(request, cast(Any, operations)))
    await at_work(linting)
    left.set()
    assert await work == []
    assert [each.message for each in await linting.lint(b"quick", "")] == ["quick"]
    linting.workers.close()


async def test_a_document_that_takes_too_long_or_too_much_is_one_finding() -> None:
    linting = slow()
    linting.seconds = 0.2
    (found,) = await linting.lint(b"slow", "a.yaml")
    assert (found.code, found.file, found.severity) == ("HF100", "a.yaml", "error")
    assert "took longer than 0.2 s; split the integration" in found.message
    linting.seconds = 1_000
    (found,) = await linting.lint(b"lost", "a.yaml")
    assert "perhaps out of memory" in found.message
    linting.workers.close()


async def test_callers_have_their_turns_in_rotation() -> None:
    turns, order = TurnQueue(1), list[str]()

    async def turn(caller: str, name: str) -> None:
        async with turns.of(caller):
            order.append(name)
            await asyncio.sleep(0)

    async with turns.of("first"):
        tasks = [asyncio.create_task(turn("many", f"many {at}")) for at in range(5)]
        tasks += [asyncio.create_task(turn(name, name)) for name in ("one", "two")]
        await asyncio.sleep(0)
        leaving = asyncio.create_task(turn("leaves", "leaves"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["many 0", "one", "two", "many 1", "many 2", "many 3", "many 4"]
    assert leaving.cancelled()
    assert (turns._free, turns._waiting) == (1, {})


async def test_a_turn_that_comes_as_its_caller_leaves_is_passed_on() -> None:
    turns, order = TurnQueue(1), list[str]()

    async def turn(name: str) -> None:
        async with turns.of(name):
            order.append(name)

    async with turns.of("first"):
        leaving, stays = (asyncio.create_task(turn(name)) for name in ("leaves", "stays"))
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, stays, return_exceptions=True)
    assert order == ["stays"]
    assert (turns._free, turns._waiting) == (1, {})


async def test_control_the_watch_hears_an_import_a_file_and_a_process(tmp_path: Path) -> None:
    with watched() as heard:
        (tmp_path / "x").write_text("x")
        exec("print")
        with pytest.raises(ImportError):
            __import__("this_is_not_there")

    assert {each.partition(" ")[0] for each in heard} >= {"open", "exec", "import"}
