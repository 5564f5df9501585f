"""The plan that a seed stands for: which store, how many processes, what goes wrong and how often."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Literal

FLOWS = (
    *("straight", "mixed", "sleeper", "fan", "counter", "counter", "approval", "patient"),
    *("hopeless", "parts", "asked", "orders", "orders", "orders"),
)
ORDERED = ("fifos", "fifos", "passing", "narrow", "latest", "single", "strict")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request that a sender makes until it is answered with 2xx."""

    id: str
    flow: str
    at: float
    body: Any
    again: tuple[float, ...]

    @property
    def data(self) -> bytes:
        """The request's body."""
        return json.dumps(self.body).encode()

    @property
    def events(self) -> list[Any]:
        """The events in it."""
        return self.body if self.flow == "parts" else [self.body]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided beforehand."""

    seed: int
    store: Literal["sqlite", "postgresql"]
    workers: int
    gateways: int
    room: int
    fifo: bool
    crashes: int
    stalls: int
    mean_life: int
    refuse: float
    doubt: float
    slowest: float
    jumps: int
    app_slow: float
    app_fails: float
    cancels: int
    holds: int
    drains: int
    outages: int
    probation: bool
    stalls_after_claim: bool
    deliveries: tuple[Delivery, ...]


def plan_of(seed: int) -> Plan:
    """The plan of a seed. One in eight is quiet, so that what is broken without faults is seen so."""
    chance = random.Random(f"plan {seed}")
    some = chance.choice
    quiet = seed % 8 == 0
    postgresql = seed % 2 == 1
    workers = some([1, 2, 2, 3]) if postgresql else 1

    def times(*choices: int) -> int:
        return 0 if quiet else some(choices)

    return Plan(
        seed=seed,
        store="postgresql" if postgresql else "sqlite",
        workers=workers,
        gateways=some([0, 1]) if postgresql else 0,
        room=some([2, 5, 50]),
        fifo=chance.random() < 0.3,
        crashes=times(0, 1, 2, 4),
        stalls=times(0, 0, 1, 2),
        mean_life=some([300, 1000, 3000]),
        refuse=0.0 if quiet else some([0, 0.01, 0.05]),
        doubt=0.0 if quiet else some([0, 0.01, 0.03, 0.1]),
        slowest=some([0.0005, 0.005, 0.05]),
        jumps=times(0, 0, 0, 1, 3),
        app_slow=some([0.01, 0.3, 3.0]),
        app_fails=0.0 if quiet else some([0, 0.1, 0.3]),
        cancels=times(0, 0, 1, 3),
        holds=times(0, 0, 1),
        drains=times(0, 0, 1),
        outages=times(0, 0, 1) if postgresql else 0,
        stalls_after_claim=chance.random() < 0.5,
        probation=(probation := chance.random() < 0.4),
        deliveries=tuple(deliveries(chance, quiet=quiet, poison=probation and not quiet)),
    )


def deliveries(chance: random.Random, *, quiet: bool, poison: bool) -> list[Delivery]:
    """Return what senders send, over half a minute."""
    made: list[Delivery] = []
    rule = chance.choice(ORDERED)
    burst = chance.random() < 0.3
    for number in range(chance.randint(5, 14)):
        flow = chance.choice(FLOWS)
        if flow == "orders":
            flow = rule
        if poison and number == 2:
            flow = "poison"
        at = 0.0 if burst else 20 * chance.random()
        again: tuple[float, ...] = ()
        if not quiet and chance.random() < 0.3:
            again = tuple(chance.choice([0.0, 0.01, 5.0]) for _ in range(chance.randint(1, 3)))
        made.append(Delivery(f"d{number}", flow, at, body_for(flow, f"e{number}", chance), again))
    return made


def body_for(flow: str, id: str, chance: random.Random) -> Any:
    """An event's body."""
    rest = chance.choice([0.5, 20, 90])
    match flow:
        case "sleeper":
            return {"id": id, "rest": rest}
        case "fan":
            items = ["x", "y", "z", "bad!"][: chance.randint(1, 4)]
            return {"id": id, "items": items, "limit": chance.randint(1, 3)}
        case _ if flow in ORDERED:
            event = {"id": id, "key": chance.choice("kkl"), "rest": chance.choice([0, 0, rest])}
            return {**event, "how": "!"} if chance.random() < 0.2 else event
        case "parts":
            return [{"id": f"{id}-{number}"} for number in range(chance.randint(1, 3))]
        case _:
            return {"id": id}
