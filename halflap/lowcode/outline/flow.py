"""Reads the steps of a Python flow from its text, in the order in which they may happen.

It follows names to actions, `ctx`, `@step`s and functions of the project that hold steps. What it
cannot follow and may hold a step is an `UnknownNode`; what holds none is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

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
    OutlineCall,
    OutlineChild,
    Sandboxed,
    argument,
    inputs_of,
    parameters,
    text_of,
)
from halflap.lowcode.outline.comments import first_sentence
from halflap.lowcode.outline.contexts import awaited as is_awaited
from halflap.lowcode.outline.contexts import of_context, sibling
from halflap.lowcode.outline.nodes import NodeBlock, OutlineNode, Span, block, made, within
from halflap.sdk.survey import Function, Module

MOST_NODES = 5_000
"""Beyond so many nodes of a flow, functions are shown without their steps."""

Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class FlowReader:
    """Reads one flow."""

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        self._within: list[ast.AST] = []
        self._count = 0

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
                thrown = self.made("throw", node, scope, {"throw": text.removeprefix("raise ")})
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
                return [self.made("break", node, scope, {})]
            case ast.Continue():
                return [self.made("continue", node, scope, {})]
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
        fields = {"for": ast.unparse(node.target), "in": ast.unparse(node.iter)}
        loop = self.made("for", node, scope, fields, block("do", steps), head=node.iter)
        return [*before, loop, *self.block(node.orelse, scope)]

    def _while(self, node: ast.While, scope: FunctionScope) -> list[OutlineNode]:
        scope.forget(*node.body)
        asked = self.value(node.test, scope)
        body = block("do", [*asked, *self.block(node.body, scope)])
        fields = {"while": ast.unparse(node.test)}
        loop = self.made("while", node, scope, fields, body, head=node.test)
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
        last = block("finally", self.block(node.finalbody, scope))
        blocks = block("try", steps), *catches, block("else", otherwise), last
        return [self.made("try", node, scope, {}, *blocks, head=node)]

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
                    title=self._meanings.comments(scope.module).title(place.line),
                    nodes=steps,
                )
            )
        scope.meet(*branches, scope.copy())
        fields, blocks = {"switch": ast.unparse(node.subject)}, [*cases, block("default", default)]
        return [*before, self.made("switch", node, scope, fields, *blocks, head=node.subject)]

    # Expressions ------------------------------------------------------------------------------

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
                return self._called(OutlineCall(node, scope, id))
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
            name = id if each is first else None
            where = " and ".join(ast.unparse(test) for test in each.ifs) or None
            fields = {"for": ast.unparse(each.target), "in": ast.unparse(each.iter), "where": where}
            steps = [
                *inner,
                self.made(
                    "for", node, scope, fields, block("do", [*tests, *steps]), head=node, id=name
                ),
            ]
        return [*before, *steps]

    def awaited(
        self, node: ast.expr, scope: FunctionScope, id: str | None = None, shown: str | None = None
    ) -> list[OutlineNode]:
        """The steps of what is awaited; `shown` is how it is shown where it cannot be followed."""
        if isinstance(node, ast.Call):
            return self._called(OutlineCall(node, scope, id, True, shown))
        if isinstance(node, ast.IfExp):
            one, two = self.awaited(node.body, scope, id), self.awaited(node.orelse, scope, id)
            test = self.value(node.test, scope)
            return [*test, self.either(node, node.test, one, two, scope)]
        before = self.value(node, scope)
        if isinstance(self._meanings.of(node, scope), Listed):
            return before
        return [*before, self._unknown(node, scope, shown or f"await {ast.unparse(node)}")]

    def _called(self, called: OutlineCall) -> list[OutlineNode]:
        call, scope = called.node, called.scope
        meaning = self._meanings.of(call.func, scope)
        given = [*call.args, *(each.value for each in call.keywords)]
        if meaning is None and self._meanings.of(call, scope) is not None:
            # An action under another title, or one with some of its inputs.
            return [node for each in given for node in self.value(each, scope)]
        before = [] if meaning is not None else self.value(call.func, scope)
        before += [node for each in given for node in self.value(each, scope)]
        if isinstance(meaning, OfContext):
            return [*before, *self._of_context(called, meaning)]
        if meaning is None:
            return [*before, *self._other(called, given)]
        return [*before, *self._meant(called, meaning)]

    def _meant(self, called: OutlineCall, meaning: Meaning) -> list[OutlineNode]:
        """A call of what is known."""
        call, scope, id = called.node, called.scope, called.id
        place = self.at(call, scope)
        match meaning:
            case OutlineAction(name=name, title=title, retry=retry, parameters=names):
                kind = "code" if meaning.is_local else "action"
                fields = {kind: name, "with": inputs_of(call, names), "retry": retry}
                return [made(kind, place, fields, title=title, id=id)]
            case Sandboxed():
                return [self._code(call, meaning, place, id)]
            case Helper(node=function):
                group = self._group(called, meaning)
                plain = isinstance(function, ast.FunctionDef) and not called.awaited
                return [] if plain and not holds_step([group]) else [group]
            case OutlineChild(flow=flow):
                return [made("result", place, {"result": flow}, id=id)]
            case Conditional(test=test, one=one, other=other):
                first, second = self._meant(called, one), self._meant(called, other)
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

    def _other(self, called: OutlineCall, given: list[ast.expr]) -> list[OutlineNode]:
        """A call of what is not known: it may hold steps where it is awaited, or handed some."""
        call, scope = called.node, called.scope
        name = scope.module.meaning(call.func, scope.own) or ""
        if name in ("halflap.Route", "halflap.sdk.routing.Route"):
            return [self._route(call, scope)]
        if called.awaited or any(self._holds_steps(each, scope) for each in given):
            text = f"await {ast.unparse(call)}" if called.awaited else None
            return [self._unknown(call, scope, called.shown or text)]
        return []

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

    def _of_context(self, called: OutlineCall, meaning: OfContext) -> list[OutlineNode]:
        if meaning.path == ("gather",):
            return [self._gather(called)]
        call, scope = called.node, called.scope
        node = of_context(called, meaning.path, self.at(call, scope), self._meanings.survey)
        if node is not None:
            return [node]
        text = f"await {ast.unparse(call)}"
        return [self._unknown(call, scope, text)] if called.awaited else []

    def _gather(self, called: OutlineCall) -> OutlineNode:
        """`ctx.gather(items, do)`: a loop whose items go side by side."""
        call, scope = called.node, called.scope
        items, do = argument(call, 0, "items"), argument(call, 1, "do")
        limit, settles = argument(call, 9, "limit"), argument(call, 9, "settle")
        item = "item"
        steps: list[OutlineNode]
        match None if do is None else self._meanings.of(do, scope):
            case Helper() as helper if (named := parameters(helper.node)) and do is not None:
                item, found = named[0], self._helper_steps(helper, {})
                steps = [self._unknown(do, scope)] if found is None else found
            case OutlineAction() | Conditional() as one if do is not None:
                each = ast.copy_location(ast.Call(do, [ast.Name(item)], []), call)
                steps = self._meant(OutlineCall(each, scope, awaited=True), one)
            case _:
                steps = [self._unknown(do or call, scope)]
        goes_on = settles is not None and ast.unparse(settles) != "False"
        fields = {
            "for": item,
            "in": "" if items is None else ast.unparse(items),
            "parallel": "10" if limit is None else ast.unparse(limit),
            "on_failure": "continue" if goes_on else None,
        }
        return self.made("for", call, scope, fields, block("do", steps), head=call, id=called.id)

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
        blocks = block("then", then), block("else", otherwise)
        head = test if title else None
        return self.made("if", node, scope, {"if": ast.unparse(test)}, *blocks, head=head)

    # Functions of the author's own ------------------------------------------------------------

    def _group(self, called: OutlineCall, helper: Helper) -> OutlineNode:
        call, scope = called.node, called.scope
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
        inside = [block("steps", steps or [])]
        return made("group", self.at(call, scope), fields, inside, title=title, id=called.id)

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
        return self.made("route", call, scope, {"flow": flow} | fields)

    def _unknown(self, node: ast.AST, scope: FunctionScope, text: str | None = None) -> OutlineNode:
        return self.made("unknown", node, scope, {"unknown": text or ast.unparse(node)})

    def made(
        self,
        kind: str,
        node: ast.AST,
        scope: FunctionScope,
        fields: Mapping[str, Any | None],
        *blocks: NodeBlock,
        head: ast.AST | None = None,
        id: str | None = None,
    ) -> OutlineNode:
        """Return a node; of a branch or a loop, up to where its `head` ends, a comment is its title."""
        title = None if head is None else self.title(node, head, scope)
        return made(kind, self.at(node, scope), fields, blocks, title=title, id=id)

    def at(self, node: ast.AST, scope: FunctionScope, until: ast.AST | None = None) -> Span:
        """Where a node stands."""
        self._count += 1
        return place_of(node, scope.module, until)

    def title(self, node: ast.AST, head: ast.AST, scope: FunctionScope) -> str | None:
        """The comment on the line of a branch or a loop."""
        first, last = getattr(node, "lineno", 0), getattr(head, "end_lineno", 0)
        if head is node:
            last = first
        return self._meanings.comments(scope.module).title(first, last)


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


def is_nothing(value: ast.expr | None) -> bool:
    """Return whether a flow returns nothing."""
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Return whether what follows some statements is not reached from them."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Break | ast.Continue)


LIGHT = frozenset({"break", "continue", "return", "log"})
"""Kinds that matter beside steps only."""

LOOPS = frozenset({"for", "while", "group"})
WAYS = LOOPS | {"if", "switch", "try"}
"""Kinds that only lead to steps."""


def pruned(nodes: Sequence[OutlineNode]) -> list[OutlineNode]:
    """Return nodes without the branches, loops and functions in which nothing happens."""
    return [found for each in nodes if (found := _pruned(each)) is not None]


def _pruned(node: OutlineNode) -> OutlineNode | None:
    if node.kind not in WAYS:
        return node
    node = node.with_blocks(each.with_nodes(pruned(each.nodes)) for each in node.blocks)
    light = LIGHT if node.kind in LOOPS else ()
    return node if any(each.kind not in light for each in _ends(node)) else None


def _ends(node: OutlineNode) -> Iterator[OutlineNode]:
    """Yield where the ways of a node lead."""
    for each in within([node]):
        if each.kind not in WAYS or "folded" in each.fields:
            yield each


def holds_step(nodes: Sequence[OutlineNode]) -> bool:
    """Return whether there is a step among these, or what may be one."""
    others = LIGHT | {"stop", "continue_with", "throw"}
    return any(end.kind not in others for each in nodes for end in _ends(each))
