"""SOQL: finds the rows that a query asks for, in any tables that have fields and ids.

It knows nothing of orgs: `run(text, tables, now=…)` works over what it is given, so that the objects
of an org and those of the Tooling API are asked alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from halflap_sandbox.salesforce.model import Field, Json, by_name, full_id
from halflap_sandbox.salesforce.syntax import (
    Aggregate,
    Comparison,
    Condition,
    Constant,
    Fields,
    Order,
    Path,
    Query,
    read,
    refuse,
)

Row = Mapping[str, Any]
Test = Callable[[Any], bool]
Getter = Callable[[Path | Aggregate], Callable[[Any], Any]]
AGGREGATES: Mapping[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len({_folded(each) for each in values}),
    "SUM": lambda values: sum(values) if values else None,
    "AVG": lambda values: Decimal(sum(values)) / len(values) if values else None,
    "MIN": lambda values: min(values, key=_folded, default=None),
    "MAX": lambda values: max(values, key=_folded, default=None),
}
"""Functions over the values of a group, without its nulls."""
LARGEST_OFFSET, MOST_OF_ALL = 2000, 200

_APPEND = (
    "If you are attempting to use a custom {0}, be sure to append the '__c' after the {1} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True, slots=True)
class Parents:
    """A relationship: which reference field leads to it, and the tables where the parent may be."""

    field: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table as a query sees it: fields by name, rows by id, parents and children by relationship.

    `children` gives for `Contacts` the table and its reference field: `("Contact", "AccountId")`.
    """

    name: str
    fields: Mapping[str, Field]
    rows: Mapping[str, Row]
    parents: Mapping[str, Parents] = field(default_factory=dict[str, Parents])
    children: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


@dataclass(frozen=True, slots=True)
class _Period:
    """The days that a date literal such as THIS_WEEK means: from the first to before the last."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class _Column:
    """A field as it is reached from a row: over these relationships, then the field."""

    field: Field
    steps: tuple[tuple[str, Parents], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows of a query. `counts`: only `total` was asked for.

    `grouped` names the columns of a query with aggregates, whose rows have no id. `subqueries` has
    by relationship a function from the id of a row to what its query of children found.
    """

    total: int
    counts: bool
    table: TableView
    rows: Sequence[Row]
    columns: tuple[_Column, ...]
    tables: Mapping[str, TableView]
    grouped: tuple[str, ...] | None = None
    subqueries: Mapping[str, Callable[[str], Found]] = field(
        default_factory=dict[str, "Callable[[str], Found]"]
    )

    def records(self, url: Callable[[str, str], str]) -> list[Json]:
        """Return the rows as REST shows them, parents inside; `url` makes an address of table and id."""
        if self.grouped is not None:
            attributes = {"attributes": {"type": "AggregateResult"}}
            return [{**attributes, **{n: row.get(n) for n in self.grouped}} for row in self.rows]
        return [] if self.counts else [self._record(row, url) for row in self.rows]

    def header(self) -> list[str]:
        """Return the names of the columns, a parent's as `Account.Name`."""
        if self.grouped is not None:
            return list(self.grouped)
        return [
            ".".join((*(name for name, _ in column.steps), column.field.name))
            for column in self.columns
        ]

    def _record(self, row: Row, url: Callable[[str, str], str]) -> Json:
        record = _shell(self.table.name, row, url)
        for column in self.columns:
            at, into = row, record
            for name, parents in column.steps:
                found = _parent(at, parents, self.tables)
                if found is None:
                    into[name] = None
                    break
                table, at = found
                if into.get(name) is None:
                    into[name] = _shell(table.name, at, url)
                into = into[name]
            else:
                into[column.field.name] = at.get(column.field.name)
        for name, find in self.subqueries.items():
            children = find(str(row["Id"])).records(url)
            page = {"totalSize": len(children), "done": True, "records": children}
            record[name] = page if children else None
        return record


def run(
    text: str,
    tables: Mapping[str, TableView],
    *,
    now: float,
    include_deleted: bool = False,
) -> Found:
    """Run a query over tables by name; `now` (Unix seconds) is what TODAY goes by, in UTC.

    Raises `Refused` with MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE and others of SOQL's codes.
    """
    query = read(text)
    return _Run(query, tables, now, include_deleted or query.all_rows).found()


class _Run:
    def __init__(
        self, query: Query, tables: Mapping[str, TableView], now: float, include_deleted: bool
    ) -> None:
        self._query = query
        self._include_deleted = include_deleted
        self._tables = tables
        self._now = now
        name = query.table.text
        table = by_name(tables, name)
        if table is None:
            message = f"sObject type '{name}' is not supported. "
            message += _APPEND.format("object", "entity")
            raise refuse(query.text, query.table.at, "INVALID_TYPE", message)
        self._table = table

    def found(self) -> Found:
        query = self._query
        grouped = bool(query.group) or any(isinstance(each, Aggregate) for each in query.select)
        names = None
        columns: tuple[_Column, ...] = ()
        if grouped:
            names, rows = self._grouped(self._rows())
        else:
            columns, rows = self._columns(), self._rows()
            for order in reversed(query.order):
                self._sort(rows, order, self._get_operand(order.path))
        if query.offset > LARGEST_OFFSET:
            message = "Maximum SOQL offset allowed is 2000"
            raise refuse(query.text, 0, "NUMBER_OUTSIDE_VALID_RANGE", message)
        end = None if query.limit is None else query.offset + query.limit
        rows = rows[query.offset : end]
        return Found(
            total=len(rows),
            counts=query.counts,
            table=self._table,
            rows=rows,
            columns=columns,
            tables=self._tables,
            grouped=names,
            subqueries={
                self._relationship(each): partial(self._children, each)
                for each in query.select
                if isinstance(each, Query)
            },
        )

    def _rows(self) -> list[Row]:
        test = self._test(self._query.where, self._get_operand) if self._query.where else None
        return [
            row
            for row in self._table.rows.values()
            if (self._include_deleted or not row.get("IsDeleted")) and (test is None or test(row))
        ]

    def _grouped(self, rows: list[Row]) -> tuple[tuple[str, ...], list[Row]]:
        """Return the names of the columns and a row for each group, in the query's order."""
        query = self._query
        keys = [self._column(each) for each in query.group]
        columns: dict[str, Callable[[Sequence[Row]], Any]] = {}
        for item in query.select:
            if isinstance(item, Aggregate):
                unnamed = sum(name.startswith("expr") for name in columns)
                columns[item.alias or f"expr{unnamed}"] = self._aggregate(item)
                continue
            if not isinstance(item, Path) or (column := self._column(item)) not in keys:
                name = ".".join(item.names) if isinstance(item, Path) else "a query"
                message = f"Field must be grouped or aggregated: {name}"
                raise self._error(item.at, "MALFORMED_QUERY", message)
            columns[column.field.name] = self._of_group(item)
        getters = [self._get(each) for each in keys]
        groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
        for row in rows:
            groups.setdefault(tuple(_folded(get(row)) for get in getters), []).append(row)
        # A group stands in for its rows: conditions and order are worked out of their list.
        found: list[Row] = [{"rows": each} for each in groups.values()]
        if query.having is not None:
            test = self._test(query.having, self._of_group)
            found = [each for each in found if test(each["rows"])]
        for order in reversed(query.order):
            get = self._of_group(order.path)
            self._sort(found, order, lambda row, get=get: get(row["rows"]))
        return tuple(columns), [
            {name: get(each["rows"]) for name, get in columns.items()} for each in found
        ]

    def _of_group(self, operand: Path | Aggregate) -> Callable[[Any], Any]:
        """Return a function from the rows of a group to the value of a grouped field or aggregate."""
        if isinstance(operand, Aggregate):
            return self._aggregate(operand)
        for item in self._query.select:
            if isinstance(item, Aggregate) and operand.names == (item.alias,):
                return self._aggregate(item)
        get = self._get(self._column(operand))
        return lambda rows: get(rows[0]) if rows else None

    def _aggregate(self, item: Aggregate) -> Callable[[Sequence[Row]], Any]:
        if item.path is None:
            return len
        column = self._column(item.path)
        kind = column.field.type
        numeric = kind in ("int", "double", "currency", "percent")
        if (item.function in ("SUM", "AVG") and not numeric) or kind == "boolean":
            message = (
                f"field {column.field.name} does not support aggregate operator {item.function}"
            )
            raise self._error(item.at, "MALFORMED_QUERY", message)
        get, function = self._get(column), AGGREGATES[item.function]
        return lambda rows: function([v for row in rows if (v := get(row)) is not None])

    def _relationship(self, query: Query) -> str:
        found = by_name({name: name for name in self._table.children}, query.table.text)
        if found is None:
            message = (
                f"Didn't understand relationship '{query.table.text}' in FROM part of query call. "
            )
            message += _APPEND.format("relationship", "custom relationship")
            raise self._error(query.table.at, "INVALID_TYPE", message.replace("__c", "__r"))
        return found

    def _children(self, query: Query, id: str) -> Found:
        """Run a query in SELECT over the children of one row."""
        table, reference = self._table.children[self._relationship(query)]
        view = self._tables[table]
        rows = {key: row for key, row in view.rows.items() if row.get(reference) == id}
        tables = {**self._tables, table: replace(view, rows=rows)}
        own = replace(query, table=replace(query.table, text=table))
        return _Run(own, tables, self._now, self._include_deleted).found()

    def _columns(self) -> tuple[_Column, ...]:
        columns: dict[tuple[str, ...], _Column] = {}
        for item in self._query.select:
            if isinstance(item, Query):
                self._children(item, "")  # so that a query of no rows is checked, too
                continue
            assert not isinstance(item, Aggregate)
            expanded = self._all(item) if isinstance(item, Fields) else [self._column(item)]
            for column in expanded:
                key = (*(name for name, _ in column.steps), column.field.name)
                if key in columns:
                    message = f"duplicate field selected: {'.'.join(key)}"
                    raise self._error(item.at, "INVALID_FIELD", message)
                columns[key] = column
        return tuple(columns.values())

    def _all(self, item: Fields) -> list[_Column]:
        limit = self._query.limit
        if item.which != "STANDARD" and (limit is None or limit > MOST_OF_ALL):
            message = "The SOQL FIELDS function must have a LIMIT of at most 200"
            raise self._error(item.at, "MALFORMED_QUERY", message)
        wanted = {"ALL": (True, False), "STANDARD": (False,), "CUSTOM": (True,)}[item.which]
        return [_Column(each, ()) for each in self._table.fields.values() if each.custom in wanted]

    def _column(self, path: Path) -> _Column:
        *parents, last = path.names
        own = {self._table.name.casefold(), (self._query.alias or "").casefold()}
        if parents and parents[0].casefold() in own:
            parents = parents[1:]
        tables: tuple[TableView, ...] = (self._table,)
        steps: list[tuple[str, Parents]] = []
        for name in parents:
            step = next((s for t in tables if (s := _relation(t, name)) is not None), None)
            if step is None:
                message = f"Didn't understand relationship '{name}' in field path. "
                message += _APPEND.format("relationship", "custom relationship")
                raise self._error(path.at, "INVALID_FIELD", message.replace("__c", "__r"))
            steps.append(step)
            tables = tuple(t for each in step[1].tables if (t := self._tables.get(each)))
        found = next((f for t in tables if (f := by_name(t.fields, last))), None)
        if found is None:
            on = tables[0].name if tables else "Name"
            message = f"No such column '{last}' on entity '{on}'. "
            message += _APPEND.format("field", "custom field")
            raise self._error(path.at, "INVALID_FIELD", message)
        return _Column(found, tuple(steps))

    def _get(self, column: _Column) -> Callable[[Row], Any]:
        name, steps, tables = column.field.name, column.steps, self._tables
        if not steps:
            return lambda row: row.get(name)

        def get(row: Row) -> Any:
            for _, parents in steps:
                found = _parent(row, parents, tables)
                if found is None:
                    return None
                row = found[1]
            return row.get(name)

        return get

    def _get_operand(self, operand: Path | Aggregate) -> Callable[[Row], Any]:
        if isinstance(operand, Aggregate):
            message = (
                "Grouped expressions are allowed in SELECT, HAVING and ORDER BY of groups only"
            )
            raise self._error(operand.at, "MALFORMED_QUERY", message)
        return self._get(self._column(operand))

    def _sort(self, rows: list[Row], order: Order, get: Callable[[Row], Any]) -> None:
        # NULLS FIRST and LAST hold whichever way the values go.
        none_is = order.nulls_last != order.descending

        def key(row: Row) -> tuple[bool, Any]:
            value = get(row)
            return (none_is, 0) if value is None else (not none_is, _folded(value))

        rows.sort(key=key, reverse=order.descending)

    def _test(self, condition: Condition, getter: Getter) -> Test:
        if isinstance(condition, Comparison):
            return self._comparison(condition, getter)
        tests = [self._test(part, getter) for part in condition.parts]
        match condition.operator:
            case "AND":
                return lambda row: all(test(row) for test in tests)
            case "OR":
                return lambda row: any(test(row) for test in tests)
            case "NOT":
                return lambda row: not tests[0](row)

    def _comparison(self, comparison: Comparison, getter: Getter) -> Test:
        get, sign = getter(comparison.path), comparison.operator
        of = self._field_of(comparison.path)
        self._filterable(of, comparison)
        if comparison.query is not None:
            wanted = self._joined(comparison.query)
            return lambda row: (get(row) in wanted) is (sign == "IN")
        if sign == "LIKE":
            pattern = comparison.literals[0].pattern
            assert pattern is not None
            return lambda row: (
                isinstance(v := get(row), str) and bool(pattern.fullmatch(_folded(v)))
            )
        values = [self._value(of, each) for each in comparison.literals]
        if sign in ("IN", "NOT IN"):
            tests = [_compare("=", each) for each in values]
            wanted = sign == "IN"

            def listed(row: Row) -> bool:
                value = get(row)
                return any(test(value) for test in tests) is wanted

            return listed
        test = _compare(sign, values[0])
        return lambda row: test(get(row))

    def _field_of(self, operand: Path | Aggregate) -> Field:
        """Return the field that a condition compares: of a count, a number."""
        aggregate = operand if isinstance(operand, Aggregate) else None
        path = operand if isinstance(operand, Path) else operand.path
        for item in self._query.select:
            if isinstance(item, Aggregate) and path and path.names == (item.alias,):
                aggregate, path = item, item.path
        if path is None or (aggregate and aggregate.function.startswith("COUNT")):
            return Field(name="COUNT", label="COUNT", type="int")
        return self._column(path).field

    def _joined(self, query: Query) -> frozenset[Any]:
        """Return the ids that a query inside IN finds."""
        match query.select:
            case (Path(),) if not query.group:
                run = _Run(query, self._tables, self._now, include_deleted=False)
                (column,) = run._columns()
                get = run._get(column)
                ids = column.field.type in ("id", "reference")
            case _:
                ids, get, run = False, None, None
        if not ids or get is None or run is None:
            message = "A query inside IN must select one field that is an id or a reference"
            raise self._error(query.at, "MALFORMED_QUERY", message)
        return frozenset(get(row) for row in run.found().rows) - {None}

    def _filterable(self, of: Field, comparison: Comparison) -> None:
        if of.type == "textarea" and of.length > 255:
            message = f"field '{of.name}' can not be filtered in a query call"
            raise self._error(comparison.path.at, "INVALID_FIELD", message)
        texts = ("id", "reference", "boolean", "int", "double", "currency", "percent", "date")
        if comparison.operator == "LIKE" and of.type in (*texts, "datetime"):
            message = f"invalid operator on {of.type} field"
            raise self._error(comparison.path.at, "INVALID_QUERY_FILTER_OPERATOR", message)

    def _value(self, of: Field, literal: Constant) -> Any:
        """Give what a field is compared with; a date literal gives a period."""
        kind, value = literal.kind, literal.value
        match of.type:
            case "id" | "reference":
                wanted, quoted = ("string",), True
            case "boolean":
                wanted, quoted = ("boolean",), False
            case "int" | "double" | "currency" | "percent":
                wanted, quoted = ("number",), False
            case "date" | "datetime":
                wanted, quoted = (of.type, "period"), False
            case _:
                wanted, quoted = ("string",), True
        if kind == "null":
            return None
        if kind not in wanted:
            verb = "should be" if quoted else "should not be"
            message = f"value of filter criterion for field '{of.name}' must be of type {of.type}"
            message += f" and {verb} enclosed in quotes"
            raise self._error(literal.at, "INVALID_FIELD", message)
        if kind == "period":
            return self._period(str(value), literal.days, with_time=of.type == "datetime")
        if of.type in ("id", "reference") and (value := full_id(str(value))) is None:
            message = f"invalid ID field: {literal.value}"
            raise self._error(literal.at, "INVALID_QUERY_FILTER_OPERATOR", message)
        return _folded(value)

    def _period(self, word: str, days: int, *, with_time: bool) -> _Period:
        start, end = period(word, days, datetime.fromtimestamp(self._now, UTC).date())
        midnight = "T00:00:00.000+0000" if with_time else ""
        return _Period(start.isoformat() + midnight, end.isoformat() + midnight)

    def _error(self, at: int, code: str, message: str) -> Exception:
        return refuse(self._query.text, at, code, message)


def period(word: str, days: int, today: date) -> tuple[date, date]:
    """Give the first day of a period such as LAST_N_DAYS:7, and the first one after it."""
    day = timedelta(days=1)
    if word.endswith("_N_DAYS"):
        if word.startswith("LAST"):
            return today - days * day, today + day
        return today + day, today + (days + 1) * day
    if word in (single := {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}):
        start = today + single[word] * day
        return start, start + day
    which, unit = word.split("_")
    steps = {"LAST": -1, "THIS": 0, "NEXT": 1}[which]
    if unit == "WEEK":
        start = today - (today.isoweekday() % 7) * day + steps * 7 * day
        return start, start + 7 * day
    if unit == "YEAR":
        return date(today.year + steps, 1, 1), date(today.year + steps + 1, 1, 1)

    def month(offset: int) -> date:
        years, index = divmod(today.month - 1 + offset, 12)
        return date(today.year + years, index + 1, 1)

    return month(steps), month(steps + 1)


def _compare(sign: str, wanted: Any) -> Callable[[Any], bool]:
    if isinstance(wanted, _Period):
        return _compare_period(sign, wanted.start, wanted.end)
    if sign in ("=", "!="):
        return lambda value: (_folded(value) == wanted) is (sign == "=")
    orders: Callable[[Any, Any], bool] = {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }[sign]
    return lambda value: value is not None and wanted is not None and orders(_folded(value), wanted)


def _compare_period(sign: str, start: str, end: str) -> Callable[[Any], bool]:
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda value: start <= value < end,
        "!=": lambda value: not start <= value < end,
        "<": lambda value: value < start,
        "<=": lambda value: value < end,
        ">": lambda value: value >= end,
        ">=": lambda value: value >= start,
    }
    test = tests[sign]
    return lambda value: sign == "!=" if value is None else test(value)


def _folded(value: Any) -> Any:
    """Ids have case, but no two differ in nothing else: their last letters tell."""
    return value.casefold() if isinstance(value, str) else value


def _shell(table: str, row: Row, url: Callable[[str, str], str]) -> Json:
    return {"attributes": {"type": table, "url": url(table, str(row["Id"]))}}


def _parent(
    row: Row, parents: Parents, tables: Mapping[str, TableView]
) -> tuple[TableView, Row] | None:
    id = row.get(parents.field)
    for name in parents.tables:
        if (table := tables.get(name)) and (found := table.rows.get(id or "")):
            return table, found
    return None


def _relation(table: TableView, name: str) -> tuple[str, Parents] | None:
    folded = name.casefold()
    found = ((each, to) for each, to in table.parents.items() if each.casefold() == folded)
    return next(found, None)
