"""Documents for tests: a flow of some steps, built with the examples' components beside it."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Any

from halflap.lowcode import Components, build, read
from halflap.lowcode.lint.shapes import ComponentShape, dump_shapes, read_shapes, shape_of
from halflap.sdk.component import Component
from halflap.sdk.integration import Integration

EXAMPLES = Path(__file__).parents[2] / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.append(str(EXAMPLES))

acme: Any = import_module("acme")

ROOT = EXAMPLES.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/components/sns.md",
    ROOT / "docs/components/sqs.md",
    *sorted((ROOT / "docs" / "low-code").glob("*.md")),
]


def documents_in(page: Path) -> list[str]:
    """The whole documents that a page shows."""
    found = re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [each for each in found if each.startswith("name: ")]


DOCUMENTS = {each.name: each.read_text("utf-8") for each in sorted(EXAMPLES.glob("*.yaml"))} | {
    f"{page.stem}-{at}": each for page in PAGES for at, each in enumerate(documents_in(page))
}
"""The examples, and the documents that the docs show."""

HEAD = """\
name: tried
config:
  Connect:
    acme: {connection: acme}
  Options:
    limit: {type: integer, default: 3}
flows:
  main:
    trigger: webhook.request
    with: {answer: result}
    steps:
"""


def own(name: str) -> Component | None:
    """The examples' component, as a project's own."""
    return acme.component if name == "acme" else None


def described() -> dict[str, ComponentShape]:
    """The same, as it is stored of a version: read from JSON."""
    return read_shapes(dump_shapes({"acme": shape_of(acme.component, EXAMPLES)}))


def built(text: str, file: str = "tried.yaml") -> Integration[Any]:
    """The integration of a document's text."""
    return build(read(text, file), Components(own))


def of_steps(steps: str, more: str = "") -> Integration[Any]:
    """The integration of one flow, `main`, with these steps; `more` are other flows."""
    return built(HEAD + indent(steps.strip("\n"), " " * 6) + "\n" + indent(more, "  "))
