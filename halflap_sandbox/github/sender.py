"""Webhooks go out: signed, once, and again only where that is asked for, as GitHub does."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from uuid import uuid4

from halflap_sandbox.answer import dump
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.github.model import Delivery, Hook, Json, Repo, World
from halflap_sandbox.poster import Poster


class Sender:
    """Sends events to the webhooks that want them."""

    def __init__(self, world: World, faults: FaultBoard) -> None:
        self._world = world
        self._faults = faults
        self._poster = Poster(world.settings.delivery_timeout)
        self.close = self._poster.close

    def event(self, repo: Repo, name: str, payload: Json, sender: Json | None = None) -> None:
        """Send an event of a repository to its webhooks, its organization's, and the app's."""
        owner, world = repo.owner, self._world
        told = {**payload, "repository": repo.json(), "sender": sender or owner.json()}
        if owner.kind == "Organization":
            told["organization"] = owner.json()
        hooks = [*repo.hooks.values(), *world.org_hooks.get(owner.login, {}).values()]
        for hook in hooks:
            self._send(hook, name, told, owner.login)
        installation = world.installation_of(owner)
        if installation is not None and world.app_hook.url:
            told = {**told, "installation": {"id": installation, "node_id": f"I_{installation}"}}
            self._send(world.app_hook, name, told, owner.login, installation)

    def ping(self, hook: Hook, account: str) -> None:
        """Ping a webhook that was just made."""
        payload = {"zen": "Keep it logically awesome.", "hook_id": hook.id, "hook": hook.json("")}
        self._start(hook, self._delivery("ping", payload), account)

    def redeliver(self, hook: Hook, delivery: Delivery) -> None:
        """Send a delivery again, under the same id."""
        at = self._world.settings.clock()
        again = replace(delivery, id=next(self._world.ids), at=at, status=0, redelivery=True)
        self._start(hook, again, "")

    def _delivery(self, name: str, payload: Json, installation: int | None = None) -> Delivery:
        at = self._world.settings.clock()
        id = next(self._world.ids)
        return Delivery(id, str(uuid4()), name, payload, at, installation=installation)

    def _send(
        self, hook: Hook, name: str, payload: Json, account: str, installation: int | None = None
    ) -> None:
        if hook.active and ("*" in hook.events or name in hook.events):
            self._start(hook, self._delivery(name, payload, installation), account)

    def _start(self, hook: Hook, delivery: Delivery, account: str) -> None:
        plan = self._faults.of(account)
        if plan.drops():
            return
        hook.deliveries.append(delivery)
        for _ in range(2 if plan.doubles() else 1):
            self._poster.start(self._post(hook, delivery), "github webhook")

    async def _post(self, hook: Hook, delivery: Delivery) -> None:
        body = dump(delivery.payload)
        headers = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/sandbox",
            "x-github-event": delivery.event,
            "x-github-delivery": delivery.guid,
            "x-github-hook-id": str(hook.id),
        }
        if hook.secret:
            headers |= {
                f"x-hub-signature{suffix}": f"{name}="
                + hmac.new(hook.secret.encode(), body, how).hexdigest()
                for name, suffix, how in (
                    ("sha1", "", hashlib.sha1),
                    ("sha256", "-256", hashlib.sha256),
                )
            }
        delivery.status = (await self._poster.post(hook.url, body, headers)).status or 502
