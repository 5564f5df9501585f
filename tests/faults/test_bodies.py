"""One hostile body, however it is nested, does not block a process so that its watchdog ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from halflap.engine.watchdog import FILE
from tests.zygote import PYTHON

PROGRAM = """
import asyncio, sys
from pathlib import Path

from halflap import pointer
from halflap.engine.watchdog import Watchdog
from halflap.sdk import _json, decoding
from tests.faults.test_bodies import BODIES
from tests.gateway.test_app import desk

kind, guard, folder = sys.argv[1:]
if guard == "off":
    for limit in ("MAX_VALUES", "MAX_CONTAINERS"):
        setattr(_json, limit, 1 << 60)
    import halflap.gateway.app as gateway
    gateway.INLINE = decoding.INLINE = 1 << 60

body = BODIES[kind]()

async def main():
    shop = desk(dedupe=pointer("/id"), key=pointer("/id"))
    shop.body_bytes = 1 << 30
    # Without the interpreter a watchdog ends its process after 1 s and half its time more: the control's
    # has to be well before the two seconds that a decoder takes for the wide body.
    with Watchdog(0.1 if guard == "off" else 0.7, list, Path(folder)):
        await asyncio.sleep(0)
        status, _, _ = await shop.send(body)
        print(status, len(shop.intake.starts))

asyncio.run(main())
"""

BODIES = {
    "nested": lambda: b'{"id":"1","a":[' + b",".join([b"[" * 90 + b"]" * 90] * 120_000) + b"]}",
    "wide": lambda: b'{"id":"1","a":[' + b",".join([b"[]"] * 8_000_000) + b"]}",
}


async def take(kind: str, guard: str, folder: Path) -> tuple[int | None, str]:
    """Send a body to a gateway in a process with a watchdog; how that ended, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-c", PROGRAM, kind, guard, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode().strip()


@pytest.mark.parametrize("kind", BODIES)
async def test_a_hostile_body_of_20_mb_blocks_nothing(tmp_path: Path, kind: str) -> None:
    assert await take(kind, "on", tmp_path) == (0, "200 1")
    assert (tmp_path / FILE).read_text() == ""


@pytest.mark.parametrize("kind", BODIES)
async def test_a_control_without_the_guard_is_ended_by_the_watchdog(
    tmp_path: Path, kind: str
) -> None:
    code, printed = await take(kind, "off", tmp_path)
    assert code not in (0, None)
    # Whether the watchdog still comes to log it depends on when the decoder lets go of the interpreter.
    assert not printed or "its event loop was blocked" in printed
    assert "200 1" not in printed
