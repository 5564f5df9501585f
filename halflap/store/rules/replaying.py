"""Rules of a replay: what it takes over of the execution before it, its steps and earlier tries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from halflap.model import EARLIER, MISSING, Failure, Micros, Record, is_earlier

GUARD = "$guard"
"""The step that compares again, before a replay does anything new."""
FIRST = EARLIER * 2
"""The prefix of the path of a record of an effect whose place has another one since."""
UNFINISHED = frozenset({408, 409, 425})
"""The 4xx statuses after which an app may have carried out a request, or still does."""
NOT_SENT = frozenset({"EgressRefused", "Overruled", "DefinitionError", "InputsRefused"})
"""Failures that are raised before a request is sent."""
CUT_SHORT = frozenset({"Timeout", "BlobLost"})
"""Failures of an execution, not of what its flow did."""


def copied_steps(
    steps: Sequence[Record], failure: Failure | None, tries: Sequence[Record] = ()
) -> tuple[Record, ...]:
    """Return the steps that a replay from the failed step takes over; `tries` are those of the others.

    What failed and was caught is one of them where the flow did more behind it, so that it takes the
    same way again. None where the flow compared its event with what is known, and did nothing since:
    then it compares anew, and begins with what the apps have now. What had no pair is looked up again.
    A child that was started, failed, and whose result the flow waited for, is started again.
    """
    done = [e for e in steps if e.status == "succeeded" and not is_earlier(e)]
    compares = any(e.kind == "check" for e in done)
    if compares and not any(
        map(is_effect, [*done, *(e for e in tries if e.status == "succeeded")])
    ):
        return ()
    said = {each.path for each in tries if each.status == "succeeded"}
    caught = [each for each in caught_steps(steps, failure) if EARLIER + each.path not in said]
    stays = {each.path for each in caught}
    failed = {
        child
        for each in steps
        if each.kind == "call"
        and each.status == "failed"
        and each.failure is not None
        and each.path not in stays
        and not is_earlier(each)
        and EARLIER + each.path not in said
        # Version 0.1.0 wrote the child's id at the beginning of the message.
        for child in [each.failure.where or each.failure.message.partition(" ")[0]]
    }
    found = [*caught]
    for each in done:
        if each.path == GUARD:  # it is made anew; that there was one is known from this
            found.append(replace(each, path=EARLIER + GUARD))
        else:
            again = each.kind == "start" and child_of(each) in failed
            again |= compares and each.kind == "pair" and each.result == MISSING
            found.append(replace(each, status="retrying") if again else each)
    return tuple(found)


def caught_steps(steps: Sequence[Record], failure: Failure | None) -> list[Record]:
    """Return the steps that failed, and behind which the flow did more: it had caught that.

    Not the one of whose failure the execution failed in the end. Where it failed of none, but by the
    flow's own word, that may be about branches which ended with a failure: those of which they did are
    none of them.
    """
    failed = [e for e in steps if e.status == "failed" and not is_earlier(e) and e.path != GUARD]
    last = [each for each in failed if failure is not None and _failed_by(failure, each)]
    by_word = failure is not None and not last and failure.kind not in CUT_SHORT
    if by_word and failure is not None:
        last = [each for each in failed if each.path in failure.branches]
    below: dict[str, int] = {}  # the last effect in a scope and those below it, and in it alone
    within: dict[str, int] = {}
    for each in steps:
        if not is_earlier(each) and is_effect(each):
            for scope in scopes_of(each.path):
                below[scope] = max(below.get(scope, each.seq), each.seq)
            scope = scope_of(each.path)
            within[scope] = max(within.get(scope, each.seq), each.seq)

    def went_on(step: Record) -> bool:
        behind = [below.get(scope_of(step.path), step.seq)]
        if not by_word:
            behind += [within.get(scope, step.seq) for scope in scopes_of(step.path)]
        return max(behind) > step.seq

    done_anew = {each.path for each in last}
    return [each for each in failed if each.path not in done_anew and went_on(each)]


def _failed_by(failure: Failure, step: Record) -> bool:
    # Version 0.1.0 has the step's path in the message only.
    return step.path == failure.step if failure.step else f"({step.path}) failed" in failure.message


def is_behind(path: str, other: str) -> bool:
    """Return whether a step is in a scope of another one's way: not in a branch beside it."""
    scope = scope_of(path)
    return other.startswith(scope) or scope.startswith(scope_of(other))


def is_effect(record: Record) -> bool:
    """Return whether a step may have changed something: neither pure, nor a look at our own state."""
    if record.pure or record.kind in ("trigger", "check"):
        return False
    if record.kind in ("pair", "state"):
        return not READS.match(record.name)
    return True


MADE_ONCE = frozenset({"action", "step", "start", "call"})
"""The kinds of steps that a replay does not do twice, though it takes another way to them."""


def has_only_copies(steps: Iterable[Record]) -> bool:
    """Return whether all effects of a replay are those of what it replays: it did none itself."""
    effects = [each for each in steps if each.kind in MADE_ONCE and not each.pure]
    return bool(effects) and all(each.seq < 0 for each in effects)


READS = re.compile(r"paired\(|state\.(\w+\.)?get\(")


def earlier_tries(steps: Sequence[Record], *, was_cut: bool) -> tuple[Record, ...]:
    """Return how steps were tried that did not succeed: `retrying` where they are in doubt.

    Of what several replays tried, the inputs of the first try count: its key says nothing of them.
    Where any of them is in doubt, the step is, until it succeeds. What a person found done is
    `succeeded`, and stays so. A step before copies holds its place and its time, whatever comes of it.
    `was_cut`: an attempt was, so that a step may have been tried before its record.
    """
    tries = {e.path: e for e in steps if is_earlier(e) and e.path != EARLIER + GUARD}
    for each in steps:
        if is_earlier(each) or each.path == GUARD:
            continue
        path = EARLIER + each.path
        before = tries.get(path)
        stays = before is not None and is_followed(before, each, steps)
        if each.status == "succeeded":
            if before is not None and before.status != "succeeded":
                del tries[path]
                if stays:
                    tries[path] = replace(before, status="failed")
            continue
        in_doubt = each.failure is not None and each.failure.in_doubt
        acts = not each.pure and each.kind in ("action", "step")
        is_open = in_doubt or (acts and not is_settled(each, was_cut=was_cut))
        status = "retrying" if is_open else "failed"
        if before is None:
            tries[path] = replace(each, path=path, status=status, result=None)
            continue
        if is_open or before.status == "succeeded":  # what was said of it did not fit
            before = replace(before, status=status, failure=each.failure)
        if not stays:
            before = replace(before, seq=each.seq, ended_at=each.ended_at)
        tries[path] = before
    return tuple(tries.values())


def resumed_steps(steps: Sequence[Record], cuts: Iterable[tuple[int, Micros]]) -> dict[str, int]:
    """Return the steps that may have been under way as an attempt was cut, and were begun again since.

    `cuts`: the number of each attempt that was, and when; the last one that a step may have been in is
    its value. A step begins once all that precedes it in its scopes is on disk: so only the first one
    that ended since the cut can have been under way.
    """
    found: dict[str, int] = {}
    for number, cut_at in cuts:
        scopes, around = set[str](), set[str]()  # of what ended since, and those that these are in
        for each in steps:
            if each.seq < 0 or each.pure or each.ended_at <= cut_at:
                continue
            scope, above = scope_of(each.path), scopes_of(each.path)
            is_first = scope not in around and scopes.isdisjoint(above)
            if is_first and each.kind in ("action", "step"):
                found[each.path] = number
            scopes.add(scope)
            around.update(above)
    return found


def is_followed(earlier: Record, again: Record, steps: Iterable[Record]) -> bool:
    """Return whether copies stood behind the place of an earlier try as the step was done again."""
    until = min(again.seq, 0)
    return any(
        earlier.seq < each.seq < until and not is_earlier(each) and is_behind(again.path, each.path)
        for each in steps
    )


def scope_of(path: str) -> str:
    """The scope of a step's path: all up to its last slash."""
    return path[: path.rfind("/") + 1]


def scopes_of(path: str) -> list[str]:
    """The scopes that a step is in: its own, and those around that."""
    return ["", *(path[: at + 1] for at, letter in enumerate(path) if letter == "/")]


def open_tries(tries: Sequence[Record], copied: Sequence[Record]) -> list[Record]:
    """Return the tries in doubt of steps that a replay does again: that it does not take over."""
    taken = {EARLIER + each.path for each in copied}
    return [each for each in tries if each.status == "retrying" and each.path not in taken]


def taken_over(copied: Sequence[Record], tries: Sequence[Record]) -> tuple[Record, ...]:
    """Return what a replay takes over, in the order of the steps: so each has its place among them."""
    return tuple(sorted((*copied, *tries), key=lambda each: each.seq))


def repeated(record: Record) -> Record:
    """Return an earlier try that may be repeated, though the app could not tell it from the first."""
    if record.path.startswith(FIRST):  # it surely was carried out
        return record
    status = "retrying" if record.status == "succeeded" else record.status
    failure = record.failure and replace(record.failure, in_doubt=False)
    return replace(record, status=status, failure=failure)


def is_settled(record: Record, *, was_cut: bool) -> bool:
    """Return whether a step that failed surely did nothing."""
    failure = record.failure
    if failure is None or record.tries > 1 or was_cut:  # an earlier try may have done it
        return False
    status = failure.status or 0
    return failure.kind in NOT_SENT or (400 <= status < 500 and status not in UNFINISHED)


def child_of(record: Record) -> str:
    """Return the id of the child that a `start` step began; empty where it began none."""
    return (record.result or b"").decode(errors="replace").strip('"')
