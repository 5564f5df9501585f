"""Tests of drafts: those that stand in the document are run, and an execution becomes one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request
from pydantic import Field

from halflap.api.asking import Ops, needs, router_of
from halflap.api.draft_runs import all_of, asked_of, opened_at, recorded
from halflap.api.draft_view import DraftChangesView
from halflap.api.drafts import Revision, changes_view, tag_of
from halflap.api.masking import without_links
from halflap.api.principal import OBJECTS, HiddenPayloads
from halflap.api.view import Input, JsonObject, TaggedView, Text, View
from halflap.errors import ConfigError, DefinitionError
from halflap.lowcode.outline.nodes import Path
from halflap.lowcode.rewrite.edits import difference

router = router_of("/api/drafts", "drafts")


class TestsRun(Input):
    """Tests of a draft to be run."""

    names: Annotated[list[str], Field(max_length=1_000)] | None = None
    """Their names; left out, all are run."""
    revision: int | None = None
    """The revision that they are for; where the draft has another by now, 409."""


class TestResultView(View):
    """The result of a test of a draft."""

    at: int
    """Its place among the draft's `tests`."""
    name: str
    flow: str
    passed: bool
    message: str
    """The difference; empty where it passed."""
    warnings: list[str]
    """Of a test that passed, the stubs that were never called."""
    line: int
    """The place in the text of what differs; of a test that passed, that of the test."""
    column: int
    took_ms: float


class MissedPart(View):
    """A step or a branch that no test ran."""

    path: Path
    line: int
    message: str


class TestsRan(View):
    """The results of a draft's tests."""

    revision: int
    items: list[TestResultView]
    coverage: int
    """The part of the document that these tests ran, in per cent."""
    missed: list[MissedPart]


class TestOfExecution(Input):
    """A test to be made of an execution."""

    execution: Text
    name: Text | None = None
    """The test's name; that of the flow and the execution otherwise."""


class TestOfRun(Input):
    """A test to be completed: the event, stubs and end of a run of a draft."""

    test: JsonObject
    revision: int | None = None
    """The revision that it is for; where the draft has another by now, 409."""


class TestExpected(View):
    """A test with what it expects."""

    test: JsonObject
    left_out: list[str]
    """The values that the test does not compare, as they differ each time."""


class TestMade(TaggedView):
    """A test that was made of an execution, with what happened to the draft."""

    name: str
    left_out: list[str]
    """The values that the test does not compare, as they differ each time."""
    changes: DraftChangesView


@router.post("/{draft}/tests")
@needs("publish", audited="no")
async def run_draft_tests(
    request: Request, draft: str, wanted: TestsRun, operations: Ops
) -> TestsRan:
    """Run the tests that stand in a draft, all or some, and say what differs, and where.

    They run in a process with limits of time and memory; nothing is called or kept.
    """
    opened = await opened_at(operations, draft, wanted.revision)
    given = {**await asked_of(operations, opened), "names": wanted.names}
    *results, (_, end) = await all_of(request, operations, "tests", given)
    refused(end)
    return TestsRan(
        revision=opened.stored.revision,
        items=[TestResultView.model_validate(each) for _, each in results],
        coverage=end["coverage"],
        missed=end["missed"],
    )


@router.post("/{draft}/tests/from")
@needs("publish", "payloads")
async def make_draft_test(
    request: Request, draft: str, wanted: TestOfExecution, operations: Ops, if_match: Revision
) -> TestMade:
    """Add a test of an execution to a draft, as an edit; it has passed once, and secrets are hidden.

    All who read the draft see what is in it: it is 422 for an execution of a private customer.
    422 where the draft goes another way than the execution went, with the first difference.
    """
    opened = await opened_at(operations, draft, if_match)
    found = await recorded(request, operations, opened, wanted.execution)
    customer = request.scope[OBJECTS]["customer"]
    if customer in HiddenPayloads(private=await operations.catalogue.customers.private()):
        raise ConfigError(
            "the payloads of this customer are private, and all who read the draft would see them; "
            "write this test by hand",
            fields={"execution": "is of a private customer"},
        )
    given = {
        **await asked_of(operations, opened),
        "recorded": without_links(found),
        "name": wanted.name,
    }
    told = await all_of(request, operations, "record", given)
    refused(told[-1][1])
    made: dict[str, Any] = told[0][1]
    patch, _ = difference(opened.stored.content, made["text"])
    changes = await operations.drafts.edit(draft, if_match, [patch])
    shown = await changes_view(operations, changes)
    view = TestMade(name=made["name"], left_out=made["left_out"], changes=shown)
    return view.with_tag(tag_of(changes.opened))


@router.post("/{draft}/tests/expect")
@needs("publish", audited="no")
async def expect_draft_test(
    request: Request, draft: str, wanted: TestOfRun, operations: Ops
) -> TestExpected:
    """Return a test of a run with what it expects: the calls with their inputs, and what is kept.

    It is run once, and not added to the draft. 422 where it goes another way than the run did.
    """
    opened = await opened_at(operations, draft, wanted.revision)
    given = {**await asked_of(operations, opened), "test": wanted.test}
    told = await all_of(request, operations, "expect", given)
    refused(told[-1][1])
    return TestExpected.model_validate(told[0][1])


def refused(end: dict[str, Any]) -> None:
    """Raise `DefinitionError` where something could not be run to its end."""
    if end.get("state") == "refused":
        raise DefinitionError(end["reason"], where=end["where"] or None)
