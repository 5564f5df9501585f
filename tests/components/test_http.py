"""HTTP: any API, as its customer describes it."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest
from pydantic import SecretStr

from halflap import EgressRefused, ExpressionError, Unauthorized, UpstreamError, expr, http
from halflap.testing import Fake


async def test_each_way_in_is_shown_to_the_api(fake: Fake) -> None:
    fake.get("/me", answers={})
    await http.get(fake.connection(http.Http, token=SecretStr("t")), "/me")
    await http.get(fake.connection(http.Http, username="u", password=SecretStr("p:1")), "/me")
    await http.get(fake.connection(http.Http, header="X-Key", key=SecretStr("k")), "/me")
    sent = [each.headers for each in fake.requests]
    assert sent[0]["Authorization"] == "Bearer t"
    assert sent[1]["Authorization"] == f"Basic {base64.b64encode(b'u:p:1').decode()}"
    assert sent[2]["X-Key"] == "k"
    assert "Authorization" not in sent[2]


async def test_numbers_keep_every_digit_both_ways(fake: Fake) -> None:
    fake.post("/echo", answers=lambda sent: sent.json)
    value = {"id": 2**63 + 1, "price": Decimal("0.10000000000000000001")}
    assert await http.post(fake.connection(http.Http), "/echo", json=value) == value


async def test_the_whole_answer_of_a_request(fake: Fake) -> None:
    fake.delete("/things/1", status=409, json={"why": "in use"})
    api = fake.connection(http.Http)
    answer = await http.request(api, "DELETE", "/things/1", fail=False)
    assert (answer.status, answer.body) == (409, {"why": "in use"})
    with pytest.raises(UpstreamError, match="409") as caught:
        await http.request(api, "DELETE", "/things/1")
    assert caught.value.status == 409


async def test_a_connection_is_tested_where_it_names_a_probe(fake: Fake) -> None:
    fake.get("/health", status=401, json={})
    with pytest.raises(Unauthorized):
        await fake.connection(http.Http, probe="/health").test()
    with pytest.raises(NotImplementedError):  # shown as "not tested"
        await fake.connection(http.Http).test()


async def test_pages_are_followed_to_the_end(fake: Fake) -> None:
    fake.get("/list", answers=lambda sent: {"items": [1, 2] if "page" not in sent.params else [3]})
    assert await http.pages(fake.connection(http.Http), "/list", items="items") == [1, 2]


async def test_a_number_or_a_boolean_in_the_query_is_written_as_json_writes_it(fake: Fake) -> None:
    fake.get("/x", answers=[])
    api = fake.connection(http.Http)
    given = {"n": 10, "d": Decimal("1.10"), "f": 1.0, "yes": True, "no": False, "t": "006"}
    sent = {"n": "10", "d": "1.10", "f": "1.0", "yes": "true", "no": "false", "t": "006"}
    for call in (http.get, http.pages):
        await call.fitted()(api, "/x", params=given)
        assert fake.requests[-1].params == sent
    await http.request.fitted()(api, "GET", "/x", params=given)
    assert fake.requests[-1].params == sent
    for wrong in (None, [1], {"a": 1}):
        with pytest.raises(ExpressionError, match="a text or true or false or a number"):
            await http.get.fitted()(api, "/x", params={"a": wrong})


async def test_credentials_are_not_sent_to_another_host(fake: Fake) -> None:
    with pytest.raises(Unauthorized, match="not the app of this connection"):
        await http.get(fake.connection(http.Http, token=SecretStr("t")), "https://evil.example/x")
    assert fake.requests == []


async def test_what_an_expression_does_not_find_is_not_sent(fake: Fake) -> None:
    """A member that is `UNSET` is left out; as a text, `UNSET` would be sent."""
    fake.get("/x", answers={})
    fake.post("/x", answers={})
    api = fake.connection(http.Http)
    nothing = expr.maybe("event.name", event={})
    some = {"a": "1", "b": nothing}
    await http.get.fitted()(api, "/x", params=some)
    assert fake.requests[-1].params == {"a": "1"}
    deep = {"a": {"b": nothing, "c": [1, nothing]}}
    await http.post.fitted()(api, "/x", json=deep, headers={"X-A": "1", "X-B": nothing})
    assert fake.requests[-1].json == {"a": {"c": [1, None]}}
    assert "X-B" not in fake.requests[-1].headers
    await http.request.fitted()(api, "GET", "/x", params=some, headers={"X-B": nothing})
    assert (fake.requests[-1].params, "X-B" in fake.requests[-1].headers) == ({"a": "1"}, False)
    with pytest.raises(EgressRefused, match="value id is empty"):
        await http.get.fitted()(api, "/x/{id}", values={"id": nothing})
    await api.get("/x", headers={"X-B": nothing}, params={"b": nothing})
    assert (fake.requests[-1].params, "X-B" in fake.requests[-1].headers) == ({}, False)
