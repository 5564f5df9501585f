"""Read a specification from a file or an address: JSON or YAML, of OpenAPI or Swagger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from halflap.cli.openapi.swagger import converted
from halflap.errors import ConfigError
from halflap.sdk.openapi import ApiDocument, UnsupportedSpecification

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
