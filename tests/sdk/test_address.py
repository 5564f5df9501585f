"""The addresses that may be called: every way that is known to say "loopback" and mean it."""

from ipaddress import ip_address

import pytest
from aiohttp.helpers import is_ip_address
from hypothesis import given
from hypothesis import strategies as st

from halflap.errors import DefinitionError, EgressRefused
from halflap.sdk._address import PinnedResolver, Policy, Rules, not_public
from tests.cases import for_each

# Refused without asking any resolver.
REFUSED = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/",
    "https://127.1.2.3/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.01/",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://99999999999/",
    "http://①②⑦.⓪.⓪.①/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://127%2e0%2e0%2e1/",
    "http://127.0.0.1%00.example.com/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::127.0.0.1]/",
    "http://[::7f00:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[64:ff9b:1::808:808]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:db8::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[4000::1]/",
    "http://[127.0.0.1]/",
    "http://[::1",
    "http://[v1.x]/",
    "http://user@example.com/",
    "http://user:secret@example.com/",
    "http://:@example.com/",
    "http://@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com:80\\@127.0.0.1/",
    "http://a b/",
    "http://a..b/",
    "http://-a/",
    "http://a,b/",
    "http://exa$mple.com/",
    "http:///etc/passwd",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "//127.0.0.1/",
    "/relative",
    "127.0.0.1",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_",
    "dict://127.0.0.1:11211/",
    "unix:///var/run/docker.sock",
    "ws://example.com/",
    "javascript:alert(1)",
    "http://example.com:0/",
    "http://example.com:22/",
    "http://example.com:25/",
    "https://example.com:445/",
    "http://example.com:99999/",
    "http://example.com:80:80/",
    "http://example.com:x/",
    "http://8.8.8.8:53/",
]
REFUSED += [
    "",
    " http://example.com/",
    "http://exa\tmple.com/",
    "http://exa\nmple.com/",
    "http://example.com/\r\nHost: other",
    f"http://{'a' * 64}.com/",
    f"http://{'a.' * 130}com/",
]

CALLED = [
    "http://example.com/",
    "https://example.com/a/b?c=d#e",
    "HTTPS://EXAMPLE.COM/",
    "https://example.com./",
    "https://example.com:8443/",
    "http://example.com:1024/",
    "http://example.com:65535/",
    "https://bücher.example/",
    "https://xn--bcher-kva.example/",
    "https://a_b.example.com/",
    "http://8.8.8.8/",
    "http://1.1.1.1:8080/",
    "http://[2606:4700:4700::1111]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[64:ff9b::8.8.8.8]/",
    "https://example.com/?next=http://127.0.0.1/",
    "https://example.com/@127.0.0.1",
    "https://example.com#@127.0.0.1/",
    "https://1password.example/",
    "https://0x7f.example/",
]


@for_each("url", REFUSED)
def test_what_is_not_public_or_not_plain_is_refused_before_any_lookup(url: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        Rules(Policy()).destination(url)

    assert "secret" not in refused.value.message
    assert not refused.value.retryable


@for_each("url", CALLED)
def test_public_destinations_are_let_through(url: str) -> None:
    assert Rules(Policy()).destination(url).scheme in ("http", "https")


@given(st.text("0123456789.:xXabcdefABCDEF[]①⓪٠。%-", min_size=1, max_size=24))
def test_the_library_never_dials_a_host_as_an_address_that_was_not_judged_as_one(
    host: str,
) -> None:
    """aiohttp skips the resolver for these: they have to be refused or public before."""
    try:
        destination = Rules(Policy()).destination(f"http://{host}/")
    except EgressRefused:
        return
    assert destination.raw_host is not None
    if is_ip_address(destination.raw_host):
        assert not_public(ip_address(destination.raw_host)) is None


@for_each(
    ("entry", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:9000/"),
        ("127.0.0.0/8", "http://127.5.5.5/"),
        ("10.0.0.0/8", "https://10.1.2.3/"),
        ("127.0.0.1:25", "http://127.0.0.1:25/"),
        ("::1", "http://[::1]/"),
        ("[::1]:25", "http://[::1]:25/"),
        ("fd00::/8", "http://[fd00::1]/"),
    ],
)
def test_an_allowed_address_may_be_called(entry: str, url: str) -> None:
    assert Rules(Policy(allow=(entry,))).destination(url)


@for_each(
    ("entry", "url"),
    [
        ("127.0.0.1", "http://127.0.0.2/"),
        ("127.0.0.1", "http://127.0.0.1:25/"),
        ("127.0.0.1:8080", "http://127.0.0.1:8081/"),
        ("127.0.0.1:25", "http://127.0.0.1/"),
        ("127.0.0.1:25", "http://127.0.0.2:25/"),
        ("127.0.0.1", "http://127.1/"),
        ("10.0.0.0/8", "http://[64:ff9b::10.0.0.1]/"),
        ("localhost", "http://127.0.0.1/"),
        ("::1", "http://127.0.0.1/"),
    ],
)
def test_an_allowed_entry_allows_nothing_beside_it(entry: str, url: str) -> None:
    with pytest.raises(EgressRefused):
        Rules(Policy(allow=(entry,))).destination(url)


@for_each("entry", ["http://localhost", "0x7f.1", "10.0.0.0/99", "*", "", "a b"])
def test_an_entry_that_cannot_be_read_is_refused_when_the_policy_is_made(entry: str) -> None:
    with pytest.raises(DefinitionError, match="allow"):
        Rules(Policy(allow=(entry,)))


async def resolved(*addresses: str, host: str = "app.example", allow: tuple[str, ...] = ()):
    async def lookup(host: str, port: int) -> tuple[str, ...]:
        return addresses

    resolver = PinnedResolver(Rules(Policy(allow=allow)), timeout=5, lookup=lookup)
    return [each["host"] for each in await resolver.resolve(host, 443)]


async def test_a_name_is_called_at_every_public_address_that_it_has() -> None:
    addresses = ["93.184.215.14", "2606:4700::1111"]
    assert await resolved(*addresses, addresses[0]) == addresses


@for_each("hidden", ["127.0.0.1", "169.254.169.254", "::1", "fd00::1", "fe80::1%2"])
async def test_one_address_that_is_not_public_refuses_the_name(hidden: str) -> None:
    refused = r"(loopback|link-local|private|interface)(.|\n)*HALFLAP_EGRESS_ALLOW"
    with pytest.raises(EgressRefused, match=refused):
        await resolved("93.184.215.14", hidden)


async def test_a_name_that_is_allowed_may_resolve_to_anything() -> None:
    assert await resolved("127.0.0.1", "::1", host="LOCALHOST.".lower(), allow=("localhost",))
    with pytest.raises(EgressRefused):
        await resolved("127.0.0.1", host="localhost.evil.example", allow=("localhost",))


async def test_a_name_without_an_address_is_an_error_of_the_network() -> None:
    with pytest.raises(OSError, match="has no address"):
        await resolved()


async def test_the_system_resolver_is_asked_by_default_and_its_answer_is_judged() -> None:
    resolver = PinnedResolver(Rules(Policy()), timeout=5)
    with pytest.raises(EgressRefused, match="loopback"):
        await resolver.resolve("localhost", 80)
