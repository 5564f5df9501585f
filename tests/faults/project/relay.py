"""The project of the fault runs: one flow that has one effect, and flows that read hostile bodies."""

import gzip
import os
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from halflap import Component, Config, Context, Integration, Model, Request, email, http, webhook

component = Component("post", title="Post", description="XML, mail and compressed bodies.")


class Settings(Config):
    sink: http.Http


class Numbered(Model):
    n: int


@component.trigger()
async def xml(request: Request) -> dict[str, Any]:
    """An XML document."""
    root = request.xml()
    return {"tag": root.tag, "children": len(root), "text": (root.text or "")[:100]}


@component.trigger()
async def mail(request: Request) -> dict[str, Any]:
    """A mail, as its sender wrote it."""
    message = message_from_bytes(request.body, policy=policy.default)
    parts = [part.get_filename() for part in message.walk() if not part.is_multipart()]
    return {"subject": str(message["subject"]), "files": [name for name in parts if name]}


@component.trigger(decompress=True, body_limit=1_000_000)
async def packed(request: Request) -> dict[str, int]:
    """A body that may be compressed."""
    return {"length": len(request.body)}


@component.trigger()
async def upload(request: Request) -> dict[str, Any]:
    """A form with files."""
    files = [[each.name, each.data.decode("latin-1")] for each in request.files()]
    return {"fields": request.form(), "files": files}


@component.trigger()
async def naive(request: Request) -> dict[str, Any]:
    """Trust the body, as no trigger should. The control of the hostile bodies."""
    if request.body.startswith(b"\x1f\x8b"):
        return {"length": len(gzip.decompress(request.body))}
    return {"filepath": Path(request.json()["files"]["x"]["filepath"]).read_text()}


integration = Integration("relay", config=Settings, title="Fault runs")


@integration.flow(trigger=webhook.request())
async def numbered(ctx: Context[Settings], event: Numbered) -> None:
    """Hand an event on: one POST."""
    await http.post(ctx.config.sink, "/", json={"n": event.n})


@integration.flow(trigger=webhook.request(dedupe="header:x-delivery-id"))
async def once(ctx: Context[Settings], event: Numbered) -> None:
    """Hand an event on, but each delivery once."""
    await http.post(ctx.config.sink, "/", json={"n": event.n})


@integration.flow(trigger=email.received)
async def mailed(ctx: Context[Settings], event: email.Mail) -> None:
    """Hand on the number that a mail's subject is."""
    await http.post(ctx.config.sink, "/", json={"n": int(event.subject)})


@integration.flow(trigger=webhook.request())
async def anything(ctx: Context[Settings], event: Any) -> Any:
    """Return whatever came."""
    return event


@integration.flow(trigger=xml())
async def documents(ctx: Context[Settings], event: Any) -> Any:
    """Return what an XML document says."""
    return event


@integration.flow(trigger=mail())
async def mails(ctx: Context[Settings], event: Any) -> Any:
    """Return what a mail says."""
    return event


@integration.flow(trigger=packed())
async def archives(ctx: Context[Settings], event: Any) -> Any:
    """Return how long a body is, once it is unpacked."""
    return event


@integration.flow(trigger=upload())
async def uploads(ctx: Context[Settings], event: Any) -> Any:
    """Return what a form holds."""
    return event


@integration.flow(trigger=naive())
async def naive_bodies(ctx: Context[Settings], event: Any) -> Any:
    """Return what a naive trigger read."""
    return event


@integration.flow(trigger=webhook.request())
async def poison(ctx: Context[Settings], event: Any) -> None:
    """End the process that runs it."""
    os._exit(9)
