"""An expression reads its scope, with exact numbers, and with what is absent as null."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import expr
from halflap.lowcode.expressions import Expression, ExpressionError, Scope
from halflap.lowcode.expressions.value import Native
from halflap.sdk.schema import UNSET
from tests.cases import for_each

SCOPE: dict[str, Any] = {
    "event": {
        "Id": "001",
        "seats": 10,
        "price": Decimal("22.00"),
        "one": [{"sku": "a"}],
        "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}],
    },
    "config": {"discount": 10},
    "urls": {"account": "https://x/1", "opportunity": "https://x/2"},
    "secrets": {"account": SecretStr("hush")},
    "known": None,
    "message": {"url": "https://x/2"},
}


def value(text: str, **more: Any) -> Any:
    scope = Scope({**SCOPE, **more}, now=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), seed="exe_1/a")
    return Expression.parse(text).evaluate(scope)


@for_each(
    ("text", "expected"),
    [
        ("event.Id", "001"),
        ("message.url in urls.*", True),
        ("event.lines.sku", ["a", "b"]),
        ("event.lines[count = 2].sku", "b"),
        ("event.lines^(>count).sku", ["b", "a"]),
        ("event.lines{sku: count}", {"a": 1, "b": 2}),
        ("event.lines[sku = $event.lines[1].sku].count", 2),
        ("$map(event.lines, function($line) { $line.sku & event.Id })", ["a001", "b001"]),
        ('"Total: " & event.price', "Total: 22.00"),
        ("$millis()", 1_767_312_000_000),
    ],
)
def test_the_scope_is_read_by_name(text: str, expected: Any) -> None:
    assert value(text) == expected


def test_the_amount_of_the_article() -> None:
    amount = value("$round(event.seats * event.price * (1 - config.discount / 100), 2)")
    assert (amount, type(amount), str(amount)) == (Decimal(198), Decimal, "198.00")


@for_each("absent", ["known", "event.nickname", "nobody", "known.id", "$nobody.id"])
def test_what_is_absent_is_null_to_a_comparison(absent: str) -> None:
    assert value(f"{absent} = null") is True
    assert value(f"{absent} != null") is False
    assert value(f'{absent} = "x"') is False
    assert value(f'{absent} != "x"') is True


def test_what_is_there_is_not_null() -> None:
    assert value("event.Id = null") is False
    assert value("event.Id != null") is True
    assert value("event.none = null", event={"none": 0}) is False


def test_nothing_is_told_from_null() -> None:
    assert value("event.nickname") is UNSET
    assert value("known.id") is UNSET
    assert value("event.lines[sku = 'c']") is UNSET
    assert value("known") is None
    assert value("null") is None


def test_a_list_of_one_in_the_event_stays_a_list() -> None:
    assert value("event.one") == [{"sku": "a"}]
    assert value("event.one.sku") == "a"
    assert value("event.one.sku[]") == ["a"]


def test_a_float_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(ExpressionError, match=r"a float of Python \(codec.decode reads"):
        value("amount * 3", amount=0.1)
    with pytest.raises(ExpressionError, match="float is no value"):
        value("amount", amount=0.1)


def test_a_secret_is_handed_on_whole() -> None:
    secret = SCOPE["secrets"]["account"]
    assert value("secrets.account") is secret
    assert value("{'token': secrets.account}") == {"token": secret}
    assert value("event.Id = '001' ? secrets.account") is secret


@for_each(
    "text",
    [
        "secrets.account & ''",
        "$string(secrets)",
        "$string(secrets.account)",
        "secrets.account = 'hush'",
        "secrets.account != null",
        "secrets.account < 'i'",
        "secrets.account in ['hush']",
        "'hush' in secrets.account",
        "secrets.account ? 1 : 2",
        "$length(secrets.account)",
        "$distinct([secrets.account, secrets.account])",
        "$sort([secrets.account, secrets.account])",
        "{secrets.account: 1}",
        "secrets.account._secret_value",
        "secrets.account.get_secret_value",
        "-secrets.account",
        "[1..secrets.account]",
        "secrets.*[$ = 'hush']",
        "$type(secrets.account)",
        "$join([secrets.account])",
        "[secrets.account, secrets.account]^($)",
        "$boolean(secrets.account)",
    ],
)
def test_nothing_else_is_done_with_a_secret(text: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        value(text)
    assert "hush" not in str(raised.value).replace("'hush'", "")


@for_each(
    "text", ["event.__class__", "event.lines.__len__", "event.items", "$lookup(event, '__class__')"]
)
def test_no_python_is_reached(text: str) -> None:
    assert value(text) is UNSET


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ExpressionError, match="object is no value of JSON"):
        value("thing", thing=object())
    with pytest.raises(ExpressionError, match="a function is no result"):
        value("$sum")


def test_time_and_chance_are_those_of_the_execution() -> None:
    assert value("[$random(), $random()]") == value("[$random(), $random()]")
    assert value("$random() = $random()") is False
    assert value("$shuffle([1..100])") == value("$shuffle([1..100])")
    with pytest.raises(ExpressionError, match="needs the time or the chance"):
        Expression.parse("$millis()").evaluate(Scope())
    with pytest.raises(ExpressionError, match="needs the time or the chance"):
        Expression.parse("$random()").evaluate(Scope())


@for_each(
    ("text", "line", "column", "message"),
    [
        ("event.Id +", 1, 11, "ends too early"),
        ("(event.Id", 1, 10, r"\) is missing at the end"),
        ("event\n  .lines[\n 1 ~ 2]", 3, 4, "~ is no operator"),
        ("'open", 1, 1, "no closing quote"),
        (
            "event.seats * event.Id",
            1,
            13,
            r'event.Id is the text "001", .* use \$number\(event.Id\)',
        ),
        ("1 +\n $lenght('x')", 2, 9, r"there is no function \$lenght"),
        ("length('x')", 1, 7, r"did you mean \$length"),
        ("1 / 0", 1, 3, "divided by zero"),
        ("/(?=x)/", 1, 1, "no look-around"),
        ("/a\ud800/", 1, 1, "half a surrogate pair"),
    ],
)
def test_an_error_says_what_and_where(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as raised:
        value(text)
    assert (raised.value.line, raised.value.column) == (line, column)
    assert raised.value.text == text


@for_each(
    ("text", "message"),
    [
        ("n.total + 1", 'n.total is the text "twelve", and + takes numbers; the text is no number: '),
        ("1 - n.text", 'n.text is the text "12", and - takes numbers; use $number(n.text) ('),
        ("n.nil * 2", "n.nil is null, and * takes numbers; where it may be missing, say what "),
        ("n.lines.a / 2", "n.lines.a is a list of 2, and / takes numbers; add its items up, $sum("),
        ("n.one + 1", "n.one is an object, and + takes numbers; take one of its fields, n.one.field ("),
        ("n.day + 1", 'n.day is the text "2026-03-01", and + takes numbers; use $toMillis(n.day): a day'),
        ("n.text > 5", 'n.text is the text "12" and what stands right of > is the number 5: a text '
         "and a number cannot be compared by >; use $number(n.text) ("),
        ("n.nil < 5", "n.nil is null, and < compares numbers or texts; where it may be missing"),
        ("$sum(n.lines.a)", '$sum takes numbers, one or a list of them, and was given the text "x"; '),
        ("$uppercase(n.price)", "$uppercase was given the number 3.50 as its argument 1, and takes a"),
        ("$round(n.text)", '$round was given the text "12" as its argument 1, and takes a number; '),
        ("$number(n.total)", 'the text "twelve" is not a number; correct it where it comes from, or'),
        ("$toMillis('1/2/2026')", 'the text "1/2/2026" is no time such as 2026-03-01T12:00:00Z; say how'),
        ("1 / 0", "a number is out of range: beyond 1e±308, or divided by zero; test the divisor"),
    ],
)  # fmt: skip
def test_a_usual_error_says_what_was_there_what_was_wanted_and_what_to_do(
    text: str, message: str
) -> None:
    given = {"total": "twelve", "text": "12", "nil": None, "lines": [{"a": 1}, {"a": "x"}]}
    given |= {"one": {"x": 1}, "day": "2026-03-01", "price": Decimal("3.50")}
    with pytest.raises(ExpressionError) as raised:
        Expression.parse(text).evaluate(Scope({"n": given}))
    assert str(raised.value).startswith(message)


@for_each(
    ("text", "names"),
    [
        ("known = null", ["known"]),
        ("event.seats * event.price", ["event.seats", "event.price"]),
        ("message.url in urls.*", ["message.url", "urls.*"]),
        ("event.lines[sku = config.sku].count", ["event.lines.count"]),
        ("event.lines[sku = $config.sku].count", ["event.lines.count", "config.sku"]),
        ("event.lines^(count).sku", ["event.lines"]),
        ("($x := known.id; $x & $sum(event.n))", ["known.id", "event.n"]),
        ("$map(event.lines, function($l) { $l.sku & event.Id })", ["event.lines", "event.Id"]),
        ("$$.event.Id & $.known.id", ["event.Id", "known.id"]),
        ("$", ["*"]),
        ("$keys($$)", ["*"]),
        ("{'a': **.sku}", ["*"]),
        ("[*]", ["*"]),
        ("$.*", ["*"]),
        ("$[a = 1].event", ["*"]),
        ("event.%.config", ["*", "event"]),
        ("$keys()", ["*"]),
        ("$contains('a')", ["*"]),
        ("event.id ~> $contains('a')", ["event.id"]),
        ("event.id.$uppercase()", ["event.id"]),
        ("event.lines[$ > 1].$", ["event.lines"]),
        ("event.lines[%.open].sku", ["event.lines.sku"]),
        ("event.lines.**.sku", ["event.lines"]),
        ("event@$e.config[x = 1]", ["event", "config"]),
        ("{'a': event.a, event.k: [event.b]}", ["event.a", "event.k", "event.b"]),
        ("known ? known.id : $error('x')", ["known", "known.id"]),
        ("event.`a b`.c", ["event.a b.c"]),
        ("1 + 2", []),
    ],
)
def test_the_names_that_are_read(text: str, names: list[str]) -> None:
    assert [str(name) for name in Expression.parse(text).names()] == names


def test_the_scope_is_no_value() -> None:
    for text in ("$", "event.%.config", "$keys()", "*"):
        with pytest.raises(ExpressionError, match="reads all that is in scope"):
            expr(text, event={"id": 1})
    assert expr("($k := $keys; $k())", event={"id": 1}) is None
    assert expr("event.lines[$ > 1]", event={"lines": [1, 2, 3]}) == [2, 3]
    assert expr("$.event.id", event={"id": 1}) == 1


def test_an_array_that_is_filtered_is_walked_on() -> None:
    assert value("[{'a': 3}, {'a': 4}][1].a") == 4
    assert value("[1, 2][0].a") is UNSET


def test_a_name_has_its_place() -> None:
    (name,) = Expression.parse("\n  known.id").names()
    assert (name.path, name.offset, name.line, name.column) == (("known", "id"), 3, 2, 3)


HALF = "\ud800"


@for_each(
    ("text", "found"),
    [
        ('$fromMillis(253402300799000, "[x] [w]")', "12 5"),
        ('$fromMillis(-62135596800000, "[x] [w]")', "1 1"),
        ('$number("0e0")', 0),
        ('$number("-0e5")', 0),
        ('$number("0012.50")', Decimal("12.50")),
        ('$replace("abcb", "b", "x", 1e30)', "axcx"),
        ('$replace("abcb", "b", "x", 1)', "axcb"),
        ('$replace("abcb", "b", "x", 0)', "abcb"),
        ("$length(half)", 1),
        ('$toMillis("2020", half)', "H0116"),
        ("half", "H0006"),
        ("[half]", "H0006"),
        ("fields", "H0006"),
        ('"a" & half', "H0006"),
        ("$base64encode(half)", "D3140"),
        ("$encodeUrl(half)", "D3140"),
        ("$encodeUrlComponent(half)", "D3140"),
    ],
)
def test_what_is_large_or_unusual_is_a_value_or_an_expression_error(text: str, found: Any) -> None:
    scope = Scope({"half": HALF, "fields": {HALF: 1}})
    try:
        ended = Expression.parse(text).evaluate(scope)
    except ExpressionError as error:
        ended = error.code
    assert ended == found


def test_an_error_of_python_in_a_function_is_an_expression_error() -> None:
    def failing(_: Any, value: Any) -> Any:
        raise value("beyond")

    for kind in (OverflowError, ZeroDivisionError, InvalidOperation, ValueError, UnicodeError):
        native = Native("failing", 1, lambda frame, _, kind=kind: failing(frame, kind))
        with pytest.raises(ExpressionError, match="failing cannot work on") as caught:
            Expression.parse("1 + $failing(1)").evaluate_on({}, {"failing": native}, Scope())
        assert (caught.value.code, caught.value.offset) == ("H0116", 12)
