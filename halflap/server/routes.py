"""From an endpoint to the flows that take its requests, kept until the catalogue changes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from halflap.api.operations.kinds import Kinds
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.errors import DefinitionError, NotFound
from halflap.gateway.route import AppRoute, EndpointRoute, Receivers
from halflap.model import SEALED_HEADERS, Event, FlowKey, owner_of, to_micros
from halflap.sdk.app_endpoint import AppEndpoint
from halflap.sdk.dedupe import digest_of_body
from halflap.sdk.request import Request
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.oauth_apps import PREFIX as APP
from halflap.store.catalogue.shared import PREFIX as SHARED

MOST_ACCOUNTS = 10_000
"""The accounts and the customers whose receivers are remembered."""
TAKING = ("active", "activating", "upgrading")


class RouteTable:
    """The routes of open endpoints, as the catalogue has them now, whichever process changed it."""

    def __init__(self, catalogue: Catalogue, library: Library, resolver: Resolver) -> None:
        self._catalogue = catalogue
        self._library = library
        self._resolver = resolver
        self._kinds = Kinds(catalogue, library)
        self._known: dict[str, EndpointRoute | AppRoute] = {}
        self._receivers: dict[tuple[str, str], Receivers] = {}
        self._known_at = -1

    def known(self, endpoint: str) -> EndpointRoute | None:
        """A route that was found before."""
        found = self._known.get(endpoint)
        return found if isinstance(found, EndpointRoute) else None

    def _forget_old(self) -> int:
        """Forget what was read before the catalogue changed; returns its number of changes."""
        if self._known_at != self._catalogue.changed:
            self._known.clear()
            self._receivers.clear()
            self._known_at = self._catalogue.changed
        return self._known_at

    async def find(self, endpoint: str) -> EndpointRoute | AppRoute | None:
        """The route of an open endpoint."""
        at = self._forget_old()
        if endpoint in self._known:
            return self._known[endpoint]
        read = self._read_app if endpoint.startswith(APP) else self._read
        route = await read(endpoint)
        # A secret that was replaced is good for a while only, which no change tells the end of.
        if route is not None and at == self._catalogue.changed and len(route.secrets) < 2:
            self._known[endpoint] = route
        return route

    async def _read_app(self, endpoint: str) -> AppRoute | None:
        """The route of the endpoint of the team's OAuth app for a component."""
        app = await self._catalogue.oauth_apps.of_endpoint(endpoint)
        declared = None if app is None else await self._kinds.app_endpoint(app.component)
        if app is None or declared is None:
            return None
        return AppRoute(
            endpoint=endpoint,
            url=self._resolver.builder.url(endpoint),
            component=app.component,
            app=declared,
            declaration=declared.declaration,
            secrets=await self._catalogue.oauth_apps.signers(app.component),
            receivers=partial(self._receivers_of, app.component, declared),
            keep=partial(self._keep, app.component),
        )

    async def _receivers_of(self, component: str, app: AppEndpoint, account: str) -> Receivers:
        """Return who takes the events of an account: flows of all integrations and customers."""
        at, key = self._forget_old(), (component, account)
        if key in self._receivers:
            return self._receivers[key]
        found = await self._read_receivers(component, app, account)
        self._remember(key, found, at)
        return found

    def _remember(self, key: tuple[str, str], found: Receivers, at: int) -> None:
        if at == self._catalogue.changed:
            if len(self._receivers) >= MOST_ACCOUNTS:
                self._receivers.clear()
            self._receivers[key] = found

    async def _read_receivers(self, component: str, app: AppEndpoint, account: str) -> Receivers:
        routes: list[EndpointRoute] = []
        is_held = takes = False
        rows = await self._catalogue.oauth_apps.holders(component, account)
        for _, fields, name, state, endpoint in rows:
            if not holds(fields, app.field, account):
                continue
            is_held = True
            takes |= state in TAKING or endpoint is not None
            route = None if endpoint is None else await self._taking(endpoint, name)
            if route is not None:
                routes.append(route)
        if takes:
            return Receivers(tuple(routes))
        if is_held:
            why = f"no instance that uses a connection to {account} is active; activate one"
        else:
            why = f"nobody has connected {account} through the team's OAuth app; connect it"
        return Receivers((), f"{why}, then replay this")

    async def of_customer(self, customer: str) -> tuple[EndpointRoute, ...]:
        """Return the flows of a customer that are given events of the team's own product."""
        at, key = self._forget_old(), ("", customer)
        if key in self._receivers:
            return self._receivers[key].routes
        routes: list[EndpointRoute] = []
        for endpoint in await self._catalogue.endpoints.open_of(customer):
            # one that does not load stops no other
            with contextlib.suppress(NotFound, DefinitionError):
                route = await self.find(endpoint)
                if isinstance(route, EndpointRoute) and route.declaration.app_events is not None:
                    routes.append(route)
        self._remember(key, Receivers(tuple(routes)), at)
        return tuple(routes)

    async def _taking(self, endpoint: str, connection: str) -> EndpointRoute | None:
        """Return the route of a flow whose trigger takes the app's events by this connection."""
        try:
            route = await self.find(endpoint)
        except (NotFound, DefinitionError):  # a version that does not load stops no other's events
            return None
        if not isinstance(route, EndpointRoute) or route.connection != connection:
            return None
        return route if route.declaration.app_endpoint else None

    async def _keep(self, component: str, account: str, request: Request, reason: str) -> None:
        """Keep an event that nobody takes, without credentials that it came with."""
        sent = request.headers.raw
        event = Event(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=tuple(each for each in sent if each[0].lower() not in SEALED_HEADERS),
            body=request.body,
            received_at=to_micros(request.received_at),
            url=request.url,
            part=request.part,
        )
        digest = digest_of_body(f"{account}\n{request.query}\n".encode() + request.body)
        await self._catalogue.unrouted.keep(component, account, digest, reason, event)

    async def _read_shared(self, endpoint: str) -> EndpointRoute | None:
        """The route of an endpoint that is the integration's own, on the version that runs it."""
        shared = self._catalogue.shared
        found = await shared.find(endpoint)
        version = None if found is None else await shared.version(found)
        if found is None or version is None:
            return None
        flow = (await self._library.integration(version.hash)).flows.get(found.flow)
        if flow is None or not flow.is_shared:
            return None
        owner = owner_of(found.integration)
        seal, _ = self._resolver.builder.seals(owner)
        return EndpointRoute(
            endpoint=endpoint,
            url=self._resolver.builder.url(endpoint),
            flow=FlowKey(owner, owner, found.integration, found.flow, version.hash, 0),
            definition=flow,
            secrets=await shared.secrets(endpoint),
            seal=seal,
        )

    async def _read(self, endpoint: str) -> EndpointRoute | None:
        if endpoint.startswith(SHARED):
            return await self._read_shared(endpoint)
        catalogue = self._catalogue
        found = await catalogue.endpoints.find(endpoint)
        if found is None or not found.open:
            return None
        instance = await catalogue.instances.get(found.instance)
        integration = await self._library.integration(instance.version)
        flow = integration.flows.get(found.flow)
        if flow is None or not flow.has_endpoint:
            return None
        flow = await self._resolver.builder.flow_of(
            integration, flow, instance.id, instance.revision
        )
        seal, _ = self._resolver.builder.seals(instance.customer)
        return EndpointRoute(
            endpoint=endpoint,
            url=self._resolver.builder.url(endpoint),
            flow=instance.flow_key(found.flow),
            definition=flow,
            secrets=await self._resolver.signers(instance, integration, flow, endpoint),
            seal=seal,
            settled=instance.state == "active",
            connection=integration.connection_for(flow),
        )


def holds(fields: Mapping[str, Any], field: str, account: str) -> bool:
    """Return whether a connection is still to an account, through the team's OAuth app.

    That somebody signed in to it is known already; a changed field, or a client of its own, ends it.
    """
    way, _, name = field.partition(".")
    auth = fields.get(way, {})
    return str(auth.get(name, "")) == account and not auth.get("client_id")
