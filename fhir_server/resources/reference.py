"""References: what a literal reference says, and rewriting every one that a resource holds.

https://hl7.org/fhir/R4/references.html#literal and https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from html import escape, unescape
from typing import Any, Literal

from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, definitions

Form = Literal["relative", "absolute", "urn", "fragment", "conditional", "other"]

_ID = r"[A-Za-z0-9\-.]{1,64}"
_LOCAL = re.compile(rf"([A-Z][A-Za-z]+)/({_ID})(?:/_history/({_ID}))?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_MAYBE_LINKS = frozenset({"uri", "url", "canonical", "oid", "uuid"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A literal reference as written (``text``) and what it says.

    ``form``: relative (to this server: also an absolute URL under its base), absolute (elsewhere), urn,
    fragment (a contained resource), conditional (``Type?criteria``) or other (no literal reference).
    ``type``, ``id`` and ``version`` where the text names them; ``query``: what follows the ``?``.
    """

    text: str
    form: Form
    type: str | None = None
    id: str | None = None
    version: str | None = None
    query: str | None = None

    @property
    def local(self) -> str | None:
        """``Type/id`` when the target is on this server, without its version."""
        return f"{self.type}/{self.id}" if self.form == "relative" else None


def parse(text: str, base: str = "") -> Reference:
    """Say what ``text`` refers to; never raises.

    ``base``: the server's own address without a trailing slash.
    """
    if text.startswith("#"):
        return Reference(text, "fragment", id=text[1:])
    if text.startswith(("urn:uuid:", "urn:oid:")):
        return Reference(text, "urn")
    path = text.removeprefix(f"{base}/") if base else text
    return _absolute(text) if _SCHEME.match(path) else _relative(text, path)


def _relative(text: str, path: str) -> Reference:
    type_, mark, query = path.partition("?")
    if mark and query and type_ in RESOURCE_TYPES:
        return Reference(text, "conditional", type_, query=query)
    match = _LOCAL.fullmatch(path)
    if match is None or match[1] not in RESOURCE_TYPES:
        return Reference(text, "other")
    return Reference(text, "relative", match[1], match[2], match[3])


def _absolute(text: str) -> Reference:
    tail = re.search(rf"/({_LOCAL.pattern})\Z", text)
    if tail is None or tail[2] not in RESOURCE_TYPES:
        return Reference(text, "absolute")
    return Reference(text, "absolute", tail[2], tail[3], tail[4])


Place = tuple[dict[str, Any] | list[Any], str | int]
"""A container and the key or index in it, so that a value can be read and replaced."""


def links(tree: dict[str, Any]) -> Iterator[Place]:
    """Yield every place in a resource, its contained ones included, that may hold a literal reference.

    These are Reference.reference and all elements of type uri, url, canonical, oid and uuid, in extensions
    too. Told by the type, never by the look: a string that begins with ``urn:uuid:`` is not a link. Narrative
    is not among them; see :class:`Links`. Elements that no definition knows are passed over.
    """
    return iter(_places(tree)[0])


class Links:
    """Every literal reference of one resource, to be written under one mapping after another.

    Each :meth:`rewrite` starts from what the resource said at first, so that a second mapping is not applied
    on top of the first. Besides :func:`links` these are each ``href`` of an ``a`` and ``src`` of an ``img``
    in narratives. ``references``: what is said in a Reference.reference or in a narrative, each once.
    """

    __slots__ = ("_narratives", "_places", "references")

    def __init__(self, tree: dict[str, Any]) -> None:
        places, narratives = _places(tree)
        self._places = [(container, key, container[key]) for container, key in places]  # type: ignore[index]
        self._narratives = [(narrative, narrative["div"]) for narrative in narratives]
        self.references = {text for _, key, text in self._places if key == "reference"}
        for _, html in self._narratives:
            _rewrite_html(html, self.references.add)

    def rewrite(self, mapping: Callable[[str], str | None]) -> None:
        """Write in place what ``mapping`` gives for each text; where it gives None the first text stands."""
        for container, key, text in self._places:
            new = mapping(text)
            container[key] = text if new is None else new  # type: ignore[index]
        for narrative, html in self._narratives:
            narrative["div"] = _rewrite_html(html, mapping)


def rewrite(tree: dict[str, Any], mapping: Callable[[str], str | None]) -> None:
    """Replace in place each link for which ``mapping`` gives another text; see :class:`Links`."""
    Links(tree).rewrite(mapping)


# An attribute's value holds no "<": so a quote that is never closed costs no more than its own tag.
_TAG = re.compile(r"""<(?:a|img)\b(?:[^<>"']|"[^"<]*"|'[^'<]*')*>""")
_ATTRIBUTE = re.compile(r"""(\s(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")


def _rewrite_html(html: str, mapping: Callable[[str], str | None]) -> str:
    if "href" not in html and "src" not in html:
        return html

    def attribute(match: re.Match[str]) -> str:
        text = unescape(match[2] if match[2] is not None else match[3])
        new = mapping(text)
        if new is None or new == text:
            return match[0]
        return f'{match[1]}"{escape(new)}"'

    return _TAG.sub(lambda tag: _ATTRIBUTE.sub(attribute, tag[0]), html)


_LINK, _DIV, _ANY_RESOURCE = object(), object(), object()
_Plan = dict[str, Any]


@cache
def _plan(type_: str) -> _Plan:
    """Return for each JSON property of a type: a link, a narrative's div, a resource, or the type below it.

    Primitives that are no links are left out, so that a walk passes them by with one look-up.
    """
    plan: _Plan = {}
    for key, (_, name) in definitions()[type_].properties.items():
        if name in PRIMITIVES:
            plan[f"_{key}"] = "Element"
        if name in _MAYBE_LINKS or (type_ == "Reference" and key == "reference"):
            plan[key] = _LINK
        elif name == "xhtml":
            plan[key] = _DIV
        elif name == "Resource":
            plan[key] = _ANY_RESOURCE
        elif name not in PRIMITIVES:
            plan[key] = name
    return plan


def _places(tree: dict[str, Any]) -> tuple[list[Place], list[dict[str, Any]]]:
    """Return the places of links, and the Narratives, of a resource whatever its shape."""
    places: list[Place] = []
    narratives: list[dict[str, Any]] = []
    todo: list[tuple[dict[str, Any], Any]] = [(tree, _ANY_RESOURCE)]
    while todo:
        node, type_ = todo.pop()
        if type_ is _ANY_RESOURCE:
            type_ = node.get("resourceType")
            if type(type_) is not str or type_ not in RESOURCE_TYPES:
                continue
        plan = _plan(type_)
        for key, value in node.items():
            below = plan.get(key)
            if below is None:
                continue
            if below is _LINK:
                _note(places, node, key)
            elif below is _DIV:
                narratives.append(node)
            elif type(value) is dict:
                todo.append((value, below))
            elif type(value) is list:
                todo += [(item, below) for item in value if type(item) is dict]
    return places, [node for node in narratives if type(node["div"]) is str]


def _note(places: list[Place], node: dict[str, Any], key: str) -> None:
    value = node[key]
    if type(value) is str:
        places.append((node, key))
    elif type(value) is list:
        places += [(value, index) for index, item in enumerate(value) if type(item) is str]
