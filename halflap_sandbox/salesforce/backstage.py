"""The backstage, `/sandbox`: make orgs, ask for faults, edit as a person does, see what was done.

No real Salesforce has this; it needs no session. An org is named by its id or its name.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from halflap_sandbox import answer
from halflap_sandbox.salesforce import automation, entities, event_bus, records
from halflap_sandbox.salesforce import call as api
from halflap_sandbox.salesforce.call import Call, Route
from halflap_sandbox.salesforce.model import (
    ConnectedApp,
    Json,
    Org,
    OutboundMessage,
    Value,
    full_id,
)
from halflap_sandbox.salesforce.sender import Sender

PAGE = Path(__file__).parent / "page.js"
SHOWN = 10
"""The number of records of each kind that the page shows."""

Text = Annotated[str, Field(min_length=1, max_length=255)]


class NewOrg(BaseModel):
    """An org to create; what is left out is as `halflap sandbox salesforce` prints it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 -]{0,39}$")]
    production: bool = True
    username: Text | None = None
    password: Text | None = None
    client_id: Text | None = None
    client_secret: Text | None = None
    redirect_uris: list[str] | None = None
    certificate: str | None = None
    denied: list[Literal["Flow", "WorkflowRule", "WorkflowOutboundMessage"]] = []
    rotates: bool = False
    requires_pkce: bool = False


class Edit(BaseModel):
    """A person's edit of a record: `id` is of the record to update or delete."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["create", "update", "delete"]
    object: Text
    id: Text | None = None
    values: dict[str, Any] = {}


class BusEdit(BaseModel):
    """An edit of the event bus. A `payload` (Base64) is published as it is, under the topic's schema."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["publish", "expire", "cut"] = "publish"
    topic: str = ""
    values: dict[str, Any] = {}
    payload: str | None = None


def account(call: Call, sender: Sender) -> Any:
    """Tell what a connection to the first org is made of."""
    org = _org_json(answer.first(call.world.orgs.values()))
    auth = {"kind": "client_credentials"} | {n: org[n] for n in ("client_id", "client_secret")}
    url = str(call.request.base_url).rstrip("/")
    return answer.account_of("salesforce", org["name"], login_url=url, auth=auth)


def list_orgs(call: Call, sender: Sender) -> Any:
    """List the orgs."""
    return [_org_json(each) for each in call.world.orgs.values()]


def create_org(call: Call, sender: Sender) -> Response:
    """Create an org with a user and a connected app."""
    new = answer.parse(call.request, call.body, NewOrg)
    slug = _slug(new.name)
    username = new.username or f"admin@{slug}.example"
    taken = [
        *(["name"] if any(_slug(each.name) == slug for each in call.world.orgs.values()) else []),
        *(["username"] if call.world.user(username) else []),
        *(["client_id"] if call.world.app(new.client_id or f"halflap-{slug}") else []),
    ]
    if taken:
        raise answer.Refused(
            409,
            "taken",
            f"Another org has this {taken[0]}; choose another.",
            fields=dict.fromkeys(taken, "is taken"),
        )
    org = entities.new_org(
        call.world,
        new.name,
        production=new.production,
        clock=call.settings.clock,
        certificate=new.certificate,
    )
    _adjust(org, new)
    automation.install(org, sender)
    return api.answer(_org_json(org), 201)


def delete_org(call: Call, sender: Sender) -> None:
    """Delete an org, its data, its sessions and what it was to send."""
    org = _org(call, call.path["org"])
    del call.world.orgs[org.id]
    for token in [each.token for each in call.world.sessions.values() if each.org is org]:
        del call.world.sessions[token]
    sender.forget(org)
    sender.faults.clear(org.id)


def edit_record(call: Call, sender: Sender) -> Any:
    """Create, update or delete a record as a person does."""
    org, edit = _org(call, call.path["org"]), answer.parse(call.request, call.body, Edit)
    user = next(iter(org.users.values()))
    if edit.action != "create" and edit.id is None:
        raise answer.invalid({"id": "says which record"})
    mark = automation.hand.set("person")
    try:
        match edit.action:
            case "create":
                id = records.create(org, user, edit.object, edit.values)
            case "update":
                id = cast(str, full_id(cast(str, edit.id)) or edit.id)
                records.update(org, user, edit.object, id, edit.values)
            case "delete":
                records.delete(org, user, edit.object, cast(str, edit.id))
                return None
    finally:
        automation.hand.reset(mark)
    return org.tables[records.entity(org, edit.object).name][id]


def events(call: Call, sender: Sender) -> Any:
    """Publish an event, forget all events as time does, or cut all streams."""
    org, given = _org(call, call.path["org"]), answer.parse(call.request, call.body, BusEdit)
    match given.action:
        case "expire":
            org.bus.expire()
        case "cut":
            org.bus.cut()
        case "publish" if given.payload is not None:
            org.declare_topics()
            schema = org.bus.topics.get(given.topic, "")
            org.bus.publish(given.topic, b64decode(given.payload), schema)
        case "publish":
            event_bus.publish_platform_event(org, given.topic, given.values)


def pubsub_address(call: Call, sender: Sender) -> Any:
    """Tell where the Pub/Sub API is; null where it is not."""
    return {"url": call.request.app.state.pubsub_url}


def effects(call: Call, sender: Sender) -> Any:
    """List every write of a record: of which, by whom, and the fields that it changed."""
    query = call.request.query_params
    org, object, record = _asked_for(call), query.get("object"), query.get("record")
    whole = full_id(record) if record else None
    return [
        {name: getattr(each, name) for name in each.__slots__}
        for each in org.effects
        if object in (None, each.object) and (record is None or each.id == whole)
    ]


def deliveries(call: Call, sender: Sender) -> Any:
    """List the tries to deliver outbound messages."""
    return [each.json() for each in sender.deliveries(_asked_for(call))]


def dead_letters(call: Call, sender: Sender) -> Any:
    """List the expired notifications of the messages that have a dead-letter queue."""
    return [each.json() for each in sender.dead_letters(_asked_for(call))]


def pending(call: Call, sender: Sender) -> Any:
    """Count the notifications that are to be sent yet, in all and by message."""
    org = _asked_for(call)
    by = {each.full_name: sender.pending(org, each) for each in org.outbound_messages.values()}
    return {"pending": sender.pending(org), "messages": by}


def set_faults(call: Call, sender: Sender) -> Any:
    """Turn faults on, in the place of the former ones, for one org or for all."""
    faults = answer.parse(call.request, call.body, sender.faults.shape)
    if faults.part is not None:
        faults = faults.model_copy(update={"part": _org(call, faults.part).id})
    sender.faults.set(faults)
    return sender.faults.json()


def list_faults(call: Call, sender: Sender) -> Any:
    """List the active faults."""
    return sender.faults.json()


def clear_faults(call: Call, sender: Sender) -> None:
    """Turn faults off: one org's own, or all."""
    org = call.request.query_params.get("org")
    sender.faults.clear(None if org is None else _org(call, org).id)


def overview(call: Call, sender: Sender) -> Any:
    """Give what the page shows: all orgs, and one of them in detail."""
    orgs = call.world.orgs
    shown = _find(call, call.request.query_params.get("org", "")) or next(iter(orgs.values()), None)
    return {
        "orgs": [_org_json(each) for each in orgs.values()],
        "shown": _detail(shown, sender) if shown else None,
    }


def _detail(org: Org, sender: Sender) -> Json:
    plan, sent = sender.faults.of(org.id), sender.deliveries(org)
    kinds = {"accounts": "Account", "opportunities": "Opportunity", "contacts": "Contact"}
    found = {name: _rows(org, object) for name, object in kinds.items()}
    lists: dict[str, list[Json]] = {
        **found,
        "messages": [
            _message_json(each, sender.pending(org, each))
            for each in reversed(org.outbound_messages.values())
        ],
        "flows": _automation(org),
        "deliveries": [
            each.json()
            | {"notifications": len(each.notifications)}
            | {"key": f"{each.at} {each.notifications[0].id}"}
            for each in reversed(sent)
        ],
    }
    stage = org.entities["Opportunity"].fields["StageName"]
    return {
        **_org_json(org),
        "pending": sender.pending(org),
        "faults": plan.json() if plan.active else None,
        "stages": list(stage.picklist),
        "counts": {name: len(rows) for name, rows in lists.items()},
        **{name: rows[:SHOWN] for name, rows in lists.items()},
    }


def _rows(org: Org, object: str) -> list[Json]:
    names = ("Name", "StageName", "Amount", "LastName", "Email")
    return [
        {"id": record["Id"], **{name: _shown(record[name]) for name in names if name in record}}
        for record in reversed(org.tables[object].values())
        if not record["IsDeleted"]
    ]


def _shown(value: Value) -> Value:
    # A browser reads a number as a double: the page gets the digits instead.
    return f"{value:f}" if isinstance(value, Decimal) else value


def _automation(org: Org) -> list[Json]:
    found = [
        {
            "id": flow.id,
            "name": flow.name,
            "on": f"{version.trigger.object} · {version.trigger.recording}"
            if version.trigger
            else "",
            "status": version.status,
        }
        for flow in org.flows.values()
        if (version := flow.active or flow.latest)
    ]
    return found + [
        {
            "id": rule.id,
            "name": rule.full_name,
            "on": rule.trigger_type,
            "status": "Active" if rule.active else "Inactive",
        }
        for rule in org.rules.values()
    ]


def _message_json(of: OutboundMessage, pending: int) -> Json:
    return {
        "id": of.id,
        "name": of.full_name,
        "url": of.endpoint_url,
        "fields": list(of.fields),
        "pending": pending,
    }


def _org_json(org: Org) -> Json:
    user, app = next(iter(org.users.values()), None), next(iter(org.apps.values()), None)
    return {
        "id": org.id,
        "name": org.name,
        "production": org.production,
        "username": user.username if user else None,
        "password": user.password if user else None,
        "security_token": user.security_token if user else None,
        "client_id": app.client_id if app else None,
        "client_secret": app.client_secret if app else None,
    }


def _adjust(org: Org, new: NewOrg) -> None:
    org.denied = frozenset(new.denied)
    user = next(iter(org.users.values()))
    changed = replace(
        user, username=new.username or user.username, password=new.password or user.password
    )
    org.users[user.id] = changed
    org.tables["User"][user.id]["Username"] = changed.username
    (app,) = org.apps.values()
    org.apps.clear()
    own = ConnectedApp(
        client_id=new.client_id or app.client_id,
        client_secret=new.client_secret or app.client_secret,
        redirect_uris=app.redirect_uris if new.redirect_uris is None else tuple(new.redirect_uris),
        certificate=app.certificate,
        run_as=changed.username,
        rotates=new.rotates,
        requires_pkce=new.requires_pkce,
    )
    org.apps[own.client_id] = own


def _slug(name: str) -> str:
    return re.sub(r" ", "-", name.lower())


def _find(call: Call, name: str) -> Org | None:
    orgs = call.world.orgs
    found = orgs.get(full_id(name) or "")
    return found or next((each for each in orgs.values() if each.name == name), None)


def _org(call: Call, name: str) -> Org:
    found = _find(call, name)
    if found is None:
        raise answer.not_found("org", name)
    return found


def _asked_for(call: Call) -> Org:
    return _org(call, call.request.query_params.get("org", ""))


def _route(method: str, path: str, work: Callable[[Call, Sender], Any]) -> Route:
    async def handler(call: Call) -> Response:
        try:
            done = work(call, cast(Sender, call.request.app.state.sender))
        except answer.Refused as refused:
            return refused.answer.response()
        except api.Refused as refused:
            fields = dict.fromkeys(refused.fields or (), refused.message)
            said = answer.Refused(refused.status, refused.code, refused.message, fields=fields)
            return said.answer.response()
        if isinstance(done, Response):
            return done
        return api.done() if done is None else api.answer(done)

    return method, f"/sandbox{path}", handler


ROUTES: tuple[Route, ...] = (
    _route("GET", "/account", account),
    _route("GET", "/orgs", list_orgs),
    _route("POST", "/orgs", create_org),
    _route("DELETE", "/orgs/{org}", delete_org),
    _route("POST", "/orgs/{org}/records", edit_record),
    _route("POST", "/orgs/{org}/events", events),
    _route("GET", "/pubsub", pubsub_address),
    _route("GET", "/effects", effects),
    _route("GET", "/deliveries", deliveries),
    _route("GET", "/dead-letters", dead_letters),
    _route("GET", "/pending", pending),
    _route("GET", "/faults", list_faults),
    _route("POST", "/faults", set_faults),
    _route("DELETE", "/faults", clear_faults),
    _route("GET", "/overview", overview),
)
