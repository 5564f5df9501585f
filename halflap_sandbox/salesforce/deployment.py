"""A deploy or a retrieve: what was asked for, how far it is, what came of it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Literal

from halflap_sandbox.salesforce.catalog import KINDS, find_kind, snapshot
from halflap_sandbox.salesforce.component import Author, Problem
from halflap_sandbox.salesforce.markup import Element
from halflap_sandbox.salesforce.model import Org
from halflap_sandbox.salesforce.package import (
    MANIFEST,
    BadPackage,
    Deletion,
    Package,
    Part,
    read_package,
    write_package,
)

Status = Literal["Pending", "InProgress", "Succeeded", "SucceededPartial", "Failed", "Canceled"]
MOST_KEPT = 100
DELETION_ORDER = ["Flow", "FlowDefinition", "WorkflowRule", "WorkflowOutboundMessage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report on one component."""

    type: str
    full_name: str
    file: str
    id: str | None = None
    created: bool = False
    changed: bool = False
    deleted: bool = False
    problem: str | None = None
    warning: bool = False
    line: int = 0

    @property
    def success(self) -> bool:
        """True if it was saved or deleted, or there was at most a warning."""
        return self.problem is None or self.warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a deployment."""

    check_only: bool
    rollback_on_error: bool
    single_package: bool
    ignore_warnings: bool
    allow_missing_files: bool
    runs_tests: bool


@dataclass(slots=True, kw_only=True)
class Deployment:
    """A deploy."""

    id: str
    author: Author
    options: Options
    data: bytes
    created_at: str
    status: Status = "Pending"
    completed_at: str | None = None
    reports: list[Report] = field(default_factory=list[Report])
    error: str | None = None

    @property
    def done(self) -> bool:
        """True if it is over."""
        return self.status not in {"Pending", "InProgress"}

    @property
    def failures(self) -> list[Report]:
        """Reports of the components that could not be saved or deleted."""
        return [report for report in self.reports if not report.success]

    def run(self) -> None:
        """Deploy, as one transaction; nothing where it was cancelled before."""
        if self.done:
            return
        restore = snapshot(self.author.org)
        try:
            self._deploy(read_package(self.data, single=self.options.single_package))
        except BadPackage as bad:
            self.error = bad.message
            self.reports.append(
                Report(
                    type="", full_name=bad.file, file=bad.file, problem=bad.message, line=bad.line
                )
            )
        except Exception as error:
            # Who waits for the end of it must see one.
            restore()
            self.status, self.error = "Failed", f"UNKNOWN_EXCEPTION: {error!r}"
            raise
        self.data = b""
        failed = bool(self.failures)
        if self.options.check_only or (failed and self.options.rollback_on_error):
            restore()
        worked = any(r.success and r.file != MANIFEST for r in self.reports)
        partly = failed and worked and not self.options.rollback_on_error
        self.status = "SucceededPartial" if partly else "Failed" if failed else "Succeeded"
        self.completed_at = self.author.org.now()

    def cancel(self) -> None:
        """Cancel it, where it has not run yet."""
        if not self.done:
            self.status = "Canceled"
            self.completed_at = self.author.org.now()

    def _deploy(self, package: Package) -> None:
        if not self.options.allow_missing_files:
            self.reports += [_failed(part, part.problem) for part in package.missing]
        self.reports.append(Report(type="", full_name=MANIFEST, file=MANIFEST, changed=True))
        self._delete([d for d in package.deletions if d.first])
        order = list(KINDS)
        for part in sorted(
            package.parts, key=lambda p: order.index(p.type) if p.type in order else -1
        ):
            self.reports.append(self._save(part))
        self._delete([d for d in package.deletions if not d.first])

    def _save(self, part: Part) -> Report:
        if part.problem is not None:
            return _failed(part, part.problem)
        try:
            self.author.check_may_save(part.type)
            saved = find_kind(part.type).save(self.author, part.content, create=True, update=True)
        except Problem as problem:
            return _failed(part, problem)
        return Report(
            type=part.type,
            full_name=part.full_name,
            file=part.file,
            id=saved.id,
            created=saved.created,
            changed=saved.changed,
        )

    def _delete(self, deletions: list[Deletion]) -> None:
        def order(deletion: Deletion) -> int:
            known = deletion.type in DELETION_ORDER
            return DELETION_ORDER.index(deletion.type) if known else len(DELETION_ORDER)

        for each in sorted(deletions, key=order):
            self.reports.append(self._delete_one(each))

    def _delete_one(self, deletion: Deletion) -> Report:
        id = problem = None
        warning = False
        try:
            id = find_kind(deletion.type).delete(self.author, deletion.full_name)
        except Problem as refused:
            problem = refused.message
            if refused.code == "INVALID_CROSS_REFERENCE_KEY":
                problem = f"No {deletion.type} named: {deletion.full_name} found"
                warning = self.options.ignore_warnings
        return Report(
            type=deletion.type,
            full_name=deletion.full_name,
            file=deletion.file,
            id=id,
            changed=id is not None,
            deleted=id is not None,
            problem=problem,
            warning=warning,
        )


@dataclass(slots=True, kw_only=True)
class Retrieval:
    """A retrieve."""

    id: str
    author: Author
    wanted: Element
    single: bool
    status: Status = "Pending"
    zip: bytes = b""
    parts: list[Part] = field(default_factory=list[Part])
    messages: list[str] = field(default_factory=list[str])

    @property
    def done(self) -> bool:
        """True if it is over."""
        return self.status not in {"Pending", "InProgress"}

    def run(self) -> None:
        """Gather what was asked for."""
        found = write_package(self.author.org, self.wanted, single=self.single)
        self.zip, self.parts, self.messages = found
        self.status = "Succeeded"


def keep(org: Org, work: Deployment | Retrieval) -> None:
    """Remember a deploy or a retrieve, and forget the oldest."""
    org.deployments[work.id] = work
    for id in list(org.deployments)[:-MOST_KEPT]:
        del org.deployments[id]


def decode_zip(text: str) -> bytes:
    """Read the zip of a request; what is no base64 is no zip."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _failed(part: Part, problem: Problem | None) -> Report:
    return Report(
        type=part.type,
        full_name=part.full_name,
        file=part.file,
        problem=problem.message if problem else None,
        line=problem.line if problem else 0,
    )
