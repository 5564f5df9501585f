"""Guess what a document does not say, or says in words: names, titles, pages of lists, sign-in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from halflap.sdk.openapi import ApiDocument, ApiInput, ApiOperation, Node, snake

SIZES = (
    *("limit", "per_page", "pagesize", "page_size", "maxresults", "max_results", "size", "count"),
    *("$top", "top", "pagelen", "page_limit"),
)
TOKENS = (
    *("cursor", "page_token", "pagetoken", "nextpagetoken", "next_token", "nexttoken", "continue"),
    *("next_cursor", "next", "continuation_token", "starttoken", "start_cursor", "marker"),
)
NEXT = (*TOKENS, "next_page_token", "next_page", "endcursor", "next_marker")
OFFSETS = ("offset", "startat", "start", "skip", "$skip", "start_position")
NUMBERS = ("page", "page_number", "pagenumber", "pageno")
LASTS = ("starting_after",)
TOTALS = ("total", "total_count", "totalcount", "total_items", "totalresults", "total_entries")
LARGEST = 100


def action_name(document: ApiDocument, id: str, taken: Iterable[str]) -> str:
    """Return a name for the action of an operation: of its id, else of its method and path."""
    path, method = document.places[id]
    words = id if " " not in id else f"{method} {re.sub(r'[{}]', '', path)}"
    name, known, number = snake(words), set(taken), 2
    made = name
    while made in known:
        made, number = f"{name}_{number}", number + 1
    return made


def title_for(operation: ApiOperation, name: str) -> str:
    """Return a title: the document's summary, where it is short, else the action's name in words."""
    summary = operation.summary.rstrip(".…")
    if 3 <= len(summary) <= 60:
        return summary[0].upper() + summary[1:]
    words = name.strip("_").replace("_", " ")
    return words[0].upper() + words[1:]


def first_inputs(operation: ApiOperation, left_out: Iterable[str]) -> str:
    """Return the optional inputs that a form shows before "More", where there are many."""
    gone = set(left_out)
    optional = [each for each in operation.inputs if not each.required and each.key not in gone]
    return "" if len(operation.inputs) <= 8 else " ".join(each.name for each in optional[:5])


def paging_for(operation: ApiOperation) -> str | None:
    """Return how a list comes in pages, as the declaration says it; None where nothing tells."""
    if operation.method not in ("GET", "POST") or operation.answer is None:
        return None
    items = items_of(operation.answer)
    if items is None:
        return None
    place = "query" if operation.method == "GET" else "body"
    keys = {each.key.lower(): each for each in operation.inputs if each.place == place}
    size = next((keys[each] for each in SIZES if each in keys), None)
    sized = "" if size is None else f", size={quoted(size.key)}, largest={largest(size)}"
    if found := next((keys[each] for each in LASTS if each in keys), None):
        more = "has_more" if "has_more" in (operation.answer.get("properties") or {}) else ""
        return f"Paging.cursor({quoted(items, found.key)}, more={quoted(more)}{sized})"
    if found := next((keys[each] for each in TOKENS if each in keys), None):
        token = next((each for each in paths_in(operation.answer) if _last(each) in NEXT), None)
        if token is not None:
            return f"Paging.token({quoted(items, found.key, token)}{sized})"
    if found := next((keys[each] for each in OFFSETS if each in keys), None):
        paths = list(paths_in(operation.answer))
        token = [each for each in paths if "." in each and _last(each) == found.key.lower()]
        if token and found.schema.get("type") == "string":
            return f"Paging.token({quoted(items, found.key, token[0])}{sized})"
        total = next((each for each in paths if _last(each) in TOTALS), "")
        return f"Paging.offset({quoted(items, found.key, total)}{sized})"
    if found := next((keys[each] for each in NUMBERS if each in keys), None):
        token = next((each for each in paths_in(operation.answer) if _last(each) in NEXT), None)
        if token is not None and found.schema.get("type") == "string":
            return f"Paging.token({quoted(items, found.key, token)}{sized})"
        return f"Paging.number({quoted(items, found.key)}{sized})"
    linked = place == "query" and size is not None and items == ""
    return f"Paging.link({quoted(items)}{sized})" if linked else None


def quoted(*texts: str) -> str:
    """Return texts as arguments in Python, whatever is in them."""
    return ", ".join(json.dumps(each, ensure_ascii=not each.isprintable()) for each in texts)


def in_docstring(text: str) -> str:
    """Return a text as it may stand in a docstring: in one line, and with nothing that ends it."""
    return " ".join("".join(" " if each in '"\\' else each for each in text).split())


def _last(path: str) -> str:
    return path.rpartition(".")[2].lower()


def largest(size: ApiInput) -> int:
    """Return how large a page may be."""
    most = size.schema.get("maximum")
    return int(most) if isinstance(most, int) and 0 < most <= 1_000 else LARGEST


def items_of(schema: Node) -> str | None:
    """Return the field of an answer that is the list; empty where all of it is, None where none is."""
    if schema.get("type") == "array":
        return ""
    fields: Mapping[str, Node] = schema.get("properties") or {}
    lists = [name for name, each in fields.items() if each.get("type") == "array"]
    return lists[0] if len(lists) == 1 else next((n for n in lists if n in ("data", "items")), None)


def paths_in(schema: Node) -> Iterable[str]:
    """Yield the dotted paths of an answer's fields, two deep."""
    fields: Mapping[str, Node] = schema.get("properties") or {}
    for name, each in fields.items():
        yield name
        for inner in each.get("properties") or ():
            yield f"{name}.{inner}"


# Sign-in --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignIn:
    """A way to sign in: its fields, and the lines of the connection's methods."""

    kind: str
    about: str
    fields: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    query: str = ""
    """The parameter of the query that carries the key, where one does."""
    grants: tuple[OAuthGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """A way of OAuth 2 to get tokens, and the addresses and scopes that the document names for it."""

    kind: str
    cls: str
    about: str
    token_url: str
    authorize_url: str = ""
    scopes: tuple[str, ...] = ()


GRANTS = {
    "authorizationCode": ("oauth2_code", "OAuth2Code", "Sign in at {title} in a browser."),
    "clientCredentials": (
        "client_credentials",
        "ClientCredentials",
        "A client that {title} trusts.",
    ),
}
"""By the flow of a document: the kind, the class that signs in so, and what that is."""


def sign_in(kind: str, name: str = "", grants: tuple[OAuthGrant, ...] = ()) -> SignIn:
    """Return a way to sign in: `bearer`, `basic`, `header` (by its name), `query` (the same), `none`.

    `oauth2` has the document's `grants`.
    """
    match kind:
        case "oauth2":
            return SignIn(kind, "An account", grants=grants)
        case "basic":
            body = (
                'both = f"{self.username}:{self.password.get_secret_value()}"',
                'return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}',
            )
            fields = ("username: str", "password: SecretStr")
            return SignIn(kind, "A user and a password", fields, body)
        case "header":
            body = (f"return {{{quoted(name)}: self.api_key.get_secret_value()}}",)
            return SignIn(kind, "An API key", ("api_key: SecretStr",), body)
        case "query":
            body = ("return self.api_key.get_secret_value()",)
            return SignIn(kind, "An API key", ("api_key: SecretStr",), body, name)
        case "bearer":
            body = ('return {"Authorization": f"Bearer {self.token.get_secret_value()}"}',)
            return SignIn(kind, "A token", ("token: SecretStr",), body)
        case _:
            return SignIn("none", "Nobody signs in")


def sign_in_of(document: ApiDocument) -> tuple[str, str]:
    """Return the kind of the first way to sign in that is known, and the header's or parameter's name."""
    schemes = schemes_of(document)
    for each in schemes.values():
        kind, scheme = each.get("type"), str(each.get("scheme", "")).lower()
        if kind == "http" and scheme in ("basic", "bearer"):
            return scheme, ""
        if kind == "apiKey" and each.get("in") == "header":
            name = str(each.get("name", "Authorization"))
            return ("bearer", "") if name.lower() == "authorization" else ("header", name)
        if kind == "apiKey" and each.get("in") == "query":
            return "query", str(each.get("name"))
        if kind == "oauth2" and grants_of(document, ()):
            return "oauth2", ""
        if kind in ("oauth2", "openIdConnect"):
            return "bearer", ""
    return ("none", "") if schemes else ("bearer", "")


def schemes_of(document: ApiDocument) -> Mapping[str, Node]:
    """Return the ways to sign in that a document names."""
    components: Mapping[str, Any] = document.data.get("components") or {}
    return components.get("securitySchemes") or {}


def grants_of(
    document: ApiDocument, ids: Iterable[str], address: str = ""
) -> tuple[OAuthGrant, ...]:
    """Return the ways of OAuth 2 that a document names, with the scopes that some operations need."""
    found: dict[str, OAuthGrant] = {}
    base = address or address_of(document)
    for name, scheme in schemes_of(document).items():
        flows: Mapping[str, Node] = (
            (scheme.get("flows") or {}) if scheme.get("type") == "oauth2" else {}
        )
        needed = scopes_of(document, ids, name)
        for flow, (kind, cls, about) in GRANTS.items():
            one = flows.get(flow) or {}
            known: Mapping[str, Any] = one.get("scopes") or {}
            token = whole_address(base, one.get("tokenUrl"))
            authorize = whole_address(base, one.get("authorizationUrl"))
            if token and (authorize or flow == "clientCredentials") and kind not in found:
                scopes = tuple(each for each in known if each in needed)
                authorize = authorize if flow == "authorizationCode" else ""
                found[kind] = OAuthGrant(kind, cls, about, token, authorize, scopes)
    return tuple(found.values())


def scopes_of(document: ApiDocument, ids: Iterable[str], scheme: str) -> set[str]:
    """Return the scopes that operations need of a way to sign in."""
    whole: list[Node] = document.data.get("security") or []
    found: set[str] = set()
    for id in ids:
        node, _ = document.node(id)
        ways: list[Node] = node.get("security", whole)
        found |= {str(each) for way in ways for each in way.get(scheme) or ()}
    return found


def whole_address(base: str, url: Any) -> str:
    """Return an address of a document as a whole one; empty where it is none."""
    found = urljoin(f"{base}/", str(url or "")) if url else ""
    return found if found.startswith(("https://", "http://")) else ""


def address_of(document: ApiDocument) -> str:
    """Return the address of the first server; empty where there is none that is whole."""
    servers: list[Node] = document.data.get("servers") or []
    url = str(servers[0].get("url", "")) if servers else ""
    variables: Mapping[str, Node] = (servers[0].get("variables") or {}) if servers else {}
    for name, each in variables.items():
        url = url.replace("{" + name + "}", str(each.get("default", "")))
    url = url.rstrip("/")
    return f"https:{url}" if url.startswith("//") else url if url.startswith("http") else ""
