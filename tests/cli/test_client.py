import asyncio
import json
import os
import signal

import anyio.to_thread
import pytest
from aiohttp import web

import halflap
from halflap.api.view import ChoiceView, CustomerView, VersionName
from halflap.cli import main
from halflap.cli.client import Client, HttpLine, explaining, path, read
from halflap.cli.errors import told
from halflap.cli.offline import Offline
from halflap.cli.output import Output
from halflap.errors import ConfigError, HalflapError, NotFound, StoreLocked
from halflap.sdk import codec
from halflap.server.address import ServerAddress
from halflap.server.settings import Remote, Settings
from tests.cases import for_each
from tests.loopback import on_loopback
from tests.polling import DEADLINE


async def test_a_server_is_reached_here_and_by_its_name_until_it_is_killed(tmp_path, served):
    settings = Settings(dir=tmp_path)
    async with served(tmp_path, "--no-supervisor") as (process, said):
        address = ServerAddress.read(tmp_path)
        assert address is not None
        assert (address.url, address.pid) == (said["url"], process.pid)
        assert (tmp_path / "server.json").stat().st_mode & 0o077 == 0
        async with Client.connect(settings) as api:
            assert (api.where, api.runs) == (said["url"], True)
            # A stream begins with nothing, so that nothing is missed.
            async for change in api.stream("stream", topics="executions"):
                assert change is None
                break
        token = (tmp_path / "token").read_text()
        elsewhere = Settings(server="staging", remotes={"staging": Remote(said["url"], token)})
        async with Client.connect(elsewhere) as api:
            made = await api.request("POST", "/api/customers", {"name": "Ä & Co. 50%"})
            found = await api.request("GET", path("customers", made["name"]))
            assert found.items() >= made.items()
            with pytest.raises(NotFound):
                await api.request("GET", path("customers", "nobody"))
        async with Client.connect(Settings(server=said["url"], token="wrong")) as api:
            with pytest.raises(ConfigError, match="refused the token"):
                await api.request("GET", "/api/customers")
        process.kill()
        await process.wait()
    # That is noticed, and its store opened.
    assert (tmp_path / "server.json").exists()
    async with Client.connect(settings) as api:
        assert (api.where, api.runs) == (str(tmp_path), False)
        assert [each.name for each in await api.list(CustomerView, "customers")] == ["Ä & Co. 50%"]


async def test_a_supervised_server_is_started_again_and_found(tmp_path, served):
    settings = Settings(dir=tmp_path)
    async with served(tmp_path) as (process, said):
        assert said["pid"] != process.pid
        os.kill(said["pid"], signal.SIGKILL)
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            again = json.loads(await process.stdout.readline())
        assert again["pid"] != said["pid"]
        async with Client.connect(settings) as api:
            assert api.where == again["url"]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0
    assert not (tmp_path / "server.json").exists()


async def test_the_port_of_a_dead_server_is_not_given_the_token(tmp_path):
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        assert "Authorization" not in request.headers
        return web.json_response({"version": "0.1.0", "proof": "guessed"})

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    async with on_loopback(app) as url:
        ServerAddress(url, os.getpid(), str(tmp_path)).write(tmp_path)
        async with Client.connect(Settings(dir=tmp_path), make=True) as api:
            assert not api.runs
            await api.request("GET", "/api/customers")
    assert asked == ["/api/health"]


async def test_no_store_is_made_by_looking(tmp_path):
    with pytest.raises(NotFound, match="halflap dev"):
        async with Client.connect(Settings(dir=tmp_path / "new")):
            pass
    assert not (tmp_path / "new").exists()


async def test_a_locked_store_whose_server_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("halflap.cli.client.LOCKED_FOR", 0.0)
    holder = await Offline.open(Settings(dir=tmp_path))
    try:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()} has this store open"):
            async with Client.connect(Settings(dir=tmp_path)):
                pass
    finally:
        await holder.close()


async def test_a_command_waits_for_another_that_has_the_store(tmp_path):
    holder = await Offline.open(Settings(dir=tmp_path))

    async def reach() -> bool:
        async with Client.connect(Settings(dir=tmp_path)) as api:
            return api.runs

    reaching = asyncio.create_task(reach())
    await asyncio.sleep(0)
    await holder.close()
    assert await reaching is False


@for_each(
    ("settings", "said"),
    [
        (Settings(server="staging"), "HALFLAP_SERVER_STAGING"),
        (Settings(server="ftp://there", token="t"), "no http"),
        (Settings(server="http://127.0.0.1:1"), "token is needed"),
        (Settings(server="http://127.0.0.1:1", token="t"), "cannot be reached"),
    ],
)
async def test_a_server_that_cannot_be_reached_says_what_to_mend(settings, said):
    with pytest.raises(HalflapError, match=said):
        async with Client.connect(settings):
            pass


async def test_another_server_is_told_from_ours():
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>hello")

    app = web.Application()
    app.router.add_get("/api/health", page)
    async with on_loopback(app) as url:
        line = HttpLine.opened(url, "t")
        try:
            with pytest.raises(HalflapError, match="no Halflap server"):
                await line.check()
        finally:
            await line.close()


@pytest.mark.parametrize("version", ["0.1.0", "9.0.0", halflap.__version__])
async def test_a_command_and_a_server_of_two_versions_are_both_named(version, monkeypatch, capsys):
    """An answer without what a command reads, and a refusal, each at the end of the command."""

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": version})

    async def customers(request: web.Request) -> web.Response:
        return web.json_response([{"id": "cus_1"}])  # a list of 0.1.0

    async def fails(request: web.Request) -> web.Response:
        detail = {"kind": "NotFound", "detail": "there is no such path"}
        return web.json_response(detail, status=404, content_type="application/problem+json")

    app = web.Application()
    app.router.add_get("/api/health", health)
    app.router.add_get("/api/customers", customers)
    app.router.add_get("/{any:.*}", fails)
    async with on_loopback(app) as url:
        monkeypatch.setenv("HALFLAP_SERVER", url)
        monkeypatch.setenv("HALFLAP_TOKEN", "t")
        for words in (("customers", "list"), ("executions", "list")):
            code = await anyio.to_thread.run_sync(
                told, lambda words=words: main(words, standalone_mode=False)
            )
            said = capsys.readouterr().err
            assert code == 1
            both = f"is Halflap {version}, this command {halflap.__version__}: use the command"
            assert (both in said) is (version != halflap.__version__), said
            assert "Traceback" not in said


def test_an_error_of_a_command_is_its_own_where_the_server_has_its_version() -> None:
    line = HttpLine("http://there", "t", None)
    with pytest.raises(KeyError), explaining(line):
        raise KeyError("recover")
    line.version = "9.0.0"
    with (
        pytest.raises(HalflapError, match=r"is Halflap 9\.0\.0, .*KeyError: 'recover'"),
        explaining(line),
    ):
        raise KeyError("recover")


async def test_nothing_can_be_followed_where_nothing_runs(tmp_path):
    async with Client.connect(Settings(dir=tmp_path), make=True) as api:
        with pytest.raises(HalflapError, match="no server runs"):
            async for _ in api.stream("stream", topics="executions"):
                pass


def test_servers_with_a_name_are_read_from_the_environment():
    settings = Settings.read(
        {
            "HALFLAP_SERVER": "https://main",
            "HALFLAP_SERVER_STAGING": "https://staging",
            "HALFLAP_TOKEN_STAGING": "secret",
        }
    )
    assert settings.server == "https://main"
    assert settings.remotes == {"staging": Remote("https://staging", "secret")}
    with pytest.raises(ConfigError, match="HALFLAP_REMOTES is no setting"):
        Settings.read({"HALFLAP_REMOTES": "x"})


def test_an_answer_of_another_version_is_told_with_its_place() -> None:
    assert read(list[VersionName], [{"hash": "a", "number": 1}])[0].number == 1
    with pytest.raises(HalflapError, match=r"not what this command expects \(0\.number: Field req"):
        read(list[VersionName], [{"hash": "a"}])


def test_an_answer_is_printed_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    came = b'{"value":0.10,"label":"a tenth","field":null}'
    Output(json=True).emit(read(ChoiceView, codec.decode(came)))
    assert capsys.readouterr().out.encode() == came + b"\n"
