"""An execution as a support person reads it."""

import re
from typing import Any

from click.testing import CliRunner
from rich.console import Console

from halflap.api.execution_view import AttemptView, ExecutionView, FailureView, StepView, WaitView
from halflap.api.view import PauseView
from halflap.cli.output import Output
from halflap.cli.record import DoubtsBelow, clock, execution_lines
from tests.cases import for_each
from tests.cli.views import AT, made

LATER = "2126-03-01T10:05:00.000000Z"


def step(name: str, **more: Any) -> StepView:
    known = {"path": name, "kind": "step", "name": name, "title": name.title()}
    return made(StepView, **{**known, "status": "succeeded", "tries": 1, **more})


def failure(
    message: str, place: str = "", source: str = "", *, in_doubt: bool = False
) -> FailureView:
    file, _, number = place.partition(":")
    trace = f'  File "{file}", line {number}, in {source}\n    {source}()\n' if place else ""
    more = {"message": message, "where": place, "trace": trace, "in_doubt": in_doubt}
    return made(FailureView, kind="ValueError", **more)


def attempt(number: int, how: str, why: FailureView | None = None) -> AttemptView:
    return made(AttemptView, number=number, how=how, failure=why)


def execution(*steps: StepView, **more: Any) -> ExecutionView:
    whose = {"customer": "cus_1", "customer_name": "Initech", "instance": "ins_1"}
    flow = {"instance_name": "stock", "integration": "stock", "flow": "move"}
    version = {"version": {"hash": "a" * 64, "number": 1}}
    ended = {"attempt": 1, "state": "succeeded", "took_ms": 0.0, "waited_ms": 0.0}
    known = {"id": "exe_1", "root": "exe_1", **whose, **flow, **version, **ended}
    return made(ExecutionView, **{**known, "steps": list(steps), **more})


def waiting_for(reason: Any, message: str, **more: Any) -> WaitView:
    return made(WaitView, reason=reason, message=message, since=AT, **more)


def drawn(
    found: ExecutionView,
    *,
    full: bool = False,
    width: int = 200,
    below: DoubtsBelow | None = None,
) -> str:
    """Return what is shown of an execution, and what is offered next."""
    with CliRunner().isolation() as (out, err, _):
        output = Output()
        output.console = Console(file=output.console.file, width=width, color_system=None)
        execution_lines(output, found, [], below, full=full)
        return re.sub(r" +\n", "\n", (out.getvalue() + err.getvalue()).decode())


def test_each_step_says_what_it_was_given():
    shown = drawn(
        execution(
            step("add", inputs={"sku": "A-1", "count": 2, "$connection": "shop"}),
            step("add#2", inputs={"sku": "B-2", "count": 1}),
            step("put", kind="state", inputs=[1, 2]),
        )
    )
    assert 'sku="A-1"  count=2  connection="shop"' in shown
    assert 'sku="B-2"  count=1' in shown
    assert "[1,2]" in shown


def test_inputs_are_cut_to_the_terminals_width_unless_all_is_asked_for():
    found = execution(step("add", inputs={"note": "x" * 300, "last": "here"}, result="y" * 300))
    [line] = [each for each in drawn(found, width=60).splitlines() if "note=" in each]
    assert (len(line), line[-1]) == (60, "…")
    full = drawn(found, full=True, width=60)
    for said in ("x" * 300, 'last="here"', "y" * 300):
        assert said in full


def test_a_failed_step_is_shown_with_its_own_line_and_the_flows():
    inner = failure("none left", "acme.py:145", "remove_stock")
    outer = failure("Remove (remove) failed: none left", "warehouse.py:41", "moved")
    found = execution(step("remove", status="failed", failure=inner), state="failed", failure=outer)
    lines = [each.strip() for each in drawn(found).splitlines()]
    start = lines.index("Failed")
    assert lines[start + 1 : start + 6] == [
        "ValueError: none left",
        "acme.py:145 in remove_stock",
        "remove_stock()",
        "called at warehouse.py:41 in moved",
        "moved()",
    ]


def test_what_may_have_been_carried_out_is_looked_for_at_the_app_before_anything_else() -> None:
    def shown(*doubtful: str, in_doubt: bool = True) -> str:
        steps = [
            step(
                each,
                status="failed",
                failure=failure("no answer", in_doubt=in_doubt),
                inputs={"number": "A-7"},
            )
            for each in doubtful
        ]
        return drawn(execution(*steps, state="failed", failure=failure("Add (add) failed")))

    replay = "halflap executions replay exe_1"
    parts = (
        'First look at the app for what this would have made:\n  Add (add)\n    number="A-7"\n',
        f"{replay} --done 'RESULT'  # it was done",
        f"{replay} --repeat  # it was not done",
        "halflap executions dismiss exe_1",
    )
    places = [shown("add").index(each) for each in parts]
    assert places == sorted(places)
    assert f"{replay} --done 'RESULT' --step 'gather[1]/add'  # " in shown("gather[1]/add", "b")
    caught = step("add", status="failed", failure=failure("no answer", in_doubt=True))
    caught = caught.model_copy(update={"caught": True})  # a replay does not try it again
    left = drawn(execution(caught, step("b"), state="failed", failure=failure("no")))
    assert f"{replay}  # from the failed step" in left
    sure = shown("add", in_doubt=False)
    assert "look at the app" not in sure
    assert f"{replay}  # from the failed step" in sure
    assert f"{replay} --from start  # all of it" in sure


def test_a_call_in_doubt_names_the_step_in_doubt_and_its_execution() -> None:
    doubt = failure("lost").model_copy(update={"in_doubt": True, "where": "exe_2"})
    call = step("call(line)", kind="call", status="failed", failure=doubt)
    made = step("add", inputs={"number": "A-7"})
    shown = drawn(
        execution(call, state="failed", failure=doubt), below={"call(line)": ("exe_2", made)}
    )
    assert "  Add (add) of exe_2, by " in shown
    assert "(call(line))\n" in shown
    assert 'number="A-7"' in shown
    mended = drawn(execution(call, state="failed", failure=doubt), below={"call(line)": None})
    assert ("may have been carried out." in shown, "--done" in mended) == (True, False)


def test_a_step_that_was_said_to_be_done_says_by_whom() -> None:
    shown = drawn(
        execution(step("add", said_by="Ada"), step("put", said_by="", copied_from="exe_0"))
    )
    assert re.search(r"Add .* done, as Ada said\n", shown)
    assert re.search(r"Put .* from exe_0  done, as a person said\n", shown)


def test_a_step_that_a_crash_may_have_cut_may_have_been_done_twice() -> None:
    shown = drawn(
        execution(step("add"), step("put", cut_attempt=2), attempts=[attempt(2, "crashed")])
    )
    assert re.search(r"Put .* may have been done twice: attempt 2 was cut\n", shown)
    assert shown.count("twice") == 1


@for_each("more", [(), ("shop.add_stock",)])
def test_what_a_throw_judged_by_reads_alone_is_read_anew_first(more: tuple[str, ...]) -> None:
    thrown = failure("no such account").model_copy(update={"kind": "Thrown"})
    read = step("http.get"), step("acme.find_account"), step("state.get(x)", kind="state")
    found = execution(*read, *map(step, more), state="failed", failure=thrown)
    commands = [each.strip() for each in drawn(found).splitlines() if "executions replay" in each]
    kept = "halflap executions replay exe_1  # by what was read then: fails again, "
    start = "halflap executions replay exe_1 --from start  # reads anew what it judged"
    first, second = [each[each.index("halflap") :] for each in commands]
    if more:
        assert first.startswith(kept)
        assert second == f"{start}; does again: Shop.Add_Stock"
    else:
        assert (first, second.startswith(kept)) == (start, True)


def test_a_replay_that_was_refused_says_how_it_goes_on() -> None:
    refused = failure("was carried out with other inputs").model_copy(
        update={"kind": "Nondeterminism"}
    )
    shown = drawn(execution(step("add"), state="failed", failure=refused, replay_of="exe_0"))
    assert "halflap executions replay exe_1 --version same" in shown
    assert "--from start" not in shown


def test_a_step_of_a_built_in_component_leaves_only_the_flows_line():
    outer = failure("Get (get) failed: no", "warehouse.py:41", "moved")
    found = execution(
        step("get", status="failed", failure=failure("no")), state="failed", failure=outer
    )
    shown = drawn(found)
    assert "  warehouse.py:41 in moved" in shown
    assert "called at" not in shown


def test_between_tries_it_says_when_the_next_is_and_why_the_others_failed():
    waiting = step("add", status="retrying", failure=failure("busy"), due_at=LATER)
    attempts = [attempt(1, "retry", failure("away")), attempt(2, "retry", failure("busy"))]
    wait = waiting_for("back-off", "busy", until=LATER, number=3)
    more: dict[str, Any] = {"attempts": attempts, "due_at": LATER, "waiting": wait}
    shown = drawn(execution(waiting, state="queued", attempt=2, **more))
    assert f"try 3: busy, since {clock(AT)}, due {clock(LATER)} (" in shown
    assert re.search(rf"[↻~] Add .* busy; next try {clock(LATER)}", shown)
    assert re.search(r" 1  .*  ValueError: away\n +2  .*  ValueError: busy\n", shown)
    assert "2 attempts" in shown


def pause(what: Any, id: str, **more: Any) -> PauseView:
    return made(PauseView, what=what, id=id, **more)


def test_all_pauses_are_named_with_the_commands_that_end_them() -> None:
    paused = [
        pause("customer", "cus_1", reason="unpaid"),
        pause("flow", "ins_1", flow="move", by="Ada"),
    ]
    wait = waiting_for("pause", "paused: unpaid")
    shown = drawn(execution(state="queued", attempt=0, waiting=wait, paused=paused))
    assert re.search(r"it is paused: customer .*: unpaid; flow move .* by Ada", shown)
    assert "halflap customers resume Initech\n" in shown
    assert "halflap instances resume Initech/stock --flow move\n" in shown


@for_each("away", [True, False])
def test_what_waits_for_a_connection_says_how_to_mend_it(away: bool) -> None:
    until = LATER if away else None
    wait = waiting_for("connection", "the app is away", connection="con_1", until=until)
    shown = drawn(execution(state="queued", waiting=wait))
    assert "halflap connections show con_1" in shown
    assert "halflap connections test con_1" in shown
    assert ("halflap connections change con_1 --secret NAME=-" in shown) is not away


def test_a_new_execution_that_is_queued_waits_for_a_worker():
    waiting = waiting_for("turn", "a free worker")
    shown = drawn(execution(state="queued", attempt=0, due_at=AT, waiting=waiting))
    assert f"waits for    a free worker, since {clock(AT)}\n" in shown
    assert "try " not in shown
    assert "Attempts" not in shown


@for_each(("status", "mark"), [("retrying", "[‖=]"), ("succeeded", "[✓+]")])
def test_a_sleep_says_until_when_and_is_no_try(status, mark):
    asleep = step("sleep", kind="sleep", status=status, result={"until": LATER})
    found = execution(asleep, attempt=2, attempts=[attempt(1, "sleep")])
    shown = drawn(found)
    assert re.search(rf"{mark} Sleep until {clock(LATER)}\n", shown)
    assert "attempts" not in shown.lower()


def test_what_a_flow_waits_for_is_said_with_since_and_until_when():
    waiting = step(
        "wait_for(approved)",
        kind="signal",
        title="Wait for approved",
        status="retrying",
        result={"until": LATER},
    )
    found = execution(
        waiting,
        state="waiting",
        waiting=waiting_for("signal", "the signal approved", until=LATER),
        due_at=LATER,
        attempts=[attempt(1, "signal")],
    )
    shown = drawn(found)
    assert re.search(rf"[‖=] Wait for approved until {clock(LATER)}\n", shown)
    assert f"the signal approved, since {clock(AT)}, at the latest {clock(LATER)}" in shown
    assert "attempts" not in shown.lower()


def test_what_a_replay_took_over_is_not_shown_as_run_again():
    shown = drawn(execution(step("add", copied_from="exe_0"), step("remove"), replay_of="exe_0"))
    assert re.search(r"Add .* from exe_0\n", shown)
    assert not re.search(r"Remove .* from", shown)


@for_each(
    ("more", "offered", "left_out"),
    [
        ({}, ["replay exe_1", "dismiss exe_1"], ["show"]),
        ({"dismissed": True}, ["it is no dead letter", "replay exe_1"], ["dismiss exe_1"]),
        (
            {"dismissed": True, "replays": ["exe_3", "exe_2"]},
            ["exe_3, exe_2", "executions show exe_3"],
            ["replay exe_1", "dismiss exe_1"],
        ),
    ],
)
def test_of_what_failed_only_what_makes_sense_is_offered(more, offered, left_out):
    shown = drawn(execution(state="failed", failure=failure("no"), **more))
    for each in offered:
        assert each in shown
    for each in left_out:
        assert each not in shown


CHECKED = {"record": "acme/account/acc_1", "fields": {"name": "Initech", "seats": 3}}


@for_each(
    ("result", "said"),
    [
        ({"how": "run"}, "run"),
        ({"how": "run", "hops": 1, "known": True}, "run, caused by 1 write of ours"),
        ({"how": "run", "hops": 3}, "run, caused by 3 writes of ours"),
        ({"how": "echo", "reason": "why", "writer": "exe_9"}, "echo of exe_9"),
        ({"how": "superseded", "reason": "why"}, "superseded"),
    ],
)
def test_a_check_says_what_it_found_of_which_record(result: Any, said: str):
    check = step("$check", kind="check", title="Compare", inputs=CHECKED, result=result)
    lines = drawn(execution(check)).splitlines()
    [at] = [at for at, each in enumerate(lines) if "✓ Compare" in each]
    assert lines[at].endswith(f"ms  {said}")
    assert lines[at + 1].strip() == 'record="acme/account/acc_1"  name="Initech"  seats=3'


@for_each(
    ("inputs", "result", "said"),
    [
        ({"acme": "acc_1", "crm": None}, "001", "→ crm 001"),
        ({"acme": "acc_1", "crm": None}, None, "→ (none)"),
        ({"acme": "acc_1", "crm": "001"}, True, ""),
        ({"acme": "acc_1", "crm": "001"}, False, "(one of them is paired already)"),
    ],
)
def test_a_pair_says_which_record_is_which(inputs: Any, result: Any, said: str):
    given = {"pairs": "accounts", **inputs}
    paired = step("pair", kind="pair", title="Look up", inputs=given, result=result)
    [line, *_] = [each for each in drawn(execution(paired)).splitlines() if "Look up" in each]
    assert line.partition(" ms")[2].strip() == said
    assert "pairs=" not in drawn(execution(paired))


def test_an_echo_leads_to_the_execution_that_wrote_it():
    result = {"how": "echo", "writer": "exe_9"}
    reason = f"echo: acme.account acc_1 is as exe_9 left it, {'x' * 200}"
    check = step("$check", kind="check", inputs=CHECKED, result=result)
    shown = drawn(execution(check, state="ignored", reason=reason), width=60)
    assert reason in shown
    assert "halflap executions show exe_9" in shown
    assert "next:" not in drawn(execution(state="ignored", reason="filtered"))


@for_each("state", ["queued", "waiting"])
def test_one_behind_another_of_its_record_says_which(state: str):
    because = "the same record; it came first"
    waiting = waiting_for("order", because, execution="exe_7")
    more = {"waits_for": "exe_7", "waits_because": because, "waiting": waiting}
    shown = drawn(execution(state=state, ended_at=None, took_ms=None, waited_ms=None, **more))
    assert "waits for    exe_7 (the same record; it came first)" in shown
    assert "halflap executions show exe_7" in shown
    assert "order " not in shown


def test_the_order_that_a_flow_declares_is_shown():
    order = {"rule": "fifo", "key": "o1"}
    assert "order        fifo, key o1" in drawn(execution(order=order))
    assert "order        parallel(3)\n" in drawn(
        execution(order={"rule": "parallel(3)", "key": ""})
    )
    assert "order " not in drawn(execution(order={"rule": "pairs", "key": "acme/account/1"}))


def test_lineage_is_said_both_ways():
    one = {"id": "exe_2", "flow": "ship", "state": "waiting"}
    one |= {"customer": "cus_1", "instance": "ins_1"}
    shown = drawn(execution(parent="exe_0", children=[one]))
    assert re.search(r"started by +exe_0", shown)
    assert "exe_2  ship, waiting" in shown
    shown = drawn(execution(children=[one, {**one, "state": "failed"}, one]))
    assert "2 waiting, 1 failed: halflap executions list --parent exe_1" in " ".join(shown.split())
    pending = step(
        "call", kind="call", title="Call Ship", status="retrying", result={"execution": "x"}
    )
    assert re.search(r"[‖=] Call Ship\n", drawn(execution(pending, state="waiting")))
