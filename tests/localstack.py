"""Amazon SNS as LocalStack emulates it, with confirmations, signatures of both versions and raw delivery.

LocalStack wants a Python of 3.12 or newer and 300 MB, so only what soaks installs it, once, into the
user's cache. `python -m tests.localstack FILE` records what it sends: the other tests take that
(`tests/components/sns_messages.json`) as what a stranger signed.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from halflap import sns
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from tests.loopback import free_port, on_loopback
from tests.polling import DEADLINE

REQUIREMENTS = (
    *("localstack-core[runtime]==4.14.0", "cryptography==45.0.7", "pyopenssl==25.3.0"),
    *("service_identity==24.2.0", "cbor2<6"),
)
HOME = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "halflap/localstack-4.14.0"
)
SENT = ("content-type", "x-amz-sns-message-type", "x-amz-sns-message-id", "x-amz-sns-topic-arn")


@functools.cache
def interpreter() -> Path:
    """The Python that has LocalStack; installed by the first who asks."""
    python = HOME / "venv/bin/python"
    if not (HOME / "ready").exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [uv, "venv", "-q", "--clear", "-p", ">=3.12,<3.14", HOME / "venv"], check=True
        )
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *REQUIREMENTS], check=True)
        (HOME / "ready").touch()
    return python


@asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    """Run LocalStack; its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    environment = {
        **os.environ,
        "HOME": str(HOME),
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        "SERVICES": "sns,sqs",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "PYTHONWARNINGS": "ignore",
    }
    python = await asyncio.to_thread(interpreter)
    running = await asyncio.create_subprocess_exec(
        python,
        *("-m", "localstack.runtime.main"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(120), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"http://{address}/_localstack/health") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.2)
        yield f"http://{address}"
    finally:
        if running.returncode is None:
            running.terminate()
            try:
                await asyncio.wait_for(running.wait(), DEADLINE)
            except TimeoutError:
                running.kill()
                await running.wait()


def account(url: str) -> sns.Sns:
    """A connection to the emulator."""
    made = sns.Sns(access_key_id="test", secret_access_key="test", endpoint_url=url)  # type: ignore[arg-type]
    made._link = Link("aws", egress=Egress(Policy(allow=("127.0.0.1",))))
    return made


async def topic_named(aws: sns.Sns, name: str, version: str) -> str:
    """Make a topic that signs in a version; its ARN."""
    values = {"Name": name}
    arn = sns.text(await aws.call("CreateTopic", values), "TopicArn")
    attribute = {"AttributeName": "SignatureVersion", "AttributeValue": version}
    await aws.call("SetTopicAttributes", {"TopicArn": arn, **attribute})
    return arn


class Sink:
    """Takes what topics send, in turn."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        raw = request.headers.get("x-amz-sns-rawdelivery")
        headers = {name: request.headers[name] for name in SENT if name in request.headers}
        headers |= {"x-amz-sns-rawdelivery": raw} if raw else {}
        await self.came.put({"headers": headers, "body": await request.text()})
        return web.Response()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            return await self.came.get()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """Serve a sink on loopback."""
    made = Sink()
    app = web.Application()
    app.router.add_post("/", made.take)
    async with on_loopback(app) as url:
        made.url = f"{url}/"
        yield made


async def record() -> dict[str, Any]:
    """Return messages of the emulator, by version and kind, and the certificate that they name."""
    messages: dict[str, Any] = {}
    async with emulator() as url, sink() as here:
        aws = account(url)
        for version in ("1", "2"):
            topic = await topic_named(aws, f"orders-{version}", version)
            made = await sns.subscribe(aws, topic, "http", here.url)
            messages[f"{version} confirmation"] = asked = await here.next()
            token = json.loads(asked["body"])["Token"]
            await aws.call("ConfirmSubscription", {"TopicArn": topic, "Token": token})
            published = {
                "plain": {"message": "hello"},
                "subject": {"message": '{"id": 9007199254740993}', "subject": "An order"},
                "unicode": {"message": "Grüße,\nzwei Zeilen 🚚", "subject": "Plain"},
                "attributes": {"message": "typed", "attributes": {"kind": "order", "size": 3}},
            }
            for name, values in published.items():
                await sns.publish(aws, topic, **values)
                messages[f"{version} {name}"] = await here.next()
            await sns.unsubscribe(aws, made.arn)
            messages[f"{version} end"] = await here.next()
        topic = await topic_named(aws, "raw", "2")
        await sns.subscribe(aws, topic, "http", here.url, raw=True)
        messages["raw confirmation"] = asked = await here.next()
        token = json.loads(asked["body"])["Token"]
        await aws.call("ConfirmSubscription", {"TopicArn": topic, "Token": token})
        await sns.publish(aws, topic, "Grüße, roh")
        messages["raw plain"] = await here.next()
        named = json.loads(messages["2 plain"]["body"])["SigningCertURL"]
        pem = (await aws.request("GET", named)).text
    return {"endpoint": url, "certificate": {"url": named, "pem": pem}, "messages": messages}


if __name__ == "__main__":
    recorded = json.dumps(asyncio.run(record()), indent=1, ensure_ascii=False)
    Path(sys.argv[1]).write_text(recorded + "\n", "utf-8")
