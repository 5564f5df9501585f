"""Survey a project's sources from their text: names, actions, flows, triggers."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from halflap.sdk.syntax import parse

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Module:
    """One source: its tree, what its names mean, and what it defines.

    `aliases` maps an imported name to what it means (`dt` → `datetime`); `variables` are the names
    assigned at module level.
    """

    name: str
    path: str
    tree: ast.Module
    lines: list[str]
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    functions: dict[str, Function] = field(default_factory=dict[str, Function])
    variables: set[str] = field(default_factory=set[str])
    flows: list[Function] = field(default_factory=list[Function])
    actions: list[Function] = field(default_factory=list[Function])
    steps: list[Function] = field(default_factory=list[Function])
    triggers: list[Function] = field(default_factory=list[Function])
    declared: set[str] = field(default_factory=set[str])
    """The actions that are declared as operations of a specification."""

    @classmethod
    def read(cls, path: str, text: str) -> Module:
        """Read a source; raises `SyntaxError` where Python cannot."""
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        module = cls(name, path, parse(text, path), text.splitlines())
        package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
        for node in ast.walk(module.tree):
            _note_imports(node, package, module.aliases)
            module.declared |= _declared_operations(node)
        for node in module.tree.body:
            match node:
                case ast.Assign(targets=targets):
                    module.variables |= {name for each in targets for name in _stored(each)}
                case ast.AnnAssign(target=ast.Name(id=name)):
                    module.variables.add(name)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    module._file(node)
                case _:
                    pass
        return module

    def _file(self, function: Function) -> None:
        kinds = {
            "flow": self.flows,
            "preprocess": self.flows,
            "action": self.actions,
            "trigger": self.triggers,
        }
        for each in function.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if isinstance(named, ast.Attribute) and named.attr in kinds:
                kinds[named.attr].append(function)
                break
            if self.meaning(named) == "halflap.step":
                self.steps.append(function)
                break
        else:
            self.functions[function.name] = function

    def meaning(self, node: ast.expr, shadowed: frozenset[str] = frozenset()) -> str | None:
        """Return the dotted name of an expression (`datetime.datetime.now`); None if it is no name."""
        match node:
            case ast.Name(id=name):
                if name in shadowed:
                    return None
                if name in self.aliases:
                    return self.aliases[name]
                own = name in self.variables or any(
                    each.name == name
                    for kind in (self.functions.values(), self.actions, self.steps)
                    for each in kind
                )
                return f"{self.name}.{name}" if own else name
            case ast.Attribute(value=value, attr=attribute):
                owner = self.meaning(value, shadowed)
                return None if owner is None else f"{owner}.{attribute}"
            case _:
                return None


@dataclass(slots=True)
class Survey:
    """All sources of a project, and what a dotted name means across them."""

    modules: dict[str, Module]
    actions: frozenset[str]

    @classmethod
    def of(cls, modules: Iterator[Module], known: frozenset[str] = frozenset()) -> Survey:
        """A survey of these; `known` are the actions of components from elsewhere."""
        found = {each.name: each for each in modules}
        own = {
            f"{module.name}.{function.name}"
            for module in found.values()
            for function in (*module.actions, *module.steps)
        }
        own |= {f"{module.name}.{name}" for module in found.values() for name in module.declared}
        return cls(found, known | own)

    def canonical(self, name: str | None) -> str | None:
        """A dotted name, followed through the modules that re-export it to where it is defined."""
        for _ in range(8):
            module, rest = self.split(name)
            if name is None or module is None or not rest:
                return name
            first, _, more = rest.partition(".")
            meant = module.aliases.get(first)
            if meant is None and "*" in module.aliases:
                starred = f"{module.aliases['*'].removesuffix('*')}{first}"
                meant = starred if starred in self.actions else None
            if meant is None or meant == f"{module.name}.{first}":
                return name
            name = f"{meant}.{more}" if more else meant
        return name

    def split(self, name: str | None) -> tuple[Module | None, str]:
        """The project's module that a dotted name begins with, and the rest of it."""
        parts = (name or "").split(".")
        for length in range(len(parts), 0, -1):
            module = self.modules.get(".".join(parts[:length]))
            if module is not None:
                return module, ".".join(parts[length:])
        return None, name or ""

    def function(self, name: str | None) -> tuple[Module, Function] | None:
        """The project's plain function (no action, no step) of a canonical name."""
        module, rest = self.split(name)
        function = module.functions.get(rest) if module is not None else None
        return None if module is None or function is None else (module, function)


def parents(root: ast.AST) -> Mapping[ast.AST, ast.AST]:
    """Each node's parent below a root."""
    return {child: node for node in ast.walk(root) for child in ast.iter_child_nodes(node)}


def awaits(*nodes: ast.AST) -> bool:
    """Return whether there is an await in any of these."""
    return any(
        isinstance(each, ast.Await | ast.AsyncFor | ast.AsyncWith)
        for node in nodes
        for each in ast.walk(node)
    )


def local_names(function: Function | ast.Lambda) -> frozenset[str]:
    """The names that a function itself binds: parameters, and what it assigns."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    body = function.body if isinstance(function.body, list) else [function.body]
    shared = {name for each in body for node in ast.walk(each) for name in _declared(node)}
    stored = {
        node.id
        for each in body
        for node in ast.walk(each)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return frozenset({each.arg for each in named} | (stored - shared))


def _declared_operations(node: ast.AST) -> set[str]:
    """The names in `component.operations(specification, {"create_customer": Operation(…)})`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="operations"), args=[_, ast.Dict(keys=keys)]):
            constants = [each.value for each in keys if isinstance(each, ast.Constant)]
            return {each for each in constants if isinstance(each, str)}
        case _:
            return set()


def _declared(node: ast.AST) -> list[str]:
    return node.names if isinstance(node, ast.Global) else []


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _note_imports(node: ast.AST, package: str, aliases: dict[str, str]) -> None:
    match node:
        case ast.Import(names=names):
            for each in names:
                top = each.name.partition(".")[0]
                aliases[each.asname or top] = each.name if each.asname else top
        case ast.ImportFrom(module=module, level=level, names=names):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            origin = ".".join([*(above if package else []), *([module] if module else [])])
            for each in names:
                aliases[each.asname or each.name] = f"{origin}.{each.name}" if origin else each.name
        case _:
            pass
