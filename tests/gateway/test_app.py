"""The hook path: what it takes, what it refuses, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from halflap import (
    BasicAuth,
    BearerToken,
    Component,
    Config,
    Context,
    Declaration,
    FlowResult,
    GitHubSignature,
    Integration,
    Json,
    Reply,
    Request,
    StandardWebhooks,
    header,
    pointer,
)
from halflap.errors import DefinitionError, NotFound, Rejected, StoreFull
from halflap.gateway.app import Gateway
from halflap.gateway.route import EndpointRoute
from halflap.model import SEALED, Failure, FlowKey, Outcome, Rejection, Start, Started, wall_clock
from halflap.sdk import codec
from halflap.sdk.declared import FILTER_FAILED, mark_of
from halflap.sdk.signature import new_secret
from tests.cases import for_each

KEY = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
SECRET = new_secret()


@dataclass
class Intake:
    """An engine that keeps what it is given."""

    starts: list[Start] = field(default_factory=list[Start])
    ends: Outcome | None = None
    full: bool = False

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        if self.full:
            raise StoreFull
        known = {each.dedupe: each.execution for each in self.starts if each.dedupe}
        answers: list[Started] = []
        for each in starts:
            first = known.get(each.dedupe) if each.dedupe else None
            if first is None:
                self.starts.append(each)
            answers.append(Started(each.execution, first))
        return answers

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        return self.ends


@dataclass
class Desk:
    """A gateway with one open endpoint, `hk_open`."""

    intake: Intake
    route: EndpointRoute
    rejected: list[Rejection] = field(default_factory=list[Rejection])
    counted: list[str] = field(default_factory=list[str])
    body_bytes: int = 6 * 1024 * 1024
    backlog: int = 100

    async def is_full(self, customer: str, more: int) -> bool:
        return customer != "cus_1" or len(self.intake.starts) + more > self.backlog

    async def find(self, endpoint: str) -> EndpointRoute | None:
        return self.route if endpoint == "hk_open" else None

    async def send(
        self,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        path: str = "/hooks/hk_open",
        query: bytes = b"",
        headers: dict[str, str] | None = None,
        disconnect: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        gateway = Gateway(
            self.find,
            self.intake,
            wall_clock,
            reject=self.rejected.append,
            count=lambda _i, _f, what: self.counted.append(what),
            body_bytes=self.body_bytes,
            is_full=self.is_full,
        )
        raw = [(n.encode(), v.encode()) for n, v in (headers or {}).items()]
        scope: dict[str, Any] = {
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query,
            "headers": raw,
        }
        incoming = [{"type": "http.request", "body": body[:3], "more_body": True}]
        incoming.append(
            {"type": "http.disconnect"}
            if disconnect
            else {"type": "http.request", "body": body[3:], "more_body": False}
        )
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await gateway(scope, receive, send)
        if not sent:
            return 0, {}, b""
        answered = {n.decode(): v.decode() for n, v in sent[0]["headers"]}
        return sent[0]["status"], answered, sent[1]["body"]


def desk(
    *,
    filter: Callable[[Request], bool] | None = None,
    keep: Sequence[str] | None = None,
    settled: bool = True,
    **declared: Any,
) -> Desk:
    component = Component("shop")

    @component.trigger(**declared)
    async def order(request: Request) -> Json:
        """An order."""
        return request.json()

    integration = Integration("shop-orders", config=Config)

    @integration.flow(trigger=order, filter=filter, keep=keep)
    async def orders(ctx: Context[Config], event: Json) -> None:
        pass

    route = EndpointRoute(
        endpoint="hk_open",
        url="https://hooks.example.com/hooks/hk_open",
        flow=KEY,
        definition=orders,
        secrets=(SECRET,),
        seal=lambda text: f"<{text[::-1]}>",
        settled=settled,
    )
    return Desk(Intake(), route)


def signed(body: bytes, *, id: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
    return StandardWebhooks().sign(body, SECRET, at or datetime.now(UTC), id=id)


async def test_what_arrives_is_kept_as_it_came() -> None:
    shop = desk(methods=("PUT",))
    body = b"\x00\xff not json \r\n"
    status, headers, _ = await shop.send(
        body,
        method="PUT",
        path="/hooks/hk_open/a/b",
        query=b"x=1&y=%20",
        headers={"X-One": "1", "x-two": "two"},
    )
    assert status == 200
    (start,) = shop.intake.starts
    assert headers["halflap-execution"] == start.execution
    assert start.event.body == body
    assert (start.event.method, start.event.path, start.event.query) == ("PUT", "/a/b", "x=1&y=%20")
    assert start.event.headers == (("X-One", "1"), ("x-two", "two"))
    assert start.event.url == "https://hooks.example.com/hooks/hk_open/a/b?x=1&y=%20"
    assert start.root == start.execution


@for_each("rest", ["/a%20b", "/a%3Fb=1", "/a%2fb", "/%C3%A4", "/", ""])
async def test_a_signed_url_is_the_one_that_was_sent(rest: str) -> None:
    shop = desk()
    assert (await shop.send(path=f"/hooks/hk_open{rest}"))[0] == 200
    (start,) = shop.intake.starts
    assert start.event.url == f"https://hooks.example.com/hooks/hk_open{rest}"
    assert start.event.path == unquote(rest).removesuffix("/")


async def test_a_part_that_is_no_json_spoils_no_other() -> None:
    shop = desk(split=lambda _: [{"id": 1}, {"id": float("nan")}, {"id": 3}, {"id": "\ud800"}])
    assert (await shop.send(b"the whole"))[0] == 200
    assert [each.event.body for each in shop.intake.starts] == [
        b'{"id":1}',
        b'{"id":3}',
        b"the whole",
    ]


@for_each(
    "request_",
    [
        {"path": "/hooks/hk_unknown"},
        {"path": "/hooks/"},
        {"method": "GET"},
        {"method": "OPTIONS"},
        {"path": "/hooks/hk_open%00"},
    ],
    ids=str,
)
async def test_unknown_closed_and_wrong_method_endpoints_answer_alike(
    request_: dict[str, Any],
) -> None:
    shop = desk()
    unknown = await shop.send(path="/hooks/hk_nothing_here")
    assert await shop.send(**request_) == unknown
    assert unknown[0] == 404
    assert shop.intake.starts == []


async def test_a_sender_that_goes_away_in_the_body_starts_nothing() -> None:
    shop = desk()
    assert await shop.send(b'{"half":', disconnect=True) == (0, {}, b"")
    assert shop.intake.starts == []


async def test_verification_comes_first_and_its_reason_stays_with_us() -> None:
    shop = desk(
        verify=StandardWebhooks(),
        handshake=lambda request: Reply(200, "hello"),
        split=lambda request: [][1],
    )
    body = b'{"a": 1}'
    for headers in ({}, signed(b"other"), signed(body, at=datetime.now(UTC) - timedelta(hours=1))):
        status, answered, text = await shop.send(body, headers=headers)
        assert status == 401
        assert codec.decode(text) == {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
        }
        assert "halflap-execution" not in answered
    assert shop.intake.starts == []
    assert len(shop.rejected) == 3
    assert len({each.reason for each in shop.rejected}) == 3
    status, _, text = await shop.send(body, headers=signed(body))
    assert (status, text) == (200, b"hello")


async def test_a_rejection_keeps_no_credentials() -> None:
    shop = desk(verify=StandardWebhooks())
    await shop.send(headers={"authorization": "Bearer canary", "cookie": "canary", "x-a": "b"})
    assert dict(shop.rejected[0].headers) == {"x-a": "b"}


async def test_a_duplicate_gets_the_first_ones_answer() -> None:
    shop = desk(dedupe=header("x-delivery"))
    first = await shop.send(headers={"x-delivery": "7"})
    again = await shop.send(headers={"x-delivery": "7"})
    other = await shop.send(headers={"x-delivery": "8"})
    assert again == first
    assert other[1]["halflap-execution"] != first[1]["halflap-execution"]
    assert len(shop.intake.starts) == 2


async def test_one_request_of_many_events_is_one_batch_and_one_answer() -> None:
    shop = desk(
        split=lambda request: [codec.encode(each) for each in request.json()],
        dedupe=pointer("/id"),
        key=pointer("/record"),
        answer=lambda request: Reply(200, f"took {len(request.json())}"),
    )
    body = codec.encode([{"id": n, "record": f"r{n}"} for n in range(100)])
    status, headers, text = await shop.send(body)
    assert (status, text) == (200, b"took 100")
    assert len(headers["halflap-execution"].split(",")) == 100
    assert [each.event.part for each in shop.intake.starts] == list(range(100))
    assert shop.intake.starts[41].event.body == b'{"id":41,"record":"r41"}'
    assert shop.intake.starts[41].key == "r41"
    assert shop.intake.starts[41].dedupe is not None
    assert len({each.dedupe for each in shop.intake.starts}) == 100


async def test_parts_that_share_a_delivery_id_are_known_by_their_place() -> None:
    shop = desk(split=lambda request: request.json(), dedupe=header("x-delivery"))
    headers = {"x-delivery": "7"}
    first = await shop.send(b'[{"n": 1.10}, {"n": 2}, {"n": 2}]', headers=headers)
    assert [each.event.body for each in shop.intake.starts] == [
        b'{"n":1.10}',
        b'{"n":2}',
        b'{"n":2}',
    ]
    again = await shop.send(b'[{"n": 1.10}, {"n": 2}, {"n": 2}]', headers=headers)
    assert again == first
    assert len(shop.intake.starts) == 3


async def test_a_request_that_cannot_be_cut_or_read_is_kept_whole() -> None:
    shop = desk(
        split=lambda request: [codec.encode(each) for each in request.json()],
        dedupe=pointer("/id"),
        key=pointer("/record"),
    )
    status, _, _ = await shop.send(b"<not json>")
    assert status == 200
    (start,) = shop.intake.starts
    assert start.event.body == b"<not json>"
    assert start.dedupe is None
    assert start.key is None


async def test_an_authors_function_that_raises_loses_nothing() -> None:
    def broken(request: Request) -> Any:
        raise ZeroDivisionError

    shop = desk(split=broken, dedupe=broken, key=broken, handshake=broken, answer=broken)
    status, _, _ = await shop.send(b"{}")
    assert status == 200
    assert len(shop.intake.starts) == 1


async def test_what_is_filtered_is_counted_and_not_kept() -> None:
    shop = desk(filter=lambda request: request.json()["kind"] == "order")
    assert (await shop.send(b'{"kind": "ping"}'))[0] == 200
    assert shop.intake.starts == []
    assert shop.counted == ["filtered"]
    assert (await shop.send(b'{"kind": "order"}'))[0] == 200
    assert len(shop.intake.starts) == 1


async def test_a_filter_looks_at_each_part_and_the_sender_is_answered_as_declared() -> None:
    shop = desk(
        split=lambda request: request.json(),
        filter=lambda request: request.json() > 1,
        answer=Reply(body="<Ack/>"),
    )
    assert (await shop.send(b"[1, 2, 3]"))[2] == b"<Ack/>"
    assert [each.event.body for each in shop.intake.starts] == [b"2", b"3"]
    assert (await shop.send(b"[0]"))[2] == b"<Ack/>"
    assert shop.counted == ["filtered", "filtered"]


async def test_a_flow_that_does_not_run_has_no_result_to_wait_for() -> None:
    shop = desk(filter=lambda request: False, answer=FlowResult())
    status, headers, _ = await shop.send(b"{}")
    assert (status, "halflap-execution" in headers) == (200, False)


async def test_what_a_filter_cannot_read_is_accepted_with_a_mark() -> None:
    shop = desk(filter=lambda request: request.json()["kind"] == "order")
    for body in (b"<xml/>", b"[]", b""):
        assert (await shop.send(body))[0] == 200
    assert [each.event.body for each in shop.intake.starts] == [b"<xml/>", b"[]", b""]
    assert shop.counted == []
    marks = [mark_of(each.event) or "" for each in shop.intake.starts]
    assert marks[0].startswith("whole the filter of orders raised InvalidEvent: ")
    assert marks[1].startswith("whole the filter of orders raised TypeError: list indices")


async def test_a_mark_tells_nothing_of_fields_that_are_not_kept() -> None:
    shop = desk(filter=lambda request: int(request.json()["private"]) > 1, keep=["/id"])
    assert (await shop.send(b'{"id": 1, "private": "4711-secret"}'))[0] == 200
    [start] = shop.intake.starts
    assert mark_of(start.event) == "cut the filter of orders raised ValueError"
    assert b"4711" not in start.event.body


async def test_no_sender_marks_its_event() -> None:
    shop = desk()
    assert (await shop.send(b"{}", headers={FILTER_FAILED.title(): "whole nothing"}))[0] == 200
    [start] = shop.intake.starts
    assert mark_of(start.event) is None
    assert FILTER_FAILED not in {name.lower() for name, _ in start.event.headers}


async def test_an_id_that_is_a_number_is_one_all_the_same() -> None:
    shop = desk(dedupe=lambda r: r.json()["id"], key=lambda r: r.json()["order"])
    for _ in range(2):
        assert (await shop.send(b'{"id": 7, "order": 9}'))[0] == 200
    [start] = shop.intake.starts
    assert start.dedupe is not None
    assert (start.dedupe.key, start.key) == ("\0" + "7", "9")


async def test_ids_of_other_types_are_others_though_they_read_alike() -> None:
    for dedupe in (pointer("/id"), lambda r: r.json()["id"]):
        shop = desk(dedupe=dedupe)
        for id in (b"1", b'"1"', b'"\\u00001"', b"true", b'"true"', b"1.0"):
            for _ in range(2):
                assert (await shop.send(b'{"id": %b}' % id))[0] == 200
        keys = [each.dedupe.key for each in shop.intake.starts if each.dedupe]
        assert keys == ["\0" + "1", "1", "\0\0" + "1", "\0true", "true", "\0" + "1.0"]


async def test_an_answer_that_cannot_be_made_is_still_a_yes_to_what_was_kept() -> None:
    shop = desk(answer=lambda request: Reply(body=object()))
    assert (await shop.send(b"{}"))[0] == 200
    assert len(shop.intake.starts) == 1


async def test_no_line_of_an_answer_becomes_a_header_of_ours() -> None:
    sent = {"x-name": "a\r\nset-cookie: b\x00", "bad name": "c", "x-ö": "d"}
    shop = desk(answer=Reply(headers=sent))
    status, headers, _ = await shop.send(b"{}")
    assert status == 200
    assert headers["x-name"] == "a  set-cookie: b "
    assert headers.keys().isdisjoint({"set-cookie", "bad name", "x-ö"})


async def test_a_reply_that_has_no_body_sends_none() -> None:
    shop = desk(answer=Reply(204, "x"))
    status, headers, body = await shop.send(b"{}")
    assert (status, headers["content-length"], body) == (204, "0", b"")


@for_each("status", [0, 99, 101, 600])
def test_a_reply_has_a_status_that_ends_a_request(status: int) -> None:
    with pytest.raises(DefinitionError, match="200 to 599"):
        Reply(status)


async def test_code_that_fails_before_the_answer_is_a_503_and_never_a_500() -> None:
    shop = desk(handshake=lambda request: Reply(body=object()))
    status, headers, _ = await shop.send(b"{}")
    assert (status, "retry-after" in headers) == (503, True)
    assert shop.intake.starts == []


async def test_an_event_of_a_version_that_does_not_run_here_is_to_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def find(endpoint: str) -> EndpointRoute | None:
        raise NotFound("version abc does not run here: it needs a package")

    shop = desk()
    monkeypatch.setattr(shop, "find", find)
    status, headers, _ = await shop.send()
    assert (status, "retry-after" in headers) == (503, True)


async def test_a_rejection_may_have_a_status_that_has_no_name() -> None:
    def verify(request: Request) -> Reply | None:
        raise Rejected("enhance your calm", status=420)

    assert (await desk(handshake=verify).send(b"{}"))[0] == 420


async def test_a_result_that_looks_like_a_reply_is_a_result() -> None:
    shop = desk(answer=FlowResult())
    for result in (b'{"$reply":1}', b'{"$reply":{"status":200}}', b'{"$reply":{},"a":1}'):
        shop.intake.ends = Outcome("succeeded", result=result)
        status, _, body = await shop.send(b"{}")
        assert (status, body) == (200, result)


async def test_only_the_fields_to_keep_are_stored() -> None:
    shop = desk(keep=["/id", "/customer/name", "/a~1b", "/missing/x"])
    await shop.send(
        b'{"id": 12345678901234567890, "ssn": "1", "customer": {"name": "x", "y": 1},"a/b":2}'
    )
    assert codec.decode(shop.intake.starts[0].event.body) == {
        "id": 12345678901234567890,
        "customer": {"name": "x"},
        "a/b": 2,
    }


async def test_credentials_in_headers_are_sealed_before_they_are_kept() -> None:
    shop = desk()
    await shop.send(headers={"Authorization": "Bearer canary", "Cookie": "canary", "X-A": "canary"})
    kept = dict(shop.intake.starts[0].event.headers)
    assert kept["Authorization"] == f"{SEALED}<yranac reraeB>"
    assert kept["Cookie"].startswith(SEALED)
    assert kept["X-A"] == "canary"


@for_each(
    ("verify", "header"),
    [
        (BearerToken(header="X-Gitlab-Token", prefix=""), "X-Gitlab-Token"),
        (BearerToken(header="X-Api-Key", prefix="Token "), "x-api-key"),
        (BearerToken(), "Authorization"),
        (BasicAuth(), "Authorization"),
    ],
)
async def test_the_header_of_every_layout_that_carries_its_secret_is_sealed(
    verify: Any, header: str
) -> None:
    shop = desk(verify=verify)
    secret = "user:canary"
    shop.route = replace(shop.route, secrets=(secret,))
    signed = verify.sign(b"{}", secret, datetime.now(UTC))
    assert (await shop.send(headers={**signed, "X-Copy": f"copy of {secret}"}))[0] == 200
    kept = {name.lower(): value for name, value in shop.intake.starts[0].event.headers}
    assert kept[header.lower()].startswith(SEALED)
    assert kept["x-copy"].startswith(SEALED)

    wrong = {name: f"{value}x" for name, value in signed.items()}
    assert (await shop.send(headers=wrong))[0] == 401
    assert header.lower() not in {name.lower() for name, _ in shop.rejected[-1].headers}


async def test_a_content_encoding_is_refused_unless_the_trigger_undoes_it() -> None:
    import gzip

    packed = gzip.compress(b'{"a":1}')
    assert (await desk().send(packed, headers={"content-encoding": "gzip"}))[0] == 415
    shop = desk(decompress=True)
    assert (await shop.send(packed, headers={"content-encoding": "gzip"}))[0] == 200
    assert shop.intake.starts[0].event.body == b'{"a":1}'
    bomb = gzip.compress(bytes(20_000_000))
    assert (await shop.send(bomb, headers={"content-encoding": "gzip"}))[0] == 413


async def test_a_body_larger_than_the_trigger_allows_is_refused() -> None:
    shop = desk(body_limit=10)
    assert (await shop.send(b"x" * 10))[0] == 200
    assert (await shop.send(b"x" * 11))[0] == 413
    assert len(shop.intake.starts) == 1


async def test_the_servers_body_limit_is_the_triggers_where_it_names_none() -> None:
    shop = desk()
    shop.body_bytes = 7_000_000
    assert (await shop.send(bytes(6_500_000)))[0] == 200
    assert (await shop.send(bytes(7_000_001)))[0] == 413


async def test_a_full_store_is_never_a_2xx() -> None:
    shop = desk()
    shop.intake.full = True
    status, headers, _ = await shop.send()
    assert status == 503
    assert int(headers["retry-after"]) > 0


@for_each(
    ("outcome", "status", "body"),
    [
        (Outcome("succeeded", result=b'{"total":1.10}'), 200, b'{"total":1.10}'),
        (Outcome("succeeded"), 204, b""),
        (None, 202, None),
        (Outcome("failed", "boom"), 500, None),
        (Outcome("failed", "boom", failure=Failure("InvalidEvent", "boom")), 422, None),
        (Outcome("ignored", "a ping"), 200, b'{"outcome":"ignored"}'),
        (
            Outcome(
                "succeeded",
                result=b'{"$reply":{"status":418,"headers":{"X-T":"pot"},"body":"tea","kind":"bytes"}}',
            ),
            418,
            b"tea",
        ),
    ],
)
async def test_a_synchronous_answer_is_the_flows_result(
    outcome: Outcome | None, status: int, body: bytes | None
) -> None:
    shop = desk(answer=FlowResult(timedelta(seconds=1)))
    shop.intake.ends = outcome
    answered = await shop.send()
    assert answered[0] == status
    assert answered[1]["halflap-execution"] == shop.intake.starts[0].execution
    assert b"boom" not in answered[2]
    if body is not None:
        assert answered[2] == body
    if status == 202:
        assert codec.decode(answered[2]) == {"execution": shop.intake.starts[0].execution}


async def test_a_synchronous_call_to_an_instance_in_activation_is_told_to_come_back() -> None:
    shop = desk(answer=FlowResult(), settled=False)
    status, headers, _ = await shop.send()
    assert status == 503
    assert "retry-after" in headers
    assert shop.intake.starts == []
    later = desk(settled=False)
    assert (await later.send())[0] == 200
    assert len(later.intake.starts) == 1


async def test_an_answer_is_never_a_page_of_ours() -> None:
    shop = desk(answer=Reply(200, "<script>alert(1)</script>", {"Content-Type": "text/html"}))
    _, headers, _ = await shop.send()
    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-content-type-options"] == "nosniff"


@for_each(
    ("name", "value", "is_sent"),
    [
        ("Clear-Site-Data", '"cookies"', False),
        ("Set-Cookie", "halflap_session=planted; Path=/", False),
        ("Set-Cookie", " __Host-Halflap_session=planted", False),
        ("Set-Cookie", "\x01halflap_session=planted", False),
        ("Set-Cookie", "theirs=1", True),
    ],
)
async def test_an_answer_touches_no_session(name: str, value: str, is_sent: bool) -> None:
    _, headers, _ = await desk(answer=Reply(headers={name: value})).send()
    assert (name.lower() in headers) is is_sent


async def test_the_declaration_may_come_from_the_triggers_inputs() -> None:
    component = Component("shop")

    @component.trigger()
    async def order(request: Request, field: str) -> Json:
        """An order."""
        return request.json()

    @order.declare
    def _(field: str) -> Declaration:
        return Declaration(key=pointer(f"/{field}"), methods=("PATCH",))

    integration = Integration("shop-orders", config=Config)

    @integration.flow(trigger=order(field="number"))
    async def orders(ctx: Context[Config], event: Json) -> None:
        pass

    shop = desk()
    shop.route = replace(shop.route, definition=orders)
    assert (await shop.send(b'{"number": 9007199254740993}'))[0] == 404
    assert (await shop.send(b'{"number": 9007199254740993}', method="PATCH"))[0] == 200
    assert shop.intake.starts[0].key == "9007199254740993"


async def test_beyond_a_customers_backlog_events_are_to_come_again_later():
    shop = desk()
    shop.backlog = 2
    answers = [await shop.send() for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][1]["retry-after"] == "10"
    assert b"again later" in answers[2][2]
    assert len(shop.intake.starts) == 2
    assert shop.counted == ["refused: backlog"]


async def test_an_id_that_the_signature_does_not_cover_cannot_drop_another_event() -> None:
    shop = desk(verify=GitHubSignature(), dedupe=header("X-GitHub-Delivery"))

    async def deliver(body: bytes, delivery: str) -> str:
        headers = GitHubSignature().sign(body, SECRET, datetime.now(UTC))
        status, answered, _ = await shop.send(
            body, headers=headers | {"X-GitHub-Delivery": delivery}
        )
        assert status == 200
        return answered["halflap-execution"]

    first = await deliver(b'{"n":1}', "a")
    again = await deliver(b'{"n":1}', "b")  # what was captured, under an id that is still to come
    genuine = await deliver(b'{"n":2}', "b")
    assert len({first, again, genuine}) == 3
    assert await deliver(b'{"n":2}', "b") == genuine
    assert len(shop.intake.starts) == 3


async def test_an_id_that_is_signed_or_in_the_body_needs_no_digest() -> None:
    for dedupe in (header("webhook-id"), pointer("/id"), lambda request: request.json()["id"]):
        shop = desk(verify=StandardWebhooks(), dedupe=dedupe)
        await shop.send(b'{"id":"1"}', headers=signed(b'{"id":"1"}', id="1"))
        assert [each.dedupe.key for each in shop.intake.starts if each.dedupe] == ["1"]


async def test_a_body_that_is_too_large_is_told_with_what_raises_the_limit() -> None:
    shop = desk(dedupe=header("x"))
    shop.body_bytes = 10
    status, _, body = await shop.send(b"x" * 11)
    assert status == 413
    assert "HALFLAP_BODY_BYTES" in codec.decode(body)["detail"]
    assert "11 bytes, and 10 are allowed" in shop.rejected[0].reason
    shop = desk(body_limit=4)
    status, _, body = await shop.send(b"x" * 11)
    assert "`body_limit`" in codec.decode(body)["detail"]


async def test_a_request_of_too_many_events_is_refused() -> None:
    shop = desk(split=lambda request: [b"{}"] * 10_001)
    status, _, body = await shop.send(b"{}")
    assert (status, shop.intake.starts) == (413, [])
    assert "10,001 events, more than 10,000" in codec.decode(body)["detail"]
