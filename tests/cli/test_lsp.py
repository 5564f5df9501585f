"""The language server, as an editor meets it: a process that is spoken to over its pipes."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from halflap.cli import main
from halflap.lowcode.lint.describing import describe_components, store_components
from tests.cases import for_each
from tests.cli.editor import Editor, Page

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = """\
name: tried
config:
  Connect:
    acme: {connection: acme}
  Options:
    limit: {type: integer, default: 3}
flows:
  main:
    title: The Main One
    trigger: webhook.request
    with: {signature: github}
    steps:
      - log: "=config.limit & event.x"
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text("")
    guard = "import os\nif 'DESCRIBES' not in os.environ:\n    raise RuntimeError('an editor runs it')\n"
    files = {"acme.py": f"{(EXAMPLES / 'acme.py').read_text()}\n{guard}"}
    (folder / "acme.py").write_text(files["acme.py"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DESCRIBES", "1")
        described = describe_components(folder, files)
    store_components(folder / ".halflap" / "components.json", files, described)
    started = Editor(folder)
    started.begin()
    yield started
    assert started.end() == 0
    assert b"Traceback" not in b"".join(started.errors)


@pytest.fixture
def page(editor: Editor, request: pytest.FixtureRequest) -> Iterator[Page]:
    opened = editor.open(f"{abs(hash(request.node.name))}.yaml", HEAD)
    yield opened
    opened.close()


# Findings -------------------------------------------------------------------------------------


def test_a_sound_document_has_no_findings(page: Page) -> None:
    assert page.findings() == []


def test_what_is_typed_wrong_is_underlined_and_mended_text_is_not(page: Page) -> None:
    page.change(f"{HEAD}      - log: =evnt.x\n")

    [found] = page.findings()
    assert (found["code"], found["severity"], found["source"]) == ("HF105", 1, "halflap")
    assert page.within(found["range"]) == "evnt.x"

    page.change(f"{HEAD}      - log: =event.x\n")
    assert page.findings() == []


def test_a_warning_is_one_and_what_is_unused_is_shown_as_such(page: Page) -> None:
    page.change(f"{HEAD}      - {{id: gone, action: acme.get_account, with: {{id: a}}}}\n")

    [found] = page.findings()
    assert (found["code"], found["severity"], found["tags"]) == ("HF111", 2, [1])


def test_places_are_counted_in_utf_16(page: Page) -> None:
    page.change(f'{HEAD}      - log: ="🎉🎉 é" & evnt.x\n')

    [found] = page.findings()
    assert page.within(found["range"]) == "evnt.x"


def test_lines_are_counted_as_editors_do_where_yaml_counts_otherwise(page: Page) -> None:
    page.change(f'{HEAD}      - log: "a\u2028  b"\n      - log: =evnt.x\n')

    [found] = page.findings()
    assert page.within(found["range"]) == "evnt.x"


def test_typing_without_pause_is_linted_once_it_ends(page: Page) -> None:
    page.findings()
    for at in range(20):
        page.change(f"{HEAD}      - log: =evnt.x{at}\n")

    assert [each["code"] for each in page.findings()] == ["HF105"]
    assert len(page.editor.aside("textDocument/publishDiagnostics", page.uri)) <= 2


def test_other_yaml_is_left_alone(editor: Editor) -> None:
    page = editor.open("workflow.yaml", "name: CI\non: push\njobs:\n  test: {runs-on: x}\n")

    assert page.findings() == []
    assert page.completed("runs-on: ") == []
    page.close()


def test_a_closed_document_has_no_findings_and_opens_again(editor: Editor) -> None:
    text = f"{HEAD}      - log: =evnt.x\n"
    page = editor.open("again.yaml", text)
    assert page.findings()

    page.close()
    told = editor.notified("textDocument/publishDiagnostics", uri=page.uri)
    assert told["diagnostics"] == []

    page = editor.open("again.yaml", text)
    assert len(page.findings()) == 1
    page.close()


@for_each(
    "text",
    [
        "",
        "\x00",
        "[" * 5_000,
        "a: &a [*a]\n",
        "flows: " + "{a: " * 300,
        "\t\n- \n: :\n",
        "=",
        "flows:\n- x",
    ],
)
def test_no_text_is_too_broken_for_an_answer(page: Page, text: str) -> None:
    page.change(text)

    page.findings()
    last = text.split("\n")[-1]
    place = {"line": text.count("\n"), "character": len(last)}
    params = {"textDocument": {"uri": page.uri}, "position": place}
    for method in ("completion", "hover", "definition", "documentSymbol"):
        answer = page.editor.answer(page.editor.request(f"textDocument/{method}", params))
        assert "error" not in answer, answer


# Completion -----------------------------------------------------------------------------------


def typed(page: Page, text: str, mark: str | None = None) -> list[str]:
    """Return the completions at the end of what was typed; with a mark, at the mark."""
    before, _, after = text.partition("«")
    page.change(HEAD + before + after)
    return page.completed(HEAD + before)


def test_kinds_of_steps_are_offered_where_one_begins(page: Page) -> None:
    assert typed(page, "      - ")[:3] == ["action", "break", "call"]
    assert "action" in typed(page, "      - ac")


def test_a_step_completes_its_own_keys_that_it_lacks(page: Page) -> None:
    offered = typed(page, "      - action: acme.find_account\n        «\n      - log: x\n")

    assert {"id", "with", "retry", "on_failure"} <= {*offered}
    assert not {"action", "then", "collect"} & {*offered}


def test_actions_and_triggers_are_offered_by_name(page: Page) -> None:
    assert "acme.find_account" in typed(page, "      - action: acme.«\n      - log: =x[\n")
    offered = typed(page, "  other:\n    trigger: «")
    assert {"webhook.request", "acme.stock_changed"} <= {*offered}
    assert "acme.find_account" not in offered


def test_inputs_are_offered_those_that_are_needed_first(page: Page) -> None:
    offered = typed(
        page, "      - action: salesforce.update_record\n        with: {object: Account, «}\n"
    )

    assert offered == ["fields", "id"]


def test_choices_of_an_input_and_of_a_key_are_offered(page: Page) -> None:
    assert typed(page, "      - state: ") == ["delete", "get", "put"]
    assert "fifo" in typed(page, "  other:\n    order: ")
    assert "GET" in typed(page, "      - action: http.request\n        with: {method: «")


def test_names_in_scope_and_functions_are_offered_in_an_expression(page: Page) -> None:
    offered = typed(page, "      - {id: found, action: acme.get_account}\n      - log: =«")

    assert offered.index("found") < offered.index("urls")
    assert {"event", "config", "$round", "$map"} <= {*offered}
    assert "later" not in typed(
        page, "      - log: =«\n      - {id: later, action: acme.get_account}\n"
    )


def test_fields_of_what_is_known_are_offered_after_a_dot(page: Page) -> None:
    step = "      - {id: user, action: salesforce.get_current_user}\n"

    assert {"user_id", "name"} <= {*typed(page, f"{step}      - log: =user.«")}
    assert {"user_id", "name"} <= {*typed(page, f'{step}      - log: "=user.na«\n      - log: x\n')}
    assert typed(page, "      - log: =config.") == ["acme", "limit"]
    assert typed(page, "      - log: =urls.") == ["main"]


@for_each(
    "text",
    [
        "=stock[0].«",
        "'=stock[quantity > 1].«'",
        "'=stock[«]'",
        "'=(stock).«'",
        '"=$map(stock, function($v) { $v.«',
        "'=stock ~> $map(function($v) { $v.it« })'",
        "'=$filter(stock, function($s) { $s.quantity > 1 }).«'",
        "'=$sort(stock, function($a, $b) { $a.quantity > $b.« })'",
        "'=($x := stock[0]; $x.«'",
        "'=stock.{\"a\": it«'",
        "'=stock.(qu«'",
        "'=event.x ? stock[0].« : 1'",
        "'=$sum(stock.«'",
    ],
)
def test_fields_are_offered_of_what_an_expression_gives_before_the_cursor(
    page: Page, text: str
) -> None:
    step = "      - {id: stock, action: acme.list_stock}\n"
    assert {"item", "quantity"} <= {*typed(page, f"{step}      - log: {text}")}


def test_names_of_the_expression_and_variables_are_offered(page: Page) -> None:
    step = "      - {id: stock, action: acme.list_stock}\n"
    offered = typed(page, f'{step}      - log: "=$map(stock, function($line) {{ $«')
    assert {"$line", "$round"} <= {*offered}
    assert typed(page, "      - set: {total: 1}\n      - set: {«") == ["total"]


def test_flows_are_offered_to_be_called(page: Page) -> None:
    assert typed(page, "      - call: ") == ["main"]


def test_an_empty_document_begins_with_its_keys(page: Page) -> None:
    page.change("")
    assert {"name", "flows"} <= {*page.completed("")}


def test_what_is_offered_takes_the_place_of_what_was_typed(page: Page) -> None:
    page.change(f'{HEAD}      - log: ="🎉" & eve')
    items = page.ask("completion", '"🎉" & eve')["items"]

    edit = next(each["textEdit"] for each in items if each["label"] == "event")
    assert page.within(edit["range"]) == "eve"
    assert edit["newText"] == "event"


# Help, and where things are -------------------------------------------------------------------


def help_at(page: Page, text: str) -> str:
    found = page.ask("hover", text)
    return "" if found is None else found["contents"]["value"]


def test_a_word_is_explained(page: Page) -> None:
    page.change(
        HEAD
        + "      - {id: user, action: salesforce.get_current_user, retry: 3}\n"
        + "      - log: =$uppercase(user.name)\n"
        + "      - action: acme.create_account\n        with: {external_id: a, name: b}\n"
        + "      - call: main\n"
    )

    assert "Result: an object with user_id" in help_at(page, "salesforce.get_cur")
    assert "The tries of a failed step" in help_at(page, "retry")
    assert "capital" in help_at(page, "$upper")
    assert help_at(page, "user.na") == "`user.name`: a text"
    assert help_at(page, "id: us").startswith("`user`: an object with user_id")
    assert "external_id" in help_at(page, "acme.create_acc")
    assert "The Main One" in help_at(page, "call: ma")


def test_what_an_expression_gives_is_explained(page: Page) -> None:
    page.change(
        f"{HEAD}      - {{id: stock, action: acme.list_stock}}\n"
        + '      - log: "=$map(stock, function($line) { $line.quantity })"\n'
        + "      - log: '=(stock)[0].item'\n"
    )

    assert help_at(page, "$line.quan") == "`quantity`: a whole number"
    assert help_at(page, "{ $li").startswith("`$line`: an object with item, quantity")
    assert help_at(page, "[0].it") == "`item`: a text"


def test_an_id_a_flow_and_a_field_are_found_where_they_are_given(page: Page) -> None:
    page.change(
        HEAD
        + "      - {id: found, action: acme.get_account, with: {id: a}}\n"
        + "      - log: =found.name & urls.main & config.limit\n"
        + "      - call: main\n"
    )

    for text, given in [
        ("=fou", "found"),
        ("urls.ma", "main"),
        ("& config.lim", "limit"),
        ("call: ma", "main"),
    ]:
        place = page.ask("definition", text)
        assert place["uri"] == page.uri
        assert page.within(place["range"]) == given, text


def test_an_action_of_the_project_is_found_in_its_source(page: Page) -> None:
    page.change(f"{HEAD}      - action: acme.find_account\n")

    place = page.ask("definition", "acme.find_acc")

    assert place["uri"].endswith("/acme.py")
    line = (EXAMPLES / "acme.py").read_text().splitlines()[place["range"]["start"]["line"]]
    assert "async def find_account" in line


def test_the_outline_has_flows_with_their_steps_also_of_half_a_document(page: Page) -> None:
    page.change(
        f"{HEAD}      - if: =event.x\n        then:\n          - title: Say So\n            log: =eve[\n"
    )

    found = page.editor.ask("textDocument/documentSymbol", {"textDocument": {"uri": page.uri}})

    [flow] = [each for each in found if each["name"] == "main"]
    assert [each["name"] for each in flow["children"]][1:] == ["if =event.x"]
    assert [each["name"] for each in flow["children"][1]["children"]] == ["Say So"]
    for each in found:
        assert each["range"]["start"] == each["selectionRange"]["start"]


# A server that an editor can live with --------------------------------------------------------


def long(steps: int) -> str:
    inputs = "{external_id: =event.id, name: =event.name}"
    step = f"      - action: acme.create_account\n        with: {inputs}\n"
    return HEAD + step * steps


def test_a_large_document_is_linted_while_the_server_answers(page: Page) -> None:
    page.change(long(3_000))

    assert "event" in page.completed("with: {external_id: =")
    assert page.findings() == []


def test_a_request_can_be_cancelled_and_the_next_is_answered(page: Page) -> None:
    page.change(long(2_000))
    id = page.editor.cancelled("textDocument/completion", page.at("with: {external_id: ="))

    assert page.editor.answer(id)["error"]["code"] == -32800
    page.change(HEAD)
    assert "event" in page.completed('"=')


def test_the_server_says_what_it_can(tmp_path: Path) -> None:
    editor = Editor(tmp_path)
    offered = editor.begin()["capabilities"]
    assert offered["positionEncoding"] == "utf-16"
    assert offered["textDocumentSync"]["change"] == 1
    for each in ("completion", "hover", "definition", "documentSymbol", "codeAction", "rename"):
        assert offered[f"{each}Provider"]
    assert editor.gone() == 0


def test_the_settings_that_the_docs_show_start_it() -> None:
    page = (EXAMPLES.parent / "docs" / "low-code" / "editors.md").read_text()
    shown = dict(re.findall(r"```(lua|toml|json)\n(.*?)```", page, re.DOTALL))

    helix = tomllib.loads(shown["toml"])["language-server"]["halflap"]
    code = json.loads(shown["json"])
    neovim = re.search(r'cmd = \{ "(\w+)", "(\w+)" \}', shown["lua"])
    assert neovim is not None
    for pair in ("()", "{}"):
        assert shown["lua"].count(pair[0]) == shown["lua"].count(pair[1])
    for command, arguments in (
        (helix["command"], helix["args"]),
        (code["glspc.server.command"], code["glspc.server.commandArguments"]),
        (neovim[1], [neovim[2]]),
    ):
        assert command == "halflap"
        assert arguments[0] in main.list_commands(click.Context(main))


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("halflap.cli.lsp")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pygls", "lsprotocol"):
        monkeypatch.setitem(sys.modules, name, None)

    ended = CliRunner().invoke(main, ["lsp"])

    assert ended.exit_code != 0
    assert "pip install 'halflap[lsp]'" in ended.output


# Mending, and renaming ------------------------------------------------------------------------


def actions(page: Page, text: str) -> list[dict[str, Any]]:
    place = page.at(text)
    params = {
        "textDocument": place["textDocument"],
        "range": {"start": place["position"], "end": place["position"]},
        "context": {"diagnostics": []},
    }
    return page.editor.ask("textDocument/codeAction", params)


def edited(page: Page, edits: list[dict[str, Any]]) -> str:
    """The text after edits, each of one line."""
    lines = page.text.split("\n")
    for each in sorted(edits, key=lambda it: it["range"]["start"]["character"], reverse=True):
        at = each["range"]["start"]["line"]
        units = lines[at].encode("utf-16-le")
        start, end = each["range"]["start"]["character"], each["range"]["end"]["character"]
        changed = units[: 2 * start] + each["newText"].encode("utf-16-le") + units[2 * end :]
        lines[at] = changed.decode("utf-16-le")
    return "\n".join(lines)


@for_each(
    ("wrong", "at", "right", "title"),
    [
        ("      - log: =evnt.x\n", "=ev", "      - log: =event.x\n", "Write event"),
        ("      - call: mian\n", "call: mi", "      - call: main\n", "Write main"),
        ('      - log: ="🎉" & config.limt\n', "& config", '      - log: ="🎉" & config.limit\n',
         "Write limit"),
        ("      - {log: =event.x[0]}\n", "x[0", '      - {log: "=event.x[0]"}\n',
         "Quote the whole expression"),
        ('      - log: ="🎉: " & event.x\n', '" & ev', "      - log: '=\"🎉: \" & event.x'\n",
         "Quote the whole expression"),
    ],
)  # fmt: skip
def test_a_finding_is_mended_at_a_click(
    page: Page, wrong: str, at: str, right: str, title: str
) -> None:
    page.change(HEAD + wrong)
    page.findings()

    found = actions(page, at)[0]

    assert found["kind"] == "quickfix"
    assert found["diagnostics"][0]["source"] == "halflap"
    assert found["title"] == title
    assert edited(page, found["edit"]["changes"][page.uri]) == HEAD + right


def test_where_nothing_is_wrong_there_is_nothing_to_mend(page: Page) -> None:
    page.change(f"{HEAD}      - log: =evnt.x\n      - log: =event.x\n")
    assert actions(page, "=event.x") == []


NAMED = f"""{HEAD}      - {{id: found, action: acme.get_account, with: {{id: a}}}} # found
      - set: {{other: =found.id}}
      - for: each
        in: =event.found
        do:
          - log: ="🎉 found" & found.name & each & urls.main & other
          - call: main
tests:
  - {{name: it runs, flow: main, event: {{}}}}
"""


def rename(page: Page, at: str, new: str) -> dict[str, Any]:
    params = {**page.at(at), "newName": new}
    return page.editor.answer(page.editor.request("textDocument/rename", params))


@for_each(
    ("at", "old", "places"),
    [
        ("id: fo", "found", ["id: {}", "=?{}.id", "& {}.name"]),
        ("& fo", "found", ["id: {}", "=?{}.id", "& {}.name"]),
        ("set: {ot", "other", ["{{{}: ", "& {}"]),
        ("for: ea", "each", ["for: {}", "& {} "]),
        ("  ma", "main", ["  {}:", "urls.{}", "call: {}", "flow: {}"]),
        ("call: ma", "main", ["  {}:", "urls.{}", "call: {}", "flow: {}"]),
        ("urls.ma", "main", ["  {}:", "urls.{}", "call: {}", "flow: {}"]),
    ],
)
def test_a_name_is_renamed_wherever_it_stands(
    page: Page, at: str, old: str, places: list[str]
) -> None:
    text = NAMED.replace(
        'log: ="🎉 found" & found.name & each & urls.main & other',
        "log: '=\"🎉 found\" & found.name & each & urls.main & other'",
    )
    page.change(text)

    ready = page.ask("prepareRename", at)
    assert page.within(ready) == old
    edits = rename(page, at, "renamed")["result"]["changes"][page.uri]
    refs = page.editor.ask(
        "textDocument/references", {**page.at(at), "context": {"includeDeclaration": True}}
    )

    assert len(edits) == len(refs) == len(places)
    assert {page.within(each["range"]) for each in (*edits, *refs)} == {old}
    changed = edited(page, edits)
    assert changed.count("renamed") == len(places)
    page.change(changed)
    assert [each for each in page.findings() if each["severity"] == 1] == []


def test_a_name_that_is_taken_or_none_is_refused(page: Page) -> None:
    page.change(NAMED.replace('="🎉 found" & ', "="))

    for at, new in (("id: fo", "other"), ("id: fo", "a b"), ("call: ma", "x-y")):
        assert rename(page, at, new)["result"] is None
        assert page.editor.notified("window/showMessage")["message"].endswith(
            (" already", "a name")
        )
    assert rename(page, "acme.get_acc", "x")["result"] is None
