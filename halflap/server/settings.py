"""The settings of a server, and of commands that speak to one: from the environment, with defaults.

Nothing here needs to be set on a laptop.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from halflap.errors import ConfigError, HalflapError
from halflap.model import MOST_DAYS, Retention

PREFIX = "HALFLAP_"
OF_PUBLISHERS = frozenset({"HALFLAP_URL", "HALFLAP_EVENTS_KEY"})
"""Variables of the product's own processes, which may share an environment with the server."""
REMOTE = re.compile(r"HALFLAP_(SERVER|TOKEN)_([A-Z][A-Z0-9_]*)")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remote:
    """A server elsewhere that has a name, such as `staging`."""

    url: str = ""
    token: str = ""


def setting(default: T, what: str, *, least: float | None = None, most: float | None = None) -> T:
    """A setting: its default, what it is (the reference says so), and its range where it has one."""
    return field(default=default, metadata={"what": what, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a server process, and of the commands that call one."""

    dir: Path = setting(
        Path(".halflap"),
        "The directory of the store, its key and its caches; in a project, its own `.halflap`.",
    )
    store: str = setting(
        "",
        "The PostgreSQL database that has the store, where no file in the directory does: "
        "`postgresql://USER:PASSWORD@HOST/DATABASE`. It needs `HALFLAP_KEYS`, the same in every "
        "process that opens it.",
    )
    host: str = setting(
        "127.0.0.1",
        "The address that the server listens on: this machine alone, or `0.0.0.0` for all.",
    )
    port: int = setting(
        8400,
        "The port that the server listens on; `0` takes any that is free.",
        least=0,
        most=65_535,
    )
    public_url: str = setting(
        "",
        "The http or https URL at which senders reach the server, where that is another than "
        "`http://HOST:PORT`: of a proxy, or a tunnel. Gateways and workers need it, the same in all.",
    )
    token: str = setting(
        "",
        "The token of the management API; where it is not given, it is made and kept in the "
        "directory, in the file `token`.",
    )
    keys: str = setting(
        "",
        "The master keys of the secrets, `id:base64,…`, the current one first; where they are not "
        "given, one is made and kept in the directory, in `halflap.key`.",
    )
    egress_allow: tuple[str, ...] = setting(
        (),
        "What integrations may call although it is not public: addresses, networks and host names, "
        "each with a port where only that one is meant, with commas between.",
    )
    sandboxes: tuple[str, ...] = setting(
        tuple(f"http://127.0.0.1:{port}" for port in range(8500, 9400, 100)),
        "Where the console looks for the [sandbox apps](../sandbox.md), with commas between; nothing, "
        "and it looks nowhere.",
    )
    room: int = setting(500, "How many executions run at once.", least=1, most=100_000)
    lease_seconds: float = setting(
        30.0,
        "How many seconds an execution stays a process' own without a sign of life; when those of "
        "one that is gone have passed, others go on with its executions. The same in every process.",
        least=1,
        most=3_600,
    )
    customer_share: float = setting(
        0.5,
        "How much of the room that is free one customer may take: with 0.5 a half of an empty room, "
        "a third where another one has as much. 1 sets no such bound.",
        least=0.01,
        most=1,
    )
    customer_concurrency: int = setting(
        0,
        "How many executions of one customer run at once, over all processes; `0` sets no limit. "
        "`halflap customers limits` sets another one for a customer.",
        least=0,
        most=1_000_000,
    )
    customer_rate: float = setting(
        0.0,
        "How many executions of one customer begin in a second, over all processes; `0` sets no "
        "limit.",
        least=0,
        most=1_000_000,
    )
    customer_backlog: int = setting(
        100_000,
        "How many executions of one customer may be queued before its events are answered 429, and "
        "steps wait that would start more; `0` sets no limit.",
        least=0,
        most=1_000_000_000,
    )
    retention_days: int = setting(
        30,
        "How many days ended executions are kept, with the rest of the day on which they ended, in "
        "UTC. See [retention](../retention.md).",
        least=1,
        most=MOST_DAYS,
    )
    retention_payload_days: int = setting(
        0,
        "How many days their payloads are kept: events, inputs and results of steps, fields of log "
        "lines, large payloads. `0`: as long as the execution.",
        least=0,
        most=MOST_DAYS,
    )
    retention_audit_days: int = setting(
        365,
        "How many days the entries of the [audit log](../access.md#audit) are kept; of those that are "
        "there already, as it was set then.",
        least=1,
        most=MOST_DAYS,
    )
    drain_seconds: float = setting(
        20.0,
        "How many seconds running executions get to end when the server is stopped.",
        least=0,
        most=86_400,
    )
    cancel_seconds: float = setting(
        30.0,
        "How many seconds a cancelled execution that runs may go on to its next step before it is "
        "cut.",
        least=0,
        most=86_400,
    )
    body_bytes: int = setting(
        6 * 1024 * 1024,
        "How many bytes the body of a request may have; what is larger is answered 413.",
        least=1,
        most=1024**3,
    )
    blobs: str = setting(
        "",
        "Where payloads are kept that are larger than `HALFLAP_BLOB_BYTES`: a directory, or a URL "
        "such as `s3://bucket/prefix` (`gs://…`, `az://…`), whose credentials are where its own "
        "tools look for them. Where it is not given: `blobs` in the directory; with PostgreSQL, "
        "in the database.",
    )
    blob_bytes: int = setting(
        64 * 1024,
        "How many bytes an event's body, a step's inputs or result, a flow's result or the fields of "
        "a log line may have before they are kept apart.",
        least=1024,
        most=1024**3,
    )
    stream_bytes: int = setting(
        8 * 1024 * 1024,
        "How many bytes of a body are held in memory; a larger one, up to `HALFLAP_BODY_BYTES`, goes "
        "to the blobs as it comes, and flows read it in pieces.",
        least=1024,
        most=1024**3,
    )
    header_bytes: int = setting(
        16 * 1024,
        "How many bytes the head of a request may have; what is larger is answered 431.",
        least=256,
        most=1024**2,
    )
    connections: int = setting(
        10_000, "How many connections may be open at once.", least=1, most=1_000_000
    )
    connections_per_address: int = setting(
        1_000,
        "How many connections one address may have open at once; of a proxy in "
        "`HALFLAP_TRUSTED_PROXIES`, how many requests may be under way for one address behind it.",
        least=1,
        most=1_000_000,
    )
    mail_port: int = setting(
        0,
        "The port on which mail is taken by SMTP, for flows with the trigger `email.received`; `0` "
        "takes none. It needs `pip install 'halflap[mail]'` and `HALFLAP_MAIL_DOMAIN`. See "
        "[email](../components/email.md#the-server).",
        least=0,
        most=65_535,
    )
    mail_domain: str = setting(
        "", "What stands behind the `@` of the flows' addresses: a domain whose MX leads here."
    )
    mail_certificate: str = setting(
        "",
        "The file of the certificate, with its chain, in PEM, with which STARTTLS is offered to "
        "senders of mail.",
    )
    mail_key: str = setting("", "The file of that certificate's private key, in PEM.")
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "The addresses and networks of reverse proxies, with commas between, such as `10.0.0.0/8`: "
        "whom their `X-Forwarded-For` and `X-Forwarded-Proto` name is taken for the sender. From all "
        "others these headers are ignored.",
    )
    oidc_issuer: str = setting(
        "",
        "The issuer of the team's OpenID Connect provider, through which people sign in. See "
        "[sign-in through a provider](../access.md#sign-in-through-a-provider).",
    )
    oidc_client_id: str = setting("", "The id of the client that the provider knows the server by.")
    oidc_client_secret: str = setting("", "The secret of that client.")
    oidc_role_claim: str = setting(
        "",
        "The claim of the provider's id token that has the user's role, or a list with it. Without "
        "it, people are added by hand, and found by their verified email.",
    )
    metrics_token: str = setting(
        "",
        "A token that reads `/metrics` and nothing else; the token of the API reads it too. See "
        "[metrics](metrics.md).",
    )
    log: str = setting("text", "How the log is written: `text` for people, `json` for machines.")
    watchdog_seconds: float = setting(
        30.0,
        "How many seconds the event loop may be blocked before the server is ended and started "
        "again; `0` switches the watchdog off.",
        least=0,
        most=86_400,
    )
    blocked_seconds: float = setting(
        2.0,
        "After how many seconds a blocked event loop is logged, with the flow or endpoint that blocks "
        "it; `halflap dev` logs it after 0.2. `0` logs none.",
        least=0,
        most=86_400,
    )
    server: str = setting(
        "",
        "The server that commands speak to, where it is not the one on this machine: its URL, or "
        "the name of one below.",
    )
    remotes: Mapping[str, Remote] = field(
        default_factory=dict[str, Remote],
        metadata={
            "what": "Servers that have a name: `HALFLAP_SERVER_STAGING` and "
            "`HALFLAP_TOKEN_STAGING` are the URL and the token of `--server staging`."
        },
    )

    @property
    def retention(self) -> Retention:
        """For how long things are kept where nobody says otherwise; `ConfigError` for nonsense."""
        return Retention(self.retention_days, self.retention_payload_days or None)

    @property
    def place(self) -> Path | str:
        """Where the store is: the directory, or the URL of a database."""
        return self.store or self.dir

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """From the environment; what is `given` (and not None) stands above it.

        A value that cannot be read or is out of its range, or a `HALFLAP_…` that is no setting, is
        a `ConfigError` that says what is allowed.
        """
        known = {each.name: each for each in fields(cls) if each.name != "remotes"}
        values: dict[str, Any] = {}
        remotes: dict[str, Remote] = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            if remote := REMOTE.fullmatch(variable):
                what, target = remote[1], remote[2].lower().replace("_", "-")
                part = {"url" if what == "SERVER" else "token": text}
                remotes[target] = replace(remotes.get(target, Remote()), **part)
                continue
            name = variable.removeprefix(PREFIX).lower()
            if re.fullmatch("retention_(event|steps|logs|blobs)_days", name):
                raise ConfigError(
                    f"{variable} was replaced: set HALFLAP_RETENTION_PAYLOAD_DAYS, which is for "
                    "events, steps' inputs and results, log fields and large payloads together"
                )
            if variable in OF_PUBLISHERS:
                continue
            if name not in known:
                raise ConfigError(
                    f"{variable} is no setting of Halflap; there are: "
                    f"{', '.join(PREFIX + each.upper() for each in known)}"
                )
            values[name] = converted(variable, text, known[name])
            check(variable, values[name], known[name])
        for name, value in given.items():
            if value is not None:
                check(f"--{name.replace('_', '-')}", value, known[name])
                values[name] = value
        made = cls(**values, remotes=remotes)
        try:
            made.retention  # noqa: B018  # raises where a part would be kept for too long
        except ConfigError as error:
            raise ConfigError(
                f"HALFLAP_RETENTION_DAYS={made.retention_days}: {error.message}; raise it, or lower "
                "HALFLAP_RETENTION_PAYLOAD_DAYS"
            ) from error
        return made


def converted(variable: str, text: str, about: Field[Any]) -> object:
    """A variable's text as a value of its default's type."""
    default = about.default
    try:
        if isinstance(default, Path):
            return Path(text)
        if isinstance(default, tuple):
            return tuple(each.strip() for each in text.split(",") if each.strip())
        if isinstance(default, int):
            return int(text)
        return float(text) if isinstance(default, float) else text
    except ValueError as error:
        raise ConfigError(f"{variable}={text!r}: it is {allowed(about)}") from error


def allowed(about: Field[Any]) -> str:
    """Return the values that a numeric setting may have, in words; nothing where it is none."""
    least, most = about.metadata.get("least"), about.metadata.get("most")
    if least is None or most is None:
        return ""
    kind = "a whole number" if isinstance(about.default, int) else "a number"
    return f"{kind} from {least} to {most}"


def check(where: str, value: Any, about: Field[Any]) -> None:
    """Refuse a value that no server could run with; `where` is the variable, or the option."""
    match about.name:
        case "public_url" if value and not is_url(value):
            raise ConfigError(
                f"{where}={value!r}: it is an http or https URL with a host and no query, such as "
                "https://hooks.example.com"
            )
        case "store" if value and not value.startswith(("postgresql://", "postgres://")):
            # Not shown: whatever it is, there may be a password in it.
            raise ConfigError(
                f"{where}: it is the URL of a PostgreSQL database, such as "
                "postgresql://user:password@host:5432/database; for a store in a file, leave it out"
            )
        case "blobs" if "://" in value and not value.startswith(("s3://", "gs://", "az://")):
            raise ConfigError(
                f"{where}={value!r}: it is a directory, or an s3://, gs:// or az:// URL"
            )
        case "log" if str(value) not in ("text", "json"):
            raise ConfigError(f"{where}={value!r}: it is text or json")
        case "egress_allow":
            from halflap.sdk.egress import Policy, Rules

            try:
                Rules(Policy(allow=value))
            except HalflapError as error:
                raise ConfigError(f"{where}: {error.message}") from error
        case "sandboxes" if wrong := [each for each in value if not is_url(each)]:
            raise ConfigError(f"{where}: {wrong[0]!r} is no http or https URL")
        case "trusted_proxies":
            for each in value:
                try:
                    ip_network(each)
                except ValueError as error:
                    raise ConfigError(
                        f"{where}: {error}; give addresses or networks, such as 10.0.0.0/8"
                    ) from error
        case "keys" if value:
            from halflap.store.vault import Vault

            try:
                Vault.from_text(value, where=where)
            except HalflapError as error:
                raise ConfigError(error.message) from error
        case _:
            if said := allowed(about):
                least, most = about.metadata["least"], about.metadata["most"]
                if not (math.isfinite(value) and least <= value <= most):
                    raise ConfigError(f"{where}={value}: it is {said}")


def is_url(text: str) -> bool:
    """Return whether a text is an http or https URL that paths can be put after."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises where it is none
    except ValueError:
        return False
    whole = not (parts.query or parts.fragment or re.search(r"\s", text))
    return parts.scheme in ("http", "https") and bool(parts.hostname) and whole
