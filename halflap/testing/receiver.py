"""`receive`: what an app sends to a trigger, through the gateway's own code, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlencode

from halflap.engine.clock import MADE_AT
from halflap.errors import DefinitionError
from halflap.gateway.app import PREFIX, Gateway
from halflap.gateway.route import EndpointRoute
from halflap.model import (
    SEALED,
    FlowKey,
    Order,
    Outcome,
    Rejection,
    Start,
    Started,
    to_datetime,
    to_micros,
)
from halflap.sdk import codec
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.request import Headers, Request, as_request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import BoundTrigger, Trigger
from halflap.testing.instance import (
    CUSTOMER,
    HOOKS,
    INSTANCE,
    TestInstance,
    endpoint_secret,
    integration_of,
)
from halflap.testing.runner import Run, as_bytes

ENDPOINT = "hk_test"
URL = f"{HOOKS}/{ENDPOINT}"


@dataclass(frozen=True, slots=True)
class Received:
    """The gateway's handling of a request: its answer, and the events that it accepted.

    `started` are the accepted events as their flow gets them, `keys` and `deliveries` the records'
    and the deliveries' ids, `orders` the orders that they are in, place by place. `noted` says what
    was counted instead (`handshake`, `filtered`), `reason` why it was rejected, which no sender is
    told.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    started: Sequence[Request] = ()
    keys: Sequence[str | None] = ()
    deliveries: Sequence[str | None] = ()
    orders: Sequence[Order | None] = ()
    duplicates: int = 0
    noted: Sequence[str] = ()
    reason: str = ""
    trigger: BoundTrigger[Any] | None = field(default=None, repr=False)

    @property
    def json(self) -> Any:
        """The answer's body as JSON."""
        return codec.decode(self.body)

    @property
    def text(self) -> str:
        """The answer's body as text."""
        return self.body.decode()

    async def events(self) -> list[Any]:
        """The accepted events, read by the trigger: typed, or `Ignore`."""
        assert self.trigger is not None
        return [await self.trigger.parse(each) for each in self.started]


class Receive:
    """Sends requests to a flow or a trigger; it remembers deliveries, so a repeated one is known."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._intakes: dict[int, tuple[Any, ReceiverIntake]] = {}

    async def __call__(
        self,
        flow: Flow[Any, Any, Any] | Trigger[..., Any] | BoundTrigger[Any],
        body: Any = None,
        *,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        path: str = "",
        query: str = "",
        secret: str | None = None,
        sign: bool | str = True,
        id: str = "msg_1",
        now: datetime | None = None,
        signed_at: datetime | None = None,
        **options: Any,
    ) -> Received:
        """Send a request as the app would, signed as the trigger's layout says.

        body: text or bytes as they are, anything else as JSON; `form` is sent urlencoded.
        secret: the one that the endpoint knows. sign: whether to sign, or a secret to sign with.
        id: the message's, where the layout signs one. now, signed_at: when it came and was signed.
        options: those of `run`, for a flow whose result is the answer.
        """
        target = as_flow(flow)
        declared = target.trigger.declaration
        if not declared.methods:
            raise DefinitionError(
                f"{target.name} is not called by a URL: run(flow, body, headers=…) tests it, and "
                "check_listener its listener"
            )
        secret = secret or endpoint_secret(target.name).get_secret_value()
        at = now or to_datetime(MADE_AT)
        usual = "application/x-www-form-urlencoded" if form is not None else "application/json"
        data = urlencode(form, doseq=True).encode() if form is not None else as_bytes(body)
        sent = dict(headers or {})
        content = Headers(sent.items()).get("content-type")
        if content is None:
            content = sent["Content-Type"] = usual
        if sign is not False and declared.verify is not None:
            signer: Any = declared.verify
            if not hasattr(signer, "sign"):
                raise DefinitionError(
                    f"{target.trigger.name}: {type(signer).__name__} cannot sign; sign in the test "
                    "and give sign=False and headers=…"
                )
            made: dict[str, str] = signer.sign(
                data,
                secret if sign is True else sign,
                signed_at or at,
                id=id,
                method=method,
                url=f"{URL}{path}{'?' if query else ''}{query}",
                content_type=content,
            )
            sent = {**made, **sent}
        intake = self._intake(flow)
        intake.begin(target, self._run, options)
        if target.reads_config:
            given = TestInstance(integration_of(target), options.get("config", {}), None, {}, None)
            target = target.resolved(given.config)
        scope = {
            "type": "http",
            "method": method,
            "path": f"{PREFIX}{ENDPOINT}{unquote(path)}",
            "raw_path": f"{PREFIX}{ENDPOINT}{path}".encode(),
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in sent.items()],
        }
        return await intake.send(target, scope, data, secret, at)

    def _intake(self, flow: Any) -> ReceiverIntake:
        return self._intakes.setdefault(id(flow), (flow, ReceiverIntake()))[1]


class ReceiverIntake:
    """An engine, as far as the gateway needs one: it knows duplicates, and runs for an answer."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._flow: Any = None
        self._run: Run | None = None
        self._options: dict[str, Any] = {}
        self.starts: list[Start] = []
        self.duplicates = 0

    def begin(self, flow: Flow[Any, Any, Any], run: Run, options: dict[str, Any]) -> None:
        """Get ready for one request."""
        self._flow, self._run, self._options = flow, run, options
        self.starts, self.duplicates = [], 0

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        """Accept events; a delivery that came before is a duplicate."""
        answers: list[Started] = []
        for each in starts:
            key = each.dedupe.key if each.dedupe is not None else each.execution
            first = self._first.setdefault(key, each.execution)
            if first == each.execution:
                self.starts.append(each)
                answers.append(Started(each.execution))
            else:
                self.duplicates += 1
                answers.append(Started(each.execution, first))
        return answers

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        """Run the flow for the first event, as its trigger answers with the result."""
        assert self._run is not None
        if not self.starts:
            return None
        request = opened(self.starts[0])
        return (await self._run(self._flow, request, **self._options)).outcome

    async def send(
        self,
        flow: Flow[Any, Any, Any],
        scope: dict[str, Any],
        body: bytes,
        secret: str,
        at: datetime,
    ) -> Received:
        """Hand a request to a gateway, and gather what it does."""
        rejected: list[Rejection] = []
        noted: list[str] = []
        route = EndpointRoute(
            endpoint=ENDPOINT,
            url=URL,
            flow=FlowKey(CUSTOMER.id, INSTANCE, integration_of(flow).name, flow.name, "test", 1),
            definition=flow,
            secrets=(secret,),
            seal=lambda text: text,
        )

        async def find(endpoint: str) -> EndpointRoute | None:
            return route if endpoint == ENDPOINT else None

        def count(instance: str, flow: str, what: str) -> None:
            noted.append(what)

        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        gateway = Gateway(find, self, lambda: to_micros(at), reject=rejected.append, count=count)
        await gateway(scope, receive, send)
        head, content = sent
        return Received(
            status=head["status"],
            headers={name.decode(): value.decode("latin-1") for name, value in head["headers"]},
            body=content["body"],
            started=[opened(each) for each in self.starts],
            keys=[each.key for each in self.starts],
            deliveries=[each.dedupe.key if each.dedupe else None for each in self.starts],
            orders=[each.order for each in self.starts],
            duplicates=self.duplicates,
            noted=noted,
            reason=rejected[0].reason if rejected else "",
            trigger=flow.trigger,
        )


def opened(start: Start) -> Request:
    """An accepted event as its flow's trigger gets it."""
    headers = Headers((n, value.removeprefix(SEALED)) for n, value in start.event.headers)
    return as_request(start.event, headers)


def as_flow(target: Flow[Any, Any, Any] | Trigger[..., Any] | BoundTrigger[Any]) -> Any:
    """The flow itself; for a trigger, a flow that returns its event."""
    if isinstance(target, Flow):
        return target
    integration: Integration[Config] = Integration("test")

    @integration.flow(trigger=target)
    async def received(ctx: Context[Config], event: Any) -> Any:
        return event

    return received
