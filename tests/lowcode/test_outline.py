"""The outline of a flow: what may happen in it, read from its text."""

from __future__ import annotations

import re
from random import Random
from textwrap import dedent, indent
from typing import Any

import pytest

from halflap.errors import DefinitionError
from halflap.lowcode import read
from halflap.lowcode.kinds import kind_of
from halflap.lowcode.outline import Outline, OutlineNode, as_text, outline, outline_document, within
from halflap.lowcode.rewrite.write import inline
from halflap.lowcode.source import value_at
from tests.cases import for_each, sampled
from tests.lowcode.convert.generated import drawn
from tests.lowcode.documents import EXAMPLES, HEAD

ACME = {"acme.py": (EXAMPLES / "acme.py").read_text("utf-8")}
TOP = """\
import acme
from halflap import Config, Context, DeadLetter, Ignore, Integration, Reply, Retry, Route, Settled
from halflap import StepFailed, http, step, webhook


class Settings(Config):
    acme: acme.Acme


integration = Integration("tried", config=Settings)
"""


def of_python(body: str, more: str = "", decorator: str = "flow", **files: str) -> Outline:
    """The outline of a flow with this body; `more` stands before it."""
    flow = f"@integration.{decorator}(trigger=webhook.request())\nasync def main(ctx, event):\n"
    text = TOP + dedent(more) + "\n\n" + flow + indent(dedent(body).strip(), "    ") + "\n"
    given = {f"{name}.py": dedent(each) for name, each in files.items()}
    return outline({**ACME, **given, "tried.py": text}, "tried:integration")


def said(found: Outline) -> list[str]:
    """Return the text of an outline's last flow, without the lines of the source."""
    lines = as_text(found).split("\n\n")[-1].splitlines()[1:]
    gutter = re.match(r" *\d+  ", lines[0]) if lines else None
    return [each[gutter.end() :] for each in lines] if gutter is not None else lines


def test_actions_are_followed_through_their_names_and_titles() -> None:
    found = of_python(
        """
        await acme.list_stock(ctx.config.acme)
        add = acme.add_stock
        stock = await add.titled("Add it").retried(Retry(3))(ctx.config.acme, "a", 1)
        remove = acme.remove_stock.titled(f"Remove {event.item}")
        await remove(ctx.config.acme, "a", 1)
        await later(ctx.config.acme, "b", 2)
        await listed("/x")
        await known(ctx.config.acme)
        """,
        """
        from functools import partial

        from acme import list_webhooks as known
        from halflap.components.http import post as listed

        later = acme.add_stock.titled("Add later")
        """,
    )
    assert said(found) == [
        "action acme.list_stock with {acme: ctx.config.acme} · List stock",
        "stock = action acme.add_stock with {acme: ctx.config.acme, item: 'a', quantity: 1}"
        " retry Retry(3) · Add it",
        "action acme.remove_stock with {acme: ctx.config.acme, item: 'a', quantity: 1}"
        " · Remove {event.item}",
        "action acme.add_stock with {acme: ctx.config.acme, item: 'b', quantity: 2} · Add later",
        "action http.post with {api: '/x'} · Post",
        "action acme.list_webhooks with {acme: ctx.config.acme} · List webhooks",
    ]


def test_steps_in_expressions_come_in_the_order_in_which_python_takes_them() -> None:
    found = of_python(
        """
        sf = ctx.config.acme
        known = await acme.find_account(sf, event.id) or await acme.create_account(sf, "1", "x")
        if event.wanted and await acme.list_stock(sf):
            await acme.add_stock(sf, (await acme.list_stock(sf))[0].item, 1)
        one = await acme.list_stock(sf) if event.all else None
        all = [await acme.add_stock(sf, each, 1) for each in event.items if each]
        """
    )
    assert said(found) == [
        "action acme.find_account with {acme: sf, external_id: event.id} · Find account",
        "if not await acme.find_account(sf, event.id)",
        "  action acme.create_account with {acme: sf, external_id: '1', name: 'x'} · Create account",
        "if event.wanted",
        "  action acme.list_stock with {acme: sf} · List stock",
        "if event.wanted and await acme.list_stock(sf)",
        "  action acme.list_stock with {acme: sf} · List stock",
        "  action acme.add_stock with {acme: sf, item: (await acme.list_stock(sf))[0].item, quant…"
        " · Add stock",
        "if event.all",
        "  one = action acme.list_stock with {acme: sf} · List stock",
        "all = for each in event.items where each",
        "  action acme.add_stock with {acme: sf, item: each, quantity: 1} · Add stock",
    ]


def test_branches_and_loops_have_their_comments_as_titles() -> None:
    found = of_python(
        """
        match event.kind:  # Which kind?
            case "a" | "b":  # The first two
                await acme.list_stock(ctx.config.acme)
            case str() if event.other:
                return Ignore("other")
            case _:
                raise ValueError(event.kind)
        for each in event.items:  # Every item  # noqa: B007
            if not each:  # type: ignore
                continue
            try:  # It may be gone
                await acme.add_stock(ctx.config.acme, each, 1)
            except StepFailed as error:  # It is gone
                ctx.log.warning("gone")
                break
            finally:
                await ctx.sleep(5)
        while event.more:  # Until all is there
            await ctx.wait_for("more", timeout=DAY)
        """
    )
    assert said(found) == [
        "switch event.kind · Which kind?",
        "case 'a' | 'b' · The first two",
        "  action acme.list_stock with {acme: ctx.config.acme} · List stock",
        "case str() if event.other",
        "  stop {ignore: other}",
        "default",
        "  throw ValueError(event.kind)",
        "for each in event.items · Every item",
        "  if not each",
        "    continue",
        "  try · It may be gone",
        "    action acme.add_stock with {acme: ctx.config.acme, item: each, quantity: 1} · Add stock",
        "  catch StepFailed · It is gone",
        "    log gone level warning",
        "    break",
        "  finally",
        "    sleep 5",
        "while event.more · Until all is there",
        "  wait more timeout DAY",
    ]


def test_what_holds_no_step_is_left_out() -> None:
    found = of_python(
        """
        total = 0
        for each in event.items:
            if each.price < 0:
                continue
            total += each.price
        if total > 5:
            label = "much"
        elif total > 2:
            ctx.log.info("some")
        else:
            label = quiet(total)
        try:
            number = int(label)
        except ValueError:
            number = 0
        await acme.add_stock(ctx.config.acme, label, number)
        return None
        """,
        """
        def quiet(total):
            if not total:
                raise ValueError(total)
            return str(total)
        """,
    )
    assert said(found) == [
        "if total > 5",
        "else",
        "  if total > 2",
        "    log some level info",
        "action acme.add_stock with {acme: ctx.config.acme, item: label, quantity: number} · Add stock",
    ]


def test_functions_that_hold_steps_are_outlined_where_they_are_called() -> None:
    found = of_python(
        """
        account = await ensure(ctx, event)
        await twice(lambda: acme.list_stock(ctx.config.acme))
        await other.book(ctx, acme.add_stock)
        async def inner(item):
            return await acme.remove_stock(ctx.config.acme, item, 1)
        await inner("a")
        await forever(ctx)
        """,
        """
        import other


        async def ensure(context: Context[Settings], event):
            \"\"\"Find the account, or make it.\"\"\"
            known = await acme.find_account(context.config.acme, event.id)
            if known is not None:
                return known
            return await make(context, event)


        def make(context: Context[Settings], event):
            return acme.create_account(context.config.acme, event.id, event.name)


        async def twice(do):
            await do()
            return await do()


        async def forever(ctx):
            await ctx.sleep(60)
            await forever(ctx)
        """,
        other="""
            async def book(ctx, action):
                await action.titled("Book it")(ctx.config.acme, "a", 1)
            """,
    )
    assert said(found) == [
        "account = group ensure with {context: ctx, event: event} · Find the account, or make it.",
        "  known = action acme.find_account with {acme: context.config.acme, external_id: event.id}"
        " · Find account",
        "  if known is not None",
        "    return",
        "  group make with {context: context, event: event}",
        "    action acme.create_account with {acme: context.config.acme, external_id: event.id, name: ev…"
        " · Create account",
        "group twice with {do: lambda: acme.list_stock(ctx.config.acme)}",
        "  unknown await do()",
        "  unknown await do()",
        "group book with {ctx: ctx, action: acme.add_stock} in other.py",
        "  unknown await action.titled('Book it')(ctx.config.acme, 'a', 1)",
        "group inner with {item: 'a'}",
        "  action acme.remove_stock with {acme: ctx.config.acme, item: item, quantity: 1} · Remove stock",
        "group forever with {ctx: ctx}",
        "  sleep 60",
        "  group forever with {ctx: ctx} folded true",
    ]


def test_branches_that_run_side_by_side_are_loops() -> None:
    found = of_python(
        """
        async def one(item):
            if item:
                await acme.add_stock(ctx.config.acme, item, 1)

        done = await ctx.gather(event.items, one, limit=event.limit, settle=True)  # All at once
        await ctx.gather(event.items, lambda each: acme.remove_stock(ctx.config.acme, each, 1))
        await ctx.gather(event.items, acme.list_stock)
        await ctx.gather(event.items, event.do)
        """
    )
    assert said(found) == [
        "done = for item in event.items parallel event.limit on_failure continue · All at once",
        "  if item",
        "    action acme.add_stock with {acme: ctx.config.acme, item: item, quantity: 1} · Add stock",
        "for each in event.items parallel 10",
        "  action acme.remove_stock with {acme: ctx.config.acme, item: each, quantity: 1} · Remove stock",
        "for item in event.items parallel 10",
        "  action acme.list_stock with {acme: item} · List stock",
        "for item in event.items parallel 10",
        "  unknown event.do",
    ]


def test_a_flow_is_called_as_its_decorator_says() -> None:
    found = of_python(
        "await ctx.call(class_, event)",
        """
        @integration.flow(name="class", trigger=webhook.request())
        async def class_(ctx, event):
            await ctx.call(class_, event)
        """,
    )
    assert (found.flows[0].name, found.flows[0].title) == ("class", "Class")
    assert said(found) == [
        "call class event event",
    ]


def test_what_a_flow_does_through_its_context_is_named() -> None:
    found = of_python(
        """
        state = ctx.state.instance
        count = await state.get("count", 0)
        await ctx.state.update(f"seen-{event.id}", lambda value: value + 1)
        yes = ctx.signal_url("approved", "approve", text="?")
        now = ctx.now()
        known = await ctx.paired(accounts, acme=event.id)
        child = await ctx.start(sibling, event)
        await ctx.call("sibling", event)
        await child.result()
        drawn = await draw(6)
        return Reply(201, {"drawn": drawn}) if event.wants else await acme.list_stock(1)
        """,
        """
        accounts = integration.pairs("accts", acme="account", other="x")


        @step(title="Draw a number")
        async def draw(sides):
            return 4


        @integration.flow(trigger=webhook.request())
        async def sibling(ctx, event):
            return None
        """,
    )
    assert said(found) == [
        "count = state get key count default 0 scope instance",
        "state update key seen-{event.id} change lambda value: value + 1",
        "yes = links approved choices [approve]",
        "known = paired accts with {acme: event.id}",
        "child = call sibling event event wait false",
        "call sibling event event",
        "result sibling",
        "drawn = code draw with {sides: 6} · Draw a number",
        "if event.wants",
        "  stop {reply: {status: 201, body: {'drawn': drawn}}}",
        "else",
        "  action acme.list_stock with {acme: 1} · List stock",
        "  stop {answer: await acme.list_stock(1)}",
    ]


@for_each(
    ("body", "shown"),
    [
        ("await getattr(acme, event.do)(1)", "await getattr(acme, event.do)(1)"),
        ("await {'a': acme.add_stock}[event.a](1)", "await {'a': acme.add_stock}[event.a](1)"),
        ("await event.coroutine", "await event.coroutine"),
        ("acme = event.acme\nawait acme.add_stock(1)", "await acme.add_stock(1)"),
        ("do = acme.add_stock\nfor do in event.x:\n  pass\nawait do(1)", "await do(1)"),
        ("list(map(acme.add_stock, event.items))", "map(acme.add_stock, event.items)"),
        ("async for each in event.pages():\n  pass", "async for … in event.pages()"),
        ("do = acme.add_stock\nif event.x:\n  do = event.x\nawait do(1)", "await do(1)"),
        ("await acme.no_action(1)", "await acme.no_action(1)"),
    ],
)
def test_what_cannot_be_followed_is_shown_as_it_stands(body: str, shown: str) -> None:
    assert said(of_python(body)) == [f"unknown {shown}"]


def test_code_is_a_step_with_the_actions_that_its_text_calls() -> None:
    found = of_python(
        """
        total = await take(ctx, factor=1)
        theirs = code(ctx.config.text, title="Theirs", actions=[acme.list_stock, acme.add_stock])
        await theirs(ctx)
        """,
        '''
        from halflap import code

        take = code(
            """
            for each in await acme.list_stock():
                await acme.add_stock(each["item"], 1)
            return factor
            """,
            title="Take stock",
            inputs=["factor"],
            actions=[acme.list_stock, acme.add_stock.titled("More")],
        )
        ''',
    )
    assert said(found) == [
        "total = code for each in await acme.list_stock(): await acme.add_stock(e…"
        " with {ctx: ctx, factor: 1} · Take stock",
        "  action acme.list_stock · List stock",
        "  action acme.add_stock · More",
        "code ctx.config.text with {ctx: ctx} · Theirs",
        "  action acme.list_stock · List stock",
        "  action acme.add_stock · Add stock",
    ]
    places = [(each.place.line, each.place.column) for each in within(found.flows[0].steps)]
    assert places[1:3] == [(16, 23), (17, 15)]  # in the source


def test_a_pre_process_flow_says_where_its_events_go() -> None:
    found = of_python(
        """
        if event.kind == "a":
            return Route(other, customer=event.team)
        if event.kind == "b":
            return [Route("x"), Route("y")]
        return DeadLetter("nobody takes it")
        """,
        """
        @integration.flow(trigger=webhook.request())
        async def other(ctx, event):
            return None
        """,
        "preprocess",
    )
    assert found.flows[-1].preprocess
    assert said(found) == [
        "if event.kind == 'a'",
        "  route flow other customer event.team",
        "if event.kind == 'b'",
        "  route flow x",
        "  route flow y",
        "stop {dead_letter: nobody takes it}",
    ]


def test_flows_of_imported_modules_belong_to_it_and_others_do_not() -> None:
    flow = "@integration.flow(trigger=webhook.request())\nasync def {}(ctx, event):\n    pass\n"
    files = {
        "one.py": TOP + flow.format("first"),
        "two.py": "from one import integration\nfrom halflap import webhook\n"
        + flow.format("second"),
        "three.py": "from one import integration\nfrom halflap import webhook\n"
        + flow.format("third"),
        "broken.py": "def (",
    }
    found = outline({**files, **ACME}, "two:integration")
    assert [(each.name, each.place.file) for each in found.flows] == [
        ("first", "one.py"),
        ("second", "two.py"),
    ]
    assert [each.name for each in outline({**files, **ACME}, "one:integration").flows] == ["first"]


def test_what_adds_flows_otherwise_is_told() -> None:
    found = of_python("pass", "integration.add(make('x'))\nmade = integration.flow(trigger=1)(run)")
    assert [each.text for each in found.unknown] == [
        "integration.add(make('x'))",
        "integration.flow(trigger=1)",
    ]


def test_every_node_has_its_place() -> None:
    found = of_python("é = event.é; await acme.add_stock(\n    1,\n)")
    (node,) = found.flows[0].steps
    assert (node.place.file, node.place.column, node.place.end_line - node.place.line) == (
        "tried.py",
        24,
        2,
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("def (", "there is no module"), (f"x = {'-' * 3_000}1", "there is no module")],
)
def test_a_source_that_is_not_python_says_so(text: str, wrong: str) -> None:
    with pytest.raises(DefinitionError, match=wrong):
        outline({"tried.py": text}, "tried:integration")


def test_a_source_that_is_nested_too_deep_ends_in_an_error_and_not_in_a_crash() -> None:
    with pytest.raises(DefinitionError, match="too deep"):
        of_python(f"x = {'+'.join(['await acme.list_stock(1)'] * 2_000)}")


def test_functions_that_call_each_other_twice_do_not_grow_without_end() -> None:
    more = "\n".join(
        f"async def f{at}(ctx):\n    await f{at + 1}(ctx)\n    await f{at + 1}(ctx)\n"
        for at in range(40)
    )
    found = of_python("await f0(ctx)", more + "async def f40(ctx):\n    await ctx.sleep(1)\n")
    nodes = list(within(found.flows[0].steps))
    assert 1_000 < len(nodes) < 20_000
    assert any("folded" in each.fields for each in nodes)


STEPS = """
- id: stock
  title: Add it
  action: acme.add_stock
  retry: 3
  on_failure: ignore
  with:
    item: "a
      b"
    quantity: 1
- action: acme.list_stock
- if: =stock = null
  then: [{sleep: 30s}]
  else:
    - switch: =event.kind
      cases:
        1: [{log: one}]
      default: [{throw: ="no " & event.kind}]
- id: all
  for: each
  in: =event.items
  where: =each.ok
  parallel: 3
  on_failure: continue
  do:
    - id: drawn
      code: |
        await acme.list_stock()
        return await acme.add_stock(item="a", quantity=1)
- for: each
  in: [1]
  do: [{break: true}]
- try:
    - {call: main, event: 1, wait: false}
  catch:
    - {wait: approved, timeout: 90 min}
- {links: approved, choices: [yes, "no"]}
- {state: put, key: ="k" & 1, value: 1, scope: instance}
- set: {a: 1, b: 2}
- stop: {reply: {status: 202}}
- stop: {ignore: nothing}
- stop: {answer: {a: 1}}
- continue_with: {a: 1}
- stop: true
"""


def test_a_document_has_the_same_outline() -> None:
    text = HEAD + indent(STEPS.strip("\n"), " " * 6)
    found = outline({**ACME, "tried.yaml": text}, "tried.yaml")
    assert said(found) == [
        "stock = action acme.add_stock retry 3 on_failure ignore with {item: a b, quantity: 1} · Add it",
        "action acme.list_stock · List stock",
        "if =stock = null",
        "  sleep 30s",
        "else",
        "  switch =event.kind",
        "  case 1",
        "    log one",
        "  default",
        '    throw ="no " & event.kind',
        "all = for each in =event.items where =each.ok parallel 3 on_failure continue",
        '  drawn = code await acme.list_stock() return await acme.add_stock(item="a… · Code',
        "    action acme.list_stock · List stock",
        "    action acme.add_stock · Add stock",
        "for each in [1]",
        "  break",
        "try",
        "  call main event 1 wait false",
        "catch",
        "  wait approved timeout 90 min",
        "links approved choices [yes, no]",
        'state put key ="k" & 1 value 1 scope instance',
        "set {a: 1, b: 2}",
        "stop {reply: {status: 202}}",
        "stop {ignore: nothing}",
        "stop {answer: {a: 1}}",
        "continue_with {a: 1}",
        "stop",
    ]
    lines = text.splitlines()
    for node in within(found.flows[0].steps):
        assert 1 <= node.place.line <= node.place.end_line <= len(lines)
    paths = [each.path for each in within(found.flows[0].steps)]
    assert len(set(paths)) == len(paths)
    first, second = found.flows[0].steps[:2]
    assert (first.place.line, first.place.end_line) == (12, 20)
    assert lines[second.place.line - 1][second.place.column - 1 :] == "action: acme.list_stock"


def test_the_outline_of_the_docs_is_that_of_its_source() -> None:
    page = (EXAMPLES.parent / "docs" / "low-code" / "outline.md").read_text("utf-8")
    found = re.findall(r"^```(python|text)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (_, source), (_, shown) = found
    assert as_text(outline({**ACME, "orders.py": source}, "orders:integration")) == shown.rstrip()


@sampled(15, 100)
def test_every_value_of_a_step_is_in_its_node_at_its_path(seeds: range) -> None:
    for seed in seeds:
        text = drawn(Random(seed), coded=seed % 2 == 0).text
        source = read(text, "drawn.yaml")
        for flow in outline_document(source, lambda _, action: action).flows:
            data = value_at(source.data, flow.path)
            steps = data["routes" if flow.preprocess else "steps"]
            assert [whole(each) for each in flow.steps] == untitled(steps)
            for node in within(flow.steps):
                assert_addressed(node, source.data)


@sampled(15, 100)
def test_a_document_that_is_not_finished_has_an_outline_with_all_that_it_says(
    seeds: range,
) -> None:
    chance = Random(7)
    for seed in seeds:
        source = read(drawn(Random(seed)).text, "drawn.yaml")
        for _ in range(5):
            spoil(source.data["flows"], chance)
        source = read(inline(source.data), "drawn.yaml")
        for flow in outline_document(source, lambda _, action: action).flows:
            data = value_at(source.data, flow.path)
            steps = data.get("steps") if isinstance(data, dict) else None
            if isinstance(steps, list) and not flow.preprocess:
                assert [whole(each) for each in flow.steps] == untitled(steps)


def whole(node: OutlineNode) -> Any:
    """The step of a document, made again of its node."""
    if node.kind == "unknown" and set(node.fields) == {"unknown"}:
        return node.fields["unknown"]
    made = dict(node.fields)
    if node.id is not None:
        made["id"] = node.id
    if node.title is not None and node.kind not in ("action", "code"):
        made["title"] = node.title
    for each in node.blocks:
        name, *case = each.path[len(node.path) :]
        steps = [whole(inner) for inner in each.nodes]
        if case:
            made.setdefault(name, {})[case[0]] = steps
        elif each.place is not None and name != "code":
            made[name] = steps
    return made


def untitled(value: Any) -> Any:
    """A step without its title, where the node of one that has none has that of its action."""
    if isinstance(value, list):
        return [untitled(each) for each in value]
    if not isinstance(value, dict):
        return value
    titled = isinstance(value.get("title"), str) and kind_of(value) in ("action", "code")
    return {key: untitled(each) for key, each in value.items() if not (titled and key == "title")}


def assert_addressed(node: OutlineNode, data: Any) -> None:
    """A node's path leads to it in the document, and so do those of its fields."""
    if len(node.path) > 1 and node.path[-2] == "code":
        return  # an action that code calls, which is no step of the document
    step = value_at(data, node.path)
    assert all(step[key] == value for key, value in node.fields.items())


def spoil(value: Any, chance: Random) -> None:
    """Delete a member or an item somewhere, or put another value in its place."""
    while True:
        names = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not names:
            return
        name = chance.choice(names)
        inner = value[name]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.8:
            value = inner
            continue
        if chance.random() < 0.5:
            del value[name]
        else:
            value[name] = chance.choice(["", 1, True, {}, [], [1], {"if": 1}, "=event."])
        return
