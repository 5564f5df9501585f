"""Errors as problems: the whole tree has a place."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

from halflap import errors
from halflap.api import app, problem
from halflap.sdk import openapi
from tests.cases import for_each

STATUSES = {
    "HalflapError": 500,
    "DefinitionError": 422,
    "ResultRefused": 422,
    "ConfigError": 422,
    "Rejected": 401,
    "InputsRefused": 422,
    "InvalidEvent": 422,
    "FilterFailed": 422,
    "Unrouted": 422,
    "Removed": 410,
    "ExpressionError": 422,
    "CodeFailed": 422,
    "WorkerLost": 503,
    "UpstreamError": 502,
    "Thrown": 502,
    "RateLimited": 502,
    "Unauthorized": 502,
    "EgressRefused": 422,
    "RetryLater": 503,
    "Backlogged": 429,
    "Cancel": 409,
    "StepFailed": 502,
    "TimedOut": 504,
    "Conflict": 409,
    "Overruled": 409,
    "TooManyHops": 409,
    "Nondeterminism": 409,
    "StoreError": 503,
    "StoreLocked": 503,
    "StoreFull": 503,
    "BlobLost": 500,
    "InDoubt": 503,
    "Fenced": 409,
    "NotFound": 404,
}
TREE = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.HalflapError)
]


def test_every_error_of_the_tree_has_its_status() -> None:
    others = {
        errors.RetryLater: errors.RetryLater(timedelta(seconds=3)),
        errors.Backlogged: errors.Backlogged(timedelta(seconds=3)),
        errors.Cancel: errors.Cancel("nothing to do"),
    }
    assert {kind.__name__ for kind in TREE} == set(STATUSES)
    for kind in TREE:
        error = others.get(kind) or kind("it says this")
        shown = problem.of(error)
        assert shown.status == STATUSES[kind.__name__], kind
        if kind is not errors.HalflapError:
            assert (shown.kind, shown.type) == (kind.__name__, f"/errors/{kind.__name__}")
            assert shown.detail == error.message


def test_what_an_error_knows_is_told() -> None:
    config = problem.of(errors.ConfigError("wrong", fields={"a.b": "is missing"}))
    definition = problem.of(errors.DefinitionError("wrong", where="orders.py:3"))
    upstream = problem.of(errors.UpstreamError("no", status=500, body="x" * 9_000))

    assert config.fields == {"a.b": "is missing"}
    assert definition.where == "orders.py:3"
    assert upstream.upstream is not None
    assert (upstream.upstream.status, len(upstream.upstream.body)) == (500, 2_000)


@for_each(
    ("error", "seconds"),
    [
        (errors.StoreFull(), "2"),
        (errors.RateLimited(retry_after=timedelta(seconds=7.4)), "7"),
        (errors.RetryLater(timedelta(milliseconds=5)), "1"),
        (errors.Backlogged(timedelta(seconds=10)), "10"),
        (errors.RateLimited(), None),
        (errors.NotFound(), None),
    ],
)
def test_what_passes_says_when(error: errors.HalflapError, seconds: str | None) -> None:
    assert problem.answer_error(error).headers.get("retry-after") == seconds


def below(kind: type[Exception]) -> Iterator[type[Exception]]:
    """All classes of errors below one."""
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def test_every_kind_of_a_problem_is_in_the_reference() -> None:
    assert app  # with all routes, all errors are loaded, but for that of documents of apps
    assert openapi.UnsupportedSpecification
    page = Path("docs/reference/errors.md").read_text("utf-8")
    tree, api = page.split("## At the API")
    rooms = ("halflap.api.", "halflap.store.", "halflap.sdk.", "halflap.lowcode.")
    own = {
        each.__name__ for each in below(errors.HalflapError) if each.__module__.startswith(rooms)
    }
    told = {name for row in api.splitlines() if row.startswith("| `") for name in names_in(row)}
    assert told == own | set(get_args(problem.ApiKind))
    assert {each.__name__ for each in TREE} <= {
        name for row in tree.splitlines() for name in names_in(row)
    }


def names_in(row: str) -> list[str]:
    """The names in the first cell of a table's row."""
    return (
        row.split("|")[1].replace("`", "").replace(" ", "").split(",")
        if row.startswith("| `")
        else []
    )
