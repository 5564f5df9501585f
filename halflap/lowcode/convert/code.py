"""Writes a code step as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halflap.lowcode import steps as doc
from halflap.lowcode.convert.refusal import NotConvertible
from halflap.lowcode.convert.writer import Block
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.convert.flow import FlowWriter


def written_code(writer: FlowWriter, step: doc.CodeStep, path: Path, indent: int) -> Block:
    """`code`."""
    raise NotConvertible(
        "code steps are not written as Python yet", where=writer.module.source.at(path)
    )
