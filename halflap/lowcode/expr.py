"""JSONata in Python: `expr("…", event=event)`, evaluated as a YAML integration evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

from halflap.errors import FAILURES, ExpressionError
from halflap.lowcode.asked import as_duration, as_items, as_scalar, as_status, as_text, as_truth
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.frame import error_of, plain
from halflap.lowcode.template import Names
from halflap.sdk import running
from halflap.sdk.request import Request
from halflap.sdk.schema import UNSET, Config, Json

_CHANCE = ("$random", "$shuffle")


@lru_cache(maxsize=4096)
def _parse(text: str) -> Expression:
    return Expression.parse(text).named()


def _names_in(text: str) -> frozenset[str]:
    return frozenset(each.path[0] for each in _parse(text).names())


class Expr:
    """Evaluates JSONata over named values: `expr("$round(event.seats * event.price, 2)", event=event)`.

    By the rules of expressions in YAML: exact numbers, what is missing is null, within a budget; a
    model is seen by the app's own names. Each text is read once. Raises `ExpressionError`.
    """

    def __call__(self, text: str, /, **names: Any) -> Json:
        """The value; None where there is none."""
        found = self.maybe(text, **names)
        return None if found is UNSET else found

    def maybe(self, text: str, /, **names: Any) -> Json:
        """The value; `UNSET` where there is none, by which a member or an input is left out."""
        expression = _parse(text)
        values = {name: seen(each) for name, each in names.items()}
        recorder = running.recording()
        if recorder is None:
            return expression.evaluate(Scope(values))
        seed = str(recorder.uuid()) if any(each in text for each in _CHANCE) else None
        return expression.evaluate(Scope(values, recorder.now(), seed))

    def truth(self, text: str, /, **names: Any) -> bool:
        """A condition; null counts as false, and anything but true and false is an error."""
        return as_truth(self(text, **names), text)

    def text(self, text: str, /, **names: Any) -> str:
        """A text, or a number as one; anything else is an error."""
        return as_text(self(text, **names), text)

    def items(self, text: str, /, **names: Any) -> list[Json]:
        """A list; null is none, and one value is a list of it."""
        return as_items(self(text, **names), text)

    def scalar(self, text: str, /, **names: Any) -> Json:
        """A text, a number, true, false or null, as `match` compares it; else an error."""
        return as_scalar(self(text, **names), text)

    def status(self, text: str, /, **names: Any) -> int:
        """The status of an HTTP answer."""
        return as_status(self(text, **names), text)

    def duration(self, text: str, /, **names: Any) -> timedelta:
        """A time: of a text such as `2 h`, or of a number of seconds."""
        return as_duration(self(text, **names), text)

    def filter(self, text: str, /) -> Callable[[Request], bool]:
        """A flow's `filter=`: a condition over a request's `event` (its body), `headers`, `query`.

        And over `config`, where the text names it: the flow gives it the config, too.
        """
        return filter_of(lambda names: self.truth(text, **names), _names_in(text))

    def sender(self, text: str, /) -> Callable[[Request], str | None]:
        """A pre-process flow's `sender=`: a text over a request, None where there is none."""
        return sender_of(lambda names: self(text, **names), _names_in(text))


expr = Expr()


def at(value: Json, /, *names: str) -> Json:
    """Return the value under a path, as an expression reads it; None where there is nothing.

    `at(event, "account", "name")` is the expression `event.account.name`: of a list, it is what
    stands in each of its items.
    """
    found = value
    for name in names:
        if type(found) is not dict:
            path = ".".join(f"`{each}`" for each in ("value", *names))
            return expr(path, value=value)
        found = cast("dict[str, Any]", found).get(name)
    return plain(found)


def names_of(request: Request, used: Collection[str]) -> dict[str, Any]:
    """Return the names that an expression over a request has, of which `used` are read."""
    return {
        "event": request.json() if "event" in used and request.body else None,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "query": request.params,
    }


def filter_of(truth: Callable[[Names], bool], used: Collection[str]) -> Callable[..., bool]:
    """Return the filter that a condition over a request's names is, and over the config's."""

    def holds(request: Request) -> bool:
        return truth(names_of(request, used))

    def with_config(request: Request, config: Config) -> bool:
        return truth({**names_of(request, used), "config": plain(config)})

    return with_config if "config" in used else holds


def sender_of(read: Callable[[Names], Any], used: Collection[str]) -> Callable[..., str | None]:
    """Return what a text over a request's names tells of its sender."""

    def sender(request: Request) -> str | None:
        found = read(names_of(request, used))
        return None if found is None else str(found)

    return sender


def seen(value: Any) -> Any:
    """A value as low-code sees it: as JSON, by the app's own names; an error as `catch` does."""
    if value is UNSET:
        return UNSET
    return error_of(value) if isinstance(value, (*FAILURES, ExpressionError)) else plain(value)
