from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.sink import Sink, serving_sink

Note = Callable[..., None]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serving_sink() as sink:
        yield sink


@pytest.fixture
def note() -> Note:
    """Notes a run's figures: printed, and kept where the report asks for them."""

    def keep(run: str, **figures: Any) -> None:
        line = json.dumps({"run": run, **figures})
        print(line)
        if path := os.environ.get("FAULT_FIGURES"):
            with Path(path).open("a") as file:
                file.write(line + "\n")

    return keep


def needs(there: object, what: str) -> None:
    """Skip where the machine lacks what a fault takes; on CI that is a failure."""
    if there:
        return
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what}; on CI this test must run")
    pytest.skip(what)
