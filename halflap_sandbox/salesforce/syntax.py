"""SOQL as text: read into a query, or refused with the place where it stops making sense."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, NoReturn

from halflap_sandbox.salesforce.call import Refused
from halflap_sandbox.salesforce.normal import read_date, read_datetime

Kind = Literal[
    "string", "number", "boolean", "null", "date", "datetime", "period", "name", "sign", "end"
]
LONGEST, DEEPEST = 100_000, 100


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a query, and where it stands."""

    kind: Kind
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A value in a query: as it is stored, as a pattern of folded text, with LAST_N_DAYS's days."""

    kind: Kind
    value: str | bool | Decimal | None
    at: int
    pattern: re.Pattern[str] | None = None
    days: int = 0


@dataclass(frozen=True, slots=True)
class Path:
    """A field, perhaps a parent's: `Account.Owner.Name`."""

    names: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Fields:
    """`FIELDS(ALL)`, `FIELDS(STANDARD)` or `FIELDS(CUSTOM)`."""

    which: str
    at: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`SUM(Amount)`: a function over the rows of a group; `COUNT(Id)` and `COUNT()` too.

    `alias` is the name of its column; without one it is `expr0`, `expr1` and so on.
    """

    function: str
    path: Path | None
    at: int
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field or an aggregate compared with a literal, with a list of them, or with a query's rows.

    `query` is what stands in parentheses after IN and NOT IN (a semi-join).
    """

    path: Path | Aggregate
    operator: str
    literals: tuple[Constant, ...]
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND or OR, or one turned round by NOT."""

    operator: Literal["AND", "OR", "NOT"]
    parts: tuple[Condition, ...]


Condition = Comparison | Junction


@dataclass(frozen=True, slots=True)
class Order:
    """One field of ORDER BY."""

    path: Path | Aggregate
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query as it was read. `counts`: it asks for COUNT() only. `at` is where it begins.

    A query in `select` reads the rows of a child relationship.
    """

    text: str
    at: int
    select: tuple[Path | Fields | Aggregate | Query, ...]
    counts: bool
    table: Token
    alias: str | None
    where: Condition | None
    group: tuple[Path, ...]
    having: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int
    all_rows: bool


def refuse(text: str, at: int, code: str, message: str) -> Refused:
    """Refuse a query, showing the place as Salesforce does."""
    before = text[:at]
    row = before.count("\n") + 1
    column = at - (before.rfind("\n") + 1) + 1
    shown = text[max(0, at - 40) : at + 20].replace("\n", " ")
    arrow = " " * min(at, 40) + "^"
    place = f"\n{shown}\n{arrow}\nERROR at Row:{row}:Column:{column}\n"
    return Refused(400, code, place + message)


def read(text: str) -> Query:
    """Read a query."""
    if len(text) > LONGEST:
        raise Refused(414, "QUERY_TOO_COMPLICATED", "The query has more than 100,000 characters.")
    return _Parser(text).query()


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<datetime>\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2}))
    |(?P<date>\d{4}-\d{2}-\d{2})
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d{1,4})?)
    |(?P<name>[A-Z_][A-Z0-9_]*(?:\.[A-Z_][A-Z0-9_]*)*)
    |(?P<sign><=|>=|!=|<>|[=<>(),:])""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.ASCII,
)
_ESCAPES = dict(zip("nrtbf'\"\\%_", "\n\r\t\b\f'\"\\%_", strict=True))
_PIECE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)|(.)", re.DOTALL)
_PERIODS = re.compile(
    r"TODAY|YESTERDAY|TOMORROW|(THIS|LAST|NEXT)_(WEEK|MONTH|YEAR)|(LAST|NEXT)_N_DAYS"
)
_RESERVED = {"FROM", "WHERE", "ORDER", "LIMIT", "OFFSET", "AND", "OR", "NOT", "IN", "LIKE"}
_AGGREGATES = {"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read_tokens()
        self._next = 0

    def query(self) -> Query:
        query = self._query()
        if self._now.kind != "end":
            self._fail()
        return query

    def _query(self, depth: int = 0) -> Query:
        if depth > 2:
            self._fail("the query is nested too deeply")
        at = self._now.at
        self._word("SELECT")
        select, counts = self._select(depth)
        self._word("FROM")
        table = self._name("an object")
        alias = None
        if self._now.kind == "name" and self._now.text.upper() not in (
            *_RESERVED,
            *("USING", "WITH", "GROUP", "HAVING", "FOR", "ALL"),
        ):
            alias = self._take().text
        where = self._condition(depth) if self._accept("WHERE") else None
        group: list[Path] = []
        if self._accept("GROUP"):
            self._word("BY")
            group.append(self._path())
            while self._accept(","):
                group.append(self._path())
        having = self._condition(depth) if self._accept("HAVING") else None
        if self._now.text.upper() in ("USING", "WITH"):
            self._fail(f"{self._now.text.upper()} is not supported by this sandbox")
        order: list[Order] = []
        if self._accept("ORDER"):
            self._word("BY")
            order.append(self._order())
            while self._accept(","):
                order.append(self._order())
        limit = self._whole() if self._accept("LIMIT") else None
        offset = self._whole() if self._accept("OFFSET") else 0
        if self._accept("FOR") and not any(
            map(self._accept, ("VIEW", "REFERENCE", "UPDATE", "TRACKING"))
        ):
            self._fail()
        all_rows = self._accept("ALL") and self._word("ROWS")
        return Query(
            text=self._text,
            at=at,
            select=select,
            counts=counts,
            table=table,
            alias=alias,
            where=where,
            group=tuple(group),
            having=having,
            order=tuple(order),
            limit=limit,
            offset=offset,
            all_rows=all_rows,
        )

    def _select(self, depth: int) -> tuple[tuple[Path | Fields | Aggregate | Query, ...], bool]:
        items = [self._item(depth)]
        while self._accept(","):
            items.append(self._item(depth))
        match items:
            case [Aggregate(function="COUNT", path=None, alias=None)]:
                return (), True
            case _:
                return tuple(items), False

    def _item(self, depth: int) -> Path | Fields | Aggregate | Query:
        at = self._now.at
        if self._accept("("):
            query = self._query(depth + 1)
            self._word(")")
            return query
        path = self._operand()
        if isinstance(path, Aggregate):
            named = self._now.kind == "name" and self._now.text.upper() != "FROM"
            return replace(path, alias=self._take().text) if named else path
        if self._now.text != "(":
            return path
        if path.names[0].upper() != "FIELDS":
            self._fail(f"the function {path.names[0]} is not supported by this sandbox")
        self._take()
        which = self._name("ALL, STANDARD or CUSTOM").text.upper()
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            self._fail()
        self._word(")")
        return Fields(which, at)

    def _operand(self) -> Path | Aggregate:
        token = self._now
        path = self._path()
        if token.text.upper() not in _AGGREGATES or not self._accept("("):
            return path
        of = None if token.text.upper() == "COUNT" and self._now.text == ")" else self._path()
        self._word(")")
        return Aggregate(token.text.upper(), of, token.at)

    def _condition(self, depth: int = 0) -> Condition:
        parts = [self._one(depth)]
        word = self._now.text.upper() if self._now.kind == "name" else ""
        if word not in ("AND", "OR"):
            return parts[0]
        while self._accept(word):
            parts.append(self._one(depth))
        # SOQL has no precedence: AND beside OR needs parentheses.
        if self._now.text.upper() in ("AND", "OR"):
            self._fail()
        return Junction("AND" if word == "AND" else "OR", tuple(parts))

    def _one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            self._fail("the query is nested too deeply")
        if self._accept("NOT"):
            return Junction("NOT", (self._one(depth + 1),))
        if self._accept("("):
            inner = self._condition(depth + 1)
            self._word(")")
            return inner
        path = self._operand()
        token = self._take()
        operator = token.text.upper()
        if operator == "NOT":
            self._word("IN")
            operator = "NOT IN"
        if operator in ("IN", "NOT IN"):
            self._word("(")
            if self._now.text.upper() != "SELECT":
                return Comparison(path, operator, self._list())
            query = self._query(depth + 1)
            self._word(")")
            return Comparison(path, operator, (), query)
        if operator == "LIKE":
            literal = self._literal()
            if literal.kind != "string":
                raise self._error(literal.at, "LIKE needs a string")
            return Comparison(path, "LIKE", (literal,))
        if token.kind != "sign" or operator not in ("=", "!=", "<>", "<", "<=", ">", ">="):
            self._next -= 1
            self._fail()
        return Comparison(path, "!=" if operator == "<>" else operator, (self._literal(),))

    def _list(self) -> tuple[Constant, ...]:
        literals = [self._literal()]
        while self._accept(","):
            literals.append(self._literal())
        self._word(")")
        return tuple(literals)

    def _literal(self) -> Constant:
        token = self._take()
        match token.kind:
            case "string":
                return self._string(token)
            case "number":
                return Constant("number", Decimal(token.text), token.at)
            case "date":
                if read_date(token.text) is None:
                    raise self._error(token.at, f"invalid date: {token.text}")
                return Constant("date", token.text, token.at)
            case "datetime":
                if (at := read_datetime(token.text)) is None:
                    raise self._error(token.at, f"invalid date-time: {token.text}")
                return Constant("datetime", at, token.at)
            case "name":
                return self._named(token)
            case _:
                said = f"unexpected token: '{token.text or '<EOF>'}'"
                raise self._error(token.at, said)

    def _named(self, token: Token) -> Constant:
        word = token.text.upper()
        if word in ("TRUE", "FALSE"):
            return Constant("boolean", word == "TRUE", token.at)
        if word == "NULL":
            return Constant("null", None, token.at)
        if not _PERIODS.fullmatch(word):
            self._next -= 1
            self._fail()
        days = 0
        if word.endswith("_N_DAYS"):
            self._word(":")
            days = self._whole()
            if days > 36_500:
                raise self._error(token.at, "too many days")
        return Constant("period", word, token.at, days=days)

    def _string(self, token: Token) -> Constant:
        plain, pattern = "", ""
        for code, escaped, bare in _PIECE.findall(token.text[1:-1]):
            if code:
                each = chr(int(code, 16))
            elif escaped:
                if (
                    each := _ESCAPES.get(escaped.lower() if escaped in "NRTBF" else escaped)
                ) is None:
                    message = f"Invalid string literal {token.text}. Illegal character sequence"
                    raise self._error(token.at, f"{message} '\\{escaped}' in string literal.")
            else:
                each = bare
                if bare in "%_":
                    plain, pattern = plain + bare, pattern + (".*" if bare == "%" else ".")
                    continue
            plain, pattern = plain + each, pattern + re.escape(each.casefold())
        like = re.compile(pattern, re.DOTALL)
        return Constant("string", plain, token.at, pattern=like)

    def _order(self) -> Order:
        path = self._operand()
        descending = False
        if self._accept("DESC"):
            descending = True
        else:
            self._accept("ASC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._accept("LAST")
            if not nulls_last:
                self._word("FIRST")
        return Order(path, descending, nulls_last)

    def _path(self) -> Path:
        token = self._name("a field")
        return Path(tuple(token.text.split(".")), token.at)

    def _whole(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
            self._next -= 1
            self._fail()
        return int(token.text)

    def _name(self, what: str) -> Token:
        if self._now.kind != "name" or self._now.text.upper() in _RESERVED:
            self._fail(f"expecting {what}, found '{self._now.text or '<EOF>'}'")
        return self._take()

    def _word(self, text: str) -> bool:
        if not self._accept(text):
            self._fail(f"expecting '{text}', found '{self._now.text or '<EOF>'}'")
        return True

    def _accept(self, text: str) -> bool:
        if self._now.kind in ("name", "sign") and self._now.text.upper() == text:
            self._next += 1
            return True
        return False

    @property
    def _now(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._now
        if token.kind != "end":
            self._next += 1
        return token

    def _fail(self, message: str = "") -> NoReturn:
        token = self._now
        said = message or f"unexpected token: '{token.text or '<EOF>'}'"
        raise self._error(token.at, said)

    def _error(self, at: int, message: str) -> Refused:
        return refuse(self._text, at, "MALFORMED_QUERY", message)

    def _read_tokens(self) -> list[Token]:
        tokens: list[Token] = []
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                said = f"no viable alternative at character '{self._text[at]}'"
                raise self._error(at, said)
            kind = found.lastgroup
            if kind != "space":
                tokens.append(Token(kind, found[0], at))  # type: ignore[arg-type]
            at = found.end()
        tokens.append(Token("end", "", at))
        return tokens
