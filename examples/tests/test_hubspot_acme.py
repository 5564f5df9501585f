import acme
import hubspot_acme

from halflap import hubspot
from halflap.testing import Fake, Run

CONTACT = acme.Contact(id="c1", name="Ada Lovelace", email="ada@initech.example")
ADA = {"firstname": "Ada", "lastname": "Lovelace", "email": "ada@initech.example"}
RECORD = hubspot.Record.model_validate({"id": "7", "properties": {}})
PAIRS = [{"hubspot": "7", "acme": "c1"}]
EVENT = {"id": "7", "properties": {**ADA, "lastmodifieddate": "2026-01-02T03:04:05Z"}}


async def test_a_new_contact_is_created_in_acme_and_paired(run: Run):
    result = await run(hubspot_acme.contact, EVENT, stubs={acme.create_contact: CONTACT})
    assert result.steps == [
        acme.create_contact.call(external_id="7", name="Ada Lovelace", email="ada@initech.example")
    ]
    assert result.paired == {"contacts": PAIRS}


async def test_a_known_contact_is_updated_with_what_hubspot_has_now(run: Run):
    result = await run(
        hubspot_acme.contact,
        EVENT,
        paired={hubspot_acme.contacts: PAIRS},
        current={"hubspot/contacts/7": {**ADA, "lastname": "King"}},
        stubs={acme.update_contact: CONTACT},
    )
    assert result.steps == [
        acme.update_contact.call(id="c1", name="Ada King", email="ada@initech.example")
    ]


async def test_a_contact_without_a_name_waits_for_it(run: Run):
    nameless = {"id": "7", "properties": {**ADA, "firstname": None, "lastname": None}}
    result = await run(hubspot_acme.contact, nameless)
    assert (result.state, result.steps) == ("ignored", [])


async def test_a_contact_of_acme_is_found_in_hubspot_by_its_email(run: Run):
    result = await run(hubspot_acme.acme_contact, CONTACT, stubs={hubspot.upsert_record: RECORD})
    assert result.steps == [
        hubspot.upsert_record.call(
            object="contacts", by="email", value="ada@initech.example", properties=ADA
        )
    ]
    assert result.paired == {"contacts": PAIRS}


async def test_one_without_an_email_is_created_and_its_empty_fields_are_left_out(
    run: Run, fake: Fake
):
    fake.post("/crm/v3/objects/contacts", answers={"id": "7", "properties": {}}, status=201)
    nameless = acme.Contact(id="c1", name="Ada")
    result = await run(hubspot_acme.acme_contact, nameless, fake=fake)
    assert fake.requests[0].json == {"properties": {"firstname": "Ada"}}
    assert result.paired == {"contacts": PAIRS}


async def test_a_known_contact_of_acme_is_updated_in_hubspot(run: Run):
    result = await run(
        hubspot_acme.acme_contact,
        CONTACT.model_copy(update={"name": "Ada King"}),
        paired={hubspot_acme.contacts: PAIRS},
        stubs={hubspot.update_record: RECORD},
    )
    assert result.steps == [
        hubspot.update_record.call(
            object="contacts", id="7", properties={**ADA, "lastname": "King"}
        )
    ]
