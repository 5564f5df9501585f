"""`halflap test record` for YAML: an execution becomes a test in its document, which passes at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from halflap.api.recorded import event_view, step_view
from halflap.errors import DefinitionError
from halflap.lowcode import Draft
from halflap.sdk import codec
from halflap.testing.document import open_document, play, request_of, run_test
from halflap.testing.record import record_test
from halflap.testing.runner import start_of
from tests.lowcode.documents import EXAMPLES

ALL = """\
name: everything
config:
  Connect:
    acme: {connection: acme}
  Options:
    limit: {type: integer, default: 3}
flows:
  main: # it does a lot
    trigger: webhook.request
    steps:
      - {id: count, state: get, key: count, default: 0}
      - {state: put, key: count, value: =count + 1}
      - for: item
        in: =event.items
        do:
          - action: acme.add_stock
            with: {item: =item, quantity: =config.limit}
      - try:
          - action: acme.find_account
            with: {external_id: "1"}
            retry: {attempts: 2}
        catch:
          - log: =error.message
      - action: acme.find_account
        with: {external_id: "=$string($now())"}
      - {id: sum, code: "print(a)\\nreturn a + 1", with: {a: =count}}
      - {id: asked, wait: go}
      - {id: called, call: other, event: {n: =sum}}
      - {call: other, event: {n: 0}, wait: false}
      - action: acme.ensure_webhook
        with: {event: stock.changed, url: =urls.main, secret: =secrets.main}
      - stop: {answer: {sum: =sum, by: =asked.by, called: =called, key: =event.api_key}}
  other:
    trigger: webhook.request
    steps: [{stop: {answer: =event.n * 2}}]
tests:
  - name: by hand
    flow: main
    event: {items: [anvil, rope], api_key: "sk-1234567890", note: "key sk-1234567890"}
    headers: {X-Kind: big, X-Token: "tok-998877", Host: acme.example}
    config: {limit: 5}
    state: {count: 4}
    signals: {go: {by: Ada}}
    stubs:
      acme.add_stock:
        $sequence: [{item: anvil, quantity: 5}, {item: rope, quantity: 7}]
      acme.find_account:
        $sequence:
          - {$error: too busy, status: 503}
          - {$error: too busy, status: 503}
          - {id: a1, external_id: "1", name: Initech}
      acme.ensure_webhook: {id: "1", event: stock.changed, url: "https://any.example"}
"""
RECORDED = """
  - name: again
    flow: main
    event: {items: [anvil, rope], api_key: •••, note: key •••}
    headers: {X-Kind: big}
    config: {limit: 5}
    state: {count: 4}
    signals: {go: {by: Ada}}
    stubs:
      acme.add_stock: {$sequence: [{item: anvil, quantity: 5}, {item: rope, quantity: 7}]}
      acme.find_account:
        $sequence:
          - {$error: too busy, status: 503}
          - {$error: too busy, status: 503}
          - {id: a1, external_id: "1", name: Initech}
      acme.ensure_webhook: {id: "1", event: stock.changed, url: "https://any.example"}
      other: {$sequence: [10, null]}
    expect:
      - acme.add_stock: {item: anvil, quantity: 5}
      - acme.add_stock: {item: rope, quantity: 5}
      - acme.find_account: {external_id: "1"}
      - acme.find_account: {}
      - other: {n: 5}
      - other: {n: 0}
      - acme.ensure_webhook: {event: stock.changed, url: "https://halflap.example/hooks/main"}
    answer: {sum: 5, by: Ada, called: 10, key: •••}
    after: {state: {count: 5}}
"""


def placed(folder: Path, text: str) -> Path:
    shutil.copy(EXAMPLES / "acme.py", folder)
    path = folder / "all.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def happened(path: Path, at: int = 0) -> dict[str, Any]:
    """Run a test of a document, and return it as the API shows an execution."""
    opened = open_document(path)
    test = opened.document.tests[at]
    ran = await play(opened, at)
    flow = opened.integration.flows[test.flow]
    request = request_of(opened, at)
    start = start_of(flow, opened.integration, request, root=None)
    shown = {
        "id": "exe_01",
        "root": ran.execution,
        "integration": opened.integration.name,
        "flow": test.flow,
        "state": ran.state,
        "reason": ran.reason,
        "result": ran.result,
        "accepted_at": "2026-03-01T12:00:00.000000Z",
        "event": event_view(start.event).model_dump(),
        "steps": [step_view(each).model_dump() for each in ran.records],
        "config": test.config,
        "customer": "cus_test",
        "customer_name": "Test customer",
        "instance": "ins_test",
        "instance_name": "Test instance",
    }
    return codec.decode(codec.encode(shown).replace(b"2026-01-01T", b"2025-06-01T"))


async def again(path: Path, detail: dict[str, Any], **given: Any) -> Any:
    return await record_test(path, detail, config=detail["config"], **given)


async def test_all_that_an_execution_did_becomes_a_test(tmp_path: Path) -> None:
    path = placed(tmp_path, ALL)
    made = await again(path, await happened(path), name="again")
    text = made.content.decode()
    before = ALL.partition("sk-")[0]
    assert text.startswith(before)
    assert text[len(ALL) :].strip("\n") == RECORDED.strip("\n")
    assert made.left_out == (
        "external_id of acme.find_account",
        "secret of acme.ensure_webhook",
    )
    path.write_bytes(made.content)
    opened = open_document(path)
    assert opened.source.place(("tests", 1)).line == made.line
    await run_test(opened, 1)
    wrong = open_document(path, content=made.content.replace(b"sum: 5, by", b"sum: 6, by"))
    with pytest.raises(
        AssertionError, match=f"all.yaml:{text.count(chr(10)) - 1}:13: it has to answer"
    ):
        await run_test(wrong, 1)  # the control: it does compare


@pytest.mark.parametrize(
    ("file", "at"), [("warehouse", 0), ("warehouse", 2), ("salesforce_acme", 1)]
)
async def test_what_an_example_did_is_recorded_as_people_have_written_it(
    tmp_path: Path, file: str, at: int
) -> None:
    path = placed(tmp_path, (EXAMPLES / f"{file}.yaml").read_text("utf-8"))
    made = await again(path, await happened(path, at), name="again")
    tests = Draft.read(made.content, "x.yaml").value(("tests",))
    first = {"name": "again", **{name: each for name, each in tests[at].items() if name != "name"}}
    reason = tests[-1].pop("reason", "")
    assert first.pop("reason", "") in reason
    assert tests[-1] == first
    assert made.left_out == ()


async def test_a_test_of_that_name_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = placed(tmp_path, ALL)
    detail = await happened(path)
    with pytest.raises(DefinitionError, match=r"^all.yaml:\d+: there is a test 'by hand' already"):
        await again(path, detail, name="by hand")
    made = await again(path, detail, name="by hand", replace=True)
    tests = Draft.read(made.content, "x.yaml").value(("tests",))
    assert [(each["name"], "answer" in each) for each in tests] == [("by hand", True)]
    assert b"# it does a lot" in made.content
    assert b"sk-" not in made.content
    assert (await again(path, detail)).name == "main, as in exe_01"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("action: acme.add_stock", "action: acme.remove_stock", "stub acme.remove_stock"),
        (
            "      - {call: other, event: {n: 0}, wait: false}\n",
            "",
            "call 6 was other, and is acme.",
        ),
        ("      - {id: asked, wait: go}", "      - throw: no more", "other is no longer called"),
        ("by: =asked.by", "by: =asked.by()", "it was succeeded, and is failed"),
    ],
)
async def test_where_it_goes_another_way_now_that_is_said(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    path = placed(tmp_path, ALL)
    detail = await happened(path)
    assert before in ALL
    path.write_text(ALL.replace(before, after), encoding="utf-8")
    with pytest.raises(DefinitionError, match="it does not go the same way in a test: .*" + said):
        await again(path, detail)


async def test_a_filter_that_reads_what_was_not_kept_is_said(tmp_path: Path) -> None:
    filtered = "trigger: webhook.request\n    filter: =event.items != null\n    keep: [/api_key]"
    path = placed(tmp_path, ALL)
    detail = await happened(path)
    path.write_text(ALL.replace("trigger: webhook.request", filtered, 1), encoding="utf-8")
    detail["event"]["body"] = "{}"
    with pytest.raises(
        DefinitionError, match="filter reads what was not kept, or is a secret; wri"
    ):
        await again(path, detail)


async def test_one_that_was_continued_is_no_test_of_a_document(tmp_path: Path) -> None:
    path = placed(tmp_path, ALL)
    detail = await happened(path) | {"continued_by": "exe_02"}
    with pytest.raises(DefinitionError, match="exe_01 was continued by exe_02, and a test runs"):
        await again(path, detail)
