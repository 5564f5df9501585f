"""The settings of a server, and of commands that speak to one: from the environment, with defaults.

Nothing here needs to be set on a laptop.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from halflap.errors import ConfigError

PREFIX = "HALFLAP_"
REMOTE = re.compile(r"HALFLAP_(SERVER|TOKEN)_([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A server elsewhere that has a name, such as `staging`."""

    url: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server process runs with, and which server commands speak to.

    dir: where the store, its key and its caches live.
    host, port: where it listens. public_url: how senders reach it, where that differs.
    token: of the management API; made and kept in `dir` where it is not given.
    keys: master keys of the secrets, `id:base64,…`, newest first; kept in `dir` where not given.
    egress_allow: hosts and networks that integrations may call although they are not public.
    room: how many executions run at once. retention_days: how long ended executions are kept.
    drain_seconds: how long a stopping server lets running executions end.
    body_bytes, header_bytes, connections, connections_per_address: limits of the edge.
    log: `text` for people, `json` for machines. watchdog_seconds: how long the loop may be blocked.
    server: the URL of the server that commands speak to, where it is not the one on this machine.
    remotes: servers that have a name, from `HALFLAP_SERVER_STAGING` and `HALFLAP_TOKEN_STAGING`.
    """

    dir: Path = Path(".halflap")
    host: str = "127.0.0.1"
    port: int = 8400
    public_url: str = ""
    token: str = ""
    keys: str = ""
    egress_allow: tuple[str, ...] = ()
    room: int = 500
    retention_days: int = 30
    drain_seconds: float = 20.0
    body_bytes: int = 6 * 1024 * 1024
    header_bytes: int = 16 * 1024
    connections: int = 10_000
    connections_per_address: int = 1_000
    log: str = "text"
    watchdog_seconds: float = 30.0
    server: str = ""
    remotes: Mapping[str, Remote] = field(default_factory=dict[str, Remote])

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """From the environment; what is `given` (and not None) stands above it.

        A value that cannot be read, or a `HALFLAP_…` that is no setting, is a `ConfigError`.
        """
        known = {each.name: each for each in fields(cls) if each.name != "remotes"}
        values: dict[str, Any] = {}
        remotes: dict[str, Remote] = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            if remote := REMOTE.fullmatch(variable):
                what, target = remote[1], remote[2].lower().replace("_", "-")
                part = {"url" if what == "SERVER" else "token": text}
                remotes[target] = replace(remotes.get(target, Remote()), **part)
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in known:
                raise ConfigError(
                    f"{variable} is no setting of Halflap; there are: "
                    f"{', '.join(PREFIX + each.upper() for each in known)}"
                )
            values[name] = converted(variable, text, known[name].default)
        values["remotes"] = remotes
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)


def converted(variable: str, text: str, default: object) -> object:
    """A variable's text as a value of its default's type."""
    try:
        if isinstance(default, Path):
            return Path(text)
        if isinstance(default, tuple):
            return tuple(each.strip() for each in text.split(",") if each.strip())
        if isinstance(default, int):
            return int(text)
        return float(text) if isinstance(default, float) else text
    except ValueError as error:
        kind = "whole number" if isinstance(default, int) else "number"
        raise ConfigError(f"{variable}={text!r} is no {kind}") from error
