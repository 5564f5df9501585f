"""`halflap shadow`: a new version against what really happened; nothing is called or written."""

import asyncio
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations.replay import ReplayRequest
from halflap.model import Event, FlowKey, Start, new_id
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.protocol import Filter
from halflap.store.retention import DAY
from tests.cli.shell import change, ok, plain, run
from tests.polling import DEADLINE, until

SOURCE = '''
"""Orders."""

from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from halflap import Component, Config, Connection, Context, Ignore, Integration, step, webhook


class Shop(Connection):
    base_url: str = "URL"
    api_key: SecretStr


component = Component("shop", connection=Shop)


class Settings(Config):
    shop: Shop
    label: str


integration = Integration("orders", config=Settings)


@component.action(pure=True)
async def cents(shop: Shop, amount: float) -> int:
    """Count in cents."""
    return round(amount * 100)


@component.action
async def create(shop: Shop, id: str, amount: int, note: str, key: SecretStr) -> dict:
    """Create an order."""
    if amount > 9000:
        raise ValueError("too much")
    return {"id": f"made-{id}", "amount": amount}


@step
async def secret() -> SecretStr:
    """Ask for a key."""
    return SecretStr("nobody-may-see-this")  # halflap: ignore[HF010]


@step
async def audit(id: str) -> None:
    """Note an order."""


@integration.flow(trigger=webhook.request(key="body:/id"))
async def incoming(ctx: Context[Settings], event: Any) -> dict:
    """An order that arrived."""
    if event["id"] == "skip":
        return Ignore("not this one")
    seen = await ctx.state.get("seen", 0)
    await ctx.state.put("seen", seen + 1)
    amount = await cents(ctx.config.shop, event["amount"])
    key = await secret()
    note = f"{ctx.config.label} {ctx.uuid()} {ctx.now().isoformat()} {seen}"
    made = await create(ctx.config.shop, event["id"], amount, note, key)
    await audit(made["id"])
    return made
'''
EVENTS = [
    {"id": id, "amount": amount}
    for id, amount in (("a", 1.5), ("b", 2.0), ("skip", 0), ("c", 100.0))
]


class Ear:
    """A port on loopback that counts who connects to it."""

    def __init__(self) -> None:
        self.heard = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                found, _ = self._socket.accept()
            except OSError:
                return
            self.heard += 1
            found.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, ear: Ear) -> Path:
    """A project with an active instance, and executions of real events in its store."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "orders.py").write_text(SOURCE.replace("URL", ear.url))
    (folder / "pyproject.toml").write_text('[project]\nname = "orders"\n')
    (folder / "key").write_text("the-key")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("deploy")
        ok("customers", "add", "Initech")
        add = ("connections", "add", "orders.shop", "--customer", "Initech", "--no-test")
        ok(*add, "--secret", f"api_key=@{folder / 'key'}")
        ok("instances", "add", "Initech", "orders", "--config", "label=A", "--activate")
    asyncio.run(happened(folder / ".halflap"))
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ear: Ear) -> Path:
    """A copy of the template, in which nothing has been called yet."""
    folder = shutil.copytree(template, tmp_path / "orders")
    monkeypatch.chdir(folder)
    ear.heard = 0
    return folder


async def happened(directory: Path, bodies: Sequence[Any] = EVENTS) -> None:
    host = await Host.open(Settings(dir=directory))
    running = asyncio.create_task(host.engine.run(host.executor))
    [instance] = await host.store.catalogue.instances.list()
    key = FlowKey(
        instance.customer, instance.id, "orders", "incoming", instance.version, instance.revision
    )
    began = time.time_ns() // 1_000
    for number, each in enumerate(bodies):
        body = json.dumps(each).encode()
        headers = (("content-type", "application/json"), ("authorization", "Bearer abc"))
        # A millisecond apart, so that they sort as they came.
        execution = new_id("exe", now=began + number * 1_000)
        event = Event("POST", "", "", headers, body, 1)
        await host.engine.start([Start(execution, key, event, execution, key=each["id"])])
        assert await host.engine.outcome(execution, DEADLINE) is not None
    await host.stop(1)
    await running


def shadowed(*words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary, and what differs by the record's id, oldest first."""
    *found, last = plain("shadow", *words)
    return last["summary"], found[::-1]


def test_the_same_version_does_the_same_to_the_last_byte(project: Path, ear: Ear) -> None:
    summary, found = shadowed("--fail-on", "differences")
    assert (summary["executions"], summary["same"], summary["by_kind"]) == (4, 4, {})
    assert [each["differences"] for each in found] == [[]] * 4
    assert "4 executions: 4 the same, 0 differ" in ok("shadow")
    assert shadowed("--last", "2")[0]["executions"] == 2
    assert "no execution" in run("shadow", "--flow", "other").stderr
    assert ear.heard == 0


def test_other_inputs_are_shown_as_their_difference_and_it_goes_on(project: Path) -> None:
    change(project, ("round(amount * 100)", "round(amount * 100) + 1"))
    summary, found = shadowed()
    kinds = [[each["kind"] for each in one["differences"]] for one in found]
    # What failed before `audit` fails again: its answer is the one of then.
    assert kinds == [["result", "inputs"], ["result", "inputs"], [], ["result", "inputs"]]
    inputs = found[0]["differences"][1]
    assert inputs["step"] == "shop.create"
    assert (inputs["then"]["amount"], inputs["now"]["amount"]) == (150, 151)
    assert inputs["now"]["key"] == "•••"
    assert (summary["same"], summary["differs"], summary["stopped"]) == (1, 3, 0)
    said = run("shadow", "--fail-on", "differences")
    assert said.exit_code == 1
    assert "other inputs  shop.create: amount: 150 -> 151" in said.stdout
    assert run("shadow", "--fail-on", "errors").exit_code == 0


def test_a_new_effect_has_no_answer_and_the_run_stops_there(project: Path) -> None:
    change(project, ("    await audit(made", "    await audit('early')\n    await audit(made"))
    summary, found = shadowed()
    first = found[0]
    kinds = [each["kind"] for each in first["differences"]]
    assert kinds == ["inputs", "new"]
    assert first["differences"][1]["step"] == "audit#2"
    assert "audit#2 is new" in first["stopped"]
    assert summary["stopped"] == 2
    assert "it stops there: audit#2 is new: there is no answer to it" in ok("shadow")


def test_what_is_left_out_and_what_comes_out_is_told(project: Path) -> None:
    change(
        project, ('    await audit(made["id"])\n    return made', '    return {"id": made["id"]}')
    )
    change(project, ('Ignore("not this one")', 'Ignore("not that one")'))
    _, found = shadowed()
    told = [[(each["kind"], each["step"]) for each in one["differences"]] for one in found]
    assert told[0] == [("missing", "audit"), ("result", None)]
    assert found[0]["differences"][1]["now"] == {"id": "made-a"}
    assert told[2] == [("outcome", None)]
    assert told[3] == []


def test_an_error_of_the_new_version_fails_the_check(project: Path) -> None:
    change(project, ('return Ignore("not this one")', 'raise RuntimeError("never")'))
    summary, found = shadowed()
    [error] = found[2]["differences"]
    assert (error["kind"], error["then"]["state"], error["now"]["error"]) == (
        "error",
        "ignored",
        "RuntimeError",
    )
    assert summary["by_kind"] == {"error": 1}
    assert run("shadow", "--fail-on", "errors").exit_code == 1


def test_nothing_is_called_written_or_told(project: Path, ear: Ear) -> None:
    change(
        project,
        (
            "    key = await secret()",
            "    key = await secret()\n"
            "    await ctx.config.shop.get('/by-the-way')  # halflap: ignore[HF003]",
        ),
    )
    before = asyncio.run(stored(project / ".halflap"))
    summary, found = shadowed()
    assert summary["by_kind"]["error"] == 3  # one failed already, of something else
    assert "calls nothing" in found[0]["differences"][-1]["now"]["reason"]
    assert ear.heard == 0
    assert asyncio.run(stored(project / ".halflap")) == before
    # The control: the same version, run for real, calls.
    ok("deploy", "--overwrite")
    ok("instances", "upgrade", "Initech/orders")
    asyncio.run(replayed(project / ".halflap"))
    assert ear.heard > 0
    raw = run("shadow", "--json").stdout
    assert "nobody-may-see-this" not in raw
    assert "Bearer abc" not in raw


def test_what_is_removed_is_counted(project: Path) -> None:
    ok("instances", "retention", "Initech/orders", "--payload", "2")
    asyncio.run(happened(project / ".halflap", EVENTS[:1]))
    asyncio.run(aged(project / ".halflap", 5))
    summary, found = shadowed()
    assert (summary["executions"], len(found)) == (1, 1)  # a dead letter
    assert summary["removed"] == 4
    assert "4 left out, whose payload is not stored any more" in ok("shadow")


async def aged(directory: Path, days: int) -> None:
    host = await Host.open(Settings(dir=directory))
    await host.store.database.write(
        lambda c: c.execute("UPDATE executions SET ended_at = ended_at - ?", (days * DAY,)).rowcount
    )
    while await host.store.journal.prune(await host.store.catalogue.retentions.rules(), 100):
        pass
    await host.stop(0)


async def stored(directory: Path) -> Any:
    host = await Host.open(Settings(dir=directory))
    journal = host.store.journal
    found = await journal.executions(Filter(limit=1_000))
    [instance] = await host.store.catalogue.instances.list()
    state = await journal.list_state(f"flow:{instance.id}:incoming")
    steps = [await journal.steps(each.id) for each in found]
    await host.stop(0)
    return found, state, steps


async def replayed(directory: Path) -> None:
    host = await Host.open(Settings(dir=directory, egress_allow=("127.0.0.1",)))
    running = asyncio.create_task(host.engine.run(host.executor))
    [newest] = await host.store.journal.executions(Filter(key="a"))
    start = await host.operations.executions.replay(newest, ReplayRequest("start"))

    async def tried() -> bool:
        found = await host.store.journal.execution(start.execution)
        return found is not None and found.attempt > 0 and bool(found.waiting_for or found.ended_at)

    await until(tried)
    await host.stop(1)
    await running


def test_code_that_goes_out_past_its_connections_is_held_back(project: Path, ear: Ear) -> None:
    host, port = ear.url.removeprefix("http://").split(":")
    out = f'await asyncio.open_connection("{host}", {port})'
    change(project, ("    key = await secret()", f"    key = await secret()\n    {out}"))
    change(
        project,
        ("from datetime import timedelta", "import asyncio\nfrom datetime import timedelta"),
    )
    _, found = shadowed()
    error = found[0]["differences"][-1]
    assert (error["kind"], error["now"]["error"]) == ("error", "EgressRefused")
    assert ear.heard == 0


def test_the_page_shows_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "shadow.md").read_text("utf-8")
    block = {
        kind: page.partition(f"```{kind}\n")[2].partition("```")[0]
        for kind in ("python", "diff", "console")
    }
    folder = tmp_path / "orders"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "orders"\n')
    (folder / "orders.py").write_text(block["python"])
    ok("deploy")
    ok("customers", "add", "Initech")
    ok("instances", "add", "Initech", "orders", "--activate")
    bodies = [
        {"id": "o1", "total": 20, "mail": "bob@example.com"},
        {"id": "o2", "total": 250, "mail": "ann@example.com"},
    ]
    asyncio.run(happened(folder / ".halflap", bodies))
    lines = block["diff"].splitlines()
    old = "".join(f"{each[1:]}\n" for each in lines if each.startswith("-"))
    new = "".join(f"{each[1:]}\n" for each in lines if each.startswith("+"))
    change(folder, (old, new))
    command, _, shown = block["console"].partition("\n")
    said = run(*command.split()[2:])
    assert said.exit_code == 1
    masked = [re.sub(r"exe_\w{26}", "exe", text) for text in (said.stdout, shown)]
    assert masked[0] == masked[1]


def test_a_published_version_is_tried_and_a_config_that_lacks_something_says_so(
    project: Path,
) -> None:
    change(project, ("    label: str", "    label: str\n    site: str"))
    ok("deploy")
    summary, found = shadowed("--version", "1", "--integration", "orders")
    assert summary["same"] == 4
    summary, found = shadowed("--version", "2", "--integration", "orders")
    assert summary["by_kind"] == {"error": 4}
    assert "site" in found[0]["stopped"]
    answered = ("--version", "2", "--integration", "orders", "--config", "site=Graz")
    assert shadowed(*answered)[0]["same"] == 4
