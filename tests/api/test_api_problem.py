"""Errors as problems: the whole tree has a place."""

from datetime import timedelta

import pytest

from halflap import errors
from halflap.api import problem

STATUSES = {
    "HalflapError": 500,
    "DefinitionError": 422,
    "ConfigError": 422,
    "Rejected": 401,
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


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.StoreFull(), "2"),
        (errors.RateLimited(retry_after=timedelta(seconds=7.4)), "7"),
        (errors.RetryLater(timedelta(milliseconds=5)), "1"),
        (errors.RateLimited(), None),
        (errors.NotFound(), None),
    ],
)
def test_what_passes_says_when(error: errors.HalflapError, seconds: str | None) -> None:
    assert problem.answer_error(error).headers.get("retry-after") == seconds
