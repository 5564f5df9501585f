"""HubSpot: portals with their records and associations, one app with its webhooks.

The API is at the root, `/oauth/authorize` the page on which a portal installs the app, and `/sandbox`
the backstage. Everything is in memory and gone when the server stops.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halflap_sandbox.answer import account_of, dump, first, not_found, parse
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.rest import ApiError, Json, RestApp, Webhooks, choose_account, moment
from halflap_sandbox.server import application, read_body

CLIENT_ID = "hubspot-client"
CLIENT_SECRET = "hubspot-client-secret"  # noqa: S105
APP_ID = 77
SINGULAR = {"contacts": "contact", "companies": "company", "deals": "deal", "tickets": "ticket"}
MOST_FOUND = 10_000
DEFAULTS = {
    "contacts": ("email", "firstname", "lastname"),
    "companies": ("name", "domain"),
    "deals": ("dealname", "amount", "dealstage", "pipeline"),
    "tickets": ("subject", "content", "hs_pipeline_stage"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this HubSpot: its clock, and the waits between the tries of a webhook."""

    clock: Callable[[], float] = time.time
    delivery_timeout: float = 5.0
    waits: tuple[float, ...] = (60.0, 300.0, 1800.0)
    gathers: float = 0.05
    """Seconds for which changes are gathered into one request."""


@dataclass(slots=True)
class Portal:
    """A portal: its records by type and id, and which of them are associated."""

    id: int
    name: str
    records: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    associations: set[tuple[str, str, str, str]] = field(
        default_factory=set[tuple[str, str, str, str]]
    )

    def of(self, kind: str) -> dict[str, Json]:
        """Return the records of a type."""
        return self.records.setdefault(kind, {})


class NewPortal(BaseModel):
    """A portal that is to be added."""

    name: str


class AppUrl(BaseModel):
    """Where the app's webhooks go."""

    url: str


class World:
    """All portals, and the app."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.portals: dict[str, Portal] = {}
        self.tokens: dict[str, Portal] = {}
        self.refreshes: dict[str, Portal] = {}
        self.codes: dict[str, tuple[Portal, str]] = {}
        self.url = ""
        self.ids = count(101)

    def add(self, name: str) -> Portal:
        """Add a portal, with a private app's token `pat-<name>`."""
        made = Portal(next(self.ids), name)
        self.portals[str(made.id)] = self.tokens[f"pat-{name}"] = made
        return made


class HubSpot:
    """The routes."""

    def __init__(self, world: World, rest: RestApp, webhooks: Webhooks) -> None:
        self.world, self.rest, self.webhooks = world, rest, webhooks
        self._changes: list[Json] = []

    def route(self, path: str, method: str, work: Callable[[Portal, Json, Json], Any]) -> Route:
        """Make a route of the API: `work` gets the portal, the places in the path, and what was given."""

        async def answer(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            portal = self.world.tokens.get(token) if scheme == "Bearer" else None
            if portal is None:
                return self.rest.refused(401, "Authentication credentials not found.")
            places = {**request.path_params, "base": str(request.base_url).rstrip("/")}

            def done(given: Json) -> tuple[int, Any]:
                found = work(portal, places, given)
                if found is None:
                    return 204, None
                return cast("tuple[int, Any]", found) if isinstance(found, tuple) else (200, found)

            return await self.rest.answer(request, str(portal.id), done)

        return Route(path, answer, methods=[method])

    # Records ----------------------------------------------------------------------------------

    def details(self, portal: Portal, _: Json, __: Json) -> Json:
        """Tell whose token it is."""
        return {"portalId": portal.id, "accountType": "DEVELOPER_TEST", "timeZone": "UTC"}

    def list_records(self, portal: Portal, places: Json, given: Json) -> Json:
        """List records, a page at a time."""
        found = list(portal.of(places["kind"]).values())
        limit, begin = int(given.get("limit", 10)), int(given.get("after") or 0)
        path = f"{places['base']}/crm/v3/objects/{places['kind']}"
        names = wanted(places["kind"], given)
        page = [shown(each, names) for each in found[begin : begin + limit]]
        after = begin + limit if begin + limit < len(found) else None
        query = {name: value for name, value in given.items() if name != "after"}
        link = f"{path}?{urlencode({**query, 'after': after})}"
        return {"results": page, **paging(after, link)}

    def create(self, portal: Portal, places: Json, given: Json) -> tuple[int, Json]:
        """Create a record."""
        made = self._save(portal, places["kind"], None, given["properties"])
        return 201, shown(made, list(given["properties"]))

    def get(self, portal: Portal, places: Json, given: Json) -> Json:
        """Get a record, by its id or a unique property."""
        kind = places["kind"]
        found = self._find(portal, kind, places["id"], given.get("idProperty"))
        if found is None:
            raise ApiError(404, "resource not found")
        return shown(found, wanted(kind, given))

    def update(self, portal: Portal, places: Json, given: Json) -> Json:
        """Change a record."""
        found = self._find(portal, places["kind"], places["id"], given.get("idProperty"))
        if found is None:
            raise ApiError(404, "resource not found")
        made = self._save(portal, places["kind"], found, given["properties"])
        return shown(made, list(given["properties"]))

    def archive(self, portal: Portal, places: Json, _: Json) -> None:
        """Archive a record; one that is gone is fine."""
        kind = places["kind"]
        if portal.of(kind).pop(places["id"], None) is not None:
            self._tell(portal, kind, "deletion", places["id"])

    def batch(self, portal: Portal, places: Json, given: Json) -> tuple[int, Json]:
        """Read, create, change or upsert up to a hundred records."""
        kind, verb, inputs = places["kind"], places["verb"], given["inputs"]
        if len(inputs) > 100:
            raise ApiError(400, "Batch size must be less than or equal to 100")
        results: list[Json] = []
        missing: list[str] = []
        for each in inputs:
            by = each.get("idProperty") or given.get("idProperty")
            found = None if verb == "create" else self._find(portal, kind, str(each["id"]), by)
            if verb == "read":
                names = given.get("properties") or DEFAULTS.get(kind, ())
                results += [shown(found, names)] if found else []
            elif found is None and verb == "update":
                missing.append(str(each["id"]))
                continue
            else:
                properties = each["properties"]
                extra = {by: each["id"]} if verb == "upsert" and by and found is None else {}
                made = self._save(portal, kind, found, {**extra, **properties})
                results.append({**shown(made, list(properties)), "new": found is None})
            missing += [str(each["id"])] if found is None and verb == "read" else []
        answer: Json = {"status": "COMPLETE", "results": results}
        if missing:
            context = {"ids": missing}
            why = f"Could not get some {kind}, they may be deleted or not exist."
            error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": why}
            answer |= {"numErrors": 1, "errors": [{**error, "context": context}]}
        return (207 if missing else 201 if verb == "create" else 200), answer

    def search(self, portal: Portal, places: Json, given: Json) -> Json:
        """Search records: all filters of a group hold, and all of one group."""
        kind = places["kind"]
        groups: list[Json] = given.get("filterGroups") or [{"filters": []}]
        found = [
            each
            for each in portal.of(kind).values()
            if any(all(holds(each, one) for one in group["filters"]) for group in groups)
        ]
        for sort in reversed(given.get("sorts") or []):
            name = sort["propertyName"]
            found.sort(
                key=lambda each: value_of(each, name) or "",
                reverse=sort.get("direction") == "DESCENDING",
            )
        limit, begin = int(given.get("limit", 10)), int(given.get("after") or 0)
        if begin + limit > MOST_FOUND:
            raise ApiError(400, "The paging of search ends at 10000 records")
        names = given.get("properties") or DEFAULTS.get(kind, ())
        after = begin + limit if begin + limit < len(found) else None
        page = [shown(each, names) for each in found[begin : begin + limit]]
        return {"total": len(found), "results": page, **paging(after)}

    def properties(self, _: Portal, places: Json, __: Json) -> Json:
        """List the properties of a type."""
        names = DEFAULTS.get(places["kind"], ())
        plain = [
            {"name": each, "label": each.capitalize(), "type": "string", "fieldType": "text"}
            for each in names
        ]
        told = {"name": "createdate", "label": "Created", "type": "datetime", "fieldType": "date"}
        return {"results": [*plain, {**told, "modificationMetadata": {"readOnlyValue": True}}]}

    def schemas(self, _: Portal, __: Json, ___: Json) -> Json:
        """List the types that the portal has defined: none."""
        return {"results": list[Json]()}

    # Associations -----------------------------------------------------------------------------

    def associated(self, portal: Portal, places: Json, given: Json) -> Json:
        """List what a record is associated with."""
        place = places["kind"], places["id"], places["to"]
        found = sorted(each[3] for each in portal.associations if each[:3] == place)
        limit, begin = int(given.get("limit", 500)), int(given.get("after") or 0)
        kinds = [{"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None}]
        page = [
            {"toObjectId": int(each), "associationTypes": kinds}
            for each in found[begin : begin + limit]
        ]
        after = begin + limit if begin + limit < len(found) else None
        path = "/crm/v4/objects/{kind}/{id}/associations/{to}".format(**places)
        return {"results": page, **paging(after, f"{places['base']}{path}?after={after}")}

    def associate(self, portal: Portal, places: Json, _: Json) -> Json:
        """Associate two records, in both directions."""
        self._both(portal, places)
        kind, id, to, to_id = (places[each] for each in ("kind", "id", "to", "to_id"))
        portal.associations |= {(kind, id, to, to_id), (to, to_id, kind, id)}
        return {"status": "COMPLETE", "results": []}

    def dissociate(self, portal: Portal, places: Json, _: Json) -> None:
        """End the associations of two records."""
        kind, id, to, to_id = (places[each] for each in ("kind", "id", "to", "to_id"))
        portal.associations -= {(kind, id, to, to_id), (to, to_id, kind, id)}

    def _both(self, portal: Portal, places: Json) -> None:
        for kind, id in ((places["kind"], places["id"]), (places["to"], places["to_id"])):
            if id not in portal.of(kind):
                raise ApiError(404, f"resource not found: {kind} {id}")

    def _find(self, portal: Portal, kind: str, id: str, by: str | None) -> Json | None:
        if not by:
            return portal.of(kind).get(id)
        return next((e for e in portal.of(kind).values() if e["properties"].get(by) == id), None)

    def _save(self, portal: Portal, kind: str, found: Json | None, given: Json) -> Json:
        """Write properties into a record, or a new one, and tell of it."""
        at, email = moment(self.world.settings.clock()), given.get("email")
        if found is None:
            if kind == "contacts" and email and self._find(portal, kind, email, "email"):
                raise ApiError(409, "Contact already exists.")
            id = str(next(self.world.ids))
            found = {"id": id, "properties": {}, "createdAt": at, "archived": False}
            portal.of(kind)[id] = found
            self._tell(portal, kind, "creation", id)
        for name, value in given.items():
            text = None if value in (None, "") else str(value)
            if found["properties"].get(name) != text:
                found["properties"][name] = text
                self._tell(portal, kind, "propertyChange", found["id"], name, text)
        found["updatedAt"] = at
        return found

    # Webhooks ---------------------------------------------------------------------------------

    def _tell(
        self, portal: Portal, kind: str, what: str, id: str, name: str = "", value: Any = None
    ) -> None:
        plan = self.rest.faults.of(str(portal.id))
        if not self.world.url or plan.drops():
            return
        change: Json = {
            "eventId": next(self.world.ids),
            "subscriptionId": 1,
            "portalId": portal.id,
            "appId": APP_ID,
            "occurredAt": int(self.world.settings.clock() * 1000),
            "subscriptionType": f"{SINGULAR.get(kind, kind)}.{what}",
            "attemptNumber": 0,
            "objectId": int(id),
            "changeSource": "INTEGRATION",
        }
        if name:
            change |= {"propertyName": name, "propertyValue": value}
        else:
            change |= {"changeFlag": {"creation": "CREATED", "deletion": "DELETED"}[what]}
        if not self._changes:
            self.webhooks.start(self._flush(), "hubspot changes")
        self._changes += [change] * (2 if plan.doubles() else 1)

    async def _flush(self) -> None:
        await asyncio.sleep(self.world.settings.gathers)
        changes, self._changes = self._changes, []
        for at in range(0, len(changes), 100):
            self.webhooks.send(self.world.url, partial(self._signed, dump(changes[at : at + 100])))

    def _signed(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        at = str(int(self.world.settings.clock() * 1000))
        signing = b"POST" + self.world.url.encode() + body + at.encode()
        digest = hmac.new(CLIENT_SECRET.encode(), signing, hashlib.sha256).digest()
        return body, {
            "content-type": "application/json",
            "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
            "x-hubspot-request-timestamp": at,
        }

    # Installing -------------------------------------------------------------------------------

    async def authorize(self, request: Request) -> Response:
        """Show the page on which a portal installs the app; `portal` in the query is at once."""
        portals = self.world.portals

        def grant(id: str, back: str) -> str:
            self.world.codes[code := secrets.token_hex(16)] = (portals[id], back)
            return code

        names = {id: each.name for id, each in portals.items()}
        return choose_account(request, "HubSpot", CLIENT_ID, "portal", names, grant)

    async def token(self, request: Request) -> Response:
        """Give tokens for a code, or for a refresh token."""
        given = dict(parse_qsl((await read_body(request)).decode()))
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return self.rest.refused(400, "missing or invalid client")
        if given.get("grant_type") == "refresh_token":
            portal = self.world.refreshes.get(given.get("refresh_token", ""))
        else:
            portal, back = self.world.codes.pop(given.get("code", ""), (None, ""))
            portal = portal if given.get("redirect_uri") == back else None
        if portal is None:
            return self.rest.refused(400, "missing or unknown auth code")
        access, refresh = f"CO{secrets.token_hex(16)}", f"re-{portal.id}"
        self.world.tokens[access], self.world.refreshes[refresh] = portal, portal
        tokens = {"token_type": "bearer", "access_token": access, "refresh_token": refresh}
        return JSONResponse({**tokens, "expires_in": 1800})

    # Backstage --------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """Tell what a connection to the first portal is made of."""
        name = first(self.world.portals.values()).name
        url, auth = str(request.base_url).rstrip("/"), {"kind": "api_key", "key": f"pat-{name}"}
        return JSONResponse(account_of("hubspot", name, base_url=url, auth=auth))

    async def add_portal(self, request: Request) -> Response:
        """Add a portal."""
        given = parse(request, await read_body(request), NewPortal)
        made = self.world.add(given.name)
        return JSONResponse({"id": made.id, "name": made.name, "token": f"pat-{made.name}"}, 201)

    async def set_url(self, request: Request) -> Response:
        """Have the app's webhooks go somewhere."""
        self.world.url = parse(request, await read_body(request), AppUrl).url
        return JSONResponse({"url": self.world.url})

    async def edit(self, request: Request) -> Response:
        """Have a person make a record, or change one (`id`)."""
        portal = self.world.portals.get(request.path_params["portal"])
        if portal is None:
            raise not_found("portal", request.path_params["portal"])
        kind = request.path_params["kind"]
        given: Json = await request.json()
        found = portal.of(kind).get(str(given.get("id")))
        return JSONResponse(self._save(portal, kind, found, given["properties"]), 201)


def wanted(kind: str, given: Json) -> Sequence[str]:
    """Return the properties that were asked for."""
    named = str(given.get("properties") or "")
    return [*DEFAULTS.get(kind, ()), *named.split(",")] if named else DEFAULTS.get(kind, ())


def shown(record: Json, names: Sequence[str]) -> Json:
    """Give a record with some of its properties."""
    own = {
        "hs_object_id": record["id"],
        "createdate": record["createdAt"],
        "lastmodifieddate": record["updatedAt"],
        "hs_lastmodifieddate": record["updatedAt"],
    }
    known = {**record["properties"], **own}
    properties = {each: known.get(each) for each in dict.fromkeys((*names, *own)) if each}
    return {**record, "properties": properties}


def value_of(record: Json, name: str) -> str | None:
    """Return a property as a search compares it: times in milliseconds."""
    if name in ("lastmodifieddate", "hs_lastmodifieddate", "createdate"):
        at = record["createdAt" if name == "createdate" else "updatedAt"]
        return str(round(datetime.fromisoformat(at).timestamp() * 1000))
    return record["id"] if name == "hs_object_id" else record["properties"].get(name)


def holds(record: Json, one: Json) -> bool:
    """Return whether a filter holds for a record."""
    value, wanted = value_of(record, one["propertyName"]), one.get("value")

    def number(text: str | None) -> float | str:
        try:
            return float(text or "")
        except ValueError:
            return text or ""

    match one["operator"]:
        case "HAS_PROPERTY":
            return value is not None
        case "NOT_HAS_PROPERTY":
            return value is None
        case "IN" | "NOT_IN" as operator:
            return (value in one["values"]) == (operator == "IN")
        case "CONTAINS_TOKEN" | "NOT_CONTAINS_TOKEN" as operator:
            found = str(wanted).strip("*").lower() in (value or "").lower()
            return found == (operator == "CONTAINS_TOKEN")
        case "EQ":
            return value == wanted
        case "NEQ":
            return value != wanted
        case operator:
            if value is None or type(number(value)) is not type(number(wanted)):
                return False
            left, right = number(value), number(wanted)
            high = number(one.get("highValue"))
            checks: dict[str, Callable[[], Any]] = {
                "LT": lambda: left < right,  # type: ignore[operator]
                "LTE": lambda: left <= right,  # type: ignore[operator]
                "GT": lambda: left > right,  # type: ignore[operator]
                "GTE": lambda: left >= right,  # type: ignore[operator]
                "BETWEEN": lambda: right <= left <= high,  # type: ignore[operator]
            }
            if operator not in checks:
                raise ApiError(400, f"unknown operator {operator}") from None
            return checks[operator]()


def paging(after: int | None, link: str = "") -> Json:
    """Tell where the next page is."""
    return {} if after is None else {"paging": {"next": {"after": str(after), "link": link}}}


def refuse(status: int, message: str) -> Json:
    """Give the body of a refusal."""
    names = {
        401: "INVALID_AUTHENTICATION",
        404: "OBJECT_NOT_FOUND",
        409: "CONFLICT",
        429: "RATE_LIMITS",
    }
    category = names.get(status, "VALIDATION_ERROR")
    return {
        "status": "error",
        "message": message,
        "correlationId": secrets.token_hex(8),
        "category": category,
    }


def create_app(settings: Settings | None = None, *, portals: Sequence[str] = ()) -> Starlette:
    """Make a HubSpot of its own, with these portals to begin with."""
    world = World(settings or Settings())
    rest = RestApp(FaultBoard("portal"), refuse, world.settings.clock)
    webhooks = Webhooks(world.settings.waits, world.settings.delivery_timeout)
    for name in portals:
        world.add(name)
    app = HubSpot(world, rest, webhooks)
    objects, associations = "/crm/v3/objects/{kind}", "/crm/v4/objects/{kind}/{id}/associations"
    routes = [
        Route("/oauth/authorize", app.authorize, methods=["GET"]),
        Route("/oauth/v1/token", app.token, methods=["POST"]),
        app.route("/account-info/v3/details", "GET", app.details),
        app.route("/crm/v3/schemas", "GET", app.schemas),
        app.route("/crm/v3/properties/{kind}", "GET", app.properties),
        app.route(objects, "GET", app.list_records),
        app.route(objects, "POST", app.create),
        app.route(f"{objects}/search", "POST", app.search),
        app.route(f"{objects}/batch/{{verb}}", "POST", app.batch),
        app.route(f"{objects}/{{id}}", "GET", app.get),
        app.route(f"{objects}/{{id}}", "PATCH", app.update),
        app.route(f"{objects}/{{id}}", "DELETE", app.archive),
        app.route(f"{associations}/default/{{to}}/{{to_id}}", "PUT", app.associate),
        app.route(f"{associations}/{{to}}", "GET", app.associated),
        app.route(f"{associations}/{{to}}/{{to_id}}", "DELETE", app.dissociate),
        Route("/sandbox/account", app.account, methods=["GET"]),
        Route("/sandbox/portals", app.add_portal, methods=["POST"]),
        Route("/sandbox/portals/{portal}/{kind}", app.edit, methods=["POST"]),
        Route("/sandbox/app", app.set_url, methods=["POST"]),
        Route("/sandbox/sent", webhooks.list_sent, methods=["GET"]),
    ]
    return application(routes, rest.faults, webhooks.close)
