"""Find what an expression writes as another language does, and write it as JSONata.

`event.a == 1 && !event.b`, `len(event.lines)`, `event.name | upper`, `$json.id`: each rule is a row of
a table with the words of its mend, and is applied until nothing foreign is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.lint import foreign_calls
from halflap.lowcode.lint.foreign_calls import EMPTY, FULL, called, made, negated, pattern_of
from halflap.lowcode.lint.masked import Kind, MaskedText, unknown

MOST_CHARACTERS = 400
"""The length of an expression up to which it is looked at; a longer one is a program."""
MOST_EDITS = 20
"""The number of foreign spellings of one expression that are rewritten."""


@dataclass(frozen=True, slots=True)
class Habit:
    """A foreign spelling, from `start` to `end` of the expression: what is written instead, and where
    it is told. Of what `find` gives, `meant` is the whole expression.

    field: it is a field's name as well, as `length` is, so it may be meant.
    choice: what the mend depends on, where it is one of several.
    """

    start: int
    end: int
    meant: str | None
    message: str
    at: int
    silent: bool = False
    field: bool = False
    choice: str = ""


# Words and operators ---------------------------------------------------------------------------

Made = tuple[int, int, str | None]
Make = Callable[[re.Match[str], MaskedText], Made]


def _as(new: str) -> Make:
    """Write a fixed text in the match's place."""
    return lambda found, text: (found.start(), found.end(), found.expand(new))


def _unmade(found: re.Match[str], text: MaskedText) -> Made:
    """Leave it to a person what is written in the match's place."""
    return *found.span(), None


def _formed(form: str) -> Make:
    """Write a form of the operands on the left, `{0}`, and on the right, `{1}`, of the match, and of
    its groups.
    """
    count = 2 if "{1" in form else "{0" in form

    def make(found: re.Match[str], text: MaskedText) -> Made:
        start = text.before(found.start()) if "{0" in form else found.start()
        end = text.after(found.end()) if "{1" in form else found.end()
        left, right = text.raw[start : found.start()].strip(), text.raw[found.end() : end].strip()
        if ("{0" in form and not left) or ("{1" in form and not right):
            return _unmade(found, text)
        groups = {name: text.raw[slice(*found.span(name))] for name in found.groupdict()}
        new = made(form, [left, right][:count], groups)
        return start, end, new and _bracketed(text, start, end, new)

    return make


def _infix(name: str) -> Make:
    """Write a word between two operands as the function that it is."""

    def make(found: re.Match[str], text: MaskedText) -> Made:
        start, end = text.before(found.start()), text.after(found.end())
        given = [text.raw[start : found.start()].strip(), text.raw[found.end() : end].strip()]
        return start, end, called(name, given)

    return make


def _is_in(found: re.Match[str], text: MaskedText) -> Made:
    """Write `x.indexOf(y) >= 0`."""
    start = text.before(found.start())
    given = [text.raw[start : found.start()].strip(), text.raw[slice(*found.span("part"))].strip()]
    new = called("includes", given)
    return start, found.end(), f"$not({new})" if new and found["no"] else new


def _not(found: re.Match[str], text: MaskedText) -> Made:
    """Write `!x`, of one operand, and `not x = 1`, of all up to the next `and`."""
    end = text.after(found.end())
    if found[0].strip().lower() == "not":
        end = text.end(found.end())
        stop = re.compile(r"\s+(?:and|or|if|AND|OR)\s|\s*(?:&&|\|\||\?)").search(
            text.mask, found.end(), end
        )
        end = end if stop is None else stop.start()
    right = text.raw[found.end() : end].strip()
    if right.startswith("(") and text.closing(found.end()) == end:
        right = right[1:-1]
    return found.start(), end, negated(right) if right else None


def _in_many(found: re.Match[str], text: MaskedText) -> Made:
    """Write `x IN ("a", "b")` with a list."""
    opening = found.end() - 1
    start, end = text.before(found.start()), text.closing(opening)
    left, items = text.raw[start : found.start()].strip(), text.arguments(opening)
    if not left or (found["word"] == "in" and len(items) < 2):
        return found.start(), end, None
    new = f"{left} in [{', '.join(items)}]"
    return start, end, f"$not({new})" if found["no"] else new


def _arrow(found: re.Match[str], text: MaskedText) -> Made:
    """Write `x => x.id` and `lambda x: x.id` as `function($x){$x.id}`."""
    names = re.findall(r"\w+", found["names"])
    end = text.end(found.end())
    body = text.raw[found.end() : end].strip()
    for name in names:
        body = re.sub(rf"(?<![\w$.`\"']){name}\b", f"${name}", body)
    parameters = ", ".join(f"${name}" for name in names)
    return found.start(), end, f"function({parameters}){{{body}}}"


def _like(found: re.Match[str], text: MaskedText) -> Made:
    start = text.before(found.start())
    words = text.raw[found.start("value") + 1 : found.end("value") - 1]
    inner = pattern_of(words.strip("%")).replace("%", ".*").replace("_", ".")
    pattern = f"{'' if words.startswith('%') else '^'}{inner}{'' if words.endswith('%') else '$'}"
    left = text.raw[start : found.start()].strip()
    return start, found.end(), f"$contains({left}, /{pattern}/)"


def _piped(found: re.Match[str], text: MaskedText) -> Made:
    """Write a filter of Jinja as the function that it is."""
    start, name, end = text.before(found.start()), found["name"], found.end()
    given = [text.raw[start : found.start()].strip()]
    if text.mask[end : end + 1] == "(":
        given += text.arguments(end)
        end = text.closing(end)
    return start, end, called(name, given)


def joined(parts: list[str]) -> str:
    """Join texts (at even places) and expressions (at odd ones) by `&`."""
    made = [
        each if at % 2 else '"' + each.replace('"', '\\"') + '"'
        for at, each in enumerate(parts)
        if each
    ]
    return " & ".join(made)


_LITERAL = r"\s*(?=[\"'\d]|null\b)"
_NULL = r"(?:null|none|nil|undefined)"

Row = tuple[re.Pattern[str], str, Make, str]
"""A pattern, the mend in words, a function that writes it, and what a choice depends on."""


def _row(pattern: str, mend: str, make: Make, flags: int = 0, choice: str = "") -> Row:
    return re.compile(pattern, flags), mend, make, choice


OPERATORS: tuple[Row, ...] = (
    _row(r"(?<![=!<>:~])===?(?!=)", "two values are compared by one equals sign: write =", _as("=")),
    _row(r"!==|<>", "what differs is written !=: write !=", _as("!=")),
    _row(r"\s*&&\s*", "write and", _as(" and ")),
    _row(r"\s*\|\|" + _LITERAL, "another value for what is missing is written a ?: b", _as(" ?: ")),
    _row(r"\s*\|\|\s*", "write or", _as(" or "), choice="in a condition; another value: ?:"),
    _row(r"(?<=[\w)\]}\"'`])\s+AND\s+", "write and", _as(" and ")),
    _row(r"(?<=[\w)\]}\"'`])\s+OR\s+", "write or", _as(" or ")),
    _row(r"\s+(?P<no>NOT\s+|not\s+|)(?P<word>IN|in)\s*\(", "a list is written in square brackets",
         _in_many),
    _row(r"\s+(?:not|NOT)\s+(?:in|IN)\b", "write $not(… in …)", _formed("$not({0} in {1})")),
    _row(r"(?<![\w$.])(?:not|NOT)\s+(?=[\w$(])|!(?![=~])", "write $not(…)", _not),
    _row(r"\bis\s+not\s+empty\b", "what is empty is compared: write != null and != \"\"",
         _formed(FULL), re.I),
    _row(r"\bis\s+empty\b", 'what is empty is compared: write = null or = ""', _formed(EMPTY), re.I),
    _row(rf"\bis\s+not\s+{_NULL}|\bis\s+defined", "write != null", _as("!= null"), re.I),
    _row(rf"\bis\s+{_NULL}|\bis\s+(?:not\s+)?defined", "write = null", _as("= null"), re.I),
    _row(r"\?(?=\[)", "what is missing is null: write event.a", _as("")),
    _row(r"\?\.(?=\[)", "what is missing is null: write event.a[0]", _as("")),
    _row(r"\?\.", "what is missing is null: write a plain dot, as in event.a.b", _as(".")),
    _row(r"\bis\s+(?P<value>true|false)\b", "write = true", _as(r"= \g<value>"), re.I),
    _row(r"\s+(?:mod|MOD|DIV|div)\s+(?=[\w$(])", "write %", lambda found, text: (
        *found.span(), " % " if found[0].strip().lower() == "mod" else None)),
    _row(r"\s*(?:=~|~=)\s*(?P<pattern>/[^/\n]+/i?)", "write $contains(…, /…/)",
         _formed("$contains({0}, {pattern})")),
    _row(r"\s+contains\s+(?=[\w$\"'(])", "write $contains(…) of a text; of a list, part in list",
         _infix("contains"), re.I, "of a text"),
    _row(r"\s+(?:starts ?with|startsWith)\s+(?=[\w$\"'(])", "write $substring(…)",
         _infix("startswith"), re.I),
    _row(r"\s+(?:ends ?with|endsWith)\s+(?=[\w$\"'(])", "write $substring(…)",
         _infix("endswith"), re.I),
    _row(r"^\s*(?:if|IF)\s+(?P<test>.+?)\s+(?:then|THEN)\s+(?P<then>.+?)\s+(?:else|ELSE)\s+(?P<other>.+)$",
         "write condition ? one : other", _formed("{test} ? {then} : {other}")),
    _row(r"\s+(?:else|ELSE)\s+", "write condition ? one : other", lambda found, text: (
        *found.span(), " : " if "?" in text.mask[: found.start()] else None)),
    _row(r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)\s*%(?!\s*[\w$(\"'.\[{-])", "a percentage is a fraction",
         lambda found, text: (*found.span(), f"{Decimal(found['number']).scaleb(-2):f}")),
    _row(r"\s*//\s*(?=\d)", "write $floor(… / …)", _formed("$floor({0} / {1})")),
    _row(r"\s*//\s*(?=[\"'\w])", "another value for what is missing: write a != null ? a : b",
         _formed("{0} != null and {0} != false ? {0} : {1}")),
    _row(r"\s*\*\*\s*(?=[\w$(])", "write $power(…)", _formed("$power({0}, {1})")),
    _row(r"\s*\^\s*(?![\s(])", "write $power(…)", _formed("$power({0}, {1})")),
    _row(r"\+\+", "write n + 1", _as(" + 1")),
    _row(
        r"(?:\((?P<names>[\w\s,]*)\)|(?P<one>\b[A-Za-z_]\w*))\s*=>\s*",
        "a function is written function($x){$x.id}",
        lambda found, text: _arrow(_NAMED.match(text.mask, found.start()) or found, text),
    ),
    _row(r"\blambda\s+(?P<names>[\w\s,]*):\s*", "a function is written function($x){…}", _arrow),
    _row(r"^(?P<then>.+?)\s+if\s+(?P<test>.+?)\s+else\s+(?P<other>.+)$",
         "write condition ? one : other", _formed("{test} ? {then} : {other}")),
    _row(r"\bCASE\s+WHEN\s+(?P<test>.+?)\s+THEN\s+(?P<then>.+?)\s+ELSE\s+(?P<other>.+?)\s+END\b",
         "write condition ? one : other", _formed("{test} ? {then} : {other}")),
    _row(r"\bBETWEEN\s+(?P<low>[\w.]+)\s+AND\s+(?P<high>[\w.]+)", "write … >= … and … <= …",
         _formed("{0} >= {low} and {0} <= {high}"), re.I),
    _row(r"\bLIKE\s+(?P<value>[\"']\0*[\"'])", "write $contains(…, /…/)", _like, re.I),
    _row(r"\s*\|\s*(?=\.)", "fields follow each other by a dot", _as("")),
    _row(r"\s*\|\s*(?P<name>[A-Za-z_]\w*)(?=\s*[(|)]|\s*$)", "a value is given to a function",
         _piped),
    _row(r"(?:^|(?<=[\s(,]))\.(?=[A-Za-z_])", "an expression names what it reads: event.id",
         _as("event.")),
    _row(r"^\s*return\s+", "an expression gives its value without return", _as("")),
    _row(r"\s*;\s*$", "remove the ; at the end", _as("")),
    _row(r"\btypeof\s+", "write $type(…)", _formed("$type({1})")),
    _row(r"\s+instanceof\s+Array\b", 'write $type(…) = "array"', _formed('$type({0}) = "array"')),
    _row(r"\bnew\s+Date\(\s*\)", "write $now()", _as("$now()")),
    _row(r"\bnew\s+Date(?=\()", "a time is a text, which is read by $toMillis(…)", _as("")),
    _row(r"\[\s*(?P<low>\d*)\s*:\s*(?P<high>\d+)\s*\]", "items are taken by [[0..2]]",
         lambda found, text: (*found.span(), f"[[{found['low'] or 0}..{int(found['high']) - 1}]]"),
         choice="of a list; of a text, $substring(…)"),
    _row(r"\[\s*(?P<low>\d+)\s*:\s*\]", "write $filter(list, function($x, $i){$i >= 1})",
         _formed("$filter({0}, function($x, $i){$i >= {low}})"),
         choice="of a list; of a text, $substring(…)"),
    _row(r"(?<=[\w\]`)])\[\s*(?P<low>-\d+)\s*:\s*\]", "items are taken by [[-2..-1]]",
         _as(r"[[\g<low>..-1]]")),
    _row(r"(?<=/)(?P<kept>[im]*)g(?P<more>[im]*)(?=\s*[,)])", "a pattern has no g: each match is found",
         _as(r"\g<kept>\g<more>")),
    _row(r"\{\s*\.\.\.(?P<inner>[\w.$]+)\s*\}", "objects are put together by $merge([…])",
         _as(r"$merge([\g<inner>])")),
    _row(r"\.indexOf\((?P<part>[^()]*)\)\s*(?:>=\s*0|>\s*-\s*1|!==?\s*-\s*1|(?P<no><\s*0|===?\s*-\s*1))",
         "ask by $contains(…, …) of a text; of a list, part in list", _is_in, choice="of a text"),
    _row(r"(?<=[\[,])\s*\.\.\.(?=[\w$])(?=[^{}]*\])", "a list takes in the items of another", _as("")),
    _row(r"\{\s*\.\.\.", "objects are put together by $merge([event, {…}])",
         _unmade),
    _row(r"\bfor\s+\w+\s+in\b", "write list.field, or $map(list, function($x){…})",
         _unmade),
    _row(r"\b(?:const|let|var)\s+(?P<name>\w+)\s*=", "a variable is bound by $x := …; … in brackets, "
         "so write ($x := 1; …)", _unmade),
    _row(r"(?<=\()(?P<name>[A-Za-z_]\w*)\s*=(?=[^=][^;]*;)", "a variable is bound by :=: ($x := 1; …)",
         _unmade),
    _row(r"[“”]", 'write straight quotes, "', _as('"')),
    _row(r"[‘’]", "write straight quotes, '", _as("'")),
    _row(r"^\s*\{\s*\{\s*(?P<inner>.+?)\s*\}\s*\}\s*$", "braces mean nothing here", _as(r"\g<inner>")),
)  # fmt: skip
"""Words, operators and forms of other languages, which JSONata does not read."""

_NAMED = re.compile(r"\(?(?P<names>[\w\s,]*?)\)?\s*=>\s*")


# Functions and methods -------------------------------------------------------------------------

_OWNERS = r"(?:Math|Object|JSON|Array|Date|Number|String|datetime|json|math|moment)"
_OF_OWNER: Mapping[str, str] = {"date.now": "$millis", "json.parse": "", "json.loads": ""}
_CALL = re.compile(rf"(?<![\w.`$])(?P<owner>{_OWNERS}\.)?(?P<name>\$?[A-Za-z_]\w*)\s*\(")
_METHOD = re.compile(r"\.\s*(?P<name>[A-Za-z_]\w*)\s*\(")
_LENGTH = re.compile(r"(?<=[\w\]`)])\.(?P<name>length|size)\b(?!\s*[(.\[])")
_SUBSCRIPT = re.compile(r"(?<=[\w\]`])\[\s*(?P<name>\"\0*\"|'\0*')\s*\]")
_KEYWORDS = frozenset(("function", "and", "or", "in"))
_OPERATED = re.compile(r" (?:\?[?:]?|[-+*/%&=<>]|[!<>]=|and|or|in) ")


def _functions(text: MaskedText) -> Iterator[Habit]:
    bound = {each[1] for each in re.finditer(r"\$(\w+)\s*:=", text.mask)}
    bound |= {
        each
        for one in re.finditer(r"function\s*\(([^)]*)\)", text.mask)
        for each in re.findall(r"\w+", one[1])
    }
    for found in _CALL.finditer(text.mask):
        name, owner = found["name"], found["owner"] or ""
        plain = name.removeprefix("$")
        infix = name in ("AND", "OR", "NOT", "IN") and text.before(found.start()) < len(
            text.mask[: found.start()].rstrip()
        )
        infix = infix and not re.search(
            r"\b(?:and|or|AND|OR|not|NOT)\s+$", text.mask[: found.start()]
        )
        several = plain in foreign_calls.IN_MANY and len(text.arguments(found.end() - 1)) > 1
        known = name[0] == "$" and (plain in bound or (plain in LIBRARY and not several))
        if name in _KEYWORDS or infix or known:
            continue
        key = f"{owner}{plain}".lower()
        end = text.closing(found.end() - 1)
        given = text.arguments(found.end() - 1)
        if plain == "Date" and text.raw[: found.start()].rstrip().endswith("new"):
            continue
        special = _OF_OWNER.get(key)
        new = f"{special}()" if special else None if special == "" else called(name, given)
        sure = _settled(text, name, given)
        yield _function_edit(
            text,
            found.start(),
            end,
            f"{owner}{name}",
            sure or new,
            found.start(),
            sure=sure is not None,
        )


_MOVED = re.compile(
    r"(?<![\w.`])(?P<time>\$?(?:now|utcnow|today|heute|jetzt)\(\s*\)|new Date\(\s*\))"
    r"(?:\s*(?P<sign>[+-])\s*(?P<days>\d+(?:\.\d+)?(?:\s*/\s*[1-9]\d*)?)(?![\w.(]|\s*[*/]))?",
    re.I,
)


def _dates(text: MaskedText) -> Iterator[Habit]:
    """Find days that are added to today's date, and times that are compared with it."""
    for found in _MOVED.finditer(text.mask):
        start, end = found.span()
        before = re.search(r"\s*([<>]=?)\s*$", text.mask[:start])
        after = re.match(r"\s*([<>]=?)\s*", text.mask[end:])
        day = found["time"].lstrip("$").lower()[:5] in ("today", "heute")
        written = '"[Y0001]-[M01]-[D01]"' if day else ""
        millis = f"$toMillis($now({written}))" if day else "$millis()"
        if found["days"]:
            days, _, parts = found["days"].partition("/")
            whole, rest = divmod(86_400_000, int(parts or 1))
            if rest:
                continue
            millis += f" {found['sign']} {days.strip()} * {whole}"
        elif (more := re.match(r"\s*[+-]", text.mask[end:])) is not None:
            said = "a time is a text: milliseconds are added to $toMillis(…); days between are "
            said += "$floor(($toMillis(…) - $toMillis(…)) / 86400000)"
            if found["time"][0] != "$":
                yield Habit(start, end + more.end(), None, said, start)
            continue
        if before is not None and (at := text.before(before.start())) < before.start():
            new = f"$toMillis({text.raw[at : before.start()].strip()}) {before[1]} {millis}"
            start = at
        elif after is not None and (at := text.after(end + after.end())) > end + after.end():
            new = f"{millis} {after[1]} $toMillis({text.raw[end + after.end() : at].strip()})"
            end = at
        elif found["days"]:
            new = f"$fromMillis({millis}{written and ', ' + written})"
        else:
            continue
        if found["days"] or found["time"][0] != "$":
            said = f"times are texts, which are added to and compared in milliseconds: write {new}"
            yield Habit(start, end, new, said, found.start())


def texts_joined(text: str, at: int) -> str:
    """Return an expression whose `+` at a place joins texts, and so all that follow it, with `&`."""
    masked, written = MaskedText(text), list(text)
    while masked.mask[at : at + 1] == "+":
        written[at] = "&"
        at = masked.after(at + 1)
        at += len(masked.mask[at:]) - len(masked.mask[at:].lstrip())
    return "".join(written)


def reckoned(text: str, at: int, side: str, time: str = "") -> str | None:
    """Return an expression whose operator at a place works on a text, with that as a number.

    time: the format of the text, where it is a time; what is on the other side is a number of days.
    """
    masked, operator = MaskedText(text), re.compile(r"[<>]=?|.").match(text, at)
    middle = at + 1 if operator is None else operator.end()
    start, end = masked.before(at), masked.after(middle)
    left, right = text[start:at].strip(), text[middle:end].strip()
    of, other = (left, right) if side == "left" else (right, left)
    if not left or not right or re.match(r"\$(?:now|fromMillis)\(", of):
        return None
    if time and (text[at] == "+" or (text[at] == "-" and side == "left")):
        written = '"[Y0001]-[M01]-[D01]"' if time == "date" else ""
        new = foreign_calls.moved(of, other, "day", text[at], written)
        return None if new is None else text[:start] + new + text[end:]
    plain = of.strip("\"'")
    number = plain if re.fullmatch(r"-?\d+(?:\.\d+)?", plain) else f"$number({of})"
    if time or (of[0] in "\"'" and number != plain):
        return None
    sides = (number, right) if side == "left" else (left, number)
    return f"{text[:start]}{sides[0]} {text[at:middle]} {sides[1]}{text[end:]}"


def _methods(text: MaskedText) -> Iterator[Habit]:
    for found in _METHOD.finditer(text.mask):
        start, end = text.before(found.start()), text.closing(found.end() - 1)
        left = text.raw[start : found.start()]
        if not left or re.fullmatch(_OWNERS, left) or found["name"] == "function":
            continue
        given = text.arguments(found.end() - 1)
        name = found["name"]
        inner = left[1:-1] if left[0] == "(" and text.closing(start) == found.start() else left
        sure = _settled(text, name, [inner, *given])
        if name == "slice" and text.kind(inner) == "string":
            sure = called(name, [inner, *given], method=True)
        new = sure or called(name, [inner, *given], method=True)
        if name == "get" and len(given) == 1 and re.fullmatch(r"([\"'])\w+\1", given[0]):
            new = f"{left}.{given[0][1:-1]}"
        at = found.start("name")
        if text.raw[start:at].startswith(tuple(f"{each}." for each in ("$", "$$"))):
            continue
        yield _function_edit(text, start, end, name, new, at, sure=sure is not None)


def _settled(text: MaskedText, name: str, given: list[str]) -> str | None:
    """Return what is written where the type of what a function works on is known."""
    at = 2 if foreign_calls.plain(name) == "dateadd" and len(given) == 3 else 0
    kinds = [text.kind(each) for each in (given[:1] + given[at : at + 1])] if given else []
    kind = next((each for each in kinds if each), "")
    return foreign_calls.settled(name, given, kind) if kind else None


_OF_SPREADSHEETS = frozenset(("LEN", "INT", "GANZZAHL", "ENT", "MOD", "REST"))
"""Names that mean one thing in a spreadsheet, and in capitals are those of one."""


def _function_edit(
    text: MaskedText,
    start: int,
    end: int,
    name: str,
    new: str | None,
    at: int,
    *,
    sure: bool = False,
) -> Habit:
    plain = foreign_calls.plain(name)
    message = f"there is no function `{name}`"
    if name[1:] in foreign_calls.IN_MANY and name[0] == "$":
        message = f"`{name}` takes one list"
    if new is None:
        meaning = foreign_calls.WORDS.get(
            "fromjson" if name in ("JSON.parse", "json.loads") else plain
        )
        message += f"; {meaning}" if meaning else ""
        return Habit(start, end, None, message, at)
    shown = re.match(r"\$\w+(?=\()", new) if "." not in name and "[" not in name else None
    note = foreign_calls.NOTES.get(plain, "")
    if sure or new[0] not in "$(" or name in _OF_SPREADSHEETS:
        note = ""
    elif (plain == "substring" and at > start) or (plain == "replace" and "$replace" not in new):
        note = ""  # a method, whose end is a length already; by places
    message += f"; write {shown[0]}, as in {new}" if shown else f"; write {new}"
    message += f"; {note}" if note else ""
    return Habit(start, end, _bracketed(text, start, end, new), message, at, choice=note)


def _bracketed(text: MaskedText, start: int, end: int, new: str) -> str:
    """Return what is written, in brackets where an operator beside it would tear it apart."""
    mask = MaskedText(new).mask
    whole = new[0] in "$(" and MaskedText(new).closing(new.find("(")) == len(new)
    if _OPERATED.search(mask) and not whole and not _alone(text, start, end):
        return f"({new})"
    return new


def _alone(text: MaskedText, start: int, end: int) -> bool:
    """Return whether a part stands between brackets or commas of its own."""
    before, after = text.mask[:start].rstrip()[-1:], text.mask[end:].lstrip()[:1]
    return before in ("", "(", ",") and after in ("", ")", ",")


_LISTS = re.compile(r"\$(?:append|distinct|filter|keys|list|map|reverse|sort|split)\(")
"""Functions that give lists."""


def _fields(text: MaskedText) -> Iterator[Habit]:
    for found in _LENGTH.finditer(text.mask):
        start = text.before(found.start())
        of = text.raw[start : found.start()]
        gives = _LISTS.match(of)
        whole = gives is not None and MaskedText(of).closing(gives.end() - 1) == len(of)
        kind = "array" if whole else text.kind(of)
        new = f"$length({of})" if kind == "string" else f"$count({of})"
        message = f"`.{found['name']}` reads a field of that name; "
        message += {
            "string": f"the length of a text is {new}", "array": f"the number of items is {new}"
        }.get(kind, f"the number of items is {new}, the length of a text $length(…)")  # fmt: skip
        choice = "" if kind in ("string", "array") else "of a list"
        at = found.start("name")
        yield Habit(
            start, found.end(), new, message, at, silent=True, field=True, choice=choice
        )  # fmt: skip
    for found in _SUBSCRIPT.finditer(text.mask):
        name = text.raw[found.start("name") + 1 : found.end("name") - 1]
        field = name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"
        start = text.before(found.start())
        left = text.raw[start : found.start()]
        message = "this gives the whole value, since a text in brackets is a condition; write "
        message += f"{left}.{field}"
        yield Habit(
            found.start(), found.end(), f".{field}", message, found.start("name"), silent=True
        )


_DECIMAL = re.compile(r"(?<![\w.,$])\d+(,)\d+(?![\w.,])")


def _separated(text: MaskedText) -> tuple[str, Habit | None]:
    """Return an expression without the separators of a spreadsheet: `;`, and a comma for decimals."""
    written, calls = list(text.raw), set[int]()
    edits: list[Habit] = []
    for found in re.finditer(";", text.mask):
        around = text.around(found.start())
        if around and text.is_call(around[-1]):
            calls.add(around[-1])
            edits.append(
                Habit(*found.span(), ",", "arguments are separated by a comma", found.start())
            )
    for found in _DECIMAL.finditer(text.mask):
        around = text.around(found.start())
        call = bool(around) and (text.mask[around[-1]] != "(" or text.is_call(around[-1]))
        if around and re.search(r"[\w\])`]\[$", text.mask[: around[-1] + 1]):
            call = False  # a filter
        if not call or (calls.intersection(around) and text.mask[around[-1]] == "("):
            at = found.start(1)
            edits.append(Habit(at, at + 1, ".", "decimals are written with a point", at))
    for each in edits:
        written[each.at] = str(each.meant)
    first = min(edits, key=lambda each: each.at, default=None)
    return "".join(written), first


# Names -----------------------------------------------------------------------------------------

_HEAD = r"(?<![\w.`$\])])"
NAMES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(_HEAD + pattern), new, mend)
    for pattern, new, mend in (
        (r"(?:msg\.payload|request\.body|req\.body|\$json\.body|\$states\.input|github\.event|"
         r"trigger\.(?:body|event|outputs)|\$input\.item\.json|(?:\$json|inputData|payload|body|data|trigger|"
         r"request|req|msg|input|json|message)(?=[.\[]|\s*$)(?!\.(?:headers|query|params)\b))",
         "event", "what the app sent is `event`: write event"),
        (r"triggerBody\(\)", "event", "what the app sent is `event`: write event"),
        (r"\$(?:node\b|\((?=[\"']))", "", "a step's result is read by the `id` that the step gives"),
        (r"steps\.(?P<id>\w+)(?:\.(?:outputs?|result|json|data|body)\b)?", r"\g<id>",
         r"a step's result is read by its `id`: write \g<id>"),
        (r"(?:vars|inputs|settings|params|parameters|options)(?=\.)", "config",
         "what the customer filled in is `config`: write config"),
        (r"(?:None|NULL|nil|undefined|Null|NIL)\b(?!\s*\()", "null", "write null"),
        (r"(?:True|TRUE|yes|YES|Yes)\b(?!\s*\()", "true", "write true"),
        (r"(?:False|FALSE|no|NO|No)\b(?!\s*\()", "false", "write false"),
        (r"(?:process\.env|env|ENV)\b(?!\s*\()", "", "no environment is seen here; it belongs into "
         "the config: config.region"),
        (r"(?:headers|header)\b(?!\s*\()", "", "headers are seen by a `filter`, and by the trigger "
         "webhook.raw: event.headers"),
        (r"(?:index|loop\.index|(?<!/)i|idx)\b(?!\s*\()", "", "an item's place is given by "
         "$map(list, function($item, $index){…})"),
        (r"(?:result|results|output|response|previous|prev)\b(?!\s*\()", "", "a step's result is read "
         "by the `id` that the step gives"),
    )
)  # fmt: skip
"""Names of other tools: what is searched for, what is written instead, and the mend in words."""

_OF_REQUEST = re.compile(
    r"(?<![\w.`])(?:\$?request|req|msg\.req|\$json|trigger|\$input)\.(?P<part>headers|query|params)\b"
)
_ROOT = re.compile(_HEAD + r"\$\.(?P<name>[A-Za-z_]\w*)")
"""A field of the root, as JSONPath and n8n read what arrived."""
_KEY = re.compile(r"[{,]\s*(?P<key>[A-Za-z_]\w*)\s*:(?![=:])")
_MINUS = re.compile(_HEAD + r"[A-Za-z_]\w*(?:-\w+)+(?![\w(])")
_HYPHEN = re.compile(r"(?<=[\w\]`])\.(?P<name>[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)(?![\w(.])")


def _names(text: MaskedText, names: Collection[str]) -> Iterator[Habit]:
    for found in _OF_REQUEST.finditer(text.mask):
        part = found["part"]
        new = part if part in names else None
        said = "the event is the body of a request"
        said += (
            f": write {new}"
            if new
            else (
                "; its headers and query are seen by the flow's `filter` (`=headers.x = 1`), and by "
                f"steps with the trigger webhook.raw, as event.{part}"
            )
        )
        yield Habit(found.start(), found.end(), new, said, found.start())
    for pattern, new, mend in NAMES:
        for found in pattern.finditer(text.mask):
            root = re.match(r"\$?(\w+)", found[0])
            if (root is None or root[1] in names) or text.mask[found.end() :].lstrip()[:1] == "(":
                continue
            before = text.mask[: found.start()].rstrip()[-1:]
            after = text.mask[found.end() :].lstrip()[:1]
            if before in ("{", ",") and after == ":":
                continue  # a key of an object
            if text.is_relative(found.start()):
                continue
            written = found.expand(new) if new else None
            if (
                written is not None
                and written not in names
                and written not in ("null", "true", "false")
            ):
                continue
            yield Habit(found.start(), found.end(), written, found.expand(mend), found.start())
    for found in _ROOT.finditer(text.mask):
        inside = text.is_relative(found.start()) or "{" in map(
            text.mask.__getitem__, text.around(found.start())
        )
        if found["name"] not in names and "event" in names and not inside:
            new = f"event.{found['name']}"
            said = f"what the app sent is `event`: write {new}"
            yield Habit(*found.span(), new, said, found.start())
    for found in _KEY.finditer(text.mask):
        around = text.around(found.start("key"))
        if found["key"] not in names and around and text.mask[around[-1]] == "{":
            quoted = '"' + found["key"] + '"'
            said = f"a key is a text: write {quoted}"
            yield Habit(*found.span("key"), quoted, said, found.start("key"))
    for found in _MINUS.finditer(text.mask):
        name = found[0].replace("-", "_")
        if name in names and found[0].partition("-")[0] not in names:
            message = f"`-` is minus, and the name is {name}: write {name}"
            yield Habit(*found.span(), name, message, found.start())
    for found in _HYPHEN.finditer(text.mask):
        parts = found["name"].split("-")
        if not any(each in names for each in parts[1:]):
            quoted = f".`{found['name']}`"
            message = f"this subtracts; a name with a hyphen is quoted: write {quoted[1:]}"
            yield Habit(found.start(), found.end(), quoted, message, found.start("name"))


_TEMPLATE = re.compile(r"(?P<text>`[^`]*\$\{[^`]*`|(?<![\w$])f(?:\"[^\"]*\"|'[^']*'))")


def _templates(text: MaskedText) -> Iterator[Habit]:
    for found in _TEMPLATE.finditer(text.raw):
        quoted = found["text"].removeprefix("f")
        new = joined(re.split(r"\$?\{([^{}]+)\}", quoted[1:-1]))
        yield Habit(
            found.start(),
            found.end(),
            new,
            f"texts and values are joined by &: write {new}",
            found.start(),
        )


# All of them -----------------------------------------------------------------------------------


def find(text: str, names: Collection[str], kind: Kind = unknown) -> Habit | None:
    """Return the first foreign spelling of an expression, with the whole expression as it is meant.

    kind: the type of an operand.
    """
    if len(text) > MOST_CHARACTERS:
        return None
    current, first = _separated(MaskedText(text))
    whole, choice = True, ""
    for _ in range(MOST_EDITS):
        edit = _first(MaskedText(current, kind), names)
        if edit is None:
            break
        first = edit if first is None or edit.at < first.at else first
        choice = choice or edit.choice
        if edit.meant is None:
            whole = False
            break
        current = current[: edit.start] + edit.meant + current[edit.end :]
    if first is None:
        return None
    meant = current if whole and reads(current, names) else None
    message = first.message
    if meant is not None and meant not in message:
        message += f": ={meant}"
    if choice not in message:
        message += f"; {choice}"
    return replace(first, meant=meant, message=message, choice=choice)


def is_silent(text: str) -> bool:
    """Return whether an expression may hold what JSONata reads as something else, or calls in vain."""
    if len(text) > MOST_CHARACTERS or ("[" not in text and "." not in text):
        return False
    mask = MaskedText(text).mask
    return any(each.search(mask) is not None for each in (_METHOD, _SUBSCRIPT, _LENGTH))


def meant(text: str, names: Collection[str]) -> str | None:
    """Return a text as the expression that is meant, if it is one of the names in scope."""
    found = find(text, names)
    if found is not None:
        return found.meant
    return text if reads(text, names) else None


def reads(text: str, names: Collection[str]) -> bool:
    """Return whether a text is an expression of the names in scope."""
    try:
        found = Expression.parse(text).names()
    except ExpressionError:
        return False
    return all(each.path[0] in names for each in found)


def _first(text: MaskedText, names: Collection[str]) -> Habit | None:
    dates = [*_dates(text)]
    found = [
        *_functions(text),
        *_methods(text),
        *_fields(text),
        *_names(text, names),
        *_templates(text),
    ]
    for pattern, mend, make, choice in OPERATORS:
        match = pattern.search(text.mask)
        if match is not None:
            if make is _piped:
                choice = foreign_calls.NOTES.get(foreign_calls.plain(match["name"]), "")
            start, end, new = make(match, text)
            at = match.start() + len(match[0]) - len(match[0].lstrip())
            found.append(Habit(start, end, new, mend, at, choice=choice))
    first = min(found, key=lambda each: (each.at, each.meant is None), default=None)
    return dates[0] if dates and (first is None or dates[0].at <= first.at) else first
