"""From an endpoint to the flow that takes its requests, kept until the catalogue changes."""

from __future__ import annotations

from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.gateway.route import EndpointRoute
from halflap.model import FlowKey, owner_of
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.shared import PREFIX as SHARED


class RouteTable:
    """The routes of open endpoints, as the catalogue has them now, whichever process changed it."""

    def __init__(self, catalogue: Catalogue, library: Library, resolver: Resolver) -> None:
        self._catalogue = catalogue
        self._library = library
        self._resolver = resolver
        self._known: dict[str, EndpointRoute] = {}
        self._known_at = -1

    def known(self, endpoint: str) -> EndpointRoute | None:
        """A route that was found before."""
        return self._known.get(endpoint)

    async def find(self, endpoint: str) -> EndpointRoute | None:
        """The route of an open endpoint."""
        catalogue = self._catalogue
        if self._known_at != catalogue.changed:
            self._known.clear()
            self._known_at = catalogue.changed
        if endpoint in self._known:
            return self._known[endpoint]
        at = self._known_at
        route = await self._read(endpoint)
        # A secret that was replaced is good for a while only, which no change tells the end of.
        if route is not None and at == catalogue.changed and len(route.secrets) < 2:
            self._known[endpoint] = route
        return route

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
        if flow is None or not flow.has_url:
            return None
        flow = await self._resolver.builder.flow_of(
            integration, flow, instance.id, instance.revision
        )
        seal, _ = self._resolver.builder.seals(instance.customer)
        key = FlowKey(
            instance.customer,
            instance.id,
            instance.integration,
            found.flow,
            instance.version,
            instance.revision,
        )
        return EndpointRoute(
            endpoint=endpoint,
            url=self._resolver.builder.url(endpoint),
            flow=key,
            definition=flow,
            secrets=await self._resolver.signers(instance, integration, flow, endpoint),
            seal=seal,
            settled=instance.state == "active",
        )
