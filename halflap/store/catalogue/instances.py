"""Instances: an integration version activated for one customer, and its config's revisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halflap.errors import ConfigError, NotFound
from halflap.model import (
    REMOVABLE,
    Instance,
    InstanceState,
    Micros,
    Repetition,
    StoredConnection,
    VersionPin,
    new_id,
)
from halflap.sdk import codec
from halflap.store.catalogue import addresses, customers, versions
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.writer import Refused, Wanted, conditions, marks, one
from halflap.store.gates import MOVING
from halflap.store.job import JobTransaction

SELECT = """
SELECT id, customer, integration, name, version, revision, state, error, created_at, changed_at,
    deployment, in_service, failing_since, repeat_tries, repeat_of, repeat_at, former_version,
    former_revision, moved_by, catch_up_since
FROM instances
"""
LINKS = """
SELECT instances.id, revisions.connections FROM instances
JOIN revisions ON revisions.instance = instances.id AND revisions.number = instances.revision
"""
INSERT = """
INSERT INTO instances (id, customer, integration, name, version, revision, state, created_at,
    changed_at)
VALUES (?, ?, ?, ?, ?, 0, 'configured', ?, ?)
"""
REVISION = "SELECT config, connections FROM revisions WHERE instance = ? AND number = ?"
HOLD = "INSERT INTO gates (name, bit, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
MOST_ADDRESSED = 10


@dataclass(frozen=True, slots=True)
class Upgradable:
    """The instances that a bulk moves: of an integration, and of a customer where one is given.

    Those that are on none of `versions`, or that one of the bulks `moved_by` moved; `before` bounds
    their ids.
    """

    integration: str
    customer: str | None = None
    versions: tuple[str, ...] = ()
    moved_by: tuple[str, ...] = ()
    before: str = "ins_~"
    ids: tuple[str, ...] = ()
    """Only these, where any is named."""
    but: tuple[str, ...] = ()
    """All but these."""
    named: str = ""
    """Only those that a search for this text finds, as `InstanceFilter.q`."""

    def wanted(self) -> Wanted:
        """Return the conditions, for the table `instances`."""
        either = [f"version NOT IN ({marks(self.versions)})"] if self.versions else []
        either += [f"moved_by IN ({marks(self.moved_by)})"] if self.moved_by else []
        return {
            "integration = ?": self.integration,
            "id < ?": self.before,
            " OR ".join(either): (*self.versions, *self.moved_by),
            f"id IN ({marks(self.ids)})": self.ids or None,
            f"id NOT IN ({marks(self.but)})": self.but or None,
            customers.NAMED_OF: customers.searched_of(self.named),
            "customer = ?": self.customer,
        }


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """The instances that are meant; what is None means all."""

    customer: str | None = None
    integration: str | None = None
    version: str | None = None
    states: tuple[str, ...] = ()
    """Any of these, where some are named."""
    ids: tuple[str, ...] | None = None
    name: str | None = None
    q: str | None = None
    """A text that their name, or their customer's name or external id, contains; or one's id."""
    holders: tuple[str, ...] | None = None
    """Only these, by their own ids or those of their customers."""

    def wanted(self) -> Wanted:
        """Return the conditions, for the table `instances`."""
        holders = marks(self.holders or ())
        return {
            "customer = ?": self.customer,
            "integration = ?": self.integration,
            "version = ?": self.version,
            "name = ?": self.name,
            f"state IN ({marks(self.states)})": self.states or None,
            f"id IN ({marks(self.ids or ())})": self.ids,
            customers.NAMED_OF: customers.searched_of(self.q),
            f"id IN ({holders}) OR customer IN ({holders})": self.holders and self.holders * 2,
        }


ALL = InstanceFilter()

SCHEDULED = """
SELECT s.instance, s.flow, s.last_tick FROM schedules AS s JOIN instances AS i ON i.id = s.instance
"""


def read(row: Any) -> Instance:
    """Return the instance of a row of `SELECT`."""
    *plain, in_service, since, tries, of, at, version, revision, moved_by, missed = row
    return Instance(
        *plain,
        in_service=bool(in_service),
        repetition=None if of is None else Repetition(since, tries, of, at),
        former=None if version is None else VersionPin(version, revision),
        moved_by=moved_by,
        catch_up_since=missed,
    )


class Instances(IdentifiedTable[Instance]):
    """Adds, finds, moves and removes instances."""

    _select = SELECT
    _lacking = "no instance has the id {!r}; see: halflap instances list"
    _read = staticmethod(read)

    async def add(self, customer: str, integration: str, name: str, version: str) -> Instance:
        """Add an instance, configured but not activated; its config is revision 0, empty.

        Raises `NotFound` where the customer or the version is not there, `ConfigError` where the
        name is taken or the version is one of another integration.
        """
        now = self._clock()
        made = Instance(
            id=new_id("ins", now=now),
            customer=customer,
            integration=integration,
            name=name,
            version=version,
            revision=0,
            state="configured",
            error=None,
            created_at=now,
            changed_at=now,
        )

        def job(connection: JobTransaction) -> Instance | Refused:
            if one(connection, "SELECT 1 FROM customers WHERE id = ?", customer) is None:
                return customers.Customers.missing(customer)
            if (unfit := unfit_version(connection, integration, version)) is not None:
                return unfit
            taken = one(
                connection,
                "SELECT id FROM instances WHERE customer = ? AND name = ?",
                customer,
                name,
            )
            if taken is not None:
                return name_taken(name, taken[0])
            connection.execute(INSERT, (made.id, customer, integration, name, version, now, now))
            return made

        return await self._writer.change(job)

    async def rename(self, instance: str, name: str) -> Instance:
        """Give an instance another name; raises `NotFound`, `ConfigError` where that is taken."""
        same = "SELECT id FROM instances WHERE name = ? AND id <> ? AND customer = ?"

        def job(connection: JobTransaction, found: Instance) -> Instance | Refused:
            taken = one(connection, same, name, instance, found.customer)
            if taken is not None:
                return name_taken(name, taken[0])
            connection.execute("UPDATE instances SET name = ? WHERE id = ?", (name, instance))
            return replace(found, name=name)

        return await self._writer.change(self.job_of(instance, job))

    async def by_name(self, customer: str, name: str) -> Instance | None:
        """A customer's instance by its name."""
        return await self._find("WHERE customer = ? AND name = ?", customer, name)

    async def list(
        self,
        which: InstanceFilter = ALL,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Instance]:
        """Return instances, oldest first: all that are meant, or so many of those after an id."""
        return await self._page({**which.wanted(), "id > ?": after}, "id", limit)

    async def number(self, which: InstanceFilter) -> int:
        """Return how many instances are meant, up to `MOST_COUNTED`."""
        return await self._writer.number("instances", which.wanted())

    async def page(self, which: Upgradable, after: str, limit: int) -> Sequence[Instance]:
        """Return the next instances that a bulk moves, oldest first."""
        return await self._page({**which.wanted(), "id > ?": after}, "id", limit)

    async def by_version(self, integration: str | None = None) -> dict[str, dict[str, int]]:
        """Return how many instances are on each version, by integration."""
        where, values = conditions({"integration = ?": integration})
        rows = await self._writer.rows(
            "SELECT integration, version, count(*) FROM instances"
            f" {where} GROUP BY 1, 2 ORDER BY 1, 2",
            values,
        )
        found: dict[str, dict[str, int]] = {}
        for name, version, count in rows:
            found.setdefault(name, {})[version] = count
        return found

    async def ids(self, which: Upgradable) -> list[str]:
        """Return the ids of the instances that a bulk moves, oldest first."""
        where, values = conditions(which.wanted())
        sql = f"SELECT id FROM instances {where} ORDER BY id"
        return [row[0] for row in await self._writer.rows(sql, values)]

    async def count(self, which: Upgradable) -> int:
        """Return how many instances a bulk moves."""
        where, values = conditions(which.wanted())
        sql = f"SELECT count(*) FROM instances {where}"
        return (await self._writer.row(sql, *values))[0]

    async def states(self, customers: Iterable[str]) -> dict[str, dict[InstanceState, int]]:
        """Return the number of instances of customers (by id), by their state."""
        counts: dict[str, dict[InstanceState, int]] = {each: {} for each in customers}
        rows = await self._writer.among(
            "SELECT customer, state FROM instances WHERE customer IN", counts
        )
        for customer, state in rows:
            counts[customer][state] = counts[customer].get(state, 0) + 1
        return counts

    async def users(self, connections: Sequence[StoredConnection]) -> dict[str, Sequence[Instance]]:
        """Return the instances whose config names each of some connections (by its id), oldest first."""
        found: dict[str, set[str]] = {each.id: set() for each in connections}
        owners = {each.customer for each in connections if each.customer is not None}
        links = await self._writer.among(f"{LINKS} WHERE instances.customer IN", owners)
        for each in connections:
            if each.customer is None:  # the team's: any customer's instance may name it
                sql = f"{LINKS} WHERE revisions.connections LIKE ?"
                links += await self._writer.rows(sql, (f'%:"{each.id}"%',))
        for instance, named in links:
            for each in codec.decode(named).values():
                if each in found:
                    found[each].add(instance)
        users = await self.some(each for some in found.values() for each in some)
        return {id: [users[one] for one in sorted(some)] for id, some in found.items()}

    async def revisions(
        self, instance: str, before: int | None, limit: int
    ) -> Sequence[tuple[int, dict[str, Any], dict[str, str], Micros]]:
        """Return the revisions of an instance's config, newest first: number, config, connections,
        when it was made.
        """
        rows = await self._writer.rows(
            "SELECT number, config, connections, made_at FROM revisions"
            " WHERE instance = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (instance, 2**31 - 1 if before is None else before, limit),
        )
        return [
            (number, codec.decode(config), codec.decode(links), at)
            for number, config, links, at in rows
        ]

    async def names(self, instances: Iterable[str]) -> dict[str, str]:
        """Return the names of those of these ids that are there."""
        return dict(
            await self._writer.among("SELECT id, name FROM instances WHERE id IN", instances)
        )

    async def addressed(
        self, integration: str, field: str | None, value: str
    ) -> Sequence[Instance]:
        """The instances of an integration that have a value under a field of their config.

        Without a field, those of the customer whose `external_id` it is. The first few, where there
        are many.
        """
        sql, values = addresses.BY_CUSTOMER, (value, integration)
        if field is not None:
            sql, values = addresses.BY_FIELD, (value, integration, field)
        rest = f"WHERE id IN ({sql}) ORDER BY id LIMIT {MOST_ADDRESSED}"
        return await self._all(rest, *values)

    async def due(self) -> Sequence[Instance]:
        """Return instances that are between two states, or whose deployment is to be repeated now."""
        moving = "state IN ('activating', 'upgrading', 'disabling')"
        return await self._all(f"WHERE {moving} OR repeat_at <= ? ORDER BY id", self._clock())

    async def deployment(self, instance: str) -> str | None:
        """The execution that does, or did, the instance's last activation, upgrade or teardown."""
        return (await self.get(instance)).deployment

    async def set_revision(
        self, instance: str, config: Mapping[str, object], connections: Mapping[str, str]
    ) -> int:
        """Give an instance a new config, as its next revision; returns the revision's number.

        `connections` maps each connection field to a connection's id: one of the instance's own
        customer or of the team. The same config again is the same revision.
        """
        now = self._clock()

        def job(connection: JobTransaction, found: Instance) -> int | Refused:
            return revise(connection, found, config, connections, now)

        return await self._writer.change(self.job_of(instance, job))

    async def revision(self, instance: str, number: int) -> tuple[dict[str, Any], dict[str, str]]:
        """An instance's config and connections as of a revision; raises `NotFound`."""
        row = await self._writer.row(REVISION, instance, number)
        if row is not None:
            return codec.decode(row[0]), codec.decode(row[1])
        await self.get(instance)
        if number == 0:
            return {}, {}
        raise NotFound(f"instance {instance} has no revision {number} of its config")

    async def configs(self, integration: str, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Return so many instances of an integration (ids), oldest first, each with its config of now."""
        rows = await self._writer.rows(
            "SELECT i.id, r.config FROM instances AS i JOIN revisions AS r ON r.instance = i.id"
            " AND r.number = i.revision WHERE i.integration = ? ORDER BY i.id LIMIT ?",
            (integration, limit),
        )
        return [(id, codec.decode(config)) for id, config in rows]

    async def revised_at(self, instance: str, number: int) -> Micros:
        """Return when a revision of an instance's config was made; raises `NotFound`."""
        sql = "SELECT made_at FROM revisions WHERE instance = ? AND number = ?"
        row = await self._writer.row(sql, instance, number)
        if row is None:
            raise NotFound(f"instance {instance} has no revision {number} of its config")
        return row[0]

    async def move(
        self,
        instance: str,
        from_states: Sequence[InstanceState],
        to_state: InstanceState,
        *,
        error: str | None = None,
        version: str | None = None,
        deployment: str | None = None,
        during: str | None = None,
        revision: tuple[Mapping[str, object], Mapping[str, str]] | None = None,
        repetition: Repetition | None = None,
        former: VersionPin | None = None,
        moved_by: str | None = None,
        catch_up: Micros | None = None,
    ) -> Instance | None:
        """Move an instance from one of some states to another; None where it is in none of them.

        With `during`, None also where its deployment is another one by now. `error` and `repetition`
        replace the ones before them; `version` and `deployment` stay where not given, and so do
        `former` and `moved_by`, which go together, and `catch_up` until it is active or disabled.
        `revision` is a new config with its connections, as `set_revision` takes them: it is there
        with the new version or not at all, so that no event meets one without the other. One that is
        to be deployed holds the events that come from then on.
        """
        now = self._clock()

        def job(connection: JobTransaction, found: Instance) -> Instance | Refused | None:
            if found.state not in from_states:
                return None
            if during is not None and found.deployment != during:
                return None
            if version is not None:
                unfit = unfit_version(connection, found.integration, version)
                if unfit is not None:
                    return unfit
            if revision is not None:
                revised = revise(connection, found, *revision, now)
                if not isinstance(revised, int):
                    return revised
            before, by = (found.former, found.moved_by) if former is None else (former, moved_by)
            again = repetition
            missed = None if to_state in ("active", "disabled") else found.catch_up_since
            connection.execute(
                "UPDATE instances SET state = ?, error = ?, version = coalesce(?, version),"
                " deployment = coalesce(?, deployment), changed_at = ?, in_service = ?,"
                " failing_since = ?, repeat_tries = ?, repeat_of = ?, repeat_at = ?,"
                " former_version = ?, former_revision = ?, moved_by = ?, catch_up_since = ?"
                " WHERE id = ?",
                (
                    to_state,
                    error,
                    version,
                    deployment,
                    now,
                    int(serves(found, to_state)),
                    again and again.since,
                    again.tries if again else 0,
                    again and again.of,
                    again and again.at,
                    before and before.version,
                    before and before.revision,
                    by,
                    missed if catch_up is None else catch_up,
                    instance,
                ),
            )
            if to_state in ("activating", "upgrading"):
                connection.execute(HOLD, (instance, MOVING, now))
            if to_state == "disabled":  # what its schedules miss from now on is not missed
                connection.execute("DELETE FROM schedules WHERE instance = ?", (instance,))
            return find(connection, instance)

        return await self._writer.change(self.job_of(instance, job))

    async def go_back(
        self, instance: str, during: str, *, error: str, deployment: str
    ) -> Instance | None:
        """Give an instance whose upgrade failed what it had before; None where it moves otherwise.

        It is active again, though what its former version has at apps is yet to be restored by
        `deployment`.
        """
        now = self._clock()

        def job(connection: JobTransaction, found: Instance) -> Instance | None:
            if found.state != "upgrading" or found.deployment != during or found.former is None:
                return None
            connection.execute(
                "UPDATE instances SET version = ?, revision = ?, state = 'active', error = ?,"
                " deployment = ?, changed_at = ?, failing_since = ?, repeat_tries = 0,"
                " repeat_of = ?, repeat_at = ?, former_version = NULL, former_revision = NULL,"
                " moved_by = NULL WHERE id = ?",
                (
                    found.former.version,
                    found.former.revision,
                    error,
                    deployment,
                    now,
                    now,
                    deployment,
                    now,
                    instance,
                ),
            )
            config, links = read_revision(connection, instance, found.former.revision) or (
                "{}",
                "{}",
            )
            addresses.index_instance(
                connection, found, codec.decode(config.encode()), codec.decode(links.encode())
            )
            return find(connection, instance)

        return await self._writer.change(self.job_of(instance, job))

    async def remove(self, instance: str) -> None:
        """Remove an instance with its endpoints, subscriptions and revisions; its executions stay.

        Raises `ConfigError` unless it is disabled, or was never activated.
        """

        def job(connection: JobTransaction, found: Instance) -> Refused | None:
            if found.state not in REMOVABLE:
                return ConfigError(
                    f"instance {found.name!r} is {found.state}; disable it first, "
                    "so that its webhooks are taken down"
                )
            connection.execute(
                "DELETE FROM rejections WHERE endpoint IN"
                " (SELECT id FROM endpoints WHERE instance = ?)",
                (instance,),
            )
            connection.execute("DELETE FROM counters WHERE instance = ?", (instance,))
            connection.execute("DELETE FROM gates WHERE name = ? AND bit = ?", (instance, MOVING))
            connection.execute("DELETE FROM instances WHERE id = ?", (instance,))
            return None

        await self._writer.change(self.job_of(instance, job))

    async def last_tick(self, instance: str, flow: str) -> Micros | None:
        """The last tick that a scheduled flow fired; None before its first."""
        sql = "SELECT last_tick FROM schedules WHERE instance = ? AND flow = ?"
        row = await self._writer.row(sql, instance, flow)
        return None if row is None else row[0]

    async def scheduled(
        self,
        customer: str | None,
        instance: str | None,
        integration: str | None,
        after: tuple[str, str] | None,
        limit: int,
    ) -> Sequence[tuple[str, str, Micros]]:
        """Return scheduled flows: instance, flow, and its last tick; so many behind one of them."""
        where, values = conditions(
            {
                "s.customer = ?": customer,
                "s.instance = ?": instance,
                "i.integration = ?": integration,
                "(s.instance, s.flow) > (?, ?)": after,
                "s.flow NOT LIKE ?": "$%",
            }
        )
        sql = f"{SCHEDULED} {where} ORDER BY s.instance, s.flow LIMIT {limit:d}"
        return await self._writer.rows(sql, values)

    async def note_tick(self, instance: str, flow: str, at: Micros, *, back: bool = False) -> None:
        """Note up to when a scheduled flow's ticks are dealt with.

        An earlier time changes nothing, unless the clock was set `back`. Nothing is noted of a
        disabled instance.
        """

        def job(connection: JobTransaction, found: Instance) -> None:
            if found.state == "disabled":
                return
            connection.execute(
                "INSERT INTO schedules (instance, customer, flow, last_tick) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (instance, flow) DO UPDATE SET last_tick = excluded.last_tick"
                " WHERE schedules.last_tick < excluded.last_tick OR ? = 1",
                (instance, found.customer, flow, at, int(back)),
            )

        await self._writer.note(self.job_of(instance, job))


def serves(found: Instance, to_state: InstanceState) -> bool:
    """Return whether an instance is in service once it has moved to a state."""
    if to_state == "active":
        return True
    ends = to_state == "disabled" or (found.state == "disabling" and to_state == "failed")
    return found.in_service and not ends


def find(connection: JobTransaction, instance: str) -> Instance | None:
    """An instance in a job."""
    row = one(connection, f"{SELECT} WHERE id = ?", instance)
    return None if row is None else read(row)


def revise(
    connection: JobTransaction,
    found: Instance,
    config: Mapping[str, object],
    connections: Mapping[str, str],
    now: Micros,
) -> int | Refused:
    """Give an instance a config in a job, as its next revision where it is not the present one."""
    plain = codec.encode(dict(config), sort=True).decode()
    links = codec.encode(dict(connections), sort=True).decode()
    wrong: dict[str, str] = {}
    for field, named in connections.items():
        row = one(connection, "SELECT customer FROM connections WHERE id = ?", named)
        if row is None:
            wrong[field] = "there is no such connection"
        elif row[0] not in (None, found.customer):
            wrong[field] = "this is another customer's connection"
    if wrong:
        told = "; ".join(f"{field}: {what}" for field, what in wrong.items())
        return ConfigError(
            f"the config of {found.name!r} names connections that it cannot use: {told}",
            fields=wrong,
        )
    if read_revision(connection, found.id, found.revision) == (plain, links):
        return found.revision
    number: int = one(
        connection,
        "SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE instance = ?",
        found.id,
    )[0]
    connection.execute(
        "INSERT INTO revisions (instance, customer, number, config, connections, made_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (found.id, found.customer, number, plain, links, now),
    )
    connection.execute(
        "UPDATE instances SET revision = ?, changed_at = ? WHERE id = ?", (number, now, found.id)
    )
    addresses.index_instance(connection, found, config, connections)
    return number


def read_revision(connection: JobTransaction, instance: str, number: int) -> tuple[str, str] | None:
    """A revision as it is kept."""
    return one(connection, REVISION, instance, number)


def unfit_version(connection: JobTransaction, integration: str, version: str) -> Refused | None:
    """Why an instance of an integration cannot have a version."""
    found = one(connection, "SELECT integration FROM versions WHERE hash = ?", version)
    if found is None:
        return versions.missing(version)
    if found[0] != integration:
        return ConfigError(
            f"version {version[:12]} is one of {found[0]!r}, not of {integration!r}; "
            "choose a version of the same integration"
        )
    return None


def name_taken(name: str, by: str) -> ConfigError:
    """Return the error for a name that another instance of the customer has."""
    return ConfigError(
        f"the customer has an instance named {name!r} already ({by}); choose another name",
        fields={"name": "is taken"},
    )
