import io
import sys
from typing import Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from halflap import Connection
from halflap.cli import ask
from halflap.errors import ConfigError
from halflap.sdk.oauth import ApiKey, OAuth2Code
from tests.cases import for_each


class Cloud(Connection):
    """An account in the cloud."""

    base_url: str = "https://cloud.example"
    """Where it is."""
    region: Literal["eu", "us"]
    retries: int | None = None
    tags: list[str] = []
    auth: OAuth2Code | ApiKey


class Plain(Connection):
    """One key."""

    key: SecretStr
    exact: bool = False


CLOUD = ask.SchemaForm(Cloud.model_json_schema())
PLAIN = ask.SchemaForm(Plain.model_json_schema())
KEY = {"region": "eu", "auth.kind": "api_key", "auth.key": "k"}


def asked(
    form: ask.SchemaForm, typed: str, given: dict[str, str] | None = None
) -> tuple[object, str]:
    """The values of a form that is filled in by hand, and what was shown meanwhile."""
    with CliRunner().isolation(input=typed) as (_, errors, _):
        values = form.fill(given or {}, ask=True)
        sys.stderr.flush()
        return values, errors.getvalue().decode()


def test_options_fill_a_form_by_path():
    given = {**KEY, "retries": "3", "tags": '["a", "b"]'}
    assert CLOUD.fill(given, ask=False) == {
        "region": "eu",
        "retries": 3,
        "tags": ["a", "b"],
        "auth": {"kind": "api_key", "key": "k"},
    }


def test_what_a_form_makes_is_a_connection():
    assert Cloud.model_validate(CLOUD.fill(KEY, ask=False)).region == "eu"


def test_all_that_lacks_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        CLOUD.fill({}, ask=False)
    assert set(error.value.fields) == {"region", "auth.kind"}
    assert "--field region=eu|us" in error.value.message
    assert "--field auth.kind=oauth2_code|api_key" in error.value.message


def test_what_a_sign_in_brings_is_not_asked_for():
    given = {"auth.kind": "oauth2_code"}
    names = CLOUD.names(given)
    assert "auth.client_secret" in names
    assert not {"auth.access_token", "auth.refresh_token", "auth.expires_at"} & set(names)


@for_each(
    ("given", "said"),
    [
        ({"colour": "red"}, "no field 'colour'"),
        ({"region": "mars"}, "one of eu, us"),
        ({**KEY, "retries": "many"}, "is no integer"),
        ({"region": "eu", "auth.kind": "magic"}, "auth.kind is one of"),
    ],
)
def test_a_wrong_answer_says_what_is_right(given, said):
    with pytest.raises(ConfigError, match=said):
        CLOUD.fill(given, ask=False)


def test_a_field_of_a_way_in_without_its_kind_is_told_as_such():
    with pytest.raises(ConfigError) as error:
        CLOUD.fill({"region": "eu", "auth.key": "k"}, ask=False)
    assert set(error.value.fields) == {"auth.kind"}
    assert "--field auth.kind=oauth2_code|api_key" in error.value.message
    with pytest.raises(ConfigError, match=r"no field 'author\.key'"):
        CLOUD.fill({"region": "eu", "author.key": "k"}, ask=False)


def test_known_fields_are_left_as_they_are():
    assert CLOUD.fill({"region": "us"}, ask=False, known=["auth"]) == {"region": "us"}


def test_questions_are_asked_again_until_the_answer_fits():
    values, shown = asked(CLOUD, "\nmars\neu\n\napi_key\nthe-key\n")
    assert values == {"region": "eu", "auth": {"kind": "api_key", "key": "the-key"}}
    assert "Where it is." in shown
    assert "[https://cloud.example]" in shown
    assert "is one of eu, us, not 'mars'" in shown


def test_a_secret_is_asked_for_unseen():
    values, shown = asked(PLAIN, "hush\nyes\n")
    assert values == {"key": "hush", "exact": True}
    assert "hush" not in shown


def test_what_was_given_is_not_asked_for():
    values, shown = asked(PLAIN, "\n", {"key": "k"})
    assert values == {"key": "k"}
    assert "Key" not in shown


def test_secrets_come_from_a_file_a_variable_or_stdin(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("one\n")
    monkeypatch.setenv("TWO", "two")
    monkeypatch.setattr("sys.stdin", io.StringIO("three\n"))
    given = [f"a=@{tmp_path / 'key'}", "b=env:TWO", "c=-"]
    assert ask.secrets(given) == {"a": "one", "b": "two", "c": "three"}


@for_each("source", ["@/no/such/file", "env:NOT_SET_AT_ALL"])
def test_a_secret_that_is_not_there_is_told(source):
    with pytest.raises(ConfigError, match="--secret key"):
        ask.secrets([f"key={source}"])


def test_options_are_names_and_values():
    assert ask.pairs(["a=b=c"], "--field") == {"a": "b=c"}
    for wrong in (["a"], ["=b"], ["a=1", "a=2"]):
        with pytest.raises(click.UsageError):
            ask.pairs(wrong, "--field")
