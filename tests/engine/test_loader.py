"""Loading bundles under private names: side by side, no trace outside, errors with a place."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import linecache
import pickle
import shutil
import subprocess
import sys
import threading
import traceback
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import halflap
from halflap.engine import loader as room
from halflap.engine.bundle import Bundle, _hash, pack, seal
from halflap.engine.loader import Loaded, load, unload
from halflap.errors import DefinitionError
from tests.cases import for_each
from tests.polling import DEADLINE
from tests.zygote import PYTHON

ROOT = Path(halflap.__file__).parent.parent


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Every test leaves the process as it found it, once its bundles are unloaded."""
    before = set(sys.modules)
    yield
    for loaded in list(room._loaded):
        unload(loaded)
    assert not room._spaces
    assert not [name for name in set(sys.modules) - before if name.startswith("_halflap_")]


def bundle(entry: str = "main:it", **files: str) -> Bundle:
    """A bundle of files; `pkg__sub` is pkg/sub.py, `pkg__init` is pkg/__init__.py."""
    paths = {
        name.replace("__init", "/__init__").replace("__s_", "/"): s for name, s in files.items()
    }
    return seal(entry, {f"{path}.py": source.encode() for path, source in paths.items()})


def failed(tmp_path: Path, entry: str = "main:it", **files: str) -> DefinitionError:
    """The error of loading such a bundle; nothing of it stays behind."""
    before = set(sys.modules)
    with pytest.raises(DefinitionError) as caught:
        load(bundle(entry, **files), tmp_path)
    left = set(sys.modules) - before
    assert not [name for name in left if name.startswith("_halflap_")]
    return caught.value


def forged(entry: str, **files: str) -> Bundle:
    """A bundle that packing would refuse for its syntax, as another Python's may be."""
    ordered = tuple(sorted((f"{name}.py", source.encode()) for name, source in files.items()))
    return Bundle(_hash(entry, ordered, ()), entry, ordered, ())


def test_two_versions_of_the_same_modules_run_side_by_side(tmp_path: Path) -> None:
    source = "import acme\ndef it():\n    from acme import rate\n    return acme.rate, rate\n"
    one = load(bundle(main=source, acme="rate = 1\n"), tmp_path)
    two = load(bundle(main=source, acme="rate = 2\n"), tmp_path)
    assert one.entry() == (1, 1)
    assert two.entry() == (2, 2)
    assert one.hash != two.hash
    assert set(one.modules).isdisjoint(two.modules)


IMPORTS = """
import acme, pkg.sub, pkg.sub as p, pkg.deep.leaf
from acme import rate as r
from pkg import sub, deep
from pkg.deep import leaf
from pkg.deep.leaf import *
from . import acme as near
from .pkg.sub import value
def it():
    import late
    from pkg import late_too
    import pkg.deep.leaf as again
    class Local:
        import acme as inner
    names = [acme, pkg, pkg.sub, p, sub, deep, leaf, near, late, late_too, again, Local.inner]
    return [n.__name__.partition(".")[2] for n in names], r, value, star
"""


def test_every_form_of_import_finds_the_bundles_own_modules(tmp_path: Path) -> None:
    loaded = load(
        bundle(
            main=IMPORTS,
            acme="rate = 3\n",
            late="",
            pkg__init="from . import sub\nfrom .deep import leaf as _leaf\n",
            pkg__s_sub="value = 4\nfrom .. import acme\nfrom pkg.deep import leaf\n",
            pkg__s_late_too="",
            pkg__s_deep__s_leaf="star = 5\nimport pkg\n",
        ),
        tmp_path,
    )
    names, rate, value, star = loaded.entry()
    assert names == [
        *("acme", "pkg", "pkg.sub", "pkg.sub", "pkg.sub", "pkg.deep", "pkg.deep.leaf"),
        *("acme", "late", "pkg.late_too", "pkg.deep.leaf", "acme"),
    ]
    assert (rate, value, star) == (3, 4, 5)


def test_a_relative_import_is_not_mistaken_for_an_absolute_one(tmp_path: Path) -> None:
    loaded = load(
        bundle(
            main="from pkg import near, far\nit = near, far\n",
            acme="rate = 'top'\n",
            pkg__init="from .acme import rate as near\nfrom acme import rate as far\n",
            pkg__s_acme="rate = 'pkg'\n",
        ),
        tmp_path,
    )
    assert loaded.entry == ("pkg", "top")


def test_what_another_thread_imports_meanwhile_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = room._within

    def busy(name: str, package: str) -> bool:
        monkeypatch.setitem(sys.modules, f"imported_beside_{name}", halflap)
        return within(name, package)

    monkeypatch.setattr(room, "_within", busy)
    loaded = load(bundle(main="def it():\n    return 1\n"), tmp_path)
    assert loaded.entry() == 1
    unload(loaded.hash)


def test_what_is_not_in_the_bundle_is_imported_as_usual(tmp_path: Path) -> None:
    source = "import email.message, json as it\nfrom xml.etree import ElementTree\n"
    files = {"main.py": source.encode(), "email/texts.py": b"", "json/data.json": b"{}"}
    assert load(seal("main:it", files), tmp_path).entry is sys.modules["json"]


def test_a_module_of_the_bundle_comes_before_an_installed_one(tmp_path: Path) -> None:
    loaded = load(bundle(main="import click\nit = click.mine\n", click="mine = 1\n"), tmp_path)
    assert loaded.entry == 1
    assert not hasattr(importlib.import_module("click"), "mine")


def test_the_process_outside_the_bundle_stays_as_it_is(tmp_path: Path) -> None:
    before, path = dict(sys.modules), list(sys.path)
    own = vars(__import__("builtins"))["__import__"]
    loaded = load(bundle(main="import own_only\nit = own_only\n", own_only=""), tmp_path)
    assert {n: m for n, m in sys.modules.items() if n not in loaded.modules} == before
    assert sys.path == path
    assert vars(__import__("builtins"))["__import__"] is own
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("own_only")


MODELS = """
from __future__ import annotations
import dataclasses, typing
from pydantic import BaseModel
from acme import Account

class Order(BaseModel):
    account: Account
    next: Order | None = None

@dataclasses.dataclass(slots=True)
class Line:
    order: Order

def it(order: Order, line: Line) -> Account: ...
"""


def test_annotations_resolve_under_the_private_name(tmp_path: Path) -> None:
    acme = "from pydantic import BaseModel\nclass Account(BaseModel):\n    name: str\n"
    it = load(bundle(main=MODELS, acme=acme), tmp_path).entry
    hints = typing.get_type_hints(it)
    order = hints["order"].model_validate(
        {"account": {"name": "A"}, "next": {"account": {"name": "B"}}}
    )
    assert type(order.next.account) is hints["return"]
    assert typing.get_type_hints(hints["line"]) == {"order": hints["order"]}
    assert it.__module__ in sys.modules
    assert it.__module__.startswith("_halflap_")
    assert type(pickle.loads(pickle.dumps(order))) is hints["order"]


def test_tracebacks_show_the_unpacked_file_and_its_line(tmp_path: Path) -> None:
    loaded = load(bundle(main="def it():\n    return 1 / 0  # here\n"), tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        loaded.entry()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(loaded.folder / "main.py"), 2)
    assert last.line == "return 1 / 0  # here"
    assert inspect.getsource(loaded.entry).endswith("# here\n")


def test_modules_that_import_each_other_load(tmp_path: Path) -> None:
    loaded = load(
        bundle(
            main="import a\nit = a.f\n",
            a="import b\ndef f():\n    return b.g()\n",
            b="import a\ndef g():\n    from a import f\n    return f is a.f\n",
        ),
        tmp_path,
    )
    assert loaded.entry() is True


def test_the_same_version_is_loaded_once(tmp_path: Path) -> None:
    made = bundle(main="it = object()\n")
    first = load(made, tmp_path)
    assert load(Bundle.from_bytes(made.to_bytes()), tmp_path / "elsewhere") is first
    unload(made.hash)
    assert load(made, tmp_path).entry is not first.entry


def test_threads_that_load_the_same_version_share_it(tmp_path: Path) -> None:
    made = bundle(main="import acme\nit = object()\n", acme="")
    gate = threading.Barrier(4)

    def one() -> Loaded:
        gate.wait(timeout=DEADLINE)
        return load(made, tmp_path)

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(one) for _ in range(4)]]
    assert all(loaded is found[0] for loaded in found)


def test_reloading_again_and_again_leaves_nothing_behind(tmp_path: Path) -> None:
    def turn(n: int) -> None:
        loaded = load(bundle(main=f"import acme\nit = {n}\n", acme="def f(): ...\n"), tmp_path)
        assert loaded.entry == n
        linecache.getlines(str(loaded.folder / "main.py"))
        unload(loaded.hash)

    turn(0)
    before = (
        len(sys.modules),
        len(sys.meta_path),
        len(linecache.cache),
        len(sys.path_importer_cache),
    )
    for n in range(1, 201):
        turn(n)
    after = len(sys.modules), len(sys.meta_path), len(linecache.cache), len(sys.path_importer_cache)
    assert after == before


def test_unloading_leaves_other_versions_alone(tmp_path: Path) -> None:
    one = load(bundle(main="it = 1\n"), tmp_path)
    two = load(
        bundle(main="def it():\n    import late\n    return late.x\n", late="x = 2\n"), tmp_path
    )
    unload(one.hash)
    unload("0" * 64)
    assert not set(one.modules) & set(sys.modules)
    assert two.entry() == 2
    with pytest.raises(DefinitionError, match="was unloaded"):
        one.module("main")


def test_bytecode_is_kept_in_the_cache_and_survives_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    made = bundle(main="import pkg\nit = pkg.x\n", pkg__init="x = 1\n")
    folder = load(made, tmp_path / "cache").folder
    kept = sorted((folder / "__pycache__").iterdir())
    assert len(kept) == 2
    assert not (tmp_path / "prefix").exists()
    written = kept[0].read_bytes()
    for torn in (b"", written[:50], written[:-1] + b"\x00", b"\x00" * len(written)):
        kept[0].write_bytes(torn)
        unload(made.hash)
        assert load(made, tmp_path / "cache").entry == 1
        assert kept[0].read_bytes() == written


def test_kept_bytecode_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    made = bundle(main="it = 1\n")
    load(made, tmp_path)
    unload(made.hash)
    asked: list[str] = []
    monkeypatch.setattr(
        room._Loader,
        "source_to_code",
        lambda self, data, path: asked.append(path),  # it is not asked
    )
    assert load(made, tmp_path).entry == 1
    assert asked == []


def test_a_damaged_unpacked_folder_is_unpacked_again(tmp_path: Path) -> None:
    made = bundle(main="import acme\nit = acme.x\n", acme="x = 1\n")
    folder = load(made, tmp_path).folder
    for damage in ("x = 'changed'\n", ""):
        unload(made.hash)
        (folder / "acme.py").write_text(damage)
        assert load(made, tmp_path).entry == 1
        assert (folder / "acme.py").read_text() == "x = 1\n"
    assert [path.name for path in tmp_path.iterdir()] == [made.hash]


def test_a_late_import_needs_no_file(tmp_path: Path) -> None:
    loaded = load(
        bundle(main="def it():\n    import late\n    return late.x\n", late="x = 2\n"), tmp_path
    )
    shutil.rmtree(loaded.folder)
    assert loaded.entry() == 2
    assert inspect.getsource(loaded.entry).startswith("def it():")


CHILD = """
import sys
from pathlib import Path
from halflap.engine.bundle import Bundle
from halflap.engine.loader import load
made = Bundle.from_bytes(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
sys.stdin.readline()
print(load(made, Path(sys.argv[2])).entry)
"""


def test_processes_that_unpack_the_same_version_do_not_disturb_each_other(tmp_path: Path) -> None:
    made = seal("m7:x", {f"m{n}.py": f"x = {n}\n".encode() for n in range(200)})
    sent, cache = tmp_path / "sent", tmp_path / "cache"
    sent.write_bytes(made.to_bytes())
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen(
            [PYTHON, "-c", CHILD, sent, cache], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=DEADLINE)[0] for child in children] == ["7\n"] * 2
    assert [path.name for path in cache.iterdir()] == [made.hash]


def test_a_document_is_found_with_the_modules_beside_it(tmp_path: Path) -> None:
    made = seal("flow.yaml", {"flow.yaml": b"flows: {}\n", "acme.py": b"x = 1\n", "lib/b.py": b""})
    loaded = load(made, tmp_path)
    assert loaded.entry.read_text() == "flows: {}\n"
    assert loaded.module("acme").x == 1
    assert loaded.module("lib.b").__name__.endswith(".lib.b")
    with pytest.raises(DefinitionError, match="no such module"):
        loaded.module("acmee")


def test_a_nested_object_can_be_the_entry(tmp_path: Path) -> None:
    loaded = load(bundle("pkg.main:K.it", pkg__s_main="class K:\n    it = 1\n"), tmp_path)
    assert loaded.entry == 1


def test_a_missing_entry_object_names_the_file(tmp_path: Path) -> None:
    error = failed(tmp_path, main="x = 1\n")
    assert error.where == "main.py"
    assert "no `it` here" in str(error)


def test_a_missing_distribution_is_named_with_its_line(tmp_path: Path) -> None:
    error = failed(tmp_path, main="import acme\n", acme="\nimport not_there_sdk\n")
    assert error.where == "acme.py:2"
    assert "No module named 'not_there_sdk'. Install what provides it" in str(error)
    assert isinstance(error.__cause__, ModuleNotFoundError)


@for_each(
    ("line", "says"),
    [
        ("import pkg.nothing", "No module named 'pkg.nothing' in the bundle. Add the file"),
        ("from pkg import nothing", "cannot import name 'nothing' from 'pkg'"),
        ("from .nothing import x", "No module named 'nothing' in the bundle"),
        ("from ... import x", "attempted relative import beyond top-level package"),
        ("import json.nothing", "No module named 'json.nothing'. Install what provides it"),
        ("import importlib; importlib.import_module('pkg')", "write `import pkg` instead"),
        ("import main; main.x", "Importing it raised AttributeError"),
        ("1 / 0", "Importing it raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "Importing it raised SystemExit: 3"),
        ("compile('(', 'x', 'exec')", "Importing it raised SyntaxError"),
        ("def f(): f()\nf()", "Importing it raised RecursionError"),
        ("import json; json.loads('{')", "Importing it raised JSONDecodeError"),
        ("raise __import__('halflap').errors.DefinitionError('No title.')", "No title."),
    ],
)
def test_an_error_while_importing_names_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    error = failed(tmp_path, main="import acme\n", acme=f"# first\n{line}\n", pkg__init="")
    assert says in str(error)
    assert error.where == "acme.py:2"
    assert "_halflap_" not in str(error)


def test_a_definition_error_that_knows_its_place_is_passed_on(tmp_path: Path) -> None:
    raised = (
        "from halflap.errors import DefinitionError\nraise DefinitionError('Wrong.', where='x.y')\n"
    )
    error = failed(tmp_path, main=raised)
    assert (str(error), error.where) == ("x.y: Wrong.", "x.y")


def test_modules_that_cannot_import_each_other_are_told_how(tmp_path: Path) -> None:
    error = failed(
        tmp_path, main="import a\n", a="from b import y\nx = 1\n", b="from a import x\ny = 1\n"
    )
    assert error.where == "b.py:1"
    assert "import inside the function" in str(error)


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="not valid Python") as caught:
        load(forged("main:it", main="import acme\n", acme="x = 1\ndef f(:\n"), tmp_path)
    assert caught.value.where == "acme.py:2"


def test_the_cause_shows_only_the_authors_frames(tmp_path: Path) -> None:
    error = failed(tmp_path, main="import acme\n", acme="def f():\n    1 / 0\nf()\n")
    assert error.__cause__ is not None
    frames = traceback.extract_tb(error.__cause__.__traceback__)
    assert [(Path(f.filename).name, f.lineno) for f in frames] == [
        *(("main.py", 1), ("acme.py", 3), ("acme.py", 2)),
    ]


def test_an_interruption_is_not_the_authors_mistake(tmp_path: Path) -> None:
    for name, kind in (
        ("KeyboardInterrupt", KeyboardInterrupt),
        ("Cancelled", asyncio.CancelledError),
    ):
        source = f"from asyncio import CancelledError as Cancelled\nraise {name}\n"
        with pytest.raises(kind):
            load(bundle(main=source), tmp_path)
        assert not [name for name in sys.modules if name.startswith("_halflap_")]


def test_a_failed_load_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bundle(main="import os, acme\nit = os.environ['HALFLAP_TEST_IT']\n", acme="")
    with pytest.raises(DefinitionError, match="KeyError"):
        load(made, tmp_path)
    monkeypatch.setenv("HALFLAP_TEST_IT", "set")
    assert load(made, tmp_path).entry == "set"


def test_optional_imports_fall_back_as_usual(tmp_path: Path) -> None:
    source = """
try:
    import pkg.fast as impl
except ImportError:
    import pkg.slow as impl
try:
    from pkg import extra
except ImportError:
    extra = None
it = impl.name, extra
"""
    loaded = load(bundle(main=source, pkg__init="", pkg__s_slow="name = 'slow'\n"), tmp_path)
    assert loaded.entry == ("slow", None)


def test_files_beside_a_module_can_be_read(tmp_path: Path) -> None:
    source = (
        "from pathlib import Path\nit = (Path(__file__).parent / 'texts' / 'a.json').read_text()\n"
    )
    files = {"main.py": source.encode(), "texts/a.json": b"[]"}
    assert load(seal("main:it", files), tmp_path).entry == "[]"


def test_a_packed_folder_loads(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "sales.py").write_text("import acme\nintegration = acme.name\n")
    (root / "acme.py").write_text("name = 'Acme'\n")
    loaded = load(pack(root, "sales:integration"), tmp_path / "cache")
    assert loaded.entry == "Acme"
    assert sorted(path.name for path in root.iterdir()) == ["acme.py", "sales.py"]
