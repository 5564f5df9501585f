"""Low-code: an integration as one YAML document, which runs as the same integration.

A document is read (`source`), checked (`shape`, `document`, `steps`), compiled (`compile`,
`template`, `expressions`), and made into an `Integration` whose flows are ordinary flow functions
(`build`, `interpret`): the same runner, the same journal. `outline` says what flows may do, of
documents and of Python sources alike.
"""

from halflap.lowcode.build import build
from halflap.lowcode.coding import close_runner
from halflap.lowcode.names import components_in, heading, name_in
from halflap.lowcode.registry import Components
from halflap.lowcode.rewrite import Draft, DraftChange, DraftEdit, StaleDraft, Unwritable
from halflap.lowcode.shape import NotADocument, document_of
from halflap.lowcode.source import Source, read

__all__ = [
    "Components",
    "Draft",
    "DraftChange",
    "DraftEdit",
    "NotADocument",
    "Source",
    "StaleDraft",
    "Unwritable",
    "build",
    "close_runner",
    "components_in",
    "document_of",
    "heading",
    "name_in",
    "read",
]
