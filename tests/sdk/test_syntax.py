"""Sources parsed by many threads at once."""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from halflap.sdk.syntax import parse

SOURCE = "\n".join(f"value_{n} = [{n}, call(a={n}), ({n} + 1) * 2]" for n in range(400))
TIMES = 20


class Waster:
    """An object in a cycle, whose finalizer runs code, so that another thread may go on."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Threads that take turns often, and a collector that runs all the time."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-5)
    gc.set_threshold(50)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


def refused(parsing: Callable[[str], object]) -> int:
    """Count the parses of two threads that raise a SystemError, up to the first of each."""
    errors: list[SystemError] = []

    def run() -> None:
        for _ in range(TIMES):
            Waster()
            try:
                parsing(SOURCE)
            except SystemError as error:
                return errors.append(error)
        return None

    threads = [threading.Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return len(errors)


def test_threads_that_parse_at_once_all_get_their_tree() -> None:
    assert refused(parse) == 0


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="CPython counts for each thread there")
def test_a_control_that_parses_without_turns_is_refused() -> None:
    assert refused(ast.parse) > 0
