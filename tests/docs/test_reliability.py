"""The page of reliability says what the figures say, and has no other numbers."""

from __future__ import annotations

import copy
import json
import re

from tests.faults.report import KEPT, PAGE, written

NAMES = {"503", "500", "2xx"}
"""Statuses and signals: no figures."""


def numbers(page: str) -> set[str]:
    """The numbers of a page that stand neither between its markers nor in code."""
    for written_or_code in (r"<!-- figures: .*?<!-- end -->", r"^    .*?$", r"`[^`]*`", r"\(\S+\)"):
        page = re.sub(written_or_code, "", page, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"\d+(?:[.,]\d+)*\w*", page))


def test_the_page_says_what_the_figures_say() -> None:
    page, kept = PAGE.read_text("utf-8"), json.loads(KEPT.read_text("utf-8"))
    assert written(page, kept) == page, "run: python -m tests.faults.report"
    other = copy.deepcopy(kept)
    other["short"]["runs"][0]["faults"] += 1
    assert written(page, other) != page


def test_every_number_of_the_page_is_written_by_the_report() -> None:
    page = PAGE.read_text("utf-8")
    assert numbers(page) <= NAMES
    assert numbers(f"{page}\nIt takes about 45 s.\n") - NAMES == {"45"}
