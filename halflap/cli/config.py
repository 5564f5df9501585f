"""The config of an instance on the command line: which version, its fields, its connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import click

from halflap.api.view import (
    ChoicesView,
    ChoiceView,
    ConnectionView,
    InstanceView,
    IntegrationView,
    VersionView,
)
from halflap.cli import ask
from halflap.cli.ask import FormField, question, read, sides_of, source_of
from halflap.cli.client import Client
from halflap.cli.control import clean
from halflap.cli.output import Output, full_name, quoted
from halflap.errors import ConfigError, NotFound

ASK = "?"
"""The value of a field that is to be asked for."""


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that answer an integration's config."""
    function = click.option(
        "--connection", "links", multiple=True, metavar="FIELD=NAME", help="A field's connection."
    )(function)
    return click.option(
        "--config",
        "answers",
        multiple=True,
        metavar="NAME=VALUE",
        help="A field's value; NAME=? asks for it, with the choices that its app lists.",
    )(function)


async def version_of(
    api: Client, integration: str, number: str | None, target: str | None
) -> VersionView:
    """A version in full: the one that is named, or that a target has, else the newest."""
    if number is None and target is None:
        listed = await api.list(IntegrationView, "integrations")
        known = {each.name: each for each in listed}
        if integration not in known:
            raise NotFound(
                f"no integration {integration!r} is deployed at {api.where}; there are: "
                f"{', '.join(known) or 'none yet'}. In its project: halflap deploy --to dev"
            )
        number = known[integration].versions[0].hash
    named = number or target or ""
    return await api.get(VersionView, "integrations", integration, "versions", named)


async def filled(
    api: Client,
    output: Output,
    customer: str,
    wanted: VersionView,
    answers: tuple[str, ...],
    links: tuple[str, ...],
    known: InstanceView | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The config's plain fields and connections: given, known already, or asked for."""
    refuse_unloaded(api, wanted)
    before: Mapping[str, Any] = known.config if known is not None else {}
    given = ask.pairs(answers, "--config")
    form = ask.SchemaForm(wanted.config)
    wished = {name for name, value in given.items() if value == ASK}
    given = {name: value for name, value in given.items() if name not in wished}
    if wished and not output.asks:
        raise ConfigError(f"--config {min(wished)}={ASK} asks, and nobody is there to answer it")
    stay = set(before) - {each.partition(".")[0] for each in given}
    if known is not None:
        stay |= set(wanted.config.get("properties") or {}) - set(given)
    stay -= wished
    listed = form.listed() - stay - set(given) if output.asks else set[str]()
    found = form.fill(given, ask=output.asks, known=stay | listed, flag="--config")
    config = {**before, **found}
    kept: dict[str, str] = dict(known.connections) if known is not None else {}
    chosen = kept | await linked(api, output, customer, wanted, links, kept)
    return await choose_listed(api, form, listed, customer, wanted, config, chosen), chosen


async def added(
    api: Client,
    output: Output,
    found: InstanceView,
    wanted: VersionView,
    answers: tuple[str, ...],
    links: tuple[str, ...],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what an instance's upgrade to a version adds to its config: given, or answered at the
    prompt.

    Only what that version needs and the instance does not have is asked for.
    """
    refuse_unloaded(api, wanted)
    given = ask.pairs(answers, "--config")
    form = ask.SchemaForm(wanted.config)
    needed = set(wanted.config.get("required") or ())
    named = {each.partition(".")[0] for each in given}
    has = set(found.config) | (set(wanted.config.get("properties") or {}) - needed)
    try:
        listed = form.listed() - (has - named) - set(given) if output.asks else set[str]()
        config = form.fill(given, ask=output.asks, known=(has - named) | listed, flag="--config")
    except ConfigError as error:
        if not error.fields:
            raise
        again = [f"--config {name}=…" for name in error.fields]
        again += [f"--config {each}" for each in map(quoted, answers)]
        again += [f"--connection {each}" for each in map(quoted, links)]
        instance = full_name(found)
        command = output.command(
            f"halflap instances upgrade {quoted(instance)} --version {wanted.number} "
            f"{' '.join(again)}"
        )
        raise ConfigError(
            f"version {wanted.number} of {wanted.integration} needs what {instance} does not "
            f"have yet: {', '.join(error.fields)}. Give it with: {command}",
            fields=error.fields,
        ) from error
    known = set(found.connections)
    chosen = await linked(api, output, found.customer_name, wanted, links, known)
    whole, customer = {**found.config, **config}, found.customer_name
    answers_of = await choose_listed(
        api, form, listed, customer, wanted, whole, {**found.connections, **chosen}
    )
    return {**config, **{name: answers_of[name] for name in listed if name in answers_of}}, chosen


async def choose_listed(
    api: Client,
    form: ask.SchemaForm,
    listed: Collection[str],
    customer: str,
    wanted: VersionView,
    config: Mapping[str, Any],
    connections: Mapping[str, str],
) -> dict[str, Any]:
    """Return the config with the fields that the connected apps list choices for, asked one by one."""
    values = dict(config)

    async def choices(field: str, search: str) -> ChoicesView:
        question = {
            "integration": wanted.integration,
            "version": wanted.hash,
            "customer": customer,
            "field": field,
            "connections": dict(connections),
            "values": values,
            "search": search,
            "limit": MOST_CHOICES,
        }
        return await api.post(ChoicesView, "sources", json=question)

    for name in form.names({}):
        field = form.field(name, {})
        if name in listed and field is not None:
            answer = await pick(field, choices)
            if answer is not None:
                values[name] = answer
    return values


async def linked(
    api: Client,
    output: Output,
    customer: str,
    wanted: VersionView,
    links: tuple[str, ...],
    known: Collection[str],
) -> dict[str, str]:
    """The connections that were given, and those that a version needs besides the known ones."""
    chosen = ask.pairs(links, "--connection")
    for field, kind in wanted.connections.items():
        if field in chosen or field not in known:
            chosen[field] = await choose(
                api, output, customer, wanted.integration, field, kind, chosen.get(field)
            )
    return chosen


def refuse_unloaded(api: Client, wanted: VersionView) -> None:
    """Refuse a version that does not load at the server: nobody knows what its config is."""
    if wanted.error:
        raise ConfigError(
            f"version {wanted.number} of {wanted.integration} does not load at {api.where}: "
            f"{wanted.error}"
        )


async def choose(
    api: Client,
    output: Output,
    customer: str,
    integration: str,
    field: str,
    kind: str,
    named: str | None = None,
) -> str:
    """The customer's connection for a field: the named, the only one that fits, or it is asked."""
    found = await api.list(ConnectionView, "connections", customer=customer)
    fitting = [each for each in found if each.component == kind]
    if named is not None and fitting:
        return named
    if len(fitting) == 1:
        output.progress((f"{field}: the connection {fitting[0].name}", "dim"))
        return fitting[0].id
    if not fitting:
        command = output.command(
            f"halflap connections add {integration}.{field} --customer {quoted(customer)}"
        )
        raise ConfigError(
            f"{field} needs a connection to {kind}, and {customer} has none. Add one: {command}"
        )
    names = ", ".join(each.name for each in fitting)
    if not output.asks:
        raise ConfigError(
            f"{field} may be one of several connections ({names}): say --connection {field}=NAME"
        )
    return click.prompt(
        f"{field}: which connection ({names})",
        type=click.Choice([each.name for each in fitting]),
        show_choices=False,
        err=True,
    )


MOST_CHOICES = 20
"""The number of choices that are shown at once."""

Choices = Callable[[str, str], Awaitable[ChoicesView]]
"""Lists the choices of a field that a search finds: a page of them."""


async def pick(field: FormField, choices: Choices) -> Any:
    """Ask for a field until the answer is one of its choices; None where it is left out."""
    source = source_of(field.schema)
    if source is None:
        return await pick_sides(field, choices)
    several = field.schema.get("type") == "array"
    page = await choices(field.path, "")
    show(field, page)
    optional = not field.required
    hint = "numbers or values, with commas" if several else "a number, a value"
    label = f"{clean(field.title)} ({hint}, or a text to search){' (optional)' * optional}"
    while True:
        answer = str(click.prompt(label, default="", show_default=False, err=True)).strip()
        if not answer:
            if optional:
                return None
            click.echo("it is needed", err=True)
            continue
        typed = [each.strip() for each in answer.split(",")] if several else [answer]
        found = [chosen(each, page) for each in typed]
        if None not in found:
            values = [each.value for each in found if each is not None]
            return values if several else values[0]
        missing = typed[found.index(None)]
        searched = await choices(field.path, missing)
        if searched.choices:
            page = searched
            show(field, page)
        elif source.get("open"):
            try:
                return read(field, answer)
            except ConfigError as error:
                click.echo(error.message, err=True)
        else:
            click.echo(f"nothing is found for {missing!r}", err=True)


async def pick_sides(field: FormField, choices: Choices) -> dict[str, Any] | None:
    """Ask for a mapping, pair by pair, until nothing more is named; None where it is left out."""
    picked: dict[str, Any] = {}
    of, to = sides_of(field.schema)
    target = FormField(f"{field.path}.to", f"{field.title}, goes to", to, True)
    while True:
        required = field.required and not picked
        left = FormField(f"{field.path}.of", f"{field.title}, which", of, required)
        name = await side(left, choices)
        if name is None:
            return picked or None
        picked[name] = await side(target, choices)


async def side(field: FormField, choices: Choices) -> Any:
    """Ask for one side of a pair: with the choices that the app lists, or as it is typed."""
    return await pick(field, choices) if source_of(field.schema) else question(field)


def show(field: FormField, page: ChoicesView) -> None:
    """Show a page of choices, numbered."""
    click.secho(f"{clean(field.title)}:", err=True)
    for number, each in enumerate(page.choices, start=1):
        value, label = clean(str(each.value)), clean(each.label)
        click.echo(f"  {number:>2}  {label}{'' if label == value else f'  ({value})'}", err=True)
    if page.next is not None:
        click.secho("  there are more: type a text to search for", dim=True, err=True)


def chosen(answer: str, page: ChoicesView) -> ChoiceView | None:
    """Return the choice of a page that an answer names: by value, by label, or by number."""
    for key in ("value", "label"):
        for each in page.choices:
            if str(getattr(each, key)) == answer:
                return each
    if answer.isdecimal() and 1 <= int(answer) <= len(page.choices):
        return page.choices[int(answer) - 1]
    return None
