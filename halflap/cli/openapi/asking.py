"""Ask what a document does not say before a component is declared from it, or take it from options."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from halflap.cli.openapi.folder import ComponentAnswers, files_of
from halflap.cli.openapi.guess import OAuthGrant, SignIn, address_of, grants_of, sign_in, sign_in_of
from halflap.cli.openapi.swagger import converted
from halflap.cli.openapi.trimming import Depths, refused
from halflap.errors import ConfigError
from halflap.sdk.openapi import ApiDocument, UnsupportedSpecification

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


LARGEST = 64 * 1024 * 1024
DEEPEST = 200
MOST_VALUES = 5_000_000
"""The most values of a document of YAML, what stands behind aliases counted each time."""
VALUE_LENGTH = 64
"""The characters of a text that count as one value."""


def read_source(source: str) -> ApiDocument:
    """Return the document at a path or an `https` address; a Swagger 2.0 one is converted."""
    is_address = source.startswith(("https://", "http://"))
    data = asyncio.run(download(source)) if is_address else from_file(Path(source))
    name = source.rstrip("/").rpartition("/")[2] or source
    found = parsed_source(data, name)
    if str(found.get("swagger")) == "2.0":
        found = converted(found)
    return ApiDocument(found, name)


def from_file(path: Path) -> bytes:
    """Return a file's content; `ConfigError` where there is none."""
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; give the path or the address of a document")
    if path.stat().st_size > LARGEST:
        raise ConfigError(f"{path} has more than {LARGEST:,} bytes")
    return path.read_bytes()


async def download(address: str) -> bytes:
    """Return what is at an address, `LARGEST` bytes at most."""
    import aiohttp

    try:
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            if response.status != 200:
                raise ConfigError(f"{address} answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > LARGEST:
                    raise ConfigError(f"{address} has more than {LARGEST:,} bytes")
            return bytes(body)
    except aiohttp.ClientError as error:
        raise ConfigError(f"{address} cannot be read: {error}") from error


def parsed_source(data: bytes, name: str) -> Mapping[str, Any]:
    """Return a document of JSON or YAML as data."""
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            found: Any = json.loads(data)
        except ValueError as error:
            raise ConfigError(f"{name} is not JSON: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{name} is nested too deeply") from error
    else:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        from halflap.lowcode.source import explained

        def load(*, pure: bool) -> Any:
            read: Any = YAML(typ="safe", pure=pure)
            check_size(read.parse(data), name)
            return read.load(data)

        try:
            try:
                found = load(pure=False)
            except MarkedYAMLError:  # the fast one reads YAML 1.1: [read:contacts] is none there
                found = load(pure=True)
        except MarkedYAMLError as error:
            raise ConfigError(str(explained(error, data.decode(errors="replace"), name))) from error
        except (YAMLError, ValueError) as error:
            raise ConfigError(f"{name} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(found, Mapping):
        raise UnsupportedSpecification(f"{name} is no OpenAPI document")
    return cast("Mapping[str, Any]", found)


def check_size(events: Iterable[Any], name: str) -> None:
    """Raise `ConfigError` for YAML that nests too deeply, or whose aliases stand for too many values."""
    sizes: dict[str, int] = {}  # by anchor; that of one that is still open is not known
    open_nodes: list[tuple[str | None, int]] = []
    count = 0
    for event in events:
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in sizes:
                raise ConfigError(
                    f"{name}: the alias *{event.anchor} leads back to what it stands in"
                )
            count += sizes[event.anchor]
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            open_nodes.append((event.anchor, count))
            count += 1
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif kind == "ScalarEvent":
            size = 1 + len(event.value) // VALUE_LENGTH
            count += size
            if event.anchor is not None:
                sizes[event.anchor] = size
        if count > MOST_VALUES:
            raise ConfigError(
                f"{name} has more than {MOST_VALUES:,} values of {VALUE_LENGTH} characters, "
                "aliases counted"
            )
        if len(open_nodes) > DEEPEST:
            raise ConfigError(f"{name} is nested more than {DEEPEST} deep")
