"""A signature over a body that is never held says what it says over the same body in memory."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap import (
    BasicAuth,
    BearerToken,
    CalendlySignature,
    GitHubSignature,
    HubSpotSignature,
    JiraSignature,
    MailgunSignature,
    Rejected,
    Request,
    ShopifySignature,
    Signature,
    SlackSignature,
    StandardWebhooks,
    StripeSignature,
    SvixSignature,
    TwilioSignature,
    TypeformSignature,
    Unsigned,
    Verifier,
    ZendeskSignature,
)
from halflap.sdk.proof import Proof, begin
from halflap.sdk.request import Headers
from halflap.sdk.signature import new_secret

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = new_secret()
URL = "https://hooks.example/hooks/hk_1"
STREAMED: list[Callable[[], Signature]] = [
    StandardWebhooks,
    SvixSignature,
    GitHubSignature,
    SlackSignature,
    StripeSignature,
    CalendlySignature,
    ShopifySignature,
    HubSpotSignature,
    ZendeskSignature,
    TypeformSignature,
    JiraSignature,
    lambda: Signature("X-Sign", template="{timestamp}{body}{id}", **TIMED),
]
TIMED = {"timestamp_header": "X-Time", "id_header": "X-Id"}


def request(headers: dict[str, str], body: bytes = b"") -> Request:
    return Request("POST", "", "", Headers(headers.items()), body, URL, NOW)


def check(verifier: Verifier, headers: dict[str, str], *chunks: bytes, at: datetime = NOW) -> None:
    proof = begin(verifier, request(headers), [SECRET], at)
    for each in chunks:
        proof.update(each)
    proof.check()


@pytest.mark.parametrize("layout", STREAMED)
@given(body=st.binary(max_size=200), cut=st.integers(0, 200))
def test_what_is_genuine_is_taken_and_what_was_changed_is_not(
    layout: Callable[[], Signature], body: bytes, cut: int
):
    verifier = layout()
    headers = verifier.sign(body, SECRET, NOW, id="msg_1", url=URL)
    verifier.verify(request(headers, body), [SECRET], NOW)

    check(verifier, headers, body[:cut], body[cut:])

    for changed in ((body, b"x"), (b"x", body)):
        with pytest.raises(Rejected) as refused:
            check(verifier, headers, *changed)
        assert refused.value.status == 401


@pytest.mark.parametrize("layout", [StandardWebhooks, SlackSignature, StripeSignature])
def test_what_is_stale_or_unsigned_is_refused_before_its_body(layout: Callable[[], Signature]):
    verifier = layout()
    headers = verifier.sign(b"x", SECRET, NOW, id="msg_1")

    with pytest.raises(Rejected, match="old"):
        begin(verifier, request(headers), [SECRET], NOW + timedelta(hours=1))
    with pytest.raises(Rejected, match="missing"):
        begin(verifier, request({}), [SECRET], NOW)
    with pytest.raises(Rejected, match="no usable"):
        begin(verifier, request(headers), [], NOW)


def test_a_shared_secret_in_the_head_is_checked_at_once():
    check(BearerToken(), {"Authorization": f"Bearer {SECRET}"}, b"anything")
    check(Unsigned("a test"), {}, b"anything")
    for verifier in (BearerToken(), BasicAuth()):
        with pytest.raises(Rejected):
            begin(verifier, request({"Authorization": "Bearer wrong"}), [SECRET], NOW)


def test_no_secret_proves_nothing():
    with pytest.raises(Rejected, match="none of the endpoint's secrets"):
        Proof("X-Sign", [b"digest"], []).check()


class Own:
    """A verifier of somebody's own."""

    def verify(self, request: Request, secrets: object, now: datetime) -> None:
        assert request.body


@pytest.mark.parametrize("verifier", [TwilioSignature(), MailgunSignature(), Own()])
def test_a_layout_that_needs_the_whole_body_is_413(verifier: Verifier):
    headers = {"X-Twilio-Signature": "YWJj"}

    with pytest.raises(Rejected, match="whole body") as refused:
        begin(verifier, request(headers), [SECRET], NOW)

    assert refused.value.status == 413


def test_a_public_keys_signature_is_413():
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(NOW.timestamp()))}
    headers["webhook-signature"] = "v1a," + "A" * 86 + "=="

    with pytest.raises(Rejected, match="public key") as refused:
        begin(StandardWebhooks(), request(headers), ["whpk_" + "A" * 43 + "="], NOW)

    assert refused.value.status == 413
