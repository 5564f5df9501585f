"""Refuse code of a step that the sandbox cannot run, or that would not replay."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from difflib import get_close_matches

Found = tuple[ast.expr | ast.stmt | ast.excepthandler, str]

MODULES = frozenset(
    {
        *("asyncio", "base64", "binascii", "bisect", "collections", "copy", "csv", "dataclasses"),
        *("datetime", "decimal", "functools", "hashlib", "itertools", "json", "math", "re"),
        *("tomllib", "typing", "unicodedata", "__future__"),
    }
)
"""Modules that may be imported. All are part of the sandbox; there is nothing else to import."""

AN_ACTION = "call an action instead: `await http.get(…)`, for example"
MODULES_INSTEAD = {
    "time": "a replay reads another time: take it as an input",
    "random": "a replay draws something else: take the value as an input",
    "secrets": "a replay draws something else: take the value as an input",
    "uuid": "a replay draws something else: take the id as an input",
    "os": "there are no files and no environment here: take the value as an input",
    "sys": "there is no system here: take the value as an input",
    "pathlib": "there are no files here: call an action instead",
    "io": "there are no files here: call an action instead",
    **dict.fromkeys(("requests", "httpx", "aiohttp", "urllib", "http", "socket"), AN_ACTION),
}

BUILTINS = frozenset(
    {
        *("abs", "all", "any", "bin", "bool", "bytes", "chr", "complex", "dict", "divmod"),
        *("enumerate", "filter", "float", "format", "frozenset", "getattr", "hasattr", "hash"),
        *("hex", "int", "isinstance", "iter", "len", "list", "map", "max", "min", "next"),
        *("object", "oct", "ord", "pow", "print", "range", "repr", "reversed", "round", "set"),
        *("setattr", "slice", "sorted", "str", "sum", "tuple", "type", "zip", "Ellipsis"),
        *("NotImplemented", "BaseException", "Exception", "ArithmeticError", "AssertionError"),
        *("AttributeError", "ImportError", "IndexError", "KeyError", "LookupError"),
        *("MemoryError", "NameError", "NotImplementedError", "OSError", "OverflowError"),
        *("PermissionError", "RecursionError", "RuntimeError", "StopIteration", "TimeoutError"),
        *("TypeError", "UnicodeDecodeError", "ValueError", "ZeroDivisionError", "__name__"),
        *("__debug__",),
    }
)

NAMES_INSTEAD = {
    "open": "there are no files here: call an action instead",
    "input": "nobody answers: take the value as an input",
    "eval": "code is not run from text here: write it out",
    "exec": "code is not run from text here: write it out",
    "compile": "code is not run from text here: write it out",
    "__import__": "write `import` at the beginning",
    "id": "where a value lies says nothing: compare with `is`, or use a field",
    "bytearray": "use `bytes`",
    "super": "classes cannot inherit here: write a function",
    "classmethod": "write a function beside the class",
    "staticmethod": "write a function beside the class",
    "property": "write a method, and call it",
    "globals": "name the variable",
    "locals": "name the variable",
    "vars": "name the field",
    "dir": "name the field",
    "callable": "call it, or do not",
    "issubclass": "classes cannot inherit here: use `isinstance`",
}

CLOCKS = frozenset({"now", "utcnow", "today"})

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def check(
    tree: ast.Module, *, inputs: Collection[str], components: Collection[str]
) -> Iterator[Found]:
    """Everything that is wrong, in no order."""
    bound = _bound(tree)
    known = {*bound, *inputs, *components, *BUILTINS}
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    gathers = _gathers(tree)
    for node in ast.walk(tree):
        yield from _language(node)
        yield from _modules(node)
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name not in known:
                yield node, _unknown(name, {*bound, *inputs, *components})
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name in components:
                yield node, f"`{name}` is a component: call the variable something else"
            case ast.Name(id=name, ctx=ast.Load()) if name in components and name not in bound:
                yield from _component(node, name, parents, gathers)
            case ast.Attribute(attr=name) if _dunder(name):
                yield node, f"`.{name}` is Python's inside, which is not here: use a method"
            case ast.Return(value=ast.expr() as value):
                yield from _crossing(value)
            case _:
                pass
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        value = last.value
        if not isinstance(value, _DONE):
            yield last, "nothing is done with this value: write `return` before it"


_DONE = (ast.Await, ast.Call, ast.Constant, ast.Yield, ast.YieldFrom)


def _language(node: ast.AST) -> Iterator[Found]:
    match node:
        case ast.Yield() | ast.YieldFrom():
            yield node, "no generators here: build a list, and return it"
        case ast.AsyncFor() | ast.AsyncWith():
            yield node, "no `async for` and `async with` here: `await` one call after another"
        case ast.comprehension(is_async=1):
            yield node.target, "no `async for` here: `await` one call after another"
        case ast.Delete():
            yield node, "no `del` here: `d.pop(key)` takes an entry out"
        case ast.TryStar():
            yield node, "no `except*` here: write `except`"
        case ast.ClassDef(bases=[first, *_]):
            yield first, "classes cannot inherit here: write a class of its own, or functions"
        case ast.ClassDef(keywords=[first, *_]):
            yield first.value, "no metaclasses here: write a class of its own, or functions"
        case ast.ClassDef(body=body):
            for each in body:
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                    for decorator in each.decorator_list:
                        yield decorator, "methods take no decorators here: write a function"
        case ast.Constant(value=str() as text) if _lone(text):
            yield node, "half a surrogate pair: write the whole character"
        case _:
            pass


def _modules(node: ast.AST) -> Iterator[Found]:
    match node:
        case ast.ImportFrom(level=level) if level:
            yield node, "there is no package here: write a function"
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            yield node, "name what you import: `from decimal import Decimal`"
        case ast.Import(names=names):
            for alias in names:
                if alias.name not in MODULES:
                    yield node, _no_module(alias.name)
        case ast.ImportFrom(module=str() as name) if name not in MODULES:
            yield node, _no_module(name)
        case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
            yield node, f"`{name}()` reads a clock, and a replay another time: take it as an input"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=name)):
            if name == "sleep":
                yield node, "code does not wait: put a `sleep` step after it"
            elif name != "gather":
                yield node, "of asyncio there is `gather` only: `await asyncio.gather(…)`"
        case _:
            pass


def _component(
    node: ast.Name, name: str, parents: dict[ast.AST, ast.AST], gathers: bool
) -> Iterator[Found]:
    attribute = parents[node]
    call = parents[attribute]
    if not isinstance(attribute, ast.Attribute):
        yield node, f"`{name}` is a component: call an action of it, `await {name}.action(…)`"
    elif not (isinstance(call, ast.Call) and call.func is attribute):
        yield node, f"call the action: `await {name}.{attribute.attr}(…)`"
    elif not (gathers or _awaited(call, parents)):
        yield node, f"nothing happens without `await`: `await {name}.{attribute.attr}(…)`"
    else:
        for each in (*call.args, *(keyword.value for keyword in call.keywords)):
            yield from _crossing(each)


def awaited(tree: ast.Module) -> set[str]:
    """The names that the code does not make, of which it calls what it awaits."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Await)]
    named = {
        node.func.value.id
        for each in ([tree] if _gathers(tree) else calls)
        for node in ast.walk(each)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }
    return named - _bound(tree) - BUILTINS - MODULES


def _gathers(tree: ast.Module) -> bool:
    """Return whether it calls several at once, so that what is called may be awaited elsewhere."""
    return any(isinstance(each, ast.Attribute) and each.attr == "gather" for each in ast.walk(tree))


def _awaited(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    while isinstance(node, ast.expr):
        node = parents[node]
        if isinstance(node, ast.Await):
            return True
    return False


def _crossing(value: ast.expr) -> Iterator[Found]:
    """Yield what would leave the sandbox as the text that stands for it."""
    match value:
        case ast.Call(func=ast.Attribute(attr="keys" | "values" | "items" as name), args=[]):
            yield value, f"a view is no data: write `list(….{name}())`"
        case ast.Call(func=ast.Name(id="range")):
            yield value, "a range is no data: write `list(range(…))`"
        case ast.Call(
            func=ast.Attribute(
                value=ast.Name(id="re"), attr="match" | "search" | "fullmatch" | "compile"
            )
        ):
            yield value, "a match is no data: write `….group()`, or what you need of it"
        case ast.Lambda():
            yield value, "a function is no data: call it"
        case ast.Set() | ast.SetComp():
            yield value, "a set has no order: write `sorted(…)`"
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            for each in elements:
                yield from _crossing(each)
        case ast.Dict(values=values):
            for each in values:
                yield from _crossing(each)
        case _:
            pass


def _bound(tree: ast.Module) -> set[str]:
    """Every name that the code itself makes, wherever it does."""
    return {name for _, name in bindings(tree)}


def bindings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield every name that the code itself makes, with the node that makes it."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield node, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node, name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node, name
            case ast.alias(name=name, asname=asname):
                yield node, (asname or name).partition(".")[0]
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                yield node, name
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                yield node, name
            case _:
                pass


def _unknown(name: str, known: Collection[str]) -> str:
    if name in NAMES_INSTEAD:
        return f"`{name}` is not here: {NAMES_INSTEAD[name]}"
    if name in MODULES:
        return f"write `import {name}` at the beginning"
    if near := get_close_matches(name, known, 1):
        return f"`{name}` is not known; did you mean `{near[0]}`?"
    given = f"`with: {{{name}: ={name}}}`"
    return f"`{name}` is not known: give it under the step's inputs, {given}, or assign it"


def _no_module(name: str) -> str:
    top = name.partition(".")[0]
    return f"`{name}` is not here: {MODULES_INSTEAD.get(top, _ONLY)}"


_ONLY = "there are " + ", ".join(sorted(MODULES - {"__future__"}))


def _dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _lone(text: str) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in text)
