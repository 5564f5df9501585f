"""Values of the product that the API shows as they are: what is added to one is public at once."""

from __future__ import annotations

from fastapi import FastAPI

from halflap.api.app import ROUTERS, describe
from halflap.api.view import Input, View

SHOWN = {
    "CallChange": "name kind change",
    "ExampleRequest": "method url headers body",
    "FieldChange": "name title change before after asked",
    "FileChange": "path change text added removed left_out",
    "FlowChange": "change name title values steps",
    "FlowOutline": "path place name title description trigger preprocess shared fields steps",
    "FoundSandbox": "app state url account values message",
    "ListeningFlow": "integration title version flow instances by_config",
    "NodeBlock": "path place title nodes",
    "Outline": "name title description language file flows unknown",
    "OutlineNode": "path key place kind title id fields blocks",
    "Span": "file line column end_line",
    "StepChange": "change kind title path former_path moved values",
    "SubscriptionCheck": "flow remote_id exists because",
    "UnknownFlows": "place text",
    "ValueChange": "name before after",
}
"""Each with its fields. Before another one is added: may who reads the answer see it, a customer, too?"""


def names(kind: type) -> set[str]:
    """Return the names of a class and of all that are made of it."""
    return {kind.__name__, *(name for each in kind.__subclasses__() for name in names(each))}


def test_what_is_shown_as_it_is_has_these_fields_alone() -> None:
    app = FastAPI()
    for each in ROUTERS:
        app.include_router(each.router)
    describe(app)
    views = names(View) | names(Input)
    found = {
        name: " ".join(schema["properties"])
        for name, schema in app.openapi()["components"]["schemas"].items()
        if name not in views and not name.endswith("Page")
        if "op" not in schema.get("properties", ["op"])  # an edit of a draft, which is sent to us
    }
    assert found == SHOWN
