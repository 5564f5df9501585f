"""Sandbox apps are found as a flow would reach them, each with what a connection to it is made of."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib.resources import files
from typing import Any

import pytest
from starlette.applications import Starlette

from halflap.api.operations.sandboxes import APPS, Sandboxes
from halflap.components import github, hubspot, jira, salesforce, slack, stripe, twilio, zendesk
from halflap.sdk.connection import Connection, Link
from halflap.sdk.egress import Egress, Policy
from halflap_sandbox import acme as acme_sandbox
from halflap_sandbox import github as github_sandbox
from halflap_sandbox import hubspot as hubspot_sandbox
from halflap_sandbox import salesforce as salesforce_sandbox
from halflap_sandbox import serving, specified
from halflap_sandbox import slack as slack_sandbox
from halflap_sandbox import zendesk as zendesk_sandbox
from tests.twoapps import Apps, both_apps


def vendor(dialect: specified.Dialect) -> Starlette:
    """Return a sandbox of a vendor's documents."""
    folder = files("halflap.components") / dialect.name
    found = sorted(each for each in folder.iterdir() if each.name.endswith(".json"))
    return specified.create_app(dialect, [json.loads(each.read_bytes()) for each in found])


SERVERS: dict[str, Callable[[], Starlette]] = {
    "acme": partial(acme_sandbox.create_app, workspaces={"demo": "the-key"}),
    "salesforce": partial(salesforce_sandbox.create_app, orgs=["demo"]),
    "slack": partial(slack_sandbox.create_app, teams=["demo"]),
    "github": partial(github_sandbox.create_app, accounts=["demo"]),
    "hubspot": partial(hubspot_sandbox.create_app, portals=["demo"]),
    "zendesk": partial(zendesk_sandbox.create_app, accounts=["demo"]),
    **{e.name: partial(vendor, e) for e in (specified.STRIPE, specified.TWILIO, specified.JIRA)},
}
CONNECTIONS: dict[str, type[Connection]] = {
    "github": github.GitHub,
    "hubspot": hubspot.HubSpot,
    "jira": jira.Jira,
    "salesforce": salesforce.Salesforce,
    "slack": slack.Slack,
    "stripe": stripe.Stripe,
    "twilio": twilio.Twilio,
    "zendesk": zendesk.Zendesk,
}


@pytest.fixture
async def apps() -> AsyncIterator[Apps]:
    async with both_apps() as found:
        yield found


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    made = Egress(Policy(allow=("127.0.0.1",)))
    yield made
    await made.close()


async def states(egress: Egress, *addresses: str) -> dict[str, str]:
    found = await Sandboxes(egress, addresses).found()
    return {each.app: each.state for each in found if each.state != "away"}


async def test_all_are_found_in_any_order_and_a_connection_of_their_values_works(
    egress: Egress,
) -> None:
    assert set(SERVERS) == set(APPS)
    async with AsyncExitStack() as stack:
        urls = {n: await stack.enter_async_context(serving(s())) for n, s in SERVERS.items()}
        addresses: Sequence[str] = [f"{each}/" for each in reversed(urls.values())]
        found = await Sandboxes(egress, addresses).found()
        assert [each.app for each in found] == [*APPS]
        for each in found:
            assert (each.state, each.url, each.account) == ("running", urls[each.app], "demo")
            if each.app in CONNECTIONS:
                made = CONNECTIONS[each.app].model_validate(each.values)
                made._link = Link(each.app, egress=egress)
                if isinstance(made, salesforce.Salesforce):
                    auth: Any = made.auth
                    made = made.model_copy(update={"auth": await auth.refresh(egress)})
                    made._link = Link(each.app, egress=egress)
                await made.test()
        assert found == await Sandboxes(egress, addresses).found()  # no new token each time
        acme = found[APPS.index("acme")]
        assert acme.values == {"base_url": f"{urls['acme']}/v1", "api_key": "the-key"}


async def test_what_is_away_empty_or_another_program_is_not_found(
    apps: Apps, egress: Egress
) -> None:
    assert await states(egress) == {}
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    await apps.acme.workspace("initech")
    some = (f"http://127.0.0.1:{port}", apps.acme.url, apps.salesforce.url, f"{apps.acme.url}/v1")
    assert await states(egress, *some) == {"acme": "running"}


async def test_an_address_that_flows_may_not_call_is_told(apps: Apps) -> None:
    await apps.acme.workspace("initech")
    public = Egress()
    found = await Sandboxes(public, (apps.acme.url,)).found()
    await public.close()
    assert {each.state for each in found} == {"refused"}
    assert "HALFLAP_EGRESS_ALLOW" in found[0].message
