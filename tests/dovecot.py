"""Debian's dovecot, run by a test on ports of its own: an IMAP server that is not ours.

It runs as root, as its processes change their users; `requirements/system.sh` installs it where it may.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.loopback import free_port
from tests.polling import DEADLINE

PASSWORD = 'geheim "1"'
CONFIG = """
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
mail_uid = 2000
mail_gid = 2000
first_valid_uid = 1
auth_mechanisms = plain login
auth_allow_cleartext = yes
ssl_server_cert_file = {folder}/cert.pem
ssl_server_key_file = {folder}/key.pem
imap_idle_notify_interval = 2s
{capability}
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    home = {folder}/mail/%{{user}}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls}
  }}
}}
service stats {{
  client_limit = 100
}}
"""


@dataclass
class Dovecot:
    """A running server."""

    folder: Path
    port: int
    tls: int
    authority: trustme.CA

    @contextlib.contextmanager
    def signed_in(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A stranger's client, signed in."""
        with imaplib.IMAP4("127.0.0.1", self.port) as box:
            box.login(user, PASSWORD)
            yield box

    def append(self, user: str, mails: Sequence[bytes], folder: str = "INBOX") -> None:
        """Put mails into a folder."""
        with self.signed_in(user) as box:
            for each in mails:
                status, told = box.append(folder, "", "", each)
                assert status == "OK", told

    def flags(self, user: str, folder: str = "INBOX") -> list[str]:
        """The flags of the mails of a folder."""
        with self.signed_in(user) as box:
            _, count = box.select(folder, readonly=True)
            if count == [b"0"]:
                return []
            _, found = box.fetch("1:*", "(FLAGS)")
            return [each.decode() for each in found if isinstance(each, bytes)]

    def renumber(self, user: str) -> None:
        """Have the server number the mails of the inbox anew, as a lost index does."""
        place = self.folder / "mail" / user
        for each in place.glob("dovecot*"):
            each.unlink() if each.is_file() else shutil.rmtree(each)


MISSING = "dovecot is not here, or this is not root (apt-get install dovecot-imapd)"


def dovecot_program() -> str | None:
    """Return the program, where it is here and may be run."""
    program = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
    return program if os.geteuid() == 0 else None


@contextlib.contextmanager
def dovecot(*, idles: bool = True) -> Iterator[Dovecot]:
    """Run it; skip where it is not there, or may not be run."""
    if (program := dovecot_program()) is None:
        pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="halflap-dovecot-", dir="/tmp"))
    folder.chmod(0o755)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    (folder / "mail").mkdir()
    os.chown(folder / "mail", 2000, 2000)
    port, tls = free_port(), free_port()
    words = "IMAP4rev1 SASL-IR LITERAL+ UIDPLUS MOVE"
    told = CONFIG.format(
        folder=folder,
        port=port,
        tls=tls,
        password='"' + PASSWORD.replace('"', '\\"') + '"',
        capability="" if idles else f"imap_capability = {words}",
    )
    (folder / "dovecot.conf").write_text(told)
    with (folder / "errors").open("wb") as errors:
        running = subprocess.Popen(
            [program, "-F", "-c", str(folder / "dovecot.conf")],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        until = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or running.poll() is not None:
                    raise AssertionError((folder / "errors").read_text()) from None
                time.sleep(0.05)
        yield Dovecot(folder, port, tls, authority)
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        shutil.rmtree(folder, ignore_errors=True)
