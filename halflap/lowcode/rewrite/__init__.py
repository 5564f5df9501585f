"""The one door through which a document is changed: by its text, and only where it changes.

`Draft.read(…)` opens a document, its methods edit it, `apply` makes a batch of edits by the addresses
of the outline, for a revision, with its inverse; `to_bytes()` is the text. What an edit does not
touch stays as it is, byte for byte: comments, order, quotes, blocks, blank lines, line ends. After
each edit the text is read again, and has to say what was asked for; else nothing has happened
(`Unwritable`).
"""

from halflap.lowcode.rewrite.draft import Draft
from halflap.lowcode.rewrite.edits import DraftChange, DraftEdit, StaleDraft
from halflap.lowcode.rewrite.text import UnwritableEdit

__all__ = ["Draft", "DraftChange", "DraftEdit", "StaleDraft", "UnwritableEdit"]
