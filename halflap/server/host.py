"""One process, put together as its role wants: store, engine, gateway, API, and the crew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio.to_thread
import structlog

from halflap.api.driving import BulkDriver
from halflap.api.operations import Operations
from halflap.api.operations.oidc import Provider, ProviderSettings
from halflap.console import PREFIX as CONSOLE
from halflap.console import Console
from halflap.engine.deployer import Deployer
from halflap.engine.executor import Executor
from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.engine.line import Begin
from halflap.engine.listening import Listeners
from halflap.engine.parking import Parking
from halflap.engine.probation import Probation
from halflap.engine.process import memory_of_machine, raise_file_limit
from halflap.engine.pruner import Pruner
from halflap.engine.resolver import Resolver
from halflap.engine.room import Room
from halflap.engine.scheduler import Scheduler
from halflap.engine.throttle import Throttles
from halflap.engine.watchdog import Watchdog
from halflap.errors import ConfigError, HalflapError
from halflap.gateway.app import PREFIX, Gateway
from halflap.gateway.edge import EdgeLimits
from halflap.gateway.link import Links
from halflap.gateway.mail import MailLimits, MailServer
from halflap.gateway.route import Find, Intake
from halflap.gateway.server import Server
from halflap.model import CustomerLimits, Rejection, Started
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.link import PREFIX as SIGNALS
from halflap.sdk.request import Request
from halflap.server.address import ServerAddress, reachable
from halflap.server.crew import Crew
from halflap.server.metrics import Metrics
from halflap.server.probe import PATHS as PROBES
from halflap.server.probe import Probes
from halflap.server.role import SERVE, Role
from halflap.server.routes import RouteTable
from halflap.server.settings import Settings
from halflap.store.identity import Identity, named, settle
from halflap.store.once import write_once
from halflap.store.pulse import Pulse
from halflap.store.store import KEY, Store, make_directory
from halflap.store.vault import Vault

if TYPE_CHECKING:
    from fastapi import FastAPI

log = structlog.get_logger("halflap.host")

OWN_FILES = 64
"""Files that a server has open at least, for its store, its loop and its children."""

POLL_SECONDS = 2.0
"""Seconds between looks for work that another process made due, where its hint was lost."""
STOP_SECONDS = 6.0
"""Seconds beyond its grace in which a stop ends; its supervisor waits a little longer."""
LEAST_SECONDS = 0.5
"""The least seconds that each part of the server gets to end."""
MOST_LEFT = 20
"""The most tasks that the log names where a part does not end."""
LEAST_MEMORY = 2 * 1024**3
"""The least memory that a child process may have, on however small a machine."""


class Host:
    """The rooms of one process, and how an event walks from one to the next."""

    def __init__(
        self, settings: Settings, store: Store, *, role: Role = SERVE, probation: bool = True
    ) -> None:
        self.settings = settings
        self.role = role
        self.store = store
        self.clock = store.clock
        self.port = settings.port
        self.egress = Egress(Policy(allow=settings.egress_allow))
        self.engine = JournalEngine(
            store.journal,
            clock=self.clock,
            room=Room(settings.room, settings.customer_share),
            poll=None if store.hints is None else POLL_SECONDS,
            suspects=not probation,
            lease=round(settings.lease_seconds * 1e6),
            hints=store.hints,
            grace=settings.cancel_seconds,
        )
        if not role.serves:
            self.engine.only = set()
        self.library = Library(store.catalogue.versions.bundle, settings.dir / "bundles")
        self.throttles = Throttles(store.journal, self.clock)
        self.resolver = Resolver(
            store.catalogue,
            store.vault,
            self.library,
            base_url=lambda: self.base_url,
            egress=self.egress,
            throttles=self.throttles,
            journal=store.journal,
            mail_domain=settings.mail_domain,
        )
        self.executor = Executor(self.resolver.work, reader=store.payloads)
        self.probation = Probation(self.engine, self.resolver, self._begin) if probation else None
        self.deployer = Deployer(
            store.catalogue,
            store.journal,
            self.engine,
            self.library,
            self.clock,
            moves=role.runs,
        )
        self.scheduler = Scheduler(
            store.catalogue,
            self.engine,
            self.library,
            self.clock,
            self.resolver.builder.flow_of,
        )
        store.catalogue.on_change(self.scheduler.nudge)
        store.catalogue.retentions.default = settings.retention
        catalogue = store.catalogue
        catalogue.audit.days = settings.retention_audit_days
        self.pruner = Pruner(store.journal, catalogue, store.clock)
        self.parking = Parking(store.journal, store.catalogue.connections, self.engine)
        store.catalogue.on_change(self.parking.nudge)
        self.listeners = None
        if role.runs and role.serves:
            self.listeners = Listeners(
                catalogue,
                self.engine,
                self.library,
                self.resolver,
                self.parking,
                self.clock,
                owner=store.worker,
                lease=round(settings.lease_seconds * 1e6),
            )
            catalogue.on_change(self.listeners.nudge)
        self.routes = RouteTable(store.catalogue, self.library, self.resolver)
        store.journal.default_limits = CustomerLimits(
            concurrency=settings.customer_concurrency or None,
            rate=settings.customer_rate or None,
            backlog=settings.customer_backlog or None,
        )
        self.pulse = Pulse(store.journal)
        self.links = Links(self.engine, store.vault.verify, self.clock, self.pulse)
        self.gateway = self.open_gateway(
            self.engine, store.catalogue.rejections.note, store.catalogue.counters.count
        )
        self.operations = Operations(
            store=store,
            engine=self.engine,
            deployer=self.deployer,
            resolver=self.resolver,
            library=self.library,
            sandboxes=settings.sandboxes,
            redeliver=self.gateway.redeliver,
            fan_out=self._fan_out,
        )
        if settings.oidc_issuer:
            self.operations.people.provider = Provider(
                ProviderSettings(
                    settings.oidc_issuer,
                    settings.oidc_client_id,
                    settings.oidc_client_secret,
                    settings.oidc_role_claim,
                ),
                store.vault,
                self.clock,
                lambda: f"{self.base_url}/console/sign-in",
            )
        self.deployer.repeat = self.operations.executions.repeat_deployment
        self.crew = Crew(
            self.engine,
            self.executor,
            self.probation,
            self.deployer,
            self.scheduler,
            self.pruner,
            BulkDriver(store.catalogue, self.operations.bulks, own=not role.serves),
            self.parking,
            self.throttles,
            self.listeners,
            shared=store.hints is not None,
        )
        self.console = Console()
        self._server = Server()
        self.mail: MailServer | None = None
        self._secret = secrets.token_hex(16)
        self._api: FastAPI | None = None
        self._making_api = asyncio.Lock()
        self.probes = None
        if role.answers:
            self._token = token = token_of(settings)
            metrics = Metrics(
                role.name, self.engine, self.gateway, store, lambda: self._server.counters
            )
            self.engine.on_end(metrics.count_end)
            self.probes = Probes(
                store,
                self.pulse,
                metrics,
                token,
                settings.metrics_token,
                lambda: self._stopping is not None,
            )
        self._failed: asyncio.Future[None] | None = None
        self._booting: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings, *, role: Role = SERVE, probation: bool = True) -> Host:
        """Open the store (a file's OS lock admits one server) and put the rooms together.

        Without `probation`, what an earlier process was running when it ended runs in this one.
        """
        role.check(settings)
        vault = Vault.from_text(settings.keys) if settings.keys else None
        if role.runs or settings.store:  # a server keeps more in its directory than the store
            await anyio.to_thread.run_sync(make_directory, settings.dir)
        identity = Identity(role.name)
        if role.runs:
            identity = await anyio.to_thread.run_sync(named, role.name, settings.dir)
        store = await Store.open(
            settings.place,
            vault=vault,
            large=settings.blobs,
            over=settings.blob_bytes,
            identity=identity,
            whole=settings.stream_bytes,
        )
        try:
            if role.runs:
                await anyio.to_thread.run_sync(settle, settings.dir, identity)
            return cls(settings, store, role=role, probation=probation)
        except BaseException:
            await store.close()
            raise

    def open_gateway(
        self,
        engine: Intake,
        reject: Callable[[Rejection], None],
        count: Callable[[str, str, str], None],
    ) -> Gateway:
        """Make the gateway, which starts executions at an engine and notes what it does not accept."""
        return Gateway(
            self.routes.find,
            engine,
            self.clock,
            reject=reject,
            count=count,
            body_bytes=self.settings.body_bytes,
            is_full=self.engine.backlog.is_full,
            large=self.store.large,
            in_memory=self.settings.stream_bytes,
            pulse=self.pulse,
        )

    @property
    def api(self) -> FastAPI:
        """The API's app, made when it is first needed: it takes as long to load as all the rest.

        So the first event is accepted sooner, and a process whose API nobody calls is smaller.
        """
        if self._api is None:
            from halflap.api.app import create_app

            self._api = create_app(
                self.operations,
                self._token,
                lambda challenge: self.address.prove(challenge),
                self.pulse,
                origin_of(self.base_url),
            )
        return self._api

    @property
    def address(self) -> ServerAddress:
        """Where commands on this machine reach this server."""
        settings = self.settings
        url = f"http://{reachable(settings.host)}:{self.port}"
        store = self.store.where if settings.store else str(settings.dir.absolute())
        return ServerAddress(url, os.getpid(), store, settings.public_url, self._secret)

    @property
    def base_url(self) -> str:
        """The URL at which senders reach this server."""
        return self.settings.public_url or f"http://{self.settings.host}:{self.port}"

    async def serve(self, *, ready: Callable[[int], object] | None = None) -> None:
        """Do what the role is there for until `stop`.

        `ready` is called with the port once it listens, or with 0 once it runs where it listens to
        nobody, unless it is stopped before that. Where the loop is blocked for too long meanwhile,
        the watchdog ends the process.
        """
        watched = Watchdog(
            self.settings.watchdog_seconds,
            self.engine.running_ids,
            self.settings.dir,
            log_after=self.settings.blocked_seconds,
        )
        with watched:
            await self._serve(ready)

    @asynccontextmanager
    async def served(self, grace: float | None = None) -> AsyncGenerator[asyncio.Task[None]]:
        """Serve in a task of its own, from when it is ready to the end of the block; then stop.

        What ends the task before it is ready is raised, as is what it ends with behind a block that
        raises nothing.
        """
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self.serve(ready=ready.set_result), name="server")
        try:
            await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await serving
            yield serving
        finally:
            await self.stop(grace)
            await asyncio.wait([serving])
        serving.result()

    async def _serve(self, ready: Callable[[int], object] | None) -> None:
        self._failed = asyncio.get_running_loop().create_future()
        self.store.on_failure = self._fail
        if self._stopping is None:
            self._booting = asyncio.create_task(self._boot(), name="boot")
            await self._until_one_ends(self._booting)
        if self._stopping is None:
            self._listening = asyncio.create_task(self._listen(ready), name="listener")
            await self._until_one_ends(self._listening, *self.crew.tasks)
        await self.stop()
        if self._failed.done():
            self._failed.result()  # a commit in doubt while it stopped: the next start mends it

    async def _boot(self) -> None:
        if self.role.runs:
            await self.operations.erasure.resume()
            await self.crew.start()

    async def _listen(self, ready: Callable[[int], object] | None) -> None:
        if not self.role.listens:
            if ready is not None and self._stopping is None:
                ready(0)
            await asyncio.Event().wait()
        limits = EdgeLimits(
            header_bytes=self.settings.header_bytes,
            body_bytes=self.settings.body_bytes,
            connections=connections_within(raise_file_limit(), self.settings.connections),
            connections_per_address=self.settings.connections_per_address,
            trusted_proxies=self.settings.trusted_proxies,
        )

        if self.settings.mail_port and self.role.accepts:
            self.mail = mail_server(self.settings, self.gateway, self.routes.find)
            await self.mail.start(self.settings.host, self.settings.mail_port)

        def bound(port: int) -> None:
            self.port = port
            if ready is not None and self._stopping is None:
                ready(port)

        await self._server.serve(
            self,  # pyright: ignore[reportArgumentType]
            self.settings.host,
            self.settings.port,
            limits,
            ready=bound,
        )

    async def _until_one_ends(self, *tasks: asyncio.Task[Any]) -> None:
        """Wait for the first of these, or for a failure; what ends in an error stops the server."""
        assert self._failed is not None
        done, _ = await asyncio.wait([self._failed, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            error = None if each.cancelled() else each.exception()
            if error is not None and self._stopping is None:
                await self.stop(0)
                raise error

    async def stop(self, grace: float | None = None) -> None:
        """Take no more, let running executions end, close the store.

        At any time, before `serve` and while it begins too. Who asks again waits for the same end,
        which comes `STOP_SECONDS` after the grace even where a part does not end: the log says which.
        """
        if self._stopping is None:
            grace = self.settings.drain_seconds if grace is None else grace
            self._stopping = asyncio.create_task(self._stop(grace), name="stopping")
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.operations.stop()
        over = began + grace + STOP_SECONDS

        async def end(part: str, ending: Coroutine[Any, Any, None]) -> None:
            await end_part(part, ending, max(over - loop.time(), LEAST_SECONDS))

        if self._booting is not None:
            await end("boot", cut(self._booting))
        if self._listening is not None:
            await end("listener", self._stop_listening(self._listening, min(grace, 10.0)))
        await end("crew", self.crew.stop(max(began + grace - loop.time(), 0.0)))
        await end("pulse", self.pulse.close())
        if (coding := sys.modules.get("halflap.lowcode.coding")) is not None:
            coding.close_runner()
        await end("egress", self.egress.close())
        with contextlib.suppress(HalflapError):
            await end("store", self.store.close())

    async def _stop_listening(self, listening: asyncio.Task[None], grace: float) -> None:
        if self.mail is not None:
            await self.mail.stop(grace)
        if not self.role.listens or self._server.port is None:
            await cut(listening)  # it does not listen yet, so has nobody to take leave of
        await self._server.stop(grace)
        await asyncio.wait([listening])

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The ASGI app: the hook path is bare, everything else is the API's."""
        if scope["path"].startswith(PREFIX) and self.role.accepts:
            await self.gateway(scope, receive, send)
        elif scope["path"].startswith(SIGNALS) and self.role.accepts:
            await self.links(scope, receive, send)
        elif scope["path"] in PROBES:
            assert self.probes is not None  # its role answers
            await self.probes(scope, receive, send)
        elif scope["path"] in ("/", CONSOLE) or scope["path"].startswith(f"{CONSOLE}/"):
            await self.console(scope, receive, send)
        else:
            async with self._making_api:
                if self._api is None:
                    await anyio.to_thread.run_sync(lambda: self.api)
            await self.api(scope, receive, send)

    def _begin(self) -> Begin:
        """Return the message that has a child process run flows as this one would."""
        settings = self.settings
        return Begin(
            folder=str(settings.dir.absolute()),
            base_url=self.base_url,
            allow=settings.egress_allow,
            keys=settings.keys or (settings.dir / KEY).read_text("ascii"),
            watchdog_seconds=settings.watchdog_seconds,
            memory=max(LEAST_MEMORY, memory_of_machine() // 2),
            blobs="" if self.store.large is None else self.store.large.blobs.where,
        )

    async def _fan_out(
        self,
        customer: str,
        events: Sequence[tuple[str | None, Request]],
        instance: str | None = None,
    ) -> list[list[Started]]:
        """Start the flows of a customer, or of one instance, that take the product's events."""
        routes = await self.routes.of_customer(customer)
        if instance is not None:
            routes = tuple(each for each in routes if each.flow.instance == instance)
        return await self.gateway.publish(routes, events)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)


def origin_of(url: str) -> str:
    """Return the origin of a URL: its scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def connections_within(files: int, wanted: int) -> int:
    """Return how many connections to take: the other files are for the store and for apps.

    What comes beyond them is refused, and counted; without a file, it would be reset without a word.
    """
    most = min(files * 3 // 4, files - OWN_FILES)
    if most < wanted:
        log.warning(
            "fewer connections than HALFLAP_CONNECTIONS: raise the limit of open files (LimitNOFILE)",
            connections=most,
            files=files,
        )
    return min(most, wanted)


def mail_server(settings: Settings, gateway: Gateway, find: Find) -> MailServer:
    """Make the mail server that the settings describe; `ConfigError` where something is missing."""
    if not settings.mail_domain:
        raise ConfigError(
            "HALFLAP_MAIL_PORT is set: set HALFLAP_MAIL_DOMAIN too, the addresses' domain"
        )
    tls = None
    if settings.mail_certificate or settings.mail_key:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            tls.load_cert_chain(settings.mail_certificate, settings.mail_key or None)
        except OSError as error:
            raise ConfigError(
                f"the certificate of HALFLAP_MAIL_CERTIFICATE cannot be read: {error}"
            ) from error
    limits = MailLimits(size=min(settings.body_bytes, settings.stream_bytes))
    return MailServer(gateway, find, settings.mail_domain, limits, tls)


async def end_part(part: str, ending: Coroutine[Any, Any, None], seconds: float) -> None:
    """Wait for the end of a part of a stopping server, and go on without it after so many seconds."""
    task = asyncio.create_task(ending, name=f"stopping the {part}")
    if not (await asyncio.wait([task], timeout=seconds))[0]:
        left = [each for each in asyncio.all_tasks() if not each.get_name().startswith("stopping")]
        log.error(
            "a part of the server does not end; the stop goes on without it",
            part=part,
            seconds=round(seconds, 1),
            left=sorted(place_of(each) for each in left)[:MOST_LEFT],
        )
        task.cancel()
        await asyncio.wait([task], timeout=LEAST_SECONDS)
    if task.done() and not task.cancelled():
        task.result()


def place_of(task: asyncio.Task[Any]) -> str:
    """The name of a task, and the line that it waits at."""
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}{where}"


async def cut(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait for its end, whatever it is."""
    task.cancel()
    await asyncio.wait([task])


def token_of(settings: Settings) -> str:
    """The management API's token: given, or made once and kept beside the store, for its owner only."""
    if settings.token:
        return settings.token
    path = settings.dir / "token"
    if not path.exists():
        write_once(path, secrets.token_urlsafe(32))
    return path.read_text().strip()
