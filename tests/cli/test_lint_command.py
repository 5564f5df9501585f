import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli.lint import lint
from halflap.cli.schema import schema

FLOW = """\
import time

from halflap import Config, Context, Integration, webhook

integration = Integration("orders")


@integration.flow(trigger=webhook.request(signature="github"))
async def orders(ctx: Context[Config], event: dict) -> None:
    {line}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def lint_it(line: str, *arguments: str) -> tuple[int, str]:
        Path("orders.py").write_text(FLOW.format(line=line))
        result = CliRunner().invoke(lint, arguments)
        return result.exit_code, result.output

    return lint_it


def test_a_clean_project_ends_with_0(run):
    assert run("ctx.now()") == (0, "no findings in 1 file\n")


def test_findings_are_lines_and_the_exit_code_is_1(run):
    code, output = run("time.time()")
    assert code == 1
    assert output.splitlines()[0].startswith("orders.py:10:5: HF001: time.time() reads")
    assert output.splitlines()[-1] == "1 finding in 1 file"


def test_several_files_are_linted_and_no_others(run, tmp_path):
    for name in ("one", "two", "three"):
        text = "name: a\nflows: {b: {trigger: instance.routed, steps: [{log: =evnt}]}}\n"
        Path(f"{name}.yaml").write_text(text)
    code, output = run("time.time()", "one.yaml", "two.yaml", "one.yaml")
    assert code == 1
    assert [each.partition(":")[0] for each in output.splitlines()] == [
        "one.yaml", "two.yaml", "2 findings in 2 files"
    ]  # fmt: skip
    code, output = run("time.time()", "orders.py", "three.yaml")
    assert output.splitlines()[-1] == "2 findings in 2 files"
    other = tmp_path.parent / f"{tmp_path.name}-other"
    other.mkdir()
    (other / "a.yaml").write_text(text)
    assert "lint one project at a time" in str(
        CliRunner().invoke(lint, ["one.yaml", str(other)]).exception
    )


def test_machines_get_json(run):
    code, output = run("time.time()", "--json")
    (finding,) = json.loads(output)
    assert (code, finding["file"], finding["line"], finding["code"]) == (
        1,
        "orders.py",
        10,
        "HF001",
    )
    assert json.loads(run("ctx.now()", "--json")[1]) == []


def test_nothing_is_run_unless_loading_is_asked_for(run):
    crash = "pass\n\n\nraise ValueError('it ran')"
    assert run(crash)[0] == 0
    code, output = run(crash, "--load")
    assert code == 1
    assert re.match(r"orders\.py:13:1: HF098: .*ValueError: it ran", output)


def test_loading_finds_what_only_the_definition_knows(run):
    assert (
        "HF098"
        in run("pass\n\n\nintegration.flow(trigger=webhook.request(dedupe='x'))", "--load")[1]
    )
    assert run("pass", "--load") == (0, "no findings in 1 file\n")


def test_loading_finds_a_trigger_whose_connection_the_config_lacks(run):
    polled = """pass


from halflap import sqs


@integration.flow(trigger=sqs.message(queue='https://a.example/q'))
async def polled(ctx: Context[Config], event: dict) -> None: ..."""
    assert "is started by sqs.message, which calls sqs, so" in run(polled, "--load")[1]


def test_a_file_is_linted_alone_with_the_others_known(run, tmp_path):
    (tmp_path / "other.py").write_text("def (\n")
    assert run("time.time()", "orders.py")[1].count("HF") == 1
    assert run("time.time()")[1].count("HF") == 2


def test_an_excuse_in_quality_yaml_is_read(run, tmp_path):
    component = (
        "from halflap import Component, Request\ncomponent = Component('shop')\n"
        "@component.trigger()\nasync def made(request: Request) -> dict:\n    '''Made.'''\n"
    )
    (tmp_path / "shop.py").write_text(component)
    status, output = run("pass")
    assert (status, "HF009" in output) == (0, True)  # a warning
    (tmp_path / "quality.yaml").write_text("unsigned:\n  made: the shop signs nothing\n")
    assert "HF009" not in run("pass")[1]


def test_the_rules_can_be_shown(run):
    assert "HF001" in run("pass", "--rules")[1]


DOCUMENT = """\
name: orders-yaml
flows:
  orders:
    trigger: webhook.request
    steps:
      - action: shop.{action}
"""
SHOP = """\
from halflap import Component

component = Component("shop")


@component.action
async def count() -> int:
    '''Count.'''
    return 1
"""


def test_documents_are_linted_with_the_sources_loaded_or_not(run, tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "orders.yaml").write_text(DOCUMENT.format(action="cuont"))
    for arguments in ([], ["--load"]):
        code, output = run("time.time()", *arguments)
        assert code == 1
        assert re.findall(r"^(\S+): (HF\d+)", output, re.MULTILINE) == [
            ("orders.py:10:5", "HF001"),
            ("orders.yaml:4:14", "HF114"),
            ("orders.yaml:6:17", "HF102"),
        ]
        assert output.endswith("3 findings in 3 files\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfen\x00a\x00", "some.yaml:1:1: HF100: this byte is not UTF-8"),
        (b"naem: x\n", "some.yaml:1:1: HF101: "),
        (b"", "some.yaml:1:1: HF101: "),
    ],
)
def test_a_document_that_is_named_is_linted_whatever_it_looks_like(run, tmp_path, content, said):
    (tmp_path / "some.yaml").write_bytes(content)
    code, output = run("pass", "some.yaml")
    assert code == 1
    assert output.startswith(said)
    assert output.rstrip().endswith("in 1 file")
    assert run("pass") == (0, "no findings in 1 file\n")


def test_warnings_alone_end_with_0(run, tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "orders.yaml").write_text(DOCUMENT.format(action="count"))
    for arguments in ([], ["--load"]):
        code, output = run("pass", "--json", *arguments)
        assert code == 0
        assert [each["severity"] for each in json.loads(output)] == ["warning"]


def test_a_document_that_is_no_yaml_and_a_component_that_does_not_load_are_findings(run, tmp_path):
    (tmp_path / "shop.py").write_text(SHOP + "raise ValueError('no')\n")
    (tmp_path / "orders.yaml").write_text(DOCUMENT.format(action="count"))
    (tmp_path / "broken.yaml").write_text("name: x\nflows: [\n")
    code, output = run("pass", "--load", "--json")
    assert code == 1
    found = {(each["file"], each["code"]) for each in json.loads(output)}
    assert {("broken.yaml", "HF100"), ("shop.py", "HF098")} <= found


def test_the_schema_of_documents_is_printed():
    result = CliRunner().invoke(schema)
    assert json.loads(result.output)["title"] == "Halflap integration"
