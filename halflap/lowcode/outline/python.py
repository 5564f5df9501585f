"""The outline of a Python integration, read from its project's sources: nothing of them is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode.outline.calls import (
    Meanings,
    argument,
    decorated,
    flow_name,
    inputs_of,
    text_of,
    variables,
)
from halflap.lowcode.outline.flow import FlowReader, first_sentence, place_of
from halflap.lowcode.outline.known import titled
from halflap.lowcode.outline.nodes import FlowOutline, Outline, UnknownFlows, addressed
from halflap.sdk.survey import Function, Module, Survey

MAKES_FLOWS = ("flow", "preprocess", "add")


def survey_of(files: Mapping[str, str]) -> Survey:
    """Return the survey of a project's sources; one that is not Python is left out."""
    return Survey.of(each for path, text in files.items() if (each := _read(path, text)))


def _read(path: str, text: str) -> Module | None:
    if not path.endswith(".py"):
        return None
    try:
        return Module.read(path, text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def outline_python(survey: Survey, entry: str) -> Outline:
    """The outline of the integration that is an object of a module: `warehouse:integration`."""
    module, _, name = entry.partition(":")
    start = survey.modules.get(module)
    if start is None:
        raise DefinitionError(f"there is no module {module} that is Python", where=entry)
    integration = survey.canonical(f"{module}.{name}") or entry
    return _Integration(survey, start, integration).outline()


class _Integration:
    def __init__(self, survey: Survey, start: Module, name: str) -> None:
        self._survey = survey
        self._start = start
        self._name = name
        self._meanings = Meanings(survey)

    def outline(self) -> Outline:
        modules = list(_imported(self._survey, self._start))
        name, title, description = self._named()
        return Outline(
            name=name,
            title=title,
            description=description,
            language="python",
            file=self._start.path,
            flows=[found for each in modules for found in self._flows(each)],
            unknown=[found for each in modules for found in self._others(each)],
        )

    def _named(self) -> tuple[str, str, str]:
        """Return the integration's name, title and description."""
        owner, rest = self._survey.split(self._name)
        made = None if owner is None else variables(owner).get(rest)
        if not isinstance(made, ast.Call):
            return rest, titled(rest), ""
        options = {each.arg: text_of(each.value) for each in made.keywords}
        given = argument(made, 0, "name")
        name = rest if given is None else text_of(given)
        title = options.get("title", name.replace("-", " ").capitalize())
        return name, title, options.get("description", "")

    def _flows(self, module: Module) -> Iterator[FlowOutline]:
        for function in module.flows:
            verb = self._verb(module, function)
            if verb is not None:
                yield self._flow(module, function, verb)

    def _verb(self, module: Module, function: Function) -> str | None:
        """`flow` or `preprocess`, where a function is made one of this integration."""
        for each in function.decorator_list:
            named = each.func if isinstance(each, ast.Call) else each
            if isinstance(named, ast.Attribute) and self._is_it(module, named.value):
                return named.attr
        return None

    def _is_it(self, module: Module, node: ast.expr) -> bool:
        return self._survey.canonical(module.meaning(node)) == self._name

    def _flow(self, module: Module, function: Function, verb: str) -> FlowOutline:
        options = decorated(function)
        title, shared = options.pop("title", None), options.get("shared")
        trigger, name = options.pop("trigger", None), flow_name(function)
        path = ("preprocess" if verb == "preprocess" else "flows", name)
        try:
            steps = FlowReader(self._meanings).flow(module, function)
            steps = addressed(steps, (*path, "steps"))
        except RecursionError:
            raise DefinitionError(
                f"the flow {function.name} is nested too deep to be read; write it in functions",
                where=f"{module.path}:{function.lineno}",
            ) from None
        fields: dict[str, Any] = {key: ast.unparse(each) for key, each in options.items()}
        if isinstance(trigger, ast.Call):
            fields |= {"with": inputs_of(trigger, ()) or {}}
        return FlowOutline(
            path=path,
            name=name,
            title=titled(name) if title is None else text_of(title),
            description=first_sentence(ast.get_docstring(function)),
            trigger=self._meanings.trigger(trigger, module),
            preprocess=verb == "preprocess",
            shared=shared is not None and ast.unparse(shared) != "False",
            place=place_of(function, module),
            fields=fields,
            steps=steps,
        )

    def _others(self, module: Module) -> Iterator[UnknownFlows]:
        """Yield what makes flows otherwise than by a decorator of a module's function."""
        decorators = {
            node
            for function in module.flows
            for each in function.decorator_list
            for node in ast.walk(each)
        }
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or node in decorators:
                continue
            function = node.func
            if (
                isinstance(function, ast.Attribute)
                and function.attr in MAKES_FLOWS
                and self._is_it(module, function.value)
            ):
                yield UnknownFlows(place=place_of(node, module), text=ast.unparse(node))


def _imported(survey: Survey, start: Module) -> Iterator[Module]:
    """A module and those of the project that it imports; what is imported comes first."""
    order: dict[str, Module] = {}
    seen = {start.name}
    stack: list[tuple[Module, Iterator[str]]] = [(start, _imports(start))]
    while stack:
        module, names = stack[-1]
        name = next(names, None)
        if name is None:
            order.setdefault(module.name, module)
            stack.pop()
            continue
        found, _ = survey.split(name)
        if found is not None and found.name not in seen:
            seen.add(found.name)
            stack.append((found, _imports(found)))
    return iter(order.values())


def _imports(module: Module) -> Iterator[str]:
    """The dotted names that a module imports."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                yield module.aliases.get(each.asname or each.name, "")
