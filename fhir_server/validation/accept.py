"""Say quickly whether a resource is valid: one generated Python function per type, made on first use.

The generated functions check what ``explain`` checks and answer yes or no. "No" is only a hint to explain:
the caller asks ``explain`` for the problems and believes it. Generation follows the definitions, so both have
one source.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.validation import bindings, contained, primitives, references
from fhir_server.validation.codegen import generate
from fhir_server.validation.explain import is_element_id
from fhir_server.validation.presence import has_coding
from fhir_server.validation.scene import Scene

_Accept = Callable[[Any, Scene], bool]


def accepts(tree: Any) -> bool:
    """Tell whether ``tree`` is valid, warnings aside; raises RecursionError when it is absurdly deep."""
    return _outermost(tree, None)


def _function(type_name: str) -> _Accept:
    """Return a function that, first called, generates that of ``type_name`` and steps aside for it."""

    def first(value: Any, scene: Scene) -> bool:
        accept = generate(type_name, _SPACE)
        if type_name in _RESOURCES:
            _RESOURCES[type_name] = accept
        return accept(value, scene)

    return first


_RESOURCES: dict[str, _Accept] = {name: _function(name) for name in RESOURCE_TYPES}


def _resource(tree: Any, root: dict[str, Any] | None) -> bool:
    name = tree.get("resourceType") if type(tree) is dict else None
    accept = _RESOURCES.get(name) if type(name) is str else None
    if accept is None:
        return False
    scene = Scene(tree, tree if root is None else root)
    if not accept(tree, scene) or len(set(scene.ids)) < len(scene.ids):
        return False
    return "contained" not in tree or next(contained.problems(tree), None) is None


def _outermost(tree: Any, _: Scene | None) -> bool:
    return _resource(tree, None)


def _inner(tree: Any, scene: Scene) -> bool:
    return _resource(tree, scene.root)


def _id(value: Any, scene: Scene) -> bool:
    scene.ids.append(value)
    return is_element_id(value)


def _literal(value: Any) -> bool:
    if not primitives.CHECKS["string"](value):
        return False
    return value[0] == "#" or references.named_type(value) is not None


def _paired(tree: dict[str, Any], key: str) -> bool:
    """Tell whether every null of an array of primitives has extensions at its place."""
    elements, values = tree.get("_" + key), tree[key]
    if type(elements) is not list or len(elements) != len(values):
        return False
    return all(each is not None or bool(element) for each, element in zip(values, elements, strict=True))


def _shadow(tree: dict[str, Any], key: str, value: Any, repeats: bool | None, scene: Scene) -> bool:
    """Check a property with an underscore; ``repeats`` is None when the type has no such primitive."""
    if repeats is None:
        return False
    plain = tree.get(key[1:])
    if not repeats:
        return _extra(value, scene, has_value=plain is not None)
    if type(value) is not list or not value:
        return False
    if key[1:] not in tree:
        return all(each is not None and _extra(each, scene, has_value=False) for each in value)
    if type(plain) is not list or len(plain) != len(value):
        return False
    return all(
        element is None or _extra(element, scene, has_value=each is not None)
        for each, element in zip(plain, value, strict=True)
    )


def _extra(element: Any, scene: Scene, *, has_value: bool) -> bool:
    if has_value and type(element) is dict and element.keys() == {"id"}:
        return _id(element["id"], scene)
    return bool(_SPACE["accept_Element"](element, scene))


def _one_of_each(tree: dict[str, Any], choices: tuple[frozenset[str], ...]) -> bool:
    """Tell whether no choice element has two types, one of them perhaps only by its extensions."""
    given = {key.removeprefix("_") for key in tree}
    return all(len(given & keys) < 2 for keys in choices)


_SPACE: dict[str, Any] = {
    "Decimal": Decimal,
    "CHECKS": primitives.CHECKS,
    "REFERENCES": references.KNOWN,
    "agrees": references.agrees,
    "bound": bindings.concept_is_bound,
    "element_id": _id,
    "has_coding": has_coding,
    "inner": _inner,
    "literal": _literal,
    "may_point": references.may_point,
    "one_of_each": _one_of_each,
    "outermost": _outermost,
    "paired": _paired,
    "shadow": _shadow,
    "stub": _function,
    **{f"check_{name}": check for name, check in primitives.CHECKS.items()},
    **{f"known_{name}": known for name, known in primitives.KNOWN.items()},
}
"""The global names of every generated function; each generated one is added under ``accept_<type>``."""
_SPACE["accept_Element"] = _function("Element")
