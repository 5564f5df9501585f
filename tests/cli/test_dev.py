import asyncio
import json
import re
import shlex
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from halflap.cli.client import Client
from halflap.cli.deploy import DeploymentLedger
from halflap.cli.dev import LOOPBACK, settings_of, work
from halflap.cli.new import new
from halflap.cli.project import Project
from halflap.cli.screen import Screen
from halflap.cli.test import run_tests
from halflap.engine.bundle import pack
from halflap.server.address import ServerAddress
from tests.built import build_console
from tests.commands import run
from tests.loopback import on_loopback
from tests.polling import DEADLINE
from tests.zygote import PYTHON

DEV = """
import sys
from halflap.cli.dev import dev
from halflap.errors import HalflapError
try:
    dev()
except HalflapError as error:
    sys.exit(error.message)
"""
STOCK = """
from halflap import Config, Connection, Context, Integration, schedule, webhook
from pydantic import SecretStr


class Shop(Connection):
    base_url: str = "https://shop.example"
    api_key: SecretStr


class Settings(Config):
    shop: Shop


integration = Integration("warehouse", config=Settings)


@integration.flow(trigger=webhook.request(dedupe="header:x-delivery-id"))
async def stock(ctx: Context[Settings], event: dict) -> None:
    ctx.log.info("ignored", event=event["event"])


@integration.flow(trigger=schedule.every(seconds=1))
async def tick(ctx: Context[Settings], event: object) -> None:
    pass
"""


class Dev:
    """A `halflap dev` in a process of its own, and what it has shown so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.shown = ""

    async def read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.shown += chunk.decode()

    async def shows(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait until a pattern is shown."""
        loop = asyncio.get_running_loop()
        end = loop.time() + DEADLINE
        while (found := re.search(pattern, self.shown[after:])) is None:
            assert self.process.returncode is None, self.shown
            assert loop.time() < end, f"{pattern!r} is not shown, but:\n{self.shown}"
            await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def dev_in(folder: Path) -> AsyncIterator[Dev]:
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-c", DEV, "--port", "0"),
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    dev = Dev(process)
    reading = asyncio.create_task(dev.read())
    try:
        yield dev
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            await process.wait()
        await reading


async def send(url: str, body: dict[str, object]) -> int:
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        return response.status


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(new, ["integration", "order-sync"], catch_exceptions=False)
    return tmp_path / "order-sync"


SIGNED = """
from halflap import Context, GitHubSignature, Integration, StandardWebhooks, webhook

integration = Integration("signed")


@integration.flow(trigger=webhook.request(signature=StandardWebhooks()))
async def standard(ctx: Context, event: dict) -> None:
    ctx.log.info("came", id=event["id"])


@integration.flow(trigger=webhook.request(signature=GitHubSignature()))
async def github(ctx: Context, event: dict) -> None:
    ctx.log.info("came", id=event.get("id"))
"""


async def test_a_signed_flow_is_sent_an_event_by_the_line_that_is_shown(tmp_path):
    (tmp_path / "signed.py").write_text(SIGNED)
    (tmp_path / "sample.json").write_text('{"id": "77"}')
    async with dev_in(tmp_path) as dev:
        line = (await dev.shows(r"halflap (events send standard .*sample\.json)\n"))[1]
        await dev.shows("Watching")
        for arguments in (line.split(), ["events", "send", "github", "--json"]):
            code, said, errors = await run(tmp_path, *arguments)
            assert (code, "200" in said) == (0, True), said + errors
        await dev.shows(r"standard +│ came  id=.?77")
        await dev.shows(r"github +✓ succeeded")
        _, _, said = await run(tmp_path, "events", "send", "nothing")
        assert "no URL for a flow 'nothing'; it has: github, standard" in said


def test_a_dev_server_has_the_projects_own_store_and_may_call_this_machine(project, monkeypatch):
    (project / ".env").write_text("HALFLAP_PORT=8499\nHALFLAP_EGRESS_ALLOW=10.0.0.1\n")
    settings = settings_of(Project.read(project), port=None)
    assert (settings.dir, settings.port) == (project / ".halflap", 8499)
    assert settings.egress_allow == ("10.0.0.1", *LOOPBACK)
    monkeypatch.setenv("HALFLAP_PORT", "8498")
    assert settings_of(Project.read(project)).port == 8498
    assert settings_of(Project.read(project), port=1).port == 1


async def link_signs_in_once(dev: Dev) -> None:
    """Check that the link that is shown signs in to the console, and not again."""
    found = await dev.shows(r"Console  (http://127\.0\.0\.1:\d+)/console/sign-in#link=(\S+)\n")
    url, link = found.groups()
    await dev.shows("another link: halflap console")
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/console/sign-in") as page:
            assert (page.status, page.content_type) == (200, "text/html")
        for status in (200, 401):
            async with http.post(f"{url}/api/session", json={"link": link}) as signed_in:
                assert signed_in.status == status


async def test_from_nothing_to_a_running_flow_that_follows_every_change(project):
    order = {"id": "1", "customer": "Ada", "total": 5}
    source = project / "order_sync.py"
    build_console()
    async with dev_in(project) as dev:
        url = (await dev.shows(r"curl -i (http://\S+/hooks/hk_\w+) .*-d @sample\.json\n"))[1]
        await dev.shows("Watching")
        await link_signs_in_once(dev)
        address = ServerAddress.read(project / ".halflap")
        assert address is not None
        assert (address.url, address.pid) == (url.partition("/hooks")[0], dev.process.pid)

        assert await send(url, order) == 200
        await dev.shows(r"order_received  ← POST \d+ B, key 1  exe_")
        await dev.shows(r"├ Compose +[\d.]+ ms  \"Hello, Ada!")
        await dev.shows(r"│ Hello, Ada!")
        await dev.shows(r"✓ succeeded in [\d.]+ ms  exe_")

        text = source.read_text()
        source.write_text(text.replace("is on its way", "is nearly there"))
        await dev.shows("version 2 is active")
        assert await send(url, order | {"id": "2"}) == 200
        await dev.shows("Hello, Ada! Your order of 5 is nearly there")

        at = len(dev.shown)
        source.write_text(text + "\ndef (:\n")
        await dev.shows(rf"order_sync\.py:{text.count(chr(10)) + 2}: This is not valid Python", at)
        await dev.shows("version before stays active", at)
        assert await send(url, order | {"id": "3"}) == 200
        await dev.shows("key 3(.|\n)*is nearly there(.|\n)*succeeded", at)

        at = len(dev.shown)
        clock = "    import time\n    time.time()\n    if order.total == 0"
        source.write_text(text.replace("    if order.total == 0", clock))
        await dev.shows(r"error: order_sync\.py:\d+:\d+: HF001: ", at)
        await dev.shows("version before stays active", at)

        at = len(dev.shown)
        source.write_text(
            text.replace('    return f"', '    raise ValueError("no ink")\n    return f"')
        )
        await dev.shows("version 3 is active", at)
        await send(url, order | {"id": "4"})
        await dev.shows(r"✗ failed in", at)
        line = text[: text.index('    return f"')].count("\n") + 1
        await dev.shows(rf"order_sync\.py:{line} in compose\n +raise ValueError\(\"no ink\"\)", at)

        async with dev_in(project) as second:
            await second.process.wait()
        assert second.process.returncode == 1
        assert f"process {dev.process.pid} has this store open" in second.shown
    assert dev.process.returncode == 0
    assert "No teardown ran" in dev.shown
    assert not (project / ".halflap" / "server.json").exists()

    source.write_text(text.replace('"order-sync"', '"orders"'))
    async with dev_in(project) as dev:
        await dev.shows("order-sync is still active .* halflap instances disable order-sync")
        await dev.shows("orders  version 1, active")


async def test_what_somebody_published_in_the_designer_stays_at_the_target(project, tmp_path):
    source, theirs = project / "order_sync.py", tmp_path / "theirs"
    shutil.copytree(project, theirs, ignore=shutil.ignore_patterns(".halflap"))
    (theirs / "order_sync.py").write_text(source.read_text().replace("on its way", "far away"))
    bundle, settings = pack(theirs, "order_sync:integration"), settings_of(Project.read(project))
    async with dev_in(project) as dev:
        await dev.shows("Watching")
        async with Client.connect(settings) as api, aiohttp.ClientSession() as http:

            async def targets() -> Any:
                found = await api.request("GET", "/api/integrations/order-sync")
                return found["targets"]["dev"], found["versions"][0]["hash"]

            draft = {"name": "Ada", "rights": ["read", "publish"]}
            key = (await api.request("POST", "/api/keys", draft))["key"]
            headers = {"authorization": f"Bearer {key}"}
            address = ServerAddress.read(project / ".halflap")
            assert address is not None
            query = {"target": "dev", "overwrite": "true", "note": "farther"}
            url = f"{address.url}/api/versions"
            async with http.post(
                url, data=bundle.to_bytes(), params=query, headers=headers
            ) as published:
                assert published.status == 201, await published.text()

            def save(before: str, after: str) -> int:
                source.write_text(source.read_text().replace(before, after))
                return len(dev.shown)

            save("on its way", "nearly there")
            await dev.shows("dev has version 2 of order-sync, which Ada published; it stays there")
            await dev.shows("version 3 is active")
            assert (await targets())[0] == bundle.hash
            # Said once; and once it is known here, the target follows the files again.
            at = save("nearly there", "at the door")
            await dev.shows("version 4 is active", at)
            assert "which Ada published" not in dev.shown[at:]
            DeploymentLedger(Project.read(project), settings).note("dev", "order-sync", bundle.hash)
            save("at the door", "here")
            await dev.shows("version 5 is active", at)
            now, newest = await targets()
            assert now == newest


async def test_what_the_config_lacks_is_told_and_taken_from_the_environment_file(tmp_path):
    (tmp_path / "warehouse.py").write_text(STOCK)
    async with dev_in(tmp_path) as dev:
        await dev.shows(r"warehouse  version 1  not active yet\n.*\.env:\n    SHOP_API_KEY=")
        await dev.shows("Watching")
        (tmp_path / ".env").write_text("SHOP_API_KEY=k\n")
        url = (await dev.shows(r"curl -i (http://\S+/hooks/hk_\w+)"))[1]

        async with aiohttp.ClientSession() as http:
            for _ in range(2):
                body = {"event": "OTHER"}
                async with http.post(url, json=body, headers={"x-delivery-id": "1"}) as response:
                    assert response.status == 200
            async with http.post(url, data=b"x", headers={"content-encoding": "gzip"}) as response:
                assert response.status == 415
        await dev.shows(r"│ ignored +event=OTHER")
        await dev.shows("duplicate of exe_")
        await dev.shows("refused with 415: ")
        await dev.shows(r"tick +← tick +exe_")
    assert dev.process.returncode == 0


async def test_a_file_that_is_saved_while_the_project_opens_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "warehouse.py").write_text(STOCK)
    noticed = asyncio.Event()

    class Slow:
        async def open(self) -> None:
            (tmp_path / ".env").write_text("SHOP_API_KEY=k\n")
            await asyncio.sleep(0.1)

        async def refresh(self, project: Project) -> None:
            noticed.set()

    workbench: Any = Slow()
    working = asyncio.create_task(work(tmp_path, Project.read(tmp_path), workbench, Screen()))
    async with asyncio.timeout(DEADLINE):
        await noticed.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_what_happened_becomes_a_test_that_fails_where_the_flow_changes(project):
    async with dev_in(project) as dev:
        url = (await dev.shows(r"curl -i (http://\S+/hooks/hk_\w+)"))[1]
        await send(url, {"id": "1", "customer": "Ada", "total": 1.50, "password": "hunter22"})
        await dev.shows("succeeded")
        _, said, _ = await run(project, "test", "record", "last", "--name", "first")
    assert "tests/fixtures/first.json" in said
    fixture = json.loads((project / "tests" / "fixtures" / "first.json").read_text())
    assert fixture["flow"] == "order_received"
    assert "hunter22" not in str(fixture)

    only = project / "tests" / "test_recorded.py"
    assert await asyncio.to_thread(run_tests, only, ("-q",)) == 0
    source = project / "order_sync.py"
    source.write_text(
        source.read_text().replace("order.customer, order.total", "order.id, order.total")
    )
    assert await asyncio.to_thread(run_tests, only, ("-q",)) == 1


@pytest.mark.parametrize("options", [[], ["--yaml"]], ids=["python", "yaml"])
async def test_ten_posts_of_one_order_at_once_start_the_new_flow_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(new, ["integration", "orders", *options], catch_exceptions=False)
    order: dict[str, object] = {"id": "1001", "customer": "Ada", "total": 99.9}
    async with dev_in(tmp_path / "orders") as dev:
        url = (await dev.shows(r"(http://127.0.0.1:\d+/hooks/hk_\w+)"))[1]
        assert await asyncio.gather(*(send(url, order) for _ in range(10))) == [200] * 10
        await dev.shows("succeeded in")
        assert await send(url, {**order, "id": "1002"}) == 200
        await dev.shows(r"← POST .*key 1002")
    assert len(re.findall(r"← POST .*key 1001", dev.shown)) == 1
    assert len(re.findall("Hello, Ada!", dev.shown)) >= 1


async def test_a_server_that_others_reach_tells_what_is_wrong_and_prints_no_link(
    project: Path,
) -> None:
    source, lines = project / "order_sync.py", project / ".env"
    before = "HALFLAP_HOST=0.0.0.0\nHALFLAP_BODY_BYTES=1000\n"
    lines.write_text(f"{before}GREETINGG=x\n")
    async with dev_in(project) as dev:
        # Lines of the environment that nothing reads, or that come too late.
        await dev.shows(r"GREETINGG is no field of any config; did you mean GREETING\?")
        await dev.shows("Watching")
        assert "link=" not in dev.shown
        lines.write_text(f"{before}HALFLAP_ROOM=7\n")
        await dev.shows("HALFLAP_ROOM takes effect at the next start")
        lines.write_text(f"{before}HALFLAP_ROOM=0\n")
        await dev.shows("HALFLAP_ROOM=0: it is a whole number from 1")
        # What is too large, and what blocks.
        url = (await dev.shows(r"curl -i (http://\S+/hooks/hk_\w+)"))[1]
        assert await send(url, {"id": "x" * 2_000}) == 413
        await dev.shows(r"refused with 413: .*HALFLAP_BODY_BYTES")
        at = len(dev.shown)
        text = source.read_text().replace("from decimal", "import time\nfrom decimal")
        source.write_text(
            text.replace("    if order.total == 0", "    time.sleep(1)\n    if order.total == 0")
        )
        await dev.shows(r"order_sync\.py:\d+:\d+: HF\d+: .*time\.sleep", at)


SOURCES = """
from typing import Any

from halflap import Config, Context, Integration, email, http, webhook


class Settings(Config):
    api: http.Http


integration = Integration("sources", config=Settings)


@integration.flow(trigger=http.poll(path="/items", interval=1))
async def polled(ctx: Context[Settings], event: Any) -> None:
    pass


@integration.flow(trigger=email.received)
async def mailed(ctx: Context[Settings], event: email.Mail) -> None:
    pass


@integration.flow(trigger=webhook.cloud_event())  # halflap: ignore[HF009]
async def happened(ctx: Context[Settings], event: Any) -> None:
    pass
"""


async def test_sources_are_shown_with_what_they_need_and_where_they_fail(tmp_path: Path) -> None:
    """A listener that fails, an address instead of a URL, and a CloudEvent instead of `{}`."""
    answers = iter([500, 500])

    async def items(request: web.Request) -> web.Response:
        return web.json_response([], status=next(answers, 200))

    app = web.Application()
    app.router.add_get("/items", items)
    (tmp_path / "sources.py").write_text(SOURCES)
    async with on_loopback(app) as url:
        env = f"API_BASE_URL={url}\nHALFLAP_MAIL_DOMAIN=in.example\n"
        (tmp_path / ".env").write_text(env)
        async with dev_in(tmp_path) as dev:
            await dev.shows(r"hk_\w+@in\.example\n")
            line = (
                await dev.shows(r"(curl -i \S+ -H 'content-type: application/cloudevents.*)\n")
            )[1]
            assert '"specversion":"1.0"' in line
            _, _, to, _, kind, _, body = shlex.split(line)
            async with (
                aiohttp.ClientSession() as http,
                http.post(
                    to, data=body.encode(), headers={"Content-Type": kind.partition(": ")[2]}
                ) as answer,
            ):
                assert answer.status == 200
            await dev.shows(r"polled: the listener is retrying\n.*answered 500")
            await dev.shows(r"polled: the listener works again")
