"""Writes a code step's text as `code("…")`, which runs it in the sandbox."""

from __future__ import annotations

import ast
import re

from halflap.lowcode import kinds as doc
from halflap.lowcode.code import Code, components_of
from halflap.lowcode.code.literal import cleaned
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.layout import Brackets, Piece, call_with, joined, lines, text


def code_name(step: doc.CodeStepModel, flow: str) -> str:
    """Return a name for a code step: of its title, else of its id."""
    words = "_".join(re.findall(r"[a-z0-9]+", (step.title or "").lower()))
    return words if words.isidentifier() else f"{step.id or flow}_code"


def code_of(module: WrittenModule, name: str, step: doc.CodeStepModel) -> str:
    """Return the definition of a code step under a name."""
    named: list[tuple[str, Piece]] = []
    if step.title is not None:
        named.append(("title", text(step.title)))
    if step.inputs:
        named.append(("inputs", Brackets("[", tuple(map(text, step.inputs)), "]", "display")))
    read = Code.parse(step.code, step.inputs.keys(), components_of(step.code, step.inputs))
    called = dict.fromkeys(each.name for each in read.uses)
    if called:
        members = (module.member(module.components.action(each)) for each in called)
        named.append(("actions", Brackets("[", tuple(members), "]", "display")))
    body, function = cleaned(step.code), module.names.use("code")
    if "\n" not in body:
        whole = joined(f"{name} = ", call_with(function, [text(body)], named))
        return "\n".join(lines(whole))
    shown = literal(body)
    options = (line for key, each in named for line in lines(joined(f"{key}=", each), 4, ","))
    return "\n".join([f"{name} = {function}(", *shown[:-1], f"{shown[-1]},", *options, ")"])


def literal(body: str) -> list[str]:
    """Return a text over several lines as it stands in a call, indented with it.

    `cleaned` takes the indent away.
    """
    quote = "'''" if '"""' in body else '"""'
    odd = any(not each.isprintable() and each != "\n" for each in body)
    raw = (
        "\\" in body and not odd and quote not in body and not re.search(r" $", body, re.MULTILINE)
    )
    shown = body
    if not raw:
        shown = shown.replace("\\", "\\\\").replace(quote, f"\\{quote[0]}" * 3)
        shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in shown)
        shown = re.sub(r" $", r"\\x20", shown, flags=re.MULTILINE)
    made = [f"    {each}" if each else "" for each in shown.split("\n")]
    made = [f"    {'r' if raw else ''}{quote}", *made, f"    {quote}"]
    assert cleaned(ast.literal_eval("\n".join(made).strip())) == body
    return made
