"""The output of the commands about a move of an instance that failed."""

from __future__ import annotations

from typing import Any

import pytest

from halflap.api.execution_view import StepView
from halflap.api.view import InstanceView, SubscriptionView, VersionName
from halflap.cli.moves import Move, failed, shown, step_parts
from halflap.cli.output import Output, text
from tests.cli.views import made

UPGRADE = Move("upgrade", "upgrading", "active")
ACTIVATE = Move("activate", "activating", "active")


def message(move: Move, **found: Any) -> str:
    known: dict[str, Any] = {"state": "failed", "deployment": "exe_last", "error": ""}
    return failed(Output(), "Initech/orders", move, made(InstanceView, **known | found))


def test_an_upgrade_that_went_back_names_the_deployment_that_failed() -> None:
    error = "the upgrade to version 2 failed (exe_upgrade), so it is as before: no"
    shown = message(UPGRADE, state="active", error=error, deployment="exe_rollback")
    assert "executions show exe_upgrade" in shown
    assert "exe_rollback" not in shown
    assert "not done twice" not in shown


def test_a_first_activation_that_failed_is_repeated_without_doing_anything_twice() -> None:
    shown = message(ACTIVATE, error="the deployment failed")
    assert "executions show exe_last" in shown
    assert "not done twice" in shown


def test_what_is_being_put_back_was_not_tried_before() -> None:
    error = "the upgrade to version 2 failed (exe_upgrade), so it is as before: no"
    at = {"since": "2026-01-31T14:00:00Z", "next_at": "2026-01-31T14:00:00Z"}
    first = message(UPGRADE, state="active", error=error, repetition={**at, "tries": 0})
    assert "being put back: what it had at its apps; its events run meanwhile" in first
    assert "tried again" not in first
    second = message(UPGRADE, state="active", error=error, repetition={**at, "tries": 1})
    assert "tried again:    at 2026-01-31T14:00:00Z" in second


def test_a_config_that_could_not_be_deployed_is_given_again() -> None:
    error = "the change of its config failed (exe_change), so it is as before: no"
    shown = message(Move("configure", "upgrading", "active"), state="active", error=error)
    assert "Initech/orders could not be configured: the change of its config failed" in shown
    assert "executions show exe_change" in shown
    assert "mend it, then:  halflap instances configure Initech/orders" in shown


BECAUSE = "Unauthorized: DELETE https://a.test/hooks/h1 answered 401"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, "  + Unsubscribe orders  2.0 ms"),
        (BECAUSE, f"  ! Unsubscribe orders  2.0 ms  left behind: {BECAUSE}"),
    ],
)
def test_what_was_left_behind_at_an_app_is_not_shown_as_done(
    monkeypatch: pytest.MonkeyPatch, result: str | None, told: str
) -> None:
    step = StepView.model_construct(
        name="unsubscribe(orders)", title="Unsubscribe orders", status="succeeded",
        result=result, failure=None, duration_ms=2.0,
    )  # fmt: skip
    output = Output()
    monkeypatch.setattr(output, "unicode", False)
    assert text(*step_parts(output, step)).plain == told


def test_an_instance_that_was_abandoned_says_what_was_left_behind_and_where_to_see_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = [
        SubscriptionView.model_construct(flow="orders", remote_id="h1", left_because=each)
        for each in (BECAUSE, "")
    ]
    found = InstanceView.model_construct(
        version=VersionName(hash="a", number=1), state="disabled", error=None, subscriptions=made
    )
    api: Any = None
    shown(api, Output(), "Initech/orders", found)
    said = capsys.readouterr().err
    assert said.count("left behind") == 1
    assert f"left behind: the webhook h1 of orders: {BECAUSE}" in said
    assert "halflap instances show Initech/orders" in said
