"""A resource's tree to FHIR XML, elements in the order that R4 defines.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import Tree
from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, definitions
from fhir_server.resources.xml.parse import FHIR, XHTML, parse
from fhir_server.resources.xml.read import as_attributes

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)
# https://www.w3.org/TR/xml/#charsets
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HTML_DEPTH = 1_000


def encode_xml(tree: Tree, *, pretty: bool = False) -> bytes:
    """Write a resource as FHIR XML in UTF-8; ``pretty`` puts each element on a line of its own.

    Narrative is put in as it stands. Faults: NOT_ACCEPTABLE for what JSON can hold and XML cannot: an unknown
    element, an empty one, a control character, a narrative that is not well-formed.
    """
    writer = _Writer(pretty=pretty)
    writer.resource(tree, _type(tree, "Resource"), f' xmlns="{FHIR}"')
    text = '<?xml version="1.0" encoding="UTF-8"?>' + "".join(writer.parts)
    return text.encode()


class _Writer:
    """Collects the parts of a document and knows how deep it stands."""

    def __init__(self, *, pretty: bool) -> None:
        self.parts: list[str] = []
        self._pretty = pretty
        self._depth = 0

    def resource(self, tree: Tree, path: str, namespace: str = "") -> None:
        type_ = _type(tree, path)
        self._element(type_, namespace, tree, type_, path)

    def _element(self, name: str, attributes: str, tree: Tree, type_: str, path: str) -> None:
        """Write an element; the properties of ``tree`` that are no attributes become its children."""
        self._line()
        names = _in_order(tree, type_, path)
        if not names:
            self.parts.append(f"<{name}{attributes}/>")
            return
        self.parts.append(f"<{name}{attributes}>")
        self._depth += 1
        for child in names:
            self._property(tree, child, type_, path)
        self._depth -= 1
        self._line()
        self.parts.append(f"</{name}>")

    def _property(self, tree: Tree, name: str, type_: str, parent: str) -> None:
        child_type = definitions()[type_].properties[name][1]
        values, extras = _listed(tree.get(name)), _listed(tree.get(f"_{name}"))
        indexed = type(tree.get(name)) is list or type(tree.get(f"_{name}")) is list
        for index, (value, extra) in enumerate(zip_longest(values, extras)):
            path = f"{parent}.{name}[{index}]" if indexed else f"{parent}.{name}"
            if child_type == "xhtml":
                self._html(value, path)
            elif child_type in PRIMITIVES:
                self._primitive(name, value, extra, path)
            elif type(value) is not dict:
                raise _cannot("an element that is no object", path)
            elif child_type == "Resource":
                self._wrapped(name, value, path)
            else:
                self._element(name, _attributes(value, child_type, path), value, child_type, path)

    def _primitive(self, name: str, value: Any, extra: Any, path: str) -> None:
        if value is None and extra is None:
            raise _cannot("a null without an extension", path)
        if extra is None:
            self._line()
            self.parts.append(f'<{name} value="{_lexical(value, path)}"/>')
            return
        if type(extra) is not dict:
            raise _cannot("an extension that is no object", path)
        attributes = _attributes(extra, "Element", path)
        if value is not None:
            attributes += f' value="{_lexical(value, path)}"'
        self._element(name, attributes, extra, "Element", path)

    def _wrapped(self, name: str, tree: Tree, path: str) -> None:
        self._line()
        self.parts.append(f"<{name}>")
        self._depth += 1
        self.resource(tree, path)
        self._depth -= 1
        self._line()
        self.parts.append(f"</{name}>")

    def _html(self, html: Any, path: str) -> None:
        self._line()
        self.parts.append(_checked_html(html, path))

    def _line(self) -> None:
        if self._pretty:
            self.parts.append("\n" + "  " * self._depth)


def _type(tree: Tree, path: str) -> str:
    name = tree.get("resourceType")
    if type(name) is not str or name not in RESOURCE_TYPES:
        raise _cannot("a resource of an unknown type", path)
    return name


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if type(value) is list else [value]


@cache
def _ranks(type_: str) -> dict[str, int]:
    """Return each JSON property's place among a type's children; what is no child in XML has -1."""
    ranks = {key: rank for rank, key in enumerate(definitions()[type_].properties)}
    if type_ in RESOURCE_TYPES:
        ranks["resourceType"] = -1
    return ranks | dict.fromkeys(as_attributes(type_), -1)


def _in_order(tree: Tree, type_: str, path: str) -> list[str]:
    """Return the properties to write as children, in R4's order; ``_name`` counts as ``name``."""
    ranks = _ranks(type_)
    names = {key.removeprefix("_") for key in tree}
    if names - ranks.keys():
        raise _cannot("an element that R4 does not define", path)
    return sorted((name for name in names if ranks[name] >= 0), key=ranks.__getitem__)


def _attributes(tree: Tree, type_: str, path: str) -> str:
    names = (name for name in as_attributes(type_) if name in tree)
    return "".join(f' {name}="{_lexical(tree[name], path)}"' for name in names)


def _lexical(value: Any, path: str) -> str:
    """Spell a primitive as an attribute's value."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if type(value) is not str:
        raise _cannot("a value that is no primitive", path)
    if not value.isprintable() and _NO_XML.search(value):
        raise _cannot("a control character", path)
    return value.translate(_ESCAPES)


def _checked_html(html: Any, path: str) -> str:
    """Return a narrative that may stand in the document as it is and cannot break out of its place."""
    if type(html) is not str or not html.startswith("<div"):
        raise _cannot("a narrative that is no div", path)
    try:
        root = parse(html.encode(), _HTML_DEPTH)
    except (Fault, UnicodeEncodeError):
        raise _cannot("a narrative that is not well-formed XHTML", path) from None
    if root.name != "div" or root.namespace not in (XHTML, ""):
        raise _cannot("a narrative that is no div", path)
    # Without a namespace of its own it would be in FHIR's, where there is no div.
    return html if root.namespace else f'<div xmlns="{XHTML}"{html[4:]}'


def _cannot(what: str, path: str) -> Fault:
    return Fault(Kind.NOT_ACCEPTABLE, f"XML cannot hold {what}; ask for JSON.", path)
