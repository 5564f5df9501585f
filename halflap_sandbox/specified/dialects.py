"""The little that a vendor's document does not say, and its own SDK cannot do without."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from halflap_sandbox.specified.document import Json, as_object
from halflap_sandbox.specified.world import Thing, VendorWorld

TEXT: Json = {"type": "string"}
OPEN: Json = {"type": "object", "properties": {}, "additionalProperties": True}
Special = Callable[[VendorWorld, str, Json], Json]


class VendorError(Exception):
    """A request that the vendor refuses, with a code for programs, and the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        *,
        place: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.status, self.code, self.place, self.headers = status, code, place, headers or {}


class Dialect:
    """The ways of all vendors; a vendor's own overrides them."""

    name = ""
    lists: Sequence[str] = ("data",)
    """The fields of an answer that are its list."""
    idempotency_header: str | None = None
    is_lenient = False
    """True for one that takes numbers for texts, and choices in any case, as its document does not."""
    added: Json = {"paths": {}}
    """Operations that are newer than the document, as a document of their own."""
    special: Mapping[str, Special] = {}
    """Operations that are more than to make, find, list, change and remove."""

    def begin(self, world: VendorWorld) -> None:
        """Put in what is there from the beginning."""

    def account(self, request: Request) -> str | None:
        """Return the account that the credentials are of; None for wrong ones."""
        raise NotImplementedError

    def values(self, url: str) -> Json:
        """Return the values of a connection to the sandbox at an address."""
        raise NotImplementedError

    def error(self, error: VendorError) -> Any:
        """Return the body of an error."""
        raise NotImplementedError

    def new_id(self, world: VendorWorld, kind: str, path: str) -> str:
        """Return an id for a new thing."""
        raise NotImplementedError

    def made(self, world: VendorWorld, thing: Thing, path: str) -> Json:
        """Return what a new thing has that no request says."""
        return {"id": thing.id}

    def verb(self, world: VendorWorld, thing: Thing, verb: str, fields: Json) -> None:
        """Change a thing as a verb in a path says; `create` and `update` as well."""

    def removes(self, world: VendorWorld, thing: Thing) -> bool:
        """Return whether a DELETE removes a thing, and does not only change it."""
        return True

    def needs_parent(self, path: str) -> bool:
        """Return whether what is made below another thing needs that to be there."""
        return True

    def single(self, world: VendorWorld, path: str) -> Json:
        """Return what is known of a thing that there is once."""
        return {}

    def answered_name(self, name: str) -> str:
        """Return the name that answers have for a field of a request."""
        return name

    def matches(self, thing: Thing, params: Json) -> bool:
        """Return whether a list with these parameters has a thing."""
        return all(
            thing.values[name] == value for name, value in params.items() if name in thing.values
        )

    def page(self, things: list[Thing], params: Json, request: Request) -> tuple[list[Thing], Json]:
        """Return a page of a list, and the fields around it."""
        return things, {}


def basic(request: Request) -> tuple[str, str]:
    """Return the user and the password of a request; empty ones where it has none."""
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    user, _, password = base64.b64decode(sent).decode("utf-8", "replace").partition(":")
    return user, password


def probed(path: str, id: str, param: str) -> Json:
    """Return the operation by which a connection is tested, which the document was not cut to."""
    place = "path" if f"{{{param}}}" in path else "query"
    parameter: Json = {"name": param, "in": place, "required": place == "path", "schema": {}}
    answers = {"200": {"content": {"application/json": {"schema": OPEN}}}}
    return {
        "paths": {
            path: {"get": {"operationId": id, "parameters": [parameter], "responses": answers}}
        }
    }


def no_hooks(world: VendorWorld, path: str, given: Json) -> Json:
    """List Stripe's webhook endpoints: it has none here."""
    return {"object": "list", "data": [], "has_more": False}


def own_account(world: VendorWorld, path: str, given: Json) -> Json:
    """Show Twilio's account."""
    return {"sid": path.rpartition("/")[2].removesuffix(".json"), "status": "active"}


class Stripe(Dialect):
    """Stripe: prefixed ids, cursors, idempotency keys, and the states of payments and invoices."""

    name = "stripe"
    idempotency_header = "idempotency-key"
    added = probed("/v1/webhook_endpoints", "GetWebhookEndpoints", "limit")
    prefixes: Mapping[str, str] = {
        "customer": "cus", "payment_intent": "pi", "invoice": "in", "invoiceitem": "ii",
        "subscription": "sub", "product": "prod", "price": "price", "refund": "re",
        "checkout.session": "cs_test", "charge": "ch", "webhook_endpoint": "we",
    }  # fmt: skip
    states: Mapping[tuple[str, str], Json] = {
        ("payment_intent", "create"): {"status": "requires_payment_method"},
        ("payment_intent", "confirm"): {"status": "succeeded"},
        ("payment_intent", "capture"): {"status": "succeeded"},
        ("payment_intent", "cancel"): {"status": "canceled"},
        ("invoice", "create"): {"status": "draft"},
        ("invoice", "finalize"): {"status": "open"},
        ("invoice", "pay"): {"status": "paid", "paid": True},
        ("invoice", "void"): {"status": "void"},
        ("subscription", "create"): {"status": "active"},
        ("subscription", "delete"): {"status": "canceled"},
        ("refund", "create"): {"status": "succeeded"},
        ("checkout.session", "create"): {"status": "open"},
        ("checkout.session", "expire"): {"status": "expired"},
        ("product", "create"): {"active": True},
        ("price", "create"): {"active": True, "type": "one_time"},
    }

    def account(self, request: Request) -> str | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = basic(request)[0] if scheme.lower() == "basic" else key
        return "stripe" if re.match(r"(sk|rk)_test_\w+", key) else None

    def values(self, url: str) -> Json:
        return {"base_url": url, "auth": {"kind": "api_key", "key": "sk_test_halflap"}}

    def error(self, error: VendorError) -> Any:
        kind = {429: "rate_limit_error", 401: "authentication_error"}.get(error.status)
        kind = kind or ("api_error" if error.status >= 500 else "invalid_request_error")
        kind = error.code if error.code == "idempotency_error" else kind
        told: Json = {"type": kind, "message": str(error)}
        if error.code and error.code != kind:
            told["code"] = error.code
        if error.place:
            told["param"] = error.place
        return {"error": told}

    def new_id(self, world: VendorWorld, kind: str, path: str) -> str:
        return f"{self.prefixes.get(kind, 'obj')}_{world.hex(24)}"

    def made(self, world: VendorWorld, thing: Thing, path: str) -> Json:
        made: Json = {"id": thing.id, "created": int(world.clock()), "livemode": False}
        return made | {"metadata": {}, "object": thing.kind}

    def verb(self, world: VendorWorld, thing: Thing, verb: str, fields: Json) -> None:
        values = thing.values
        values |= self.states.get((thing.kind, verb), {})
        if thing.kind == "payment_intent" and verb == "create":
            values["client_secret"] = f"{thing.id}_secret_{world.hex(16)}"
            if fields.get("confirm"):
                values["status"] = "succeeded"
        if thing.kind == "subscription" and isinstance(fields.get("items"), list):
            del values["items"]
        if thing.kind == "price" and fields.get("recurring"):
            values["type"] = "recurring"
        for name, each in list(values.items()):
            if each == "":  # an empty text clears a field
                values[name] = None
        noted = as_object(values.get("metadata")) or {}
        values["metadata"] = {name: each for name, each in noted.items() if each != ""}

    def removes(self, world: VendorWorld, thing: Thing) -> bool:
        self.verb(world, thing, "delete", {})
        return thing.kind != "subscription"

    def matches(self, thing: Thing, params: Json) -> bool:
        own = {k: v for k, v in params.items() if k not in ("limit", "starting_after", "expand")}
        span = as_object(own.get("created"))
        if span is not None:
            del own["created"]
            at: int = thing.values["created"]
            low = max(span.get("gte", 0), span.get("gt", -1) + 1)
            high = min(span.get("lte", at), span.get("lt", at + 1) - 1)
            if not low <= at <= high:
                return False
        return all(thing.values.get(name) == value for name, value in own.items())

    def page(self, things: list[Thing], params: Json, request: Request) -> tuple[list[Thing], Json]:
        newest = things[::-1]
        if after := params.get("starting_after"):
            places = [each.id for each in newest]
            if after not in places:
                raise VendorError(
                    400, f"No such object: {after!r}", "resource_missing", place="starting_after"
                )
            newest = newest[places.index(after) + 1 :]
        size = params.get("limit", 10)
        if not 1 <= size <= 100:
            raise VendorError(400, "is not from 1 to 100", place="limit")
        around = {"object": "list", "has_more": len(newest) > size, "url": request.url.path}
        return newest[:size], around

    @staticmethod
    def search(world: VendorWorld, path: str, given: Json) -> Json:
        """Search customers by `field:"value"`, joined by AND."""
        terms = re.findall(r"""([\w\[\]']+):['"]([^'"]*)['"]""", given["query"])
        if not terms:
            raise VendorError(400, "cannot be parsed", place="query")
        things = list(world.collection("/v1/customers").values())[::-1]
        found = [e for e in things if all(e.values.get(name) == value for name, value in terms)]
        start, size = int(given.get("page", "0")), given.get("limit", 10)
        more = len(found) > start + size
        page = [{**each.values} for each in found[start : start + size]]
        made: Json = {"object": "search_result", "data": page, "has_more": more, "url": path}
        return made | {"next_page": str(start + size) if more else None}

    special: Mapping[str, Special] = {
        "GetCustomersSearch": search,
        "GetWebhookEndpoints": no_hooks,
    }

    def single(self, world: VendorWorld, path: str) -> Json:
        return {"object": "balance", "livemode": False, "available": [], "pending": []}


STRIPE = Stripe()


class Twilio(Dialect):
    """Twilio: SIDs, links to the next page, an account in each path."""

    name = "twilio"
    lists = ("messages", "calls")
    prefixes: Mapping[str, str] = {"Messages": "SM", "Calls": "CA"}
    sid = "AC" + "0" * 32
    token = "twilio-auth-token"  # noqa: S105
    added = probed("/2010-04-01/Accounts/{Sid}.json", "FetchAccount", "Sid")

    def account(self, request: Request) -> str | None:
        return self.sid if basic(request) == (self.sid, self.token) else None

    def values(self, url: str) -> Json:
        signed = {"account_sid": self.sid, "auth_token": self.token}
        return {"base_url": f"{url}/2010-04-01", "lookups_url": url, **signed}

    def error(self, error: VendorError) -> Any:
        codes = {401: 20003, 404: 20404, 429: 20429}
        return {
            "code": codes.get(error.status, 20001),
            "message": str(error),
            "more_info": "https://www.twilio.com/docs/errors",
            "status": error.status,
        }

    def new_id(self, world: VendorWorld, kind: str, path: str) -> str:
        return f"{self.prefixes.get(path.rpartition('/')[2], 'XX')}{world.hex(32)}"

    def needs_parent(self, path: str) -> bool:
        return False

    def made(self, world: VendorWorld, thing: Thing, path: str) -> Json:
        made: Json = {"sid": thing.id, "uri": f"{path}/{thing.id}.json", "status": "queued"}
        return made | {"direction": "outbound-api"}

    def answered_name(self, name: str) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

    def matches(self, thing: Thing, params: Json) -> bool:
        named = {self.answered_name(name): each for name, each in params.items()}
        known = {name: each for name, each in named.items() if name in ("to", "from", "status")}
        return all(thing.values.get(name) == each for name, each in known.items())

    def page(self, things: list[Thing], params: Json, request: Request) -> tuple[list[Thing], Json]:
        size, number = params.get("PageSize", 50), int(params.get("Page", 0))
        newest = things[::-1][number * size : (number + 1) * size]
        more = (number + 1) * size < len(things)
        here = request.url.path
        made: Json = {"page": number, "page_size": size, "start": number * size, "uri": here}
        next_page = request.url.include_query_params(Page=number + 1, PageSize=size)
        uri = f"{here}?{next_page.query}" if more else None
        return newest, {**made, "next_page_uri": uri, "end": number * size + len(newest)}

    @staticmethod
    def look_up(world: VendorWorld, path: str, given: Json) -> Json:
        """Tell of a phone number what its digits say."""
        number = str(given["PhoneNumber"])
        fine = re.fullmatch(r"\+[1-9]\d{6,14}", number) is not None
        made: Json = {"phone_number": number, "valid": fine, "url": path}
        return made | {"validation_errors": [] if fine else ["INVALID_LENGTH"]}

    special: Mapping[str, Special] = {"FetchAccount": own_account, "FetchPhoneNumber": look_up}


TWILIO = Twilio()


class Jira(Dialect):
    """Jira: keys of issues by project, offsets, transitions, search by a little JQL."""

    name = "jira"
    is_lenient = True
    lists = ("values", "issues", "comments", "transitions")
    user: Mapping[str, Any] = {
        "accountId": "5b10a2844c20165700ede21g",
        "displayName": "Ada Lovelace",
        "emailAddress": "ada@example.com",
        "active": True,
        "accountType": "atlassian",
    }
    token = "jira-api-token"  # noqa: S105
    steps: Mapping[str, str] = {"11": "To Do", "21": "In Progress", "31": "Done"}

    def account(self, request: Request) -> str | None:
        user, token = basic(request)
        return "jira" if user == self.user["emailAddress"] and token == self.token else None

    def values(self, url: str) -> Json:
        return {"base_url": url, "email": self.user["emailAddress"], "api_token": self.token}

    def error(self, error: VendorError) -> Any:
        fields = {error.place: str(error)} if error.place else {}
        return {"errorMessages": [] if fields else [str(error)], "errors": fields}

    def begin(self, world: VendorWorld) -> None:
        """Put in a project, ACME."""
        project = {"id": "10000", "key": "ACME", "name": "Acme", "projectTypeKey": "software"}
        world.collection("/rest/api/3/project/search")["10000"] = Thing("10000", "Project", project)

    def new_id(self, world: VendorWorld, kind: str, path: str) -> str:
        return str(10000 + sum(map(len, world.collections.values())))

    def made(self, world: VendorWorld, thing: Thing, path: str) -> Json:
        return {"id": thing.id, "self": f"https://sandbox.atlassian.net{path}/{thing.id}"}

    def verb(self, world: VendorWorld, thing: Thing, verb: str, fields: Json) -> None:
        values = thing.values
        if "/comment" in values["self"]:
            values |= {"author": dict(self.user)}
        elif verb == "create":
            asked = as_object(fields.get("fields")) or {}
            project = as_object(asked.get("project")) or {}
            projects = world.collection("/rest/api/3/project/search").values()
            named = [
                e
                for e in projects
                if project.get("key") == e.values["key"] or project.get("id") == e.id
            ]
            if not named or not asked.get("summary") or not asked.get("issuetype"):
                raise VendorError(400, "project, summary and issuetype are needed", place="fields")
            key = named[0].values["key"]
            count = len(world.collection("/rest/api/3/issue"))
            values["key"] = f"{key}-{count + 1}"
            status = {"name": "To Do", "id": "11"}
            values["fields"] = {**asked, "project": dict(named[0].values), "status": status}
        elif verb == "transitions":
            id = str((as_object(fields.get("transition")) or {}).get("id"))
            values.pop("transition", None)
            if id not in self.steps:
                raise VendorError(400, f"there is no transition {id!r}", place="transition")
            values["fields"]["status"] = {"name": self.steps[id], "id": id}

    def single(self, world: VendorWorld, path: str) -> Json:
        if path.endswith("myself"):
            return dict(self.user)
        return {"version": "1001.0.0", "versionNumbers": [1001, 0, 0], "deploymentType": "Cloud"}

    def page(self, things: list[Thing], params: Json, request: Request) -> tuple[list[Thing], Json]:
        if request.url.path.endswith("/transitions"):
            return [Thing(i, "", {"id": i, "name": name}) for i, name in self.steps.items()], {}
        if request.url.path.endswith("/field"):
            known = {"summary": "Summary", "status": "Status", "customfield_10000": "Colour"}
            return [
                Thing(id, "", {"id": id, "key": id, "name": name, "custom": "_" in id})
                for id, name in known.items()
            ], {}
        if request.url.path.endswith("/user/search"):
            return [Thing("", "User", dict(self.user))], {}
        start, size = params.get("startAt", 0), params.get("maxResults", 50)
        total = len(things)
        around: Json = {"startAt": start, "maxResults": size, "total": total}
        return things[start : start + size], around | {"isLast": start + size >= total}

    @staticmethod
    def search(world: VendorWorld, path: str, given: Json) -> Json:
        """Search issues by `project = ACME`, `status = "Done"` and `key = ACME-1`, joined by AND."""
        terms = re.findall(r"""(\w+)\s*=\s*(?:"([^"]*)"|([\w-]+))""", given["jql"])
        if not terms:
            raise VendorError(400, "an unbounded query is not answered", place="jql")

        def value(thing: Thing, name: str) -> Any:
            if name == "key":
                return thing.values["key"]
            held = as_object(thing.values["fields"].get(name)) or {}
            return held.get("key" if name == "project" else "name")

        things = list(world.collection("/rest/api/3/issue").values())
        found = [e for e in things if all(value(e, name) == (a or b) for name, a, b in terms)]
        start, size = int(given.get("nextPageToken", "0")), given.get("maxResults", 50)
        page = [dict(each.values) for each in found[start : start + size]]
        is_last = start + size >= len(found)
        made: Json = {"issues": page, "isLast": is_last}
        return made if is_last else {**made, "nextPageToken": str(start + size)}

    added: Json = {
        "paths": {
            "/rest/api/3/search/jql": {
                "get": {
                    "operationId": "searchAndReconsileIssuesUsingJql",
                    "parameters": [
                        {"name": "jql", "in": "query", "required": True, "schema": TEXT},
                        {"name": "nextPageToken", "in": "query", "schema": TEXT},
                        {"name": "maxResults", "in": "query", "schema": {"type": "integer"}},
                        {"name": "fields", "in": "query", "schema": TEXT},
                        {"name": "expand", "in": "query", "schema": TEXT},
                    ],
                    "responses": {"200": {"content": {"application/json": {"schema": OPEN}}}},
                }
            }
        }
    }
    special: Mapping[str, Special] = {"searchAndReconsileIssuesUsingJql": search}


JIRA = Jira()
