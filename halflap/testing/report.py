"""Says at the end of a test run how much of each YAML document its tests ran, and what they missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from halflap.sdk import codec
from halflap.testing.collect import WARNING, documents
from halflap.testing.coverage import Covered, Unit, covered

MOST_LINES = 10
"""The most lines of a document at the terminal; the JSON has all."""

OUTPUT = "halflap_coverage"
GATHERED = pytest.StashKey[list[Covered]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where coverage goes, and how much of it there has to be."""
    group = parser.getgroup("halflap", "YAML integrations")
    group.addoption("--halflap-coverage", metavar="FILE", help="write what was run, as JSON")
    group.addoption(
        "--halflap-coverage-min",
        type=int,
        default=0,
        metavar="N",
        help="fail where less than N %% of a document's steps and branches ran",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what another process ran (pytest-xdist)."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    given: list[dict[str, Any]] = output.get(OUTPUT) or []
    gathered(node.config).extend(map(_received, given))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was run to the main process; there, write it, and fail where it is too little."""
    config = session.config
    found = [covered(each.source, each.coverage) for each in documents(config)]
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output[OUTPUT] = [asdict(each) for each in found]
        return
    report = together([*found, *gathered(config)])
    config.stash[GATHERED] = report
    file: str | None = config.getoption("--halflap-coverage")
    if file is not None:
        whole = {"documents": {each.file: each.to_json() for each in report}}
        Path(file).write_bytes(codec.encode(whole) + b"\n")
    if session.exitstatus == pytest.ExitCode.OK and any(lacking(config, report)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say it: a line for each document, and one for each thing that was missed."""
    warned = [
        text
        for each in terminalreporter.stats.get("passed", ())
        for name, text in each.user_properties
        if name == WARNING
    ]
    if warned:
        terminalreporter.section("tests of YAML documents that prove less than they say")
    for text in warned:
        terminalreporter.line(text, yellow=True)
    report = gathered(config)
    if report:
        terminalreporter.section("steps and branches of YAML documents")
    for each in report:
        why = f"{each.ran} of {len(each.units)}" if each.has else "it has no tests"
        terminalreporter.line(f"{each.file}: {each.percent} % ({why})")
        missed = each.missed if each.has else ()
        for unit in missed[:MOST_LINES]:
            terminalreporter.line(f"  {each.file}:{unit.line}: {unit.missed}")
        if len(missed) > MOST_LINES:
            terminalreporter.line(f"  and {len(missed) - MOST_LINES} more")
    for told in lacking(config, report):
        terminalreporter.line(told, red=True)


def gathered(config: pytest.Config) -> list[Covered]:
    """Return the coverage of other processes; at the end, of all."""
    return config.stash.setdefault(GATHERED, [])


def together(found: Sequence[Covered]) -> list[Covered]:
    """Return the coverage by all processes, of documents with tests that were run, or that have
    none.
    """
    added: dict[str, Covered] = {}
    for each in found:
        before = added.get(each.file)
        added[each.file] = each if before is None else before + each
    return [each for _, each in sorted(added.items()) if each.tests or not each.has]


def lacking(config: pytest.Config, report: Sequence[Covered]) -> Iterator[str]:
    """Yield of which documents too little ran; that there is none, where some of each has to."""
    least: int = config.getoption("--halflap-coverage-min") or 0
    for each in report:
        if each.percent < least:
            yield f"{each.file}: {each.percent} % of it ran, and {least} % has to"
    if least and not report:
        yield (
            f"no YAML document was run, and {least} % of each has to; what ran of flows in Python is "
            f"said by pytest-cov: halflap test -- --cov=. --cov-fail-under={least}"
        )


def _received(given: Mapping[str, Any]) -> Covered:
    units = tuple(Unit(**each) for each in given["units"])
    return Covered(given["file"], given["has"], given["tests"], units)
