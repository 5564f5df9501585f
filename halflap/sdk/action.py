"""An action: an async function of a component, with typed inputs and a typed output."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_origin, overload

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from halflap.errors import DefinitionError, ExpressionError
from halflap.model import StepKind, frozen
from halflap.sdk import running
from halflap.sdk.compatibility import refuse
from halflap.sdk.fit import fit_input, misfit
from halflap.sdk.pairs import RecordState, Writes, check_writes
from halflap.sdk.schema import UNSET, InputField, Model, Shape, read_signature, summary, where

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Retry:
    """A policy of tries: how often, and how soon, a failed step is tried again. By default 10 tries
    in about 8 minutes.

    `attempts` counts all tries, the first one too. The wait doubles from `first` up to `longest`,
    each with up to `jitter` (a share) taken off at random. What the app says in `Retry-After` wins.
    While the whole app is away (its circuit is open) no tries are spent, for `away` at the most.

    408, 425, 429 and 5xx are tried again, other statuses of the app fail at once: `on` lists statuses
    to try again as well, `not_on` those to fail at. A 409 is tried again where it answers a repeated
    request whose idempotency key the app honours: it is still at work on the former one. A request
    that may have been carried out is not repeated by `on` either.
    """

    attempts: int = 10
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=10)
    jitter: float = 0.5
    away: timedelta = timedelta(hours=24)
    on: tuple[int, ...] = ()
    not_on: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first, self.longest, self.away) < timedelta(0):
            refuse(ValueError("a Retry has one try at least, and waits that are not negative"))
        if not 0 <= self.jitter <= 1:
            refuse(ValueError(f"jitter is a share of the wait, from 0 to 1, and not {self.jitter}"))
        wrong = next((each for each in (*self.on, *self.not_on) if not 400 <= each <= 599), None)
        if wrong is not None:
            raise ValueError(f"{wrong} is no status of a failure; give statuses from 400 to 599")
        both = sorted({*self.on} & {*self.not_on})
        if both:
            raise ValueError(f"{both[0]} stands in `on` and in `not_on`; leave it out of one")

    def wait(self, tries: int, chance: random.Random) -> timedelta:
        """The wait after `tries` failed tries."""
        longest = min(self.first * 2 ** min(max(tries - 1, 0), 30), self.longest)
        return longest * (1 - self.jitter * chance.random())


NEVER = Retry(attempts=1)


@frozen
class StepSpec:
    """A step's specification, as its record has it. `asked` is what it writes, where that is
    declared.

    name: by default, that of its path. adapter: of the result. as_json: the flow gets the result as
    the record holds it. repeatable: a second time does no harm. looks_up: asks before that whether it
    was made.
    """

    kind: StepKind
    title: str
    name: str = ""
    retry: Retry = Retry()
    pure: bool = False
    adapter: TypeAdapter[Any] | None = None
    writes: Writes | None = None
    asked: RecordState | None = None
    as_json: bool = False
    repeatable: bool = False
    looks_up: bool = False

    @property
    def settles_doubts(self) -> bool:
        """True of a step that is done again though it may have been carried out."""
        return self.repeatable or self.looks_up

    def name_at(self, path: str) -> str:
        """Return the name of the step at a path."""
        return self.name or path.rsplit("/", 1)[-1].partition("#")[0]

    @property
    def reader(self) -> TypeAdapter[Any] | None:
        """The adapter through which the flow gets the result."""
        return None if self.as_json else self.adapter


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an action with its inputs by name: what a test compares a step with."""

    action: str
    inputs: tuple[tuple[str, Any], ...]

    def __repr__(self) -> str:
        return f"{self.action}({', '.join(f'{name}={value!r}' for name, value in self.inputs)})"


class Action(Generic[P, R]):
    """An async function that an author calls: a step in a flow, a plain function elsewhere."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        component: str,
        connection_type: type[Any] | None,
        name: str | None = None,
        title: str | None = None,
        pure: bool = False,
        retry: Retry = Retry(),
        timeout: timedelta | None = None,
        example: Any = None,
        writes: Writes | None = None,
        repeatable: bool = False,
        lookup: Callable[..., Awaitable[Any]] | None = None,
        batch: int | None = None,
    ) -> None:
        self.function = function
        self.component = component
        self.short_name = name or function.__name__
        self.name = f"{component}.{self.short_name}" if component else self.short_name
        self.title = title or self.short_name.replace("_", " ").capitalize()
        self.pure = pure
        self.retry = retry
        self.timeout = timeout
        self.example = example
        self.writes = writes
        self.repeatable = repeatable or pure
        self.is_patient = False
        """Its time-out lengthens that of each of its requests, too (see `within`)."""
        self.lookup = lookup
        self.batch = batch
        self.as_json = False
        """True if a flow gets the result as its record holds it, by the app's own names."""
        self.fits = False
        """True if a call's inputs are made to fit before it is a step (see `fitted`)."""
        self.where = where(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._connection_type = connection_type
        self._check(lookup, batch)
        update_wrapper(self, function)

    def _check(self, lookup: Callable[..., Awaitable[Any]] | None, batch: int | None) -> None:
        shape = self.shape
        if lookup and (unknown := set(inspect.signature(lookup).parameters) - {*self.parameters}):
            raise DefinitionError(
                f"{self.name}: its lookup takes {', '.join(sorted(unknown))}, which the action does "
                "not; give it parameters of the action, by their names",
                where=where(lookup),
            )
        if batch is not None:
            check_batch(shape, self.name, batch, self.where)
        if self.writes is not None:
            check_writes(self.writes, [*shape.by_name], shape.output, self.name, self.where)
        if self.component and not shape.description:
            raise DefinitionError(
                f"{self.name}: the docstring is missing; its first line is shown to customers",
                where=self.where,
            )

    # Read as it is defined; an action of a specification, as it is first needed.

    @cached_property
    def shape(self) -> Shape:
        """Its inputs, its connection and its output."""
        return read_signature(self.function, connection_type=self._connection_type)

    @cached_property
    def validators(self) -> list[tuple[str, Callable[[Any], Any]]]:
        """Checks of the inputs' values, by their names; an input that takes any value has none."""
        checked = [each for each in self.shape.inputs if each.annotation is not Any]
        return [(each.name, each.adapter.validator.validate_python) for each in checked]

    @cached_property
    def description(self) -> str:
        """Its first sentences, as customers read them."""
        return summary(self.function)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature by which it is called."""
        return inspect.signature(self.function)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, its connection's as well."""
        return tuple(self.signature.parameters)

    @cached_property
    def _positional(self) -> tuple[str, ...]:
        return self._of_kind(_BY_PLACE)

    @cached_property
    def _by_name(self) -> frozenset[str]:
        return frozenset(self._of_kind(_BY_NAME))

    @cached_property
    def _required(self) -> frozenset[str]:
        parameters = self.signature.parameters.values()
        return frozenset(each.name for each in parameters if each.default is each.empty)

    def _of_kind(self, kinds: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple(each.name for each in self.signature.parameters.values() if each.kind in kinds)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        recorder = running.recording()
        if recorder is None and not self.fits and self.batch is None:
            return self.invoke(*args, **kwargs)
        bound = self.bind(args, kwargs)
        if self.fits:
            bound = dict(self._fitting(bound))
        if self.batch is not None:
            batched = self._in_batches(recorder, bound)
            return batched if recorder is None else recorder.calls.add(batched, self.name)
        if recorder is None:
            return self.invoke(**bound)
        return recorder.calls.add(recorder.call(self, bound), self.name)

    async def _in_batches(self, recorder: running.Recorder | None, bound: dict[str, Any]) -> Any:
        assert self.batch is not None

        async def ask(ids: list[str]) -> Any:
            given = {**bound, IDS: ids}
            return await (self.invoke(**given) if recorder is None else recorder.call(self, given))

        known: MutableMapping[str, Any] = {}
        if recorder is not None:
            known = recorder.known(self, {**bound, IDS: []})
        parts = await in_batches(bound[IDS], self.batch, known, ask)
        is_json = self.as_json and recorder is not None
        return parts if is_json else self.shape.output.model_construct(**parts)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name; what does not fit is a `TypeError`, as for any function."""
        bound = dict(zip(self._positional, args, strict=False), **kwargs)
        if (
            len(bound) == len(args) + len(kwargs)
            and kwargs.keys() <= self._by_name
            and bound.keys() >= self._required
        ):
            return bound
        try:
            return dict(self.signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None

    def invoke(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:
        """Run the function itself, as a plain function: nothing is recorded."""
        if self.is_async:
            return self.function(*args, **kwargs)
        return self._in_a_thread(*args, **kwargs)

    async def _in_a_thread(self, *args: Any, **kwargs: Any) -> R:
        context = copy_context()
        return await anyio.to_thread.run_sync(
            lambda: context.run(self.function, *args, **kwargs), abandon_on_cancel=True
        )

    @cached_property
    def spec(self) -> StepSpec:
        """Its step, as records have it."""
        return StepSpec(
            "action" if self.component else "step",
            self.title,
            self.name,
            self.retry,
            self.pure,
            None if self.shape.output is Any else self.shape.output_adapter,
            self.writes,
            None,
            self.as_json,
            self.repeatable,
            self.lookup is not None,
        )

    def _copied(self) -> Action[P, R]:
        other = copy.copy(self)
        other.__dict__.pop("spec", None)
        return other

    def titled(self, title: str) -> Action[P, R]:
        """The same action under another title: `await acme.create.titled("Create it")(…)`."""
        other = self._copied()
        other.title = title
        return other

    def retried(self, retry: Retry) -> Action[P, R]:
        """The same action, tried again otherwise: `await acme.create.retried(Retry(3))(…)`."""
        other = self._copied()
        other.retry = retry
        return other

    def within(self, timeout: timedelta) -> Action[P, R]:
        """The same action with another time-out: `await crm.find.within(timedelta(minutes=2))(…)`.

        It is that of one try; a longer one than the connection's (30 s) is that of its requests, too.
        """
        if timeout <= timedelta(0):
            raise ValueError(f"{self.name}: a time-out is longer than nothing")
        other = self._copied()
        other.timeout = timeout
        other.is_patient = True
        return other

    def untyped(self) -> Action[P, Any]:
        """The same action, whose result in a flow is JSON, by the app's own names, not a model."""
        other: Action[P, Any] = self._copied()
        other.as_json = True
        return other

    def fitted(self) -> Action[..., R]:
        """The same action, which makes its inputs fit what it declares: `await acme.update.fitted()(…)`.

        For values of no known type, such as those of `expr`, as low-code fits them: one value becomes
        a list where the input takes a list, `UNSET` is left out (None where the input is required). A
        value that does not fit is an `ExpressionError`, before the call is a step.
        """
        other: Action[..., R] = self._copied()
        other.fits = True
        return other

    def _fitting(self, bound: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        inputs = self.shape.by_name
        for name, value in bound.items():
            if name not in inputs:
                yield name, value
            elif value is not UNSET or inputs[name].required:
                yield name, self.fit(inputs[name], None if value is UNSET else value)

    def fit(self, given: InputField, value: Any) -> Any:
        """A value as an input takes it; `ExpressionError` where it does not fit."""
        try:
            return fit_input(given, value)
        except ValidationError as error:
            raise ExpressionError(
                f"{self.name}: the input {given.name} does not fit: {misfit(error, value)}"
            ) from error

    def call(self, **inputs: Any) -> Call:
        """A call with these inputs, to compare a test's steps with."""
        unknown = set(inputs) - {each.name for each in self.shape.inputs}
        if unknown:
            raise TypeError(f"{self.name} has no input {', '.join(sorted(unknown))}")
        return Call(self.name, tuple(sorted(inputs.items())))

    def __repr__(self) -> str:
        return f"<action {self.name}>"

    def __hash__(self) -> int:
        return hash((self.name, self.where))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Action)
            and self.name == other.name
            and self.function is other.function
        )


class ActionDecorator(Protocol):
    """`@component.action(…)`: makes an action of an async function, or of a plain one."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Action[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Action[P, R]: ...


@overload
def step(function: Callable[P, Awaitable[R]], /) -> Action[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Action[P, R]: ...
@overload
def step(
    *,
    title: str | None = None,
    pure: bool = False,
    retry: Retry = NEVER,
    timeout: timedelta | None = None,
) -> ActionDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    title: str | None = None,
    pure: bool = False,
    retry: Retry = NEVER,
    timeout: timedelta | None = None,
) -> Any:
    """Record a local function as a step: what it returns is kept, and it is not run again.

    For what is not a function of the event, the config and earlier steps: a clock, chance, a file,
    a slow computation.
    """

    def decorate(function: Callable[..., Any]) -> Action[..., Any]:
        return Action(
            function,
            component="",
            connection_type=None,
            title=title,
            pure=pure,
            retry=retry,
            timeout=timeout,
        )

    return decorate if function is None else decorate(function)


# Records by their ids, for events that tell only which records changed ----------------------------

IDS = "ids"
"""The input of an action with `batch=` that holds the ids."""


class Records(Model, Generic[T]):
    """The records of some ids: those that there are, and the ids of which there is none."""

    found: dict[str, T] = {}
    """The records by id."""

    missing: list[str] = []
    """The ids that name no record (any more), in the order in which they were asked for."""

    @staticmethod
    def of(ids: Iterable[str], records: Mapping[str, R]) -> Records[R]:
        """Return what was found of the ids that were asked for."""
        asked = list(dict.fromkeys(ids))
        return Records[R].model_construct(
            found={each: records[each] for each in asked if each in records},
            missing=[each for each in asked if each not in records],
        )


def check_batch(shape: Shape, name: str, batch: int, where: str) -> None:
    """Raise `DefinitionError` unless an action can be asked in batches."""
    ids, output = shape.by_name.get(IDS), shape.output
    is_records = isinstance(output, type) and issubclass(output, Records)
    if batch < 1 or ids is None or get_origin(ids.annotation) is not list or not is_records:
        raise DefinitionError(
            f"{name}: an action with batch= takes `ids: list[str]` and returns Records[…] of at least "
            "one at a time",
            where=where,
        )


async def in_batches(
    ids: Iterable[str],
    batch: int,
    known: MutableMapping[str, Any],
    ask: Callable[[list[str]], Awaitable[Any]],
) -> dict[str, Any]:
    """Ask for what is not known yet, a batch at a time; the parts of a `Records`.

    `known` has the record of each id that was asked for, or None where there is none.
    """
    asked = list(dict.fromkeys(ids))
    unknown = [each for each in asked if each not in known]
    for start in range(0, len(unknown), batch):
        some = unknown[start : start + batch]
        answer = await ask(some)
        parts: Mapping[str, Any] = vars(answer) if isinstance(answer, Records) else answer
        found: Mapping[str, Any] = parts["found"]
        known.update((each, found.get(each)) for each in some)
    return {
        "found": {each: known[each] for each in asked if known[each] is not None},
        "missing": [each for each in asked if known[each] is None],
    }
