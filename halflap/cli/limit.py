"""Limits as options: a number, `none` or `default`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from halflap.api.view import ConnectionLimitsView, LimitsView

DEFAULT = -1


class LimitType(click.ParamType[Any]):
    """A number, `none` or `default`."""

    name = "number"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> int | float:
        """The number; 0 for none."""
        if value in ("none", "default"):
            return 0 if value == "none" else DEFAULT
        try:
            number = self._kind(value)
        except ValueError:
            number = -1
        if not 0 < number <= 1e9:
            self.fail(f"{value!r} is neither a number above 0, nor none, nor default", param, ctx)
        return number


NUMBER, RATE = LimitType(int), LimitType(float)


def changed(
    known: LimitsView | ConnectionLimitsView, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Limits with those that were given; None where none was."""
    new = {name: value for name, value in given.items() if value is not None}
    if not new:
        return None
    whole = {**known.model_dump(), **new}
    return {name: None if value == DEFAULT else value for name, value in whole.items()}


def spelled(own: float | None, default: float | None) -> str:
    """A limit as it holds."""
    value = default if own is None else own
    return f"{value:,}" if value else "none"
