"""How an execution, its event and its steps look in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from halflap.cli.output import Output, ago, clean, inline, state, took, version, when
from halflap.cli.screen import plain_places, size
from halflap.model import ENDED

Row = Mapping[str, Any]

MOST_BODY = 2_000
"""So many characters of a body are shown, unless all of it is asked for."""
DULL = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "host", "user-agent"}
)
"""Headers that seldom matter."""
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)\n\s+(.+)')
_BUNDLE = re.compile(r".*/bundles/[0-9a-f]{64}/")


def execution_lines(output: Output, found: Row, logs: Sequence[Row]) -> None:
    """An execution in full, and what to do next."""
    output.line(
        (f"{found['flow']}", "bold"),
        f" of {name_of(found)}  ",
        state(found["state"]),
        (f"  {took(found['duration_ms'])}", "dim"),
    )
    tries = f"{found['attempt']} attempts" if found["attempt"] > 1 else ""
    output.pairs(
        {
            "id": found["id"],
            "integration": f"{found['integration']}, version {version(found['version'])}",
            "accepted": f"{ago(found['accepted_at'])}  ({found['accepted_at']})",
            "why": found["reason"] if found["failure"] is None else "",
            "waits for": waits(found),
            "tries": tries,
            "record": found["key"],
            "replay of": found["replay_of"],
            "duplicates": f"{found['duplicates']} came and were not run"
            if found["duplicates"]
            else "",
        }
    )
    if found["event"] is not None:
        output.line(("\nEvent", "bold"))
        event_lines(output, found["event"])
    steps = [each for each in found["steps"] if each["kind"] != "trigger" or each["failure"]]
    if steps:
        output.line(("\nSteps", "bold"))
        step_lines(output, steps)
    if logs:
        output.line(("\nLog", "bold"))
        for each in logs:
            log_line(output, each)
    if found["result"] is not None:
        output.line(("\nResult", "bold"))
        output.line("  ", inline(found["result"], MOST_BODY))
    if found["failure"] is not None or found["state"] not in ENDED:
        failure_part(output, found)
    next_steps(output, found)


def failure_part(output: Output, found: Row) -> None:
    """Why it failed; of what is tried again, why the last attempt did."""
    failure, title = found["failure"], ("\nFailed", "bold red")
    if found["state"] not in ENDED:
        title = ("\nThe last attempt failed", "bold yellow")
        attempts = found["attempts"]
        failure = failure or (attempts[-1]["failure"] if attempts else None)
    if failure is not None:
        output.line(title)
        failure_lines(output, nearest(found, failure))


def event_lines(output: Output, event: Row, *, whole: bool = False) -> None:
    """What arrived: its request, the headers that matter, its body."""
    query = f"?{event['query']}" if event["query"] else ""
    if event["url"]:
        request = f"{event['method']} {event['url']}{event['path']}{query}"
        output.line("  ", request, (f"  {size(event['size'])}, {ago(event['received_at'])}", "dim"))
    else:
        output.line("  by itself", (f"  {ago(event['received_at'])}", "dim"))
    for name, value in event["headers"]:
        if whole or name.lower() not in DULL:
            output.line((f"  {name}: ", "dim"), value)
    body = str(event["body"])
    if event["encoding"] == "base64" and body:
        output.line((f"  {size(event['size'])} of binary data", "dim"))
        return
    most = len(body) if whole else MOST_BODY
    if body:
        output.line()
        for line in body[:most].splitlines():
            output.line("  ", line)
    if len(body) > most or event["note"]:
        more = "halflap events last --body" if whole else "halflap executions show … --json"
        output.line((f"  … cut; all of it: {more}", "dim"))


def step_lines(output: Output, steps: Sequence[Row]) -> None:
    """Steps as a tree: what ran side by side lies under its branch."""
    open_: list[str] = []
    titles = [str(each["title"] or each["name"]) for each in steps]
    width = max(min(len(clean(each)), 40) for each in titles)
    for each, title in zip(steps, titles, strict=True):
        *scopes, _ = str(each["path"]).split("/")
        for depth, scope in enumerate(scopes):
            if open_[: depth + 1] != scopes[: depth + 1]:
                output.line("  " * (depth + 1), (scope, "dim"))
        open_ = scopes
        indent = "  " * (len(scopes) + 1)
        good = each["status"] == "succeeded"
        mark = output.mark("✓", "+") if good else output.mark("✗", "x")
        colour = "green" if good else "yellow" if each["status"] == "retrying" else "red"
        tries = f"  {each['tries']} tries" if each["tries"] > 1 else ""
        failure = each["failure"]
        said = f"  {' '.join(plain_places(failure['message']).split())}" if failure else ""
        result = f"  {inline(each['result'])}" if good and worth(each["result"]) else ""
        output.line(
            indent,
            (mark, colour),
            f" {title:<{width}}",
            (f"  {took(each['duration_ms']):>8}{tries}", "dim"),
            (result, "dim"),
            (said, colour),
        )


def worth(result: Any) -> bool:
    """Whether a step's result is worth a look."""
    return result not in (None, True)


def failure_lines(output: Output, failure: Row) -> None:
    """An error, with its place in the author's code and the line that stands there."""
    message = plain_places(str(failure["message"]))
    output.line("  ", (f"{failure['kind']}: ", "red"), message)
    own = [each for each in _FRAME.findall(str(failure["trace"])) if _BUNDLE.match(each[0])]
    if own:
        file, number, function, source = own[-1]
        output.line("  ", (f"{_BUNDLE.sub('', file)}:{number}", "bold"), f" in {function}")
        output.line("    ", (source.strip(), "dim"))
    elif failure["where"]:
        output.line("  ", (plain_places(str(failure["where"])), "bold"))


def nearest(found: Row, failure: Row) -> Row:
    """The failure nearest to the cause: that of the step which failed, where it knows its place."""
    for each in reversed(found["steps"]):
        inner: Row | None = each["failure"]
        if inner is not None and inner["kind"] == failure["kind"] and "/bundles/" in inner["trace"]:
            return inner
    return failure


def next_steps(output: Output, found: Row) -> None:
    """What may be done with an execution now."""
    id = found["id"]
    match found["state"]:
        case "failed" if str(found["flow"]).startswith("$"):
            output.line()
            output.next(f"halflap instances activate {found['instance']}")
        case "failed":
            output.line()
            again = (
                ("  # from the failed step", " --from start  # all of it")
                if has_steps(found)
                else ("  # run it again",)
            )
            output.next(
                *(f"halflap executions replay {id}{each}" for each in again),
                f"halflap executions dismiss {id}  # leave it",
            )
        case "waiting" | "queued" | "running":
            output.line()
            output.next(f"halflap executions logs {id} --follow", f"halflap executions cancel {id}")
        case _:
            pass


def has_steps(found: Row) -> bool:
    """Whether any step of the author's was recorded."""
    return any(each["kind"] != "trigger" for each in found["steps"])


def waits(found: Row) -> str:
    """What an execution waits for, and until when."""
    due = ago(found["due_at"]) if found["due_at"] else ""
    match found["state"]:
        case "waiting":
            return f"{found['waiting_for'] or 'its time'}{', due ' if due else ''}{due}"
        case "queued" if due.startswith("in "):
            return f"the next attempt, {due}"
        case _:
            return ""


def log_line(output: Output, line: Row) -> None:
    """A line that the author's code logged."""
    moment = when(line["at"])
    fields = "".join(f"  {name}={inline(value)}" for name, value in line["fields"].items())
    styles = {"warning": "yellow", "error": "red", "debug": "dim"}
    output.line(
        (f"  {moment.astimezone():%H:%M:%S}  " if moment else "  ", "dim"),
        (f"{line['level']:<8}", styles.get(line["level"], "dim")),
        str(line["message"]),
        (fields, "dim"),
    )


def name_of(found: Row) -> str:
    """An execution's instance, as CUSTOMER/NAME; the id of one that was removed."""
    if found["instance_name"] is None:
        return str(found["instance"])
    return f"{found['customer_name'] or found['customer']}/{found['instance_name']}"
