"""The corpus of wrong documents: each is reported before it runs, at its place, with the mend."""

from __future__ import annotations

from tests.lowcode.wrong import cases

LEAST = 0.62
"""The share of the corpus that is reported."""


def test_wrong_documents_are_reported_before_they_run() -> None:
    wrong = [each for each in cases() if not each.valid]
    missed = {each.label for each in wrong if not any(map(each.reports, each.findings))}
    assert len(wrong) >= 300
    assert 1 - len(missed) / len(wrong) >= LEAST
