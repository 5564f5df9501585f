"""Lint of documents: each rule finds its mistake at its place, and leaves what is right alone."""

from __future__ import annotations

import re
from textwrap import indent
from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field

from halflap import Component, Model
from halflap.errors import DefinitionError
from halflap.lowcode import Components, build, read
from halflap.lowcode.expressions import Expression
from halflap.lowcode.lint import RULES, Shapes, lint_text
from halflap.sdk.lint import Finding
from tests.cases import for_each
from tests.lowcode.documents import EXAMPLES, described, own
from tests.lowcode.wrong import cases

DOCS = EXAMPLES.parent / "docs" / "low-code"
HEAD = """\
name: tried
config:
  Connect:
    acme: {connection: acme}
  Options:
    limit: {type: integer, default: 3}
flows:
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
      - log: "=config.limit & event.x"
"""
LINES = HEAD.count("\n")
STATIC = described()
STATIC_SHAPES = Shapes(own=STATIC)

# code, the wrong steps with the finding at « , a part of the message, the right steps
CASES = {
    "a time-out that an attempt never reaches": (
        "HF108", "- {action: acme.list_stock, timeout: «15 min}", "is never reached",
        "- {action: acme.list_stock, timeout: 14 min}",
    ),
    "an expression of another kind": (
        "HF104", "- {action: acme.find_account, with: {external_id: «=event.a * 2}}",
        "is a text, and this gives a number; use $string()",
        "- {action: acme.find_account, with: {external_id: =$string(event.a * 2)}}",
    ),
    "a field of another type": (
        "HF104", "- {id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}\n"
        "- {action: acme.get_account, with: {id: «=stock.quantity}}",
        "the input id is a text, and this gives a whole number; use $string()",
        "- {id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}\n"
        "- {action: acme.get_account, with: {id: =stock.item}}",
    ),
    "a list for one": (
        "HF104", "- {id: hooks, action: acme.list_webhooks}\n"
        "- {action: acme.delete_webhook, with: {id: «=hooks}}",
        "is a text, and this gives a list of objects with",
        "- {id: hooks, action: acme.list_webhooks}\n"
        '- {action: acme.delete_webhook, with: {id: "=hooks[0].id"}}',
    ),
    "an object for a text": (
        "HF104", "- {action: acme.get_account, with: {id: «{a: =event.x}}}",
        "is a text, and this gives an object with a",
        "- {action: acme.get_account, with: {id: =event.x}}",
    ),
    "a branch of another type": (
        "HF104", '- {action: acme.get_account, with: {id: "=event.x ? event.id : «2"}}',
        "is a text, and this gives 2; use $string()",
        '- {action: acme.get_account, with: {id: "=event.x ? event.id : null"}}',
    ),
    "a branch that is no choice": (
        "HF104", "- action: acme.ensure_webhook\n"
        "  with: {url: x, secret: =secrets.main, "
        "event: \"=event.x ? 'stock.changed' : «'stock.chnged'\"}",
        'and this gives "stock.chnged"', "- action: acme.ensure_webhook\n"
        "  with: {url: x, secret: =secrets.main, event: \"=event.x ? 'stock.changed' : event.y\"}",
    ),
    "a field of the config of another type": (
        "HF104", "- {action: acme.get_account, with: {id: «=config.limit}}",
        "is a text, and this gives a whole number",
        "- {action: acme.get_account, with: {id: =$string(config.limit)}}",
    ),
    "a variable of another type": (
        "HF104", "- set: {all: {name: =event.x}}\n- {action: acme.get_account, with: {id: «=all}}",
        "is a text, and this gives an object with name",
        "- set: {all: 1}\n- set: {all: =event.x}\n- {action: acme.get_account, with: {id: =all}}",
    ),
    "an item of another type": (
        "HF104", "- {id: all, action: acme.list_stock}\n- for: x\n  in: =all\n  do:\n"
        "    - {action: acme.get_account, with: {id: «=x.quantity}}",
        "is a text, and this gives a whole number",
        "- {id: all, action: acme.list_stock}\n- for: x\n  in: =all\n  do:\n"
        "    - {action: acme.get_account, with: {id: =x.item}}",
    ),
    "a calculation with a text": (
        "HF104", "- {id: one, action: acme.get_account, with: {id: a}}\n- log: =one.name «* 2",
        "what stands left of * is a text, not a number; use $number()",
        "- {id: one, action: acme.get_account, with: {id: a}}\n- log: =$number(one.name) * 2",
    ),
    "a result of the other branch": (
        "HF105", "- if: =event.x\n  then:\n    - {id: a, paired: p, with: {acme: x}}\n"
        "    - log: =a\n  else:\n    - log: =«a",
        "another branch",
        "- if: =event.x = 1\n  then:\n    - {id: a, state: get, key: k}\n- log: =$string(a)",
    ),
    "an expression in a block": (
        "HF106", "- log: |\n    =event.x\n    & «& event.y", "cannot stand here",
        "- log: |\n    =event.x\n    & event.y",
    ),
    "an expression that a step's braces split": (
        "HF107", "- {state: put, key: «=$join(event.x, event.y), value: 1}", "makes a key of `event.y)`",
        '- {state: put, key: "=$join(event.x, event.y)", value: 1}',
    ),
    "a break without a loop": (
        "HF108", "- «break: true", "there is none around it",
        "- {for: x, in: =event.xs, do: [{log: =x}, {break: true}]}",
    ),
    "a break among items side by side": (
        "HF108", "- {for: x, in: =event.xs, parallel: 2, do: [«{break: true}]}", "side by side",
        "- {for: x, in: =event.xs, do: [{break: true}]}",
    ),
    "a stop in two ways": (
        "HF108", "- stop: «{answer: 1, ignore: x}", "takes one of", "- stop: {answer: 1}",
    ),
    "a continuation among items side by side": (
        "HF108", "- {for: x, in: =event.xs, parallel: 2, do: [«{continue_with: {x: =x}}]}",
        "leave out `parallel`", "- {for: x, in: =event.xs, do: [{continue_with: {x: =x}}]}",
    ),
    "a step after a continuation": (
        "HF109", "- continue_with: {page: 2}\n- «log: x", "`continue_with` ends the flow above it",
        "- if: =event.x = 1\n  then: [{continue_with: {page: 2}}]\n- log: x",
    ),
    "a step that never runs": (
        "HF109", "- stop: true\n- «log: x", "`stop` ends the flow above it",
        "- if: =event.x = 1\n  then: [{stop: true}]\n- log: x",
    ),
    "a step after branches that all end": (
        "HF109", "- if: =event.x = 1\n  then: [{stop: true}]\n  else: [{throw: x}]\n- «log: x",
        "every branch ends", "- if: =event.x = 1\n  then: [{stop: true}]\n- log: x",
    ),
    "an id twice": (
        "HF110", "- {id: a, state: get, key: k}\n- {id: «a, state: get, key: l}\n- log: =a",
        "is in use already (line 13)",
        "- if: =event.x = 1\n  then: [{id: a, state: get, key: k}]\n"
        "  else: [{id: a, state: get, key: l}]\n- log: =a",
    ),
    "an id of every flow": (
        "HF110", "- {id: «event, state: get, key: k}", "every flow has",
        "- {id: events, state: get, key: k}\n- log: =events",
    ),
    "an item that hides a name": (
        "HF110", "- {id: a, state: get, key: k}\n- {for: «a, in: =a, do: [{log: =a}]}",
        "choose another", "- {id: as, state: get, key: k}\n- {for: a, in: =as, do: [{log: =a}]}",
    ),
    "a variable that nothing reads": (
        "HF111", "- set: {«a: 1}", "nothing reads the variable 'a'", "- set: {a: 1}\n- log: =a",
    ),
    "a secret by its name": (
        "HF112", "- {log: x, fields: {api_key: «a81bc81bdead4e5d}}", "api_key is given in plain",
        "- {log: x, fields: {api_key: =event.key}}",
    ),
    "a secret that is shown": (
        "HF113", "- log: =«secrets.main", "only be given to an action's input",
        "- {action: acme.ensure_webhook, "
        "with: {url: x, event: account.updated, secret: =secrets.main}}",
    ),
    "a field that the items of a result have not": (
        "HF115", "- {id: a, action: acme.list_webhooks}\n"
        "- {for: w, in: =a, where: =«w.urls = 1, do: [{log: =w.url}]}",
        "w has no 'urls'; did you mean url?",
        "- {id: a, action: acme.list_webhooks}\n- {for: w, in: =a, do: [{log: =w.url}]}",
    ),
    "a variable that is lost": (
        "HF117", "- set: {n: 0}\n- {for: x, in: =event.xs, parallel: 2, do: [set: {«n: =x}]}\n"
        "- log: =n", "after the loop it is what it was before",
        "- set: {n: 0}\n- {for: x, in: =event.xs, do: [set: {n: =x}]}\n- log: =n",
    ),
    "what may be null, for what takes no null": (
        "HF120", "- {id: a, action: acme.find_account, with: {external_id: x}}\n"
        "- {action: acme.update_account, with: {id: =«a.id, name: n}}",
        "the input id takes no null, and a may be null, which leaves nothing to give: "
        "acme.find_account may give null (line 13); put the step under `if: =a != null`",
        "- {id: a, action: acme.find_account, with: {external_id: x}}\n"
        "- if: =a != null\n  then:\n"
        "    - {action: acme.update_account, with: {id: =a.id, name: n}}",
    ),
    "a field of what a `try` has given": (
        "HF115", "- try: [{id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}]\n"
        "  catch: [{log: '=$string(«stock.itm)'}]",
        "stock has no 'itm'",
        "- try: [{id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}]\n"
        "  catch: [{log: '=$string(stock.item)'}]",
    ),
    "what no `catch` sets anew": (
        "HF115", "- try: [{id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}]\n"
        "  catch: [{log: x}]\n"
        "- log: '=$string(«stock.late)'",
        "stock has no 'late'",
        "- try: [{id: stock, action: acme.add_stock, with: {item: a, quantity: 1}}]\n"
        "  catch: [{set: {stock: {item: a, late: true}}}]\n"
        "- log: '=$string(stock.late)'",
    ),
    "the attempt in what is recorded": (
        "HF121", "- {action: acme.get_account, with: {id: '=$string(«execution.attempt)'}}",
        "execution.attempt is another at the next attempt",
        "- log: =execution.attempt",
    ),
    "all that is in scope": (
        "HF122", "- log: =$string(«$)", "reads all that is in scope",
        "- log: =$string($.event.x)\n- log: =$string(event.xs[$ > 1])",
    ),
    "code that would not replay": (
        "HF119", "- code: |\n    «import random\n    return 1", "a replay draws something else",
        "- {id: a, code: 'return 1'}\n- log: =a",
    ),
    "an action that code calls and there is none of": (
        "HF102", "- code: |\n    return await «acme.find_acount(external_id='a')",
        "did you mean find_account?",
        "- code: |\n    return await acme.find_account(external_id='a')",
    ),
    "an input that an action in code has not": (
        "HF103", "- code: |\n    return await «acme.get_account(id='a', name='b')",
        "has no input 'name'", "- code: |\n    return await acme.get_account('a')",
    ),
    "an input that code does not read": (
        "HF111", "- {code: 'return 1', with: {«a: =event.a}}", "does not read its input 'a'",
        "- {code: 'return a', with: {a: =event.a}}",
    ),
}  # fmt: skip


def linted(steps: str, shapes: Shapes | None = None) -> list[Finding]:
    text = HEAD + indent(steps, " " * 6) + "\n"
    return lint_text(text, "tried.yaml", shapes or Shapes(Components(own)))


def marked(steps: str) -> tuple[str, int, int]:
    """Steps without their mark, and the line and column of it."""
    at = (HEAD + indent(steps, " " * 6)).index("«")
    before = (HEAD + indent(steps, " " * 6))[:at]
    return steps.replace("«", ""), before.count("\n") + 1, at - before.rfind("\n")


@for_each(("code", "wrong", "said", "right"), CASES.values(), ids=CASES)
def test_a_mistake_is_found_at_its_place(code: str, wrong: str, said: str, right: str) -> None:
    steps, line, column = marked(wrong)
    found = [each for each in linted(steps) if each.code == code]
    assert [(each.line, each.column) for each in found] == [(line, column)], linted(steps)
    assert said in found[0].message


ROUTES = """
preprocess:
  incoming:
    trigger: webhook.request
    with: {signature: github}
    shared: true
    sender: =headers.x
    routes:
      - {when: =event.kind = "a", flow: mian, customer: =event.team}
      - {when: =customer.id = "a", flow: main, customer: =event.team}
      - {ignore: nobody's}
      - {ignore: again}
"""


def test_a_field_that_a_route_finds_the_customer_by_is_read() -> None:
    route = """preprocess:
  incoming:
    trigger: webhook.request
    with: {signature: github}
    shared: true
    routes: [{flow: main, config: {FIELD: =event.team}}]
"""
    text = HEAD.replace("=config.limit & event.x", "=event.x")
    told = [
        lint_text(text + route.replace("FIELD", each), "f.yaml", STATIC_SHAPES)
        for each in ("limit", "acme.key", "x")
    ]
    assert [[each.code for each in found] for found in told] == [[], ["HF111"], ["HF111", "HF115"]]


def test_routes_are_checked() -> None:
    found = lint_text(HEAD + ROUTES, "f.yaml", Shapes(Components(own)))
    assert [(each.line - LINES, each.column, each.code) for each in found] == [
        (9, 41, "HF102"),
        (10, 17, "HF105"),
        (12, 9, "HF109"),
    ]
    counted = ROUTES.replace("customer.id =", "$count(config.limit) =").replace(
        "shared: true", "all: true"
    )
    text = HEAD.replace("default: 3", "required: false") + counted
    assert "HF120" in {each.code for each in lint_text(text, "f.yaml", STATIC_SHAPES)}


@for_each("right", [case[3] for case in CASES.values()], ids=CASES)
def test_what_is_right_is_left_alone(right: str) -> None:
    assert linted(right) == []
    assert linted(right, Shapes(own=STATIC)) == []


def test_a_projects_components_are_known_by_their_description() -> None:
    shapes = Shapes(own=STATIC)
    assert [each.code for each in linted("- action: acme.find_acount", shapes)] == ["HF102"]
    said = [each.message for each in linted("- {action: acme.find_account, with: {x: 1}}", shapes)]
    assert said == [
        "acme.find_account needs the input 'external_id'",
        "acme.find_account has no input 'x'; its inputs: external_id",
    ]


def test_numbers_and_defaults_are_held_to_their_types_without_importing_components() -> None:
    steps = "- {action: acme.add_stock, with: {item: a, quantity: 1.5}}\n"
    steps += "- {action: acme.add_stock, with: {item: a, quantity: =1.5}}"
    found = linted(steps, Shapes(own=STATIC))
    assert [(each.code, "a whole number" in each.message) for each in found] == [
        ("HF104", True)
    ] * 2
    text = HEAD.replace("default: 3", "default: many")
    (wrong,) = lint_text(text, "f.yaml", Shapes(own=STATIC))
    assert (wrong.code, wrong.message) == ("HF104", "limit: `default` has to be a whole number")
    with pytest.raises(DefinitionError, match=wrong.message):
        build(read(text, "f.yaml"), Components(own))


def test_a_component_that_is_not_there_is_told_once_with_what_writes_it() -> None:
    text = (EXAMPLES / "warehouse.yaml").read_text("utf-8")
    (found,) = [each for each in lint_text(text, "f.yaml", Shapes()) if each.code == "HF102"]
    assert "there is no component 'acme'" in found.message
    assert "`halflap new acme` writes that of the sandbox app" in found.message
    misspelt = lint_text(text.replace("acme.", "htp.", 2), "f.yaml", Shapes())
    assert sum("did you mean http?" in each.message for each in misspelt) == 2


def test_every_rule_of_documents_has_a_mistake_of_its_own() -> None:
    found = {case[0] for case in CASES.values()} | {case.given.get("code") for case in cases()}
    assert {each.code for each in RULES} - found == {
        "HF141",
        "HF145",
    }  # test_examples.py, test_api_drafts_events.py
    assert all(each.finds and each.why and each.instead for each in RULES)


def test_a_text_that_is_no_yaml_is_one_finding() -> None:
    (found,) = lint_text("name: x\nflows: [\n", "f.yaml", Shapes())
    assert (found.code, found.line, found.column) == ("HF100", 3, 1)


def test_a_trigger_that_verifies_nothing_is_a_warning_that_can_be_excused() -> None:
    text = HEAD.replace("    with: {signature: github}\n", "")
    (found,) = lint_text(text, "f.yaml", Shapes(Components(own)))
    assert (found.code, found.severity, found.line, found.column) == ("HF114", "warning", 9, 14)
    excused = text.replace("webhook.request", "webhook.request # halflap: ignore[HF114]")
    assert lint_text(excused, "f.yaml", Shapes(Components(own))) == []


def test_a_signed_id_is_the_better_key() -> None:
    given = '{signature: standard, dedupe: "header:X-Id"}'
    text = HEAD.replace("{signature: github}", given)
    (found,) = lint_text(text, "f.yaml", Shapes(Components(own)))
    assert (found.code, found.severity, found.line, found.column) == ("HF140", "warning", 10, 41)
    assert "'X-Id'" in found.message
    assert "'webhook-id'" in found.message
    for better in (given.replace("X-Id", "webhook-id"), given.replace("standard", "github")):
        text = HEAD.replace("{signature: github}", better)
        assert lint_text(text, "f.yaml", Shapes(Components(own))) == []


@for_each(
    "config", ["", "  Options:", "  Options: {a: }", "  - x", "  Options: [limit]", "  Connect: {}"]
)
def test_a_config_that_is_not_finished_is_read_as_far_as_it_goes(config: str) -> None:
    text = HEAD.replace(HEAD[HEAD.index("  Connect:") : HEAD.index("flows:")], config + "\n")
    for each in ("config.limit", "config.Options.limit", "config.a.b", "event.x"):
        read = text.replace("config.limit & event.x", each) + "      - action: acme.list_stock\n"
        for found in lint_text(read, "f.yaml", Shapes(Components(own))):
            if found.code == "HF116" and found.fix is not None:
                mended = "\n".join(found.fix.applied(read.splitlines()))
                again = lint_text(mended, "f.yaml", Shapes(Components(own)))
                assert {one.code for one in again} & {"HF100", "HF101", "HF116"} == set()


@for_each(
    "name,inputs",
    [("http.poll", ""), ("sqs.message", ""), ("shopify.event", "{topics: [orders/create]}")],
)
def test_a_trigger_that_calls_its_app_needs_its_connection(name: str, inputs: str) -> None:
    text = HEAD.replace("webhook.request", name).replace("{signature: github}", inputs or "{}")
    found = lint_text(text, "f.yaml", Shapes(Components(own)))
    [lacks] = [each for each in found if each.code == "HF116"]
    assert f"{name} needs a connection of {name.partition('.')[0]}" in lacks.message
    assert (lacks.line, lacks.fix is not None) == (9, True)
    mended = "\n".join(lacks.fix.applied(text.splitlines())) if lacks.fix else ""
    again = lint_text(mended, "f.yaml", Shapes(Components(own)))
    assert [each.code for each in again if each.code in ("HF100", "HF116")] == []


def test_an_option_that_an_orders_rule_does_not_take_is_found() -> None:
    def said(order: str) -> list[str]:
        text = f"{HEAD.replace('    steps:', f'    order: {order}{chr(10)}    steps:')}      - log: a\n"
        found = lint_text(text, "tried.yaml", Shapes(Components(own)))
        return [each.message for each in found if "takes no" in each.message]

    assert said("{rule: parallel, width: 3, by_key: true}") == [
        "`parallel` takes no `by_key`; leave it out"
    ]
    assert said("{rule: latest_wins, width: 2, after_failure: block}") == [
        "`latest_wins` takes no `width`; leave it out",
        "`latest_wins` takes no `after_failure`; leave it out",
    ]
    assert said("{rule: fifo, by_key: /id, after_failure: block, while_waiting: go_on}") == []


def test_what_only_building_finds_is_a_finding() -> None:
    text = HEAD.replace("  Options:", "  More:\n    limit: {type: integer}\n  Options:")
    (found,) = lint_text(text, "f.yaml", Shapes(Components(own)))
    assert (found.code, found.line) == ("HF118", 8)


def test_tests_name_flows_actions_and_fields_that_there_are() -> None:
    tests = """
tests:
  - name: it works
    flow: mian
    config: {limits: 3}
    stubs: {acme.find_acount: null}
    expect: [{acme.get_acount: {id: x}}]
    secrets: {mian: s}
    urls: {mian: u}
    paired: {recs: []}
    after: {paired: {recs: []}}
"""
    found = lint_text(HEAD + tests, "f.yaml", Shapes(Components(own)))
    assert [(each.line - LINES, each.column, each.code) for each in found] == [
        (4, 11, "HF102"),
        (5, 14, "HF115"),
        (6, 13, "HF102"),
        (7, 15, "HF102"),
        (8, 15, "HF102"),
        (9, 12, "HF102"),
        (10, 14, "HF102"),
        (11, 22, "HF102"),
    ]


def test_a_thousand_steps_are_read_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, texts = Expression.parse, list[str]()

    def counted(text: str) -> Expression:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr(Expression, "parse", counted)
    steps = "".join(
        f"- {{id: a{at}, action: acme.find_account, with: {{external_id: =event.x{at}}}}}\n"
        f"- if: =a{at} = null\n"
        "  then: [{action: acme.update_account, with: {id: a, name: =event.id}}]\n"
        f"  else: [{{log: =a{at}.name}}]\n"
        for at in range(250)
    )
    assert linted(steps) == []
    assert len(texts) == len(set(texts)) == 3 * 250 + 2


def documents() -> dict[str, str]:
    found = {path.name: path.read_text() for path in EXAMPLES.glob("*.yaml")}
    for page in DOCS.glob("*.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        found |= {f"{page.name} {at}": each for at, each in enumerate(blocks) if "flows:" in each}
    return found


ALARMS = ("HF120", "HF121")
"""Warnings that no example gives, as they would fail at times."""


@for_each("text", documents().values(), ids=documents())
def test_the_examples_have_no_errors_and_nothing_that_may_be_null(text: str) -> None:
    found = lint_text(text, "shown.yaml", Shapes(Components(own)))
    assert [each for each in found if each.severity == "error" or each.code in ALARMS] == []


# Types ----------------------------------------------------------------------------------------

shop = Component("shop")


class Line(Model):
    sku: str
    count: int = 1
    note: Annotated[str, BeforeValidator(str)] = ""


class Order(Model):
    id: str
    lines: list[Line] = []
    kind: Annotated[str, Field(alias="Kind")] = ""


@shop.action
async def order(given: Order, note: Annotated[str, BeforeValidator(str)] = "") -> Order:
    """Make an order."""
    return given


SHOP = Shapes(Components(lambda name: shop if name == "shop" else own(name)))


@for_each(
    ("given", "said"),
    [
        (
            "{lines: =event.x}",
            "the input given needs the field 'id', and this gives an object with lines",
        ),
        ("{id: =1 + 1}", "the input given.id is a text, and this gives a number; use $string()"),
        (
            "{id: a, lines: [{sku: =event.x}, {sku: =config}]}",
            "the input given.lines.1.sku is a text, and",
        ),
        ("\"={'id': 'a', 'lines': [{'count': 1}]}\"", "the input given"),
        (
            "'=event.x ? 1 : 2'",
            "the input given is an object with id, lines, Kind, and this gives 1",
        ),
        ("{id: =event.x, Kind: =event.y}", ""),
        ("{id: =event.x, kind: =event.y}", ""),
        ("{id: =event.x, lines: {sku: =event.y}}", ""),
        ("=event", ""),
        ("{id: =event.x}, note: =1 + 1", ""),
    ],
)
def test_what_stands_in_an_object_is_held_against_its_type(given: str, said: str) -> None:
    text = f"{HEAD}      - action: shop.order\n        with: {{given: {given}}}\n"

    found = [each for each in lint_text(text, "f.yaml", SHOP) if each.severity == "error"]

    assert [each.code for each in found] == ["HF104"] * (
        2 if said.endswith("gives 1") else bool(said)
    )
    assert not said or said in found[0].message


# What would mend it ---------------------------------------------------------------------------


@for_each(
    ("wrong", "mended"),
    [
        ("- {action: acme.get_account, wth: {id: a}}", "with: {id: a}"),
        ("- {log: x, title: 7}", 'title: "7"'),
        ("- code: |\n    await acme.get_acount(id='a')", "acme.get_account(id"),
        ("- code: |\n    await acme.get_account(idd='a')", "acme.get_account(id="),
    ],
)
def test_what_would_mend_a_finding_does(wrong: str, mended: str) -> None:
    text = HEAD + indent(wrong, " " * 6) + "\n"
    shapes = Shapes(Components(own))
    fix = next(each.fix for each in lint_text(text, "f.yaml", shapes) if each.fix is not None)

    lines = fix.applied(text.splitlines())

    assert mended in lines[fix.line - 1]
    again = lint_text("\n".join(lines) + "\n", "f.yaml", shapes)
    assert [each for each in again if each.severity == "error" and each.code != "HF103"] == []


@for_each(
    "wrong",
    [
        *(
            "- log: =xyz.x",
            "- action: xyz.abc",
            "- log: =event.x +",
            "- {log: =event.x[}",
            "- x: [1",
        ),
        "- {if: '', then: [{log: x}]}",
    ],
)
def test_what_no_one_word_mends_has_no_fix(wrong: str) -> None:
    assert [each.fix for each in linted(wrong) if each.fix is not None] == []


def test_a_variable_called_name_is_no_variable_by_name_and_value() -> None:
    (found,) = linted("- set: {name: null}")
    assert found.message == "nothing reads the variable 'name'; remove it"


def test_a_finding_is_bounded() -> None:
    wrong = "x" * 200_000
    for steps in (
        f"- action: acme.{wrong}",
        f"- {{log: a, {wrong}: 1}}",
        f"- log: ={wrong}",
        f"- log: =event.{wrong}.a[",
        f"- {{log: a, level: {wrong}}}",
    ):
        for each in linted(steps):
            assert len(str(each)) < 1_200, each.code


REFERRING = """
name: hours
config:
  schedule:
    every: {type: integer, minimum: 1}
    zone: {default: UTC}
    region: {}
flows:
  often:
    trigger: schedule.every
    with: {minutes: =config.every, tz: =config.zone}
    filter: =query.region = config.region
    steps:
      - log: a tick
"""


@for_each(
    ("old", "new", "said"),
    [
        ("", "", ""),
        (
            "=config.every",
            "=config.zone",
            "the input minutes is a whole number, and config.zone is a text",
        ),
        ("=config.every", "=config.ever", "config has no 'ever'; did you mean every?"),
        (
            "=config.every",
            "=config.every * 2",
            "a trigger's input is a value, or one field of the config",
        ),
        (
            "=config.every",
            "=event.every",
            "a trigger's input is a value, or one field of the config",
        ),
        ("config.region", "config.regio", "config has no 'regio'; did you mean region?"),
    ],
)
def test_a_triggers_input_and_a_filter_read_the_config(old: str, new: str, said: str) -> None:
    found = [
        str(each)
        for each in lint_text(REFERRING.replace(old, new, 1), "h.yaml", Shapes(Components(own)))
    ]
    errors = [each for each in found if "nothing reads" not in each]
    assert any(said in each for each in errors) if said else found == []


@pytest.mark.parametrize(
    ("config", "mended"),
    [
        ("", "config:\n  Connect:\n    http: {connection: http}\n"),
        ("config:\n  Connect: {}\n", "config:\n  Connect: {http: {connection: http}}\n"),
        (
            "config:\n  Connect:\n    shop: {}\n",
            "config:\n  Connect:\n    http: {connection: http}\n    shop: {}\n",
        ),
    ],
)
def test_a_connection_that_is_missing_is_added_to_the_config(config: str, mended: str) -> None:
    rest = "flows:\n  a:\n    trigger: webhook.request\n    steps:\n"
    rest += "      - {action: http.get, with: {path: /a}}\n"
    found = lint_text(f"name: a\n{config}{rest}", "tried.yaml", Shapes())
    (fix,) = (each.fix for each in found if "needs a connection" in each.message)
    assert fix is not None
    assert "\n".join(fix.applied(f"name: a\n{config}{rest}".split("\n"))) == (
        f"name: a\n{mended}{rest}"
    )
