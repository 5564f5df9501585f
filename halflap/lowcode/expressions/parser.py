"""Tokens to a tree, by Pratt's algorithm: https://crockford.com/javascript/tdop/tdop.html.

The grammar and its meaning are those of the reference, jsonata.js 2.2. There a second pass turns
what was parsed into flat paths; here each operator does so when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import cast

from halflap.lowcode.expressions.ancestry import hand_up, resolve, seek
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.lexer import Lexeme, Lexer
from halflap.lowcode.expressions.signature import FunctionSignature
from halflap.lowcode.expressions.tree import Kind, Node, Slot, StepStage

POWERS = {
    ".": 75,
    "[": 80,
    "(": 80,
    "@": 80,
    "#": 80,
    "{": 70,
    "*": 60,
    "/": 60,
    "%": 60,
    "+": 50,
    "-": 50,
    "&": 50,
    "=": 40,
    "<": 40,
    ">": 40,
    "^": 40,
    "!=": 40,
    "<=": 40,
    ">=": 40,
    "~>": 40,
    "?:": 40,
    "??": 40,
    "in": 40,
    "and": 30,
    "or": 25,
    "?": 20,
    ":=": 10,
}
_KNOWN = frozenset((*POWERS, *")]},:;|", "..", "**"))

MAX_TEXT = 10_000
"""The most characters of an expression; more is a program, and belongs in a code step."""

MAX_NESTING = 60
"""The deepest nesting of brackets; the compiler limits chains of operators too."""

MAX_PARENTS = 100
"""The most `%` of an expression: each is looked for along its path."""


def parse(text: str) -> Node:
    """The tree of an expression; raises `Fault` with a place."""
    if len(text) > MAX_TEXT:
        fail("H0109", 0, limit=MAX_TEXT)
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self._depth = 0
        self._labels = 0
        self._late: Fault | None = None
        self._token = self._lexer.next(infix=False)

    def whole(self) -> Node:
        node = self._expression(0)
        if self._token.kind != "end":
            fail("S0201", self._token.at, token=_said(self._token))
        if self._late:
            raise self._late
        if node.kind == "parent" or node.seeking:
            fail("S0217", node.at)
        return node

    # Tokens ---------------------------------------------------------------------------------

    def _advance(self, expected: str = "", *, infix: bool = False) -> Lexeme:
        if expected and not self._at(expected):
            if self._token.kind == "end":
                fail("S0203", self._token.at, value=expected)
            fail("S0202", self._token.at, value=expected, token=_said(self._token))
        token = self._lexer.next(infix=infix)
        if token.kind == "operator" and token.value not in _KNOWN | {"and", "or"}:
            fail("S0204", token.at, token=token.value)
        self._token = token
        return token

    def _at(self, *operators: str) -> bool:
        return self._token.is_operator(*operators)

    def _expression(self, power: int) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            fail("H0110", self._token.at, limit=MAX_NESTING)
        token = self._token
        self._advance(infix=True)
        left = self._prefix(token)
        while self._token.kind == "operator" and power < POWERS.get(self._token.value, 0):
            token = self._token
            self._advance()
            left = self._infix(token, left)
        self._depth -= 1
        return left

    # What begins a value --------------------------------------------------------------------

    def _prefix(self, token: Lexeme) -> Node:
        at = token.at
        match token.kind:
            case "literal" | "regex" | "variable":
                return Node(cast(Kind, token.kind), at, token.value)
            case "name":
                return _path(Node("name", at, token.value))
            case "end":
                self._late = Fault("S0207", at)
                return Node("end", at)
            case "operator":
                pass
        match token.value:
            case "and" | "or" | "in":
                return _path(Node("name", at, token.value))
            case "-":
                return self._negation(at)
            case "*":
                return Node("wildcard", at)
            case "**":
                return Node("descendant", at)
            case "%":
                self._labels += 1
                if self._labels > MAX_PARENTS:
                    fail("H0117", at, limit=MAX_PARENTS)
                return Node("parent", at, slot=Slot(f"!{self._labels}"))
            case "(":
                return self._block(at)
            case "[":
                return self._array(at)
            case "{":
                node = Node("object", at, pairs=self._pairs())
                for name, value in node.pairs:
                    hand_up(node, name, value)
                return node
            case "|":
                return self._transform(at)
            case _:
                return fail("S0211", at, token=_said(token))

    def _negation(self, at: int) -> Node:
        operand = self._expression(70)
        if operand.kind == "literal" and type(operand.value) in (int, Decimal):
            operand.value = -operand.value
            return operand
        node = Node("negation", at, left=operand)
        hand_up(node, operand)
        return node

    def _block(self, at: int) -> Node:
        node = Node("block", at)
        while not self._at(")"):
            part = self._expression(0)
            hand_up(node, part)
            node.whole |= part.whole or (part.kind == "path" and part.items[0].whole)
            node.items.append(part)
            if not self._at(";"):
                break
            self._advance(";")
        self._advance(")", infix=True)
        return node

    def _array(self, at: int) -> Node:
        node = Node("array", at)

        def element() -> None:
            item = self._expression(0)
            if self._at(".."):
                place = self._token.at
                self._advance("..")
                item = _joined(Node("binary", place, "..", item, self._expression(0)))
            hand_up(node, item)
            node.items.append(item)

        self._each("]", element)
        return node

    def _pairs(self) -> list[tuple[Node, Node]]:
        pairs: list[tuple[Node, Node]] = []

        def pair() -> None:
            name = self._expression(0)
            self._advance(":")
            pairs.append((name, self._expression(0)))

        self._each("}", pair)
        return pairs

    def _each(self, closing: str, read: Callable[[], None]) -> None:
        """Read what stands between commas, up to the closing bracket."""
        if not self._at(closing):
            read()
            while self._at(","):
                self._advance(",")
                read()
        self._advance(closing, infix=True)

    def _transform(self, at: int) -> Node:
        pattern = self._expression(0)
        self._advance("|")
        update = self._expression(0)
        delete = None
        if self._at(","):
            self._advance(",")
            delete = self._expression(0)
        self._advance("|")
        return Node("transform", at, left=pattern, right=update, other=delete)

    # What follows a value -------------------------------------------------------------------

    def _infix(self, token: Lexeme, left: Node) -> Node:
        at, operator = token.at, cast(str, token.value)
        match operator:
            case ".":
                return self._stepped(left, self._expression(75))
            case "[":
                return self._filter(at, left)
            case "(":
                return self._call(at, left)
            case "{":
                return self._group(at, left)
            case "^":
                return self._sort(at, left)
            case "@" | "#":
                return self._binding(operator, at, left)
            case ":=":
                if left.kind != "variable" or left.predicates:
                    fail("S0212", left.at)
                node = Node("bind", at, left.value, right=self._expression(9))
                hand_up(node, cast(Node, node.right))
                return node
            case "?":
                return self._condition(at, left)
            case "?:" | "??":
                test = left
                if operator == "??":
                    test = Node("call", at, left=Node("variable", at, "exists"), items=[left])
                node = Node("condition", at, left=test, right=left, other=self._expression(0))
                hand_up(node, left, cast(Node, node.other))
                return node
            case "~>":
                right = self._expression(40)
                keep = left.keep or right.keep
                return Node("apply", at, left=left, right=right, keep=keep)
            case _:
                right = self._expression(POWERS[operator])
                return _joined(Node("binary", at, operator, left, right))

    def _stepped(self, left: Node, right: Node) -> Node:
        """`left.right`: one path of the steps of both."""
        path = left if left.kind == "path" else Node("path", left.at, items=[left])
        if left.kind == "parent" and left.slot:
            path.seeking = [left.slot]
        before = len(path.items) - 1
        if right.kind == "path":
            path.items += right.items
            path.keep_one |= right.keep_one
            path.group = right.group or path.group
        else:
            if right.predicates:
                right.stages, right.predicates = right.predicates, []
            path.items.append(right)
        for step in islice(path.items, before, None):
            if step.kind == "literal":
                if not isinstance(step.value, str):
                    # An error of the grammar further on comes before this one of meaning.
                    self._late = self._late or Fault("S0213", step.at, value=step.value)
                step.kind = "name"
            path.keep_one |= step.keep
        for step in (path.items[0], path.items[-1]):
            step.whole |= step.kind == "array"
        resolve(path)
        return path

    def _condition(self, at: int, left: Node) -> Node:
        node = Node("condition", at, left=left, right=self._expression(0))
        hand_up(node, left, cast(Node, node.right))
        if self._at(":"):
            self._advance(":")
            node.other = self._expression(0)
            hand_up(node, node.other)
        return node

    def _filter(self, at: int, left: Node) -> Node:
        if self._at("]"):
            self._advance("]")
            _keep(left)
            return left
        predicate = self._expression(0)
        self._advance("]", infix=True)
        step = left.items[-1] if left.kind == "path" else left
        if step.group is not None:
            fail("S0209", at)
        for slot in predicate.seeking:
            if slot.level == 1:
                seek(step, slot)
            else:
                slot.level -= 1
        hand_up(step, predicate)
        (step.stages if left.kind == "path" else step.predicates).append(StepStage(at, predicate))
        return left

    def _group(self, at: int, left: Node) -> Node:
        pairs = self._pairs()
        if left.group is not None:
            fail("S0210", at)
        left.group = Node("object", at, pairs=pairs)
        return left

    def _sort(self, at: int, left: Node) -> Node:
        self._advance("(")
        path = left if left.kind == "path" else Node("path", left.at, items=[left])
        step = Node("sort", at)
        while True:
            descending = self._at(">")
            if self._at("<", ">"):
                self._advance()
            term = self._expression(0)
            hand_up(step, term)
            step.terms.append((term, descending))
            if not self._at(","):
                break
            self._advance(",")
        self._advance(")")
        path.items.append(step)
        resolve(path)
        return path

    def _binding(self, operator: str, at: int, left: Node) -> Node:
        right = self._expression(80)
        if right.kind != "variable":
            fail("S0214", right.at, token=operator)
        step = left.items[-1] if left.kind == "path" else left
        if operator == "@":
            if step.stages or step.predicates:
                fail("S0215", at)
            if step.kind == "sort":
                fail("S0216", at)
            step.focus = right.value
        else:
            if left.kind != "path":
                left = Node("path", left.at, items=[step])
                step.stages, step.predicates = step.predicates, []
            if step.stages:
                step.stages.append(StepStage(at, index=right.value))
            else:
                step.index = right.value
        step.tuples = True
        return left

    def _call(self, at: int, left: Node) -> Node:
        node = Node("call", at, left=left)

        def argument() -> None:
            if self._at("?"):
                node.kind = "partial"
                node.items.append(Node("placeholder", self._token.at))
                self._advance("?")
            else:
                given = self._expression(0)
                hand_up(node, given)
                node.items.append(given)

        self._each(")", argument)
        keyword = left.kind == "path" and len(left.items) == 1 and left.items[0]
        if keyword and keyword.kind == "name" and keyword.value in ("function", "λ"):
            return self._lambda(node)
        return node

    def _lambda(self, node: Node) -> Node:
        for number, parameter in enumerate(node.items, 1):
            if parameter.kind != "variable":
                name = parameter.items[0] if parameter.items else parameter
                fail("S0208", parameter.at, token=name.value, value=number)
        node.kind = "lambda"
        if self._at("<"):
            node.signature = self._signature()
        self._advance("{")
        node.right = self._expression(0)
        self._advance("}")
        return node

    def _signature(self) -> FunctionSignature:
        at = self._token.at
        depth, text = 1, "<"
        while depth > 0 and not self._at("{") and self._token.kind != "end":
            token = self._advance()
            depth += token.is_operator("<") - token.is_operator(">")
            text += str(token.value)
        self._advance(">")
        try:
            return FunctionSignature(text)
        except Fault as fault:
            fault.at = at + (fault.at or 0)
            raise


def _path(name: Node) -> Node:
    return Node("path", name.at, items=[name])


def _joined(node: Node) -> Node:
    hand_up(node, cast(Node, node.left), cast(Node, node.right))
    return node


def _keep(left: Node) -> None:
    """`x[]`: the step, and the path that it stands in, keep a single value in a list."""
    left.keep = True
    if left.kind == "path":
        step = left.items[-1]
        step.keep = True
        if len(left.items) == 1 and step.kind == "name" and not step.focus:
            left.keep_one = True


def _said(token: Lexeme) -> str:
    return "the end" if token.kind == "end" else str(token.value)
