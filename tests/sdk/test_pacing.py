"""Large values are written in short texts, which together are what was written at once before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from halflap import step
from halflap.components import http
from halflap.sdk import codec, pacing, record
from halflap.sdk.pacing import in_pieces, is_large, paced, texts
from halflap.sdk.record import (
    Sealing,
    Unsealing,
    decode_value,
    encode_inputs,
    encode_value,
    recall_value,
    record_inputs,
    record_value,
    redact_data,
    redacted_data,
)
from halflap.sdk.redact import Redactor
from halflap.sdk.schema import UNSET, File, Model
from tests.cases import for_each

SECRET = "quite-a-long-secret-of-an-app"
WRITERS = {
    "exactly": (codec.encode, False),
    "sorted": (lambda value: codec.encode(value, sort=True), True),
    "as a result": (lambda value: encode_value(value, None, str), False),
}

names = st.text(max_size=4) | st.sampled_from(["UNSET", "$secret", 'a"b', "é"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=200) | st.just(UNSET),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner) | st.lists(inner).map(tuple),
    max_leaves=60,
)
plain = st.recursive(
    st.none() | st.integers() | st.text(max_size=200) | st.sampled_from([SECRET, SECRET[::-1]]),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner),
    max_leaves=60,
)


def cut_at(patched: pytest.MonkeyPatch, piece: int) -> None:
    """Have pieces be of so little weight."""
    patched.setattr(pacing, "PIECE", piece)
    patched.setattr(pacing, "HEAVY", 4 * piece)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every value be large."""
    cut_at(monkeypatch, 3)
    monkeypatch.setattr(record, "LARGE", 3)


@pytest.mark.parametrize("writer", WRITERS)
@given(value=values)
def test_short_texts_are_together_what_is_written_at_once(writer: str, value: Any) -> None:
    encode, sort = WRITERS[writer]
    try:
        whole = encode(value)
    except codec.NotJson:  # UNSET outside of an object
        return
    for piece in (1, 3, 10):
        with pytest.MonkeyPatch.context() as patched:
            cut_at(patched, piece)
            assert b"".join(texts(value, encode, sort=sort)) == whole


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=30))
def test_the_order_of_names_is_that_of_the_encoder(value: dict[str, int]) -> None:
    encode = msgspec.json.Encoder(order="deterministic").encode
    with pytest.MonkeyPatch.context() as patched:
        cut_at(patched, 4)
        assert b"".join(texts(value, encode, sort=True)) == encode(value)


@given(value=plain, text=st.text(max_size=50))
def test_what_is_recorded_in_pieces_is_what_is_recorded_at_once(value: Any, text: str) -> None:
    value = {"all": value, text: [text, 1] * 3}

    async def both(redactor: Redactor) -> None:
        sealing, unsealing = Sealing(lambda t: t, redactor), Unsealing(lambda t: t, redactor)
        whole = encode_value(value, None, sealing)
        assert await record_value(value, None, sealing) == whole
        assert await recall_value(whole, None, unsealing) == decode_value(whole, None, unsealing)
        data = codec.encode(value)
        for least in (0, 12, 1_000):
            shown = await redact_data(data, redactor, least)
            assert shown == redacted_data(data, redactor, least)

    async def at_once(data: bytes) -> Any:
        return codec.decode(data)

    with pytest.MonkeyPatch.context() as patched:
        cut_at(patched, 3)
        patched.setattr(record, "LARGE", 3)
        patched.setattr(record, "decode_recorded", at_once)
        asyncio.run(both(Redactor([SECRET])))


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2, 3, {"b": float("nan")}]},
        {"a": [[1] * 9, b"bytes"]},
        {"a": ["x" * 999, object()]},
    ],
)
async def test_what_cannot_be_recorded_is_refused_with_its_place(small: None, value: Any) -> None:
    with pytest.raises(TypeError) as whole:
        encode_value(value, None, str)
    with pytest.raises(TypeError) as paced:
        await record_value(value, None, str)
    assert str(paced.value) == str(whole.value)


@pytest.mark.parametrize("keys", [{1: "one", "1": "text"}, {None: 1, "b": 2, "c": [1, 2, 3, 4]}])
async def test_names_that_are_no_texts_are_written_at_once(small: None, keys: Any) -> None:
    encode = msgspec.json.Encoder(order="deterministic").encode
    try:
        whole = encode(keys)
    except TypeError:
        with pytest.raises(TypeError):
            await in_pieces(keys, encode, sort=True)
    else:
        assert await in_pieces(keys, encode, sort=True) == whole


async def test_a_large_value_read_again_is_the_same() -> None:
    value = {"rows": [{"id": n, "name": "é" * 20} for n in range(5_000)], "text": "1" * 500_000}
    data = await record_value(value, None, str)
    assert data == encode_value(value, None, str)
    assert await recall_value(data, None, str) == value


LONGEST = 4 * pacing.PIECE * 64
LARGE: dict[str, Callable[[], Any]] = {
    "digits": lambda: {"x": "1" * 1_000_000},
    "texts": lambda: ["hello, world"] * 60_000,
    "numbers": lambda: [1] * 300_000,
    "objects": lambda: [{"a": {}}] * 60_000,
    "names": lambda: {f"name-{n}": n for n in range(50_000)},
    "lists of lists": lambda: [[[1] * 300] * 30] * 40,
}


@for_each("kind", LARGE)
async def test_the_loop_goes_on_between_short_texts(kind: str) -> None:
    """The longest text, and the number of the loop's turns; the control is the value at once."""
    value, lengths, turns = LARGE[kind](), list[int](), 0

    def encode(part: Any) -> bytes:
        lengths.append(len(data := codec.encode(part, sort=True)))
        return data

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await in_pieces(value, encode, sort=True)
    assert max(lengths) <= LONGEST
    assert turns >= len(lengths)
    turns, paced_lengths = 0, lengths.copy()
    lengths.clear()
    encode(value)  # the control
    assert max(lengths) > LONGEST
    assert turns < len(paced_lengths)
    counting.cancel()


async def test_whatever_is_paced_takes_turns() -> None:
    seen: list[str] = []

    def steps(name: str) -> Iterator[str]:
        for _ in range(3):
            seen.append(name)
            yield name

    await asyncio.gather(paced(steps("a")), paced(steps("b")))
    assert seen == ["a", "b"] * 3


def test_what_is_small_is_not_large() -> None:
    assert not is_large({"id": 1, "rows": [{"a": "b" * 100}] * 500})
    assert is_large({"text": "b" * 300_000})
    assert is_large([[1]] * 5_000)


class Line(Model):
    sku: str = Field(alias="SKU")
    paid: bool | None = None


parts = st.recursive(
    st.none() | st.integers() | st.text(max_size=90) | st.just(UNSET) | st.just(Line(SKU="a")),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner),
    max_leaves=30,
)


@given(json=parts, given_params=st.dictionaries(st.text(max_size=3), st.text(max_size=90)))
def test_inputs_in_pieces_are_the_inputs_at_once(json: Any, given_params: dict[str, str]) -> None:
    file, key = File("a.txt", b"data"), SecretStr("a-secret-key")
    given = {"json": [json, file, key, json], "params": given_params, "path": "/x"}
    whole = encode_inputs(http.request, given)
    for piece in (1, 5):
        with pytest.MonkeyPatch.context() as patched:
            cut_at(patched, piece)
            assert asyncio.run(record_inputs(http.request, given)) == whole


async def test_inputs_that_are_large_together_leave_the_loop_its_turns() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    given = {"json": "a" * 200_000, "params": {"a": "b" * 200_000}}
    assert not any(map(is_large, given.values()))
    beside = asyncio.create_task(other())
    assert await record_inputs(http.request, given) == encode_inputs(http.request, given)
    assert turns > 1
    turns = 0
    await record_inputs(http.request, {"json": "a", "params": {"a": "b"}})
    assert turns == 0, "what is small is written at once"
    beside.cancel()


async def test_the_weight_of_large_inputs_is_taken_no_further_than_it_says_so() -> None:
    """A walk in Python of all that a typed input holds would stop the loop for its whole length."""
    walked = 0

    class Rows(list[dict[str, int]]):
        def __iter__(self) -> Iterator[dict[str, int]]:
            nonlocal walked
            for each in super().__iter__():
                walked += 1
                yield each

    @step
    async def put(rows: list[dict[str, int]]) -> None:
        """Put rows."""

    rows = Rows({"a": number} for number in range(10_000))
    assert await record_inputs(put, {"rows": rows}) == encode_inputs(put, {"rows": rows})
    assert walked == 0


async def test_an_input_that_cannot_be_recorded_is_refused_with_its_place(small: None) -> None:
    given = {"json": [1, 2, 3, {"a": [object()] * 3, "b": 1}]}
    place = r"^\$\.json\[3\]\.a\[0\]: an object"
    with pytest.raises(TypeError, match=place):
        encode_inputs(http.request, given)
    with pytest.raises(TypeError, match=place):
        await record_inputs(http.request, given)
