"""Write a call of another language's function as JSONata, each argument in its own place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import cast

from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.lint import picture
from halflap.lowcode.lint.masked import MaskedText

MOST_NAME = 60
"""The length of a name up to which it is compared with known ones."""

Given = Sequence[str]
Form = str | Callable[[Given], str | None]
"""The form of a call: a function's name, a text with places for arguments, or a Python function.

`{0}` is an argument, `{0.}` one as an operand, `{0&}` as a side of `and`, `{1-}` a number less one,
and `{1/}` a text as a pattern.
"""

EMPTY = '{0.} = null or {0.} = "" or {0.} = []'
FULL = '{0.} != null and {0.} != "" and {0.} != []'
_FOUND = "{0.} != null ? {0} : {1}"
_DAY = 86_400_000
_MILLIS = {
    "millisecond": 1, "second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": _DAY,
    "week": 7 * _DAY, "s": 1_000, "sec": 1_000, "min": 60_000, "h": 3_600_000, "d": _DAY,
    "w": 7 * _DAY,
}  # fmt: skip


def is_operand(text: str) -> bool:
    """Return whether a text is one value, which no operator beside it tears apart."""
    return bool(text) and MaskedText(text).after(0) == len(text)


def is_path(text: str) -> bool:
    """Return whether a text reads a value and computes nothing."""
    return re.fullmatch(r"[\w.$`]+(?:\[[^\]]*\][\w.]*)*", text) is not None


def operand(text: str) -> str:
    """Return a text as an operand: in brackets, unless it is one value."""
    return text if is_operand(text) else f"({text})"


def of_all(text: str) -> str:
    """Return a list as what a position is taken of: `a.b.c[0]` would be one of each `b`."""
    return text if re.fullmatch(r"\$?\w+(?:\.\w+)?", text) else f"({text})"


def negated(text: str) -> str:
    """Return `$not(…)` of a value; what is absent counts as false, where it may be absent."""
    may_be_absent = re.fullmatch(r"[\w.$`]+(?:\[[^\]]*\])?", text) and text not in ("true", "false")
    return f"$not({text} ?: false)" if may_be_absent else f"$not({text})"


def pattern_of(text: str) -> str:
    """Return a text as it is written within a pattern."""
    return re.sub(r"([.^$*+?{}\[\]\\|()/])", r"\\\1", text)


def moved(time: str, amount: str, unit: str, sign: str = "+", written: str = "") -> str | None:
    """Return a time with so many units added; None for months and years, which are not alike."""
    name = unit.strip("\"' ").lower()
    millis = _MILLIS.get(name) or _MILLIS.get(name.removesuffix("s"))
    if millis is None:
        return None
    read = "$millis()" if _is_now(time) else f"$toMillis({time})"
    more = f", {written}" if written else ""
    return f"$fromMillis({read} {sign} {operand(amount.lstrip('+'))} * {millis}{more})"


def _is_now(time: str) -> bool:
    return re.fullmatch(r"\$?(?:now|utcnow)(?:\(\s*\))?|new Date\(\s*\)", time, re.I) is not None


def _added(unit: str, sign: str = "+") -> Form:
    return lambda given: moved(given[0], given[1], unit, sign) if len(given) == 2 else None


def _later(sign: str) -> Form:
    """`x.plus(3, "days")`."""
    return lambda given: moved(given[0], given[1], given[2], sign) if len(given) == 3 else None


def _date_added(given: Given) -> str | None:
    """`DATEADD(day, 3, x)` of SQL and `DATEADD(x, 3, "days")` of forms."""
    if len(given) != 3:
        return None
    first = given[0].strip("\"'").lower().removesuffix("s") in _MILLIS
    return moved(given[2], given[1], given[0]) if first else moved(given[0], given[1], given[2])


def _between(given: Given) -> str | None:
    """`DATEDIF(start; end; "d")`."""
    if len(given) != 3 or given[2].strip("\"'").lower() != "d":
        return None
    return f"$floor(($toMillis({given[1]}) - $toMillis({given[0]})) / {_DAY})"


def _shown(given: Given) -> str | None:
    """Write a time by a picture."""
    meant = _literal(given[1]) if len(given) == 2 else None
    meant = None if meant is None else meant if "[" in meant else picture.translated(meant)
    if meant is not None and _is_now(given[0]):
        return f'$now("{meant}")'
    return None if meant is None else f'$fromMillis($toMillis({given[0]}), "{meant}")'


def _now(given: Given) -> str | None:
    if not given:
        return "$now()"
    meant = picture.translated(_literal(given[0]) or "")
    return None if meant is None or len(given) > 1 else f'$now("{meant}")'


def _text(given: Given) -> str | None:
    if len(given) == 1:
        return f"$string({given[0]})"
    shown = _literal(given[1]) if len(given) == 2 else None
    if shown is None or not re.fullmatch(r"[#0,.%\s]+", shown):
        return _shown(given)
    if re.search(r",0{1,2}$|,0{4,}$", shown):  # a comma for decimals
        swapped = '{"decimal-separator": ",", "grouping-separator": "."}'
        return f"$formatNumber({given[0]}, {given[1]}, {swapped})"
    return f"$formatNumber({given[0]}, {given[1]})"


def _fixed(given: Given) -> str | None:
    digits = given[1] if len(given) == 2 else "0" if len(given) == 1 else ""
    if not re.fullmatch(r"[0-9]", digits):
        return None
    shown = "0." + "0" * int(digits) if int(digits) else "0"
    return f'$formatNumber({given[0]}, "{shown}")'


def _integer(given: Given) -> str | None:
    if len(given) == 2 and given[1] != "10":
        return None
    return f"$floor($number({given[0]}))" if given else None


def _rounded(above: str, below: str) -> Form:
    """Round to digits, numbers above zero by one function and those below by the other."""

    def make(given: Given) -> str | None:
        number, *rest = given
        digits = rest[0] if rest else "0"
        if len(rest) > 1 or re.fullmatch(r"-?\d{3,}", digits):
            return None
        factor = f"$power(10, {digits})"
        if re.fullmatch(r"-?\d+", digits):
            factor = str(10 ** abs(int(digits)))
        there, back = "/*" if digits[0] == "-" and factor[0] != "$" else "*/"
        literal = _PLAIN_NUMBER.fullmatch(number) is not None
        value = number if literal else operand(number)
        up, down = (
            f"${each}({number})"
            if factor == "1"
            else f"${each}({value} {there} {factor}) {back} {factor}"
            for each in (above, below)
        )
        if literal:
            return down if number[0] == "-" else up
        return f"{value} < 0 ? {down} : {up}"

    return make


def _remainder(given: Given) -> str | None:
    """`MOD(a; b)` of a spreadsheet, whose sign is that of `b`."""
    if all(re.fullmatch(r"\d+", each) for each in given):
        return made("{0} % {1}", given)
    return made("({0.} % {1.} + {1.}) % {1.}", given)


def _part(given: Given) -> str | None:
    """`s.substring(1, 3)`, whose second number is the end."""
    if len(given) == 3 and all(re.fullmatch(r"\d+", each) for each in given[1:]):
        return f"$substring({given[0]}, {given[1]}, {max(int(given[2]) - int(given[1]), 0)})"
    if len(given) == 3 and re.fullmatch(r"\d+", given[1]):
        less = f" - {given[1]}" if int(given[1]) else ""
        return None if "-" in given[2] else f"$substring({given[0]}, {given[1]}, {given[2]}{less})"
    return f"$substring({given[0]}, {given[1]})" if len(given) == 2 else None


def _replaced(given: Given) -> str | None:
    """`REPLACE(text; start; count; new)` of a spreadsheet, or a text for another."""
    if len(given) == 4 and all(re.fullmatch(r"\d+", each) for each in given[1:3]):
        start = int(given[1]) - 1
        return (
            f"$substring({given[0]}, 0, {start}) & {operand(given[3])} & "
            f"$substring({given[0]}, {start + int(given[2])})"
        )
    return f"$replace({', '.join(given)})" if len(given) == 3 else None


def _joined(given: Given) -> str | None:
    """`list.join(", ")`, and `", ".join(list)` of Python."""
    if not 1 <= len(given) <= 2:
        return None
    if len(given) == 2 and _literal(given[0]) is not None:
        return f"$join({given[1]}, {given[0]})"
    separator = given[1] if len(given) == 2 else '","'
    return f"$join({given[0]}, {separator})"


def _sorted(given: Given) -> str | None:
    """`list.sort((a, b) => a.n - b.n)`, whose sign is a comparison here."""
    if len(given) == 1:
        return f"$sort({given[0]})"
    found = re.fullmatch(r"(.*=>\s*[\w.]+)\s*-\s*([\w.]+)", given[1])
    return (
        None if found is None or len(given) > 2 else f"$sort({given[0]}, {found[1]} > {found[2]})"
    )


def _includes(given: Given) -> str | None:
    """A part of a text, or a number in a list."""
    if len(given) != 2:
        return None
    number = _PLAIN_NUMBER.fullmatch(given[1])
    return f"{given[1]} in {operand(given[0])}" if number else f"$contains({', '.join(given)})"


def _matches(given: Given) -> str | None:
    return f"$match({', '.join(given)})" if len(given) == 2 and given[1].startswith("/") else None


def _found_in(given: Given) -> str | None:
    """`list.find(x => …)`; `FIND("x"; text)` is another."""
    by = len(given) == 2 and re.search(r"=>|\bfunction\b|\blambda\b|^\$", given[1])
    return f"$filter({given[0]}, {given[1]})[0]" if by else None


def _filtered(given: Given) -> str | None:
    """`FILTER(list; list.n > 1)` of a spreadsheet, or of a function."""
    if len(given) != 2 or any(re.search(r"=>|\bfunction\b|\blambda\b|^\$\w+$", x) for x in given):
        return _call("$filter", given)
    items, condition = given
    mask = MaskedText(condition).mask
    fields = [*re.finditer(rf"(?<![\w.$`]){re.escape(items)}\.(?=[\w`])", mask)]
    if not fields or not is_path(items) or re.search(r"\)\s*[*+]\s*\(", mask):
        return None
    others = re.findall(r"(?<![\w.$`])[A-Za-z_]\w*(?!\w|\()", mask.replace(f"{items}.", "."))
    alone = re.search(r"[<>=]", mask) and {*others} <= {"and", "or", "in", "true", "false", "null"}
    for each in reversed(fields):
        condition = condition[: each.start()] + "$x." * (not alone) + condition[each.end() :]
    return f"{items}[{condition}]" if alone else f"$filter({items}, function($x){{{condition}}})"


def _counted(form: str) -> Form:
    """Count or add up what meets the criterion of a spreadsheet, `">5"` or `"x"`."""

    def make(given: Given) -> str | None:
        found = _criterion(given[1]) if len(given) == 2 else None
        return None if found is None else f"${form}({given[0]}[$ {found}])"

    return make


def _criterion(given: str) -> str | None:
    value = _literal(given)
    if value is None:
        return f"= {given}" if _PLAIN_NUMBER.fullmatch(given) else None
    operator = re.match(r"[<>]=?|<>|=|", value)
    found = "" if operator is None else "<>" if value.startswith("<>") else operator[0]
    value = value[len(found) :].replace(",", ".") if found else value
    written = value if _PLAIN_NUMBER.fullmatch(value) else f'"{value}"'
    if "*" in value or "?" in value or (found not in ("", "=", "<>") and written != value):
        return None
    return f"{'!=' if found == '<>' else found or '='} {written}"


def _all_of(operator: str) -> Form:
    place = operand if operator == "&" else _side
    return lambda given: f" {operator} ".join(map(place, given)) if given else None


def _side(text: str) -> str:
    """Return a side of `and` or `or`."""
    return f"({text})" if re.search(r"\b(?:and|or)\b|\?|:=", MaskedText(text).mask) else text


def _literal(text: str) -> str | None:
    found = re.fullmatch(r"([\"'])([^\"'\\]*)\1", text)
    return None if found is None else found[2]


_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

FUNCTIONS: Mapping[str, Form | tuple[Form, ...]] = {
    "len": "$length", "strlen": "$length", "size": "$count", "count": "$count",
    "upper": "$uppercase", "toupper": "$uppercase", "touppercase": "$uppercase",
    "ucase": "$uppercase", "lower": "$lowercase", "tolower": "$lowercase",
    "tolowercase": "$lowercase", "lcase": "$lowercase", "downcase": "$lowercase",
    "capitalize": "$uppercase($substring({0}, 0, 1)) & $lowercase($substring({0}, 1))",
    "strip": "$trim", "includes": _includes, "inarray": "{0.} in {1.}",
    "has": "$exists($lookup({0}, {1}))", "hasownproperty": "$exists($lookup({0}, {1}))",
    "tostring": "$string", "str": "$string", "tojson": "$string", "jsonstringify": "$string",
    "stringify": "$string", "dumps": "$string", "int": _integer, "parseint": _integer,
    "tointeger": _integer, "trunc": _rounded("floor", "ceil"),
    "rounddown": _rounded("floor", "ceil"), "roundup": _rounded("ceil", "floor"),
    "float": "$number", "parsefloat": "$number",
    "tonumber": "$number", "value": "$number", "avg": "$average", "mean": "$average",
    "ceiling": "$ceil", "pow": "$power", "mod": _remainder, "add": "{0.} + {1.}",
    "sub": "{0.} - {1.}", "mul": "{0.} * {1.}", "div": "{0.} / {1.}", "product": "{0.} * {1.}",
    "equals": "{0.} = {1.}", "greater": "{0.} > {1.}", "greaterorequals": "{0.} >= {1.}",
    "less": "{0.} < {1.}", "lessorequals": "{0.} <= {1.}",
    "substr": "$substring", "charat": "$substring({0}, {1}, 1)",
    "mid": "$substring({0}, {1-}, {2})", "left": ("$substring({0}, 0, {1})", "$substring({0}, 0, 1)"),
    "right": ("$substring({0}, -{1.})", "$substring({0}, -1)"),
    "substitute": "$replace({0}, {1}, {2})", "replaceall": "$replace", "replace": _replaced,
    "padstart": ("$pad({0}, -{1.}, {2})", "$pad({0}, -{1.})"),
    "padend": ("$pad({0}, {1}, {2})", "$pad({0}, {1})"), "zfill": '$pad({0}, -{1.}, "0")',
    "join": _joined, "textjoin": "$join({2}, {0})", "implode": "$join({1}, {0})",
    "explode": "$split({1}, {0})", "push": "$append", "sorted": "$sort({0})", "sort": _sorted,
    "match": _matches,
    "reversed": "$reverse", "unique": "$distinct", "uniq": "$distinct", "any": "$boolean({0})",
    "some": "$count($filter({0}, {1})) > 0", "every": "$count($filter({0}, {1})) = $count({0})",
    "find": _found_in, "foreach": "$map", "where": "$filter",
    "filter": _filtered,
    "flat": "$reduce({0}, $append)", "flatten": "$reduce({0}, $append)",
    "values": "$each({0}, function($value){$value})",
    "first": lambda given: f"{of_all(given[0])}[0]" if len(given) == 1 else None,
    "last": lambda given: f"{of_all(given[0])}[-1]" if len(given) == 1 else None,
    "at": lambda given: f"{of_all(given[0])}[{given[1]}]" if len(given) == 2 else None,
    "index": lambda given: (
        made("{0}[{1-}]", (of_all(given[0]), given[1])) if len(given) == 2 else None
    ),
    "take": lambda given: (
        f"{of_all(given[0])}[[0..{int(given[1]) - 1}]]"
        if len(given) == 2 and given[1].isdigit() and int(given[1])
        else None
    ),
    "concat": _all_of("&"), "concatenate": _all_of("&"), "and": _all_of("and"), "or": _all_of("or"),
    "not": lambda given: negated(given[0]) if len(given) == 1 else None,
    "if": ("{0&} ? {1} : {2}", "{0&} ? {1} : false"), "iif": "{0&} ? {1} : {2}",
    "isblank": EMPTY, "isempty": EMPTY, "empty": EMPTY, "isnotempty": FULL,
    "isnull": "{0.} = null", "isset": "{0.} != null",
    "isnumber": '$type({0}) = "number"', "istext": '$type({0}) = "string"',
    "isstring": '$type({0}) = "string"', "isarray": '$type({0}) = "array"',
    "islist": '$type({0}) = "array"', "isobject": '$type({0}) = "object"',
    "iferror": lambda given: made(_FOUND, given) if given and is_path(given[0]) else None,
    "ifnull": _FOUND, "nvl": _FOUND, "coalesce": (
        "{0.} != null ? {0} : {1}", "{0.} != null ? {0} : {1.} != null ? {1} : {2}"
    ),
    "default": _FOUND, "ifempty": EMPTY + " ? {1} : {0}",
    "today": '$now("[Y0001]-[M01]-[D01]")', "now": _now, "utcnow": _now, "getdate": _now,
    "tofixed": _fixed, "countif": _counted("count"), "sumif": _counted("sum"),
    "averageif": _counted("average"), "text": _text, "formatdate": _shown, "dateformat": _shown,
    "formatdatetime": _shown, "datetimeformat": _shown, "strftime": _shown, "toformat": _shown,
    "dateadd": _date_added, "adddays": _added("day"), "addhours": _added("hour"),
    "addminutes": _added("minute"), "addseconds": _added("second"), "addweeks": _added("week"),
    "subtractdays": _added("day", "-"), "datedif": _between,
    "days": f"$floor(($toMillis({{0}}) - $toMillis({{1}})) / {_DAY})",
    "year": '$number($fromMillis($toMillis({0}), "[Y]"))',
    "month": '$number($fromMillis($toMillis({0}), "[M]"))',
    "day": '$number($fromMillis($toMillis({0}), "[D]"))',
    "hour": '$number($fromMillis($toMillis({0}), "[H]"))',
    "minute": '$number($fromMillis($toMillis({0}), "[m]"))',
    "toisostring": "$fromMillis($toMillis({0}))", "gettime": "$toMillis({0})",
    "parsedate": "$toMillis({0})", "datevalue": "$toMillis({0})", "todatetime": "$toMillis({0})",
    "startswith": ("$contains({0}, /^{1/}/)", "$substring({0}, 0, $length({1})) = {1.}"),
    "endswith": ("$contains({0}, /{1/}$/)", "$substring({0}, -$length({1})) = {1.}"),
}  # fmt: skip
"""By the lower-case name in other languages, what is written; of several, the first that can be made."""

METHODS: Mapping[str, Form | None] = {
    "substring": _part, "slice": _part, "concat": None, "format": _shown,
    "plus": _later("+"), "minus": _later("-"),
}  # fmt: skip
"""Forms of methods whose names are functions that take something else."""

IN_MANY = frozenset(("sum", "max", "min", "average"))
"""Functions of one list, to which a spreadsheet gives several values."""

_NAMES = (
    "wenn=if summe=sum runden=round mittelwert=average links=left rechts=right teil=mid "
    "heute=today jetzt=now anzahl=count verketten=concat textkette=concat und=and oder=or "
    "nicht=not glätten=trim länge=len gross=upper klein=lower wennfehler=iferror "
    "istleer=isblank zählenwenn=countif summewenn=sumif ganzzahl=int rest=mod potenz=pow "
    "wechseln=substitute ersetzen=replace wurzel=sqrt jahr=year monat=month tag=day "
    "kürzen=trunc abrunden=rounddown aufrunden=roundup suchen=search finden=find sverweis=vlookup "
    "xverweis=xlookup zählenwenns=countifs summewenns=sumifs edatum=edate wochentag=weekday "
    "recherchev=vlookup "
    "si=if somme=sum arrondi=round moyenne=average gauche=left droite=right stxt=mid "
    "aujourdhui=today maintenant=now nb=count concatener=concat et=and ou=or non=not "
    "supprespace=trim nbcar=len majuscule=upper minuscule=lower sierreur=iferror "
    "estvide=isblank ent=int substitue=substitute racine=sqrt annee=year mois=month jour=day"
)
_ALIASES: dict[str, str] = {
    each.partition("=")[0]: each.partition("=")[2] for each in _NAMES.split()
}
"""German and French names of a spreadsheet's functions."""

_OF_TIME = 'write $fromMillis($toMillis(…), "[Y0001]-[M01]-[D01]")'
_OF_MONTHS = (
    "days are added by $fromMillis($toMillis(…) + 30 * 86400000); months and years, which are not "
    "alike, in a code step"
)
WORDS: Mapping[str, str] = {
    "fromjson": "what an app sends as JSON is read already; a text of JSON is read in a code step: "
    "json.loads(…)",
    "parsejson": "a text of JSON is read in a code step: json.loads(…)",
    "eval": "an expression is no text here; compute it in a code step",
    "uuid": "write execution.id, which is the same on every attempt",
    "guid": "write execution.id, which is the same on every attempt",
    "indexof": "write $length($substringBefore(…, …)), or ask by $contains(…, …)",
    "search": "ask by $contains(…, …)", "find": "ask by $contains(…, …), or filter: list[a = 1][0]",
    "formatdate": _OF_TIME, "dateformat": _OF_TIME, "formatdatetime": _OF_TIME,
    "datetimeformat": _OF_TIME, "strftime": _OF_TIME, "toformat": _OF_TIME,
    "format": "texts are joined by &; a time is written by $fromMillis(…, …)",
    "text": 'a time is written by $fromMillis($toMillis(…), "[D01].[M01].[Y0001]")',
    "dateadd": _OF_MONTHS, "addmonths": _OF_MONTHS, "addyears": _OF_MONTHS, "edate": _OF_MONTHS,
    "eomonth": _OF_MONTHS, "plus": _OF_MONTHS, "minus": _OF_MONTHS,
    "datedif": "days between are $floor(($toMillis(…) - $toMillis(…)) / 86400000)",
    "datediff": "days between are $floor(($toMillis(…) - $toMillis(…)) / 86400000)",
    "item": "the item of a loop is read by the name that its `for` gives it",
    "items": "the item of a loop is read by the name that its `for` gives it",
    "body": "a step's result is read by the `id` that the step gives",
    "outputs": "a step's result is read by the `id` that the step gives",
    "variables": "a variable is read by the name that `set` gives it",
    "parameters": "what the customer filled in is read by its name: config.region",
    "json": "what an app sends as JSON is read already; a text of JSON is read in a code step",
    "switch": "write a = 1 ? x : a = 2 ? y : z", "ifs": "write a = 1 ? x : a = 2 ? y : z",
    "weekday": 'write $fromMillis($toMillis(…), "[F0]"), where Monday is 1',
    "countif": "write $count(list[a = 1])",
    "sumif": "write $sum(list[a = 1].b)",
    "countifs": "write $count(list[a = 1 and b = 2])",
    "sumifs": "write $sum(list[a = 1].b)",
    "date": "a time is read by $toMillis(…), and written by $fromMillis(…)",
    "get": "a field is read by its name: event.name",
    "vlookup": "write $lookup(…, …), or a filter: list[key = value]",
    "xlookup": "write $lookup(…, …), or a filter: list[key = value]",
    "hlookup": "write $lookup(…, …), or a filter: list[key = value]",
    "match": "write a filter: list[key = value]", "filter": "write a filter: list[key = value]",
    "select": "write $filter(list, function($x){…}), or $map(…) to change each",
    "entries": "write $each(…, function($value, $key){…})",
    "slice": "write $substring(text, start, length), or list[[0..2]]",
    "concat": "texts are joined by &, lists by $append(…, …)",
    "iferror": "what fails fails the step; ask before: event.b != 0 ? event.a / event.b : 0",
    "bool": 'compare it: … = "true"',
}  # fmt: skip
"""By the lower-case name, what is to be done where no function does the same."""

_LENGTH = "that is of a text; the items of a list are counted by $count(…)"
_PART = "that is of a text; in a list, it is found by … in …"
_TO_ZERO = "of a negative number, write $ceil"
NOTES: Mapping[str, str] = {
    "round": "a half goes to the even digit: 2.5 gives 2, and 3 in a spreadsheet",
    "mod": "as a spreadsheet does; elsewhere, a negative number has a negative remainder: a % b",
    "int": _TO_ZERO, "parseint": _TO_ZERO, "tointeger": _TO_ZERO,
    "len": _LENGTH, "length": _LENGTH, "includes": _PART, "contains": _PART,
    "size": "that is of a list; the characters of a text are counted by $length(…)",
    "strip": "of several spaces within it, it leaves one",
    "adddays": 'of a date without a time, add the picture "[Y0001]-[M01]-[D01]"',
    "dateadd": 'of a date without a time, add the picture "[Y0001]-[M01]-[D01]"',
    "slice": "that is of a text; of a list, write list[[0..2]]",
    "substring": "its third argument is a length",
    "replace": "it replaces each; a fourth argument, 1, only the first",
}  # fmt: skip
"""By the lower-case name, what depends on what is meant: the mend is offered as a choice."""


_SLICED = "$filter({0}, function($x, $i){$i >= {1}})"
OF_LIST: Mapping[str, Form] = {
    "len": "$count({0})", "length": "$count({0})", "includes": "{1} in {0.}",
    "contains": "{1} in {0.}", "slice": _SLICED, "concat": "$append({0}, {1})",
}  # fmt: skip
"""Forms of a list, by the names whose forms differ with the type."""
OF_TEXT: Mapping[str, Form] = {"size": "$length({0})", "concat": _all_of("&")}
"""Forms of a text, by the same."""


def settled(name: str, given: Given, kind: str) -> str | None:
    """Return what is written where the type of what a function works on is known, and decides."""
    key = plain(name)
    written = None if key not in NOTES and key != "concat" else called(name, given)
    if kind == "date" and key in ("adddays", "dateadd") and written is not None:
        return f'{written[:-1]}, "[Y0001]-[M01]-[D01]")'
    if kind == "date-time" and key in ("adddays", "dateadd"):
        return written
    if kind == "array":
        form = OF_LIST.get(key)
        return None if form is None else form(given) if callable(form) else made(form, given)
    if kind == "string" and (form := OF_TEXT.get(key)):
        return form(given) if callable(form) else made(form, given)
    return written if kind == "string" and key in OF_LIST else None


def plain(name: str) -> str:
    """Return a function's name as the tables have it."""
    folded = name.rpartition(".")[2].lstrip("$").lower().replace("_", "")
    return _ALIASES.get(folded, folded)


def called(name: str, given: Given, *, method: bool = False) -> str | None:
    """Return a function of another language as JSONata calls it; None where there is none like it."""
    key = plain(name)
    if not all(given):
        return None
    forms: Form | tuple[Form, ...] | None
    if method and key in METHODS:
        forms = METHODS[key]
    else:
        forms = FUNCTIONS.get(key) or _function(key, name)
    several = cast("tuple[Form, ...]", forms) if isinstance(forms, tuple) else (forms or "",)
    for each in several:
        written = made(each, given) if isinstance(each, str) else each(given)
        if written is not None:
            return written
    return None


def made(
    form: str, given: Given, groups: Mapping[str, str | None] = MappingProxyType({})
) -> str | None:
    """Return a form with its arguments, and with groups by name; None where they are none of it."""
    if "{" not in form and not form.endswith(")"):
        return _call(form, given) if form else None
    places = [(at, how) for at, how in _PLACE.findall(form) if at.isdigit()]
    if len(given) != max((int(at) + 1 for at, _ in places), default=0):
        return None
    values = {**groups, **{at + how: _place(given[int(at)], how) for at, how in places}}
    if None in values.values():
        return None
    return _PLACE.sub(lambda each: values[each[1] + each[2]] or "", form)


_PLACE = re.compile(r"\{(\d|[a-z]+)([.&/-]?)\}")


def _place(text: str, how: str) -> str | None:
    match how:
        case ".":
            return operand(text)
        case "&":
            return f"({text})" if re.search(r"\?|:=", MaskedText(text).mask) else text
        case "-":
            return str(int(text) - 1) if text.isdigit() else f"{operand(text)} - 1"
        case "/":
            literal = _literal(text)
            return None if literal is None else pattern_of(literal)
        case _:
            return text


def _call(function: str, given: Given) -> str | None:
    if function[1:] in IN_MANY and len(given) == 1:
        given = [given[0].removeprefix("...")]
    if function[1:] in IN_MANY and len(given) > 1:
        if any(_literal(each) is not None for each in given):
            return None
        return f"{function}([{', '.join(given)}])"
    signature = LIBRARY[function[1:]].signature
    if signature is not None and (
        len(given) < signature.least
        or signature.misfit([""] * len(given), rooted=True) == signature.most
    ):
        return None
    return f"{function}({', '.join(given)})"


def _function(key: str, name: str) -> str | None:
    """Return the function of JSONata that is meant, by its spelling."""
    if (exact := name.lstrip("$")) in LIBRARY:
        return f"${exact}"
    if key in WORDS or len(key) > MOST_NAME:
        return None
    folded = {each.lower(): each for each in LIBRARY}
    close = next(iter(get_close_matches(key, folded, 1, 0.8)), None)
    if close is None or (close != key and close in key and key != f"{close}s"):
        return None  # another function's name: `isnumber`, `xlookup`
    return f"${folded[close]}"
