"""Hostile expressions, and a process with little memory to try each of them in."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

MIB = 1024 * 1024
ROOM = 64 * MIB
PATIENCE = 3
"""After how many seconds of the processor an expression counts as one that does not end."""

HOSTILE = {
    "runaway recursion": "($f := function($x) { 1 + $f($x) }; $f(1))",
    "mutual recursion": "($f := function($x) { [$g($x)] }; $g := function($x) { [$f($x)] }; $f(1))",
    "recursion through map": "($f := function($x) { $map([1], $f)[0] }; $f(1))",
    "endless tail recursion": "($f := function() { $f() }; $f())",
    "endless chain": "($f := function($x) { $x ~> $f }; $f(1))",
    "fibonacci": "($f := function($n) { $n < 2 ? $n : $f($n - 1) + $f($n - 2) }; $f(40))",
    "huge range": "[1..10000000000]",
    "range of ranges": "[1..50000].[1..50000]",
    "nested loops": "$map([1..2000], function($x) { $map([1..2000], function($y) { $x * $y }) })",
    "catastrophic regex": "$match($pad('', 50000, 'a') & 'b', /(a+)+$/)",
    "catastrophic regex 2": "$contains($pad('', 50000, 'a') & 'b', /^(a|aa)+$/)",
    "catastrophic regex 3": "$replace($pad('', 100000, 'x'), /(.*)*y/, '')",
    "quadratic regex": "$match($pad('', 100000, 'x'), /x*y|x/)",
    "large regex": "$match($pad('', 100000, 'a'), /((a{1,9}){1,9}){1,9}$/)",
    "wide regex": "$match($pad('', 2000000, 'ab'), /([ab]{1,500}c|[ab]{3,400}d)$/)",
    "many matches": "$match($pad('', 1000000, 'a'), /a/)",
    "gigantic padding": "$pad('x', 1000000000)",
    "gigantic padding 2": "$pad('x', 1e300)",
    "doubled text": "$reduce([1..60], function($s, $n) { $s & $s }, 'x')",
    "doubled text by recursion": "($f := function($s) { $f($s & $s) }; $f('x'))",
    "growing text": "($f := function($s) { $f($s & $pad('', 1000)) }; $f('x'))",
    "long join": "$join([1..50000].$string(), $pad('', 10000))",
    "long replace": "$replace($pad('', 100000, 'a'), 'a', $pad('', 100000, 'b'))",
    "long regex replace": "$replace($pad('', 100000, 'a'), /a/, $pad('', 100000, 'b'))",
    "long split": "$split($pad('', 4000000, ','), ',')",
    "doubled list": "$reduce([1..60], function($l, $n) { $append($l, $l) }, [1])",
    "many lists": "[1..90000].{'a': [1..1000]}",
    "doubled tree": "$reduce([1..60], function($t, $n) { {'a': $t, 'b': $t} }, {})",
    "doubled tree as text": "$string($reduce([1..60], function($t, $n) { {'a': $t, 'b': $t} }, {}))",
    "doubled trees compared": "($t := function() { $reduce([1..60], function($t, $n) { [[$t, $t]] }, [0])"
    " }; $t() = $t())",
    "doubled tree as truth": "$boolean($reduce([1..60], function($t, $n) { [[$t], [$t]] }, [0]))",
    "doubled tree looked up": "($reduce([1..60], function($t, $n) { [[$t], [$t]] }, [{'a': 1}])).a",
    "doubled tree descended": "$count($reduce([1..60], function($t, $n) { {'a': $t, 'b': $t} }, {}).**)",
    "doubled tree copied": "$reduce([1..60], function($t, $n) { {'a': $t, 'b': $t} }, {})"
    " ~> |$|{'c': 1}|",
    "deep result": "($f := function($x, $n) { $n = 0 ? $x : $f([[$x]], $n - 1) }; $f(1, 20000))",
    "deep text": "($f := function($x, $n) { $n = 0 ? $x : $f([[$x]], $n - 1) };"
    " $string($f(1, 20000)))",
    "deep comparison": "($f := function($x, $n) { $n = 0 ? $x : $f([[$x]], $n - 1) };"
    " $f(1, 20000) = $f(1, 20000))",
    "deep brackets": "(" * 100_000,
    "deep lists": "[" * 4_000 + "]" * 4_000,
    "deep negation": "-" * 9_000 + "1",
    "long sum": "1" + "+1" * 4_900,
    "long chain of calls": "$f" + "()" * 4_900,
    "long chain of filters": "a" + "[1]" * 3_000,
    "many conditions": "1?" * 4_900 + "1",
    "long text": "'" + "x" * 1_000_000 + "'",
    "eval": "$eval('[1..10000000000]')",
    "great power": "$power(10, 1000000000)",
    "great product": "$reduce([1..1000], function($a, $b) { $a * $b })",
    "great exponent": "$power(1.0000000001, 1e300)",
    "great number": "$number($pad('', 4000000, '9'))",
    "sorted without order": "$sort([1..50000], function($a, $b) { $random() > 0.5 })",
    "distinct objects": "$distinct([1..20000].{'a': $})",
    "long picture": "$formatNumber(1, $pad('', 1000000, '#'))",
    "wide signature": "λ($a)<" + "n+" * 1_000 + ">{1}(" + "1," * 3_000 + "1)",
}


def tried(
    evaluate: Callable[[str], str], text: str, patience: int = PATIENCE, room: int = ROOM
) -> dict[str, Any]:
    """Return how an expression ends in a process that may grow by `ROOM`."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with open("/proc/self/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + room, size + room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (patience, patience))
        started = time.monotonic()
        try:
            ended = evaluate(text)
        except BaseException as error:
            ended = f"crash: {type(error).__name__}"
        os.write(writing, json.dumps([ended, time.monotonic() - started]).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    started = time.monotonic()
    ready, _, _ = select.select([reading], [], [], 20 * patience)
    data = os.read(reading, 65_536) if ready else b""
    os.close(reading)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    if not data:
        slow = not ready or os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        why = "never ended" if slow else f"died ({status})"
        return {"ended": f"crash: {why}", "seconds": time.monotonic() - started, "cpu": 0.0}
    ended, seconds = json.loads(data)
    return {"ended": ended, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}
