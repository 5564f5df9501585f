"""Collects the tests of YAML documents for pytest, so that `halflap test` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from halflap import lowcode
from halflap.errors import HalflapError
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
