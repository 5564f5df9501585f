"""Flows in Python, drawn at random from what `halflap convert` takes: typed, so that each runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from textwrap import indent
from typing import Any

HEAD = """\
from decimal import Decimal

import acme

from halflap import FAILURES, Config, Context, ExpressionError, Ignore, Integration, Model, Reply
from halflap import Thrown, webhook


class Settings(Config):
    acme: acme.Acme
    limit: int = 3
    label: str = "a label"


class Line(Model):
    item: str
    quantity: int


class Order(Model):
    id: str
    total: Decimal
    count: int
    urgent: bool
    note: str | None = None
    lines: list[Line] = []


LOW = 2


def label(id: str, count: int) -> str:
    if count > LOW:
        return f"{id}: {count}"
    return id


integration = Integration("drawn", config=Settings)


@integration.flow(trigger=webhook.request(answer="result"))
async def main(ctx: Context[Settings], order: Order):
"""
TEXTS = ("a", "rope", "", 'say "so"', "it's", "{x}", "ä €", "a\\b")
KINDS = ("int", "text", "bool", "dec")


def event_of(chance: random.Random) -> dict[str, Any]:
    """An event as the flow declares it."""
    event: dict[str, Any] = {
        "id": chance.choice(TEXTS),
        "total": chance.choice([Decimal("22.10"), Decimal("0.05"), Decimal("1E+3"), 7]),
        "count": chance.randint(-2, 5),
        "urgent": chance.random() < 0.5,
    }
    if chance.random() < 0.5:
        event["note"] = chance.choice([None, "", "a note"])
    if chance.random() < 0.8:
        event["lines"] = [
            {"item": chance.choice(TEXTS), "quantity": chance.randint(-1, 4)}
            for _ in range(chance.randint(0, 3))
        ]
    return event


class Drawn:
    """Draws a flow's body; `env` holds the names that are readable, by their kind."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.number = 0

    def flow(self) -> str:
        return HEAD + indent(self.block({}, 3, ends=1), "    ")

    def name(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    # Expressions --------------------------------------------------------------------------------

    def of(self, kind: str, env: dict[str, str], depth: int = 2) -> str:
        """An expression of a kind."""
        known = [name for name, each in env.items() if each == kind]
        if known and self.chance.random() < 0.35:
            return self.chance.choice(known)
        made: dict[str, Callable[[dict[str, str], int], str]] = {
            "int": self._int, "text": self._text, "bool": self._bool, "dec": self._dec
        }  # fmt: skip
        return made[kind](env, depth)

    def _int(self, env: dict[str, str], depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["order.count", "ctx.config.limit", "2", "-1", "0"])
        one, two = self.of("int", env, depth - 1), self.of("int", env, depth - 1)
        return self.chance.choice(
            [
                f"({one} {self.chance.choice('+-*')} {two})",
                f"len({self.of('text', env, depth - 1)})",
                "len(order.lines)",
                f"sum(x.quantity for x in order.lines if x.quantity != {one})",
                f"{self.chance.choice(['min', 'max'])}({one}, {two})",
                "LOW",
                f"len([x.item for x in order.lines if x.quantity > {one}])",
                f"({one} if {self.of('bool', env, depth - 1)} else {two})",
            ]
        )

    def _dec(self, env: dict[str, str], depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["order.total", 'Decimal("0.1")', 'Decimal("3")'])
        one = self.of("dec", env, depth - 1)
        return self.chance.choice(
            [
                f"({one} {self.chance.choice('+-*')} {self.of('dec', env, depth - 1)})",
                f"({one} * {self.of('int', env, depth - 1)})",
                f"round({one} / 3, 2)",
                f'({one} / Decimal("0.7"))',
            ]
        )

    def _text(self, env: dict[str, str], depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(
                ["order.id", "ctx.config.label", repr(self.chance.choice(TEXTS))]
            )
        one, two = self.of("text", env, 0), self.of("text", env, depth - 1)
        whole = self.of("int", env, 0)
        inside = one if "'" not in one and '"' not in one and "\\" not in one else "order.id"
        return self.chance.choice(
            [
                f'f"{{{inside}}}: {{{whole}}} it\'s"',
                f"({one} + {two})",
                f"str({self.of('int', env, depth - 1)})",
                f"(order.note or {two})",
                f"({one} if {self.of('bool', env, depth - 1)} else {two})",
                "order.id.upper()",
                f'f"{{{self.of("dec", env, 0)}:{self.chance.choice([".2f", ",.1f", ",.0f"])}}}"'.replace(
                    'Decimal("0.1")', "order.total"
                ).replace('Decimal("3")', "order.total"),
                f"f'{{{whole}:,}}'",
                f"label({two}, {whole})",
            ]
        )

    def _bool(self, env: dict[str, str], depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["order.urgent", "order.note is None"])
        signs = ("==", "!=", "<", "<=", ">", ">=")
        one, two = self.of("bool", env, depth - 1), self.of("bool", env, depth - 1)
        return self.chance.choice(
            [
                f"({self.of('int', env, 1)} {self.chance.choice(signs)} {self.of('int', env, 0)})",
                f"({self.of('dec', env, 1)} {self.chance.choice(signs)} {self.of('int', env, 0)})",
                f"({self.of('text', env, 1)} {self.chance.choice(signs)} {self.of('text', env, 0)})",
                f"({one} and {two})",
                f"({one} or {two})",
                f"(not {one})",
                f'({self.of("text", env, 0)} in ("a", "rope", ""))',
                '(order.note is not None and order.note != "")',
                "bool(order.lines)",
                f"any(x.item == {self.of('text', env, 0)} for x in order.lines)",
                f"all(x.quantity > {self.of('int', env, 0)} for x in order.lines if x.item)",
            ]
        )

    # Statements ---------------------------------------------------------------------------------

    def block(self, env: dict[str, str], depth: int, *, ends: float = 0.1) -> str:
        """Statements; what they name is added to `env`. ends: how likely they end the flow."""
        lines = [self.statement(env, depth) for _ in range(self.chance.randint(1, 3))]
        if self.chance.random() < ends:
            lines.append(self.end(env))
        return "\n".join(lines)

    def statement(self, env: dict[str, str], depth: int) -> str:
        plain = [self.sets, self.adds, self.again, self.logs, self.stores, self.says]
        nested = [self.branch, self.loop, self.switch, self.finds, self.catches, self.collects]
        made: list[Callable[[dict[str, str], int], str]] = [*plain, *(nested if depth > 0 else [])]
        return self.chance.choice(made)(env, depth)

    def sets(self, env: dict[str, str], depth: int) -> str:
        kind = self.chance.choice(KINDS)
        again = [n for n, k in env.items() if k == kind and n.startswith("v")]
        name = self.chance.choice(again) if again and self.chance.random() < 0.5 else self.name("v")
        value = self.of(kind, env)
        env[name] = kind
        return f"{name} = {value}"

    def adds(self, env: dict[str, str], depth: int) -> str:
        number = self.of("int", env, 1)
        quantity = f"({number} if {number} > 0 else 1)"  # one that the action takes
        given = f"ctx.config.acme, {self.of('text', env)}, {quantity}"
        if self.chance.random() < 0.4:
            return f"await acme.add_stock({given})"
        name = self.name("r")
        env[f"{name}.item"], env[f"{name}.quantity"] = "text", "int"
        title = self.chance.choice(["", '.titled("Add it")'])
        return f"{name} = await acme.add_stock{title}({given})"

    def again(self, env: dict[str, str], depth: int) -> str:
        """A result that is given once more."""
        known = [each.partition(".")[0] for each in env if each.startswith("r")]
        known = [each for each in known if f"{each}.quantity" in env]
        if not known:
            return self.adds(env, depth)
        name, title = self.chance.choice(known), self.chance.choice(["", '.titled("Once more")'])
        return f"{name} = await acme.add_stock{title}(ctx.config.acme, {self.of('text', env)}, 1)"

    def logs(self, env: dict[str, str], depth: int) -> str:
        external = self.chance.choice(["", f", external_id={self.of('text', env, 1)}"])
        given = f"kind={self.of('text', env, 0)}, title={self.of('text', env)}{external}"
        return f"await acme.log_activity(ctx.config.acme, {given})"

    def says(self, env: dict[str, str], depth: int) -> str:
        return f"ctx.log.info({self.of('text', env)}, count={self.of('int', env)})"

    def stores(self, env: dict[str, str], depth: int) -> str:
        kind = self.chance.choice(KINDS)
        value = f'{{"is": {self.of(kind, env)}, "and": [{self.of("text", env, 0)}]}}'
        return f"await ctx.state.put({self.of('text', env, 0)} + 'k', {value})"

    def finds(self, env: dict[str, str], depth: int) -> str:
        name, inner = self.name("r"), dict(env)
        then = indent(self.block(dict(env), depth - 1), "    ")
        inner[f"{name}.name"] = "text"
        other = indent(self.block(inner, depth - 1), "    ")
        found = f"{name} = await acme.find_account(ctx.config.acme, {self.of('text', env)})"
        return f"{found}\nif {name} is None:  # Is it new?\n{then}\nelse:\n{other}"

    def branch(self, env: dict[str, str], depth: int) -> str:
        then = indent(self.block(dict(env), depth - 1), "    ")
        made = f"if {self.of('bool', env)}:\n{then}"
        if self.chance.random() < 0.5:
            other = indent(self.block(dict(env), depth - 1), "    ")
            word = self.chance.choice(["else", f"elif {self.of('bool', env)}"])
            made += f"\n{word}:\n{other}"
        return made

    def switch(self, env: dict[str, str], depth: int) -> str:
        cases = [repr(each) for each in self.chance.sample(TEXTS, 2)] + self.chance.choice(
            [[], ["_"]]
        )
        shown = [f"    case {each}:\n{indent(self.block(dict(env), 0), ' ' * 8)}" for each in cases]
        return "\n".join([f"match {self.of('text', env)}:", *shown])

    def loop(self, env: dict[str, str], depth: int) -> str:
        name = self.name("x")
        inner = {**env, f"{name}.item": "text", f"{name}.quantity": "int"}
        logged = f"    {self.says(dict(inner), 0)}\n" if self.chance.random() < 0.3 else ""
        guard = f"if {self.of('bool', inner)}:\n{logged}    continue\n"
        body = self.chance.choice(["", guard, guard]) + self.block(inner, depth - 1, ends=0)
        if self.chance.random() < 0.2:
            body += f"\nif {self.of('bool', inner)}:\n    break"
        return f"for {name} in order.lines:\n{indent(body, '    ')}"

    def collects(self, env: dict[str, str], depth: int) -> str:
        name, item = self.name("c"), self.name("x")
        inner = {**env, f"{item}.item": "text", f"{item}.quantity": "int"}
        body = f"{self.block(inner, 0, ends=0)}\n{name}.append({self.of('int', inner)})"
        made = f"{name} = []\nfor {item} in order.lines:\n{indent(body, '    ')}"
        return f"{made}\nawait ctx.state.put('{name}', {name})"

    def catches(self, env: dict[str, str], depth: int) -> str:
        body = indent(self.block(dict(env), depth - 1), "    ")
        name = self.name("e")
        inner = {**env, f"{name}.message": "text"}
        caught = indent(self.block(inner, depth - 1), "    ")
        every = self.chance.choice(["(*FAILURES, ExpressionError)", "FAILURES"])
        return f"try:\n{body}\nexcept {every} as {name}:\n{caught}"

    def end(self, env: dict[str, str]) -> str:
        """How a flow ends."""
        kind = self.chance.choice(KINDS)
        return self.chance.choice(
            [
                "return None",
                f"return {self.of(kind, env)}",
                f'return {{"one": {self.of(kind, env)}, "two": {self.of("text", env)}}}',
                f"return Ignore({self.of('text', env)} + '!')",
                f"return Reply(201, {{'is': {self.of(kind, env)}}})",
                f"raise Thrown({self.of('text', env)} + '!')",
            ]
        )
