"""The relay: what happens to executions here, for whoever waits or follows in other processes.

Nothing is told to nobody. A process in which somebody waits for an outcome, or follows, asks for it,
again and again while that lasts; those that hear it tell for a while. All of it passes as hints,
so it may be lost: whoever waits looks in the store too, now and then.

A line is one of: nothing (something may be due), `outcomes`, `changes` and `watch <topic>` (somebody
asks for them), `ended <execution>`, `cancel <execution>` (look whether it is to be cancelled),
`change <JSON>`, `dismissed <JSON>`, `recorded <JSON>`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, replace

from halflap.engine.protocol import LONGEST_REASON
from halflap.model import Change, Event, FlowKey, LogLine, Micros, Outcome, Progress, Start
from halflap.sdk import codec
from halflap.store.protocol import Hints

ASK_SECONDS = 5.0
"""Seconds between requests for notices, while somebody follows."""
TELL_SECONDS = 20.0
"""Seconds for which notices are sent after a request."""
LATELY = 500
"""The number of last ends that are sent to a first follower: it may have come too late."""


class Relay:
    """Tells other processes of what happens here, where they ask, and hears what happens there.

    due: called when something may be due. ended: with an execution that ended elsewhere. cancel:
    with one that may be to be cancelled. change: with a change elsewhere. recorded: with what was
    recorded elsewhere.
    """

    def __init__(
        self,
        hints: Hints,
        *,
        due: Callable[[], object],
        ended: Callable[[str], object],
        cancel: Callable[[str], object],
        change: Callable[[Change], object],
        recorded: Callable[[Progress], object],
    ) -> None:
        self._hints = hints
        self._due = due
        self._ended = ended
        self._cancel = cancel
        self._change = change
        self._recorded = recorded
        self._tell_until: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._lately: deque[str] = deque(maxlen=LATELY)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._unfollow = hints.follow(self._heard)

    def ask(self, what: str) -> None:
        """Ask the others to tell of something from now on; to be repeated while that is wanted."""
        now = time.monotonic()
        if now - self._asked_at.get(what, -ASK_SECONDS) >= ASK_SECONDS:
            self._asked_at[what] = now
            self._hints.send(what if what in ("outcomes", "changes") else f"watch {what}")

    def ask_while(self, what: str, follows: Callable[[], bool]) -> None:
        """Ask for something for as long as anybody follows it."""
        self._asking = {name: task for name, task in self._asking.items() if not task.done()}
        if what not in self._asking:
            task = asyncio.get_running_loop().create_task(self._keep_asking(what, follows))
            self._asking[what] = task

    def is_asked(self, what: str) -> bool:
        """Return whether another process follows something."""
        until = self._tell_until.get(what)
        return until is not None and time.monotonic() < until

    def ended(self, execution: str) -> None:
        """An execution ended here."""
        if self.is_asked("outcomes"):
            self._hints.send(f"ended {execution}")
        else:
            self._lately.append(execution)

    def cancel(self, execution: str) -> None:
        """An execution that runs elsewhere is to be cancelled."""
        self._hints.send(f"cancel {execution}")

    def change(self, change: Change) -> None:
        """Something happened to an execution here."""
        if self.is_asked("changes"):
            self._hints.send(f"{'dismissed' if change.dismissed else 'change'} {written(change)}")

    def progress(self, progress: Progress) -> None:
        """An execution recorded something here that another process asked for."""
        self._hints.send(f"recorded {written_progress(progress)}")

    def close(self) -> None:
        """Hear and ask no more."""
        self._unfollow()
        for each in self._asking.values():
            each.cancel()

    async def _keep_asking(self, what: str, follows: Callable[[], bool]) -> None:
        while follows():
            self.ask(what)
            await asyncio.sleep(ASK_SECONDS)
        self._asked_at.pop(what, None)

    def _heard(self, line: str) -> None:
        what, _, about = line.partition(" ")
        match what:
            case "":
                self._due()
            case "outcomes" | "changes":
                self._asked(what)
            case "watch":
                self._asked(about)
            case "ended":
                self._ended(about)
            case "cancel":
                self._cancel(about)
            case "change":
                self._change(read(about))
            case "dismissed":
                self._change(replace(read(about), dismissed=True))
            case "recorded":
                self._recorded(read_progress(about))
            case _:
                pass  # of a newer version

    def _asked(self, what: str) -> None:
        now = time.monotonic()
        if what == "outcomes" and not self.is_asked(what):
            for each in self._lately:
                self._hints.send(f"ended {each}")
            self._lately.clear()
        for each in [each for each, until in self._tell_until.items() if until < now]:
            del self._tell_until[each]
        self._tell_until[what] = now + TELL_SECONDS


def written(change: Change) -> str:
    """A change as a line of text, without the event."""
    flow, outcome = change.start.flow, change.outcome
    return codec.encode(
        [
            change.execution,
            astuple(flow),
            [change.start.root, change.start.key, change.start.replay_of],
            change.state,
            change.at,
            change.attempt,
            None if outcome is None else [outcome.state, outcome.reason[:LONGEST_REASON]],
        ]
    ).decode()


def written_progress(progress: Progress) -> str:
    """Return what an execution recorded as a line of text."""
    lines = [[each.at, each.level, each.message, each.step] for each in progress.lines]
    flow = astuple(progress.flow)
    return codec.encode([progress.execution, flow, progress.steps, lines]).decode()


def read_progress(text: str) -> Progress:
    """Return what an execution recorded from its line."""
    execution, flow, steps, lines = codec.decode(text)
    return Progress(
        execution,
        FlowKey(*flow),
        tuple((seq, path, status) for seq, path, status in steps),
        tuple(LogLine(at, level, message, step=step) for at, level, message, step in lines),
    )


def without_event(
    execution: str, flow: FlowKey, root: str, key: str | None, replay_of: str | None, at: Micros
) -> Start:
    """Return the start of an execution whose event stays in the store, as far as followers see it."""
    nothing = Event("", "", "", (), b"", at)
    return Start(execution, flow, nothing, root, key=key, replay_of=replay_of)


def read(text: str) -> Change:
    """A change from its line; its event, and its outcome's result, stay in the store."""
    execution, flow, (root, key, replay_of), state, at, attempt, ended = codec.decode(text)
    start = without_event(execution, FlowKey(*flow), root, key, replay_of, at)
    outcome = None if ended is None else Outcome(*ended)
    return Change(execution, start, state, at, outcome, attempt)
