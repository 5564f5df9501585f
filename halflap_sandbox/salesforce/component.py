"""A piece of metadata, whatever its type: how it is named, listed, saved, read and deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from halflap_sandbox.salesforce.call import Refused
from halflap_sandbox.salesforce.markup import Element
from halflap_sandbox.salesforce.model import Org, Stamp, User

DEVELOPER_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
LONGEST_NAME = 80


class Problem(Refused):
    """A piece of metadata that cannot be saved or deleted, and in which line of its file."""

    def __init__(
        self, code: str, message: str, *, line: int = 0, fields: Iterable[str] | None = None
    ) -> None:
        super().__init__(400, code, message, None if fields is None else tuple(fields))
        self.line = line


class Misplaced(Problem):
    """An element that is unknown, or not where the XSD has it; SOAP refuses the whole request."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A piece of metadata in a list: its full name, its id, its file."""

    full_name: str
    id: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The result of a save."""

    id: str
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a save, and where it happens."""

    org: Org
    user: User

    def check_may_save(self, kind: str) -> None:
        """Refuse a type of metadata that the org's users may not save. Raises Problem."""
        if kind in self.org.denied:
            message = f"insufficient access rights on cross-reference id: {kind}"
            raise Problem("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)

    def stamp(self, id: str) -> None:
        """Remember that a piece of metadata was made or changed now."""
        now, old = self.org.now(), self.org.stamps.get(id)
        self.org.stamps[id] = Stamp(
            created_at=old.created_at if old else now,
            created_by=old.created_by if old else self.user,
            modified_at=now,
            modified_by=self.user,
        )


class Kind(Protocol):
    """A type of metadata. Everything raises Problem where Salesforce would refuse."""

    type: str

    def listed(self, org: Org) -> list[Listed]:
        """List what there is."""
        ...

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read one; its children are in the order of the XSD, `fullName` first."""
        ...

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Save one that may be new (`create`), or be there already (`update`), or either."""
        ...

    def delete(self, author: Author, full_name: str) -> str:
        """Delete one; gives its id."""
        ...


def none_found(type: str, full_name: str) -> Problem:
    """Say that there is none of this name."""
    return Problem("INVALID_CROSS_REFERENCE_KEY", f"no {type} named {full_name} found")


def unknown_reference(field: str, type: str, name: str, line: int = 0) -> Problem:
    """Say that a field names something that is not there."""
    message = f"In field: {field} - no {type} named {name} found"
    return Problem("INVALID_CROSS_REFERENCE_KEY", message, line=line)


def check_may(
    old: object, what: str, type: str, given: Element, *, create: bool, update: bool
) -> None:
    """Refuse a name that is taken where only new ones are saved, or is not there to be changed."""
    name = required(given, "fullName")
    if old is not None and not update:
        message = f"The {what} name {name} is already in use on another component. Choose another."
        raise Problem("DUPLICATE_DEVELOPER_NAME", message, fields=["DeveloperName"])
    if old is None and not create:
        raise unknown_reference("fullName", type, name, given.line)


def check_name(name: str, line: int = 0) -> None:
    """Check a developer name."""
    if len(name) > LONGEST_NAME:
        message = f"Unique Name: data value too large: {name} (max length={LONGEST_NAME})"
        raise Problem("STRING_TOO_LONG", message, line=line, fields=["DeveloperName"])
    if not DEVELOPER_NAME.fullmatch(name):
        message = (
            f"Unique Name: {name!r} can only contain underscores and alphanumeric characters. It "
            "must be unique, begin with a letter, not include spaces, not end with an underscore, "
            "and not contain two consecutive underscores."
        )
        raise Problem("INVALID_FULL_NAME", message, line=line, fields=["DeveloperName"])


def required(given: Element, name: str) -> str:
    """Read a value that must be there."""
    value = given.get(name)
    if not value:
        message = f"Required field is missing: {name}"
        raise Problem("REQUIRED_FIELD_MISSING", message, line=given.line, fields=[name])
    return value


def check_elements(given: Element, order: tuple[str, ...], *, ordered: bool) -> None:
    """Check that only these elements are in it, in this order where it counts."""
    at = 0
    for child in given.children:
        if child.name not in order or (ordered and order.index(child.name) < at):
            message = f"Element {child.name} invalid at this location in type {given.type}"
            raise Misplaced("INVALID_INPUT", message, line=child.line)
        at = order.index(child.name)


def boolean(given: Element, name: str) -> bool:
    """Read a boolean that must be there."""
    value = required(given, name)
    if value.lower() not in {"true", "false", "1", "0"}:
        message = f"'{value}' is not a valid value for the type xsd:boolean"
        raise Problem("INVALID_TYPE", message, line=given.line, fields=[name])
    return value.lower() in {"true", "1"}
