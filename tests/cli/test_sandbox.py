import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from halflap.cli.sandbox import sandbox
from halflap.errors import ConfigError

RUN = "from halflap.cli.sandbox import sandbox; sandbox()"


async def test_acme_runs_with_what_it_printed_until_ctrl_c():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, "acme", "--port", "0", "--workspace", "bolts"),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(15):
        while "Ctrl-C" not in shown:
            shown += (await process.stdout.readline()).decode()
    settings = dict(re.findall(r"  (ACME_\w+)=(\S+)", shown))
    headers = {"Authorization": f"Bearer {settings['ACME_API_KEY']}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{settings['ACME_BASE_URL']}/me", headers=headers) as response,
    ):
        assert (await response.json())["name"] == "bolts"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("names", [["No Name"], ["a", "a"]])
def test_workspaces_have_names_of_their_own(names):
    arguments = [each for name in names for each in ("--workspace", name)]
    with pytest.raises(ConfigError):
        CliRunner().invoke(sandbox, ["acme", *arguments], catch_exceptions=False)
