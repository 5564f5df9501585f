"""Code is checked before it runs: what is wrong, where, and what to write instead."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from bench.experiments.jsonata_hostile import tried
from halflap.errors import CodeFailed
from halflap.lowcode.code import Code, CodeError, CodePlace, CodeRunner, components_of
from halflap.lowcode.code.rules import BUILTINS, MODULES, NAMES_INSTEAD
from halflap.lowcode.code.source import MOST_TEXT
from tests.cases import for_each
from tests.coding import PLACE, no_calls, unchecked


def problems(text: str) -> list[str]:
    with pytest.raises(CodeError) as caught:
        Code.parse(text, ["event"], ["acme"], PLACE)
    return [f"{each.line}:{each.column}: {each.message}" for each in caught.value.problems]


def test_what_the_code_uses_is_known() -> None:
    code = Code.parse(
        "known = await acme.find_account(external_id=event['Id'])\n"
        "if not known:\n"
        "    await acme.create_account(event['Id'], *names, name='é', **more)\n"
        "return known\n",
        ["event", "names", "more", "unread"],
        ["acme", "salesforce"],
        PLACE,
    )
    assert code.names == {"event", "names", "more"}
    assert code.components == {"acme"}
    assert [(use.component, use.action, use.line, use.column) for use in code.uses] == [
        ("acme", "find_account", 10, 23),
        ("acme", "create_account", 12, 19),
    ]
    assert code.uses[0].keywords == ("external_id",)
    assert not code.uses[0].spread
    assert (code.uses[1].positional, code.uses[1].spread) == (1, True)


@for_each(
    ("text", "components"),
    [
        (
            "x = await acme.find(1)\nreturn await  shop . get (x.y(), event.get(1))",
            {"acme", "shop"},
        ),
        ("import asyncio\nreturn await asyncio.gather(acme.find(1))", {"acme"}),
        ("import asyncio\ncalls = [acme.find(1)]\nawait asyncio.gather(*calls)", {"acme"}),
        ("return evnt.get(1)", set()),
        ("return 'await acme.find(1)' # await acme.find(1)", set()),
        ("await acme.", set()),
    ],
)
def test_the_components_of_a_text_are_those_of_the_actions_that_it_awaits(
    text: str, components: set[str]
) -> None:
    assert components_of(text, ["event"]) == components


def test_the_same_text_is_read_once() -> None:
    assert Code.parse("return 1", ["a"]) is Code.parse("return 1", ["a"])


def test_all_that_is_wrong_is_told_in_the_files_own_places() -> None:
    assert problems("import os\nx = evnt\nyield x\n") == [
        "10:9: `os` is not here: there are no files and no environment here: "
        "take the value as an input",
        "11:13: `evnt` is not known; did you mean `event`?",
        "12:9: no generators here: build a list, and return it",
    ]


def test_a_column_counts_characters_and_not_bytes() -> None:
    assert problems("x = 'äöü'; y = evnt") == ["10:24: `evnt` is not known; did you mean `event`?"]


def test_the_error_names_the_first_place() -> None:
    with pytest.raises(CodeError, match=r"^flow\.yaml:11:13: `evnt` is not known"):
        Code.parse("a = 1\nb = evnt", ["event"], (), PLACE)


WRONG = {
    "return 1 +": "10:19: not Python: invalid syntax",
    "return (1": "10:16: not Python: '(' was never closed",
    "x = 1\n  y = 2": "11:10: not Python: unexpected indent",
    "return '\ud800'": "10:17: half a surrogate pair",
    "return '\\ud800'": "10:16: half a surrogate pair: write the whole character",
    "x = '\0'": "10:9: not Python: source code string cannot contain null bytes",
    "del event['a']": "10:9: no `del` here: `d.pop(key)` takes an entry out",
    "async for x in event: pass": "10:9: no `async for` and `async with` here",
    "return [x async for x in event]": "10:29: no `async for` here",
    "class A(Exception): pass": "10:17: classes cannot inherit here",
    "class A(metaclass=type): pass": "10:27: no metaclasses here",
    "class A:\n  @property\n  def a(self): return 1": "11:12: methods take no decorators here",
    "try:\n  pass\nexcept* ValueError:\n  pass": "10:9: no `except*` here",
    "from decimal import *": "10:9: name what you import",
    "from . import x": "10:9: there is no package here",
    "import requests": "10:9: `requests` is not here: call an action instead",
    "import numpy": "10:9: `numpy` is not here: there are asyncio, base64",
    "import random": "10:9: `random` is not here: a replay draws something else",
    "from datetime import datetime\nx = datetime.now()": "11:13: `now()` reads a clock",
    "import asyncio\nawait asyncio.sleep(1)": "11:15: code does not wait: put a `sleep` step",
    "import asyncio\nasyncio.create_task(f())": "11:9: of asyncio there is `gather` only",
    "open('x')": "10:9: `open` is not here: there are no files here",
    "eval('1')": "10:9: `eval` is not here: code is not run from text here: write it out",
    "json.dumps(1)": "10:9: write `import json` at the beginning",
    "return event.__class__": "10:16: `.__class__` is Python's inside, which is not here",
    "acme = 1": "10:9: `acme` is a component: call the variable something else",
    "return acme": "10:16: `acme` is a component: call an action of it",
    "f = acme.find": "10:13: call the action: `await acme.find(…)`",
    "acme.find(1)": "10:9: nothing happens without `await`: `await acme.find(…)`",
    "await acme.find(range(3))": "10:25: a range is no data: write `list(range(…))`",
    "return event.keys()": "10:16: a view is no data: write `list(….keys())`",
    "return {'a': {1, 2}}": "10:22: a set has no order: write `sorted(…)`",
    "import re\nreturn re.match('a', 'b')": "11:16: a match is no data",
    "return lambda: 1": "10:16: a function is no data: call it",
    "x = 1\nx + 1": "11:9: nothing is done with this value: write `return` before it",
}


@for_each("text", WRONG)
def test_it_says_what_to_write_instead(text: str) -> None:
    found = problems(text)
    assert any(each.startswith(WRONG[text]) for each in found), found


SOUND = [
    "return 1",
    "",
    "# nothing",
    "match event:\n  case {'a': b, **rest}: return [b, rest]\n  case [*x]: return x\n  case y: return y",
    "import asyncio\nreturn await asyncio.gather(*[acme.find(x) for x in event])",
    "async def one(x):\n  return await acme.find(x)\nreturn [await one(x) for x in event]",
    "class A:\n  def __init__(self, x): self.x = x\nreturn A(1).x",
    "try:\n  await acme.find(1)\nexcept RuntimeError as error:\n  return str(error)",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int\nreturn A(1).x",
    "if (n := len(event)) > 1:\n  return n",
]


async def test_what_the_check_lets_pass_the_sandbox_can_read(runner: CodeRunner) -> None:
    for text in SOUND:
        Code.parse(text, ["event"], ["acme"], PLACE)
        assert await runner.run(unchecked(f"return 1\n{text}"), {}, no_calls) == 1
    with pytest.raises(CodeFailed, match=r"^flow\.yaml:12:11: .*yield") as caught:
        await runner.run(unchecked("return 1\ndef f():\n  yield 1\n"), {}, no_calls)
    assert caught.value.line == 12


@for_each("name", sorted(MODULES))
async def test_what_may_be_imported_is_there(runner: CodeRunner, name: str) -> None:
    imported = "from __future__ import annotations" if name == "__future__" else f"import {name}"
    assert await runner.run(Code.parse(f"{imported}\nreturn 1"), {}, no_calls) == 1


async def test_the_builtins_are_there_and_no_others(runner: CodeRunner) -> None:
    for name in sorted(BUILTINS):
        await runner.run(unchecked(f"x = {name}\nreturn 1"), {}, no_calls)
    with pytest.raises(CodeFailed, match="NameError"):
        await runner.run(unchecked("x = breakpoint\nreturn 1"), {}, no_calls)
    assert not BUILTINS & set(NAMES_INSTEAD)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(CodeError, match="more than 65,536 characters of code"):
        Code.parse("#" * (MOST_TEXT + 1))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@for_each(
    "text",
    [
        "-" * 60_000 + "1",
        "(" * 30_000 + ")" * 30_000,
        "[" * 150 + "1" + "]" * 150,
        "a" + ".b" * 30_000,
        "1" + "+1" * 30_000,
        "f" + "()" * 30_000,
        "lambda:" * 8_000 + "1",
        "x=" * 30_000 + "1",
        "if 1:\n pass\n" + "elif 1:\n pass\n" * 4_000,
        "x = " + "not " * 15_000 + "1",
        "9" * 60_000,
        "f'" + "{" * 5_000 + "'",
    ],
    ids=lambda text: f"{text[:6]!r}",
)
def test_hostile_text_is_read_or_refused_soon(text: str) -> None:
    """In a process of its own: a parser that overflows its stack would take this one with it."""

    def parsed(text: str) -> str:
        try:
            Code.parse(text)
        except CodeError:
            return "refused"
        return "read"

    result = tried(parsed, text)
    assert result["ended"] in ("read", "refused"), result
    assert result["cpu"] < 2, result


def test_a_place_without_a_file_counts_from_one() -> None:
    assert CodePlace().where(3, 4) == "<code>:3:4"
    assert replace(PLACE).where(2) == "flow.yaml:11"
