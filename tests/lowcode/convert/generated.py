"""Documents by chance: steps of every kind within each other, expressions over what is in scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from halflap.lowcode import document_of, read
from halflap.lowcode.scoping import scoping_of
from halflap.sdk import codec

MANY = 1000
"""From how many documents on they are others every time."""
CONFIG = {
    "Connect": {"acme": {"connection": "acme"}, "second": {"connection": "acme"}},
    "Options": {
        "limit": {"type": "integer", "default": 3},
        "rate": {"type": "decimal", "default": Decimal("12.50")},
        "note": {"required": False},
    },
}
CODED: dict[str, Any] = {
    **CONFIG,
    "Connect": {"acme": {"connection": "acme"}, "second": {"connection": "http"}},
}
UNTYPED = [
    "$.event.n",
    'event.list[$ != "a"]',
    "event.n",
    "event.s",
    "event.deep.a",
    "event.list",
    "event.list.id",
    "event.none",
]
TYPED = ["event.seats", "event.price", "event.stage", "event.external_id", "event.none"]
FIELDS = ["id", "name", "quantity", "external_id", "item", "none"]
OTHERS = ["config.limit", "config.rate", "config.note", "customer.name", "execution.attempt"]
TEXTS = ["", "a", "Won", "ab\"c'", "{x}", "\\n", "ä €"]
NUMBERS = [0, 1, 2, -3, 10**20, Decimal("0.5"), Decimal("22.10"), Decimal("-1.0")]
VALUES = [None, True, False, *TEXTS, *NUMBERS]
CODES = [
    "return [{0}, len(str({0}))]",
    "from decimal import Decimal\n\nreturn {{'a': {0}, 'b': ({0}, Decimal('0.50'))}}",
    "print('of', {0})\nreturn {0}['id']",
    "if {0}:\n    raise ValueError({0})\n",
    "for stock in await acme.list_stock():\n    print(stock['item'])\nreturn {0}",
    "try:\n    await acme.add_stock(item=str({0}), quantity={0})\n"
    "except RuntimeError as error:\n    print('caught', str(error))\n\n",
    "import asyncio\n\nreturn await asyncio.gather(\n"
    "    acme.find_account(external_id=str({0})), acme.list_stock()\n)",
    'text = \'\'\'one\n  two\\t\\\\\n\n    \nthree\'\'\'\nreturn text + """say "so" {{0}}"""',
]
"""Texts of code steps, with an input: what the sandbox does with a text is not the converter's."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A document, and whether its flow `main` has a typed event; `flows` are those to be run."""

    text: str
    typed: bool
    flows: tuple[str, ...]


def drawn(chance: Random, *, coded: bool = False, routed: bool = True) -> Drawn:
    """A document in which no name stands for two things; `routed`: with a pre-process flow."""
    while True:
        made = Documents(chance, coded=coded)
        typed, data = made.typed, made.document()
        if not routed:
            del data["preprocess"]
        source = read(written(data), "drawn.yaml")
        flows = document_of(source).flows.items()
        if any(scoping_of(flow.steps, ("flows", name), source).clashes for name, flow in flows):
            continue
        return Drawn(source.text, typed, ("main", "entry") if routed else ("main",))


class Documents:
    """Makes a document; `names` are those in scope, `loops` and `apart` where it stands."""

    def __init__(self, chance: Random, *, coded: bool = False) -> None:
        self.chance = chance
        self.coded = coded
        """True where most steps are code, and the config has one connection of an app, as that needs."""
        self.ids = 0
        self.called = chance.choice(["other", "other", "class", "round", "event"])
        self.typed = chance.random() < 0.5
        self.names: list[str] = []
        self.items: list[str] = []
        self.loops = self.apart = 0

    def document(self) -> dict[str, Any]:
        """A document with a flow `main`, one that it may call, and one that routes to both."""
        trigger = "acme.opportunity_updated" if self.typed else "webhook.request"
        steps = [each for _ in range(2) for each in self.steps(2)]
        main: dict[str, Any] = {"trigger": trigger, "steps": steps, **self.options()}
        if self.chance.random() < 0.3:
            main["steps"].append({"stop": {"answer": self.template()}})
        self.typed, self.names, self.items = False, [], []
        called: list[Any] = [{"stop": {"answer": self.template()}}]
        if self.chance.random() < 0.3:
            called.insert(0, {"if": self.condition(), "then": [{"throw": "no"}]})
        other = {"trigger": "webhook.request", "steps": called, **self.options()}
        return {
            "name": "made",
            "config": CODED if self.coded else CONFIG,
            "pairs": {"accounts": {"sides": {"acme": "account", "second": "contact"}}},
            "preprocess": {"entry": self.entry()},
            "flows": {"main": main, self.called: other},
        }

    def options(self) -> dict[str, Any]:
        """Return the options of a flow, and of the events that it takes."""
        chance = self.chance
        found: dict[str, Any] = {
            "title": chance.choice(["Main", 'Say "so"']),
            "description": chance.choice(["What it does.", 'It says "so"']),
            "keep": ["/data"] if self.typed else ["/n", "/list", "/s"],
            "timeout": chance.choice(["30s", "15 min", "2 h"]),
            "max_age": "1 day",
            "filter": chance.choice(
                [
                    "=event.n != 1",
                    '=headers."x-kind" = "a" or event != null',
                    True,
                    "=query.q = null",
                ]
            ),
            "order": chance.choice(
                ["fifo", "singleton", {"rule": "parallel", "width": 2}]
                + [{"rule": "fifo", "by_key": "/n", "after_failure": "block"}] * 2
            ),
        }
        return {name: each for name, each in found.items() if chance.random() < 0.15}

    def entry(self) -> dict[str, Any]:
        """A pre-process flow."""
        chance, shared = self.chance, self.chance.random() < 0.3
        self.typed, self.names, self.items = False, [], []
        made: dict[str, Any] = {"trigger": "webhook.request", "routes": [], **self.options()}
        made.pop("order", None)
        if shared:
            made["shared"] = True
        if shared and chance.random() < 0.5:
            made["sender"] = chance.choice(["=event.s", "=headers.`x-from`", "all"])
        if chance.random() < 0.3:
            made["all"] = True
        for _ in range(chance.randrange(1, 4)):
            route: dict[str, Any] = {"flow": chance.choice(["main", self.called])}
            if chance.random() < 0.2:
                route = {"ignore": self.route_value("=event.s & ''")}
            elif chance.random() < 0.5:
                route["event"] = self.route_value({"n": "=event.n", "s": "=event.deep.a"})
            if shared and "flow" in route:
                how = chance.choice(["customer", "instance", "config"])
                whose = chance.choice(["=event.s", "=event.n", "c1"])
                route[how] = {"note": whose} if how == "config" else whose
            if chance.random() < 0.7:
                route["when"] = chance.choice(["=event.n = 1", "=$exists(event.s)", "=event.list"])
            made["routes"].append(route)
        return made

    def route_value(self, other: Any) -> Any:
        """A value of a route; a shared one has no config and no customer."""
        return self.chance.choice([other, "=event.list", "=event.none", "a"])

    # Expressions ------------------------------------------------------------------------------

    def name(self) -> str:
        """A path."""
        chance = self.chance
        if self.items and chance.random() < 0.5:
            item = chance.choice(self.items)
            return item if chance.random() < 0.4 else f"{item}.{chance.choice(FIELDS)}"
        if self.names and chance.random() < 0.6:
            found = chance.choice(self.names)
            return found if chance.random() < 0.5 else f"{found}.{chance.choice(FIELDS)}"
        if chance.random() < 0.3:
            return chance.choice(OTHERS)
        return chance.choice(TYPED if self.typed else UNTYPED)

    def number(self, depth: int = 2) -> str:
        """Return an expression that is a number, most of the time."""
        chance = self.chance
        match chance.randrange(7 if depth else 3):
            case 0:
                return str(chance.choice(NUMBERS[1:]))
            case 1:
                return chance.choice(["config.limit", "config.rate", "execution.attempt"])
            case 2:
                return "event.seats" if self.typed else "$number(event.n)"
            case 3:
                operator = chance.choice(["+", "-", "*"])
                return f"({self.number(depth - 1)} {operator} {self.number(depth - 1)})"
            case 4:
                return f"{self.number(depth - 1)} / {chance.choice([2, 4, 100])}"
            case 5:
                return f"$round({self.number(depth - 1)}, {chance.choice([0, 1, 2])})"
            case _:
                return f"$count({self.name()})"

    def text(self, depth: int = 2) -> str:
        """Return an expression that is a text."""
        chance = self.chance
        match chance.randrange(6 if depth else 3):
            case 0:
                return quoted(chance.choice(TEXTS))
            case 1:
                return f"$string({self.name()})"
            case 2:
                return "event.stage" if self.typed else 'event.s & ""'
            case 3:
                return f"{self.text(depth - 1)} & {self.text(depth - 1)}"
            case 4:
                return f"$uppercase({self.text(depth - 1)})"
            case _:
                return (
                    f"({self.truth(depth - 1)} ? {self.text(depth - 1)} : {self.text(depth - 1)})"
                )

    def truth(self, depth: int = 2) -> str:
        """Return an expression that is true or false."""
        chance = self.chance
        match chance.randrange(8 if depth else 5):
            case 0 | 1:
                sign = chance.choice(["=", "!="])
                return f"{self.name()} {sign} {literal(chance.choice(VALUES))}"
            case 2:
                return f"{self.name()} {chance.choice(['=', '!='])} {self.name()}"
            case 3:
                return f"$exists({self.name()})"
            case 4:
                return f"{self.text(0)} in [{quoted('a')}, {quoted('Won')}]"
            case 5:
                operator = chance.choice(["and", "or"])
                return f"({self.truth(depth - 1)} {operator} {self.truth(depth - 1)})"
            case 6:
                return f"{self.number(1)} {chance.choice(['<', '<=', '>', '>='])} {self.number(1)}"
            case _:
                return f"$not({self.truth(depth - 1)})"

    def value(self) -> Any:
        """A value of any kind: a constant, or an expression."""
        chance = self.chance
        if chance.random() < 0.15:
            return chance.choice(VALUES)
        kinds = [self.name, self.name, self.number, self.text, self.truth]
        kind: Callable[[], str] = chance.choice(kinds)
        return "=" + kind()

    def template(self, depth: int = 2) -> Any:
        """A value, perhaps with others in it."""
        chance = self.chance
        if depth and chance.random() < 0.25:
            return {chance.choice("abc"): self.template(depth - 1) for _ in range(2)}
        if depth and chance.random() < 0.15:
            return [self.template(depth - 1) for _ in range(chance.randrange(3))]
        return self.value()

    def condition(self) -> Any:
        """A condition, which is true or false most of the time."""
        return "=" + (self.name() if self.chance.random() < 0.1 else self.truth())

    def words(self) -> Any:
        """A text, most of the time."""
        return self.value() if self.chance.random() < 0.1 else "=" + self.text()

    # Steps ------------------------------------------------------------------------------------

    def steps(self, depth: int) -> list[Any]:
        """A few steps; those of a list see what the ones before have named."""
        return [self.step(depth) for _ in range(self.chance.randrange(1, 4))]

    def step(self, depth: int) -> dict[str, Any]:
        """A step."""
        simple = [self.action] * 4 + [self.assign] * 3
        simple += [
            self.paired,
            self.log,
            self.call,
            self.sleep,
            self.wait,
            self.links,
            self.state,
            self.state,
        ]
        simple += [self.code] * 30 if self.coded else []
        simple += [self.throw] if self.chance.random() < 0.4 else []
        if not self.apart:
            simple += [self.stop] if self.chance.random() < 0.4 else []
            simple += [self.leave] * (self.loops and self.chance.random() < 0.5)
        nested = [self.branch] * 4 + [self.switch, self.attempt] + [self.loop] * 3
        kinds = simple + nested if depth else simple
        made = self.chance.choice(kinds)(depth)
        if "break" not in made and self.chance.random() < 0.2:
            made["title"] = self.chance.choice(["What now?", 'Say "so" {x}', "A\\b"])
        if self.chance.random() < 0.1:
            made["note"] = "a remark"
        return made

    def named(self, made: dict[str, Any], likely: float = 0.7) -> dict[str, Any]:
        """The step with an id, which later ones may read; rarely one that another branch has."""
        if self.chance.random() < likely:
            if self.names and self.chance.random() < 0.04:
                made["id"] = self.chance.choice(self.names)
            else:
                self.ids += 1
                made["id"] = self.chance.choice(["r", "r", "r", "from"]) + f"{self.ids or ''}"
                self.names.append(made["id"])
        return made

    def action(self, _: int) -> dict[str, Any]:
        chance = self.chance
        made: dict[str, Any]
        match chance.randrange(5):
            case 0:
                made = {"action": "acme.find_account", "with": {"external_id": self.words()}}
            case 1:
                given = {"id": self.words(), "name": self.value(), "price": self.value()}
                if chance.random() < 0.5:
                    del given["name"]
                made = {"action": "acme.update_opportunity", "with": given}
            case 2:
                given = {"item": self.words(), "quantity": "=" + self.number()}
                made = {"action": "acme.add_stock", "with": given}
            case 3:
                given = {"kind": "k", "title": self.words(), "body": self.value()}
                made = {"action": "acme.log_activity", "with": given}
            case _:
                made = {"action": "acme.list_stock"}
        made["connection"] = chance.choice(["acme"] if self.coded else ["acme", "second"])
        if chance.random() < 0.2:
            made["on_failure"] = "ignore"
        if chance.random() < 0.1:
            made["retry"] = chance.choice(
                [2, {"attempts": 3, "first": "2s"}, {"on": [423], "not_on": [409, 503]}]
            )
        if chance.random() < 0.2:
            made["timeout"] = chance.choice(["20s", "1 min"])
        return self.named(made)

    def branch(self, depth: int) -> dict[str, Any]:
        made = {"if": self.condition(), "then": self.steps(depth - 1)}
        if self.chance.random() < 0.5:
            made["else"] = self.steps(depth - 1)
        return made

    def switch(self, depth: int) -> dict[str, Any]:
        cases = self.chance.sample(["a", "Won", 1, 0, 2, True, "1"], 2)
        made: dict[str, Any] = {
            "switch": self.value(),
            "cases": {each: self.steps(depth - 1) for each in cases},
        }
        if self.chance.random() < 0.6:
            made["default"] = self.steps(depth - 1)
        return made

    def attempt(self, depth: int) -> dict[str, Any]:
        """`try`; nothing but these two reads the error, whose message names a place."""
        made: dict[str, Any] = {"try": self.steps(depth - 1)}
        error = self.chance.choice(["error", "error", "error", "class"])
        if error != "error":
            made["error"] = error
        made["catch"] = [
            {"log": f"=$string({error}.kind)"},
            {"if": f"={error}.status = 422", "then": self.steps(depth - 1)},
        ]
        return made

    def loop(self, depth: int) -> dict[str, Any]:
        chance = self.chance
        item = f"i{len(self.items)}"
        items = chance.choice(["event.list", "event.n", "[1, 2, 3]", '["a", "b"]', "event.none"])
        if self.names and chance.random() < 0.3:
            items = chance.choice(self.names)
        made: dict[str, Any] = {"for": item, "in": f"={items}"}
        outer = list(self.names)
        apart = chance.random() < 0.3 and not self.coded  # whose code is done first, time decides
        self.items.append(item)
        self.loops, self.apart = self.loops + 1, self.apart + apart
        if chance.random() < 0.3:
            made["where"] = self.condition()
        if apart:
            made["parallel"] = chance.choice([1, 2, 5])
            if chance.random() < 0.6:
                made["key"] = f"=$string({item})"
        made["do"] = self.steps(depth - 1)
        if chance.random() < 0.6:
            made["collect"] = self.template(1)
        if chance.random() < 0.3:
            made["on_failure"] = "continue"
        self.loops, self.apart = self.loops - 1, self.apart - apart
        self.items.remove(item)
        if chance.random() < 0.8:
            self.names = outer
        return self.named(made)

    def assign(self, _: int) -> dict[str, Any]:
        name = self.chance.choice(["v1", "v2", "count", "def"])
        made = {
            "set": {name: "=" + self.number() if self.chance.random() < 0.4 else self.template()}
        }
        if name not in self.names:
            self.names.append(name)
        return made

    def code(self, _: int) -> dict[str, Any]:
        names = self.chance.sample(["a", "x1", "order", "len"], self.chance.randrange(1, 3))
        text = self.chance.choice(CODES).format(names[0])
        given = {name: self.template(1) for name in names}
        made: dict[str, Any] = {"code": text, "with": given}
        if self.chance.random() < 0.15:
            made["on_failure"] = "ignore"
        return self.named(made)

    def log(self, _: int) -> dict[str, Any]:
        made: dict[str, Any] = {"log": self.words()}
        if self.chance.random() < 0.3:
            made["fields"] = {"x": self.template()}
        return made

    def call(self, _: int) -> dict[str, Any]:
        made: dict[str, Any] = {"call": self.called, "event": self.template()}
        if self.chance.random() < 0.2:
            made["wait"] = False
        if self.chance.random() < 0.3:
            made["on_failure"] = "ignore"
        return self.named(made)

    def sleep(self, _: int) -> dict[str, Any]:
        return {"sleep": self.chance.choice(["2s", 1, "=config.limit", "=event.s", "1h 30m"])}

    def wait(self, _: int) -> dict[str, Any]:
        made: dict[str, Any] = {"wait": "decision", "timeout": "1h"}
        if self.chance.random() < 0.8:
            made["on_timeout"] = "continue"
        return self.named(made)

    def links(self, _: int) -> dict[str, Any]:
        choices = self.chance.choice([["yes"], ["yes", "no"]])
        return self.named({"links": "decision", "choices": choices, "text": self.words()})

    def state(self, _: int) -> dict[str, Any]:
        made: dict[str, Any] = {"state": self.chance.choice(["get", "put", "put", "delete"])}
        made["key"] = self.chance.choice(["a", "b", "=$string(config.limit)"])
        if made["state"] == "get" and self.chance.random() < 0.5:
            made["default"] = self.template()
        if made["state"] == "put":
            made["value"] = self.template()
            if self.chance.random() < 0.3:
                made["expect"] = self.value()
        if self.chance.random() < 0.2:
            made["scope"] = "instance"
        return self.named(made)

    def paired(self, _: int) -> dict[str, Any]:
        sides = {"acme": self.words(), "second": self.words()}
        verb = self.chance.choice(["paired", "paired", "pair", "unpair"])
        if verb != "pair":
            del sides[self.chance.choice(["acme", "second"])]
        made: dict[str, Any] = {verb: "accounts", "with": sides}
        return self.named(made) if verb == "paired" else made

    def leave(self, _: int) -> dict[str, Any]:
        return {"if": self.condition(), "then": [{"break": True}]}

    def throw(self, _: int) -> dict[str, Any]:
        return {"throw": self.words() or "none"}

    def stop(self, _: int) -> dict[str, Any]:
        match self.chance.randrange(4):
            case 0:
                return {"stop": True}
            case 1:
                return {"stop": {"ignore": self.words()}}
            case 2:
                reply: dict[str, Any] = {"status": self.chance.choice([200, 404, "=config.limit"])}
                reply["body"] = self.template()
                if self.chance.random() < 0.5:
                    reply["headers"] = {"X-A": self.words()}
                return {"stop": {"reply": reply}}
            case _:
                return {"stop": {"answer": self.template()}}


def quoted(text: str) -> str:
    """A text in an expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def literal(value: Any) -> str:
    """A constant in an expression."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case _:
            return str(value)


def events(chance: Random, typed: bool) -> Any:
    """An event: one that the trigger reads, or nearly anything."""
    if typed:
        return {
            "data": {
                "id": "o1",
                "external_id": chance.choice([None, "006"]),
                "name": "n",
                "stage": chance.choice(["Won", "a", ""]),
                "seats": chance.choice([0, 3, 10**12]),
                "price": chance.choice(["22.10", 5, "7.0", "0.005", "-1", str(10**24 + 1)]),
            }
        }
    if chance.random() < 0.1:
        return chance.choice([[], [{"n": 1}, {"n": 2}], "text", 7, None])
    found: dict[str, Any] = {
        "n": chance.choice(NUMBERS),
        "s": chance.choice(TEXTS),
        "deep": chance.choice([{"a": 1}, {"a": None}, [{"a": 1}, {"a": 2}], 5]),
        "list": chance.choice(
            [[], [{"id": "x", "quantity": 2}, {"id": "y"}], ["a", "b"], [[1], 2]]
        ),
    }
    return {name: each for name, each in found.items() if chance.random() < 0.8}


def written(value: Any) -> str:
    """A document as text: as JSON, but for keys that are no texts."""
    match value:
        case dict():
            members = (f"{written(name)}: {written(each)}" for name, each in value.items())
            return f"{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(map(written, value))}]"
        case _:
            return codec.encode(value).decode()


def hunt(examples: int, check: Callable[[int], object]) -> None:
    """Check as many documents as are asked for, each by its seed; in the soak, others every time."""

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples < MANY,
        phases=[Phase.generate],
    )
    @given(st.integers(0, 2**64))
    def each(seed: int) -> None:
        check(seed)

    each()
