"""The text of a code step, checked without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from halflap.errors import DefinitionError
from halflap.lowcode.code import rules
from halflap.sdk.syntax import parse

MOST_TEXT = 64 << 10
"""Characters of one code step; what needs more is a component."""


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Where the code stands in its file: that of its first character.

    `column` is what every line of it is indented by, counted from 0; 0 where it is not a block.
    """

    file: str = "<code>"
    line: int = 1
    column: int = 0

    def line_of(self, line: int) -> int:
        """The file's line, of a line of the code (from 1)."""
        return self.line + line - 1

    def where(self, line: int, column: int = 0) -> str:
        """`file:line:column` of a place in the code; without a column, `file:line`."""
        place = f"{self.file}:{self.line_of(line)}"
        return f"{place}:{self.column + column}" if column else place


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """Something that is wrong in the code: where (in the file, from 1), and what to write instead."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Use:
    """An action that the code names: for lint, which knows the actions and their inputs.

    `keywords` are the inputs given by name, `positional` how many are given by place; `spread`
    where a `*` or `**` brings in others. `line` and `column` are places in the file.
    """

    component: str
    action: str
    keywords: tuple[str, ...]
    positional: int
    spread: bool
    line: int
    column: int

    @property
    def name(self) -> str:
        """As a step calls it: `component.action`."""
        return f"{self.component}.{self.action}"


class CodeError(DefinitionError):
    """The code of a step cannot run; `problems` has all that is wrong."""

    def __init__(self, place: CodePlace, problems: Iterable[CodeProblem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.message, where=f"{place.file}:{first.line}:{first.column}")


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a step, found to be sound: what it reads and what it calls."""

    text: str
    inputs: frozenset[str]
    """The names that it is given."""
    components: frozenset[str]
    """The components that it calls."""
    names: frozenset[str]
    """The inputs that it reads."""
    uses: tuple[Use, ...]
    """The actions that it calls, in the order of the text."""
    loops: tuple[int, ...]
    """The lines of its loops, in the code: where time and memory may have gone."""
    place: CodePlace

    @staticmethod
    def parse(
        text: str,
        inputs: Collection[str] = (),
        components: Collection[str] = (),
        place: CodePlace = CodePlace(),
    ) -> Code:
        """Check the code of a step. Raises `CodeError` with everything that is wrong.

        `inputs` are the names that it is given, `components` the ones whose actions it may call.
        The same text is read once.
        """
        return _parse(text, frozenset(inputs), frozenset(components), place)


def components_of(text: str, inputs: Collection[str]) -> frozenset[str]:
    """The components that a text names: what it awaits calls of, and neither is given nor makes.

    Of a text that is no Python, none: `Code.parse` says what is wrong with it.
    """
    return _components_of(text, frozenset(inputs))


@lru_cache(1_024)
def _components_of(text: str, inputs: frozenset[str]) -> frozenset[str]:
    try:
        tree = _tree(text, CodePlace())
    except CodeError:
        return frozenset()
    return frozenset(rules.awaited(tree)) - inputs


@lru_cache(1_024)
def _parse(text: str, inputs: frozenset[str], components: frozenset[str], place: CodePlace) -> Code:
    if len(text) > MOST_TEXT:
        message = f"more than {MOST_TEXT:,} characters of code: write a component instead"
        raise CodeError(place, [CodeProblem(place.line, place.column + 1, message)])
    tree = _tree(text, place)
    components -= inputs
    found = sorted(
        (at.lineno, at.col_offset, message)
        for at, message in rules.check(tree, inputs=inputs, components=components)
    )
    if found:
        problems = [
            CodeProblem(
                place.line_of(line), place.column + _characters(text, line, offset) + 1, message
            )
            for line, offset, message in dict.fromkeys(found)
        ]
        raise CodeError(place, problems)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    loops = {node.lineno for node in ast.walk(tree) if isinstance(node, rules.LOOPS)}
    return Code(
        text,
        inputs,
        components & names,
        inputs & names,
        tuple(_uses(tree, text, components, place)),
        tuple(sorted(loops)),
        place,
    )


def _tree(text: str, place: CodePlace) -> ast.Module:
    try:
        text.encode()
        return parse(text, version=(3, 11))
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        problem = CodeProblem(
            place.line_of(line), place.column + max(column, 1), f"not Python: {error.msg}"
        )
    except (RecursionError, MemoryError):
        problem = CodeProblem(place.line, place.column + 1, "nested too deep: write it in steps")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        column = error.start - (text.rfind("\n", 0, error.start) + 1)
        problem = CodeProblem(
            place.line_of(line), place.column + column + 1, "half a surrogate pair"
        )
    except ValueError as error:
        problem = CodeProblem(place.line, place.column + 1, f"not Python: {error}")
    raise CodeError(place, [problem])


def _uses(
    tree: ast.Module, text: str, components: Collection[str], place: CodePlace
) -> Iterator[Use]:
    calls = [
        (node.lineno, node.col_offset, node, node.func, node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in components
    ]
    for line, offset, call, function, component in sorted(calls, key=lambda each: each[:2]):
        yield Use(
            component.id,
            function.attr,
            tuple(each.arg for each in call.keywords if each.arg is not None),
            sum(not isinstance(each, ast.Starred) for each in call.args),
            any(isinstance(each, ast.Starred) for each in call.args)
            or any(each.arg is None for each in call.keywords),
            place.line_of(line),
            place.column + _characters(text, line, offset) + 1,
        )


def _characters(text: str, line: int, offset: int) -> int:
    """Return the number of characters of a line's first `offset` bytes."""
    return len(text.split("\n")[line - 1].encode()[:offset].decode(errors="ignore"))
