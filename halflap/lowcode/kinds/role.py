"""Roles of a step's fields, which stand in their annotations: what a field holds for the flow.

Everything that walks a flow (scoping, lint, outline, renaming, conversion) reads these, so that a
kind of step is declared in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Block:
    """A list of steps, or several by case.

    each: it runs once for each item of a list, with names of its own.
    """

    each: bool = False


Sort = Literal["value", "text", "event", "time", "status"]
"""The value that a template has to give: any, a text (or a number), an event (never a text), a
duration, the status of an HTTP answer.
"""


@dataclass(frozen=True, slots=True)
class Asks:
    """A template, in which expressions may stand; a mapping holds one by each name.

    recorded: what it gives decides what is recorded, so that it has to be the same at the next
    attempt. json: it goes into JSON that others read.
    """

    sort: Sort = "value"
    recorded: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True)
class Gives:
    """A name that later steps can read, or a mapping of such names."""

    what: Literal["result", "variable", "item", "error"]


@dataclass(frozen=True, slots=True)
class Refers:
    """The name of something that is declared elsewhere."""

    to: Literal["action", "connection", "flow", "pairs"]
