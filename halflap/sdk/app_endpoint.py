"""App endpoints: one URL for all accounts that signed in through the team's OAuth app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from halflap.errors import DefinitionError
from halflap.sdk.request import Request
from halflap.sdk.signature import Verifier
from halflap.sdk.trigger import Declaration, Pick, Reply

LARGEST_EVENT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AppEndpoint:
    """The way in which an app sends the events of all accounts to the URL of the team's OAuth app.

    A connection type has one as `app_endpoint`; the triggers that are given its events say
    `app_endpoint=True`. An event goes to the flows of every connection that was signed in to as its
    account through the team's OAuth app.

    verify: the layout of the signature, made with the OAuth app's signing secret.
    account: reads which account (team, portal, installation) an event is of.
    field: where the connection has its account, among what a sign-in grants: `auth.team_id`.
    handshake: answers a challenge, once it is verified. split: cuts a request into the bodies of
    events, which may be of several accounts; each trigger is given one of them.
    answer: what the app is answered, whoever takes the event.
    """

    verify: Verifier
    account: Pick
    field: str
    handshake: Callable[[Request], Reply | None] | None = None
    split: Callable[[Request], Sequence[Any]] | None = None
    answer: Reply = Reply()
    methods: tuple[str, ...] = ("POST",)
    body_limit: int = LARGEST_EVENT

    def __post_init__(self) -> None:
        if not self.field.startswith("auth.") or self.field.count(".") != 1:
            raise DefinitionError(
                f"an AppEndpoint's field is one that a sign-in grants, auth.<name>, not {self.field!r}"
            )

    @property
    def declaration(self) -> Declaration:
        """The part of it that the gateway needs before it answers."""
        return Declaration(
            verify=self.verify,
            handshake=self.handshake,
            split=self.split,
            answer=self.answer,
            methods=self.methods,
            body_limit=self.body_limit,
        )
