"""Versions through the API: published where they load, shown in full, never deployed over blindly."""

from typing import Any

from halflap.api.operations.comparing import (
    MOST_COMPARED,
    MOST_FILES,
    MOST_LINES,
    MOST_TEXT,
    compare_file,
    compare_files,
)
from tests.api.conftest import ORDERS
from tests.cases import for_each


async def test_a_version_is_published_to_a_target_and_shown_in_full(world: Any) -> None:
    bundle = world.bundle()

    hash = await world.publish(bundle, note="the first")

    assert hash == bundle.hash
    [listed] = await world.api.items("/api/integrations")
    assert (listed["name"], listed["title"]) == ("orders", "Orders to the shop")
    assert listed["targets"] == {"dev": hash}
    assert [(each["number"], each["note"]) for each in listed["versions"]] == [(1, "the first")]
    for named in ("1", hash, hash[:12], "dev"):
        shown = await world.api.get(f"/api/integrations/orders/versions/{named}")
        assert shown["hash"] == hash
    assert shown["connections"] == {"shop": "shop:Shop"}
    assert set(shown["config"]["properties"]) == {"label", "discount"}
    assert shown["config"]["required"] == ["label"]
    flows = {each["name"]: (each["trigger"], each["subscribes"]) for each in shown["flows"]}
    assert flows["incoming"] == ("webhook.request", False)
    assert flows["changed"] == ("shop.order_changed", True)
    assert shown["files"].keys() == {"orders.py", "shop.py"}


async def test_a_target_that_moved_on_is_not_deployed_over(world: Any) -> None:
    first = await world.publish(world.bundle(label="1"))
    second = await world.publish(world.bundle(label="2"), expect=first)
    third = world.bundle(label="3").to_bytes()

    blind = await world.api("POST", "/api/versions", body=third)
    stale = await world.api("POST", "/api/versions", body=third, expect=first)

    for refused in (blind, stale):
        assert (refused.status, refused.kind) == (412, "OvertakenVersion")
        assert second[:12] in refused.json["detail"]
        assert refused.json["draft"]["newest"] == {"number": 2, "hash": second}
        assert "--- a/orders.py" in refused.json["draft"]["lines"]
        assert "-# 2\n+# 3" in refused.json["draft"]["lines"]
    [listed] = await world.api.items("/api/integrations")
    assert len(listed["versions"]) == 2
    forced = await world.api("POST", "/api/versions", body=third, expect=first, overwrite=1)
    assert (forced.status, forced.json["number"]) == (201, 3)
    # The same bundle is the same version, which may be promoted as it is.
    assert await world.publish(world.bundle(label="1"), target="production") == first
    [listed] = await world.api.items("/api/integrations")
    assert (listed["targets"]["production"], len(listed["versions"])) == (first, 3)


@for_each(
    ("text", "said"),
    [
        ("import nowhere_at_all\n", "orders.py"),
        ("integration = 1\n", "is no Integration"),
        ("def broken(:\n", "not valid Python"),
        ("raise SystemExit\n", "orders.py:1"),
    ],
)
async def test_a_version_that_does_not_load_is_not_published(
    world: Any, text: str, said: str
) -> None:
    from halflap.engine.bundle import Bundle, _hash
    from halflap.engine.lock import lock_of

    files = (("orders.py", text.encode()),)
    lock = lock_of(set(), ())
    bundle = Bundle(_hash("orders:integration", files, lock), "orders:integration", files, lock)

    refused = await world.api("POST", "/api/versions", body=bundle.to_bytes())

    assert (refused.status, refused.kind) == (422, "DefinitionError"), refused.body
    assert said in refused.json["detail"]
    assert await world.api.items("/api/integrations") == []


async def test_a_bundle_that_was_damaged_is_refused(world: Any) -> None:
    data = world.bundle().to_bytes()
    for damaged in (b"", b"{}", data[:-10], data.replace(b"Settings", b"Settingz")):
        refused = await world.api("POST", "/api/versions", body=damaged)
        assert (refused.status, refused.kind) == (422, "DefinitionError")
    large = await world.api("POST", "/api/versions", body=bytes(14 * 1024 * 1024))
    assert (large.status, large.kind) == (413, "TooLarge")


async def test_what_lint_calls_an_error_is_not_published(world: Any) -> None:
    await world.publish()
    clock = ORDERS.replace("    await ctx.sleep(3_600)", "    time.time()").replace(
        "from decimal", "import time\nfrom decimal", 1
    )
    excused = clock.replace("time.time()", "time.time()  # halflap: ignore[HF001]")

    async def published(text: str) -> Any:
        bundle = world.packed("orders:integration", {"orders.py": text})
        return await world.api("POST", "/api/versions", body=bundle.to_bytes(), target="staging")

    refused = await published(clock)
    assert refused.status == 422
    assert "HF001" in refused.json["detail"]
    assert refused.json["where"].startswith("orders.py:")
    assert (await published(excused)).status == 201
    # A secret in a config could not be sealed.
    secret = await published(ORDERS.replace("    label: str\n", "    label: SecretStr\n"))
    assert (secret.status, "'label' is a secret" in secret.json["detail"]) == (422, True)


async def test_components_show_the_schemas_of_their_forms(world: Any) -> None:
    listed = {each["name"]: each for each in await world.api.get("/api/components")}

    assert {"http", "webhook", "schedule", "instance"} <= set(listed)
    get = next(each for each in listed["http"]["actions"] if each["name"] == "http.get")
    assert get["description"]
    assert "path" in get["inputs"]["properties"] or "url" in get["inputs"]["properties"]
    assert listed["http"]["connection"]["properties"]["token"]["anyOf"][0]["writeOnly"] is True
    refund = next(e for e in listed["stripe"]["actions"] if e["name"] == "stripe.create_refund")
    assert refund["inputs"]["properties"]["reason"]["enum"][0] == "duplicate"
    assert refund["output"]["properties"]["id"] == {"type": "string"}
    short = await world.api.get("/api/components", schemas="false")
    assert [each["name"] for each in short] == list(listed)
    actions = next(each["actions"] for each in short if each["name"] == "stripe")
    assert all(each["title"] and each["inputs"] == each["output"] == {} for each in actions)


async def test_a_versions_outline_is_read_from_what_was_published(world: Any) -> None:
    await world.publish(world.bundle())

    shown = await world.api("GET", "/api/integrations/orders/versions/dev/outline")

    assert (shown.status, shown.json["name"], shown.json["language"]) == (200, "orders", "python")
    flows = {each["name"]: each for each in shown.json["flows"]}
    listed = (await world.api.get("/api/integrations/orders/versions/dev"))["flows"]
    assert {name: each["trigger"] for name, each in flows.items()} == {
        each["name"]: each["trigger"] for each in listed
    }
    assert any(each["kind"] == "action" for flow in flows.values() for each in flow["steps"])
    gone = await world.api("GET", "/api/integrations/orders/versions/9/outline")
    assert gone.status == 404


async def test_an_integration_says_who_has_which_version_and_what_failed(world: Any) -> None:
    first = await world.publish()
    one = await world.instance(await world.customer("One"), "one")
    await world.instance(await world.customer("Two"), "two")
    world.shop.broken = True
    await world.ended(await world.send(one, {"id": "o1", "amount": 1}))
    body, key = world.bundle(label="2").to_bytes(), await world.key("publish")
    await world.api("POST", "/api/versions", body=body, target="", token=key)

    found = await world.api.get("/api/integrations/orders")

    assert found["instances"] == {first: 2}
    assert found["components"] == ["webhook", "shop", "shop:Shop"]
    assert found["failed_24h"] == 1
    assert [each["published_by"] for each in found["versions"]] == ["k", ""]
    assert await world.api.items("/api/integrations") == [found]
    missing = await world.api("GET", "/api/integrations/none")
    assert (missing.status, "integrations list" in missing.json["detail"]) == (404, True)


async def test_two_versions_are_compared_by_files_flows_and_config(world: Any) -> None:
    await world.publish(world.bundle(orders=BEFORE))
    after = BEFORE.replace("label: str", "label: str\n    size: int\n    note: str = ''")
    after = after.replace("NOTE = 1\n", "").replace("sleep(60)", "sleep(90)")
    await world.publish(world.bundle(orders=after), target="")

    diff = await world.api.get("/api/integrations/orders/diff", from_="1", to="2")

    assert (diff["before"]["number"], diff["after"]["number"], diff["left_out"]) == (1, 2, 0)
    [file] = diff["files"]
    assert (file["path"], file["change"], file["added"], file["removed"]) == (
        "orders.py",
        "changed",
        3,
        2,
    )
    assert "+    size: int" in file["text"].splitlines()
    [flow] = diff["flows"]
    assert [(each["change"], each["kind"]) for each in flow["steps"]] == [("changed", "sleep")]
    assert [(e["name"], e["change"], e["asked"]) for e in diff["config"]] == [
        ("size", "added", True),
        ("note", "added", False),
    ]
    back = await world.api.get("/api/integrations/orders/diff", from_="2", to="1")
    assert [(each["name"], each["change"]) for each in back["config"]] == [
        ("size", "removed"),
        ("note", "removed"),
    ]
    same = await world.api.get("/api/integrations/orders/diff", from_="2", to="2")
    assert (same["files"], same["flows"], same["config"]) == ([], [], [])
    gone = await world.api("GET", "/api/integrations/orders/diff", from_="1", to="9")
    assert gone.status == 404


BEFORE = '''
from typing import Any

from halflap import Config, Context, Integration, webhook

NOTE = 1


class Settings(Config):
    label: str


integration = Integration("orders", config=Settings)


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Settings], event: Any) -> None:
    """Wait."""
    await ctx.sleep(60)
'''


def test_files_that_are_too_large_or_no_text_are_named_without_a_diff() -> None:
    large, lines, picture = b"x" * (MOST_TEXT + 1), b"\n" * (MOST_COMPARED + 1), b"\xff\xfe"
    before = {"large": b"", "lines": b"", "picture": b"", "same": b"1", "gone": b"a\n"}
    after = {"large": large, "lines": lines, "picture": picture, "same": b"1", "new": b"b\nc\n"}
    found, left = compare_files(before, after)
    assert left == 0
    assert [(each.path, each.change, each.left_out.partition(":")[0]) for each in found] == [
        ("gone", "removed", ""),
        ("large", "changed", "too large to compare"),
        ("lines", "changed", "has more than 10,000 lines"),
        ("new", "added", ""),
        ("picture", "changed", "is not text"),
    ]
    assert (found[3].added, found[3].text.splitlines()[0]) == (2, "--- /dev/null")
    many = {f"{at}": b"" for at in range(MOST_FILES + 3)}
    assert [len(compare_files({}, many)[0]), compare_files({}, many)[1]] == [MOST_FILES, 3]
    changed = compare_file("a", b"", b"".join(b"%d\n" % at for at in range(MOST_LINES + 10)))
    assert changed.left_out == "13 more lines"
    assert changed.added == MOST_LINES + 10


FORMER = (
    ORDERS
    + """
from halflap import Component, Request, Retry
from halflap.sdk.request import header

OFTEN = Retry(jitter=30)
teller = Component("teller")


def id_of(request: Request) -> Any:
    return header("X Id")(request) or request.json()["id"]


@teller.trigger(dedupe="/id")
async def told(request: Request) -> Any:
    'Something was told.'
    return request.json()


@teller.trigger(dedupe=id_of)
async def told_once(request: Request) -> Any:
    'Something was told once.'
    return request.json()


@integration.flow(trigger=told_once())
async def once(ctx: Context[Settings], event: Any) -> None:
    'Does nothing.'


@integration.flow(trigger=told())
async def former(ctx: Context[Settings], event: Any) -> Any:
    'Does what is refused as it is reached.'
    Retry(attempts=0)
    ctx.signal_url("approved")
    return await ctx.wait_for("approved", type=int)
"""
)


async def test_what_was_published_before_it_was_refused_runs_as_it_ran(world: Any) -> None:
    bundle = world.bundle(orders=FORMER)
    refused = await world.api("POST", "/api/versions", body=bundle.to_bytes())
    assert (refused.status, "jitter is a share" in refused.json["detail"]) == (422, True)
    published = world.host.store.catalogue.versions.publish
    await published("orders", bundle.hash, bundle.to_bytes())

    instance = await world.instance()
    first = await world.send(instance, {"id": "1"}, flow="once")
    assert (
        await world.send(instance, {"id": "1"}, flow="once") == first
    )  # the function is run there
    id = await world.send(instance, {"id": "1"}, flow="former")
    path = f"/api/executions/{id}/signals/approved"
    sent = await world.api("POST", path, body=b"7", headers={"content-type": "application/json"})

    assert sent.status == 200, sent.body
    await world.ended(id)
    shown = (await world.api("GET", f"/api/executions/{id}")).json
    assert (shown["state"], shown["result"]) == ("succeeded", 7)
