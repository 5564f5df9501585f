"""From the built wheel alone, in a fresh virtual environment: no clone, no Node, no compiler."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.built import build_console
from tests.polling import DEADLINE
from tests.zygote import PYTHON

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def halflap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `halflap` command of a fresh environment that has only the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = [sys.executable, "-m", "uv"]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    build_console()
    quiet(build, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    quiet([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)])
    locked = folder / "constraints.txt"
    locked.write_text(pinned((ROOT / "requirements" / "dev.txt").read_text()))
    python = environment / "bin" / "python"
    quiet([*uv, "pip", "install", "--quiet", "-p", str(python), "-c", str(locked), str(wheel)])
    yield environment / "bin" / "halflap"
    shutil.rmtree(environment)


def pinned(requirements: str) -> str:
    """The pins of a requirements file, without their hashes: constraints for a newcomer's install."""
    lines = [each.split(" \\")[0] for each in requirements.splitlines()]
    return "\n".join(each for each in lines if "==" in each and not each.startswith((" ", "#")))


def quiet(command: list[str], cwd: Path | None = None) -> None:
    """Run a command; what it said is shown where it failed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def bare(folder: Path) -> dict[str, str]:
    """An environment without this checkout, Node or a compiler on the PATH."""
    return {"PATH": "/nowhere", "HOME": str(folder), "LANG": "C.UTF-8"}


def test_type_checkers_find_the_annotations_of_the_installed_package(halflap: Path) -> None:
    (package,) = halflap.parents[1].glob("lib/python3*/site-packages/halflap")
    assert (package / "py.typed").is_file()


def test_the_console_is_in_the_package(halflap: Path) -> None:
    (package,) = halflap.parents[1].glob("lib/python3*/site-packages/halflap")
    static = package / "console" / "static"
    assert "{{nonce}}" in (static / "index.html").read_text()
    assert list((static / "assets").glob("*.js.br"))


def test_the_demo_passes_every_check_and_stays_for_a_look_at_the_console(
    halflap: Path, tmp_path: Path
) -> None:
    log = tmp_path / "demo.log"
    with log.open("w") as output:
        demo = subprocess.Popen(
            [str(halflap), "demo", "--keep"],
            cwd=tmp_path,
            env=bare(tmp_path),
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + 240
        while "Ctrl-C ends it" not in (said := log.read_text()):
            assert demo.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.05)
        found = re.search(r"demo: (\d+) of (\d+) checks passed", said)
        assert found is not None
        assert found[1] == found[2], said
        assert int(found[2]) >= 35
        found = re.search(r"Console +(\S+)/console/sign-in#link=(\S+)", said)
        assert found is not None, said
        body = json.dumps({"link": found[2]}).encode()
        asked = urllib.request.Request(
            f"{found[1]}/api/session", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked) as answer:
            assert json.load(answer)["user"]["role"] == "owner"
        again = re.search(r"another link: (.*)", said)
        assert again is not None
        made = subprocess.run(
            again[1].split(), env=bare(tmp_path), capture_output=True, text=True, check=False
        )
        assert "#link=" in made.stdout, made.stderr
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(timeout=DEADLINE)
    assert code == 0, log.read_text()


def test_commands_but_test_need_no_pytest(halflap: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(halflap), *words]
        env = bare(tmp_path)
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    python = [str(halflap.parent / "python"), "-c", "import pytest"]
    assert subprocess.run(python, capture_output=True, check=False).returncode == 1
    assert run("new", "integration", "plain", "--yaml").returncode == 0
    assert run("new", "acme").returncode == 0
    converted = run("convert", str(next((tmp_path / "plain").glob("*.yaml"))))
    assert converted.returncode == 0, converted.stderr
    shadowed = run("shadow", "plain")  # it needs a store, and says so
    assert "Traceback" not in shadowed.stderr
    assert "halflap dev" in shadowed.stderr


@pytest.mark.soak  # a commit does this from the clone, and starts the demo from the wheel
def test_a_new_integration_runs_at_once(halflap: Path, tmp_path: Path) -> None:
    env = bare(tmp_path)
    new = [str(halflap), "new", "integration", "first-steps"]
    made = subprocess.run(new, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    project = tmp_path / "first-steps"
    log = (tmp_path / "dev.log").open("w+")
    dev = subprocess.Popen(
        [str(halflap), "dev", "--port", "0"], cwd=project, env=env, stdout=log, stderr=log
    )
    try:
        end = time.monotonic() + DEADLINE
        while "/hooks/" not in (said := Path(log.name).read_text()):
            assert dev.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.05)
    finally:
        dev.send_signal(signal.SIGINT)
        code = dev.wait(timeout=DEADLINE)
        log.close()
    assert code in (0, 130)
    assert os.listdir(project / "tests")


@pytest.mark.parametrize("source", ["clone", pytest.param("wheel", marks=pytest.mark.soak)])
def test_the_low_code_pages_can_be_followed(
    source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Lint and test the whole documents of the pages, beside what `halflap new acme` writes."""
    halflap, env = [PYTHON, "-m", "halflap"], bare(tmp_path) | {"PYTHONPATH": str(ROOT)}
    if source == "wheel":
        installed: Path = request.getfixturevalue("halflap")
        halflap, env = [str(installed)], bare(tmp_path)
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "-p"]
        quiet([*uv, str(installed.parent / "python"), "pytest", "pytest-asyncio"])

    def run(*words: str, cwd: Path) -> None:
        done = subprocess.run(
            [*halflap, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{cwd.name}: {done.stdout}{done.stderr}"

    projects: list[dict[str, str]] = []  # in each, every integration has a name of its own
    for page in sorted((ROOT / "docs" / "low-code").glob("*.md")):
        for block in page.read_text("utf-8").split("```yaml\n")[1:]:
            text = block.partition("```")[0]
            name = re.search(r"^name: (\S+)", text, re.M)
            if name is not None and "\nflows:" in text:
                free = next((each for each in projects if name[1] not in each), None)
                if free is None:
                    projects.append(free := {})
                free[name[1]] = text
    assert sum(map(len, projects)) > 15
    for number, documents in enumerate(projects):
        project = tmp_path / f"pages-{number}"
        run("new", "acme", "--dir", str(project), cwd=tmp_path)
        for name, text in documents.items():
            (project / f"{name}.yaml").write_text(text)
            for file in re.findall(r"file: (\S+?)[,}\s]", text):
                (project / file).parent.mkdir(parents=True, exist_ok=True)
                (project / file).touch()
        run("lint", cwd=project)
        run("test", cwd=project)
