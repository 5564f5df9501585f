"""Says how a flow ends: `stop` and `throw`."""

from __future__ import annotations

import ast
from typing import Any

from halflap.lowcode.convert.to_yaml.gather import SideBySide
from halflap.lowcode.convert.to_yaml.made import Made
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.types import constant_text
from halflap.lowcode.outline.calls import argument
from halflap.lowcode.outline.flow import is_nothing


class Ends(SideBySide):
    """Says `return` and `raise`."""

    def returned(self, node: ast.stmt, value: ast.expr | None) -> list[Made]:
        if self.apart:
            raise Refused(node, "items side by side cannot end the flow; return at the end of each")
        match value:
            case ast.Await():
                name = self.fresh("answer")
                if self.is_gather(value.value):
                    made = self.gathered(value.value, name)
                else:
                    made = self.give(node, name, self.called_in(value))
                self.reads.add(name)
                return [*made, Made({"stop": {"answer": f"={name}"}})]
            case ast.IfExp(test=test, body=body, orelse=other) if self._ends(body) or self._ends(
                other
            ):
                one, two = self.returned(node, body), self.returned(node, other)
                return [Made({"if": self.condition(test), "then": one, "else": two})]
            case _:
                return [Made({"stop": self._stop(value)})]

    def _ends(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self.meaning(node.func) in (
            "halflap.Ignore",
            "halflap.Reply",
        )

    def _stop(self, value: ast.expr | None) -> Any:
        if value is None or is_nothing(value):
            return True
        if isinstance(value, ast.Call):
            match self.meaning(value.func):
                case "halflap.Ignore":
                    reason = argument(value, 0, "reason")
                    if reason is None:
                        raise Refused(value, "say why it is ignored: Ignore(“…”)")
                    return {"ignore": self.text(reason)}
                case "halflap.Reply":
                    return {"reply": self._reply(value)}
                case _:
                    pass
        return {"answer": self.template(value)}

    def _reply(self, call: ast.Call) -> dict[str, Any]:
        places = ("status", "body", "headers")
        given = dict(zip(places, call.args, strict=False))
        given |= {each.arg: each.value for each in call.keywords if each.arg is not None}
        unknown = [name for name in given if name not in places]
        if unknown:
            raise Refused(given[unknown[0]], f"a reply in YAML has no {unknown[0]}")
        made: dict[str, Any] = {}
        for name, each in given.items():
            if name == "headers":
                if not isinstance(each, ast.Dict):
                    raise Refused(each, "headers are written out: {“X-Id”: …}")
                made[name] = {
                    self._key(key, value): self.text(value)
                    for key, value in zip(each.keys, each.values, strict=True)
                }
            elif name == "status" and self.asked(each) == "status":
                made[name] = self.said(self.term(each))
            else:
                made[name] = self.template(each)
        return made

    def raised(self, node: ast.stmt, error: ast.expr | None) -> Made:
        if not isinstance(error, ast.Call) or self.meaning(error.func) != "halflap.Thrown":
            raise Refused(node, 'YAML throws a text: raise Thrown("…")')
        message = argument(error, 0, "message")
        step = argument(error, 9, "step")
        title = None if step is None else constant_text(step)
        if message is None or (step is not None and title is None):
            raise Refused(node, 'write raise Thrown("what is wrong")')
        data = {} if title in (None, "throw") else {"title": title}
        return Made({**data, "throw": self.text(message)})
