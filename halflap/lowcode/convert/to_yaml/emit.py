"""Writes the document that was made, with ruamel.yaml: comments before their parts, and every
expression quoted where YAML would read it otherwise."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import (
    DoubleQuotedScalarString,
    LiteralScalarString,
    SingleQuotedScalarString,
)

from halflap.lowcode.convert.to_yaml.made import Made, plain
from halflap.lowcode.document import PlainField
from halflap.lowcode.source import Unreadable, read

WIDTH = 100
_APART = ("flows", "preprocess")
_FLOW_SAFE = re.compile(r"[A-Za-z0-9_=$/][A-Za-z0-9_.=$/ -]*")
_SAFE = re.compile(r"[A-Za-z0-9_=$(/][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*")
_BLOCK = re.compile(
    r"[^\s][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]*\n"
    r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]*"
)


def written(made: Made) -> str:
    """The text of a document, which reads as what was made."""
    yaml: Any = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(Decimal, _decimal)
    root: Any = _mapping(made, 0)
    if made.comments:
        root.yaml_set_start_comment("\n".join(made.comments))
    stream = io.StringIO()
    yaml.dump(root, stream)
    text = _spaced(stream.getvalue()) + "".join(f"# {each}\n" for each in made.after)
    assert read(text, "made.yaml").data == plain(made), "the text has to read as what was made"
    return text


def _spaced(text: str) -> str:
    """The text with a blank line before each part and each flow, and the comments above it."""
    made: list[str] = []
    inside = ""
    for line in text.splitlines():
        part = re.match(r"([a-z]+):", line)
        inside = part[1] if part else inside
        begins = part is not None and part[1] in ("config", "pairs", *_APART)
        if begins or (inside in _APART and re.match(r"  [A-Za-z_]", line)):
            at = len(made)
            while at and made[at - 1].lstrip().startswith("#") and not part:
                at -= 1
            if at and made[at - 1].removesuffix(":") not in _APART:
                made.insert(at, "")
        made.append(line)
    return "\n".join(made) + "\n"


def _decimal(representer: Any, value: Decimal) -> Any:
    text = format(value, "f")
    return representer.represent_scalar(
        f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text
    )


def _mapping(made: Made | dict[Any, Any], indent: int, name: str = "") -> Any:
    data: dict[Any, Any] = made.data if isinstance(made, Made) else made
    found: Any = CommentedMap()
    for key, value in data.items():
        shown = _scalar(key) if isinstance(key, str) else key
        found[shown] = _value(value, indent + 2, str(key))
        if isinstance(value, Made) and value.comments:
            found.yaml_set_comment_before_after_key(
                shown, before="\n".join(value.comments), indent=indent
            )
    if (name in _FLOWING or data.keys() <= _FIELD) and _fits(data, indent):
        found.fa.set_flow_style()
    return found


_FLOWING = frozenset(
    {"with", "stop", "set", "retry", "event", "sides", "order", "answer", "fields"}
)

_FIELD = frozenset({"connection", *PlainField.model_fields})


def _fits(data: dict[Any, Any], indent: int) -> bool:
    """Whether a mapping may stand in braces: short, and nothing in it that they would split."""
    length = indent + 12
    for key, value in data.items():
        if not isinstance(value, str | int) or value == "":
            return False
        if isinstance(value, str) and not _FLOW_SAFE.fullmatch(value):
            return False
        length += len(str(key)) + len(str(value)) + 4
    return 0 < length <= WIDTH and bool(data)


def _value(value: Any, indent: int, name: str = "") -> Any:
    match value:
        case Made() | dict():
            return _mapping(cast("Made | dict[Any, Any]", value), indent, name)
        case list():
            found: Any = CommentedSeq()
            items = cast("list[Any]", value)
            for at, each in enumerate(items):
                found.append(_value(each, indent + 2))
                if isinstance(each, Made) and each.comments:
                    found.yaml_set_comment_before_after_key(
                        at, before="\n".join(each.comments), indent=indent
                    )
            if all(isinstance(each, str) and _FLOW_SAFE.fullmatch(each) for each in items):
                found.fa.set_flow_style()
            return found
        case str():
            return _scalar(value)
        case _:
            return value


def _reads_as(text: str) -> bool:
    """Whether a text without quotes is read as itself."""
    try:
        return read(f"- {text}", "text").data == [text]
    except Unreadable:
        return False


def _scalar(text: str) -> str:
    """A text, quoted where it would be read otherwise."""
    if _BLOCK.fullmatch(text) and not re.search(r"[ \t]$", text, re.MULTILINE):
        return LiteralScalarString(text)
    bare = (
        _SAFE.fullmatch(text) is not None
        and not re.search(r": |:$| #|\s$", text)
        and _reads_as(text)
    )
    if bare:
        return text
    single = '"' in text and "'" not in text and text.isprintable()
    return SingleQuotedScalarString(text) if single else DoubleQuotedScalarString(text)
