"""The OpenAPI document, and every route of it with bad ids, bad bodies and bad tokens."""

from typing import Any

import pytest

from halflap.api.app import SECURITY
from halflap.api.door import OPEN
from tests.api.conftest import ORDERS
from tests.cases import for_each

RECEIVE = """

@integration.preprocess(trigger=webhook.request(), shared=True)
async def receive(ctx: Context[Settings], event: Any) -> None:
    \"\"\"Everything, for all customers.\"\"\"
"""
KEY = {"name": "a program", "rights": ["read"]}
METHODS = {"get", "post", "patch", "delete", "put"}
BAD_NAMES = ["nobody", "exe_none", "ins_none", "con_none", "..", "'; --", "\x00", "💥", "x" * 5_000]
READ = [
    b'{"name": 7}',
    b'{"values": 1e999999, "config": 1e999999}',
    b'{"unknown": true}',
    b'{"customer": "nobody", "integration": "none", "name": "a", "version": "1", "state": "s",'
    b' "code": "c", "redirect_uri": "x"}',
]
"""Bodies that a route's own model reads."""
UNREADABLE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"name": "\\ud800"}',
    b"[" * 100_000,
]
"""Bodies that are refused before, in one place for all routes."""
BAD_QUERIES = [
    {},
    {"limit": "0", "wait": "-1", "after": "-1", "dead_letters": "perhaps"},
    {"limit": "1e9", "wait": "nan", "after": "9" * 30, "overwrite": "?"},
    {"customer": "nobody", "instance": "nobody", "execution": "exe_x", "endpoint": "x"},
    {"customer": "\x00", "instance": "💥", "state": "done", "key": "\x00", "before": "\x00"},
]


EVERY = pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["some", "every"]
)
"""Each route gets some of what all routes treat alike, the next route others; in the soak, everything."""


def some_of(all: list[Any], at: int, many: int, *, every: bool) -> list[Any]:
    """Return so many for a route, by its place in the document; or all of them."""
    return all if every else [all[(at + each) % len(all)] for each in range(many)]


def takes(operation: dict[str, Any], query: dict[str, str]) -> bool:
    """Return whether a route reads any of a query's parameters."""
    return any(each.get("name") in query for each in operation.get("parameters", ()))


made: list[dict[str, Any]] = []


@pytest.fixture
async def document(world: Any) -> dict[str, Any]:
    """The document, which is the same in every world, and takes long to make."""
    if not made:
        made.append(await world.api.get("/api/openapi.json"))
    return made[0]


def routes(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]
    assert len(found) > 35
    return found


async def test_every_route_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    ids: list[str] = []
    for path, method, operation in routes(document):
        ids.append(operation["operationId"])
        for status, response in operation["responses"].items():
            if status >= "4":
                assert list(response["content"]) == ["application/problem+json"], (path, status)
        if path == "/api/health":
            continue
        assert operation["description"].endswith((".", "`")), path
        is_open = (path, method.upper()) in OPEN
        assert operation["security"] == ([] if is_open else SECURITY)
        wanted = {"401", "422", "500", "503"} | ({"404"} if "{" in path else set())
        assert wanted <= set(operation["responses"]), (method, path)
        success = [each for each in operation["responses"] if each < "4"]
        assert success, path
        for status in success:
            content = operation["responses"][status].get("content", {})
            assert status in ("204", "302") or all(each["schema"] for each in content.values())
            assert content or status in ("204", "302"), (method, path, status)
    assert len(ids) == len(set(ids))


async def test_every_integer_that_a_route_is_asked_with_is_bounded(
    document: dict[str, Any],
) -> None:
    """No store holds more than 63 bits."""
    asked: list[str] = []
    for path, methods in document["paths"].items():
        for parameter in (
            each for route in methods.values() for each in route.get("parameters", ())
        ):
            shown = parameter["schema"]
            kinds = shown.get("anyOf", [shown])
            numbers = [each for each in kinds if each.get("type") == "integer"]
            asked += [parameter["name"] for _ in numbers]
            for each in numbers:
                assert each.get("maximum", 2**63) < 2**63, (path, parameter["name"])
    assert {"limit", "before"} <= {*asked}


async def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


async def test_no_route_answers_without_the_token(world: Any, document: dict[str, Any]) -> None:
    for path, method, _ in routes(document):
        if (path, method.upper()) not in OPEN:
            refused = await world.api(method.upper(), path, {}, token="another")
            assert (refused.status, refused.kind) == (401, "TokenRefused"), path


@EVERY
@for_each("query", BAD_QUERIES)
async def test_whatever_is_asked_a_route_never_fails_of_itself(
    world: Any, document: dict[str, Any], query: dict[str, str], every: bool
) -> None:
    for at, (path, method, operation) in enumerate(routes(document)):
        if query and not (every or takes(operation, query)):
            continue
        bodies = [b"{}"]
        if "requestBody" in operation and not query:
            bodies = [*READ, *some_of(UNREADABLE, at, 1, every=every)]
        names = BAD_NAMES[:2] if query else some_of(BAD_NAMES, at, 2, every=every)
        names = names if "{" in path else names[:1]
        for body in bodies:
            for name in names if body == bodies[0] else names[:1]:
                parts = [name if each.startswith("{") else each for each in path.split("/")]
                headers = {"content-type": "application/json"}
                answer = await world.api(
                    method.upper(), "/".join(parts), body=body, headers=headers, **query
                )
                told = (method, path, name[:20], body[:40], query, answer.body[:300])
                assert answer.status < 500, told
                if answer.status >= 400:
                    problem = answer.json
                    assert answer.kind, told
                    assert problem["status"] == answer.status
                    assert problem["detail"], told
                    assert str(answer.status) in operation["responses"] or answer.status == 405, (
                        told
                    )


async def receiver(world: Any, customer: str) -> str:
    url = {"url": f"{world.shop.url}/hooks"}
    return (await world.api("POST", f"/api/customers/{customer}/receivers", url)).json["id"]


@EVERY
async def test_whatever_is_asked_of_what_is_there_no_route_fails_of_itself(
    world: Any, document: dict[str, Any], every: bool
) -> None:
    await world.publish(world.bundle(orders=ORDERS + RECEIVE))
    instance = await world.instance()
    ids = {
        "{flow}": "receive",
        "{customer}": instance["customer"],
        "{integration}": "orders",
        "{version}": "1",
        "{connection}": instance["connections"]["shop"],
        "{instance}": instance["id"],
        "{execution}": await world.send(instance, {}, flow="waiting"),
        "{bulk}": (await world.api("POST", "/api/bulks", {})).json["id"],
        "{user}": (await world.api("POST", "/api/users", {"email": "a@b.c"})).json["id"],
        "{key}": (await world.api("POST", "/api/keys", KEY)).json["id"],
        "{draft}": (await world.api("POST", "/api/drafts", {"integration": "new"})).json["id"],
        "{editor}": "window",
        "{node}": "n1",
        "{receiver}": await receiver(world, instance["customer"]),
    }
    reached = 0
    for at, (path, method, operation) in enumerate(routes(document)):
        if "{" not in path or method == "delete":
            continue
        place = "/".join(ids.get(each, each) for each in path.split("/"))
        unreadable = some_of(UNREADABLE, at, 1, every=every)
        for body in [*READ, *unreadable] if "requestBody" in operation else [b""]:
            headers = {"content-type": "application/json"}
            answer = await world.api(method.upper(), place, body=body, headers=headers)
            told = (method, place, body[:40], answer.body[:300])
            assert answer.status < 500, told
            missing = (
                b"no longer kept",
                b"has no URL for a flow",
                b"no unrouted event",
                b"no event type",
            )
            optional = b"version" in body or any(each in answer.body for each in missing)
            assert answer.status != 404 or optional, told
            assert str(answer.status) in operation["responses"], told
            reached += answer.status < 300

        for query in BAD_QUERIES if method == "get" else []:
            if query and not (every or takes(operation, query)):
                continue
            answer = await world.api("GET", place, **query)
            assert answer.status < 500, (place, query, answer.body[:300])

    assert reached >= 10


@for_each("name", ["", "  ", "a/b", "..", ".", "a\nb", "x" * 121, "\x00"])
async def test_a_name_that_could_not_stand_in_a_path_is_refused(world: Any, name: str) -> None:
    refused = await world.api("POST", "/api/customers", {"name": name})

    assert (refused.status, set(refused.json["fields"])) == (422, {"name"})


async def test_a_body_without_a_content_type_is_json(world: Any) -> None:
    added = await world.api("POST", "/api/customers", body=b'{"name": "Initech"}')

    assert added.status == 201
