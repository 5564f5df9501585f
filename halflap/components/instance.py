"""Instance: its life, and its own flows, as triggers. Most integrations need none of them."""

from __future__ import annotations

from typing import Any, Literal

from halflap import Component, InvalidEvent, Model, Request

component = Component(
    "instance",
    title="Instance",
    description="Run a flow when an instance is activated or disabled, or when another flow says so.",
)


class Deployment(Model):
    """Why the flow runs: `activate`, `upgrade`, `redeploy` or `rollback`; `disable` or `remove`."""

    instance: str
    version: str
    reason: Literal["activate", "upgrade", "redeploy", "rollback", "disable", "remove"]
    previous_version: str | None = None
    abandon: bool = False
    """With `abandon`, a subscription that cannot be taken down is left behind, with the reason."""


@component.trigger(title="Deploy Trigger", lifecycle="deploy", methods=())
async def deploy(request: Request) -> Deployment:
    """The instance is activated or upgraded: point the apps at its flows."""
    return read(request)


@component.trigger(title="Tear Down Trigger", lifecycle="teardown", methods=())
async def teardown(request: Request) -> Deployment:
    """The instance is disabled or removed: take down what deploy put up."""
    return read(request)


@component.trigger(methods=())
async def routed(request: Request) -> Any:
    """Another flow of the integration hands an event on, or starts it: it has no URL of its own."""
    return request.json()


def read(request: Request) -> Deployment:
    """The deployment that the engine wrote."""
    try:
        return Deployment.model_validate(request.json())
    except ValueError as error:
        raise InvalidEvent(f"not a deployment: {error}") from error
