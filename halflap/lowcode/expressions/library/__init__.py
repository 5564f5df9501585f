"""The functions that an expression can call: JSONata's, by the names it gives them.

There is no `$eval`: what an expression does can be read from it before it runs. Time and chance are
those of the execution, so that a replay sees the same.
"""

from __future__ import annotations

from halflap.lowcode.expressions.library import (
    dates,
    decimals,
    integers,
    lists,
    numbers,
    objects,
    texts,
)
from halflap.lowcode.expressions.library.declared import LIBRARY

__all__ = [
    "LIBRARY",
    "dates",
    "decimals",
    "integers",
    "lists",
    "numbers",
    "objects",
    "texts",
]
