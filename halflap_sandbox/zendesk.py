"""Zendesk: accounts with tickets, comments, people and organizations, the export, signed webhooks.

`/api/v2` is the API, with `.json` behind a path or without; whose account it is, the token says.
`/sandbox` is the backstage. Everything is in memory and gone when the server stops.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, cast
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from halflap_sandbox.answer import account_of, dump, first, not_found, parse
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.rest import ApiError, Json, RestApp, Webhooks, moment
from halflap_sandbox.server import application, read_body

EMAIL = "admin@{name}.example"
KINDS = {"tickets": "ticket", "users": "user", "organizations": "organization"}
KEPT = (
    "status",
    "priority",
    "subject",
    "assignee_id",
    "tags",
    "external_id",
    "custom_fields",
    "type",
)
TERM = re.compile(r'(\w+):("[^"]*"|\S+)|("[^"]*"|\S+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this Zendesk: its clock, and the waits between the tries of a webhook."""

    clock: Callable[[], float] = time.time
    delivery_timeout: float = 12.0
    waits: tuple[float, ...] = (5.0, 30.0, 120.0)


@dataclass(slots=True)
class Account:
    """An account: its records by kind and id, comments by ticket, webhooks, and repeated requests."""

    name: str
    number: int
    records: dict[str, dict[int, Json]] = field(
        default_factory=lambda: {kind: dict[int, Json]() for kind in KINDS}
    )
    comments: dict[int, list[Json]] = field(default_factory=dict[int, list[Json]])
    hooks: dict[str, Json] = field(default_factory=dict[str, Json])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    repeated: dict[str, tuple[bytes, Json]] = field(default_factory=dict[str, tuple[bytes, Json]])


class NewAccount(BaseModel):
    """An account that is to be added."""

    name: str


class World:
    """All accounts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts: dict[str, Account] = {}
        self.ids = count(1001)
        self.changes = count(1)

    def add(self, name: str) -> Account:
        """Add an account with an administrator, whose token is `token-<name>`."""
        made = self.accounts[name] = Account(name, next(self.ids))
        self.save(
            made,
            "users",
            None,
            {"name": "Admin", "email": EMAIL.format(name=name), "role": "admin"},
        )
        return made

    def save(self, account: Account, kind: str, found: Json | None, given: Json) -> Json:
        """Write fields into a record, or a new one."""
        at = moment(self.settings.clock())
        if found is None:
            found = {"id": next(self.ids), "created_at": at}
            account.records[kind][found["id"]] = found
        found.update(given)
        found["updated_at"] = at
        found["_change"] = next(self.changes)
        return found


class Zendesk:
    """The routes."""

    def __init__(self, world: World, rest: RestApp, webhooks: Webhooks) -> None:
        self.world, self.rest, self.webhooks = world, rest, webhooks

    def route(self, path: str, method: str, work: Callable[[Call, Json], Any]) -> Route:
        """Make a route of the API."""

        async def answer(request: Request) -> Response:
            account = self._account(request)
            if account is None:
                return self.rest.refused(401, "Couldn't authenticate you")
            call = Call(account, request.path_params, str(request.base_url).rstrip("/"))
            call.key = request.headers.get("idempotency-key", "")

            def done(given: Json) -> tuple[int, Any]:
                found = work(call, given)
                if found is None:
                    return 204, None
                return cast("tuple[int, Any]", found) if isinstance(found, tuple) else (200, found)

            response = await self.rest.answer(request, account.name, done)
            response.headers.update(call.told)
            return response

        return Route(f"/api/v2{path}", answer, methods=[method])

    def _account(self, request: Request) -> Account | None:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, token = base64.b64decode(sent).decode().partition(":")
        except ValueError:
            return None
        for each in self.world.accounts.values():
            mine = (f"{EMAIL.format(name=each.name)}/token", f"token-{each.name}")
            if scheme == "Basic" and (user, token) == mine:
                return each
        return None

    # Records ----------------------------------------------------------------------------------

    def me(self, call: Call, _: Json) -> Json:
        """Tell whose token it is."""
        return {"user": shown(next(iter(call.account.records["users"].values())))}

    def show(self, kind: str, call: Call, _: Json) -> Json:
        """Show a record."""
        return {KINDS[kind]: shown(call.record(kind))}

    def show_many(self, kind: str, call: Call, given: Json) -> Json:
        """Show records by their ids."""
        ids = [int(each) for each in str(given["ids"]).split(",")]
        if len(ids) > 100:
            raise ApiError(400, "too many ids")
        known = call.account.records[kind]
        found = [shown(known[each]) for each in ids if each in known]
        return {kind: found, "count": len(found)}

    def list_records(self, kind: str, call: Call, given: Json) -> Json:
        """List records, a page at a time."""
        return call.paged(kind, list(call.account.records[kind].values()), given)

    def create_ticket(self, call: Call, given: Json) -> tuple[int, Json]:
        """Open a ticket: the same again where the request is one that is known."""
        account, body = call.account, dump(given)
        if (known := account.repeated.get(call.key)) is not None:
            if known[0] != body:
                raise ApiError(400, "IdempotencyError: the parameters differ")
            call.told["x-idempotency-lookup"] = "hit"
            return 201, known[1]
        ticket = given["ticket"]
        comment = ticket.get("comment") or {"body": ticket.get("description")}
        if not comment.get("body"):
            raise ApiError(422, "Description: cannot be blank")
        requester = ticket.get("requester")
        if requester:
            person = self._by(account, "users", "email", requester.get("email"))
            person = person or self.world.save(
                account, "users", None, {"role": "end-user", **requester}
            )
        else:
            person = next(iter(account.records["users"].values()))
        fields: Json = {name: ticket[name] for name in KEPT if name in ticket}
        fields = {"status": "new", "priority": None, "tags": [], "subject": None, **fields}
        fields |= {
            "description": comment["body"],
            "requester_id": person["id"],
            "organization_id": ticket.get("organization_id"),
            "url": f"{call.base}/api/v2/tickets/",
        }
        made = self.world.save(account, "tickets", None, fields)
        self._comment(account, made, comment, person["id"])
        self._tell(account, "ticket.created", made)
        answer: Json = {"ticket": shown(made), "audit": {"id": next(self.world.ids), "events": []}}
        if call.key:
            account.repeated[call.key] = body, answer
            call.told["x-idempotency-lookup"] = "miss"
        return 201, answer

    def update_ticket(self, call: Call, given: Json) -> Json:
        """Change a ticket, and perhaps comment on it."""
        account, found, ticket = call.account, call.record("tickets"), given["ticket"]
        if found["status"] == "closed":
            raise ApiError(422, "Status: closed prevents ticket update")
        before = found["status"]
        self.world.save(account, "tickets", found, {n: ticket[n] for n in KEPT if n in ticket})
        if ticket.get("comment"):
            author = next(iter(account.records["users"]))
            made = self._comment(account, found, ticket["comment"], author)
            self._tell(account, "ticket.comment_added", found, {"comment": made})
        if found["status"] != before:
            event = {"current": found["status"], "previous": before}
            self._tell(account, "ticket.status_changed", found, event)
        return {"ticket": shown(found), "audit": {"id": next(self.world.ids), "events": []}}

    def comments(self, call: Call, given: Json) -> Json:
        """List the comments on a ticket, oldest first."""
        return call.paged(
            "comments", call.account.comments.get(call.record("tickets")["id"], []), given
        )

    def _comment(self, account: Account, ticket: Json, comment: Json, author: int) -> Json:
        made = {
            "id": next(self.world.ids),
            "type": "Comment",
            "body": comment["body"],
            "public": comment.get("public", True),
            "author_id": author,
            "created_at": moment(self.world.settings.clock()),
        }
        account.comments.setdefault(ticket["id"], []).append(made)
        return made

    def create_or_update(self, kind: str, call: Call, given: Json) -> tuple[int, Json]:
        """Create or change a record that is known by its external id, or its address or name."""
        one = KINDS[kind]
        fields, natural = given[one], "email" if kind == "users" else "name"
        found = self._by(call.account, kind, "external_id", fields.get("external_id"))
        found = found or self._by(call.account, kind, natural, fields.get(natural))
        status = 201 if found is None else 200
        extra: Json = {"role": "end-user", "active": True} if kind == "users" and not found else {}
        made = self.world.save(call.account, kind, found, {**extra, **fields})
        self._tell(call.account, f"{one}.{'created' if status == 201 else 'name_changed'}", made)
        return status, {one: shown(made)}

    def _by(self, account: Account, kind: str, name: str, value: Any) -> Json | None:
        if value is None:
            return None
        wanted = str(value).lower()
        records = account.records[kind].values()
        return next((each for each in records if str(each.get(name)).lower() == wanted), None)

    def search(self, call: Call, given: Json) -> Json:
        """Search records: `type:`, `status:` and the like, and words that stand in them."""
        found = [
            {"result_type": one, **shown(each)}
            for kind, one in KINDS.items()
            for each in call.account.records[kind].values()
            if fits(str(given["query"]), one, each)
        ]
        page, size = int(given.get("page") or 1), min(int(given.get("per_page") or 100), 100)
        if page * size > 1000:
            raise ApiError(422, "Number of search results is limited to 1000")
        more = page * size < len(found)
        query = {"query": given["query"], "page": page + 1, "per_page": size}
        following = f"{call.base}/api/v2/search.json?{urlencode(query)}"
        part = found[(page - 1) * size : page * size]
        return {"results": part, "count": len(found), "next_page": following if more else None}

    def search_users(self, call: Call, given: Json) -> Json:
        """Search people."""
        people = call.account.records["users"].values()
        found = [shown(each) for each in people if fits(str(given["query"]), "user", each)]
        return {"users": found, "count": len(found), "next_page": None}

    def export(self, kind: str, call: Call, given: Json) -> Json:
        """Give what changed since a time, or since a cursor, oldest change first."""
        size = min(int(given.get("per_page") or 1000), 1000)
        if given.get("cursor"):
            after = int(base64.b64decode(given["cursor"]))
        else:
            start = int(given["start_time"])
            if start > self.world.settings.clock() - 60:
                raise ApiError(400, "StartTimeTooRecent")
            after = 0
        found = sorted(call.account.records[kind].values(), key=lambda each: each["_change"])
        found = [each for each in found if each["_change"] > after]
        if not given.get("cursor"):
            found = [
                each for each in found if each["updated_at"] >= moment(int(given["start_time"]))
            ]
        page = found[:size]
        last = (
            page[-1]["_change"]
            if page
            else after
            or max((each["_change"] for each in call.account.records[kind].values()), default=0)
        )
        cursor = base64.b64encode(str(last).encode()).decode()
        path = f"{call.base}/api/v2/incremental/{kind}/cursor.json"
        return {
            kind: [shown(each) for each in page],
            "after_cursor": cursor,
            "after_url": f"{path}?{urlencode({'cursor': cursor})}",
            "before_cursor": None,
            "before_url": None,
            "end_of_stream": len(page) == len(found),
        }

    # Webhooks ---------------------------------------------------------------------------------

    def list_hooks(self, call: Call, given: Json) -> Json:
        """List webhooks, a page at a time."""
        return call.paged("webhooks", list(call.account.hooks.values()), given)

    def create_hook(self, call: Call, given: Json) -> tuple[int, Json]:
        """Make a webhook, which has a secret of its own."""
        id = secrets.token_hex(10)
        call.account.hooks[id] = {**given["webhook"], "id": id}
        call.account.secrets[id] = secrets.token_urlsafe(24)
        return 201, {"webhook": call.account.hooks[id]}

    def show_hook(self, call: Call, _: Json) -> Json:
        """Show a webhook."""
        return {"webhook": call.hook()}

    def delete_hook(self, call: Call, _: Json) -> None:
        """Remove a webhook."""
        del call.account.hooks[call.hook()["id"]]

    def hook_secret(self, call: Call, _: Json) -> Json:
        """Tell the secret that a webhook signs with."""
        secret = call.account.secrets[call.hook()["id"]]
        return {"signing_secret": {"algorithm": "SHA256", "secret": secret}}

    def _tell(self, account: Account, what: str, record: Json, event: Json | None = None) -> None:
        plan = self.rest.faults.of(account.name)
        kind = what.partition(".")[0]
        told = {
            "id": secrets.token_hex(13),
            "type": f"zen:event-type:{what}",
            "account_id": account.number,
            "subject": f"zen:{kind}:{record['id']}",
            "time": moment(self.world.settings.clock()),
            "zendesk_event_version": "2022-11-06",
            "event": event or {},
            "detail": {**shown(record), "id": str(record["id"])},
        }
        for id, hook in account.hooks.items():
            if hook.get("status") == "active" and told["type"] in hook["subscriptions"]:
                for _ in range(0 if plan.drops() else 2 if plan.doubles() else 1):
                    self.webhooks.send(
                        hook["endpoint"], partial(self._signed, account, id, dump(told))
                    )

    def _signed(self, account: Account, hook: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        at = moment(self.world.settings.clock())
        digest = hmac.new(
            account.secrets[hook].encode(), at.encode() + body, hashlib.sha256
        ).digest()
        return body, {
            "content-type": "application/json",
            "x-zendesk-webhook-signature": base64.b64encode(digest).decode(),
            "x-zendesk-webhook-signature-timestamp": at,
            "x-zendesk-webhook-id": hook,
        }

    # Backstage --------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """Tell what a connection to the first account is made of."""
        name = first(self.world.accounts)
        values = {"subdomain": name, "email": EMAIL.format(name=name), "api_token": f"token-{name}"}
        host = str(request.base_url).rstrip("/")
        return JSONResponse(account_of("zendesk", name, host=host, **values))

    async def add_account(self, request: Request) -> Response:
        """Add an account."""
        name = parse(request, await read_body(request), NewAccount).name
        self.world.add(name)
        found = {"name": name, "email": EMAIL.format(name=name), "token": f"token-{name}"}
        return JSONResponse(found, 201)

    async def write(self, request: Request) -> Response:
        """Have a person open a ticket."""
        name = request.path_params["account"]
        if name not in self.world.accounts:
            raise not_found("account", name)
        call = Call(self.world.accounts[name], {}, str(request.base_url).rstrip("/"))
        given: Json = await request.json()
        return JSONResponse(self.create_ticket(call, {"ticket": given})[1]["ticket"], 201)


@dataclass(slots=True)
class Call:
    """A request: the account, the places in its path, and what the answer's headers are to say."""

    account: Account
    places: Json
    base: str
    key: str = ""
    told: dict[str, str] = field(default_factory=dict[str, str])

    def record(self, kind: str) -> Json:
        """Return the record of the path."""
        found = self.account.records[kind].get(int(self.places["id"]))
        if found is None:
            raise ApiError(404, "Not found")
        return found

    def hook(self) -> Json:
        """Return the webhook of the path."""
        if self.places["hook"] not in self.account.hooks:
            raise ApiError(404, "Not found")
        return self.account.hooks[self.places["hook"]]

    def paged(self, name: str, found: list[Json], given: Json) -> Json:
        """Give a page of a list: by cursor where a page's size is given, else by number."""
        by_cursor = name == "webhooks" or any(each.startswith("page[") for each in given)
        size = min(int(given.get("page[size]" if by_cursor else "per_page") or 100), 100)
        begin = (
            int(given.get("page[after]") or 0)
            if by_cursor
            else (int(given.get("page") or 1) - 1) * size
        )
        more = begin + size < len(found)
        page: Json = {name: [shown(each) for each in found[begin : begin + size]]}
        path = f"{self.base}/api/v2/{self.places.get('path') or self._path(name)}"
        if not by_cursor:
            following = f"{path}?{urlencode({'page': begin // size + 2, 'per_page': size})}"
            return {**page, "count": len(found), "next_page": following if more else None}
        after = str(begin + size) if more else None
        following = (
            f"{path}?{urlencode({'page[size]': size, 'page[after]': after})}" if more else None
        )
        meta = {"has_more": more, "after_cursor": after, "before_cursor": None}
        return {**page, "meta": meta, "links": {"next": following, "prev": None}}

    def _path(self, name: str) -> str:
        return f"tickets/{self.places['id']}/comments" if name == "comments" else name


def shown(record: Json) -> Json:
    """Give a record without what is only this sandbox's."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def fits(query: str, kind: str, record: Json) -> bool:
    """Return whether a record is found by a search."""
    text = " ".join(str(value) for value in record.values()).lower()
    for name, value, word in TERM.findall(query):
        wanted = (value or word).strip('"').lower()
        if word:
            if wanted not in text:
                return False
        elif name == "type":
            if wanted != kind:
                return False
        elif str(record.get(name)).lower() != wanted and wanted not in (record.get(name) or ()):
            return False
    return True


def refuse(status: int, message: str) -> Json:
    """Give the body of a refusal."""
    names = {404: "RecordNotFound", 422: "RecordInvalid", 429: "TooManyRequests"}
    return {"error": names.get(status, "Invalid"), "description": message}


class WithoutSuffix:
    """The app, for clients that write `.json` behind a path, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith("/api/") and not path.startswith("/api/v2/incremental/"):
            scope = {**scope, "path": path.removesuffix(".json")}
        await self._app(scope, receive, send)


def create_app(settings: Settings | None = None, *, accounts: Sequence[str] = ()) -> Starlette:
    """Make a Zendesk of its own, with these accounts to begin with."""
    world = World(settings or Settings())
    rest = RestApp(FaultBoard("account"), refuse, world.settings.clock)
    webhooks = Webhooks(world.settings.waits, world.settings.delivery_timeout)
    for name in accounts:
        world.add(name)
    app = Zendesk(world, rest, webhooks)
    routes = [
        app.route("/users/me", "GET", app.me),
        app.route("/tickets", "POST", app.create_ticket),
        app.route("/tickets/{id:int}", "PUT", app.update_ticket),
        app.route("/tickets/{id:int}/comments", "GET", app.comments),
        app.route("/search", "GET", app.search),
        app.route("/users/search", "GET", app.search_users),
        app.route("/webhooks", "GET", app.list_hooks),
        app.route("/webhooks", "POST", app.create_hook),
        app.route("/webhooks/{hook}", "GET", app.show_hook),
        app.route("/webhooks/{hook}", "DELETE", app.delete_hook),
        app.route("/webhooks/{hook}/signing_secret", "GET", app.hook_secret),
        *(
            each
            for kind in KINDS
            for each in (
                app.route(f"/{kind}", "GET", partial(app.list_records, kind)),
                app.route(f"/{kind}/show_many", "GET", partial(app.show_many, kind)),
                app.route(f"/{kind}/create_or_update", "POST", partial(app.create_or_update, kind)),
                app.route(f"/{kind}/{{id:int}}", "GET", partial(app.show, kind)),
                app.route(f"/incremental/{kind}/cursor.json", "GET", partial(app.export, kind)),
            )
        ),
        Route("/sandbox/account", app.account, methods=["GET"]),
        Route("/sandbox/accounts", app.add_account, methods=["POST"]),
        Route("/sandbox/accounts/{account}/tickets", app.write, methods=["POST"]),
        Route("/sandbox/sent", webhooks.list_sent, methods=["GET"]),
    ]
    made = application(routes, rest.faults, webhooks.close)
    made.add_middleware(WithoutSuffix)
    return made
