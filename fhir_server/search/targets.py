"""Where a reference parameter may lead from one type: R4 lists the types of all that share its definition.

``Condition?patient=1`` means Patient/1 alone: the definition of ``patient`` names Group too, for the sake of
other types, but its path from a Condition stays only at Patients.
https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.target
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.resources.types import definitions
from fhir_server.search.expressions import ExpressionError, Get, Path, Refers, paths

_ANY = "Resource"


def reachable(targets: tuple[str, ...], expression: str, type_: str) -> tuple[str, ...]:
    """Return those among ``targets`` that a reference at the end of ``expression`` from ``type_`` may name.

    All of them where the expression does not end in References alone, or allows every type.
    """
    found: set[str] = set()
    for path in _paths(expression, type_):
        allowed = _allowed(path, type_) if path.type == "Reference" else ()
        if not allowed or _ANY in allowed:
            return targets
        found.update(allowed)
    return tuple(target for target in targets if target in found) or targets


def implies(type_: str, narrow: str, wide: str) -> bool:
    """Tell whether every reference that ``narrow`` leads to from ``type_``, ``wide`` leads to as well."""
    few, many = _paths(narrow, type_), _paths(wide, type_)
    references = all(path.type == "Reference" for path in (*few, *many))
    return bool(few) and references and all({path, _unheld(path)} & {*many} for path in few)


def _paths(expression: str, type_: str) -> Sequence[Path]:
    try:
        return paths(expression, type_)
    except ExpressionError:
        return ()


def _unheld(path: Path) -> Path:
    """Return the path without a condition on what the reference at its end leads to."""
    is_held = path.steps and isinstance(path.steps[-1], Refers)
    return Path(path.steps[:-1], path.type) if is_held else path


def _allowed(path: Path, type_: str) -> tuple[str, ...]:
    """Return the types that the Reference at the end of a path may point to."""
    found: tuple[str, ...] = ()
    name = type_
    for step in path.steps:
        if isinstance(step, Refers):
            return (step.type,)
        if isinstance(step, Get):
            element, name = definitions()[name].properties[step.key]
            found = element.targets
    return found
