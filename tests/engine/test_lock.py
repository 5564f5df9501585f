"""The packages that the sources need, and those that the environment lacks."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

import halflap
from halflap.engine.lock import imports, lock_of, unsatisfied
from halflap.errors import DefinitionError

SOURCE = b'''
"""A docstring that says import nothing."""
from __future__ import annotations
import os.path as p, yaml
from a.b import c, d as e
from . import near
from .near import far
from star import *
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import only_for_types
else:
    import otherwise
try:
    import tried
except ImportError:
    import fallback
finally:
    import at_last
class K:
    import in_class
    async def f(self):
        with x:
            for y in z:
                while y:
                    match y:
                        case 1:
                            import deep
'''

IMPORTED = {
    *("__future__", "__future__.annotations", "os.path", "yaml", "a.b", "a.b.c", "a.b.d", "star"),
    *(
        "typing",
        "typing.TYPE_CHECKING",
        "otherwise",
        "tried",
        "fallback",
        "at_last",
        "in_class",
        "deep",
    ),
}


def installed(folder: Path, name: str, version: str, *files: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_imports_are_found_wherever_they_stand() -> None:
    assert imports(SOURCE, "a.py") == IMPORTED


def test_the_lock_has_halflap_and_versions_by_normal_name() -> None:
    names = ["pydantic", "pydantic.Field", "json", "multipart"]
    assert lock_of(names) == (
        ("halflap", halflap.__version__),
        ("pydantic", metadata.version("pydantic")),
        ("python-multipart", metadata.version("python-multipart")),
    )


def test_what_is_needed_besides_is_locked_or_refused() -> None:
    assert dict(lock_of([], needs=["Typing.Extensions"])).keys() == {"halflap", "typing-extensions"}
    with pytest.raises(DefinitionError, match=r"needs acme-sdk.*Install it"):
        lock_of([], needs=["acme-sdk"])


def test_a_new_installation_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert dict(lock_of(["acme_sdk"])).keys() == {"halflap"}
    installed(tmp_path, "Acme_SDK", "2.1", "acme_sdk/__init__.py")
    assert ("acme-sdk", "2.1") in lock_of(["acme_sdk"])


def test_of_a_shared_namespace_only_the_part_that_is_imported_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "big-storage", "1.0", "big/storage/__init__.py")
    installed(tmp_path, "big-mail", "2.0", "big/mail.py")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert dict(lock_of(["big", "big.mail"])).keys() == {"halflap", "big-mail"}
    assert dict(lock_of(["big.storage", "big.storage.Bucket"])).keys() == {"halflap", "big-storage"}
    assert dict(lock_of(["big"])).keys() == {"halflap", "big-mail", "big-storage"}


def test_the_standard_library_is_not_locked_though_a_distribution_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "dataclasses", "0.8", "dataclasses.py")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert dict(lock_of(["dataclasses", "dataclasses.field"])).keys() == {"halflap"}


def test_an_editable_component_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "acme-for-halflap", "3.0", "_editable.pth")
    points = tmp_path / "acme_for_halflap-3.0.dist-info" / "entry_points.txt"
    points.write_text("[halflap.components]\nacme = acme_component.main:component\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert ("acme-for-halflap", "3.0") in lock_of(["acme_component"])


def test_what_is_lacking_is_said_in_sentences() -> None:
    lock = (("acme-sdk", "2.1"), ("halflap", "1.2.3"), ("pydantic", "2.12.0"))
    assert unsatisfied(lock, {"Acme_SDK": "2.1", "halflap": "1.2.9", "pydantic": "2.12.0"}) == []
    assert unsatisfied(lock, {"acme-sdk": "2.0", "halflap": "1.1.9"}) == [
        "needs acme-sdk 2.1; 2.0 is installed",
        "needs halflap 1.2; 1.1.9 is installed",
        "needs pydantic 2.12.0; it is not installed",
    ]


def test_a_bundle_runs_on_a_later_halflap_of_its_major_version() -> None:
    lock = (("halflap", "0.1.0"),)
    for version, runs in {"0.1.7": True, "0.2.0": True, "0.10.0": True, "1.0.0": False}.items():
        assert (not unsatisfied(lock, {"halflap": version})) is runs, version
    assert unsatisfied((("halflap", "0.10.0"),), {"halflap": "0.9.3"}) == [
        "needs halflap 0.10; 0.9.3 is installed"
    ]


def test_by_default_the_environment_is_this_process() -> None:
    assert unsatisfied(lock_of(["pydantic", "click"])) == []
    assert unsatisfied((("acme-sdk", "2.1"),)) == ["needs acme-sdk 2.1; it is not installed"]
