"""Small REST apps: what those of the sandbox share that answer with JSON and refuse with a status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halflap_sandbox.answer import parse
from halflap_sandbox.faults import Exceeded, FaultBoard, Faults, Injected
from halflap_sandbox.server import Cut, application, read_body, suffer

Json = dict[str, Any]
Refuse = Callable[[int, str], Any]
LARGEST_BODY = 4 * 1024 * 1024


class ApiError(Exception):
    """The app says no: a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RestApp:
    """An app's faults, and the form of its refusals: `refuse(status, message)` is the body of one."""

    def __init__(self, shape: type[Faults], refuse: Refuse, clock: Callable[[], float]) -> None:
        self.faults = FaultBoard(shape)
        self.clock = clock
        self._shape = shape
        self._refuse = refuse

    def refused(
        self, status: int, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Refuse a request."""
        return JSONResponse(self._refuse(status, message), status, dict(headers or {}))

    async def answer(
        self, request: Request, part: str, work: Callable[[Json], tuple[int, Any]]
    ) -> Response:
        """Do what a request asks for, and suffer the faults of its part of the app."""
        body, plan = await read_body(request, LARGEST_BODY), self.faults.of(part)
        try:
            if cut := await suffer(request, plan, self.clock()):
                return cut
            status, found = work({**request.query_params, **(json.loads(body) if body else {})})
        except Exceeded as error:
            return self.refused(429, "You are too fast.", {"retry-after": str(error.retry_after)})
        except Injected as error:
            return self.refused(error.status, "A bad day (an injected fault).")
        except ApiError as error:
            return self.refused(error.status, str(error))
        except (KeyError, TypeError, ValueError) as error:
            return self.refused(400, f"The request cannot be read: {error!r}")
        if request.method != "GET" and plan.loses_answer():
            return Cut()
        return Response(status_code=204) if status == 204 else JSONResponse(found, status)

    async def set_faults(self, request: Request) -> Response:
        """Turn faults on."""
        self.faults.set(parse(request, await read_body(request, LARGEST_BODY), self._shape))
        return JSONResponse(self.faults.json())

    def app(self, routes: list[Route], sender: Webhooks) -> Starlette:
        """Put the app together."""
        routes = [*routes, Route("/sandbox/faults", self.set_faults, methods=["POST"])]
        return application(routes, sender.close)


class Webhooks:
    """Sends webhooks in the background, again after each of some waits until they are taken."""

    def __init__(self, waits: tuple[float, ...], timeout: float) -> None:
        self.sent: list[Json] = []
        """Every try, with the status that it was answered with."""
        self._waits = waits
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, url: str, make: Callable[[], tuple[bytes, Mapping[str, str]]]) -> None:
        """Send what `make` gives, signed anew for each try."""
        task = asyncio.create_task(self._tried(url, make), name="sandbox webhook")
        self.watch(task)

    def watch(self, task: asyncio.Task[None]) -> None:
        """Cancel a task as the app ends."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop sending."""
        for each in self._tasks:
            each.cancel()
        if self._session is not None:
            await self._session.close()

    async def _tried(self, url: str, make: Callable[[], tuple[bytes, Mapping[str, str]]]) -> None:
        for wait in (0.0, *self._waits):
            await asyncio.sleep(wait)
            body, headers = make()
            note: Json = {"url": url, "body": json.loads(body), "status": None}
            self.sent.append(note)
            if self._session is None:
                self._session = aiohttp.ClientSession(timeout=self._timeout)
            try:
                async with self._session.post(url, data=body, headers=headers) as answer:
                    note["status"] = answer.status
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                note["error"] = str(error) or type(error).__name__
            if note["status"] is not None and note["status"] < 300:
                return


def moment(at: float) -> str:
    """Write a time as ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
