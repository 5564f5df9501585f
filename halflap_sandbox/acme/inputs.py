"""Bodies that the routes of `/v1` read: their fields, limits and names.

Like many an app, Acme tidies some of what it is sent: what it keeps and shows is not always that.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    TypeAdapter,
    field_validator,
)

from halflap_sandbox.acme.model import EventName
from halflap_sandbox.acme.webhooks import signing_key


def _in_cents(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.01"), ROUND_HALF_UP, Context(prec=50)).copy_abs()  # "-0"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


Name = Annotated[str, Field(min_length=1, max_length=255)]
ExternalId = Annotated[str, Field(min_length=1, max_length=255)]
Seats = Annotated[StrictInt, Field(ge=0, le=10**30)]
Price = Annotated[Decimal, Field(ge=0, max_digits=38), AfterValidator(_in_cents)]
PersonName = Annotated[str, AfterValidator(_on_one_line), Field(min_length=1, max_length=255)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=255, pattern=r"^[^@\s]+@[^@\s]+$"
    ),
]
Quantity = Annotated[StrictInt, Field(gt=0, le=10**30)]

_url = TypeAdapter(AnyHttpUrl)


class Input(BaseModel):
    """A body; a field that is not known is wrong, since it is most often a misspelt one."""

    model_config = ConfigDict(extra="forbid")

    def given(self) -> dict[str, Any]:
        """Give only the fields that the body has."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class NewAccount(Input):
    """An account to create."""

    name: Name
    external_id: ExternalId | None = None


class AccountChange(Input):
    """A change of an account; fields left out stay as they are."""

    name: Name = ""
    external_id: ExternalId | None = None


class NewContact(Input):
    """A contact to create."""

    name: PersonName
    external_id: ExternalId | None = None
    email: Email | None = None
    account_id: str | None = None


class ContactChange(Input):
    """A change of a contact; fields left out stay as they are."""

    name: PersonName = ""
    external_id: ExternalId | None = None
    email: Email | None = None
    account_id: str | None = None


class NewOpportunity(Input):
    """An opportunity to create."""

    name: Name
    external_id: ExternalId | None = None
    stage: Name = "new"
    seats: Seats = 0
    price: Price = Decimal("0.00")
    account_id: str | None = None


class OpportunityChange(Input):
    """A change of an opportunity; fields left out stay as they are."""

    name: Name = ""
    external_id: ExternalId | None = None
    stage: Name = ""
    seats: Seats = 0
    price: Price = Decimal(0)
    account_id: str | None = None


class NewActivity(Input):
    """An activity to record."""

    kind: Name
    title: Annotated[str, Field(min_length=1, max_length=1000)]
    body: Annotated[str, Field(max_length=200_000)] | None = None
    external_id: ExternalId | None = None


class StockMove(Input):
    """The quantity to add or to remove."""

    quantity: Quantity


class NewWebhook(Input):
    """A webhook to register."""

    event: EventName
    url: Annotated[str, Field(max_length=2000)]
    secret: str

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        _url.validate_python(url)
        return url

    @field_validator("secret")
    @classmethod
    def _signs(cls, secret: str) -> str:
        signing_key(secret)
        return secret
