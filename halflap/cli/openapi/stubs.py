"""Write the typed stub of a module whose actions are declared from a specification.

At run time an action's types follow from the document; an editor and a type checker read the stub, which
lies beside the module as `.pyi`. A test of the component compares it, so that it cannot fall behind.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_args

from halflap.cli.openapi.guess import in_docstring
from halflap.errors import ConfigError
from halflap.sdk.component import Component
from halflap.sdk.openapi import Node
from halflap.sdk.schema import File
from halflap.sdk.specification import MOST, Paging, Specification, SpecifiedAction, published
from halflap.sdk.survey import Module

HEAD = '''\
"""{title}, made by `halflap types` from {documents}; run it again after a change."""

{imports}

'''
TYPING = ("Any", "Literal", "NotRequired", "TypedDict")
PUBLIC = ("UNSET", "File", "Paging", "Specification", "Unset")
OWN = ("SpecifiedAction", "paged")
TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "Decimal | int",
    "boolean": "bool",
    "null": "None",
}
DEEPEST = 3
"""The depth to which objects are typed dictionaries; deeper ones are `dict[str, Any]`."""


def stub_of(module: str) -> tuple[Path, str]:
    """Return the path and the text of a module's stub; `ConfigError` where it declares no operations."""
    loaded = import_module(module)
    components = {each.name: each for each in vars(loaded).values() if isinstance(each, Component)}
    found = [
        (component, action)
        for component in components.values()
        for action in component.actions.values()
        if isinstance(action, SpecifiedAction) and action.function.__module__ == module
    ]
    if not found or loaded.__file__ is None:
        raise ConfigError(f"the module {module} declares no operations of a specification")
    if others := _others(module, vars(loaded)):
        raise ConfigError(
            f"{module} has {', '.join(others)} beside its declared actions. A stub stands for the whole "
            "module, so no editor would know these: move them into a module of their own"
        )
    component = found[0][0]
    assert component.connection is not None
    home, connection = component.connection.__module__, component.connection.__name__
    sources = {
        "decimal": ("Decimal",), "typing": TYPING, home: (connection, "component"),
        "halflap": PUBLIC, "halflap.sdk.specification": OWN,
    }  # fmt: skip
    types = _Types({name for names in sources.values() for name in names})
    calls = [types.call(action) for _, action in found]
    lines = [*types.definitions(), "", *_values(vars(loaded)), "", *calls]
    used = TEXT.sub("", "\n".join(lines))
    imports = [
        f"from {source} import {', '.join(named)}" + "\n" * (source == "typing")
        for source, names in sources.items()
        if (named := [name for name in names if re.search(rf"\b{name}\b", used)])
    ]
    documents = dict.fromkeys(action.specification.path.name for _, action in found)
    head = HEAD.format(
        title=f"Actions of {in_docstring(component.title)}",
        documents=", ".join(documents),
        imports="\n".join(imports),
    )
    return Path(loaded.__file__).with_suffix(".pyi"), head + "\n".join(lines) + "\n"


def _others(module: str, names: Mapping[str, Any]) -> list[str]:
    """Return what a module defines that no document declares."""
    own = {
        name: getattr(value, "function", value)  # of an action, a trigger, a step
        for name, value in names.items()
        if not (name.startswith("_") or isinstance(value, SpecifiedAction))
    }
    return [name for name, value in own.items() if getattr(value, "__module__", None) == module]


def _values(module: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a module has beside its actions: the specification, the pages, all actions."""
    for name, value in module.items():
        if name.startswith("_"):
            continue
        if isinstance(value, Specification | Paging):
            yield f"{name}: {type(value).__name__}"
        members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if members and all(isinstance(each, SpecifiedAction) for each in members.values()):
            yield f"{name}: dict[str, SpecifiedAction]"


class _Types:
    """The typed dictionaries of a module, each once."""

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = taken
        self._names: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def definitions(self) -> Iterator[str]:
        for name, members in self._made.items():
            yield f'{name} = TypedDict("{name}", {members})'

    def call(self, action: SpecifiedAction) -> str:
        """An action as a decorated function: its parameters in their order, and its answer."""
        connection = action.shape.connection_type
        assert connection is not None
        parameters = [f"{action.connection_name}: {connection.__name__}"]
        by_name = False
        for each in action.signature.parameters.values():
            if each.name == action.connection_name:
                continue
            if each.kind is each.KEYWORD_ONLY and not by_name:
                parameters.append("*")
                by_name = True
            field = action.shape.by_name[each.name]
            hint = f"{pascal(action.short_name)}{pascal(each.name)}"
            kind = (
                "File"
                if File in _parts(field.annotation)
                else self.of(published(field.annotation), hint, 0)
            )
            if field.required:
                parameters.append(f"{each.name}: {kind}")
            elif each.name == MOST:
                parameters.append(f"{each.name}: int = 100")
            else:
                none = "" if "None" in kind.split(" | ") or kind == "Any" else " | None"
                parameters.append(f"{each.name}: {kind}{none} | Unset = UNSET")
        answer = action.shape.output
        hint = f"{pascal(action.short_name)}Answer"
        result = (
            "None"
            if answer is None
            else "File"
            if answer is File
            else self.of(published(answer), hint, 0)
        )
        paged = "@paged\n" if action.declared.pages is not None else ""
        return (
            f"{paged}@component.action(title={json.dumps(action.title)})\n"
            f"async def {action.short_name}({', '.join(parameters)}) -> {result}:\n"
            f"    {json.dumps(action.description, ensure_ascii=False)}\n"
        )

    def of(self, schema: Node, hint: str, depth: int) -> str:
        """The type of a value, as Python writes it."""
        options = cast("list[Node]", schema.get("anyOf") or [])
        if options:
            found = dict.fromkeys(self.of(each, hint, depth) for each in options)
            return "Any" if "Any" in found else " | ".join(found)
        choices = cast("list[Any]", schema.get("enum") or [])
        if choices and all(isinstance(each, str | int) for each in choices):
            written = (
                json.dumps(each) if isinstance(each, str) else repr(each) for each in choices
            )
            return f"Literal[{', '.join(written)}]"
        kind = schema.get("type")
        if kind == "array":
            return f"list[{self.of(schema.get('items') or {}, hint, depth)}]"
        if kind == "object":
            return self._object(schema, hint, depth)
        return SIMPLE.get(str(kind), "Any")

    def _object(self, schema: Node, hint: str, depth: int) -> str:
        fields: Mapping[str, Node] = schema.get("properties") or {}
        if not fields or depth >= DEEPEST:
            others: Any = schema.get("additionalProperties")
            if not fields and isinstance(others, dict) and others:
                return f"dict[str, {self.of(cast(Node, others), hint, depth + 1)}]"
            return "dict[str, Any]"
        name = pascal(schema.get("x-name") or hint)
        needed = schema.get("required") or ()
        members = {
            each: self.of(one, f"{name}{pascal(each)}", depth + 1) for each, one in fields.items()
        }
        text = ", ".join(
            f"{json.dumps(each)}: {one if each in needed else f'NotRequired[{one}]'}"
            for each, one in members.items()
        )
        text = "{" + text + "}"
        if text not in self._names:
            number, taken = 2, name
            while taken in self._made or taken in self._taken:
                taken, number = f"{name}{number}", number + 1
            self._names[text] = taken
            self._made[taken] = text
        return self._names[text]


def _parts(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *get_args(annotation))


def pascal(name: str) -> str:
    """Return a name as classes have it: `create_customer` → `CreateCustomer`."""
    made = "".join(each[:1].upper() + each[1:] for each in re.split(r"[^A-Za-z0-9]+", name) if each)
    made = f"N{made}" if made[:1].isdigit() else made or "Value"
    return f"{made}_" if keyword.iskeyword(made) else made


def declaring_modules(root: Path) -> list[str]:
    """Return the modules below a folder that declare operations; none is imported."""
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        if any(each.startswith(".") or each == "tests" for each in path.relative_to(root).parts):
            continue
        try:
            module = Module.read(path.relative_to(root).as_posix(), path.read_text("utf-8"))
        except (SyntaxError, ValueError):
            continue
        if module.declared:
            found.append(module.name)
    return found
