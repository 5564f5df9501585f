"""Run the tests of YAML documents in pytest, and tell how much of each they ran, and what they missed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from halflap import lowcode
from halflap.errors import HalflapError
from halflap.sdk import codec
from halflap.testing.coverage import Covered, Unit, covered
from halflap.testing.document import (
    Differs,
    DocumentWithTests,
    open_document,
    run_test,
    warnings_of,
)

WARNING = "halflap_warning"
"""The name of the property that a test's report has for each stub that was never called."""
OPENED = pytest.StashKey[list[DocumentWithTests]]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> DocumentFile | None:
    """A YAML file that is an integration has its tests in it."""
    if file_path.suffix not in (".yaml", ".yml") or not lowcode.heading(file_path.read_bytes()):
        return None
    return cast(Any, DocumentFile).from_parent(parent, path=file_path)


class DocumentFile(pytest.File):
    """A document, with its tests."""

    def collect(self) -> Iterator[DocumentTest]:
        """Its tests; a document that does not build is an error of its own."""
        name = self.path.relative_to(self.config.rootpath).as_posix()
        try:
            opened = open_document(self.path, name)
        except HalflapError as error:
            raise self.CollectError(error.message) from None
        documents(self.config).append(opened)
        for at, each in enumerate(opened.document.tests):
            yield cast(Any, DocumentTest).from_parent(self, name=each.name, opened=opened, at=at)


def documents(config: pytest.Config) -> list[DocumentWithTests]:
    """The documents that were collected."""
    return config.stash.setdefault(OPENED, [])


class DocumentTest(pytest.Item):
    """One test of a document."""

    def __init__(
        self, name: str, parent: pytest.Collector, *, opened: DocumentWithTests, at: int
    ) -> None:
        super().__init__(name, parent)  # pyright: ignore[reportUnknownMemberType]
        self._opened = opened
        self._at = at

    def runtest(self) -> None:
        """Run it on a loop of its own."""
        result = asyncio.run(run_test(self._opened, self._at))
        for each in warnings_of(self._opened.source, self._at, result):
            self.user_properties.append((WARNING, each))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """In the document's own words, where it knows them."""
        if isinstance(excinfo.value, Differs | HalflapError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands."""
        place = self._opened.source.place(("tests", self._at))
        return self.path, place.line - 1, self.name


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
