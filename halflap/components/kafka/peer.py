"""A broker as a handshake finds it: why librdkafka, which tells of a failure only that, reached none."""

from __future__ import annotations

import socket
import ssl
from typing import Literal

Peer = Literal["plain", "tls", "demands a certificate"]

HANDSHAKE_SECONDS = 3.0
HEARD_SECONDS = 0.5
"""Seconds in which a broker says that it demands a certificate: TLS 1.3 does so after the handshake."""

NOT_TAKEN = "the brokers did not take the certificate: is it of an authority that they trust?"


def find_peer(connected: socket.socket, host: str) -> Peer:
    """Return what a broker speaks at an address that was connected to; blocks, and closes it.

    Nothing is sent but a handshake, so it does not matter who is there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connected.settimeout(HANDSHAKE_SECONDS)
    with connected:
        try:
            with context.wrap_socket(connected, server_hostname=host) as encrypted:
                encrypted.settimeout(HEARD_SECONDS)
                try:
                    encrypted.recv(1)
                except TimeoutError:  # it waits for us
                    return "tls"
        except ssl.SSLError as error:
            demands = "CERTIFICATE_REQUIRED" in error.reason or "HANDSHAKE_FAILURE" in error.reason
            return "demands a certificate" if demands else "plain"
        except OSError:
            return "plain"
    return "demands a certificate"  # it hung up, without a word: as who waits for requests does not


def advice(peer: Peer, *, encrypts: bool, certified: bool, anonymous: bool) -> str:
    """Return what to change on a connection that reached a broker and was not served; empty: nothing."""
    match peer:
        case "plain" if encrypts:
            return (
                "there is no TLS at this port: choose the encryption none, or the port at which the "
                "brokers speak TLS"
            )
        case "tls" | "demands a certificate" if not encrypts:
            return "the brokers speak TLS at this port: choose the encryption tls"
        case "demands a certificate" if certified:
            return NOT_TAKEN
        case "demands a certificate":
            return "the brokers demand a certificate: sign in with one (kind: certificate)"
        case _ if anonymous:
            return "where a cluster demands a sign-in, it ends such connections: choose how one signs in"
        case _:
            return ""
