"""Ask what a document does not say before a component is declared from it, or take it from options."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import click

from halflap.cli.openapi.folder import ComponentAnswers, files_of
from halflap.cli.openapi.guess import OAuthGrant, SignIn, address_of, grants_of, sign_in, sign_in_of
from halflap.cli.openapi.source import read_source
from halflap.cli.openapi.trimming import Depths, refused
from halflap.errors import ConfigError
from halflap.sdk.openapi import ApiDocument

MOST_LISTED = 40
Files = tuple[dict[str, str], dict[str, str]]


def declare_component(
    name: str,
    module: str,
    source: str,
    *,
    lists: bool,
    ask: bool,
    operations: str | None,
    depth: int,
    base_url: str | None,
    sign_in: str | None,
    idempotency_header: str | None,
    licence: str | None,
) -> Files | None:
    """Return the files of a component, and the words of its README; None where it only lists."""
    document = read_source(source)
    if lists:
        for id in document.ids():
            click.echo(line_of(document, id))
        return None
    chosen = choose(document, operations, ask)
    info = document.data.get("info", {})
    kind, parameter = sign_in_of(document)
    told: Mapping[str, str] = info.get("license") or {}
    said = licence or told.get("name") or ""
    way = sign_in or (f"{kind}:{parameter}" if parameter else kind)
    address, header = base_url or address_of(document), idempotency_header
    if ask:
        address = address if base_url else click.prompt("Address of the API", default=address)
        way = way if sign_in else click.prompt("Sign-in", default=way)
        if header is None:
            header = click.prompt("Header of a repeated request (empty for none)", default="")
        said = said or click.prompt("Licence of the document", default="not said")
    title = str(info.get("title") or name).strip()
    answers = ComponentAnswers(
        name,
        module,
        title.removesuffix(" API"),
        "".join(each.capitalize() for each in name.split("_")),
        chosen,
        address,
        way_of(way, grants_of(document, chosen, address)),
        header or "",
        said or "not said",
        source,
        Depths(answer=depth),
    )
    files = files_of(document, answers)
    return files, {
        "file": module,
        "parts": "actions that are declared from an OpenAPI document, and a connection",
        "more": f"The document is from {source}; its licence: {answers.licence}.",
        "keys": answers.idempotency_header or "none; what may have been done is not done again",
        "proven": "  - the actions are the document's operations",
        "missing": '  - "triggers: the document describes none"',
    }


def way_of(text: str, grants: tuple[OAuthGrant, ...]) -> SignIn:
    """Return the way to sign in that is written as `bearer` or `header:X-Key`."""
    kind, _, parameter = text.partition(":")
    if kind not in ("bearer", "basic", "none", "header", "query", "oauth2"):
        raise ConfigError(
            f"{text!r} is no sign-in: bearer, basic, oauth2, none, header:NAME or query:NAME"
        )
    if kind == "oauth2" and not grants:
        raise ConfigError(
            "the document names no OAuth 2 with its addresses; take bearer, and mend it"
        )
    if kind in ("header", "query") and not parameter:
        raise ConfigError(f"say the name: --sign-in {kind}:X-Api-Key")
    return sign_in(kind, parameter, grants)


def choose(document: ApiDocument, given: str | None, ask: bool) -> Sequence[str]:
    """Return the operations that are chosen: those given, else asked for; all of a small document."""
    ids = document.ids()
    if given is not None:
        chosen = matching(document, given)
    elif ask:
        show(document, ids)
        chosen = matching(document, click.prompt("Operations (ids, * for any part)", default="*"))
    else:
        chosen = ids
    wrong = refused(document, chosen)
    for id, why in wrong.items():
        click.echo(f"left out: {id}: {why}", err=True)
    chosen = [each for each in chosen if each not in wrong]
    if not chosen:
        raise ConfigError("no operation is left; see those that there are with --list")
    return chosen


def show(document: ApiDocument, ids: Sequence[str]) -> None:
    """List some operations, and say how many there are."""
    for id in ids[:MOST_LISTED]:
        click.echo(f"  {line_of(document, id)}")
    if len(ids) > MOST_LISTED:
        click.echo(f"  … and {len(ids) - MOST_LISTED} more: --list shows all")


def line_of(document: ApiDocument, id: str) -> str:
    """Return an operation in one line."""
    path, method = document.places[id]
    return f"{id:<48} {method.upper():<6} {path}"


def matching(document: ApiDocument, given: str) -> list[str]:
    """Return the operations that are named, by id, by a pattern of ids, or as `GET:/path`."""
    ids, found = document.ids(), dict[str, None]()
    for each in filter(None, (part.strip() for part in given.split(","))):
        pattern = each.replace(":/", " /", 1)
        hits = [id for id in ids if id == each or fnmatch.fnmatchcase(id, pattern)]
        if not hits:
            hits = [
                id
                for id in ids
                if fnmatch.fnmatchcase("{1} {0}".format(*upper(document.places[id])), pattern)
            ]
        if not hits:
            document.node(each)  # it says which are alike
        found |= dict.fromkeys(hits)
    return list(found)


def upper(place: tuple[str, str]) -> tuple[str, str]:
    """Return a path, and its method as it is written."""
    return place[0], place[1].upper()
