"""Operations on the team's own OAuth apps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from halflap.api.operations.kinds import Kind, Kinds, installed
from halflap.errors import ConfigError, NotFound
from halflap.model import OAuthApp
from halflap.sdk.oauth import OAuth2Code, check_callback
from halflap.sdk.origin import origin
from halflap.store.catalogue.oauth_apps import OAuthApps

_ORIGIN = re.compile(r"https?://(?:\*\.)?[A-Za-z0-9.-]+(?::\d+)?/?")


@dataclass(slots=True)
class TeamApps:
    """Stores, lists and removes the team's own OAuth apps."""

    apps: OAuthApps
    kinds: Kinds

    async def put(
        self,
        component: str,
        client_id: str,
        secret: str | None,
        callback: str,
        origins: Sequence[str],
    ) -> OAuthApp:
        """Store the app of a component; what is left out stays as it was.

        `ConfigError` where the stored secret would be sent to an origin that it was not given for.
        """
        before = await self.apps.get(component)
        kind = await self.kind(component)
        chosen = [each.lower().rstrip("/") for each in origins]
        chosen = chosen or list(before.origins if before else declared_origins(kind))
        if not chosen:
            raise ConfigError(
                f"{component} declares no address to sign in at; say where the client secret may be "
                "sent",
                fields={"origins": "is missing: an origin such as https://login.example"},
            )
        for each in chosen:
            if not _ORIGIN.fullmatch(each):
                raise ConfigError(
                    f"{each[:200]!r} is no origin",
                    fields={"origins": "is https://host, or https://*.host for all hosts below"},
                )
        if callback:
            check_callback(callback, "callback")
        elif before is not None:
            callback = before.callback
        if secret is None and before is not None and before.secret is not None:
            if not set(chosen) <= set(before.origins):
                raise ConfigError(
                    "the client secret was given for other origins; give it again",
                    fields={"client_secret": "is to be given again, as origins were added"},
                )
            secret = before.secret
        return await self.apps.put(component, client_id, secret, callback, chosen)

    async def components(self) -> set[str]:
        """Return the components whose forms ask for no client."""
        return {each.component for each in await self.apps.list()}

    async def kind(self, component: str) -> Kind:
        """Return the connection type of a component; `NotFound` where nothing has it."""
        if ":" not in component:
            return installed(component)
        found = await self.kinds.named(component)
        if found is None:
            raise NotFound(f"the type {component} is in no newest version and no target")
        return found


def declared_origins(kind: Kind) -> list[str]:
    """Return the origins of all URLs that a connection type and its ways to sign in declare."""
    found = [each for each in _defaults(kind) if each]
    auth = kind.model_fields.get("auth")
    if auth is not None:
        for way in (auth.annotation, *get_args(auth.annotation)):
            if isinstance(way, type) and issubclass(way, OAuth2Code):
                found += [each for each in _defaults(way) if each]
    return list(dict.fromkeys(found))


def _defaults(model: type[Any]) -> Iterator[str]:
    for field in model.model_fields.values():
        if isinstance(field.default, str):
            yield origin(field.default)
