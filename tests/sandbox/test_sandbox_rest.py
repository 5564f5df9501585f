"""The parts that the small REST apps of the sandbox share; the tests of each have the rest of it."""

from __future__ import annotations

from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from starlette.requests import Request
from starlette.responses import Response

from halflap_sandbox import github, serving
from halflap_sandbox.poster import Poster
from halflap_sandbox.rest import choose_account
from tests.loopback import on_loopback

ACCOUNTS = {"1": "Initech", "2": "<Globex> & sons"}


def chosen(**asked: str) -> Response:
    """Answer a sign-in of the app `mine`."""
    request = Request({"type": "http", "query_string": urlencode(asked).encode(), "headers": []})

    def grant(account: str, back: str) -> str:
        return f"{account} for {back}"

    return choose_account(request, "Acme", "mine", "place", ACCOUNTS, grant)


def test_a_sign_in_of_an_app_that_is_not_known_is_refused():
    for asked in ({"client_id": "other", "redirect_uri": "/back"}, {"client_id": "mine"}, {}):
        answer = chosen(place="1", **asked)
        assert (answer.status_code, "location" in answer.headers) == (400, False), asked


def test_a_sign_in_to_a_named_account_goes_back_with_a_code_and_the_state():
    answer = chosen(client_id="mine", redirect_uri="/back", place="1", state="a&b")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/back?code=1+for+%2Fback&state=a%26b"


def test_a_sign_in_without_an_account_shows_them_as_texts():
    for place in ({}, {"place": "3"}):
        answer = chosen(client_id="mine", redirect_uri="/back", state='"><b>', **place)
        page = bytes(answer.body).decode()
        assert answer.status_code == 200
        assert "&lt;Globex&gt; &amp; sons</a>" in page
        assert "<Globex>" not in page
        assert page.count("<a href=") == 2
        assert "&amp;place=2" in page
        assert "<b>" not in page


async def test_a_post_follows_no_redirect():
    seen = list[str]()

    async def receive(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"location": "/elsewhere"}, text="moved")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receive)
    poster = Poster(timeout=60)
    async with on_loopback(app) as url:
        posted = await poster.post(f"{url}/hook", b"{}", {})
        await poster.close()
    assert (posted.status, posted.body, posted.is_taken, seen) == (302, b"moved", False, ["/hook"])


async def test_github_refuses_as_the_real_one_does():
    app = github.create_app(accounts=["initech"])
    async with serving(app) as url, aiohttp.ClientSession() as http:
        auth = {"authorization": "Bearer ghp_initech"}
        issues = f"{url}/repos/initech/hello/issues"
        async with http.post(issues, data="{", headers=auth) as response:
            answer = await response.json()
            assert (response.status, answer["message"]) == (400, "Problems parsing JSON")
        slow = {"rate_limit_per_s": 0.001}
        async with http.post(f"{url}/sandbox/faults", json=slow) as response:
            assert response.status == 200
        async with http.get(issues, headers=auth) as response:
            assert response.status == 200
        async with http.get(issues, headers=auth) as response:
            assert response.status == 403
            assert response.headers["x-ratelimit-remaining"] == "0"
            assert int(response.headers["retry-after"]) > 900
