"""The integration of a bundle: what its entry names, or what its YAML document describes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from halflap import lowcode
from halflap.engine.bundle import Bundle, component_modules, modules
from halflap.engine.definition import check_definition
from halflap.engine.loader import Loaded, load
from halflap.engine.lock import imports, unsatisfied
from halflap.errors import DefinitionError
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.budget import Budget, OverBudget
from halflap.sdk.component import Component
from halflap.sdk.integration import Integration

if TYPE_CHECKING:
    from halflap.lowcode.lint.shapes import ComponentShape
    from halflap.lowcode.observer import Tracer
    from halflap.sdk.lint import Finding


def load_integration(
    bundle: Bundle, cache: Path, observer: Tracer | None = None
) -> Integration[Any]:
    """Load a bundle (see `load`) and give its integration; a `DefinitionError` where it has none.

    `observer` watches the steps of a document.
    """
    loaded = load(bundle, cache)
    entry: Any = loaded.entry
    if bundle.document is not None:
        source = lowcode.read(dict(bundle.files)[bundle.document], bundle.document)
        return lowcode.build(source, components_of(bundle, loaded), observer)
    if not isinstance(entry, Integration):
        raise DefinitionError(
            f"it is no Integration but {type(entry).__name__}; name one", where=bundle.entry
        )
    return cast(Integration[Any], entry)


def check_findings(bundle: Bundle, found: Sequence[Finding]) -> None:
    """Refuse a bundle in which lint found errors: a `DefinitionError` names the first."""
    errors = [each for each in found if each.severity == "error"]
    in_sources = [each for each in errors if each.file != bundle.document]
    if in_sources:
        more = f" (and {len(in_sources) - 1} more: halflap lint)" if len(in_sources) > 1 else ""
        first = in_sources[0]
        raise DefinitionError(
            f"{first.code}: {first.message}{more}", where=f"{first.file}:{first.line}"
        )
    if errors:
        raise lowcode.NotADocument(errors)


def find_in_sources(bundle: Bundle) -> list[Finding]:
    """Lint a bundle's Python sources, by their text: nothing of them is run."""
    from halflap.sdk.lint import lint  # a process that publishes nothing needs none

    files = {path: content.decode("utf-8", "replace") for path, content in bundle.files}
    try:
        with Budget().running():
            return lint(files, known_actions(), known_records())
    except OverBudget as error:
        raise DefinitionError(f"{error}; split the integration", where=bundle.entry) from error


def find_in_document(bundle: Bundle, cache: Path) -> list[Finding]:
    """Lint a bundle's document beside its components, which are loaded."""
    from halflap.lowcode.lint import Shapes, lint_text

    if bundle.document is None:
        return []
    components = components_of(bundle, load(bundle, cache))
    content = dict(bundle.files)[bundle.document]
    return lint_text(content, bundle.document, Shapes(components), Budget())


def describe(bundle: Bundle, cache: Path, *, whole: bool = False) -> bytes:
    """Describe the components of a bundle's own modules, as `read_shapes` reads them.

    One that does not load is left out; with `whole`, it is a `DefinitionError`, as is one that would
    take the place of an installed component.
    """
    from halflap.lowcode.lint.shapes import dump_shapes, shape_of

    loaded = load(bundle, cache)
    components = components_of(bundle, loaded)
    found: dict[str, ComponentShape] = {}
    for name in component_modules(dict(bundle.files)):
        with nullcontext() if whole else suppress(DefinitionError):
            component = components.component(name)
            if whole and (taken := {name, component.name} & {*registry.names()}):
                raise DefinitionError(
                    f"a component {min(taken)!r} is installed; give yours a name of its own",
                    where=name,
                )
            found[name] = shape_of(component, loaded.folder)
    return dump_shapes(found)


def describe_set(bundle: Bundle, cache: Path) -> bytes:
    """Judge a bundle of components alone that is to be deployed, and describe them.

    Raises `DefinitionError` where one does not load here, or has what lint calls an error. The bundle's
    code is run, and may do so for ever: this belongs into a process with limits.
    """
    files = dict(bundle.files)
    for path in files:
        if path.endswith(".py"):
            imports(files[path], path)  # says of which file Python makes nothing
    if not component_modules(files):
        raise DefinitionError("no module of this bundle has a component", where=bundle.entry)
    check_lock(bundle)
    check_findings(bundle, find_in_sources(bundle))
    return describe(bundle, cache, whole=True)


@dataclass(frozen=True, slots=True)
class VersionDescription:
    """The description of a version, stored beside its bundle: `components` are those of its own.

    shared: its flows with an endpoint that all instances share.
    """

    name: str
    shared: Sequence[str]
    components: str


def find_in_version(bundle: Bundle, cache: Path) -> list[Finding]:
    """Lint a bundle that is to be published, in its document too, whose components are loaded.

    Where they do not load, `describe_version` says why.
    """
    found = find_in_sources(bundle)
    with suppress(DefinitionError):
        found += find_in_document(bundle, cache)
    return found


def describe_version(bundle: Bundle, cache: Path, found: Sequence[Finding]) -> VersionDescription:
    """Judge a bundle that is to be published, in which lint found this, and describe it.

    Raises `DefinitionError` where it does not load here, or has what would fail once it is activated.
    As for `describe_set`, this belongs into a process with limits.
    """
    check_findings(bundle, found)
    integration = load_integration(bundle, cache)
    check_definition(integration)
    shared = [flow for flow, each in integration.flows.items() if each.is_shared]
    return VersionDescription(integration.name, shared, describe(bundle, cache).decode())


def check_lock(bundle: Bundle) -> None:
    """Refuse a bundle that is to be deployed and needs what is not installed."""
    if lacking := unsatisfied(bundle.lock):
        raise DefinitionError(
            f"it does not run here: {'; '.join(lacking)}; install that where the server runs, then "
            "deploy again"
        )


def built_in() -> dict[str, Component]:
    """Return the components that come with Halflap, by the names that sources import them by.

    Imported when something is linted: a worker that publishes nothing does not load them.
    """
    from halflap import http, salesforce, sns

    return {
        "halflap.http": http.component,
        "halflap.salesforce": salesforce.component,
        "halflap.components.salesforce": salesforce.component,
        "halflap.sns": sns.component,
        "halflap.components.sns": sns.component,
    }


def known_actions() -> frozenset[str]:
    """Return the actions of components that come with Halflap, as sources import them."""
    return frozenset(
        f"{path}.{name}" for path, component in built_in().items() for name in component.actions
    )


def known_records() -> dict[str, str]:
    """Return the records that those components' actions write, and their triggers read."""
    found: dict[str, str] = {}
    for path, component in built_in().items():
        for name, action in component.actions.items():
            if action.writes is not None:
                found[f"{path}.{name}"] = f"{component.name}/{action.writes.kind}"
        for name, trigger in component.triggers.items():
            if any(each.required for each in trigger.shape.inputs):
                continue  # it is nothing without them
            if (reads := trigger().declaration.reads) is not None:
                found[f"{path}.{name}"] = f"{component.name}/{reads.kind}"
    return found


def own_action(loaded: Loaded, name: str) -> Action[..., Any] | None:
    """Return an action by its dotted name, of a component that a bundle's modules have in any name."""
    owner, _, short = name.partition(".")
    for module in loaded.modules:
        for each in list(vars(sys.modules[module]).values()):
            if isinstance(each, Component) and each.name == owner and short in each.actions:
                return each.actions[short]
    return None


def components_of(bundle: Bundle, loaded: Loaded) -> lowcode.Components:
    """Return the components that a document of the bundle may name: its own, and installed ones."""
    own = modules(bundle.files)

    def find(name: str) -> Component | None:
        if name not in own:
            return None
        found: Any = getattr(loaded.module(name), "component", None)
        return found if isinstance(found, Component) else None

    return lowcode.Components(find)
