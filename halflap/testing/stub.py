"""Run a step in a test: by its stub, by the action itself against a fake, or refuse clearly."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from halflap.errors import DefinitionError, HalflapError
from halflap.sdk import running
from halflap.sdk.action import Action
from halflap.sdk.integration import Flow
from halflap.sdk.running import idempotency_key
from halflap.sdk.schema import UNSET
from halflap.sdk.trigger import first_line
from halflap.testing.result import Done

MISSING: Any = object()


class in_turn:  # noqa: N801 (reads as a word among stubs)
    """Answers for the calls of an action, one each: `in_turn(None, account)`.

    A plain list in `stubs` means the same, unless the action itself returns such a list.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def next(self, name: str, number: int) -> Any:
        """The answer to a call."""
        if number > len(self.answers):
            raise DefinitionError(
                f"the stub of {name} has {len(self.answers)} answers, and this is call "
                f"{number}; add one, or give one answer for all calls"
            )
        return self.answers[number - 1]


class Stubs:
    """Runs the steps of one execution, and remembers what it ran."""

    def __init__(
        self,
        stubs: Mapping[Any, Any],
        fail: Mapping[Any, list[Exception]],
        *,
        networked: bool,
    ) -> None:
        self._stubs = {name_of(key): value for key, value in stubs.items()}
        self._fail = {name_of(key): list(errors) for key, errors in fail.items()}
        self._networked = networked
        self.done: dict[tuple[str, str], list[Done]] = {}
        self.mistakes: list[HalflapError] = []
        self._called: dict[str, int] = {}

    async def perform(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Run an action as a step."""
        inputs = self._note(action, arguments)
        if self._fail.get(action.name):
            raise self._fail[action.name].pop(0)
        try:
            return await self._answer(action, inputs, arguments)
        except DefinitionError as error:
            self.mistakes.append(error)
            raise

    def _note(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Note a try of a step, and return what it was given."""
        step = running.step.get()
        assert step is not None
        inputs = {
            each.name: arguments[each.name]
            for each in action.shape.inputs
            if arguments.get(each.name, UNSET) is not UNSET
        }
        tries = self.done.setdefault((step.root, step.path), [])
        tries.append(Done(action, inputs, idempotency_key(step.root, step.path, 1)))
        return inputs

    async def _answer(
        self, action: Action[..., Any], inputs: dict[str, Any], arguments: Mapping[str, Any]
    ) -> Any:
        stub: Any = self._stubs.get(action.name, MISSING)
        if stub is MISSING:
            if self._networked or action.pure or not action.component:
                return await action.invoke(**arguments)
            raise DefinitionError(
                f"no network in tests: stub {action.name} (stubs={{{action.name}: …}}), or give "
                "fake=… and register what the app answers"
            )
        if isinstance(stub, list) and not fits(action, cast(Any, stub)):
            stub = in_turn(*cast(list[Any], stub))
        stub = cast(Any, stub)
        if isinstance(stub, in_turn):
            stub = stub.next(action.name, self.times(action.name))
        if callable(stub) and not isinstance(stub, type):
            stub = stub(**inputs)
            if inspect.isawaitable(stub):
                stub = await stub
        if isinstance(stub, Exception):
            raise stub
        if isinstance(stub, type) and issubclass(stub, Exception):
            raise stub
        return checked(action, stub)

    def flow(self, flow: Flow[Any, Any, Any]) -> Flow[Any, Any, Any]:
        """A flow that is called, or what stands for it: one that answers as its stub says."""
        name = name_of(flow)
        if name not in self._stubs:
            return flow
        stub: Any = self._stubs[name]

        async def answer(ctx: Any, event: Any) -> Any:
            self._called[name] = number = self._called.get(name, 0) + 1
            given = stub.next(name, number) if isinstance(stub, in_turn) else stub
            if callable(given) and not isinstance(given, type):
                given = given(event)
                given = await given if inspect.isawaitable(given) else given
            if isinstance(given, Exception):
                raise given
            return given

        return with_function(flow, answer)

    @property
    def unused(self) -> list[str]:
        """The actions and flows whose stubs were never called."""
        return [
            name.removeprefix("flow ")
            for name in self._stubs
            if not self.times(name) and name not in self._called
        ]

    def times(self, action: str) -> int:
        """Return the number of times that an action was run."""
        return sum(each.action.name == action for tries in self.done.values() for each in tries)


def with_function(
    flow: Flow[Any, Any, Any], function: Callable[[Any, Any], Awaitable[Any]]
) -> Flow[Any, Any, Any]:
    """Return a flow that does something else."""
    made = copy.copy(flow)
    made.function = function
    return made


def name_of(key: Any) -> str:
    """An action's dotted name; what is stubbed is an action, or the name of one."""
    if isinstance(key, Flow):
        return f"flow {cast('Flow[Any, Any, Any]', key).name}"
    if isinstance(key, str | Action):
        return key if isinstance(key, str) else cast(Action[..., Any], key).name
    raise DefinitionError(f"{key!r} is no action; stub an action (acme.find_account) or its name")


def fits(action: Action[..., Any], value: Any) -> bool:
    """Return whether a value is what the action returns."""
    try:
        action.shape.output_adapter.validate_python(value)
    except ValueError:
        return False
    return True


def checked(action: Action[..., Any], value: Any) -> Any:
    """A stub's answer; one that the action could not return is a mistake of the test."""
    try:
        return action.shape.output_adapter.validate_python(value)
    except ValueError as error:
        raise DefinitionError(
            f"the stub of {action.name} is not what it returns: {first_line(error)}"
        ) from error
