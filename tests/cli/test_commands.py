"""The commands as one types them: on a store that no server has open, and with one that runs."""

import asyncio
import io
import json
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import aiohttp
import pytest

from halflap.cli import main
from halflap.cli.offline import Offline
from halflap.cli.reach import settings_here
from halflap.engine.bundle import seal
from halflap.model import StateWrite
from halflap.sdk import codec
from halflap.store.store import Store
from tests.cases import for_each
from tests.cli.shell import activated, change, ok, plain, refused, run
from tests.paired import FILES
from tests.polling import DEADLINE
from tests.salesforce_app import salesforce_app
from tests.slack_app import slack_app

ORDERS = '''
"""Orders."""

from typing import Any

from pydantic import SecretStr

from halflap import Config, Connection, Context, Integration, step, webhook


class Shop(Connection):
    """A key of the shop."""

    base_url: str = "https://shop.example"
    api_key: SecretStr


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    label: str
    most: int = 3


integration = Integration("orders", config=Settings)


@step
async def book(label: str, id: int) -> str:
    """Book an order."""
    if id < 0:
        raise ValueError(f"no order has the id {id}\\x1b[31m")
    return f"{label} {id}"


@integration.flow(trigger=webhook.request(key="body:/id"))
async def incoming(ctx: Context[Settings], event: Any) -> str:
    """An order that arrived."""
    ctx.log.info("booking", id=event["id"])
    return await book(ctx.config.label, event["id"])
'''


TEAMS = '''
"""Teams."""

from typing import Any

from halflap import Config, Context, Integration, Route, instance, webhook

integration = Integration("teams")


@integration.flow(trigger=instance.routed)
async def message(ctx: Context[Config], event: Any) -> None:
    """A message."""


@integration.preprocess(trigger=webhook.request(signature="standard"), shared=True)
async def receive(ctx: Context[Config], event: Any) -> Route:
    """Everything."""
    return Route(message, customer=event["customer"])
'''


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "orders.py").write_text(ORDERS)
    (folder / "pyproject.toml").write_text('[project]\nname = "orders"\n')
    monkeypatch.chdir(folder)
    return folder


def test_customers_are_added_listed_and_removed(project):
    made = plain("customers", "add", "Initech", "--external-id", "4711")
    assert made["external_id"] == "4711"
    assert "Initech" in ok("customers", "list")
    assert plain("customers", "list") == made
    limited = plain("customers", "limits", "Initech", "--concurrency", "5", "--backlog", "none")
    assert limited["limits"] == {"concurrency": 5, "rate": None, "burst": None, "backlog": 0}
    limited = plain("customers", "limits", "Initech", "--rate", "2.5", "--concurrency", "default")
    assert limited["limits"] == {"concurrency": None, "rate": 2.5, "burst": None, "backlog": 0}
    shown = ok("customers", "show", "Initech").split()
    assert "queued 0" in " ".join(shown)
    assert shown[shown.index("rate") :][:4] == ["rate", "2.5", "its", "own"]
    assert shown[shown.index("backlog") :][:2] == ["backlog", "none"]
    assert "neither a number" in run("customers", "limits", "Initech", "--rate", "-1").stderr
    kept = plain("customers", "retention", "Initech", "--execution", "40", "--payload", "3d")
    assert kept["retention"] == {"execution": 40, "payload": 3}
    assert "3 days" in run("customers", "retention", "Initech").stdout
    kept = plain("customers", "retention", "Initech", "--payload", "default")
    assert kept["retention"] == {"execution": 40, "payload": None}
    assert "as the execution" in run("customers", "retention", "Initech").stdout
    assert "neither a number" in run("customers", "retention", "Initech", "--payload", "0").stderr
    assert plain("customers", "remove", "Initech") == {"removed": made["id"]}
    assert "no customers yet" in run("customers", "list").stderr
    assert "Nobody" in refused("customers", "remove", "Nobody")


def test_a_folder_without_a_store_says_how_to_begin(project):
    assert "halflap dev" in refused("executions", "list")
    assert not (project / ".halflap").exists()


DEPLOYED = '''

@integration.flow(trigger=instance.deploy)
async def prepare(ctx: Context[Settings], deployment: Any) -> None:
    """Prepare."""
    ctx.log.info("prepared", most=ctx.config.most)
'''


def test_an_instance_lives_where_no_server_runs(project):
    change(project, ("Integration, step", "Integration, instance, step"), more=DEPLOYED)
    ok("deploy")
    ok("customers", "add", "Initech")
    assert "--config label=" in refused("instances", "add", "Initech", "orders")
    assert "no field 'colour'" in refused(
        "instances", "add", "Initech", "orders", "--config", "colour=red"
    )
    added = run("instances", "add", "Initech", "orders", "--config", "label=A", "--activate")
    assert added.exit_code == 0
    assert "incoming  http://127.0.0.1:8400/hooks/hk_" in added.stdout
    assert "No server runs" in added.stderr
    changed = run("instances", "configure", "orders", "--config", "most=5", "--timeout", "60")
    assert changed.exit_code == 0, changed.output
    assert "upgrading Initech/orders" in changed.stderr  # as a flow is run when it is deployed
    changed = plain("instances", "show", "orders")
    assert (changed["state"], changed["config"]) == ("active", {"label": "A", "most": 5})
    assert "disable it first" in refused("instances", "remove", "Initech/orders", "--yes")
    asked = typed("n\n", "instances", "disable", "orders")
    assert (asked.returncode, "Disable Initech/orders" in asked.stderr) == (1, True)
    assert plain("instances", "show", "orders")["state"] == "active"
    told = typed("", "instances", "disable", "orders", "--yes")
    assert (told.returncode, "Disable Initech" in told.stderr) == (0, False)
    shown = ok("instances", "show", "Initech/orders")
    assert "Initech/orders  disabled" in shown
    assert run("instances", "remove", "orders", input="n\n").exit_code == 1
    ok("instances", "remove", "orders", "--yes")
    assert plain("instances", "list") == []


async def send(project: Path, url: str, event: Any) -> None:
    """Have an event accepted where nothing runs."""
    offline = await Offline.open(settings_here(project))
    try:
        path, body = urlsplit(url).path, json.dumps(event).encode()
        answer = await offline.call("POST", path, "", body, "application/json", 1.0)
        assert answer.status == 200, answer
    finally:
        await offline.close()


def test_a_move_without_a_server_runs_nothing_else(project):
    activated("Initech", "Acme")
    for each in ("Initech/orders", "Acme/orders"):
        [(_, url)] = plain("instances", "show", each)["urls"].items()
        asyncio.run(send(project, url, {"id": -1}))
    moved = run("instances", "activate", "Acme/orders")
    assert moved.exit_code == 0
    assert "runs nothing else" in moved.stderr
    assert [e["state"] for e in plain("executions", "list", "--flow", "incoming")] == ["queued"] * 2
    hits = plain("executions", "search", '"id": -1', "--instance", "Initech/orders")
    assert [(each["part"], each["execution"]["flow"]) for each in [hits]] == [("event", "incoming")]
    assert '{"id": -1}' in ok("executions", "search", '"id": -1')
    assert "is not searched" in run("executions", "search", "nowhere").stderr
    assert plain("instances", "disable", "Acme/orders")["state"] == "disabled"
    states = {e["instance"]: e["state"] for e in plain("executions", "list", "--flow", "incoming")}
    assert sorted(states.values()) == ["failed", "queued"], "what is disabled may end"
    ok("instances", "activate", "Acme/orders")
    replays = run("executions", "replay", "--where", "state=failed", "--yes")
    assert "once a server runs" in replays.stderr
    ok("instances", "activate", "Acme/orders")
    [bulk] = [plain("bulks", "list")]
    assert (bulk["state"], bulk["done"]) == ("running", 0)


async def test_a_connection_goes_to_a_sandbox_by_addresses_that_no_form_asks_for(project):
    await asyncio.to_thread(ok, "deploy")
    async with slack_app() as app, salesforce_app() as sf:
        team, org = await app.team("shop"), await sf.org("shop")
        bot = {"K": await app.token(team), "S": org["client_secret"]}
        bot["HALFLAP_EGRESS_ALLOW"] = "127.0.0.1"
        slack = ("connections", "add", "slack", "--field", f"base_url={app.api}")
        slack += ("--field", "auth.kind=api_key", "--secret", "auth.key=env:K")
        await asyncio.to_thread(ok, *slack, **bot)  # which tests it
        found = await asyncio.to_thread(plain, "connections", "show", "slack")
        assert found["fields"]["base_url"] == app.api
        wrong = await asyncio.to_thread(run, *slack, "--name", "b", "--field", "bas_url=x", **bot)
        assert "there is no field 'bas_url'" in wrong.output
        addresses = {"login_url": sf.url, "pubsub_url": "https://events.example:8601"}
        fields = {
            **addresses,
            "auth.kind": "client_credentials",
            "auth.client_id": org["client_id"],
        }
        given = [part for each in fields.items() for part in ("--field", "{}={}".format(*each))]
        added = ("connections", "add", "salesforce", *given, "--secret", "auth.client_secret=env:S")
        await asyncio.to_thread(ok, *added, **bot)
        shown = (await asyncio.to_thread(plain, "connections", "show", "salesforce"))["fields"]
        assert {name: shown[name] for name in addresses} == addresses


def test_tokens_are_minted_listed_and_revoked(project):
    ok("customers", "add", "Initech", "--external-id", "4711")
    minted = plain("tokens", "mint", "Initech", "--lasts", "15m", "--label", "settings page")
    other = plain("tokens", "mint", "--external-id", "4711", "--read")
    assert minted["customer"] == other["customer"]
    assert (minted["access"], other["access"]) == ("manage", "read")
    assert ok("tokens", "mint", "Initech").startswith("halflap_")
    listed = ok("tokens", "list", "Initech")
    assert "settings page" in listed
    assert minted["token"] not in listed
    assert len(plain("tokens", "list")) == 3
    for id in (minted["id"], other["id"]):
        assert plain("tokens", "revoke", id) == {"revoked": id}
    assert "no token" in refused("tokens", "revoke", minted["id"])
    assert "Nobody" in refused("tokens", "mint", "Nobody")
    assert "say which customer" in refused("tokens", "mint")
    assert "is no duration; write 30s" in run("tokens", "mint", "Initech", "--lasts", "soon").stderr


def test_customers_and_instances_are_paused_and_resumed(project):
    activated()
    pause = (
        "instances",
        "pause",
        "Initech/orders",
        "--flow",
        "incoming",
        "--reason",
        "Acme is down",
    )
    said = run(*pause)
    assert "paused Initech/orders incoming: its events are accepted and wait" in said.stdout
    assert "halflap instances resume Initech/orders --flow incoming" in said.stderr
    assert "no flow 'outgoing'" in refused("instances", "pause", "orders", "--flow", "outgoing")
    ok("customers", "pause", "Initech")
    flow, customer = plain("instances", "show", "orders")["paused"]
    assert (flow["what"], flow["flow"], flow["reason"]) == ("flow", "incoming", "Acme is down")
    assert (customer["what"], bool(customer["by"])) == ("customer", True)
    assert "paused: flow incoming" in ok("instances", "show", "orders")
    assert "active, paused" in ok("instances", "list")
    assert "paused" in ok("customers", "list")
    resumed = ok("instances", "resume", "orders", "--flow", "incoming")
    assert "still paused: customer" in resumed
    ok("instances", "pause", "orders", "--reason", "a move")
    resumed = ok("customers", "resume", "Initech")
    assert re.search(r"still paused: Initech/orders: instance .*: a move", resumed)
    ok("instances", "resume", "orders")
    ok("customers", "pause", "Initech")
    assert ok("customers", "resume", "Initech") == "resumed Initech\n"
    assert plain("instances", "list")["paused"] == []


def test_many_are_planned_and_begun_where_no_server_runs(project):
    activated()
    assert "no dead letters" in run("executions", "list", "--failed").stderr
    assert "no executions" in run("executions", "list", "--flow", "incoming").stderr
    where = ("--where", "state=failed", "--where", "instance=Initech/orders", "--where", "since=2h")
    assert "no execution matches" in run("executions", "replay", *where, "--dry-run").stderr
    plan = plain("executions", "replay", *where, "--dry-run")
    assert (plan["do"], plan["total"], plan["groups"]) == ("replay", 0, [])
    begun = plain("executions", "dismiss", "--where", "state=failed", "--rate", "600/min")
    assert (begun["do"], begun["state"], begun["wanted"]["rate"]) == ("dismiss", "running", 10.0)
    assert begun["id"] in ok("bulks", "list")
    ended = plain("bulks", "cancel", begun["id"])
    assert (ended["state"], ended["reason"]) == ("cancelled", "cancelled by hand")
    for wrong in ("state", "colour=red", "since=soon"):
        assert run("executions", "replay", "--where", wrong).exit_code == 1
    assert "not both" in refused("executions", "replay", "last", "--where", "flow=a", code=2)
    assert "--where state=failed" in refused("executions", "cancel", code=2)
    assert "go with --where" in refused("executions", "dismiss", "last", "--dry-run", code=2)
    assert "a number a second" in refused("executions", "replay", *where, "--rate", "fast")


def test_connections_are_asked_for_by_their_form(project, tmp_path):
    change(project, ("    label: str", "    shop: Shop\n    label: str"))
    ok("deploy")
    ok("customers", "add", "Initech")
    add = ("instances", "add", "Initech", "orders", "--config", "label=A")
    for given in ((), ("--connection", "shop=shop")):
        command = "halflap connections add orders.shop --customer Initech"
        assert command in refused(*add, *given)
    whose = ("orders.shop", "--customer", "Initech", "--no-test")
    assert re.search("there are: .*http, .*orders.shop", refused("connections", "add", "shop"))
    assert "--secret api_key=env:NAME" in refused("connections", "add", *whose)
    assert "is a secret" in refused("connections", "add", *whose, "--field", "api_key=1", code=2)
    assert "says where" in refused("connections", "add", *whose, "--secret", "api_key=1", code=2)
    (tmp_path / "key").write_text("from-a-file\n")
    made = plain("connections", "add", *whose, "--secret", f"api_key=@{tmp_path / 'key'}")
    assert made["secrets"] == ["api_key"]
    assert made["fields"] == {"base_url": "https://shop.example"}
    assert "from-a-file" not in ok("connections", "list")
    assert plain(*add)["connections"] == {"shop": made["id"]}
    assert "orders" in refused("connections", "remove", "shop", "--yes")


def test_deploy_shows_what_changes_and_keeps_what_others_deployed(project, tmp_path):
    first = plain("deploy", "--to", "staging")
    assert (first["number"], first["before"]) == (1, None)
    source = (project / "orders.py").read_text()
    changed = source.replace("most: int = 3", "most: int = 4").replace("body:/id", "body:/nr")
    (project / "orders.py").write_text(changed)
    dry = run("deploy", "--to", "staging", "--dry-run")
    assert "~ field most" in dry.stdout
    request = "webhook.request(key=body:/{})".format
    assert f"~ flow incoming: {request('id')} → {request('nr')}" in dry.stdout
    assert "-    most: int = 3\n+    most: int = 4" in dry.stdout
    assert "nothing was deployed" in dry.stderr
    assert plain("deploy", "--to", "staging")["before"] == first["hash"]

    # Another checkout, which has never seen what staging has.
    other = tmp_path / "other"
    other.mkdir()
    (other / "orders.py").write_text(source + "\n# another\n")
    elsewhere = ("deploy", "--path", str(other), "--to", "staging")
    said = run(*elsewhere)
    assert said.exit_code == 1
    assert "staging has version 2" in said.stderr
    assert "neither deployed nor pulled" in said.stderr
    assert "-    most: int = 4" in said.stdout
    assert "halflap pull orders --from staging" in said.stderr
    dry = run(*elsewhere, "--dry-run")
    assert (dry.exit_code, "neither deployed nor pulled" in dry.stderr) == (0, True)
    (hash,) = re.findall(r"--expect ([0-9a-f]{12})$", said.stderr, re.MULTILINE)
    assert run(*elsewhere, "--expect", first["hash"]).exit_code == 1
    assert plain(*elsewhere, "--expect", hash)["number"] == 3
    again = run("deploy", "--to", "staging")
    assert (again.exit_code, "neither deployed nor pulled" in again.stderr) == (1, True)
    ok("pull", "--from", "staging")
    assert plain("deploy", "--to", "staging")["changed"] is False
    (project / "orders.py").write_text(source + "\n# here\n")
    ok("deploy", "--to", "staging")
    (other / "orders.py").write_text(source + "\n# there\n")
    assert plain(*elsewhere, "--overwrite")["number"] == 5
    # Its own store's dev target is nobody else's.
    ok("deploy")
    (project / "orders.py").write_text(source + "\n# more\n")
    ok("deploy")


def test_what_a_person_published_to_an_own_store_is_not_deployed_over(project):
    ok("deploy")
    source = (project / "orders.py").read_text()
    theirs = seal("orders:integration", {"orders.py": f"{source}\n# Ada's\n".encode()})
    assert plain("deploy")["changed"] is False

    async def publish() -> None:
        store = await Store.open(project / ".halflap")
        versions = store.catalogue.versions
        now = await versions.target("orders", "dev")
        assert now is not None
        await versions.publish("orders", theirs.hash, theirs.to_bytes(), by="Ada")
        assert await versions.move_target("orders", "dev", theirs.hash, expect=now.hash)
        await store.close()

    asyncio.run(publish())
    (project / "orders.py").write_text(source + "\n# mine\n")
    said = run("deploy")
    assert said.exit_code == 1
    assert "by Ada" in said.stderr
    assert "-# Ada's" in said.stdout


def test_deploy_sends_the_components_of_a_project_alone(project):
    (project / "store").mkdir()
    (project / "store" / "__init__.py").write_text(
        "from halflap import Component\nfrom names import NAME\ncomponent = Component(NAME)\n"
    )
    (project / "store" / "icon.svg").write_text("<svg/>")
    (project / "names.py").write_text('NAME = "store"\n')
    (project / "unrelated.py").write_text("x = 1\n")
    (project / "shop.yaml").write_text("name: shop\nflows: {}\n")
    send = ("deploy", "--components")
    made = plain(*send)
    assert made["files"] == ["names.py", "store/__init__.py", "store/icon.svg"]
    assert (made["name"], made["number"], made["changed"]) == ("orders", 1, True)
    (project / "unrelated.py").write_text("x = 2\n")
    assert "exactly this: number 1" in ok(*send)
    (project / "names.py").write_text('NAME = "store"  # of goods\n')
    dry = plain(*send, "--dry-run")
    assert (dry["number"], dry["changed"]) == (None, True)
    assert "components store as orders 2" in ok(*send)
    assert plain(*send, "goods")["name"] == "goods"
    first = json.loads(ok("component-sets", "list", "--name", "orders", "--json").splitlines()[-1])
    assert (first["number"], first["components"], first["drafts"]) == (1, ["store"], [])
    assert "orders 1" in ok("component-sets", "list")
    assert plain("component-sets", "remove", first["id"]) == {"removed": first["id"]}
    assert "no component set" in refused("component-sets", "remove", first["id"])
    assert "orders 1" not in ok("component-sets", "list")
    (project / "store" / "__init__.py").write_text("component = 1 / 0\n")
    assert "division by zero" in refused(*send)


def test_deploy_moves_the_targets_instances_only_when_asked(project):
    activated()
    change(project, more="\n# two\n")
    stays = run("deploy")
    assert "1 instance stays on its version" in stays.stderr
    assert plain("instances", "list")["version"]["number"] == 1
    moved = run("deploy", "--upgrade-instances")
    assert "succeeded  upgraded 1" in moved.stdout
    assert plain("instances", "list")["version"]["number"] == 2
    change(project, ("    label: str", "    label: str\n    missing: str"))
    failed = run("deploy", "--upgrade-instances")
    assert failed.exit_code == 1
    assert "Initech/orders: the config of orders is not valid: missing" in failed.stdout


def test_all_instances_move_to_a_version_and_back(project):
    activated("Initech", "Globex")
    change(project, more="\n# two\n")
    ok("deploy")
    every = ("instances", "upgrade", "--all", "--integration", "orders", "--stages", "50%")
    plan = plain(*every, "--dry-run")
    assert (plan["total"], plan["stages"], plan["version"]["number"]) == (2, [1, 2], 2)
    assert "2 instances of orders to version 2" in ok(*every, "--dry-run")
    one = plain(*every, "--customer", "Initech")
    assert (one["state"], one["done"], one["total"]) == ("succeeded", 1, 1)
    assert "succeeded  upgraded 1" in ok(*every, "--yes")
    assert "Move 1 instance back to the version" in run("bulks", "back", one["id"]).stderr
    assert "upgraded 1" in ok("bulks", "back", one["id"], "--yes")
    again = plain(*every, "--customer", "Initech")
    back = plain("bulks", "back", again["id"])
    assert (back["state"], back["done"], back["wanted"]["back_of"]) == ("succeeded", 1, again["id"])
    numbers = {
        each["customer_name"]: each["version"]["number"] for each in plain("instances", "list")
    }
    assert numbers == {"Initech": 1, "Globex": 2}
    ok("instances", "upgrade", "Globex/orders", "--version", "1")
    first = ok(*every, "--canary", "Globex/orders", "--yes")
    assert "first, as a canary: Globex/orders" in first
    assert "Globex/orders: moved" in first
    assert "2 (new)" in first
    [paused] = [each for each in plain("bulks", "list") if each["state"] == "paused"]
    assert "is paused, and cannot be paused" in refused("bulks", "pause", paused["id"])
    assert "upgraded 2" in ok("bulks", "resume", paused["id"])
    assert plain(*every, "--canary", "50%", "--dry-run")["canary"] == []
    rest = ("--leave-out", "Initech/orders", "--pause-on", "5%,100", "--dry-run")
    ok("instances", "upgrade", "Globex/orders", "--version", "1")
    ok("instances", "upgrade", "Initech/orders", "--version", "1")
    assert [each["customer_name"] for each in plain(*every, *rest)["instances"]] == ["Globex"]
    assert "is no share" in refused(*every, "--pause-on", "5", "--dry-run")
    assert "no field 'site'" in refused(*every, "--config", "site=Graz", "--dry-run")
    assert "goes with --integration NAME" in refused("instances", "upgrade", "--all", code=2)
    assert "go with --all" in refused("instances", "upgrade", "orders", "--yes", code=2)
    assert "--all --integration NAME" in refused("instances", "upgrade", code=2)


def test_an_upgrade_asks_for_what_the_new_version_needs(project):
    ok("deploy")
    ok("customers", "add", "Initech")
    ok("instances", "add", "Initech", "orders", "--config", "label=A", "--config", "most=4")
    ok("instances", "activate", "orders")
    ok("customers", "add", "Globex")
    ok("instances", "add", "Globex", "orders", "--config", "label=B")
    site = ("    label: str", "    site: str\n    label: str")
    change(project, site, ("    most: int = 3\n", ""))
    assert run("deploy", "--upgrade-instances").exit_code == 1

    said = refused("instances", "upgrade", "Initech/orders", "--version", "2")
    assert "halflap instances upgrade Initech/orders --version 2 --config site=…" in said
    upgrade = ("instances", "upgrade", "Initech/orders", "--config")
    unknown = (*upgrade, "most=4", "--config", "site=Graz")
    assert "there is no field 'most'; there are: site, label" in refused(*unknown)
    moved = plain(*upgrade, "site=Graz")
    assert (moved["state"], moved["version"]["number"]) == ("active", 2)
    assert moved["config"] == {"label": "A", "site": "Graz"}
    again = refused(*upgrade, "site=Linz")
    assert "halflap instances configure Initech/orders" in again
    # On a terminal it is asked for, alone.
    moved = typed("Linz\n", "instances", "upgrade", "Globex/orders")
    assert moved.returncode == 0, moved.stderr
    assert ("Site" in moved.stderr, "Label" in moved.stderr) == (True, False)
    shown = plain("instances", "show", "Globex/orders")
    assert shown["config"] == {"label": "B", "site": "Linz"}


def test_a_bound_that_is_no_whole_number_is_no_change(project):
    change(
        project,
        ("    most: int = 3", "    most: Annotated[float, Field(le=100.0)] = 3.5"),
        ("from typing import Any", "from typing import Annotated, Any"),
        ("import SecretStr", "import Field, SecretStr"),
    )
    ok("deploy")
    change(project, more="\n# another\n")
    assert plain("deploy", "--dry-run")["config"] == []


@dataclass
class Typed:
    """The exit code of a command, and what it said to a terminal whose keys answered it."""

    returncode: Any
    stderr: str


def typed(keys: str, *words: str) -> Typed:
    """Run a command whose standard input is a terminal with these keys."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, keys.encode())
    said = io.StringIO()
    with (
        os.fdopen(terminal) as stdin,
        patch.object(sys, "stdin", stdin),
        redirect_stdout(io.StringIO()),
        redirect_stderr(said),
        pytest.raises(SystemExit) as ended,
    ):
        main(words)
    os.close(keyboard)
    return Typed(ended.value.code, said.getvalue())


def test_a_misspelt_target_is_not_made(project):
    for _ in range(2):
        said = run("deploy", "--to", "stagign")
        assert (said.exit_code, said.stdout) == (1, "")
        assert "no target 'stagign'; there are: dev, production, staging." in said.stderr
        assert "HALFLAP_SERVER_STAGIGN" in said.stderr
        ok("deploy")
    # On a terminal it is asked about.
    assert typed("n\n", "deploy", "--to", "qa").returncode == 1
    assert typed("y\n", "deploy", "--to", "qa").returncode == 0
    assert "there are: dev, production, qa, staging." in run("deploy", "--to", "aq").stderr


def test_what_may_be_done_next_is_said_for_the_same_server(project, tmp_path):
    elsewhere = ("--dir", str(tmp_path / "else where"))
    added = run("customers", "add", "Initech", *elsewhere)
    place = f"--dir '{tmp_path / 'else where'}'"
    assert f"next: halflap instances add Initech INTEGRATION {place}\n" in added.stderr
    deployed = run("deploy", "--to", "staging")
    assert "next: halflap instances add CUSTOMER orders --target staging\n" in deployed.stderr


@for_each("group", ["connections", "customers", "executions", "instances", "new"])
def test_what_a_command_is_for_is_not_cut(group):
    listed = ok(group, "--help").partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_a_project_that_is_wrong_is_not_deployed(project):
    change(project, more="\nraise RuntimeError('not today')\n")
    assert "orders.py" in run("deploy").stderr
    assert "no integration 'orders' is deployed" in refused("instances", "add", "Initech", "orders")


def test_doctor_says_what_to_mend(project, monkeypatch):
    monkeypatch.setenv("HALFLAP_PORT", "0")  # this machine's 8400 may be in use
    ok("customers", "add", "Initech")
    well = plain("doctor")
    states = {each["name"]: each["state"] for each in well["checks"]}
    assert well["ok"]
    assert states["key"] == states["store"] == states["versions"] == "ok"
    (project / ".halflap" / "halflap.key").chmod(0o644)
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "chmod 600" in ill.stdout
    wrong = run("doctor", HALFLAP_PROT="8400")
    assert wrong.exit_code == 1
    assert "HALFLAP_PROT is no setting" in wrong.stdout


def test_pairs_are_shown_and_a_wrong_one_is_forgotten(project):
    for name, source in FILES.items():
        (project / name).write_text(source)
    (project / "orders.py").unlink()
    ok("deploy")
    ok("customers", "add", "Initech")
    for field in ("crm", "till"):
        ok("connections", "add", f"people.{field}", "--customer", "Initech", "--name", field)
    links = ("--connection", "crm=crm", "--connection", "till=till")
    added = plain("instances", "add", "Initech", "people", *links)
    named = "Initech/people"
    assert "no pairs yet" in run("instances", "pairs", named).stderr
    asyncio.run(paired(project / ".halflap", added["id"], 30))

    shown = run("instances", "pairs", named)
    assert shown.stdout.splitlines()[:3] == ["people", "crm   till", "c_00  t_00"]
    assert len(shown.stdout.splitlines()) == 2 + 20
    assert "the first 20" in shown.stderr
    assert len(plain("instances", "pairs", named, "--limit", "100")) == 30
    [one] = [plain("instances", "pairs", named, "--of", "people", "--id", "t_07")]
    assert one == {"pairs": "people", "ids": {"crm": "c_07", "till": "t_07"}}
    assert "t_99 is paired with nothing" in run("instances", "pairs", named, "--id", "t_99").stderr
    assert "--id" in refused("instances", "pairs", named, "--forget", code=2)
    forget = ("instances", "pairs", named, "--forget", "--id", "t_07")
    asked = run(*forget, input="n\n")
    assert (asked.exit_code, "crm c_07 and till t_07" in asked.stderr) == (1, True)
    assert plain(*forget, "--yes") == {"forgot": one}
    assert "no pair to forget" in refused(*forget, "--yes")
    assert len(plain("instances", "pairs", named, "--limit", "100")) == 29


async def paired(folder: Path, instance: str, count: int) -> None:
    """Pair so many records of an instance."""
    store = await Store.open(folder)
    for number in range(count):
        ids = {"crm": f"c_{number:02}", "till": f"t_{number:02}"}
        await store.journal.write_state(
            [
                StateWrite(f"pairs:{instance}:people", f"{place}/{ids[side]}", codec.encode(ids))
                for side, place in (("crm", "crm/contact"), ("till", "till/customer"))
            ]
        )
    await store.close()


async def test_what_happened_is_shown_and_run_again(project, served):
    def typed(*words: str) -> Any:
        return asyncio.to_thread(plain, *words)

    await typed("customers", "add", "Initech")
    await asyncio.to_thread(ok, "deploy")
    async with served(project / ".halflap", "--no-supervisor"):
        added = await typed(
            "instances", "add", "Initech", "orders", "--config", "label=A", "--activate"
        )
        async with aiohttp.ClientSession() as http:
            for body in ({"id": 1}, {"id": -1}):
                async with http.post(added["urls"]["incoming"], json=body) as answer:
                    assert answer.status == 200
        async with asyncio.timeout(DEADLINE):
            while (last := await typed("executions", "show", "last"))["state"] != "failed":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        shown = await asyncio.to_thread(ok, "executions", "show", "last")
        for line in (
            "incoming of Initech/orders  failed",
            '{"id": -1}',
            "✗ Book",
            "ValueError: no order has the id -1\\x1b[31m",
            "orders.py:32 in book",
            "booking  id=-1",
        ):
            assert line in shown
        failed = await typed("executions", "list", "--failed", "--instance", "Initech/orders")
        assert failed["id"] == last["id"]
        logged = await typed("executions", "logs", "last", "--follow")
        assert (logged["message"], logged["fields"]) == ("booking", {"id": -1})
        event = await typed("events", "last", "--flow", "incoming")
        assert json.loads(event["body"]) == {"id": -1}
        body = await asyncio.to_thread(run, "events", "last", "--body")
        assert json.loads(body.stdout_bytes) == {"id": -1}
        mine = ("executions", "list", "--integration", "orders", "--version", "1", "--key", "1")
        assert await typed(*mine, "--since", "1h") == await typed(
            "executions", "list", "--key", "1"
        )
        assert not await typed(*mine, "--until", "1h")
        copied = await typed("backup", str(project / "backup"))
        assert copied["database_bytes"] == (project / "backup" / "halflap.db").stat().st_size
        for reason, ids in ((last["reason"][3:12], last["id"]), ("echo", None)):
            why = await typed("executions", "list", "--reason", reason)
            assert (why["id"] if why else None) == ids
        good = await typed("executions", "list", "--key", "1")
        again = await asyncio.to_thread(run, "executions", "replay", good["id"], "--wait")
        assert again.exit_code == 0
        assert '"A 1"' in again.stdout
        await asyncio.to_thread(ok, "instances", "pause", "orders")
        wait = ("executions", "replay", good["id"], "--wait", "--timeout", "0.2", "--again")
        waited = await asyncio.to_thread(refused, *wait)
        assert "is still queued after 0.2 s; it goes on at the server" in waited
        assert "See: halflap executions show exe_" in waited
        await asyncio.to_thread(ok, "instances", "resume", "orders")
        assert await typed("executions", "dismiss", last["id"]) == {"dismissed": last["id"]}
        assert "has ended already" in await asyncio.to_thread(
            refused, "executions", "signal", good["id"], "approved", "--data", '{"by": "Ada"}'
        )
        assert "--data is not JSON" in await asyncio.to_thread(
            refused, "executions", "signal", good["id"], "approved", "--data", "yes"
        )
        done = await asyncio.to_thread(refused, "executions", "cancel", good["id"])
        assert "has ended already" in done
    assert "no server runs" in await asyncio.to_thread(refused, "executions", "tail")


def test_a_shared_endpoint_is_shown_and_changed(project):
    (project / "orders.py").write_text(TEAMS)
    ok("deploy")
    assert plain("integrations", "list")["name"] == "teams"
    shown = plain("integrations", "endpoint", "teams")
    assert (shown["flow"], shown["version"]["number"], shown["picked"]) == ("receive", 1, False)
    assert shown["url"] in ok("integrations", "endpoint", "teams")
    first = plain("integrations", "endpoint", "teams", "--secrets")["secret"]
    rotated = plain("integrations", "endpoint", "teams", "receive", "--rotate")
    assert rotated["former"] == first != rotated["secret"]
    told = ok("integrations", "endpoint", "teams", "--secret", "env:ITS", ITS="whsec_its-own")
    assert "whsec_its-own" in told
    assert "good for a day" in told
    assert plain("integrations", "endpoint", "teams", "--version", "1")["picked"] is True
    assert plain("integrations", "endpoint", "teams", "--version", "default")["picked"] is False
    for words, said in (
        (("nothing",), "no version of 'nothing' is published"),
        (("teams", "other"), "no shared endpoint 'other'"),
        (("teams", "--rotate", "--secret", "-"), "use one of them"),
        (("teams", "--secret", "in-the-open"), "others would see it"),
    ):
        refused = run("integrations", "endpoint", *words)
        assert refused.exit_code != 0
        assert said in refused.output


LISTING = '''
"""Orders of a site that the shop lists."""

from typing import Annotated, Any

from halflap import Component, Config, Context, Integration, Source, webhook

component = Component("sites")


@component.action
async def list_sites(country: str) -> list[tuple[str, str]]:
    """List the sites of a country."""
    return [(f"{country}{number}", f"Site {number}") for number in range(1, 40)]


@component.action
async def list_names() -> list[str]:
    """List what a site may be called."""
    return ["short", "long"]


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    country: str
    site: Annotated[str, Source(list_sites, depends=("country",))]
    names: dict[
        Annotated[str, Source(list_sites, depends=("country",))], Annotated[str, Source(list_names)]
    ] = {}


integration = Integration("orders", config=Settings)


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Settings], event: Any) -> str:
    """An order that arrived."""
    return ctx.config.site
'''


def test_on_a_terminal_choices_that_an_app_lists_are_shown_and_searched(project):
    (project / "orders.py").write_text(LISTING)
    ok("deploy")
    ok("customers", "add", "Initech")
    answers = "at\nnowhere\nSite 39\n1\n" + "at7\n2\n" + "Site 39\n1\nshort\n" + "\n"
    added = typed(answers, "instances", "add", "Initech", "orders")
    assert added.returncode == 0, added.stderr
    assert " 1  Site 1  (at1)" in added.stderr
    assert "there are more: type a text to search for" in added.stderr
    assert "nothing is found for 'nowhere'" in added.stderr
    names = {"at7": "long", "at39": "short"}
    config = {"country": "at", "site": "at39", "names": names}
    assert plain("instances", "show", "orders")["config"] == config
    again = typed("2\n", "instances", "configure", "orders", "--config", "site=?")
    assert again.returncode == 0, again.stderr
    assert plain("instances", "show", "orders")["config"]["site"] == "at2"
    assert "nobody is there to answer" in refused(
        "instances", "configure", "orders", "--config", "site=?"
    )
    said = refused("instances", "configure", "orders", "--config", "site=at99")
    assert "'at99' is not among the choices that the app lists" in said


def test_the_team_is_managed_and_what_is_done_is_in_the_audit_log(project: Path) -> None:
    ok("customers", "add", "Initech")
    added = plain("users", "add", "Ada@Example.com", "--role", "owner", "--name", "Ada")
    assert (added["email"], added["role"]) == ("ada@example.com", "owner")
    assert added["url"].endswith(f"/console/sign-in#link={added['link']}")
    assert "halflap_link_" in ok("users", "add", "bob@example.com")
    assert "is there already" in refused("users", "add", "bob@example.com")
    assert "email" in refused("users", "add", "bob")
    assert "bob@example.com is support now" in ok("users", "set-role", "bob@example.com", "support")
    assert "is disabled" in ok("users", "disable", "bob@example.com")
    assert "disabled" in ok("users", "list")
    assert "is enabled" in ok("users", "disable", "bob@example.com", "--off")
    assert "#link=halflap_link_" in ok("users", "link", "ada@example.com")
    assert "last owner" in refused("users", "remove", "ada@example.com", "--yes")
    assert plain("users", "remove", "bob@example.com", "--yes") == {"removed": "bob@example.com"}
    assert "/console/sign-in#link=halflap_link_" in ok("console")
    assert plain("console", "--email", "ada@example.com")["email"] == "ada@example.com"

    made = plain(
        "keys", "make", "from CI", "--right", "read", "--right", "publish", "--lasts", "90d"
    )
    assert made["key"].startswith("halflap_key_")
    assert made["rights"] == ["publish", "read"]
    rotated = ok("keys", "rotate", made["id"], "--overlap", "1h")
    assert rotated.startswith("halflap_key_")
    assert made["key"] not in rotated
    assert "from CI" in ok("keys", "list")
    assert plain("keys", "revoke", made["id"]) == {"revoked": made["id"]}
    assert "no key" in refused("keys", "revoke", made["id"])

    assert "are private" in ok("customers", "private", "Initech")
    assert plain("customers", "private", "Initech", "--off")["private"] is False
    assert "--external-id" in refused("customers", "change", "Initech", code=2)
    changed = plain("customers", "change", "Initech", "--name", "Initrode", "--external-id", "8")
    assert (changed["name"], changed["external_id"]) == ("Initrode", "8")
    assert "changed customer Initech" in ok("customers", "change", "Initrode", "--name", "Initech")
    shown = ok("audit", "--customer", "Initech")
    assert "change_customer" in shown
    assert "private=True" in shown
    entries = plain("audit", "--operation", "make_key")
    assert entries["changes"]["name"] == "from CI"
