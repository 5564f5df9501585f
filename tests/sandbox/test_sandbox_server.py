"""The server that a sandbox runs in, over TLS; Acme's tests have the rest of it."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.server import Cut, application, run, serving


async def hello(request: Request) -> Response:
    return Cut() if "cut" in request.query_params else Response(request.url.scheme)


async def test_it_speaks_tls_and_can_still_lose_an_answer(tmp_path):
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(chain))
    issued.private_key_pem.write_to_path(str(key))
    app = Starlette(routes=[Route("/", hello)])
    async with serving(app, chain, key) as url, aiohttp.ClientSession() as http:
        async with http.get(url, ssl=trusting) as response:
            assert await response.text() == "https"
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{url}/?cut", ssl=trusting)


async def test_a_certificate_that_is_none_is_refused(tmp_path):
    wrong = tmp_path / "cert.pem"
    wrong.write_text("nothing")
    with pytest.raises(ssl.SSLError):
        await run(Starlette(), certificate=wrong)


def ill_ended() -> Starlette:
    """Make an app that fails as it ends."""

    async def close() -> None:
        raise ZeroDivisionError

    return application([], FaultBoard("account"), close)


async def test_one_that_fails_as_it_ends_is_seen():
    with pytest.raises(ZeroDivisionError):
        async with serving(ill_ended()):
            pass


async def test_the_error_of_who_serves_it_is_not_hidden_by_its_end():
    with pytest.raises(LookupError):
        async with serving(ill_ended()):
            raise LookupError
