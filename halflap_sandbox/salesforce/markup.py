"""XML as values: read safely, compared, changed, written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from xml.sax.saxutils import escape, quoteattr

from lxml import etree as _untyped  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

etree = cast(Any, _untyped)
XSI = "http://www.w3.org/2001/XMLSchema-instance"
METADATA = "http://soap.sforce.com/2006/04/metadata"


class Malformed(Exception):
    """The text is no XML that may be read: what is wrong, and in which line."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Element:
    """An element: its local name, its text or its children; equal where name and content are.

    `type` is the local name of `xsi:type`; `nil` says that the value is null.
    """

    name: str
    text: str = ""
    children: tuple[Element, ...] = ()
    type: str | None = None
    nil: bool = False
    namespace: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    def child(self, name: str) -> Element | None:
        """Find the first child of this name."""
        return next((c for c in self.children if c.name == name), None)

    def all(self, name: str) -> list[Element]:
        """Find every child of this name."""
        return [c for c in self.children if c.name == name]

    def get(self, name: str) -> str | None:
        """Read the text of the first child of this name; None where there is none, or null."""
        found = self.child(name)
        return None if found is None or found.nil else found.text

    def texts(self, name: str) -> list[str]:
        """Read the texts of every child of this name."""
        return [c.text for c in self.all(name)]

    def true(self, name: str) -> bool:
        """Read a boolean; false where there is none."""
        return (self.get(name) or "").lower() in {"true", "1"}

    def without(self, *names: str) -> Element:
        """Copy it without the children of these names."""
        kept = tuple(c for c in self.children if c.name not in names)
        return Element(self.name, self.text, kept, self.type, self.nil, self.namespace, self.line)

    def named(self, name: str, type: str | None = None) -> Element:
        """Copy it with another name, and perhaps a type."""
        kept = type or self.type
        return Element(name, self.text, self.children, kept, self.nil, self.namespace, self.line)


Content = Element | str | bool | int | None


def element(name: str, *content: Content, type: str | None = None) -> Element:
    """Make an element of children (None is left out) or of one value."""
    children = tuple(c for c in content if isinstance(c, Element))
    texts = [c for c in content if c is not None and not isinstance(c, Element)]
    return Element(name, "".join(map(_text, texts)), children, type)


def optional(name: str, value: Content) -> Element | None:
    """Make an element, or none where there is no value."""
    return None if value is None else element(name, value)


def nil(name: str) -> Element:
    """Make an element that is null."""
    return Element(name, nil=True)


def parse(body: bytes) -> Element:
    """Read a document: no entities, no DTD, no network. Raises Malformed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        line = int(error.lineno or 1)
        raise Malformed(f"Error parsing file: {error.msg}", line) from error
    except ValueError as error:
        raise Malformed(f"Error parsing file: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed("Error parsing file: DOCTYPE is not allowed")
    return _read(root)


def document(root: Element, namespace: str = METADATA) -> bytes:
    """Write a document in this namespace, indented."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    attributes = {"xmlns": namespace, "xmlns:xsi": XSI}
    return (head + write(root, attributes, indent="\n") + "\n").encode()


def write(node: Element, attributes: Mapping[str, str] | None = None, indent: str = "") -> str:
    """Write an element; `xsi` must be a prefix around it where it has a type or is null."""
    given = dict(attributes or {})
    if node.type:
        given["xsi:type"] = node.type
    if node.nil:
        given["xsi:nil"] = "true"
    tag = node.name + "".join(f" {k}={quoteattr(v)}" for k, v in given.items())
    deeper = indent + "    " if indent else ""
    inner = "".join(deeper + write(child, indent=deeper) for child in node.children)
    if node.children:
        return f"<{tag}>{inner}{indent}</{node.name}>"
    return f"<{tag}>{escape(node.text)}</{node.name}>" if node.text else f"<{tag}/>"


def _read(node: Any) -> Element:
    name = etree.QName(node)
    children = tuple(_read(child) for child in node if isinstance(child.tag, str))
    kind = str(node.get(f"{{{XSI}}}type") or "").rpartition(":")[2] or None
    is_nil = node.get(f"{{{XSI}}}nil") in {"true", "1"}
    text = "" if children else "".join(node.itertext()).strip()
    return Element(
        name.localname,
        text,
        children,
        kind,
        is_nil,
        name.namespace or "",
        int(node.sourceline or 0),
    )


def _text(value: Content) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
