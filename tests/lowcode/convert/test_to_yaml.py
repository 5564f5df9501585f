"""Python that is converted to YAML does the same; what YAML does not say is refused by its place."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace
from textwrap import dedent, indent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halflap.errors import DefinitionError, UpstreamError
from halflap.lowcode.convert import NotYaml, to_yaml
from halflap.lowcode.lint import Shapes, lint_text, read_components
from halflap.sdk.integration import Integration
from halflap.testing import Run, document
from tests.lowcode.convert.flows import Drawn, event_of
from tests.lowcode.convert.twins import documents_of, imported, opened, python_of, seen
from tests.lowcode.documents import EXAMPLES, acme
from tests.lowcode.test_outline_journals import example_tests

SOURCES = {path.name: path.read_text("utf-8") for path in EXAMPLES.glob("*.py")}
DOCS = EXAMPLES.parent / "docs" / "low-code"
HEAD = """\
from datetime import timedelta
from decimal import Decimal
from typing import Any

import acme

from halflap import FAILURES, Config, Context, ExpressionError, Ignore, Integration, Json, Model
from halflap import Reply, Retry, Thrown, TimedOut, at, code, expr, http, step, webhook


class Settings(Config):
    acme: acme.Acme
    limit: int = 3


class Line(Model):
    item: str
    quantity: int


class Order(Model):
    id: str
    total: Decimal
    count: int
    note: str | None = None
    lines: list[Line] = []


integration = Integration("tried", config=Settings)


@integration.flow(trigger=webhook.request(answer="result"))
async def other(ctx: Context[Settings], event: Json) -> None:
    return None


@integration.flow(trigger=webhook.request(answer="result"))
async def main(ctx: Context[Settings], order: Order) -> Any:
"""
LINE = HEAD.count("\n")


def yaml_of(python: str) -> str:
    return to_yaml({"acme.py": SOURCES["acme.py"], "tried.py": python}, "tried.py")


def steps_of(body: str, more: str = "") -> str:
    """The steps of a flow with this body, in a module with more."""
    text = yaml_of(HEAD + indent(dedent(body).strip("\n"), "    ") + "\n" + more)
    return dedent(text.partition("  main:\n")[2].partition("    steps:\n")[2]).strip()


def refused(body: str) -> list[str]:
    """What is said of a body that has no YAML, by its line and column."""
    with pytest.raises(NotYaml) as told:
        steps_of(body)
    return [f"{e.line - LINE}:{e.column - 4}: {e.message}" for e in told.value.refusals]


# The examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["salesforce_acme.py", "warehouse.py", "acme_export.py"])
def test_the_examples_are_converted_and_lint_clean(name: str) -> None:
    text = to_yaml(SOURCES, name)
    found = lint_text(text, "made.yaml", Shapes(own=read_components(SOURCES)))
    assert [str(each) for each in found if each.code != "HF114"] == []
    python = SOURCES[name]
    comments = [each.strip() for each in python.splitlines() if "  # " in each]
    assert all(each.partition("  # ")[2] in text for each in comments)


def test_the_articles_integration_is_the_one_that_people_wrote() -> None:
    made = opened(to_yaml(SOURCES, "salesforce_acme.py")).document
    written = opened((EXAMPLES / "salesforce_acme.yaml").read_bytes()).document
    for part in ("config", "pairs"):
        assert getattr(made, part) == getattr(written, part)
    for name in ("deploy", "account", "opportunity"):
        assert made.flows[name] == written.flows[name]


class Both:
    """Runs an example's flow, and the flow of its YAML, which has to do the same."""

    def __init__(self) -> None:
        self.compared: set[str] = set()
        names = ("salesforce_acme", "warehouse", "acme_export")
        self._twins = {each: opened(to_yaml(SOURCES, f"{each}.py")).integration for each in names}

    async def __call__(self, flow: Any, *events: Any, **more: Any) -> Any:
        result = await Run()(flow, *events, **more)
        twin = self._twins.get(flow.function.__module__)
        checked = result.error is not None and result.error.kind == "InvalidEvent"
        if (
            twin is None or more.get("fake") is not None or checked
        ):  # a type that YAML does not check
            return result
        if "paired" in more:
            more["paired"] = {twin.paired[each.name]: ids for each, ids in more["paired"].items()}
        other = await Run()(twin.flows[flow.name], *events, **more, integration=twin)
        assert seen(result) == seen(other)
        self.compared.add(f"{flow.function.__module__}.{flow.name}")
        return result


async def test_the_examples_own_tests_see_no_difference() -> None:
    both = Both()
    for test in example_tests():
        if "fake" not in inspect.signature(test).parameters:
            await test(run=both)
    assert len(both.compared) >= 6, both.compared


# There and back -------------------------------------------------------------------------------

DOCUMENTS = {each.name: each.read_text("utf-8") for each in sorted(EXAMPLES.glob("*.yaml"))} | {
    f"{page.stem}-{at}": each
    for page in sorted(DOCS.glob("*.md"))
    for at, each in enumerate(documents_of(page))
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_that_went_through_python_does_the_same(name: str) -> None:
    given = opened(DOCUMENTS[name])
    python = python_of(DOCUMENTS[name])
    if "\n        code:" in DOCUMENTS[name]:
        with pytest.raises(NotYaml):
            yaml_of(python)
        return
    back = opened(yaml_of(python))
    twin = replace(given, integration=back.integration)
    for at in range(len(given.document.tests)):
        assert seen(await document.run_test(given, at)) == seen(await document.run_test(twin, at))
    schemas = [each.integration.config.model_json_schema() for each in (given, back)]
    assert schemas[0] == schemas[1]


# Drawn flows ----------------------------------------------------------------------------------


def stubs() -> dict[Any, Any]:
    """Answers that follow from the inputs; some calls fail for good."""

    def add(item: str, quantity: int) -> Any:
        if quantity % 4 == 3:
            raise UpstreamError("there is no such thing", status=422)
        return acme.Stock(item=item[::-1], quantity=quantity + 1)

    def find(external_id: str) -> Any:
        if len(external_id) % 2:
            return None
        return acme.Account(id="a1", external_id=external_id, name=f"The {external_id}")

    def log(kind: str, title: str, **more: Any) -> Any:
        if len(title) % 5 == 0:
            raise UpstreamError("it is down", status=422)
        return acme.Activity(id="1", kind=kind, title=title)

    return {acme.add_stock: add, acme.find_account: find, acme.log_activity: log}


async def ran(integration: Integration[Any], event: Any) -> dict[str, Any]:
    flow = integration.flows["main"]
    return seen(await Run()(flow, event, stubs=stubs(), integration=integration))


async def differs(seed: int, fault: tuple[str, str]) -> bool:
    """Whether a drawn flow does otherwise than its YAML with a fault in it."""
    chance = random.Random(seed)
    python, event = Drawn(chance).flow(), event_of(chance)
    text = yaml_of(python)
    if fault[0] not in text:
        return False
    wrong = opened(text.replace(*fault)).integration
    return await ran(imported(python), event) != await ran(wrong, event)


async def check(chance: random.Random) -> None:
    python, event = Drawn(chance).flow(), event_of(chance)
    text = yaml_of(python)
    assert await ran(imported(python), event) == await ran(opened(text).integration, event), text


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))  # pyright: ignore[reportArgumentType]
@given(st.randoms(use_true_random=False))
async def test_drawn_flows_do_the_same_in_yaml(chance: random.Random) -> None:
    await check(chance)


@pytest.mark.soak
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))  # pyright: ignore[reportArgumentType]
@given(st.randoms(use_true_random=False))
async def test_many_drawn_flows_do_the_same_in_yaml(chance: random.Random) -> None:
    await check(chance)


FAULTS = {
    "another operator": (9, " * ", " + "),
    "another place": (4, ", 2)", ", 1)"),
    "an order that is not asked": (0, " > ", " >= "),
    "a filter that is gone": (92, " where: ", " note: "),
    "what is absent": (1, " != null", " = null"),
    "another title": (2, "title: Add it", "title: Add"),
}
"""Faults, each with a flow that shows it; where what is drawn changes, look for others."""


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_the_yaml_is_found_out(name: str) -> None:
    seed, *fault = FAULTS[name]
    assert await differs(seed, (fault[0], fault[1]))


# What becomes of what ------------------------------------------------------------------------

SAID = {
    "items side by side, and their results are the answer": (
        """
        async def do(line: Line) -> str:
            return line.item
        return await ctx.gather(order.lines, do, limit=2)
        """,
        """
        - id: answer
          for: line
          in: =event.lines
          parallel: 2
          do: []
          collect: =line.item
        - stop: {answer: =answer}
        """,
    ),
    "a condition that may be nothing is not turned round": (
        """
        if expr.truth("order.note.a", order=order):
            pass
        elif not expr.truth("$contains(order.note, 'a')", order=order):
            ctx.log.info("no")
        elif not expr.truth("order.count = 1", order=order):
            ctx.log.info("not one")
        """,
        """
        - if: =event.note.a
          then: []
          else:
            - if: =$not(($contains(event.note, 'a')) = true)
              then:
                - log: no
              else:
                - if: =$not(event.count = 1)
                  then:
                    - log: not one
        """,
    ),
    "names are those of YAML, and expressions read them": (
        """
        event = order.count
        for _line in order.lines:
            ctx.log.info(expr.text("a.x & b & $c", a=_line, b=order.note, c=event))
            x = [expr("$string(y.item)", y=y) for y in order.lines]
            ctx.log.info("x", x=x, d=expr("d * 2", d=Decimal("-0.5")))
        """,
        """
        - set: {event_2: =event.count}
        - for: line
          in: =event.lines
          do:
            - log: "=line.x & (event.note = null ? null : event.note) & $event_2"
            - set:
                x: "=[$map(event.lines = null ? [] : event.lines, function($y) { $string($y.item) })]"
            - log: x
              fields:
                x: =x
                d: =(-0.5) * 2
        """,
    ),
    "a variable that is given something in several ways, in a loop too": (
        """
        stock = await acme.list_stock(ctx.config.acme)
        for line in order.lines:
            if not stock:
                stock = await acme.list_stock.titled("Again")(ctx.config.acme)
        return stock
        """,
        """
        - id: stock_2
          action: acme.list_stock
        - set: {stock: =stock_2}
        - for: line
          in: =event.lines
          where: =$not($count(stock) > 0)
          do:
            - id: stock_3
              title: Again
              action: acme.list_stock
            - set: {stock: =stock_3}
        - stop: {answer: =stock}
        """,
    ),
    "going on with the next item": (
        """
        for line in order.lines:
            if line.quantity > 9:  # Too many?
                ctx.log.info(line.item)
                continue
            await acme.add_stock(ctx.config.acme, line.item, 1)
        """,
        """
        - for: line
          in: =event.lines
          do:
            - title: Too many?
              if: =line.quantity > 9
              then:
                - log: =line.item
              else:
                - action: acme.add_stock
                  with: {item: =line.item, quantity: 1}
        """,
    ),
    "failures alone, where nothing else can fail": (
        """
        try:
            await acme.list_stock(ctx.config.acme)
        except FAILURES as failure:
            await acme.log_activity(ctx.config.acme, kind="k", title=failure.message)
        """,
        """
        - try:
            - action: acme.list_stock
          catch:
            - action: acme.log_activity
              with: {kind: k, title: =failure.message}
          error: failure
        """,
    ),
    "inputs by place, titles and retries": (
        """
        add = acme.add_stock.titled("Add it").retried(Retry(3, first=timedelta(seconds=2)))
        # Why it is added.
        stock = await add(ctx.config.acme, order.id, 1)  # beside it
        ctx.log.warning(f"{stock.item} has {stock.quantity}", left=stock.quantity)
        """,
        """
        # Why it is added.
        # beside it
        - id: stock
          title: Add it
          action: acme.add_stock
          with: {item: =event.id, quantity: 1}
          retry: {attempts: 3, first: 2s}
        - log: =stock.item & " has " & stock.quantity
          level: warning
          fields: {left: =stock.quantity}
        """,
    ),
    "a result that nobody reads has no name": (
        "unread = await acme.list_stock(ctx.config.acme)",
        "- action: acme.list_stock",
    ),
    "what leaves something out, and what clears it": (
        """
        await ctx.state.put("k", {
            "none": order.note, "left": expr.maybe("event.note", event=order), "text": "=a", "by": None,
        })
        """,
        """
        - state: put
          key: k
          value:
            none: "=event.note = null ? null : event.note"
            left: =event.note
            text: ==a
            by:
        """,
    ),
    "failures that are passed by": (
        """
        try:
            await acme.list_stock(ctx.config.acme)
        except FAILURES as failure:
            ctx.log.warning(f"List stock failed, and is ignored: {failure}")
        for line in order.lines:
            try:
                await acme.add_stock(ctx.config.acme, line.item, 1)
            except FAILURES as failure:
                ctx.log.warning(f"for line: an item failed: {failure}")
        """,
        """
        - action: acme.list_stock
          on_failure: ignore
        - for: line
          in: =event.lines
          on_failure: continue
          do:
            - action: acme.add_stock
              with: {item: =line.item, quantity: 1}
        """,
    ),
    "waits": (
        """
        await ctx.sleep(timedelta(hours=2))
        try:
            said = await ctx.wait_for("said", timeout=timedelta(days=3))
        except TimedOut:
            said = None
        if at(said, "choice") == "yes":  # Yes?
            await ctx.start(other, {"id": order.id})
        """,
        """
        - sleep: 2h
        - id: said
          wait: said
          timeout: 3d
          on_timeout: continue
        - title: Yes?
          if: =said.choice = "yes"
          then:
            - call: other
              event: {id: =event.id}
              wait: false
        """,
    ),
    "items side by side": (
        """
        async def book(line):
            if line.quantity > 0:
                await acme.add_stock(ctx.config.acme, line.item, line.quantity)
            return line.item

        booked = await ctx.gather(order.lines, book, key=lambda line: line.item, limit=3)
        return booked
        """,
        """
        - id: booked
          for: line
          in: =event.lines
          parallel: 3
          key: =line.item
          do:
            - if: =line.quantity > 0
              then:
                - action: acme.add_stock
                  with: {item: =line.item, quantity: =line.quantity}
          collect: =line.item
        - stop: {answer: =booked}
        """,
    ),
}


DEFINED = '''

LOW = 3
LATER = timedelta(minutes=5)
ABOUT = {"of": "x", "n": [1, Decimal("0.5")]}


def label(id: str, shown: str) -> str:
    """What is told."""
    if id == "":
        return shown
    return f"{id}: {shown}"


async def test_it(run):
    assert label("a", "b") == "a: b"
'''


def test_what_the_module_defines_is_said_where_it_is_used() -> None:
    made = steps_of(
        """
        low = any(line.quantity < LOW for line in order.lines)
        if not await acme.find_account(ctx.config.acme, order.id):  # Unknown?
            await ctx.sleep(LATER)
        ctx.log.info(label(order.id, f"{order.total:,.2f}"), about=ABOUT, low=low)
        """,
        DEFINED,
    )
    assert made == dedent("""\
        - set:
            low: "=true in [$map(event.lines = null ? [] : event.lines, function($line) { $line.quantity < 3 })]"
        - id: found
          action: acme.find_account
          with: {external_id: =event.id}
        - title: Unknown?
          if: =$not(found != null)
          then:
            - sleep: 5m
        - log: '=event.id = "" ? $formatNumber(event.total, "#,##0.00") : event.id & ": " & $formatNumber(event.total, "#,##0.00")'
          fields:
            about:
              of: x
              n:
                - 1
                - 0.5
            low: =low""")  # noqa: E501


@pytest.mark.parametrize("name", SAID)
def test_python_becomes_these_steps(name: str) -> None:
    body, steps = SAID[name]
    assert steps_of(body) == dedent(steps).strip()


PREPROCESSED = '''\
"""All of a chat."""

from halflap import Config, Context, Ignore, Integration, Json, Route, expr, instance, pointer, webhook


class Settings(Config):
    team: str


integration = Integration("chats", config=Settings)


@integration.flow(trigger=instance.routed)
async def posted(ctx: Context[Settings], event: Json) -> Json:
    """A message was posted.

    Nobody answers.
    """
    return event


@integration.preprocess(
    trigger=webhook.request(answer="result"), shared=True, sender=pointer("/team/id")
)
async def one(ctx: Context[None], event: dict[str, Json]) -> Route | Ignore | None:
    """What comes first."""
    match event.get("kind"):
        case "ping":
            return None
        case "message":
            # Of people alone.
            if event.get("bot") == "yes":
                return Ignore("a bot")
            return Route(posted, config={"team": expr.text("event.team", event=event)})
        case _:
            pass
    if event.get("of") != "7":
        return Route(posted, {"a": event.get("b")}, customer="4711")
    return Ignore("of no interest")


@integration.preprocess(trigger=webhook.request(answer="result"))
async def every(ctx: Context[Settings], event: dict[str, Json]) -> list[Route] | Ignore:
    routes: list[Route] = []
    if event.get("kind") == "message":
        routes.append(Route(posted))
    if event.get("of") == "7" and not routes:
        return Ignore("of no interest")
    routes.append(Route(posted, {"b": 1}))
    return routes
'''
IN_ROUTES = """\
preprocess:
  one:
    description: What comes first.
    trigger: webhook.request
    with: {answer: result}
    shared: true
    sender: =event.team.id
    routes:
      # Of people alone.
      - when: =$not(event.kind = "ping") and event.kind = "message" and event.bot = "yes"
        ignore: a bot
      - when: =$not(event.kind = "ping") and event.kind = "message"
        flow: posted
        config:
          team: =event.team
      - when: =$not(event.kind = "ping") and event.of != "7"
        flow: posted
        event:
          a: "=event.b = null ? null : event.b"
        customer: "4711"
      - when: =$not(event.kind = "ping")
        ignore: of no interest

  every:
    trigger: webhook.request
    with: {answer: result}
    all: true
    routes:
      - when: =event.kind = "message"
        flow: posted
      - when: =event.of = "7"
        ignore: of no interest
      - flow: posted
        event: {b: 1}
"""


@pytest.mark.parametrize(
    "event",
    [
        {"kind": kind, **more}
        for kind in ("ping", "message", None)
        for more in ({"team": "T1"}, {"bot": "yes", "of": "7"}, {"of": "8", "b": 2})
    ],
    ids=str,
)
async def test_a_pre_process_flow_becomes_its_routes(event: Any) -> None:
    text = yaml_of(PREPROCESSED)
    assert text.endswith(IN_ROUTES)
    assert "  # Nobody answers.\n  posted:\n    description: A message was posted.\n" in text
    given, made = imported(PREPROCESSED), opened(text).integration
    for name in ("one", "every"):
        one, other = [
            await Run()(each.flows[name], event, integration=each, config={"team": "T1"})
            for each in (given, made)
        ]
        assert seen(one) == seen(other)


def test_a_reason_of_ones_own_for_a_dead_letter_is_refused() -> None:
    dead = PREPROCESSED.replace(
        "            return None\n", "            return DeadLetter('it is dead')\n"
    )
    with pytest.raises(NotYaml, match="a dead letter in YAML, with its own reason: return None"):
        yaml_of(dead.replace("Config, Context,", "Config, Context, DeadLetter,"))


REFUSED = {
    "if not expr.truth('order.note', order=order):\n    x = 1": "1:8: this may be neither true nor false",
    "x = 0.5": '1:5: a float is not exact; write Decimal("0.5")',
    "x = order.count / 3": "1:5: / is the same in YAML where a Decimal is divided",
    "x = order.count // 3": "1:5: this operator is not the same in YAML",
    "x = order.note + 'a'": "1:5: one of these texts may be None here; ask first whether it is",
    "x = f'{order.total}'": "1:8: only a text or a whole number that is there is the same in YAML",
    "x = f'{order.count:>3}'": "1:8: YAML has no such format",
    "x = f'{order.count:.2f}'": "1:8: YAML has no such format of this",
    "x = sum(order.lines)": "1:5: sum is of a list of numbers",
    "x = min([1, 2])": "1:5: this is the same in YAML for two numbers",
    "x = any(order.lines)": "1:5: write what is asked of each item: any(",
    "x = (await ctx.state.get('a')).get('b')": "1:6: a step within an expression",
    "x = await ctx.state.get('a')\ny = x.get('b')": "2:5: this may be no object, and fail; write at(",
    "try:\n    x = await ctx.wait_for('a')\nexcept TimedOut:\n    raise": "3:1: write name = None here",
    "x = [1][0]": "1:5: where it is not there this fails; write .get(…)",
    "x = order.total == order.id": "1:5: == of values of other kinds is not the same in YAML",
    "x = 1 < order.count < 3": "1:5: compare two values at a time",
    "x = await acme.find_account(ctx.config.acme, 'a')\ny = x.name": "2:5: x may be None here; ask first",
    "if order.count:\n    x = 1\ny = x": "3:5: x may have no value here; give it one in every case",
    "for x in order.lines:\n    y = 1\nz = y": "3:5: y may have no value here",
    "while order.count:\n    pass": "1:1: YAML has no step for while",
    "x = await sentence(order)": "1:11: this is no action of a component; YAML has no functions",
    "await acme.add_stock(ctx.config.acme, 'a')": "1:7: acme.add_stock needs the input quantity",
    "await acme.add_stock(ctx.config.acme, 'a', 1, 2)": "1:7: acme.add_stock takes 3 inputs",
    "await acme.add_stock(order, 'a', 1)": "1:22: acme.add_stock is given its connection",
    "x = 1 + len(await acme.list_stock(ctx.config.acme))": "1:13: a step within an expression",
    "try:\n    await ctx.sleep(1)\nexcept ValueError:\n    pass": "3:1: write except (*FAILURES, Exp",
    "raise ValueError('x')": '1:1: YAML throws a text: raise Thrown("…")',
    "order = 1": "1:1: order is the event, which YAML cannot change; call this otherwise",
    "line = 1\nfor line in order.lines:\n    pass\nx = line": "4:5: line may have no value here",
    "x = 1\nfor y in order.lines:\n    for x in order.lines:\n        pass": "3:9: x has a value",
    "acme = ctx.config.acme\nx = await acme.list_stock(acme)": "2:11: this is no action",
    "x = [expr('y.item', y=y) for y in order.lines]": "1:6: a list within a list may be taken",
    "x = expr('a[$b = c]', a=order.lines, b=order.id)": "1:5: write b without $",
    "try:\n    await acme.list_stock(ctx.config.acme)\nexcept FAILURES as failure:\n"
    "    ctx.log.warning(f'It failed, and is ignored: {failure}')": "3:1: YAML logs",
    "x = expr('config.limit')": "1:5: the expression reads config; give it by that name",
    "x = expr('1 +')": "1:5: ",
    "x = expr('$keys($)')": "1:5: this reads all that is in scope",
    "x = ctx.now()": "1:5: in YAML the time is a text",
    "x = [y for y in order.lines for z in order.lines]": "1:5: YAML has a list of one loop",
    "with order:\n    pass": "1:1: YAML has no step for with",
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_yaml_does_not_say_is_refused_at_its_place(body: str) -> None:
    (said,) = refused(body)
    assert said.startswith(REFUSED[body]), said


def test_all_that_is_refused_is_told_at_once_and_what_follows_from_it_is_not() -> None:
    told = refused("x = 0.5\ny = x + 1\nawait acme.add_stock(ctx.config.acme, x, 1)\nz = 0.25")
    assert [each.partition(":")[0] for each in told] == ["1", "4"]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("def (", "tried.py:1:1", "not Python"),
        ("x = 1\n", "tried.py:1", "there is no integration here"),
        (HEAD + "    pass\n\ndef helper():\n    pass\n", f"tried.py:{LINE + 3}:1", "no functions"),
        (
            HEAD.replace("limit: int", "limit: bytes") + "    pass\n",
            "tried.py:13:12",
            "a field of YAML",
        ),
        (HEAD + "    pass\nclass A: pass\n", f"tried.py:{LINE + 2}:1", "of classes"),
    ],
)
def test_a_module_that_is_no_integration_in_yaml_is_refused(
    text: str, where: str, said: str
) -> None:
    with pytest.raises(DefinitionError, match=said) as told:
        yaml_of(text)
    assert str(told.value.where).startswith(where)


def test_a_flow_is_called_as_its_decorator_says() -> None:
    before, made, rest = HEAD.rpartition("@integration.flow(")
    text = f'{before}{made}name="class", {rest}'
    text += "    await ctx.call(main, ctx.url(main))\n    await ctx.call('class')\n"
    document = yaml_of(text + "    ctx.log.info('x', **{'a-b': order.id})\n")
    assert "  class:\n" in document
    assert "  main:\n" not in document
    assert "call: class\n        event: =urls.class\n      - call: class\n" in document
    assert "fields: {a-b: =event.id}" in document
    with pytest.raises(NotYaml, match="there is a flow class already"):
        yaml_of(text.replace("flow(trigger", 'flow(name="class", trigger') + "    pass\n")


def test_comments_are_kept_wherever_they_stand() -> None:
    text = (
        HEAD.replace("class Settings", "# one\nclass Settings")
        + "    # two\n    pass  # three\n# four\n"
    )
    made = yaml_of(text)
    assert [made.count(f"# {each}") for each in ("one", "two", "three", "four")] == [1] * 4


def test_nothing_of_the_project_is_run() -> None:
    other = to_yaml(
        {"acme.py": SOURCES["acme.py"] + "\nraise SystemExit\n", "tried.py": HEAD + "    pass\n"},
        "tried.py",
    )
    assert "acme: {connection: acme}" in other


def test_the_page_shows_what_its_module_becomes() -> None:
    page = (DOCS / "from-python.md").read_text("utf-8")
    (python,) = [each.partition("```")[0] for each in page.split("```python\n")[1:]]
    (shown,) = [each.partition("```")[0] for each in page.split("```yaml\n")[1:]]
    assert yaml_of(python) == shown
