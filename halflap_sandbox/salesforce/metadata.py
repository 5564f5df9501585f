"""The Metadata API: metadata read and written one by one, and by the zip."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused, Route
from halflap_sandbox.salesforce.catalog import FILES, KINDS, find_kind, rename, snapshot
from halflap_sandbox.salesforce.component import Author, Kind, Listed, Misplaced, Problem, Saved
from halflap_sandbox.salesforce.deployment import (
    Deployment,
    Options,
    Report,
    Retrieval,
    decode_zip,
    keep,
)
from halflap_sandbox.salesforce.markup import METADATA, Element, element, nil, optional
from halflap_sandbox.salesforce.model import Org, User
from halflap_sandbox.salesforce.soap import Asked, serve

T = TypeVar("T")
MOST = 10
MOST_QUERIES = 3


async def metadata(call: Call) -> Response:
    """Answer the Metadata API."""
    return serve(call, OPERATIONS, namespace=METADATA)


def _describe(asked: Asked) -> list[Element]:
    described = [
        element(
            "metadataObjects",
            *(element("childXmlNames", name) for name in each.children),
            element("directoryName", each.directory),
            element("inFolder", False),
            element("metaFile", False),
            element("suffix", each.suffix),
            element("xmlName", each.name),
        )
        for each in FILES
    ]
    return [
        element(
            "result",
            *described,
            element("organizationNamespace"),
            element("partialSaveAllowed", not asked.session.org.production),
            element("testRequired", asked.session.org.production),
        )
    ]


def _list(asked: Asked) -> list[Element]:
    queries = asked.operation.all("queries")
    if len(queries) > MOST_QUERIES:
        raise Refused(500, "EXCEEDED_ID_LIMIT", f"Too many queries: at most {MOST_QUERIES}")
    results: list[Element] = []
    for query in queries:
        type = query.get("type") or ""
        results += [
            _properties("result", asked.session.org, asked.session.user, type, listed)
            for listed in _listed(asked.session.org, type)
        ]
    return results


def _listed(org: Org, type: str) -> list[Listed]:
    if (kind := KINDS.get(type)) is not None:
        return kind.listed(org)
    described = next((each for each in FILES if each.name == type), None)
    if described is None:
        raise Refused(500, "INVALID_TYPE", f"Unknown type:{type}")
    inside = [each for child in described.children for each in KINDS[child].listed(org)]
    names = {each.full_name.partition(".")[0]: each.file_name for each in inside}
    return [Listed(name, "", file) for name, file in names.items()]


def _properties(name: str, org: Org, user: User, type: str, listed: Listed) -> Element:
    stamp = org.stamps.get(listed.id)
    by, changed_by = (stamp.created_by, stamp.modified_by) if stamp else (user, user)
    return element(
        name,
        element("createdById", by.id),
        element("createdByName", by.display_name),
        element("createdDate", _date(stamp.created_at if stamp else org.now())),
        element("fileName", listed.file_name),
        element("fullName", listed.full_name),
        element("id", listed.id),
        element("lastModifiedById", changed_by.id),
        element("lastModifiedByName", changed_by.display_name),
        element("lastModifiedDate", _date(stamp.modified_at if stamp else org.now())),
        element("manageableState", "unmanaged"),
        element("type", type),
    )


def _date(timestamp: str) -> str:
    return timestamp.removesuffix("+0000") + "Z"


def _read(asked: Asked) -> list[Element]:
    kind = _kind(asked)
    names = _limited(asked.operation.texts("fullNames"))
    records = [kind.read(asked.session.org, name) or nil("records") for name in names]
    return [element("result", *records)]


def _save(*, create: bool, update: bool) -> Callable[[Asked], list[Element]]:
    def save(asked: Asked) -> list[Element]:
        given = _limited(asked.operation.all("metadata"))
        author = _author(asked)

        def one(metadata: Element) -> Saved:
            kind = find_kind(metadata.type or "")
            author.check_may_save(kind.type)
            return kind.save(author, metadata, create=create, update=update)

        names = [metadata.get("fullName") or "" for metadata in given]
        types = {metadata.type for metadata in given}
        if len(types) > 1:
            raise Refused(500, "INVALID_TYPE", "All metadata of a call must be of one type")
        return _each(asked, names, [lambda m=m: one(m) for m in given], upsert=create and update)

    return save


def _delete(asked: Asked) -> list[Element]:
    kind, author = _kind(asked), _author(asked)
    names = _limited(asked.operation.texts("fullNames"))
    return _each(asked, names, [lambda n=n: kind.delete(author, n) for n in names])


def _rename(asked: Asked) -> list[Element]:
    old, new = asked.operation.get("oldFullName") or "", asked.operation.get("newFullName") or ""
    type = asked.operation.get("type") or ""
    return _each(asked, [old], [lambda: rename(_author(asked), type, old, new)])


def _each(
    asked: Asked, names: list[str], works: list[Callable[[], Saved | str]], *, upsert: bool = False
) -> list[Element]:
    """Do each, with a result for each; with `allOrNone` either all are done or none is."""
    restore = snapshot(asked.session.org)
    outcomes: list[Saved | str | Problem] = []
    for work in works:
        try:
            outcomes.append(work())
        except Misplaced as misplaced:
            restore()
            raise Refused(500, "Client", misplaced.message) from misplaced
        except Problem as problem:
            outcomes.append(problem)
    if asked.all_or_none and any(isinstance(o, Problem) for o in outcomes):
        restore()
        code = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        undone = Problem(code, "Record rolled back because not all records were valid")
        outcomes = [o if isinstance(o, Problem) else undone for o in outcomes]
    return [_result(n, o, upsert=upsert) for n, o in zip(names, outcomes, strict=True)]


def _result(name: str, outcome: Saved | str | Problem, *, upsert: bool) -> Element:
    created = isinstance(outcome, Saved) and outcome.created
    errors = None
    if isinstance(outcome, Problem):
        fields = [element("fields", field) for field in outcome.fields or ()]
        message = element("message", outcome.message)
        errors = element("errors", *fields, message, element("statusCode", outcome.code))
    return element(
        "result",
        element("created", created) if upsert else None,
        errors,
        element("fullName", name),
        element("success", errors is None),
    )


def _deploy(asked: Asked) -> list[Element]:
    given = asked.operation.child("DeployOptions") or element("DeployOptions")
    org = asked.session.org
    options = Options(
        check_only=given.true("checkOnly"),
        rollback_on_error=given.true("rollbackOnError"),
        single_package=given.true("singlePackage"),
        ignore_warnings=given.true("ignoreWarnings"),
        allow_missing_files=given.true("allowMissingFiles"),
        runs_tests=bool(given.get("testLevel")),
    )
    if org.production and not options.rollback_on_error:
        message = "rollbackOnError must be true when deploying to a production organization"
        raise Refused(500, "INVALID_OPERATION", message)
    deployment = Deployment(
        id=org.new_id("0Af"),
        author=_author(asked),
        options=options,
        data=decode_zip(asked.operation.get("ZipFile") or ""),
        created_at=org.now(),
    )
    _start(asked, deployment)
    return [_queued(deployment.id)]


def _check_deploy(asked: Asked) -> list[Element]:
    deployment = _find_deployment(asked)
    return [_deploy_result(deployment, details=asked.operation.true("includeDetails"))]


def _cancel_deploy(asked: Asked) -> list[Element]:
    deployment = _find_deployment(asked)
    if deployment.done:
        message = "Deployment already completed"
        raise Refused(500, "INVALID_ID_FIELD", message)
    deployment.cancel()
    return [element("result", element("done", True), element("id", deployment.id))]


def _retrieve(asked: Asked) -> list[Element]:
    org = asked.session.org
    # Clients differ in the name of the one parameter; the real one takes it by its place.
    request = asked.operation.children[0] if asked.operation.children else element("request")
    retrieval = Retrieval(
        id=org.new_id("09S"),
        author=_author(asked),
        wanted=request.child("unpackaged") or element("unpackaged"),
        single=request.true("singlePackage"),
    )
    _start(asked, retrieval)
    return [_queued(retrieval.id)]


def _check_retrieve(asked: Asked) -> list[Element]:
    found = _find(asked)
    if not isinstance(found, Retrieval):
        raise _unknown_id(asked)
    org, user = asked.session.org, asked.session.user
    files = [
        _properties("fileProperties", org, user, part.type, Listed(part.full_name, "", part.file))
        for part in found.parts
    ]
    messages = [
        element("messages", element("fileName", "package.xml"), element("problem", message))
        for message in found.messages
    ]
    with_zip = found.done and (asked.operation.get("includeZip") or "true").lower() != "false"
    packed = base64.b64encode(found.zip).decode() if with_zip else ""
    return [
        element(
            "result",
            element("done", found.done),
            *files,
            element("id", found.id),
            *messages,
            element("status", found.status if found.done else "InProgress"),
            element("success", found.done),
            element("zipFile", packed) if packed else nil("zipFile"),
        )
    ]


def _deploy_result(deployment: Deployment, *, details: bool) -> Element:
    reports = [r for r in deployment.reports if r.file != "package.xml" or not r.success]
    user, done = deployment.author.user, deployment.done
    undone = deployment.options.rollback_on_error and bool(deployment.failures)
    deployed = 0 if undone else sum(report.success for report in reports)
    return element(
        "result",
        element("canceledBy", user.id) if deployment.status == "Canceled" else None,
        element("checkOnly", deployment.options.check_only),
        element("completedDate", _date(deployment.completed_at))
        if deployment.completed_at
        else None,
        element("createdBy", user.id),
        element("createdByName", user.display_name),
        element("createdDate", _date(deployment.created_at)),
        _details(deployment) if details else element("details"),
        element("done", done),
        optional("errorMessage", deployment.error),
        element("errorStatusCode", "UNKNOWN_EXCEPTION") if deployment.error else None,
        element("id", deployment.id),
        element("ignoreWarnings", deployment.options.ignore_warnings),
        element("lastModifiedDate", _date(deployment.completed_at or deployment.created_at)),
        element("numberComponentErrors", len(deployment.failures)),
        element("numberComponentsDeployed", deployed),
        element("numberComponentsTotal", len(reports)),
        element("numberTestErrors", 0),
        element("numberTestsCompleted", 0),
        element("numberTestsTotal", 0),
        element("rollbackOnError", deployment.options.rollback_on_error),
        element("runTestsEnabled", deployment.options.runs_tests),
        element("startDate", _date(deployment.created_at)),
        element("status", deployment.status if done else "InProgress"),
        element("success", deployment.status in {"Succeeded", "SucceededPartial"}),
    )


def _details(deployment: Deployment) -> Element:
    reports = deployment.reports
    at = _date(deployment.completed_at or deployment.created_at)
    return element(
        "details",
        *(_message("componentFailures", r, at) for r in reports if not r.success),
        *(_message("componentSuccesses", r, at) for r in reports if r.success),
        element(
            "runTestResult",
            element("numFailures", 0),
            element("numTestsRun", 0),
            element("totalTime", "0.0"),
        ),
    )


def _message(name: str, report: Report, at: str) -> Element:
    kind = "Warning" if report.warning else "Error"
    return element(
        name,
        element("changed", report.changed),
        element("columnNumber", 1) if report.line else None,
        element("componentType", report.type),
        element("created", report.created),
        element("createdDate", at),
        element("deleted", report.deleted),
        element("fileName", report.file),
        element("fullName", report.full_name),
        optional("id", report.id),
        element("lineNumber", report.line) if report.line else None,
        optional("problem", report.problem),
        element("problemType", kind) if report.problem else None,
        element("success", report.success),
    )


def _start(asked: Asked, work: Deployment | Retrieval) -> None:
    keep(asked.session.org, work)
    asyncio.get_running_loop().call_later(asked.call.settings.deploy_takes, work.run)


def _queued(id: str) -> Element:
    done, state = element("done", False), element("state", "Queued")
    return element("result", done, element("id", id), state)


def _find(asked: Asked) -> object:
    # `cancelDeploy` calls its only parameter `String`.
    id = asked.operation.children[0].text if asked.operation.children else ""
    found = asked.session.org.deployments
    return next((each for key, each in found.items() if id in (key, key[:15])), None)


def _find_deployment(asked: Asked) -> Deployment:
    if not isinstance(found := _find(asked), Deployment):
        raise _unknown_id(asked)
    return found


def _unknown_id(asked: Asked) -> Refused:
    id = asked.operation.children[0].text if asked.operation.children else ""
    return Refused(500, "INVALID_ID_FIELD", f"Invalid asyncId: {id}")


def _kind(asked: Asked) -> Kind:
    type = asked.operation.get("type") or ""
    if type not in KINDS:
        raise Refused(500, "INVALID_TYPE", f"Unknown type:{type}")
    return KINDS[type]


def _author(asked: Asked) -> Author:
    return Author(asked.session.org, asked.session.user)


def _limited(values: list[T]) -> list[T]:
    if len(values) > MOST:
        raise Refused(500, "EXCEEDED_ID_LIMIT", f"record limit reached: at most {MOST} of them")
    return values


OPERATIONS = {
    "describeMetadata": _describe,
    "listMetadata": _list,
    "readMetadata": _read,
    "createMetadata": _save(create=True, update=False),
    "updateMetadata": _save(create=False, update=True),
    "upsertMetadata": _save(create=True, update=True),
    "deleteMetadata": _delete,
    "renameMetadata": _rename,
    "deploy": _deploy,
    "checkDeployStatus": _check_deploy,
    "cancelDeploy": _cancel_deploy,
    "retrieve": _retrieve,
    "checkRetrieveStatus": _check_retrieve,
}

ROUTES: list[Route] = [
    ("POST", "/services/Soap/m/{version}", metadata),
    ("POST", "/services/Soap/m/{version}/{org:path}", metadata),
]
