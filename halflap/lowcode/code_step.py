"""A code step from Python: `code("…")`, run as a code step of a YAML integration is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from halflap.errors import DefinitionError
from halflap.lowcode.call import Callee
from halflap.lowcode.code import Code, CodeError, CodeProblem, components_of
from halflap.lowcode.code.literal import cleaned, place_of
from halflap.lowcode.coding import Coded
from halflap.lowcode.coding import code as recorded
from halflap.lowcode.expr import seen
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.schema import UNSET, Config, Json


class CodeStep:
    """Python in the sandbox, as a recorded step: `total = await add_up(ctx, order=event)`.

    What is given by name is what the code sees, as JSON: a model by the app's own names. Raises what
    a step raises for good (`FAILURES`).
    """

    def __init__(self, read: Code, title: str, actions: Mapping[str, Action[..., Any]]) -> None:
        self.title = title
        self._read = read
        self._actions = actions
        self._recorded = recorded.titled(title)
        self._callees: dict[type[Config], Mapping[str, Callee]] = {}

    async def __call__(self, ctx: Context[Any], /, **inputs: Any) -> Json:
        """Run the code, and return what it returns."""
        if lacking := self._read.inputs - inputs.keys():
            raise TypeError(f"{self.title}: no value for {', '.join(sorted(lacking))}")
        if unknown := inputs.keys() - self._read.inputs:
            raise TypeError(f"{self.title}: the code takes no {', '.join(sorted(unknown))}")
        given = {name: None if each is UNSET else seen(each) for name, each in inputs.items()}
        return await Coded(self._read, self._calls(ctx.config), self._recorded).run(ctx, given)

    def _calls(self, given: Any) -> Mapping[str, Callee]:
        """The actions that it calls, each with the connection of its type which the config has."""
        config = cast(type[Config], type(given))
        found = self._callees.get(config)
        if found is None:
            found = self._callees[config] = {
                name: Callee(action.untyped(), _connection(action, config))
                for name, action in self._actions.items()
            }
        return found

    def __repr__(self) -> str:
        return f"<code step {self.title}>"


def code(
    text: str,
    /,
    *,
    title: str = "Code",
    inputs: Iterable[str] = (),
    actions: Iterable[Action[..., Any]] = (),
) -> CodeStep:
    """Make a step of Python that runs in the sandbox, as `code` of a YAML integration does.

    `inputs` are the names that the code sees, `actions` those that it may await, as
    `component.action(…)`, each with the one connection of its type that the config has; there is
    nothing else. `await step(ctx, name=value)` runs it: in a worker process, without a clock, files,
    environment or network, within 1 second, 64 MiB of memory and 1,000 calls of actions. The result
    is what it returns, as JSON with exact numbers, and is recorded, as each action is; what it prints
    goes to the execution's log. So the text may be a customer's own, known only at run time: the same
    text is read once. Indents that all its lines share do not count.

    Raises `DefinitionError`, with the line, for a text that cannot run. The step fails with the
    line, the exception's name as `error`; and with `TimeLimit`, `MemoryLimit` and the like as that
    where it goes over a limit. An action that fails for good is a `RuntimeError` in the code.
    """
    allowed = {each.name: each for each in actions}
    local = [name for name, each in allowed.items() if not each.component]
    if local:
        raise DefinitionError(f"code calls actions of components, and {local[0]} is a step")
    names = frozenset(inputs)
    place = place_of(text, sys._getframe(1))
    source = cleaned(text)
    components = components_of(source, names) | {each.component for each in allowed.values()}
    read = Code.parse(source, names, components, place)
    problems = [
        CodeProblem(each.line, each.column, f"this code may not call {each.name}: {_may(allowed)}")
        for each in read.uses
        if each.name not in allowed
    ]
    if problems:
        raise CodeError(place, problems)
    called = {each.name for each in read.uses}
    return CodeStep(read, title, {name: each for name, each in allowed.items() if name in called})


def _may(allowed: Mapping[str, Action[..., Any]]) -> str:
    if not allowed:
        return "give it under actions="
    return f"of actions, it is given {', '.join(sorted(allowed))}"


def _connection(action: Action[..., Any], config: type[Config]) -> str | None:
    """The config's field whose connection an action is called with."""
    wanted = action.shape.connection_type
    if wanted is None:
        return None
    fitting = [
        name
        for name, field in config.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Connection)
        and issubclass(field.annotation, wanted)
    ]
    if len(fitting) != 1:
        has = " and ".join(fitting) or "none"
        raise DefinitionError(
            f"code calls {action.name} with the config's one connection of {action.component}; "
            f"{config.__name__} has {has}"
        )
    return fitting[0]
