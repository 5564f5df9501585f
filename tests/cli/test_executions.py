"""Lists of executions, of failures and of bulks as the command line shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from halflap.api.execution_view import (
    BulkView,
    CauseInstance,
    CauseView,
    ExecutionSummary,
    GroupView,
    LeftOutView,
    OverwritingView,
    PlanView,
    RefusalView,
    WaitView,
)
from halflap.cli.bulk import bulk_lines, follow, plan_lines
from halflap.cli.executions import execution_table, failure_table
from halflap.cli.output import Output, ago
from halflap.cli.record import clock
from tests.cases import for_each
from tests.cli.views import made


def at(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


DUE = "2126-03-01T10:05:00Z"


def execution(**more: Any) -> ExecutionSummary:
    whose = {"customer": "cus_1", "customer_name": "Initech", "instance": "ins_1"}
    known = {"id": "exe_1", "flow": "orders", **whose, "instance_name": "shop", "state": "queued"}
    return made(ExecutionSummary, **{**known, **more})


def wait(reason: str, message: str, **more: Any) -> WaitView:
    return made(WaitView, reason=reason, message=message, **more)


@for_each(
    ("found", "why"),
    [
        (execution(state="failed", reason="gone:\n410"), "gone: 410"),
        (execution(waiting=wait("order", "it came first")), "it came first"),
        (execution(waiting=wait("pause", "paused by Ada")), "paused by Ada"),
        (
            execution(waiting=wait("back-off", "its next try", until=DUE)),
            f"its next try, due {clock(DUE)} ({ago(DUE)})",
        ),
        (
            execution(waiting=wait("connection", "the app of erp is away: it answered 503")),
            "the app of erp is away: it answered 503",
        ),
    ],
)
def test_a_list_says_in_words_why_an_execution_does_not_go_on(
    capsys: pytest.CaptureFixture[str], found: ExecutionSummary, why: str
) -> None:
    execution_table(Output(), [found], "")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "flow", "instance", "state", "accepted", "took", "waited", "why"]
    assert line.startswith("exe_1  orders  Initech/shop  ")
    assert line.endswith(f"  {why}")


def test_a_list_marks_what_was_replayed_or_dismissed(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        execution(id="exe_4", state="succeeded", replay_of="exe_3"),
        execution(id="exe_3", state="failed", dismissed=True, replay_of="exe_1"),
        execution(id="exe_2", state="failed", dismissed=True),
        execution(id="exe_1", state="failed", dismissed=True),
        execution(id="exe_0", state="failed"),
    ]
    execution_table(Output(), found, "")
    _, *lines = capsys.readouterr().out.splitlines()
    assert [each.split("  ")[3] for each in lines] == [
        "succeeded",
        "failed, replayed: succeeded",
        "failed, dismissed or replayed",
        "failed, replayed: failed",
        "failed",
    ]


INITECH = {"id": "ins_1", "name": "shop", "customer_name": "Initech"}


@for_each(
    ("where", "told"),
    [
        ({"instances": [INITECH], "instance_count": 1, "customer_count": 1}, "Initech/shop"),
        (
            {"instances": [INITECH, INITECH], "instance_count": 2, "customer_count": 1},
            "2 instances of Initech",
        ),
        (
            {"instances": [INITECH, INITECH], "instance_count": 9, "customer_count": 4},
            "9 instances of 4 customers",
        ),
        (
            {
                "instances": [{"id": "ins_9", "name": None, "customer_name": None}],
                "instance_count": 1,
                "customer_count": 1,
            },
            "ins_9",
        ),
    ],
)
def test_failures_say_whose_they_are_since_when_and_until_when(
    capsys: pytest.CaptureFixture[str], where: dict[str, Any], told: str
) -> None:
    group = {
        "count": 1200, "cause": "3f2a9c1b7d10", "flows": ["orders"], "text": "UpstreamError (503)",
        "first_at": at(hours=30), "last_at": at(minutes=4),
        **where, "instances": [CauseInstance(**each) for each in where["instances"]],
    }  # fmt: skip
    failure_table(Output(), [CauseView.model_construct(**group)], "")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["count", "cause", "flows", "where", "first", "last", "why"]
    assert line.split("  ") == [
        "1,200", "3f2a9c1b7d10", "orders", told, "30 h ago", "4 min ago", "UpstreamError (503)",
    ]  # fmt: skip


def test_a_plan_says_customers_and_causes(capsys: pytest.CaptureFixture[str]) -> None:
    group = made(
        GroupView, instance_name="shop", customer_name="Initech", version="a" * 64,
        cause="3f2a9c1b7d10", reason="gone", state="failed", count=2,
    )  # fmt: skip
    left = LeftOutView(why="exe_9 replays it", count=1, execution="exe_1")
    times = {"first_at": at(hours=30), "last_at": at(hours=4)}
    over = OverwritingView(integration="shop", flow="orders", count=1, **times)
    more = {"groups": [group], "left_out": [left], "overwrites": [over]}
    plan = made(PlanView, do="replay", total=2, examined=2, changed=1, **more)
    plan_lines(Output(), plan)
    out = capsys.readouterr().out
    assert "1 of them: the version or the config is another one since" in out
    values = "values of 30 h ago to 4 h ago may overwrite newer ones at the app"
    assert f"the flow orders does not compare what it writes: {values}" in out
    assert "Initech/shop" in out
    assert "failed  3f2a9c1b7d10  gone" in out
    assert "1  exe_1  exe_9 replays it" in out
    assert out.startswith("1 of 2 executions would be replayed\n")


def test_a_bulk_that_has_ended_says_how_its_replays_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bulk = BulkView.model_construct(
        id="blk_1", do="replay", state="succeeded", reason="", total=3, done=3,
        refused=0, refusals=[], started={"succeeded": 2, "failed": 1},
    )  # fmt: skip
    bulk_lines(Output(), bulk)
    said = capsys.readouterr()
    assert "its replays: 2 succeeded, 1 failed" in said.out
    assert "halflap executions list --bulk blk_1 --failed" in said.err
    assert "no longer needed it" not in said.out
    refusals = [RefusalView(id="exe_1", why="gone")]
    more = {"total": 8, "refused": 1, "refusals": refusals}
    bulk_lines(Output(), bulk.model_copy(update=more))
    out = capsys.readouterr().out
    assert "replayed 3 of 8" in out
    assert "1 could not be:" in out
    assert "4 no longer needed it: replayed or dismissed since, or run again by" in out


class Bulks:
    """An API that has a bulk of 250, which has come further each time that it is asked."""

    runs = True

    def __init__(self) -> None:
        self.come = [100, 200, 250]

    async def get(self, *_: Any) -> BulkView:
        done = self.come.pop(0)
        state = "running" if self.come else "succeeded"
        found = {
            "id": "blk_1", "do": "replay", "state": state, "total": 250, "done": done, "refused": 0,
            "refusals": [], "stages": [], "reason": "", "wanted": {}, "made_at": at(hours=1),
            "ended_at": None,
        }  # fmt: skip
        return BulkView.model_validate(found)


async def test_the_progress_of_a_bulk_is_shown_to_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halflap.cli.bulk.LOOKS_EVERY", 0)
    api: Any = Bulks()
    await follow(api, Output(), await api.get())
    first, *told = capsys.readouterr().err.splitlines()
    assert first.startswith("blk_1: goes on at the server")
    assert told == ["100 of 250", "200 of 250", "250 of 250"]

    api.come = [250]
    await follow(api, Output(), await api.get())
    said = capsys.readouterr()
    assert (said.err, said.out) == ("", "blk_1  succeeded  replayed 250\n")
