"""The Python of a converted document is as it would be written, and does the same."""

from __future__ import annotations

import subprocess
import sys
import types
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from halflap.testing import Run, document
from tests.cases import for_each
from tests.lowcode.convert.test_code import SANDBOXED
from tests.lowcode.convert.twins import both, imported, opened, python_of, seen
from tests.lowcode.documents import DOCUMENTS, HEAD, ROOT, acme, documents_in

DOCS = ROOT / "docs" / "low-code"
ODD_CONFIG = """\
name: odd-config
config:
  Page:
    date: {type: date, default: 2026-01-02}
    until: {type: date, default: 2026-01-02}
    acme: {default: x}
    shop: {connection: acme}
    str: {default: a}
    list: {multiple: true, default: [a]}
    Decimal: {type: decimal, default: 1.5}
    Annotated: {default: a}
    Field: {default: a}
    last: {type: decimal, default: 1.5, minimum: 1}
flows:
  main:
    trigger: webhook.request
    steps: [{log: "=config.date & config.str & config.acme"}]
"""


@for_each("name", DOCUMENTS)
async def test_a_documents_tests_hold_for_its_python_and_all_is_equal(name: str) -> None:
    given = opened(DOCUMENTS[name])
    assert given.document.tests
    twin = replace(given, integration=imported(python_of(DOCUMENTS[name])))
    for at in range(len(given.document.tests)):
        assert seen(await document.run_test(given, at)) == seen(await document.run_test(twin, at))


def test_the_page_shows_what_its_document_becomes() -> None:
    page = (DOCS / "convert.md").read_text("utf-8")
    shown = page.split("```python\n")[1].partition("```")[0]
    assert shown == formatted(python_of(documents_in(DOCS / "convert.md")[0]))


def formatted(python: str) -> str:
    """The text as the formatter leaves it, which says nothing of what was written."""
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "100", "-"]
    return subprocess.run(command, input=python, text=True, capture_output=True, check=True).stdout


def test_it_is_clean_once_it_is_formatted(tmp_path: Path) -> None:
    for name, text in (
        DOCUMENTS | {"remarked": REMARKED, "coded": CODED, "sandboxed": SANDBOXED}
    ).items():
        module = name.partition(".")[0].replace("-", "_")
        (tmp_path / f"{module}.py").write_text(python_of(text), "utf-8")
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    config += ["--config", f"src = ['{ROOT}']"]
    for command in (
        ["format", "--line-length", "100", "--quiet"],
        ["check", "--extend-ignore", "RET504,E501"],
    ):
        ruff = [sys.executable, "-m", "ruff", *command, *config, str(tmp_path)]
        told = subprocess.run(ruff, text=True, capture_output=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


SET_INSIDE = """\
- id: found
  for: x
  in: [1, 2]
  parallel: 2
  where: =y = null
  do:
    - set: {y: =x * 2}
  collect: =y
- stop: {answer: =found}
"""


async def test_what_only_the_loop_sets_is_null_before() -> None:
    for result in await both(HEAD + indent(SET_INSIDE, " " * 6)):
        assert result.result == [2, 4], result.reason


WHERE_FAILS = """\
- id: found
  for: x
  in: =event.items
  where: =$number(x.n) > 1
  on_failure: continue
  do:
    - set: {y: =x.n}
  collect: =y
- stop: {answer: =found}
"""


@pytest.mark.parametrize("parallel", ["", "  parallel: 2\n"])
async def test_an_item_whose_where_fails_fails_alone(parallel: str) -> None:
    steps = WHERE_FAILS.replace("  do:\n", f"{parallel}  do:\n")
    event = {"items": [{"n": 2}, {"n": "x"}, {"n": 1}, {"n": 3}]}
    for result in await both(HEAD + indent(steps, " " * 6), event):
        one, wrong, last = result.result
        assert (one, wrong["error"]["kind"], last) == (2, "ExpressionError", 3)


GIVEN_IN_A_BRANCH = """\
- set: {n: 1}
- if: =event.a = 2
  then:
    - set: {n: 2}
- stop: {answer: =n}
"""


async def test_what_a_branch_gives_is_not_returned_for_all() -> None:
    for answer in (1, 2):
        for result in await both(HEAD + indent(GIVEN_IN_A_BRANCH, " " * 6), {"a": answer}):
            assert result.result == answer


REMARKED = """\
# Who gets what.
name: remarked
flows:
  # Goods.
  order:
    trigger: webhook.request # of the shop
    order: {rule: fifo, by_key: /id} # one after another
    steps:
      # Tell them.
      - log: "hello # not a remark" # a greeting
        # in two lines
        level: warning
      - if: =event.a = null
        then: # nothing
          - note: It is empty.
            stop: true
        else:
          # something
          - title: 'The "loop"'
            for: line
            in: =event.lines
            parallel: 3
            where: =line.count > 0
            do:
              - log: =$string(line.count)
"""
IN_PYTHON = """\
# Goods.
# of the shop
# one after another
@integration.flow(trigger=webhook.request, order=fifo(by_key=pointer("/id")))
async def order(ctx: Context[Config], event: Json) -> None:
    # Tell them.
    # a greeting
    # in two lines
    ctx.log.warning("hello # not a remark")
    # nothing
    if at(event, "a") is None:
        # It is empty.
        return
    else:
        # something
        # The "loop"

        async def do_line(line: Json) -> None:
            ctx.log.info(expr.text("$string(line.count)", line=line))

        await ctx.gather(
            [
                line
                for line in expr.items("event.lines", event=event)
                if expr.truth("line.count > 0", line=line)
            ],
            do_line,
            limit=3,
        )
"""


def test_comments_notes_and_titles_stay_in_their_places() -> None:
    python = python_of(REMARKED)
    assert python.startswith('# Who gets what.\n"""Remarked."""\n')
    assert formatted(python).endswith(IN_PYTHON)


@for_each("name", [*DOCUMENTS, "odd"])
def test_the_customer_is_asked_the_same(name: str) -> None:
    text = (DOCUMENTS | {"odd": ODD_CONFIG})[name]
    given, made = opened(text).integration, imported(python_of(text))
    schemas = [each.config.model_json_schema() for each in (given, made)]
    for each in schemas:
        each.pop("title")
        each.pop("description", None)
    assert schemas[0] == schemas[1]
    assert (given.name, given.title, given.description) == (made.name, made.title, made.description)
    for name, flow in given.flows.items():
        twin = made.flows[name]
        for each in ("title", "description", "keep", "timeout", "max_age", "side", "is_shared"):
            assert getattr(twin, each) == getattr(flow, each), each
        assert repr(twin.trigger) == repr(flow.trigger)
        assert str(twin.order) == str(flow.order)


ODD = """\
name: odd
config:
  Connect:
    list: {connection: acme}
    acme: {connection: acme}
pairs:
  class: {sides: {list: contact, acme: account}}
flows:
  class:
    trigger: webhook.request
    with: {answer: result}
    steps:
      - {id: class, state: get, key: a, default: 7}
      - set: {def: "=class + $count([event.n])", list: =$string(round)}
      - {id: lambda, for: None, in: =event.items, do: [{set: {def: =def + None}}], collect: =None & def}
      - {id: import, for: with, in: =event.items, parallel: 2, do: [{log: =$string(with)}],
          collect: =with}
      - {id: pass, call: event, event: {n: =def}}
      - {id: ctx, call: ctx, event: {n: =def}, wait: false}
      - {log: "=class & def", fields: {from: =class, message: a, self: b, a-b: =lambda, __debug__: 1}}
      - {pair: class, with: {list: a, acme: b}}
      - {id: _, paired: class, with: {list: a}}
      - stop: {answer: {class: =class, def: =def, lambda: =lambda, import: =import, pass: =pass, a: =_,
          url: "=`class` & urls.class & urls.round"}}
  event:
    trigger: webhook.request
    steps: [{stop: {answer: "=$round(event.n, 1) & 'x'"}}]
  ctx:
    trigger: webhook.request
    steps: [{stop: true}]
  round:
    trigger: acme.opportunity_updated
    steps: [{id: print, call: class_, event: "=$round(event.price, 1)"}, {stop: {answer: =print}}]
  _:
    trigger: webhook.request
    steps: [{call: _}]
  class_:
    trigger: webhook.request
    steps: [{stop: {answer: =event}}]
preprocess:
  match:
    trigger: webhook.request
    routes: [{when: =event.n = 1, flow: class}, {flow: round}]
  if:
    trigger: webhook.request
    title: If
    routes: [{flow: None_}]
""".replace("None_", "_")


async def test_names_that_python_keeps_for_itself_are_called_otherwise_in_it(run: Run) -> None:
    python = python_of(ODD)
    assert '@integration.flow(name="class", trigger=webhook.request(answer=' in python
    assert "async def class_2(" in python
    given, made = opened(ODD).integration, imported(python)
    assert list(made.flows) == list(given.flows)
    assert [each.title for each in made.flows.values()] == [
        each.title for each in given.flows.values()
    ]
    for name, event in (("class", {"items": [1, 2], "n": 3}), ("match", {"n": 2}), ("if", {})):
        found = [seen(await run(of.flows[name], event, integration=of)) for of in (given, made)]
        assert found[0] == found[1]
        assert found[0]["state"] == "succeeded", found[0]["reason"]


async def test_an_action_without_a_name_in_its_module_is_found_by_its_component(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = "- {id: found, action: acme.get_account, with: {id: a}}\n- stop: {answer: =found.name}"
    text = HEAD + indent(steps, " " * 6)
    given = opened(text).integration
    get_account, kind = acme.get_account, acme.Acme
    elsewhere = types.ModuleType("acme_actions")
    monkeypatch.setitem(sys.modules, "acme_actions", elsewhere)
    monkeypatch.delattr(acme, "get_account")
    for where, shown in (
        (None, 'acme.component.actions["get_account"](ctx.config.acme, id="a")'),
        ("found", 'acme_actions.found(ctx.config.acme, id="a")'),
    ):
        if where is not None:
            monkeypatch.setattr(elsewhere, where, get_account, raising=False)
            monkeypatch.setattr(get_account.function, "__module__", "acme_actions")
        python = python_of(text)
        assert shown in python
        stubs = {get_account: acme.Account(id="a", name="Initech", external_id=None)}
        for integration in (given, imported(python)):
            result = await run(integration.flows["main"], {}, integration=integration, stubs=stubs)
            assert result.result == "Initech", result.reason
    monkeypatch.delattr(acme, "Acme")
    assert "acme.component.connection, " in python_of(text), python_of(text)
    assert imported(python_of(text)).connections() == {"acme": kind}


CODED = """\
name: coded
flows:
  totals:
    trigger: webhook.request
    steps:
      - id: totals
        title: Add Up the Lines
        code: |
          from decimal import Decimal

          total = Decimal(0)
          for line in order["lines"]:
              total += line["count"] * line["price"]
          return {"total": total, "both": (1, 2), "free": total >= 100}
        with: {order: =event.order}
      - id: none
        code: return 1 / zero
        with: {zero: 0}
        on_failure: ignore
      - stop: {answer: {totals: =totals, none: =none, total: =totals.total}}
"""


@pytest.mark.parametrize("order", [{"lines": [{"count": 3, "price": Decimal("9.99")}]}, {}, None])
async def test_a_code_step_is_a_function_that_is_a_step(order: Any) -> None:
    found = [
        (each.state, each.result, [(step.title, step.status, step.result) for step in each.steps])
        for each in await both(CODED, {"order": order}, "totals")
    ]
    assert found[0] == found[1]


DECIMALS = """\
name: decimals
config:
  Connect:
    acme: {connection: acme}
flows:
  main:
    trigger: acme.opportunity_updated
    steps:
      - id: found
        action: acme.update_opportunity
        with: {id: =event.id, price: =event.price}
      - stop:
          answer:
            - =event.price * 3
            - =$string($round(found.price, 2))
            - =$string(event.price / 4 * 2)
            - =found.price + found.seats
            - =found.price = event.price
            - =[found].price
"""


@for_each("price", ["7", "7.0", str(10**25 + 1), str(-(10**27) - 1), str(10**31 + 1)])
async def test_a_decimal_is_one_in_both_whole_or_not(price: str) -> None:
    text = DECIMALS
    if len(price) > 26:  # which has no two more digits
        text = text.replace("$round(found.price, 2)", "$round(found.price)")
    event = {"data": {"id": "o1", "name": "n", "stage": "Won", "seats": 3, "price": price}}
    stubs = {acme.update_opportunity: acme.Opportunity(**event["data"])}
    ran = await both(text, event, stubs=stubs)
    assert {each.state for each in ran} == {"succeeded"}, ran[0].reason
    told, again = ([str(one) for one in each.result] for each in ran)
    assert told == again
    assert told[0] == str(Decimal(price) * 3)


async def test_a_constant_of_another_type_fails_as_in_the_document() -> None:
    steps = '- action: acme.find_account\n  with: {external_id: "=2"}\n'
    for result in await both(HEAD + indent(steps, " " * 6)):
        assert result.error is not None
        assert result.error.kind == "ExpressionError"


@pytest.mark.parametrize(
    ("reply", "python"),
    [
        ("{status: 204}", "Reply(204)"),
        ("{body: null}", "Reply(200, None)"),
        ("{headers: {X-A: a}}", 'Reply(200, headers={"X-A": "a"})'),
    ],
)
async def test_a_reply_without_a_body_sends_none(reply: str, python: str) -> None:
    text = f"{HEAD}      - stop: {{reply: {reply}}}\n"
    assert python_of(text).splitlines()[-1] == f"    return {python}"
    one, other = await both(text)
    assert one.result == other.result


NAMED = """\
name: named
config:
  Connect:
    acme: {connection: acme}
    second: {connection: acme}
pairs:
  expr: {sides: {acme: account, second: contact}}
flows:
  code:
    trigger: webhook.request
    steps:
      - {id: at, title: Step, code: return n + 1, with: {n: =event.n}}
      - {id: step, title: At, code: "print(n)\\nreturn n", with: {n: =at}}
      - {id: known, paired: expr, with: {acme: a}}
      - stop: {answer: [=step, =event.deep.x, '="a" & event.n', =known]}
"""


async def test_what_is_called_as_halflap_names_it_is_called_otherwise() -> None:
    for result in await both(NAMED, {"n": 6, "deep": {"x": "y"}}, "code"):
        assert result.result == [7, "y", "a6", None]


async def test_code_is_not_given_a_member_that_is_left_out() -> None:
    step = (
        "- {id: x, code: \"return given.get('a', 'none')\", with: {given: {a: =$string(event.n)}}}"
    )
    text = f"{HEAD}      {step}\n      - stop: {{answer: =x}}\n"
    for event, found in (({}, "none"), ({"n": 1}, "1")):
        assert [each.result for each in await both(text, event)] == [found] * 2
