"""Types of events and answers from schemas, samples and tests; and what is one or many in JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap.lowcode.assist import analyse, complete
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.examples import seen
from halflap.lowcode.lint.scope import fields_of, forms_of, missing
from halflap.sdk.lint import Finding
from halflap.testing import document as documents
from tests.cases import for_each
from tests.lowcode.convert.twins import imported, opened, python_of
from tests.lowcode.convert.twins import seen as outcome_of

HEAD = """\
name: tried
config:
  Connect:
    api: {connection: http}
flows:
  main:
    trigger: webhook.request
    with: {signature: github, answer: result}
"""
TESTS = """\
tests:
  - name: two lines
    flow: main
    event: {id: "1", customer: {name: Ada}, lines: [{sku: a, count: 1}, {sku: b}]}
    stubs:
      http.get: {name: Initech, orders: [{id: 1}]}
      http.post: {$sequence: [{id: p1}, {$error: no}]}
  - name: one line, of nobody
    flow: main
    event: {id: "2", customer: null, lines: {sku: a, count: 2}}
    stubs: {http.get: {$error: It is gone, status: 404}}
"""


def of(steps: str, flow: str = "", tests: str = TESTS) -> str:
    lines = "".join(f"      {each}\n" for each in steps.strip("\n").split("\n"))
    return f"{HEAD}{flow}    steps:\n{lines}{tests}"


def linted(steps: str, flow: str = "", tests: str = TESTS) -> list[Finding]:
    return lint_text(of(steps, flow, tests), "tried.yaml", Shapes())


def codes(found: list[Finding]) -> list[str]:
    return [each.code for each in found]


# Types ----------------------------------------------------------------------------------------

SAMPLE = "    sample: {id: '1', customer: {name: Ada}, lines: [{sku: a}]}\n"
SCHEMA = """\
    schema:
      type: object
      required: [id, lines]
      properties:
        id: {type: string}
        customer: {type: [object, "null"], properties: {name: {type: string}}}
        lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}
"""


@pytest.mark.parametrize(
    ("flow", "tests", "code"),
    [("", TESTS, "HF142"), (SAMPLE, "", "HF142"), (SCHEMA, "", "HF115")],
    ids=["tests", "sample", "schema"],
)
def test_a_misspelt_field_of_the_event_is_found_with_its_mend(
    flow: str, tests: str, code: str
) -> None:
    for wrong, right in [("event.custmer", "customer"), ("event.lines.skuu", "sku")]:
        (found,) = linted(f"- log: =$string({wrong})", flow, tests)
        assert (found.code, f"did you mean {right}?" in found.message) == (code, True)
        assert found.fix is not None
        assert found.fix.text == right
    assert linted("- log: =$string(event.customer.name)", flow, tests) == []


def test_a_filter_reads_the_event_that_the_tests_send() -> None:
    (found,) = linted("- log: x", "    filter: =event.lnes != null\n")
    assert (found.code, "did you mean lines?" in found.message) == ("HF142", True)


def test_tests_say_nothing_of_a_field_that_is_like_none_of_theirs() -> None:
    assert linted("- log: =$string(event.total)") == []
    (found,) = linted("- log: =$string(event.total)", SAMPLE, "")
    assert (found.code, found.fix) == ("HF142", None)


def test_the_answers_of_http_have_the_types_of_the_stubs_or_of_what_the_step_says() -> None:
    get = "- {id: got, action: http.get, with: {path: /x}%s}\n- log: =$string(got.nme)"
    (found,) = linted(get % "")
    assert (found.code, "did you mean name?" in found.message) == ("HF142", True)
    (found,) = linted(get % ", answers: {sample: {name: x}}", tests="")
    assert found.code == "HF142"
    declared = ", answers: {schema: {type: object, properties: {name: {type: string}}}}"
    assert codes(linted(get % declared, tests="")) == ["HF115"]
    whole = "- {id: got, action: http.request, with: {method: GET, path: /x}, %s}\n"
    whole %= "answers: {sample: {body: {name: x}}}"
    (found,) = linted(whole + "- log: =$string(got.body.nme)", tests="")
    assert found.code == "HF142"


def test_what_is_missing_in_some_tests_or_not_required_may_be_null() -> None:
    post = "- {action: http.get, with: {path: =event.customer.name}}"
    assert codes(linted(post)) == ["HF120"]
    assert codes(
        linted("- {action: http.get, with: {path: =event.customer.name}}", SCHEMA, "")
    ) == ["HF120"]
    assert linted("- {action: http.get, with: {path: =event.id}}", SCHEMA, "") == []


def test_a_flow_that_is_called_or_continues_has_other_events_too() -> None:
    get = "- {action: http.get, with: {path: =event.name}}"
    tests = "tests:\n" + "".join(
        f"  - {{name: t{each}, flow: main, event: {event}}}\n"
        for each, event in enumerate(["{name: Ada}", "{id: '1'}"])
    )
    goes_on = "\n- {if: =execution.id = 'x', then: [{continue_with: {name: x}}]}"
    assert linted(get + goes_on, "", tests) == []
    assert codes(linted(get, "", tests)) == ["HF120"]
    wrong = linted("- {continue_with: {skus: =event.lines.sku}}")
    assert codes(wrong) == ["HF134", "HF141"]


def test_tests_do_not_fix_the_type_of_a_text_or_a_number() -> None:
    assert linted("- {action: http.get, with: {path: =event.lines.count}}") == []
    assert "HF104" in codes(
        linted("- {action: http.get, with: {path: '=event.id * 2'}}", SAMPLE, "")
    )


def test_a_type_that_json_does_not_have_and_a_sample_beside_a_schema_are_found() -> None:
    assert codes(linted("- log: x", "    schema: {properties: {id: {type: strng}}}\n", "")) == [
        "HF104"
    ]
    assert codes(linted("- log: x", "    schema: {type: object}\n    sample: {}\n", "")) == [
        "HF111"
    ]


def test_only_an_event_that_is_the_body_is_known_by_the_tests() -> None:
    raw = of("- log: =$string(event.custmer)").replace("webhook.request", "webhook.raw")
    assert "HF142" not in codes(lint_text(raw, "tried.yaml", Shapes()))


def test_an_editor_offers_the_fields_that_are_shown() -> None:
    text = of("- {id: got, action: http.get, with: {path: /x}}\n- log: =event.")
    line = text.split("\n").index("      - log: =event.")
    offered = [each.label for each in complete(analyse(text, "f.yaml", Shapes()), line, 20).offers]
    assert {"id", "customer", "lines"} <= {*offered}
    text = text.replace("=event.", "=got.")
    offered = [each.label for each in complete(analyse(text, "f.yaml", Shapes()), line, 18).offers]
    assert {"name", "orders"} <= {*offered}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, min_size=1, max_size=4))
def test_each_example_is_of_the_type_that_the_examples_show(values: list[Any]) -> None:
    schema = seen(values, "sample")
    for each in values:
        assert fits(each, schema), (each, schema)
        for name in each if isinstance(each, dict) else ():
            assert name in fields_of(schema)[0]
            assert missing(schema, [name]) is None


def fits(value: Any, schema: Any) -> bool:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    wanted = kinds.get(type(value), "null")
    for form in forms_of(schema, nulls=True):
        if form.get("type") not in (wanted, None):
            continue
        fields = form.get("properties", {})
        if isinstance(value, dict) and not all(
            fits(each, fields.get(name, {})) for name, each in value.items()
        ):
            continue
        if isinstance(value, list) and not all(fits(each, form.get("items", {})) for each in value):
            continue
        return True
    return False


# One or many ----------------------------------------------------------------------------------

PLACES = {
    "an input": "- {action: http.post, with: {path: /x, json: {skus: «}}}",
    "a whole input": "- {action: http.post, with: {path: /x, json: «}}",
    "a reply": "- stop: {reply: {body: {skus: «}}}",
    "an answer": "- stop: {answer: [«]}",
    "a variable's member": "- set: {made: {skus: «}}\n- log: =$string(made)",
    "state": "- {state: put, key: a, value: «}",
    "what a loop gathers": (
        "- {for: x, in: [1], do: [{log: a}], collect: {a: «}, id: y}\n- log: =$string(y)"
    ),
}


@for_each("place", PLACES.values(), ids=PLACES)
def test_one_or_many_in_json_is_found_and_mended(place: str) -> None:
    wrong = of(place.replace("«", "=event.lines.sku"))
    (found,) = lint_text(wrong, "f.yaml", Shapes())
    assert found.code == "HF141"
    assert "$list(event.lines.sku)" in found.message
    assert found.fix is not None
    lines = found.fix.applied(wrong.split("\n"))
    assert lint_text("\n".join(lines), "f.yaml", Shapes()) == []
    assert "=$list(event.lines.sku)" in lines[found.fix.line - 1]


@for_each(
    "right",
    [
        '"=event.lines.sku[]"', "=$list(event.lines.sku)", '"=event.lines[0].sku"',
        '"=event.lines[sku = \'a\'][0].sku"', "=$count(event.lines.sku)", "=event.id",
    ],
)  # fmt: skip
def test_what_is_one_or_a_list_for_certain_is_left_alone(right: str) -> None:
    assert linted(PLACES["an input"].replace("«", right), SAMPLE, "") == []
    assert linted("- {for: x, in: =event.lines.sku, do: [{log: =x}]}") == []


def test_a_variable_that_is_one_or_many_is_found_where_it_goes_into_json() -> None:
    steps = "- set: {skus: =event.lines.sku}\n- {for: x, in: =skus, do: [{log: =x}]}\n"
    assert linted(steps) == []
    (found,) = linted(steps + "- stop: {answer: {skus: =skus}}")
    assert (found.code, found.line) == ("HF141", 12)


def test_one_or_many_within_an_object_of_an_expression_is_found_at_its_place() -> None:
    (found,) = linted("- stop: {answer: \"={'a': event.id, 'b': event.lines.sku}\"}")
    assert (found.code, found.line, found.column, found.fix) == ("HF141", 10, 47, None)


LISTED = """
name: listed
flows:
  main:
    trigger: webhook.request
    with: {answer: result}
    steps:
      - stop: {answer: {skus: =$list(event.lines.sku), all: =$list(event.lines), none: =$list(null)}}
tests:
  - {name: none, flow: main, event: {}, answer: {skus: [], all: [], none: []}}
  - {name: one, flow: main, event: {lines: {sku: a}}, answer: {skus: [a], all: [{sku: a}], none: []}}
  - name: a list of one
    flow: main
    event: {lines: [{sku: a}]}
    answer: {skus: [a], all: [{sku: a}], none: []}
  - name: two
    flow: main
    event: {lines: [{sku: a}, {sku: b}]}
    answer: {skus: [a, b], all: [{sku: a}, {sku: b}], none: []}
"""


@for_each("at", range(4))
async def test_list_always_gives_a_list_in_yaml_and_in_its_python(at: int) -> None:
    given = opened(LISTED)
    twin = replace(given, integration=imported(python_of(LISTED)))
    one = await documents.run_test(given, at)
    assert outcome_of(one) == outcome_of(await documents.run_test(twin, at))
    assert one.result == given.document.tests[at].answer


def test_the_layouts_of_signatures_are_offered() -> None:
    text = "name: a\nflows:\n  main:\n    trigger: webhook.request\n    with: {signature: }\n"
    offers = complete(analyse(text, "f.yaml", Shapes()), 4, 22).offers
    assert {"github", "stripe", "standard"} <= {each.label for each in offers}
