"""Work that lint does for documents that grow: calls and memory for a size, twice it, four times it.

    python -m bench.experiments.lint
    python -m bench.experiments.lint --whole

The last column is the growth from 2 n to 4 n over that from n to 2 n: 2.0 is linear, 4.0 quadratic.
"""

# ruff: noqa: E501 - steps stand on one line, as in a document

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType

from halflap.lowcode.lint import Shapes, lint_text

HEAD = "name: grown\nconfig:\n  Options:\n    limit: {type: integer, default: 3}\n"


def flow(steps: str) -> str:
    return f"{HEAD}flows:\n  main:\n    trigger: webhook.raw\n    steps:\n{steps}"


def parents(size: int) -> str:
    path = ".a" * 50 + ".%" * 50
    return flow("".join(f'      - log: "=event{path}.b{at}"\n' for at in range(size)))


def flow_mappings(size: int) -> str:
    return flow(
        "      - log: hello\n        fields: {"
        + ", ".join(f"a{at}: {{b: 1}}" for at in range(size))
        + "}\n"
    )


def nested_lines(size: int) -> str:
    return flow(
        "".join(
            f"      - {{log: hello, fields: {{a: {{b: {{c: =event.x{at}}}}}}}}}\n"
            for at in range(size)
        )
    )


def misspelt(size: int) -> str:
    sets = "".join(f"          variable_{at}: 1\n" for at in range(size))
    reads = "".join(f"      - log: =varaible_{at}\n" for at in range(size))
    return flow("      - set:\n" + sets + reads)


def misspelt_config(size: int) -> str:
    fields = "".join(f"    option_{at}: {{type: text}}\n" for at in range(size))
    reads = "".join(f"      - log: =config.opiton_{at}\n" for at in range(size))
    return (
        "name: grown\nconfig:\n  Options:\n"
        + fields
        + "flows:\n  main:\n    trigger: webhook.raw\n    steps:\n"
        + reads
    )


def misspelt_calls(size: int) -> str:
    return (
        HEAD
        + "flows:\n"
        + "".join(
            f"  flow_{at}:\n    trigger: webhook.raw\n    steps: [{{call: folw_{at}}}]\n"
            for at in range(size)
        )
    )


def flows(size: int) -> str:
    return (
        HEAD
        + "flows:\n"
        + "".join(
            f"  f{at}:\n    trigger: webhook.raw\n    steps: [{{log: hello}}]\n"
            for at in range(size)
        )
    )


def calling(size: int) -> str:
    return (
        HEAD
        + "flows:\n"
        + "".join(
            f"  f{at}:\n    trigger: webhook.raw\n    steps: [{{id: a, call: f{at + 1 if at + 1 < size else 0}}}, {{log: =a}}]\n"
            for at in range(size)
        )
    )


def states(size: int) -> str:
    return (
        HEAD
        + "flows:\n"
        + "".join(
            f"  f{at}:\n    trigger: webhook.raw\n    steps: [{{state: put, scope: instance, key: k{at}, value: 1}}, {{id: a, state: get, scope: instance, key: k{at}}}, {{log: =a}}]\n"
            for at in range(size)
        )
    )


def code_steps(size: int) -> str:
    return flow("".join(f"      - {{id: c{at}, code: return 1}}\n" for at in range(size)))


def code_blocks(size: int) -> str:
    return flow(
        "".join(f"      - id: c{at}\n        code: |\n          return 1\n" for at in range(size))
    )


def long_paths(size: int) -> str:
    return flow(
        "".join(
            f"      - log: =event{''.join(f'.a{at}_{n}' for n in range(400))}\n"
            for at in range(size)
        )
    )


def variables(size: int) -> str:
    return flow(
        "".join(
            f"      - set: {{v{at}: =event.x{at}}}\n      - log: =v{at}\n" for at in range(size)
        )
    )


def branches(size: int) -> str:
    return flow(
        "".join(
            f"      - if: =event.x{at} = 1\n        then: [{{id: a{at}, call: main}}]\n      - log: =a{at}\n"
            for at in range(size)
        )
    )


def tries(size: int) -> str:
    return flow(
        "".join(
            f"      - try: [{{id: a{at}, call: main}}]\n        catch: [{{log: =error.message}}]\n"
            for at in range(size)
        )
    )


def loops(size: int) -> str:
    return flow(
        "".join(
            f"      - {{id: l{at}, for: i{at}, in: =event.x{at}, do: [{{log: =i{at}}}], collect: =i{at}}}\n"
            for at in range(size)
        )
    )


def cases(size: int) -> str:
    return flow(
        "      - switch: =event.x\n        cases:\n"
        + "".join(f"          c{at}: [{{log: a}}]\n" for at in range(size))
    )


def links(size: int) -> str:
    return flow(
        "".join(
            f"      - {{id: l{at}, links: n{at}, text: hello, choices: [yes, no]}}\n      - {{id: w{at}, wait: n{at}}}\n"
            for at in range(size)
        )
    )


def deep_branches(size: int) -> str:
    depth = min(20, size)
    text, indent = "", 6
    for at in range(depth):
        pad = " " * indent
        text += f"{pad}- if: =event.x{at} = 1\n{pad}  then:\n"
        indent += 4
    pad = " " * indent
    text += "".join(f"{pad}- set: {{v{at}: 1}}\n" for at in range(size))
    return flow(text)


def unknown_keys(size: int) -> str:
    return flow("".join(f"      - {{log: hello, feilds{at}: {{}}}}\n" for at in range(size)))


def no_kinds(size: int) -> str:
    return flow("".join(f"      - {{lgo{at}: hello}}\n" for at in range(size)))


def wrong_actions(size: int) -> str:
    return flow("".join(f"      - {{action: http.gte{at}, with: {{}}}}\n" for at in range(size)))


def wrong_inputs(size: int) -> str:
    return flow(
        "      - action: webhook.none\n        with:\n"
        + "".join(f"          a{at}: 1\n" for at in range(size))
    )


def tests_of(size: int) -> str:
    return (
        flow("      - log: hello\n")
        + "tests:\n"
        + "".join(f"  - {{name: t{at}, flow: mian, event: {{a: {at}}}}}\n" for at in range(size))
    )


def split_commas(size: int) -> str:
    return flow("".join("      - {log: =f(a, b), fields: {a: =g(x, y)}}\n" for at in range(size)))


def long_chain(size: int) -> str:
    return flow(
        "".join(
            f'      - log: "={" & ".join(f"event.a{at}_{n}" for n in range(80))}"\n'
            for at in range(size)
        )
    )


def wide_object(size: int) -> str:
    members = ", ".join(f"'k{n}': event.a{n}" for n in range(50))
    return flow("".join(f'      - set: {{o{at}: "={{{members}}}"}}\n' for at in range(size)))


def chained_variables(size: int) -> str:
    return flow(
        "      - set: {v0: =event.x}\n"
        + "".join(f"      - set: {{v{at + 1}: =v{at}}}\n" for at in range(size))
    )


def one_variable(size: int) -> str:
    return flow("".join(f"      - set: {{v: =event.x{at}}}\n" for at in range(size)))


def conditions(size: int) -> str:
    return flow(
        "".join(
            f'      - if: "={" and ".join(f"event.a{n} != null" for n in range(30))}"\n        then: [{{log: =event.a{at}}}]\n'
            for at in range(size)
        )
    )


GROWING: dict[str, tuple[Callable[[int], str], int]] = {
    "parents": (parents, 10),
    "nested flow mappings": (flow_mappings, 100),
    "nested flow lines": (nested_lines, 40),
    "misspelt variables": (misspelt, 40),
    "misspelt config": (misspelt_config, 40),
    "misspelt calls": (misspelt_calls, 40),
    "flows": (flows, 40),
    "calling": (calling, 40),
    "states": (states, 40),
    "code steps": (code_steps, 40),
    "code blocks": (code_blocks, 40),
    "long paths": (long_paths, 3),
    "variables": (variables, 40),
    "branches": (branches, 40),
    "tries": (tries, 40),
    "loops": (loops, 40),
    "cases": (cases, 40),
    "links": (links, 40),
    "deep branches": (deep_branches, 40),
    "unknown keys": (unknown_keys, 40),
    "no kinds": (no_kinds, 40),
    "wrong actions": (wrong_actions, 40),
    "wrong inputs": (wrong_inputs, 40),
    "tests": (tests_of, 40),
    "split commas": (split_commas, 40),
    "long chain": (long_chain, 3),
    "wide object": (wide_object, 4),
    "chained variables": (chained_variables, 40),
    "one variable": (one_variable, 40),
    "conditions": (conditions, 6),
}


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


def growth(make: Callable[[int], str], size: int) -> tuple[list[int], float]:
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


def main() -> None:
    """Print, for each document, its work at a size, twice it and four times it; `--whole` at 1 MiB."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help="of documents; all, where none is given")
    parser.add_argument("--whole", action="store_true", help="documents of 1 MiB, in seconds")
    given = parser.parse_args()
    for name, (make, size) in GROWING.items():
        if given.names and name not in given.names:
            continue
        if given.whole:
            text = make(size * (1 << 20) // len(make(size)))[: 1 << 20]
            begun = time.process_time()
            found = lint_text(text, "grown.yaml", Shapes())
            spent = time.process_time() - begun
            print(f"{name:22} {spent:6.2f} s  {len(found):6,} findings", flush=True)
            continue
        work, ratio = growth(make, size)
        held = [memory(make(size * times)) >> 10 for times in (1, 2, 4)]
        shown = " ".join(f"{each:10,}" for each in (*work, *held))
        print(f"{name:22} {shown}  x{ratio:.1f}", flush=True)


if __name__ == "__main__":
    main()
