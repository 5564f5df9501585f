"""Failures as people see them: with the place in the author's code, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import halflap
from halflap.engine.failure import failure_of
from halflap.errors import CodeFailed, InvalidEvent

OURS = Path(halflap.__file__).parent


def refuse() -> None:
    raise InvalidEvent("no")


def passing(file: Path, then: Callable[[], None]) -> Callable[[], None]:
    """A function of a file that only calls another one."""
    names: dict[str, Any] = {"then": then}
    exec(compile("def passes():\n    then()\n", str(file), "exec"), names)
    return names["passes"]


def caught(act: Callable[[], None]) -> InvalidEvent:
    try:
        act()
    except InvalidEvent as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        return error
    raise AssertionError("nothing was raised")


def test_a_failure_names_the_place_in_the_authors_code():
    failure = failure_of(caught(passing(Path("/app/orders.py"), refuse)))
    assert failure.where.startswith(f"{__file__}:")
    assert "/app/orders.py" in failure.trace


def test_a_failure_in_a_built_in_component_names_no_place_that_the_author_cannot_mend():
    names: dict[str, Any] = {"InvalidEvent": InvalidEvent}
    source = "def refuses():\n    raise InvalidEvent('no')\n"
    exec(compile(source, str(OURS / "components" / "webhook.py"), "exec"), names)
    assert failure_of(caught(names["refuses"])).where == ""
    failure = failure_of(caught(passing(Path("/app/orders.py"), names["refuses"])))
    assert failure.where == "/app/orders.py:2"


def test_a_place_in_a_version_is_that_in_the_project_not_on_the_server():
    folder = Path("/srv/my store/bundles") / ("a" * 64)
    failure = failure_of(caught(passing(folder / "acme" / "orders.py", refuse)))
    assert "/bundles/" not in failure.trace
    assert '  File "acme/orders.py", line 2, in passes' in failure.trace

    names: dict[str, Any] = {"InvalidEvent": InvalidEvent}
    source = "def refuses():\n    raise InvalidEvent('no')\n"
    exec(compile(source, str(folder / "acme.py"), "exec"), names)
    assert failure_of(caught(names["refuses"])).where == "acme.py:2"


def test_a_failure_of_a_code_step_names_the_line_of_its_file():
    trace = "  flow.yaml:12:9, in <module>\n    return 1 / 0\n"
    failure = failure_of(
        CodeFailed("no", error="ZeroDivisionError", where="flow.yaml:12:9", trace=trace)
    )
    assert (failure.kind, failure.where) == ("ZeroDivisionError", "flow.yaml:12:9")
    assert failure.trace == trace
