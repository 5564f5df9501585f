"""The kinds of steps that the console knows are those of documents."""

from __future__ import annotations

import re
from pathlib import Path

from halflap.lowcode.kinds import KINDS
from halflap.lowcode.kinds.role import Block
from halflap.lowcode.kinds.walk import fields_of

TABLE = Path(__file__).parents[2] / "console/src/features/designer/tree/kinds.ts"


def test_the_console_has_each_kind_of_step_with_its_blocks() -> None:
    entries = re.split(r"^  (\w+): \{", TABLE.read_text(), flags=re.MULTILINE)[1:]
    shown = {
        kind: set(re.findall(r'"(\w+)"', "".join(re.findall(r"blocks: \[(.*?)\]", entry))))
        for kind, entry in zip(entries[::2], entries[1::2], strict=True)
        if "begins: " in entry
    }
    assert shown == {
        kind: {each.key for each in fields_of(model) if each.role(Block) is not None}
        for kind, model in KINDS.items()
    }
