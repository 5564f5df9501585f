"""The signature of a function, `<s-n?:s>`: which arguments it takes, and which the context gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Never

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.value import UNDEFINED, Function
from halflap.sdk.linear import compiled

_PLURALS = {
    "a": "arrays",
    "b": "booleans",
    "f": "functions",
    "n": "numbers",
    "o": "objects",
    "s": "texts",
}
TYPES = {
    "s": "string",
    "n": "number",
    "b": "boolean",
    "l": "null",
    "a": "array",
    "o": "object",
    "f": "function",
}
"""The types of JSON, and that of functions, by their letters."""

_MOST = 20
"""The most parameters of a signature."""

_MEMORY = 1024 * 1024


@dataclass(slots=True)
class _Parameter:
    kind: str
    allowed: str
    many: str = ""
    context: bool = False
    item: str = ""


class FunctionSignature:
    """Checks the arguments of a call, and fills in the context where one is left out."""

    __slots__ = ("_known", "_parameters", "_pattern", "returns")

    def __init__(self, text: str) -> None:
        self._parameters = _read(text)
        self.returns = text.rpartition(":")[2].rstrip(">") if ":" in text else ""
        if len(self._parameters) > _MOST:
            fail("S0401", 0, value=text)
        pattern = "".join(f"({each.allowed}{each.many})" for each in self._parameters)
        self._pattern = compiled(f"^{pattern}$", memory=_MEMORY)
        self._known: dict[str, tuple[str, ...]] = {}

    def takes_context(self, given: int) -> bool:
        """Return whether a call with so many arguments takes the context for one of them, for
        certain.
        """
        needed = [each for each in self._parameters if each.context or each.many != "?"]
        return given < len(needed) and any(each.context for each in needed)

    def arguments(self, given: list[Any], context: Any) -> list[Any]:
        """Return the function's arguments; raise where one is of a wrong type."""
        kinds = "".join([kind_of(each) for each in given])
        matched = self._known.get(kinds)
        if matched is None:
            found = self._pattern.match(kinds)
            if found is None:
                return self._wrong(given, kinds)
            matched = tuple(found.groups(""))
            if len(self._known) < 64:
                self._known[kinds] = matched
        arguments: list[Any] = []
        at = 0
        for parameter, taken in zip(self._parameters, matched, strict=True):
            if not taken:
                if parameter.context:
                    kind = kind_of(context)
                    if kind not in parameter.allowed:
                        fail("T0411", value=context, index=at + 1)
                    arguments.append(context)
                else:
                    arguments.append(given[at] if at < len(given) else UNDEFINED)
                    at += 1
                continue
            for kind in taken:
                value = given[at] if at < len(given) else UNDEFINED
                if parameter.kind == "a":
                    value = _list(value, kind, taken, parameter, at)
                arguments.append(value)
                at += 1
        return arguments

    @property
    def most(self) -> int:
        """The most arguments that it takes (more where one may be repeated)."""
        return len(self._parameters)

    @property
    def least(self) -> int:
        """The number of arguments that it cannot do without."""
        return sum(each.many != "?" for each in self._parameters)

    def misfit(self, kinds: Sequence[str], *, rooted: bool = False) -> int | None:
        """The first argument that cannot be taken, of what each may be (letters; none: unknown)."""
        parameters = self._parameters
        given = len(kinds) < len(parameters) and any(each.context for each in parameters)
        if given and not (rooted and kinds):
            return None  # the context may be one of them
        if len(kinds) > len(parameters) and not any(each.many == "+" for each in parameters):
            return len(parameters)
        for at, (letters, parameter) in enumerate(zip(kinds, parameters, strict=False)):
            if parameter.many == "+":
                return None
            if letters and not {*letters} & {*parameter.allowed}:
                return at
        return None

    def _wrong(self, given: list[Any], kinds: str) -> Never:
        pattern, good = "^", 0
        for parameter in self._parameters:
            pattern += parameter.allowed + parameter.many
            found = compiled(pattern, memory=_MEMORY).match(kinds)
            if found is None:
                break
            good = len(found.group())
        value = given[good] if good < len(given) else UNDEFINED
        wanted = self._parameters[good].kind if good < len(self._parameters) else ""
        fail("T0410", value=value, index=good + 1, wanted=wanted)


def kind_of(value: Any) -> str:
    """The letter of a value's type."""
    kind = _LETTERS.get(type(value))
    if kind is not None:
        return kind
    if isinstance(value, Function):
        return "f"
    if isinstance(value, list):
        return "a"
    return "o" if isinstance(value, dict) else "x"


_LETTERS: dict[Any, str] = {
    str: "s",
    int: "n",
    Decimal: "n",
    bool: "b",
    type(None): "l",
    list: "a",
    dict: "o",
    type(UNDEFINED): "m",
}


def _list(value: Any, kind: str, taken: str, parameter: _Parameter, at: int) -> Any:
    if kind == "m":
        return UNDEFINED
    if parameter.item:
        letter = parameter.item[0]
        fits = (
            all(kind_of(each) == letter for each in value)
            if kind == "a"
            else taken == parameter.item
        )
        if not fits:
            wrong = (
                next((each for each in value if kind_of(each) != letter), value)
                if kind == "a"
                else value
            )
            fail(
                "T0412",
                index=at + 1,
                value=wrong,
                type=_PLURALS.get(letter, "values"),
                wanted=letter,
            )
    return value if kind == "a" else [value]


def _read(text: str) -> list[_Parameter]:
    parameters: list[_Parameter] = []
    at = 1
    while at < len(text) and text[at] != ":":
        symbol = text[at]
        match symbol:
            case "s" | "n" | "b" | "l" | "o":
                parameters.append(_Parameter(symbol, f"[{symbol}m]"))
            case "a" | "x":
                parameters.append(_Parameter(symbol, "[asnblfomx]"))
            case "j":
                parameters.append(_Parameter(symbol, "[asnblomx]"))
            case "f":
                parameters.append(_Parameter(symbol, "f"))
            case "(":
                end = _closing(text, at, "(", ")")
                choice = text[at + 1 : end]
                if "<" in choice:
                    fail("S0402", at, value=choice)
                if not choice or set(choice) - set("asnblfojx"):
                    fail("S0401", at, value=choice)
                parameters.append(_Parameter(f"({choice})", f"[{choice}m]"))
                at = end
            case "-" | "?" | "+" if parameters:
                parameters[-1].context |= symbol == "-"
                parameters[-1].many = "?" if symbol == "-" else symbol
            case "<":
                if not parameters or parameters[-1].kind not in ("a", "f"):
                    fail("S0401", at, value=parameters[-1].kind if parameters else text)
                end = _closing(text, at, "<", ">")
                parameters[-1].item = text[at + 1 : end]
                at = end
            case _:
                pass
        at += 1
    return parameters


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == opening) - (text[at] == closing)
        if depth == 0:
            return at
    return len(text)
