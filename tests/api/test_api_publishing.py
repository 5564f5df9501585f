"""Publishing runs an author's code in no process but one with limits, which ends: the server goes on."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from halflap.api.operations.draft_runs import MORE, DraftRuns
from halflap.engine.bundle import Bundle, pack
from tests.api.conftest import signed_in
from tests.cases import for_each
from tests.polling import LoopTime, until
from tests.zygote import PYTHON

HELLO = '''
"""Says hello."""

from typing import Any

from halflap import Context, Integration, webhook

integration = Integration("hello")


@integration.flow(trigger=webhook.request())  # halflap: ignore[HF014]
async def incoming(ctx: Context[Any], event: Any) -> None:
    """Anything."""
'''
ENDLESS = "\nopen({mark!r}, 'w')\nwhile True:\n    number = 0\n"
DEAF = """
open({mark!r}, 'w')
while True:
    try:
        while True: pass
    except Exception:
        pass
"""
REFUSED = {
    "memory": ("x = bytearray(2 << 30)\n", "MemoryError", "hello.py:14"),
    "an exit": ("import sys; sys.exit(3)\n", "SystemExit", "hello.py:14"),
    "its end": ("import os; os._exit(3)\n", "it exits, crashes, or needs more", "hello:integration"),
    "a crash": ("import ctypes; ctypes.string_at(0)\n", "crashes", "hello:integration"),
    "a call": ("import os; os.system('true')\n", "calls nothing", "hello.py:14"),
    "a process": ("import subprocess; subprocess.run(['true'])\n", "calls nothing", "hello.py:14"),
}  # fmt: skip


def hello(folder: Path, more: str = "") -> Bundle:
    folder.mkdir()
    (folder / "hello.py").write_text(HELLO + more)
    return pack(folder, "hello:integration")


async def refused(world: Any, bundle: Bundle) -> Any:
    answer = await world.api("POST", "/api/versions", body=bundle.to_bytes())
    assert (answer.status, answer.kind) == (422, "DefinitionError"), answer.body
    return answer.json


async def test_a_version_that_loops_is_refused_while_all_else_goes_on(
    runs: DraftRuns, world: Any, tmp_path: Path, leaping: LoopTime
) -> None:
    await world.publish()
    instance = await world.instance()
    other = await signed_in(world, "developer")
    looping = list[asyncio.Task[Any]]()
    for name, text in (("endless", ENDLESS), ("deaf", DEAF)):
        bundle = hello(tmp_path / name, text.format(mark=str(tmp_path / f"{name} loads")))
        looping.append(asyncio.create_task(refused(world, bundle)))
        await until((tmp_path / f"{name} loads").exists)
    await world.publish(hello(tmp_path / "hello"))
    query = {"target": "", "note": "another's"}
    mine = await other("POST", "/api/versions", body=world.bundle(label="1").to_bytes(), **query)
    assert mine.status == 201, mine.body
    await world.send(instance, {"id": "a", "amount": 1})
    assert not any(each.done() for each in looping)
    for pid in runs.fresh.pids:  # their time is over: as its timer does
        os.kill(pid, signal.SIGALRM)
    endless = await looping[0]
    await leaping.move(runs.seconds + MORE)
    deaf = await looping[1]
    late = f"longer than {runs.seconds:g} s; what stands outside functions runs whenever"
    assert late in endless["detail"]
    assert endless["where"] in ("hello.py:15", "hello.py:16")
    assert late in deaf["detail"]
    [version] = await world.api.items("/api/integrations/hello/versions")
    assert version["number"] == 1


def test_control_in_the_servers_process_it_hangs(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(
        hello(tmp_path / "looping", ENDLESS.format(mark=str(tmp_path / "loads"))).to_bytes()
    )
    script = f"""
from pathlib import Path
from tempfile import mkdtemp
from halflap.engine.bundle import Bundle
from halflap.engine.integration import load_integration
bundle = Bundle.from_bytes(Path({str(tmp_path / "bundle")!r}).read_bytes())
print("loading", flush=True)
load_integration(bundle, Path({str(tmp_path / "cache")!r}))
"""
    with subprocess.Popen([PYTHON, "-c", script], stdout=subprocess.PIPE) as loading:
        assert loading.stdout is not None
        assert loading.stdout.readline() == b"loading\n"
        with pytest.raises(subprocess.TimeoutExpired):
            loading.wait(timeout=1)
        loading.kill()


@for_each(("more", "because", "where"), REFUSED.values(), ids=REFUSED)
async def test_what_ends_its_process_is_refused_with_its_place(
    world: Any, tmp_path: Path, more: str, because: str, where: str
) -> None:
    problem = await refused(world, hello(Path(mkdtemp(dir=tmp_path)) / "hello", more))
    assert because in problem["detail"]
    assert "runs whenever" in problem["detail"]
    assert problem["where"] == where
    assert await world.api.items("/api/integrations") == []


async def test_publishing_loads_nothing_in_this_process(world: Any, tmp_path: Path) -> None:
    mark = "import builtins, os\nbuiltins.was_here = True\nassert not os.environ.get('PATH')\n"
    before = set(sys.modules)
    hash = await world.publish(hello(tmp_path / "hello", mark))
    assert not hasattr(builtins, "was_here")
    assert not {each for each in set(sys.modules) - before if hash[:16] in each}
