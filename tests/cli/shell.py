"""Commands as one types them, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from halflap.cli import main


def run(*words: str, input: str | None = None, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, words, input=input)


def ok(*words: str, **environment: str) -> str:
    done = run(*words, **environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def plain(*words: str) -> Any:
    """Return the output of a command as JSON: one value, or a list of lines."""
    lines = [json.loads(line) for line in ok(*words, "--json").splitlines()]
    return lines[0] if len(lines) == 1 else lines


def refused(*words: str, code: int = 1) -> str:
    done = run(*words)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    return done.stderr


def change(project: Path, *changes: tuple[str, str], more: str = "") -> None:
    """Change the source of the integration, which has what is changed once."""
    source = (project / "orders.py").read_text()
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    (project / "orders.py").write_text(source + more)


def activated(*customers: str) -> None:
    """Deploy the project, and have an active instance of each customer."""
    ok("deploy")
    for each in customers or ("Initech",):
        ok("customers", "add", each)
        ok("instances", "add", each, "orders", "--config", "label=A", "--activate")
