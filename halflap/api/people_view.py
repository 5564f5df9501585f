"""The shapes of people and programs at the API: users, sessions, keys, the audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from halflap.api.principal import PrincipalKind
from halflap.api.rights import Right
from halflap.api.view import CustomerValue, Input, JsonObject, ListPage, Text, Time, View, pattern
from halflap.model import TeamRole

Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        max_length=254,
        pattern=pattern(r"^[^@\s\x00]+@[^@\s\x00]+$", "is no email address"),
    ),
]
YEAR_SECONDS = 366 * 86_400
Password = Annotated[SecretStr, Field(min_length=12, max_length=1_000)]


class UserView(View):
    """A member of the team."""

    id: str
    email: str
    name: str
    role: TeamRole
    disabled: bool
    has_password: bool
    made_at: Time
    signed_in_at: Time | None


class UserDraft(Input):
    """A member of the team to be added."""

    email: Email
    name: Text = ""
    role: TeamRole = "viewer"


class UserChange(Input):
    """A change of a member of the team; what is left out stays."""

    name: Text | None = None
    role: TeamRole | None = None
    disabled: bool | None = None


class LinkDraft(Input):
    """A request for a link that signs in once."""

    email: Text | None = None


class LinkView(View):
    """A link that signs in once."""

    email: str
    link: str
    """Signs in once, as `link` of `POST /api/session`."""
    url: str
    """The page that does it, with the link behind `#`, which no browser sends."""


class UserAdded(LinkView, UserView):
    """A member of the team who was just added."""


class SignInMethods(View):
    """The ways to sign in, beside a link."""

    password: bool = True
    oidc: str | None
    """The host of the team's OpenID Connect provider; null where there is none."""


class ProviderSignIn(View):
    """A sign-in at the team's provider that has begun."""

    url: str
    """Where to send the browser; it comes back to `/console/sign-in` with `code` and `state`."""


class SignInDraft(Input):
    """A sign-in: with an email and a password, with a link, or with what a provider gave the browser."""

    email: Annotated[Text | None, CustomerValue()] = None
    password: Annotated[SecretStr, Field(max_length=1_000)] | None = None
    link: Annotated[SecretStr, Field(max_length=200)] | None = None
    code: Annotated[SecretStr, Field(max_length=4_000)] | None = None
    state: Annotated[str, Field(max_length=200), CustomerValue()] = ""
    iss: Text | None = None
    """The provider, where it says so."""


class PasswordDraft(Input):
    """A new password, of 12 characters at least, and the present one."""

    password: Password
    current: Annotated[SecretStr, Field(max_length=1_000)] | None = None


class SessionView(View):
    """A session that was just started."""

    user: UserView
    csrf: str
    """Sent as `X-CSRF-Token` with each request that changes something."""


class Me(View):
    """The principal of a request."""

    kind: PrincipalKind
    """`root` (`HALFLAP_TOKEN`), `user`, `key`, or `customer` (a customer's token)."""
    id: str
    label: str
    user: UserView | None
    role: TeamRole | None
    rights: list[Right]
    customer: str | None
    """The customer that it acts for; null for the whole tenant."""
    csrf: str | None
    """Of a session: sent as `X-CSRF-Token` with each request that changes something."""


class KeyDraft(Input):
    """A key of a program to be made."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    rights: Annotated[list[Right], Field(min_length=1)]
    """Its rights; nobody makes a key with a right that they lack."""
    lasts_seconds: Annotated[int, Field(ge=1, le=YEAR_SECONDS)] = YEAR_SECONDS


class KeyView(View):
    """A key of a program, without its secret."""

    id: str
    name: str
    rights: list[Right]
    user: str | None
    """The user who made it (by id): it has no right that this user lacks, and ends with the user."""
    made_at: Time
    renewed_at: Time
    """When its present secret was made."""
    expires_at: Time
    former_until: Time | None
    """Until when the secret before is good, where it was rotated lately."""
    used_at: Time | None
    """The last use, to a minute."""


class KeyMade(KeyView):
    """A key with its secret, which is shown this once."""

    key: str


class KeyRotation(Input):
    """For how long the secret before stays good."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400


class AuditView(View):
    """A request that changed something, was refused, or showed a secret or a payload."""

    id: str
    at: Time
    kind: PrincipalKind
    """The kind of who sent it; `unknown` for a sign-in that was refused."""
    actor: str
    """The id of the user, the key or the customer's token."""
    label: str
    """The user's email, or the name of the key or the token, at that time."""
    address: str
    operation: str
    """The operation id of the route; its path where it was refused before a route was found."""
    customer: str | None
    objects: dict[str, str]
    """The ids of what it was about, by their kind; `made` is what it made."""
    names: dict[str, str]
    """By id, the name that what it names has now; an execution's is its flow's, and its record. What is
    not there any more has none."""
    customers: list[str]
    """The ids of the customers of which it changed or showed something: so many of them."""
    customer_count: int
    """The number of all of them."""
    status: int
    """Of the answer; 0 where something was changed and nobody was answered (yet)."""
    changes: JsonObject
    """The fields that were sent, without secrets and payloads: of a mapping, its names alone."""


class AuditedOperation(View):
    """An operation of which the audit log has entries."""

    operation: str
    title: str
    """Two or three words of what it does."""
    text: str
    """A sentence on what it does."""


class AuditedOperations(ListPage[AuditedOperation]):
    """The operations of which the audit log has entries, by their titles."""
