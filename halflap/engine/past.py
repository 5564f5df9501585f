"""The records of earlier attempts of an execution, against which the flow is checked as it runs.

On the same version each scope's sequence of steps must be the one that was recorded, else the flow
is not deterministic and its execution fails. Records that a replay copied from another execution
(their `seq` is negative) are taken while path and inputs match. From the first difference on, the
scope reads, waits and decides afresh; an effect whose path and inputs match is taken all the same.
One of other inputs is the same effect (`otherwise`), unless something before it was done anew: then
it has another key (`variant`). How steps were tried that did not succeed then, it knows beside that:
each holds its place among the copies, where it is done anew or passed over.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import NoReturn

from halflap.engine.scope import StepScope
from halflap.errors import Nondeterminism
from halflap.model import EARLIER, Micros, Record, StepKind, is_earlier
from halflap.sdk.record import redacted_data
from halflap.sdk.redact import Redactor
from halflap.store.rules.replaying import FIRST, GUARD, MADE_ONCE, is_behind, is_followed, scope_of

PURITY = "Keep code between steps a function of the event, the config and earlier steps"


class Past:
    """The records of earlier attempts, scope by scope."""

    def __init__(
        self,
        history: Sequence[Record],
        redactor: Redactor,
        began: Micros = 0,
    ) -> None:
        """`redactor` takes the secrets out of inputs that were recorded before they were known.

        began: when the execution was accepted; what ended since it did itself.
        """
        self._redactor = redactor
        self._began = began
        self._anew: set[str] = set()
        self._history: dict[str, Record] = {}
        self._by_scope: dict[str, deque[str]] = {}
        self._unmet: set[str] = set()
        self._met: set[str] = set()
        self._passed: set[str] = set()
        self._in_place: set[str] = set()
        self._brought: set[str] = set()
        self._firsts: list[str] = []
        self.kinds: set[StepKind] = set()
        """The kinds of the steps that the flow came to."""
        self.has_copies = False
        """True of a replay that took something over."""
        first_new = 0
        for each in history:
            self._history[each.path] = each
            if each.path.startswith(FIRST):
                self._firsts.append(each.path)
            elif (path := each.path.removeprefix(EARLIER)) != GUARD:
                self._by_scope.setdefault(scope_of(path), deque()).append(each.path)
            if each.seq < 0:
                self.has_copies = True
            else:
                self._unmet.add(each.path)
                first_new = max(first_new, each.seq + 1)
        self.keeps_copies = EARLIER + GUARD in self._history
        """True if what is copied stands, though the flow goes on from newer values."""
        self.next_seq = count(first_new).__next__
        """The number of the next new record."""

    def is_copied(self, path: str) -> bool:
        """Return whether a replay copied the record of a step."""
        return path in self._history and self._history[path].seq < 0

    def made_in_copies(self, id: bytes) -> bool:
        """Return whether a step that a replay copied may have made a record, by its encoded id."""
        return any(
            each.seq < 0 and each.kind in ("action", "step") and id in (each.result or b"")
            for each in self._history.values()
        )

    def is_next(self, scope: StepScope, path: str, inputs: bytes) -> bool:
        """Return whether a step is answered from a copy, so that it is not done anew."""
        known = self._history.get(path)
        if known is None or known.seq >= 0:
            return False
        if self._is_made(known):
            return self._fits(known, inputs)
        for expected in scope.ahead:
            if expected in (path, EARLIER + path):
                return True
            if not expected.startswith(EARLIER):
                return False
        return False

    def displaced(self, path: str, inputs: bytes | None) -> Record | None:
        """Return what is kept of an effect that a replay copied, whose place has another one now."""
        known = self._replaced(path, inputs)
        if known is None or FIRST + path in self._history:
            return None
        kept = replace(known, path=FIRST + path)
        return replace(kept, status="failed", result=None) if path in self._brought else kept

    def otherwise(self, path: str, inputs: bytes | None) -> bytes | None:
        """Return the inputs with which the effect at a path was made, where they are other ones now.

        None where something was done anew before it, of which the difference may come.
        """
        known = self._replaced(path, inputs)
        if known is None or path in self._brought:
            return None
        if any(is_behind(path, each) for each in self._anew):
            return None
        return redacted_data(known.inputs or b"", self._redactor)

    def _replaced(self, path: str, inputs: bytes | None) -> Record | None:
        known = self._history.get(path)
        if known is None or known.seq >= 0 or not self._is_made(known):
            return None
        return None if self._fits(known, inputs) else known

    def bring(
        self, scope: StepScope, path: str, kind: StepKind, name: str, inputs: bytes | None
    ) -> Record | None:
        """Return the copy of an effect from the place that it had on another way; it has this one now."""
        if not (scope.fresh and (scope.spare or self._firsts)):
            return None
        if kind not in MADE_ONCE or self.keeps_copies:
            return None
        firsts = [p for p in self._firsts if scope_of(p.removeprefix(FIRST)) == scope.path]
        left = [self._history[p] for p in (*scope.spare, *firsts) if p not in self._brought]
        found = sorted(left, key=lambda each: each.seq)
        same = [e for e in found if (e.kind, e.name, e.status) == (kind, name, "succeeded")]
        known = next((each for each in same if self._fits(each, inputs)), None)
        if known is None:
            return None
        self._brought.add(known.path)
        scope.spare.discard(known.path)
        scope.ahead.appendleft(path)
        return replace(known, path=path)

    def variant(self, path: str, inputs: bytes | None) -> str:
        """Return the part of a step's key that tells it from an effect of other inputs in its place."""
        first = self._history.get(FIRST + path) or self.displaced(path, inputs)
        return "" if first is None or self._fits(first, inputs) else variant_of(inputs)

    def whole(self, now: Micros) -> StepScope:
        """The flow's own scope."""
        return StepScope("", now, self._by_scope.get("", deque()))

    def branch(self, parent: StepScope, path: str) -> StepScope:
        """The scope of one branch of a gather."""
        scope = StepScope(path, parent.now, self._by_scope.get(path, deque()), parent)
        if parent.fresh:
            self._leave_copies(scope)
        return scope

    def aside(self, scope: StepScope) -> StepScope:
        """Return a scope for the guard, which moves neither the flow's place nor its time."""
        ahead = deque([GUARD] if GUARD in self._history else [])
        return StepScope("", scope.now, ahead, task=scope.task)

    def earlier(self, path: str) -> Record | None:
        """Return how a step was tried before the replay."""
        self._met.add(path)
        return self._history.get(EARLIER + path)

    def moved(self, path: str, name: str) -> str | None:
        """Return the step in doubt, or said done, in whose place the action comes to another path."""
        for each in self._history.values():
            is_try = is_earlier(each) and not each.path.startswith(FIRST)
            if is_try and each.name == name and each.status != "failed":
                before = each.path.removeprefix(EARLIER)
                if before != path and before not in self._met:
                    return before
        return None

    def recall(self, scope: StepScope, path: str, inputs: bytes | None = None) -> Record | None:
        """The record of the step that the flow came to; None where it is new."""
        while True:
            if path in scope.spare and self._fits(spare := self._history[path], inputs):
                scope.spare.remove(path)
                scope.ahead.appendleft(path)
                return spare
            if not scope.ahead:
                return None
            expected = scope.ahead[0]
            if expected.startswith(EARLIER):
                self._take_place(scope, expected == EARLIER + path)
                continue
            known = self._history.get(expected)
            if known is None and expected == path:  # it is done anew in its place
                return None
            if known is None:
                scope.ahead.popleft()
                continue
            same = inputs is None or known.inputs is None or self._fits(known, inputs)
            if expected == path and same:
                return known
            if known.seq < 0:
                self._leave_copies(scope)
            elif expected != path:
                self._differs(f"came to the step {path!r} where its journal has {expected!r}")
            else:
                raise Nondeterminism(
                    f"the step {path!r} was recorded with other inputs: then "
                    f"{shortened(known.inputs)}, now {shortened(inputs)}. {PURITY}; ctx.now(), "
                    "ctx.uuid() and @step are for what is not"
                )

    def _fits(self, known: Record, inputs: bytes | None) -> bool:
        """Return whether a record is of the same inputs; a copy that stands is of any."""
        if self.keeps_copies and known.seq < 0 and known.status != "retrying":
            return True
        if inputs is None or known.inputs is None:
            return False
        return known.inputs == inputs or redacted_data(known.inputs, self._redactor) == inputs

    def _is_made(self, known: Record) -> bool:
        """Return whether a copy is of an effect, which is not to be made twice."""
        if known.kind not in MADE_ONCE or known.pure or is_earlier(known):
            return False
        return known.status == "succeeded"

    def _leave_copies(self, scope: StepScope) -> None:
        """Go beyond what was copied: only its effects are still taken, where the flow comes to them."""
        rest = [self._history[p] for p in scope.ahead if p in self._history]
        scope.ahead = deque(each.path for each in rest if each.seq >= 0)
        scope.spare |= {each.path for each in rest if each.seq < 0 and self._is_made(each)}
        scope.fresh = True

    def _take_place(self, scope: StepScope, is_here: bool) -> None:
        """Put a step into its place among the copies; pass that over where the flow is elsewhere."""
        path = scope.ahead.popleft().removeprefix(EARLIER)
        if is_here:
            if path in self._history:
                scope.ahead.remove(path)
            scope.ahead.appendleft(path)
            self._in_place.add(path)

    def pass_by(self, scope: StepScope, record: Record) -> None:
        """Go on behind a record, recalled or new.

        Only what is durable before the next effect moves the scope's time.
        """
        self.kinds.add(record.kind)
        self._passed.add(record.path)
        at = self._among_copies(scope, record) if self.has_copies else record.ended_at
        scope.position += 1
        if scope.ahead:
            scope.ahead.popleft()
        if not record.pure and at > scope.now:
            scope.now = at
        if self._unmet:
            self._unmet.discard(record.path)

    def _among_copies(self, scope: StepScope, record: Record) -> Micros:
        """Note how a record stands to the copies of a replay; return the time that it had among them."""
        at, is_copy = record.ended_at, record.seq < 0
        if record.path in self._in_place:
            before, is_copy = self._history[EARLIER + record.path], True
            if is_followed(before, record, self._history.values()):  # which were done at that time
                at = before.ended_at
        if self._is_anew(record):
            self._anew.add(record.path)
        scope.fresh = scope.fresh or not is_copy
        return at

    def _is_anew(self, record: Record) -> bool:
        """Return whether the execution itself did a step that may lead the flow another way."""
        if record.seq < 0:  # a child that was started again, a pair that was looked up again
            return record.ended_at >= self._began
        return record.path in self._in_place or (record.kind in MADE_ONCE and not record.pure)

    def left_behind(self) -> list[Record]:
        """Return the effects that a replay copied, and that are none of the flow's way now."""
        been = self._passed | self._brought
        copied = [each for each in self._history.values() if each.seq < 0 and self._is_made(each)]
        return [each for each in copied if each.path not in been]

    def close(self, scope: StepScope) -> None:
        """The scope ended well: nothing that it recorded may be left over."""
        for path in scope.ahead:
            if path in self._history and self._history[path].seq >= 0:
                self._differs(f"ended before the step {path!r}")
        if scope.parent is None and self._unmet:
            self._differs(f"ended without the step {min(self._unmet)!r}")

    def _differs(self, how: str) -> NoReturn:
        raise Nondeterminism(f"the flow {how}, which it did not do before. {PURITY}")


def variant_of(inputs: bytes | None) -> str:
    """Return the part of a key that tells these inputs from others in the same place."""
    return f"\0with {hashlib.blake2b(inputs or b'', digest_size=8).hexdigest()}"


def due_of(record: Record) -> Micros:
    """When a step that failed may be tried again; one that a replay copied, at once."""
    return int(record.result or b"0") if record.seq >= 0 else 0


def shortened(data: bytes | None) -> str:
    """The beginning of a value, for a message."""
    text = (data or b"").decode(errors="replace")
    return text if len(text) <= 200 else text[:197] + "…"
