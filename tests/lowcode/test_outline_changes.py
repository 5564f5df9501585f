"""Two outlines compared: which steps were added, removed, changed and moved."""

from __future__ import annotations

from textwrap import dedent, indent

from halflap.lowcode.outline import FlowChange, Outline, compare_outlines, outline

HEAD = """
name: orders
config:
  Connect:
    shop: {connection: http}
flows:
"""
STEPS = """
- title: Find the customer
  id: buyer
  action: http.get
  with: {path: /customers}
- title: Each line
  for: line
  in: =event.lines
  do:
    - title: Reserve
      action: http.post
      with: {path: /reservations}
- log: a
- log: b
- log: c
"""


def of(steps: str, trigger: str = "webhook.request", name: str = "order") -> Outline:
    """The outline of a document with one flow."""
    flow = (
        f"  {name}:\n    trigger: {trigger}\n    steps:\n{indent(dedent(steps).strip(), ' ' * 6)}\n"
    )
    return outline({"orders.yaml": HEAD + flow}, "orders.yaml")


def said(changes: list[FlowChange]) -> list[str]:
    """Return the changes of the steps of a flow, each on a line."""
    [flow] = changes
    return [
        f"{each.change}{' (moved)' if each.moved and each.change != 'moved' else ''} {each.title}"
        f"{''.join(f' {v.name}: {v.before} → {v.after}' for v in each.values)}"
        for each in flow.steps
    ]


def test_the_same_is_no_change() -> None:
    assert compare_outlines(of(STEPS), of(STEPS)) == []


def test_steps_that_say_something_else_are_changed() -> None:
    after = STEPS.replace("/customers", "/clients").replace("log: b", "log: d")
    assert said(compare_outlines(of(STEPS), of(after))) == [
        "changed Find the customer with: {path: /customers} → {path: /clients}",
        "changed log d log: b → d",
    ]


def test_a_step_that_is_put_in_front_moves_no_other() -> None:
    [flow] = compare_outlines(of(STEPS), of("- log: new\n" + STEPS))
    [added] = flow.steps
    assert (added.change, added.path) == ("added", ("flows", "order", "steps", 0))
    [removed] = compare_outlines(of("- log: new\n" + STEPS), of(STEPS))[0].steps
    assert (removed.change, removed.title) == ("removed", "log new")


def test_steps_that_change_places_are_moved_and_as_few_as_can_be() -> None:
    after = STEPS.replace("- log: a\n- log: b\n- log: c\n", "- log: c\n- log: a\n- log: b\n")
    [moved] = compare_outlines(of(STEPS), of(after))[0].steps
    assert (moved.change, moved.title, moved.former_path) == (
        "moved",
        "log c",
        ("flows", "order", "steps", 4),
    )


def test_a_step_that_is_wrapped_is_moved_and_may_be_changed_too() -> None:
    wrapped = """
    - title: Is it dear?
      if: =event.total > 10
      then:
        - title: Find the customer
          id: buyer
          action: http.get
          with: {path: /clients}
    """
    after = dedent(wrapped) + STEPS[STEPS.index("- title: Each") :]
    assert said(compare_outlines(of(STEPS), of(after))) == [
        "added Is it dear?",
        "changed (moved) Find the customer with: {path: /customers} → {path: /clients}",
    ]


def test_a_step_in_a_loop_that_says_something_else_is_found_by_its_place() -> None:
    after = STEPS.replace("Each line", "Every line").replace("/reservations", "/held")
    after = after.replace("- title: Reserve\n      ", "- ")
    changes = said(compare_outlines(of(STEPS), of(after)))
    assert [each.split()[0] for each in changes] == ["changed", "changed"]


def test_flows_come_and_go_and_have_other_triggers() -> None:
    before, after = of(STEPS), of(STEPS, name="sale")
    assert [(each.change, each.name) for each in compare_outlines(before, after)] == [
        ("added", "sale"),
        ("removed", "order"),
    ]
    [flow] = compare_outlines(before, of(STEPS, trigger="schedule.cron"))
    assert [(v.name, v.before, v.after) for v in flow.values] == [
        ("trigger", "webhook.request", "schedule.cron")
    ]


def test_a_thousand_equal_steps_are_compared_at_once() -> None:
    many = "".join(f"- log: =event.n{at % 3}\n" for at in range(1_000))
    [flow] = compare_outlines(of(many), of(many + "- log: last\n"))
    assert [each.title for each in flow.steps] == ["log last"]
