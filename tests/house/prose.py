"""Check what a machine can check of the conventions for words and prose: `python -m tests.house.prose`.

Five rules: a docstring opens with a verb or a noun phrase, in the packages and in the tests, the
benchmark and the examples; a class name is unique in the package; a room imports no private name of
another room; a commit subject has at most 60 characters; a test waits for `tests.polling.DEADLINE`, as a
shorter deadline says how loaded the machine is. Where old code still breaks a rule, `LIMITS`
has the number of places that are left. It may only fall.
"""

from __future__ import annotations

import ast
import gc
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.polling import DEADLINE

ROOT = Path(__file__).parents[2]
PACKAGES = ("halflap", "halflap_sandbox")
BESIDE = ("tests", "bench", "examples")
"""Folders beside the packages, whose docstrings are checked too."""
COMPONENTS = "halflap/components/"
OPENERS = re.compile(r"(What|Whether|How|Whoever|Those|Who|Whose|Which)\b")
SUBJECT = 60
SUBJECTS_SINCE = "2026-11-28T00:00:00"
LIMITS = {
    "docstring opener": 0,
    "class name": 0,
    "private import": 0,
    "commit subject": 0,
    "deadline": 0,
}
MOMENT = 2.0
"""Up to so many seconds a test waits for what does not come."""
VIRTUAL = "tests/simulation/"
"""A folder whose clock is its own."""
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Offence:
    """One place that breaks a rule."""

    rule: str
    place: str
    message: str


def sources(folders: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    """Yield the path (relative to the repository) and the syntax tree of each module in folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "node_modules" in path.parts:  # of the peers that bench installs
                continue
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def room_of(module: str) -> str:
    """Return the room of a dotted module: `halflap.store.postgres.jobs` is in `halflap.store`."""
    return ".".join(module.split(".")[:2])


def check_docstrings(path: str, tree: ast.Module) -> Iterator[Offence]:
    """Find docstrings that open with a question word, those below assignments included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for each in body:
            value = each.value if isinstance(each, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found = OPENERS.match(value.value)
                if found is not None:
                    message = (
                        f"a docstring opens with {found[0]!r}; open it with a verb or the noun"
                    )
                    yield Offence("docstring opener", f"{path}:{each.lineno}", message)


def check_deadlines(path: str, tree: ast.Module) -> Iterator[Offence]:
    """Find deadlines of a test's own that are shorter than the shared one."""
    if path.startswith(VIRTUAL):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(ast.Name("asyncio"), "timeout"), [limit]):
                pass
            case ast.Call(ast.Attribute(ast.Name("asyncio"), "wait_for"), [_, limit]):
                pass
            case ast.Call(ast.Name("until"), [_, limit, *_]):
                pass
            case _:
                continue
        seconds = limit.value if isinstance(limit, ast.Constant) else None
        if isinstance(seconds, int | float) and MOMENT < seconds < DEADLINE:
            message = f"a test waits {seconds:g} s at most; use tests.polling.DEADLINE"
            yield Offence("deadline", f"{path}:{node.lineno}", message)


def check_private_imports(path: str, tree: ast.Module) -> Iterator[Offence]:
    """Find imports of `_private` modules and names across rooms."""
    here = room_of(path.removesuffix(".py").replace("/", "."))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
            continue
        parts = [*node.module.split("."), *(each.name for each in node.names)]
        private = [each for each in parts if each.startswith("_") and not each.startswith("__")]
        if private and node.module.startswith(PACKAGES) and room_of(node.module) != here:
            message = f"imports {private[0]}, which is private to {room_of(node.module)}"
            yield Offence("private import", f"{path}:{node.lineno}", message)


def check_class_names(trees: list[tuple[str, ast.Module]]) -> Iterator[Offence]:
    """Find top-level classes of `halflap` that share their name with an earlier one.

    Those of the components are left out: authors name them by their component (`salesforce.Record`).
    """
    seen: dict[str, str] = {}
    for path, tree in trees:
        for node in tree.body:
            if not path.startswith("halflap/") or path.startswith(COMPONENTS):
                continue
            if not isinstance(node, ast.ClassDef):
                continue
            place = f"{path}:{node.lineno}"
            if node.name in seen:
                message = f"the class name {node.name} is taken by {seen[node.name]}"
                yield Offence("class name", place, message)
            else:
                seen[node.name] = place


def check_subjects() -> Iterator[Offence]:
    """Find commit subjects that are too long. Without a git repository there are none."""
    command = ["git", "log", f"--since={SUBJECTS_SINCE}", "--no-merges", "--format=%h %s"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for line in found.stdout.splitlines():
        commit, _, subject = line.partition(" ")
        if len(subject) > SUBJECT:
            message = f"the subject has {len(subject)} characters, at most {SUBJECT}: {subject}"
            yield Offence("commit subject", commit, message)


def offences() -> list[Offence]:
    """Return all offences against the five rules, by place."""
    trees = list(sources(PACKAGES))
    beside = list(sources(BESIDE))
    documented = (*trees, *beside)
    found = [each for path, tree in documented for each in check_docstrings(path, tree)]
    found += [each for path, tree in trees for each in check_private_imports(path, tree)]
    tests = [each for each in beside if each[0].startswith("tests/")]
    found += [each for path, tree in tests for each in check_deadlines(path, tree)]
    return [*found, *check_class_names(trees), *check_subjects()]


def main() -> int:
    """Print the offences of each rule that has more than its limit, and a line of counts."""
    gc.disable()  # it looks at all trees again and again, for most of the time
    found = offences()
    counts = Counter(each.rule for each in found)
    over = {rule for rule, limit in LIMITS.items() if counts[rule] > limit}
    shown = found if "--all" in sys.argv else [each for each in found if each.rule in over]
    for each in shown:
        print(f"{each.place}: {each.message}")
    print("prose:", ", ".join(f"{rule} {counts[rule]} (limit {LIMITS[rule]})" for rule in LIMITS))
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
