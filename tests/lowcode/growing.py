"""Documents that grow, and the work that lint does for them: calls and memory, not seconds."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from textwrap import indent
from types import FrameType

from halflap.lowcode.lint import Shapes, lint_text

HEAD = "name: grown\nconfig:\n  Options:\n    limit: {type: integer, default: 3}\n"
STEPS = "flows:\n  main:\n    trigger: webhook.raw\n    steps:\n"
Make = Callable[[int], str]


def repeated(text: str, size: int, joint: str = "") -> str:
    """Return a text so many times: in each, `@` is its number, and `@+` the next one."""
    each = (text.replace("@+", str(at + 1)).replace("@", str(at)) for at in range(size))
    return joint.join(each)


def steps(line: str, first: str = "", last: str = "") -> Make:
    """Make flows of steps: `first`, a line for each, `last` for each."""
    return lambda size: flow(first + repeated(f"{line}\n", size) + repeated(last, size))


def flow(text: str) -> str:
    """Return a document with a flow of these steps."""
    return HEAD + STEPS + indent(text, " " * 6)


def flows(text: str, last: str = "", name: str = "f@") -> Make:
    """Make documents of flows with these steps; the last one has others."""

    def make(size: int) -> str:
        form = f"  {name}:\n    trigger: webhook.raw\n    steps: [STEPS]\n"
        several = repeated(form.replace("STEPS", text), size - 1)
        one = form.replace("STEPS", last or text).replace("@", str(size - 1))
        return HEAD + "flows:\n" + several + one

    return make


def misspelt_config(size: int) -> str:
    fields = repeated("    option_@: {type: text}\n", size)
    reads = indent(repeated("- log: =config.opiton_@\n", size), " " * 6)
    return "name: grown\nconfig:\n  Options:\n" + fields + STEPS + reads


def deep_branches(size: int) -> str:
    depth = min(20, size)
    inner = repeated("- set: {v@: 1}\n", size)
    for at in reversed(range(depth)):
        inner = f"- if: =event.x{at} = 1\n  then:\n{indent(inner, ' ' * 4)}"
    return flow(inner)


def tests_of(size: int) -> str:
    tests = repeated("  - {name: t@, flow: mian, event: {a: @}}\n", size)
    return flow("- log: hello\n") + "tests:\n" + tests


GROWING: dict[str, tuple[Make, int]] = {
    "parents": (steps(f'- log: "=event{".a" * 50}{".%" * 50}.b@"'), 10),
    "nested flow mappings": (
        lambda size: flow(f"- log: hello\n  fields: {{{repeated('a@: {b: 1}', size, ', ')}}}\n"),
        100,
    ),
    "nested flow lines": (steps("- {log: hello, fields: {a: {b: {c: =event.x@}}}}"), 40),
    "misspelt variables": (steps("    variable_@: 1", "- set:\n", "- log: =varaible_@\n"), 40),
    "misspelt config": (misspelt_config, 40),
    "misspelt calls": (flows("{call: folw_@}", name="flow_@"), 40),
    "flows": (flows("{log: hello}"), 40),
    "calling": (flows("{id: a, call: f@+}, {log: =a}", "{id: a, call: f0}, {log: =a}"), 40),
    "states": (
        flows(
            "{state: put, scope: instance, key: k@, value: 1}, "
            "{id: a, state: get, scope: instance, key: k@}, {log: =a}"
        ),
        40,
    ),
    "code steps": (steps("- {id: c@, code: return 1}"), 40),
    "code blocks": (steps("- id: c@\n  code: |\n    return 1"), 40),
    "long paths": (steps(f"- log: =event{''.join(f'.a@_{n}' for n in range(400))}"), 3),
    "variables": (steps("- set: {v@: =event.x@}\n- log: =v@"), 40),
    "branches": (steps("- if: =event.x@ = 1\n  then: [{id: a@, call: main}]\n- log: =a@"), 40),
    "tries": (steps("- try: [{id: a@, call: main}]\n  catch: [{log: =error.message}]"), 40),
    "loops": (steps("- {id: l@, for: i@, in: =event.x@, do: [{log: =i@}], collect: =i@}"), 40),
    "cases": (steps("    c@: [{log: a}]", "- switch: =event.x\n  cases:\n"), 40),
    "links": (
        steps("- {id: l@, links: n@, text: hello, choices: [yes, no]}\n- {id: w@, wait: n@}"),
        40,
    ),
    "deep branches": (deep_branches, 40),
    "unknown keys": (steps("- {log: hello, feilds@: {}}"), 40),
    "no kinds": (steps("- {lgo@: hello}"), 40),
    "wrong actions": (steps("- {action: http.gte@, with: {}}"), 40),
    "wrong inputs": (steps("    a@: 1", "- action: webhook.none\n  with:\n"), 40),
    "tests": (tests_of, 40),
    "split commas": (steps("- {log: =f(a, b), fields: {a: =g(x, y)}}"), 40),
    "long chain": (steps(f'- log: "={" & ".join(f"event.a@_{n}" for n in range(80))}"'), 3),
    "wide object": (
        steps(f"""- set: {{o@: "={{{", ".join(f"'k{n}': event.a{n}" for n in range(50))}}}"}}"""),
        4,
    ),
    "chained variables": (steps("- set: {v@+: =v@}", "- set: {v0: =event.x}\n"), 40),
    "one variable": (steps("- set: {v: =event.x@}"), 40),
    "conditions": (
        steps(
            f'- if: "={" and ".join(f"event.a{n} != null" for n in range(30))}"\n'
            "  then: [{log: =event.a@}]"
        ),
        6,
    ),
}
"""By what grows: what makes a document of a size, and the size to begin with."""


def calls(text: str) -> int:
    """Return how many calls lint makes for a text, of functions of Python and of C."""
    count = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    shapes = Shapes()
    sys.setprofile(counted)
    try:
        lint_text(text, "grown.yaml", shapes)
    finally:
        sys.setprofile(None)
    return count


def growth(make: Make, size: int) -> tuple[list[int], float]:
    """Return the calls at a size, twice and four times it, and how they grow: 2 is linear."""
    lint_text(make(size), "grown.yaml", Shapes())  # what is made once is made now
    work = [calls(make(size * times)) for times in (1, 2, 4)]
    return work, (work[2] - work[1]) / max(work[1] - work[0], 1)


def memory(text: str) -> int:
    """Return the most bytes that lint holds for a text."""
    tracemalloc.start()
    try:
        lint_text(text, "grown.yaml", Shapes())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
