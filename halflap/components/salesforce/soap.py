"""The Metadata API: SOAP, as much of it as outbound messages need."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio.to_thread
from lxml import etree as _untyped  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

from halflap import RateLimited, Unauthorized, UpstreamError
from halflap.components.salesforce._answer import TRANSIENT, raise_for_status
from halflap.components.salesforce.connection import Salesforce

etree = cast(Any, _untyped)

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
METADATA = "http://soap.sforce.com/2006/04/metadata"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TYPE = f"{{{INSTANCE}}}type"
NIL = f"{{{INSTANCE}}}nil"
MOST_NAMES = 10
"""The most names that one call of readMetadata or deleteMetadata takes."""

Value = str | bool | int | None | Sequence[Any] | Mapping[str, Any]


async def list_metadata(sf: Salesforce, kind: str) -> Sequence[Any]:
    """The properties of all components of a type: `id`, `fullName`."""
    ask = {"queries": {"type": kind}, "asOfVersion": sf.api_version}
    return await call(sf, "listMetadata", ask)


async def read_metadata(sf: Salesforce, kind: str, names: Sequence[str]) -> Sequence[Any]:
    """Components by full name; one that is not there is left out."""
    found: list[Any] = []
    for start in range(0, len(names), MOST_NAMES):
        ask = {"type": kind, "fullNames": names[start : start + MOST_NAMES]}
        for result in await call(sf, "readMetadata", ask):
            found += [each for each in many(result, "records") if text(each, "fullName")]
    return found


async def create_metadata(sf: Salesforce, kind: str, component: Mapping[str, Value]) -> None:
    """Create one component."""
    for result in await call(sf, "createMetadata", {"metadata": {TYPE: kind, **component}}):
        raise_for_failure(result, f"create {kind} {component['fullName']}")


async def delete_metadata(sf: Salesforce, kind: str, name: str) -> None:
    """Delete one component; one that is gone already is fine."""
    for result in await call(sf, "deleteMetadata", {"type": kind, "fullNames": name}):
        if not any(text(each, "statusCode") in GONE for each in many(result, "errors")):
            raise_for_failure(result, f"delete {kind} {name}")


GONE = frozenset({"INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED", "NOT_FOUND"})


async def start_deploy(sf: Salesforce, archive: bytes) -> str:
    """Start to deploy a zip, all of it or nothing; the id to ask about it by."""
    ask: Mapping[str, Value] = {
        "ZipFile": base64.b64encode(archive).decode(),
        "DeployOptions": {
            "allowMissingFiles": False,
            "autoUpdatePackage": False,
            "checkOnly": False,
            "ignoreWarnings": True,
            "performRetrieve": False,
            "purgeOnDelete": False,
            "rollbackOnError": True,
            "singlePackage": True,
        },
    }
    (result,) = await call(sf, "deploy", ask)
    return text(result, "id")


async def deploy_status(sf: Salesforce, id: str) -> Any:
    """Return the progress of a deployment."""
    ask: Mapping[str, Value] = {"asyncProcessId": id, "includeDetails": True}
    (result,) = await call(sf, "checkDeployStatus", ask)
    return result


async def call(sf: Salesforce, operation: str, ask: Mapping[str, Value]) -> Sequence[Any]:
    """Call an operation and return its results; a session that ended is renewed once."""
    if not sf.token:
        sf = await sf.refreshed()
    answer = await send(sf, operation, ask)
    if fault_code(answer) == "INVALID_SESSION_ID":
        sf = await sf.refreshed()
        answer = await send(sf, operation, ask)
    code = fault_code(answer)
    if code is not None:
        raise fault(
            code, text(answer.find(f".//{{{ENVELOPE}}}Fault"), "faultstring", ""), operation
        )
    return many(answer.find(f".//{{{METADATA}}}{operation}Response"), "result")


async def send(sf: Salesforce, operation: str, ask: Mapping[str, Value]) -> Any:
    """Send one call with the session that a connection has; the answer's envelope."""
    envelope = etree.Element(
        f"{{{ENVELOPE}}}Envelope", nsmap={"soapenv": ENVELOPE, "xsi": INSTANCE}
    )
    header = etree.SubElement(envelope, f"{{{ENVELOPE}}}Header")
    add(header, "SessionHeader", {"sessionId": sf.token})
    add(etree.SubElement(envelope, f"{{{ENVELOPE}}}Body"), operation, ask)
    response = await sf.request(
        "POST",
        f"/services/Soap/m/{sf.api_version}",
        body=etree.tostring(envelope, xml_declaration=True, encoding="UTF-8"),
        headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
        check=False,
    )
    try:
        answer = await anyio.to_thread.run_sync(read, response.body)  # it may have megabytes
    except UpstreamError:
        raise_for_status(response)
        raise
    if answer.tag != f"{{{ENVELOPE}}}Envelope":
        raise_for_status(response)
    return answer


def add(parent: Any, name: str, value: Value) -> None:
    """Add a value below an element: a list as so many elements, None as none."""
    match value:
        case None:
            return
        case Mapping():
            element = etree.SubElement(parent, f"{{{METADATA}}}{name}", nsmap={None: METADATA})
            for inner, each in cast("Mapping[str, Value]", value).items():
                if inner == TYPE:
                    element.set(TYPE, str(each))
                else:
                    add(element, inner, each)
        case str() | bool() | int():
            element = etree.SubElement(parent, f"{{{METADATA}}}{name}", nsmap={None: METADATA})
            element.text = str(value).lower() if isinstance(value, bool) else str(value)
        case _:
            for each in value:
                add(parent, name, each)


def read(body: bytes) -> Any:
    """The root of an answer: no document type, no entities, nothing fetched."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UpstreamError(
            f"Salesforce answered what is not XML: {error}", retryable=True
        ) from error
    if root.getroottree().docinfo.doctype:
        raise UpstreamError("Salesforce answered XML with a document type", retryable=False)
    return root


def many(element: Any, name: str) -> list[Any]:
    """The elements of a name right below one; those that are nil are left out."""
    if element is None:
        return []
    return [each for each in element.findall(f"{{*}}{name}") if each.get(NIL) not in ("true", "1")]


def text(element: Any, name: str, default: str = "") -> str:
    """The text of an element below one: `start/object`."""
    path = "/".join(f"{{*}}{each}" for each in name.split("/"))
    found = element.findtext(path) if element is not None else None
    return (found or "").strip() or default


def fault_code(answer: Any) -> str | None:
    """The code of a SOAP fault, without its prefix; None where there is no fault."""
    found = answer.find(f".//{{{ENVELOPE}}}Fault")
    return None if found is None else text(found, "faultcode", "?").rpartition(":")[2]


def fault(code: str, said: str, operation: str) -> UpstreamError:
    """The error that a SOAP fault means."""
    what = f"{operation} at Salesforce's Metadata API: {code}: {said[:600]}"
    if code == "INVALID_SESSION_ID":
        return Unauthorized(f"{what}; connect again")
    if code == "REQUEST_LIMIT_EXCEEDED":
        return RateLimited(f"{what}; requests come back within 24 hours", status=403)
    return UpstreamError(what, status=500, retryable=code in TRANSIENT, body=said[:2_000])


def raise_for_failure(result: Any, what: str) -> None:
    """Raise what a component's result says went wrong."""
    if text(result, "success") == "true":
        return
    errors = many(result, "errors")
    said = "; ".join(f"{text(each, 'statusCode')}: {text(each, 'message')}" for each in errors)
    codes = {text(each, "statusCode") for each in errors}
    raise UpstreamError(
        f"Salesforce refused to {what}: {said or 'no reason was given'}",
        status=400,
        retryable=bool(codes & TRANSIENT),
        body=said[:2_000],
    )
