"""Actions that are declared from a vendor's OpenAPI document, not written and not generated.

The document is read as the first of its operations is looked at. It says what is sent where and what
comes back; the declaration says the rest: which operations, under which titles, how lists come in pages.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast, get_args
from urllib.parse import urljoin

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from halflap.errors import DefinitionError, InputsRefused, UpstreamError
from halflap.model import a_dict
from halflap.sdk import running
from halflap.sdk.action import Action
from halflap.sdk.conformity import DEVIATIONS, deviations, first_fault, unmet
from halflap.sdk.connection import Connection, linked_next, parsed
from halflap.sdk.openapi import FORM, MULTIPART, ApiDocument, ApiInput, ApiOperation, Node
from halflap.sdk.parameter import plain, takes_null, written
from halflap.sdk.response import METHODS_WITH_EFFECT, Response
from halflap.sdk.schema import UNSET, File, InputField, Shape, Unset

P = ParamSpec("P")
T = TypeVar("T")

MOST_FIRST = 8
"""The number of inputs that a form shows at most before those under "More"."""
MOST = "most"
"""The input of an action that lists: how many items it returns at most."""
MOST_ITEMS = 10_000
NOTED = 3
COUNTED = 100


@dataclass(frozen=True, slots=True)
class AnsweredPage:
    """A page of a list, and what its parameter was (`asked`); None for the first one."""

    answer: Response
    body: Any
    items: list[Any]
    asked: Any


@dataclass(frozen=True, slots=True)
class Paging:
    """The pages in which a list comes. `items` is the field of the list; empty, where the body is it.

    By `cursor` (of the last item), `token` (of the body), `offset`, `number` or `link`. size: the
    parameter for the size of a page, `largest` at most; `parameter` and `size` are of the query, or
    fields of the body. following: the parameter's value for the page after one, or without a parameter
    its address; None at the end. fields: where an answer has what that reads.
    """

    items: str
    parameter: str = ""
    following: Callable[[AnsweredPage], Any] | None = None
    size: str = ""
    largest: int = 100
    fields: Mapping[str, str] = field(default_factory=a_dict)

    @classmethod
    def cursor(
        cls, items: str, parameter: str, last: str = "id", more: str = "", **size: Any
    ) -> Paging:
        """The next page is asked for by a field of the last item (`last`), while `more` is true."""

        def following(page: AnsweredPage) -> Any:
            if not page.items or (more and not at(page.body, more)):
                return None
            return page.items[-1][last]

        fields = {"n": last} | ({"more": more} if more else {})
        return cls(items, parameter, following, fields=fields, **size)

    @classmethod
    def token(cls, items: str, parameter: str, token: str, **size: Any) -> Paging:
        """The next page is asked for by a `token` of the body, until there is none."""

        def following(page: AnsweredPage) -> Any:
            return at(page.body, token) or None

        return cls(items, parameter, following, fields={"next": token}, **size)

    @classmethod
    def offset(cls, items: str, parameter: str, total: str = "", **size: Any) -> Paging:
        """The next page is asked for by the number of items before it, until `total` or an empty page."""

        def following(page: AnsweredPage) -> Any:
            before = int(page.asked or 0) + len(page.items)
            whole = at(page.body, total) if total else None
            is_last = not page.items or (isinstance(whole, int | Decimal) and before >= whole)
            return None if is_last else before

        return cls(items, parameter, following, fields={"total": total} if total else {}, **size)

    @classmethod
    def number(cls, items: str, parameter: str, first: int = 1, **size: Any) -> Paging:
        """The next page is asked for by its number, until one is empty."""

        def following(page: AnsweredPage) -> Any:
            number = first if page.asked is None else int(page.asked)
            return number + 1 if page.items else None

        return cls(items, parameter, following, **size)

    @classmethod
    def link(cls, items: str, link: str = "", **size: Any) -> Paging:
        """The next page's address is in the body at `link`, or in the header `Link`."""

        def following(page: AnsweredPage) -> Any:
            if not link:
                return linked_next(page.answer)
            address = at(page.body, link)
            return urljoin(page.answer.url, address) if address else None

        return cls(items, "", following, fields={"url": link}, **size)


def at(body: Any, path: str) -> Any:
    """Return the value at a dotted path; None where there is none."""
    for name in path.split("."):
        body = cast("dict[str, Any]", body).get(name) if isinstance(body, dict) else None
    return body


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as an action: its id in the document (or `GET /path`), and a title for people.

    first: the inputs that a form shows before "More", at most eight, in words separated by spaces; by
    default those that are required. pages: how a list comes. names: inputs under other names.
    missing: None is returned where the app has nothing there. description: instead of the document's.
    """

    id: str
    title: str
    first: str = ""
    pages: Paging | None = None
    names: Mapping[str, str] = field(default_factory=a_dict)
    missing: bool = False
    description: str = ""


class Specification:
    """A vendor's OpenAPI document, and what it does not say of all its operations.

    given: parameters that the connection fills in, by the name of its field. names: inputs under other
    names than those that follow from the document's. hidden: inputs that are not offered.
    prefix: what the paths begin with that `base_url` has already. base: the connection's field that the
    paths are joined to. check: raises what an answer means that its status does not say.
    """

    def __init__(
        self,
        path: Path,
        *,
        given: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        hidden: tuple[str, ...] = (),
        prefix: str = "",
        base: str = "base_url",
        check: Callable[[Response], None] | None = None,
    ) -> None:
        self.path = path
        self.given, self.names = given or {}, names or {}
        self.hidden, self.prefix, self.base, self.check = hidden, prefix, base, check

        self.declared: list[Operation] = []

    @cached_property
    def document(self) -> ApiDocument:
        """The document, read when it is first asked for."""
        from halflap.sdk import codec

        try:
            data = codec.decode(self.path.read_bytes())
        except (OSError, codec.NotJson) as error:
            raise DefinitionError(f"the specification {self.path.name}: {error}") from error
        return ApiDocument(data, self.path.name)


class SpecifiedAction(Action[..., Any]):
    """An action that is declared by an operation of a specification, in a module."""

    def __init__(
        self,
        specification: Specification,
        name: str,
        declared: Operation,
        component: str,
        connection_type: type[Connection],
        module: str,
    ) -> None:
        self.specification, self.declared = specification, declared
        if len(declared.first.split()) > MOST_FIRST:
            raise DefinitionError(f"{component}.{name}: at most {MOST_FIRST} inputs come first")

        async def operation(*args: Any, **kwargs: Any) -> Any:
            given = self.bind(args, kwargs)
            return await self._call(given.pop(self.connection_name), given)

        operation.__name__ = operation.__qualname__ = name
        operation.__module__ = module
        super().__init__(
            operation,
            component=component,
            connection_type=connection_type,
            title=declared.title,
        )
        self.where = f"{specification.path.name}#{declared.id}"

    def _check(self, lookup: Any, batch: int | None) -> None:
        """Check nothing yet: the document is read as it is needed."""

    @cached_property
    def operation(self) -> ApiOperation:
        """Its operation in the document."""
        names = {**self.specification.names, **self.declared.names}
        return self.specification.document.operation(self.declared.id, names)

    @property
    def connection_name(self) -> str:
        """The name of the parameter that takes the connection."""
        return self.component

    @cached_property
    def inputs(self) -> tuple[ApiInput, ...]:
        """The inputs that a call may have, those that come first before the others."""
        paging, first = self.declared.pages, self.declared.first.split()
        left_out = {*self.specification.hidden, *self.specification.given}
        left_out |= {paging.parameter, paging.size} if paging else set[str]()
        left_out = {each for each in left_out if each}
        found = [each for each in self.operation.inputs if each.key not in left_out]
        unknown = {*first} - {each.name for each in found} - ({MOST} if paging else set[str]())
        if unknown:
            raise DefinitionError(
                f"{self.name} has no input {', '.join(sorted(unknown))}; it has: "
                f"{', '.join(each.name for each in found)}",
                where=self.where,
            )
        places = {name: place for place, name in enumerate(first)}
        found.sort(key=lambda each: (not each.required, places.get(each.name, MOST_FIRST)))
        return tuple(found)

    def is_first(self, name: str, *, required: bool) -> bool:
        """Return whether a form shows an input before "More"."""
        first = self.declared.first.split()
        return required or name in first or (not first and len(self.inputs) <= MOST_FIRST)

    @cached_property
    def answer(self) -> Node | None:
        """The schema of what it returns; None where it returns nothing."""
        schema, paging = self.operation.answer, self.declared.pages
        if schema is None:
            return None
        if paging is not None:
            for name in paging.items.split(".") if paging.items else ():
                fields: Node = schema.get("properties") or {}
                schema = fields.get(name) or a_dict()
            item: Node = schema.get("items") or {}
            schema = {"type": "array", "items": item}
        if self.declared.missing:
            schema = {"anyOf": [schema, {"type": "null"}]}
        return schema

    @cached_property
    def description(self) -> str:
        """Its first sentence, as customers read it."""
        if self.declared.description:
            return self.declared.description
        return self.specification.document.summary(self.declared.id) or f"{self.title}."

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature by which it is called."""
        kind, made = inspect.Parameter, list[inspect.Parameter]()
        made.append(kind(self.connection_name, kind.POSITIONAL_OR_KEYWORD))
        for each in self.shape.inputs:
            in_path = each.required and self._place_of(each.name) == "path"
            how = kind.POSITIONAL_OR_KEYWORD if in_path else kind.KEYWORD_ONLY
            default = kind.empty if each.required else each.default
            made.append(kind(each.name, how, default=default, annotation=each.annotation))
        return inspect.Signature(sorted(made, key=lambda each: each.kind))

    def _place_of(self, name: str) -> str:
        return next((each.place for each in self.inputs if each.name == name), "")

    @cached_property
    def shape(self) -> Shape:
        """Its inputs, its connection and its output, as the document has them."""
        inputs = [
            self._field(each.name, each.schema, required=each.required) for each in self.inputs
        ]
        if self.declared.pages is not None:
            about = {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS}
            about["description"] = "How many are returned at most."
            inputs.append(self._field(MOST, about, required=False, default=100))
        output: Any = None
        if self.answer is not None:
            output = (
                File
                if self.operation.is_file
                else Annotated[Any, FromDocument(self.answer, is_answer=True)]
            )
        return SpecifiedShape(
            inputs=tuple(inputs),
            connection=self.connection_name,
            connection_type=self._connection_type,
            output=output,
            output_adapter=TypeAdapter(output, config=None if output is File else DEFERRED),
            description=self.description,
            skipped=(),
            alternatives=self._alternatives,
        )

    @property
    def _alternatives(self) -> Node | None:
        if (ways := self.operation.alternatives) is None:
            return None
        names = {each.key: each.name for each in self.operation.inputs if each.place == "body"}
        return {**ways, "of": [[names.get(key, key) for key in way] for way in ways["of"]]}

    def _field(
        self, name: str, schema: Node, *, required: bool, default: Any = UNSET
    ) -> InputField:
        published = {**schema, "title": schema.get("title") or title_of(name)}
        if not self.is_first(name, required=required):
            published["x-more"] = True
        kind: Any = BASES.get(str(schema.get("type")), Any)
        meta = FromDocument(published, optional=not required)
        about = Field(description=schema.get("description"))
        annotation: Any = Annotated[kind if required else kind | Unset, about, meta]
        if schema.get("format") == "binary":
            annotation = File if required else File | Unset
        adapter = TypeAdapter[Any](annotation, config=None if annotation is File else DEFERRED)
        return InputField(name, annotation, required, default, adapter, None)

    async def _call(self, connection: Connection, inputs: Mapping[str, Any]) -> Any:
        if self.declared.pages is not None:
            most = int(inputs.get(MOST, 100))
            pages = self._pages(connection, inputs, self.declared.pages, most)
            return [each async for each in pages]
        operation = self.operation
        connection = self._based(connection)
        response = await self._answered(connection, self._path, self._request(connection, inputs))
        if self.declared.missing and response.status in (404, 410):
            return None
        response.raise_for_status()
        if operation.answer is None:
            return None
        if operation.is_file:
            kind = response.headers.get("content-type", "application/octet-stream")
            return File(response.body, self.short_name, kind)
        with_effect = operation.method in METHODS_WITH_EFFECT
        found = connection._result(response) if with_effect else parsed(response)
        if found is not None:
            self._compare(found)
        return found

    def _request(self, connection: Connection, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a request, with what the connection fills in."""
        given = {each: value for each, value in inputs.items() if each != MOST}
        if (ways := self.shape.alternatives) is not None:
            sent = [name for name, each in given.items() if each is not UNSET and each is not None]
            if (fault := unmet(ways, sent)) is not None:
                raise InputsRefused(f"{self.name} {fault}")
        for each in self.operation.inputs:
            if (name := self.specification.given.get(each.key)) is not None:
                given[each.name] = getattr(connection, name)
        return written(self.operation, given)

    def _based(self, connection: Connection) -> Connection:
        """Return the connection at the address that the specification's paths are joined to."""
        base = self.specification.base
        if base == "base_url":
            return connection
        return connection.model_copy(update={"base_url": getattr(connection, base)})

    @cached_property
    def _path(self) -> str:
        path = self.operation.path.removeprefix(self.specification.prefix)
        for each in self.operation.inputs:
            if each.place == "path":
                path = path.replace("{" + each.key + "}", "{" + each.name + "}")
        return path

    async def _answered(
        self, connection: Connection, path: str, request: Mapping[str, Any]
    ) -> Response:
        response = await connection.request(self.operation.method, path, check=False, **request)
        if self.specification.check is not None:
            self.specification.check(response)
        return response

    async def _pages(
        self, connection: Connection, inputs: Mapping[str, Any], paging: Paging, most: int
    ) -> AsyncIterator[Any]:
        """Iterate over the items of a list, `most` at most, page by page."""
        connection = self._based(connection)
        request = self._request(connection, inputs)
        if paging.size:
            self._put(request, paging.size, min(most, paging.largest))
        path, asked, seen = self._path, None, set[str]()
        before: list[Any] = []
        while True:
            response = await self._answered(connection, path, request)
            response.raise_for_status()
            body = response.json()
            self._compare(body)
            found = at(body, paging.items) if paging.items else body
            items: list[Any] = cast("list[Any]", found) if isinstance(found, list) else []
            if items and items == before and isinstance(items[0], dict):
                raise UpstreamError(
                    f"{self.name}: the app answers the same page again; its `Paging` is declared in a "
                    "way that it does not know",
                    in_doubt=False,
                )
            before = items
            for each in items[:most]:
                yield each
            most -= len(items)
            following = paging.following
            asked = following(AnsweredPage(response, body, items, asked)) if following else None
            if (
                asked is None
                or most <= 0
                or str(asked) in seen
                or len(seen) >= connection.most_pages
            ):
                return
            seen.add(str(asked))
            if paging.parameter:
                self._put(request, paging.parameter, asked)
            else:
                path, request = asked, {"headers": request["headers"]}

    def _put(self, request: dict[str, Any], key: str, value: Any) -> None:
        """Put the value of a parameter into a request: into its body, where it is a field of that."""
        is_field = any(each.key == key and each.place == "body" for each in self.operation.inputs)
        if not is_field:
            request["params"] = {**(request["params"] or {}), key: [str(value)]}
        elif self.operation.media in (FORM, MULTIPART):
            request["form"] = {**(request.get("form") or {}), key: [str(value)]}
        else:
            request["json"] = {**(request.get("json") or {}), key: value}

    async def each(self, connection: Any, **inputs: Any) -> AsyncIterator[Any]:
        """Iterate over all items of a list, page by page as they are needed; within an action of yours.

        async for customer in list_customers.each(stripe, email="ada@example.com"): ...
        """
        paging = self.declared.pages
        if paging is None or running.recording() is not None:
            raise DefinitionError(
                f"{self.name}: a flow calls it with `{MOST}`, and is recorded; `each` is for actions"
                if paging
                else f"{self.name} returns no list in pages"
            )
        given = self.bind((connection,), inputs)
        async for item in self._pages(given.pop(self.connection_name), given, paging, sys.maxsize):
            yield item

    def _compare(self, body: Any) -> None:
        """Count where an answer deviates from the document, and note it with the step."""
        assert self.operation.answer is not None
        found = [*islice(deviations(body, self.operation.answer), COUNTED)]
        if not found:
            return
        DEVIATIONS[self.name] += len(found)
        step = running.step.get()
        if step is not None and step.log is not None:
            told = "; ".join(map(str, found[:NOTED]))
            more = f" (and {len(found) - NOTED} more)" if len(found) > NOTED else ""
            message = (
                f"the answer is passed as it came; it is not what the document says: {told}{more}"
            )
            step.log("info", message, {"deviations": len(found)})


if TYPE_CHECKING:

    class PagedAction(Action[P, list[T]]):
        """An action that lists, as its stub has it."""

        def each(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            """Iterate over all items, page by page."""
            ...

    def paged(action: Action[P, list[T]]) -> PagedAction[P, T]:
        """Say of an action of a stub that its list comes in pages."""
        ...


DEFERRED = ConfigDict(defer_build=True)
"""A validator is made as it is first used: of hundreds of inputs, a flow uses a few."""
BASES: Mapping[str, Any] = {
    "string": str, "integer": int, "number": Decimal, "boolean": bool, "array": list[Any],
    "object": dict[str, Any],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpecifiedShape(Shape):
    """The shape of an operation: its form is made of the document, without a model."""

    def json_schema(self) -> dict[str, Any]:
        """The inputs as a JSON Schema object: the form."""
        fields = {
            each.name: dict(published(each.annotation))
            | (
                {}
                if each.required
                else {"default": None if each.default is UNSET else each.default}
            )
            for each in self.inputs
        }
        needed = [each.name for each in self.inputs if each.required]
        return {"type": "object", "properties": fields} | ({"required": needed} if needed else {})

    def output_schema(
        self, generator: type[GenerateJsonSchema] = GenerateJsonSchema
    ) -> dict[str, Any]:
        """The output as JSON Schema."""
        return dict(published(self.output))


def published(annotation: Any) -> Node:
    """Return the schema of an input or an output, as the document has it."""
    if annotation is None:
        return {"type": "null"}
    found = (each for each in get_args(annotation) if isinstance(each, FromDocument))
    meta = next(found, None)
    return {"type": "object", "format": "file"} if meta is None else meta.schema


@dataclass(frozen=True, slots=True, eq=False)
class FromDocument:
    """The type of a value by its schema in a document: it is compared with that, and stays JSON.

    An optional one may be `UNSET`, or null, which is left out. An answer passes as it came.
    """

    schema: Node
    optional: bool = False
    is_answer: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        if self.is_answer:
            return core_schema.any_schema()
        return core_schema.no_info_plain_validator_function(self._fit)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)

    def _fit(self, value: Any) -> Any:
        if self.optional and (value is UNSET or (value is None and not takes_null(self.schema))):
            return value
        value = plain(value, self.schema)
        wrong = first_fault(value, self.schema)
        if wrong is not None:
            raise PydanticCustomError("specification", "{wrong}", {"wrong": str(wrong)})
        return value


def title_of(name: str) -> str:
    """Return the title that follows from the name of an input."""
    words = name.strip("_").replace("_", " ")
    return words[:1].upper() + words[1:]
