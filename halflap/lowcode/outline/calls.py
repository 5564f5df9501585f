"""Resolve a name in a flow's source: an action, `ctx` and what it is asked for, a function with steps."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from halflap.lowcode.outline import known
from halflap.lowcode.outline.nodes import OutlineNode, Span, made
from halflap.model import LogLevel
from halflap.sdk.purity import AWAITED_OF_CONTEXT, AWAITED_OF_STATE
from halflap.sdk.survey import Function, Module, Survey, local_names

WRAPPERS = frozenset({"titled", "retried", "untyped"})
"""The methods of an action that give the same action."""


@dataclass(frozen=True, slots=True)
class OutlineAction:
    """An action of a component, or a function under `@step` (without a component)."""

    name: str
    title: str
    retry: str | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfContext:
    """`ctx`, or what it has: `("state", "get")`."""

    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Helper:
    """A function of the author's own, and what is in scope where it is defined."""

    node: Function | ast.Lambda
    scope: FunctionScope = field(compare=False)


@dataclass(frozen=True, slots=True)
class OutlineChild:
    """The execution of a flow that was started, or its result."""

    call: ast.Call


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """A code step by its text, `code("…")`, and what is in scope where it is made."""

    call: ast.Call
    scope: FunctionScope = field(compare=False)

    def given(self, name: str) -> ast.expr | None:
        """Return what it was given by name."""
        return argument(self.call, 9, name)

    @property
    def title(self) -> str:
        """Its title."""
        found = self.given("title")
        return "Code" if found is None else text_of(found)

    @property
    def text(self) -> ast.expr | None:
        """Its text."""
        return argument(self.call, 0, "text")

    def items(self, name: str) -> list[ast.expr]:
        """Return the items of a list that it was given; of one that is not written out, the whole."""
        found = self.given(name)
        return [] if found is None else found.elts if isinstance(found, ast.List) else [found]


Meaning = OutlineAction | OfContext | Helper | OutlineChild | Sandboxed | None
"""The meaning of a name; None for all else."""


@dataclass(frozen=True, slots=True)
class FunctionScope:
    """The names in scope in a function: what each was assigned, where that happens once, or `ctx`."""

    module: Module
    names: Mapping[str, ast.expr | Function | OfContext | None] = field(
        default_factory=dict[str, "ast.expr | Function | OfContext | None"]
    )

    def inner(self, function: Function | ast.Lambda, *, is_flow: bool = False) -> FunctionScope:
        """Return the scope of a function that is defined here; a flow's first parameter is `ctx`."""
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        contexts = {each.arg for each in arguments if _is_context(each)}
        contexts |= {arguments[0].arg} if is_flow and arguments else set()
        own: dict[str, ast.expr | Function | OfContext | None] = {
            name: OfContext() if name in contexts else None for name in local_names(function)
        }
        nodes = () if isinstance(function, ast.Lambda) else tuple(ast.walk(function))
        stored = Counter(
            each.id
            for each in nodes
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        )
        for each in nodes:
            match each:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if stored[name] == 1:
                    own[name] = value
                case ast.FunctionDef() | ast.AsyncFunctionDef() if each is not function:
                    own[each.name] = each
                case _:
                    pass
        return FunctionScope(self.module, {**self.names, **own})

    def meaning(self, node: ast.expr) -> str | None:
        """Return the dotted name of an expression, which no name of a function hides."""
        return self.module.meaning(node, frozenset(self.names))


def _is_context(argument: ast.arg) -> bool:
    """Return whether a parameter is a `Context`: by its annotation, or its name."""
    shown = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return argument.arg == "ctx" or "Context" in shown


@dataclass(frozen=True, slots=True)
class OutlineCall:
    """A call, where a flow has it."""

    node: ast.Call
    scope: FunctionScope
    id: str | None = None
    awaited: bool = False


@dataclass
class Meanings:
    """Finds what expressions mean, in a project's sources."""

    survey: Survey
    _following: set[ast.expr] = field(default_factory=set[ast.expr])

    def of(self, node: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of an expression that is called."""
        match node:
            case ast.Name(id=name) if name in scope.names:
                found = scope.names[name]
                if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
                    return self._defined(found, scope)
                return self._followed(found, scope) if isinstance(found, ast.expr) else found
            case ast.Attribute(value=value, attr=attribute):
                owner = self.of(value, scope)
                if isinstance(owner, OfContext):
                    return OfContext((*owner.path, attribute))
                if isinstance(owner, OutlineChild):
                    return owner if attribute == "result" else None
                return self._global(node, scope)
            case ast.Await(value=ast.Call(func=function) as call):
                started = self.of(function, scope) == OfContext(("start",))
                return OutlineChild(call) if started else None
            case ast.Call(func=ast.Attribute(value=value, attr=wrapper)) if wrapper in WRAPPERS:
                return _wrapped(self.of(value, scope), wrapper, node)
            case ast.Call(func=function):
                is_code = self.survey.canonical(scope.meaning(function)) == "halflap.code"
                return Sandboxed(node, scope) if is_code else None
            case ast.Lambda():
                return Helper(node, scope)
            case _:
                return self._global(node, scope)

    def _defined(self, function: Function, scope: FunctionScope) -> Meaning:
        """A function that is defined within one."""
        for each in function.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if scope.meaning(named) == "halflap.step":
                return self._step(function)
        return Helper(function, scope)

    def _followed(self, value: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of what a name was assigned, which may lead back to it."""
        if value in self._following:
            return None
        self._following.add(value)
        try:
            return self.of(value, scope)
        finally:
            self._following.remove(value)

    def _global(self, node: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of a name of a module."""
        name = self.survey.canonical(scope.meaning(node))
        if name is None:
            return None
        module, rest = self.survey.split(name)
        if module is None:
            component, short = known.component_in(name)
            return None if component is None else _installed(component, short)
        for each in (*module.actions, *module.steps):
            if each.name == rest:
                return self._own(module, each)
        if (function := module.functions.get(rest)) is not None:
            return Helper(function, FunctionScope(module))
        assigned = variables(module).get(rest)
        return None if assigned is None else self._followed(assigned, FunctionScope(module))

    def title(self, component: str, action: str) -> str:
        """The title of an action that a document names."""
        module, _ = self.survey.split(component)
        if module is None:
            found = _installed(component, action)
            return known.titled(action) if found is None else found.title
        owner, rest = self.survey.split(self.survey.canonical(f"{component}.{action}"))
        actions = (*module.actions, *(() if owner is None else owner.actions))
        own = next((each for each in actions if each.name in (action, rest)), None)
        return known.titled(action) if own is None else self._step(own).title

    def trigger(self, node: ast.expr | None, module: Module) -> str:
        """The trigger that a flow names, as `component.trigger`; else its source."""
        if node is None:
            return ""
        called = node.func if isinstance(node, ast.Call) else node
        name = self.survey.canonical(module.meaning(called))
        owner, rest = self.survey.split(name)
        owner = owner or module
        for each in owner.triggers:
            if each.name == rest:
                return f"{self._component_of(owner, each)}.{rest}"
        component, short = known.component_in(name or "")
        return ast.unparse(called) if component is None else f"{component}.{short}"

    def _step(self, function: Function) -> OutlineAction:
        """A function under `@step`, as it is recorded."""
        title = decorated(function).get("title")
        shown = known.titled(function.name) if title is None else text_of(title)
        return OutlineAction(function.name, shown, None, tuple(parameters(function)))

    def _own(self, module: Module, function: Function) -> OutlineAction:
        owner, made = self._component_of(module, function), self._step(function)
        return made if owner is None else replace(made, name=f"{owner}.{function.name}")

    def _component_of(self, module: Module, function: Function) -> str | None:
        """The component that an action or a trigger is made one of; None for a `@step`."""
        for each in function.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if isinstance(named, ast.Attribute) and named.attr in ("action", "trigger"):
                where, rest = self.survey.split(self.survey.canonical(module.meaning(named.value)))
                made = variables(where or module).get(rest)
                given = argument(made, 0, "name") if isinstance(made, ast.Call) else None
                is_text = isinstance(given, ast.Constant) and isinstance(given.value, str)
                return text_of(given) if given and is_text else module.name.rpartition(".")[2]
        return None


def variables(module: Module) -> dict[str, ast.expr]:
    """Return what a module's names are assigned, of those that are assigned once."""
    found: list[tuple[str, ast.expr]] = []
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                found += [(each.id, value) for each in targets if isinstance(each, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.append((name, value))
            case _:
                pass
    times = Counter(name for name, _ in found)
    return {name: value for name, value in found if times[name] == 1}


def _wrapped(meaning: Meaning, wrapper: str, call: ast.Call) -> Meaning:
    given = [*call.args, *(each.value for each in call.keywords)]
    if not isinstance(meaning, OutlineAction) or not given or wrapper == "untyped":
        return meaning if isinstance(meaning, OutlineAction) else None
    if wrapper == "retried":
        return replace(meaning, retry=ast.unparse(given[0]))
    return replace(meaning, title=text_of(given[0]))


def _installed(component: str, action: str) -> OutlineAction | None:
    """An action of an installed component; None where it has no such action."""
    loaded = known.component(component)
    found = None if loaded is None else loaded.actions.get(action)
    title = found.title if found is not None else known.title_of(component, action)
    if title is None:
        return None
    return OutlineAction(
        f"{component}.{action}", title, None, () if found is None else found.parameters
    )


def parameters(function: Function | ast.Lambda) -> list[str]:
    """The names of a function's parameters that are given by place."""
    return [each.arg for each in (*function.args.posonlyargs, *function.args.args)]


def inputs_of(call: ast.Call, names: Sequence[str]) -> dict[str, str] | None:
    """The source of what a call is given, by name; by number where the name is not known."""
    positional = {
        names[at] if at < len(names) else str(at): ast.unparse(each)
        for at, each in enumerate(call.args)
    }
    named = {each.arg or "**": ast.unparse(each.value) for each in call.keywords}
    return (positional | named) or None


def flow_name(function: Function) -> str:
    """Return the name of a flow: from its decorator, or its function."""
    given = decorated(function).get("name")
    return function.name if given is None else text_of(given)


def decorated(function: Function) -> dict[str, ast.expr]:
    """The options that a function's decorators are given."""
    return {
        each.arg: each.value
        for node in function.decorator_list
        if isinstance(node, ast.Call)
        for each in node.keywords
        if each.arg is not None
    }


def argument(call: ast.Call, at: int, name: str) -> ast.expr | None:
    """An argument of a call, given by its place or its name."""
    if at < len(call.args):
        return call.args[at]
    return next((each.value for each in call.keywords if each.arg == name), None)


def text_of(node: ast.expr) -> str:
    """A text as it stands; of one that is put together, `Update {name}`; of others the source."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(
                f"{{{ast.unparse(each.value)}}}"
                if isinstance(each, ast.FormattedValue)
                else text_of(each)
                for each in values
            )
        case _:
            return ast.unparse(node)


# Uses of `ctx`, as nodes of the outline -------------------------------------------------------

LEVELS = frozenset(get_args(LogLevel))


def awaited(path: tuple[str, ...]) -> bool:
    """Return whether what `ctx` has here is a step."""
    if path[:1] == ("state",):
        return path[-1] in AWAITED_OF_STATE
    return len(path) == 1 and path[0] in AWAITED_OF_CONTEXT


def of_context(
    called: OutlineCall, path: tuple[str, ...], place: Span, survey: Survey
) -> OutlineNode | None:
    """The node of a call of what `ctx` has; None where it is no step (`ctx.now()`)."""
    call, scope, id = called.node, called.scope, called.id
    first = argument(call, 0, "key" if path[0] == "state" else "time")
    shown = "" if first is None else text_of(first)

    def second(name: str) -> str | None:
        given = argument(call, 1, name)
        return None if given is None else ast.unparse(given)

    match path:
        case ("sleep",):
            return made("sleep", place, {"sleep": shown})
        case ("wait_for",):
            return made("wait", place, {"wait": shown, "timeout": second("timeout")}, id=id)
        case ("start" | "call" as verb,):
            flow = sibling(call, survey, scope)
            wait = None if verb == "call" else False
            return made(
                "call", place, {"call": flow, "event": second("event"), "wait": wait}, id=id
            )
        case ("continue_with",):
            event = argument(call, 0, "event")
            given = None if event is None else ast.unparse(event)
            return made("continue_with", place, {"continue_with": given})
        case ("signal_url",):
            choice = argument(call, 1, "choice")
            choices = [] if choice is None else [text_of(choice)]
            return made("links", place, {"links": shown, "choices": choices}, id=id)
        case ("paired" | "pair" | "unpair" as verb,):
            fields = {verb: _pairs(first, survey, scope), "with": inputs_of(_rest(call), ())}
            return made(verb, place, fields, id=id)
        case ("state", *within, verb) if verb in AWAITED_OF_STATE:
            names = {"get": "default", "put": "value", "update": "change"}
            given = {names[verb]: second(names[verb])} if verb in names else {}
            scope_of = within[0] if within else None
            return made(
                "state", place, {"state": verb, "key": shown, **given, "scope": scope_of}, id=id
            )
        case ("log", level) if level in LEVELS:
            return made("log", place, {"log": shown, "level": level})
        case _:
            return None


def sibling(call: ast.Call, survey: Survey, scope: FunctionScope) -> str:
    """The flow that a call names first."""
    first = argument(call, 0, "flow")
    match first:
        case None:
            return ""
        case ast.Constant(value=str(name)):
            return name
        case _:
            name = survey.canonical(scope.meaning(first))
            if name is None:
                return ast.unparse(first)
            within, _, function = name.rpartition(".")
            owner = survey.split(name)[0] if within else scope.module
            flows = () if owner is None else owner.flows
            return next((flow_name(each) for each in flows if each.name == function), function)


def _rest(call: ast.Call) -> ast.Call:
    """The call without what it is given first."""
    return ast.Call(call.func, call.args[1:], call.keywords)


def _pairs(node: ast.expr | None, survey: Survey, scope: FunctionScope) -> str:
    """The name of pairs: what `integration.pairs("…")` was given, or the variable's."""
    if node is None:
        return ""
    module, rest = survey.split(survey.canonical(scope.meaning(node)))
    for each in () if module is None else module.tree.body:
        match each:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(args=[ast.Constant(value=str(pairs)), *_]),
            ) if name == rest:
                return pairs
            case _:
                pass
    return ast.unparse(node)
