"""Checks code steps: their Python, and the actions that it calls."""

from __future__ import annotations

from halflap.lowcode.code import Code, CodeError, Use, components_of
from halflap.lowcode.fixes import instead_of
from halflap.lowcode.kinds.code import CodeStepModel, code_place
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.calls import Calls
from halflap.lowcode.lint.rules import Findings, suggest
from halflap.lowcode.source import Path


def check_code(step: CodeStepModel, path: Path, calls: Calls, findings: Findings) -> None:
    """Check one code step."""
    components = components_of(step.code, step.inputs)
    place = code_place(findings.source, (*path, "code"))
    try:
        code = Code.parse(step.code, step.inputs.keys(), components, place)
    except CodeError as error:
        for each in error.problems:
            findings.add_at(rules.CODE, each.line, each.column, each.message)
        return
    for name in sorted(step.inputs.keys() - code.names):
        said = f"the code does not read its input {name!r}; remove it"
        findings.add(rules.UNUSED, (*path, "with", name), said, key=True)
    for use in code.uses:
        _check_use(use, path, calls, findings)


def _check_use(use: Use, path: Path, calls: Calls, findings: Findings) -> None:
    name = use.name
    shape, said = calls.look("action", name)
    if said is not None:
        findings.add_at(rules.NO_SUCH, use.line, use.column, said, calls.meant("action", name))
    if shape is not None:
        calls.connection(name, shape, None, path)
    if shape is None or shape.inputs is None:
        return
    inputs = [each.name for each in shape.inputs]
    for each in use.keywords:
        if each not in inputs:
            message = f"{name} has no input {each!r}; {suggest(each, inputs, 'its inputs')}"
            findings.add_at(rules.INPUTS, use.line, use.column, message, instead_of(each, inputs))
    given = {*use.keywords, *inputs[: use.positional]}
    lacking = [each.name for each in shape.inputs if each.required and each.name not in given]
    if lacking and not use.spread:
        message = f"{name} needs the input {lacking[0]!r}"
        findings.add_at(rules.INPUTS, use.line, use.column, message)
