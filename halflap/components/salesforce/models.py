"""Salesforce's records and what else its API tells, typed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import ConfigDict, Field, computed_field, field_validator, model_validator

from halflap import Model

Writing = Literal["create", "update", "create_and_update"]
"""The kinds of writes of a record that an outbound message reports."""


class Fielded(Model):
    """An object with fields of a record by their API names: `each["Name"]`."""

    model_config = ConfigDict(extra="allow")

    @property
    def fields(self) -> Mapping[str, Any]:
        """Its fields by API name, without `Id`."""
        return self.__pydantic_extra__ or {}

    def __getitem__(self, field: str) -> Any:
        return getattr(self, "id", None) if field == "Id" else self.fields[field]

    def get(self, field: str, default: Any = None) -> Any:
        """A field's value; the default where it is absent."""
        return self[field] if field == "Id" else self.fields.get(field, default)


class Record(Fielded):
    """A record of any object: its fields by their API names, as Salesforce sent them.

    `record["Name"]` reads a field; one that is empty, or was not asked for, may be absent. In an
    outbound message, values are text.
    """

    type: str = ""
    """The API name of its object, such as `Account`."""

    id: str | None = Field(default=None, alias="Id")
    """None for the row of an aggregate query, which is no record."""

    @model_validator(mode="before")
    @classmethod
    def _says_its_type(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "attributes" not in value:
            return cast(Any, value)
        given = dict(cast("dict[str, Any]", value))
        attributes: Any = given.pop("attributes")
        return {"type": attributes["type"], **given}


class TypedRecord(Model):
    """A record whose fields have types; subclass it for an object of your own."""

    object: ClassVar[str] = ""

    id: str = Field(alias="Id")

    @computed_field
    @property
    def type(self) -> str:
        """The API name of its object, which its event tells as well."""
        return self.object

    @model_validator(mode="before")
    @classmethod
    def _is_of_this_object(cls, value: Any) -> Any:
        if isinstance(value, Record):
            value = value.model_dump(by_alias=True)
        found = cast("dict[str, Any]", value).get("type") if isinstance(value, dict) else None
        if cls.object and found and found != cls.object:
            raise ValueError(f"it is a record of {found}, and not of {cls.object}")
        return cast(Any, value)

    @classmethod
    def of(cls, record: Record) -> Self:
        """The typed record of a generic one."""
        return cls.model_validate(record)

    @classmethod
    def field_names(cls) -> list[str]:
        """The API names of the fields that it reads."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class Account(TypedRecord):
    """A company. A field that is empty at Salesforce is None."""

    object: ClassVar[str] = "Account"

    name: str = Field(alias="Name")
    account_type: str | None = Field(default=None, alias="Type")
    industry: str | None = Field(default=None, alias="Industry")
    phone: str | None = Field(default=None, alias="Phone")
    website: str | None = Field(default=None, alias="Website")
    number_of_employees: int | None = Field(default=None, alias="NumberOfEmployees")
    annual_revenue: Decimal | None = Field(default=None, alias="AnnualRevenue")
    billing_city: str | None = Field(default=None, alias="BillingCity")
    billing_country: str | None = Field(default=None, alias="BillingCountry")
    owner_id: str | None = Field(default=None, alias="OwnerId")


class Opportunity(TypedRecord):
    """A deal under way. A field that is empty at Salesforce is None."""

    object: ClassVar[str] = "Opportunity"

    name: str = Field(alias="Name")
    stage: str = Field(alias="StageName")
    amount: Decimal | None = Field(default=None, alias="Amount")
    close_date: date | None = Field(default=None, alias="CloseDate")
    probability: Decimal | None = Field(default=None, alias="Probability")
    account_id: str | None = Field(default=None, alias="AccountId")
    owner_id: str | None = Field(default=None, alias="OwnerId")


class Contact(TypedRecord):
    """A person at a company. A field that is empty at Salesforce is None."""

    object: ClassVar[str] = "Contact"

    last_name: str = Field(alias="LastName")
    first_name: str | None = Field(default=None, alias="FirstName")
    email: str | None = Field(default=None, alias="Email")
    phone: str | None = Field(default=None, alias="Phone")
    title: str | None = Field(default=None, alias="Title")
    account_id: str | None = Field(default=None, alias="AccountId")
    owner_id: str | None = Field(default=None, alias="OwnerId")


TYPED: Mapping[str, type[TypedRecord]] = {
    each.object: each for each in (Account, Opportunity, Contact)
}


class User(Model):
    """The user that a connection acts as."""

    id: str = Field(alias="user_id")
    username: str = Field(alias="preferred_username")
    organization_id: str
    name: str = ""
    email: str = ""


class Saved(Fielded):
    """A record that was written, whether it was new, and the written fields as they were saved.

    `saved["Amount"]` is what Salesforce made of the amount: trimmed, changed by a flow. There
    are no fields where they could not be read back, and none of a bulk job.
    """

    id: str
    created: bool


class Limit(Model):
    """One of an org's limits."""

    maximum: int = Field(alias="Max")
    remaining: int = Field(alias="Remaining")


class ObjectName(Model):
    """An object that records can be of."""

    id: str = Field(alias="name")
    """Its API name."""

    name: str = Field(alias="label")
    custom: bool = False


class ObjectField(Model):
    """A field of an object, as Salesforce describes it."""

    name: str
    label: str
    type: str
    nillable: bool = True
    createable: bool = False
    updateable: bool = False
    defaulted: bool = Field(False, alias="defaultedOnCreate")
    external_id: bool = Field(False, alias="externalId")
    unique: bool = False
    compound: str | None = Field(default=None, alias="compoundFieldName")
    choices: list[str] = Field([], alias="picklistValues")

    @field_validator("choices", mode="before")
    @classmethod
    def _those_that_are_active(cls, value: Any) -> list[str]:
        given = cast("list[Any]", value or [])
        return [
            each["value"] if isinstance(each, dict) else each
            for each in given
            if not isinstance(each, dict) or cast("dict[str, Any]", each).get("active", True)
        ]


class ObjectDescription(Model):
    """An object and its fields, as Salesforce describes them."""

    name: str
    label: str
    fields: list[ObjectField]


class OutboundMessage(Model):
    """An outbound message: which fields of a changed record Salesforce sends to which URL."""

    id: str
    object: str
    name: str
    url: str
    fields: list[str]
    username: str = ""


class Refused(Model):
    """A row that Salesforce did not write, and why."""

    error: str
    row: dict[str, str]
    """As it was sent."""


class BulkResult(Model):
    """The outcome of the rows of a bulk upsert."""

    id: str
    """The id of the job at Salesforce."""

    state: str
    saved: list[Saved]
    refused: list[Refused]
    unprocessed: int = 0
    """The number of rows that Salesforce did not reach, where the job failed or was aborted."""
