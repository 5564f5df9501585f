"""The shapes that loops of Python have: what YAML says by `where`, `collect` and `on_failure`."""

from __future__ import annotations

import ast
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

FAILED = ": an item failed: "


@dataclass(slots=True)
class Body:
    """What a loop does with each item.

    begins: what it gives variables first. where: the items that it takes. result: what each gives at
    its end. told: what is logged of one that fails where the loop goes on with the others.
    """

    inner: list[ast.stmt]
    begins: list[ast.stmt] = field(default_factory=list[ast.stmt])
    where: ast.expr | None = None
    result: ast.expr | None = None
    told: str | None = None


@dataclass(slots=True)
class Function(Body):
    """A function for each item, the name of its item, and the variables of loops around."""

    item: str = ""
    captured: list[str] = field(default_factory=list[str])


def item_in(told: str | None, title: str | None) -> str | None:
    """What an item is called in YAML by what is logged where one fails."""
    found = re.fullmatch(rf"for (\w+){FAILED}", told or "")
    return found[1] if found is not None and title is None else None


def taken_apart(statements: list[ast.stmt]) -> Body:
    """A loop's body: what it gives variables first, the condition of its items, and the rest."""
    at = next((at for at, each in enumerate(statements) if not _prepares(each)), len(statements))
    first, rest = statements[:at], list(statements[at:])
    match rest:
        case [ast.If(test=test, body=[ast.Continue()], orelse=[]), *inner] if inner:
            pass
        case [ast.If(test=test, body=[ast.Pass()], orelse=[_, *_] as inner)]:
            pass
        case [ast.If(test=test, body=inner, orelse=[])]:
            return Body(list(inner), first, test)
        case _:
            return Body(rest, first)
    return Body(list(inner), first, ast.copy_location(ast.UnaryOp(ast.Not(), test), test))


def ends(body: Sequence[ast.stmt]) -> bool:
    """Whether what follows some statements is never reached from them."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.If(body=then, orelse=other):
            return ends(then) and ends(other)
        case ast.Try(body=tried, handlers=handlers):
            return ends(tried) and all(ends(each.body) for each in handlers)
        case ast.Match(cases=cases):
            last = cases[-1].pattern
            every = isinstance(last, ast.MatchAs) and last.pattern is None
            return every and all(ends(each.body) for each in cases)
        case _:
            return False


def _prepares(node: ast.stmt) -> bool:
    """Whether a statement gives a variable what it has before anything is done."""
    match node:
        case ast.Assign(targets=[ast.Name()], value=ast.Name()):
            return True
        case _:
            return begins(node)


def begins(node: ast.stmt | None) -> bool:
    """Whether a statement gives a variable nothing yet."""
    match node:
        case ast.Assign(targets=[ast.Name()], value=ast.Constant(value=None)):
            return True
        case ast.AnnAssign(target=ast.Name(), value=ast.Constant(value=None)):
            return True
        case _:
            return False


def without_name(handler: ast.ExceptHandler) -> tuple[str | None, list[ast.stmt]]:
    """What a handler calls the error that it caught, and the rest of it."""
    match handler.body[0]:
        case ast.Assign(targets=[ast.Name(id=other)], value=ast.Name(id=given)) if (
            given == handler.name
        ):
            return other, handler.body[1:]
        case _:
            return handler.name, handler.body


def nulls(body: Sequence[ast.stmt]) -> set[str]:
    """The names that are null in YAML before these statements give them something."""
    found: set[str] = set()
    inner: set[str] = set()
    for node in outside_loops(body):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ) if not begins(node):
                found.add(name)
            case ast.For():
                inner |= stored(node.body).keys()
            case _:
                pass
    return found - inner


def is_empty(value: ast.expr) -> bool:
    """Whether a value is a list of nothing."""
    return isinstance(value, ast.List) and not value.elts


def outside_loops(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Statements, and those in their branches."""
    for each in body:
        yield each
        if not isinstance(each, ast.For | ast.AsyncFunctionDef | ast.FunctionDef):
            yield from outside_loops(ast.iter_child_nodes(each))


def is_result(value: ast.expr) -> bool:
    """Whether a value is a step's result."""
    if isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Await | ast.DictComp)


def appended(node: ast.stmt, name: str) -> ast.expr | None:
    """What a statement appends to a list."""
    match node:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id=owner), attr="append"), args=[value]
            )
        ) if owner == name:
            return value
        case _:
            return None


def is_failure(node: ast.expr | None, name: str | None) -> bool:
    """Whether a value is an item's failure as YAML has it."""
    return node is not None and ast.unparse(node) in (
        f"expr('{{\"error\": {name}}}', {name}={name})",
        f"expr('{{error: {name}}}', {name}={name})",
    )


def without_continue(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The body of a loop with what follows a `continue` in the other branch."""
    made: list[ast.stmt] = []
    for at, each in enumerate(body):
        rest = list(body[at + 1 :])
        match each:
            case ast.Continue():
                return made
            case ast.If(test=test, body=then, orelse=other) if goes_on(each):
                if isinstance(then[-1], ast.Continue):
                    parts = (then[:-1], [*other, *rest])
                elif other and isinstance(other[-1], ast.Continue):
                    parts = ([*then, *rest], other[:-1])
                elif not rest:
                    parts = (then, other)
                else:
                    return [*made, *body[at:]]
                one, two = (without_continue(each) for each in parts)
                nothing: list[ast.stmt] = [ast.copy_location(ast.Pass(), each)]
                branch = ast.If(test, one or nothing, two)
                return [*made, ast.copy_location(branch, each)]
            case _:
                made.append(each)
    return made


def goes_on(node: ast.If) -> bool:
    """Whether a branch goes on with the next item."""
    return any(isinstance(each, ast.Continue) for each in outside_loops(node.body + node.orelse))


def stored(body: Iterable[ast.AST]) -> dict[str, None]:
    """The names that statements give something, but for those of functions within."""
    found: dict[str, None] = {}
    for each in within(body):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found[each.id] = None
        if isinstance(each, ast.ExceptHandler) and each.name is not None:
            found[each.name] = None
    return found


def within(nodes: Iterable[ast.AST]) -> Generator[ast.AST]:
    """What stands in these, but not in functions and lists of one loop, whose names are their own."""
    for each in nodes:
        yield each
        if not isinstance(
            each,
            ast.FunctionDef
            | ast.AsyncFunctionDef
            | ast.Lambda
            | ast.ListComp
            | ast.DictComp
            | ast.GeneratorExp
            | ast.SetComp,
        ):
            yield from within(ast.iter_child_nodes(each))
