"""Checks a pre-process flow: its trigger, and the routes that its events take."""

from __future__ import annotations

from typing import Any

from halflap.lowcode.document import Document
from halflap.lowcode.fixes import instead_of
from halflap.lowcode.layered import Layered
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.calls import Calls
from halflap.lowcode.lint.examples import Examples
from halflap.lowcode.lint.flow import REQUEST, check_trigger
from halflap.lowcode.lint.reader import TemplateReader
from halflap.lowcode.lint.rules import suggest
from halflap.lowcode.lint.scope import ScopedName
from halflap.lowcode.lint.state import FlowState
from halflap.lowcode.routing import ONES_OWN
from halflap.lowcode.source import Path


def check_preprocess(
    document: Document,
    name: str,
    calls: Calls,
    reader: TemplateReader,
    common: Layered[ScopedName],
) -> None:
    """Check one pre-process flow."""
    part = document.preprocess[name]
    path: Path = ("preprocess", name)
    event = check_trigger(part, path, calls, reader, Examples(document), common)
    names = common.inner({"event": ScopedName(schema=event)})
    reader.template(part.sender, (*path, "sender"), FlowState(REQUEST))
    if part.shared:
        names = Layered({name: each for name, each in names.items() if name not in ONES_OWN})
    always: int | None = None
    for at, route in enumerate(part.routes):
        place = (*path, "routes", at)
        if always is not None and not part.all:
            line = reader.findings.source.place((*path, "routes", always)).line
            said = (
                f"this is never taken: the route at line {line} has no `when`, so it always holds"
            )
            reader.findings.add(rules.UNREACHABLE, place, said)
            break
        always = at if route.when is None else None
        if route.flow is not None and route.flow not in document.flows:
            said, flows = "there is no flow", document.flows
            reader.findings.add_unknown(rules.NO_SUCH, said, route.flow, flows, (*place, "flow"))
        _check_field(document, route.config, (*place, "config"), reader)
        for key in ("when", "event", "customer", "config", "instance", "ignore"):
            reader.template(getattr(route, key), (*place, key), FlowState(names))


def _check_field(
    document: Document, config: dict[str, Any], path: Path, reader: TemplateReader
) -> None:
    """Check the field that an instance is found by: of the config, or of a connection in it."""
    reader.config.update(config)
    for name in config:
        if name.partition(".")[0] not in document.fields:
            there = suggest(name, document.fields, "it has")
            said = f"the config has no field {name!r}; {there}"
            mend = instead_of(name.partition(".")[0], document.fields)
            reader.findings.add(rules.NO_FIELD, (*path, name), said, key=True, mend=mend)
