"""The check of words and prose finds what it is made to find."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house import prose


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What a lease is."""', 1),
        ('def lease() -> None:\n    """Whether it is held."""', 1),
        ('LEASE = 1\n"""How long."""', 1),
        ('class Lease:\n    """A lease on one execution."""', 0),
        ('def lease() -> str:\n    return "What"', 0),
    ],
)
def test_docstrings_that_open_with_a_question_word_are_found(source: str, found: int) -> None:
    assert len(list(prose.check_docstrings("halflap/x.py", ast.parse(source)))) == found


def test_docstrings_beside_the_packages_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("halflap", "tests", "bench", "examples"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text('"""What a lease is."""')
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    found = [each.place for each in prose.offences() if each.rule == "docstring opener"]
    assert found == ["halflap/x.py:1", "tests/x.py:1", "bench/x.py:1", "examples/x.py:1"]


def test_private_names_of_another_room_are_found() -> None:
    tree = ast.parse(
        "from halflap.sdk._address import Policy\nfrom halflap.store._file import StoreFile"
    )
    found = [each.place for each in prose.check_private_imports("halflap/store/x.py", tree)]
    assert found == ["halflap/store/x.py:1"]


def test_deadlines_that_a_busy_machine_misses_are_found() -> None:
    tree = ast.parse(
        "asyncio.timeout(10)\nasyncio.wait_for(it, 5)\nuntil(it, 20)\n"
        "asyncio.timeout(0.1)\nasyncio.timeout(DEADLINE)\nuntil(it)\nuntil(it, 300)\nsend(it, 5)"
    )
    found = [each.place for each in prose.check_deadlines("tests/x.py", tree)]
    assert found == ["tests/x.py:1", "tests/x.py:2", "tests/x.py:3"]


def test_a_class_name_that_is_taken_is_found() -> None:
    trees = [(path, ast.parse("class Answer: ...")) for path in ("halflap/a.py", "halflap/b.py")]
    found = list(prose.check_class_names(trees))
    assert [each.place for each in found] == ["halflap/b.py:1"]
    assert "halflap/a.py:1" in found[0].message


def test_no_message_below_the_command_line_says_its_options() -> None:
    option = re.compile(r"""(?:["' (`])--[a-z]""")
    said = [
        f"{path.relative_to(prose.ROOT)}: {line.strip()}"
        for room in ("api", "gateway", "engine", "store/rules")
        for path in (prose.ROOT / "halflap" / room).rglob("*.py")
        for line in path.read_text().splitlines()
        if option.search(line)
        and '"' in line
        and "halflap " not in line
        and '"""' not in line
        and '["git"' not in line
    ]
    assert said == []
