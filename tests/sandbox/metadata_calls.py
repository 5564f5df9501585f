"""A Salesforce with one org, and calls to its Metadata and Tooling API, for tests."""

from __future__ import annotations

import asyncio
import base64
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import aiohttp
import trustme
from starlette.applications import Starlette

from halflap_sandbox.salesforce import Settings, automation, create_app
from halflap_sandbox.salesforce.entities import new_org
from halflap_sandbox.salesforce.markup import Element, parse
from halflap_sandbox.salesforce.model import Org, World
from halflap_sandbox.server import serving
from tests.polling import DEADLINE

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


def certificate_in(folder: Path) -> Path:
    """Make a certificate, and `ca.pem` to trust it by."""
    authority, certificate = trustme.CA(), folder / "server.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return certificate


class Fault(Exception):
    """A SOAP fault: its code, its text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Caller:
    """Somebody signed in to an org of their own."""

    def __init__(self, http: aiohttp.ClientSession, base: str, world: World, org: Org) -> None:
        self.http, self.base, self.org = http, base, org
        self.user = next(iter(org.users.values()))
        self.token = world.open(org, self.user).token

    async def soap(
        self,
        body: str,
        *,
        token: str | None = None,
        path: str = "m/63.0",
        namespace: str = NAMESPACE,
        header: str = "",
    ) -> list[Element]:
        """Ask an operation; gives the children of its answer."""
        envelope = (
            '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f'<e:Header xmlns="{namespace}"><SessionHeader><sessionId>{token or self.token}'
            f"</sessionId></SessionHeader>{header}</e:Header>"
            f'<e:Body xmlns="{namespace}">{body}</e:Body></e:Envelope>'
        )
        return await self.raw(envelope.encode(), path)

    async def raw(self, envelope: bytes, path: str = "m/63.0") -> list[Element]:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        url = f"{self.base}/services/Soap/{path}"
        async with self.http.post(url, data=envelope, headers=headers) as got:
            content = parse(await got.read()).child("Body")
            assert content is not None
            answer = content.children[0]
            if answer.name == "Fault":
                assert got.status == 500
                raise Fault(answer.get("faultcode") or "", answer.get("faultstring") or "")
            assert got.status == 200
            return list(answer.children)

    async def one(self, body: str, **more: Any) -> Element:
        """Ask an operation that has one result."""
        (result,) = await self.soap(body, **more)
        return result

    async def refused(self, body: str) -> tuple[str, str]:
        """Ask an operation that fails: its status code and message."""
        result = await self.one(body)
        errors = result.child("errors")
        assert errors is not None, result
        assert result.get("success") == "false"
        return errors.get("statusCode") or "", errors.get("message") or ""

    async def rest(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.base}/services/data/v63.0/tooling{path}"
        async with self.http.request(method, url, json=body, headers=headers) as got:
            return got.status, await got.json() if await got.read() else None

    async def query(self, soql: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.base}/services/data/v63.0/tooling/query"
        async with self.http.get(url, params={"q": soql}, headers=headers) as got:
            answer = await got.json()
            assert got.status == 200, answer
            return answer["records"]

    async def deploy(self, files: Mapping[str, bytes | str], **options: bool) -> Element:
        """Deploy a zip of these files and wait for the end of it."""
        return await self.finish(await self.start(zipped(files), **options))

    async def start(self, data: bytes, **options: bool) -> str:
        chosen = {"rollbackOnError": True, "singlePackage": True} | options
        written = "".join(f"<{k}>{str(v).lower()}</{k}>" for k, v in sorted(chosen.items()))
        content = base64.b64encode(data).decode()
        result = await self.one(
            f"<deploy><ZipFile>{content}</ZipFile><DeployOptions>{written}</DeployOptions></deploy>"
        )
        return result.get("id") or ""

    async def finish(self, id: str) -> Element:
        async with asyncio.timeout(DEADLINE):
            while (result := await self.check(id)).get("done") != "true":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return result

    async def check(self, id: str) -> Element:
        return await self.one(
            f"<checkDeployStatus><asyncProcessId>{id}</asyncProcessId>"
            "<includeDetails>true</includeDetails></checkDeployStatus>"
        )

    async def listed(self, type: str) -> list[str]:
        body = f"<listMetadata><queries><type>{type}</type></queries></listMetadata>"
        return [each.get("fullName") or "" for each in await self.soap(body)]

    async def create_message(self, name: str = "Opportunity.Tell") -> Element:
        result = await self.one(save("create", message(self.user.username, name)))
        assert result.get("success") == "true", result
        return result


class Salesforce:
    """A Salesforce that runs, in which every test has an org of its own."""

    def __init__(self, http: aiohttp.ClientSession, base: str, app: Starlette) -> None:
        self._http, self._base, self._app = http, base, app

    def sign_in(self, *, production: bool = False) -> Caller:
        """Sign in to a new org."""
        world: World = self._app.state.world
        org = new_org(world, f"trees-{len(world.orgs)}", production=production)
        automation.install(org, self._app.state.sender)
        return Caller(self._http, self._base, world, org)


@asynccontextmanager
async def running(deploy_takes: float = 0.001) -> AsyncIterator[Salesforce]:
    """Run a Salesforce."""
    app = create_app(Settings(clock=lambda: 1_750_000_000.0, deploy_takes=deploy_takes))
    async with serving(app) as base, aiohttp.ClientSession() as http:
        yield Salesforce(http, base, app)


def save(verb: str, *metadata: str, type: str = "WorkflowOutboundMessage") -> str:
    each = "".join(f'<metadata xsi:type="{type}">{m}</metadata>' for m in metadata)
    return f"<{verb}Metadata>{each}</{verb}Metadata>"


def message(
    user: str,
    name: str | None = "Opportunity.Tell",
    *,
    url: str = "http://127.0.0.1:9/hooks/1",
    fields: tuple[str, ...] = ("Id", "Amount"),
    label: str = "Tell",
) -> str:
    """Write the elements of an outbound message in their order."""
    return (
        (f"<fullName>{name}</fullName>" if name else "")
        + f"<apiVersion>63.0</apiVersion><endpointUrl>{escape(url)}</endpointUrl>"
        + "".join(f"<fields>{field}</fields>" for field in fields)
        + f"<includeSessionId>false</includeSessionId><integrationUser>{user}</integrationUser>"
        + f"<name>{label}</name><protected>false</protected>"
    )


def workflow(*messages: str, rules: tuple[str, ...] = ()) -> str:
    content = "".join(f"<outboundMessages>{m}</outboundMessages>" for m in messages)
    content += "".join(f"<rules>{r}</rules>" for r in rules)
    return f'<Workflow xmlns="{NAMESPACE}">{content}</Workflow>'


def flow(
    *messages: str,
    status: str = "Active",
    recording: str = "Update",
    formula: str | None = "ISCHANGED({!$Record.Amount})",
    object: str = "Opportunity",
    label: str = "Tell them",
    start: str = "",
    more: str = "",
) -> str:
    """Write a flow that sends outbound messages, one after the other."""
    actions = ""
    for at, name in enumerate(messages):
        following = f"Send_{at + 1}"
        connector = f"<connector><targetReference>{following}</targetReference></connector>"
        actions += (
            f"<actionCalls><name>Send_{at}</name><label>Send</label><locationX>0</locationX>"
            f"<locationY>0</locationY><actionName>{name}</actionName>"
            f"<actionType>outboundMessage</actionType>{connector if at + 1 < len(messages) else ''}"
            "<flowTransactionModel>CurrentTransaction</flowTransactionModel></actionCalls>"
        )
    condition = f"<filterFormula>{escape(formula)}</filterFormula>" if formula else ""
    first = "<connector><targetReference>Send_0</targetReference></connector>" if messages else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Flow xmlns="{NAMESPACE}">{actions}'
        f"<apiVersion>63.0</apiVersion><interviewLabel>Tell</interviewLabel><label>{label}</label>"
        f"{more}<processType>AutoLaunchedFlow</processType><start><locationX>0</locationX>"
        f"<locationY>0</locationY>{first}{condition}<object>{object}</object>"
        f"<recordTriggerType>{recording}</recordTriggerType>{start}"
        f"<triggerType>RecordAfterSave</triggerType></start><status>{status}</status></Flow>"
    )


def definition(number: int | None) -> str:
    active = "" if number is None else f"<activeVersionNumber>{number}</activeVersionNumber>"
    return f'<FlowDefinition xmlns="{NAMESPACE}">{active}</FlowDefinition>'


def zipped(files: Mapping[str, bytes | str]) -> bytes:
    """Make a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def listing(**members: str) -> bytes:
    """Write a manifest; several members of a type are separated by blanks."""
    types = ""
    for type, names in members.items():
        inside = "".join(f"<members>{name}</members>" for name in names.split())
        types += f"<types>{inside}<name>{type}</name></types>"
    package = f'<Package xmlns="{NAMESPACE}">{types}<version>63.0</version></Package>'
    return package.encode()


def problems(result: Element) -> list[str]:
    """Tell what went wrong in a deploy."""
    details = result.child("details")
    assert details is not None
    return [failure.get("problem") or "" for failure in details.all("componentFailures")]


def package(user: str, *, name: str = "Tell", version: str = "", **of_flow: Any) -> dict[str, Any]:
    """Make the files of a package with an outbound message and the flow that fires it."""
    return {
        "package.xml": listing(WorkflowOutboundMessage=f"Opportunity.{name}", Flow=name),
        "workflows/Opportunity.workflow": workflow(message(user, name, label=f"Tell{version}")),
        f"flows/{name}.flow": flow(f"Opportunity.{name}", **of_flow),
    }
