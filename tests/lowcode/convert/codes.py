"""Code by chance: what a function of Python says too, and what only the sandbox does."""

from __future__ import annotations

from random import Random

TEXTS = ["", "a", "Won", "é ", "x\\ny", "{0}", 'say "so"', "back\\\\slash"]
NUMBERS = ["0", "1", "2", "-3", "10 ** 20", "Decimal('0.50')", "Decimal(3)"]
CALLS = [
    "acme.find_account(external_id={0})",
    "acme.add_stock(item={0}, quantity={1})",
    "acme.add_stock(str({0}), 1)",
    "acme.list_stock()",
    "acme.log_activity(kind='k', title=str({0}), body={1})",
]


class Codes:
    """Makes the text of a code step; `names` are those that have a value, most of the time."""

    def __init__(self, chance: Random, inputs: list[str]) -> None:
        self.chance = chance
        self.names = list(inputs)
        self.loops = self.made = 0
        self.rich = chance.random() < 0.6

    def text(self) -> str:
        """A whole text."""
        first = ["from decimal import Decimal", "found = []", "count = 0"]
        body = [each for _ in range(self.chance.randrange(1, 4)) for each in self.statement(2)]
        if self.rich and self.chance.random() < 0.3:
            first.insert(0, "import asyncio")
            body += self.together()
        end = [f"return {self.value()}"] if self.chance.random() < 0.9 else ["print('end')"]
        if any("later" in each for each in (*body, *end)):
            first.append("if count == 7:\n    later = 0")
        return "\n".join([*first, *body, *end]) + self.chance.choice(["", "\n", "\n\n"])

    # Values -----------------------------------------------------------------------------------

    def name(self) -> str:
        """A name, rarely one that may have no value."""
        chance = self.chance
        if chance.random() < 0.03:
            return "later"
        return chance.choice([*self.names, *self.names, "found", "count"])

    def value(self, depth: int = 2) -> str:
        """A value."""
        chance = self.chance
        one = self.value if depth <= 0 else lambda: self.value(depth - 1)
        match chance.randrange(19 if depth > 0 else 5):
            case 0:
                return chance.choice(NUMBERS)
            case 1:
                return repr(chance.choice(TEXTS))
            case 2 | 3 | 4:
                return self.name()
            case 5 | 6:
                key = chance.choice(["'a'", "'id'", "'n'", "0", "-1", "count", "1:", ":2"])
                return f"{self.name()}[{key}]"
            case 7:
                return f"({one()} {chance.choice('+-*')} {one()})"
            case 8:
                sign = chance.choice(["==", "!=", "<", ">=", "in", "not in"])
                return f"({one()} {sign} {one()})"
            case 9:
                return f"({self.name()} {chance.choice(['is', 'is not'])} None)"
            case 10:
                return f"[{one()}, {one()}]"
            case 11:
                return f"{{{self.key()}: {one()}, 'b': ({one()}, 1)}}"
            case 12:
                return f"({one()} if {one()} else {one()})"
            case 13:
                function = chance.choice(
                    ["len", "str", "sum", "max", "sorted", "bool", "abs", "round"]
                )
                return f"{function}({one()})"
            case 14:
                return f"f'{{{self.name()}}} and {{{self.name()}}}'"
            case 15:
                return f"{self.name()}.get('a', {one()})"
            case 16:
                method = chance.choice(["startswith('a')", "replace('a', 'b')", "split(',')"])
                return f"{self.name()}.{method}"
            case 17:
                function = chance.choice(["sum", "any", "list", "sorted", "'-'.join"])
                each = chance.choice(["each", "each['id']", "str(each)"])
                return f"{function}({each} for each in {self.name()} if {self.condition('each')})"
            case _:
                what = chance.choice(["each", "[each, 1]", "str(each)", "each['id']"])
                return f"[{what} for each in {self.name()}]"

    def key(self) -> str:
        """A key, which has to be a text."""
        return self.chance.choice(["'a'", "'a'", f"str({self.name()})", self.name()])

    def condition(self, name: str) -> str:
        """A condition over a name."""
        return self.chance.choice([name, f"{name} != 1", f"not {name}", f"{name} == 'a'"])

    # Statements -------------------------------------------------------------------------------

    def statement(self, depth: int) -> list[str]:
        """A statement, in lines."""
        chance = self.chance
        simple = [self.assign, self.assign, self.more, self.append]
        if self.rich:
            simple += [self.show, self.show, self.call, self.call, self.lines, self.change]
        if depth:
            simple += [self.branch, self.loop]
            simple += [self.attempt, self.function] if self.rich else []
        made = chance.choice(simple)
        return made(depth)

    def block(self, depth: int) -> list[str]:
        """Statements within another."""
        made = [each for _ in range(self.chance.randrange(1, 3)) for each in self.statement(depth)]
        return [f"    {each}" for each in made]

    def assign(self, _: int) -> list[str]:
        value = self.value()
        if self.names and self.chance.random() < 0.2:
            return [f"{self.chance.choice(self.names)} = {value}"]
        self.made += 1
        self.names.append(f"v{self.made}")
        return [f"v{self.made} = {value}"]

    def more(self, _: int) -> list[str]:
        return [
            f"{self.chance.choice(['count', 'count', 'found', self.name()])} += {self.value(1)}"
        ]

    def append(self, _: int) -> list[str]:
        return [f"{self.chance.choice(['found', 'found', self.name()])}.append({self.value(1)})"]

    def branch(self, depth: int) -> list[str]:
        made = [f"if {self.value(1)}:", *self.within(depth)]
        if self.chance.random() < 0.4:
            made += ["else:", *self.within(depth)]
        return made

    def within(self, depth: int) -> list[str]:
        """A block whose names may have no value after it."""
        before = list(self.names)
        made = self.block(depth - 1)
        if self.chance.random() < 0.15:
            error = self.chance.choice(["ValueError", "KeyError", "RuntimeError"])
            made.append(f"    raise {error}({self.value(1)})")
        self.names = before if self.chance.random() < 0.9 else self.names
        return made

    def loop(self, depth: int) -> list[str]:
        self.loops += 1
        item = f"i{self.loops}"
        items = self.chance.choice([self.name(), "range(3)", "[1, 2]", f"{self.name()}.values()"])
        before, self.names = self.names, [*self.names, item]
        made = [f"for {item} in {items}:", *self.block(depth - 1)]
        if self.chance.random() < 0.2:
            made += [f"    if {self.condition(item)}:", "        break"]
        self.names = before
        return made

    # What only the sandbox does ---------------------------------------------------------------

    def show(self, _: int) -> list[str]:
        return [f"print({self.value(1)}, {self.name()})"]

    def action(self) -> str:
        """A call of an action."""
        words = f"str({self.name()})" if self.chance.random() < 0.8 else self.name()
        return self.chance.choice(CALLS).format(words, self.chance.choice(["1", self.name()]))

    def call(self, _: int) -> list[str]:
        self.made += 1
        self.names.append(f"v{self.made}")
        return [f"v{self.made} = await {self.action()}"]

    def together(self) -> list[str]:
        return [f"both = await asyncio.gather({self.action()}, {self.action()})", "found += both"]

    def attempt(self, depth: int) -> list[str]:
        error = self.chance.choice(["RuntimeError", "Exception"])
        made = ["try:", *self.within(depth), *[f"    {each}" for each in self.call(0)]]
        return [*made, f"except {error} as error:", "    print('caught', str(error))"]

    def lines(self, _: int) -> list[str]:
        quote = self.chance.choice(["'''", '"""'])
        self.made += 1
        self.names.append(f"v{self.made}")
        return [f"v{self.made} = {quote}one", "  two\\t\\\\", "", "    ", f"three{quote}"]

    def change(self, _: int) -> list[str]:
        return [f"{self.name()}['a'] = {self.value(1)}"]

    def function(self, _: int) -> list[str]:
        self.made += 1
        return [
            f"def f{self.made}(x):",
            f"    return [x, {self.name()}]",
            f"found.append(f{self.made}(1))",
        ]
