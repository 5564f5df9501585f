"""The console's files over HTTP: the page's policy, assets that never change, no way out of a folder."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halflap.console.app import Console, accepted
from tests.cases import for_each

FIRST_LOAD = 350 * 1024
"""The most bytes of scripts, styles and fonts, compressed, that the first page loads."""


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


async def get(console: Console, path: str, method: str = "GET", encoding: str = "") -> Got:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"accept-encoding", encoding.encode())] if encoding else []
    await console({"path": path, "method": method, "headers": headers}, None, send)
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(sent[0]["status"], named, sent[1]["body"])


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A console of a page and one asset, in its three forms."""
    assets = tmp_path / "static" / "assets"
    assets.mkdir(parents=True)
    page = '<meta nonce="{{nonce}}"><script nonce="{{nonce}}"></script>'
    (tmp_path / "static" / "index.html").write_text(page)
    (assets / "app-1.js").write_text("whole")
    (assets / "app-1.js.br").write_text("by br")
    (assets / "app-1.js.gz").write_text("by gzip")
    (tmp_path / "secret.js").write_text("secret")
    return Console(tmp_path / "static")


async def test_every_address_is_the_same_page_with_a_nonce_of_its_own(console: Console) -> None:
    pages = [await get(console, path) for path in ("/console/", "/console/executions/exe_1")]
    nonces = set[str]()
    for each in pages:
        assert (each.status, each.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert each.headers["cache-control"] == "no-cache"
        policy = each.headers["content-security-policy"]
        [nonce] = re.findall("script-src 'nonce-([^']+)'", policy)
        assert each.body.decode().count(f'nonce="{nonce}"') == 2
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        nonces.add(nonce)
    assert len(nonces) == 2


@for_each(
    ("encoding", "body", "named"),
    [
        ("gzip, deflate, br, zstd", b"by br", "br"),
        ("gzip", b"by gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", b"by gzip", "gzip"),
        ("identity", b"whole", None),
        ("", b"whole", None),
    ],
)
async def test_an_asset_comes_in_the_best_form_that_the_client_takes(
    console: Console, encoding: str, body: bytes, named: str | None
) -> None:
    got = await get(console, "/console/assets/app-1.js", encoding=encoding)
    assert (got.status, got.body, got.headers.get("content-encoding")) == (200, body, named)
    assert got.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert got.headers["content-type"].startswith("text/javascript")
    assert got.headers["vary"] == "accept-encoding"


@for_each(
    "name", ["../index.html", "../../secret.js", "app-2.js", "", ".", "app-1.js.br", "app-1.js\x00"]
)
async def test_no_name_leads_out_of_the_assets(console: Console, name: str) -> None:
    assert (await get(console, f"/console/assets/{name}")).status == 404


async def test_it_only_answers_reads(console: Console) -> None:
    assert (await get(console, "/console/", "POST")).status == 405
    head = await get(console, "/console/", "HEAD")
    assert (head.status, head.body) == (200, b"")


@for_each("path", ["/", "/console"])
async def test_what_is_before_it_leads_to_it(console: Console, path: str) -> None:
    got = await get(console, path)
    assert (got.status, got.headers["location"]) == (302, "/console/")


async def test_where_it_is_not_built_it_says_how_to(tmp_path: Path) -> None:
    got = await get(Console(tmp_path), "/console/")
    assert got.status == 404
    assert b"make console" in got.body


def test_a_coding_of_weight_zero_is_refused() -> None:
    header = [(b"accept-encoding", b"br; q=0.0, GZIP;q=1.0"), (b"accept-encoding", b"zstd")]
    assert accepted({"headers": header}) == {"gzip", "zstd"}


async def test_the_built_page_loads_only_what_is_there_and_little_of_it(built: Path) -> None:
    page = (built / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="/console/assets/([^"]+)"', page)
    assert any(each.endswith(".js") for each in loaded)
    assert page.count("{{nonce}}") >= 2
    styles = [each for each in loaded if each.endswith(".css")]
    fonts = [
        font
        for style in styles
        for font in re.findall(
            r"/console/assets/([\w-]+latin-wght[\w-]+\.woff2)", _read(built, style)
        )
    ]
    assert len(fonts) == 2
    size = sum((built / "assets" / each).stat().st_size for each in fonts)
    for each in loaded:
        compressed = built / "assets" / f"{each}.gz"
        assert gzip.decompress(compressed.read_bytes()).decode() == _read(built, each)
        size += compressed.stat().st_size
    assert size < FIRST_LOAD, f"{size:,} bytes"


def _read(built: Path, name: str) -> str:
    return (built / "assets" / name).read_text("utf-8")


def test_the_licences_of_what_is_shipped_are_shipped_too(built: Path) -> None:
    said = (built / "licenses.md").read_text()
    for each in ("react", "@fontsource-variable/inter", "@base-ui/react", "lucide-react"):
        assert f"## {each} " in said
