"""SOAP 1.1 as Salesforce speaks it: the envelope of a request, answers and faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused
from halflap_sandbox.salesforce.markup import XSI, Element, Malformed, element, parse, write
from halflap_sandbox.salesforce.model import Session

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request: what it asks for, and the session id of its header, if any."""

    operation: Element
    session_id: str | None
    all_or_none: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that somebody signed in asks for; with `all_or_none` all of it or nothing."""

    call: Call
    session: Session
    operation: Element
    all_or_none: bool = False


Operation = Callable[[Asked], list[Element]]
"""An operation: it gives the children of its answer."""


def read(call: Call) -> Envelope:
    """Read a request. Raises Refused where it is no SOAP envelope, or of no version that there is."""
    if not re.fullmatch(r"[1-9][0-9]\.0", call.path["version"]):
        message = f"Invalid Api version specified on URL: {call.path['version']}"
        raise Refused(500, "UNSUPPORTED_API_VERSION", message)
    try:
        root = parse(call.body)
    except Malformed as error:
        raise _client_error(error.message) from error
    content = root.child("Body")
    if root.name != "Envelope" or root.namespace != ENVELOPE or content is None:
        raise _client_error("Content is not a SOAP 1.1 envelope")
    if not content.children:
        raise _client_error("The SOAP body is empty")
    header = root.child("Header")
    session = header.child("SessionHeader") if header else None
    whole = header.child("AllOrNoneHeader") if header else None
    session_id = session.get("sessionId") if session else None
    return Envelope(content.children[0], session_id, bool(whole and whole.true("allOrNone")))


def authenticate(call: Call, envelope: Envelope) -> Session:
    """Find the session of a request, and count the request. Raises Refused where it has none."""
    session = call.world.session(envelope.session_id or "")
    if session is None:
        message = (
            "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, "
            "missing session key"
        )
        raise Refused(500, "INVALID_SESSION_ID", message)
    org = session.org
    if org.api_requests >= org.daily_api_requests:
        raise Refused(500, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    org.api_requests += 1
    return session


def serve(
    call: Call, operations: Mapping[str, Operation], *, namespace: str, faults: str | None = None
) -> Response:
    """Answer a request with one of these operations, or with a fault.

    `namespace` is that of the answer, `faults` that of the faults where it is another.
    """
    try:
        envelope = read(call)
        name = envelope.operation.name
        if (operation := operations.get(name)) is None:
            raise _client_error(f"No operation available for request {{{namespace}}}{name}")
        session = authenticate(call, envelope)
        return answer(
            name,
            operation(Asked(call, session, envelope.operation, envelope.all_or_none)),
            namespace,
        )
    except Refused as refused:
        return fault(refused, faults or namespace)


def answer(operation: str, content: list[Element], namespace: str) -> Response:
    """Answer an operation."""
    body = write(element(f"{operation}Response", *content))
    return _respond(f'xmlns="{namespace}"', body, 200)


def fault(refused: Refused, namespace: str, detail: str | None = None) -> Response:
    """Answer with a fault; `detail` names its type, such as `LoginFault`, where it has one."""
    prefix = "soapenv" if refused.code == "Client" else "sf"
    text = refused.message if prefix == "soapenv" else f"{refused.code}: {refused.message}"
    parts = [element("faultcode", f"{prefix}:{refused.code}"), element("faultstring", text)]
    if detail:
        code = element("sf:exceptionCode", refused.code)
        message = element("sf:exceptionMessage", refused.message)
        parts.append(element("detail", element(f"sf:{detail}", code, message, type=f"sf:{detail}")))
    return _respond(f'xmlns:sf="{namespace}"', write(element("soapenv:Fault", *parts)), 500)


def _client_error(message: str) -> Refused:
    return Refused(500, "Client", message)


def _respond(declared: str, body: str, status: int) -> Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" {declared} xmlns:xsi="{XSI}">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    return Response(text.encode(), status, media_type="text/xml; charset=utf-8")
