"""First steps find the sandbox apps as a flow would reach them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from halflap.api.operations.sandboxes import Sandboxes
from halflap.sdk.egress import Egress, Policy
from tests.twoapps import Apps, both_apps


@pytest.fixture
async def apps() -> AsyncIterator[Apps]:
    async with both_apps() as running:
        yield running


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    made = Egress(Policy(allow=("127.0.0.1",)))
    yield made
    await made.close()


async def states(sandboxes: Sandboxes) -> dict[str, str]:
    return {each.app: each.state for each in await sandboxes.found()}


async def test_both_are_found_in_any_order_with_what_a_connection_is_made_of(
    apps: Apps, egress: Egress
) -> None:
    addresses = (apps.salesforce.url + "/", apps.acme.url)
    for_both = Sandboxes(egress, addresses)
    org = await apps.salesforce.org("initech")
    key = await apps.acme.workspace("initech")
    acme, salesforce = await for_both.found()
    assert (acme.app, acme.state, acme.url, acme.account) == (
        *("acme", "running", apps.acme.url, "initech"),
    )
    assert acme.fields == {"base_url": f"{apps.acme.url}/v1", "api_key": key}
    assert salesforce.fields == {
        "login_url": apps.salesforce.url,
        "auth": "Client login",
        "client_id": org["client_id"],
        "client_secret": org["client_secret"],
    }
    # The fields are what the app takes.
    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {acme.fields['api_key']}"}
        async with http.get(f"{acme.fields['base_url']}/me", headers=headers) as answer:
            assert answer.status == 200


async def test_what_is_away_empty_or_another_program_is_not_found(
    apps: Apps, egress: Egress
) -> None:
    assert await states(Sandboxes(egress)) == {"acme": "away", "salesforce": "away"}
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    some = Sandboxes(egress, (f"http://127.0.0.1:{port}", apps.acme.url, apps.salesforce.url))
    await apps.acme.workspace("initech")
    assert await states(some) == {"acme": "running", "salesforce": "away"}


async def test_an_address_that_flows_may_not_call_is_told(apps: Apps) -> None:
    await apps.acme.workspace("initech")
    public = Egress()
    found = await Sandboxes(public, (apps.acme.url,)).found()
    await public.close()
    assert [each.state for each in found] == ["refused", "refused"]
    assert "HALFLAP_EGRESS_ALLOW" in found[0].message
