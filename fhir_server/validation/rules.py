"""The invariants of R4: each definition's rules, ready to be asked.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fhir_server.resources import fhirpath
from fhir_server.resources.fhirpath.node import Node, resource_type
from fhir_server.resources.fhirpath.values import compare_moments, moment
from fhir_server.resources.types import PRIMITIVES, Rule, definitions
from fhir_server.validation import references
from fhir_server.validation.presence import condition, guard
from fhir_server.validation.scene import Scene

Check = Callable[[Any, Scene], bool]

# The primitive check of xhtml is txt-1 and txt-2; contained.py says which contained resource breaks a dom
# rule.
ELSEWHERE = frozenset({"txt-1", "txt-2", "dom-2", "dom-3", "dom-4", "dom-5"})


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule: ``holds`` asks it of a value; ``condition`` is the same in Python, ``guard`` what is enough."""

    key: str
    severity: Literal["error", "warning"]
    human: str
    holds: Check
    condition: str | None
    guard: str | None


@cache
def of_type(type_name: str) -> tuple[Invariant, ...]:
    """Return the rules that every value of a type must keep."""
    return tuple(
        _invariant(rule, type_name) for rule in definitions()[type_name].rules if rule.key not in ELSEWHERE
    )


@cache
def of_element(owner: str, name: str, type_name: str) -> tuple[Invariant, ...]:
    """Return the rules of one element alone (``Organization.telecom``), asked of each of its values."""
    element = next(each for each in definitions()[owner].elements if each.name == name)
    return tuple(_invariant(rule, type_name) for rule in element.rules if rule.key not in ELSEWHERE)


def _invariant(rule: Rule, type_name: str) -> Invariant:
    text = enough = None
    if rule.key in _BY_HAND:
        holds, enough = _BY_HAND[rule.key]
    else:
        holds = _asked(fhirpath.compile(rule.expression, type_name), type_name)
        if type_name not in PRIMITIVES:
            text = condition(fhirpath.parse(rule.expression), type_name)
            enough = guard(fhirpath.parse(rule.expression), type_name)
    return Invariant(rule.key, rule.severity, rule.human, holds, text, enough)


def _asked(expression: fhirpath.Expression, type_name: str) -> Check:
    def holds(value: Any, scene: Scene) -> bool:
        focus = Node(value, resource_type(value) or type_name)
        try:
            # An invariant must be true: "empty" breaks it, as FHIR's own validator has it.
            env = {"resource": scene.resource, "rootResource": scene.root}
            return expression.decide(focus, env, trusted=True) is True
        except fhirpath.FhirPathError:
            # Only a tree whose structure is already refused makes a rule of R4 fail to run.
            return True

    return holds


def _reference_resolves(reference: Any, scene: Scene) -> bool:
    """ref-1: a local reference names a contained resource; a lone ``#`` means the container itself."""
    literal = reference.get("reference") if type(reference) is dict else None
    if type(literal) is not str or not literal.startswith("#") or literal == "#":
        return True
    return references.contained(scene.root, literal) is not None


def _period_runs_forward(period: Any, _: Scene) -> bool:
    """per-1: the start is not after the end; where precision or zone leave that open, it holds."""
    start, end = (period.get("start"), period.get("end")) if type(period) is dict else (None, None)
    if type(start) is not str or type(end) is not str:
        return True
    if len(start) == len(end) and (len(start) <= 10 or start[19:] == end[19:]):
        # Same shape, same fraction and zone: the order of the text is the order in time.
        return start[:19] <= end[:19]
    first, last = moment(start), moment(end)
    order = compare_moments(first, last) if first and last else None
    return order is None or order <= 0


_BY_HAND: dict[str, tuple[Check, str]] = {
    "ref-1": (_reference_resolves, "d.get('reference', '')[:1] != '#'"),
    "per-1": (_period_runs_forward, "'start' not in d or 'end' not in d"),
}
"""Rules that every resource asks many times: the check, and its guard."""
