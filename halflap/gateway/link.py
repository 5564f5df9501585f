"""Links by which somebody answers a waiting flow: `/signals/<token>`, a bare ASGI app.

A link's token says which execution is sent which signal with which choice, until when, and is signed
with a key that derives from the store's master key: whoever has not got one from the flow can make
none, and learns nothing by trying. GET shows a page with a button and decides nothing, as mail
scanners open links; POST sends the signal, once for both choices of one question.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from halflap.errors import NotFound, StoreError
from halflap.gateway.answer import Answer
from halflap.gateway.app import respond
from halflap.model import Clock, Outcome, Sent
from halflap.sdk import codec
from halflap.sdk.link import PREFIX, SignalLink, read_link
from halflap.store.pulse import Pulse

log = structlog.get_logger("halflap.gateway")

Message = dict[str, Any]

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;"
    "color:#222;background:#fff}button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;"
    "background:#246;color:#fff;cursor:pointer}h1{font-size:1.3rem}p{color:#555}"
)
HEADERS = {
    b"content-type": b"text/html; charset=utf-8",
    b"content-security-policy": (
        b"sandbox allow-forms; default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"x-robots-tag": b"noindex",
}


class Inbox(Protocol):
    """The engine's methods that the page of a link calls."""

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent: ...

    async def outcome(self, execution: str, within: float) -> Outcome | None: ...


@dataclass(slots=True)
class Links:
    """Answers requests to links; every one ends in exactly one page."""

    engine: Inbox
    verify: Callable[[bytes, str], bool]
    clock: Clock
    pulse: Pulse

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        await respond(send, await self.answer(scope), head=scope["method"] == "HEAD")

    async def answer(self, scope: Message) -> Answer:
        """The page for a request."""
        link = read_link(str(scope["path"]).removeprefix(PREFIX), self.verify)
        method = scope["method"]
        if link is None or method not in ("GET", "HEAD", "POST"):
            return page(404, "This link is not valid", "Ask whoever sent it for another one.")
        if link.expires_at <= self.clock():
            return page(410, "This link has expired", "Ask whoever sent it for another one.")
        try:
            return await self.pulse.attend(
                self._sent(link) if method == "POST" else self._asked(link)
            )
        except NotFound:
            return page(410, "This is over", "There is nothing to answer any more.")
        except StoreError as error:
            log.error("a signal was not kept: the store failed", error=str(error))
            return page(503, "This did not work", "Nothing was sent. Try again in a minute.")

    async def _asked(self, link: SignalLink) -> Answer:
        if await self.engine.outcome(link.execution, 0) is not None:
            return page(410, "This is over", "There is nothing to answer any more.")
        label = link.choice.replace("_", " ").capitalize() if link.choice else "Confirm"
        button = f'<form method="post"><button>{html.escape(label)}</button></form>'
        return page(200, link.text or "Your answer is asked for", "", button)

    async def _sent(self, link: SignalLink) -> Answer:
        payload = codec.encode({"choice": link.choice} if link.choice else None)
        match await self.engine.signal(link.execution, link.name, payload, f"link:{link.once}"):
            case "sent":
                return page(200, "Thank you", "Your answer was received. You may close this page.")
            case "known":
                return page(409, "This was answered already", "The first answer counts.")
            case "over":
                return page(410, "This is over", "There is nothing to answer any more.")


def page(status: int, title: str, text: str, rest: str = "") -> Answer:
    """A small page; `rest` is HTML."""
    shown = html.escape(title)
    said = f"<p>{html.escape(text)}</p>" if text else ""
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{shown}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{shown}</h1>{said}{rest}</body></html>"
    )
    return status, HEADERS, body.encode()
