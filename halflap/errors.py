"""Every error of Halflap, in one tree. What an author raises decides what the platform does.

HalflapError
├─ DefinitionError          the author's mistake, found by import or lint      → fix the code
│  └─ ResultRefused        an action returned what its annotation does not say   → failed, not retried; it may be done
├─ ConfigError              the customer's answers are missing or wrong        → back to the wizard
├─ Rejected                 the request is unsigned, stale or misshaped        → 4xx, recorded
├─ InvalidEvent             verified but misshapen                             → 2xx; fails, not retried, replayable
├─ FilterFailed             a flow's filter raised, so nothing decides         → 2xx; fails, not retried, replayable
├─ Unrouted                 nobody takes what a pre-process flow was sent       → fails, not retried, replayable
├─ UpstreamError            the other app said no; .status, .retryable         → retried where it may help
│  ├─ RateLimited           .retry_after                                       → waits, no attempt spent
│  ├─ Unauthorized          credentials refused                                → parked until mended, or failed
│  └─ EgressRefused         an address that integrations may not call          → fails, not retried
├─ RetryLater               not ready yet; .after                              → waits, no attempt spent
│  └─ Backlogged            too much of a customer is queued already           → 429 at the API; send it again
├─ Cancel                   nothing to do; .reason                             → cancelled, no retry
├─ ExpressionError          an expression cannot be read or evaluated; .line   → failed, not retried; mend it
├─ InputsRefused            an action was given what it does not take             → failed, not retried; nothing was sent
├─ StepFailed               a step's retries are spent; .step, __cause__       → failed, replayable
│  └─ Thrown                the flow itself says that it cannot go on          → failed, replayable
├─ CodeFailed               a code step raised or went over a limit; .where       → failed, replayable
│  └─ WorkerLost            every process that ran it ended                    → failed, replayable
├─ TimedOut                 what was waited for did not come in time; .name    → failed, unless the flow catches it
├─ Conflict                 a compare-and-set met another value                → read again, decide again
├─ Overruled                the other app's edit stands, made meanwhile        → ignored, visibly
├─ TooManyHops              writes of integrations cause each other            → failed; break the loop
├─ Nondeterminism           a replay met another step than it recorded         → failed; keep code between steps pure
├─ StoreError               the store refused or is broken                     → 503, nothing acknowledged
│  ├─ StoreLocked           another server has this store open                 → use its API
│  ├─ StoreFull             the disk is full                                   → 503 until there is room
│  ├─ BlobLost              a large payload is gone, or is not what was kept   → failed; put its file back, replay
│  └─ InDoubt               a COMMIT failed: the outcome is unknown            → the process restarts
├─ Fenced                   this worker no longer holds the execution          → it stops, silently
└─ NotFound                 no such customer, instance, execution …            → 404
   └─ Removed               it was kept for a while, and is removed since      → 410; keep it for longer
"""

from __future__ import annotations

from datetime import timedelta


class HalflapError(Exception):
    """Something went wrong in Halflap."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The message: what happened, where, and what to do next."""
        return str(self.args[0])


class DefinitionError(HalflapError):
    """The definition of a component or an integration is wrong.

    `where` is the place, as `file:line` or the dotted name of what is wrong.
    """

    def __init__(self, message: str | None = None, *, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where and message else message)
        self.where = where


class ResultRefused(DefinitionError):
    """An action returned another type than it says, once it had done what it does."""


class ConfigError(HalflapError):
    """The config is incomplete or wrong.

    `fields` maps the path of each wrong field (`acme.api_key`) to what is wrong with it.
    """

    def __init__(self, message: str | None = None, *, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class Rejected(HalflapError):
    """The request was rejected before it was accepted; nothing was kept.

    `status` is the HTTP status to answer with (400 to 499). The reason is recorded for support, and
    not told to the sender; with `tells` it is: where it says what is wrong with the request, and
    nothing of a secret.
    """

    def __init__(
        self, message: str | None = None, *, status: int = 401, tells: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.tells = tells


class InvalidEvent(HalflapError):
    """The event was verified, but does not have the shape that its trigger reads."""


class FilterFailed(HalflapError):
    """A flow's filter raised for this event, so that the flow did not run."""


class Unrouted(HalflapError):
    """No customer, instance or flow takes an event of a pre-process flow."""


STATUSES_IN_DOUBT = frozenset({408, 500, 502, 504})
"""HTTP statuses after which a request may have been carried out all the same."""


class UpstreamError(HalflapError):
    """The other app refused, failed or did not answer.

    `status` is its HTTP status, None where there was no answer; `retryable` says whether the same
    request may succeed later; `in_doubt`, whether it may have been carried out all the same (by
    default after 408, 500, 502, 504 and without an answer); `body` is the beginning of its answer.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        retryable: bool | None = None,
        in_doubt: bool | None = None,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        if in_doubt is None:
            in_doubt = status is None or status in STATUSES_IN_DOUBT
        self.in_doubt = in_doubt
        if retryable is None:
            retryable = status is None or status >= 500 or status in (408, 425, 429)
        self.retryable = retryable


def span_of(time: timedelta | float) -> timedelta:
    """Return a wait of seconds, or a `timedelta`, as one."""
    return time if isinstance(time, timedelta) else timedelta(seconds=time)


class RateLimited(UpstreamError):
    """The other app asks us to slow down; `retry_after` says for how long, None if it did not.

    Seconds, or a `timedelta`.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: timedelta | float | None = None,
        status: int | None = 429,
        body: str = "",
    ) -> None:
        super().__init__(message, status=status, retryable=True, in_doubt=False, body=body)
        self.retry_after = None if retry_after is None else span_of(retry_after)


class Unauthorized(UpstreamError):
    """The other app refused the connection's credentials."""

    def __init__(
        self, message: str | None = None, *, status: int | None = 401, body: str = ""
    ) -> None:
        super().__init__(message, status=status, retryable=False, in_doubt=False, body=body)


class EgressRefused(UpstreamError):
    """The address may not be called: not a public one, or outside of the connection's `base_url`.

    Nothing was sent, unless another address redirected there.
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retryable=False, in_doubt=False)


class RetryLater(HalflapError):
    """Not ready yet: run the flow again after a while (seconds, or a `timedelta`); spends no attempt."""

    def __init__(self, after: timedelta | float, message: str | None = None) -> None:
        super().__init__(message)
        self.after = span_of(after)


class Backlogged(RetryLater):
    """Too many events of the customer wait to be processed; nothing was accepted."""


class Cancel(HalflapError):
    """There is nothing to do: the execution ends as cancelled, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ExpressionError(HalflapError):
    """An expression of a YAML integration cannot be read, or not be evaluated on these values.

    `text` is the expression, `offset` the character in it, `line` and `column` the same from 1;
    `code` is JSONata's own, or begins with H where the rule is Halflap's. `where` is the place in the
    document, as `file:line:column`, and `path` the same as names and numbers. Of a step that runs,
    the message begins with its title and the field, and ends with code and place.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str = "",
        text: str = "",
        offset: int = 0,
        where: str | None = None,
        path: tuple[str | int, ...] = (),
    ) -> None:
        self.line, self.column = place_of(text, offset)
        self.said = message
        self.where = where
        self.path = path
        self.code = code
        self.text = text
        self.offset = offset
        self.title: str | None = None
        spot = self._spot()
        said = f"{message} ({spot})" if spot else message
        super().__init__(f"{where}: {said}" if where and said else said)

    def _spot(self) -> str:
        place = f"{self.line}:{self.column}" if "\n" in self.text else f"character {self.column}"
        return f"{self.code}, at {place} of `{_shortened(self.text)}`" if self.text else ""

    def at(self, where: str, path: tuple[str | int, ...] = ()) -> ExpressionError:
        """The same error, with its place in the document."""
        return ExpressionError(
            self.said, code=self.code, text=self.text, offset=self.offset, where=where, path=path
        )

    def note_step(self, title: str, depth: int) -> None:
        """Note the title of the step that raised it, whose path is `depth` long; the innermost stays."""
        if self.title is None:
            self.title = title
            field = self.path[depth:]
            field = field[1:] if len(field) > 1 and field[0] in ("with", "set") else field
            head = ", ".join(each for each in (title, ".".join(map(str, field))) if each)
            spot = "; ".join(each for each in (self._spot(), self.where) if each)
            self.args = (f"{head}: {self.said}" + (f" ({spot})" if spot else ""),)


_DOCUMENT_PLACE = "__halflap_place__"


def note_place(error: Exception, where: str) -> None:
    """Note on an error the place of the document's step that raised it; the innermost one stays."""
    if document_place(error) is None:
        setattr(error, _DOCUMENT_PLACE, getattr(error, "where", None) or where)


def document_place(error: BaseException) -> str | None:
    """Return the place in a document, `file:line:column`, that was noted on an error."""
    return getattr(error, _DOCUMENT_PLACE, None)


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


class InputsRefused(HalflapError):
    """An action was given inputs of other types than it takes, and was not run: nothing was sent."""


class StepFailed(HalflapError):
    """A step failed for good; `step` is its path, `__cause__` the error, where it is still known.

    `in_doubt`: it may have been carried out, and the app could not tell a second one from it.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        step: str = "",
        error: str = "",
        status: int | None = None,
        cause: str = "",
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.error = error
        self.status = status
        self.cause = cause
        self.in_doubt = in_doubt


class Thrown(StepFailed):
    """The flow itself says what went wrong; `step` is the title of the step that says so.

    `raise Thrown("Acme has no such account")`: a flow that catches `FAILURES` catches it, too.
    """

    def __init__(self, message: str | None = None, *, step: str = "throw") -> None:
        super().__init__(message, step=step)


class CodeFailed(HalflapError):
    """The code of a step raised, or went over a limit.

    `error` is the exception's name, or that of the limit (`TimeLimit`, `MemoryLimit`, `DepthLimit`,
    `CallLimit`, `PrintLimit`, `ResultLimit`); `where` is the place as `file:line:column`, `line` the
    file's; `trace` has the lines that led there, the outermost first.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        error: str = "",
        where: str = "",
        line: int = 0,
        trace: str = "",
    ) -> None:
        super().__init__(f"{where}: {message}" if where and message else message)
        self.error = error
        self.where = where
        self.line = line
        self.trace = trace


class WorkerLost(CodeFailed):
    """The process that ran the code ended, by whatever cause, and so did those that took it up."""


class TimedOut(HalflapError):
    """The awaited signal or child did not come in time; `name` is the signal's or the flow's."""

    def __init__(self, message: str | None = None, *, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Conflict(HalflapError):
    """The value was changed by another execution since it was read; read it again and decide."""

    def __init__(self, message: str | None = None, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class Overruled(HalflapError):
    """The record was edited at the other app meanwhile: nothing is written, and that edit comes."""


class TooManyHops(HalflapError):
    """The event was caused by a chain of our own writes that is too long to be meant."""


class Nondeterminism(HalflapError):
    """The flow took another path than the one that its journal recorded."""


class StoreError(HalflapError):
    """The store refused or failed; nothing was acknowledged."""


class StoreLocked(StoreError):
    """Another server process has this store open."""


class StoreFull(StoreError):
    """The store has no room left; events are refused with 503 until there is some."""


class BlobLost(StoreError):
    """A large payload is missing from the blob store, or is not what was written there.

    `where` is its file or its address, `what` whose payload it is.
    """

    def __init__(self, message: str | None = None, *, where: str = "", what: str = "") -> None:
        super().__init__(
            message
            or f"{what or 'a large payload'} is not in the blob store as it was written ({where}); "
            "put it back from a backup of the blobs"
        )
        self.where = where
        self.what = what


class InDoubt(StoreError):
    """A commit failed and its outcome is unknown; the process has to start again."""


class Fenced(HalflapError):
    """The execution was given to another worker."""


class NotFound(HalflapError):
    """There is no such thing."""


class Removed(NotFound):
    """It was kept for as long as its retention says, and is removed since."""


FAILURES = (StepFailed, TimedOut, Conflict, InvalidEvent, Overruled, CodeFailed)
"""Errors that a step raises for good, to be caught by a flow that goes on without it."""
