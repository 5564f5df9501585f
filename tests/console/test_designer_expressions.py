"""The designer's reading of expressions agrees with the server's, for the part that it reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from halflap.lowcode.expressions.error import Fault
from halflap.lowcode.expressions.parser import parse
from halflap.lowcode.expressions.tree import Parenthesized

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "console/src/features/designer/fields/expression.ts"
SUITE = ROOT / "tests/lowcode/expressions/jsonata/suite.json"
READ = f"""
import {{ conditionOf, parse, written, writtenCondition }} from {json.dumps(SOURCE.as_uri())}
import {{ readFileSync }} from "node:fs"
const found = JSON.parse(readFileSync(0, "utf8")).map((text) => {{
  const condition = conditionOf(text)
  const parsed = parse(text)
  const bare = (key, value) => (key === "source" ? undefined : value)
  const texts = [condition, condition && JSON.parse(JSON.stringify(condition, bare))]
  return [parsed.kind, written(parsed), ...texts.map((each) => each && writtenCondition(each))]
}})
console.log(JSON.stringify(found))
"""
HOSTILE = (
    "a\u00a0= 1", "a\f.b", "a'b' = 1", "a.and", "a .b", "a. `b c` [ 1 ]", "\ufeffa", "a = 01",
    "a = 1.", "a = .5", "a = 1e999", "a = 1e-999", "a =-  1", "a = - -1", "a & '\\ud83d\\ude00'",
    "a & '\\ud83d'", "'a' & 'b' & 'c'", "$contains (a, 'x')", "$containsx(a, 'x')", "a in ['x',]",
    "a in []", "a in [b]", "a [0] [1] = 1", "a.b[0] & a", "and = 1", "a = or", "in in in", "a = %",
    "a and b or c and d", "a or b and c or (d or e)", "(a = 1) and (b)", "(a or b)[0] and c",
    "((a) or b)",
    "a and (b or c) = d", "(a, b) and c", "(a; b) or c", "a and not(b)", "a and (b or c).d",
    "é = 'ü'", "名前.値", "a𝒳 = 1", "𝒳 = 1", "`` = 1", "a.`x", "a = null and b = true or c", "a :b",
)  # fmt: skip


def corpus() -> list[str]:
    """Return the expressions of the examples, the docs and JSONata's own tests, and hostile ones."""
    found = {case["expr"] for case in json.loads(SUITE.read_text())["cases"] if "expr" in case}
    texts = [*(ROOT / "examples").glob("*.yaml"), *(ROOT / "docs").rglob("*.md")]
    for path in texts:
        found |= set(
            re.findall(r"[:\[{,] [\"']?=([^=\n].*?)[\"']?[,}\]]?$", path.read_text(), re.M)
        )
        found |= set(re.findall(r": =([\w.]+)", path.read_text()))
    return sorted([*found, *HOSTILE])


def shape(node: Any) -> Any:
    """Return a tree without its places, and without parentheses round one expression."""
    if isinstance(node, Parenthesized) and len(node.expressions) == 1 and node.bare:
        return shape(node.expressions[0])
    if is_dataclass(node) and not isinstance(node, type):
        known = [each.name for each in fields(node) if each.name not in ("at", "start", "seeking")]
        return type(node).__name__, [(name, shape(getattr(node, name))) for name in known]
    if isinstance(node, list | tuple):
        return [shape(each) for each in node]  # type: ignore[reportUnknownVariableType]
    return type(node).__name__, str(node)


def test_what_the_designer_reads_the_server_reads_alike() -> None:
    node = Path(sys.executable).parent / "node"
    texts = corpus()
    ran = subprocess.run(
        [node, "--no-warnings", "--input-type=module", "-e", READ],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kinds: dict[str, int] = {}
    for text, (kind, *written) in zip(texts, json.loads(ran.stdout), strict=True):
        kinds[kind] = kinds.get(kind, 0) + 1
        for each in {*written} - {None}:
            try:
                meant = shape(parse(text)[0])
            except Fault as fault:
                raise AssertionError(f"the server refuses {text!r}, read as a {kind}") from fault
            assert shape(parse(each)[0]) == meant, (text, each)
    assert kinds["path"] > 50
    assert kinds["text"] > 15
    assert kinds["condition"] > 25
    assert kinds["formula"] > 500
