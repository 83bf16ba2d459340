"""Masks: elements that a purpose of use does not get to see, nor to search or sort by.

Which purpose masks what is policy: ``masks`` and ``mask_elements`` of ``conformance/policies/consent.json``.
A rule names an element (``Patient.name``), one of a data type wherever it stands (``Reference.display``), or
all values of a type (``=Narrative``). https://hl7.org/fhir/R4/security-labels.html and docs/consent.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from fhir_server.consent.policy import purposes_above
from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import decode, encode
from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, Element, definitions
from fhir_server.search.parameters import by_url, parameters
from fhir_server.search.predicate import All, AnyOf, Chain, Contains, Has, Not, Predicate, Together, Where
from fhir_server.search.query import Query
from fhir_server.search.values import CONTAINED

Tree = dict[str, Any]

REDACTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
    "display": "redacted",
}
ABSENT: Final = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    ]
}
"""What stands in place of a masked element that must not be missing."""

_ANY_RESOURCE: Final = "Resource"
_WORDS: Final = frozenset({"_content", "_text"})
# Of no resource's content: known by their names, whatever is masked.
_PLAIN: Final = frozenset({"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"})
_paths = re.compile(
    r"\b([A-Z][A-Za-z]+)((?:\.(?!(?:as|ofType|where|exists|resolve|is|extension|not)\()[a-z][A-Za-z]*)+)"
    r"(?:\s+as\s+([A-Za-z]+)|\.(?:as|ofType)\(([A-Za-z]+)\))?"
).findall


class _File(msgspec.Struct, frozen=True):
    masks: dict[str, tuple[str, ...]]
    mask_elements: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Masks:
    """The masks of one purpose. ``rules``: ``Type.property`` and ``=Type``."""

    rules: frozenset[str]
    _plans: dict[str, Mapping[str, str | None]] = field(default_factory=dict, repr=False, compare=False)

    def body(self, body: bytes) -> bytes:
        """Return a resource's canonical JSON without what is masked, and tagged so if anything was."""
        tree = decode(body)
        return encode(tagged(tree)) if self._mask(tree, tree["resourceType"]) else body

    def hides(self, type_: str, parameter: str) -> bool:
        """Tell whether a parameter of ``type_`` (code, perhaps with a modifier) reads what is masked."""
        if parameter == CONTAINED:
            return self._is_masked(type_, "contained", _ANY_RESOURCE)
        code, _, modifier = parameter.partition(":")
        if code in _PLAIN:
            return False
        if code in _WORDS or (modifier == "identifier" and "Reference.identifier" in self.rules):
            return True
        if modifier == "text" and not self.rules.isdisjoint({"CodeableConcept.text", "Reference.display"}):
            return True
        return self._reads(type_, code)

    def require(self, query: Query) -> None:
        """Refuse a search or an order by what is masked; the answer is the same whatever is stored.

        Fault FORBIDDEN.
        """
        asked = [*_asked(query.type, query.where), *((query.type, sort.param) for sort in query.sort)]
        for type_, parameter in asked:
            if self.hides(type_, parameter):
                raise Fault(
                    Kind.FORBIDDEN,
                    f"Your purpose of use masks what {type_}.{parameter} reads; search and sort by another.",
                    type_,
                )

    def _reads(self, type_: str, code: str) -> bool:
        known = parameters(type_).get(code)
        if known is None:
            # A parameter of the deployment's own may read anything.
            return True
        parts = [by_url().get(each.definition) for each in known.components]
        if any(part is None or self._reads_path(type_, part.expression) for part in parts):
            return True
        return self._reads_path(type_, known.expression)

    def _reads_path(self, type_: str, expression: str) -> bool:
        if "=Extension" in self.rules and "extension(" in expression:
            return True
        for base, steps, written, called in _paths(expression):
            is_own = base in (type_, _ANY_RESOURCE, "DomainResource")
            if is_own and self._passes(type_, steps[1:].split("."), written or called):
                return True
        return False

    def _passes(self, type_: str, steps: list[str], cast: str) -> bool:
        """Tell whether a path from ``type_`` meets what is masked. ``cast``: the last step's type, or ""."""
        here = {type_}
        for number, step in enumerate(steps):
            wanted = cast if number == len(steps) - 1 else ""
            reached: set[str] = set()
            for owner in here:
                for name, (element, kind) in definitions()[owner].properties.items():
                    if element.name != step or (wanted and element.choice and kind.lower() != wanted.lower()):
                        continue
                    if self._is_masked(owner, name, kind):
                        return True
                    reached.add(kind)
            here = {kind for kind in reached if kind in definitions() and kind not in PRIMITIVES}
        return False

    def _is_masked(self, owner: str, name: str, kind: str) -> bool:
        return f"{owner}.{name}" in self.rules or f"={kind}" in self.rules

    def _plan(self, type_: str) -> Mapping[str, str | None]:
        """Return what to do with the properties of a type: None masks one, a type's name looks into it."""
        plan = self._plans.get(type_)
        if plan is None:
            plan = self._plans[type_] = {
                name: None if self._is_masked(type_, name, kind) else kind
                for name, (_, kind) in definitions()[type_].properties.items()
                if self._is_masked(type_, name, kind) or self._matters(kind)
            }
        return plan

    def _matters(self, kind: str) -> bool:
        """Tell whether anything within a value of ``kind``, however deep, may be masked."""
        waiting, seen = [kind], {kind}
        while waiting:
            owner = waiting.pop()
            if owner == _ANY_RESOURCE or (owner in PRIMITIVES and "=Extension" in self.rules):
                return True
            if owner in PRIMITIVES or owner not in definitions():
                continue
            for name, (_, inner) in definitions()[owner].properties.items():
                if self._is_masked(owner, name, inner):
                    return True
                if inner not in seen and name != "contained":
                    seen.add(inner)
                    waiting.append(inner)
        return False

    def _mask(self, node: Tree, type_: str) -> bool:
        """Mask in place; tell whether anything was."""
        changed = False
        for name, kind in self._plan(type_).items():
            beside = f"_{name}"
            if kind is None:
                if name in node or (beside in node and _strip(node, beside)):
                    _remove(node, name, definitions()[type_].properties[name])
                    changed = True
            elif kind in PRIMITIVES:
                changed |= beside in node and _strip(node, beside)
            elif name in node:
                value = node[name]
                for each in value if isinstance(value, list) else [value]:
                    inner = each.get("resourceType", "") if kind == _ANY_RESOURCE else kind
                    if inner in RESOURCE_TYPES or kind != _ANY_RESOURCE:
                        changed |= self._mask(each, inner)
        return changed


def _strip(node: Tree, beside: str) -> bool:
    """Take the extensions of a primitive away; tell whether there were any."""
    value = node[beside]
    holders = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    found = [each.pop("extension", None) is not None for each in holders]
    if not any(holders):
        del node[beside]
    return any(found)


def _remove(node: Tree, name: str, definition: tuple[Element, str]) -> None:
    element, kind = definition
    node.pop(name, None)
    node.pop(f"_{name}", None)
    if element.min and not element.choice:
        place = f"_{name}" if kind in PRIMITIVES else name
        node[place] = [dict(ABSENT)] if element.is_list else dict(ABSENT)


def is_redacted(body: bytes) -> bool:
    """Tell whether a masked body says that something was taken out of it."""
    return b'"REDACTED"' in body


def tagged(tree: Tree) -> Tree:
    """Return the tree with the label that says that something was taken out."""
    meta = tree.get("meta", {})
    labels = meta.get("security", [])
    if any(each.get("code") == REDACTED["code"] for each in labels):
        return tree
    return {**tree, "meta": {**meta, "security": [*labels, REDACTED]}}


def _asked(type_: str, predicate: Predicate) -> Iterator[tuple[str, str]]:
    """Yield (type, parameter) of all that a predicate reads, along its hops."""
    if isinstance(predicate, (Where, Together)):
        yield type_, predicate.param
    elif isinstance(predicate, Chain):
        yield type_, predicate.param
        yield from _asked(predicate.type, predicate.inner)
    elif isinstance(predicate, Has):
        yield predicate.type, predicate.param
        yield from _asked(predicate.type, predicate.inner)
    elif isinstance(predicate, Contains):
        yield type_, CONTAINED
        yield from _asked(predicate.type, predicate.inner)
    elif isinstance(predicate, (All, AnyOf)):
        for item in predicate.items:
            yield from _asked(type_, item)
    elif isinstance(predicate, Not):
        yield from _asked(type_, predicate.item)


@cache
def masks_for(*purposes: str | None) -> Masks | None:
    """Return what each of these purposes of use masks, by itself or by one that includes it; None: nothing.

    Several purposes: any of them may be meant. None among them: one that is not known masks nothing.
    """
    masked = [_rules(each) for each in purposes]
    rules = frozenset.intersection(*masked) if masked else frozenset()
    return Masks(rules) if rules else None


def _rules(purpose: str | None) -> frozenset[str]:
    if purpose is None:
        return frozenset()
    file = _policy()
    groups = {group for each in purposes_above(purpose) for group in file.masks.get(each, ())}
    return frozenset(rule for group in groups for rule in file.mask_elements[group])


@cache
def _policy() -> _File:
    content = (files("conformance") / "policies" / "consent.json").read_bytes()
    return msgspec.json.decode(content, type=_File)
