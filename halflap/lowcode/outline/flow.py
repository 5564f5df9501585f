"""Reads the steps of a Python flow from its text, in the order in which they may happen.

It follows names to actions, `ctx`, `@step`s and functions of the project that hold steps. What it
cannot follow and may hold a step is an `UnknownNode`; what holds none is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from halflap.lowcode.outline.calls import (
    FunctionScope,
    Helper,
    Listed,
    Meaning,
    OfContext,
    OutlineChild,
    argument,
    inputs_of,
    text_of,
)
from halflap.lowcode.outline.comments import comments_of
from halflap.lowcode.outline.contexts import sibling
from halflap.lowcode.outline.nodes import NodeBlock, OutlineNode, block, made
from halflap.lowcode.outline.pruning import pruned
from halflap.lowcode.outline.values import Values, is_context
from halflap.sdk.survey import Function, Module


class FlowReader(Values):
    """Reads one flow."""

    def flow(self, module: Module, function: Function) -> list[OutlineNode]:
        """The steps of a flow's function."""
        scope = FunctionScope(module).inner(function)
        for at, each in enumerate((*function.args.posonlyargs, *function.args.args)):
            if at == 0 or is_context(each):
                scope.names[each.arg] = OfContext()
        body = function.body
        if isinstance(last := body[-1], ast.Return) and is_nothing(last.value):
            body = body[:-1]  # the end of a flow needs no node that says so
        return pruned(self.block(body, scope))

    # Statements -------------------------------------------------------------------------------

    def block(self, body: Iterable[ast.stmt], scope: FunctionScope) -> list[OutlineNode]:
        return [node for each in body for node in self._statement(each, scope)]

    def _statement(self, node: ast.stmt, scope: FunctionScope) -> list[OutlineNode]:
        match node:
            case ast.Expr(value=value):
                return self.value(value, scope)
            case ast.Assign(targets=targets, value=value):
                return self.assign(targets, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                return self.assign([target], value, scope)
            case ast.AugAssign(target=target, value=value):
                nodes = self.value(value, scope)
                scope.bind(target, None)
                return nodes
            case ast.Return(value=value):
                return self._return(node, value, scope)
            case ast.Raise(exc=error):
                text = "raise" if error is None else ast.unparse(error)
                thrown = made("throw", self.at(node, scope), {"throw": text.removeprefix("raise ")})
                return [*self.value(error, scope), thrown]
            case ast.If():
                return self._if(node, scope)
            case ast.For() | ast.AsyncFor():
                return self._for(node, scope)
            case ast.While():
                return self._while(node, scope)
            case ast.Try() | ast.TryStar():
                return self._try(node, scope)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                nodes = [each for item in items for each in self.value(item.context_expr, scope)]
                scope.forget(*(item.optional_vars for item in items if item.optional_vars))
                return [*nodes, *self.block(body, scope)]
            case ast.Match():
                return self._match(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope.names[node.name] = self._defined(node, scope)
                return []
            case ast.Break():
                return [made("break", self.at(node, scope), {})]
            case ast.Continue():
                return [made("continue", self.at(node, scope), {})]
            case _:
                values = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
                return [found for each in values for found in self.value(each, scope)]

    def assign(
        self, targets: Sequence[ast.expr], value: ast.expr, scope: FunctionScope
    ) -> list[OutlineNode]:
        name = next((each.id for each in targets if isinstance(each, ast.Name)), None)
        nodes = self.value(value, scope, name)
        meaning = self._meanings.of(value, scope)
        if isinstance(value, ast.Await):
            meaning = self._started(value.value, scope)
        elif isinstance(value, ast.Call) and meaning is None and nodes:
            meaning = Listed()
        for each in targets:
            scope.bind(each, meaning)
        return nodes

    def _started(self, called: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of `await ctx.start(…)`."""
        match called:
            case ast.Call(func=function) if self._meanings.of(function, scope) == OfContext(
                ("start",)
            ):
                return OutlineChild(sibling(called, self._meanings.survey, scope))
            case _:
                return None

    def _defined(self, node: Function, scope: FunctionScope) -> Meaning:
        """A function that is defined within one."""
        for each in node.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if scope.module.meaning(named, scope.own) == "halflap.step":
                return self._meanings.local_step(node)
        return Helper(node, scope)

    def _return(
        self, node: ast.stmt, value: ast.expr | None, scope: FunctionScope
    ) -> list[OutlineNode]:
        if isinstance(value, ast.IfExp):
            one = self._return(node, value.body, scope)
            other = self._return(node, value.orelse, scope)
            return [
                *self.value(value.test, scope),
                self.either(node, value.test, one, other, scope),
            ]
        nodes = self.value(value, scope)
        place = self.at(node, scope)
        if self._within:
            return [*nodes, made("return", place, {})]
        if any(each.kind == "route" for each in nodes):
            return nodes
        return [*nodes, made("stop", place, {"stop": self._ending(value, scope)})]

    def _ending(self, value: ast.expr | None, scope: FunctionScope) -> Any:
        if value is None or is_nothing(value):
            return True
        if isinstance(value, ast.Call):
            named = scope.module.meaning(value.func, scope.own) or ""
            first = argument(value, 0, "reason")
            match named.removeprefix("halflap."):
                case "Ignore":
                    return {"ignore": "" if first is None else text_of(first)}
                case "DeadLetter":
                    return {"dead_letter": "" if first is None else text_of(first)}
                case "Reply":
                    return {"reply": inputs_of(value, ("status", "body", "headers")) or {}}
                case _:
                    pass
        return {"answer": ast.unparse(value)}

    def _if(self, node: ast.If, scope: FunctionScope) -> list[OutlineNode]:
        before = self.value(node.test, scope)
        one, other = scope.copy(), scope.copy()
        then, otherwise = self.block(node.body, one), self.block(node.orelse, other)
        branches = ((node.body, one), (node.orelse, other))
        scope.meet(*(each for body, each in branches if not leaves(body)))
        return [*before, self.either(node, node.test, then, otherwise, scope, title=True)]

    def _for(self, node: ast.For | ast.AsyncFor, scope: FunctionScope) -> list[OutlineNode]:
        before = self.value(node.iter, scope)
        if isinstance(node, ast.AsyncFor) and not before:
            before = self.awaited(
                node.iter, scope, shown=f"async for … in {ast.unparse(node.iter)}"
            )
        scope.forget(node.target, *node.body)
        steps = self.block(node.body, scope)
        loop = made(
            "for",
            self.at(node, scope),
            {"for": ast.unparse(node.target), "in": ast.unparse(node.iter)},
            [block("do", steps)],
            title=self.title(node, node.iter, scope),
        )
        return [*before, loop, *self.block(node.orelse, scope)]

    def _while(self, node: ast.While, scope: FunctionScope) -> list[OutlineNode]:
        scope.forget(*node.body)
        asked = self.value(node.test, scope)
        loop = made(
            "while",
            self.at(node, scope),
            {"while": ast.unparse(node.test)},
            [block("do", [*asked, *self.block(node.body, scope)])],
            title=self.title(node, node.test, scope),
        )
        return [loop, *self.block(node.orelse, scope)]

    def _try(self, node: ast.Try | ast.TryStar, scope: FunctionScope) -> list[OutlineNode]:
        steps = self.block(node.body, scope)
        scope.forget(*node.body)
        catches: list[NodeBlock] = []
        for each in node.handlers:
            branch = scope.copy()
            if each.name is not None:
                branch.names.pop(each.name, None)
            catches.append(
                NodeBlock(
                    path=("catch", "any" if each.type is None else ast.unparse(each.type)),
                    place=self.at(each, scope),
                    title=self.title(each, each.type or each, scope),
                    nodes=self.block(each.body, branch),
                )
            )
        otherwise = self.block(node.orelse, scope)
        scope.forget(*node.handlers, *node.orelse)
        return [
            made(
                "try",
                self.at(node, scope),
                {},
                [
                    block("try", steps),
                    *catches,
                    block("else", otherwise),
                    block("finally", self.block(node.finalbody, scope)),
                ],
                title=self.title(node, node, scope),
            )
        ]

    def _match(self, node: ast.Match, scope: FunctionScope) -> list[OutlineNode]:
        before = self.value(node.subject, scope)
        cases: list[NodeBlock] = []
        default: list[OutlineNode] = []
        branches: list[FunctionScope] = []
        for each in node.cases:
            branch = scope.copy()
            branch.forget(each.pattern)
            steps = [*self.value(each.guard, branch), *self.block(each.body, branch)]
            if not leaves(each.body):
                branches.append(branch)
            if ast.unparse(each.pattern) == "_" and each.guard is None:
                default = steps
                continue
            guard = "" if each.guard is None else f" if {ast.unparse(each.guard)}"
            place = self.at(each.pattern, scope, until=each.body[-1])
            cases.append(
                NodeBlock(
                    path=("cases", ast.unparse(each.pattern) + guard),
                    place=place,
                    title=comments_of(scope.module, self._comments).title(place.line),
                    nodes=steps,
                )
            )
        scope.meet(*branches, scope.copy())
        return [
            *before,
            made(
                "switch",
                self.at(node, scope),
                {"switch": ast.unparse(node.subject)},
                [*cases, block("default", default)],
                title=self.title(node, node.subject, scope),
            ),
        ]


def is_nothing(value: ast.expr | None) -> bool:
    """Return whether a flow returns nothing."""
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Return whether what follows some statements is not reached from them."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Break | ast.Continue)
