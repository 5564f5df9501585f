"""Writes a code step: as a function where that does the same, else by its text, for the sandbox."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from halflap.lowcode import steps as doc
from halflap.lowcode.code import Code, components_of
from halflap.lowcode.code.literal import cleaned
from halflap.lowcode.convert.plain import is_plain
from halflap.lowcode.convert.to_python.kind import JSON
from halflap.lowcode.convert.to_python.layout import (
    Group,
    Piece,
    call_with,
    flat,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.to_python.scope import all_within
from halflap.lowcode.convert.to_python.writer import Block
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.convert.to_python.flow import FlowWriter

TITLE = "Code"
"""What a code step is called that has no title."""


def written_code(writer: FlowWriter, step: doc.CodeStep, path: Path, indent: int) -> Block:
    """`code`."""
    exact = writer.uses("code")
    name = _name(writer, step, path)
    made = None if _is_watched(writer, step, path) else _function(writer, step, name)
    named = _inputs(step, writer.stored, path)
    if made is None or any(".maybe(" in flat(each) for _, each in named):
        # What is sandboxed makes its own numbers, and leaves out what is not there.
        made, named = None, _inputs(step, writer.plain, path)
    writer.functions.append(made or _sandboxed(writer, step, name, exact))
    args: list[Piece] = [] if made else ["ctx"]
    if any(not each.isidentifier() or iskeyword(each) for each in step.inputs):
        items = tuple(joined(f"{text(each)}: ", piece) for each, piece in named)
        args, named = [*args, joined("**", Group("{", items, "}", "display"))], []
    ignored = (step.title or TITLE) if step.on_failure == "ignore" else None
    return writer.attempted(
        joined("await ", call_with(name, args, named)), JSON, step.id, ignored, indent
    )


def _inputs(
    step: doc.CodeStep, say: Callable[[Any, Path], Piece], path: Path
) -> list[tuple[str, Piece]]:
    return [(each, say(value, (*path, "with", each))) for each, value in step.inputs.items()]


def _name(writer: FlowWriter, step: doc.CodeStep, path: Path) -> str:
    """What it is called in the module: by the step's title, else by its id."""
    module = writer.module
    found = module.function_names.get(path)
    if found is None:
        said = "_".join(re.findall(r"[a-z0-9]+", (step.title or "").lower()))
        wanted = said if said.isidentifier() else f"{step.id or writer.flow}_code"
        found = module.names.own(wanted)
        module.function_names[path] = found
    return found


def _is_watched(writer: FlowWriter, step: doc.CodeStep, path: Path) -> bool:
    """Whether a flow has a look at how the step fails, which a function says in other words."""
    flows = writer.module.document.flows.values()
    others = (each for flow in flows for each in all_within(flow.steps))
    if any(isinstance(each, doc.CallStep) and each.call == writer.flow for each in others):
        return True
    if step.on_failure == "ignore":
        return True
    found: Any = writer.module.source.data
    for key in path:
        if key == "try" or (key == "do" and found.get("on_failure") == "continue"):
            return True
        found = found[key]
    return False


def _function(writer: FlowWriter, step: doc.CodeStep, name: str) -> str | None:
    """The code as a function under `@step`; None where that would not be the same."""
    body = cleaned(step.code)
    if not is_plain(ast.parse(body).body, step.inputs, writer.module.flows):
        return None
    title: Piece = joined("title=", text(step.title or TITLE))
    made = lines(call_with(f"@{writer.uses('step')}", [title], [("pure", "True")]))
    json = writer.uses("Json")
    given = ", ".join(f"{each}: {json}" for each in step.inputs)
    made.append(f"def {name}({given}) -> {json}:")
    made.append(textwrap.indent(body, "    "))
    function = ast.parse("\n".join(made)).body[0]
    assert isinstance(function, ast.FunctionDef)
    if ast.dump(ast.Module(function.body, [])) != ast.dump(ast.parse(body)):
        return None  # a text over several lines would be indented, too
    if not isinstance(function.body[-1], ast.Return | ast.Raise):
        made.append("    return None")
    return "\n".join(made)


def _sandboxed(writer: FlowWriter, step: doc.CodeStep, name: str, exact: str) -> str:
    """The code by its text."""
    module = writer.module
    named: list[tuple[str, Piece]] = []
    if step.title is not None:
        named.append(("title", text(step.title)))
    if step.inputs:
        named.append(("inputs", Group("[", tuple(map(text, step.inputs)), "]", "display")))
    read = Code.parse(step.code, step.inputs.keys(), components_of(step.code, step.inputs))
    called = dict.fromkeys(each.name for each in read.uses)
    if called:
        members = (module.member(module.components.action(each)) for each in called)
        named.append(("actions", Group("[", tuple(members), "]", "display")))
    body = cleaned(step.code)
    if "\n" not in body:
        return "\n".join(lines(joined(f"{name} = ", call_with(exact, [text(body)], named))))
    shown = literal(body)
    options = (line for key, each in named for line in lines(joined(f"{key}=", each), 4, ","))
    return "\n".join([f"{name} = {exact}(", *shown[:-1], f"{shown[-1]},", *options, ")"])


def literal(body: str) -> list[str]:
    """A text over several lines as it stands in a call, indented with it: `cleaned` takes that away."""
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
