"""`halflap oauth-apps`: the team's own OAuth apps, which customers sign in through."""

from __future__ import annotations

from typing import Any

import click

from halflap.api.view import ListPage, OAuthAppView, RoutedEvent, UnroutedEventView
from halflap.cli import ask
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks, sure, yes_option


@click.group("oauth-apps", cls=CommandGroup)
def oauth_apps() -> None:
    """The team's own OAuth apps, one per component: what customers sign in through.

    Example: halflap oauth-apps list
    """


@oauth_apps.command("list")
@speaks()
async def list_oauth_apps(api: Client, output: Output) -> None:
    """List the team's own OAuth apps.

    Example: halflap oauth-apps list
    """
    output.listing(
        await api.get(list[OAuthAppView], "oauth-apps"),
        ("component", "client id", "callback", "origins", "events", "changed?"),
        lambda each: (
            each.component,
            each.client_id,
            each.callback,
            ", ".join(each.origins),
            each.url or "",
            (ago(each.changed_at), "dim"),
        ),
        "none yet; the first: " + output.command("halflap oauth-apps set COMPONENT --client-id ID"),
    )


@oauth_apps.command("set")
@click.argument("component")
@click.option("--client-id", required=True, metavar="ID", help="As the app gave it to your team.")
@click.option(
    "--secret",
    "client_secret",
    metavar="SOURCE",
    help="Its client secret: env:NAME, @FILE or - (stdin).",
)
@click.option("--callback", metavar="URL", help="Where browsers come back to, as registered there.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Where the secret may be sent: https://host, or https://*.host for all hosts below.",
)
@click.option(
    "--signing-secret",
    "signing_secret",
    metavar="SOURCE",
    help="What it signs its events with, which it sends to one URL: env:NAME, @FILE or - (stdin).",
)
@speaks()
async def set_oauth_app(api: Client, output: Output, component: str, **draft: Any) -> None:
    """Store the team's own OAuth app for a component.

    Connections that give no client id sign in through it. The secret is sealed, is no part of any
    customer's connection, and is sent to the --origin addresses alone: those that the component
    declares, where you name none. What is left out stays as it was. After another signing secret,
    what the former one signed is taken for a day.

    Example: halflap oauth-apps set salesforce --client-id 3MVG9 --secret env:SF_SECRET
    """
    given = {name: draft.pop(name) for name in ("client_secret", "signing_secret")}
    draft |= ask.secrets(f"{name}={each}" for name, each in given.items() if each is not None)
    stored = await api.put(OAuthAppView, "oauth-apps", component, json=draft)
    output.answer(stored, "stored ", (component, "bold"), f": {', '.join(stored.origins)}")
    if stored.url is not None and not output.json:
        output.line(f"  have the app send events to {stored.url}")
        if not stored.signs:
            output.line(("  they are refused until you give its --signing-secret", "yellow"))


@oauth_apps.command("unrouted")
@click.argument("component")
@click.option("--replay", "replayed", metavar="ID", help="Hand this one to the flows that take it.")
@click.option("--remove", "removed", metavar="ID", help="Remove this one.")
@speaks()
async def unrouted_events(
    api: Client, output: Output, component: str, replayed: str | None, removed: str | None
) -> None:
    """List the events of your team's OAuth app that no flow took, or replay one.

    The newest 100 of an account and 1,000 of an app are kept, for a week.

    Example: halflap oauth-apps unrouted slack
    """
    at = ("oauth-apps", component, "unrouted")
    if replayed is not None:
        routed = await api.post(RoutedEvent, *at, replayed, "replay")
        output.answer(routed, f"replayed: {routed.started} executions started")
    elif removed is not None:
        await api.delete(*at, removed)
        output.answer({"removed": removed}, f"removed {removed}")
    else:
        found = await api.get(ListPage[UnroutedEventView], *at)
        output.listing(
            found.items,
            ("id", "account", "reason", "received?"),
            lambda each: (each.id, each.account, each.reason, (ago(each.received_at), "dim")),
            "none: every event found a flow",
        )


@oauth_apps.command("remove")
@click.argument("component")
@yes_option
@speaks()
async def remove_oauth_app(api: Client, output: Output, component: str, yes: bool) -> None:
    """Remove the team's own OAuth app of a component: nobody can sign in through it any more.

    Example: halflap oauth-apps remove salesforce
    """
    sure(yes, f"Remove your team's OAuth app of {component}, and its secret?")
    await api.delete("oauth-apps", component)
    output.answer({"removed": component}, f"removed the OAuth app of {component}")
