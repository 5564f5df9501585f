"""GitHub → Acme: whatever happens in a repository, as an activity that people can read."""

from typing import Any

import acme

from halflap import Config, Context, Integration, github


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    github: github.GitHub
    acme: acme.Acme


integration = Integration("github-acme", config=Settings, title="GitHub → Acme")


@integration.flow(trigger=github.event(events=["*"]))
async def activity(ctx: Context[Settings], event: github.Event) -> None:
    """Log what happened in the repository, once, under GitHub's id for it."""
    await acme.log_activity(
        ctx.config.acme, kind=event.name, title=sentence(event), external_id=event.id
    )


def sentence(event: github.Event) -> str:
    """Say what happened, to what, where, by whom: `Issues opened #1 “It breaks” in octo/hello by ada`."""
    words = [event.name.replace("_", " ").capitalize(), (event.action or "").replace("_", " ")]
    subject = subject_of(event)
    if "number" in subject:
        words.append(f"#{subject['number']}")
    name = subject.get("title") or subject.get("name") or subject.get("ref")
    words += [f"“{name}”" if name else ""]
    words += [f"in {event.repository}" if event.repository else ""]
    words += [f"by {event.sender}" if event.sender else ""]
    return " ".join(filter(None, words))[:1000]


def subject_of(event: github.Event) -> dict[str, Any]:
    """Return the object that the event is about: that of its name, or one that many events have."""
    candidates = (event.name, "issue", "pull_request", "discussion", "alert", "release")
    for name in candidates:
        if isinstance(event.payload.get(name), dict):
            return event.payload[name]
    return {"ref": event.payload.get("ref")}
