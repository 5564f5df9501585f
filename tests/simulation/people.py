"""The people of a world: senders, who know nothing of processes, and operators."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from halflap.model import Replay, Start, new_id
from tests.simulation.fleet import Host
from tests.simulation.flows import INSTANCE, expected
from tests.simulation.loop import in_context
from tests.simulation.plan import Delivery
from tests.simulation.trace import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World


class People:
    """Send, cancel, hold, release, say yes, replay."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fleet = world.fleet
        self._truth = world.truth
        self._chance = random.Random(f"people {world.plan.seed}")
        self.acknowledged: list[Delivery] = []
        self._cleared: set[str] = set()
        world.app.on_answer = self._answered

    def begin(self) -> list[asyncio.Task[None]]:
        """All that they will do by themselves."""
        plan = self._world.plan
        todo = [self._send(each, 0.0) for each in plan.deliveries]
        todo += [self._send(each, wait) for each in plan.deliveries for wait in each.again]
        todo += [
            self._approve(each)
            for each in plan.deliveries
            if each.flow == "patient" or (each.flow == "approval" and self._chance.random() < 0.5)
        ]
        todo += [self._cancel() for _ in range(plan.cancels)]
        todo += [self._hold() for _ in range(plan.holds)]
        return [asyncio.create_task(each) for each in todo]

    # Senders --------------------------------------------------------------------------------------

    async def _send(self, delivery: Delivery, wait: float) -> None:
        """Send until it is acknowledged."""
        chance = self._chance
        await asyncio.sleep(delivery.at + wait)
        for _ in range(40):
            host = self._fleet.any(lambda each: each.gateway is not None)
            if host is not None and await self._request(host, delivery):
                self.acknowledged.append(delivery)
                return
            await asyncio.sleep(chance.choice([0.1, 2.0, 10.0]) * chance.random())

    async def _request(self, host: Host, delivery: Delivery) -> bool:
        loop = self._world.loop
        answered: asyncio.Future[tuple[int, dict[bytes, bytes], bytes]] = loop.create_future()
        head: dict[str, Any] = {}
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/hooks/{delivery.flow}",
            "query_string": b"",
            "headers": [(b"x-delivery", delivery.id.encode())],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": delivery.data}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
                return
            headers = dict(head["headers"])
            self._is_kept(head["status"], headers)
            answer = (head["status"], headers, message["body"])
            loop.call_later(
                0.01 * self._chance.random(),
                lambda: answered.done() or answered.set_result(answer),
                context=self._world.context,
            )

        gateway = host.gateway
        assert gateway is not None
        loop.create_task(gateway(scope, receive, send), context=in_context(host.process))
        try:
            async with asyncio.timeout(20):
                status, headers, body = await answered
        except TimeoutError:
            return False
        self._world.note("sender", f"{delivery.id} {status}")
        if delivery.flow == "asked" and status == 200 and b'"outcome"' not in body:
            self._compare(delivery, body)
        return status < 300 or b"halflap-execution" in headers

    def _compare(self, delivery: Delivery, body: bytes) -> None:
        if json.loads(body) != expected("asked", delivery.data):
            raise Violation("a flow's answer is its own", f"{delivery.id}: {body!r}")

    def _is_kept(self, status: int, headers: dict[bytes, bytes]) -> None:
        ids = headers.get(b"halflap-execution", b"").decode()
        for each in ids.split(",") if ids and status < 300 else ():
            if each not in self._truth.executions:
                violation = Violation("nothing is acknowledged before its commit", each)
                self._world.trace.broken(violation)

    # Operators ------------------------------------------------------------------------------------

    async def _approve(self, delivery: Delivery) -> None:
        """Say yes, once the execution is known: before it asks, or after."""
        chance = self._chance
        await asyncio.sleep(delivery.at + 60 * chance.random())
        names = ("approved",) if delivery.flow == "approval" else ("a", "b")
        for _ in range(100):
            if found := self._truth.started_by(delivery.flow, delivery.body):
                for name in names:
                    await self._say_yes(found[0], name)
                    await asyncio.sleep(5 * chance.random())
                return
            await asyncio.sleep(1.0)

    def _said_yes(self, execution: str) -> bool:
        sql = "SELECT 1 FROM signals WHERE execution = ?"
        return self._world.store.execute(sql, (execution,)).fetchone() is not None

    def _answered(self, name: str) -> None:
        """Some say yes in the moment in which they are about to be asked."""
        for execution, known in self._truth.executions.items():
            if known.start.flow.flow == "approval" and name == f"{known.event['id']}.a":
                wait = 4 * self._world.plan.slowest * self._chance.random()
                saying = self._say_yes(execution, "approved", wait)
                self._world.loop.create_task(saying, context=self._world.context.copy())
                return

    async def _say_yes(self, execution: str, name: str, wait: float = 0.0) -> None:
        await asyncio.sleep(wait)
        await self._fleet.ask_any(lambda engine: engine.signal(execution, name, b'"yes"'))

    async def _cancel(self) -> None:
        await asyncio.sleep(30 * self._chance.random())
        names = list(self._truth.executions)
        host = self._fleet.any(lambda each: each.engine is not None)
        if names and host is not None:
            name = self._chance.choice(names)
            await self._fleet.ask(host, lambda engine: engine.cancel(name, "not wanted"))

    async def _hold(self) -> None:
        await asyncio.sleep(10 * self._chance.random())
        host = self._fleet.any(lambda each: each.engine is not None)
        if host is not None:
            self._world.note(host.process.name, "holds the instance", "holds")
            await self._fleet.ask(host, lambda engine: engine.journal.hold(INSTANCE))
        await asyncio.sleep(20 * self._chance.random())
        await self.release()

    async def release(self) -> None:
        """Let the instance's executions run."""
        await self._fleet.ask_any(lambda engine: engine.release(INSTANCE))
        self._world.note("world", "the instance is released")

    async def clear_letters(self) -> None:
        """Replay what failed with another event and the steps that it did; dismiss what blocks."""
        for name, known in list(self._truth.executions.items()):
            if known.start.flow.flow == "approval" and not self._said_yes(name):
                await self._say_yes(name, "approved")  # whoever was to may have given up
            if known.outcome is None or known.outcome.state != "failed" or name in self._cleared:
                continue
            self._cleared.add(name)
            if known.start.flow.flow == "hopeless":
                start = self._replay_of(name)
                await self._fleet.ask_any(lambda engine, start=start: engine.start([start]))
            elif known.start.flow.flow == "strict":
                await self._fleet.ask_any(lambda engine, name=name: engine.dismiss(name))

    def _replay_of(self, name: str) -> Start:
        known, chance = self._truth.executions[name], self._chance
        event = json.loads(known.start.event.body)
        edited = {"id": chance.choice([event["id"], f"{event['id']}-again"]), "how": "?"}
        records = sorted(known.records.values(), key=lambda each: each.seq)
        id = new_id("exe", now=self._world.clock(), chance=chance.getrandbits(74))
        return Start(
            id,
            known.start.flow,
            replace(known.start.event, body=json.dumps(edited).encode()),
            root=id,
            replay_of=name,
            copied=tuple(each for each in records if each.status == "succeeded"),
            replay=Replay("failed", edited=True),
        )
