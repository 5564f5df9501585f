"""Lint: what would break a flow's replay, or a component's promises, found without running it.

A flow is run again from its journal after a crash: steps answer from their records, and the code
between them has to take the same path. So that code may depend on the event, the config and earlier
steps only. `RULES` is the table of what is looked for; a line that ends in
`# halflap: ignore[HF001]` is excused from that rule.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from halflap.sdk import _answering, purity
from halflap.sdk.budget import EVERY, spend
from halflap.sdk.survey import Function, Module, Survey

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its stable code, what it finds, why that is wrong, what to write instead.

    What has an error cannot be published; a warning is only told.
    """

    code: str
    finds: str
    why: str
    instead: str
    severity: Severity = "error"


RULES: tuple[Rule, ...] = (
    Rule("HF000", "a source that is not Python", "it cannot be read", "mend the line"),
    Rule(
        "HF001",
        "a clock in a flow",
        "a replay reads another time",
        "`ctx.now()`, which is the same on every attempt",
    ),
    Rule(
        "HF002",
        "chance in a flow (`random`, `uuid4`, `secrets`, `hash`)",
        "a replay draws something else",
        "`ctx.uuid()`, or a function under `@step`, whose result is recorded",
    ),
    Rule(
        "HF003",
        "I/O in a flow: files, network, processes, the environment, `print`, a connection's own "
        "`get` or `post`",
        "it happens again on every attempt, unrecorded and without an idempotency key",
        "an action, or a function under `@step`; `ctx.config` for settings; `ctx.log` for messages",
    ),
    Rule(
        "HF004",
        "bare `asyncio`, `anyio`, threads or `time.sleep` in a flow",
        "steps of tasks that run side by side have no order to replay in, and a wait holds the "
        "execution in memory",
        "`ctx.gather(items, do)`, `ctx.sleep(…)`, `timeout=` on the action",
    ),
    Rule(
        "HF005",
        "a module's variable changed by a flow",
        "it is shared by all customers of this process and lost with it",
        "`ctx.state`, which is durable and each instance's own",
    ),
    Rule(
        "HF006",
        "`except:` or `except BaseException` around steps",
        "it catches what suspends an execution",
        "`except UpstreamError`, or whichever error is meant",
    ),
    Rule(
        "HF007",
        "an action or a method of `ctx` called without `await`",
        "nothing happens",
        "`await` before it",
    ),
    Rule(
        "HF008",
        "`ctx` handed to another task or thread",
        "an execution is one task; its journal is not safe elsewhere",
        "`ctx.gather`, or pass on plain values",
    ),
    Rule(
        "HF009",
        "a trigger that verifies nothing",
        "whoever learns its URL can forge events",
        "`verify=`, or the reason under `unsigned:` in the component's quality.yaml",
        "warning",
    ),
    Rule(
        "HF010",
        "a secret in plain text",
        "sources are published, shown and kept",
        "a `SecretStr` field of a connection",
    ),
    Rule(
        "HF011",
        "an action or a trigger without a docstring",
        "its first line is shown to customers",
        "one sentence that says what it does",
    ),
    Rule(
        "HF012",
        "steps in the order of a set",
        "a set of strings has another order in every process",
        "`sorted(…)`, or a list",
    ),
    Rule(
        "HF013",
        "two flows that write what the other one reads, without pairs",
        "each may take the other's write for somebody's edit, and pass it on",
        "`integration.pairs(…)`, and `pairs=` on both flows",
    ),
    Rule(
        "HF014",
        "a flow on `webhook.request` or `webhook.raw` without a signature",
        "whoever learns its URL can forge events",
        "`signature=`, or `# halflap: ignore[HF014]` where the app signs nothing",
        "warning",
    ),
    Rule(
        "HF016",
        "`dedupe` by a header that the signature does not cover, where it covers an id",
        "whoever has one genuine request can send it again under another id",
        'the signed id: `header("webhook-id")`, or `svix-id` of Svix',
        "warning",
    ),
    Rule(
        "HF017",
        "a statement after `ctx.continue_with`",
        "that ends the flow, so the statement is never reached",
        "do it before, or in the execution that it continues with",
    ),
    Rule(
        "HF018",
        "`catch_up` that yields a `Missed` without what `dedupe` reads: a header, the query",
        "what has arrived already would run again, so the catch-up fails",
        "`headers={…}` with it; a `dedupe` of the body; or `is_state=True`, of how a record is now",
    ),
    Rule(
        "HF099",
        "an `ignore` that names no rule",
        "it would hide more, or less, than was meant",
        "`# halflap: ignore[HF001]`",
    ),
)

CODES = {each.code: each for each in RULES}
UNSIGNED_TRIGGERS = ("halflap.webhook.request", "halflap.webhook.raw")

_IGNORE = re.compile(r"#\s*halflap:\s*ignore(?:\[([^\]]*)\])?")
_SECRET_NAME = re.compile(r"(?i)(api_?key|token|passw(or)?d|secret|private_?key|credential)s?$")
_SECRET_TEXT = re.compile(
    r"(sk|rk|pk)_(live|test)_\w{8,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|whsec_[\w+/=]{16,}|AIza[\w-]{30,}|glpat-[\w-]{16,}|shpat_\w{16,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_UNSIGNED = re.compile(r"^unsigned:[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix of a finding: from its place on, `length` characters become `text`.

    choice: it is one of several, of which a person has to choose; the title says when it is right.
    """

    title: str
    line: int
    column: int
    length: int
    text: str
    choice: bool = False

    def applied(self, lines: Sequence[str]) -> list[str]:
        """A source's lines with what mends it."""
        made = list(lines)
        line, start = made[self.line - 1], self.column - 1
        made[self.line - 1] = line[:start] + self.text + line[start + self.length :]
        return made


MAX_MESSAGE = 1_000
"""Characters of a finding's message; of a longer one, the middle is left out."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding: where it is, which rule it breaks, what is wrong and what to write instead."""

    file: str
    line: int
    column: int
    code: str
    message: str
    severity: Severity = "error"
    fix: Fix | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.message) > MAX_MESSAGE:
            half = MAX_MESSAGE // 2 - 2
            short = f"{self.message[:half]} … {self.message[-half:]}"
            object.__setattr__(self, "message", short)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {self.message}"


def lint(
    files: Mapping[str, str],
    actions: frozenset[str] = frozenset(),
    records: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Lint a project's sources by their text; nothing of them is run.

    `files` maps paths below the project's folder to text: its `.py` sources, and the quality.yaml of
    its components. `actions` are dotted names of actions from elsewhere (`halflap.http.post`);
    `records` says what those and their triggers write and read (`salesforce/Contact`).
    """
    findings: list[Finding] = []
    modules: list[Module] = []
    for path, text in files.items():
        if path.endswith(".py"):
            spend(EVERY)
            try:
                modules.append(Module.read(path, text))
            except (SyntaxError, ValueError, RecursionError) as error:
                findings.append(_unreadable(path, error))
    survey = Survey.of(iter(modules), actions)
    for module in modules:
        spend(EVERY)
        found = [
            *_component(module, _excused(files, module.path)),
            *_unsigned_flows(module),
            *_unsigned_ids(module),
            *_secrets(module),
        ]
        findings += [*(_finding(module, *each) for each in found), *_ignores(module)]
    for module, node, code, said in (
        *purity.check(survey),
        *_answering.check(survey, records or {}),
    ):
        findings.append(_finding(module, node, code, said))
    return kept(findings, {module.path: module.lines for module in modules})


def kept(findings: Iterable[Finding], lines: Mapping[str, list[str]]) -> list[Finding]:
    """Findings in order, without those that a comment on their line, or above it, excuses."""
    return sorted({each for each in findings if not _ignored(each, lines)})


def _finding(module: Module, node: ast.AST, code: str, said: str) -> Finding:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
    return Finding(module.path, line, column, code, said, CODES[code].severity)


def _unreadable(path: str, error: Exception) -> Finding:
    line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
    said = getattr(error, "msg", "") or str(error) or type(error).__name__
    return Finding(path, line, column, "HF000", f"this is not valid Python: {said}; mend the line")


# What is excused ------------------------------------------------------------------------------


def _codes(line: str) -> list[str] | None:
    found = _IGNORE.search(line)
    if found is None:
        return None
    return [each.strip() for each in (found[1] or "").split(",") if each.strip()]


def _ignored(finding: Finding, lines: Mapping[str, list[str]]) -> bool:
    text = lines.get(finding.file, [])
    if finding.code in ("HF000", "HF099") or finding.line > len(text):
        return False
    above = text[finding.line - 2].strip() if finding.line > 1 else ""
    marked = [text[finding.line - 1], *([above] if above.startswith("#") else [])]
    return any(finding.code in (_codes(each) or ()) for each in marked)


def _ignores(module: Module) -> Iterator[Finding]:
    for number, line in enumerate(module.lines, 1):
        codes = _codes(line)
        if codes is None:
            continue
        column = line.index("#") + 1
        if not codes:
            said = "say what is ignored: # halflap: ignore[HF001]"
            yield Finding(module.path, number, column, "HF099", said)
        for code in (each for each in codes if each not in CODES):
            close = get_close_matches(code.upper(), CODES, 1)
            said = f"there is no rule {code}; {f'did you mean {close[0]}?' if close else ''}"
            yield Finding(module.path, number, column, "HF099", said.rstrip("; "))


def _excused(files: Mapping[str, str], path: str) -> Mapping[str, str]:
    """The triggers that verify nothing and why, from the quality.yaml beside a source."""
    folder = path.rpartition("/")[0]
    text = files.get(f"{folder}/quality.yaml" if folder else "quality.yaml", "")
    found = _UNSIGNED.search(text.replace("\r\n", "\n"))
    reasons: dict[str, str] = {}
    for line in found[1].splitlines() if found else ():
        name, colon, reason = line.strip().partition(":")
        reason = reason.strip().strip("\"'")
        if colon and reason and not name.startswith("#"):
            reasons[name.strip()] = reason
    return reasons


# Components -----------------------------------------------------------------------------------


def _component(module: Module, excused: Mapping[str, str]) -> Iterator[tuple[ast.AST, str, str]]:
    for kind, functions in (("action", module.actions), ("trigger", module.triggers)):
        for each in functions:
            if not ast.get_docstring(each):
                said = f"the {kind} {each.name} has no docstring, whose first line customers are "
                yield each, "HF011", said + "shown; write one sentence that says what it does"
    for each in module.triggers:
        yield from _missed_ids(module, each)
        if each.name not in excused and (wrong := _unverified(module, each)):
            yield (
                each,
                "HF009",
                f"the trigger {each.name} {wrong}, so whoever learns its URL can forge events; give "
                "it verify=, or where the app signs nothing say why in quality.yaml: "
                f"unsigned: {{{each.name}: …}} as a block",
            )


def _unsigned_flows(module: Module) -> Iterator[tuple[ast.AST, str, str]]:
    """Find flows on the webhook component's triggers that no signature verifies."""
    for flow in module.flows:
        for decorator in flow.decorator_list:
            given = decorator.keywords if isinstance(decorator, ast.Call) else []
            for each in (each.value for each in given if each.arg == "trigger"):
                name = module.meaning(each.func) if isinstance(each, ast.Call) else None
                if name not in UNSIGNED_TRIGGERS or not isinstance(each, ast.Call):
                    continue
                if all(keyword.arg not in ("signature", None) for keyword in each.keywords):
                    message = (
                        f"{name.removeprefix('halflap.')} of the flow {flow.name} verifies nothing, so "
                        "whoever learns its URL can forge events; give it signature=, or write "
                        "# halflap: ignore[HF014] where the app signs nothing"
                    )
                    yield each, "HF014", message


def _unverified(module: Module, trigger: Function) -> str | None:
    """Return what is missing of a trigger's verification, in words; None where nothing is."""
    called = [
        node
        for node in module.tree.body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == f"{trigger.name}.declare"
    ]
    if called:  # its declaration is computed elsewhere: what that says is not read from here
        return None
    options = _declared(module, trigger)
    if {"ticks", "lifecycle", None} & options.keys() or _is_empty(options.get("methods")):
        return None
    match options.get("verify"):
        case None | ast.Constant(value=None):
            return "verifies nothing"
        case ast.Call(func=function) if module.meaning(function) in (
            "halflap.Unsigned",
            "Unsigned",
        ):
            return "is Unsigned and quality.yaml does not say why"
        case _:
            return None


def _declared(module: Module, trigger: Function) -> dict[str | None, ast.expr]:
    """Return the options of a trigger's declaration, where that is made in this source."""
    options: dict[str | None, ast.expr] = {}
    places: list[ast.AST] = [*_added(module, trigger, "declare")] or [*trigger.decorator_list]
    for node in (node for place in places for node in ast.walk(place)):
        if isinstance(node, ast.Call):
            options |= {each.arg: each.value for each in node.keywords}
    return options


def _added(module: Module, trigger: Function, what: str) -> list[ast.stmt]:
    """Return the functions that a trigger is given: `@webhook.declare`, `@webhook.catch_up`."""
    return [
        node
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(each, ast.Attribute)
            and each.attr == what
            and module.meaning(each.value) == trigger.name
            for each in node.decorator_list
        )
    ]


def _missed_ids(module: Module, trigger: Function) -> Iterator[tuple[ast.AST, str, str]]:
    """Find what a trigger catches up without the delivery's id, which its `dedupe` reads."""
    dedupe = _declared(module, trigger).get("dedupe")
    picked = _picked(dedupe, "header")
    if picked is None and _picked(dedupe, "query") is None:
        return
    for function in _added(module, trigger, "catch_up"):
        for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
            if module.meaning(call.func) != "halflap.Missed" or len(call.args) > 2:
                continue
            given = {each.arg: each.value for each in call.keywords}
            if given.keys() & {"is_state", None} or (picked and _has(given.get("headers"), picked)):
                continue
            of = f"the header {picked!r}" if picked else "the query, which it does not have"
            yield (
                call,
                "HF018",
                f"the dedupe of {trigger.name} reads {of}, so what has arrived already would run again: "
                + (f"give headers={{{picked!r}: …}}" if picked else "have dedupe read the body")
                + ", or is_state=True where it is how a record is now",
            )


def _has(headers: ast.expr | None, name: str) -> bool:
    """Return whether headers may have one of this name."""
    if not isinstance(headers, ast.Dict):
        return headers is not None
    names = [each.value if isinstance(each, ast.Constant) else None for each in headers.keys]
    return any(not isinstance(each, str) or each.lower() == name.lower() for each in names)


def _is_empty(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Tuple | ast.List) and not node.elts


SIGNED_IDS = {
    "standard": "webhook-id",
    "StandardWebhooks": "webhook-id",
    "svix": "svix-id",
    "SvixSignature": "svix-id",
}


def unsigned_id(signed: str, picked: str) -> str:
    """Say why the id that a signature covers is the better key than another header."""
    return (
        f"the signature does not cover the header {picked!r}, by which deliveries are told apart; "
        f"it covers {signed!r}: dedupe by that"
    )


def _unsigned_ids(module: Module) -> Iterator[tuple[ast.AST, str, str]]:
    for call in (each for each in ast.walk(module.tree) if isinstance(each, ast.Call)):
        given = {each.arg: each.value for each in call.keywords}
        picked = _picked(given.get("dedupe"), "header")
        signed = _signed_id(given.get("signature") or given.get("verify"))
        if picked and signed and picked.lower() != signed:
            yield given["dedupe"], "HF016", unsigned_id(signed, picked)


def _signed_id(node: ast.expr | None) -> str | None:
    match node:
        case ast.Constant(value=str(name)):
            return SIGNED_IDS.get(name)
        case ast.Call(func=function, args=[], keywords=[]):
            return SIGNED_IDS.get(ast.unparse(function).rpartition(".")[2])
        case _:
            return None


def _picked(node: ast.expr | None, kind: str) -> str | None:
    """Return the name that `header("x-id")` or `header:x-id` picks; None where it is no such."""
    match node:
        case ast.Constant(value=str(place)) if place.startswith(f"{kind}:"):
            return place.removeprefix(f"{kind}:")
        case ast.Call(func=function, args=[ast.Constant(value=str(name))]) if (
            ast.unparse(function).rpartition(".")[2] == kind
        ):
            return name
        case _:
            return None


# Secrets --------------------------------------------------------------------------------------


def _secrets(module: Module) -> Iterator[tuple[ast.AST, str, str]]:
    instead = "make it a SecretStr field of a connection, which each customer fills in"
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=str(text)) if looks_secret(text):
                yield node, "HF010", f"this looks like a secret in plain text; {instead}"
            case ast.Call(func=function, args=[ast.Constant(value=str(text))]) if text and (
                module.meaning(function) in ("pydantic.SecretStr", "SecretStr")
            ):
                yield node, "HF010", f"a SecretStr is given in plain text; {instead}"
            case (
                ast.Assign(targets=[target], value=ast.Constant(value=str(text)) as value)
                | ast.AnnAssign(target=target, value=ast.Constant(value=str(text)) as value)
            ):
                if reads_as_secret(ast.unparse(target), text):
                    yield value, "HF010", f"{ast.unparse(target)} is in plain text; {instead}"
            case ast.keyword(arg=str(name), value=ast.Constant(value=str(text)) as value):
                if reads_as_secret(name, text):
                    yield value, "HF010", f"{name} is given in plain text; {instead}"
            case _:
                pass


def looks_secret(text: str) -> bool:
    """Return whether a text has the form of a well-known kind of key or token."""
    return _SECRET_TEXT.search(text) is not None


_HEADER = re.compile(r"(?i)(authorization|x-[\w-]*(key|token|secret)|api-?key|cookie)")
_SCHEME = re.compile(r"(?i)^=?[\"']?(bearer|basic|token|apikey)\s+[\w+/=.~-]{8,}[\"']?$")
_QUERY = re.compile(r"(?i)[?&](api_?key|key|token|access_token|secret|sig|password)=[\w%.~-]{8,}")
_USER = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@]{1,80}:[^/\s:@]{4,80}@")


def carries_secret(name: str, text: str) -> bool:
    """Return whether a header, or a password, is given in plain text."""
    if _HEADER.fullmatch(name) is not None:
        return len(text) >= 8 and re.search(r"\d", text) is not None and " " not in text
    password = re.search(r"(?i)passw(or)?d$|secret$", name) is not None
    return (
        password and len(text) >= 8 and re.search(r"[\d\W]", text) is not None and " " not in text
    )


def names_secret(text: str) -> bool:
    """Return whether a text shows a secret: `Bearer …`, `?api_key=…`, `user:pass@`."""
    return any(each.search(text) is not None for each in (_SCHEME, _QUERY, _USER))


def reads_as_secret(name: str, text: str) -> bool:
    """Return whether a text under this name is a secret: named as one, long, mixed, no place or
    header.
    """
    return (
        _SECRET_NAME.search(name) is not None
        and len(text) >= 12
        and re.fullmatch(r"[\w+/=.~-]+", text) is not None
        and re.search(r"\d", text) is not None
        and re.search(r"[A-Za-z]", text) is not None
        and _SECRET_TEXT.search(text) is None  # which is found by its text already
    )
