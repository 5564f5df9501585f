"""Normalise a value as Salesforce stores it, or refuse it with Salesforce's error code."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Context, Decimal

from halflap_sandbox.salesforce.call import Refused
from halflap_sandbox.salesforce.model import Field, FieldType, Value, full_id

_BLANK = "".join(map(chr, range(33)))
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_EMAIL = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;.]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_INT_LIMIT = 2**31
_STORED = Context(prec=18)
"""Digits that a number keeps. The scale of a field bounds what pages show, not what the API stores."""
_NUMBERS: tuple[FieldType, ...] = ("int", "double", "currency", "percent")


def normal(field: Field, value: object) -> Value:
    """Return the value that is stored: text trimmed, None for empty, numbers to 18 digits.

    Raises `Refused` with Salesforce's code where the value does not fit the field.
    """
    if field.type == "boolean":
        return _boolean(field, value)
    if isinstance(value, str):
        value = _CONTROLS.sub("", value).strip(_BLANK)
    if value is None or value == "":
        return None
    if field.type in _NUMBERS:
        return _number(field, value)
    if not isinstance(value, str):
        raise _unreadable(field, value)
    match field.type:
        case "date":
            return _date(field, value)
        case "datetime":
            return _datetime(field, value)
        case "id" | "reference":
            if (id := full_id(value)) is None:
                message = f"{field.label}: id value of incorrect type: {value}"
                raise Refused(400, "MALFORMED_ID", message, (field.name,))
            return id
        case _:
            return _text(field, value)


def read_date(text: str) -> date | None:
    """Read `2026-01-31`; None where it is no date."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def read_datetime(text: str) -> str | None:
    """Read a date-time with its zone, as it is stored: UTC, whole seconds; None where it is none."""
    if (parts := _DATETIME.fullmatch(text)) is None:
        return None
    zone = parts[2].upper().replace("Z", "+00:00")
    try:
        at = datetime.fromisoformat(parts[1].upper() + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _boolean(field: Field, value: object) -> bool:
    match value:
        case None | "":
            return False
        case bool():
            return value
        case str() if value.strip().lower() in ("true", "false", "1", "0"):
            return value.strip().lower() in ("true", "1")
        case _:
            raise _unreadable(field, value)


def _number(field: Field, value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise _unreadable(field, value)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise _unreadable(field, value)
    exact = Decimal(value)
    if field.type == "int":
        if exact.adjusted() > 10 or exact != exact.to_integral_value():
            raise _unreadable(field, value) if exact.adjusted() <= 10 else _too_large(field, value)
        if not -_INT_LIMIT <= exact < _INT_LIMIT:
            raise _too_large(field, value)
        return int(exact)
    digits = (field.precision or 18) - field.scale
    if exact.adjusted() >= digits:
        raise _too_large(field, value)
    stored = _STORED.create_decimal(exact)
    if stored.adjusted() >= digits:
        raise _too_large(field, value)
    if stored.as_tuple().exponent > -field.scale:  # type: ignore[operator]  # finite, so a number
        stored = stored.quantize(Decimal(1).scaleb(-field.scale))
    return abs(stored) if stored == 0 else stored


def _text(field: Field, value: str) -> str:
    limit = field.length or 255
    if len(value) > limit:
        shown = value if len(value) <= 100 else value[:100] + "..."
        message = f"{field.label}: data value too large: {shown} (max length={limit})"
        raise Refused(400, "STRING_TOO_LONG", message, (field.name,))
    if field.type == "email" and not _EMAIL.fullmatch(value):
        message = f"{field.label}: invalid email address: {value}"
        raise Refused(400, "INVALID_EMAIL_ADDRESS", message, (field.name,))
    if field.type == "picklist":
        folded = value.casefold()
        found = next((p for p in field.picklist if p.casefold() == folded), None)
        if found is None and not field.restricted:
            return value
        if found is None:
            message = f"{field.label}: bad value for restricted picklist field: {value}"
            code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
            raise Refused(400, code, message, (field.name,))
        return found
    return value


def _date(field: Field, value: str) -> str:
    text = value[:10] if read_datetime(value) is not None else value
    if (day := read_date(text)) is None:
        raise _unreadable(field, value)
    return day.isoformat()


def _datetime(field: Field, value: str) -> str:
    text = f"{value}T00:00:00Z" if _DATE.fullmatch(value) else value
    if (at := read_datetime(text)) is None:
        raise _unreadable(field, value)
    return at


def _unreadable(field: Field, value: object) -> Refused:
    match value:
        case bool():
            got = f"VALUE_{str(value).upper()} value {str(value).lower()}"
        case str():
            got = f"VALUE_STRING value {value}"
        case int() | Decimal():
            got = f"VALUE_NUMBER value {value}"
        case _:
            got = "START_OBJECT value"
    message = f"Cannot deserialize instance of {field.type} from {got} or request may be missing"
    return Refused(400, "JSON_PARSER_ERROR", f"{message} a required field: {field.name}", ())


def _too_large(field: Field, value: object) -> Refused:
    message = f"{field.label}: value outside of valid range on numeric field: {value}"
    return Refused(400, "NUMBER_OUTSIDE_VALID_RANGE", message, (field.name,))
