"""Reads the steps within an expression of a Python flow: what it calls, and in which order."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from halflap.lowcode.code import Code, CodeError, Use, components_of
from halflap.lowcode.code.literal import cleaned, place_in
from halflap.lowcode.outline.calls import (
    Conditional,
    FunctionScope,
    Helper,
    Listed,
    Meaning,
    Meanings,
    OfContext,
    OutlineAction,
    OutlineChild,
    Sandboxed,
    argument,
    inputs_of,
    parameters,
    text_of,
)
from halflap.lowcode.outline.comments import Comments, comments_of, first_sentence
from halflap.lowcode.outline.contexts import awaited as is_awaited
from halflap.lowcode.outline.contexts import of_context, sibling
from halflap.lowcode.outline.nodes import OutlineNode, Span, block, made
from halflap.lowcode.outline.pruning import holds_step
from halflap.sdk.survey import Function, Module

MOST_NODES = 5_000
"""Beyond so many nodes of a flow, functions are shown without their steps."""

Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class Values(ABC):
    """Reads expressions; what reads statements is made of it."""

    def __init__(self, meanings: Meanings, comments: dict[str, Comments]) -> None:
        self._meanings = meanings
        self._comments = comments
        self._within: list[ast.AST] = []
        self._count = 0

    @abstractmethod
    def block(self, body: Iterable[ast.stmt], scope: FunctionScope) -> list[OutlineNode]:
        """The steps of statements, one after another."""

    @abstractmethod
    def assign(
        self, targets: list[ast.expr], value: ast.expr, scope: FunctionScope
    ) -> list[OutlineNode]:
        """The steps of an assignment; what its names mean is noted."""

    def value(
        self, node: ast.expr | None, scope: FunctionScope, id: str | None = None
    ) -> list[OutlineNode]:
        """The steps within an expression, in the order in which Python evaluates it."""
        if node is None or not calls(node):
            return []
        match node:
            case ast.Await(value=value):
                return self.awaited(value, scope, id)
            case ast.Call():
                return self._called(node, scope, id)
            case ast.IfExp(test=test, body=body, orelse=other):
                one, two = self.value(body, scope, id), self.value(other, scope, id)
                return [*self.value(test, scope), self.either(node, test, one, two, scope)]
            case ast.BoolOp(op=op, values=[first, *rest]):
                return self._in_turn(node, op, first, rest, scope)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, scope, id)
            case ast.Lambda():
                return []
            case ast.NamedExpr(target=target, value=value):
                return self.assign([target], value, scope)
            case _:
                found: list[OutlineNode] = []
                for each in ast.iter_child_nodes(node):
                    inner = each.value if isinstance(each, ast.keyword) else each
                    if isinstance(inner, ast.expr):
                        found += self.value(inner, scope)
                return found

    def _in_turn(
        self,
        node: ast.expr,
        op: ast.boolop,
        first: ast.expr,
        rest: list[ast.expr],
        scope: FunctionScope,
    ) -> list[OutlineNode]:
        """`and` and `or`: what stands later happens only where it is needed."""
        before = self.value(first, scope)
        if not rest:
            return before
        later = self._in_turn(node, op, rest[0], rest[1:], scope)
        test = first if isinstance(op, ast.And) else ast.UnaryOp(ast.Not(), first)
        return [*before, self.either(node, test, later, [], scope)]

    def _comprehension(
        self, node: Comprehension, scope: FunctionScope, id: str | None
    ) -> list[OutlineNode]:
        scope = scope.copy()
        first, *more = node.generators
        before = self.value(first.iter, scope)
        for each in node.generators:
            scope.own |= {n.id for n in ast.walk(each.target) if isinstance(n, ast.Name)}
            scope.bind(each.target, None)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        steps = [found for each in results for found in self.value(each, scope)]
        for each in reversed([first, *more]):
            tests = [found for test in each.ifs for found in self.value(test, scope)]
            inner = [] if each is first else self.value(each.iter, scope)
            steps = [
                *inner,
                made(
                    "for",
                    self.at(node, scope),
                    {
                        "for": ast.unparse(each.target),
                        "in": ast.unparse(each.iter),
                        "where": " and ".join(ast.unparse(test) for test in each.ifs) or None,
                    },
                    [block("do", [*tests, *steps])],
                    title=self.title(node, node, scope),
                    id=id if each is first else None,
                ),
            ]
        return [*before, *steps]

    def awaited(
        self, node: ast.expr, scope: FunctionScope, id: str | None = None, shown: str | None = None
    ) -> list[OutlineNode]:
        """The steps of what is awaited; `shown` is how it is shown where it cannot be followed."""
        if isinstance(node, ast.Call):
            return self._called(node, scope, id, awaited=True, shown=shown)
        if isinstance(node, ast.IfExp):
            one, two = self.awaited(node.body, scope, id), self.awaited(node.orelse, scope, id)
            test = self.value(node.test, scope)
            return [*test, self.either(node, node.test, one, two, scope)]
        before = self.value(node, scope)
        if isinstance(self._meanings.of(node, scope), Listed):
            return before
        return [*before, self._unknown(node, scope, shown or f"await {ast.unparse(node)}")]

    def _called(
        self,
        call: ast.Call,
        scope: FunctionScope,
        id: str | None,
        *,
        awaited: bool = False,
        shown: str | None = None,
    ) -> list[OutlineNode]:
        meaning = self._meanings.of(call.func, scope)
        given = [*call.args, *(each.value for each in call.keywords)]
        if meaning is None and self._meanings.of(call, scope) is not None:
            # An action under another title, or one with some of its inputs.
            return [node for each in given for node in self.value(each, scope)]
        before = [] if meaning is not None else self.value(call.func, scope)
        before += [node for each in given for node in self.value(each, scope)]
        if isinstance(meaning, OfContext):
            return [*before, *self._of_context(call, meaning, scope, id, awaited=awaited)]
        if meaning is None:
            return [*before, *self._other(call, given, scope, awaited=awaited, shown=shown)]
        return [*before, *self._meant(call, meaning, scope, id, awaited=awaited)]

    def _meant(
        self,
        call: ast.Call,
        meaning: Meaning,
        scope: FunctionScope,
        id: str | None,
        *,
        awaited: bool,
    ) -> list[OutlineNode]:
        """A call of what is known."""
        place = self.at(call, scope)
        match meaning:
            case OutlineAction(name=name, title=title, retry=retry, parameters=names):
                kind = "code" if meaning.is_local else "action"
                fields = {kind: name, "with": inputs_of(call, names), "retry": retry}
                return [made(kind, place, fields, title=title, id=id)]
            case Sandboxed():
                return [self._code(call, meaning, place, id)]
            case Helper(node=function):
                group = self._group(call, meaning, scope, id)
                plain = isinstance(function, ast.FunctionDef) and not awaited
                return [] if plain and not holds_step([group]) else [group]
            case OutlineChild(flow=flow):
                return [made("result", place, {"result": flow}, id=id)]
            case Conditional(test=test, one=one, other=other):
                first = self._meant(call, one, scope, id, awaited=awaited)
                second = self._meant(call, other, scope, id, awaited=awaited)
                return [self.either(call, test, first, second, scope)]
            case _:
                return [self._unknown(call, scope)]

    def _code(self, call: ast.Call, code: Sandboxed, place: Span, id: str | None) -> OutlineNode:
        """A code step, with the actions that its text calls; of an unknown text, all that it may."""
        found = [
            (each, meaning)
            for each in code.actions
            if isinstance(meaning := self._meanings.of(each, code.scope), OutlineAction)
        ]
        named = {meaning.name: meaning for _, meaning in found}
        file, steps = code.scope.module.path, list[OutlineNode]()
        if (uses := uses_of(code)) is None:
            for node, action in found:
                at = self.at(node, code.scope)
                steps.append(made("action", at, {"action": action.name}, title=action.title))
        for use in uses or ():
            at = Span(file=file, line=use.line, column=use.column, end_line=use.line)
            title = named[use.name].title if use.name in named else use.action
            steps.append(made("action", at, {"action": use.name}, title=title))
        fields = {
            "code": None if code.text is None else text_of(code.text),
            "with": inputs_of(call, ("ctx",)),
        }
        return made("code", place, fields, [block("code", steps)], title=code.title, id=id)

    def _other(
        self,
        call: ast.Call,
        given: list[ast.expr],
        scope: FunctionScope,
        *,
        awaited: bool,
        shown: str | None,
    ) -> list[OutlineNode]:
        """A call of what is not known: it may hold steps where it is awaited, or handed some."""
        name = scope.module.meaning(call.func, scope.own) or ""
        if name in ("halflap.Route", "halflap.sdk.routing.Route"):
            return [self._route(call, scope)]
        if awaited or any(self._holds_steps(each, scope) for each in given):
            return [self._unknown(call, scope, shown or self._shown(call, awaited=awaited))]
        return []

    def _shown(self, call: ast.Call, *, awaited: bool) -> str:
        return f"await {ast.unparse(call)}" if awaited else ast.unparse(call)

    def _holds_steps(self, node: ast.expr, scope: FunctionScope) -> bool:
        """Return whether what is handed over can be called, and holds steps then."""
        match self._meanings.of(node, scope):
            case OutlineAction() | Conditional():
                return True
            case Helper() as helper:
                steps = self._helper_steps(helper, {})
                return steps is None or holds_step(steps)
            case OfContext(path=path):
                return is_awaited(path)
            case _:
                return False

    def _of_context(
        self,
        call: ast.Call,
        meaning: OfContext,
        scope: FunctionScope,
        id: str | None,
        *,
        awaited: bool,
    ) -> list[OutlineNode]:
        if meaning.path == ("gather",):
            return [self._gather(call, scope, id)]
        place = self.at(call, scope)
        node = of_context(call, meaning.path, place, id, self._meanings.survey, scope)
        if node is not None:
            return [node]
        return [self._unknown(call, scope, self._shown(call, awaited=True))] if awaited else []

    def _gather(self, call: ast.Call, scope: FunctionScope, id: str | None) -> OutlineNode:
        """`ctx.gather(items, do)`: a loop whose items go side by side."""
        items, do = argument(call, 0, "items"), argument(call, 1, "do")
        limit, settles = argument(call, 9, "limit"), argument(call, 9, "settle")
        item = "item"
        steps: list[OutlineNode]
        match None if do is None else self._meanings.of(do, scope):
            case Helper() as helper if (named := parameters(helper.node)) and do is not None:
                item, found = named[0], self._helper_steps(helper, {})
                steps = [self._unknown(do, scope)] if found is None else found
            case OutlineAction() | Conditional() as one if do is not None:
                called = ast.copy_location(ast.Call(do, [ast.Name(item)], []), call)
                steps = self._meant(called, one, scope, None, awaited=True)
            case _:
                steps = [self._unknown(do or call, scope)]
        goes_on = settles is not None and ast.unparse(settles) != "False"
        fields = {
            "for": item,
            "in": "" if items is None else ast.unparse(items),
            "parallel": "10" if limit is None else ast.unparse(limit),
            "on_failure": "continue" if goes_on else None,
        }
        place, title = self.at(call, scope), self.title(call, call, scope)
        return made("for", place, fields, [block("do", steps)], title=title, id=id)

    def either(
        self,
        node: ast.AST,
        test: ast.expr,
        then: list[OutlineNode],
        otherwise: list[OutlineNode],
        scope: FunctionScope,
        *,
        title: bool = False,
    ) -> OutlineNode:
        """One thing or another, by a condition; with `title`, the comment on its line is one."""
        return made(
            "if",
            self.at(node, scope),
            {"if": ast.unparse(test)},
            [block("then", then), block("else", otherwise)],
            title=self.title(node, test, scope) if title else None,
        )

    # Functions of the author's own ------------------------------------------------------------

    def _group(
        self, call: ast.Call, helper: Helper, scope: FunctionScope, id: str | None
    ) -> OutlineNode:
        given = bound(helper.node, call)
        names = {name: self._meanings.of(each, scope) for name, each in given}
        steps = self._helper_steps(helper, names)
        function = helper.node
        told = None if isinstance(function, ast.Lambda) else ast.get_docstring(function)
        fields = {
            "group": helper.name,
            "with": inputs_of(call, parameters(function)),
            "folded": True if steps is None else None,
        }
        title = first_sentence(told) or None
        return made(
            "group", self.at(call, scope), fields, [block("steps", steps or [])], title=title, id=id
        )

    def _helper_steps(self, helper: Helper, names: dict[str, Meaning]) -> list[OutlineNode] | None:
        """A function's steps; None where they are left out, since it calls itself or is too much."""
        if helper.node in self._within or self._count > MOST_NODES:
            return None
        self._within.append(helper.node)
        try:
            return self._body(helper, names)
        finally:
            self._within.pop()

    def _body(self, helper: Helper, names: dict[str, Meaning]) -> list[OutlineNode]:
        function, scope = helper.node, helper.scope.inner(helper.node)
        scope.names |= names
        if isinstance(function, ast.Lambda):
            made = self._meanings.of(function.body, scope)
            return self.value(function.body, scope) if made is None else []
        for each in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
            if is_context(each):
                scope.names[each.arg] = OfContext()
        body = function.body
        last = body[-1]
        if isinstance(last, ast.Return):  # the end of a function needs no node that says so
            ended = self.block(body[:-1], scope)
            return [*ended, *self.value(last.value, scope)]
        return self.block(body, scope)

    # Nodes ------------------------------------------------------------------------------------

    def _route(self, call: ast.Call, scope: FunctionScope) -> OutlineNode:
        whose = [each for each in call.keywords if each.arg in ("customer", "config", "instance")]
        fields = {str(each.arg): ast.unparse(each.value) for each in whose}
        flow = sibling(call, self._meanings.survey, scope)
        return made("route", self.at(call, scope), {"flow": flow} | fields)

    def _unknown(self, node: ast.AST, scope: FunctionScope, text: str | None = None) -> OutlineNode:
        return made("unknown", self.at(node, scope), {"unknown": text or ast.unparse(node)})

    def at(self, node: ast.AST, scope: FunctionScope, until: ast.AST | None = None) -> Span:
        """Where a node stands."""
        self._count += 1
        return place_of(node, scope.module, until)

    def title(self, node: ast.AST, head: ast.AST, scope: FunctionScope) -> str | None:
        """The comment on the line of a branch or a loop."""
        first, last = getattr(node, "lineno", 0), getattr(head, "end_lineno", 0)
        if head is node:
            last = first
        return comments_of(scope.module, self._comments).title(first, last)


def uses_of(code: Sandboxed) -> Sequence[Use] | None:
    """The actions that a text calls, with their places; None where it is not written out."""
    if not isinstance(code.text, ast.Constant) or not isinstance(code.text.value, str):
        return None
    inputs = [text_of(each) for each in code.inputs]
    text, lines = code.text.value, code.scope.module.lines
    source = cleaned(text)
    try:
        place = place_in(text, code.text, lines)
        return Code.parse(source, inputs, components_of(source, inputs), place).uses
    except CodeError:
        return ()  # it says itself what is wrong with it, where it is made


def place_of(node: ast.AST, module: Module, until: ast.AST | None = None) -> Span:
    """Where a node of a source's tree stands."""
    line: int = getattr(node, "lineno", 1)
    offset: int = getattr(node, "col_offset", 0)
    text = module.lines[line - 1] if line <= len(module.lines) else ""
    return Span(
        file=module.path,
        line=line,
        column=len(text.encode()[:offset].decode(errors="ignore")) + 1,
        end_line=getattr(until or node, "end_lineno", None) or line,
    )


def is_context(argument: ast.arg) -> bool:
    """Return whether a parameter is a `Context`, by its annotation."""
    return argument.annotation is not None and "Context" in ast.unparse(argument.annotation)


def bound(function: Function | ast.Lambda, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """A call's arguments by the names that they have in the function."""
    yield from zip(parameters(function), call.args, strict=False)
    yield from ((each.arg, each.value) for each in call.keywords if each.arg is not None)


def calls(node: ast.AST) -> bool:
    """Return whether anything is called or awaited in an expression."""
    return any(isinstance(each, ast.Call | ast.Await) for each in ast.walk(node))
