"""Reading YAML: exact values with their places, and a clear error for everything else."""

from decimal import Decimal

import pytest

from halflap.lowcode.source import MOST_BYTES, Place, Unreadable, read
from tests.cases import for_each


def test_values_keep_every_digit_and_dates_stay_texts() -> None:
    source = read("a: 12345678901234567890123.4500\nb: 1e3\nc: 2025-01-01\nd: on\ne: ~\nf: 0", "f")
    a, b, c, d, e, f = source.data.values()
    assert (str(a), b, c, d, e, f) == (
        "12345678901234567890123.4500",
        Decimal(1000),
        "2025-01-01",
        "on",
        None,
        0,
    )


def test_every_value_and_key_has_its_place() -> None:
    source = read("flows:\n  orders:\n    - id: x\n      in: |\n        =a\n", "f.yaml")
    assert source.place(("flows", "orders", 0, "id")) == Place(3, 11)
    assert source.key(("flows", "orders", 0, "id")) == Place(3, 7)
    assert source.place(("flows", "orders", 0, "missing")) == Place(3, 7)
    assert source.at(("flows", "orders")) == "f.yaml:3:5"
    assert ("flows", "orders", 0, "in") in source.blocks
    assert ("flows", "orders", 0, "id") in source.plain


def test_aliases_are_written_out() -> None:
    source = read("a: &a {x: [1, 2]}\nb: *a\n", "f")
    assert source.data["a"] == source.data["b"]
    source.data["b"]["x"].append(3)
    assert source.data["a"] == {"x": [1, 2]}


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)

WRONG = {
    "deep lists": ("- " * 200_000, "f:1:203", "nested deeper than 100"),
    "deep brackets": ("[" * 5000 + "]" * 5000, "f:1:102", "nested deeper than 100"),
    "deep keys": ("? " * 200_000, "f:1:3", "a key is a plain text"),
    "a circle": ("a: &x [*x]", "f:1:8", "leads back"),
    "aliases by the billion": (BOMB, "f:6:22", "more than 100,000 values"),
    "an unknown alias": ("a: *b", "f:1:4", "begins with * is quoted"),
    "a key twice": ("a: 1\na: 2", "f:2:1", "the key a stands here twice"),
    "a merge key": ("a: &a {b: 1}\nc:\n  <<: *a", "f:3:3", "write the members out"),
    "a Python tag": ("a: !!python/object:os.system x", "f:1:4", "remove it"),
    "a local tag": ("a: !env x", "f:1:4", "remove it"),
    "two documents": ("---\na: 1\n---\nb: 2", "f:3:1", "one document"),
    "not UTF-8": (b"a: 1\nb: \xff", "f:2:4", "save the file as UTF-8"),
    "UTF-16": ("a: 1".encode("utf-16"), "f:1:1", "save the file as UTF-8"),
    "an octal-looking number": ("a: 006", "f:1:4", 'Write "006" in quotes'),
    "underscores": ("a: 1_000", "f:1:4", 'Write "1_000" in quotes'),
    "hexadecimal": ("a: 0x1f", "f:1:4", 'Write "0x1f" in quotes'),
    "infinity": ("a: .inf", "f:1:4", "no number of JSON"),
    "a huge exponent": ("a: 1e999999", "f:1:4", "beyond 1e±500"),
    "a huge number": ("a: " + "9" * 5000, "f:1:4", "digits at most"),
    "a colon in an expression": ('a: ="x: " & y: z', "f:1:7", "is quoted"),
    "a text after a quote": ('a: "b" & x', "f:1:9", "quote the whole expression"),
    "an open bracket": ("a: [x", "f:2:1", "quote an expression that holds"),
    "a tab": ("a:\n\t- b", "f:2:1", "spaces"),
    "a reserved character": ("a: @x", "f:1:4", "is quoted"),
    "a control character": ("a: b\nc\0d: e", "f:2:2", "the character U+0000; remove it"),
    "one after others": ("a: ⇄ ’é\nc\x1fd: e", "f:2:2", "the character U+001F; remove it"),
    "too large": ("a" * (MOST_BYTES + 1), "f:1:1", "split the integration"),
}


@for_each(("text", "where", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_at_its_place(text: str | bytes, where: str, said: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read(text, "f")
    assert raised.value.where == where
    assert said in raised.value.message


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_holds_nothing(text: str) -> None:
    assert read(text, "f").data is None


def test_a_byte_order_mark_is_passed_by() -> None:
    assert read("\ufeffa: 1".encode(), "f").data == {"a": 1}
