"""The team: users, sign-ins, sessions, keys of programs, and who the principal of a request is."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response

from halflap.api.asking import (
    USUAL_PAGE,
    After,
    Ops,
    PageSize,
    exact,
    for_customers,
    last_id,
    needs,
    router_of,
)
from halflap.api.door import cookie_in, cookie_of, foreign
from halflap.api.operations import Operations
from halflap.api.operations.people import INVITED, LINKED, check_grant, check_reach, normalized
from halflap.api.people_view import (
    KeyDraft,
    KeyMade,
    KeyRotation,
    KeyView,
    LinkDraft,
    LinkView,
    Me,
    PasswordDraft,
    ProviderSignIn,
    SessionView,
    SignInDraft,
    SignInMethods,
    UserAdded,
    UserChange,
    UserDraft,
    UserView,
)
from halflap.api.principal import OBJECTS
from halflap.api.problem import documented
from halflap.api.rights import RIGHTS, ROLES
from halflap.api.view import ListPage
from halflap.errors import ConfigError, NotFound
from halflap.gateway.edge import address_owner
from halflap.model import AccessKey, UserSession

JSON = "application/json"
BEGUN = "halflap_sign_in"
"""The name of the cookie of a sign-in at a provider that has begun."""
router = router_of("/api", "team")


@router.get("/session")
@needs()
async def list_sign_in_methods(operations: Ops) -> SignInMethods:
    """The ways to sign in; needs no token."""
    provider = operations.people.provider
    return SignInMethods(oidc=provider and urlsplit(provider.settings.issuer).netloc)


@router.post("/session/oidc", response_model=ProviderSignIn, responses=documented(502))
@needs(audited="no")
async def begin_provider_sign_in(request: Request, operations: Ops) -> Response:
    """Begin a sign-in at the team's provider; the answer's cookie binds it to this browser."""
    check_page(request)
    provider = operations.people.provider
    if provider is None:
        raise NotFound("there is no sign-in provider; set HALFLAP_OIDC_ISSUER")
    url, sealed = await provider.begin()
    answer = exact(ProviderSignIn(url=url))
    answer.headers["Set-Cookie"] = cookie_of(sealed, request.scope, 600, BEGUN)
    return answer


@router.post("/session", response_model=SessionView, responses=documented(429, 502))
@needs()
async def sign_in(draft: SignInDraft, request: Request, operations: Ops) -> Response:
    """Sign in with an email and a password, or with a link; the answer sets the session's cookie.

    The other fields of the answer: who is signed in, and the CSRF token for what changes something.
    """
    check_page(request)
    people = operations.people
    if draft.link is not None:
        session = await people.follow_link(draft.link.get_secret_value(), address_of(request))
    elif draft.code is not None:
        begun = cookie_in(request.scope, BEGUN) or ""
        code = draft.code.get_secret_value()
        address = address_of(request)
        session = await people.identify(begun, code, draft.state, draft.iss, address)
    elif draft.email is not None and draft.password is not None:
        password = draft.password.get_secret_value()
        user = await operations.catalogue.users.find("email", normalized(draft.email))
        request.scope[OBJECTS] = {"user": user and user.id}
        session = await people.sign_in(draft.email, password, address_of(request))
    else:
        raise ConfigError("give an email and a password, or a link", fields={"email": "is missing"})
    if operations.principal.session is not None:
        await operations.catalogue.sessions.end(operations.principal.session)
    return signed_in(session, request, operations)


@router.delete("/session", status_code=204)
@needs()
async def sign_out(request: Request, operations: Ops) -> Response:
    """End the session whose cookie was sent."""
    if operations.principal.session is not None:
        await operations.catalogue.sessions.end(operations.principal.session)
    cookie = cookie_of("", request.scope, 0)
    return Response(status_code=204, headers={"Set-Cookie": cookie})


@router.get("/me")
@for_customers
@needs()
async def get_me(operations: Ops) -> Me:
    """Return who the principal of this request is, and what it may do."""
    principal = operations.principal
    user = None
    if principal.kind == "user":
        user = await operations.catalogue.users.get(principal.id)
    return Me(
        kind=principal.kind,
        id=principal.id,
        label=principal.label,
        user=user and UserView.of(user),
        role=user and user.role,
        rights=[each for each in RIGHTS if each in principal.rights],
        customer=principal.customer,
        csrf=principal.session and operations.people.csrf(principal.session),
    )


@router.post("/me/password", response_model=SessionView)
@needs()
async def set_password(draft: PasswordDraft, request: Request, operations: Ops) -> Response:
    """Set your own password: ends all your sessions, and starts another one.

    The present one is needed, but for 15 minutes after a sign-in by a link.
    """
    principal = operations.principal
    if principal.session is None:
        raise HTTPException(403, "This is for a person who has signed in.")
    session = await operations.people.set_password(
        principal.session,
        None if draft.current is None else draft.current.get_secret_value(),
        draft.password.get_secret_value(),
        operations.store.clock(),
        address_of(request),
    )
    return signed_in(session, request, operations)


@router.get("/users")
@needs("admin")
async def list_users(
    operations: Ops, after: After = None, limit: PageSize = USUAL_PAGE
) -> ListPage[UserView]:
    """The members of the team, by email."""
    found = await operations.catalogue.users.list(after, limit)
    return ListPage(
        items=[UserView.of(each) for each in found],
        next=found[-1].email if len(found) == limit else None,
    )


@router.post("/users", status_code=201)
@needs("admin")
async def add_user(draft: UserDraft, request: Request, operations: Ops) -> UserAdded:
    """Add a member of the team; `link` signs in once, within 24 hours, to set a password."""
    check_grant(operations.principal, ROLES[draft.role])
    users = operations.catalogue.users
    user = await users.add(normalized(draft.email), draft.name, draft.role)
    link = await users.make_link(user.id, INVITED)
    return UserAdded.of(UserView.of(user), link=link, url=page_of(request, link))


@router.patch("/users/{user}")
@needs("admin")
async def change_user(user: str, change: UserChange, operations: Ops) -> UserView:
    """Change a member of the team, by id or email. Another role ends the user's sessions."""
    found = await operations.catalogue.users.get(user)
    check_reach(operations.principal, found)
    if change.role is not None:
        check_grant(operations.principal, ROLES[change.role])
    changed = await operations.catalogue.users.change(
        found.id, name=change.name, role=change.role, disabled=change.disabled
    )
    return UserView.of(changed)


@router.delete("/users/{user}", status_code=204)
@needs("admin")
async def remove_user(user: str, operations: Ops) -> None:
    """Remove a member of the team, by id or email, with the user's sessions and keys."""
    found = await operations.catalogue.users.get(user)
    check_reach(operations.principal, found)
    await operations.catalogue.users.remove(found.id)


@router.post("/links", status_code=201)
@needs("admin")
async def make_link(request: Request, operations: Ops, draft: LinkDraft | None = None) -> LinkView:
    """Make a link that signs in a member of the team once, within 10 minutes.

    Without an email, and with the team's token: as the built-in owner `local`.
    """
    users, email = operations.catalogue.users, draft and draft.email
    if email is not None:
        user = await users.get(normalized(email))
    elif operations.principal.kind == "root":
        user = await users.local()
    else:
        raise ConfigError("say whom it signs in", fields={"email": "is missing"})
    check_reach(operations.principal, user)
    link = await users.make_link(user.id, LINKED)
    return LinkView(email=user.email, link=link, url=page_of(request, link))


def check_page(request: Request) -> None:
    """Refuse a sign-in that a page of another site sends, so that it signs in nobody as another."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
        raise HTTPException(403, f"Send the sign-in as {JSON}.")
    sent_by_browser = {"origin", "sec-fetch-site"} & set(request.headers)
    own = request.app.state.origin
    why = foreign(request.scope, request.headers, own) if sent_by_browser else None
    if why is not None:
        raise HTTPException(403, why)


def page_of(request: Request, link: str) -> str:
    """Return the address of the page that signs in with a link."""
    return f"{request.app.state.origin}/console/sign-in#link={link}"


def address_of(request: Request) -> str:
    """Return the address that a request is counted by: an IPv4 address, or an IPv6 network."""
    return address_owner(request.client.host) if request.client else ""


def signed_in(session: UserSession, request: Request, operations: Ops) -> Response:
    """Answer with a session that was just started."""
    assert session.fresh is not None
    view = SessionView(user=UserView.of(session.user), csrf=operations.people.csrf(session.id))
    response = exact(view)
    response.headers["Set-Cookie"] = cookie_of(session.fresh, request.scope)
    return response


MICROS = 1_000_000


@router.get("/keys")
@needs("admin")
async def list_keys(
    operations: Ops, after: After = None, limit: PageSize = USUAL_PAGE
) -> ListPage[KeyView]:
    """The keys that are good now, oldest first."""
    found = await operations.catalogue.keys.list(after, limit)
    return ListPage(
        items=[key_view(each, operations) for each in found], next=last_id(found, limit)
    )


@router.post("/keys", status_code=201)
@needs("admin")
async def make_key(draft: KeyDraft, operations: Ops) -> KeyMade:
    """Make a key for a program; its secret is shown this once."""
    check_grant(operations.principal, draft.rights)
    keys = operations.catalogue.keys
    id, secret = await keys.make(
        draft.name,
        sorted(set(draft.rights)),
        draft.lasts_seconds * MICROS,
        operations.principal.user,
    )
    return KeyMade.of(key_view(await keys.get(id), operations), key=secret)


@router.post("/keys/{key}/rotate")
@needs("admin")
async def rotate_key(key: str, operations: Ops, draft: KeyRotation | None = None) -> KeyMade:
    """Give a key another secret, for as long as its first; the one before stays good for a while."""
    keys = operations.catalogue.keys
    check_grant(operations.principal, (await keys.get(key)).rights)
    overlap = (draft or KeyRotation()).overlap_seconds * MICROS
    secret = await keys.rotate(key, overlap)
    return KeyMade.of(key_view(await keys.get(key), operations), key=secret)


@router.delete("/keys/{key}", status_code=204)
@needs("admin")
async def revoke_key(key: str, operations: Ops) -> None:
    """Revoke a key, by its id: its next request is refused."""
    await operations.catalogue.keys.revoke(key)


def key_view(key: AccessKey, operations: Operations) -> KeyView:
    """Return a key as it is shown."""
    overlaps = key.former_until > operations.store.clock()
    return KeyView.of(key, former_until=key.former_until if overlaps else None)
