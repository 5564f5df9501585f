"""Tokens to a tree, by Pratt's algorithm: https://crockford.com/javascript/tdop/tdop.html.

The grammar and its meaning are those of the reference, jsonata.js 2.2. There a second pass turns
what was parsed into flat paths; here each operator does so when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TypeVar, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.lexer import Lexeme, Lexer
from halflap.lowcode.expressions.signature import FunctionSignature
from halflap.lowcode.expressions.value import is_number

T = TypeVar("T")

_BY_POWER = {
    80: "[ ( @ #", 75: ".", 70: "{", 60: "* / %", 50: "+ - &",
    40: "= < > ^ != <= >= ~> ?: ?? in", 30: "and", 25: "or", 20: "?", 10: ":=",
}  # fmt: skip
POWERS = {each: power for power, operators in _BY_POWER.items() for each in operators.split()}
_KNOWN = frozenset((*POWERS, *")]},:;|", "..", "**"))

MAX_TEXT = 10_000
"""The most characters of an expression; more is a program, and belongs in a code step."""

MAX_NESTING = 60
"""The deepest nesting of brackets; the compiler limits chains of operators too."""

MAX_PARENTS = 100
"""The most `%` of an expression: each is looked for along its path."""


def parse(text: str) -> tuple[tree.Node, set[str]]:
    """The tree of an expression, and the names that it binds; raises `Fault` with a place."""
    if len(text) > MAX_TEXT:
        fail("H0109", 0, limit=MAX_TEXT)
    parser = _Parser(text)
    return parser.whole(), parser.bound


class _Parser:
    def __init__(self, text: str) -> None:
        self.bound: set[str] = set()
        self._text = text
        self._lexer = Lexer(text)
        self._depth = 0
        self._labels = 0
        self._late: Fault | None = None
        self._token = self._lexer.next(infix=False)

    def whole(self) -> tree.Node:
        node = self._expression(0)
        if self._token.kind != "end":
            fail("S0201", self._token.at, token=_said(self._token))
        if self._late:
            raise self._late
        if isinstance(node, tree.Parent) or node.seeking:
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

    def _each(self, closing: str, read: Callable[[], T]) -> list[T]:
        """Read what stands between commas, up to the closing bracket."""
        found: list[T] = []
        if not self._at(closing):
            found.append(read())
            while self._at(","):
                self._advance(",")
                found.append(read())
        self._advance(closing, infix=True)
        return found

    def _expression(self, power: int = 0) -> tree.Node:
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

    def _operation(self, node: tree.Node) -> tree.Node:
        """Return an operation, which looks for what its operands look for above themselves."""
        if self._labels:
            hand_up(node, node.operands())
        return node

    # What begins a value --------------------------------------------------------------------

    def _prefix(self, token: Lexeme) -> tree.Node:
        at = token.at
        match token.kind, token.value:
            case "literal", value:
                return tree.Literal(at, value)
            case "regex", (pattern, flags):
                return tree.RegexLiteral(at, pattern, flags)
            case "variable", name:
                return tree.Variable(at, name)
            case ("name", name) | ("operator", "and" | "or" | "in" as name):
                return tree.Path(at, [tree.FieldName(at, name)])
            case "end", _:
                self._late = Fault("S0207", at)
                return tree.Node(at)
            case _, "-":
                return self._negation(at)
            case _, "*":
                return tree.Wildcard(at)
            case _, "**":
                return tree.Descendant(at)
            case _, "%":
                self._labels += 1
                if self._labels > MAX_PARENTS:
                    fail("H0117", at, limit=MAX_PARENTS)
                return tree.Parent(at, tree.Slot(f"!{self._labels}"))
            case _, "(":
                return self._parenthesized(at)
            case _, "[":
                items = self._each("]", self._item)
                return self._operation(tree.ArrayConstructor(at, items))
            case _, "{":
                return self._operation(self._object(at))
            case _, "|":
                return self._transform(at)
            case _:
                return fail("S0211", at, token=_said(token))

    def _negation(self, at: int) -> tree.Node:
        operand = self._expression(70)
        if isinstance(operand, tree.Literal) and is_number(operand.value):
            operand.value = -operand.value
            return operand
        return self._operation(tree.Negation(at, operand))

    def _parenthesized(self, at: int) -> tree.Node:
        expressions: list[tree.Node] = []
        while not self._at(")"):
            expressions.append(self._expression())
            if not self._at(";"):
                break
            self._advance(";")
        self._advance(")", infix=True)
        return self._operation(tree.Parenthesized(at, expressions))

    def _item(self) -> tree.Node:
        item = self._expression()
        if not self._at(".."):
            return item
        at = self._token.at
        self._advance("..")
        return self._operation(tree.Binary(at, "..", item, self._expression()))

    def _object(self, at: int) -> tree.ObjectConstructor:
        return tree.ObjectConstructor(at, self._each("}", self._pair))

    def _pair(self) -> tuple[tree.Node, tree.Node]:
        name = self._expression()
        self._advance(":")
        return name, self._expression()

    def _transform(self, at: int) -> tree.Node:
        pattern = self._expression()
        self._advance("|")
        update = self._expression()
        delete = None
        if self._at(","):
            self._advance(",")
            delete = self._expression()
        self._advance("|")
        return tree.Transform(at, pattern, update, delete)

    # What follows a value -------------------------------------------------------------------

    def _infix(self, token: Lexeme, left: tree.Node) -> tree.Node:
        at, operator = token.at, cast(str, token.value)
        match operator:
            case ".":
                return self._stepped(left, self._expression(75))
            case "[":
                return self._filter(at, left)
            case "(":
                return self._call(at, left)
            case "{":
                group = self._object(at)
                if left.group is not None:
                    fail("S0210", at)
                left.group = group
                return left
            case "^":
                return self._sort(at, left)
            case "@" | "#":
                return self._binding(operator, at, left)
            case ":=":
                if not isinstance(left, tree.Variable) or left.predicates:
                    fail("S0212", left.at)
                self.bound.add(left.name)
                return self._operation(tree.Binding(at, left.name, self._expression(9)))
            case "?":
                then, otherwise = self._expression(), None
                if self._at(":"):
                    self._advance(":")
                    otherwise = self._expression()
                return self._operation(tree.Condition(at, left, then, otherwise))
            case "?:":
                return self._operation(tree.Condition(at, left, left, self._expression()))
            case "??":
                test = tree.FunctionCall(at, tree.Variable(at, "exists"), [left])
                return self._operation(tree.Condition(at, test, left, self._expression()))
            case "~>":
                right = self._expression(40)
                return tree.Chain(at, left, right, keep=left.keep or right.keep)
            case _:
                right = self._expression(POWERS[operator])
                return self._operation(tree.Binary(at, operator, left, right))

    def _stepped(self, left: tree.Node, right: tree.Node) -> tree.Node:
        """`left.right`: one path of the steps of both."""
        path = _path(left)
        if isinstance(left, tree.Parent):
            path.seeking = (left.slot,)
        before = len(path.steps) - 1
        if isinstance(right, tree.Path):
            path.steps += right.steps
            path.keep_one |= right.keep_one
            path.group = right.group or path.group
        else:
            right.stages, right.predicates = right.predicates, ()
            path.steps.append(right)
        for number, step in enumerate(path.steps[before:], before):
            if isinstance(step, tree.Literal):
                if not isinstance(step.value, str):
                    # An error of the grammar further on comes before this one of meaning.
                    self._late = self._late or Fault("S0213", step.at, value=step.value)
                path.steps[number] = _name(step)
            path.keep_one |= step.keep
        for step in (path.steps[0], path.steps[-1]):
            if isinstance(step, tree.ArrayConstructor):
                step.whole = True
        resolve(path)
        return path

    def _filter(self, at: int, left: tree.Node) -> tree.Node:
        if self._at("]"):
            self._advance("]")
            _keep(left)
            return left
        predicate = self._expression()
        self._advance("]", infix=True)
        step = _step(left)
        if step.group is not None:
            fail("S0209", at)
        for slot in predicate.seeking:
            if slot.level == 1:
                seek(step, slot)
            else:
                slot.level -= 1
        hand_up(step, (predicate,))
        if step is left:
            step.predicates += (predicate,)
        else:
            step.stages += (predicate,)
        return left

    def _sort(self, at: int, left: tree.Node) -> tree.Node:
        self._advance("(")
        terms = [self._term()]
        while self._at(","):
            self._advance(",")
            terms.append(self._term())
        self._advance(")")
        path = _path(left)
        path.steps.append(self._operation(tree.Sort(at, terms)))
        resolve(path)
        return path

    def _term(self) -> tuple[tree.Node, bool]:
        descending = self._at(">")
        if self._at("<", ">"):
            self._advance()
        return self._expression(), descending

    def _binding(self, operator: str, at: int, left: tree.Node) -> tree.Node:
        right = self._expression(80)
        if not isinstance(right, tree.Variable):
            fail("S0214", right.at, token=operator)
        self.bound.add(right.name)
        step = _step(left)
        if operator == "@":
            if step.stages or step.predicates:
                fail("S0215", at)
            if isinstance(step, tree.Sort):
                fail("S0216", at)
            step.focus = right.name
        else:
            if step is left:
                left = _path(step)
                step.stages, step.predicates = step.predicates, ()
            if step.stages:
                step.stages += (right.name,)
            else:
                step.index = right.name
        step.tuples = True
        return left

    def _call(self, at: int, left: tree.Node) -> tree.Node:
        arguments = self._each(")", self._argument)
        match left:
            case tree.Path(steps=[tree.FieldName(name="function" | "λ")]):
                return self._definition(left.at, arguments)
            case _ if any(isinstance(each, tree.Placeholder) for each in arguments):
                call = tree.PartialCall(at, left, arguments)
            case _:
                call = tree.FunctionCall(at, left, arguments)
        hand_up(call, arguments)
        return call

    def _argument(self) -> tree.Node:
        if not self._at("?"):
            return self._expression()
        open_ = tree.Placeholder(self._token.at)
        self._advance("?")
        return open_

    def _definition(self, at: int, arguments: list[tree.Node]) -> tree.Node:
        names: list[str] = []
        for number, parameter in enumerate(arguments, 1):
            if not isinstance(parameter, tree.Variable):
                token = Lexer(self._text, parameter.start).next(infix=False)
                fail("S0208", parameter.at, token=_said(token), value=number)
            names.append(parameter.name)
        self.bound.update(names)
        signature = self._signature() if self._at("<") else None
        self._advance("{")
        body = self._expression()
        self._advance("}")
        return tree.FunctionDefinition(at, tuple(names), signature, body)

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


def _path(node: tree.Node) -> tree.Path:
    return node if isinstance(node, tree.Path) else tree.Path(node.at, [node])


def _step(node: tree.Node) -> tree.Node:
    return node.steps[-1] if isinstance(node, tree.Path) else node


def _name(step: tree.Literal) -> tree.FieldName:
    """A text as a step, with all that follows it."""
    behind = {each.name: getattr(step, each.name) for each in fields(tree.Node) if each.kw_only}
    return tree.FieldName(step.at, str(step.value), **behind)


def _keep(left: tree.Node) -> None:
    """`x[]`: the step, and the path that it stands in, keep a single value in a list."""
    left.keep = True
    if isinstance(left, tree.Path):
        step = left.steps[-1]
        step.keep = True
        single = len(left.steps) == 1 and isinstance(step, tree.FieldName)
        left.keep_one |= single and not step.focus


def _said(token: Lexeme) -> str:
    return "the end" if token.kind == "end" else str(token.value)


# The parent operator `%`: which earlier step of a path it means -------------------------------


def hand_up(node: tree.Node, operands: Iterable[tree.Node]) -> None:
    """Have the node look for what its operands look for above themselves."""
    for operand in operands:
        node.seeking += tuple(slot for slot in _sought(operand) if slot not in node.seeking)


def _sought(node: tree.Node) -> tuple[tree.Slot, ...]:
    return (*node.seeking, node.slot) if isinstance(node, tree.Parent) else node.seeking


def resolve(path: tree.Path) -> None:
    """Look in the path for what its last step seeks; what is not there, the path seeks in turn."""
    for slot in _sought(path.steps[-1]):
        index = len(path.steps) - 2
        while slot.level > 0:
            if index < 0:
                path.seeking += (slot,)
                break
            step = path.steps[index]
            index -= 1
            # Steps in a row that only bind a name stay where they are.
            while index >= 0 and step.focus and path.steps[index].focus:
                step = path.steps[index]
                index -= 1
            seek(step, slot)


def seek(node: tree.Node, slot: tree.Slot) -> None:
    """Go one step up for the slot; where it has arrived, have the step remember its parent."""
    match node:
        case tree.FieldName() | tree.Wildcard():
            slot.level -= 1
            if slot.level == 0:
                if node.slot is not None:
                    slot.label = node.slot.label
                node.slot = slot
                node.tuples = True
        case tree.Parent():
            slot.level += 1
        case tree.Parenthesized(expressions=expressions):
            if expressions:
                node.tuples = True
                seek(expressions[-1], slot)
        case tree.Path():
            node.tuples = True
            for step in reversed(node.steps):
                seek(step, slot)
                if slot.level == 0:
                    break
        case _:
            fail("S0217", node.at)
