"""HTTP: call any API that has no component of its own yet, or read what is new there."""

from halflap.components.http.actions import Answer, delete, get, pages, patch, post, put, request
from halflap.components.http.connection import Http, Method, Params, Path, Values, component
from halflap.components.http.triggers import ServerEvent, events, long_poll, poll

__all__ = [
    "Answer",
    "Http",
    "Method",
    "Params",
    "Path",
    "ServerEvent",
    "Values",
    "component",
    "delete",
    "events",
    "get",
    "long_poll",
    "pages",
    "patch",
    "poll",
    "post",
    "put",
    "request",
]
