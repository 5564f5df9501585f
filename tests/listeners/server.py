"""The server of the listeners' fault runs: it kills itself where it is told, or breaks a promise.

`--die accepted:3` ends it with SIGKILL the third time that it comes to that point: `opened` (nothing was
read yet), `read` (before a batch is accepted), `accepted` (before it is acknowledged), `acknowledged`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from halflap.components.kafka import member
from halflap.engine.bundle import pack
from halflap.engine.journal import JournalEngine
from halflap.engine.listening import ShardStream
from halflap.errors import Fenced
from halflap.gateway.server import run_loop
from halflap.model import Start
from halflap.server.host import Host
from halflap.store.shards import ListenerShards, ShardCursor
from tests.dovecot import PASSWORD
from tests.faults.server import active, main, parser
from tests.plainlog import plain_logs

HERE = Path(__file__).parent


class Death:
    """Ends the process at a point, after so many times; or stops it there, until it is told to go on."""

    def __init__(self, told: str, by: signal.Signals = signal.SIGKILL) -> None:
        self.by = by
        self.point, _, count = told.partition(":")
        self.left = int(count or 0)

    def pass_by(self, point: str) -> None:
        """Come to a point."""
        if point == self.point:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), self.by)


def arm(options: argparse.Namespace) -> None:
    """Have the process die where it was told, and break what the controls break."""
    death = Death(options.die)
    stop = Death(options.stop, signal.SIGSTOP)
    start, acknowledged, read = (
        JournalEngine.start,
        ShardStream._acknowledged,
        ShardStream.read,
    )

    async def reading(self: ShardStream) -> None:
        death.pass_by("opened")
        await read(self)

    async def starting(
        self: JournalEngine, starts: Sequence[Start], cursors: Sequence[ShardCursor] = ()
    ) -> Any:
        if not cursors:
            return await start(self, starts)
        death.pass_by("read")
        stop.pass_by("read")
        if options.cursor_first:
            if not await self.journal.shards.move(cursors):
                raise Fenced("it was taken")
            if options.of is None or any(each.flow.flow == options.of for each in starts):
                death.pass_by("between")
            cursors = ()
        if options.unfenced:
            cursors = ()
        found = await start(self, starts, cursors) if starts or cursors else []
        death.pass_by("accepted")
        return found

    async def acknowledging(self: ShardStream, ack: Any) -> None:
        await acknowledged(self, ack)
        death.pass_by("acknowledged")

    if options.ack_first:
        accept = ShardStream._accepted

        async def accepting(self: ShardStream, batch: Any, starts: Any, cursors: Any) -> None:
            await batch.ack()
            death.pass_by("between")
            await accept(self, replace(batch, ack=None), starts, cursors)

        ShardStream._accepted = accepting
    if options.unfenced:  # nor does it look whether others have taken what it reads
        share = ListenerShards.share

        async def sharing(self: ListenerShards, *given: Any) -> Any:
            return replace(await share(self, *given), lost=(), surplus=())

        ListenerShards.share = sharing
    ShardStream.read, ShardStream._acknowledged = reading, acknowledging
    JournalEngine.start = starting


async def prepare_queue(host: Host, source: str) -> dict[str, str]:
    """Make what reads a queue of SQS, where there is nothing; `source` is the URL of it."""
    emulator = source.rsplit("/", 2)[0]
    fields = {"endpoint_url": emulator, "access_key_id": "AKIDEXAMPLE", "region": "us-east-1"}
    secrets = {"secret_access_key": "secret"}
    return await made(host, "queue", ("sqs", "aws", fields, secrets), {"queue": source})


async def prepare_mailbox(host: Host, source: str) -> dict[str, str]:
    """Make what reads a mailbox, where there is nothing; `source` is the port of its server."""
    fields = {
        "host": "127.0.0.1",
        "port": int(source),
        "security": "none",
        "username": "ada",
        "auth": {"kind": "password"},
    }
    secrets = {"auth.password": PASSWORD}
    return await made(host, "mailbox", ("imap", "box", fields, secrets), {})


async def prepare_topic(host: Host, source: str) -> dict[str, str]:
    """Make what reads a topic, where there is nothing; `source` is a broker of it."""
    member.SETTINGS["session.timeout.ms"] = 6_000  # what brokers permit at least
    fields = {"servers": source, "encryption": "none", "auth": {"kind": "none"}}
    return await made(host, "topic", ("kafka", "cluster", fields, {}), {})


async def prepare_static(host: Host, source: str) -> dict[str, str]:
    """Make what reads a topic as a static member, where there is nothing."""
    fields = {"servers": source, "encryption": "none", "auth": {"kind": "none"}}
    return await made(host, "topic", ("kafka", "cluster", fields, {}), {}, "reader:static")


async def prepare_org(host: Host, source: str) -> dict[str, str]:
    """Make what reads an org, where there is nothing; `source` is how to get in, as JSON."""
    known = json.loads(source)
    secrets = {"auth.client_secret": known.pop("client_secret")}
    auth = {"kind": "client_credentials", "client_id": known.pop("client_id")}
    return await made(host, "org", ("salesforce", "org", {**known, "auth": auth}, secrets), {})


async def prepare(host: Host, source: str) -> dict[str, str]:
    """Make what reads the source, where there is nothing."""
    fields = {"base_url": source, "probe": "/log/a?after=0&limit=1"}
    return await made(host, "project", ("http", "source", fields, {}), {})


async def made(
    host: Host,
    project: str,
    connection: tuple[str, str, Any, Any],
    config: dict[str, Any],
    entry: str = "reader:integration",
) -> dict[str, str]:
    """Make customer, connection and instance where there are none."""
    catalogue = host.store.catalogue
    known = await catalogue.instances.list()
    if known:  # one that was killed as it was activated goes on by itself
        return await active(host, await host.deployer.settled(known[0].id))
    bundle = pack(HERE / project, entry)
    await catalogue.versions.publish("reader", bundle.hash, bundle.to_bytes(), "fault runs")
    customer = await catalogue.customers.add("Initech")
    saved = await catalogue.connections.save(customer.id, *connection)
    instance = await catalogue.instances.add(customer.id, "reader", "reader", bundle.hash)
    await catalogue.instances.set_revision(instance.id, config, {connection[1]: saved.id})
    return await active(host, instance)


if __name__ == "__main__":
    plain_logs(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    arguments = parser()
    arguments.add_argument("--die", default="")
    arguments.add_argument("--stop", default="")
    arguments.add_argument("--cursor-first", action="store_true")
    arguments.add_argument("--of", help="the flow whose events are between, if not any")
    arguments.add_argument("--unfenced", action="store_true")
    arguments.add_argument("--ack-first", action="store_true")
    arguments.add_argument("--queue", action="store_true", help="read a queue of SQS")
    arguments.add_argument("--mailbox", action="store_true", help="read a mailbox")
    arguments.add_argument("--topic", action="store_true", help="read a topic of Kafka")
    arguments.add_argument("--static", action="store_true", help="read it as a static member")
    arguments.add_argument("--org", action="store_true", help="read a Salesforce org")
    given = arguments.parse_args()
    arm(given)
    kinds = {"queue": prepare_queue, "mailbox": prepare_mailbox, "topic": prepare_topic}
    kinds |= {"static": prepare_static, "org": prepare_org}
    prepares = next((each for name, each in kinds.items() if getattr(given, name)), prepare)
    raise SystemExit(run_loop(main(given, prepares)))
