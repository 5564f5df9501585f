"""Find what an expression writes as another language does, and write it as JSONata.

`event.a == 1 && !event.b`, `len(event.lines)`, `event.name | upper`, `$json.id`: each rule is a row of
a table with the words of its mend, and is applied until nothing foreign is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.expressions.library import LIBRARY

MOST_CHARACTERS = 400
"""The length of an expression up to which it is looked at; a longer one is a program."""
MOST_EDITS = 20
"""The number of foreign spellings of one expression that are rewritten."""
MOST_NAME = 60
"""The length of a name up to which it is compared with known ones."""


@dataclass(frozen=True, slots=True)
class Habit:
    """A foreign spelling: its place in the expression, the mend, and the whole expression mended.

    field: it is a field's name as well, as `length` is, so it may be meant.
    """

    at: int
    message: str
    meant: str | None
    silent: bool = False
    field: bool = False


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    new: str | None
    message: str
    at: int
    silent: bool = False
    field: bool = False


class _Text:
    """An expression, and the same with what stands in quotes blanked."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.mask = _QUOTED.sub(
            lambda each: each[0][0] + "\0" * (len(each[0]) - 2) + each[0][-1], raw
        )

    def before(self, end: int) -> int:
        """Return where the operand begins that ends before a place."""
        at = len(self.mask[:end].rstrip())
        while at > 0:
            char = self.mask[at - 1]
            if char in ")]}":
                at = self._opening(at - 1)
            elif char.isalnum() or char in _OPERAND:
                at -= 1
            else:
                break
        return at

    def after(self, start: int) -> int:
        """Return where the operand ends that begins at a place."""
        at = start + len(self.mask[start:]) - len(self.mask[start:].lstrip())
        while at < len(self.mask):
            char = self.mask[at]
            if char in "([{":
                at = self.closing(at)
            elif char.isalnum() or char in _OPERAND:
                at += 1
            else:
                break
        return at

    def _opening(self, at: int) -> int:
        depth = 0
        for here in range(at, -1, -1):
            depth += (self.mask[here] in ")]}") - (self.mask[here] in "([{")
            if depth == 0:
                return here
        return 0

    def closing(self, at: int) -> int:
        """Return where the bracket at a place is closed, just behind it."""
        depth = 0
        for here in range(at, len(self.mask)):
            depth += (self.mask[here] in "([{") - (self.mask[here] in ")]}")
            if depth == 0:
                return here + 1
        return len(self.mask)

    def end(self, start: int) -> int:
        """Return where the part ends that begins at a place: at a comma or a bracket not its own."""
        at = start
        while at < len(self.mask) and self.mask[at] not in ",)]};":
            at = self.closing(at) if self.mask[at] in "([{" else at + 1
        return at

    def is_relative(self, at: int) -> bool:
        """Return whether a name at a place is a field: in a filter, or in a bracket after a dot."""
        depth = 0
        for here in range(at - 1, 0, -1):
            depth += (self.mask[here] in ")]}") - (self.mask[here] in "([{")
            if depth < 0:
                depth, before = 0, self.mask[here - 1]
                if self.mask[here] == "[" and (before.isalnum() or before in "_`)]"):
                    return True
                if self.mask[here] in "([{" and before == ".":
                    return True
        return False

    def arguments(self, opening: int) -> list[str]:
        """Return what stands between the commas of a bracket."""
        found: list[str] = []
        at = opening + 1
        while at < len(self.mask):
            end = self.end(at)
            found.append(self.raw[at:end].strip())
            if end >= len(self.mask) or self.mask[end] != ",":
                break
            at = end + 1
        return [each for each in found if each]


_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|(?<=[(,])/[^/\n]+/|(?<=[(,] )/[^/\n]+/'
)
_OPERAND = "_$.`\0\"'"

# Words and operators ---------------------------------------------------------------------------

Make = Callable[[re.Match[str], _Text], tuple[int, int, str | None]]


def _as(new: str) -> Make:
    """Write a fixed text in the match's place."""
    return lambda found, text: (found.start(), found.end(), found.expand(new))


def _call(pattern: str) -> Make:
    """Write a text with the operands on the left (A) and on the right (B) of the match."""

    def make(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
        start = text.before(found.start()) if "A" in pattern else found.start()
        end = text.after(found.end()) if "B" in pattern else found.end()
        left, right = text.raw[start : found.start()].strip(), text.raw[found.end() : end].strip()
        if ("A" in pattern and not left) or ("B" in pattern and not right):
            return found.start(), found.end(), None
        if "$not(" in pattern and right.startswith("(") and right.endswith(")"):
            right = right[1:-1]
        values = {"A": left, "B": right}
        return start, end, re.sub(r"[AB]", lambda each: values[each[0]], pattern)

    return make


def _arrow(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
    """Write `x => x.id` and `lambda x: x.id` as `function($x){$x.id}`."""
    names = re.findall(r"\w+", found["names"])
    end = text.end(found.end())
    body = text.raw[found.end() : end].strip()
    for name in names:
        body = re.sub(rf"(?<![\w$.`\"']){name}\b", f"${name}", body)
    parameters = ", ".join(f"${name}" for name in names)
    return found.start(), end, f"function({parameters}){{{body}}}"


def _like(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
    start = text.before(found.start())
    words = text.raw[found.start("value") + 1 : found.end("value") - 1]
    pattern = re.escape(words.strip("%"))
    pattern = (
        ("" if words.startswith("%") else "^") + pattern + ("" if words.endswith("%") else "$")
    )
    left = text.raw[start : found.start()].strip()
    return start, found.end(), f"$contains({left}, /{pattern}/)"


def _between(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
    start = text.before(found.start())
    left = text.raw[start : found.start()].strip()
    return start, found.end(), f"{left} >= {found['low']} and {left} <= {found['high']}"


def _piped(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
    """Write a filter of Jinja as the function that it is."""
    start, name, end = text.before(found.start()), found["name"], found.end()
    given = [text.raw[start : found.start()].strip()]
    if text.mask[end : end + 1] == "(":
        given += text.arguments(end)
        end = text.closing(end)
    return start, end, called(name, given)


def _chosen(found: re.Match[str], text: _Text) -> tuple[int, int, str | None]:
    test, one, other = (text.raw[slice(*found.span(each))] for each in ("test", "then", "other"))
    return *found.span(), f"{test} ? {one} : {other}"


def joined(parts: list[str]) -> str:
    """Join texts (at even places) and expressions (at odd ones) by `&`."""
    made = [
        each if at % 2 else '"' + each.replace('"', '\\"') + '"'
        for at, each in enumerate(parts)
        if each
    ]
    return " & ".join(made)


_LITERAL = r"\s*(?=[\"'\d]|null\b)"
_NULL = r"(?:null|none|nil|undefined|empty)"

Row = tuple[re.Pattern[str], str, Make]
"""A pattern, the mend in words, and a function that writes it."""


def _row(pattern: str, mend: str, make: Make, flags: int = 0) -> Row:
    return re.compile(pattern, flags), mend, make


OPERATORS: tuple[Row, ...] = (
    _row(r"(?<![=!<>:~])===?(?!=)", "two values are compared by one equals sign: write =", _as("=")),
    _row(r"!==|<>", "what differs is written !=: write !=", _as("!=")),
    _row(r"\s*&&\s*", "write and", _as(" and ")),
    _row(r"\s*\|\|" + _LITERAL, "another value for what is missing is written ??", _as(" ?? ")),
    _row(r"\s*\|\|\s*", "write or", _as(" or ")),
    _row(r"\bAND\b(?=\s+[^\s(])", "write and", _as("and")),
    _row(r"\bOR\b(?=\s+[^\s(])", "write or", _as("or")),
    _row(r"\s+(?:not|NOT)\s+(?:in|IN)\b", "write $not(… in …)", _call("$not(A in B)")),
    _row(r"(?<![\w$.])(?:not|NOT)\s+(?=[\w$(])|!(?![=~])", "write $not(…)", _call("$not(B)")),
    _row(rf"\bis\s+not\s+{_NULL}|\bis\s+defined", "write != null", _as("!= null"), re.I),
    _row(rf"\bis\s+{_NULL}|\bis\s+(?:not\s+)?defined", "write = null", _as("= null"), re.I),
    _row(r"\?\.", "what is missing is null: write a plain dot, as in event.a.b", _as(".")),
    _row(r"//\s*(?=[\"'\w])", "another value for what is missing is written ??", _as("?? ")),
    _row(r"\s*\*\*\s*(?=[\w$(])", "write $power(…)", _call("$power(A, B)")),
    _row(r"\s*\^\s*(?![\s(])", "write $power(…)", _call("$power(A, B)")),
    _row(r"\+\+", "write n + 1", _as(" + 1")),
    _row(
        r"(?:\((?P<names>[\w\s,]*)\)|(?P<one>\b[A-Za-z_]\w*))\s*=>\s*",
        "a function is written function($x){$x.id}",
        lambda found, text: _arrow(_NAMED.match(text.mask, found.start()) or found, text),
    ),
    _row(r"\blambda\s+(?P<names>[\w\s,]*):\s*", "a function is written function($x){…}", _arrow),
    _row(r"^(?P<then>.+?)\s+if\s+(?P<test>.+?)\s+else\s+(?P<other>.+)$",
         "write condition ? one : other", _chosen),
    _row(r"\bCASE\s+WHEN\s+(?P<test>.+?)\s+THEN\s+(?P<then>.+?)\s+ELSE\s+(?P<other>.+?)\s+END\b",
         "write condition ? one : other", _chosen),
    _row(r"\bBETWEEN\s+(?P<low>[\w.]+)\s+AND\s+(?P<high>[\w.]+)", "write … >= … and … <= …", _between),
    _row(r"\bLIKE\s+(?P<value>[\"']\0*[\"'])", "write $contains(…, /…/)", _like),
    _row(r"\s*\|\s*(?=\.)", "fields follow each other by a dot", _as("")),
    _row(r"\s*\|\s*(?P<name>[A-Za-z_]\w*)(?=\s*[(|)]|\s*$)", "a value is given to a function",
         _piped),
    _row(r"(?:^|(?<=[\s(,]))\.(?=[A-Za-z_])", "an expression names what it reads: event.id",
         _as("event.")),
    _row(r"^\s*return\s+", "an expression gives its value without return", _as("")),
    _row(r"\s*;\s*$", "remove the ; at the end", _as("")),
    _row(r"\btypeof\s+", "write $type(…)", _call("$type(B)")),
    _row(r"\s+instanceof\s+Array\b", 'write $type(…) = "array"', _call('$type(A) = "array"')),
    _row(r"\bnew\s+Date\(\s*\)", "write $now()", _as("$now()")),
    _row(r"\[\s*(?P<low>\d+)\s*:\s*(?P<high>\d+)\s*\]", "items are taken by [[0..2]]",
         lambda found, text: (*found.span(), f"[[{found['low']}..{int(found['high']) - 1}]]")),
    _row(r"\{\s*\.\.\.(?P<inner>[\w.$]+)\s*\}", "objects are put together by $merge([…])",
         _as(r"$merge([\g<inner>])")),
    _row(r"\b(?:const|let|var)\s+(?P<name>\w+)\s*=", "a variable is bound by $x := …; … in brackets, "
         "so write ($x := 1; …)", lambda found, text: (*found.span(), None)),
    _row(r"(?<=\()(?P<name>[A-Za-z_]\w*)\s*=(?=[^=][^;]*;)", "a variable is bound by :=: ($x := 1; …)",
         lambda found, text: (*found.span(), None)),
    _row(r"[“”]", 'write straight quotes, "', _as('"')),
    _row(r"[‘’]", "write straight quotes, '", _as("'")),
    _row(r"^\s*\{\s*\{\s*(?P<inner>.+?)\s*\}\s*\}\s*$", "braces mean nothing here", _as(r"\g<inner>")),
)  # fmt: skip
"""Words, operators and forms of other languages, which JSONata does not read."""

_NAMED = re.compile(r"\(?(?P<names>[\w\s,]*?)\)?\s*=>\s*")


# Functions and methods -------------------------------------------------------------------------

FUNCTIONS: Mapping[str, str] = {
    "len": "$length", "strlen": "$length", "size": "$count", "upper": "$uppercase",
    "toupper": "$uppercase", "touppercase": "$uppercase", "ucase": "$uppercase",
    "lower": "$lowercase", "tolower": "$lowercase", "tolowercase": "$lowercase",
    "downcase": "$lowercase", "strip": "$trim", "includes": "$contains", "has": "$contains",
    "tostring": "$string", "str": "$string", "tojson": "$string",
    "jsonstringify": "$string", "stringify": "$string", "dumps": "$string",
    "int": "$number", "float": "$number", "parseint": "$number", "parsefloat": "$number",
    "tonumber": "$number", "tointeger": "$number", "avg": "$average", "mean": "$average",
    "ceiling": "$ceil", "pow": "$power", "substr": "$substring", "slice": "$substring",
    "mid": "$substring", "push": "$append", "entries": "$spread", "unique": "$distinct",
    "uniq": "$distinct", "any": "$exists", "utcnow": "$now", "getdate": "$now",
    "foreach": "$map", "select": "$filter", "where": "$filter", "flatten": "$append",
    "concat": "{&}", "concatenate": "{&}", "if": "{0} ? {1} : {2}", "iif": "{0} ? {1} : {2}",
    "and": "{0} and {1}", "or": "{0} or {1}", "isblank": "{0} = null", "isempty": "{0} = null",
    "isnull": "{0} = null", "isset": "{0} != null", "isnotempty": "{0} != null",
    "iferror": "{0} ?? {1}", "ifempty": "{0} ?? {1}", "ifnull": "{0} ?? {1}", "nvl": "{0} ?? {1}",
    "coalesce": "{0} ?? {1}", "default": "{0} ?? {1}", "left": "$substring({0}, 0, {1})",
    "right": "$substring({0}, -{1})", "first": "{0}[0]", "last": "{0}[-1]",
    "today": '$now("[Y0001]-[M01]-[D01]")', "tofixed": '$formatNumber({0}, "0.00")',
    "countif": "$count({0}[$ {1}])", "sumif": "$sum({0}[$ {1}])", "averageif": "$average({0}[$ {1}])",
    "text": "$formatNumber({0}, {1})",
    "startswith": "$contains({0}, /^{1}/)", "endswith": "$contains({0}, /{1}$/)",
}  # fmt: skip
"""By the lower-case name in other languages: the function, or what is written of its arguments."""

WORDS: Mapping[str, str] = {
    "fromjson": "what an app sends as JSON is read already; a text of JSON is read in a code step: "
    "json.loads(…)",
    "parsejson": "a text of JSON is read in a code step: json.loads(…)",
    "eval": "an expression is no text here; compute it in a code step",
    "uuid": "write execution.id, which is the same on every attempt",
    "indexof": "write $length($substringBefore(…, …)), or ask by $contains(…, …)",
    "formatdate": 'write $fromMillis($toMillis(…), "[Y0001]-[M01]-[D01]")',
    "dateformat": 'write $fromMillis($toMillis(…), "[Y0001]-[M01]-[D01]")',
    "strftime": 'write $fromMillis($toMillis(…), "[Y0001]-[M01]-[D01]")',
    "text": 'a time is written by $fromMillis($toMillis(…), "[D01].[M01].[Y0001]")',
    "countif": "write $count(list[a = 1])",
    "sumif": "write $sum(list[a = 1].b)",
    "countifs": "write $count(list[a = 1 and b = 2])",
    "sumifs": "write $sum(list[a = 1].b)",
    "date": "a time is read by $toMillis(…), and written by $fromMillis(…)",
    "get": "a field is read by its name: event.name",
    "vlookup": "write $lookup(…, …), or a filter: list[key = value]",
}
"""By the lower-case name, what is to be done where no function does the same."""

_OWNERS = r"(?:Math|Object|JSON|Array|Date|Number|String|datetime|json|math|moment)"
_OF_OWNER: Mapping[str, str] = {"date.now": "$millis", "json.parse": "", "json.loads": ""}
_CALL = re.compile(rf"(?<![\w.`$])(?P<owner>{_OWNERS}\.)?(?P<name>\$?[A-Za-z_]\w*)\s*\(")
_METHOD = re.compile(r"\.\s*(?P<name>[A-Za-z_]\w*)\s*\(")
_LENGTH = re.compile(r"(?<=[\w\]`)])\.(?P<name>length|size)\b(?!\s*[(.\[])")
_SUBSCRIPT = re.compile(r"(?<=[\w\]`])\[\s*(?P<name>\"\0*\"|'\0*')\s*\]")
_KEYWORDS = frozenset(("function", "and", "or", "in"))
_CRITERION = re.compile(r"(?P<quote>[\"'])(?P<operator>[<>]=?|<>|=|)(?P<value>[^\"']*)(?P=quote)")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_NUMBER_PICTURE = re.compile(r"[\"'][#0,.%\s]+[\"']")
_OPERATED = re.compile(r" (?:\?|&|=|!=|and|or) | \?\? ")


def called(name: str, given: list[str]) -> str | None:
    """Return a function of another language as JSONata calls it; None where there is none like it."""
    plain = name.lstrip("$").lower().replace("_", "")
    found = FUNCTIONS.get(plain) or (None if plain in WORDS else _function(name))
    if found is None:
        return None
    if plain == "text" and len(given) < 2:
        found = "$string"
    elif "[$ {1}]" in found:
        criterion = _criterion(given[1]) if len(given) == 2 else None
        if criterion is None:
            return None
        given = [given[0], criterion]
    elif plain == "text" and not _NUMBER_PICTURE.fullmatch(given[1]):
        return None  # the picture of a time
    if "{" not in found:
        return found if found.endswith(")") else f"{found}({', '.join(given)})"
    if found == "{&}":
        return " & ".join(given) if given else None
    if "/" in found and not re.fullmatch(r"([\"'])\w+\1", given[1] if len(given) > 1 else ""):
        return None
    values = [each.strip("\"'") if "/" in found and at else each for at, each in enumerate(given)]
    try:
        return found.format(*values)
    except IndexError:
        return None


def _criterion(given: str) -> str | None:
    """Return the criterion of a spreadsheet, `">5"` or `"x"`, as a condition of `$`."""
    found = _CRITERION.fullmatch(given)
    if found is None:
        return f"= {given}" if _PLAIN_NUMBER.fullmatch(given) else None
    operator, value = found["operator"].replace("<>", "!=") or "=", found["value"]
    return f"{operator} {value}" if _PLAIN_NUMBER.fullmatch(value) else f'{operator} "{value}"'


def _function(name: str) -> str | None:
    """Return the function of JSONata that is meant, by its spelling."""
    plain = name.lstrip("$")
    if plain in LIBRARY:
        return f"${plain}"
    if len(plain) > MOST_NAME:
        return None
    folded = {each.lower(): each for each in LIBRARY}
    close = get_close_matches(plain.lower().replace("_", ""), folded, 1, 0.8)
    return f"${folded[close[0]]}" if close else None


def _functions(text: _Text) -> Iterator[_Edit]:
    bound = {each[1] for each in re.finditer(r"\$(\w+)\s*:=", text.mask)}
    bound |= {
        each
        for one in re.finditer(r"function\s*\(([^)]*)\)", text.mask)
        for each in re.findall(r"\w+", one[1])
    }
    for found in _CALL.finditer(text.mask):
        name, owner = found["name"], found["owner"] or ""
        plain = name.removeprefix("$")
        if name in _KEYWORDS or (name[0] == "$" and (plain in LIBRARY or plain in bound)):
            continue
        key = f"{owner}{plain}".lower()
        end = text.closing(found.end() - 1)
        given = text.arguments(found.end() - 1)
        special = _OF_OWNER.get(key)
        new = f"{special}()" if special else None if special == "" else called(name, given)
        yield _function_edit(text, found.start(), end, f"{owner}{name}", new, found.start())


def _methods(text: _Text) -> Iterator[_Edit]:
    for found in _METHOD.finditer(text.mask):
        start, end = text.before(found.start()), text.closing(found.end() - 1)
        left = text.raw[start : found.start()]
        if not left or re.fullmatch(_OWNERS, left) or found["name"] == "function":
            continue
        given = text.arguments(found.end() - 1)
        name = found["name"]
        new = called(name, [left, *given])
        if name == "get" and len(given) == 1 and re.fullmatch(r"([\"'])\w+\1", given[0]):
            new = f"{left}.{given[0][1:-1]}"
        at = found.start("name")
        if text.raw[start:at].startswith(tuple(f"{each}." for each in ("$", "$$"))):
            continue
        yield _function_edit(text, start, end, name, new, at)


def _function_edit(text: _Text, start: int, end: int, name: str, new: str | None, at: int) -> _Edit:
    plain = name.rpartition(".")[2].lstrip("$").lower().replace("_", "")
    meaning = WORDS.get("fromjson" if name in ("JSON.parse", "json.loads") else plain)
    message = f"there is no function `{name}`"
    if new is None:
        message += f"; {meaning}" if meaning else ""
        return _Edit(start, end, None, message, at)
    shown = new.partition("(")[0] if new.startswith("$") and "." not in name else ""
    message += f"; write {shown}, as in {new}" if shown else f"; write {new}"
    whole = new[0] == "$" and _Text(new).closing(new.find("(")) == len(new)
    if _OPERATED.search(new) and not whole and (start, end) != (0, len(text.raw)):
        new = f"({new})" if "$" in new or not _alone(text, start, end) else new
    return _Edit(start, end, new, message, at)


def _alone(text: _Text, start: int, end: int) -> bool:
    """Return whether a part stands between brackets or commas of its own."""
    return text.mask[:start].rstrip()[-1:] in ("", "(", ",") and text.mask[end:].lstrip()[:1] in (
        "",
        ")",
        ",",
    )


def _fields(text: _Text) -> Iterator[_Edit]:
    for found in _LENGTH.finditer(text.mask):
        start = text.before(found.start())
        new = f"$count({text.raw[start : found.start()]})"
        message = (
            f"`.{found['name']}` reads a field of that name; the number of items is {new}, the "
        )
        message += "length of a text $length(…)"
        yield _Edit(start, found.end(), new, message, found.start("name"), silent=True, field=True)
    for found in _SUBSCRIPT.finditer(text.mask):
        name = text.raw[found.start("name") + 1 : found.end("name") - 1]
        field = name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"
        start = text.before(found.start())
        left = text.raw[start : found.start()]
        message = "this gives the whole value, since a text in brackets is a condition; write "
        message += f"{left}.{field}"
        yield _Edit(
            found.start(), found.end(), f".{field}", message, found.start("name"), silent=True
        )


# Names -----------------------------------------------------------------------------------------

_HEAD = r"(?<![\w.`$\])])"
NAMES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(_HEAD + pattern), new, mend)
    for pattern, new, mend in (
        (r"(?:msg\.payload|request\.body|req\.body|\$json\.body|\$states\.input|github\.event|"
         r"trigger\.(?:body|event|outputs)|\$input\.item\.json|(?:\$json|inputData|payload|body|data|trigger|"
         r"request|req|msg|input|json|message)(?=[.\[]|\s*$))",
         "event", "what the app sent is `event`: write event"),
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
        (r"(?:index|loop\.index|i|idx)\b(?!\s*\()", "", "an item's place is given by "
         "$map(list, function($item, $index){…})"),
        (r"(?:result|results|output|response|previous|prev)\b(?!\s*\()", "", "a step's result is read "
         "by the `id` that the step gives"),
    )
)  # fmt: skip
"""Names of other tools: what is searched for, what is written instead, and the mend in words."""

_HYPHEN = re.compile(r"(?<=[\w\]`])\.(?P<name>[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)(?![\w(.])")


def _names(text: _Text, names: Collection[str]) -> Iterator[_Edit]:
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
            yield _Edit(found.start(), found.end(), written, found.expand(mend), found.start())
    for found in _HYPHEN.finditer(text.mask):
        parts = found["name"].split("-")
        if not any(each in names for each in parts[1:]):
            quoted = f".`{found['name']}`"
            message = f"this subtracts; a name with a hyphen is quoted: write {quoted[1:]}"
            yield _Edit(found.start(), found.end(), quoted, message, found.start("name"))


_TEMPLATE = re.compile(r"(?P<text>`[^`]*\$\{[^`]*`|(?<![\w$])f(?:\"[^\"]*\"|'[^']*'))")


def _templates(text: _Text) -> Iterator[_Edit]:
    for found in _TEMPLATE.finditer(text.raw):
        quoted = found["text"].removeprefix("f")
        new = joined(re.split(r"\$?\{([^{}]+)\}", quoted[1:-1]))
        yield _Edit(
            found.start(),
            found.end(),
            new,
            f"texts and values are joined by &: write {new}",
            found.start(),
        )


# All of them -----------------------------------------------------------------------------------


def find(text: str, names: Collection[str]) -> Habit | None:
    """Return the first foreign spelling of an expression, with the whole expression as it is meant."""
    if len(text) > MOST_CHARACTERS:
        return None
    first: _Edit | None = None
    current, whole = text, True
    for _ in range(MOST_EDITS):
        edit = _first(_Text(current), names)
        if edit is None:
            break
        first = first or edit
        if edit.new is None:
            whole = False
            break
        current = current[: edit.start] + edit.new + current[edit.end :]
    if first is None:
        return None
    meant = current if whole and reads(current, names) else None
    message = first.message
    if meant is not None and meant not in message:
        message += f": ={meant}"
    return Habit(first.at, message, meant, first.silent, first.field)


def is_silent(text: str) -> bool:
    """Return whether an expression may hold what JSONata reads as something else, or calls in vain."""
    if len(text) > MOST_CHARACTERS or ("[" not in text and "." not in text):
        return False
    mask = _Text(text).mask
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


def _first(text: _Text, names: Collection[str]) -> _Edit | None:
    found = [
        *_functions(text),
        *_methods(text),
        *_fields(text),
        *_names(text, names),
        *_templates(text),
    ]
    for pattern, mend, make in OPERATORS:
        match = pattern.search(text.mask)
        if match is not None:
            start, end, new = make(match, text)
            at = match.start() + len(match[0]) - len(match[0].lstrip())
            found.append(_Edit(start, end, new, mend, at))
    return min(found, key=lambda each: (each.at, each.new is None), default=None)
