"""`fake`: real actions against answers that a test registers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import Field, SecretStr

from halflap import (
    Connection,
    DefinitionError,
    File,
    Model,
    RateLimited,
    Reply,
    UpstreamError,
    http,
)
from halflap.testing import Fake, Sent


class Point(Model):
    x: int


class Signed(Connection):
    base_url: str = "https://signed.example/v3"
    token: SecretStr

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}


@pytest.fixture
def api(fake: Fake) -> Signed:
    return fake.connection(Signed, token=SecretStr("t-1"))


async def test_what_was_sent_is_there_to_look_at(fake: Fake, api: Signed) -> None:
    fake.put("/points/{name}", answers=Point(x=1))
    assert await api.put("/points/a", json={"x": 1}, params={"dry": True, "tag": ["a", "b"]}) == {
        "x": 1
    }
    (sent,) = fake.requests
    assert (sent.method, sent.path, sent.json) == ("PUT", "/points/a", {"x": 1})
    assert (sent.url, sent.params["dry"]) == (
        "https://signed.example/v3/points/a?dry=true&tag=a&tag=b",
        "true",
    )
    assert (sent.headers["authorization"], sent.idempotency_key) == ("Bearer t-1", None)


async def test_forms_and_files_are_there_to_look_at(fake: Fake, api: Signed) -> None:
    fake.post("/form").then(status=204)
    await api.post("/form", form={"a": "1 & 2"})
    await api.post("/form", files={"cv": File(b"%PDF", "cv.pdf")})
    assert fake.requests[0].form == {"a": "1 & 2"}
    assert fake.requests[1].files["cv"].data == b"%PDF"


async def test_the_route_with_the_most_params_answers_then_the_newest(
    fake: Fake, api: Signed
) -> None:
    fake.get("/a", params={"page": 2, "size": 1}, answers="both")
    fake.get("/a", params={"page": 2}, answers="page")
    fake.get("/a", answers="old")
    fake.get("/a", answers="new")
    asked = [{"page": 2, "size": 1}, {"page": 2}, {"page": 3}, {}]
    assert [await api.get("/a", params=each) for each in asked] == ["both", "page", "new", "new"]


async def test_a_literal_path_answers_before_a_pattern(fake: Fake, api: Signed) -> None:
    fake.get("/a/me", answers="me")
    fake.get("/a/{id}", answers="any")
    assert [await api.get(f"/a/{each}") for each in ("me", "you")] == ["me", "any"]


async def test_answers_come_in_turn_and_the_last_one_stays(fake: Fake, api: Signed) -> None:
    route = fake.get("/a", answers=1).then(2).then(error=UpstreamError("lost")).then(3)
    assert [await api.get("/a"), await api.get("/a")] == [1, 2]
    with pytest.raises(UpstreamError, match="lost"):
        await api.get("/a")
    assert [await api.get("/a"), await api.get("/a")] == [3, 3]
    assert len(route.requests) == 5


async def test_an_answer_may_be_computed_from_the_request(fake: Fake, api: Signed) -> None:
    def answer(sent: Sent) -> object:
        return sent.json["x"] + 1 if sent.json["x"] else Reply(404, "none")

    fake.post("/a", answers=answer)
    assert await api.post("/a", json={"x": 1}) == 2
    with pytest.raises(UpstreamError, match=r"answered 404: none"):
        await api.post("/a", json={"x": 0})


async def test_statuses_go_through_the_real_mapping_of_errors(fake: Fake, api: Signed) -> None:
    fake.get("/a", status=429, headers={"Retry-After": "3"}).then(status=302)
    with pytest.raises(RateLimited) as slower:
        await api.get("/a")
    assert slower.value.retry_after == timedelta(seconds=3)
    with pytest.raises(UpstreamError, match="redirects are off"):
        await api.get("/a")


async def test_a_broken_connection_is_an_error_as_the_real_client_raises_it(
    fake: Fake, api: Signed
) -> None:
    fake.get("/a", error=TimeoutError()).then(error=ConnectionResetError())
    for reason in ("no whole answer", "connection broke"):
        with pytest.raises(UpstreamError, match=reason) as broken:
            await api.get("/a")
        assert broken.value.retryable


async def test_what_cannot_be_sent_is_refused_as_in_production(fake: Fake, api: Signed) -> None:
    fake.post("/a", answers={})
    with pytest.raises(DefinitionError, match="give one"):
        await api.post("/a", json={}, body=b"")


async def test_two_apps_are_told_apart_by_whole_urls(fake: Fake, api: Signed) -> None:
    other = fake.connection(http.Http, base_url="https://other.example")
    fake.get("https://other.example/a", answers="other")
    fake.get("https://signed.example/v3/a", answers="signed")
    assert [await other.get("/a"), await api.get("/a")] == ["other", "signed"]


async def test_an_unexpected_request_lists_what_is_registered(fake: Fake, api: Signed) -> None:
    fake.get("/a", params={"page": 1}, answers=[])
    with pytest.raises(DefinitionError, match=r"GET /a\?page=2; registered: GET /a\?page=1"):
        await api.get("/a", params={"page": 2})


async def test_a_file_and_a_stream_are_read(fake: Fake, api: Signed) -> None:
    fake.get("/f", answers=b"%PDF", headers={"Content-Type": "application/pdf"})
    assert (await api.file("/f")).data == b"%PDF"
    assert api._link is not None
    assert api._link.egress is not None
    async with api._link.egress.stream("GET", api.url("/f")) as download:
        assert [each async for each in download] == [b"%PDF"]


def test_a_connection_that_cannot_be_made_up_says_what_to_give(fake: Fake) -> None:
    class Odd(Connection):
        port: int

        def model_post_init(self, context: object) -> None:
            if self.port < 1000:
                raise ValueError("too low")

    with pytest.raises(DefinitionError, match=r"too low.*fake\.connection\(Odd, …\)"):
        fake.connection(Odd)
    assert fake.connection(Odd, port=8080).port == 8080


def test_a_made_up_field_need_not_keep_a_rule_but_a_given_one_does(fake: Fake) -> None:
    class Ruled(Connection):
        repository: str = Field(pattern="^[a-z]+/[a-z]+$")
        tenant: str = Field(pattern="^t-")
        token: SecretStr

    assert fake.connection(Ruled).token.get_secret_value() == "secret-token"
    assert fake.connection(Ruled, repository="octo/hello").repository == "octo/hello"
    with pytest.raises(DefinitionError, match="repository: does not fit the pattern"):
        fake.connection(Ruled, repository="octo")
    with pytest.raises(DefinitionError, match="no Ruled can be made up"):
        fake.connection(Ruled, other=1)
