"""Reads the steps of a Python flow from its text, in the order in which they may happen.

It follows names to actions, `ctx`, `@step`s and functions of the project that hold steps; values are
not followed. What may hold a step and is none of these is `unknown`; what holds none is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from halflap.lowcode.code import Code, CodeError, Use, components_of
from halflap.lowcode.code.literal import cleaned, place_in
from halflap.lowcode.outline.calls import (
    FunctionScope,
    Helper,
    Meanings,
    OfContext,
    OutlineAction,
    OutlineCall,
    OutlineChild,
    Sandboxed,
    argument,
    inputs_of,
    of_context,
    parameters,
    sibling,
    text_of,
)
from halflap.lowcode.outline.calls import awaited as is_awaited
from halflap.lowcode.outline.nodes import NodeBlock, OutlineNode, Span, block, made, within
from halflap.sdk.survey import Function, Module

MOST_NODES = 5_000
"""Beyond so many nodes of a flow, functions are shown without their steps."""
LONGEST = 200
"""The most characters of a comment that is a title."""

_COMMENT = re.compile(r"\s*[^\s#][^#]*\s#\s*([^#\"]+)")
_DIRECTIVE = re.compile(r"(?i)(noqa|type:|pyright:|mypy:|ruff:|pragma|halflap:|fmt:|pylint:|nosec)")
_ENDINGS = {"Ignore": "ignore", "DeadLetter": "dead_letter"}
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class FlowReader:
    """Reads one flow."""

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        self._within: list[ast.AST] = []
        self._count = 0

    def flow(self, module: Module, function: Function) -> list[OutlineNode]:
        """The steps of a flow's function."""
        scope = FunctionScope(module).inner(function, is_flow=True)
        body = function.body
        if isinstance(last := body[-1], ast.Return) and is_nothing(last.value):
            body = body[:-1]  # the end of a flow needs no node that says so
        return pruned(self._block(body, scope))

    # Statements -------------------------------------------------------------------------------

    def _block(self, body: Iterable[ast.stmt], scope: FunctionScope) -> list[OutlineNode]:
        return [node for each in body for node in self._statement(each, scope)]

    def _statement(self, node: ast.stmt, scope: FunctionScope) -> list[OutlineNode]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name), *_], value=value):
                return self._value(value, scope, name)
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                return self._value(value, scope, name)
            case ast.Return(value=value):
                return self._return(node, value, scope)
            case ast.Raise(exc=error):
                text = "" if error is None else ast.unparse(error)
                return [
                    *self._value(error, scope),
                    self._made("throw", node, scope, {"throw": text}),
                ]
            case ast.If(test=test):
                blocks = self._blocks(scope, then=node.body, orelse=node.orelse)
                fields = {"if": ast.unparse(test)}
                return [*self._value(test, scope), self._made("if", node, scope, fields, *blocks)]
            case ast.For(iter=items) | ast.AsyncFor(iter=items):
                before = self._value(items, scope)
                if isinstance(node, ast.AsyncFor) and not before:
                    text = f"async for … in {ast.unparse(items)}"
                    before = [self._made("unknown", node, scope, {"unknown": text})]
                fields = {"for": ast.unparse(node.target), "in": ast.unparse(items)}
                loop = self._made("for", node, scope, fields, *self._blocks(scope, do=node.body))
                return [*before, loop, *self._block(node.orelse, scope)]
            case ast.While(test=test):
                steps = [*self._value(test, scope), *self._block(node.body, scope)]
                loop = self._made(
                    "while", node, scope, {"while": ast.unparse(test)}, block("do", steps)
                )
                return [loop, *self._block(node.orelse, scope)]
            case ast.Try() | ast.TryStar():
                return [self._try(node, scope)]
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                before = [each for item in items for each in self._value(item.context_expr, scope)]
                return [*before, *self._block(body, scope)]
            case ast.Match():
                return self._match(node, scope)
            case ast.Break() | ast.Continue():
                return [self._made(type(node).__name__.lower(), node, scope, {})]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return []
            case _:
                values = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
                return [found for each in values for found in self._value(each, scope)]

    def _blocks(
        self, scope: FunctionScope, orelse: Sequence[ast.stmt] = (), **bodies: Sequence[ast.stmt]
    ) -> list[NodeBlock]:
        bodies |= {"else": orelse} if "do" not in bodies else {}
        return [block(name, self._block(body, scope)) for name, body in bodies.items()]

    def _return(
        self, node: ast.stmt, value: ast.expr | None, scope: FunctionScope
    ) -> list[OutlineNode]:
        if isinstance(value, ast.IfExp):
            ways = (("then", value.body), ("else", value.orelse))
            blocks = [block(name, self._return(node, each, scope)) for name, each in ways]
            either = self._made("if", node, scope, {"if": ast.unparse(value.test)}, *blocks)
            return [*self._value(value.test, scope), either]
        nodes = self._value(value, scope)
        if self._within:
            return [*nodes, self._made("return", node, scope, {})]
        if any(each.kind == "route" for each in nodes):
            return nodes
        return [*nodes, self._made("stop", node, scope, {"stop": self._ending(value, scope)})]

    def _ending(self, value: ast.expr | None, scope: FunctionScope) -> Any:
        if value is None or is_nothing(value):
            return True
        if isinstance(value, ast.Call):
            named = (scope.meaning(value.func) or "").removeprefix("halflap.")
            first = argument(value, 0, "reason")
            if named in _ENDINGS:
                return {_ENDINGS[named]: "" if first is None else text_of(first)}
            if named == "Reply":
                return {"reply": inputs_of(value, ("status", "body", "headers")) or {}}
        return {"answer": ast.unparse(value)}

    def _try(self, node: ast.Try | ast.TryStar, scope: FunctionScope) -> OutlineNode:
        catches = [
            NodeBlock(
                path=("catch", "any" if each.type is None else ast.unparse(each.type)),
                place=self._at(each, scope),
                title=title_at(each, scope.module),
                nodes=self._block(each.body, scope),
            )
            for each in node.handlers
        ]
        tried = block("try", self._block(node.body, scope))
        others = self._blocks(scope, **{"else": node.orelse, "finally": node.finalbody})
        return self._made("try", node, scope, {}, tried, *catches, *others)

    def _match(self, node: ast.Match, scope: FunctionScope) -> list[OutlineNode]:
        cases: list[NodeBlock] = []
        default: list[OutlineNode] = []
        for each in node.cases:
            steps = [*self._value(each.guard, scope), *self._block(each.body, scope)]
            if ast.unparse(each.pattern) == "_" and each.guard is None:
                default = steps
                continue
            guard = "" if each.guard is None else f" if {ast.unparse(each.guard)}"
            cases.append(
                NodeBlock(
                    path=("cases", ast.unparse(each.pattern) + guard),
                    place=self._at(each.pattern, scope, until=each.body[-1]),
                    title=title_at(each.pattern, scope.module),
                    nodes=steps,
                )
            )
        fields = {"switch": ast.unparse(node.subject)}
        switch = self._made("switch", node, scope, fields, *cases, block("default", default))
        return [*self._value(node.subject, scope), switch]

    # Expressions ------------------------------------------------------------------------------

    def _value(
        self, node: ast.expr | None, scope: FunctionScope, id: str | None = None
    ) -> list[OutlineNode]:
        """The steps within an expression, in the order in which Python evaluates it."""
        match node:
            case None | ast.Lambda():
                return []
            case ast.Await(value=ast.Call() as call):
                return self._called(OutlineCall(call, scope, id, awaited=True))
            case ast.Await(value=value):
                made = scope.names.get(value.id) if isinstance(value, ast.Name) else None
                is_shown = isinstance(made, ast.Call) and self._holds_steps(made.func, scope)
                unknown = (
                    [] if is_shown else [self._unknown(value, scope, f"await {ast.unparse(value)}")]
                )
                return [*self._value(value, scope), *unknown]
            case ast.Call():
                return self._called(OutlineCall(node, scope, id))
            case ast.IfExp(test=test, body=body, orelse=other):
                blocks = (
                    block("then", self._value(body, scope, id)),
                    block("else", self._value(other, scope, id)),
                )
                either = self._made("if", node, scope, {"if": ast.unparse(test)}, *blocks)
                return [*self._value(test, scope), either]
            case ast.BoolOp(op=op, values=[first, *rest]):  # what stands later may not be needed
                later = block("then", [each for one in rest for each in self._value(one, scope)])
                test = first if isinstance(op, ast.And) else ast.UnaryOp(ast.Not(), first)
                fields = {"if": ast.unparse(test)}
                return [*self._value(first, scope), self._made("if", node, scope, fields, later)]
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, scope, id)
            case ast.NamedExpr(target=target, value=value):
                return self._value(value, scope, target.id)
            case _:
                found: list[OutlineNode] = []
                for each in ast.iter_child_nodes(node):
                    inner = each.value if isinstance(each, ast.keyword) else each
                    if isinstance(inner, ast.expr):
                        found += self._value(inner, scope)
                return found

    def _comprehension(
        self, node: Comprehension, scope: FunctionScope, id: str | None
    ) -> list[OutlineNode]:
        first, *more = node.generators
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner = [*first.ifs, *(one for each in more for one in (each.iter, *each.ifs)), *results]
        steps = [found for each in inner for found in self._value(each, scope)]
        where = " and ".join(ast.unparse(test) for test in first.ifs) or None
        fields = {"for": ast.unparse(first.target), "in": ast.unparse(first.iter), "where": where}
        loop = self._made("for", node, scope, fields, block("do", steps), id=id)
        return [*self._value(first.iter, scope), loop]

    def _called(self, called: OutlineCall) -> list[OutlineNode]:
        call, scope, id = called.node, called.scope, called.id
        meaning = self._meanings.of(call.func, scope)
        given = [*call.args, *(each.value for each in call.keywords)]
        before = [] if meaning is not None else self._value(call.func, scope)
        before += [node for each in given for node in self._value(each, scope)]
        place = self._at(call, scope)
        match meaning:
            case OutlineAction(name=name, title=title, retry=retry, parameters=names):
                kind = "action" if "." in name else "code"
                fields = {kind: name, "with": inputs_of(call, names), "retry": retry}
                found = made(kind, place, fields, title=title, id=id)
            case Sandboxed():
                found = self._code(call, meaning, place, id)
            case Helper(node=function):
                found = self._group(called, meaning)
                plain = isinstance(function, ast.FunctionDef) and not called.awaited
                found = None if plain and not holds_step([found]) else found
            case OutlineChild(call=started):
                flow = sibling(started, self._meanings.survey, scope)
                found = made("result", place, {"result": flow}, id=id)
            case OfContext(path=("gather",)):
                found = self._gather(called)
            case OfContext(path=path):
                found = of_context(called, path, place, self._meanings.survey)
                found = found or (self._unknown_call(called) if called.awaited else None)
            case None:
                found = self._other(called, given)
        return before if found is None else [*before, found]

    def _code(self, call: ast.Call, code: Sandboxed, place: Span, id: str | None) -> OutlineNode:
        """A code step, with the actions that its text calls; of an unknown text, all that it may."""
        found = [(each, self._meanings.of(each, code.scope)) for each in code.items("actions")]
        named = {one.name: one.title for _, one in found if isinstance(one, OutlineAction)}
        file, steps = code.scope.module.path, list[OutlineNode]()
        if (uses := uses_of(code)) is None:
            for node, action in found:
                if isinstance(action, OutlineAction):
                    at, fields = self._at(node, code.scope), {"action": action.name}
                    steps.append(made("action", at, fields, title=action.title))
        for use in uses or ():
            at = Span(file=file, line=use.line, column=use.column, end_line=use.line)
            title = named.get(use.name, use.action)
            steps.append(made("action", at, {"action": use.name}, title=title))
        text = None if code.text is None else text_of(code.text)
        fields = {"code": text, "with": inputs_of(call, ("ctx",))}
        return made("code", place, fields, [block("code", steps)], title=code.title, id=id)

    def _other(self, called: OutlineCall, given: list[ast.expr]) -> OutlineNode | None:
        """A call of what is not known: it may hold steps where it is awaited, or handed some."""
        call, scope = called.node, called.scope
        if scope.meaning(call.func) in ("halflap.Route", "halflap.sdk.routing.Route"):
            whose = [x for x in call.keywords if x.arg in ("customer", "config", "instance")]
            fields = {str(each.arg): ast.unparse(each.value) for each in whose}
            flow = sibling(call, self._meanings.survey, scope)
            return self._made("route", call, scope, {"flow": flow} | fields)
        if self._meanings.of(call, scope) is not None:
            return None  # an action under another title, or a code step that is made
        handed = any(self._holds_steps(each, scope) for each in given)
        return self._unknown_call(called) if called.awaited or handed else None

    def _holds_steps(self, node: ast.expr, scope: FunctionScope) -> bool:
        """Return whether what is handed over can be called, and holds steps then."""
        match self._meanings.of(node, scope):
            case OutlineAction():
                return True
            case Helper() as helper:
                steps = self._helper_steps(helper)
                return steps is None or holds_step(steps)
            case OfContext(path=path):
                return is_awaited(path)
            case _:
                return False

    def _gather(self, called: OutlineCall) -> OutlineNode:
        """`ctx.gather(items, do)`: a loop whose items go side by side."""
        call, scope = called.node, called.scope
        items, do = argument(call, 0, "items"), argument(call, 1, "do")
        limit, settles = argument(call, 9, "limit"), argument(call, 9, "settle")
        item, meaning = "item", None if do is None else self._meanings.of(do, scope)
        if isinstance(meaning, Helper) and (named := parameters(meaning.node)):
            item, found = named[0], self._helper_steps(meaning)
            steps = [self._unknown(do or call, scope)] if found is None else found
        elif isinstance(meaning, OutlineAction) and do is not None:
            each = ast.copy_location(ast.Call(do, [ast.Name(item)], []), call)
            steps = self._called(OutlineCall(each, scope, awaited=True))
        else:
            steps = [self._unknown(do or call, scope)]
        goes_on = settles is not None and ast.unparse(settles) != "False"
        fields = {
            "for": item,
            "in": "" if items is None else ast.unparse(items),
            "parallel": "10" if limit is None else ast.unparse(limit),
            "on_failure": "continue" if goes_on else None,
        }
        return self._made("for", call, scope, fields, block("do", steps), id=called.id)

    # Functions of the author's own ------------------------------------------------------------

    def _group(self, called: OutlineCall, helper: Helper) -> OutlineNode:
        function, steps = helper.node, self._helper_steps(helper)
        name, told = "lambda", None
        if not isinstance(function, ast.Lambda):
            name, told = function.name, first_sentence(ast.get_docstring(function))
        fields = {
            "group": name,
            "with": inputs_of(called.node, parameters(function)),
            "folded": True if steps is None else None,
        }
        at, inside = self._at(called.node, called.scope), [block("steps", steps or [])]
        return made("group", at, fields, inside, title=told or None, id=called.id)

    def _helper_steps(self, helper: Helper) -> list[OutlineNode] | None:
        """A function's steps; None where they are left out, since it calls itself or is too much."""
        function, scope = helper.node, helper.scope.inner(helper.node)
        if function in self._within or self._count > MOST_NODES:
            return None
        self._within.append(function)
        try:
            if isinstance(function, ast.Lambda):
                return self._value(function.body, scope)
            *body, last = function.body
            if isinstance(last, ast.Return):  # the end of a function needs no node that says so
                return [*self._block(body, scope), *self._value(last.value, scope)]
            return self._block(function.body, scope)
        finally:
            self._within.pop()

    # Nodes ------------------------------------------------------------------------------------

    def _unknown(self, node: ast.AST, scope: FunctionScope, text: str | None = None) -> OutlineNode:
        return self._made("unknown", node, scope, {"unknown": text or ast.unparse(node)})

    def _unknown_call(self, called: OutlineCall) -> OutlineNode:
        text = ast.unparse(called.node)
        return self._unknown(called.node, called.scope, f"await {text}" if called.awaited else text)

    def _made(
        self,
        kind: str,
        node: ast.AST,
        scope: FunctionScope,
        fields: Mapping[str, Any | None],
        *blocks: NodeBlock,
        id: str | None = None,
    ) -> OutlineNode:
        """Return a node; of a branch or a loop, the comment on its first line is its title."""
        title = title_at(node, scope.module) if blocks else None
        return made(kind, self._at(node, scope), fields, blocks, title=title, id=id)

    def _at(self, node: ast.AST, scope: FunctionScope, until: ast.AST | None = None) -> Span:
        """Where a node stands."""
        self._count += 1
        return place_of(node, scope.module, until)


def uses_of(code: Sandboxed) -> Sequence[Use] | None:
    """The actions that a text calls, with their places; None where it is not written out."""
    if not isinstance(code.text, ast.Constant) or not isinstance(code.text.value, str):
        return None
    inputs = [text_of(each) for each in code.items("inputs")]
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


def title_at(node: ast.AST, module: Module) -> str | None:
    """Return the comment at the end of a line, which is the title of a branch or a loop there."""
    line: int = getattr(node, "lineno", 1)
    found = _COMMENT.match(module.lines[line - 1]) if line <= len(module.lines) else None
    text = "" if found is None else found[1].strip()
    return None if not text or _DIRECTIVE.match(text) else text[:LONGEST]


def first_sentence(text: str | None) -> str:
    """A docstring's first paragraph, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


def is_nothing(value: ast.expr | None) -> bool:
    """Return whether a flow returns nothing."""
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


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
