"""The partner and enterprise SOAP API, as far as signing in, who I am, and signing out."""

from __future__ import annotations

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused, Route
from halflap_sandbox.salesforce.markup import Element, element, nil
from halflap_sandbox.salesforce.model import Org, Session, User
from halflap_sandbox.salesforce.soap import Asked, answer, fault, read, serve

PARTNER = "urn:partner.soap.sforce.com"
ENTERPRISE = "urn:enterprise.soap.sforce.com"


async def partner(call: Call) -> Response:
    """Answer the partner API."""
    return _serve(call, PARTNER, "u")


async def enterprise(call: Call) -> Response:
    """Answer the enterprise API."""
    return _serve(call, ENTERPRISE, "c")


def _serve(call: Call, namespace: str, kind: str) -> Response:
    faults = namespace.replace("urn:", "urn:fault.")
    try:
        operation = read(call).operation
    except Refused as refused:
        return fault(refused, faults)
    if operation.name != "login":
        return serve(call, OPERATIONS, namespace=namespace, faults=faults)
    try:
        return answer("login", [_login(call, operation, kind)], namespace)
    except Refused as refused:
        return fault(refused, faults, "LoginFault")


def _login(call: Call, operation: Element, kind: str) -> Element:
    username, password = operation.get("username") or "", operation.get("password") or ""
    found = call.world.user(username)
    if found is None or password != found[1].password + found[1].security_token:
        message = "Invalid username, password, security token; or user locked out."
        raise Refused(500, "INVALID_LOGIN", message)
    org, user = found
    session = call.world.open(org, user, lasts=call.settings.session_lasts)
    soap = f"{call.instance_url}/services/Soap"
    version, org_id = call.path["version"], org.id[:15]
    return element(
        "result",
        element("metadataServerUrl", f"{soap}/m/{version}/{org_id}"),
        element("passwordExpired", False),
        element("sandbox", not org.production),
        element("serverUrl", f"{soap}/{kind}/{version}/{org_id}"),
        element("sessionId", session.token),
        element("userId", user.id),
        _user_info("userInfo", org, user, int(call.settings.session_lasts)),
    )


def _user_info(name: str, org: Org, user: User, lasts: int) -> Element:
    return element(
        name,
        element("accessibilityMode", False),
        element("chatterExternal", False),
        element("currencySymbol", "$"),
        element("orgAttachmentFileSizeLimit", 5242880),
        element("orgDefaultCurrencyDecimalSeparator", "."),
        element("orgDefaultCurrencyGroupingSeparator", ","),
        element("orgDefaultCurrencyIsoCode", "USD"),
        element("orgDefaultCurrencyLocale", "en_US"),
        element("orgDisallowHtmlAttachments", False),
        element("orgHasPersonAccounts", False),
        element("organizationId", org.id),
        element("organizationMultiCurrency", False),
        element("organizationName", org.name),
        element("profileId", f"00e{org.id[3:]}"),
        nil("roleId"),
        element("sessionSecondsValid", lasts),
        nil("userDefaultCurrencyIsoCode"),
        element("userEmail", user.email),
        element("userFullName", user.display_name),
        element("userId", user.id),
        element("userLanguage", "en_US"),
        element("userLocale", "en_US"),
        element("userName", user.username),
        element("userTimeZone", "Etc/UTC"),
        element("userType", "Standard"),
        element("userUiSkin", "Theme3"),
    )


def _get_user_info(asked: Asked) -> list[Element]:
    session: Session = asked.session
    left = int(session.expires_at - asked.call.world.clock())
    return [_user_info("result", session.org, session.user, left)]


def _logout(asked: Asked) -> list[Element]:
    asked.call.world.sessions.pop(asked.session.token, None)
    return []


OPERATIONS = {"getUserInfo": _get_user_info, "logout": _logout}

ROUTES: list[Route] = [
    ("POST", f"/services/Soap/{kind}/{{version}}{rest}", handler)
    for kind, handler in (("u", partner), ("c", enterprise))
    for rest in ("", "/{org:path}")
]
