"""The working copy of a project on a server: published, configured and active for customer "dev"."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio.to_thread
import msgspec

from halflap.api.operations.kinds import name_of
from halflap.cli.answers import Answers, answered, expected, stray
from halflap.cli.deploy import DeploymentLedger
from halflap.cli.feed import Feed
from halflap.cli.project import COMPONENTS, Project, ProjectEntry, read_environment
from halflap.cli.screen import Screen
from halflap.engine.bundle import pack
from halflap.errors import DefinitionError, HalflapError, UpstreamError
from halflap.lowcode.lint import read_shapes
from halflap.lowcode.lint.describing import store_components
from halflap.model import MAIL, Instance, Version, owner_of
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.lint import Finding
from halflap.sdk.schema import File
from halflap.sdk.secret import put_together, take_apart
from halflap.sdk.signature import Signature, Unsigned
from halflap.server.host import Host
from halflap.server.settings import PREFIX, Settings
from halflap.store.catalogue.instances import InstanceFilter

ADDRESSES = "dev.json"
"""The file beside the store of a dev server that has the addresses of its instances."""
CUSTOMER = "dev"
TARGET = "dev"
SETTLES = 60.0


@dataclass(slots=True)
class Bench:
    """The state of one integration between two changes."""

    version: str = ""
    told: str = ""
    expected: frozenset[str] | None = None
    kept: str = ""
    """The version of somebody else that was said to stay at the target."""


class Workbench:
    """Keeps the dev instances at the working copy; what is wrong is shown, and the old runs on."""

    def __init__(self, host: Host, start: Project, screen: Screen, feed: Feed) -> None:
        self._host = host
        self._project = start
        self._screen = screen
        self._feed = feed
        self._ledger = DeploymentLedger(start, host.settings)
        self._benches: dict[str, Bench] = {}
        self._customer = ""
        self._findings: dict[str, set[Finding]] = {}
        self._strays: dict[str, str] = {}
        self._settings: dict[str, str] | None = None

    async def open(self) -> None:
        """Make the customer "dev", and bring everything to the working copy."""
        customers = self._host.store.catalogue.customers
        found = next((each for each in await customers.list() if each.name == CUSTOMER), None)
        self._customer = (found or await customers.add(CUSTOMER)).id
        await self._tell_of_others()
        await self.refresh(self._project)

    async def _tell_of_others(self) -> None:
        """Name the dev instances that the project no longer has: they are active all the same."""
        own = {each.name for each in self._project.integrations}
        for each in await self._host.store.catalogue.instances.list(InstanceFilter(self._customer)):
            if each.integration not in own and each.state == "active":
                self._screen.note(
                    f"{each.name} is still active and not among what runs here; to take it down: "
                    f"halflap instances disable {each.name}",
                    "yellow",
                )

    async def refresh(self, project: Project) -> None:
        """Publish the working copy and move the dev instances to it."""
        self._project = project
        try:
            environment = read_environment(project.environment)
        except HalflapError as error:
            self._screen.problem("not read", error.message)
            return
        entries = project.needed()
        for entry in entries:
            bench = self._benches.setdefault(entry.name, Bench())
            try:
                await self._refresh(entry, bench, environment, alone=len(entries) == 1)
            except DefinitionError as error:
                self._stays(entry, bench, error)
            except HalflapError as error:
                self._screen.problem(entry.name, error.message)
        self._tell_of_strays(environment)
        self._tell_of_settings(environment)

    def _tell_of_strays(self, environment: Mapping[str, str]) -> None:
        """Name the lines of `.env` that nothing reads, once each."""
        wanted: set[str] = set()
        try:
            entries = Project.read(self._project.root).integrations  # a file may be all that runs
        except DefinitionError:
            return
        for entry in entries:
            bench = self._benches.get(entry.name)
            if bench is None or bench.expected is None:
                return
            wanted |= bench.expected
        strays = stray(environment, wanted)
        for name, near in strays.items():
            if name not in self._strays:
                hint = f"did you mean {near}?" if near else "nothing reads it"
                self._screen.note(
                    f"{self._project.environment.name}: {name} is no field of any config; {hint}",
                    "yellow",
                )
        self._strays = strays

    def _tell_of_settings(self, environment: Mapping[str, str]) -> None:
        """Say of changed settings when they count, or what is wrong with them."""
        settings = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
        before, self._settings = self._settings, settings
        if before is None or before == settings:
            return
        names = sorted(name for name, _ in before.items() ^ settings.items())
        try:
            Settings.read(settings)
        except HalflapError as error:
            self._screen.problem(self._project.environment.name, error.message)
            return
        verb = "takes" if len(set(names)) == 1 else "take"
        self._screen.note(
            f"{', '.join(dict.fromkeys(names))} {verb} effect at the next start", "yellow"
        )

    def stays(self, error: DefinitionError) -> None:
        """Say that the project cannot be read, and what runs on."""
        running = any(each.version for each in self._benches.values())
        self._screen.problem("not loaded", error.message)
        if running:
            self._screen.note("the version before stays active; save again once this is mended")

    def _stays(self, entry: ProjectEntry, bench: Bench, error: DefinitionError) -> None:
        self._screen.problem(f"{entry.name} is not loaded", error.message)
        if bench.version:
            self._screen.note("the version before stays active; save again once this is mended")

    async def _refresh(
        self, entry: ProjectEntry, bench: Bench, environment: Mapping[str, str], *, alone: bool
    ) -> None:
        bundle = await anyio.to_thread.run_sync(pack, self._project.root, entry.entry)
        now, mine = await self._target(entry.name, bundle.hash, bench)
        version = await self._host.operations.versions.publish(
            bundle.to_bytes(),
            target=TARGET if mine else None,
            expect=now and now.hash,
            note="halflap dev",
            overwrite=False,
            show=partial(self._show_findings, entry),
        )
        described = read_shapes(await self._host.operations.versions.components(version.hash))
        files = {path: text.decode("utf-8", "replace") for path, text in bundle.files}
        if described:
            store_components(self._project.store / COMPONENTS, files, described)
        integration = await self._host.library.integration(version.hash)
        bench.expected = expected(integration)
        answers = answered(integration, environment)
        links = await self._connections(integration, answers)
        if answers.lacking:
            self._lacking(integration, version, bench, answers)
            return
        instance, moved = await self._move(integration, version, answers.config, links)
        bench.version = version.hash
        for flow in integration.flows:
            label = flow if alone else f"{integration.name}.{flow}"
            self._feed.labels[instance.id, flow] = label
            self._feed.labels[owner_of(integration.name), flow] = label
            self._screen.width = max(self._screen.width, len(label))
        if instance.state != "active":
            self._screen.problem(
                f"{integration.name} is {instance.state}",
                f"{instance.error or 'it did not become active in time'}\n"
                "Mend that and save any file: it is tried again.",
            )
            bench.told = ""
        elif moved and bench.told:
            self._screen.note(f"{integration.name}: version {version.number} is active", "green")
            if bench.told != signature_of(integration):
                await self._tell(integration, instance, version, bench)
        elif not bench.told:
            await self._tell(integration, instance, version, bench)

    async def _target(self, name: str, hash: str, bench: Bench) -> tuple[Version | None, bool]:
        """Return what the target has, and whether it follows the files: not away from what somebody
        published in the designer, until that was pulled or deployed over.
        """
        now = await self._host.store.catalogue.versions.target(name, TARGET)
        known = (hash, bench.version, self._ledger.known(TARGET, name))
        if now is None or not now.published_by or now.hash in known:
            return now, True
        if bench.kept != now.hash:
            bench.kept = now.hash
            self._screen.note(
                f"{TARGET} has version {now.number} of {name}, which {now.published_by} published; it "
                "stays there, and your files run here. To have it in your files: "
                f"halflap pull {name} --from {TARGET}. To have your files there, once you have looked "
                f"at the difference: halflap deploy {name} --expect {now.hash[:12]}",
                "yellow",
            )
        return now, False

    def _show_findings(self, entry: ProjectEntry, found: Sequence[Finding]) -> None:
        """Show what lint found, each finding once until it is mended and comes again."""
        shown = self._findings.get(entry.name, set[Finding]())
        self._findings[entry.name] = set(found)
        for each in found:
            if each not in shown:
                color = "red" if each.severity == "error" else "yellow"
                self._screen.note(f"{each.severity}: {each}", color)

    # Connections ------------------------------------------------------------------------------

    async def _connections(self, integration: Integration[Any], answers: Answers) -> dict[str, str]:
        """A saved connection for each field that has one, or is answered now."""
        links: dict[str, str] = {}
        for field, kind in integration.connections().items():
            name = await self._named(integration.name, field, kind)
            stored = await self._host.store.catalogue.connections.by_name(self._customer, name)
            if field in answers.connections:
                links[field] = await self._save(name, kind, answers.connections[field])
            elif stored is not None and stored.component == name_of(kind):
                answers.lacking.pop(field, None)  # made by `halflap connections add`
                links[field] = stored.id
        return links

    async def _named(self, integration: str, field: str, kind: type[Connection]) -> str:
        """The field's own name, or where a connection of another type has it, a longer one."""
        connections = self._host.store.catalogue.connections
        taken = await connections.by_name(self._customer, field)
        return (
            field if taken is None or taken.component == name_of(kind) else f"{integration}-{field}"
        )

    async def _save(self, name: str, kind: type[Connection], values: Mapping[str, Any]) -> str:
        operations = self._host.operations.connections
        connections = self._host.store.catalogue.connections
        stored = await connections.by_name(self._customer, name)
        try:
            if stored is None:
                made = await operations.make(
                    name, name_of(kind), kind, values, customer=self._customer, test=True
                )
                return made.id
            fields, secrets = take_apart(put_together(kind, values, {}))
            kept = await connections.open_secrets(stored.id)
            if stored.fields | fields != stored.fields or kept | secrets != kept:
                await operations.change(stored, None, values, test=True)
            elif stored.status != "working":
                await operations.test(stored)
            return stored.id
        except UpstreamError as error:
            raise UpstreamError(
                f"the connection {name!r} does not work, so nothing was activated: {error.message}\n"
                f"Mend it in {self._project.environment.name} and save: it is tried again.",
                status=error.status,
            ) from error

    def _lacking(
        self, integration: Integration[Any], version: Version, bench: Bench, answers: Answers
    ) -> None:
        self._screen.line("")
        self._screen.line((integration.name, "bold"), (f"  version {version.number}", "dim"),
                          ("  not active yet", "yellow"))  # fmt: skip
        self._screen.line(f"  It needs these lines in {self._project.environment}:")
        for lacks in answers.lacking.values():
            for each in lacks:
                self._screen.line("    ", (f"{each.variable}=", "bold"),
                                  (f"  # {each.about}" if each.about else "", "dim"))  # fmt: skip
        self._screen.line("  Save the file, and it is activated.")
        self._screen.line("")
        bench.told = ""

    # Instances --------------------------------------------------------------------------------

    async def _move(
        self,
        integration: Integration[Any],
        version: Version,
        config: Mapping[str, Any],
        links: Mapping[str, str],
    ) -> tuple[Instance, bool]:
        """The dev instance, active at the version with this config; and whether it moved."""
        catalogue, deployer = self._host.store.catalogue, self._host.deployer
        checked, _ = await self._host.operations.instances.configs.check(
            integration, self._customer, config, links
        )
        name = integration.name
        instance = await catalogue.instances.by_name(self._customer, name)
        if instance is None:
            instance = await catalogue.instances.add(self._customer, name, name, version.hash)
        before = instance.revision
        revision = await catalogue.instances.set_revision(instance.id, config, checked)
        await deployer.settled(instance.id, SETTLES)
        instance = await catalogue.instances.get(instance.id)
        if instance.state in ("configured", "disabled", "failed"):
            if instance.version != version.hash:
                await deployer.upgrade(instance.id, version.hash)
                await deployer.settled(instance.id, SETTLES)
            instance = await catalogue.instances.get(instance.id)
            if instance.state != "active":
                await deployer.activate(instance.id)
        elif instance.version != version.hash:
            await deployer.upgrade(instance.id, version.hash)
        elif revision != before or await self._has_moved(instance):
            await deployer.activate(instance.id)
        else:
            return instance, False
        settled = await deployer.settled(instance.id, SETTLES)
        if settled.state == "active":
            await self._note_address(instance)
        return settled, True

    async def _has_moved(self, instance: Instance) -> bool:
        """Return whether this server is reached by another address than when the instance was
        activated.
        """
        return self._addresses().get(instance.id) != self._host.base_url

    async def _note_address(self, instance: Instance) -> None:
        addresses = self._addresses() | {instance.id: self._host.base_url}
        path = self._host.settings.dir / ADDRESSES
        await anyio.to_thread.run_sync(path.write_bytes, msgspec.json.encode(addresses))

    def _addresses(self) -> dict[str, str]:
        try:
            text = (self._host.settings.dir / ADDRESSES).read_bytes()
            return msgspec.json.decode(text, type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return {}

    # Telling ----------------------------------------------------------------------------------

    async def _tell(
        self, integration: Integration[Any], instance: Instance, version: Version, bench: Bench
    ) -> None:
        """Show an active instance: each flow, its URL, and a line that sends it something."""
        bench.told = signature_of(integration)
        resolver = self._host.resolver
        urls = {
            **await resolver.urls(instance.id),
            **await resolver.shared_urls(integration.name),
        }
        self._screen.line("")
        self._screen.line((integration.name, "bold green"),
                          (f"  version {version.number}, active", "dim"))  # fmt: skip
        sample = (self._project.root / "sample.json").is_file()
        several = len(self._project.integrations) > 1
        for name, flow in integration.flows.items():
            url = urls.get(name)
            where = place(flow.where)
            line = sending(flow, url, sample, integration.name if several else "")
            shown = url and (resolver.mail_address(flow, url) or url)
            self._screen.flow(name, where, shown, line, self._about(flow))
        self._screen.line("")

    def _about(self, flow: Flow[Any, Any, Any]) -> str:
        declared = flow.trigger.declaration
        if declared.lifecycle is not None:
            return f"runs at {declared.lifecycle}"
        if flow.trigger.references:
            fields = ", ".join(each.name for each in flow.trigger.references.values())
            return f"{flow.trigger.name}, as the config says ({fields})"
        if declared.ticks is not None:
            due = declared.ticks(datetime.now(UTC))
            return f"next at {due.astimezone():%d %b %H:%M:%S}" if due is not None else "never due"
        if flow.trigger.subscribes:
            return f"subscribed at {flow.trigger.trigger.component}"
        if flow.is_shared:
            return "shared by all customers"
        if declared.verify is not None and not isinstance(declared.verify, Unsigned):
            return "takes signed requests only"
        return flow.trigger.name


def sending(flow: Flow[Any, Any, Any], url: str | None, sample: bool, of: str) -> str | None:
    """Return a line that sends a flow an event, ready to be pasted; None where that is the app's.

    `of` is the integration, where the project has several.
    """
    declared = flow.trigger.declaration
    if url is None or MAIL in declared.methods:
        return None
    if declared.verify is not None and not isinstance(declared.verify, Unsigned):
        if not isinstance(declared.verify, Signature) or declared.verify.header.startswith("/"):
            return None
        whose = f" --integration {of}" if of else ""
        return f"halflap events send {flow.name}{whose}{' --body sample.json' * sample}"
    if "POST" not in declared.methods:
        method = declared.methods[0]
        return f"curl -i {url}" if method == "GET" else f"curl -i -X {method} {url}"
    kind, data = "application/json", "{}"
    if isinstance(example := flow.trigger.trigger.example, File):
        kind, data = example.content_type, example.data.decode()
    body = "@sample.json" if sample else shlex.quote(data)
    return f"curl -i {url} -H 'content-type: {kind}' -d {body}"


def place(where: str) -> str:
    """`file:line` of a definition, as it is called in the project."""
    file, _, line = where.rpartition(":")
    _, found, inner = file.partition("/bundles/")
    return f"{inner.partition('/')[2]}:{line}" if found else f"{file.rpartition('/')[2]}:{line}"


def signature_of(integration: Integration[Any]) -> str:
    """Return the signature of an integration's announcement: another one is announced again."""
    return ",".join(f"{name}={flow.trigger.name}" for name, flow in integration.flows.items())
