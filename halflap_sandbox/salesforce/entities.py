"""The standard objects that a new org has, and what Salesforce itself works out in their records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from halflap_sandbox.salesforce.model import (
    ConnectedApp,
    Entity,
    Field,
    FieldType,
    Org,
    User,
    Values,
    World,
    timestamp,
)

STAGES: dict[str, tuple[int, str]] = {
    "Prospecting": (10, "Pipeline"),
    "Qualification": (10, "Pipeline"),
    "Needs Analysis": (20, "Pipeline"),
    "Value Proposition": (50, "Pipeline"),
    "Id. Decision Makers": (60, "Pipeline"),
    "Perception Analysis": (70, "Pipeline"),
    "Proposal/Price Quote": (75, "Pipeline"),
    "Negotiation/Review": (90, "Pipeline"),
    "Closed Won": (100, "Closed"),
    "Closed Lost": (0, "Omitted"),
}
"""The stages of an opportunity: its probability in percent, its forecast category."""

_INDUSTRIES = (
    *("Agriculture", "Banking", "Construction", "Education", "Energy", "Engineering"),
    *("Finance", "Healthcare", "Manufacturing", "Retail", "Technology", "Other"),
)
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
PASSWORD, SECURITY_TOKEN = "password", "TOKEN"
_LOOPBACK = tuple(f"{s}://{h}" for s in ("http", "https") for h in ("127.0.0.1", "localhost"))


def _field(name: str, label: str, type: FieldType, length: int = 0, **more: Any) -> Field:
    return Field(name=name, label=label, type=type, length=length, **more)


def _text(name: str, label: str, length: int = 255, **more: Any) -> Field:
    return _field(name, label, "string", length, **more)


def _money(name: str, label: str, **more: Any) -> Field:
    return _field(name, label, "currency", precision=18, scale=2, **more)


def _refers(name: str, label: str, *to: str, **more: Any) -> Field:
    return _field(name, label, "reference", 18, reference_to=to, **more)


def _worked_out(field: FieldType, name: str, label: str, **more: Any) -> Field:
    return _field(name, label, field, createable=False, updateable=False, **more)


def _picked(name: str, label: str, values: Iterable[str], **more: Any) -> Field:
    return _field(name, label, "picklist", 255, picklist=tuple(values), **more)


def _address(prefix: str, label: str) -> tuple[Field, ...]:
    return (
        _field(f"{prefix}Street", f"{label} Street", "textarea", 255),
        _text(f"{prefix}City", f"{label} City", 40),
        _text(f"{prefix}State", f"{label} State/Province", 80),
        _text(f"{prefix}PostalCode", f"{label} Zip/Postal Code", 20),
        _text(f"{prefix}Country", f"{label} Country", 80),
    )


def _entity(name: str, label: str, plural: str, prefix: str, *own: Field) -> Entity:
    read_only: dict[str, Any] = {"createable": False, "updateable": False}
    owner = () if name == "User" else (_refers("OwnerId", "Owner ID", "User"),)
    fields = (
        _field("Id", f"{label} ID", "id", 18, **read_only),
        _field("IsDeleted", "Deleted", "boolean", default=False, **read_only),
        *own,
        *owner,
        _text("External_Id__c", "External Id", external_id=True, unique=True),
        _field("CreatedDate", "Created Date", "datetime", **read_only),
        _refers("CreatedById", "Created By ID", "User", **read_only),
        _field("LastModifiedDate", "Last Modified Date", "datetime", **read_only),
        _refers("LastModifiedById", "Last Modified By ID", "User", **read_only),
        _field("SystemModstamp", "System Modstamp", "datetime", **read_only),
    )
    return Entity(
        name=name, label=label, plural=plural, prefix=prefix, fields={f.name: f for f in fields}
    )


def _account() -> Entity:
    types = ("Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner", "Other")
    return _entity(
        "Account",
        "Account",
        "Accounts",
        "001",
        _text("Name", "Account Name", required=True),
        _picked("Type", "Account Type", types),
        _refers("ParentId", "Parent Account ID", "Account"),
        *_address("Billing", "Billing"),
        *_address("Shipping", "Shipping"),
        _field("Phone", "Account Phone", "phone", 40),
        _text("AccountNumber", "Account Number", 40),
        _field("Website", "Website", "url", 255),
        _picked("Industry", "Industry", _INDUSTRIES),
        _field("AnnualRevenue", "Annual Revenue", "currency", precision=18),
        _field("NumberOfEmployees", "Employees", "int", precision=8),
        _field("Description", "Account Description", "textarea", 32000),
        _picked("Rating", "Account Rating", ("Hot", "Warm", "Cold")),
        _text("Legacy_Id__c", "Legacy Id", 80, external_id=True),
    )


def _opportunity() -> Entity:
    categories = ("Omitted", "Pipeline", "Best Case", "Forecast", "Closed")
    kinds = ("Existing Business", "New Business")
    return _entity(
        "Opportunity",
        "Opportunity",
        "Opportunities",
        "006",
        _refers("AccountId", "Account ID", "Account"),
        _text("Name", "Name", 120, required=True),
        _field("Description", "Description", "textarea", 32000),
        _picked("StageName", "Stage", STAGES, required=True),
        _money("Amount", "Amount"),
        _field("Probability", "Probability (%)", "percent", precision=3),
        _worked_out("currency", "ExpectedRevenue", "Expected Amount", precision=18, scale=2),
        _field("TotalOpportunityQuantity", "Quantity", "double", precision=18, scale=2),
        _field("CloseDate", "Close Date", "date", required=True),
        _picked("Type", "Opportunity Type", kinds),
        _text("NextStep", "Next Step"),
        _picked("LeadSource", "Lead Source", _SOURCES),
        _worked_out("boolean", "IsClosed", "Closed", default=False),
        _worked_out("boolean", "IsWon", "Won", default=False),
        _worked_out("picklist", "ForecastCategory", "Forecast Category", picklist=categories),
        _field("IsPrivate", "Private", "boolean", default=False),
    )


def _person(*, company: bool) -> tuple[Field, ...]:
    title = _text("Title", "Title", 128)
    owner = _text("Company", "Company", required=True) if company else None
    return (
        _text("LastName", "Last Name", 80, required=True),
        _text("FirstName", "First Name", 40),
        _picked("Salutation", "Salutation", ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")),
        _worked_out("string", "Name", "Full Name", length=121),
        title,
        *((owner,) if owner else ()),
        _field("Phone", "Phone", "phone", 40),
        _field("MobilePhone", "Mobile Phone", "phone", 40),
        _field("Email", "Email", "email", 80),
        _picked("LeadSource", "Lead Source", _SOURCES),
        _field("Description", "Description", "textarea", 32000),
    )


def _contact() -> Entity:
    return _entity(
        "Contact",
        "Contact",
        "Contacts",
        "003",
        _refers("AccountId", "Account ID", "Account"),
        *_person(company=False),
        *_address("Mailing", "Mailing"),
        _text("Department", "Department", 80),
        _field("Birthdate", "Birthdate", "date"),
        _field("HasOptedOutOfEmail", "Email Opt Out", "boolean", default=False),
    )


def _lead() -> Entity:
    states = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted")
    return _entity(
        "Lead",
        "Lead",
        "Leads",
        "00Q",
        *_person(company=True),
        *_address("", "Lead"),
        _field("Website", "Website", "url", 255),
        _picked("Status", "Status", (*states, "Closed - Not Converted"), default=states[0]),
        _picked("Industry", "Industry", _INDUSTRIES),
        _picked("Rating", "Rating", ("Hot", "Warm", "Cold")),
        _field("AnnualRevenue", "Annual Revenue", "currency", precision=18),
        _field("NumberOfEmployees", "Employees", "int", precision=8),
        _worked_out("boolean", "IsConverted", "Converted", default=False),
    )


def _task() -> Entity:
    states = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
    return _entity(
        "Task",
        "Task",
        "Tasks",
        "00T",
        _refers("WhoId", "Name ID", "Contact", "Lead"),
        _refers("WhatId", "Related To ID", "Account", "Opportunity"),
        _text("Subject", "Subject"),
        _field("ActivityDate", "Due Date Only", "date"),
        _picked("Status", "Status", states, default="Not Started"),
        _picked("Priority", "Priority", ("High", "Normal", "Low"), default="Normal"),
        _field("Description", "Description", "textarea", 32000),
        _worked_out("boolean", "IsClosed", "Closed", default=False),
    )


def _user() -> Entity:
    def worked_out(name: str, label: str, type: FieldType = "string", length: int = 80) -> Field:
        return _worked_out(type, name, label, length=length)

    entity = _entity(
        "User",
        "User",
        "Users",
        "005",
        worked_out("Username", "Username"),
        worked_out("LastName", "Last Name"),
        worked_out("FirstName", "First Name", length=40),
        worked_out("Name", "Full Name", length=121),
        worked_out("Email", "Email", "email", 128),
        worked_out("Alias", "Alias", length=8),
        worked_out("IsActive", "Active", "boolean", 0),
        worked_out("TimeZoneSidKey", "Time Zone", length=40),
        worked_out("LocaleSidKey", "Locale", length=40),
        worked_out("UserType", "User Type", length=40),
    )
    external_id = entity.fields["External_Id__c"]
    entity.fields["External_Id__c"] = _worked_out(
        "string", external_id.name, external_id.label, length=255, external_id=True, unique=True
    )
    return entity


def _organization() -> Entity:
    read_only: dict[str, Any] = {"createable": False, "updateable": False}
    fields = (
        _field("Id", "Organization ID", "id", 18, **read_only),
        _text("Name", "Name", 80, **read_only),
        _text("OrganizationType", "Edition", 40, **read_only),
        _text("InstanceName", "Instance Name", 5, **read_only),
        _field("IsSandbox", "Is Sandbox", "boolean", default=False, **read_only),
    )
    return Entity(
        name="Organization",
        label="Organization",
        plural="Organizations",
        prefix="00D",
        fields={f.name: f for f in fields},
    )


def standard_objects() -> list[Entity]:
    """Make the objects that every org has."""
    records = [_account(), _opportunity(), _contact(), _lead(), _task()]
    return [*records, _user(), _organization()]


def work_out(object: str, values: Values, given: Collection[str]) -> None:
    """Fill in what Salesforce works out itself of a record that is being saved.

    `given` names the fields that the request sets.
    """
    if (rule := _RULES.get(object)) is not None:
        rule(values, given)


def _opportunity_rule(values: Values, given: Collection[str]) -> None:
    stage = values["StageName"]
    probability, category = STAGES.get(str(stage), (0, "Pipeline"))
    if "StageName" in given and "Probability" not in given:
        values["Probability"] = Decimal(probability)
    values["IsClosed"] = category in ("Closed", "Omitted")
    values["IsWon"] = stage == "Closed Won"
    values["ForecastCategory"] = category
    amount, percent = values["Amount"], values["Probability"]
    expected = None
    if isinstance(amount, Decimal) and isinstance(percent, Decimal):
        expected = (amount * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
    values["ExpectedRevenue"] = expected


def _person_rule(values: Values, given: Collection[str]) -> None:
    parts = (values["FirstName"], values["LastName"])
    values["Name"] = " ".join(str(part) for part in parts if part)


def _task_rule(values: Values, given: Collection[str]) -> None:
    values["IsClosed"] = values["Status"] == "Completed"


_RULES: dict[str, Callable[[Values, Collection[str]], None]] = {
    "Opportunity": _opportunity_rule,
    "Contact": _person_rule,
    "Lead": _person_rule,
    "Task": _task_rule,
}


def new_org(
    world: World,
    name: str,
    *,
    production: bool = True,
    clock: Callable[[], float] | None = None,
    certificate: str | None = None,
) -> Org:
    """Add an org to the world, with the standard objects, an administrator and a connected app.

    The user is `admin@<name>.example` (password `password`, security token `TOKEN`), the app
    `halflap-<name>` (secret `secret-<name>`), which any loopback address may receive codes for;
    `certificate` (PEM) lets it sign in by JWT.
    """
    org = Org(name=name, production=production, clock=clock or world.clock)
    for entity in standard_objects():
        org.entities[entity.name] = entity
        org.tables[entity.name] = {}
    org.tables["Organization"][org.id] = {
        "Id": org.id,
        "Name": name,
        "OrganizationType": "Developer Edition",
        "InstanceName": "SBX",
        "IsSandbox": not production,
    }
    slug = name.lower().replace(" ", "-")
    admin = add_user(org, f"admin@{slug}.example", first="Ada", last="Admin")
    org.apps[f"halflap-{slug}"] = ConnectedApp(
        client_id=f"halflap-{slug}",
        client_secret=f"secret-{slug}",
        redirect_uris=_LOOPBACK,
        certificate=certificate,
        run_as=admin.username,
    )
    world.add(org)
    return org


def add_user(org: Org, username: str, *, first: str, last: str, password: str = PASSWORD) -> User:
    """Add a user to an org, and their record of the object `User`."""
    user = User(
        id=org.new_id("005"),
        username=username,
        password=password,
        security_token=SECURITY_TOKEN,
        email=username,
        display_name=f"{first} {last}",
    )
    org.users[user.id] = user
    now = timestamp(int(org.clock()))
    record: Values = dict.fromkeys(org.entities["User"].fields)
    record |= {
        "Id": user.id,
        "IsDeleted": False,
        "Username": username,
        "FirstName": first,
        "LastName": last,
        "Name": user.display_name,
        "Email": user.email,
        "Alias": first[:8].lower(),
        "IsActive": True,
        "TimeZoneSidKey": "Europe/Berlin",
        "LocaleSidKey": "en_US",
        "UserType": "Standard",
        "CreatedById": user.id,
        "LastModifiedById": user.id,
    }
    record |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), now)
    org.tables["User"][user.id] = record
    return user
