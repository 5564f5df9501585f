"""A sandbox Salesforce that runs while a test does, and who asks it over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from halflap_sandbox.salesforce import Settings, create_app
from halflap_sandbox.salesforce.model import Org, User, World
from halflap_sandbox.server import serving
from tests.polling import DEADLINE

DATA = "/services/data/v63.0"
STRANGERS = Path(__file__).parent / "strangers"
NODE = Path(sys.executable).with_name("node")


async def run_node(script: str, *arguments: str) -> Any:
    """Run a stranger's script; returns what it prints, as JSON."""
    process = await asyncio.create_subprocess_exec(
        str(NODE) if NODE.exists() else "node",
        str(STRANGERS / script),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@dataclass
class Salesforce:
    """A running one: its address, its data, and a client that follows no redirect."""

    base: str
    world: World
    http: aiohttp.ClientSession

    def org(self, name: str = "north") -> Org:
        return next(each for each in self.world.orgs.values() if each.name == name)

    def user(self, name: str = "north") -> User:
        return next(iter(self.org(name).users.values()))

    def session(self, name: str = "north") -> str:
        return self.world.open(self.org(name), self.user(name)).token

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **more: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        headers = {**more.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            more["data"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.base + path
        async with self.http.request(
            method, url, headers=headers, allow_redirects=False, **more
        ) as got:
            text = await got.text()
            if text and "json" in got.headers.get("content-type", ""):
                return got.status, json.loads(text, parse_float=Decimal), got.headers
            return got.status, text, got.headers


@asynccontextmanager
async def salesforce(
    *orgs: str,
    settings: Settings | None = None,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> AsyncGenerator[Salesforce]:
    """Run a sandbox Salesforce with these orgs, `north` if none is named."""
    app = create_app(settings, orgs=orgs or ("north",))
    async with (
        serving(app, certificate, private_key) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Salesforce(url, app.state.world, http)
