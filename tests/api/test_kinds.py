"""The name of a type of connection where it is kept."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from halflap import Connection, http
from halflap.api.operations.kinds import component_of, name_of
from halflap.sdk import registry

PACKAGE = {
    "distant/__init__.py": "",
    "distant/connection.py": "from halflap import Connection\n\nclass Distant(Connection): ...\n",
    "distant/offer.py": (
        "from distant.connection import Distant\nfrom halflap import Component\n\n"
        'component = Component("distant", title="Far Away", connection=Distant)\n'
    ),
    "distant-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: distant\nVersion: 1.0\n",
    "distant-1.0.dist-info/entry_points.txt": (
        "[halflap.components]\ndistant = distant.offer:component\n"
    ),
}


@pytest.fixture
def distant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A component in a package of its own, installed and not imported."""
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._found.cache_clear()
    yield
    registry._found.cache_clear()
    for name in [each for each in sys.modules if each.partition(".")[0] == "distant"]:
        del sys.modules[name]


def test_no_other_component_is_imported_to_name_a_type(distant: None) -> None:
    """Else the first replay of a process would import all of them on its event loop."""

    class OfNone(Connection):
        pass

    assert name_of(http.Http) == "http"
    assert name_of(OfNone) == f"{__name__}:{OfNone.__qualname__}"
    assert "distant" in registry.names()
    assert "distant.offer" not in sys.modules


def test_a_type_that_was_imported_before_its_component_has_its_name(distant: None) -> None:
    kind = importlib.import_module("distant.connection").Distant
    owner = component_of(kind)
    assert owner is not None
    assert (name_of(kind), owner.title) == ("distant", "Far Away")
