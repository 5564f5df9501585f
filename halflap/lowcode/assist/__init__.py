"""Answers to editors about a document that is being written: completion, help, definitions.

Everything here is text in, answer out: nothing is run or fetched, and no text is too broken. The
language server speaks the protocol; this room knows the language.
"""

from halflap.lowcode.assist.analysis import Analysis, analyse, is_document
from halflap.lowcode.assist.completion import complete
from halflap.lowcode.assist.offers import Offer, Offers, Told
from halflap.lowcode.assist.pointing import Target, definition, explain
from halflap.lowcode.assist.renaming import Edit, named_at, places, renaming
from halflap.lowcode.assist.symbols import Symbol, symbols

__all__ = [
    "Analysis",
    "Edit",
    "Offer",
    "Offers",
    "Symbol",
    "Target",
    "Told",
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
