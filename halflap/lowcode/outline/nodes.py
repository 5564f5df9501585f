"""The outline of an integration: its flows, each a tree of what may happen, with its places.

One shape for Python and YAML. What a text says is kept as text (`condition`, `items`): in YAML that of
the document, with its `=`; in Python that of the source.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator


class Part(BaseModel):
    """A part of an outline. Nodes hold each other, so none is completed before one is made."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True
    )


class Place(Part):
    """Where something stands: line and column from 1, and the line on which it ends."""

    file: str
    line: int
    column: int
    end_line: int


class Placed(Part):
    """What every node has."""

    place: Place
    title: str | None = None
    """What people read; of a step, the title that its record has."""


class Named(Placed):
    """What every node with a result has."""

    id: str | None = None
    """The name under which what follows finds the result."""


class ActionNode(Named):
    """A call of a component's action."""

    kind: Literal["action"] = "action"
    action: str
    """The action, as `component.action`."""
    retry: str | None = None
    """How often it is tried again, where the flow says so."""
    ignores: bool = False
    """Whether the flow goes on where it fails for good."""


class CodeNode(Named):
    """A recorded step of local code: `code` in YAML, a function under `@step` in Python."""

    kind: Literal["code"] = "code"
    name: str
    steps: list[Node] = []
    """The actions that the code awaits, each a step of its own, in the order of the text."""
    ignores: bool = False


class CallNode(Named):
    """A call of a sibling flow."""

    kind: Literal["call"] = "call"
    flow: str
    waits: bool = True
    """Whether it waits for that flow's end."""
    ignores: bool = False


class ResultNode(Named):
    """Waits for the end of a flow that was started before."""

    kind: Literal["result"] = "result"
    flow: str


class SleepNode(Placed):
    """Waits for a time."""

    kind: Literal["sleep"] = "sleep"
    time: str


class WaitNode(Named):
    """Waits for a signal."""

    kind: Literal["wait"] = "wait"
    signal: str
    timeout: str | None = None


class LinksNode(Named):
    """Makes links that send a signal."""

    kind: Literal["links"] = "links"
    signal: str
    choices: list[str]


class StateNode(Named):
    """Reads or changes a value that outlives the execution."""

    kind: Literal["state"] = "state"
    verb: Literal["get", "put", "delete", "update"]
    key: str
    scope: Literal["flow", "instance", "integration"] = "flow"


class PairsNode(Named):
    """Looks up, makes or removes a pair of records."""

    kind: Literal["pairs"] = "pairs"
    verb: Literal["paired", "pair", "unpair"]
    pairs: str


class SetNode(Placed):
    """Sets variables."""

    kind: Literal["set"] = "set"
    names: list[str]


class LogNode(Placed):
    """Writes a line to the execution's log."""

    kind: Literal["log"] = "log"
    level: str
    text: str


class RouteNode(Placed):
    """Of a pre-process flow: hands its event on to a flow."""

    kind: Literal["route"] = "route"
    flow: str
    condition: str | None = None
    whose: str | None = None
    """How a shared one says whose event it is: `customer = …`."""


class IfNode(Placed):
    """Does one thing or another."""

    kind: Literal["if"] = "if"
    condition: str
    then: list[Node]
    otherwise: list[Node] = []


class Case(Part):
    """One value of a switch."""

    place: Place
    title: str | None = None
    value: str
    steps: list[Node]


class SwitchNode(Placed):
    """Does what belongs to a value."""

    kind: Literal["switch"] = "switch"
    value: str
    cases: list[Case]
    default: list[Node] = []


class ForNode(Named):
    """Does the same for each item."""

    kind: Literal["for"] = "for"
    item: str
    items: str
    where: str | None = None
    parallel: bool = False
    limit: str | None = None
    """How many at once."""
    goes_on: bool = False
    """Whether the other items go on where a step of one fails for good."""
    steps: list[Node]


class WhileNode(Placed):
    """Repeats while a condition holds."""

    kind: Literal["while"] = "while"
    condition: str
    steps: list[Node]


class Catch(Part):
    """What is done where a step of a `try` fails for good."""

    place: Place
    title: str | None = None
    error: str
    """Which errors; in YAML, the error's name."""
    steps: list[Node]


class TryNode(Placed):
    """Does something, and something else where a step of it fails for good."""

    kind: Literal["try"] = "try"
    steps: list[Node]
    catches: list[Catch]
    otherwise: list[Node] = []
    always: list[Node] = []
    """What is done in any case."""


class GroupNode(Named):
    """A function of the author's own that holds steps, where it is called."""

    kind: Literal["group"] = "group"
    function: str
    steps: list[Node]
    folded: bool = False
    """Whether its steps are left out here: it calls itself, or the outline grows too long."""


class LeaveNode(Placed):
    """Leaves a loop, goes on with its next item, or leaves a function of the author's own."""

    kind: Literal["break", "continue", "return"]


Ending = Literal["end", "answer", "reply", "ignore", "dead_letter"]
"""How a flow ends."""


class StopNode(Placed):
    """Ends the flow."""

    kind: Literal["stop"] = "stop"
    how: Ending
    text: str | None = None


class ThrowNode(Placed):
    """Fails, unless a `try` around it catches that."""

    kind: Literal["throw"] = "throw"
    text: str


class UnknownNode(Placed):
    """What the reader cannot follow and may hold steps; `text` is its source."""

    kind: Literal["unknown"] = "unknown"
    text: str


Node = Annotated[
    ActionNode
    | CodeNode
    | CallNode
    | ResultNode
    | SleepNode
    | WaitNode
    | LinksNode
    | StateNode
    | PairsNode
    | SetNode
    | LogNode
    | RouteNode
    | IfNode
    | SwitchNode
    | ForNode
    | WhileNode
    | TryNode
    | GroupNode
    | LeaveNode
    | StopNode
    | ThrowNode
    | UnknownNode,
    Discriminator("kind"),
]
"""Any node of a flow's tree."""


class FlowOutline(Part):
    """A flow, as its text has it."""

    name: str
    title: str
    description: str
    trigger: str
    """The trigger, as `component.trigger`."""
    preprocess: bool = False
    """Whether it hands its events on to other flows."""
    shared: bool = False
    """Whether its URL is the same for all customers."""
    place: Place
    steps: list[Node]


class Outline(Part):
    """An integration, as its text has it: nothing of it was run."""

    name: str
    title: str
    description: str
    language: Literal["python", "yaml"]
    file: str
    flows: list[FlowOutline]
    unknown: list[UnknownNode] = []
    """What may add flows and could not be followed."""
