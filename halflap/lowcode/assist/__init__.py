"""Answers to editors about a document that is being written: completion, help, definitions.

Everything here is text in, answer out: nothing is run or fetched, and no text is too broken. The
language server speaks the protocol; this room knows the language.
"""

from halflap.lowcode.assist.analysis import Analysis, analyse, is_document
from halflap.lowcode.assist.completion import complete
from halflap.lowcode.assist.offers import CompletionList, CompletionOffer, Hover
from halflap.lowcode.assist.pointing import PointedTarget, definition, explain
from halflap.lowcode.assist.renaming import LineEdit, named_at, places, renaming
from halflap.lowcode.assist.symbols import Symbol, symbols

__all__ = [
    "Analysis",
    "CompletionList",
    "CompletionOffer",
    "Hover",
    "LineEdit",
    "PointedTarget",
    "Symbol",
    "analyse",
    "complete",
    "definition",
    "explain",
    "is_document",
    "named_at",
    "places",
    "renaming",
    "symbols",
]
