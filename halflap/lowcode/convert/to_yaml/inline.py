"""Puts what a module defines where it is used: constants, and functions of one expression."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence

from halflap.lowcode.convert.to_yaml.names import Names, is_constant
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.sdk._survey import Function


class Inline(Names):
    """Finds what names of the module stand for."""

    def constant_of(self, node: ast.expr) -> ast.expr:
        """The constant of the module that a name stands for; else the value itself."""
        if not isinstance(node, ast.Name) or self.is_local(node):
            return node
        made = self.integration.meanings.variables(self.integration.module).get(node.id)
        return node if made is None or not is_constant(made, self.meaning) else made

    def inlined(self, node: ast.Call) -> ast.expr | None:
        """What a function of the module gives for its arguments; None where it is none of those."""
        if not isinstance(node.func, ast.Name) or self.is_local(node.func):
            return None
        function = self.integration.module.functions.get(node.func.id)
        body = None if function is None else expression_of(function)
        if function is None or body is None:
            return None
        names = [each.arg for each in function.args.args]
        given = dict(zip(names, node.args, strict=False))
        given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
        if len(node.args) > len(names) or given.keys() != set(names):
            raise Refused(node, f"{function.name} is given each of its arguments once")
        inner = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and not _reads(n)}
        outer = {n.id for e in given.values() for n in ast.walk(e) if isinstance(n, ast.Name)}
        free = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)} - inner - set(names)
        clash = (inner & outer) | {each for each in free if self.is_local(ast.Name(each))}
        if clash:
            raise Refused(node, f"{function.name} has a name {min(clash)} of its own, too")
        if _calls(body, self.integration.module.functions, function.name):
            raise Refused(node, "a function that calls itself has no YAML")
        return _Put(given).visit(copy.deepcopy(body))


class _Put(ast.NodeTransformer):
    """Puts arguments in the place of parameters."""

    def __init__(self, given: dict[str, ast.expr]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._given.get(node.id, node)


def _reads(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def expression_of(function: Function) -> ast.expr | None:
    """What a function returns, where that is one expression of its arguments, or one by condition."""
    arguments = function.args
    plain = not (
        arguments.vararg
        or arguments.kwarg
        or arguments.kwonlyargs
        or arguments.posonlyargs
        or arguments.defaults
        or function.decorator_list
    )
    if isinstance(function, ast.AsyncFunctionDef) or not plain:
        return None
    return _returned(function.body[ast.get_docstring(function) is not None :])


def _returned(body: Sequence[ast.stmt]) -> ast.expr | None:
    match body:
        case [ast.Return(value=ast.expr() as value), *_]:
            return value
        case [ast.If(test=test, body=then, orelse=other) as node, *rest]:
            one, two = _returned(then), _returned([*other, *rest])
            if one is None or two is None:
                return None
            return ast.copy_location(ast.IfExp(test, one, two), node)
        case _:
            return None


def _calls(body: ast.expr, functions: Mapping[str, Function], name: str) -> bool:
    """Whether an expression calls a function, through others too."""
    waiting, seen = [body], set[str]()
    while waiting:
        for each in ast.walk(waiting.pop()):
            if isinstance(each, ast.Name) and each.id in functions and each.id not in seen:
                seen.add(each.id)
                inner = expression_of(functions[each.id])
                waiting += [] if inner is None else [inner]
    return name in seen
