"""Hostile code ends at a limit: soon, in little memory, and beside everybody else."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Collection
from typing import Any

import pytest

from halflap.errors import CodeFailed
from halflap.lowcode.code import Code, CodeCall, CodeLimits, CodeRunner, Pool
from tests.coding import PLACE, children, no_calls, run, status, unchecked
from tests.polling import DEADLINE

MOST_MEMORY = 128 << 20

GROWING = "MemoryLimit or TimeLimit"
"""The limits of code that grows step by step: whichever it meets first, on a busier machine."""

BOMBS = {
    "loop": ("while True: pass", "TimeLimit"),
    "loop that catches": (
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "TimeLimit",
    ),
    "loop in finally": ("try:\n  while True: pass\nfinally:\n  while True: pass", "TimeLimit"),
    "sum": ("return sum(range(10**12))", "TimeLimit"),
    "list": ("return [0] * 10**10", "MemoryLimit"),
    "text": ("return 'x' * 10**10", "MemoryLimit"),
    "caught": ("try:\n  x = [0] * 10**10\nexcept BaseException: pass\nreturn 1", "MemoryLimit"),
    "nested lists": ("x = []\nwhile True: x = [x, x]", GROWING),
    "growing list": ("x = []\nwhile True: x.append('a' * 1000)", GROWING),
    "growing dict": ("x = {}\nwhile True: x[len(x)] = 'a' * 10000", GROWING),
    "join": ("return ','.join(['x' * 10**6] * 10**5)", GROWING),
    "replace": ("return ('a' * 10**6).replace('a', 'b' * 10**5)", "MemoryLimit"),
    "split": ("return len(('a ' * 10**7).split())", GROWING),
    "padding": ("return f'{1:10000000000}'", "MemoryLimit"),
    "percent": ("return '%10000000000d' % 1", "MemoryLimit"),
    "huge power": ("return 10 ** 10**8", "MemoryLimit"),
    "shift": ("return 1 << 10**10", "MemoryLimit"),
    "squares": ("x = 3\nwhile True: x = x * x", "TimeLimit"),
    "digits": ("return len(str(7 ** 10**7))", "TimeLimit"),
    "factorial": ("import math\nreturn math.factorial(10**6)", "TimeLimit"),
    "root": ("import math\nreturn math.isqrt(7 ** 10**6)", "TimeLimit or TypeError"),
    "gcd": ("import math\nreturn math.gcd(7 ** 10**6, 3 ** 10**6)", "TimeLimit"),
    "decimal": ("from decimal import Decimal\nreturn int(Decimal('1e1000000000'))", "MemoryLimit"),
    "permutations": (
        "import itertools\nreturn list(itertools.permutations(range(20)))",
        GROWING,
    ),
    "key derivation": (
        "import hashlib\nreturn hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9).hex()",
        "TimeLimit",
    ),
    "comparison": (
        "a = b = []\nfor n in range(50):\n  a = [a, a]\n  b = [b, b]\nreturn a == b",
        "TimeLimit",
    ),
    "repr": (
        "a = []\nfor n in range(50): a = [a, a]\nreturn len(str(a))",
        "TimeLimit or MemoryLimit",
    ),
    "regex backtracking": (
        "import re\nreturn re.match(r'(a*)*\\1b', 'a' * 60 + 'c')",
        "PatternError",
    ),
    "regex sub": ("import re\nreturn re.sub(r'(.*)*(\\1)*=', '', 'a' * 100000)", "PatternError"),
    "recursion": ("def f(): return f()\nreturn f()", "DepthLimit"),
    "recursion in sort": ("def f(x): return sorted([x], key=f)\nreturn f(1)", "DepthLimit"),
    "recursion in repr": (
        "class A:\n  def __repr__(self): return repr(self)\nreturn repr(A())",
        "DepthLimit",
    ),
    "json depth": ("import json\nreturn json.loads('[' * 10**6)", "JSONDecodeError"),
    "json digits": ("import json\nreturn json.loads('1' * 10**6)", "ValueError"),
    "exec": ("exec('(' * 10**6)", "SyntaxError"),
    "exec lines": ("exec('x=1\\n' * 10**6)", GROWING),
    "huge exception": ("raise ValueError('x' * 10**7)", "ValueError"),
    "exceptions": (
        "class A:\n  def __str__(self): return 'x' * 10**9\nraise ValueError(str(A()))",
        "MemoryLimit",
    ),
    "result": ("return 'x' * 2_000_000", "ResultLimit"),
    "shared result": ("a = []\nfor n in range(60): a = [a, a]\nreturn a", "ResultLimit"),
    "shared dicts": ("a = {}\nfor n in range(60): a = {'a': a, 'b': a}\nreturn a", "ResultLimit"),
    "many results": ("return [None] * 500_000", "ResultLimit"),
    "number result": ("return 2 ** 1_000_000", "TypeError"),
    "printed": ("while True: print('x' * 100)", "PrintLimit"),
    "printed at once": ("print('x' * 10_000_000)", "PrintLimit"),
    "empty lines": ("while True: print()", "PrintLimit"),
    "separators": ("print(*range(1000), sep='x' * 10**7)", "PrintLimit"),
    "ends": ("print(end='x' * 10**7)", "PrintLimit"),
    "shared print": ("a = []\nfor n in range(60): a = [a, a]\nprint(a)", "PrintLimit"),
    "unknown names": ("while True:\n  try: nothing\n  except NameError: pass", "CallLimit"),
    "unknown functions": ("while True:\n  try: nothing()\n  except NameError: pass", "CallLimit"),
    "clocks": (
        "import time\nwhile True:\n  try: time.time()\n  except RuntimeError: pass",
        "CallLimit",
    ),
}


def peak(pid: int, without: Collection[int] = ()) -> int:
    """The most memory that any live process under this one has had, in bytes."""
    below = [each for each in children(pid) if each not in without]
    return max((int(status(each, "VmHWM") or 0) << 10 for each in below), default=0)


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_ends_at_a_limit(name: str, runner: CodeRunner, pool: Pool) -> None:
    text, error = BOMBS[name]
    await run(runner, "return 1")
    # Other tests of this process may have left some that decode, say.
    others = set(children(os.getpid())) - set(pool.pids)
    highest, longest = 0, 0.0

    async def watch() -> None:
        nonlocal highest, longest
        while True:
            began = time.process_time()  # others may have the processor
            if sys.platform == "linux":
                highest = max(highest, *(peak(each, others) for each in (os.getpid(), *pool.pids)))
            await asyncio.sleep(0.02)
            longest = max(longest, time.process_time() - began)

    watching = asyncio.create_task(watch())
    started = time.monotonic()
    # What has another end than its time has it soon, also on a machine that has more to do.
    seconds = 0.15 if error == "TimeLimit" else 0.5 if "TimeLimit" in error else DEADLINE
    limits = CodeLimits(seconds=seconds)
    with pytest.raises(CodeFailed) as caught:
        await runner.run(unchecked(text), {}, no_calls, limits=limits)
    took = time.monotonic() - started
    watching.cancel()
    assert caught.value.error in error.split(" or "), caught.value
    assert caught.value.where.startswith("flow.yaml:")
    assert len(str(caught.value)) < 2_000
    assert took < DEADLINE  # without limits, for ever
    assert highest < MOST_MEMORY
    assert longest < 1  # this process goes on meanwhile
    assert await run(runner, "return 1") == 1


async def test_control_without_limits_a_loop_goes_on(runner: CodeRunner) -> None:
    text = "n = 0\nwhile n < 2_000_000: n += 1\nreturn n"
    with pytest.raises(CodeFailed, match=r"ran for more than 0\.05 s; look at the loop in line 11"):
        await run(runner, text, CodeLimits(seconds=0.05))
    assert await run(runner, text, CodeLimits(seconds=30)) == 2_000_000


async def test_control_with_more_memory_a_list_is_made(runner: CodeRunner) -> None:
    text = "x = [0] * 3_000_000\nreturn len(x)"
    with pytest.raises(CodeFailed, match="more than 16 MiB of memory"):
        await run(runner, text, CodeLimits(memory=16 << 20))
    assert await run(runner, text, CodeLimits(seconds=30)) == 3_000_000


async def test_waiting_for_an_action_is_not_running(runner: CodeRunner) -> None:
    async def call(call: CodeCall) -> Any:
        await asyncio.sleep(0.8)
        return 1

    code = Code.parse("return await acme.get() + await acme.get()", (), ["acme"], PLACE)
    assert await runner.run(code, {}, call, limits=CodeLimits(seconds=0.7)) == 2


async def test_calls_are_counted(runner: CodeRunner) -> None:
    async def call(call: CodeCall) -> Any:
        return call.index

    text = "while True:\n  n = await acme.get()"
    code = Code.parse(text, (), ["acme"], PLACE)
    with pytest.raises(CodeFailed, match=r"flow.yaml:11:\d+: more than 7 calls of actions"):
        await runner.run(code, {}, call, limits=CodeLimits(calls=7))


async def test_an_input_of_an_action_is_limited_too(runner: CodeRunner) -> None:
    code = Code.parse("await acme.get('x' * 100)", (), ["acme"], PLACE)
    with pytest.raises(CodeFailed, match=r"an input of acme\.get: more than 50 bytes"):
        await runner.run(code, {}, no_calls, limits=CodeLimits(result=50))


async def test_inputs_of_what_is_called_at_once_share_the_limit(runner: CodeRunner) -> None:
    text = "import asyncio\nawait asyncio.gather(*[acme.get('x' * 300) for n in range(4)])"
    code = Code.parse(text, (), ["acme"], PLACE)
    with pytest.raises(CodeFailed, match=r"an input of acme\.get: more than 1,000 bytes"):
        await runner.run(code, {}, no_calls, limits=CodeLimits(result=1_000))

    async def call(call: CodeCall) -> Any:
        return None

    one_by_one = Code.parse("for n in range(4): await acme.get('x' * 300)", (), ["acme"], PLACE)
    await runner.run(one_by_one, {}, call, limits=CodeLimits(result=1_000))


async def test_one_customers_bombs_do_not_hold_up_another(pool: Pool) -> None:
    runner = CodeRunner(pool, workers=4)
    bombs = [
        asyncio.create_task(run(runner, "while True: pass", owner="hostile")) for _ in range(4)
    ]
    await run(runner, "return 1", owner="other")
    for n in range(20):
        assert await run(runner, "return n", owner="other", n=n) == n
    assert not all(bomb.done() for bomb in bombs)
    for ended in await asyncio.gather(*bombs, return_exceptions=True):
        assert isinstance(ended, CodeFailed)
