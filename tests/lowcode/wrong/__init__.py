"""A corpus of wrong documents: what builders write who know another tool, and the mend for each.

A file holds a family of cases by name. A case puts its text into a document (`steps`, `flow`, `config`
or `tests` of it, or the whole `document`), with « at the place where the mistake is to be reported.
`at` is that place where the text cannot hold a mark, or `any`. `code` is the rule's, `mend` a part of
the message or of the quick fix. `fixed` is the text once the quick fix is applied; `leaves` is the
rule of which a finding may be left. `valid` marks what other readers of YAML refuse and this one takes.

`expression` is a case of an expression alone. Its quick fixes are applied until none is left, and what
is left gives the value `gives` of `EVENT`, at `NOW`; where it has no `gives`, no fix is offered, since a
person has to choose. `choice` is what the title of a fix says, of one that is a choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any

from halflap.lowcode import Components, read
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.lint import Shapes, lint_text
from halflap.sdk.lint import Finding
from halflap.sdk.schema import UNSET
from tests.lowcode.documents import own

HEAD = """\
name: tried
config:
  Connect:
    acme: {connection: acme}
    api: {connection: http}
  Options:
    limit: {type: integer, default: 3}
"""
FLOWS = """\
flows:
  other:
    trigger: instance.routed
    steps:
      - log: =config.limit
  main:
"""
TRIGGER = """\
    trigger: webhook.request
    with: {signature: github, answer: result, dedupe: "header:x-github-delivery"}
    steps:
"""
WAITS = "      - {wait: decision}\n"
EVENT: dict[str, Any] = {
    "id": 7, "a": Decimal("3.456"), "b": 2, "zero": 0, "digit": "12", "nil": None, "empty": [],
    "blank": "", "no": False, "yes": True, "name": "Ada", "text": "Hello;World",
    "at": "2026-03-01T12:00:00Z", "day": "2026-03-01", "totals": [1, 5, 9],
    "tags": ["new", "old", "new"], "lines": [{"n": 1, "sku": "x"}, {"n": 5, "sku": "y"}],
    "orders": [{"lines": [{"n": 1}, {"n": 2}]}, {"lines": [{"n": 3}]}],
}  # fmt: skip
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SHAPES = Shapes(Components(own))


@dataclass(frozen=True)
class Case:
    """One wrong document, with what has to be found in it."""

    family: str
    name: str
    given: dict[str, Any]

    @property
    def label(self) -> str:
        """The family and the name."""
        return f"{self.family}: {self.name}"

    @property
    def valid(self) -> bool:
        """Return whether the document is right."""
        return "valid" in self.given

    def document(self, text: str) -> str:
        """Return the document of a text that stands where the case's does."""
        if "document" in self.given:
            return text + "\n"
        config = text + "\n" if "config" in self.given else ""
        tests = f"tests:\n{text}\n" if "tests" in self.given else ""
        more = str(self.given["more"]) + "\n" if "more" in self.given else ""
        flow = TRIGGER + WAITS
        if "expression" in self.given:
            flow = f"{TRIGGER}      - set: {{x: {text}}}\n      - log: =$string(x)\n"
        if "steps" in self.given:
            flow = TRIGGER + indent(text, " " * 6) + "\n"
        elif "flow" in self.given:
            flow = indent(text, " " * 4) + "\n"
        return f"{HEAD}{config}{more}{FLOWS}{flow}{tests}"

    @property
    def marked(self) -> str:
        """The text with its mark."""
        if "expression" in self.given:
            return "'=" + str(self.given["expression"]).replace("'", "''") + "'"
        keys = ("steps", "flow", "config", "tests", "document")
        return str(next(self.given[key] for key in keys if key in self.given))

    @property
    def text(self) -> str:
        """The document."""
        return self.document(self.marked.replace("«", ""))

    @property
    def mended(self) -> str:
        """The document with quick fixes, until none is offered."""
        text = self.text
        for _ in range(5):
            fix = next((each.fix for each in linted(text) if each.fix is not None), None)
            if fix is None:
                break
            text = "\n".join(fix.applied(text.split("\n")))
        return text

    @property
    def value(self) -> Any:
        """The value of the case's expression, once it is mended."""
        text = str(read(self.mended, "tried.yaml").data["flows"]["main"]["steps"][0]["set"]["x"])
        found = Expression.parse(text.removeprefix("=")).named()
        value = found.evaluate(Scope({"event": EVENT, "config": {"limit": 3}}, NOW, "seed"))
        return None if value is UNSET else value

    @property
    def place(self) -> tuple[int, int] | None:
        """Line and column where a finding has to be; None where any place will do."""
        if "at" in self.given:
            return None if self.given["at"] == "any" else tuple(self.given["at"])
        before = self.document(self.marked).partition("«")[0]
        return before.count("\n") + 1, len(before) - before.rfind("\n")

    @property
    def findings(self) -> list[Finding]:
        """The document's findings."""
        return linted(self.text)

    def reports(self, finding: Finding) -> bool:
        """Return whether a finding is the one that the case wants: place, rule and mend."""
        if self.place not in (None, (finding.line, finding.column)):
            return False
        fix = "" if finding.fix is None else f"{finding.fix.title}\n{finding.fix.text}"
        words = f"{finding.message}\n{fix}"
        return finding.code == self.given["code"] and str(self.given["mend"]) in words


@cache
def linted(text: str) -> list[Finding]:
    """Lint a document, once."""
    return lint_text(text, "tried.yaml", SHAPES)


@cache
def cases() -> tuple[Case, ...]:
    """Read all cases of the corpus."""
    return tuple(_read())


def _read() -> Iterator[Case]:
    for file in sorted(Path(__file__).parent.glob("*.yaml")):
        for name, given in read(file.read_text(), file.name).data.items():
            yield Case(file.stem, str(name), given)
