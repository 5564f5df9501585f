import asyncio
import base64
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Route

from halflap.cli.sandbox import run, sandbox
from halflap.errors import ConfigError
from tests.cases import for_each
from tests.loopback import free_port
from tests.polling import DEADLINE
from tests.zygote import PYTHON

RUN = "from halflap.cli.sandbox import sandbox; sandbox()"


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[dict[str, str]]:
    """The lines for `.env` that a sandbox printed; it runs until the block's end, and ends by Ctrl+C."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-c", RUN, *arguments, "--port", "0"),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(DEADLINE):
        while "Ctrl-C" not in shown:
            line = await process.stdout.readline()
            assert line, f"it ended: {shown}"
            shown += line.decode()
    try:
        yield dict(re.findall(r"  ([A-Z_]+)=(\S+)", shown))
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), DEADLINE) == 0


async def test_acme_runs_with_what_it_printed_until_ctrl_c():
    async with started("acme", "--workspace", "bolts") as settings:
        headers = {"Authorization": f"Bearer {settings['ACME_API_KEY']}"}
        url = f"{settings['ACME_BASE_URL']}/me"
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            assert (await response.json())["name"] == "bolts"


@for_each(
    ("app", "path", "user", "password"),
    [
        ("stripe", "STRIPE_BASE_URL/v1/customers", "STRIPE_AUTH_KEY", ""),
        (
            "twilio",
            "TWILIO_LOOKUPS_URL/v2/PhoneNumbers/+1",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
        ),
        ("jira", "JIRA_BASE_URL/rest/api/3/myself", "JIRA_EMAIL", "JIRA_API_TOKEN"),
    ],
    ids=["stripe", "twilio", "jira"],
)
async def test_a_sandbox_of_a_document_takes_what_it_printed(app, path, user, password):
    async with started(app) as settings:
        variable, _, rest = path.partition("/")
        both = f"{settings[user]}:{settings.get(password, '')}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
        url = f"{settings[variable]}/{rest}"
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()


async def test_a_github_takes_the_token_that_it_printed():
    async with started("github", "--account", "ada") as settings:
        headers = {"Authorization": f"Bearer {settings['GITHUB_AUTH_KEY']}"}
        url = f"{settings['GITHUB_BASE_URL']}/repos/{settings['GITHUB_REPOSITORY']}"
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            assert (await response.json())["full_name"] == "ada/hello"


async def test_a_salesforce_lets_in_whom_it_printed_and_has_its_events_there():
    port = free_port()
    given = ("--org", "globex", "--org", "initech", "--pubsub-port", str(port))
    async with started("salesforce", *given) as settings, aiohttp.ClientSession() as http:
        address = settings["SALESFORCE_LOGIN_URL"]
        form = {
            "grant_type": settings["SALESFORCE_AUTH_KIND"],
            "client_id": settings["SALESFORCE_AUTH_CLIENT_ID"],
            "client_secret": settings["SALESFORCE_AUTH_CLIENT_SECRET"],
        }
        async with http.post(f"{address}/services/oauth2/token", data=form) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(f"{address}/services/oauth2/userinfo", headers=headers) as response:
            assert (await response.json())["preferred_username"] == "admin@globex.example"
        async with http.get(f"{address}/sandbox/orgs") as response:
            assert [each["name"] for each in await response.json()] == ["globex", "initech"]
        events = f"http://127.0.0.1:{port}"
        assert settings["SALESFORCE_PUBSUB_URL"] == events
        async with http.get(f"{address}/sandbox/pubsub") as response:
            assert (await response.json())["url"] == events
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


def test_ctrl_c_ends_a_sandbox_well_before_it_said_where_it_is(capsys):
    async def account(_):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    run("acme", 0, Starlette(routes=[Route("/sandbox/account", account)]))
    assert capsys.readouterr().out == "stopped; what was in it is gone\n"


@for_each("names", [["No Name"], ["a", "a"]])
def test_workspaces_have_names_of_their_own(names):
    arguments = [each for name in names for each in ("--workspace", name)]
    with pytest.raises(ConfigError):
        CliRunner().invoke(sandbox, ["acme", *arguments], catch_exceptions=False)


def test_a_certificate_has_to_fit(tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for arguments in (["--private-key", str(wrong)], ["--port", "0", "--certificate", str(wrong)]):
        with pytest.raises(ConfigError, match="certificate"):
            CliRunner().invoke(sandbox, ["salesforce", *arguments], catch_exceptions=False)
