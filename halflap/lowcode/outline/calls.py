"""Resolve a name in a flow's source: an action, `ctx`, a function that may hold steps."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from halflap.lowcode.outline import known
from halflap.lowcode.outline.comments import Comments
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

    @property
    def is_local(self) -> bool:
        """True if it is a function under `@step`."""
        return "." not in self.name


@dataclass(frozen=True, slots=True)
class OfContext:
    """`ctx`, or what it has: `("state", "get")`."""

    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Helper:
    """A function of the author's own, and what is in scope where it is defined."""

    node: Function | ast.Lambda
    scope: FunctionScope = field(compare=False)

    @property
    def name(self) -> str:
        """Its name."""
        return "lambda" if isinstance(self.node, ast.Lambda) else self.node.name


@dataclass(frozen=True, slots=True)
class OutlineChild:
    """The execution of a flow that was started."""

    flow: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A coroutine whose step is in the outline already, where it was made."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """One of two, by a condition."""

    test: ast.expr
    one: Meaning
    other: Meaning


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """A code step by its text, `code("…")`, and what is in scope where it is made."""

    call: ast.Call
    scope: FunctionScope = field(compare=False)

    @property
    def title(self) -> str:
        """Its title."""
        found = argument(self.call, 9, "title")
        return "Code" if found is None else text_of(found)

    @property
    def text(self) -> ast.expr | None:
        """Its text."""
        return argument(self.call, 0, "text")

    @property
    def inputs(self) -> list[ast.expr]:
        """The names that it sees."""
        return _items(argument(self.call, 9, "inputs"))

    @property
    def actions(self) -> list[ast.expr]:
        """The actions that it may call."""
        return _items(argument(self.call, 9, "actions"))


Meaning = (
    OutlineAction | OfContext | Helper | OutlineChild | Listed | Sandboxed | Conditional | None
)
"""The meaning of a name; None for all else."""


@dataclass(slots=True)
class FunctionScope:
    """The names in scope at a place of a function."""

    module: Module
    own: frozenset[str] = frozenset()
    """The names that functions around it bind, which hide the module's."""
    names: dict[str, Meaning] = field(default_factory=dict[str, Meaning])

    def copy(self) -> FunctionScope:
        """The same names, to go on with in a branch."""
        return replace(self, names=dict(self.names))

    def inner(self, function: Function | ast.Lambda) -> FunctionScope:
        """Return the scope of a function that is defined here."""
        bound = local_names(function)
        names = {name: each for name, each in self.names.items() if name not in bound}
        return FunctionScope(self.module, self.own | bound, names)

    def bind(self, target: ast.expr, meaning: Meaning) -> None:
        """Note what a name means from here on."""
        if isinstance(target, ast.Name):
            self.names[target.id] = meaning
            return
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.names.pop(node.id, None)

    def forget(self, *nodes: ast.AST) -> None:
        """Names that these bind mean nothing certain from here on."""
        for node in (inner for each in nodes for inner in ast.walk(each)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.names.pop(node.id, None)

    def meet(self, *branches: FunctionScope) -> None:
        """After branches: a name means what it means in all of them."""
        if branches:
            first, *rest = branches
            self.names = {
                name: each
                for name, each in first.names.items()
                if all(other.names.get(name) == each for other in rest)
            }


@dataclass(frozen=True, slots=True)
class OutlineCall:
    """A call, where a flow has it; `shown` is how it is shown where it cannot be followed."""

    node: ast.Call
    scope: FunctionScope
    id: str | None = None
    awaited: bool = False
    shown: str | None = None


@dataclass
class Meanings:
    """Finds what expressions mean, in a project's sources."""

    survey: Survey
    _variables: dict[str, dict[str, ast.expr]] = field(default_factory=dict[str, Any])
    _following: set[str] = field(default_factory=set[str])
    _comments: dict[str, Comments] = field(default_factory=dict[str, Any])

    def comments(self, module: Module) -> Comments:
        """The comments of a module, read once."""
        if module.path not in self._comments:
            self._comments[module.path] = Comments.read(module.lines)
        return self._comments[module.path]

    def of(self, node: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of an expression that is called."""
        match node:
            case ast.Name(id=name) if name in scope.names or name in scope.own:
                return scope.names.get(name)
            case ast.Attribute(value=value, attr=attribute):
                owner = self.of(value, scope)
                if isinstance(owner, OfContext):
                    return OfContext((*owner.path, attribute))
                if isinstance(owner, OutlineChild):
                    return owner if attribute == "result" else None
                return self._global(node, scope)
            case ast.Call(func=ast.Attribute(value=value, attr=wrapper)) if wrapper in WRAPPERS:
                return self._wrapped(self.of(value, scope), wrapper, node, scope)
            case ast.Call(func=function, args=[first, *_]) if (
                scope.module.meaning(function, scope.own) == "functools.partial"
            ):
                found = self.of(first, scope)
                return replace(found, parameters=()) if isinstance(found, OutlineAction) else found
            case ast.Call(func=function) if self._is_code(function, scope):
                return Sandboxed(node, scope)
            case ast.Lambda():
                return Helper(node, scope)
            case ast.IfExp(test=test, body=body, orelse=other):
                one, two = self.of(body, scope), self.of(other, scope)
                return None if one is None and two is None else Conditional(test, one, two)
            case ast.NamedExpr(value=value):
                return self.of(value, scope)
            case _:
                return self._global(node, scope)

    def _is_code(self, node: ast.expr, scope: FunctionScope) -> bool:
        """Return whether this is `halflap.code`."""
        return self.survey.canonical(scope.module.meaning(node, scope.own)) == "halflap.code"

    def _wrapped(
        self, meaning: Meaning, wrapper: str, call: ast.Call, scope: FunctionScope
    ) -> Meaning:
        if isinstance(meaning, Conditional):
            one, other = (
                self._wrapped(each, wrapper, call, scope) for each in (meaning.one, meaning.other)
            )
            return Conditional(meaning.test, one, other)
        given = [*call.args, *(each.value for each in call.keywords)]
        if not isinstance(meaning, OutlineAction) or not given or wrapper == "untyped":
            return meaning if isinstance(meaning, OutlineAction) else None
        if wrapper == "retried":
            return replace(meaning, retry=ast.unparse(given[0]))
        return replace(meaning, title=text_of(given[0]))

    def _global(self, node: ast.expr, scope: FunctionScope) -> Meaning:
        """Return the meaning of a name of a module."""
        name = self.survey.canonical(scope.module.meaning(node, scope.own))
        if name is None:
            return None
        module, rest = self.survey.split(name)
        if module is None:
            return self.installed(name)
        for each in (*module.actions, *module.steps):
            if each.name == rest:
                return self._own(module, each)
        if (function := module.functions.get(rest)) is not None:
            return Helper(function, FunctionScope(module))
        assigned = self.variables(module).get(rest)
        if assigned is None or name in self._following:
            return None
        self._following.add(name)
        try:
            return self.of(assigned, FunctionScope(module))
        finally:
            self._following.remove(name)

    def named(self, component: str, action: str) -> OutlineAction | None:
        """An action as a document names it: of the project's own component, or an installed one."""
        module, _ = self.survey.split(component)
        if module is not None:
            for each in module.actions:
                if each.name == action:
                    return self._own(module, each)
            name = self.survey.canonical(f"{component}.{action}")
            owner, rest = self.survey.split(name)
            found = () if owner is None else owner.actions
            return next((self._own(module, each) for each in found if each.name == rest), None)
        return _installed(component, action)

    def title(self, component: str, action: str) -> str:
        """The title of an action that a document names."""
        found = self.named(component, action)
        return known.titled(action) if found is None else found.title

    def installed(self, name: str) -> OutlineAction | None:
        """An action of an installed component, by the name under which a source has it."""
        component, short = known.component_in(name)
        return None if component is None else _installed(component, short)

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
                return f"{self.component_of(owner, each)}.{rest}"
        component, short = known.component_in(name or "")
        return ast.unparse(called) if component is None else f"{component}.{short}"

    def local_step(self, function: Function) -> OutlineAction:
        """A function under `@step`, as it is recorded."""
        title = decorated(function).get("title")
        shown = known.titled(function.name) if title is None else text_of(title)
        return OutlineAction(function.name, shown, None, tuple(parameters(function)))

    def _own(self, module: Module, function: Function) -> OutlineAction:
        owner, made = self.component_of(module, function), self.local_step(function)
        return made if owner is None else replace(made, name=f"{owner}.{function.name}")

    def component_of(self, module: Module, function: Function) -> str | None:
        """The component that an action or a trigger is made one of; None for a `@step`."""
        for each in function.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if isinstance(named, ast.Attribute) and named.attr in ("action", "trigger"):
                where, rest = self.survey.split(self.survey.canonical(module.meaning(named.value)))
                made = self.variables(where or module).get(rest)
                given = argument(made, 0, "name") if isinstance(made, ast.Call) else None
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    return given.value
                return module.name.rpartition(".")[2]
        return None

    def variables(self, module: Module) -> dict[str, ast.expr]:
        """Return the assignments to a module's names, once each; others are left out."""
        if module.name not in self._variables:
            found: dict[str, list[ast.expr]] = {}
            for name, value in _assigned(module.tree):
                found.setdefault(name, []).append(value)
            self._variables[module.name] = {
                name: values[0] for name, values in found.items() if len(values) == 1
            }
        return self._variables[module.name]


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


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((each.id, value) for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass


def argument(call: ast.Call, at: int, name: str) -> ast.expr | None:
    """An argument of a call, given by its place or its name."""
    if at < len(call.args):
        return call.args[at]
    return next((each.value for each in call.keywords if each.arg == name), None)


def _items(node: ast.expr | None) -> list[ast.expr]:
    """Return the items of a list that is written out; of others, the whole."""
    match node:
        case None:
            return []
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return items
        case _:
            return [node]


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
