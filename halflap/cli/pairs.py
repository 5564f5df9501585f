"""The pairs of an instance in a terminal: which record here is which there, and forgetting one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby

import click

from halflap.api.view import InstanceView, ListPage, PairView
from halflap.cli.client import Client, read
from halflap.cli.output import Output
from halflap.cli.reach import sure
from halflap.errors import Conflict, NotFound

MOST = 1_000
"""The most pairs that the API returns at once."""


Wanted = Mapping[str, str | None]
"""The selected pairs, as the API's query has them: the name `pairs`, a record's `id`, its `side`."""


async def show_pairs(
    api: Client, output: Output, instance: InstanceView, wanted: Wanted, limit: int
) -> None:
    """Show an instance's pairs, a table for each of their names."""
    found: list[PairView] = []
    more: str | None = None
    async for page in asked(api, instance, wanted, limit):
        found += page.items
        more = page.next
    if output.json:
        output.emit_all(found)
        return
    if not found:
        id = wanted["id"]
        output.note((f"{id} is paired with nothing" if id else "no pairs yet", "dim"))
    for at, (name, rows) in enumerate(groupby(found, key=lambda each: each.pairs)):
        output.line((f"\n{name}" if at else str(name), "bold"))
        tell(output, list(rows))
    if more is not None:
        output.note((f"these are the first {len(found)}; more with --limit", "dim"))


async def forget_pair(
    api: Client, output: Output, instance: InstanceView, wanted: Wanted, *, yes: bool
) -> None:
    """Forget one pair, after asking."""
    if (id := wanted["id"]) is None:
        raise click.UsageError("say which pair: --id, with the id of one of its records")
    found = [each async for page in asked(api, instance, wanted, MOST) for each in page.items]
    if not found:
        raise NotFound(f"{id} is paired with nothing, so there is no pair to forget")
    if len(found) > 1:
        several = "; ".join(f"{each.pairs}: {records(each)}" for each in found)
        raise Conflict(
            f"{id} is in several pairs: {several}; name one, with --of or --side", key=id
        )
    [pair] = found
    sure(
        yes,
        f"Forget the pair of {pair.pairs}: {records(pair)}? Both records stay as they are; the "
        "next event of either finds no pair.",
    )
    side = next(each for each, its in pair.ids.items() if its == id)
    at = ("instances", instance.id, "pairs", pair.pairs)
    gone = read(PairView, await api.delete(*at, id=id, side=side))
    told = f"forgot the pair of {gone.pairs}: {records(gone)}"
    output.answer({"forgot": gone.model_dump()}, told)


def asked(
    api: Client, instance: InstanceView, wanted: Wanted, limit: int
) -> AsyncIterator[ListPage[PairView]]:
    """Return the pages of what is wanted."""
    at = ("instances", instance.id, "pairs")
    return api.pages(ListPage[PairView], *at, limit=limit, most=MOST, place="after", **wanted)


def tell(output: Output, rows: Sequence[PairView]) -> None:
    """The pairs of one name: a column for each side."""
    sides = list(dict.fromkeys(side for each in rows for side in each.ids))
    columns = [f"{side}!" for side in sides]
    output.table(columns, [[each.ids.get(side, "") for side in sides] for each in rows], "")


def records(pair: PairView) -> str:
    """A pair's records: `salesforce 001 and acme acc_1`."""
    return " and ".join(f"{side} {id}" for side, id in pair.ids.items())
