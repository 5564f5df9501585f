"""Write the folder of a component from a vendor's document: trimmed, declared, typed, with a test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from halflap.cli.openapi.guess import (
    OAuthGrant,
    SignIn,
    action_name,
    first_inputs,
    in_docstring,
    paging_for,
    quoted,
    title_for,
)
from halflap.cli.openapi.trimming import Depths, Trimming, as_text
from halflap.errors import ConfigError
from halflap.sdk.openapi import ApiDocument, ApiOperation, Node, UnsupportedSpecification

BUNDLED = 3 * 1024 * 1024
"""The size from which a trimmed document would hardly fit into a version."""

CONNECTION = '''\
"""The connection to {title}, and the component."""

from __future__ import annotations

{imports}from halflap import {names}

{grants}
class {cls}(Connection):
    """{about} of {title}."""

{idempotency}    base_url: str{address}
{fields}{methods}

component = Component("{name}", title={quoted_title}, connection={cls})
'''
ACTIONS = '''\
"""Actions of {title}, declared from its OpenAPI document."""

from __future__ import annotations

from pathlib import Path

from {module}.connection import component

from halflap import Operation, {paging}Specification

SPECIFICATION = Specification(Path(__file__).with_name("openapi.json"){options})

ACTIONS = component.operations(
    SPECIFICATION,
    {{
{rows}
    }},
)
globals().update(ACTIONS)
'''
PACKAGE = '''\
"""{title}, declared from its OpenAPI document (`openapi.json` says where that is from)."""

from {module}.actions import *  # noqa: F403
from {module}.connection import {cls}, component

__all__ = ["{cls}", "component"]
'''
TEST = """\
from pathlib import Path

import pytest

import {module}
from {module}.actions import ACTIONS
from halflap.testing.quality import check_component, load_quality


@pytest.mark.parametrize("name", ACTIONS)
def test_the_document_has_the_form_of_each_action(name):
    action = ACTIONS[name]
    assert action.shape.json_schema()["type"] == "object"
    assert action.description


async def test_it_fails_and_reads_lists_as_the_platform_expects():
    quality = load_quality(Path(__file__).parents[1] / "quality.yaml")
    await check_component({module}.component, quality)
{call}"""
CALL = """

async def test_{action}_is_sent_as_the_document_says(fake):
    route = fake.on("{method}", {path}, answers={answer})
    await ACTIONS["{action}"](fake.connection({module}.{cls}{made}), **{inputs})
    assert len(route.requests) == 1
"""
GRANT = '''
class {own}({cls}):
    """{about}"""

{lines}

'''
NOTE = """\
openapi.json is a part, trimmed, of the document at {url} (version {version}).
Its licence: {licence}
"""
METHOD = """
    def headers(self) -> dict[str, str]:
"""
PROPERTY = """
    @property
    def key(self) -> str:
        \"\"\"The key, as the query carries it.\"\"\"
"""


@dataclass(frozen=True, slots=True)
class ComponentAnswers:
    """All that the document does not say, or that was asked."""

    name: str
    module: str
    title: str
    cls: str
    operations: Sequence[str]
    address: str
    sign_in: SignIn
    idempotency_header: str
    licence: str
    source: str
    depths: Depths


@dataclass(frozen=True, slots=True)
class Declared:
    """An action to be declared."""

    action: str
    operation: ApiOperation
    title: str
    first: str
    paging: str | None


def files_of(document: ApiDocument, answers: ComponentAnswers) -> dict[str, str]:
    """Return the files of a component's folder, by path; `ConfigError` for what cannot be an action."""
    origin = {
        "url": answers.source,
        "version": str(document.data.get("info", {}).get("version", "")),
        "date": date.today().isoformat(),
        "licence": answers.licence,
        "depth": answers.depths.answer,
    }
    trimmed = Trimming(document, answers.depths).trimmed(answers.operations, origin)
    if answers.sign_in.query:
        add_parameter(trimmed, answers.sign_in.query)
    text = as_text(trimmed)
    if len(text) > BUNDLED:
        raise ConfigError(
            f"the trimmed document has {len(text):,} bytes, and a version holds 4 MB in all: choose "
            "fewer operations, or a smaller --depth"
        )
    small = ApiDocument(trimmed)
    declared = declare(small, answers)
    module = answers.module
    return {
        f"{module}/openapi.json": text,
        f"{module}/LICENSE-openapi": NOTE.format(**origin),
        f"{module}/py.typed": "",
        f"{module}/connection.py": connection_text(answers),
        f"{module}/actions.py": actions_text(answers, declared),
        f"{module}/__init__.py": PACKAGE.format(**words(answers)),
        f"tests/test_{module}.py": test_text(answers, declared),
    }


def add_parameter(trimmed: Mapping[str, Any], name: str) -> None:
    """Add the key in the query to each operation: the document says that of its sign-in alone."""
    key = {"name": name, "in": "query", "required": True, "schema": {"type": "string"}}
    for methods in trimmed["paths"].values():
        for operation in methods.values():
            known = operation.setdefault("parameters", [])
            if not any(each["name"] == name for each in known):
                known.append(key)


def declare(document: ApiDocument, answers: ComponentAnswers) -> list[Declared]:
    """Return the actions of a trimmed document."""
    found: list[Declared] = []
    wrong: list[str] = []
    for id in answers.operations:
        try:
            operation = document.operation(id)
        except UnsupportedSpecification as error:
            wrong.append(f"{id}: {error}")
            continue
        action = action_name(document, id, [each.action for each in found])
        paging = paging_for(operation)
        gone = [*re.findall(r'"([^"]*)"', paging or ""), answers.sign_in.query]
        first = first_inputs(operation, gone)
        found.append(Declared(action, operation, title_for(operation, action), first, paging))
    if wrong:
        raise ConfigError("these cannot be actions; leave them out: " + "; ".join(wrong))
    return found


def words(answers: ComponentAnswers) -> dict[str, str]:
    """Return the words that the texts are filled with; what the document says is no code in them."""
    title = in_docstring(answers.title)
    return {
        "name": answers.name,
        "module": answers.module,
        "title": title,
        "quoted_title": quoted(title),
        "cls": answers.cls,
    }


def connection_text(answers: ComponentAnswers) -> str:
    """Return the module with the connection."""
    way, grants = answers.sign_in, answers.sign_in.grants
    union, known = len(grants) > 1, words(answers)
    standard = ["import base64"] if way.kind == "basic" else []
    typing = ["Annotated"] * union + ["ClassVar"] * bool(answers.idempotency_header)
    standard += [f"from typing import {', '.join(typing)}"] if typing else []
    pydantic = ["Field"] * union + ["SecretStr"] * any("SecretStr" in each for each in way.fields)
    others = [f"from pydantic import {', '.join(pydantic)}"] if pydantic else []
    others += ["from pydantic.json_schema import SkipJsonSchema"] if grants else []
    imports = "".join(f"{block}\n\n" for block in ("\n".join(standard), "\n".join(others)) if block)
    head = (
        f"    idempotency_header: ClassVar[str | None] = {quoted(answers.idempotency_header)}\n\n"
    )
    signature = PROPERTY if way.kind == "query" else METHOD
    methods = signature + "".join(f"        {each}\n" for each in way.body) if way.body else ""
    own = [own_class(answers, each) for each in grants]
    auth = " | ".join(own)
    fields = [f'auth: Annotated[{auth}, Field(discriminator="kind")]' if union else f"auth: {auth}"]
    return CONNECTION.format(
        **known,
        imports=imports,
        names=", ".join(sorted({"Component", "Connection", *(each.cls for each in grants)})),
        grants="".join(grant_text(answers, each) for each in grants),
        about=way.about,
        idempotency=head if answers.idempotency_header else "",
        address=f" = {quoted(answers.address)}" if answers.address else "",
        fields="".join(f"    {each}\n" for each in (fields if grants else way.fields)),
        methods=methods,
    )


def own_class(answers: ComponentAnswers, grant: OAuthGrant) -> str:
    """Return the name of a class that signs in."""
    return f"{answers.cls}{'SignIn' if grant.authorize_url else 'Client'}"


def grant_text(answers: ComponentAnswers, grant: OAuthGrant) -> str:
    """Return the class of a way to sign in. Its addresses are the document's: no form asks for them."""
    urls = {"authorize_url": grant.authorize_url, "token_url": grant.token_url}
    lines = [
        f"    {name}: SkipJsonSchema[str] = {quoted(url)}" for name, url in urls.items() if url
    ]
    scopes = "".join(f"{quoted(each)}, " for each in grant.scopes)
    lines += [f"    scopes: tuple[str, ...] = ({scopes.rstrip()})"] if scopes else []
    return GRANT.format(
        own=own_class(answers, grant),
        cls=grant.cls,
        about=grant.about.format(title=words(answers)["title"]),
        lines="\n".join(lines),
    )


def actions_text(answers: ComponentAnswers, declared: Sequence[Declared]) -> str:
    """Return the module with the declaration."""
    rows: list[str] = []
    for each in declared:
        parts = [quoted(each.operation.id), quoted(each.title)]
        if each.first:
            parts.append(quoted(each.first))
        if each.paging:
            parts.append(f"pages={each.paging}")
        row = f'        "{each.action}": Operation({", ".join(parts)}),'
        if len(row) > 100:
            inner = "".join(f"            {part},\n" for part in parts)
            row = f'        "{each.action}": Operation(\n{inner}        ),'
        rows.append(row)
    key = answers.sign_in.query
    return ACTIONS.format(
        **words(answers),
        paging="Paging, " if any(each.paging for each in declared) else "",
        options=f', given={{{quoted(key)}: "key"}}' if key else "",
        rows="\n".join(rows),
    )


def test_text(answers: ComponentAnswers, declared: Sequence[Declared]) -> str:
    """Return a test: that each form can be read, and that the first action sends its request."""
    first = next(
        (each for each in declared if not any(one.is_file for one in each.operation.inputs)), None
    )
    if first is None:
        return TEST.format(module=answers.module, call="")
    operation = first.operation
    needed: list[str] = operation.alternatives["of"][0] if operation.alternatives else []
    inputs = {
        each.name: sample(each.schema)
        for each in operation.inputs
        if (each.required or each.key in needed) and each.key != answers.sign_in.query
    }
    kind = (operation.answer or {}).get("type")
    call = CALL.format(
        **words(answers),
        action=first.action,
        method=operation.method,
        path=quoted(operation.path),
        answer="[]" if kind == "array" else "{}",
        inputs=repr(inputs),
        made="" if answers.address else ', base_url="https://app.example"',
    )
    return TEST.format(module=answers.module, call=call)


def sample(schema: Node) -> Any:
    """Return a value that fits a schema."""
    if options := cast("list[Node]", schema.get("anyOf") or []):
        return sample(options[0])
    if choices := schema.get("enum"):
        return choices[0]
    match schema.get("type"):
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [sample(schema.get("items") or {})] if schema.get("minItems") else []
        case "object":
            fields: Mapping[str, Node] = schema.get("properties") or {}
            needed = schema.get("required") or ()
            return {name: sample(fields.get(name) or {}) for name in needed}
        case _:
            return "a"
