"""Things that the documentation says exist do exist, and those that it says do not exist do not.

Names in code spans are looked up where the code has them: commands and their options, settings, routes
of the API, rules of lint, errors and public names, keys of YAML documents. What the pages say is not
possible, or not there yet, stands in `ABSENT` with a probe, which fails once it is there.
"""

from __future__ import annotations

import builtins
import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import click
import pytest

import halflap
from halflap import Context, HalflapError, errors
from halflap.api.app import create_app
from halflap.api.problem import ApiKind
from halflap.cli import main
from halflap.components.salesforce import component as salesforce
from halflap.lowcode import convert
from halflap.lowcode.document import json_schema
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.lint import RULES as DOCUMENT_RULES
from halflap.model import FlowKey
from halflap.sdk import registry
from halflap.sdk.lint import RULES as SOURCE_RULES
from halflap.server.settings import OF_PUBLISHERS, PREFIX, Settings
from tests.cases import for_each
from tests.docs.test_docs import GENERATED, PAGES, ROOT, check, name_of

WRITTEN = [
    page
    for page in (*PAGES, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md")
    if not page.read_text("utf-8").startswith(GENERATED)
    and "<!-- Made by" not in page.read_text("utf-8")
]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of code on a page."""

    where: str
    text: str


@cache
def spans() -> tuple[Span, ...]:
    found: list[Span] = []
    for page in WRITTEN:
        text = re.sub(
            r"```.*?```",
            lambda block: "\n" * block[0].count("\n"),
            page.read_text("utf-8"),
            flags=re.S,
        )
        for number, line in enumerate(text.splitlines(), 1):
            found += [
                Span(f"{name_of(page)}:{number}", each) for each in re.findall(r"`([^`]+)`", line)
            ]
    return tuple(found)


def commands(command: click.Command = main) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands(below)


OPTIONS = {
    option
    for each in commands()
    for one in each.params
    for option in (*one.opts, *one.secondary_opts)
} | {"--help", "--version"}
PLACEHOLDER = re.compile(r"[A-Z…]{2,}|…|<|\[|\|")


def test_commands_in_the_text_are_real_ones() -> None:
    wrong: list[str] = []
    for each in spans():
        if not each.text.startswith("halflap ") or PLACEHOLDER.search(each.text):
            continue
        words = shlex.split(each.text)[1:]
        try:
            check(words)
        except click.MissingParameter:
            continue
        except click.ClickException as error:
            option = re.search(r"No such option '(--[a-z-]+)'", error.message)
            if "needs" not in error.message and (option is None or option[1] not in OPTIONS):
                wrong.append(f"{each.where}: `{each.text}`: {error.message}")
    assert wrong == []


ELSEWHERE = {
    "--halflap-coverage",
    "--halflap-coverage-min",
    "--share",
    "--kind",
    "--guard",
    "--cpu",
}
"""Options of the pytest plugin and of `python -m bench`."""


def test_options_in_the_text_are_real_ones() -> None:
    wrong = [
        f"{each.where}: `{each.text}`"
        for each in spans()
        if (found := re.match(r"--[a-z][a-z-]*", each.text)) and found[0] not in OPTIONS | ELSEWHERE
    ]
    assert wrong == []


NAMED_AFTER = ("HALFLAP_SERVER_", "HALFLAP_TOKEN_")
FORMER = {"HALFLAP_RETENTION_EVENT_DAYS"}


def test_settings_in_the_text_are_real_ones() -> None:
    known = {f"{PREFIX}{each.name.upper()}" for each in fields(Settings)}
    wrong = [
        f"{each.where}: {name}"
        for each in spans()
        for name in re.findall(rf"\b{PREFIX}[A-Z_]+\b", each.text)
        if name not in known | FORMER | OF_PUBLISHERS
        and not name.startswith(NAMED_AFTER)
        and not name.endswith("_")
    ]
    assert wrong == []
    for name in FORMER:
        with pytest.raises(HalflapError):
            Settings.read({name: "1"})


def routes() -> set[tuple[str, str]]:
    described = create_app(
        cast(Any, SimpleNamespace(people=None)), "token", str, cast(Any, None)
    ).openapi()["paths"]
    return {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, each in described.items()
        for method in each
    }


UNDESCRIBED = {"/api/openapi.json"}
ROUTE = re.compile(r"^(?:(GET|POST|PUT|PATCH|DELETE) )?(/api/[\w/{}.-]+)(\?.*)?$")


def test_routes_in_the_text_are_real_ones() -> None:
    known = routes()
    paths = {path for _, path in known}
    wrong: list[str] = []
    for each in spans():
        found = ROUTE.match(each.text)
        if found is None:
            continue
        method, path = (
            found[1],
            re.sub(
                r"\{[^}]*\}|(?<=/)(?:(?:exe|ins|cus|con|bul)_\w+|[A-Z]{2,})", "{}", found[2]
            ).rstrip("/"),
        )
        if path in UNDESCRIBED:
            continue
        if (method, path) not in known if method else path not in paths:
            wrong.append(f"{each.where}: `{each.text}`")
    assert wrong == []


def test_rules_of_lint_in_the_text_are_real_ones() -> None:
    known = {each.code for each in (*DOCUMENT_RULES, *SOURCE_RULES)} | {"HF000"}
    wrong = [
        f"{each.where}: {code}"
        for each in spans()
        for code in re.findall(r"\bHF\d{3}\b", each.text)
        if code not in known
    ]
    assert wrong == []


@cache
def names() -> set[str]:
    """Return the names of the package, and those that the pages' own code defines."""
    found = {*dir(halflap), *dir(errors), *dir(builtins), *get_args(ApiKind)}
    for module in (
        "testing",
        "lowcode",
        "sdk.connection",
        "sdk.integration",
        "sdk.trigger",
        "server.settings",
    ):
        found |= {*dir(import_module(f"halflap.{module}"))}
    for path in [*(ROOT / "halflap").rglob("*.py"), *(ROOT / "halflap_sandbox").rglob("*.py")]:
        found |= {*re.findall(r"^ *class (\w+)", path.read_text("utf-8"), re.MULTILINE)}
    for page in WRITTEN:
        for block in re.findall(
            r"```(?:python|yaml|xml|sql|json|toml|text|console)\n.*?```",
            page.read_text("utf-8"),
            re.S,
        ):
            found |= {*re.findall(r"\w+", block)}
    return found


OF_OTHERS = {
    "AsyncEngine",
    "AsyncSession",
    "PlatformEventChannelMember",
    "PublishStream",
    "ManagedSubscribe",
    "RateLimit",
    "TimeoutStopSec",
}
"""Names of other programs and protocols."""


def test_class_names_in_the_text_are_real_ones() -> None:
    wrong = [
        f"{each.where}: `{each.text}`"
        for each in spans()
        if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+(\(.*\))?", each.text)
        and each.text.partition("(")[0] not in names() | OF_OTHERS
    ]
    assert wrong == []


FILES = ("db", "lock", "key")
"""Endings of files that are called `halflap.…`."""


def test_members_in_the_text_are_real_ones() -> None:
    """`ctx.sleep`, `halflap.http`, `expr.truth`."""
    given = {*re.findall(r"self\.([a-z]\w*)", inspect.getsource(Context))}
    holders: dict[str, Any] = {
        "ctx": Context,
        "halflap": halflap,
        "expr": halflap.expr,
        "schedule": halflap.schedule,
    }
    wrong: list[str] = []
    for each in spans():
        found = re.match(r"^(?:await )?(ctx|halflap|expr|schedule)\.([a-z_]\w*)", each.text)
        if found is None or hasattr(holders[found[1]], found[2]):
            continue
        if (found[1] == "ctx" and found[2] in given) or found[2] in FILES:
            continue
        try:
            import_module(f"halflap.{found[2]}")
        except ImportError:
            wrong.append(f"{each.where}: `{each.text}`")
    assert wrong == []


def keys() -> set[str]:
    """Return the keys of YAML documents, and the inputs of built-in actions and triggers."""
    found: set[str] = set()
    stack: list[Any] = [json_schema()]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            found |= (
                {*each.get("properties", {})} if isinstance(each.get("properties"), dict) else set()
            )
            stack += each.values()
        elif isinstance(each, list):
            stack += each
    for name in registry.names():
        component = registry.component(name)
        for one in (*component.actions.values(), *component.triggers.values()):
            found |= {given.name for given in one.shape.inputs}
    return found


def test_keys_of_yaml_in_the_text_are_real_ones() -> None:
    known = keys()
    wrong = [
        f"{each.where}: `{each.text}`"
        for each in spans()
        if each.where.startswith("docs/low-code/")
        and (found := re.match(r"^([a-z_]+): ", each.text))
        and found[1] not in known
        and found[1] not in names()
    ]
    assert wrong == []


def test_functions_of_expressions_in_the_text_are_real_ones() -> None:
    wrong = [
        f"{each.where}: `{each.text}`"
        for each in spans()
        for name in re.findall(r"\$([a-z][A-Za-z]+)\(", each.text)
        if name not in LIBRARY
    ]
    assert wrong == []


def made_by_hand(name: str) -> bool:
    places = (name, f"halflap/{name}", f"console/src/features/{name}")
    return any((ROOT / each).exists() for each in places)


def has_imports(module: str) -> bool:
    sources = (ROOT / "halflap").rglob("*.py")
    return any(f"import {module}" in each.read_text("utf-8") for each in sources)


def commands_named(*words: str) -> list[str]:
    found = (str(each.name) for each in commands())
    return [each for each in found if any(word in each for word in words)]


ABSENT: dict[tuple[str, str], Callable[[], bool]] = {
    ("README.md", "Not yet: an embedded marketplace"): lambda: made_by_hand("marketplace"),
    ("docs/internals.md", "There is no way back from Python to YAML"): lambda: hasattr(
        convert, "to_yaml"
    ),
    ("docs/internals.md", "not built; there is the API"): lambda: made_by_hand("marketplace"),
    ("docs/internals.md", "ids and URLs name no cell yet"): lambda: "cell" in dir(FlowKey),
    ("docs/internals.md", "structured logs only"): lambda: has_imports("opentelemetry"),
    ("docs/low-code/convert.md", "there is no way back to YAML"): lambda: hasattr(
        convert, "to_yaml"
    ),
    ("docs/scaling.md", "They are not built"): lambda: any(
        "cell" in each.name for each in fields(Settings)
    ),
    ("docs/operate.md", "There is no way back for a store"): lambda: bool(
        commands_named("downgrade")
    ),
    ("docs/components/salesforce.md", "It publishes no platform events"): lambda: any(
        "publish" in name for name in salesforce.actions
    ),
    ("docs/low-code/expressions.md", "there is no `$eval`"): lambda: "eval" in LIBRARY,
    ("docs/sandbox.md", "There is no Case, Event, Campaign"): lambda: bool(
        {"Case", "Event", "Campaign", "Product2", "Pricebook2"} & {*standard_objects()}
    ),
    ("docs/two-way.md", "**Deletions** are not passed on"): lambda: any(
        "delete" in name for name in dir(halflap.Pairs)
    ),
}
"""The things that the pages say are not there, each with a probe that is true once it is."""

SAYS_ABSENT = re.compile(
    r"\b((?<!is )not built|not there yet|not (?:yet )?(?:supported|possible|implemented)\b"
    r"|does not exist yet|[Tt]here is no way\b|Not yet:|\bunsupported\b|does not do yet)"
)


def standard_objects() -> list[str]:
    sources = (ROOT / "halflap_sandbox" / "salesforce").rglob("*.py")
    return re.findall(r'"([A-Z]\w+)"', "".join(each.read_text("utf-8") for each in sources))


@for_each(("page", "phrase"), ABSENT, ids=[f"{page}: {phrase}" for page, phrase in ABSENT])
def test_what_a_page_says_is_not_there_is_not(page: str, phrase: str) -> None:
    assert phrase in re.sub(r"\s+", " ", (ROOT / page).read_text("utf-8")), (
        f"{page} does not say so any more"
    )
    assert not ABSENT[page, phrase](), f"{page} says {phrase!r}, and it is there"


def test_whatever_a_page_says_is_not_there_has_a_probe() -> None:
    wrong: list[str] = []
    for page in WRITTEN:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for sentence in re.split(r"(?<=[.:|])\s", re.sub(r"\s+", " ", text)):
            if SAYS_ABSENT.search(sentence) and not any(
                name_of(page) == of
                and phrase.split(". ")[0] in text_of(page)
                and overlaps(sentence, phrase)
                for of, phrase in ABSENT
            ):
                wrong.append(f"{name_of(page)}: {sentence}")
    assert wrong == []


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", page.read_text("utf-8"))


def overlaps(sentence: str, phrase: str) -> bool:
    return phrase in sentence or sentence in phrase or phrase.startswith(sentence)


def test_a_name_that_is_not_there_is_noticed() -> None:
    """The control: each look-up fails for what does not exist."""
    assert "--no-such-option" not in OPTIONS
    assert "NoSuchError" not in names()
    assert "no_such_key" not in keys()
    assert ("GET", "/api/no-such") not in routes()
    assert SAYS_ABSENT.search("Kafka is not supported.")


def test_modules_that_the_glossary_and_the_tour_name_are_there() -> None:
    for page, least in (("glossary", 50), ("architecture", 25)):
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|ts))?)`", text)
        assert len(named) > least
        there = [(ROOT / "halflap" / each).exists() or (ROOT / each).exists() for each in named]
        assert [each for each, is_there in zip(named, there, strict=True) if not is_there] == []
