"""The one door through which records are saved: checked, normalised, and told to automation.

A transaction is all the records of one request that stand or fall together. What it changed is told
once, to `org.saved`, when it is committed; nothing here waits, so transactions never meet.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from halflap_sandbox.salesforce.call import Call, Refused
from halflap_sandbox.salesforce.entities import work_out
from halflap_sandbox.salesforce.model import (
    Change,
    Entity,
    Field,
    Org,
    User,
    Values,
    by_name,
    full_id,
    timestamp,
)
from halflap_sandbox.salesforce.normal import normal

CASCADES = frozenset(
    {
        ("Contact", "AccountId"),
        ("Opportunity", "AccountId"),
        ("Task", "WhatId"),
        ("Task", "WhoId"),
    }
)
"""References by which a record is deleted with its parent. By all others it loses the reference."""

_MISSPELT = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field"
    " name. Please reference your WSDL or the describe call for the appropriate names."
)


def entity(org: Org, name: str) -> Entity:
    """Find an object by name, which has no case."""
    if (found := by_name(org.entities, name)) is None:
        raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
    return found


def field(of: Entity, name: str) -> Field | None:
    """Find a field by name, which has no case."""
    return by_name(of.fields, name)


def relationship(reference: Field) -> str | None:
    """Name the parent that a reference field leads to: `Account` for `AccountId`."""
    if reference.type != "reference":
        return None
    name = reference.name
    return name[:-1] + "r" if name.endswith("__c") else name.removesuffix("Id")


def children(org: Org, parent: str) -> list[tuple[Entity, str]]:
    """Return the objects that refer to an object, each with the name of its reference field."""
    return [
        (entity, field.name)
        for entity in org.entities.values()
        for field in entity.fields.values()
        if field.type == "reference" and field.updateable and parent in field.reference_to
    ]


def find(org: Org, of: Entity, id: str) -> Values:
    """Find a record by id, or refuse as Salesforce does."""
    whole = full_id(id)
    if whole is None or not whole.startswith(of.prefix):
        message = "Provided external ID field does not exist or is not accessible: " + id
        raise Refused(404, "NOT_FOUND", message)
    record = org.tables[of.name].get(whole)
    if record is None:
        raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
    if record.get("IsDeleted"):
        raise Refused(404, "ENTITY_IS_DELETED", "entity is deleted", ())
    return record


def find_by(org: Org, of: Entity, key: Field, value: object) -> list[Values]:
    """Find the records that have this value in an external-id field; text has no case."""
    wanted = normal(key, value)
    if wanted is None:
        return []
    table, folded = org.tables[of.name], _folded(wanted)
    if (lookup := org.lookups.get((of.name, key.name))) is None:
        lookup = org.lookups[of.name, key.name] = {}
        for id, record in table.items():
            lookup.setdefault(_folded(record.get(key.name)), set()).add(id)
    # Ids stay in a lookup when the record's value has gone: the record itself tells.
    found = [r for id in sorted(lookup.get(folded, ())) if (r := table.get(id))]
    return [r for r in found if not r.get("IsDeleted") and _folded(r.get(key.name)) == folded]


def external_id(of: Entity, name: str) -> Field:
    """Find the field that an upsert goes by, or refuse."""
    found = field(of, name)
    if found is None or not (found.external_id or found.name == "Id"):
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise Refused(404, "NOT_FOUND", message)
    return found


class Transaction:
    """Records saved together; `rolled_back_to` gives up what came after a `mark`."""

    def __init__(self, org: Org, user: User) -> None:
        self.org = org
        self.user = user
        self._changes: list[Change] = []

    def mark(self) -> int:
        """Remember how far the transaction has come."""
        return len(self._changes)

    def roll_back(self, to: int = 0) -> None:
        """Undo what was changed since a mark, or everything."""
        while len(self._changes) > to:
            change = self._changes.pop()
            table = self.org.tables[change.object]
            if change.before is None:
                del table[change.id]
            else:
                table[change.id] = dict(change.before)

    def commit(self) -> None:
        """Tell automation what was changed."""
        changes, self._changes = self._changes, []
        if changes:
            for tell in self.org.saved:
                tell(changes)

    def create(self, of: Entity, values: Mapping[str, Any]) -> str:
        """Save a new record; returns its id."""
        if not any(each.createable for each in of.fields.values()):
            message = f"entity type {of.name} does not support create"
            raise Refused(400, "INVALID_TYPE_FOR_OPERATION", message)
        given = self._given(of, values, new=True)
        record: Values = {
            name: given.get(name, False if each.type == "boolean" else None)
            for name, each in of.fields.items()
        }
        for name, each in of.fields.items():
            if name not in given and each.default is not None:
                record[name] = each.default
        record["Id"] = self.org.new_id(of.prefix)
        record["CreatedById"], record["CreatedDate"] = self.user.id, self._now()
        if "OwnerId" in of.fields and record["OwnerId"] is None:
            record["OwnerId"] = self.user.id
        self._save(of, None, record, given)
        return str(record["Id"])

    def update(self, of: Entity, id: str, values: Mapping[str, Any]) -> None:
        """Change a record; fields left out stay as they are."""
        before = find(self.org, of, id)
        given = self._given(of, values, new=False)
        # A field that was added later is not in the older records.
        self._save(of, before, dict.fromkeys(of.fields) | before | given, given)

    def upsert(
        self, of: Entity, key: Field, value: object, values: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """Change the record with this external id, or create it; returns its id, whether it is new."""
        if key.name == "Id":
            if value is None:
                return self.create(of, values), True
            self.update(of, str(value), values)
            return str(find(self.org, of, str(value))["Id"]), False
        if normal(key, value) is None:
            message = f"{key.name} not specified"
            raise Refused(400, "MISSING_ARGUMENT", message, ())
        found = find_by(self.org, of, key, value)
        if len(found) > 1:
            raise Ambiguous(key.name, value, [str(record["Id"]) for record in found])
        if not found:
            return self.create(of, {**values, key.name: value}), True
        id = str(found[0]["Id"])
        self.update(of, id, values)
        return id, False

    def delete(self, of: Entity, id: str) -> None:
        """Put a record and those that belong to it into the recycle bin.

        References that do not cascade, such as an account's parent, lose their value.
        """
        before = find(self.org, of, id)
        if not any(each.updateable for each in of.fields.values()):
            message = f"entity type {of.name} does not support delete"
            raise Refused(400, "INVALID_TYPE_FOR_OPERATION", message)
        record = before | {"IsDeleted": True}
        self._stamp(record)
        self.org.tables[of.name][str(record["Id"])] = record
        self._changes.append(
            Change(self.org, of.name, str(record["Id"]), dict(before), None, self.user)
        )
        self._delete_children(of, str(record["Id"]))

    def _delete_children(self, of: Entity, id: str) -> None:
        for child, name in children(self.org, of.name):
            rows = list(self.org.tables[child.name].values())
            for row in [each for each in rows if each.get(name) == id and not each["IsDeleted"]]:
                if (child.name, name) in CASCADES:
                    self.delete(child, str(row["Id"]))
                else:
                    self._save(child, row, row | {name: None}, {name: None})

    def _given(self, of: Entity, values: Mapping[str, Any], *, new: bool) -> Values:
        given: Values = {}
        locked: list[str] = []
        for name, value in values.items():
            if name == "attributes":
                continue
            each = field(of, name)
            if each is None:
                reference, value = self._parent(of, name, value)
                given[reference.name] = value
            elif each.name == "Id":
                raise _id_given(new=new)
            elif not (each.createable if new else each.updateable):
                locked.append(each.name)
            else:
                given[each.name] = self._checked(each, value)
        if locked:
            verb, names = "create" if new else "update", ", ".join(locked)
            message = f"Unable to create/update fields: {names}. Please check the security settings"
            message += " of this field and verify that it is read/write for your profile or"
            message += f" permission set. (on {verb})"
            raise Refused(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, locked)
        return given

    def _checked(self, each: Field, value: object) -> Any:
        result = normal(each, value)
        if each.type != "reference" or result is None:
            return result
        id = str(result)
        parents = [e for e in map(self.org.entities.get, each.reference_to) if e]
        parent = next((e for e in parents if id.startswith(e.prefix)), None)
        if parent is None:
            message = f"{each.label}: id value of incorrect type: {value}"
            raise Refused(400, "FIELD_INTEGRITY_EXCEPTION", message, (each.name,))
        record = self.org.tables[parent.name].get(id)
        if record is None:
            message = "invalid cross reference id"
            raise Refused(400, "INVALID_CROSS_REFERENCE_KEY", message, (each.name,))
        if record["IsDeleted"]:
            raise Refused(400, "ENTITY_IS_DELETED", "entity is deleted", (each.name,))
        return id

    def _parent(self, of: Entity, name: str, value: object) -> tuple[Field, str | None]:
        folded = name.casefold()
        references = [f for f in of.fields.values() if f.updateable]
        reference = next(
            (f for f in references if (relationship(f) or "").casefold() == folded), None
        )
        if reference is None or not isinstance(value, Mapping):
            message = f"No such column '{name}' on sobject of type {of.name}"
            raise Refused(400, "INVALID_FIELD", message, ())
        pairs = dict(cast("Mapping[str, object]", value))
        kind = cast("Mapping[str, object]", pairs.pop("attributes", {})).get("type")
        parent = entity(self.org, str(kind or reference.reference_to[0]))
        (key, wanted), *more = pairs.items() or [("", None)]
        by = field(parent, key)
        if more or by is None or not by.external_id:
            message = f"The relationship {name} needs one external id of {parent.name}."
            raise Refused(400, "INVALID_FIELD", message, ())
        found = find_by(self.org, parent, by, wanted)
        if len(found) != 1:
            message = f"Foreign key external ID: {wanted} not found for field {by.name}"
            raise Refused(400, "INVALID_FIELD", f"{message} in entity {parent.name}", ())
        return reference, str(found[0]["Id"])

    def _save(self, of: Entity, before: Values | None, record: Values, given: Values) -> None:
        missing = [f.name for f in of.fields.values() if f.required and record[f.name] is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise Refused(400, "REQUIRED_FIELD_MISSING", message, missing)
        for each in of.fields.values():
            if each.unique and given.get(each.name) is not None:
                self._alone(of, each, record)
        work_out(of.name, record, given)
        self._stamp(record)
        id = str(record["Id"])
        self.org.tables[of.name][id] = record
        for name in given:
            if (lookup := self.org.lookups.get((of.name, name))) is not None:
                lookup.setdefault(_folded(record[name]), set()).add(id)
        was = None if before is None else dict(before)
        self._changes.append(Change(self.org, of.name, id, was, dict(record), self.user))

    def _alone(self, of: Entity, each: Field, record: Values) -> None:
        for other in find_by(self.org, of, each, record[each.name]):
            if other["Id"] != record["Id"]:
                message = f"duplicate value found: {each.name} duplicates value on record with id: "
                raise Refused(400, "DUPLICATE_VALUE", message + str(other["Id"])[:15], ())

    def _stamp(self, record: Values) -> None:
        record["LastModifiedById"] = self.user.id
        record["LastModifiedDate"] = record["SystemModstamp"] = self._now()

    def _now(self) -> str:
        # Salesforce keeps whole seconds, which whoever polls by SystemModstamp has to cope with.
        return timestamp(int(self.org.clock()))


class Ambiguous(Refused):
    """More than one record has this external id."""

    def __init__(self, key: str, value: object, ids: list[str]) -> None:
        message = f"{key}: more than one record found for external id field: [{', '.join(ids)}]"
        super().__init__(300, "DUPLICATE_EXTERNAL_ID", message, ())
        self.ids = ids


@contextmanager
def saving(call: Call) -> Generator[Transaction]:
    """Save as part of the call's transaction, or as one of its own."""
    if call.saving is None:
        with transaction(call.org, call.user) as own:
            yield own
        return
    mark = call.saving.mark()
    try:
        yield call.saving
    except BaseException:
        call.saving.roll_back(mark)
        raise


@contextmanager
def transaction(org: Org, user: User) -> Generator[Transaction]:
    """Save what is done inside together: committed at its end, undone where it raises."""
    each = Transaction(org, user)
    try:
        yield each
    except BaseException:
        each.roll_back()
        raise
    each.commit()


def create(org: Org, user: User, object: str, values: Mapping[str, Any]) -> str:
    """Save one new record as a transaction of its own; returns its id."""
    with transaction(org, user) as saving:
        return saving.create(entity(org, object), values)


def update(org: Org, user: User, object: str, id: str, values: Mapping[str, Any]) -> None:
    """Change one record as a transaction of its own."""
    with transaction(org, user) as saving:
        saving.update(entity(org, object), id, values)


def delete(org: Org, user: User, object: str, id: str) -> None:
    """Put one record into the recycle bin, as a transaction of its own."""
    with transaction(org, user) as saving:
        saving.delete(entity(org, object), id)


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def _id_given(*, new: bool) -> Refused:
    if new:
        message = "cannot specify Id in an insert call"
        return Refused(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, ("Id",))
    message = "The Id field should not be specified in the sobject data."
    return Refused(400, "INVALID_FIELD", message, ("Id",))
