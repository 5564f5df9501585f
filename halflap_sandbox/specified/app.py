"""The app of a sandbox that is made of a document: checked requests, remembered things, faults."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halflap_sandbox.answer import account_of
from halflap_sandbox.faults import Exceeded, FaultBoard, Injected
from halflap_sandbox.server import Cut, application, read_body, suffer
from halflap_sandbox.specified.dialects import Dialect, VendorError
from halflap_sandbox.specified.document import Call, Json, Node, VendorDocument, as_object, nested
from halflap_sandbox.specified.world import Thing, VendorWorld

EFFECTS = ("POST", "PUT", "PATCH", "DELETE")


class Vendor:
    """The routes: the vendor's own, and the backstage."""

    def __init__(self, document: VendorDocument, dialect: Dialect, world: VendorWorld) -> None:
        self.document, self.dialect, self.world = document, dialect, world
        self.faults = FaultBoard("account")

    async def call(self, request: Request) -> Response:
        """Answer a request at the vendor's API."""
        body = await read_body(request)
        try:
            return await self._answered(request, body)
        except VendorError as error:
            return JSONResponse(self.dialect.error(error), error.status, dict(error.headers))

    async def _answered(self, request: Request, body: bytes) -> Response:
        account = self.dialect.account(request)
        if account is None:
            raise VendorError(401, "the credentials are not right")
        plan = self.faults.of(account)
        try:
            if cut := await suffer(request, plan, self.world.clock()):
                return cut
        except Exceeded as error:
            raise VendorError(
                429, str(error), headers={"Retry-After": str(error.retry_after)}
            ) from None
        except Injected as error:
            raise VendorError(error.status, str(error)) from None
        path = unquote(request.url.path)
        found = self.document.find(request.method, path)
        if found is None:
            status = 405 if self.document.has_path(path) else 404
            raise VendorError(status, f"{request.method} {path} is not in the document")
        call, values = found
        given = self._checked(call, values, request, body)
        self.world.requests.append({"operation": call.node.get("operationId"), **given})
        key = request.headers.get(self.dialect.idempotency_header or "-")
        if key and key in self.world.keys and request.method in EFFECTS:
            before, status, answer = self.world.keys[key]
            if before != (path, given):
                raise VendorError(400, "the key was used with another request", "idempotency_error")
            return JSONResponse(answer, status, {"Idempotent-Replayed": "true"})
        status, answer = self._done(call, values, given, path, request)
        if key and request.method in EFFECTS:
            self.world.keys[key] = (path, given), status, answer
        if request.method in EFFECTS and plan.loses_answer():
            return Cut()
        if answer is None:
            return Response(status_code=status)
        return JSONResponse(answer, status)

    # Checking ---------------------------------------------------------------------------------

    def _checked(
        self, call: Call, values: dict[str, str], request: Request, body: bytes
    ) -> dict[str, Json]:
        """Return the parameters and the fields of a request; raise for the first that is wrong."""
        known = {each["name"]: each for each in call.node.get("parameters", ())}
        query = nested(parse_qsl(request.url.query, keep_blank_values=True))
        names = {name for name, each in known.items() if each["in"] == "query"}
        for name in query:
            if name not in names:
                raise VendorError(400, "is unknown", place=name)
        params: Json = {}
        for name, each in known.items():
            value: Any = None
            if each["in"] == "query":
                value = query.get(name)
            elif each["in"] == "path":
                value = values.get(name)
            elif each["in"] == "header":
                value = request.headers.get(name)
            if value is None:
                if each.get("required"):
                    raise VendorError(400, "is missing", place=name)
                continue
            schema = each.get("schema", {})
            if isinstance(value, str) and each.get("explode") is False:
                value = value.split(",")
            params[name] = self.document.typed(value, schema)
            self._refuse(params[name], schema, name)
        return {"params": params, "fields": self._fields(call, request, body)}

    def _fields(self, call: Call, request: Request, body: bytes) -> Json:
        expected = self.document.body(call)
        if expected is None:
            if body not in (b"", b"{}"):
                raise VendorError(400, "the document has no body here", place="body")
            return {}
        media, schema = expected
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if not body:
            if call.node["requestBody"].get("required"):
                raise VendorError(400, "is missing", place="body")
            fields: Any = {}
        elif kind != media:
            raise VendorError(415, f"the body is {kind or 'of no type'}, and not {media}")
        elif media == "application/json":
            try:
                fields = json.loads(body)
            except ValueError:
                raise VendorError(400, "is not JSON", place="body") from None
        else:
            fields = nested(parse_qsl(body.decode(), keep_blank_values=True))
            fields = self.document.typed(fields, {**schema, "nullable": False})
        self._refuse(fields, schema, "")
        return fields

    def _refuse(self, value: Any, schema: Node, at: str) -> None:
        for place, message in self.document.wrong(value, schema, at):
            raise VendorError(400, message, place=place or "body")

    # Doing ------------------------------------------------------------------------------------

    def _done(
        self,
        call: Call,
        values: dict[str, str],
        given: dict[str, Json],
        path: str,
        request: Request,
    ) -> tuple[int, Any]:
        """Do what a checked request asks, and return the status and the body of the answer."""
        special = self.dialect.special.get(call.node.get("operationId", ""))
        if special is not None:
            status, schema, kind = self.document.answer(call)
            found = special(self.world, path, {**given["params"], **given["fields"]})
            return status, None if schema is None else self._shaped(schema, kind, found)
        bare = path.removesuffix(".json")
        collection, _, id = bare.rpartition("/")
        if call.is_item:
            return self._item(call, collection, id, given)
        if request.method == "GET":
            return self._listed(call, bare, given["params"], request)
        status, schema, kind = self.document.answer(call)
        parent, _, of = collection.rpartition("/")
        thing = self.world.find(parent, of)
        if thing is not None and (kind in (thing.kind, "") or schema is None):
            self._change(thing, given["fields"])
            self.dialect.verb(self.world, thing, bare.rpartition("/")[2], given["fields"])
            return status, None if schema is None else self._shaped(schema, kind, thing.values)
        if (
            thing is None
            and "{" in call.path.rpartition("/")[0]
            and self.dialect.needs_parent(call.path)
        ):
            raise VendorError(404, f"there is no {of!r}", "resource_missing")
        id = self.dialect.new_id(self.world, kind, bare)
        thing = Thing(id, kind, {})
        thing.values |= self.dialect.made(self.world, thing, bare)
        self._change(thing, {**self._in_path(values), **given["fields"]})
        self.dialect.verb(self.world, thing, "create", given["fields"])
        self.world.collection(bare)[id] = thing
        return status, None if schema is None else self._shaped(schema, kind, thing.values)

    def _in_path(self, values: dict[str, str]) -> Json:
        return {name: each for name, each in values.items() if name.lower().endswith("sid")}

    def _item(
        self, call: Call, collection: str, id: str, given: dict[str, Json]
    ) -> tuple[int, Any]:
        status, schema, kind = self.document.answer(call)
        thing = self.world.find(collection, id)
        if thing is None:
            raise VendorError(404, f"there is no {id!r}", "resource_missing")
        if call.method == "DELETE":
            if self.dialect.removes(self.world, thing):
                del self.world.collection(collection)[thing.id]
            found = {**thing.values, "deleted": True}
            return status, None if schema is None else self._shaped(schema, kind, found)
        if call.method != "GET":
            self._change(thing, given["fields"])
            self.dialect.verb(self.world, thing, "update", given["fields"])
        return status, None if schema is None else self._shaped(schema, kind, thing.values)

    def _listed(self, call: Call, path: str, params: Json, request: Request) -> tuple[int, Any]:
        status, schema, kind = self.document.answer(call)
        if schema is None:
            return status, None
        whole = self.document.followed(schema)
        fields: Json = whole.get("properties", {})
        lists = [
            n for n, each in fields.items() if self.document.followed(each).get("type") == "array"
        ]
        name = next((each for each in self.dialect.lists if each in lists), None)
        if whole.get("type") != "array" and name is None:
            return status, self._shaped(schema, kind, self.dialect.single(self.world, path))
        item = (whole if name is None else self.document.followed(fields[name])).get("items", {})
        things = self.world.collection(path).values()
        found = [e for e in things if self.dialect.matches(e, params)]
        page, around = self.dialect.page(found, params, request)
        shown = [self._shaped(item, each.kind, each.values) for each in page]
        if name is None:
            return status, shown
        return status, self._shaped(schema, kind, {**around, name: shown})

    def _change(self, thing: Thing, fields: Json) -> None:
        """Give a thing the values of a request, under the names that answers have for them."""
        for name, value in fields.items():
            before, new = as_object(thing.values.get(name)), as_object(value)
            if before is not None and new is not None:
                thing.values[name] = {**before, **new}
            else:
                thing.values[self.dialect.answered_name(name)] = value

    def _shaped(self, schema: Node, kind: str, values: Json) -> Any:
        """Return an answer: what the document says there is, with what is known where it fits."""
        whole = self.document.followed(schema)
        if options := whole.get("anyOf") or whole.get("oneOf"):
            return self._shaped(options[0], kind, values)
        made = self.document.synthesised({**whole, "nullable": False}, int(self.world.clock()))
        if as_object(made) is None:
            return made
        fields: Json = whole.get("properties", {})
        is_open = whole.get("additionalProperties", False) is not False
        for name, value in values.items():
            fits = name in fields and not list(self.document.wrong(value, fields[name], name))
            if fits or (is_open and name not in fields):
                made[name] = value
        return made

    # Backstage --------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """Tell what a connection is made of."""
        values = self.dialect.values(str(request.base_url).rstrip("/"))
        return JSONResponse(account_of(self.dialect.name, "demo", **values))

    async def seen(self, _: Request) -> Response:
        """Show the requests that came, the oldest first."""
        return JSONResponse(self.world.requests)


def create_app(
    dialect: Dialect, documents: Sequence[Node], *, clock: Callable[[], float] = time.time
) -> Starlette:
    """Make a sandbox of its own of a vendor's documents."""
    world = VendorWorld(clock)
    dialect.begin(world)
    document = VendorDocument(*documents, dialect.added)
    document.is_lenient = dialect.is_lenient
    vendor = Vendor(document, dialect, world)

    methods = ["GET", *EFFECTS]
    routes = [
        Route("/sandbox/account", vendor.account, methods=["GET"]),
        Route("/sandbox/requests", vendor.seen, methods=["GET"]),
        Route("/{path:path}", vendor.call, methods=methods),
    ]
    app = application(routes, vendor.faults)
    app.state.world = world
    return app
