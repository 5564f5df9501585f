from decimal import Decimal
from typing import Annotated

from pydantic import Field, SecretStr

from halflap import Config, Connection, Integration
from halflap.cli.answers import answered, expected, stray
from halflap.cli.project import read_environment
from halflap.sdk.oauth import ApiKey, OAuth2Code
from tests.cases import for_each


class Shop(Connection):
    base_url: str = "https://shop.example"
    api_key: SecretStr
    """From Shop's Settings."""


class Mail(Connection):
    auth: OAuth2Code | ApiKey


class Settings(Config):
    shop: Shop
    greeting: str = "Hello"
    discount: Annotated[Decimal, Field(ge=0, le=100, title="Discount (%)")]
    tags: list[str] = []


class Mailing(Config):
    mail: Mail


shop = Integration("shop", config=Settings)
mail = Integration("mail", config=Mailing)


def test_fields_are_answered_by_their_names_in_capitals():
    answers = answered(
        shop,
        {"SHOP_API_KEY": "k", "GREETING": "Hi", "DISCOUNT": "2.50", "TAGS": '["a"]', "USER": "x"},
    )
    assert answers.config == {"greeting": "Hi", "discount": "2.50", "tags": ["a"]}
    assert answers.connections == {"shop": {"api_key": "k"}}
    assert answers.lacking == {}
    Settings.model_validate({**answers.config, "shop": answers.connections["shop"]})


def test_what_lacks_is_told_as_lines_of_the_file():
    answers = answered(shop, {})
    assert [str(each) for lacks in answers.lacking.values() for each in lacks] == [
        "SHOP_API_KEY=  # From Shop's Settings.",
        "DISCOUNT=  # Discount (%)",
    ]
    assert answers.connections == {}


def test_a_wrong_value_is_told_without_repeating_it():
    answers = answered(shop, {"SHOP_API_KEY": "k", "DISCOUNT": "101"})
    (lack,) = answers.lacking["discount"]
    assert "at most 100" in str(lack)
    assert "101" not in str(lack)


@for_each(
    ("environment", "kind"),
    [
        ({"MAIL_AUTH_KEY": "k"}, "api_key"),
        (
            {
                "MAIL_AUTH_TOKEN_URL": "https://x/t",
                "MAIL_AUTH_AUTHORIZE_URL": "https://x/a",
                "MAIL_AUTH_CLIENT_ID": "c",
            },
            "oauth2_code",
        ),
    ],
)
def test_the_way_in_that_is_answered_whole_is_taken(environment, kind):
    answers = answered(mail, environment)
    assert answers.connections["mail"]["auth"]["kind"] == kind
    Mail.model_validate(answers.connections["mail"])


def test_of_several_ways_in_what_the_nearest_lacks_is_told():
    answers = answered(mail, {"MAIL_AUTH_CLIENT_ID": "c"})
    assert [each.variable for each in answers.lacking["mail"]] == [
        "MAIL_AUTH_TOKEN_URL",
        "MAIL_AUTH_AUTHORIZE_URL",
    ]
    assert [
        each.variable for each in answered(mail, {"MAIL_AUTH_KIND": "api_key"}).lacking["mail"]
    ] == ["MAIL_AUTH_KEY"]


def test_an_empty_line_answers_nothing_and_a_dollar_stays(tmp_path):
    path = tmp_path / ".env"
    assert read_environment(path) == {}
    path.write_text("SHOP_API_KEY=\nA='x${HOME}'\nB=1  # why\n")
    assert read_environment(path) == {"A": "x${HOME}", "B": "1"}


def test_a_line_that_answers_nothing_is_found_with_what_may_be_meant():
    wanted = expected(shop) | expected(mail)
    lines = {
        "GREETINGG": "x",
        "GREETING": "Hi",
        "SHOP_API_KEY": "k",
        "MAIL_AUTH_KIND": "api_key",
        "MAIL_AUTH_CLIENT_ID": "c",
        "HALFLAP_PORT": "1",
        "QQ": "x",
    }
    assert stray(lines, wanted) == {"GREETINGG": "GREETING", "QQ": ""}
