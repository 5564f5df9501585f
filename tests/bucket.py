"""A bucket of an S3 server that is not ours (moto), started when a test first asks."""

import functools
import itertools
import urllib.request

import pytest

_numbers = itertools.count(1)


@functools.cache
def server() -> str:
    """The server's address."""
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    return f"http://{host}:{port}"


def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; the environment leads there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server())
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    name = f"halflap-{next(_numbers)}"
    request = urllib.request.Request(f"{server()}/{name}", method="PUT")
    urllib.request.urlopen(request).close()
    return f"s3://{name}/large"
