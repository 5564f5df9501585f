"""`halflap new component --openapi`: a component declared from a document, which works as it is made."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from halflap.cli import main
from halflap.cli.openapi.guess import paging_for
from halflap.cli.openapi.trimming import Depths, Trimming
from halflap.sdk.openapi import ApiDocument
from tests.cases import for_each
from tests.zygote import PYTHON

SWAGGER = """\
swagger: "2.0"
info: {title: Pet shop API, version: "1.2", license: {name: MIT}}
host: pets.example
basePath: /v2
schemes: [http, https]
consumes: [application/json]
produces: [application/json]
securityDefinitions:
  key: {type: apiKey, in: query, name: api_key}
paths:
  /pets:
    get:
      operationId: findPets
      summary: Find pets.
      parameters:
        - {name: tags, in: query, type: array, items: {type: string}, collectionFormat: csv}
        - {name: limit, in: query, type: integer, maximum: 50}
        - {name: offset, in: query, type: integer}
      responses:
        200: {description: "", schema: {$ref: "#/definitions/Pets"}}
    post:
      operationId: addPet
      parameters:
        - {name: pet, in: body, required: true, schema: {$ref: "#/definitions/Pet"}}
      responses:
        200: {description: "", schema: {$ref: "#/definitions/Pet"}}
  /pets/{petId}/photo:
    post:
      operationId: addPhoto
      parameters:
        - {name: petId, in: path, required: true, type: string}
        - {name: file, in: formData, required: true, type: file}
        - {name: note, in: formData, type: string}
      responses: {204: {description: ""}}
  /odd:
    get:
      operationId: odd
      parameters:
        - {name: body, in: body, schema: {$ref: "elsewhere.yaml#/Odd"}}
      responses: {}
definitions:
  Pets:
    type: object
    properties:
      data: {type: array, items: {$ref: "#/definitions/Pet"}}
      total: {type: integer}
  Pet:
    type: object
    required: [name]
    properties:
      id: {type: integer}
      name: {type: string}
      parent: {$ref: "#/definitions/Pet"}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.yaml").write_text(SWAGGER)
    return tmp_path


def made(*options: str, input: str | None = None) -> Result:
    arguments = ["new", "component", "pets", "--openapi", "pets.yaml", *options]
    return CliRunner().invoke(main, arguments, input=input)


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    command = [PYTHON, "-m", "halflap", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_document_becomes_a_component_whose_tests_pass(shop: Path) -> None:
    result = made("--yes")
    assert result.exit_code == 0, result.output
    assert "left out: odd: #/paths/~1odd/get/" in result.output
    assert "the reference 'elsewhere.yaml#/Odd' leads out of pets.yaml" in result.output
    folder = shop / "pets"
    assert ran(folder, "types").stdout == "wrote pets/actions.pyi\n"
    tested = ran(folder, "test")
    assert "5 passed" in tested.stdout, tested.stdout
    linted = ran(folder, "lint")
    assert linted.returncode == 0, linted.stdout
    actions = (folder / "pets/actions.py").read_text()
    paging = 'Paging.offset("data", "offset", "total", size="limit", largest=50)'
    assert paging in actions
    assert 'given={"api_key": "key"}' in actions
    assert "TODO" not in actions
    connection = (folder / "pets/connection.py").read_text()
    assert 'base_url: str = "https://pets.example/v2"' in connection
    document = json.loads((folder / "pets/openapi.json").read_text())
    assert document["x-origin"]["licence"] == "MIT"
    assert {
        each["operationId"] for path in document["paths"].values() for each in path.values()
    } == {
        *("findPets", "addPet", "addPhoto"),
    }
    read = ApiDocument(document)
    photo = read.operation("addPhoto")
    assert (photo.media, [each.is_file for each in photo.inputs]) == (
        "multipart/form-data",
        [False, False, True, False],
    )
    tags = read.operation("findPets").inputs[0]
    assert (tags.key, tags.explode) == ("tags", False)


def test_what_is_there_is_listed_and_chosen_by_id_pattern_or_path(shop: Path) -> None:
    listed = made("--list").output.splitlines()
    assert listed[0].split() == ["findPets", "GET", "/pets"]
    assert len(listed) == 4
    assert not (shop / "pets").exists()
    assert made("--yes", "--operations", "add*,GET:/pets").exit_code == 0
    document = json.loads((shop / "pets/pets/openapi.json").read_text())
    assert sorted(document["paths"]) == ["/pets", "/pets/{petId}/photo"]
    unknown = made("--yes", "--operations", "findPet", "--dir", "other")
    assert unknown.exit_code == 1
    assert "there are findPets" in unknown.output


def test_what_the_document_does_not_say_is_asked(shop: Path) -> None:
    answers = ["addPet", "https://eu.pets.example", "header:X-Key", "Idempotency-Key"]
    result = made(input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    connection = (shop / "pets/pets/connection.py").read_text()
    assert '{"X-Key": self.api_key.get_secret_value()}' in connection
    assert 'idempotency_header: ClassVar[str | None] = "Idempotency-Key"' in connection
    assert "https://eu.pets.example" in connection


@pytest.mark.parametrize("way", ["bearer", "basic", "none"])
def test_every_way_to_sign_in_makes_a_component_that_works(shop: Path, way: str) -> None:
    assert made("--yes", "--sign-in", way, "--idempotency-header", "Key").exit_code == 0
    tested = ran(shop / "pets", "test")
    assert "5 passed" in tested.stdout, tested.stdout


TENFOLD = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
BOMB = "\n".join(["a0: &a0 [x]", *TENFOLD])
LONG = f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 400)}]"
MERGED = BOMB.replace("[", "{<<: [").replace("]", "]}").replace("{<<: [x]}", "{k: v}")


@for_each(
    ("text", "options", "message"),
    [
        ("a: [", (), "is not YAML"),
        (
            "a:\n  summary: All: each",
            (),
            ':2:15: this is not YAML: mapping values are not allowed here; a text with ": ',
        ),
        # YAML 1.2, which the fast reader is not
        (
            "openapi: '2.9'\nsecurity: [{o: [read:pets]}]\nservers: [{url: https://x/v1}]",
            (),
            "is OpenAPI 2.9",
        ),
        ("{", (), "is not JSON"),
        ("[]", (), "is no OpenAPI document"),
        ("hello: 1", (), "of no version"),
        ('openapi: "2.9"', (), "is OpenAPI 2.9"),
        ("openapi: 3.0.0\npaths: {}", (), "no operation is left"),
        (BOMB, (), "more than 5,000,000 values"),
        (MERGED, (), "more than 5,000,000 values"),
        (LONG, (), "more than 5,000,000 values"),
        ("a: &a [*a]", (), "the alias *a leads back"),
        ("[" * 100_000, (), "is nested too deeply"),
        ("a: " + "[" * 100_000, (), "nested more than 200 deep"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", (), "is nested too deeply"),
        (SWAGGER, ("--sign-in", "magic"), "is no sign-in"),
        (SWAGGER, ("--sign-in", "header"), "say the name"),
    ],
    ids=lambda each: "case",
)
def test_what_cannot_be_read_is_told(
    shop: Path, text: str, options: tuple[str, ...], message: str
) -> None:
    (shop / "pets.yaml").write_text(text)
    result = made("--yes", *options)
    assert result.exit_code == 1
    assert message in result.output
    assert not (shop / "pets").exists()


def test_a_missing_file_is_told(shop: Path) -> None:
    result = CliRunner().invoke(main, ["new", "component", "pets", "--openapi", "no.yaml", "--yes"])
    assert (result.exit_code, "there is no file no.yaml" in result.output) == (1, True)


OAUTH = {
    "authorizationCode": {
        "authorizationUrl": "/oauth/authorize",
        "tokenUrl": "https://login.pets.example/token",
        "scopes": {"pets:read": "", "pets:write": "", "admin": ""},
    },
    "clientCredentials": {"tokenUrl": "https://login.pets.example/token", "scopes": {}},
}


@pytest.mark.parametrize(
    ("flows", "classes"),
    [
        (["authorizationCode"], ["SignIn"]),
        (["clientCredentials"], ["Client"]),
        (["authorizationCode", "clientCredentials"], ["SignIn", "Client"]),
    ],
    ids=["code", "client", "both"],
)
def test_oauth2_of_the_document_is_the_connections_sign_in(
    shop: Path, flows: list[str], classes: list[str]
) -> None:
    document = list_of("integer").data
    paths = document["paths"]["/things"]["get"]
    paths["security"] = [{"oauth": ["pets:write", "pets:read"]}]
    schemes = {"oauth": {"type": "oauth2", "flows": {each: OAUTH[each] for each in flows}}}
    document["components"]["securitySchemes"] = schemes
    document = {**document, "servers": [{"url": "https://pets.example/v2"}]}
    (shop / "pets.yaml").write_text(json.dumps(document))
    result = made("--yes")
    assert result.exit_code == 0, result.output
    folder = shop / "pets"
    assert (folder / "pets/py.typed").is_file()
    connection = (folder / "pets/connection.py").read_text()
    assert [each for each in ("SignIn", "Client") if f"class Pets{each}(" in connection] == classes
    if "SignIn" in classes:
        assert '"https://pets.example/oauth/authorize"' in connection
        assert 'scopes: tuple[str, ...] = ("pets:read", "pets:write",)' in connection
    tested = ran(folder, "test")
    assert "3 passed" in tested.stdout, tested.stdout + connection
    fields = "import pets, json; print(json.dumps(pets.Pets.model_json_schema()))"
    shown = subprocess.run(
        [PYTHON, "-c", fields], cwd=folder, capture_output=True, text=True, check=True
    )
    form = json.loads(shown.stdout)
    assert "auth" in form["required"]
    assert not [each for each in form["$defs"].values() if "token_url" in each["properties"]]


def test_a_stub_has_all_names_of_its_module_until_it_has_fallen_behind(shop: Path) -> None:
    made("--yes")
    assert ran(shop / "pets", "types").returncode == 0
    stub = ast.parse((shop / "pets/pets/actions.pyi").read_text())
    imported = {
        name.name for each in stub.body if isinstance(each, ast.ImportFrom) for name in each.names
    }
    used = {each.id for each in ast.walk(stub) if isinstance(each, ast.Name)}
    assert imported <= used
    assert {"ACTIONS", "SPECIFICATION", "paged"} <= used
    fine = ran(shop / "pets", "types", "--check")
    assert fine.returncode == 0, fine.stderr
    actions = shop / "pets/pets/actions.py"
    actions.write_text(actions.read_text().replace('"add_pet"', '"create_pet"'))
    behind = ran(shop / "pets", "types", "--check")
    assert (behind.returncode, "has fallen behind" in behind.stderr) == (1, True)


def test_a_fraction_is_a_decimal_and_what_is_written_by_hand_needs_another_module(
    shop: Path,
) -> None:
    source = (shop / "pets.yaml").read_text()
    named = "      name: {type: string}"
    (shop / "pets.yaml").write_text(source.replace(named, f"{named}\n      kg: {{type: number}}"))
    made("--yes")
    assert ran(shop / "pets", "types").returncode == 0
    stub = (shop / "pets/pets/actions.pyi").read_text()
    assert "from decimal import Decimal" in stub
    assert '"kg": NotRequired[Decimal | int]' in stub
    assert "kg: Decimal | int | None | Unset = UNSET" in stub
    actions = shop / "pets/pets/actions.py"
    own = 'class Dog: ...\n\n\n@component.action\nasync def walk() -> None:\n    """Walk."""\n'
    actions.write_text(f"{actions.read_text()}\n\n{own}")
    refused = ran(shop / "pets", "types")
    assert (refused.returncode, "has Dog, walk beside" in refused.stderr) == (1, True)


FLOW = """\
name: mails
config:
  Connections:
    pets: {connection: pets}
flows:
  a:
    trigger: webhook.request
    with: {signature: null}
    steps:
      - {id: add, action: pets.add_pet, with: {name: Rex, mail: MAIL}}
"""


def test_a_literal_of_another_format_is_a_finding(shop: Path) -> None:
    source = (shop / "pets.yaml").read_text()
    named = "      name: {type: string}"
    mail = named.replace("name: {type: string", "mail: {type: string, format: email")
    (shop / "pets.yaml").write_text(source.replace(named, f"{named}\n{mail}"))
    assert made("--yes").exit_code == 0
    said = "the input mail does not fit: has to be an address of mail (format email)"
    for given, is_told in (("nomail", True), ("a@b.example", False)):
        (shop / "pets/flow.yaml").write_text(FLOW.replace("MAIL", given))
        linted = ran(shop / "pets", "lint", "flow.yaml")
        assert (said in linted.stdout + linted.stderr) is is_told, linted.stdout + linted.stderr
        assert is_told or linted.returncode == 0, linted.stdout


CALL = "__import__('os').system('true')"
HOSTILE = {
    "openapi": "3.0.3",
    "info": {"title": f'Shop """ + {CALL} + """ \\x22\\x22\\x22\n', "version": '1"'},
    "servers": [{"url": f'https://x"; {CALL}; y="'}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "query", "name": f'k": {CALL} or "x", "z'}
        }
    },
    "paths": {
        f'/a", {CALL} or "': {
            "get": {
                "operationId": f'list", {CALL}, "',
                "summary": f'List", {CALL}, "',
                "parameters": [
                    {"name": f'limit", {CALL} or "', "in": "query", "schema": {"type": "integer"}},
                    {
                        "name": "kind",
                        "in": "query",
                        "required": True,
                        "schema": {"enum": [f'true", {CALL}, "']},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        f'data", {CALL}, "': {
                                            "type": "array",
                                            "items": {"type": "string"},
                                        }
                                    },
                                }
                            }
                        },
                    }
                },
            }
        }
    },
}


def test_what_a_document_says_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostile.json").write_text(json.dumps(HOSTILE))
    made = CliRunner().invoke(
        main, ["new", "component", "shop", "--openapi", "hostile.json", "--yes"]
    )
    assert made.exit_code == 0, made.output
    files = [*tmp_path.rglob("*.py"), *tmp_path.rglob("*.pyi")]
    assert len(files) >= 4
    for each in files:
        calls = [
            node for node in ast.walk(ast.parse(each.read_text())) if isinstance(node, ast.Call)
        ]
        assert not [one for one in calls if getattr(one.func, "id", "") == "__import__"], each


def list_of(page: str, in_body: bool = False, **fields: object) -> ApiDocument:
    thing = {"type": "object", "properties": {"id": {"type": "string"}}}
    more = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "of": {"$ref": "#/components/schemas/Deep"}},
    }
    asked = {"page": {"type": page}, "limit": {"type": "integer"}}
    sent: dict[str, object] = {
        "parameters": [{"name": n, "in": "query", "schema": s} for n, s in asked.items()]
    }
    if in_body:
        content = {"application/json": {"schema": {"type": "object", "properties": asked}}}
        sent = {"requestBody": {"content": content}}
    return ApiDocument(
        {
            "openapi": "3.0.3",
            "info": {"title": "Things", "version": "1"},
            "paths": {
                "/things": {
                    "post" if in_body else "get": {
                        "operationId": "listThings",
                        **sent,
                        "responses": {
                            "200": {
                                "description": "",
                                "content": {
                                    "application/json": {
                                        "schema": {
                                            "type": "object",
                                            "properties": {
                                                "data": {
                                                    "type": "array",
                                                    "items": {"$ref": "#/components/schemas/Full"},
                                                },
                                                **fields,
                                            },
                                        }
                                    }
                                },
                            }
                        },
                    }
                }
            },
            "components": {
                "schemas": {
                    "Base": thing,
                    "Mini": {"allOf": [{"$ref": "#/components/schemas/Base"}, more]},
                    "Full": {"allOf": [{"$ref": "#/components/schemas/Mini"}, more]},
                    "Deep": {
                        "type": "object",
                        "properties": {"on": {"$ref": "#/components/schemas/Full"}},
                    },
                }
            },
        }
    )


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize(("page", "kind"), [("string", "token"), ("integer", "number")])
def test_a_page_that_is_a_text_beside_the_next_one_is_a_token(
    page: str, kind: str, in_body: bool
) -> None:
    document = list_of(page, in_body, next={"type": "string"})
    declared = paging_for(document.operation("listThings")) or ""
    assert declared.startswith(f'Paging.{kind}("data", "page"')


def test_what_a_schema_extends_costs_no_depth() -> None:
    document = list_of("integer")
    trimmed = Trimming(document, Depths(answer=1)).trimmed(["listThings"], {})
    answered = ApiDocument(trimmed).operation("listThings").answer
    assert answered is not None
    assert {"id", "name"} <= set(answered["properties"]["data"]["items"]["properties"])
