"""Records by their ids, for events that tell only which records changed.

An action with `batch=` takes many ids and returns `Records`. A flow may give it any number: it is asked
for each id once in an execution, so many at a time, each batch a step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Generic, TypeVar, get_origin

from halflap.errors import DefinitionError
from halflap.sdk.schema import Model, Shape

T = TypeVar("T")
R = TypeVar("R")

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
