"""People edit in two apps at once, while both apps and the server fail: the apps end equal."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Note
from tests.faults import checker
from tests.faults.office import Office, open_office
from tests.faults.process import ServerProcess, server_on
from tests.faults.two_way_server import DISCOUNT
from tests.faults.verdict import SEED
from tests.polling import until

SCRIPT = Path(__file__).parent / "two_way_server.py"
ROOM = 32
BACKLOG = 200
"""People rest while so many executions have not ended."""
PATIENCE = 300.0
WRITES = 1.05
"""At most so many writes of ours for an edit of somebody's, what a crash or a lost answer repeats too."""
IDLE = 0.1
"""At most so many writes for an edit that change nothing: repeats, and edits that the app tidies away."""
DELIVERY = re.compile(r"\b(?:04l\w{15}|msg_\w+)")


async def edited(office: Office, server: ServerProcess, edits: int, kills: int) -> None:
    """People edit in bursts, so often; meanwhile the server is killed and started again."""
    chance = random.Random(f"kills {SEED}")
    moments = [edits * (each + 1) // (kills + 1) for each in range(kills)]

    done = 0

    def has_worked() -> bool:
        store = server.directory
        return checker.ended(store) > done or not checker.live(store, None)

    async def kill() -> None:
        nonlocal done
        for moment in moments:
            await until(lambda: office.edits >= moment, PATIENCE)  # noqa: B023
            # A machine that is busy elsewhere would else only start servers.
            await until(has_worked, PATIENCE)
            await asyncio.sleep(chance.uniform(0, 0.5))
            await server.kill()
            done = checker.ended(server.directory) + ROOM
            await server.start()

    killing = asyncio.create_task(kill())
    while office.edits < edits:
        await until(lambda: checker.live(server.directory, None) < BACKLOG, PATIENCE)
        burst = min(office.chance.randint(1, 20), edits - office.edits)
        await asyncio.gather(*(office.edit() for _ in range(burst)))
        await asyncio.sleep(office.chance.uniform(0, 0.4))
    await killing


async def settled(office: Office, server: ServerProcess, within: float) -> None:
    """Wait until nobody has anything to tell or to do any more."""
    before: Any = None

    def quiet() -> bool:
        nonlocal before
        if checker.live(server.directory, None) or office.pending():
            before = None
            return False
        last, before = before, checker.outcomes(server.directory)
        return before == last

    await until(quiet, within, lambda: checker.outcomes(server.directory))


@asynccontextmanager
async def served(
    tmp_path: Path, *flags: str, records: int
) -> AsyncGenerator[tuple[Office, ServerProcess]]:
    """Both apps on a bad day, and the server that keeps them equal."""
    print(f"seed {SEED}")
    directory, apps = tmp_path / "store", tmp_path / "apps.json"
    async with open_office(SEED, records) as office:
        apps.write_text(json.dumps(office.apps))
        options = ("--room", str(ROOM), "--apps", str(apps), *flags)
        async with server_on(directory, "", *options, script=SCRIPT) as server:
            await office.go_wrong(SEED)
            yield office, server


async def storm(
    tmp_path: Path, *, edits: int, kills: int, records: int, within: float
) -> tuple[Office, ServerProcess]:
    """A storm, until it has settled; what spent all its tries is replayed then, as support would."""
    async with served(tmp_path, records=records) as (office, server):
        await edited(office, server, edits, kills)
        await office.go_well()
        await settled(office, server, within)
        for execution, failure in checker.dead_letters(server.directory):
            assert '"status":503' in failure or "may have been carried out" in failure, failure
            token = (server.directory / "token").read_text().strip()
            url = f"http://127.0.0.1:{server.port}/api/executions/{execution}/replay"
            await office.ask("POST", url, {}, {"Authorization": f"Bearer {token}"})
        await settled(office, server, within)
        assert await server.stop() == 0
    return office, server


def differences(office: Office, directory: Path) -> list[str]:
    """Return the records that one app has and the other has not."""
    found: list[str] = []
    apps = (
        ("accounts", "Account", office.workspace.accounts, account),
        ("opportunities", "Opportunity", office.workspace.opportunities, opportunity),
        ("contacts", "Contact", office.workspace.contacts, contact),
    )
    for name, object, table, shown in apps:
        pairs = {each["salesforce"]: each["acme"] for each in checker.pairs(directory, name)}
        here, there = office.org.tables[object], {each.id: each for each in table}
        if here.keys() != pairs.keys() or sorted(there) != sorted(pairs.values()):
            found.append(f"{name}: {len(here)} there, {len(there)} here, {len(pairs)} pairs")
        for mine, theirs in pairs.items():
            if mine in here and theirs in there:
                one, other = shown(here[mine], there[theirs])
                if one != other:
                    found.append(f"{name} {mine} {theirs}: {one} is not {other}")
    return found


def account(mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Return what both apps know of an account."""
    return mine["Name"], theirs.name


def opportunity(mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Return what both apps know of an opportunity."""
    return (mine["Name"], mine["StageName"]), (theirs.name, theirs.stage)


def contact(mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Return what both apps know of a contact, as Acme keeps it."""
    name = " ".join(f"{mine['FirstName'] or ''} {mine['LastName']}".split())
    return (name, (mine["Email"] or "").lower()), (theirs.name, theirs.email or "")


def miscounted(office: Office) -> list[str]:
    """The opportunities whose amount is neither what it comes to nor what somebody wrote since."""
    found: list[str] = []
    rate = 1 - Decimal(str(DISCOUNT)) / 100
    for each in office.workspace.opportunities:
        mine = office.org.tables["Opportunity"][each.external_id or ""]
        due = round(each.seats * each.price * rate, 2)
        allowed = [due, office.amounts.get(each.external_id or "", due)]
        if mine["Amount"] not in allowed and (due or mine["Amount"] is not None):
            found.append(f"{mine['Id']} {each.id}: {mine['Amount']} is none of {allowed}")
    return found


def lost(office: Office, directory: Path) -> list[str]:
    """The events that were acknowledged and have no execution."""
    kept: set[str] = set()
    for headers, body in checker.arrived(directory):
        kept |= {*DELIVERY.findall(headers), *DELIVERY.findall(body)}
    return sorted(office.delivered() - kept)


def check(office: Office, directory: Path) -> None:
    """Both apps equal, nothing lost, nothing failed, and hardly a write too many."""
    assert differences(office, directory) == []
    assert miscounted(office) == []
    assert lost(office, directory) == []
    assert checker.dead_letters(directory) == []
    assert checker.problems(directory) == []
    assert office.writes() <= office.edits * WRITES
    assert len(office.idle()) <= office.edits * IDLE


def figures(office: Office, directory: Path) -> dict[str, Any]:
    """Return the figures that tell how a run went."""
    return {
        "edits": office.edits,
        "writes": office.writes(),
        "repeated": len(office.idle()),
        "acknowledged": len(office.delivered()),
        "lost": len(lost(office, directory)),
        "executions": sum(checker.outcomes(directory).values()),
        "seed": SEED,
    }


async def test_both_apps_end_equal_though_everything_fails(tmp_path: Path, note: Note) -> None:
    office, server = await storm(tmp_path, edits=150, kills=2, records=12, within=120)
    note("two-way", faults=server.kills, **figures(office, server.directory))
    check(office, server.directory)


async def test_a_control_that_knows_no_echo_goes_on_writing(tmp_path: Path, note: Note) -> None:
    async with served(tmp_path, "--forgetful", records=12) as (office, server):
        await edited(office, server, 40, 0)
        await until(lambda: office.writes() > office.edits * WRITES * 2, what=office.writes)
        note("two-way, control", faults=0, **figures(office, server.directory))
        assert len(office.idle()) > office.edits * IDLE


@pytest.mark.soak
async def test_both_apps_end_equal_after_ten_thousand_edits(tmp_path: Path, note: Note) -> None:
    office, server = await storm(tmp_path, edits=10_000, kills=80, records=150, within=600)
    note("two-way, long", faults=server.kills, **figures(office, server.directory))
    check(office, server.directory)
