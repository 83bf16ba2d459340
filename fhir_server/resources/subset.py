"""Parts of a resource: ``_elements`` and ``_summary``, marked as parts.

https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from fhir_server.resources.codec import Tree
from fhir_server.resources.types import Element, definitions

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
"""The tag of a resource that is not whole, so that nobody stores it as if it were."""

_ALWAYS = frozenset({"id", "meta"})


def summary(tree: Tree, mode: Literal["true", "text", "data", "false"]) -> Tree:
    """Return the part of a resource that ``_summary`` asks for; ``tree`` stays as it was.

    true: the elements marked as summary in the resource's own definition, backbone elements by their own
    marks, data types whole; text: text, id, meta and what is mandatory; data: all but text; false: all.
    Mandatory elements are always kept, else the part would not be valid, and modifier elements are, else its
    meaning could be the opposite.
    """
    if mode == "false":
        return tree
    if mode == "data":
        return _tagged({key: value for key, value in tree.items() if key not in ("text", "_text")})
    if mode == "text":
        return _tagged(_part(tree, lambda element: element.name == "text"))
    return _tagged(_summarised(tree, tree["resourceType"]))


def elements(tree: Tree, names: Iterable[str]) -> Tree:
    """Return a resource with the top-level elements ``names``, and id, meta, mandatory and modifier elements.

    A name is an element's (``value`` for ``value[x]``), with or without the type before it (``Patient.name``)
    and with what follows a further dot left aside; a name that the type does not have selects nothing.
    ``tree`` stays as it was.
    """
    prefix = f"{tree['resourceType']}."
    wanted = {name.removeprefix(prefix).partition(".")[0] for name in names}
    return _tagged(_part(tree, lambda element: element.name in wanted))


def _kept(element: Element) -> bool:
    return element.min > 0 or element.modifier or element.name in _ALWAYS


def _part(tree: Tree, wanted: Callable[[Element], bool]) -> Tree:
    properties = definitions()[tree["resourceType"]].properties
    part: Tree = {"resourceType": tree["resourceType"]}
    for key, value in tree.items():
        found = properties.get(key.removeprefix("_"))
        if found is not None and (_kept(found[0]) or wanted(found[0])):
            part[key] = value
    return part


def _summarised(tree: Tree, type_: str) -> Tree:
    properties = definitions()[type_].properties
    part: Tree = {"resourceType": tree["resourceType"]} if "resourceType" in tree else {}
    for key, value in tree.items():
        found = properties.get(key.removeprefix("_"))
        if found is not None and (found[0].summary or _kept(found[0])):
            part[key] = _within(value, found[1])
    return part


def _within(value: Any, type_: str) -> Any:
    """Summarise a backbone element's own parts; anything else stays whole."""
    if "." not in type_:
        return value
    if type(value) is list:
        return [_within(item, type_) for item in value]
    # A backbone element whose parts are all left out would be an empty object, which FHIR does not know.
    return (_summarised(value, type_) or value) if type(value) is dict else value


def _tagged(tree: Tree) -> Tree:
    meta = tree.get("meta") or {}
    tags = meta.get("tag") or []
    if any((tag.get("system"), tag.get("code")) == (SUBSETTED["system"], SUBSETTED["code"]) for tag in tags):
        return tree
    marked = {**meta, "tag": [*tags, dict(SUBSETTED)]}
    if "meta" in tree:
        return {**tree, "meta": marked}
    first = {key: value for key, value in tree.items() if key in {"resourceType", "id"}}
    return {**first, "meta": marked, **tree}
