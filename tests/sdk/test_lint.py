import re
import textwrap
from pathlib import Path

from halflap.engine.integration import known_actions, known_records
from halflap.sdk.lint import CODES, RULES, Finding, lint
from tests.cases import for_each

HTTP = frozenset({"halflap.http.post"})
HEAD = """\
import asyncio, datetime as dt, os, random, secrets, time, uuid
from datetime import datetime
from pathlib import Path

import httpx

import acme
from halflap import Config, Context, Integration, UpstreamError, http, step, webhook

integration = Integration("orders")
SEEN = set()


@step
def draw() -> float:
    return random.random()


def stamp():
    return datetime.now()


def double(each):
    return each * 2


@integration.flow(trigger=webhook.request(signature="github"))
async def orders(ctx: Context[Config], event: dict) -> None:
"""
ACME = '''\
from halflap import Component, Request, StandardWebhooks, Unsigned
component = Component("acme")
CACHE = {}

@component.action
async def create(name: str) -> None:
    """Create it."""
    await asyncio.sleep(random.random())
    print(open("x"), os.environ)
'''


@for_each(
    ("trigger", "code"),
    [
        ("webhook.request()", ["HF014"]),
        ("webhook.request(key='body:/id')", ["HF014"]),
        ("webhook.raw()", ["HF014"]),
        ("webhook.request(signature='github')", []),
        ("webhook.request(**options)", []),
        ("webhook.request()  # halflap: ignore[HF014]\n", []),
        ("acme.changed()", []),
    ],
)
def test_a_webhook_of_a_flow_that_verifies_nothing_is_a_warning(
    trigger: str, code: list[str]
) -> None:
    source = HEAD.replace('webhook.request(signature="github")', trigger) + "    pass\n"
    found = lint({"orders.py": source, "acme.py": ACME}, HTTP)
    assert [each.code for each in found] == code
    assert {each.severity for each in found} <= {"warning"}


def codes(body: str) -> list[str]:
    source = HEAD + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
    return [each.code for each in lint({"orders.py": source, "acme.py": ACME}, HTTP)]


@for_each(
    ("body", "code"),
    [
        ("datetime.now()", "HF001"),
        ("at = dt.datetime.utcnow()", "HF001"),
        ("dt.date.today()", "HF001"),
        ("began = time.time()", "HF001"),
        ("import time as t\nt.monotonic()", "HF001"),
        ("stamp()", "HF001"),
        ("await ctx.gather([1], stamp)", "HF001"),
        ("random.choice([1, 2])", "HF002"),
        ("uuid.uuid4()", "HF002"),
        ("secrets.token_hex()", "HF002"),
        ("hash(event['id'])", "HF002"),
        ("random.Random()", "HF002"),
        ("open('x')", "HF003"),
        ("Path('x').read_text()", "HF003"),
        ("httpx.get('https://example.com')", "HF003"),
        ("os.environ['KEY']", "HF003"),
        ("os.getenv('KEY')", "HF003"),
        ("print(event)", "HF003"),
        ("await ctx.config.acme.post('/x', json=1)", "HF003"),
        ("async for each in ctx.config.acme.pages('/x'):\n    pass", "HF003"),
        ("await asyncio.gather(acme.create('a'), acme.create('b'))", "HF004"),
        ("await asyncio.wait_for(acme.create('a'), 3)", "HF004"),
        ("await asyncio.sleep(3)", "HF004"),
        ("time.sleep(3)", "HF004"),
        ("async with asyncio.TaskGroup() as tasks:\n    pass", "HF004"),
        ("SEEN.add(event['id'])", "HF005"),
        ("global SEEN\nSEEN = set()", "HF005"),
        ("acme.CACHE['x'] = 1", "HF005"),
        ("try:\n    await acme.create('a')\nexcept:\n    pass", "HF006"),
        (
            "try:\n    await acme.create('a')\nexcept (ValueError, BaseException):\n    pass",
            "HF006",
        ),
        ("acme.create('a')", "HF007"),
        ("made = acme.create('a')", "HF007"),
        ("if acme.create('a'):\n    pass", "HF007"),
        ("acme.create.titled('Create it')('a')", "HF007"),
        ("http.post(ctx.config.api, '/x')", "HF007"),
        ("ctx.sleep(3)", "HF007"),
        ("ctx.state.put('a', 1)", "HF007"),
        ("draw()", "HF007"),
        ("ctx.pair(things, acme='a', globex='g')", "HF007"),
        ("tasks.create_task(later(ctx))", "HF008"),
        ("loop.run_in_executor(None, work, ctx)", "HF008"),
        ("for each in {'a', 'b'}:\n    await acme.create(each)", "HF012"),
        ("await ctx.gather(set(event['ids']), acme.create)", "HF012"),
        ("ctx.continue_with({'page': 2})", "HF007"),
        ("await ctx.continue_with({'page': 2})\nctx.log.info('never')", "HF017"),
        ("if event:\n    await ctx.continue_with(event)\n    return 1", "HF017"),
    ],
)
def test_what_breaks_a_replay_is_found(body, code):
    assert codes(body) == [code]


@for_each(
    "body",
    [
        "ctx.now()\nctx.uuid()\nawait ctx.sleep(3)",
        "if event:\n    await ctx.continue_with(event)\nreturn await ctx.continue_with(event)",
        "await draw()",
        "uuid.uuid5(uuid.NAMESPACE_URL, event['id'])",
        "random.Random(7)",
        "secrets.compare_digest('a', 'b')",
        "time.gmtime(event['at'])",
        "datetime.fromisoformat(event['at'])",
        "await ctx.gather(event['ids'], acme.create)",
        "await ctx.gather(sorted({'a', 'b'}), lambda each: acme.create(each))",
        "double(3)",
        "await acme.create.titled('Create it')('a')",
        "made = await acme.create('a')",
        "await ctx.paired(things, acme='a')",
        "later = [acme.create(each) for each in event]",
        "seen = set()\nseen.add(1)",
        "event['id'] = 1\nevent.update(a=1)",
        "ctx.config.mapping.get('a')",
        "try:\n    await acme.create('a')\nexcept UpstreamError:\n    pass",
        "try:\n    await acme.create('a')\nexcept BaseException:\n    raise",
        "try:\n    int('a')\nexcept:\n    pass",
        "for each in {'a', 'b'}:\n    double(each)",
        "time = event['time']\ntime.time()",
        "stamp = event['stamp']",
        "ctx.log.info('done')",
    ],
)
def test_what_is_pure_is_left_alone(body):
    assert codes(body) == []


def component(rest: str, quality: str = "") -> list[str]:
    files = {"acme.py": ACME + "\n" + textwrap.dedent(rest)}
    files |= {"quality.yaml": textwrap.dedent(quality)}
    return [each.code for each in lint(files)]


@for_each(
    ("trigger", "code"),
    [
        ("@component.trigger()", "HF009"),
        ("@component.trigger", "HF009"),
        ("@component.trigger(verify=None)", "HF009"),
        ("@component.trigger(verify=Unsigned('they sign nothing'))", "HF009"),
        ("@component.trigger(verify=StandardWebhooks())", None),
        ("@component.trigger(methods=(), ticks=every)", None),
    ],
)
def test_a_trigger_that_verifies_nothing_is_found(trigger, code):
    found = component(f'{trigger}\nasync def made(request: Request) -> dict:\n    """Made."""\n')
    assert found == ([code] if code else [])


def test_a_computed_declaration_counts():
    trigger = '@component.trigger()\nasync def made(request: Request) -> dict:\n    """Made."""\n'
    declares = "@made.declare\ndef _():\n    return Declaration({})\n"
    assert component(trigger + declares.format("verify=StandardWebhooks()")) == []
    assert component(trigger + declares.format("key=None")) == ["HF009"]


def test_a_trigger_may_verify_nothing_where_quality_yaml_says_why():
    trigger = '@component.trigger()\nasync def made(request: Request) -> dict:\n    """Made."""\n'
    reason = """\
        done: [pages]
        unsigned:
          made: Acme signs nothing; its URL is the only secret.
        not done: []
    """
    assert component(trigger, quality=reason) == []
    assert component(trigger, quality=reason.replace("made:", "other:")) == ["HF009"]
    assert component(trigger, quality="unsigned:\n  made:\n") == ["HF009"]


def test_an_action_without_a_docstring_is_found():
    assert component("@component.action\nasync def find(id: str) -> None: ...\n") == ["HF011"]


@for_each(
    ("line", "found"),
    [
        ("api_key = 'a1b2c3d4e5f6g7'", True),
        ("connect(password='hunter2hunter2')", True),
        ("key = SecretStr('x')", True),
        ("CODE = 'ghp_" + "a1" * 18 + "'", True),
        ("token = os.environ['TOKEN']", False),
        ("header = 'X-Api-Key'", False),
        ("token = 'header:x-token'", False),
        ("api_key = ''", False),
        ("secret = 'endpoint'", False),
    ],
)
def test_a_secret_in_plain_text_is_found(line, found):
    assert component(line + "\n") == (["HF010"] if found else [])


def test_a_finding_says_where_what_and_what_to_write_instead():
    (found,) = lint({"orders.py": HEAD + "    return time.time()\n", "acme.py": ACME})
    line = HEAD.count("\n") + 1
    assert str(found) == (
        f"orders.py:{line}:12: HF001: time.time() reads another time on every attempt; "
        "write ctx.now()"
    )


def test_what_a_flow_calls_is_told_with_the_flow():
    (found,) = lint({"orders.py": HEAD + "    stamp()\n", "acme.py": ACME})
    assert "return datetime.now()" in HEAD.splitlines()[found.line - 1]
    assert found.message.endswith("(the flow orders calls stamp)")


def test_an_ignored_rule_is_ignored_on_its_line_only():
    assert codes("time.time()  # halflap: ignore[HF001]\ntime.time()") == ["HF001"]
    assert codes("# halflap: ignore[HF001, HF003]\ntime.time()") == []
    assert codes("time.time()  # halflap: ignore[HF002]") == ["HF001"]


def test_an_ignore_that_names_no_rule_is_a_finding():
    assert codes("time.time()  # halflap: ignore") == ["HF001", "HF099"]
    assert codes("pass  # halflap: ignore[HF0O1]") == ["HF099"]


def test_an_action_is_known_through_imports_and_reexports():
    files = {
        "shop/__init__.py": "from .actions import create\n",
        "shop/actions.py": ACME,
        "orders.py": HEAD.replace("import acme", "from shop import create as make")
        + "    make('a')\n",
    }
    assert [each.code for each in lint(files)] == ["HF007"]


def test_a_helper_of_another_module_is_looked_at():
    files = {
        "helping.py": "import time\n\ndef stamp():\n    return time.time()\n",
        "orders.py": HEAD + "    import helping\n    helping.stamp()\n",
        "acme.py": ACME,
    }
    assert [(each.file, each.code) for each in lint(files)] == [("helping.py", "HF001")]


def test_a_source_that_is_not_python_is_a_finding_and_the_others_are_still_read():
    found = lint({"broken.py": "def (:\n", "orders.py": HEAD + "    time.time()\n"})
    assert [(each.file, each.line, each.code) for each in found] == [
        ("broken.py", 1, "HF000"),
        ("orders.py", HEAD.count("\n") + 1, "HF001"),
    ]


def test_flows_that_answer_each_other_want_pairs():
    found = answering()
    assert [(each.file, each.line, each.code) for each in found] == [
        ("there.py", 5, "HF013"),
        ("there.py", 10, "HF013"),
    ]
    assert "the flow to_crm writes what to_acme reads" in found[0].message
    assert [each.line for each in answering(to_acme="pairs=people")] == [5]
    assert answering(to_acme="pairs=people", to_crm="pairs=people") == []
    assert [each.line for each in answering(ignored="# halflap: ignore[HF013]")] == [10]


def test_flows_that_do_not_answer_each_other_want_no_pairs():
    assert answering(kind="'company'") == []
    assert len(answering(kind="'{object}'")) == 2
    assert len(answering(kind="kind")) == 2
    assert answering(there="other") == []
    assert answering(name="crm.look") == []


def test_what_a_built_in_component_writes_and_reads_counts():
    source = """\
from halflap import Integration, salesforce
import crm
integration = Integration("both")

@integration.flow(trigger=salesforce.outbound_message("Contact"))
async def there(ctx, event):
    await crm.save(event.name)

@integration.flow(trigger=crm.changed)
async def back(ctx, event):
    await salesforce.update_record(ctx.config.salesforce, "Contact", event.id, {})
"""
    files = {"crm.py": app("crm"), "both.py": source}
    assert lint(files) == []
    assert [each.code for each in lint(files, frozenset(), known_records())] == ["HF013"] * 2


def app(name: str, kind: str = "'person'") -> str:
    return f"""\
from halflap import Component, Reads, StandardWebhooks, Writes
{name} = Component("{name}")

@{name}.action(writes=Writes({kind}))
async def save(name: str) -> None:
    '''Save a person.'''

@{name}.action
async def look(name: str) -> None:
    '''Look for a person.'''

@{name}.trigger(verify=StandardWebhooks(), reads=Reads(kind="person", fields=("name",)))
async def changed(request):
    '''A person changed.'''
"""


def answering(
    *,
    kind: str = "'person'",
    there: str = "integration",
    name: str = "crm.save",
    to_crm: str = "",
    to_acme: str = "",
    ignored: str = "",
) -> list[Finding]:
    """Return the findings in an integration of two modules, whose flows go to and fro."""
    here = """\
from halflap import Integration
integration = Integration("both")
other = Integration("other")

async def hand_on(name):
    await acme.save(name)
"""
    flows = f"""\
import acme, crm
from here import hand_on, integration, other

@integration.flow(trigger=acme.changed, {to_crm})
async def to_crm(ctx, event):  {ignored}
    save = {name}.titled("Save")
    await save(event.name)

@{there}.flow(trigger=crm.changed, {to_acme})
async def to_acme(ctx, event):
    await hand_on(event.name)
"""
    here = "import acme\n" + here
    files = {"acme.py": app("acme"), "crm.py": app("crm", kind), "here.py": here, "there.py": flows}
    return lint(files)


def test_the_examples_have_no_findings():
    folder = Path(__file__).parents[2] / "examples"
    files = {each.name: each.read_text() for each in folder.glob("*.py")}
    assert lint(files, known_actions(), known_records()) == []
    bare = {name: re.sub(r"pairs=\w+,?", "", text) for name, text in files.items()}
    found = lint(bare, known_actions(), known_records())
    assert {each.code for each in found} == {"HF013"}
    assert {each.file for each in found} == {"salesforce_acme.py", "salesforce_acme_contacts.py"}


def test_the_table_of_rules_is_complete():
    assert len(CODES) == len(RULES)
    assert all(each.finds and each.why and each.instead for each in RULES)


@for_each(
    ("given", "found"),
    [
        ('signature="standard", dedupe="header:x-id"', True),
        ('signature=StandardWebhooks(), dedupe=header("x-id")', True),
        ('signature="svix", dedupe="header:webhook-id"', True),
        ('signature="standard", dedupe="header:Webhook-Id"', False),
        ('signature="svix", dedupe=header("svix-id")', False),
        ('signature="github", dedupe="header:x-github-delivery"', False),
        ('signature="standard", dedupe="body:/id"', False),
        ('dedupe="header:x-id"', False),
    ],
)
def test_a_signed_id_is_the_better_key(given: str, found: bool) -> None:
    text = (
        f"from halflap import StandardWebhooks, header, webhook\n\nt = webhook.request({given})\n"
    )
    codes = [each.code for each in lint({"t.py": text}, frozenset())]
    assert codes == (["HF016"] if found else [])


CATCHES_UP = '''
from datetime import datetime
from halflap import Component, Missed, Request, header, pointer, query

component = Component("shop", title="Shop")


@component.trigger(verify=layout, dedupe={dedupe})
async def order(request: Request) -> dict:
    """An order."""
    return request.json()


@order.catch_up
async def _(shop: Shop, since: datetime):
    yield Missed({{"id": 1}}, since{given})
'''


@for_each(
    ("dedupe", "given", "found"),
    [
        ('header("x-id")', "", "HF018"),
        ('header("x-id")', ', headers={"x-kind": "order"}', "HF018"),
        ('query("id")', ', headers={"id": "1"}', "HF018"),
        ('header("x-id")', ', headers={"X-Id": "1"}', None),
        ('header("x-id")', ", headers=made", None),
        ('header("x-id")', ", headers={**made}", None),
        ('header("x-id")', ", is_state=True", None),
        ('pointer("/id")', "", None),
        ("own", "", None),
    ],
)
def test_what_is_caught_up_has_what_dedupe_reads(
    dedupe: str, given: str, found: str | None
) -> None:
    text = CATCHES_UP.format(dedupe=dedupe, given=given)
    codes = [each.code for each in lint({"shop.py": text}, frozenset())]
    assert codes == ([found] if found else [])
