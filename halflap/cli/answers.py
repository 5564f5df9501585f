"""Read an integration's config from `.env`, and print the lines that it still lacks.

A plain field is its name in capitals: `greeting` is `GREETING`. A field of a connection has the
connection's name before it: `acme.api_key` is `ACME_API_KEY`, `acme.auth.client_id` is
`ACME_AUTH_CLIENT_ID`. A value that is no text is written as text or JSON. An empty one is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo

from halflap.sdk import codec
from halflap.sdk.integration import Integration
from halflap.sdk.schema import hidden_fields
from halflap.sdk.trigger import first_line
from halflap.server.settings import PREFIX


@dataclass(frozen=True, slots=True)
class Lack:
    """A line that `.env` lacks, or has wrong: the variable, and what is expected of it."""

    variable: str
    about: str

    def __str__(self) -> str:
        return f"{self.variable}=" + (f"  # {self.about}" if self.about else "")


@dataclass(slots=True)
class Answers:
    """The config as far as it is answered: plain fields, connections' values, and what lacks.

    `lacking` is by field of the config; a connection that lacks something has no values.
    """

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    connections: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    lacking: dict[str, list[Lack]] = field(default_factory=dict[str, list[Lack]])


def answered(integration: Integration[Any], environment: Mapping[str, str]) -> Answers:
    """Return an integration's config as far as these variables answer it."""
    answers = Answers()
    connections = integration.connections()
    for name, info in integration.config.model_fields.items():
        lacking: list[Lack] = []
        if name in connections:
            values = _model(connections[name], name.upper(), environment, lacking)
            if not lacking:
                answers.connections[name] = values
        else:
            _plain(name, info, name.upper(), environment, answers.config, lacking)
        if lacking:
            answers.lacking[name] = lacking
    for name in hidden_fields(integration.config, answers.config):
        answers.config.pop(name, None)
        answers.lacking.pop(name, None)
    return answers


def expected(integration: Integration[Any]) -> frozenset[str]:
    """Every variable that `.env` may answer an integration's config with."""
    connections = integration.connections()
    found: set[str] = set()
    for name in integration.config.model_fields:
        found |= (
            _variables(connections[name], name.upper()) if name in connections else {name.upper()}
        )
    return frozenset(found)


def stray(environment: Mapping[str, str], wanted: Set[str]) -> dict[str, str]:
    """The variables that are neither wanted nor for Halflap, and for each the nearest that is."""
    found = [each for each in environment if each not in wanted and not each.startswith(PREFIX)]
    return {each: next(iter(get_close_matches(each, wanted, 1)), "") for each in found}


def _variables(kind: type[BaseModel], prefix: str) -> set[str]:
    found: set[str] = set()
    for name, info in kind.model_fields.items():
        variable = f"{prefix}_{name.upper()}"
        found.add(variable)
        for model in _models(info.annotation):
            found |= {f"{variable}_KIND", *_variables(model, variable)}
    return found


def _model(
    kind: type[BaseModel], prefix: str, environment: Mapping[str, str], lacking: list[Lack]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        variable = f"{prefix}_{name.upper()}"
        models = list(_models(info.annotation))
        if models and variable not in environment:
            _way(name, info, models, variable, environment, values, lacking)
        else:
            _plain(name, info, variable, environment, values, lacking)
    return values


def _way(
    name: str,
    info: FieldInfo,
    models: list[type[BaseModel]],
    variable: str,
    environment: Mapping[str, str],
    values: dict[str, Any],
    lacking: list[Lack],
) -> None:
    """One of several ways in: the first that is answered whole, else what the nearest one lacks."""
    tries: list[tuple[int, dict[str, Any], list[Lack]]] = []
    wanted = environment.get(f"{variable}_KIND")
    for model in models:
        kind = model.model_fields.get("kind")
        if wanted is not None and kind is not None and kind.default != wanted:
            continue
        lacks: list[Lack] = []
        found = _model(model, variable, environment, lacks)
        if not lacks and (found or info.is_required()):
            values[name] = found | ({"kind": kind.default} if kind is not None else {})
            return
        tries.append((len(found), found, lacks))
    if info.is_required() or any(found for found, _, _ in tries):
        lacking += max(tries, key=lambda each: each[0])[2] if tries else []


def _plain(
    name: str,
    info: FieldInfo,
    variable: str,
    environment: Mapping[str, str],
    values: dict[str, Any],
    lacking: list[Lack],
) -> None:
    if variable not in environment:
        if info.is_required():
            lacking.append(Lack(variable, _about(info)))
        return
    try:
        values[name] = _value(info, environment[variable])
    except ValueError as error:
        lacking.append(Lack(variable, f"is wrong: {first_line(error)}"))


def _value(info: FieldInfo, text: str) -> Any:
    """A variable's text as plain data that fits the field: as it is, or read as JSON."""
    annotation: Any = info.annotation
    if annotation is SecretStr or SecretStr in get_args(annotation):
        return text
    for constraint in info.metadata:
        annotation = Annotated[annotation, constraint]
    adapter = TypeAdapter[Any](annotation)
    try:
        found = adapter.validate_python(text)
    except ValueError as wrong:
        try:
            found = adapter.validate_python(codec.decode(text.encode()))
        except ValueError:
            raise wrong from None
    return adapter.dump_python(found, mode="json", warnings=False)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each


def _about(info: FieldInfo) -> str:
    said = info.description or info.title or ""
    return " ".join(said.split())
