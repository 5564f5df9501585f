"""Writes the steps of a flow as statements of Python: a function for each kind of step."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from typing import Any

from halflap.lowcode import kinds as doc
from halflap.lowcode.convert.code import code_name, code_of
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.layout import (
    WIDTH,
    Brackets,
    Piece,
    call,
    call_with,
    flat,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.plan import NamePlan
from halflap.lowcode.convert.terms import CLOSED, JSON, Kind, Term, kind_of
from halflap.lowcode.convert.values import (
    PythonScope,
    argument,
    asked,
    display,
    items,
    scalar,
    span,
    status,
    text_of,
    time,
    truth,
    value,
)
from halflap.lowcode.kinds.action import retry_of
from halflap.lowcode.kinds.walk import blocks, every
from halflap.lowcode.source import Path
from halflap.sdk.action import Action, Retry


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """The flow that is written.

    answers: it returns something, in some case. codes: by the path of a code step, what it is called
    in the module. functions: their definitions, which stand before the flow.
    """

    module: WrittenModule
    name: str
    plan: NamePlan
    answers: bool
    codes: dict[Path, str] = field(default_factory=dict[Path, str])
    functions: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a flow, in the document and in the Python.

    frame: the path of the loop, or of the flow's steps, whose names steps give here.
    """

    flow: FlowPlan
    scope: PythonScope
    frame: Path
    path: Path
    indent: int

    def at(self, *path: str | int) -> Path:
        """Return the path of a part of what stands here."""
        return (*self.path, *path)

    def inner(self, *path: str | int, by: int = 4) -> Spot:
        """Return the place of a block in the statement here."""
        return replace(self, path=self.at(*path), indent=self.indent + by)

    def lines(self, piece: Piece, tail: str = "", by: int = 0) -> list[str]:
        """Lay out a piece at this indent."""
        return lines(piece, self.indent + by, tail)

    def free(self, name: str) -> str:
        """Return a name like this one that is not in use here."""
        return self.flow.module.names.free(name, self.scope.taken)

    def use(self, name: str) -> str:
        """Import a name of the public API."""
        return self.scope.use(name)

    def target(self, name: str | None) -> str | None:
        """Return the variable of a name that a step gives; None where nothing reads it."""
        if name is None or name not in self.flow.plan.read:
            return None
        return self.scope.names[name].text

    def assigned(self, name: str | None, piece: Piece, by: int = 0) -> list[str]:
        """Return a statement with this value, which a name stands for afterwards."""
        target = self.target(name)
        if target is not None:
            return self.lines(joined(f"{target} = ", piece), by=by)
        return self.lines(piece, by=by) if "(" in flat(piece) else []


def flow_body(
    flow: FlowPlan, scope: PythonScope, steps: Sequence[doc.StepModel], path: Path
) -> list[str]:
    """Return the body of the flow's function."""
    for place, each in every(steps, path):
        if isinstance(each, doc.CodeStepModel):
            flow.codes[place] = flow.module.names.own(code_name(each, flow.name))
    scope = opened(flow, scope, path, flow.plan.scoping.names, steps)
    made = beginnings(flow, scope, path, 4)
    made += block(Spot(flow, scope, path, path, 4), steps)
    if flow.answers and not any(each.ends for each in steps):
        made.append("    return None")
    return _without_gaps(made)


def _without_gaps(made: list[str]) -> list[str]:
    """Return lines without empty ones where the formatter has none: at a block's beginning or end."""
    found: list[str] = []
    for line in made:
        if line or (found and found[-1] and not found[-1].rstrip().endswith(":")):
            found.append(line)
    return found if found[-1] else found[:-1]


def opened(
    flow: FlowPlan,
    scope: PythonScope,
    frame: Path,
    names: Iterable[str],
    steps: Sequence[doc.StepModel],
) -> PythonScope:
    """Return the scope of a frame, with a variable for each of its names."""
    found, taken = dict(scope.names), set(scope.taken)
    kinds = _result_kinds(flow, frame, steps)
    for name in names:
        made = flow.module.names.free(name, taken)
        taken.add(made)
        found[name] = Term(made, kinds.get(name, JSON))
    return replace(scope, names=found, taken=frozenset(taken))


def _result_kinds(flow: FlowPlan, frame: Path, steps: Iterable[doc.StepModel]) -> dict[str, Kind]:
    """Return the kinds of the names of a frame that actions give; all others hold JSON."""
    found: dict[str, Kind] = {}
    for each in _in_frame(steps):
        if isinstance(each, doc.ActionStep) and each.id is not None:
            kind = kind_of(flow.module.components.action(each.action).shape.output)
            key = (frame, each.id)
            alone = flow.plan.given[key] == 1 and key not in flow.plan.begins
            sure = alone and each.on_failure == "fail"
            found[each.id] = kind if sure and kind.base == "model" else CLOSED
    return found


def _in_frame(steps: Iterable[doc.StepModel]) -> Iterable[doc.StepModel]:
    for step in steps:
        yield step
        for _, inner, role in blocks(step):
            if not role.each:
                yield from _in_frame(inner)


def beginnings(flow: FlowPlan, scope: PythonScope, frame: Path, indent: int) -> list[str]:
    """Return the assignments of None to the names of a frame that may be read before they are given."""
    begins = (name for path, name in flow.plan.begins if path == frame)
    names = sorted(name for name in begins if name in flow.plan.read)
    return [f"{' ' * indent}{scope.names[each].text} = None" for each in names]


def block(spot: Spot, steps: Iterable[doc.StepModel], *, empty: bool = True) -> list[str]:
    """Return the statements of a list of steps; after one that ends the flow, nothing is reached."""
    made: list[str] = []
    for at, each in enumerate(steps):
        here = spot.inner(at, by=0)
        made += remarks(here, each)
        made += _WRITTEN[type(each)](each, here)
        if each.ends:
            break
    if empty and not any(line.strip() and not line.strip().startswith("#") for line in made):
        made.append(" " * spot.indent + "pass")
    return made


def remarks(spot: Spot, step: doc.StepModel) -> list[str]:
    """Return a step's comments, its note and, where the step's Python has no place for it, its title."""
    found = [*spot.flow.module.remarks.of(spot.path)]
    if step.note is not None:
        found += step.note.strip().splitlines()
    if step.title and not isinstance(step, doc.ActionStep | doc.CodeStepModel | doc.ThrowStep):
        found.append(" ".join(step.title.split()))
    head = " " * spot.indent + "# "
    wrapped = (line for each in found for line in textwrap.wrap(each, WIDTH - len(head)) or [""])
    return [(head + line).rstrip() for line in wrapped]


# Calls --------------------------------------------------------------------------------------------


def write_action(step: doc.ActionStep, spot: Spot) -> list[str]:
    """Write `action`."""
    module = spot.flow.module
    action = module.components.action(step.action)
    function: Piece = module.member(action)
    if step.title is not None:
        function = joined(function, call(".titled", text(step.title)))
    retry = retry_of(step.retry, action.retry)
    if retry is not None:
        function = joined(function, call(".retried", _retry(spot, retry)))
    if step.timeout is not None:
        function = joined(function, call(".within", span(spot.scope, step.timeout)))
    given = [
        (each.name, *argument(spot.scope, each, step.inputs[each.name], spot.at("with", each.name)))
        for each in action.shape.inputs
        if each.name in step.inputs
    ]
    made: list[str] = []
    head = len(f"{step.id} = await .fitted()(") + spot.indent + 8
    if head + len(flat(function)) > WIDTH:
        name = spot.free(action.short_name)
        made, function = spot.lines(joined(f"{name} = ", function)), name
    if not all(fits for _, _, fits in given):
        function = joined(function, ".fitted()")
    args = [] if action.shape.connection is None else [_connection(module, action, step)]
    called = call_with(function, args, [(name, piece) for name, piece, _ in given])
    ignored = (step.title or action.title) if step.on_failure == "ignore" else None
    return made + attempted(spot, step.id, joined("await ", called), ignored)


def _connection(module: WrittenModule, action: Action[..., Any], step: doc.ActionStep) -> Piece:
    wanted = action.shape.connection_type
    assert wanted is not None
    fitting = (each for each, kind in module.connections.items() if issubclass(kind, wanted))
    return f"ctx.config.{step.connection or next(fitting)}"


def _retry(spot: Spot, retry: Retry) -> Piece:
    usual = Retry()
    given = [] if retry.attempts == usual.attempts else [str(retry.attempts)]
    named = [
        (name, span(spot.scope, getattr(retry, name)))
        for name in ("first", "longest", "away")
        if getattr(retry, name) != getattr(usual, name)
    ]
    if retry.jitter != usual.jitter:
        named.append(("jitter", str(retry.jitter)))
    named += [(name, str(each)) for name in ("on", "not_on") if (each := getattr(retry, name))]
    return call_with(spot.use("Retry"), given, named)


def attempted(spot: Spot, id: str | None, called: Piece, ignored: str | None) -> list[str]:
    """Return a call; with `ignored`, the title of a step whose failure is logged and passed by."""
    if ignored is None:
        return spot.assigned(id, called)
    pad = " " * spot.indent
    made = [f"{pad}try:", *spot.assigned(id, called, by=4)]
    made += [f"{pad}except {spot.use('FAILURES')} as failure:"]
    made += warned(spot, f"{ignored} failed, and is ignored: ")
    if (target := spot.target(id)) is not None:
        made.append(f"{pad}    {target} = None")
    return made


def warned(spot: Spot, message: str) -> list[str]:
    """Return the log line of a failure that a flow passes by."""
    shown = text(message.replace("{", "{{").replace("}", "}}"))
    return spot.lines(call("ctx.log.warning", f"f{shown[:-1]}{{failure}}{shown[0]}"), by=4)


def write_code(step: doc.CodeStepModel, spot: Spot) -> list[str]:
    """Write `code`: the text for the sandbox before the flow, and its call."""
    module = spot.flow.module
    name = spot.flow.codes[spot.path]
    spot.flow.functions.append(code_of(module, name, step))
    named = [
        (each, value(spot.scope, given, spot.at("with", each)))
        for each, given in step.inputs.items()
    ]
    args: list[Piece] = ["ctx"]
    if any(not each.isidentifier() or iskeyword(each) for each in step.inputs):
        args, named = [*args, joined("**", display((text(each), v) for each, v in named))], []
    ignored = (step.title or "Code") if step.on_failure == "ignore" else None
    return attempted(spot, step.id, joined("await ", call_with(name, args, named)), ignored)


def write_call(step: doc.CallStep, spot: Spot) -> list[str]:
    """Write `call`."""
    event = value(spot.scope, step.event, spot.at("event"))
    function = "ctx.call" if step.wait else "ctx.start"
    called = joined("await ", call(function, spot.flow.module.names.flow(step.call), event))
    if not step.wait and spot.target(step.id) is not None:
        called = joined("(", called, ").id")
    ignored = f"the flow {step.call}" if step.on_failure == "ignore" else None
    return attempted(spot, step.id, called, ignored)


# Branches and loops -------------------------------------------------------------------------------


def write_if(step: doc.IfStep, spot: Spot, word: str = "if") -> list[str]:
    """Write `if`."""
    made = spot.lines(joined(f"{word} ", truth(spot.scope, step.condition, spot.at("if"))), ":")
    made += block(spot.inner("then"), step.then)
    only = step.otherwise[0] if len(step.otherwise) == 1 else None
    if isinstance(only, doc.IfStep):
        other = spot.inner("else", 0, by=0)
        if not (found := remarks(other, only)):
            return made + write_if(only, other, "elif")
        made += [" " * spot.indent + "else:", *(f"    {each}" for each in found)]
        return made + write_if(only, spot.inner("else", 0))
    if step.otherwise:
        made += [" " * spot.indent + "else:", *block(spot.inner("else"), step.otherwise)]
    return made


def write_switch(step: doc.SwitchStep, spot: Spot) -> list[str]:
    """Write `switch`."""
    pad = " " * (spot.indent + 4)
    found = scalar(spot.scope, step.switch, spot.at("switch"))
    made = spot.lines(joined("match ", found), ":")
    for case, steps in step.cases.items():
        pattern = text(case) if isinstance(case, str) else str(case)
        if type(case) is int and case in (0, 1):  # which are True and False to Python
            pattern = f"{case} as found if found is not {bool(case)}"
        made += [f"{pad}case {pattern}:", *block(spot.inner("cases", case, by=8), steps)]
    if step.default or not step.cases:
        made += [f"{pad}case _:", *block(spot.inner("default", by=8), step.default or ())]
    return made


def write_try(step: doc.TryStep, spot: Spot) -> list[str]:
    """Write `try`."""
    pad = " " * spot.indent
    body = block(spot.inner("try"), step.attempt)
    target = spot.target(step.error)
    made = [f"{pad}try:", *body, f"{pad}except {_failures(spot)}{' as failure' if target else ''}:"]
    if target is not None:
        seen = call(spot.use("expr"), '"failure"', failure="failure")
        made += spot.lines(joined(f"{target} = ", seen), by=4)
    caught = block(spot.inner("catch"), step.catch, empty=target is None)
    return made + caught


def _failures(spot: Spot) -> str:
    """Return what is caught of a step that fails for good."""
    return f"(*{spot.use('FAILURES')}, {spot.use('ExpressionError')})"


def write_for(step: doc.ForStep, spot: Spot) -> list[str]:
    """Write `for`: one item after another, or several side by side in a function of their own."""
    plan, path = spot.flow.plan, spot.path
    found, kind = items(spot.scope, step.items, spot.at("in"))
    if step.parallel is not None and kind != JSON:  # items are told apart by their `id` in JSON
        found, kind = asked(spot.scope, step.items, spot.at("in"), "items"), JSON
    own, copied = plan.scoping.own[path], plan.scoping.copied[path]
    scope = opened(spot.flow, spot.scope, path, (step.item, *copied, *own), step.do)
    item = scope.names[step.item].text
    scope = replace(scope, names={**scope.names, step.item: Term(item, kind)})
    inner = Spot(spot.flow, scope, path, path, spot.indent + 4)
    begins = _copies(spot, inner, copied) + beginnings(spot.flow, scope, path, inner.indent)
    if step.parallel is None:
        return _in_turn(step, spot, inner, item, found, begins)
    return _at_once(step, spot, inner, item, found, begins)


def _copies(spot: Spot, inner: Spot, names: Iterable[str]) -> list[str]:
    """Return the assignments of an item's own copies of variables around the loop."""
    read = (each for each in names if each in spot.flow.plan.read)
    pairs = ((inner.scope.names[each].text, spot.scope.names[each].text) for each in read)
    return [f"{' ' * inner.indent}{own} = {outer}" for own, outer in pairs]


def _in_turn(
    step: doc.ForStep, spot: Spot, inner: Spot, item: str, found: Piece, begins: list[str]
) -> list[str]:
    pad, target = " " * spot.indent, spot.target(step.id)
    gathered = None if target is None else f"{target}_items"
    condition = None
    if step.where is not None:
        condition = joined("if ", truth(inner.scope, step.where, spot.at("where")))
    body = _item(
        step, inner, lambda value: call(f"{gathered}.append", value), bool(gathered), condition
    )
    made = [] if gathered is None else [f"{pad}{gathered} = []"]
    made += [*spot.lines(joined(f"for {item} in ", found), ":"), *begins, *body]
    return made if gathered is None else [*made, f"{pad}{target} = {gathered}"]


def _at_once(
    step: doc.ForStep, spot: Spot, inner: Spot, item: str, found: Piece, begins: list[str]
) -> list[str]:
    plan, json = spot.flow.plan, spot.use("Json")
    names = dict(inner.scope.names)  # before an item's steps, its names are null
    names.update(dict.fromkeys(plan.scoping.own[spot.path], Term("None", JSON, literal=True)))
    names.update({each: spot.scope.names[each] for each in plan.scoping.copied[spot.path]})
    before = replace(inner.scope, names=names)
    wants: list[str] = []
    guard: Piece | None = None
    if step.where is not None:
        condition = truth(before, step.where, spot.at("where"))
        if step.on_failure == "continue" and "(" in flat(condition):
            name, guard = spot.free(f"wants_{item}"), condition
            wants = _wants(spot, f"{name}({item}: {json})", condition)
            condition = f"{name}({item})"
        clauses = (item, joined(f"for {item} in ", found), joined("if ", condition))
        found = Brackets("[", clauses, "]", "clauses")
    named: list[tuple[str, Piece]] = []
    if step.key is not None:
        key = text_of(before, step.key, spot.at("key"))
        named.append(("key", joined(f"lambda {item}: ", key)))
    named.append(("limit", str(step.parallel)))
    gives = spot.target(step.id) is not None
    body = _item(step, inner, lambda value: joined("return ", value), gives, guard=guard)
    function = spot.free(f"do_{item}")
    head = f"async def {function}({item}: {json}) -> {json if gives else 'None'}:"
    gathered = joined("await ", call_with("ctx.gather", [found, function], named))
    made = [*wants, "", " " * spot.indent + head, *begins, *body, ""]
    return made + spot.assigned(step.id, gathered)


def _wants(spot: Spot, signature: str, condition: Piece) -> list[str]:
    """Return the function that says which items are wanted; one whose condition fails fails alone."""
    pad = " " * spot.indent
    head = ["", f"{pad}def {signature} -> bool:", f"{pad}    try:"]
    caught = [f"{pad}    except {spot.use('ExpressionError')}:", f"{pad}        return True", ""]
    return [*head, *spot.lines(joined("return ", condition), by=8), *caught]


def _item(
    step: doc.ForStep,
    spot: Spot,
    give: Callable[[Piece], Piece],
    gives: bool,
    condition: Piece | None = None,
    guard: Piece | None = None,
) -> list[str]:
    """Return what is done with one item, on a condition; `give` makes a statement of its result.

    guard: raises where the item fails before its first step.
    """
    goes_on = step.on_failure == "continue"
    within = spot.inner(by=4 if goes_on else 0)
    begins = [] if guard is None else within.lines(guard)
    if condition is not None:
        begins = within.lines(condition, ":")
        within = within.inner()
    left = any(each.ends for each in step.do)
    done = begins + block(within.inner("do", by=0), step.do, empty=not gives or left)
    if gives and not left:
        result: Piece = "None"
        if step.collect is not None:
            result = value(within.scope, step.collect, spot.at("collect"))
        done += within.lines(give(result))
    elif step.collect is not None and not left:  # which may fail, though nothing reads it
        result = value(within.scope, step.collect, spot.at("collect"))
        done += within.lines(result) if "(" in flat(result) else []
    if not goes_on:
        return done
    pad = " " * spot.indent
    made = [f"{pad}try:", *done, f"{pad}except {_failures(spot)} as failure:"]
    made += warned(spot, f"{step.title or f'for {step.item}'}: an item failed: ")
    if gives:
        error = call(spot.use("expr"), text('{"error": failure}'), failure="failure")
        made += spot.lines(give(error), by=4)
    return made


# Variables, state, waiting ------------------------------------------------------------------------


def write_set(step: doc.SetStep, spot: Spot) -> list[str]:
    """Write `set`."""
    return [
        line
        for name, given in step.set.items()
        for line in spot.assigned(name, value(spot.scope, given, spot.at("set", name)))
    ]


def write_sleep(step: doc.SleepStep, spot: Spot) -> list[str]:
    """Write `sleep`."""
    return spot.lines(call("await ctx.sleep", time(spot.scope, step.sleep, spot.at("sleep"))))


def write_wait(step: doc.WaitStep, spot: Spot) -> list[str]:
    """Write `wait`."""
    named = (
        []
        if step.timeout is None
        else [("timeout", time(spot.scope, step.timeout, spot.at("timeout")))]
    )
    called = call_with("await ctx.wait_for", [text(step.wait)], named)
    if step.on_timeout == "fail":
        return spot.assigned(step.id, called)
    pad, target = " " * spot.indent, spot.target(step.id)
    made = [f"{pad}try:", *spot.assigned(step.id, called, by=4)]
    made.append(f"{pad}except {spot.use('TimedOut')}:")
    return [*made, f"{pad}    {'pass' if target is None else f'{target} = None'}"]


def write_links(step: doc.LinksStep, spot: Spot) -> list[str]:
    """Write `links`."""
    shown = text_of(spot.scope, step.text, spot.at("text"))
    url = call_with(
        "ctx.signal_url",
        [text(step.links), "choice"],
        [("text", shown), ("within", time(spot.scope, step.within, spot.at("within")))],
    )
    closing = ",)" if len(step.choices) == 1 else ")"
    choices = Brackets("(", tuple(map(text, step.choices)), closing)
    clauses = (joined("choice: ", url), joined("for choice in ", choices))
    return spot.assigned(step.id, Brackets("{", clauses, "}", "clauses"))


def write_state(step: doc.StateStep, spot: Spot) -> list[str]:
    """Write `state`."""
    state = "ctx.state" if step.scope == "flow" else f"ctx.state.{step.scope}"
    key, target = text_of(spot.scope, step.key, spot.at("key")), spot.target(step.id)
    if step.state == "get":
        args = [key]
        if step.default is not None:
            args.append(value(spot.scope, step.default, spot.at("default")))
        return spot.assigned(step.id, call(f"await {state}.get", *args))
    if step.state == "delete":
        made = spot.lines(call(f"await {state}.delete", key))
        return made if target is None else [*made, f"{' ' * spot.indent}{target} = None"]
    given = value(spot.scope, step.value, spot.at("value"))
    named: list[tuple[str, Piece]] = []
    if "expect" in step.model_fields_set:
        named.append(("expect", value(spot.scope, step.expect, spot.at("expect"))))
    if target is None:
        return spot.lines(call_with(f"await {state}.put", [key, given], named))
    stored = spot.free("stored")
    made = spot.lines(call_with(f"await {state}.put", [key, joined(f"{stored} := ", given)], named))
    return [*made, f"{' ' * spot.indent}{target} = {stored}"]


def write_pairs(step: doc.PairedStep | doc.PairStep | doc.UnpairStep, spot: Spot) -> list[str]:
    """Write `paired`, `pair` and `unpair`."""
    verb = step.kind
    named = [
        (side, text_of(spot.scope, given, spot.at("with", side)))
        for side, given in step.ids.items()
    ]
    called = call_with(f"await ctx.{verb}", [spot.flow.module.pairs[getattr(step, verb)]], named)
    return spot.assigned(step.id if isinstance(step, doc.PairedStep) else None, called)


def write_log(step: doc.LogStep, spot: Spot) -> list[str]:
    """Write `log`."""
    fields = [
        (name, value(spot.scope, given, spot.at("fields", name)))
        for name, given in step.fields.items()
    ]
    message = text_of(spot.scope, step.log, spot.at("log"))
    return spot.lines(call_with(f"ctx.log.{step.level}", [message], fields))


# Ends ---------------------------------------------------------------------------------------------


def write_break(step: doc.BreakStep, spot: Spot) -> list[str]:
    """Write `break`."""
    return [" " * spot.indent + "break"]


def write_stop(step: doc.StopStep, spot: Spot) -> list[str]:
    """Write `stop`."""
    given = step.stop
    nothing = " " * spot.indent + ("return None" if spot.flow.answers else "return")
    if isinstance(given, bool):
        return [nothing]
    if given.ignore is not None:
        why = text_of(spot.scope, given.ignore, spot.at("stop", "ignore"))
        return spot.lines(joined("return ", call(spot.use("Ignore"), why)))
    if given.reply is not None:
        return spot.lines(joined("return ", _reply(spot, given.reply)))
    if given.answer is None:
        return [nothing]
    return spot.lines(joined("return ", value(spot.scope, given.answer, spot.at("stop", "answer"))))


def _reply(spot: Spot, reply: doc.ReplyPart) -> Piece:
    path = spot.at("stop", "reply")
    args = [status(spot.scope, reply.status, (*path, "status"))]
    if reply.has_body:
        args.append(value(spot.scope, reply.body, (*path, "body")))
    headers = [
        (text(name), text_of(spot.scope, given, (*path, "headers", name)))
        for name, given in reply.headers.items()
    ]
    named = [("headers", display(headers))] if headers else []
    return call_with(spot.use("Reply"), args, named)


def write_continue(step: doc.ContinueStep, spot: Spot) -> list[str]:
    """Write `continue_with`."""
    event = value(spot.scope, step.continue_with, spot.at("continue_with"))
    return spot.lines(call("await ctx.continue_with", event))


def write_throw(step: doc.ThrowStep, spot: Spot) -> list[str]:
    """Write `throw`."""
    named = [] if step.title is None else [("step", text(step.title))]
    message = text_of(spot.scope, step.throw, spot.at("throw"))
    return spot.lines(joined("raise ", call_with(spot.use("Thrown"), [message], named)))


_WRITTEN: dict[type[doc.StepModel], Callable[[Any, Spot], list[str]]] = {
    doc.ActionStep: write_action,
    doc.IfStep: write_if,
    doc.SwitchStep: write_switch,
    doc.ForStep: write_for,
    doc.TryStep: write_try,
    doc.SetStep: write_set,
    doc.CodeStepModel: write_code,
    doc.CallStep: write_call,
    doc.SleepStep: write_sleep,
    doc.WaitStep: write_wait,
    doc.LinksStep: write_links,
    doc.StateStep: write_state,
    doc.PairedStep: write_pairs,
    doc.PairStep: write_pairs,
    doc.UnpairStep: write_pairs,
    doc.LogStep: write_log,
    doc.BreakStep: write_break,
    doc.StopStep: write_stop,
    doc.ContinueStep: write_continue,
    doc.ThrowStep: write_throw,
}
