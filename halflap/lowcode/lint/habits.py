"""Find what an expression writes as another language does, of the commonest, and write it as JSONata.

`event.a == 1 && !event.b`, `len(event.lines)`, `event.name.trim()`, `$json.id`: a spelling is a row of a
table, and is replaced as a text until none is left. Of a function only the name is translated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
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


_TAIL = r"(?:\.[\w.`\0]+)?"
_PATH = (
    r"(?<![\w.$`])\$?[A-Za-z_][\w.`\0]*"
    rf"(?:\([^()]*\){_TAIL})?(?:\[[^\[\]]*\]{_TAIL})?"
)
_HEAD = r"(?<![\w.`$\])])"
_NULL = r"(?:null|none|nil|undefined)\b"
_EMPTY = 'what is empty is compared: write event.a = null or event.a = ""'
_FUNCTION = "a function is written function($x){$x.id}"
_CHOICE = "write condition ? one : other"
_HEADERS = (
    "the event is the body of a request; its headers and query are seen by the flow's `filter` "
    "(`=headers.x = 1`), and by steps with the trigger webhook.raw, as event.headers"
)
_BY_ID = "a step's result is read by the `id` that the step gives"
_EVENT = "what the app sent is `event`: write event"

Spelling = tuple[re.Pattern[str], str | None, str]

SPELLINGS: tuple[Spelling, ...] = tuple(
    (re.compile(pattern), new, mend)
    for pattern, new, mend in (
        (r"(?<![=!<>:~])===?(?!=)", "=", "two values are compared by one equals sign: write ="),
        (r"!==|<>", "!=", "what differs is written !=: write !="),
        (r"\s*&&\s*|(?<=[\w)\]}\"'`])\s+AND\s+", " and ", "write and"),
        (r"\s*\|\|\s*(?=[\"'\d]|null\b)", " ?: ", "another value for what is missing is written a ?: b"),
        (r"\s*\|\|\s*", " or ", "in a condition, write or; another value is written ?:"),
        (r"(?<=[\w)\]}\"'`])\s+OR\s+", " or ", "write or"),
        (r"(?:!(?![=~])|(?<![\w$.])(?:not|NOT)\s+)(?=\()", "$not", "write $not(…)"),
        (r"(?:!(?![=~])|(?<![\w$.])(?:not|NOT)\s+)(?P<of>" + _PATH + r")(?!\s*(?:[=<>!(]|in\b))",
         r"$not(\g<of> ?: false)", "write $not(…)"),
        (r"!(?![=~])|(?<![\w$.])(?:not|NOT)\s+", None, "write $not(…)"),
        (r"\b(?i:is\s+(?:not\s+)?empty)\b", None, _EMPTY),
        (r"\b(?i:is\s+not\s+" + _NULL + r"|is\s+defined)", "!= null", "write != null"),
        (r"\b(?i:is\s+" + _NULL + ")", "= null", "write = null"),
        (r"\?\.?(?=\[)|\?(?=\.)", "", "what is missing is null: write a plain dot, as in event.a.b"),
        (r"\s+(?:in|IN)\s*(?=\()", None, "a list is written in square brackets"),
        (r"(?:\([\w\s,]*\)|\b\w+)\s*=>|\blambda\b", None, _FUNCTION),
        (r"\bif\s.+\s(?:then|else)\s|\s(?:else|ELSE)\s", None, _CHOICE),
        (r"\s*\*\*\s*", None, "write $power(…)"),
        (r"^\s*return\s+|\s*;\s*$", "", "an expression gives its value without return or ;"),
        (r"(?P<call>\b[A-Za-z]\w*\([^();]*);", r"\g<call>,", "arguments are separated by a comma"),
        (r"[“”]", '"', 'write straight quotes, "'),
        (r"[‘’]", "'", "write straight quotes, '"),
        (r"^\s*\{\s*\{(?P<inner>.+)\}\s*\}\s*$", r"\g<inner>", "braces mean nothing here"),
    )
)  # fmt: skip
"""Words and operators of other languages, which JSONata does not read."""

NAMES: tuple[Spelling, ...] = tuple(
    (re.compile(_HEAD + pattern), new, mend)
    for pattern, new, mend in (
        (r"\$?(?:request|req|json|trigger|input)\.(?:headers|query|params)\b|headers?\b", None, _HEADERS),
        (r"(?:request\.body|req\.body|\$json\.body|\$states\.input|github\.event|trigger\.body|"
         r"triggerBody\(\)|(?:\$json|payload|body|data|trigger|request|json|message)(?=[.\[]|\s*$)"
         r"(?!\.(?:headers|query|params)\b))",
         "event", _EVENT),
        (r"\$(?=\.[A-Za-z_])", "event", _EVENT),
        (r"\$(?:node\b|\((?=[\"']))", None, _BY_ID),
        (r"steps\.(?P<id>\w+)(?:\.(?:outputs?|result|json|data|body)\b)?", r"\g<id>", _BY_ID),
        (r"(?:vars|inputs|settings|params|parameters|options)(?=\.)", "config",
         "what the customer filled in is `config`: write config"),
        (r"(?:None|NULL|nil|undefined|Null)\b", "null", "write null"),
        (r"(?:True|TRUE|yes|YES|Yes)\b", "true", "write true"),
        (r"(?:False|FALSE|no|NO|No)\b", "false", "write false"),
        (r"(?:process\.env|env|ENV)\b", None,
         "no environment is seen here; it belongs into the config: config.region"),
        (r"(?:index|loop\.index|(?<!/)i|idx)\b", None,
         "an item's place is given by $map(list, function($item, $index){…})"),
        (r"(?:results?|output|response|previous)\b", None, _BY_ID),
    )
)  # fmt: skip
"""Names of other tools, where nothing in scope is called so."""

_DIRECT = (
    "len=length strlen=length size=count upper=uppercase toupper=uppercase touppercase=uppercase "
    "lower=lowercase tolower=lowercase tolowercase=lowercase strip=trim includes=contains "
    "tostring=string str=string tojson=string jsonstringify=string stringify=string dumps=string "
    "float=number parsefloat=number tonumber=number value=number "
    "avg=average mean=average ceiling=ceil pow=power substr=substring substitute=replace "
    "replaceall=replace push=append sorted=sort reversed=reverse unique=distinct foreach=map "
    "where=filter getdate=now utcnow=now todatetime=toMillis"
)
DIRECT: Mapping[str, str] = {
    each.partition("=")[0]: each.partition("=")[2] for each in _DIRECT.split()
}
"""By the lower-case name in other languages, the function with the same arguments."""
_CODE = "a text of JSON is read in a code step: json.loads(…)"
_INT = "write $floor($number(…))"
_IF = "write a = 1 ? x : y"
_ELSE = "write a != null ? a : b"
_JOIN = "texts are joined by &, as in event.a & event.b; lists by $append(…, …)"
_TIME = 'a time is written by $fromMillis($toMillis(…), "[Y0001]-[M01]-[D01]")'
_DAYS = "days are added by $fromMillis($toMillis(…) + 30 * 86400000), months in a code step"
_BEGINS = "ask by $contains(…, /^…/), or /…$/ for the end"
_WHERE = "write a filter: list[a = 1], $count(list[a = 1]), $sum(list[a = 1].b)"
WORDS: Mapping[str, str] = {
    "fromjson": _CODE, "parsejson": _CODE, "parse": _CODE, "loads": _CODE,
    "eval": "an expression is no text here; compute it in a code step",
    "isempty": _EMPTY, "isblank": _EMPTY, "empty": _EMPTY,
    "int": _INT, "parseint": _INT,
    "uuid": "write execution.id, which is the same on every attempt",
    "if": _IF, "iif": _IF, "switch": _IF, "ifs": _IF,
    "and": "write a and b", "or": "write a or b", "not": "write $not(…)",
    "concat": _JOIN, "concatenate": _JOIN,
    "coalesce": _ELSE, "default": _ELSE, "ifnull": _ELSE, "iferror": _ELSE, "nvl": _ELSE,
    "today": 'write $now("[Y0001]-[M01]-[D01]")', "date": _TIME, "formatdate": _TIME,
    "strftime": _TIME, "toformat": _TIME, "text": f"{_TIME}, a number by $formatNumber(…, \"0.00\")",
    "tofixed": 'write $formatNumber(…, "0.00")', "adddays": _DAYS, "dateadd": _DAYS,
    "startswith": _BEGINS, "endswith": _BEGINS, "indexof": "ask by $contains(…, …)",
    "left": "write $substring(event.a, 0, 3)", "right": "write $substring(event.a, -3)",
    "mid": "write $substring(event.a, 1, 3)", "get": "a field is read by its name: event.name",
    "first": "write (list)[0]", "last": "write (list)[-1]", "find": _WHERE, "countif": _WHERE,
    "sumif": _WHERE, "vlookup": _WHERE, "xlookup": _WHERE,
    "item": "the item of a loop is read by the name that its `for` gives it",
}  # fmt: skip
"""By the lower-case name, what is to be done where no function does the same."""
CHOICES: Mapping[str, str] = {
    "len": "of a text; the items of a list are counted by $count(…)",
    "size": "of a list; the characters of a text are counted by $length(…)",
    "includes": "of a text; of a list, write … in …",
}
"""By the lower-case name, what depends on what is meant."""

_CALL = re.compile(
    r"(?<![\w.`$])(?:(?:Math|Object|JSON|Array|Date|Number|String|json|math|datetime)\.)?"
    r"(?P<name>\$?[A-Za-z_]\w*)\s*(?=\()"
)
_METHOD = re.compile(
    rf"(?P<of>{_PATH})(?:\.(?P<name>[A-Za-z_]\w*)\(|\s*\|\s*(?P<piped>[A-Za-z_]\w*)\(?)"
    r"\s*(?P<end>\)|$|)"
)
_CALLED = re.compile(r"\.[A-Za-z_]\w*\(")
_LENGTH = re.compile(rf"(?P<of>{_PATH})\.(?P<name>length|size)\b(?!\s*[(.\[])")
_LENGTHS = re.compile(r"(?<=[\w\]`)])\.(?:length|size)\b(?!\s*[(.\[])")
_SUBSCRIPT = re.compile(r"(?<=[\w\]`])\[\s*(?P<name>\"\0*\"|'\0*')\s*\]")
_KEY = re.compile(r"(?<=[{,])\s*(?P<key>[A-Za-z_]\w*)(?=\s*:(?![=:]))")
_MINUS = re.compile(_HEAD + r"[A-Za-z_]\w*(?:-\w+)+(?![\w(])")
_HYPHEN = re.compile(r"(?<=[\w\]`])\.(?P<name>[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)(?![\w(.])")
_TEMPLATE = re.compile(r"(?P<text>`[^`]*\$\{[^`]*`|(?<![\w$])f(?:\"[^\"]*\"|'[^']*'))")
_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|(?:^|(?<=[(,])|(?<=[(,] ))/[^/\n]+/'
)
_KEYWORDS = frozenset(("function", "and", "or", "in"))
_INFIX = frozenset(("AND", "OR", "NOT", "IN"))
"""Words of SQL, which a spreadsheet calls: `AND(a, b)`."""


def masked(text: str) -> str:
    """Return an expression with what stands in quotes blanked."""
    return _QUOTED.sub(lambda each: each[0][0] + "\0" * (len(each[0]) - 2) + each[0][-1], text)


def joined(parts: list[str]) -> str:
    """Join texts (at even places) and expressions (at odd ones) by `&`."""
    texts = ('"' + each.replace('"', '\\"') + '"' for each in parts[::2])
    pairs = zip(texts, [*parts[1::2], ""], strict=True)
    return " & ".join(each for pair in pairs for each in pair if each not in ("", '""'))


def texts_joined(text: str, at: int) -> str:
    """Return an expression whose `+` at a place joins texts, with `&` there and in what follows."""
    mask, written, depth = masked(text), list(text), 0
    for here in range(at, len(text)):
        depth += (mask[here] in "([{") - (mask[here] in ")]}")
        if depth < 0 or (depth == 0 and mask[here] in ",?:"):
            break
        if depth == 0 and mask[here] == "+":
            written[here] = "&"
    return "".join(written)


def _function(name: str) -> tuple[str | None, str]:
    """Return the function of JSONata that is meant, or what is to be written."""
    key = name.lstrip("$").lower().replace("_", "")
    folded = {each.lower(): each for each in LIBRARY}
    close = None if key in WORDS else folded.get(DIRECT.get(key, key).lower())
    if close is None and key not in WORDS and len(key) <= MOST_NAME:
        close = folded.get(next(iter(get_close_matches(key, folded, 1, 0.8)), ""))
        # What holds another's name is none of its misspellings: `isnumber`, `xlookup`.
        close = None if close and close.lower() in key and key != f"{close.lower()}s" else close
    said = f"there is no function `{name}`"
    if close is None:
        return None, f"{said}; {WORDS[key]}" if key in WORDS else said
    return f"${close}", f"{said}; write ${close}"


def _calls(text: str, mask: str) -> Iterator[Habit]:
    own = {str(each[1]) for each in re.finditer(r"\$(\w+)\s*:=", mask)}
    own |= {
        x for each in re.findall(r"function\s*\(([^)]*)\)", mask) for x in re.findall(r"\w+", each)
    }
    for found in _CALL.finditer(mask):
        name = found["name"]
        infix = name in _INFIX and not re.fullmatch(r"|.*[(,]\s*", mask[: found.start()])
        known = name[0] == "$" and name[1:] in {*own, *LIBRARY}
        if not (infix or known or name in _KEYWORDS):
            new, said = _function(name)
            choice = CHOICES.get(name.lstrip("$").lower(), "")
            yield Habit(*found.span(), new, said, found.start(), choice=choice)
    for found in _METHOD.finditer(mask):
        name, of = found["name"] or found["piped"], text[slice(*found.span("of"))]
        at = found.start("name") if found["name"] else mask.index("|", found.end("of"))
        new, said = _function(name)
        if new is not None:
            new += f"({of}" + (")" if found["end"] or mask[found.end() - 1] != "(" else ", ")
            said += f", as in {new}" if new.endswith(")") else f", as in {new}…)"
        choice = CHOICES.get(name.lower(), "")
        yield Habit(*found.span(), new, said, at, choice=choice)


def _silent(text: str, mask: str) -> Iterator[Habit]:
    for found in _LENGTH.finditer(mask):
        of = text[slice(*found.span("of"))]
        said = (
            f"`.{found['name']}` reads a field of that name; the number of items is $count({of}), "
        )
        said += f"the length of a text $length({of})"
        yield Habit(
            *found.span(), f"$count({of})", said, found.start("name"), True, True, "of a list"
        )
    for found in _SUBSCRIPT.finditer(mask):
        name = text[found.start("name") + 1 : found.end("name") - 1]
        field = name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"
        path = re.search(r"[\w.`\]]*$", text[: found.start()])
        said = "this gives the whole value, since a text in brackets is a condition; write "
        said += f"{path[0] if path else ''}.{field}"
        yield Habit(*found.span(), f".{field}", said, found.start("name"), silent=True)


def _named(text: str, mask: str, names: Collection[str]) -> Iterator[Habit]:
    for pattern, new, mend in NAMES:
        for found in pattern.finditer(mask):
            root = re.match(r"\$?(\w*)", found[0])
            after = mask[found.end() :].lstrip()[:1]
            key = mask[: found.start()].rstrip()[-1:] in ("{", ",") and after == ":"
            written = found.expand(new) if new else None
            known = written is None or written in {*names, "null", "true", "false"}
            inside = re.search(r"[\w`)\]]\[[^\]]*$|\.\([^)]*$|\{[^}]*$", mask[: found.start()])
            if known and not (key or inside or after == "(" or (root and root[1] in names)):
                yield Habit(*found.span(), written, mend, found.start())
    for found in _KEY.finditer(mask):
        key = found["key"]
        if key not in names and "{" in mask[: found.start()]:
            said = f'a key is a text: write "{key}"'
            yield Habit(*found.span("key"), f'"{key}"', said, found.start("key"))
    for found in _MINUS.finditer(mask):
        name = found[0].replace("-", "_")
        if name in names and found[0].partition("-")[0] not in names:
            said = f"`-` is minus, and the name is {name}: write {name}"
            yield Habit(*found.span(), name, said, found.start())
    for found in _HYPHEN.finditer(mask):
        if not any(each in names for each in found["name"].split("-")[1:]):
            quoted = f"`{found['name']}`"
            said = f"this subtracts; a name with a hyphen is quoted: write {quoted}"
            yield Habit(*found.span(), f".{quoted}", said, found.start("name"))
    for found in _TEMPLATE.finditer(text):
        new = joined(re.split(r"\$?\{([^{}]+)\}", found["text"].removeprefix("f")[1:-1]))
        said = f"texts and values are joined by &: write {new}"
        yield Habit(*found.span(), new, said, found.start())


def _spelled(text: str, mask: str) -> Iterator[Habit]:
    for pattern, new, mend in SPELLINGS:
        found = pattern.search(mask)
        if found is not None:
            groups = {f"\\g<{name}>": text[slice(*found.span(name))] for name in found.groupdict()}
            for group, given in groups.items() if new else ():
                new = str(new).replace(group, given)
            at = found.start() + len(found[0]) - len(found[0].lstrip())
            choice = "in a condition" if new == " or " and "||" in found[0] else ""
            yield Habit(*found.span(), new, mend, at, choice=choice)


def find(text: str, names: Collection[str]) -> Habit | None:
    """Return the first foreign spelling of an expression, with the whole expression as it is meant."""
    if len(text) > MOST_CHARACTERS:
        return None
    current, edits = text, list[Habit]()
    for _ in range(MOST_EDITS):
        mask = masked(current)
        found = [*_calls(current, mask), *_silent(current, mask), *_named(current, mask, names)]
        found += _spelled(current, mask)
        edit = min(found, key=lambda each: (each.at, each.meant is None), default=None)
        if edit is None:
            break
        edits.append(edit)
        if edit.meant is None:
            break
        current = current[: edit.start] + edit.meant + current[edit.end :]
    if not edits:
        return None
    first = min(edits, key=lambda each: each.at)
    meant = current.strip() if edits[-1].meant is not None and reads(current, names) else None
    choice = next((each.choice for each in edits if each.choice), "")
    said = first.message
    if meant is not None and meant not in said:
        said += f": ={meant}"
    said += f"; {choice}" if choice not in said else ""
    return replace(first, meant=meant, message=said, choice=choice)


def is_silent(text: str) -> bool:
    """Return whether an expression may hold what JSONata reads as something else, or calls in vain."""
    if len(text) > MOST_CHARACTERS or ("[" not in text and "." not in text):
        return False
    mask = masked(text)
    return any(each.search(mask) is not None for each in (_CALLED, _SUBSCRIPT, _LENGTHS))


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
