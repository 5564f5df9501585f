"""Results of a pre-process flow: where an event goes on to, and why it goes nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from halflap.errors import DefinitionError
from halflap.sdk.request import Request
from halflap.sdk.schema import UNSET
from halflap.sdk.trigger import Ignore

if TYPE_CHECKING:
    from halflap.sdk.integration import Flow


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Hand the event on to a sibling flow: of this instance, or of the one that is named.

        Route(account)
        Route(account, changed, customer="4711")
        Route(account, config={"salesforce.auth.organization_id": org})

    Without an `event`, the flow's own trigger reads the request as it came, as if it had been sent
    to the flow's own URL; with one, the flow gets that. Of a shared endpoint, one of these says
    whose: `customer`, its id in your own product (`external_id`); `config`, one field that the
    instance has under that value, of its config or of a connection in it; or `instance`, its id.
    """

    flow: Flow[Any, Any, Any] | str
    event: Any = UNSET
    _: KW_ONLY
    customer: str | None = None
    config: Mapping[str, object] = field(default_factory=dict[str, object])
    instance: str | None = None

    def __post_init__(self) -> None:
        whose = [self.customer is not None, bool(self.config), self.instance is not None]
        if sum(whose) > 1 or len(self.config) > 1:
            raise DefinitionError(
                f"a Route to {self.name} says whose event it is in one way: customer=, instance=, or "
                "config= with one field"
            )

    @property
    def name(self) -> str:
        """The name of the flow."""
        return self.flow if isinstance(self.flow, str) else self.flow.name

    @property
    def whose(self) -> dict[str, str]:
        """The owner of the event, as plain data; empty where the route does not say."""
        if self.customer is not None:
            return {"customer": self.customer}
        if self.instance is not None:
            return {"instance": self.instance}
        return {f"config.{name}": str(value) for name, value in self.config.items()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Route:
        """A route as its step's inputs tell it: its flow by name, its event as plain data."""
        config = {n.removeprefix("config."): v for n, v in told.items() if n.startswith("config.")}
        named = {name: told[name] for name in ("customer", "instance", "event") if name in told}
        return cls(told["flow"], config=config, **named)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Route):
            return NotImplemented
        return (self.name, self.whose, self.event) == (other.name, other.whose, other.event)

    def __hash__(self) -> int:
        return hash((self.name, *self.whose.items()))

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.whose.items())])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Nothing takes the event: the execution fails with the reason, and can be replayed."""

    reason: str


Routing = Route | Sequence[Route] | Ignore | DeadLetter | None
"""The result of a pre-process flow; None, or no route at all, is a dead letter too."""

Sender = Callable[[Request], str | None]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """That a flow routes: for all customers of the integration where it is `shared`.

    `sender` reads of a request who sent it, so that what one sender floods the shared endpoint with
    does not hold up the others'.
    """

    shared: bool = False
    sender: Sender | None = None
