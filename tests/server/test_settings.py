"""Settings say what they may be, and nothing else is taken."""

import base64
from dataclasses import fields

import pytest

from halflap.errors import ConfigError
from halflap.server.settings import PREFIX, Settings
from tests.cases import for_each

KEY = base64.b64encode(bytes(32)).decode()


@for_each(
    ("name", "text", "said"),
    [
        ("ROOM", "0", "HALFLAP_ROOM=0: it is a whole number from 1 to 100000"),
        ("ROOM", "many", "HALFLAP_ROOM='many': it is a whole number from 1"),
        ("RETENTION_EVENT_DAYS", "7", "set HALFLAP_RETENTION_PAYLOAD_DAYS"),
        ("RETENTION_PAYLOAD_DAYS", "31", "raise it, or lower HALFLAP_RETENTION_PAYLOAD_DAYS"),
        ("RETENTION_DAYS", "-1", "HALFLAP_RETENTION_DAYS=-1: .* from 1 to"),
        ("CONNECTIONS", "0", "HALFLAP_CONNECTIONS=0: .* from 1 to"),
        ("CONNECTIONS_PER_ADDRESS", "0", "from 1 to"),
        ("BODY_BYTES", "0", "from 1 to"),
        ("HEADER_BYTES", "1", "from 256 to"),
        ("DRAIN_SECONDS", "nan", "HALFLAP_DRAIN_SECONDS=nan: it is a number from 0 to 86400"),
        ("DRAIN_SECONDS", "inf", "from 0 to 86400"),
        ("WATCHDOG_SECONDS", "-1", "from 0 to"),
        ("PORT", "99999", "HALFLAP_PORT=99999: it is a whole number from 0 to 65535"),
        ("PUBLIC_URL", "foo", "HALFLAP_PUBLIC_URL='foo': it is an http or https URL with a host"),
        ("PUBLIC_URL", "ftp://example.com", "http or https"),
        ("BLOBS", "ftp://example.com/blobs", "a directory, or an s3://, gs:// or az:// URL"),
        ("PUBLIC_URL", "https://", "with a host"),
        ("PUBLIC_URL", "https://example.com:x", "with a host"),
        ("PUBLIC_URL", "https://example.com?a=1", "no query"),
        ("LOG", "xml", "HALFLAP_LOG='xml': it is text or json"),
        ("EGRESS_ALLOW", "10.0.0.0/99", "HALFLAP_EGRESS_ALLOW: .*10.0.0.0/99"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "HALFLAP_TRUSTED_PROXIES: .*host bits"),
        ("TRUSTED_PROXIES", "proxy.internal", "HALFLAP_TRUSTED_PROXIES: .*such as 10.0.0.0/8"),
        ("KEYS", "secret-but-no-key", "HALFLAP_KEYS: .*base64"),
    ],
)
def test_what_no_server_could_run_with_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.read({PREFIX + name: text})


def test_what_is_wrong_with_keys_is_said_without_them() -> None:
    with pytest.raises(ConfigError) as raised:
        Settings.read({"HALFLAP_KEYS": "k1:c2VjcmV0"})
    assert "c2VjcmV0" not in str(raised.value)


def test_what_is_given_on_the_command_line_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="--port=99999: it is a whole number from 0 to 65535"):
        Settings.read({}, port=99999)
    with pytest.raises(ConfigError, match="--public-url='foo'"):
        Settings.read({}, public_url="foo")


def test_what_is_in_range_is_taken() -> None:
    settings = Settings.read(
        {
            "HALFLAP_WATCHDOG_SECONDS": "0",
            "HALFLAP_DRAIN_SECONDS": "0.5",
            "HALFLAP_PORT": "0",
            "HALFLAP_PUBLIC_URL": "https://hooks.example.com/in",
            "HALFLAP_EGRESS_ALLOW": "localhost, 10.0.0.0/8, [::1]:25",
            "HALFLAP_KEYS": f"k1:{KEY}",
        }
    )
    assert settings.watchdog_seconds == 0
    assert settings.drain_seconds == 0.5
    assert settings.egress_allow == ("localhost", "10.0.0.0/8", "[::1]:25")


def test_every_setting_says_what_it_is_and_every_default_is_allowed() -> None:
    for each in fields(Settings):
        assert each.metadata["what"].endswith("."), each.name
        if isinstance(each.default, int | float):
            assert each.metadata["least"] <= each.default <= each.metadata["most"]
    assert Settings.read({}) == Settings()


def test_variables_of_the_product_beside_it_are_no_mistakes() -> None:
    shared = {"HALFLAP_URL": "https://halflap.example", "HALFLAP_EVENTS_KEY": "k"}
    assert Settings.read(shared) == Settings.read({})
    with pytest.raises(ConfigError, match="HALFLAP_EVENT_KEY is no setting"):
        Settings.read({"HALFLAP_EVENT_KEY": "k"})
