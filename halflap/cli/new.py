"""`halflap new`: begin an integration or a component with something that works."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import click

import halflap
from halflap.cli.group import CommandGroup
from halflap.errors import ConfigError
from halflap.sdk import registry

INTEGRATION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
COMPONENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SUFFIX = ".tmpl"
EXAMPLES = "examples"
FOLDERS = {
    "integration": ("project", "integration"),
    "document": ("project", "document"),
    "component": ("component",),
    "specified": ("component",),
}
"""The folders of templates that each kind is made of."""

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="The folder to make it in; NAME, where it is not given.",
)


@click.group("new", cls=CommandGroup)
def new() -> None:
    """Begin an integration or a component, or take the example of one."""


@new.command("integration")
@click.argument("name")
@directory_option
@click.option("--yaml", "in_yaml", is_flag=True, help="As a YAML document, without Python.")
def new_integration(name: str, directory: Path | None, in_yaml: bool) -> None:
    """Begin an integration: a webhook that works at once, with its tests."""
    if not INTEGRATION.fullmatch(name):
        raise ConfigError(
            f"an integration's name is lower-case words joined by hyphens, such as "
            f"{suggested(name, '-')}, not {name!r}"
        )
    module = checked_module(name.replace("-", "_"))
    begin("document" if in_yaml else "integration", name, module, directory or Path(name))
    step("halflap dev", "run it; change it while it runs")
    step("halflap test", "run its tests, with no network")


@new.command("component")
@click.argument("name")
@directory_option
@click.option(
    "--openapi", "source", metavar="FILE|URL", help="Declare it from this OpenAPI document."
)
@click.option("--list", "lists", is_flag=True, help="List the document's operations, and end.")
@click.option(
    "--operations",
    metavar="IDS",
    help="The operations by their ids, separated by commas; * for any part, GET:/path* by paths.",
)
@click.option(
    "--depth",
    type=click.IntRange(0, 6),
    default=2,
    show_default=True,
    help="The references down to which answers are typed.",
)
@click.option("--base-url", metavar="URL", help="The API's address, instead of the document's.")
@click.option(
    "--sign-in",
    metavar="WAY",
    help="bearer, basic, oauth2, none, header:NAME or query:NAME, instead of the document's.",
)
@click.option(
    "--idempotency-header", metavar="NAME", help="The header that names a repeated request."
)
@click.option("--licence", metavar="NAME", help="The document's licence, instead of what it says.")
@click.option("--yes", is_flag=True, help="Ask nothing: take what the document says.")
def new_component(
    name: str,
    directory: Path | None,
    source: str | None,
    yes: bool,
    lists: bool,
    **options: Any,
) -> None:
    """Begin a component: a connection, two actions and a trigger, with their tests.

    With --openapi, its actions are declared from a vendor's document, which is trimmed to the operations
    chosen; what it does not say is asked for. Example: halflap new component crm --openapi crm.yaml
    """
    if not COMPONENT.fullmatch(name):
        raise ConfigError(
            f"a component's name is lower-case words joined by underscores, such as "
            f"{suggested(name, '_')}, not {name!r}"
        )
    if name in registry.names():
        raise ConfigError(f"a component {name!r} is installed already; choose another name")
    module = checked_module(name)
    if source is not None:
        from halflap.cli.openapi.asking import declare_component  # it is large, and rare

        made = declare_component(name, module, source, lists=lists, ask=not yes, **options)
        if made is None:
            return
        begin("specified", name, module, directory or Path(name), *made)
        step("halflap types", "write the types of its actions for editors")
    else:
        begin("component", name, module, directory or Path(name))
    step("halflap test", "run its tests, with no network")
    step("pip install --editable .", f"then an integration says: import {module}")


@new.command("acme")
@directory_option
def new_acme(directory: Path | None) -> None:
    """Write acme.py: the component of the sandbox app Acme, by which the docs show what to do."""
    copy_examples(directory or Path(), "acme.py")
    click.echo("Next:")
    step("halflap sandbox acme", "run the app; it prints the lines for your .env")


@new.command("salesforce-acme")
@directory_option
def new_salesforce_acme(directory: Path | None) -> None:
    """Write the two-way example, Salesforce ⇄ Acme, in YAML, with its tests and acme.py."""
    folder = directory or Path("salesforce-acme")
    copy_examples(folder, "acme.py", "salesforce_acme.yaml")
    click.echo("Next:")
    step("cd", shown(folder), skip=folder.resolve() == Path.cwd())
    step("halflap deploy", "publish it to the server of this folder")
    step("halflap test", "run its tests, with no network")


def copy_examples(folder: Path, *names: str) -> None:
    """Copy files of the examples into a folder, and say which."""
    shipped, here = Path(__file__).parent / "demo", Path(__file__).parents[2]
    # In a wheel the examples lie beside the demo.
    root = next(each for each in (shipped, here) if (each / EXAMPLES / names[0]).is_file())
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise ConfigError(f"{folder / there[0]} is there already, and nothing is overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes((root / EXAMPLES / name).read_bytes())
    told(folder, list(names))


OF_COMPONENT = {
    "parts": "actions, a trigger and a connection",
    "more": "## Connection\nAn API key, from the settings of the app.",
    "keys": "none; what may have been done is not done again",
    "proven": "  - nothing but its own tests yet",
    "missing": '  - "subscribe and unsubscribe: the webhook is entered at the app by hand"',
}


def begin(
    kind: str,
    name: str,
    module: str,
    folder: Path,
    files: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> None:
    """Write the files, say which, and where to go on. `files` are instead of the kind's sources."""
    values = {"name": name, "file": f"{module}.py", **OF_COMPONENT, **words(name, module)}
    written = write(kind, folder, module, values | dict(more or {}), files)
    told(folder, written)
    click.echo("Next:")
    step("cd", shown(folder), skip=folder.resolve() == Path.cwd())


def words(name: str, module: str) -> dict[str, str]:
    """Return the words that the templates are filled with."""
    spoken = re.sub(r"[-_]", " ", name)
    return {
        "module": module,
        "title": spoken[0].upper() + spoken[1:],
        "class": "".join(each.capitalize() for each in spoken.split()),
        "initial": spoken[0].upper(),
        "dashed": name.replace("_", "-"),
        "version": ".".join(halflap.__version__.split(".")[:2]),
    }


def checked_module(module: str) -> str:
    """The name of the module to make, where Python and Halflap can import it."""
    taken = None
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        taken = "a word of Python"
    elif module in sys.stdlib_module_names:
        taken = "a module of Python's standard library"
    elif module == "halflap":
        taken = "Halflap's own"
    elif module in ("tests", "test", "conftest") or module.startswith("test_"):
        taken = "what tests are called, and those are not deployed"
    if taken is not None:
        raise ConfigError(f"{module!r} is {taken}; choose another name, such as {module}-sync")
    return module


def write(
    kind: str,
    folder: Path,
    module: str,
    values: dict[str, str],
    files_instead: Mapping[str, str] | None = None,
) -> list[str]:
    """Fill in the templates of a kind; where a file is there already, nothing is written."""
    made: dict[str, str] = {}
    top = files("halflap") / "cli" / "templates"
    for path, template in (each for folder in FOLDERS[kind] for each in templates(top / folder)):
        name = path.removesuffix(SUFFIX).replace("NAME", module).replace("dot-", ".")
        text = template.read_text(encoding="utf-8")
        if files_instead is None or not name.endswith(".py"):
            made[name] = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)
    made |= files_instead or {}
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder with --dir")
    there = [name for name in made if (folder / name).exists()]
    if there:
        raise ConfigError(
            f"{folder / there[0]} is there already, and nothing is overwritten; choose another name, "
            "or another folder with --dir"
        )
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(made)


def templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """The templates below a folder of this package."""
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from templates(each, f"{prefix}{each.name}/")
        elif each.name.endswith(SUFFIX):
            yield prefix + each.name, each


def told(folder: Path, written: list[str]) -> None:
    """Say what was written."""
    click.echo(f"Made {shown(folder)}:")
    for name in written:
        click.echo(f"  {name}")
    click.echo()


def step(command: str, what: str, *, skip: bool = False) -> None:
    """One line of what to do next."""
    if skip:
        return
    if command == "cd":
        click.echo("  " + click.style(f"cd {what}", bold=True))
        return
    click.echo("  " + click.style(command, bold=True) + " " * max(26 - len(command), 2) + what)


def shown(folder: Path) -> str:
    """A folder as a shell takes it, from here where it lies below."""
    path = folder.resolve()
    text = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return f"'{text}'" if " " in text else text


def suggested(name: str, joint: str) -> str:
    """A name that would do, near to what was given."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", joint, name).lower()
    made = re.sub(r"[^a-z0-9]+", joint, split).strip(joint).lstrip("0123456789-_")
    return made or f"order{joint}sync"
