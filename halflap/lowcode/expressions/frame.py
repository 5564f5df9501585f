"""Where names are looked up while an expression is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from halflap.lowcode.expressions.value import UNDEFINED

if TYPE_CHECKING:
    from halflap.lowcode.expressions.expression import Scope
    from halflap.lowcode.expressions.meter import Meter


class Evaluation:
    """The shared state of one evaluation: its meter, root, time and chance.

    hidden: the scope, where that is the root: no function is given it as its context.
    """

    __slots__ = ("_random", "_seed", "hidden", "meter", "now", "root")

    def __init__(self, meter: Meter, root: Any, scope: Scope) -> None:
        self.meter = meter
        self.root = root
        self.hidden = scope.values
        self.now = scope.now
        self._seed = scope.seed
        self._random: Random | None = None

    @property
    def random(self) -> Random | None:
        """Chance that is the same for the same seed."""
        if self._random is None and self._seed is not None:
            self._random = Random(self._seed)  # noqa: S311
        return self._random


@dataclass(slots=True, eq=False, repr=False)
class VariableFrame:
    """Variables, and the frame around it."""

    evaluation: Evaluation
    names: Mapping[str, Any]
    outer: VariableFrame | None = None

    def get(self, name: str) -> Any:
        """The value of a variable."""
        frame: VariableFrame | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names[name]
            frame = frame.outer
        return UNDEFINED

    def inner(self, names: Mapping[str, Any]) -> VariableFrame:
        """A frame in this one."""
        return VariableFrame(self.evaluation, names, self)
