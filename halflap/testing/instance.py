"""The instance that a test runs as: an integration activated for a customer, with made-up answers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast, get_args
from urllib.parse import urlencode

from pydantic import SecretStr

from halflap.engine.builder import partner_of, refuse_secret, validated
from halflap.engine.executor import Work
from halflap.engine.routing import RouteTarget, check_takes_routes
from halflap.errors import DefinitionError, Unrouted
from halflap.lowcode.document import CustomerPart, InstancePart
from halflap.model import SYSTEM, FlowKey, StateWrite
from halflap.sdk import codec
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context, CustomerInfo, InstanceInfo
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.link import PREFIX, SignalLink
from halflap.sdk.pairs import Pairs, RecordState, pairs_scope
from halflap.sdk.record import Seal, encode_value
from halflap.sdk.routing import Route
from halflap.sdk.schema import Config, hints_of
from halflap.store.protocol import Journal
from halflap.testing.fake import Fake, FakeEgress
from halflap.testing.sample import sample_connection
from halflap.testing.stub import with_function

CUSTOMER = CustomerInfo(**CustomerPart().model_dump())
TEST_INSTANCE = InstanceInfo(**InstancePart().model_dump())
INSTANCE = TEST_INSTANCE.id
ROUTED = "ins_routed"
"""The owner of an event that a pre-process flow under test has handed on."""
HOOKS = "https://halflap.example/hooks"


class TestInstance:
    """An instance for a test: config, URLs, secrets, and where its requests go."""

    __test__ = False  # not a test, whatever pytest makes of its name

    def __init__(
        self,
        integration: Integration[Any],
        config: Config | Mapping[str, Any] | None,
        customer: CustomerInfo | str | None,
        urls: Mapping[str, str],
        fake: Fake | None,
        records: Mapping[str, Mapping[str, Any] | None] = MappingProxyType({}),
        *,
        instance: InstanceInfo | str | None = None,
        secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.integration = integration
        self.network = fake or Fake()
        self.records = dict(records)
        self._before = len(self.network.mistakes)
        self.config = None if config is None else self._filled(config)
        self.customer = (
            CustomerInfo(CUSTOMER.id, customer)
            if isinstance(customer, str)
            else customer or CUSTOMER
        )
        self.instance = (
            InstanceInfo(INSTANCE, instance)
            if isinstance(instance, str)
            else instance or TEST_INSTANCE
        )
        self.secrets = dict(secrets)
        made = {name: f"{HOOKS}/{name}" for name, flow in integration.flows.items() if flow.has_url}
        self.shared_urls = {
            name: f"{HOOKS}/{name}" for name, flow in integration.flows.items() if flow.is_shared
        }
        self.urls = {**made, **urls}

    @property
    def mistakes(self) -> list[DefinitionError]:
        """Requests that the test did not register."""
        return self.network.mistakes[self._before :]

    def resolve(
        self,
        flow: Flow[Any, Any, Any],
        called: Callable[[Flow[Any, Any, Any]], Flow[Any, Any, Any]],
    ) -> Callable[[FlowKey], Awaitable[Work]]:
        """Return the resolver through which the executor gets a flow's work."""
        siblings = self.integration.flows

        async def find(key: FlowKey) -> Work:
            if key.instance == ROUTED:
                return self._work(passed_on(siblings[key.flow]))
            is_own = key.flow == flow.name or key.flow.startswith(SYSTEM)
            return self._work(flow if is_own else called(siblings[key.flow]))

        return find

    async def aim(self, key: FlowKey, route: Route) -> RouteTarget:
        """Where a route leads: to its flow, which does nothing here, being another test's."""
        flow = self.integration.flows.get(route.name)
        if flow is None:
            raise Unrouted(f"{self.integration.name} has no flow {route.name!r}")
        check_takes_routes(flow)
        return RouteTarget(replace(key, flow=route.name, instance=ROUTED), flow, lambda text: text)

    def _work(self, flow: Flow[Any, Any, Any]) -> Work:
        siblings = self.integration.flows.items()
        return Work(
            flow=flow.resolved(self.config),
            config=self.config,
            customer=self.customer,
            instance=self.instance,
            urls={} if flow.is_shared else self.urls,
            secret=refuse_secret if flow.is_shared else self.secret,
            seal=self.seal,
            unseal=self.unseal,
            egress=FakeEgress(self.network),
            partner=None if self.config is None else partner_of(flow, self.config),
            ask=self.ask,
            siblings={name: each.resolved(self.config) for name, each in siblings},
            link=link,
            aim=self.aim,
            shared_urls={} if flow.is_shared else self.shared_urls,
        )

    async def ask(self, connection: Connection, record: RecordState) -> Mapping[str, Any] | None:
        """A record as the test says that it is at the app; where it says nothing, as the event is."""
        if record.name not in self.records:
            raise NotImplementedError
        return self.records[record.name]

    def secret(self, flow: str) -> SecretStr:
        """The signing secret of a flow's endpoint."""
        given = self.secrets.get(flow)
        return endpoint_secret(flow) if given is None else SecretStr(given)

    def seal(self, text: str) -> str:
        """A secret as a record of a test keeps it: hidden from the eye, no more."""
        return base64.b64encode(text.encode()).decode()

    def unseal(self, text: str) -> str:
        """Return the sealed text in clear."""
        return base64.b64decode(text).decode()

    def _filled(self, config: Config | Mapping[str, Any]) -> Config:
        if isinstance(config, Config):
            found = {
                name: self._linked(value, name)
                for name in self.integration.connections()
                if isinstance(value := getattr(config, name), Connection)
            }
            return config.model_copy(update=found)
        values = dict(config)
        for name, kind in self.integration.connections().items():
            value = values.get(name, {})
            made = value if isinstance(value, Connection) else sample_connection(kind, value)
            values[name] = self._linked(made, name)
        return validated(self.integration, values)

    def _linked(self, connection: Connection, name: str) -> Connection:
        return connection if connection._link is not None else self.network.link(connection, name)


def passed_on(flow: Flow[Any, Any, Any]) -> Flow[Any, Any, Any]:
    """A flow that got an event, and does nothing."""

    async def function(ctx: Context[Any], event: Any) -> None:
        return None

    made = with_function(flow, function)
    made.pairs = None
    return made


def link(link: SignalLink) -> str:
    """The URL of a link, which nobody serves in tests: it says what it does."""
    query = urlencode({"name": link.name, "choice": link.choice, "text": link.text})
    return f"https://halflap.example{PREFIX}test?{query}"


def endpoint_secret(flow: str) -> SecretStr:
    """The signing secret of a flow's endpoint: in tests, always the same."""
    digest = hashlib.sha256(flow.encode()).digest()
    return SecretStr("whsec_" + base64.b64encode(digest).decode())


def integration_of(flow: Flow[Any, Any, Any]) -> Integration[Any]:
    """The integration that a flow belongs to, as its module names it; else one made up for it."""
    for value in list(flow.function.__globals__.values()):
        found = cast("Integration[Any] | None", value if isinstance(value, Integration) else None)
        if found is not None and found.flows.get(flow.name) is flow:
            return found
    first = next(iter(hints_of(flow.function).values()), Any)
    arguments = get_args(first)
    config = arguments[0] if arguments and isinstance(arguments[0], type) else Config
    made: Integration[Any] = Integration(
        "test", config=config if issubclass(config, Config) else Config
    )
    made.flows[flow.name] = flow
    return made


# Preset data that lasts between executions: state of each scope, and pairs --------------------

Held = Mapping[tuple[str, str], bytes]
"""By scope and key."""

SHARED = ("instance", "integration")


def scopes_of(flow: Flow[Any, Any, Any], integration: Integration[Any]) -> dict[str, str]:
    """Where a flow's `ctx.state` is kept, and the state that it shares."""
    home = CUSTOMER.id if flow.is_shared else INSTANCE
    return {
        "flow": f"flow:{home}:{flow.name}",
        "instance": f"instance:{home}",
        "integration": f"integration:{integration.name}",
    }


def held(
    scopes: Mapping[str, str],
    state: Mapping[str, Any],
    shared: Mapping[str, Mapping[str, Any]],
    paired: Mapping[Pairs, Sequence[Mapping[str, str]]],
    seal: Seal,
) -> dict[tuple[str, str], bytes]:
    """Return the data that a flow finds, as it is stored."""
    if unknown := set(shared) - set(SHARED):
        raise DefinitionError(
            f"shared={{{min(unknown)!r}: …}}: state is shared by an `instance` or an `integration`"
        )
    return {
        (scopes[scope], key): encode_value(value, None, seal)
        for scope, values in {"flow": state, **shared}.items()
        for key, value in values.items()
    } | {
        (pairs_scope(INSTANCE, pairs), pairs.record(side, id).name): pairs.encoded(ids)
        for pairs, many in paired.items()
        for ids in many
        for side, id in pairs.ids(ids).items()
    }


async def keep(journal: Journal, values: Held) -> None:
    """Write what is kept into the state."""
    if values:
        await journal.write_state([StateWrite(*where, value) for where, value in values.items()])


async def state_in(journal: Journal, scope: str) -> dict[str, Any]:
    """The state of a scope."""
    return {key: codec.decode(each) for key, each in (await journal.list_state(scope)).items()}


async def pairs_in(
    journal: Journal, integration: Integration[Any]
) -> dict[str, list[dict[str, str]]]:
    """The pairs by their name, each once, in the order of their ids."""
    return {
        name: sorted(
            map(
                codec.decode,
                set((await journal.list_state(pairs_scope(INSTANCE, pairs))).values()),
            ),
            key=lambda ids: list(ids.values()),
        )
        for name, pairs in integration.paired.items()
    }
