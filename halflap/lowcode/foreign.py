"""Keys and values of other tools, by the part of a document that they stand in, with the mend."""

from __future__ import annotations

from collections.abc import Mapping

_INPUTS = "inputs=with input=with args=with arguments=with parameters=with params=with"
_RENAMED: Mapping[str, str] = {
    "step": "uses=action use=action run=code script=code foreach=for for_each=for each=for loop=for "
    "print=log raise=throw fail=throw delay=sleep var=set vars=set assign=set when=if condition=if "
    "case=switch match=switch catch=try flow=call workflow=call",
    "*": "name=title label=title description=note comment=note retries=retry onError=on_failure "
    "on_error=on_failure as=id output=id",
    "action": _INPUTS,
    "code": _INPUTS,
    "call": "with=event inputs=event input=event payload=event",
    "if": "do=then steps=then otherwise=else",
    "for": "items=in of=in steps=do then=do if=where when=where filter=where concurrency=parallel as=for",
    "switch": "case=cases else=default",
    "try": "except=catch rescue=catch",
    "wait": "until=timeout",
    "retry": "count=attempts max_attempts=attempts delay=first interval=first max_delay=longest",
    "stop": "result=answer response=reply reason=ignore",
    "reply": "code=status statusCode=status json=body",
    "flow": "on=trigger when=trigger actions=steps tasks=steps nodes=steps if=filter condition=filter "
    "concurrency=order name=title inputs=with",
    "route": "to=flow if=when condition=when payload=event",
    "document": "jobs=flows workflows=flows settings=config inputs=config",
    "field": "options=choices enum=choices values=choices label=title name=title help=description "
    "min=minimum max=maximum show_when=when if=when",
    "test": "input=event payload=event given=event mocks=stubs calls=expect expected=expect",
}  # fmt: skip
"""By part, the keys of other tools and those that they mean, as far as one has the value of the other."""

_ELSE = "write another `if` under `else`: `else: [{if: =…, then: […]}]`"
_REPLY = "write `stop: {reply: {status: 200, body: …}}`"
_ORDER = "steps run in their order, one after another"
_UNDER_IF = "put the step under an `if`: `if: =…`, `then: […]`"
_TRIGGER = "each flow has a trigger: `flows: {main: {trigger: webhook.request, steps: […]}}`"
_INPUT = "it is an input of the trigger: `with: {dedupe: …, signature: …}`"
_CRON = "write `trigger: schedule.cron`, `with: {expression: 0 6 * * *}`"
_SAID: Mapping[str, Mapping[str, str]] = {
    "step": {
        "return": "write `stop: {answer: …}`, which ends the flow with a result",
        "respond": _REPLY, "response": _REPLY, "reply": _REPLY, "exit": "write `stop: true`",
        "continue": "items are left out by the loop's `where`, or by an `if` around the rest",
        "parallel": "steps follow each other; items go side by side in a `for` with `parallel: 10`",
        "while": "there is no loop without a list: write `for: item`, `in: =…`; to wait, write `sleep`",
        "loop": "write `for: item`, `in: =event.items`, `do: […]`",
        "var": "write `set: {name: value}`",
        "else": "it belongs to the `if` above: indent it like its `then`, without a dash",
        "default": "it belongs to the `switch` above: indent it like its `cases`, without a dash",
        "elif": _ELSE, "else if": _ELSE,
    },
    "*": {
        "continue-on-error": "write `on_failure: ignore`",
        "continueOnFail": "write `on_failure: ignore`",
        "when": _UNDER_IF, "condition": _UNDER_IF,
        "needs": _ORDER, "depends_on": _ORDER, "next": _ORDER,
        "elif": _ELSE, "else if": _ELSE,
        "finally": "write what follows behind the `try`, which goes on after its `catch`",
    },
    "flow": {
        "retry": "a flow goes on where it stopped; how often is a step's retry: `retry` of an `action`",
        "dedupe": _INPUT, "signature": _INPUT, "cron": _CRON, "schedule": _CRON,
        "every": "write `trigger: schedule.every`, `with: {minutes: 5}`",
        "webhook": "write `trigger: webhook.request`",
    },
    "stop": {"status": "write `stop: {reply: {status: …}}`", "body": "write `stop: {reply: {body: …}}`"},
    "document": {
        "version": "each version that is published is named by what is in it",
        "on": _TRIGGER, "trigger": _TRIGGER, "steps": _TRIGGER,
        "secrets": "a secret belongs into a connection: `config: {Connect: {acme: {connection: acme}}}`",
    },
    "field": {
        "optional": "write `required: false`", "secret": "a secret belongs into a connection",
    },
}  # fmt: skip
"""By part, the keys of other tools for which something else is written."""

_VALUES = (
    "string=text str=text int=integer number=decimal float=decimal bool=boolean timestamp=datetime "
    "time=datetime uri=url mail=email map=mapping object=mapping warn=warning set=put write=put "
    "save=put read=get remove=delete continue=ignore skip=ignore success=succeeded ok=succeeded "
    "failure=failed serial=fifo global=integration shared=instance fetch=get send=request body=json "
    "data=json payload=json url=path endpoint=path query=params timezone=tz time_zone=tz "
    "cron=expression schedule=expression sync=result find=query interval=minutes"
)
_PAIRS = [each.partition("=") for each in _VALUES.split()]

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    name: tuple(meant for other, _, meant in _PAIRS if other == name) for name, _, _ in _PAIRS
}
"""By a word of other tools, the names and values that it may mean."""

SECRET_TYPES = frozenset(("secret", "password", "token", "credential", "api_key", "apikey"))
CHOICE_TYPES = frozenset(("select", "dropdown", "enum", "choice", "radio", "picklist", "options"))


def renamed(part: str, key: str) -> str | None:
    """Return the key that one of another tool means in a part of a document."""
    for place in _places(part):
        for pair in _RENAMED.get(place, "").split():
            foreign, _, meant = pair.partition("=")
            if foreign == key:
                return meant
    return None


def explained(part: str, key: str) -> str | None:
    """Return what is written in the place of a key of another tool."""
    for place in _places(part):
        found = _SAID.get(place, {}).get(key)
        if found is not None:
            return found
    return None


def _places(part: str) -> tuple[str, ...]:
    return (part,) if part in _WHOLE else (part, "*")


_WHOLE = frozenset(("document", "flow", "route", "field", "test", "retry", "stop", "reply", "step"))
"""Parts that are no step of a kind, for which what all steps have does not count."""
