import io
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from halflap.cli.control import clean
from halflap.cli.output import Output, ago, in_own_words, took
from tests.cases import for_each


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@for_each(
    ("seconds", "said"),
    [(0.5, "now"), (12, "12 s ago"), (-30, "in 30 s"), (300, "5 min ago"), (10_800, "3 h ago")],
)
def test_times_are_told_as_people_tell_them(seconds, said):
    at = (NOW - timedelta(seconds=seconds)).isoformat()
    assert ago(at, NOW) == said


def test_what_is_long_ago_is_told_by_its_date():
    assert "2024" in ago("2024-02-01T00:00:00Z", NOW)
    assert ago(None) == ""


def test_durations_are_short():
    assert took(Decimal("4.25")) == "4.2 ms"
    assert took(None) == ""


def test_control_characters_are_shown_not_obeyed():
    assert clean("a\x1b[31mb\x9b\u202ec\td\n") == "a\\x1b[31mb\\x9b\\u202ec\td\n"


def test_a_table_that_is_piped_cuts_nothing(capsys):
    long = "x" * 300
    Output().table(("id", "why"), [("exe_1", long)], "none")
    head, row = capsys.readouterr().out.splitlines()
    assert head == "id     why"
    assert row == f"exe_1  {long}"


def test_a_terminal_cuts_text_and_never_an_id(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    id = "exe_01m887e68sf16r55r5k6rx8nnb"
    Output().table(("id", "why"), [(id, "word " * 40)], "none")
    row = terminal.getvalue().splitlines()[1]
    assert id in row
    assert "…" in row


@pytest.mark.parametrize(("columns", "shown"), [("60", True), ("20", False)])
def test_a_column_that_matters_less_is_left_out_of_a_narrow_terminal(monkeypatch, columns, shown):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    Output().table(("id", "flow", "why?"), [("exe_1", "stock", "because")], "none")
    assert "stock" in terminal.getvalue()
    assert ("because" in terminal.getvalue()) is shown


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch, no_color, coloured):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    Output().line(("red", "red"))
    assert ("\x1b[31m" in terminal.getvalue()) is coloured


def test_json_keeps_every_digit_on_one_line(capsys):
    Output(json=True).emit({"price": Decimal("1.10"), "note": "a\nb"})
    assert capsys.readouterr().out == '{"price":1.10,"note":"a\\nb"}\n'


def test_every_line_of_a_list_is_json(capsys):
    Output(json=True).emit_all([{"a": 1}, {"a": 2}])
    assert [json.loads(line)["a"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


@for_each(
    ("said", "shown"),
    [
        ("say `again: true`, or `repeat: true`", "say --again, or --repeat"),
        ("with `done: RESULT` (`step: PATH`)", "with --done RESULT (--step PATH)"),
        ("on its own version (`version: same`)", "on its own version (--version same)"),
        ("at character 3 of `again`, `status: 3`", "at character 3 of `again`, `status: 3`"),
    ],
)
def test_a_messages_fields_of_a_request_are_shown_as_options(said: str, shown: str) -> None:
    assert in_own_words(said) == shown
