"""The development instance in a run of a draft: its config, its connections, the way to its apps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from halflap.engine.builder import validated
from halflap.engine.executor import Work
from halflap.engine.facts import StoredAccount
from halflap.engine.gate import AccountGate, limits_of
from halflap.engine.throttle import LocalKeeper, Throttles
from halflap.engine.twoway import ask
from halflap.errors import StepFailed
from halflap.lowcode.frame import error_of
from halflap.model import wall_clock
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection, Link
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.gate import Blocked, Judgement
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.redact import Redactor
from halflap.sdk.schema import Config
from halflap.sdk.secret import put_together, secrets_of
from halflap.testing.instance import TestInstance


class DevelopmentInstance(TestInstance):
    """An integration's development instance; what its flows call is called.

    given: its `values` and opened `accounts`, and who it is. own: values of the config for this run.
    """

    def __init__(
        self,
        integration: Integration[Any],
        given: Mapping[str, Any],
        own: Mapping[str, Any],
        *,
        shared: bool,
    ) -> None:
        self._egress = Egress(Policy(allow=tuple(given["allow"])))
        throttles = Throttles(LocalKeeper(wall_clock), wall_clock)
        kinds = integration.connections()
        values = {**given["values"], **own}
        values = {
            name: each for name, each in values.items() if name in integration.config.model_fields
        }
        for name, kind in kinds.items():
            account = msgspec.convert(given["accounts"][name], StoredAccount)
            values[name] = self._opened(kind, account, name, throttles)
        connections: list[Connection] = [values[name] for name in kinds]
        found = [secret for each in connections for secret in secrets_of(each)]
        self._redactor = Redactor([*found, *given["secrets"].values()])
        config: Config | None = None if shared else validated(integration, values)
        super().__init__(
            integration,
            config,
            CustomerInfo(**given["customer"]),
            given["urls"],
            None,
            instance=InstanceInfo(**given["instance"]),
            secrets=given["secrets"],
        )

    def _opened(
        self, kind: type[Connection], account: StoredAccount, name: str, throttles: Throttles
    ) -> Connection:
        found, stored = put_together(kind, account.stored.fields, account.secrets), account.stored
        throttle = throttles.of(stored.id)
        throttle.name, throttle.limits = stored.name, limits_of(kind, stored.limits)
        found._link = Link(
            name, stored.id, self._egress, gate=AccountGate(stored, throttle, refused)
        )
        return found

    def _work(self, flow: Flow[Any, Any, Any]) -> Work:
        work = super()._work(flow)
        return replace(work, egress=self._egress, redactor=self._redactor, ask=ask)

    async def close(self) -> None:
        """Close the connections to apps."""
        await self._egress.close()


async def refused() -> Judgement:
    """Return what refused credentials are in a run: a failure of the step."""
    return "fail"


async def called(action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call an action once: what it raises is raised as `StepFailed`, which is not tried again.

    Time passes by itself in a run, so that all tries would be made at once. Where a limit of the
    connection held a request back, it waits.
    """
    while True:
        try:
            return await action.invoke(**arguments)
        except Blocked as blocked:
            await asyncio.sleep(blocked.retry_after.total_seconds() if blocked.retry_after else 1)


def final(error: Exception) -> StepFailed:
    """Return the error of a call as one that is not tried again, with its kind and its status."""
    found = error_of(error)
    status = getattr(error, "status", None)
    return StepFailed(found["message"], error=found["kind"], status=status)
