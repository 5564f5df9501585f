"""The routes of a pre-process flow, as a document writes them: the first that holds, or all that do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode.document import Document, PreprocessPart, RoutePart
from halflap.lowcode.frame import Frame, scope_of
from halflap.lowcode.kinds.run import Asked
from halflap.lowcode.observer import Tracer
from halflap.lowcode.source import Path, SourceText
from halflap.lowcode.template import Constant, ExpressionHost
from halflap.sdk.context import Context
from halflap.sdk.routing import Route, Routing
from halflap.sdk.schema import UNSET
from halflap.sdk.trigger import Ignore

ONES_OWN = ("config", "secrets", "customer", "instance")
"""The names that tell of one customer, which the flow of a shared URL has not."""


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route, compiled once."""

    when: Asked | None
    flow: str | None
    event: Asked | None
    whose: tuple[str, str, Asked] | None
    ignore: Asked | None

    def holds(self, frame: Frame) -> bool:
        """Return whether the route is to be taken."""
        return self.when is None or self.when.truth(frame)

    def route(self, frame: Frame) -> Route:
        """Where it leads."""
        assert self.flow is not None
        event = UNSET if self.event is None else self.event.value(frame)
        if self.whose is None:
            return Route(self.flow, event)
        how, field, value = self.whose
        said = value.text(frame)
        named: dict[str, Any] = {how: {field: said} if field else said}
        return Route(self.flow, event, **named)


def preprocess(
    source: SourceText, document: Document, name: str, observer: Tracer | None = None
) -> Callable[[Context[Any], Any], Awaitable[Routing]]:
    """An ordinary pre-process flow's function, which takes a document's routes."""
    part, path, used = document.preprocess[name], ("preprocess", name), set[str]()
    ways = [
        _way(source, document, each, (*path, "routes", at), used, observer)
        for at, each in enumerate(part.routes)
    ]
    _check(source, part, path, used)
    names = scope_of(used, document.flows, ())

    async def run(ctx: Context[Any], event: Any) -> Routing:
        frame = Frame(ctx, names(ctx, event), ExpressionHost(ctx))
        found: list[Route] = []
        for each in ways:
            if not each.holds(frame):
                continue
            if each.ignore is None:
                found.append(each.route(frame))
            elif not found:
                return Ignore(each.ignore.text(frame))
            if not part.all:
                break
        return found

    run.__doc__ = part.description
    return run


def _way(
    source: SourceText,
    document: Document,
    route: RoutePart,
    path: Path,
    used: set[str],
    observer: Tracer | None,
) -> CompiledRoute:
    if route.flow is not None and route.flow not in document.flows:
        has = ", ".join(document.flows)
        raise DefinitionError(
            f"there is no flow {route.flow!r} here; there are: {has}",
            where=source.at((*path, "flow")),
        )

    def asked(value: Any, *key: str) -> Asked | None:
        return None if value is None else Asked.of(value, source, (*path, *key), used)

    whose: tuple[str, str, Asked] | None = None
    for how, field, value in (
        ("customer", "", asked(route.customer, "customer")),
        ("instance", "", asked(route.instance, "instance")),
        *(("config", each, asked(v, "config", each)) for each, v in route.config.items()),
    ):
        if value is not None:
            whose = (how, field, value)
    when, event = asked(route.when, "when"), asked(route.event, "event")
    if observer is not None:
        when = observer.condition((*path, "when"), when or Asked(Constant(True), "", "`when`"))
    return CompiledRoute(when, route.flow, event, whose, asked(route.ignore, "ignore"))


def _check(source: SourceText, part: PreprocessPart, path: Path, used: set[str]) -> None:
    for at, each in enumerate(part.routes):
        names_one = each.customer is not None or each.instance is not None or bool(each.config)
        if each.flow is not None and names_one != part.shared:
            said = (
                "this URL is shared: say whose event it is, with `customer`, `config` or `instance`"
                if part.shared
                else "this URL is one instance's: leave out whose event it is, or add `shared: true`"
            )
            raise DefinitionError(said, where=source.at((*path, "routes", at)))
    if part.shared and (owns := sorted(used & set(ONES_OWN))):
        raise DefinitionError(
            f"this URL is shared by all customers, so it has nobody's `{owns[0]}`",
            where=source.at(path),
        )
