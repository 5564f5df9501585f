"""`halflap test`: run a project's tests, and make a test of what really happened."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from halflap.api.view import InstanceView
from halflap.cli.client import Client
from halflap.cli.output import Output
from halflap.cli.project import Project, find_root
from halflap.cli.reach import speaks
from halflap.engine.bundle import Bundle
from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode import close_runner
from halflap.model import ENDED
from halflap.sdk import codec

NEEDED = {"pytest": "pytest", "pytest_asyncio": "pytest-asyncio"}
ASYNC = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
WITH_VALUE = ("--coverage", "--coverage-min")
NO_TESTS = 5
"""The exit code of pytest where it found no test."""

RECORDED = '''"""What really happened, again: `halflap test record` adds a fixture to `fixtures/`."""

from pathlib import Path

import pytest

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
async def test_what_was_recorded_happens_again(run, path):
    await run.fixture(path)
'''


class Test(click.Group):
    """A group that runs the tests where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take everything as a call of `run`, unless it names a command or asks for help."""
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            at = args.index("--") if "--" in args else len(args)
            before, after = _one_by_one(args[:at]), args[at + 1 :]
            if before and before[-1] in WITH_VALUE:
                ctx.fail(f"{before[-1]} needs a value")
            places = [each for each in before if not each.startswith("--coverage")]
            if len(places) > 1 or any(each.startswith("-") for each in places):
                ctx.fail("pytest's own arguments come after --: halflap test [PATH] -- -x -k name")
            options = [each for each in before if each not in places]
            args = ["run", *options, *(f"--path={each}" for each in places), "--", *after]
        return super().parse_args(ctx, args)


def _one_by_one(args: list[str]) -> list[str]:
    """Arguments with `--coverage FILE` as `--coverage=FILE`, so that each can be looked at alone."""
    found: list[str] = []
    for each in args:
        if found and found[-1] in WITH_VALUE:
            found[-1] += f"={each}"
        else:
            found.append(each)
    return found


@click.group("test", cls=Test, subcommand_metavar="[PATH] [-- PYTEST ARGUMENTS]")
def test() -> None:
    """Run a project's tests, with no network.

    `halflap test` runs all of the project's tests, `halflap test tests/test_orders.py` those of one
    file, and `halflap test -- -k name -x` hands the rest to pytest. `halflap test record` makes a
    test of an execution.

    At the end it says how much of each YAML document was run. `--coverage-min N` fails where less
    than N % of one was, and `--coverage FILE` writes what was run as JSON.
    """


@test.command("run", hidden=True)
@click.option("--path", "place", type=click.Path(exists=True, path_type=Path))
@click.option("--coverage", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--coverage-min", "least", type=click.IntRange(0, 100))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(
    place: Path | None, coverage: Path | None, least: int | None, arguments: tuple[str, ...]
) -> None:
    """Run tests by pytest."""
    asked = [] if coverage is None else [f"--halflap-coverage={coverage.resolve()}"]
    asked += [] if least is None else [f"--halflap-coverage-min={least}"]
    sys.exit(run_tests(place, (*asked, *arguments)))


@test.command("record")
@click.argument("execution", default="last")
@click.option("--name", help="The test's name; the flow's and the execution's otherwise.")
@click.option("--force", is_flag=True, help="Replace a test of that name.")
@speaks()
async def record(
    api: Client, output: Output, execution: str, name: str | None, force: bool
) -> None:
    """Make a test of an execution (the last one, where none is named).

    Of an integration in YAML it is a test in the document, which is run at once. Of one in Python it
    is a fixture, with the event, the config, the steps and the outcome; tests/test_recorded.py runs
    all fixtures. What is named as a secret is redacted; look it over before you commit it.
    """
    check_installed()
    project = Project.read()
    found, config = await fetch(api, execution)
    entry = project.integration(found["integration"])
    if entry.is_document:
        file = project.root / entry.file
        customer = await fetch_customer(api, found)
        await record_in_document(api, output, file, found, config, customer, name, force)
        return
    from halflap.testing import make_fixture  # it imports pytest, which is not always installed

    id: str = found["id"]
    fixture = make_fixture(found, config=config)
    written = write(project, fixture, name or f"{fixture['flow']}-{id[-8:]}", force=force)
    if output.emitted({"execution": id, "path": str(written.path)}):
        return
    output.line("Recorded ", id, " as ", (str(written.path.relative_to(project.root)), "bold"))
    if written.lacks:
        output.line("Add to tests/test_recorded.py: ", (written.lacks, "bold"))
    output.line("Look it over before you commit it, then run it: ", ("halflap test", "bold"))


async def record_in_document(
    api: Client,
    output: Output,
    file: Path,
    found: Mapping[str, Any],
    config: Mapping[str, Any],
    customer: Mapping[str, Any],
    name: str | None,
    force: bool,
) -> None:
    """Add a test to a document, which passes as it is written."""
    from halflap.testing.record import record_test

    since = await changed_since(api, file, found)
    try:
        made = await record_test(
            file, found, config=config, customer=customer, name=name, replace=force
        )
    except DefinitionError as error:
        why = f"{error.message}; {since}" if since else error.message
        raise DefinitionError(f"{found['id']}: {why}. {file.name} is as it was") from error
    finally:
        close_runner()
    file.write_bytes(made.content)
    if output.json:
        said = {"execution": found["id"], "path": str(file), "line": made.line, "test": made.name}
        output.emit({**said, "left_out": list(made.left_out), "changed": since})
        return
    output.line(
        "Recorded ", found["id"], " in ", (f"{file.name}:{made.line}", "bold"), ": it passes"
    )
    if made.left_out:
        output.line("Left out, as it differs each time: ", ", ".join(made.left_out))
    if since:
        output.line(f"Mind: {since}; what is tested is the document as it is")
    output.line("Look it over before you commit it: ", (f"halflap test {file.name}", "bold"))


async def changed_since(api: Client, file: Path, found: Mapping[str, Any]) -> str:
    """Return the note about a document that an execution did not run; empty where it did."""
    version = found["version"]
    where = ("integrations", found["integration"], "versions", version["hash"], "bundle")
    bundle = Bundle.from_bytes(await api.bytes(*where))
    if dict(bundle.files).get(bundle.document or "") == file.read_bytes():
        return ""
    return f"it ran version {version['number']}, and {file.name} is not as it was then"


@dataclass(frozen=True, slots=True)
class WrittenFixture:
    """A fixture that was written, and the import that its test lacks."""

    path: Path
    lacks: str


def run_tests(place: Path | None, arguments: tuple[str, ...]) -> int:
    """Run a project's tests in a process of their own; pytest's exit code."""
    root = find_root(place or Path.cwd())
    check_installed()
    chosen = [str(place.resolve())] if place is not None and place.resolve() != root else []
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    code = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", *ASYNC, *chosen, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        check=False,
    ).returncode
    if code == NO_TESTS:
        click.echo(
            "There is no test here yet. One of what really happened: halflap test record last"
        )
    return code


def check_installed() -> None:
    """Make sure that pytest is here."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"tests are run by pytest, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed here: "
            f"{sys.executable} -m pip install {' '.join(missing)}"
        )


async def fetch(api: Client, execution: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An execution that has ended, and the config of its instance; a shared endpoint's has none."""
    found = await api.get(dict[str, Any], "executions", execution)
    if found["state"] not in ENDED:
        raise ConfigError(f"{found['id']} is {found['state']}; wait until it has ended")
    if found["customer"].startswith("$"):
        return found, {}
    instance = await api.get(InstanceView, "instances", found["instance"])
    return found, instance.config


async def fetch_customer(api: Client, found: Mapping[str, Any]) -> dict[str, Any]:
    """The customer of an execution; a shared endpoint has none."""
    customer: str = found["customer"]
    return {} if customer.startswith("$") else await api.get(dict[str, Any], "customers", customer)


def write(
    project: Project, fixture: Mapping[str, Any], name: str, *, force: bool
) -> WrittenFixture:
    """Write a fixture, and the test that runs all of them where it is missing."""
    entry = project.integration(fixture["integration"])
    folder = project.root / "tests" / "fixtures"
    file = folder / f"{name}.json"
    if Path(name).name != name:
        raise ConfigError(f"{name!r} is no name of a file; give one without folders")
    if file.exists() and not force:
        raise ConfigError(f"{file} is there already; give another --name, or replace it by --force")
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(codec.encode(dict(fixture)), indent=2)
    file.write_bytes(text + b"\n")
    runner = project.root / "tests" / "test_recorded.py"
    imported = f"import {entry.entry.partition(':')[0]}  # noqa: F401 (its flows are found by name)"
    if not runner.exists():
        head, _, rest = RECORDED.partition("\nFIXTURES")
        runner.write_text(f"{head}\n{imported}\n\nFIXTURES{rest}", encoding="utf-8")
        return WrittenFixture(file, "")
    known = imported.partition("  #")[0] in runner.read_text(encoding="utf-8")
    return WrittenFixture(file, "" if known else imported.partition("  #")[0])
