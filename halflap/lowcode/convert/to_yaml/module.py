"""Says a Python module that holds one integration as a YAML document; nothing of it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode.convert.about import about
from halflap.lowcode.convert.to_yaml.config import config_of
from halflap.lowcode.convert.to_yaml.flow import FlowSteps
from halflap.lowcode.convert.to_yaml.inline import expression_of
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.names import Field, Known, is_constant
from halflap.lowcode.convert.to_yaml.refusal import NotYaml, Refusal, Refusals, Refused
from halflap.lowcode.convert.to_yaml.remarks import Remarks
from halflap.lowcode.convert.to_yaml.routes import SHAPE, Routes
from halflap.lowcode.convert.to_yaml.terms import name_of
from halflap.lowcode.convert.to_yaml.types import JSON, Kind, Types, constant_text
from halflap.lowcode.outline.calls import Meanings, argument, flow_name
from halflap.lowcode.outline.python import survey_of
from halflap.sdk._survey import Function, Module


def document_of_python(files: Mapping[str, str], path: str) -> Made:
    """The document of a module; `NotYaml` names all that it cannot say, by place."""
    try:
        Module.read(path, files[path])
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise NotYaml([Refusal(path, line, 1, f"this is not Python: {error}")]) from None
    survey = survey_of(files)
    (module,) = (each for each in survey.modules.values() if each.path == path)
    return _Converter(module, Meanings(survey)).document()


class _Converter:
    def __init__(self, module: Module, meanings: Meanings) -> None:
        self._module = module
        self._meanings = meanings
        self._types = Types(meanings)
        self._refusals = Refusals(module)
        self._remarks = Remarks(module)
        self._integration = ""
        self._settings: ast.ClassDef | None = None
        self._pairs: dict[str, ast.Call] = {}
        self._flows: list[tuple[Function, ast.Call]] = []
        self._preprocess: list[tuple[Function, ast.Call]] = []
        self._models: list[ast.ClassDef] = []
        self._functions: list[Function] = []
        self._head: dict[str, Any] = {}

    def document(self) -> Made:
        """The whole document."""
        comments = self._remarks.upto(self._first_line())
        for node in self._module.tree.body:
            with self._refusals.collected():
                self._sort(node)
        if not self._head:
            raise DefinitionError(
                'there is no integration here: integration = Integration("my-name", …)',
                where=f"{self._module.path}:1",
            )
        data = dict(self._head)
        fields: dict[str, Field] = {}
        if self._settings is not None:
            data["config"], fields = config_of(
                self._settings, self._module, self._types, self._refusals
            )
        if not data.get("config"):
            data.pop("config", None)
        pairs = self._pairs_part()
        if pairs:
            data["pairs"] = pairs
        known = self._known(fields)
        data["flows"] = {}
        for function, options in self._flows:
            with self._refusals.collected():
                name = known.flows[function.name]
                if name in data["flows"]:
                    raise Refused(
                        function, f"there is a flow {name} already; give it another name="
                    )
                data["flows"][name] = self._flow(function, options, known)
        if self._preprocess:
            data["preprocess"] = {}
        for function, options in self._preprocess:
            with self._refusals.collected():
                name = flow_name(function)
                data["preprocess"][name] = self._routes(function, options, known)
        for node in self._functions:
            if expression_of(node) is None:
                self._refusals.add(
                    node,
                    f"YAML has no functions of several steps: write what {node.name} does where it is "
                    "called, or make it an action of a component, or a flow",
                )
        comments = [*comments, *self._docstring(data)]
        if self._refusals.found:
            raise NotYaml(sorted(set(self._refusals.found)))
        return Made(data, comments, self._remarks.rest())

    def _first_line(self) -> int:
        body = self._module.tree.body
        return body[0].lineno - 1 if body else 0

    def _docstring(self, data: dict[str, Any]) -> list[str]:
        told = ast.get_docstring(self._module.tree) or ""
        usual = about(data["name"], data.get("title"), data.get("description"))
        is_usual = " ".join(told.split()) in ("", data.get("description"), usual)
        return [] if is_usual else told.splitlines()

    # The module's statements --------------------------------------------------------------------

    def _sort(self, node: ast.stmt) -> None:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass():
                pass
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assigned(node, name, value)
            case ast.ClassDef():
                self._class(node)
            case ast.AsyncFunctionDef(
                decorator_list=[ast.Call(func=ast.Attribute() as made) as call]
            ):
                self._decorated(node, made, call)
            case ast.FunctionDef() if node in self._module.steps:
                self._remarks.leave(node)  # they are its code's
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test_"):
                self._remarks.leave(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._functions.append(node)
            case _:
                raise Refused(node, "a YAML document has nothing of this kind; remove it")

    def _assigned(self, node: ast.stmt, name: str, value: ast.expr) -> None:
        called = self._meaning(value.func) if isinstance(value, ast.Call) else ""
        if isinstance(value, ast.Call) and called == "halflap.Integration":
            if self._head:
                raise Refused(node, "a document holds one integration; give this one a file")
            self._integration = name
            self._heading(value)
        elif (
            isinstance(value, ast.Call)
            and called == f"{self._module.name}.{self._integration}.pairs"
        ):
            self._pairs[name] = value
        elif called != "halflap.code" and not is_constant(value, self._meaning):
            raise Refused(node, f"what {name} is has no YAML; write its value where it is used")

    def _meaning(self, node: ast.expr) -> str:
        return self._meanings.survey.canonical(self._module.meaning(node)) or ""

    def _heading(self, call: ast.Call) -> None:
        given = {each.arg: each.value for each in call.keywords if each.arg is not None}
        first = argument(call, 0, "name")
        for key, node in (("name", first), *((k, given.get(k)) for k in ("title", "description"))):
            if node is None:
                continue
            text = constant_text(node)
            if text is None:
                raise Refused(node, f"the {key} is written out in YAML")
            self._head[key] = text
        config = given.get("config")
        if config is not None and self._meaning(config) != "halflap.Config":
            name = config.id if isinstance(config, ast.Name) else ""
            found = [
                each
                for each in self._module.tree.body
                if isinstance(each, ast.ClassDef) and each.name == name
            ]
            if not found:
                raise Refused(config, "define the config's class in this file")
            self._settings = found[0]

    def _class(self, node: ast.ClassDef) -> None:
        bases = [self._meaning(each) for each in node.bases]
        if bases == ["halflap.Config"]:
            return
        if self._types.own_model(node.name, self._module) is None:
            raise Refused(
                node, "of classes, YAML has the config, and models of fields alone for the event"
            )
        self._models.append(node)

    def _decorated(self, node: ast.AsyncFunctionDef, made: ast.Attribute, call: ast.Call) -> None:
        is_own = isinstance(made.value, ast.Name) and made.value.id == self._integration
        if is_own and made.attr == "flow":
            self._flows.append((node, call))
        elif is_own and made.attr == "preprocess":
            self._preprocess.append((node, call))
        else:
            raise Refused(node, "of functions, YAML has the flows of its integration")

    # Parts --------------------------------------------------------------------------------------

    def _pairs_part(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for call in self._pairs.values():
            with self._refusals.collected():
                name = constant_text(call.args[0]) if call.args else None
                if name is None:
                    raise Refused(call, "the name of pairs is written out")
                texts = {e.arg: (constant_text(e.value), e.value) for e in call.keywords}
                for text, node in texts.values():
                    if text is None and ast.unparse(node) != "None":
                        raise Refused(node, "the sides of pairs are written out")
                given = {str(k): text for k, (text, _) in texts.items() if text is not None}
                master = given.pop("master", None)
                made[name] = {"sides": given} | ({} if master is None else {"master": master})
        return made

    def _known(self, fields: Mapping[str, Field]) -> Known:
        pairs = {
            variable: text
            for variable, call in self._pairs.items()
            if call.args and (text := constant_text(call.args[0])) is not None
        }
        return Known(
            self._module,
            self._meanings,
            self._types,
            fields,
            {each.name: flow_name(each) for each, _ in self._flows},
            frozenset(),
            pairs,
        )

    def _flow(self, function: Function, options: ast.Call, known: Known) -> Made:
        data, speaker, made = self._triggered(function, options, known)
        body = function.body[ast.get_docstring(function) is not None :]
        steps = speaker.flow(body) if body else []
        for name, step in speaker.given:
            if name not in speaker.reads:
                step.data.pop("id", None)
                step.data.pop("collect", None)
        data["steps"] = steps or [Made({"stop": True})]
        return made

    def _routes(self, function: Function, options: ast.Call, known: Known) -> Made:
        """A pre-process flow."""
        data, speaker, made = self._triggered(function, options, known)
        body = function.body[ast.get_docstring(function) is not None :]
        takes_all, routes = Routes(speaker).said(body)
        if not routes:
            raise Refused(function, SHAPE)
        if takes_all:
            data["all"] = True
        data["routes"] = routes
        return made

    def _triggered(
        self, function: Function, options: ast.Call, known: Known
    ) -> tuple[dict[str, Any], FlowSteps, Made]:
        """What flows and pre-process flows have, and who says the rest."""
        arguments = [each.arg for each in function.args.args]
        if len(arguments) != 2:
            raise Refused(function, "a flow takes ctx and its event")
        comments = self._remarks.upto(options.lineno - 1)
        data: dict[str, Any] = {}
        given = {each.arg: each.value for each in options.keywords if each.arg is not None}
        if (name := given.pop("name", None)) is not None and constant_text(name) is None:
            raise Refused(name, "the name is written out in YAML")
        if (title := given.pop("title", None)) is not None:
            data["title"] = constant_text(title)
        told, *more = (ast.get_docstring(function) or "").split("\n\n", 1)
        if (description := " ".join(told.split())) != "":
            data["description"] = description
        comments += [each for part in more for each in part.splitlines() if each.strip()]
        kind = self._trigger(given.pop("trigger", None), function, data, known)
        speaker = FlowSteps(
            arguments[1],
            names_in(function),
            integration=known,
            ctx=arguments[0],
            event_kind=kind,
            remarks=self._remarks,
            refusals=self._refusals,
        )
        self._options(given, data, speaker)
        return data, speaker, Made(data, comments)

    def _trigger(
        self, node: ast.expr | None, function: Function, data: dict[str, Any], known: Known
    ) -> Kind:
        if node is None:
            raise Refused(function, "a flow has a trigger")
        name = self._meanings.trigger(node, self._module)
        callee = self._types.trigger(name)
        if callee is None:
            raise Refused(node, f"{ast.unparse(node)} is no trigger that is known")
        data["trigger"] = name
        if isinstance(node, ast.Call):
            constants = FlowSteps(
                "",
                integration=known,
                ctx="",
                event_kind=JSON,
                remarks=self._remarks,
                refusals=self._refusals,
            )
            inputs = dict(zip(callee.inputs, node.args, strict=False))
            inputs |= {each.arg: each.value for each in node.keywords if each.arg is not None}
            if inputs:
                data["with"] = {n: _template(constants.constant(e)) for n, e in inputs.items()}
        declared = self._types.declared(function.args.args[1].annotation, self._module)
        if declared.base == "model" and declared.of != callee.model:
            return Kind("model", of=declared.of, promised=True)
        return (
            callee.output if declared.base == "json" and callee.output.base == "model" else declared
        )

    def _options(
        self, given: dict[str, ast.expr], data: dict[str, Any], speaker: FlowSteps
    ) -> None:
        for name, node in given.items():
            with self._refusals.collected():
                data[name] = self._option(name, node, speaker)

    def _option(self, name: str, node: ast.expr, speaker: FlowSteps) -> Any:
        match name:
            case "pairs":
                variable = node.id if isinstance(node, ast.Name) else ""
                if variable not in speaker.integration.pairs:
                    raise Refused(node, "name pairs of this integration")
                return speaker.integration.pairs[variable]
            case "timeout" | "max_age":
                return speaker.constant(node)
            case "keep":
                return list(speaker.constant(node))
            case "order":
                return self._order(node, speaker)
            case "shared":
                return speaker.constant(node)
            case "filter" | "sender":
                return self._of_request(name, node)
            case _:
                raise Refused(node, f"a flow in YAML has no {name}")

    def _of_request(self, name: str, node: ast.expr) -> str:
        """A function of the request."""
        match node:
            case ast.Call(
                func=ast.Attribute(value=owner, attr=method),
                args=[ast.Constant(value=str(text))],
            ) if self._meaning(owner) == "halflap.expr" and method == name:
                return f"={text}"
            case ast.Call(func=picker, args=[ast.Constant(value=str(text))]) if name == "sender":
                match self._meaning(picker):
                    case "halflap.pointer" if re.fullmatch(r"(/[^/~]+)+", text):
                        return f"=event.{'.'.join(map(name_of, text.split('/')[1:]))}"
                    case "halflap.header":
                        return f"=headers.{name_of(text.lower())}"
                    case _:
                        pass
            case _:
                pass
        raise Refused(node, f'write {name}=expr.{name}("…"), in JSONata')

    def _order(self, node: ast.expr, speaker: FlowSteps) -> Any:
        rule = (
            self._meaning(node.func).removeprefix("halflap.") if isinstance(node, ast.Call) else ""
        )
        if not isinstance(node, ast.Call) or rule not in _ORDERS:
            raise Refused(node, "an order is parallel(n), fifo(), singleton() or latest_wins()")
        if not node.args and not node.keywords and rule != "parallel":
            return rule
        made: dict[str, Any] = {"rule": rule}
        if node.args:
            made["width"] = speaker.constant(node.args[0])
        for each in node.keywords:
            key = "width" if each.arg in ("n", "width") else str(each.arg)
            pick = each.value
            if isinstance(pick, ast.Call) and self._meaning(pick.func) == "halflap.pointer":
                pick = pick.args[0]
            made[key] = speaker.constant(pick)
        return made


_ORDERS = ("parallel", "fifo", "singleton", "latest_wins")


def _template(value: Any) -> Any:
    return f"={value}" if isinstance(value, str) and value.startswith("=") else value


def names_in(function: Function) -> frozenset[str]:
    """All names that a function uses."""
    found: set[str] = set()
    for each in ast.walk(function):
        match each:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                found.add(name)
            case _:
                pass
    return frozenset(found)
