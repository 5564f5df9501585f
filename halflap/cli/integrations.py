"""`halflap integrations`: what is published, and the URLs that all customers share."""

from __future__ import annotations

import click

from halflap.api.view import IntegrationView, OfferView, SharedEndpointView, SharedSecrets
from halflap.cli import ask
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago, quoted
from halflap.cli.reach import speaks
from halflap.errors import NotFound


@click.group("integrations", cls=CommandGroup)
def integrations() -> None:
    """List what is published, and the URLs that all customers share.

    Example: halflap integrations list
    """


@integrations.command("list")
@speaks()
async def list_integrations(api: Client, output: Output) -> None:
    """List all integrations, with their newest version and their targets.

    Example: halflap integrations list --json
    """
    output.listing(
        await api.list(IntegrationView, "integrations"),
        ("name", "title", "version", "targets", "published?"),
        lambda each: (
            each.name,
            each.title,
            str(each.versions[0].number),
            ", ".join(each.targets),
            (ago(each.versions[0].published_at), "dim"),
        ),
        f"no integrations yet; the first: {output.command('halflap deploy')}",
    )


@integrations.command("offer")
@click.argument("integration")
@click.argument("version", required=False)
@click.option("--withdraw", is_flag=True, help="Offer it no longer; its instances stay.")
@speaks()
async def offer_integration(
    api: Client, output: Output, integration: str, version: str | None, withdraw: bool
) -> None:
    """Offer a version of an integration to customers, or withdraw it.

    Customers' tokens activate what is offered, at the offered version, and nothing else. VERSION is a
    number, a hash or a target such as `production`. Your team's token activates any version.

    Example: halflap integrations offer warehouse production
    """
    if withdraw == (version is not None):
        raise click.UsageError("say which VERSION to offer, or --withdraw")
    at = ("integrations", integration, "offer")
    if withdraw:
        await api.delete(*at)
        output.answer({"withdrawn": integration}, f"{integration} is offered no longer")
        return
    offered = await api.put(OfferView, *at, json={"version": version})
    output.answer(offered, f"offered {integration} version {offered.version.number}")


@integrations.command("endpoint")
@click.argument("integration")
@click.argument("flow", required=False)
@click.option("--secrets", "shows_secret", is_flag=True, help="Show what the app signs with, too.")
@click.option("--rotate", is_flag=True, help="Make a new secret; the former is good for a day.")
@click.option(
    "--secret",
    "given",
    metavar="SOURCE",
    help="Take the app's own secret: from env:NAME, @FILE or - (stdin).",
)
@click.option(
    "--version", "version", metavar="VERSION", help="What runs the events; `default` to unpick."
)
@speaks()
async def shared_endpoint(
    api: Client,
    output: Output,
    integration: str,
    flow: str | None,
    shows_secret: bool,
    rotate: bool,
    given: str | None,
    version: str | None,
) -> None:
    """Show or change the URL that all customers of an integration share.

    Events run on the version that the integration has in production, else on the newest, or on the
    one that you pick. FLOW may be left out where there is one.

    Example: halflap integrations endpoint salesforce-acme --rotate
    """
    if rotate and given is not None:
        raise click.UsageError("--rotate makes a secret, and --secret gives one: use one of them")
    listed = await api.get(list[SharedEndpointView], "integrations", integration, "endpoints")
    found = [each for each in listed if flow in (None, each.flow)]
    if not found:
        named = f" {flow!r}" if flow is not None else ""
        raise NotFound(
            f"{integration} has no shared endpoint{named}; it has one for each flow of "
            "@integration.preprocess(shared=True), once that is published"
        )
    changes = rotate or given is not None or version is not None
    if len(found) > 1 and (changes or shows_secret):
        names = ", ".join(each.flow for each in found)
        raise click.UsageError(f"{integration} has several shared endpoints: say which: {names}")
    if not (changes or shows_secret):
        if output.json:
            output.emit_all(found)
            return
        for each in found:
            tell(output, each, None)
        return
    one = found[0]
    at = ("integrations", integration, "endpoints", one.flow)
    if version is not None:
        one = await api.patch(SharedEndpointView, *at, json={"version": version})
    secrets: SharedSecrets | None = None
    if rotate or given is not None:
        secret = None if given is None else ask.secrets([f"secret={given}"])["secret"]
        secrets = await api.post(SharedSecrets, *at, "secret", json={"secret": secret})
    elif shows_secret:
        secrets = await api.get(SharedSecrets, *at, "secret")
    if output.emitted({**one.model_dump(), **(secrets.model_dump() if secrets else {})}):
        return
    tell(output, one, secrets)
    if version is None and not one.picked and not secrets:
        output.next(f"halflap integrations endpoint {quoted(integration)} --secrets")


def tell(output: Output, endpoint: SharedEndpointView, secrets: SharedSecrets | None) -> None:
    """Show a shared endpoint."""
    version = endpoint.version
    how = "picked" if endpoint.picked else "production's, else the newest"
    output.line((endpoint.flow, "bold"), f"  {endpoint.url}")
    output.line(f"  version {version.number}" if version else "  no version", (f"  {how}", "dim"))
    if secrets is not None:
        output.line(f"  secret {secrets.secret}")
        if secrets.former is not None:
            output.line(("  the former secret is good for a day", "dim"))
