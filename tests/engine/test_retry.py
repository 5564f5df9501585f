import random
from datetime import timedelta

import pytest

from halflap.engine.retry import TryAgain, again
from halflap.errors import EgressRefused, RateLimited, RetryLater, Unauthorized, UpstreamError
from halflap.sdk.action import NEVER, Retry
from tests.cases import for_each

CHANCE = random.Random(1)
SECOND = 1_000_000
STEADY = Retry(attempts=3, first=timedelta(seconds=1), jitter=0)


@for_each(
    ("error", "tries", "expected"),
    [
        (UpstreamError(status=503), 1, TryAgain("retry", SECOND)),
        (UpstreamError(status=None), 2, TryAgain("retry", 2 * SECOND)),
        (TimeoutError(), 1, TryAgain("retry", SECOND)),
        (ConnectionResetError(), 1, TryAgain("retry", SECOND)),
        (UpstreamError(status=503), 3, None),
        (UpstreamError(status=422), 1, None),
        (Unauthorized(), 1, None),
        (EgressRefused(), 1, None),
        (ValueError(), 1, None),
        (RetryLater(timedelta(minutes=1)), 99, TryAgain("later", 60 * SECOND)),
        (RetryLater(60), 99, TryAgain("later", 60 * SECOND)),
        (RateLimited(retry_after=7.5), 99, TryAgain("later", 15 * SECOND // 2)),
        (RateLimited(retry_after=timedelta(0)), 99, TryAgain("later", 0)),
        (RateLimited(retry_after=timedelta(hours=9)), 1, TryAgain("later", 9 * 3600 * SECOND)),
        (RateLimited(), 1, TryAgain("later", SECOND)),
    ],
)
def test_an_error_decides_whether_and_when_a_step_is_tried_again(
    error: Exception, tries: int, expected: TryAgain | None
) -> None:
    assert again(error, STEADY, tries, 0, CHANCE) == expected


def test_a_status_stands_in_one_list_and_is_one_of_a_failure() -> None:
    with pytest.raises(ValueError, match="423 stands in `on` and in `not_on`"):
        Retry(on=(423,), not_on=(423,))
    with pytest.raises(ValueError, match="200 is no status of a failure"):
        Retry(on=(200,))


def test_a_jitter_is_a_share_of_the_wait() -> None:
    for jitter in (-0.1, 1.1, 30):
        with pytest.raises(ValueError, match="from 0 to 1"):
            Retry(jitter=jitter)


def test_by_default_a_step_is_tried_ten_times_in_about_eight_minutes() -> None:
    steady, waited = Retry(jitter=0), 0
    for tries in range(1, steady.attempts):
        found = again(UpstreamError(status=503), steady, tries, waited, CHANCE)
        assert found is not None
        waited += found.wait
    assert again(UpstreamError(status=503), steady, steady.attempts, waited, CHANCE) is None
    assert steady.attempts == 10
    assert 8 * 60 * SECOND < waited < 9 * 60 * SECOND


@pytest.mark.parametrize("error", [UpstreamError(status=500), TimeoutError(), ConnectionError()])
def test_a_step_in_doubt_is_not_tried_again(error: Exception) -> None:
    assert again(error, STEADY, 1, 0, CHANCE) is not None
    assert again(error, STEADY, 1, 0, CHANCE, in_doubt=True) is None


def test_the_hundredth_wait_is_the_longest() -> None:
    patient = Retry(attempts=1000, jitter=0)
    found = again(UpstreamError(status=503), patient, 100, 0, CHANCE)
    assert found == TryAgain("retry", 600 * SECOND)


def test_a_step_that_is_never_retried_is_not() -> None:
    assert again(UpstreamError(status=503), NEVER, 1, 0, CHANCE) is None


def test_the_wait_for_an_app_that_says_no_time_grows_up_to_the_longest() -> None:
    waits = [again(RateLimited(), STEADY, 1, each * SECOND, CHANCE) for each in (0, 100, 10**6)]
    assert waits == [TryAgain("later", wait * SECOND) for wait in (1, 50, 600)]
