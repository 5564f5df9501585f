"""Which code a function of Python does exactly as the sandbox does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable
from keyword import iskeyword

FUNCTIONS = frozenset(
    ("abs", "all", "any", "bool", "len", "list", "max", "min", "round", "sorted", "str", "sum")
)
SCALARS = frozenset(("Decimal", "abs", "bool", "len", "round", "str"))
"""Those that give a number or a text, or true or false."""
LISTS = frozenset(("list", "sorted"))
"""Those that give a list of their own."""
GOES_THROUGH = frozenset(("list", "max", "min", "sorted", "sum"))
"""Those that go through all that they are given, so that it is all one when that is made."""
SOURCES = frozenset(("enumerate", "zip"))
METHODS = {"get": 1, "join": 1, "startswith": 1, "endswith": 1, "replace": 2, "split": 1}
"""With how many arguments at least: without one, `split` asks what a space is."""
VIEWS = ("items", "keys", "values")
ERRORS = frozenset(
    (
        "Exception",
        "IndexError",
        "KeyError",
        "LookupError",
        "RuntimeError",
        "TypeError",
        "ValueError",
    )
)
OPERATORS = (ast.Add, ast.Sub, ast.Mult)
MOST = 1_000
"""Of a number that says how often, or to how many places."""
NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?", re.ASCII)


def is_plain(body: list[ast.stmt], inputs: Collection[str], hidden: Collection[str]) -> bool:
    """Whether code does the same in a function of Python, with its inputs as parameters.

    Of the same inputs it gives the same result, or fails with an error of the same kind. `hidden` are
    built-in names that mean something else where the function stands. What is not known here is not
    plain: what changes its inputs, tells apart the types of numbers, asks what a letter is, or gives
    what only one of both can write.
    """
    reader = _Reader(body, inputs, hidden)
    named = {*inputs, *reader.bound}
    if any(not each.isidentifier() or iskeyword(each) for each in inputs):
        return False
    if named & {*FUNCTIONS, *SOURCES, *ERRORS, "range", "Decimal"}:
        return False
    try:
        reader.block(body, frozenset(inputs))
    except (_Other, RecursionError):
        return False
    return True


class _Other(Exception):
    """Something that is not plain."""


Known = frozenset[str]
"""The names that have a value for certain."""


class _Reader:
    def __init__(
        self, body: list[ast.stmt], inputs: Collection[str], hidden: Collection[str]
    ) -> None:
        self._inputs, self._hidden = inputs, hidden
        self._around: list[ast.expr] = []
        """What the loops go through that stand around."""
        self._given: dict[str, list[ast.expr | None]] = {}
        """What each name is given; None where that is not written out."""
        self._read: dict[str, set[str]] = {}
        """The names that are read in what a name is given, or gets more of."""
        for node in (inner for each in body for inner in ast.walk(each)):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._given.setdefault(node.id, [])
        for node in (inner for each in body for inner in ast.walk(each)):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._given[name].append(value)
                    self._reads([name], value)
                case ast.Assign(targets=targets, value=value):
                    self._elsewhere(targets, value)
                case (
                    ast.For(target=target, iter=value)
                    | ast.comprehension(target=target, iter=value)
                ):
                    self._elsewhere([target], value)
                case (
                    ast.AugAssign(target=ast.Name(id=name), value=value)
                    | ast.Call(func=ast.Attribute(value=ast.Name(id=name)), args=[value])
                ):
                    self._reads([name], value)
                case _:
                    pass

    @property
    def bound(self) -> Collection[str]:
        """The names that the code gives a value."""
        return self._given.keys()

    def _elsewhere(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        for name in (name for each in targets for name in _mentioned(each)):
            self._given.setdefault(name, []).append(None)
            self._reads([name], value)

    def _reads(self, names: Iterable[str], value: ast.expr) -> None:
        for each in names:
            self._read.setdefault(each, set()).update(_mentioned(value))

    def _changed(
        self, name: str, is_own: Callable[[ast.expr], bool], value: ast.expr, known: Known
    ) -> Known:
        """More is added to what a name holds: to what is no part of an input, nor of itself."""
        given = self._given.get(name, [])
        self._check(name in known and name not in self._inputs)
        self._check(all(each is not None and is_own(each) for each in given))
        self._check(not any(self._may_hold(each, name) for each in (value, *self._around)))
        self.value(value, known)
        return known

    def _may_hold(self, node: ast.expr, name: str) -> bool:
        """Whether what a name holds may be a part of a value."""
        seen, left = set[str](), _mentioned(node)
        while left:
            if name in left:
                return True
            seen |= left
            left = set[str]().union(*(self._read.get(each, ()) for each in left)) - seen
        return False

    # Statements -------------------------------------------------------------------------------

    def block(self, body: Iterable[ast.stmt], known: Known) -> Known | None:
        """What is known after statements; None where what follows is not reached."""
        now: Known | None = known
        for each in body:
            if now is None:  # what is never reached is read all the same, and may hide a name
                raise _Other
            now = self._statement(each, now)
        return now

    def _statement(self, node: ast.stmt, known: Known) -> Known | None:
        match node:
            case ast.Assign(targets=[target], value=value):
                self.value(value, known)
                return known | _names(target)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                self._check(isinstance(op, ast.Add | ast.Sub))
                return self._changed(name, _is_scalar, value, known)
            case ast.If(test=test, body=body, orelse=other):
                self.value(test, known)
                then, otherwise = self.block(body, known), self.block(other, known)
                if then is None or otherwise is None:
                    return otherwise if then is None else then
                return then & otherwise
            case ast.For(target=target, iter=items, body=body, orelse=[]):
                self._items(items, known)
                self._around.append(items)
                self.block(body, known | _names(target))
                self._around.pop()
                return known
            case ast.Return(value=value):
                if value is not None:
                    self.value(value, known)
                return None
            case ast.Raise(
                exc=ast.Call(func=ast.Name(id=name), args=args, keywords=[]), cause=None
            ):
                self._check(name in ERRORS and name not in self._hidden and len(args) < 2)
                self._check(all(map(_is_text, args)))
                self._all(args, known)
                return None
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append"),
                    args=[value],
                    keywords=[],
                )
            ):
                return self._changed(name, _is_list, value, known)
            case ast.ImportFrom(
                module="decimal", names=[ast.alias(name="Decimal", asname=None)], level=0
            ):
                return known | {"Decimal"}
            case ast.Pass():
                return known
            case ast.Break() | ast.Continue():
                return None
            case _:
                raise _Other

    def _check(self, holds: bool) -> None:
        if not holds:
            raise _Other

    # Values -----------------------------------------------------------------------------------

    def value(self, node: ast.expr, known: Known) -> None:
        """Check a value."""
        match node:
            case ast.Constant(value=value):
                self._check(value is None or type(value) in (str, int, bool))
            case ast.Name(id=name):
                self._check(name in known and name != "Decimal")
            case ast.List(elts=items) | ast.Tuple(elts=items):
                self._all(items, known)
            case ast.Dict(keys=keys, values=values):
                for key in keys:
                    self._key(key)
                self._all([*(each for each in keys if each is not None), *values], known)
            case ast.BinOp(left=left, op=op, right=right):
                self._check(isinstance(op, OPERATORS))
                self._all([left, right], known)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                self.value(operand, known)
            case ast.BoolOp(values=values):
                self._all(values, known)
            case ast.IfExp(test=test, body=body, orelse=other):
                self._all([test, body, other], known)
            case ast.Compare(left=left, ops=ops, comparators=others):
                self._check(all(not isinstance(each, ast.Is | ast.IsNot) for each in ops) or (
                    len(others) == 1
                    and isinstance(others[0], ast.Constant)
                    and others[0].value is None
                ))  # fmt: skip
                self._all([left, *others], known)
            case ast.Subscript(value=value, slice=index):
                self._all([value, index], known)
            case ast.JoinedStr(values=values):
                self._all(values, known)
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                self.value(value, known)
            case ast.ListComp(elt=made, generators=parts):
                self.value(made, self._parts(parts, known))
            case ast.DictComp(key=key, value=made, generators=parts):
                self._key(key)
                self._all([key, made], self._parts(parts, known))
            case ast.Call(func=function, args=args, keywords=[]):
                self._call(function, args, known)
            case _:
                raise _Other

    def _all(self, nodes: Iterable[ast.expr], known: Known) -> None:
        for each in nodes:
            self.value(each, known)

    def _key(self, node: ast.expr | None) -> None:
        """A key that is a text: JSON's are, and what becomes of another is not the same."""
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                pass
            case ast.Call(func=ast.Name(id="str")):
                pass
            case _:
                raise _Other

    def _call(self, function: ast.expr, args: list[ast.expr], known: Known) -> None:
        match function, args:
            case ast.Name(id="Decimal"), [ast.Constant(value=value)] if "Decimal" in known:
                self._check(type(value) is int or bool(NUMBER.fullmatch(str(value))))
            case ast.Name(id=name), [first, *rest] if name in FUNCTIONS:
                self._check(name not in self._hidden)
                self._check(all(map(_is_number if name == "round" else _is_sure, rest)))
                self._all(rest, known)
                if name in GOES_THROUGH:
                    self._made(first, known)
                else:
                    self.value(first, known)
            case ast.Attribute(value=ast.Constant(value=str()), attr="join"), [items]:
                self._made(items, known)
            case ast.Attribute(value=value, attr=name), _ if len(args) >= METHODS.get(name, 9):
                # Which comes first, what is called or what it is given, is not the same.
                self._check(all(map(_is_sure, args)))
                self._all([value, *args], known)
            case _:
                raise _Other

    def _parts(self, parts: Iterable[ast.comprehension], known: Known) -> Known:
        for each in parts:
            self._check(not each.is_async)
            self._items(each.iter, known)
            known |= _names(each.target)
            self._all(each.ifs, known)
        return known

    def _made(self, node: ast.expr, known: Known) -> None:
        """Check what is gone through to its end, and may be made while it is."""
        if isinstance(node, ast.GeneratorExp):
            self.value(node.elt, self._parts(node.generators, known))
        else:
            self._items(node, known)

    def _items(self, node: ast.expr, known: Known) -> None:
        """Check what is gone through, and may be of a kind that is no value by itself."""
        match node:
            case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if (
                name in SOURCES and name not in self._hidden
            ):
                for each in args:
                    self._items(each, known)
            case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]):
                self._check("range" not in self._hidden and all(map(_is_number, args)))
            case ast.Call(func=ast.Attribute(value=value, attr=name), args=[], keywords=[]) if (
                name in VIEWS
            ):
                self.value(value, known)
            case _:
                self.value(node, known)


def _mentioned(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _names(target: ast.expr) -> Known:
    match target:
        case ast.Name(id=name):
            return frozenset((name,))
        case ast.Tuple(elts=items):
            return frozenset[str]().union(*map(_names, items))
        case _:
            raise _Other


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value <= MOST


def _is_sure(node: ast.expr) -> bool:
    """Whether a value cannot fail."""
    return isinstance(node, ast.Constant | ast.Name)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_scalar(node: ast.expr) -> bool:
    """Whether a value is a number or a text for certain, or true, false or null."""
    match node:
        case ast.Constant() | ast.JoinedStr():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in SCALARS
        case _:
            return False


def _is_list(node: ast.expr) -> bool:
    """Whether a value is a list that nothing else has."""
    match node:
        case ast.List() | ast.ListComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in LISTS
        case _:
            return False
