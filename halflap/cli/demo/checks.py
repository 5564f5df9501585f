"""The demo's checks: each is a line with what was seen and how long it took."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import click


class Checks:
    """Counts what held and what did not, and says so as it goes."""

    def __init__(self) -> None:
        self.passed = 0
        self.total = 0
        self._began = time.perf_counter()

    def act(self, title: str) -> None:
        """Begin an act."""
        click.echo(f"\n{click.style(title, bold=True)}")
        self._began = time.perf_counter()

    def check(self, holds: bool, claim: str, *seen: object, timed: bool = True) -> bool:
        """Check a claim; `seen` are ids and figures to show beside it.

        Where `timed`, so is the time since the check before.
        """
        now = time.perf_counter()
        took = (now - self._began) * 1000
        self._began = now
        self.total += 1
        self.passed += bool(holds)
        mark = click.style("✓", fg="green") if holds else click.style("✗", fg="red", bold=True)
        shown = (*seen, f"{took:,.0f} ms") if timed else seen
        details = "  ".join(str(each) for each in shown)
        click.echo(f"  {mark} {claim}  {click.style(details, dim=True)}".rstrip())
        return bool(holds)

    def close(self) -> int:
        """The last line, and the exit code."""
        click.echo(f"\ndemo: {self.passed} of {self.total} checks passed")
        return 0 if self.passed == self.total else 1


async def eventually(
    look: Callable[[], Awaitable[bool]], *, within: float = 30.0, every: float = 0.02
) -> bool:
    """Look again and again until it holds, for at most `within` seconds."""
    import asyncio

    end = time.perf_counter() + within
    while time.perf_counter() < end:
        if await look():
            return True
        await asyncio.sleep(every)
    return await look()
