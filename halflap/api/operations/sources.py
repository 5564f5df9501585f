"""The choices of a config's field, or of an action's input: listed by the app that is connected.

A `Source` is run with the connection of an instance, or with one that is being chosen for it, and
nothing is recorded. A config's value that is not among the choices is refused as it is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from halflap.api.operations import finding
from halflap.api.operations.connections import explained, needs_sign_in
from halflap.api.operations.kinds import name_of
from halflap.api.operations.offers import OfferOperations
from halflap.engine.definition import config_sources, connection_field, list_action
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.errors import ConfigError, DefinitionError, HalflapError, NotFound
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Integration
from halflap.sdk.schema import (
    Choice,
    ChoicePage,
    DynamicFields,
    FieldSpec,
    Source,
)
from halflap.sdk.trigger import first_line
from halflap.store.catalogue import Catalogue

if TYPE_CHECKING:
    from halflap.api.view import SourceDraft

PAGE = 100
"""The number of choices of a page, by default."""
MOST = 10_000
"""The number of choices that a value is looked for among; one beyond them is not refused."""
SHOWN = 10
LONGEST_VALUE = 1_000
"""The most characters of a choice's value."""
LONGEST_LABEL = 200
"""The most characters of a choice's label that are shown."""

Values = Mapping[str, Any]


@dataclass(slots=True)
class Sources:
    """Lists choices with customers' connections, and checks values against them."""

    catalogue: Catalogue
    resolver: Resolver
    library: Library
    offers: OfferOperations
    customer: str | None = None
    """The customer that is acted for: it lists with what a config of its own may name."""

    async def choices(self, question: SourceDraft) -> ChoicePage:
        """Return a page of choices; `ConfigError` names the field that has to be filled in first."""
        if (question.field is None) == (question.action is None):
            raise ConfigError(
                "say whose choices: a `field` of the config, or an `action` and its `input`",
                fields={"field": "give this, or `action` and `input`"},
            )
        owner, definition, question = await self._completed(question)
        if question.field is not None:
            if definition is None:
                raise ConfigError(
                    "say whose field it is: give `integration`, or `instance`",
                    fields={"integration": "is needed, as the field is one of its config"},
                )
            name, source = question.field, field_source(definition, question.field)
        else:
            name, source = await self._input_source(question, definition)
        connection = await self._connection(source, owner, definition, question)
        page = (question.search, question.cursor, question.limit)
        return await ask(name, source, connection, question.values, *page)

    async def refused(
        self,
        definition: Integration[Any],
        owner: str,
        config: Values,
        links: Mapping[str, str],
        before: tuple[Values, Mapping[str, str]],
        known: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the fields whose values the connected apps do not list, and why.

        What stands as it did `before` is not asked for again, nor is an app that nobody has signed
        to. A field is looked at after those that it depends on, and not where one of these is refused.
        `known`: what is wrong already, which an app that cannot be asked does not hide.
        """
        from halflap.api.view import SourceDraft

        wrong: dict[str, str] = {}
        unsure = {name.partition(".")[0] for name in known}
        for name, source in parents_first(definition):
            field, _, side = name.partition(".")
            value: Any = config.get(field)
            if isinstance(value, dict) and side:
                mapped = cast("dict[str, Any]", value)
                value = list(mapped if side == "of" else mapped.values())
            if not unsure.isdisjoint((field, *source.fields.values())):
                unsure.add(name)
                continue
            if source.open or value in (None, "", []):
                continue
            read = (field, *source.fields.values())
            if links == before[1] and all(config.get(e) == before[0].get(e) for e in read):
                continue
            question = SourceDraft(field=name, connections=dict(links), values=dict(config))
            given: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
            try:
                connection = await self._connection(source, owner, definition, question)
                for each in given:
                    because = await unlisted(name, source, connection, config, each)
                    if because is not None:
                        wrong[name] = because
                        unsure.add(name)
            except NotSignedIn:
                continue
            except HalflapError:
                if not known and not wrong:
                    raise
                unsure.add(name)
        return wrong

    async def _completed(
        self, question: SourceDraft
    ) -> tuple[str | None, Integration[Any] | None, SourceDraft]:
        """Return whose connections are meant, the integration, and the question with what is stored."""
        if question.instance is not None:
            found = await finding.instance(self.catalogue, question.instance, question.customer)
            plain, links = await self.catalogue.instances.revision(found.id, found.revision)
            update = {
                "version": found.version,
                "values": {**plain, **question.values},
                "connections": {**links, **question.connections},
            }
            whole = question.model_copy(update=update)
            return found.customer, await self.library.integration(found.version), whole
        named = question.customer or self.customer
        owner = None if named is None else (await self.catalogue.customers.get(named)).id
        if question.integration is None:
            return owner, None, question
        version = await self.offers.for_connection(question.integration, question.version)
        if version is None and (
            newest := await self.catalogue.versions.latest(question.integration)
        ):
            version = newest.hash
        found = await finding.version(self.catalogue, question.integration, version or "newest")
        whole = question.model_copy(update={"version": found.hash})
        return owner, await self.library.integration(found.hash), whole

    async def _input_source(
        self, question: SourceDraft, definition: Integration[Any] | None
    ) -> tuple[str, Source]:
        name, input = str(question.action), question.input
        action = await self._action(name, question, definition)
        known = {each.name: each for each in action.shape.inputs}
        if input not in known:
            raise NotFound(
                f"{name} has no input {input!r}; its inputs: {', '.join(known) or 'none'}"
            )
        source = known[input].source
        if isinstance(source, DynamicFields):  # the fields are the choices
            source = Source(source.describe, source.depends)
        if source is None:
            raise ConfigError(
                f"no app lists the values of the input {input} of {name}",
                fields={"input": "has no source"},
            )
        return input, source

    async def _action(
        self, name: str, question: SourceDraft, definition: Integration[Any] | None
    ) -> Action[..., Any]:
        if definition is not None and question.version is not None:
            return await self.library.action(question.version, name)
        owner, _, short = name.partition(".")
        found = registry.component(owner)
        if short not in found.actions:
            raise NotFound(f"{owner} has no action {short!r}; it has: {', '.join(found.actions)}")
        return found.actions[short]

    async def _connection(
        self,
        source: Source,
        owner: str | None,
        definition: Integration[Any] | None,
        question: SourceDraft,
    ) -> Connection | None:
        """Return the connection that lists; None where the action needs none."""
        wanted = list_action(source).shape.connection_type
        if wanted is None:
            return None
        field, named = "connection", question.connection
        if named is None and definition is not None:
            field = connection_field(source, definition)
            named = question.connections.get(field)
        if named is None:
            raise ConfigError(
                f"the choices are listed by {name_of(wanted)}, so choose the connection {field} first",
                fields={field: "choose a connection first"},
            )
        stored = await finding.connection(self.catalogue, named, owner)
        if stored.component != name_of(wanted):
            raise ConfigError(
                f"{stored.name!r} is a connection to {stored.component}, not to {name_of(wanted)}",
                fields={field: f"is to be a connection to {name_of(wanted)}"},
            )
        if needs_sign_in(stored):
            raise NotSignedIn(
                f"nobody has signed in to {stored.name!r} yet; authorize it, then list again",
                fields={field: "nobody has signed in yet"},
            )
        return await self.resolver.connection(wanted, stored, stored.name)


class NotSignedIn(ConfigError):
    """Nobody has signed in to the connection that lists."""


def parents_first(definition: Integration[Any]) -> list[tuple[str, Source]]:
    """Return the sources of a config's fields, each behind those that it depends on."""
    sources = config_sources(definition)
    found: dict[str, Source] = {}

    def add(name: str, below: frozenset[str]) -> None:
        if name in sources and name not in found and name not in below:
            for each in sources[name].fields.values():
                add(each, below | {name})
            found[name] = sources[name]

    for name in sources:
        add(name, frozenset())
    return [*found.items()]


def field_source(definition: Integration[Any], name: str) -> Source:
    """Return the source of a config's field; `NotFound` where it has none."""
    fields = definition.config.model_fields
    if name.partition(".")[0] not in fields:
        raise NotFound(
            f"the config of {definition.name} has no field {name!r}; it has: {', '.join(fields)}"
        )
    source = config_sources(definition).get(name)
    if source is None:
        raise ConfigError(
            f"no app lists the values of the field {name} of {definition.name}",
            fields={"field": "has no source"},
        )
    return source


async def ask(
    name: str,
    source: Source,
    connection: Connection | None,
    values: Values,
    search: str = "",
    cursor: str | None = None,
    limit: int = PAGE,
) -> ChoicePage:
    """Have the app list a page of choices."""
    action = list_action(source)
    known = action.shape.by_name
    lacking = [each for each in source.fields.values() if values.get(each) in (None, "")]
    if lacking:
        raise ConfigError(
            f"the choices of {name} depend on {', '.join(lacking)}; fill that in first",
            fields=dict.fromkeys(lacking, f"is needed first, to list the choices of {name}"),
        )
    given = {each: values[field] for each, field in source.fields.items()} | dict(source.inputs)
    given |= {"search": search} if "search" in known else {}
    given |= {"cursor": cursor} if "cursor" in known else {}
    inputs: dict[str, Any] = {}
    for each, value in given.items():
        if each not in known:
            raise DefinitionError(f"{action.name}, which lists {name}, has no input {each!r}")
        try:
            inputs[each] = known[each].adapter.validate_python(value)
        except ValidationError as error:
            field = source.fields.get(each, each)
            raise ConfigError(
                f"the choices of {name} cannot be listed: {field}: {first_line(error)}",
                fields={field: first_line(error)},
            ) from error
    if connection is not None and action.shape.connection is not None:
        inputs[action.shape.connection] = connection
    try:
        if connection is None:
            page = as_page(name, action, await action(**inputs))
        else:
            async with explained(connection) as redactor:
                page = as_page(name, action, await action(**inputs))
            page = ChoicePage.model_validate(redactor.value(page.model_dump()))
        for each in page.choices:
            check_value(name, action, each.value)
            each.label = each.label[:LONGEST_LABEL]
    except HalflapError as error:
        error.args = (f"the choices of {name} cannot be listed: {error.message}",)
        raise
    return page if "cursor" in known else cut(page, search, "search" in known, cursor, limit)


def as_page(name: str, action: Action[..., Any], found: Any) -> ChoicePage:
    """Return what an action listed as choices."""
    if isinstance(found, ChoicePage):
        return found
    if isinstance(found, list | tuple):
        listed = cast("Sequence[Any]", found)
        return ChoicePage(choices=[as_choice(action, each) for each in listed])
    kind = type(found).__name__
    raise DefinitionError(
        f"{action.name}, which lists {name}, returned {kind}; return a list of texts, (value, label) "
        "pairs or models with `id` and `name`, or a ChoicePage"
    )


def check_value(name: str, action: Action[..., Any], value: Any) -> None:
    """Refuse what no field holds, such as a whole answer of the app: customers are shown choices."""
    if isinstance(value, dict | list | tuple | set) or len(str(value)) > LONGEST_VALUE:
        raise DefinitionError(
            f"{action.name}, which lists {name}, gave a choice whose value is no number and no text "
            f"of up to {LONGEST_VALUE:,} characters"
        )


def as_choice(action: Action[..., Any], found: Any) -> Choice:
    """Return one thing that an action listed as a choice."""
    match found:
        case Choice():
            return found
        case str() | int():
            return Choice(value=found, label=str(found))
        case FieldSpec():
            return Choice(value=found.name, label=found.title or found.name, field=found)
        case (value, label):
            return Choice(value=value, label=str(label))
        case _:
            held: Any = getattr(found, "__dict__", found)
            members = cast("dict[str, Any]", held) if isinstance(held, dict) else {}
            id, name = members.get("id"), members.get("name")
            if id is None:
                raise DefinitionError(
                    f"{action.name} listed what has no `id`; a choice is a text, a (value, label) "
                    "pair, or has `id` and `name`"
                )
            return Choice(value=id, label=str(name or id))


def cut(
    page: ChoicePage, search: str, searched: bool, cursor: str | None, limit: int
) -> ChoicePage:
    """Return a page of what an action listed at once: what fits the search, from the cursor on."""
    found = page.choices
    if search and not searched:
        text = search.casefold()
        found = [e for e in found if text in e.label.casefold() or text in str(e.value).casefold()]
    if cursor is not None and not cursor.isdecimal():
        raise ConfigError("the cursor is none of ours", fields={"cursor": "take `next` of a page"})
    start = int(cursor or 0)
    end = start + limit
    return ChoicePage(choices=found[start:end], next=str(end) if end < len(found) else None)


async def unlisted(
    name: str, source: Source, connection: Connection | None, values: Values, value: Any
) -> str | None:
    """Return why a value is refused that the app does not list; None where it does."""
    searches = source.published()["search"]
    if searches:
        page = await ask(name, source, connection, values, str(value), limit=MOST)
        if any(each.value == value for each in page.choices):
            return None
    seen: list[Choice] = []
    cursor: str | None = None
    while True:
        page = await ask(name, source, connection, values, "", cursor, MOST)
        if any(each.value == value for each in page.choices):
            return None
        seen += page.choices
        if page.next is None or not page.choices:
            break
        if len(seen) >= MOST:
            return None
        cursor = page.next
    by_label = {each.label: each.value for each in seen}
    meant = by_label.get(str(value))
    if meant is None:
        close = get_close_matches(str(value), [str(each.value) for each in seen], 1)
        meant = close[0] if close else None
    hint = "" if meant is None else f"; did you mean {meant!r}?"
    some = ", ".join(repr(each.value) for each in seen[:SHOWN]) or "none"
    more = f" and {len(seen) - SHOWN} more" if len(seen) > SHOWN else ""
    return f"{value!r} is not among the choices that the app lists ({some}{more}){hint}"
