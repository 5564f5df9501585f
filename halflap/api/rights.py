"""Rights at the API: what each one allows, and which of them a role or a customer's token has.

A route names the rights that it needs (`needs`, in asking.py). docs/access.md has these tables; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from halflap.model import Access, TeamRole

Right = Literal[
    "read",
    "payloads",
    "private_payloads",
    "operate",
    "configure",
    "publish",
    "events",
    "secrets",
    "admin",
]

RIGHTS: Mapping[Right, str] = MappingProxyType(
    {
        "read": "look at everything but payloads and secrets",
        "payloads": "see events, inputs, results, log fields, and customers' config values",
        "private_payloads": "the same of customers that are [private](#private-customers)",
        "operate": "replay, cancel, signal, dismiss, pause, bulks, test a connection",
        "configure": "customers, instances, connections, limits, offers, upgrades",
        "publish": "versions, component sets, drafts, lint, recordings",
        "events": "declare [your product's event types](export.md), publish its events",
        "secrets": "see the secrets of endpoints, rotate those of receivers, see links that approve",
        "admin": "users, keys, tokens, the team's OAuth apps, audit, erasure, retention",
    }
)
"""By right, what it lets its holder do."""

ALL = frozenset[Right](RIGHTS)

ROLES: Mapping[TeamRole, frozenset[Right]] = MappingProxyType(
    {
        "owner": ALL,
        "developer": ALL - {"admin"},
        "support": frozenset[Right]({"read", "payloads", "operate"}),
        "viewer": frozenset[Right]({"read"}),
    }
)

_READ = frozenset[Right]({"read", "payloads", "private_payloads"})
_MANAGE = _READ | frozenset[Right]({"operate", "configure"})
ACCESSES: Mapping[Access, frozenset[Right]] = MappingProxyType(
    {"read": _READ, "manage": _MANAGE, "secrets": _MANAGE | frozenset[Right]({"secrets"})}
)
"""By a customer's token's access, its rights with what is that customer's."""
