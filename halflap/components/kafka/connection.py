"""Connections to a Kafka cluster, and what they mean to librdkafka."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from halflap import (
    ClientCredentials,
    Component,
    Connection,
    EgressRefused,
    Unauthorized,
    UpstreamError,
)
from halflap.components.kafka.reader.client import KafkaClient

UNREACHED = ("_ALL_BROKERS_DOWN", "_SSL", "_TRANSPORT")
UNVERIFIED = (
    "the brokers' certificate is not of an authority that is trusted here, or of another name: give "
    "their authority as ca, and name the brokers as their certificate does"
)
ADDRESS = r"[A-Za-z0-9._-]+:[0-9]{1,5}"
CONNECT_SECONDS = 10.0
TOKEN_SECONDS = 30.0


class SignIn(BaseModel):
    """A way into a cluster."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    def sasl(self) -> dict[str, str]:
        """Return librdkafka's settings of it; none where it is no SASL."""
        return {}


class NoSignIn(SignIn):
    """The cluster asks nobody who they are."""

    kind: Literal["none"] = "none"


class Certificate(SignIn):
    """A certificate that the cluster knows (mutual TLS)."""

    kind: Literal["certificate"] = "certificate"

    certificate: str
    """The certificate in PEM, with those between it and its authority."""

    private_key: SecretStr
    """Its private key in PEM, without a password."""


class Plain(SignIn):
    """A user and a password (SASL PLAIN), as of Confluent Cloud: an API key and its secret."""

    kind: Literal["plain"] = "plain"
    username: str
    password: SecretStr

    def sasl(self) -> dict[str, str]:
        return credentials("PLAIN", self.username, self.password)


class Scram(SignIn):
    """A user and a password, which is proven and not sent (SASL SCRAM)."""

    kind: Literal["scram"] = "scram"
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    username: str
    password: SecretStr

    def sasl(self) -> dict[str, str]:
        return credentials(self.mechanism, self.username, self.password)


def credentials(mechanism: str, username: str, password: SecretStr) -> dict[str, str]:
    """Return librdkafka's settings of a user."""
    return {
        "sasl.mechanism": mechanism,
        "sasl.username": username,
        "sasl.password": password.get_secret_value(),
    }


class Kafka(Connection):
    """A Kafka cluster, and the schema registry beside it."""

    servers: str = Field(pattern=rf"^{ADDRESS}(\s*,\s*{ADDRESS})*$")
    """Some of its brokers, each with its port: one.example.com:9092, two.example.com:9092"""

    encryption: Literal["tls", "none"] = "tls"
    """`tls` for hosted clusters (Confluent Cloud: port 9092; Amazon MSK: 9094, 9096 or 9098) and all that
    others' networks lead to; `none` for one in your own network that has no TLS."""

    ca: str | None = None
    """The authority that signed the brokers' certificates, in PEM, where it is not a public one."""

    auth: Annotated[
        NoSignIn | Plain | Scram | Certificate | ClientCredentials, Field(discriminator="kind")
    ]
    """The way into the cluster. Client credentials are exchanged for a token (SASL OAUTHBEARER)."""

    registry_url: str | None = Field(None, pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    """Where the schema registry is, for records in Avro: https://registry.example.com"""

    registry_username: str | None = None
    registry_password: SecretStr | None = None

    @field_validator("servers", mode="before")
    @classmethod
    def _have_ports(cls, value: Any) -> Any:
        if isinstance(value, str):
            for each in value.split(","):
                if not re.fullmatch(ADDRESS, each.strip()):
                    raise ValueError(
                        f"{each.strip()!r} is no broker with its port, as in broker.example.com:9092"
                    )
        return value

    @field_validator("ca")
    @classmethod
    def _is_pem(cls, value: str | None) -> str | None:
        if value is not None and not re.search(r"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----", value):
            raise ValueError("is no certificate in PEM, which begins -----BEGIN CERTIFICATE-----")
        return value

    @property
    def base_url(self) -> str:
        """The address of the schema registry, to which paths are joined."""
        return (self.registry_url or "").rstrip("/")

    def headers(self) -> dict[str, str]:
        if self.registry_username is None:
            return {}
        password = self.registry_password.get_secret_value() if self.registry_password else ""
        both = base64.b64encode(f"{self.registry_username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    async def test(self) -> None:
        await self.reached(await self.client("AdminClient", {}))
        if self.registry_url is not None:
            await self.get("/subjects")

    async def client(self, kind: str, more: Mapping[str, Any]) -> KafkaClient:
        """Return one of librdkafka's clients, once an address of the cluster is known to be reachable."""
        await self.reach()
        loop, begin = asyncio.get_running_loop(), copy_context().run

        def token() -> tuple[str, float]:
            # The connection is to be used as by who opened this.
            return begin(asyncio.run_coroutine_threadsafe, self.token(), loop).result(TOKEN_SECONDS)

        settings = {**self.settings(), **more}
        # It may ask the loop for a token before it is made.
        return await anyio.to_thread.run_sync(KafkaClient, kind, settings, token, CONNECT_SECONDS)

    async def reach(self) -> None:
        """Return once an address of the cluster is known to be reachable.

        librdkafka opens sockets of its own. So the addresses that are given, and those of the brokers
        that the cluster names (`judge`), are held to the egress policy before it is let to them; what a
        name resolves to a moment later is beyond that.
        """
        addresses = [each.strip().rpartition(":") for each in self.servers.split(",")]
        failure: UpstreamError | None = None
        reached = False
        for host, _, port in addresses:
            try:
                (await self.dial(host, int(port), frozenset())).close()
            except EgressRefused:
                raise
            except UpstreamError as error:
                failure = error
            else:
                reached = True
        if failure is not None and not reached:
            raise failure

    async def reached(self, client: KafkaClient) -> None:
        """Return once the cluster has answered a client, and its brokers may be called."""
        try:
            metadata = await anyio.to_thread.run_sync(client.metadata)
        except UpstreamError as error:
            raise await self.explained(error) from error
        await self.judge((each.host, each.port) for each in metadata.brokers.values())

    async def explained(self, error: UpstreamError) -> UpstreamError:
        """Return an error with what to change, where a broker's handshake shows that."""
        if isinstance(error, Unauthorized) or not any(each in error.message for each in UNREACHED):
            return error
        if "certificate verify failed" in error.message:
            hint = UNVERIFIED
        else:
            hint = await self._advice()
        if not hint:
            return error
        if hint == NOT_TAKEN:
            return Unauthorized(f"{error.message}: {hint}")
        message = f"{error.message}: {hint}"
        return UpstreamError(message, retryable=error.retryable, in_doubt=error.in_doubt)

    async def _advice(self) -> str:
        host, _, port = self.servers.split(",")[0].strip().rpartition(":")
        try:
            connected = await self.dial(host, int(port), frozenset())
        except UpstreamError:
            return ""
        peer = await anyio.to_thread.run_sync(find_peer, connected, host)
        return advice(
            peer,
            encrypts=self.encryption == "tls",
            certified=isinstance(self.auth, Certificate),
            anonymous=isinstance(self.auth, NoSignIn),
        )

    async def judge(self, brokers: Iterable[tuple[str, int]]) -> None:
        """Refuse brokers that the cluster names and that may not be called; one may be down."""
        for host, port in brokers:
            try:
                (await self.dial(host, port, frozenset())).close()
            except EgressRefused as error:
                raise EgressRefused(f"a broker that the cluster names: {error.message}") from error
            except UpstreamError:
                continue

    def settings(self) -> dict[str, Any]:
        """Return what librdkafka has to know of the cluster."""
        auth, found = self.auth, dict[str, Any]()
        if isinstance(auth, ClientCredentials):
            found["sasl.mechanism"] = "OAUTHBEARER"
        elif isinstance(auth, Certificate):
            found["ssl.certificate.pem"] = auth.certificate
            found["ssl.key.pem"] = auth.private_key.get_secret_value()
        else:
            found |= auth.sasl()
        if self.ca is not None:
            found["ssl.ca.pem"] = self.ca
        transport = "SSL" if self.encryption == "tls" else "PLAINTEXT"
        return {
            **found,
            "bootstrap.servers": self.servers,
            "security.protocol": f"SASL_{transport}" if "sasl.mechanism" in found else transport,
            "client.id": "halflap",
            "reconnect.backoff.max.ms": 5_000,
        }

    async def token(self) -> tuple[str, float]:
        """Return a token of the cluster's OAuth server and when it ends, in seconds since 1970."""
        auth = self.auth
        if isinstance(auth, ClientCredentials) and auth.is_stale():
            auth = (await self.refreshed()).auth
        if not isinstance(auth, ClientCredentials) or auth.access_token is None:
            raise Unauthorized("the OAuth server gave no token; connect again")
        ends = auth.expires_at or datetime.now(UTC) + timedelta(hours=1)
        return auth.access_token.get_secret_value(), ends.timestamp()


component = Component(
    "kafka",
    title="Apache Kafka",
    description="Run a flow for each record of a topic, and publish records.",
    connection=Kafka,
)


# A broker as a handshake finds it -------------------------------------------------------------

Peer = Literal["plain", "tls", "demands a certificate"]

HANDSHAKE_SECONDS = 3.0
HEARD_SECONDS = 0.5
"""Seconds in which a broker says that it demands a certificate: TLS 1.3 does so after the handshake."""

NOT_TAKEN = "the brokers did not take the certificate: is it of an authority that they trust?"


def find_peer(connected: socket.socket, host: str) -> Peer:
    """Return what a broker speaks at an address that was connected to; blocks, and closes it.

    Nothing is sent but a handshake, so it does not matter who is there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connected.settimeout(HANDSHAKE_SECONDS)
    with connected:
        try:
            with context.wrap_socket(connected, server_hostname=host) as encrypted:
                encrypted.settimeout(HEARD_SECONDS)
                try:
                    encrypted.recv(1)
                except TimeoutError:  # it waits for us
                    return "tls"
        except ssl.SSLError as error:
            demands = "CERTIFICATE_REQUIRED" in error.reason or "HANDSHAKE_FAILURE" in error.reason
            return "demands a certificate" if demands else "plain"
        except OSError:
            return "plain"
    return "demands a certificate"  # it hung up, without a word: as who waits for requests does not


def advice(peer: Peer, *, encrypts: bool, certified: bool, anonymous: bool) -> str:
    """Return what to change on a connection that reached a broker and was not served; empty: nothing."""
    match peer:
        case "plain" if encrypts:
            return (
                "there is no TLS at this port: choose the encryption none, or the port at which the "
                "brokers speak TLS"
            )
        case "tls" | "demands a certificate" if not encrypts:
            return "the brokers speak TLS at this port: choose the encryption tls"
        case "demands a certificate" if certified:
            return NOT_TAKEN
        case "demands a certificate":
            return "the brokers demand a certificate: sign in with one (kind: certificate)"
        case _ if anonymous:
            return "where a cluster demands a sign-in, it ends such connections: choose how one signs in"
        case _:
            return ""
