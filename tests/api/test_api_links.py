"""Links to answer a waiting flow with, as a browser and a mail scanner open them."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from halflap.sdk.link import SignalLink, read_link, spelt, write_link
from tests.api.conftest import ORDERS
from tests.polling import DEADLINE

APPROVALS = (
    ORDERS
    + '''

@integration.flow(trigger=webhook.request())
async def approval(ctx: Context[Settings], event: Any) -> Any:
    """Asks for an answer, and says how to give it."""
    from datetime import timedelta
    text = "Refund <b>120 €</b>?"
    ctx.log.info(
        "asked",
        yes=ctx.signal_url("approved", "approve", text=text),
        no=ctx.signal_url("approved", "reject", text=text, within=timedelta(hours=1)),
        plain=ctx.signal_url("seen"),
    )
    first = await ctx.wait_for("approved")
    ctx.log.info("again", yes=ctx.signal_url("approved", "approve"))
    return [first, await ctx.wait_for("approved")]
'''
)


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish(world.bundle(orders=APPROVALS))
    return await world.instance()


async def links(world: Any, id: str, line: int = 0) -> dict[str, str]:
    """The links that the flow logged, as paths."""
    async with asyncio.timeout(DEADLINE):
        while True:
            logged = await world.api.items(f"/api/executions/{id}/logs")
            if len(logged) > line:
                return {name: urlsplit(url).path for name, url in logged[line]["fields"].items()}
            await asyncio.sleep(0.01)


async def opened(world: Any, method: str, path: str) -> tuple[int, str]:
    answer = await world.api(method, path, token=None)
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    # Sandboxed, it is no page of the console's origin.
    assert headers["content-security-policy"].startswith("sandbox allow-forms; default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    return answer.status, answer.body.decode()


async def sent(world: Any, id: str) -> list[bytes]:
    return [each.payload for each in await world.host.store.journal.signals(id)]


async def test_a_link_decides_nothing_until_its_button_is_pressed(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, {}, flow="approval")
    found = await links(world, id)
    for method in ("GET", "HEAD", "GET"):
        status, shown = await opened(world, method, found["yes"])
        assert status == 200
    assert '<form method="post"><button>Approve</button></form>' in shown
    assert "Refund &lt;b&gt;120 €&lt;/b&gt;?" in shown
    assert "<b>" not in shown
    assert await sent(world, id) == []
    status, shown = await opened(world, "POST", found["yes"])
    assert (status, "Thank you" in shown) == (200, True)
    assert await sent(world, id) == [b'{"choice":"approve"}']


async def test_of_the_links_of_one_question_one_counts_once(world: Any, instance: Any) -> None:
    id = await world.send(instance, {}, flow="approval")
    found = await links(world, id)
    answers = await asyncio.gather(*[opened(world, "POST", found["no"]) for _ in range(5)])
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    status, shown = await opened(world, "POST", found["yes"])
    assert (status, "answered already" in shown) == (409, True)
    again = await links(world, id, 1)  # that of the next question is another one
    assert (await opened(world, "POST", again["yes"]))[0] == 200
    ended = await world.ended(id)
    assert ended["result"] == [{"choice": "reject"}, {"choice": "approve"}]
    for method in ("GET", "POST"):
        for path in (found["plain"], again["yes"]):
            status, shown = await opened(world, method, path)
            assert (status, "This is over" in shown) == (410, True)


async def test_a_link_without_a_choice_sends_null(world: Any, instance: Any) -> None:
    id = await world.send(instance, {}, flow="approval")
    path = (await links(world, id))["plain"]
    assert ">Confirm</button>" in (await opened(world, "GET", path))[1]
    assert (await opened(world, "POST", path))[0] == 200
    assert await sent(world, id) == [b"null"]


async def test_what_was_not_signed_by_us_is_one_page_whatever_it_is(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, {}, flow="approval")
    token = (await links(world, id))["yes"].removeprefix("/signals/")
    said, signature = token.split(".", 1)
    forged = SignalLink(id, "approved", "approve", "x", 2**62)
    vault = world.host.store.vault
    tokens = [
        "",
        "x",
        said,
        f"{said}.",
        f"{said}.{vault.current}.",
        f"{said}A.{signature}",
        f"{said}={signature}",
        f"{said}=.{signature}",
        f"{said}.other.{signature.rpartition('.')[2]}",
        f"{said}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        write_link(forged, lambda data: signature),
        write_link(forged, lambda data: vault.sign(b"")),
        f"{token}/more",
        "é" * 10,
        "a" * 9_000,
    ]
    pages = {
        await opened(world, method, f"/signals/{t}") for t in tokens for method in ("GET", "POST")
    }
    [(status, shown)] = pages
    assert (status, "not valid" in shown) == (404, True)
    assert (await opened(world, "DELETE", f"/signals/{token}"))[0] == 404
    assert await sent(world, id) == []
    good = write_link(forged, vault.sign)  # the control: ours are taken
    assert (await opened(world, "POST", f"/signals/{good}"))[0] == 200


SENDING = (
    ORDERS
    + """

@integration.flow(trigger=webhook.request())
async def sending(ctx: Context[Settings], event: Any) -> None:
    url = ctx.signal_url("approved")
    await shop.find_order(ctx.config.shop, url)
    raise ValueError(f"it was sent to {url} in vain")
"""
)


async def test_a_link_is_masked_however_it_is_cut_and_not_found_by_its_token(world: Any) -> None:
    await world.publish(world.bundle(orders=SENDING))
    instance = await world.instance()
    id = await world.send(instance, {}, flow="sending")
    await world.ended(id)
    where = {"path": f"/api/executions/{id}/inputs", "step": "shop.find_order"}
    whole = (await world.api("GET", **where)).body
    _, _, token = whole.decode().partition("/signals/")
    token = token.partition('"')[0]
    said, key, signature = token.split(".")
    reader = await world.token(instance["customer"], "read")
    masked = (await world.api("GET", **where, token=reader)).body
    assert masked == whole.replace(token.encode(), b"*" * len(token))
    for begin, end in ((0, 60), (70, 400), (len(whole) - 30, len(whole)), (100, 101)):
        range = {"range": f"bytes={begin}-{end - 1}"}
        part = await world.api("GET", **where, token=reader, headers=range)
        assert (part.status, part.body) == (206, masked[begin:end])

    async def found(text: str, token: str = world.api.token) -> bytes:
        answer = await world.api("GET", "/api/search", q=text, limit=1, token=token)
        assert answer.status == 200
        return answer.body

    # It is told of no guess, whether it is right or not, by what is found or by where a page ends.
    for text in (signature, signature[:5], f"{key}.{signature[:1]}", said[-9:]):
        assert await found(text, reader) == await found("no such text", reader)
        assert id.encode() in await found(text)
    shown = await found('"id":"http', reader)
    assert id.encode() in shown
    assert signature[:5].encode() not in shown
    page = await world.api.items("/api/executions", reason=signature[:5], token=reader)
    assert page == []
    [failed] = await world.api.items("/api/executions", reason="in vain")
    assert "/signals/***" in failed["reason"]


async def test_an_expired_link_says_so(world: Any, instance: Any) -> None:
    id = await world.send(instance, {}, flow="approval")
    now = world.host.clock()
    old = SignalLink(id, "approved", "approve", "x", now - 1, '"><script>alert(1)</script>')
    path = f"/signals/{write_link(old, world.host.store.vault.sign)}"
    for method in ("GET", "POST"):
        status, shown = await opened(world, method, path)
        assert (status, "has expired" in shown, "<script>" in shown) == (410, True, False)
    assert await sent(world, id) == []


async def test_a_link_to_nothing_that_is_kept_is_over(world: Any, instance: Any) -> None:
    link = SignalLink("exe_gone", "approved", "", "x", 2**62)
    path = f"/signals/{write_link(link, world.host.store.vault.sign)}"
    for method in ("GET", "POST"):
        assert (await opened(world, method, path))[0] == 410


def test_a_token_says_what_was_written() -> None:
    link = SignalLink("exe_1", "näme", "yes", "once", 5, "text")
    token = write_link(link, lambda data: spelt(data[::-1]))
    assert read_link(token, lambda data, signature: signature == spelt(data[::-1])) == link
    assert read_link(token, lambda data, signature: False) is None
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
