"""Asks for a field whose choices the connected app lists: by number, by value, or by searching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from halflap.api.view import ChoicesView, ChoiceView
from halflap.cli.ask import FormField, question, read, sides_of, source_of
from halflap.cli.control import clean
from halflap.errors import ConfigError

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
