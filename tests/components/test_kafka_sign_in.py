"""TLS and the ways into a Kafka cluster, at a front that checks them before a broker that cannot."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from aiohttp import web
from pydantic import SecretStr

from halflap import ClientCredentials, DefinitionError, Unauthorized, UpstreamError, kafka
from halflap.components.kafka import connection as connecting
from halflap.components.kafka.publishing import producer_of, producers
from halflap.sdk.connection import Link, egress
from halflap.sdk.egress import Egress, Policy
from halflap.testing.listeners import AcceptedLog
from tests.brokers import KafkaBroker, broker
from tests.components.test_kafka import read
from tests.kafka_front import Front, front
from tests.polling import DEADLINE

# asyncio leaves a connection whose client it did not take to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

PASSWORD = SecretStr("secret-pw-1")


@dataclass
class Guarded:
    """A broker behind a front, and the authority of its certificate."""

    broker: KafkaBroker
    front: Front
    ca: trustme.CA

    def connected(self, auth: Any, **more: Any) -> kafka.Kafka:
        pem = self.ca.cert_pem.bytes().decode()
        return kafka.Kafka(servers=f"127.0.0.1:{self.front.port}", ca=pem, auth=auth, **more)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    folder: Path = tmp_path_factory.mktemp("front") / "data"
    with front(context) as before, broker("tansu", folder, before.port) as at:
        before.backend = at.port
        yield Guarded(at, before, ca)


@pytest.fixture(autouse=True)
async def allowed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", DEADLINE)
    client = Egress(Policy(("127.0.0.1",)))
    egress.set(client)
    yield
    await client.close()
    egress.set(None)
    producers.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what cannot be reached not be waited for for long."""
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 4.0)


PASSWORDS = {
    "PLAIN": kafka.Plain(username="ada", password=PASSWORD),
    "SCRAM-SHA-256": kafka.Scram(mechanism="SCRAM-SHA-256", username="ada", password=PASSWORD),
    "SCRAM-SHA-512": kafka.Scram(username="ada", password=PASSWORD),
}


@pytest.mark.parametrize("mechanism", PASSWORDS)
async def test_a_password_opens_the_cluster_and_a_wrong_one_does_not(
    mechanism: str, guarded: Guarded
):
    at = guarded.connected(PASSWORDS[mechanism])
    await at.test()
    assert guarded.front.signed_in[-1] == mechanism
    wrong = PASSWORDS[mechanism].model_copy(update={"password": SecretStr("other-secret")})
    with pytest.raises(Unauthorized, match="_AUTHENTICATION") as raised:
        await guarded.connected(wrong).test()
    assert "other-secret" not in str(raised.value)
    with pytest.raises(Unauthorized):
        await read(kafka.records(topic="orders"), guarded.connected(wrong), AcceptedLog(), 1)
    with pytest.raises(Unauthorized):
        await kafka.publish(guarded.connected(wrong), "orders", 1)


async def test_records_go_through_what_was_signed_in_to(guarded: Guarded):
    at = guarded.connected(PASSWORDS["SCRAM-SHA-512"])
    told = await kafka.publish(at, "through", {"n": 1})
    trigger = kafka.records(topic="through", start="earliest")
    [message] = await read(trigger, at, AcceptedLog(), 1)
    assert (message.content, told.offset) == (b'{"n":1}', 0)


@pytest.mark.usefixtures("impatient")
async def test_a_certificate_of_another_authority_is_refused(guarded: Guarded):
    at = guarded.connected(PASSWORDS["PLAIN"])
    for ca in (trustme.CA().cert_pem.bytes().decode(), None):
        with pytest.raises(UpstreamError, match=r"_SSL|verif"):
            await at.model_copy(update={"ca": ca}).test()
    with pytest.raises(UpstreamError):
        await at.model_copy(update={"encryption": "none"}).test()


TRUSTED = trustme.CA()


def signed_by(authority: trustme.CA) -> kafka.Certificate:
    made = authority.issue_cert("ada@example.com")
    chain = b"".join(each.bytes() for each in made.cert_chain_pems).decode()
    key = SecretStr(made.private_key_pem.bytes().decode())
    return kafka.Certificate(certificate=chain, private_key=key)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker whose front demands a certificate of `TRUSTED`, and no password."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    TRUSTED.configure_trust(context)
    folder: Path = tmp_path_factory.mktemp("mutual") / "data"
    with front(context, sasl=False) as before, broker("tansu", folder, before.port) as at:
        before.backend = at.port
        yield Guarded(at, before, ca)


async def test_a_certificate_opens_the_cluster_and_another_does_not(
    mutual: Guarded, monkeypatch: pytest.MonkeyPatch
):
    at = mutual.connected(signed_by(TRUSTED))
    await at.test()
    stored = await kafka.publish(at, "mutual", {"n": 1})
    trigger = kafka.records(topic="mutual", start="earliest")
    [message] = await read(trigger, at, AcceptedLog(), 1)
    assert (message.content, stored.offset) == (b'{"n":1}', 0)
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 4.0)
    with pytest.raises(Unauthorized, match="did not take the certificate"):
        await mutual.connected(signed_by(trustme.CA())).test()
    with pytest.raises(UpstreamError, match="demand a certificate: sign in with one"):
        await mutual.connected(kafka.NoSignIn()).test()
    one, other = signed_by(TRUSTED), signed_by(TRUSTED)
    mixed = kafka.Certificate(certificate=one.certificate, private_key=other.private_key)
    with pytest.raises(DefinitionError, match="key values mismatch") as raised:
        await mutual.connected(mixed).test()
    assert "PRIVATE KEY-----" not in str(raised.value)


@pytest.mark.usefixtures("impatient")
async def test_what_does_not_fit_the_brokers_encryption_says_what_to_choose(guarded: Guarded):
    at = guarded.connected(kafka.NoSignIn())
    plain = {"encryption": "none", "ca": None}
    wrong = kafka.records(topic="orders")
    with pytest.raises(UpstreamError, match="choose the encryption tls"):
        await at.model_copy(update=plain).test()
    with pytest.raises(UpstreamError, match="choose the encryption tls"):
        await read(wrong, at.model_copy(update=plain), AcceptedLog(), 1)
    with pytest.raises(UpstreamError, match="no TLS at this port: choose the encryption none"):
        await at.model_copy(update={"servers": f"127.0.0.1:{guarded.broker.port}"}).test()
    with pytest.raises(UpstreamError, match="demands a sign-in"):
        await at.test()
    with pytest.raises(UpstreamError, match="give their authority as ca"):
        await at.model_copy(update={"ca": trustme.CA().cert_pem.bytes().decode()}).test()


async def test_a_producer_is_not_shared_by_those_with_other_tokens(guarded: Guarded):
    """librdkafka's settings are the same for all who sign in by a token."""
    asked: list[str] = []

    async def ready(self: kafka.Kafka, *_: Any) -> Any:
        asked.append(self.auth.client_id)  # pyright: ignore[reportAttributeAccessIssue]
        return SimpleNamespace(error=None, metadata=lambda: SimpleNamespace(brokers={}))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kafka.Kafka, "client", ready)
        for id in ("one", "two", "one"):
            url, secret = "http://127.0.0.1:9/token", SecretStr("s3")
            auth = ClientCredentials(token_url=url, client_id=id, client_secret=secret)
            await producer_of(guarded.connected(auth))
    assert asked == ["one", "two"]


async def test_a_token_is_got_and_renewed_through_the_connection(guarded: Guarded):
    given = iter(["token-1", "token-2"])

    async def token(request: web.Request) -> web.Response:
        guarded.front.token = next(given)
        return web.json_response({"access_token": guarded.front.token, "expires_in": 3_600})

    made = web.Application()
    made.add_routes([web.post("/token", token)])
    runner = web.AppRunner(made, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    auth = ClientCredentials(token_url=url, client_id="me", client_secret=SecretStr("s3"))
    at = guarded.connected(auth)
    asked: list[str] = []

    async def refresh(connection: Any) -> Any:
        asked.append("asked")
        client = egress.get()
        assert client is not None
        at.auth = await connection.auth.refresh(client)
        return at

    at._link = Link("cluster", refresh=refresh)
    await at.test()
    assert guarded.front.signed_in[-1] == "OAUTHBEARER"
    assert asked == ["asked"]
    await at.test()
    assert asked == ["asked"]  # it is good for an hour
    guarded.front.token = "another"
    with pytest.raises(Unauthorized):
        await at.test()
    await runner.cleanup()
    await asyncio.sleep(0)
