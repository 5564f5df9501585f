"""Moto's server in a process of its own, which keeps its queues while ours are killed."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from tests.loopback import free_port
from tests.polling import DEADLINE


@contextmanager
def moto_server() -> Iterator[str]:
    """Run it; its address."""
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + DEADLINE
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > until or running.poll() is not None:
                    raise
                time.sleep(0.1)
        yield url
    finally:
        running.kill()
        running.wait()


def client(service: str, url: str) -> "boto3.client":
    """A client of Amazon's own SDK."""
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
