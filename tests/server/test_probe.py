"""Liveness, readiness and metrics, as what runs a server reads them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from ruamel.yaml import YAML

from halflap.engine.bundle import pack
from halflap.errors import StoreError, StoreFull
from halflap.sdk.conformity import DEVIATIONS
from halflap.server.host import Host
from halflap.server.metrics import METRICS
from halflap.server.settings import Settings
from tests.polling import until

TOKEN, METRICS_TOKEN = "the-token-of-these-tests", "for-metrics-alone"
PROJECT = """
import asyncio

from halflap import Config, Context, Integration, Model, webhook

integration = Integration("counted", config=Config)


class Numbered(Model):
    n: int


@integration.flow(trigger=webhook.request(dedupe="body:/n"))
async def numbered(ctx: Context[Config], event: Numbered) -> None:
    if event.n < 0:
        raise ValueError("a negative number")
    if event.n == 99:
        await asyncio.Event().wait()
"""
ENDLESS = 99


@dataclass
class Up:
    """A server that listens, and the hook of its flow."""

    host: Host
    http: aiohttp.ClientSession
    hook: str = ""

    async def get(
        self, path: str, token: str | None = None, method: str = "GET"
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.host.port}{path}"
        async with self.http.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text(), answer

    async def send(self, n: int) -> int:
        url = f"http://127.0.0.1:{self.host.port}{self.hook}"
        async with self.http.post(url, json={"n": n}) as answer:
            return answer.status

    async def metrics(self) -> dict[str, float]:
        """Each sample by its name and label."""
        status, text, answer = await self.get("/metrics", METRICS_TOKEN)
        assert status == 200
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        return samples(text)


SAMPLE = re.compile(r'([a-z_]+(?:\{[a-z]+="[^"\n\\]*"(?:,[a-z]+="[^"\n\\]*")*\})?) (\S+)')


def samples(text: str) -> dict[str, float]:
    """Samples of OpenMetrics text; each has to follow the metadata of its own family."""
    assert text.endswith("# EOF\n")
    found: dict[str, float] = {}
    family = ""
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            family = line.split()[2]
        elif line.startswith("# HELP "):
            assert line.split()[2] == family
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1].startswith(family)
            found[sample[1]] = float(sample[2])
    return found


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    settings = Settings(
        dir=tmp_path / "store",
        port=0,
        token=TOKEN,
        metrics_token=METRICS_TOKEN,
        room=1,
        watchdog_seconds=0,
    )
    host = await Host.open(settings, probation=False)
    catalogue = host.store.catalogue
    source = tmp_path / "project"
    source.mkdir()
    (source / "counted.py").write_text(PROJECT)
    bundle = pack(source, "counted:integration")
    await catalogue.versions.publish("counted", bundle.hash, bundle.to_bytes())
    customer = await catalogue.customers.add("Initech")
    instance = await catalogue.instances.add(customer.id, "counted", "counted", bundle.hash)
    await catalogue.instances.set_revision(instance.id, {}, {})
    await catalogue.instances.move(instance.id, ["configured"], "active")
    endpoints = await catalogue.endpoints.ensure(instance.id, ["numbered"])
    await catalogue.endpoints.open_all(instance.id)
    async with host.served(grace=1), aiohttp.ClientSession() as http:
        yield Up(host, http, f"/hooks/{endpoints['numbered'].id}")


async def test_a_server_is_alive_and_ready_and_tells_nobody_where(up: Up) -> None:
    assert (await up.get("/healthz"))[:2] == (200, '{"status":"ok"}')
    for token in (None, "another", METRICS_TOKEN):
        status, text, _ = await up.get("/readyz", token)
        assert (status, text) == (200, '{"status":"ready","missing":{}}')
    status, text, _ = await up.get("/readyz", TOKEN)
    assert status == 200
    assert up.host.store.where in text
    for path in ("/healthz", "/readyz"):
        assert (await up.get(path, method="HEAD"))[:2] == (200, "")
        assert (await up.get(path, method="POST"))[0] == 405


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (StoreFull("/srv/secret/halflap.db: the disk is full"), "its disk is full"),
        (StoreError("postgresql://db.internal: refused"), "it refused to write"),
    ],
)
async def test_readiness_names_a_store_that_fails_without_its_place(
    up: Up, monkeypatch: pytest.MonkeyPatch, error: StoreError, missing: str
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(up.host.store.journal, "write_state", fail)
    status, text, answer = await up.get("/readyz")
    assert status == 503
    assert answer.headers["retry-after"] == "2"
    assert text == f'{{"status":"not ready","missing":{{"store":"{missing}"}}}}'
    assert error.message in (await up.get("/readyz", TOKEN))[1]
    found = await up.metrics()
    assert (found["halflap_store_up"], found["halflap_dead_letters"]) == (
        0,
        0,
    )  # it reads all the same
    assert (await up.get("/healthz"))[0] == 200


async def test_metrics_want_their_token_or_the_apis(up: Up) -> None:
    for token in (None, "", "another"):
        status, _, answer = await up.get("/metrics", token)
        assert (status, answer.headers["www-authenticate"]) == (401, "Bearer")
    for token in (TOKEN, METRICS_TOKEN):
        assert (await up.get("/metrics", token))[0] == 200
    status, _, _ = await up.get("/api/customers", METRICS_TOKEN)
    assert status == 401


async def test_metrics_count_events_and_what_became_of_them(up: Up) -> None:
    before = await up.metrics()
    assert before['halflap_hook_answers_total{status="503"}'] == 0  # a rate sees the first
    for n in (1, 2, 2, -1):
        assert await up.send(n) < 300
    assert (await up.get(up.hook.replace("hk_", "no_")))[0] == 404

    async def ended() -> bool:
        found = await up.metrics()
        return found.get('halflap_executions_ended_total{state="failed"}') == 1

    await until(ended)
    found = await up.metrics()
    assert found['halflap_events_total{result="accepted"}'] == 3
    assert found['halflap_events_total{result="duplicate"}'] == 1
    assert found['halflap_hook_answers_total{status="404"}'] == 1
    assert found['halflap_executions_ended_total{state="succeeded"}'] == 2
    assert found["halflap_attempts_total"] >= 3
    assert found["halflap_dead_letters"] == 1
    assert found["halflap_store_up"] == 1
    assert found["halflap_store_commits_total"] > before["halflap_store_commits_total"]
    assert found['halflap_executions_live{state="queued"}'] == 0
    assert found["halflap_oldest_due_seconds"] == 0
    assert 'role="serve"' in "".join(found)
    assert "Initech" not in "".join(found)


async def test_every_metric_in_the_table_has_a_sample_and_no_other_is_told(up: Up) -> None:
    await up.send(-1)
    await up.get("/hooks/hk_unknown/%00", method="TRACE")

    async def failed() -> bool:
        return (await up.metrics())["halflap_dead_letters"] == 1

    await until(failed)
    DEVIATIONS["shop.list"] += 1
    names = {each.partition("{")[0] for each in await up.metrics()}
    assert names == {each.sample for each in METRICS}
    page = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()
    alerts = page.split("Worth an alert", 1)[1]
    rules = YAML(typ="safe").load(alerts.split("```yaml", 1)[1].split("```", 1)[0])
    told = " ".join(each["expr"] for each in rules["groups"][0]["rules"])
    assert set(re.findall(r"(?:halflap|process)_\w+", told)) <= names


async def test_a_gauge_of_the_oldest_due_grows_while_there_is_no_room(up: Up) -> None:
    await up.send(ENDLESS)
    await up.send(1)
    first = (await up.metrics())["halflap_oldest_due_seconds"]

    async def older() -> bool:
        found = await up.metrics()
        return found["halflap_oldest_due_seconds"] > first > 0

    await until(older)
    assert (await up.metrics())['halflap_executions_live{state="queued"}'] == 1


async def test_the_api_is_made_for_the_first_who_asks_it_and_not_for_events(up: Up) -> None:
    assert await up.send(1) < 300
    assert (await up.get("/readyz"))[0] == (await up.get("/metrics", TOKEN))[0] == 200
    assert up.host._api is None
    answers = await asyncio.gather(*(up.get("/api/health") for _ in range(3)))
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert up.host._api is not None
