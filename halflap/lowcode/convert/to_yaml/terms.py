"""JSONata as it is written: texts with how closely they bind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from halflap.lowcode.convert.to_yaml.types import Kind

ATOM, PRODUCT, SUM, COMPARISON, AND, OR, CHOICE = range(7, 0, -1)
"""How closely JSONata's operators bind."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"and", "or", "in", "true", "false", "null", "function"})


@dataclass(frozen=True, slots=True)
class Term:
    """An expression of JSONata, what it gives, and how closely it binds."""

    text: str
    kind: Kind
    level: int = ATOM

    def within(self, level: int) -> str:
        """Its text as an operand of what binds like this."""
        return self.text if self.level >= level else f"({self.text})"

    @property
    def compared(self) -> Term:
        """The same where what is absent counts as null: with a default that is another."""
        return self if self.kind.default is None else self.shown

    @property
    def shown(self) -> Term:
        """The same, with Python's default where an expression would find nothing."""
        if not self.kind.missing:
            return self
        kind = Kind(self.kind.base, self.kind.null, of=self.kind.of, promised=self.kind.promised)
        least = self.within(COMPARISON + 1)
        return Term(f"{least} = null ? {written(self.kind.default)} : {least}", kind, CHOICE)


def name_of(name: str) -> str:
    """A name as an expression says it."""
    return name if _PLAIN.fullmatch(name) and name not in _WORDS else f"`{name}`"


def written(value: Any) -> str:
    """A constant as an expression says it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(written, cast('list[Any]', value)))}]"
        case dict():
            given = cast("dict[str, Any]", value).items()
            members = (f"{json.dumps(name)}: {written(each)}" for name, each in given)
            return "{" + ", ".join(members) + "}"
        case _:
            raise TypeError(value)
