"""Preset data of a test that lasts between executions: state of each scope, and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halflap.errors import DefinitionError
from halflap.model import StateWrite
from halflap.sdk import codec
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.pairs import Pairs, pairs_scope
from halflap.sdk.record import Seal, encode_value
from halflap.store.protocol import Journal
from halflap.testing.instance import CUSTOMER, INSTANCE

Held = Mapping[tuple[str, str], bytes]
"""By scope and key."""

SHARED = ("instance", "integration")


def scopes_of(flow: Flow[Any, Any, Any], integration: Integration[Any]) -> dict[str, str]:
    """Where a flow's `ctx.state` is kept, and the state that it shares."""
    home = CUSTOMER.id if flow.is_shared else INSTANCE
    return {
        "flow": f"flow:{home}:{flow.name}",
        "instance": f"instance:{home}",
        "integration": f"integration:{integration.name}",
    }


def held(
    scopes: Mapping[str, str],
    state: Mapping[str, Any],
    shared: Mapping[str, Mapping[str, Any]],
    paired: Mapping[Pairs, Sequence[Mapping[str, str]]],
    seal: Seal,
) -> dict[tuple[str, str], bytes]:
    """Return the data that a flow finds, as it is stored."""
    if unknown := set(shared) - set(SHARED):
        raise DefinitionError(
            f"shared={{{min(unknown)!r}: …}}: state is shared by an `instance` or an `integration`"
        )
    return {
        (scopes[scope], key): encode_value(value, None, seal)
        for scope, values in {"flow": state, **shared}.items()
        for key, value in values.items()
    } | {
        (pairs_scope(INSTANCE, pairs), pairs.record(side, id).name): pairs.encoded(ids)
        for pairs, many in paired.items()
        for ids in many
        for side, id in pairs.ids(ids).items()
    }


async def keep(journal: Journal, values: Held) -> None:
    """Write what is kept into the state."""
    if values:
        await journal.write_state([StateWrite(*where, value) for where, value in values.items()])


async def state_in(journal: Journal, scope: str) -> dict[str, Any]:
    """The state of a scope."""
    return {key: codec.decode(each) for key, each in (await journal.list_state(scope)).items()}


async def pairs_in(
    journal: Journal, integration: Integration[Any]
) -> dict[str, list[dict[str, str]]]:
    """The pairs by their name, each once, in the order of their ids."""
    return {
        name: sorted(
            map(
                codec.decode,
                set((await journal.list_state(pairs_scope(INSTANCE, pairs))).values()),
            ),
            key=lambda ids: list(ids.values()),
        )
        for name, pairs in integration.paired.items()
    }
