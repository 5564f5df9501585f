"""Lint of documents, for editors and the designer: text in, findings out; nothing is kept or run."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from halflap.api.asking import Ops, body_of, needs, router_of
from halflap.api.operations.linting import declared_for
from halflap.api.problem import documented
from halflap.api.stream import unless_gone
from halflap.api.view import FindingView, JsonObject
from halflap.lowcode.document import json_schema
from halflap.lowcode.lint import RULES
from halflap.lowcode.source import MOST_BYTES

LARGEST = 2 * MOST_BYTES
"""The most bytes of a request; a document may be half as large, and one between is refused by name.
"""

INSTEAD = {each.code: each.instead for each in RULES}

router = router_of("/api", "integrations")
document_body = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
}


@router.post("/lint", openapi_extra=document_body, responses=documented(413))
@needs("publish", audited="no")
async def lint_document(
    request: Request,
    operations: Ops,
    integration: Annotated[
        str | None, Query(description="Whose own components the document may name.")
    ] = None,
    version: Annotated[
        str, Query(description="Of that integration: a number, hash or target.")
    ] = "dev",
) -> list[FindingView]:
    """Return the findings of a YAML integration, in order of place; it is neither stored nor run.

    The body is the document's text as UTF-8; a text that is no document has its finding too.
    """
    own = b"{}"
    if integration is not None:
        found = await operations.versions.get(integration, version)
        own = await operations.versions.components(found.hash)
    content = await body_of(request, LARGEST)
    caller = (operations.principal.id, request.client and request.client.host)
    text = content.decode(errors="replace")
    declared = await declared_for(text, operations.catalogue)
    linting = operations.linting.lint(content, "", own, caller, declared)
    findings = await unless_gone(request.receive, linting) or []
    return [FindingView.of(each, instead=INSTEAD[each.code]) for each in findings]


@router.get("/schema")
@needs("read")
async def get_document_schema() -> JsonObject:
    """The JSON Schema of documents: their parts, and the fields of each kind of step."""
    return json_schema()
