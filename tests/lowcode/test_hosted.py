"""A YAML integration is published, activated and run as a Python one: bundle, host, gateway."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from halflap.cli import test as command
from halflap.cli.project import Project
from halflap.engine.bundle import pack, seal
from halflap.engine.integration import load_integration
from halflap.errors import DefinitionError
from halflap.testing.document import open_document
from tests.lowcode.documents import EXAMPLES
from tests.polling import DEADLINE
from tests.world import acme_app, configured, host_on, publish

EVENT = {
    "event": "WAREHOUSE_UPDATE",
    "updates": [
        {"item": "anvil", "action": "add", "quantity": 20},
        {"item": "anvil", "action": "remove", "quantity": 5},
    ],
}


def project(folder: Path) -> Path:
    folder.mkdir()
    for name in ("acme.py", "warehouse.yaml"):
        shutil.copy(EXAMPLES / name, folder / name)
    return folder


def test_a_project_lists_its_documents_and_leaves_other_yaml_alone(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    (root / "quality.yaml").write_text("levels: {gold: true}\n")
    (found,) = Project.read(root).integrations
    assert (found.name, found.entry, found.where) == (
        "warehouse-yaml",
        "warehouse.yaml",
        "warehouse.yaml:2",
    )
    (root / "broken.yaml").write_text("name: x\nflows: [\n")
    with pytest.raises(DefinitionError, match=r"^broken.yaml:3:1: this is not YAML"):
        Project.read(root)


def test_a_bundle_locks_what_offers_the_components_and_loads_its_own(tmp_path: Path) -> None:
    bundle = pack(project(tmp_path / "project"), "warehouse.yaml")
    assert bundle.document == "warehouse.yaml"
    assert dict(bundle.lock).keys() == {"halflap", "pydantic"}
    integration = load_integration(bundle, tmp_path / "cache")
    (flow,) = integration.flows.values()
    assert flow.where == "warehouse.yaml:11"


def test_a_document_that_does_not_build_is_refused_with_its_place(tmp_path: Path) -> None:
    text = (EXAMPLES / "warehouse.yaml").read_text().replace("acme.add_stock", "acme.add_stok", 1)
    bundle = seal(
        "w.yaml", {"w.yaml": text.encode(), "acme.py": (EXAMPLES / "acme.py").read_bytes()}
    )
    with pytest.raises(DefinitionError, match=r"^w.yaml:2\d:\d+: .*did you mean acme.add_stock"):
        load_integration(bundle, tmp_path / "cache")


async def test_a_document_with_errors_is_not_published_and_warnings_are_no_reason(
    tmp_path: Path,
) -> None:
    root = project(tmp_path / "project")
    document = root / "warehouse.yaml"
    right = document.read_text()
    document.write_text(right.replace("=event.updates", "=evnt.updates"))
    async with host_on(tmp_path / "store") as (host, _):
        bundle = pack(root, "warehouse.yaml")
        with pytest.raises(DefinitionError, match=r"^warehouse.yaml:22:14: .*did you mean event"):
            await host.operations.draft_runs.describe_version(bundle.to_bytes(), "me")
        document.write_text(right.replace(" # halflap: ignore[HF114]", ""))
        bundle = pack(root, "warehouse.yaml")
        described = await host.operations.draft_runs.describe_version(bundle.to_bytes(), "me")
        assert described.name == "warehouse-yaml"


async def recorded(store: Path, *arguments: str) -> str:
    """Run `halflap test record` beside the project, and return its output."""
    arguments = ("record", "--dir", str(store), *arguments)
    done = await asyncio.to_thread(CliRunner().invoke, command.test, [*arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return str(done.exception)
    return done.output


async def test_an_event_is_worked_off_by_its_flow_and_becomes_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path / "project")
    async with acme_app() as app, host_on(tmp_path / "store") as (host, _):
        key = await app.workspace("Initech")
        version = await publish(host, root, "warehouse.yaml")
        customer = await host.store.catalogue.customers.add("Initech")
        instance = await configured(host, customer, version, app, key)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "active"
        url = (await host.resolver.urls(instance.id))["stock"]
        async with app.http.post(url, json=EVENT) as answered:
            assert answered.status < 300
            execution = answered.headers["halflap-execution"]
        outcome = await host.engine.outcome(execution, DEADLINE)
        assert outcome is not None
        assert outcome.state == "succeeded"
        steps = [each.name for each in await host.store.journal.steps(execution)]
        assert steps == ["webhook.request", "acme.add_stock", "acme.remove_stock"]
        (stock,) = await app.get("/v1/stock", key)
        assert (stock["item"], stock["quantity"]) == ("anvil", 15)
    monkeypatch.chdir(root)
    document = root / "warehouse.yaml"
    said = await recorded(tmp_path / "store", "--name", "as it was")
    assert re.search(rf"Recorded {execution} in warehouse.yaml:\d+: it passes", said), said
    assert document.read_text("utf-8").startswith((EXAMPLES / "warehouse.yaml").read_text("utf-8"))
    opened = open_document(document)
    (test,) = [each for each in opened.document.tests if each.name == "as it was"]
    assert test.event == EVENT
    assert [*test.stubs] == ["acme.add_stock", "acme.remove_stock"]
    said = await recorded(tmp_path / "store", "--name", "as it was")
    assert "there is a test 'as it was' already" in said
    said = await recorded(tmp_path / "store", "--json")
    assert "it ran version 1, and warehouse.yaml is not as it was then" in said
    shutil.copy(EXAMPLES / "warehouse_flows.yaml", document)
    assert "no integration 'warehouse-yaml'" in await recorded(tmp_path / "store")


JUDGED = """\
name: judged
config:
  Connect:
    acme: {connection: acme}
flows:
  stock:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - {id: found, action: acme.find_account, with: {external_id: =event.id}}
      - if: =found = null
        then: [{throw: no such account}]
"""


async def test_a_throw_is_known_as_such_and_what_it_read_by_its_name(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    (root / "judged.yaml").write_text(JUDGED)
    async with acme_app() as app, host_on(tmp_path / "store") as (host, _):
        key = await app.workspace("Initech")
        version = await publish(host, root, "judged.yaml")
        customer = await host.store.catalogue.customers.add("Initech")
        instance = await configured(host, customer, version, app, key)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "active"
        url = (await host.resolver.urls(instance.id))["stock"]
        async with app.http.post(url, json={"id": "x"}) as answered:
            execution = answered.headers["halflap-execution"]
        outcome = await host.engine.outcome(execution, DEADLINE)
        assert outcome is not None
        assert outcome.state == "failed"
        found = await host.store.journal.execution(execution)
        assert found is not None
        assert found.failure is not None
        assert found.failure.kind == "Thrown"
        steps = [each.name for each in await host.store.journal.steps(execution)]
        assert steps == ["webhook.request", "acme.find_account"]
