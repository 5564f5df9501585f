"""The outline of an integration: its flows, each a tree of what may happen, with its places.

One node for every kind of step, in Python and YAML. In YAML a node's fields are the document's own
values; in Python they have the same keys, and hold the source of what the text gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Path = tuple[str | bool | int, ...]
"""An address: of a document, where the value stands in it; of Python, the place in the outline."""


class OutlinePart(BaseModel):
    """A part of an outline. Nodes hold each other, so none is completed before one is made."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True
    )


class Span(OutlinePart):
    """Where something stands: line and column from 1, and the line on which it ends."""

    file: str
    line: int
    column: int
    end_line: int


class OutlineNode(OutlinePart):
    """A step, a branch, a loop, or another part of a flow."""

    path: Path = ()
    """Its address, which edits, findings and executions share; a field's is `[*path, key]`."""
    key: str | None = None
    """In a draft, what stays the same wherever edits move it."""
    place: Span
    kind: str
    """The key that names its kind in a document, and for Python also `group` (a function that holds
    steps), `while`, `result`, `continue`, `return`; `route` of a pre-process flow; `unknown` for what
    cannot be followed."""
    title: str | None = None
    """The title that people read; of a step, that of its record."""
    id: str | None = None
    """The name under which later steps find the result."""
    fields: dict[str, Any] = {}
    """By key, all else that it says: its inputs and expressions."""
    blocks: list[NodeBlock] = []
    """Its lists of nodes, also those that are not written, in the order of its kind."""

    def text(self, key: str) -> str:
        """Return a field that is a text; the empty text where it is none."""
        found = self.fields.get(key)
        return found if isinstance(found, str) else ""

    def with_blocks(self, blocks: Iterable[NodeBlock]) -> OutlineNode:
        """Return the node with other blocks."""
        return self.model_copy(update={"blocks": list(blocks)})


class NodeBlock(OutlinePart):
    """A list of nodes within one: `then`, `do`, or a case of `cases`."""

    path: Path
    """Where its nodes stand; a node is inserted here."""
    place: Span | None = None
    """Where its key stands; null where it has none."""
    title: str | None = None
    nodes: list[OutlineNode] = []

    def with_nodes(self, nodes: Sequence[OutlineNode]) -> NodeBlock:
        """Return the block with other nodes."""
        return self.model_copy(update={"nodes": list(nodes)})


class FlowOutline(OutlinePart):
    """A flow, as its text has it."""

    path: Path
    place: Span
    name: str
    title: str
    description: str
    trigger: str
    """The trigger, as `component.trigger`."""
    preprocess: bool = False
    """True if it hands its events on to other flows."""
    shared: bool = False
    """True if its URL is the same for all customers."""
    fields: dict[str, Any] = {}
    """By key, all else that it says: the trigger's inputs, its order, its filter."""
    steps: list[OutlineNode]


class UnknownFlows(OutlinePart):
    """Python that may add flows, and cannot be followed."""

    place: Span
    text: str


class Outline(OutlinePart):
    """An integration, as its text has it: nothing of it was run."""

    name: str
    title: str
    description: str
    language: Literal["python", "yaml"]
    file: str
    flows: list[FlowOutline]
    unknown: list[UnknownFlows] = Field(default_factory=list[UnknownFlows])
    """The parts that may add flows and could not be followed."""


def made(
    kind: str,
    place: Span,
    fields: Mapping[str, Any | None],
    blocks: Iterable[NodeBlock] = (),
    *,
    title: str | None = None,
    id: str | None = None,
) -> OutlineNode:
    """Return a node that has no address yet; fields that are None are left out."""
    given = {key: each for key, each in fields.items() if each is not None}
    return OutlineNode(
        place=place, kind=kind, title=title, id=id, fields=given, blocks=list(blocks)
    )


def block(name: str, nodes: Sequence[OutlineNode]) -> NodeBlock:
    """Return a block that has no address yet but its name."""
    return NodeBlock(path=(name,), nodes=list(nodes))


def addressed(nodes: Sequence[OutlineNode], path: Path) -> list[OutlineNode]:
    """Return nodes with their addresses in a list that stands at a path; no two have the same one."""
    return [_addressed(each, (*path, at)) for at, each in enumerate(nodes)]


def _addressed(node: OutlineNode, path: Path) -> OutlineNode:
    blocks: list[NodeBlock] = []
    taken: set[Path] = set()
    for each in node.blocks:
        within, times = (*path, *each.path), 1
        while within in taken:
            times += 1
            within = (*path, *each.path[:-1], f"{each.path[-1]} #{times}")
        taken.add(within)
        blocks.append(
            each.model_copy(update={"path": within, "nodes": addressed(each.nodes, within)})
        )
    return node.model_copy(update={"path": path, "blocks": blocks})


def within(nodes: Sequence[OutlineNode]) -> Iterator[OutlineNode]:
    """Yield nodes and all that are in them, in the order of the text."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed([each for part in node.blocks for each in part.nodes]))
