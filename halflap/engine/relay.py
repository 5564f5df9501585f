"""The relay: what happens to executions here, for whoever waits or follows in other processes.

Nothing is told to nobody. A process in which somebody waits for an outcome, or follows, asks for it,
again and again while that lasts; those that hear it tell for a while. All of it passes as hints,
so it may be lost: whoever waits looks in the store too, now and then.

A line is one of: nothing (something may be due), `outcomes` and `changes` (somebody asks for them),
`ended <execution>`, `cancel <execution>` (look whether it is to be cancelled), `change <JSON>`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from halflap.engine.protocol import LONGEST_REASON
from halflap.model import Change, Event, FlowKey, Outcome, Start
from halflap.sdk import codec
from halflap.store.protocol import Hints

Ask = Literal["outcomes", "changes"]

ASK_SECONDS = 5.0
"""Seconds between requests for notices, while somebody follows."""
TELL_SECONDS = 20.0
"""Seconds for which notices are sent after a request."""
LATELY = 500
"""The number of last ends that are sent to a first follower: it may have come too late."""


class Relay:
    """Tells other processes of what happens here, where they ask, and hears what happens there.

    due: called when something may be due. ended: with an execution that ended elsewhere. cancel:
    with one that may be to be cancelled. change: with a change elsewhere.
    """

    def __init__(
        self,
        hints: Hints,
        *,
        due: Callable[[], object],
        ended: Callable[[str], object],
        cancel: Callable[[str], object],
        change: Callable[[Change], object],
    ) -> None:
        self._hints = hints
        self._due = due
        self._ended = ended
        self._cancel = cancel
        self._change = change
        self._tell_until: dict[Ask, float] = {"outcomes": 0.0, "changes": 0.0}
        self._asked_at: dict[Ask, float] = {}
        self._lately: deque[str] = deque(maxlen=LATELY)
        self._asking: asyncio.Task[None] | None = None
        self._unfollow = hints.follow(self._heard)

    def ask(self, what: Ask) -> None:
        """Ask the others to tell of something from now on; to be repeated while that is wanted."""
        now = time.monotonic()
        if now - self._asked_at.get(what, -ASK_SECONDS) >= ASK_SECONDS:
            self._asked_at[what] = now
            self._hints.send(what)

    def ask_while(self, follows: Callable[[], bool]) -> None:
        """Ask for changes for as long as anybody follows."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._keep_asking(follows))

    def is_asked(self, what: Ask) -> bool:
        """Return whether another process follows."""
        return time.monotonic() < self._tell_until[what]

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
            self._hints.send(f"change {written(change)}")

    def close(self) -> None:
        """Hear and ask no more."""
        self._unfollow()
        if self._asking is not None:
            self._asking.cancel()

    async def _keep_asking(self, follows: Callable[[], bool]) -> None:
        while follows():
            self.ask("changes")
            await asyncio.sleep(ASK_SECONDS)

    def _heard(self, line: str) -> None:
        what, _, about = line.partition(" ")
        match what:
            case "":
                self._due()
            case "outcomes" | "changes":
                self._asked(what)
            case "ended":
                self._ended(about)
            case "cancel":
                self._cancel(about)
            case "change":
                self._change(read(about))
            case _:
                pass  # of a newer version

    def _asked(self, what: Ask) -> None:
        now = time.monotonic()
        if what == "outcomes" and now >= self._tell_until[what]:
            for each in self._lately:
                self._hints.send(f"ended {each}")
            self._lately.clear()
        self._tell_until[what] = now + TELL_SECONDS


def written(change: Change) -> str:
    """A change as a line of text, without the event."""
    flow, outcome = change.start.flow, change.outcome
    return codec.encode(
        [
            change.execution,
            [
                flow.customer,
                flow.instance,
                flow.integration,
                flow.flow,
                flow.version,
                flow.revision,
            ],
            [change.start.root, change.start.key, change.start.replay_of],
            change.state,
            change.at,
            change.attempt,
            None if outcome is None else [outcome.state, outcome.reason[:LONGEST_REASON]],
        ]
    ).decode()


def read(text: str) -> Change:
    """A change from its line; its event, and its outcome's result, stay in the store."""
    execution, flow, (root, key, replay_of), state, at, attempt, ended = codec.decode(text)
    nothing = Event("", "", "", (), b"", at)
    start = Start(execution, FlowKey(*flow), nothing, root, key=key, replay_of=replay_of)
    outcome = None if ended is None else Outcome(*ended)
    return Change(execution, start, state, at, outcome, attempt)
