"""Write the accepting function of one type as Python source.

One loop over the object's properties, dispatching on the name; then what must be there, then the invariants.
The names that the source uses stand in ``accept._SPACE``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.resources.types import PRIMITIVES, Element, TypeDefinition, definitions
from fhir_server.validation import bindings, presence, rules

_INLINE = 12
"""A choice with more types than this is looked up in a dictionary of small functions."""
_LATE = ("implicitRules", "language", "contained", "modifierExtension")
"""Elements that are rare in practice: their names are compared last."""
_WHOLE = {"integer": -2147483648, "positiveInt": 1, "unsignedInt": 0}


def generate(type_name: str, space: dict[str, Any]) -> Callable[..., bool]:
    """Compile the accepting function of a type into ``space`` (as ``accept_<type>``) and return it."""
    writer = _Writer(definitions()[type_name], space)
    source = writer.source()
    space.update(presence.KEYS)
    # The source is made from the tables that the package carries, never from what a client sends.
    exec(compile(source, f"<accept {type_name}>", "exec"), space)  # noqa: S102
    accept: Callable[..., bool] = space[name_of(type_name)]
    return accept


def name_of(type_name: str) -> str:
    """Return the name of a type's function: ``accept_Patient_contact`` for ``Patient.contact``."""
    return "accept_" + type_name.replace(".", "_")


class _Writer:
    """Writes one function; constants go into the shared space under names of their own."""

    def __init__(self, definition: TypeDefinition, space: dict[str, Any]) -> None:
        self._definition = definition
        self._space = space
        self._is_resource = definition.kind == "resource"

    def source(self) -> str:
        """Return the source of the function."""
        return "\n".join(
            [f"def {name_of(self._definition.name)}(d, s):", *(" " + line for line in self._body())]
        )

    def _constant(self, label: str, value: Any) -> str:
        name = f"{label}_{self._definition.name.replace('.', '_')}_{len(self._space)}"
        self._space[name] = value
        return name

    def _body(self) -> list[str]:
        lines = ["if type(d) is not dict: return False"]
        if not self._is_resource:
            lines.append("if not d or len(d) == 1 and 'id' in d: return False")
        choices = [
            element for element in self._definition.elements if element.choice and len(element.types) > 1
        ]
        lines += [f"one_{element.name} = False" for element in choices]
        lines += ["shadows = False", "for k, v in d.items():", *(" " + line for line in self._dispatch())]
        if choices:
            sets = tuple(frozenset(map(element.key, element.types)) for element in choices)
            lines.append(
                f"if shadows and not one_of_each(d, {self._constant('choices', sets)}): return False"
            )
        lines += [line for element in self._definition.elements for line in self._required(element)]
        return [*lines, *self._invariants(), "return True"]

    def _dispatch(self) -> list[str]:
        lines: list[str] = []
        if self._is_resource:
            lines += ["if k == 'resourceType': continue"]
        elements = sorted(self._definition.elements, key=self._rank)
        for element in elements:
            lines += self._choice(element) if len(element.types) > _INLINE else self._branches(element)
        repeats = {
            "_" + element.key(each): element.is_list
            for element in elements
            for each in element.types
            if each in PRIMITIVES
        }
        return [
            *lines,
            "if k[:1] == '_':",
            " shadows = True",
            f" if shadow(d, k, v, {self._constant('shadows', repeats)}.get(k), s): continue",
            "return False",
        ]

    def _rank(self, element: Element) -> tuple[bool, bool]:
        # The definitions have the order of importance; only what every type has in common moves back.
        rare = element.name in _LATE or (not self._is_resource and element.name in ("id", "extension"))
        return (rare, self._is_resource and element.name in ("text", "extension"))

    def _branches(self, element: Element) -> list[str]:
        lines = []
        for each in element.types:
            lines.append(f"if k == {element.key(each)!r}:")
            if len(element.types) > 1:
                lines += [f" if one_{element.name}: return False", f" one_{element.name} = True"]
            lines += [" " + line for line in self._value(element, each)]
        return lines

    def _choice(self, element: Element) -> list[str]:
        table: dict[str, Any] = {}
        for each in element.types:
            test = self._test(element, each)
            # As above: tables in, source out.
            table[element.key(each)] = eval(f"lambda v, s: {test}", self._space)  # noqa: S307
        name = self._constant("choice", table)
        return [
            f"if k in {name}:",
            f" if one_{element.name} or not {name}[k](v, s): return False",
            f" one_{element.name} = True",
            " continue",
        ]

    def _value(self, element: Element, type_name: str) -> list[str]:
        test = self._test(element, type_name)
        if not element.is_list:
            return [f"if {test}: continue", "return False"]
        lines = ["if type(v) is not list or not v: return False"]
        if element.max != "*":
            lines.append(f"if len(v) > {element.max}: return False")
        if element.min > 1:
            lines.append(f"if len(v) < {element.min}: return False")
        lines += ["l, lk = v, k", "for v in l:", f" if {test}: continue"]
        if type_name in PRIMITIVES:
            lines.append(" if v is None and paired(d, lk): continue")
        return [*lines, " return False", "continue"]

    def _test(self, element: Element, type_name: str) -> str:
        """Return an expression that is true when ``v`` is a good value of the element."""
        if type_name in PRIMITIVES:
            test = self._primitive(element, type_name)
        elif type_name == "Resource":
            test = "inner(v, s)" if element.name == "contained" else "outermost(v, s)"
        else:
            test = self._complex(element, type_name)
        for rule in rules.of_element(self._definition.name, element.name, type_name):
            if rule.severity == "error":
                test += f" and {self._constant('rule', rule.holds)}(v, s)"
        return test

    def _complex(self, element: Element, type_name: str) -> str:
        name = name_of(type_name)
        if name not in self._space:
            self._space[name] = self._space["stub"](type_name)
        test = f"{name}(v, s)"
        if type_name == "Reference" and element.targets and "Resource" not in element.targets:
            targets = self._constant("targets", frozenset(element.targets))
            test += (
                f" and (REFERENCES.get(v.get('reference')) in {targets} or may_point(v, {targets}, s.root))"
            )
        if element.binding and type_name in bindings.CODED:
            test += f" and bound(v, {self._constant('pairs', bindings.pairs(element.binding))})"
        return test

    def _primitive(self, element: Element, type_name: str) -> str:  # noqa: PLR0911 - one per form
        if element.name == "id" and not self._is_resource:
            # The snapshot and the differential of one StructureDefinition use the same element ids.
            if self._definition.name == "ElementDefinition":
                return "element_id(v, type(s)(s.resource, s.root))"
            return "element_id(v, s)"
        if self._definition.name == "Reference" and element.name == "reference":
            return "(type(v) is str and v in REFERENCES or literal(v))"
        if type_name == "code" and element.binding:
            return f"(type(v) is str and v in {self._constant('codes', bindings.codes(element.binding))})"
        if type_name == "boolean":
            return "(v is True or v is False)"
        if type_name in _WHOLE:
            return f"(type(v) is int and {_WHOLE[type_name]} <= v <= 2147483647)"
        if "known_" + type_name in self._space:
            return f"(type(v) is str and v in known_{type_name} or check_{type_name}(v))"
        return f"check_{type_name}(v)"

    def _required(self, element: Element) -> list[str]:
        if not element.min:
            return []
        keys = [element.key(each) for each in element.types]
        keys += ["_" + element.key(each) for each in element.types if each in PRIMITIVES]
        if len(keys) <= 2:
            return [f"if {' and '.join(f'{key!r} not in d' for key in keys)}: return False"]
        return [f"if {self._constant('any', frozenset(keys))}.isdisjoint(d): return False"]

    def _invariants(self) -> list[str]:
        lines = []
        if self._definition.name == "Extension":
            has_value = "(one_value or shadows and any(k[:6] == '_value' for k in d))"
            lines.append(f"if ('extension' in d) is {has_value}: return False")
        if self._definition.name == "Reference":
            lines.append("if 'type' in d and not agrees(d, s.root): return False")
        for rule in rules.of_type(self._definition.name):
            if rule.severity != "error":
                continue
            test = rule.condition or f"{self._constant('rule', rule.holds)}(d, s)"
            if rule.guard and not rule.condition:
                test = f"({rule.guard} or {test})"
            lines.append(f"if not {test}: return False")
        return lines
