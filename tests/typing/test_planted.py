"""The type checker finds an author's mistakes before anything runs: each planted one, on its line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).parent / "planted"
Found = set[tuple[str, int, str]]


def marked(folder: Path) -> Found:
    """The lines that say which rule must report them."""
    return {
        (path.name, number, rule)
        for path in folder.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for rule in re.findall(r"# error: (\w+)$", line)
    }


def reported(folder: Path) -> Found:
    """Return the reports of pyright, in strict mode."""
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT), str(ROOT / "examples")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    pyright = ROOT / "node_modules/pyright/index.js"
    command = [node(), str(pyright), "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "--project", str(folder)], capture_output=True, text=True, check=False
    )
    output: dict[str, Any] = json.loads(done.stdout)
    assert output["summary"]["filesAnalyzed"] >= len(list(folder.glob("*.py")))
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", ""))
        for each in output["generalDiagnostics"]
    }
    # What has no type because of a mistake is reported too, on the mistake's own line.
    echoes = {each for each in found if each[2].startswith("reportUnknown")}
    mistaken = {each[:2] for each in found - echoes}
    return {each for each in found if each not in echoes or each[:2] not in mistaken}


def node() -> str:
    """The machine's Node, else the one that was installed with the tests."""
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    assert found is not None, "there is no node; `make setup` installs one"
    return found


def test_each_planted_mistake_is_reported_on_its_line_and_nothing_else(tmp_path: Path) -> None:
    for planted in PLANTED.glob("*.py.txt"):
        shutil.copy(planted, tmp_path / planted.name.removesuffix(".txt"))
    expected = marked(tmp_path)
    assert len(expected) == 5
    assert reported(tmp_path) == expected
