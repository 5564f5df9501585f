"""The API's door: who comes in, what every answer carries, what an error of ours does not tell."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from halflap.api.app import create_app
from tests.cases import for_each


async def test_health_is_told_to_anybody(world: Any) -> None:
    for token in (None, "another"):
        answer = await world.api("GET", "/api/health", token=token)
        assert (answer.status, answer.json["status"]) == (200, "ok")
        assert str(world.host.settings.dir) not in str(answer.json)
        assert answer.json["store"] is answer.json["running"] is None
    assert (await world.api("HEAD", "/api/health", token=None)).status == 200

    answer = await world.api("GET", "/api/health", token=world.api.token)
    assert answer.json["running"] == 0
    assert answer.json["store"]["path"] == str(world.host.settings.dir)
    assert answer.json["uptime_seconds"] >= 0


@for_each("token", [None, "", "another", "the-token-of-these-tests-and-more", "ä"])
async def test_without_the_token_nothing_is_told(world: Any, token: str | None) -> None:
    for path in ("/api/customers", "/api/openapi.json", "/api/nowhere", "/api", "/api/health/x"):
        refused = await world.api("GET", path, token=token)
        assert (refused.status, refused.kind) == (401, "TokenRefused")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json["detail"].startswith("Send the token" if token is None else "The token")


async def test_a_token_is_taken_as_a_bearers_only(world: Any) -> None:
    for scheme, status in (("Basic", 401), ("bearer", 200), ("Bearer", 200)):
        headers = {"authorization": f"{scheme} {world.api.token}"}
        answer = await world.api("GET", "/api/customers", token=None, headers=headers)
        assert answer.status == status


async def test_every_answer_forbids_to_be_run_framed_or_kept(world: Any) -> None:
    for token in (None, world.api.token):
        answer = await world.api("GET", "/api/customers", token=token)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_path_that_there_is_not_is_a_problem(world: Any) -> None:
    for path in ("/api/nowhere", "/nowhere", "/api/customers/", "/api/customers/a/b"):
        missing = await world.api("GET", path)
        assert (missing.status, missing.kind) == (404, "NoSuchRoute")
        assert missing.json["type"] == "about:blank"


async def test_a_method_that_a_path_has_not_is_answered_with_those_it_has(world: Any) -> None:
    refused = await world.api("PUT", "/api/customers")

    assert (refused.status, refused.kind) == (405, "MethodNotAllowed")
    assert refused.headers["allow"] == "GET, POST"


async def test_an_error_of_ours_tells_nothing_of_its_insides(world: Any) -> None:
    catalogue = SimpleNamespace(audit=None)
    operations = cast(Any, SimpleNamespace(people=SimpleNamespace(catalogue=catalogue)))
    broken = type(world.api)(create_app(operations, "t", str, world.host.pulse), "t")

    answer = await broken("GET", "/api/customers")

    assert (answer.status, answer.kind) == (500, "InternalError")
    assert b"NoneType" not in answer.body


async def test_a_store_that_is_gone_is_a_503_to_be_tried_again(world: Any) -> None:
    await world.host.store.database.close()

    answer = await world.api("POST", "/api/customers", {"name": "Initech"})

    assert (answer.status, answer.kind) == (503, "StoreError")
    assert int(answer.headers["retry-after"]) >= 1


def test_an_app_without_a_token_is_not_made() -> None:
    with pytest.raises(ValueError, match="token"):
        create_app(cast(Any, None), "", str, cast(Any, None))
