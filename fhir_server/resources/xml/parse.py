"""XML bytes to plain nodes: no document type, no entities, nothing fetched; narrative kept as written.

Expat, not lxml, because it tells at which byte an element stands: a narrative's text is cut out of the source
instead of being written anew, so every entity, quote and empty tag stays as its author wrote it. A document
type is refused where it begins, and with it go entities, external or expanding.
https://hl7.org/fhir/R4/xml.html and https://owasp.org/www-community/vulnerabilities/XML_External_Entity_(XXE)_Processing
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from xml.parsers import expat

from fhir_server.faults import Fault, Kind

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"

_BOM = b"\xef\xbb\xbf"
_ENCODINGS = {"utf-8", "utf8", "us-ascii", "ascii"}
_NAMES_ITSELF = re.compile(
    rb"""<div(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|'[^']*'))*?\s+xmlns\s*=\s*["']http://www\.w3\.org/1999/xhtml["']"""
)


@dataclass(slots=True)
class Node:
    """An element. ``html``: the source of an XHTML element, whose content is not taken apart."""

    namespace: str
    name: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: bool = False
    """True when characters other than white space stand in it."""
    html: str = ""


def parse(body: bytes, max_depth: int) -> Node:
    """Parse one XML document whose elements nest at most ``max_depth`` levels (narrative not counted).

    Attributes with a namespace are named ``namespace name``. Comments and processing instructions are passed
    over. Faults: SYNTAX.
    """
    return _Builder(body.removeprefix(_BOM), max_depth).build()


class _Builder:
    """Receives the parser's events and keeps the element that is open."""

    def __init__(self, body: bytes, max_depth: int) -> None:
        self._body = body
        self._max_depth = max_depth
        self._open: list[Node] = []
        self._root: Node | None = None
        self._html_depth = 0
        self._html_start = 0
        self._rewritten: list[str] | None = None
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser

    def build(self) -> Node:
        if not self._body.strip():
            raise Fault(Kind.SYNTAX, "The body is empty; send one resource.")
        try:
            self._body.decode()
        except UnicodeDecodeError as error:
            raise Fault(Kind.SYNTAX, f"The body is not UTF-8 (byte {error.start}); send UTF-8.") from None
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            where = f"line {error.lineno}, column {error.offset + 1}"
            words = expat.ErrorString(error.code)
            raise Fault(Kind.SYNTAX, f"The body is not well-formed XML: {words} ({where}).") from None
        if self._root is None:
            raise Fault(Kind.SYNTAX, "The body holds no element; send one resource.")
        return self._root

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise Fault(
                Kind.SYNTAX, "The XML declaration must name UTF-8, the only encoding that FHIR knows."
            )

    def _doctype(self, *_: object) -> None:
        raise Fault(Kind.SYNTAX, "A document type (DOCTYPE) is not allowed in FHIR; leave it out.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if self._html_depth:
            self._html_depth += 1
            self._write_start(namespace, local, attributes)
            return
        if len(self._open) == self._max_depth:
            raise Fault(Kind.SYNTAX, "The body nests too deep; make it flatter.")
        node = Node(namespace, local, attributes)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node
        self._open.append(node)
        if namespace == XHTML:
            self._html_depth = 1
            self._html_start = self._parser.CurrentByteIndex
            own = _NAMES_ITSELF.match(self._body, self._html_start)
            self._rewritten = None if own else []
            self._write_start(namespace, local, attributes)

    def _end(self, name: str) -> None:
        if not self._html_depth:
            self._open.pop()
            return
        if self._rewritten is not None:
            self._rewritten.append(f"</{name.rpartition(' ')[2]}>")
        self._html_depth -= 1
        if not self._html_depth:
            self._open.pop().html = self._html()

    def _html(self) -> str:
        if self._rewritten is not None:
            return "".join(self._rewritten)
        # At an end tag the parser stands before it, at the end of an empty tag behind it.
        end = self._parser.CurrentByteIndex
        if self._body.startswith(b"</div", end):
            end = self._body.index(b">", end) + 1
        # XML has one line end, whatever the file had. https://www.w3.org/TR/xml/#sec-line-ends
        return self._body[self._html_start : end].decode().replace("\r\n", "\n").replace("\r", "\n")

    def _characters(self, text: str) -> None:
        if self._html_depth:
            if self._rewritten is not None:
                self._rewritten.append(escape(text, quote=False))
        elif text.strip(" \t\r\n"):
            self._open[-1].text = True

    def _write_start(self, namespace: str, local: str, attributes: dict[str, str]) -> None:
        """Write a start tag anew, for narrative that leans on a namespace declared outside of it."""
        if self._rewritten is None:
            return
        if namespace != XHTML:
            raise Fault(Kind.SYNTAX, "A narrative may hold XHTML elements only.")
        first = "" if self._rewritten else f' xmlns="{XHTML}"'
        rest = "".join(f' {key.rpartition(" ")[2]}="{escape(value)}"' for key, value in attributes.items())
        self._rewritten.append(f"<{local}{first}{rest}>")
