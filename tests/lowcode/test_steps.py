"""Each kind of step does what its page says, on the real executor."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from textwrap import indent
from typing import Any

import pytest

from halflap import Retry, UpstreamError, salesforce
from halflap.errors import DefinitionError
from halflap.lowcode.kinds.action import RetryRule, retry_of
from halflap.testing import Result, Run
from tests.cases import for_each
from tests.lowcode.documents import HEAD, acme, built, of_steps

GONE = UpstreamError("it is gone", status=404)


async def tried(run: Run, steps: str, event: Any = None, more: str = "", **given: Any) -> Result:
    integration = of_steps(steps, more)
    flow = integration.flows["main"]
    given["stubs"] = {
        integration.flows.get(name, acme.component.actions.get(name)): answer
        for name, answer in given.get("stubs", {}).items()
    }
    return await run(flow, {} if event is None else event, integration=integration, **given)


def answer(result: Result) -> Any:
    result.raise_for_failure()
    return result.result


async def test_an_action_is_a_recorded_step_with_its_title_and_typed_inputs(run: Run) -> None:
    result = await tried(
        run,
        """
- id: made
  title: Make it
  action: acme.create_opportunity
  with: {external_id: =event.id, name: =$uppercase(event.name), stage: Won}
- stop: {answer: =made.price}
""",
        {"id": "006", "name": "suits"},
        stubs={
            "create_opportunity": acme.Opportunity(
                id="9", name="SUITS", stage="Won", seats=5, price=Decimal("19.90")
            )
        },
    )
    assert result.steps == [
        acme.create_opportunity.call(external_id="006", name="SUITS", stage="Won")
    ]
    assert result.steps[0].title == "Make it"
    assert str(answer(result)) == "19.90"


async def test_an_input_that_is_left_out_and_one_that_is_null_differ(run: Run) -> None:
    contact = acme.Contact(id="1", name="Ada")
    steps = "- {action: acme.update_contact, with: {id: '1', name: =event.name, email: %s}}"
    left = await tried(run, steps % "=$x", {"name": "Ada"}, stubs={"update_contact": contact})
    cleared = await tried(run, steps % "null", {"name": "Ada"}, stubs={"update_contact": contact})
    assert left.steps == [acme.update_contact.call(id="1", name="Ada")]
    assert cleared.steps == [acme.update_contact.call(id="1", name="Ada", email=None)]


async def test_an_input_that_does_not_fit_fails_at_its_place(run: Run) -> None:
    steps = "- {action: acme.update_account, with: {id: =event.id, name: x}}"
    result = await tried(run, steps, {"id": 6})
    assert result.state == "failed"
    assert result.reason == (
        "Update account: acme.update_account: the input id does not fit: has to be a text; "
        'quote it, "6", or write =$string(…) (tried.yaml:12:50)'
    )


@for_each(
    ("steps", "event", "expected"),
    [
        ("- {if: =event.x, then: [{stop: {answer: 1}}], else: [{stop: {answer: 2}}]}", {"x": True}, 1),
        ("- {if: =event.x, then: [{stop: {answer: 1}}], else: [{stop: {answer: 2}}]}", {}, 2),
        ("- {if: =event.x = null, then: [{stop: {answer: 1}}]}", {}, 1),
        ("- {if: =event.x = null, then: [{stop: {answer: 1}}]}", {"x": 0}, None),
        (
            "- {switch: =event.x, cases: {'true': [{stop: {answer: a}}], true: [{stop: {answer: b}}]}, "
            "default: [{stop: {answer: c}}]}",
            {"x": True},
            "b",
        ),
        ("- {switch: =event.x, cases: {'1': [{stop: {answer: a}}]}}", {"x": 1}, None),
        ("- {switch: =event.x, cases: {1: [{stop: {answer: a}}]}}", {"x": Decimal("1.0")}, "a"),
        ("- set: {a: 1}\n- set: {b: =a + 1, c: ==a}\n- stop: {answer: [=a, =b, =c]}", {}, [1, 2, "=a"]),
        ("- {stop: {answer: {all: =event, l: =config.limit}}}", {"x": 1}, {"all": {"x": 1}, "l": 3}),
        ("- {stop: {answer: =urls.main}}", {}, "https://halflap.example/hooks/main"),
        ("- {stop: {answer: =customer.name}}", {}, "Test customer"),
    ],
)  # fmt: skip
async def test_branches_and_values(run: Run, steps: str, event: Any, expected: Any) -> None:
    assert answer(await tried(run, steps, event)) == expected


async def test_a_condition_is_true_or_false(run: Run) -> None:
    result = await tried(run, "- {if: =event.x, then: [{stop: true}]}", {"x": "yes"})
    assert result.state == "failed"
    assert result.reason == (
        'if: `if` is the text "yes", and has to be true or false; compare it with something, '
        "or use $boolean() (tried.yaml:12:14)"
    )


async def test_a_failed_expression_names_step_field_and_value_first(run: Run) -> None:
    steps = (
        "- title: Book the order\n  action: acme.update_contact\n"
        "  with: {id: '1', name: =event.total * 2}\n"
    )
    result = await tried(run, steps, {"total": "12"})
    assert result.reason == (
        'Book the order, name: event.total is the text "12", and * takes numbers; '
        "use $number(event.total) (T2001, at character 13 of `event.total * 2`; tried.yaml:14:44)"
    )
    inner = "- try:\n" + "".join(f"    {line}\n" for line in steps.splitlines())
    caught = f"{inner}  catch:\n    - stop: {{answer: =error.message}}"
    again = await tried(run, caught, {"total": "12"})
    assert str(answer(again)).startswith("Book the order, name: event.total is")


LOOP = """
- set: {count: 0, last: null}
- id: found
  for: each
  in: =event.items
  where: =each != 2
  do:
    - if: =each = 4
      then:
        - break: true
    - set: {count: =count + 1, last: =each, inner: =each}
  collect: =each * 10
- stop: {answer: [=count, =last, =inner, =found]}
"""


async def test_a_loop_goes_over_items_in_turn_and_can_be_left(run: Run) -> None:
    assert answer(await tried(run, LOOP, {"items": [1, 2, 3, 4, 5]})) == [2, 3, None, [10, 30]]
    assert answer(await tried(run, LOOP, {"items": 7})) == [1, 7, None, [70]]
    assert answer(await tried(run, LOOP, {})) == [0, None, None, []]


SIDE_BY_SIDE = """
- set: {kept: 0}
- id: found
  for: each
  in: =event.items
  parallel: 3
  on_failure: continue
  do:
    - set: {kept: =kept + 1}
    - id: stock
      action: acme.add_stock
      with: {item: =each.id, quantity: =each.n}
  collect: =stock.quantity + kept
- stop: {answer: [=kept, =found]}
"""


async def test_equal_items_side_by_side_are_branches_of_their_own(run: Run) -> None:
    steps = """
- for: each
  in: =event.items
  parallel: 2
  do:
    - action: acme.add_stock
      with: {item: =each, quantity: 1}
"""
    stubs = {"add_stock": lambda item, quantity: acme.Stock(item=item, quantity=quantity)}
    items = {"items": ["saw", "saw", "saw~2", "saw"]}
    result = await tried(run, steps, items, stubs=stubs)
    assert [each.path for each in result.steps] == [
        f"gather[{name}]/acme.add_stock" for name in ("saw", "saw~2", "saw~2~2", "saw~3")
    ]
    keyed = steps.replace("parallel: 2", "parallel: 2\n  key: =each")
    failed = await tried(run, keyed, items, stubs=stubs)
    assert "'saw' come twice; give a `key` that tells them apart" in failed.reason


async def test_items_side_by_side_have_scopes_of_their_own_and_fail_by_themselves(run: Run) -> None:
    def stock(item: str, quantity: int) -> Any:
        if item == "rope":
            raise UpstreamError("no rope", status=422)
        return acme.Stock(item=item, quantity=quantity)

    items = [{"id": "anvil", "n": 2}, {"id": "rope", "n": 1}, {"id": "saw", "n": 4}]
    result = await tried(run, SIDE_BY_SIDE, {"items": items}, stubs={"add_stock": stock})
    kept, (first, second, third) = answer(result)
    assert (kept, first, third) == (0, 3, 5)
    assert (second["error"]["kind"], second["error"]["status"]) == ("StepFailed", 422)
    assert [each.path for each in result.steps] == [
        f"gather[{name}]/acme.add_stock" for name in ("anvil", "rope", "saw")
    ]


async def test_what_fails_is_caught_ignored_or_tried_again(run: Run) -> None:
    steps = """
- id: first
  action: acme.get_account
  with: {id: a}
  on_failure: ignore
- try:
    - action: acme.update_account
      with: {id: a, name: b}
  catch:
    - set: {seen: =error}
- stop: {answer: [=first, =seen.status, =seen.kind, =seen.step]}
"""
    stubs = {"get_account": GONE, "update_account": GONE}
    assert answer(await tried(run, steps, stubs=stubs)) == [
        None,
        404,
        "StepFailed",
        "acme.update_account",
    ]
    again = """
- id: found
  action: acme.get_account
  with: {id: a}
  retry: {attempts: 2, first: 3s}
- stop: {answer: =found.name}
"""
    down = UpstreamError("down", status=503)
    account = acme.Account(id="a", name="Initech")
    given: Any = {"stubs": {"get_account": account}}
    result = await tried(run, again, fail={acme.get_account: [down]}, **given)
    assert answer(result) == "Initech"
    spent = await tried(run, again, fail={acme.get_account: [down, down]}, **given)
    assert (spent.state, spent.steps[0].tries) == ("failed", 2)


def test_a_retry_leaves_to_the_action_what_it_does_not_say() -> None:
    own = Retry(16, first=timedelta(seconds=5))
    rule = RetryRule.model_validate({"on": [423]})
    assert retry_of(rule, own) == Retry(16, first=timedelta(seconds=5), on=(423,))
    assert retry_of(3, own) == Retry(3, first=timedelta(seconds=5))


async def test_throw_fails_and_can_be_caught(run: Run) -> None:
    failed = await tried(run, "- throw: ='no ' & event.x", {"x": "way"})
    assert (failed.state, failed.reason) == ("failed", "no way")
    caught = "- try: [{throw: no way}]\n  catch: [{stop: {answer: =[error.kind, error.message]}}]"
    caught = caught.replace("=[error.kind, error.message]", '"=[error.kind, error.message]"')
    assert answer(await tried(run, caught)) == ["thrown", "no way"]


async def test_an_expression_that_fails_says_where(run: Run) -> None:
    failed = await tried(run, "- set:\n    a: |\n      =1 +\n      event.x", {"x": "text"})
    assert failed.state == "failed"
    assert failed.reason.startswith("set, a: event.x is")
    assert failed.reason.endswith("tried.yaml:14:16)")


CHILD = """
child:
  trigger: webhook.request
  steps:
    - if: =event.bad
      then: [{throw: bad}]
    - stop: {answer: =event.x * 2}
"""


async def test_another_flow_is_called_and_waited_for_or_not(run: Run) -> None:
    steps = "- {id: got, call: child, event: {x: =event.x}}\n- stop: {answer: =got}"
    assert answer(await tried(run, steps, {"x": 21}, CHILD)) == 42
    started = "- {id: got, call: child, event: {x: 1}, wait: false}\n- stop: {answer: =got}"
    assert str(answer(await tried(run, started, {}, CHILD))).startswith("exe_")
    ignored = (
        "- {id: got, call: child, event: {bad: true}, on_failure: ignore}\n- stop: {answer: =got}"
    )
    assert answer(await tried(run, ignored, {}, CHILD)) is None


async def test_it_sleeps_and_waits(run: Run) -> None:
    steps = """
- sleep: =event.time
- id: heard
  wait: approved
  timeout: 1 h
- stop: {answer: =heard.by}
"""
    signals = {"approved": {"by": "Ada"}}
    assert answer(await tried(run, steps, {"time": "2 h"}, signals=signals)) == "Ada"
    late = await tried(run, steps, {"time": 5})
    assert late.state == "failed"
    wrong = await tried(run, steps, {"time": "soon"})
    assert "sleep: 'soon' is no duration" in wrong.reason


async def test_links_answer_a_wait(run: Run) -> None:
    steps = """
- {id: links, links: approved, choices: [yes, no], text: 'Really?'}
- stop: {answer: =links}
"""
    links = answer(await tried(run, steps))
    assert set(links) == {"yes", "no"}
    assert all(each.startswith("https://") for each in links.values())


async def test_state_outlives_the_execution_and_is_compared(run: Run) -> None:
    steps = """
- {id: seen, state: get, key: =event.key, default: 0}
- {state: put, key: =event.key, value: =seen + 1, expect: =event.expect}
- {state: delete, key: other}
- stop: {answer: =seen}
"""
    result = await tried(run, steps, {"key": "k", "expect": 41}, state={"k": 41, "other": 1})
    assert (answer(result), result.stored) == (41, {"k": 42})
    met = await tried(run, steps, {"key": "k", "expect": 40}, state={"k": 41})
    assert met.state == "failed"
    new = await tried(run, steps, {"key": "k", "expect": None})
    assert new.stored == {"k": 1}


async def test_a_flow_answers_ignores_and_replies(run: Run) -> None:
    ignored = await tried(run, "- stop: {ignore: ='not ' & event.x}", {"x": "this"})
    assert (ignored.state, ignored.reason) == ("ignored", "not this")
    steps = "- stop: {reply: {status: =event.s, body: {a: 1}, headers: {X-A: =event.s}}}"
    replied = answer(await tried(run, steps, {"s": 201}))["$reply"]
    assert (replied["status"], replied["body"], replied["headers"]) == (
        201,
        {"a": 1},
        {"X-A": "201"},
    )
    bare = answer(await tried(run, "- stop: {reply: {status: 204}}", {}))["$reply"]
    null = answer(await tried(run, "- stop: {reply: {body: null}}", {}))["$reply"]
    assert (bare["body"], null["body"]) == ("", None)
    wrong = await tried(run, steps, {"s": 99})
    assert "a status from 200 to 599" in wrong.reason


async def test_what_is_logged_is_in_the_execution(run: Run) -> None:
    result = await tried(
        run, "- {log: ='got ' & event.x, level: warning, fields: {x: =event.x}}", {"x": 1}
    )
    assert [(each.level, each.message, each.fields) for each in result.logs] == [
        ("warning", "got 1", {"x": 1})
    ]


async def test_time_and_chance_are_the_executions_own(run: Run) -> None:
    steps = "- set: {a: =$now(), b: =$random(), c: =$random()}\n- sleep: 1h\n"
    steps += "- stop: {answer: '=[a, b, c, $now()]'}"
    first, again = answer(await tried(run, steps)), answer(await tried(run, steps))
    assert first[0] == again[0]
    assert first[1] != first[2]
    assert first[3] > first[0]


async def test_one_match_stays_a_list_where_the_input_is_one(run: Run) -> None:
    steps = """
- action: salesforce.ensure_outbound_message
  with: {object: Account, url: =urls.main, fields: "=event.fields[name != 'Id'].name", username: x}
"""
    text = HEAD.replace("    acme:", "    salesforce: {connection: salesforce}\n    acme:")
    integration = built(text + indent(steps.strip(), " " * 6))
    message = salesforce.OutboundMessage(id="m1", name="m", object="Account", url="u", fields=[])
    event = {"fields": [{"name": "Id"}, {"name": "Name"}]}
    stubs = {salesforce.ensure_outbound_message: message}
    result = await run(integration.flows["main"], event, stubs=stubs, integration=integration)
    assert dict(result.steps[0].inputs)["fields"] == ["Name"]


REFUSED = {
    "an unknown component": ("- action: acne.find", "12:17", "there is no component 'acne'"),
    "an unknown action": ("- action: acme.find_acount", "12:17", "did you mean acme.find_account?"),
    "an unknown input": ("- {action: acme.get_account, with: {ix: 1}}", "12:47", "its inputs: id"),
    "a missing input": ("- {action: acme.get_account}", "12:9", "needs the input 'id'"),
    "an unknown flow": ("- call: mian", "12:15", "there is no flow 'mian'"),
    "unknown pairs": ("- {paired: x, with: {a: b}}", "12:18", "there are no pairs 'x'"),
    "a break without a loop": ("- break: true", "12:9", "there is none around it"),
    "a break side by side": (
        "- {for: a, in: [1], parallel: 2, do: [{break: true}]}",
        "12:45",
        "leave out `parallel`",
    ),
    "a stop side by side": (
        "- {for: a, in: [1], parallel: 2, do: [{stop: true}]}",
        "12:45",
        "other items run beside",
    ),
    "two ways to stop": ("- stop: {answer: 1, ignore: x}", "12:15", "takes one of"),
    "a bad expression": ("- set: {a: =1 +}", "12:", "ends too early"),
    "a connection that is none": (
        "- {action: acme.get_account, with: {id: x}, connection: sf}",
        "12:63",
        "sf is no connection of acme; there are: acme",
    ),
    "a connection where the config has none": (
        "- {action: salesforce.query, with: {soql: x}, connection: sf}",
        "12:65",
        "sf is no connection of salesforce, and the config has none: "
        "add `salesforce: {connection: salesforce}` to it",
    ),
}


@for_each(("steps", "where", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_refused_at_its_place(steps: str, where: str, said: str) -> None:
    with pytest.raises(Exception, match=r"^tried\.yaml:") as raised:
        of_steps(steps)
    assert str(raised.value).startswith(f"tried.yaml:{where}")
    assert said in str(raised.value)


def test_the_config_is_a_form_with_pages() -> None:
    text = """\
name: form
config:
  Connect:
    acme: {connection: acme}
  Options:
    discount: {type: decimal, title: Discount (%), default: 0, minimum: 0, maximum: 100}
    region: {choices: {eu: Europe, us: United States}}
    tags: {multiple: true, required: false}
    stage: {source: acme.list_stock, depends: [region]}
    map: {type: mapping, to: [name, stage], of: acme.list_stock}
flows:
  main: {trigger: webhook.request, steps: [{stop: true}]}
"""
    schema = built(text).config.model_json_schema()
    fields = schema["properties"]
    assert fields["discount"]["title"] == "Discount (%)"
    assert fields["region"]["x-labels"] == {"eu": "Europe", "us": "United States"}
    assert fields["stage"]["x-source"] == {
        "kind": "choices",
        "action": "acme.list_stock",
        "depends": ["region"],
        "with": {"region": "=region"},
        "open": False,
        "search": False,
    }
    assert fields["map"]["x-to"] == ["name", "stage"]
    assert schema["required"] == ["acme", "region", "stage", "map"]
    assert {each["x-page"] for each in fields.values()} == {"Connect", "Options"}
    with pytest.raises(DefinitionError, match=r"form.yaml:9:.*did you mean acme.list_stock"):
        built(text.replace("source: acme.list_stock", "source: acme.list_stok"), "form.yaml")


async def test_inputs_are_all_filled_before_any_has_to_fit(run: Run) -> None:
    steps = "- action: acme.add_stock\n  with: {item: [], quantity: =$number(event.x)}"
    result = await tried(run, steps, {"x": "no"})
    assert "is not a number" in str(result.reason)


async def test_a_log_evaluates_its_message_before_its_fields(run: Run) -> None:
    result = await tried(run, "- {log: =$error('message'), fields: {a: =$error('field')}}")
    with pytest.raises(AssertionError, match="message"):
        result.raise_for_failure()


# Going on -------------------------------------------------------------------------------------


async def test_it_continues_with_another_event_as_a_new_execution(run: Run) -> None:
    result = await tried(
        run,
        """
- {id: page, call: sub, event: {n: =event.n}}
- if: =event.n < 3
  then: [{continue_with: {n: =event.n + 1}}]
- stop: {answer: =event.n & " pages"}
""",
        {"n": 1},
        "sub: {trigger: webhook.request, steps: [{stop: {answer: =event.n}}]}",
    )
    assert answer(result) == "3 pages"
    assert [each.given for each in result.calls] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_it_continues_from_within_a_loop_and_a_try(run: Run) -> None:
    result = await tried(
        run,
        """
- for: each
  in: =event.list
  do:
    - try: [{if: =each = 2, then: [{continue_with: {list: [7]}}]}]
      catch: [{log: never}]
    - {log: =$string(each)}
- stop: {answer: =event.list}
""",
        {"list": [1, 2, 3]},
    )
    assert answer(result) == [7]
    assert [each.message for each in result.logs] == ["1", "7"]


def test_a_continuation_beside_others_is_refused_as_it_is_compiled() -> None:
    with pytest.raises(DefinitionError, match="leave out `parallel`"):
        of_steps("- {for: x, in: [1], parallel: 2, do: [{continue_with: {}}]}")


async def test_an_error_that_is_caught_names_no_host(run: Run) -> None:
    failed = UpstreamError(
        "GET http://10.0.0.5:8080/v1/a answered 404 (see https://docs.example)", status=404
    )
    steps = """
- id: each
  for: id
  in: [a]
  do: [{action: acme.get_account, with: {id: =id}}]
  collect: =id
  on_failure: continue
- stop: {answer: =each}
"""
    (item,) = answer(await tried(run, steps, stubs={"get_account": failed}))
    assert item.keys() == {"error"}
    assert item["error"].keys() == {"message", "kind", "step", "status"}
    assert "GET /v1/a answered 404 (see /)" in item["error"]["message"]


FAILS_ALONE = """
- id: found
  for: each
  in: =event.items
  where: =$number(each.n) > 1
  on_failure: continue
  do:
    - id: stock
      action: acme.add_stock
      with: {item: anvil, quantity: =each.n}
  collect: =$number(stock.quantity) + $number(each.extra)
- stop: {answer: =found}
"""


@pytest.mark.parametrize("parallel", ["", "  parallel: 2\n"])
async def test_an_expression_that_fails_of_one_item_fails_that_item_only(
    run: Run, parallel: str
) -> None:
    steps = FAILS_ALONE.replace("  do:\n", f"{parallel}  do:\n")
    items = [
        {"n": 2, "extra": 1},
        {"n": "two"},
        {"n": 1},
        {"n": 3, "extra": "x"},
        {"n": 4, "extra": 0},
    ]
    stubs = {"add_stock": lambda item, quantity: {"item": item, "quantity": quantity}}
    one, wrong, other, last = answer(await tried(run, steps, {"items": items}, stubs=stubs))
    assert (one, last) == (3, 4)
    assert [each["error"]["kind"] for each in (wrong, other)] == ["ExpressionError"] * 2
    with pytest.raises(AssertionError):  # a control: without it, the flow fails
        answer(
            await tried(
                run, steps.replace("  on_failure: continue\n", ""), {"items": items}, stubs=stubs
            )
        )


@pytest.mark.parametrize("parallel", ["", "  parallel: 2\n"])
async def test_the_step_of_an_error_is_called_as_it_is_written(run: Run, parallel: str) -> None:
    steps = f"""
- id: found
  for: each
  in: [a, b, c]
{parallel}  on_failure: continue
  do:
    - {{action: acme.get_account, with: {{id: =each}}}}
    - {{id: again, action: acme.get_account, title: Ask again, with: {{id: =each}}}}
    - log: =$string(again)
- stop: {{answer: =found.error.step}}
"""
    failed = UpstreamError("no such account", status=404)
    assert (
        answer(await tried(run, steps, stubs={"get_account": failed})) == ["acme.get_account"] * 3
    )
