"""Salesforce: the component against a whole one, over real HTTP."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from halflap import Response, Unauthorized, UpstreamError
from halflap.components import salesforce
from halflap.components.salesforce import outbound
from halflap.sdk.egress import Egress
from halflap_sandbox.salesforce import syntax
from tests.salesforce_app import Automation, SalesforceApp, automation, salesforce_app

HOOK = "https://halflap.example/hooks/hk_1"
OTHER = "https://halflap.example/hooks/hk_2"


@pytest.fixture
async def app() -> AsyncIterator[SalesforceApp]:
    async with salesforce_app(page=3, deploy_takes=0.0) as running:
        yield running


@pytest.fixture
async def org(app: SalesforceApp) -> dict[str, Any]:
    return await app.org("initech")


@pytest.fixture
async def sf(app: SalesforceApp, org: dict[str, Any]) -> salesforce.Salesforce:
    return await app.client(org)


# Ways in


async def test_a_person_signs_in_in_the_browser(app: SalesforceApp, org: dict[str, Any]) -> None:
    client = {name: org[name] for name in ("client_id", "client_secret")}
    sf = app.connection({"kind": "oauth2_code", **client})
    assert isinstance(sf.auth, salesforce.SignIn)
    begun = sf.auth.authorization("http://127.0.0.1:8401/callback")
    form = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    form |= {"username": org["username"], "password": org["password"], "answer": "allow"}
    page = begun.url.partition("?")[0]
    async with app.http.post(page, data=form, allow_redirects=False) as answer:
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
    begun.check_state(back["state"][0])
    auth = await sf.auth.exchange(app.egress, back["code"][0], begun)
    sf = app.link(sf.model_copy(update={"auth": auth}))
    assert (sf.base_url, sf.organization_id) == (app.url, org["id"])
    await sf.test()
    await app.end_session(sf)
    assert (await salesforce.get_current_user(sf)).username == org["username"]
    assert app.refreshed == 1


async def test_a_key_pair_signs_in_by_itself(app: SalesforceApp) -> None:
    key, certificate = key_pair()
    org = await app.org("globex", certificate=certificate)
    sf = app.connection(
        {
            "kind": "jwt_bearer",
            "client_id": org["client_id"],
            "username": org["username"],
            "private_key": key,
        }
    )
    assert (await salesforce.get_current_user(sf)).organization_id == org["id"]
    stranger, _ = key_pair()
    assert isinstance(sf.auth, salesforce.KeyPair)
    wrong = sf.model_copy(
        update={"auth": sf.auth.model_copy(update={"private_key": SecretStr(stranger)})}
    )
    with pytest.raises(Unauthorized, match="connect again"):
        await app.link(wrong).refreshed()


async def test_client_credentials_sign_in_by_themselves(
    app: SalesforceApp, org: dict[str, Any]
) -> None:
    sf = await app.client(org)
    user = await salesforce.get_current_user(sf)
    assert (user.username, user.organization_id) == (org["username"], org["id"])
    assert (sf.organization_id, sf.base_url) == (org["id"], app.url)


async def test_a_session_id_is_good_until_it_ends(
    app: SalesforceApp, sf: salesforce.Salesforce
) -> None:
    auth = {"kind": "session_id", "instance_url": app.url, "session_id": sf.token}
    by_session = app.connection(auth)
    assert by_session.organization_id == sf.organization_id[:15]
    await by_session.test()
    await app.end_session(by_session)
    with pytest.raises(Unauthorized, match="connect again"):
        await salesforce.get_limits(by_session)
    with pytest.raises(Unauthorized, match="connect again"):
        await salesforce.get_current_user(by_session)
    with pytest.raises(Unauthorized, match="connect again"):
        await salesforce.list_outbound_messages(by_session)


@pytest.mark.parametrize(
    "call",
    [
        salesforce.get_limits,
        salesforce.get_current_user,
        salesforce.list_outbound_messages,
        lambda sf: salesforce.query(sf, "SELECT Id FROM Account"),
    ],
    ids=["REST", "identity", "SOAP", "query"],
)
async def test_a_session_that_ended_is_renewed(
    app: SalesforceApp, sf: salesforce.Salesforce, call: Callable[[Any], Any]
) -> None:
    await app.end_session(sf)
    before = app.refreshed
    await call(sf)
    assert app.refreshed == before + 1


# Records


async def test_a_record_is_made_read_changed_and_removed(sf: salesforce.Salesforce) -> None:
    made = await salesforce.create_record(
        sf,
        "Opportunity",
        {
            "Name": "Seats",
            "StageName": "Prospecting",
            "CloseDate": "2026-01-31",
            "Amount": Decimal("220.10"),
        },
    )
    found = await salesforce.get_record(sf, "Opportunity", made.id, ["Id", "Name", "Amount"])
    assert found is not None
    assert (found["Name"], found["Amount"], found.type) == (
        "Seats",
        Decimal("220.10"),
        "Opportunity",
    )
    await salesforce.update_record(sf, "Opportunity", made.id, {"Amount": None, "Name": "Desks"})
    found = await salesforce.get_record(sf, "Opportunity", made.id)
    assert found is not None
    assert (found.get("Amount"), found["Name"]) == (None, "Desks")
    await salesforce.delete_record(sf, "Opportunity", made.id)
    await salesforce.delete_record(sf, "Opportunity", made.id)
    assert await salesforce.get_record(sf, "Opportunity", made.id) is None
    with pytest.raises(UpstreamError, match=r"ENTITY_IS_DELETED|NOT_FOUND"):
        await salesforce.update_record(sf, "Opportunity", made.id, {"Name": "x"})


async def test_a_record_is_read_as_it_is_now(sf: salesforce.Salesforce) -> None:
    made = await salesforce.create_record(sf, "Account", {"Name": "Initech"})
    now = await sf.current("Account", made.id, ("Name", "Phone"))
    assert now == {"Id": made.id, "Name": "Initech", "Phone": None}
    with pytest.raises(UpstreamError, match="INVALID_FIELD"):
        await sf.current("Account", made.id, ("Nope",))
    await salesforce.delete_record(sf, "Account", made.id)
    assert await sf.current("Account", made.id, ("Name",)) is None


async def test_a_refused_record_says_which_field_is_wrong(sf: salesforce.Salesforce) -> None:
    with pytest.raises(UpstreamError, match=r"REQUIRED_FIELD_MISSING.*Name") as caught:
        await salesforce.create_record(sf, "Account", {})
    assert not caught.value.retryable


HOSTILE = [
    "O'Hara",
    "\\",
    "\\'",
    "' OR Name != '",
    '"x"',
    "a\nb",
    "%",
    "_",
    "ünïcödé 漢字 🎿",
    "null",
    "{}",
]


async def test_hostile_names_are_found_and_nothing_else(sf: salesforce.Salesforce) -> None:
    for name in HOSTILE:
        await salesforce.create_record(sf, "Account", {"Name": name})
    for name in HOSTILE:
        found = await salesforce.query(
            sf, "SELECT Name FROM Account WHERE Name = {name}", {"name": name}
        )
        assert [each["Name"] for each in found] == [name]
        alike = await salesforce.query(
            sf, salesforce.soql("SELECT Name FROM Account WHERE Name LIKE '{:like}'", name)
        )
        assert name in [each["Name"] for each in alike]
        assert len(alike) == 1
    listed = await salesforce.query(
        sf, "SELECT Name FROM Account WHERE Name IN {names}", {"names": HOSTILE[:3]}
    )
    assert {each["Name"] for each in listed} == {*HOSTILE[:3]}


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_whatever_a_text_is_a_query_asks_for_just_that(text: str) -> None:
    query = syntax.read(salesforce.soql("SELECT Id FROM Account WHERE Name = {} LIMIT 1", text))
    assert isinstance(query.where, syntax.Comparison)
    assert [each.value for each in query.where.literals] == [text]
    assert query.limit == 1


async def test_an_upsert_makes_one_record_however_often(sf: salesforce.Salesforce) -> None:
    described = await salesforce.describe(sf, "Account")
    external = [each.name for each in described.fields if each.external_id]
    if not external:
        pytest.skip("no external id on Account here")
    field = external[0]
    first = await salesforce.upsert_record(sf, "Account", field, "a/1 'x'", {"Name": "One"})
    second = await salesforce.upsert_record(sf, "Account", field, "a/1 'x'", {"Name": "Two"})
    assert (first.created, second.created) == (True, False)
    assert first.id == second.id
    rows = [{field: "a/1 'x'", "Name": 'Three, "3"'}, {field: "b", "Name": "Four"}, {field: "c"}]
    result = await salesforce.bulk_upsert(sf, "Account", field, rows)
    assert [each.created for each in result.saved] == [False, True]
    assert result.saved[0].id == first.id
    (refused,) = result.refused
    assert "REQUIRED_FIELD_MISSING" in refused.error
    assert refused.row[field] == "c"
    names = await salesforce.query(sf, "SELECT Name FROM Account ORDER BY Name")
    assert [each["Name"] for each in names] == ["Four", 'Three, "3"']


async def test_objects_and_fields_fill_pickers_and_forms(sf: salesforce.Salesforce) -> None:
    objects = await salesforce.list_objects(sf)
    assert {"Account", "Opportunity", "Contact"} <= {each.id for each in objects}
    assert ("StageName", "Stage") in await salesforce.list_fields(sf, "Opportunity")
    specs = {each.name: each for each in await salesforce.describe_fields(sf, "Opportunity")}
    assert specs["StageName"].required
    assert specs["StageName"].choices
    assert specs["Amount"].type == "number"
    assert not specs["Amount"].required
    assert "CreatedDate" not in specs
    limits = await salesforce.get_limits(sf)
    assert limits["DailyApiRequests"].maximum >= limits["DailyApiRequests"].remaining > 0
    assert sf.usage is not None
    assert sf.usage.used > 0


# Outbound messages


async def test_a_message_and_its_flow_are_made_once(sf: salesforce.Salesforce) -> None:
    made = await salesforce.ensure_outbound_message(sf, "Opportunity", HOOK)
    first = await automation(sf)
    assert first.messages == [made]
    assert (made.url, made.object) == (HOOK, "Opportunity")
    assert {"Id", "Name", "StageName", "Amount"} <= {*made.fields}
    (flow,) = first.flows
    assert flow["DeveloperName"] == made.name
    assert flow["ActiveVersionId"]
    assert await salesforce.ensure_outbound_message(sf, "Opportunity", HOOK) == made
    assert await automation(sf) == first


async def test_other_fields_change_the_message_in_place(sf: salesforce.Salesforce) -> None:
    made = await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name"])
    before = await automation(sf)
    again = await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name", "Phone"])
    after = await automation(sf)
    assert (again.id, again.fields) == (made.id, ["Id", "Name", "Phone"])
    assert after.messages == [again]
    assert after.flows == before.flows
    other = await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name"], on="create")
    assert other.id == made.id
    assert (await automation(sf)).versions != before.versions
    assert len((await automation(sf)).flows) == 1


async def test_a_failed_deployment_leaves_nothing_and_says_why(sf: salesforce.Salesforce) -> None:
    with pytest.raises(UpstreamError, match="Nope") as caught:
        await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Nope"])
    assert not caught.value.retryable
    assert await automation(sf) == Automation([], [])


async def test_two_endpoints_in_one_org_do_not_touch_each_other(sf: salesforce.Salesforce) -> None:
    ours = await salesforce.ensure_outbound_message(sf, "Account", HOOK)
    other = await salesforce.ensure_outbound_message(sf, "Account", OTHER)
    third = await salesforce.ensure_outbound_message(sf, "Opportunity", HOOK)
    alone = await salesforce.create_outbound_message(sf, "Account", "By_Hand", HOOK, ["Name"])
    assert len({each.name for each in (ours, other, third, alone)}) == 4
    await salesforce.delete_outbound_message(sf, ours.id)
    left = await automation(sf)
    assert {each.id for each in left.messages} == {other.id, third.id, alone.id}
    assert {each["DeveloperName"] for each in left.flows} == {other.name, third.name}
    assert all(each["ActiveVersionId"] for each in left.flows)
    await salesforce.delete_outbound_message(sf, alone.id)
    assert len((await automation(sf)).messages) == 2


async def test_a_message_is_removed_from_wherever_a_removal_stopped(
    sf: salesforce.Salesforce,
) -> None:
    async def with_two_versions() -> salesforce.OutboundMessage:
        await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name"], on="create")
        return await salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name"])

    made = await with_two_versions()
    flow = await outbound.definition(sf, made.name)
    assert flow is not None
    assert len(await outbound.versions(sf, flow["Id"])) == 2

    async def deactivated() -> None:
        await outbound.set_active(sf, flow["Id"], None)

    async def one_version_gone() -> None:
        await deactivated()
        first, _ = await outbound.versions(sf, flow["Id"])
        await sf.delete(sf.data("tooling", "sobjects", "Flow", first["Id"]))

    async def flow_gone() -> None:
        await outbound.delete_flow(sf, made.name)

    for stopped_after in (deactivated, one_version_gone, flow_gone):
        made = await with_two_versions()
        flow = await outbound.definition(sf, made.name)
        assert flow is not None
        await stopped_after()
        for _ in range(2):
            await salesforce.delete_outbound_message(sf, made.id)
        assert await automation(sf) == Automation([], [])


class Losing(Egress):
    """Carries requests out, and loses the answer of one of them."""

    def __init__(self, inner: Egress, at: int) -> None:
        self._inner, self._left = inner, at

    async def request(self, method: str, url: str, **more: Any) -> Response:
        answer = await self._inner.request(method, url, **more)
        self._left -= 1
        if self._left == 0:
            raise UpstreamError("the answer is lost")
        return answer

    @property
    def has_lost(self) -> bool:
        return self._left <= 0


async def test_whichever_answer_is_lost_a_second_try_ends_as_if_it_was_not(
    app: SalesforceApp, sf: salesforce.Salesforce
) -> None:
    kept = await salesforce.ensure_outbound_message(sf, "Account", OTHER, ["Name"])
    before = await automation(sf)
    link = sf._link
    assert link is not None

    async def with_a_lost_answer(at: int, action: Callable[[], Awaitable[Any]]) -> bool:
        losing = Losing(app.egress, at)
        link.egress = losing
        try:
            await action()
        except UpstreamError:
            link.egress = app.egress
            await action()
        finally:
            link.egress = app.egress
        return losing.has_lost

    for at in range(1, 100):
        lost = await with_a_lost_answer(
            at, lambda: salesforce.ensure_outbound_message(sf, "Account", HOOK, ["Name"])
        )
        made = await automation(sf)
        assert len(made.messages) == len(made.flows) == 2
        assert all(each["ActiveVersionId"] for each in made.flows)
        (ours,) = (each for each in made.messages if each.id != kept.id)
        lost |= await with_a_lost_answer(
            at, functools.partial(salesforce.delete_outbound_message, sf, ours.id)
        )
        assert await automation(sf) == before
        if not lost:
            break
    assert at > 6


async def test_instances_that_are_activated_at_once_get_their_messages(
    sf: salesforce.Salesforce,
) -> None:
    made = await asyncio.gather(
        *(
            salesforce.ensure_outbound_message(sf, object, url, ["Name"])
            for url in (HOOK, OTHER)
            for object in ("Account", "Opportunity")
            for _ in range(2)
        )
    )
    assert len({each.id for each in made}) == 4
    found = await automation(sf)
    assert len(found.messages) == len(found.flows) == 4


async def test_a_flow_that_somebody_switched_off_is_switched_on_again(
    sf: salesforce.Salesforce,
) -> None:
    made = await salesforce.ensure_outbound_message(sf, "Account", HOOK)
    flow = await outbound.definition(sf, made.name)
    assert flow is not None
    await outbound.set_active(sf, flow["Id"], None)
    assert (await salesforce.ensure_outbound_message(sf, "Account", HOOK)).id == made.id
    flow = await outbound.definition(sf, made.name)
    assert flow is not None
    assert flow["ActiveVersionId"]


async def test_the_urls_of_more_messages_than_one_call_reads_are_listed(
    sf: salesforce.Salesforce,
) -> None:
    for number in range(11):
        await salesforce.create_outbound_message(
            sf, "Account", f"M{number}", f"{HOOK}?a=1&b={number}", ["Name"]
        )
    listed = await salesforce.list_outbound_messages(sf)
    assert {each.url for each in listed} == {f"{HOOK}?a=1&b={number}" for number in range(11)}
    with pytest.raises(UpstreamError, match="DUPLICATE_DEVELOPER_NAME"):
        await salesforce.create_outbound_message(sf, "Account", "M1", HOOK, ["Name"])


def key_pair() -> tuple[str, str]:
    """A private key and its certificate, in PEM."""
    issued = trustme.CA().issue_cert("halflap.example", key_type=trustme.KeyType.RSA)
    key, certificate = issued.private_key_pem, issued.cert_chain_pems[0]
    return key.bytes().decode(), certificate.bytes().decode()
