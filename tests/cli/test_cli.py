import json
import os
import subprocess
from importlib import import_module

import click
from click.testing import CliRunner

import halflap
from halflap.cli import SECTIONS, main
from halflap.cli.errors import from_problem, told
from halflap.errors import (
    ConfigError,
    Conflict,
    EgressRefused,
    HalflapError,
    NotFound,
    UpstreamError,
)
from halflap.store import schema
from halflap.store.postgres import schema as postgres_schema
from tests.cases import for_each
from tests.zygote import EXECUTABLE, PYTHON

ENTRIES = {name: entry for part in SECTIONS.values() for name, entry in part.items()}


def commands(command: click.Command, name: str):
    """A command and all below it, by the name that one types."""
    if isinstance(command, click.Group):
        for each, below in command.commands.items():
            yield from commands(below, f"{name} {each}")
    yield name, command


def loaded(name: str) -> click.Command:
    entry = ENTRIES[name]
    return getattr(import_module(f"halflap.cli.{entry.module}"), entry.attribute)


MINE = {
    "customers", "connections", "instances", "executions", "events", "deploy", "serve", "doctor",
    "completion", "version",
}  # fmt: skip


def test_the_list_of_commands_says_what_each_says_of_itself():
    found = {name: loaded(name).get_short_help_str(200) for name in ENTRIES}
    assert found == {name: each.help for name, each in ENTRIES.items()}


def test_every_command_has_a_sentence_and_an_example():
    for full, command in (each for name in MINE for each in commands(loaded(name), name)):
        help = command.help or ""
        assert help.partition("\n")[0].endswith((".", ":")), full
        assert "Example: halflap " in help or full.startswith("completion"), full
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{full} {option.opts}"


def test_help_lists_every_command_and_loads_none():
    said = (
        "import sys; from halflap.cli import main\n"
        "try: main(['--help'], prog_name='halflap')\n"
        "finally: print([each for each in sys.modules if each.startswith('halflap.cli.')])"
    )
    shown = subprocess.run([EXECUTABLE, "-c", said], capture_output=True, text=True, check=True)
    for name in ENTRIES:
        assert f"\n  {name} " in shown.stdout
    assert shown.stdout.rstrip().endswith("['halflap.cli.errors', 'halflap.cli.group']")


def test_a_supervisor_loads_almost_nothing_and_a_server_no_documents_and_no_routes():
    said = (
        "import sys, halflap.cli.serve, halflap.server.supervisor\n"
        "from halflap.cli.reach import settings_here; settings_here()\n"
        "unused = {'halflap.sdk', 'halflap.lowcode', 'asyncio', 'pydantic', 'structlog', 'rich'}\n"
        "print(unused & sys.modules.keys())\n"
        "import halflap.server.process, halflap.cli.output\n"
        "unused = {'fastapi', 'halflap.components.salesforce', 'aiohttp', 'halflap.lowcode.builder'}\n"
        "unused |= {'halflap.api.view', 'halflap.sdk.lint', 'halflap.lowcode.lint', 'ruamel.yaml'}\n"
        "print(unused & sys.modules.keys())"
    )
    shown = subprocess.run([EXECUTABLE, "-c", said], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["set()", "set()"]


@for_each("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell):
    printed = CliRunner().invoke(main, ["completion", shell])
    assert printed.exit_code == 0
    assert "_HALFLAP_COMPLETE" in printed.stdout


@for_each(
    ("words", "found"),
    [("halflap cust", {"customers"}), ("halflap customers re", {"remove", "resume", "retention"})],
)
def test_a_shell_completes_commands(words, found):
    typed = words.split(" ")
    environment = {
        "_HALFLAP_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(typed) - 1),
    }
    program = "from halflap.cli import main; main(prog_name='halflap')"
    done = subprocess.run(
        [PYTHON, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == found


@for_each(
    ("words", "said"),
    [
        (["custmers"], "did you mean customers?"),
        (["zzz"], "see: halflap --help"),
        (["executions", "lst"], "did you mean list?"),
        (["new", "shop"], "there are: acme, component, integration"),
    ],
)
def test_a_wrong_command_is_answered_with_the_nearest_or_with_all(words: list[str], said: str):
    answer = CliRunner().invoke(main, words, prog_name="halflap")
    assert answer.exit_code == 2
    assert said in answer.stderr


def test_version_is_json_for_machines():
    found = json.loads(CliRunner().invoke(main, ["version", "--json"]).stdout)
    assert set(found) == {"halflap", "commit", "python", "sqlite", "schema"}
    assert found["schema"] == {
        "SQLite": len(schema.MIGRATIONS),
        "PostgreSQL": len(postgres_schema.MIGRATIONS),
    }
    text = CliRunner().invoke(main, ["version"]).stdout
    assert text.startswith(f"halflap {halflap.__version__} (Python ")
    assert f"{len(schema.MIGRATIONS)} on SQLite" in text
    assert CliRunner().invoke(main, ["--version"]).stdout == f"halflap {halflap.__version__}\n"


def raises(error: BaseException):
    def run() -> None:
        raise error

    return run


def test_an_error_is_one_message_on_stderr(capsys):
    error = ConfigError("two are wrong: name", fields={"name": "is long", "port": "is no number"})
    assert told(raises(error)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: two are wrong: name\n  port: is no number\n"


def test_what_an_app_said_cannot_move_the_cursor(capsys):
    told(raises(UpstreamError("POST failed", status=500, body="\x1b[2Jgone\r\u202e")))
    said = capsys.readouterr().err
    assert "\\x1b[2Jgone\\x0d\\u202e" in said
    assert "\x1b" not in said


def test_ctrl_c_ends_with_130():
    @click.command()
    def waits() -> None:
        raise KeyboardInterrupt

    assert told(lambda: waits.main([], standalone_mode=False)) == 130


def test_a_question_that_nobody_can_answer_is_told():
    @click.command()
    def asks() -> None:
        told(lambda: click.prompt("Which"))

    assert "nobody to answer it" in CliRunner().invoke(asks, input="").stderr


def test_a_mistake_of_ours_is_told_as_one(capsys):
    assert told(raises(ZeroDivisionError("division by zero"))) == 1
    said = capsys.readouterr().err
    assert "This is a mistake in Halflap" in said
    assert "Traceback" in said


def test_a_reader_that_has_enough_is_no_error():
    program = (
        "from halflap.cli.errors import told\n"
        "def run():\n    while True: print('x' * 1000)\n"
        "raise SystemExit(told(run))"
    )
    with subprocess.Popen(
        [EXECUTABLE, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == b""


@for_each(
    ("problem", "kind"),
    [
        ({"kind": "ConfigError", "detail": "wrong", "fields": {"a": "is b"}}, ConfigError),
        ({"kind": "NotFound", "detail": "none"}, NotFound),
        ({"kind": "Conflict", "detail": "moved on"}, Conflict),
        ({"kind": "Unauthorized", "detail": "no", "upstream": {"status": 401}}, UpstreamError),
        ({"kind": "EgressRefused", "detail": "no"}, EgressRefused),
        ({"kind": "Somewhere", "detail": "else"}, HalflapError),
        ({"kind": "told", "detail": "no class of errors"}, HalflapError),
    ],
)
def test_a_problem_of_the_api_is_the_error_that_it_was(problem, kind):
    assert isinstance(from_problem(422, problem, "http://there"), kind)


def test_a_refused_token_says_where_the_right_one_is():
    problem = {"kind": "TokenRefused", "detail": "Send the token"}
    error = from_problem(401, problem, "https://there")
    assert "https://there refused the token" in error.message
    assert "HALFLAP_TOKEN" in error.message
