"""`halflap users` and `halflap console`: the members of the team, and signing in to the console."""

from __future__ import annotations

from typing import get_args

import click

from halflap.api.people_view import LinkView, UserAdded, UserView
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks, sure, yes_option
from halflap.console.app import NOT_BUILT, PREFIX, Console
from halflap.errors import HalflapError
from halflap.model import TeamRole

ROLE = click.Choice(get_args(TeamRole))


@click.command("console")
@click.option("--email", help="Whom the link signs in; the built-in owner, where left out.")
@speaks()
async def console(api: Client, output: Output, email: str | None) -> None:
    """Print a link that signs you in to the console, once and within 10 minutes.

    Example: halflap console
    """
    made = await api.post(LinkView, "links", json={"email": email})
    output.answer(made, made.url)


async def console_lines(api: Client, again: str = "halflap console") -> list[str]:
    """Return what leads to the console of a server on this machine: a link for the built-in owner.

    `again` is the command that makes another one.
    """
    try:
        made = await api.post(LinkView, "links", json={}) if Console().is_built else None
    except HalflapError as error:
        return [error.message]
    if made is None:
        return [NOT_BUILT]
    address = f"{api.where}{PREFIX}/sign-in#link={made.link}"
    return [address, f"signs you in once, within 10 minutes; another link: {again}"]


@click.group("users", cls=CommandGroup)
def users() -> None:
    """Manage the members of the team, who sign in to the console.

    Example: halflap users add ada@example.com --role support
    """


@users.command("list")
@speaks()
async def list_users(api: Client, output: Output) -> None:
    """List the members of the team, by email.

    Example: halflap users list
    """
    output.listing(
        await api.list(UserView, "users"),
        ("email", "role", "name", "id", "signed in"),
        lambda each: (
            each.email,
            each.role,
            each.name,
            each.id,
            ("disabled", "yellow")
            if each.disabled
            else (ago(each.signed_in_at) if each.signed_in_at else "never", "dim"),
        ),
        "no users yet; the first: halflap users add EMAIL --role owner",
    )


@users.command("add")
@click.argument("email")
@click.option("--role", type=ROLE, default="viewer", show_default=True)
@click.option("--name", default="", help="The name, for people.")
@speaks(make=True)
async def add_user(api: Client, output: Output, **draft: str) -> None:
    """Add a member of the team, and print a link that signs the person in once, within 24 hours.

    Example: halflap users add ada@example.com --role support
    """
    made = await api.post(UserAdded, "users", json=draft)
    if output.emitted(made):
        return
    output.line("added ", (made.email, "bold"), (f"  {made.id}, {made.role}", "dim"))
    output.line(made.url)


@users.command("set-role")
@click.argument("user")
@click.argument("role", type=ROLE)
@speaks()
async def set_role(api: Client, output: Output, user: str, role: str) -> None:
    """Give a member of the team another role, which ends the user's sessions.

    Example: halflap users set-role ada@example.com developer
    """
    changed = await api.patch(UserView, "users", user, json={"role": role})
    output.answer(changed, f"{changed.email} is {changed.role} now")


@users.command("disable")
@click.argument("user")
@click.option("--off", is_flag=True, help="Let the user sign in again.")
@speaks()
async def disable_user(api: Client, output: Output, user: str, off: bool) -> None:
    """Disable a member of the team: ends the user's sessions, and refuses the user's keys.

    Example: halflap users disable ada@example.com
    """
    changed = await api.patch(UserView, "users", user, json={"disabled": not off})
    state = "disabled" if changed.disabled else "enabled"
    output.answer(changed, f"{changed.email} is {state}")


@users.command("link")
@click.argument("user")
@speaks()
async def link_user(api: Client, output: Output, user: str) -> None:
    """Print a link that signs in a member of the team once, within 10 minutes.

    Example: halflap users link ada@example.com
    """
    made = await api.post(LinkView, "links", json={"email": user})
    output.answer(made, made.url)


@users.command("remove")
@click.argument("user")
@yes_option
@speaks()
async def remove_user(api: Client, output: Output, user: str, yes: bool) -> None:
    """Remove a member of the team, with the user's sessions and keys.

    Example: halflap users remove ada@example.com
    """
    sure(yes, f"Remove {user}, with all keys that this user made?")
    await api.delete("users", user)
    output.answer({"removed": user}, f"removed {user}")
