"""Low-code: an integration as one YAML document, which runs as the same integration.

A document is read (`source`), checked (`shape`, `document`, `steps`), compiled (`compile`,
`template`, `expressions`), and made into an `Integration` whose flows are ordinary flow functions
(`build`, `interpret`): the same runner, the same journal. `outline` says what flows may do, of
documents and of Python sources alike.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halflap.lowcode.builder import build
    from halflap.lowcode.coding import close_runner
    from halflap.lowcode.names import components_in, heading, name_in
    from halflap.lowcode.registry import Components
    from halflap.lowcode.rewrite import Draft, DraftChange, DraftEdit, StaleDraft, UnwritableEdit
    from halflap.lowcode.shape import NotADocument, document_of
    from halflap.lowcode.source import SourceText, read

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


__all__ = [
    "Components",
    "Draft",
    "DraftChange",
    "DraftEdit",
    "NotADocument",
    "SourceText",
    "StaleDraft",
    "UnwritableEdit",
    "build",
    "close_runner",
    "components_in",
    "document_of",
    "heading",
    "name_in",
    "read",
]
