"""Packing, hashing, sending and opening bundles; none of it runs the author's code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap.engine import bundle as room
from halflap.engine.bundle import MOST_FILES, Bundle, modules, own_modules, pack, seal
from halflap.errors import DefinitionError
from tests.cases import for_each

BOMB = "raise SystemExit('this ran')\n"


def project(root: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def wire(**changes: object) -> bytes:
    good = msgspec.msgpack.decode(seal("acme:it", {"acme.py": b"it = 1\n"}).to_bytes())
    return msgspec.msgpack.encode(good | changes)


def paths(bundle: Bundle) -> list[str]:
    return [path for path, _ in bundle.files]


def test_packing_takes_the_sources_and_leaves_the_rest(tmp_path: Path) -> None:
    taken = [
        "README.md",
        "acme/README.md",
        "acme/__init__.py",
        "acme/icon.svg",
        "acme/quality.yaml",
        "acme/test_data.json",
        "flow.yml",
        "sales.py",
    ]
    left = [
        ".env",
        ".git/x.py",
        ".hidden.py",
        "CHANGES.md",
        "a.txt",
        "__pycache__/sales.cpython-311.pyc",
        "acme/tests/fixture.py",
        "conftest.py",
        "data.db",
        "dist/sales.py",
        "env/pyvenv.cfg",
        "env/lib/x.py",
        "node_modules/x.json",
        "test_sales.py",
        "tests/test_x.py",
        "venv/x.py",
    ]
    root = project(tmp_path, dict.fromkeys(taken + left, "x = 1\n"))
    assert paths(pack(root, "sales:x")) == sorted(taken)


@pytest.mark.parametrize("owner", ["ours", "other"])
def test_packing_leaves_what_git_ignores_but_for_sources(
    tmp_path: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = ["key.json", "made/deployed.json", "made/models.py"]
    files = [*ignored, "committed.json", "sales.py"]
    root = project(tmp_path / "shop" / "sales", dict.fromkeys(files, "x = 1\n"))
    (tmp_path / "shop" / "sales" / "link").symlink_to(root / "made")
    assert paths(pack(root, "sales:x")) == sorted([*files, "link/deployed.json", "link/models.py"])
    subprocess.run(["git", "init", "-q", str(tmp_path / "shop")], check=True)
    (tmp_path / "shop" / ".gitignore").write_text("key.json\nmade/\ncommitted.json\n")
    add = ["git", "-C", str(root), "add", "--force", "committed.json"]
    subprocess.run(add, check=True)
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    config = ["git", "-C", str(root), "config", "core.fsmonitor", str(monitor)]
    subprocess.run(config, check=True)
    if owner == "other":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert paths(pack(root, "sales:x")) == [
        "committed.json",
        "link/deployed.json",
        "link/models.py",
        "made/models.py",
        "sales.py",
    ]
    assert not (tmp_path / "ran").exists()


def test_packing_leaves_what_a_submodule_ignores(tmp_path: Path) -> None:
    files = ["key.json", "sales.py", "acme/api.py", "acme/key.json", "acme/open.json"]
    files += ["acme/deep/key.json", "acme/deep/made.json", "left/api.json", "left/api.py"]
    root = project(tmp_path / "shop", dict.fromkeys(files, "x = 1\n"))

    def git(folder: str, *words: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *who, "-C", str(root / folder), *words], check=True)

    for folder, ignored in (
        ("", "key.json\nleft/\n"),
        ("acme", "key.json"),
        ("acme/deep", "made.*"),
    ):
        git(folder, "init", "-q")
        (root / folder / ".gitignore").write_text(ignored)
    for folder in ("acme/deep", "acme", ""):
        git(folder, "-c", "advice.addEmbeddedRepo=false", "add", ".")
        git(folder, "commit", "-q", "-m", "all of it")
    git("left", "init", "-q")

    packed = ["acme/api.py", "acme/deep/key.json", "acme/open.json", "left/api.py", "sales.py"]
    assert paths(pack(root, "sales:x")) == packed


def test_packing_and_opening_run_nothing(tmp_path: Path) -> None:
    root = project(tmp_path, {"sales.py": BOMB, "acme/__init__.py": BOMB, "setup.py": BOMB})
    bundle = pack(root, "sales:integration")
    assert Bundle.from_bytes(bundle.to_bytes()) == bundle


def test_the_same_content_has_the_same_hash_and_bytes_wherever_it_lies(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"b.py": "x = 1\n", "a.py": "import b\n"}
    one = pack(project(tmp_path / "one", files), "a:b")
    two = pack(project(tmp_path / "two", dict(reversed(files.items()))), "a:b")
    assert one == two
    assert one.to_bytes() == two.to_bytes()
    assert re.fullmatch("[0-9a-f]{64}", one.hash)


def test_any_change_is_another_hash() -> None:
    files = {"a.py": b"x = 1\n", "b.py": b""}
    bundles = [
        seal("a:x", files),
        seal("b:x", files),
        seal("a:x", files | {"a.py": b"x = 2\n"}),
        seal("a:x", files | {"c.py": b""}),
        seal("a:x", {"a.py": b"x = 1\n", "c.py": b""}),
        seal("a:x", files, needs=["pydantic"]),
    ]
    assert len({bundle.hash for bundle in bundles}) == len(bundles)


names = st.sampled_from(
    [f"{folder}{name}.json" for folder in ("", "a/", "zz/") for name in "abcxyz"]
)


@given(st.dictionaries(names, st.binary(max_size=40), max_size=6))
def test_a_bundle_survives_being_sent(files: dict[str, bytes]) -> None:
    bundle = seal("a:x", files | {"a.py": b"x = 1\n"})
    assert Bundle.from_bytes(bundle.to_bytes()) == bundle


@given(st.data())
def test_a_bundle_with_one_byte_changed_is_refused(data: st.DataObject) -> None:
    sent = bytearray(seal("a:x", {"a.py": b"x = 1\n", "b.yaml": b"k: v\n"}).to_bytes())
    at = data.draw(st.integers(0, len(sent) - 1))
    sent[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DefinitionError):
        Bundle.from_bytes(bytes(sent))


@for_each(
    "path",
    [
        "../x.py",
        "a/../../x.py",
        "./x.py",
        "/etc/x.py",
        "a//x.py",
        "C:/x.py",
        "C:x.py",
        "a\\x.py",
        "a/.. /x.py",
        ".env",
        "a/.x.py",
        "x\x00.py",
        "x\n.py",
        "",
        "__pycache__/acme.cpython-311.pyc",
        "__pycache__/acme.py",
        "acme.so",
        "acme.pth",
        "tests/x.py",
        f"{'a' * 201}.py",
        f"{'a/' * 300}x.py",
    ],
)
def test_a_path_that_packing_would_not_give_is_refused(path: str) -> None:
    files = tuple(sorted([(path, b""), ("acme.py", b"it = 1\n")]))
    digest = room._hash("acme:it", files, ())
    with pytest.raises(DefinitionError, match="may not hold this path"):
        Bundle.from_bytes(wire(files=files, lock=(), hash=digest))


@for_each(
    "files",
    [
        [("acme.py", b""), ("acme.py", b"")],
        [("b.py", b""), ("acme.py", b"")],
        [("Acme.py", b""), ("acme.py", b"")],
        [("A/x.json", b""), ("a/y.json", b""), ("acme.py", b"")],
        [("acme.py", b""), ("acme.py/x.py", b"")],
        [("acme.py", b""), ("halflap.py", b"")],
        [("acme.py", b""), ("halflap/__init__.py", b"")],
        [("acme.py", b"#" * (room.MOST_BYTES + 1))],
        [("acme.py", b""), *((f"b{n:05}.py", b"") for n in range(MOST_FILES))],
    ],
    ids=["twice", "order", "case", "folder case", "both", "halflap", "halflap/", "bytes", "files"],
)
def test_files_that_cannot_lie_beside_each_other_are_refused(
    files: list[tuple[str, bytes]],
) -> None:
    digest = room._hash("acme:it", tuple(files), ())
    with pytest.raises(DefinitionError):
        Bundle.from_bytes(wire(files=files, lock=(), hash=digest))


@for_each("data", [b"", b"\xc1", b"\x80", b"PK\x03\x04", wire(more=1), wire(files=1)])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(DefinitionError, match="no bundle, or a damaged one"):
        Bundle.from_bytes(data)


def test_a_bundle_under_another_hash_is_refused() -> None:
    with pytest.raises(DefinitionError, match="not what its hash names"):
        Bundle.from_bytes(wire(hash="0" * 64))
    with pytest.raises(DefinitionError, match="not what its hash names"):
        Bundle.from_bytes(wire(lock=[("halflap", "99.0")]))


def test_a_project_that_is_too_large_says_what_to_do(tmp_path: Path) -> None:
    root = project(tmp_path / "big", {"a.py": "", "b.json": b" " * (room.MOST_BYTES + 1)})
    with pytest.raises(DefinitionError, match=r"more than 4 MB.*Move what"):
        pack(root, "a:x")
    root = project(tmp_path / "many", {f"m{n}.py": "" for n in range(MOST_FILES + 1)})
    with pytest.raises(DefinitionError, match=r"more than 2,000 files.*Move what"):
        pack(root, "m1:x")


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    project(tmp_path, {"outside.py": "", "far/x.py": "", "root/a.py": ""})
    link = tmp_path / "root" / "b.py"
    for target in (tmp_path / "outside.py", tmp_path / "far", tmp_path / "missing.py"):
        link.symlink_to(target)
        with pytest.raises(DefinitionError, match=r"^b\.py: This link leads") as caught:
            pack(tmp_path / "root", "a:x")
        assert caught.value.where == "b.py"
        link.unlink()


def test_a_link_within_the_project_is_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.py": "x = 1\n", "lib/acme.py": "y = 1\n"})
    (root / "acme.py").symlink_to("lib/acme.py")
    (root / "also").symlink_to("lib")
    assert paths(pack(root, "a:x")) == ["a.py", "acme.py", "also/acme.py", "lib/acme.py"]
    (root / "lib" / "up").symlink_to("..")
    with pytest.raises(DefinitionError, match="leads back"):
        pack(root, "a:x")


def test_a_pipe_with_a_source_name_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.py": ""})
    os.mkfifo(root / "b.py")
    with pytest.raises(DefinitionError, match="not an ordinary file"):
        pack(root, "a:x")


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such folder"):
        pack(tmp_path / "nowhere", "a:x")


@for_each("entry", ["", "acme", "acme:", ":it", "acme:it:x", "a b:it", "../a:it", "a;b:c"])
def test_an_entry_of_the_wrong_form_says_what_it_should_be(entry: str) -> None:
    with pytest.raises(DefinitionError, match="module:object"):
        seal(entry, {"acme.py": b""})


def test_an_entry_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(DefinitionError, match=r"no module acmee. Did you mean acme\?"):
        seal("acmee:it", {"acme.py": b"", "other.py": b""})
    with pytest.raises(DefinitionError, match=r"no file flwo.yaml. Did you mean flow.yaml\?"):
        seal("flwo.yaml", {"flow.yaml": b"", "other.py": b""})


def test_a_document_is_an_entry_too() -> None:
    assert seal("flow.yaml", {"flow.yaml": b"flows: {}\n"}).document == "flow.yaml"
    assert seal("acme:it", {"acme.py": b""}).document is None


def test_modules_are_named_as_python_names_them() -> None:
    files = {
        "__init__.py": b"",
        "acme.py": b"",
        "acme/__init__.py": b"",
        "acme/models.py": b"",
        "email/texts.py": b"",
        "json/data.json": b"",
        "plain/x.py": b"",
        "types.py": b"",
    }
    bundle = seal("acme:x", files)
    assert modules(bundle.files)["acme"] == "acme/__init__.py"
    assert "acme.models" in modules(bundle.files)
    assert own_modules(bundle.files) == {"acme", "plain", "types"}


def test_a_source_that_is_not_python_names_its_line(tmp_path: Path) -> None:
    root = project(tmp_path, {"a.py": "", "lib/b.py": "x = 1\ndef f(:\n"})
    with pytest.raises(DefinitionError, match="not valid Python") as caught:
        pack(root, "a:x")
    assert caught.value.where == "lib/b.py:2"
    with pytest.raises(DefinitionError):
        seal("a:x", {"a.py": b"\x00"})
    with pytest.raises(DefinitionError):
        seal("a:x", {"a.py": b"\xff = 1"})


def test_the_lock_names_what_the_sources_import(tmp_path: Path) -> None:
    source = "import json, acme\nfrom pydantic import Field\nimport halflap, not_installed_here\n"
    root = project(tmp_path, {"sales.py": source, "acme.py": "def f():\n    import click\n"})
    assert [name for name, _ in pack(root, "sales:x").lock] == ["click", "halflap", "pydantic"]


def test_a_module_of_the_bundle_is_not_locked_though_it_is_installed_too() -> None:
    bundle = seal("a:x", {"a.py": b"import click\n", "click.py": b""})
    assert [name for name, _ in bundle.lock] == ["halflap"]
