"""Where a connection sends its credentials, whatever its fields are called."""

from typing import Any

from pydantic import BaseModel, SecretStr

from halflap.sdk.connection import Connection
from halflap.sdk.oauth import ClientCredentials
from halflap.sdk.origin import changed_origins, origins
from tests.cases import for_each


class Computed(Connection):
    region: str = "eu"
    label: str = ""
    key: SecretStr = SecretStr("k")

    @property
    def base_url(self) -> str:
        return f"https://{self.region}.app.example/v1"


class Server(BaseModel):
    host: str = "mail"
    port: int = 993


class Mail(Connection):
    server: Server = Server()
    account: str = "a"
    where: str = ""
    hook: SecretStr = SecretStr("https://hooks.example/secret")
    more: list[str] = []


class Token(Connection):
    base_url: str = "https://api.example"
    auth: ClientCredentials


TOKEN = {"token_url": "https://id.example/token", "client_id": "us", "client_secret": "s"}


@for_each(
    ("kind", "before", "after", "changed"),
    [
        (Computed, {}, {"region": "us"}, ["base_url"]),
        (Computed, {}, {"region": "evil.example/x"}, ["region", "base_url"]),
        (Computed, {}, {"label": "a new name"}, []),
        (Computed, {}, {"label": "v1.2"}, []),
        (Mail, {}, {"server": {"host": "other"}}, ["server.host"]),
        (Mail, {}, {"server": {"port": 1}}, ["server.port"]),
        (Mail, {}, {"account": "b"}, []),
        (Mail, {"where": "imap.a.example"}, {"where": "imap.b.example:993"}, ["where"]),
        (Mail, {"where": "imap.a.example"}, {"where": ""}, ["where"]),
        (Mail, {}, {"where": "10.0.0.1"}, ["where"]),
        (Mail, {}, {"hook": "https://evil.example/secret"}, ["hook"]),
        (Mail, {}, {"hook": "https://hooks.example/other"}, []),
        (Mail, {}, {"more": ["x", "https://evil.example"]}, ["more.1"]),
        (Token, {}, {"base_url": "https://api.example/v2"}, []),
        (Token, {}, {"base_url": "HTTPS://API.example"}, []),
        (Token, {}, {"base_url": "http://api.example"}, ["base_url"]),
        (Token, {}, {"base_url": "https://api.example:444"}, ["base_url"]),
        (Token, {}, {"base_url": "https://api.example@evil.example"}, ["base_url"]),
        (Token, {}, {"base_url": "https://evil.example\\@api.example"}, ["base_url"]),
        (Token, {}, {"base_url": "//evil.example"}, ["base_url"]),
        (Token, {}, {"base_url": "\\\\evil.example"}, ["base_url"]),
        (Token, {}, {"base_url": " https:\\\\evil.example"}, ["base_url"]),
        (Token, {}, {"base_url": ""}, ["base_url"]),
        (Token, {}, {"auth": {**TOKEN, "token_url": "https://evil/token"}}, ["auth.token_url"]),
        (Token, {}, {"auth": {**TOKEN, "token_url": "https://id.example/t2"}}, []),
    ],
)
def test_an_address_that_changes_is_found_in_every_spelling(
    kind: type[Connection], before: dict[str, Any], after: dict[str, Any], changed: list[str]
) -> None:
    default = {"auth": TOKEN} if kind is Token else {}
    old = kind.model_validate({**default, **before})
    new = kind.model_validate({**default, **before, **after})
    assert sorted(changed_origins(origins(old), origins(new))) == sorted(changed)
