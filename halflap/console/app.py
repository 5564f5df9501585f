"""The console over HTTP, a bare ASGI app: assets that never change, and the page, made anew each time.

Every page is the same HTML, whatever its address: what is shown there, the browser decides. Only the
nonce in it differs, by which the page's policy knows the scripts that are ours.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import anyio

from halflap.gateway.answer import Answer, encode_headers, problem
from halflap.gateway.app import respond

STATIC = Path(__file__).parent / "static"
PREFIX = "/console"
ASSETS = f"{PREFIX}/assets/"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""The name of an asset: no path leads out of their folder."""
NONCE = b"{{nonce}}"
NOT_BUILT = "The console is not built in this checkout. Build it: make console"

KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""By content coding, in order of preference, the ending of the file that is compressed so."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'nonce-{nonce}' 'strict-dynamic'",
        "style-src 'self' 'nonce-{nonce}'",  # the editor of YAML makes its own
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
GUARDED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Console:
    """Answers requests below `/console` with the files of a folder."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder

    @property
    def is_built(self) -> bool:
        """True if the folder has the console's page."""
        return (self._folder / "index.html").is_file()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await respond(send, await self._answer(scope), head=scope["method"] == "HEAD")

    async def _answer(self, scope: Any) -> Answer:
        path: str = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            return problem(405)
        if path in ("/", PREFIX):
            headers = {"location": f"{PREFIX}/", "cache-control": "no-store"}
            return 302, encode_headers(headers), b""
        if not self.is_built:
            return problem(404, detail=NOT_BUILT)
        if path.startswith(ASSETS):
            return await self._asset(path.removeprefix(ASSETS), accepted(scope))
        return await self._page()

    async def _asset(self, name: str, encodings: frozenset[str]) -> Answer:
        kind = KINDS.get(Path(name).suffix)
        path = anyio.Path(self._folder / "assets" / name)
        if kind is None or not NAME.fullmatch(name) or not await path.is_file():
            return problem(404)
        headers = {
            **GUARDED,
            "content-type": kind,
            "content-security-policy": "default-src 'none'; sandbox",
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "accept-encoding",
        }
        for encoding, ending in ENCODINGS.items():
            compressed = path.with_name(name + ending)
            if encoding in encodings and await compressed.is_file():
                headers["content-encoding"] = encoding
                path = compressed
                break
        return 200, encode_headers(headers), await path.read_bytes()

    async def _page(self) -> Answer:
        nonce = secrets.token_urlsafe(18)
        page = await anyio.Path(self._folder / "index.html").read_bytes()
        headers = {
            **GUARDED,
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": POLICY.format(nonce=nonce),
            "cache-control": "no-cache",
        }
        return 200, encode_headers(headers), page.replace(NONCE, nonce.encode())


def accepted(scope: Any) -> frozenset[str]:
    """Return the content codings that a client takes; one of weight zero is refused by it."""
    sent = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    found: set[str] = set()
    for each in sent.decode("latin-1").split(","):
        name, _, weight = each.partition(";")
        if weight.replace(" ", "").removeprefix("q=").strip("0.") or not weight:
            found.add(name.strip().lower())
    return frozenset(found)
