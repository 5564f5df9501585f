"""Rules for the addresses that integrations may call: every outgoing connection is held to them.

A URL is read once, by the parser whose result is also dialled. A name is resolved once, every
address that it has is judged, and only a judged address is connected to.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from yarl import URL

from halflap.errors import DefinitionError, EgressRefused

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a name, for a port; raises `OSError` where it has none."""

_AUTHORITY = re.compile(r"(?:https?)://([^/?#]*)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(
    r"(?=.{1,254}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_][a-z0-9_-]{0,62}\.?\Z"
)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")

# IANA's special-purpose registries, spelled out: `ipaddress.is_global` differs between Python
# versions, and calls several of these global (192.0.0.192, multicast, 6to4 of a loopback).
_SPECIAL = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's private address"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b:1::/48", "a local NAT64 address"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of addresses: public ones, over http and https, on ports 80, 443 and from 1024.

    `allow` adds what is not public: an address (`127.0.0.1`), a network (`10.0.0.0/8`), a host name
    (`localhost`), each with a port where only that one is meant (`localhost:8080`, `[::1]:25`).
    A host name is allowed whatever it resolves to.
    """

    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Allowed:
    name: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    def covers(self, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return self.name == host


class Rules:
    """A policy, made ready to judge URLs and addresses."""

    __slots__ = ("_allowed",)

    def __init__(self, policy: Policy) -> None:
        self._allowed = tuple(map(_allowed, policy.allow))

    def destination(self, url: str) -> URL:
        """The URL to dial; raises `EgressRefused` where it is malformed or may not be called.

        A host that is an address is judged here; the addresses of a name are judged when it is
        resolved.
        """
        destination, host, port = _read(url)
        try:
            address = ip_address(host)
        except ValueError:
            host = host.rstrip(".")
            if not (_ordinary(port) or any(each.port == port for each in self._allowed)):
                raise EgressRefused(_told(host, _PORT.format(port))) from None
            return destination
        self.check(host, port, address)
        return destination

    def check(self, host: str, port: int, address: IPv4Address | IPv6Address) -> None:
        """Raise `EgressRefused` unless `host` may be called on this port at this address."""
        host = host.rstrip(".")
        plain = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
        ordinary = _ordinary(port)
        for each in self._allowed:
            if each.covers(host, port, plain) and (ordinary or each.port == port):
                return
        if not ordinary and not any(each.covers(host, port, plain) for each in self._allowed):
            raise EgressRefused(_told(host, _PORT.format(port)))
        kind = not_public(address)
        if kind is not None:
            place = f"{host} is" if str(address) == host else f"it resolves to {address},"
            raise EgressRefused(_told(host, f"{place} {kind}"))


class PinnedResolver:
    """Resolves a name once and hands out its addresses only if every one of them may be called."""

    def __init__(self, rules: Rules, *, timeout: float, lookup: Lookup | None = None) -> None:
        self._rules = rules
        self._timeout = timeout
        self._lookup = lookup or _look_up

    async def dial(self, host: str, port: int, ports: frozenset[int]) -> socket.socket:
        """Connect by TCP to an address of a host that may be called, on one of these ports or an ordinary
        one; raises `EgressRefused` or `OSError`.
        """
        judged = 443 if port in ports else port
        self._rules.destination(f"https://{host}:{judged}/")
        found = await self.resolve(host, judged)
        loop, failure = asyncio.get_running_loop(), OSError(f"{host} cannot be reached")
        async with asyncio.timeout(self._timeout):
            for each in found:
                made = socket.socket(each["family"], socket.SOCK_STREAM)
                made.setblocking(False)
                try:
                    await loop.sock_connect(made, (each["host"], port))
                except OSError as error:
                    made.close()
                    failure = error
                except BaseException:
                    made.close()
                    raise
                else:
                    return made
        raise failure

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Find and judge the addresses of a host; raises `EgressRefused` or `OSError`."""
        async with asyncio.timeout(self._timeout):
            found = await self._lookup(host, port)
        addresses = [ip_address(each) for each in dict.fromkeys(found)]
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            self._rules.check(host, port, address)
        return [
            {
                "hostname": host,
                "host": str(address),
                "port": port,
                "family": socket.AF_INET if address.version == 4 else socket.AF_INET6,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def not_public(address: IPv4Address | IPv6Address) -> str | None:
    """Return the kind of an address that is not public; None if it is public.

    An IPv4 address in an IPv6 one (mapped, NAT64) is judged as itself; tunnels that end inside
    another network (6to4, Teredo) are never public.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "an address of one network interface"
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return not_public(inner)
    for network, kind in _SPECIAL:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "not a global unicast address"
    return None if address.is_global else "not a public address"


_PORT = "port {} is not one of 80, 443 and 1024 to 65535"


def _told(host: str, what: str) -> str:
    return (
        f"{host} may not be called: {what}. If it is meant, the server's operator adds it to "
        "HALFLAP_EGRESS_ALLOW, which lists what integrations may call although it is not public"
    )


def _ordinary(port: int) -> bool:
    return port >= 1024 or port in (80, 443)


def _read(url: str) -> tuple[URL, str, int]:
    """The URL as it will be dialled, its host and its port, if it can be read in one way only."""
    authority = _AUTHORITY.match(url)
    if authority is None or _CONTROL.search(url):
        raise EgressRefused(
            "The URL is not an absolute http or https URL; give it as https://host/path"
        )
    if "@" in authority[1]:
        raise EgressRefused("The URL carries a user name or password; give them as a header")
    if "\\" in authority[1] or "%" in authority[1]:
        raise EgressRefused("The URL's host has characters that no host name has; correct it")
    try:
        destination = URL(url)
        host, port = destination.raw_host, destination.port
    except ValueError:
        raise EgressRefused("The URL cannot be read; correct its host and port") from None
    if destination.scheme not in ("http", "https") or not host or not port:
        raise EgressRefused("The URL names no host and port that can be called; correct it")
    if ":" in host:
        return destination, host, port
    if "[" in authority[1] or not _NAME.match(host):
        raise EgressRefused("The URL's host has characters that no host name has; correct it")
    # `0x7f.1`, `2130706433` and `127.1` are addresses to some readers and names to others.
    if _NUMBER.match(host.rstrip(".").rpartition(".")[2]):
        try:
            IPv4Address(host)
        except ValueError:
            raise EgressRefused(
                f"{host} may be read as an address in more than one way; write it as four numbers"
            ) from None
    return destination, host, port


def _allowed(entry: str) -> _Allowed:
    head, colon, tail = entry.rpartition(":")
    port: int | None = None
    if colon and tail.isascii() and tail.isdigit() and (":" not in head or head.endswith("]")):
        entry, port = head, int(tail)
    entry = entry.removeprefix("[").removesuffix("]").lower().rstrip(".")
    try:
        return _Allowed(None, ip_network(entry, strict=False), port)
    except ValueError:
        pass
    if not _NAME.match(entry) or _NUMBER.match(entry.rpartition(".")[2]):
        raise DefinitionError(
            f"{entry!r} is not a host, an address or a network; write 127.0.0.1, 10.0.0.0/8, "
            "localhost or localhost:8080",
            where="allow",
        )
    return _Allowed(entry, None, port)


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]
