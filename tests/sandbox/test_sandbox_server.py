"""The server that a sandbox runs in, over TLS; Acme's tests have the rest of it."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from halflap_sandbox.server import Cut, run


def certificate(folder):
    """A certificate for 127.0.0.1 and its key, in two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


async def hello(request: Request) -> Response:
    return Cut() if "cut" in request.query_params else Response(request.url.scheme)


async def test_it_speaks_tls_and_can_still_lose_an_answer(tmp_path):
    chain, key = certificate(tmp_path)
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    app = Starlette(routes=[Route("/", hello)])
    serving = asyncio.create_task(
        run(app, ready=listening.set_result, certificate=chain, private_key=key)
    )
    await asyncio.wait([serving, listening], return_when=asyncio.FIRST_COMPLETED)
    base = f"https://127.0.0.1:{listening.result()}/"
    trusting = ssl.create_default_context(cafile=chain)
    async with aiohttp.ClientSession() as http:
        async with http.get(base, ssl=trusting) as response:
            assert await response.text() == "https"
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(base + "?cut", ssl=trusting)
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_certificate_that_is_none_is_refused(tmp_path):
    wrong = tmp_path / "cert.pem"
    wrong.write_text("nothing")
    with pytest.raises(ssl.SSLError):
        await run(Starlette(), certificate=wrong)
