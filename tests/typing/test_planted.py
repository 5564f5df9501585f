"""The type checker finds an author's mistakes before anything runs: each planted one, on its line.

`make check` checks `planted/` with all else. An `ignore` stands on the line of each mistake and names
its rule; one that the checker has no need of is an error.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).parent / "planted"


def test_each_planted_mistake_has_to_be_reported() -> None:
    config: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    checked = config["tool"]["pyright"]
    assert "tests/typing" in checked["include"]
    assert checked["typeCheckingMode"] == "strict"
    assert checked["reportUnnecessaryTypeIgnoreComment"] == "error"
    text = "\n".join(each.read_text("utf-8") for each in PLANTED.glob("*.py"))
    assert len(re.findall(r"# pyright: ignore\[\w+(, \w+)*\]$", text, re.MULTILINE)) == 5
