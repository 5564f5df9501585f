"""Reads the templates of a document with the names in scope, and says which of those are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from halflap.lowcode import kinds as doc
from halflap.lowcode.document import ConnectionField, Document, PlainField
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.fixes import Mend, closest, instead_of, replaced
from halflap.lowcode.kinds.raw import gives_at
from halflap.lowcode.kinds.role import Gives, Sort
from halflap.lowcode.kinds.walk import every
from halflap.lowcode.kinds.walk import names_given as names_in
from halflap.lowcode.lint import habits, rules
from halflap.lowcode.lint.expressions import Read, Reads, leaves, read_one
from halflap.lowcode.lint.fitting import misfit
from halflap.lowcode.lint.infer import FUNCTION, Inference, InferenceProblem, Inside
from halflap.lowcode.lint.literal import check_literal, is_condition, say_bare
from halflap.lowcode.lint.rules import LITERAL_CONDITION, Findings, suggest
from halflap.lowcode.lint.scope import TEXT, Names, Schema, ScopedName, missing, record, within
from halflap.lowcode.lint.state import FlowState
from halflap.lowcode.lint.watch import Watch
from halflap.lowcode.source import Path, mapping_of
from halflap.lowcode.template import is_expression
from halflap.sdk.budget import spend

Taken = Sort | Literal["json"]
"""The sort of value that a place takes; `json` is any, as JSON."""


def names_of_flow(document: Document) -> Names:
    """The names that every flow of a document has; the event's schema is the flow's own."""
    flows = [*document.flows, *document.preprocess]
    fields = {name: _field(each) for name, each in document.fields.items()}
    return {
        "event": ScopedName(),
        "config": ScopedName(schema={"type": "object", "properties": fields}),
        "urls": ScopedName(schema=texts(*flows)),
        "secrets": ScopedName(schema=record(*flows)),
        "customer": ScopedName(schema=texts("id", "name", "external_id")),
        "instance": ScopedName(schema=texts("id", "name")),
        "execution": ScopedName(
            schema={"type": "object", "properties": {"id": TEXT, "attempt": {"type": "integer"}}}
        ),
    }


_FIELDS: dict[str, Schema] = {
    "text": TEXT,
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "url": {"type": "string", "format": "uri"},
    "email": {"type": "string", "format": "email"},
    "mapping": {"type": "object", "additionalProperties": TEXT},
}


def _field(field: ConnectionField | PlainField) -> Schema:
    """Return the type of a field of the config."""
    if isinstance(field, ConnectionField):
        return {}
    one = _FIELDS[field.type]
    if field.choices is not None:
        one = {"type": "string", "enum": list(field.choices)}
    said = field.description or field.title
    made: Schema = {"type": "array", "items": one} if field.multiple else one
    if field.required is False and field.default is None and not field.multiple:
        made = {"anyOf": [made, {"type": "null"}]}
    return {**made, "description": said} if said else made


def texts(*fields: str) -> Schema:
    """The schema of an object that has texts under these names."""
    return {"type": "object", "properties": dict.fromkeys(fields, TEXT)}


ITEMS = frozenset(("item", "it", "this", "element", "each", "row", "record", "entry"))
"""Names that other tools give to the item of a loop."""
ITEM = "each item"
FLOWS_OWN = frozenset(("event", "config", "urls", "secrets", "execution"))
"""Names of every flow that an item hardly has for an object of its own."""


class Notes:
    """Keeps the names that one place of a document sees: those of what is nearest around it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._depth = -1
        self.names: Names = {}

    def note(self, path: Path, names: Names) -> None:
        """Hear what a place sees."""
        if len(path) >= self._depth and self._path[: len(path)] == path:
            self._depth = len(path)
            self.names = dict(names)


class TemplateReader:
    """Reads templates. `read` collects where the names that are read were given, `config` its fields.

    `given` are all names that are given anywhere in the flow, so that one that is not in scope can
    be told from one that is misspelt.
    """

    def __init__(
        self,
        findings: Findings,
        config: set[str],
        given: Mapping[str, Path] | None = None,
        notes: Notes | None = None,
    ) -> None:
        self.findings = findings
        self.read: set[Path] = set()
        self.config = config
        self.notes = notes
        self.unread: list[tuple[Path, Callable[[], None]]] = []
        """Places that give a name, and what to report where nothing reads it."""
        self.watch = Watch(findings)
        self._given = given or {}

    def template(
        self,
        value: Any,
        path: Path,
        state: FlowState,
        *,
        secrets: bool = False,
        takes: Taken = "value",
    ) -> Reads:
        """Check the expressions of a template, whose whole value is of a sort; gives them."""
        names = state.names
        if self.notes is not None:
            self.notes.note(path, names)
        found: dict[Path, Read] = {}
        if isinstance(value, dict | list) and is_condition(path, self.findings.source.data):
            check_literal(value, path, names, self.findings)
        for leaf, place in leaves(value, path, self.findings):
            spend()
            if not is_expression(leaf):
                if not self._is_bare(leaf, place, names, takes if place == path else "value"):
                    check_literal(leaf, place, names, self.findings)
                continue
            each = read_one(leaf, place, names, self.findings)
            if each is None:
                continue
            inference = Inference(names)
            given = inference.of(each.expression.tree)
            if given is FUNCTION:
                self._function(each)
                given = None
            found[place] = replace(each, given=given)
            for problem in inference.problems:
                self._problem(each, problem, names)
            foreign = self._habit(each, names)
            self.watch.counted(each, state)
            read = each.expression.names()
            if not foreign and all(name.path[0] in names for name in read):
                for inside in inference.at_hand:
                    self._inside(inside, each, names)
            for name in read:
                self._name_read(name.path, name.offset, each, names)
                if name.path[0] == "secrets" and not secrets:
                    said = "a secret can only be given to an action's input that takes one"
                    self._report(rules.OPEN_SECRET, each, name.offset, said)
        return found

    def _is_bare(self, value: Any, path: Path, names: Names, takes: Taken) -> bool:
        """Report a text that is a name in scope, where no text is meant or the key is called so, too.

        Elsewhere it may be a word: `unread` has it, until it is known whether the name is read.
        """
        known = names.get(value) if isinstance(value, str) else None
        if known is None or is_condition(path, self.findings.source.data):
            return False
        if takes == "event":
            say_bare(value, path, self.findings, LITERAL_CONDITION)
            return True
        if known.path is None and value != "event":
            return False
        if takes == "json" or path[-1] == value:
            say_bare(value, path, self.findings)
            return True
        fits = takes != "text" or misfit(known.schema, TEXT) is None
        if known.path is not None and fits:
            self.unread.append((known.path, lambda: say_bare(str(value), path, self.findings)))
        return False

    def _habit(self, read: Read, names: Names) -> bool:
        """Report what is written as in another language, and read as something else."""
        habit = self._foreign(read, names) if habits.is_silent(read.expression.text) else None
        if habit is None:
            return False
        silent = rules.FIELD_OF_LENGTH if habit.field else rules.SUBSCRIPT
        self._foreign_found(silent if habit.silent else rules.UNKNOWN, read, habit)
        return True

    def _function(self, read: Read) -> None:
        """Report a function that is not called."""
        text = read.expression.text.strip()
        said, mend = "this is a function, and no value; call it", None
        if text in ("$now", "$millis", "$random"):
            said += f": write ={text}()"
            mend = self.findings.expression(read.path, f"{text}()")
        elif text.removeprefix("$") in LIBRARY:
            said += f" with what it takes: ={text}(…)"
        self.findings.add(rules.UNFIT, read.path, said, mend=mend)

    def _problem(self, read: Read, problem: InferenceProblem, names: Names) -> None:
        """Report a part that can never be evaluated, with the mend of it or of the habit behind it."""
        text, meant, choice = read.expression.text, None, ""
        said = problem.said
        if problem.instead == (1, "&"):
            meant = habits.texts_joined(text, problem.at)
        elif problem.instead is not None:
            length, new = problem.instead
            meant = text[: problem.at] + new + text[problem.at + length :]
        elif (habit := self._foreign(read, names)) is not None and habit.meant is not None:
            meant, choice, said = habit.meant, habit.choice, f"{said}: write ={habit.meant}"
        mend = self.findings.expression(read.path, meant, choice)
        self._report(problem.code, read, problem.at, said, mend)

    def _foreign(self, read: Read, names: Names) -> habits.Habit | None:
        return self.findings.habit(read.expression.text, names)

    def _foreign_found(self, code: str, read: Read, habit: habits.Habit) -> None:
        mend = self.findings.expression(read.path, habit.meant, habit.choice)
        self._report(code, read, habit.at, habit.message, mend)

    def _name_read(self, path: tuple[str, ...], offset: int, read: Read, names: Names) -> None:
        root, *rest = path
        if root == "*":
            self.read.update(each.path for each in names.values() if each.path is not None)
            self.config.add("*")
            said = "this reads all that is in scope, and by no name; write the names that it reads"
            self._report(rules.NAMELESS, read, offset, said)
            return
        known = names.get(root)
        if known is None:
            habit = None if root in self._given else self._foreign(read, names)
            if habit is not None:
                self._foreign_found(rules.UNKNOWN, read, habit)
                return
            items = [name for name, each in names.items() if self._is_item(each.path)]
            if root in ITEMS and len(items) == 1:
                said = f"there is no name {root!r} here; the loop's item is called {items[0]}"
                self._report(rules.UNKNOWN, read, offset, said, replaced(root, items[0]))
                return
            mend = None if root in self._given else instead_of(root, names)
            self._report(rules.UNKNOWN, read, offset, self._unknown(root, names), mend)
            return
        self._mark(path, known)
        if root == "config" and rest and self._config(rest, offset, read):
            return
        self._lacking(path, offset, read, known.schema)

    def _config(self, names: list[str], offset: int, read: Read) -> bool:
        """Report what is read of the config by its page, or of a connection."""
        pages = mapping_of(self.findings.source.data.get("config"))
        if len(names) > 1 and names[1] in mapping_of(pages.get(names[0])):
            self.config.add(names[1])
            text = read.expression.text
            meant = text.replace(f"config.{names[0]}.{names[1]}", f"config.{names[1]}")
            said = f"a page is for the form alone: write config.{names[1]}"
            mend = self.findings.expression(read.path, meant)
            self._report(rules.NO_FIELD, read, offset, said, mend)
            return True
        for page in pages.values():
            if "connection" in mapping_of(mapping_of(page).get(names[0])):
                said = f"config.{names[0]} is a connection, which its actions alone see, by "
                said += f"`connection: {names[0]}`; another value is a field of its own"
                self._report(rules.NO_FIELD, read, offset, said)
                return True
        return False

    def _inside(self, inside: Inside, read: Read, names: Names) -> None:
        """Report a name in scope that a filter reads as a field: its `$` is forgotten."""
        path, context, offset = inside.path, inside.context, inside.at
        known, first = names.get(path[0]), path[:1]
        if known is None or (context is not None and within(context, first) is not None):
            self._lacking((ITEM, *path), offset, read, context)
            return
        lacking = missing(context, first)
        lacks = lacking is not None and not lacking[2]

        def report() -> None:
            self._mark(path, known)
            name = ".".join(path)
            text = f"{read.expression.text[:offset]}${read.expression.text[offset:]}"
            has = "and it has none" if lacks else "null where it has none"
            said = f"in here, {path[0]} is a field of {ITEM}, {has}; write ${name}"
            mend = self.findings.expression(read.path, text)
            self._report(rules.NO_FIELD if lacks else rules.OUTER, read, offset, said, mend)

        if lacking is not None or (path[0] in FLOWS_OWN and len(path) > 1):
            report()
        elif known.path is not None:
            self.unread.append((known.path, report))

    def _mark(self, path: Sequence[str], known: ScopedName) -> None:
        """Note that a name is read."""
        if known.path is not None:
            self.read.add(known.path)
        if path[0] == "config":
            self.config.add(path[1] if len(path) > 1 else "*")

    def _lacking(
        self, path: tuple[str, ...], offset: int, read: Read, schema: Schema | None
    ) -> None:
        """Find a field that a value does not have, or that no example of it has; of tests, one that
        is like those they have.
        """
        lacking = missing(schema, path[1:])
        if lacking is None:
            return
        name, has, where = lacking
        holder, mend = ".".join(path[: path.index(name, 1)]), instead_of(name, has)
        said = f"{holder} has no {name!r}"
        if not where:
            said += f"; {suggest(name, has, 'it has')}"
            self._report(rules.NO_FIELD, read, offset, said, mend)
            return
        wrapped = path[0] == "event" and name in ("body", "headers", "query", "params")
        if where == "tests" and not wrapped and closest(name, has) is None:
            return
        shown = "its sample" if where == "sample" else "what the tests give it"
        message = f"{said} in {shown}; {suggest(name, has, 'it has')}"
        if wrapped and where == "tests":
            message += "; the event is the body of a request, without its headers and query"
            meant = read.expression.text.replace("event.body.", "event.")
            if name == "body" and path[2:3] and path[2] in has:
                mend = self.findings.expression(read.path, meant)
        self._report(rules.UNSEEN, read, offset, message, mend)

    def _unknown(self, name: str, names: Names) -> str:
        place = self._given.get(name)
        if place is None:
            return f"there is no name {name!r} here; {suggest(name, names, 'in scope are')}"
        where = f"line {self.findings.source.key(place).line}"
        return (
            f"{name!r} ({where}) is not there yet, or not any more: it is given by a later step, by "
            "another branch, or in a loop that has ended, so it is always null here"
        )

    def _is_item(self, path: Path | None) -> bool:
        return path is not None and gives_at(self.findings.source.data, path) == Gives("item")

    def _report(
        self, code: str, read: Read, offset: int, said: str, mend: Mend | None = None
    ) -> None:
        self.findings.add(code, read.path, said, at=offset, mend=mend)


def names_given(steps: Iterable[doc.StepModel], path: Path) -> dict[str, Path]:
    """Return the names that the steps of a flow give, with the path of what gives each first."""
    found: dict[str, Path] = {}
    for place, step in every(steps, path):
        for inner, name, gives in names_in(step):
            found.setdefault(name, place if gives.what == "error" else (*place, *inner))
    return found


def times_set(steps: Iterable[doc.StepModel]) -> Counter[str]:
    """Count how often each variable is set in the steps of a flow, wherever they stand."""
    found = (
        name
        for _, step in every(steps)
        for _, name, gives in names_in(step)
        if gives.what == "variable"
    )
    return Counter(found)
