"""Small REST apps: what those of the sandbox share that answer with JSON and refuse with a status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from halflap_sandbox.faults import Exceeded, FaultBoard, Injected
from halflap_sandbox.poster import Poster
from halflap_sandbox.server import Cut, read_body, suffer

Json = dict[str, Any]
Refuse = Callable[[int, str], Any]
Make = Callable[[], tuple[bytes, Mapping[str, str]]]
TooFast = tuple[int, str, Mapping[str, str]]
TOO_FAST: TooFast = (429, "You are too fast.", {})


class ApiError(Exception):
    """The app says no: a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RestApp:
    """An app's faults, and the form of its refusals: `refuse(status, message)` is the body of one."""

    def __init__(
        self,
        faults: FaultBoard,
        refuse: Refuse,
        clock: Callable[[], float],
        too_fast: TooFast = TOO_FAST,
    ) -> None:
        self.faults, self.clock = faults, clock
        self._refuse, self._too_fast = refuse, too_fast

    def refused(
        self, status: int, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Refuse a request."""
        return JSONResponse(self._refuse(status, message), status, dict(headers or {}))

    async def answer(
        self, request: Request, part: str, work: Callable[[Json], tuple[int, Any]]
    ) -> Response:
        """Do what a request asks for, and suffer the faults of its part of the app."""
        body, plan = await read_body(request), self.faults.of(part)
        try:
            if cut := await suffer(request, plan, self.clock()):
                return cut
            status, found = work({**request.query_params, **(json.loads(body) if body else {})})
        except Exceeded as error:
            status, message, headers = self._too_fast
            wait = {"retry-after": str(error.retry_after)}
            return self.refused(status, message, {**headers, **wait})
        except Injected as error:
            return self.refused(error.status, "A bad day (an injected fault).")
        except ApiError as error:
            return self.refused(error.status, str(error))
        except json.JSONDecodeError:
            return self.refused(400, "Problems parsing JSON")
        except (KeyError, TypeError, ValueError) as error:
            return self.refused(400, f"The request cannot be read: {error!r}")
        if request.method != "GET" and plan.loses_answer():
            return Cut()
        if isinstance(found, Response):
            return found
        return Response(status_code=204) if status == 204 else JSONResponse(found, status)


def choose_account(
    request: Request,
    app: str,
    client_id: str,
    place: str,
    accounts: Mapping[str, str],
    grant: Callable[[str, str], str],
) -> Response:
    """Show the page on which the app is installed in an account; one that the query names is at once.

    `place` is its parameter in the query, `accounts` are names by id. `grant` makes a code for an
    account and the address that it goes back to.
    """
    asked = dict(request.query_params)
    back = asked.get("redirect_uri")
    if asked.get("client_id") != client_id or back is None:
        return HTMLResponse(f"{app} does not know this app.", 400)
    if (chosen := asked.get(place, "")) in accounts:
        answer = urlencode({"code": grant(chosen, back), "state": asked.get("state", "")})
        return RedirectResponse(f"{back}?{answer}", 302)
    links = "".join(
        f'<li><a href="?{escape(urlencode({**asked, place: id}))}">{escape(name)}</a></li>'
        for id, name in accounts.items()
    )
    return HTMLResponse(f"<h1>{app} (a sandbox)</h1><ul>{links}</ul>")


class Webhooks(Poster):
    """Sends webhooks in the background, again after each of some waits until they are taken."""

    def __init__(self, waits: Sequence[float], timeout: float) -> None:
        super().__init__(timeout)
        self.sent: list[Json] = []
        """Every try, with the status that it was answered with."""
        self._waits = waits

    def send(self, url: str, make: Make) -> None:
        """Send what `make` gives, signed anew for each try."""
        self.start(self._tried(url, make), "sandbox webhook")

    async def list_sent(self, _: Request) -> Response:
        """List every try to deliver."""
        return JSONResponse(self.sent)

    async def _tried(self, url: str, make: Make) -> None:
        for wait in (0.0, *self._waits):
            await asyncio.sleep(wait)
            body, headers = make()
            note: Json = {"url": url, "body": json.loads(body), "status": None}
            self.sent.append(note)
            posted = await self.post(url, body, headers)
            note["status"] = posted.status
            if posted.error is not None:
                note["error"] = posted.error
            if posted.is_taken:
                return


def moment(at: float) -> str:
    """Write a time as ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
