"""A document's test can say all that a flow reads and leaves, and an execution becomes such a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halflap.errors import DefinitionError
from halflap.lowcode import Draft
from halflap.testing.document import Differs, open_document, run_test
from tests.cases import for_each
from tests.lowcode.test_document_tests import run_all, written
from tests.testing.test_record import again, happened

TEXT = """\
name: presets
config:
  Connect:
    acme: {connection: acme}
flows:
  counted:
    trigger: webhook.request
    with: {answer: result, methods: [GET, POST]}
    filter: =query.kind != "ping" and headers.`x-kind` != "ping"
    keep: [/id]
    steps:
      - {id: cursor, state: get, key: cursor, scope: instance}
      - {id: total, state: get, key: total, scope: integration, default: 0}
      - {id: own, state: get, key: total, default: 100}
      - {state: put, key: total, value: =total + 1, scope: integration}
      - {state: delete, key: cursor, scope: instance}
      - {state: put, key: seen, value: =event.id}
      - log: ="For " & customer.name & ", " & instance.name
      - stop:
          answer:
            id: =event.id
            dropped: =event.other
            cursor: =cursor
            total: =total + own
            on: =$substring($now(), 0, 10)
            whose: =customer.external_id & " " & customer.id & " " & instance.id
  hooked:
    trigger: webhook.request
    steps:
      - action: acme.ensure_webhook
        with: {event: stock.changed, url: =urls.raw, secret: =secrets.raw}
  raw:
    trigger: webhook.raw
    with: {answer: result, methods: [PUT]}
    steps:
      - stop:
          answer:
            sent: =event.method & " " & event.path & "?" & event.query
            kind: =event.headers.`content-type`
            text: =event.body
            bytes: =event.body_base64
tests:
  - name: all that is kept and known
    flow: counted
    event: {id: "7", other: unseen}
    query: {kind: order}
    headers: {X-Kind: order}
    now: 2026-03-01T12:00:00Z
    customer: {id: cus_7, name: Initech, external_id: "4711"}
    instance: {id: ins_7, name: Stock}
    state: {total: 10}
    shared: {instance: {cursor: c9}, integration: {total: 41}}
    answer: {id: "7", cursor: c9, total: 51, on: 2026-03-01, whose: 4711 cus_7 ins_7}
    after:
      state: {seen: "7", total: 10}
      shared: {instance: {cursor: null}, integration: {total: 42}}
    logs: ["For Initech, Stock"]
  - {name: by its query, flow: counted, event: {id: "7"}, query: kind=ping, outcome: ignored}
  - name: by its header
    flow: counted
    event: {id: "7"}
    headers: {X-Kind: ping}
    outcome: ignored
    reason: filter
  - {name: a GET has no body, flow: counted, method: GET, query: {id: "8"}, after: {state: {seen: "8"}}}
  - name: the right secret goes to the right URL
    flow: hooked
    event: {}
    urls: {raw: "https://raw.example"}
    secrets: {raw: s3cret}
    stubs: {acme.ensure_webhook: {id: "1", event: stock.changed, url: "https://raw.example"}}
    expect:
      - acme.ensure_webhook: {url: "https://raw.example", secret: s3cret}
  - name: bytes
    flow: raw
    method: PUT
    path: /a/b
    query: "x=1&x=2"
    body: {base64: /w==}
    answer: {sent: "PUT /a/b?x=1&x=2", kind: application/octet-stream, bytes: /w==}
  - name: a file
    flow: raw
    method: PUT
    body: {file: orders/order.xml}
    answer: {sent: "PUT ?", kind: text/xml, text: <order/>}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "order.xml").write_text("<order/>")
    return written(tmp_path, TEXT)


@for_each("at", range(TEXT.count("- name:") + TEXT.count("- {name:")))
async def test_it_is_what_the_flow_reads_and_leaves(document: Path, at: int) -> None:
    await run_test(open_document(document), at)


WRONG = {
    "state": ("seen: \"7\", total: 10", "seen: \"8\"", 'seen has to be "8", and is "7"'),
    "no state": ("seen: \"7\", total: 10", "sight: 1", "sight has to be 1, and is nothing"),
    "shared state": ("{cursor: null}", "{cursor: c9}", 'cursor has to be "c9", and is nothing'),
    "deleted state": ("{cursor: c9}, int", "{old: c9}, int", "it has to answer"),
    "of all": ("{total: 42}", "{total: 41}", "total has to be 41, and is 42"),
    "a log": ("For Initech, S", "For Initrode", 'logged, and only ["For Initech, Stock"] was'),
    "who": ("external_id: \"4711\"", "external_id: \"1\"", "it has to answer"),
    "when": ("now: 2026-03-01", "now: 2026-03-02", "it has to answer"),
    "a secret": ("secret: s3cret", "secret: other", 'secret has to be "other", and is "s3cret"'),
    "another secret": ("{raw: s3cret}", "{raw: other}", 'secret has to be "s3cret", and is "other"'),
    "a query": ("query: kind=ping", "query: kind=pong", "has to end as ignored"),
    "a header": ("X-Kind: ping", "X-Kind: pong", "has to end as ignored"),
    "a method": ("method: GET, q", "method: GET, headers: {X-Kind: ping}, q", "end as succeeded"),
    "bytes": ("base64: /w==", "base64: /g==", "it has to answer"),
    "no file": ("orders/order.xml", "orders/gone.xml", ".yaml:84:18: orders/gone.xml cannot be read"),
    "outside": ("orders/order.xml", "../../etc/passwd", "is not in the document's folder"),
    "absolute": ("orders/order.xml", "/etc/passwd", "is not in the document's folder"),
}  # fmt: skip


@for_each(("old", "new", "said"), WRONG.values(), ids=WRONG)
async def test_what_differs_is_said(document: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    document.write_text(TEXT.replace(old, new, 1))
    opened = open_document(document)
    with pytest.raises(Differs) as raised:
        await run_all(opened)
    assert said in str(raised.value)


MISSHAPEN = {
    "customer: {id: c": ("customer: {ids: c", "`customer` has no `ids`; did you mean `id`?"),
    "after:\n      state": ("after:\n      stat", "`after` has no `stat`; did you mean `state`?"),
    "now: 2026-03-01T12:00:00Z": ("now: noon", "`now` is a time, with its zone"),
    "12:00:00Z": ("12:00:00", "`now` needs a time zone: 2026-03-01T12:00:00Z"),
    "base64: /w==": ("base64: '?'", "this is no base64"),
    "{file: orders/order.xml}": ("{}", "a body is given as `base64`, or as a `file`"),
    "body: {base64": ("event: 1\n    body: {base64", "give `event` or `body`, not both"),
    "path: /a/b": ("path: a/b", "a `path` begins with /"),
}


@for_each("old", MISSHAPEN)
def test_what_is_no_preset_is_said(document: Path, old: str) -> None:
    assert old in TEXT
    new, said = MISSHAPEN[old]
    document.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(DefinitionError) as raised:
        open_document(document)
    assert said in str(raised.value)


WHOSE, ONE = "null cus_test ins_test", {"integration": {"total": 1}}
SHARED = {"shared": {"instance": {"cursor": None}, "integration": {"total": 42}}}
RECORDED: dict[int, dict[str, Any]] = {
    0: {"event": {"id": "7"}, "after": {"state": {"seen": "7"}, **SHARED}},
    3: {
        "answer": {"id": "8", "cursor": None, "total": 100, "on": "2026-01-01", "whose": WHOSE},
        "after": {"state": {"seen": "8"}, "shared": {"instance": {"cursor": None}, **ONE}},
    },
    4: {
        "urls": None,
        "secrets": None,
        "expect": [{"acme.ensure_webhook": {"event": "stock.changed"}}],
    },
    5: {"headers": {"Content-Type": "application/octet-stream"}},
    6: {"body": None, "event": "<order/>", "headers": {"Content-Type": "text/xml"}},
}
"""By the test, what a recording of it says otherwise."""


@pytest.mark.parametrize("at", RECORDED)
async def test_what_was_read_is_recorded_with_it(document: Path, at: int) -> None:
    detail = await happened(document, at)
    test = open_document(document).document.tests[at]
    if test.customer is not None:
        detail |= {"customer": "cus_7", "customer_name": "Initech"}
        detail |= {"instance": "ins_7", "instance_name": "Stock"}
        detail["accepted_at"] = "2026-03-01T12:00:00.000000Z"
    customer = {"external_id": "4711" if test.customer else None, "created_at": "2026-01-01"}
    made = await again(document, detail, name="again", customer=customer)
    tests: list[dict[str, Any]] = Draft.read(made.content, "x.yaml").value(("tests",))
    wanted = {"expect": [], **tests[at], **RECORDED[at], "name": "again"}
    given = {name: each for name, each in wanted.items() if each is not None and name != "logs"}
    assert tests[-1] == given
    left_out = ("secret of acme.ensure_webhook", "url of acme.ensure_webhook")
    assert made.left_out == (left_out if at == 4 else ())
