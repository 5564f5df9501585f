"""The rules for YAML documents, and what collects their findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from halflap.lowcode.fixes import MOST_COMPARED, Mend, closest, instead_of, rewritten
from halflap.lowcode.lint import habits
from halflap.lowcode.shape import MOST_FINDINGS, SHAPE
from halflap.lowcode.source import Path, SourceText
from halflap.lowcode.template import place_in
from halflap.sdk.budget import spend
from halflap.sdk.lint import Finding, Rule

NEW = {"acme": "`halflap new acme` writes that of the sandbox app"}
"""Commands that write a component which the docs use."""
MOST_TRANSLATED = 100
"""The number of findings from which on nothing is translated from other languages."""

MOST_SHOWN = 40
"""The number of names that a message lists."""

UNREADABLE = "HF100"
NO_SUCH = "HF102"
INPUTS = "HF103"
UNFIT = "HF104"
UNKNOWN = "HF105"
UNPARSED = "HF106"
CUT = "HF107"
MISPLACED = "HF108"
UNREACHABLE = "HF109"
TAKEN = "HF110"
UNUSED = "HF111"
PLAIN_SECRET = "HF112"  # noqa: S105
OPEN_SECRET = "HF113"  # noqa: S105
UNVERIFIED = "HF114"
NO_FIELD = "HF115"
CONNECTION = "HF116"
LOST = "HF117"
DEFINITION = "HF118"
CODE = "HF119"
NULL = "HF120"
ATTEMPT = "HF121"
NAMELESS = "HF122"
READS_LIKE_EXPRESSION = "HF123"
LITERAL_CONDITION = "HF124"
SUBSCRIPT = "HF130"
FIELD_OF_LENGTH = "HF131"
REQUEST_PATH = "HF132"
NO_SIGNAL = "HF133"
ENDLESS = "HF134"
NO_ANSWER = "HF135"
NO_DEDUPE = "HF136"
UNSIGNED_ID = "HF140"
ONE_OR_MANY = "HF141"
UNSEEN = "HF142"
NO_CHOICE = "HF143"
OUTER = "HF144"
UNDECLARED = "HF145"

RULES: tuple[Rule, ...] = (
    Rule(UNREADABLE, "a text that is not YAML", "it cannot be read", "mend the line"),
    Rule(
        SHAPE,
        "a key, a value or a step that a document does not have",
        "nobody would read it",
        "what the message names; `halflap schema` has editors complete it",
    ),
    Rule(
        NO_SUCH,
        "a component, action, trigger, flow or pairs that there is none of",
        "the step would have nothing to do",
        "a name that there is, as the message lists them",
    ),
    Rule(
        INPUTS,
        "an input that is missing, or that an action or trigger does not have",
        "the call would be refused, or the value be read by nobody",
        "the inputs that the message lists",
    ),
    Rule(
        UNFIT,
        "a value that cannot fit its input, an operator or a function",
        "the step would fail each time",
        'a value of the input\'s type; a number for a text is quoted: "006"',
    ),
    Rule(
        UNKNOWN,
        "a name that an expression cannot see: misspelt, of a later step, of another branch, or of "
        "a loop that has ended",
        "it reads as null, silently",
        "a name in scope; what a loop is to give, its `collect` gathers under its `id`",
    ),
    Rule(
        UNPARSED,
        "an expression that is not JSONata",
        "it cannot be evaluated",
        "what the message says, at its place",
    ),
    Rule(
        CUT,
        "an expression that YAML cuts at ` #`, or splits at a comma or a bracket",
        "YAML reads the text first: the rest becomes a comment, or a key of its own",
        "quotes round the whole expression, or a block",
    ),
    Rule(
        MISPLACED,
        "`break` outside of a loop, `break` or `stop` among items side by side, a `stop` in two ways, a "
        "step's time-out that is longer than an attempt of its flow",
        "it could not do what it says",
        "`stop` after the loop; a loop without `parallel`; a longer `timeout` of the flow",
    ),
    Rule(
        UNREACHABLE,
        "a step after one that always ends the flow or the loop",
        "it never runs",
        "remove it, or make what ends the flow depend on an `if`",
    ),
    Rule(
        TAKEN,
        "an `id`, a variable, an item or an error that takes a name which is in use",
        "what the name meant before cannot be read any more",
        "a name of its own",
    ),
    Rule(
        UNUSED,
        "an `id`, a variable or a config field that nothing reads; an option that is not of the order's "
        "rule",
        "it is noise, or a misspelling elsewhere",
        "remove it, or read it",
        "warning",
    ),
    Rule(
        PLAIN_SECRET,
        "a secret in plain text",
        "documents are published, shown and kept",
        "a connection, which the customer fills in and the platform seals",
    ),
    Rule(
        OPEN_SECRET,
        "a secret that is given to anything but an input for secrets",
        "it could be stored or shown; it is refused when the flow runs",
        "an input that takes a secret",
    ),
    Rule(
        UNVERIFIED,
        "a flow whose trigger verifies nothing",
        "whoever learns its URL can forge events",
        "the trigger's `signature`, or `# halflap: ignore[HF114]` where the app signs nothing",
        "warning",
    ),
    Rule(
        UNSIGNED_ID,
        "`dedupe` by a header that the signature does not cover, where it covers an id",
        "whoever has one genuine request can send it again under another id",
        "the signed id: `header:webhook-id`",
        "warning",
    ),
    Rule(
        NO_FIELD,
        "a field that the value it is read from does not have",
        "it reads as null, silently",
        "one of the fields that the message lists",
    ),
    Rule(
        CONNECTION,
        "a connection that is missing from the config, is not clear, or does not belong to the action",
        "the action could not reach its app",
        "`connection:`, or the connection in the config",
    ),
    Rule(
        LOST,
        "a variable of outside set among items side by side",
        "each item has its own; after the loop the variable is what it was before",
        "the loop's `collect`, whose list stands under its `id`",
        "warning",
    ),
    Rule(
        DEFINITION,
        "parts of a document that do not go together",
        "no integration can be made of it",
        "what the message says",
    ),
    Rule(
        CODE,
        "code that the sandbox cannot run, or that would not replay",
        "the step would fail each time, or differ on a replay",
        "what the message says, at its line",
    ),
    Rule(
        NULL,
        "a value that may be null, given to what takes no null, or to `$count`",
        "the step fails where it is null: where an action found nothing, a branch was not taken, or a "
        "failure was ignored; `$count` of null is 1",
        "the step under `if: =x != null` (`$exists(x)` is true of null), or another value: "
        "`x = null ? … : x`; `$count($list(x))`",
        "warning",
    ),
    Rule(
        ATTEMPT,
        "`execution.attempt` in what decides what is recorded: an input, a branch, a key",
        "the next attempt differs from the record of the one before, and the execution fails as "
        "`Nondeterminism`",
        "it in `log` alone; `retry` says how often a step is tried, and `state` counts",
        "warning",
    ),
    Rule(
        NAMELESS,
        "an expression that reads all that is in scope, by no name: `$`, `*` or `**` at its beginning",
        "what is in scope are names, and no value with fields",
        'the names that it reads, as `{"a": a, "b": b}`',
    ),
    Rule(
        READS_LIKE_EXPRESSION,
        "a text that reads like an expression: `event.id`, `Hello =event.name`, `{{ event.id }}`; or "
        "that is a name in scope, where its key is called so, too, or nothing else reads it: `a: a`",
        "it is sent as it stands",
        '`=` at the beginning: `=event.id`, `="Hello " & event.name`; or '
        "`# halflap: ignore[HF123]` where the text is meant",
        "warning",
    ),
    Rule(
        LITERAL_CONDITION,
        "a text in `if`, `when`, `where`, `filter`, `in`, `switch`, or a loop's `key`; a name in the "
        "`event` of a call: `event: line`",
        "it is never computed: a condition is always true, a loop runs once, an event is a word",
        "an expression, which begins with `=`",
    ),
    Rule(
        ONE_OR_MANY,
        "one value or a list of several that goes into JSON: `{skus: =event.lines.sku}`",
        "it is a text of one line, a list of two, and left out of none",
        "`$list(event.lines.sku)` for a list always, `event.lines[0].sku` for one",
        "warning",
    ),
    Rule(
        UNSEEN,
        "a field that the `sample` of an event or an answer does not have, or that is like one which "
        "the tests give it; or one where `dedupe` or `key` looks for an id, in any event shown",
        "it reads as null, silently, where it is misspelt; without an id, each delivery runs",
        "the field that the message names; or the field in the sample, or in a test",
        "warning",
    ),
    Rule(
        NO_CHOICE,
        "a text that is none of the choices of the value that is compared with it",
        "the branch is never taken",
        "one of the choices that the message lists",
        "warning",
    ),
    Rule(
        OUTER,
        "a name in scope that is read in a filter without a `$`: `event.lines[n < config.limit]`",
        "there a name is a field of each item, and null where it has none",
        "`$config.limit`; or `# halflap: ignore[HF144]` where the items have such a field",
        "warning",
    ),
    Rule(
        UNDECLARED,
        "a type of events of your own product that it does not declare; looked for where a server lints",
        "no such event comes, so the flow never starts",
        "a type that the message lists; or declare it (`docs/export.md`)",
        "warning",
    ),
    Rule(
        SUBSCRIPT,
        'a field in brackets: `event["name"]`',
        "brackets hold a condition, and a text is true: the whole value is given",
        "`event.name`, or with backquotes ``event.`first-name` ``",
    ),
    Rule(
        FIELD_OF_LENGTH,
        "`.length` or `.size`, as other languages count",
        "it reads a field of that name, and is null where there is none",
        "`$count(event.lines)`, or `$length(event.name)` of a text; or "
        "`# halflap: ignore[HF131]` where there is such a field",
        "warning",
    ),
    Rule(
        REQUEST_PATH,
        'a whole URL, or data, in the path of a request: `="/customers/" & event.id`',
        "credentials stay below the connection's `base_url`; a / in the data leads to another resource",
        "the path below the `base_url`, with places for data: `/customers/{id}` and "
        "`values: {id: =event.id}`",
        "warning",
    ),
    Rule(
        NO_SIGNAL,
        "links, or a test's signal, for which no `wait` of the flow waits",
        "the answer is kept, and nothing is done with it",
        "`wait:` with the same name",
        "warning",
    ),
    Rule(
        ENDLESS,
        "a flow that always calls itself, or calls one that calls it back, or always continues",
        "it never ends",
        "the `call` or `continue_with` under an `if`, or a loop over what is left; a flow that is to run "
        "again and again has `schedule.every`",
    ),
    Rule(
        NO_ANSWER,
        "a `reply` in a flow whose trigger answers before the flow runs",
        "the sender never gets it",
        "`answer: result` among the trigger's inputs",
        "warning",
    ),
    Rule(
        NO_DEDUPE,
        "a signature that covers the delivery's id, and no `dedupe`",
        "an app that delivers again starts the flow again",
        "`dedupe: header:webhook-id`; or `# halflap: ignore[HF136]` where that does no harm",
        "warning",
    ),
)

CODES = {each.code: each for each in RULES}


class TooMany(Exception):
    """Raised where a document has so many findings that no more are looked for."""


class Findings:
    """Collects the findings of one document, up to `MOST_FINDINGS`."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.found: list[Finding] = []
        self._told: set[tuple[str, int, int]] = set()
        self._absent: set[str] = set()

    def add(
        self,
        code: str,
        path: Path,
        message: str,
        *,
        key: bool = False,
        at: int | None = None,
        mend: Mend | None = None,
    ) -> None:
        """A finding at a value, at its key, or at a character of the expression that it is."""
        place = self.source.key(path) if key else self.source.place(path)
        if at is not None:
            place = place_in(self.source, path, at)
        self.add_at(code, place.line, place.column, message, mend)

    def add_at(
        self, code: str, line: int, column: int, message: str, mend: Mend | None = None
    ) -> None:
        """A finding at a place of the text; one of a rule at each place."""
        spend()
        if (code, line, column) in self._told:
            return
        self._told.add((code, line, column))
        if len(self.found) >= MOST_FINDINGS:
            raise TooMany
        fix = None if mend is None else mend(self.source.lines, line, column)
        severity = CODES[code].severity
        self.found.append(Finding(self.source.file, line, column, code, message, severity, fix))

    def add_absent(self, name: str, known: Sequence[str], path: Path, *, key: bool = False) -> None:
        """A component that there is none of; told once, where it is no misspelling of another."""
        message = f"there is no component {name!r}; {suggest(name, known)}"
        if closest(name, known) is None:
            if name in self._absent:
                return
            self._absent.add(name)
            begin = NEW.get(name, f"`halflap new component {name}` begins one")
            message += (
                f". Install the package that has it, or write {name}.py beside the document: "
            )
            message += f"{begin}. Other places that name it are not told"
        mend = instead_of(name, known)
        self.add(NO_SUCH, path, message, key=key, mend=mend)

    def add_unknown(
        self,
        code: str,
        said: str,
        name: str,
        known: Iterable[str],
        path: Path,
        *,
        has: str = "there are",
        key: bool = False,
    ) -> None:
        """A name that is none of those that are known: `said` with it, what is meant, and which are."""
        known = list(known)
        message = f"{said} {name!r}; {suggest(name, known, has)}"
        self.add(code, path, message, key=key, mend=instead_of(name, known))

    def expression(self, path: Path, meant: str | None, choice: str = "") -> Mend | None:
        """Write an expression in the place of a text, where one is meant."""
        if meant is None:
            return None
        return rewritten(self.source, path, f"={meant}", choice=choice)

    def habit(self, text: str, names: Collection[str]) -> habits.Habit | None:
        """Return what an expression writes as another language does, of the first so many."""
        return habits.find(text, names) if len(self.found) < MOST_TRANSLATED else None

    @property
    def errors(self) -> bool:
        """True if a finding is an error."""
        return any(each.severity == "error" for each in self.found)


def suggest(name: str, known: Iterable[str], what: str = "there are") -> str:
    """`did you mean x? there are: x, y`."""
    names = sorted(islice(known, MOST_COMPARED))
    close = closest(name, names)
    hint = f"did you mean {close}? {what[:1].upper()}{what[1:]}" if close else what
    shown = ", ".join(names[:MOST_SHOWN]) + (", …" if len(names) > MOST_SHOWN else "")
    return f"{hint}: {shown or 'none'}"
