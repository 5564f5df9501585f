"""Bodies from outside are decoded within bounds, and never for long where the loop runs."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap.errors import InvalidEvent
from halflap.sdk import _json, codec, decoding
from halflap.sdk.decoding import INLINE, Decoder, _assembled, decode_json, predecode
from halflap.sdk.request import Headers, Request, pointer, readings
from tests.cases import for_each
from tests.polling import DEADLINE

texts = st.text(st.sampled_from('ab[]{},":\\é\n')) | st.text(
    st.characters(exclude_categories=["Cs"])
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=60,
)

PADDING = b" " * INLINE
HOSTILE: dict[str, Callable[[], bytes]] = {
    "many nested arrays": lambda: (
        b'{"id":"1","a":[' + b",".join([b"[" * 90 + b"]" * 90] * 33_000) + b"]}"
    ),
    "wide arrays": lambda: b"[" + b",".join([b"[]"] * 2_000_000) + b"]",
    "wide objects": lambda: b'{"a":[' + b",".join([b"{}"] * 2_000_000) + b"]}",
    "many numbers": lambda: b"[" + b",".join([b"1.5"] * 1_500_000) + b"]",
    "one deep array": lambda: b"[" * 3_000_000,
    "one deep object": lambda: b'{"a":' * 1_000_000,
}


def tally(value: Any) -> tuple[int, int, int]:
    """Count values and containers, and measure the depth, in Python."""
    match value:
        case dict():
            found = [tally(each) for each in cast(dict[str, Any], value).values()]
        case list():
            found = [tally(each) for each in cast(list[Any], value)]
        case _:
            return 1, 0, 0
    return (
        1 + sum(each[0] for each in found),
        1 + sum(each[1] for each in found),
        1 + max((each[2] for each in found), default=0),
    )


def refused(monkeypatch: pytest.MonkeyPatch, raw: bytes, **limits: int) -> str:
    """Check a text under these limits; the reason for which it is refused, or nothing."""
    with monkeypatch.context() as patched:
        for name, limit in limits.items():
            patched.setattr(_json, name, limit)
        try:
            _json.check_size(raw, bounded=True)
        except codec.NotJson as error:
            return str(error)
    return ""


@given(values, st.sampled_from([None, 2]), st.booleans())
def test_the_scan_counts_what_a_decoder_finds(value: Any, indent: int | None, ascii: bool) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii).encode()
    _, containers, depth = tally(value)
    with pytest.MonkeyPatch.context() as patched:
        if depth:
            assert not refused(patched, raw, MAX_DEPTH=depth, MAX_CONTAINERS=containers)
            assert "nested" in refused(patched, raw, MAX_DEPTH=depth - 1)
            assert "arrays" in refused(patched, raw, MAX_DEPTH=0, MAX_CONTAINERS=containers - 1)
        else:
            assert not refused(patched, raw, MAX_DEPTH=0, MAX_CONTAINERS=0)


@given(st.lists(texts | st.integers()), st.sampled_from([None, 2]))
def test_the_scan_counts_values(value: list[Any], indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patched:
        assert not refused(patched, raw, MAX_DEPTH=1, MAX_CONTAINERS=1, MAX_VALUES=len(value) + 1)
        if len(value) > 1:
            told = refused(patched, raw, MAX_DEPTH=1, MAX_CONTAINERS=1, MAX_VALUES=len(value) - 1)
            assert "values" in told


@given(values, st.integers(1, 8))
def test_a_value_is_made_of_its_pieces_again(value: Any, size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_json, "PIECE", size)
        assembly = _json.Assembly()
        for piece in _json.pieces(value):
            assembly.take(codec.encode(piece))
    assert json.dumps(assembly.value) == json.dumps(value)  # in the same order, too


async def test_a_large_body_is_what_a_small_one_is() -> None:
    rows = [{"id": n, "amount": f"{n}.50", "text": "[é]"} for n in range(5_000)]
    raw = json.dumps({"rows": rows, "last": [1.5, None, True, 2**70]}, ensure_ascii=False).encode()
    raw = raw.replace(b'"amount": "', b'"amount": ').replace(b'.50"', b".50")
    found = await decode_json(raw)
    assert found == codec.decode(raw)
    assert str(found["rows"][7]["amount"]) == "7.50"
    assert await decode_json(b"[]" + PADDING) == []


@for_each("raw", [b"[1,]", b"", b'{"a": 1', b"[1e9999999]", b"\xff[]"])
async def test_a_large_body_is_refused_as_a_small_one_is(raw: bytes) -> None:
    with pytest.raises(codec.NotJson) as small:
        codec.decode(raw + b" ")
    with pytest.raises(codec.NotJson) as large:
        await decode_json(raw + b" " + PADDING)
    assert str(large.value).partition("(byte")[0] == str(small.value).partition("(byte")[0]


@for_each("kind", HOSTILE)
async def test_a_hostile_body_is_refused_before_anything_is_built(kind: str) -> None:
    raw = HOSTILE[kind]()
    with pytest.raises(codec.NotJson, match=r"more than|nested deeper"):
        await decode_json(raw)
    with pytest.raises(codec.NotJson, match=r"more than|nested deeper"):
        codec.decode(raw, bounded=True)


async def test_the_loop_goes_on_while_a_body_within_its_bounds_is_decoded() -> None:
    raw = b'{"a":[' + b",".join([b"[]"] * 249_000) + b"]}"
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    assert len((await decode_json(raw))["a"]) == 249_000
    beating.cancel()
    assert beats > 249  # at least one after each piece; a decoder in this process gives none


def test_a_decoder_that_takes_too_long_is_ended() -> None:
    hangs = Decoder(0.2, (sys.executable, "-c", "import time; time.sleep(600)"))
    begun = time.monotonic()
    with pytest.raises(codec.NotJson, match=r"not decoded within 0\.2 s"):
        hangs.parts("json", b"[]")
    assert time.monotonic() - begun < 60


def test_a_decoder_that_ends_is_started_once_more_and_then_told() -> None:
    with pytest.raises(codec.NotJson, match="too much memory"):
        Decoder(60, (sys.executable, "-c", "")).parts("json", b"[]")


def test_a_decoder_goes_on_after_its_process_was_killed() -> None:
    decoder = Decoder()
    assert decoder.parts("json", b"[1]")
    process = decoder._process
    assert process is not None
    process.kill()
    process.wait()
    assert decoder.parts("json", b"[1]")
    decoder.close()


def request_with(body: bytes, content_type: str) -> Request:
    """A request with that body."""
    return Request(
        method="POST",
        path="",
        headers=Headers([("Content-Type", content_type)]),
        body=body,
        url="https://h.example/hooks/x",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        query="",
    )


MULTIPART = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n'


async def test_a_request_has_what_was_decoded_at_hand() -> None:
    read = await predecode(request_with(b'{"a": 1}' + PADDING, "text/plain"))
    assert "json" in readings(read)
    assert read.json() == {"a": 1}
    utf16 = await predecode(
        request_with(('{"a": "é"}' + " " * INLINE).encode("utf-16"), "text/json; charset=utf-16")
    )
    assert "json" in readings(utf16)
    assert utf16.json() == {"a": "é"}
    xml = await predecode(request_with(b"<a><b/>" + PADDING + b"</a>", "text/xml"))
    assert "xml" in readings(xml)
    assert [each.tag for each in xml.xml()] == ["b"]
    content = FILE + PADDING + b"\r\n--b--\r\n"
    form = await predecode(request_with(content, MULTIPART))
    assert "form" in readings(form)
    assert [(each.name, len(each.data)) for each in form.files()] == [("n", INLINE)]
    assert "json" not in readings(await predecode(request_with(b"{}", "text/json")))
    assert "json" not in readings(await predecode(request_with(b"x" + PADDING, "text/plain")))


@for_each(
    "body",
    [
        b'{"id": "x", "a": [1.50, true, null, {"\xc3\xa9": 7}], "b": {}}',
        b'["x", [2]]',
        b"[1,]",
        b"<id>x</id>",
    ],
)
async def test_pointers_find_the_same_without_the_whole_value(body: bytes) -> None:
    paths = ["", "/id", "/a/0", "/a/1", "/a/2", "/a/3/é", "/a/9", "/b", "/0", "/1/0", "/1/00"]
    whole = request_with(body, "application/json")
    picked = await predecode(request_with(body + PADDING, "application/json"), paths)
    assert "json" not in readings(picked)
    assert [pointer(e)(picked) for e in paths] == [pointer(e)(whole) for e in paths]


async def test_a_value_takes_half_of_the_loops_time_while_it_is_put_together() -> None:
    """Others go on between its pieces, also where many are put together at once."""
    parts = [b'["open",null,[]]', *[b'["add",[' + b"1," * 9_999 + b"1]]"] * 40, b'["close"]']
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(others())
    values = await asyncio.gather(*(_assembled(parts) for _ in range(3)))
    running.cancel()
    assert [len(each.value) for each in values] == [400_000] * 3
    assert turns > 3 * 10 * len(parts)


@for_each(
    ("body", "content_type", "read"),
    [
        (HOSTILE["wide arrays"](), "application/json", Request.json),
        (b"[1,]" + PADDING, "application/json", Request.json),
        (b"<a>" + b"<b/>" * 300_000 + b"</a>", "text/xml", Request.xml),
        (b"<a>" * 30_000, "text/xml", Request.xml),
        (FILE + PADDING, MULTIPART, Request.form),
        (b"&".join([b"a=1"] * 20_000), "application/x-www-form-urlencoded", Request.form),
    ],
    ids=["wide", "no JSON", "elements", "levels", "cut off", "fields"],
)
async def test_what_cannot_be_decoded_is_told_as_if_it_had_been_read(
    body: bytes, content_type: str, read: Any
) -> None:
    with pytest.raises(InvalidEvent) as inline:
        read(request_with(body, content_type))
    request = await predecode(request_with(body, content_type))
    for _ in range(2):
        with pytest.raises(InvalidEvent) as apart:
            read(request)
        assert apart.value.message == inline.value.message


FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]


@pytest.mark.parametrize("content_type", FORMS)
async def test_json_that_is_called_a_form_is_decoded_apart_too(content_type: str) -> None:
    body = b'{"id":"1","a":[' + b",".join([b"1.5"] * 30_000) + b"]}"
    picked = await predecode(request_with(body, content_type), ["/id"])
    assert readings(picked) == {"picked": {"/id": "1"}}
    whole = await predecode(request_with(body, content_type))
    assert readings(whole)["json"] == codec.decode(body)
    assert "form" in readings(whole)


async def test_pointers_into_what_is_no_json_decode_nothing_where_the_loop_runs() -> None:
    for body in (b"<a/>" + PADDING, b"a=1&b=[[[[" + PADDING, b'"text"' + PADDING):
        picked = await predecode(request_with(body, "text/plain"), ["/id"])
        assert readings(picked) == {"picked": {"/id": None}}


async def test_a_large_value_is_freed_in_pieces_after_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "FIRST_FREED_SECONDS", 0.0)
    body = b"[" + b",".join([b"1.5"] * 100_000) + b"]"
    request = await predecode(request_with(body, "application/json"))
    pieces = readings(request)["held"]._pieces
    assert sum(map(len, pieces)) == len(request.json()) == 100_000
    last = request.json()[0]
    held = sys.getrefcount(last)
    del request
    assert sys.getrefcount(last) == held - 1  # its list is gone, its piece is there
    async with asyncio.timeout(DEADLINE):
        while pieces:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert sys.getrefcount(last) == held - 2


def test_a_comma_behind_the_last_item_makes_no_bad_item() -> None:
    assert _json.salvage(b'{"all":[{"id":1},x\n,\n]}', "/all") == {"all": [{"id": 1}, b"x"]}
