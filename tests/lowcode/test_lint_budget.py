"""Lint ends within its budget wherever it runs, and says of a document that it is over it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from halflap.cli.lsp import server as language
from halflap.engine import integration as publishing
from halflap.engine.bundle import seal
from halflap.errors import DefinitionError
from halflap.lowcode.lint import Shapes, lint_text
from halflap.sdk import budget as budgets
from halflap.sdk.budget import Budget, OverBudget
from tests.polling import DEADLINE

HEAD = """\
name: heavy
flows:
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
"""


def doubling(functions: int = 30) -> str:
    """An expression whose functions call each other twice each: 2 ** functions calls to look at."""
    made = "; ".join(
        f"$f{at} := function($x) {{ $f{at - 1}($x) + $f{at - 1}($x) }}"
        for at in range(1, functions)
    )
    return f"($f0 := function($x) {{ $x }}; {made}; $f{functions - 1}(1))"


HEAVY = f"{HEAD}      - log: >-\n          =$string({doubling()})\n"
LONG = HEAD + '      - log: "=event.a & event.b & event.c"\n' * 2_000


def ticking(step: float = 0.01) -> Any:
    count = itertools.count()
    return lambda: next(count) * step


def test_a_document_over_its_budget_is_told_as_such_with_what_was_found() -> None:
    text = LONG + "      - log: =evnt.x\n"
    found = lint_text(text.replace("log", "logg", 1), "a.yaml", Shapes(), Budget(0.1, ticking()))
    assert found[0].message.startswith("lint took longer than 0.1 s; split the integration")
    assert (found[0].code, found[0].severity) == ("HF100", "error")
    assert lint_text(LONG, "a.yaml", Shapes(), Budget(1_000, ticking())) == []


def test_an_expression_that_would_take_for_ever_ends() -> None:
    (found, *_) = lint_text(HEAVY, "a.yaml", Shapes(), Budget(0.3))
    assert "took longer" in found.message


def test_what_is_cancelled_ends_without_a_finding() -> None:
    budget = Budget()
    budget.cancel()
    with pytest.raises(OverBudget):
        lint_text(LONG, "a.yaml", Shapes(), budget)


def test_publishing_refuses_what_is_over_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "Budget", lambda: Budget(0.3))
    heavy = seal("heavy.yaml", {"heavy.yaml": HEAVY.encode()})
    with pytest.raises(DefinitionError, match=r"lint took longer than 0\.3 s"):
        publishing.check_findings(heavy, publishing.find_in_document(heavy, tmp_path))


def test_publishing_refuses_sources_that_are_over_their_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "Budget", lambda: Budget(0.01, ticking()))
    files = {f"m{at}.py": b"x = 1\n" * 10 for at in range(20)}
    with pytest.raises(DefinitionError, match=r"lint took longer than 0.01 s; split"):
        publishing.find_in_sources(seal("m0:x", files))


async def test_an_editors_change_ends_the_lint_of_the_former_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, ended = threading.Event(), list[str]()
    whole = language.lint_text

    def watched(text: str, file: str, shapes: Shapes, budget: Budget) -> Any:
        began.set()
        try:
            return whole(text, file, shapes, budget)
        except OverBudget:
            ended.append(text)
            raise

    monkeypatch.setattr(language, "lint_text", watched)
    monkeypatch.setattr(budgets, "SECONDS", 60.0)
    server = language.EditorServer()
    shown: list[Any] = []
    told = asyncio.Event()
    monkeypatch.setattr(server, "show", lambda *given: (shown.append(given), told.set()))
    texts = {"file:///a.yaml": HEAVY}
    monkeypatch.setattr(language.EditorServer, "text_of", lambda _, uri: (texts[uri], 1))
    server.lint_later("file:///a.yaml", 0)
    assert await asyncio.to_thread(began.wait, 20)
    texts["file:///a.yaml"] = LONG
    server.lint_later("file:///a.yaml", 0)
    async with asyncio.timeout(DEADLINE):
        await told.wait()
    assert ended == [HEAVY]
    assert [each[1] for each in shown] == [[]]
