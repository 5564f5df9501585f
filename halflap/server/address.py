"""The address of a running server, left in its directory for commands on the same machine."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "server.json"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is reached, of which process and store it is, and a secret that proves it.

    After a kill -9 the file is left, and another program may have the port by then. So a command
    sends its token only to what answers a challenge by the secret.
    """

    url: str
    pid: int
    store: str
    public_url: str = ""
    """The URL at which senders reach it; nothing where that is its `url`."""
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def read(cls, directory: Path) -> ServerAddress | None:
        """The address in a directory; None where there is none."""
        try:
            return cls(**json.loads((directory / FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, directory: Path) -> None:
        """Leave the address, readable by its owner only."""
        draft = directory / f"{FILE}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            json.dump(asdict(self), file)
        draft.replace(directory / FILE)

    def prove(self, challenge: str) -> str:
        """Return the answer to a challenge, which takes the secret."""
        return hmac.new(self.secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def remove_address(directory: Path) -> None:
    """Remove the address of a server that ends."""
    with contextlib.suppress(FileNotFoundError):
        (directory / FILE).unlink()


def reachable(host: str) -> str:
    """The host of this machine at which a server that listens on `host` is reached."""
    if host in ("0.0.0.0", ""):  # noqa: S104
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
