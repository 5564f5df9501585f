"""Says what a flow awaits as steps: actions, calls of flows, waits, state, pairs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from halflap.lowcode.convert.to_yaml.coded import Called, CodeSteps
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.types import CLOSED, JSON, TEXT, Callee, constant_text
from halflap.lowcode.outline.calls import Action, Sandboxed, Scope, argument

HELPER = (
    "YAML has no functions: write its steps here, make it an action of a component, or a flow of its "
    "own, and ctx.call that"
)


@dataclass(slots=True)
class Wrapped:
    """An action with the title and the retry rule that it is given where it is called."""

    action: ast.expr
    title: ast.expr | None = None
    retry: ast.expr | None = None


class Calls(CodeSteps):
    """Says calls."""

    def called(self, node: ast.expr) -> Called:
        """The step of what is awaited."""
        if not isinstance(node, ast.Call):
            raise Refused(node, f"what is awaited is called here; {HELPER}")
        path = self.path_of_context(node.func)
        if path is not None:
            return self._of_context(node, path)
        wrapped = self.unwrapped(node.func)
        meaning = self.integration.meanings.of(wrapped.action, Scope(self.integration.module))
        if isinstance(meaning, Sandboxed) and not self.is_local(wrapped.action):
            return self.sandboxed(node, meaning)
        if not isinstance(meaning, Action) or self.is_local(wrapped.action):
            raise Refused(node, f"this is no action of a component; {HELPER}")
        if meaning.is_local:
            if wrapped.title is not None or wrapped.retry is not None:
                raise Refused(node, "give the function its title where it is made: @step(title=…)")
            return self.step_function(node, wrapped.action, meaning.title)
        callee = self.types.action(meaning.name)
        if callee is None:
            raise Refused(node, f"the inputs of {meaning.name} are not known; import its component")
        return self._action(node, callee, wrapped)

    def unwrapped(self, node: ast.expr) -> Wrapped:
        """An action without its title and its retry rule, followed through names."""
        title: ast.expr | None = None
        retry: ast.expr | None = None
        while True:
            match node:
                case ast.Call(func=ast.Attribute(value=value, attr="titled"), args=[given]):
                    title, node = title or given, value
                case ast.Call(func=ast.Attribute(value=value, attr="retried"), args=[given]):
                    retry, node = retry or given, value
                case ast.Call(func=ast.Attribute(value=value, attr="untyped" | "fitted"), args=[]):
                    node = value
                case ast.Name(id=name) if name in self.aliases:
                    node = self.aliases[name]
                case _:
                    return Wrapped(node, title, retry)

    def is_called(self, node: ast.expr) -> bool:
        """Whether this is an action, perhaps under another title, or a code step."""
        wrapped = self.unwrapped(node)
        if self.is_local(wrapped.action):
            return False
        scope = Scope(self.integration.module)
        return isinstance(self.integration.meanings.of(wrapped.action, scope), Action | Sandboxed)

    # Actions ----------------------------------------------------------------------------------

    def _action(self, node: ast.Call, callee: Callee, wrapped: Wrapped) -> Called:
        data: dict[str, Any] = {}
        if wrapped.title is not None:
            title = constant_text(wrapped.title)
            if title is None:
                raise Refused(wrapped.title, "a title is written out in YAML")
            data["title"] = title
        data["action"] = callee.name
        given = self._given(node, callee)
        if callee.connection is not None:
            connection = self._connection(node, given.pop(callee.connection, None), callee)
            if connection is not None:
                data["connection"] = connection
        inputs = {
            name: self.template(each, omits=name not in callee.required, maybe=True)
            for name, each in given.items()
            if not (isinstance(each, ast.Name) and self.meaning(each) == "halflap.UNSET")
        }
        lacking = [each for each in callee.inputs if each in callee.required and each not in given]
        if lacking:
            raise Refused(node, f"{callee.name} needs the input {lacking[0]}")
        if inputs:
            data["with"] = inputs
        if wrapped.retry is not None:
            data["retry"] = self._retry(wrapped.retry)
        return Called(data, callee.output)

    def _given(self, node: ast.Call, callee: Callee) -> dict[str, ast.expr]:
        given: dict[str, ast.expr] = {}
        if len(node.args) > len(callee.parameters):
            raise Refused(node, f"{callee.name} takes {len(callee.parameters)} inputs")
        for name, each in zip(callee.parameters, node.args, strict=False):
            if isinstance(each, ast.Starred):
                raise Refused(each, "inputs are written out by name in YAML")
            given[name] = each
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Refused(keyword.value, "inputs are written out by name in YAML")
            if keyword.arg not in callee.parameters:
                raise Refused(keyword.value, f"{callee.name} has no input {keyword.arg}")
            given[keyword.arg] = keyword.value
        return given

    def _connection(self, node: ast.Call, given: ast.expr | None, callee: Callee) -> str | None:
        component = callee.name.partition(".")[0]
        name = None if given is None else self.connection(given)
        if name is None:
            raise Refused(given or node, f"{callee.name} is given its connection: ctx.config.…")
        fields = self.integration.config
        of_kind = [each for each, field in fields.items() if field.connects == component]
        return None if of_kind == [name] else name

    def connection(self, node: ast.expr) -> str | None:
        """The field of the config whose connection this is."""
        while isinstance(node, ast.Name) and node.id in self.aliases:
            node = self.aliases[node.id]
        match self.path_of_context(node):
            case ("config", name) if (
                found := self.integration.config.get(name)
            ) and found.connects is not None:
                return name
            case _:
                return None

    def _retry(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Call) or self.meaning(node.func) != "halflap.Retry":
            raise Refused(node, "a retry rule is written out: .retried(Retry(3))")
        places = ("attempts", "first", "longest", "jitter")
        given = dict(zip(places, node.args, strict=False))
        given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
        jitter = given.pop("jitter", None)
        if jitter is not None and ast.unparse(jitter) != "0.5":
            raise Refused(jitter, "YAML takes the action's own jitter; leave it out")
        return {name: self.constant(each) for name, each in given.items()} or {"attempts": 5}

    # ctx --------------------------------------------------------------------------------------

    def _of_context(self, node: ast.Call, path: tuple[str, ...]) -> Called:
        match path:
            case ("sleep",):
                return Called({"sleep": self.duration(self._first(node, "time"))}, None)
            case ("wait_for",):
                return self._wait(node)
            case ("call" | "start" as verb,):
                return self._flow(node, waits=verb == "call")
            case ("paired" | "pair" | "unpair" as verb,):
                return self._pairs(node, verb)
            case ("state", *scope, "get" | "put" | "delete" as verb):
                return self._state(node, verb, scope)
            case ("state", *_, "update"):
                raise Refused(node, "read it with get, and write it with put and expect=")
            case ("gather",):
                raise Refused(node, "give ctx.gather a line of its own: name = await ctx.gather(…)")
            case _:
                raise Refused(node, f"YAML has no step for {ast.unparse(node.func)}")

    def _first(self, node: ast.Call, name: str) -> ast.expr:
        found = argument(node, 0, name)
        if found is None:
            raise Refused(node, f"this needs {name}")
        return found

    def _wait(self, node: ast.Call) -> Called:
        name = constant_text(self._first(node, "name"))
        if name is None:
            raise Refused(node, "the name of a signal is written out in YAML")
        data: dict[str, Any] = {"wait": name}
        timeout = argument(node, 9, "timeout")
        if timeout is not None and ast.unparse(timeout) != "None":
            data["timeout"] = self.constant(timeout)
        kind = argument(node, 9, "type")
        if kind is not None:
            raise Refused(kind, "what a signal brings has no type in YAML; leave type= out")
        return Called(data, JSON)

    def _flow(self, node: ast.Call, *, waits: bool) -> Called:
        if (detached := argument(node, 9, "detached")) is not None:
            raise Refused(detached, "YAML has no flows that outlive the one that starts them")
        event = argument(node, 1, "event")
        data: dict[str, Any] = {"call": self.flow_of(node)}
        if event is not None and ast.unparse(event) != "None":
            data["event"] = self.template(event)
        if not waits:
            data["wait"] = False
        return Called(data, JSON if waits else CLOSED)

    def _pairs(self, node: ast.Call, verb: str) -> Called:
        first = self._first(node, "pairs")
        name = first.id if isinstance(first, ast.Name) else ""
        if name not in self.integration.pairs:
            raise Refused(first, "name pairs of this integration")
        ids = {each.arg: self.text(each.value) for each in node.keywords if each.arg is not None}
        data = {verb: self.integration.pairs[name], "with": ids}
        return Called(data, TEXT.nullable() if verb == "paired" else None)

    def _state(self, node: ast.Call, verb: str, scope: list[str]) -> Called:
        data: dict[str, Any] = {"state": verb, "key": self.text(self._first(node, "key"))}
        given = argument(node, 1, "default" if verb == "get" else "value")
        if given is not None and not (verb == "get" and ast.unparse(given) == "None"):
            data["default" if verb == "get" else "value"] = self.template(given)
        if (expect := argument(node, 9, "expect")) is not None:
            data["expect"] = self.template(expect)
        if scope:
            data["scope"] = scope[0]
        return Called(data, JSON if verb == "get" else None)
