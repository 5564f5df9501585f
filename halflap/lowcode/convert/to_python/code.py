"""Writes a code step as a function: a step of its own, which is given its inputs by name."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import TYPE_CHECKING

from halflap.lowcode import steps as doc
from halflap.lowcode.code import Code, components_of
from halflap.lowcode.convert.to_python.kind import JSON
from halflap.lowcode.convert.to_python.layout import Piece, call_with, joined, lines, text
from halflap.lowcode.convert.to_python.refusal import NotConvertible
from halflap.lowcode.convert.to_python.writer import Block
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.convert.to_python.flow import FlowWriter

TITLE = "Code"
"""What a code step is called that has no title."""


def written_code(writer: FlowWriter, step: doc.CodeStep, path: Path, indent: int) -> Block:
    """`code`."""
    _check(writer, step, path)
    name = _name(writer, step, path)
    writer.functions.append(_function(writer, step, name, path))
    named = [(each, writer.plain(v, (*path, "with", each))) for each, v in step.inputs.items()]
    ignored = (step.title or TITLE) if step.on_failure == "ignore" else None
    called = joined("await ", call_with(name, [], named))
    return writer.attempted(called, JSON, step.id, ignored, indent)


def _check(writer: FlowWriter, step: doc.CodeStep, path: Path) -> None:
    where = writer.module.source.at((*path, "code"))
    read = Code.parse(step.code, step.inputs.keys(), components_of(step.code, step.inputs))
    if read.uses:
        raise NotConvertible(
            "this code calls actions, whose failures are a RuntimeError in it and a StepFailed in "
            "Python; call them in steps of their own, and give the code their results",
            where=where,
        )
    tree = ast.parse(textwrap.dedent(step.code))
    named = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    if "print" in named - step.inputs.keys():
        raise NotConvertible(
            "`print` writes to the execution's log here, and not in Python; write a `log` step",
            where=where,
        )


def _name(writer: FlowWriter, step: doc.CodeStep, path: Path) -> str:
    """What the function is called: by the step's title, else by its id."""
    module = writer.module
    found = module.function_names.get(path)
    if found is None:
        said = "_".join(re.findall(r"[a-z0-9]+", (step.title or "").lower()))
        wanted = said if said.isidentifier() else f"{step.id or writer.flow}_code"
        found = module.names.free(wanted, module.function_names.values())
        module.function_names[path] = found
    return found


def _function(writer: FlowWriter, step: doc.CodeStep, name: str, path: Path) -> str:
    title: Piece = joined("title=", text(step.title or TITLE))
    retry = call_with(writer.uses("Retry"), ["3"], [])
    made = lines(
        call_with(f"@{writer.uses('step')}", [title], [("pure", "True"), ("retry", retry)])
    )
    json = writer.uses("Json")
    given = ", ".join(f"{each}: {json}" for each in step.inputs)
    made.append(f"def {name}({given}) -> {json}:")
    code = textwrap.dedent(step.code).strip("\n")
    made.append(textwrap.indent(code, "    "))
    function = ast.parse("\n".join(made)).body[0]
    assert isinstance(function, ast.FunctionDef)
    if ast.dump(ast.Module(function.body, [])) != ast.dump(ast.parse(code)):
        raise NotConvertible(
            "a text in this code goes over several lines, which would be indented in Python; write it "
            "in one line, with \\n",
            where=writer.module.source.at((*path, "code")),
        )
    if not isinstance(function.body[-1], ast.Return | ast.Raise):
        made.append("    return None")
    return "\n".join(made)
