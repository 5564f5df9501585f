"""Low-code: an integration as one YAML document, which runs as the same integration.

A document is read (`source`), checked (`shape`, `document`, `kinds`), compiled (`compile`,
`template`, `expressions`), and made into an `Integration` whose flows are ordinary flow functions
(`builder`): the same runner, the same journal. `outline` says what flows may do, of
documents and of Python sources alike.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halflap.lowcode.builder import build as build
    from halflap.lowcode.coding import close_runner as close_runner
    from halflap.lowcode.names import components_in as components_in
    from halflap.lowcode.names import heading as heading
    from halflap.lowcode.names import name_in as name_in
    from halflap.lowcode.registry import Components as Components
    from halflap.lowcode.rewrite import Draft as Draft
    from halflap.lowcode.rewrite import DraftChange as DraftChange
    from halflap.lowcode.rewrite import DraftEdit as DraftEdit
    from halflap.lowcode.rewrite import StaleDraft as StaleDraft
    from halflap.lowcode.rewrite import UnwritableEdit as UnwritableEdit
    from halflap.lowcode.shape import NotADocument as NotADocument
    from halflap.lowcode.shape import document_of as document_of
    from halflap.lowcode.source import SourceText as SourceText
    from halflap.lowcode.source import read as read

_HOMES = {
    "builder": "build",
    "coding": "close_runner",
    "names": "components_in heading name_in",
    "registry": "Components",
    "rewrite": "Draft DraftChange DraftEdit StaleDraft UnwritableEdit",
    "shape": "NotADocument document_of",
    "source": "SourceText read",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a name of the door when it is first used: most processes need few of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


if not TYPE_CHECKING:  # what checkers read is imported above, each as itself
    __all__ = [*_HOME_OF]
