"""Kinds of steps, a file each: its fields with their roles, how it is compiled, and what it does.

Its kind is the key that names a step in a document (`KINDS`). `walk` and `raw` walk over steps by the
roles (`role`) of their fields.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Union, cast

from pydantic import Discriminator, Tag

from halflap.lowcode.kinds.action import ActionStep
from halflap.lowcode.kinds.break_ import BreakStep
from halflap.lowcode.kinds.call import CallStep
from halflap.lowcode.kinds.code import CodeStepModel
from halflap.lowcode.kinds.continue_ import ContinueStep
from halflap.lowcode.kinds.for_ import ForStep
from halflap.lowcode.kinds.if_ import IfStep
from halflap.lowcode.kinds.links import LinksStep
from halflap.lowcode.kinds.log import LogStep
from halflap.lowcode.kinds.pairs import PairedStep, PairStep, UnpairStep
from halflap.lowcode.kinds.set import SetStep
from halflap.lowcode.kinds.sleep import SleepStep
from halflap.lowcode.kinds.state import StateStep
from halflap.lowcode.kinds.step import StepModel
from halflap.lowcode.kinds.stop import StopStep
from halflap.lowcode.kinds.switch import SwitchStep
from halflap.lowcode.kinds.throw import ThrowStep
from halflap.lowcode.kinds.try_ import TryStep
from halflap.lowcode.kinds.wait import WaitStep

KINDS: dict[str, type[StepModel]] = {
    each.kind: each
    for each in (
        ActionStep,
        IfStep,
        SwitchStep,
        ForStep,
        TryStep,
        SetStep,
        CodeStepModel,
        CallStep,
        SleepStep,
        WaitStep,
        LinksStep,
        StateStep,
        PairedStep,
        PairStep,
        UnpairStep,
        LogStep,
        BreakStep,
        StopStep,
        ContinueStep,
        ThrowStep,
    )
}
"""By the key that names it, each kind of step."""

TAG = "step:"


def kind_of(value: Any) -> str | None:
    """Return the kind of a step: the first key that names one (`call` before its own `wait`)."""
    if isinstance(value, StepModel):
        return value.kind
    if not isinstance(value, Mapping):
        return None
    return next((kind for kind in KINDS if kind in cast(Mapping[Any, Any], value)), None)


def _tag_of(value: Any) -> str | None:
    kind = kind_of(value)
    return None if kind is None else TAG + kind


if TYPE_CHECKING:
    AnyStep = StepModel
else:
    _tagged = tuple(Annotated[each, Tag(TAG + kind)] for kind, each in KINDS.items())
    AnyStep = Annotated[Union[_tagged], Discriminator(_tag_of)]  # noqa: UP007 (of a tuple)

for _kind in KINDS.values():  # steps hold each other: the annotations of a block name all of them
    vars(sys.modules[_kind.__module__]).setdefault("AnyStep", AnyStep)
