"""A connection taken apart into what may be shown and what is sealed, and put together again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import SecretStr, ValidationError

from halflap.errors import ConfigError
from halflap.sdk.connection import Connection
from halflap.sdk.outgoing import name_problem
from halflap.sdk.redact import HIDDEN, LONGEST, is_credential


def take_apart(connection: Connection) -> tuple[dict[str, Any], dict[str, str]]:
    """A connection's plain fields, and its secrets by dotted path (`auth.client_secret`)."""
    whole = connection.model_dump(mode="python")
    secrets: dict[str, str] = {}
    return without_secrets(whole, "", secrets), secrets


def without_secrets(value: Any, path: str, secrets: dict[str, str]) -> Any:
    """Plain data without its secrets, which are gathered by path."""
    if isinstance(value, SecretStr):
        secrets[path] = value.get_secret_value()
        return None
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for name, each in cast(dict[str, Any], value).items():
            plain = without_secrets(each, f"{path}.{name}" if path else name, secrets)
            if not isinstance(each, SecretStr):
                kept[name] = plain
        return kept
    if isinstance(value, list | tuple):
        return [without_secrets(each, path, secrets) for each in cast(list[Any], value)]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def secrets_of(connection: Connection) -> list[str]:
    """Return every secret of a connection, and every header that is made of one: Basic, signatures.

    What is stored as a secret is one, also where the type of its field is `str` by now.
    """
    fields, secrets = take_apart(connection)
    secrets = {**(connection.__pydantic_private__ or {}).get("_sealed", {}), **secrets}
    team = getattr(connection.__dict__.get("auth"), "team", None)
    shared = [team.secret] if team is not None and team.secret else []
    return [*secrets.values(), *shared, *_derived(connection, fields, secrets)]


def _derived(
    connection: Connection, fields: Mapping[str, Any], secrets: Mapping[str, str]
) -> list[str]:
    """Return the headers that differ where the secrets are others."""
    others = {name: "x" * len(each) for name, each in secrets.items()}
    try:
        sent = connection.headers()
    except Exception:  # an author's code, on credentials that are not complete yet
        return []
    try:
        compared = put_together(type(connection), fields, others).headers()
        found = [each for name, each in sent.items() if compared.get(name) != each]
    except Exception:  # or on secrets that it cannot read
        found = [each for name, each in sent.items() if is_credential(name)]
    return [*found, *(each.partition(" ")[2].strip() for each in found)]


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_headers(connection: Connection) -> None:
    """Refuse what no header can carry or be named, though one is made of it: `ConfigError` by field."""
    try:
        headers = connection.headers()
    except Exception:  # an author's code, on credentials that are not complete yet
        headers = dict[str, str]()
    fields, secrets = take_apart(connection)
    _check_names(headers, connection.honoured_header(), _texts(fields, ""))
    sent = "\0".join(map(str, headers.values()))
    wrong = [
        name
        for name, value in {**_texts(fields, ""), **secrets}.items()
        if _CONTROL.search(value) and value in sent
    ]
    if wrong:
        what = "holds a line break or another control character, which no header can carry"
        raise ConfigError(
            f"{', '.join(wrong)} {what}; give it again without",
            fields=dict.fromkeys(wrong, f"{what}; give it again without"),
        )


def _check_names(headers: Mapping[str, str], key: str | None, texts: Mapping[str, str]) -> None:
    problems = {name: name_problem(name) for name in headers}
    if key is not None:
        is_taken = key.lower() in {"authorization", *map(str.lower, headers)}
        taken = f"{key} carries the credentials, so it cannot carry the key of a request"
        problems[key] = taken if is_taken else name_problem(key)
    for name, problem in problems.items():
        if problem is not None:
            what = f"{problem}; give the name of another header"
            wrong = [field for field, value in texts.items() if value == name]
            raise ConfigError(what, fields=dict.fromkeys(wrong, what))


def _texts(value: Any, path: str) -> dict[str, str]:
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, each in cast(dict[str, Any], value).items():
            found |= _texts(each, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return {path: value} if isinstance(value, str) else {}


def put_together(
    kind: type[Connection], fields: Mapping[str, Any], secrets: Mapping[str, str]
) -> Connection:
    """A connection of its fields and secrets; what does not fit is a `ConfigError` by field."""
    whole = nested(fields, secrets)
    texts = _texts(whole, "")
    for said, wrong in (
        (f"is longer than {LONGEST:,} characters", [n for n in texts if len(texts[n]) > LONGEST]),
        (
            f"has {HIDDEN}, which stands for a secret that is not shown: leave it out to keep that",
            [name for name in texts if HIDDEN in texts[name]],
        ),
    ):
        if wrong:
            message = f"{kind.__name__}: {', '.join(wrong)} {said}"
            raise ConfigError(message, fields=dict.fromkeys(wrong, said))
    try:
        made = kind.model_validate(whole)
    except ValidationError as error:
        raise config_error(f"{kind.__name__} is not valid", error) from error
    made._sealed = dict(secrets)
    return made


def nested(fields: Mapping[str, Any], named: Mapping[str, str]) -> dict[str, Any]:
    """Return a tree of plain data, and of values by dotted name (`auth.api_key`), as one."""
    whole = deep_copy(fields)
    for path, value in named.items():
        place = whole
        *parents, last = path.split(".")
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return whole


def config_error(what: str, error: ValidationError) -> ConfigError:
    """Pydantic's findings as a `ConfigError`: each wrong field by its path, without its value."""
    fields = {
        ".".join(str(part) for part in each["loc"] if part != ""): each["msg"]
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    }
    listed = "; ".join(f"{name}: {message}" for name, message in fields.items())
    return ConfigError(f"{what}: {listed}", fields=fields)


def deep_copy(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of plain data, so that what is put together shares nothing with what was stored."""
    return {
        name: deep_copy(cast(Mapping[str, Any], each)) if isinstance(each, Mapping) else each
        for name, each in value.items()
    }
