"""Actions of Twilio, declared from its OpenAPI documents."""

from __future__ import annotations

from pathlib import Path

from halflap import Operation, Paging, Specification
from halflap.components.twilio.connection import component

HERE = Path(__file__)
SPECIFICATION = Specification(
    HERE.with_name("openapi.json"),
    given={"AccountSid": "account_sid"},
    names={"From": "sender"},
    hidden=("Page", "PageToken"),
    prefix="/2010-04-01",
)
LOOKUPS = Specification(HERE.with_name("lookups.json"), base="lookups_url")
MESSAGES = Paging.link("messages", "next_page_uri", size="PageSize", largest=1000)
CALLS = Paging.link("calls", "next_page_uri", size="PageSize", largest=1000)

ACTIONS = component.operations(
    SPECIFICATION,
    {
        "send_message": Operation(
            "CreateMessage",
            "Send a message",
            "sender body messaging_service_sid media_url status_callback",
        ),
        "get_message": Operation("FetchMessage", "Get a message", missing=True),
        "list_messages": Operation("ListMessage", "List messages", "to sender most", MESSAGES),
        "delete_message": Operation("DeleteMessage", "Delete a message"),
        "make_call": Operation("CreateCall", "Make a call", "url twiml status_callback timeout"),
        "get_call": Operation("FetchCall", "Get a call", missing=True),
        "list_calls": Operation("ListCall", "List calls", "to sender status most", CALLS),
        "update_call": Operation("UpdateCall", "Change or end a call", "status url twiml"),
    },
)
LOOKED_UP = component.operations(
    LOOKUPS,
    {
        "look_up_number": Operation(
            "FetchPhoneNumber",
            "Look up a phone number",
            "fields country_code",
            description="Tell whether a phone number is valid, and what is known of it.",
        ),
    },
)
globals().update(ACTIONS | LOOKED_UP)
