"""Operations on receivers: a customer's own endpoints for signed webhooks of the product's events.

A receiver is an instance of the built-in integration `halflap-webhooks` with a connection of its own;
whether it is disabled stands in the instance's state, where its deliveries read and write it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from halflap.api.operations.app_events import AppEvents
from halflap.api.operations.bulks import BulkOperations, BulkPlan
from halflap.api.operations.instances import InstanceOperations
from halflap.api.operations.replay import ReplayRequest
from halflap.engine.bundle import Bundle, seal
from halflap.engine.deployer import Deployer
from halflap.errors import ConfigError, Conflict, EgressRefused, NotFound, UpstreamError
from halflap.model import (
    RECEIVERS,
    Bulk,
    Clock,
    ExecutionState,
    Instance,
    InstanceState,
    Micros,
    ReceiverTrouble,
    StateWrite,
    StoredConnection,
    to_datetime,
)
from halflap.sdk import codec
from halflap.sdk.egress import Egress
from halflap.sdk.event_type import is_pattern
from halflap.sdk.origin import origin
from halflap.sdk.secret import check_headers, put_together, take_apart
from halflap.sdk.signature import new_secret
from halflap.sdk.urlpath import climbs
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import InstanceFilter
from halflap.store.protocol import Filter, Journal

FIELD, COMPONENT = "receiver", "webhook"
FLOW = "deliver"
HEALTH = "health"
MOST_RECEIVERS = 50
"""The most receivers of a customer."""
SETTLES_WITHIN = 30.0
RESOLVES_WITHIN = 3.0
"""Seconds in which the name of a receiver's host is looked up; later, only as it is sent something."""
WAITING: tuple[ExecutionState, ...] = ("queued", "waiting")
MOST_WAITING = 200
"""The most deliveries that are looked at to say when the next one is tried."""
LOST: tuple[ExecutionState, ...] = ("failed", "cancelled")
"""The states of deliveries that the receiver did not take."""


LOOKED_AT = 500
"""Instances that are looked at at once for those in trouble."""
STOPPED: tuple[InstanceState, ...] = ("configured", "disabled", "failed")
"""The states of instances that are sent nothing."""


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """A receiver as it is: its instance, its connection, and what its deliveries know of it."""

    instance: Instance
    connection: StoredConnection
    header_names: tuple[str, ...]
    types: tuple[str, ...]
    health: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The URL that it is sent to."""
        return str(self.connection.fields["address"])

    @property
    def former_until(self) -> datetime | None:
        """Until when the secret before signs too."""
        text = self.connection.fields.get("former_until")
        return None if text is None else datetime.fromisoformat(str(text))


@dataclass(slots=True)
class ReceiverOperations:
    """Makes, changes, tests, enables, recovers and removes receivers."""

    catalogue: Catalogue
    team: Catalogue
    """The catalogue in no scope, in which the integration is published."""
    journal: Journal
    instances: InstanceOperations
    deployer: Deployer
    app_events: AppEvents
    bulks: BulkOperations
    egress: Egress
    clock: Clock

    async def add(
        self,
        customer: str,
        address: str,
        types: Sequence[str],
        headers: Mapping[str, str],
        name: str | None,
    ) -> tuple[ReceiverState, str]:
        """Make a receiver of a customer (by id), and return its secret, which is shown this once."""
        check_types(types)
        secret = new_secret()
        values = {"address": address, "secret": secret, "extra_headers": dict(headers)}
        parts = taken_apart(values)
        await self._judge(address)
        async with self.team.holding(f"receivers of {customer}"):
            instance = await self._add(customer, address, types, name, *parts)
        await self.deployer.activate(instance.id)
        await self.deployer.settled(instance.id, SETTLES_WITHIN)
        return await self.get(instance.id), secret

    async def _add(
        self,
        customer: str,
        address: str,
        types: Sequence[str],
        name: str | None,
        fields: Mapping[str, Any],
        secrets: Mapping[str, str],
    ) -> Instance:
        own = InstanceFilter(customer=customer, integration=RECEIVERS)
        there = await self.catalogue.instances.list(own, limit=MOST_RECEIVERS)
        if len(there) == MOST_RECEIVERS:
            raise Conflict(f"the customer has {MOST_RECEIVERS} receivers, and may have no more")
        names = {each.name for each in there}
        chosen = name or free_name(urlsplit(address).hostname or address, names)
        if await self.catalogue.instances.by_name(customer, chosen) is not None:
            raise ConfigError(
                f"the customer has something named {chosen!r} already", fields={"name": "is taken"}
            )
        taken = {each.name for each in await self.catalogue.connections.list(customer)}
        connection = await self.catalogue.connections.save(
            customer, COMPONENT, free_name(f"{chosen} (webhooks)", taken), fields, secrets
        )
        version = await self._version()
        instance = await self.catalogue.instances.add(customer, RECEIVERS, chosen, version)
        await self.catalogue.instances.set_revision(
            instance.id, {"types": list(types)}, {FIELD: connection.id}
        )
        return instance

    async def list(
        self,
        customer: str | None,
        troubles: Collection[str] = (),
        *,
        after: str | None,
        limit: int,
    ) -> list[ReceiverState]:
        """Return receivers, of a customer or all, oldest first: all, or those in trouble."""
        which = InstanceFilter(customer=customer, integration=RECEIVERS)
        if troubles:
            found, healths = await self._in_trouble(which, troubles, after, limit)
        else:
            found = await self.catalogue.instances.list(which, after=after, limit=limit)
            healths = await self.healths_of([each.id for each in found])
        reads = [self._read(each, healths.get(each.id, {})) for each in found]
        return [*await asyncio.gather(*reads)]

    async def _in_trouble(
        self, which: InstanceFilter, troubles: Collection[str], after: str | None, limit: int
    ) -> tuple[Sequence[Instance], Mapping[str, Mapping[str, Any]]]:
        """Return those in trouble, and all that is known of any: those alone are looked at."""
        states = await self.journal.healths()
        healths = dict[str, Mapping[str, Any]]()
        for scope, state in states.items():
            known: Any = codec.decode(state)
            if isinstance(known, dict):  # an author's flow may keep something else there
                healths[scope.removeprefix("instance:")] = cast("dict[str, Any]", known)
        instances, found = self.catalogue.instances, dict[str, Instance]()
        if "disabled" in troubles:
            stopped = replace(which, states=STOPPED)
            some = await instances.list(stopped, after=after, limit=limit)
            found = {each.id: each for each in some}
        noted = sorted(
            id
            for id, health in healths.items()
            if id > (after or "") and {*noted_in(health)} & {*troubles}
        )
        left = limit
        for at in range(0, len(noted), LOOKED_AT):
            if left <= 0:
                break
            named = replace(which, ids=tuple(noted[at : at + LOOKED_AT]))
            some = await instances.list(named, limit=left)
            found |= {each.id: each for each in some}
            left -= len(some)
        return [found[id] for id in sorted(found)][:limit], healths

    async def get(self, id: str) -> ReceiverState:
        """Return a receiver by the id of its instance; raises `NotFound`."""
        try:
            instance = await self.catalogue.instances.get(id)
        except NotFound as error:
            raise missing(id) from error
        if instance.integration != RECEIVERS:
            raise missing(id)
        return await self._read(instance, (await self.healths_of([id]))[id])

    async def healths_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return what the deliveries of receivers, by the ids of their instances, know of them."""
        if not ids:
            return {}
        scopes = {id: f"instance:{id}" for id in ids}
        found = await self.journal.read_states(list(scopes.values()), HEALTH)
        return {
            id: codec.decode(found[scope]) if scope in found else {} for id, scope in scopes.items()
        }

    async def change(
        self,
        found: ReceiverState,
        *,
        address: str | None,
        types: Sequence[str] | None,
        headers: Mapping[str, str] | None,
        name: str | None,
    ) -> ReceiverState:
        """Change a receiver; what is None stays. Headers are given again where the host is another."""
        if types is not None:
            check_types(types)
        if address is not None or headers is not None:
            moved = address is not None and origin(address) != origin(found.address)
            if moved and headers is None and found.header_names:
                raise ConfigError(
                    "the headers were given for another host; give them again, or none",
                    fields={"headers": "are to be given again"},
                )
            values = await self._values(found)
            if address is not None:
                values["address"] = address
            if headers is not None:
                values["extra_headers"] = dict(headers)
            fields, secrets = taken_apart(values)
            if address is not None:
                await self._judge(address)
            await self._save(found, fields, secrets)
        config = {} if types is None else {"types": list(types)}
        if config or name is not None:
            await self.instances.change(found.instance, name, config, {}, receiver=True)
        return await self.get(found.instance.id)

    async def rotate(self, found: ReceiverState, overlap: Micros) -> tuple[str, ReceiverState]:
        """Give a receiver another secret; messages are signed with the one before, too, for a while."""
        values, secret = await self._values(found), new_secret()
        before = values.get("former_until")
        if overlap and before and datetime.fromisoformat(before) > to_datetime(self.clock()):
            raise Conflict(
                f"the secret was rotated already, and the one before is good until {before}: another "
                "rotation would void it; wait, or rotate without an overlap, which voids both"
            )
        until = to_datetime(self.clock() + overlap).isoformat()
        former = values.get("secret") if overlap else None
        changed = {**values, "secret": secret, "former_secret": former, "former_until": until}
        await self._save(found, *taken_apart(changed))
        return secret, await self.get(found.instance.id)

    async def disable(self, found: ReceiverState, reason: str) -> ReceiverState:
        """Have nothing sent until the receiver is enabled; deliveries end as cancelled meanwhile."""
        at = to_datetime(self.clock()).isoformat()
        return await self._note(found, {"disabled": at, "reason": reason})

    async def enable(self, found: ReceiverState) -> ReceiverState:
        """Send to a receiver again; what was not taken meanwhile is sent by `recover`."""
        if found.instance.state in STOPPED:
            await self.instances.activate(found.instance)
        return await self._note(found, {})

    async def plan_recovery(
        self, found: ReceiverState, since: Micros
    ) -> tuple[BulkPlan, int, Micros | None]:
        """Return what `recover` would do; how much waits for its next try by itself, and until when."""
        where = missed_by(found, since)
        plan = await self.bulks.plan(
            "replay", where, ReplayRequest("start", repeat=True, latest=True)
        )
        live = Filter(instance=found.instance.id, flow=FLOW, states=WAITING, limit=MOST_WAITING)
        waiting = await self.journal.count(live)
        due = [
            each.due_at for each in await self.journal.executions(live) if each.due_at is not None
        ]
        return plan, sum(waiting.values()), min(due, default=None)

    async def recover(self, bulk: str, found: ReceiverState, since: Micros) -> Bulk:
        """Deliver again, by a bulk of this id, each event since a time that was not taken.

        An event that was delivered since, or is on its way, is left out. Raises `Conflict` while another
        bulk does so.
        """
        where = missed_by(found, since)
        options = {"rate": None, "from": "start", "version": None, "repeat": True, "again": False}
        options["latest"] = True
        async with self.team.holding(f"recovery of {found.instance.id}"):
            other = await self.team.bulks.replaying(found.instance.id)
            if other is not None:
                raise Conflict(
                    f"{other.id} delivers to it again already; wait until that has ended, or cancel it"
                )
            return await self.bulks.begin(bulk, "replay", where, options)

    async def remove(self, bulk: str, found: ReceiverState) -> None:
        """Remove a receiver with its connection; a bulk of this id cancels what waits for it."""
        id = found.instance.id
        await self.disable(found, "it is removed")
        where = Filter(instance=id, flow=FLOW)
        options = {"rate": None, "reason": "its receiver is removed"}
        await self.bulks.begin(bulk, "cancel", where, options)
        await self.deployer.disable(id)
        await self.deployer.settled(id, SETTLES_WITHIN)
        await self.team.instances.remove(id)
        if found.connection.customer == found.instance.customer:  # it is its own
            await self.catalogue.connections.remove(found.connection.id)

    async def _judge(self, address: str) -> None:
        """Refuse a URL to which nothing may be sent now; each delivery is judged, too."""
        with contextlib.suppress(UpstreamError, TimeoutError):  # it may have an address later
            try:
                async with asyncio.timeout(RESOLVES_WITHIN):
                    await self.egress.addresses(address)
            except EgressRefused as error:
                raise not_valid({"url": error.message}) from error

    async def _note(self, found: ReceiverState, health: Mapping[str, Any]) -> ReceiverState:
        scope = f"instance:{found.instance.id}"
        await self.journal.write_state([StateWrite(scope, HEALTH, codec.encode(dict(health)))])
        return replace(found, health=health)

    async def _read(self, instance: Instance, health: Mapping[str, Any]) -> ReceiverState:
        config, links = await self.catalogue.instances.revision(instance.id, instance.revision)
        connection = await self.catalogue.connections.get(links[FIELD])
        names = [
            each.removeprefix("extra_headers.")
            for each in connection.secret_names
            if each.startswith("extra_headers.")
        ]
        return ReceiverState(
            instance,
            connection,
            tuple(sorted(names)),
            tuple(config["types"]),
            health,
        )

    async def _values(self, found: ReceiverState) -> dict[str, Any]:
        """Return the fields of a receiver's connection, secrets in the clear."""
        kept = await self.catalogue.connections.open_secrets(found.connection.id)
        headers = {name: kept[f"extra_headers.{name}"] for name in found.header_names}
        plain = {name: each for name, each in found.connection.fields.items() if each is not None}
        named = {name: each for name, each in kept.items() if "." not in name}
        return {**plain, **named, "extra_headers": headers}

    async def _save(
        self, found: ReceiverState, fields: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> None:
        stored = found.connection
        await self.catalogue.connections.save(
            stored.customer,
            COMPONENT,
            stored.name,
            fields,
            secrets,
            id=stored.id,
            expect_generation=stored.generation,
        )

    async def _version(self) -> str:
        """Return the version of the integration that this Halflap has, published where it is not yet."""
        made = built_in()
        note = "built into Halflap"
        await self.team.versions.publish(RECEIVERS, made.hash, made.to_bytes(), note)
        return made.hash


def built_in() -> Bundle:
    """Return the bundle of the built-in integration."""
    from halflap.components import webhook

    source = Path(webhook.__file__).with_name("receivers.py").read_bytes()
    return seal("webhooks:integration", {"webhooks.py": source})


def taken_apart(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a receiver's plain fields and its secrets; `ConfigError` names each wrong field."""
    from halflap.components.webhook import Receiver

    given = {name: each for name, each in values.items() if each is not None}
    if climbs(str(given["address"])):
        raise not_valid({"url": "has a segment . or .. in its path, to which nothing is sent"})
    try:
        receiver = put_together(Receiver, given, {})
        check_headers(receiver)
        return take_apart(receiver)
    except ConfigError as error:
        shown = {"address": "url", "extra_headers": "headers"}
        fields = {
            shown.get(name.partition(".")[0], name): why for name, why in error.fields.items()
        } or {"headers": error.message}  # of a header's name alone no field is told
        raise not_valid(fields) from error


def is_enabled(health: Mapping[str, Any]) -> bool:
    """Return whether a receiver is sent events, by what its deliveries know of it."""
    return "disabled" not in health


def troubles_of(instance: Instance, health: Mapping[str, Any]) -> list[ReceiverTrouble]:
    """Return the troubles of a receiver, by its instance and what its deliveries know of it: the worse
    first.
    """
    noted = noted_in(health)
    return ["disabled", *noted] if instance.state in STOPPED and is_enabled(health) else noted


def noted_in(health: Mapping[str, Any]) -> list[ReceiverTrouble]:
    """Return the troubles that deliveries know of: both, where it was disabled as it took nothing."""
    found: list[ReceiverTrouble] = [] if is_enabled(health) else ["disabled"]
    return [*found, "failing"] if "failing" in health else found


def missed_by(found: ReceiverState, since: Micros) -> Filter:
    """Return the filter of the deliveries since a time that a receiver did not take."""
    return Filter(instance=found.instance.id, flow=FLOW, states=LOST, since=since)


def not_valid(fields: dict[str, str]) -> ConfigError:
    """Return the error of fields that no receiver can have, and why."""
    return ConfigError(f"the receiver is not valid: {'; '.join(fields.values())}", fields=fields)


def check_types(types: Sequence[str]) -> None:
    """Refuse what names no event types."""
    for each in types:
        if not is_pattern(each):
            raise ConfigError(
                f"{each[:100]!r} names no event types; write order.created, order.* or *",
                fields={"types": f"{each[:100]!r} names no event types"},
            )


def free_name(wanted: str, taken: set[str]) -> str:
    """Return a name that is not taken."""
    names = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, 1_000))
    return next(each for each in names if each not in taken)


def missing(id: str) -> NotFound:
    """Return the error for a receiver that is not there."""
    return NotFound(f"there is no receiver {id!r}")
