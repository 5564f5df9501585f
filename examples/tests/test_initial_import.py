import acme
import initial_import
from initial_import import Page

from halflap import salesforce
from halflap.testing import Run

MADE = acme.Account(id="1", external_id="001A", name="Initech")


def records(count: int) -> list[salesforce.Record]:
    made = [
        {"type": "Account", "Id": f"001{n:012}", "Name": f"No. {n}"} for n in range(1, count + 1)
    ]
    return [salesforce.Record.model_validate(each) for each in made]


async def test_an_account_is_created_and_then_updated(run: Run):
    changed = salesforce.Account(Id="001A", Name="Initech")
    first = await run(initial_import.account, changed, stubs={acme.create_account: MADE})
    assert first.steps == [acme.create_account.call(external_id="001A", name="Initech")]

    pairs = {initial_import.accounts: [{"salesforce": "001A", "acme": "1"}]}
    again = await run(
        initial_import.account, changed, stubs={acme.update_account: MADE}, paired=pairs
    )
    assert again.steps == [acme.update_account.call(id="1", name="Initech")]


async def test_a_page_starts_the_live_flow_for_each_record(run: Run):
    stubs = {salesforce.query: records(2), acme.create_account: MADE}
    result = await run(initial_import.import_accounts, Page(), stubs=stubs)
    assert [each.name for each in result.calls] == ["salesforce.query", "account", "account"]


async def test_a_full_page_continues_behind_its_last_record(run: Run):
    found = records(250)
    pages = [found[:100], found[100:200], found[200:]]
    stubs = {salesforce.query: pages, initial_import.account: None}
    result = await run(initial_import.import_accounts, Page(), stubs=stubs)
    after = [each.given["values"]["after"] for each in result.calls if "soql" in each.given]
    assert after == ["000000000000000", found[99].id, found[199].id]
    assert sum(each.name == "account" for each in result.calls) == 250


async def test_the_import_begins_with_the_activation_alone(run: Run):
    stubs = {initial_import.import_accounts: None}
    for reason, started in (("activate", 1), ("upgrade", 0), ("redeploy", 0)):
        event = {"instance": "ins_1", "version": "1", "reason": reason}
        result = await run(initial_import.deploy, event, stubs=stubs)
        assert len(result.calls) == started
