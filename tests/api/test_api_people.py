"""Users and their sessions, attacked: what a thief, a forger and a guesser can do."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from typing import Any

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from halflap.api import stream
from halflap.api.operations import passwords
from halflap.server.host import Host
from halflap.store.catalogue import sessions
from halflap.store.rules.sign_in import FREE, LONGEST, wait_after
from tests.api.conftest import ON_ONE_STORE, Browser, Client, signed_in
from tests.polling import DEADLINE

pytestmark = pytest.mark.usefixtures("cheap")
NOBODYS = passwords.NOBODYS
PASSWORD = "correct horse battery staple"
MINUTE = 60_000_000


@pytest.fixture
def clock(either: Any) -> list[int]:
    """The clock of people's catalogue, which stands still: `clock[0] += MINUTE`."""
    catalogue = either.host.store.catalogue
    now = [either.host.store.clock()]
    for each in (
        catalogue,
        catalogue.users,
        catalogue.sessions,
        catalogue.attempts,
        catalogue.keys,
    ):
        each._clock = lambda: now[0]
    either.host.operations.store.clock = lambda: now[0]
    return now


def test_a_hash_costs_what_is_recommended() -> None:
    costs = inspect.getsource(passwords).partition("return PasswordHasher(")[2]
    assert costs.startswith(")")
    usual = PasswordHasher()
    assert extract_parameters(NOBODYS) == usual._parameters
    assert (usual.type, usual.time_cost, usual.memory_cost) == (Type.ID, 3, 65_536)


async def member(world: Any, role: str = "developer") -> Browser:
    """A browser of a user with a password."""
    browser = await signed_in(world, role)
    changed = await browser("POST", "/api/me/password", {"password": PASSWORD})
    assert changed.status == 200, changed.body
    return browser


async def test_a_user_signs_in_and_out(either: Any) -> None:
    browser = await member(either)
    me = (await browser("GET", "/api/me")).json
    assert (me["kind"], me["role"], me["user"]["email"]) == (
        "user",
        "developer",
        "developer@example.com",
    )
    assert "admin" not in me["rights"]
    assert me["csrf"] == browser.csrf
    other = Browser(either.api)
    answer = await other.sign_in(email=" Developer@Example.com", password=PASSWORD)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("halflap_session=halflap_session_")
    assert cookie.endswith("; HttpOnly; SameSite=Strict; Path=/")
    assert (await other("GET", "/api/customers")).status == 200
    ended = await other("DELETE", "/api/session")
    assert (ended.status, other.cookie) == (204, "")
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert (await browser("GET", "/api/customers")).status == 200


class OverHttps(Client):
    """A client behind TLS, as the edge has it from a trusted proxy."""

    def scope(self, *given: Any) -> dict[str, Any]:
        return {**super().scope(*given), "scheme": "https"}


async def test_over_https_the_cookie_is_secure_and_plain_pages_are_foreign(world: Any) -> None:
    await member(world)
    browser = Browser(OverHttps(world.api.app), origin="https://127.0.0.1:8400")
    answer = await browser.sign_in(email="developer@example.com", password=PASSWORD)
    assert answer.headers["set-cookie"].startswith("__Host-halflap_session=halflap_session_")
    assert answer.headers["set-cookie"].endswith("; Path=/; Secure")
    assert (await browser("GET", "/api/me")).status == 200
    browser.cookie_name = "halflap_session"  # as another host of the site could set it
    assert (await browser("GET", "/api/me")).status == 401
    browser.cookie_name = "__Host-halflap_session"
    assert (await browser("POST", "/api/customers", {"name": "Own"})).status == 201
    plain = {"origin": "http://127.0.0.1:8401"}
    refused = await browser("POST", "/api/customers", {"name": "Forged"}, headers=plain)
    assert (refused.status, refused.kind) == (403, "RequestForged")


async def test_who_acts_is_who_has_signed_in_whatever_is_said(world: Any) -> None:
    browser, customer = await member(world), await world.customer()
    path = f"/api/customers/{customer}"
    [paused] = (await browser("POST", f"{path}/pause", {"by": "the boss"})).json
    assert paused["by"] == "developer@example.com"
    await browser("POST", f"{path}/resume")
    [paused] = (await world.api("POST", f"{path}/pause", {"by": "the boss"})).json
    assert paused["by"] == "the boss"


async def test_me_says_who_asks(world: Any) -> None:
    root = await world.api.get("/api/me")
    assert (root["kind"], root["user"], root["role"], root["csrf"]) == ("root", None, None, None)
    assert "admin" in root["rights"]
    customer = await world.customer()
    token = await world.token(customer)
    own = await world.api.get("/api/me", token=token)
    assert (own["kind"], own["customer"], own["rights"]) == (
        "customer",
        customer,
        ["read", "payloads", "private_payloads", "operate", "configure"],
    )
    made = await world.api("POST", "/api/keys", {"name": "ci", "rights": ["publish"]})
    key = await world.api.get("/api/me", token=made.json["key"])
    assert (key["kind"], key["label"], key["rights"]) == ("key", "ci", ["publish"])


async def test_only_hashes_are_stored(either: Any) -> None:
    browser = await member(either)
    made = await either.api("POST", "/api/keys", {"name": "ci", "rights": ["read"]})
    link = (await either.api("POST", "/api/links", {"email": "developer@example.com"})).json
    rows = ""
    for table in ("users", "sessions", "keys", "sign_in_links", "sign_ins"):
        found = await either.host.store.catalogue.users._writer.rows(f"SELECT * FROM {table}")
        rows += str(found)
    assert "$argon2id$" in rows
    for secret in (PASSWORD, browser.cookie, browser.csrf, made.json["key"], link["link"]):
        assert secret[-24:] not in rows


# Theft ------------------------------------------------------------------------------------------


async def test_a_session_is_never_one_that_was_there_before_the_sign_in(world: Any) -> None:
    """Session fixation: the cookie that an attacker planted is not the session that begins."""
    await member(world)
    for planted in ("halflap_session_planted", (await member(world, "viewer")).cookie):
        browser = Browser(world.api, cookie=planted)
        await browser.sign_in(email="developer@example.com", password=PASSWORD)
        assert browser.cookie != planted
        thief = Browser(world.api, cookie=planted)
        assert (await thief("GET", "/api/me")).status == 401


@ON_ONE_STORE
async def test_a_stolen_cookie_is_of_no_use_once_it_was_replaced(
    either: Any, clock: list[int]
) -> None:
    browser = await member(either)
    thief = replace(browser)
    clock[0] += 59 * MINUTE
    await browser("GET", "/api/me")
    assert browser.cookie == thief.cookie
    clock[0] += 2 * MINUTE
    assert (await browser("GET", "/api/me")).status == 200
    assert browser.cookie != thief.cookie
    assert (await browser("POST", "/api/keys", {})).status == 403  # its CSRF token is the same
    old = thief.cookie
    assert (await thief("GET", "/api/me")).status == 200  # for requests that are under way
    assert thief.cookie == old
    clock[0] += MINUTE + 1_000_000
    refused = await thief("GET", "/api/me")
    assert (refused.status, refused.kind) == (401, "TokenRefused")
    assert thief.cookie == ""
    assert (await browser("GET", "/api/me")).status == 200


async def test_of_requests_at_once_one_replaces_the_cookie(either: Any, clock: list[int]) -> None:
    browser = await member(either)
    clock[0] += 61 * MINUTE
    answers = await asyncio.gather(*(replace(browser)("GET", "/api/me") for _ in range(8)))
    assert [each.status for each in answers] == [200] * 8
    assert sum("set-cookie" in each.headers for each in answers) == 1


@ON_ONE_STORE
async def test_a_session_ends_when_it_is_idle_or_old(either: Any, clock: list[int]) -> None:
    idle = await member(either)
    clock[0] += sessions.IDLE + MINUTE
    assert (await idle("GET", "/api/me")).status == 401
    used = Browser(either.api)
    await used.sign_in(email="developer@example.com", password=PASSWORD)
    for _ in range(13):
        assert (await used("GET", "/api/me")).status == 200
        clock[0] += sessions.IDLE - MINUTE
    clock[0] += 2 * sessions.IDLE
    assert (await used("GET", "/api/me")).status == 401


async def test_two_cookies_that_claim_to_be_the_session_are_none(world: Any) -> None:
    browser = await member(world)
    both = f"halflap_session={browser.cookie}; halflap_session=halflap_session_planted"
    assert (await browser("GET", "/api/me", headers={"cookie": both})).status == 401
    same = f"a=b; halflap_session={browser.cookie}; halflap_session={browser.cookie}"
    assert (await browser("GET", "/api/me", headers={"cookie": same})).status == 200


async def test_a_token_beside_a_cookie_is_what_counts(world: Any) -> None:
    browser = await member(world)
    bad = {"authorization": "Bearer halflap_nothing"}
    assert (await browser("GET", "/api/me", headers=bad)).status == 401
    good = {"authorization": f"Bearer {world.api.token}", "x-csrf-token": "", "origin": ""}
    assert (await browser("GET", "/api/me", headers=good)).json["kind"] == "root"
    assert (await browser("POST", "/api/links", {}, headers=good)).status == 201
    proxys = {"authorization": "Basic cHJveHk6cHJveHk="}
    assert (await browser("GET", "/api/me", headers=proxys)).json["kind"] == "user"


# Forgery ----------------------------------------------------------------------------------------


async def test_a_request_of_another_sites_page_changes_nothing(world: Any) -> None:
    browser = await member(world)
    form = {"content-type": "application/x-www-form-urlencoded"}
    forged: list[dict[str, str]] = [
        {"x-csrf-token": ""},
        {"x-csrf-token": (await member(world, "support")).csrf},
        {"x-csrf-token": "k1.AAAA"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8401"},
        {"origin": "https://evil.example", "x-csrf-token": ""},
        {"origin": "", "sec-fetch-site": "cross-site"},
        {"origin": "", "sec-fetch-site": "same-site"},
        {"origin": "", "sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site"},
        {"origin": ""},
        {**form, "origin": "https://evil.example", "x-csrf-token": ""},
    ]
    for headers in forged:
        refused = await browser("POST", "/api/customers", {"name": "Forged"}, headers=headers)
        assert (refused.status, refused.kind) == (403, "RequestForged"), headers
    assert (await browser("GET", "/api/customers")).json["items"] == []
    for headers in ({}, {"origin": "", "sec-fetch-site": "same-origin"}):
        name = f"Own {len(headers)}"
        made = await browser("POST", "/api/customers", {"name": name}, headers=headers)
        assert made.status == 201


async def test_another_sites_page_signs_nobody_in(world: Any) -> None:
    await member(world)
    draft = {"email": "developer@example.com", "password": PASSWORD}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "", "sec-fetch-site": "cross-site"},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
    ):
        refused = await Browser(world.api)("POST", "/api/session", draft, headers=headers)
        assert refused.status in (403, 422), headers
        assert "set-cookie" not in refused.headers


# Guessing ---------------------------------------------------------------------------------------


async def test_a_refusal_tells_nothing_and_costs_the_same_for_an_unknown_user(world: Any) -> None:
    await member(world)
    await signed_in(world, "viewer", "no-password@example.com")
    disabled = await signed_in(world, "viewer", "disabled@example.com")
    await world.api("PATCH", f"/api/users/{disabled.user}", {"disabled": True})
    people = world.host.operations.people
    told: set[bytes] = set()
    for email in ("developer", "nobody", "no-password", "disabled"):
        made = people.passwords.made
        answer = await Browser(world.api).sign_in(email=f"{email}@example.com", password="wrong")
        assert (answer.status, answer.kind) == (401, "SignInRefused")
        assert people.passwords.made == made + 1, email
        told.add(answer.body)
    assert len(told) == 1


async def test_guessing_is_slowed_down_over_two_processes_and_never_for_good(
    either: Any, clock: list[int]
) -> None:
    await member(either)
    browsers = [Browser(either.api), Browser(either.api)]
    hosts = [either.host]
    if either.host.settings.store:
        second = await Host.open(either.host.settings)
        hosts.append(second)
        browsers[1] = Browser(Client(second))
        catalogue = second.store.catalogue
        catalogue.attempts._clock = either.host.store.catalogue.attempts._clock
    email = "developer@example.com"

    async def guess(n: int, password: str = "wrong guess") -> Any:
        return await browsers[n % 2].sign_in(email=email, password=password)

    try:
        made = sum(each.operations.people.passwords.made for each in hosts)
        answers = await asyncio.gather(*(guess(n) for n in range(20)))
        refused = [each for each in answers if each.status == 429]
        assert len(answers) - len(refused) == FREE["account"]
        assert {each.kind for each in refused} == {"TooManyAttempts"}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        # A refused attempt costs no hash.
        spent = sum(each.operations.people.passwords.made for each in hosts) - made
        assert spent == FREE["account"]
        assert (await guess(0, PASSWORD)).status == 429
        clock[0] += LONGEST
        assert (await guess(1)).status == 401
        assert (await guess(0)).status == 429
        clock[0] += LONGEST
        assert (await guess(0, PASSWORD)).status == 200
        assert (await guess(1)).status == 401
    finally:
        for each in hosts[1:]:
            await each.stop(0)


def at(world: Any, address: str) -> Browser:
    """A browser at an address."""

    class Elsewhere(Client):
        def scope(self, *given: Any) -> dict[str, Any]:
            return {**super().scope(*given), "client": (address, 1)}

    return Browser(Elsewhere(world.api.app))


@ON_ONE_STORE
async def test_a_guesser_elsewhere_makes_nobody_wait_where_they_signed_in_before(
    either: Any, clock: list[int]
) -> None:
    await member(either)
    right = {"email": "developer@example.com", "password": PASSWORD}
    wrong = {**right, "password": "wrong guess"}
    own = "10.0.0.1"
    assert (await at(either, own).sign_in(**right)).status == 200
    for n in range(FREE["account"]):
        assert (await at(either, f"10.0.1.{n}").sign_in(**wrong)).status == 401
    assert (await at(either, "10.0.1.9").sign_in(**right)).status == 429  # whoever it is
    clock[0] += 1_000_000
    for _ in range(2):
        assert (await at(either, own).sign_in(**right)).status == 200
    # It forgives nothing elsewhere, and is counted by itself.
    answers = [await at(either, own).sign_in(**wrong) for _ in range(FREE["known"] + 1)]
    assert [each.status for each in answers] == [401] * FREE["known"] + [429]
    clock[0] += LONGEST
    assert (await at(either, "10.0.1.9").sign_in(**wrong)).status == 401
    assert (await at(either, "10.0.1.9").sign_in(**right)).status == 429


async def test_a_flood_of_strangers_is_refused_and_who_is_known_comes_in(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await member(world)
    right = {"email": "developer@example.com", "password": PASSWORD}
    assert (await at(world, "10.0.0.1").sign_in(**right)).status == 200
    people = world.host.operations.people
    turn = people.passwords.strangers.of("slow")
    async with turn:  # whoever is not known waits
        monkeypatch.setattr(passwords, "MOST_WAITING", 2)
        waiting = [
            asyncio.create_task(at(world, f"10.0.1.{n}").sign_in(email="a@b.c", password="x"))
            for n in range(2)
        ]
        async with asyncio.timeout(DEADLINE):
            while True:
                if people.passwords.is_flooded:
                    break
                await asyncio.sleep(0.01)
        for _ in range(2 * FREE["account"]):  # which counts against nobody
            refused = await at(world, "10.0.2.1").sign_in(**right)
            assert (refused.status, refused.kind) == (429, "TooManyAttempts")
        assert int(refused.headers["retry-after"]) == 5
        assert (await at(world, "10.0.0.1").sign_in(**right)).status == 200
        draft = {"password": "another battery staple", "current": PASSWORD}
        assert (await browser("GET", "/api/me")).status == 200
        changed = await browser("POST", "/api/me/password", draft)
        assert changed.status == 200
    assert [(await each).status for each in waiting] == [401, 401]
    right["password"] = draft["password"]
    assert (await at(world, "10.0.2.1").sign_in(**right)).status == 200


def test_waits_grow_to_a_quarter_of_an_hour() -> None:
    for kind, free in FREE.items():
        waits = [wait_after(f"{kind}:x", failures) for failures in range(1, 100)]
        assert waits == sorted(waits)
        assert waits[free - 2] == 0 < waits[free - 1]
        assert waits[-1] == LONGEST == 15 * MINUTE


@ON_ONE_STORE
async def test_an_address_is_the_connections_own_whatever_headers_say(
    either: Any, clock: list[int]
) -> None:
    smuggled = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Client-IP")
    for n in range(FREE["address"]):
        headers = dict.fromkeys(smuggled, f"for=10.0.0.{n}")
        draft = {"email": f"user{n}@example.com", "password": "wrong guess"}
        answer = await Browser(either.api)("POST", "/api/session", draft, headers=headers)
        assert answer.status == 401
    assert (await Browser(either.api).sign_in(email="a@b.c", password="wrong")).status == 429


# Changes ----------------------------------------------------------------------------------------


async def test_a_changed_user_is_signed_out_at_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.05)
    for change in ({"role": "viewer"}, {"disabled": True}):
        browser = await signed_in(world, "developer", f"{len(change)}{list(change)}@example.com")
        cookie = {"cookie": f"halflap_session={browser.cookie}"}
        client = Client(world.api.app, None)
        async with client.stream("/api/stream", headers=cookie, topics="executions") as heard:
            assert await heard.event() == ": following"
            changed = await world.api("PATCH", f"/api/users/{browser.user}", change)
            assert changed.status == 200
            async with asyncio.timeout(DEADLINE):
                assert await heard.chunks.get() == b""
        assert (await browser("GET", "/api/me")).status == 401


@ON_ONE_STORE
async def test_a_new_password_ends_the_other_sessions(either: Any, clock: list[int]) -> None:
    browser = await member(either)
    other = Browser(either.api)
    await other.sign_in(email="developer@example.com", password=PASSWORD)
    draft = {"password": "another good password"}
    clock[0] += 16 * MINUTE
    for current in ({}, {"current": "not that"}):
        refused = await other("POST", "/api/me/password", {**draft, **current})
        assert (refused.status, refused.kind) == (401, "SignInRefused")
    changed = await other("POST", "/api/me/password", {**draft, "current": PASSWORD})
    assert changed.status == 200
    assert (await other("GET", "/api/me")).status == 200
    assert (await browser("GET", "/api/me")).status == 401
    for password, status in ((PASSWORD, 401), (draft["password"], 200)):
        again = await Browser(either.api).sign_in(email="developer@example.com", password=password)
        assert again.status == status
    short = await other("POST", "/api/me/password", {"password": "too short"})
    assert (short.status, "password" in short.json["fields"]) == (422, True)


@ON_ONE_STORE
async def test_a_link_signs_in_once_and_for_a_while(either: Any, clock: list[int]) -> None:
    await member(either)
    link = (await either.api("POST", "/api/links", {"email": "developer@example.com"})).json["link"]
    answers = await asyncio.gather(*(Browser(either.api).sign_in(link=link) for _ in range(5)))
    assert sorted(each.status for each in answers) == [200, 401, 401, 401, 401]
    late = (await either.api("POST", "/api/links", {"email": "developer@example.com"})).json["link"]
    clock[0] += 11 * MINUTE
    assert (await Browser(either.api).sign_in(link=late)).status == 401
    unused = (await either.api("POST", "/api/links", {"email": "developer@example.com"})).json
    await either.api("PATCH", "/api/users/developer@example.com", {"disabled": True})
    assert (await Browser(either.api).sign_in(link=unused["link"])).status == 401


async def test_a_link_is_void_once_its_user_is_another(world: Any) -> None:
    await member(world)
    path, email = "/api/users/developer@example.com", "developer@example.com"

    async def signs_in(*changes: Any) -> int:
        link = (await world.api("POST", "/api/links", {"email": email})).json["link"]
        for each in changes:
            assert (await world.api("PATCH", path, each)).status == 200
        return (await Browser(world.api).sign_in(link=link)).status

    assert await signs_in({"name": "Ada"}) == 200
    assert await signs_in({"role": "support"}) == 401
    assert await signs_in({"disabled": True}, {"disabled": False}) == 401
    await world.api("PATCH", path, {"disabled": True})
    refused = await world.api("POST", "/api/links", {"email": email})
    assert (refused.status, refused.kind) == (409, "Conflict")


async def test_the_teams_token_signs_in_the_local_owner(world: Any) -> None:
    link = (await world.api("POST", "/api/links", {})).json
    assert link["email"] == "local"
    browser = Browser(world.api)
    await browser.sign_in(link=link["link"])
    assert (await browser("GET", "/api/me")).json["role"] == "owner"
    refused = await browser("POST", "/api/me/password", {"password": PASSWORD})
    assert (refused.status, refused.kind) == (409, "Conflict")
    refused = await browser("POST", "/api/links", {})
    assert (refused.status, refused.json["fields"]) == (422, {"email": "is missing"})


async def test_nobody_makes_themselves_or_others_more_than_they_are(world: Any) -> None:
    developer, owner = await member(world), await member(world, "owner")
    for browser in (developer, await member(world, "support")):
        for method, path, draft in (
            ("PATCH", f"/api/users/{browser.user}", {"role": "owner"}),
            ("POST", "/api/users", {"email": "new@example.com", "role": "viewer"}),
            ("POST", "/api/links", {"email": "owner@example.com"}),
            ("POST", "/api/keys", {"name": "mine", "rights": ["admin"]}),
            ("DELETE", f"/api/users/{owner.user}", ...),
        ):
            refused = await browser(method, path, draft)
            assert (refused.status, refused.kind) == (403, "Forbidden"), path
    # A key that may administer, and nothing else, gives nobody what it lacks.
    rights = {"name": "admin", "rights": ["admin", "read"]}
    key = (await world.api("POST", "/api/keys", rights)).json["key"]
    for method, path, draft in (
        ("POST", "/api/users", {"email": "new@example.com", "role": "developer"}),
        ("PATCH", f"/api/users/{developer.user}", {"name": "x"}),
        ("POST", "/api/links", {"email": "owner@example.com"}),
        ("POST", "/api/keys", {"name": "more", "rights": ["secrets"]}),
        ("POST", "/api/tokens", {"customer": await world.customer(), "access": "read"}),
        ("DELETE", f"/api/users/{owner.user}", ...),
    ):
        refused = await world.api(method, path, draft, token=key)
        assert (refused.status, refused.kind) == (403, "MissingRight"), (path, refused.body)
    viewer = {"email": "v@example.com", "role": "viewer"}
    assert (await world.api("POST", "/api/users", viewer, token=key)).status == 201


async def test_the_last_owner_stays(either: Any) -> None:
    owner = await member(either, "owner")
    path = f"/api/users/{owner.user}"
    for method, draft in (
        ("PATCH", {"role": "developer"}),
        ("PATCH", {"disabled": True}),
        ("DELETE", ...),
    ):
        refused = await owner(method, path, draft)
        assert (refused.status, refused.kind) == (409, "Conflict")
    assert (await owner("GET", "/api/me")).status == 200
    second = await signed_in(either, "owner", "second@example.com")
    both = await asyncio.gather(
        owner("PATCH", path, {"role": "viewer"}),
        second("PATCH", f"/api/users/{second.user}", {"role": "viewer"}),
    )
    assert sorted(each.status for each in both) in ([200, 409], [200, 401])
    users = await either.api.items("/api/users")
    assert [each["role"] for each in users].count("owner") == 1


async def test_a_user_is_named_once(world: Any) -> None:
    await signed_in(world, "viewer", "Ada@Example.com")
    again = await world.api("POST", "/api/users", {"email": " ada@example.com"})
    assert (again.status, again.json["fields"]) == (422, {"email": "is taken"})
    for email in ("", "ada", "a b@c", "@x", "a@", "a@b@c"):
        refused = await world.api("POST", "/api/users", {"email": email})
        assert (refused.status, set(refused.json["fields"])) == (422, {"email"}), email
    found = await world.api("PATCH", "/api/users/ada@example.com", {"name": "Ada"})
    assert found.json["name"] == "Ada"
    assert (await world.api("DELETE", "/api/users/ada@example.com")).status == 204
    assert await world.api.items("/api/users") == []


# Keys -------------------------------------------------------------------------------------------


async def test_a_key_is_rotated_with_an_overlap(either: Any, clock: list[int]) -> None:
    made = (await either.api("POST", "/api/keys", {"name": "ci", "rights": ["read"]})).json
    first = made["key"]
    assert first.startswith("halflap_key_")
    assert (await either.api("POST", "/api/customers", {"name": "x"}, token=first)).status == 403
    assert (await either.api("GET", "/api/customers", token=first)).status == 200
    path = f"/api/keys/{made['id']}/rotate"
    rotated = (await either.api("POST", path, {"overlap_seconds": 60})).json
    for key in (first, rotated["key"]):
        assert (await either.api("GET", "/api/customers", token=key)).status == 200
    [shown] = await either.api.items("/api/keys")
    assert shown["used_at"] is not None
    assert shown["former_until"] == rotated["former_until"]
    assert "key" not in shown
    clock[0] += MINUTE
    for key, status in ((first, 401), (rotated["key"], 200)):
        assert (await either.api("GET", "/api/customers", token=key)).status == status
    assert (await either.api("DELETE", f"/api/keys/{made['id']}")).status == 204
    assert (await either.api("GET", "/api/customers", token=rotated["key"])).status == 401
    assert (await either.api("POST", path, {})).status == 404


async def test_a_key_ends_when_it_expires_and_with_its_user(either: Any, clock: list[int]) -> None:
    owner = await member(either, "owner")
    second = await signed_in(either, "owner", "second@example.com")
    draft = {"name": "short", "rights": ["read"], "lasts_seconds": 60}
    short = (await owner("POST", "/api/keys", draft)).json["key"]
    rights = ["read", "configure", "admin"]
    own = (await owner("POST", "/api/keys", {"name": "own", "rights": rights})).json["key"]
    child = await either.api("POST", "/api/keys", {"name": "child", "rights": ["read"]}, token=own)

    async def status(key: str, method: str = "GET", json: Any = ...) -> int:
        return (await either.api(method, "/api/customers", json, token=key)).status

    assert await status(short) == await status(own) == await status(child.json["key"]) == 200
    clock[0] += 2 * MINUTE
    assert await status(short) == 401
    # It has no right that its user lacks by now.
    await second("PATCH", f"/api/users/{owner.user}", {"role": "viewer"})
    assert (await status(own), await status(own, "POST", {"name": "x"})) == (200, 403)
    await second("PATCH", f"/api/users/{owner.user}", {"disabled": True})
    assert await status(own) == await status(child.json["key"]) == 401
    await second("PATCH", f"/api/users/{owner.user}", {"disabled": False})
    assert await status(own) == 200
    await second("DELETE", f"/api/users/{owner.user}")
    assert await status(own) == await status(child.json["key"]) == 401
