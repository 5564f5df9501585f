"""Actions of Twilio, made by `halflap types` from openapi.json, lookups.json; run it again after a change."""

from decimal import Decimal
from typing import Any, Literal, NotRequired, TypedDict

from halflap.components.twilio.connection import Twilio, component
from halflap import UNSET, Paging, Specification, Unset
from halflap.sdk.specification import SpecifiedAction, paged

ApiV2010AccountMessage = TypedDict("ApiV2010AccountMessage", {"account_sid": NotRequired[str | None], "api_version": NotRequired[str | None], "body": NotRequired[str | None], "date_created": NotRequired[str | None], "date_sent": NotRequired[str | None], "date_updated": NotRequired[str | None], "direction": NotRequired[Literal["inbound", "outbound-api", "outbound-call", "outbound-reply"] | None], "error_code": NotRequired[int | None], "error_message": NotRequired[str | None], "from": NotRequired[str | None], "messaging_service_sid": NotRequired[str | None], "num_media": NotRequired[str | None], "num_segments": NotRequired[str | None], "price": NotRequired[str | None], "price_unit": NotRequired[str | None], "sid": NotRequired[str | None], "status": NotRequired[Literal["queued", "sending", "sent", "failed", "delivered", "undelivered", "receiving", "received", "accepted", "scheduled", "read", "partially_delivered", "canceled"] | None], "subresource_uris": NotRequired[dict[str, Any] | None], "to": NotRequired[str | None], "uri": NotRequired[str | None]})
ApiV2010AccountCall = TypedDict("ApiV2010AccountCall", {"account_sid": NotRequired[str | None], "answered_by": NotRequired[str | None], "api_version": NotRequired[str | None], "caller_name": NotRequired[str | None], "date_created": NotRequired[str | None], "date_updated": NotRequired[str | None], "direction": NotRequired[str | None], "duration": NotRequired[str | None], "end_time": NotRequired[str | None], "forwarded_from": NotRequired[str | None], "from": NotRequired[str | None], "from_formatted": NotRequired[str | None], "group_sid": NotRequired[str | None], "parent_call_sid": NotRequired[str | None], "phone_number_sid": NotRequired[str | None], "price": NotRequired[str | None], "price_unit": NotRequired[str | None], "queue_time": NotRequired[str | None], "sid": NotRequired[str | None], "start_time": NotRequired[str | None], "status": NotRequired[Literal["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"] | None], "subresource_uris": NotRequired[dict[str, Any] | None], "to": NotRequired[str | None], "to_formatted": NotRequired[str | None], "trunk_sid": NotRequired[str | None], "uri": NotRequired[str | None]})
LookupsV2PhoneNumber = TypedDict("LookupsV2PhoneNumber", {"call_forwarding": NotRequired[Any], "caller_name": NotRequired[Any], "calling_country_code": NotRequired[str | None], "country_code": NotRequired[str | None], "identity_match": NotRequired[Any], "line_status": NotRequired[Any], "line_type_intelligence": NotRequired[Any], "national_format": NotRequired[str | None], "phone_number": NotRequired[str | None], "phone_number_quality_score": NotRequired[Any], "reassigned_number": NotRequired[Any], "sim_swap": NotRequired[Any], "sms_pumping_risk": NotRequired[Any], "url": NotRequired[str | None], "valid": NotRequired[bool | None], "validation_errors": NotRequired[list[Literal["TOO_SHORT", "TOO_LONG", "INVALID_BUT_POSSIBLE", "INVALID_COUNTRY_CODE", "INVALID_LENGTH", "NOT_A_NUMBER"]] | None]})

SPECIFICATION: Specification
LOOKUPS: Specification
MESSAGES: Paging
CALLS: Paging
ACTIONS: dict[str, SpecifiedAction]
LOOKED_UP: dict[str, SpecifiedAction]

@component.action(title="Send a message")
async def send_message(twilio: Twilio, *, to: str, sender: str | None | Unset = UNSET, body: str | None | Unset = UNSET, messaging_service_sid: str | None | Unset = UNSET, media_url: list[str] | None | Unset = UNSET, status_callback: str | None | Unset = UNSET, address_retention: Literal["retain", "obfuscate"] | None | Unset = UNSET, application_sid: str | None | Unset = UNSET, attempt: int | None | Unset = UNSET, content_retention: Literal["retain", "discard"] | None | Unset = UNSET, content_sid: str | None | Unset = UNSET, content_variables: str | None | Unset = UNSET, force_delivery: bool | None | Unset = UNSET, max_price: Decimal | int | None | Unset = UNSET, persistent_action: list[str] | None | Unset = UNSET, provide_feedback: bool | None | Unset = UNSET, risk_check: Literal["enable", "disable"] | None | Unset = UNSET, schedule_type: Literal["fixed"] | None | Unset = UNSET, send_as_mms: bool | None | Unset = UNSET, send_at: str | None | Unset = UNSET, shorten_urls: bool | None | Unset = UNSET, smart_encoded: bool | None | Unset = UNSET, validity_period: int | None | Unset = UNSET) -> ApiV2010AccountMessage:
    "Send a message."

@component.action(title="Get a message")
async def get_message(twilio: Twilio, sid: str) -> ApiV2010AccountMessage | None:
    "Fetch a specific Message."

@paged
@component.action(title="List messages")
async def list_messages(twilio: Twilio, *, to: str | None | Unset = UNSET, sender: str | None | Unset = UNSET, date_sent: str | None | Unset = UNSET, date_sent_before: str | None | Unset = UNSET, date_sent_after: str | None | Unset = UNSET, most: int = 100) -> list[ApiV2010AccountMessage]:
    "Retrieve a list of Message resources associated with a Twilio Account."

@component.action(title="Delete a message")
async def delete_message(twilio: Twilio, sid: str) -> None:
    "Deletes a Message resource from your account."

@component.action(title="Make a call")
async def make_call(twilio: Twilio, *, sender: str, to: str, url: str | None | Unset = UNSET, twiml: str | None | Unset = UNSET, status_callback: str | None | Unset = UNSET, timeout: int | None | Unset = UNSET, application_sid: str | None | Unset = UNSET, async_amd: str | None | Unset = UNSET, async_amd_status_callback: str | None | Unset = UNSET, async_amd_status_callback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, byoc: str | None | Unset = UNSET, call_reason: str | None | Unset = UNSET, call_token: str | None | Unset = UNSET, caller_id: str | None | Unset = UNSET, fallback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, fallback_url: str | None | Unset = UNSET, machine_detection: str | None | Unset = UNSET, machine_detection_silence_timeout: int | None | Unset = UNSET, machine_detection_speech_end_threshold: int | None | Unset = UNSET, machine_detection_speech_threshold: int | None | Unset = UNSET, machine_detection_timeout: int | None | Unset = UNSET, method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, record: bool | None | Unset = UNSET, recording_channels: str | None | Unset = UNSET, recording_status_callback: str | None | Unset = UNSET, recording_status_callback_event: list[str] | None | Unset = UNSET, recording_status_callback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, recording_track: str | None | Unset = UNSET, send_digits: str | None | Unset = UNSET, sip_auth_password: str | None | Unset = UNSET, sip_auth_username: str | None | Unset = UNSET, status_callback_event: list[str] | None | Unset = UNSET, status_callback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, time_limit: int | None | Unset = UNSET, trim: str | None | Unset = UNSET) -> ApiV2010AccountCall:
    "Create a new outgoing call to phones, SIP-enabled endpoints or Twilio Client connections."

@component.action(title="Get a call")
async def get_call(twilio: Twilio, sid: str) -> ApiV2010AccountCall | None:
    "Fetch the call specified by the provided Call SID."

@paged
@component.action(title="List calls")
async def list_calls(twilio: Twilio, *, to: str | None | Unset = UNSET, sender: str | None | Unset = UNSET, status: Literal["queued", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"] | None | Unset = UNSET, parent_call_sid: str | None | Unset = UNSET, start_time: str | None | Unset = UNSET, start_time_before: str | None | Unset = UNSET, start_time_after: str | None | Unset = UNSET, end_time: str | None | Unset = UNSET, end_time_before: str | None | Unset = UNSET, end_time_after: str | None | Unset = UNSET, most: int = 100) -> list[ApiV2010AccountCall]:
    "Retrieves a collection of calls made to and from your account."

@component.action(title="Change or end a call")
async def update_call(twilio: Twilio, sid: str, *, status: Literal["canceled", "completed"] | None | Unset = UNSET, url: str | None | Unset = UNSET, twiml: str | None | Unset = UNSET, fallback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, fallback_url: str | None | Unset = UNSET, method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, status_callback: str | None | Unset = UNSET, status_callback_method: Literal["HEAD", "GET", "POST", "PATCH", "PUT", "DELETE"] | None | Unset = UNSET, time_limit: int | None | Unset = UNSET) -> ApiV2010AccountCall:
    "Initiates a call redirect or terminates a call."

@component.action(title="Look up a phone number")
async def look_up_number(twilio: Twilio, phone_number: str, *, fields: str | None | Unset = UNSET, country_code: str | None | Unset = UNSET, first_name: str | None | Unset = UNSET, last_name: str | None | Unset = UNSET, address_line1: str | None | Unset = UNSET, address_line2: str | None | Unset = UNSET, city: str | None | Unset = UNSET, state: str | None | Unset = UNSET, postal_code: str | None | Unset = UNSET, address_country_code: str | None | Unset = UNSET, national_id: str | None | Unset = UNSET, date_of_birth: str | None | Unset = UNSET, last_verified_date: str | None | Unset = UNSET) -> LookupsV2PhoneNumber:
    "Tell whether a phone number is valid, and what is known of it."

