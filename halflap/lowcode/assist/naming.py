"""Names in expressions: which are in scope, what is known of their values, what functions do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache

from halflap.errors import ExpressionError
from halflap.lowcode.assist.analysis import Analysis
from halflap.lowcode.assist.offers import CompletionOffer, TextCursor
from halflap.lowcode.expressions import Expression, tree
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.expressions.value import Native
from halflap.lowcode.fixes import unquoted_signs
from halflap.lowcode.lint.infer import Inference, Stream
from halflap.lowcode.lint.scope import Env, LintLambda, Names, Schema, fields_of, within
from halflap.lowcode.lint.words import words

_STEP = r"(?:[A-Za-z_]\w*|`[^`]*`)(?:\[[^\[\]]*\])*"
_TAIL = re.compile(rf"((?:(?<![\w.`\])}}]){_STEP}\.(?:{_STEP}\.)*)?)(\$?\w*)$")
_PATH = re.compile(rf"((?:{_STEP}\.)*{_STEP})\[[^\[\]]*$")
_FILTER = re.compile(r"\[[^\[\]]*\]")

GIVEN = {
    "event": "What the trigger read, by the app's own field names.",
    "config": "What the customer filled in, without the connections.",
    "urls": "The URLs of this instance's flows, by name.",
    "secrets": "What the flows' URLs are signed with, by name; only for inputs that take a secret.",
    "customer": "The customer that the instance is of.",
    "instance": "The instance that runs the flow.",
    "execution": "This execution: its id, and the number of the attempt.",
    "headers": "The request's headers, in lower case.",
    "query": "The request's parameters.",
}


def expression_offers(analysis: Analysis, cursor: TextCursor) -> tuple[list[CompletionOffer], int]:
    """Return the completions at the end of half an expression, and how much of it is typed already."""
    text = cursor.text[1:]
    if _in_text(text):
        return [], 0
    found = _TAIL.search(text)
    if found is None:
        return [], 0
    path, typed = found[1], found[2]
    names = analysis.names_at(cursor.path)
    probe = probed(text, names)
    inside = None if probe is None else probe.inside
    before = text[: len(text) - len(typed)]
    if before.rstrip().endswith("."):
        known = inside or schema_of(path_of(path), names)
        return list(_fields(known)), len(typed)
    here = _fields(inside) if inside is not None else _filtered(before, names)
    own = (
        ()
        if probe is None
        else (CompletionOffer(f"${name}", "name", rank=0) for name in probe.bound)
    )
    offers = [*here, *own, *_names(names)]
    offers += [function_offer(name) for name in sorted(LIBRARY)]
    return offers, len(typed)


def tail_of(text: str) -> tuple[tuple[str, ...], str] | None:
    """The path, and the name, that half an expression ends with: `known.na` as (known,), na."""
    if _in_text(text):
        return None
    found = _TAIL.search(text)
    return None if found is None else (path_of(found[1]), found[2])


def path_of(text: str) -> tuple[str, ...]:
    """The names of a path, without its filters."""
    parts = re.findall(r"`([^`]*)`|(\w+)", _FILTER.sub("", text))
    return tuple(quoted or plain for quoted, plain in parts)


def schema_of(path: tuple[str, ...], names: Names) -> Schema | None:
    """Return the schema of a path's value."""
    known = names.get(path[0]) if path else None
    return None if known is None else within(known.schema, path[1:])


def _in_text(text: str) -> bool:
    """Return whether half an expression ends within quotes."""
    bare = re.sub(r"\\.", "", text)
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", bare)
    return '"' in bare or "'" in bare


def _fields(schema: Schema | None) -> Iterator[CompletionOffer]:
    if schema is None:
        return
    for name, each in fields_of(schema)[0].items():
        text = name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"
        yield CompletionOffer(name, "field", words(each), str(each.get("description", "")), text, 0)


def _filtered(before: str, names: Names) -> Iterator[CompletionOffer]:
    """In brackets after a path: the fields of each of its values."""
    found = _PATH.search(before)
    if found is not None:
        yield from _fields(schema_of(path_of(found[1]), names))


def _names(names: Names) -> Iterator[CompletionOffer]:
    for name, known in names.items():
        said = GIVEN.get(name, "") if known.path is None else ""
        own = known.path is not None
        yield CompletionOffer(
            name, "name", words(known.schema), said, rank=0 if own or name == "event" else 1
        )


@cache
def function_offer(name: str) -> CompletionOffer:
    """A function of JSONata, with what it takes."""
    said, call = function_help(name)
    return CompletionOffer(f"${name}", "function", call, said, rank=2)


@cache
def function_help(name: str) -> tuple[str, str]:
    """Return a function's description, and its call."""
    function = LIBRARY[name]
    if not isinstance(function, Native):
        return "", f"${name}()"
    said = (inspect.getdoc(function.run) or "").partition("\n\n")[0].replace("\n", " ")
    parameters = list(inspect.signature(function.run).parameters.values())[1:]
    shown = [
        f"{each.name}?" if each.default is not each.empty else each.name
        for each in parameters
        if each.kind is not each.VAR_POSITIONAL
    ]
    return said, f"${name}({', '.join(shown)})"


# Half an expression: it is closed, read, and its end looked for -------------------------------

HOLE = "it_ends_here"
_WORD = re.compile(r"\$?\w*$")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Probe(Inference):
    """Infers an expression up to its end. `inside` is the value whose fields could stand there,
    `bound` what its own `$names` are there."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.reached = False
        self.inside: Schema | None = None
        self.bound: Mapping[str, Schema | LintLambda | None] = {}

    def step(self, flow: Stream, name: str) -> Stream:
        """A field of what goes through a path."""
        if name == HOLE:
            self.reached, self.inside = True, flow.schema
        return super().step(flow, name)

    def of(self, node: tree.Node, env: Env | None = None) -> Schema | None:
        """Return the schema of a part."""
        if env is not None and tree.name_of(node) == HOLE:
            self.reached, self.bound = True, env.bound
        return super().of(node, env)


def probed(text: str, names: Names) -> Probe | None:
    """Return the inference where a half-written expression ends; None where it cannot be read."""
    found = _WORD.search(text)
    before = text if found is None else text[: found.start()]
    mark = "$" if found is not None and found[0].startswith("$") else ""
    try:
        tree = Expression.parse(f"{before}{mark}{HOLE}{_closing(before)}").tree
    except ExpressionError:
        return None
    probe = Probe(names)
    probe.of(tree, Env())
    return probe if probe.reached else None


def _closing(text: str) -> str:
    """The brackets that are open at the end of a text, closed."""
    stack: list[str] = []
    for _, char in unquoted_signs(text, quotes="\"'`"):
        if char in _PAIRS:
            stack.append(_PAIRS[char])
        elif stack and char == stack[-1]:
            stack.pop()
    return "".join(reversed(stack))
