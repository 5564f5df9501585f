"""The integration of a bundle: what its entry names, or what its YAML document describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from halflap import lowcode
from halflap.engine.bundle import Bundle, modules
from halflap.engine.loader import Loaded, load
from halflap.errors import DefinitionError
from halflap.lowcode import Components
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.shape import NotADocument
from halflap.sdk.component import Component
from halflap.sdk.integration import Integration


def load_integration(bundle: Bundle, cache: Path) -> Integration[Any]:
    """Load a bundle (see `load`) and give its integration; a `DefinitionError` where it has none."""
    loaded = load(bundle, cache)
    entry: Any = loaded.entry
    if bundle.document is not None:
        source = lowcode.read(dict(bundle.files)[bundle.document], bundle.document)
        return lowcode.build(source, components_of(bundle, loaded))
    if not isinstance(entry, Integration):
        raise DefinitionError(
            f"it is no Integration but {type(entry).__name__}; name one", where=bundle.entry
        )
    return cast(Integration[Any], entry)


def check_document(bundle: Bundle, cache: Path) -> None:
    """Lint a bundle's document; one with errors is refused: `NotADocument` names the first."""
    if bundle.document is None:
        return
    components = components_of(bundle, load(bundle, cache))
    found = lint_text(dict(bundle.files)[bundle.document], bundle.document, Shapes(components))
    errors = [each for each in found if each.severity == "error"]
    if errors:
        raise NotADocument(errors)


def components_of(bundle: Bundle, loaded: Loaded) -> Components:
    """What a document of the bundle may name: the bundle's own components, and installed ones."""
    own = modules(bundle.files)

    def find(name: str) -> Component | None:
        if name not in own:
            return None
        found: Any = getattr(loaded.module(name), "component", None)
        return found if isinstance(found, Component) else None

    return Components(find)
