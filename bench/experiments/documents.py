"""Measure how long reading and linting a YAML integration of a thousand steps take.

    python -m bench.experiments.documents

Three kinds of documents: a thousand actions in a row; branches within loops, with expressions; and what
the lint has most to follow: results that may be null, and guards against that. Printed are the medians
of five rounds, in processor time of this process, whose garbage collector is set as the command's is: of
reading the text, of checking its shape, of the whole lint (which does both again), of building the
integration, and, as a reference, of reading the text with PyYAML's loader in C.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from halflap.lowcode import Components, build, document_of, read
from halflap.lowcode.lint import Shapes, lint_text

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

ROUNDS = 5
STEPS = 1000
HEAD = """\
name: large
config:
  Connect:
    acme: {connection: acme}
flows:
  main:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
"""


def actions() -> Iterator[str]:
    """One after another, each with the result of the one before."""
    yield "- {id: s0, action: acme.add_stock, with: {item: a, quantity: 1}}"
    for n in range(1, STEPS - 1):
        given = f"item: =s{n - 1}.item, quantity: =s{n - 1}.quantity + {n}"
        yield f"- {{id: s{n}, action: acme.add_stock, with: {{{given}}}}}"
    yield f"- log: =s{STEPS - 2}.item"


def branches() -> Iterator[str]:
    """Loops of branches; five steps each."""
    for n in range(STEPS // 5):
        yield f"- for: line{n}"
        yield "  in: =event.lines"
        yield f'  where: "=line{n}.count > 0 and $exists(line{n}.sku)"'
        yield "  do:"
        yield f'  - if: =line{n}.kind = "add"'
        yield "    then:"
        yield f"    - set: {{total: =$number(line{n}.price) * 2}}"
        yield "    - action: acme.add_stock"
        yield f'      with: {{item: "=$string(line{n}.sku)", quantity: "=$round(total)"}}'
        yield "    else:"
        yield f'    - log: ="left out " & line{n}.sku'


def guards() -> Iterator[str]:
    """Yield steps that ask for what may be null; five for each."""
    for n in range(STEPS // 5):
        yield f"- {{id: a{n}, action: acme.find_account, with: {{external_id: =event.ids.n{n}}}}}"
        yield f"- if: =a{n} = null"
        yield "  then:"
        yield f"  - log: =event.ids.n{n}"
        yield "  else:"
        yield f"  - {{id: b{n}, action: acme.update_account, with: {{id: =a{n}.id, name: x}}}}"
        yield f'- log: "=$exists(b{n}.id) ? b{n}.id : event.id"'


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "actions in a row": actions,
    "branches in loops": branches,
    "guarded results": guards,
}


def document(kind: Callable[[], Iterator[str]]) -> str:
    """The text of a document."""
    return HEAD + "".join(f"      {line}\n" for line in kind())


def measured(run: Callable[[], Any]) -> float:
    """The median of the rounds, in seconds of processor time."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        run()
        rounds.append(time.process_time() - started)
    return statistics.median(rounds)


def main() -> None:
    import acme

    gc.set_threshold(20_000, 20, 50)
    components = Components(lambda name: acme.component if name == "acme" else None)
    print(f"{'':20} {'read':>8} {'shape':>8} {'lint':>8} {'build':>8} {'PyYAML':>8}   seconds")
    for name, kind in KINDS.items():
        text = document(kind)
        source = read(text, "large.yaml")
        if found := lint_text(text, "large.yaml", Shapes(components)):
            raise SystemExit(f"{name}: {found[0]}")
        runs: tuple[Callable[[], Any], ...] = (
            lambda text=text: read(text, "large.yaml"),
            lambda source=source: document_of(source),
            lambda text=text: lint_text(text, "large.yaml", Shapes(components)),
            lambda text=text: build(read(text, "large.yaml"), components),
            lambda text=text: yaml.load(text, Loader=yaml.CSafeLoader),
        )
        print(f"{name:20} " + " ".join(f"{measured(run):8.3f}" for run in runs))


if __name__ == "__main__":
    main()
