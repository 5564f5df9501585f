"""Choices that apps list: published, listed by the route, and held to as a config is saved."""

from typing import Any

import pytest

from tests.api.conftest import SHOP, World

SHOP_THAT_LISTS = (
    SHOP.replace(
        "from halflap import Component, Connection, Endpoint, Model, Request, Subscription",
        "from typing import Annotated, Any\n\nfrom halflap import (\n    Choice, ChoicePage, Component, "
        "Connection, DynamicFields, Endpoint, FieldSpec, Model, Request, Source, Subscription,\n)",
    )
    + '''

PIPELINES = [("p1", "Sales"), ("p2", "Support")]
STAGES = {"p1": ["new", "won"], "p2": ["open", "closed"]}


class Tag(Model):
    id: int
    name: str


@component.action
async def list_pipelines(shop: Shop) -> list[tuple[str, str]]:
    """List the pipelines."""
    await shop.get("/me")
    return PIPELINES


@component.action
async def list_stages(shop: Shop, pipeline: str, upper: bool = False) -> list[str]:
    """List the stages of a pipeline."""
    return [each.upper() if upper else each for each in STAGES[pipeline]]


@component.action
async def list_tags(shop: Shop) -> list[Tag]:
    """List the tags."""
    return [Tag(id=number, name=f"tag {number}") for number in range(250)]


@component.action
async def find_people(shop: Shop, search: str = "", cursor: str | None = None) -> ChoicePage:
    """Search for people, two at a time."""
    people = [f"{search}{number}" for number in range(5)]
    start = int(cursor or 0)
    after = start + 2 if start + 2 < len(people) else None
    return ChoicePage(
        choices=[Choice(value=each, label=each) for each in people[start : start + 2]],
        next=None if after is None else str(after),
    )


@component.action
async def leak(shop: Shop) -> list[str]:
    """List what no app should."""
    key = shop.api_key.get_secret_value()
    return [f"Bearer {key}", key[::-1], "x" * 1_000]


@component.action
async def answer(shop: Shop, of: str = "") -> list[Any]:
    """List what an app answers as it is."""
    return [{"id": {"all": ["good", "-key"]}, "name": "a"} if of == "nested" else "x" * 1_001]


@component.action
async def describe(shop: Shop, pipeline: str = "p1") -> list[FieldSpec]:
    """Describe the fields of a deal."""
    more = [FieldSpec(name="team")] if pipeline == "p2" else []
    amount = FieldSpec(name="amount", title="Amount", type="number", required=True)
    return [amount, FieldSpec(name="city", choices=["Graz", "Linz"]), *more]


@component.action
async def write(
    shop: Shop,
    pipeline: str,
    fields: Annotated[dict[str, Any], DynamicFields(describe, ("pipeline",))],
) -> None:
    """Write the fields of a deal."""


@component.action
async def move(
    shop: Shop, pipeline: str, stage: Annotated[str, Source(list_stages, ("pipeline",))]
) -> None:
    """Move something to a stage."""
'''
)
PYTHON = '''
"""Deals: of a pipeline of the shop."""

from typing import Annotated, Any

import shop
from halflap import Config, Context, Integration, Source, webhook


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    shop: shop.Shop
    stage: Annotated[str | None, Source(shop.list_stages, {"pipeline": "pipeline"})] = None
    pipeline: Annotated[str, Source(shop.list_pipelines)]
    tags: Annotated[list[int], Source(shop.list_tags)] = []
    owner: Annotated[str | None, Source(shop.find_people, open=True)] = None
    secret: Annotated[str | None, Source(shop.leak)] = None
    whole: Annotated[str | None, Source(shop.answer, inputs={"of": "nested"})] = None
    long: Annotated[str | None, Source(shop.answer)] = None
    label: str = ""
    fields: dict[
        Annotated[str, Source(shop.list_stages, ("pipeline",))],
        Annotated[str, Source(shop.describe, ("pipeline",))],
    ] = {}


integration = Integration("deals", config=Settings)


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Settings], event: Any) -> None:
    """A deal."""
    await shop.move(ctx.config.shop, ctx.config.pipeline, ctx.config.stage or "new")
'''
YAML = """
name: deals
config:
  shop:
    shop: {connection: shop}
    pipeline: {source: shop.list_pipelines}
    stage:
      source: {action: shop.list_stages, with: {pipeline: =pipeline}}
      required: false
    tags: {type: integer, multiple: true, default: [], source: shop.list_tags}
    owner: {source: shop.find_people, open: true, required: false}
    secret: {source: shop.leak, required: false}
    label: {default: ""}
    fields:
      type: mapping
      of: shop.list_stages
      to: {action: shop.describe, with: {pipeline: =pipeline}}
      depends: [pipeline]
      default: {}
flows:
  incoming:
    trigger: webhook.request
    with: {signature: github}
    steps:
      - action: shop.move
        with: {pipeline: =config.pipeline, stage: =$string(config.stage)}
      - log: =config.label & config.owner & config.secret & $string(config.tags)
"""
WRITTEN = [
    pytest.param(("deals:integration", {"deals.py": PYTHON}), id="python"),
    pytest.param(("deals.yaml", {"deals.yaml": YAML}), id="yaml"),
]


async def prepared(world: World, written: Any = ("deals:integration", {"deals.py": PYTHON})) -> str:
    """Publish the integration, and connect a customer to the shop; returns its id."""
    entry, files = written
    await world.publish(world.packed(entry, {**files, "shop.py": SHOP_THAT_LISTS}))
    customer = await world.customer()
    await world.connection(customer, integration="deals")
    return customer


async def listed(world: World, customer: str, field: str, **more: Any) -> Any:
    question = {"integration": "deals", "customer": customer, "field": field}
    question |= {"connections": {"shop": "shop"}, **more}
    return await world.api("POST", "/api/sources", question)


def values(answer: Any) -> list[Any]:
    assert answer.status == 200, answer.body
    return [each["value"] for each in answer.json["choices"]]


async def test_the_published_form_says_where_choices_come_from_however_it_is_written(
    world: World,
) -> None:
    """A list, and what is held to, goes by this form alone: the other tests have it in Python."""
    forms: list[dict[str, Any]] = []
    for each in WRITTEN:
        entry, files = each.values[0]
        bundle = world.packed(entry, {**files, "shop.py": SHOP_THAT_LISTS})
        hash = await world.publish(bundle, overwrite="true")
        shown = await world.api.get(f"/api/integrations/deals/versions/{hash}")
        forms.append(shown["config"]["properties"])
    for fields in forms:
        assert fields["pipeline"]["x-source"] == {
            "kind": "choices",
            "action": "shop.list_pipelines",
            "depends": [],
            "with": {},
            "open": False,
            "search": False,
        }
        assert fields["stage"]["x-source"]["depends"] == ["pipeline"]
        assert fields["stage"]["x-source"]["with"] == {"pipeline": "=pipeline"}
        assert fields["tags"]["x-source"]["action"] == "shop.list_tags"
        owner = fields["owner"]["x-source"]
        assert (owner["open"], owner["search"]) == (True, True)
        mapping = fields["fields"]
        assert mapping["propertyNames"]["x-source"]["action"] == "shop.list_stages"
        assert mapping["additionalProperties"]["x-source"]["action"] == "shop.describe"
    both = forms[0].keys() & forms[1].keys()
    assert both >= {"stage", "pipeline", "tags", "owner", "secret", "fields"}
    for name in both:
        one, other = (fields[name].get("x-source") for fields in forms)
        assert one == other, name


async def test_the_choices_of_a_field_are_listed_with_the_chosen_connection(
    world: World,
) -> None:
    customer = await prepared(world)
    page = await listed(world, customer, "pipeline")
    assert page.json == {
        "choices": [
            {"value": "p1", "label": "Sales", "field": None},
            {"value": "p2", "label": "Support", "field": None},
        ],
        "next": None,
    }
    assert values(await listed(world, customer, "pipeline", search="SUPP")) == ["p2"]
    first = await listed(world, customer, "stage")
    assert (first.status, first.kind) == (422, "ConfigError")
    assert first.json["fields"] == {"pipeline": "is needed first, to list the choices of stage"}
    stages = await listed(world, customer, "stage", values={"pipeline": "p2"})
    assert values(stages) == ["open", "closed"]
    # What the action lists at once is paged; what pages itself is asked with its own cursor.
    tags = await listed(world, customer, "tags")
    assert (len(values(tags)), tags.json["next"]) == (100, "100")
    tags = await listed(world, customer, "tags", cursor="200", limit=1000)
    assert (values(tags)[0], len(values(tags)), tags.json["next"]) == (200, 50, None)
    assert (await listed(world, customer, "tags", cursor="x")).status == 422
    people = await listed(world, customer, "owner", search="ada", cursor="2")
    assert (values(people), people.json["next"]) == (["ada2", "ada3"], "4")
    leaked = await listed(world, customer, "secret")
    assert b"good-key" not in leaked.body
    assert b"good-key"[::-1] not in leaked.body
    assert len(leaked.json["choices"][2]["label"]) == 200
    lacking = await listed(world, customer, "pipeline", connections={})
    assert lacking.json["fields"] == {"shop": "choose a connection first"}
    unknown = await listed(world, customer, "pipelin")
    assert (unknown.status, "has no field 'pipelin'" in unknown.json["detail"]) == (404, True)
    plain = await listed(world, customer, "label")
    assert plain.json["fields"] == {"field": "has no source"}
    for field in ("whole", "long"):  # a choice is a text or a number, and no answer of the app
        refused = await listed(world, customer, field)
        assert refused.kind == "DefinitionError"
        assert "no text of up to 1,000 characters" in refused.json["detail"]
        assert b"-key" not in refused.body
    world.shop.keys.clear()
    refused = await listed(world, customer, "pipeline")
    assert (refused.status, refused.kind) == (502, "Unauthorized")
    assert refused.json["detail"].startswith("the choices of pipeline cannot be listed: ")
    assert b"good-key" not in refused.body


async def test_the_choices_and_fields_of_an_actions_input_are_listed_for_the_designer(
    world: World,
) -> None:
    question: dict[str, Any] = {"customer": await prepared(world), "connection": "shop"}

    async def asked(input: str, action: str = "shop.move", **more: Any) -> Any:
        named = {"integration": "deals", "action": action, "input": input}
        return await world.api("POST", "/api/sources", {**question, **named, **more})

    first = {"pipeline": "p1"}
    assert values(await asked("stage", values=first)) == ["new", "won"]
    wrong = await asked("pipeline", values=first)
    assert wrong.json["fields"] == {"input": "has no source"}
    both = await asked("stage", values=first, field="stage")
    assert (both.status, both.kind) == (422, "ConfigError")
    lacking = await asked("fields", "shop.write")
    assert lacking.json["fields"].keys() == {"pipeline"}
    page = await asked("fields", "shop.write", values={"pipeline": "p2"})
    assert values(page) == ["amount", "city", "team"]
    assert page.json["choices"][1]["field"]["choices"] == ["Graz", "Linz"]


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_value_that_is_not_listed_is_refused_as_the_config_is_saved(
    world: World, written: Any
) -> None:
    customer = await prepared(world, written)

    async def saved(**config: Any) -> Any:
        draft = {
            "customer": customer,
            "integration": "deals",
            "config": {"pipeline": "p1", **config},
            "connections": {"shop": "shop"},
        }
        if made is not None:
            return await world.configure(made.json["id"], draft)
        return await world.api("POST", "/api/instances", draft)

    made: Any = None
    refused = await saved(pipeline="Support")
    assert (refused.status, refused.kind) == (422, "ConfigError")
    assert refused.json["fields"]["pipeline"] == (
        "'Support' is not among the choices that the app lists ('p1', 'p2'); did you mean 'p2'?"
    )
    assert [*(await saved(stage="open")).json["fields"]] == ["stage"]
    # What depends on a value that is not listed is not asked for: the app would be given that value.
    wrong = await saved(pipeline="p3", stage="won")
    assert [*wrong.json["fields"]] == ["pipeline"], wrong.body
    assert [*(await saved(tags=[1, 999])).json["fields"]] == ["tags"]
    made = await saved(stage="won", tags=[1, 249], owner="anybody at all")
    assert made.status == 201, made.body
    # What it depends on changed, so it is looked at again; what did not change is not.
    assert [*(await saved(pipeline="p2", stage="won")).json["fields"]] == ["stage"]
    before = len(world.shop.seen)
    assert (await saved(stage="won", tags=[1, 249], label="x")).status == 200
    assert len(world.shop.seen) == before
    assert (await saved(pipeline="p2", stage="open", label="x")).status == 200
    assert len(world.shop.seen) == before + 1


HOURLY = (
    "deals:integration",
    {
        "deals.py": PYTHON.replace(
            "import Config, Context,", "import schedule, Config, Context,"
        ).replace(
            "    label: str", "    seats: int = 1\n    cron: str\n    zone: str\n    label: str"
        )
        + '''

@integration.flow(trigger=schedule.cron(Settings.cron, tz=Settings.zone))
async def hourly(ctx: Context[Settings], tick: schedule.Tick) -> None:
    """The customer's own hour."""
'''
    },
)


async def test_every_wrong_value_is_named_at_once(world: World) -> None:
    customer = await prepared(world, HOURLY)
    wrong = {"seats": "many", "cron": "bad", "zone": "Mars/X", "pipeline": "mian", "stage": "won"}
    draft: dict[str, Any] = {"customer": customer, "integration": "deals", "config": wrong}
    draft["connections"] = {"shop": "shop"}

    refused = await world.api("POST", "/api/instances", draft)

    fields = refused.json["fields"]
    assert {*fields} == {"seats", "cron", "zone", "pipeline"}, refused.body
    assert "valid integer" in fields["seats"]
    assert "'bad' is no cron expression" in fields["cron"]
    assert "no time zone 'Mars/X'" in fields["zone"]
    assert "'mian' is not among the choices" in fields["pipeline"]
    assert refused.json["detail"].startswith("the config of deals is not valid: ")
    # An app that cannot be asked hides nothing; where all else is right, it is named.
    world.shop.keys.clear()
    refused = await world.api("POST", "/api/instances", draft)
    assert {*refused.json["fields"]} == {"seats", "cron", "zone"}, refused.body
    draft["config"] = {"cron": "0 6 * * *", "zone": "UTC", "pipeline": "p1"}
    assert (await world.api("POST", "/api/instances", draft)).status == 502


async def test_a_customer_lists_with_what_its_own_config_may_name(world: World) -> None:
    customer = await prepared(world)
    other = await world.customer("Globex")
    token = await world.token(customer)
    question = {"integration": "deals", "field": "pipeline", "connections": {"shop": "shop"}}
    not_offered = await world.api("POST", "/api/sources", question, token=token)
    assert (not_offered.status, not_offered.kind) == (404, "NotFound")
    await world.api("PUT", "/api/integrations/deals/offer", {"version": "1"})
    own = await world.api("POST", "/api/sources", question, token=token)
    assert values(own) == ["p1", "p2"]
    strange = await world.token(other)
    theirs = await world.api("POST", "/api/sources", question, token=strange)
    assert (theirs.status, theirs.kind) == (404, "NotFound")
    named = {**question, "customer": customer}
    assert (await world.api("POST", "/api/sources", named, token=strange)).status == 404
    action = {"action": "shop.move", "input": "stage", "connection": "shop"}
    refused = await world.api("POST", "/api/sources", action, token=token)
    assert (refused.status, refused.kind) == (403, "Forbidden")


async def test_both_sides_of_a_mapping_are_listed_and_held_to(world: World) -> None:
    customer = await prepared(world)
    first = await listed(world, customer, "fields.of")
    assert first.json["fields"].keys() == {"pipeline"}
    assert values(await listed(world, customer, "fields.of", values={"pipeline": "p1"})) == [
        "new",
        "won",
    ]
    right = await listed(world, customer, "fields.to", values={"pipeline": "p2"})
    assert values(right) == ["amount", "city", "team"]
    assert right.json["choices"][0] == {
        "value": "amount",
        "label": "Amount",
        "field": {
            "name": "amount",
            "title": "Amount",
            "type": "number",
            "required": True,
            "choices": None,
        },
    }
    unknown = await listed(world, customer, "fields.from")
    assert unknown.json["fields"] == {"field": "has no source"}

    def draft(**fields: str) -> dict[str, Any]:
        config = {"pipeline": "p1", "fields": fields}
        connections = {"shop": "shop"}
        named = {"customer": customer, "integration": "deals"}
        return {**named, "config": config, "connections": connections}

    refused = await world.api("POST", "/api/instances", draft(new="amount", lost="sum"))
    assert [*refused.json["fields"]] == ["fields.of", "fields.to"], refused.body
    assert "'lost' is not among the choices" in refused.json["fields"]["fields.of"]
    assert "'sum' is not among the choices" in refused.json["fields"]["fields.to"]
    made = await world.api("POST", "/api/instances", draft(new="amount", won="city"))
    assert made.status == 201, made.body
