"""Operations on the team's own OAuth apps."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from halflap.api.operations.kinds import Kind, Kinds
from halflap.api.operations.shared import LONGEST_SECRET
from halflap.errors import ConfigError, Conflict, Unrouted
from halflap.model import OAuthApp
from halflap.sdk.oauth import OAuth2Code, check_callback
from halflap.sdk.origin import origin
from halflap.sdk.request import Request, as_request
from halflap.store.catalogue.oauth_apps import OAuthApps
from halflap.store.catalogue.unrouted import UnroutedEvents

_ORIGIN = re.compile(r"https?://(?:\*\.)?[A-Za-z0-9.-]+(?::\d+)?/?")


Redeliver = Callable[[str, Request], Awaitable[int]]
"""Hands an event that was sent to an app's endpoint to the flows that take it by now."""


@dataclass(slots=True)
class TeamApps:
    """Stores, lists and removes the team's own OAuth apps."""

    apps: OAuthApps
    unrouted: UnroutedEvents
    kinds: Kinds
    address: Callable[[str], str]
    """The URL of an endpoint's id."""
    redeliver: Redeliver

    async def put(
        self,
        component: str,
        client_id: str,
        secret: str | None,
        callback: str,
        origins: Sequence[str],
        signing: str | None = None,
    ) -> OAuthApp:
        """Store the app of a component; what is left out stays as it was.

        `signing` is the secret that it signs its events with. `ConfigError` where the stored secret
        would be sent to an origin that it was not given for.
        """
        before = await self.apps.get(component)
        kind = await self.kinds.get(component)
        check_signing(kind, component, signing)
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
        return await self.apps.put(component, client_id, secret, callback, chosen, signing)

    async def url(self, app: OAuthApp) -> str | None:
        """Return the URL at which an app sends the events of all accounts; None where it does not."""
        declared = await self.kinds.app_endpoint(app.component)
        return None if declared is None else self.address(app.endpoint)

    async def replay(self, component: str, id: str) -> int:
        """Start the flows that take an unrouted event by now; returns how many.

        Raises `Conflict` where there is still none: the event stays.
        """
        app = await self.apps.get(component)
        found = await self.unrouted.get(component, id)
        if app is None or found.event is None:
            raise OAuthApps.missing(component)
        try:
            started = await self.redeliver(app.endpoint, as_request(found.event))
        except Unrouted as error:
            raise Conflict(error.message) from error
        await self.unrouted.remove(component, id)
        return started

    async def components(self) -> set[str]:
        """Return the components whose forms ask for no client."""
        return {each.component for each in await self.apps.list()}


def check_signing(kind: Kind, component: str, signing: str | None) -> None:
    """Refuse a signing secret that nothing is verified with, or that is none."""
    if signing is None:
        return
    if kind.app_endpoint is None:
        raise ConfigError(
            f"{component} has no app endpoint: its app sends events to a URL of each flow",
            fields={"signing_secret": "is of no use here"},
        )
    if not 0 < len(signing) <= LONGEST_SECRET:
        raise ConfigError(
            f"a secret has 1 to {LONGEST_SECRET} characters",
            fields={"signing_secret": "is no secret"},
        )


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
