from typing import Any

import acme
import pytest
import salesforce_acme_contacts

from halflap import UpstreamError, salesforce
from halflap.testing import Run

PAIRS = [{"salesforce": "003A", "acme": "4"}]
ADA = acme.Contact(id="4", external_id="003A", name="Ada King", email="ada@initech.example")
SAVED = salesforce.Saved(id="003A", created=True)


# Salesforce contact


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("Ada", "King", "Ada King"),
        (None, "King", "King"),
        ("Ada Augusta", "King", "Ada Augusta King"),
    ],
)
async def test_a_new_contact_is_created_in_acme_and_remembered(
    run: Run, first: str | None, last: str, name: str
):
    result = await run(
        salesforce_acme_contacts.contact,
        salesforce.Contact(Id="003A", FirstName=first, LastName=last, Email="ada@initech.example"),
        stubs={acme.create_contact: ADA},
    )
    assert result.steps == [
        acme.create_contact.call(external_id="003A", name=name, email="ada@initech.example")
    ]
    assert result.steps[0].title == "Create a Contact"
    assert result.paired["contacts"] == PAIRS


async def test_a_known_contact_is_updated_in_acme_and_its_email_cleared(run: Run):
    result = await run(
        salesforce_acme_contacts.contact,
        salesforce.Contact(Id="003A", LastName="King"),
        stubs={acme.update_contact: ADA},
        paired={salesforce_acme_contacts.contacts: PAIRS},
    )
    assert result.steps == [acme.update_contact.call(id="4", name="King", email=None)]
    assert result.steps[0].title == "Update a Contact"


# Acme contact


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Ada King", "Ada", "King"),
        ("King", None, "King"),
        ("Ada Augusta King", "Ada Augusta", "King"),
    ],
)
async def test_a_contact_of_acme_is_made_in_salesforce_under_its_id_there(
    run: Run, name: str, first: str | None, last: str
):
    result = await run(
        salesforce_acme_contacts.acme_contact,
        ADA.model_copy(update={"name": name}),
        stubs={salesforce.upsert_record: SAVED},
    )
    assert result.steps == [
        salesforce.upsert_record.call(
            object="Contact",
            external_id="External_Id__c",
            value="4",
            fields={"FirstName": first, "LastName": last, "Email": "ada@initech.example"},
        )
    ]
    assert result.steps[0].title == "Create a Contact"
    assert result.paired["contacts"] == PAIRS


async def test_a_known_contact_is_updated_in_salesforce(run: Run):
    result = await run(
        salesforce_acme_contacts.acme_contact,
        ADA,
        stubs={salesforce.update_record: SAVED},
        paired={salesforce_acme_contacts.contacts: PAIRS},
    )
    fields = {"FirstName": "Ada", "LastName": "King", "Email": "ada@initech.example"}
    assert result.steps == [
        salesforce.update_record.call(object="Contact", id="003A", fields=fields)
    ]


async def test_a_contact_whose_answer_was_lost_is_made_once(run: Run):
    tries: list[Any] = []

    def upsert(**inputs: Any) -> salesforce.Saved:
        tries.append(inputs)
        if len(tries) == 1:
            raise UpstreamError("the answer is lost", retryable=True)
        return SAVED

    result = await run(
        salesforce_acme_contacts.acme_contact, ADA, stubs={salesforce.upsert_record: upsert}
    )
    assert result.state == "succeeded"
    assert tries[0] == tries[1]
    assert result.paired["contacts"] == PAIRS


def test_the_new_flows_subscribe_themselves():
    flows = salesforce_acme_contacts.integration.flows
    subscribing = {name for name, flow in flows.items() if flow.trigger.subscribes}
    assert subscribing == {"contact", "acme_contact", "opportunity_amount"}
