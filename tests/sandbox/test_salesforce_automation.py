from decimal import Decimal

import pytest

from halflap_sandbox.salesforce import automation, entities, records
from halflap_sandbox.salesforce.model import (
    FlowDefinition,
    FlowTrigger,
    FlowVersion,
    OutboundMessage,
    WorkflowRule,
    World,
)
from tests.cases import for_each

AMOUNT, STAGE = "ISCHANGED({!$Record.Amount})", "ISCHANGED( {!$Record.StageName} )"


class Sent:
    """Takes what would be sent."""

    def __init__(self):
        self.all = []

    def enqueue(self, org, message, record_id):
        self.all.append((message.name, record_id))

    def names(self):
        taken, self.all = [name for name, _ in self.all], []
        return taken


class Desk:
    """An org in which messages A and B exist, and somebody who edits."""

    def __init__(self):
        self.org = entities.new_org(World(clock=lambda: 0.0), "acme")
        self.sent = Sent()
        automation.install(self.org, self.sent)
        self.user = next(iter(self.org.users.values()))
        for name in "AB":
            made = OutboundMessage(
                id=self.org.new_id("04k"),
                object="Opportunity",
                name=name,
                description=None,
                api_version="63.0",
                endpoint_url="http://127.0.0.1/",
                fields=("Id",),
                include_session_id=False,
                integration_user=self.user.username,
            )
            self.org.outbound_messages[made.full_name] = made

    def flow(self, recording, formula=None, *, name="Flow", messages=("A",), **more):
        trigger = FlowTrigger(
            object=more.get("object", "Opportunity"),
            recording=recording,
            filter_formula=formula,
            messages=tuple(f"Opportunity.{each}" for each in messages),
        )
        flow = self.org.flows.setdefault(name, FlowDefinition(id="300", name=name))
        number = len(flow.versions) + 1
        flow.versions[number] = FlowVersion(
            id="301",
            number=number,
            status=more.get("status", "Active"),
            label="",
            source=b"",
            trigger=trigger,
        )

    def rule(self, trigger_type, formula=None, *, active=True):
        rule = WorkflowRule(
            id="01Q",
            object="Opportunity",
            name="Rule",
            active=active,
            trigger_type=trigger_type,
            formula=formula,
            messages=("Opportunity.A",),
            source=b"",
        )
        self.org.rules[rule.full_name] = rule

    def create(self):
        values = {"Name": "x", "StageName": "Prospecting", "CloseDate": "2026-01-31"}
        return records.create(self.org, self.user, "Opportunity", {**values, "Amount": 1})

    def update(self, id, **values):
        records.update(self.org, self.user, "Opportunity", id, values)

    def delete(self, id):
        records.delete(self.org, self.user, "Opportunity", id)


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize(
    ("recording", "created", "updated"),
    [("Create", ["A"], []), ("Update", [], ["A"]), ("CreateAndUpdate", ["A"], ["A"])],
)
def test_a_flow_runs_on_what_it_records_and_never_on_deletion(desk, recording, created, updated):
    desk.flow(recording)
    id = desk.create()
    assert desk.sent.names() == created
    desk.update(id, Name="y")
    assert desk.sent.names() == updated
    desk.delete(id)
    assert desk.sent.names() == []


def test_only_the_active_version_of_a_flow_runs(desk):
    desk.flow("Create", messages=("A",))
    desk.flow("Create", messages=("B",), status="Draft")
    desk.flow("Create", name="Other", object="Account", messages=("B",))
    desk.create()
    assert desk.sent.names() == ["A"]


def test_each_flow_sends_its_messages(desk):
    desk.flow("Create", messages=("A", "B", "Missing"))
    desk.flow("Create", name="Other", messages=("A",))
    desk.create()
    assert desk.sent.names() == ["A", "B", "A"]


@for_each(
    ("trigger_type", "formula", "created", "renamed", "amount"),
    [
        ("onCreateOnly", None, True, False, False),
        ("onAllChanges", None, True, True, True),
        ("onAllChanges", "ISCHANGED(Amount)", False, False, True),
        ("onCreateOrTriggeringUpdate", None, True, False, False),
        ("onCreateOrTriggeringUpdate", "OR(ISNEW(), ISCHANGED(Amount))", True, False, True),
    ],
)
def test_a_workflow_rule_runs_as_its_trigger_says(
    desk, trigger_type, formula, created, renamed, amount
):
    desk.rule(trigger_type, formula)
    id = desk.create()
    assert bool(desk.sent.names()) is created
    desk.update(id, Name="y")
    assert bool(desk.sent.names()) is renamed
    desk.update(id, Amount=2)
    assert bool(desk.sent.names()) is amount
    desk.delete(id)
    assert desk.sent.names() == []


def test_an_inactive_rule_sends_nothing(desk):
    desk.rule("onAllChanges", active=False)
    desk.create()
    assert desk.sent.names() == []


def test_every_write_is_noted_with_what_it_changed(desk):
    id = desk.create()
    mark = automation.hand.set("person")
    desk.update(id, Amount=Decimal("2"), Name="x")
    automation.hand.reset(mark)
    desk.delete(id)
    created, updated, deleted = desk.org.effects
    assert (created.kind, created.by, created.values["Amount"]) == ("created", "api", Decimal(1))
    assert (updated.kind, updated.by, updated.user) == ("updated", "person", desk.user.username)
    assert updated.values.keys() >= {"Amount"}
    assert not {"Name", "SystemModstamp"} & updated.values.keys()
    assert (deleted.kind, deleted.id, deleted.values) == ("deleted", id, {})
