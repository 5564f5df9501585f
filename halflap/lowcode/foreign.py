"""Keys and values of other tools, by the part of a document that they stand in, with the mend."""

from __future__ import annotations

from collections.abc import Mapping

_ACTION_INPUTS = "with parameters params inputs input args arguments options config data"
_RENAMED: Mapping[str, str] = {
    "step": "uses=action run=code script=code javascript=code python=code type=action use=action "
    "node=action module=action task=action foreach=for for_each=for each=for loop=for repeat=for "
    "while=for print=log console=log echo=log message=log raise=throw fail=throw error=throw "
    "delay=sleep pause=sleep var=set vars=set assign=set variable=set let=set when=if condition=if "
    "case=switch choice=switch match=switch catch=try flow=call subflow=call workflow=call",
    "*": "name=title label=title description=note comment=note retries=retry onError=on_failure "
    "on_error=on_failure error=on_failure save_as=id as=id register=id output=id key=id",
    "action": " ".join(f"{each}=with" for each in _ACTION_INPUTS.split()[1:]),
    "code": " ".join(f"{each}=with" for each in _ACTION_INPUTS.split()[1:]),
    "call": " ".join(f"{each}=event" for each in (*_ACTION_INPUTS.split(), "payload", "body")),
    "if": "do=then steps=then actions=then otherwise=else",
    "for": "items=in of=in list=in each=in over=in steps=do then=do actions=do body=do if=where "
    "when=where filter=where concurrency=parallel as=for",
    "switch": "case=cases branches=cases when=cases else=default otherwise=default",
    "try": "except=catch rescue=catch on_error=catch error_name=error",
    "wait": "until=timeout max=timeout for=timeout signal=wait",
    "log": "message=log data=fields extra=fields severity=level",
    "state": "name=key id=key",
    "retry": "count=attempts max_attempts=attempts maxAttempts=attempts limit=attempts times=attempts "
    "max=attempts tries=attempts delay=first interval=first initial=first wait=first max_delay=longest",
    "stop": "result=answer value=answer return=answer response=reply reason=ignore",
    "reply": "code=status statusCode=status statuscode=status status_code=status json=body "
    "content=body text=body",
    "flow": "on=trigger when=trigger event=trigger source=trigger actions=steps do=steps "
    "tasks=steps nodes=steps jobs=steps if=filter condition=filter where=filter concurrency=order "
    "queue=order name=title label=title inputs=with parameters=with expires=max_age ttl=max_age",
    "route": "to=flow target=flow if=when condition=when filter=when payload=event drop=ignore",
    "document": "jobs=flows workflows=flows workflow=flows actions=flows recipes=flows scenario=flows "
    "settings=config inputs=config variables=config env=config id=name label=title",
    "field": "options=choices enum=choices values=choices label=title name=title help=description "
    "hint=description min=minimum max=maximum multi=multiple list=multiple depends_on=depends "
    "show_when=when shown_when=when visible_when=when show_if=when visible_if=when if=when",
    "test": "input=event payload=event given=event mocks=stubs mock=stubs calls=expect expected=expect "
    "result=answer output=answer status=outcome",
}  # fmt: skip
"""By part, the keys of other tools and those that they mean, as far as one has the value of the other."""

_SAID: Mapping[str, Mapping[str, str]] = {
    "step": {
        "return": "write `stop: {answer: …}`, which ends the flow with a result",
        "respond": "write `stop: {reply: {status: 200, body: …}}`",
        "response": "write `stop: {reply: {status: 200, body: …}}`",
        "reply": "write `stop: {reply: {status: 200, body: …}}`",
        "exit": "write `stop: true`",
        "end": "write `stop: true`",
        "continue": "items are left out by the loop's `where`, or by an `if` around the rest",
        "parallel": "steps follow each other; items go side by side in a `for` with `parallel: 10`",
        "while": "there is no loop without a list: write `for: item`, `in: =…`; to wait, write `sleep`",
        "repeat": "write `for: item`, `in: =[1..5]`",
        "loop": "write `for: item`, `in: =event.items`, `do: […]`",
        "var": "write `set: {name: value}`",
        "else": "it belongs to the `if` above: indent it like its `then`, without a dash",
        "elif": "write another `if` under the `else` of the one above: `else: [{if: =…, then: […]}]`",
        "else if": "write another `if` under the `else` of the one above: `else: [{if: =…, then: […]}]`",
        "default": "it belongs to the `switch` above: indent it like its `cases`, without a dash",
    },
    "*": {
        "continue-on-error": "write `on_failure: ignore`",
        "continueOnFail": "write `on_failure: ignore`",
        "ignore_errors": "write `on_failure: ignore`",
        "when": "put the step under an `if`: `if: =…`, `then: […]`",
        "condition": "put the step under an `if`: `if: =…`, `then: […]`",
        "unless": "put the step under an `if`: `if: =$not(…)`, `then: […]`",
        "needs": "steps run in their order, one after another",
        "depends_on": "steps run in their order, one after another",
        "after": "steps run in their order, one after another",
        "next": "steps run in their order, one after another",
        "elif": "write another `if` under `else`: `else: [{if: =…, then: […]}]`",
        "elseif": "write another `if` under `else`: `else: [{if: =…, then: […]}]`",
        "else if": "write another `if` under `else`: `else: [{if: =…, then: […]}]`",
        "finally": "write what follows behind the `try`, which goes on after its `catch`",
    },
    "retry": {"backoff": "the wait doubles each time, from `first` to `longest`"},
    "flow": {
        "retry": "a flow goes on where it stopped; how often is a step's retry: `retry` of an `action`",
        "retries": "a flow goes on where it stopped; how often is a step's retry: `retry` of an `action`",
        "dedupe": "it is an input of the trigger: `with: {dedupe: …}`",
        "signature": "it is an input of the trigger: `with: {signature: …}`",
        "secret": "it is kept for you; `with: {signature: …}` says how the app signs",
        "cron": "write `trigger: schedule.cron`, `with: {expression: 0 6 * * *}`",
        "schedule": "write `trigger: schedule.cron`, `with: {expression: 0 6 * * *}`",
        "every": "write `trigger: schedule.every`, `with: {minutes: 5}`",
        "webhook": "write `trigger: webhook.request`",
        "path": "each flow of an instance has an address of its own, which cannot be guessed",
        "method": "it is an input of the trigger: `with: {methods: [POST]}`",
    },
    "stop": {"status": "write `stop: {reply: {status: …}}`", "body": "write `stop: {reply: {body: …}}`"},
    "document": {
        "version": "each version that is published is named by what is in it",
        "on": "each flow has a trigger: `flows: {main: {trigger: webhook.request, steps: […]}}`",
        "trigger": "each flow has a trigger: `flows: {main: {trigger: webhook.request, steps: […]}}`",
        "steps": "steps belong to a flow: `flows: {main: {trigger: webhook.request, steps: […]}}`",
        "nodes": "steps belong to a flow: `flows: {main: {trigger: webhook.request, steps: […]}}`",
        "imports": "a document is whole; what flows share is a flow that they `call`",
        "secrets": "a secret belongs into a connection: `config: {Connect: {acme: {connection: acme}}}`",
    },
    "field": {
        "optional": "write `required: false`",
        "secret": "a secret belongs into a connection",
    },
}  # fmt: skip
"""By part, the keys of other tools for which something else is written."""

_VALUES = (
    "string=text str=text int=integer number=decimal float=decimal double=decimal "
    "bool=boolean timestamp=datetime time=datetime uri=url link=url mail=email object=mapping "
    "map=mapping warn=warning err=error fatal=error critical=error set=put write=put save=put "
    "read=get remove=delete continue=ignore skip=ignore success=succeeded ok=succeeded "
    "done=succeeded failure=failed error=failed cancel=cancelled skipped=ignored serial=fifo "
    "sequential=fifo queue=fifo global=integration shared=instance fetch=get send=request "
    "call=request body=json data=json payload=json url=path uri=path endpoint=path "
    "query=params qs=params querystring=params timezone=tz zone=tz time_zone=tz "
    "cron=expression schedule=expression sync=result response=result find=query "
    "create=create_record update=update_record interval=minutes days=hours"
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
