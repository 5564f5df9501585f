"""Says code steps: `code("…")`, and functions under `@step` that the sandbox runs as well."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halflap.lowcode.code.literal import cleaned
from halflap.lowcode.convert.plain import is_plain
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.types import JSON, Kind, constant_text
from halflap.lowcode.convert.to_yaml.values import Values
from halflap.lowcode.outline.calls import Action, Sandboxed, argument
from halflap.sdk._survey import Function, Module

TITLE = "Code"
"""What a code step is called that has no title."""
STEP = (
    "of functions under @step, YAML has those with pure=True that take and give Json, and do what a "
    "code step does (see To Python, Code); make others an action"
)


@dataclass(slots=True)
class Called:
    """A step, and what it gives."""

    data: dict[str, Any]
    kind: Kind | None
    """None where a step of this kind has no result."""


class CodeSteps(Values):
    """Says code steps."""

    def sandboxed(self, node: ast.Call, made: Sandboxed) -> Called:
        """A call of what `code("…")` made."""
        text = None if made.text is None else constant_text(made.text)
        if text is None:
            raise Refused(made.text or node, "the text of code is written out in YAML")
        title = argument(made.call, 9, "title")
        if title is not None and constant_text(title) is None:
            raise Refused(title, "a title is written out in YAML")
        for each in made.actions:
            self._callable(each, made)
        given = self._inputs_of_code(node)
        names = [constant_text(each) for each in made.inputs]
        if sorted(given) != sorted(map(str, names)):
            raise Refused(node, f"{made.title} is given its inputs: {', '.join(map(str, names))}")
        inputs = {name: self.template(each, maybe=True) for name, each in given.items()}
        return Called(step_of(made.title, text, inputs), JSON)

    def _inputs_of_code(self, node: ast.Call) -> Mapping[str, ast.expr]:
        if len(node.args) != 1 or self.path_of_context(node.args[0]) != ():
            raise Refused(node, "a code step is given ctx, and its inputs by name")
        given: dict[str, ast.expr] = {}
        for each in node.keywords:
            match each:
                case ast.keyword(arg=str(name), value=value):
                    given[name] = value
                case ast.keyword(value=ast.Dict(keys=keys, values=values)) if all(
                    isinstance(key, ast.Constant) for key in keys
                ):
                    names = (key.value for key in keys if isinstance(key, ast.Constant))
                    given |= {str(name): value for name, value in zip(names, values, strict=True)}
                case _:
                    raise Refused(each.value, "inputs are written out by name in YAML")
        return given

    def _callable(self, node: ast.expr, made: Sandboxed) -> None:
        """Check an action that code is given."""
        meanings = self.integration.meanings
        meaning = meanings.of(node, made.scope)
        if not isinstance(meaning, Action) or meaning.is_local:
            raise Refused(node, "name the actions one by one")
        component, _, short = meaning.name.partition(".")
        if meaning != meanings.named(component, short):
            raise Refused(node, "in YAML, code calls an action under its own title and retry rule")
        callee = self.types.action(meaning.name)
        fields = self.integration.config.values()
        if callee is not None and callee.connection is not None:
            having = sum(each.connects == component for each in fields)
            if having != 1:
                raise Refused(node, f"the config needs one connection of {component} for this")

    # Functions --------------------------------------------------------------------------------

    def step_function(self, node: ast.Call, named: ast.expr, title: str) -> Called:
        """A call of a function under `@step`."""
        module, name = self.integration.meanings.survey.split(self.meaning(named))
        steps = () if module is None else module.steps
        found = next((each for each in steps if each.name == name), None)
        if module is None or found is None:
            raise Refused(node, STEP)
        parameters = [each.arg for each in found.args.args]
        if not self._is_code(found, module, parameters):
            raise Refused(node, STEP)
        given = dict(zip(parameters, node.args, strict=False))
        given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
        if sorted(given) != sorted(parameters) or len(node.args) > len(parameters):
            raise Refused(node, f"{name} is given {', '.join(parameters)}")
        for each in given.values():
            self._check_json(each)
        inputs = {name: self.template(each) for name, each in given.items()}
        return Called(step_of(title, body_of(found, module), inputs), JSON)

    def _is_code(self, node: Function, module: Module, parameters: list[str]) -> bool:
        taken = node.args
        types = [*(each.annotation for each in taken.args), node.returns]
        given = {
            e.arg: e.value for each in node.decorator_list for e in getattr(each, "keywords", [])
        }
        pure = given.pop("pure", None)
        title = given.pop("title", None)
        hidden = {*module.variables, *module.functions, *module.aliases}
        hidden |= {each.name for kind in (module.flows, module.steps) for each in kind}
        return (
            isinstance(node, ast.FunctionDef)
            and not (taken.posonlyargs or taken.kwonlyargs or taken.defaults)
            and taken.vararg is None
            and taken.kwarg is None
            and len(node.decorator_list) == 1
            and isinstance(pure, ast.Constant)
            and pure.value is True
            and (title is None or constant_text(title) is not None)
            and not given
            and all(
                each is not None and self.types.declared(each, module) == JSON for each in types
            )
            and is_plain(node.body, parameters, hidden)
        )

    def _check_json(self, node: ast.expr) -> None:
        """Check that a function is given what a code step is: numbers as JSON has them, no models."""
        match node:
            case ast.Dict(values=values):
                for each in values:
                    self._check_json(each)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for each in items:
                    self._check_json(each)
            case ast.Call(args=[ast.Constant(value=str(text))]) if (
                self.meaning(node.func) == "decimal.Decimal" and "." in text
            ):
                pass
            case _:
                kind: Kind | None = self.term(node).shown.kind
                while kind is not None and kind.base == "list":
                    kind = kind.of
                if kind is not None and kind.base not in _AS_JSON:
                    raise Refused(
                        node, f"code sees JSON, and this is a {kind.base}; write expr(“…”)"
                    )


_AS_JSON = ("json", "text", "integer", "boolean", "null", "object")


def step_of(title: str, text: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A code step."""
    body = cleaned(text)
    data: dict[str, Any] = {} if title == TITLE else {"title": title}
    data["code"] = f"{body}\n" if "\n" in body else body
    return data | ({"with": dict(inputs)} if inputs else {})


def body_of(function: Function, module: Module) -> str:
    """The text of a function's body, with its comments."""
    assert function.returns is not None
    begins = function.returns.end_lineno or function.lineno
    if function.body[0].lineno <= begins:
        return "\n".join(map(ast.unparse, function.body))
    return "\n".join(module.lines[begins : function.end_lineno])
