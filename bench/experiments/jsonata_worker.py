"""One JSONata library, in an environment of its own: `jsonata_worker.py LIBRARY` prints what it does.

Started by `bench.experiments.jsonata_libraries`; imports nothing of Halflap unless asked for it.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.experiments.jsonata_hostile import HOSTILE, tried

SUITE = Path(__file__).parents[2] / "tests/lowcode/expressions/jsonata/suite.json"
NOTHING = object()
AMOUNT = "$round(event.seats * event.price * (1 - config.discount / 100), 2)"

Read = Callable[[str], Any]
Evaluate = Callable[[Any, Any, dict[str, Any]], Any]


def of(name: str) -> tuple[Read, Evaluate, Evaluate]:
    """Return how the library reads, evaluates, and evaluates within the limits that it offers."""
    if name == "halflap":
        from halflap import UNSET
        from halflap.lowcode.expressions import EvaluationBudget, Expression, Scope

        now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        free = EvaluationBudget(5_000_000, 800, 60, 2**30, values=1_000_000)

        def ours(
            expression: Any, data: Any, bindings: dict[str, Any], budget: EvaluationBudget
        ) -> Any:
            data = UNSET if data is NOTHING else data
            return expression.evaluate_on(data, bindings, Scope(now=now, seed=1), budget)

        return (
            Expression.parse,
            lambda *given: ours(*given, budget=free),
            lambda *given: ours(*given, budget=EvaluationBudget()),
        )
    if name == "jsonata-python":
        module = importlib.import_module("jsonata")

        def framed(expression: Any, data: Any, bindings: dict[str, Any], limits: bool) -> Any:
            frame = expression.create_frame()
            if limits:
                frame.set_runtime_bounds(700, 350)
            for key, value in bindings.items():
                frame.bind(key, value)
            return expression.evaluate(None if data is NOTHING else data, frame)

        return (
            module.Jsonata,
            lambda *given: framed(*given, limits=False),
            lambda *given: framed(*given, limits=True),
        )
    if name == "jsonata-rs":
        module = importlib.import_module("jsonata")

        def bounded(expression: Any, data: Any, bindings: dict[str, Any]) -> Any:
            expression.set_runtime_bounds(700, 350)
            return evaluated(expression, data, bindings)

        def evaluated(expression: Any, data: Any, bindings: dict[str, Any]) -> Any:
            return expression.evaluate(*([] if data is NOTHING else [data]), bindings=bindings)

        return module.Jsonata, evaluated, bounded
    if name == "jlens":
        module = importlib.import_module("jlens")
        limits = {
            "timeout": 0.7,
            "max_depth": 350,
            "max_steps": 200_000,
            "max_string_length": 4 * 1024 * 1024,
            "max_array_length": 100_000,
            "max_result_size": 8 * 1024 * 1024,
        }

        def jlens(expression: Any, data: Any, bindings: dict[str, Any], **more: Any) -> Any:
            return expression.evaluate(None if data is NOTHING else data, bindings, **more)

        return module.Expression, jlens, lambda *given: jlens(*given, **limits)
    if name == "jsonata2py":
        module = importlib.import_module("jsonata2py")

        def translated(expression: Any, data: Any, bindings: dict[str, Any], ms: int = 0) -> Any:
            if ms:
                expression.set_timeout(ms)
            for key, value in bindings.items():
                expression.assign(key, value)
            return expression.evaluate(module.MISSING if data is NOTHING else data)

        return module.compile, translated, lambda *given: translated(*given, ms=700)
    if name == "jsonatapy":
        module = importlib.import_module("jsonatapy")

        def core(expression: Any, data: Any, bindings: dict[str, Any]) -> Any:
            data = None if data is NOTHING else data
            return expression.evaluate(data, bindings) if bindings else expression.evaluate(data)

        return module.compile, core, core
    if name == "zopyx-pyjsonata":
        module = importlib.import_module("zopyx.pyjsonata")

        def zopyx(expression: Any, data: Any, bindings: dict[str, Any], *limits: Any) -> Any:
            data = module.UNDEFINED if data is NOTHING else data
            return expression.evaluate(data, bindings, *(limits or (None, None)))

        return module.Jsonata, zopyx, lambda *given: zopyx(*given, 350, 700)
    if name == "jsonata":
        module = importlib.import_module("jsonata")
        transform = module.Context()

        def wrapped(expression: Any, data: Any, bindings: dict[str, Any]) -> Any:
            try:
                return transform(expression, None if data is NOTHING else data)
            except KeyError:
                return None

        return str, wrapped, wrapped
    module = importlib.import_module("jsonatago")

    def go(expression: Any, data: Any, bindings: dict[str, Any]) -> Any:
        return expression.evaluate(None if data is NOTHING else data)

    return module.Jsonata, go, go


def same(one: Any, two: Any) -> bool:
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, int | float | Decimal) and isinstance(two, int | float | Decimal):
        return abs(float(one) - float(two)) <= 1e-12 * max(abs(float(one)), abs(float(two)))
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return type(one) is type(two) and one == two


def agrees(case: dict[str, Any], datasets: dict[str, Any], read: Read, evaluate: Evaluate) -> bool:
    """Return whether a case of the suite ends as it should: a value, nothing (or null), or any error."""
    data = case["data"] if "data" in case else datasets.get(case["dataset"], NOTHING)
    data = data if data is NOTHING else json.loads(json.dumps(data), parse_float=EXACT)
    try:
        value = evaluate(read(case["expr"]), data, case.get("bindings", {}))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | MemoryError):
            raise
        return "code" in case or "error" in case
    nothing = value is None or type(value).__name__ in ("UndefinedType", "_Missing", "Unset")
    if "undefinedResult" in case:
        return nothing or type(value).__name__ == "Missing"
    return "result" in case and (case["result"] is None if nothing else same(value, case["result"]))


EXACT: Callable[[str], Any] = float


def timed(run: Callable[[], Any], times: int) -> float:
    """Microseconds of the processor, the best of five."""
    best = float("inf")
    for _ in range(5):
        started = time.thread_time()
        for _ in range(times):
            run()
        best = min(best, (time.thread_time() - started) / times)
    return best * 1e6


def main() -> None:
    global EXACT
    name = sys.argv[1]
    read, evaluate, limited = of(name)
    EXACT = Decimal if name == "halflap" else float
    suite = json.loads(SUITE.read_text("utf-8"))

    def passed(cases: list[dict[str, Any]]) -> int:
        """Count those that agree; where one of them brings the process down, each by itself."""

        def all_of(_: str) -> str:
            return str(sum(agrees(case, suite["datasets"], read, evaluate) for case in cases))

        ended = tried(all_of, "", 4 if len(cases) == 1 else 12, 2**31)["ended"]
        if ended.isdecimal():
            return int(ended)
        return sum(passed([case]) for case in cases) if len(cases) > 1 else 0

    groups: dict[str, list[dict[str, Any]]] = {}
    for case in suite["cases"]:
        groups.setdefault(case["name"].split("/")[0], []).append(case)

    money = {"event": {"seats": 3, "price": Decimal("0.10")}, "config": {"discount": 0}}
    try:
        amount = evaluate(read("event.seats * event.price"), money, {})
        decimals = isinstance(amount, Decimal) and amount == Decimal("0.3")
    except BaseException:
        decimals = False
    try:
        integers = evaluate(read("n"), {"n": 12345678901234567891}, {}) == 12345678901234567891
    except BaseException:
        integers = False

    def hostile(text: str) -> str:
        try:
            return f"value: {str(limited(read(text), NOTHING, {}))[:40]}"
        except Exception as error:
            crashed = isinstance(error, MemoryError | RecursionError | SystemError)
            return f"{'crash' if crashed else 'error'}: {error!s:.80}"

    failed: list[str] = []
    for label, text in HOSTILE.items():
        ended = tried(hostile, text)
        if ended["ended"].startswith("crash") or ended["cpu"] > 1:
            failed.append(label)

    number = Decimal if name == "halflap" else float
    data = {
        "event": {"Id": "001", "seats": 10, "price": number("22.5")},
        "config": {"discount": 10},
    }
    expression, field = read(AMOUNT), read("event.Id")
    print(
        json.dumps(
            {
                "library": name,
                "suite": sum(map(passed, groups.values())),
                "decimals": decimals,
                "integers": integers,
                "hostile_failed": failed,
                "parse_us": timed(lambda: read(AMOUNT), 300),
                "evaluate_us": timed(lambda: evaluate(expression, data, {}), 1000),
                "field_us": timed(lambda: evaluate(field, data, {}), 1000),
            }
        )
    )


if __name__ == "__main__":
    main()
