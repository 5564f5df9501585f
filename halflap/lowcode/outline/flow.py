"""Reads the steps of a Python flow from its text, in the order in which they may happen.

It follows names to actions, `ctx`, `@step`s and functions of the project that hold steps. What it
cannot follow and may hold a step is an `UnknownNode`; what holds none is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from halflap.lowcode.outline.calls import (
    Child,
    Helper,
    Listed,
    Meaning,
    OfContext,
    Scope,
    argument,
    text_of,
)
from halflap.lowcode.outline.comments import comments_of
from halflap.lowcode.outline.contexts import sibling
from halflap.lowcode.outline.nodes import (
    Case,
    Catch,
    Ending,
    ForNode,
    LeaveNode,
    Node,
    RouteNode,
    StopNode,
    SwitchNode,
    ThrowNode,
    TryNode,
    WhileNode,
)
from halflap.lowcode.outline.pruning import kept
from halflap.lowcode.outline.values import Values, is_context
from halflap.sdk._survey import Function, Module


class Reader(Values):
    """Reads one flow."""

    def flow(self, module: Module, function: Function) -> list[Node]:
        """The steps of a flow's function."""
        scope = Scope(module).inner(function)
        for at, each in enumerate((*function.args.posonlyargs, *function.args.args)):
            if at == 0 or is_context(each):
                scope.names[each.arg] = OfContext()
        body = function.body
        if isinstance(last := body[-1], ast.Return) and is_nothing(last.value):
            body = body[:-1]  # the end of a flow needs no node that says so
        return kept(self.block(body, scope))

    # Statements -------------------------------------------------------------------------------

    def block(self, body: Iterable[ast.stmt], scope: Scope) -> list[Node]:
        return [node for each in body for node in self._statement(each, scope)]

    def _statement(self, node: ast.stmt, scope: Scope) -> list[Node]:
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
                return [*self.value(error, scope), ThrowNode(place=self.at(node, scope), text=text)]
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
                return [LeaveNode(kind="break", place=self.at(node, scope))]
            case ast.Continue():
                return [LeaveNode(kind="continue", place=self.at(node, scope))]
            case _:
                values = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
                return [found for each in values for found in self.value(each, scope)]

    def assign(self, targets: Sequence[ast.expr], value: ast.expr, scope: Scope) -> list[Node]:
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

    def _started(self, called: ast.expr, scope: Scope) -> Meaning:
        """What `await ctx.start(…)` gives."""
        match called:
            case ast.Call(func=function) if self._meanings.of(function, scope) == OfContext(
                ("start",)
            ):
                return Child(sibling(called, self._meanings.survey, scope))
            case _:
                return None

    def _defined(self, node: Function, scope: Scope) -> Meaning:
        """A function that is defined within one."""
        for each in node.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if scope.module.meaning(named, scope.own) == "halflap.step":
                return self._meanings.local_step(node)
        return Helper(node, scope)

    def _return(self, node: ast.stmt, value: ast.expr | None, scope: Scope) -> list[Node]:
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
            return [*nodes, LeaveNode(kind="return", place=place)]
        if any(isinstance(each, RouteNode) for each in nodes):
            return nodes
        how, text = self._ending(value, scope)
        return [*nodes, StopNode(place=place, how=how, text=text)]

    def _ending(self, value: ast.expr | None, scope: Scope) -> tuple[Ending, str | None]:
        if value is None or is_nothing(value):
            return "end", None
        if isinstance(value, ast.Call):
            named = scope.module.meaning(value.func, scope.own) or ""
            first = argument(value, 0, "reason")
            match named.removeprefix("halflap."):
                case "Ignore":
                    return "ignore", None if first is None else text_of(first)
                case "DeadLetter":
                    return "dead_letter", None if first is None else text_of(first)
                case "Reply":
                    return "reply", ast.unparse(value)
                case _:
                    pass
        return "answer", ast.unparse(value)

    def _if(self, node: ast.If, scope: Scope) -> list[Node]:
        before = self.value(node.test, scope)
        one, other = scope.copy(), scope.copy()
        then, otherwise = self.block(node.body, one), self.block(node.orelse, other)
        branches = ((node.body, one), (node.orelse, other))
        scope.meet(*(each for body, each in branches if not leaves(body)))
        made = self.either(node, node.test, then, otherwise, scope, title=True)
        return [*before, made]

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> list[Node]:
        before = self.value(node.iter, scope)
        if isinstance(node, ast.AsyncFor) and not before:
            before = self.awaited(
                node.iter, scope, shown=f"async for … in {ast.unparse(node.iter)}"
            )
        scope.forget(node.target, *node.body)
        steps = self.block(node.body, scope)
        made = ForNode(
            place=self.at(node, scope),
            title=self.title(node, node.iter, scope),
            item=ast.unparse(node.target),
            items=ast.unparse(node.iter),
            steps=steps,
        )
        return [*before, made, *self.block(node.orelse, scope)]

    def _while(self, node: ast.While, scope: Scope) -> list[Node]:
        scope.forget(*node.body)
        asked = self.value(node.test, scope)
        made = WhileNode(
            place=self.at(node, scope),
            title=self.title(node, node.test, scope),
            condition=ast.unparse(node.test),
            steps=[*asked, *self.block(node.body, scope)],
        )
        return [made, *self.block(node.orelse, scope)]

    def _try(self, node: ast.Try | ast.TryStar, scope: Scope) -> list[Node]:
        steps = self.block(node.body, scope)
        scope.forget(*node.body)
        catches: list[Catch] = []
        for each in node.handlers:
            branch = scope.copy()
            if each.name is not None:
                branch.names.pop(each.name, None)
            catches.append(
                Catch(
                    place=self.at(each, scope),
                    title=self.title(each, each.type or each, scope),
                    error="any" if each.type is None else ast.unparse(each.type),
                    steps=self.block(each.body, branch),
                )
            )
        otherwise = self.block(node.orelse, scope)
        scope.forget(*node.handlers, *node.orelse)
        return [
            TryNode(
                place=self.at(node, scope),
                title=self.title(node, node, scope),
                steps=steps,
                catches=catches,
                otherwise=otherwise,
                always=self.block(node.finalbody, scope),
            )
        ]

    def _match(self, node: ast.Match, scope: Scope) -> list[Node]:
        before = self.value(node.subject, scope)
        cases: list[Case] = []
        default: list[Node] = []
        branches: list[Scope] = []
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
                Case(
                    place=place,
                    title=comments_of(scope.module, self._comments).title(place.line),
                    value=ast.unparse(each.pattern) + guard,
                    steps=steps,
                )
            )
        scope.meet(*branches, scope.copy())
        return [
            *before,
            SwitchNode(
                place=self.at(node, scope),
                title=self.title(node, node.subject, scope),
                value=ast.unparse(node.subject),
                cases=cases,
                default=default,
            ),
        ]


def is_nothing(value: ast.expr | None) -> bool:
    """Whether a flow returns nothing."""
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether what follows some statements is not reached from them."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Break | ast.Continue)
