"""Twilio: messages and calls, look-ups of numbers, and the messages that come in."""

from halflap.components.twilio.actions import *  # noqa: F403
from halflap.components.twilio.connection import Twilio, component
from halflap.components.twilio.triggers import Media, Message, list_numbers, message

__all__ = ["Media", "Message", "Twilio", "component", "list_numbers", "message"]
