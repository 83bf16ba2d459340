"""Every problem of a resource, in words and with its place: the plain meaning of validity.

This walk reads the definitions as they stand. ``accept`` is the same, generated, and only says yes or no; the
two are tested against each other. https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from fhir_server.faults import Issue
from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, Element, definitions
from fhir_server.validation import bindings, contained, primitives, references, rules
from fhir_server.validation.scene import Scene

MAX_ISSUES = 500
"""After so many problems the rest is left out, so that rubbish cannot make an endless answer."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESOURCE = "Resource"


def explain(tree: Any, *, warnings: bool) -> list[Issue]:
    """Return every problem of ``tree``; raises RecursionError when it is nested absurdly deep."""
    walk = _Walk(warnings=warnings)
    try:
        walk.resource(tree, "", None)
    except _EnoughError:
        walk.issues.append(
            Issue("error", "incomplete", f"There are more than {MAX_ISSUES} problems; mend these first.")
        )
    return walk.issues


class _EnoughError(Exception):
    """The list of problems is full."""


@cache
def _known(type_name: str) -> dict[str, tuple[Element, str, str]]:
    """Return JSON property → (element, type, FHIRPath step), those with an underscore included."""
    found = {}
    for key, (element, each) in definitions()[type_name].properties.items():
        step = f"{element.name}.ofType({each})" if element.choice else element.name
        found[key] = (element, each, step)
        if each in PRIMITIVES:
            found["_" + key] = (element, each, step)
    return found


def _quoted(key: str) -> str:
    if _NAME.fullmatch(key):
        return key[:64]
    return "`" + "".join(c for c in key[:64] if c.isprintable() and c not in "`\\") + "`"


class _Walk:
    """One walk over one tree, gathering issues."""

    def __init__(self, *, warnings: bool) -> None:
        self.issues: list[Issue] = []
        self._warnings = warnings

    def _say(self, code: str, words: str, path: str, severity: str = "error") -> None:
        if len(self.issues) >= MAX_ISSUES:
            raise _EnoughError
        self.issues.append(Issue(severity, code, words, (path,) if path else ()))

    def resource(self, tree: Any, path: str, root: dict[str, Any] | None) -> None:
        """Walk a resource: ``path`` is "" for the outermost, ``root`` the container of a contained one."""
        if type(tree) is not dict:
            self._say("structure", "A resource must be a JSON object.", path)
            return
        name = tree.get("resourceType")
        if type(name) is not str or name not in RESOURCE_TYPES:
            self._say("structure", "resourceType must name a resource type of FHIR R4.", path)
            return
        scene = Scene(tree, tree if root is None else root)
        path = path or name
        self._object(tree, name, path, scene, is_resource=True)
        for index, sentence in contained.problems(tree):
            self._say("invariant", sentence, f"{path}.contained[{index}]")
        if len(set(scene.ids)) < len(scene.ids):
            self._say("invalid", "Two elements have the same id; an id is unique within its resource.", path)

    def _object(
        self, tree: Any, type_name: str, path: str, scene: Scene, *, is_resource: bool = False
    ) -> None:
        if type(tree) is not dict:
            self._say("structure", f"A {type_name} must be a JSON object.", path)
            return
        if not is_resource and tree.keys() <= {"id"}:
            self._say("invariant", "ele-1: an element must have a value or children besides its id.", path)
        known = _known(type_name)
        for key in tree:
            if key == "resourceType" and is_resource:
                continue
            if key not in known:
                self._say("structure", f"{type_name} has no such element.", f"{path}.{_quoted(key)}")
            elif key[0] == "_":
                self._shadow(tree, key, f"{path}.{known[key][2]}", scene, repeats=known[key][0].is_list)
            else:
                self._property(tree, key, type_name, path, scene)
        self._presence(tree, type_name, path)
        self._broken(rules.of_type(type_name), tree, path, scene)

    def _property(self, tree: dict[str, Any], key: str, owner: str, path: str, scene: Scene) -> None:
        element, type_name, step = _known(owner)[key]
        value, path = tree[key], f"{path}.{step}"
        if not element.is_list:
            if value is None:
                self._say("structure", "null is not a value; leave the element out.", path)
            else:
                self._value(value, owner, element, type_name, path, scene)
        elif type(value) is not list:
            self._say("structure", "The element repeats, so it must be a JSON array.", path)
        elif not value:
            self._say("structure", "An empty array is not allowed; leave the element out.", path)
        else:
            for index, each in enumerate(value):
                place = f"{path}[{index}]"
                if each is not None:
                    self._value(each, owner, element, type_name, place, scene)
                elif type_name not in PRIMITIVES or not _has_element(tree, key, index):
                    self._say(
                        "structure",
                        "null stands only where the array with the underscore has extensions.",
                        place,
                    )
            if element.max != "*" and len(value) > int(element.max):
                self._say("structure", f"At most {element.max} are allowed.", path)
            if len(value) < element.min:
                self._say("required", f"At least {element.min} are required.", path)

    def _value(
        self, value: Any, owner: str, element: Element, type_name: str, path: str, scene: Scene
    ) -> None:
        if type_name in PRIMITIVES:
            self._primitive(value, owner, element, type_name, path, scene)
        elif type_name == _RESOURCE:
            self.resource(value, path, scene.root if element.name == "contained" else None)
        else:
            self._object(value, type_name, path, scene)
            if type_name == "Reference":
                self._reference(value, element, path, scene)
            elif type_name in bindings.CODED and not _is_bound(value, element):
                self._say("code-invalid", f"One coding must be from {element.binding}.", path)
        self._broken(rules.of_element(owner, element.name, type_name), value, path, scene)

    def _primitive(
        self, value: Any, owner: str, element: Element, type_name: str, path: str, scene: Scene
    ) -> None:
        problem = primitives.problem(type_name, value)
        if problem:
            self._say("value", problem, path)
        elif element.binding and type_name == "code" and value not in bindings.codes(element.binding):
            self._say("code-invalid", f"The code is not in the required value set {element.binding}.", path)
        elif element.name == "id" and definitions()[owner].kind != "resource":
            if not is_element_id(value):
                self._say("value", "The id of an element must hold no spaces.", path)
            elif owner != "ElementDefinition":
                scene.ids.append(value)

    def _reference(self, value: Any, element: Element, path: str, scene: Scene) -> None:
        literal = value.get("reference") if type(value) is dict else None
        if type(literal) is str and not literal.startswith("#") and references.named_type(literal) is None:
            words = "A literal reference must be Type/id, an absolute URL, a urn or #id, with a type of R4."
            self._say("value", words, f"{path}.reference")
        elif not _may_point(value, element, scene):
            self._say("structure", f"The reference may only point to {', '.join(element.targets)}.", path)
        if type(value) is dict and not references.agrees(value, scene.root):
            self._say("invalid", "Reference.type and the literal reference name different types.", path)

    def _shadow(self, tree: dict[str, Any], key: str, path: str, scene: Scene, *, repeats: bool) -> None:
        """Check the property with an underscore: id and extensions of a primitive.

        https://hl7.org/fhir/R4/json.html#primitive
        """
        value, plain = tree[key], tree.get(key[1:])
        if not repeats:
            self._extra(value, path, scene, has_value=plain is not None)
        elif type(value) is not list or not value:
            self._say("structure", "The extensions of a list must be a JSON array that is not empty.", path)
        elif key[1:] in tree and (type(plain) is not list or len(plain) != len(value)):
            self._say("structure", "The arrays of values and of extensions must have one length.", path)
        else:
            values = plain if type(plain) is list else [None] * len(value)
            for index, each in enumerate(value):
                if each is not None:
                    self._extra(each, f"{path}[{index}]", scene, has_value=values[index] is not None)
                elif plain is None:
                    words = "null stands only where the array without the underscore has a value."
                    self._say("structure", words, f"{path}[{index}]")

    def _extra(self, element: Any, path: str, scene: Scene, *, has_value: bool) -> None:
        if has_value and type(element) is dict and element.keys() == {"id"}:
            # ele-1 asks for a value or children: beside a value, an id alone is enough.
            self._element_id(element["id"], path, scene)
        else:
            self._object(element, "Element", path, scene)

    def _element_id(self, value: Any, path: str, scene: Scene) -> None:
        if is_element_id(value):
            scene.ids.append(value)
        else:
            self._say("value", "The id of an element must be text without spaces.", f"{path}.id")

    def _presence(self, tree: dict[str, Any], type_name: str, path: str) -> None:
        given = {key.removeprefix("_") for key in tree}
        for element in definitions()[type_name].elements:
            keys = [element.key(each) for each in element.types] if element.choice else [element.name]
            count = sum(key in given for key in keys)
            if not count and element.min:
                self._say("required", "The element is required.", f"{path}.{element.name}")
            if count > 1:
                self._say("structure", "Only one type of it may be given.", f"{path}.{element.name}")
        has_value = any(key.startswith("value") for key in given)
        if type_name == "Extension" and ("extension" in tree) is has_value:
            self._say("invariant", "ext-1: an extension must have a value or extensions, not both.", path)

    def _broken(self, invariants: tuple[rules.Invariant, ...], value: Any, path: str, scene: Scene) -> None:
        for rule in invariants:
            if (self._warnings or rule.severity == "error") and not rule.holds(value, scene):
                self._say("invariant", f"{rule.key}: {rule.human}", path, rule.severity)


def _is_bound(value: Any, element: Element) -> bool:
    return not element.binding or bindings.concept_is_bound(value, bindings.pairs(element.binding))


def _may_point(value: Any, element: Element, scene: Scene) -> bool:
    if not element.targets or "Resource" in element.targets:
        return True
    return references.may_point(value, frozenset(element.targets), scene.root)


def is_element_id(value: Any) -> bool:
    """Tell whether ``value`` may be the id of an element: text without spaces.

    https://hl7.org/fhir/R4/element.html#id
    """
    return primitives.CHECKS["string"](value) and not any(character.isspace() for character in value)


def _has_element(tree: dict[str, Any], key: str, index: int) -> bool:
    elements = tree.get("_" + key)
    return type(elements) is list and index < len(elements) and bool(elements[index])
