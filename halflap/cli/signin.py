"""Signing in at an app: the browser goes there, and comes back to a listener on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import html
import secrets
import webbrowser
from collections.abc import Mapping

from aiohttp import web

from halflap.api.view import AuthorizationView, ConnectionView
from halflap.cli.client import Client
from halflap.cli.control import clean
from halflap.cli.output import Output
from halflap.errors import ConfigError, HalflapError, UpstreamError

WITHIN = 600.0
"""Seconds that a sign-in may take; the server forgets it then."""
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Halflap</title>
<style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto 0;
padding: 0 1rem; color-scheme: light dark }}</style>
<h1>{title}</h1><p>{said}</p></html>
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def sign_in(
    api: Client, output: Output, connection: ConnectionView, port: int, *, browser: bool
) -> ConnectionView:
    """Sign in for a connection; returns it as it is then. Raises what the app said no with."""
    back = Callback(api)
    async with contextlib.AsyncExitStack() as stack:
        runner = web.AppRunner(back.app(), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise HalflapError(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}; choose another --port"
            ) from error
        redirect = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
        at = ("connections", connection.id, "authorize")
        begun = await api.post(AuthorizationView, *at, json={"redirect_uri": redirect})
        back.state = begun.state
        output.note(f"Sign in to {connection.name} here:")
        output.note("  ", (begun.url, "bold"))
        if browser:
            await asyncio.to_thread(webbrowser.open, begun.url)
        output.progress((f"waiting for the app to send you back to {redirect} …", "dim"))
        try:
            async with asyncio.timeout(WITHIN):
                return await asyncio.shield(back.done)
        except TimeoutError:
            raise HalflapError(
                "nobody signed in within ten minutes; begin again. Does the app allow the redirect "
                f"address {redirect}? With --port it stays the same every time"
            ) from None


class Callback:
    """The address to which the app sends the browser back."""

    def __init__(self, api: Client) -> None:
        self._api = api
        self.state = ""
        self.done: asyncio.Future[ConnectionView] = asyncio.get_running_loop().create_future()

    def app(self) -> web.Application:
        """The pages of this listener."""
        app = web.Application()
        app.router.add_get("/callback", self.came_back)
        return app

    async def came_back(self, request: web.Request) -> web.Response:
        """The browser is back, with a code or with a no."""
        query = request.query
        known = self.state.encode()
        if not known or not secrets.compare_digest(query.get("state", "").encode(), known):
            return page(400, "Not this sign-in", "Start again from the terminal.")
        if self.done.done():
            return page(200, "This sign-in has ended", "You can close this window.")
        self.state = ""
        try:
            signed_in = await self._exchange(query)
        except HalflapError as error:
            self.done.set_exception(error)
            said = f"{error.message} You can close this window; the terminal says what to do."
            return page(200, "That did not work", said)
        self.done.set_result(signed_in)
        return page(200, "You are signed in", "You can close this window.")

    async def _exchange(self, query: Mapping[str, str]) -> ConnectionView:
        if "error" in query:
            said = query.get("error_description") or query["error"]
            raise UpstreamError(f"the app refused the sign-in: {clean(said)[:500]}")
        if not query.get("code"):
            raise ConfigError(
                "the app sent no code back; is this connection's authorize_url right?"
            )
        answer = {"state": query["state"], "code": query["code"]}
        return await self._api.post(ConnectionView, "connections", "authorized", json=answer)


def page(status: int, title: str, said: str) -> web.Response:
    """A plain page."""
    body = PAGE.format(title=html.escape(title), said=html.escape(said))
    return web.Response(status=status, text=body, content_type="text/html", headers=HEADERS)
