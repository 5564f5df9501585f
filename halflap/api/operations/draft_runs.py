"""Runs of drafts, and what is sent to be published, in processes with limits of time and memory.

Nothing is written there, and nothing called, but in a run as the development instance. That has a process
of its own, so that what ran there before has nothing of its secrets. So does whatever runs code that was
sent, which would see the events and the pins of whatever ran there after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from halflap import lowcode
from halflap.api.operations.linting import command, read_findings
from halflap.api.operations.turns import TurnQueue
from halflap.engine.bundle import Bundle
from halflap.engine.integration import VersionDescription
from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode.code.forking import ForkServer
from halflap.lowcode.code.pool import Lost, Pool
from halflap.lowcode.code.worker.wire import pack, unpack
from halflap.sdk import codec

if TYPE_CHECKING:
    from halflap.sdk.lint import Finding

AT_ONCE = 2
"""The number of runs side by side; others wait, so that flows keep their share."""
DESCRIBED_AT_ONCE = 4
"""The number of bundles that are loaded to be published side by side: one may take all its time."""
SECONDS = 30.0
"""After how long a run's process is ended, from the time that it is ready."""
MORE = 3.0
"""Seconds of a process that loads what was sent, beyond those after which it says itself where it is."""
RUNS = 200
"""The runs of a process."""
WORKER = "halflap.testing.worker"
FORKS = ForkServer(partial(command, WORKER, "fork"))
"""Forks the processes of all runs, in a hundredth of the time that one takes to start."""
OFFLINE, NETWORKED = (partial(FORKS.fork, main) for main in ("offline", "networked"))
MOST_BYTES = 32 << 20
"""Bytes of a message, as many as of a request: a letter that is not ASCII takes up to seven."""
MOST_QUEUED = 16 << 20
"""Characters that a run has told and its caller has not taken, from which on the run waits."""
ENOUGH_RUN = "has as many executions running as it may; wait until one has ended"
ENDED: Mapping[str, Any] = {
    "result": None, "path": None, "where": "", "logs": [], "cut": False, "events": [], "config": None,
}  # fmt: skip

DESCRIBING = ("describe_set", "describe_version", "describe_published")
OUTSIDE = "what stands outside functions runs whenever it is loaded, so move or mend that"
CAUSES = "it exits, crashes, or needs more than 1 GiB of memory"

Tell = Callable[[str, str], Awaitable[None]]
"""Gets what a run tells, as it happens: its kind, and JSON."""


class RunMessages:
    """The messages of a run on their way to its caller, who may be slow: up to `MOST_QUEUED`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()

    def put(self, kind: str, text: str) -> None:
        """Add a message."""
        self._queue.put_nowait((kind, text))
        self._resize(len(text))

    async def get(self) -> tuple[str, str]:
        """Take the next message."""
        kind, text = await self._queue.get()
        self._resize(-len(text))
        return kind, text

    async def has_room(self) -> None:
        """Wait until there is room for more; its process is not read meanwhile."""
        await self._room.wait()

    def _resize(self, size: int) -> None:
        self._size += size
        if self._size < MOST_QUEUED:
            self._room.set()
        else:
            self._room.clear()


@dataclass(slots=True)
class DraftRuns:
    """Runs flows of drafts, a few at a time, callers in rotation."""

    turns: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))
    acting: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))
    """Of runs as development instances, which may wait for an app."""
    describing: TurnQueue = field(default_factory=lambda: TurnQueue(DESCRIBED_AT_ONCE))
    """Of what is to be published, so that one which loads for ever keeps no run waiting."""
    workers: Pool = field(default_factory=lambda: Pool(RUNS, command(WORKER), OFFLINE))
    fresh: Pool = field(default_factory=lambda: Pool(1, command(WORKER), OFFLINE))
    """Processes that run code which was sent: one does so once."""
    networked: Pool = field(
        default_factory=lambda: Pool(1, command(WORKER, "main_with_network"), NETWORKED)
    )
    seconds: float = SECONDS
    real: int = 0
    """The number of runs as development instances that are under way, or wait for a turn."""

    async def run(self, kind: str, given: Mapping[str, Any], caller: Hashable, tell: Tell) -> None:
        """Run something, and tell of it until its end; a caller that leaves ends the process.

        How fast they are told keeps no turn: what is left at the end has as long again, then it is
        a `TimeoutError`. A run as a development instance is refused where there is no `room` for it.
        """
        development = given.get("development")
        room = None if development is None else development["room"]
        if room is not None and self.real >= room:
            await tell("end", refused("ConfigError", at_limit().message))
            return
        self.real += development is not None
        found = RunMessages()

        async def send() -> None:
            told = ""
            while told != "end":
                told, text = await found.get()
                await tell(told, text)

        sending = asyncio.create_task(send())
        try:
            turns = self.turns if development is None else self.acting
            turns = self.describing if kind in DESCRIBING else turns
            async with turns.of(caller):
                # Removed here: the process may be killed before it has done so.
                with TemporaryDirectory(
                    prefix="halflap-run-", ignore_cleanup_errors=True
                ) as folder:
                    await self._work(
                        kind, {**given, "folder": folder, "seconds": self.seconds}, found
                    )
            async with asyncio.timeout(self.seconds):
                await sending
        finally:
            self.real -= development is not None
            sending.cancel()

    async def describe_set(self, bundle: bytes, caller: Hashable) -> bytes:
        """Judge and describe a bundle of components: see the engine's `describe_set`, which may raise."""
        return (await self._describe("describe_set", bundle, caller))["components"].encode()

    async def describe_version(
        self,
        bundle: bytes,
        caller: Hashable,
        show: Callable[[Sequence[Finding]], None] | None = None,
    ) -> VersionDescription:
        """Judge and describe a bundle that is to be published: see the engine's `describe_version`.

        `show` gets what lint found in it, before it is refused for that.
        """
        found = await self._describe("describe_version", bundle, caller, show)
        return VersionDescription(**found)

    async def describe_published(self, bundle: bytes, caller: Hashable) -> bytes:
        """Describe the components of a version's own; none where it does not load here any more."""
        try:
            found = await self._describe("describe_published", bundle, caller)
        except DefinitionError:
            return b"{}"
        return found["components"].encode()

    async def _describe(
        self,
        kind: str,
        bundle: bytes,
        caller: Hashable,
        show: Callable[[Sequence[Finding]], None] | None = None,
    ) -> Any:
        found: dict[str, str] = {}

        async def tell(kind: str, text: str) -> None:
            found[kind] = text

        entry = (await anyio.to_thread.run_sync(Bundle.from_bytes, bundle)).entry
        await self.run(kind, {"bundle": bundle.decode("latin-1")}, caller, tell)
        findings: list[Finding] = []
        if "found" in found:
            findings = read_findings(codec.decode(found["found"].encode())["findings"])
        if show is not None:
            show(findings)
        if "described" in found:
            return codec.decode(found["described"].encode())
        end = codec.decode(found["end"].encode())
        where, reason = end["where"] or None, end["reason"]
        match end["failure"]["kind"]:
            case "Timeout":
                where, reason = entry, f"loading it took longer than {self.seconds:g} s; {OUTSIDE}"
            case "NotADocument" if errors := [e for e in findings if e.severity == "error"]:
                raise lowcode.NotADocument(errors)
            case "ProcessEnded":
                where, reason = entry, f"its process ended as it was loaded: {CAUSES}; {OUTSIDE}"
            case _:
                reason = reason.removeprefix(f"{where}: ")
        raise DefinitionError(reason, where=where)

    async def _work(self, kind: str, given: Mapping[str, Any], found: RunMessages) -> None:
        is_real = "development" in given
        loads = kind in DESCRIBING
        sent = loads or any(each.endswith(".py") for each in given["files"])
        workers = self.networked if is_real else self.fresh if sent else self.workers
        worker = workers.take()
        ended = ""
        try:
            await worker.ready()
            async with asyncio.timeout(self.seconds + MORE * loads):
                await worker.send(pack(kind, codec.encode(given).decode()))
                told = ""
                while told != "end":
                    await found.has_room()
                    told, text = unpack(await worker.receive(MOST_BYTES))
                    found.put(told, text)
        except TimeoutError:
            ended = f"it took longer than {self.seconds:g} s"
        except Lost:
            ended = "its process ended, perhaps out of memory"
        except BaseException:
            workers.end(worker)
            raise
        if not ended:
            workers.give(worker)
            return
        workers.end(worker)
        if is_real:
            ended += "; what it had begun at an app may have been done"
        failure = "Timeout" if "longer" in ended else "ProcessEnded"
        found.put("end", refused(failure, ended))


def at_limit(why: str = ENOUGH_RUN) -> ConfigError:
    """Return the error about a limit of the development customer: of what runs, or why else."""
    return ConfigError(
        f"the development customer, by its limits, {why}, or run with stubbed effects",
        fields={"effects": "are at the customer's limit"},
    )


def refused(kind: str, reason: str) -> str:
    """Return the end of a run that could not be run, or not to its end, as JSON."""
    outcome = {"state": "refused", "reason": reason, "failure": {"kind": kind, "message": reason}}
    return codec.encode({**ENDED, **outcome}).decode()
