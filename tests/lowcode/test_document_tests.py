"""Tests in a document: pytest collects and runs them, and says what differs in the document's words."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from halflap.errors import DefinitionError
from halflap.testing import runner
from halflap.testing.document import Differs, DocumentWithTests, open_document, run_test
from tests.cases import for_each
from tests.lowcode.documents import EXAMPLES
from tests.zygote import PYTHON

GOOD = (EXAMPLES / "warehouse.yaml").read_text("utf-8")


def written(folder: Path, text: str) -> Path:
    path = folder / "warehouse.yaml"
    path.write_text(text, encoding="utf-8")
    (folder / "acme.py").write_text((EXAMPLES / "acme.py").read_text("utf-8"), encoding="utf-8")
    return path


async def run_all(opened: DocumentWithTests) -> None:
    for at in range(len(opened.document.tests)):
        await run_test(opened, at)


WRONG = {
    "another input": (
        "add_stock: {item: anvil, quantity: 20}\n      - acme.remove",
        "add_stock: {item: anvil, quantity: 21}\n      - acme.remove",
        "warehouse.yaml:48:49: acme.add_stock: quantity has to be 21, and is 20",
    ),
    "an input that is not there": (
        "remove_stock: {item: rope, quantity: 5}\n\n",
        "remove_stock: {thing: rope}\n\n",
        'warehouse.yaml:49:36: acme.remove_stock: thing has to be "rope", and is nothing',
    ),
    "one call too many": (
        "      - acme.remove_stock: {item: rope, quantity: 5}\n\n",
        "\n",
        'warehouse.yaml:48:7: acme.remove_stock was called too, with {item: "rope", quantity: 5}',
    ),
    "one call too few": (
        "      - acme.remove_stock: {item: rope, quantity: 5}\n\n",
        "      - acme.remove_stock: {item: rope, quantity: 5}\n      - acme.list_stock: {}\n\n",
        "warehouse.yaml:50:9: acme.list_stock has to be called, and was not",
    ),
    "another outcome": (
        "outcome: ignored",
        "outcome: succeeded",
        "it has to end as succeeded, because of 'no stock in a WAREHOUSE_PING', and is ignored",
    ),
    "another reason": ("reason: no stock in a", "reason: nothing in a", "because of 'nothing in a"),
    "an unknown flow": ("flow: stock\n    event:\n", "flow: stok\n    event:\n", "no flow 'stok'"),
    "an unknown stub": (
        "acme.add_stock: {item: anvil, quantity: 20}\n      acme.r",
        "acme.ad_stock: 1\n      acme.r",
        "did you mean acme.add_stock?",
    ),
}


PARTIAL = """\
name: partial
config:
  Connect: {api: {connection: http}}
flows:
  main:
    trigger: webhook.request # halflap: ignore[HF114]
    with: {answer: result}
    steps:
      - action: http.post
        with: {path: /x, json: {order: {id: =event.id, at: 1}, lines: [{sku: a, n: 1}, {sku: b, n: 2}]}}
      - stop: {reply: {status: 201, body: {id: =event.id}}}
tests:
  - name: what is left out may be anything
    flow: main
    event: {id: a1}
    stubs: {http.post: null}
    expect:
      - http.post: {json: {order: {id: a1}, lines: [{sku: a}, {n: 2}]}}
    answer: {$reply: {status: 201}}
"""
UNLIKE = {
    "order: {id: a1}": (
        "order: {id: a2}",
        '18:40: http.post: json.order.id has to be "a2", and is "a1"',
    ),
    "{n: 2}]": ("{m: 2}]", "18:67: http.post: json.lines.1.m has to be 2, and is nothing"),
    ", {n: 2}]": ("]", "json.lines has to be"),
    "status: 201}}\n": ("status: 200}}\n", "has to answer {$reply: {status: 200}}"),
}


@pytest.mark.parametrize(("old", "new", "said"), [(old, *each) for old, each in UNLIKE.items()])
async def test_fields_that_are_not_expected_may_be_anything_at_any_depth(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    await run_all(open_document(written(tmp_path, PARTIAL)))
    before, found, after = PARTIAL.rpartition(old)
    assert found
    with pytest.raises(Differs, match=re.escape(said)):
        await run_all(open_document(written(tmp_path, before + new + after)))


@for_each(("old", "new", "said"), WRONG.values(), ids=WRONG)
async def test_what_differs_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    opened = open_document(written(tmp_path, GOOD.replace(old, new, 1)))
    with pytest.raises(Differs) as raised:
        await run_all(opened)
    assert said in str(raised.value)


TICKED = """\
name: ticked
flows:
  main:
    trigger: schedule.every
    with: {hours: 1}
    steps:
      - stop: {answer: =event.at}
tests:
  - {name: none, flow: main, now: 2026-03-01T12:00:00Z, answer: "2026-03-01T12:00:00Z"}
  - {name: empty, flow: main, event: {}, now: 2026-03-01T12:00:00Z, answer: "2026-03-01T12:00:00Z"}
  - {name: given, flow: main, event: {at: 2026-03-01T13:00:00Z}, answer: "2026-03-01T13:00:00Z"}
"""


async def test_an_empty_event_of_a_schedules_flow_is_a_tick(tmp_path: Path) -> None:
    await run_all(open_document(written(tmp_path, TICKED)))


ENDLESS = """\
name: endless
flows:
  main:
    trigger: instance.routed
    steps:
      - {if: =event.n < LAST, then: [{continue_with: {n: =event.n + 1}}]}
tests:
  - {name: it ends, flow: main, event: {n: 1}}
"""


async def test_a_flow_that_continues_without_an_end_fails_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MOST_LINKS", 20)
    await run_all(open_document(written(tmp_path, ENDLESS.replace("LAST", "20"))))
    with pytest.raises(DefinitionError, match="the flow main has continued 20 times"):
        await run_all(open_document(written(tmp_path, ENDLESS.replace("LAST", "1000000"))))


def run_pytest(folder: Path, *options: str) -> str:
    """Return the output of pytest in a folder."""
    command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_pytest_runs_them_by_name(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("outcome: ignored", "outcome: failed", 1))
    (tmp_path / "quality.yaml").write_text("levels: {}\n", encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("flows: [\n", encoding="utf-8")
    options = ("--halflap-coverage=ran.json", "--continue-on-collection-errors")
    said = run_pytest(tmp_path, *options)
    assert "1 failed, 2 passed" in said
    assert "1 error in" in said
    assert "broken.yaml:2:1: this is not YAML" in said
    assert "warehouse.yaml: 100 % (14 of 14)" in said
    ran = json.loads((tmp_path / "ran.json").read_text())["documents"]["warehouse.yaml"]
    assert (ran["percent"], ran["missed"], ran["tests"]) == (100, [], 3)
    assert "warehouse.yaml:55:14: it has to end as failed, because of 'no stock in a" in said
    assert "Traceback" not in said
