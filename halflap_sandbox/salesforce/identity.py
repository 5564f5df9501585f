"""The identity of who is signed in: at the address that a token's answer names, and in OpenID's
words.
"""

from __future__ import annotations

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Route, answer
from halflap_sandbox.salesforce.model import Json, Org, User


def address(call: Call, org: Org, user: User) -> str:
    """Name a user of an org by an address, as the answer of a token does."""
    return f"{call.instance_url}/id/{org.id}/{user.id}"


async def user_info(call: Call) -> Response:
    """Tell who is signed in, in OpenID's words."""
    if call.session is None:
        return Response("Bad_OAuth_Token", 403, media_type="text/html")
    org, user = call.org, call.user
    first, _, last = user.display_name.rpartition(" ")
    return answer(
        {
            "sub": address(call, org, user),
            "user_id": user.id,
            "organization_id": org.id,
            "preferred_username": user.username,
            "nickname": user.username.partition("@")[0],
            "name": user.display_name,
            "given_name": first,
            "family_name": last,
            "email": user.email,
            "email_verified": True,
            "zoneinfo": "Europe/Berlin",
            "locale": "en_US",
            "language": "en_US",
            "user_type": "STANDARD",
            "active": True,
            "utcOffset": 3600000,
            "urls": _urls(call, org, user),
        }
    )


async def identity(call: Call) -> Response:
    """Tell who is signed in, at the address that a token's answer names."""
    if call.session is None:
        return Response("Bad_OAuth_Token", 403, media_type="text/html")
    org, user = call.org, call.user
    if call.path["org"][:15] != org.id[:15] or call.path["user"][:15] != user.id[:15]:
        return Response("Wrong_Org", 403, media_type="text/html")
    return answer(
        {
            "id": address(call, org, user),
            "asserted_user": True,
            "user_id": user.id,
            "organization_id": org.id,
            "username": user.username,
            "nick_name": user.username.partition("@")[0],
            "display_name": user.display_name,
            "email": user.email,
            "email_verified": True,
            "urls": _urls(call, org, user),
            "active": True,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": 3600000,
        }
    )


def _urls(call: Call, org: Org, user: User) -> Json:
    soap, data = f"{call.instance_url}/services/Soap", "/services/data/v{version}/"
    return {
        "enterprise": f"{soap}/c/{{version}}/{org.id}",
        "metadata": f"{soap}/m/{{version}}/{org.id}",
        "partner": f"{soap}/u/{{version}}/{org.id}",
        "rest": f"{call.instance_url}{data}",
        "sobjects": f"{call.instance_url}{data}sobjects/",
        "query": f"{call.instance_url}{data}query/",
        "tooling_rest": f"{call.instance_url}{data}tooling/",
        "profile": f"{call.instance_url}/{user.id}",
        "custom_domain": call.instance_url,
    }


ROUTES: tuple[Route, ...] = (
    ("GET", "/services/oauth2/userinfo", user_info),
    ("POST", "/services/oauth2/userinfo", user_info),
    ("GET", "/id/{org}/{user}", identity),
)
