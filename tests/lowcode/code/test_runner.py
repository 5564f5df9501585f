"""Code steps run in workers: with their inputs, their actions, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from halflap.errors import CodeFailed, RetryLater, StepFailed
from halflap.lowcode.code import Code, CodeCall, CodeRunner, Pool
from halflap.sdk.context import Settled
from tests.cases import for_each
from tests.coding import PLACE, no_calls, run, unchecked


def parse(text: str, *inputs: str) -> Code:
    return Code.parse(text, inputs, ["acme"], PLACE)


async def test_the_result_is_what_the_code_returns(runner: CodeRunner) -> None:
    assert await run(runner, "return event['n'] + 1", event={"n": 1}) == 2
    assert await run(runner, "x = 1") is None
    assert await run(runner, "x = 1\nlen([x])") is None


async def test_an_action_is_called_with_its_inputs(runner: CodeRunner) -> None:
    calls: list[CodeCall] = []

    async def call(call: CodeCall) -> Any:
        calls.append(call)
        return {"id": "a1", "amount": Decimal("1.10")}

    code = parse("a = await acme.create(event, name='x')\nreturn [a['amount'], a['id']]", "event")
    result = await runner.run(code, {"event": {"n": 2**70}}, call)
    assert result == [Decimal("1.10"), "a1"]
    assert str(result[0]) == "1.10"
    assert calls == [CodeCall("acme", "create", ({"n": 2**70},), {"name": "x"}, 0, 10, 19)]
    assert calls[0].name == "acme.create"


GATHERED = """
import asyncio

async def both(n):
    a = await acme.first(n)
    b = await acme.second(a)
    return b

return await asyncio.gather(both(1), both(2), acme.third(3))
"""


async def test_what_is_gathered_is_asked_for_in_rounds(runner: CodeRunner) -> None:
    rounds: list[list[str]] = []

    async def together(calls: Sequence[CodeCall]) -> Sequence[Settled[Any]]:
        rounds.append([f"{call.action} {call.args[0]} {call.index}" for call in calls])
        return [Settled(call.args[0]) for call in calls]

    result = await runner.run(parse(GATHERED), {}, no_calls, together=together)
    assert result == [1, 2, 3]
    assert rounds == [["third 3 0", "first 1 1", "first 2 2"], ["second 1 3", "second 2 4"]]


async def test_without_together_what_is_gathered_runs_one_after_another(
    runner: CodeRunner,
) -> None:
    calls: list[str] = []

    async def call(call: CodeCall) -> Any:
        calls.append(call.action)
        return call.args[0]

    assert await runner.run(parse(GATHERED), {}, call) == [1, 2, 3]
    assert calls == ["third", "first", "first", "second", "second"]


async def failing(call: CodeCall) -> Any:
    raise StepFailed("acme said no", step="code")


async def test_code_may_catch_what_an_action_raises(runner: CodeRunner) -> None:
    code = parse("try:\n  await acme.get()\nexcept RuntimeError as error:\n  return str(error)")
    assert await runner.run(code, {}, failing) == "acme said no"


async def test_what_is_not_caught_is_raised_as_it_was(runner: CodeRunner) -> None:
    with pytest.raises(StepFailed, match="acme said no") as caught:
        await runner.run(parse("x = 1\nawait acme.get()"), {}, failing)
    assert caught.value.step == "code"
    assert caught.value.__notes__ == ["in the code at flow.yaml:11:9"]


@pytest.mark.parametrize("error", [RetryLater(timedelta(seconds=1)), asyncio.CancelledError()])
async def test_what_suspends_an_execution_cannot_be_caught(
    runner: CodeRunner, error: BaseException
) -> None:
    async def call(call: CodeCall) -> Any:
        raise error

    code = parse("try:\n  await acme.get()\nexcept BaseException:\n  pass\nawait acme.get()")
    with pytest.raises(type(error)):
        await runner.run(code, {}, call)
    assert await run(runner, "return 1") == 1


async def test_a_call_that_nobody_awaits_does_not_run(runner: CodeRunner) -> None:
    code = parse("import asyncio\nx = [asyncio.gather]\na = acme.get(1)\nreturn 1")
    with pytest.raises(CodeFailed, match=r"flow.yaml:12:13: acme.get did not run: write `await"):
        await runner.run(code, {}, no_calls)


async def test_printed_lines_come_with_their_line(runner: CodeRunner) -> None:
    printed: list[tuple[str, int]] = []

    async def call(call: CodeCall) -> Any:
        printed.append(("called", 0))

    text = "print('a', 1, Decimal('1.10'), [None], sep='-')\nawait acme.get()\nprint({'b': True})"
    code = parse(f"from decimal import Decimal\n{text}")
    await runner.run(code, {}, call, print=lambda text, line: printed.append((text, line)))
    assert printed == [("a-1-1.10-[None]", 11), ("called", 0), ("{'b': True}", 13)]


async def test_what_is_no_data_is_printed_by_its_name_only(runner: CodeRunner) -> None:
    """Its text may have no end: the host never asks for it."""
    text = (
        "class A: pass\na = A()\na.x = t = ()\nfor n in range(60): t = (t, t)\na.x = t\n"
        "print(a, len, {1}, 2 ** 100_000, float('nan'), sep=t)\nreturn 1"
    )
    printed: list[str] = []
    code = unchecked(text)
    await runner.run(code, {}, no_calls, print=lambda text, line: printed.append(text))
    assert printed == ["<`A`> <`len`> <a set> <a int> <a float>"]


async def test_an_error_names_the_line_of_the_file(runner: CodeRunner) -> None:
    with pytest.raises(CodeFailed) as caught:
        await run(runner, "def f(x):\n    return 1 / x\n\nreturn f(0)")
    error = caught.value
    assert str(error) == "flow.yaml:11:20: ZeroDivisionError: division by zero"
    assert (error.error, error.where, error.line) == ("ZeroDivisionError", "flow.yaml:11:20", 11)
    assert error.trace == (
        "  flow.yaml:13:16, in <module>\n    return f(0)\n"
        "  flow.yaml:11:20, in f\n    return 1 / x\n"
    )


async def test_nothing_is_left_for_the_next_run(runner: CodeRunner) -> None:
    await run(runner, "secret = event\nreturn 1", event="customer a")
    for _ in range(4):
        with pytest.raises(CodeFailed, match="NameError"):
            await runner.run(unchecked("return secret"), {}, no_calls)


CHANCE = (
    "return [hash('a'), hash((1, 'b')), list({'x', 'y', 'z'}), str({'q', 'p'}), str(lambda: 1)]"
)


async def test_every_worker_gives_the_same_answers() -> None:
    seen: list[Any] = []
    for _ in range(3):
        pool = Pool()
        seen.append(await CodeRunner(pool).run(unchecked(CHANCE), {}, no_calls))
        pool.close()
    assert seen[0] == seen[1] == seen[2]


REFUSED = {
    "import datetime\nreturn datetime.datetime.now()": "reads a clock",
    "import datetime\nreturn datetime.date.today()": "reads a clock",
    "import time\nreturn time.time()": "reads a clock",
    "import time\nreturn time.monotonic_ns()": "reads a clock",
    "import random\nreturn random.random()": "chance",
    "import random\nreturn random.Random().random()": "chance",
    "import os\nreturn os.urandom(8)": "chance",
    "import time\ntime.sleep(1)": "code does not wait",
    "import asyncio\nawait asyncio.sleep(1)": "code does not wait",
}


@for_each("text", REFUSED)
async def test_there_is_no_clock_and_no_chance(runner: CodeRunner, text: str) -> None:
    with pytest.raises(CodeFailed, match=REFUSED[text]):
        await runner.run(unchecked(text), {}, no_calls)


async def test_a_processs_clock_stands_still(runner: CodeRunner) -> None:
    text = "import time\na = time.process_time()\nfor n in range(10000): pass\n"
    text += "return time.process_time() - a"
    assert await runner.run(unchecked(text), {}, no_calls) == 0


async def test_an_input_that_is_no_data_is_refused(runner: CodeRunner) -> None:
    with pytest.raises(CodeFailed, match="an input that is no data"):
        await run(runner, "return 1 if x else 2", x=object())


async def test_an_input_that_is_missing_is_an_error(runner: CodeRunner) -> None:
    with pytest.raises(KeyError, match="no value for event"):
        await runner.run(parse("return event", "event"), {}, no_calls)
