"""Asks for what a JSON Schema wants, field by field; takes what was given as options first.

Fields are named by their path (`auth.client_id`). Secrets are asked for without an echo, and as
options they come from a file, a variable or stdin, never from the command line, which others see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from halflap.cli.control import clean
from halflap.cli.output import inline
from halflap.errors import ConfigError
from halflap.sdk import codec
from halflap.sdk.condition import When, hidden

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form."""

    path: str
    title: str
    schema: Schema
    required: bool

    @property
    def secret(self) -> bool:
        """True if it may not be seen."""
        return is_secret(self.schema)

    @property
    def default(self) -> Any:
        """The value of the field where it is left out; None for nothing."""
        return self.schema.get("default")


class SchemaForm:
    """A schema whose fields are answered: by what was given, then by asking."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._definitions: Schema = schema.get("$defs") or {}

    def fill(
        self,
        given: Mapping[str, Any],
        *,
        ask: bool,
        known: Iterable[str] = (),
        flag: str = "--field",
    ) -> dict[str, Any]:
        """The values of the form, as a tree; `known` fields need no answer.

        `given` is by path, texts. Without `ask`, what lacks is a `ConfigError` that names all of it.
        """
        rest = dict(given)
        lacking: list[FormField] = []
        values = self._object(self._schema, "", rest, ask, frozenset(known), lacking)
        # What belongs to one of several ways in (`auth.key`) is no stranger before `auth.kind` is given.
        ways = tuple(
            each.path.removesuffix("kind") for each in lacking if each.path.endswith(".kind")
        )
        if unknown := [each for each in rest if not each.startswith(ways)]:
            names = self.names(given)
            raise ConfigError(
                f"there is no field {unknown[0]!r}; there are: {', '.join(names) or 'none'}"
            )
        if lacking:
            raise ConfigError(
                "these are missing: " + "; ".join(option(each, flag) for each in lacking),
                fields={each.path: "is missing" for each in lacking},
            )
        return values

    def names(self, given: Mapping[str, Any]) -> list[str]:
        """The paths of all fields, for the ways in that were given."""
        return [each.path for each in self._leaves(self._schema, "", given)]

    def is_secret(self, path: str, given: Mapping[str, Any]) -> bool:
        """Return whether a field, by its path, may not be seen."""
        found = self.field(path, given)
        return found is not None and found.secret

    def listed(self) -> set[str]:
        """Return the fields whose choices, or those of a mapping's sides, the connected app lists."""
        return {
            each.path
            for each in self._fields(self._schema, "")
            if source_of(each.schema) or any(map(source_of, sides_of(each.schema)))
        }

    def field(self, path: str, given: Mapping[str, Any]) -> FormField | None:
        """A field by its path."""
        found = (each for each in self._leaves(self._schema, "", given) if each.path == path)
        return next(found, None)

    def _leaves(self, schema: Schema, prefix: str, given: Mapping[str, Any]) -> Iterable[FormField]:
        for each in self._fields(schema, prefix):
            ways = self._ways(each.schema)
            kind = given.get(f"{each.path}.kind")
            for name, way in ways.items():
                if kind in (None, name):
                    yield from self._leaves(way, f"{each.path}.", given)
            if not ways:
                yield each

    def _fields(self, schema: Schema, prefix: str) -> Iterable[FormField]:
        required = schema.get("required") or ()
        properties = cast(Mapping[str, Schema], schema.get("properties") or {})
        for name, each in properties.items():
            whole = self._resolved(each)
            yield FormField(prefix + name, str(each.get("title") or name), whole, name in required)

    def _object(
        self,
        schema: Schema,
        prefix: str,
        given: dict[str, Any],
        ask: bool,
        known: frozenset[str],
        lacking: list[FormField],
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        fields = {each.path.removeprefix(prefix): each for each in self._fields(schema, prefix)}
        conditions = {
            name: When(**each.schema["x-when"])
            for name, each in fields.items()
            if "x-when" in each.schema
        }
        for name, each in fields.items():
            gone = hidden(conditions, lambda other: values.get(other, fields[other].default))
            if each.path in known or (name in gone and each.path not in given):
                continue
            ways = self._ways(each.schema)
            if ways:
                asked = any(path.startswith(f"{each.path}.") for path in given)
                if each.required or asked:
                    values[name] = self._way(each, ways, given, ask, known, lacking)
            elif each.path in given:
                values[name] = read(each, given.pop(each.path))
            elif "const" in each.schema:
                values[name] = each.schema["const"]
            elif ask and (each.required or not isinstance(each.default, dict | list)):
                answer = question(each)
                if answer is not None:
                    values[name] = answer
            elif each.required:
                lacking.append(each)
        for name in schema.get("x-unasked") or ():
            if prefix + name in given:
                values[name] = given.pop(prefix + name)
        return values

    def _way(
        self,
        field: FormField,
        ways: Mapping[str, Schema],
        given: dict[str, Any],
        ask: bool,
        known: frozenset[str],
        lacking: list[FormField],
    ) -> dict[str, Any]:
        """One of several ways in, by its `kind`."""
        kind = given.pop(f"{field.path}.kind", None)
        if kind is None and len(ways) == 1:
            kind = next(iter(ways))
        if kind is None and ask:
            kind = click.prompt(
                f"{clean(field.title)} ({', '.join(ways)})",
                type=click.Choice(list(ways)),
                show_choices=False,
                err=True,
            )
        if kind is None:
            lacking.append(FormField(f"{field.path}.kind", "", {"enum": list(ways)}, True))
            return {}
        if kind not in ways:
            raise ConfigError(f"{field.path}.kind is one of {', '.join(ways)}, not {kind!r}")
        return self._object(ways[kind], f"{field.path}.", given, ask, known, lacking)

    def _ways(self, schema: Schema) -> dict[str, Schema]:
        """The objects that a field may be, by their `kind`; none where it is a plain value."""
        found: dict[str, Schema] = {}
        for each in schema.get("oneOf") or schema.get("anyOf") or [schema]:
            whole = self._resolved(each)
            if properties := whole.get("properties"):
                kind = self._resolved(properties.get("kind") or {})
                found[str(kind.get("const") or kind.get("default") or whole.get("title"))] = whole
        return found

    def _resolved(self, schema: Schema) -> Schema:
        """A schema with what it refers to; of a value that may be null, what else it may be."""
        if name := schema.get("$ref"):
            schema = {**self._definitions[str(name).rpartition("/")[2]], **schema}
        choices = [each for each in schema.get("anyOf") or () if each.get("type") != "null"]
        if len(choices) == 1:
            schema = {**schema, **self._resolved(choices[0])}
            schema = {name: each for name, each in schema.items() if name != "anyOf"}
        return schema


def source_of(schema: Schema) -> Schema | None:
    """Return what a schema says of where its choices, or those of its items, are listed."""
    items: Schema = schema.get("items") or {}
    source: Schema | None = schema.get("x-source") or items.get("x-source")
    return source if source is not None and source.get("kind") == "choices" else None


def sides_of(schema: Schema) -> tuple[Schema, Schema]:
    """Return the schemas of a mapping's sides; empty ones where it is none."""
    to = schema.get("additionalProperties")
    named = {"enum": schema["x-to"]} if "x-to" in schema else {}
    return schema.get("propertyNames") or {}, {**(to if isinstance(to, dict) else {}), **named}


def is_secret(schema: Schema) -> bool:
    """Return whether a value of this schema may not be seen."""
    return schema.get("format") == "password" or bool(schema.get("writeOnly"))


def question(field: FormField) -> Any:
    """Ask for a field; None where it is left out. What does not fit is asked again."""
    if said := str(field.schema.get("description") or ""):
        click.secho(clean(" ".join(said.split())), dim=True, err=True)
    label = clean(field.title if field.title != field.path else field.path)
    optional = not field.required and field.default is None
    shown = "" if field.default is None else f" [{clean(shown_default(field.default))}]"
    while True:
        answer = str(
            click.prompt(
                label + (" (optional)" if optional else shown),
                default="",
                show_default=False,
                hide_input=field.secret,
                err=True,
            )
        )
        if not answer and not field.required:
            return None
        if not answer:
            click.echo("it is needed", err=True)
            continue
        try:
            return read(field, answer)
        except ConfigError as error:
            click.echo(error.message, err=True)


def shown_default(value: Any) -> str:
    """A default as it would be typed."""
    return value if isinstance(value, str) else inline(value)


def read(field: FormField, said: Any) -> Any:
    """A text as a value of a field: as it is where the field is a text, else read as JSON."""
    kind = field.schema.get("type")
    if not isinstance(said, str):
        return said
    choices = field.schema.get("enum")
    if choices and said in choices:
        return said
    if choices:
        raise ConfigError(f"{field.path} is one of {', '.join(map(str, choices))}, not {said!r}")
    if kind == "boolean" and said.lower() in ("yes", "no", "y", "n", "true", "false"):
        return said.lower() in ("yes", "y", "true")
    if kind in ("integer", "number", "boolean", "array", "object", "null"):
        try:
            return codec.decode(said)
        except codec.NotJson:
            if kind == "array":
                return [each.strip() for each in said.split(",") if each.strip()]
            raise ConfigError(f"{field.path} is no {kind}: {said!r}") from None
    return said


def option(field: FormField, flag: str = "--field") -> str:
    """Return the name of a field as an option."""
    if field.secret:
        return f"--secret {field.path}=env:NAME"
    choices = "|".join(map(str, field.schema.get("enum") or ()))
    return f"{flag} {field.path}={choices or '…'}"


def pairs(options: Iterable[str], flag: str) -> dict[str, str]:
    """Options `name=value`, by name."""
    found: dict[str, str] = {}
    for each in options:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{flag} is given as name=value, not {each!r}")
        if name in found:
            raise click.UsageError(f"{flag} gives {name!r} twice")
        found[name] = value
    return found


def secrets(options: Iterable[str]) -> dict[str, str]:
    """Secrets by name, from where they were said to be: `@file`, `env:NAME` or `-` (stdin)."""
    found: dict[str, str] = {}
    for name, source in pairs(options, "--secret").items():
        if source == "-":
            found[name] = sys.stdin.read().rstrip("\r\n")
        elif source.startswith("@"):
            try:
                found[name] = Path(source[1:]).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"--secret {name}: {source[1:]} cannot be read: {error}"
                ) from error
        elif source.startswith("env:"):
            variable = source.removeprefix("env:")
            if not os.environ.get(variable):
                raise ConfigError(f"--secret {name}: the variable {variable} is not set, or empty")
            found[name] = os.environ[variable]
        else:
            raise click.UsageError(
                f"--secret says where {name} is, not what: {name}=@FILE, {name}=env:NAME or {name}=- "
                "(stdin). On a command line, others would see it"
            )
        if not found[name]:
            raise ConfigError(f"--secret {name}: nothing is there")
    return found


def refuse_open_secrets(names: Iterable[str]) -> None:
    """Refuse secrets that were given as a plain `--field`."""
    for name in names:
        raise click.UsageError(
            f"{name} is a secret: give it as --secret {name}=env:NAME, @FILE or - (stdin), so "
            "that it stays out of your shell's history"
        )
