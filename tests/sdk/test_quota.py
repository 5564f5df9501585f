"""The limits that an app's answers tell: the matrix of status, `Retry-After` and the quota headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from multidict import CIMultiDict, CIMultiDictProxy

from halflap.sdk.egress import Response
from halflap.sdk.response import Rest, asked_to_rest
from tests.cases import for_each

NOW = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
LATER = "Thu, 26 Nov 2026 10:00:45 GMT"
DAY_AFTER = "Fri, 27 Nov 2026 10:00:00 GMT"
PAST = "Thu, 26 Nov 2026 09:00:00 GMT"


def answer(status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, CIMultiDictProxy(CIMultiDict(named)), b"", "https://app.example", "GET", NOW
    )


def seconds(count: float | None) -> Rest:
    return Rest(None if count is None else timedelta(seconds=count))


@for_each(
    ("response", "rest"),
    [
        (answer(200), None),
        (answer(503), None),
        (answer(500, Retry_After="9"), None),
        (answer(429), seconds(None)),
        (answer(429, Retry_After="soon"), seconds(None)),
        (answer(429, Retry_After="30"), seconds(30)),
        (answer(429, Retry_After="0"), seconds(0)),
        (answer(429, Retry_After=LATER), seconds(45)),
        (answer(429, Retry_After=PAST), seconds(0)),
        (answer(429, Retry_After=DAY_AFTER), seconds(3_600)),
        (answer(429, Retry_After="99999999"), seconds(3_600)),
        (answer(503, Retry_After="30"), seconds(30)),
        (answer(503, Retry_After=LATER), seconds(45)),
        (answer(429, X_RateLimit_Remaining="0", X_RateLimit_Reset="17"), seconds(17)),
        (
            answer(429, Retry_After="5", X_RateLimit_Remaining="0", X_RateLimit_Reset="17"),
            seconds(5),
        ),
        (answer(200, X_RateLimit_Remaining="1", X_RateLimit_Reset="17"), None),
        (answer(200, X_RateLimit_Remaining="0", X_RateLimit_Reset="17"), seconds(17)),
        (answer(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(EPOCH + 60)), seconds(60)),
        (answer(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=f"{EPOCH + 60}000"), seconds(60)),
        (answer(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(EPOCH - 60)), seconds(0)),
        (
            answer(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(EPOCH + 90_000)),
            seconds(3_600),
        ),
        (answer(200, X_RateLimit_Remaining="0"), None),
        (answer(200, X_RateLimit_Remaining="none"), None),
        (answer(200, RateLimit_Remaining="0", RateLimit_Reset="8"), seconds(8)),
        (answer(200, RateLimit="limit=100, remaining=0, reset=30"), seconds(30)),
        (answer(200, RateLimit="limit=100, remaining=4, reset=30"), None),
        (answer(200, RateLimit='"default";r=0;t=12'), seconds(12)),
        (answer(200, RateLimit='"default";r=50;t=12'), None),
        (answer(200, RateLimit="nothing that can be read"), None),
    ],
    ids=repr,
)
def test_an_answer_says_for_how_long_the_app_is_not_to_be_called(
    response: Response, rest: Rest | None
):
    assert asked_to_rest(response) == rest
