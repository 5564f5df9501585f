"""One write, and what Salesforce made of it: read back before anybody else can change the record.

Both go in one composite request that stands or falls as a whole. Where the reading is refused, the
write is sent alone: nothing that could be saved fails because it cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import unquote

from halflap import Response
from halflap.components.salesforce._answer import refusal
from halflap.components.salesforce.connection import Salesforce

COMPOSITE_SINCE = 38
"""The first API version that takes several requests in one."""

SAVED_ID = "@{saved.id}"
"""Stands in the path of the reading for the id that the write answers."""

HALTED = "PROCESSING_HALTED"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of one record, and where the record is read afterwards.

    since: the first API version whose answer says what `back` needs.
    """

    method: str
    path: str
    fields: Mapping[str, Any]
    back: str
    since: int = COMPOSITE_SINCE


@dataclass(frozen=True, slots=True)
class Written:
    """Salesforce's answer to a write, and the record's fields after it; none where they are unknown."""

    response: Response
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def written(sf: Salesforce, write: Write, names: Iterable[str]) -> Written:
    """Write, and read those fields back; a refusal of the write is raised as that of a plain one."""
    asked = readable(names, write.fields)
    if asked and may_be_composite(sf, write):
        answer = await sf.request("POST", sf.data("composite"), json=composite(write, asked))
        parts = {str(each["referenceId"]): each for each in answer.json()["compositeResponse"]}
        saved, read = parts["saved"], parts["read"]
        own = alone(sf, answer, write, saved)
        if is_ok(saved):
            return Written(own, told(read["body"]) if is_ok(read) else {})
        if not is_halted(saved):
            raise refusal(own)
    return Written(await sf.request(write.method, write.path, json=write.fields))


def readable(names: Iterable[str], given: Mapping[str, Any]) -> list[str]:
    """The fields that can be asked for by name, each once; a parent that is named by a key cannot."""
    plain = {
        name.lower(): name
        for name in names
        if re.fullmatch(r"\w+", name, re.ASCII) and not isinstance(given.get(name), Mapping)
    }
    return [name for lower, name in plain.items() if lower not in ("id", "attributes")]


def may_be_composite(sf: Salesforce, write: Write) -> bool:
    """Return whether this API version can do both at once, and no value would be taken for a
    reference.
    """
    reads_like_a_reference = "@{" in f"{unquote(write.path)} {write.fields}"
    return int(sf.api_version.partition(".")[0]) >= write.since and not reads_like_a_reference


def composite(write: Write, names: Sequence[str]) -> dict[str, Any]:
    """The request for both: where one is refused, neither is done."""
    fields = ",".join(["Id", *names])
    return {
        "allOrNone": True,
        "compositeRequest": [
            {
                "method": write.method,
                "url": write.path,
                "referenceId": "saved",
                "body": write.fields,
            },
            {"method": "GET", "url": f"{write.back}?fields={fields}", "referenceId": "read"},
        ],
    }


def alone(sf: Salesforce, answer: Response, write: Write, part: Mapping[str, Any]) -> Response:
    """The answer to one of the requests, as if it had been sent by itself."""
    said = part["body"]
    return replace(
        answer,
        status=part["httpStatusCode"],
        body=b"" if said is None else json.dumps(said, default=str).encode(),
        url=sf.base_url + write.path,
        method=write.method,
    )


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record by API name, without its id and its address."""
    return {name: value for name, value in record.items() if name not in ("Id", "attributes")}


def is_ok(part: Mapping[str, Any]) -> bool:
    """Return whether one of the requests was done."""
    return 200 <= part["httpStatusCode"] < 300


def is_halted(part: Mapping[str, Any]) -> bool:
    """Return whether a request was undone only because another one failed."""
    said = part["body"]
    errors = cast("list[Any]", said) if isinstance(said, list) else []
    return bool(errors) and all(
        isinstance(each, dict) and cast("dict[str, Any]", each).get("errorCode") == HALTED
        for each in errors
    )
